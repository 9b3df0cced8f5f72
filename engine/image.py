"""Pictures: opening a file as float32 pixels, with everything else that the file carried."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from engine import scratch
from engine.color import Convert, flaw
from engine.decode import decode
from engine.develop import Develop
from engine.language import tr
from engine.metadata import Metadata, upright_exif, upright_xmp
from engine.mosaic import Mosaic
from engine.pages import Axes
from engine.photos import HAS_HEIF
from engine.reading import RAW, CameraRaw, Decoded, ImageError, Wanted, foreign_errors

_OPENED = (
    ".jpg .jpeg .jpe .jfif .tif .tiff .png .webp .bmp .dib .gif .pgm .ppm .pnm .pbm .pfm .avif .jp2 .j2k .j2c .jpx "
    ".jpf .jxl .fits .fit .fts .npy .exr"
)
EXTENSIONS: frozenset[str] = frozenset((_OPENED + (" .heic .heif .hif" if HAS_HEIF else "")).split()) | RAW
"""What folders and dialogs show, lower case with the dot. Single files are opened by content whatever their name."""


@dataclass(frozen=True, eq=False)
class Image:
    """A picture; nothing is clipped before it is saved or shown.

    Attributes:
        pixels: (H, W, C) float32, C = 1 or 3 (RGB); 0 is black and 1 the file type's white, noise may lie outside;
            in a unit of their own where `is_float`.
        path: the file it came from.
        bits: per sample in the file: 8, 16, or 32 where `is_float`.
        is_float: whether the pixels are in the file's own unit: it holds floating-point, signed or 32-bit samples.
        dtype: NumPy's name of the file's samples, such as "int16"; "" where `bits` says it all.
        levels: what maps to the networks' trained range [0, 1], in units of `pixels`.
        opacity: (H, W) in the file's type, carried along untouched.
        metadata: what else the file held.
        page, pages: which of the pictures of a stack this is, from 0, and how many the file holds.
        axes: how these are ordered.
        mosaic: what the sensor recorded, upright; None where the file is not RAW or cannot be denoised there.
        develop: how a RAW file was developed.
    """

    pixels: np.ndarray
    path: Path | None = None
    bits: int = 8
    is_float: bool = False
    levels: tuple[float, float] = (0.0, 1.0)
    opacity: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)
    page: int = 0
    pages: int = 1
    dtype: str = ""
    mosaic: Mosaic | None = None
    develop: Develop = Develop()
    axes: Axes = field(default_factory=Axes)

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.pixels.shape[2]

    @property
    def is_raw(self) -> bool:
        """Whether it came from a camera's RAW file, and was developed."""
        return self.metadata.format == "RAW"

    @property
    def peak(self) -> float:
        """The data range for PSNR in units of `pixels`: 1, but for floats that do not lie about [0, 1] their span."""
        low, high = self.levels
        if not self.is_float or (low >= -0.25 and 0.25 < high <= 1.25):
            return 1.0
        return high - low


def load_image(path: str | Path, page: int = 0, huge: bool = False, *, develop: Develop = Develop()) -> Image:
    """Open a picture by its content, upright; ImageError if it is missing, unreadable, damaged or unknown.

    Args:
        path: of the file.
        page: which of the pictures of a stack, from 0; the others are not decoded.
        huge: whether more than 1000 megapixels may be opened; without it they are `TooLarge`.
        develop: how, where it is a camera's RAW file.

    16-bit and float pictures get their levels from their data; the pages of a stack, or of one of its channels, share
    those of a few of them. A picture of n samples needs 4n bytes for the pixels, and what the samples take in the
    file's type. Beyond 1 GB either lies in a file in the cache's folder; but only TIFF, NumPy, FITS and PFM are read
    into it piece by piece, and all other types are first decoded whole, in memory.
    """
    path, wanted = Path(path), Wanted(page, huge)
    with foreign_errors(path, tr("cannot be opened")):
        try:
            decoded = decode(path, wanted)
        except CameraRaw:
            from engine.raw import read_raw

            raw = read_raw(path, develop)
            return Image(raw.pixels, path, 16, metadata=raw.metadata, mosaic=raw.mosaic, develop=develop)
        return _finish(decoded, path, wanted)


