"""Saving pictures: one writer for each type of file, and what each can hold."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image

from engine.boxes import avif_with, jpeg2000_with, jpegxl_with
from engine.color import to_srgb
from engine.files import replacing
from engine.image import Image, count_non_finite
from engine.jpegxl import as_srgb
from engine.language import tr
from engine.metadata import (
    FINEST_PER_METRE,
    PNG_HEADER,
    Metadata,
    append_exif,
    as_saved,
    jpeg_iptc,
    png_chunks,
    with_resolution,
)
from engine.reading import ImageError, foreign_errors

_log = logging.getLogger(__name__)

_OPACITY, _EXIF, _XMP, _PROFILE, _IPTC, _RESOLUTION = (
    tr("opacity"),
    tr("EXIF data"),
    tr("XMP data"),
    tr("colour profile"),
    tr("IPTC record"),
    tr("resolution"),
)
_ALL = frozenset((_OPACITY, _EXIF, _XMP, _PROFILE, _IPTC, _RESOLUTION))


@dataclass(frozen=True)
class FileType:
    """A type of file that can be written, and what it can hold.

    Attributes:
        name: for people.
        suffixes: by which it is chosen, lower case with the dot, the usual one first.
        bits: a sample, rising; 32 is for floats.
        holds: what it has room for, of what `left_out` names.
        lossless: True and False for what is never and always lossy, None where it can be chosen.
        usually_lossless: what is done where it can be and is not chosen.
        compressions: that can be chosen, the usual one first.
        side: the most pixels a side; 0 for no limit.
    """

    name: str
    suffixes: tuple[str, ...]
    bits: tuple[int, ...]
    holds: frozenset[str] = frozenset()
    lossless: bool | None = True
    usually_lossless: bool = True
    compressions: tuple[str, ...] = ()
    side: int = 0

    def bits_for(self, image: Image) -> int:
        """The picture's own bits a sample, or the nearest that this type has."""
        if self is _JPEG:  # one of 12 bits is deep, and read as 16; nothing else is turned into what few can read
            return 12 if image.bits == 16 and image.metadata.format == "JPEG" else 8
        return next((bits for bits in self.bits if bits >= image.bits), self.bits[-1])

    def is_lossless(self, how: Encoding, bits: int, image: Image) -> bool:
        """Whether the samples of a picture are kept exactly."""
        if self.lossless is not None:
            return self.lossless
        # Grey AVIF the encoder knows only without loss; what else is here it would damage.
        if bits == 32 or (self is _AVIF and image.channels == 1) or (self is _JPEG2000 and image.opacity is not None):
            return True
        return self.usually_lossless if how.lossless is None else how.lossless


