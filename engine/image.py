"""Pictures: opening a file as float32 pixels, and saving them back with everything the file carried."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.Image

from engine.decode import HAS_HEIF, Decoded, ImageError, decode, foreign_errors
from engine.files import replacing
from engine.metadata import (
    PNG_HEADER,
    Metadata,
    append_exif,
    jpeg_iptc,
    png_chunks,
    upright_exif,
    upright_xmp,
    with_resolution,
    without_place,
)

_log = logging.getLogger(__name__)

_JPEG, _TIFF = {".jpg", ".jpeg", ".jpe", ".jfif"}, {".tif", ".tiff"}
_HEIF = {".heic", ".heif", ".hif"} if HAS_HEIF else set()
_WRITTEN = _JPEG | _TIFF | {".png", ".webp", ".bmp"}
_READ = {
    ".dib",
    ".gif",
    ".pgm",
    ".ppm",
    ".pnm",
    ".pbm",
    ".pfm",
    ".avif",
    ".jp2",
    ".j2k",
    ".j2c",
    ".jpx",
    ".jpf",
    ".jxl",
}
_SCIENCE = {".fits", ".fit", ".fts", ".npy", ".exr"}
EXTENSIONS: frozenset[str] = frozenset(_WRITTEN | _HEIF | _READ | _SCIENCE)
"""What folders and dialogs show, lower case with the dot. Single files are opened by content whatever their name."""

_BAND = 1 << 22  # samples converted at a time when saving, so that no second whole picture is needed


@dataclass(frozen=True, eq=False)
class Image:
    """A picture; nothing is clipped before it is saved or shown.

    Attributes:
        pixels: (H, W, C) float32, C = 1 or 3 (RGB); 0 is black and 1 the file type's white, noise may lie outside;
            float files in their own unit.
        path: the file it came from.
        bits: per sample in the file: 8, 16, or 32 for floats.
        is_float: whether the file holds floating-point samples.
        levels: what maps to the networks' trained range [0, 1], in units of `pixels`.
        opacity: (H, W) in the file's type, carried along untouched.
        metadata: what else the file held.
    """

    pixels: np.ndarray
    path: Path | None = None
    bits: int = 8
    is_float: bool = False
    levels: tuple[float, float] = (0.0, 1.0)
    opacity: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)

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
    def peak(self) -> float:
        """The data range for PSNR in units of `pixels`: 1, but for floats that do not lie about [0, 1] their span."""
        low, high = self.levels
        if not self.is_float or (low >= -0.25 and 0.25 < high <= 1.25):
            return 1.0
        return high - low


def load_image(path: str | Path) -> Image:
    """Open a picture by its content, upright; ImageError if it is missing, unreadable, damaged, too large or unknown.

    16-bit and float pictures get their levels from their data. For a picture of n samples the memory needed is 4n bytes
    for the pixels plus one copy in the file's type.
    """
    path = Path(path)
    with foreign_errors(path, "cannot be opened"):
        return _finish(decode(path), path)


def _turn(samples: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the samples that stands upright; orientation as in EXIF, 1 to 8."""
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    down, left = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return samples[::down, ::left]


def _finish(decoded: Decoded, path: Path) -> Image:
    """Bake in the orientation, convert to float32, and settle levels and metadata."""
    samples = _turn(decoded.samples, decoded.orientation)
    samples = samples[..., None] if samples.ndim == 2 else samples
    is_float = samples.dtype.kind == "f"
    pixels = np.empty(samples.shape, np.float32)
    if is_float:
        with np.errstate(over="ignore", invalid="ignore"):
            pixels[...] = samples
        if bad := _count_non_finite(pixels):
            raise ImageError(f"{path.name} has {bad} samples that are not finite numbers; replace them first")
    else:
        np.divide(samples, np.float32(decoded.white), out=pixels)
    opacity = decoded.opacity
    if opacity is not None:
        opacity = _turn(opacity, decoded.orientation)
        opacity = np.array(opacity, opacity.dtype.newbyteorder("="), order="C")
    bits = 32 if is_float else 8 if samples.dtype.itemsize == 1 else 16
    return Image(
        pixels,
        path,
        bits,
        is_float,
        (0.0, 1.0) if bits == 8 else derive_levels(pixels, is_float),
        opacity,
        _settle(decoded.metadata, decoded.orientation, pixels.shape, path),
    )


