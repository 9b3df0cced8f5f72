"""What is asked of the picture on the screen, and the answers: measured in the background, the newest wish first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from app.background import Background
from app.inspector import measuring
from app.inspector.measuring import Histograms, Measured
from engine.statistics import Line
from engine.tiles import Rect
from engine.worker import Job, Kind

if TYPE_CHECKING:
    from app.shown import Shown
    from app.workspace import Workspace

REST_MS = 50
"""From a wish to its answer's beginning: a region that is drawn changes with every move of the mouse."""

REFRESH_S = 0.5
"""Between two answers while passes arrive."""

_SHARE, _LONGEST_S = 2.0, 10.0
"""After an answer so many times as long as it took must pass before passes ask for another: they need the processor."""

RESIDUAL, NOISE, HISTOGRAM, PROFILE, REGION, PASSES = PAGES = (
    "residual",
    "noise",
    "histogram",
    "profile",
    "region",
    "passes",
)
"""The pages; each has one kind of question."""

OF_RESULT = frozenset({RESIDUAL, HISTOGRAM, PROFILE, REGION, PASSES})
"""Those whose answers depend on the result."""


@dataclass(eq=False)
class _Question:
    """What a page asks.

    Attributes:
        is_open: whether it waits to be answered, anew or for the first time.
        is_answered: whether what its page shows is an answer, though perhaps an old one.
        job: which answers it now.
        asked, since: when the answer that is being made was begun, and from when on another may be.
    """

    is_open: bool = True
    is_answered: bool = False
    job: Job | None = None
    asked: float = 0.0
    since: float = 0.0


