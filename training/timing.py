"""How fast a job learns on this machine, measured in a process of its own: a step of a large network takes long."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from multiprocessing.connection import Connection

from engine.language import tr
from training.job import TrainError, TrainJob


def speed(job: TrainJob) -> Generator[None, None, float]:
    """Return how many steps the job makes in a minute; TrainError says why it makes none.

    Yields ten times a second. Closed before its end it kills the process, whatever that does.
    """
    # Forked, the child would hold locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        while not ours.poll(0.1):
            yield
        rate, problem = ours.recv()
    except EOFError:
        raise TrainError(
            tr("How fast this computer learns cannot be measured; there may be too little memory")
        ) from None
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
    if problem:
        raise TrainError(problem)
    return rate


def _measure(job: TrainJob, answer: Connection) -> None:
    """In the child: send the steps a minute, and why there are none."""
    from training.setup import steps_a_minute

    try:
        answer.send((steps_a_minute(job), ""))
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        answer.send((0.0, str(error) or tr("There is not enough memory")))
