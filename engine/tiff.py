"""Reading TIFF: one page of a file, whatever lies in it, and never a half picture."""

from __future__ import annotations

import dataclasses
import functools
import io
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image

from engine import jpegxl, scratch
from engine.language import tr
from engine.metadata import boxes, check_png, tiff_metadata
from engine.pages import TiffLayout, has_channels, planes_of, tiff_layout
from engine.photos import CMYK_NOTE, cmyk_to_rgb, jpeg_frame, webp_size
from engine.reading import (
    Decoded,
    Header,
    ImageError,
    Wanted,
    check_page,
    check_size,
    colours_last,
    full_range,
    raw_error,
    size_in_bytes,
    stored_samples,
    with_white,
)

_RGB_FROM_CODEC = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 50001, 50002, 52546}  # decoded YCbCr comes as RGB
_PLAIN = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000}  # that fill the memory they are given and no more
_CODED = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 34933, 50001, 50002, 52546}  # whole pictures inside

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins: in either order of bytes, with offsets of 32 or 64 bits."""


def is_tiff(file: BinaryIO) -> bool:
    """Whether a file begins as a TIFF; its position is then the start."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return head in TIFF_SIGNATURES


def read_tiff(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read one page of a TIFF file."""
    import tifffile

    # Its remarks on damaged files would appear beside our one sentence.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    notes: list[str] = []
    with tifffile.TiffFile(file, name=path.name) as tiff:
        layout = tiff_layout(file, tiff)
        check_page(path, wanted, layout.axes)
        page, plane = tiff_page(file, tiff, layout, wanted.page)
        check_tiff_page(page, path, size_in_bytes(file), wanted.huge)
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
            tr("{name} has an unknown arrangement of samples ({axes}); convert it to grey or RGB first").format(
                name=path.name, axes=page.axes
            )
        )
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]

    samples, white = with_white(samples, bits)
    opacity = None
    if extras and samples.ndim == 3:
        opacity, samples = samples[..., -1], samples[..., :-1]
        samples = samples[..., 0] if samples.shape[2] == 1 else samples
        opacity = full_range(opacity, (1 << bits) - 1) if bits <= 16 else opacity
    shown: Callable[[np.ndarray], np.ndarray] | None = None
    if photometric == 0 and (white > 1 or bits == 1):
        shown = functools.partial(np.subtract, samples.dtype.type(white))
    elif photometric == 3 and colormap is not None:
        table = (colormap >> 8 if colormap.max() > 255 else colormap).astype(np.uint8).T
        shown, white = functools.partial(_looked_up, table), 255
    elif photometric == 5:
        notes.append(CMYK_NOTE.format(path.name))
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
    return cmyk_to_rgb(picture, path)


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
        raise ImageError(
            tr("{name} has pages with different numbers of channels; save them one by one").format(
                name=tiff.filehandle.name
            )
        )
    return page, plane


_READ_AT_ONCE = 1 << 25  # bytes of strips or tiles; tifffile's own is 256 MB


def _tiff_samples(file: BinaryIO, page: Any, plane: int, layout: TiffLayout) -> np.ndarray:
    """(H, W) or (H, W, S) as stored: a page that fills its directory, or one plane of it."""
    separate, depth, height, width, together = page.shaped
    kind = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    size = height * width * together * kind.itemsize
    if layout.is_described_once:
        file.seek(page.dataoffsets[0] + plane * separate * depth * size)
        samples = stored_samples(file, (separate, height, width, together), kind)
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
                into[...] = stored_samples(file, into.shape, kind)
        else:
            _decode_slice(file, page, at, parts, samples)
        samples = samples[..., channel]
        samples = samples[..., None] if samples.ndim == 3 else samples
    if separate > 1 and len(samples) > 1:
        return colours_last(samples[..., 0], True)
    return colours_last(samples[0], False)


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
    check_size(path, page.imagewidth, page.imagelength, file_size, huge, planes_of(page))
    if page.is_tiled:
        check_size(path, page.tilewidth, page.tilelength, file_size, huge, page.tiledepth)
    photometric = page.photometric
    if not (isinstance(photometric, int) and isinstance(page.compression, int)):
        raise ImageError(
            tr("{name} is damaged: it says its colours or its compression more than once").format(name=path.name)
        )
    if 50706 in page.tags or photometric in (32803, 34892) or (330 in page.tags and page.subfiletype & 1):
        raise raw_error(path)
    if photometric in (8, 9, 10, 32844, 32845) or (photometric == 6 and page.compression not in _RGB_FROM_CODEC):
        name = getattr(photometric, "name", photometric)
        raise ImageError(
            tr("{name} stores its colours as {kind}; convert it to grey or RGB first").format(name=path.name, kind=name)
        )
    if page.compression not in _PLAIN | _CODED:
        name = getattr(page.compression, "name", page.compression)
        raise ImageError(
            tr("{name} is compressed by {kind}; save it with LZW, Deflate or no compression first").format(
                name=path.name, kind=name
            )
        )
    colours = {2: 3, 5: 4, 6: 3}.get(photometric, 1)
    extras = page.extrasamples
    is_alpha = page.samplesperpixel == colours + 1 and len(extras) == 1
    if page.samplesperpixel != colours and not is_alpha and not has_channels(page):
        raise ImageError(
            tr("{name} has {channels} channels; grey and RGB, with or without opacity, can be opened").format(
                name=path.name, channels=page.samplesperpixel
            )
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        raise ImageError(
            tr("{name} holds samples of an unknown or complex type; convert it to 8, 16 or float 32 bits").format(
                name=path.name
            )
        )
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset < 1 or count < 1 or offset + count > file_size:
            raise ImageError(tr("{name} is damaged: part of the picture is missing").format(name=path.name))


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
            raise ImageError(
                tr("{name} is damaged: a part of it claims {width} x {height} pixels").format(
                    name=path.name, width=width, height=height
                )
            )


def _coded_size(part: BinaryIO) -> tuple[int, int]:
    """Width and height that the data of a tile claim themselves; (0, 0) where no decoder would know them."""
    head = part.read(64)
    part.seek(0)
    if head.startswith(b"\xff\xd8"):
        return jpeg_frame(part)[2:]
    if head.startswith(b"\x89PNG"):
        return struct.unpack(">II", head[16:24])
    if head.startswith(b"RIFF"):
        return webp_size(part)
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        header = jpegxl.read_header(part)
        return header.width, header.height
    if head.startswith(b"\0\0\0\x0cjP  "):
        start = next((start for name, start, _ in boxes(part) if name == b"jp2c"), 0)
        part.seek(start)
        head = part.read(16)
    return struct.unpack(">II", head[8:16]) if head.startswith(b"\xff\x4f\xff\x51") else (0, 0)


def peek_tiff(file: BinaryIO, path: Path) -> Header:
    """What the first directory of a TIFF says, and how many pages the file has."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with tifffile.TiffFile(file, name=path.name) as tiff:
        page: Any = tiff.pages.first
        is_colour = page.photometric in (2, 5, 6) or (page.photometric == 3 and not tiff.is_imagej)
        bits = 8 * page.dtype.itemsize if page.dtype else page.bitspersample
        pages = tiff_layout(file, tiff).axes.pages
        return Header(page.imagewidth, page.imagelength, 3 if is_colour else 1, bits, pages)