def _turn(samples: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the samples that stands upright; orientation as in EXIF, 1 to 8."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    down, left = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return samples[::down, ::left]


_BAND = 1 << 22  # samples converted at a time
_EXACT = 1 << 24  # the integers that float32 can tell apart


def _finish(decoded: Decoded, path: Path, wanted: Wanted) -> Image:
    """Bake in the orientation, convert to float32, and settle levels and metadata."""
    pixels, kind, largest = _pixels(decoded, path)
    is_float = _has_own_unit(kind)
    opacity = decoded.opacity
    if opacity is not None:
        turned = _turn(opacity, decoded.orientation)
        opacity = scratch.array(turned.shape, turned.dtype.newbyteorder("="))
        opacity[...] = turned
    bits = 32 if is_float else 8 * kind.itemsize
    levels = (0.0, 1.0)
    if bits != 8:
        levels = _stack_levels(decoded.axes, path, wanted, pixels, kind) or derive_levels(pixels, is_float)
    metadata = _settle(decoded.metadata, decoded.orientation, pixels.shape, path)
    if largest > _EXACT:
        note = tr("{name} holds {kind} samples up to {largest}; they are rounded to 24 bits").format(
            name=path.name, kind=kind.name, largest=largest
        )
        metadata = dataclasses.replace(metadata, notes=(*metadata.notes, note))
    return Image(
        pixels,
        path,
        bits,
        is_float,
        levels,
        opacity,
        metadata,
        wanted.page,
        decoded.axes.pages,
        kind.name,
        axes=decoded.axes,
    )


def _has_own_unit(kind: np.dtype) -> bool:
    """Whether samples of this type are no share of a white that the type knows."""
    return kind.kind != "u" or kind.itemsize > 2


def _pixels(decoded: Decoded, path: Path) -> tuple[np.ndarray, np.dtype, int]:
    """(H, W, C) float32, upright; the type of the samples; and the largest of 32-bit integers, whatever its sign."""
    samples = _turn(decoded.samples, decoded.orientation)
    shown = decoded.shown or (lambda band: band)
    start = shown(samples[:1])
    kind = start.dtype.newbyteorder("=")
    shape = (*samples.shape[:2], 1 if start.ndim == 2 else start.shape[2])
    is_done = decoded.shown is None and samples.dtype == np.float32 and samples.flags.carray
    pixels = samples.reshape(shape) if is_done else scratch.array(shape, np.float32)
    rows = max(1, _BAND // (shape[1] * shape[2]))
    bad = largest = 0
    for top in range(0, shape[0], rows):
        into = pixels[top : top + rows]
        if not is_done:
            band = shown(samples[top : top + rows]).reshape(into.shape)
            with np.errstate(over="ignore", invalid="ignore"):
                np.divide(band, np.float32(decoded.white), out=into)
            if kind.kind in "iu" and kind.itemsize > 2:
                largest = max(largest, int(band.max()), -int(band.min()))
        if kind.kind == "f":
            bad += count_non_finite(into)
    if bad:
        raise ImageError(
            tr("{name} has {bad} samples that are not finite numbers; replace them first").format(
                name=path.name, bad=bad
            )
        )
    return pixels, kind, largest


_SAMPLED = 5  # pages of a stack, or of one of its channels, that its levels are taken from
_SAMPLED_PIXELS = 1 << 26  # of them together; two are taken in any case


def _stack_levels(
    axes: Axes, path: Path, wanted: Wanted, pixels: np.ndarray, kind: np.dtype
) -> tuple[float, float] | None:
    """The levels that all pages of this page's channel share; None for a single picture and one unlike the others."""
    if axes.pages == 1:
        return None
    most = min(_SAMPLED, max(2, _SAMPLED_PIXELS // (pixels.shape[0] * pixels.shape[1])))
    state = path.stat()
    found = _sampled_levels(
        path, state.st_mtime_ns, state.st_size, wanted.huge, tuple(axes.alike(axes.channel(wanted.page), most))
    )
    return found.get((kind.name, pixels.shape[2]))


@functools.lru_cache(maxsize=256)
def _sampled_levels(
    path: Path, changed: int, size: int, huge: bool, pages: tuple[int, ...]
) -> dict[tuple[str, int], tuple[float, float]]:
    """The levels of some pages of a file in this state, by the type and the number of their colours."""
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for page in pages:
        # A page that is damaged does not spoil the others.
        with contextlib.suppress(ImageError), foreign_errors(path, ""):
            pixels, kind, _ = _pixels(decode(path, Wanted(page, huge)), path)
            found.setdefault((kind.name, pixels.shape[2]), []).append(_thinned(pixels).reshape(-1))
    return {
        (name, channels): _levels(np.concatenate(parts), _has_own_unit(np.dtype(name)))
        for (name, channels), parts in found.items()
    }


def _settle(metadata: Metadata, orientation: int, shape: tuple[int, ...], path: Path) -> Metadata:
    """The metadata of the upright picture; a profile for another kind of colour is dropped."""
    height, width, channels = shape
    exif, notes = upright_exif(metadata.exif, width, height), metadata.notes
    if metadata.exif and not exif:
        notes += (tr("{name} has damaged EXIF data; they are left out").format(name=path.name),)
    icc, dpi = metadata.icc, metadata.dpi
    if icc and icc[16:20] in {b"RGB ", b"GRAY", b"CMYK", b"Lab "} - {b"GRAY" if channels == 1 else b"RGB "}:
        icc = None
    if icc and (reason := flaw(icc, channels)):
        notes += (
            tr("The colour profile of {name} cannot be used, {reason}; its colours are shown as sRGB").format(
                name=path.name, reason=reason
            ),
        )
    return dataclasses.replace(
        metadata,
        exif=exif,
        # The containers of HEIF and JPEG XL turn the picture themselves, whatever the packet says.
        xmp=upright_xmp(metadata.xmp) if orientation != 1 or metadata.format in ("HEIF", "JPEGXL") else metadata.xmp,
        icc=icc,
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        notes=notes,
    )


def count_non_finite(pixels: np.ndarray) -> int:
    """How many samples are no finite numbers."""
    if math.isfinite(pixels.min()) and math.isfinite(pixels.max()):  # spares a mask as large as the picture
        return 0
    return sum(band.size - int(np.count_nonzero(np.isfinite(band))) for band in pixels)


def derive_levels(pixels: np.ndarray, is_float: bool) -> tuple[float, float]:
    """What maps to the networks' trained range [0, 1], for 16-bit and float pictures.

    Normally (0, 2^-k) with the largest k that leaves the brightest thousandth above it; floats may overshoot by a
    quarter, because their noise is not clipped. A picture on a pedestal, or well below zero, gets its own range with a
    margin of 5 %. A picture scaled by a power of two has its levels scaled by the same.

    Args:
        pixels: (H, W, C), finite.
        is_float: whether they are in a unit of their own.
    """
    return _levels(_thinned(pixels), is_float)


def _thinned(pixels: np.ndarray) -> np.ndarray:
    """About a million pixels, evenly spaced."""
    stride = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] >> 20))
    return pixels[::stride, ::stride]


def _levels(samples: np.ndarray, is_float: bool) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(samples.astype(np.float64), (0.1, 99.9)))
    if low == high <= 0:
        return (0.0, 1.0) if high == 0 else (2 * low, 0.0)
    if low < high and (low > high / 2 or low < -high / 4):
        margin = 0.05 * (high - low)
        return low - margin, high + margin
    mantissa, exponent = math.frexp(high / 1.25 if is_float else high)
    return 0.0, math.ldexp(1.0, exponent - (mantissa == 0.5))


