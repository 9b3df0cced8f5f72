"""What a picture file carries beside its pixels: EXIF, XMP, ICC and resolution, read and written without loss."""

from __future__ import annotations

import dataclasses
import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from engine.language import tr


@dataclass(frozen=True)
class Metadata:
    """What is carried from the file that was opened to the file that is saved.

    Attributes:
        exif: an EXIF block that starts with its TIFF header ("II*" or "MM"), orientation already 1.
        xmp: the XMP packet.
        icc: the colour profile; it describes the pixels as they are now.
        dpi: horizontal and vertical pixels per inch.
        format: what the file was by its content: "JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "HEIF", ...
        iptc: the IPTC-IIM record: caption, keywords, author, rights.
        premultiplied: whether the colours are already multiplied by the opacity (associated alpha).
        notes: sentences for the user: what was converted or left out when the file was opened.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str = ""
    iptc: bytes | None = None
    premultiplied: bool = False
    notes: tuple[str, ...] = ()


class Field(NamedTuple):
    """One entry of a TIFF directory: its type number, its count, and its values in little-endian bytes."""

    kind: int
    count: int
    values: bytes

    def numbers(self) -> list[float]:
        """The values of an integer or rational field; empty for any other type."""
        if self.kind in (5, 10):
            whole = struct.unpack(f"<{2 * self.count}{'I' if self.kind == 5 else 'i'}", self.values)
            return [a / b if b else 0.0 for a, b in zip(whole[::2], whole[1::2], strict=True)]
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}.get(self.kind)
        return list(struct.unpack(f"<{self.count}{letter}", self.values)) if letter else []


Directory = dict[int, Field]


@dataclass(frozen=True)
class Directories:
    """The directories of an EXIF block, or of the first page of a TIFF file; pointers between them are left out."""

    first: Directory
    exif: Directory
    gps: Directory
    interop: Directory


_ORIENTATION, _EXIF, _GPS, _INTEROP = 274, 34665, 34853, 40965
_XMP, _ICC, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 700, 34675, 282, 283, 296
_IPTC, _MAKER_NOTE = 33723, 37500
_PLACE = frozenset([_GPS, 33550, 33922, 34264, 34735, 34736, 34737])  # with GeoTIFF's
_SIZE_TAGS = {256: 0, 257: 1, 40962: 0, 40963: 1}  # of the whole picture: 0 its width, 1 its height

# What describes the picture and not its storage: description, camera, names of document and page, software, dates,
# artist, host, white and primaries, rating, copyright, Windows' XP fields, and where on Earth (GeoTIFF, GDAL).
_DESCRIPTIVE = frozenset(
    [269, 270, 271, 272, 285, 305, 306, 315, 316, 318, 319, 18246, 18249, 33432, 33550, 33922, 34264, 34735, 34736]
) | {34737, 36867, 40091, 40092, 40093, 40094, 40095, 42112, 42113}
# How it was taken, which TIFF/EP and some cameras say beside that and EXIF in a directory of its own.
_SHOT = frozenset([33434, 33437, 34850, 34855, 37396, *range(37377, 37387)])

# Bytes of one value, and of the words to swap in it, by type number.
_SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORD = _SIZE | {5: 4, 10: 4}
_LARGEST_FIELD = 64 << 20


class _Layout(NamedTuple):
    """How a TIFF structure is stored: byte order "<" or ">", and whether it is a BigTIFF."""

    order: str
    big: bool

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def width(self) -> int:
        return 8 if self.big else 4


class _Entry(NamedTuple):
    tag: int
    kind: int
    count: int
    position: int  # of the values in the stream


def _unpack(stream: BinaryIO, position: int, form: str) -> tuple[int, ...]:
    """Read numbers at `position`; ValueError where the stream ends before."""
    stream.seek(position)
    data = stream.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError(tr("the metadata ends too early"))
    return struct.unpack(form, data)


def _header(stream: BinaryIO) -> tuple[_Layout, int]:
    """The layout and the position of the first directory; ValueError if this is no TIFF structure."""
    stream.seek(0)
    order = {b"II": "<", b"MM": ">"}.get(stream.read(2))
    if order is None:
        raise ValueError(tr("the metadata does not start with II or MM"))
    (version,) = _unpack(stream, 2, order + "H")
    if version not in (42, 43):
        raise ValueError(tr("the metadata has version {version}").format(version=version))
    layout = _Layout(order, version == 43)
    return layout, _unpack(stream, 8 if layout.big else 4, layout.pointer)[0]


def _entries(stream: BinaryIO, start: int, layout: _Layout) -> Iterator[_Entry]:
    """The sane entries of the directory at `start`; then one with tag -1 at the pointer to the next directory."""
    (length,) = _unpack(stream, start, layout.order + ("Q" if layout.big else "H"))
    if length > 4096:
        raise ValueError(tr("a metadata directory claims {length} entries").format(length=length))
    position = start + (8 if layout.big else 2)
    for _ in range(length):
        tag, kind, count = _unpack(stream, position, layout.order + ("HHQ" if layout.big else "HHI"))
        values = position + (12 if layout.big else 8)
        position += 20 if layout.big else 12
        size = _SIZE.get(kind, 0) * count
        if 0 < size <= _LARGEST_FIELD:
            yield _Entry(
                tag, kind, count, values if size <= layout.width else _unpack(stream, values, layout.pointer)[0]
            )
    yield _Entry(-1, 4, 1, position)


def _read_directory(stream: BinaryIO, start: int, layout: _Layout) -> Directory:
    directory: Directory = {}
    for entry in list(_entries(stream, start, layout)):
        stream.seek(entry.position)
        values = stream.read(_SIZE[entry.kind] * entry.count)
        if entry.tag < 0 or len(values) < _SIZE[entry.kind] * entry.count:
            continue
        word = _WORD[entry.kind]
        if layout.order == ">" and word > 1:
            values = np.frombuffer(values, f">u{word}").astype(f"<u{word}").tobytes()
        directory[entry.tag] = Field(entry.kind, entry.count, values)
    return directory


def read_directories(stream: BinaryIO, start: int | None = None) -> Directories:
    """Read the first directory of a TIFF structure, or the one at `start`, and those it points to.

    ValueError if it is damaged.
    """
    layout, at = _header(stream)
    first = _read_directory(stream, at if start is None else start, layout)

    def follow(parent: Directory, tag: int) -> Directory:
        pointer = parent.pop(tag, None)
        try:
            return _read_directory(stream, int(pointer.numbers()[0]), layout) if pointer else {}
        except (ValueError, IndexError):
            return {}

    exif, gps = follow(first, _EXIF), follow(first, _GPS)
    return Directories(first, exif, gps, follow(exif, _INTEROP))


def _pack_directory(directory: Directory, start: int, big: bool) -> bytes:
    """One directory that will lie at `start`, its long values behind it; little-endian, no next directory."""
    width = 8 if big else 4
    head = struct.pack("<Q" if big else "<H", len(directory))
    behind = start + len(head) + len(directory) * (12 + width - 4 + (4 if big else 0)) + width
    entries, values = [], bytearray()
    for tag, field in sorted(directory.items()):
        inline = field.values
        if len(inline) > width:
            inline = struct.pack("<Q" if big else "<I", behind + len(values))
            values += field.values + b"\0" * (len(field.values) % 2)
        entries.append(
            struct.pack("<HHQ" if big else "<HHI", tag, field.kind, field.count) + inline.ljust(width, b"\0")
        )
    return head + b"".join(entries) + b"\0" * width + bytes(values)


def _pack_directories(parts: Directories, start: int, big: bool) -> bytes:
    """The first directory at `start`, then those it points to."""

    def pointer(to: int) -> Field:
        return Field(16, 1, struct.pack("<Q", to)) if big else Field(4, 1, struct.pack("<I", to))

    def with_pointers(directory: Directory, **to: int) -> Directory:
        tags = {"exif": _EXIF, "gps": _GPS, "interop": _INTEROP}
        return directory | {tags[name]: pointer(position) for name, position in to.items() if position}

    # A directory's length does not depend on where its pointers lead, so the places are found with dummies.
    has_exif = int(bool(parts.exif or parts.interop))
    has_gps, has_interop = int(bool(parts.gps)), int(bool(parts.interop))
    at_exif = start + len(_pack_directory(with_pointers(parts.first, exif=has_exif, gps=has_gps), start, big))
    exif = _pack_directory(with_pointers(parts.exif, interop=has_interop), at_exif, big) if has_exif else b""
    at_gps = at_exif + len(exif)
    gps = _pack_directory(parts.gps, at_gps, big) if has_gps else b""
    at_interop = at_gps + len(gps)
    interop = _pack_directory(parts.interop, at_interop, big) if has_interop else b""
    if has_exif:
        exif = _pack_directory(with_pointers(parts.exif, interop=has_interop * at_interop), at_exif, big)
    first = _pack_directory(with_pointers(parts.first, exif=has_exif * at_exif, gps=has_gps * at_gps), start, big)
    return first + exif + gps + interop


def pack_exif(first: Directory, exif: Directory, gps: Directory) -> bytes:
    """An EXIF block of an upright picture with these directories; what belongs to a file's storage is left out."""
    kept = _describing(Directories(first, exif, gps, {}))
    upright = kept.first | {_ORIENTATION: Field(3, 1, b"\1\0")}
    return b"II*\0\x08\0\0\0" + _pack_directories(Directories(upright, exif, gps, {}), 8, big=False)


