"""Places in a picture with a strength of their own: to protect them, or to denoise nothing else."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.tiles import Rect

RECTANGLE, BRUSH = "rectangle", "brush"

EDGE = 4.0
"""Pixels outside a rectangle over which its strength fades into that around it."""

_SOFT = 0.3
"""Share of a brush's radius, inside, over which it fades; at least one pixel, or what a thinner brush has."""


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

    def contains(self, area: Rect) -> bool:
        """Whether a part of the picture lies in it, and not in its soft edge; never said of a brush."""
        if self.shape != RECTANGLE:
            return False
        left, top, right, bottom = _bounds(self.points)
        return left <= area.left and top <= area.top and area.right <= right and area.bottom <= bottom

    def meets(self, area: Rect) -> bool:
        """Whether it reaches into a part of the picture, or may."""
        left, top, right, bottom = _bounds(self.points)
        reach = EDGE if self.shape == RECTANGLE else self.radius
        return (
            left - reach < area.right
            and area.left < right + reach
            and top - reach < area.bottom
            and area.top < bottom + reach
        )

    def cover(self, area: Rect) -> Iterator[tuple[Rect, np.ndarray]]:
        """How far it covers the pixels of a part of the picture that it meets, from 0 to 1: (rect, (h, w) float32)s.

        Of each pixel the most that any of them says counts. Nothing but the pixel's own place enters, so that a part
        has the values of the whole to the bit.
        """
        if self.shape == RECTANGLE:
            left, top, right, bottom = (np.float32(side) for side in _bounds(self.points))
            x, y = _centres(area)
            beside = np.maximum(np.maximum(left - x, x - right), 0)
            beyond = np.maximum(np.maximum(top - y, y - bottom), 0)
            yield area, np.clip(1 - np.sqrt(beside * beside + beyond * beyond) / np.float32(EDGE), 0, 1)
            return
        ends, boxes = _segments(self.points, self.radius)
        near = (boxes[:, 0] < area.right) & (area.left < boxes[:, 2])
        near &= (boxes[:, 1] < area.bottom) & (area.top < boxes[:, 3])
        soft = np.float32(max(_SOFT * self.radius, min(1.0, self.radius)))
        for (x1, y1, x2, y2), box in zip(ends[near], boxes[near], strict=True):
            part = Rect(*(int(side) for side in box)).shared(area)
            x, y = _centres(part)
            along, across = x2 - x1, y2 - y1
            length = along * along + across * across
            if length > 0:
                share = np.clip(((x - x1) * along + (y - y1) * across) / length, 0, 1)
                x, y = x - (x1 + share * along), y - (y1 + share * across)
            else:
                x, y = x - x1, y - y1
            yield part, np.clip((np.float32(self.radius) - np.sqrt(x * x + y * y)) / soft, 0, 1)


@dataclass(frozen=True)
class Areas:
    """All places, a later one over the earlier ones.

    Attributes:
        outside: factor on the strength where no place is: 1 denoises as set, 0 leaves the picture.
    """

    outside: float = 1.0
    places: tuple[Area, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the strength is everywhere as set."""
        return self.outside == 1 and not self.places

    def even(self, area: Rect) -> float | None:
        """The factor of a part of the picture, where it has but one."""
        for place in reversed(self.places):
            if place.contains(area):
                return place.strength
            if place.meets(area):
                return None
        return self.outside

    def factors(self, area: Rect) -> np.ndarray | None:
        """The factor on the strength for each pixel of a part of the picture, (h, w) float32; None where all are 1.

        The same to the bit however the picture is cut.
        """
        places = [place for place in self.places if place.meets(area)]
        if not places and self.outside == 1:
            return None
        out = np.full((area.height, area.width), self.outside, np.float32)
        for place in places:
            cover = np.zeros_like(out)
            for part, covered in place.cover(area):
                inside = cover[part.moved(-area.left, -area.top).slices]
                np.maximum(inside, covered, out=inside)
            out *= 1 - cover
            out += cover * np.float32(place.strength)
        return out


def _bounds(points: tuple[tuple[float, float], ...]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom; of no points a place that nothing meets."""
    if not points:
        return math.inf, math.inf, -math.inf, -math.inf
    return _sides(points)


@functools.lru_cache(maxsize=256)
def _sides(points: tuple[tuple[float, float], ...]) -> tuple[float, float, float, float]:
    x, y = [point[0] for point in points], [point[1] for point in points]
    return min(x), min(y), max(x), max(y)


def _centres(area: Rect) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of the pixels' centres, float32."""
    x = np.arange(area.left, area.right, dtype=np.float32) + np.float32(0.5)
    y = np.arange(area.top, area.bottom, dtype=np.float32) + np.float32(0.5)
    return x[None], y[:, None]


@functools.lru_cache(maxsize=64)
def _segments(points: tuple[tuple[float, float], ...], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A path's pieces (n, 4): x1, y1, x2, y2, float32, and the pixels that each reaches (n, 4): left to bottom, int."""
    path = np.array(points, np.float32).reshape(-1, 2)
    ends = np.concatenate((path[:-1], path[1:]), 1) if len(path) > 1 else np.concatenate((path, path), 1)
    first, last = np.minimum(ends[:, :2], ends[:, 2:]), np.maximum(ends[:, :2], ends[:, 2:])
    reached = np.concatenate((np.floor(first - radius), np.ceil(last + radius)), 1)
    # Beyond any picture; a file may say numbers that no integer holds.
    return ends, np.clip(reached, -(2**40), 2**40).astype(np.int64)
