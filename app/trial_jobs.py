"""What the compute worker runs for trials: the visible part of several results of one picture, by turns."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from app.display import Display
from app.jobs import Computing, Live, Numbers, Reference, Request, settled_passes
from engine.blend import Blend
from engine.metrics import decibels, squared_error
from engine.noise import NoiseReport
from engine.tiles import Rect

if TYPE_CHECKING:
    from engine.denoise import Model

_SLICE_S = 0.03
"""Time spent on bringing a result to the screen between two reports."""

_BAND = 256
"""Rows compared with the reference between two chances to stop."""

_EXPECTED = ValueError, OSError, MemoryError
"""What a user can cause: it stops one result and not the others."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One result that is wanted.

    Attributes:
        id: of the trial.
        place: of its pane; a result that moves to another one is brought to the screen again.
        request: what needs passes.
        passes: T; None for what the checkpoint or the method suggests.
        blend: how the result is mixed.
    """

    id: int
    place: int
    request: Request
    passes: int | None
    blend: Blend

    def same(self, other: Asked | None) -> bool:
        """Whether the other asks for the same, in the same place."""
        if other is None or self.request is not other.request:
            return False
        return (self.id, self.place, self.passes, self.blend) == (other.id, other.place, other.passes, other.blend)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is wanted now; replaced as a whole by the window, read by the job at each step.

    Attributes:
        viewport: the visible part of the picture, and all that is computed.
        marked: id of the one that counts for who measures what is on the screen.
        display: what of the results is shown, and how.
        shift_free: whether the difference in brightness from the reference, the mean of each channel over the visible
            part, is taken out before the PSNR.
    """

    asked: tuple[Asked, ...]
    viewport: Rect
    marked: int = 0
    reference: Reference | None = None
    report: NoiseReport | None = None
    display: Display = field(default_factory=Display)
    shift_free: bool = False

    @property
    def measure(self) -> tuple[Any, ...]:
        """What the numbers of a result depend on."""
        return self.viewport, self.reference, self.report, self.shift_free

    def same(self, other: Plan) -> bool:
        """Whether the other wants the same."""
        is_same = len(self.asked) == len(other.asked) and all(map(operator.is_, self.asked, other.asked))
        how = self.marked, self.display, self.measure
        return is_same and how == (other.marked, other.display, other.measure)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model is there, with the parameters that its checkpoint sets in place of the method's defaults."""

    asked: Asked
    suggested: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Painted:
    """(x, y, pixels (h, w, C) uint8) of a result."""

    asked: Asked
    regions: tuple[tuple[int, int, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Advanced:
    """The visible part has `made` of the passes that are wanted, everywhere."""

    asked: Asked
    made: int
    wanted: int


@dataclass(frozen=True, eq=False)
class Judged:
    """The visible part is done.

    Attributes:
        numbers: of that part.
        seconds: that its passes took, whichever result they were made for.
        passes: T, settled.
    """

    asked: Asked
    numbers: Numbers
    seconds: float
    passes: int


@dataclass(frozen=True, eq=False)
class Failed:
    """One result cannot be made; the others go on."""

    asked: Asked
    error: BaseException


@dataclass(eq=False)
class _Pane:
    """One result as far as it is.

    Attributes:
        live: what of it is on the screen; None before its model is loaded.
        passes: T, settled.
        judged: what its numbers were found for, see `Plan.measure`.
    """

    asked: Asked
    model: Model | None = None
    live: Live | None = None
    passes: int = 0
    judged: tuple[Any, ...] = ()
    has_failed: bool = False

    def is_done(self, area: Rect) -> bool:
        return self.live is not None and self.live.denoising.has(self.passes, area)

    def made(self, area: Rect) -> int:
        return 0 if self.live is None else self.live.denoising.passes_made(self.passes, area)

    def look(self, now: Plan) -> None:
        assert self.model is not None
        assert self.live is not None
        self.passes = settled_passes(self.model, self.asked.request, self.asked.passes)
        # Or a result with another T on the same passes would take this one's mean away.
        self.live.denoising.keep(self.passes)
        self.live.look_at(self.passes, self.asked.blend, now.reference, now.display)


class Panes:
    """The results that are on the screen side by side; everything in here happens on the compute worker's thread."""

    def __init__(self) -> None:
        self._panes: dict[int, _Pane] = {}
        self._runs = 0

    def run(self, computing: Computing, plan: Callable[[], Plan]) -> Iterator[Any]:
        """Make the visible part of all results; return the plan for which that is done.

        Each gets its first group of passes before any gets its second. What is made is shown before more is made.

        Args:
            computing: keeps models and passes, so that a result that is kept goes on from here.
            plan: called at each step.
        """
        if self._runs != computing.runs:
            # Passes were made meanwhile of which the panes know nothing.
            self._runs = computing.runs
            for pane in self._panes.values():
                if pane.live is not None:
                    pane.live.show_all()
        while True:
            now = plan()
            panes = self._follow(computing, now)
            area, pane = now.viewport, None
            stale = [pane for pane in panes if pane.live is not None and pane.live.is_stale(area)]
            finished = [pane for pane in panes if pane.is_done(area) and pane.judged != now.measure]
            waiting = [pane for pane in panes if not pane.is_done(area)]
            pane = next(iter(stale or finished), None) or min(waiting, key=lambda p: p.made(area), default=None)
            if pane is None:
                return now
            try:
                if pane in stale:
                    assert pane.live is not None
                    yield Painted(pane.asked, tuple(pane.live.paint(area, time.monotonic() + _SLICE_S)))
                elif pane in finished:
                    yield from self._judge(pane, now, plan)
                elif pane.live is None:
                    yield from self._open(pane, computing, now)
                else:
                    yield from self._advance(pane, now, plan)
            except _EXPECTED as error:
                pane.has_failed = True
                yield Failed(pane.asked, error)

    def _follow(self, computing: Computing, now: Plan) -> list[_Pane]:
        """Take the plan over; return what there is to do something for."""
        known, self._panes = self._panes, {}
        for asked in now.asked:
            pane = known.get(asked.id)
            if pane is None or pane.asked.request is not asked.request or pane.asked.place != asked.place:
                pane = _Pane(asked)
            elif pane.asked is not asked:
                pane.asked, pane.has_failed, pane.judged = asked, False, ()
            self._panes[asked.id] = pane
        computing.hold(frozenset(asked.request.key for asked in now.asked))
        panes = [pane for pane in self._panes.values() if not pane.has_failed]
        for pane in panes:
            if pane.live is not None:
                pane.look(now)
        marked = self._panes.get(now.marked)
        computing.show(None if marked is None else marked.live)
        return panes

    @staticmethod
    def _open(pane: _Pane, computing: Computing, now: Plan) -> Iterator[Any]:
        pane.model, live = computing.open(pane.asked.request)
        pane.live = live.twin()
        pane.look(now)
        yield Loaded(pane.asked, dict(pane.model.checkpoint.params))

    def _advance(self, pane: _Pane, now: Plan, plan: Callable[[], Plan]) -> Iterator[Any]:
        """One tile one group of passes further."""
        assert pane.live is not None
        denoising, began = pane.live.denoising, time.monotonic()
        # It goes on from what is there.
        step = next(denoising.run(pane.passes, lambda: plan().viewport), None)
        seconds = time.monotonic() - began
        for other in self._panes.values():
            if other.live is not None and other.live.denoising is denoising:
                if step is not None and step.passes:
                    other.live.advanced(step.tile, step.passes, seconds)
                if not other.is_done(now.viewport) or other is pane:
                    yield Advanced(other.asked, other.made(now.viewport), other.passes)

    def _judge(self, pane: _Pane, now: Plan, plan: Callable[[], Plan]) -> Generator[Any, None, None]:
        """Find the numbers of the visible part, unless something else is wanted meanwhile."""
        assert pane.live is not None
        assert pane.model is not None
        denoising, area = pane.live.denoising, now.viewport
        image = denoising.image
        is_whole = area == Rect(0, 0, image.width, image.height)
        seconds = pane.live.seconds(area, pane.passes, pane.model.method.group)
        if now.reference is None:
            estimate = denoising.estimate(pane.passes, pane.asked.blend, now.report, area)
            numbers = Numbers(estimate=estimate, is_whole=is_whole, passes=pane.passes)
        else:
            twin, peak = now.reference.image.pixels, now.reference.image.peak
            lacking, error, shift = np.zeros(image.channels), 0.0, None
            if now.shift_free:
                for band, pixels in self._bands(pane, area):
                    lacking += (twin[band.slices] - pixels).sum((0, 1), dtype=np.float64)
                    yield None
                    if plan() is not now:
                        return
                shift = (lacking / (area.width * area.height)).astype(np.float32)
            for band, pixels in self._bands(pane, area):
                error += squared_error(pixels, twin[band.slices], peak, shift=shift)
                yield None
                if plan() is not now:
                    return
            reached = decibels(error / (area.width * area.height * image.channels), peak)
            told = None if shift is None else tuple(shift.tolist())
            numbers = Numbers(psnr_db=reached, is_whole=is_whole, passes=pane.passes, shift=told)
        pane.judged = now.measure
        yield Judged(pane.asked, numbers, seconds, pane.passes)

    @staticmethod
    def _bands(pane: _Pane, area: Rect) -> Iterator[tuple[Rect, np.ndarray]]:
        """The result in that area, some rows at a time."""
        assert pane.live is not None
        for top in range(area.top, area.bottom, _BAND):
            band = Rect(area.left, top, area.right, min(top + _BAND, area.bottom))
            yield band, pane.live.denoising.blended(pane.passes, pane.asked.blend, band)
