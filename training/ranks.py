"""Several processes that share one training: what they tell one another.

Gradients are averaged by hand, and not by torch's DistributedDataParallel: a rank that runs out of memory can say so
(`any`) before the others wait for its gradients; a loss may call the network several times; and a network's state has
its own names, without `module.` before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those that share a training; alone it needs no process group and all is done at once.

    Every rank has to make the same calls in the same order: each waits for all. RuntimeError where one of them ended.

    Attributes:
        number: of this process, from 0.
        count: of all.
    """

    number: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that saves and reports."""
        return self.number == 0

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.count == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def agree(self, value: Value) -> Value:
        """What the first rank says; it must be something that can be pickled."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, 0, device=torch.device("cpu"))
        return said[0]

    def average(self, network: nn.Module) -> None:
        """Make each gradient the mean over all ranks; those that are None have to be so on each of them."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        self._mean(gradients)

    @torch.no_grad()
    def share(self, network: nn.Module) -> None:
        """Give every rank the weights and buffers of the first one."""
        if self.count == 1:
            return
        for values in (*network.parameters(), *network.buffers()):
            said = values.detach().contiguous()
            dist.broadcast(said, 0)
            values.copy_(said)

    def mean_buffers(self, network: nn.Module) -> None:
        """Make each buffer of real numbers the mean over all ranks: what a normalisation saw of its own patches."""
        self._mean([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    @torch.no_grad()
    def _mean(self, tensors: list[Tensor]) -> None:
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([values.reshape(-1) for values in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for values, mean in zip(tensors, flat.split([values.numel() for values in tensors]), strict=True):
            values.copy_(mean.view(values.shape))


ALONE = Ranks()
"""One process: no torch.distributed."""
