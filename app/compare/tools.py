"""Tools that draw on the picture: a region, a line, a brush and a rectangle, by mouse and by key.

All places are in picture pixels; nothing here knows panes or screens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal

from engine.areas import BRUSH, RECTANGLE, Area
from engine.language import tr

TOOLS = ("pan", "region", "line", "brush", "rectangle")

MIN_RADIUS, MAX_RADIUS = 1.0, 2000.0

_CLICK_SHARE = 0.4
"""Of the distance at which something is grabbed: a press that moves less was a click."""

Ends = tuple[float, float, float, float]

_ALL = (True, True, True, True)
_FIRST = (True, True, False, False)
_SECOND = (False, False, True, True)


@dataclass
class _Drag:
    """What a press took hold of.

    Attributes:
        start: where the press was.
        was: x0, y0, x1, y1 as they were then; None if there was nothing.
        ends: the same as they are moved, before they are put in order.
        moves: which of them follow.
        has_moved: whether it is more than a click by now.
    """

    start: QPointF
    was: Ends | None
    ends: Ends
    moves: tuple[bool, bool, bool, bool]
    grab: float
    has_moved: bool = False


class Tools(QObject):
    """The tool in use and what was drawn with each.

    Attributes:
        size: width and height of the picture; None without one.
        rectangle: x0, y0, x1, y1 of the rectangle that is being drawn, or was moved there by key.
        stroke: path of the brush while it paints.
        spot: where the brush is that is moved by key.
        radius: of the brush in picture pixels.
    """

    changed = Signal()
    """What is to be drawn is another."""

    tool_changed = Signal(str)
    region_changed = Signal(object)
    line_changed = Signal(object)
    place_drawn = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.tool = "pan"
        self.size: tuple[int, int] | None = None
        self.region: tuple[int, int, int, int] | None = None
        self.line: Ends | None = None
        self.rectangle: Ends | None = None
        self.stroke: list[tuple[float, float]] = []
        self.spot: tuple[float, float] | None = None
        self.radius = 20.0
        self._drag: _Drag | None = None

    @property
    def is_dragging(self) -> bool:
        """Whether a press has not been released yet."""
        return self._drag is not None or bool(self.stroke)

    def choose(self, tool: str) -> None:
        """Take one of TOOLS; what is half drawn with the last is gone."""
        if tool not in TOOLS:
            raise ValueError(f"A tool is one of {', '.join(TOOLS)}, not {tool!r}")
        if tool == self.tool:
            return
        self.cancel()
        self.tool, self.rectangle, self.spot = tool, None, None
        self.changed.emit()
        self.tool_changed.emit(tool)

    def set_size(self, size: tuple[int, int] | None) -> None:
        """Take the size of the picture; on one of another size nothing is drawn yet."""
        if size is None or size == self.size:
            return
        self.size = size
        self._drag, self.stroke, self.rectangle, self.spot = None, [], None, None
        self.set_region(None)
        self.set_line(None)
        self.changed.emit()

    def set_region(self, rect: tuple[float, float, float, float] | None) -> None:
        """Set the region to whole pixels inside the picture; None, or nothing inside, removes it."""
        region = None if rect is None or self.size is None else _whole(rect, self.size)
        if region != self.region:
            self.region = region
            self.changed.emit()
            self.region_changed.emit(region)

    def set_line(self, ends: Ends | None) -> None:
        """Set the line's ends, kept inside the picture; None removes it."""
        line = None
        if ends is not None and self.size is not None:
            x0, y0, x1, y1 = (
                float(min(max(value, 0), limit)) for value, limit in zip(ends, self.size * 2, strict=True)
            )
            line = (x0, y0, x1, y1)
        if line != self.line:
            self.line = line
            self.changed.emit()
            self.line_changed.emit(line)

    def set_radius(self, radius: float) -> None:
        """Set the brush's radius in picture pixels, within MIN_RADIUS and MAX_RADIUS."""
        self.radius = float(min(MAX_RADIUS, max(MIN_RADIUS, radius)))
        self.changed.emit()

    def press(self, point: QPointF, grab: float) -> None:
        """Take hold of what is within `grab` picture pixels of a point, or begin anew there."""
        if self.tool == "brush":
            self.stroke, self.spot = [(point.x(), point.y())], None
        elif self.tool != "pan":
            x, y = point.x(), point.y()
            was, moves = self._ends(), self._grabbed(point, grab)
            ends = was if was is not None and moves is not None else (x, y, x, y)
            self._drag = _Drag(point, was, ends, moves or _SECOND, grab)
        self.changed.emit()

    def move(self, point: QPointF) -> None:
        """Follow the mouse while its button is held."""
        if self.stroke:
            x, y = self.stroke[-1]
            if math.hypot(point.x() - x, point.y() - y) >= max(0.5, self.radius / 8):
                self.stroke.append((point.x(), point.y()))
                self.changed.emit()
        elif self._drag is not None:
            drag, moved = self._drag, point - self._drag.start
            drag.has_moved |= math.hypot(moved.x(), moved.y()) > _CLICK_SHARE * drag.grab
            if drag.has_moved:
                self._set_ends(self._moved(drag.ends, drag.moves, moved.x(), moved.y()))

    def release(self) -> None:
        """End a drag: a click beside a region or a line removes it, a rectangle or a stroke is reported."""
        drag, self._drag = self._drag, None
        if self.stroke:
            self._report_stroke()
        elif drag is not None and not drag.has_moved and drag.moves == _SECOND and drag.ends != drag.was:
            self._set_ends(None)
        elif drag is not None and self.tool == "rectangle" and drag.has_moved:
            self.accept()
        self.changed.emit()

    def cancel(self) -> bool:
        """Undo what the drag did that is under way; False if there is none."""
        drag, self._drag = self._drag, None
        if drag is None and not self.stroke:
            return False
        self.stroke = []
        if drag is not None:
            self._set_ends(drag.was)
        self.changed.emit()
        return True

    def nudge(self, dx: float, dy: float, visible: QRectF, *, far: bool = False) -> None:
        """Move by picture pixels what the tool draws, or its far corner; it begins in the middle of what is visible."""
        if self.tool == "brush":
            x, y = self.spot or (visible.center().x(), visible.center().y())
            width, height = self.size or (0, 0)
            self.spot = min(max(x + dx, 0.0), float(width)), min(max(y + dy, 0.0), float(height))
            self.changed.emit()
            return
        ends = self._ends()
        if ends is None:
            middle = visible.center()
            part = QRectF(0, 0, visible.width() / 3, visible.height() / 3 if self.tool != "line" else 0)
            part.moveCenter(middle)
            self._set_ends((part.left(), part.top(), part.right(), part.bottom()))
        else:
            self._set_ends(self._moved(ends, _SECOND if far else _ALL, dx, dy))

    def accept(self) -> bool:
        """Report the rectangle as it is, or one dab of the brush where its spot is; False if there is neither."""
        if self.tool == "rectangle" and self.rectangle is not None and self.size is not None:
            whole, self.rectangle = _whole(self.rectangle, self.size), None
            if whole is not None:
                x0, y0, x1, y1 = whole
                self.place_drawn.emit(Area(RECTANGLE, ((float(x0), float(y0)), (float(x1), float(y1)))))
        elif self.tool == "brush" and self.spot is not None:
            self.place_drawn.emit(Area(BRUSH, (self.spot,), self.radius))
        else:
            return False
        self.changed.emit()
        return True

    def remove(self) -> bool:
        """Take away what the tool has drawn; False if there is nothing."""
        if self.tool in ("pan", "brush") or self._ends() is None:
            return False
        self._drag = None
        self._set_ends(None)
        self.changed.emit()
        return True

    def cursor_shape(self, point: QPointF, grab: float) -> Qt.CursorShape:
        """What a press at a point would do."""
        moves = self._drag.moves if self._drag is not None else self._grabbed(point, grab)
        if self.tool == "brush" or moves is None:
            return Qt.CursorShape.CrossCursor
        if moves == _ALL:
            return Qt.CursorShape.SizeAllCursor
        if self.tool == "line":
            return Qt.CursorShape.PointingHandCursor
        if not (moves[1] or moves[3]):
            return Qt.CursorShape.SizeHorCursor
        if not (moves[0] or moves[2]):
            return Qt.CursorShape.SizeVerCursor
        is_falling = moves in (_FIRST, _SECOND)
        return Qt.CursorShape.SizeFDiagCursor if is_falling else Qt.CursorShape.SizeBDiagCursor

    def said(self) -> str:
        """What is drawn now, for the label beside it and for a screen reader; "" for nothing."""
        if self.tool == "brush":
            return tr("Radius {radius:.0f}").format(radius=self.radius)
        ends = self._ends()
        if ends is None:
            return ""
        return line_label(ends) if self.tool == "line" else size_label(ends)

    def _ends(self) -> Ends | None:
        return {"region": self.region, "line": self.line, "rectangle": self.rectangle}.get(self.tool)

    def _set_ends(self, ends: Ends | None) -> None:
        if self.tool == "region":
            self.set_region(ends)
        elif self.tool == "line":
            self.set_line(ends)
        else:
            self.rectangle = ends
            self.changed.emit()

    def _moved(self, ends: Ends, moves: tuple[bool, bool, bool, bool], dx: float, dy: float) -> Ends:
        """Ends of which some follow, none out of the picture; all together keep their distance."""
        width, height = self.size or (0, 0)
        x0, y0, x1, y1 = ends
        if moves == _ALL:
            dx = min(max(dx, -min(x0, x1)), width - max(x0, x1))
            dy = min(max(dy, -min(y0, y1)), height - max(y0, y1))
            return x0 + dx, y0 + dy, x1 + dx, y1 + dy
        steps, limits = (dx, dy, dx, dy), (width, height, width, height)
        made = [
            min(max(end + step, 0.0), float(limit)) if follows else end
            for end, follows, step, limit in zip(ends, moves, steps, limits, strict=True)
        ]
        return made[0], made[1], made[2], made[3]

    def _grabbed(self, point: QPointF, grab: float) -> tuple[bool, bool, bool, bool] | None:
        """Which of x0, y0, x1, y1 a press at a point would move; None for none."""
        ends = self._ends()
        if ends is None:
            return None
        x, y = point.x(), point.y()
        x0, y0, x1, y1 = ends
        if self.tool == "line":
            if math.hypot(x - x0, y - y0) <= grab:
                return _FIRST
            if math.hypot(x - x1, y - y1) <= grab:
                return _SECOND
            return _ALL if _distance(x, y, ends) <= grab else None
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        if not (x0 - grab <= x <= x1 + grab and y0 - grab <= y <= y1 + grab):
            return None
        # Of a region too small for both sides to be grabbed the nearer one is.
        left, right = abs(x - x0) <= min(grab, abs(x - x1)), abs(x - x1) <= min(grab, abs(x - x0))
        top, bottom = abs(y - y0) <= min(grab, abs(y - y1)), abs(y - y1) <= min(grab, abs(y - y0))
        sides = left and not right, top and not bottom, right and not left, bottom and not top
        return sides if any(sides) else _ALL

    def _report_stroke(self) -> None:
        path, self.stroke = self.stroke, []
        if self.size is None:
            return
        x, y = [point[0] for point in path], [point[1] for point in path]
        width, height = self.size
        if max(x) < -self.radius or max(y) < -self.radius or min(x) > width + self.radius:
            return
        if min(y) <= height + self.radius:
            self.place_drawn.emit(Area(BRUSH, _thinned(path, self.radius), self.radius))


