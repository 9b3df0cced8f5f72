"""The window is there and takes keys soon after the program is started, before torch is loaded."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from app.splash import splash
from conftest import picture
from engine.encode import save_image
from engine.image import Image

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 100

MOST = 12.0
"""The window may take so many times as long as numpy and Qt alone; measured: about 5."""

ALONE = "import time, numpy; from PySide6 import QtWidgets; QtWidgets.QApplication([]); print(time.time())"

WINDOW = """
import json, sys, time
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from app import __main__ as program
from app.window import MainWindow

def began(*_):
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
    window.grab()
    slider = window.controls.strength.slider
    values = [slider.value()]
    QTest.keyClick(slider, Qt.Key.Key_Left)
    values.append(slider.value())
    sys.stdout.write(json.dumps({"at": time.time(), "values": values, "loaded": sorted(sys.modules)}) + "\\n")
    sys.stdout.flush()
    window.close()
    return 0

QApplication.exec = began
sys.exit(program.main([]))
"""


def started(program: str) -> tuple[float, str]:
    """When a Python program was started, and what it wrote."""
    begun = time.time()
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return begun, done.stdout


def test_the_window_takes_a_key_before_torch_is_loaded(home):
    _, told = started(WINDOW)
    seen = json.loads(told.splitlines()[-1])
    assert seen["values"][1] < seen["values"][0]
    for name in ("torch", "scipy", "rawpy", "matplotlib"):
        assert name not in seen["loaded"], name


def test_the_window_is_there_almost_as_soon_as_qt(home):
    def seconds(program: str) -> float:
        measured = []
        for _ in range(3):
            begun, told = started(program)
            last = told.splitlines()[-1]
            measured.append((json.loads(last)["at"] if last.startswith("{") else float(last)) - begun)
        return min(measured)

    least = seconds(ALONE)
    assert seconds(WINDOW) < MOST * least, f"numpy and Qt alone take {least:.2f} s"


FIRST = """
import sys, time
from pathlib import Path
from PySide6.QtWidgets import QApplication
from app import __main__ as program
from app.window import MainWindow

def turns(until):
    end = time.time() + 60
    while not until() and time.time() < end:
        QApplication.processEvents()
        time.sleep(0.01)

def began(*_):
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
    workspace = window.workspace
    turns(lambda: workspace.opened is not None)
    told = [workspace.current.name, window.view.mode, window.message.isVisible(), window.message.text.text()]
    workspace.open([Path(sys.argv[0]).parent / "mine.png"])
    turns(lambda: len(workspace.entries) == 2)
    told.append(window.message.isVisible())
    print(told)
    window.close()
    return 0

QApplication.exec = began
sys.argv[0] = PLACE
sys.exit(program.main([]))
"""


def test_the_first_start_shows_a_sample_and_says_in_one_line_what_to_do(home, tmp_path):
    save_image(Image(picture(40, 50).astype("float32")), tmp_path / "mine.png")
    _, told = started(FIRST.replace("PLACE", repr(str(tmp_path / "program"))))
    name, mode, is_said, sentence, stays = ast.literal_eval(told.splitlines()[-1])
    assert (name, mode, is_said, stays) == ("coffee_noisy.tif", "wipe", True, False)
    assert "drop your own pictures" in sentence


class Windows:
    """What the splash asks Windows for; the message loop ends when a thread is told to quit."""

    def __init__(self, lacks: str = "") -> None:
        self.lacks, self.asked, self.quit = lacks, [], threading.Event()
        self.user32 = self.gdi32 = self.kernel32 = self

    def __getattr__(self, name: str):
        if name == self.lacks:
            raise AttributeError(name)
        call = lambda *arguments: self._call(name, *arguments)  # noqa: E731
        return Function(call)

    def _call(self, name: str, *_: object) -> int:
        self.asked.append(name)
        if name == "PostThreadMessageW":
            self.quit.set()
        if name == "GetMessageW":
            assert self.quit.wait(PATIENCE_S)
            return 0
        return 96


class Function:
    """A function of a library, whose type can be set."""

    def __init__(self, call) -> None:
        self.restype, self._call = None, call

    def __call__(self, *arguments: object) -> int:
        return self._call(*arguments)


def test_the_splash_is_there_while_something_is_loaded_and_gone_afterwards():
    windows = Windows()
    with splash(windows):
        assert "UpdateWindow" in windows.asked
        assert "DestroyWindow" not in windows.asked
    assert windows.asked[-2:] == ["DestroyWindow", "DeleteObject"]
    # Qt could not set it after a first window.
    assert windows.asked.index("SetProcessDpiAwarenessContext") < windows.asked.index("CreateWindowExW")


def test_a_splash_that_cannot_be_shown_keeps_nothing_from_loading():
    done = []
    with splash(Windows(lacks="GetDpiForSystem")):
        done.append(True)
    assert done
