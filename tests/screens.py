"""The window in its main states, from the sample that is shipped.

`python -m tests.screens --update` makes the reference pictures again that test_screens.py compares with, or those whose
names are given; `python -m tests.screens gallery -o docs/gallery` walks through the window and writes the pictures of
the README.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_API", "pyside6")
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFont, QFontInfo, QFontMetricsF, QImage
from PySide6.QtWidgets import QApplication, QWidget

from app.batch.plan import Filter, Naming, Planner, find
from app.batch.saved import BatchJob
from app.batch.setup_page import FOLDER as BATCH_FOLDER
from app.batch.window import SUMMARY
from app.settings import Settings
from app.trials import State
from app.values import Values
from app.window import MainWindow
from app.wizard.window import METHOD, Wizard
from app.workspace import Workspace
from engine.encode import save_image
from engine.image import Image, load_image
from training.events import Judged, Previewed, Step, Validated

REFERENCES = Path(__file__).with_name("screens")
SAMPLE = Path(__file__).resolve().parents[1] / "resources/sample/coffee_noisy.tif"
WIDTH = 500
"""Of a reference picture, in pixels."""

SIZE = 1000, 700
GALLERY_SIZE, GALLERY_WIDTH = (1400, 900), 1100
PATIENCE_S = 240.0

_PASSES = 2
_QUALITY = 70
_REACH = 5
_FAMILY = "DejaVu Sans"
_TEXT, _TEXT_WIDTH = "Recorrupted-to-Recorrupted, because the noise is white", 335.0


class Stage:
    """A window of one theme with the sample in it, and what stands beside it.

    Attributes:
        folder: for what is made on the way.
        passes: T; None for what the window proposes.
    """

    def __init__(self, folder: Path, theme: str, size: tuple[int, int] = SIZE, passes: int | None = _PASSES) -> None:
        self.folder, self.size, self.passes = folder, size, passes
        settings = Settings(theme=theme, language="en", device="cpu", denoise_on_open=False)
        self.window = MainWindow(Workspace(settings))
        self.workspace, self.viewer = self.window.workspace, self.window.viewer
        self.window.resize(*size)
        self.window.show()
        self.wait(lambda: bool(self.workspace.catalog.models), "the list of models")

    def wait(self, is_so: Callable[[], object], what: str) -> None:
        """Let the window work until something is so; TimeoutError after minutes."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            QApplication.processEvents()
            time.sleep(0.005)
            if time.monotonic() > end:
                raise TimeoutError(f"The window did not come to {what}")
        self.settle()

    def settle(self, seconds: float = 0.2) -> None:
        """Let what was begun be drawn."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def open(self) -> None:
        """Show the sample, not denoised yet."""
        if self.workspace.opened is None:
            self.workspace.open([SAMPLE])
            self.wait(lambda: self.workspace.opened is not None and self.workspace.opened.is_measured, "the sample")
            self.wait(lambda: self.workspace.entries[0].thumbnail is not None, "its thumbnail")
            self.wait(lambda: self.workspace.reference is not None, "its clean twin")

    def denoise(self) -> None:
        """Show the sample with its result, side by side, everything else as at first."""
        workspace, window, viewer = self.workspace, self.window, self.viewer
        self.open()
        window.message.hide()
        viewer.dock.hide()
        if viewer.trials.is_on:
            viewer.trials.end()
        if viewer.inspector.marks:
            viewer.toggle_marks()
        viewer.show_layer("result")
        viewer.set_mode("side")
        viewer.view.set_wipe_position(0.5)
        viewer.view.fit()
        if not workspace.is_done:
            if self.passes is not None:
                workspace.set_value("passes", self.passes)
            workspace.denoise()
            self.wait(lambda: workspace.is_done, "a result")
        self.settle()

    def inspect(self, page: str, is_answered: Callable[[], object]) -> None:
        """Show a page of the inspector with its answer."""
        self.denoise()
        self.window.show_page(page)
        self.wait(is_answered, f"what the page {page} shows")

    def pictures(self) -> Path:
        """A folder with parts of the sample, each a noisy picture."""
        folder = self.folder / "holiday"
        if not folder.exists():
            folder.mkdir()
            image = load_image(SAMPLE)
            for number in range(12):
                row, column = divmod(number, 4)
                part = image.pixels[row * 130 : row * 130 + 130, column * 150 : column * 150 + 150]
                rounded = np.clip(part, 0, 1)
                save_image(Image(np.ascontiguousarray(rounded), bits=8), folder / f"holiday {number + 1:02}.png")
        return folder

    def plan(self, page: int = 0) -> QWidget:
        """The window of a training, with the folder of pictures."""
        wizard = self.window.wizard
        wizard.resize(*self.size)
        wizard.show()
        wizard.show_page(0)
        if wizard.plan.folder is None:
            wizard.folder.open(self.pictures())
        self.wait(lambda: wizard.folder.is_complete, "the pictures of a training")
        if page:
            wizard.show_page(page)
            self.wait(lambda: wizard.method.is_complete, "what is proposed for a training")
        return wizard

    def close(self) -> None:
        """End everything."""
        self.window.queue.close()
        self.window.queue.state = "idle"  # or it would ask
        self.window.close()
        self.window.deleteLater()
        QApplication.processEvents()


@contextmanager
def staged(
    theme: str, size: tuple[int, int] = SIZE, passes: int | None = _PASSES, home: Path | None = None
) -> Iterator[Stage]:
    """A stage with folders of its own; the program's looks are as before afterwards."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    palette, sheet, font = app.palette(), app.styleSheet(), app.font()
    app.setFont(fitted(font))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        before = os.environ.get("PELLUCID_HOME")
        os.environ["PELLUCID_HOME"] = str(home or Path(name) / "home")
        stage = Stage(Path(name), theme, size, passes)
        try:
            yield stage
        finally:
            stage.close()
            app.setStyleSheet(sheet)
            app.setPalette(palette)
            app.setFont(font)
            if before is None:
                del os.environ["PELLUCID_HOME"]
            else:
                os.environ["PELLUCID_HOME"] = before


