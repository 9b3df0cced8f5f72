"""The second page: by which method, from which model, for how long, and what the result is called."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.background import Background
from app.column import Column
from app.combo import Combo
from app.jobs import MethodInfo
from app.param_control import ChoiceControl, Control, ParamControl
from app.wizard.folder import measured
from app.wizard.page import Page, Plan
from app.workspace import Workspace
from engine import params
from engine.corruption import Corruption, CorruptionError
from engine.language import tr
from engine.noise import NoiseReport
from engine.params import Spec
from engine.proposal import Proposal, propose
from engine.worker import Job, Kind
from training import timing
from training.job import NETWORKS, TrainError, TrainJob

if TYPE_CHECKING:
    from engine.checkpoint import Entry

TAKES: Mapping[str, str] = {
    "r2r": tr("any noise that can be measured: white, growing with brightness, correlated"),
    "n2n": tr("noise that is independent from pixel to pixel"),
    "dbsn": tr("independent from pixel to pixel; white, growing, or alike in the colours"),
    "apr-rd": tr("noise that correlates over a few pixels, as in camera JPEGs"),
    "n2v": tr("noise that is independent from pixel to pixel"),
}
"""What noise a method can take, by its id; see docs/methods.md."""

_INDEPENDENT = ("n2n", "dbsn", "n2v")
"""Methods that take noise for independent from pixel to pixel."""

_SUITS: Mapping[str, str] = {
    "unet-tiny": tr("small, for a quick try"),
    "unet-large": tr("large, for a GPU"),
    "dbsn-small": tr("small enough for a CPU"),
    "apr-rd-small": tr("small enough for a CPU"),
}

QUICK, GOOD = 5, 30
"""Minutes."""

_TUNED, _ANEW = 1e-4, 1e-3
_REPLAY = 0.25
_CPU_BATCH = 8
"""Patches a step, where 32 would leave a processor some ten steps a minute."""

_OF_SPEED = ("method", "network", "start", "grey", "batch", "patch", "replay", "params", "device", "threads")
"""Of a job, what a step's time depends on."""

_FEW, _FEW_ANEW = 150, 3000
"""Steps below which a model hardly changes, or one from scratch has hardly begun."""

RATE = Spec(
    "learning_rate",
    None,
    1e-6,
    1e-2,
    tr("Learning rate"),
    step=1e-6,
    automatic=True,
    help=tr(
        "How far one step goes. Automatic is 0.0001 where a model is tuned and 0.001 from scratch: larger forgets "
        "what the model could do, smaller takes longer."
    ),
)
REPLAY = Spec(
    "replay",
    None,
    0.0,
    0.9,
    tr("Replay against forgetting"),
    unit=" %",
    scale=100.0,
    step=0.05,
    automatic=True,
    help=tr(
        "Share of generated pictures with white noise in each step, so that the model does not forget what it could "
        "do on other pictures. Automatic is 25 % where a model is tuned on white noise, else 0."
    ),
)
BATCH = Spec(
    "batch",
    32,
    1,
    256,
    tr("Patches a step"),
    step=1,
    stops=(4, 8, 16, 32, 64, 128),
    integer=True,
    help=tr("More make each step steadier and slower, and take more memory. 8 are usual on a processor, 32 on a GPU."),
)
PATCH = Spec(
    "patch",
    64,
    16,
    512,
    tr("Side of a patch"),
    unit=" px",
    step=8,
    stops=(32, 48, 64, 96, 128, 192, 256),
    integer=True,
    help=tr("What is learned from at a time, in pixels; a multiple of 8."),
)
THREADS = Spec(
    "threads",
    None,
    1,
    max(2, os.cpu_count() or 1),
    tr("CPU threads"),
    step=1,
    integer=True,
    automatic=True,
    usual=1,
    help=tr("How many processor cores work on it; fewer leave more for other programs."),
)
MEMORY = Spec(
    "budget_mb",
    4096,
    64,
    1 << 17,
    tr("Memory for pictures"),
    unit=" MB",
    step=64,
    stops=(512, 1024, 2048, 4096, 8192, 16384, 32768),
    integer=True,
    help=tr("Of a larger folder a changing part is in memory."),
)
EXPERT = (RATE, REPLAY, BATCH, PATCH, THREADS, MEMORY)

