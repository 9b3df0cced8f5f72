"""Camera mosaics: read from a file, and developed by one simple pipeline that treats every copy alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rawpy

from engine.image import ImageError
from engine.mat import read_mat
from engine.mosaic import PATTERNS

_XYZ_TO_SRGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""IEC 61966-2-1, D65."""

_CFA_PATTERN = 33422  # the TIFF tag CFAPattern

DNG = (".dng",)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """What a sensor with a 2x2 colour filter recorded.

    Attributes:
        pixels: (H, W) float32, both even; 0 black and 1 white, noise may lie outside.
        pattern: colours of the top left cell, row by row, one of `mosaic.PATTERNS`.
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
        for (row, column), colour in self.sites():
            slope, offset = self.noise[colour]
            out[row::2, column::2] = slope * pixels[row::2, column::2] + offset
        # A line through dark noisy values may fall below zero, where there is no deviation.
        return np.maximum(out, 1e-10)

    def sites(self) -> Iterator[tuple[tuple[int, int], int]]:
        """Each ((row, column), colour) of the 2x2 cell; 0 red, 1 green, 2 blue."""
        for index, colour in enumerate(self.pattern):
            yield divmod(index, 2), "RGB".index(colour)


def develop(mosaic: np.ndarray, camera: Mosaic) -> np.ndarray:
    """A mosaic (H, W) of that camera as sRGB (H, W, 3) float32 in [0, 1].

    White balance, demosaicing (Malvar, He, Cutler: High-quality linear interpolation for demosaicing, ICASSP 2004),
    camera to XYZ to sRGB with both matrices' rows scaled to keep white white, the sRGB curve; clipped after each. This
    is the pipeline of R2R's camera pictures but for its rounding to 16 bits; it has no tone curve.
    """
    balanced = mosaic.astype(np.float32)
    for (row, column), colour in camera.sites():
        balanced[row::2, column::2] /= np.float32(camera.neutral[colour])
    linear = demosaic(np.clip(balanced, 0, 1), camera)
    to_xyz = np.linalg.inv(_keep_white(camera.matrix))
    xyz = np.clip(linear @ to_xyz.T.astype(np.float32), 0, 1)
    rgb = np.clip(xyz @ _keep_white(_XYZ_TO_SRGB).T.astype(np.float32), 0, 1)
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 1e-8) ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


def _keep_white(matrix: np.ndarray) -> np.ndarray:
    return matrix / matrix.sum(1, keepdims=True)


def demosaic(mosaic: np.ndarray, camera: Mosaic) -> np.ndarray:
    """(H, W) to (H, W, 3): bilinear interpolation corrected by the Laplacian of the colour that was recorded."""
    green = _filter(mosaic, [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]])
    along = [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
    in_row, in_column = _filter(mosaic, along), _filter(mosaic, np.transpose(along))
    across = [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]]
    diagonal = _filter(mosaic, across)
    out = np.empty((*mosaic.shape, 3), np.float32)
    rows = camera.pattern[:2], camera.pattern[2:]
    for (row, column), colour in camera.sites():
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
    return np.clip(out, 0, 1)


def _filter(mosaic: np.ndarray, eighths: Any) -> np.ndarray:
    # Mirrored without the edge, so that colours stay in their places.
    return cv2.filter2D(mosaic, -1, np.array(eighths, np.float32) / 8, borderType=cv2.BORDER_REFLECT_101)


def find_mosaics(folder: Path) -> list[Path]:
    """Noisy mosaics below a folder, sorted: those of SIDD's tree and DNG files that are not clean twins."""
    found = [path for path in folder.rglob("*") if re.search(r"NOISY_RAW.*\.mat$", path.name, re.IGNORECASE)]
    found += [path for path in folder.rglob("*") if path.suffix.lower() in DNG and not path.stem.endswith("_clean")]
    return sorted(found)


def read_mosaic(path: Path) -> Mosaic:
    """Read a DNG, or a `*_NOISY_RAW_*.MAT` of SIDD with its metadata and noise beside it; ImageError if that fails."""
    return _read_dng(path) if path.suffix.lower() in DNG else _read_sidd(path)


