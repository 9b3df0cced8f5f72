"""Recorrupted-to-Recorrupted: unsupervised training and averaged inference for noise of known level."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from engine.method import Batch, Method, Pass, Stage, Task
from engine.params import param


@dataclass(frozen=True)
class R2RParams:
    """What a user adjusts."""

    passes: int = param(
        4,
        1,
        1024,
        "Passes (T)",
        step=1,
        stops=(1, 2, 4, 8, 16, 32, 64),
        help="How many recorrupted copies are denoised and averaged. They are drawn in opposite pairs, so 4 give what "
        "50 independent ones would.",
    )
    alpha: float = param(
        0.5,
        0.05,
        2.0,
        "Recorruption (alpha)",
        step=0.05,
        help="How much noise is added before each pass: alpha times sigma, as in Pang et al. 2021. (deepinv's alpha is "
        "another: 0.5 here is 0.2 there.) Smaller keeps more detail in a pass, larger makes passes differ more.",
    )
    sigma: float | None = param(
        None,
        0.0,
        1.0,
        "Noise level (sigma)",
        scale=255.0,
        step=0.1 / 255,
        help="Standard deviation of the noise on a scale of 0 to 255. Automatic measures it in the picture. Too low "
        "leaves noise, too high blurs.",
    )


class R2R(Method):
    """Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted, CVPR 2021.

    From one noisy picture y = x + n, n ~ N(0, sigma^2), and z ~ N(0, 1) come the input y + alpha sigma z and the target
    y - sigma z / alpha. Their noises are independent, so the network that best predicts the target from the input is
    the one that best predicts x.
    """

    id = "r2r"
    label = "Recorrupted-to-Recorrupted"
    source = "Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted, CVPR 2021"
    Params = R2RParams
    group = 2

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """Antithetic pairs: pass 2j draws +z, pass 2j + 1 draws -z.

        The denoiser is locally almost linear in z, so the pair cancels nearly all of the sampling variance, and
        every even T extends every smaller one.
        """
        alpha, sigma, noisy = task.params.alpha, task.sigma, task.noisy
        level = task.level(sigma * (1 + alpha**2) ** 0.5)
        for pair in itertools.count(task.first // 2):
            z = task.field.unit(2 * pair)
            spread = alpha * sigma * z
            bz = sigma / alpha * z
            plus, minus = network(torch.cat((noisy + spread, noisy - spread)), torch.cat((level, level))).chunk(2)
            yield Pass(plus, bz)
            yield Pass(minus, -bz)

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("recorrupted pairs", 1.0, loss),)


ALPHAS = (0.3, 1.0)
"""Recorruption strengths drawn in training, so that one network serves the slider's useful range."""


def loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """Squared distance of f(y + alpha sigma z) to y - sigma z / alpha, alpha uniform in `ALPHAS` for each patch.

    Each patch is weighted by the inverse variance of its target, sigma^2 (1 + 1 / alpha^2): with one network for all
    levels the strong noise would otherwise drown the weak.
    """
    noisy, sigma = batch.noisy, batch.sigma
    shape = (noisy.shape[0], 1, 1, 1)
    low, high = ALPHAS
    alpha = low + (high - low) * torch.rand(shape, generator=generator, device=noisy.device)
    z = torch.randn(noisy.shape, generator=generator, device=noisy.device)
    denoised = network(noisy + alpha * sigma * z, sigma * (1 + alpha**2).sqrt())
    variance = sigma**2 * (1 + alpha**-2)
    # The floor is the squared error a good network leaves on almost clean patches; without it they would rule.
    weight = 1 / (variance + (4 / 255) ** 2)
    return (weight * (denoised.float() - (noisy - sigma / alpha * z)) ** 2).mean()


METHOD = R2R()
