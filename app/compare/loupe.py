"""A lens at the cursor: the place under it before and after, beside each other, in exact pixels."""

from __future__ import annotations

import math

from PySide6.QtCore import QLineF, QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.compare.picture import Picture
from app.compare.place import MAX_ZOOM

_MOST_SIDE, _LEAST_SIDE = 220, 60
_DISTANCE = 24
"""Logical pixels between the cursor and a lens that stands beside it."""


def loupe_zoom(zoom: float) -> float:
    """Four times that of the view; 100 % where that is below, since noise is judged there."""
    return 1.0 if zoom < 1 else min(MAX_ZOOM, 4 * zoom)


def loupe_area(view: QRect, position: QPointF, count: int, *, is_beside: bool) -> QRect:
    """Where the lens is: `count` squares beside each other, over a place or beside it, inside the view."""
    width, height = view.width(), view.height()
    side = max(_LEAST_SIDE, min(_MOST_SIDE, (width - 16) // count, height - 16, round(0.4 * min(width, height))))
    area = QRectF(0, 0, count * side, side)
    area.moveCenter(position)
    if is_beside:
        right = position.x() + _DISTANCE + area.width() <= view.right()
        below = position.y() + _DISTANCE + area.height() <= view.bottom()
        area.moveLeft(position.x() + _DISTANCE if right else position.x() - _DISTANCE - area.width())
        area.moveTop(position.y() + _DISTANCE if below else position.y() - _DISTANCE - area.height())
    left = min(max(area.left(), view.left() + 4), view.right() - 3 - area.width())
    top = min(max(area.top(), view.top() + 4), view.bottom() - 3 - area.height())
    return QRect(round(left), round(top), count * side, side)


def draw_loupe(
    painter: QPainter, area: QRect, pictures: list[Picture], point: QPointF, zoom: float, background: QColor
) -> None:
    """Draw a square for each picture, with the pixel at `point` in its middle, and frame the lens.

    Args:
        painter: in logical pixels.
        area: from `loupe_area`.
        pictures: before and after, of one size.
        point: in picture pixels.
        zoom: device pixels per picture pixel, at least 1.
        background: where there is no picture.
    """
    side = area.width() // len(pictures)
    painter.fillRect(area, background)
    pixel = QRectF()
    for index, picture in enumerate(pictures):
        square = QRectF(area.left() + index * side, area.top(), side, side)
        painter.save()
        base = painter.deviceTransform()
        painter.setTransform(base.inverted()[0])
        on_screen = base.mapRect(square).toAlignedRect()
        middle = on_screen.center()
        x, y = math.floor(point.x()) + 0.5, math.floor(point.y()) + 0.5
        origin = QPoint(round(middle.x() - x * zoom), round(middle.y() - y * zoom))
        painter.setClipRect(on_screen)
        picture.draw(painter, zoom, origin, on_screen, is_draft=False)
        pixel = QRectF(origin.x() + (x - 0.5) * zoom, origin.y() + (y - 0.5) * zoom, zoom, zoom)
        if zoom >= 4:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for color, grown in ((QColor(0, 0, 0, 200), 1), (QColor(255, 255, 255), 0)):
                painter.setPen(QPen(color, 1))
                painter.drawRect(pixel.adjusted(-grown, -grown, grown - 1, grown - 1))
        painter.restore()
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, width in ((QColor(0, 0, 0, 190), 5), (QColor(255, 255, 255), 2)):
        painter.setPen(QPen(color, width))
        painter.drawRect(QRectF(area))
        for index in range(1, len(pictures)):
            x = area.left() + index * side
            painter.drawLine(QLineF(x, area.top(), x, area.bottom() + 1))