_TIFF = FileType("TIFF", (".tif", ".tiff"), (8, 16, 32), _ALL, compressions=("deflate", "lzw", "zstd", "none"))
_PNG = FileType("PNG", (".png",), (8, 16), _ALL, compressions=("fast", "small"))
_JPEG = FileType("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (8, 12), _ALL - {_OPACITY}, lossless=False, side=65500)
_WEBP = FileType("WebP", (".webp",), (8,), _ALL - {_IPTC}, lossless=None, side=16383)
# Of AVIF the decoders of most programs refuse more a side.
_AVIF = FileType("AVIF", (".avif",), (8, 10, 12), _ALL - {_IPTC}, lossless=None, usually_lossless=False, side=32768)
_JPEGXL = FileType("JPEG XL", (".jxl",), (8, 16, 32), _ALL - {_IPTC, _PROFILE}, lossless=None)
_JPEG2000 = FileType("JPEG 2000", (".jp2",), (8, 16), _ALL, lossless=None)
_BMP = FileType("BMP", (".bmp",), (8,), frozenset([_RESOLUTION]))
_PNM = FileType("PNM", (".ppm", ".pgm", ".pnm"), (8, 16))
_PFM = FileType("PFM, float", (".pfm",), (32,))
_NPY = FileType("NumPy array", (".npy",), (8, 16, 32))

TYPES = (_TIFF, _PNG, _JPEG, _AVIF, _JPEGXL, _WEBP, _JPEG2000, _BMP, _PNM, _PFM, _NPY)
"""All that can be written, in the order in which they are offered."""

_BY_SUFFIX = {suffix: kind for kind in TYPES for suffix in kind.suffixes}
WRITTEN = frozenset(_BY_SUFFIX)
"""The suffixes of files that can be written, lower case with the dot."""

_HEIC = (".heic", ".heif", ".hif")
HEIC_NOTE = tr("HEIC cannot be written without a GPL encoder")
"""Why a HEIC picture is saved as another type."""

_CODESTREAMS = {
    ".j2k": ".jp2",
    ".j2c": ".jp2",
    ".jpx": ".jp2",
    ".jpf": ".jp2",
}  # of JPEG 2000, with less or more around them

_BAND = 1 << 22  # samples converted at a time, so that no second whole picture is needed
_STRIP = 1 << 18  # bytes of a TIFF's strip
_LARGEST_TIFF = (1 << 32) - (1 << 26)  # bytes


@dataclass(frozen=True)
class Encoding:
    """How a picture is written; what a type of file does not know has no effect on it.

    Attributes:
        suffix: of the type of file, lower case with the dot; "" for the input's own, where that can be written. Only
            `denoised_path` heeds it: where a path is given, its suffix decides.
        bits: 8, 10, 12, 16, or 32 for float; None takes the picture's own, or the nearest that the type can hold.
        quality: of what is lossy, 1 to 100, always with full colour resolution.
        lossless: of what can be either; None is lossless for WebP, JPEG XL and JPEG 2000, and lossy for AVIF. Floats in
            JPEG XL, JPEG 2000 with opacity, and grey AVIF are always lossless.
        compression: of TIFF deflate, lzw, zstd or none, of PNG fast or small; "" is the first of them.
        keep_place: whether coordinates and names of places are written, which say where the picture was taken.

    Raises:
        ImageError: a value is none of these.
    """

    suffix: str = ""
    bits: int | None = None
    quality: int = 95
    lossless: bool | None = None
    compression: str = ""
    keep_place: bool = True

    def __post_init__(self) -> None:
        known = {bits for kind in TYPES for bits in kind.bits}
        if self.bits is not None and self.bits not in known:
            raise ImageError(
                tr("Pictures are saved with {listed} bits a sample, not with {bits}").format(
                    listed=_listed(known), bits=self.bits
                )
            )
        if not 1 <= self.quality <= 100:
            raise ImageError(tr("The quality is from 1 to 100, not {quality}").format(quality=self.quality))
        compressions = {name for kind in TYPES for name in kind.compressions}
        if self.compression and self.compression not in compressions:
            raise ImageError(
                tr("The compression is one of {listed}, not {compression}").format(
                    listed=_listed(compressions), compression=self.compression
                )
            )


AS_INPUT = Encoding()


def file_type(path: Path) -> FileType | None:
    """The type of file that a name asks for; None if that cannot be written."""
    return _BY_SUFFIX.get(path.suffix.lower())


def save_image(
    image: Image, path: str | Path, how: Encoding = AS_INPUT, seal: Callable[[Path], object] | None = None
) -> None:
    """Save a picture as the type that the suffix names, with its metadata and opacity as far as that type holds them.

    Values are clipped and rounded, except in float files. Colours with a profile become sRGB where a type has no room
    for it, but for floats. The file appears complete under its name, or not at all; an
    existing one is replaced. TIFF, PNM, PFM and NumPy arrays are written band by band, without a second whole picture.

    Args:
        image: any picture.
        path: ends in a suffix of one of `TYPES`.
        how: depth, quality and what else the type lets choose.
        seal: called with the complete file under its temporary name, just before it takes its place.

    Raises:
        ImageError: the type is unknown or cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    bits = check_target(image, path, how.bits)
    kind = _BY_SUFFIX[path.suffix.lower()]
    metadata = image.metadata
    if metadata.premultiplied and kind is not _TIFF and _OPACITY in kind.holds:
        image = _unmultiplied(image)
    if missing := left_out(image, path):
        _log.info("%s cannot hold the %s of the picture; left out", path.name, " and the ".join(missing))
    metadata = as_saved(metadata, how.keep_place)
    with foreign_errors(path, tr("cannot be saved")):
        if metadata.icc and _PROFILE not in kind.holds and image.channels == 3 and not image.is_float:
            image = dataclasses.replace(image, pixels=to_srgb(image.pixels, metadata.icc))
        if not path.parent.is_dir():
            raise ImageError(
                tr("{path} cannot be saved: the folder {folder} does not exist").format(path=path, folder=path.parent)
            )
        if path.is_dir():
            raise ImageError(tr("{path} cannot be saved: there is a folder of this name").format(path=path))
        samples = _samples(image, kind, bits, how)
        with replacing(path, seal) as temporary, temporary.open("xb+") as file:
            _WRITERS[kind.name](file, samples, metadata, how)


def encoded(image: Image, path: Path, how: Encoding) -> np.ndarray:
    """(H, W) or (H, W, C), the samples that `save_image` would write, opacity last; ImageError if it would not."""
    return _samples(image, _BY_SUFFIX[path.suffix.lower()], check_target(image, path, how.bits), how).whole()


def _samples(image: Image, kind: FileType, bits: int, how: Encoding) -> _Samples:
    keeps_type = kind in (_TIFF, _NPY) and how.bits is None and image.is_float
    opacity = image.opacity if _OPACITY in kind.holds else None
    return _Samples(image, bits, opacity, image.dtype if keeps_type else "")


def left_out(image: Image, path: Path) -> list[str]:
    """What a picture holds that `save_image` cannot write into a file of that name; for saying so beforehand."""
    kind = file_type(path)
    if kind is None:
        return []
    held = image.metadata
    carried = {
        _OPACITY: image.opacity,
        _EXIF: held.exif,
        _XMP: held.xmp,
        _PROFILE: held.icc,
        _IPTC: held.iptc,
        _RESOLUTION: held.dpi,
    }
    no_room = _ALL - kind.holds
    if kind is _JPEG:
        no_room |= {what for what, data in carried.items() if isinstance(data, bytes) and not _fits_jpeg(what, data)}
    if kind is _WEBP and image.channels == 1:  # it is written as RGB
        no_room |= {_PROFILE}
    return [what for what, value in carried.items() if value is not None and what in no_room]


def _fits_jpeg(what: str, data: bytes) -> bool:
    """Whether metadata fit into segments of 64 KB; what does not is left out rather than cut."""
    if what == _IPTC:
        return bool(jpeg_iptc(data))
    return len(data) <= {_EXIF: 65527, _XMP: 65504}.get(what, 255 * 65519)


def _listed(choices: Iterable[object]) -> str:
    return ", ".join(str(choice) for choice in sorted(choices))  # type: ignore[type-var]


def check_target(image: Image, path: Path, bits: int | None = None) -> int:
    """The bits a sample that `save_image` would write; ImageError if that type cannot hold the picture.

    For asking before a long computation.
    """
    suffix = path.suffix.lower()
    kind = file_type(path)
    if suffix in _HEIC:
        raise ImageError(
            tr("{name} cannot be saved: {note}; save a 16-bit .tif or a .jpg instead").format(
                name=path.name, note=HEIC_NOTE
            )
        )
    if kind is None:
        raise ImageError(
            (
                tr("{name} cannot be saved as {suffix}; use {known}")
                if suffix
                else tr("{name} cannot be saved as a file without suffix; use {known}")
            ).format(name=path.name, suffix=suffix, known=_listed(WRITTEN))
        )
    if bits is not None and bits not in kind.bits:
        raise ImageError(
            tr("{name} cannot hold {bits} bits a sample; {suffix} holds {listed}").format(
                name=path.name, bits=bits, suffix=suffix, listed=_listed(kind.bits)
            )
        )
    bits = bits or kind.bits_for(image)
    _check_can_be_saved(image, path, kind, bits)
    return bits


def _check_can_be_saved(image: Image, path: Path, kind: FileType, bits: int) -> None:
    pixels = image.pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise ImageError(
            tr("{name} cannot be saved: expected pixels (H, W, 1 or 3), got {shape}").format(
                name=path.name, shape=pixels.shape
            )
        )
    if bad := count_non_finite(pixels):
        raise ImageError(
            tr("{name} cannot be saved: {bad} samples are not finite numbers").format(name=path.name, bad=bad)
        )
    low, high = image.levels
    if image.is_float and bits != 32 and (low < 0 or high > 1):
        raise ImageError(
            tr(
                "{name} cannot hold values from {low:.4g} to {high:.4g} in {bits} bits; save a 32-bit .tif instead"
            ).format(name=path.name, low=low, high=high, bits=bits)
        )
    if kind.side and max(pixels.shape) > kind.side:
        size = f"{image.width} x {image.height}"
        raise ImageError(
            tr("{name} cannot hold {size} pixels; {suffix} ends at {side} a side, .tif does not").format(
                name=path.name, size=size, suffix=path.suffix, side=kind.side
            )
        )
    if image.channels == 3 and path.suffix.lower() == ".pgm":
        raise ImageError(tr("{name} cannot hold colours; save a .ppm instead").format(name=path.name))


def _unmultiplied(image: Image) -> Image:
    """The picture with its colours no longer multiplied by its opacity."""
    opacity = image.opacity
    if opacity is None:
        return image
    share = _opacity_as(opacity, 1, np.dtype(np.float32))[..., None]
    pixels = np.divide(image.pixels, share, out=np.zeros_like(image.pixels), where=share > 0)
    return dataclasses.replace(image, pixels=pixels)


def _opacity_as(opacity: np.ndarray, white: int, kind: np.dtype) -> np.ndarray:
    """Opacity with another number for white, in another type."""
    own = 1 if opacity.dtype.kind == "f" else np.iinfo(opacity.dtype).max
    if opacity.dtype == kind and own == white:
        return opacity
    share = opacity.astype(np.float32) / np.float32(own)
    return share.astype(kind) if kind.kind == "f" else np.rint(np.clip(share, 0, 1) * white).astype(kind)


@dataclass(frozen=True)
class _Samples:
    """A picture's samples in the type of the file, opacity last.

    Attributes:
        image: whose.
        bits: of each.
        opacity: what is written of it.
        dtype: NumPy's name of their type where they are in a unit of their own; "" for float32.
    """

    image: Image
    bits: int
    opacity: np.ndarray | None
    dtype: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image.height, self.image.width, self.image.channels + (self.opacity is not None)

    @property
    def kind(self) -> np.dtype:
        if self.bits == 32:
            return np.dtype(self.dtype or np.float32)
        return np.dtype(np.uint16 if self.bits > 8 else np.uint8)

    def bands(self, rows: int = 0, from_below: bool = False) -> Iterator[np.ndarray]:
        """(rows, W, C) each, the last one as far as the picture goes; each a new array."""
        height, width, channels = self.shape
        colours = self.image.channels
        rows = rows or max(1, _BAND // (width * channels))
        white = np.float32(1 if self.bits == 32 else (1 << self.bits) - 1)
        tops = range(0, height, rows)
        for top in reversed(tops) if from_below else tops:
            pixels = self.image.pixels[top : top + rows]
            band = np.empty((*pixels.shape[:2], channels), self.kind)
            if self.bits == 32:
                band[..., :colours] = _in_range(pixels, self.kind)
            else:
                scaled = pixels * white
                band[..., :colours] = np.rint(np.clip(scaled, 0, white, out=scaled), out=scaled)
            if self.opacity is not None:
                full = np.iinfo(self.kind).max if self.bits == 32 and self.kind.kind != "f" else int(white)
                band[..., colours] = _opacity_as(self.opacity[top : top + rows], full, self.kind)
            yield band[::-1] if from_below else band

    def whole(self) -> np.ndarray:
        """(H, W, C), or (H, W) where there is one channel."""
        samples = np.empty(self.shape, self.kind)
        top = 0
        for band in self.bands():
            samples[top : top + len(band)] = band
            top += len(band)
        return samples[..., 0] if samples.shape[2] == 1 else samples


def _in_range(pixels: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The pixels clipped to what a type can hold, and rounded where it holds integers."""
    if kind.kind == "f":
        return pixels if kind.itemsize >= 4 else np.clip(pixels, np.finfo(kind).min, np.finfo(kind).max)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    top = np.float64(high) if int(np.float64(high)) <= high else np.nextafter(np.float64(high), 0)
    return np.rint(np.clip(pixels.astype(np.float64), low, top)).astype(kind)


def _threads() -> int:
    return os.cpu_count() or 1


def _write_jpeg(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    picture = samples.whole()
    options: dict[str, Any] = {"quality": how.quality, "subsampling": 0}
    if metadata.icc and _fits_jpeg(_PROFILE, metadata.icc):
        options["icc_profile"] = metadata.icc
    if metadata.exif and _fits_jpeg(_EXIF, metadata.exif):
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp and _fits_jpeg(_XMP, metadata.xmp):
        options["xmp"] = metadata.xmp
    if metadata.dpi:
        options["dpi"] = tuple(min(max(round(value), 1), 65535) for value in metadata.dpi)
    if metadata.iptc:
        options["extra"] = jpeg_iptc(metadata.iptc)
    if samples.bits == 8:
        PIL.Image.fromarray(picture).save(file, "JPEG", **options)
        return
    import imagecodecs

    head = io.BytesIO()  # a tiny picture with the same metadata, for its first segments
    PIL.Image.new("L" if picture.ndim == 2 else "RGB", (8, 8)).save(head, "JPEG", **options)
    data = imagecodecs.jpeg8_encode(picture, level=how.quality, bitspersample=samples.bits, subsampling="444")
    for part in (head.getvalue()[: _first_segment(head.getvalue())], data[_first_segment(data) :]):
        file.write(part)


def _first_segment(data: bytes | bytearray) -> int:
    """Where the first segment of a JPEG lies that is no metadata."""
    at = 2
    while 0xE0 <= data[at + 1] <= 0xEF:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _write_png(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    import imagecodecs

    level, strategy = (9, imagecodecs.PNG.STRATEGY.FILTERED) if how.compression == "small" else (1, _RUN_LENGTHS)
    data = memoryview(imagecodecs.png_encode(samples.whole(), level=level, strategy=strategy, filter=_ALL_FILTERS))
    for part in (data[:PNG_HEADER], png_chunks(metadata), data[PNG_HEADER:]):
        file.write(part)


# What is left of noise repeats nothing but single bytes: photographs become as small as by zlib's usual level, in a
# fifth of the time.
_RUN_LENGTHS, _ALL_FILTERS = 3, 248


def _write_webp(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    picture = np.atleast_3d(samples.whole())
    is_grey = picture.shape[2] <= 2  # which WebP does not know
    if is_grey:
        picture = np.concatenate([picture[..., :1]] * 3 + [picture[..., 1:]], axis=2)
    exif = with_resolution(metadata.exif, metadata.dpi)
    extra = {"icc_profile": None if is_grey else metadata.icc, "exif": exif, "xmp": metadata.xmp}
    if _WEBP.is_lossless(how, samples.bits, samples.image):
        # `exact` keeps the colours below full transparency; the quality is an effort here.
        options: dict[str, Any] = {"lossless": True, "exact": True, "method": 2, "quality": 20}
    else:
        options = {"quality": how.quality, "alpha_quality": 100, "exact": True, "method": 4, "use_sharp_yuv": True}
    PIL.Image.fromarray(picture).save(file, "WEBP", **options, **{name: data for name, data in extra.items() if data})


def _write_avif(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    import imagecodecs

    is_lossless = _AVIF.is_lossless(how, samples.bits, samples.image)
    data = imagecodecs.avif_encode(
        samples.whole(),
        level=100 if is_lossless else min(how.quality, 99),  # 100 is lossless
        speed=6,
        bitspersample=samples.bits,
        pixelformat="yuv444" if samples.shape[2] > 2 else None,
        codec="aom",
        primaries=1,
        transfer=13,  # with the primaries: sRGB, for pictures without a profile
        numthreads=_threads(),
    )
    file.write(avif_with(bytes(data), metadata))


def _write_jpegxl(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    import imagecodecs

    picture, is_lossless = samples.whole(), _JPEGXL.is_lossless(how, samples.bits, samples.image)
    if samples.bits == 16 and not is_lossless:
        picture = _linear(picture, samples.image.channels)
    data = imagecodecs.jpegxl_encode(
        picture,
        level=101 if is_lossless else how.quality,
        lossless=is_lossless,
        effort=3 if is_lossless else 5,
        usecontainer=True,
        numthreads=_threads(),
    )
    file.write(jpegxl_with(bytes(data) if samples.bits == 32 else as_srgb(bytes(data)), metadata))


def _linear(samples: np.ndarray, colours: int) -> np.ndarray:
    """sRGB samples of 16 bits as amounts of light: the encoder takes those of 16 bits for such."""
    share = np.arange(65536) / 65535
    table = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    table = np.rint(table * 65535).astype(np.uint16)
    if samples.ndim == 2:
        return table[samples]
    samples[..., :colours] = table[samples[..., :colours]]
    return samples


def _write_jpeg2000(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    import imagecodecs

    is_lossless = _JPEG2000.is_lossless(how, samples.bits, samples.image)
    data = imagecodecs.jpeg2k_encode(
        samples.whole(),
        level=0 if is_lossless else 30 + how.quality // 5,  # the PSNR in dB
        reversible=is_lossless,
        codecformat="jp2",
        resolutions=_resolutions(*samples.shape[:2]),
        numthreads=_threads(),
    )
    file.write(jpeg2000_with(bytes(data), metadata, samples.shape[2]))


def _resolutions(height: int, width: int) -> int:
    """As many as a picture has halves, up to the usual 6."""
    return max(1, min(6, min(height, width).bit_length()))


def _write_bmp(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    dpi = metadata.dpi if metadata.dpi and max(metadata.dpi) < FINEST_PER_METRE else (0, 0)
    PIL.Image.fromarray(samples.whole()).save(file, "BMP", dpi=dpi)


def _write_pnm(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    height, width, channels = samples.shape
    file.write(b"P%d\n%d %d\n%d\n" % (5 if channels == 1 else 6, width, height, (1 << samples.bits) - 1))
    for band in samples.bands():
        file.write(band.astype(samples.kind.newbyteorder(">"), copy=False).data)


def _write_pfm(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    height, width, channels = samples.shape
    file.write(b"P%s\n%d %d\n-1.0\n" % (b"f" if channels == 1 else b"F", width, height))
    for band in samples.bands(from_below=True):
        file.write(band.astype("<f4").data)


def _write_npy(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    shape = samples.shape[:2] if samples.shape[2] == 1 else samples.shape
    kind = samples.kind.newbyteorder("<")
    said = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)
    for band in samples.bands():
        file.write(band.astype(kind, copy=False).data)


def _write_tiff(file: BinaryIO, samples: _Samples, metadata: Metadata, how: Encoding) -> None:
    import tifffile

    height, width, channels = samples.shape
    compression = how.compression if how.compression in _TIFF.compressions else _TIFF.compressions[0]
    code, compress = _COMPRESS[compression]
    is_predicted = compress is not None and samples.bits != 32  # not every program can undo the one for floats
    row = width * channels * samples.kind.itemsize
    rows = min(height, max(1, _STRIP // row))
    options: dict[str, Any] = {}
    if channels in (2, 4):
        options["extrasamples"] = ["assocalpha" if metadata.premultiplied else "unassalpha"]
    if metadata.dpi:
        options |= {"resolution": metadata.dpi, "resolutionunit": "inch"}
    kept = ((700, 1, metadata.xmp), (33723, 7, metadata.iptc))
    options["extratags"] = [(tag, kind, len(data), data, True) for tag, kind, data in kept if data]
    tifffile.imwrite(
        file,
        _strips(samples, rows, compress, is_predicted),
        shape=samples.shape[:2] if channels == 1 else samples.shape,
        dtype=samples.kind,
        bigtiff=needs_bigtiff(height * row, compression),
        byteorder="<",
        photometric="minisblack" if channels <= 2 else "rgb",
        planarconfig=None if channels == 1 else "contig",
        rowsperstrip=rows,
        compression=code,
        predictor=is_predicted,
        iccprofile=metadata.icc,
        metadata=None,
        software=False,
        **options,
    )
    if metadata.exif:
        append_exif(file, metadata.exif)


def needs_bigtiff(size: int, compression: str) -> bool:
    """Whether so many bytes of samples may not fit into a TIFF of 4 GB."""
    # What LZW cannot shorten grows by half: a byte becomes a code of 12 bits.
    return size * (1.5 if compression == "lzw" else 1) > _LARGEST_TIFF


def _strips(
    samples: _Samples, rows: int, compress: Callable[[bytes], bytes] | None, is_predicted: bool
) -> Iterator[bytes]:
    """Each strip of so many rows as it lies in the file, little-endian."""
    for band in samples.bands(rows):
        if is_predicted:
            band[:, 1:] -= band[:, :-1].copy()
        if sys.byteorder == "big":
            band = band.byteswap()
        yield band.tobytes() if compress is None else compress(band.tobytes())


def _deflate(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.deflate_encode(data, level=6))


def _lzw(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.lzw_encode(data))


def _zstd(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zstd_encode(data, level=9))


_COMPRESS: dict[str, tuple[str | None, Callable[[bytes], bytes] | None]] = {
    "deflate": ("adobe_deflate", _deflate),
    "lzw": ("lzw", _lzw),
    "zstd": ("zstd", _zstd),
    "none": (None, None),
}
"""By the names in `Encoding`: tifffile's, and what compresses a strip."""

_WRITERS: dict[str, Callable[[BinaryIO, _Samples, Metadata, Encoding], None]] = {
    "TIFF": _write_tiff,
    "PNG": _write_png,
    "JPEG": _write_jpeg,
    "WebP": _write_webp,
    "AVIF": _write_avif,
    "JPEG XL": _write_jpegxl,
    "JPEG 2000": _write_jpeg2000,
    "BMP": _write_bmp,
    "PNM": _write_pnm,
    "PFM, float": _write_pfm,
    "NumPy array": _write_npy,
}
"""By the names of `TYPES`."""


def denoised_path(path: Path, folder: Path | None = None, suffix: str = "") -> Path:
    """`name_denoised.ext` beside the file or in `folder`; .tif where the file's own type cannot be written."""
    return (folder or path.parent) / f"{own_stem(path)}_denoised{suffix or own_suffix(path)}"


_OME = re.compile(r"(?<=.)\.ome\.tiff?$", re.IGNORECASE)  # one suffix to microscopists


def own_stem(path: Path) -> str:
    """The name of a file without its suffix."""
    found = _OME.search(path.name)
    return path.name[: found.start()] if found else path.stem


def own_suffix(path: Path) -> str:
    """That of a result of the input's type; .tif where that type cannot be written."""
    if found := _OME.search(path.name):
        return found[0]
    suffix = path.suffix.lower()
    return path.suffix if suffix in WRITTEN else _CODESTREAMS.get(suffix, ".tif")