# ---- On the worker ----


@dataclass(frozen=True)
class Learning:
    """What can be chosen for a training by a method.

    Attributes:
        specs: of its `Training`.
        networks: names of those it can train, the default first.
        starts: names of the installed models that it can begin with.
    """

    specs: tuple[Spec, ...]
    networks: tuple[str, ...]
    starts: frozenset[str]


def _learning(ids: Sequence[str], entries: Sequence[Entry]) -> Iterator[Any]:
    """Return the `Learning` of these methods, by their ids."""
    yield None
    from engine.checkpoint import load_checkpoint
    from engine.method import methods

    archs: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        with contextlib.suppress(ValueError, OSError):  # a file that cannot be read cannot be begun with
            archs[entry.name] = load_checkpoint(entry.path).arch
        yield None
    found = {}
    for id in ids:
        method = methods()[id]
        networks = {**method.networks, **NETWORKS}
        found[id] = Learning(
            params.specs(method.Training),
            tuple(name for name, arch in networks.items() if method.fits({**arch, "channels": 3})),
            frozenset(name for name, arch in archs.items() if method.fits(arch)),
        )
    return found


# ---- The page ----


class MethodPage(Page):
    """Method, start, time and name: proposed from the noise, each with its reason; all else is under "Advanced"."""

    title = tr("Method")

    def __init__(self, plan: Plan, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(plan, parent)
        self.workspace = workspace
        self.proposed: Proposal | None = None
        self.error = ""
        self._learning: Mapping[str, Learning] = {}
        self._report: NoiseReport | None = None
        self._folder: Path | None = None
        self._method = self._network = ""
        self._start: str | None = None
        self._name: str | None = None
        self._by_hand: dict[str, Any] = {}
        self._params_by_hand: dict[str, dict[str, Any]] = {}
        self._drawn: tuple[Spec, ...] = ()
        self._timed: TrainJob | None = None
        self._rate: float | None = None
        self._no_rate = ""
        self._facts_job: Job | None = None
        self._time_job: Job | None = None
        self._background = Background("planning a training", self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(400)
        self._rest.timeout.connect(self._time)

        self._build()
        self.use.clicked.connect(self._use_proposal)
        self.method.activated.connect(self._choose_method)
        self.start.activated.connect(self._choose_start)
        self.network.activated.connect(self._choose_network)
        self.budget.buttonToggled.connect(self._collect)
        self.hours.valueChanged.connect(lambda: self._set_time(self.best))
        self.minutes.valueChanged.connect(lambda: self._set_time(self.own))
        self.name.textEdited.connect(self._name_it)
        self.fold.toggled.connect(self._unfold)
        workspace.models_changed.connect(self._ask_facts)
        self._unfold(False)
        self._ask_facts()

    def _build(self) -> None:
        """The form, and below it what stands in the way."""
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.use = QPushButton(tr("&Use what is proposed"))
        self.method = _combo(tr("How it learns from noisy pictures alone, and which noise it can take"))
        self.start = _combo(
            tr("The model that is tuned. Tuning a model takes minutes; from scratch it takes hours and many pictures")
        )
        self.start_title = _muted()
        self.network = _combo(tr("The network that learns from scratch"))
        self.estimate = _muted()
        self.name = QLineEdit()
        self.name.setToolTip(tr("What the model will be called in the list of models"))
        self.fold = QToolButton()
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.advanced = self._build_advanced()
        self.advanced.hide()
        self.notice = QLabel()
        self.notice.setObjectName("warning")
        self.notice.setWordWrap(True)
        self.notice.hide()

        inside = QWidget()
        inside.setMaximumWidth(theme.length(860))
        form = QGridLayout(inside)
        form.setContentsMargins(4, 4, 12, 4)
        form.setVerticalSpacing(8)
        form.setHorizontalSpacing(12)
        form.setColumnStretch(1, 1)
        proposal = QHBoxLayout()
        proposal.addWidget(self.reason, 1)
        proposal.addWidget(self.use, 0, Qt.AlignmentFlag.AlignTop)
        form.addLayout(proposal, 0, 0, 1, 2)
        self.network_label = _row(form, 4, tr("Net&work"), self.network)
        _row(form, 1, tr("&Method"), self.method)
        _row(form, 2, tr("&Start from"), self.start)
        form.addWidget(self.start_title, 3, 1)
        times = self._build_times()
        label = QLabel(tr("Train &for"))
        label.setBuddy(self.quick)
        label.setMinimumHeight(self.quick.sizeHint().height())
        form.addWidget(label, 5, 0, Qt.AlignmentFlag.AlignTop)
        form.addLayout(times, 5, 1)
        form.addWidget(self.estimate, 6, 1)
        _row(form, 7, tr("&Name of the model"), self.name)
        form.addWidget(self.fold, 8, 0, 1, 2)
        form.addWidget(self.advanced, 9, 0, 1, 2)
        form.setRowStretch(10, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(Column(inside), 1)
        layout.addWidget(self.notice)

        for widget in inside.findChildren(QWidget):
            if isinstance(widget, QComboBox | QSpinBox | QDoubleSpinBox) and not isinstance(widget.parent(), Control):
                widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                widget.installEventFilter(self)

    def _build_times(self) -> QGridLayout:
        """The budget."""
        self.budget = QButtonGroup(self)
        self.quick = QRadioButton(tr("Quick, {count} minutes").format(count=QUICK))
        self.good = QRadioButton(tr("Good, {count} minutes").format(count=GOOD))
        self.best = QRadioButton(tr("Until it stops improving, at most"))
        self.own = QRadioButton(tr("Own time"))
        for button in (self.quick, self.good, self.best, self.own):
            self.budget.addButton(button)
        self.quick.setToolTip(tr("To see whether tuning helps at all"))
        self.best.setToolTip(
            tr(
                "<p>It ends by itself when the held-out pictures have not become better for a while. The best state is "
                "kept.</p>"
            )
        )
        self.hours = QDoubleSpinBox()
        self.hours.setRange(0.1, 168)
        self.hours.setDecimals(1)
        self.hours.setValue(4)
        self.hours.setSuffix(" h")
        self.hours.setAccessibleName(tr("At most so many hours"))
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 7 * 24 * 60)
        self.minutes.setValue(15)
        self.minutes.setSuffix(" min")
        self.minutes.setAccessibleName(tr("So many minutes"))
        self.quick.setChecked(True)
        times = QGridLayout()
        times.setColumnStretch(2, 1)
        times.setHorizontalSpacing(10)
        times.setVerticalSpacing(6)
        times.addWidget(self.quick, 0, 0, 1, 2)
        times.addWidget(self.good, 1, 0, 1, 2)
        times.addWidget(self.best, 2, 0)
        times.addWidget(self.hours, 2, 1)
        times.addWidget(self.own, 3, 0)
        times.addWidget(self.minutes, 3, 1)
        return times

    def _build_advanced(self) -> QWidget:
        """What hardly anybody has to touch."""
        self.controls: dict[str, Control] = {}
        self.params: dict[str, Control] = {}
        self.device = _combo(tr("Where it is computed"))
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(tr("Of all random numbers: the same seed and values on one CPU give the same model"))
        self.names_in_card = QCheckBox(tr("&Put the folder's name into the model's card"))
        self.names_in_card.setToolTip(
            tr(
                "<p>The card travels with the model. Without this it says how many pictures of which camera "
                "there were, "
                "but neither their names nor that of their folder.</p>"
            )
        )
        about = tr(
            "<p>Clean pictures, or noisy ones with their clean twins (X_real and X_mean, X_noisy and X_clean): the "
            "true PSNR on them is plotted while it learns. It is never used to choose anything.</p>"
        )
        self.validate = QLineEdit()
        self.validate.setPlaceholderText(tr("None"))
        self.validate.setToolTip(about)
        self.validate_choose = QPushButton(tr("Ch&oose…"))
        self.validate_choose.setAccessibleName(tr("Choose the folder of clean pictures"))
        self.validate_noise = QLineEdit()
        self.validate_noise.setToolTip(
            tr(
                "<p>The noise that is put on clean pictures without a noisy twin: gaussian:25 is white noise of "
                "deviation "
                "25 of 255, poisson:30 that of 30 photons at white.</p>"
            )
        )
        self.defaults = QPushButton(tr("Defaults"))
        self.defaults.setToolTip(tr("Forget what was set by hand under Advanced"))

        inside = QWidget()
        box = QVBoxLayout(inside)
        box.setContentsMargins(20, 0, 0, 0)
        controls = QGridLayout()
        controls.setHorizontalSpacing(28)
        for column in (0, 1):
            controls.setColumnStretch(column, 1)
        for index, spec in enumerate(EXPERT):
            control = self.controls[spec.name] = ParamControl(spec, tick=tr("All") if spec is THREADS else "")
            control.automatic.setToolTip(
                tr("All cores") if spec is THREADS else tr("What suits the start and the noise")
            )
            control.value_changed.connect(self._set_value)
            control.reset.connect(self._reset_value)
            controls.addWidget(control, index // 2, index % 2)
        box.addLayout(controls)
        self._params_box = QGridLayout()
        self._params_box.setHorizontalSpacing(28)
        for column in (0, 1):
            self._params_box.setColumnStretch(column, 1)
        box.addLayout(self._params_box)
        rest = QGridLayout()
        rest.setHorizontalSpacing(12)
        rest.setColumnStretch(1, 3)
        rest.setColumnStretch(4, 1)
        _row(rest, 0, tr("De&vice"), self.device)
        _row(rest, 0, tr("See&d"), self.seed, 3)
        _row(rest, 1, tr("&Clean pictures"), self.validate)
        rest.addWidget(self.validate_choose, 1, 2)
        _row(rest, 1, tr("w&ith noise"), self.validate_noise, 3)
        rest.addWidget(self.names_in_card, 2, 0, 1, 3)
        rest.addWidget(self.defaults, 2, 4)
        box.addLayout(rest)

        self.device.activated.connect(self._choose_device)
        self.seed.valueChanged.connect(lambda value: self._set_value("seed", value))
        self.names_in_card.toggled.connect(lambda on: self._set_value("names_in_card", on))
        self.validate.textEdited.connect(lambda text: self._set_value("validate", text.strip()))
        self.validate_noise.textEdited.connect(lambda text: self._set_value("validate_noise", text.strip()))
        self.validate_choose.clicked.connect(self._ask_validate)
        self.defaults.clicked.connect(self._reset_all)
        return inside

    # What the frame asks

    def enter(self) -> None:
        """Propose for the pictures as they are now."""
        plan = self.plan
        if plan.folder != self._folder:
            self._folder = plan.folder
            self._method = self._network = ""
            self._start = self._name = None
        self._report = measured(plan.used)
        self._refresh()

    @property
    def is_complete(self) -> bool:
        """Whether there is a job that can run."""
        return bool(self._learning) and not self.error

    def close_page(self) -> None:
        """End the worker."""
        self._rest.stop()
        self._background.close()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The wheel turns only what has the focus, so that the page can be scrolled."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    # What can be chosen

    def _ask_facts(self) -> None:
        """Once the methods are loaded, and whenever models come or go."""
        catalog = self.workspace.catalog
        ids = [method.id for method in catalog.methods if method.trains]
        if ids:
            for waiting in (self._facts_job, self._time_job):
                self._background.drop(waiting)
            self._timed = self._time_job = None
            self._facts_job = self._background.submit(lambda: _learning(ids, catalog.models), self._take_facts)
        self._refresh()

    def _take_facts(self, kind: Kind, value: Any) -> None:
        if kind is Kind.DONE:
            self._learning = value
        self._refresh()

    def _methods(self) -> list[MethodInfo]:
        return [method for method in self.workspace.catalog.methods if method.id in self._learning]

    def _entries(self) -> list[Entry]:
        """The installed models for pictures with as many channels."""
        return [entry for entry in self.workspace.catalog.models if entry.channels == (1 if self.is_grey else 3)]

    def _starts(self, method: str) -> list[Entry]:
        """The models that a method can begin with, those made for it first."""
        learning = self._learning.get(method)
        fitting = [entry for entry in self._entries() if learning is not None and entry.name in learning.starts]
        return sorted(fitting, key=lambda entry: (entry.method != method, not entry.bundled))

    @property
    def is_grey(self) -> bool:
        """Whether all pictures are grey."""
        used = self.plan.used
        return bool(used) and all(one.channels == 1 for one in used)

    @property
    def correlates(self) -> bool:
        """Whether neighbours or colours err alike."""
        report = self._report
        return report is not None and not report.is_white and report.level > report.sigma

    @property
    def grows(self) -> bool:
        """Whether bright places hold more noise than dark ones, so that one level cannot stand for it.

        Told one level, R2R learns to leave in what bright places hold more: of Kodak's pictures with Poisson noise 30
        it lost 1.8 dB in 300 steps, told how the noise grows 0.1.
        """
        return self._report is not None and self._report.is_white and self._report.growth > 0

    def _propose(self) -> Proposal | None:
        """Method and start by the noise; a model of "" is from scratch, None is nothing that can be trained."""
        methods = self._methods()
        if not methods:
            return None
        known = {method.id for method in methods}
        own = [e for e in self._entries() if e.method in known and e.name in self._learning[e.method].starts]
        proposal = propose(self._report, own, 1 if self.is_grey else 3)
        if proposal is not None:
            return proposal
        reason = (
            tr("no model for grey pictures is installed that could be tuned")
            if self.is_grey
            else tr("no model for colour pictures is installed that could be tuned")
        )
        first = next((method.id for method in methods if method.id == "r2r"), methods[0].id)
        return Proposal(first, "", reason=reason)

    # What is in force

    @property
    def _method_in_force(self) -> str:
        if self._method in self._learning:
            return self._method
        return self.proposed.method if self.proposed is not None else ""

    @property
    def _start_in_force(self) -> str:
        """Name of the model; "" is from scratch."""
        method = self._method_in_force
        names = [entry.name for entry in self._starts(method)]
        if self._start is not None and (not self._start or self._start in names):
            return self._start
        if self.proposed is not None and self.proposed.method == method:
            return self.proposed.model
        return next(iter(names), "")

    def _automatic(self, name: str) -> Any:
        """What a value is that was not set by hand."""
        is_tuned = bool(self._start_in_force)
        report = self._report
        values = {
            "learning_rate": _TUNED if is_tuned else _ANEW,
            "replay": _REPLAY if is_tuned and report is not None and report.is_white and not self.grows else 0.0,
            "seed": self.workspace.settings.seed,
            "device": self.workspace.settings.device,
            "names_in_card": False,
            "validate": "",
            "validate_noise": f"gaussian:{255 * report.level:.0f}" if report is not None else "gaussian:25",
            "threads": None,
            "batch": BATCH.default if self._is_on_gpu else _CPU_BATCH,
            "patch": PATCH.default,
            "budget_mb": MEMORY.default,
        }
        return values[name]

    def _value(self, name: str) -> Any:
        value = self._by_hand.get(name)
        return self._automatic(name) if value is None else value

    def _suited(self) -> dict[str, Any]:
        """Values of the method's `Training` that the measured noise asks for."""
        kind = "correlated" if self.correlates else "signal-dependent" if self.grows else "white"
        takes = any(spec.name == "noise_model" and kind in spec.choices for spec in self._specs)
        return {"noise_model": kind} if takes and kind != "white" else {}

    @property
    def _specs(self) -> tuple[Spec, ...]:
        learning = self._learning.get(self._method_in_force)
        return learning.specs if learning is not None else ()

    def _params(self) -> dict[str, Any]:
        """Values of the method's `Training` that differ from its defaults."""
        return {**self._suited(), **self._params_by_hand.get(self._method_in_force, {})}

    # What the user does

    def _use_proposal(self) -> None:
        self._method, self._start = "", None
        self._refresh()

    def _choose_method(self, index: int) -> None:
        self._method, self._start, self._network = self.method.itemData(index), None, ""
        self._refresh()

    def _choose_start(self, index: int) -> None:
        self._method, self._start = self._method_in_force, self.start.itemData(index)
        self._refresh()

    def _choose_network(self, index: int) -> None:
        self._network = self.network.itemData(index)
        self._refresh()

    def _choose_device(self, index: int) -> None:
        self._set_value("device", self.device.itemData(index))

    def _set_time(self, button: QRadioButton) -> None:
        if button.isChecked():
            self._collect()
        button.setChecked(True)

    def _name_it(self, text: str) -> None:
        self._name = text
        self._refresh()

    def _set_value(self, name: str, value: Any) -> None:
        if value is None or value == self._automatic(name):
            self._by_hand.pop(name, None)
        else:
            self._by_hand[name] = value
        self._refresh()

    def _reset_value(self, name: str) -> None:
        self._set_value(name, None)

    def _set_param(self, name: str, value: Any) -> None:
        self._params_by_hand.setdefault(self._method_in_force, {})[name] = value
        self._refresh()

    def _reset_param(self, name: str) -> None:
        self._params_by_hand.get(self._method_in_force, {}).pop(name, None)
        self._refresh()

    def _reset_all(self) -> None:
        self._by_hand.clear()
        self._params_by_hand.clear()
        self._refresh()

    def _ask_validate(self) -> None:
        start = str(self._value("validate") or self.plan.folder or "")
        name = QFileDialog.getExistingDirectory(self, tr("Choose a folder of clean pictures"), start)
        if name:
            self._set_value("validate", name)

    def _unfold(self, is_open: bool) -> None:
        self.advanced.setVisible(is_open)
        self.fold.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)

    # What is shown

    def _refresh(self) -> None:
        """Show what is proposed and what is in force, and write it into the plan."""
        self.proposed = self._propose()
        method, start = self._method_in_force, self._start_in_force
        labels = {info.id: info.label for info in self._methods()}
        items = []
        for info in self._methods():
            takes = TAKES.get(info.id, info.source)
            items.append((f"{info.label}  ·  {takes}", info.id, info.source))
        _fill(self.method, items, method)
        starts = [
            (f"{e.name}  ·  {tr('bundled') if e.bundled else tr('yours')}", e.name, words.own(e.card.title))
            for e in self._starts(method)
        ]
        _fill(self.start, [*starts, (tr("From scratch  ·  random weights"), "", tr("Hours, and many pictures"))], start)
        entry = next((e for e in self._starts(method) if e.name == start), None)
        self.start_title.setText(words.own(entry.card.title) if entry is not None else "")
        self.start_title.setVisible(bool(self.start_title.text()))
        networks = self._learning[method].networks if method in self._learning else ()
        names = [(f"{name}  ·  {_SUITS[name]}" if name in _SUITS else name, name, "") for name in networks]
        _fill(self.network, names, self._network or next(iter(networks), ""))
        for widget in (self.network, self.network_label):
            widget.setVisible(not start)
        self._show_reason(labels)
        self._show_advanced()
        self._collect()

    def _show_reason(self, labels: Mapping[str, str]) -> None:
        proposed = self.proposed
        if proposed is None:
            self.reason.setText(tr("Loading the methods…"))
            self.use.hide()
            return
        begin = tr("tuning {model}").format(model=proposed.model) if proposed.model else tr("from scratch")
        text = tr("Proposed: {method}, {begin}, because {reason}.").format(
            method=labels[proposed.method], begin=begin, reason=proposed.reason
        )
        if proposed.method == "r2r" and (self.correlates or self.grows):
            text += " " + (
                tr("It is told how the noise of these pictures correlates.")
                if self.correlates
                else tr("It is told how the noise of these pictures grows with brightness.")
            )
        if self.correlates and self._method_in_force in _INDEPENDENT:
            text += " " + tr("{method} takes noise for independent from pixel to pixel; this is not.").format(
                method=labels[self._method_in_force]
            )
        self.reason.setText(text)
        in_force = self._method_in_force, self._start_in_force
        self.use.setVisible(in_force != (proposed.method, proposed.model))

    def _show_advanced(self) -> None:
        for name, control in self.controls.items():
            automatic = control.spec.automatic
            value = self._by_hand.get(name) if automatic else self._value(name)
            control.set_value(value, self._automatic(name) if automatic else None)
        if self._specs != self._drawn:
            self._draw_params()
        values, suited = self._params(), self._suited()
        for spec in self._specs:
            control = self.params[spec.name]
            control.set_value(values.get(spec.name, spec.default))
            control.set_note(
                tr("Set by what was measured") if spec.name in suited and not self._is_by_hand(spec) else ""
            )
        devices = self.workspace.catalog.devices
        items = [(tr("Automatic"), "auto", ""), *((words.device(device), device, "") for device in devices)]
        _fill(self.device, items, self._value("device"))
        with QSignalBlocker(self.seed), QSignalBlocker(self.names_in_card):
            self.seed.setValue(self._value("seed"))
            self.names_in_card.setChecked(self._value("names_in_card"))
        for edit, name in ((self.validate, "validate"), (self.validate_noise, "validate_noise")):
            if edit.text().strip() != self._value(name):
                edit.setText(self._value(name))
        count = len(self._by_hand) + len(self._params_by_hand.get(self._method_in_force, {}))
        self.fold.setText(tr("&Advanced · {count} set by hand").format(count=count) if count else tr("&Advanced"))
        self.defaults.setEnabled(bool(count))

    def _is_by_hand(self, spec: Spec) -> bool:
        return spec.name in self._params_by_hand.get(self._method_in_force, {})

    def _draw_params(self) -> None:
        for control in self.params.values():
            self._params_box.removeWidget(control)
            control.hide()  # until it is gone
            control.deleteLater()
        self.params, self._drawn = {}, self._specs
        for index, spec in enumerate(self._specs):
            control = self.params[spec.name] = ChoiceControl(spec) if spec.choices else ParamControl(spec)
            control.value_changed.connect(self._set_param)
            control.reset.connect(self._reset_param)
            self._params_box.addWidget(control, index // 2, index % 2, Qt.AlignmentFlag.AlignTop)

    # What it comes to

    def _collect(self) -> None:
        """Write all into the plan, and say what is wrong with it."""
        plan = self.plan
        plan.method, plan.start = self._method_in_force, self._start_in_force or None
        plan.network = None if plan.start else self.network.currentData()
        # A network that begins with nothing has to beat what these pictures would else be denoised with.
        rival = None if plan.start else propose(self._report, self._entries(), 1 if self.is_grey else 3)
        plan.against = rival.model if rival is not None else None
        plan.until_best = self.best.isChecked()
        times = {self.quick: QUICK, self.good: GOOD, self.best: 60 * self.hours.value(), self.own: self.minutes.value()}
        plan.minutes = float(next(minutes for button, minutes in times.items() if button.isChecked()))
        names = ("learning_rate", "replay", "batch", "patch", "budget_mb", "threads", "seed", "device", "names_in_card")
        options = {name: self._value(name) for name in names}
        options |= {"grey": self.is_grey, "params": self._params()}
        if self._value("validate"):
            options |= {name: self._value(name) for name in ("validate", "validate_noise")}
        plan.options = options
        plan.name = self._free_name() if self._name is None else self._name.strip()
        if self._name is None and self.name.text() != plan.name:
            self.name.setText(plan.name)
        job: TrainJob | None = None
        self.error = self._wrong()
        if not self.error and plan.folder is not None and plan.method:
            try:
                job = plan.job()
            except TrainError as error:
                self.error = str(error)
        self.notice.setText(self.error)
        self.notice.setVisible(bool(self.error))
        self._plan_timing(job)
        self.changed.emit()

    def _wrong(self) -> str:
        """What stands in the way that a job does not know of; "" for nothing."""
        plan, used = self.plan, self.plan.used
        if about := self._about_name():
            return about
        if plan.until_best and not plan.held_out - plan.left_out:
            return tr(
                "Nothing is held out, so nobody can tell when it stops improving: hold some pictures out, or choose a "
                "time."
            )
        if used and all(min(one.width, one.height) < self._value("patch") for one in used):
            return tr("All pictures are smaller than a patch of {side} pixels; choose a smaller one.").format(
                side=self._value("patch")
            )
        if clean := self._value("validate"):
            if not Path(clean).is_dir():
                return tr("There is no folder {clean} of clean pictures; choose another one, or none.").format(
                    clean=clean
                )
            try:
                Corruption.parse(self._value("validate_noise"))
            except CorruptionError as error:
                return str(error)
        return ""

    def _taken(self) -> set[str]:
        return {entry.name.casefold() for entry in self.workspace.catalog.models}

    def _free_name(self) -> str:
        """From folder and method, with a number where there is such a model already."""
        folder = self.plan.folder.name if self.plan.folder is not None else ""
        stem = re.sub(r"[^\w.-]+", "-", f"{folder}-{self.plan.method}").strip("-._") or "tuned"
        name, number = stem, 1
        while name.casefold() in self._taken():
            number += 1
            name = f"{stem}-{number}"
        return name

    def _about_name(self) -> str:
        """What is wrong with the name; "" for nothing."""
        name = self.plan.name
        if not re.fullmatch(r"\w[\w.-]{0,79}", name):
            return tr(
                "A name has letters, digits, '.', '-' and '_', begins with a letter or digit and is not too long."
            )
        if name.casefold() in self._taken():
            return tr("There is a model {name} already; choose another name.").format(name=name)
        return ""

    # How long it takes

    def _plan_timing(self, job: TrainJob | None) -> None:
        """Measure anew where something changed that a step's time depends on."""
        alike = None if job is None else _of_speed(job)
        if alike != self._timed:
            self._background.drop(self._time_job)
            self._timed, self._rate, self._no_rate, self._time_job = alike, None, "", None
            self._rest.stop()
        if alike is not None and self._rate is None and not self._no_rate and self._time_job is None:
            self._rest.start()
        self._show_estimate()

    def _time(self) -> None:
        job = self._timed
        if job is None or not self.isVisible():
            return
        self._time_job = self._background.submit(lambda: timing.speed(job), self._take_rate)
        self._show_estimate()

    def _take_rate(self, kind: Kind, value: Any) -> None:
        if kind is Kind.PROGRESS:
            return
        self._time_job = None
        if kind is Kind.DONE:
            self._rate = value
        elif kind is Kind.FAILED:
            self._no_rate = str(value)
        self._show_estimate()

    def _show_estimate(self) -> None:
        plan, is_few = self.plan, False
        if self._rate is None:
            text = self._no_rate or (tr("Measuring how fast this computer learns…") if self._timed is not None else "")
            is_few = bool(self._no_rate)
        else:
            steps = self._rate * plan.minutes
            is_few = steps < (_FEW if plan.start else _FEW_ANEW)
            device = tr("this computer's GPU") if self._is_on_gpu else tr("this computer's processor")
            most = (
                tr("At most about {steps} steps on {device}, {rate} a minute")
                if plan.until_best
                else tr("About {steps} steps on {device}, {rate} a minute")
            )
            text = most.format(steps=_round(steps), device=device, rate=_round(self._rate))
            if is_few and plan.start:
                text = tr("{steps}: hardly a change. Give it more time, or fewer patches a step.").format(steps=text)
            elif is_few:
                text = tr("{steps}: far too few to learn from scratch. Start from a model, or give it hours.").format(
                    steps=text
                )
        self.estimate.setText(text)
        theme.restyle(self.estimate, "warning" if is_few else "muted")

    @property
    def _is_on_gpu(self) -> bool:
        device = self._by_hand.get("device", self.workspace.settings.device)
        return (next(iter(self.workspace.catalog.devices)) if device == "auto" else device) != "cpu"


def _of_speed(job: TrainJob) -> TrainJob:
    """A job with all that a step's time depends on, and nothing else."""
    return TrainJob("", steps=1, **{name: getattr(job, name) for name in _OF_SPEED})


def _round(number: float) -> str:
    """Two digits are what an estimate is good for."""
    if number < 1:
        return f"{number:.1g}"
    digits = max(0, len(str(int(number))) - 2)
    return f"{int(round(number, -digits)):,}"


def _row(grid: QGridLayout, row: int, text: str, widget: QWidget, column: int = 0) -> QLabel:
    """Put a widget with its label into a form."""
    label = QLabel(text)
    label.setBuddy(widget)
    label.setToolTip(widget.toolTip())
    widget.setAccessibleName(text.replace("&", ""))
    grid.addWidget(label, row, column)
    grid.addWidget(widget, row, column + 1)
    return label


def _combo(tip: str) -> QComboBox:
    combo = Combo()
    combo.setToolTip(f"<p>{tip}.</p>")
    combo.setPlaceholderText(tr("Loading…"))
    return combo


def _fill(combo: QComboBox, items: Sequence[tuple[str, str, str]], chosen: str) -> None:
    """Text, data and tooltip of each entry; the list is left alone where it is the same."""
    if [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count())] != [item[:2] for item in items]:
        combo.clear()
        for text, data, tip in items:
            combo.addItem(text, data)
            combo.setItemData(combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(combo.findData(chosen))
    combo.setEnabled(bool(items))


def _muted() -> QLabel:
    label = QLabel()
    label.setObjectName("muted")
    label.setWordWrap(True)
    return label
