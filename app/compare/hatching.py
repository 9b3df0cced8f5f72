"""Places of the picture marked on the screen: outlined and hatched, in a time that does not grow with their number."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from PySide6.QtCore import QRect
from PySide6.QtGui import QImage

from app.compare.place import Place
from engine.areas import RECTANGLE, Area, Areas

_PERIOD = 12
"""Screen pixels from one line of the hatch to the next."""

RISING, FALLING, CROSSED = 1, 2, 3
"""Patterns of a hatch; 0 has none."""

_LIGHT, _DARK, _OUTLINE, _RIM = 1, 2, 3, 4
# Inside an edge is the outline, outside it the rim.

_MOST_CELLS = 1 << 22


def _premultiplied(grey: int, alpha: int) -> int:
    value = grey * alpha // 255
    return alpha << 24 | value << 16 | value << 8 | value


_COLORS = np.zeros(256, np.uint32)
# Light and dark beside each other show on any picture.
_COLORS[[_LIGHT, _DARK, _OUTLINE, _RIM]] = [
    _premultiplied(grey, alpha) for grey, alpha in ((255, 120), (0, 110), (255, 255), (0, 190))
]


class Screen:
    """What of the picture lies under which pixel of a pane, in pixels of the screen.

    Attributes:
        left: of the pane from the picture's corner.
        top: of the pane from the picture's corner.
        width: of the pane.
        height: of the pane.
        zoom: pixels of the screen per picture pixel.
    """

    def __init__(self, place: Place) -> None:
        visible = place.visible()
        self.zoom, self.ratio = place.zoom, place.ratio
        self.left, self.top = round(visible.left() * self.zoom), round(visible.top() * self.zoom)
        self.width = max(1, round(place.pane.width() * place.ratio))
        self.height = max(1, round(place.pane.height() * place.ratio))

    def key(self) -> tuple[float, ...]:
        """Equal where everything lies at the same pixels."""
        return self.zoom, self.ratio, self.left, self.top, self.width, self.height


class Drawn(NamedTuple):
    """An image, and the memory it lies in, to be kept as long."""

    image: QImage
    pixels: np.ndarray


class MarkedRects:
    """Many rectangles as one set of places: what overlaps or meets has one outline."""

    def __init__(self, rects: np.ndarray) -> None:
        """Take (n, 4): x0, y0, x1, y1 in picture pixels, ends exclusive."""
        rects = np.asarray(rects, np.float64).reshape(-1, 4)
        rects = rects[(rects[:, 2] > rects[:, 0]) & (rects[:, 3] > rects[:, 1])]
        self.count = len(rects)
        self._drawn: tuple[tuple[float, ...], Drawn] | None = None
        if not self.count:
            return
        step = 1.0
        while True:
            x = np.unique(np.concatenate((np.floor(rects[:, 0] / step), np.ceil(rects[:, 2] / step)))) * step
            y = np.unique(np.concatenate((np.floor(rects[:, 1] / step), np.ceil(rects[:, 3] / step)))) * step
            if len(x) * len(y) <= _MOST_CELLS:
                break
            step *= 2
        left, right = np.searchsorted(x, rects[:, 0], "right") - 1, np.searchsorted(x, rects[:, 2], "left")
        top, bottom = np.searchsorted(y, rects[:, 1], "right") - 1, np.searchsorted(y, rects[:, 3], "left")
        # Each rectangle as four steps of a sum over rows and columns: as fast for large ones as for small ones.
        steps = np.zeros((len(y), len(x)), np.int32)
        for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(steps, (rows, columns), sign)
        covered = (steps.cumsum(0).cumsum(1) > 0).astype(np.uint8)
        # A border of nothing: the cell of a pixel outside all edges.
        self._cells = np.pad(covered[:-1, :-1], 1)
        self._x, self._y = x, y

    def image(self, screen: Screen) -> QImage:
        """The hatch over the whole pane; the one made last is kept."""
        if self._drawn is None or self._drawn[0] != screen.key():
            columns = _cells_under(self._x, screen.left, screen.width, screen.zoom)
            rows = _cells_under(self._y, screen.top, screen.height, screen.zoom)
            labels = self._cells[rows][:, columns]
            self._drawn = screen.key(), hatched(labels, {1: RISING}, screen)
        return self._drawn[1].image

    def contains(self, x: float, y: float) -> bool:
        """Whether a place of the picture is marked."""
        if not self.count:
            return False
        row, column = np.searchsorted(self._y, y, "right"), np.searchsorted(self._x, x, "right")
        return bool(self._cells[row, column])


class MarkedAreas:
    """Places with a strength of their own; those that protect are hatched otherwise than those that strengthen."""

    def __init__(self, areas: Areas) -> None:
        self.areas = areas
        self._drawn: dict[bool, tuple[tuple[float, ...], Drawn]] = {}

    def image(self, screen: Screen, *, with_hatch: bool) -> QImage:
        """Outline, and hatch where it is asked for, over the whole pane; the last of each is kept."""
        kept = self._drawn.get(with_hatch)
        if kept is None or kept[0] != screen.key():
            labels = np.zeros((screen.height, screen.width), np.uint8)
            patterns = {}
            for index, area in enumerate(self.areas.places):
                label = index % 254 + 1
                _fill(labels, area, label, screen)
                patterns[label] = _pattern(area, self.areas.outside) if with_hatch else 0
            kept = self._drawn[with_hatch] = screen.key(), hatched(labels, patterns, screen)
        return kept[1].image


def hatched(labels: np.ndarray, patterns: dict[int, int], screen: Screen) -> Drawn:
    """Labels (h, w) uint8, 0 for nothing, as outlines between them with the pattern of each label inside."""
    inside = (labels != 0).view(np.uint8)
    code = np.zeros_like(labels)
    for pattern in set(patterns.values()) - {0}:
        its = [label for label, given in patterns.items() if given == pattern]
        # Comparing is ten times as fast as looking up.
        mask = inside if len(its) == len(patterns) else np.isin(np.arange(256), its).view(np.uint8)[labels]
        code += mask * _lines(pattern, screen)
    # Comparing neighbours takes a third of the time of OpenCV's morphology.
    edge = np.zeros(labels.shape, bool)
    _spread(edge, labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1])
    for _ in range(max(1, round(screen.ratio)) - 1):
        _spread(edge, edge[1:] | edge[:-1], edge[:, 1:] | edge[:, :-1])
    np.maximum(code, (_RIM - inside) * edge.view(np.uint8), out=code)
    pixels = cv2.LUT(code, _COLORS.view(np.int32))
    kind = QImage.Format.Format_ARGB32_Premultiplied
    return Drawn(QImage(pixels.data, pixels.shape[1], pixels.shape[0], pixels.strides[0], kind), pixels)


def _spread(edge: np.ndarray, between_rows: np.ndarray, between_columns: np.ndarray) -> None:
    """Set both pixels of each pair of neighbours."""
    edge[1:] |= between_rows
    edge[:-1] |= between_rows
    edge[:, 1:] |= between_columns
    edge[:, :-1] |= between_columns


def label_place(area: Area, screen: Screen) -> QRect:
    """The part of a place that is in the pane, in pixels of the screen from the pane's corner; may be empty."""
    if not area.points:
        return QRect()
    x, y = [point[0] for point in area.points], [point[1] for point in area.points]
    zoom, reach = screen.zoom, area.radius
    left, right = round((min(x) - reach) * zoom) - screen.left, round((max(x) + reach) * zoom) - screen.left
    top, bottom = round((min(y) - reach) * zoom) - screen.top, round((max(y) + reach) * zoom) - screen.top
    return QRect(left, top, right - left, bottom - top) & QRect(0, 0, screen.width, screen.height)


