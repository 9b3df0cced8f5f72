"""The batch that the window runs: on a thread of its own, seen and steered from the window's."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background
from app.batch import saved as batches
from app.batch.journal import SURELY_LEFT_S
from app.batch.plan import BatchError, Item, Planner
from app.batch.progress import Control, Step, Tally
from app.batch.report import Row
from app.batch.saved import BatchJob, SavedBatch
from app.batch.watch import watched
from app.workspace import Entry, Workspace
from engine.language import tr
from engine.worker import Job, Kind

log = logging.getLogger(__name__)

_TOLD_MS = 150
"""Between two times that the progress of the whole is told."""

_BY_HAND = tr("Skipped by hand")


def _working(
    saved: SavedBatch, job: BatchJob, items: Sequence[Item], control: Control, is_new: bool, watches: bool
) -> Iterator[Any]:
    """Yield the `Tally`, then what `Batch.run` yields of these items, and of those that arrive."""
    yield None
    if is_new:
        saved.begin(job)
    with saved.journal.locked():
        tally = Tally(items)
        yield tally
        # Loads torch.
        from app.batch.run import Batch
        from app.single import Machine, Models

        journal = saved.journal
        journal.load()
        began = time.time()
        journal.tidy(job.items, began - SURELY_LEFT_S)
        source: Iterable[Item | None] = items
        if watches and (watch := job.watch) is not None:
            known = {item.path: item.target for item in job.items} | journal.targets()
            planner = Planner(watch.naming, job.how, watch.conflict, known)
            source = watched(watch.folders, watch.which, planner, watch.values, watch.naming.folder, items)
        models = Models(Machine(job.seed, job.device))
        batch = Batch(models, job.how, sidecar=job.sidecar, journal=journal, control=control, huge=job.huge)
        try:
            with contextlib.closing(batch.run(source)) as steps:
                yield from steps
        finally:
            journal.tidy(job.items, began)


class Queue(QObject):
    """At most one batch at a time; every method belongs to the GUI thread.

    Attributes:
        rows: a picture each, in order.
        counts: how many rows are in which state.
        state: idle, running, paused, stopping, finished, cancelled or failed.
        message: why it failed as a whole.
        tally: how far the present run is; None before it began.
    """

    state_changed = Signal()
    reset = Signal()
    """Other rows."""

    row_changed = Signal(int)
    row_added = Signal(int)
    progressed = Signal()
    """Shares, counts or the time left, a few times a second."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.workspace = workspace
        self.saved: SavedBatch | None = None
        self.asked = BatchJob()
        self.rows: list[Row] = []
        self.counts: Counter[str] = Counter()
        self.state = "idle"
        self.message = ""
        self.tally: Tally | None = None
        self._seconds = 0.0
        self._row_of: dict[int, int] = {}
        self._entries: dict[Path, Entry] = {}
        self._control = Control()
        self._background: Background | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_TOLD_MS)
        self._timer.timeout.connect(self.progressed)
        workspace.images_changed.connect(self._find_entries)

    # ---- Asking ----

    @property
    def is_live(self) -> bool:
        """Whether a batch is at work, or paused."""
        return self.state in ("running", "paused", "stopping")

    @property
    def seconds(self) -> float:
        """At work on this batch, without pauses."""
        return self._seconds + (self.tally.seconds if self.tally is not None and self.is_live else 0.0)

    @property
    def is_watching(self) -> bool:
        """Whether it waits for pictures that may arrive."""
        return self.is_live and self.asked.watch is not None

    def start(self, job: BatchJob) -> None:
        """Begin a batch; BatchError where one is at work, or where this one cannot be kept."""
        self._check_free()
        self._take_over(batches.new(), job)
        self._run(job.items, is_new=True)

    def resume(self, saved: SavedBatch) -> None:
        """Go on with a batch that was interrupted; BatchError where that cannot be."""
        self._check_free()
        self._take_over(saved, saved.job())
        self._run(self.asked.items)

    def retry(self, rows: Iterable[Row]) -> None:
        """Try pictures once more that failed or were left out."""
        self._again([row for row in rows if row.state in ("failed", "skipped")], watches=False)

    def go_on(self) -> None:
        """Go on with what was not begun, after it was cancelled or failed as a whole."""
        self._again([row for row in self.rows if row.state == "waiting"], watches=True)

    def pause(self) -> None:
        """Stop at the next tile, until it is resumed."""
        if self.state == "running":
            self._control.paused.set()
            if self.tally is not None:
                self.tally.pause(True)
            self._set_state("paused")

    def unpause(self) -> None:
        """Go on from where it was paused."""
        if self.state == "paused":
            self._control.paused.clear()
            if self.tally is not None:
                self.tally.pause(False)
            self._set_state("running")

    def skip(self, numbers: Iterable[int]) -> None:
        """Leave out rows that are not done, also the one in work."""
        for number in numbers:
            row = self.rows[number]
            if row.state in ("waiting", "running"):
                self._control.skip(row.item.number)
                self._set_row(number, "skipped", _BY_HAND)
                if self.tally is not None:
                    self.tally.add(Step(row.item, "skipped"))

    def cancel(self) -> None:
        """Stop within a tile; what is done stays, and nothing is left half-written."""
        if self._job is not None:
            self._job.cancel()
            self._set_state("stopping")

    def close(self) -> None:
        """Stop and wait; what is missing can be gone on with at the next start."""
        if self._background is not None:
            self._background.close()
            self._background = self._job = None
        self._timer.stop()

    # ---- Running ----

    def _check_free(self) -> None:
        if self.is_live:
            raise BatchError(tr("A batch is at work; wait for its end or cancel it"))

    def _take_over(self, saved: SavedBatch, job: BatchJob) -> None:
        self._release_entries()
        self.saved, self.asked = saved, job
        self.rows = [Row(item) for item in job.items]
        self.counts = Counter({"waiting": len(self.rows)})
        self._row_of = {row.item.number: number for number, row in enumerate(self.rows)}
        self._seconds = 0.0
        self.reset.emit()

    def _again(self, rows: Sequence[Row], watches: bool) -> None:
        """Run some of the rows of the batch that has ended."""
        self._check_free()
        for row in rows:
            self._set_row(self._row_of[row.item.number], "waiting")
        if self.saved is not None:
            self.saved.reopen()
        self._run([row.item for row in rows], watches=watches)

    def _run(self, items: Sequence[Item], *, is_new: bool = False, watches: bool = True) -> None:
        assert self.saved is not None
        self._background = self._background or Background("batch", self)
        self._control, self.tally, self.message = Control(), None, ""
        saved, job, control = self.saved, self.asked, self._control
        self._job = self._background.submit(
            lambda: _working(saved, job, items, control, is_new, watches), self._on_event
        )
        self._find_entries()
        for item in items:
            self._show_entry(self.rows[self._row_of[item.number]])
        self._set_state("running")

    def _on_event(self, kind: Kind, value: Any) -> None:
        if kind is not Kind.PROGRESS:
            self._ended(kind, value)
        elif isinstance(value, Tally):
            self.tally = value
            value.pause(self.state == "paused")
        elif isinstance(value, Step):
            self._take(value)

    def _take(self, step: Step) -> None:
        number = self._row_of.get(step.item.number)
        if number is None:
            number = self._row_of[step.item.number] = len(self.rows)
            self.rows.append(Row(step.item))
            self.counts["waiting"] += 1
            self.row_added.emit(number)
        row = self.rows[number]
        if step.state == row.state == "skipped":
            return  # by hand: it was counted then
        if self.tally is not None:
            self.tally.add(step)
        if step.was_done:
            self._set_row(number, "done", str(step.item.target), 1.0)
        elif step.state != "running":
            row.record = step.record
            self._set_row(number, step.state, step.text, step.share)
        elif row.state != "skipped":  # by hand, a moment ago
            self._set_row(number, "running", "", step.share)
        self._tell()

    def _ended(self, kind: Kind, value: Any) -> None:
        self._job = None
        self._seconds += self.tally.seconds if self.tally is not None else 0.0
        self._settle_running()
        if kind is Kind.FAILED:
            self.message = str(value) or type(value).__name__
            if not isinstance(value, ValueError | OSError | MemoryError):
                self.message = tr("Something went wrong that should not: {name}: {error}").format(
                    name=type(value).__name__, error=value
                )
        self._release_entries()
        state = {Kind.DONE: "finished", Kind.CANCELLED: "cancelled"}.get(kind, "failed")
        if state != "failed" and self.saved is not None:
            try:
                self.saved.end(self.counts)
            except OSError as error:
                log.warning("The end of the batch cannot be noted in %s: %s", self.saved.folder, error)
        self._set_state(state)

    def _settle_running(self) -> None:
        """Of pictures in work when it was stopped, the last may have been written all the same."""
        running = [number for number, row in enumerate(self.rows) if row.state == "running"]
        if not running or self.saved is None:
            return
        journal = self.saved.journal
        journal.load()
        for number in running:
            item = self.rows[number].item
            if journal.owns(item):
                self._set_row(number, "done", str(item.target), 1.0)
            else:
                self._set_row(number, "waiting")

    def _set_state(self, state: str) -> None:
        self.state = state
        self.state_changed.emit()
        self.progressed.emit()

    def _set_row(self, number: int, state: str, text: str = "", share: float = 0.0) -> None:
        row = self.rows[number]
        if row.state != state:
            self.counts[row.state] -= 1
            self.counts[state] += 1
        is_news = (row.state, row.text) != (state, text)
        row.state, row.text, row.share = state, text, share
        self.row_changed.emit(number)
        if is_news:
            self._show_entry(row)
        self._tell()

    def _tell(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    # ---- The list of the main window ----

    def _find_entries(self) -> None:
        self._entries = {entry.path: entry for entry in self.workspace.entries if entry.path is not None}

    def _show_entry(self, row: Row) -> None:
        entry = self._entries.get(row.item.path)
        if entry is None:
            return
        state = {"waiting": "queued", "skipped": ""}.get(row.state, row.state)
        self.workspace.show_batch(
            entry, state, tr("Saved as {name}").format(name=row.text) if row.state == "done" else row.text
        )

    def _release_entries(self) -> None:
        """What waits for nothing any more is not shown as if it did."""
        for row in self.rows:
            entry = self._entries.get(row.item.path) if row.state == "waiting" else None
            if entry is not None:
                self.workspace.show_batch(entry, "")
