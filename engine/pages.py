"""Which pictures a file holds beside one another: pages, slices, channels and points in time."""

from __future__ import annotations

import io
import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from engine.language import tr

_MOST = 1 << 20  # pages
_CUT_OFF = tr("it is damaged, part of its pages is missing")


@dataclass(frozen=True)
class Axes:
    """How the pages of a stack are ordered.

    Attributes:
        names: of the axes that pages are counted along, the last one fastest, such as "TZC"; "Q" where it is unknown.
        shape: as many numbers; their product is the number of pages.
    """

    names: str = ""
    shape: tuple[int, ...] = ()

    @property
    def pages(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    def channel(self, page: int) -> int:
        """Which channel of a microscope a page shows; 0 where there are none."""
        if "C" not in self.names:
            return 0
        return int(np.unravel_index(page, self.shape)[self.names.index("C")])

    def alike(self, channel: int, most: int) -> list[int]:
        """At most so many pages of a channel, evenly spaced, first and last among them."""
        at = self.names.find("C")
        others = [side for axis, side in enumerate(self.shape) if axis != at]
        count = math.prod(others)
        chosen = sorted({round(place) for place in np.linspace(0, count - 1, min(most, count))})
        found = []
        for number in chosen:
            place = [int(index) for index in np.unravel_index(number, others)] if others else []
            if at >= 0:
                place.insert(at, channel)
            found.append(int(np.ravel_multi_index(place, self.shape)) if place else 0)
        return found


@dataclass(frozen=True)
class TiffLayout:
    """Where the pages of a TIFF file lie.

    Attributes:
        directories: the positions of those that hold whole pictures: no thumbnails, smaller copies or masks.
        left_out: how many others stand between them.
        planes: pages in each directory, which are slices or channels; or, of a single directory, all that lie behind
            its first page without one of their own.
        axes: of the pages.
    """

    directories: tuple[int, ...]
    left_out: int
    planes: int
    axes: Axes

    @property
    def is_described_once(self) -> bool:
        """Whether one directory stands for many pages, as ImageJ and tifffile write beyond 4 GB."""
        return len(self.directories) == 1 and self.axes.pages > self.planes


def tiff_layout(file: BinaryIO, tiff: Any) -> TiffLayout:
    """Find the pages of a TIFF file, without decoding any; ValueError where some of them are cut off.

    Args:
        file: open for reading.
        tiff: the `tifffile.TiffFile` of it.
    """
    directories, left_out = _directories(file)
    first = tiff.pages.first
    planes = planes_of(first)
    count = len(directories) * planes
    axes = _described(tiff, count, planes)
    return TiffLayout(tuple(directories), left_out, planes, axes)


def has_channels(page: Any) -> bool:
    """Whether the samples of a pixel are channels of a microscope: grey, and nothing says that one is an opacity."""
    return page.photometric in (0, 1) and page.samplesperpixel > 1 and any(e not in (1, 2) for e in page.extrasamples)


def planes_of(page: Any) -> int:
    """How many pages a directory holds: its slices times its channels."""
    return page.imagedepth * (page.samplesperpixel if has_channels(page) else 1)


def _directories(file: BinaryIO) -> tuple[list[int], int]:
    """The positions of the directories that hold whole pictures, and how many others there are; no loop is followed.

    ValueError where one that follows is not in the file: a stack whose end is cut off is no shorter stack.
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    length, step, pointer, at = ("Q", 20, "Q", 8) if is_big else ("H", 12, "I", 4)
    width = struct.calcsize(pointer)
    (at,) = struct.unpack_from(order + pointer, head, at)
    found: list[int] = []
    seen: set[int] = set()
    while 0 < at < end and at not in seen and len(seen) < _MOST:
        seen.add(at)
        file.seek(at)
        start = file.read(struct.calcsize(length))
        if len(start) < struct.calcsize(length):
            raise ValueError(_CUT_OFF)
        (count,) = struct.unpack(order + length, start)
        entries = file.read(count * step + width) if 1 <= count <= 4096 else b""
        if len(entries) < count * step + width or not entries:
            raise ValueError(_CUT_OFF)
        if len(seen) == 1 or not _subfile(entries, count, step, order) & 5:
            found.append(at)
        (at,) = struct.unpack_from(order + pointer, entries, count * step)
    if at and at not in seen:
        raise ValueError(_CUT_OFF)
    return found, len(seen) - len(found)


def _subfile(entries: bytes, count: int, step: int, order: str) -> int:
    """What a directory says of its picture: bit 0 that it is a smaller copy, bit 2 that it is a mask."""
    for at in range(0, count * step, step):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if tag == 254:
            return struct.unpack_from(
                order + ("I" if kind == 4 else "H"), entries, at + step - (8 if step == 20 else 4)
            )[0]
        if tag > 254:
            return 0
    return 0


def _described(tiff: Any, count: int, planes: int) -> Axes:
    """The axes as ImageJ, OME or tifffile describe them, where that fits the number of pages; else one without name."""
    first = tiff.pages.first
    inner = Axes()
    if planes > 1:
        depth, samples = first.imagedepth, planes // first.imagedepth
        parts = [("Z", depth), ("C", samples)]
        # Planes of their own lie outside the slices.
        parts = parts if first.planarconfig == 1 else parts[::-1]
        parts = [part for part in parts if part[1] > 1]
        inner = Axes("".join(name for name, _ in parts), tuple(side for _, side in parts))
    plain = Axes("Q" + inner.names, (count // planes, *inner.shape)) if count > planes else inner
    description = first.description if isinstance(first.description, str) else ""
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        sides = [int(said.get(name, 1)) for name in ("frames", "slices", "channels")]
        images = int(said.get("images", 1))
        if math.prod(sides) != images:
            sides = [images, 1, 1]
        if 1 <= images <= _MOST and (images == count or (count == 1 and _lies_behind(tiff, images))):
            return _without_ones("TZC", sides)
    elif tiff.is_ome:
        found = _ome_axes(description)
        if found is not None and found.pages == count and not inner.names:
            return found
    elif description.startswith('{"shape"') or '"axes"' in description[:200]:
        found = _json_axes(description, first.ndim)
        if (
            found is not None
            and count == 1
            and '"truncated": true' in description
            and not _lies_behind(tiff, found.pages)
        ):
            raise ValueError(_CUT_OFF)
        if (
            found is not None
            and 1 <= found.pages <= _MOST
            and (found.pages == count or (count == 1 and _lies_behind(tiff, found.pages)))
        ):
            return found
    return plain


def _without_ones(names: str, sides: list[int]) -> Axes:
    kept = [(name, side) for name, side in zip(names, sides, strict=True) if side > 1]
    return Axes("".join(name for name, _ in kept), tuple(side for _, side in kept))


def _lies_behind(tiff: Any, images: int) -> bool:
    """Whether so many pages lie as they are behind the position of the first; ValueError where some of them do."""
    page = tiff.pages.first
    if not (page.dtype and page.is_contiguous and page.fillorder == 1 and page.predictor == 1):
        return False
    start, size = page.dataoffsets[0], math.prod(page.shaped) * page.dtype.itemsize
    if start + images * size <= tiff.filehandle.size:
        return True
    # A page that was copied out of a stack together with its description has nothing behind it.
    if page.offset < start and start + 2 * size <= tiff.filehandle.size:
        raise ValueError(_CUT_OFF)
    return False


def _ome_axes(xml: str) -> Axes | None:
    """The axes of the first picture of OME-XML; None where they are not said."""
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    said = dict(re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)", pixels[0])) if pixels else {}
    order = said.get("DimensionOrder", "")
    samples = re.search(r"SamplesPerPixel\s*=\s*[\"'](\d+)", xml)
    try:
        sides = {name: int(said[f"Size{name}"]) for name in "ZCT"}
        sides["C"] //= int(samples[1]) if samples else 1
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    if sorted(order) != sorted("XYZCT") or min(sides.values()) < 1:
        return None
    names = order[:1:-1]  # the last is the slowest
    return _without_ones(names, [sides[name] for name in names])


def _json_axes(text: str, inside: int) -> Axes | None:
    """The axes that tifffile describes; of the last ones, as many as a page has, none is counted."""
    try:
        said = json.loads(text)
        shape = [int(side) for side in said["shape"]][:-inside]
        names = said.get("axes", "")[: len(shape)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if min(shape, default=1) < 1:
        return None
    names = (
        names if len(names) == len(shape) and len(set(names)) == len(names) and names.isalpha() else "Q" * len(shape)
    )
    return _without_ones(names.upper(), shape)


@dataclass(frozen=True)
class ArrayLayout:
    """How pictures lie in an array that is stored row by row.

    Attributes:
        leading: the axes that pages are counted along.
        page: of one picture: (height, width), (height, width, colours) or, where planar, (colours, height, width).
        is_planar: whether the colours come first.
    """

    leading: tuple[int, ...]
    page: tuple[int, ...]
    is_planar: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.page[1:] if self.is_planar else self.page[:2]  # type: ignore[return-value]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if len(self.page) == 2 else self.page[0 if self.is_planar else 2]

    @property
    def axes(self) -> Axes:
        """Of the pages."""
        return Axes("Q" * len(self.leading), self.leading)


def array_layout(shape: tuple[int, ...]) -> ArrayLayout:
    """The last two axes are a picture, or the last three where the last or the first of these has 1 or 3 entries.

    Args:
        shape: at least two numbers.
    """
    one = shape
    while len(one) > 3 or (len(one) == 3 and one[0] not in (1, 3) and one[2] not in (1, 3)):
        one = one[1:]
    is_planar = len(one) == 3 and one[2] not in (1, 3)
    return ArrayLayout(shape[: len(shape) - len(one)], one, is_planar)
