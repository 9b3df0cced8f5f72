"""How much noise a picture holds, of what kind, and which standard deviation a denoiser should be told."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine.image import Image
from engine.language import tr

MIN_SIDE = 24
"""Smallest side in pixels from which anything can be told."""

_BLOCK = 8  # side of a DCT block
_FLAT = 24  # side of a flat patch
_FLAT_STRIDE = 12
_FLAT_SHARE = 0.12
_GROUPS = 8
_QUIET_SHARE = 0.06
_MAX_BLOCKS = 50_000
_MAX_VECTORS = 25_000  # of Chen's patches: 130 a dimension in colour
_WHITE_CORRELATION = 0.1

# Below this a white level, known to a few hundredths of a grey level, is not worth removing.
_CLEAN_WHITE = 1.0 / 255
# Share of high frequencies: below the first the picture was smoothed (camera, strong JPEG), above the second not.
_SHARES = (0.40, 0.44)
# Flat patches hold more noise than the quiet blocks (measured: 1.5 to 3.3 and 1.0 to 2.5); more than that is texture.
_TEXTURE_FREE = (3.3, 2.3)
_TEXTURED = 1.1
# Noise variance that bright pixels hold more than dark ones, in mean variances, from which the noise is taken to depend
# on brightness; and the relative error of its one deviation then.
_GROWTH, _GROWTH_ERROR = 1.0, 0.1
# Rounding to 8 bits alone leaves 0.29 grey levels of white noise; what is weaker than this says nothing of the noise.
_TELLING = 0.8 / 255
_LAGS = 6  # of the autocorrelation; beyond, texture is all that is left of it
_JPEG_SIDE = 256  # of the part in which JPEG's grid is looked for
# JPEG keeps noise where there is texture and takes it out of flat places. Fitted to every second PolyU pair; with it
# the deviation found is 0.95 of the true one (10 % below 0.76) in place of 0.80 (0.56), and right in more places.
_TEXTURE_GAIN = 0.3


class NoiseError(ValueError):
    """The noise of this picture cannot be measured; the message is meant for the user."""


@dataclass(frozen=True)
class NoiseReport:
    """What was found; every standard deviation in image units, where 1 is white.

    Attributes:
        sigma: the recommended white standard deviation; 0.0 where the picture is clean.
        joint: Chen's estimate on all channels together; None for a grey picture.
        channels: Chen's estimate for each channel.
        flat: standard deviation in the flattest patches, RMS over channels.
        flat_channels: the same for each channel.
        slope, offset: variance = slope * intensity + offset for each channel, from the flattest patches.
        correlation: correlation of neighbouring samples of the noise, mean of both directions, all channels.
        channel_correlation: C x C correlation between the channels' noise.
        clipped: share of samples at black or white.
        is_white: whether neighbouring samples are independent, so that `sigma` says all about the noise.
        is_clean: whether nothing worth removing was found.
        uncertainty: relative standard error of `sigma`.
        growth: its part that is there also where sigma is known, as noise that grows with brightness has no one sigma.
        reason: which estimate was taken and why, one sentence for the user.
        mean, mean_square: of the samples of each channel.
        autocorrelation: of the noise between pixels, pooled over channels: odd sides, lag 0 in the middle, rows are
            vertical lags; ((1.0,),) where it is white.
        texture_gain: the variance grows with that power of the local variance over the line's; 0 where it does not.
    """

    sigma: float
    joint: float | None
    channels: tuple[float, ...]
    flat: float
    flat_channels: tuple[float, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]
    correlation: float
    channel_correlation: tuple[tuple[float, ...], ...]
    clipped: float
    is_white: bool
    is_clean: bool
    uncertainty: float
    reason: str
    mean: tuple[float, ...] = ()
    mean_square: tuple[float, ...] = ()
    autocorrelation: tuple[tuple[float, ...], ...] = ((1.0,),)
    texture_gain: float = 0.0
    growth: float = 0.0

    @property
    def dependence(self) -> float:
        """Sum of all squared correlations of a sample with others and itself, 1 for white noise.

        The mean square of correlated Gaussian noise varies as that of so many times fewer independent samples.
        """
        channels = np.ones((1, 1)) if self.is_independent else np.array(self.channel_correlation)
        return float(np.square(self.autocorrelation).sum() * np.square(channels).sum() / len(channels))

    @property
    def is_independent(self) -> bool:
        """Whether the channels' noise is independent: white noise that Chen's estimate found in all of them together.

        The flattest patches cannot tell: what texture they hold is mostly grey.
        """
        return self.is_white and self.joint is not None

    @property
    def level(self) -> float:
        """The white standard deviation that a denoiser for white noise should be told, image units.

        It is `sigma` where the noise is white. Correlated noise is stronger than its deviation says at the low
        frequencies that remain: by 1 + 2 rho for a separable noise whose direct neighbours correlate by rho, and along
        the colour that the channels share by the square root of their correlation matrix's largest eigenvalue; of the
        latter half (geometrically) is allowed for. Measured with a network for white noise told sigma or this level:
        PolyU 37.2 or 38.9 dB, SIDD 30.0 or 33.2 dB, JPEG of white noise 34.4 or 35.0 dB.

        Where even the flattest patches hold more than the quietest blocks allow, texture is what correlates and `sigma`
        is too much already: in 18 of 21 clean BSD68 and CBSD68 pictures that seemed noisy, in 1 of 35 noisy of PolyU.
        """
        if self.is_white or self.flat > _TEXTURED * self.sigma:
            return self.sigma
        shared = float(np.linalg.eigvalsh(np.array(self.channel_correlation))[-1])
        return self.sigma * (1 + 2 * max(self.correlation, 0.0)) * max(shared, 1.0) ** 0.25


@dataclass(frozen=True)
class FlatNoise:
    """Noise in the flattest patches; fields as in `NoiseReport`."""

    channels: tuple[float, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]
    correlation: float
    channel_correlation: tuple[tuple[float, ...], ...]
    autocorrelation: tuple[tuple[float, ...], ...] = ((1.0,),)

    @property
    def sigma(self) -> float:
        """RMS over channels."""
        return math.sqrt(sum(c * c for c in self.channels) / len(self.channels))


@dataclass(frozen=True)
class QuietNoise:
    """Noise in the quietest 8x8 blocks, RMS over channels.

    Attributes:
        sigma: from the high frequencies alone, right where the noise is white.
        total: from all frequencies but the slowest; bears a texture's share where no block is free of it.
        typical: the lower quartile of `total` over 8 brightness groups: crushed blacks and textured groups count not.
        colour: median over the groups of `total` in the two colour differences; None for a grey picture.
        share: standard deviation at high frequencies as a part of all, median over the brightness groups.
        correlation: of neighbouring samples, from the fall of the spectrum among the high frequencies.
        spread: relative standard error of `sigma` by the number of samples.
    """

    sigma: float
    total: float
    typical: float
    colour: float | None
    share: float
    correlation: float
    spread: float


@dataclass(frozen=True, eq=False)
class Patches:
    """The 24x24 patches of a picture in which no sample is clipped.

    Attributes:
        means: (n, C).
        variances: (n, C) about a fitted plane, by `freedom` independent samples each.
        freedom: of white noise; of noise that correlates it is so many times less as the squared correlations sum to.
        clipped: (C, 2) share of all samples of the picture at black and at white.
    """

    means: np.ndarray
    variances: np.ndarray
    freedom: int
    clipped: np.ndarray


def measure_noise(image: Image) -> NoiseReport:
    """The noise of a picture, in units of its levels; raises as `estimate_noise`."""
    black, white = image.levels
    return estimate_noise(image.pixels if image.levels == (0, 1) else (image.pixels - black) / (white - black))


def estimate_noise(pixels: np.ndarray, max_pixels: int = 4_000_000) -> NoiseReport:
    """Measure the noise of one picture; the same picture always gives the same report.

    Chen's estimate is recommended where the noise is white, in grey pictures the high frequencies of the quietest
    blocks, which texture misleads less. Never where neighbouring samples correlate or where all channels together
    show far less than each alone: there Chen finds 0.1 to 0.4 on camera JPEGs whose noise is 2 to 5 (of 255), and
    the flattest patches are taken.

    Args:
        pixels: (H, W, C) float32, 0 black and 1 white; noise may lie outside.
        max_pixels: a larger picture is measured on evenly spread windows with this many pixels in all.

    Raises:
        NoiseError: a side is under 24 pixels.
    """
    _require_size(pixels)
    channels = pixels.shape[2]
    windows = _windows(np.asarray(pixels, np.float32), max_pixels)
    is_grey = channels > 1 and _is_grey(windows)
    report = _report([w[..., :1] for w in windows] if is_grey else windows)
    if not report.is_white and is_jpeg(pixels):
        report = replace(report, texture_gain=_TEXTURE_GAIN)
    return _spread_over_channels(report, channels) if is_grey else report


def pooled(reports: Sequence[NoiseReport]) -> NoiseReport:
    """One report for several pictures of one camera at one setting, each counting alike; ValueError for none.

    The lines of variance are averaged; correlations are weighted with the variance, as covariances are. `reason` and
    the single estimates are the first report's. Reports with different numbers of channels cannot be pooled.
    """
    if len({len(report.channels) for report in reports}) != 1:
        raise ValueError("Reports are pooled from at least one picture, all with the same number of channels")

    def mean(name: str) -> Any:
        values = np.mean([getattr(report, name) for report in reports], axis=0)
        return tuple(values.tolist()) if values.ndim else float(values)

    def weighted(values: Sequence[Any]) -> Any:
        return _rows(np.average(values, axis=0, weights=weights))

    weights = [max(report.flat, 1e-9) ** 2 for report in reports]
    width = max(len(report.autocorrelation) for report in reports)
    pads = [(width - len(report.autocorrelation)) // 2 for report in reports]
    spread = [np.pad(report.autocorrelation, pad) for report, pad in zip(reports, pads, strict=True)]
    return replace(
        reports[0],
        sigma=math.sqrt(np.mean([report.sigma**2 for report in reports])),
        flat=math.sqrt(np.mean([report.flat**2 for report in reports])),
        flat_channels=tuple(np.sqrt(np.mean([np.square(r.flat_channels) for r in reports], axis=0)).tolist()),
        **{name: mean(name) for name in ("slope", "offset", "correlation", "clipped", "mean", "mean_square")},
        channel_correlation=weighted([report.channel_correlation for report in reports]),
        autocorrelation=weighted(spread),
        texture_gain=mean("texture_gain"),
        is_white=all(report.is_white for report in reports),
        is_clean=all(report.is_clean for report in reports),
        growth=float(np.median([report.growth for report in reports])),
        # Errors of the estimates add up, those of the model (0.35 for correlated noise) are shared.
        uncertainty=mean("uncertainty"),
    )


@dataclass(frozen=True)
class Line:
    """How the variance of one camera's noise grows with intensity, for each channel, in units of the files.

    Up to a factor: how strong it is, each picture tells better by itself.
    """

    slope: tuple[float, ...]
    offset: tuple[float, ...]


def shared_line(found: Sequence[tuple[NoiseReport, tuple[float, float]]]) -> Line | None:
    """The line that pictures of one camera have in common; None where there is nothing to tell it by.

    That of a single picture is known only as far as it has flat places of every brightness: of Poisson noise in Kodak's
    pictures the slopes found are 0.5 to 1.8 times the true one.

    Args:
        found: of each picture its report and its levels; those with another number of channels than the first are
            left out.
    """
    slopes, offsets = [], []
    for report, (black, white) in found:
        span, power = white - black, report.flat**2
        if power and len(report.slope) == len(found[0][0].slope):
            slope = np.array(report.slope) / power
            slopes.append(slope / span)
            offsets.append(np.array(report.offset) / power - slope * black / span)
    if not slopes:
        return None
    # Noise that falls with brightness is none of a sensor's.
    return Line(tuple(np.maximum(np.mean(slopes, 0), 0).tolist()), tuple(np.mean(offsets, 0).tolist()))


@functools.lru_cache(maxsize=1024)
def on_line(report: NoiseReport, line: Line | None, levels: tuple[float, float]) -> NoiseReport:
    """The report with that line in place of its own, as strong as its own; unchanged where it does not apply."""
    black, white = levels
    if line is None or len(line.slope) != len(report.slope) or not report.mean:
        return report
    slope = np.array(line.slope) * (white - black)
    offset = np.array(line.offset) + np.array(line.slope) * black
    here = float(np.mean(slope * report.mean + offset))
    if here <= 0 or not report.flat:
        return report
    factor = report.flat**2 / here
    return replace(report, slope=tuple((factor * slope).tolist()), offset=tuple((factor * offset).tolist()))


def is_jpeg(pixels: np.ndarray) -> bool:
    """Whether (H, W, C), 0 black and 1 white, was stored as a JPEG that left out many high frequencies.

    On one of the 64 possible positions of its grid far more high frequencies of the 8x8 DCT are zero then: 0.98 against
    0.55 to 0.8 in PolyU, 0.6 to 0.97 against 0.2 to 0.5 in whole camera JPEGs, equal in everything else.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 4 * _BLOCK:
        return False
    top, left = max(0, height - _JPEG_SIDE) // 2, max(0, width - _JPEG_SIDE) // 2
    part = np.asarray(pixels[top : top + _JPEG_SIDE, left : left + _JPEG_SIDE], np.float32)
    grey = part @ np.array([0.299, 0.587, 0.114], np.float32) if part.shape[2] == 3 else part.mean(axis=2)
    transform = _dct(_BLOCK)[_ORDER >= _BLOCK - 1].T
    rows, columns = ((side - _BLOCK + 1) // _BLOCK for side in grey.shape)
    shares = []
    for y in range(_BLOCK):
        for x in range(_BLOCK):
            cut = grey[y : y + rows * _BLOCK, x : x + columns * _BLOCK]
            blocks = cut.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3).reshape(-1, _BLOCK * _BLOCK)
            shares.append(np.count_nonzero(np.abs(blocks @ transform) < _TELLING) / (len(blocks) * transform.shape[1]))
    return bool(max(shares) > np.median(shares) + 0.1)