def _settle(metadata: Metadata, orientation: int, shape: tuple[int, ...], path: Path) -> Metadata:
    """The metadata of the upright picture; a profile for another kind of colour is dropped."""
    height, width, channels = shape
    exif, notes = upright_exif(metadata.exif, width, height), metadata.notes
    if metadata.exif and not exif:
        notes += (f"{path.name} has damaged EXIF data; they are left out",)
    icc, dpi = metadata.icc, metadata.dpi
    if icc and icc[16:20] in {b"RGB ", b"GRAY", b"CMYK", b"Lab "} - {b"GRAY" if channels == 1 else b"RGB "}:
        icc = None
    return dataclasses.replace(
        metadata,
        exif=exif,
        # The containers of HEIF and JPEG XL turn the picture themselves, whatever the packet says.
        xmp=upright_xmp(metadata.xmp) if orientation != 1 or metadata.format in ("HEIF", "JPEGXL") else metadata.xmp,
        icc=icc,
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        notes=notes,
    )


def _count_non_finite(pixels: np.ndarray) -> int:
    if math.isfinite(pixels.min()) and math.isfinite(pixels.max()):  # spares a mask as large as the picture
        return 0
    return int(pixels.size - np.count_nonzero(np.isfinite(pixels)))


def derive_levels(pixels: np.ndarray, is_float: bool) -> tuple[float, float]:
    """What maps to the networks' trained range [0, 1], for 16-bit and float pictures.

    Normally (0, 2^-k) with the largest k that leaves the brightest thousandth above it; floats may overshoot by a
    quarter, because their noise is not clipped. A picture on a pedestal, or well below zero, gets its own range with a
    margin of 5 %. A picture scaled by a power of two has its levels scaled by the same.

    Args:
        pixels: (H, W, C), finite.
        is_float: whether they come from a floating-point file.
    """
    stride = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] >> 20))
    low, high = (float(value) for value in np.percentile(pixels[::stride, ::stride].astype(np.float64), (0.1, 99.9)))
    if low == high <= 0:
        return (0.0, 1.0) if high == 0 else (2 * low, 0.0)
    if low < high and (low > high / 2 or low < -high / 4):
        margin = 0.05 * (high - low)
        return low - margin, high + margin
    mantissa, exponent = math.frexp(high / 1.25 if is_float else high)
    return 0.0, math.ldexp(1.0, exponent - (mantissa == 0.5))


def save_image(
    image: Image, path: str | Path, *, bits: int | None = None, quality: int = 95, keep_place: bool = True
) -> None:
    """Save a picture as the type that the suffix names, with its metadata and opacity as far as that type holds them.

    Values are clipped and rounded, except in float TIFF. The file appears complete under its name, or not at all; an
    existing one is replaced.

    Args:
        image: any picture.
        path: ends in .jpg, .png, .tif, .webp (lossless) or .bmp.
        bits: 8, 16, or 32 for float; None takes the picture's own, or the nearest that the type can hold.
        quality: of JPEG, 1 to 100, with full colour resolution.
        keep_place: whether GPS data are written, which say where the picture was taken.

    Raises:
        ImageError: the type is unknown or cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    bits = check_target(image, path, bits)
    metadata = image.metadata
    if metadata.premultiplied and suffix not in _TIFF and suffix not in _JPEG:
        image = _unmultiplied(image)
    keeps_opacity = suffix in _TIFF | {".png", ".webp"}
    if missing := left_out(image, path):
        _log.warning("%s cannot hold the %s of the picture; left out", path.name, " and the ".join(missing))
    if not keep_place:
        metadata = without_place(metadata)
    write = {".png": _write_png, ".webp": _write_webp, ".bmp": _write_bmp}.get(suffix, _write_tiff)
    if suffix in _JPEG:
        write = functools.partial(_write_jpeg, quality=quality)
    with foreign_errors(path, "cannot be saved"):
        if not path.parent.is_dir():
            raise ImageError(f"{path} cannot be saved: the folder {path.parent} does not exist")
        if path.is_dir():
            raise ImageError(f"{path} cannot be saved: there is a folder of this name")
        samples = _samples(image, bits, keeps_opacity)
        with replacing(path) as temporary, temporary.open("xb+") as file:
            write(file, samples, metadata)


def left_out(image: Image, path: Path) -> list[str]:
    """What a picture holds that `save_image` cannot write into a file of that name; for saying so beforehand."""
    suffix = path.suffix.lower()
    held = image.metadata
    carried = {
        "opacity": image.opacity,
        "EXIF data": held.exif,
        "XMP data": held.xmp,
        "colour profile": held.icc,
        "IPTC record": held.iptc,
    }
    no_room = set(carried) if suffix == ".bmp" else {"IPTC record"} if suffix == ".webp" else set()
    no_room |= {"opacity"} if suffix in _JPEG else set()
    return [what for what, value in carried.items() if value is not None and what in no_room]


def _listed(choices: Iterable[object]) -> str:
    return ", ".join(str(choice) for choice in sorted(choices))  # type: ignore[type-var]


def check_target(image: Image, path: Path, bits: int | None = None) -> int:
    """The bits a sample that `save_image` would write; ImageError if that type cannot hold the picture.

    For asking before a long computation.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITTEN:
        raise ImageError(f"{path.name} cannot be saved as {suffix or 'a file without suffix'}; use {_listed(_WRITTEN)}")
    possible = (8, 16, 32) if suffix in _TIFF else (8, 16) if suffix == ".png" else (8,)
    if bits is not None and bits not in possible:
        raise ImageError(f"{path.name} cannot hold {bits} bits a sample; {suffix} holds {_listed(possible)}")
    bits = bits or min(image.bits, possible[-1])
    _check_can_be_saved(image, path, suffix, bits)
    return bits


