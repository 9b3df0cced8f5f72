"""Up to four results of the current picture side by side, of which one can be kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.choice import Choice
from app.jobs import NOTHING_FOUND, Numbers
from app.trial_jobs import Advanced, Asked, Failed, Judged, Loaded, Painted, Panes, Plan
from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH, Values
from app.workspace import REST_MS, Workspace
from engine.language import tr
from engine.params import Spec
from engine.proposal import leading
from engine.tiles import Rect
from engine.worker import Job, Kind

MOST = 4


class State(Enum):
    """How far a trial is."""

    WAITING = "waiting"
    COMPUTING = "computing"
    DONE = "done"
    """Where it is visible."""
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Trial:
    """One result.

    Attributes:
        id: never used twice.
        values: that make it.
        title: what they differ in from those of the other trials.
        state: of its visible part.
        note: why it failed.
        made, wanted: passes that its visible part has everywhere, and T; 0 while that is not known.
        numbers: of the part that is visible, once it is done.
        seconds: that its passes over this part took; those that another trial shares count for both.
    """

    id: int
    values: Values
    title: str = ""
    state: State = State.WAITING
    note: str = ""
    made: int = 0
    wanted: int = 0
    numbers: Numbers | None = None
    seconds: float | None = None


class Trials(QObject):
    """The trials of the current picture; in the GUI thread.

    While there are some the workspace's own denoising rests, and the compute worker makes the visible part of each.
    One of them is marked: its values are those of the picture, and what the panel changes is changed in it.
    """

    told = Signal(str)
    """A sentence for the message line."""

    changed = Signal()
    """Which trials there are, or how far one is."""

    region_ready = Signal(int, object, int, int)
    """The place of a trial, (h, w, C) uint8 of its result, and their column and row."""

    cleared = Signal(int)
    """What was shown at this place belongs to other values."""

    ended = Signal()

    def __init__(self, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.marked = 0
        self._trials: list[Trial] = []
        self._ids = itertools.count(1)
        self._entry: object = None
        self._panes = Panes()
        self._asked: dict[int, Asked] = {}
        self._plan: Plan | None = None
        self._job: Job | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._ask)
        workspace.current_changed.connect(self.end)
        workspace.page_changed.connect(self.end)
        for signal in (
            workspace.params_changed,
            workspace.noise_ready,
            workspace.reference_changed,
            workspace.settings_changed,
        ):
            signal.connect(self._follow)
        workspace.picture_ready.connect(self._show_anew)
        for signal in (workspace.viewport_changed, workspace.display_changed, workspace.estimate_changed):
            signal.connect(self._plan_anew)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """By their places."""
        return tuple(self._trials)

    @property
    def is_on(self) -> bool:
        """Whether trials are shown."""
        return bool(self._trials)

    @property
    def can_try(self) -> bool:
        """Whether a trial can be added now."""
        return len(self._trials) < MOST and self.workspace.request_of(self.workspace.values) is not None

    # What a user does

    def fill_all(self) -> None:
        """Put what is most worth comparing with the present values beside them, until there are four."""
        if not self.can_try:
            return
        if self.workspace.is_left_alone:
            self.told.emit(NOTHING_FOUND)
            return
        present = self.workspace.values
        known = {self._sense(trial.values) for trial in self._trials}
        found = []
        for values in itertools.chain([present], candidates(self.workspace.choice)):
            sense = self._sense(values)
            if sense is not None and sense not in known and len(self._trials) + len(found) < MOST:
                known.add(sense)
                found.append(Trial(next(self._ids), values))
        self._add(found)

    def add_current(self) -> None:
        """Make the present values a trial of their own, which is marked; the others keep theirs."""
        if self.can_try:
            self._add([Trial(next(self._ids), self.workspace.values)])
            self._mark(len(self._trials) - 1)

    def mark(self, place: int) -> None:
        """Give the picture the values of that trial, as one step, and stay."""
        if place != self.marked:
            self._mark(place)
            self.workspace.give_values(self._step_text(place), self._trials[place].values)

    def keep(self, place: int) -> None:
        """Give the picture the values of that trial, as one step, and leave; not those of one that failed."""
        if self._trials[place].state is State.FAILED:
            return
        text, values = self._step_text(place), self._trials[place].values
        self._leave(values)
        self.workspace.give_values(text, values)
        self.workspace.resume(wanted=True)
        self.ended.emit()

    def remove(self, place: int) -> None:
        """Take one away; without any that is the end."""
        if len(self._trials) == 1:
            self.end()
            return
        was_marked = place == self.marked
        gone = self._trials.pop(place)
        self._asked.pop(gone.id, None)
        self.marked -= place < self.marked
        if was_marked:
            self.marked = -1  # so that what follows marks another one
            self.mark(min(place, len(self._trials) - 1))
        self._follow()

    def end(self) -> None:
        """Leave; the picture has the values of the marked trial, as the panel said all the time."""
        if self.is_on:
            self._leave(self.workspace.values)
            self.workspace.resume()
            self.ended.emit()

    # What follows from it

    def _step_text(self, place: int) -> str:
        return tr("choice of result {number}").format(number=place + 1)

    def _sense(self, values: Values) -> tuple[Any, ...] | None:
        """Equal for values that give the same result; None for those that give none."""
        request, choice = self.workspace.request_of(values), self.workspace.choice_of(values)
        if request is None:
            return None
        passes = choice.value("passes") if any(spec.name == "passes" for spec in choice.specs) else None
        return request.key, passes, values.blend

    def _add(self, trials: Sequence[Trial]) -> None:
        if not self.is_on:
            self.marked, self._entry = 0, self.workspace.current
            self.workspace.pause()
        self._trials += trials
        self._follow()

    def _mark(self, place: int) -> None:
        self.marked = place
        self._plan_anew()
        self._tell()

    def _tell(self) -> None:
        """Say what has changed; the numbers that the panel shows are those of the marked one."""
        if self.is_on:
            self.workspace.show_numbers(self._trials[self.marked].numbers or Numbers())
        self.changed.emit()

    def _leave(self, values: Values) -> None:
        request = self.workspace.request_of(values)
        self._rest.stop()
        if self._job is not None:
            self._job.cancel()
        self._trials, self._asked, self._plan, self._job = [], {}, None, None
        self._panes = Panes()
        if not self.workspace.is_closed:
            key = None if request is None else request.key
            self.workspace.compute(lambda computing: computing.release(key), _ignore)
        self._tell()

    def _show_anew(self) -> None:
        """The picture was brought to the screen anew, maybe to one with other colours: so are the results."""
        self._asked = {}
        self._follow()

    def _follow(self) -> None:
        """Take over what has changed in the picture, its values or the models."""
        workspace = self.workspace
        if not self.is_on or workspace.current is not self._entry or workspace.opened is None:
            return
        present, marked = workspace.values, self._trials[self.marked].values
        if present != marked:
            # Taking the choice of another trial back must not give this one the other's values.
            places = [place for place, trial in enumerate(self._trials) if trial.values == present]
            if places and workspace.history.is_moving:
                self.marked = places[0]
            else:
                self._change(self.marked, values=present)
        for place, trial in enumerate(self._trials):
            if trial.values.develop != present.develop:
                self._change(place, values=dataclasses.replace(trial.values, develop=present.develop))
        self._name()
        # A slider that is drawn would begin another denoising at each step.
        if any(self._is_other(trial) for trial in self._trials):
            self._rest.start(REST_MS)
            self._tell()
        else:
            self._ask()

    def _change(self, place: int, **changes: Any) -> None:
        self._trials[place] = dataclasses.replace(self._trials[place], **changes)

    def _name(self) -> None:
        found = titles([self.workspace.choice_of(trial.values) for trial in self._trials])
        for place, title in enumerate(found):
            self._change(place, title=title)

    def _is_other(self, trial: Trial) -> bool:
        """Whether a trial that was asked for needs other passes now."""
        asked, request = self._asked.get(trial.id), self.workspace.request_of(trial.values)
        return asked is not None and (request is None or request.key != asked.request.key)

    def _ask(self) -> None:
        """Say what is to be computed now."""
        self._rest.stop()
        known, self._asked = self._asked, {}
        for place, trial in enumerate(self._trials):
            choice, old = self.workspace.choice_of(trial.values), known.get(trial.id)
            request = self.workspace.request_of(trial.values)
            if request is None:
                reason = choice.method.no_model if choice.method is not None else ""
                self._change(place, state=State.FAILED if reason else State.WAITING, note=reason, numbers=None)
                continue
            if old is not None and old.request.key == request.key and old.request.image is request.image:
                request = old.request
            new = Asked(trial.id, place, request, choice.passes, trial.values.blend)
            self._asked[trial.id] = old if old is not None and new.same(old) else new
            if old is None or old.request is not request or old.place != place:
                self._change(place, state=State.WAITING, note="", made=0, wanted=0, numbers=None, seconds=None)
                self.cleared.emit(place)
            elif trial.state is State.FAILED and not new.same(old):
                self._change(place, state=State.WAITING, note="")
        self._plan_anew()
        self._tell()

    def _plan_anew(self) -> None:
        opened = self.workspace.opened
        if not self.is_on or opened is None or self._rest.isActive():
            return
        image = opened.picture.image
        whole = Rect(0, 0, image.width, image.height)
        seen = self.workspace.viewport or whole
        seen = seen.shared(whole) if seen.meets(whole) else whole
        asked = tuple(self._asked[trial.id] for trial in self._trials if trial.id in self._asked)
        workspace = self.workspace
        marked = self._trials[self.marked].id
        plan = Plan(asked, seen, marked, opened.reference, opened.report, workspace.display, workspace.shift_free)
        if self._plan is None or not plan.same(self._plan):
            self._plan = plan
            self._start()

    def _start(self) -> None:
        """Let the worker make what is planned, unless it is at work: then it reads the plan."""
        if self._job is not None or self._plan is None or self.workspace.is_closed:
            return
        panes = self._panes

        def plan() -> Plan:
            """Read by the compute worker at each step."""
            return self._plan or Plan((), Rect(0, 0, 1, 1))

        def handle(kind: Kind, value: Any) -> None:
            if panes is not self._panes:
                return  # of trials that were left
            if kind is Kind.PROGRESS:
                self._on_step(value)
                return
            self._job = None
            if kind is Kind.DONE and value is not self._plan:
                self._start()
            elif kind is Kind.FAILED:
                self._give_up(value)

        self._job = self.workspace.compute(lambda computing: panes.run(computing, plan), handle)

    def _give_up(self, error: BaseException) -> None:
        """A defect, which stops all of them."""
        self._plan = None
        for place, trial in enumerate(self._trials):
            if trial.state is not State.DONE:
                self._change(place, state=State.FAILED, note=str(error))
        self._tell()
        self.workspace.complain(error)

    def _on_step(self, value: Any) -> None:
        if not isinstance(value, Painted | Loaded | Advanced | Judged | Failed):
            return
        asked = value.asked
        known = self._asked.get(asked.id)
        if known is None or known.request is not asked.request:
            return  # a late word of what is not wanted any more
        place = next(place for place, trial in enumerate(self._trials) if trial.id == asked.id)
        if isinstance(value, Painted):
            for x, y, pixels in value.regions:
                self.region_ready.emit(place, pixels, x, y)
            return
        if isinstance(value, Loaded):
            self._change(place, state=State.COMPUTING)
            self.workspace.learn(asked.request.method, asked.request.model, value.suggested)
        elif isinstance(value, Advanced):
            self._change(place, state=State.COMPUTING, made=value.made, wanted=value.wanted, numbers=None)
        elif isinstance(value, Judged):
            done = {"made": value.passes, "wanted": value.passes, "numbers": value.numbers, "seconds": value.seconds}
            self._change(place, state=State.DONE, **done)
        elif isinstance(value, Failed):
            note = str(value.error) or tr("There is not enough memory.")
            self._change(place, state=State.FAILED, note=note, numbers=None)
        self._tell()


def _ignore(kind: Kind, value: Any) -> None:
    """For a job whose end nobody waits for."""


# What is worth trying


def candidates(choice: Choice) -> Iterator[Values]:
    """What is worth comparing with a choice, best first: other methods, other models of its own, other values."""
    values, fits = choice.values, {choice.channels, 1}
    if choice.image is not None:
        fits.add(choice.image.channels)  # of a mosaic, which can be denoised developed, too
    for method in choice.catalog.methods:
        entries = [entry for entry in choice.catalog.models if entry.name in method.runs and entry.channels in fits]
        if method.id != choice.method_id and leading(entries, choice.channels, (method.id,)) is not None:
            yield dataclasses.replace(values, method=method.id, model="")
    for entry in choice.models:
        if entry.channels == choice.channels:
            yield dataclasses.replace(values, method=choice.method_id, model=entry.name)
    specs = {spec.name: spec for spec in choice.specs}
    alpha = (choice.value("alpha") or specs["alpha"].usual) if "alpha" in specs else None
    yield dataclasses.replace(values, strength=0.7 if values.strength > 0.85 else 1.0)
    if alpha:
        yield _with(choice, specs["alpha"], 2 * alpha)
        yield _with(choice, specs["alpha"], alpha / 2)
    yield dataclasses.replace(values, guard=0.0 if values.guard else GUARD.usual or 0.0)
    if "passes" in specs:
        yield _with(choice, specs["passes"], 4 * choice.value("passes"))
    yield dataclasses.replace(values, strength=0.4)


def _with(choice: Choice, spec: Spec, value: float) -> Values:
    """The values with another one of a parameter, as far as it allows that."""
    own = choice.values.params.get(choice.method_id, {})
    checked = spec.check(min(spec.maximum, max(spec.minimum, round(value, 4))))
    params = {**choice.values.params, choice.method_id: {**own, spec.name: checked}}
    return dataclasses.replace(choice.values, params=params)


# What they are called


def titles(choices: Sequence[Choice]) -> list[str]:
    """What each differs in: the first says all that does, the others what they have otherwise than the first.

    Of another method than the first's, models and parameters are named where those of the same method differ in them.
    """
    facts = [_facts(choice) for choice in choices]
    blends = [_blend_facts(choice.values) for choice in choices]
    found = []
    for place, choice in enumerate(choices):
        method = choice.method_id
        alike = [other for other, it in zip(facts, choices, strict=True) if it.method_id == method]
        is_other = method != choices[0].method_id
        against = facts[:1] if place and not is_other else alike
        parts = []
        if is_other or (not place and any(it.method_id != method for it in choices)) or len(choices) == 1:
            parts.append(_method_name(choice))
        if len(choices) == 1:
            parts.append(facts[0]["model"])
        parts += [text for name, text in facts[place].items() if any(other.get(name) != text for other in against)]
        against = blends[:1] if place else blends
        parts += [text for name, text in blends[place].items() if any(other[name] != text for other in against)]
        same = next((other for other in range(place) if facts[other] == facts[place]), 0)
        found.append(" · ".join(parts) or tr("the same as {number}").format(number=same + 1))
    if len(choices) > 1 and all(facts[0] == other for other in facts) and all(blends[0] == other for other in blends):
        found[0] = _method_name(choices[0])
    return found


def _method_name(choice: Choice) -> str:
    """Of the method in force; its short form where it would fill a pane."""
    method = choice.method
    if method is None:
        return ""
    return method.label if len(method.label) <= 20 else method.id.upper()


def _facts(choice: Choice) -> dict[str, str]:
    """Model and parameters in words, by name."""
    model = choice.model
    found = {"model": model.name if model is not None else ""}
    for spec in choice.specs:
        value = choice.value(spec.name)
        if spec.name == "sigma":
            sigma = choice.sigma
            text = tr("sigma {value}").format(value="–" if sigma is None else f"{255 * sigma:.1f}")
        elif spec.name == "passes":
            text = f"T {value}"
        else:
            text = f"{'alpha' if spec.name == 'alpha' else spec.label} {_in_words(spec, value)}"
        found[spec.name] = text
    return found


def _blend_facts(values: Values) -> dict[str, str]:
    found = {}
    for spec in (STRENGTH, LUMINANCE, CHROMA):
        value = getattr(values, spec.name)
        found[spec.name] = f"{spec.label} {_in_words(spec, value)}"
    guard = f"{values.guard:g}" if values.guard else tr("off")
    found["guard"] = tr("guard {value}").format(value=guard)
    areas = values.areas
    found["areas"] = tr("areas {count}").format(count=len(areas.places)) + f" {areas.outside:g}" * (areas.outside != 1)
    return found


def _in_words(spec: Spec, value: Any) -> str:
    if value is None:
        return tr("auto")
    if isinstance(value, str):
        return value.replace("_", " ")
    return f"{round(value * spec.scale, 4):g}{spec.unit}"