def fitted(font: QFont) -> QFont:
    """The same font in the size in which a text is as wide as in the reference pictures: layouts follow that."""
    fitting = QFont(font)
    fitting.setPointSizeF(90.0)
    fitting.setPointSizeF(round(90 * _TEXT_WIDTH / QFontMetricsF(fitting).horizontalAdvance(_TEXT), 1))
    return fitting


# ---- States ----


def empty(stage: Stage) -> QWidget:
    """The first thing that is seen."""
    stage.settle()
    return stage.window


def opened(stage: Stage) -> QWidget:
    """A picture that is not denoised yet."""
    stage.open()
    return stage.window


def side(stage: Stage) -> QWidget:
    """Before and after beside each other."""
    stage.denoise()
    return stage.window


def stack(stage: Stage) -> QWidget:
    """Before and after above each other."""
    stage.denoise()
    stage.viewer.set_mode("stack")
    stage.settle()
    return stage.window


def wipe(stage: Stage) -> QWidget:
    """Before, and what was removed, under a line: small as it is, before and after would look alike."""
    stage.denoise()
    stage.viewer.set_mode("wipe")
    stage.viewer.show_layer("removed")
    stage.settle(0.5)
    return stage.window


def after(stage: Stage) -> QWidget:
    """The result alone."""
    stage.denoise()
    stage.viewer.set_mode("after")
    stage.settle()
    return stage.window


def removed(stage: Stage) -> QWidget:
    """What was taken away, in the place of the result."""
    stage.denoise()
    stage.viewer.show_layer("removed")
    stage.settle(0.5)
    return stage.window


def residual(stage: Stage) -> QWidget:
    """The page that judges what was taken away, with marks on the picture."""
    stage.inspect("residual", lambda: stage.viewer.dock._found is not None)
    stage.viewer.toggle_marks()
    stage.viewer.show_layer("removed")
    stage.wait(lambda: stage.viewer.dock._told_marks[1], "the marks")
    stage.settle(0.5)
    return stage.window


def noise(stage: Stage) -> QWidget:
    """The page of the noise."""
    found = []
    stage.viewer.inspector.curve_ready.connect(lambda curve, waiting: found.append(curve))
    stage.inspect("noise", lambda: found and found[-1] is not None)
    return stage.window


