"""Methods that need a single pass over the picture: the level they are told, and the PSNR that a second one tells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from engine.language import tr
from engine.method import Method, Pass, Task
from engine.params import choice, noise_level


@dataclass(frozen=True)
class OnePassParams:
    """What a user adjusts."""

    sigma: float | None = noise_level(
        tr(
            "Networks that find the level by themselves do not look at it, but the estimated PSNR does. At 0 the "
            "picture is left as it is."
        ),
    )
    estimate: str = choice(
        "on",
        ("on", "off"),
        tr("Estimate the PSNR"),
        words=(tr("On"), tr("Off")),
        expert=True,
        help=tr(
            "A second pass over the picture with a trace of noise more tells how good the first one is. Off takes "
            "half the time and shows no PSNR."
        ),
    )


class OnePass(Method):
    """A method whose result is one pass of a network, with nothing random in it but the probe of its divergence."""

    Params = OnePassParams

    def denoiser(self, network: nn.Module, task: Task) -> Callable[[Tensor], Tensor]:
        """What denoises a picture (B, C, H, W); by default the network as it is."""
        level = task.level()
        return lambda noisy: network(noisy, level)

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """The same estimate each time, probed where that can lead to an estimated PSNR."""
        denoise = self.denoiser(network, task)
        params, report = task.params, task.report
        probes = params.estimate == "on" and not (report is not None and self.doubt(params, report))
        for index in itertools.count(task.first):
            estimate = denoise(task.noisy)
            yield Pass(estimate, None, divergence=probe(denoise, task, estimate, index) if probes else None)


def probe(denoise: Callable[[Tensor], Tensor], task: Task, estimate: Tensor, index: int) -> Tensor:
    """What gives a method without recorruption its divergence (`Pass.divergence`), by one run more.

    Monte-Carlo SURE (Ramani, Blu, Unser: A black-box optimization of denoising algorithms, TIP 2008): with unit noise b
    the sum of sigma^2 / epsilon b (f(y + epsilon b) - f(y)) has the expectation sigma^2 tr(J) up to epsilon^2.

    Args:
        denoise: f, without any randomness of its own.
        task: of the pass.
        estimate: f(y), (B, C, H, W).
        index: of the pass, for its random numbers.
    """
    b = task.field.unit(index)
    # A tenth of sigma is 0.13 dB off where the network bends; a hundredth drowns in the rounding of bf16.
    epsilon = task.sigma / 20
    return task.sigma**2 / epsilon * b * (denoise(task.noisy + epsilon * b) - estimate)
