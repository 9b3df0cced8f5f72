"""Reading picture files: samples as they are stored, whatever the type, and never a half picture."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import PIL.AvifImagePlugin
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.Image
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.PpmImagePlugin
import PIL.WebPImagePlugin

from engine.metadata import Metadata, check_png, exif_orientation, tiff_metadata

_log = logging.getLogger(__name__)

HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
"""Whether HEIC and HEIF can be read."""

_RAW = frozenset(
    [
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dcr",
        ".dng",
        ".erf",
        ".fff",
        ".iiq",
        ".k25",
        ".kdc",
        ".mef",
        ".mos",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srf",
        ".srw",
        ".x3f",
    ]
)
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
# No EPS, WMF, TGA and the like: they start other programs, have no signature, or are cut to 8 bits unsaid.
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "AVIF")

_OTHER_TYPES = {
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"SIMPLE  =": "FITS",
    b"v/1\x01": "OpenEXR",
    b"<svg": "SVG",
    b"<?xml": "SVG",
}

_LARGEST = 1_000_000_000  # pixels
# A file that claims more pixels per byte than deflate can hold (1032) is a bomb or cut off; small ones may do so.
_DENSEST, _HARMLESS = 1100, 1 << 24


class ImageError(ValueError):
    """A picture cannot be opened or saved; the message is meant for the user."""


@dataclass
class Decoded:
    """What a reader found: samples (H, W) or (H, W, C) as stored, and the orientation still to be applied."""

    samples: np.ndarray
    metadata: Metadata
    white: int = 255
    orientation: int = 1
    opacity: np.ndarray | None = None


def decode(path: Path) -> Decoded:
    """Read a file by its content; ImageError for what is clearly wrong with it, anything at all from the libraries."""
    if path.is_dir():
        raise ImageError(f"{path.name} is a folder; choose a picture")
    if not path.exists():
        raise ImageError(f"{path} does not exist")
    if not path.is_file():
        raise ImageError(f"{path.name} is not an ordinary file; choose a picture")
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(0)
        if not head:
            raise ImageError(f"{path.name} is empty (0 bytes); choose a picture")
        return _reader(head, path)(file, path)


@contextlib.contextmanager
def foreign_errors(path: Path, failed: str) -> Iterator[None]:
    """Turn whatever a decoder or the file system raises into one ImageError."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path.name} {failed}: it needs more memory than is available") from error
    except OSError as error:
        raise ImageError(f"{path.name} {failed}: {error.strerror or _sentence(error)}") from error
    # Four decoder libraries meet hostile files here; they have raised KeyError, TypeError and struct.error alike.
    except Exception as error:
        raise ImageError(f"{path.name} {failed}: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """The first line of what a library said, where it says something to people."""
    lines = str(error).strip().splitlines()
    if not lines or isinstance(error, LookupError | TypeError | AttributeError | cv2.error):
        return "its data are damaged"
    return lines[0][:200]


def _reader(head: bytes, path: Path) -> Callable[[BinaryIO, Path], Decoded]:
    """Which reader the first bytes of a file ask for."""
    is_tiff = head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    raw_content = head.startswith(_RAW_SIGNATURES) or brand == b"crx " or (is_tiff and head[8:10] == b"CR")
    if raw_content or (is_tiff and path.suffix.lower() in _RAW):
        raise _raw_error(path)
    if is_tiff:
        return _read_tiff
    if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1") and b"avif" not in head:
        return _read_heif
    return _read_common


def _raw_error(path: Path) -> ImageError:
    return ImageError(f"{path.name} is a camera RAW file, which is not supported yet; export it as a 16-bit TIFF first")


def _check_size(path: Path, width: int, height: int, file_size: int) -> None:
    """Refuse what is too large, and small files that claim to be large, before anything is allocated for them."""
    if width < 1 or height < 1:
        raise ImageError(f"{path.name} is damaged: it claims a size of {width} x {height}")
    if width * height > _LARGEST:
        raise ImageError(f"{path.name} has {width} x {height} pixels; at most 1000 megapixels can be opened")
    if width * height > max(_HARMLESS, _DENSEST * file_size):
        raise ImageError(f"{path.name} is damaged: it claims {width} x {height} pixels in only {file_size} bytes")


def _file_size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


_bomb_limit = threading.Lock()


def open_pillow(file: BinaryIO) -> PIL.Image.Image:
    """Pillow's view of a file, nothing decoded yet."""
    # Its own limit starts to warn at 89 megapixels, which cameras reach; _check_size comes right after.
    with _bomb_limit:
        before = PIL.Image.MAX_IMAGE_PIXELS
        PIL.Image.MAX_IMAGE_PIXELS = None
        try:
            return PIL.Image.open(file, formats=_PILLOW_FORMATS)
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before


def _read_common(file: BinaryIO, path: Path) -> Decoded:
    """Read what Pillow knows; samples of 16 bits through OpenCV, because Pillow cuts RGB to 8."""
    head = file.read(64)
    file.seek(0)
    try:
        picture = open_pillow(file)
    except PIL.UnidentifiedImageError:
        if path.suffix.lower() in _RAW:
            raise _raw_error(path) from None
        for signature, name in _OTHER_TYPES.items():
            if head.startswith(signature):
                raise ImageError(f"{path.name} is of type {name}, which cannot be opened; export it as TIFF") from None
        known = "JPEG, PNG, TIFF, WebP, BMP, GIF, PNM, AVIF" + (" and HEIC" if HAS_HEIF else "")
        raise ImageError(
            f"{path.name} is damaged or not a picture of a known type; these can be opened: {known}"
        ) from None
    with picture:
        _check_size(path, *picture.size, _file_size(file))
        notes = []
        if getattr(picture, "is_animated", False):
            notes.append(f"{path.name} holds several pictures; only the first is used")
            picture.seek(0)
        is_png = head.startswith(b"\x89PNG")
        if is_png:
            position = file.tell()
            check_png(file)
            file.seek(position)
        white, opacity = 255, None
        if is_png and head[24] == 16:
            white = 65535
            file.seek(0)
            samples, opacity = _decode_png16(file.read(), is_grey=head[25] in (0, 4))
        elif picture.format == "PPM" and (deep := _decode_pnm16(file)):
            samples, white = deep
        else:
            # The whole file is decoded here, which also finds the cut-off JPEG that OpenCV would fill with grey.
            picture.load()
            samples, opacity = _pillow_samples(picture, path, notes)
        metadata = _pillow_metadata(picture, notes)
    icc = None if picture.mode == "CMYK" else metadata.icc
    metadata = dataclasses.replace(metadata, icc=icc)
    return Decoded(samples, metadata, white, exif_orientation(metadata.exif), opacity)


def _decode_png16(data: bytes, is_grey: bool) -> tuple[np.ndarray, np.ndarray | None]:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise ValueError("its data are damaged")
    if decoded.ndim == 2:
        return decoded, None
    opacity = decoded[..., 3] if decoded.shape[2] == 4 else None
    # OpenCV makes four equal channels of grey with opacity.
    return (decoded[..., 0] if is_grey else decoded[..., 2::-1]), opacity


def _decode_pnm16(file: BinaryIO) -> tuple[np.ndarray, int] | None:
    """Samples and white of a PGM or PPM of more than 8 bits; None for all others."""
    file.seek(0)
    gap = rb"(?:\s|#[^\n]*\n)+"
    header = re.match(rb"P([2356])" + gap + rb"(\d+)" + gap + rb"(\d+)" + gap + rb"(\d+)\s", file.read(4096))
    if not header or not 255 < int(header[4]) < 65536:
        return None
    kind, width, height, white = (int(group) for group in header.groups())
    shape = (height, width) if kind in (2, 5) else (height, width, 3)
    file.seek(header.end())
    if kind in (5, 6):
        data = np.frombuffer(file.read(2 * math.prod(shape)), ">u2")
    else:
        data = np.array(file.read().split()[: math.prod(shape)], np.uint16)
    if data.size != math.prod(shape):
        raise ValueError("the file ends too early")
    return data.reshape(shape), white


def _pillow_samples(picture: PIL.Image.Image, path: Path, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey or RGB samples, and the opacity, of a decoded 8-bit (or PFM) picture."""
    mode = picture.mode
    transparent = "transparency" in picture.info
    if mode == "CMYK":
        return _cmyk_to_rgb(picture, path, notes), None
    if mode == "F":
        return np.asarray(picture), None
    wanted = {
        "1": "L",
        "L": "LA" if transparent else "L",
        "LA": "LA",
        "P": "RGBA" if transparent else "RGB",
        "PA": "RGBA",
        "RGB": "RGBA" if transparent else "RGB",
        "RGBA": "RGBA",
        "RGBX": "RGB",
        "YCbCr": "RGB",
    }.get(mode)
    if wanted is None:
        raise ImageError(f"{path.name} stores its colours as {mode}; convert it to grey or RGB first")
    if wanted != mode:
        picture = picture.convert(wanted)
    samples = np.asarray(picture)
    if wanted in ("LA", "RGBA"):
        return (samples[..., 0] if wanted == "LA" else samples[..., :3]), samples[..., -1]
    return samples, None


def _cmyk_to_rgb(picture: PIL.Image.Image, path: Path, notes: list[str]) -> np.ndarray:
    """Through the picture's own profile to sRGB where it has one, else by the plain formula."""
    notes.append(f"{path.name} is CMYK; it was converted to 8-bit RGB")
    if icc := picture.info.get("icc_profile"):
        import PIL.ImageCms

        try:
            profile = PIL.ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = PIL.ImageCms.createProfile("sRGB")
            return np.asarray(PIL.ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGB"))
        except (PIL.ImageCms.PyCMSError, OSError):
            _log.warning("The CMYK profile of %s is unusable; converting without it", path.name)
    return np.asarray(picture.convert("RGB"))


def _pillow_metadata(picture: PIL.Image.Image, notes: list[str]) -> Metadata:
    info = picture.info
    exif = info.get("exif")
    if not exif and "Raw profile type exif" in info:  # how ImageMagick once wrote it into PNG
        exif = picture.getexif().tobytes()
    exif = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None
    xmp = info.get("xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    dpi = info.get("dpi")
    if dpi is not None:
        dpi = (float(dpi[0]), float(dpi[1]))
        dpi = dpi if all(math.isfinite(value) and value > 0 for value in dpi) else None
    name = {"MPO": "JPEG", "DIB": "BMP"}.get(picture.format or "", picture.format or "")
    return Metadata(exif or None, xmp or None, info.get("icc_profile") or None, dpi, name, notes=tuple(notes))


def _read_heif(file: BinaryIO, path: Path) -> Decoded:
    if not HAS_HEIF:
        raise ImageError(f"{path.name} is a HEIC picture; install pillow-heif to open it, or export it as TIFF")
    import pillow_heif

    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    _check_size(path, *container.size, _file_size(file))
    samples = np.asarray(container)
    mode, _, depth = container.mode.partition(";")
    if mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"{path.name} stores its colours as {container.mode}; export it as TIFF first")
    opacity = samples[..., -1] if mode.endswith("A") else None
    if mode in ("LA", "RGBA"):
        samples = samples[..., 0] if mode == "LA" else samples[..., :3]
    info = container.info
    exif = info.get("exif") or None
    notes = (f"{path.name} holds several pictures; only the main one is used",) if len(container) > 1 else ()
    metadata = Metadata(
        exif.removeprefix(b"Exif\0\0") if exif else None,
        info.get("xmp") or None,
        info.get("icc_profile") or None,
        format="HEIF",
        notes=notes,
    )
    # The container's own rotation is applied already, and the EXIF tag beside it does not count.
    return Decoded(samples, metadata, 65535 if depth else 255, 1, opacity)


_RGB_FROM_CODEC = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 50001, 50002, 52546}  # decoded YCbCr comes as RGB


def _read_tiff(file: BinaryIO, path: Path) -> Decoded:
    """Read the first page of a TIFF file."""
    import tifffile

    # Its remarks on damaged files would appear beside our one sentence.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    metadata, orientation = tiff_metadata(file)
    file.seek(0)
    notes = []
    with tifffile.TiffFile(file, name=path.name) as tiff:
        page = tiff.pages.first
        check_tiff_page(page, path, _file_size(file))
        samples = page.asarray()
        axes = page.axes
        with contextlib.suppress(Exception):  # a broken second page does not spoil the first
            if len(tiff.pages) > 1:
                notes.append(f"{path.name} has {len(tiff.pages)} pages; only the first is used")
        photometric, bits = page.photometric, page.bitspersample
        extras = page.extrasamples
        colormap = page.colormap
    while axes and axes[0] not in "YS":
        notes.append(f"{path.name} is a volume; only its first slice is used")
        samples, axes = samples[0], axes[1:]
    if axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    if samples.ndim not in (2, 3) or samples.shape[:2] != (page.imagelength, page.imagewidth):
        raise ImageError(f"{path.name} has an unknown arrangement of samples ({axes}); convert it to grey or RGB first")
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]

    samples, white = _tiff_white(samples, bits, path, notes)
    opacity = None
    if extras and samples.ndim == 3:
        opacity, samples = samples[..., -1], samples[..., :-1]
        samples = samples[..., 0] if samples.shape[2] == 1 else samples
    if photometric == 0 and white > 1:
        samples = white - samples
    elif photometric == 3 and colormap is not None:
        table = (colormap >> 8 if colormap.max() > 255 else colormap).astype(np.uint8)
        samples, white = table.T[samples], 255
    elif photometric == 5:
        eight = samples if samples.dtype == np.uint8 else (samples >> 8).astype(np.uint8)
        picture = PIL.Image.fromarray(np.ascontiguousarray(eight), "CMYK")
        picture.info["icc_profile"] = metadata.icc
        samples, white = _cmyk_to_rgb(picture, path, notes), 255
        metadata = dataclasses.replace(metadata, icc=None)
        if opacity is not None and opacity.dtype != np.uint8:
            opacity = (opacity >> 8).astype(np.uint8)
    metadata = dataclasses.replace(metadata, premultiplied=1 in extras, notes=tuple(notes))
    return Decoded(samples, metadata, white, orientation, opacity)


def check_tiff_page(page, path: Path, file_size: int) -> None:
    """Refuse, before anything is decoded, what is no plain picture, too large, or cut off."""
    _check_size(path, page.imagewidth, page.imagelength * page.imagedepth, file_size)
    if page.is_tiled:
        _check_size(path, page.tilewidth, page.tilelength * page.tiledepth, file_size)
    photometric = page.photometric
    if 50706 in page.tags or photometric in (32803, 34892) or (330 in page.tags and page.subfiletype & 1):
        raise _raw_error(path)
    if photometric in (8, 9, 10, 32844, 32845) or (photometric == 6 and page.compression not in _RGB_FROM_CODEC):
        name = getattr(photometric, "name", photometric)
        raise ImageError(f"{path.name} stores its colours as {name}; convert it to grey or RGB first")
    colours = {2: 3, 5: 4, 6: 3}.get(photometric, 1)
    extras = page.extrasamples
    # Two grey channels without a word on the second are more likely a microscope's than an opacity.
    unsaid = colours == 1 and any(extra not in (1, 2) for extra in extras)
    if page.samplesperpixel not in (colours, colours + 1) or unsaid or (page.samplesperpixel > colours and not extras):
        raise ImageError(
            f"{path.name} has {page.samplesperpixel} channels; grey and RGB, with or without opacity, can be opened"
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        raise ImageError(
            f"{path.name} holds samples of an unknown or complex type; convert it to 8, 16 or float 32 bits"
        )
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset < 1 or count < 1 or offset + count > file_size:
            raise ImageError(f"{path.name} is damaged: part of the picture is missing")


def _tiff_white(samples: np.ndarray, bits: int, path: Path, notes: list[str]) -> tuple[np.ndarray, int]:
    """The samples as uint8, uint16 or float, and the number that is white among them."""
    kind = samples.dtype.kind
    if kind == "f":
        return samples, 1
    if kind == "b" or (kind == "u" and bits <= 8):
        return samples.astype(np.uint8, copy=False), (1 << bits) - 1
    if kind == "u" and bits <= 16:
        return samples, (1 << bits) - 1
    notes.append(f"{path.name} holds {samples.dtype} samples; they are handled and saved as 32-bit float")
    return samples.astype(np.float32), 1