def _describing(parts: Directories) -> Directories:
    """Without what belongs to the storage of the file it came from."""
    first = {tag: field for tag, field in parts.first.items() if tag in _DESCRIPTIVE and field.kind <= 13}
    # ImageJ, OME and tifffile describe all pages of their file here; beside a single page it would be wrong.
    if 270 in first and re.match(rb"ImageJ=|\s*<\?xml|\s*<OME|\s*\{\"shape\"", first[270].values):
        del first[270]
    return Directories(first, parts.exif, parts.gps, parts.interop)


def tiff_metadata(stream: BinaryIO, start: int | None = None) -> tuple[Metadata, int]:
    """The metadata of a TIFF file's first page, or of the one with its directory at `start`; and its orientation.

    Nothing where they are damaged.
    """
    try:
        parts = read_directories(stream, start)
    except ValueError:
        return Metadata(format="TIFF"), 1
    first = parts.first
    shot = {tag: field for tag, field in first.items() if tag in _SHOT and field.kind <= 13}
    kept = _describing(dataclasses.replace(parts, exif=shot | parts.exif))
    exif = None
    if kept.first or kept.exif or kept.gps:
        upright = {_ORIENTATION: Field(3, 1, b"\1\0")}
        kept = Directories(kept.first | upright, kept.exif, kept.gps, kept.interop)
        exif = b"II*\0\x08\0\0\0" + _pack_directories(kept, 8, big=False)

    iptc = first[_IPTC].values if _IPTC in first else None
    if iptc and iptc[:1] != b"\x1c" and first[_IPTC].kind == 4:  # stored as bytes, and swapped as if they were numbers
        iptc = np.frombuffer(iptc, ">u4").astype("<u4").tobytes()
    metadata = Metadata(
        exif=exif,
        xmp=first[_XMP].values if _XMP in first else None,
        icc=first[_ICC].values if _ICC in first else None,
        dpi=_resolution(first),
        format="TIFF",
        iptc=iptc,
    )
    orientation = int(_number(first, _ORIENTATION))
    return metadata, orientation if 1 <= orientation <= 8 else 1


