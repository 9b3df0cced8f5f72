"""Small RAW files (DNG) with exactly known samples."""

from pathlib import Path

import numpy as np
import tifffile

from engine.develop import XYZ_TO_SRGB
from engine.mosaic import sites

BLACK, WHITE = 256, 4095


def rationals(values) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(float(value) * 10000), 10000))


def write_dng(
    path: Path, samples: np.ndarray, pattern="RGGB", *, neutral=(0.5, 1.0, 0.65), orientation=1, white=WHITE, more=()
) -> Path:
    """A mosaic (H, W) of a camera with sRGB's primaries, as it lies on the sensor; `more` as tifffile's extratags."""
    tags = [
        (271, 2, 0, "Maker", False),
        (272, 2, 0, "Model 1", False),
        (274, 3, 1, orientation, False),
        (33421, 3, 2, (2, 2), False),
        (33422, 1, 4, bytes("RGB".index(colour) for colour in pattern), False),
        (50706, 1, 4, b"\x01\x04\0\0", False),
        (50707, 1, 4, b"\x01\x01\0\0", False),
        (50708, 2, 0, "Maker Model 1", False),
        (50714, 3, 1, BLACK, False),
        (50717, 3, 1, white, False),
        (50721, 10, 9, rationals(XYZ_TO_SRGB.ravel()), False),
        (50728, 5, 3, rationals(neutral), False),
        (50778, 3, 1, 21, False),
        *more,
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(samples.astype(np.uint16), photometric=32803, extratags=tags, metadata=None, software=False)
    return path


def recorded(linear: np.ndarray, pattern="RGGB", neutral=(0.5, 1.0, 0.65)) -> np.ndarray:
    """The light (H, W, 3) that falls on such a sensor as its mosaic (H, W), 0 black and 1 white."""
    out = np.empty(linear.shape[:2])
    for (row, column), colour in sites(pattern):
        out[row::2, column::2] = linear[row::2, column::2, colour] * neutral[colour]
    return out


def samples_of(mosaic: np.ndarray) -> np.ndarray:
    """As the file holds it; noise below black stays."""
    return np.clip(np.rint(BLACK + mosaic * (WHITE - BLACK)), 0, WHITE)