def chen(pixels: np.ndarray) -> float:
    """Noise standard deviation from the eigenvalues of the patch covariance, all channels together.

    Takes (H, W, C) in any unit and answers in it. White noise only: correlated noise gives far too little.
    Patches with a clipped sample are left out; small pictures use small patches, each position.
    In a single channel, where texture counts as noise, the quarter of the patches with the weakest texture is used.

    Source: Chen, Zhu, Heng, An Efficient Statistical Method for Image Noise Level Estimation, ICCV 2015.
    """
    return _chen([pixels], clip_levels([pixels]))


def chen_as_published(pixels: np.ndarray, side: int = 8) -> float:
    """Chen's estimate as its authors give it: `side` pixels a patch, at steps of 3, clipped or textured ones too.

    In double precision, since the noise's eigenvalues may be a hundred millionth of the picture's. With 32 pixels and
    RGB the covariance is 3072 x 3072: a hundred times the time of 8.
    """

    def vectors() -> Iterator[np.ndarray]:
        for patches, *_ in _patches(pixels.astype(np.float64), side, 3, (-math.inf, math.inf)):
            yield patches.reshape(len(patches), -1)

    count = sum(len(part) for part in vectors())
    mean = sum(part.sum(axis=0) for part in vectors()) / count
    return _noise_level(sum((part - mean).T @ (part - mean) for part in vectors()) / count)


