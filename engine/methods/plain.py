"""Supervised networks, run as they are: one pass, nothing added."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from engine.method import Batch, Method, Pass, Stage, Task, probe
from engine.params import choice, param
from engine.spandrel_networks import SpandrelNetwork


@dataclass(frozen=True)
class PlainParams:
    """What a user adjusts."""

    sigma: float | None = param(
        None,
        0.0,
        1.0,
        "Noise level (sigma)",
        scale=255.0,
        step=0.1 / 255,
        help="Standard deviation of the noise on a scale of 0 to 255. Automatic measures it in the picture. Networks "
        "that were trained for one level do not look at it, but the estimated PSNR does.",
    )
    estimate: str = choice(
        "on",
        ("on", "off"),
        "Estimate the PSNR",
        expert=True,
        help="A second pass over the picture with a trace of noise more tells how good the first one is. Off takes "
        "half the time and shows no PSNR.",
    )


class Plain(Method):
    """One pass of a network that was trained elsewhere, for example a published DnCNN, or distilled to one pass."""

    id = "plain"
    label = "Single network"
    source = "any denoising network; see the checkpoint's card"
    architectures: ClassVar = {"spandrel": SpandrelNetwork}
    Params = PlainParams
    needs_pairs = True

    def accepts(self, trained_for: str) -> bool:
        """Any network can be run once."""
        return True

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """The same estimate each time; there is nothing random in it but the probe of its divergence."""

        def denoise(noisy: Tensor) -> Tensor:
            return network(noisy, task.level())

        for index in itertools.count(task.first):
            estimate = denoise(task.noisy)
            probed = probe(denoise, task, estimate, index) if task.params.estimate == "on" else None
            yield Pass(estimate, None, divergence=probed)

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("pairs", 1.0, loss),)


def loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """`distance` of f(y) to the target of each pair.

    With clean targets supervised training, with noisy ones Noise2Noise (Lehtinen et al., ICML 2018).
    """
    assert batch.target is not None
    return distance(network(batch.noisy, batch.sigma), batch.target, batch.sigma)


def distance(denoised: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
    """Mean squared distance, each patch weighted by the inverse of its noise variance sigma^2.

    Without the weight the strong noise would drown the weak in a network for all levels; for one level it is a constant
    factor.
    """
    # The floor is the squared error a good network leaves on almost clean patches; without it they would rule.
    weight = 1 / (sigma**2 + (4 / 255) ** 2)
    return (weight * (denoised.float() - target) ** 2).mean()


METHOD = Plain()
