"""Saving pictures: one writer for each type of file, and what each can hold."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.Image

from engine.decode import ImageError, foreign_errors
from engine.files import replacing
from engine.image import Image, count_non_finite
from engine.metadata import (
    PNG_HEADER,
    Metadata,
    append_exif,
    jpeg_iptc,
    png_chunks,
    with_resolution,
    without_place,
)

_log = logging.getLogger(__name__)

_JPEG, _TIFF = {".jpg", ".jpeg", ".jpe", ".jfif"}, {".tif", ".tiff"}
_WRITTEN = _JPEG | _TIFF | {".png", ".webp", ".bmp"}

_BAND = 1 << 22  # samples converted at a time when saving, so that no second whole picture is needed


@dataclass(frozen=True)
class Encoding:
    """How a picture is written; what a type of file does not know has no effect on it.

    Attributes:
        suffix: of the type of file, lower case with the dot; "" for the input's own, where that can be written. Only
            `denoised_path` heeds it: where a path is given, its suffix decides.
        bits: 8, 16, or 32 for float; None takes the picture's own, or the nearest that the type can hold.
        quality: of JPEG, 1 to 100, with full colour resolution.
        keep_place: whether GPS data are written, which say where the picture was taken.
    """

    suffix: str = ""
    bits: int | None = None
    quality: int = 95
    keep_place: bool = True


AS_INPUT = Encoding()


def save_image(
    image: Image, path: str | Path, how: Encoding = AS_INPUT, seal: Callable[[Path], object] | None = None
) -> None:
    """Save a picture as the type that the suffix names, with its metadata and opacity as far as that type holds them.

    Values are clipped and rounded, except in float TIFF. The file appears complete under its name, or not at all; an
    existing one is replaced.

    Args:
        image: any picture.
        path: ends in .jpg, .png, .tif, .webp (lossless) or .bmp.
        how: depth, quality and what else the type lets choose.
        seal: called with the complete file under its temporary name, just before it takes its place.

    Raises:
        ImageError: the type is unknown or cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    bits = check_target(image, path, how.bits)
    metadata = image.metadata
    if metadata.premultiplied and suffix not in _TIFF and suffix not in _JPEG:
        image = _unmultiplied(image)
    keeps_opacity = suffix in _TIFF | {".png", ".webp"}
    if missing := left_out(image, path):
        _log.warning("%s cannot hold the %s of the picture; left out", path.name, " and the ".join(missing))
    if not how.keep_place:
        metadata = without_place(metadata)
    write = {".png": _write_png, ".webp": _write_webp, ".bmp": _write_bmp}.get(suffix, _write_tiff)
    if suffix in _JPEG:
        write = functools.partial(_write_jpeg, quality=how.quality)
    with foreign_errors(path, "cannot be saved"):
        if not path.parent.is_dir():
            raise ImageError(f"{path} cannot be saved: the folder {path.parent} does not exist")
        if path.is_dir():
            raise ImageError(f"{path} cannot be saved: there is a folder of this name")
        samples = _samples(image, bits, keeps_opacity)
        with replacing(path, seal) as temporary, temporary.open("xb+") as file:
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
    if bad := count_non_finite(pixels):
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


def denoised_path(path: Path, folder: Path | None = None, suffix: str = "") -> Path:
    """`name_denoised.ext` beside the file or in `folder`; .tif where the file's own type cannot be written."""
    return (folder or path.parent) / f"{path.stem}_denoised{suffix or own_suffix(path)}"


def own_suffix(path: Path) -> str:
    """That of a result of the input's type; .tif where that type cannot be written."""
    return path.suffix if path.suffix.lower() in _WRITTEN else ".tif"
