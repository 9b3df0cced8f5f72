"""The place of the preview: a picture made small, and a square in it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QStyle, QWidget

from app import theme
from engine.language import tr

SIDE = 256
"""Of the square, in pixels of the picture; less where the picture is smaller."""


def pixmap_of(pixels: np.ndarray) -> QPixmap:
    """Of (h, w, C) uint8, C = 1 or 3."""
    pixels = np.ascontiguousarray(pixels)
    height, width, channels = pixels.shape
    kind = QImage.Format.Format_Grayscale8 if channels == 1 else QImage.Format.Format_RGB888
    return QPixmap.fromImage(QImage(pixels.data, width, height, channels * width, kind))


class CropView(QWidget):
    """A picture made small, and a square in it that is moved by mouse or arrow keys."""

    placed = Signal(int, int)
    """Left and top of the square, in pixels of the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.square: QRect | None = None
        self._pixmap: QPixmap | None = None
        self._size = QSize()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(tr("Place of the preview"))
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Room for a picture of 3:2."""
        return QSize(300, 200)

    def show_picture(self, pixels: np.ndarray | None, size: QSize) -> None:
        """Show (h, w, C) uint8 of a picture that has `size` pixels; None shows nothing."""
        self._pixmap, self._size = None if pixels is None else pixmap_of(pixels), size
        self.update()

    def show_square(self, square: QRect | None) -> None:
        """Mark a square of the picture; None for none."""
        self.square = square
        self.update()

    def _room(self) -> QRectF:
        """Where the picture is."""
        size = self._size.scaled(self.size() - QSize(4, 4), Qt.AspectRatioMode.KeepAspectRatio)
        return QRectF(QStyle.alignedRect(self.layoutDirection(), Qt.AlignmentFlag.AlignCenter, size, self.rect()))

    def paintEvent(self, event) -> None:
        """The picture, darker around the square."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(theme.colors().canvas))
        if self._pixmap is not None:
            room = self._room()
            painter.drawPixmap(room, self._pixmap, QRectF(self._pixmap.rect()))
            if self.square is not None:
                scale = room.width() / self._size.width()
                inside = QRectF(self.square)
                inside = QRectF(inside.topLeft() * scale + room.topLeft(), inside.size() * scale)
                around = QPainterPath()
                around.addRect(room)
                hole = QPainterPath()
                hole.addRect(inside)
                painter.fillPath(around - hole, QColor(0, 0, 0, 110))
                painter.setPen(QPen(QColor(255, 255, 255), 3))
                painter.drawRect(inside)
                painter.setPen(QPen(QColor(theme.colors().accent), 1.5))
                painter.drawRect(inside)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.colors().accent_hover), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mousePressEvent(self, event) -> None:
        """Bring the square's middle there."""
        if self._pixmap is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        room = self._room()
        place = (event.position() - room.topLeft()) * (self._size.width() / max(room.width(), 1.0))
        self._move_to(round(place.x() - self._side() / 2), round(place.y() - self._side() / 2))

    mouseMoveEvent = mousePressEvent

    def keyPressEvent(self, event) -> None:
        """Move the square a quarter of its side; with Shift by a few pixels."""
        steps = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
        step = steps.get(event.key())
        if step is None or self._pixmap is None:
            super().keyPressEvent(event)
            return
        by = 8 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else self._side() // 4
        square = self.square or self._middle()
        self._move_to(square.left() + by * step[0], square.top() + by * step[1])

    def focusInEvent(self, event) -> None:
        """Show the frame."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event) -> None:
        """Hide the frame."""
        super().focusOutEvent(event)
        self.update()

    def _side(self) -> int:
        return min(SIDE, self._size.width(), self._size.height())

    def _middle(self) -> QRect:
        side = self._side()
        return QRect((self._size.width() - side) // 2, (self._size.height() - side) // 2, side, side)

    def _move_to(self, left: int, top: int) -> None:
        side = self._side()
        left = min(max(left, 0), self._size.width() - side)
        top = min(max(top, 0), self._size.height() - side)
        self.show_square(QRect(left, top, side, side))
        self.placed.emit(left, top)
