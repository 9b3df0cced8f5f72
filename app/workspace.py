"""The one state that all widgets show and change: pictures, values, the running job and its numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from app import display, jobs, screen
from app.background import Background
from app.choice import Choice
from app.display import LAYERS, MOST_GAIN, Display
from app.jobs import (
    Catalog,
    Computing,
    Look,
    MethodInfo,
    Numbers,
    Oversize,
    Paging,
    Picture,
    Reference,
    Request,
    Running,
    Stage,
    Target,
    Update,
)
from app.settings import Settings, save_settings
from app.shown import Shown
from app.undo import Held, History, State
from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH, Values
from engine import paths
from engine.areas import Areas
from engine.develop import Develop
from engine.encode import denoised_path
from engine.image import Image
from engine.language import tr, within
from engine.noise import NoiseReport
from engine.pairs import find_reference
from engine.params import Spec
from engine.proposal import Proposal
from engine.tiles import Rect
from engine.worker import Job, Kind

if TYPE_CHECKING:
    from app.presets import Preset
    from app.wizard.training_run import TrainingRun
    from engine.checkpoint import Entry as CheckpointEntry

log = logging.getLogger(__name__)

REST_MS = 150
"""How long the values rest before a picture is computed anew, where a pass is not instant."""

INSTANT_S = 0.1
"""A pass over the visible region that took less restarts at once."""

_PAINTED_MS = 50
"""After the event loop began, a window has been painted for the first time."""

PAGE_REST_MS = 60
"""How long another page of a stack is asked for before it is read: a slider passes many."""

_OPEN_PICTURES = 2


@dataclass(eq=False)
class Entry:
    """One picture of the list.

    Attributes:
        id: never used twice.
        path: None for a picture from the clipboard, which `image` holds.
        state: "", queued, running, done or failed.
        note: what belongs to the state: a reason, or where it was saved.
        reference: chosen by hand.
        finds_reference: whether a clean twin is looked for by name.
        page: of a stack, the one that is shown; all else belongs to all of them.
        huge: whether it is opened however large it is, because the user said so.
        levels: what the screen shows as black and white, in the picture's units; None for those of its type.
    """

    id: int
    path: Path | None
    name: str
    values: Values
    state: str = ""
    note: str = ""
    thumbnail: np.ndarray | None = None
    image: Image | None = None
    reference: Path | None = None
    finds_reference: bool = True
    page: int = 0
    huge: bool = False
    levels: tuple[float, float] | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Of what is kept of the page that is shown."""
        return self.id, self.page