def _check_can_be_saved(image: Image, path: Path, suffix: str, bits: int) -> None:
    pixels = image.pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise ImageError(f"{path.name} cannot be saved: expected pixels (H, W, 1 or 3), got {pixels.shape}")
    if bad := _count_non_finite(pixels):
        raise ImageError(f"{path.name} cannot be saved: {bad} samples are not finite numbers")
    low, high = image.levels
    if image.is_float and bits != 32 and (low < 0 or high > 1):
        raise ImageError(
            f"{path.name} cannot hold values from {low:.4g} to {high:.4g} in {bits} bits; save a 32-bit .tif instead"
        )
    side = 65535 if suffix in _JPEG else 16383 if suffix == ".webp" else None
    if side and max(pixels.shape) > side:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{path.name} cannot hold {size} pixels; {suffix} ends at {side} a side, .tif does not")


def _unmultiplied(image: Image) -> Image:
    """The picture with its colours no longer multiplied by its opacity."""
    opacity = image.opacity
    if opacity is None:
        return image
    share = _opacity_as(opacity, np.dtype(np.float32))[..., None]
    pixels = np.divide(image.pixels, share, out=np.zeros_like(image.pixels), where=share > 0)
    return dataclasses.replace(image, pixels=pixels)


def _opacity_as(opacity: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Opacity in another type; white stays white."""
    if opacity.dtype == kind:
        return opacity
    share = opacity.astype(np.float32)
    if opacity.dtype.kind != "f":
        share /= np.iinfo(opacity.dtype).max
    if kind.kind == "f":
        return share.astype(kind)
    white = np.iinfo(kind).max
    return np.rint(np.clip(share, 0, 1) * white).astype(kind)


def _samples(image: Image, bits: int, keeps_opacity: bool) -> np.ndarray:
    """(H, W, C) in the type of the file, opacity last."""
    pixels = image.pixels
    opacity = image.opacity if keeps_opacity else None
    kind = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: np.dtype(np.float32)}[bits]
    if bits == 32 and opacity is None:
        return np.ascontiguousarray(pixels, np.float32)
    channels = image.channels
    samples = np.empty((image.height, image.width, channels + (opacity is not None)), kind)
    if opacity is not None:
        samples[..., channels] = _opacity_as(opacity, kind)
    if bits == 32:
        samples[..., :channels] = pixels
        return samples
    white = np.float32((1 << bits) - 1)
    rows = max(1, _BAND // (image.width * channels))
    for top in range(0, image.height, rows):
        band = pixels[top : top + rows] * white
        samples[top : top + rows, :, :channels] = np.rint(np.clip(band, 0, white, out=band), out=band)
    return samples


def _write_jpeg(file: BinaryIO, samples: np.ndarray, metadata: Metadata, quality: int) -> None:
    options: dict[str, Any] = {}
    # A JPEG segment ends at 64 KB; what is longer is left out rather than cut.
    for name, data, limit in (("exif", metadata.exif, 65527), ("xmp", metadata.xmp, 65504)):
        if data and len(data) <= limit:
            options[name] = b"Exif\0\0" + data if name == "exif" else data
        elif data:
            _log.warning("The %s of %d bytes does not fit into a JPEG; it is left out", name.upper(), len(data))
    if metadata.dpi:
        options["dpi"] = tuple(min(round(value), 65535) for value in metadata.dpi)
    if metadata.iptc:
        options["extra"] = jpeg_iptc(metadata.iptc)
    _to_pillow(samples).save(file, "JPEG", quality=quality, subsampling=0, icc_profile=metadata.icc, **options)


def _to_pillow(samples: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _write_png(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    channels = samples.shape[2]
    if channels == 2:  # OpenCV cannot write grey with opacity
        import imagecodecs

        data = memoryview(imagecodecs.png_encode(samples))
    else:
        if channels >= 3:
            for top in range(0, len(samples), 256):  # to OpenCV's order, without a second picture
                samples[top : top + 256, :, :3] = samples[top : top + 256, :, 2::-1].copy()
        done, encoded = cv2.imencode(".png", samples)
        if not done:
            raise ValueError("the PNG encoder failed")
        data = memoryview(encoded)
    for part in (data[:PNG_HEADER], png_chunks(metadata), data[PNG_HEADER:]):
        file.write(part)


def _write_webp(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    if samples.shape[2] <= 2:  # WebP knows no grey
        samples = np.concatenate([samples[..., :1]] * 3 + [samples[..., 1:]], axis=2)
    extra = {"icc_profile": metadata.icc, "exif": with_resolution(metadata.exif, metadata.dpi), "xmp": metadata.xmp}
    extra = {
        name: data for name, data in extra.items() if data and not (name == "icc_profile" and data[16:20] == b"GRAY")
    }
    # `exact` keeps the colours below full transparency.
    _to_pillow(samples).save(file, "WEBP", lossless=True, exact=True, method=2, quality=20, **extra)


def _write_bmp(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    _to_pillow(samples).save(file, "BMP", dpi=metadata.dpi or (0, 0))


def _write_tiff(file: BinaryIO, samples: np.ndarray, metadata: Metadata) -> None:
    import tifffile

    channels = samples.shape[2]
    options: dict[str, Any] = {}
    if channels in (2, 4):
        options["extrasamples"] = ["assocalpha" if metadata.premultiplied else "unassalpha"]
    if metadata.dpi:
        options |= {"resolution": metadata.dpi, "resolutionunit": "inch"}
    kept = ((700, 1, metadata.xmp), (33723, 7, metadata.iptc))
    options["extratags"] = [(tag, kind, len(data), data, True) for tag, kind, data in kept if data]
    tifffile.imwrite(
        file,
        samples[..., 0] if channels == 1 else samples,
        byteorder="<",
        photometric="minisblack" if channels <= 2 else "rgb",
        planarconfig=None if channels == 1 else "contig",
        compression="adobe_deflate",
        predictor=samples.dtype.kind != "f",  # not every program can undo the one for floats
        iccprofile=metadata.icc,
        metadata=None,
        software=False,
        **options,
    )
    if metadata.exif:
        append_exif(file, metadata.exif)


def denoised_path(path: Path, folder: Path | None = None) -> Path:
    """`name_denoised.ext` beside the file or in `folder`; .tif where the file's own type cannot be written."""
    suffix = path.suffix if path.suffix.lower() in _WRITTEN else ".tif"
    return (folder or path.parent) / f"{path.stem}_denoised{suffix}"


def find_images(paths: Iterable[str | Path], recursive: bool = False) -> list[Path]:
    """Files as they are given; folders expanded to the pictures in them, in natural order, without hidden files."""
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            found[path] = None
            continue
        inside = []
        for folder, folders, names in os.walk(path):
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


def thumbnail(image: Image, side: int) -> np.ndarray:
    """(h, w, 3) uint8, area-averaged, its longer side at most `side`; `levels` become black and white."""
    scale = min(1.0, side / max(image.height, image.width))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], image.channels)
    low, high = image.levels
    small = np.rint(np.clip((small - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(small, (*small.shape[:2], 3)))


def input_hash(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
