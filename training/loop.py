"""The training loop: reads top to bottom, saves at least every minute, resumes where it was."""

from __future__ import annotations

import copy
import math
import platform
import time
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
from engine.method import Batch, Method, Stage, build, method_of
from training.events import Ended, Event, Saved, Staged, Started, Step, Validated
from training.job import NETWORKS, TrainError, TrainJob
from training.patches import Sampler, in_channels, load_clean, load_pictures

CHECKPOINT = "checkpoint.safetensors"
STATE = "state.pt"
STOP = "stop"
_SAVE_EVERY_S = 55.0
_REPORT_EVERY_S = 5.0
_VALIDATE_EVERY_S = 300.0
_EMA = 0.999


def train(job: TrainJob, run: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Train and yield what happens; stop at any yield by closing, or by the file `stop` in the run folder.

    The run folder then holds `checkpoint.safetensors` (averaged weights) and `state.pt` (everything a resumed run
    needs). TrainError for a job that cannot run; a loss that is not finite ends the run as failed.
    """
    method = method_of(job.method)
    values = params.make(method.Training, job.params)
    stages = method.stages(values)
    if not stages:
        raise TrainError(f"Method {job.method!r} cannot be trained here; choose one that can, such as r2r")
    if job.threads:
        torch.set_num_threads(job.threads)
    device = pick_device(job.device)
    pictures = load_pictures(job)
    sampler = Sampler(pictures, job, load_clean(job))
    torch.manual_seed(job.seed)
    arch = {**network_named(job.network, method), "channels": 1 if job.grey else 3}
    start = load_checkpoint(find_checkpoint(job.start)) if job.start else None
    if start is not None and start.channels != arch["channels"]:
        raise TrainError(f"{start.name} is for {start.channels} channel(s), this job for {arch['channels']}")
    arch = dict(start.arch) if start else arch
    if not method.fits(arch):
        raise TrainError(f"Method {job.method!r} cannot train network {arch['network']!r}; leave --network out")
    network = (start.build() if start else build(arch)).to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    average = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=job.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    generator = torch.Generator(device).manual_seed(job.seed)
    rng = np.random.Generator(np.random.PCG64(job.seed))
    half = autocast_dtype(device)
    if half is torch.float16:
        half = None  # its small gradients would vanish without loss scaling
    step, spent = 0, 0.0
    if (run / STATE).exists():
        state = torch.load(run / STATE, map_location="cpu", weights_only=True)  # noqa: TID251
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        rng.bit_generator.state = _unpack(state["rng"])
        step, spent = state["step"], state["spent"]

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
        }
        with replacing(run / STATE) as partial:
            torch.save(state, partial)
        card = _card(job, step, spent, device, len(pictures), last_psnr)
        checkpoint = Checkpoint(job.name, job.method, arch, average.state_dict(), card=card)
        save_checkpoint(checkpoint, run / CHECKPOINT)

    yield Started(step, len(pictures), str(device), str(half or torch.float32).removeprefix("torch."))
    losses: list[float] = []
    last_psnr: float | None = None
    clock = saved = reported = validated = time.monotonic()
    patches_since = 0
    reason = "finished"
    stage: Stage | None = None
    while progress() < 1.0:
        if should_stop() or (run / STOP).exists():
            reason = "stopped"
            break
        number, within = _stage_at(stages, progress())
        if stage is not stages[number]:
            if stage is not None:
                network.load_state_dict(average.state_dict())
            stage = stages[number]
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.startswith(stage.trains))
            yield Staged(step, stage.name)
        warm = min(1.0, (step + 1) / 200)
        rate = job.learning_rate * stage.rate * warm * 0.5 * (1 + math.cos(math.pi * within))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = _moved(sampler.batch(rng), device)
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
        if tick - reported > _REPORT_EVERY_S:
            yield Step(step, float(np.mean(losses)), rate, patches_since / (tick - reported), progress())
            losses, patches_since, reported = [], 0, tick
        if job.validate and tick - validated > _VALIDATE_EVERY_S:
            last_psnr = validate(method, average, arch, job, device)
            yield Validated(step, last_psnr)
            validated = clock = time.monotonic()
        if tick - saved > _SAVE_EVERY_S:
            save()
            yield Saved(step)
            saved = clock = time.monotonic()
    if job.validate:
        last_psnr = validate(method, average, arch, job, device)
        yield Validated(step, last_psnr)
    save()
    yield Saved(step)
    yield Ended(step, reason)


def validate(
    method: Method, network: nn.Module, arch: Mapping[str, Any], job: TrainJob, device: torch.device, limit: int = 12
) -> float:
    """Mean PSNR in dB of one group of passes on the middle 256x256 of at most `limit` validation pictures."""
    corruption = Corruption.parse(job.validate_noise)
    values = params.make(method.Params, {})
    model = Model(Checkpoint(job.name, method.id, arch, {}), method, network, device, torch.float32)
    results = []
    for path in find_images([Path(job.validate or "")])[:limit]:
        clean = in_channels(load_image(path).pixels, job)
        top, left = (max(0, (side - 256) // 2) for side in clean.shape[:2])
        clean = clean[top : top + 256, left : left + 256]
        noisy, sigma = corruption.apply(clean, rng_for(job.seed, path.stem))
        work = Denoising(model, Image(noisy), values, sigma=sigma, seed=job.seed, tile=256, keep=False)
        for _ in work.run(method.group):
            pass
        denoised = work.mean(method.group).clip(0, 1)
        results.append(-10 * math.log10(float(((denoised - clean) ** 2).mean())))
    return float(np.mean(results))


def network_named(name: str | None, method: Method) -> Mapping[str, Any]:
    """The network that a job asks for by name, without its channels; TrainError lists the names."""
    known = {**method.networks, **NETWORKS}
    name = name or next(iter(known))
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


def _moved(batch: Batch, device: torch.device) -> Batch:
    def move(planes: Tensor | None) -> Tensor | None:
        return None if planes is None else planes.to(device).contiguous(memory_format=torch.channels_last)

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


def _card(job: TrainJob, step: int, spent: float, device: torch.device, pictures: int, psnr: float | None) -> Card:
    noise = f"synthetic noise {job.noise}" if job.noise else "their own noise, its level estimated for each"
    realisation = " drawn anew for each patch" if job.fresh else ", one fixed realisation a picture, no clean pixel"
    colour = "grey" if job.grey else "colour"
    results = {} if psnr is None else {f"middle 256x256 of {Path(job.validate or '').name}, {job.validate_noise}": psnr}
    options = [f"--data {Path(job.data).name}", f"--method {job.method}", f"--network {job.network}"]
    options += [f"--seed {job.seed}"]
    options += [f"--noise {job.noise}"] if job.noise else []
    options += ["--fresh"] if job.fresh else []
    options += ["--grey"] if job.grey else []
    options += [f"--start {Path(job.start).name}"] if job.start else []
    options += [f"--minutes {job.minutes:g}"] if job.minutes else [f"--steps {job.steps}"]
    return Card(
        title=f"{job.method}, {colour}, {job.network}",
        trained_on=f"{pictures} {colour} pictures of {Path(job.data).name}, {noise}{realisation if job.noise else ''}",
        command="python -m app train " + " ".join(options),
        steps=step,
        minutes=round(spent / 60, 1),
        device=f"{device.type}, {platform.machine()}",
        date=date.today().isoformat(),
        versions={"pellucid": engine.__version__, "torch": torch.__version__, "numpy": np.__version__},
        results={name: round(value, 3) for name, value in results.items()},
    )
