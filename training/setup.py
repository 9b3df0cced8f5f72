"""What a training is made of before its first step: method, pictures, network, judge."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine import params
from engine.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from engine.corruption import Corruption, rng_for
from engine.denoise import Model, load_model
from engine.device import autocast_dtype, is_out_of_memory, pick_device
from engine.image import find_images, load_image
from engine.language import tr
from engine.method import Batch, Method, MethodError, Stage, architectures, build, method_of, methods
from engine.metrics import psnr
from engine.noise import Line, estimate_noise, on_line, shared_line
from engine.pairs import find_reference
from training.distil import load_teacher
from training.job import NETWORKS, TrainError, TrainJob
from training.judge import SIDE, WINDOWS, Judge, Judgement, Window, denoised
from training.leaves import dead_leaves
from training.patches import Picture, Pool, Sampler, in_channels, load_clean
from training.ranks import ALONE, Ranks

_HELD_OUT_BATCHES = 4
_TIMED_S = 3.0
_VALIDATED, _VALIDATED_SIDE = 12, 256


class Setup:
    """Everything that a job says, read and built; TrainError says why it cannot run.

    Args:
        job: the run.
        method: in place of the job's, for studies of its losses.
        ranks: that share the work.
        pictures: in place of the job's own.
    """

    def __init__(
        self,
        job: TrainJob,
        method: Method | None = None,
        ranks: Ranks = ALONE,
        pictures: Sequence[Picture] | None = None,
    ) -> None:
        self.job = job
        self.method = method = method or method_of(job.method)
        self.values = values = params.make(method.Training, job.params)
        if method.needs_pairs and not (job.target or job.teacher):
            raise TrainError(
                tr(
                    "Method {method!r} learns from pairs only: give --target clean or noisy, clean pictures "
                    "and --noise, or choose a method that learns from noisy pictures alone, such as r2r"
                ).format(method=job.method)
            )
        if job.target and not method.needs_pairs:
            raise TrainError(
                tr("Method {method!r} learns from noisy pictures alone; --target is for --method plain").format(
                    method=job.method
                )
            )
        self.teacher = load_teacher(job) if job.teacher else None
        self.stages = self.teacher.stages(bool(job.clean)) if self.teacher else method.stages(values)
        if not self.stages:
            raise TrainError(
                tr("Method {method!r} cannot be trained here; choose one that can, such as r2r").format(
                    method=job.method
                )
            )
        if job.threads:
            torch.set_num_threads(job.threads)
        self.device = pick_device(job.device)
        if self.device.type == "cuda" and ranks.count > 1:
            self.device = torch.device("cuda", torch.cuda.current_device())  # of `ranks.join`
        self._take_pictures(ranks, pictures)
        torch.manual_seed(job.seed)
        self._build_network()
        half = autocast_dtype(self.device)
        # The small gradients of float16 would vanish without loss scaling.
        self.half = None if half is torch.float16 else half
        # Recorrupted before it was developed: its authors run such a network once, on the picture as it is.
        run_by = method_of("plain") if job.domain == "developed" else method
        self.suggested = method.suggests(values) if run_by is method else {}
        self._validation: list[tuple[Window, np.ndarray]] | None = None
        self.judged = Model(
            Checkpoint(job.name, run_by.id, self.arch, {}), run_by, self.average, self.device, torch.float32
        )
        self._take_judge()

    def _take_pictures(self, ranks: Ranks, pictures: Sequence[Picture] | None) -> None:
        job = self.job
        self.pool: Pool | None = None
        self.examiner: Sampler | None = None
        self.held_out: Sequence[Picture] = ()
        self.generic: Sampler | None = None
        self.line: Line | None = None
        if job.domain != "picture":
            from training.mosaics import MosaicSampler, load_mosaics

            mosaics = load_mosaics(job)
            self.sampler, self.count = MosaicSampler(mosaics, job), len(mosaics)
            return
        clean = load_clean(job)
        used = dataclasses.replace(job, batch=job.batch - self.replayed, replay=0.0)
        if pictures is None:
            self.pool = Pool(job, (ranks.number, ranks.count))
            self.held_out = self.pool.held_out
            self.sampler, self.count = Sampler(self.pool, used, clean), self.pool.count
        else:
            self.sampler, self.count = Sampler(pictures, used, clean), len(pictures)
        if self.held_out:
            self.examiner = Sampler(self.held_out, dataclasses.replace(job, stride=None, draws="fresh"), clean)
        # Of those that are there in a resumed run, too.
        present = [*self.held_out, *(self.pool if self.pool is not None and self.pool.is_whole else pictures or ())]
        known = [(picture.report, picture.unit_levels) for picture in present if picture.report is not None]
        self.line = self.sampler.line = shared_line(known) if known else None
        if self.examiner is not None:
            self.examiner.line = self.line
        if self.replayed:
            leaves = [Picture("", pixels, 0.0) for pixels in dead_leaves(job.seed, 1 if job.grey else 3)]
            generic = dataclasses.replace(
                job, noise="gaussian:0-75", fresh=True, batch=self.replayed, replay=0.0, stride=None, draws="fresh"
            )
            self.generic = Sampler(leaves, generic)

    @property
    def replayed(self) -> int:
        """How many patches of a batch are of generated pictures."""
        count = round(self.job.batch * self.job.replay)
        return min(max(1, count), self.job.batch - 1) if self.job.replay else 0

    def _build_network(self) -> None:
        job, method = self.job, self.method
        arch = {**network_named(job.network, method), "channels": 1 if job.grey else 4 if job.domain == "mosaic" else 3}
        _check_validation(job, arch["channels"])
        start = load_checkpoint(find_checkpoint(job.start)) if job.start else None
        if self.teacher and start is None:
            start = self.teacher.start(arch if job.network else None)
        if start is not None and start.channels != arch["channels"]:
            raise TrainError(
                tr("{name} is for {channels} channel(s), this job for {wanted}").format(
                    name=start.name, channels=start.channels, wanted=arch["channels"]
                )
            )
        if start is not None and job.start and job.network and dict(start.arch) != arch:
            raise TrainError(
                tr("{name} brings a network of its own, which is not {network!r}; leave --network out").format(
                    name=start.name, network=job.network
                )
            )
        self.start, self.arch = start, dict(start.arch) if start else arch
        if not method.fits(self.arch):
            raise TrainError(
                tr("Method {method!r} cannot train network {network!r}; leave --network out").format(
                    method=job.method, network=self.arch["network"]
                )
            )
        network = start.build() if start else build(self.arch)
        self.layout = _layout(network, self.device)
        self.network = network.to(self.device, memory_format=self.layout).train()  # pyright: ignore[reportCallIssue]
        self.average = copy.deepcopy(self.network).eval()

    def _take_judge(self) -> None:
        """The judge, and the judgement of what is to be beaten; None where nothing can be judged."""
        self.judge: Judge | None = None
        self.baseline: Judgement | None = None
        self.against = ""
        self.why_not = ""
        if not self.held_out:
            return
        windows = _windows(self.held_out, self.job, self.line)
        if not windows:
            self.why_not = tr("no noise was found in the pictures that were held out")
            return
        self.judge = Judge(windows, self.job.seed)
        name = self.job.against or self.job.start
        if name is None:
            self.baseline = self.judge.untouched()
            return
        model = load_model(name, channels=self.arch["channels"], device=str(self.device), precision="float32")
        self.against = model.checkpoint.name
        self.baseline = self.judge.judge(model, model.checkpoint.params)

    def batches(self, rng: np.random.Generator) -> list[Batch]:
        """What the next step learns from, not on the device yet; the second one is of generated pictures."""
        try:
            return [sampler.batch(rng) for sampler in (self.sampler, self.generic) if sampler]
        except MemoryError:
            raise TrainError(
                tr("There is not enough memory for {batch} patches of {patch} pixels; choose a smaller batch").format(
                    batch=self.job.batch, patch=self.job.patch
                )
            ) from None

    def learn(
        self, stage: Stage, batches: Sequence[Batch], generator: torch.Generator, within: float, parts: int = 1
    ) -> float:
        """Put the mean gradient of all patches into the network, each batch worked through in parts; the mean loss."""
        count, total = sum(len(batch.noisy) for batch in batches), torch.zeros((), device=self.device)
        for number, batch in enumerate(batches):
            for part in _parts(batch, parts):
                try:
                    with torch.autocast(self.device.type, self.half or torch.bfloat16, enabled=self.half is not None):
                        loss = stage.loss(self.network, self.moved(part), self.values, generator, within)
                except MethodError as error:
                    if not number:
                        raise
                    raise TrainError(
                        tr("Generated pictures have white noise only ({error}); leave --replay out").format(error=error)
                    ) from None
                loss = loss * (len(part.noisy) / count)
                loss.backward()
                total += loss.detach()
        return float(total)

    def moved(self, batch: Batch) -> Batch:
        """The same on the device."""

        def move(planes: Tensor | None) -> Tensor | None:
            # A clone: of one channel either order is "contiguous" already, and convolutions go by the strides.
            return None if planes is None else planes.to(self.device).clone(memory_format=self.layout)

        noisy = move(batch.noisy)
        assert noisy is not None
        return Batch(noisy, batch.sigma.to(self.device), move(batch.target), move(batch.clean), batch.reports)

    @torch.no_grad()
    def examine(self, stage: Stage) -> float:
        """Mean loss of the averaged weights on pictures that were held out, the same patches and draws each time."""
        assert self.examiner is not None
        rng = np.random.Generator(np.random.PCG64(self.job.seed))
        generator = torch.Generator(self.device).manual_seed(self.job.seed)
        batches = [self.moved(self.examiner.batch(rng)) for _ in range(_HELD_OUT_BATCHES)]
        losses = [stage.loss(self.average, batch, self.values, generator, 1.0) for batch in batches]
        return float(np.mean([float(loss) for loss in losses]))

    def validate(self) -> float:
        """Mean PSNR in dB of one group of passes on the validation pictures."""
        if self._validation is None:
            self._validation = _validation(self.job)
        results = [
            psnr(denoised(self.judged, window, self.suggested, self.job.seed), clean)
            for window, clean in self._validation
        ]
        return float(np.mean(results))

    def seconds_a_step(self) -> float:
        """What a step takes on this device, its parts weighted by their share; nothing is learned by it."""
        kept = self.network
        rng = np.random.Generator(np.random.PCG64(self.job.seed))
        generator = torch.Generator(self.device).manual_seed(self.job.seed)
        total, parts = 0.0, 1
        try:
            # A copy, as also a forward pass changes what a normalisation remembers.
            self.network = copy.deepcopy(kept)
            for stage in self.stages:
                for name, parameter in self.network.named_parameters():
                    parameter.requires_grad_(name.startswith(stage.trains))
                times: list[float] = []
                began = time.perf_counter()
                # The first ones allocate and choose kernels.
                while len(times) < 5 or (time.perf_counter() - began < _TIMED_S and len(times) < 50):
                    tick = time.perf_counter()
                    batches = self.batches(rng)
                    try:
                        self.learn(stage, batches, generator, 0.5, parts)
                    except (RuntimeError, MemoryError) as error:
                        parts *= 2
                        if not is_out_of_memory(error) or parts > len(batches[0].noisy):
                            raise
                        times.clear()
                        continue
                    times.append(time.perf_counter() - tick)
                total += stage.share * statistics.median(times[2:])
        finally:
            self.network = kept
        # The optimiser and the average come on top.
        return 1.05 * total


def steps_a_minute(job: TrainJob) -> float:
    """How many steps this job makes in a minute on its device, measured on a generated picture; takes seconds."""
    grey = 1 if job.grey else 3
    clean = dead_leaves(job.seed, grey)[0]
    noisy = (clean + np.float32(0.1) * rng_for(job.seed, "timed").standard_normal(clean.shape)).astype(np.float32)
    picture = Picture("", noisy, 0.1, estimate_noise(noisy))
    alone = dataclasses.replace(
        job, steps=1, held_out=(), hold_out=0.0, patience=None, schedule="cosine", noise=None, fresh=False, stride=None,
        draws="fresh", scales=(1.0,), target=None, validate=None, preview=None,
    )  # fmt: skip
    return 60 / Setup(alone, pictures=[picture]).seconds_a_step()


def _parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in at most `count` parts."""
    if count == 1:
        return [batch]
    size = -(-len(batch.noisy) // count)
    return [
        Batch(
            batch.noisy[first : first + size],
            batch.sigma[first : first + size],
            None if batch.target is None else batch.target[first : first + size],
            None if batch.clean is None else batch.clean[first : first + size],
            batch.reports[first : first + size],
        )
        for first in range(0, len(batch.noisy), size)
    ]


def _windows(pictures: Sequence[Picture], job: TrainJob, line: Line | None) -> list[Window]:
    """Windows of the held-out pictures that hold noise, the same for the same seed, each picture in its turn."""
    corruption = Corruption.parse(job.noise) if job.noise and (job.fresh or job.target) else None
    noisy = [picture for picture in pictures if corruption or picture.sigma > 0]
    windows: list[Window] = []
    rounds = -(-WINDOWS // max(1, len(noisy)))
    for turn in range(rounds):
        for index, picture in enumerate(noisy):
            if len(windows) == WINDOWS:
                break
            height, width = picture.pixels.shape[:2]
            rng = rng_for(job.seed, f"judged {picture.name} {index} {turn}")
            high, wide = min(SIDE, height), min(SIDE, width)
            if turn and high * wide == height * width:
                continue  # it was seen whole
            top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
            part, sigma = picture.cut(top, left, high, wide), picture.sigma
            if corruption is not None:
                part, sigma = corruption.drawn(rng).apply(part, rng)
            report = picture.report and on_line(picture.report, line, picture.unit_levels)
            windows.append(Window(picture.name, part, sigma, report))
    return windows


def _check_validation(job: TrainJob, channels: int) -> None:
    """Refuse pictures to validate on that cannot be used, before hours are spent; TrainError or CorruptionError."""
    if not job.validate:
        return
    if not any(path.is_file() for path in find_images([Path(job.validate)])):
        raise TrainError(tr("There is no picture in {validate} to validate on").format(validate=job.validate))
    Corruption.parse(job.validate_noise).apply(np.zeros((1, 1, channels)), rng_for(job.seed, ""))


def _validation(job: TrainJob) -> list[tuple[Window, np.ndarray]]:
    """The middle of at most twelve validation pictures, noisy and clean.

    Pictures that have a clean twin by their name are taken as they are, their noise measured; clean ones get
    `job.validate_noise`.
    """
    paths, found = find_images([Path(job.validate or "")]), []
    twins = {path: twin for path in paths if (twin := find_reference(path)) is not None}
    corruption = Corruption.parse(job.validate_noise)
    for path in list(twins or paths)[:_VALIDATED]:
        image = load_image(path)
        black, white = image.levels
        pixels = in_channels((image.pixels - black) / (white - black), job)
        top, left = (max(0, (side - _VALIDATED_SIDE) // 2) for side in pixels.shape[:2])

        def middle(pixels: np.ndarray, top: int = top, left: int = left) -> np.ndarray:
            return pixels[top : top + _VALIDATED_SIDE, left : left + _VALIDATED_SIDE]

        if path in twins:
            clean = in_channels((load_image(twins[path]).pixels - black) / (white - black), job)
            if clean.shape != pixels.shape:
                raise TrainError(
                    tr("{name} is not of the same size as {original}; leave the pair out").format(
                        name=twins[path].name, original=path.name
                    )
                )
            report = estimate_noise(pixels)
            found.append((Window(path.name, middle(pixels), report.sigma, report), middle(clean)))
        else:
            noisy, sigma = corruption.apply(middle(pixels), rng_for(job.seed, path.stem))
            found.append((Window(path.name, noisy, sigma), middle(pixels)))
    return found


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
        raise TrainError(
            tr("There is no network {name!r}; choose from {known}").format(name=name, known=", ".join(known))
        )
    return known[name]


def _layout(network: nn.Module, device: torch.device) -> torch.memory_format:
    """In which order of axes a network learns.

    In the fast one the gradients of dilated convolutions in bf16 are not finite on the CPU (torch 2.13).
    """
    dilated = any(isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 for layer in network.modules())
    return torch.contiguous_format if dilated and device.type == "cpu" else torch.channels_last
