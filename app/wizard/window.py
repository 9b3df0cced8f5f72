"""The window "Train on my folder": four pages, the steps above them and the buttons below."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.message import ERROR, MessageLine
from app.steps import Steps
from app.wizard.folder import FolderPage
from app.wizard.method import MethodPage
from app.wizard.page import Page, Plan
from app.wizard.progress import ProgressPage
from app.wizard.result import ResultPage
from app.wizard.training_run import TrainingRun
from app.wizard.trainings import EarlierTrainings, ask_before_closing
from app.workspace import Workspace
from engine import paths
from engine.language import tr
from training.job import TrainError, TrainJob
from training.run import Run

FOLDER, METHOD, TRAINING, RESULT = range(4)


class Wizard(QWidget):
    """Leads from a folder to a model; closed it is only hidden, and what was chosen in it stays.

    Attributes:
        plan: what the pages have settled.
        shown: the training on the last two pages. It may be an earlier one; `workspace.training` is the one that runs.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(None, Qt.WindowType.Window)
        self.workspace = workspace
        self.plan = Plan()
        self.shown: TrainingRun | None = None
        self.setWindowTitle(tr("Train on my folder"))
        self.setWindowIcon(QIcon(str(paths.resources() / "icon.png")))
        self.setAcceptDrops(True)
        self.resize(980, 680)

        self.folder = FolderPage(self.plan, workspace)
        self.method = MethodPage(self.plan, workspace)
        self.progress = ProgressPage(self.plan, workspace)
        self.result = ResultPage(self.plan, workspace)
        self.pages: tuple[Page, ...] = (self.folder, self.method, self.progress, self.result)
        self.stack = QStackedWidget()
        for page in self.pages:
            self.stack.addWidget(page)
            page.changed.connect(self._show_state)
        self.steps = Steps([page.title for page in self.pages])
        self.message = MessageLine()
        self.earlier = QPushButton(tr("&Earlier trainings…"))
        self.earlier.setToolTip(tr("Look at a training of before, go on with it, or delete it"))
        self.close_button = QPushButton(tr("C&lose"))
        self.back = QPushButton(tr("&Back"))
        self.next = QPushButton(tr("&Next"))
        self.next.setObjectName("primary")
        self.next.setMinimumWidth(130)

        self.steps.addWidget(self.earlier)
        footer = QHBoxLayout()
        footer.setContentsMargins(12, 8, 12, 10)
        footer.setSpacing(8)
        footer.addWidget(self.close_button)
        footer.addStretch(1)
        footer.addWidget(self.back)
        footer.addWidget(self.next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self.steps)
        layout.addWidget(theme.rule())
        layout.addWidget(self.stack, 1)
        layout.addWidget(self.message)
        layout.addWidget(theme.rule())
        layout.addLayout(footer)

        self.result.distil_asked.connect(self.start)
        self.result.deleted.connect(self._forget)
        self.earlier.clicked.connect(self.show_earlier)
        self.close_button.clicked.connect(self.close)
        self.back.clicked.connect(self._go_back)
        self.next.clicked.connect(self._go_on)
        self._show_state()
        self.setFocus()  # no button is pressed by an Enter that was meant for nobody

    # ---- Which page ----

    @property
    def number(self) -> int:
        """Of the page that is shown: FOLDER, METHOD, TRAINING or RESULT."""
        return self.stack.currentIndex()

    def show_page(self, number: int) -> None:
        """Show a page, whatever the ones before it say."""
        self.message.hide()
        self.stack.setCurrentIndex(number)
        if number == RESULT and self.shown is not None:
            self.result.show_run(self.shown.run)
        self.pages[number].enter()
        self._show_state()

    def show_plan(self) -> None:
        """Show where a new training is planned, beginning with the folder of the picture in the main window."""
        if self.number in (TRAINING, RESULT):
            self.show_page(FOLDER)
        current = self.workspace.current
        if self.plan.folder is None and current is not None and current.path is not None:
            self.folder.open(current.path.parent)

    def follow(self, training: TrainingRun) -> None:
        """Show a training; if it is over, its result if there is one."""
        if training is not self.shown:
            if self.shown is not None:
                self.shown.state_changed.disconnect(self._training_changed)
            self.shown = training
            training.state_changed.connect(self._training_changed)
            self.progress.follow(training)
        self.show_page(RESULT if _has_result(training) else TRAINING)

    def _go_back(self) -> None:
        is_planned = self.plan.folder is not None  # not where an earlier training was opened
        self.show_page(FOLDER if self.number == TRAINING and not is_planned else self.number - 1)

    def _go_on(self) -> None:
        if self.number == METHOD:
            self.start()
        else:
            self.show_page(self.number + 1)

    def start(self, job: TrainJob | None = None) -> None:
        """Start this training, or the one that the plan asks for."""
        if self.workspace.training is not None and self.workspace.training.is_live:
            self.message.say(
                tr("The training {name} is running; stop it first, or wait.").format(name=self.workspace.training.name),
                kind=ERROR,
            )
            return
        try:
            self._begin(job or self.plan.job())
        except (TrainError, OSError) as error:
            self.message.say(str(error), kind=ERROR)

    def _begin(self, job: TrainJob) -> None:
        training = TrainingRun.start(job, job.name or Path(job.data).name, self.workspace)
        self.workspace.set_training(training)
        self.follow(training)

    def _forget(self, run: Run) -> None:
        """The folder of what is shown was deleted."""
        if self.shown is not None and self.shown.run == run:
            self.show_page(FOLDER)

    def _training_changed(self) -> None:
        training = self.shown
        if training is None:
            return
        if self.number == TRAINING and self.isVisible() and _has_result(training):
            self.show_page(RESULT)
        elif self.number == TRAINING and training.state == "cancelled":
            self.show_page(METHOD if self.plan.folder is not None else FOLDER)
            self.message.say(tr("The training was cancelled and what it had learned is deleted."))
        elif training.is_live and self.workspace.training is not training:
            self.workspace.set_training(training)  # it was resumed on its page
        self._show_state()

    def _show_state(self) -> None:
        """Steps and buttons, by the page and by what the training does."""
        page, number = self.pages[self.number], self.number
        self.steps.show_step(number)
        is_live = self.shown is not None and self.shown.is_live
        self.back.setVisible(number > FOLDER)
        self.back.setEnabled(not (number == TRAINING and is_live))
        self.next.setVisible(number < RESULT)
        self.next.setText({METHOD: tr("Start &training"), TRAINING: tr("&Result")}.get(number, tr("&Next")))
        has_result = self.shown is not None and not is_live and self.shown.run.checkpoint.exists()
        self.next.setEnabled(has_result if number == TRAINING else page.is_complete and self.folder.is_complete)

    # ---- Earlier trainings ----

    def show_earlier(self) -> None:
        """List the trainings of before."""
        running = self.workspace.training
        dialog = EarlierTrainings(running is None or not running.is_live, self)
        dialog.open_asked.connect(self._open)
        dialog.resume_asked.connect(self._resume)
        dialog.deleted.connect(self._forget)
        dialog.show()

    def _open(self, training: TrainingRun) -> None:
        running = self.workspace.training
        if running is not None and running.run == training.run:
            training = running
        elif training.is_live:
            self.workspace.set_training(training)
        self.follow(training)

    def _resume(self, training: TrainingRun) -> None:
        training.resume()
        self.workspace.set_training(training)
        self.follow(training)

    # ---- The window ----

    def dragEnterEvent(self, event) -> None:
        """Accept a folder or pictures, unless a training is to be watched."""
        is_busy = self.shown is not None and self.shown.is_live and self.number == TRAINING
        if not is_busy and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    dragMoveEvent = dragEnterEvent

    def dropEvent(self, event) -> None:
        """Plan a training on the folder that was dropped, or on that of the pictures."""
        dropped = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        self.show_page(FOLDER)
        self.folder.open(next((path for path in dropped if path.is_dir()), dropped[0].parent))

    def keyPressEvent(self, event) -> None:
        """Enter presses the button that has the focus, Esc closes."""
        focus = self.focusWidget()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(focus, QPushButton):
            focus.click()
        elif event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event) -> None:
        """Hide, after asking what becomes of a training that runs."""
        if self.shown is not None and self.shown.is_live:
            answer = ask_before_closing(self.shown, self)
            if not answer:
                event.ignore()
                return
            if answer == "stop":
                self.shown.stop()
        super().closeEvent(event)

    def end(self) -> None:
        """End the threads of all pages; the window is not shown again."""
        self.hide()
        for page in self.pages:
            page.close_page()


def _has_result(training: TrainingRun) -> bool:
    return training.state in ("finished", "stopped") and training.run.checkpoint.exists()
