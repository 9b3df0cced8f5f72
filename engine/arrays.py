"""Reading plain arrays of numbers: NumPy, FITS, PFM and OpenEXR."""

from __future__ import annotations

import io
import math
import re
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.language import tr
from engine.metadata import Metadata
from engine.pages import ArrayLayout, Axes, array_layout
from engine.reading import (
    Decoded,
    Header,
    ImageError,
    Wanted,
    check_page,
    check_size,
    colours_last,
    size_in_bytes,
    stored_samples,
    with_white,
)


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
        raise ImageError(
            tr("{name} is no stack of pages; TIFF, NumPy arrays and FITS cubes can be").format(name=path.name)
        )
    return array_layout(shape)


def read_npy(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read one picture of a NumPy array, stored row by row or column by column."""
    shape, is_fortran, kind = npy_header(file)
    if is_fortran and len(shape) > 1:
        # Stored column by column, one picture lies all over the file.
        _check_array(path, shape, kind)
        layout = array_layout(shape)
        height, width = layout.size
        check_size(path, width, height, size_in_bytes(file), wanted.huge)
        check_page(path, wanted, layout.axes)
        whole = stored_samples(file, shape[::-1], kind).T
        place = np.unravel_index(wanted.page, layout.leading) if layout.leading else ()
        samples, axes = colours_last(whole[tuple(int(at) for at in place)], layout.is_planar), layout.axes
    else:
        samples, axes = _read_array(file, path, shape, kind, wanted)
    samples, white = with_white(samples, 8 * kind.itemsize)
    return Decoded(samples, Metadata(format="NPY"), white, axes=axes)


def npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is stored column by column, and type of a NumPy file; the position is then that of the data."""
    major, _ = np.lib.format.read_magic(file)
    return (np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0)(file)


def read_fits(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
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
        samples, white = with_white(samples, abs(bits))
    return Decoded(samples, Metadata(format="FITS"), white, _FROM_BELOW, axes=pages, shown=shown)


def _fits_picture(file: BinaryIO, path: Path) -> tuple[dict[str, str], int, list[int]]:
    """Keywords, bits a sample and sides of the first picture, at whose data the position then is."""
    while True:
        cards = _fits_cards(file)
        if cards.get("ZIMAGE") == "T":
            raise ImageError(
                tr("{name} is a compressed FITS file; unpack it with funpack first").format(name=path.name)
            )
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
    raise ValueError(tr("it holds no picture"))


def _read_array(
    file: BinaryIO, path: Path, shape: tuple[int, ...], kind: np.dtype, wanted: Wanted
) -> tuple[np.ndarray, Axes]:
    """(H, W) or (H, W, 3), one picture of an array that is stored row by row, colours last or first."""
    _check_array(path, shape, kind)
    layout = array_layout(shape)
    height, width = layout.size
    check_size(path, width, height, size_in_bytes(file), wanted.huge)
    check_page(path, wanted, layout.axes)
    if math.prod(shape) * kind.itemsize > size_in_bytes(file) - file.tell():
        raise ValueError(tr("the file ends too early"))
    file.seek(wanted.page * math.prod(layout.page) * kind.itemsize, io.SEEK_CUR)
    return colours_last(stored_samples(file, layout.page, kind), layout.is_planar), layout.axes


def _check_array(path: Path, shape: tuple[int, ...], kind: np.dtype) -> None:
    if len(shape) < 2 or 0 in shape or kind.kind not in "buif":
        raise ImageError(
            tr(
                "{name} holds {kind} of shape {shape}; a picture has numbers, (height, width) or (height, width, 3)"
            ).format(name=path.name, kind=kind, shape=shape)
        )


_FROM_BELOW = 4  # the orientation of files whose first row is the lowest


def read_pfm(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read a PFM, whose samples are 32-bit floats."""
    header = _pfm_header(file)
    width, height = int(header[2]), int(header[3])
    check_size(path, width, height, size_in_bytes(file), wanted.huge)
    file.seek(header.end())
    shape = (height, width, 3) if header[1] == b"F" else (height, width)
    samples = stored_samples(file, shape, "<f4" if header[4].startswith(b"-") else ">f4")
    return Decoded(samples, Metadata(format="PFM"), 1, _FROM_BELOW)


def _pfm_header(file: BinaryIO) -> re.Match[bytes]:
    """Kind, width, height and scale; ValueError if it is damaged."""
    header = re.match(rb"P([Ff])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s", file.read(128))
    if not header:
        raise ValueError(tr("its header is damaged"))
    return header


def read_exr(file: BinaryIO, path: Path, wanted: Wanted) -> Decoded:
    """Read the RGB or Y channels, and A, of an OpenEXR file; ImageError where the library is missing."""
    try:
        import OpenEXR  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImageError(
            tr("{name} needs OpenEXR, which comes with the extra pellucid[science]").format(name=path.name)
        ) from None

    low, high = OpenEXR.File(str(path), header_only=True).header()["dataWindow"]
    check_size(path, int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1, size_in_bytes(file), wanted.huge)
    with OpenEXR.File(str(path), separate_channels=True) as opened:
        planes = {name: channel.pixels for name, channel in opened.channels().items()}
    colours = next((names for names in ("RGB", "Y") if planes.keys() >= set(names)), None)
    if not colours:
        raise ImageError(
            tr("{name} has the channels {planes}; R, G, B or Y, and A, can be opened").format(
                name=path.name, planes=", ".join(planes)
            )
        )
    samples = np.stack([planes[name] for name in colours], axis=-1)
    metadata = Metadata(format="EXR", premultiplied="A" in planes)
    return Decoded(samples.astype(np.float32), metadata, 1, 1, planes.get("A"))


def peek_npy(file: BinaryIO, path: Path) -> Header:
    """What the header of a NumPy array says."""
    shape, _, kind = npy_header(file)
    _check_array(path, shape, kind)
    layout = array_layout(shape)
    return Header(*layout.size[::-1], layout.channels, 8 * kind.itemsize, layout.axes.pages)


def peek_fits(file: BinaryIO, path: Path) -> Header:
    """What the header of the first picture or cube of a FITS file says."""
    _, bits, axes = _fits_picture(file, path)
    layout = array_layout(tuple(axes[::-1]))
    return Header(*layout.size[::-1], layout.channels, abs(bits), layout.axes.pages)


def peek_pfm(file: BinaryIO, path: Path) -> Header:
    """What the header of a PFM says."""
    header = _pfm_header(file)
    return Header(int(header[2]), int(header[3]), 3 if header[1] == b"F" else 1, 32)


def peek_exr(file: BinaryIO, path: Path) -> Header:
    """What the header of an OpenEXR file says of the window that holds its samples."""
    # The header begins with attributes: a name, a type, a length and a value; the window of the picture is one of them.
    head = file.read(1 << 16)
    at = head.find(b"dataWindow\0box2i\0") + 22
    if at < 22:
        raise ValueError(tr("its header is damaged"))
    left, top, right, bottom = struct.unpack_from("<4i", head, at)
    return Header(right - left + 1, bottom - top + 1, 3, 32)
