"""A process that behaves like a training in its run folder, in milliseconds, for the tests of the window."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from training.events import Ended, Paused, Saved, Started, Step, append
from training.job import TrainJob
from training.run import PAUSE, STOP, Run

STEPS = 2000
STEP_S = 0.01
SLOW_S = 1.0


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the window start this file in place of the program."""
    monkeypatch.setattr(
        "app.wizard.training_run.command", lambda folder: [sys.executable, "-P", __file__, "train", str(folder)]
    )


def job(**details) -> TrainJob:
    """What `behave` is told: `steps`, and how in its name."""
    return TrainJob(**{"data": "pictures", "steps": STEPS, "name": "willing", **details})


def behave(run: Run) -> None:
    """Work as the job says.

    "deaf" does not stop, "refused" does not begin, "broken" fails at step 80, "slow" judges for a second at the
    beginning and at the end.
    """
    told = run.job()
    if told.name == "refused":
        sys.exit("pellucid: There is no picture in pictures")
    with run.working():
        step = max((event.step for event in run.events() if isinstance(event, Saved)), default=0)
        append(Started(step, 7, "cpu", "float32", STEPS), run.folder)
        if told.name == "slow":
            time.sleep(SLOW_S)
        reason, message = "finished", ""
        while step < (told.steps or STEPS) and reason == "finished":
            if (run.folder / PAUSE).exists():
                append(Paused(step), run.folder)
                while (run.folder / PAUSE).exists():
                    time.sleep(STEP_S)
            time.sleep(STEP_S)
            step += 1
            append(Step(step, 1 / step, 1e-3, 100.0, step / STEPS, (STEPS - step) * STEP_S), run.folder)
            if step % 5 == 0:
                run.checkpoint.touch()
                append(Saved(step), run.folder)
            if told.name == "broken" and step == 80:
                reason, message = "failed", "The loss was not finite"
            elif told.name != "deaf" and (run.folder / STOP).exists():
                reason = "stopped"
        if told.name == "slow":
            time.sleep(SLOW_S)
        append(Ended(step, reason, message), run.folder)


if __name__ == "__main__":
    behave(Run(Path(sys.argv[-1])))
