"""A run folder: its files, whether a process works in it, and what it can be asked. No torch, no Qt.

job.json            what is to be done, see `training.job`
events.jsonl        what happened, see `training.events`
checkpoint.safetensors  the averaged weights with their card: a model like any other
state.pt            everything a resumed run needs
lock                held by the process that works here
stop, pause         files whose existence asks for that
train.log           what the process printed
ranks               where several processes meet, while they work
rank*.failed        why one of several processes failed that a cluster started
preview_*.png       see `training.job.Preview`: before, start, now
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import filelock

from engine import paths
from engine.language import tr
from training.events import EVENTS, Ended, Event, Paused, Reader, Started, Verdict, last_event
from training.job import TrainError, TrainJob, read_job, write_job

JOB, STATE, CHECKPOINT = "job.json", "state.pt", "checkpoint.safetensors"
STOP, PAUSE, LOCK, LOG = "stop", "pause", "lock", "train.log"
PREVIEWS = ("preview_before.png", "preview_start.png", "preview_now.png")

State = Literal["new", "running", "paused", "finished", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The model, once there is one."""
        return self.folder / CHECKPOINT

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.folder / LOG

    def job(self) -> TrainJob:
        """What it is to do; TrainError if the folder is no run."""
        return read_job(self.folder)

    def events(self) -> list[Event]:
        """All that happened, without what a resumed run did again."""
        return without_repeats(Reader(self.folder).read())

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold the folder as the one process that works in it; TrainError if another one does, or if it cannot."""
        lock = filelock.FileLock(self.folder / LOCK)
        try:
            # `is_running` holds it for a moment, too.
            lock.acquire(timeout=2)
        except filelock.Timeout:
            raise TrainError(
                tr("Another process is working in {folder}; stop it first, or wait").format(folder=self.folder)
            ) from None
        except OSError as error:
            raise TrainError(
                tr("{folder} cannot be written in ({reason}); choose another folder").format(
                    folder=self.folder, reason=error.strerror
                )
            ) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def is_running(self) -> bool:
        """Whether a process works in it; one that was killed does not."""
        if not (self.folder / LOCK).exists():
            return False
        lock = filelock.FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:
            return False  # a folder that went away, or that cannot be written
        lock.release()
        return False

    @property
    def can_resume(self) -> bool:
        """Whether there is a job in it: it goes on from its state, or begins where it has none yet."""
        return (self.folder / JOB).exists()

    @property
    def state(self) -> State:
        """Where it stands, quick enough to ask of many runs; interrupted: something ended its process, or the machine.

        Said to be running while it ends, never interrupted then.
        """
        is_running, last = self.is_running, last_event(self.folder)
        if is_running:
            return "paused" if isinstance(last, Paused) else "running"
        if isinstance(last, Ended) and last.reason in ("finished", "stopped", "failed"):
            return last.reason
        return "interrupted" if last or (self.folder / STATE).exists() else "new"

    def ask_stop(self) -> None:
        """Ask it to end at the next step and keep what it has; OSError if the folder is gone."""
        (self.folder / STOP).touch()

    def ask_pause(self, paused: bool) -> None:
        """Ask it to wait, or to go on; OSError if the folder is gone."""
        if paused:
            (self.folder / PAUSE).touch()
        else:
            (self.folder / PAUSE).unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the folder and all that was learned."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begin(job: TrainJob, folder: Path) -> Run:
    """Make the run folder; TrainError if there is a run in it already, or it cannot be made."""
    run = Run(folder)
    if (folder / STATE).exists() or run.is_running:
        raise TrainError(
            tr("{folder} holds a run already; continue it with train --resume {folder} or give another folder").format(
                folder=folder
            )
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_job(job, folder)
    except OSError as error:
        raise TrainError(
            tr("{folder} cannot be written in ({reason}); choose another folder").format(
                folder=folder, reason=error.strerror
            )
        ) from None
    return run


def without_repeats(events: Iterator[Event]) -> list[Event]:
    """The events of a run that may have been killed and resumed, or fell back: what was done again counts once."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, Started):
            # From the very beginning everything is done again, also what comes before the first step.
            kept = [old for old in kept if event.step and not isinstance(old, Ended | Paused | Verdict)]
        while kept and kept[-1].step > event.step:
            kept.pop()
        kept.append(event)
    return kept


def runs() -> list[Run]:
    """All runs in the user's folder, the latest first: where something happened last."""
    folders = [path.parent for path in paths.runs().glob(f"*/{JOB}")]
    return [Run(folder) for folder in sorted(folders, key=_last_change, reverse=True)]


def _last_change(folder: Path) -> float:
    for name in (EVENTS, JOB):
        with contextlib.suppress(OSError):
            return (folder / name).stat().st_mtime
    return 0.0  # deleted meanwhile
