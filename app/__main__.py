"""Start the window, or a command; Qt is imported only for the window."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import engine
from engine import paths

if TYPE_CHECKING:
    from app.window import MainWindow

_NO_QT = (
    "pellucid: the window cannot open because a system library is missing ({reason}). On Debian and Ubuntu: "
    "apt-get install libgl1 libegl1 libxkbcommon0 libfontconfig1 libdbus-1-3 libglib2.0-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0; the command line works without: pellucid denoise"
)
_NO_DISPLAY = "pellucid: there is no display to open a window on; use the command line: pellucid denoise IN... -o OUT\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status; without a command the window opens."""
    multiprocessing.freeze_support()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        sys.stdout.write(f"pellucid {engine.__version__}\n")
        return 0
    # A lower-case word may be a command. The command line is not loaded for anything else: torch takes seconds.
    if given and re.fullmatch(r"[a-z]+|-h|--help", given[0]):
        from app import cli

        if given[0] in cli.COMMANDS or given[0].startswith("-"):
            return cli.main(given)
    test = given[:1] == ["--self-test"]
    unknown = [] if test else [name for name in given if name.startswith("--")]
    if unknown:
        sys.stderr.write(f"pellucid: there is no option {unknown[0]}; see pellucid --help\n")
        return 2
    if test:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if sys.platform == "win32":
        from app.splash import splash

        # Loaded after Qt its libraries fail there with WinError 1114.
        with splash():
            import torch  # noqa: F401
    elif sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")
    ):
        # Qt would end the process with a signal.
        sys.stderr.write(_NO_DISPLAY)
        return 2
    try:
        _load_qt()
    except (ImportError, OSError) as error:
        sys.stderr.write(_NO_QT.format(reason=error) + "\n")
        return 2
    if test:
        from app.selftest import self_test

        return self_test()
    return _open_window([Path(name) for name in given])


def _load_qt() -> None:
    """Import Qt, and load by hand what it needs for an X display: ImportError or OSError name the missing library.

    Qt itself would name the wrong one and end the process.
    """
    from PySide6 import QtWidgets

    plugin = Path(QtWidgets.__file__).parent / "Qt/plugins/platforms/libqxcb.so"
    on_x = os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and on_x and not os.environ.get("QT_QPA_PLATFORM") and plugin.exists():
        ctypes.CDLL(str(plugin))


def _open_window(files: Sequence[Path]) -> int:
    """Show the main window until it is closed."""
    os.environ.setdefault("QT_API", "pyside6")
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from app import translation

    _log_to_file()
    app = QApplication([sys.argv[0]])
    translation.begin(translation.chosen(paths.settings_file()))
    # Only now: modules translate the texts that they hold when they are imported.
    from app.garbage import Garbage
    from app.settings import load_settings
    from app.window import MainWindow
    from app.workspace import Workspace

    app.setApplicationName("Pellucid")
    app.setDesktopFileName("pellucid")
    is_first = not paths.settings_file().exists()
    window = MainWindow(Workspace(load_settings(paths.settings_file())))
    garbage = Garbage(app)
    # Torch is loaded then.
    window.workspace.models_changed.connect(garbage.spare)
    # Ctrl-C in the terminal: Python sees the signal only while it runs, so the timer lets it run now and then.
    signal.signal(signal.SIGINT, lambda *_: window.close())
    waker = QTimer()
    waker.timeout.connect(lambda: None)
    waker.start(200)
    window.show()
    sample = paths.resources() / "sample" / "coffee_noisy.tif"
    if files:
        window.workspace.open(files)
    elif is_first and sample.is_file():
        window.workspace.open([sample])
        _welcome(window, sample)
    status = app.exec()
    window.workspace.close()
    garbage.end()
    return status


def _welcome(window: MainWindow, sample: Path) -> None:
    """Say in one line what to do, until there is another picture than the sample."""
    from engine.language import tr

    text = tr("This photograph is a sample: drag the line across it, or drop your own pictures anywhere.")
    window.viewer.set_mode("wipe")
    window.message.say(text)

    def leave() -> None:
        others = [entry for entry in window.workspace.entries if entry.path is None or entry.path.name != sample.name]
        if others and window.message.text.text() == text:
            window.message.hide()

    window.workspace.images_changed.connect(leave)


def _log_to_file() -> None:
    """Keep the last two hundred kilobytes of what happened, for reports."""
    try:
        paths.logs().mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(paths.logs() / "pellucid.log", maxBytes=100_000, backupCount=1, encoding="utf-8")
    except OSError:
        return
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s %(message)s")


if __name__ == "__main__":
    sys.exit(main())
