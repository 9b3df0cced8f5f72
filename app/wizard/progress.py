"""The third step: what a training does, live or as it went, and what it can be asked."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QFocusEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.dialogs import TextDialog
from app.wizard.curves import Curves
from app.wizard.page import Page, Plan
from app.wizard.training_run import TrainingRun
from app.words import is_sharp, wrapped
from app.workspace import Workspace
from engine.language import tr, trn
from training.events import Event, HeldOut, Judged, Previewed, Staged, Started, Step, Validated, Warned
from training.job import TrainError, TrainJob
from training.run import PREVIEWS, STATE, Run

_Kind = TypeVar("_Kind")

REDRAW_MS = 250
"""Between two looks at what happened."""

_MOST_WARNINGS = 200
_LOG_BYTES = 200_000

_RIM = 0.15
"""Of a crop's side, what may be out of sight so that it can be enlarged."""

_STATES = {
    "starting": tr("Reading pictures…"),
    "running": tr("Training"),
    "pausing": tr("Pausing…"),
    "paused": tr("Paused"),
    "stopping": tr("Stopping…"),
    "finished": tr("Finished"),
    "stopped": tr("Stopped"),
    "failed": tr("Failed"),
    "interrupted": tr("Interrupted"),
    "cancelled": tr("Cancelled"),
}

_NOTES = {
    "starting": tr("Pictures are read and measured; the first step comes after 5 to 60 seconds."),
    "pausing": tr("It saves what it has first."),
    "stopping": tr("What was learned is saved and judged once more."),
    "finished": tr("The next step shows what it reached."),
    "stopped": tr("The next step shows what it reached."),
    "cancelled": tr("What was learned is deleted."),
}

_LOSS_HELP = tr(
    "What the network is trained to make small. Each method has its own scale, so it says whether learning goes on, "
    "not how good the pictures are. Faint: what was reported; bold: its mean over the neighbouring reports."
)
_HELD_OUT_HELP = tr(
    "How close the denoised pictures come to the unknown clean ones, in dB; more is better. It is measured on pictures "
    "that are never learned from, and needs no clean picture: the measured noise tells how large the error is. The "
    "shaded area holds the true value in 95 of 100 cases. Where the gain is above 0, the network beats {against}."
)
_SHARE_HELP = tr(
    "How much smaller the error of the denoised pictures is than with {against}, in parts of the noise's power; more "
    "is better. It is measured on pictures that are never learned from, and needs no clean picture. It stands here "
    "where the noise is not known well enough for dB. The shaded area holds the true value in 95 of 100 cases."
)
_BLIND_HELP = tr(
    "The method's own loss on the held-out pictures, always on the same patches with the same random numbers; less is "
    "better. It stands here where no PSNR can be estimated."
)
_TRUE_HELP = tr(
    "The true PSNR is that on the clean pictures of the validation folder. It is never used to choose anything; it "
    "shows how far the estimate can be trusted."
)

_FACTS = {
    "pictures": (tr("Pictures"), tr("How many it learns from, and how many are held out: those only judge it.")),
    "stage": (
        tr("Stage"),
        tr("Some methods learn in several parts; dotted lines in the curves show where one begins."),
    ),
    "structure": (
        tr("Residual structure"),
        tr(
            "What the network takes away should be noise alone: 0 is nothing of the picture in it. Where this rises, "
            "details are being taken away too."
        ),
    ),
    "rate": (tr("Learning rate"), tr("How far a step goes. It falls towards the end, so that the network settles.")),
    "speed": (tr("Patches a second"), tr("How many pieces of pictures it learns from in a second.")),
    "memory": (tr("Memory"), tr("What the training takes of this computer's memory.")),
    "gpu": (tr("GPU memory"), tr("What the training takes on the graphics processor.")),
    "device": (
        tr("Runs on"),
        tr("The device, the precision that it computes in, and how many processes share the work."),
    ),
}


