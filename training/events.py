"""What a training run reports: one JSON object a line in `events.jsonl`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run began or was resumed at `step`."""

    step: int
    pictures: int
    device: str
    precision: str


@dataclass(frozen=True)
class Step:
    """Mean loss since the last report; `progress` runs from 0 to 1 over the budget."""

    step: int
    loss: float
    learning_rate: float
    patches_per_s: float
    progress: float


@dataclass(frozen=True)
class Staged:
    """The next part of the training began."""

    step: int
    stage: str


@dataclass(frozen=True)
class Validated:
    """Mean PSNR in dB of the averaged weights on the validation pictures."""

    step: int
    psnr_db: float


@dataclass(frozen=True)
class HeldOut:
    """Loss of the averaged weights on the pictures that were held out."""

    step: int
    loss: float


@dataclass(frozen=True)
class Saved:
    """The checkpoint in the run folder holds the averaged weights of `step`."""

    step: int


@dataclass(frozen=True)
class Ended:
    """Why the run is over: finished, stopped or failed."""

    step: int
    reason: str
    message: str = ""


Event = Started | Staged | Step | HeldOut | Validated | Saved | Ended


def append(event: Event, run: Path) -> None:
    """Add one line, flushed, so that a reader sees whole lines only."""
    line: dict[str, Any] = {"event": type(event).__name__.lower(), "time": round(time.time(), 1), **asdict(event)}
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
