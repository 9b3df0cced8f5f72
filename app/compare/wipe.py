"""The line of the wipe: before on one side of it, after on the other, at any angle."""

from __future__ import annotations

import math

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

_GRIP_RADIUS = 13.0
_GRAB_DISTANCE = 8.0
_KNOB_RADIUS = 6.0
_KNOB_INSET = 16.0
"""Logical pixels from the line's ends to the knobs that turn it."""

_SNAP_DEGREES = 2.0
"""Within so many degrees of a multiple of 15 a line that is dragged takes it, or no hand would find the upright."""


class Wipe:
    """Where the line stands in a pane and how it is turned.

    Attributes:
        position: 0 (all after) to 1 (all before), along the line's normal.
        angle: degrees clockwise, 0 to 360: 0 is upright with before on its left, 90 lies with before above it.
    """

    def __init__(self) -> None:
        self.position = 0.5
        self.angle = 0.0

    @property
    def is_upright(self) -> bool:
        """Whether the line is nearer to the vertical than to the horizontal."""
        return abs(self.normal.x()) >= abs(self.normal.y())

    @property
    def normal(self) -> QPointF:
        """Unit vector across the line, towards after."""
        # Whole numbers where they are meant: a cosine of 90 degrees is not 0, and the line would not be straight.
        if self.angle % 90 == 0:
            return QPointF(*((1, 0), (0, 1), (-1, 0), (0, -1))[round(self.angle / 90) % 4])
        turn = math.radians(self.angle)
        return QPointF(math.cos(turn), math.sin(turn))

    def anchor(self, pane: QRectF) -> QPointF:
        """A point of the line: where the normal through the pane's middle meets it."""
        offset = (2 * self.position - 1) * self._reach(pane)
        if self.angle % 90 == 0:
            # On a whole pixel, or the halves would be cut at one and the line drawn between two.
            start = QPointF.dotProduct(pane.topLeft() - pane.center(), self.normal)
            offset = start + round(offset - start)
        return pane.center() + self.normal * offset

    def distance(self, point: QPointF, pane: QRectF) -> float:
        """How far a point is on the side of after; negative on that of before."""
        return QPointF.dotProduct(point - self.anchor(pane), self.normal)

    def stroke(self, pane: QRectF) -> QLineF:
        """The part of the line that is in the pane; a line of no length where it only touches a corner."""
        anchor = self.anchor(pane)
        along = QPointF(-self.normal.y(), self.normal.x())
        first, last = -math.inf, math.inf
        for at, step, low, high in (
            (anchor.x(), along.x(), pane.left(), pane.right()),
            (anchor.y(), along.y(), pane.top(), pane.bottom()),
        ):
            if step:
                ends = sorted(((low - at) / step, (high - at) / step))
                first, last = max(first, ends[0]), min(last, ends[1])
        last = max(first, last)
        return QLineF(anchor + along * first, anchor + along * last)

    def halves(self, pane: QRectF) -> tuple[QPolygonF, QPolygonF]:
        """The parts of the pane where before and after are shown; each has every point on its side of the line."""
        corners = [pane.topLeft(), pane.topRight(), pane.bottomRight(), pane.bottomLeft()]
        distances = [self.distance(corner, pane) for corner in corners]
        before, after = QPolygonF(), QPolygonF()
        for index, (corner, distance) in enumerate(zip(corners, distances, strict=True)):
            if distance <= 0:
                before.append(corner)
            if distance >= 0:
                after.append(corner)
            following, beyond = corners[(index + 1) % 4], distances[(index + 1) % 4]
            if distance * beyond < 0:
                crossing = corner + (following - corner) * (distance / (distance - beyond))
                before.append(crossing)
                after.append(crossing)
        return before, after

    def is_at(self, position: QPointF, pane: QRectF) -> bool:
        """Whether a place is on the line or its grip, near enough to be meant."""
        return abs(self.distance(position, pane)) <= _GRAB_DISTANCE or self.grips_at(position, pane)

    def grips_at(self, position: QPointF, pane: QRectF) -> bool:
        """Whether a place is on the grip in the line's middle."""
        return QLineF(position, self.stroke(pane).center()).length() <= _GRIP_RADIUS + 2

    def turns_at(self, position: QPointF, pane: QRectF) -> bool:
        """Whether a place is on one of the knobs at the line's ends, by which it is turned."""
        return any(QLineF(position, knob).length() <= _KNOB_RADIUS + 5 for knob in self._knobs(pane))

    def move_to(self, position: QPointF, pane: QRectF) -> None:
        """Bring the line under a place of the pane."""
        reach = self._reach(pane)
        offset = QPointF.dotProduct(position - pane.center(), self.normal)
        self.position = min(1.0, max(0.0, (offset / reach + 1) / 2)) if reach else 0.5

    def turn_about(self, pivot: QPointF, position: QPointF, *, forward: bool, pane: QRectF) -> None:
        """Turn the line about a point of it, so that an end of `stroke`, the later or the earlier, is there."""
        towards = position - pivot if forward else pivot - position
        if towards.manhattanLength() < 1:
            return
        angle = math.degrees(math.atan2(-towards.x(), towards.y()))
        nearest = round(angle / 15) * 15
        self.angle = float(nearest if abs(angle - nearest) <= _SNAP_DEGREES else angle) % 360
        self.move_to(pivot, pane)

    def draw(self, painter: QPainter, pane: QRectF) -> None:
        """Draw the line with its grip and knobs; white in a dark rim shows on any picture."""
        stroke = self.stroke(pane)
        for color, width in ((QColor(0, 0, 0, 150), 4), (QColor(255, 255, 255), 2)):
            painter.setPen(QPen(color, width))
            painter.drawLine(stroke)
        painter.setPen(QPen(QColor(255, 255, 255), 2))
        painter.setBrush(QColor(0, 0, 0, 170))
        for knob in self._knobs(pane):
            painter.drawEllipse(knob, _KNOB_RADIUS, _KNOB_RADIUS)
        painter.save()
        painter.translate(stroke.center())
        painter.rotate(self.angle)
        painter.drawEllipse(QPointF(), _GRIP_RADIUS, _GRIP_RADIUS)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for sign in (-1, 1):
            tip, back = sign * 8.0, sign * 3.5
            painter.drawPolyline([QPointF(back, -4.0), QPointF(tip, 0.0), QPointF(back, 4.0)])
        painter.restore()

    def _reach(self, pane: QRectF) -> float:
        """Half of the pane's extent along the normal."""
        return (abs(self.normal.x()) * pane.width() + abs(self.normal.y()) * pane.height()) / 2

    def _knobs(self, pane: QRectF) -> list[QPointF]:
        stroke = self.stroke(pane)
        if stroke.length() < 2 * (_KNOB_INSET + _KNOB_RADIUS + _GRIP_RADIUS):
            return []
        inset = _KNOB_INSET / stroke.length()
        return [stroke.pointAt(inset), stroke.pointAt(1 - inset)]
