"""The training loop: reads top to bottom, saves at least every minute, resumes where it was."""

from __future__ import annotations

import copy
import math
import platform
import shlex
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import engine
from engine import params
from engine.checkpoint import Card, Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from engine.corruption import Corruption, rng_for
from engine.denoise import Denoising, Model
from engine.device import autocast_dtype, pick_device
from engine.files import replacing
from engine.image import Image, find_images, load_image
from engine.method import Batch, Method, Stage, architectures, build, method_of, methods
from training.distil import Teacher, load_teacher
from training.events import Ended, Event, HeldOut, Saved, Staged, Started, Step, Validated
from training.job import NETWORKS, TrainError, TrainJob
from training.patches import Sampler, in_channels, load_clean, load_pictures, split
from training.run import CHECKPOINT, STATE, STOP

_SAVE_EVERY_S = 55.0
_REPORT_EVERY_S = 5.0
_VALIDATE_EVERY_S = 300.0
_EMA = 0.999
_HELD_OUT_BATCHES = 4


def train(
    job: TrainJob, run: Path, should_stop: Callable[[], bool] = lambda: False, method: Method | None = None
) -> Iterator[Event]:
    """Train and yield what happens; stop at any yield by closing, or by the file `stop` in the run folder.

    The run folder then holds `checkpoint.safetensors` (averaged weights) and `state.pt` (everything a resumed run
    needs). TrainError for a job that cannot run; a loss that is not finite ends the run as failed. A `method` takes the
    place of the job's, for studies of its losses.
    """
    method = method or method_of(job.method)
    values = params.make(method.Training, job.params)
    if method.needs_pairs and not (job.target or job.teacher):
        raise TrainError(
            f"Method {job.method!r} learns from pairs only: give --target clean or noisy, clean pictures and "
            "--noise, or choose a method that learns from noisy pictures alone, such as r2r"
        )
    if job.target and not method.needs_pairs:
        raise TrainError(f"Method {job.method!r} learns from noisy pictures alone; --target is for --method plain")
    teacher = load_teacher(job) if job.teacher else None
    stages = teacher.stages(bool(job.clean)) if teacher else method.stages(values)
    if not stages:
        raise TrainError(f"Method {job.method!r} cannot be trained here; choose one that can, such as r2r")
    if job.threads:
        torch.set_num_threads(job.threads)
    device = pick_device(job.device)
    examiner = None
    if job.domain == "picture":
        pictures, held_out = split(load_pictures(job), job.hold_out, job.seed)
        clean = load_clean(job)
        sampler, count = Sampler(pictures, job, clean), len({picture.name for picture in pictures})
        examiner = Sampler(held_out, job, clean) if held_out else None
    else:
        from training.mosaics import MosaicSampler, load_mosaics

        pictures = load_mosaics(job)
        sampler, count = MosaicSampler(pictures, job), len(pictures)
    torch.manual_seed(job.seed)
    arch = {**network_named(job.network, method), "channels": 1 if job.grey else 4 if job.domain == "mosaic" else 3}
    _check_validation(job, arch["channels"])
    start = load_checkpoint(find_checkpoint(job.start)) if job.start else None
    if teacher and start is None:
        start = teacher.start(arch if job.network else None)
    if start is not None and start.channels != arch["channels"]:
        raise TrainError(f"{start.name} is for {start.channels} channel(s), this job for {arch['channels']}")
    if start is not None and job.start and job.network and dict(start.arch) != arch:
        raise TrainError(f"{start.name} brings a network of its own, which is not {job.network!r}; leave --network out")
    arch = dict(start.arch) if start else arch
    if not method.fits(arch):
        raise TrainError(f"Method {job.method!r} cannot train network {arch['network']!r}; leave --network out")
    network = start.build() if start else build(arch)
    layout = _layout(network, device)
    network = network.to(device, memory_format=layout).train()  # pyright: ignore[reportCallIssue]
    average = copy.deepcopy(network).eval()
    # Recorrupted before it was developed: its authors run such a network once, on the picture as it is.
    run_by = method_of("plain") if job.domain == "developed" else method
    suggested = method.suggests(values) if run_by is method else {}
    judged = Model(Checkpoint(job.name, run_by.id, arch, {}), run_by, average, device, torch.float32)
    optimiser = torch.optim.AdamW(network.parameters(), lr=job.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator(device).manual_seed(job.seed)
    rng = np.random.Generator(np.random.PCG64(job.seed))
    half = autocast_dtype(device)
    if half is torch.float16:
        half = None  # its small gradients would vanish without loss scaling
    step, spent = 0, 0.0
    number: int | None = None  # of the stage that the last step belonged to
    if (run / STATE).exists():
        state = torch.load(run / STATE, map_location="cpu", weights_only=True)  # noqa: TID251
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        rng.bit_generator.state = _unpack(state["rng"])
        step, spent, number = state["step"], state["spent"], state.get("stage")

    def progress() -> float:
        done = step / job.steps if job.steps else spent / 60 / (job.minutes or 1)
        return min(done, 1.0)

    def save() -> None:
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "generator": generator.get_state(),
            "rng": _pack(dict(rng.bit_generator.state)),
            "step": step,
            "spent": spent,
            "stage": number,
        }
        with replacing(run / STATE) as partial:
            torch.save(state, partial)
        card = _card(job, arch, teacher, step, spent, device, count, last_psnr)
        checkpoint = Checkpoint(job.name, run_by.id, arch, average.state_dict(), params=suggested, card=card)
        save_checkpoint(checkpoint, run / CHECKPOINT)

    yield Started(step, count, str(device), str(half or torch.float32).removeprefix("torch."))
    losses: list[float] = []
    last_psnr: float | None = None
    clock = saved = reported = validated = time.monotonic()
    patches_since, examined = 0, -1
    reason = "finished"
    stage: Stage | None = None
    while progress() < 1.0:
        if should_stop() or (run / STOP).exists():
            reason = "stopped"
            break
        present, within = _stage_at(stages, progress())
        if stage is not stages[present]:
            if number not in (None, present):
                network.load_state_dict(average.state_dict())
            number, stage = present, stages[present]
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith(stage.trains))
            yield Staged(step, stage.name)
        assert stage is not None
        part = stage.rate(network) if callable(stage.rate) else stage.rate
        rate = part * _rate(job, step, within)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = sampler.batch(rng)
        if job.draws == "fixed":
            # The same patches, the same random numbers.
            generator.manual_seed(zlib.crc32(batch.noisy.numpy().tobytes()))
        batch = _moved(batch, device, layout)
        with torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None):
            loss = stage.loss(network, batch, values, generator, within)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        value = float(loss.detach())
        if not math.isfinite(value):
            yield Ended(step, "failed", f"The loss was not finite at step {step}; lower the learning rate")
            return
        optimiser.step()
        step += 1
        patches_since += job.batch
        losses.append(value)
        _follow(average, network, min(_EMA, (1 + step) / (10 + step)))
        tick = time.monotonic()
        spent, clock = spent + tick - clock, tick
        is_due = job.report_every is not None and step % job.report_every == 0
        if is_due or (job.report_every is None and tick - reported > _REPORT_EVERY_S):
            speed = patches_since / max(tick - reported, 1e-6)
            yield Step(step, float(np.mean(losses)), rate, speed, progress())
            losses, patches_since, reported = [], 0, tick
        if (job.validate or examiner) and (
            is_due or (job.report_every is None and tick - validated > _VALIDATE_EVERY_S)
        ):
            if examiner:
                examined = step
                yield HeldOut(step, _examine(examiner, stage, average, values, device))
            if job.validate:
                last_psnr = validate(judged, suggested, job)
                yield Validated(step, last_psnr)
            validated = clock = time.monotonic()
        if tick - saved > _SAVE_EVERY_S:
            save()
            yield Saved(step)
            saved = clock = time.monotonic()
    if examiner and examined != step:
        yield HeldOut(step, _examine(examiner, stage or stages[0], average, values, device))
    if job.validate:
        last_psnr = validate(judged, suggested, job)
        yield Validated(step, last_psnr)
    save()
    yield Saved(step)
    yield Ended(step, reason)


