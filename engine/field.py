"""Unit noise that is a function of seed, pass, channel and pixel position only."""

from __future__ import annotations

import functools

import numpy as np

_SIDE = 256


class NoiseField:
    """N(0, 1) at every position of an unbounded plane.

    The plane is drawn in blocks, each from its own counter of one Philox generator (Salmon et al., Parallel random
    numbers: as easy as 1, 2, 3, SC 2011). So tile size, order and viewport change nothing.

    Args:
        seed: 0 to 2^64 - 1.
        channels: independent planes.
    """

    def __init__(self, seed: int, channels: int) -> None:
        self._seed, self._channels = seed % 2**64, channels
        # Neighbouring tiles overlap by their margins and so share blocks.
        self._block = functools.lru_cache(maxsize=96)(self._draw)

    def _draw(self, index: int, row: int, column: int) -> np.ndarray:
        planes = []
        for channel in range(self._channels):
            # As 64-bit words: numpy takes a list with a number above 2^63 for floats, and blocks left of 0 are that.
            key = np.array([self._seed, index], np.uint64)
            counter = np.array([0, column % 2**64, row % 2**64, channel], np.uint64)
            generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
            planes.append(generator.standard_normal(_SIDE * _SIDE, dtype=np.float32).reshape(_SIDE, _SIDE))
        return np.stack(planes)

    def unit(self, index: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """The noise of pass `index` in a rectangle, (channels, height, width) float32."""
        out = np.empty((self._channels, height, width), np.float32)
        for row in range(top // _SIDE, (top + height - 1) // _SIDE + 1):
            for column in range(left // _SIDE, (left + width - 1) // _SIDE + 1):
                y0, x0 = row * _SIDE, column * _SIDE
                ya, yb = max(top, y0), min(top + height, y0 + _SIDE)
                xa, xb = max(left, x0), min(left + width, x0 + _SIDE)
                block = self._block(index, row, column)
                out[:, ya - top : yb - top, xa - left : xb - left] = block[:, ya - y0 : yb - y0, xa - x0 : xb - x0]
        return out
