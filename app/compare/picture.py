"""A picture that is ready to be drawn at any zoom."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF
from PySide6.QtGui import QImage, QPainter

from app.pyramid import TILE, Pyramid

_RENDER_THREADS = min(4, os.cpu_count() or 1)


class Picture:
    """A pyramid, and those of its tiles that were last on the screen, ready to be drawn."""

    def __init__(self, pixels: np.ndarray | Pyramid) -> None:
        self.pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
        self._zoom = 0.0
        self._is_draft = False
        self._tiles: dict[tuple[int, int], tuple[QImage, np.ndarray]] = {}

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
        if self._tiles:
            for key in self.pyramid.tiles_over(self._zoom, x, y, x + pixels.shape[1], y + pixels.shape[0]):
                self._tiles.pop(key, None)

    def draw(self, painter: QPainter, zoom: float, origin: QPoint, visible: QRect, *, is_draft: bool) -> None:
        """Draw what falls into `visible`, in screen pixels, with the picture's corner at `origin`."""
        if zoom < 1:
            if (zoom, is_draft) != (self._zoom, self._is_draft):
                self._tiles.clear()
                self._zoom, self._is_draft = zoom, is_draft
            self._draw_averaged(painter, origin, visible)
        else:
            self._draw_pixels(painter, zoom, origin, visible)

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

    def _draw_averaged(self, painter: QPainter, origin: QPoint, visible: QRect) -> None:
        shown_width, shown_height = self.pyramid.shown_size(self._zoom)
        area = visible.translated(-origin) & QRect(0, 0, shown_width, shown_height)
        if area.isEmpty():
            return
        keys = [
            (column, row)
            for row in range(area.top() // TILE, area.bottom() // TILE + 1)
            for column in range(area.left() // TILE, area.right() // TILE + 1)
        ]
        missing = [key for key in keys if key not in self._tiles]
        if missing:
            self.pyramid.prepare(self._zoom, is_draft=self._is_draft)
        if self._is_draft:
            # A few milliseconds, for which other threads would have to be waited where all cores are busy.
            self._tiles.update({key: self._rendered(key) for key in missing})
        elif missing:
            # OpenCV does not split a resize as small as a tile over threads, but releases the GIL. Starting the threads
            # anew costs 0.2 ms; none is left to be waited for when the program ends.
            with ThreadPoolExecutor(min(len(missing), _RENDER_THREADS), thread_name_prefix="tile") as threads:
                self._tiles.update(zip(missing, threads.map(self._rendered, missing), strict=True))
        for key in keys:
            # Back in at the end: the tiles longest unseen come first and are the first to go.
            tile = self._tiles[key] = self._tiles.pop(key)
            painter.drawImage(QPoint(origin.x() + key[0] * TILE, origin.y() + key[1] * TILE), tile[0])
        for key in list(self._tiles)[: max(0, len(self._tiles) - max(32, 2 * len(keys)))]:
            del self._tiles[key]

    def _rendered(self, key: tuple[int, int]) -> tuple[QImage, np.ndarray]:
        return _drawable(self.pyramid.tile(self._zoom, *key, is_draft=self._is_draft))


def _drawable(pixels: np.ndarray) -> tuple[QImage, np.ndarray]:
    """(h, w, C) uint8 as an image in the screen's own format, and the memory it lies in, to be kept as long."""
    conversion = cv2.COLOR_RGB2BGRA if pixels.shape[2] == 3 else cv2.COLOR_GRAY2BGRA
    memory = cv2.cvtColor(pixels, conversion)
    return QImage(memory.data, memory.shape[1], memory.shape[0], memory.strides[0], QImage.Format.Format_RGB32), memory