def _read_dng(path: Path) -> Mosaic:
    try:
        with rawpy.imread(str(path)) as raw:
            cells = raw.raw_pattern
            if cells is None or cells.shape != (2, 2):
                raise ImageError(f"{path.name} has no 2x2 colour filter; such sensors cannot be read yet")
            names = raw.color_desc.decode()
            pattern = "".join(names[index] for index in cells.ravel())
            recorded = raw.raw_image_visible.astype(np.float32)
            black = np.array(raw.black_level_per_channel, np.float32)[cells]
            white = raw.white_level
            balance = np.array(raw.camera_whitebalance[:3], np.float64)
            matrix = np.array(raw.rgb_xyz_matrix[:3], np.float64)
    except rawpy.LibRawError as error:
        raise ImageError(f"{path.name} cannot be read ({error})") from None
    height, width = (side // 2 * 2 for side in recorded.shape)
    levels = np.tile(black, (height // 2, width // 2))
    pixels = (recorded[:height, :width] - levels) / (white - levels)
    if not matrix.any():
        matrix = _XYZ_TO_SRGB  # a file without a colour matrix: its primaries are taken for those of sRGB
    neutral = balance[1] / balance if (balance > 0).all() else np.ones(3)
    return Mosaic(pixels, pattern, neutral, matrix)


def _read_sidd(path: Path) -> Mosaic:
    about = path.with_name(path.name.replace("NOISY_RAW", "METADATA_RAW"))
    if not about.is_file():
        raise ImageError(f"{path.name} has no {about.name} beside it, which says its colours")
    metadata = read_mat(about)["metadata"]
    matrix = np.array(_field(metadata, "ColorMatrix2"), np.float64).reshape(3, 3)
    neutral = np.array(_field(metadata, "AsShotNeutral"), np.float64).reshape(3)
    pattern = "".join("RGB?"[min(int(colour), 3)] for colour in np.ravel(_cfa_pattern(metadata)))
    if pattern not in PATTERNS:
        raise ImageError(f"{about.name} names no 2x2 colour filter")
    planes = [value for name, value in read_mat(path).items() if getattr(value, "ndim", 0) == 2 and name != "metadata"]
    if len(planes) != 1:
        raise ImageError(f"{path.name} holds {len(planes)} planes; a mosaic is one")
    height, width = (side // 2 * 2 for side in planes[0].shape)
    pixels = planes[0][:height, :width].astype(np.float32)
    return Mosaic(pixels, pattern, neutral, matrix, noise_level(path))


def _field(metadata: Any, name: str) -> Any:
    """A field of a MATLAB struct, or of one of the structs inside it."""
    found = next((value for key, value in _walk(metadata) if key == name), None)
    if found is None or np.size(found) == 0:
        raise ImageError(f"The metadata have no {name}")
    return found


def _cfa_pattern(metadata: Any) -> Any:
    """The filter's colours: a field of that name, or the value of the unknown TIFF tag with its number."""
    for key, value in _walk(metadata):
        if key in ("CFAPattern", "CFAPattern2") and np.size(value) == 4:
            return value
        if (
            isinstance(value, dict)
            and np.size(value.get("ID", ())) == 1
            and int(np.ravel(value["ID"])[0]) == _CFA_PATTERN
        ):
            return value.get("Value", ())
    raise ImageError("The metadata have no CFAPattern")


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every named value of nested structs and lists of them."""
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _walk(inner)


def noise_level(path: Path) -> np.ndarray | None:
    """The camera's noise level function (3, 2) of a SIDD file's scene; None where no table says it.

    `noise_level_functions.csv` lies in a folder above; its rows are a scene id and slope and offset for red, green and
    blue. A row is found by the id with which the scene's folder or the file begins, never by its place: the order of
    files differs between systems.
    """
    table = next(
        (up / "noise_level_functions.csv" for up in path.parents if (up / "noise_level_functions.csv").is_file()), None
    )
    if table is None:
        return None
    scene = next((m[1] for m in (re.match(r"(\d{4})_", name) for name in (path.parent.name, path.name)) if m), None)
    for line in table.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        found = re.match(r"0*(\d+)", cells[0])
        if scene is not None and found and int(found[1]) == int(scene) and len(cells) >= 7:
            return np.array([float(cell) for cell in cells[1:7]]).reshape(3, 2)
    raise ImageError(f"{table.name} has no row for scene {scene}")
