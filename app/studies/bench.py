"""How a study makes noise, denoises and trains: rightly, and as the report does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.studies.report import STEPS, Choices, StudyError
from engine.color import to_grey, to_rgb
from engine.corruption import Corruption, rng_for
from engine.denoise import Denoising, load_model
from engine.image import Image, find_images
from engine.method import Batch, Pass, Stage, Task
from engine.methods.r2r import R2R, R2RParams

ALPHA = 0.5
PAIRS = 4
"""Passes in antithetic pairs, as this program has by default."""
JITTER = 0.1
"""By how much sigma is off in a pass of the report's, at most."""


class Independent(R2R):
    """R2R as the report runs it: each pass draws for itself.

    Args:
        jitter: how far sigma is off in a pass, at most, as a part of it.
        overlap: whether tiles see what lies around them.
    """

    group = 1

    def __init__(self, jitter: float = 0.0, overlap: bool = True) -> None:
        self._jitter, self._overlap = jitter, overlap

    def passes(self, network: Any, task: Task) -> Iterator[Pass]:
        """Pass t draws z_t alone; its jitter is the same in all tiles."""
        alpha = task.params.alpha
        level = task.level(task.sigma * (1 + alpha**2) ** 0.5)
        for index in itertools.count(task.first):
            off = np.random.default_rng(index).uniform(1 - self._jitter, 1 + self._jitter)
            noise = float(off) * task.sigma * task.field.unit(index)
            yield Pass(network(task.noisy + alpha * noise, level), noise / alpha)

    def margin(self, network: Any, params: Any) -> int:
        """Nothing where tiles do not overlap."""
        return super().margin(network, params) if self._overlap else 0


class FixedAlpha(R2R):
    """R2R trained as the report does it: one alpha, the plain squared error.

    Args:
        alpha: of the recorruption.
        by_chen: sigma is Chen's estimate on all channels together, whatever the noise is like.
    """

    def __init__(self, alpha: float, by_chen: bool = False) -> None:
        self._alpha, self._by_chen = alpha, by_chen

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("recorrupted pairs", 1.0, self.loss),)

    def loss(self, network: Any, batch: Batch, training: Any, generator: Any, progress: float) -> Any:
        """Mean of |f(y + alpha sigma z) - (y - sigma z / alpha)|^2."""
        noisy, sigma, alpha = batch.noisy, batch.sigma, self._alpha
        if self._by_chen:
            sigma = sigma.new_tensor([report.joint or 0.0 for report in batch.reports]).view(-1, 1, 1, 1)
        z = noisy.new_empty(noisy.shape).normal_(generator=generator)
        denoised = network(noisy + alpha * sigma * z, sigma * (1 + alpha**2) ** 0.5)
        return ((denoised.float() - (noisy - sigma / alpha * z)) ** 2).mean()


class Bench:
    """A model on which a study runs its pictures; all sigmas are on the scale of 0 to 255.

    Args:
        choices: the study's.
        channels: of the pictures.
        file: of a network that the study trained; None takes the choices' model.
    """

    def __init__(self, choices: Choices, channels: int = 1, file: Path | None = None) -> None:
        self._seed = choices.seed
        # In float32, so that the numbers are those of any other machine.
        self.model = load_model(file or choices.model, channels=channels, device=choices.device, precision="float32")

    @property
    def about(self) -> str:
        """The model, for a report."""
        checkpoint = self.model.checkpoint
        return f"model {checkpoint.name}" + (f" ({checkpoint.card.title})" if checkpoint.card.title else "")

    def like(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels in the model's channels."""
        return to_grey(pixels) if self.model.checkpoint.channels == 1 else to_rgb(pixels)

    def noisy(self, clean: np.ndarray, sigma: float, name: str) -> np.ndarray:
        """White Gaussian noise, neither rounded nor clipped, the same for a name at any time."""
        return Corruption.parse(f"gaussian:{sigma:g}").apply(clean, rng_for(self._seed, name))[0]

    def noisy_as_reported(self, pixels: np.ndarray, sigma: float, name: str) -> np.ndarray:
        """Noise on the colour picture, rounded and clipped to 8 bits, then read as grey."""
        noisy = _to_8_bits(self.noisy(to_rgb(pixels), sigma, name))
        return _to_8_bits(self.like(noisy))

    def denoise(
        self,
        method: R2R,
        noisy: np.ndarray,
        sigma: float,
        passes: int,
        *,
        alpha: float = ALPHA,
        tile: int | None = None,
    ) -> Denoising:
        """The picture after all passes; the means at 1, 2, 4, ... of them are kept."""
        values = replace(R2RParams(), alpha=alpha)
        model = replace(self.model, method=method)
        work = Denoising(model, Image(noisy), values, sigma=sigma / 255, seed=self._seed, tile=tile)
        for _ in work.run(passes):
            pass
        return work


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels.clip(0, 1) * 255) / np.float32(255)


def clean_pictures(choices: Choices) -> list[Path]:
    """What is measured; StudyError if there is nothing."""
    paths = find_images(choices.data)[: choices.limit]
    if not paths:
        raise StudyError(f"There is no picture in {', '.join(map(str, choices.data))}")
    return paths


def train(choices: Choices, run: Path, method: FixedAlpha, network: str, **details: Any) -> Bench:
    """Train a network in a run folder, or go on where that was stopped, and put it on a bench.

    Args:
        choices: the study's.
        run: the folder.
        method: its loss.
        network: by the name that `train --network` takes.
        details: of the job; `batch` gives way to the choices'.
    """
    # Loaded here: most studies train nothing.
    from training.job import TrainJob, read_job
    from training.launch import follow
    from training.run import Run, begin

    steps = None if choices.minutes else choices.steps or STEPS
    given = {
        **details,
        "network": network,
        "steps": steps,
        "minutes": choices.minutes,
        "batch": choices.batch or details["batch"],
        "hold_out": 0.2,
        "schedule": "milestones",
        "report_every": max(1, steps // 20) if steps else None,
        "seed": choices.seed,
        "device": choices.device,
        "threads": choices.threads,
        "name": run.name,
    }
    job = TrainJob(**given)
    if not Run(run).can_resume:
        begin(job, run)
    # Minutes became steps when it began.
    elif replace(read_job(run), steps=steps, judge_every=None, held_out=()) != job:
        raise StudyError(f"{run} holds a training with other values; give another folder with -o")
    for event in follow(run, method=method):
        if type(event).__name__ in ("Step", "HeldOut", "Ended"):
            choices.say(f"{run.name}: {event}")
        if getattr(event, "reason", "") == "failed":
            raise StudyError(f"{run.name}: {event.message}")  # pyright: ignore[reportAttributeAccessIssue]
    return Bench(choices, 1 if job.grey else 3, run / "checkpoint.safetensors")
