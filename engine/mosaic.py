"""Mosaics of a sensor and their four colour planes. Plain arrays, no torch."""

from __future__ import annotations

import numpy as np

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""The colours of a mosaic's first 2x2 pixels, row by row."""


class MosaicError(ValueError):
    """A mosaic cannot be taken apart; the message is meant for the user."""


def pack(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """The colour planes of a mosaic: (H, W) to (H/2, W/2, 4), red, green of red's rows, green of blue's rows, blue.

    The order does not depend on the pattern, so one network serves all sensors. Values and their type are kept.
    MosaicError if a side is odd or there is no such pattern.
    """
    if mosaic.ndim != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise MosaicError(f"A mosaic is one plane with even sides, not of shape {mosaic.shape}")
    return np.stack([mosaic[row::2, column::2] for row, column in _places(pattern)], axis=-1)


def unpack(planes: np.ndarray, pattern: str) -> np.ndarray:
    """The mosaic of what `pack` gave: (H/2, W/2, 4) to (H, W); MosaicError for another shape or pattern."""
    if planes.ndim != 3 or planes.shape[2] != 4:
        raise MosaicError(f"A mosaic has four colour planes, and these have the shape {planes.shape}")
    mosaic = np.empty((2 * planes.shape[0], 2 * planes.shape[1]), planes.dtype)
    for index, (row, column) in enumerate(_places(pattern)):
        mosaic[row::2, column::2] = planes[..., index]
    return mosaic


def _places(pattern: str) -> list[tuple[int, int]]:
    """Row and column in the cell of red, its row's green, blue's row's green and blue."""
    if pattern not in PATTERNS:
        raise MosaicError(f"There is no mosaic pattern {pattern!r}; choose from {', '.join(PATTERNS)}")
    red, blue = divmod(pattern.index("R"), 2), divmod(pattern.index("B"), 2)
    return [red, (red[0], 1 - red[1]), (blue[0], 1 - blue[1]), blue]
