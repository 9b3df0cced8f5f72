"""What lies over the pictures and belongs to no tool: captions, hints, and what an empty view says."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from app.compare.wipe import Wipe

CAPTION_MARGIN = 8
_CAPTION_PAD = 7
_CAPTION_BACKGROUND = QColor(0, 0, 0, 165)
_CAPTION_TEXT = QColor(245, 245, 245)

TOP_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
TOP_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
BOTTOM_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
BOTTOM_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom


@dataclass(frozen=True)
class Tints:
    """Colours around and over the pictures."""

    background: QColor
    text: QColor
    accent: QColor


def draw_caption(
    painter: QPainter, area: QRectF, text: str, align: Qt.AlignmentFlag, mark: QColor | None = None
) -> QRectF:
    """Draw lines of text on a dark plate in a corner of an area, each cut with an ellipsis where that is too narrow.

    `mark` is the colour of a frame around the plate. Returns where the plate is; empty where there was no room.
    """
    metrics = painter.fontMetrics()
    room = int(area.width()) - 2 * (CAPTION_MARGIN + _CAPTION_PAD)
    lines = [metrics.elidedText(line, Qt.TextElideMode.ElideRight, room) for line in text.split("\n") if line]
    height = metrics.height() * len(lines) + 6
    if not any(lines) or room < metrics.averageCharWidth() * 4 or area.height() < height + 2 * CAPTION_MARGIN:
        return QRectF()
    width = max(metrics.horizontalAdvance(line) for line in lines) + 2 * _CAPTION_PAD
    inner = area.adjusted(CAPTION_MARGIN, CAPTION_MARGIN, -CAPTION_MARGIN, -CAPTION_MARGIN)
    left = inner.right() - width if align & Qt.AlignmentFlag.AlignRight else inner.left()
    top = inner.bottom() - height if align & Qt.AlignmentFlag.AlignBottom else inner.top()
    plate = QRectF(left, top, width, height)
    painter.setPen(Qt.PenStyle.NoPen if mark is None else QPen(mark, 2))
    painter.setBrush(_CAPTION_BACKGROUND)
    painter.drawRoundedRect(plate, 4, 4)
    painter.setPen(_CAPTION_TEXT)
    painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, "\n".join(lines))
    return plate


def draw_wipe_captions(painter: QPainter, pane: QRectF, wipe: Wipe, before: str, after: str) -> None:
    """Draw a caption into each half, in the corner that has most room for it."""
    metrics = painter.fontMetrics()
    for text, sign, corners in (
        (before, -1, (TOP_LEFT, BOTTOM_LEFT, TOP_RIGHT, BOTTOM_RIGHT)),
        (after, 1, (TOP_RIGHT, BOTTOM_LEFT, TOP_LEFT, BOTTOM_RIGHT)),
    ):
        height = metrics.height() + 6 + 2 * CAPTION_MARGIN
        wanted = min(pane.width(), metrics.horizontalAdvance(text) + 2 * (CAPTION_MARGIN + _CAPTION_PAD) + 2)
        rooms = [_room_in_half(pane, wipe, sign, corner, height) for corner in corners]
        chosen = next((index for index, room in enumerate(rooms) if room >= wanted), rooms.index(max(rooms)))
        area = QRectF(pane)
        area.setWidth(max(0.0, rooms[chosen]))
        if corners[chosen] & Qt.AlignmentFlag.AlignRight:
            area.moveRight(pane.right())
        draw_caption(painter, area, text, corners[chosen])


def _room_in_half(pane: QRectF, wipe: Wipe, sign: int, corner: Qt.AlignmentFlag, height: float) -> float:
    """How wide a plate of this height in a corner of the pane may be without crossing the line."""
    is_right, is_bottom = corner & Qt.AlignmentFlag.AlignRight, corner & Qt.AlignmentFlag.AlignBottom
    start, step = (pane.right(), -1) if is_right else (pane.left(), 1)
    rooms = []
    for y in (pane.bottom() - height, pane.bottom()) if is_bottom else (pane.top(), pane.top() + height):
        here = sign * wipe.distance(QPointF(start, y), pane)
        towards = sign * wipe.normal.x() * step
        if here < 0:
            return 0.0
        rooms.append(here / -towards if towards < 0 else pane.width())
    return min(*rooms, pane.width())


def draw_empty(
    painter: QPainter, area: QRectF, text: str, tints: Tints, *, is_target: bool = False, font: QFont
) -> None:
    """Say what is missing in the middle of an area; in a dashed frame if pictures can be dropped there."""
    muted = QColor(tints.text)
    muted.setAlphaF(0.75)
    painter.save()
    if is_target:
        font = QFont(font)
        font.setPointSizeF(max(1.0, font.pointSizeF()) * 1.4)
        painter.setFont(font)
        size = painter.fontMetrics().size(0, text)
        frame = QRectF(0, 0, size.width() + 120, size.height() + 90).intersected(area.adjusted(8, 8, -8, -8))
        frame.moveCenter(area.center())
        painter.setBrush(Qt.BrushStyle.NoBrush)
        outline = QColor(muted)
        outline.setAlphaF(0.4)
        painter.setPen(QPen(outline, 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(frame, 10, 10)
    painter.setPen(muted)
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)
    painter.restore()
