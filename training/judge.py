"""The held-out criterion: how far a denoiser's results are from the truth, told from noisy pictures alone.

For noise n of covariance Sigma and a denoiser f, |f(y) - y|^2 - tr(Sigma) + 2 tr(J Sigma) has the expectation
|f(y) - x|^2 (Stein's unbiased risk estimate, Annals of Statistics 1981, for any Sigma); the second trace is found with
one more run on y + epsilon b, b of the same covariance (Ramani, Blu, Unser, TIP 2008). Between two denoisers the first
trace cancels: which of them is better depends on the noise's strength only where one of them smooths more.

It is right as far as the covariance is; see `engine.covariance`, and docs/training.md for how well it ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from engine import params
from engine.covariance import CORRELATED, SIGNAL_DEPENDENT, WHITE, Covariance, measured
from engine.denoise import Denoising, Model
from engine.image import Image
from engine.noise import NoiseReport
from engine.proposal import settled_sigma

WINDOWS = 12
"""Windows that are judged, of all held-out pictures together."""

SIDE = 192
"""Of a window, in pixels."""

_EPSILON = 0.05

_LAGS = 4


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a held-out picture.

    Attributes:
        name: of the picture.
        noisy: (h, w, C) in the trained range.
        sigma: its noise level, known or measured.
        report: of the whole picture; None where the noise is known to be white.
    """

    name: str
    noisy: np.ndarray
    sigma: float
    report: NoiseReport | None = None


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is known of one denoiser, for each window.

    Attributes:
        results: its (h, w, C).
        errors: estimated squared error over the noise's power: 1 leaves the noise as it is, 0 is the truth. May be
            below 0, as any estimate of a small thing.
        shares: of the noise that is let through, tr(J Sigma) / tr(Sigma).
        structure: what correlates in the residual other than the noise does, in parts of its power: what should not
            have been taken away. Mean over the windows.
    """

    results: Sequence[np.ndarray]
    errors: np.ndarray
    shares: np.ndarray
    structure: float

    @property
    def error(self) -> float:
        """Mean over the windows, each relative to its own noise."""
        return float(self.errors.mean())


@dataclass(frozen=True)
class Gain:
    """One denoiser over another.

    Attributes:
        error: by which the relative error is smaller, in parts of the noise's power.
        band: half-width of its 95 % band.
        db, band_db: the same in dB; None where the error that is left cannot be told from none.
        is_better: whether that is more than chance and the uncertainty of the noise explain.
    """

    error: float
    band: float
    db: float | None
    band_db: float | None

    @property
    def is_better(self) -> bool:
        """Beyond its band."""
        return self.error > self.band


class Judge:
    """Judges denoisers on the same windows with the same random numbers.

    Args:
        windows: of the held-out pictures.
        seed: of the random numbers.
    """

    def __init__(self, windows: Sequence[Window], seed: int) -> None:
        self.windows = list(windows)
        generator = torch.Generator().manual_seed(seed)
        self._probes, self._powers = [], []
        for window in self.windows:
            planes = torch.from_numpy(np.ascontiguousarray(window.noisy.transpose(2, 0, 1)))[None]
            covariance = _covariance(window, planes)
            around = 2 * covariance.around
            _, channels, height, width = planes.shape
            unit = torch.randn((1, channels, height + around, width + around), generator=generator)
            noise = covariance.colour(unit)[0].permute(1, 2, 0)
            self._probes.append(noise.numpy().astype(np.float32))
            deviation = torch.as_tensor(covariance.deviation, dtype=torch.float32)
            self._powers.append(float(deviation.square().expand_as(planes).mean()))

    @property
    def noisy_psnr_db(self) -> float:
        """Mean over the windows, by their noise."""
        return float(np.mean([-10 * math.log10(power) for power in self._powers]))

    def judge(self, model: Model, suggested: Mapping[str, Any]) -> Judgement:
        """What this model gives, by one group of its method's passes.

        Args:
            model: on its device.
            suggested: values for its method, as its checkpoint has them.
        """
        results, errors, shares, structures = [], [], [], []
        for window, probe, power in zip(self.windows, self._probes, self._powers, strict=True):
            result = denoised(model, window, suggested)
            probed = replace(window, noisy=window.noisy + np.float32(_EPSILON) * probe)
            moved = denoised(model, probed, suggested)
            share = float((probe * (moved - result)).mean(dtype=np.float64)) / _EPSILON / power
            residual = window.noisy - result
            results.append(result)
            shares.append(share)
            errors.append(float(np.square(residual).mean(dtype=np.float64)) / power - 1 + 2 * share)
            structures.append(_structure(residual, power, window.report))
        return Judgement(results, np.array(errors), np.array(shares), float(np.mean(structures)))

    def untouched(self) -> Judgement:
        """The noisy pictures as they are."""
        ones = np.ones(len(self.windows))
        return Judgement([window.noisy for window in self.windows], ones, ones, 0.0)

    def psnr(self, judgement: Judgement) -> tuple[float | None, float | None]:
        """Estimated PSNR in dB and the half-width of its 95 % band; None where the error cannot be told from none.

        Mean over the windows, each by its own noise. The chance is that of the noise in them, as in
        `engine.metrics.estimate_psnr`.
        """
        error = judgement.error
        if error <= 0:
            return None, None
        kept = 1 / np.array([window.noisy.size / self._dependence(window) for window in self.windows])
        shares = judgement.shares.clip(0, 1)
        chance = math.sqrt(float((kept * (2 + 4 * judgement.errors.clip(0) + 8 * shares)).sum())) / len(kept)
        # The noise's power is taken off once, and put on again twice as far as it is let through.
        band = 1.96 * math.hypot(chance, self._doubt(2 * (2 * judgement.shares - 1)))
        return self.noisy_psnr_db - 10 * math.log10(error), 10 * math.log10(1 + band / error)

    def gain(self, now: Judgement, before: Judgement) -> Gain:
        """How much less error there is now than before.

        Chance enters by the noise of each window and by which pictures were held out; the wrong strength of measured
        noise by the share of it that is let through more or less than before.
        """
        gains = before.errors - now.errors
        count = len(gains)
        within = []
        for index, window in enumerate(self.windows):
            moved = np.square(now.results[index] - before.results[index]).mean(dtype=np.float64)
            within.append(4 * self._dependence(window) * moved / self._powers[index] / window.noisy.size)
        chance = math.sqrt(sum(within)) / count
        if count > 1:
            chance = max(chance, _quantile(count) / 1.96 * float(gains.std(ddof=1)) / math.sqrt(count))
        level = self._doubt(4 * (before.shares - now.shares))
        band, gain = 1.96 * math.hypot(chance, level), float(gains.mean())
        left, was = now.error, before.error
        if left <= 0 or was <= 0:
            return Gain(gain, band, None, None)
        return Gain(gain, band, 10 * math.log10(was / left), 10 * math.log10(1 + band / left))

    def _doubt(self, weights: np.ndarray) -> float:
        """Standard error of a mean over the windows by what is not known of the noise's strength.

        White noise is measured in each picture by itself; what is wrong with noise that correlates or grows is so in
        all of them.

        Args:
            weights: by how much each window's number changes with the noise's deviation, for a part of it.
        """
        reports = [window.report for window in self.windows]
        unsure = np.array([0.0 if report is None else report.uncertainty for report in reports])
        is_own = np.array([report is None or (report.is_white and not report.growth) for report in reports])
        moved = unsure * weights
        return math.hypot(float(np.linalg.norm(moved[is_own])), float(moved[~is_own].sum())) / len(moved)

    @staticmethod
    def _dependence(window: Window) -> float:
        return 1.0 if window.report is None else window.report.dependence


def _covariance(window: Window, planes: torch.Tensor) -> Covariance:
    """What the noise of a window is taken to be."""
    report = window.report
    if report is None:
        return Covariance(window.sigma)
    if report.is_white:
        return measured(SIGNAL_DEPENDENT if report.growth else WHITE, planes, report.sigma, [report])
    return measured(CORRELATED, planes, report.level, [report])


def denoised(model: Model, window: Window, suggested: Mapping[str, Any], seed: int = 0) -> np.ndarray:
    """(h, w, C) by one group of passes, in one tile; the same random numbers for the same seed.

    Args:
        model: on its device.
        window: whose level the model is told.
        suggested: values for its method, as its checkpoint has them.
        seed: of the passes.
    """
    values, sigma, group = model.method.quiet(suggested), window.sigma, model.method.group
    if window.report is not None:
        specs = params.specs(model.method.Params)
        sigma = settled_sigma(window.report, specs, getattr(values, "sigma", None)) or sigma
    work = Denoising(
        model,
        Image(window.noisy),
        values,
        sigma=sigma,
        seed=seed,
        tile=max(window.noisy.shape),
        keep=False,
        report=window.report,
    )
    for _ in work.run(group):
        pass
    return work.mean(group)


def _structure(residual: np.ndarray, power: float, report: NoiseReport | None) -> float:
    """What correlates in the residual other than the noise does, over lags of up to 4 pixels, in parts of its power."""
    centred = residual - residual.mean((0, 1))
    all_of_it = np.square(centred).mean(dtype=np.float64)
    noise = np.array(((1.0,),) if report is None else report.autocorrelation)
    middle = noise.shape[0] // 2
    worst = 0.0
    height, width = residual.shape[:2]
    for down in range(_LAGS + 1):
        for across in range(-_LAGS if down else 1, _LAGS + 1):
            left, right = max(0, -across), width - max(0, across)
            first = centred[: height - down, left:right]
            second = centred[down:, left + across : right + across]
            found = float((first * second).mean(dtype=np.float64))
            inside = max(down, abs(across)) <= middle
            expected = float(noise[middle + down, middle + across]) if inside else 0.0
            worst = max(worst, abs(found - expected * all_of_it))
    return worst / power


def _quantile(count: int) -> float:
    """97.5 % quantile of Student's t with count - 1 degrees of freedom (Cornish-Fisher; 12.7 for two)."""
    if count == 2:
        return 12.706
    z, n = NormalDist().inv_cdf(0.975), count - 1
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