def _number(directory: Directory, tag: int) -> float:
    return (directory[tag].numbers() or [0])[0] if tag in directory else 0


def _resolution(directory: Directory) -> tuple[float, float] | None:
    """Horizontal and vertical pixels per inch, where a directory says them in a unit of length."""
    per_inch = {2: 1.0, 3: 2.54}.get(int(_number(directory, _RESOLUTION_UNIT)) if _RESOLUTION_UNIT in directory else 2)
    if not per_inch:
        return None
    across, down = (_number(directory, tag) * per_inch for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    return (across, down) if min(across, down) > 0 and max(across, down) <= _FINEST else None


_FINEST = 1e9  # pixels per inch, of which four would lie on an atom


def exif_resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Pixels per inch as an EXIF block says them; None where it does not or is damaged."""
    try:
        return _resolution(read_directories(io.BytesIO(exif or b"")).first)
    except ValueError:
        return None


def with_resolution(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """The block with that resolution, for files that have no other place for it.

    A block that says one already stays as it is, and so does one with maker notes, which hold positions in it.
    """
    if not dpi or exif_resolution(exif):
        return exif
    try:
        parts = read_directories(io.BytesIO(exif)) if exif else Directories({}, {}, {}, {})
    except ValueError:
        return exif
    if _MAKER_NOTE in parts.exif:
        return exif
    share = 1000 if max(dpi) < 1e6 else 1
    stored = {
        tag: Field(5, 1, struct.pack("<II", round(value * share), share))
        for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True)
    }
    first = parts.first | stored | {_RESOLUTION_UNIT: Field(3, 1, struct.pack("<H", 2))}
    return b"II*\0\x08\0\0\0" + _pack_directories(
        Directories(first, parts.exif, parts.gps, parts.interop), 8, big=False
    )


def append_exif(stream: BinaryIO, exif: bytes) -> None:
    """Add an EXIF block to a little-endian TIFF file that is open for reading and writing.

    tifffile refuses to write tag 34665, so a new first directory, with the EXIF and GPS directories behind it, goes to
    the end of the file, before the other pages, and the header then points there. A damaged block is left out.
    """
    try:
        added = _describing(read_directories(io.BytesIO(exif)))
    except ValueError:
        return
    layout, start = _header(stream)
    first = _read_directory(stream, start, layout) | added.first
    *_, link = _entries(stream, start, layout)
    following = _unpack(stream, link.position, layout.pointer)[0]
    end = stream.seek(0, io.SEEK_END)
    stream.write(b"\0" * (end % 2))
    end += end % 2
    stream.write(_pack_directories(Directories(first, added.exif, added.gps, added.interop), end, layout.big))
    *_, link = _entries(stream, end, layout)
    stream.seek(link.position)
    stream.write(struct.pack(layout.pointer, following))
    stream.seek(8 if layout.big else 4)
    stream.write(struct.pack(layout.pointer, end))


def exif_orientation(exif: bytes | None) -> int:
    """The orientation (1 to 8) in an EXIF block; 1 where it has none or is damaged."""
    try:
        numbers = read_directories(io.BytesIO(exif or b"")).first[_ORIENTATION].numbers()
    except (ValueError, KeyError):
        return 1
    return int(numbers[0]) if numbers and 1 <= numbers[0] <= 8 else 1


def upright_exif(exif: bytes | None, width: int, height: int) -> bytes | None:
    """The block for a picture that now stands upright and has this size, changed in place; None if it is damaged.

    In place, because the maker notes of many cameras hold positions counted from the start of the block. The thumbnail
    directory is unlinked: it would show the picture noisy and in its old orientation.
    """
    try:
        stream = io.BytesIO(exif or b"")
        layout, start = _header(stream)
        pointer = _read_directory(stream, start, layout).get(_EXIF)
        for directory in (start, *(pointer.numbers()[:1] if pointer else ())):
            try:
                entries = list(_entries(stream, int(directory), layout))
            except ValueError:
                if directory == start:
                    raise
                continue
            for tag, kind, count, position in entries:
                if tag == _ORIENTATION:
                    value = 1
                elif tag in _SIZE_TAGS:
                    value = (width, height)[_SIZE_TAGS[tag]]
                elif tag == -1 and directory == start:
                    value = 0
                else:
                    continue
                letter = {3: "H", 4: "I"}.get(kind)
                if letter and count == 1 and value < 1 << (8 * _SIZE[kind]):
                    stream.seek(position)
                    stream.write(struct.pack(layout.order + letter, value))
        return stream.getvalue()[: len(exif or b"")] or None
    except ValueError:
        return None


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """The packet with tiff:Orientation set to 1: some programs heed it in place of EXIF and would rotate twice."""
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]", rb"\g<1>1", xmp) if xmp else None


def iptc_from_text(text: str | None) -> bytes | None:
    """The IPTC record that ImageMagick and others write into PNG as hexadecimal digits; None if it is damaged."""
    try:
        data = bytes.fromhex("".join((text or "").split()[2:]))
    except ValueError:
        return None
    start = data.find(_IPTC_BLOCK)
    return (data[start + 12 :] if start >= 0 else data) or None


_IPTC_BLOCK = b"8BIM\x04\x04\0\0"


def jpeg_iptc(iptc: bytes) -> bytes:
    """The IPTC record as a JPEG segment, in Photoshop's wrapping; nothing if it is too long for one."""
    block = b"Photoshop 3.0\0" + _IPTC_BLOCK + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + struct.pack(">H", len(block) + 2) + block if len(block) <= 65533 else b""


BOX_IDENTITIES = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
}
"""The 16 bytes by which a `uuid` box of JPEG 2000 says what it holds."""