def flattest(pixels: np.ndarray) -> FlatNoise:
    """Noise of (H, W, C) in the flattest 12 % of 24x24 patches of each of 8 brightness groups, plane removed."""
    return _flattest([pixels], clip_levels([pixels]))


def patches(pixels: np.ndarray, max_pixels: int = 4_000_000) -> Patches:
    """What the patches of (H, W, C), 0 black and 1 white, vary by; of a large picture those of evenly spread windows.

    Raises:
        NoiseError: a side is under 24 pixels.
    """
    _require_size(pixels)
    windows = _windows(pixels, max_pixels)
    black, white = levels = clip_levels(windows)
    means, variances, is_free, _ = _patch_variances(windows, levels)
    samples = sum(w.shape[0] * w.shape[1] for w in windows)
    shares = [
        sum(np.count_nonzero(at, axis=(0, 1)) for at in ends) / samples
        for ends in ([w <= black for w in windows], [w >= white for w in windows])
    ]
    return Patches(means[is_free], variances[is_free], _FLAT * _FLAT - 3, np.stack(shares, axis=1))


def lowest_mean_bias(count: int, kept: int, freedom: float) -> float:
    """How far below the truth the RMS of the `kept` lowest of `count` deviations lies, as a factor."""
    normal = NormalDist()
    ranks = range(1, kept + 1) if kept <= 64 else np.linspace(1, kept, 64)
    expected = sum(normal.inv_cdf((r - 0.375) / (count + 0.25)) for r in ranks) / len(ranks)
    return max(0.5, 1 + expected / math.sqrt(2 * freedom))


