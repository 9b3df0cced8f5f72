"""What the header of a JPEG XL picture says: libraries tell neither its size nor its colours before they decode it.

The fields are those of ISO/IEC 18181-1, in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from engine.language import tr
from engine.metadata import boxes

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height


@dataclass
class Header:
    """Size as it is shown, bits a sample, colours (1 or 3), and the other channels."""

    width: int
    height: int
    bits: int = 8
    colours: int = 3
    others: int = 0
    has_opacity: bool = False
    is_premultiplied: bool = False
    is_animated: bool = False
    is_srgb: bool = True


class _Bits:
    """Numbers from a stream of bits, the lowest of each byte first; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")
        self.taken = 0

    def take(self, count: int) -> int:
        self.taken += count
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def choose(self, *choices: tuple[int, int]) -> int:
        """Two bits choose (constant, bits that are added to it)."""
        constant, count = choices[self.take(2)]
        return constant + self.take(count)

    def enumerated(self) -> int:
        return self.choose((0, 0), (1, 0), (2, 4), (18, 6))


def read_header(stream: BinaryIO) -> Header:
    """Read the header of a codestream, bare or in boxes; ValueError if there is none."""
    stream.seek(0)
    data = stream.read(4096)
    if data[:2] != b"\xff\x0a":
        inside = {b"jxlc": 0, b"jxlp": 4}
        start = next((start + inside[name] for name, start, _ in boxes(stream) if name in inside), 0)
        stream.seek(start)
        data = stream.read(4096)
    if data[:2] != b"\xff\x0a":
        raise ValueError(tr("it holds no picture"))
    return _header(_Bits(data[2:]))


def _header(bits: _Bits) -> Header:
    """The header, read up to the curve of its colours."""
    header = Header(*_size(bits))
    if bits.take(1):  # everything as usual
        return header
    if bits.take(1):
        if bits.take(3) >= 4:
            header.width, header.height = header.height, header.width
        if bits.take(1):  # the size it should be shown at
            _size(bits)
        if bits.take(1):
            _preview(bits)
        if bits.take(1):
            header.is_animated = True
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
            bits.take(1)
    header.bits = _depth(bits)
    bits.take(1)
    header.others = bits.choose((0, 0), (1, 0), (2, 4), (1, 12))
    for index in range(header.others):
        kind, is_premultiplied = _other(bits)
        if index == 0 and kind == 0:
            header.has_opacity, header.is_premultiplied = True, is_premultiplied
    bits.take(1)
    if not bits.take(1):
        has_profile = bits.take(1)
        header.colours = {0: 3, 1: 1}.get(bits.enumerated(), 0)
        header.is_srgb = not has_profile and _is_srgb(bits, header.colours)
    return header


def as_srgb(data: bytes) -> bytes:
    """The file with samples that are said to be linear said to be sRGB; ValueError if it says neither.

    The encoder at hand takes all samples of 16 bits for linear. Both curves are named in the same number of bits, and
    samples without loss do not depend on their name.
    """
    start = data.index(b"\xff\x0a") + 2
    bits = _Bits(data[start : start + 4096])
    if _header(bits).is_srgb:
        return data
    at = bits.taken - 6
    number = int.from_bytes(data[start : start + 4096], "little")
    if (number >> at) & 63 != _LINEAR:
        raise ValueError(tr("the JPEG XL encoder wrote an unknown kind of colours"))
    number ^= (_LINEAR ^ _SRGB) << at
    changed = number.to_bytes(len(data[start : start + 4096]), "little")
    return data[:start] + changed + data[start + 4096 :]


_LINEAR, _SRGB = 2 | (8 - 2) << 2, 2 | (13 - 2) << 2  # the curves 8 and 13 as _Bits.enumerated reads them


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height."""
    in_eights = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if in_eights else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    above, below = _RATIOS[ratio - 1]
    return height * above // below, height


def _preview(bits: _Bits) -> None:
    in_eights = bits.take(1)
    choices = ((16, 0), (32, 0), (1, 5), (33, 9)) if in_eights else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.choose(*choices)
    if not bits.take(3):
        bits.choose(*choices)


def _depth(bits: _Bits) -> int:
    if not bits.take(1):
        return bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
    bits.take(4)
    return depth


def _other(bits: _Bits) -> tuple[int, bool]:
    """The kind of a channel beside the colours, 0 for opacity, and whether the colours are multiplied by it."""
    if bits.take(1):
        return 0, False
    kind = bits.enumerated()
    _depth(bits)
    bits.choose((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.choose((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == 0:
        return kind, bool(bits.take(1))
    if kind == 2:
        bits.take(64)
    elif kind == 5:
        bits.choose((1, 0), (0, 2), (3, 4), (19, 8))
    return kind, False


def _is_srgb(bits: _Bits, colours: int) -> bool:
    """Whether the white, the primaries and the curve that follow are those of sRGB; for grey its white and curve."""
    if bits.enumerated() != 1:
        return False
    if colours == 3 and bits.enumerated() != 1:
        return False
    return not bits.take(1) and bits.enumerated() == 13
