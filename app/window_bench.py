"""`pellucid bench window`: use the window as a person does while the engine works, and tell how it answered.

Every size of picture has a process of its own, in which torch is not loaded before the window is open.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QSlider, QWidget

from app.responsiveness import Delay, blocks, quantile, recorded, summary

SMALLEST, LARGEST = 0.01, 10_000
"""Megapixels of a picture that is measured with."""

OPENING, DENOISING, BATCH = "opening", "denoising", "batch"

_SIZE = 1400, 900
_STEP_S = 0.03
"""Between two moves of a drag."""

_PATIENCE_S = 240.0
_BLOCK_ROWS = 1024
_FRAMES = 60


def run(
    megapixels: Sequence[float], seconds: float, say: Callable[[str], None] = lambda line: None
) -> dict[str, list[dict[str, Any]] | dict[str, Any]]:
    """Measure the window with pictures of these sizes, about so many seconds with each load; see `measure`."""
    found: dict[str, Any] = {"machine": machine(), "delays": [], "blocks": [], "frames": []}
    for size in megapixels:
        say(f"{size:g} megapixels")
        # Spawned: nothing of this process, torch above all, is loaded in it.
        with ProcessPoolExecutor(1, get_context("spawn"), importlib.import_module, _first()) as pool:
            one = pool.submit(measure, size, seconds).result()
        for table in ("delays", "blocks", "frames"):
            found[table] += [{"megapixels": size, **row} for row in one[table]]
    found["machine"]["load"] = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return found


def _first() -> tuple[str]:
    """What a process loads before all else; on Windows torch, whose libraries fail there after Qt's."""
    return ("torch" if sys.platform == "win32" else "time",)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": int(threads) if threads.isdecimal() else os.cpu_count(),
        "python": platform.python_version(),
    }