def _pattern(area: Area, outside: float) -> int:
    if area.strength == outside:
        return 0
    return FALLING if area.strength < outside else CROSSED


def _fill(labels: np.ndarray, area: Area, label: int, screen: Screen) -> None:
    """Put a label on the pixels of the screen that a place covers."""
    if label_place(area, screen).isEmpty():
        return
    corner = np.array([screen.left, screen.top])
    points = np.round(np.array(area.points, np.float64) * screen.zoom - corner)
    if area.shape == RECTANGLE:
        (x0, y0), (x1, y1) = np.clip(np.sort(points[:2], axis=0), 0, [screen.width, screen.height]).astype(int)
        labels[y0:y1, x0:x1] = label
        return
    # OpenCV takes no line thicker than this.
    thickness = int(min(32000, max(1, round(2 * area.radius * screen.zoom))))
    path = np.clip(points, -30000, 30000).astype(np.int32)
    if len(path) == 1:
        cv2.circle(labels, [int(value) for value in path[0]], max(1, thickness // 2), label, cv2.FILLED)
    else:
        cv2.polylines(labels, [path.reshape(-1, 1, 2)], False, label, thickness)


def _cells_under(edges: np.ndarray, start: int, count: int, zoom: float) -> np.ndarray:
    """Index into the padded cells for each pixel of the screen along one axis."""
    return np.searchsorted(edges, (start + np.arange(count) + 0.5) / zoom, "right")


def _lines(pattern: int, screen: Screen) -> np.ndarray:
    """(h, w) uint8 codes of the hatch over a whole pane; it is fixed to the picture, not to the screen."""
    scale = max(1, round(screen.ratio))
    period = _PERIOD * scale
    y, x = np.mgrid[0:period, 0:period]
    x, y = x + screen.left, y + screen.top
    tile = np.zeros((period, period), np.uint8)
    for along in {RISING: [x + y], FALLING: [x - y], CROSSED: [x + y, x - y]}[pattern]:
        phase = along % period
        tile[(phase >= scale) & (phase < 2 * scale)] = _DARK
        tile[phase < scale] = _LIGHT
    rows, columns = -(-screen.height // period), -(-screen.width // period)
    return np.tile(tile, (rows, columns))[: screen.height, : screen.width]
