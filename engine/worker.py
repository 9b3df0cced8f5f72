"""One thread that runs jobs one after another, each a generator that may be stopped at every yield."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from queue import SimpleQueue
from typing import Any

log = logging.getLogger(__name__)

_NICENESS = 5
"""A third of the window's share: with much less, what holds the interpreter would itself be long in want of a core."""


class Kind(Enum):
    """What a job reports."""

    PROGRESS = "progress"
    """The value that the generator yielded."""
    DONE = "done"
    """The value that it returned."""
    FAILED = "failed"
    """The exception."""
    CANCELLED = "cancelled"


class Job:
    """Work that was handed to a worker; `cancel` stops it at its next yield."""

    _ids = itertools.count(1)

    def __init__(self, work: Callable[[], Iterator[Any]], on_event: Callable[[Job, Kind, Any], None]) -> None:
        self.id = next(self._ids)
        self.work, self.on_event = work, on_event
        self._stop = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Ask it to stop; it reports CANCELLED and nothing after that. Any thread."""
        self._stop.set()


class Worker:
    """Runs jobs in order on its own thread, which gives way to others.

    `on_event` of a job is called on that thread: emit a Qt signal there and do nothing else.
    """

    def __init__(self, name: str) -> None:
        # Without a lock that the window would have to wait for: this thread may be long in want of a core.
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._closing = False
        self._current: Job | None = None
        self._thread = threading.Thread(target=self._loop, name=name)
        self._thread.start()

    def submit(self, work: Callable[[], Iterator[Any]], on_event: Callable[[Job, Kind, Any], None]) -> Job:
        """Queue `work`; it is called on the worker's thread and must return a generator."""
        if self._closing:
            raise RuntimeError("The worker is closed")
        job = Job(work, on_event)
        self._jobs.put(job)
        return job

    def close(self) -> None:
        """Cancel everything and wait for the thread to end."""
        self._closing = True
        if (current := self._current) is not None:
            current.cancel()
        self._jobs.put(None)
        self._thread.join()

    def _loop(self) -> None:
        if sys.platform == "linux":
            # Where all cores are busy the window's thread goes first. What this one starts, torch's threads among them,
            # inherits it; elsewhere a thread has no such number.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (job := self._jobs.get()) is not None:
            self._current = job
            if self._closing:
                job.cancel()
            self._run(job)
            self._current = None

    def _run(self, job: Job) -> None:
        if job.is_cancelled:
            job.on_event(job, Kind.CANCELLED, None)
            return
        try:
            steps = job.work()
            while True:
                try:
                    value = next(steps)
                except StopIteration as end:
                    job.on_event(job, Kind.DONE, end.value)
                    return
                if job.is_cancelled:
                    steps.close()  # pyright: ignore[reportAttributeAccessIssue]
                    job.on_event(job, Kind.CANCELLED, None)
                    return
                job.on_event(job, Kind.PROGRESS, value)
        except Exception as error:
            # One of the two places where any failure becomes an event; a user's mistake is not worth a traceback.
            is_defect = not isinstance(error, ValueError | OSError)
            log.log(
                logging.ERROR if is_defect else logging.INFO, "Job %d failed: %s", job.id, error, exc_info=is_defect
            )
            job.on_event(job, Kind.FAILED, error)
