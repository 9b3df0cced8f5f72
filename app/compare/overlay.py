"""What lies over the pictures and belongs to no tool: captions, hints, and what an empty view says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPainterPath, QPen

from app.compare.wipe import Wipe

CAPTION_MARGIN = 8
_CAPTION_PAD = 7
_CAPTION_BACKGROUND = QColor(0, 0, 0, 165)
_CAPTION_TEXT = QColor(245, 245, 245)

_MOST_OF_HEIGHT = 0.4
"""Share of an area that the broken lines of a caption may take."""

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
) -> None:
    """Draw lines of text on a dark plate in a corner of an area; those that are too wide for it are broken.

    What still does not fit, in width or in height, ends in an ellipsis. `mark` is the colour of a frame around the
    plate.
    """
    metrics = painter.fontMetrics()
    room = int(area.width()) - 2 * (CAPTION_MARGIN + _CAPTION_PAD)
    most = int((area.height() - 2 * CAPTION_MARGIN - 6) // metrics.height())
    if not text.strip() or room < metrics.averageCharWidth() * 4 or most < 1:
        return
    lines = caption_lines(text, metrics, room)
    # Broken lines must not bury the picture.
    most = min(most, max(text.strip().count("\n") + 1, int(_MOST_OF_HEIGHT * area.height() / metrics.height())))
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    lines = [metrics.elidedText(line, Qt.TextElideMode.ElideRight, room) for line in lines]
    height = metrics.height() * len(lines) + 6
    width = max(metrics.horizontalAdvance(line) for line in lines) + 2 * _CAPTION_PAD
    inner = area.adjusted(CAPTION_MARGIN, CAPTION_MARGIN, -CAPTION_MARGIN, -CAPTION_MARGIN)
    left = inner.right() - width if align & Qt.AlignmentFlag.AlignRight else inner.left()
    top = inner.bottom() - height if align & Qt.AlignmentFlag.AlignBottom else inner.top()
    plate = QRectF(left, top, width, height)
    painter.setPen(Qt.PenStyle.NoPen if mark is None else QPen(mark, 2))
    painter.setBrush(_CAPTION_BACKGROUND)
    painter.drawRoundedRect(plate, 4, 4)
    painter.setPen(_CAPTION_TEXT)
    text_area = plate.adjusted(_CAPTION_PAD, 0, 0, 0)
    painter.drawText(text_area, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, "\n".join(lines))


def caption_lines(text: str, metrics: QFontMetrics, room: int) -> list[str]:
    """The lines of a text, those wider than `room` pixels broken: between two facts (" · "), else between words."""
    lines = []
    for line in filter(None, text.split("\n")):
        for part in _packed(line, " · ", metrics, room):
            lines += _packed(part, " ", metrics, room)
    return lines


def _packed(text: str, gap: str, metrics: QFontMetrics, room: int) -> list[str]:
    """The parts between the gaps, as many in each line as there is room for."""
    if metrics.horizontalAdvance(text) <= room:
        return [text]
    first, *rest = text.split(gap)
    lines = [first]
    for part in rest:
        longer = lines[-1] + gap + part
        if metrics.horizontalAdvance(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def draw_wipe_captions(painter: QPainter, pane: QRectF, wipe: Wipe, before: str, after: str) -> None:
    """Draw a caption into each half, in the corner that has most room for it."""
    metrics = painter.fontMetrics()
    for text, sign, corners in (
        (before, -1, (TOP_LEFT, BOTTOM_LEFT, TOP_RIGHT, BOTTOM_RIGHT)),
        (after, 1, (TOP_RIGHT, BOTTOM_LEFT, TOP_LEFT, BOTTOM_RIGHT)),
    ):
        rooms, chosen = _corner_with_room(pane, wipe, sign, corners, text, metrics)
        area = QRectF(pane)
        area.setWidth(max(0.0, rooms[chosen]))
        if corners[chosen] & Qt.AlignmentFlag.AlignRight:
            area.moveRight(pane.right())
        draw_caption(painter, area, text, corners[chosen])


def _corner_with_room(
    pane: QRectF, wipe: Wipe, sign: int, corners: Sequence[Qt.AlignmentFlag], text: str, metrics: QFontMetrics
) -> tuple[list[float], int]:
    """The room in each corner, and which is the first with enough for the text, broken into as few lines as will do."""
    most = int(_MOST_OF_HEIGHT * pane.height() / metrics.height())
    first: tuple[list[float], int] | None = None
    fewest = text.count("\n") + 1
    for count in range(fewest, max(fewest, most) + 1):
        height = metrics.height() * count + 6 + 2 * CAPTION_MARGIN
        rooms = [_room_in_half(pane, wipe, sign, corner, height) for corner in corners]
        for index, room in enumerate(rooms):
            inner = int(min(pane.width(), room)) - 2 * (CAPTION_MARGIN + _CAPTION_PAD) - 2
            lines = caption_lines(text, metrics, inner)
            if len(lines) <= count and all(metrics.horizontalAdvance(line) <= inner for line in lines):
                return rooms, index
        first = first or (rooms, rooms.index(max(rooms)))
    assert first is not None
    return first


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


def draw_mark(painter: QPainter, pane: QRectF, accent: QColor) -> None:
    """Frame the pane that has the mark: a line that no other pane has, light in dark on any picture."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, inset, width in ((accent, 2.0, 4), (QColor(255, 255, 255), 5.0, 2), (QColor(0, 0, 0, 190), 6.5, 1)):
        pen = QPen(color, width)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(pane.adjusted(inset, inset, -inset, -inset))


