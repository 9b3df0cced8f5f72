"""Places in a picture with a strength of their own: to protect them, or to denoise nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Area:
    """One place.

    Attributes:
        shape: "rectangle" or "brush".
        points: (x, y) in picture pixels: two opposite corners of a rectangle, or the path of the brush.
        radius: of the brush in picture pixels; 0 for a rectangle.
        strength: factor on the strength inside: 0 protects, 1 denoises as set, up to 1.2.
    """

    shape: str
    points: tuple[tuple[float, float], ...]
    radius: float = 0.0
    strength: float = 0.0


@dataclass(frozen=True)
class Areas:
    """All places, a later one over the earlier ones.

    Attributes:
        outside: factor on the strength where no place is: 1 denoises as set, 0 leaves the picture.
    """

    outside: float = 1.0
    places: tuple[Area, ...] = ()
