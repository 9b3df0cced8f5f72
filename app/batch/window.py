"""The window "Denoise and save": set up a batch, watch it, see what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.batch import saved as batches
from app.batch.plan import BatchError
from app.batch.queue import Queue
from app.batch.queue_page import QueuePage, RowsModel
from app.batch.saved import SavedBatch
from app.batch.setup_page import FOLDER, SetupPage
from app.batch.summary_page import SummaryPage
from app.message import ERROR, WARNING, MessageLine
from app.steps import Steps
from app.workspace import Entry
from engine import paths
from engine.language import tr

SETUP, QUEUE, SUMMARY = range(3)


class BatchWindow(QWidget):
    """One window for a batch from its setup to its summary; closed it is only hidden, and the batch goes on."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(None, Qt.WindowType.Window)
        self.queue = queue
        self._offered: SavedBatch | None = None
        self._refused: SavedBatch | None = None
        self.setWindowTitle(tr("Denoise and save"))
        self.setWindowIcon(QIcon(str(paths.resources() / "icon.png")))
        self.setAcceptDrops(True)
        self.resize(860, 700)
        model = RowsModel(queue, self)
        self.setup = SetupPage(queue.workspace)
        self.progress = QueuePage(queue, model)
        self.summary = SummaryPage(queue, model)
        self.stack = QStackedWidget()
        for page in (self.setup, self.progress, self.summary):
            self.stack.addWidget(page)
        self.steps = Steps((tr("Setup"), tr("Queue"), tr("Summary")))
        self.message = MessageLine()
        self.close_button = QPushButton(tr("C&lose"))
        self.start_button = QPushButton(tr("S&tart"))
        self.start_button.setObjectName("primary")
        self.start_button.setMinimumWidth(130)

        footer = QHBoxLayout()
        footer.setContentsMargins(12, 8, 12, 10)
        footer.setSpacing(8)
        footer.addWidget(self.close_button)
        # Beside Start, where it is seen however small the window is.
        footer.addWidget(self.setup.disk, 10)
        footer.addStretch(1)
        self._buttons = ((self.setup.disk, self.start_button), self.progress.buttons, self.summary.buttons)
        for buttons in self._buttons:
            for button in buttons:
                footer.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self.steps)
        layout.addWidget(theme.rule())
        layout.addWidget(self.stack, 1)
        layout.addWidget(self.message)
        layout.addWidget(theme.rule())
        layout.addLayout(footer)

        self.message.dismissed.connect(self._refuse)
        self.setup.changed.connect(self._show_start)
        self.progress.cancel_asked.connect(self.cancel)
        self.summary.again_asked.connect(self.set_up)
        self.summary.failed.connect(self.message.say)
        self.start_button.clicked.connect(self.start)
        self.close_button.clicked.connect(self.close)
        queue.state_changed.connect(self._queue_changed)
        self._show_page(SETUP)
        self.setFocus()  # no button is pressed by an Enter that was meant for nobody

    # ---- Which page ----

    @property
    def number(self) -> int:
        """Of the page that is shown: SETUP, QUEUE or SUMMARY."""
        return self.stack.currentIndex()

    def set_up(self, source: int | None = None, selected: Sequence[Entry] = (), folder: Path | None = None) -> None:
        """Ask for a batch of a source (see `SetupPage.enter`), or show the one at work."""
        if self.queue.is_live:
            self._show_page(QUEUE)
            return
        self.setup.enter(source, selected, folder)
        self._show_page(SETUP)
        self._offer()

    def show_queue(self) -> None:
        """Show the batch at work, or what came of the last one."""
        self._show_page(QUEUE if self.queue.is_live else SETUP if self.queue.state == "idle" else SUMMARY)

    def _show_page(self, number: int) -> None:
        self.message.hide()
        self.stack.setCurrentIndex(number)
        self.steps.show_step(number)
        for index, buttons in enumerate(self._buttons):
            for button in buttons:
                button.setVisible(index == number)
        if number == SUMMARY:
            self.summary.show_state()
        self._show_start()

    def _show_start(self) -> None:
        problem = self.setup.problem
        self.start_button.setEnabled(not problem)
        self.start_button.setToolTip(problem)

    def _queue_changed(self) -> None:
        if self.queue.is_live:
            if self.number != QUEUE:
                self._show_page(QUEUE)
        elif self.number == QUEUE:
            self._show_page(SUMMARY)

    # ---- Asking ----

    def start(self) -> None:
        """Begin the batch that is set up."""
        if self.setup.problem or self.queue.is_live:
            return
        self.setup.keep()
        try:
            self.queue.start(self.setup.job())
        except BatchError as error:
            self.message.say(f"{error}.", kind=ERROR)

    def resume(self, saved: SavedBatch) -> None:
        """Go on with a batch that was interrupted."""
        try:
            self.queue.resume(saved)
        except BatchError as error:
            self.message.say(f"{error}.", kind=ERROR)

    def cancel(self) -> None:
        """Stop it, after asking where something is left to do."""
        queue = self.queue
        left = queue.counts["waiting"] + queue.counts["running"]
        if left > 1 and not self._is_sure(tr("{left:,} pictures are not done yet.").format(left=left)):
            return
        queue.cancel()

    def _is_sure(self, question: str) -> bool:
        box = QMessageBox(QMessageBox.Icon.Question, tr("Cancel the batch?"), question, parent=self)
        box.setInformativeText(tr("What is done stays. You can go on with the rest from the summary."))
        cancel = box.addButton(tr("&Cancel the batch"), QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton(tr("&Go on"), QMessageBox.ButtonRole.RejectRole))
        return _pressed(box) is cancel

    def _offer(self) -> None:
        """Offer what was interrupted, until the user has said no to it."""
        saved = batches.interrupted()
        if saved is not None and saved != self._refused and (sentence := interrupted_sentence(saved)):
            self._offered = saved
            self.message.say(sentence, action=(tr("Go on"), lambda: self.resume(saved)), kind=WARNING)

    def _refuse(self) -> None:
        self._refused = self._offered

    # ---- The window ----

    def dragEnterEvent(self, event) -> None:
        """Accept a folder or pictures while a batch is set up."""
        if self.number == SETUP and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    dragMoveEvent = dragEnterEvent

    def dropEvent(self, event) -> None:
        """Set up a batch of the folder that was dropped, or of that of the pictures."""
        dropped = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        self.set_up(FOLDER, folder=next((path for path in dropped if path.is_dir()), dropped[0].parent))

    def keyPressEvent(self, event) -> None:
        """Enter presses the button that has the focus, Esc closes."""
        focus = self.focusWidget()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(focus, QPushButton):
            focus.click()
        elif event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def end(self) -> None:
        """End the thread of the setup; the window is not shown again."""
        self.hide()
        self.setup.close_page()


