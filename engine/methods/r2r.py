"""Recorrupted-to-Recorrupted: unsupervised training and averaged inference for noise whose statistics are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from engine import splits
from engine.covariance import CORRELATED, KINDS, PER_CHANNEL, PILOT, SIGNAL_DEPENDENT, WHITE, measured
from engine.language import tr
from engine.method import Batch, Method, MethodError, Pass, Stage, Task
from engine.noise import NoiseReport, pooled
from engine.params import choice, noise_level, param

POISSON, GAMMA = SPLITS = "poisson", "gamma"
"""Noise that is not Gaussian: the noisy value is split in place of being recorrupted."""

_NOISES = (tr("White"), tr("Per channel"), tr("Signal-dependent"), tr("Correlated"), tr("Poisson"), tr("Gamma"))

_ABOUT_NOISE = tr(
    "White is one deviation for all; per channel, signal-dependent (stronger where brighter) and correlated (with "
    "neighbours and other channels, as in camera JPEGs) are measured in the picture; poisson is photon counts, gamma "
    "speckle."
)

_ABOUT_GAIN = tr("White being 1, poisson noise's variance divided by the brightness, gamma noise's by its square.")


@dataclass(frozen=True)
class R2RParams:
    """What a user adjusts."""

    passes: int = param(
        4,
        1,
        1024,
        tr("Passes (T)"),
        step=1,
        stops=(1, 2, 4, 8, 16, 32, 64),
        help=tr(
            "How many recorrupted copies are denoised and averaged. They are drawn in opposite pairs, so 4 give what "
            "50 independent ones would."
        ),
    )
    alpha: float | None = param(
        None,
        0.05,
        20.0,
        tr("Recorruption (alpha)"),
        step=0.01,
        usual=0.5,
        help=tr(
            "How much noise is added before each pass: alpha times sigma, as in Pang et al. 2021. (deepinv's alpha is "
            "another: 0.5 here is 0.2 there.) Smaller keeps more detail in a pass, larger makes passes differ more. "
            "Automatic is 0.5, and 1 for correlated noise."
        ),
    )
    sigma: float | None = noise_level(
        tr("Too low leaves noise, too high blurs."),
    )
    noise_model: str = choice(
        WHITE,
        (*KINDS, *SPLITS),
        tr("Noise is"),
        words=_NOISES,
        expert=True,
        help=f"{_ABOUT_NOISE} "
        + tr(
            "Best is what the model was trained for. A model for white noise takes correlated noise "
            "for a stronger white one, which suits it better."
        ),
    )
    gain: float | None = param(
        None,
        1e-6,
        1.0,
        tr("Gain"),
        step=1e-6,
        usual=0.01,
        expert=True,
        help=f"{_ABOUT_GAIN} " + tr("Automatic takes it from sigma and the picture's brightness."),
    )
    ratio: float = param(
        1.0,
        0.5,
        1.5,
        tr("Sigma in training / true"),
        step=0.01,
        expert=True,
        help=tr(
            "Repairs a model that was trained with the wrong noise level: the level that was assumed then, divided by "
            "the true one. Below 1 takes out the noise that it leaves, above 1 brings back the detail that it blurs."
        ),
    )


@dataclass(frozen=True)
class R2RTraining:
    """What is adjusted when training."""

    noise_model: str = choice(
        WHITE,
        (*KINDS, *SPLITS),
        tr("Noise is"),
        words=_NOISES,
        help=f"{_ABOUT_NOISE} " + tr("All but white is for pictures with noise of their own."),
    )
    alpha: float | None = param(
        None,
        0.05,
        20.0,
        tr("Recorruption (alpha)"),
        step=0.01,
        help=tr("Automatic draws it from 0.3 to 1 for each patch, so that one network serves them all."),
    )
    gain: float | None = param(
        None,
        1e-6,
        1.0,
        tr("Gain"),
        step=1e-6,
        expert=True,
        help=f"{_ABOUT_GAIN} " + tr("Automatic takes it from what was measured in each picture."),
    )
    pool: str = choice(
        "picture",
        ("picture", "batch"),
        tr("Noise is measured"),
        words=(tr("In each picture"), tr("Over a batch")),
        expert=True,
        help=tr(
            "In each picture, or pooled over the pictures of a batch: steadier, for pictures of one camera setting."
        ),
    )


class R2R(Method):
    """Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted, CVPR 2021.

    From one noisy picture y = x + n, n ~ N(0, Sigma), and z ~ N(0, 1) come the input y + A z and the target y - B z
    with A B^T = Sigma; here A = alpha L, B = L / alpha, L L^T = Sigma, for white noise alpha sigma and sigma / alpha.
    Their noises are independent, so the network that best predicts the target from the input is the one that best
    predicts x. Poisson and gamma noise are split into two independent parts (Monroy, Bacca, Tachella, CVPR 2025).
    """

    id = "r2r"
    label = "Recorrupted-to-Recorrupted"
    source = "Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted, CVPR 2021"
    Params = R2RParams
    Training = R2RTraining
    group = 2

    def settled(self, params: Any) -> Any:
        """With the alpha in force."""
        return replace(params, alpha=automatic_alpha(params))

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """Antithetic pairs: pass 2j draws +z, pass 2j + 1 draws -z.

        The denoiser is locally almost linear in z, so the pair cancels nearly all of the sampling variance, and
        every even T extends every smaller one.

        With `ratio` r each pass is x = (f - kappa y') / (1 - kappa), y' its input, kappa = (1 - r^2) / (1 + alpha^2
        r^2): what a network that took sigma for r sigma in training leaves in, or takes out too much, of the noise that
        it sees (Gaussian noise only; derived from the optimum of the loss). It is given what it was given then.
        """
        params, noisy = task.params, task.noisy
        alpha = automatic_alpha(params)
        if params.noise_model in SPLITS:
            yield from _split_passes(network, task, alpha)
            return
        ratio = params.ratio
        kappa = (1 - ratio**2) / (1 + (alpha * ratio) ** 2)
        reports = () if task.report is None else (task.report,)
        covariance = measured(params.noise_model, noisy, task.sigma, reports)
        variance = covariance.variance(noisy)
        level = task.level(task.sigma * ratio * (1 + alpha**2) ** 0.5)
        for pair in itertools.count(task.first // 2):
            spread, bz = covariance.pair(task.field.unit(2 * pair, covariance.around), alpha * ratio)
            given = torch.cat((noisy + spread, noisy - spread))
            estimates = network(given, torch.cat((level, level)))
            if kappa:
                estimates = (estimates - kappa * given) / (1 - kappa)
            plus, minus = estimates.chunk(2)
            yield Pass(plus, bz, variance)
            yield Pass(minus, -bz, variance)

    def margin(self, network: nn.Module, params: Any) -> int:
        """The network's, and that of the mean which predicts the variance."""
        depends = params.noise_model in (SIGNAL_DEPENDENT, CORRELATED)
        return super().margin(network, params) + (PILOT if depends else 0)

    def allows_correlation(self, params: Any) -> bool:
        """With the covariance of correlated noise in use."""
        return params.noise_model == CORRELATED

    def allows_growth(self, params: Any) -> bool:
        """With a variance for each sample in use."""
        return params.noise_model not in (WHITE, PER_CHANNEL)

    def doubt(self, params: Any, report: NoiseReport) -> str:
        """None of the black where no photon or no echo came: such noise is not cut off there."""
        return super().doubt(params, replace(report, clipped=0.0) if params.noise_model in SPLITS else report)

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("recorrupted pairs", 1.0, loss),)

    def suggests(self, training: Any) -> Mapping[str, Any]:
        """The noise that it was trained for, where that is not white, and a fixed alpha."""
        found = {} if training.noise_model == WHITE else {"noise_model": training.noise_model}
        return found | ({} if training.alpha is None else {"alpha": training.alpha})


