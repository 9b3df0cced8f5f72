"""Colour profiles (ICC version 2) of developed pictures: sRGB, and the same colours proportional to light."""

from __future__ import annotations

import struct

import numpy as np

_PRIMARIES = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}
"""IEC 61966-2-1, adapted to the D50 of profiles."""

_D50 = (0.9642, 1.0, 0.8249)


def _profile(name: str, curve: np.ndarray) -> bytes:
    """A display profile with these primaries and one curve (n,) from samples 0..1 to light 0..1 for all three.

    An empty curve stands for light itself.
    """

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    text = name.encode("ascii") + b"\0"
    samples = np.rint(curve * 65535).astype(">u2")
    steps = b"curv\0\0\0\0" + struct.pack(">I", len(samples)) + samples.tobytes()
    parts = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0No copyright, use freely\0",
        b"wtpt": xyz(_D50),
        **{f"{colour}XYZ".encode(): xyz(values) for colour, values in _PRIMARIES.items()},
        b"rTRC": steps,
    }
    table, data, start = b"", b"", 128 + 4 + 12 * (len(parts) + 2)
    for tag, part in parts.items():
        entry = struct.pack(">II", start + len(data), len(part))
        # All three channels share one curve.
        table += b"".join(other + entry for other in ((b"rTRC", b"gTRC", b"bTRC") if tag == b"rTRC" else (tag,)))
        data += part + bytes(-len(part) % 4)
    size = start + len(data)
    head = struct.pack(
        ">I4sI4s4s4s6H4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ", 2026, 1, 1, 0, 0, 0, b"acsp"
    )
    head += bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts) + 2) + table + data


def _srgb_to_light(samples: np.ndarray) -> np.ndarray:
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


SRGB = _profile("sRGB", _srgb_to_light(np.linspace(0, 1, 1024)))
LINEAR_SRGB = _profile("sRGB, linear", np.empty(0))
