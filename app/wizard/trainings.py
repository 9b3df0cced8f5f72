"""The trainings that there are: the list of earlier ones, and what becomes of a running one when its window closes."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QDateTime, QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.dialogs import confirmed
from app.wizard.training_run import TrainingRun
from engine.language import tr
from training.run import JOB, runs

_STATES = {
    "starting": tr("starts"),
    "running": tr("running"),
    "pausing": tr("pauses"),
    "paused": tr("paused"),
    "stopping": tr("stops"),
    "finished": tr("finished"),
    "stopped": tr("stopped"),
    "failed": tr("failed"),
    "interrupted": tr("interrupted"),
}


class EarlierTrainings(QDialog):
    """All run folders of the user, to look at, to go on with, or to delete."""

    open_asked = Signal(object)
    """The `TrainingRun` that is to be shown."""

    resume_asked = Signal(object)

    deleted = Signal(object)
    """The `Run` whose folder is gone now."""

    def __init__(self, may_resume: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Earlier trainings"))
        self.resize(720, 400)
        self._may_resume = may_resume
        self.trainings: list[TrainingRun] = []
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels([tr("Name"), tr("State"), tr("Steps"), tr("Begun")])
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.table.setAccessibleName(tr("Earlier trainings"))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setWordWrap(True)
        self.open_button = QPushButton(tr("&Open"))
        self.open_button.setObjectName("primary")
        self.resume_button = QPushButton(tr("&Resume"))
        self.delete_button = QPushButton(tr("&Delete…"))
        close = QPushButton(tr("C&lose"))
        buttons = QHBoxLayout()
        for button in (self.open_button, self.resume_button, self.delete_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.note)
        layout.addLayout(buttons)
        self.table.itemSelectionChanged.connect(self._show_chosen)
        self.table.itemDoubleClicked.connect(lambda _: self._open())
        self.open_button.clicked.connect(self._open)
        self.resume_button.clicked.connect(self._resume)
        self.delete_button.clicked.connect(self._delete)
        close.clicked.connect(self.close)
        self.refresh()

    def refresh(self) -> None:
        """Read the folder of runs anew."""
        self.trainings = [TrainingRun(run, self) for run in runs()]
        self.table.setRowCount(len(self.trainings))
        for row, training in enumerate(self.trainings):
            begun = (training.run.folder / JOB).stat().st_mtime
            when = QLocale().toString(
                QDateTime.fromSecsSinceEpoch(int(begun)).toLocalTime(), QLocale.FormatType.ShortFormat
            )
            for column, text in enumerate((training.name, _STATES[training.state], f"{training.step:,}", when)):
                item = QTableWidgetItem(text)
                item.setToolTip(str(training.run.folder))
                self.table.setItem(row, column, item)
        if self.trainings:
            self.table.selectRow(0)
        self._show_chosen()

    @property
    def chosen(self) -> TrainingRun | None:
        """The one that is selected."""
        rows = self.table.selectionModel().selectedRows()
        return self.trainings[rows[0].row()] if rows else None

    def _show_chosen(self) -> None:
        training = self.chosen
        is_idle = training is not None and not training.is_live
        can_go_on = training is not None and is_idle and training.state != "finished"
        self.open_button.setEnabled(training is not None)
        self.resume_button.setEnabled(can_go_on and self._may_resume)
        self.delete_button.setEnabled(is_idle)
        note = training.message if training is not None else tr("There is no training yet.")
        if can_go_on and not self._may_resume:
            said = tr("Another training is running: stop it before this one goes on.")
            note = f"{note} {said}".strip()
        self.note.setText(note)
        self.note.setVisible(bool(note))

    def _open(self) -> None:
        self._hand_over(self.open_asked.emit)

    def _resume(self) -> None:
        self._hand_over(self.resume_asked.emit)

    def _hand_over(self, ask: Callable[[TrainingRun], None]) -> None:
        training = self.chosen
        if training is not None:
            training.setParent(None)  # it outlives this list
            ask(training)
            self.close()

    def _delete(self) -> None:
        training = self.chosen
        if training is None:
            return
        question = tr("Delete the training {name}, with its curves and all that it learned?").format(name=training.name)
        if training.run.checkpoint.exists():
            question += " " + tr("A model that was taken over from it stays.")
        if confirmed(self, tr("Delete the training?"), question, tr("Delete")):
            training.run.delete()
            self.deleted.emit(training.run)
            self.refresh()


def ask_before_closing(training: TrainingRun, parent: QWidget) -> str:
    """What becomes of a training whose window is closed: "keep", "stop", or "" where the window is to stay."""
    if not training.is_live or training.state == "stopping":
        return "keep"
    question = tr("The training {name} is not finished.").format(name=training.name)
    box = QMessageBox(QMessageBox.Icon.Question, tr("Close the window?"), question, parent=parent)
    box.setInformativeText(tr("In the background it goes on also when the program is closed, and is found again."))
    keep = box.addButton(tr("&Keep training in the background"), QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton(tr("&Stop and keep what was learned"), QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(keep)
    for button in box.buttons():
        # The style's least width would cut long words off.
        button.ensurePolished()
        button.setMinimumWidth(button.sizeHint().width())
    box.exec()
    pressed = box.clickedButton()
    return "keep" if pressed is keep else "stop" if pressed is stop else ""