def histogram(stage: Stage) -> QWidget:
    """The page of histograms and values."""
    found = []
    stage.viewer.inspector.histogram_ready.connect(lambda one, waiting: found.append(one))
    stage.inspect("histogram", lambda: found and found[-1] is not None)
    return stage.window


def grid(stage: Stage) -> QWidget:
    """Four results of one region."""
    stage.denoise()
    stage.viewer.view.zoom_to(1.0)
    stage.settle()
    trials = stage.viewer.trials
    stage.viewer.try_all()
    stage.wait(
        lambda: len(trials.trials) == 4 and all(trial.state is State.DONE for trial in trials.trials), "four results"
    )
    return stage.window


def message(stage: Stage) -> QWidget:
    """A file that could not be opened."""
    stage.denoise()
    bad = stage.folder / "broken.png"
    bad.write_bytes(b"no picture")
    stage.workspace.open([bad])
    stage.wait(lambda: stage.window.message.isVisible(), "the message")
    stage.wait(lambda: stage.workspace.opened is not None, "the picture before")
    stage.workspace.denoise()
    stage.wait(lambda: stage.workspace.is_done, "its result")
    return stage.window


def training_folder(stage: Stage) -> QWidget:
    """The pictures that a model is to learn from."""
    return stage.plan()


def training_method(stage: Stage) -> QWidget:
    """What is proposed for a training."""
    return stage.plan(METHOD)


def training(stage: Stage) -> QWidget:
    """A training at work."""
    from test_wizard_progress import STARTED, Played

    wizard = stage.plan()
    played = Played(stage.folder / f"run {time.monotonic_ns()}", name="holiday")
    wizard.follow(played)
    curve = [(step, 0.012 + 0.05 / step**0.4) for step in range(1, 2600, 20)]
    steps = [Step(step, loss, 1e-3, 2100.0, step / 4000, (4000 - step) * 0.05) for step, loss in curve]
    judged = [Validated(2500, 0.0128), Judged(2500, 37.2, 0.21, 0.4, 0.06, 0.0123)]
    played.play(STARTED, *steps, *judged)
    stage.settle()
    played.turn("finished")  # or the window would ask what becomes of it
    wizard.shown.state = "running"
    wizard.progress.follow(played)
    stage.settle()
    played.state = "finished"
    return wizard


def batch(stage: Stage) -> QWidget:
    """A batch that is set up."""
    stage.open()
    window = stage.window.batch
    window.resize(*stage.size)
    window.set_up(BATCH_FOLDER, folder=stage.pictures())
    window.show()
    stage.wait(lambda: not window.setup.is_pending, "the pictures of a batch")
    return window


def batch_summary(stage: Stage) -> QWidget:
    """What came of a batch, one of whose pictures failed."""
    stage.open()
    window, queue = stage.window.batch, stage.window.queue
    window.resize(*stage.size)
    folder = stage.folder / "more"
    folder.mkdir()
    for path in sorted(stage.pictures().iterdir())[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "holiday 07.png").write_bytes(b"no picture")
    model = next(entry.name for entry in stage.workspace.catalog.models if entry.channels == 3)
    values = Values("r2r", model, {"r2r": {"passes": 1}})
    items = Planner(Naming(stage.folder / "out")).plan(find(sorted(folder.iterdir()), Filter()), values)
    queue.start(BatchJob(tuple(items), device="cpu"))
    window.show()
    stage.wait(lambda: not queue.is_live, "the end of the batch")
    window._show_page(SUMMARY)
    stage.settle()
    return window


STATES: dict[str, Callable[[Stage], QWidget]] = {
    state.__name__: state
    for state in (
        *(empty, opened, side, stack, wipe, after, removed, residual, noise, histogram, grid, message),
        *(training_folder, training_method, training, batch, batch_summary),
    )
}
"""In an order in which one window can go through them."""

LIGHT = ("empty", "side", "residual", "grid", "training", "batch")
"""Those that are looked at in the light theme, too."""


def names() -> list[str]:
    """Of all reference pictures, as theme and state."""
    return [f"dark-{name}" for name in STATES] + [f"light-{name}" for name in LIGHT]