def find_images(
    paths: Iterable[str | Path], recursive: bool = False, unread: Callable[[OSError], object] | None = None
) -> list[Path]:
    """Files as they are given; folders expanded to the pictures in them, in natural order, without hidden files.

    Args:
        paths: of files and folders.
        recursive: whether the folders in folders are looked into.
        unread: told of each folder that cannot be looked into; they are passed over.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            found[path] = None
            continue
        inside: list[Path] = []
        for folder, folders, names in os.walk(path, onerror=unread):
            folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
            inside += [
                Path(folder, name)
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
            ]
        found |= dict.fromkeys(sorted(inside, key=_natural))
    return list(found)


def _natural(path: Path) -> list[list[tuple[int, str]]]:
    """Sort key with which `2.png` comes before `10.png`."""
    return [
        [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"([0-9]+)", part.casefold())]
        for part in path.parts
    ]


_COUNTED = 1 << 30  # pixels that OpenCV can count
_ENOUGH = 1 << 24  # pixels for a thumbnail of more


def thumbnail(image: Image, side: int, convert: Convert | None = None) -> np.ndarray:
    """(h, w, 3) uint8, area-averaged, its longer side at most `side`; `levels` become black and white.

    Args:
        image: the picture.
        side: in pixels.
        convert: what brings its colours to the screen's.
    """
    scale = min(1.0, side / max(image.height, image.width))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = image.pixels
    if image.height * image.width > _COUNTED:
        stride = math.isqrt(image.height * image.width // _ENOUGH)
        pixels = pixels[::stride, ::stride]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], image.channels)
    low, high = image.levels
    small = np.clip((small - low) / (high - low), 0, 1)
    if convert is None:
        small = np.rint(small * 255).astype(np.uint8)
    else:
        small = convert(np.rint(small * 65535).astype(np.uint16))
    return np.ascontiguousarray(np.broadcast_to(small, (*small.shape[:2], 3)))


def input_hash(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
