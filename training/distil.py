"""Distillation: a student whose single pass gives what its teacher gives on average, learned from noisy pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from engine import params
from engine.checkpoint import Card, Checkpoint
from engine.denoise import Model, load_model
from engine.language import tr
from engine.method import Batch, Stage, Task
from engine.methods.plain import distance
from engine.networks import ARCHITECTURES
from engine.noise import NoiseReport
from training.job import TrainError, TrainJob

NOISY_WEIGHT = 0.1
"""Of the noisy pictures beside clean ones (DBSN, section 3.3)."""

NOISY_SHARE = 1 / 8
"""Of a batch beside clean ones; the authors' code splits it 1:7."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """What a student learns from.

    Attributes:
        model: runs the teacher.
        params: values of its method: the student can be given no others.
    """

    model: Model
    params: Any

    def stages(self, clean: bool) -> Sequence[Stage]:
        """One stage; `clean` says whether there are clean pictures to learn from, too."""
        if clean:
            return (Stage("one pass, with clean pictures", 1.0, self._mixed),)
        return (Stage("one pass", 1.0, self._loss),)

    def start(self, arch: Mapping[str, Any] | None) -> Checkpoint | None:
        """What a student of that architecture, None for the default, begins with: the teacher's own weights or nothing.

        A network that only the teacher's method can use, such as one with a blind spot, is no student by default.
        """
        own = self.model.checkpoint
        alike = own.arch["network"] in ARCHITECTURES if arch is None else dict(arch) == dict(own.arch)
        return own if alike else None

    @torch.no_grad()
    def targets(self, noisy: Tensor, sigma: Tensor, reports: Sequence[NoiseReport], generator: Generator) -> Tensor:
        """The mean of one group of passes on each patch, (B, C, H, W).

        The group is drawn among the T passes: its expectation is the mean of all, and that is what the squared
        distance to it is least for.

        Args:
            noisy: patches (B, C, H, W).
            sigma: (B, 1, 1, 1).
            reports: of each patch's picture, or empty.
            generator: on the same device.
        """
        method, network = self.model.method, self.model.network
        rounds = -(-method.count(self.params) // method.group)
        first = method.group * int(torch.randint(rounds, (), generator=generator, device=noisy.device))
        targets = noisy.clone()
        for rows, level, report in _alike(sigma, reports):
            if level == 0:
                continue  # such a picture is left as it is
            planes = noisy[rows]
            task = Task(planes, level, self.params, first, PatchField(planes, generator), report)
            found = method.survey(network, task)
            if found is not None:
                task = replace(task, statistics=found.float().mean((2, 3), keepdim=True))
            passes = method.passes(network, task)
            targets[rows] = torch.stack([next(passes).estimate.float() for _ in range(method.group)]).mean(0)
        return targets

    def describe(self, card: Card, clean: bool) -> Card:
        """The card of a student: what is fixed in it, and who taught it."""
        checkpoint, label = self.model.checkpoint, self.model.method.label
        # What few adjust is told where somebody did; sigma is free, and an estimate is none of the student's.
        told = [(spec, getattr(self.params, spec.name)) for spec in params.specs(type(self.params))]
        fixed = ", ".join(
            f"{spec.name.replace('_', ' ')} {value}"
            for spec, value in told
            if spec.name not in ("sigma", "estimate") and value is not None
            if not spec.expert or value != spec.default
        )
        title = f"{label}, one pass" + (f" (fixed: {fixed})" if fixed else "")
        description = f"Gives in a single pass the result of {checkpoint.name}."
        if clean:
            title += ", clean pictures used"
            description += " Clean pictures were used beside the noisy ones."
        return replace(card, title=title, description=description, source=checkpoint.sha256)

    def _loss(self, network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
        """`distance` of g(y) to the teacher's target."""
        sigma = _levels(batch)
        targets = self.targets(batch.noisy, sigma, batch.reports, generator)
        return distance(network(batch.noisy, sigma), targets, sigma)

    def _mixed(self, network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
        """The same on an eighth of the patches, and on clean ones with the noise that the teacher learned.

        Knowledge distillation of DBSN (Wu et al., ECCV 2020, section 3.3), from unpaired noisy and clean pictures.
        """
        assert batch.clean is not None
        few = max(1, round(len(batch.noisy) * NOISY_SHARE))
        noisy, clean = batch.noisy[:few], batch.clean[: max(1, len(batch.clean) - few)]
        sigma = _levels(batch)[:few]
        targets = self.targets(noisy, sigma, batch.reports[:few], generator)
        with torch.no_grad():
            synthetic = self.model.method.synthesise(self.model.network, clean, generator)
        assert synthetic is not None
        added = (synthetic - clean).square().mean((1, 2, 3), keepdim=True).sqrt()
        both = network(torch.cat((noisy, synthetic)), torch.cat((sigma, added)))
        return NOISY_WEIGHT * distance(both[:few], targets, sigma) + distance(both[few:], clean, added)


def load_teacher(job: TrainJob) -> Teacher:
    """The job's teacher, on its device; TrainError if it cannot teach this job."""
    model = load_model(job.teacher, device=job.device)
    name, channels, wanted = model.checkpoint.name, model.checkpoint.channels, 1 if job.grey else 3
    if channels != wanted:
        raise TrainError(
            tr("{name} is for {channels} channel(s), this job for {wanted}").format(
                name=name, channels=channels, wanted=wanted
            )
        )
    multiple: int = model.network.multiple_of  # pyright: ignore[reportAssignmentType]
    if job.patch % multiple:
        raise TrainError(
            tr("{name} takes multiples of {multiple} pixels; give such a --patch, not {patch}").format(
                name=name, multiple=multiple, patch=job.patch
            )
        )
    values = model.method.quiet(job.teacher_params, model.checkpoint.params)
    teacher = Teacher(model, model.method.settled(values))
    if job.clean:
        patch = torch.full((1, channels, job.patch, job.patch), 0.5, device=model.device)
        generator = torch.Generator(model.device).manual_seed(job.seed)
        with torch.no_grad():
            if model.method.synthesise(model.network, patch, generator) is None:
                raise TrainError(
                    tr("{method} learns no noise to put on clean pictures; leave --clean out").format(
                        method=model.method.label
                    )
                )
    return teacher


class PatchField:
    """`method.Field` of patches: unit noise drawn when it is asked for, the same when asked again.

    Args:
        planes: the patches (B, C, H, W).
        generator: on their device.
    """

    def __init__(self, planes: Tensor, generator: Generator) -> None:
        self._planes, self._generator = planes, generator
        self._drawn: dict[int, Tensor] = {}

    def unit(self, index: int, around: int = 0) -> Tensor:
        """N(0, 1), (B, C, H + 2 around, W + 2 around)."""
        *outer, height, width = self._planes.shape
        known = self._drawn.get(index)
        spare = -1 if known is None else (known.shape[2] - height) // 2
        if known is None or spare < around:
            shape = (*outer, height + 2 * around, width + 2 * around)
            wider = torch.randn(shape, generator=self._generator, device=self._planes.device)
            if known is not None:
                _inside(wider, around - spare)[:] = known
            self._drawn[index], spare = wider, around
        return _inside(self._drawn[index], spare - around)


def _inside(planes: Tensor, border: int) -> Tensor:
    return planes[:, :, border : planes.shape[2] - border, border : planes.shape[3] - border]


def _levels(batch: Batch) -> Tensor:
    """What denoising would take for sigma: of noise that was measured, with its correlation."""
    if not batch.reports:
        return batch.sigma
    return batch.sigma.new_tensor([report.level for report in batch.reports]).view(-1, 1, 1, 1)


def _alike(sigma: Tensor, reports: Sequence[NoiseReport]) -> Iterator[tuple[list[int], float, NoiseReport | None]]:
    """Patches that one task can hold: those of one level, and of one picture where the noise was measured."""
    found: dict[tuple[float, int | None], list[int]] = {}
    for row, level in enumerate(sigma.flatten().tolist()):
        found.setdefault((level, id(reports[row]) if reports else None), []).append(row)
    for (level, _), rows in found.items():
        yield rows, level, reports[rows[0]] if reports else None
