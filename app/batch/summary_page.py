"""The last page of the batch window: what came of it, and what to do about the pictures that failed."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.batch import report
from app.batch.queue import Queue
from app.batch.queue_page import PICTURE, PROGRESS, ROW, RowsModel, Without, table_of
from app.batch.report import Row
from engine.language import tr, trn


class SummaryPage(QWidget):
    """Counts, time and the pictures without a result, each with its reason."""

    again_asked = Signal()
    """Another batch is to be set up."""

    failed = Signal(str)
    """Something could not be done, as a sentence."""

    def __init__(self, queue: Queue, model: RowsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.queue = queue
        self.headline = QLabel()
        self.headline.setObjectName("number")
        self.headline.setWordWrap(True)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.list_title = QLabel(tr("Without a result"))
        self.list_title.setObjectName("heading")
        for label in (self.headline, self.note, self.list_title):
            label.setStyleSheet("padding: 0;")
        self._without = Without(self)
        self._without.setSourceModel(model)
        self.table = table_of(self._without, tr("Pictures without a result"))
        self.table.setColumnHidden(PROGRESS, True)
        self.copy_button = QPushButton(tr("Copy the l&ist"))
        self.copy_button.setToolTip(tr("Put the pictures without a result and the reasons into the clipboard"))
        self.again_button = QPushButton(tr("New &batch…"))
        self.save_button = QPushButton(tr("&Save report…"))
        self.save_button.setToolTip(tr("As a text, or as a table (.csv)"))
        self.open_button = QPushButton(tr("&Open folder"))
        self.go_on_button = QPushButton(tr("&Go on with the rest"))
        self.retry_button = QPushButton(tr("&Retry these"))
        self.retry_button.setToolTip(tr("Try the failed pictures once more, or only those that are selected"))
        self.buttons = (
            self.again_button,
            self.save_button,
            self.retry_button,
            self.open_button,
            self.go_on_button,
        )

        titles = QHBoxLayout()
        titles.addWidget(self.list_title)
        titles.addStretch(1)
        titles.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 10, 16, 8)
        layout.setSpacing(8)
        layout.addWidget(self.headline)
        layout.addWidget(self.note)
        layout.addLayout(titles)
        layout.addWidget(self.table, 1)
        self._room = QWidget()
        layout.addWidget(self._room, 1)

        copy = QAction(tr("&Copy"), self.table)
        copy.setShortcut(QKeySequence.StandardKey.Copy)
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.triggered.connect(self.copy)
        self.table.addAction(copy)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.copy_button.clicked.connect(self.copy)
        self.again_button.clicked.connect(self.again_asked)
        self.save_button.clicked.connect(self._save)
        self.open_button.clicked.connect(self._open)
        self.go_on_button.clicked.connect(queue.go_on)
        self.retry_button.clicked.connect(self._retry)
        self.table.selectionModel().selectionChanged.connect(lambda: self._show_retry())
        queue.state_changed.connect(self.show_state)

    @property
    def shown(self) -> list[Row]:
        """The rows of the list."""
        return [self._without.index(n, PICTURE).data(ROW) for n in range(self._without.rowCount())]

    @property
    def _selected(self) -> list[Row]:
        return [index.data(ROW) for index in self.table.selectionModel().selectedRows()]

    @property
    def _retried(self) -> list[Row]:
        """What the button would take: of those selected, or of all that failed, what may turn out otherwise."""
        rows = self._selected or [row for row in self.queue.rows if row.state == "failed"]
        return [row for row in rows if not row.item.problem]

    def show_state(self) -> None:
        """Say how the batch ended."""
        queue = self.queue
        if queue.is_live or queue.state == "idle":
            return
        self._without.invalidate()
        self.table.clearSelection()
        counts = queue.counts
        ended = {"finished": tr("Finished"), "cancelled": tr("Stopped"), "failed": tr("The batch failed")}[queue.state]
        said = f"{ended}: {report.counted(counts)}"
        if queue.seconds >= 1:
            said = tr("{what} in {duration}").format(what=said, duration=words.duration(queue.seconds))
        self.headline.setText(said)
        self.note.setText(queue.message or self._said())
        theme.restyle(self.note, "bad" if queue.message else "muted")
        has_list = self._without.rowCount() > 0
        for widget in (self.list_title, self.copy_button, self.table):
            widget.setVisible(has_list)
        self._room.setVisible(not has_list)
        self.open_button.setEnabled(self.folder is not None)
        self.go_on_button.setVisible(counts["waiting"] > 0 or bool(queue.message))
        self._show_retry()
        main = self.go_on_button if self.go_on_button.isVisibleTo(self) else self.open_button
        for button in self.buttons:
            theme.restyle(button, "primary" if button is main else "")

    def _said(self) -> str:
        """Where the results are, and what to know of them."""
        unchanged = sum(row.is_unchanged for row in self.queue.rows)
        folder = self.folder
        said = (
            tr("The results are in {folder}.").format(folder=folder)
            if folder is not None
            else tr("Nothing was written.")
        )
        if unchanged:
            said += " " + trn(
                "{count:,} picture had no noise worth removing: saved without a change.",
                "{count:,} pictures had no noise worth removing: saved without a change.",
                unchanged,
            ).format(count=unchanged)
        return said

    def _show_retry(self) -> None:
        self.retry_button.setVisible(any(row.state == "failed" for row in self.queue.rows) or bool(self._selected))
        self.retry_button.setText(tr("&Retry the selected") if self._selected else tr("&Retry these"))
        self.retry_button.setEnabled(bool(self._retried))

    @property
    def folder(self) -> Path | None:
        """The one that holds all results; None where nothing was written."""
        folders = {row.item.target.parent for row in self.queue.rows if row.state == "done"}
        if not folders:
            return None
        first = next(iter(folders))
        return next(up for up in (first, *first.parents) if all(other.is_relative_to(up) for other in folders))

    def copy(self) -> None:
        """Put the selected lines, or all, into the clipboard with their reasons."""
        QApplication.clipboard().setText(report.failures(self._selected or self.shown))

    def _retry(self) -> None:
        self.queue.retry(self._retried)

    def _open(self) -> None:
        if self.folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.folder)))

    def _save(self) -> None:
        start = self.folder or Path(self.queue.workspace.settings.folder or Path.home())
        name, kind = QFileDialog.getSaveFileName(
            self, tr("Save the report"), str(start / "report.csv"), tr("Table (*.csv);;Text (*.txt)")
        )
        if name:
            suffix = "" if Path(name).suffix else ".txt" if "txt" in kind else ".csv"
            self.save_report(Path(f"{name}{suffix}"))

    def save_report(self, path: Path) -> None:
        """Write what became of each picture."""
        try:
            report.write(self.queue.rows, path)
        except OSError as error:
            self.failed.emit(
                tr("The report cannot be written to {path}: {reason}.").format(path=path, reason=error.strerror)
            )
