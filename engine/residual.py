"""What a denoiser removed: whether it looks like the noise, and the places where structure went with it.

What even a perfect denoiser removes is noise, so the question is never whether something is left, but whether it is
unlike the noise elsewhere. The picture is cut into blocks; the null hypothesis for each is that the removed part there
is noise as elsewhere in the picture, of any spectrum and of any dependence on brightness. Four steps:

1. Standardising. The removed part r = noisy - result is divided by its deviation at pixels of that brightness, after
   its mean there was subtracted, both taken robustly over the picture for each channel: noise may depend on brightness,
   and the mean of clipped noise does. Of white noise the deviation is at least the measured one. Blocks where more than
   a quarter of the pixels are clipped say nothing.
2. Prewhitening. The channels are turned to their principal axes, and each of the block's DCT coefficients is divided by
   its root mean square over those blocks of the picture where the result is flattest and nothing was found (two
   rounds). For stationary noise the coefficients z are then independent and standard normal: sums over a block tend to
   normality whatever the noise's distribution.
3. Tests. (a) Where the noise is white: the mean of z^2 in a cell of the spectrum (4 rings by 3 orientations, 3 whole
   rings) against that of all other coefficients, or 1 where that is more. The block's autocorrelation is the transform
   of its spectrum, so this asks what the portmanteau tests of lagged products ask (Box and Pierce, JASA 65, 1970;
   Ljung and Box, Biometrika 65, 1978), in the frequency domain and for a peak in a known cell rather than for any
   departure. The ratio is F distributed; an approximation makes it a normal deviate (Paulson, Annals of Mathematical
   Statistics 13, 1942). (b) Always: what was eaten of an edge has the shape of the result's own high frequencies. With
   u the result's DCT coefficients, weighted by 1 - exp(-omega^2 / 2) or 1 - exp(-2 omega^2) and prewhitened as z is,
   sum(z u) is normal with variance sum(u^2) where z is noise that knows nothing of the result. It does know some, for
   noise is left in each result: the sum's expectation is then the weighted trace of the denoiser's Jacobian (Stein,
   Annals of Statistics 9, 1981). Over the flat blocks its mean is subtracted and its variance added. Beside structure
   networks keep more; the best possible denoiser keeps as much as is missing of the noise in what it removed, so
   sum(w (1 - z^2)), as a median over blocks with a result of like strength, is subtracted too. Only a positive
   correlation counts; the negative one is a result sharper than its picture.
4. Significance. A block is marked where any of its tests lies beyond the normal quantile of `SIGNIFICANCE` divided by
   the number of tests in the picture (Bonferroni), so the expected number of blocks marked by chance is at most that,
   and so is the chance that anything is marked in pure noise.

Noise that is not white is in practice a camera's JPEG: its spectrum differs from block to block, which test (a) would
take for structure. There (b) alone is done, on blocks of twice the side, with White's variance sum(z^2 u^2), valid for
any spectrum of the block (Econometrica 48, 1980). The z^2 in it is that of the coefficients around, but in other rows
and columns of the spectrum: the structure of an edge lies in one of these, and would hide behind its own strength.
JPEG's noise depends on the structure besides; where it is seen, deviates must be 1.5 times as large.

Measured in 300 pictures of 256x192 pixels of each kind of pure noise (white, in colour and grey, growing with
brightness, Poisson, clipped and rounded, with the true picture as the result; white, removed by a blur and by a median;
correlated over two distances, and removed by a blur): something is marked in 0 of 2,700 with white and in 1 of 900 with
correlated noise. Of seven photographs with white noise of 25 of 255, 8 of 4,557 blocks of R2R's results are marked, and
723 once these are blurred by one pixel more.

The residual's autocorrelation as a check of denoisers that learn without clean pictures was asked for in CAREamics
issue 299.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine.language import tr, trn
from engine.noise import NoiseReport, clip_levels
from engine.tiles import Rect

SIGNIFICANCE = 0.01
"""Chance that anything is marked in a picture of pure noise."""

LAGS = 6
"""Of the autocorrelation, in each direction; as in `NoiseReport`."""

LEAST_SIDE = 64
"""Pixels in each direction below which no structure is looked for: there is no elsewhere."""

_SIDE, _WIDE_SIDE = 16, 32
_WINDOW = 128  # side of the samples of a large picture
_MOST, _SAMPLED = 4_000_000, 2_000_000  # pixels up to which a region is looked at whole, and of a larger one
_TILE = 64  # of the autocorrelation
_TILES = 96
_CLIPPED = 0.25
_STILL = 1e-3  # mean square of the standardised residual below which nothing was removed in a block
_FLAT_SHARE, _FLAT_LEAST = 0.4, 64 * 1024  # of the blocks; pixels that they hold together
_NOISE_LEAST = 16
_SUSPECT = 3.3  # deviates from which a block is no longer taken for noise
_BINS, _BIN_LEAST, _LEVELS = 16, 64, 1024
_SAMPLES = 2**17
_OUTLYING = 5.0
# What JPEG leaves of noise depends on the structure below. Of 2,811 blocks of pictures of quality 75 whose result was
# the mean of 40 such, 2 are marked, without this one in a hundred; of 2,805 at 90 and 95 none.
_JPEG_SPREAD = 1.5
_ALIKE = 64
_NEAR = 3  # coefficients in each direction from which the variance of one is told
_WEAKEST = 1e-2  # least mean square of a coefficient, in that of all
# A network leaves slow noise in its result, but takes no more of it than was there.
_EXCESS = 1.1
_MEDIAN_SQUARE, _MEDIAN_EFFICIENCY = 0.4549, 0.37  # of a standard normal, and against the mean

Read = Callable[[Rect], tuple[np.ndarray, np.ndarray] | None]
"""A region's noisy and denoised pixels, each (h, w, C) float32; None where there is no result yet."""