def interrupted_sentence(saved: SavedBatch) -> str:
    """How far an interrupted batch had come; "" where it cannot be gone on with."""
    try:
        job, done = saved.job(), saved.count_done()
    except BatchError:
        return ""
    if job.watch is not None:
        return tr("A batch that watches {folders} was interrupted: {done:,} are done. Go on?").format(
            folders=job.watch.folders[0], done=done
        )
    return tr("A batch was interrupted: {done:,} of {count:,} are done. Go on?").format(done=done, count=len(job.items))


def ask_before_stopping(queue: Queue, parent: QWidget) -> bool:
    """Whether the program may be closed while a batch is at work."""
    if not queue.is_live:
        return True
    question = tr("A batch is at work. Stop it and close?")
    if queue.tally is not None:
        question = tr("{ended:,} of {total:,} pictures of the batch are done.").format(
            ended=queue.tally.ended, total=queue.tally.total
        )
    box = QMessageBox(QMessageBox.Icon.Question, tr("Stop the batch?"), question, parent=parent)
    box.setInformativeText(tr("What is done stays. At the next start you can go on with the rest."))
    stop = box.addButton(tr("&Stop and close"), QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton(tr("S&tay"), QMessageBox.ButtonRole.RejectRole))
    return _pressed(box) is stop


def _pressed(box: QMessageBox) -> QAbstractButton | None:
    """Ask, and tell with which button it was answered."""
    for button in box.buttons():
        # The style's least width would cut long words off.
        button.ensurePolished()
        button.setMinimumWidth(button.sizeHint().width())
    box.exec()
    return box.clickedButton()