def measure(megapixels: float, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """Use a window with a picture of that size in this process.

    Returns:
        delays: of a timer that is due every 5 ms, a row for each load and action, and one for each load with all of
        them. blocks: see `responsiveness.blocks`. frames: a row for each movement.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.environ["PELLUCID_HOME"] = str(folder / "home")
        large, other = folder / "large.tif", folder / "other.tif"
        write_picture(large, megapixels)
        write_picture(other, min(megapixels, 2.0))
        (folder / "batch").mkdir()
        for number in range(3):
            write_picture(folder / "batch" / f"{number}.tif", min(megapixels, 4.0))
        return _measure(large, other, folder / "batch", seconds)


def write_picture(path: Path, megapixels: float) -> None:
    """A noisy 16-bit colour TIFF, 3:2, of about that many pixels: edges and texture that repeat, noise that does not.

    ValueError for sizes not from `SMALLEST` to `LARGEST`.
    """
    if not SMALLEST <= megapixels <= LARGEST:
        raise ValueError(f"A picture to measure with has {SMALLEST} to {LARGEST} megapixels, not {megapixels:g}")
    height = max(2, round((megapixels * 1e6 / 1.5) ** 0.5))
    width = max(2, round(height * 1.5))
    rng = np.random.default_rng(0)

    def bands() -> Iterator[np.ndarray]:
        x = np.arange(width, dtype=np.float32)
        for top in range(0, height, _BLOCK_ROWS):
            y = np.arange(top, min(top + _BLOCK_ROWS, height), dtype=np.float32)[:, None]
            waves = 0.5 + 0.2 * np.sin(x / 90) * np.cos(y / 70) + 0.05 * np.sin(x / 2.1) * (np.sin(y / 300) > 0.5)
            clean = np.where(np.hypot(x % 700 - 350, y % 700 - 350) < 200, 0.85, waves)[..., None] * [1.0, 0.9, 0.8]
            noise = 0.06 * rng.standard_normal(clean.shape, np.float32)
            yield np.rint(np.clip(clean + noise, 0, 1) * 65535).astype(np.uint16)

    rows = (row for band in bands() for row in band)
    tifffile.imwrite(
        path,
        rows,
        shape=(height, width, 3),
        dtype=np.uint16,
        photometric="rgb",
        rowsperstrip=1,
    )


def _measure(large: Path, other: Path, folder: Path, seconds: float) -> dict[str, list[dict[str, Any]]]:
    from app.garbage import Garbage
    from app.settings import Settings
    from app.window import MainWindow
    from app.workspace import Workspace

    app = QApplication([sys.argv[0]])
    garbage = Garbage(app)
    with recorded() as recorder:
        recorder.stage, recorder.action = OPENING, "start"
        window = MainWindow(Workspace(Settings()))
        window.workspace.models_changed.connect(garbage.spare)
        window.resize(*_SIZE)
        window.show()
        person = Person(window, large, other, folder, seconds)
        frames: list[dict[str, Any]] = []
        steps = person.use(frames)
        timer = QTimer()
        timer.setSingleShot(True)
        failed: list[BaseException] = []

        def go_on() -> None:
            try:
                recorder.stage, recorder.action, pause = next(steps)
            except StopIteration:
                app.exit()
            except Exception as error:  # noqa: BLE001 - an error in a slot would be printed, and the loop go on
                failed.append(error)
                app.exit()
            else:
                # After what the step asked for: else a long one would be written with the name of the next.
                QTimer.singleShot(0, lambda: timer.start(round(1000 * pause)))

        timer.timeout.connect(go_on)
        timer.start(0)
        app.exec()
        recorder.stage, recorder.action = "", ""
    window.close()
    garbage.end()
    if failed:
        raise failed[0]
    return {
        "delays": _tables(recorder.delays),
        "blocks": blocks([one for one in recorder.delays if one.stage]),
        "frames": frames,
    }


def _tables(delays: Sequence[Delay]) -> list[dict[str, Any]]:
    rows = []
    for stage in (OPENING, DENOISING, BATCH):
        own = [one for one in delays if one.stage == stage]
        actions = list(dict.fromkeys(one.action for one in own))
        chosen = [("all", own), *((action, [one for one in own if one.action == action]) for action in actions)]
        rows += [{"load": stage, "action": action, **summary(ones)} for action, ones in chosen if ones]
    return rows


class Person:
    """Uses a window step by step: each step is (load, action, seconds until the next), and is done when it is given.

    What opens a dialog is asked for later, so that the dialog's own event loop does not stand in the way.
    """

    def __init__(self, window: Any, large: Path, other: Path, folder: Path, seconds: float) -> None:
        self.window = window
        self.workspace = window.workspace
        self.large, self.other, self.folder, self.seconds = large, other, folder, seconds
        self.load = OPENING

    def use(self, frames: list[dict[str, Any]]) -> Iterator[tuple[str, str, float]]:
        """Do everything; `frames` is filled with how fast movements were drawn."""
        yield from self._wait("start", lambda: bool(self.workspace.catalog.models), "the list of models")
        self.workspace.open([self.large])
        yield from self._wait("open", lambda: self.workspace.opened is not None, "the picture", busy=True)
        yield from self._wait("measure the noise", lambda: self.workspace.opened.is_measured, "its noise", busy=True)
        yield from self._wait("first tile", lambda: self._shows_result, "a first result")
        self.load = DENOISING
        yield from self._repeat(self._all)
        yield from self._frames(frames, DENOISING)
        self._later(self.workspace.cancel)
        yield from self._wait_apart(lambda: not self.workspace.is_running, "rest")
        yield from self._frames(frames, "none")
        self.load = BATCH
        yield from self._start_batch()
        yield from self._repeat(self._looking, lambda: self.window.queue.is_live)
        self.window.queue.cancel()
        yield from self._wait("cancel", lambda: not self.window.queue.is_live, "the end of the batch")

    def _repeat(
        self, actions: Callable[[], Iterator[tuple[str, float]]], may: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[str, str, float]]:
        """All of these actions at least once, and again until the time is over."""
        end = time.monotonic() + self.seconds
        is_first = True
        while may() and (is_first or time.monotonic() < end):
            for action, pause in actions():
                if not is_first and (time.monotonic() > end or not may()):
                    return
                yield self.load, action, pause
            is_first = False

    def _wait(
        self, action: str, is_so: Callable[[], bool], what: str, busy: bool = False
    ) -> Iterator[tuple[str, str, float]]:
        """Wait for something, at leisure or hovering and turning panels meanwhile; TimeoutError after minutes."""
        end = time.monotonic() + _PATIENCE_S
        turn = 0
        while not is_so():
            if time.monotonic() > end:
                raise TimeoutError(f"The window was asked for {what} and did not have it after {_PATIENCE_S:.0f} s")
            if busy:
                turn += 1
                self._move(QPoint(100 + turn % 400, 200))
                if turn % 20 == 0:
                    self._later(self.window.actions_by_name["filmstrip"].trigger)
            yield self.load, action, _STEP_S

    @property
    def _shows_result(self) -> bool:
        return self.window.workspace._shows_result

    # ---- Mouse and keys ----

    @property
    def _canvas(self) -> QWidget:
        view = self.window.view
        return view.childAt(view.rect().center()) or view

    def _mouse(self, kind: QEvent.Type, place: QPoint, held: bool) -> None:
        canvas = self._canvas
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QEvent.Type.MouseMove else left
        event = QMouseEvent(
            kind,
            QPointF(place),
            QPointF(canvas.mapToGlobal(place)),
            button,
            left if held else none,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.postEvent(canvas, event)

    def _move(self, place: QPoint) -> None:
        self._mouse(QEvent.Type.MouseMove, place, held=False)

    def _drag(self, action: str, start: QPoint, by: QPoint, steps: int = 12) -> Iterator[tuple[str, float]]:
        self._mouse(QEvent.Type.MouseButtonPress, start, held=True)
        for step in range(1, steps + 1):
            self._mouse(QEvent.Type.MouseMove, start + by * (step / steps), held=True)
            yield action, _STEP_S
        self._mouse(QEvent.Type.MouseButtonRelease, start + by, held=False)
        yield action, _STEP_S

    def _wheel(self, place: QPoint, notches: int) -> None:
        canvas = self._canvas
        event = QWheelEvent(
            QPointF(place),
            QPointF(canvas.mapToGlobal(place)),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.postEvent(canvas, event)

    @staticmethod
    def _later(run: Callable[[], object]) -> None:
        QTimer.singleShot(0, lambda: run() and None)

    def _trigger(self, name: str) -> None:
        self._later(self.window.actions_by_name[name].trigger)

    # ---- What people do ----

    def _all(self) -> Iterator[tuple[str, float]]:
        """Everything, once."""
        yield from self._looking()
        yield from self._values()
        yield from self._pictures()
        yield from self._dialogs()

    def _looking(self) -> Iterator[tuple[str, float]]:
        """What changes nothing but the view and the window."""
        actions = self.window.actions_by_name
        for mode in [name for name in actions if name.startswith("mode_")]:
            self._trigger(mode)
            yield "switch modes", 0.15
        self._trigger("mode_wipe")
        yield "switch modes", 0.15
        area = self._canvas.rect()
        middle = area.center()
        yield from self._drag("drag the wipe line", middle, QPoint(area.width() // 3, 0))
        yield from self._drag(
            "drag the wipe line", middle + QPoint(area.width() // 3, 0), QPoint(-area.width() // 3, 0)
        )
        for notches in (*[1] * 10, *[-1] * 6):
            self._wheel(QPoint(area.width() // 4, area.height() // 3), notches)
            yield "zoom about the cursor", _STEP_S
        yield from self._drag("pan", area.center() + QPoint(150, 100), QPoint(-200, -120))
        for name in ("full", "fit", "full"):
            self._trigger(name)
            yield "fit and 100 %", 0.15
        yield from self._drag("pan", area.center() + QPoint(150, 100), QPoint(-200, -120))
        self._later(self.window.view.flip)
        yield "flip", 0.15
        self._later(self.window.view.flip)
        yield "flip", 0.15
        others = [
            name
            for name, action in actions.items()
            if action.isCheckable() and action.isEnabled() and not name.startswith("mode_") and name != "full_screen"
        ]
        for name in others:
            for _ in range(2):
                self._trigger(name)
                yield f"toggle {name.replace('_', ' ')}", 0.25
        for width, height in ((1000, 700), (1200, 800), (1700, 1000), _SIZE):
            self._later(lambda width=width, height=height: self.window.resize(width, height))
            yield "resize", 0.15
        self._trigger("fit")
        yield "fit and 100 %", 0.15

    def _values(self) -> Iterator[tuple[str, float]]:
        """Sliders, and steps back."""
        workspace = self.workspace
        for name, slider in self._sliders().items():
            was = slider.value()
            slider.setSliderDown(True)
            low, high = slider.minimum(), slider.maximum()
            for step in range(10):
                self._later(lambda s=slider, v=low + (high - low) * step // 10: s.setSliderPosition(v))
                yield f"drag {name}", _STEP_S
            slider.setSliderPosition(was)
            slider.setSliderDown(False)
            yield f"drag {name}", 0.4
        for _ in range(3):
            self._later(workspace.undo)
            yield "undo", 0.15
        for _ in range(2):
            self._later(workspace.redo)
            yield "redo", 0.15
        self._later(workspace.cancel)
        yield "cancel", 0.3
        self._later(workspace.denoise)
        yield "denoise again", 0.5

    def _sliders(self) -> dict[str, QSlider]:
        """Those of the panel that are seen, by their name."""
        sliders = self.window.controls.findChildren(QSlider)
        named = {slider.accessibleName(): slider for slider in sliders if slider.isEnabled()}
        return {name: slider for name, slider in named.items() if name and slider.isVisibleTo(self.window.controls)}

    def _pictures(self) -> Iterator[tuple[str, float]]:
        """Open another, and go between them."""
        workspace = self.workspace
        self._later(lambda: workspace.open([self.other]))
        yield "open another picture", 1.0
        for by in (-1, 1, -1):
            self._later(lambda by=by: workspace.step(by))
            yield "select another picture", 0.8
        yield "select another picture", 0.8

    def _dialogs(self) -> Iterator[tuple[str, float]]:
        """Everything that opens a window, and the other theme."""
        for name in ("save", "preferences", "shortcuts", "manage_presets", "batch", "train"):
            if name not in self.window.actions_by_name:
                continue
            action = f"open {name.replace('_', ' ')}"
            before = set(QApplication.topLevelWidgets())
            self._trigger(name)
            yield action, 0.6
            for widget in QApplication.topLevelWidgets():
                if widget is not self.window and widget.isWindow() and widget.isVisible():
                    self._later(widget.close)
            yield f"close {name.replace('_', ' ')}", 0.3
            for widget in set(QApplication.topLevelWidgets()) - before:
                if widget.isVisible():
                    self._later(widget.close)
        was = self.workspace.settings.theme
        for theme in ("light" if was == "dark" else "dark", was):
            self._later(lambda theme=theme: self.workspace.change_settings(theme=theme))
            yield "change the theme", 0.6
        self._trigger("copy")
        yield "copy the result", 0.8

    def _start_batch(self) -> Iterator[tuple[str, str, float]]:
        from app.batch.setup_page import FOLDER

        window = self.window
        self._later(lambda: window.batch.set_up(FOLDER, folder=self.folder))
        yield self.load, "set up", 0.5
        yield from self._wait("set up", lambda: not window.batch.setup.problem, "a batch that can start")
        self._later(window.batch.start)
        yield self.load, "start", 0.2
        yield from self._wait(
            "start", lambda: window.queue.is_live and window.queue.tally is not None, "a batch at work"
        )

    # ---- Frames ----

    def _wait_apart(self, is_so: Callable[[], bool], what: str) -> Iterator[tuple[str, str, float]]:
        """Wait for something that belongs to no load."""
        yield "", "wait", 0.5
        yield from (("", action, pause) for _, action, pause in self._wait("wait", is_so, what))

    def _frames(self, rows: list[dict[str, Any]], load: str) -> Iterator[tuple[str, str, float]]:
        """Move and draw at once, again and again: how long each takes. This blocks, so it belongs to no load."""
        view = self.window.view
        view.set_mode("wipe")
        self.window.resize(*_SIZE)
        yield "", "frames", 0.5
        area = self._canvas.rect()
        for zoom in ("fit", "100 %", "300 %"):
            view.fit() if zoom == "fit" else view.zoom_to(float(zoom[:-2]) / 100)
            yield "", "frames", 0.5
            places = [0.1 + 0.8 * abs((frame % 40) / 20 - 1) for frame in range(_FRAMES)]
            rows.append({"load": load, "movement": f"wipe at {zoom}", **self._timed(view.set_wipe_position, places)})
            yield "", "frames", 0.1
        view.zoom_to(1.0)
        yield "", "frames", 0.5
        rows.append(
            {
                "load": load,
                "movement": "pan at 100 %",
                **self._timed(lambda x: view.pan(x, 7), [11.0, -13.0] * (_FRAMES // 2)),
            }
        )
        view.fit()
        yield "", "frames", 0.5
        notches = ([1] * 12 + [-1] * 12) * (_FRAMES // 24)
        place = QPoint(area.width() // 4, area.height() // 3)

        def turn(notch: int) -> None:
            self._wheel(place, notch)
            QApplication.sendPostedEvents(self._canvas, QEvent.Type.Wheel)

        rows.append({"load": load, "movement": "zoom from fit, 12 notches and back", **self._timed(turn, notches)})
        view.fit()
        yield "", "frames", 0.5

    def _timed(self, move: Callable[[Any], object], values: Sequence[Any]) -> dict[str, float]:
        """Frames a second of moves that are drawn one by one: at the clock, and by the thread's own work alone."""
        wall, own = [], []
        for value in values:
            began, at_work = time.perf_counter(), time.thread_time()
            move(value)
            self._canvas.repaint()
            wall.append(time.perf_counter() - began)
            own.append(time.thread_time() - at_work)
        return {
            "frames": len(wall),
            "median_fps": round(1 / quantile(wall, 0.5), 1),
            "p5_fps": round(1 / quantile(wall, 0.95), 1),
            "own_median_fps": round(1 / quantile(own, 0.5), 1),
            "own_p5_fps": round(1 / quantile(own, 0.95), 1),
        }


# ---- Telling ----


def markdown(found: dict[str, Any]) -> str:
    """The tables of `run` for people."""
    about = found["machine"]
    cores = f"{about['cores']} cores, {about['threads']} of them for networks"
    load = "" if about.get("load") is None else f", load {about['load']} at the end"
    lines = [
        f"{cores}, {about['system']}, Python {about['python']}{load}.",
        "",
        *_rows(
            "How late a timer of 5 ms came, by load",
            (
                "megapixels",
                "load",
                "beats",
                "p50_ms",
                "p95_ms",
                "p99_ms",
                "max_ms",
                "own_max_ms",
                "blocks",
                "own_blocks",
            ),
            [row for row in found["delays"] if row["action"] == "all"],
        ),
        *_rows(
            "By action",
            (
                "megapixels",
                "load",
                "action",
                "beats",
                "p95_ms",
                "p99_ms",
                "max_ms",
                "own_max_ms",
                "blocks",
                "own_blocks",
            ),
            [row for row in found["delays"] if row["action"] != "all"],
        ),
        *_rows(
            "Blocks over 50 ms",
            ("megapixels", "where", "count", "max_ms", "own_ms", "queued_ms", "waited_ms", "during"),
            [{**row, "during": ", ".join(row["during"])} for row in found["blocks"]],
        ),
        *_rows(
            "Frames",
            ("megapixels", "load", "movement", "frames", "median_fps", "p5_fps", "own_median_fps", "own_p5_fps"),
            found["frames"],
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def verdict(found: dict[str, Any]) -> str:
    """What people want to know first: how many blocks, of what, and the slowest movement."""
    lines = [
        f"{row['megapixels']:g} megapixels, {row['where']}: {row['count']} block{'s' * (row['count'] != 1)}, "
        f"the longest {row['max_ms']:g} ms, its own work {row['own_ms']:g} ms, during {', '.join(row['during'])}"
        for row in found["blocks"]
    ]
    lines = lines or ["Nothing blocked the event loop for more than 50 ms."]
    slowest = min(found["frames"], key=lambda row: row["p5_fps"])
    lines.append(
        f"The slowest movement, {slowest['movement']} with load {slowest['load']}: "
        f"{slowest['p5_fps']:g} frames a second (5th percentile)"
    )
    return "\n".join(lines) + "\n"


def _rows(title: str, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = [name.replace("_ms", ", ms").replace("_fps", ", frames/s").replace("_", " ") for name in names]
    body = ["| " + " | ".join("–" if row[name] is None else str(row[name]) for name in names) + " |" for row in rows]
    return [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(names), *body, ""]


def write(found: dict[str, Any], target: Path) -> None:
    """Everything as one JSON object; OSError as for any file."""
    target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
