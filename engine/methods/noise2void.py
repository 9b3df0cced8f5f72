"""Noise2Void: a network learns to predict single pixels from their surroundings, which know nothing of their noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from engine.method import Batch, Stage
from engine.one_pass import OnePass

SHARE = 0.002
"""Of the pixels that are masked in a step."""

RADIUS = 5
"""Of the square that replacements are taken from."""


class Noise2Void(OnePass):
    """Krull, Buchholz, Jug: Noise2Void, CVPR 2019. The noise must not be correlated between pixels."""

    id = "n2v"
    label = "Noise2Void"
    source = "Krull, Buchholz, Jug: Noise2Void, CVPR 2019"

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("masked pixels", 1.0, loss),)


def mask(noisy: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Replace some pixels, all channels of them, each by one of the 120 others of the 11x11 pixels around it.

    Pixels nearer than that to the border are left alone: what stands in for their surroundings could be themselves.

    Args:
        noisy: (B, C, H, W).
        generator: on the same device.

    Returns:
        The picture so changed, and True at the masked pixels (B, 1, H, W).
    """
    count, channels, height, width = noisy.shape
    shape, side, device = (count, 1, height, width), 2 * RADIUS + 1, noisy.device
    chosen = torch.zeros(shape, dtype=torch.bool, device=device)
    inside = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    chosen[inside] = (torch.rand(shape, generator=generator, device=device) < SHARE)[inside]
    drawn = torch.randint(side**2 - 1, shape, generator=generator, device=device)
    drawn = drawn + (drawn >= side**2 // 2)  # all but the middle
    offset = (drawn // side - RADIUS) * width + drawn % side - RADIUS
    source = torch.arange(height * width, device=device).view(1, 1, height, width) + offset * chosen
    return noisy.flatten(2).gather(2, source.flatten(2).expand(-1, channels, -1)).view(noisy.shape), chosen


def loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """Mean squared distance to the noisy picture at its masked pixels, which the network has not seen."""
    masked, chosen = mask(batch.noisy, generator)
    difference = network(masked, batch.sigma).float() - batch.noisy
    return (difference**2 * chosen).sum() / (chosen.sum() * difference.shape[1]).clamp(min=1)


METHOD = Noise2Void()
