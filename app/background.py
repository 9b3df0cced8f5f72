"""A worker whose jobs report in the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from engine.worker import Job, Kind, Worker


class Background(QObject):
    """One thread for generators; what they report is handled in the GUI thread, one event after the other."""

    _event = Signal(int, object, object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = Worker(name)
        self._handlers: dict[int, Callable[[Kind, Any], None]] = {}
        # Queued: the worker emits from its thread, and an event is never handled inside the call that caused it.
        self._event.connect(self._on_event, Qt.ConnectionType.QueuedConnection)

    def submit(self, work: Callable[[], Iterator[Any]], handle: Callable[[Kind, Any], None]) -> Job:
        """Queue `work`; `handle` is called with what it reports."""
        job = self._worker.submit(work, self._report)
        self._handlers[job.id] = handle
        return job

    def drop(self, job: Job | None) -> None:
        """Cancel a job; nothing that it still reports is heard."""
        if job is not None:
            job.cancel()
            self._handlers.pop(job.id, None)

    def close(self) -> None:
        """Cancel everything and wait for the thread to end; nothing more is heard."""
        self._handlers.clear()
        self._worker.close()

    def _report(self, job: Job, kind: Kind, value: Any) -> None:
        """Called on the worker's thread."""
        self._event.emit(job.id, kind, value)

    def _on_event(self, job_id: int, kind: Kind, value: Any) -> None:
        handle = self._handlers.get(job_id)
        if handle is None:
            return  # a late event of a job that was dropped
        if kind is not Kind.PROGRESS:
            del self._handlers[job_id]
        handle(kind, value)
