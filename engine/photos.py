"""Reading the pictures of cameras and browsers: what Pillow knows, with all its bits, JPEG XL and HEIC."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import logging
import math
import re
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

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

from engine import jpegxl
from engine.language import tr
from engine.metadata import Metadata, box_metadata, check_png, exif_orientation, exif_resolution, iptc_from_text
from engine.reading import (
    RAW,
    Decoded,
    Header,
    ImageError,
    Wanted,
    check_size,
    full_range,
    raw_error,
    size_in_bytes,
    stored_samples,
)

_log = logging.getLogger(__name__)

HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
"""Whether HEIC and HEIF can be read."""

_NO_HEIF = tr("is a HEIC picture, which this installation cannot read; install pillow-heif, or export it as TIFF")

# No EPS, WMF, TGA and the like: they start other programs, have no signature, or are cut to 8 bits unsaid.
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "AVIF", "JPEG2000")

_OTHER_TYPES = {
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"\x89HDF": "HDF5",
    b"PK\x03\x04": tr("ZIP archive"),
    b"<svg": "SVG",
    b"<?xml": "SVG",
}

_bomb_limit = threading.Lock()


def open_pillow(file: BinaryIO) -> PIL.Image.Image:
    """Pillow's view of a file, nothing decoded yet."""
    # Its own limit starts to warn at 89 megapixels, which cameras reach; check_size comes right after.
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
        return 1 + sum(jpeg_frame(file, at)[2:] == picture.size for at in others)
    return 1


def _known_to_pillow(file: BinaryIO, path: Path) -> PIL.Image.Image:
    head = file.read(64)
    file.seek(0)
    try:
        return open_pillow(file)
    except PIL.UnidentifiedImageError:
        if path.suffix.lower() in RAW:
            raise raw_error(path) from None
        for signature, name in _OTHER_TYPES.items():
            if head.startswith(signature):
                raise ImageError(
                    tr("{name} is of type {kind}, which cannot be opened; export it as TIFF").format(
                        name=path.name, kind=name
                    )
                ) from None
        known = "JPEG, PNG, TIFF, WebP, BMP, GIF, PNM, AVIF, JPEG 2000, JPEG XL, FITS, NumPy"
        known += tr(" and HEIC") if HAS_HEIF else ""
        raise ImageError(
            tr("{name} is damaged or not a picture of a known type; these can be opened: {known}").format(
                name=path.name, known=known
            )
        ) from None


