"""The covariance of a picture's noise, and noise that has it: what recorruption must draw."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.language import tr
from engine.method import MethodError
from engine.noise import NoiseReport

WHITE, PER_CHANNEL, SIGNAL_DEPENDENT, CORRELATED = "white", "per channel", "signal-dependent", "correlated"
KINDS = WHITE, PER_CHANNEL, SIGNAL_DEPENDENT, CORRELATED
"""What is known: one variance; one for each channel; one for each sample; how neighbours and channels correlate."""

RADIUS = 6
"""Of the kernel that makes noise correlated, in pixels."""

PILOT = 3
"""Radius in pixels of the mean from which the variance is predicted."""

_FLOOR = 0.05  # of the channel's variance: where the line falls below zero, in the dark, there is still some
_TEXTURE = 256.0  # local variance over the line's from which on it counts no more: edges


@dataclass(frozen=True, eq=False)
class Covariance:
    """Sigma = L L^T with L = diag(deviation) x mixing x kernel: unit noise convolved, mixed across channels, scaled.

    Attributes:
        deviation: standard deviation, a number or anything that broadcasts to (B, C, H, W).
        kernel: (1 or B, K, K), K odd, the squares of each sum to 1; None for neighbours that are independent.
        mixing: (1 or B, C, C), the squares of each row sum to 1; None for channels that are independent.
    """

    deviation: float | Tensor
    kernel: Tensor | None = None
    mixing: Tensor | None = None

    @property
    def around(self) -> int:
        """How many pixels of unit noise more are needed on every side."""
        return 0 if self.kernel is None else self.kernel.shape[-1] // 2

    def variance(self, noisy: Tensor) -> Tensor | None:
        """The variance of every pixel, shaped like `noisy`; None where it is the same for all."""
        return (self.deviation**2).expand_as(noisy) if isinstance(self.deviation, Tensor) else None

    def colour(self, unit: Tensor) -> Tensor:
        """L z: noise with this covariance, (B, C, H, W), of unit noise z with `around` pixels more on every side."""
        return self.deviation * self._correlated(unit)

    def pair(self, unit: Tensor, alpha: float | Tensor) -> tuple[Tensor, Tensor]:
        """A z and B z of Recorrupted-to-Recorrupted with A B^T = Sigma: A = alpha L, B = L / alpha."""
        correlated = self._correlated(unit)
        return alpha * self.deviation * correlated, self.deviation / alpha * correlated

    def _correlated(self, unit: Tensor) -> Tensor:
        """Noise of variance 1 in every pixel."""
        # In half precision the noise would not be what its own divergence takes it for.
        with torch.autocast(unit.device.type, enabled=False):
            if self.kernel is not None:
                kernels = self.kernel.expand(unit.shape[0], -1, -1)[:, None]
                # Every patch has a kernel of its own: channels as batch, patches as groups.
                unit = F.conv2d(unit.transpose(0, 1), kernels, groups=len(kernels)).transpose(0, 1)
            if self.mixing is not None:
                unit = torch.einsum("bij,bjhw->bihw", self.mixing.expand(unit.shape[0], -1, -1), unit)
        return unit


def measured(
    kind: str,
    noisy: Tensor,
    sigma: float | Tensor,
    reports: Sequence[NoiseReport] = (),
    *,
    any_orientation: bool = False,
) -> Covariance:
    """The covariance of the noise of pictures, as far as `kind` wants it known.

    The variance of a pixel is the line of its report (slope x intensity + offset) at the mean of 7x7 pixels around it;
    for correlated noise grown by the texture there, where the report says that it grows. It is scaled so that its mean
    over the picture is sigma^2; for correlated noise the measured one where sigma is the report's `level`, and in
    proportion where it is not.

    Args:
        kind: one of `KINDS`.
        noisy: (B, C, H, W) in the trained range; B are the channels where C is 1 and the one report has B channels.
        sigma: the level the denoiser is told, a number or (B, 1, 1, 1).
        reports: one for each picture, or one for all of them; needed for all but white noise.
        any_orientation: the pictures were flipped and turned, nobody knows how: the correlation is averaged over all.

    Raises:
        MethodError: without a report.
    """
    if kind == WHITE:
        return Covariance(sigma)
    if not reports:
        raise MethodError(
            tr(
                "Noise that is {kind} is measured in the pictures themselves, and in these it was not; choose white"
            ).format(kind=kind)
        )
    alone = len(reports) == 1 and noisy.shape[1] == 1 and len(reports[0].channels) == noisy.shape[0]

    def each(value: Callable[[NoiseReport], float | Sequence[float]]) -> Tensor:
        """(B, C or 1, 1, 1)."""
        table = noisy.new_tensor([np.atleast_1d(value(report)).tolist() for report in reports])
        return table.T[..., None, None] if alone and table.shape[1] > 1 else table[..., None, None]

    # A picture without any noise has no line either; then there is only sigma to go by.
    flat = each(lambda report: report.flat or 1.0)
    scale = sigma / flat
    if kind == CORRELATED:
        scale = scale * each(lambda report: report.sigma / report.level if report.level else 1.0)
    channels = each(lambda report: [(c if report.flat else 1.0) ** 2 for c in report.flat_channels])
    if kind == PER_CHANNEL:
        return Covariance(scale * channels.sqrt())
    pilot = _mean(noisy)
    line = each(lambda report: report.slope) * pilot.clamp(0, 1) + each(lambda report: report.offset)
    variance = torch.maximum(line, _FLOOR * channels)
    if kind == SIGNAL_DEPENDENT:
        return Covariance(scale * variance.sqrt())
    gain = each(lambda report: report.texture_gain)
    if any(report.texture_gain for report in reports):
        size = (2 * PILOT + 1) ** 2
        local = (_mean(noisy**2) - pilot**2).mean(1, keepdim=True) * (size / (size - 1))
        variance = variance * (local / variance.mean(1, keepdim=True)).clamp(1, _TEXTURE) ** gain
    kernel = mixing = None
    if any(len(report.autocorrelation) > 1 for report in reports):
        kernel = noisy.new_tensor(np.stack([square_root(r.autocorrelation, any_orientation) for r in reports]))
    if noisy.shape[1] > 1 and not all(report.is_independent for report in reports):
        mixing = noisy.new_tensor(np.stack([_mixing(r.channel_correlation, r.is_independent) for r in reports]))
    return Covariance(scale * variance.sqrt(), kernel, mixing)


def _mean(pixels: Tensor) -> Tensor:
    """Of 7x7 pixels around each; of those that there are at the border."""
    return F.avg_pool2d(pixels, 2 * PILOT + 1, 1, PILOT, count_include_pad=False)


@functools.lru_cache(maxsize=1024)
def square_root(autocorrelation: tuple[tuple[float, ...], ...], any_orientation: bool = False) -> np.ndarray:
    """The kernel (2 RADIUS + 1, same) that gives white noise this autocorrelation: symmetric, its squares sum to 1.

    Its spectrum is the root of the autocorrelation's, which is faded out towards the longest lags, where it is least
    known, and not below zero, as that of no noise is.
    """
    table = np.asarray(autocorrelation, dtype=np.float64)
    table = (table + table[::-1, ::-1]) / 2
    if any_orientation:
        table = (table + table[::-1] + table.T + table.T[::-1]) / 4
    lags = np.arange(len(table)) - len(table) // 2
    reach = len(table) // 2 + 1
    # Flat to half of the way: a taper that begins at once takes 5 % of the neighbours' correlation.
    fade = np.cos(np.pi / 2 * np.clip(2 * np.abs(lags) / reach - 1, 0, 1)) ** 2
    side = 64
    plane = np.zeros((side, side))
    plane[np.ix_(lags, lags)] = table * np.outer(fade, fade)
    spectrum = np.fft.fft2(plane).real
    # A root that touches zero has long tails.
    root = np.fft.ifft2(np.sqrt(np.maximum(spectrum, 0.0003 * spectrum.max()))).real
    near = np.arange(-RADIUS, RADIUS + 1)
    kernel = root[np.ix_(near, near)]
    return kernel / np.linalg.norm(kernel)


@functools.lru_cache(maxsize=1024)
def _mixing(correlation: tuple[tuple[float, ...], ...], is_independent: bool) -> np.ndarray:
    """Lower triangular M with M M^T = correlation; equal channels, as of a grey picture, have one too."""
    table = np.array(correlation)
    return np.linalg.cholesky(np.eye(len(table)) if is_independent else 0.999 * table + 0.001 * np.eye(len(table)))
