"""Every window and page of the program, filled as a user sees it, for the tests that look at all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from batches import VALUES, pictures
from opened import install, install_models, noisy_file
from PySide6.QtWidgets import QApplication, QWidget
from test_wizard_progress import STARTED, Played

from app import theme
from app.batch.plan import Filter, Naming, Planner, find
from app.batch.saved import BatchJob
from app.batch.setup_page import LIST
from app.batch.window import QUEUE, SETUP, SUMMARY, BatchWindow
from app.dialogs import DistilDialog, Preferences, ShortcutsDialog, TextDialog
from app.presets_dialog import PresetsDialog, SavePresetDialog
from app.save_dialog import SaveDialog
from app.settings import Settings
from app.values import Values
from app.window import MainWindow
from app.wizard.trainings import EarlierTrainings
from app.wizard.window import FOLDER, METHOD, RESULT, TRAINING, Wizard
from app.workspace import Workspace
from engine.image import load_image
from engine.language import tr
from training.events import Judged, Step, Validated, Warned

PATIENCE_MS = 30_000

Looked = Callable[[str, QWidget], None]
"""Is shown each window in turn with its name."""


@contextlib.contextmanager
def looks(name: str, scale: float = 1.0) -> Iterator[None]:
    """One theme and size of font in the whole program; both are as before afterwards."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    font, palette = app.font(), app.palette()
    app.setFont(theme.scaled(font, scale))
    theme.apply_theme(app, name)
    try:
        yield
    finally:
        app.setStyleSheet("")
        app.setFont(font)
        app.setPalette(palette)


def main_windows(qtbot, folder: Path, name: str, look: Looked) -> None:
    """The main window, empty, with a picture, and with a message."""
    install_models()
    window = MainWindow(Workspace(Settings(theme=name, device="cpu")))
    try:
        window.show()
        window.activateWindow()
        qtbot.waitUntil(lambda: bool(window.workspace.catalog.models), timeout=PATIENCE_MS)
        look("main, empty", window)
        window.workspace.open([noisy_file(folder / "a picture with a name of usual length.tif")])
        qtbot.waitUntil(lambda: window.workspace.is_done, timeout=PATIENCE_MS)
        look("main, one picture", window)
        for page in window.viewer.dock.pages:
            window.show_page(page)
            qtbot.wait(50)
            look(f"main, inspector, {page}", window)
        window.toggle_inspector()
        sentence = "The picture could not be read: it ends after 120 of 4000 lines. Copy it again from the card."
        window.message.say(sentence, details="Traceback")
        look("main, a message", window)
    finally:
        window.close()
        window.deleteLater()


def wizard_windows(qtbot, folder: Path, name: str, look: Looked) -> None:
    """The four pages of a training."""
    install("tiny-color")
    for index in range(4):
        noisy_file(folder / "holiday" / f"{index}.png", seed=index)
    workspace = Workspace(Settings(theme=name, device="cpu"))
    wizard = Wizard(workspace)
    try:
        wizard.show()
        wizard.activateWindow()
        qtbot.waitUntil(lambda: bool(workspace.catalog.models), timeout=PATIENCE_MS)
        look("wizard, no folder", wizard)
        wizard.folder.open(folder / "holiday")
        qtbot.waitUntil(lambda: wizard.folder.is_complete, timeout=PATIENCE_MS)
        look("wizard, folder", wizard)
        wizard.show_page(METHOD)
        qtbot.waitUntil(lambda: wizard.method.is_complete, timeout=PATIENCE_MS)
        look("wizard, method", wizard)
        training = Played(folder / "run", name="holiday")
        wizard.follow(training)  # pyright: ignore[reportArgumentType]
        assert wizard.number == TRAINING
        steps = [Step(step, 1 / step, 1e-3, 2100.0, step / 4000, (4000 - step) * 0.01) for step in range(1, 300, 7)]
        training.play(
            STARTED,
            *steps,
            Validated(290, 0.01),
            Judged(290, 37.2, 0.21, 0.4, 0.06, 0.0123),
            Warned(295, "The loss jumped."),
        )
        look("wizard, training", wizard)
        training.turn("finished")
        wizard.stack.setCurrentIndex(RESULT)
        look("wizard, result", wizard)
        wizard.stack.setCurrentIndex(FOLDER)
    finally:
        wizard.shown = None
        wizard.end()
        workspace.close()
        wizard.deleteLater()


def batch_windows(qtbot, folder: Path, name: str, look: Looked) -> None:
    """The three pages of a batch, one of whose pictures fails."""
    install_models()
    workspace = Workspace(Settings(theme=name, device="cpu", denoise_on_open=False))
    main = MainWindow(workspace)
    window = BatchWindow(main.queue)
    queue = main.queue
    try:
        made = pictures(folder / "in", 3)
        workspace.open(made)
        qtbot.waitUntil(lambda: len(workspace.entries) == 3, timeout=PATIENCE_MS)
        made[1].write_bytes(b"gone bad")
        window.show()
        window.activateWindow()
        window.set_up(LIST)
        assert window.number == SETUP
        look("batch, setup", window)
        values = Values("r2r", "tiny", VALUES.params)
        items = Planner(Naming(folder / "out")).plan(find(made, Filter()), values)
        queue.start(BatchJob(tuple(items), device="cpu"))
        window._show_page(QUEUE)
        look("batch, queue", window)
        qtbot.waitUntil(lambda: not queue.is_live, timeout=PATIENCE_MS)
        window._show_page(SUMMARY)
        look("batch, summary", window)
    finally:
        window.end()
        window.deleteLater()
        queue.close()
        queue.state = "idle"  # or it would ask
        main.close()
        main.deleteLater()


def dialogs(qtbot, folder: Path, name: str, look: Looked) -> None:
    """The small windows."""
    image = load_image(noisy_file(folder / "picture.tif"))
    rows = [("Show the original: tap to flip, hold to look", "\\"), ("Save the result", "Ctrl+E, Ctrl+Shift+E, Ctrl+S")]
    made: dict[str, QWidget] = {
        "preferences": Preferences(Settings(theme=name), ["cpu", "cuda"]),
        "shortcuts": ShortcutsDialog(rows * 12),
        "save": SaveDialog(image, folder / "picture_denoised.tif", True),
        "save preset": SavePresetDialog(Values()),
        "presets": PresetsDialog(lambda: []),
        "text": TextDialog(tr("Details"), "Traceback (most recent call last)"),
        "distil": DistilDialog("holiday-distilled", 8),
        "earlier trainings": EarlierTrainings(True),
    }
    try:
        for title, dialog in made.items():
            dialog.show()
            dialog.activateWindow()
            qtbot.waitExposed(dialog)
            look(title, dialog)
            dialog.hide()
    finally:
        for dialog in made.values():
            dialog.deleteLater()


KINDS = {"main": main_windows, "wizard": wizard_windows, "batch": batch_windows, "dialogs": dialogs}
"""What there is to look at, in four parts."""
