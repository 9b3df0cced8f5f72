"""Reading picture files: samples as they are stored, whatever the type, and never a half picture."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import io
import logging
import math
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.AvifImagePlugin
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.Image
import PIL.Jpeg2KImagePlugin
import PIL.JpegImagePlugin
import PIL.MpoImagePlugin
import PIL.PngImagePlugin
import PIL.PpmImagePlugin
import PIL.WebPImagePlugin

from engine import jpegxl, scratch
from engine.metadata import (
    Metadata,
    box_metadata,
    boxes,
    check_png,
    exif_orientation,
    exif_resolution,
    iptc_from_text,
    tiff_metadata,
)
from engine.pages import ArrayLayout, Axes, TiffLayout, array_layout, has_channels, planes_of, tiff_layout

_log = logging.getLogger(__name__)

HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
"""Whether HEIC and HEIF can be read."""

RAW = frozenset(
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
"""Suffixes of cameras' RAW files, lower case with the dot."""
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
# No EPS, WMF, TGA and the like: they start other programs, have no signature, or are cut to 8 bits unsaid.
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "AVIF", "JPEG2000")

_OTHER_TYPES = {
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"\x89HDF": "HDF5",
    b"PK\x03\x04": "ZIP archive",
    b"<svg": "SVG",
    b"<?xml": "SVG",
}

_LARGEST = 1_000_000_000  # pixels that are opened without asking
# A file that claims more pixels per byte than deflate can hold (1032) is a bomb or cut off; small ones may do so.
_DENSEST, _HARMLESS = 1100, 1 << 24


class ImageError(ValueError):
    """A picture cannot be opened or saved; the message is meant for the user."""


class CameraRaw(ImageError):
    """The file is no picture yet but a camera's RAW file, for `engine.raw`."""


class TooLarge(ImageError):
    """A picture is whole but larger than is opened without asking.

    Attributes:
        width, height: in pixels.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        super().__init__(
            f"{path.name} has {width} x {height} pixels, more than {_LARGEST // 1_000_000} megapixels; "
            "the window opens it after asking, the command line with --huge"
        )
        self.width, self.height = width, height


@dataclass(frozen=True)
class Wanted:
    """Which picture of a file is asked for.

    Attributes:
        page: of a stack, from 0.
        huge: whether it may have more than 1000 megapixels.
    """

    page: int = 0
    huge: bool = False


FIRST = Wanted()


@dataclass
class Decoded:
    """What a reader found.

    Attributes:
        samples: (H, W) or (H, W, C) as stored; they may lie in a file, so whole copies are to be avoided.
        metadata: what else the file held.
        white: the number that is white among the samples; 1 where they are in a unit of their own.
        orientation: still to be applied, as in EXIF.
        opacity: (H, W).
        axes: how the pages of the file are ordered.
        shown: gives the grey or RGB samples of some rows of `samples`, where these are not what is meant by them.
    """

    samples: np.ndarray
    metadata: Metadata
    white: int = 255
    orientation: int = 1
    opacity: np.ndarray | None = None
    axes: Axes = dataclasses.field(default_factory=Axes)
    shown: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Header:
    """What a file says of its first picture without decoding it.

    Attributes:
        width, height: as stored; a picture that is turned upright may have them the other way round.
        channels: 1 for grey, 3 for colour; opacity does not count.
        bits: that a sample takes when decoded: 8, 16, 32 or 64.
        pages: of the file.
    """

    width: int
    height: int
    channels: int
    bits: int
    pages: int = 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """The file and its first bytes; ImageError if it is none or is empty."""
    if path.is_dir():
        os.scandir(path).close()  # one that must not be looked into says so
        raise ImageError(f"{path.name} is a folder; choose a picture")
    if path.is_symlink() and not path.exists():
        raise ImageError(f"{path.name} is a link that leads nowhere or back to itself; choose a picture")
    if not path.exists():
        raise ImageError(f"{path} does not exist")
    if not path.is_file():
        raise ImageError(f"{path.name} is not an ordinary file; choose a picture")
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(0)
        if not head:
            raise ImageError(f"{path.name} is empty (0 bytes); choose a picture")
        yield file, head


def decode(path: Path, wanted: Wanted = FIRST) -> Decoded:
    """Read a file by its content; ImageError for what is clearly wrong with it, anything at all from the libraries."""
    with _opened(path) as (file, head):
        decoded = _reader(head, path)(file, path, wanted)
    _check_page(path, wanted, decoded.axes)
    return decoded


def peek(path: Path) -> Header:
    """What the first bytes of a file say of its picture; ImageError where they say nothing, or it is a camera's RAW."""
    with foreign_errors(path, "cannot be opened"), _opened(path) as (file, head):
        return _PEEKERS[_reader(head, path)](file, path)


def _check_page(path: Path, wanted: Wanted, axes: Axes) -> None:
    if not 0 <= wanted.page < axes.pages:
        raise ImageError(f"{path.name} has {axes.pages} pages; number {wanted.page + 1} was asked for")


@contextlib.contextmanager
def foreign_errors(path: Path, failed: str) -> Iterator[None]:
    """Turn whatever a decoder or the file system raises into one ImageError."""
    try:
        yield
    except ImageError:
        raise
    except scratch.NoRoom as error:
        raise ImageError(f"{path.name} {failed}: {error}") from error
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


