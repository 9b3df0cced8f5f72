"""Pictures to compare, what a view shows of them, and a mouse to use it with."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.compare.view import CompareView

GREEN, BLUE = (0, 200, 0), (0, 0, 200)


def flat(color: tuple[int, int, int], height: int = 600, width: int = 800) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Grey noise (H, W, 1) of std 25 around 128, which uint8 holds without clipping."""
    grey = 128 + 25 * np.random.default_rng(seed).standard_normal((height, width, 1))
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def shown(view: QWidget) -> np.ndarray:
    """(H, W, 3) uint8 in device pixels: what the view draws once all of it is drawn well."""
    if isinstance(view, CompareView):
        for _ in range(50):
            view.grab()
            if not view._more_timer.isActive():
                break
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def at(view: CompareView, x: int, y: int) -> tuple[int, int, int]:
    return tuple(int(value) for value in shown(view)[y, x])


def wheel(view: CompareView, x: int, y: int, notches: int) -> None:
    target = view
    place = QPointF(x, y)
    none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(place, target.mapToGlobal(place), QPoint(), QPoint(0, 120 * notches), *none, False)
    QApplication.sendEvent(target, event)


def drag(view: CompareView, start: tuple[int, int], end: tuple[int, int]) -> None:
    target = view
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(target, left, none, QPoint(*start))
    for step in range(1, 6):
        QTest.mouseMove(target, QPoint(*(round(a + (b - a) * step / 5) for a, b in zip(start, end, strict=True))))
    QTest.mouseRelease(target, left, none, QPoint(*end))
