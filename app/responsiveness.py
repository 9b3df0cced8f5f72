"""How long the window's event loop leaves waiting what is due, and what its thread was doing meanwhile.

A timer is due every few milliseconds. As late as it comes, so late comes whatever a person does at that moment. The
delay has three parts, which are told apart: the thread works itself, it waits for a core that others have, or it waits
for something else, as for a lock, the interpreter's among them, or for the disk.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer

BLOCK_S = 0.05
"""A longer delay is a block: people see that."""

BEAT_MS = 5

_LOOK_S = 0.004
"""Between two looks at what the thread is doing."""

_SUSPECT_S = 0.015
"""From here on it is looked at."""

_IN_QT = "Qt, called by no function of the program"

_ROOT = Path(__file__).resolve().parents[1]

_INSTRUMENTS = {Path(__file__), Path(__file__).with_name("window_bench.py")}


@dataclass(frozen=True)
class Delay:
    """What came between two beats of the timer.

    Attributes:
        stage, action: what was going on, and what the person did.
        wall_s: how late the second beat was.
        own_s: processor time of the thread.
        queued_s: time the thread waited for a core; None where the system does not tell.
        doing: functions of the program the thread was found in, and how often; empty for short delays.
        others: the same of the other threads.
        collecting_s: of it, spent on looking for garbage.
    """

    stage: str
    action: str
    wall_s: float
    own_s: float
    queued_s: float | None = None
    doing: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    collecting_s: float = 0.0

    @property
    def waited_s(self) -> float:
        """Time neither at work nor in want of a core."""
        return max(0.0, self.wall_s - self.own_s - (self.queued_s or 0.0))

    @property
    def where(self) -> str:
        """The function that it was found in most often."""
        if self.collecting_s > self.wall_s / 2:
            return "garbage collection"
        return self.doing.most_common(1)[0][0] if self.doing else _IN_QT


@dataclass
class _Open:
    """The time since the last beat."""

    began: float
    own: float
    queued: float | None
    doing: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    collecting: float = 0.0


class Recorder:
    """Listens to a timer that is due every `BEAT_MS`.

    Attributes:
        stage, action: written with each delay that ends from now on.
        delays: all so far.
    """

    def __init__(self) -> None:
        self.stage = self.action = ""
        self.delays: list[Delay] = []
        self.open: _Open | None = None
        self._schedule = _schedule_file()
        self._collected_at = 0.0

    def beat(self) -> None:
        """The timer came."""
        wall, own, queued = self._now()
        one, self.open = self.open, _Open(wall, own, queued)
        if one is not None:
            late = max(0.0, wall - one.began - BEAT_MS / 1000)
            waited = None if queued is None or one.queued is None else queued - one.queued
            times = late, own - one.own, waited
            self.delays.append(Delay(self.stage, self.action, *times, one.doing, one.others, one.collecting))

    def collect(self, phase: str, about: dict[str, Any]) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._collected_at = time.perf_counter()
        elif (one := self.open) is not None and threading.current_thread() is threading.main_thread():
            one.collecting += time.perf_counter() - self._collected_at

    def close(self) -> None:
        """End; nothing is recorded any more."""
        self.open = None
        if self._schedule is not None:
            os.close(self._schedule)
            self._schedule = None

    def _now(self) -> tuple[float, float, float | None]:
        queued = None
        if self._schedule is not None:
            queued = int(os.pread(self._schedule, 64, 0).split()[1]) / 1e9
        return time.perf_counter(), time.thread_time(), queued


def _schedule_file() -> int | None:
    """Where Linux tells how long this thread waited for a core."""
    try:
        return os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return None


@contextlib.contextmanager
def recorded() -> Iterator[Recorder]:
    """Record the event loop of this thread, the main one, which has an application, while this lasts."""
    recorder, over = Recorder(), threading.Event()
    watch = threading.Thread(target=_watch, args=(recorder, threading.get_ident(), over), name="watch")
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(BEAT_MS)
    timer.timeout.connect(recorder.beat)
    timer.start()
    gc.callbacks.append(recorder.collect)
    watch.start()
    try:
        yield recorder
    finally:
        gc.callbacks.remove(recorder.collect)
        timer.stop()
        over.set()
        watch.join()
        recorder.close()


def _watch(recorder: Recorder, main: int, over: threading.Event) -> None:
    """Look at what the main thread is doing, where a beat is late."""
    with tempfile.TemporaryFile() as file:
        while not over.wait(_LOOK_S):
            one = recorder.open
            if one is None or time.perf_counter() - one.began < BEAT_MS / 1000 + _SUSPECT_S:
                continue
            # Not sys._current_frames: a frame that is held keeps its painter from ending with its function.
            file.seek(0)
            file.truncate()
            faulthandler.dump_traceback(file)
            file.seek(0)
            places = _places(file.read().decode(errors="replace"))
            one.doing[places.pop(main, "") or _IN_QT] += 1
            places.pop(threading.get_ident(), None)
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            one.others.update(f"{names.get(ident, '?')}: {place}" for ident, place in places.items() if place)


def _places(stacks: str) -> dict[int, str]:
    """The innermost function of the program of each thread, as file and name; "" where there is none."""
    found: dict[int, str] = {}
    for stack in re.split(r"\n\s*\n", stacks):
        head = re.match(r"\s*(?:Current thread|Thread) (0x[0-9a-f]+)", stack)
        if head:
            frames = re.findall(r'File "(.+)", line \d+ in (.+)', stack)
            found[int(head[1], 16)] = next((place for place in map(_place, frames) if place is not None), "")
    return found


def _place(frame: tuple[str, str]) -> str | None:
    """A function by file and name where it is one of the program, "" where it is one of those that measure."""
    path = Path(frame[0])
    if path in _INSTRUMENTS:
        return ""
    if path.is_relative_to(_ROOT / "app") or path.is_relative_to(_ROOT / "engine"):
        return f"{path.relative_to(_ROOT).as_posix()} {frame[1]}"
    return None


# ---- Numbers ----


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed, 0 to 1; ValueError without any."""
    if not values:
        raise ValueError("There is no quantile of no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def distribution(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the most of seconds, in milliseconds."""
    found = {f"p{round(100 * share)}_ms": 1000 * quantile(values, share) for share in (0.5, 0.95, 0.99)}
    return {name: round(value, 2) for name, value in (found | {"max_ms": 1000 * max(values)}).items()}


def summary(delays: Sequence[Delay]) -> dict[str, Any]:
    """The distribution of delays, and how many were blocks: at the clock, and by the thread's own work."""
    return {
        "beats": len(delays),
        **distribution([one.wall_s for one in delays]),
        "own_max_ms": round(1000 * max(one.own_s for one in delays), 1),
        "blocks": sum(one.wall_s > BLOCK_S for one in delays),
        "own_blocks": sum(one.own_s > BLOCK_S for one in delays),
    }


def blocks(delays: Sequence[Delay]) -> list[dict[str, Any]]:
    """What blocked, the worst first, by the function that it was found in.

    Each has how often, the longest time and its parts in milliseconds, the most own work in one, during what, and
    what other threads were doing.
    """
    found: dict[str, list[Delay]] = {}
    for one in delays:
        if one.wall_s > BLOCK_S:
            found.setdefault(one.where, []).append(one)
    rows = []
    for where, ones in found.items():
        worst = max(ones, key=lambda one: one.wall_s)
        others: Counter[str] = Counter()
        for one in ones:
            others.update(one.others)
        rows.append(
            {
                "where": where,
                "count": len(ones),
                "max_ms": round(1000 * worst.wall_s, 1),
                "own_ms": round(1000 * worst.own_s, 1),
                "queued_ms": None if worst.queued_s is None else round(1000 * worst.queued_s, 1),
                "waited_ms": round(1000 * worst.waited_s, 1),
                "own_max_ms": round(1000 * max(one.own_s for one in ones), 1),
                "during": list(dict.fromkeys(f"{one.stage}: {one.action}" for one in ones)),
                "others": [name for name, _ in others.most_common(3)],
            }
        )
    return sorted(rows, key=lambda row: -row["max_ms"])
