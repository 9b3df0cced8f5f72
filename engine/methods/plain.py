"""Supervised networks, run as they are: one pass, nothing added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from engine.method import Field, Method, Network, Pass


class Plain(Method):
    """One pass of a network that was trained elsewhere, for example a published DnCNN."""

    id = "plain"
    label = "Single network"
    source = "any denoising network; see the checkpoint's card"

    def accepts(self, trained_for: str) -> bool:
        """Any network can be run once."""
        return True

    def passes(
        self, network: Network, noisy: Tensor, sigma: float, params: Any, first: int, field: Field
    ) -> Iterator[Pass]:
        """The same estimate each time; there is nothing random in it."""
        level = noisy.new_full((1, 1, 1, 1), sigma)
        while True:
            yield Pass(network(noisy, level), None)


METHOD = Plain()
