"""A training as the window sees it: a process of its own, started, followed and asked through its run folder."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QObject, QTimer, Signal

from engine import paths
from engine.language import tr
from training.events import Ended, Event, Paused, Reader, Saved, Started, Step, append
from training.job import TrainError, TrainJob
from training.run import PAUSE, STOP, Run, begin, without_repeats

POLL_MS = 250
STOP_PATIENCE_S = 60.0
"""A process that was asked to stop is killed after so long, and twice its longest silence so far.

It is silent while it judges, which it does once more before it ends.
"""

LIVE = ("starting", "running", "pausing", "paused", "stopping")
"""States in which a process works in the run folder."""

_DETACHED: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    # A console of its own that nobody sees: processes that it starts would else open windows of theirs.
    _DETACHED = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}

_started: list[subprocess.Popen] = []
"""Held while they live: they outlast the object that started them, and one that nobody holds complains."""


class TrainingRun(QObject):
    """Follows one run folder, whoever started the process in it, and asks it to pause, stop or go on.

    The process is no child that would end with the window: whether it lives is told by the lock of the folder.

    Attributes:
        run: the folder.
        events: all that happened so far, without what a resumed run did again; a page that is shown later replays them.
        state: one of `LIVE`, or finished, stopped, failed, interrupted (the process is gone and did not say why) or
            cancelled (and deleted).
        message: why it failed or was stopped, "" where there is nothing to say.
    """

    happened = Signal(object)
    """One of `training.events`, in order; after `Started` what there was of later steps is void."""

    state_changed = Signal()

    def __init__(self, run: Run, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run = run
        self.events: list[Event] = []
        self.state = "interrupted"
        self.message = ""
        self._reader = Reader(run.folder)
        self._is_starting = False  # until the process says that it works, or why it cannot
        self._process: subprocess.Popen | None = None
        self._log_begins = 0
        self._stop_by: float | None = None
        self._heard, self._silence_s = time.monotonic(), 0.0
        self._wants_pause = False
        self._is_cancelled = False
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.look)
        self.look()

    @classmethod
    def start(cls, job: TrainJob, name: str, parent: QObject | None = None) -> TrainingRun:
        """Make a run folder of this name and start it; TrainError or OSError where the folder cannot be made."""
        training = cls(begin(job, _new_folder(name)), parent)
        training.resume()
        return training

    # ---- What it knows ----

    @property
    def is_live(self) -> bool:
        """Whether a process works in the folder, or is about to."""
        return self.state in LIVE

    @property
    def name(self) -> str:
        """Of the model; of the folder where there is no job to ask."""
        try:
            return self.run.job().name
        except TrainError:
            return self.run.folder.name

    @property
    def step(self) -> int:
        """The last one that was reported."""
        return self.events[-1].step if self.events else 0

    @property
    def last_report(self) -> Step | None:
        """With the share that is done and the time that is left."""
        return next((event for event in reversed(self.events) if isinstance(event, Step)), None)

    # ---- What it does ----

    def pause(self) -> None:
        """Ask it to wait."""
        if self.is_live and self._stop_by is None:
            self._wants_pause = True
            self._ask()

    def go_on(self) -> None:
        """Let it go on; where the process is gone meanwhile, start it again."""
        self._wants_pause = False
        self._ask()
        if not self.is_live:
            self.resume()

    def stop(self) -> None:
        """Ask it to end and keep what it learned; it is killed if it does not react."""
        if self.is_live and self._stop_by is None:
            self._stop_by = time.monotonic() + self._patience_s
            self._wants_pause = False
            self._ask()

    @property
    def _patience_s(self) -> float:
        return STOP_PATIENCE_S + 2 * self._silence_s

    def _ask(self) -> None:
        """Put what is wanted of the process into the folder."""
        with contextlib.suppress(OSError):  # the folder went away; that is seen below
            self.run.ask_pause(self._wants_pause)
            if self._stop_by is not None:
                self.run.ask_stop()
        self.look()

    def cancel(self) -> None:
        """Kill it and delete the folder with all that was learned; ask the user first."""
        self._is_cancelled = True
        self._kill()
        self._timer.start()
        self.look()

    def resume(self) -> None:
        """Start a process that goes on from the last saved state, or from the beginning where there is none."""
        if self.is_live:
            return
        self._stop_by, self._wants_pause = None, False
        for asked in (STOP, PAUSE):
            (self.run.folder / asked).unlink(missing_ok=True)
        log = self.run.log
        self._log_begins = log.stat().st_size if log.exists() else 0
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command(self.run.folder),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    **_DETACHED,
                )
        except OSError as error:
            self._set_state(
                "failed",
                self._gone or tr("The training cannot be started: {reason}").format(reason=error.strerror or error),
            )
            return
        _started.append(self._process)
        self._is_starting = True
        self._set_state("starting")
        self._timer.start()

    # ---- Following ----

    def look(self) -> None:
        """Read what happened since the last time; a timer does, too."""
        _started[:] = [process for process in _started if process.poll() is None]
        # First: what a process wrote before it let go of the folder is then read below.
        is_running, has_begun = self.run.is_running, False
        for event in self._reader.read():
            self._hear(event)
            if isinstance(event, Started):
                self.events = without_repeats(iter([*self.events, event]))
            else:
                self.events.append(event)
            if isinstance(event, Started | Ended):
                self._is_starting = False
            has_begun = has_begun or isinstance(event, Started)
            self.happened.emit(event)
        if has_begun and (self._wants_pause or self._stop_by is not None):
            self._ask()  # a process that begins forgets what it was asked before
            return
        is_starting = self._is_starting and self._process is not None and self._process.poll() is None
        if self._is_cancelled:
            if not is_running and not is_starting:
                self.run.delete()
                self._set_state("cancelled")
        elif is_running or is_starting:
            self._set_state(self._live_state(is_starting))
        else:
            self._settle()
        if self.is_live or (self._is_cancelled and self.state != "cancelled"):
            self._timer.start()
        else:
            self._timer.stop()
        if self._stop_by is not None and self.is_live and time.monotonic() > self._stop_by:
            self._kill()

    def _hear(self, event: Event) -> None:
        """Measure how long a process is silent while it works."""
        now, last = time.monotonic(), self.events[-1] if self.events else None
        if last is not None and not isinstance(last, Paused) and not isinstance(event, Started):
            self._silence_s = max(self._silence_s, now - self._heard)
        self._heard = now
        if self._stop_by is not None and isinstance(event, Started):
            self._stop_by = now + self._patience_s

    def _live_state(self, is_starting: bool) -> str:
        last = self.events[-1] if self.events else None
        if self._stop_by is not None or (self.run.folder / STOP).exists():
            return "stopping"
        if is_starting or last is None:
            return "starting"
        if isinstance(last, Ended):
            # It is about to leave, or has been started by somebody else and not said so yet.
            return self.state if self.is_live else "starting"
        if (self.run.folder / PAUSE).exists():
            return "paused" if isinstance(last, Paused) else "pausing"
        return "running"

    def _settle(self) -> None:
        """Say how it ended, now that no process works in the folder."""
        last = self.events[-1] if self.events else None
        has_asked, self._stop_by = self._stop_by is not None, None
        if self._gone:
            self._is_starting = False
            self._set_state("failed", self._gone)
        elif self._is_starting:
            self._is_starting = False
            self._set_state("failed", self._last_line() or tr("The training did not start, and did not say why."))
        elif isinstance(last, Ended):
            self._set_state(last.reason, last.message)
        elif has_asked:
            saved = next((event.step for event in reversed(self.events) if isinstance(event, Saved)), 0)
            message = tr("It did not react and was ended; what it had learned at step {saved} is kept.").format(
                saved=saved
            )
            try:
                append(Ended(saved, "stopped", message), self.run.folder)
            except OSError:
                self._set_state("stopped", message)
            else:
                self.look()
        else:
            self._set_state("interrupted")

    @property
    def _gone(self) -> str:
        """What to say where the folder is not there any more; "" where it is."""
        return "" if self.run.folder.is_dir() else tr("Its folder {folder} is gone").format(folder=self.run.folder)

    def _set_state(self, state: str, message: str = "") -> None:
        if (state, message) != (self.state, self.message):
            self.state, self.message = state, message
            self.state_changed.emit()

    def _last_line(self) -> str:
        """What the process said last before it ended."""
        try:
            with self.run.log.open("rb") as file:
                file.seek(self._log_begins)
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return last.removeprefix("pellucid: ")

    def _kill(self) -> None:
        for process in _working(self.run):
            try:
                family = [process, *process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for member in family:
                try:
                    member.kill()
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue


def command(folder: Path) -> list[str]:
    """This program again, told to work in a run folder; the same from source and frozen."""
    # -P: a folder of the user's that happens to be called app is not this program.
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "app"]
    return [*program, "train", "--resume", str(folder)]


def _environment() -> dict[str, str]:
    # From source the program is found wherever it was started from; names of files in any language can be printed.
    known = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(known), "PYTHONUTF8": "1"}


def _new_folder(name: str) -> Path:
    """A folder for a run that does not exist yet, absolute: the process may be started elsewhere."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "training"
    first = paths.runs().absolute() / f"{date.today().isoformat()}-{plain}"
    folder, number = first, 2
    while folder.exists():
        folder, number = first.with_name(f"{first.name}-{number}"), number + 1
    return folder


def _working(run: Run) -> list[psutil.Process]:
    """The processes whose command line names the run folder: also those that an earlier window started."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "train" in line and str(run.folder) in line:
            found.append(process)
    return found
