"""The card of a model that was trained here: on what, how, for how long, and how to do it again."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

import engine
from engine import params
from engine.checkpoint import Card, Checkpoint
from engine.method import method_of
from training.distil import Teacher
from training.job import MEMORY_MB, TrainJob


def written(
    job: TrainJob,
    arch: Mapping[str, Any],
    teacher: Teacher | None,
    step: int,
    spent: float,
    device: torch.device,
    pictures: int,
    noise_levels: tuple[float, float] | None,
    results: Mapping[str, float],
    start: Checkpoint | None,
) -> Card:
    """The card; where the noise is the pictures' own, the folder is named only if the job says so.

    Args:
        job: what was asked for, its minutes already steps.
        arch: of the network.
        teacher: that it learned from, if it did.
        step: how many were made.
        spent: seconds.
        device: that it learned on.
        pictures: that it learned from.
        noise_levels: least and greatest measured deviation in the trained range; None where the noise is synthetic.
        results: measured dB by what they were measured on.
        start: what it was tuned from.
    """
    named = Path(job.data).name if job.noise or job.names_in_card else ""
    source = f" of {named}" if named else ""
    method, colour = method_of(job.method), "grey" if job.grey else "colour"
    title = f"{method.label}, {colour}, {job.network or arch['network']}"
    trained_on = f"{pictures} {colour} picture{'s' if pictures > 1 else ''}{source}"
    if job.domain != "picture":
        how = "packed" if job.domain == "mosaic" else "recorrupted by the sensor's noise and developed to sRGB"
        trained_on = f"{pictures} noisy camera mosaics{source}, {how}"
    if job.target:
        pairs = "clean pictures" if job.target == "clean" else "two noisy copies of clean pictures"
        title += f", trained on {pairs}, for comparison only"
        trained_on += f", clean, with noise {job.noise} drawn anew for each patch; targets are "
        trained_on += "the clean pixels" if job.target == "clean" else "a second draw of it"
    elif job.noise:
        trained_on += f" with synthetic noise {job.noise}"
        trained_on += " drawn anew for each patch" if job.fresh else ", one fixed realisation a picture"
        trained_on += "" if job.fresh or job.clean else ", no clean pixel"
    elif job.domain == "picture":
        trained_on += ", their own noise, its level estimated for each"
        if noise_levels:
            trained_on += f" ({noise_levels[0] * 255:.1f} to {noise_levels[1] * 255:.1f} of 255)"
    if job.replay:
        trained_on += f"; {job.replay:.0%} of each step are generated pictures with white noise"
    if job.clean:
        trained_on += f"; and clean pictures of {Path(job.clean).name}, unpaired"
    options = [f"distil {_named(job.teacher)}" if job.teacher else f"train --method {job.method}"]
    options += [f"--data {shlex.quote(named) if named else 'FOLDER'}"]
    options += ["--no-recursive"] if not job.recursive else []
    options += [f"--network {job.network}"] if job.network else []
    options += [f"--domain {job.domain}"] if job.domain != "picture" else []
    options += [f"--noise {job.noise}"] if job.noise else []
    options += ["--fresh"] if job.fresh else []
    options += [f"--target {job.target}"] if job.target else []
    options += [f"--clean {_named(job.clean)}"] if job.clean else []
    options += [f"--sides {job.sides[0]}-{job.sides[1]}"] if job.sides else []
    options += ["--grey"] if job.grey and not job.teacher else []
    options += [f"--start {_named(job.start)}"] if job.start else []
    # Minutes became steps, which repeat the run on any machine.
    options += [f"--steps {job.steps}"]
    options += [f"--batch {job.batch} --patch {job.patch} --rate {job.learning_rate:g} --seed {job.seed}"]
    options += [f"--scales {','.join(f'{scale:g}' for scale in job.scales)}"] if job.scales != (1.0,) else []
    options += [f"--stride {job.stride}"] if job.stride else []
    options += [f"--draws {job.draws}"] if job.draws != "fresh" else []
    options += _held_out(job, pictures, bool(named))
    milestones = ",".join(f"{part:g}" for part in job.milestones)
    options += [f"--schedule {job.schedule} --milestones {milestones}"] if job.schedule == "milestones" else []
    options += ["--schedule plateau"] if job.schedule == "plateau" else []
    options += [f"--patience {job.patience}"] if job.patience else []
    options += [f"--judge-every {job.judge_every}"] if job.patience else []
    options += [f"--against {_named(job.against)}"] if job.against else []
    options += [f"--replay {job.replay:g}"] if job.replay else []
    options += [f"--memory {job.budget_mb}"] if job.budget_mb != MEMORY_MB else []
    options += [f"--processes {job.processes}"] if job.processes else []
    options += [f"--threads {job.threads}"] if job.threads else []
    options += _options(method.Training, job.params)
    options += _options(teacher.model.method.Params, job.teacher_params) if teacher else []
    card = Card(
        title=title,
        trained_on=trained_on,
        command="python -m app " + " ".join(options),
        steps=step,
        minutes=round(spent / 60, 1),
        device=f"{device.type}, {platform.machine()}",
        date=date.today().isoformat(),
        versions={"pellucid": engine.__version__, "torch": torch.__version__, "numpy": np.__version__},
        results={name: round(value, 3) for name, value in results.items()},
        start=start.name if start else "",
        start_sha256=start.sha256 if start else "",
    )
    return teacher.describe(card, bool(job.clean)) if teacher else card


def _held_out(job: TrainJob, pictures: int, is_named: bool) -> list[str]:
    """Which pictures are not learned from; by their share alone where no name may be told."""
    names = {"leave": job.leave_out, "held": () if job.hold_out else job.held_out} if is_named else {}
    options = [f"--{what}-out {shlex.quote(name)}" for what, these in names.items() for name in these]
    share = job.hold_out
    if not share and not is_named:
        share = len(job.held_out) / (pictures + len(job.held_out))
    return options + ([f"--hold-out {share:.3g}"] if share else [])


def _named(path: str) -> str:
    """The last part of a path, as a command line takes it."""
    return shlex.quote(Path(path).name)


def _options(kind: type, values: Mapping[str, Any]) -> list[str]:
    """Values of parameters as the command line takes them."""
    given = [(spec, values[spec.name]) for spec in params.specs(kind) if values.get(spec.name) is not None]
    return [
        f"--{spec.name.replace('_', '-')} "
        + (shlex.quote(str(value)) if spec.choices else format(value * spec.scale, "g"))
        for spec, value in given
    ]
