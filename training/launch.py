"""Run a job folder, in one process or in several: events to its file, whatever happens."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import torch

from engine.device import pick_device
from engine.files import write_text
from engine.language import tr
from engine.method import Method
from training.curves import Curves
from training.events import Ended, Event, Step, append, last_event
from training.job import TrainError, TrainJob, read_job
from training.loop import train
from training.processes import sentence, spread
from training.ranks import RankLost, Ranks, join, leave
from training.run import PAUSE, STOP, Run

log = logging.getLogger(__name__)


def follow(
    run: Path, should_stop: Callable[[], bool] = lambda: False, method: Method | None = None
) -> Generator[Event, None, None]:
    """Train the job of a run folder, from where it was; every event is also a line of `events.jsonl`.

    On several GPUs, or where the job says so, in as many processes, which this one starts and watches. Started by
    torchrun or by a cluster this is one of them, and only the first gives events. Where tensorboard is installed, the
    curves go to the folder `tensorboard` of the run, too. For `method` see `train`. TrainError where the folder is no
    run, another process works in it, or it goes away.
    """
    job = read_job(run)
    if _is_rank():
        yield from _as_rank(job, run, should_stop, method)
        return
    with Run(run).working():
        _forget(run)
        yield from _recorded(run, _here(job, run, should_stop, method))


def _here(
    job: TrainJob, run: Path, should_stop: Callable[[], bool], method: Method | None
) -> Generator[Event, None, None]:
    """Train in as many processes of this machine as suit the job."""
    count = _processes(job)
    if count == 1:
        yield from train(job, run, should_stop, method)
    else:
        on_gpu = pick_device(job.device).type == "cuda"
        yield from spread(functools.partial(_train, job, run, method), count, run, should_stop, on_gpu=on_gpu)


def _train(
    job: TrainJob, run: Path, method: Method | None, should_stop: Callable[[], bool], ranks: Ranks
) -> Iterator[Event]:
    return train(job, run, should_stop, method, ranks)


def _processes(job: TrainJob) -> int:
    """How many share the work on this machine; TrainError if it has fewer GPUs than the job wants."""
    device = pick_device(job.device)
    if device.type == "cpu":
        return job.processes or 1
    gpus = torch.cuda.device_count() if device.type == "cuda" and device.index is None else 1
    if (job.processes or 1) > gpus:
        raise TrainError(
            tr("{processes} processes need a GPU each, and {device} is {gpus}; give --processes {gpus}").format(
                processes=job.processes, device=device, gpus=gpus
            )
        )
    return job.processes or gpus


def _forget(run: Path) -> None:
    """Remove what was asked of an earlier process, why one failed, and what one that was killed had half written."""
    for path in (run / STOP, run / PAUSE, *run.glob("rank*.failed"), *run.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def _recorded(run: Path, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    """Write down what happens, and a failure as the last event."""
    last = last_event(run)
    step = last.step if last is not None else 0  # one that cannot begin again is where it was
    journal, curves = _Journal(run), Curves(run)
    try:
        for event in events:
            journal.add(event)
            with contextlib.suppress(OSError):
                curves.add(event)
            step = event.step
            yield event
    except Exception as error:
        # A reader of the folder must learn of any failure; what a user cannot cause goes to the log in full.
        if not isinstance(error, ValueError | OSError):
            log.exception("Run %s failed", run)
        with contextlib.suppress(TrainError):
            journal.add(Ended(step, "failed", sentence(error)))
        raise
    finally:
        events.close()  # and with it the other processes
        with contextlib.suppress(OSError):
            curves.close()


class _Journal:
    """Writes the events of a run as long as its folder is there.

    What a full disk, or a network drive that is away, keeps from being written follows later, but for steps.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._waiting: list[Event] = []
        self._is_away = False

    def add(self, event: Event) -> None:
        """Write it, after what could not be written before; TrainError if the folder is gone."""
        self._waiting.append(event)
        try:
            while self._waiting:
                append(self._waiting[0], self._run)
                del self._waiting[0]
            self._is_away = False
        except OSError as error:
            if not self._run.is_dir():
                raise TrainError(
                    tr("The folder of the run is gone, so the training ends: {run}").format(run=self._run)
                ) from None
            if not self._is_away:
                log.warning("What happens in %s cannot be written for now (%s)", self._run, error)
            self._is_away = True
            self._waiting = [event for event in self._waiting if not isinstance(event, Step)]


def _is_rank() -> bool:
    """Whether torchrun or a cluster started this process as one of several; TrainError if it does not say enough."""
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or "RANK" not in os.environ:
        return False
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise TrainError(
            tr("RANK and WORLD_SIZE are set, and {missing} is not; start with torchrun, or unset them").format(
                missing=missing[0]
            )
        )
    return True


def _as_rank(
    job: TrainJob, run: Path, should_stop: Callable[[], bool], method: Method | None
) -> Generator[Event, None, None]:
    """Be the rank that the environment says: the first records, the others are silent."""
    number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    gpu = None
    if pick_device(job.device).type == "cuda":
        # Some clusters show each process its own GPU only.
        gpu = int(os.environ.get("LOCAL_RANK", number)) % torch.cuda.device_count()
    try:
        ranks = join(number, count, None, gpu)
        with contextlib.ExitStack() as held:
            trouble = ""
            if ranks.is_first:
                try:
                    held.enter_context(Run(run).working())
                    _forget(run)
                except TrainError as error:
                    trouble = str(error)
            # The first may write `job.json` anew before another has read it.
            trouble, job = ranks.agree((trouble, job))
            if trouble:
                raise TrainError(trouble)
            events = _told(run, ranks, train(job, run, should_stop, method, ranks))
            if ranks.is_first:
                yield from _recorded(run, events)
            else:
                for _ in events:
                    pass
    except RankLost as error:
        raise TrainError(str(error)) from error
    finally:
        leave()


def _told(run: Path, ranks: Ranks, events: Iterator[Event]) -> Generator[Event, None, None]:
    """The events of one rank; why it fails is left in a file, where the first finds it."""
    try:
        yield from events
    except RankLost as error:
        raise TrainError((_why_lost(run) if ranks.is_first else "") or str(error)) from error
    except Exception as error:
        if not ranks.is_first:
            with contextlib.suppress(OSError):
                write_text(run / f"rank{ranks.number}.failed", sentence(error))
        raise


def _why_lost(run: Path) -> str:
    """What a rank that failed left behind; "" if nothing came within a second."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        for path in sorted(run.glob("rank*.failed")):
            with contextlib.suppress(OSError):
                return path.read_text(encoding="utf-8")
        time.sleep(0.05)
    return ""
