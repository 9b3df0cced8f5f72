"""What the inspector measures of the picture on the screen, in small steps; no Qt here."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from app.shown import Shown
from engine.image import Image
from engine.metrics import Estimate, decibels, squared_error, ssim
from engine.noise import NoiseReport
from engine.noise_curve import NoiseCurve, curve
from engine.proposal import Proposal
from engine.residual import Residual, analyse_area
from engine.statistics import Histogram, Line, Read, Statistics, histogram, profile, statistics
from engine.tiles import Rect, grid

MOST = 1 << 24
"""Pixels of a region that are measured; of a larger one so many are taken, in blocks spread evenly over it."""

MOST_COUNTED = 1 << 22
"""The same for a histogram, whose shape needs no more."""

BINS = 256

AUTO_PERCENT = (0.1, 99.9)
"""What lies between these percentiles of the noisy picture is shown by the automatic black and white points."""

_BLOCK = 256
_STEP = 1 << 17
"""Pixels worked on between two chances to stop or to look after something more urgent."""

_THINNED = 1 << 19
"""Pixels that the percentiles are taken from."""

_PLASTIC = 1.324717957244746

_EDGE = 5
"""SSIM leaves out so many pixels at each border."""

Steps = Generator[None, None, None]


@dataclass(frozen=True)
class Values:
    """Of one pixel, in the file's own units, a number for each channel; None where there is nothing.

    Attributes:
        x, y: of the pixel.
        unit: what the picture's own units are multiplied with.
    """

    x: int
    y: int
    unit: float
    before: tuple[float, ...]
    after: tuple[float, ...] | None = None
    reference: tuple[float, ...] | None = None

    @property
    def difference(self) -> tuple[float, ...] | None:
        """After minus before."""
        if self.after is None:
            return None
        return tuple(after - before for after, before in zip(self.after, self.before, strict=True))


@dataclass(frozen=True, eq=False)
class Histograms:
    """Of a region, or of the whole picture.

    Attributes:
        area: what was counted.
        is_whole: whether that is the whole picture.
        is_sampled: whether only a part of it was.
        unit: what the picture's own units, in which all levels are, are multiplied with to get the file's.
        after, reference: None where there is none for all of the area.
        levels: of the picture: what is black and white on the screen unless it is said otherwise.
        auto: black and white by `AUTO_PERCENT`; the second is above the first.
        has_levels: whether black and white points can be chosen, which they cannot for 8 bits.
    """

    area: Rect
    is_whole: bool
    is_sampled: bool
    unit: float
    before: Histogram
    after: Histogram | None
    reference: Histogram | None
    levels: tuple[float, float]
    auto: tuple[float, float]
    has_levels: bool


@dataclass(frozen=True, eq=False)
class Profiles:
    """Along a line: (N, C) in the file's own units, one a pixel, nan or None where there is nothing."""

    line: Line
    width: int
    unit: float
    before: np.ndarray
    after: np.ndarray | None
    reference: np.ndarray | None


@dataclass(frozen=True)
class Measured:
    """Of a region.

    Attributes:
        is_sampled: whether the statistics, PSNR and SSIM are of a part of it only, spread evenly.
        unit: what the picture's own units are multiplied with to get the file's.
        before, after, reference: in the picture's own units; None where there is none for all of the region.
        estimate: the PSNR estimated without the reference.
        psnr_db, ssim: of the result against the reference; None without one of both.
        noisy_psnr_db: of the noisy picture against it.
        is_shift_free: whether the mean difference of each channel was taken out before comparing.
        course: how good the same pixels were after fewer passes: (T, PSNR in dB, half-width of its band, which is 0
            against a reference), the fewest first.
    """

    area: Rect
    is_sampled: bool
    unit: float
    before: Statistics
    after: Statistics | None = None
    reference: Statistics | None = None
    estimate: Estimate = field(default_factory=lambda: Estimate(None, None))
    psnr_db: float | None = None
    ssim: float | None = None
    noisy_psnr_db: float | None = None
    is_shift_free: bool = False
    course: tuple[tuple[int, float, float], ...] = ()


def unit_of(image: Image) -> float:
    """What its pixels are multiplied with to get the samples of the file."""
    return 1.0 if image.is_float else float((1 << image.bits) - 1)


def inside(area: Rect, image: Image) -> Rect | None:
    """The part of the area that lies in the picture; None where nothing does."""
    shared = area.shared(Rect(0, 0, image.width, image.height))
    return shared if shared.width > 0 and shared.height > 0 else None


def values(shown: Shown, x: int, y: int) -> Values | None:
    """Those of a pixel; None outside of the picture."""
    area, unit = Rect(x, y, x + 1, y + 1), unit_of(shown.image)
    if inside(area, shown.image) is None:
        return None

    def told(pixels: np.ndarray | None) -> tuple[float, ...] | None:
        return None if pixels is None else tuple((pixels[0, 0].astype(np.float64) * unit).tolist())

    before = told(shown.noisy(area))
    assert before is not None
    return Values(x, y, unit, before, told(shown.result(area)), told(shown.clean(area)))