def boxes(stream: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The name, start and end of each box of a file made of boxes; what does not fit into it ends the list."""
    end = stream.seek(0, io.SEEK_END) if end is None else end
    while start + 8 <= end:
        stream.seek(start)
        length, name = struct.unpack(">I4s", stream.read(8))
        inner = start + 8
        if length == 1:
            length, inner = int.from_bytes(stream.read(8), "big"), start + 16
        following = start + length if length else end
        if not inner <= following <= end:
            return
        yield name, inner, following
        start = following


def box_metadata(stream: BinaryIO) -> dict[str, bytes]:
    """`exif`, `xmp`, `icc` and `iptc`, as far as they are there, of JPEG 2000 or JPEG XL."""
    found: dict[str, bytes] = {}
    pending: list[tuple[int, int | None]] = [(0, None)]
    while pending:
        for name, start, end in boxes(stream, *pending.pop()):
            if name == b"jp2h":
                pending.append((start, end))
            if name not in (b"Exif", b"xml ", b"brob", b"colr", b"uuid") or end - start > _LARGEST_FIELD:
                continue
            stream.seek(start)
            data = stream.read(end - start)
            if name == b"brob":
                import imagecodecs

                name, packed = data[:4], data[4:]
                try:
                    data = bytes(imagecodecs.brotli_decode(packed, out=bytearray(_LARGEST_FIELD >> 4)))
                except imagecodecs.BrotliError:
                    continue
            if name == b"Exif":
                found["exif"] = data[4 + int.from_bytes(data[:4], "big") :]
            elif name == b"xml ":
                found["xmp"] = data
            elif name == b"colr" and data[:1] in (b"\2", b"\3"):
                found["icc"] = data[3:]
            elif data[:16] in BOX_IDENTITIES:
                found[BOX_IDENTITIES[data[:16]]] = data[16:]
    if "exif" in found:
        found["exif"] = found["exif"].removeprefix(b"Exif\0\0")
    return {name: data for name, data in found.items() if data}


def as_saved(metadata: Metadata, keep_place: bool = True) -> Metadata:
    """The metadata as far as they are true of a result, and with `keep_place` off without where it was taken.

    XMP is not where it shows the picture as it was, or speaks of films, gain maps and more XMP that lay behind it.
    """
    if metadata.xmp:
        metadata = dataclasses.replace(metadata, xmp=_without_properties(metadata.xmp, _OF_THE_ORIGINAL))
    return metadata if keep_place else without_place(metadata)


_OF_THE_ORIGINAL = (
    rb"(?:xmp|xap):Thumbnails|xmpNote:HasExtendedXMP|hdrgm:\w+|G?Camera:(?:Motion|Micro)\w+|G?Container:Directory"
)
_XMP_PLACE = (
    rb"exif:GPS\w+|photoshop:(?:City|State|Country)|Iptc4xmpCore:(?:Location|CountryCode)"
    rb"|Iptc4xmpExt:Location(?:Created|Shown)"
)
_IPTC_PLACE = frozenset([26, 27, 90, 92, 95, 100, 101])  # in record 2: codes and names, from street to country


def _without_properties(xmp: bytes, names: bytes) -> bytes:
    """The packet without the properties that a pattern names, be they attributes or elements; one without end ends it.

    Its time grows with the length alone, whatever is in it.
    """
    xmp = re.sub(rb"\s(?:%s)\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')" % names, b"", xmp)
    kept, at, within = [], 0, b""
    for tag in re.finditer(rb"<(/?)(%s)(?=[\s/>])[^<>]*>" % names, xmp):
        is_end, name = tag.groups()
        if not within and not is_end:
            kept.append(xmp[at : tag.start()])
            within = b"" if tag[0].endswith(b"/>") else name
            at = tag.end()
        elif is_end and name == within:
            at, within = tag.end(), b""
    return b"".join(kept) + (b"" if within else xmp[at:])


def without_settings(xmp: bytes | None) -> bytes | None:
    """The packet without what Adobe's programs develop a RAW file by; they would apply it to the result again."""
    return _without_properties(xmp, rb"crs:\w+") if xmp else None


def without_place(metadata: Metadata) -> Metadata:
    """The metadata without coordinates and names of places, in EXIF, XMP or IPTC.

    In EXIF all else stays in its place, for the sake of maker notes.
    """
    return dataclasses.replace(
        metadata,
        exif=_exif_without_place(metadata.exif),
        xmp=_without_properties(metadata.xmp, _XMP_PLACE) if metadata.xmp else metadata.xmp,
        iptc=_iptc_without_place(metadata.iptc) if metadata.iptc else metadata.iptc,
    )


def _iptc_without_place(iptc: bytes) -> bytes | None:
    """The record without the data sets that name places; what is damaged ends it."""
    kept, at = b"", 0
    while at + 5 <= len(iptc) and iptc[at] == 0x1C:
        start, length = at + 5, int.from_bytes(iptc[at + 3 : at + 5], "big")
        if length & 0x8000:  # the number of bytes that say the length
            start, length = start + (length & 0x7FFF), int.from_bytes(iptc[start : start + (length & 0x7FFF)], "big")
        if start + length > len(iptc):
            break
        if iptc[at + 1] != 2 or iptc[at + 2] not in _IPTC_PLACE:
            kept += iptc[at : start + length]
        at = start + length
    return kept or None


def _exif_without_place(exif: bytes | None) -> bytes | None:
    """The block with its GPS directory and GeoTIFF's fields blanked, their entries gone; None if it is damaged."""
    if not exif:
        return None
    try:
        data, stream = bytearray(exif), io.BytesIO(exif)
        layout, start = _header(stream)
        found = [entry for entry in _entries(stream, start, layout) if entry.tag in _PLACE]
        (count,) = _unpack(stream, start, layout.order + "H")
        end = start + 2 + 12 * count
        entries = [data[at : at + 12] for at in range(start + 2, end, 12)]
        kept = [entry for entry in entries if struct.unpack_from(layout.order + "H", entry)[0] not in _PLACE]
        if not found and len(kept) == count:
            return exif
        for tag, kind, number, position in found:
            data[position : position + _SIZE[kind] * number] = bytes(_SIZE[kind] * number)
            if tag == _GPS:
                (at,) = _unpack(stream, position, layout.pointer)
                for entry in _entries(stream, at, layout):
                    if entry.tag >= 0:
                        size = _SIZE[entry.kind] * entry.count
                        data[entry.position : entry.position + size] = bytes(size)
                (inside,) = _unpack(stream, at, layout.order + "H")
                data[at : at + 2 + 12 * inside + 4] = bytes(2 + 12 * inside + 4)
        # The entries behind, and the pointer to the next directory, move up.
        following = data[end : end + 4] + bytes(12 * (count - len(kept)))
        data[start : end + 4] = struct.pack(layout.order + "H", len(kept)) + b"".join(kept) + following
        # What is no sane entry, or in a structure that EXIF does not know, is not worth keeping the rest for.
        return None if layout.big or len(found) != count - len(kept) else bytes(data[: len(exif)])
    except (ValueError, struct.error):
        return None


PNG_HEADER = 8 + 25
"""Bytes of the signature and the header chunk, behind which `png_chunks` belong."""


FINEST_PER_METRE = 5e7
"""Pixels per inch whose number per metre still has 31 bits."""


def png_chunks(metadata: Metadata) -> bytes:
    """The metadata as PNG chunks."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    added = b""
    if metadata.icc:
        added += chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi and max(metadata.dpi) < FINEST_PER_METRE:
        per_metre = [max(1, round(value / 0.0254)) for value in metadata.dpi]
        added += chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if metadata.exif:
        added += chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        added += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.iptc:
        text = f"\niptc\n{len(metadata.iptc):8}\n{metadata.iptc.hex()}\n"
        added += chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text.encode()))
    return added


def check_png(stream: BinaryIO) -> bool:
    """ValueError if a chunk that the picture needs is damaged, or the end is missing: decoders accept either.

    Tells whether metadata lie behind the pixels, where Pillow finds them only if it has decoded these.
    """
    stream.seek(8)
    is_behind = says_more = False
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError(tr("the file ends too early"))
        length, name = struct.unpack(">I4s", head)
        if not name[0] & 32:  # an upper-case first letter: a chunk that decoding needs
            crc = zlib.crc32(name)
            for at in range(0, length, 1 << 20):
                crc = zlib.crc32(stream.read(min(1 << 20, length - at)), crc)
            if stream.read(4) != struct.pack(">I", crc):
                raise ValueError(
                    tr("the checksum of its {chunk} chunk is wrong or the file ends too early").format(
                        chunk=name.decode("latin-1")
                    )
                )
        else:
            stream.seek(length + 4, io.SEEK_CUR)
        if name == b"IEND":
            return says_more
        is_behind |= name == b"IDAT"
        says_more |= is_behind and name in (b"eXIf", b"iTXt", b"zTXt", b"tEXt")
