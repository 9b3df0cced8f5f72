"""How a camera's mosaic becomes a picture: what can be chosen, and the pipeline. Plain arrays, no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from engine import scratch
from engine.language import tr
from engine.mosaic import Mosaic, pack, sites

XYZ_TO_SRGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""IEC 61966-2-1, D65."""

WHITES = ("camera", "daylight", "auto")
CURVES = ("srgb", "linear")
DOMAINS = ("mosaic", "picture")

MOST_STOPS = 8.0
"""Of exposure, either way."""

REACH = 2
"""Pixels around a region of the mosaic on which its developed pixels depend."""

_BAND = 256  # rows developed at a time, of any picture


class DevelopError(ValueError):
    """A RAW file cannot be developed like that; the message is meant for the user."""


@dataclass(frozen=True)
class Develop:
    """How a RAW file is developed. No library's noise reduction takes part.

    Attributes:
        white: camera (as shot), daylight, auto (grey world), or three multipliers of red, green and blue: "2.1,1,1.6".
        exposure: in stops, -8 to 8.
        curve: srgb, or linear for a picture that is proportional to light.
        domain: what is denoised: mosaic (what the sensor recorded, developed afterwards) or picture (developed before).

    Raises:
        DevelopError: a value is none of these.
    """

    white: str = "camera"
    exposure: float = 0.0
    curve: str = "srgb"
    domain: str = "mosaic"

    def __post_init__(self) -> None:
        if self.white not in WHITES and not self._numbers():
            raise DevelopError(
                tr(
                    "The white balance {white!r} is none of {known} and not three multipliers of red, green "
                    'and blue such as "2.1,1,1.6"'
                ).format(white=self.white, known=", ".join(WHITES))
            )
        if not abs(self.exposure) <= MOST_STOPS:
            raise DevelopError(
                tr("The exposure must be from -{most:g} to {most:g} stops, not {exposure}").format(
                    most=MOST_STOPS, exposure=self.exposure
                )
            )
        for value, choices in ((self.curve, CURVES), (self.domain, DOMAINS)):
            if value not in choices:
                raise DevelopError(tr("{value!r} is none of {choices}").format(value=value, choices=", ".join(choices)))

    @property
    def multipliers(self) -> tuple[float, ...] | None:
        """Of red, green and blue where they were given as numbers; None for the named white balances."""
        return self._numbers() or None

    def _numbers(self) -> tuple[float, ...]:
        found = re.fullmatch(r"\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*", self.white)
        try:
            numbers = tuple(float(number) for number in found.groups()) if found else ()
        except ValueError:
            return ()
        return numbers if all(1e-3 <= number <= 1e3 for number in numbers) else ()


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A settled development: nothing of it depends on more of the picture than `REACH` pixels around.

    Attributes:
        pattern: of the mosaic.
        gains: (3,) of red, green and blue, the least of them 1: white balance.
        matrix: (3, 3) balanced camera colours to linear sRGB, with the exposure.
        curve: srgb or linear.
    """

    pattern: str
    gains: np.ndarray
    matrix: np.ndarray
    curve: str

    def develop(self, mosaic: np.ndarray) -> np.ndarray:
        """A mosaic (H, W) as (H, W, 3) float32, 1 white; any part that begins and ends at whole cells.

        White balance, demosaicing, camera colours to sRGB, the curve. Of all values only those above the sensor's white
        are clipped, right after the white balance: where the sensor was saturated, the colours would be wrong. Noise
        below black stays, mirrored by the curve; nothing else is clipped before the picture is saved or shown. What is
        larger than `scratch.IN_MEMORY` lies in a file; NoRoom where the disk cannot hold it.
        """
        height, width = mosaic.shape
        out = scratch.array((height, width, 3), np.float32)
        for top in range(0, height, _BAND):
            bottom = min(top + _BAND, height)
            first, last = max(0, top - REACH), min(bottom + REACH, height)
            balanced = np.array(mosaic[first:last], np.float32)
            for (row, column), colour in sites(self.pattern):
                site = balanced[row::2, column::2]
                np.multiply(site, np.float32(self.gains[colour]), out=site)
            np.minimum(balanced, np.float32(1), out=balanced)
            linear = demosaic(balanced, self.pattern)[top - first : bottom - first]
            rgb = cv2.transform(linear, self.matrix.astype(np.float32))
            out[top:bottom] = to_srgb(rgb) if self.curve == "srgb" else rgb
        return out


def settle(camera: Mosaic, how: Develop) -> Pipeline:
    """The pipeline for that mosaic; grey world looks at all of it.

    Colours go from the camera's to sRGB by the camera's matrix, scaled so that white stays white, as dcraw does it.
    """
    to_camera = camera.matrix @ np.linalg.inv(XYZ_TO_SRGB)
    if how.multipliers:
        gains = np.array(how.multipliers)
    elif how.white == "daylight":
        gains = 1 / to_camera.sum(1)
    elif how.white == "auto":
        gains = 1 / _grey_world(camera)
    else:
        gains = 1 / camera.neutral
    if not (np.isfinite(gains).all() and (gains > 0).all()):
        raise DevelopError(
            tr("This file does not tell the white balance {white!r}; choose another or three numbers").format(
                white=how.white
            )
        )
    matrix = np.linalg.inv(_keep_white(to_camera)) * 2.0**how.exposure
    return Pipeline(camera.pattern, gains / gains.min(), matrix, how.curve)


def _grey_world(camera: Mosaic) -> np.ndarray:
    """Mean red, green and blue of the cells in which nothing is saturated, of every fourth cell each way."""
    cells = pack(camera.pixels, camera.pattern)[::4, ::4].reshape(-1, 4)
    inside = cells[cells.max(1) < 0.98]
    red, *greens, blue = (inside if len(inside) else cells).mean(0, dtype=np.float64)
    return np.array([red, sum(greens) / 2, blue])


def develop_as_published(mosaic: np.ndarray, camera: Mosaic) -> np.ndarray:
    """A mosaic (H, W) of that camera as sRGB (H, W, 3) float32 in [0, 1], as R2R's camera pictures are made.

    As `Pipeline`, but clipped to [0, 1] after each step, and with the rows of both matrices on the way over XYZ scaled
    to keep white white. It differs from the published one only in that nothing is rounded to 16 bits.
    """
    balanced = mosaic.astype(np.float32)
    for (row, column), colour in sites(camera.pattern):
        balanced[row::2, column::2] /= np.float32(camera.neutral[colour])
    linear = np.clip(demosaic(np.clip(balanced, 0, 1), camera.pattern), 0, 1)
    to_xyz = np.linalg.inv(_keep_white(camera.matrix))
    xyz = np.clip(linear @ to_xyz.T.astype(np.float32), 0, 1)
    return to_srgb(np.clip(xyz @ _keep_white(XYZ_TO_SRGB).T.astype(np.float32), 0, 1))


def _keep_white(matrix: np.ndarray) -> np.ndarray:
    return matrix / matrix.sum(1, keepdims=True)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """The sRGB curve, float32 (H, W, 3), mirrored at 0 and going on above 1."""
    size = np.abs(linear)
    curved = cv2.pow(size, 1 / 2.4)
    curved *= np.float32(1.055)
    curved -= np.float32(0.055)
    dark = size <= np.float32(0.0031308)
    size *= np.float32(12.92)
    np.copyto(curved, size, where=dark)
    return np.copysign(curved, linear, out=curved)


def from_srgb(pixels: np.ndarray) -> np.ndarray:
    """The inverse of `to_srgb`."""
    size = np.abs(pixels)
    linear = np.where(size <= 0.04045, size / 12.92, ((np.maximum(size, 0.04045) + 0.055) / 1.055) ** 2.4)
    return np.copysign(linear, pixels).astype(np.float32)


def demosaic(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """(H, W) to (H, W, 3): bilinear interpolation corrected by the Laplacian of the colour that was recorded.

    Malvar, He, Cutler: High-quality linear interpolation for demosaicing, ICASSP 2004. Linear, so nothing is clipped.
    """
    green = _filter(mosaic, [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]])
    along = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
    in_row, in_column = _filter(mosaic, along), _filter(mosaic, np.transpose(along))
    across = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
    diagonal = _filter(mosaic, across)
    out = np.empty((*mosaic.shape, 3), np.float32)
    rows = pattern[:2], pattern[2:]
    for (row, column), colour in sites(pattern):
        site = np.s_[row::2, column::2]
        for wanted in range(3):
            if wanted == colour:
                source = mosaic
            elif wanted == 1:
                source = green
            elif colour == 1:
                source = in_row if "RGB"[wanted] in rows[row] else in_column
            else:
                source = diagonal
            out[(*site, wanted)] = source[site]
    return out


def _filter(mosaic: np.ndarray, eighths: Any) -> np.ndarray:
    # Mirrored without the edge, so that colours stay in their places.
    return cv2.filter2D(mosaic, -1, np.array(eighths, np.float32) / 8, borderType=cv2.BORDER_REFLECT_101)
