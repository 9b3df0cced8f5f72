"""Reading picture files: samples as they are stored, whatever the type, and never a half picture."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from engine.arrays import peek_exr, peek_fits, peek_npy, peek_pfm, read_exr, read_fits, read_npy, read_pfm
from engine.language import tr
from engine.photos import (
    peek_common,
    peek_heif,
    peek_jpeg,
    peek_jpegxl,
    peek_webp,
    read_common,
    read_heif,
    read_jpeg,
    read_jpegxl,
    read_webp,
)
from engine.reading import FIRST, RAW, Decoded, Header, ImageError, Wanted, check_page, foreign_errors, raw_error
from engine.tiff import TIFF_SIGNATURES, peek_tiff, read_tiff

_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")


def decode(path: Path, wanted: Wanted = FIRST) -> Decoded:
    """Read a file by its content; ImageError for what is clearly wrong with it, anything at all from the libraries."""
    with _opened(path) as (file, head):
        decoded = _reader(head, path)(file, path, wanted)
    check_page(path, wanted, decoded.axes)
    return decoded


def peek(path: Path) -> Header:
    """What the first bytes of a file say of its picture; ImageError where they say nothing, or it is a camera's RAW."""
    with foreign_errors(path, tr("cannot be opened")), _opened(path) as (file, head):
        return _PEEKERS[_reader(head, path)](file, path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bytes]]:
    """The file and its first bytes; ImageError if it is none or is empty."""
    if path.is_dir():
        os.scandir(path).close()  # one that must not be looked into says so
        raise ImageError(tr("{name} is a folder; choose a picture").format(name=path.name))
    if path.is_symlink() and not path.exists():
        raise ImageError(
            tr("{name} is a link that leads nowhere or back to itself; choose a picture").format(name=path.name)
        )
    if not path.exists():
        raise ImageError(tr("{path} does not exist").format(path=path))
    if not path.is_file():
        raise ImageError(tr("{name} is not an ordinary file; choose a picture").format(name=path.name))
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(0)
        if not head:
            raise ImageError(tr("{name} is empty (0 bytes); choose a picture").format(name=path.name))
        yield file, head


def _reader(head: bytes, path: Path) -> Callable[[BinaryIO, Path, Wanted], Decoded]:
    """Which reader the first bytes of a file ask for."""
    has_tiff = head[:4] in TIFF_SIGNATURES
    raw_content = head.startswith(_RAW_SIGNATURES) or head[4:12] == b"ftypcrx " or (has_tiff and head[8:10] == b"CR")
    if raw_content or (has_tiff and path.suffix.lower() in RAW):
        raise raw_error(path)
    return next(reader for signature, reader in _READERS if re.match(signature, head, re.DOTALL))


_READERS: tuple[tuple[bytes, Callable[[BinaryIO, Path, Wanted], Decoded]], ...] = (
    (rb"II[*+]\0|MM\0[*+]", read_tiff),
    (rb"\xff\xd8\xff", read_jpeg),
    (rb"RIFF....WEBP", read_webp),
    (rb"....ftyp(hei[cxms]|hev[cx]|m[is]f1)(?!.*avi[fs])", read_heif),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", read_jpegxl),
    (rb"P[Ff]\s", read_pfm),
    (rb"\x93NUMPY", read_npy),
    (rb"SIMPLE  =", read_fits),
    (rb"v/1\x01", read_exr),
    (rb"", read_common),
)
"""What a file's first bytes look like, and who reads it; the first that fits."""

_PEEKERS: dict[Callable[[BinaryIO, Path, Wanted], Decoded], Callable[[BinaryIO, Path], Header]] = {
    read_tiff: peek_tiff,
    read_jpeg: peek_jpeg,
    read_webp: peek_webp,
    read_heif: peek_heif,
    read_jpegxl: peek_jpegxl,
    read_pfm: peek_pfm,
    read_npy: peek_npy,
    read_fits: peek_fits,
    read_exr: peek_exr,
    read_common: peek_common,
}
"""Who peeks into what another one reads."""
