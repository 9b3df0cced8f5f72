"""The second page of the batch window: what is being denoised, and how far it is."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.batch.queue import Queue
from app.batch.report import Row, counted
from engine.language import tr

PICTURE, STATE, PROGRESS, NOTE = range(4)
_TITLES = (tr("Picture"), tr("State"), tr("Progress"), tr("Note"))

ROW = Qt.ItemDataRole.UserRole

_ROW_HEIGHT = 26

Index = QModelIndex | QPersistentModelIndex


class RowsModel(QAbstractTableModel):
    """The queue's rows as Qt wants them; nothing is kept here, so ten thousand of them cost nothing."""

    def __init__(self, queue: Queue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self._count = len(queue.rows)
        queue.reset.connect(self._reset)
        queue.row_changed.connect(self._row_changed)
        queue.row_added.connect(self._row_added)

    def rowCount(self, parent: Index | None = None) -> int:
        """How many pictures."""
        return 0 if parent is not None and parent.isValid() else self._count

    def columnCount(self, parent: Index | None = None) -> int:
        """Picture, state, progress and note."""
        return 0 if parent is not None and parent.isValid() else len(_TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles of the columns."""
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, colour of the state, tooltip, the text for screen readers, and with `ROW` the row itself."""
        if not index.isValid():
            return None
        row, column = self._queue.rows[index.row()], index.column()
        if role == ROW:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            said = [str(row.item.path), row.text, row.warnings]
            return words.wrapped("\n\n".join(text for text in said if text))
        if role == Qt.ItemDataRole.AccessibleTextRole and column == PROGRESS:
            return f"{row.share:.0%}"
        if role == Qt.ItemDataRole.ForegroundRole and column == STATE:
            colors = theme.colors()
            return QColor(
                {"running": colors.running, "done": colors.done, "failed": colors.failed}.get(row.state, colors.muted)
            )
        return None

    def _reset(self) -> None:
        self.beginResetModel()
        self._count = len(self._queue.rows)
        self.endResetModel()

    def _row_changed(self, number: int) -> None:
        self.dataChanged.emit(self.index(number, STATE), self.index(number, NOTE))

    def _row_added(self, number: int) -> None:
        self.beginInsertRows(QModelIndex(), number, number)
        self._count = number + 1
        self.endInsertRows()


class Without(QSortFilterProxyModel):
    """Only the pictures of which there is no result."""

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        """Whether it failed or was left out."""
        row = self.sourceModel().data(self.sourceModel().index(source_row, PICTURE, source_parent), ROW)
        return row.state in ("failed", "skipped")


def _text(row: Row, column: int) -> str:
    if column == PICTURE:
        return row.item.path.name
    if column == STATE:
        return row.said
    return row.note if column == NOTE else ""


class _Bar(QStyledItemDelegate):
    """Draws how far a picture is."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """A bar while it is worked on, nothing before, a full one when it is done."""
        super().paint(painter, option, index)
        row: Row = index.data(ROW)
        if row.state not in ("running", "done"):
            return
        colors = theme.colors()
        room: QRect = option.rect.adjusted(8, 9, -8, -9)  # pyright: ignore[reportAttributeAccessIssue]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors.line))
        painter.drawRoundedRect(room, 3, 3)
        if row.share > 0:
            painter.setBrush(QColor(colors.done if row.state == "done" else colors.running))
            painter.drawRoundedRect(QRect(room.topLeft(), QSize(round(room.width() * row.share), room.height())), 3, 3)
        painter.restore()


class _Plain(QStyledItemDelegate):
    """Keeps the colour of a state also where a style sheet colours what is selected."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        """Cut names in their middle: what tells them apart is often at the end."""
        super().initStyleOption(option, index)
        if index.column() == PICTURE:
            option.textElideMode = Qt.TextElideMode.ElideMiddle  # pyright: ignore[reportAttributeAccessIssue]
        option.state &= ~QStyle.StateFlag.State_HasFocus  # pyright: ignore[reportAttributeAccessIssue]


def table_of(model: RowsModel | Without, name: str) -> QTableView:
    """A table of rows, whatever their number."""
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName(name)
    table.setItemDelegate(_Plain(table))
    table.setItemDelegateForColumn(PROGRESS, _Bar(table))
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setTabKeyNavigation(False)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setAlternatingRowColors(True)
    table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.verticalHeader().hide()
    # Asking each of ten thousand rows for its height would take seconds.
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    table.verticalHeader().setDefaultSectionSize(theme.length(_ROW_HEIGHT))
    header = table.horizontalHeader()
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setStretchLastSection(True)
    for column, width in ((PICTURE, 220), (STATE, 90), (PROGRESS, 130)):
        table.setColumnWidth(column, max(theme.length(width), header.sectionSizeHint(column)))
    return table


class QueuePage(QWidget):
    """All pictures with their states, the whole's progress, and what can be asked of it."""

    cancel_asked = Signal()

    def __init__(self, queue: Queue, model: RowsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.queue = queue
        self._running = -1
        self.headline = QLabel()
        self.headline.setObjectName("number")
        self.counts = QLabel()
        self.counts.setObjectName("muted")
        for label in (self.headline, self.counts):
            label.setStyleSheet("padding: 0;")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress of the batch"))
        self.table = table_of(model, tr("Pictures of the batch"))
        self.follow = QCheckBox(tr("&Follow the picture in work"))
        self.follow.setChecked(True)
        self.pause_button = QPushButton(tr("&Pause"))
        self.pause_button.setObjectName("primary")
        self.pause_button.setMinimumWidth(110)
        self.skip_button = QPushButton(tr("&Skip the selected"))
        self.cancel_button = QPushButton(tr("C&ancel the batch"))
        self.buttons = (self.cancel_button, self.skip_button, self.pause_button)

        top = QHBoxLayout()
        self.headline.setWordWrap(True)
        top.addWidget(self.headline, 1)
        top.addWidget(self.counts)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 10, 16, 8)
        layout.setSpacing(8)
        layout.addLayout(top)
        layout.addWidget(self.bar)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.follow)

        queue.state_changed.connect(self._show_state)
        queue.progressed.connect(self._show_progress)
        queue.row_changed.connect(self._follow_row)
        queue.reset.connect(self._start_over)
        self.table.verticalScrollBar().actionTriggered.connect(lambda: self.follow.setChecked(False))
        self.table.selectionModel().selectionChanged.connect(lambda: self._selected())
        self.follow.toggled.connect(self._show_running)
        self.pause_button.clicked.connect(self._pause_or_resume)
        self.skip_button.clicked.connect(self._skip)
        self.cancel_button.clicked.connect(self.cancel_asked)
        self._show_state()

    def _start_over(self) -> None:
        self._running = -1
        self.follow.setChecked(True)
        self.table.scrollToTop()

    def _follow_row(self, number: int) -> None:
        if self.queue.rows[number].state == "running" and number != self._running:
            self._running = number
            self._show_running()
        if self.table.selectionModel().isRowSelected(number, QModelIndex()):
            self._show_state()

    def _show_running(self) -> None:
        if self.follow.isChecked() and 0 <= self._running < len(self.queue.rows):
            index = self.table.model().index(self._running, PICTURE)
            self.table.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)

    def _selected(self) -> None:
        """Who looks at a picture does not want it to scroll away."""
        if self.table.hasFocus() and self.table.selectionModel().hasSelection():
            self.follow.setChecked(False)
        self._show_state()

    def _rows(self) -> list[int]:
        rows = [index.row() for index in self.table.selectionModel().selectedRows()]
        return [number for number in rows if self.queue.rows[number].state in ("waiting", "running")]

    def _skip(self) -> None:
        self.queue.skip(self._rows())
        self._show_state()

    def _pause_or_resume(self) -> None:
        if self.queue.state == "paused":
            self.queue.unpause()
        else:
            self.queue.pause()

    def _show_state(self) -> None:
        state = self.queue.state
        self.pause_button.setText(tr("&Resume") if state == "paused" else tr("&Pause"))
        self.pause_button.setEnabled(state in ("running", "paused"))
        self.skip_button.setEnabled(state in ("running", "paused") and bool(self._rows()))
        self.cancel_button.setEnabled(state in ("running", "paused"))
        self.cancel_button.setText(tr("Stop &watching") if self.queue.is_watching else tr("C&ancel the batch"))
        self._show_progress()

    def _show_progress(self) -> None:
        self.headline.setText(told(self.queue))
        self.counts.setText(counted({name: n for name, n in self.queue.counts.items() if name != "waiting"}))
        self.counts.setVisible(any(n for name, n in self.queue.counts.items() if name not in ("waiting", "running")))
        tally = self.queue.tally
        self.bar.setValue(round(1000 * tally.share) if tally is not None else 0)


def told(queue: Queue) -> str:
    """How far a batch is, as a headline: "37 of 300, 4 min left"."""
    tally = queue.tally
    if tally is None:
        return tr("The batch starts…")
    if queue.state == "stopping":
        return tr("The batch stops…")
    place = tr("{part:,} of {whole:,}").format(part=tally.ended, whole=tally.total)
    if queue.state == "paused":
        return tr("Paused at {place}").format(place=place)
    if queue.is_watching and tally.ended == tally.total:
        return tr("{place} done, waiting for what arrives").format(place=place)
    left = tally.seconds_left
    return (
        place
        if left is None or tally.ended == tally.total
        else tr("{place}, {duration} left").format(place=place, duration=words.duration(left))
    )
