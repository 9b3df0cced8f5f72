"""How what the tools draw looks: a light line in a dark rim, with handles and a label."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QTransform

_RIM, _LIGHT = QColor(0, 0, 0, 180), QColor(255, 255, 255)
_PLATE, _TEXT = QColor(0, 0, 0, 175), QColor(245, 245, 245)
_HANDLE = 4.0
"""Half the side of a handle in logical pixels."""


def draw_box(painter: QPainter, box: QRectF, label: str, within: QRectF, *, with_handles: bool) -> None:
    """Draw a rectangle with its label below it; `box` and `within`, the pane, are in logical pixels."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    # What is far outside costs time and loses places after the point.
    shown = box.intersected(within.adjusted(-50, -50, 50, 50))
    for pen in _pens():
        painter.setPen(pen)
        painter.drawRect(shown)
    if with_handles:
        middle = box.center()
        for x in (box.left(), middle.x(), box.right()):
            for y in (box.top(), middle.y(), box.bottom()):
                if (x, y) != (middle.x(), middle.y()):
                    _draw_handle(painter, QPointF(x, y))
    draw_plate(painter, label, QPointF(shown.left(), shown.bottom() + 8), within)


def draw_line(painter: QPainter, line: QLineF, label: str, within: QRectF, *, with_handles: bool) -> None:
    """Draw a line with its label at its end, all in logical pixels; its first end is round, its second square."""
    for pen in _pens():
        painter.setPen(pen)
        painter.drawLine(line)
    if with_handles:
        painter.setPen(QPen(_RIM, 1))
        painter.setBrush(QBrush(_LIGHT))
        painter.drawEllipse(line.p1(), _HANDLE + 1, _HANDLE + 1)
        _draw_handle(painter, line.p2())
    draw_plate(painter, label, line.p2() + QPointF(10, 8), within)


def draw_stroke(
    painter: QPainter, points: list[tuple[float, float]], radius: float, to_screen: QTransform, scale: float
) -> None:
    """Draw the path of a brush while it paints; points and radius in picture pixels."""
    path = QPainterPath(to_screen.map(QPointF(*points[0])))
    for point in points[1:]:
        path.lineTo(to_screen.map(QPointF(*point)))
    if len(points) == 1:
        path.lineTo(path.currentPosition() + QPointF(0.01, 0))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, grown in ((QColor(0, 0, 0, 90), 2.0), (QColor(255, 255, 255, 110), 0.0)):
        width = 2 * radius * scale + grown
        pen = QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.drawPath(path)


def draw_brush(painter: QPainter, centre: QPointF, radius: float) -> None:
    """Draw the brush's outline, in logical pixels, with its middle."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in _pens():
        painter.setPen(pen)
        painter.drawEllipse(centre, radius, radius)
        painter.drawLine(QLineF(centre - QPointF(3, 0), centre + QPointF(3, 0)))
        painter.drawLine(QLineF(centre - QPointF(0, 3), centre + QPointF(0, 3)))


def draw_plate(painter: QPainter, text: str, corner: QPointF, within: QRectF, *, is_centred: bool = False) -> None:
    """Write on a dark plate with its corner, or its middle, at a place, moved inside where it would stick out."""
    if not text:
        return
    metrics = painter.fontMetrics()
    plate = QRectF(corner.x(), corner.y(), metrics.horizontalAdvance(text) + 10, metrics.height() + 2)
    if is_centred:
        plate.moveCenter(corner)
    plate.moveLeft(max(within.left() + 2, min(plate.left(), within.right() - 2 - plate.width())))
    plate.moveTop(max(within.top() + 2, min(plate.top(), within.bottom() - 2 - plate.height())))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_PLATE)
    painter.drawRoundedRect(plate, 3, 3)
    painter.setPen(_TEXT)
    painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)


def _pens() -> tuple[QPen, QPen]:
    join = Qt.PenStyle.SolidLine, Qt.PenCapStyle.SquareCap, Qt.PenJoinStyle.MiterJoin
    return QPen(_RIM, 3.5, *join), QPen(_LIGHT, 1.5, *join)


def _draw_handle(painter: QPainter, at: QPointF) -> None:
    painter.setPen(QPen(_RIM, 1))
    painter.setBrush(QBrush(_LIGHT))
    painter.drawRect(QRectF(at.x() - _HANDLE, at.y() - _HANDLE, 2 * _HANDLE, 2 * _HANDLE))
