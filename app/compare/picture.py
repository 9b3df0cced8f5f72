"""A picture that is ready to be drawn at any zoom."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF
from PySide6.QtGui import QImage, QPainter

from app.pyramid import TILE, Pyramid

_AT_ONCE = 4
"""Tiles averaged well in one go, each a few milliseconds; the rest is a draft until the next."""

_Tile = tuple[QImage, np.ndarray]


class Picture:
    """A pyramid, and those of its tiles that were last on the screen, ready to be drawn."""

    def __init__(self, pixels: np.ndarray | Pyramid) -> None:
        self.pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
        self._zoom = 0.0
        self._tiles: dict[tuple[int, int], _Tile] = {}
        self._drafts: dict[tuple[int, int], _Tile] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pyramid.width, self.pyramid.height

    def copy(self) -> Picture:
        """Another, which `replace` changes without changing this one."""
        return Picture(self.pyramid.copy())

    def replace(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Put (h, w, C) uint8 at column x and row y."""
        self.pyramid.replace(pixels, x, y)
        if self._tiles or self._drafts:
            for key in self.pyramid.tiles_over(self._zoom, x, y, x + pixels.shape[1], y + pixels.shape[0]):
                self._tiles.pop(key, None)
                self._drafts.pop(key, None)

    def draw(self, painter: QPainter, zoom: float, origin: QPoint, visible: QRect, *, is_draft: bool) -> bool:
        """Draw what falls into `visible`, in screen pixels, with the picture's corner at `origin`.

        Returns:
            Whether it stays so. Else a part is a draft, even if none is wanted: drawn again, more of it is done well.
        """
        if zoom >= 1:
            self._draw_pixels(painter, zoom, origin, visible)
            return True
        if zoom != self._zoom:
            self._tiles.clear()
            self._drafts.clear()
            self._zoom = zoom
        return self._draw_averaged(painter, origin, visible, is_draft=is_draft)

    def _draw_pixels(self, painter: QPainter, zoom: float, origin: QPoint, visible: QRect) -> None:
        left = max(0, math.floor((visible.left() - origin.x()) / zoom))
        top = max(0, math.floor((visible.top() - origin.y()) / zoom))
        right = min(self.pyramid.width, math.ceil((visible.right() + 1 - origin.x()) / zoom))
        bottom = min(self.pyramid.height, math.ceil((visible.bottom() + 1 - origin.y()) / zoom))
        if left >= right or top >= bottom:
            return
        image, _keep = _drawable(self.pyramid.read(0, top, bottom, left, right))
        if zoom == 1:
            painter.drawImage(QPoint(origin.x() + left, origin.y() + top), image)
            return
        target = QRectF(origin.x() + left * zoom, origin.y() + top * zoom, (right - left) * zoom, (bottom - top) * zoom)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(target, image, QRectF(image.rect()))

    def _draw_averaged(self, painter: QPainter, origin: QPoint, visible: QRect, *, is_draft: bool) -> bool:
        shown_width, shown_height = self.pyramid.shown_size(self._zoom)
        area = visible.translated(-origin) & QRect(0, 0, shown_width, shown_height)
        if area.isEmpty():
            return True
        keys = [
            (column, row)
            for row in range(area.top() // TILE, area.bottom() // TILE + 1)
            for column in range(area.left() // TILE, area.right() // TILE + 1)
        ]
        missing = [key for key in keys if key not in self._tiles]
        if not is_draft and (len(missing) <= _AT_ONCE or all(key in self._drafts for key in missing)):
            # Not on other threads: where all cores are busy they would be waited for.
            self._tiles.update({key: self._rendered(key, is_draft=False) for key in missing[:_AT_ONCE]})
            missing = missing[_AT_ONCE:]
        self._drafts = {key: self._drafts.get(key) or self._rendered(key, is_draft=True) for key in missing}
        for key in keys:
            # Back in at the end: the tiles longest unseen come first and are the first to go.
            if key in self._tiles:
                self._tiles[key] = self._tiles.pop(key)
            image, _keep = self._tiles.get(key) or self._drafts[key]
            painter.drawImage(QPoint(origin.x() + key[0] * TILE, origin.y() + key[1] * TILE), image)
        for key in list(self._tiles)[: max(0, len(self._tiles) - max(32, 2 * len(keys)))]:
            del self._tiles[key]
        return not missing

    def _rendered(self, key: tuple[int, int], *, is_draft: bool) -> _Tile:
        return _drawable(self.pyramid.tile(self._zoom, *key, is_draft=is_draft))


def _drawable(pixels: np.ndarray) -> _Tile:
    """(h, w, C) uint8 as an image in the screen's own format, and the memory it lies in, to be kept as long."""
    conversion = cv2.COLOR_RGB2BGRA if pixels.shape[2] == 3 else cv2.COLOR_GRAY2BGRA
    memory = cv2.cvtColor(pixels, conversion)
    return QImage(memory.data, memory.shape[1], memory.shape[0], memory.strides[0], QImage.Format.Format_RGB32), memory
