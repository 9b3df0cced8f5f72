"""How the noise of a picture grows with brightness: what was measured in its flat places, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine import noise, stabilisation
from engine.image import Image
from engine.language import tr
from engine.mosaic import Mosaic, pack
from engine.noise import NoiseReport, Patches
from engine.proposal import Proposal

_BINS = 24
_LEAST = 6  # patches in a bin from which its quietest say something
_FLAT_SHARE = 0.12  # of the patches of a bin, as in the report
_QUARTILES = (0.25, 0.5, 0.75)
_CLIPPED = 0.001


@dataclass(frozen=True, eq=False)
class ChannelCurve:
    """One channel's noise over its intensity, where 0 is black and 1 white; variances in the square of that unit.

    Attributes:
        name: for the user.
        intensity: (n,) rising, of the quietest patches in each bin of intensities.
        variance: (n,) their median.
        low, high: (n,) their quartiles.
        count: (n,) how many there are.
        slope, offset: of the line that the program goes by, variance = slope * intensity + offset.
        black, white: share of samples that are clipped there.
    """

    name: str
    intensity: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    slope: float
    offset: float
    black: float
    white: float

    def line(self, intensity: np.ndarray) -> np.ndarray:
        """The variance that the line gives, at least 0."""
        return np.maximum(self.slope * intensity + self.offset, 0)


@dataclass(frozen=True, eq=False)
class NoiseCurve:
    """What is known of a picture's noise.

    Attributes:
        channels: red, green and blue; grey alone; or the four planes of a sensor.
        autocorrelation: (n, n) of the noise between pixels, odd sides, lag 0 in the middle, rows are vertical lags;
            (1, 1) where it is white.
        channel_correlation: (C, C).
        is_mosaic: whether it was measured on the sensor's mosaic.
        conclusions: sentences, the most important one first.
    """

    channels: tuple[ChannelCurve, ...]
    autocorrelation: np.ndarray
    channel_correlation: np.ndarray
    is_mosaic: bool
    conclusions: tuple[str, ...]


def curve(image: Image, report: NoiseReport, proposal: Proposal | None = None) -> NoiseCurve:
    """Measure the noise at each brightness, and say what was concluded from it.

    In each of 24 bins of a channel's intensities the 12 % of the patches that vary least are taken, as all of the
    others hold texture, and their variances raised by what that choice of the lowest costs.

    Args:
        image: the noisy picture.
        report: of its noise, where it is denoised: of `measure_noise`, or of `stabilisation.measure` on a mosaic.
        proposal: the method that was chosen for it.

    Raises:
        NoiseError: the picture is too small.
    """
    mosaic = image.mosaic
    if mosaic is not None and stabilisation.on_mosaic(image):
        return _of_mosaic(mosaic, report, proposal)
    black, white = image.levels
    pixels = image.pixels if image.levels == (0, 1) else (image.pixels - black) / (white - black)
    # A grey picture in a colour file has one curve, three times.
    is_grey = image.channels == 1 or bool(np.min(report.channel_correlation) > 0.9999)
    if is_grey:
        pixels = pixels[..., :1]
    names = (tr("Grey"),) if is_grey else (tr("Red"), tr("Green"), tr("Blue"))
    dependence = float(np.square(report.autocorrelation).sum())
    lines = list(zip(report.slope, report.offset, strict=True))[: len(names)]
    channels = _channels(noise.patches(pixels), names, lines, dependence)
    correlation = np.ones((1, 1)) if is_grey else np.array(report.channel_correlation)
    return NoiseCurve(
        channels, np.array(report.autocorrelation), correlation, False, _conclusions(report, channels, proposal)
    )


def _of_mosaic(mosaic: Mosaic, report: NoiseReport, proposal: Proposal | None) -> NoiseCurve:
    if mosaic.noise is None:
        lines = [stabilisation.noise_line(mosaic)] * stabilisation.PLANES
        source = tr("The line was measured on the sensor's mosaic; all its colours share one.")
    else:
        lines = [tuple(mosaic.noise[colour].tolist()) for colour in (0, 1, 1, 2)]
        source = tr("The line is the one that the camera's file says.")
    names = (tr("Red"), tr("Green beside red"), tr("Green beside blue"), tr("Blue"))
    channels = _channels(noise.patches(pack(mosaic.pixels, mosaic.pattern)), names, lines, 1.0)
    conclusions = (report.reason, source, *_conclusions(report, channels, proposal)[1:])
    return NoiseCurve(channels, np.ones((1, 1)), np.eye(len(names)), True, conclusions)


def _channels(
    patches: Patches, names: tuple[str, ...], lines: list[tuple[float, float]], dependence: float
) -> tuple[ChannelCurve, ...]:
    return tuple(
        ChannelCurve(
            name,
            *_binned(patches.means[:, index], patches.variances[:, index], patches.freedom / dependence),
            *lines[index],
            *patches.clipped[index].tolist(),
        )
        for index, name in enumerate(names)
    )


def _binned(intensity: np.ndarray, variance: np.ndarray, freedom: float) -> tuple[np.ndarray, ...]:
    """Intensity, median variance, its quartiles and the number of the quietest patches in each bin that has enough."""
    rows = []
    if len(intensity):
        edges = np.linspace(intensity.min(), intensity.max(), _BINS + 1)[1:-1]
        order = np.searchsorted(edges, intensity, side="right")
        for number in range(_BINS):
            inside = np.flatnonzero(order == number)
            if len(inside) < _LEAST:
                continue
            kept = inside[np.argsort(variance[inside], kind="stable")[: max(2, round(_FLAT_SHARE * len(inside)))]]
            bias = noise.lowest_mean_bias(len(inside), len(kept), freedom) ** 2
            low, middle, high = np.quantile(variance[kept], _QUARTILES) / bias
            rows.append((float(intensity[kept].mean()), middle, low, high, len(kept)))
    return tuple(np.array(rows, float).reshape(-1, 5).T)


def _conclusions(report: NoiseReport, channels: tuple[ChannelCurve, ...], proposal: Proposal | None) -> tuple[str, ...]:
    found = [report.reason]
    if not report.is_clean:
        if report.is_white:
            text = tr(
                "The noise is white: what a pixel has of it tells nothing of its neighbours (correlation "
                "{correlation})."
            )
        else:
            text = tr(
                "The noise is not white: neighbouring pixels correlate by {correlation}, as in pictures that a "
                "camera has developed, sharpened or compressed."
            )
        found.append(text.format(correlation=f"{round(report.correlation, 2) + 0.0:.2f}".replace("-", "−")))
        text = tr("Sigma is taken to be {sigma:.1f} of 255, give or take {percent:.0f} %.")
        if report.level > report.sigma:
            text = tr(
                "Its deviation is {sigma:.1f} of 255, give or take {percent:.0f} %; a network for white noise is told "
                "{level:.1f}, since noise that correlates is stronger at low frequencies."
            )
        values = {"sigma": 255 * report.sigma, "percent": 100 * report.uncertainty, "level": 255 * report.level}
        found.append(text.format(**values))
    found += _about_brightness(channels)
    clipped = [(channel.name, channel.black + channel.white) for channel in channels]
    if max(share for _, share in clipped) >= _CLIPPED:
        name, share = max(clipped, key=lambda pair: pair[1])
        text = tr("Up to {percent:.1f} % of the samples are clipped ({name}); what noise they held cannot be told.")
        found.append(text.format(percent=100 * share, name=name))
    if proposal is not None:
        text = tr("So the method proposed is {method}, because {reason}.")
        found.append(text.format(method=proposal.method.upper(), reason=proposal.reason))
    return tuple(found)


def _about_brightness(channels: tuple[ChannelCurve, ...]) -> list[str]:
    """How the line rises from the darkest to the brightest flat places."""
    ends = [
        np.sqrt(channel.line(channel.intensity[[0, -1]])) * 255 for channel in channels if len(channel.intensity) > 1
    ]
    if not ends:
        return [tr("There are too few flat places to tell how it depends on brightness.")]
    dark, bright = (math.sqrt(float(np.mean(np.square([pair[end] for pair in ends])))) for end in (0, 1))
    if bright > 1.15 * dark:
        text = tr("It grows with brightness, from {dark:.1f} of 255 in the darkest flat places to {bright:.1f}.")
    elif dark > 1.15 * bright:
        text = tr("It falls with brightness, from {dark:.1f} of 255 in the darkest flat places to {bright:.1f}.")
    else:
        text = tr("It is much the same in dark and bright flat places ({dark:.1f} and {bright:.1f} of 255).")
    return [text.format(dark=dark, bright=bright)]
