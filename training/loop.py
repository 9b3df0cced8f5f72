"""The training loop: reads top to bottom, saves at least every minute, resumes where it was."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from engine.checkpoint import Checkpoint, save_checkpoint
from engine.device import is_out_of_memory
from engine.files import replacing
from engine.image import ImageError
from engine.language import tr, trn
from engine.method import Method, Stage
from training.card import written
from training.events import (
    Ended,
    Event,
    HeldOut,
    Judged,
    Paused,
    Previewed,
    Saved,
    Staged,
    Started,
    Step,
    Validated,
    Verdict,
    Warned,
)
from training.job import TrainError, TrainJob, write_job
from training.judge import Judgement
from training.preview import PreviewWriter
from training.ranks import ALONE, Ranks
from training.run import CHECKPOINT, PAUSE, STATE, STOP
from training.setup import Setup

_SAVE_EVERY_S = 50.0
_REPORT_EVERY_S = 2.0
_PREVIEW_EVERY_S = 10.0
_GOOD_EVERY = 200
"""Steps between the states that a loss which is not finite falls back to."""

_EMA = 0.999
_WARM = 200
"""Steps in which the learning rate rises, a tenth of a short run."""

_JUDGED_SHARE = 0.1
"""Of the time, for judging."""

_SMOOTHED = 5
"""Judgements whose mean is followed to find where it stops improving."""

_LEAST = 1e-3
"""Part by which their mean has to fall to count as an improvement."""

_DROPS = 3
"""Plateaus after which a run ends."""


def train(
    job: TrainJob,
    run: Path,
    should_stop: Callable[[], bool] = lambda: False,
    method: Method | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Event]:
    """Train and yield what happens; stop at any yield by closing, or by the file `stop` in the run folder.

    The run folder then holds `checkpoint.safetensors` (averaged weights) and `state.pt` (everything a resumed run
    needs). TrainError for a job that cannot run; a loss that is not finite twice ends the run as failed. A `method`
    takes the place of the job's, for studies of its losses. Every one of `ranks` runs the same loop on patches of its
    own; only the first one's events count.
    """
    setup = Setup(job, method, ranks)
    try:
        yield from _Training(setup, run, ranks).run(should_stop)
    finally:
        if setup.pool is not None:
            setup.pool.close()


class _Training:
    """One run: the state that changes from step to step, and how."""

    def __init__(self, setup: Setup, run: Path, ranks: Ranks) -> None:
        self.setup, self.folder, self.ranks = setup, run, ranks
        self.network, self.average = setup.network, setup.average
        self.job = job = setup.job
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=job.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.generator = torch.Generator(setup.device).manual_seed(job.seed + ranks.number)
        self.rng = np.random.Generator(np.random.PCG64([job.seed, ranks.number] if ranks.number else job.seed))
        self.step, self.spent = 0, 0.0
        self.stage: int | None = None  # that the last step belonged to
        self.parts = 1  # that a batch is worked through in, more after memory ran out
        self.slower = 1.0  # factor of the learning rate, less after a plateau or a loss that was not finite
        self.has_fallen = False  # back from a loss that was not finite
        self.scores: list[float] = []  # estimated errors, one a judgement
        self.drops = 0  # plateaus so far
        self.preview: PreviewWriter | None = None
        self.last_psnr: float | None = None
        self.last: Judgement | None = None
        self.judged_at, self.judging_s = -1, 0.0  # the last judgement, and how long it took
        self.first: list[Event] | None = None  # the judgement of the start, where it was made to see how long one takes
        self.has_told_disk = False
        self.has_entered = False  # a stage, in this process
        if (run / STATE).exists():
            self._load()
        ranks.share(self.network)
        ranks.share(self.average)
        self.job = self._settled(job)
        if setup.pool is not None:
            setup.pool.job = self.job
        self._good = copy.deepcopy(self._state())

    # What is kept

    def _state(self) -> dict[str, Any]:
        """Everything that a resumed run needs; the tensors are those in use."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "rng": _pack(dict(self.rng.bit_generator.state)),
            "step": self.step,
            "spent": self.spent,
            "stage": self.stage,
            "parts": self.parts,
            "slower": self.slower,
            "has_fallen": self.has_fallen,
            "scores": list(self.scores),
            "drops": self.drops,
        }

    def _load(self) -> None:
        path = self.folder / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
            self._restore(state)
        except (RuntimeError, ValueError, TypeError, LookupError, EOFError, OSError, UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TrainError(
                tr("{path} cannot be read ({reason}); begin a new run, with --start {name}").format(
                    path=path, reason=reason, name=CHECKPOINT
                )
            ) from None

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
        self.step, self.spent, self.stage = state["step"], state["spent"], state.get("stage")
        self.parts, self.slower = state.get("parts", 1), state.get("slower", 1.0)
        self.has_fallen, self.drops = state.get("has_fallen", False), state.get("drops", 0)
        self.scores = list(state.get("scores", ()))
        if self.ranks.is_first:
            self.generator.set_state(state["generator"])
            self.rng.bit_generator.state = _unpack(state["rng"])
        else:
            # What was kept is the first one's; the others go on with new numbers.
            self.generator.manual_seed(self.setup.job.seed + 1000 * self.step + self.ranks.number)
            self.rng = np.random.Generator(np.random.PCG64([self.setup.job.seed, self.ranks.number, self.step]))

    def _save(self) -> None:
        """Write state and checkpoint, each whole or not at all."""
        # Through memory: on a full disk torch's own error is none of the system's.
        state = io.BytesIO()
        torch.save(self._state(), state)
        with replacing(self.folder / STATE) as partial:
            partial.write_bytes(state.getbuffer())
        setup, results = self.setup, {}
        if self.last_psnr is not None:
            about = f"middle 256x256 of {Path(self.job.validate or '').name}, {self.job.validate_noise}"
            results[about] = self.last_psnr
        if setup.judge is not None and setup.baseline is not None and self.last is not None:
            gain = setup.judge.gain(self.last, setup.baseline)
            if gain.db is not None:
                than = setup.against or "the noisy pictures"
                results[f"more than {than}, estimated on {len(setup.held_out)} held-out pictures"] = gain.db
        card = written(
            self.job, setup.arch, setup.teacher, self.step, self.spent, setup.device, setup.count,
            None if setup.pool is None else setup.pool.noise_levels, results, setup.start,
        )  # fmt: skip
        run_by = setup.judged.method.id
        checkpoint = Checkpoint(self.job.name, run_by, setup.arch, self.average.state_dict(), setup.suggested, card)
        save_checkpoint(checkpoint, self.folder / CHECKPOINT)

    def _saved(self) -> Iterator[Event]:
        """Save, or say why that is not possible; the run goes on, and what was saved last stays."""
        self.ranks.mean_buffers(self.average)
        if not self.ranks.is_first:
            return
        try:
            self._save()
        except OSError as error:
            if not self.has_told_disk:
                yield Warned(
                    self.step,
                    tr("Nothing can be saved at the moment ({error}); it is tried again every minute").format(
                        error=error
                    ),
                )
            self.has_told_disk = True
            return
        if self.has_told_disk:
            yield Warned(self.step, tr("Saving works again"))
        self.has_told_disk = False
        yield Saved(self.step)

    # The budget

    def _settled(self, job: TrainJob) -> TrainJob:
        """The job with its minutes turned into steps, and how often it is judged; both stand in `job.json` then."""
        setup, steps, every = self.setup, job.steps, job.judge_every or job.report_every
        judges = bool(setup.judge or setup.examiner or job.validate)
        if steps is None:
            assert job.minutes is not None
            a_step = setup.seconds_a_step()
            steps = max(1, round(job.minutes * 60 / a_step))
            if judges and every is None:
                # Of the start; `run` tells it.
                began = time.perf_counter()
                self.first = list(self._judged(setup.stages[0]))
                judging = time.perf_counter() - began
                every = max(1, math.ceil(judging / _JUDGED_SHARE / a_step), steps // 50)
                steps = max(1, round(job.minutes * 60 / (a_step + judging / every)))
        elif judges and every is None:
            every = max(1, steps // 20)
        settled = dataclasses.replace(job, steps=steps, judge_every=every if judges else job.judge_every)
        if setup.pool is not None and setup.pool.kept_out:
            settled = dataclasses.replace(settled, held_out=tuple(sorted(setup.pool.kept_out)))
        settled = self.ranks.agree(settled)
        if settled != job and self.ranks.is_first:
            write_job(settled, self.folder)
        return settled

    @property
    def _progress(self) -> float:
        assert self.job.steps is not None
        return min(self.step / self.job.steps, 1.0)

    def _rate(self, stage: Stage, within: float) -> float:
        """The learning rate: warmed up and falling to zero over the stage, or falling in steps as published."""
        job = self.job
        part = stage.rate(self.network) if callable(stage.rate) else stage.rate
        rate = part * self.slower * job.learning_rate
        if job.schedule == "milestones":
            return rate * 0.1 ** sum(within >= part for part in job.milestones)
        assert job.steps is not None
        warm = min(1.0, (self.step + 1) / max(1, min(_WARM, job.steps // 10)))
        if job.schedule == "plateau":
            # Where the budget ends before the third plateau, the last tenth lets the weights settle.
            return rate * warm * min(1.0, 10 * (1 - self._progress) + 1e-3)
        return rate * warm * 0.5 * (1 + math.cos(math.pi * within))

    # The run

    def run(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """All of it, from where the state is."""
        setup, ranks, job = self.setup, self.ranks, self.job
        precision = str(setup.half or torch.float32).removeprefix("torch.")
        assert job.steps is not None
        held_out = len({picture.name for picture in setup.held_out})  # some are there at several scales
        yield Started(self.step, setup.count, str(setup.device), precision, job.steps, held_out, ranks.count)
        if setup.held_out and setup.judge is None:
            yield Warned(self.step, tr("Nothing can be judged: {why_not}").format(why_not=setup.why_not))
        yield from self._first_previews()
        if self.step == 0:
            yield from self._judged(setup.stages[0]) if self.first is None else self.first
        losses: list[float] = []
        clock = saved = reported = previewed = time.monotonic()
        since, reason = self.step, "finished"
        while self._progress < 1.0:
            asked = (should_stop() or (self.folder / STOP).exists(), (self.folder / PAUSE).exists())
            # What was saved last may not grow old over a judgement.
            unsaved_s = time.monotonic() - saved + (self.judging_s if self._is_judged_at(self.step + 1) else 0.0)
            paused, save_due = ranks.agree((asked[1], unsaved_s > _SAVE_EVERY_S))
            if ranks.any(asked[0]):
                reason = "stopped"
                break
            if paused:
                yield from self._waited(should_stop)
                clock = saved = reported = time.monotonic()
                since, losses = self.step, []
                continue
            if save_due:
                yield from self._saved()
                saved = time.monotonic()
            yield from self._entered()
            assert self.stage is not None
            stage = setup.stages[self.stage]
            loss, events = self._made_step(stage, should_stop)
            yield from events
            if loss is None:
                if self.has_fallen:
                    yield Ended(
                        self.step,
                        "failed",
                        tr("The loss was not finite at step {step}; {advice}").format(step=self.step, advice=_LOWER),
                    )
                    return
                yield from self._fell_back()
                since, losses = self.step, []
                continue
            losses.append(loss)
            tick = time.monotonic()
            self.spent, clock = self.spent + tick - clock, tick
            if self.step % _GOOD_EVERY == 0:
                self._good = copy.deepcopy(self._state())
            due = self.step % job.report_every == 0 if job.report_every else tick - reported > _REPORT_EVERY_S
            if due:
                speed = (self.step - since) / max(tick - reported, 1e-6)
                yield self._report(float(np.mean(losses)), speed)
                losses, since, reported = [], self.step, tick
            if self._is_judged_at(self.step):
                yield from self._judged(stage)
                has_settled, self.slower = ranks.agree((self._has_settled(), self.slower))
                if has_settled:
                    break
            if self.preview is not None and tick - previewed > _PREVIEW_EVERY_S:
                yield from self._previewed()
                # However slow the device, a tenth of the time at most.
                previewed = time.monotonic() + 9 * (time.monotonic() - tick)
            reported += time.monotonic() - tick  # steps are not slower for what was judged and shown
        yield from self._finished(reason)

    def _finished(self, reason: str) -> Iterator[Event]:
        setup = self.setup
        if self.job.judge_every and self.judged_at != self.step:
            yield from self._judged(setup.stages[self.stage or 0])
        if self.preview is not None:
            yield from self._previewed()
        if self.ranks.is_first and setup.held_out:
            yield self._verdict()
        events = list(self._saved())
        yield from events
        if self.ranks.is_first and not any(isinstance(event, Saved) for event in events):
            last = tr("what was saved before is kept") if (self.folder / STATE).exists() else tr("nothing is kept")
            yield Ended(
                self.step,
                "failed",
                tr("The result could not be saved; {last}. Free some space and resume it").format(last=last),
            )
            return
        yield Ended(self.step, reason)

    def _entered(self) -> Iterator[Event]:
        """Begin the stage that this step belongs to, if it is another one than the last step's."""
        present, _ = _stage_at(self.setup.stages, self._progress)
        if present == self.stage and self.has_entered:
            return
        stage = self.setup.stages[present]
        if self.stage not in (None, present):
            self.network.load_state_dict(self.average.state_dict())
        self.stage, self.has_entered = present, True
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(stage.trains))
        yield Staged(self.step, stage.name)

    def _made_step(self, stage: Stage, should_stop: Callable[[], bool]) -> tuple[float | None, list[Event]]:
        """One step; its loss, None where that was not finite and nothing was learned, and what is to be told."""
        setup, ranks, job = self.setup, self.ranks, self.job
        _, within = _stage_at(setup.stages, self._progress)
        rate = self._rate(stage, within)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        events: list[Event] = []
        if setup.pool is not None:
            setup.pool.turn(self.step, should_stop)
            events += [Warned(self.step, warning) for warning in setup.pool.warnings]
            setup.pool.warnings.clear()
        batches = setup.batches(self.rng)
        if job.draws == "fixed":
            # The same patches, the same random numbers.
            self.generator.manual_seed(zlib.crc32(batches[0].noisy.numpy().tobytes()))
        while True:
            loss, no_room = 0.0, False
            self.optimiser.zero_grad(set_to_none=True)
            try:
                loss = setup.learn(stage, batches, self.generator, within, self.parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                no_room = True
            if not ranks.any(no_room):
                break
            self.optimiser.zero_grad(set_to_none=True)
            if setup.device.type == "cuda":
                torch.cuda.empty_cache()
            if 2 * self.parts > max(len(batch.noisy) for batch in batches):
                raise TrainError(
                    tr("There is not enough memory on {device} for a patch of {patch}; {advice}").format(
                        device=setup.device, patch=job.patch, advice=_SMALLER
                    )
                )
            self.parts *= 2
            said = tr("There was not enough memory: each step now works through its patches in {parts} parts").format(
                parts=self.parts
            )
            events.append(Warned(self.step, said))
        if ranks.any(not math.isfinite(loss)):
            return None, events
        ranks.average(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        _follow(self.average, self.network, min(_EMA, (1 + self.step) / (10 + self.step)))
        return loss, events

    def _fell_back(self) -> Iterator[Event]:
        """Go on from the last good state with half the learning rate."""
        failed = self.step
        self._restore(self._good)
        self.slower, self.has_fallen = self.slower / 2, True
        self._good = copy.deepcopy(self._state())
        # Not the same patches again.
        self.rng.bit_generator.advance(failed + 1)  # pyright: ignore[reportAttributeAccessIssue]
        self.has_entered = False
        yield Warned(
            self.step,
            tr(
                "The loss was not finite at step {failed}: it goes on from step {step} with half the learning rate"
            ).format(failed=failed, step=self.step),
        )

    def _waited(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Save, and wait while the file `pause` is there."""
        yield from self._saved()
        yield Paused(self.step)
        while True:
            is_over = not (self.folder / PAUSE).exists() or (self.folder / STOP).exists() or should_stop()
            if self.ranks.agree(is_over):
                return
            time.sleep(0.2)

    def _report(self, loss: float, speed: float) -> Step:
        """Args: loss: mean of the last steps; speed: steps a second."""
        assert self.job.steps is not None
        device, ranks = self.setup.device, self.ranks
        rate = self.optimiser.param_groups[0]["lr"]
        left = (self.job.steps - self.step) / speed if speed else None
        gpu = torch.cuda.max_memory_allocated(device) / 2**20 * ranks.count if device.type == "cuda" else None
        memory = psutil.Process().memory_info().rss / 2**20
        return Step(self.step, loss, rate, speed * self.job.batch * ranks.count, self._progress, left, memory, gpu)

    # What is told of the result so far

    def _is_judged_at(self, step: int) -> bool:
        return bool(self.job.judge_every) and step % (self.job.judge_every or 1) == 0

    def _judged(self, stage: Stage) -> Iterator[Event]:
        """Examine, judge and validate the averaged weights; only the first rank does."""
        setup, began = self.setup, time.monotonic()
        self.ranks.mean_buffers(self.average)
        self.judged_at = self.step
        if not self.ranks.is_first:
            return
        if setup.examiner is not None:
            loss = setup.examine(stage)
            yield HeldOut(self.step, loss)
            if setup.judge is None:
                self.scores.append(loss)
        if setup.judge is not None and setup.baseline is not None:
            self.last = now = setup.judge.judge(setup.judged, setup.suggested)
            psnr, band = setup.judge.psnr(now)
            gain = setup.judge.gain(now, setup.baseline)
            reason = "" if gain.db is not None else tr("the error that is left cannot be told from none")
            self.scores.append(now.error)
            yield Judged(self.step, psnr, band, gain.db, gain.band_db, now.structure, reason, gain.error, gain.band)
        if self.job.validate:
            self.last_psnr = setup.validate()
            yield Validated(self.step, self.last_psnr)
        self.judging_s = time.monotonic() - began

    def _has_settled(self) -> bool:
        """Whether the judgement has stopped improving for good; after a plateau it may get another, slower chance."""
        patience = self.job.patience
        if not patience or len(self.scores) < _SMOOTHED + patience + 1:
            return False
        means = np.convolve(self.scores, np.full(_SMOOTHED, 1 / _SMOOTHED), "valid")
        best = float(means[:-patience].min(initial=math.inf))
        if float(means[-patience:].min()) < best - _LEAST * abs(best):
            return False
        self.drops += 1
        if self.job.schedule != "plateau" or self.drops == _DROPS:
            return True
        self.slower /= 3
        # What came before was learned at another rate.
        self.scores = self.scores[-_SMOOTHED:]
        return False

    def _verdict(self) -> Verdict:
        """Whether the result is better than what it was judged against."""
        setup, count = self.setup, len({picture.name for picture in self.setup.held_out})
        against = setup.against or tr("the noisy pictures")
        on = trn(
            "{count} picture that it did not learn from", "{count} pictures that it did not learn from", count
        ).format(count=count)
        if setup.judge is None or setup.baseline is None or self.last is None:
            reason = tr("Nobody can tell: {reason}.").format(reason=setup.why_not)
            return Verdict(self.step, False, None, None, setup.against, reason)
        gain = setup.judge.gain(self.last, setup.baseline)
        worse = self.last.structure - setup.baseline.structure
        found = tr("{share:.1%} of the noise's power").format(share=abs(gain.error))
        is_better = gain.is_better and worse <= _STRUCTURE
        if not gain.is_better and gain.error < -gain.band:
            said = tr("On {pictures} its error is larger than that of {against}, by {found}.")
        elif not gain.is_better:
            said = tr("On {pictures} no difference to {against} was found that is more than chance ({band:.1%}).")
        elif worse > _STRUCTURE:
            said = (
                tr("What it takes out of {pictures} looks less like noise than what {against} takes out.")
                if setup.against
                else tr("What it takes out of {pictures} looks less like noise: details go with it.")
            )
        else:
            said = tr("On {pictures} its error is smaller than that of {against}, by {found}.")
        reason = said.format(pictures=on, against=against, found=found, band=gain.band)
        return Verdict(self.step, is_better, gain.db, gain.band_db, setup.against, reason, gain.error, gain.band)

    def _first_previews(self) -> Iterator[Event]:
        """The picture before, and as the start gives it."""
        if self.job.preview is None or not self.ranks.is_first:
            return
        setup = self.setup
        try:
            self.preview = PreviewWriter(self.job, self.folder)
            if setup.start is not None and setup.judged.method.accepts(setup.start.method):
                network = setup.start.build().to(setup.device)
                start = dataclasses.replace(setup.judged, checkpoint=setup.start, network=network)
                self.preview.write(start, setup.start.params, 1)
        except (ValueError, OSError) as error:
            self.preview = None
            yield Warned(self.step, tr("There is no preview: {error}").format(error=error))
            return
        yield from self._previewed()

    def _previewed(self) -> Iterator[Event]:
        assert self.preview is not None
        try:
            self.preview.write(self.setup.judged, self.setup.suggested, 2)
        except (ImageError, OSError):
            return  # the disk is full, which saving tells
        yield Previewed(self.step)


_STRUCTURE = 0.1
"""Correlation that the residual may have more than the start's before the result is refused."""

_LOWER = tr("lower the learning rate")
_SMALLER = tr("choose a smaller patch or another device")


def _stage_at(stages: Sequence[Stage], progress: float) -> tuple[int, float]:
    """Which stage a run is in, and how far in it: stages follow one another along the budget."""
    begin = 0.0
    for number, stage in enumerate(stages):
        if progress < begin + stage.share or number == len(stages) - 1:
            return number, min(max((progress - begin) / stage.share, 0.0), 1.0)
        begin += stage.share
    raise AssertionError("a method has stages")


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
