"""Cutting a picture into tiles whose results fit together exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rect:
    """Pixels from (left, top) up to, not including, (right, bottom)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an array (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, x: int, y: int) -> Rect:
        """The same rectangle elsewhere."""
        return Rect(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def grown(self, pixels: int) -> Rect:
        """With that many pixels more on every side."""
        return Rect(self.left - pixels, self.top - pixels, self.right + pixels, self.bottom + pixels)

    def shared(self, other: Rect) -> Rect:
        """What lies in both; meaningful only where they meet."""
        return Rect(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def meets(self, other: Rect) -> bool:
        """Whether the two share a pixel."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def grid(area: Rect, side: int) -> list[Rect]:
    """Tiles of `side` that cover `area`, row by row; the last ones are smaller."""
    return [
        Rect(left, top, min(left + side, area.right), min(top + side, area.bottom))
        for top in range(area.top, area.bottom, side)
        for left in range(area.left, area.right, side)
    ]


def reach(tile: Rect, height: int, width: int, margin: int, multiple: int) -> Rect:
    """What must be computed for `tile`: with its margin, cut at the picture's border, which is padded to `multiple`.

    A margin as wide as the receptive field makes the tile's pixels those of the whole picture. Origins are
    multiples of `multiple`, or a network with strides would see another grid in each tile.
    """
    full_height, full_width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    return Rect(
        max(0, tile.left - margin) // multiple * multiple,
        max(0, tile.top - margin) // multiple * multiple,
        min(full_width, -(-(tile.right + margin) // multiple) * multiple),
        min(full_height, -(-(tile.bottom + margin) // multiple) * multiple),
    )


def crop(pixels: np.ndarray, rect: Rect) -> np.ndarray:
    """The rectangle of a picture (H, W, C), mirrored where it goes past the right and bottom border."""
    height, width = pixels.shape[:2]
    inside = pixels[rect.top : min(rect.bottom, height), rect.left : min(rect.right, width)]
    below, beside = rect.height - inside.shape[0], rect.width - inside.shape[1]
    if not below and not beside:
        return inside
    # A strip thinner than its padding cannot be mirrored without its edge.
    mode = "reflect" if below < inside.shape[0] and beside < inside.shape[1] else "symmetric"
    return np.pad(inside, ((0, below), (0, beside), (0, 0)), mode=mode)