def read_common(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read what Pillow knows; samples of more than 8 bits through other libraries, because Pillow cuts RGB to 8."""
    picture = _known_to_pillow(file, path)
    with picture:
        check_size(path, *picture.size, size_in_bytes(file), wanted.huge)
        notes = []
        if (count := _pictures(picture, file)) > 1:
            notes.append(
                tr("{name} holds {count} pictures; only the first is used").format(name=path.name, count=count)
            )
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
        raise ValueError(tr("its data are damaged"))
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
        return stored_samples(file, shape, ">u2"), white, None
    data = np.array(file.read().split()[: math.prod(shape)], np.uint16)
    if data.size != math.prod(shape):
        raise ValueError(tr("the file ends too early"))
    return data.reshape(shape), white, None


def _deep_jpeg2000(file: BinaryIO, picture: PIL.Image.Image) -> _Samples | None:
    import imagecodecs

    file.seek(0)
    data = file.read()
    at = data.find(b"\xff\x4f\xff\x51")  # the start of the codestream and its SIZ segment
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    if (right - left, bottom - top) != picture.size:
        raise ValueError(tr("its headers contradict each other"))
    (count,) = struct.unpack_from(">H", data, at + 40)
    depths = set(data[at + 42 : at + 42 + 3 * count : 3])
    # Luma and chroma, and inks, are left to Pillow.
    if max(depths) <= 7 or b"colr\1\0\0\0\0\0\x12" in data[:at] or picture.mode == "CMYK":
        return None
    if len(depths) > 1 or count > 4:
        raise ValueError(
            tr("its {count} channels are too many, or differ in depth; export it as TIFF first").format(count=count)
        )
    # Without its boxes: a profile in them would be applied.
    samples = imagecodecs.jpeg2k_decode(data[at:])
    opacity = samples[..., -1] if count in (2, 4) else None
    if opacity is not None:
        samples = samples[..., 0] if count == 2 else samples[..., :-1]
    if samples.dtype.kind == "i":
        return samples, 1, opacity
    white = (2 << depths.pop()) - 1
    return samples, white, full_range(opacity, white)


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
        return colours, white, full_range(samples[..., -1], white)
    return samples, white, None


_DEEP: dict[str | None, Callable[[BinaryIO, PIL.Image.Image], _Samples | None]] = {
    "PNG": _deep_png,
    "PPM": _deep_pnm,
    "JPEG2000": _deep_jpeg2000,
    "AVIF": _deep_avif,
}
"""By Pillow's names: who reads more than 8 bits a sample; they give None for pictures of 8."""


def _pillow_samples(picture: PIL.Image.Image, path: Path, notes: list[str]) -> _Samples:
    """The grey or RGB samples of a decoded 8-bit picture."""
    mode = picture.mode
    transparent = "transparency" in picture.info
    if mode == "CMYK":
        notes.append(CMYK_NOTE.format(path.name))
        return cmyk_to_rgb(picture, path), 255, None
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
        raise ImageError(
            tr("{name} stores its colours as {mode}; convert it to grey or RGB first").format(name=path.name, mode=mode)
        )
    if wanted != mode:
        picture = picture.convert(wanted)
    samples = np.asarray(picture)
    if wanted in ("LA", "RGBA"):
        return (samples[..., 0] if wanted == "LA" else samples[..., :3]), 255, samples[..., -1]
    return samples, 255, None


CMYK_NOTE = tr("{} is CMYK; it was converted to 8-bit RGB")
"""What the notes of a picture say of such colours; the name of the file goes in."""


def cmyk_to_rgb(picture: PIL.Image.Image, path: Path) -> np.ndarray:
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


def read_jpeg(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read a JPEG; one of 12 bits is shown to Pillow as if it had 8, for its metadata, and decoded elsewhere."""
    at, bits, *_ = jpeg_frame(file)
    file.seek(0)
    if bits != 12:
        return read_common(file, path, wanted)
    import imagecodecs

    data = file.read()
    if data.rfind(b"\xff\xd9") < at:
        raise ValueError(tr("the file ends too early"))
    with open_pillow(io.BytesIO(data[:at] + b"\x08" + data[at + 1 :])) as picture:
        check_size(path, *picture.size, len(data), wanted.huge)
        if picture.mode not in ("L", "RGB"):
            raise ImageError(
                tr("{name} stores its colours as {mode}; convert it to grey or RGB first").format(
                    name=path.name, mode=picture.mode
                )
            )
        metadata = _pillow_metadata(picture, [])
    samples = imagecodecs.jpeg8_decode(data)
    return Decoded(samples, metadata, 4095, exif_orientation(metadata.exif))


def jpeg_frame(file: BinaryIO, start: int = 0) -> tuple[int, int, int, int]:
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


def read_webp(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read a WebP; its size is looked at before Pillow, which takes memory for it when it opens one."""
    check_size(path, *webp_size(file), size_in_bytes(file), wanted.huge)
    file.seek(0)
    return read_common(file, path, wanted)


def webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height that the header of a WebP claims, of the whole canvas where it has one."""
    head = file.read(32).ljust(32, b"\0")
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def read_jpegxl(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read the first picture of a JPEG XL file; its size is looked at before the decoder sees it."""
    import imagecodecs

    header = jpegxl.read_header(file)
    check_size(path, header.width, header.height, size_in_bytes(file), wanted.huge)
    if header.colours not in (1, 3) or header.others > header.has_opacity:
        raise ImageError(
            tr("{name} has {colours} channels; export it as TIFF first").format(
                name=path.name, colours=header.colours + header.others
            )
        )
    notes = []
    if header.is_animated:
        notes.append(tr("{name} holds several pictures; only the first is used").format(name=path.name))
    if not header.is_srgb:
        notes.append(
            tr("{name} is not in sRGB; its samples are kept, but its colours may be shown differently").format(
                name=path.name
            )
        )
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
    return Decoded(samples, metadata, white, 1, full_range(opacity, white))


def read_heif(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read the main picture of a HEIC file; ImageError where the library is missing."""
    if not HAS_HEIF:
        raise ImageError(f"{path.name} {_NO_HEIF}")
    import pillow_heif

    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    check_size(path, *container.size, size_in_bytes(file), wanted.huge)
    samples = np.asarray(container)
    mode, _, depth = container.mode.partition(";")
    if mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(
            tr("{name} stores its colours as {mode}; export it as TIFF first").format(
                name=path.name, mode=container.mode
            )
        )
    opacity = samples[..., -1] if mode.endswith("A") else None
    if mode in ("LA", "RGBA"):
        samples = samples[..., 0] if mode == "LA" else samples[..., :3]
    info = container.info
    exif = info.get("exif") or None
    count = len(container)
    notes = (
        (tr("{name} holds {count} pictures; only the main one is used").format(name=path.name, count=count),)
        if count > 1
        else ()
    )
    metadata = Metadata(
        exif.removeprefix(b"Exif\0\0") if exif else None,
        info.get("xmp") or None,
        info.get("icc_profile") or None,
        format="HEIF",
        notes=notes,
    )
    # The container's own rotation is applied already, and the EXIF tag beside it does not count.
    return Decoded(samples, metadata, 65535 if depth else 255, 1, opacity)


def peek_common(file: BinaryIO, path: Path) -> Header:
    """What Pillow says of a picture before it decodes it, and how many bits the file says it has."""
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


def peek_jpeg(file: BinaryIO, path: Path) -> Header:
    """What the frame of a JPEG says."""
    at, bits, width, height = jpeg_frame(file)
    if not at:
        raise ValueError(tr("its data are damaged"))
    file.seek(at + 5)
    return Header(width, height, 1 if file.read(1) == b"\1" else 3, 8 if bits == 8 else 16)


def peek_webp(file: BinaryIO, path: Path) -> Header:
    """What the header of a WebP says."""
    return Header(*webp_size(file), 3, 8)


def peek_jpegxl(file: BinaryIO, path: Path) -> Header:
    """What the header of a JPEG XL file says."""
    header = jpegxl.read_header(file)
    return Header(
        header.width, header.height, header.colours, 8 if header.bits <= 8 else 16 if header.bits <= 16 else 32
    )


def peek_heif(file: BinaryIO, path: Path) -> Header:
    """What the container of a HEIC says of its main picture; ImageError where the library is missing."""
    if not HAS_HEIF:
        raise ImageError(f"{path.name} {_NO_HEIF}")
    import pillow_heif

    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
    mode, _, depth = container.mode.partition(";")
    return Header(*container.size, 1 if mode in ("L", "LA") else 3, 16 if depth else 8)
