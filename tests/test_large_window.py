"""Huge pictures in the window: it asks before it opens one, and its memory does not grow with them.

`PYTHONPATH=tests python -m test_large_window FOLDER MEGAPIXELS` makes a tiled TIFF there, opens it in a window of its
own, looks at places all over it, and prints what that took: in MB the most anonymous memory before it was opened, until
it was shown and while it was looked at and denoised, and the seconds until it was shown and those that the window did
not answer at most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from opened import noisy_file
from test_large import ROOT, linux_only, status, write_large
from test_window import make_window, window  # noqa: F401 - fixtures
from test_workspace import PATIENCE_MS, known_noise, small_tiles, wait_done, workspace  # noqa: F401 - fixtures

from app import jobs
from app.jobs import Target
from app.pyramid import Pyramid
from app.settings import Settings
from app.workspace import Workspace
from engine import scratch
from engine.denoise import Denoising
from engine.image import load_image


class Watch:
    """The most anonymous memory since it was last asked, in MB, and the longest pause of the event loop, in seconds."""

    def __init__(self) -> None:
        self.peak, self.pause, self._last = 0, 0.0, time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, status("RssAnon"))

    def beat(self) -> None:
        now = time.monotonic()
        self.pause, self._last = max(self.pause, now - self._last), now

    def take(self) -> int:
        peak, self.peak = self.peak, 0
        return peak

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def measure(path: Path, in_memory: int, seconds: float) -> dict[str, float]:
    """Open a picture in a window and look at it for some time; what was there before, and the most meanwhile."""
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from app.window import MainWindow

    scratch.IN_MEMORY = in_memory
    app = QApplication([])
    main = MainWindow(Workspace(Settings(memory_mb=512)))
    state, watch = main.workspace, Watch()
    main.resize(1400, 900)
    main.show()
    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(watch.beat)
    timer.start()

    def wait(is_over: Callable[[], bool], most: float) -> None:
        end = time.monotonic() + most
        while not is_over() and time.monotonic() < end:
            app.processEvents()
            time.sleep(0.002)

    # All libraries are there after this, and the model that is chosen.
    small = noisy_file(path.with_suffix(".small.png"), 500, 600)
    state.open([small])
    wait(lambda: state.is_done, 300)
    before = watch.take()

    watch.pause, start = 0.0, time.monotonic()
    state.open([path])
    wait(lambda: state.opened is not None and state.opened.picture.image.path == path, 600)
    seconds_shown = time.monotonic() - start
    wait(lambda: False, 0.5)
    opening, image = watch.take(), state.opened.picture.image

    rng, zooms, end = np.random.default_rng(0), [0.05, 0.3, 1.0, 4.0], time.monotonic() + seconds
    while time.monotonic() < end:
        main.view.zoom_to(float(rng.choice(zooms)), tuple(rng.random(2) * (image.width, image.height)))
        for _ in range(5):
            main.view.pan(40, 25)
            wait(lambda: False, 0.03)
        wait(lambda: False, 0.3)
    looking = watch.take()
    watch.stop()
    main.close()
    small.unlink(missing_ok=True)
    return {
        "megapixels": round(image.width * image.height / 1e6, 1),
        "before_mb": before,
        "opening_mb": opening,
        "looking_mb": looking,
        "shown_s": round(seconds_shown, 1),
        "longest_pause_s": round(watch.pause, 2),
    }


def measured(folder: Path, megapixels: int, in_memory: int, seconds: float) -> dict[str, float]:
    """In a process of its own."""
    path = folder / "large.tif"
    write_large(path, megapixels)
    command = [sys.executable, "-m", "test_large_window", "--measure", str(path), str(in_memory), str(seconds)]
    more = {"PYTHONPATH": str(ROOT / "tests"), "PELLUCID_HOME": str(folder / "home"), "QT_QPA_PLATFORM": "offscreen"}
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | more)
    path.unlink()
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)


@linux_only
@pytest.mark.slow
def test_looking_at_a_large_picture_takes_no_memory_that_grows_with_it(tmp_path):
    found = measured(tmp_path, 15, 1 << 20, 0.5)  # 180 MB of float32, 45 MB as stored, 120 MB as shown, twice
    assert found["megapixels"] > 14
    assert max(found["opening_mb"], found["looking_mb"]) - found["before_mb"] < 200, found


# ---- Asking ----


@pytest.fixture
def low_limits(monkeypatch):
    """More than 5000 pixels are a huge picture, and more than 4000 too many for a thumbnail."""
    monkeypatch.setattr("engine.reading._LARGEST", 5000)
    monkeypatch.setattr("app.jobs._MOST_FOR_THUMBNAIL", 4000)


@pytest.fixture
def answers(monkeypatch):
    """The questions asked, each answered by the next of `said`."""

    class Asked(list):
        said: tuple[bool, ...] = ()

    asked = Asked()

    def answer(parent, title, question, yes):
        asked.append(question)
        return asked.said[len(asked) - 1]

    monkeypatch.setattr("app.window.confirmed", answer)
    return asked


def test_a_huge_picture_is_opened_after_one_question_that_says_what_it_takes(
    window,  # noqa: F811
    qtbot,
    tmp_path,
    low_limits,
    answers,
):
    answers.said = (True,)
    huge, small = noisy_file(tmp_path / "huge.png", 100, 120), noisy_file(tmp_path / "small.png", 40, 50)
    window.workspace.open([huge, small])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert window.workspace.opened.picture.image.path == huge
    (question,) = answers
    assert question.startswith("huge.png has 120 x 100 pixels.")
    assert "of the disk" in question
    assert "are free" in question
    # Others come and go: it is not asked again.
    window.workspace._pictures.clear()
    window.workspace.step(1)
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    window.workspace._pictures.clear()
    window.workspace.step(-1)
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert window.workspace.opened.picture.image.path == huge
    assert len(answers) == 1


def test_a_huge_picture_that_is_declined_leaves_the_list_and_is_no_failure(
    window,  # noqa: F811
    qtbot,
    tmp_path,
    low_limits,
    answers,
):
    answers.said = (False,)
    huge, small = noisy_file(tmp_path / "huge.png", 100, 120), noisy_file(tmp_path / "small.png", 40, 50)
    window.workspace.open([huge, small])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert [entry.path for entry in window.workspace.entries] == [small]
    assert window.workspace.failures.failures == ()


def test_what_opening_takes_is_counted_in_bytes(tmp_path, low_limits):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((100, 120, 3), np.uint16), photometric="rgb")
    (found,) = [step for step in jobs.read(tmp_path / "a.tif", None, None, False) if isinstance(step, jobs.Oversize)]
    samples = 100 * 120 * 3
    assert (found.width, found.height) == (120, 100)
    assert found.opened == samples * (4 + 2) + 2 * samples * 4 // 3
    assert (found.denoised, found.decoded) == (12 * samples + 4 * 100 * 120, 0)


def test_thumbnails_read_no_large_picture_and_show_it_once_it_was_opened(
    window,  # noqa: F811
    qtbot,
    tmp_path,
    low_limits,
    monkeypatch,
):
    read = []
    monkeypatch.setattr("app.jobs.load_image", lambda path, *more, **how: read.append(path) or load_image(path, *more))
    large = noisy_file(tmp_path / "large.png", 60, 70)
    small = [noisy_file(tmp_path / f"{number}.png", 40, 50) for number in range(2)]
    window.workspace.open([small[0], large, small[1]])
    qtbot.waitUntil(lambda: len(window.workspace.entries) == 3, timeout=PATIENCE_MS)
    first, middle, last = window.workspace.entries
    qtbot.waitUntil(lambda: last.thumbnail is not None, timeout=PATIENCE_MS)
    assert first.thumbnail is not None
    assert middle.thumbnail is None
    assert large not in read
    window.workspace.select(middle)
    qtbot.waitUntil(lambda: middle.thumbnail is not None, timeout=PATIENCE_MS)


# ---- What is shown lies in files ----


@pytest.mark.parametrize("shape", [(301, 517, 3), (64, 1000, 1), (1, 700, 3), (700, 1, 1)])
def test_a_pyramid_in_files_is_the_one_in_memory(monkeypatch, shape):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, shape, np.uint8)
    other = rng.integers(0, 256, (min(130, shape[0]), min(300, shape[1]), shape[2]), np.uint8)

    def made() -> Pyramid:
        pyramid = Pyramid(pixels)
        pyramid.make_all()
        pyramid.level(2)
        after = pyramid.copy()
        after.replace(other, 0, 0)
        return after

    memory = made()
    monkeypatch.setattr(scratch, "IN_MEMORY", 100)
    monkeypatch.setattr("app.pyramid._BAND", 1000)
    filed = made()
    assert filed._rooms
    assert not memory._rooms
    for index in range(3):
        np.testing.assert_array_equal(filed.level(index), memory.level(index))
    np.testing.assert_array_equal(filed._given[0], pixels)


def test_a_result_that_lies_in_a_file_is_the_one_in_memory(workspace, qtbot, tmp_path, monkeypatch):  # noqa: F811
    path = noisy_file(tmp_path / "a.tif", 140, 250)
    saved = []
    workspace.saved.connect(saved.append)
    for name, limit in (("memory.tif", 1 << 28), ("file.tif", 1000)):
        monkeypatch.setattr(scratch, "IN_MEMORY", limit)
        monkeypatch.setattr("app.jobs._BAND", 33)
        workspace.open([path])
        wait_done(workspace, qtbot)
        workspace.set_strength(0.8)
        workspace.set_guard(2.0)
        saved.clear()
        workspace.save(Target(tmp_path / name))
        qtbot.waitUntil(lambda: bool(saved) or bool(workspace.errors), timeout=PATIENCE_MS)
        assert workspace.errors == []
        workspace.remove(list(workspace.entries))
    np.testing.assert_array_equal(load_image(tmp_path / "memory.tif").pixels, load_image(tmp_path / "file.tif").pixels)


def test_a_full_disk_while_it_is_denoised_is_one_sentence(workspace, qtbot, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    original = Denoising.__init__
    monkeypatch.setattr(Denoising, "__init__", lambda self, *a, **k: original(self, *a, **{**k, "budget": 0}))
    workspace.open([noisy_file(tmp_path / "a.png")])
    qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    (said,) = workspace.errors
    assert said.startswith("There is not enough room to denoise this picture: it needs 230,400 bytes on the disk of ")
    assert said.endswith("where 1,000 are free")


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        sys.stdout.write(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
    else:
        sys.stdout.write(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]), scratch.IN_MEMORY, 60)) + "\n")
