"""Supervised networks, run as they are: one pass, nothing added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from engine.language import tr
from engine.method import Batch, Stage
from engine.one_pass import OnePass
from engine.spandrel_networks import SpandrelNetwork


class Plain(OnePass):
    """One pass of a network that was trained elsewhere, for example a published DnCNN, or distilled to one pass."""

    id = "plain"
    label = tr("Single network")
    source = tr("any denoising network; see the checkpoint's card")
    architectures: ClassVar = {"spandrel": SpandrelNetwork}
    needs_pairs = True

    def accepts(self, trained_for: str) -> bool:
        """Any network can be run once."""
        return True

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
