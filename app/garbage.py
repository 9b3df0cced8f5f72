"""Collects reference cycles on the GUI thread alone, and never those of the libraries that were loaded at the start."""

from __future__ import annotations

import gc
import time

from PySide6.QtCore import QObject, QTimer

_INTERVAL_MS = 500
_LONG_S = 0.02


class Garbage(QObject):
    """Takes the place of Python's own collector while it lives; `end` gives it back.

    That one runs on whichever thread happens to make an object: a widget that it destroys on another thread than the
    window's ends the program. And it walks over a quarter of a million objects of torch each time, for 0.13 seconds in
    which nothing else runs; `spare` takes those out.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._was_on, self._is_loaded = gc.isenabled(), False
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.timeout.connect(self._collect)
        self._timer.start()

    def spare(self) -> None:
        """Leave alone from now on what is loaded now; until then only young objects are looked through."""
        self._is_loaded = True
        gc.freeze()

    def end(self) -> None:
        """Let Python collect again as it did before."""
        self._timer.stop()
        gc.unfreeze()
        if self._was_on:
            gc.enable()

    def _collect(self) -> None:
        """The oldest generation that is due, by Python's own thresholds."""
        counts, thresholds = gc.get_count(), gc.get_threshold()
        due = [level for level in range(3 if self._is_loaded else 2) if counts[level] > thresholds[level]]
        if not due:
            return
        began = time.thread_time()
        gc.collect(max(due))
        if time.thread_time() - began > _LONG_S:
            gc.freeze()  # what a long look has left, modules that were loaded later, is there to stay
