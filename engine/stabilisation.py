"""The noise of a sensor on its mosaic: how it grows with light, and the curve that makes it the same everywhere.

Photons and electronics make a noise of variance slope x light + offset, independent from pixel to pixel. Nothing of
that holds any longer once the picture is developed.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine import noise
from engine.image import Image
from engine.language import tr
from engine.mosaic import Mosaic, pack
from engine.noise import MIN_SIDE, NoiseError, NoiseReport

PLANES = 4
"""Red, green of red's rows, green of blue's rows, blue."""

_SIDE = 8
_GROUPS = 16
_QUIET_SHARE = 0.02
_QUIET_LEAST = 32
_MOST_BLOCKS = 100_000
_SATURATED = 0.98
# Texture only adds variance, so a group below the line counts nine times as much as one above it.
_QUANTILE = 0.1
_CLEAN = 0.5 / 255
_UNCERTAINTY = 0.1
_BRIGHTEST = 99.9  # per cent; what is brighter may exceed the networks' trained range

_ORDER = np.add.outer(np.arange(_SIDE), np.arange(_SIDE)).ravel()
_LOW = (_ORDER > 0) & (_ORDER <= _SIDE)
_HIGH = _ORDER > _SIDE


@dataclass(frozen=True, eq=False)
class Stabiliser:
    """The generalised Anscombe transformation of each colour plane, scaled into the networks' trained range.

    f(x) = 2/a sqrt(a x + 3/8 a^2 + b) gives noise of variance a x + b a deviation of 1, and its exact unbiased inverse
    is taken in closed form: Makitalo, Foi, Optimal inversion of the generalized Anscombe transformation for
    Poisson-Gaussian noise, IEEE Transactions on Image Processing 22(1), 2013, equations (4) and (8).

    Attributes:
        lines: (4, 2) slope a and offset b of red, two greens and blue, mosaic units.
        span: of the transformed values that are mapped to [0, 1], in deviations.
    """

    lines: np.ndarray
    span: float

    @property
    def sigma(self) -> float:
        """The noise deviation of all planes after `forward`."""
        return 1 / self.span

    def forward(self, planes: np.ndarray) -> np.ndarray:
        """(h, w, 4) of a mosaic, also values below black, as float32 in which the noise varies alike everywhere."""
        out = np.empty(planes.shape, np.float32)
        for index, (slope, offset) in enumerate(self.lines.tolist()):
            # 2/a (sqrt(a x + c) - sqrt(c)) without the difference, which would cost the shades where a is small.
            least = 0.375 * slope**2 + offset
            light = np.maximum(planes[..., index], -least / slope)
            root = np.sqrt(np.maximum(slope * light + least, 0))
            out[..., index] = 2 / self.span * light / (root + math.sqrt(least))
        return out

    def inverse(self, planes: np.ndarray) -> np.ndarray:
        """The light whose noisy recordings have these means after `forward`: (h, w, 4) float32."""
        out = np.empty(planes.shape, np.float32)
        root = math.sqrt(1.5)
        for index, (slope, offset) in enumerate(self.lines.tolist()):
            start = 2 / slope * math.sqrt(0.375 * slope**2 + offset)
            # The least mean that a sum of photons and noise can have; below it the closed form turns up again.
            rise = np.maximum(planes[..., index] * self.span, root - start)
            d = rise + start
            # d^2/4 - 1/8 - b/a^2, again without a difference of large numbers.
            light = rise * (d + start) / 4 + 1 / 4
            light += (root / 4 + (5 / 8 * root / d - 11 / 8) / d) / d
            out[..., index] = slope * light
        return out


_known: weakref.WeakKeyDictionary[Mosaic, Stabiliser] = weakref.WeakKeyDictionary()


def stabiliser(mosaic: Mosaic) -> Stabiliser:
    """Made for the noise that the mosaic's table says, else for that measured in it; NoiseError if it is too small."""
    found = _known.get(mosaic)
    if found is None:
        if mosaic.noise is None:
            lines = np.tile(noise_line(mosaic), (PLANES, 1))
        else:
            lines = np.asarray(mosaic.noise)[[0, 1, 1, 2]]
        # A slope of nothing would divide by zero; so little is none.
        lines = np.maximum(lines, (1e-7, 0))
        planes = pack(mosaic.pixels, mosaic.pattern)
        stride = max(1, math.isqrt(planes.shape[0] * planes.shape[1] >> 18))
        seen = Stabiliser(lines, 1.0).forward(planes[::stride, ::stride])
        found = _known[mosaic] = Stabiliser(lines, max(float(np.percentile(seen, _BRIGHTEST)), 1.0))
    return found


