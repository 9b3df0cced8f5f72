"""What the last page shows of a training, computed on a worker: generators without Qt that load torch when they run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.jobs import Stage
from app.screen import to_screen
from engine import params
from engine.blend import Blend
from engine.image import Image
from engine.language import tr
from engine.noise import NoiseError, measure_noise
from engine.proposal import settled_sigma
from engine.tiles import Rect
from training.events import Ended, Started, Verdict
from training.job import TrainJob
from training.run import Run

if TYPE_CHECKING:
    from engine.checkpoint import Entry as CheckpointEntry
    from engine.denoise import Model

MOST_PIXELS = 1_000_000
"""Of a larger picture the middle is compared, so that it takes seconds."""

MOST_PICTURES = 16


@dataclass(frozen=True, eq=False)
class Result:
    """A training that is over.

    Attributes:
        job: what it was to do.
        entry: its model.
        sha256: of the model's file.
        suggested_name: for the model; nothing that is installed is called that.
        passes: that its method averages for a picture.
        held_out: how many pictures it was judged on.
        verdict: None where it was not judged.
        ended: None where the process was killed.
    """

    job: TrainJob
    entry: CheckpointEntry
    sha256: str
    suggested_name: str
    passes: int
    held_out: int
    verdict: Verdict | None
    ended: Ended | None

    @property
    def model(self) -> str:
        """What the model is called in a sentence, by whether it had a start."""
        return tr("the tuned model") if self.job.start else tr("the new model")

    @property
    def rival(self) -> str:
        """Name of what the result is compared with; "" for the noisy pictures themselves."""
        name = self.job.against or self.job.start or ""
        return Path(name).name.removesuffix(".safetensors")


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture for the screen.

    Attributes:
        role: "noisy", "start" or "tuned".
        label: for people.
        pixels: (h, w, C) uint8.
    """

    role: str
    label: str
    pixels: np.ndarray


def look(run: Run) -> Iterator[Any]:
    """Return the `Result` of a run folder; CheckpointError or TrainError where there is none."""
    yield Stage(tr("Looking at the result"))
    from engine.checkpoint import free_name, list_checkpoints, load_checkpoint, read_entry
    from engine.method import method_of

    job, events = run.job(), run.events()
    checkpoint = load_checkpoint(run.checkpoint)
    method = method_of(checkpoint.method)
    taken = {entry.name for entry in list_checkpoints()}
    last: dict[type, Any] = {type(event): event for event in events}
    started = last.get(Started)
    return Result(
        job,
        read_entry(run.checkpoint),
        checkpoint.sha256,
        free_name(checkpoint.name, lambda name: name not in taken),
        method.count(params.make(method.Params, {}, checkpoint.params)),
        started.held_out if started else len(job.held_out),
        last.get(Verdict),
        last.get(Ended),
    )


def use(run: Run, name: str) -> Iterator[Any]:
    """Copy the model of a run into the user's models; return its name."""
    yield Stage(tr("Installing {name}").format(name=name))
    from engine.foreign import import_checkpoint

    return import_checkpoint(run.checkpoint, name=name).stem


class Comparing:
    """Denoises held-out pictures with both models; on one thread, as they are kept once they are loaded."""

    def __init__(self, run: Run, result: Result, device: str) -> None:
        self._run, self._result, self._device = run, result, device
        self._models: dict[str, Model] = {}

    def compare(self, name: str) -> Iterator[Any]:
        """Yield the `Seen` of a picture as they are made, between them a `Stage` or the share of one's passes.

        ImageError or OSError where the picture cannot be read any more, NoiseError where its noise is not known.
        """
        yield Stage(tr("Reading {name}").format(name=name))
        job = self._result.job
        from training.patches import load_noisy

        pixels, sigma = load_noisy(job, name)
        # Of the whole picture, as when it is denoised later: a part may have too little that is flat.
        report = measure_noise(Image(pixels)) if sigma is None else None
        part = Image(np.ascontiguousarray(pixels[_middle(pixels).slices], dtype=np.float32))
        yield Seen("noisy", tr("Noisy"), to_screen(part.pixels, (0.0, 1.0)))
        sides = [("tuned", str(self._run.checkpoint), tr("Tuned") if job.start else tr("New"))]
        if rival := job.against or job.start:
            sides.insert(0, ("start", rival, self._result.rival))
        for role, model, label in sides:
            yield Stage(tr("Denoising with {model}").format(model=label if role == "start" else self._result.model))
            yield from self._denoise(part, self._model(model, part.channels), sigma, report, role, label)

    def _denoise(
        self, part: Image, model: Model, sigma: float | None, report: Any, role: str, label: str
    ) -> Iterator[Any]:
        from engine.denoise import Denoising

        specs = params.specs(model.method.Params)
        values = model.method.quiet({}, model.checkpoint.params)
        if report is not None:
            sigma = settled_sigma(report, specs, getattr(values, "sigma", None))
        if sigma is None:
            raise NoiseError(tr("Its noise is not known"))
        work = Denoising(model, part, values, sigma=sigma, keep=False, report=report)
        passes = model.method.count(values)
        for step in work.run(passes):
            yield step.done / step.total
        label = label if sigma else tr("{label} (found no noise)").format(label=label)
        yield Seen(role, label, to_screen(work.finish(passes, Blend()), (0.0, 1.0)))

    def _model(self, name: str, channels: int) -> Model:
        from engine.denoise import load_model

        if name not in self._models:
            self._models[name] = load_model(name, channels=channels, device=self._device)
        return self._models[name]


def names(job: TrainJob) -> tuple[list[str], str]:
    """The held-out pictures that can be compared, and why there are none."""
    if job.domain != "picture":
        return [], tr("Camera mosaics cannot be shown side by side here.")
    if not Path(job.data).is_dir():
        return [], tr("The folder {data} is not there any more, so its pictures cannot be compared.").format(
            data=job.data
        )
    if not job.held_out and job.hold_out:
        return [], tr("Which pictures were held out is not written down in this training.")
    if not job.held_out:
        return [], tr("No picture was held out, so there is none that the training has not seen.")
    there = [name for name in job.held_out if (Path(job.data) / name).is_file()]
    return there[:MOST_PICTURES], "" if there else tr("The pictures that were held out are not there any more.")


def _middle(pixels: np.ndarray) -> Rect:
    """As large a part of the picture's shape as is compared, in its middle."""
    height, width = pixels.shape[:2]
    scale = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
    high, wide = int(height * scale), int(width * scale)
    top, left = (height - high) // 2, (width - wide) // 2
    return Rect(left, top, left + wide, top + high)


def distilled(result: Result, run: Run, name: str, minutes: float) -> TrainJob:
    """The run in which a network learns to give in one pass what the tuned model gives on average."""
    job = result.job
    return TrainJob(
        data=job.data,
        recursive=job.recursive,
        method="plain",
        noise=job.noise,
        teacher=str(run.checkpoint.absolute()),
        grey=job.grey,
        learning_rate=3e-4,
        minutes=minutes,
        batch=job.batch,
        patch=job.patch,
        budget_mb=job.budget_mb,
        hold_out=job.hold_out,
        held_out=job.held_out,
        leave_out=job.leave_out,
        against=job.against or job.start,
        preview=job.preview,
        names_in_card=job.names_in_card,
        seed=job.seed,
        device=job.device,
        name=name,
    )