def _check_validation(job: TrainJob, channels: int) -> None:
    """Refuse pictures to validate on that cannot be used, before hours are spent; TrainError or CorruptionError."""
    if not job.validate:
        return
    if not any(path.is_file() for path in find_images([Path(job.validate)])):
        raise TrainError(f"There is no picture in {job.validate} to validate on")
    Corruption.parse(job.validate_noise).apply(np.zeros((1, 1, channels)), rng_for(job.seed, ""))


def validate(model: Model, suggested: Mapping[str, Any], job: TrainJob, limit: int = 12) -> float:
    """Mean PSNR in dB of one group of passes on the middle 256x256 of at most `limit` validation pictures."""
    corruption = Corruption.parse(job.validate_noise)
    known = {spec.name for spec in params.specs(model.method.Params)}
    # Nobody would see the estimate.
    values = params.make(model.method.Params, {**suggested, **({"estimate": "off"} if "estimate" in known else {})})
    group, results = model.method.group, []
    for path in find_images([Path(job.validate or "")])[:limit]:
        clean = in_channels(load_image(path).pixels, job)
        top, left = (max(0, (side - 256) // 2) for side in clean.shape[:2])
        clean = clean[top : top + 256, left : left + 256]
        noisy, sigma = corruption.apply(clean, rng_for(job.seed, path.stem))
        work = Denoising(model, Image(noisy), values, sigma=sigma, seed=job.seed, tile=256, keep=False)
        for _ in work.run(group):
            pass
        denoised = work.mean(group).clip(0, 1)
        results.append(-10 * math.log10(float(((denoised - clean) ** 2).mean())))
    return float(np.mean(results))


def network_named(name: str | None, method: Method) -> Mapping[str, Any]:
    """The network that a job asks for by name, without its channels; TrainError lists the names."""
    own = {**method.networks, **NETWORKS}
    name = name or next(iter(own))
    known = own
    if method.needs_pairs:
        # Whatever gives a picture for a picture can be compared or be a student.
        known = {id: {"network": id} for id in architectures()}
        known |= {name: arch for other in methods().values() for name, arch in other.networks.items()} | own
    if name not in known:
        raise TrainError(f"There is no network {name!r}; choose from {', '.join(known)}")
    return known[name]


def _stage_at(stages: Sequence[Stage], progress: float) -> tuple[int, float]:
    """Which stage a run is in, and how far in it: stages follow one another along the budget."""
    begin = 0.0
    for number, stage in enumerate(stages):
        if progress < begin + stage.share or number == len(stages) - 1:
            return number, min(max((progress - begin) / stage.share, 0.0), 1.0)
        begin += stage.share
    raise AssertionError("a method has stages")


def _rate(job: TrainJob, step: int, within: float) -> float:
    """The learning rate: warmed up and falling to zero over the stage, or falling in steps as published."""
    if job.schedule == "milestones":
        return job.learning_rate * 0.1 ** sum(within >= part for part in job.milestones)
    warm = min(1.0, (step + 1) / 200)
    return job.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * within))