def line_label(ends: Ends) -> str:
    """The length of a line."""
    return tr("{length:.1f} pixels").format(length=math.hypot(ends[2] - ends[0], ends[3] - ends[1]))


def size_label(ends: Ends) -> str:
    """Width and height of a region."""
    width, height = round(abs(ends[2] - ends[0])), round(abs(ends[3] - ends[1]))
    return tr("{width} × {height}").format(width=width, height=height)


def _whole(ends: Ends, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Ends in order, rounded to whole pixels inside the picture, at least one each way; None if nothing is inside."""
    made = []
    for low, high, limit in ((ends[0], ends[2], size[0]), (ends[1], ends[3], size[1])):
        low, high = min(low, high), max(low, high)
        if high < 0 or low > limit:
            return None
        first = min(max(round(low), 0), limit - 1)
        made.append((first, max(first + 1, min(round(high), limit))))
    return made[0][0], made[1][0], made[0][1], made[1][1]


def _distance(x: float, y: float, ends: Ends) -> float:
    """From a point to a line between two ends."""
    x0, y0, x1, y1 = ends
    along, across = x1 - x0, y1 - y0
    length = along * along + across * across
    share = min(1.0, max(0.0, ((x - x0) * along + (y - y0) * across) / length)) if length else 0.0
    return math.hypot(x - x0 - share * along, y - y0 - share * across)


def _thinned(path: list[tuple[float, float]], radius: float) -> tuple[tuple[float, float], ...]:
    """A path of fewer points that leaves the given one by no more than a tenth of the brush."""
    points = np.array(path, np.float32).reshape(-1, 1, 2)
    kept = cv2.approxPolyDP(points, max(0.5, radius / 10), False).reshape(-1, 2)
    return tuple((float(x), float(y)) for x, y in kept)
