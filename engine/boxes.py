"""Files made of boxes: JPEG XL, JPEG 2000 and AVIF as their encoders leave them, given the picture's metadata.

The encoders at hand write pixels alone. Names and fields are those of ISO/IEC 14496-12 (boxes), 15444-1 (JPEG 2000),
18181-2 (JPEG XL) and 23008-12 (the items of AVIF).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from engine.metadata import BOX_IDENTITIES, Metadata, boxes, with_resolution

_IDENTITIES = {what: identity for identity, what in BOX_IDENTITIES.items()}


def box(name: bytes, *contents: bytes) -> bytes:
    """One box; ValueError if its contents exceed 4 GB, which none that is written here does."""
    length = 8 + sum(map(len, contents))
    if length >= 1 << 32:
        raise ValueError(f"the {name.decode('latin-1').strip()} data exceed 4 GB")
    return b"".join([struct.pack(">I4s", length, name), *contents])


def _parts(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The name, the contents, and the whole of each box."""
    for name, inner, following in boxes(io.BytesIO(data), start, end):
        yield name, data[inner:following], data[start:following]
        start = following


def jpegxl_with(data: bytes, metadata: Metadata) -> bytes:
    """A JPEG XL file in boxes, with the metadata before its codestream."""
    exif = with_resolution(metadata.exif, metadata.dpi)
    added = [box(b"Exif", bytes(4), exif)] if exif else []
    added += [box(b"xml ", metadata.xmp)] if metadata.xmp else []
    whole = []
    for name, _, part in _parts(data):
        if name in (b"jxlc", b"jxlp"):
            whole += added
            added = []
        whole.append(part)
    return b"".join(whole)


def jpeg2000_with(data: bytes, metadata: Metadata, channels: int) -> bytes:
    """A JP2 file with the metadata before its codestream, and its last channel named opacity where there are 2 or 4."""
    whole = []
    for name, contents, part in _parts(data):
        if name == b"jp2h":
            part = box(b"jp2h", *_jpeg2000_header(contents, metadata, channels))
        if name == b"jp2c":
            held = {"exif": metadata.exif, "xmp": metadata.xmp, "iptc": metadata.iptc}
            whole += [box(b"uuid", _IDENTITIES[what], value) for what, value in held.items() if value]
        whole.append(part)
    return b"".join(whole)


def _jpeg2000_header(header: bytes, metadata: Metadata, channels: int) -> Iterator[bytes]:
    for name, _, part in _parts(header):
        yield box(b"colr", b"\2\0\0", metadata.icc) if name == b"colr" and metadata.icc else part
    if channels in (2, 4):
        colours = [(index, 0, index + 1) for index in range(channels - 1)]
        places = [*colours, (channels - 1, 1, 0)]  # opacity, of the whole picture
        yield box(b"cdef", struct.pack(">H", channels), *(struct.pack(">3H", *place) for place in places))
    if metadata.dpi:
        across, down = (_per_metre(value) for value in metadata.dpi)
        yield box(b"res ", box(b"resc", struct.pack(">4H2B", down[0], 254, across[0], 254, down[1], across[1])))


def _per_metre(dpi: float) -> tuple[int, int]:
    """Numerator and power of ten of a resolution whose denominator is 254."""
    power = next((power for power in range(5) if dpi * 10 ** (4 - power) < 65535), 4)
    return min(max(1, round(dpi * 10 ** (4 - power))), 65535), power


def avif_with(data: bytes, metadata: Metadata) -> bytes:
    """An AVIF file with EXIF and XMP as items behind its own, and the colour profile as a property of the picture."""
    exif = with_resolution(metadata.exif, metadata.dpi)
    items = [(b"Exif\0", bytes(4) + exif)] if exif else []
    items += [(b"mime\0application/rdf+xml\0", metadata.xmp)] if metadata.xmp else []
    parts = list(_parts(data))
    (meta,) = (contents for name, contents, _ in parts if name == b"meta")
    # The places depend on the length of what says them, not the other way round.
    growth = len(_avif_meta(meta, items, metadata.icc, 0, 0)) - 8 - len(meta)
    changed = _avif_meta(meta, items, metadata.icc, growth, len(data) + growth + 8)
    whole = [changed if name == b"meta" else part for name, _, part in parts]
    if items:
        whole.append(box(b"mdat", *(payload for _, payload in items)))
    return b"".join(whole)


def _avif_meta(meta: bytes, items: list[tuple[bytes, bytes]], icc: bytes | None, growth: int, end: int) -> bytes:
    """The box that lists items and properties; what lay in the file moves by `growth`, the items lie from `end`."""
    held = {name: contents for name, contents, _ in _parts(meta, 4)}
    (primary,) = struct.unpack_from(">H", held[b"pitm"], 4)
    locations, first = _moved(held[b"iloc"], growth)
    names, references = [], []
    for number, (kind, payload) in enumerate(items, first):
        locations.append(struct.pack(">HHHII", number, 0, 1, end, len(payload)))
        end += len(payload)
        names.append(box(b"infe", b"\2\0\0\1", struct.pack(">HH", number, 0), kind[:4], b"\0", kind[5:]))
        references.append(box(b"cdsc", struct.pack(">HHH", number, 1, primary)))
    held[b"iloc"] = held[b"iloc"][:6] + struct.pack(">H", len(locations)) + b"".join(locations)
    (count,) = struct.unpack_from(">H", held[b"iinf"], 4)
    held[b"iinf"] = b"".join([bytes(4), struct.pack(">H", count + len(items)), held[b"iinf"][6:], *names])
    if references:
        held[b"iref"] = b"".join([held.get(b"iref", bytes(4)), *references])
    if icc:
        held[b"iprp"] = _with_profile(held[b"iprp"], primary, icc)
    order = [name for name in (b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp") if name in held]
    order += [name for name in held if name not in order]
    return box(b"meta", meta[:4], *(box(name, held[name]) for name in order))


def _moved(locations: bytes, growth: int) -> tuple[list[bytes], int]:
    """The entries of an `iloc` box, each of one extent, moved; and the first number that no item has."""
    if locations[:6] != b"\0\0\0\0\x44\0":
        raise ValueError("the AVIF encoder wrote an unknown kind of item table")
    (count,) = struct.unpack_from(">H", locations, 6)
    entries = [struct.unpack_from(">HHHII", locations, 8 + 14 * index) for index in range(count)]
    if any(entry[2] != 1 for entry in entries):
        raise ValueError("the AVIF encoder wrote an item in several pieces")
    moved = [struct.pack(">HHHII", *entry[:3], entry[3] + growth, entry[4]) for entry in entries]
    return moved, 1 + max(entry[0] for entry in entries)


def _with_profile(properties: bytes, item: int, icc: bytes) -> bytes:
    """An `iprp` box whose item has the colour profile as one property more."""
    held = {name: contents for name, contents, _ in _parts(properties)}
    index = 1 + sum(1 for _ in _parts(held[b"ipco"]))
    listed = held[b"ipma"]
    if listed[:4] != bytes(4) or index > 127:
        raise ValueError("the AVIF encoder wrote an unknown kind of property table")
    changed, at = [listed[:8]], 8
    while at < len(listed):
        number, count = struct.unpack_from(">HB", listed, at)
        own = listed[at + 3 : at + 3 + count] + (bytes([index]) if number == item else b"")
        changed.append(struct.pack(">HB", number, len(own)) + own)
        at += 3 + count
    profile = box(b"colr", b"prof", icc)
    return box(b"ipco", held[b"ipco"], profile) + box(b"ipma", *changed)
