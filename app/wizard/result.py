"""The last step: whether the tuned model is better, how its pictures look, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.background import Background
from app.compare.view import CompareView
from app.dialogs import DistilDialog, TextDialog, ask_export, card_text, confirmed
from app.jobs import Stage, export
from app.wizard import comparing
from app.wizard.comparing import Comparing, Result, Seen
from app.wizard.page import Page, Plan
from app.workspace import Workspace
from engine.language import tr, trn
from engine.worker import Job, Kind
from training.job import TrainError
from training.run import Run

_MODES = {"side": tr("Side by side"), "wipe": tr("Wipe"), "after": tr("Result only")}


class ResultPage(Page):
    """Shows a training that is over, and turns what the user decides into a model of the list."""

    title = tr("Result")

    distil_asked = Signal(object)
    """A `TrainJob` that is to be run next."""

    deleted = Signal(object)
    """The `Run` whose folder is gone now."""

    def __init__(self, plan: Plan, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(plan, parent)
        self.workspace = workspace
        self.run: Run | None = None
        self.result: Result | None = None
        self._background: Background | None = None
        self._comparing: Comparing | None = None
        self._compare_job: Job | None = None
        self._seen: dict[str, dict[str, Seen]] = {}
        self._used = ""
        self._shown_size: tuple[int, ...] = ()

        self.verdict, self.reason = QLabel(), QLabel()
        self.verdict.setObjectName("number")
        self.pictures = QComboBox()
        self.view = CompareView()
        self.nothing = QLabel()
        self.name = QLineEdit()
        self.note = QLabel()
        self._texts()
        self.card = QPushButton(tr("Show &card"))
        self.export = QPushButton(tr("E&xport…"))
        self.distil = QPushButton(tr("Distil to &one pass…"))
        self.delete = QPushButton(tr("&Delete this training…"))
        self.keep, self.use = QPushButton(), QPushButton(tr("&Use this model"))
        self._lay_out()
        self._connect()
        self._show_nothing("")
        self._show_buttons()

    # ---- Parts ----

    def _texts(self) -> None:
        for label in (self.verdict, self.reason, self.nothing, self.note):
            # Names of files and models are shown as they are.
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setIndent(0)  # else it follows the font, and they do not line up
        selectable = Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        self.reason.setTextInteractionFlags(selectable)
        self.nothing.setObjectName("muted")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setObjectName("muted")
        self.verdict.setAccessibleName(tr("Verdict"))
        self.pictures.setAccessibleName(tr("Held-out picture"))
        self.name.setAccessibleName(tr("Name of the model"))
        self.name.setMaximumWidth(280)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        column.addWidget(self.verdict)
        column.addWidget(self.reason)
        self.tools = self._tools()
        column.addWidget(self.tools)
        column.addWidget(self.view, 1)
        column.addWidget(self.nothing, 1)
        column.addWidget(theme.rule())
        row = QHBoxLayout()
        label = QLabel(tr("&Name"))
        label.setBuddy(self.name)
        row.addWidget(label)
        row.addWidget(self.name, 1)
        row.addWidget(self.note, 2)
        row.addWidget(self.keep)
        row.addWidget(self.use)
        column.addLayout(row)
        row = QHBoxLayout()
        for button in (self.card, self.export, self.distil):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self.delete)
        column.addLayout(row)

    def _tools(self) -> QWidget:
        tools = QWidget()
        row = QHBoxLayout(tools)
        row.setContentsMargins(0, 0, 0, 0)
        label = QLabel(tr("Held-out &picture"))
        label.setBuddy(self.pictures)
        self.pictures.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.pictures.setMinimumContentsLength(20)
        row.addWidget(label)
        row.addWidget(self.pictures)
        self.modes = QButtonGroup(self)
        for mode, text in _MODES.items():
            button = QToolButton()
            button.setText(text)
            button.setCheckable(True)
            button.setChecked(mode == self.view.mode)
            button.setProperty("mode", mode)
            self.modes.addButton(button)
            row.addWidget(button)
        self.noisy = QToolButton()
        self.noisy.setText(tr("Noisy"))
        self.noisy.setToolTip(tr("Show the noisy picture in place of the start's result; also while \\ is held"))
        self.noisy.setCheckable(True)
        row.addWidget(self.noisy)
        self.activity = QLabel()
        self.activity.setObjectName("muted")
        self.activity.setTextFormat(Qt.TextFormat.PlainText)
        self.activity.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setFixedWidth(120)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress of the comparison"))
        row.addWidget(self.activity, 1)
        row.addWidget(self.bar)
        return tools

    def _connect(self) -> None:
        self.pictures.currentIndexChanged.connect(self._compare)
        self.modes.buttonClicked.connect(lambda button: self.view.set_mode(button.property("mode")))
        self.view.mode_changed.connect(self._mode_changed)
        self.noisy.toggled.connect(self._show_pictures)
        self.name.textChanged.connect(self._show_note)
        self.use.clicked.connect(self._use)
        self.keep.clicked.connect(self._keep)
        self.export.clicked.connect(self._export)
        self.card.clicked.connect(self._show_card)
        self.distil.clicked.connect(self._distil)
        self.delete.clicked.connect(self._delete)
        self.workspace.models_changed.connect(self._show_buttons)
        self.workspace.imported.connect(self._imported)

    # ---- Work ----

    def _submit(self, work, handle) -> Job:
        if self._background is None:
            self._background = Background("result", self)
        return self._background.submit(work, handle)

    def _stop_comparing(self) -> None:
        if self._background is not None:
            self._background.drop(self._compare_job)
        self._compare_job = None
        self._show_activity("")

    def close_page(self) -> None:
        """End the thread."""
        self._stop_comparing()
        if self._background is not None:
            self._background.close()
            self._background = None

    def hideEvent(self, event: QHideEvent) -> None:
        """A comparison that nobody sees is not gone on with."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._stop_comparing()

    def showEvent(self, event: QShowEvent) -> None:
        """Go on with it."""
        super().showEvent(event)
        self._color_view()
        if not event.spontaneous():
            self._compare()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._color_view()
        super().changeEvent(event)

    def _color_view(self) -> None:
        colors = theme.colors()
        self.view.set_colors(colors.canvas, colors.text, colors.accent_hover)

    # ---- The result ----

    def show_run(self, run: Run) -> None:
        """Show this run in place of the last one, or how it is by now."""
        if run != self.run:
            self._forget(run)

        def handle(kind: Kind, value: Any) -> None:
            if run != self.run or kind is Kind.PROGRESS:
                return
            if kind is Kind.DONE:
                self._take(run, value)
            elif kind is Kind.FAILED:
                self._forget(run)
                self._show_verdict(tr("There is no result to show"), _sentence(value))
                self.delete.setEnabled(True)

        self._submit(lambda: comparing.look(run), handle)

    def _forget(self, run: Run | None) -> None:
        """Show nothing of what was known, and nothing yet of this run."""
        self._stop_comparing()
        self.run, self.result, self._comparing, self._used = run, None, None, ""
        self._seen.clear()
        self.noisy.setChecked(False)
        self.keep.setEnabled(True)
        self.pictures.clear()
        self._show_nothing("")
        self._show_verdict("", "")
        self._show_buttons()

    def _take(self, run: Run, result: Result) -> None:
        is_new = self.result is None or result.sha256 != self.result.sha256
        self.result = result
        self._show_verdict(_verdict(result), _reason(result))
        if is_new:
            self._stop_comparing()
            self._seen.clear()
            self._comparing = Comparing(run, result, self.workspace.settings.device)
            self.name.setText(result.suggested_name)
        names, why_not = comparing.names(result.job)
        self._show_nothing(why_not)
        if is_new or len(names) != self.pictures.count():
            self.pictures.blockSignals(True)
            self.pictures.clear()
            self.pictures.addItems(names)
            self.pictures.blockSignals(False)
        self._show_buttons()
        if is_new:
            # Enter presses what has the focus: never what deletes.
            (self.keep if self.keep.objectName() and self.keep.isVisibleTo(self) else self.use).setFocus()
        self._compare()
        self.changed.emit()

    def _show_verdict(self, verdict: str, reason: str) -> None:
        self.verdict.setText(verdict)
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))

    def _show_buttons(self) -> None:
        """What can be done with the result; what is recommended stands out."""
        result = self.result
        rival = result.rival if result is not None else ""
        keeps = result is not None and not _is_better(result) and bool(rival or result.verdict)
        self.keep.setText(tr("&Keep {rival}").format(rival=rival.replace("&", "&&")))
        self.keep.setVisible(bool(rival) and rival in {entry.name for entry in self.workspace.catalog.models})
        self.use.setText(tr("&Use it anyway") if keeps else tr("&Use this model"))
        for button, is_primary in ((self.keep, keeps), (self.use, not keeps)):
            theme.restyle(button, "primary" if is_primary else "")
        passes = result.passes if result is not None else 1
        self.distil.setVisible(passes > 1)
        self.distil.setToolTip(
            tr("Train a network that gives in one pass what this one gives in {passes}").format(passes=passes)
        )
        for widget in (self.name, self.card):
            widget.setEnabled(result is not None)
        self.delete.setEnabled(result is not None)
        self._show_note()

    # ---- Side by side ----

    def _show_nothing(self, why: str) -> None:
        """Say why there is nothing to compare; "" where there is something, or will be."""
        self.nothing.setText(why)
        self.nothing.setVisible(bool(why) or self.result is None)
        for widget in (self.tools, self.view):
            widget.setVisible(not why and self.result is not None)

    def _compare(self) -> None:
        """Denoise the chosen picture, unless that was done."""
        name, comparer = self.pictures.currentText(), self._comparing
        self.pictures.setToolTip(name)
        self._stop_comparing()
        self._show_pictures()
        if not name or comparer is None or not self.isVisible() or "tuned" in self._seen.get(name, {}):
            return

        def handle(kind: Kind, value: Any) -> None:
            if isinstance(value, Seen):
                self._seen.setdefault(name, {})[value.role] = value
                self._show_pictures()
            elif isinstance(value, Stage):
                self._show_activity(value.text)
            elif isinstance(value, float):
                self._show_activity(self.activity.text(), value)
            if kind is Kind.PROGRESS:
                return
            self._compare_job = None
            failure = f"{name}: {_sentence(value)}" if isinstance(value, BaseException) else ""
            self._show_activity(failure, is_busy=False)

        self._show_activity(tr("Reading {name}").format(name=name))
        self._compare_job = self._submit(lambda: comparer.compare(name), handle)

    def _show_pictures(self) -> None:
        seen = self._seen.get(self.pictures.currentText(), {})
        noisy, tuned = seen.get("noisy"), seen.get("tuned")
        before = noisy if self.noisy.isChecked() else seen.get("start", noisy)
        self.noisy.setVisible(self.result is not None and bool(self.result.rival))
        if before is None:
            self.view.set_before(None)
            self.view.set_after(None)
            return
        self.view.set_before(before.pixels)
        self.view.set_after(None if tuned is None else tuned.pixels)
        self.view.set_labels(before.label, "" if tuned is None else tuned.label)
        if before.pixels.shape != self._shown_size:
            self._shown_size = before.pixels.shape
            if self.view.judged_at_fit:
                self.view.zoom_to(1.0)  # averaged, its noise would be hidden

    def _show_activity(self, text: str, share: float | None = None, is_busy: bool = True) -> None:
        self.activity.setText(text)
        self.activity.setToolTip(text)
        self.view.set_hints(text, text)
        self.bar.setVisible(bool(text) and is_busy)
        self.bar.setRange(0, 0 if share is None else 1000)
        if share is not None:
            self.bar.setValue(round(share * 1000))

    def _mode_changed(self, mode: str) -> None:
        for button in self.modes.buttons():
            button.setChecked(button.property("mode") == mode)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys of the main window's view."""
        key, modifiers = event.key(), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if key == Qt.Key.Key_Backslash:
            self.noisy.setChecked(True)
        elif key == Qt.Key.Key_Y and modifiers in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier):
            self.view.set_mode("wipe" if modifiers else "side")
        elif modifiers == Qt.KeyboardModifier.NoModifier and key in (Qt.Key.Key_0, Qt.Key.Key_1):
            self.view.fit() if key == Qt.Key.Key_0 else self.view.zoom_to(1.0)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End a look at the noisy picture."""
        if event.key() == Qt.Key.Key_Backslash:
            if not event.isAutoRepeat():
                self.noisy.setChecked(False)
        else:
            super().keyReleaseEvent(event)

    # ---- What becomes of it ----

    def _show_note(self) -> None:
        """Whether the name can be used, or that it is."""
        name, note = self.name.text().strip(), ""
        taken = {entry.name for entry in self.workspace.catalog.models}
        is_used = bool(self._used) and name == self._used
        if is_used:
            note = tr("{name} is in the model list and chosen.").format(name=name)
        elif name in taken:
            note = tr("There is a model {name} already; choose another name.").format(name=name)
        elif self.result is not None and not re.fullmatch(r"\w[\w.-]*", name):
            note = tr("A name is made of letters, digits, '.', '-' and '_'.")
        self._say(note, is_warning=bool(note) and not is_used)
        self.use.setEnabled(self.result is not None and not note)
        self.export.setEnabled(self.result is not None and (not note or is_used))

    def _say(self, sentence: str, is_warning: bool = False) -> None:
        theme.restyle(self.note, "warning" if is_warning else "muted")
        self.note.setText(sentence)

    def _use(self) -> None:
        """Put the model into the list under its name and choose it."""
        run, name = self.run, self.name.text().strip()
        if run is None or self.result is None:
            return
        for button in (self.use, self.keep):  # until it is chosen: what is clicked last counts
            button.setEnabled(False)
        self._say(tr("Installing {name}…").format(name=name))

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                self.workspace.refresh_models(select=value)
                self._used = value if run is self.run else ""
            elif kind is Kind.FAILED:
                for button in (self.use, self.keep):
                    button.setEnabled(True)
                self._say(_sentence(value), is_warning=True)

        self._submit(lambda: comparing.use(run, name), handle)

    def _imported(self, name: str) -> None:
        self.keep.setEnabled(True)
        if name == self._used:
            self._show_note()

    def _keep(self) -> None:
        """Choose what the training began with."""
        if self.result is not None:
            self.workspace.set_model(self.result.rival)
            self._say(tr("{rival} is chosen; this training stays in its folder.").format(rival=self.result.rival))

    def _export(self) -> None:
        """Ask for a file, and write the model with its card."""
        run, name = self.run, self.name.text().strip()
        if run is None:
            return
        target = ask_export(name, self.workspace.settings.folder, self)
        if target is None:
            return

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.DONE:
                self._say(tr("Exported as {path}").format(path=value))
            elif kind is Kind.FAILED:
                self._say(_sentence(value), is_warning=True)

        self._submit(lambda: export(run.checkpoint, name, target), handle)

    def _show_card(self) -> None:
        if self.result is not None:
            entry = self.result.entry
            labels: Mapping[str, str] = {method.id: method.label for method in self.workspace.catalog.methods}
            TextDialog(tr("About {name}").format(name=entry.name), card_text(entry, labels), self).show()

    def _distil(self) -> None:
        """Ask for the budget of a last step, and for that to be run."""
        run, result = self.run, self.result
        if run is None or result is None:
            return
        dialog = DistilDialog(f"{self.name.text().strip()}-one-pass", result.passes, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            try:
                job = comparing.distilled(result, run, dialog.name.text().strip(), dialog.minutes.value())
            except TrainError as error:
                self._say(str(error), is_warning=True)
                return
            self.distil_asked.emit(job)

    def _delete(self) -> None:
        """Ask, and remove the run folder."""
        run = self.run
        if run is None:
            return
        if run.is_running:
            self._say(tr("The training is still running; stop it first."), is_warning=True)
            return
        question = tr("What was learned in {name} will be gone for good.").format(name=run.folder.name)
        if self._used:
            question += " " + tr("The model {name} stays in the list.").format(name=self._used)
        if not confirmed(self, tr("Delete this training?"), question, tr("Delete")):
            return
        run.delete()
        if run.folder.exists():
            self._say(
                tr("{folder} cannot be deleted; is a file of it open?").format(folder=run.folder), is_warning=True
            )
            return
        self._forget(None)
        self._show_verdict(tr("This training was deleted"), "")
        self.deleted.emit(run)
        self.changed.emit()


def _is_better(result: Result) -> bool:
    return result.verdict is not None and result.verdict.is_better


def _verdict(result: Result) -> str:
    """The decision in one line."""
    verdict, rival = result.verdict, result.rival
    if verdict is None:
        if rival:
            return tr("Nobody can tell whether it is better than {rival}").format(rival=rival)
        return tr("Nobody can tell whether it is better than the noisy pictures")
    gain = words.gain(verdict)
    if not verdict.is_better:
        # Where no gain is known, nothing was found to speak against it either.
        if rival:
            said = (
                tr("Keep {rival}: {model} is not better")
                if gain
                else tr("Keep {rival}: {model} is not shown to be better")
            )
        elif gain:
            said = tr("{model} is not better than the noisy pictures")
        else:
            said = tr("{model} is not shown to be better than the noisy pictures")
        return _capital(said.format(model=result.model, rival=rival))
    if result.job.start:
        said = tr("{model} is better")
    else:
        said = tr("{model} is better than {rival}") if rival else tr("{model} is better than the noisy pictures")
    said = _capital(said.format(model=result.model, rival=rival))
    on = trn(
        "estimated on {count} picture it has not seen", "estimated on {count} pictures it has not seen", result.held_out
    )
    return f"{said}{f': {gain}' if gain else ''} ({on.format(count=result.held_out)})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reason(result: Result) -> str:
    """Why, and what else must be known."""
    parts = []
    if result.verdict is not None:
        parts.append(result.verdict.reason)
    elif result.held_out or result.job.held_out or result.job.hold_out:
        parts.append(tr("The training ended before it was judged on the pictures that were held out."))
    else:
        parts.append(tr("No picture was held out to judge it on. Try it on pictures of yours before you rely on it."))
    if result.ended is not None and result.ended.reason == "failed":
        parts.append(
            tr("The training failed: {message}. The model is what it had learned before.").format(
                message=result.ended.message
            )
        )
    return " ".join(part for part in parts if part)


def _sentence(error: BaseException) -> str:
    """What the user is told of a failure."""
    if isinstance(error, ValueError | OSError | MemoryError):
        return str(error) or tr("There is not enough memory.")
    return tr("Something went wrong that should not: {name}: {error}").format(name=type(error).__name__, error=error)
