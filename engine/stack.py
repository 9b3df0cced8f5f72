"""Saving the pages of a stack one by one: a volume, a film or a scanned document is never in memory as a whole."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import tifffile

from engine.arrays import array_stack
from engine.encode import AS_INPUT, Encoding, encoded, needs_bigtiff
from engine.files import replacing
from engine.image import Image
from engine.language import tr
from engine.metadata import append_exif, as_saved, read_directories
from engine.pages import ArrayLayout, Axes, has_channels, tiff_layout
from engine.reading import ImageError, foreign_errors
from engine.tiff import is_tiff, tiff_page

_TIFF = (".tif", ".tiff")
_DIRECTORY = 1 << 10  # bytes of a page's, about


def holds_pages(path: Path, image: Image) -> bool:
    """Whether `StackWriter` can write all pages of a picture's file under this name."""
    suffix = path.suffix.lower()
    return suffix in _TIFF or (suffix == ".npy" and image.metadata.format != "TIFF")


class StackWriter:
    """A context in which every page of a stack is added once, in order; the file appears when it ends without error.

    Used as `with StackWriter(path, like, how) as stack: stack.add(image)`. Leaving it before all pages were added is an
    ImageError, and then, as after any other error, nothing appears under the name.

    A TIFF has the axes, the type and the descriptions of `like`: OME-XML, ImageJ's properties, labels, ranges and
    colours. ImageJ's are not compressed, because it cannot open such stacks. Smaller copies of the pages, and the EXIF
    data of all pages but the first, are left out.
    """

    def __init__(
        self,
        path: str | Path,
        like: str | Path,
        how: Encoding = AS_INPUT,
        seal: Callable[[Path], object] | None = None,
    ) -> None:
        """Take the name of the new file and that of the file whose pages are added.

        Args:
            path: ends in .tif or .tiff; or, where `like` is a NumPy array or FITS cube, in .npy.
            like: the stack that the pages come from: TIFF, NumPy or FITS. It is read until the context ends.
            how: as for `save_image`; without `bits` each page keeps its type.
            seal: called with the complete file under its temporary name, just before it takes its place.
        """
        self.path, self.like, self.how = Path(path), Path(like), how
        self._seal = seal
        self._open = contextlib.ExitStack()
        self._added = 0

    def __enter__(self) -> StackWriter:
        """Open both files; ImageError if `like` is no stack, or its type of file cannot hold one."""
        with foreign_errors(self.path, tr("cannot be saved")), contextlib.ExitStack() as opened:
            # In this order: where `like` itself is replaced, it is closed by then, as Windows wants it.
            temporary = opened.enter_context(replacing(self.path, self._seal))
            source = opened.enter_context(self.like.open("rb"))
            target = opened.enter_context(temporary.open("xb+"))
            suffix = self.path.suffix.lower()
            if suffix in _TIFF and is_tiff(source):
                self._pages: _Pages = _TiffPages(target, opened, source, self.like.name)
            elif suffix in _TIFF:
                self._pages = _NewTiffPages(target, opened, array_stack(source, self.like))
            elif suffix == ".npy" and not is_tiff(source):
                self._pages = _ArrayPages(target, array_stack(source, self.like))
            else:
                raise ImageError(
                    tr("{name} cannot hold the pages of {original}; save a .tif instead").format(
                        name=self.path.name, original=self.like.name
                    )
                )
            self._open = opened.pop_all()
        return self

    def add(self, image: Image) -> None:
        """Write the next page; ImageError if it is not the one that comes next or cannot be written."""
        with foreign_errors(self.path, tr("cannot be saved")):
            if image.page != self._added or self._added >= self._pages.axes.pages:
                raise ImageError(
                    tr("{name} cannot be saved: page {page} came where {added} was due").format(
                        name=self.path.name, page=image.page, added=self._added
                    )
                )
            self._pages.add(image, encoded(image, self.path, self.how), self.how)
            self._added += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the file take its place if all is there."""
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with foreign_errors(self.path, tr("cannot be saved")), self._open:
            if self._added != self._pages.axes.pages:
                raise ImageError(
                    tr("{name} cannot be saved: {added} of {pages} pages came").format(
                        name=self.path.name, added=self._added, pages=self._pages.axes.pages
                    )
                )
            self._pages.complete()


class _Pages(ABC):
    """A file to which pages are written in order.

    Attributes:
        axes: of the pages.
    """

    axes: Axes

    @abstractmethod
    def add(self, image: Image, samples: np.ndarray, how: Encoding) -> None:
        """Write the page with these samples, (H, W) or (H, W, C)."""

    @abstractmethod
    def complete(self) -> None:
        """Write what belongs behind the last page."""


class _ArrayPages(_Pages):
    """An array in the order of `like`'s axes."""

    def __init__(self, target: BinaryIO, layout: ArrayLayout) -> None:
        self._target, self._layout, self.axes = target, layout, layout.axes

    def add(self, image: Image, samples: np.ndarray, how: Encoding) -> None:
        kind = samples.dtype.newbyteorder("<")
        layout = self._layout
        if image.page == 0:
            said = {"descr": kind.str, "fortran_order": False, "shape": layout.leading + layout.page}
            np.lib.format.write_array_header_1_0(self._target, said)
        samples = np.moveaxis(samples, -1, 0) if layout.is_planar and samples.ndim == 3 else samples
        self._target.write(np.ascontiguousarray(samples.reshape(layout.page), kind).data)

    def complete(self) -> None:
        self._target.flush()


