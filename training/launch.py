"""Run a job folder: events to its file, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.method import Method
from training.curves import Curves
from training.events import Ended, Event, append
from training.job import read_job
from training.loop import train
from training.run import STOP

log = logging.getLogger(__name__)


def follow(run: Path, should_stop: Callable[[], bool] = lambda: False, method: Method | None = None) -> Iterator[Event]:
    """Train the job of a run folder, from where it was; every event is also a line of `events.jsonl`.

    Where tensorboard is installed, the curves go to the folder `tensorboard` of the run, too. For `method` see `train`.
    """
    job = read_job(run)
    (run / STOP).unlink(missing_ok=True)
    step = 0
    curves = Curves(run)
    try:
        for event in train(job, run, should_stop, method):
            append(event, run)
            curves.add(event)
            step = event.step
            yield event
    except Exception as error:
        # A reader of the folder must learn of any failure; what a user cannot cause goes to the log in full.
        if not isinstance(error, ValueError | OSError):
            log.exception("Run %s failed", run)
        event = Ended(step, "failed", str(error))
        append(event, run)
        raise
    finally:
        curves.close()
