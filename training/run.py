"""A run folder: its files, whether a process works in it, and what it can be asked. No torch, no Qt.

job.json            what is to be done, see `training.job`
events.jsonl        what happened, see `training.events`
checkpoint.safetensors  the averaged weights with their card: a model like any other
state.pt            everything a resumed run needs
lock                held by the process that works here
stop, pause         files whose existence asks for that
train.log           what the process printed
preview_*.png       see `training.job.Preview`: before, start, now
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from engine import paths
from training.events import Ended, Event, Paused, Reader, Started, Verdict
from training.job import TrainError, TrainJob, read_job, write_job

JOB, STATE, CHECKPOINT = "job.json", "state.pt", "checkpoint.safetensors"
STOP, PAUSE, LOCK, LOG = "stop", "pause", "lock", "train.log"
PREVIEWS = ("preview_before.png", "preview_start.png", "preview_now.png")


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
        """Hold the folder as the one process that works in it; TrainError if another one does."""
        lock = filelock.FileLock(self.folder / LOCK)
        try:
            # `is_running` holds it for a moment, too.
            lock.acquire(timeout=2)
        except filelock.Timeout:
            raise TrainError(f"Another process is working in {self.folder}; stop it first, or wait") from None
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

    def ask_stop(self) -> None:
        """Ask it to end at the next step and keep what it has."""
        (self.folder / STOP).touch()

    def ask_pause(self, paused: bool) -> None:
        """Ask it to wait, or to go on."""
        if paused:
            (self.folder / PAUSE).touch()
        else:
            (self.folder / PAUSE).unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the folder and all that was learned."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begin(job: TrainJob, folder: Path) -> Run:
    """Make the run folder; TrainError if there is a run in it already."""
    run = Run(folder)
    if (folder / STATE).exists() or run.is_running:
        raise TrainError(
            f"{folder} holds a run already; continue it with train --resume {folder} or give another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_job(job, folder)
    return run


def without_repeats(events: Iterator[Event]) -> list[Event]:
    """The events of a run that may have been killed and resumed: what was done again counts once."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, Started):
            kept = [old for old in kept if old.step <= event.step and not isinstance(old, Ended | Paused | Verdict)]
        kept.append(event)
    return kept


def runs() -> list[Run]:
    """All runs in the user's folder, the latest first."""
    folders = [path.parent for path in paths.runs().glob(f"*/{JOB}")]
    return [Run(folder) for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)]
