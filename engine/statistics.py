"""What the samples of a picture are like: their moments, their histogram, and their values along a line."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.tiles import Rect

Line = tuple[float, float, float, float]
"""x0, y0, x1, y1 in picture pixels; the middle of the first pixel is at (0.5, 0.5)."""

Read = Callable[[Rect], np.ndarray | None]
"""Gives the pixels (h, w, C) of a part of a picture; None where there are none yet."""

# Small: what is worked on at a time stays in the processor's cache, and no other thread waits long for its turn.
_BAND = 1 << 18
_SEGMENT = 256


@dataclass(frozen=True)
class Statistics:
    """Of the samples of each channel; those of two pictures can be added.

    Attributes:
        count: of samples in each channel.
        mean, deviation: the latter over all samples, divided by their count.
        low, high: the least and the largest.
    """

    count: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __add__(self, other: Statistics) -> Statistics:
        # Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
        count = self.count + other.count
        here, there = np.array(self.mean), np.array(other.mean)
        squares = self.count * np.square(self.deviation) + other.count * np.square(other.deviation)
        squares = squares + np.square(there - here) * (self.count * other.count / count)
        return Statistics(
            count,
            tuple((here + (there - here) * (other.count / count)).tolist()),
            tuple(np.sqrt(squares / count).tolist()),
            tuple(map(min, self.low, other.low)),
            tuple(map(max, self.high, other.high)),
        )

    @property
    def snr_db(self) -> tuple[float, ...]:
        """20 log10(mean / deviation) of each channel in dB; inf where nothing deviates, nan without a mean above 0."""
        return tuple(_ratio_db(mean, deviation) for mean, deviation in zip(self.mean, self.deviation, strict=True))


def _ratio_db(mean: float, deviation: float) -> float:
    if mean <= 0:
        return math.nan
    return 20 * math.log10(mean / deviation) if deviation else math.inf


def statistics(pixels: np.ndarray) -> Statistics:
    """Of pixels (H, W, C), at least one of them, in their units."""
    return functools.reduce(operator.add, (_statistics(band) for band in _bands(pixels)))


def _statistics(band: np.ndarray) -> Statistics:
    # Channel by channel: along the short last axis NumPy takes ten times as long.
    planes = [np.ascontiguousarray(band[..., channel], np.float64).ravel() for channel in range(band.shape[2])]
    means = [float(plane.mean()) for plane in planes]
    centred = [plane - mean for plane, mean in zip(planes, means, strict=True)]
    return Statistics(
        len(planes[0]),
        tuple(means),
        tuple(math.sqrt(float(plane @ plane) / len(plane)) for plane in centred),
        tuple(float(plane.min()) for plane in planes),
        tuple(float(plane.max()) for plane in planes),
    )


def _bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _BAND // (pixels.shape[1] * pixels.shape[2]))
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows]


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many samples of each channel lie where; those of two pictures with the same levels can be added.

    Attributes:
        levels: where the first bin begins and the last one ends, which holds its end too; the bins are equally wide.
        counts: (C, bins) int64.
        below, above: (C,) int64, the samples outside.
    """

    levels: tuple[float, float]
    counts: np.ndarray
    below: np.ndarray
    above: np.ndarray

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.levels, self.counts + other.counts, self.below + other.below, self.above + other.above)

    @property
    def edges(self) -> np.ndarray:
        """(bins + 1,) where each bin begins, and where the last one ends."""
        return np.linspace(*self.levels, self.counts.shape[1] + 1)


def histogram(pixels: np.ndarray, levels: tuple[float, float], bins: int = 256) -> Histogram:
    """Count the samples of pixels (H, W, C).

    With levels of (0, 1) and 256 bins every value of an 8-bit picture has a bin of its own.

    Args:
        pixels: finite.
        levels: in their units, the second above the first.
        bins: at least 1.
    """
    low, high = levels
    channels = pixels.shape[2]
    # What is below and above gets a bin at either end.
    counts = np.zeros((channels, bins + 2), np.int64)
    for band in _bands(pixels):
        samples = band.reshape(-1, channels)
        for channel in range(channels):
            values = samples[:, channel].astype(np.float64)
            places = np.floor((values - low) * (bins / (high - low)))
            np.clip(places, 0, bins - 1, out=places)
            places[values < low] = -1
            places[values > high] = bins
            counts[channel] += np.bincount(places.astype(np.int64) + 1, minlength=bins + 2)
    return Histogram(levels, counts[:, 1:-1], counts[:, 0], counts[:, -1])


def profile(read: Read, size: tuple[int, int], line: Line, width: int = 1) -> np.ndarray | None:
    """Values along a line, (N, C) float64, one a pixel from its beginning on; nan where there is nothing to read.

    Between pixels they are interpolated bilinearly; beyond the border its pixels go on. None where nothing can be read
    anywhere on the line. A long line is read in short pieces, so that a diagonal does not need the whole picture.

    Args:
        read: gives the pixels of a part of the picture.
        size: height and width of the picture.
        line: from where to where.
        width: of the strip along the line, over which the values are averaged: so many lines one pixel apart.
    """
    x0, y0, x1, y1 = line
    length = math.hypot(x1 - x0, y1 - y0)
    along = ((x1 - x0) / length, (y1 - y0) / length) if length else (1.0, 0.0)
    steps = np.arange(math.floor(length) + 1)
    beside = np.arange(width) - (width - 1) / 2
    values: np.ndarray | None = None
    for start in range(0, len(steps), _SEGMENT):
        part = steps[start : start + _SEGMENT]
        x = x0 - 0.5 + part[:, None] * along[0] - beside * along[1]
        y = y0 - 0.5 + part[:, None] * along[1] + beside * along[0]
        found = _interpolated(read, size, x, y)
        if found is None:
            continue
        if values is None:
            values = np.full((len(steps), found.shape[-1]), np.nan)
        values[start : start + len(part)] = found.mean(1)
    return values


def _interpolated(read: Read, size: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """(..., C) float64 at these columns and rows, where 0 is the middle of the first pixel."""
    height, width = size
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = int(x.min()), int(y.min())
    area = Rect(left, top, min(int(x.max()) + 2, width), min(int(y.max()) + 2, height))
    pixels = read(area)
    if pixels is None:
        return None
    column, row = np.floor(x).astype(int) - left, np.floor(y).astype(int) - top
    right, below = np.minimum(column + 1, area.width - 1), np.minimum(row + 1, area.height - 1)
    across, down = (x - left - column)[..., None], (y - top - row)[..., None]
    pixels = pixels.astype(np.float64)
    upper = pixels[row, column] * (1 - across) + pixels[row, right] * across
    lower = pixels[below, column] * (1 - across) + pixels[below, right] * across
    return upper * (1 - down) + lower * down