def shoot(theme: str, wanted: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(name, picture (H, W, 3) uint8, RGB, `WIDTH` wide) of these states, one window going through all of them."""
    with staged(theme) as stage:
        for name in (name for name in STATES if name in wanted):
            widget = STATES[name](stage)
            yield f"{theme}-{name}", reduced(grabbed(widget), WIDTH)
            if widget is not stage.window:
                widget.hide()


def grabbed(widget: QWidget) -> np.ndarray:
    """(H, W, 3) uint8 of a window."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def reduced(pixels: np.ndarray, width: int) -> np.ndarray:
    """The same, that wide."""
    height = round(pixels.shape[0] * width / pixels.shape[1])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def write_jpeg(pixels: np.ndarray, path: Path, most: int, quality: int = _QUALITY) -> None:
    """As a JPEG of at most so many bytes, with less quality where that takes it."""
    while True:
        encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if encoded.size <= most or quality <= 30:
            path.write_bytes(encoded.tobytes())
            return
        quality -= 5


def read_reference(name: str) -> np.ndarray:
    """(H, W, 3) uint8, RGB; FileNotFoundError says how it is made."""
    path = REFERENCES / f"{name}.jpg"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; make it by: python -m tests.screens --update {name}")
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """How far two pictures of (H, W, 3) uint8 differ in brightness, 0 to 255: mean, and the most but for 0.5 %.

    A pixel differs as far as it lies outside of what the other picture has within `_REACH` pixels of it: other fonts,
    other edges of letters and a text of another length are near what they stand for; a part that is missing is not.
    """
    greys = [_brightness(pixels) for pixels in (first, second)]
    square = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    apart = np.zeros_like(greys[0])
    for one, other in (greys, greys[::-1]):
        low, high = cv2.erode(other, square), cv2.dilate(other, square)
        apart = np.maximum(apart, np.maximum(one - high, low - one))
    return float(apart.mean()), float(np.percentile(apart, 99.5))


def tolerance() -> tuple[float, float]:
    """What `difference` may be at most; more where letters are of another family than in the reference pictures."""
    return (0.8, 40.0) if QFontInfo(QApplication.font()).family() == _FAMILY else (2.0, 70.0)


def is_alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures show the same state."""
    if abs(first.shape[0] - second.shape[0]) > 1 or first.shape[1] != second.shape[1]:
        return False
    height = min(first.shape[0], second.shape[0])
    found = difference(first[:height], second[:height])
    return all(one <= most for one, most in zip(found, tolerance(), strict=True))


def _brightness(pixels: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), 1.0)


# ---- The walk ----


def drop(stage: Stage) -> None:
    """Let the sample fall on the window as from a file manager."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(SAMPLE))])
    place, copy = QPointF(stage.window.rect().center()), Qt.DropAction.CopyAction
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    entered = QDragEnterEvent(place.toPoint(), copy, data, left, none)
    QApplication.sendEvent(stage.window, entered)
    if not entered.isAccepted():
        raise RuntimeError("The window does not take the picture that is dropped")
    QApplication.sendEvent(stage.window, QDropEvent(place, copy, data, left, none))
    stage.wait(lambda: stage.workspace.opened is not None, "the picture that was dropped")


def eaten(stage: Stage) -> QWidget:
    """What was removed where the noise was said to be stronger than it is: structure is marked in it."""
    workspace, view = stage.workspace, stage.viewer.view
    workspace.set_value("sigma", 60 / 255)
    residual(stage)
    view.zoom_to(1.0, (330, 190))
    found = []
    stage.viewer.inspector.residual_ready.connect(lambda one, waiting: found.append(one))
    stage.wait(lambda: found and found[-1] is not None and found[-1].marks, "marks")
    stage.settle(0.5)
    return stage.window


def working_through(stage: Stage) -> QWidget:
    """A batch at work."""
    window, queue = stage.window.batch, stage.window.queue
    window.resize(*stage.size)
    window.set_up(BATCH_FOLDER, folder=stage.pictures())
    window.show()
    stage.wait(lambda: not window.setup.is_pending and not window.setup.problem, "the pictures of a batch")
    window.start()
    stage.wait(lambda: queue.counts["done"] >= 5 or not queue.is_live, "five results of a batch")
    return window


def learning(stage: Stage) -> QWidget:
    """A training on parts of the sample, some minutes after its start."""
    wizard = stage.plan(METHOD)
    assert isinstance(wizard, Wizard)
    quick = {"minutes": None, "steps": 400, "batch": 4, "patch": 32, "report_every": 2, "judge_every": 40}
    wizard.plan.options = {**wizard.plan.options, **quick, "device": "cpu", "threads": 1}
    wizard.start()
    run = stage.workspace.training
    assert run is not None

    def has_learned() -> bool:
        if not run.is_live:
            raise RuntimeError(f"The training has ended: {run.state} {run.message}")
        judged = [event for event in run.events if isinstance(event, Judged)]
        shown = [event for event in run.events if isinstance(event, Previewed)]
        return run.step >= 200 and len(judged) >= 3 and len(shown) >= 2

    stage.wait(has_learned, "a training that has learned something")
    return wizard


def stop_learning(stage: Stage) -> None:
    """End the training, and put its window away."""
    run = stage.workspace.training
    assert run is not None
    run.cancel()
    stage.wait(lambda: not run.is_live, "the end of the training")
    stage.window.wizard.hide()


def walk() -> Iterator[tuple[str, np.ndarray]]:
    """(name, picture (H, W, 3) uint8) from the first start on; ten of them."""
    with staged("dark", GALLERY_SIZE, passes=None) as stage:
        window, viewer = stage.window, stage.viewer
        yield "1-empty", grabbed(empty(stage))
        drop(stage)
        window.workspace.change_settings(denoise_on_open=True)
        stage.wait(lambda: stage.workspace.entries[0].thumbnail is not None, "its thumbnail")
        stage.wait(lambda: stage.workspace.reference is not None, "its clean twin")
        stage.wait(lambda: stage.workspace.opened.is_measured, "its noise")
        stage.workspace.denoise()
        stage.wait(lambda: stage.workspace.activity.share, "a first pass")
        yield "2-a-picture-is-dropped", grabbed(window)
        stage.denoise()
        viewer.view.zoom_to(1.0, (330, 190))
        stage.settle()
        yield "3-side-by-side-at-100-percent", grabbed(window)
        viewer.set_mode("wipe")
        viewer.view.zoom_to(2.0, (330, 190))
        viewer.view.set_wipe_position(0.45)
        stage.settle()
        yield "4-wipe", grabbed(window)
        yield "5-residual", grabbed(eaten(stage))
        stage.workspace.reset_value("sigma")
        yield "6-noise", grabbed(noise(stage))
        yield "7-four-results", grabbed(grid(stage))
        yield "8-training", grabbed(learning(stage))
        stop_learning(stage)
        yield "9-batch", grabbed(working_through(stage))
        stage.window.batch.hide()
        stage.workspace.change_settings(theme="light")
        histogram(stage)
        viewer.set_mode("wipe")
        stage.settle(0.5)
        yield "10-light", grabbed(window)


def gallery(folder: Path) -> None:
    """Write the pictures of the walk, each at most 150 kB."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in walk():
        write_jpeg(reduced(pixels, GALLERY_WIDTH), folder / f"{name}.jpg", 150_000, 88)
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


# ---- Commands ----


def update(wanted: Sequence[str]) -> None:
    """Make reference pictures again; of states that are gone they are deleted where all are made."""
    REFERENCES.mkdir(exist_ok=True)
    for theme in ("dark", "light"):
        states = [name.removeprefix(f"{theme}-") for name in wanted if name.startswith(f"{theme}-")]
        for name, pixels in shoot(theme, states):
            write_jpeg(pixels, REFERENCES / f"{name}.jpg", 30_000)
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
    for path in REFERENCES.glob("*.jpg"):
        if path.stem not in names():
            path.unlink()


def main(arguments: Sequence[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.screens", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="NAME", help=f"gallery, or of {', '.join(names())}")
    parser.add_argument("--update", action="store_true", help="make the reference pictures again")
    parser.add_argument("-o", dest="out", type=Path, default=Path("docs/gallery"), help="folder of the gallery")
    options = parser.parse_args(arguments)
    app = QApplication([])
    unknown = set(options.what) - {"gallery", *names()}
    if unknown or not (options.update or options.what == ["gallery"]):
        parser.error(f"there is no {', '.join(sorted(unknown))}" if unknown else "gallery or --update is wanted")
    if options.what == ["gallery"]:
        gallery(options.out)
    else:
        update(options.what or names())
    app.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