@torch.no_grad()
def _examine(sampler: Sampler, stage: Stage, network: nn.Module, values: Any, device: torch.device) -> float:
    """Mean loss on pictures that were held out, the same patches and the same draws each time."""
    rng = np.random.Generator(np.random.PCG64(sampler.job.seed))
    generator = torch.Generator(device).manual_seed(sampler.job.seed)
    layout = _layout(network, device)
    batches = [_moved(sampler.batch(rng), device, layout) for _ in range(_HELD_OUT_BATCHES)]
    return float(np.mean([float(stage.loss(network, batch, values, generator, 1.0)) for batch in batches]))


def _layout(network: nn.Module, device: torch.device) -> torch.memory_format:
    """In which order of axes a network learns.

    In the fast one the gradients of dilated convolutions in bf16 are not finite on the CPU (torch 2.13).
    """
    dilated = any(isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 for layer in network.modules())
    return torch.contiguous_format if dilated and device.type == "cpu" else torch.channels_last


def _moved(batch: Batch, device: torch.device, layout: torch.memory_format) -> Batch:
    def move(planes: Tensor | None) -> Tensor | None:
        # A clone: of one channel either order is "contiguous" already, and convolutions go by the strides.
        return None if planes is None else planes.to(device).clone(memory_format=layout)

    noisy = move(batch.noisy)
    assert noisy is not None
    return Batch(noisy, batch.sigma.to(device), move(batch.target), move(batch.clean), batch.reports)


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the network's; buffers are copied."""
    for old, new in zip(average.parameters(), network.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
    for old, new in zip(average.buffers(), network.buffers(), strict=True):
        old.copy_(new)


def _pack(state: dict[str, Any]) -> dict[str, Any]:
    """PCG64's 128-bit integers as text: weights_only loading takes no integers that long."""
    inner = {key: str(value) for key, value in state["state"].items()}
    return {**state, "state": inner}


def _unpack(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "state": {key: int(value) for key, value in state["state"].items()}}


def _card(
    job: TrainJob,
    arch: Mapping[str, Any],
    teacher: Teacher | None,
    step: int,
    spent: float,
    device: torch.device,
    pictures: int,
    psnr: float | None,
) -> Card:
    method, colour = method_of(job.method), "grey" if job.grey else "colour"
    title = f"{method.label}, {colour}, {job.network or arch['network']}"
    trained_on = f"{pictures} {colour} picture{'s' if pictures > 1 else ''} of {Path(job.data).name}"
    if job.domain != "picture":
        how = "packed" if job.domain == "mosaic" else "recorrupted by the sensor's noise and developed to sRGB"
        trained_on = f"{pictures} noisy camera mosaics of {Path(job.data).name}, {how}"
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
    if job.clean:
        trained_on += f"; and clean pictures of {Path(job.clean).name}, unpaired"
    results = {} if psnr is None else {f"middle 256x256 of {Path(job.validate or '').name}, {job.validate_noise}": psnr}
    options = [f"distil {_named(job.teacher)}" if job.teacher else f"train --method {job.method}"]
    options += [f"--data {_named(job.data)}"]
    options += [f"--network {job.network}"] if job.network else []
    options += [f"--domain {job.domain}"] if job.domain != "picture" else []
    options += [f"--noise {job.noise}"] if job.noise else []
    options += ["--fresh"] if job.fresh else []
    options += [f"--target {job.target}"] if job.target else []
    options += [f"--clean {_named(job.clean)}"] if job.clean else []
    options += [f"--sides {job.sides[0]}-{job.sides[1]}"] if job.sides else []
    options += ["--grey"] if job.grey and not job.teacher else []
    options += [f"--start {_named(job.start)}"] if job.start else []
    options += [f"--minutes {job.minutes:g}"] if job.minutes else [f"--steps {job.steps}"]
    options += [f"--batch {job.batch} --patch {job.patch} --rate {job.learning_rate:g} --seed {job.seed}"]
    options += [f"--scales {','.join(f'{scale:g}' for scale in job.scales)}"] if job.scales != (1.0,) else []
    options += [f"--stride {job.stride}"] if job.stride else []
    options += [f"--draws {job.draws}"] if job.draws != "fresh" else []
    options += [f"--hold-out {job.hold_out:g}"] if job.hold_out else []
    milestones = ",".join(f"{part:g}" for part in job.milestones)
    options += [f"--schedule {job.schedule} --milestones {milestones}"] if job.schedule != "cosine" else []
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
    )
    return teacher.describe(card, bool(job.clean)) if teacher else card


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