class ProgressPage(Page):
    """Numbers, curves and preview of one training, and the buttons that ask something of it."""

    title = tr("Training")

    def __init__(self, plan: Plan, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(plan, parent)
        self.workspace = workspace
        self.training: TrainingRun | None = None
        self._job: TrainJob | None = None
        self._latest: dict[type, Event] = {}
        self._step = 0
        self._warnings: deque[Warned] = deque(maxlen=_MOST_WARNINGS)
        self._is_new_picture = False

        self.state, self.note = QLabel(), QLabel()
        self.state.setObjectName("number")
        self.state.setIndent(0)
        self.note.setObjectName("muted")
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.pause = QPushButton(tr("&Pause"))
        self.stop = QPushButton(tr("&Stop and keep"))
        self.stop.setToolTip(tr("End now; what was learned is saved and judged"))
        self.cancel = QPushButton(tr("&Cancel…"))
        self.cancel.setToolTip(tr("End now and delete what was learned"))
        self.bar = QProgressBar()
        self.bar.setAccessibleName(tr("Progress"))
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.notice = _Notice()
        self.curves = Curves()
        self.curves.loss_title.setToolTip(wrapped(_LOSS_HELP))
        self.curves.loss_value.setToolTip(wrapped(_LOSS_HELP))
        self.preview = Preview()
        self.facts: dict[str, tuple[QLabel, QLabel]] = {}

        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.state)
        head.addSpacing(4)
        head.addWidget(self.note, 1)
        for button in (self.pause, self.stop, self.cancel):
            head.addWidget(button)
        below = QHBoxLayout()
        below.setSpacing(16)
        below.addWidget(self.preview, 1)
        below.addWidget(self._fact_panel())
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.bar)
        column.addWidget(self.notice)
        column.addWidget(self.curves, 1)
        column.addLayout(below)

        self.pause.clicked.connect(self._pause_or_resume)
        self.stop.clicked.connect(self._stop)
        self.cancel.clicked.connect(self._cancel)
        self.notice.details.clicked.connect(self._show_warnings)
        self.notice.log.clicked.connect(self._show_log)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self.show_all)
        self.show_all()

    def _fact_panel(self) -> QWidget:
        panel = QWidget()
        panel.setMinimumWidth(216)
        grid = QGridLayout(panel)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        for row, (key, (name, explained)) in enumerate(_FACTS.items()):
            label, value = QLabel(name), QLabel()
            label.setObjectName("muted")
            label.setIndent(0)
            for cell, place in ((label, 0), (value, 1)):
                cell.setToolTip(wrapped(explained))
                grid.addWidget(cell, row, place)
            self.facts[key] = (label, value)
        grid.setRowStretch(len(_FACTS), 1)
        grid.setColumnStretch(1, 1)
        return panel

    # ---- Following ----

    @property
    def is_complete(self) -> bool:
        """Whether there is a result to look at."""
        return self.training is not None and not self.training.is_live and self.training.run.checkpoint.exists()

    def follow(self, training: TrainingRun) -> None:
        """Show this run, as it went so far and from now on, in place of the last one."""
        self.close_page()
        self.training = training
        try:
            self._job = training.run.job()
        except TrainError:
            self._job = None
        self._latest, self._step = {}, 0
        self._warnings.clear()
        self.curves.clear()
        self.preview.forget()
        for event in training.events:
            self._keep(event)
        self._is_new_picture = True
        training.happened.connect(self._take)
        training.state_changed.connect(self._state_changed)
        self._state_changed()

    def close_page(self) -> None:
        """Follow nothing any more; what is shown stays."""
        self._redraw.stop()
        if self.training is not None:
            self.training.happened.disconnect(self._take)
            self.training.state_changed.disconnect(self._state_changed)
            self.training = None

    def _take(self, event: Event) -> None:
        self._keep(event)
        if not self._redraw.isActive():
            self._redraw.start()

    def _keep(self, event: Event) -> None:
        if event.step < self._step and self.training is not None:
            # A run that was resumed, or fell back, does again what it did since.
            self._latest = {type(old): old for old in self.training.events if old.step <= event.step}
        self._step = event.step
        self._latest[type(event)] = event
        match event:
            case Warned():
                self._warnings.append(event)
            case Previewed():
                self._is_new_picture = True
        self.curves.add(event)

    def _last(self, kind: type[_Kind]) -> _Kind | None:
        event = self._latest.get(kind)
        return event if isinstance(event, kind) else None

    def _state_changed(self) -> None:
        self.show_all()
        self.changed.emit()

    # ---- Showing ----

    def show_all(self) -> None:
        """Show what is known by now."""
        self._redraw.stop()
        self._show_state()
        self._show_notice()
        self._show_loss()
        self._show_held_out()
        self._show_facts()
        self.curves.redraw()
        if self._is_new_picture and self.training is not None:
            self._is_new_picture = False
            self.preview.load(self.training.run)
        shown = self._last(Previewed)
        self.preview.set_names(
            self._start_name(), tr("Now · step {step:,}").format(step=shown.step) if shown is not None else tr("Now")
        )

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._color_state()
        super().changeEvent(event)

    def _start_name(self) -> str:
        return Path(self._job.start).stem if self._job is not None and self._job.start else ""

    @property
    def _phase(self) -> str:
        """State of the run, "" without one."""
        return self.training.state if self.training is not None else ""

    def _show_state(self) -> None:
        state = self._phase
        is_live = self.training is not None and self.training.is_live
        is_held, can_resume = state in ("pausing", "paused"), state in ("interrupted", "failed", "stopped")
        self._color_state()
        self.state.setText(_STATES.get(state, tr("No training yet")))
        self.pause.setText(tr("&Resume") if is_held or can_resume else tr("&Pause"))
        self.pause.setEnabled((is_live and state != "stopping") or can_resume)
        self.stop.setEnabled(is_live and state != "stopping")
        self.cancel.setEnabled(is_live or state in ("interrupted", "failed"))
        done, begun = self._last(Step), self._last(Started)
        notes = [_NOTES[state]] if state in _NOTES else []
        if state != "cancelled" and begun is not None:
            said = tr("step {step:,} of {steps:,}") if begun.steps else tr("step {step:,}")
            notes.insert(0, said.format(step=self._step, steps=begun.steps))
        if state == "running" and done is not None and done.seconds_left is not None:
            notes.append(tr("about {duration} left").format(duration=words.duration(done.seconds_left)))
        self.note.setText(" · ".join(notes))
        self.note.setToolTip(wrapped(self.note.text()))
        is_unknown = state == "starting" or (state == "running" and done is None)
        self.bar.setRange(0, 0 if is_unknown else 1000)
        if not is_unknown:
            share = 1.0 if state == "finished" else done.progress if done is not None else 0.0
            self.bar.setValue(round(1000 * share))

    def _color_state(self) -> None:
        c = theme.colors()
        states = {"failed": c.failed, "interrupted": c.warning, "finished": c.done, "paused": c.warning}
        color = states.get(self._phase)
        style = f"color: {color};" if color else ""
        if style != self.state.styleSheet():
            self.state.setStyleSheet(style)
            self.state.updateGeometry()

    def _show_notice(self) -> None:
        is_bad = self._phase in ("failed", "interrupted")
        sentence = self._warnings[-1].message if self._warnings else ""
        if self.training is not None and is_bad:
            sentence = _ended_badly(self.training)
        elif self.training is not None and self._phase == "stopped":
            sentence = self.training.message or sentence
        self.notice.say(sentence, is_bad=is_bad, warnings=len(self._warnings))

    def _show_loss(self) -> None:
        step = self._last(Step)
        self.curves.loss_value.setText(f"{step.loss:.4g}" if step is not None else "–")
        self.curves.loss_note.setText(
            tr("over the steps; faint as reported, bold its mean") if step is not None else ""
        )

    def _show_held_out(self) -> None:
        """The estimate; where there is none its reason, and the method's own loss in its place."""
        judged, blind, begun = self._last(Judged), self._last(HeldOut), self._last(Started)
        against = self._against()
        title, value, note, explained = tr("Held-out estimate of PSNR"), "–", "", _HELD_OUT_HELP
        is_in_db = judged is not None and (is_sharp(judged.psnr_db, judged.band_db) or judged.gain is None)
        if judged is not None and judged.psnr_db is not None and is_in_db:
            value = f"{judged.psnr_db:.2f}{words.band(judged.band_db)} dB"
            note = (
                tr("{gain} over {against}").format(gain=gain, against=against) if (gain := words.gain(judged)) else ""
            )
        elif judged is not None and judged.gain is not None:
            title, value, explained = (
                tr("Held-out estimate of the error"),
                words.share(judged).capitalize(),
                _SHARE_HELP,
            )
            note = tr("of the noise's power, than with {against}").format(against=against)
        else:
            note = (
                tr("No PSNR is estimated: {reason}").format(reason=judged.reason)
                if judged is not None and judged.reason
                else ""
            )
            if blind is not None:
                title, value, explained = tr("Held-out loss"), f"{blind.loss:.4g}", f"{_BLIND_HELP} {note}"
            elif begun is not None and not begun.held_out:
                note = tr("Nothing is judged: no pictures are held out.")
            elif begun is not None:
                note = note or tr("The first judgement is being made.")
        true = self._last(Validated)
        if true is not None:
            said = tr("true {psnr_db:.2f} dB, never used to choose").format(psnr_db=true.psnr_db)
            note = f"{note} · {said}" if note else said
        tip = wrapped(explained.format(against=against)) + (wrapped(_TRUE_HELP) if true is not None else "")
        curves = self.curves
        labels = (curves.held_out_title, curves.held_out_value, curves.held_out_note)
        for label, text in zip(labels, (title, value, note), strict=True):
            label.setText(text)
            label.setToolTip(tip)

    def _against(self) -> str:
        """What the gain is over."""
        if self._job is not None and (self._job.against or self._job.start):
            return Path(self._job.against or self._job.start or "").stem
        return tr("the noisy pictures")

    def _show_facts(self) -> None:
        begun, step, stage = self._last(Started), self._last(Step), self._last(Staged)
        judged = self._last(Judged)
        texts = dict.fromkeys(_FACTS, "")
        if begun is not None:
            texts["pictures"] = tr("{pictures:,}, {held_out:,} held out").format(
                pictures=begun.pictures, held_out=begun.held_out
            )
            count = begun.processes
            shared = " · " + trn("{count} process", "{count} processes", count).format(count=count) if count > 1 else ""
            texts["device"] = f"{begun.device} · {begun.precision}{shared}"
        if stage is not None:
            texts["stage"] = words.own(stage.stage)
        if judged is not None and judged.structure is not None:
            texts["structure"] = tr("{structure:.1f} % of the noise").format(structure=100 * judged.structure)
        if step is not None:
            texts["rate"] = f"{step.learning_rate:.2g}"
            texts["speed"] = f"{step.patches_per_s:,.0f}" if step.patches_per_s >= 10 else f"{step.patches_per_s:.1f}"
            texts["memory"] = _size(step.memory_mb)
            texts["gpu"] = _size(step.gpu_mb)
        for key, (label, value) in self.facts.items():
            value.setText(texts[key])
            for cell in (label, value):
                cell.setVisible(bool(texts[key]))

    def _show_warnings(self) -> None:
        lines = "\n".join(
            tr("Step {step:,}: {message}").format(step=warned.step, message=warned.message) for warned in self._warnings
        )
        TextDialog(tr("Warnings"), lines, self).show()

    def _show_log(self) -> None:
        if self.training is not None:
            log = self.training.run.log
            TextDialog(tr("Log: {log}").format(log=log), _end_of(log), self).show()

    # ---- Asking ----

    def _pause_or_resume(self) -> None:
        if self.training is None:
            return
        if not self.training.is_live:
            self.training.resume()
        elif self.training.state in ("pausing", "paused"):
            self.training.go_on()
        else:
            self.training.pause()

    def _stop(self) -> None:
        if self.training is not None:
            self.training.stop()

    def _cancel(self) -> None:
        question = tr("Cancel this training? Everything that it learned is lost, and cannot be brought back.")
        box = QMessageBox(QMessageBox.Icon.Warning, tr("Cancel training"), question, parent=self)
        yes = box.addButton(tr("Cancel training"), QMessageBox.ButtonRole.DestructiveRole)
        no = box.addButton(tr("Keep it"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(no)
        box.exec()
        if box.clickedButton() is yes and self.training is not None:
            self.training.cancel()


class _Notice(QFrame):
    """One sentence about the run, with all warnings and the log a click away."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("message")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details, self.log = QToolButton(), QToolButton()
        self.log.setText(tr("Open log"))
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 6, 4)
        row.addWidget(self.text, 1)
        row.addWidget(self.details)
        row.addWidget(self.log)

    def say(self, sentence: str, *, is_bad: bool, warnings: int) -> None:
        """Show a sentence, and the way to the log where it is bad news; nothing without one."""
        self.text.setText(sentence)
        font = self.font()
        font.setBold(is_bad)
        self.text.setFont(font)
        self.details.setText(tr("Details…") if warnings < 2 else tr("Details ({count})…").format(count=warnings))
        self.details.setVisible(warnings > 0)
        self.log.setVisible(is_bad)
        self.setVisible(bool(sentence))


class Preview(QWidget):
    """One crop before, as the start denoises it, and now: same scale, single pixels, on neutral grey.

    Where a crop is larger than the room for it, its middle is shown. Holding the mouse or the space bar shows the start
    (from scratch: the noisy crop) in the place of the present one.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: list[QImage] = [QImage() for _ in PREVIEWS]
        self._start, self._now = "", tr("Now")
        self._is_flipped = False
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMinimumSize(300, 150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName(tr("Preview"))
        self.setAccessibleDescription(
            tr("One crop, noisy and denoised. Hold the space bar to see the start in its place.")
        )
        self.setToolTip(tr("Hold the mouse to see the start in the place of the present result"))

    def sizeHint(self) -> QSize:
        """Room for three crops of 256 pixels."""
        return QSize(780, 256 + self._caption_height() + 6)

    def forget(self) -> None:
        """Show nothing."""
        self._images = [QImage() for _ in PREVIEWS]
        self.update()

    def load(self, run: Run) -> None:
        """Read the pictures of a run folder anew; one that cannot be read stays as it was."""
        for index, name in enumerate(PREVIEWS):
            try:
                data = (run.folder / name).read_bytes()
            except OSError:
                continue
            image = QImage.fromData(data)
            if not image.isNull():
                self._images[index] = image
        self.update()

    def set_names(self, start: str, now: str) -> None:
        """What the second and the third are called."""
        if (start, now) != (self._start, self._now):
            self._start, self._now = start, now
            self.update()

    @property
    def shown(self) -> list[tuple[str, QImage]]:
        """Captions and pictures from left to right."""
        before, start, now = self._images
        names = (
            tr("Before"),
            tr("Start: {start}").format(start=self._start) if self._start else tr("Start"),
            self._now,
        )
        panes = [(name, image) for name, image in zip(names, self._images, strict=True) if not image.isNull()]
        if self._is_flipped and not now.isNull() and len(panes) > 1:
            panes[-1] = (names[0], before) if start.isNull() else (names[1], start)
        return panes

    def _caption_height(self) -> int:
        return self.fontMetrics().height() + 6

    def _flip(self, on: bool) -> None:
        if on != self._is_flipped:
            self._is_flipped = on
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the crops side by side."""
        c, panes = theme.colors(), self.shown
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(c.canvas))
        painter.setPen(QColor(c.text))
        if not panes:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, tr("No preview yet"))
        else:
            top, ratio = self._caption_height(), self.devicePixelRatioF()
            room = QSize(int((self.width() / len(panes) - 4) * ratio), int((self.height() - top - 4) * ratio))
            # In pixels of the screen: nothing is resampled. A narrow rim is worth the next whole factor.
            size = panes[0][1].size()
            fits = min(room.width() / size.width(), room.height() / size.height())
            factor = max(1, int(fits / (1 - _RIM)))
            for index, (name, image) in enumerate(panes):
                left = index * self.width() / len(panes)
                width = min(image.width(), room.width() // factor)
                height = min(image.height(), room.height() // factor)
                source = QRectF((image.width() - width) // 2, (image.height() - height) // 2, width, height)
                x = round((left + (self.width() / len(panes) - width * factor / ratio) / 2) * ratio) / ratio
                target = QRectF(x, top, width * factor / ratio, height * factor / ratio)
                painter.drawImage(target, image, source)
                caption = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, int(target.width()))
                painter.drawText(QPointF(x, top - 6), caption)
                if self._is_flipped and index == len(panes) - 1:
                    painter.setPen(QPen(QColor(c.accent), 2))
                    painter.drawRect(target)
                    painter.setPen(QColor(c.text))
        if self.hasFocus():
            painter.setPen(QPen(QColor(c.accent), 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Show the start in place of the present."""
        self._flip(True)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Show the present again."""
        self._flip(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Show the start while the space bar is held."""
        if event.key() == Qt.Key.Key_Space:
            self._flip(True)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Show the present again."""
        if event.key() != Qt.Key.Key_Space:
            super().keyReleaseEvent(event)
        elif not event.isAutoRepeat():
            self._flip(False)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """No key goes up where the focus is not."""
        self._flip(False)
        super().focusOutEvent(event)


def _ended_badly(training: TrainingRun) -> str:
    """Why a run is over that should not be, and what can be done."""
    kept = training.run.checkpoint.exists()
    if not training.run.folder.is_dir():
        return tr("{message}. Connect its disk again and resume, or go back and start a new training.").format(
            message=training.message
        )
    if training.state == "failed":
        reason = (training.message or tr("It did not say why")).rstrip(".")
        advice = (
            tr("What it had learned at its last save is kept: look at the result, or resume.")
            if kept
            else tr("Nothing was learned. Go back, change what stands in the way, and start again; the log says more.")
        )
        return f"{reason}. {advice}"
    is_saved = (training.run.folder / STATE).exists()
    if is_saved:
        return tr(
            "The training ended without a word, as after a power cut. Resume goes on from its last save, at most a "
            "minute before."
        )
    return tr("The training ended without a word, as after a power cut. Resume goes on from its beginning.")


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return tr("The log cannot be read ({reason}).").format(reason=error.strerror)


def _size(megabytes: float | None) -> str:
    if megabytes is None:
        return ""
    return f"{megabytes:.0f} MB" if megabytes < 1024 else f"{megabytes / 1024:.1f} GB"
