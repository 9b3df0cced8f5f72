"""Several processes that share one training: how they meet and what they tell one another.

Gradients are averaged by hand, and not by torch's DistributedDataParallel: a rank that runs out of memory can say so
(`any`) before the others wait for its gradients; a loss may call the network several times; and a network's state has
its own names, without `module.` before them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]

from engine.language import tr

Value = TypeVar("Value")

_PATIENCE = timedelta(hours=1)
"""How long a rank waits for the others: longer than the first one judges or saves alone."""

_SETTLE_S = 0.1
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class RankLost(Exception):
    """Another process of the training has ended, so that this one cannot go on."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that share a training; alone it needs no process group and all is done at once.

    Every rank has to make the same calls in the same order: each waits for all. RankLost where one of them has ended.

    Attributes:
        number: of this process, from 0.
        count: of all.
        direct: whether tensors go from GPU to GPU; otherwise through the memory of the processor.
    """

    number: int = 0
    count: int = 1
    direct: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this is the one that saves and reports."""
        return self.number == 0

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.count == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        with _hearing():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def agree(self, value: Value) -> Value:
        """What the first rank says; it must be something that can be pickled."""
        if self.count == 1:
            return value
        said = [value]
        with _hearing():
            dist.broadcast_object_list(said, 0, device=torch.device("cpu"))
        return said[0]

    def total(self, numbers: Sequence[int]) -> list[int]:
        """The sums over all ranks; each gives as many numbers."""
        if self.count == 1:
            return list(numbers)
        said = torch.tensor(numbers, dtype=torch.int64)
        with _hearing():
            dist.all_reduce(said)
        return said.tolist()

    def average(self, network: nn.Module) -> None:
        """Make each gradient the mean over all ranks; those that are None have to be so on each of them."""
        self._mean([parameter.grad for parameter in network.parameters() if parameter.grad is not None])

    def mean_buffers(self, network: nn.Module) -> None:
        """Make each buffer of real numbers the mean over all ranks: what a normalisation saw of its own patches."""
        self._mean([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    @torch.no_grad()
    def share(self, network: nn.Module) -> None:
        """Give every rank the weights and buffers of the first one."""
        if self.count == 1:
            return
        for values in (*network.parameters(), *network.buffers()):
            said = self._carried(values.detach().contiguous())
            with _hearing():
                dist.broadcast(said, 0)
            values.copy_(said)

    @torch.no_grad()
    def _mean(self, tensors: list[Tensor]) -> None:
        if self.count == 1 or not tensors:
            return
        # One message: each costs the time that the slowest rank takes to answer.
        flat = self._carried(torch.cat([values.reshape(-1) for values in tensors]))
        with _hearing():
            dist.all_reduce(flat)
        flat /= self.count
        for values, mean in zip(tensors, flat.split([values.numel() for values in tensors]), strict=True):
            values.copy_(mean.view(values.shape))

    def _carried(self, values: Tensor) -> Tensor:
        return values if self.direct else values.cpu()


ALONE = Ranks()
"""One process: no torch.distributed."""


@contextlib.contextmanager
def _hearing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLost(tr("Another process of the training has ended")) from error


def join(number: int, count: int, meeting: Path | None, gpu: int | None, patience: timedelta | None = None) -> Ranks:
    """Wait until all ranks are here, and be one of them; RankLost if they do not come.

    Args:
        number: of this process, from 0.
        count: of all.
        meeting: a file that does not exist yet, where those of one machine find one another; None takes what torchrun
            or a cluster says in the environment.
        gpu: on which this process trains; None for the processor.
        patience: how long a rank waits for the others, None for an hour.
    """
    direct = gpu is not None and dist.is_nccl_available()  # not on Windows
    if gpu is not None:
        torch.cuda.set_device(gpu)
    if meeting is not None and sys.platform in _LOOPBACK:
        # A network that comes and goes is none of their business.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    with _hearing():
        dist.init_process_group(
            # Flags go by gloo: it says at once when another process has ended, where NCCL would wait.
            "cpu:gloo,cuda:nccl" if direct else "gloo",
            store=FileStore(str(meeting), count) if meeting else None,
            rank=number,
            world_size=count,
            timeout=patience or _PATIENCE,
        )
    return Ranks(number, count, direct)


def leave() -> None:
    """End what `join` began, if it did."""
    if dist.is_initialized():
        # WORKAROUND torch 2.13: gloo's threads let go of what was sent last as soon as Python does nothing, and abort
        # a process (one in ten) that ends before they have.
        time.sleep(_SETTLE_S)
        dist.destroy_process_group()