class _NewTiffPages(_Pages):
    """A TIFF whose pages have no other description than their number along each axis."""

    def __init__(self, target: BinaryIO, opened: contextlib.ExitStack, layout: ArrayLayout) -> None:
        self._target, self._opened, self.axes = target, opened, layout.axes
        self._writer: tifffile.TiffWriter | None = None

    def add(self, image: Image, samples: np.ndarray, how: Encoding) -> None:
        if self._writer is None:
            is_big = needs_bigtiff(self.axes.pages * (samples.nbytes + _DIRECTORY), how.compression)
            self._writer = self._opened.enter_context(tifffile.TiffWriter(self._target, bigtiff=is_big, byteorder="<"))
        description = _shape_description(self.axes, samples) if image.page == 0 else None
        self._writer.write(samples, description=description, **_storage(image, samples, how))

    def complete(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _TiffPages(_Pages):
    """A TIFF with the directories and descriptions of another one."""

    def __init__(self, target: BinaryIO, opened: contextlib.ExitStack, source: BinaryIO, name: str) -> None:
        # Its remarks on damaged files would appear beside our one sentence.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
        self._target, self._opened, self._source = target, opened, source
        self._like = opened.enter_context(tifffile.TiffFile(source, name=name))
        self._layout = tiff_layout(source, self._like)
        self.axes = self._layout.axes
        self._writer: tifffile.TiffWriter | None = None
        self._channels: list[np.ndarray] = []
        self._exif: bytes | None = None

    def add(self, image: Image, samples: np.ndarray, how: Encoding) -> None:
        page, _ = tiff_page(self._source, self._like, self._layout, image.page)
        options = _storage(image, samples, how)
        is_upright = (image.height, image.width) == (page.imagelength, page.imagewidth)
        if is_upright and 282 in page.tags and 283 in page.tags:
            options["resolution"] = (page.tags[282].value, page.tags[283].value)
            options["resolutionunit"] = int(page.resolutionunit)
        if has_channels(page) and page.imagedepth == 1:
            # The channels of a pixel lie in one directory, as they did.
            self._channels.append(samples)
            if len(self._channels) < page.samplesperpixel:
                return
            is_separate = page.planarconfig == 2
            samples = np.stack(self._channels, axis=0 if is_separate else -1)
            self._channels.clear()
            options["planarconfig"] = "separate" if is_separate else "contig"
            options["extrasamples"] = (0,) * (page.samplesperpixel - 1)
        if self._like.is_imagej:
            options |= {"compression": None, "predictor": None, "contiguous": True}
            if page.photometric == 3 and page.colormap is not None and samples.dtype == np.uint8:
                options |= {"photometric": "palette", "colormap": page.colormap}
        if self._writer is None:
            beside = _DIRECTORY + sum(len(data or b"") for data in (options["iccprofile"], image.metadata.xmp))
            is_big = needs_bigtiff(self._size(samples, how) + self.axes.pages * beside, how.compression)
            tags = self._imagej_tags()
            order = self._like.byteorder if tags else "<"
            self._writer = self._opened.enter_context(
                tifffile.TiffWriter(self._target, bigtiff=is_big, byteorder=order)
            )
            description = self._description(samples, is_upright)
            options["description"] = description
            options["extratags"] = [*options["extratags"], *tags]
            if order == "<":
                self._exif = as_saved(image.metadata, how.keep_place).exif
        else:
            options["extratags"] = [*options["extratags"], *_texts(image)]
        self._writer.write(samples, **options)

    def complete(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._exif:
            append_exif(self._target, self._exif)

    def _size(self, samples: np.ndarray, how: Encoding) -> int:
        """Bytes of all samples, about."""
        if self._layout.is_described_once or self._layout.planes > 1:
            return self.axes.pages * samples.nbytes
        total = 0
        for number in range(self.axes.pages):
            page, _ = tiff_page(self._source, self._like, self._layout, number)
            colours = 3 if page.photometric == 3 else page.samplesperpixel
            total += page.imagelength * page.imagewidth * colours * (how.bits or 8 * page.dtype.itemsize) // 8
        return total

    def _raw(self, tag: int) -> bytes:
        """The value of a field of the first directory as it is stored; empty where there is none."""
        field = self._like.pages.first.tags.get(tag)
        if field is None:
            return b""
        self._source.seek(field.valueoffset)
        return self._source.read(field.valuebytecount)

    def _imagej_tags(self) -> list[tuple[int, int, int, bytes, bool]]:
        """ImageJ's properties, labels, ranges and colours, with the lengths of their parts."""
        if not self._like.is_imagej or not self._raw(50839):
            return []
        lengths, values = self._raw(50838), self._raw(50839)
        return [(50838, 4, len(lengths) // 4, lengths, True), (50839, 1, len(values), values, True)]

    def _description(self, samples: np.ndarray, is_upright: bool) -> bytes | None:
        """What the first page says of all, as far as it is still true."""
        first, said = self._like.pages.first, self._raw(270).rstrip(b"\0")
        if is_upright and not self._layout.left_out and first.imagedepth == 1:
            if self._like.is_imagej:
                return said
            if self._like.is_ome and _is_alone(said):
                return _ome(said, samples.dtype)
            if self._like.is_shaped and samples.shape == first.shape and not self._layout.is_described_once:
                return said
        if len(self.axes.shape) > 1 or first.imagedepth > 1:
            return _shape_description(self.axes, samples)
        return None


def _is_alone(xml: bytes) -> bool:
    """Whether OME-XML describes no other files beside its own."""
    files = set(re.findall(rb"<(?:\w+:)?UUID\b[^<>]*FileName\s*=\s*[\"']([^\"']*)", xml))
    return len(files) < 2 and b"BinaryOnly" not in xml


_OME_TYPES = {"float32": "float", "float64": "double"}


def _ome(xml: bytes, kind: np.dtype) -> bytes:
    """OME-XML for a new file with samples of that type: identities and names of files are those of the old one."""
    xml = re.sub(rb"<((?:\w+:)?UUID)\b[^<>]*>[^<]*</\1\s*>", b"", xml)
    xml = re.sub(rb"(<(?:\w+:)?OME\b[^<>]*?)\sUUID\s*=\s*(?:\"[^\"]*\"|'[^']*')", rb"\1", xml)
    name = _OME_TYPES.get(kind.name, kind.name).encode()
    for attribute, value in ((b"Type", name), (b"BigEndian", b"false")):
        xml = re.sub(rb"(<(?:\w+:)?Pixels\b[^<>]*?\s" + attribute + rb"\s*=\s*[\"'])[^\"']*", rb"\g<1>" + value, xml)
    return xml


def _shape_description(axes: Axes, samples: np.ndarray) -> bytes:
    """The axes in the words of tifffile."""
    said: dict[str, Any] = {"shape": [*axes.shape, *samples.shape]}
    if "Q" not in axes.names:
        said["axes"] = axes.names + "YXS"[: samples.ndim]
    return json.dumps(said).encode()


def _storage(image: Image, samples: np.ndarray, how: Encoding) -> dict[str, Any]:
    """What tifffile is told of a page."""
    metadata = as_saved(image.metadata, how.keep_place)
    compression = {"none": None, "lzw": "lzw", "zstd": "zstd"}.get(how.compression, "adobe_deflate")
    kept = ((700, 1, metadata.xmp), (33723, 7, metadata.iptc))
    options: dict[str, Any] = {
        "photometric": "rgb" if image.channels == 3 else "minisblack",
        "planarconfig": None if samples.ndim == 2 else "contig",
        "compression": compression,
        "predictor": compression is not None and samples.dtype.kind != "f" and samples.itemsize <= 4,
        "iccprofile": metadata.icc,
        "extratags": [(tag, kind, len(data), data, True) for tag, kind, data in kept if data],
        "metadata": None,
        "software": False,
    }
    if samples.ndim == 3 and samples.shape[2] > image.channels:
        options["extrasamples"] = ["assocalpha" if metadata.premultiplied else "unassalpha"]
    if metadata.dpi:
        options |= {"resolution": metadata.dpi, "resolutionunit": "inch"}
    return options


def _texts(image: Image) -> list[tuple[int, int, int, bytes, bool]]:
    """Who made a page, when, and what it shows, from the first directory of its EXIF block."""
    try:
        first = read_directories(io.BytesIO(image.metadata.exif or b"")).first
    except ValueError:
        return []
    return [
        (tag, field.kind, field.count, field.values, True) for tag, field in first.items() if field.kind in (1, 2, 7)
    ]