@dataclass(eq=False)
class Opened:
    """What was read and measured of one picture."""

    picture: Picture
    reference: Reference | None = None
    report: NoiseReport | None = None
    no_report: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether the noise is known, or is known to be unknowable."""
        return self.report is not None or bool(self.no_report)


@dataclass(frozen=True)
class Activity:
    """What is going on.

    Attributes:
        text: "" where nothing is.
        share: 0 to 1, None where it cannot be counted.
    """

    text: str = ""
    share: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class NotOpened:
    """Files that could not be opened, with their reasons, of how many."""

    failures: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    total: int = 0


class Workspace(QObject):
    """State and intentions. Every method belongs to the GUI thread; three workers do what takes time."""

    images_changed = Signal()
    """Entries came or went."""

    entry_changed = Signal(object)
    """Thumbnail or state of this entry."""

    current_changed = Signal()
    """Another picture is the current one; its pixels may not be read yet."""

    picture_ready = Signal()
    """The current picture's pixels are there."""

    too_large = Signal(object, object)
    """An entry, which waits for `open_huge` or `decline_huge`, and the `Oversize` that says what opening it takes."""

    page_changed = Signal()
    """Another page of the current stack is asked for; its pixels follow."""

    models_changed = Signal()
    params_changed = Signal()
    noise_ready = Signal()
    reference_changed = Signal()

    region_ready = Signal(object, int, int)
    """(h, w, C) uint8 of the result, and its column and row."""

    before_changed = Signal()
    """The same pixels of the noisy picture are shown with other black and white points."""

    display_changed = Signal()
    """Another layer, gain, black or white is shown."""

    viewport_changed = Signal()
    """Another part of the picture is visible."""

    result_cleared = Signal()
    """What was shown of a result belongs to other values; what there is of the new one follows."""

    progress = Signal()
    estimate_changed = Signal()
    state_changed = Signal()
    settings_changed = Signal()

    not_opened = Signal(object)
    """`NotOpened`, all failures since the list was last dismissed."""

    failed = Signal(str, str)
    """One sentence, and details where it is a defect of ours."""

    saved = Signal(object)
    """The path of a result."""

    imported = Signal(str)
    """The name of a model that was brought in and chosen."""

    training_changed = Signal()
    """Another training is the one that runs, or ran last."""

    copied = Signal(object)
    """(H, W, C) uint8 of the whole result."""

    convention_needed = Signal(object, object)
    """A file of others and the `ConventionNeeded` that says what must be known to run it."""

    def __init__(self, settings: Settings | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.settings = settings or Settings()
        self.catalog = Catalog()
        self.entries: list[Entry] = []
        self.current: Entry | None = None
        self.opened: Opened | None = None
        self.numbers = Numbers()
        self.running: Running | None = None
        self.display = Display()
        self.shift_free = False
        self._gain_by_hand: float | None = None
        self.activity = Activity()
        self.failures = NotOpened()
        self.training: TrainingRun | None = None
        self.is_closed = False
        self._was_refreshed = False

        self._ids = itertools.count(1)
        self._pictures: OrderedDict[tuple[int, int], Opened] = OrderedDict()
        self._look = Look()
        self._request: Request | None = None
        self._is_wanted = self._is_done = self._is_first = self._is_paused = False
        self._must_repaint = False
        self._shows_result = self._is_outdated = False
        self._done_passes: int | None = None
        self._suggested: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._visible_pass_s: float | None = None
        self._copied: tuple[int, Values] | None = None
        self._new_values = self._values_to_start_with()
        self.history = History(self._restore, self)

        self._live_job: Job | None = None
        self._read_job: Job | None = None
        self._measure_job: Job | None = None
        self._thumbnail_job: Job | None = None
        self._save_job: Job | None = None
        self._levels_job: Job | None = None
        self._wants_thumbnail: OrderedDict[int, Entry] = OrderedDict()
        self._batched: set[int] = set()

        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._start)
        self._page_rest = QTimer(self)
        self._page_rest.setSingleShot(True)
        self._page_rest.setInterval(PAGE_REST_MS)
        self._page_rest.timeout.connect(self._open_page)
        self._settings_timer = QTimer(self)
        self._settings_timer.setSingleShot(True)
        self._settings_timer.setInterval(1000)
        self._settings_timer.timeout.connect(self.write_settings)

        self._computing = jobs.Computing(self.settings.memory_mb << 20)
        try:
            screen.use_profile(self.settings.screen_profile)
        except ValueError as error:
            sentence = str(error)
            QTimer.singleShot(0, self, lambda: self.failed.emit(sentence, ""))
        # Measuring has its own: it takes seconds in one piece, for which no picture that is to be shown should wait.
        self._io, self._measuring, self._compute = (
            Background(name, self) for name in ("reading", "measuring", "computing")
        )
        # It imports torch, which holds the interpreter for seconds: a window is painted and takes keys before.
        QTimer.singleShot(0, self, lambda: QTimer.singleShot(_PAINTED_MS, self, self._refresh_first))

    # ---- Workers ----

    def _drop(self, job: Job | None) -> None:
        """Cancel a job; nothing that it still reports is heard."""
        for background in (self._io, self._measuring, self._compute):
            background.drop(job)

    def _complain(self, error: BaseException, about: str = "") -> None:
        """Tell the user: what they can cause as its sentence, a defect with its traceback."""
        if isinstance(error, ValueError | OSError | MemoryError):
            self.failed.emit(about + (str(error) or tr("There is not enough memory.")), "")
            return
        details = "".join(traceback.format_exception(error))
        self.failed.emit(
            tr("{about}Something went wrong that should not: {name}: {error}").format(
                about=about, name=type(error).__name__, error=error
            ),
            details,
        )

    def close(self) -> None:
        """Stop everything and wait for the workers; the settings are written."""
        if self.is_closed:
            return
        self.is_closed = True
        self._rest.stop()
        self._page_rest.stop()
        for job in (self._live_job, self._save_job, self._read_job, self._thumbnail_job):
            self._drop(job)
        self._io.close()
        self._measuring.close()
        self._compute.close()
        self.history.clear()  # or it would tell of its steps while it is destroyed
        self.write_settings()

    # ---- Settings ----

    def change_settings(self, **changes: Any) -> None:
        """Take over preferences; they are written a second later."""
        before, self.settings = self.settings, dataclasses.replace(self.settings, **changes)
        if self.settings == before:
            return
        self._settings_timer.start()
        self.settings_changed.emit()
        if (before.seed, before.device) != (self.settings.seed, self.settings.device):
            self._refresh()
        self._computing.budget = self.settings.memory_mb << 20
        if before.screen_profile != self.settings.screen_profile:
            self._change_screen()

    def _change_screen(self) -> None:
        """Bring everything that is shown to a screen of another profile."""
        try:
            screen.use_profile(self.settings.screen_profile)
        except ValueError as error:
            self._complain(error)
        self._wants_thumbnail.update({entry.id: entry for entry in self.entries if entry.path is not None})
        entry, opened = self.current, self.opened
        self._pictures.clear()
        if entry is None or opened is None:
            self._next_thumbnail()
            return
        self._pictures[entry.id, opened.picture.image.page] = opened

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.FAILED:
                self._complain(value)
            elif kind is Kind.DONE:
                opened.picture = value
                if opened is self.opened:
                    self._stop_live()
                    self._clear_result()
                    self.picture_ready.emit()
                    self._refresh()
            if kind is not Kind.PROGRESS:
                self._next_thumbnail()

        self._io.submit(lambda: jobs.show(opened.picture.image, entry.levels), handle)

    def write_settings(self) -> None:
        """Write the settings now."""
        self._settings_timer.stop()
        try:
            save_settings(self.settings, paths.settings_file())
        except OSError as error:
            log.warning("The settings cannot be written: %s", error)

    def _values_to_start_with(self) -> Values:
        settings = self.settings
        # A model without its method is no automatic choice any more.
        model = settings.model if settings.method else ""
        return Values(
            settings.method,
            model,
            settings.params,
            settings.strength,
            settings.guard,
            luminance=settings.luminance,
            chroma=settings.chroma,
        )

    # ---- The list ----

    def open(self, given: Iterable[str | Path]) -> None:
        """Add files and folders to the list and show the first of them; what cannot be opened is listed."""
        asked = [Path(path).absolute() for path in given]
        if not asked:
            return

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                self._add(asked, *value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._io.submit(lambda: jobs.find(asked), handle)

    def _add(self, asked: Sequence[Path], found: Sequence[Path], missing: Sequence[Path]) -> None:
        settings = self.settings
        for path in reversed(asked):
            if path not in missing:
                settings = settings.with_recent(path)
        self.change_settings(recent=settings.recent)
        known = {entry.path: entry for entry in self.entries}
        if not self.failures.failures:
            self.failures = NotOpened()
        self._count_failures(len(found) + len(missing))
        for path in missing:
            self._fail_to_open(path.name, tr("{path} does not exist").format(path=path))
        empty = [path for path in asked if path.is_dir() and not any(path in other.parents for other in found)]
        for path in empty:
            self._count_failures(1)
            self._fail_to_open(path.name, tr("There is no picture in this folder"))
        new = [path for path in found if path not in known]
        added = [Entry(next(self._ids), path, path.name, self._new_values) for path in new]
        self.entries += added
        self._wants_thumbnail.update({entry.id: entry for entry in added})
        if added:
            self.images_changed.emit()
        first = added[0] if added else next((known[path] for path in found), None)
        if first is not None:
            self.select(first)
        self._next_thumbnail()

    def add_image(self, image: Image, name: str) -> None:
        """Add a picture that is no file, from the clipboard, and show it."""
        entry = Entry(next(self._ids), None, name, self._new_values, image=image)
        self.entries.append(entry)
        self.images_changed.emit()
        self.select(entry)

    def _count_failures(self, more: int) -> None:
        self.failures = dataclasses.replace(self.failures, total=self.failures.total + more)

    def _fail_to_open(self, name: str, reason: str) -> None:
        log.warning("%s could not be opened: %s", name, reason)
        failures = (*self.failures.failures, (name, reason))
        self.failures = dataclasses.replace(self.failures, failures=failures)
        self.not_opened.emit(self.failures)

    def dismiss_failures(self) -> None:
        """Start a new list of what could not be opened."""
        self.failures = NotOpened()

    def remove(self, entries: Sequence[Entry]) -> None:
        """Take pictures out of the list; the files stay."""
        gone = set(map(id, entries))
        row = self.entries.index(self.current) if self.current in self.entries else 0
        self.entries = [entry for entry in self.entries if id(entry) not in gone]
        for entry in entries:
            for key in [key for key in self._pictures if key[0] == entry.id]:
                del self._pictures[key]
            self._wants_thumbnail.pop(entry.id, None)
            self._compute.submit(lambda entry=entry: self._computing.forget(entry.id), _ignore)
        self.history.forget(entry.id for entry in entries)
        self.images_changed.emit()
        if self.current is not None and id(self.current) in gone:
            left = self.entries[: row + 1]
            self.select(left[-1] if left else None)

    def select(self, entry: Entry | None) -> None:
        """Make a picture the current one."""
        if entry is self.current and (entry is None or self.opened is not None or self._read_job is not None):
            return
        self._page_rest.stop()
        self._leave()
        self._drop(self._levels_job)
        self._levels_job = None
        self.current, self.opened = entry, None
        self.display = dataclasses.replace(self.display, levels=entry.levels if entry is not None else None)
        self.activity = Activity()
        self._is_first, self._visible_pass_s = True, None
        self._is_wanted = self.settings.denoise_on_open
        self._look = self._fresh_look()
        self.current_changed.emit()
        self.params_changed.emit()
        self.estimate_changed.emit()
        self.reference_changed.emit()
        if entry is not None:
            self._wants_thumbnail.pop(entry.id, None)
            self._show_entry(entry)
        self.state_changed.emit()
        self.progress.emit()

    def _leave(self) -> None:
        """Stop what is under way for the picture that is shown; what was computed of it is no longer the result."""
        self._stop_live()
        self._drop(self._read_job)
        self._drop(self._measure_job)
        self._read_job = self._measure_job = self._request = None
        if self.current is not None and self.current.state == "running":
            self._set_state(self.current, "")
        self.numbers = Numbers()
        self._is_done = self._shows_result = self._is_outdated = False
        self._must_repaint = True

    def _show_entry(self, entry: Entry) -> None:
        """Show what is kept of a picture, or read it."""
        cached = self._pictures.pop(entry.key, None)
        if cached is not None and cached.is_measured and self._is_developed(cached, entry):
            self._take(entry, cached)
            self.picture_ready.emit()
            self.noise_ready.emit()
            self.reference_changed.emit()
            self._change_display(gain=self._gain(self.display.layer))
            self._show_levels()
            self._refresh()
        else:
            self._read(entry, entry.image if cached is None else cached.picture.image)

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (-1) picture."""
        if self.current in self.entries:
            row = self.entries.index(self.current) + by
            if 0 <= row < len(self.entries):
                self.select(self.entries[row])

    def _read(self, entry: Entry, image: Image | None) -> None:
        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                self._on_read(entry, value)
                return
            self._read_job = None
            if kind is Kind.FAILED and self.opened is None:
                self._give_up(entry, value)
            elif kind is Kind.FAILED:
                self._complain(value)
                self._stay_on_page()
            self._next_thumbnail()
            self.state_changed.emit()

        path, page, develop, huge, levels = entry.path, entry.page, entry.values.develop, entry.huge, entry.levels
        self._read_job = self._io.submit(
            lambda: jobs.read(path, image, entry.reference, entry.finds_reference, develop, page, huge, levels),
            handle,
        )

    def open_huge(self, entry: Entry) -> None:
        """Open a picture however large it is; asked once, it holds for the file."""
        entry.huge = True
        if entry is self.current:
            self._drop(self._read_job)
            self._read(entry, None)
            self.state_changed.emit()

    def decline_huge(self, entry: Entry) -> None:
        """Do not: the picture leaves the list, or of a stack the page before stays."""
        if entry is self.current and self._awaits_page:
            self._stay_on_page()
        elif entry in self.entries:
            self.remove([entry])

    @staticmethod
    def _is_developed(opened: Opened, entry: Entry) -> bool:
        """Whether a picture is shown as its values say; a RAW file may have been developed otherwise."""
        image = opened.picture.image
        return not image.is_raw or image.develop == entry.values.develop

    def _measure(self, opened: Opened) -> None:
        image = opened.picture.image

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                if not self.is_running:
                    self._show_activity(Activity(value.text))
                return
            self._measure_job = None
            if kind is Kind.DONE:
                opened.report = value if isinstance(value, NoiseReport) else None
                opened.no_report = "" if opened.report is not None else str(value)
                self.noise_ready.emit()
                self.params_changed.emit()
                self._change_look(report=opened.report)
                self._change_display(gain=self._gain(self.display.layer))
                self._refresh()
            elif kind is Kind.FAILED:
                self._complain(value)
            if not self.is_running:
                self._show_activity(Activity())
            self.state_changed.emit()

        self._measure_job = self._measuring.submit(lambda: jobs.measure(image), handle)

    def _on_read(self, entry: Entry, value: Any) -> None:
        if isinstance(value, Stage):
            self._show_activity(Activity(value.text))
        elif isinstance(value, Picture):
            opened = Opened(value)
            self._take(entry, opened)
            self._make_room()
            self._show_activity(Activity())
            log.info("The window shows %s", entry.name)
            self.picture_ready.emit()
            self.params_changed.emit()
            self.state_changed.emit()
            self._show_levels()
            self._measure(opened)
            self._refresh()
        elif isinstance(value, Oversize):
            self._show_activity(Activity())
            self.too_large.emit(entry, value)
        elif isinstance(value, Reference) and self.opened is not None:
            self.opened.reference = value
            self._change_look(reference=value)
            self.reference_changed.emit()
            self.estimate_changed.emit()
            self._refresh()
        elif isinstance(value, np.ndarray):
            entry.thumbnail = value
            self.entry_changed.emit(entry)
        elif isinstance(value, BaseException):
            self._complain(value)

    # ---- Pages ----

    def set_page(self, page: int) -> None:
        """Show another page of the current stack, from 0; what is set holds for all of them."""
        entry, opened = self.current, self.opened
        if entry is None or opened is None or page == entry.page or not 0 <= page < opened.picture.image.pages:
            return
        self._leave()
        self._show_activity(Activity())
        if entry.thumbnail is None and entry.path is not None:
            self._wants_thumbnail[entry.id] = entry  # it would have come with what was being read
        entry.page = page
        self.page_changed.emit()
        self.state_changed.emit()
        self._page_rest.start()

    @property
    def _awaits_page(self) -> bool:
        """Whether another page is shown than is asked for."""
        entry, opened = self.current, self.opened
        return entry is not None and opened is not None and opened.picture.image.page != entry.page

    def _open_page(self) -> None:
        entry = self.current
        if entry is None:
            return
        self._is_first = True
        self._is_wanted = self._is_wanted or self.settings.denoise_on_open
        self._look = self._fresh_look()
        self._show_entry(entry)
        self.estimate_changed.emit()
        self.state_changed.emit()

    def _take(self, entry: Entry, opened: Opened) -> None:
        """Make this what is shown of the current picture; of the page before it, nothing stays."""
        is_other_page = self._awaits_page
        self.opened = self._pictures[entry.key] = opened
        if is_other_page:
            self.result_cleared.emit()
            self.reference_changed.emit()

    def _stay_on_page(self) -> None:
        """The page that was asked for cannot be read: the one that is shown stays."""
        entry, opened = self.current, self.opened
        if entry is not None and opened is not None and self._awaits_page:
            entry.page = opened.picture.image.page
            self._show_activity(Activity())
            self.page_changed.emit()
            self._clear_result()
            self._refresh()

    def _make_room(self) -> None:
        """Let go of pictures not seen for longest, so that those kept fit into the memory for results."""
        budget = self.settings.memory_mb << 20
        while len(self._pictures) > 1:
            size = sum(opened.picture.image.pixels.nbytes for opened in self._pictures.values())
            if len(self._pictures) <= _OPEN_PICTURES and size <= budget:
                return
            self._pictures.popitem(last=False)

    def _give_up(self, entry: Entry, error: BaseException) -> None:
        """A file turned out not to be a picture: it leaves the list and is named with its reason."""
        if not isinstance(error, ValueError | OSError | MemoryError):
            self._complain(error)
        self._fail_to_open(entry.name, str(error) or type(error).__name__)
        if entry in self.entries:
            self.remove([entry])

    def wish_thumbnails(self, entries: Sequence[Entry]) -> None:
        """Read these next: they are in sight."""
        for entry in reversed(entries):
            if entry.id in self._wants_thumbnail:
                self._wants_thumbnail.move_to_end(entry.id, last=False)

    def _next_thumbnail(self) -> None:
        """One at a time, so that a picture that is to be shown waits for at most one."""
        if self._thumbnail_job is not None or self._read_job is not None or not self._wants_thumbnail:
            return
        _, entry = self._wants_thumbnail.popitem(last=False)
        path = entry.path
        if path is None:
            return

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                return
            self._thumbnail_job = None
            if kind is Kind.FAILED:
                self._give_up(entry, value)
            elif value is not None:
                entry.thumbnail = value
                self.entry_changed.emit(entry)
            self._next_thumbnail()

        self._thumbnail_job = self._io.submit(lambda: jobs.read_thumbnail(path), handle)

    def show_batch(self, entry: Entry, state: str, note: str = "") -> None:
        """Say how far a batch is with a picture; until it is over, what the screen shows of it says nothing."""
        self._batched.discard(entry.id)
        self._set_state(entry, state, note)
        if state in ("queued", "running"):
            self._batched.add(entry.id)

    def _set_state(self, entry: Entry, state: str, note: str = "") -> None:
        if entry.id not in self._batched and (entry.state, entry.note) != (state, note):
            entry.state, entry.note = state, note
            self.entry_changed.emit(entry)

    # ---- Values ----

    @property
    def values(self) -> Values:
        """Of the current picture, else those the next one starts with."""
        return self.current.values if self.current is not None else self._new_values

    def choice_of(self, values: Values) -> Choice:
        """What values come to for the current picture."""
        opened = self.opened
        if opened is None:
            return Choice(values, self.catalog, known=self._suggested)
        return Choice(
            values, self.catalog, opened.picture.image, opened.report, opened.is_measured, known=self._suggested
        )

    @property
    def choice(self) -> Choice:
        """What the values in force come to."""
        return self.choice_of(self.values)

    @property
    def proposal(self) -> Proposal | None:
        """What is proposed for the current picture; before its noise is known, for pictures of its kind."""
        return self.choice.proposal

    @property
    def _method_id(self) -> str:
        return self.choice.method_id

    @property
    def method(self) -> MethodInfo | None:
        """The method in force, chosen or proposed; None before the methods are known."""
        return self.choice.method

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The parameters of the method in force."""
        return self.choice.specs

    @property
    def by_hand(self) -> Mapping[str, Any]:
        """What was set by hand for the method in force."""
        return self.choice.by_hand

    @property
    def proposed(self) -> Mapping[str, Any]:
        """What the automatic choice sets in place of the checkpoint's and the method's defaults."""
        return self.choice.proposed

    @property
    def suggested(self) -> Mapping[str, Any]:
        """What the checkpoint in force sets in place of the method's defaults, once it is loaded."""
        return self.choice.suggested

    def learn(self, method: str, model: str, suggested: Mapping[str, Any]) -> None:
        """Take over what a checkpoint that was loaded sets in place of the method's defaults."""
        if self._suggested.get((method, model)) != suggested:
            self._suggested[method, model] = suggested
            self.params_changed.emit()

    @property
    def settled(self) -> Mapping[str, Any]:
        """All parameters as the last run had them: what an automatic one was."""
        running, entry = self.running, self.model_in_force()
        return running.settled if running is not None and entry is not None and running.model == entry.name else {}

    def value(self, name: str) -> Any:
        """The value in force; None for automatic."""
        return self.choice.value(name)

    @property
    def sigma(self) -> float | None:
        """The noise level in force, in the trained range; None while it is not known."""
        return self.choice.sigma

    @property
    def sigma_is_automatic(self) -> bool:
        """Whether the noise level was measured."""
        return self.choice.sigma_by_hand is None

    @property
    def is_left_alone(self) -> bool:
        """Whether nothing is denoised, because no noise was found."""
        return self.sigma == 0

    def set_value(self, name: str, value: float | int | str | None) -> None:
        """Set one parameter of the method in force; None is automatic."""
        own = self.values.params.get(self._method_id, {})
        if own.get(name, _Missing) != value:
            self._change_params({**own, name: value}, self._label(name))

    def reset_value(self, name: str) -> None:
        """Give one parameter the checkpoint's or the method's default again."""
        own = self.values.params.get(self._method_id, {})
        if name in own:
            kept = {other: value for other, value in own.items() if other != name}
            self._change_params(kept, tr("reset of {label}").format(label=self._label(name)), merges=False)

    def _label(self, name: str) -> str:
        """What a parameter of the method in force is called within a sentence."""
        return within(next((spec.label for spec in self.specs if spec.name == name), name))

    def _change_params(self, own: Mapping[str, Any], text: str, merges: bool = True) -> None:
        if self._method_id:
            self._change_values(text, merges, params={**self.values.params, self._method_id: own})

    def set_strength(self, strength: float) -> None:
        """0 leaves the picture, 1 denoises fully, up to 1.2."""
        if strength != self.values.strength:
            self._change_values(within(STRENGTH.label), strength=strength)

    def set_luminance(self, luminance: float) -> None:
        """Factor on the strength for the brightness, 0 to 1.2."""
        if luminance != self.values.luminance:
            self._change_values(within(LUMINANCE.label), luminance=luminance)

    def set_chroma(self, chroma: float) -> None:
        """Factor on the strength for the colours, 0 to 1.2."""
        if chroma != self.values.chroma:
            self._change_values(within(CHROMA.label), chroma=chroma)

    def set_areas(self, areas: Areas, merges: bool = False) -> None:
        """Where the strength is another one; a step of its own, unless it merges with the last one, as of a slider."""
        if areas != self.values.areas:
            self._change_values(tr("areas"), merges, areas=areas)

    def set_guard(self, guard: float) -> None:
        """Kappa of the detail guard; 0 is off."""
        if guard != self.values.guard:
            self._change_values(within(GUARD.label), guard=guard)

    def change_develop(self, **changes: Any) -> None:
        """Develop the current RAW picture otherwise: white, exposure, curve or domain; DevelopError for nonsense."""
        develop = dataclasses.replace(self.values.develop, **changes)
        if develop != self.values.develop:
            self._change_values(tr("development"), develop=develop)

    def set_method(self, method: str) -> None:
        """Choose a method, "" for what is proposed; its parameters are those it had last.

        As with a camera's automatic exposure either choice holds until the other is made: automatic goes by the noise
        of each picture, and a method (or a model, see `set_model`) chosen by hand is taken for the pictures opened
        next, whatever their noise.
        """
        if method != self.values.method:
            self._change_values(tr("method"), merges=False, method=method, model="")

    def set_model(self, model: str) -> None:
        """Choose a checkpoint by name, "" for the one that leads; a method that cannot run it makes way.

        With it its method is chosen too: a checkpoint by name says more than the automatic choice.
        """
        if model == self.values.model:
            return
        if not model:
            self._change_values(tr("model"), merges=False, model="")
            return
        entry = next((entry for entry in self.catalog.models if entry.name == model), None)
        if entry is not None:
            runs = self.method is not None and model in self.method.runs
            method = self._method_id if runs else entry.method
            self._change_values(tr("model"), merges=False, method=method, model=model)

    @property
    def can_paste_values(self) -> bool:
        """Whether settings were copied."""
        return self._copied is not None

    def copy_values(self) -> None:
        """Keep the current picture's settings for `paste_values`."""
        if self.current is not None:
            self._copied = self.current.id, self.values
            self.state_changed.emit()

    def paste_values(self, entries: Sequence[Entry]) -> None:
        """Give the kept settings to pictures, as one step; noise level and areas only to the one they are of."""
        if self._copied is None:
            return
        source, copied = self._copied
        others = copied.for_others()
        given = {entry: copied if entry.id == source else others.onto(entry.values) for entry in entries}
        self._give_values(tr("paste of settings"), given)

    def apply_preset(self, preset: Preset, entries: Sequence[Entry]) -> None:
        """Give a preset's settings to pictures, as one step; without any, those opened next start with them.

        Where the preset holds no noise level, the ones set by hand stay.
        """
        text = tr("preset {name}").format(name=preset.name)
        if entries:
            self._give_values(text, {entry: preset.values.onto(entry.values) for entry in entries})
        elif self.current is None:
            self._change_values(text, merges=False, **vars(preset.values))

    def give_values(self, text: str, values: Values) -> None:
        """Give the current picture these values, as one step of that name."""
        if self.current is not None:
            self._give_values(text, {self.current: values})

    def _give_values(self, text: str, given: Mapping[Entry, Values]) -> None:
        with self._step(text, given, merges=False):
            for entry, values in given.items():
                if entry is not self.current and entry.values != values:
                    entry.values = values
                    self._set_state(entry, "")
            if self.current is not None and self.current in given:
                self._take_values(given[self.current])

    def _change_values(self, text: str = "", merges: bool = True, **changes: Any) -> None:
        """Change fields of the current picture's values, as a step of that name or merged into the last one."""
        with self._step(text or " and ".join(changes), [self.current] if self.current is not None else [], merges):
            self._take_values(dataclasses.replace(self.values, **changes))

    def _take_values(self, values: Values) -> None:
        self._new_values = values
        if self.current is not None:
            self.current.values = values
        # A noise level belongs to its picture: the next one is measured again.
        method = self._method_id
        own = {name: value for name, value in values.params.get(method, {}).items() if name != "sigma"}
        kept = {**self.settings.params, method: own} if method else self.settings.params
        # So do areas, white balance and exposure.
        develop = Develop(curve=values.develop.curve, domain=values.develop.domain)
        self._new_values = dataclasses.replace(values, params=kept, develop=develop, areas=Areas())
        self._keep_new_values()
        self._follow_values()

    def _keep_new_values(self) -> None:
        new = self._new_values
        self.change_settings(
            method=new.method,
            model=new.model,
            params=new.params,
            strength=new.strength,
            guard=new.guard,
            luminance=new.luminance,
            chroma=new.chroma,
        )

    def _follow_values(self, at_once: bool = False) -> None:
        """Show and compute what the current picture's values ask for."""
        self._change_look(passes=self._passes, blend=self.values.blend)
        self.params_changed.emit()
        if self.current is not None and self.opened is not None and not self._is_developed(self.opened, self.current):
            self._develop(self.current, self.opened)
        else:
            self._refresh(at_once)

    def _develop(self, entry: Entry, opened: Opened) -> None:
        """Develop a RAW picture as its values say now; what was computed is of another picture then."""
        was_shown = self._shows_result
        self._leave()
        self._shows_result = was_shown  # until the new one takes its place, or none is made
        self._read(entry, opened.picture.image)
        self.estimate_changed.emit()
        self.state_changed.emit()

    # ---- Undo ----

    def undo(self) -> None:
        """Take the last change of a setting back; a picture that it is about is shown, unless one of them is."""
        self.history.back()

    def redo(self) -> None:
        """Make the change again that was undone last."""
        self.history.forward()

    @contextlib.contextmanager
    def _step(self, text: str, entries: Iterable[Entry], merges: bool = True) -> Iterator[None]:
        """What is changed inside can be undone under this name."""
        entries = list(entries)
        before = self._state(entries)
        yield
        self.history.keep(text, before, self._state(entries), merges)

    def _state(self, entries: Sequence[Entry]) -> State:
        return State(
            {entry.id: Held(entry.values, entry.reference, entry.finds_reference) for entry in entries},
            self._new_values,
        )

    def _restore(self, state: State) -> None:
        """Bring values and references back; what was computed with them is shown where it is still kept."""
        self._new_values = state.start
        self._keep_new_values()
        entries = [entry for entry in self.entries if entry.id in state.pictures]
        other_reference = set()
        for entry in entries:
            held = state.pictures[entry.id]
            if (entry.reference, entry.finds_reference) != (held.reference, held.finds_reference):
                entry.reference, entry.finds_reference = held.reference, held.finds_reference
                other_reference.add(entry)
            if entry.values != held.values:
                entry.values = held.values
                if entry is not self.current:
                    self._set_state(entry, "")
        if entries and self.current not in entries:
            self.select(entries[0])
        else:
            self._follow_values(at_once=True)
        if self.current in other_reference:
            self._find_reference()

    # ---- What is shown ----

    @property
    def shown(self) -> Shown | None:
        """What is on the screen, to be measured; None without a picture."""
        if self.opened is None:
            return None
        image, live = self.opened.picture.image, self._computing.on_screen
        reference = self.reference.image if self.reference is not None else None
        is_shown = self._shows_result or self._is_paused
        if live is None or live.denoising.image is not image or not is_shown:
            return Shown(image, self.opened.report, reference)
        return Shown(image, self.opened.report, reference, live.denoising, live.passes, self.values.blend)

    def set_layer(self, layer: str) -> None:
        """Show one of `display.LAYERS` in the place of the result."""
        if layer not in LAYERS:
            raise ValueError(f"What is shown is one of {', '.join(LAYERS)}, not {layer!r}")
        self._change_display(layer=layer, gain=self._gain(layer))

    def set_gain(self, gain: float | None) -> None:
        """Show what was removed, and the spread, so many times larger, 1 to 64; None goes by the noise."""
        self._gain_by_hand = None if gain is None else min(MOST_GAIN, max(1.0, gain))
        self._change_display(gain=self._gain(self.display.layer))

    def _gain(self, layer: str) -> float:
        """By hand, or as much as shows the noise of the picture without clipping much of it."""
        if self._gain_by_hand is not None:
            return self._gain_by_hand
        sigma, report = self.sigma, self.opened.report if self.opened is not None else None
        if layer == "removed" and report is not None and report.sigma and sigma:
            # What is removed is the noise itself; where it correlates, the level that is told is several times that.
            sigma = min(sigma, report.sigma)
        return display.usual_gain(layer, sigma) if sigma else self.display.gain

    def set_shift_free(self, on: bool) -> None:
        """Take the difference in brightness from the reference out of PSNR and SSIM, or leave it in."""
        if on != self.shift_free:
            self.shift_free = on
            self._change_look(shift_free=on)
            self.estimate_changed.emit()
            self._refresh()

    def set_levels(self, levels: tuple[float, float] | None) -> None:
        """Show these values of the current picture as black and white, None for those of its type."""
        entry = self.current
        if entry is None or levels == entry.levels:
            return
        entry.levels = levels
        self._change_display(levels=levels)
        self._show_levels()

    def _show_levels(self) -> None:
        """Bring the noisy picture to the screen with its black and white, unless it is; each page is on its own."""
        entry, opened = self.current, self.opened
        self._drop(self._levels_job)
        self._levels_job = None
        if entry is not None and opened is not None and opened.picture.levels != entry.levels:
            image, levels = opened.picture.image, entry.levels
            self._levels_job = self._io.submit(lambda: jobs.show(image, levels), self._on_levels)

    def _on_levels(self, kind: Kind, value: Any) -> None:
        if kind is Kind.PROGRESS:
            return
        self._levels_job = None
        if kind is Kind.FAILED:
            self._complain(value)
        elif kind is Kind.DONE and self.opened is not None and self.opened.picture.image is value.image:
            self.opened.picture = value
            self.before_changed.emit()

    def _change_display(self, **changes: Any) -> None:
        changed = dataclasses.replace(self.display, **changes)
        if changed != self.display:
            self.display = changed
            self._change_look(display=changed)
            self.display_changed.emit()
            self._refresh()

    # ---- Reference ----

    @property
    def reference(self) -> Reference | None:
        """The current picture's clean twin."""
        return self.opened.reference if self.opened is not None else None

    def set_reference(self, path: str | Path) -> None:
        """Compare the current picture with this clean twin."""
        entry, opened, path = self.current, self.opened, Path(path)
        if entry is None or opened is None:
            self.failed.emit(tr("Open the noisy picture first, then its reference."), "")
            return

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                with self._step(tr("reference"), [entry], merges=False):
                    entry.reference = path
                self._show_reference(opened, value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._io.submit(lambda: jobs.read_reference(path, opened.picture.image), handle)

    def clear_reference(self) -> None:
        """Compare with nothing; also a twin found by name is not taken again."""
        if self.current is None:
            return
        with self._step(tr("reference"), [self.current], merges=False):
            self.current.reference, self.current.finds_reference = None, False
        self._show_reference(self.opened, None)

    def _find_reference(self) -> None:
        """Read the twin that the current picture's entry asks for, in place of the one in use."""
        entry, opened = self.current, self.opened
        if entry is None or opened is None:
            return  # it is read with the picture
        wanted = entry.reference, entry.finds_reference
        image = opened.picture.image

        def work() -> Iterator[Any]:
            path, finds = wanted
            if path is None and finds and entry.path is not None:
                path = find_reference(entry.path)
            return (yield from jobs.read_reference(path, image)) if path is not None else None

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE and wanted == (entry.reference, entry.finds_reference):
                self._show_reference(opened, value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._show_reference(opened, None)
        self._io.submit(work, handle)

    def _show_reference(self, opened: Opened | None, reference: Reference | None) -> None:
        if opened is not None:
            opened.reference = reference
        if opened is self.opened:
            self._change_look(reference=reference)
            self.reference_changed.emit()
            self.estimate_changed.emit()
            self._refresh()

    # ---- Models ----

    def _refresh_first(self) -> None:
        if not self.is_closed and not self._was_refreshed:
            self.refresh_models()

    def refresh_models(self, select: str | None = None) -> None:
        """List methods and models anew, and choose one that was brought in."""
        self._was_refreshed = True

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                if self.current is None:
                    self._show_activity(Activity(value.text))
                return
            if self.current is None:
                self._show_activity(Activity())
            if kind is Kind.DONE:
                self.catalog = value
                if self.method is None and self.catalog.methods:
                    # Kept from a version that had another method.
                    self._take_values(dataclasses.replace(self.values, method="", model=""))
                self.models_changed.emit()
                self.params_changed.emit()
                entry = next((entry for entry in self.catalog.models if entry.name == select), None)
                if entry is not None:
                    # By its own method, whichever is in force: that is what it was brought in for.
                    self._change_values(tr("model"), merges=False, method=entry.method, model=entry.name)
                    self.imported.emit(entry.name)
                self._refresh()
            elif kind is Kind.FAILED:
                self._complain(value)

        self._compute.submit(self._computing.catalog, handle)

    def models(self) -> list[CheckpointEntry]:
        """The checkpoints that the chosen method can run."""
        return self.choice.models

    def leading_model(self) -> CheckpointEntry | None:
        """The checkpoint behind the automatic choice; None if there is none."""
        return self.choice.leading_model

    def model_in_force(self) -> CheckpointEntry | None:
        """The chosen checkpoint; the one that leads where none is, or where that one is gone."""
        return self.choice.model

    def import_model(self, file: str | Path, convention: Mapping[str, Any] | None = None) -> None:
        """Bring in a checkpoint of others; `convention_needed` follows where its use cannot be read off the file."""
        path = Path(file)

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                return
            if kind is Kind.DONE and isinstance(value, str):
                self.refresh_models(select=value)
            elif kind is Kind.DONE:
                self.convention_needed.emit(path, value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._compute.submit(lambda: self._computing.bring_in(path, convention or {}), handle)

    def export_model(self, entry: CheckpointEntry, target: Path) -> None:
        """Write a model with its card as one file, in place of one that is there; `saved` follows."""

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                self.saved.emit(value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._compute.submit(lambda: jobs.export(entry.path, entry.name, target), handle)

    def set_training(self, training: TrainingRun) -> None:
        """Take over the training that was started, or found running; the window shows how far it is."""
        if training is not self.training:
            self.training = training
            self.training_changed.emit()

    # ---- Denoising ----

    @property
    def is_running(self) -> bool:
        """Whether there is something to cancel."""
        return self._is_computing or self._save_job is not None

    @property
    def _is_computing(self) -> bool:
        return (self._live_job is not None or self._rest.isActive()) and self._is_wanted and not self._is_done

    @property
    def is_done(self) -> bool:
        """Whether the current picture is denoised as asked."""
        return self._is_done

    @property
    def can_denoise(self) -> bool:
        """Whether `denoise` would start something; not while the noise that it waits for is being measured."""
        if self.opened is None or self.is_running or self._is_done or self._is_paused:
            return False
        if self.model_in_force() is None:
            return False
        return not (self._is_wanted and not self.opened.is_measured)

    @property
    def can_save(self) -> bool:
        """Whether the current picture's result can be made and saved."""
        return self._make_request() is not None and self._save_job is None

    def denoise(self) -> None:
        """Denoise the current picture, going on from what has been computed."""
        if self.opened is None:
            return
        no_model = self.method.no_model if self.method is not None else ""
        if no_model or (self.sigma is None and self.opened.no_report):
            self.failed.emit(no_model or self.opened.no_report, "")
            return
        self._is_wanted = True
        self._change_look(may_run=True)
        self._refresh(at_once=True)
        self.state_changed.emit()

    def pause(self) -> None:
        """Compute nothing for the view until `resume`: the worker is needed for something else."""
        self._is_paused, self._is_done = True, False
        self._stop_live()
        if self.current is not None and self.current.state == "running":
            self._set_state(self.current, "")
        self._show_activity(Activity())
        self.state_changed.emit()

    def resume(self, wanted: bool = False) -> None:
        """Go on with what the state asks for.

        Args:
            wanted: denoise the picture, whether or not that was asked before.
        """
        self._is_paused = False
        self._must_repaint = True
        self._is_wanted = self._is_wanted or wanted
        self._refresh(at_once=True)
        self.state_changed.emit()

    def show_numbers(self, numbers: Numbers) -> None:
        """Tell how good the result is that is shown while this rests."""
        if numbers != self.numbers:
            self.numbers = numbers
            self.estimate_changed.emit()

    def compute(self, work: Callable[[Computing], Iterator[Any]], handle: Callable[[Kind, Any], None]) -> Job:
        """Queue other work for the compute worker; it is given what keeps models and denoisings."""
        return self._compute.submit(lambda: work(self._computing), handle)

    def complain(self, error: BaseException) -> None:
        """Tell the user of a failure: what they can cause as its sentence, a defect with its traceback."""
        self._complain(error)

    def cancel(self) -> None:
        """Stop what is running; what has been computed stays."""
        self._must_repaint = self._must_repaint or self._save_job is not None
        self._drop(self._save_job)
        self._save_job = None
        self._stop_live()
        self._is_wanted = False
        self._change_look(may_run=False)
        if self._is_outdated:
            self._clear_result()
            self._refresh()
        if self.current is not None and self.current.state == "running":
            self._set_state(self.current, "")
        self._show_activity(Activity())
        self.state_changed.emit()

    def set_viewport(self, area: tuple[int, int, int, int] | None) -> None:
        """The visible part of the picture, x0, y0, x1, y1; it is denoised first."""
        self._look = dataclasses.replace(self._look, viewport=None if area is None else Rect(*area))
        self.viewport_changed.emit()

    @property
    def viewport(self) -> Rect | None:
        """The visible part of the picture; None where that is not known."""
        return self._look.viewport

    def _fresh_look(self) -> Look:
        """For another picture of the same size in the same view, which then reports nothing new."""
        return Look(
            display=self.display,
            viewport=self._look.viewport,
            shift_free=self.shift_free,
            serial=self._look.serial + 1,
        )

    def _change_look(self, **changes: Any) -> None:
        if any(getattr(self._look, name) != value for name, value in changes.items()):
            self._look = dataclasses.replace(self._look, **changes, serial=self._look.serial + 1)

    def _get_look(self) -> Look:
        """Read by the compute worker at each step."""
        return self._look

    def _stop_live(self) -> None:
        self._rest.stop()
        # What it has painted and not yet brought here is lost.
        self._must_repaint = self._must_repaint or self._live_job is not None
        self._drop(self._live_job)
        self._live_job = None

    def _clear_result(self) -> None:
        """Take what belongs to other values off the screen."""
        self._shows_result = self._is_outdated = False
        self._must_repaint = True
        self.result_cleared.emit()

    @property
    def _passes(self) -> int | None:
        """T by hand or proposed; None for what the checkpoint or the method suggests."""
        return self.choice.passes

    def _make_request(self) -> Request | None:
        """What would have to be computed now; None while it cannot be known, or where no model is installed."""
        return self.request_of(self.values)

    def request_of(self, values: Values) -> Request | None:
        """What values would have computed of the current picture; None as for `Choice.request`."""
        if self.current is None or self._awaits_page:
            return None
        return self.choice_of(values).request(self.current.id, self.settings.seed, self.settings.device)

    def _refresh(self, at_once: bool = False) -> None:
        """Start what the state asks for, unless it runs already."""
        request = self._make_request()
        if self.is_closed or self._awaits_page or self._is_paused:
            return
        if request is None:
            if self.opened is not None and self.opened.is_measured:
                self._let_go()
            return
        is_same = self._request is not None and request.key == self._request.key
        if is_same and self._live_job is not None:
            return  # it reads the look
        if is_same:
            if self._save_job is None:
                self._start()
            return
        self._stop_live()
        self._request = None
        self._is_done = False
        self.numbers = Numbers()
        # While it is computed anew the old result stays until the new one takes its place, piece by piece.
        self._is_outdated = self._shows_result
        if self._is_outdated and not self._is_wanted:
            self._clear_result()
        if self._is_wanted and self._save_job is None:
            instant = self._visible_pass_s is not None and self._visible_pass_s < INSTANT_S
            self._rest.start(0 if at_once or instant or self._is_first else REST_MS)
        self.estimate_changed.emit()
        self.state_changed.emit()

    def _let_go(self) -> None:
        """A method without a model was chosen: nothing goes on, and what was made belongs to another one."""
        self._stop_live()
        self._request, self._is_done, self.numbers = None, False, Numbers()
        self._clear_result()
        if self.current is not None and self.current.state in ("running", "done"):
            self._set_state(self.current, "")
        if self._save_job is None:
            self._show_activity(Activity())
        self.estimate_changed.emit()
        self.state_changed.emit()

    def _start(self) -> None:
        request = self._make_request()
        if request is None:
            return
        entry, opened, repaint = self.current, self.opened, self._must_repaint
        assert entry is not None
        assert opened is not None
        values, passes = self.values, self._passes
        # A new blend needs no passes: what is done stays done while it is shown.
        self._is_done = self._is_done and passes == self._done_passes
        self._request, self._is_first, self._must_repaint = request, False, False
        self._change_look(
            passes=passes,
            blend=values.blend,
            reference=opened.reference,
            report=opened.report,
            may_run=self._is_wanted,
        )

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                self._on_step(request, value)
                return
            self._live_job = None
            if kind is Kind.DONE:
                self._is_done = self._look.may_run and value == self._look.serial
                self._done_passes = self._look.passes
                if value != self._look.serial:
                    self._refresh()
                elif self._is_done:
                    self._is_outdated = False
                    self._set_state(entry, "done", entry.note)
            elif kind is Kind.FAILED:
                self._is_wanted = False
                if self._is_outdated:
                    self._clear_result()
                self._set_state(entry, "failed", str(value))
                self._complain(value)
            if self._live_job is None:
                self._show_activity(Activity())
            self.state_changed.emit()

        self._live_job = self._compute.submit(lambda: self._computing.run(request, self._get_look, repaint), handle)
        if self._is_wanted and not self._is_done:
            self._set_state(entry, "running")
        self.state_changed.emit()

    def _on_step(self, request: Request, value: Any) -> None:
        if self.current is None or (request.picture, request.image.page) != self.current.key:
            return  # a save of a picture that is no longer shown
        if isinstance(value, Stage):
            self._show_activity(Activity(value.text))
        elif isinstance(value, Running):
            is_news = self.running is None or self.running.settled != value.settled
            self.running = value
            if self._look.may_run and not self._is_done:
                self._show_activity(Activity(tr("Denoising")))
            key = (request.method, request.model)
            if is_news or self._suggested.get(key) != value.suggested:
                self._suggested[key] = value.suggested
                self.params_changed.emit()
            self.state_changed.emit()
        elif isinstance(value, Update):
            self._shows_result = self._shows_result or bool(value.regions)
            for x, y, pixels in value.regions:
                self.region_ready.emit(pixels, x, y)
            if value.visible_pass_s is not None:
                self._visible_pass_s = value.visible_pass_s
            if value.numbers != self.numbers:
                self.numbers = value.numbers
                self.estimate_changed.emit()
            share = value.done / value.total
            self._show_activity(Activity(tr("Denoising"), share, value.seconds_left) if share < 1 else Activity())

    def _show_activity(self, activity: Activity) -> None:
        if activity != self.activity:
            self.activity = activity
            self.progress.emit()

    # ---- Saving ----

    def save(self, target: Target, over_original: bool = False) -> None:
        """Finish the current picture and save it; never over the original unless that is said."""
        entry, request, automatic = self.current, self._make_request(), self.sigma_is_automatic
        if entry is None or request is None or self._save_job is not None:
            return
        if not over_original and entry.path is not None and _is_same_file(target.path, entry.path):
            self.failed.emit(tr("{name} is the original; choose another name.").format(name=target.path.name), "")
            return
        self._stop_live()
        if target.all_pages:
            self._save_pages(entry, request, target)
            return
        if self._request is None or self._request.key != request.key:
            self._is_outdated = self._shows_result
        self._request = request
        values = self.values
        self._change_look(passes=self._passes, blend=values.blend, may_run=True)
        frozen, computing, repaint = self._look, self._computing, self._must_repaint
        self._must_repaint = False

        def look() -> Look:
            return dataclasses.replace(frozen, viewport=self._look.viewport)

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                self._on_step(request, value)
            elif kind is Kind.DONE:
                self._save_job = self._io.submit(lambda: jobs.write(value, target), handle_written)
            else:
                ended(kind, value)

        def handle_written(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS:
                self._show_activity(Activity(value.text))
                return
            ended(kind, value)

        def ended(kind: Kind, value: Any) -> None:
            self._end_save(entry, kind, value)

        self._save_job = self._compute.submit(lambda: computing.finish(request, look, automatic, repaint), handle)
        self._set_state(entry, "running")
        self.state_changed.emit()

    def _save_pages(self, entry: Entry, request: Request, target: Target) -> None:
        """Denoise and save all pages of a stack; pages can be looked at meanwhile."""
        image, values, settings = request.image, entry.values, self.settings

        def handle(kind: Kind, value: Any) -> None:
            if kind is not Kind.PROGRESS:
                self._end_save(entry, kind, value)
            elif isinstance(value, Paging):
                text = tr("Denoising page {page} of {pages}").format(page=value.page, pages=image.pages)
                self._show_activity(Activity(text, value.share, value.seconds_left))
            else:
                self._show_activity(Activity(value.text))

        self._save_job = self._compute.submit(
            lambda: jobs.save_pages(image, values, target, settings.seed, settings.device, entry.huge),
            handle,
        )
        self._set_state(entry, "running")
        self.state_changed.emit()

    def _end_save(self, entry: Entry, kind: Kind, value: Any) -> None:
        self._save_job = None
        if kind is Kind.DONE:
            self._set_state(entry, "done", tr("Saved as {value}").format(value=value))
            self.saved.emit(value)
        elif kind is Kind.FAILED:
            self._set_state(entry, "failed", str(value))
            self._complain(value)
        self._show_activity(Activity())
        self._refresh()
        self.state_changed.emit()

    def default_target(self, entry: Entry, folder: Path | None = None) -> Path:
        """`name_denoised.ext` beside the original or in `folder`."""
        if entry.path is None:
            return (folder or Path(self.settings.folder or Path.home())) / f"{entry.name}_denoised.png"
        return denoised_path(entry.path, folder)

    def copy_result(self) -> None:
        """Ask for the whole result as it is; `copied` brings it."""
        # While this rests, the values may be of another result than the one that was made last.
        request, look = self._make_request() if self._is_paused else self._request, self._look
        if request is None:
            return

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                self.copied.emit(value)
            elif kind is Kind.FAILED:
                self._complain(value)

        self._compute.submit(lambda: self._computing.copy(request, look), handle)


class _Missing:
    """Unlike every value, None among them."""


def _ignore(kind: Kind, value: Any) -> None:
    """For jobs whose end nobody waits for."""


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return first.absolute() == second.absolute()
