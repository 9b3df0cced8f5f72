"""What all readers of picture files share: the errors that users see, what they find, and the sizes they refuse."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from engine import scratch
from engine.language import tr
from engine.metadata import Metadata
from engine.pages import Axes

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
            tr(
                "{name} has {width} x {height} pixels, more than {most} megapixels; the window opens "
                "it after asking, the command line with --huge"
            ).format(name=path.name, width=width, height=height, most=_LARGEST // 1000000)
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
"""The first picture of a file, if it is not huge."""


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
def foreign_errors(path: Path, failed: str) -> Iterator[None]:
    """Turn whatever a decoder or the file system raises into one ImageError."""
    try:
        yield
    except ImageError:
        raise
    except scratch.NoRoom as error:
        raise ImageError(f"{path.name} {failed}: {error}") from error
    except MemoryError as error:
        raise ImageError(
            tr("{name} {failed}: it needs more memory than is available").format(name=path.name, failed=failed)
        ) from error
    except OSError as error:
        raise ImageError(f"{path.name} {failed}: {error.strerror or _sentence(error)}") from error
    # Four decoder libraries meet hostile files here; they have raised KeyError, TypeError and struct.error alike.
    except Exception as error:
        raise ImageError(f"{path.name} {failed}: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """The first line of what a library said, where it says something to people."""
    lines = str(error).strip().splitlines()
    if not lines or isinstance(error, LookupError | TypeError | AttributeError | cv2.error):
        return tr("its data are damaged")
    return lines[0][:200]


def raw_error(path: Path) -> CameraRaw:
    """What is said where a picture was expected and a camera's RAW file came."""
    return CameraRaw(tr("{name} is a camera RAW file, which has to be developed").format(name=path.name))


def check_size(path: Path, width: int, height: int, file_size: int, huge: bool = False, planes: int = 1) -> None:
    """Refuse small files that claim to be large, and what is too large, before anything is allocated for them.

    Args:
        path: of the file.
        width, height: of one picture, in pixels.
        file_size: in bytes.
        huge: whether it may be larger than is opened without asking.
        planes: of that size that lie together.
    """
    if width < 1 or height < 1:
        raise ImageError(
            tr("{name} is damaged: it claims a size of {width} x {height}").format(
                name=path.name, width=width, height=height
            )
        )
    if width * height * planes > max(_HARMLESS, _DENSEST * file_size):
        size = f"{width} x {height}" + (f" x {planes}" if planes > 1 else "")
        raise ImageError(
            tr("{name} is damaged: it claims {size} pixels in only {file_size} bytes").format(
                name=path.name, size=size, file_size=file_size
            )
        )
    if width * height > _LARGEST and not huge:
        raise TooLarge(path, width, height)


def check_page(path: Path, wanted: Wanted, axes: Axes) -> None:
    """Refuse a page that the file does not have."""
    if not 0 <= wanted.page < axes.pages:
        raise ImageError(
            tr("{name} has {pages} pages; number {page} was asked for").format(
                name=path.name, pages=axes.pages, page=wanted.page + 1
            )
        )


def size_in_bytes(file: BinaryIO) -> int:
    """Bytes of a whole file, whatever its position."""
    return os.fstat(file.fileno()).st_size


def stored_samples(file: BinaryIO, shape: tuple[int, ...], kind: np.dtype | str) -> np.ndarray:
    """Samples that lie as they are at the file's position; ValueError before memory is taken if some are missing."""
    if math.prod(shape) * np.dtype(kind).itemsize > size_in_bytes(file) - file.tell():
        raise ValueError(tr("the file ends too early"))
    samples = scratch.array(shape, kind)
    if file.readinto(samples.reshape(-1).view(np.uint8)) != samples.nbytes:  # type: ignore[attr-defined]
        raise ValueError(tr("the file ends too early"))
    return samples


def with_white(samples: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """The samples, those of one bit as numbers, and the one that is white; 1 where they have a unit of their own."""
    if samples.dtype.kind == "b":
        return samples.view(np.uint8), 1
    return samples, (1 << bits) - 1 if samples.dtype.kind == "u" and bits <= 16 else 1


def full_range(opacity: np.ndarray | None, white: int) -> np.ndarray | None:
    """Opacity of unsigned samples whose white becomes the largest number of their type, which others take for it."""
    if opacity is None or opacity.dtype.kind != "u" or white == np.iinfo(opacity.dtype).max:
        return opacity
    most = np.iinfo(opacity.dtype).max
    return ((opacity.astype(np.uint64) * most + white // 2) // white).astype(opacity.dtype)


def colours_last(samples: np.ndarray, is_planar: bool) -> np.ndarray:
    """(H, W, C) of (H, W, C) or, where planar, (C, H, W); (H, W) where there is but one channel."""
    samples = np.moveaxis(samples, 0, -1) if is_planar else samples
    return samples[..., 0] if samples.shape[2:] == (1,) else samples