def noise_line(mosaic: Mosaic) -> tuple[float, float]:
    """Slope and offset of the noise variance over light, from the mosaic alone; NoiseError if a side is too small.

    All colours share an amplifier, and with it one line. In 8x8 blocks of the planes, sorted into 16 groups by their
    mean, those with the least at low frequencies are taken and measured by their high ones; as these are independent
    for white noise, the choice does not bias. Of seven photographs of Kodak with three known noises each (half size,
    where texture is hardest) the deviation found is 5 % off in the median, at most 5 % too low, and up to 2.4 times too
    high where there is no quiet place at all.
    """
    planes = pack(mosaic.pixels, mosaic.pattern)
    if min(planes.shape[:2]) < MIN_SIDE:
        raise NoiseError(
            tr(
                "Noise can be measured on a mosaic from {least}x{least} pixels on, this has "
                "{width}x{height}; denoise the developed picture"
            ).format(least=2 * MIN_SIDE, width=mosaic.pixels.shape[1], height=mosaic.pixels.shape[0])
        )
    blocks = _blocks(planes)
    inside = blocks[blocks.max(1) < _SATURATED]
    spectra = (inside if len(inside) >= _GROUPS * _QUIET_LEAST else blocks) @ _dct().T
    means = spectra[:, 0] / _SIDE
    spectra *= spectra
    low = spectra[:, _LOW].mean(1)
    levels, variances = [], []
    for group in np.array_split(np.argsort(means, kind="stable"), _GROUPS):
        count = min(max(_QUIET_LEAST, int(_QUIET_SHARE * len(group))), len(group))
        quiet = group[np.argpartition(low[group], count - 1)[:count]]
        levels.append(float(means[quiet].mean()))
        # The median passes over a frequency with texture.
        variances.append(float(np.median(spectra[quiet][:, _HIGH].mean(0))))
    return _line_below(np.array(levels), np.array(variances))


def _blocks(planes: np.ndarray) -> np.ndarray:
    height, width, count = planes.shape
    stride = max(4, math.ceil(math.sqrt(height * width * count / _MOST_BLOCKS)))
    found = [
        sliding_window_view(planes[..., index], (_SIDE, _SIDE))[::stride, ::stride].reshape(-1, _SIDE * _SIDE)
        for index in range(count)
    ]
    return np.concatenate(found)


def _dct() -> np.ndarray:
    k, n = np.mgrid[0:_SIDE, 0:_SIDE]
    matrix = np.cos(np.pi * (2 * n + 1) * k / (2 * _SIDE)) * math.sqrt(2 / _SIDE)
    matrix[0] /= math.sqrt(2)
    return np.kron(matrix, matrix).astype(np.float32)


def _line_below(levels: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """The line, neither falling nor below zero at black, that the quietest groups lie on, by relative distances."""
    candidates = [(0.0, float(variance)) for variance in variances]
    candidates += [(float(v / level), 0.0) for level, v in zip(levels, variances, strict=True) if level > 0]
    least = 0.02 * float(np.ptp(levels))
    for i, j in np.ndindex(len(levels), len(levels)):
        if levels[j] - levels[i] > least:
            slope = float((variances[j] - variances[i]) / (levels[j] - levels[i]))
            candidates.append((slope, float(variances[i] - slope * levels[i])))

    def loss(line: tuple[float, float]) -> float:
        slope, offset = line
        expected = slope * levels + offset
        if slope < 0 or offset < 0 or expected.min() <= 0:
            return math.inf
        rest = (variances - expected) / expected
        return float(np.maximum(_QUANTILE * rest, (_QUANTILE - 1) * rest).sum())

    best = min(candidates, key=loss)
    return best if math.isfinite(loss(best)) else (0.0, max(float(variances.min()), 0.0))


def on_mosaic(image: Image) -> bool:
    """Whether that picture is denoised on its mosaic: it has one, and `Develop.domain` says so."""
    return image.mosaic is not None and image.develop.domain == "mosaic"


def channels(image: Image) -> int:
    """What a network should be made for: four planes of a mosaic, which a grey one serves too, or the picture's."""
    return PLANES if on_mosaic(image) else image.channels


def measure(image: Image) -> NoiseReport:
    """The noise of a picture where it is denoised; raises as `measure_noise`.

    On the mosaic it is that of the stabilised planes, in the networks' trained range. It is white: the pixels of a
    sensor know nothing of each other.
    """
    mosaic = image.mosaic
    if mosaic is None or not on_mosaic(image):
        return noise.measure_noise(image)
    found = stabiliser(mosaic)
    planes = pack(mosaic.pixels, mosaic.pattern)
    stride = max(1, math.isqrt(planes.shape[0] * planes.shape[1] >> 18))
    seen = found.forward(planes[::stride, ::stride]).astype(np.float64)
    sigma = found.sigma if found.sigma >= _CLEAN else 0.0
    each = (found.sigma,) * PLANES
    reason = tr(
        "Measured on the sensor's mosaic, where the noise is white: {sigma:.1f} of 255 once it "
        "is made alike in dark and bright places."
    ).format(sigma=found.sigma * 255)
    if not sigma:
        reason = tr("Clean: {sigma:.2f} of 255 was found on the sensor's mosaic, not worth removing.").format(
            sigma=found.sigma * 255
        )
    return NoiseReport(
        sigma=sigma,
        joint=found.sigma,
        channels=each,
        flat=found.sigma,
        flat_channels=each,
        slope=(0.0,) * PLANES,
        offset=tuple(value**2 for value in each),
        correlation=0.0,
        channel_correlation=tuple(map(tuple, np.eye(PLANES).tolist())),
        clipped=float(np.mean(planes[::stride, ::stride] >= 1)),
        is_white=True,
        is_clean=not sigma,
        uncertainty=_UNCERTAINTY,
        reason=reason,
        mean=tuple(seen.mean((0, 1)).tolist()),
        mean_square=tuple(np.square(seen).mean((0, 1)).tolist()),
    )
