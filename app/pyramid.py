"""An area-averaged pyramid of one 8-bit picture, which shows its noise as it is at every zoom below 100 %.

Nearest-neighbour sampling at fit-to-window shows noise of std 25 as 25, where a true average of the pixels under one
screen pixel shows 4. A denoiser that showed its input so would flatter itself.
"""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np

TILE = 256
"""Side of a rendered tile in screen pixels."""

_FINAL_RATIO = 2.0
_DRAFT_RATIO = 1.5
"""Level pixels per screen pixel, at least (and at most twice that), unless level 0 itself has fewer.

A level that is only just finer than the screen is averaged twice, and its grid beats with the screen's: from a ratio of
1 the shown noise falls up to 19 % short of a true area average, from 2 at most 9 %. With 2, every zoom above 1/4 is
averaged straight from the picture.
"""


class Pyramid:
    """One picture and its halved levels; a level is made when it is first needed.

    Level 0 is the given array itself, not a copy: the caller does not write to it. Pixel i of level k covers the pixels
    from i·2^k up to (i+1)·2^k of the picture, or what there is of them at the right and bottom edge.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        """Take (H, W, C) uint8 with C = 1 or 3 (RGB); anything else is a ValueError."""
        check_pixels(pixels)
        self._levels = [pixels]
        self._owns_pixels = False

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, C) uint8, the picture at 100 %."""
        return self._levels[0]

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return self.pixels.shape[1]

    @property
    def levels_made(self) -> int:
        """How many levels exist by now, level 0 included."""
        return len(self._levels)

    def level(self, index: int) -> np.ndarray:
        """(ceil(H / 2^index), ceil(W / 2^index), C) uint8, made with the levels before it where it is missing."""
        while len(self._levels) <= index:
            self._levels.append(_halved(self._levels[-1]))
        return self._levels[index]

    def replace(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Put (h, w, C) uint8 at column x and row y, and renew only what lies over it on each level.

        The first call copies level 0, which until then is the caller's array. A region that is not inside the picture
        or has other channels is a ValueError.
        """
        check_pixels(pixels)
        height, width, channels = pixels.shape
        if channels != self.pixels.shape[2]:
            raise ValueError(f"The region has {channels} channels, and its picture has {self.pixels.shape[2]}")
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"The region {width}x{height} at ({x}, {y}) leaves the picture of {self.width}x{self.height} pixels"
            )
        if not self._owns_pixels:
            self._levels[0] = self.pixels.copy()
            self._owns_pixels = True
        self.pixels[y : y + height, x : x + width] = pixels
        x0, y0, x1, y1 = x, y, x + width, y + height
        for below, level in pairwise(self._levels):
            x0, y0, x1, y1 = x0 // 2, y0 // 2, (x1 + 1) // 2, (y1 + 1) // 2
            level[y0:y1, x0:x1] = _halved(below[2 * y0 : 2 * y1, 2 * x0 : 2 * x1])

    def copy(self) -> Pyramid:
        """Another pyramid of the same picture, which `replace` changes without changing this one."""
        return Pyramid(self.pixels)

    def shown_size(self, zoom: float) -> tuple[int, int]:
        """Width and height in screen pixels at a zoom below 1, at least 1 each."""
        return tuple(max(1, math.ceil(size * zoom - 1e-6)) for size in (self.width, self.height))

    def prepare(self, zoom: float, *, is_draft: bool = False) -> None:
        """Make the levels that `tile` reads at this zoom; after that `tile` may be called from several threads."""
        self.level(_level_index(zoom, is_draft))

    def tile(self, zoom: float, column: int, row: int, *, is_draft: bool = False) -> np.ndarray:
        """(h, w, C) uint8, h and w up to TILE: a tile averaged to its size on the screen at a zoom below 1.

        The tiles of one zoom meet without gap or overlap. Their borders are rounded to pixels of the level they are
        averaged from, so a tile lies within half a screen pixel of its true place. A draft takes a quarter of the time
        or less, for a picture in motion; its noise is within about a fifth of the final tile's.
        """
        index = _level_index(zoom, is_draft)
        level = self.level(index)
        ratio = 1 / (zoom * 2**index)
        shown_width, shown_height = self.shown_size(zoom)
        left, right, width = _span(column, shown_width, level.shape[1], ratio)
        top, bottom, height = _span(row, shown_height, level.shape[0], ratio)
        pixels = level[top:bottom, left:right]
        if is_draft:
            # Interpolating to twice the size and averaging 2x2 weighs nearly as an area does; both steps are fast ones.
            pixels = cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        averaged = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return averaged.reshape(height, width, level.shape[2])

    def tiles_over(self, zoom: float, x0: int, y0: int, x1: int, y1: int) -> list[tuple[int, int]]:
        """(column, row) of every tile that shows a part of this rectangle of the picture at a zoom below 1."""
        columns = range(max(0, int(x0 * zoom - 2)) // TILE, int(x1 * zoom + 2) // TILE + 1)
        rows = range(max(0, int(y0 * zoom - 2)) // TILE, int(y1 * zoom + 2) // TILE + 1)
        return [(column, row) for row in rows for column in columns]


def check_pixels(pixels: np.ndarray) -> None:
    """Raise ValueError unless this is (H, W, C) uint8 with C = 1 or 3 and at least one pixel."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise ValueError(
            f"A picture to show is (H, W, 1) or (H, W, 3) uint8; this one is {pixels.shape} {pixels.dtype}, convert it"
        )


def _level_index(zoom: float, is_draft: bool) -> int:
    ratio = _DRAFT_RATIO if is_draft else _FINAL_RATIO
    return max(0, math.floor(math.log2(1 / (zoom * ratio)) + 1e-9))


def _span(index: int, shown: int, available: int, ratio: float) -> tuple[int, int, int]:
    """First and last (exclusive) level pixel under tile `index` along one axis, and the tile's screen pixels."""
    start, stop = index * TILE, min((index + 1) * TILE, shown)
    # A last screen pixel that is covered by less than half a level pixel would otherwise be an average of nothing.
    first = min(int(start * ratio + 0.5), available - 1)
    last = available if stop == shown else int(stop * ratio + 0.5)
    return first, last, stop - start


def _halved(pixels: np.ndarray) -> np.ndarray:
    """(ceil(H/2), ceil(W/2), C) means of 2x2 pixels; an odd last row or column is averaged along itself only."""
    height, width, channels = pixels.shape
    half_height, half_width = height // 2, width // 2
    halved = np.empty(((height + 1) // 2, (width + 1) // 2, channels), np.uint8)

    def average(source: np.ndarray, target: np.ndarray) -> None:
        if target.size:
            shape = target.shape
            target[...] = cv2.resize(source, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).reshape(shape)

    even_height, even_width = 2 * half_height, 2 * half_width
    average(pixels[:even_height, :even_width], halved[:half_height, :half_width])
    average(pixels[:even_height, even_width:], halved[:half_height, half_width:])
    average(pixels[even_height:, :even_width], halved[half_height:, :half_width])
    halved[half_height:, half_width:] = pixels[even_height:, even_width:]
    return halved
