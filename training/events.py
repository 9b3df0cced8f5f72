"""What a training run reports: one JSON object a line in `events.jsonl`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVENTS = "events.jsonl"
_TAIL = 1 << 16


@dataclass(frozen=True)
class Started:
    """The run began or was resumed at `step`: what a reader has of later steps is void.

    Attributes:
        steps: when it will end at the latest.
        held_out: pictures that are judged on and not learned from.
        processes: that share the work.
    """

    step: int
    pictures: int
    device: str
    precision: str
    steps: int = 0
    held_out: int = 0
    processes: int = 1


@dataclass(frozen=True)
class Step:
    """Mean loss since the last report; `progress` runs from 0 to 1 over the budget.

    Attributes:
        seconds_left: at the present speed.
        memory_mb: what this process holds.
        gpu_mb: what it holds on the GPU, all processes together; None without one.
    """

    step: int
    loss: float
    learning_rate: float
    patches_per_s: float
    progress: float
    seconds_left: float | None = None
    memory_mb: float | None = None
    gpu_mb: float | None = None


@dataclass(frozen=True)
class Staged:
    """The next part of the training began."""

    step: int
    stage: str


@dataclass(frozen=True)
class Validated:
    """Mean PSNR in dB of the averaged weights on the clean validation pictures; never used to choose anything."""

    step: int
    psnr_db: float


@dataclass(frozen=True)
class HeldOut:
    """Loss of the averaged weights on the pictures that were held out: always the same patches and draws."""

    step: int
    loss: float


@dataclass(frozen=True)
class Judged:
    """The averaged weights on the pictures that were held out, see `training.judge`.

    Attributes:
        psnr_db: estimated without any clean picture; None where that cannot be told.
        band_db: half-width of its 95 % band.
        gain_db: over what is to be beaten; None as above.
        gain_band_db: half-width of that one's.
        gain, gain_band: the same as parts of the noise's power, by which the squared error is smaller; known also where
            the noise is not known well enough for dB.
        structure: what correlates in the residual other than the noise does, in parts of the noise's power.
        reason: why there is no number, or "".
    """

    step: int
    psnr_db: float | None
    band_db: float | None
    gain_db: float | None
    gain_band_db: float | None
    structure: float | None = None
    reason: str = ""
    gain: float | None = None
    gain_band: float | None = None


@dataclass(frozen=True)
class Previewed:
    """The pictures of the preview in the run folder are those of `step`."""

    step: int


@dataclass(frozen=True)
class Warned:
    """Something the user should know, while the run goes on: less memory than thought, a picture that went away."""

    step: int
    message: str


@dataclass(frozen=True)
class Paused:
    """The run waits, its state saved, until the file `pause` is gone; any later event says that it goes on."""

    step: int


@dataclass(frozen=True)
class Saved:
    """The checkpoint in the run folder holds the averaged weights of `step`."""

    step: int


@dataclass(frozen=True)
class Verdict:
    """Whether the result should take the place of what it was judged against.

    Attributes:
        is_better: by the held-out pictures, beyond the estimate's uncertainty.
        gain_db, gain_band_db, gain, gain_band: as in `Judged`.
        against: name of what it was judged against; "" for the noisy pictures themselves.
        reason: one sentence for the user.
    """

    step: int
    is_better: bool
    gain_db: float | None
    gain_band_db: float | None
    against: str
    reason: str
    gain: float | None = None
    gain_band: float | None = None


@dataclass(frozen=True)
class Ended:
    """Why the run is over: finished, stopped or failed."""

    step: int
    reason: str
    message: str = ""


Event = Started | Staged | Step | HeldOut | Judged | Validated | Previewed | Warned | Paused | Saved | Verdict | Ended

_KINDS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in (
        Started,
        Staged,
        Step,
        HeldOut,
        Judged,
        Validated,
        Previewed,
        Warned,
        Paused,
        Saved,
        Verdict,
        Ended,
    )
}


def append(event: Event, run: Path) -> None:
    """Add one line; OSError where that cannot be written, and the next one is whole nevertheless.

    All but steps are on the disk when this returns, so that a power cut does not take them.
    """
    line: dict[str, Any] = {"event": type(event).__name__.lower(), "time": round(time.time(), 1), **asdict(event)}
    with (run / EVENTS).open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")  # after a line that a full disk or the end of a process cut off
        file.write(json.dumps(line).encode() + b"\n")
        if not isinstance(event, Step):
            file.flush()
            os.fsync(file.fileno())


def parse(line: str) -> Event | None:
    """The event of one line; None for a line that was cut off, or of a kind that a newer version knows."""
    try:
        values = json.loads(line)
        kind = _KINDS[values["event"]]
        known = {name: values[name] for name in kind.__dataclass_fields__ if name in values}
        return kind(**known)
    except (ValueError, TypeError, KeyError):
        return None


class Reader:
    """Follows the events of a run folder; each call of `read` gives what came since the last."""

    def __init__(self, run: Path) -> None:
        self.path = run / EVENTS
        self._position = 0
        self._rest = b""

    def read(self) -> Iterator[Event]:
        """Whole lines only; nothing where the file is not there (yet)."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = parse(line.decode("utf-8", "replace"))
            if event is not None:
                yield event


def last_event(run: Path) -> Event | None:
    """The last event of a run folder, read from the end of the file alone; None where there is none."""
    try:
        with (run / EVENTS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    return next((event for line in reversed(lines) if (event := parse(line.decode("utf-8", "replace")))), None)
