"""Mosaics of a sensor and their four colour planes. Plain arrays, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.language import tr

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""The colours of a mosaic's first 2x2 pixels, row by row."""


class MosaicError(ValueError):
    """A mosaic cannot be taken apart; the message is meant for the user."""


@dataclass(frozen=True, eq=False)
class Mosaic:
    """What a sensor with a 2x2 colour filter recorded.

    Attributes:
        pixels: (H, W) float32, both even; 0 black and 1 white, noise may lie outside.
        pattern: colours of the top left cell, row by row, one of `PATTERNS`.
        neutral: what the camera records of a white surface, (3,) for red, green and blue (AsShotNeutral).
        matrix: XYZ to camera (3, 3) (ColorMatrix2).
        noise: variance = slope x value + offset, rows (slope, offset) for red, green and blue; None where unknown.
    """

    pixels: np.ndarray
    pattern: str
    neutral: np.ndarray
    matrix: np.ndarray
    noise: np.ndarray | None = None

    def variance(self, pixels: np.ndarray) -> np.ndarray:
        """Of the noise at each pixel of a mosaic (H, W) of this camera; the noisy value stands for the clean one."""
        assert self.noise is not None
        out = np.empty_like(pixels)
        for (row, column), colour in sites(self.pattern):
            slope, offset = self.noise[colour]
            out[row::2, column::2] = slope * pixels[row::2, column::2] + offset
        # A line through dark noisy values may fall below zero, where there is no deviation.
        return np.maximum(out, 1e-10)


def sites(pattern: str) -> Iterator[tuple[tuple[int, int], int]]:
    """Each ((row, column), colour) of the 2x2 cell; 0 red, 1 green, 2 blue."""
    for index, colour in enumerate(pattern):
        yield divmod(index, 2), "RGB".index(colour)


def pack(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """The colour planes of a mosaic: (H, W) to (H/2, W/2, 4), red, green of red's rows, green of blue's rows, blue.

    The order does not depend on the pattern, so one network serves all sensors. Values and their type are kept.
    MosaicError if a side is odd or there is no such pattern.
    """
    if mosaic.ndim != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise MosaicError(tr("A mosaic is one plane with even sides, not of shape {shape}").format(shape=mosaic.shape))
    return np.stack([mosaic[row::2, column::2] for row, column in _places(pattern)], axis=-1)


def unpack(planes: np.ndarray, pattern: str) -> np.ndarray:
    """The mosaic of what `pack` gave: (H/2, W/2, 4) to (H, W); MosaicError for another shape or pattern."""
    if planes.ndim != 3 or planes.shape[2] != 4:
        raise MosaicError(
            tr("A mosaic has four colour planes, and these have the shape {shape}").format(shape=planes.shape)
        )
    mosaic = np.empty((2 * planes.shape[0], 2 * planes.shape[1]), planes.dtype)
    for index, (row, column) in enumerate(_places(pattern)):
        mosaic[row::2, column::2] = planes[..., index]
    return mosaic


def _places(pattern: str) -> list[tuple[int, int]]:
    """Row and column in the cell of red, its row's green, blue's row's green and blue."""
    if pattern not in PATTERNS:
        raise MosaicError(
            tr("There is no mosaic pattern {pattern!r}; choose from {known}").format(
                pattern=pattern, known=", ".join(PATTERNS)
            )
        )
    red, blue = divmod(pattern.index("R"), 2), divmod(pattern.index("B"), 2)
    return [red, (red[0], 1 - red[1]), (blue[0], 1 - blue[1]), blue]