def automatic_alpha(params: R2RParams) -> float:
    """The recorruption in force.

    Measured on PolyU with an estimated covariance: 37.8 dB at 1, 37.0 at 0.5, where the estimate's error weighs more.
    """
    return params.alpha or (1.0 if params.noise_model == CORRELATED else 0.5)


def _split_passes(network: nn.Module, task: Task, alpha: float) -> Iterator[Pass]:
    """Passes for Poisson and gamma noise; the opposite of a draw is the one at the opposite quantile."""
    params, noisy = task.params, task.noisy
    gain = params.gain
    if gain is None:
        if task.report is None or not min(task.report.mean, default=0) > 0:
            raise MethodError(
                tr("The gain of {noise_model} noise cannot be measured in this picture; give the gain").format(
                    noise_model=params.noise_model
                )
            )
        gain = _gain(params.noise_model, task.sigma, task.report.mean, task.report.mean_square)
    split, variance = _split(params.noise_model, noisy, gain)
    level = task.level(task.sigma * (1 + alpha**2) ** 0.5)
    for pair in itertools.count(task.first // 2):
        z = task.field.unit(2 * pair)
        draws = [split(alpha, z), split(alpha, -z)]
        estimates = network(torch.cat([given for given, _, _ in draws]), torch.cat((level, level))).chunk(2)
        for estimate, (_, _, bz) in zip(estimates, draws, strict=True):
            yield Pass(estimate, bz, variance)


def _gain(kind: str, sigma: float, mean: Sequence[float], mean_square: Sequence[float]) -> float:
    """Gain of noise whose mean variance over the picture is sigma^2, by the means of the noisy samples."""
    if kind == POISSON:
        return sigma**2 * len(mean) / sum(mean)
    # The noise is in the mean square, too: E y^2 = E x^2 + sigma^2.
    return sigma**2 / max(sum(mean_square) / len(mean_square) - sigma**2, 1e-9)


def _split(kind: str, noisy: Tensor, gain: float | Tensor) -> tuple[Any, Tensor]:
    """These pictures' split, (alpha, z) to (input, target, y - target), and the unbiased variance of each sample."""
    if kind == POISSON:
        return lambda alpha, z: splits.poisson(noisy, gain, alpha, z), gain * noisy.clamp_min(0)
    looks = 1 / gain
    return lambda alpha, z: splits.gamma(noisy, looks, alpha, z), noisy**2 / (looks + 1)


ALPHAS = (0.3, 1.0)
"""Recorruption strengths drawn in training, so that one network serves the slider's useful range."""


def loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """Squared distance of f(y + A z) to y - B z, alpha uniform in `ALPHAS` for each patch unless it is fixed.

    Each patch is weighted by the inverse of its target's mean variance, for white noise sigma^2 (1 + 1 / alpha^2): with
    one network for all levels the strong noise would otherwise drown the weak. Noise that correlates is drawn wider
    than the patch and cut to it, so that its edges are like its middle. As patches come flipped and turned, its
    correlation is averaged over all orientations. Raises MethodError where the noise has to be measured and was not.
    """
    noisy, sigma, kind = batch.noisy, batch.sigma, training.noise_model
    if batch.target is not None:
        # Recorrupted before: on a camera's mosaic, whose sensor says the noise, and then developed.
        return ((network(noisy, sigma).float() - batch.target) ** 2).mean()
    shape = (noisy.shape[0], 1, 1, 1)
    if training.alpha is None:
        low, high = ALPHAS
        alpha = low + (high - low) * torch.rand(shape, generator=generator, device=noisy.device)
    else:
        alpha = noisy.new_full(shape, training.alpha)
    reports = [pooled(batch.reports)] if batch.reports and training.pool == "batch" else batch.reports
    if kind in SPLITS:
        split, variance = _split(kind, noisy, _gains(training, reports, noisy))
        z = torch.randn(noisy.shape, generator=generator, device=noisy.device)
        given, target, _ = split(alpha, z)
    else:
        if kind == CORRELATED and reports:
            # As at inference, where the network is told the level.
            sigma = noisy.new_tensor([report.level for report in reports]).view(-1, 1, 1, 1)
        covariance = measured(kind, noisy, sigma, reports, any_orientation=True)
        size = [*noisy.shape[:2], *(side + 2 * covariance.around for side in noisy.shape[2:])]
        z = torch.randn(size, generator=generator, device=noisy.device)
        spread, bz = covariance.pair(z, alpha)
        given, target = noisy + spread, noisy - bz
        variance = torch.as_tensor(covariance.deviation) ** 2
    denoised = network(given, sigma * (1 + alpha**2).sqrt())
    variance = variance.mean((1, 2, 3), keepdim=True) * (1 + alpha**-2)
    # The floor is the squared error a good network leaves on almost clean patches; without it they would rule.
    weight = 1 / (variance + (4 / 255) ** 2)
    return (weight * (denoised.float() - target) ** 2).mean()


def _gains(training: Any, reports: Sequence[Any], noisy: Tensor) -> float | Tensor:
    """The gain by hand, or as measured in each patch's picture (B, 1, 1, 1)."""
    if training.gain is not None:
        return training.gain
    if not reports:
        raise MethodError(
            tr("The gain of {noise_model} noise was not measured in these pictures; give the gain").format(
                noise_model=training.noise_model
            )
        )
    gains = [_gain(training.noise_model, r.sigma, r.mean, r.mean_square) for r in reports]
    return noisy.new_tensor(gains).clamp_min(1e-6).view(-1, 1, 1, 1)


METHOD = R2R()
