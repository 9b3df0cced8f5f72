"""How long the view takes to draw a frame while it is moved: wiping, turning, zooming, panning."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from PySide6.QtCore import QPointF

from app.compare.view import CompareView

MOTIONS = ("wipe", "turn", "zoom", "pan", "loupe", "grid")


def frame_times(view: CompareView, motion: str, frames: int = 60) -> list[float]:
    """Move the view and draw it at once after each step, as the mouse would; seconds of each frame.

    Args:
        view: on the screen, with before and after; "grid" takes its results too. Its mode and place change.
        motion: one of MOTIONS. Zooming goes from fit to 800 % and back about a place beside the middle, wiping from
            one side to the other at 30 degrees, turning once around; all but zooming at fit.
        frames: how many steps.
    """
    if motion not in MOTIONS:
        raise ValueError(f"Frames are measured for one of {', '.join(MOTIONS)}, not for {motion!r}")
    view.set_mode({"pan": "side", "zoom": "side", "loupe": "side", "grid": "grid"}.get(motion, "wipe"))
    view.set_loupe(motion == "loupe")
    view.fit()
    if motion == "pan":
        view.zoom_to(1.0)
    view.set_wipe_angle(30.0)
    view.set_wipe_position(0.5)
    view.repaint()
    step = _steps(view, motion, frames)
    taken = []
    for index in range(frames):
        start = time.perf_counter()
        step(index)
        view.repaint()
        taken.append(time.perf_counter() - start)
    view.set_loupe(False)
    return taken


def _steps(view: CompareView, motion: str, frames: int) -> Callable[[int], object]:
    """What moves the view at each frame."""
    width, height = view.width(), view.height()
    fitting = view.zoom

    def zoom(index: int) -> None:
        # Up and down again, evenly to the eye.
        there = 1 - abs(2 * index / max(1, frames - 1) - 1)
        wanted = fitting * (8 / fitting) ** there
        view.zoom_about(wanted / view.zoom, QPointF(width * 0.2, height * 0.4))

    def hover(index: int) -> None:
        turn = 2 * math.pi * index / frames
        view.track(QPointF(width * (0.5 + 0.3 * math.cos(turn)), height * (0.5 + 0.3 * math.sin(turn))))

    return {
        "wipe": lambda index: view.set_wipe_position(index / max(1, frames - 1)),
        "turn": lambda index: view.set_wipe_angle(360 * index / frames),
        "zoom": zoom,
        "grid": zoom,
        "pan": lambda index: view.pan(17, 9),
        "loupe": hover,
    }[motion]
