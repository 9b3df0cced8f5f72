"""Supervised networks, run as they are: one pass, nothing added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import nn

from engine.method import Method, Pass, Task
from engine.spandrel_networks import SpandrelNetwork


class Plain(Method):
    """One pass of a network that was trained elsewhere, for example a published DnCNN."""

    id = "plain"
    label = "Single network"
    source = "any denoising network; see the checkpoint's card"
    architectures: ClassVar = {"spandrel": SpandrelNetwork}

    def accepts(self, trained_for: str) -> bool:
        """Any network can be run once."""
        return True

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """The same estimate each time; there is nothing random in it."""
        while True:
            yield Pass(network(task.noisy, task.level()), None)


METHOD = Plain()