def quiet(pixels: np.ndarray) -> QuietNoise:
    """Noise of (H, W, C) in the quietest 6 % of 8x8 blocks.

    Blocks are chosen by their low frequencies and white noise is measured by their high ones. The two are
    independent, so the choice does not bias the result, as it does where the same variance is sorted and averaged.
    """
    return _quiet([pixels], clip_levels([pixels]))


def _grows_with_brightness(windows: list[np.ndarray], flat: FlatNoise, sigma: float) -> float:
    """What that adds to sigma's relative error: one deviation cannot stand for noise that has several.

    Of Poisson noise the deviation of the quietest blocks is 1 to 1.5 times the mean one (CBSD68, 100 and 30 photons).
    """
    values = np.concatenate([window.mean(2).ravel()[::13] for window in windows])
    dark, bright = np.quantile(values, (0.1, 0.9))
    growth = sum(flat.slope) / len(flat.slope) * float(bright - dark)
    return _GROWTH_ERROR if sigma > 0 and growth > _GROWTH * sigma**2 else 0.0


def _report(windows: list[np.ndarray]) -> NoiseReport:
    levels = clip_levels(windows)
    channels = windows[0].shape[2]
    singles = tuple(_chen([w[..., c : c + 1] for w in windows], levels) for c in range(channels))
    joint = _chen(windows, levels) if channels > 1 else None
    flat = _flattest(windows, levels)
    still = _quiet(windows, levels)

    white_spectrum = still.sigma >= _TELLING and abs(still.correlation) <= _WHITE_CORRELATION
    is_white = white_spectrum
    if joint is not None:
        # The colour differences are nearly free of texture. Chen finds 1.06 to 1.15 of what their quiet blocks hold in
        # white noise (CBSD68), at most 0.54 in a phone's correlated noise (SIDD).
        is_white &= joint >= max(0.55 * still.sigma, 0.7 * (still.colour or 0.0), _TELLING)
    # Texture correlates too, and flat patches hold some; the quietest blocks' high frequencies hold hardly any.
    correlation = min(flat.correlation, still.correlation, key=abs) if is_white else flat.correlation
    clipped = _clipped_share(windows, levels)
    sigma, uncertainty, reason = _recommend(is_white, white_spectrum, joint, flat, still)
    growth = _grows_with_brightness(windows, flat, sigma)
    is_clean = sigma < _CLEAN_WHITE if is_white else _is_clean(still)
    if is_clean:
        found = min(sigma, still.typical) * 255
        reason = tr("Clean: about {found:.1f} of 255 was found in the quietest places, which is not worth removing.")
        if found > 2.05:
            reason = tr(
                "Taken for clean: the quietest places vary by {found:.1f} of 255, which cannot be told from texture; "
                "set sigma by hand if it is noise."
            )
        reason = reason.format(found=found)
        sigma = 0.0
    return NoiseReport(
        sigma=sigma,
        joint=joint,
        channels=singles,
        flat=flat.sigma,
        flat_channels=flat.channels,
        slope=flat.slope,
        offset=flat.offset,
        correlation=correlation,
        channel_correlation=flat.channel_correlation,
        clipped=clipped,
        is_white=bool(is_white),
        is_clean=is_clean,
        uncertainty=math.hypot(uncertainty, clipped, growth),
        reason=reason,
        mean=_over_windows(windows, 1),
        mean_square=_over_windows(windows, 2),
        autocorrelation=((1.0,),) if is_white else flat.autocorrelation,
        growth=growth,
    )


def _over_windows(windows: list[np.ndarray], power: int) -> tuple[float, ...]:
    """Mean of the samples or of their squares, for each channel."""
    totals = [np.power(w, power).sum(axis=(0, 1), dtype=np.float64) for w in windows]
    return tuple((np.sum(totals, axis=0) / sum(w.shape[0] * w.shape[1] for w in windows)).tolist())