def draw_empty(
    painter: QPainter, area: QRectF, text: str, tints: Tints, *, is_target: bool = False, font: QFont
) -> None:
    """Say what is missing in the middle of an area; below a picture, in a dashed frame, if any can be dropped there."""
    muted = QColor(tints.text)
    muted.setAlphaF(0.8)
    painter.save()
    if is_target:
        font = QFont(font)
        font.setPointSizeF(max(1.0, font.pointSizeF()) * 1.4)
        painter.setFont(font)
        area = _draw_target(painter, area, text, muted, tints)
    painter.setPen(muted)
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)
    painter.restore()


def _draw_target(painter: QPainter, area: QRectF, text: str, muted: QColor, tints: Tints) -> QRectF:
    """Draw the dashed frame and the picture in it; returns where its text goes."""
    room = area.adjusted(24, 24, -24, -24)
    wrap = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    said = QRectF(painter.fontMetrics().boundingRect(room.toRect(), int(wrap), text))
    picture = QRectF(0, 0, 192, 128) if text else QRectF()
    gap = 24.0
    if said.height() + gap + picture.height() + 48 > area.height() or picture.width() > room.width():
        picture, gap = QRectF(), 0.0
    inner = QRectF(0, 0, max(said.width(), picture.width()), said.height() + gap + picture.height())
    inner.moveCenter(area.center())
    frame = inner.adjusted(-60, -44, 60, 44).intersected(area.adjusted(8, 8, -8, -8))
    outline = QColor(muted)
    outline.setAlphaF(0.5)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(outline, 2, Qt.PenStyle.DashLine))
    painter.drawRoundedRect(frame, 10, 10)
    if not picture.isEmpty():
        picture.moveTop(inner.top())
        picture.moveLeft(inner.center().x() - picture.width() / 2)
        _draw_illustration(painter, picture, tints)
    return QRectF(room.left(), inner.bottom() - said.height(), room.width(), said.height())


def _draw_illustration(painter: QPainter, box: QRectF, tints: Tints) -> None:
    """Draw a picture of hills, noisy on its left and smooth on its right."""
    text, ground = tints.text, tints.background

    def between(share: float) -> QColor:
        parts = ((ground.red(), text.red()), (ground.green(), text.green()), (ground.blue(), text.blue()))
        return QColor(*(round(a + share * (b - a)) for a, b in parts))

    painter.save()
    rounded = QPainterPath()
    rounded.addRoundedRect(box, 8, 8)
    painter.setClipPath(rounded)
    painter.fillRect(box, between(0.16))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(between(0.62))
    painter.drawEllipse(_inside(box, 0.7, 0.27), 15, 15)
    for share, points in (
        (0.34, ((0.0, 0.72), (0.3, 0.36), (0.62, 0.8), (0.8, 0.58), (1.0, 0.76))),
        (0.5, ((0.0, 0.9), (0.22, 0.72), (0.46, 0.9), (0.74, 0.68), (1.0, 0.86))),
    ):
        hills = [_inside(box, x, y) for x, y in points]
        painter.setBrush(between(share))
        painter.drawPolygon([*hills, box.bottomRight(), box.bottomLeft()])
    grains = np.random.default_rng(3).random((900, 3))
    for x, y, share in grains:
        painter.fillRect(QRectF(box.left() + x * box.width() / 2, box.top() + y * box.height(), 2, 2), between(share))
    painter.setClipping(False)
    painter.setPen(QPen(between(0.85), 2))
    painter.drawLine(_inside(box, 0.5, 0), _inside(box, 0.5, 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(rounded)
    painter.restore()


def _inside(box: QRectF, x: float, y: float) -> QPointF:
    """A place in a box by its share of width and height."""
    return QPointF(box.left() + x * box.width(), box.top() + y * box.height())