class Inspector(QObject):
    """Answers for the pages that are visible. Every method belongs to the GUI thread; one worker measures.

    Each answer comes with whether a newer one is awaited. `None` is the answer where there is nothing to measure.
    """

    values_ready = Signal(object)
    """`Values` under the cursor, or None."""

    histogram_ready = Signal(object, bool)
    """`Histograms` of the region, or without one of the whole picture."""

    profile_ready = Signal(object, bool)
    """`Profiles` along the line."""

    region_ready = Signal(object, bool)
    """`Measured` of the region."""

    visible_ready = Signal(object, bool)
    """`Measured` of the visible part, for the page of the passes."""

    residual_ready = Signal(object, bool)
    """`Residual` of the region, or without one of the visible part."""

    curve_ready = Signal(object, bool)
    """`NoiseCurve` of the picture."""

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.region: Rect | None = None
        self.line: Line | None = None
        self.width = 1
        self.viewport: Rect | None = None
        self.gain = 1.0
        self.marks = False
        self.shift_free = False
        self.visible: frozenset[str] = frozenset()
        self.why: dict[str, str] = dict.fromkeys(PAGES, "")
        """Why there is no answer, one sentence where it is known."""
        self._cursor: tuple[int, int] | None = None
        # At most one, put in here and taken out by the worker in one step each.
        self._wanted: deque[tuple[Shown, int, int]] = deque(maxlen=1)
        self._pointing: Job | None = None
        self._counted: tuple[Shown, Histograms] | None = None
        self._is_closed = False
        self._questions: dict[str, _Question] = {page: _Question() for page in PAGES}
        self._background = Background("inspecting", self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._ask)
        self._answers = {
            RESIDUAL: self.residual_ready,
            NOISE: self.curve_ready,
            HISTOGRAM: self.histogram_ready,
            PROFILE: self.profile_ready,
            REGION: self.region_ready,
            PASSES: self.visible_ready,
        }
        workspace.current_changed.connect(self._begin_anew)
        workspace.picture_ready.connect(self._begin_anew)
        workspace.result_cleared.connect(lambda: self._renew(OF_RESULT))
        workspace.reference_changed.connect(lambda: self._renew((HISTOGRAM, PROFILE, REGION, PASSES)))
        workspace.noise_ready.connect(lambda: self._renew((RESIDUAL, NOISE, REGION, PASSES)))
        workspace.params_changed.connect(self._refresh)
        workspace.region_ready.connect(lambda *_: self._refresh())
        workspace.estimate_changed.connect(self._refresh)

    def close(self) -> None:
        """End the worker; nothing more is answered."""
        self.set_visible(())
        self._is_closed = True
        self.set_marks(False)
        self._timer.stop()
        self._background.close()

    # ---- Wishes ----

    def set_visible(self, pages: Iterable[str]) -> None:
        """Answer for these pages from now on; none while the inspector is hidden."""
        if self._is_closed:
            return
        self.visible = frozenset(pages)
        self._leave()
        self._point()
        self._soon()

    def set_cursor(self, place: tuple[int, int] | None) -> None:
        """The pixel that is pointed at; its values follow whatever page is visible, as long as one is."""
        if place != self._cursor:
            self._cursor = place
            self._point()

    def set_region(self, area: Rect | None) -> None:
        """The part of the picture that is of interest; it need not lie in it."""
        if area != self.region:
            self.region = area
            self._renew((RESIDUAL, HISTOGRAM, REGION))

    def set_line(self, line: Line | None) -> None:
        """Where the profile is taken."""
        if line != self.line:
            self.line = line
            self._renew((PROFILE,))

    def set_width(self, width: int) -> None:
        """Over how many lines side by side the profile is averaged."""
        if width != self.width:
            self.width = width
            self._renew((PROFILE,))

    def set_viewport(self, area: Rect | tuple[int, int, int, int] | None) -> None:
        """The visible part of the picture."""
        area = Rect(*area) if isinstance(area, tuple) else area
        if area != self.viewport:
            self.viewport = area
            self._renew((PASSES,) if self.region is not None else (PASSES, RESIDUAL))

    def set_gain(self, gain: float) -> None:
        """How strongly the residual is amplified where it is shown."""
        self.gain = gain

    def set_marks(self, on: bool) -> None:
        """Whether structure in the residual is marked, also while its page is hidden."""
        self.marks = on
        self._leave()
        self._soon()

    def set_shift_free(self, on: bool) -> None:
        """Whether the difference in brightness is taken out before comparing with the reference."""
        if on != self.shift_free:
            self.shift_free = on
            self._renew((REGION, PASSES))

    # ---- When to answer ----

    @property
    def _asking(self) -> frozenset[str]:
        """The pages whose answers are needed: the marks are in the view, whatever page is visible."""
        return self.visible | ({RESIDUAL} if self.marks and not self._is_closed else frozenset())

    def _leave(self) -> None:
        """Stop what is no longer needed."""
        for page, question in self._questions.items():
            if page not in self._asking and question.job is not None:
                self._drop(question)
                question.is_open = True

    def _begin_anew(self) -> None:
        """Another picture: nothing that was measured holds."""
        self._counted = None
        self._renew(PAGES)
        self._point()

    def _renew(self, pages: Iterable[str]) -> None:
        """What these pages show is of something else: their questions are asked again at once."""
        for page in pages:
            question = self._questions[page]
            self._drop(question)
            question.is_open, question.since = True, 0.0
            if question.is_answered:
                question.is_answered = False
                self._answers[page].emit(None, page in self._asking)
        self._soon()

    def _refresh(self) -> None:
        """The result goes on changing: what shows it is measured again, but not all the time."""
        for page in OF_RESULT:
            self._questions[page].is_open = True
        self._soon()

    def _drop(self, question: _Question) -> None:
        self._background.drop(question.job)
        question.job = None

    def _soon(self) -> None:
        # It may be active only to come back in some seconds.
        if self._asking and not 0 <= self._timer.remainingTime() <= REST_MS:
            self._timer.start(REST_MS)

    def _ask(self) -> None:
        """Begin what is asked and may be begun; come back for what must wait."""
        shown, now, wait_s = self.workspace.shown, time.monotonic(), None
        for page in PAGES:
            question = self._questions[page]
            if page not in self._asking or not question.is_open or question.job is not None:
                continue
            if now < question.since:
                wait_s = min(question.since - now, wait_s or question.since)
                continue
            question.is_open, self.why[page] = False, ""
            work = self._work(page, shown) if shown is not None else None
            if work is None:
                question.is_answered = False
                self._answers[page].emit(None, False)
                continue
            if not question.is_answered:
                self._answers[page].emit(None, True)
            question.asked = now
            question.job = self._background.submit(self._attending(work), self._handler(page))
        if wait_s is not None:
            self._timer.start(max(REST_MS, round(1000 * wait_s)))

    def _handler(self, page: str) -> Callable[[Kind, Any], None]:
        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS and isinstance(value, Measured):
                if not self._questions[page].is_answered:
                    self._answers[page].emit(value, True)
                return
            if kind is Kind.PROGRESS:
                self._pointed(value)
                return
            question, now = self._questions[page], time.monotonic()
            question.job = None
            question.since = now + min(max(REFRESH_S, _SHARE * (now - question.asked)), _LONGEST_S)
            if kind is Kind.DONE:
                question.is_answered = value is not None
                if page == HISTOGRAM and value is not None:
                    self._counted = value
                    value = value[1]
                    self._point()  # what is below it may have changed as well
                self._answers[page].emit(value, False)
            elif kind is Kind.FAILED:
                question.is_answered = False
                self.why[page] = str(value) if isinstance(value, ValueError) else ""
                self._answers[page].emit(None, False)
            if question.is_open:
                self._soon()

        return handle

    # ---- What to do ----

    def _work(self, page: str, shown: Shown) -> Callable[[], Iterator[Any]] | None:
        """What answers a page's question as it is now; None where there is nothing to ask."""
        image = shown.image
        region = None if self.region is None else measuring.inside(self.region, image)
        shift_free, known = self.shift_free, self.workspace.numbers.shift
        shift = None if known is None else np.array(known, np.float32)
        if page == RESIDUAL and shown.denoising is not None:
            visible = region or (self.viewport and measuring.inside(self.viewport, image)) or shown.whole
            return lambda: measuring.judge(shown, visible)
        if page == NOISE and shown.report is not None:
            report, proposal = shown.report, self.workspace.proposal
            return lambda: measuring.noise(image, report, proposal)
        if page == HISTOGRAM:
            area = region or shown.whole
            counted = self._known(shown, area)
            return lambda: _counted(shown, area, counted)
        if page == PROFILE and self.line is not None:
            line, width = self.line, self.width
            return lambda: measuring.trace(shown, line, width)
        if page == REGION and region is not None:
            return lambda: measuring.measure(shown, region, shift_free, shift)
        if page == PASSES and self.viewport is not None:
            visible = measuring.inside(self.viewport, image)
            return None if visible is None else lambda: measuring.follow(shown, visible, shift_free, shift)
        return None

    def _known(self, shown: Shown, area: Rect) -> Histograms | None:
        """What was counted of the same pixels before."""
        if self._counted is None:
            return None
        before, histograms = self._counted
        is_same = before.image is shown.image and before.reference is shown.reference
        return histograms if is_same and histograms.area == area else None

    # ---- The cursor ----

    def _point(self) -> None:
        shown = self.workspace.shown
        if self._cursor is None or shown is None or not self.visible:
            self._wanted.clear()
            self.values_ready.emit(None)
            return
        self._wanted.append((shown, *self._cursor))
        if self._pointing is None:
            self._pointing = self._background.submit(self._attending(_nothing), self._handle_pointing)

    def _handle_pointing(self, kind: Kind, value: Any) -> None:
        if kind is Kind.PROGRESS:
            self._pointed(value)
            return
        self._pointing = None
        if self._wanted:
            self._point()

    def _pointed(self, values: Any) -> None:
        if values is not None and self._cursor == (values.x, values.y):
            self.values_ready.emit(values)

    def _attending(self, work: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        """The same work; between its steps it looks after the cursor, which does not wait for it."""

        def steps() -> Iterator[Any]:
            inner = iter(work())
            while True:
                try:
                    wanted = self._wanted.pop()
                except IndexError:
                    yield None
                else:
                    yield measuring.values(*wanted)
                try:
                    part = next(inner)
                except StopIteration as end:
                    return end.value
                if part is not None:
                    yield part

        return steps


def _nothing() -> Iterator[Any]:
    yield from ()


def _counted(shown: Shown, area: Rect, known: Histograms | None) -> Generator[None, None, tuple[Shown, Histograms]]:
    return shown, (yield from measuring.count(shown, area, known))
