"""An area-averaged pyramid of one 8-bit picture, which shows its noise as it is at every zoom below 100 %.

Nearest-neighbour sampling at fit-to-window shows noise of std 25 as 25, where a true average of the pixels under one
screen pixel shows 4. A denoiser that showed its input so would flatter itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from engine import scratch

TILE = 256
"""Side of a rendered tile in screen pixels."""

_FINAL_RATIO = 2.0
_DRAFT_RATIO = 1.5
"""Level pixels per screen pixel, at least (and at most twice that), unless level 0 itself has fewer.

A level that is only just finer than the screen is averaged twice, and its grid beats with the screen's: from a ratio of
1 the shown noise falls up to 19 % short of a true area average, from 2 at most 9 %. With 2, every zoom above 1/4 is
averaged straight from the picture.
"""


_BAND = 1 << 22
"""Samples of a level that are averaged at a time."""


class Pyramid:
    """One picture and its halved levels; a level is made when it is first needed.

    Level 0 is the given array itself, not a copy: the caller does not write to it. Pixel i of level k covers the pixels
    from i·2^k up to (i+1)·2^k of the picture, or what there is of them at the right and bottom edge. `replace` writes
    to blocks of its own, so that a first result costs what it covers, not what a picture of 100 megapixels does. Levels
    larger than `scratch.IN_MEMORY`, and the blocks of such, lie in files.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        """Take (H, W, C) uint8 with C = 1 or 3 (RGB); anything else is a ValueError."""
        check_pixels(pixels)
        self._given = [pixels]
        # For each level the blocks of TILE x TILE pixels that differ, by row and column.
        self._changed: list[dict[tuple[int, int], np.ndarray]] = []
        # Where the blocks of large levels lie.
        self._rooms: dict[int, np.ndarray] = {}

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, C) uint8, the picture at 100 %; a copy where a part of it was replaced."""
        return self.level(0)

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return self._given[0].shape[0]

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return self._given[0].shape[1]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self._given[0].shape[2]

    @property
    def levels_made(self) -> int:
        """How many levels exist by now, level 0 included."""
        return len(self._given)

    def level(self, index: int) -> np.ndarray:
        """(ceil(H / 2^index), ceil(W / 2^index), C) uint8, made with the levels before it where it is missing."""
        self._make(index)
        height, width = self._given[index].shape[:2]
        return self.read(index, 0, height, 0, width)

    def make_all(self) -> None:
        """Make every level that any zoom reads, for example on another thread before the picture is shown."""
        while max(self._given[-1].shape[:2]) > 2 * TILE:
            self._make(len(self._given))

    def _make(self, index: int) -> None:
        while len(self._given) <= index:
            self._given.append(_halved(self._given[-1]))
        while self._changed and len(self._changed) <= index:
            self._change_next()

    def read(self, index: int, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """A part of a level that was made, (bottom - top, right - left, C) uint8, not to be written to."""
        given = self._given[index][top:bottom, left:right]
        changed = self._changed[index] if self._changed else {}
        found = [place for place in _blocks(top, bottom, left, right) if place in changed] if changed else []
        if not found:
            return given
        out = given.copy()
        for place in found:
            there, inside = _overlap(place, top, bottom, left, right)
            out[there] = changed[place][inside]
        return out

    def replace(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Put (h, w, C) uint8 at column x and row y, and renew only what lies over it on each level.

        The given array stays as it is. A region that is not inside the picture or has other channels is a ValueError.
        """
        check_pixels(pixels)
        height, width, channels = pixels.shape
        if channels != self.channels:
            raise ValueError(f"The region has {channels} channels, and its picture has {self.channels}")
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"The region {width}x{height} at ({x}, {y}) leaves the picture of {self.width}x{self.height} pixels"
            )
        if not self._changed:
            self._changed.append({})
        self._make(len(self._given) - 1)
        top, bottom, left, right = y, y + height, x, x + width
        self._write(0, pixels, top, left)
        for index in range(1, len(self._changed)):
            top, bottom, left, right = top // 2, (bottom + 1) // 2, left // 2, (right + 1) // 2
            self._write(index, self._halved_below(index, top, bottom, left, right), top, left)

    def _halved_below(self, index: int, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """A part of a level, averaged anew from the level before it."""
        height, width = self._given[index - 1].shape[:2]
        return _halved(self.read(index - 1, 2 * top, min(2 * bottom, height), 2 * left, min(2 * right, width)))

    def _write(self, index: int, pixels: np.ndarray, top: int, left: int) -> None:
        """Put pixels into the blocks of a level; a block that is not there yet starts as what was given."""
        given, changed = self._given[index], self._changed[index]
        bottom, right = top + pixels.shape[0], left + pixels.shape[1]
        for place in _blocks(top, bottom, left, right):
            block = changed.get(place)
            if block is None:
                y, x = place[0] * TILE, place[1] * TILE
                start = given[y : y + TILE, x : x + TILE]
                block = changed[place] = self._room(index, y, x, start.shape)
                block[...] = start
            there, inside = _overlap(place, top, bottom, left, right)
            block[inside] = pixels[there]

    def _room(self, index: int, y: int, x: int, shape: tuple[int, ...]) -> np.ndarray:
        """Memory for a block of a level, or its place in a file as large as the level."""
        given = self._given[index]
        if given.size <= scratch.IN_MEMORY:
            return np.empty(shape, np.uint8)
        if index not in self._rooms:
            self._rooms[index] = scratch.array(given.shape, np.uint8)
        return self._rooms[index][y : y + shape[0], x : x + shape[1]]

    def _change_next(self) -> None:
        """Carry what was replaced on to the next level."""
        index = len(self._changed)
        below, (height, width) = self._changed[-1], self._given[index].shape[:2]
        self._changed.append({})
        for row, column in {(row // 2, column // 2) for row, column in below}:
            top, left = row * TILE, column * TILE
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            self._write(index, self._halved_below(index, top, bottom, left, right), top, left)

    def copy(self) -> Pyramid:
        """Another pyramid of the given picture, which `replace` changes without changing this one."""
        made = Pyramid(self._given[0])
        made._given = self._given
        return made

    def shown_size(self, zoom: float) -> tuple[int, int]:
        """Width and height in screen pixels at a zoom below 1, at least 1 each."""
        width, height = (max(1, math.ceil(size * zoom - 1e-6)) for size in (self.width, self.height))
        return width, height

    def tile(self, zoom: float, column: int, row: int, *, is_draft: bool = False) -> np.ndarray:
        """(h, w, C) uint8, h and w up to TILE: a tile averaged to its size on the screen at a zoom below 1.

        The tiles of one zoom meet without gap or overlap. Their borders are rounded to pixels of the level they are
        averaged from, so a tile lies within half a screen pixel of its true place. A draft takes a quarter of the time
        or less, for a picture in motion; its noise is within about a fifth of the final tile's.
        """
        index = _level_index(zoom, is_draft)
        self._make(index)
        level = self._given[index]
        ratio = 1 / (zoom * 2**index)
        shown_width, shown_height = self.shown_size(zoom)
        left, right, width = _span(column, shown_width, level.shape[1], ratio)
        top, bottom, height = _span(row, shown_height, level.shape[0], ratio)
        pixels = self.read(index, top, bottom, left, right)
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


def _blocks(top: int, bottom: int, left: int, right: int) -> Iterator[tuple[int, int]]:
    """(row, column) of every block that a part of a level meets."""
    for row in range(top // TILE, -(-bottom // TILE)):
        for column in range(left // TILE, -(-right // TILE)):
            yield row, column


def _overlap(
    place: tuple[int, int], top: int, bottom: int, left: int, right: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What a block and a part of a level share, seen from the part's corner and from the block's."""
    y, x = place[0] * TILE, place[1] * TILE
    y0, y1, x0, x1 = max(top, y), min(bottom, y + TILE), max(left, x), min(right, x + TILE)
    there = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    return there, (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


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
    halved = scratch.array(((height + 1) // 2, (width + 1) // 2, channels), np.uint8)

    def average(source: np.ndarray, target: np.ndarray) -> None:
        rows, columns = target.shape[:2]
        if not columns:
            return
        step = len(source) // rows if rows else 1
        band = max(1, _BAND // (columns * channels))
        for top in range(0, rows, band):
            into = target[top : top + band]
            part = source[top * step : (top + len(into)) * step]
            into[...] = cv2.resize(part, (columns, len(into)), interpolation=cv2.INTER_AREA).reshape(into.shape)

    even_height, even_width = 2 * half_height, 2 * half_width
    average(pixels[:even_height, :even_width], halved[:half_height, :half_width])
    average(pixels[:even_height, even_width:], halved[:half_height, half_width:])
    average(pixels[even_height:, :even_width], halved[half_height:, :half_width])
    halved[half_height:, half_width:] = pixels[even_height:, even_width:]
    return halved
