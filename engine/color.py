"""Grey and RGB pixels."""

from __future__ import annotations

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W, 1): luminance of ITU-R BT.601, which the grey test sets of the papers are made with."""
    return pixels if pixels.shape[2] == 1 else (pixels @ _LUMA)[..., None]


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W, 3); a grey picture is repeated."""
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