@dataclass(frozen=True, eq=False)
class Residual:
    """What was removed from a region, noisy minus result; deviations in 255ths of the range between the levels.

    Attributes:
        deviation: standard deviation, over all channels.
        expected: that of the measured noise at these brightnesses; None where it is not known.
        autocorrelation: (13, 13) by lags in pixels, pooled over channels, lag 0 in the middle, rows are vertical lags.
        expected_autocorrelation: of the measured noise; None where it is not known.
        band: white noise stays within +- this at 95 % of the lags.
        marks: blocks in which structure was left, in pixels of the picture.
        blocks: how many were looked at.
        side: of a block, in pixels.
        share: part of the region's pixels that was looked at.
        significance: chance that any block is marked where only noise was removed, and the expected number of them.
        verdict: one to three sentences.
    """

    deviation: float
    expected: float | None
    autocorrelation: np.ndarray
    expected_autocorrelation: np.ndarray | None
    band: float
    marks: tuple[Rect, ...]
    blocks: int
    side: int
    share: float
    significance: float
    verdict: str

    @property
    def neighbours(self) -> float:
        """Correlation of neighbouring pixels, mean of both directions."""
        return _neighbours(self.autocorrelation)


def analyse(
    noisy: np.ndarray,
    result: np.ndarray,
    *,
    report: NoiseReport | None = None,
    levels: tuple[float, float] = (0.0, 1.0),
    origin: tuple[int, int] = (0, 0),
) -> Residual:
    """Judge what was removed from a region whose pixels are at hand.

    Of one with more than 4 megapixels 2 are looked at, in windows on an even grid.

    Args:
        noisy: (h, w, C) float32, in the picture's units.
        result: the same shape.
        report: of the whole picture's noise.
        levels: what maps to [0, 1].
        origin: column and row of the region in the picture.
    """
    left, top = origin
    area = Rect(left, top, left + noisy.shape[1], top + noisy.shape[0])

    def read(rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        part = rect.moved(-left, -top).slices
        return noisy[part], result[part]

    return analyse_area(area, read, report=report, levels=levels)


def analyse_area(
    area: Rect,
    read: Read,
    *,
    report: NoiseReport | None = None,
    levels: tuple[float, float] = (0.0, 1.0),
) -> Residual:
    """Judge what was removed from a region that is read piece by piece; arguments as in `analyse`."""
    windows = _windows(area)
    parts = [(window, part) for window in windows if (part := read(window)) is not None]
    if not parts:
        return _nothing(tr("There is no result here yet."))
    black, span = levels[0], levels[1] - levels[0]
    noisy, result = (
        [np.asarray(part[which] if levels == (0, 1) else (part[which] - black) / span, np.float32) for _, part in parts]
        for which in (0, 1)
    )
    rects = [window for window, _ in parts]
    removed = [before - after for before, after in zip(noisy, result, strict=True)]
    deviation = 255 * math.sqrt(_mean_square(removed))
    if not deviation:
        return _nothing(tr("Nothing was removed here."))
    if report is not None and len(report.slope) != noisy[0].shape[2]:
        report = None  # measured on the sensor's mosaic: what is shown of it was developed
    expected = _expected(report, result) if report is not None and not report.is_clean else None
    is_white = report is not None and report.is_white
    standard = _standardised(removed, result, report if is_white else None)
    autocorrelation, band = _autocorrelation(standard)
    frame = _frame(_SIDE if is_white else _WIDE_SIDE)
    usable = [i for i, rect in enumerate(rects) if min(rect.width, rect.height) >= LEAST_SIDE]
    marks: list[Rect] = []
    blocks = 0
    if usable:
        places, fields = _cut(frame, [(rects[i], standard[i], result[i], noisy[i]) for i in usable])
        ceiling = _ceiling(frame, report) if report is not None and is_white else None
        is_jpeg = report is None or report.texture_gain > 0
        is_marked, is_known = _marked(frame, *fields, ceiling, _JPEG_SPREAD if is_jpeg and not is_white else 1.0)
        marks = [place for place, on in zip(places, is_marked, strict=True) if on]
        blocks = int(np.count_nonzero(is_known))
    reference = None if report is None else _widened(np.array(report.autocorrelation))
    found = Residual(
        deviation=deviation,
        expected=expected,
        autocorrelation=autocorrelation,
        expected_autocorrelation=reference,
        band=band,
        marks=tuple(marks),
        blocks=blocks,
        side=frame.side,
        share=sum(rect.width * rect.height for rect in rects) / (area.width * area.height),
        significance=SIGNIFICANCE,
        verdict="",
    )
    return Residual(**{**vars(found), "verdict": _verdict(found, report)})


def _nothing(verdict: str) -> Residual:
    lags = np.arange(-LAGS, LAGS + 1)
    white = np.outer(lags == 0, lags == 0).astype(float)
    return Residual(0.0, None, white, None, 1.0, (), 0, _SIDE, 0.0, SIGNIFICANCE, verdict)


def _verdict(found: Residual, report: NoiseReport | None) -> str:
    sentences = []
    if not found.blocks:
        sentences.append(tr("Too little is visible, or too much of it is clipped, to look for structure."))
    elif found.marks:
        sentences.append(
            tr(
                "Structure went with the noise in {marked} of {blocks} blocks ({share:.1f} %; at most {chance:g} would "
                "be marked by chance)."
            ).format(
                marked=f"{len(found.marks):,}",
                blocks=f"{found.blocks:,}",
                share=100 * len(found.marks) / found.blocks,
                chance=found.significance,
            )
        )
    sentences += _about_strength(found, report)
    removed, measured = found.neighbours, None
    if found.expected_autocorrelation is not None:
        measured = _neighbours(found.expected_autocorrelation)
    tolerance = max(found.band, 0.05 if measured is not None and abs(measured) < 0.05 else 0.1)
    clean = bool(found.blocks) and not found.marks
    counted = trn("{count} block", "{count} blocks", found.blocks).format(count=f"{found.blocks:,}")
    if measured is None:
        if clean:
            sentences.insert(0, tr("No structure was found in {blocks}.").format(blocks=counted))
        text = tr("Neighbouring pixels of what was removed correlate by {removed}; white noise has 0.")
    elif removed > measured + tolerance:
        if clean:
            sentences.insert(0, tr("No single place stands out among {blocks}.").format(blocks=counted))
        text = tr(
            "Neighbouring pixels of what was removed correlate by {removed}, those of the measured noise by "
            "{measured}: more than noise was removed."
        )
    elif removed < measured - tolerance:
        if clean:
            sentences.insert(0, tr("No structure was found in {blocks}.").format(blocks=counted))
        text = tr(
            "Neighbouring pixels of what was removed correlate by {removed}, those of the measured noise by "
            "{measured}: the noise's slower variations are still in the result."
        )
    else:
        if clean:
            begin = tr("What was removed looks like the measured noise: no structure was found in {blocks}.")
            sentences.insert(0, begin.format(blocks=counted))
        text = tr(
            "Neighbouring pixels of what was removed correlate by {removed}, about as those of the measured noise do "
            "({measured})."
        )
    sentences.append(text.format(removed=_signed(removed), measured=_signed(measured or 0.0)))
    return " ".join(sentences)


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _about_strength(found: Residual, report: NoiseReport | None) -> list[str]:
    if report is None:
        return []
    if found.expected is None:
        return [tr("The picture seemed clean, so what was removed is hardly noise.")]
    ratio, doubt = found.deviation / found.expected, 2 * report.uncertainty
    values = {"percent": 100 * ratio, "removed": found.deviation, "measured": found.expected}
    if ratio < min(0.8, 1 - doubt):
        text = tr(
            "Too little was removed: {percent:.0f} % of the measured noise ({removed:.1f} against {measured:.1f} of "
            "255), the rest is still in the result."
        )
        return [text.format(**values)]
    if ratio > max(1.15, 1 + doubt):
        text = tr("More was removed than there is noise: {removed:.1f} against {measured:.1f} of 255.")
        return [text.format(**values)]
    return []


def _neighbours(autocorrelation: np.ndarray) -> float:
    middle = len(autocorrelation) // 2
    return float(autocorrelation[middle, middle + 1] + autocorrelation[middle + 1, middle]) / 2


def _widened(table: np.ndarray) -> np.ndarray:
    """(13, 13) of a table with odd sides and lag 0 in the middle."""
    out = np.zeros((2 * LAGS + 1, 2 * LAGS + 1))
    reach = min(LAGS, len(table) // 2)
    inner = len(table) // 2
    out[LAGS - reach : LAGS + reach + 1, LAGS - reach : LAGS + reach + 1] = table[
        inner - reach : inner + reach + 1, inner - reach : inner + reach + 1
    ]
    return out


def _mean_square(parts: Sequence[np.ndarray]) -> float:
    """Variance about the mean of each channel, mean over channels."""
    count = sum(part.shape[0] * part.shape[1] for part in parts)
    sums = sum(part.sum((0, 1), dtype=np.float64) for part in parts) / count
    squares = sum(float(np.vdot(part, part)) for part in parts) / count / parts[0].shape[2]
    return max(squares - float(np.mean(np.square(sums))), 0.0)


def _expected(report: NoiseReport, result: Sequence[np.ndarray]) -> float:
    """Deviation of the measured noise at the result's brightnesses, in 255ths: the report's line, as strong as it."""
    here = np.mean([part[::4, ::4].mean((0, 1)) for part in result], axis=0)
    variances = [float(_variance(report, channel, level)) for channel, level in enumerate(here)]
    return 255 * math.sqrt(np.mean(variances)) if min(variances) > 0 else 255 * report.sigma


def _variance(report: NoiseReport, channel: int, level: np.ndarray | float) -> np.ndarray:
    """Of a channel's noise at that brightness: the report's line, as strong as its sigma is on average."""
    usual = np.mean(np.array(report.slope) * report.mean + report.offset) if report.mean else 0.0
    line = np.maximum(report.slope[channel] * np.asarray(level) + report.offset[channel], 0)
    return line * (report.sigma**2 / usual) if usual > 0 else np.full_like(line, report.sigma**2)


def _windows(area: Rect) -> list[Rect]:
    """The region itself, or windows of a large one on an even grid."""
    pixels = area.width * area.height
    if pixels <= _MOST:
        return [area]
    each = math.sqrt(_SAMPLED / pixels)
    tops, lefts = (
        np.linspace(0, max(0, side - _WINDOW), max(1, int(side * each / _WINDOW))).astype(int).tolist()
        for side in (area.height, area.width)
    )
    windows = [
        Rect(left, top, left + _WINDOW, top + _WINDOW).moved(area.left, area.top) for top in tops for left in lefts
    ]
    return [window.shared(area) for window in windows]


def _standardised(
    removed: Sequence[np.ndarray], result: Sequence[np.ndarray], report: NoiseReport | None
) -> list[np.ndarray]:
    """The residual less its mean, over its deviation, at the result's brightness, cut off at 5 deviations.

    With a report the deviation is at least that of the measured noise: where less was removed, that is to be seen.
    """
    channels = removed[0].shape[2]
    step = max(1, math.isqrt(sum(part.shape[0] * part.shape[1] for part in removed) // _SAMPLES))
    out = [np.empty_like(part) for part in removed]
    for channel in range(channels):
        level = np.concatenate([part[::step, ::step, channel].ravel() for part in result])
        value = np.concatenate([part[::step, ::step, channel].ravel() for part in removed])
        low, high = float(level.min()), float(level.max())
        centres, means, deviations = _by_brightness(level, value)
        if report is not None:
            deviations = np.maximum(deviations, np.sqrt(_variance(report, channel, np.array(centres))))
        nodes = np.linspace(low, high, _LEVELS)
        mean = np.interp(nodes, centres, means).astype(np.float32)
        inverse = (1 / np.interp(nodes, centres, deviations)).astype(np.float32)
        scale = np.float32((_LEVELS - 1) / max(high - low, 1e-9))
        for part, before, after in zip(out, removed, result, strict=True):
            index = np.clip((after[..., channel] - np.float32(low)) * scale + np.float32(0.5), 0, _LEVELS - 1)
            index = index.astype(np.int16)
            part[..., channel] = (before[..., channel] - mean[index]) * inverse[index]
    for part in out:
        np.clip(part, -_OUTLYING, _OUTLYING, out=part)
    return out


def _by_brightness(level: np.ndarray, value: np.ndarray) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Brightness, mean and deviation of `value` in bins of equally many samples; outliers are drawn in."""
    count = min(_BINS, max(1, len(level) // (8 * _BIN_LEAST)))
    edges = np.quantile(level, np.linspace(0, 1, count + 1)[1:-1])
    order = np.searchsorted(edges, level, side="right")
    centres, means, deviations = [], [], []
    for number in range(count):
        inside = order == number
        if np.count_nonzero(inside) < min(_BIN_LEAST, len(level)):
            continue  # many pixels of one brightness leave bins empty
        values = value[inside]
        middle = np.median(values)
        usual = np.quantile(np.abs(values - middle), 0.6827)
        drawn = np.clip(values, middle - 4 * usual, middle + 4 * usual)
        centres.append(float(level[inside].mean()))
        means.append(float(drawn.mean()))
        deviations.append(float(drawn.std()))
    least = 0.1 * float(np.median(deviations)) + 1e-6
    return centres, np.array(means), np.maximum(deviations, least)


def _autocorrelation(standard: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Of the standardised residual, pooled over channels, and the 95 % band of white noise."""
    tiles = []
    for part in standard:
        height, width = (min(side, _TILE) for side in part.shape[:2])
        tops, lefts = (
            range(0, side - tile + 1, tile) for side, tile in zip(part.shape[:2], (height, width), strict=True)
        )
        tiles += [part[top : top + height, left : left + width] for top in tops for left in lefts]
    tiles = tiles[:: -(-len(tiles) // _TILES)]
    lags = np.arange(-LAGS, LAGS + 1)
    sums = np.zeros((len(lags), len(lags)))
    terms = np.zeros((len(lags), len(lags)))
    samples = 0
    for tile in tiles:
        height, width, channels = tile.shape
        centred = (tile - tile.mean((0, 1))).transpose(2, 0, 1)
        # Padded by the longest lag nothing wraps around.
        size = (height + LAGS, width + LAGS)
        power = np.square(np.abs(np.fft.rfft2(centred, size))).sum(0)
        sums += np.fft.irfft2(power, size)[np.ix_(lags, lags)]
        terms += channels * np.outer(np.maximum(height - np.abs(lags), 1), np.maximum(width - np.abs(lags), 1))
        samples += height * width
    products = sums / terms
    peak = products[LAGS, LAGS]
    if peak <= 0:
        return np.outer(lags == 0, lags == 0).astype(float), 1.0
    # Channels may be copies of each other, so pixels are counted and not samples.
    return np.clip(products / peak, -1, 1), 1.96 / math.sqrt(samples)


@dataclass(frozen=True, eq=False)
class _Frame:
    """What the tests of a block of that side need.

    Attributes:
        side: pixels.
        transform: (side, side) the orthonormal DCT.
        used: (side^2,) which coefficients are looked at: not the mean and the two slowest.
        cells: (cells, side^2) of the spectrum, 0 or 1.
        weights: (features, side^2) by which the result's high frequencies are raised.
        cosines: (2, side^2) of each coefficient's frequency downwards and across.
        top: (side^2,) the outermost ring.
    """

    side: int
    transform: np.ndarray
    used: np.ndarray
    cells: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray
    top: np.ndarray


@functools.cache
def _frame(side: int) -> _Frame:
    k, n = np.mgrid[0:side, 0:side]
    matrix = np.cos(np.pi * (2 * n + 1) * k / (2 * side)) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    radius = np.hypot(k, n).ravel()
    angle = np.degrees(np.arctan2(k, n)).ravel()
    used = (k + n).ravel() > 1
    limits = side * np.array([0, 0.25, 0.5, 0.75, 2])
    rings = [used & (radius >= low) & (radius < high) for low, high in pairwise(limits)]
    sectors = [(angle >= low) & (angle < low + 30.5) for low in (0, 30.5, 61)]
    cells = [ring & sector for ring in rings for sector in sectors] + rings[:-1]
    square = np.square(np.pi / side * radius)
    return _Frame(
        side,
        matrix.astype(np.float32),
        used,
        np.array(cells, np.float32),
        (used * np.stack([1 - np.exp(-square / 2), 1 - np.exp(-2 * square)])).astype(np.float32),
        np.cos(np.pi * np.stack([k, n]).reshape(2, -1) / side),
        rings[-1],
    )


def _ceiling(frame: _Frame, report: NoiseReport) -> np.ndarray:
    """(side^2,) how much of each coefficient's mean square may be noise, in that of the outermost ring.

    Without it structure that is everywhere would pass for noise. What the report calls white may correlate a little.
    """
    rho = max(report.correlation, 0.0) + 0.02
    shape = (1 + 2 * rho * frame.cosines).prod(0)
    return _EXCESS * shape / shape[frame.top].mean()


_Fields = tuple[np.ndarray, np.ndarray, np.ndarray]


def _cut(
    frame: _Frame, windows: Sequence[tuple[Rect, np.ndarray, np.ndarray, np.ndarray]]
) -> tuple[list[Rect], _Fields]:
    """The blocks of (place, standardised, result, noisy) windows, and of each what the tests want.

    These are the DCT of the standardised residual and of the result, (blocks, C, side^2), and whether the block is to
    be looked at: something was removed, and not too much is clipped.
    """
    side = frame.side
    low, high = clip_levels([noisy for *_, noisy in windows])
    places, residuals, results, known = [], [], [], []
    for rect, standard, result, noisy in windows:
        # The last row and column of blocks reach to the border, and over the ones before them.
        rows, columns = (
            np.unique(np.append(np.arange(0, length - side + 1, side), length - side)) for length in noisy.shape[:2]
        )
        clipped = ((noisy <= low) | (noisy >= high)).any(axis=2, keepdims=True)
        share = _blocks(clipped, rows, columns, side).mean((1, 2))
        residual = _blocks(standard, rows, columns, side)
        known.append((share < _CLIPPED) & (np.square(residual).mean((1, 2)) > _STILL))
        residuals.append(_spectra(residual, frame))
        results.append(_spectra(_blocks(result, rows, columns, side), frame))
        places += [
            Rect(left, top, left + side, top + side).moved(rect.left, rect.top)
            for top in rows.tolist()
            for left in columns.tolist()
        ]
    return places, (np.concatenate(residuals), np.concatenate(results), np.concatenate(known))


def _blocks(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int) -> np.ndarray:
    view = sliding_window_view(pixels, (side, side), axis=(0, 1))[np.ix_(rows, columns)]
    return view.reshape(-1, pixels.shape[2], side * side)


def _spectra(blocks: np.ndarray, frame: _Frame) -> np.ndarray:
    """The DCT of blocks (n, C, side^2)."""
    rows = blocks.reshape(-1, frame.side) @ frame.transform.T
    return (frame.transform @ rows.reshape(-1, frame.side, frame.side)).reshape(blocks.shape)


def _marked(
    frame: _Frame,
    residual: np.ndarray,
    result: np.ndarray,
    known: np.ndarray,
    ceiling: np.ndarray | None,
    spread: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Which blocks hold structure, and which were looked at, (blocks,) each; `_cut` and `_ceiling` give the arguments.

    `spread` is the deviation that the tests' deviates are allowed without structure.
    """
    places = np.flatnonzero(known)
    is_marked = np.zeros(len(known), bool)
    if len(places) < 4:
        return is_marked, np.zeros(len(known), bool)
    residual, result = residual[places], result[places]
    activity = np.square(result * frame.used).sum((1, 2))
    flattest = np.argsort(activity, kind="stable")
    flat = flattest[: max(int(_FLAT_SHARE * len(places)), min(len(places), _FLAT_LEAST // frame.side**2))]
    used = residual[flat][..., frame.used]
    values, axes = np.linalg.eigh(np.einsum("bck,bdk->cd", used, used, optimize=True))
    # Equal channels are one.
    axes = axes[:, values > 1e-3 * values[-1]].astype(np.float32)
    residual = np.ascontiguousarray(np.einsum("bck,cd->bdk", residual, axes, optimize=True))
    result = np.ascontiguousarray(np.einsum("bck,cd->bdk", result, axes, optimize=True))

    spectrum = np.median(np.square(residual[flat]), 0) / _MEDIAN_SQUARE
    certain = _MEDIAN_EFFICIENCY * len(flat)
    for _ in range(2):
        scale = 1 / np.sqrt(_steady(frame, spectrum, len(flat), ceiling))
        by_cell, by_shape, _ = _deviates(frame, residual * scale, result * scale, flat, certain)
        noise = flat[np.maximum(by_cell.max(1), np.abs(by_shape).max(1))[flat] < _SUSPECT]
        flat = noise if len(noise) >= _NOISE_LEAST else flat
        spectrum = np.square(residual[flat]).mean(0)
        certain = len(flat)
    scale = 1 / np.sqrt(_steady(frame, spectrum, len(flat), ceiling))
    by_cell, by_shape, uneven = _deviates(frame, residual * scale, result * scale, flat, certain)
    deviates = uneven if ceiling is None else np.concatenate([by_cell, by_shape], axis=1)
    limit = NormalDist().inv_cdf(1 - SIGNIFICANCE / deviates.size)
    is_marked[places] = deviates.max(1) > spread * limit
    return is_marked, known


def _steady(frame: _Frame, spectrum: np.ndarray, blocks: int, ceiling: np.ndarray | None) -> np.ndarray:
    """The noise's spectrum (C, side^2) as it is used: smoothed where few blocks tell it, and never next to nothing."""
    if blocks < 2000:
        planes = spectrum.astype(np.float32).reshape(-1, frame.side, frame.side)
        smooth = [cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REFLECT) for plane in planes]
        spectrum = np.stack(smooth).reshape(spectrum.shape)
    if ceiling is not None:
        spectrum = np.minimum(spectrum, spectrum[:, frame.top].mean(1, keepdims=True) * ceiling)
    least = _WEAKEST * spectrum[:, frame.used].mean(1, keepdims=True)
    return np.maximum(spectrum, least).astype(np.float32)


def _deviates(
    frame: _Frame, z: np.ndarray, u: np.ndarray, flat: np.ndarray, certain: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard normal where there is only noise, large where there is structure, each (blocks, tests).

    These are by the cells of the spectrum, by the shape of the result, and the same where the spectrum may differ from
    block to block.

    Args:
        frame: of these blocks.
        z: (blocks, C, side^2) prewhitened residual.
        u: the same of the result.
        flat: blocks without structure.
        certain: how many independent blocks the spectrum is known from.
    """
    blocks, channels = z.shape[:2]
    squares = np.square(z)
    total = (squares @ frame.used.astype(np.float32)).sum(1)
    everywhere = channels * np.count_nonzero(frame.used)
    inside = (squares.sum(1) @ frame.cells.T).astype(np.float64)
    freedom = channels * frame.cells.sum(1)
    rest = everywhere - freedom
    # Where less was removed at some frequencies, that makes no structure of the others.
    beside = np.maximum((total[:, None] - inside) / rest, 1)
    by_cell = _normal(inside / freedom / beside, freedom, 1 / (1 / rest + 1 / (certain * freedom)))
    level = np.sqrt(np.maximum(total / everywhere, 1))
    around = np.maximum(_around(frame, squares).reshape(blocks, -1) / level[:, None] ** 2, 1)
    by_shape, uneven = [], []
    for weight in frame.weights:
        feature = (u * weight).reshape(blocks, -1)
        product = np.einsum("bk,bk->b", z.reshape(blocks, -1), feature) / level
        energy = np.einsum("bk,bk->b", feature, feature)
        own = np.einsum("bk,bk->b", around, np.square(feature))
        usual, spread = float(np.mean(product[flat])), float(np.var(product[flat]))
        kept = _kept(weight, squares, energy) / level
        excess = product - usual - np.maximum(kept - np.median(kept[flat]), 0)
        by_shape.append(excess / np.sqrt(np.maximum(energy, 1e-12) + spread))
        uneven.append(excess / np.sqrt(np.maximum(own, 1e-12) + spread))
    return by_cell, np.stack(by_shape, axis=1), np.stack(uneven, axis=1)


def _kept(weight: np.ndarray, squares: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """(blocks,) how much the noise left in the result makes of its correlation with what was removed.

    That is tr(W J), J the denoiser's Jacobian (Stein 1981), and as much of it as the noise is missing from what the
    best denoiser removed. The missing part is the median over blocks whose results are of a like energy.
    """
    missing = (1 - squares).sum(1) @ weight
    order = np.argsort(energy, kind="stable")
    count = min(_ALIKE, len(order)) // 2
    padded = np.pad(missing[order], count, mode="reflect" if count < len(order) else "edge")
    out = np.empty(len(order))
    out[order] = np.median(sliding_window_view(padded, 2 * count + 1), axis=1)
    return out


def _around(frame: _Frame, squares: np.ndarray) -> np.ndarray:
    """The mean of squared coefficients near each, but not in its own row and column, where all of an edge's lie."""
    side = frame.side
    distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    near = ((distance > 0) & (distance <= _NEAR)).astype(np.float32)
    used = frame.used.reshape(side, side).astype(np.float32)
    planes = squares.reshape(-1, side, side) * used
    return ((near @ planes @ near) / (near @ used @ near)).reshape(squares.shape)


def _normal(ratio: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The standard normal deviate of an F distributed ratio with these degrees of freedom (Paulson 1942)."""
    a, b = 2 / (9 * above), 2 / (9 * below)
    root = np.cbrt(ratio)
    return ((1 - b) * root - (1 - a)) / np.sqrt(b * root**2 + a)