def blocks(area: Rect, most: int) -> tuple[list[Rect], bool]:
    """Rectangles that cover the area, or of a larger one about `most` pixels evenly; and whether it is larger."""
    if area.width * area.height <= most:
        rows = max(1, _STEP // area.width)
        bands = range(area.top, area.bottom, rows)
        return [Rect(area.left, top, area.right, min(top + rows, area.bottom)) for top in bands], False
    pieces = grid(area, _BLOCK)
    count = max(1, most // _BLOCK**2)
    # These steps fall evenly into the unit interval along rows, columns and diagonals, however many blocks are taken;
    # equal steps through all blocks would take columns where they fit into a row. Roberts: The unreasonable
    # effectiveness of quasirandom sequences, 2018.
    columns = -(-area.width // _BLOCK)
    order = sorted(range(len(pieces)), key=lambda i: (i // columns * _PLASTIC**-1 + i % columns * _PLASTIC**-2) % 1)
    return [pieces[index] for index in sorted(order[:count])], True


def count(shown: Shown, area: Rect, known: Histograms | None = None) -> Generator[None, None, Histograms]:
    """Histograms of an area that lies in the picture.

    Args:
        shown: the picture.
        area: of it.
        known: of the same area of the same picture and reference, with another result; what holds still is taken over.
    """
    image = shown.image
    pieces, is_sampled = blocks(area, MOST_COUNTED)
    auto = known.auto if known is not None else _auto(image, area)
    yield
    levels = _range(image, auto)
    before = known.before if known is not None else (yield from _counted(shown.noisy, pieces, levels))
    assert before is not None
    after = yield from _counted(shown.result, pieces, levels)
    reference = known.reference if known is not None else (yield from _counted(shown.clean, pieces, levels))
    has_levels = image.is_float or image.bits != 8
    how = area == shown.whole, is_sampled, unit_of(image)
    return Histograms(area, *how, before, after, reference, image.levels, auto, has_levels)


def _counted(
    read: Read, pieces: Iterable[Rect], levels: tuple[float, float]
) -> Generator[None, None, Histogram | None]:
    parts = []
    for piece in pieces:
        pixels = read(piece)
        if pixels is None:
            return None
        parts.append(histogram(pixels, levels, BINS))
        yield
    return functools.reduce(operator.add, parts)


def _auto(image: Image, area: Rect) -> tuple[float, float]:
    """Black and white by percentiles of about half a million pixels."""
    stride = max(1, math.isqrt(area.width * area.height // _THINNED))
    pixels = image.pixels[area.slices][::stride, ::stride]
    low, high = (float(value) for value in np.percentile(pixels, AUTO_PERCENT))
    return (low, high) if high > low else (low, low + (image.levels[1] - image.levels[0]) / BINS)


def _range(image: Image, auto: tuple[float, float]) -> tuple[float, float]:
    """What a histogram shows: an 8-bit picture's whole range, of others what their levels and nearly all samples do."""
    if image.bits == 8 and not image.is_float:
        return 0.0, 1.0
    low, high = min(image.levels[0], auto[0]), max(image.levels[1], auto[1])
    margin = 0.05 * (high - low)
    return low - margin if auto[0] < image.levels[0] else low, high + margin if auto[1] > image.levels[1] else high


def trace(shown: Shown, line: Line, width: int) -> Generator[None, None, Profiles]:
    """Profiles along a line."""
    image, unit, found = shown.image, unit_of(shown.image), []
    for read in (shown.noisy, shown.result, shown.clean):
        values = profile(read, (image.height, image.width), line, width)
        found.append(None if values is None else values * unit)
        yield
    assert found[0] is not None
    return Profiles(line, width, unit, *found)


def measure(
    shown: Shown, area: Rect, shift_free: bool = False, shift: np.ndarray | None = None
) -> Generator[Measured | None, None, Measured]:
    """Statistics and numbers of an area that lies in the picture; all but the SSIM, which takes long, come earlier.

    Args:
        shown: the picture.
        area: of it.
        shift_free: whether the difference in brightness from the reference is taken out.
        shift: (C,) that difference in the whole picture; None where it is not known, then that of the area is.
    """
    image = shown.image
    pieces, is_sampled = blocks(area, MOST)
    befores, afters, references = [], [], []
    result: list[np.ndarray] | None = []
    for piece in pieces:
        befores.append(statistics(shown.noisy(piece)))
        clean = shown.clean(piece)
        if clean is not None:
            references.append(statistics(clean))
        yield
        # Kept: the result goes on changing while it is measured, and its numbers should be those of one state.
        pixels = shown.result(piece) if result is not None else None
        if pixels is None or result is None:
            result = None
            continue
        result.append(pixels)
        afters.append(statistics(pixels))
        yield
    before = functools.reduce(operator.add, befores)
    after = functools.reduce(operator.add, afters) if result is not None else None
    reference = functools.reduce(operator.add, references) if references else None
    estimate = shown.estimate(area)
    yield
    measured = Measured(area, is_sampled, unit_of(image), before, after, reference, estimate)
    twin = shown.reference
    if twin is None or reference is None:
        return measured
    added = (shift if shift is not None else _shift(before, reference)) if shift_free else None
    noisy_db = yield from _psnr([shown.noisy(piece) for piece in pieces], pieces, twin, added)
    db = similarity = None
    if after is not None and result is not None:
        added = (shift if shift is not None else _shift(after, reference)) if shift_free else None
        db = yield from _psnr(result, pieces, twin, added)
        if not is_sampled:
            result, pieces = [np.concatenate(result)], [area]
        measured = replace(measured, psnr_db=db, noisy_psnr_db=noisy_db, is_shift_free=shift_free)
        yield measured
        similarity = yield from _ssim(result, pieces, twin, added)
    return replace(measured, psnr_db=db, ssim=similarity, noisy_psnr_db=noisy_db, is_shift_free=shift_free)


def follow(
    shown: Shown, area: Rect, shift_free: bool = False, shift: np.ndarray | None = None
) -> Generator[Measured | None, None, Measured]:
    """As `measure`, and how good the same pixels were after each number of passes whose mean is kept."""
    points = []
    for step in shown.course(area):
        point = yield from _point(step, area, shift_free, shift)
        if point is not None:
            points.append((step.passes, *point))
    steps = measure(shown, area, shift_free, shift)
    while True:
        try:
            found = next(steps)
        except StopIteration as end:
            return replace(end.value, course=tuple(points))
        yield None if found is None else replace(found, course=tuple(points))


def _point(
    shown: Shown, area: Rect, shift_free: bool, shift: np.ndarray | None
) -> Generator[None, None, tuple[float, float] | None]:
    """PSNR and the half-width of its band; None where there is no number."""
    twin = shown.reference
    if twin is None:
        estimate = shown.estimate(area)
        yield
        return None if estimate.psnr_db is None else (estimate.psnr_db, estimate.band_db or 0.0)
    pieces, _ = blocks(area, MOST_COUNTED)
    result = []
    for piece in pieces:
        pixels = shown.result(piece)
        yield
        if pixels is None:
            return None
        result.append(pixels)
    added = None
    if shift_free and shift is None:
        here = functools.reduce(operator.add, map(statistics, result))
        there = functools.reduce(operator.add, (statistics(twin.pixels[piece.slices]) for piece in pieces))
        added = _shift(here, there)
    elif shift_free:
        added = shift
    db = yield from _psnr(result, pieces, twin, added)
    return (db, 0.0) if math.isfinite(db) else None


def judge(shown: Shown, area: Rect) -> Generator[None, None, Residual | None]:
    """What was removed from an area that lies in the picture; None where there is no result for any of it.

    It is one step, for what stands out in one place is told by all others.
    """
    yield

    def read(part: Rect) -> tuple[np.ndarray, np.ndarray] | None:
        result = shown.result(part)
        return None if result is None else (shown.noisy(part), result)

    return analyse_area(area, read, report=shown.report, levels=shown.image.levels)


def noise(image: Image, report: NoiseReport, proposal: Proposal | None) -> Generator[None, None, NoiseCurve]:
    """The noise over brightness, in one step; NoiseError where the picture is too small for it."""
    yield
    return curve(image, report, proposal)


def _shift(here: Statistics, there: Statistics) -> np.ndarray:
    return (np.array(there.mean) - np.array(here.mean)).astype(np.float32)


def _psnr(
    parts: list[np.ndarray], pieces: list[Rect], twin: Image, shift: np.ndarray | None
) -> Generator[None, None, float]:
    """Of all parts together, each of which lies at its piece."""
    error, samples = 0.0, 0
    for pixels, piece in zip(parts, pieces, strict=True):
        error += squared_error(pixels, twin.pixels[piece.slices], twin.peak, shift=shift)
        samples += pixels.size
        yield
    return decibels(error / samples, twin.peak)


def _ssim(
    parts: list[np.ndarray], pieces: list[Rect], twin: Image, shift: np.ndarray | None
) -> Generator[None, None, float | None]:
    """The mean over all parts that are large enough for it; None where none is."""
    total, pixels = 0.0, 0
    for part, piece in zip(parts, pieces, strict=True):
        if min(piece.width, piece.height) <= 2 * _EDGE:
            continue
        rows = max(1, _STEP // piece.width)
        for top in range(_EDGE, piece.height - _EDGE, rows):
            bottom = min(top + rows, piece.height - _EDGE)
            # At least eleven rows, whose inner ones are those of the whole piece.
            band = slice(top - _EDGE, bottom + _EDGE)
            clean = twin.pixels[piece.slices][band]
            inner = (bottom - top) * (piece.width - 2 * _EDGE)
            total += ssim(part[band], clean, twin.peak, shift=shift) * inner
            pixels += inner
            yield
    return total / pixels if pixels else None