def _reader(head: bytes, path: Path) -> Callable[[BinaryIO, Path, Wanted], Decoded]:
    """Which reader the first bytes of a file ask for."""
    has_tiff = head[:4] in _TIFF_SIGNATURES
    raw_content = head.startswith(_RAW_SIGNATURES) or head[4:12] == b"ftypcrx " or (has_tiff and head[8:10] == b"CR")
    if raw_content or (has_tiff and path.suffix.lower() in RAW):
        raise _raw_error(path)
    return next(reader for signature, reader in _READERS if re.match(signature, head, re.DOTALL))


def _raw_error(path: Path) -> CameraRaw:
    return CameraRaw(f"{path.name} is a camera RAW file, which has to be developed")


def _check_size(path: Path, width: int, height: int, file_size: int, huge: bool = False, planes: int = 1) -> None:
    """Refuse small files that claim to be large, and what is too large, before anything is allocated for them.

    Args:
        path: of the file.
        width, height: of one picture, in pixels.
        file_size: in bytes.
        huge: whether it may be larger than is opened without asking.
        planes: of that size that lie together.
    """
    if width < 1 or height < 1:
        raise ImageError(f"{path.name} is damaged: it claims a size of {width} x {height}")
    if width * height * planes > max(_HARMLESS, _DENSEST * file_size):
        size = f"{width} x {height}" + (f" x {planes}" if planes > 1 else "")
        raise ImageError(f"{path.name} is damaged: it claims {size} pixels in only {file_size} bytes")
    if width * height > _LARGEST and not huge:
        raise TooLarge(path, width, height)


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


def _pictures(picture: PIL.Image.Image, file: BinaryIO) -> int:
    """How many pictures a file holds, without those of another size that cameras store for a quick look."""
    with contextlib.suppress(Exception):  # a broken second picture does not spoil the first
        if not isinstance(picture, PIL.MpoImagePlugin.MpoImageFile):
            return getattr(picture, "n_frames", 1)
        file.seek(0)
        start = file.read(1 << 20).index(b"MPF\0") + 4
        others = [start + entry["DataOffset"] for entry in picture.mpinfo[0xB002] if entry["DataOffset"]]
        return 1 + sum(_jpeg_frame(file, at)[2:] == picture.size for at in others)
    return 1


def _known_to_pillow(file: BinaryIO, path: Path) -> PIL.Image.Image:
    head = file.read(64)
    file.seek(0)
    try:
        return open_pillow(file)
    except PIL.UnidentifiedImageError:
        if path.suffix.lower() in RAW:
            raise _raw_error(path) from None
        for signature, name in _OTHER_TYPES.items():
            if head.startswith(signature):
                raise ImageError(f"{path.name} is of type {name}, which cannot be opened; export it as TIFF") from None
        known = "JPEG, PNG, TIFF, WebP, BMP, GIF, PNM, AVIF, JPEG 2000, JPEG XL, FITS, NumPy"
        known += " and HEIC" if HAS_HEIF else ""
        raise ImageError(
            f"{path.name} is damaged or not a picture of a known type; these can be opened: {known}"
        ) from None