def _rows(table: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


def _is_clean(still: QuietNoise) -> bool:
    """Whether noise that is not white is absent, or cannot be told from grain and texture.

    Measured, in units of 1/255, quiet blocks. Smoothed pictures: PolyU's noisy photos 0.6 to 3 (a tenth less), its
    500-frame means 0 to 0.6. Not smoothed: sensors leave colour noise, 0.8 (a whole camera JPEG) to 20 (SIDD) and
    half of all or more; the grain of clean scans (Kodak24) reaches 0.9 and is nearly white; texture (CBSD68) has
    hardly any colour.
    """
    total, typical = still.total * 255, still.typical * 255
    if still.colour is None:
        return bool(total < np.interp(still.share, _SHARES, (1.0, 2.05)))
    colour = still.colour * 255
    part = colour / max(typical, 1e-6)
    if still.share < _SHARES[1]:
        is_texture = typical > 3.1 and part < 0.4
        return typical < 0.55 or is_texture
    has_white_noise = abs(still.correlation) <= _WHITE_CORRELATION and still.sigma * 255 > 1.5
    # JPEG's subsampling takes the colour out of the noise. Clean textures reach a typical 6, but fall with frequency.
    is_luminance_noise = typical > 2.2 and still.share > 0.6 and still.correlation < 0.25
    if colour > 1.5 or has_white_noise or is_luminance_noise:
        return False
    is_grain = colour < 1.2 and still.correlation < 0.25
    return colour < 0.8 or part < 0.45 or typical < 1.2 or is_grain


def _recommend(
    is_white: bool, white_spectrum: bool, joint: float | None, flat: FlatNoise, still: QuietNoise
) -> tuple[float, float, str]:
    """The standard deviation to use, its relative standard error and the sentence that says why."""
    if is_white and joint is not None:
        return joint, math.hypot(0.005, still.spread), tr("Chen's estimate on all channels: the noise is white.")
    if is_white:
        # Measured on BSD68 and Set12: 0.1 to 0.3 of 255 at low noise, under 1 % at high noise.
        uncertainty = math.hypot(0.008, still.spread, 0.2 / 255 / still.sigma)
        return still.sigma, uncertainty, tr("High frequencies of the quietest blocks: the noise is white.")
    bound = float(np.interp(still.share, _SHARES, _TEXTURE_FREE)) * still.typical
    if still.colour is None and still.share >= _SHARES[1]:
        # No colour tells texture from noise here: the quietest blocks of all bound it more tightly.
        bound = min(bound, 1.3 * still.total)
    sigma = min(flat.sigma, bound)
    if white_spectrum:
        reason = tr(
            "The flattest patches: the channels' noise is not independent, where Chen's estimate would be far too low."
        )
    else:
        reason = tr("The flattest patches: neighbouring samples correlate, where Chen's estimate would be far too low.")
    # PolyU, 70 photos: 0.7 of the truth on average, spread 0.3.
    return sigma, 0.35, reason


def _require_size(pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise NoiseError(
            tr(
                "Noise can be measured from {side}x{side} pixels on, this picture has {width}x{height}; set sigma by "
                "hand"
            ).format(side=MIN_SIDE, width=width, height=height)
        )


def _is_grey(windows: list[np.ndarray]) -> bool:
    """Whether all channels are equal but for a colour bar or caption: at most 1 pixel in 200 differs."""
    coloured = sum(int(np.count_nonzero((w != w[..., :1]).any(axis=2))) for w in windows)
    return coloured <= 0.005 * sum(w.shape[0] * w.shape[1] for w in windows)


def _spread_over_channels(report: NoiseReport, channels: int) -> NoiseReport:
    """The report of a grey picture, for the equal channels of a colour file."""
    names = ("channels", "flat_channels", "slope", "offset", "mean", "mean_square")
    values = {name: getattr(report, name) * channels for name in names}
    ones = ((1.0,) * channels,) * channels
    return NoiseReport(**{**vars(report), **values, "channel_correlation": ones})


def _windows(pixels: np.ndarray, max_pixels: int) -> list[np.ndarray]:
    """The picture itself, or evenly spread 96x96 windows of it with about `max_pixels` in all (views)."""
    height, width = pixels.shape[:2]
    if height * width <= max_pixels:
        return [pixels]
    side = 4 * _FLAT
    share = math.sqrt(max_pixels / (height * width))
    rows = _starts(height, side, share)
    columns = _starts(width, side, share)
    return [pixels[y : y + side, x : x + side] for y in rows for x in columns]


def _starts(length: int, side: int, share: float) -> list[int]:
    if length <= side:
        return [0]
    count = max(1, int(share * length / side))
    return np.linspace(0, length - side, count).round().astype(int).tolist()


def clip_levels(windows: list[np.ndarray]) -> tuple[float, float]:
    """Values at and beyond which samples are clipped; infinite where nothing is.

    A range's end is a clip level where it is black or white itself, or where samples pile up at it (sensors
    saturate below the file's white). Unclipped noise goes beyond black and white and piles up nowhere.
    """
    low = min(float(w.min()) for w in windows)
    high = max(float(w.max()) for w in windows)
    if low == high:
        return -math.inf, math.inf
    black = low if low == 0 or _piles_up(windows, low, 1.0) else -math.inf
    white = high if high == 1 or _piles_up(windows, high, -1.0) else math.inf
    return black, white


def _piles_up(windows: list[np.ndarray], end: float, sign: float) -> bool:
    """Whether a thousandth of all samples, and twice as many as hold the next value, lie exactly at `end`."""
    total = sum(w.size for w in windows)
    at_end = sum(int(np.count_nonzero(w == end)) for w in windows)
    if at_end < 0.001 * total:
        return False
    step = min((float((sign * (w[w != end] - end)).min()) for w in windows if (w != end).any()), default=0.0)
    beside = sum(int(np.count_nonzero(np.abs(w - (end + sign * step)) <= 1e-6)) for w in windows)
    return at_end > 2 * beside


def _clipped_share(windows: list[np.ndarray], levels: tuple[float, float]) -> float:
    clipped = sum(int(np.count_nonzero((w <= levels[0]) | (w >= levels[1]))) for w in windows)
    return clipped / sum(w.size for w in windows)


def _patches(window: np.ndarray, side: int, stride: int, levels: tuple[float, float]) -> Iterator[tuple]:
    """Chunks of (patches (n, C, side*side), is free of clipped samples (n,), rows, columns).

    The last row and column are always among the positions.
    """
    height, width, channels = window.shape
    rows = _positions(height, side, stride)
    columns = _positions(width, side, stride)
    is_clipped = ((window <= levels[0]) | (window >= levels[1])).any(axis=2).astype(np.float32)
    clipped = cv2.boxFilter(is_clipped, -1, (side, side), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_REFLECT)
    view = sliding_window_view(window, (side, side), axis=(0, 1))
    step = max(1, 4_000_000 // (len(columns) * channels * side * side))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        patches = view[np.ix_(part, columns)].reshape(-1, channels, side * side)
        yield patches, clipped[np.ix_(part, columns)].ravel() < 0.5, part, columns


def _positions(length: int, side: int, stride: int) -> np.ndarray:
    return np.unique(np.append(np.arange(0, length - side + 1, stride), length - side))


def _stride(windows: list[np.ndarray], smallest: int, most: int) -> int:
    """The step between blocks, at least `smallest`, that gives about `most` of them at most."""
    pixels = sum(w.shape[0] * w.shape[1] for w in windows)
    return max(smallest, math.ceil(math.sqrt(pixels / most)))


def _chen(windows: list[np.ndarray], levels: tuple[float, float]) -> float:
    smallest = min(windows[0].shape[:2])
    channels = windows[0].shape[2]
    # Fewer than about 15 patches a dimension give far too small eigenvalues.
    side, stride = (5, 1) if smallest < 96 else (8, _stride(windows, 1, _MAX_VECTORS))
    chunks = [chunk for w in windows for chunk in _patches(w, side, stride, levels)]
    vectors = np.concatenate([chunk[0].reshape(len(chunk[0]), -1) for chunk in chunks])
    is_free = np.concatenate([chunk[1] for chunk in chunks])
    needed = 15 * channels * side * side
    if np.count_nonzero(is_free) >= needed:
        vectors = vectors[is_free]
    if channels > 1:
        return _noise_eigenvalue(vectors)
    # The weak-texture choice. Sorting by gradients finds 16 % too little in pure noise; sorted by low frequencies and
    # measured in the others, which white noise makes independent, the choice costs nothing.
    order = np.add.outer(np.arange(side), np.arange(side)).ravel()
    spectra = vectors @ _dct(side).T
    low = np.square(spectra[:, (order > 0) & (order <= side - 2)]).sum(axis=1)
    weakest = np.argsort(low, kind="stable")[: max(len(low) // 4, min(needed, len(low)))]
    return _noise_eigenvalue(spectra[weakest][:, order > side - 2])


def _noise_eigenvalue(vectors: np.ndarray) -> float:
    """Root of the mean of the largest set of lowest eigenvalues whose mean is their median."""
    centred = vectors - vectors.mean(axis=0)
    return _noise_level((centred.T @ centred / len(centred)).astype(np.float64))


def _noise_level(covariance: np.ndarray) -> float:
    values = np.linalg.eigvalsh(covariance)
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    for count in range(len(values), 0, -1):
        mean = means[count - 1]
        above = count - np.searchsorted(values[:count], mean, side="right")
        if above == np.searchsorted(values[:count], mean, side="left"):
            break
    # Rounding can leave the lowest eigenvalues of a flat picture below zero.
    return math.sqrt(max(float(mean), 0.0))


def _dct(side: int) -> np.ndarray:
    """The orthonormal 2-D DCT of row-major side x side blocks as a (side^2, side^2) matrix."""
    k, n = np.mgrid[0:side, 0:side]
    matrix = np.cos(np.pi * (2 * n + 1) * k / (2 * side)) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return np.kron(matrix, matrix).astype(np.float32)


_ORDER = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)).ravel()
_LOW = (_ORDER > 0) & (_ORDER <= _BLOCK)
_HIGH = _ORDER > _BLOCK
# Neither the mean nor the two slowest waves, which are all of a smooth shade.
_CURVED = np.arange(_BLOCK * _BLOCK) > 1
_CURVED[_BLOCK] = False
_RATIO_LOWER = (_ORDER == _BLOCK + 1) | (_ORDER == _BLOCK + 2)
_RATIO_UPPER = _ORDER >= _BLOCK + 4
_DIFFERENCES = np.array([[1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt([[2], [6]]).astype(np.float32)


def _quiet(windows: list[np.ndarray], levels: tuple[float, float]) -> QuietNoise:
    channels = windows[0].shape[2]
    stride = _stride(windows, 1, _MAX_BLOCKS)
    transform = _dct(_BLOCK).T
    # Texture is mostly grey: the two colour differences show the noise's spectrum with far less of it.
    mix = np.concatenate([np.eye(3, dtype=np.float32), _DIFFERENCES]) if channels == 3 else np.eye(channels)
    spectra, free = [], []
    for window in windows:
        for chunk, is_free, _, _ in _patches(window, _BLOCK, stride, levels):
            spectra.append(np.einsum("mc,ncp->mnp", mix.astype(np.float32), chunk @ transform))
            free.append(is_free)
    is_free = np.concatenate(free)
    values = np.concatenate(spectra, axis=1)
    if np.count_nonzero(is_free) >= max(256, int(0.02 * len(is_free))):
        values = values[:, is_free]
    brightness = values[0, :, 0] / _BLOCK
    values *= values
    means = [_quietest(v) for v in values]
    high = _rms(means[:channels])
    correlation = _spectral_correlation(means[:channels])
    if channels == 3 and _rms(means[3:]) >= _TELLING:
        correlation = min(correlation, _spectral_correlation(means[3:]), key=abs)
    independent = min(1.0, stride * stride / 16) * _count(values.shape[1]) * np.count_nonzero(_HIGH) * channels
    groups = np.array_split(np.argsort(brightness, kind="stable"), _GROUPS)
    grouped = [[_quietest(v[g]) for v in values] for g in groups]
    totals = np.array([_total(g[:channels]) for g in grouped])
    highs = np.array([_rms(g[:channels]) for g in grouped])
    centre = np.array([brightness[g].mean() for g in groups])
    return QuietNoise(
        sigma=_over_brightness([g[0] for g in grouped], centre, high) if channels == 1 else high,
        total=_total(means[:channels]),
        typical=float(np.quantile(totals, 0.25)),
        colour=float(np.median([_total(g[channels:]) for g in grouped])) if channels == 3 else None,
        share=float(np.median(highs) / max(np.median(totals), 1e-9)),
        correlation=correlation,
        spread=1 / math.sqrt(2 * independent),
    )


def _count(blocks: int) -> int:
    return max(int(_QUIET_SHARE * blocks), min(blocks, 256))


def _quietest(squares: np.ndarray) -> np.ndarray:
    """Mean squared spectrum (64,) of the blocks (n, 64) that are quietest at low frequencies."""
    count = _count(len(squares))
    low = squares @ _LOW.astype(np.float32)
    return squares[np.argpartition(low, count - 1)[:count]].mean(axis=0, dtype=np.float64)


def _rms(spectra: list[np.ndarray]) -> float:
    """Standard deviation at high frequencies, RMS over channels; the median passes over a frequency with texture."""
    return math.sqrt(np.mean([np.median(s[_HIGH]) for s in spectra]))


def _spectral_correlation(spectra: list[np.ndarray]) -> float:
    """Correlation of neighbouring samples that makes the high frequencies fall as they do."""
    lower = float(np.mean([s[_RATIO_LOWER].mean() for s in spectra]))
    upper = float(np.mean([s[_RATIO_UPPER].mean() for s in spectra]))
    return float(np.interp(lower / upper, *_ratio_table())) if upper > 0 else 0.0


def _total(spectra: list[np.ndarray]) -> float:
    """Standard deviation at all frequencies but the slowest, RMS over channels."""
    return math.sqrt(np.mean([s[_CURVED].mean() for s in spectra]))


def _over_brightness(spectra: list[np.ndarray], centre: np.ndarray, sigma: float) -> float:
    """`sigma`, or the RMS over the picture where the noise plainly depends on brightness (photon noise).

    The quietest blocks lie in the dark then. Only groups with a white spectrum are asked: texture in a group
    without quiet blocks looks like noise, but falls with frequency.

    Args:
        spectra: the quietest mean squared spectrum of each brightness group, all with the same number of blocks.
        centre: the groups' mean brightness.
        sigma: what all groups together gave.
    """
    white = [i for i, s in enumerate(spectra) if abs(_spectral_correlation([s])) <= 0.06]
    value = np.array([_rms([s]) ** 2 for s in spectra])
    if sigma < _TELLING or len(white) < 3 or value[white].max() < 1.5 * value[white].min():
        return sigma
    slope, offset = _low_line(centre[white], value[white])
    return math.sqrt(np.mean(np.clip(slope * centre + offset, value[white].min(), value[white].max())))


def _ratio_table() -> tuple[np.ndarray, np.ndarray]:
    """Ratio of the variances in two high bands, rising, and the neighbours' correlation that gives it.

    For a separable noise whose samples correlate with their direct neighbours only.
    """
    correlations = np.linspace(-0.45, 0.45, 91)
    gain = 1 + 2 * correlations[:, None] * np.cos(np.pi * np.arange(_BLOCK) / _BLOCK)
    plane = (gain[:, :, None] * gain[:, None, :]).reshape(len(correlations), -1)
    return plane[:, _RATIO_LOWER].mean(axis=1) / plane[:, _RATIO_UPPER].mean(axis=1), correlations


def _flattest(windows: list[np.ndarray], levels: tuple[float, float]) -> FlatNoise:
    channels = windows[0].shape[2]
    plane = _plane(_FLAT)
    freedom = _FLAT * _FLAT - len(plane)
    means, variances, is_free, places = _patch_variances(windows, levels)
    chosen = np.flatnonzero(is_free) if np.count_nonzero(is_free) >= _GROUPS else np.arange(len(is_free))
    mean = means[chosen].astype(np.float64)
    variance = variances[chosen].astype(np.float64)

    order = chosen[np.argsort(mean.mean(axis=1), kind="stable")]
    lookup = np.empty(len(is_free), int)
    lookup[chosen] = np.arange(len(chosen))
    groups = [lookup[g] for g in np.array_split(order, _GROUPS) if len(g)]
    picked = [_lowest(variance[g].sum(axis=1), _FLAT_SHARE) for g in groups]
    kept = [g[p] for g, p in zip(groups, picked, strict=True)]

    moments = _moments(windows, [places[chosen[i]] for k in kept for i in k], plane)
    covariance, horizontal, vertical, inner, autocorrelation = moments
    deviation = np.sqrt(np.diag(covariance))
    scale = np.where(deviation > 0, deviation, 1)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    lag = float((horizontal + vertical) / (2 * inner)) if inner > 0 else 0.0
    sums = 1 + 4 * sum(lag ** (k * k) for k in range(1, 5)) if 0 < lag < 1 else 1.0
    debias = np.array([lowest_mean_bias(len(g), len(k), freedom / sums) for g, k in zip(groups, kept, strict=True)])

    level = np.array([mean[k].mean(axis=0) for k in kept])
    value = np.array([variance[k].mean(axis=0) for k in kept]) / debias[:, None] ** 2
    centre = np.array([mean[g].mean(axis=0) for g in groups])
    fits = [_low_line(level[:, c], value[:, c]) for c in range(channels)]
    found = [
        float(np.mean(np.clip(a * centre[:, c] + b, value[:, c].min(), value[:, c].max())))
        for c, (a, b) in enumerate(fits)
    ]
    return FlatNoise(
        channels=tuple(math.sqrt(v) for v in found),
        slope=tuple(a for a, _ in fits),
        offset=tuple(b for _, b in fits),
        correlation=lag,
        channel_correlation=tuple(tuple(float(v) for v in row) for row in correlation),
        autocorrelation=_rows(autocorrelation),
    )


def _patch_variances(
    windows: list[np.ndarray], levels: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    """Mean and variance about the fitted plane (n, C) of 24x24 patches, which hold no clipped sample, and places."""
    plane = _plane(_FLAT)
    freedom = _FLAT * _FLAT - len(plane)
    stride = _FLAT_STRIDE if sum(w.shape[0] * w.shape[1] for w in windows) < 1_000_000 else _FLAT
    means, variances, free, places = [], [], [], []
    for index, window in enumerate(windows):
        for chunk, is_free, rows, columns in _patches(window, _FLAT, stride, levels):
            average = chunk.mean(axis=2)
            centred = chunk - average[..., None]
            fitted = centred @ plane.T
            energy = np.einsum("ncp,ncp->nc", centred, centred) - np.einsum("ncp,ncp->nc", fitted, fitted)
            means.append(average)
            variances.append(np.maximum(energy, 0) / freedom)
            free.append(is_free)
            places.extend((index, int(y), int(x)) for y in rows for x in columns)
    return np.concatenate(means), np.concatenate(variances), np.concatenate(free), places


def _plane(side: int) -> np.ndarray:
    """Orthonormal (3, side*side): constant and the two slopes."""
    y, x = (np.mgrid[0:side, 0:side] - (side - 1) / 2).reshape(2, -1)
    basis = np.stack([np.ones_like(x), y, x])
    return (basis / np.linalg.norm(basis, axis=1, keepdims=True)).astype(np.float32)


def _lowest(values: np.ndarray, share: float) -> np.ndarray:
    return np.argsort(values, kind="stable")[: max(1, round(share * len(values)))]


def _moments(
    windows: list[np.ndarray], places: list[tuple[int, int, int]], plane: np.ndarray
) -> tuple[np.ndarray, float, float, float, np.ndarray]:
    """Channel covariance, the sums for lag 1, horizontal and vertical, and autocorrelation of the patches at `places`.

    In the last each patch counts alike: in the strongest is the most texture, which is correlated over longer ways.
    """
    channels = windows[0].shape[2]
    covariance = np.zeros((channels, channels))
    spectrum = np.zeros((2 * _FLAT, _FLAT + 1))
    horizontal = vertical = inner = 0.0
    for index, y, x in places:
        patch = windows[index][y : y + _FLAT, x : x + _FLAT].transpose(2, 0, 1).reshape(channels, -1)
        rest = patch - patch.mean(axis=1, keepdims=True)
        rest = rest - (rest @ plane.T) @ plane
        covariance += rest @ rest.T
        field = rest.reshape(channels, _FLAT, _FLAT)
        horizontal += float(np.vdot(field[:, :, 1:], field[:, :, :-1]))
        vertical += float(np.vdot(field[:, 1:], field[:, :-1]))
        energy = float(np.vdot(field, field))
        inner += energy * (_FLAT - 1) / _FLAT
        if energy > 0:
            transformed = np.fft.rfft2(field, (2 * _FLAT, 2 * _FLAT))
            spectrum += np.square(np.abs(transformed)).sum(axis=0) / energy
    # Padded to twice the side nothing wraps around; the sums have fewer terms the longer the lag.
    sums = np.fft.irfft2(spectrum)
    lags = np.arange(-_LAGS, _LAGS + 1)
    terms = _FLAT - np.abs(lags)
    products = sums[np.ix_(lags, lags)] / np.outer(terms, terms)
    peak = products[_LAGS, _LAGS]
    autocorrelation = products / peak if peak > 0 else np.outer(lags == 0, lags == 0).astype(float)
    return covariance / max(len(places), 1), horizontal, vertical, inner, autocorrelation


def _low_line(level: np.ndarray, value: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the line that most groups of flat patches agree on.

    Texture only adds variance, so a group above the line counts less than one below it (quantile regression at
    0.4, exact by trying every pair). The line is not below zero at any of the levels.
    """
    best = (0.0, float(value.min()))
    least = math.inf
    pairs = [(i, j) for i in range(len(level)) for j in range(i, len(level))]
    span = max(float(np.ptp(level)), 1e-6)
    for i, j in pairs:
        distance = level[j] - level[i]
        if i != j and abs(distance) < 0.1 * span:
            continue
        slope = float((value[j] - value[i]) / distance) if i != j else 0.0
        offset = float(value[i] - slope * level[i])
        line = slope * level + offset
        if line.min() < 0:
            continue
        rest = value - line
        loss = float(np.maximum(0.4 * rest, -0.6 * rest).sum())
        if loss < least:
            best, least = (slope, offset), loss
    return best