def _read_common(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read what Pillow knows; samples of more than 8 bits through other libraries, because Pillow cuts RGB to 8."""
    picture = _known_to_pillow(file, path)
    with picture:
        _check_size(path, *picture.size, _file_size(file), wanted.huge)
        notes = []
        if (count := _pictures(picture, file)) > 1:
            notes.append(f"{path.name} holds {count} pictures; only the first is used")
        picture.seek(0)
        position = file.tell()
        says_more = picture.format == "PNG" and check_png(file)
        deep = _DEEP[picture.format](file, picture) if picture.format in _DEEP else None
        file.seek(position)
        if deep is None or says_more:
            # The whole file is decoded here, which also finds the cut-off JPEG that OpenCV would fill with grey.
            picture.load()
        if deep is None:
            deep = _pillow_samples(picture, path, notes)
        samples, white, opacity = deep
        metadata = _pillow_metadata(picture, notes)
        if picture.format == "JPEG2000":
            metadata = dataclasses.replace(metadata, **box_metadata(file))
    icc = None if picture.mode == "CMYK" else metadata.icc
    metadata = dataclasses.replace(metadata, icc=icc)
    return Decoded(samples, metadata, white, exif_orientation(metadata.exif), opacity)


_Samples = tuple[np.ndarray, int, np.ndarray | None]  # as stored, the number that is white among them, the opacity


def _deep_png(file: BinaryIO, picture: PIL.Image.Image) -> _Samples | None:
    file.seek(24)
    if file.read(1) != b"\x10":
        return None
    data = _png_essentials(file)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise ValueError("its data are damaged")
    if decoded.ndim == 2:
        key = picture.info.get("transparency")  # OpenCV heeds the one of colour pictures alone
        return decoded, 65535, None if key is None else np.where(decoded == key, 0, 65535).astype(np.uint16)
    opacity = decoded[..., 3] if decoded.shape[2] == 4 else None
    # OpenCV makes four equal channels of grey with opacity.
    return (decoded[..., 0] if data[25] in (0, 4) else decoded[..., 2::-1]), 65535, opacity


def _png_essentials(file: BinaryIO) -> bytes:
    """A PNG without the chunks that only describe it: about damaged ones the decoder would write to the terminal."""
    file.seek(0)
    data = memoryview(file.read())
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if not data[at + 4] & 32 or data[at + 4 : at + 8] == b"tRNS":
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _pnm_header(file: BinaryIO) -> re.Match[bytes] | None:
    """Kind, width, height and white; None for pictures of one bit."""
    file.seek(0)
    gap = rb"(?:\s|#[^\n]*\n)+"
    return re.match(rb"P([2356])" + gap + rb"(\d+)" + gap + rb"(\d+)" + gap + rb"(\d+)\s", file.read(4096))


def _deep_pnm(file: BinaryIO, picture: PIL.Image.Image) -> _Samples | None:
    header = _pnm_header(file)
    if not header or not 255 < int(header[4]) < 65536:
        return None
    kind, width, height, white = (int(group) for group in header.groups())
    shape = (height, width) if kind in (2, 5) else (height, width, 3)
    file.seek(header.end())
    if kind in (5, 6):
        return _stored(file, shape, ">u2"), white, None
    data = np.array(file.read().split()[: math.prod(shape)], np.uint16)
    if data.size != math.prod(shape):
        raise ValueError("the file ends too early")
    return data.reshape(shape), white, None


def _deep_jpeg2000(file: BinaryIO, picture: PIL.Image.Image) -> _Samples | None:
    import imagecodecs

    file.seek(0)
    data = file.read()
    at = data.find(b"\xff\x4f\xff\x51")  # the start of the codestream and its SIZ segment
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    if (right - left, bottom - top) != picture.size:
        raise ValueError("its headers contradict each other")
    (count,) = struct.unpack_from(">H", data, at + 40)
    depths = set(data[at + 42 : at + 42 + 3 * count : 3])
    # Luma and chroma, and inks, are left to Pillow.
    if max(depths) <= 7 or b"colr\1\0\0\0\0\0\x12" in data[:at] or picture.mode == "CMYK":
        return None
    if len(depths) > 1 or count > 4:
        raise ValueError(f"its {count} channels are too many, or differ in depth; export it as TIFF first")
    # Without its boxes: a profile in them would be applied.
    samples = imagecodecs.jpeg2k_decode(data[at:])
    opacity = samples[..., -1] if count in (2, 4) else None
    if opacity is not None:
        samples = samples[..., 0] if count == 2 else samples[..., :-1]
    if samples.dtype.kind == "i":
        return samples, 1, opacity
    white = (2 << depths.pop()) - 1
    return samples, white, _full_range(opacity, white)


def _deep_avif(file: BinaryIO, picture: PIL.Image.Image) -> _Samples | None:
    import imagecodecs

    file.seek(0)
    data = file.read()
    # The configuration box of AV1: bit 6 says more than 8 bits a sample, bit 5 that they are 12.
    flags = data[data.find(b"av1C") + 6]
    if not flags & 64:
        return None
    samples = imagecodecs.avif_decode(data, index=0)
    white = 4095 if flags & 32 else 1023
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        colours = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
        return colours, white, _full_range(samples[..., -1], white)
    return samples, white, None


def _full_range(opacity: np.ndarray | None, white: int) -> np.ndarray | None:
    """Opacity of unsigned samples whose white becomes the largest number of their type, which others take for it."""
    if opacity is None or opacity.dtype.kind != "u" or white == np.iinfo(opacity.dtype).max:
        return opacity
    most = np.iinfo(opacity.dtype).max
    return ((opacity.astype(np.uint64) * most + white // 2) // white).astype(opacity.dtype)


_DEEP: dict[str | None, Callable[[BinaryIO, PIL.Image.Image], _Samples | None]] = {
    "PNG": _deep_png,
    "PPM": _deep_pnm,
    "JPEG2000": _deep_jpeg2000,
    "AVIF": _deep_avif,
}
"""By Pillow's names: who reads more than 8 bits a sample; they give None for pictures of 8."""


def _stored(file: BinaryIO, shape: tuple[int, ...], kind: np.dtype | str) -> np.ndarray:
    """Samples that lie as they are at the file's position; ValueError before memory is taken if some are missing."""
    if math.prod(shape) * np.dtype(kind).itemsize > _file_size(file) - file.tell():
        raise ValueError("the file ends too early")
    samples = scratch.array(shape, kind)
    if file.readinto(samples.reshape(-1).view(np.uint8)) != samples.nbytes:  # type: ignore[attr-defined]
        raise ValueError("the file ends too early")
    return samples


def _pillow_samples(picture: PIL.Image.Image, path: Path, notes: list[str]) -> _Samples:
    """The grey or RGB samples of a decoded 8-bit picture."""
    mode = picture.mode
    transparent = "transparency" in picture.info
    if mode == "CMYK":
        notes.append(_CMYK.format(path.name))
        return _cmyk_to_rgb(picture, path), 255, None
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
        return (samples[..., 0] if wanted == "LA" else samples[..., :3]), 255, samples[..., -1]
    return samples, 255, None


_CMYK = "{} is CMYK; it was converted to 8-bit RGB"


def _cmyk_to_rgb(picture: PIL.Image.Image, path: Path) -> np.ndarray:
    """Through the picture's own profile to sRGB where it has one, else by the plain formula."""
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
    blocks = info.get("photoshop")
    iptc = blocks.get(0x0404) if isinstance(blocks, dict) else iptc_from_text(info.get("Raw profile type iptc"))
    return Metadata(
        exif or None,
        xmp or None,
        info.get("icc_profile") or None,
        dpi or exif_resolution(exif),
        {"MPO": "JPEG", "DIB": "BMP"}.get(picture.format or "", picture.format or ""),
        iptc=iptc or None,
        notes=tuple(notes),
    )


def _read_jpeg(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read a JPEG; one of 12 bits is shown to Pillow as if it had 8, for its metadata, and decoded elsewhere."""
    at, bits, *_ = _jpeg_frame(file)
    file.seek(0)
    if bits != 12:
        return _read_common(file, path, wanted)
    import imagecodecs

    data = file.read()
    if data.rfind(b"\xff\xd9") < at:
        raise ValueError("the file ends too early")
    with open_pillow(io.BytesIO(data[:at] + b"\x08" + data[at + 1 :])) as picture:
        _check_size(path, *picture.size, len(data), wanted.huge)
        if picture.mode not in ("L", "RGB"):
            raise ImageError(f"{path.name} stores its colours as {picture.mode}; convert it to grey or RGB first")
        metadata = _pillow_metadata(picture, [])
    samples = imagecodecs.jpeg8_decode(data)
    return Decoded(samples, metadata, 4095, exif_orientation(metadata.exif))


def _jpeg_frame(file: BinaryIO, start: int = 0) -> tuple[int, int, int, int]:
    """Where the frame of a JPEG says its bits a sample, how many, and its width and height; zeros where it has none."""
    at = start + 2
    while True:
        file.seek(at)
        marker, code, length, bits, height, width = struct.unpack(">BBHBHH", file.read(9).ljust(9, b"\0"))
        if marker != 255 or code in (0xD9, 0xDA):
            return 0, 0, 0, 0
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            return at + 4, bits, width, height
        at += 1 if code == 255 else 2 + length


def _read_webp(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read a WebP; its size is looked at before Pillow, which takes memory for it when it opens one."""
    _check_size(path, *_webp_size(file), _file_size(file), wanted.huge)
    file.seek(0)
    return _read_common(file, path, wanted)


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    head = file.read(32).ljust(32, b"\0")
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _read_jpegxl(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    import imagecodecs

    header = jpegxl.read_header(file)
    _check_size(path, header.width, header.height, _file_size(file), wanted.huge)
    if header.colours not in (1, 3) or header.others > header.has_opacity:
        raise ImageError(f"{path.name} has {header.colours + header.others} channels; export it as TIFF first")
    notes = []
    if header.is_animated:
        notes.append(f"{path.name} holds several pictures; only the first is used")
    if not header.is_srgb:
        notes.append(f"{path.name} is not in sRGB; its samples are kept, but its colours may be shown differently")
    file.seek(0)
    samples = imagecodecs.jpegxl_decode(file.read(), index=0)
    opacity = None
    if header.has_opacity:
        opacity, samples = samples[..., -1], samples[..., :-1]
    found = box_metadata(file)
    metadata = Metadata(
        exif=found.get("exif"),
        xmp=found.get("xmp"),
        dpi=exif_resolution(found.get("exif")),
        format="JPEGXL",
        iptc=found.get("iptc"),
        premultiplied=header.is_premultiplied,
        notes=tuple(notes),
    )
    # The decoder has turned the picture upright.
    white = 1 if samples.dtype.kind == "f" else (1 << header.bits) - 1
    return Decoded(samples, metadata, white, 1, _full_range(opacity, white))


def _pfm_header(file: BinaryIO) -> re.Match[bytes]:
    """Kind, width, height and scale; ValueError if it is damaged."""
    header = re.match(rb"P([Ff])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s", file.read(128))
    if not header:
        raise ValueError("its header is damaged")
    return header


def _read_pfm(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    header = _pfm_header(file)
    width, height = int(header[2]), int(header[3])
    _check_size(path, width, height, _file_size(file), wanted.huge)
    file.seek(header.end())
    shape = (height, width, 3) if header[1] == b"F" else (height, width)
    samples = _stored(file, shape, "<f4" if header[4].startswith(b"-") else ">f4")
    return Decoded(samples, Metadata(format="PFM"), 1, _FROM_BELOW)


_FROM_BELOW = 4  # the orientation of files whose first row is the lowest


def _read_array(
    file: BinaryIO, path: Path, shape: tuple[int, ...], kind: np.dtype, wanted: Wanted
) -> tuple[np.ndarray, Axes]:
    """(H, W) or (H, W, 3), one picture of an array that is stored row by row, colours last or first."""
    _check_array(path, shape, kind)
    layout = array_layout(shape)
    height, width = layout.size
    _check_size(path, width, height, _file_size(file), wanted.huge)
    _check_page(path, wanted, layout.axes)
    if math.prod(shape) * kind.itemsize > _file_size(file) - file.tell():
        raise ValueError("the file ends too early")
    file.seek(wanted.page * math.prod(layout.page) * kind.itemsize, io.SEEK_CUR)
    return _colours_last(_stored(file, layout.page, kind), layout.is_planar), layout.axes


def array_stack(file: BinaryIO, path: Path) -> ArrayLayout:
    """How the pages of a NumPy or FITS file lie; ImageError if it is neither."""
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    if head.startswith(b"\x93NUMPY"):
        shape, _, kind = npy_header(file)
        _check_array(path, shape, kind)
    elif head.startswith(b"SIMPLE"):
        shape = tuple(_fits_picture(file, path)[2][::-1])
    else:
        raise ImageError(f"{path.name} is no stack of pages; TIFF, NumPy arrays and FITS cubes can be")
    return array_layout(shape)


def _check_array(path: Path, shape: tuple[int, ...], kind: np.dtype) -> None:
    if len(shape) < 2 or 0 in shape or kind.kind not in "buif":
        raise ImageError(
            f"{path.name} holds {kind} of shape {shape}; a picture has numbers, (height, width) or (height, width, 3)"
        )


def _colours_last(samples: np.ndarray, is_planar: bool) -> np.ndarray:
    samples = np.moveaxis(samples, 0, -1) if is_planar else samples
    return samples[..., 0] if samples.shape[2:] == (1,) else samples


def npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored column by column, and type of a NumPy file; the position is then that of the data."""
    major, _ = np.lib.format.read_magic(file)
    return (np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0)(file)


def _read_npy(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    shape, is_fortran, kind = npy_header(file)
    if is_fortran and len(shape) > 1:
        # Stored column by column, one picture lies all over the file.
        _check_array(path, shape, kind)
        layout = array_layout(shape)
        height, width = layout.size
        _check_size(path, width, height, _file_size(file), wanted.huge)
        _check_page(path, wanted, layout.axes)
        whole = _stored(file, shape[::-1], kind).T
        place = np.unravel_index(wanted.page, layout.leading) if layout.leading else ()
        samples, axes = _colours_last(whole[tuple(int(at) for at in place)], layout.is_planar), layout.axes
    else:
        samples, axes = _read_array(file, path, shape, kind, wanted)
    samples, white = _white(samples, 8 * kind.itemsize)
    return Decoded(samples, Metadata(format="NPY"), white, axes=axes)


def _read_fits(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read the first picture or cube of a FITS file, which may lie in an extension."""
    cards, bits, axes = _fits_picture(file, path)
    kind = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits]
    samples, pages = _read_array(file, path, tuple(axes[::-1]), np.dtype(kind), wanted)
    zero, scale = float(cards.get("BZERO", 0)), float(cards.get("BSCALE", 1))
    shown = None
    if (bits, zero, scale) == (16, 32768, 1):
        white = 65535

        def shown(band: np.ndarray) -> np.ndarray:
            return (band.astype(np.int32) + 32768).astype(np.uint16)
    elif (zero, scale) != (0, 1):
        white = 1

        def shown(band: np.ndarray) -> np.ndarray:
            return (band * scale + zero).astype(np.float32)
    else:
        samples, white = _white(samples, abs(bits))
    return Decoded(samples, Metadata(format="FITS"), white, _FROM_BELOW, axes=pages, shown=shown)


def _fits_picture(file: BinaryIO, path: Path) -> tuple[dict[str, str], int, list[int]]:
    """Keywords, bits a sample and sides of the first picture, at whose data the position then is."""
    while True:
        cards = _fits_cards(file)
        if cards.get("ZIMAGE") == "T":
            raise ImageError(f"{path.name} is a compressed FITS file; unpack it with funpack first")
        bits, axes = int(cards["BITPIX"]), [int(cards[f"NAXIS{i + 1}"]) for i in range(int(cards["NAXIS"]))]
        if len(axes) > 1 and cards.get("XTENSION", "IMAGE") == "IMAGE":
            return cards, bits, axes
        size = math.prod(axes) + int(cards.get("PCOUNT", 0)) if axes else 0
        file.seek(-(-size * abs(bits) // 8 // 2880) * 2880, io.SEEK_CUR)


def _fits_cards(file: BinaryIO) -> dict[str, str]:
    """The keywords of the header at the file's position, which then stands behind it; ValueError at the file's end."""
    cards: dict[str, str] = {}
    while len(block := file.read(2880)) == 2880:
        for at in range(0, 2880, 80):
            card = block[at : at + 80].decode("latin-1")
            if card[:8].rstrip() == "END":
                return cards
            if card[8] == "=":
                cards.setdefault(card[:8].rstrip(), card[9:].partition("/")[0].strip(" '"))
    raise ValueError("it holds no picture")


def _read_exr(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    try:
        import OpenEXR  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImageError(f"{path.name} needs OpenEXR, which comes with the extra pellucid[science]") from None

    low, high = OpenEXR.File(str(path), header_only=True).header()["dataWindow"]
    _check_size(path, int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1, _file_size(file), wanted.huge)
    with OpenEXR.File(str(path), separate_channels=True) as opened:
        planes = {name: channel.pixels for name, channel in opened.channels().items()}
    colours = next((names for names in ("RGB", "Y") if planes.keys() >= set(names)), None)
    if not colours:
        raise ImageError(f"{path.name} has the channels {', '.join(planes)}; R, G, B or Y, and A, can be opened")
    samples = np.stack([planes[name] for name in colours], axis=-1)
    metadata = Metadata(format="EXR", premultiplied="A" in planes)
    return Decoded(samples.astype(np.float32), metadata, 1, 1, planes.get("A"))


def _read_heif(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    if not HAS_HEIF:
        raise ImageError(f"{path.name} is a HEIC picture; install pillow-heif to open it, or export it as TIFF")
    import pillow_heif

    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    _check_size(path, *container.size, _file_size(file), wanted.huge)
    samples = np.asarray(container)
    mode, _, depth = container.mode.partition(";")
    if mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"{path.name} stores its colours as {container.mode}; export it as TIFF first")
    opacity = samples[..., -1] if mode.endswith("A") else None
    if mode in ("LA", "RGBA"):
        samples = samples[..., 0] if mode == "LA" else samples[..., :3]
    info = container.info
    exif = info.get("exif") or None
    count = len(container)
    notes = (f"{path.name} holds {count} pictures; only the main one is used",) if count > 1 else ()
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


_PLAIN = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000}  # that fill the memory they are given and no more
_CODED = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 34933, 50001, 50002, 52546}  # whole pictures inside


_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(file: BinaryIO) -> bool:
    """Whether a file begins as a TIFF; its position is then the start."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return head in _TIFF_SIGNATURES


def _read_tiff(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read one page of a TIFF file."""
    import tifffile

    # Its remarks on damaged files would appear beside our one sentence.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    notes: list[str] = []
    with tifffile.TiffFile(file, name=path.name) as tiff:
        layout = tiff_layout(file, tiff)
        _check_page(path, wanted, layout.axes)
        page, plane = tiff_page(file, tiff, layout, wanted.page)
        check_tiff_page(page, path, _file_size(file), wanted.huge)
        if page.compression in _CODED:
            _check_coded(page, path, file)
        metadata, orientation = tiff_metadata(file, page.offset)
        samples = _tiff_samples(file, page, plane, layout)
        photometric, bits = page.photometric, page.bitspersample
        extras = () if has_channels(page) else page.extrasamples
        # ImageJ's colours are a way to look at intensities.
        colormap = None if tiff.is_imagej else page.colormap
    if samples.ndim not in (2, 3) or samples.shape[:2] != (page.imagelength, page.imagewidth):
        raise ImageError(
            f"{path.name} has an unknown arrangement of samples ({page.axes}); convert it to grey or RGB first"
        )
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]

    samples, white = _white(samples, bits)
    opacity = None
    if extras and samples.ndim == 3:
        opacity, samples = samples[..., -1], samples[..., :-1]
        samples = samples[..., 0] if samples.shape[2] == 1 else samples
        opacity = _full_range(opacity, (1 << bits) - 1) if bits <= 16 else opacity
    shown: Callable[[np.ndarray], np.ndarray] | None = None
    if photometric == 0 and (white > 1 or bits == 1):
        shown = functools.partial(np.subtract, samples.dtype.type(white))
    elif photometric == 3 and colormap is not None:
        table = (colormap >> 8 if colormap.max() > 255 else colormap).astype(np.uint8).T
        shown, white = functools.partial(_looked_up, table), 255
    elif photometric == 5:
        notes.append(_CMYK.format(path.name))
        shown, white = functools.partial(_shown_cmyk, metadata.icc, path), 255
        metadata = dataclasses.replace(metadata, icc=None)
        if opacity is not None and opacity.dtype != np.uint8:
            opacity = (opacity >> 8).astype(np.uint8)
    metadata = dataclasses.replace(metadata, premultiplied=1 in extras, notes=tuple(notes))
    return Decoded(samples, metadata, white, orientation, opacity, layout.axes, shown)


def _looked_up(table: np.ndarray, band: np.ndarray) -> np.ndarray:
    return table[band]


def _shown_cmyk(icc: bytes | None, path: Path, band: np.ndarray) -> np.ndarray:
    eight = band if band.dtype == np.uint8 else (band >> 8).astype(np.uint8)
    picture = PIL.Image.fromarray(np.ascontiguousarray(eight), "CMYK")
    picture.info["icc_profile"] = icc
    return _cmyk_to_rgb(picture, path)


def tiff_page(file: BinaryIO, tiff: Any, layout: TiffLayout, number: int) -> tuple[Any, int]:
    """The directory, as a `tifffile.TiffPage`, that holds a page, and which of its planes the page is.

    Of a file with one directory for all pages, the plane is the number of the page.
    """
    import tifffile

    if layout.is_described_once:
        return tiff.pages.first, number
    index, plane = divmod(number, layout.planes)
    if index == 0:
        return tiff.pages.first, plane
    tiff.filehandle.seek(layout.directories[index])
    page = tifffile.TiffPage(tiff, index)
    if layout.planes != planes_of(page):
        raise ImageError(f"{tiff.filehandle.name} has pages with different numbers of channels; save them one by one")
    return page, plane


_READ_AT_ONCE = 1 << 25  # bytes of strips or tiles; tifffile's own is 256 MB


def _tiff_samples(file: BinaryIO, page: Any, plane: int, layout: TiffLayout) -> np.ndarray:
    """(H, W) or (H, W, S) as stored: a page that fills its directory, or one plane of it."""
    separate, depth, height, width, together = page.shaped
    kind = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    size = height * width * together * kind.itemsize
    if layout.is_described_once:
        file.seek(page.dataoffsets[0] + plane * separate * depth * size)
        samples = _stored(file, (separate, height, width, together), kind)
    elif layout.planes == 1:
        samples = scratch.array(page.shaped, page.dtype)
        samples = page.asarray(out=samples, buffersize=_READ_AT_ONCE, squeeze=False)[:, 0]
    else:
        at, channel, parts = plane, slice(None), range(separate)
        if has_channels(page) and together > 1:
            at, channel = divmod(plane, together)
        elif has_channels(page):
            part, at = divmod(plane, depth)
            parts = range(part, part + 1)
        samples = scratch.array((len(parts), height, width, together), page.dtype)
        if page.is_contiguous and page.fillorder == 1 and page.predictor == 1:
            for into, part in zip(samples, parts, strict=True):
                file.seek(page.dataoffsets[0] + (part * depth + at) * size)
                into[...] = _stored(file, into.shape, kind)
        else:
            _decode_slice(file, page, at, parts, samples)
        samples = samples[..., channel]
        samples = samples[..., None] if samples.ndim == 3 else samples
    if separate > 1 and len(samples) > 1:
        return _colours_last(samples[..., 0], True)
    return _colours_last(samples[0], False)


def _decode_slice(file: BinaryIO, page: Any, at: int, parts: range, samples: np.ndarray) -> None:
    """Decode only the strips or tiles in which a slice of some of the planes lies, into (planes, H, W, S)."""
    height, width = samples.shape[1:3]
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        _, (part, start, top, left, _), shape = page.decode(None, index)
        if part in parts and start <= at < start + shape[0]:
            file.seek(offset)
            decoded = page.decode(file.read(count), index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
            rows, columns = min(shape[1], height - top), min(shape[2], width - left)
            into = samples[part - parts[0], top : top + rows, left : left + columns]
            into[...] = decoded[at - start, :rows, :columns]


def check_tiff_page(page: Any, path: Path, file_size: int, huge: bool = False) -> None:
    """Refuse, before anything is decoded, what is no plain picture, too large, or cut off."""
    _check_size(path, page.imagewidth, page.imagelength, file_size, huge, planes_of(page))
    if page.is_tiled:
        _check_size(path, page.tilewidth, page.tilelength, file_size, huge, page.tiledepth)
    photometric = page.photometric
    if not (isinstance(photometric, int) and isinstance(page.compression, int)):
        raise ImageError(f"{path.name} is damaged: it says its colours or its compression more than once")
    if 50706 in page.tags or photometric in (32803, 34892) or (330 in page.tags and page.subfiletype & 1):
        raise _raw_error(path)
    if photometric in (8, 9, 10, 32844, 32845) or (photometric == 6 and page.compression not in _RGB_FROM_CODEC):
        name = getattr(photometric, "name", photometric)
        raise ImageError(f"{path.name} stores its colours as {name}; convert it to grey or RGB first")
    if page.compression not in _PLAIN | _CODED:
        name = getattr(page.compression, "name", page.compression)
        raise ImageError(f"{path.name} is compressed by {name}; save it with LZW, Deflate or no compression first")
    colours = {2: 3, 5: 4, 6: 3}.get(photometric, 1)
    extras = page.extrasamples
    is_alpha = page.samplesperpixel == colours + 1 and len(extras) == 1
    if page.samplesperpixel != colours and not is_alpha and not has_channels(page):
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


def _check_coded(page: Any, path: Path, file: BinaryIO) -> None:
    """Refuse a page if a picture inside claims to be larger than its tile: decoders take memory for what it claims."""
    side = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    for offset, count in [*zip(page.dataoffsets, page.databytecounts, strict=False), (0, 0)]:
        file.seek(offset)
        part = io.BytesIO(file.read(count) or page.jpegtables or b"")
        width, height = _coded_size(part)
        if page.compression == 34933 and count:
            check_png(part)
        if width * height > 2 * side[0] * side[1] + 65536:
            raise ImageError(f"{path.name} is damaged: a part of it claims {width} x {height} pixels")


def _coded_size(part: BinaryIO) -> tuple[int, int]:
    """Width and height that the data of a tile claim themselves; (0, 0) where no decoder would know them."""
    head = part.read(64)
    part.seek(0)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_frame(part)[2:]
    if head.startswith(b"\x89PNG"):
        return struct.unpack(">II", head[16:24])
    if head.startswith(b"RIFF"):
        return _webp_size(part)
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        header = jpegxl.read_header(part)
        return header.width, header.height
    if head.startswith(b"\0\0\0\x0cjP  "):
        start = next((start for name, start, _ in boxes(part) if name == b"jp2c"), 0)
        part.seek(start)
        head = part.read(16)
    return struct.unpack(">II", head[8:16]) if head.startswith(b"\xff\x4f\xff\x51") else (0, 0)


def _white(samples: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """The samples, those of one bit as numbers, and the one that is white; 1 where they have a unit of their own."""
    if samples.dtype.kind == "b":
        return samples.view(np.uint8), 1
    return samples, (1 << bits) - 1 if samples.dtype.kind == "u" and bits <= 16 else 1


_READERS: tuple[tuple[bytes, Callable[[BinaryIO, Path, Wanted], Decoded]], ...] = (
    (rb"II[*+]\0|MM\0[*+]", _read_tiff),
    (rb"\xff\xd8\xff", _read_jpeg),
    (rb"RIFF....WEBP", _read_webp),
    (rb"....ftyp(hei[cxms]|hev[cx]|m[is]f1)(?!.*avi[fs])", _read_heif),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _read_jpegxl),
    (rb"P[Ff]\s", _read_pfm),
    (rb"\x93NUMPY", _read_npy),
    (rb"SIMPLE  =", _read_fits),
    (rb"v/1\x01", _read_exr),
    (rb"", _read_common),
)
"""What a file's first bytes look like, and who reads it; the first that fits."""


def _peek_common(file: BinaryIO, path: Path) -> Header:
    with _known_to_pillow(file, path) as picture:
        width, height = picture.size
        channels = 1 if picture.mode in ("1", "L", "LA", "I", "I;16", "F") else 3
        return Header(width, height, channels, _PEEK_BITS.get(picture.format, lambda _: 8)(file))


def _png_bits(file: BinaryIO) -> int:
    file.seek(24)
    return 16 if file.read(1) == b"\x10" else 8


def _pnm_bits(file: BinaryIO) -> int:
    header = _pnm_header(file)
    return 16 if header and int(header[4]) > 255 else 8


def _jpeg2000_bits(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(1 << 16)
    at = head.find(b"\xff\x4f\xff\x51") + 42
    return 16 if at >= 42 and head[at : at + 1] and head[at] & 127 > 7 else 8


def _avif_bits(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(1 << 16)
    at = head.find(b"av1C") + 6
    return 16 if at >= 6 and head[at : at + 1] and head[at] & 64 else 8


_PEEK_BITS: dict[str | None, Callable[[BinaryIO], int]] = {
    "PNG": _png_bits,
    "PPM": _pnm_bits,
    "JPEG2000": _jpeg2000_bits,
    "AVIF": _avif_bits,
}


def _peek_tiff(file: BinaryIO, path: Path) -> Header:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(file, name=path.name) as tiff:
        page: Any = tiff.pages.first
        is_colour = page.photometric in (2, 5, 6) or (page.photometric == 3 and not tiff.is_imagej)
        bits = 8 * page.dtype.itemsize if page.dtype else page.bitspersample
        pages = tiff_layout(file, tiff).axes.pages
        return Header(page.imagewidth, page.imagelength, 3 if is_colour else 1, bits, pages)


def _peek_jpeg(file: BinaryIO, path: Path) -> Header:
    at, bits, width, height = _jpeg_frame(file)
    if not at:
        raise ValueError("its data are damaged")
    file.seek(at + 5)
    return Header(width, height, 1 if file.read(1) == b"\1" else 3, 8 if bits == 8 else 16)


def _peek_webp(file: BinaryIO, path: Path) -> Header:
    return Header(*_webp_size(file), 3, 8)


def _peek_heif(file: BinaryIO, path: Path) -> Header:
    if not HAS_HEIF:
        raise ImageError(f"{path.name} is a HEIC picture; install pillow-heif to open it, or export it as TIFF")
    import pillow_heif

    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    mode, _, depth = container.mode.partition(";")
    return Header(*container.size, 1 if mode in ("L", "LA") else 3, 16 if depth else 8)


def _peek_jpegxl(file: BinaryIO, path: Path) -> Header:
    header = jpegxl.read_header(file)
    return Header(
        header.width, header.height, header.colours, 8 if header.bits <= 8 else 16 if header.bits <= 16 else 32
    )


def _peek_pfm(file: BinaryIO, path: Path) -> Header:
    header = _pfm_header(file)
    return Header(int(header[2]), int(header[3]), 3 if header[1] == b"F" else 1, 32)


def _peek_npy(file: BinaryIO, path: Path) -> Header:
    shape, _, kind = npy_header(file)
    _check_array(path, shape, kind)
    layout = array_layout(shape)
    return Header(*layout.size[::-1], layout.channels, 8 * kind.itemsize, layout.axes.pages)


def _peek_fits(file: BinaryIO, path: Path) -> Header:
    _, bits, axes = _fits_picture(file, path)
    layout = array_layout(tuple(axes[::-1]))
    return Header(*layout.size[::-1], layout.channels, abs(bits), layout.axes.pages)


def _peek_exr(file: BinaryIO, path: Path) -> Header:
    # The header begins with attributes: a name, a type, a length and a value; the window of the picture is one of them.
    head = file.read(1 << 16)
    at = head.find(b"dataWindow\0box2i\0") + 22
    if at < 22:
        raise ValueError("its header is damaged")
    left, top, right, bottom = struct.unpack_from("<4i", head, at)
    return Header(right - left + 1, bottom - top + 1, 3, 32)


_PEEKERS: dict[Callable[[BinaryIO, Path, Wanted], Decoded], Callable[[BinaryIO, Path], Header]] = {
    _read_tiff: _peek_tiff,
    _read_jpeg: _peek_jpeg,
    _read_webp: _peek_webp,
    _read_heif: _peek_heif,
    _read_jpegxl: _peek_jpegxl,
    _read_pfm: _peek_pfm,
    _read_npy: _peek_npy,
    _read_fits: _peek_fits,
    _read_exr: _peek_exr,
    _read_common: _peek_common,
}
"""Who peeks into what another one reads."""
