"""The filmstrip: thumbnails of all pictures, each with its state."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QAbstractListModel, QItemSelectionModel, QModelIndex, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QWidget

from app import theme
from app.workspace import Entry, Workspace
from engine.language import tr

_THUMBNAIL = QSize(116, 78)
_ITEM = QSize(128, 108)
_LINE = 18
"""Of that, the height of the name in the usual font."""

ENTRY = Qt.ItemDataRole.UserRole

_STATES = {"": "", "queued": tr("Waiting"), "running": tr("Denoising"), "done": tr("Done"), "failed": tr("Failed")}


class ImageListModel(QAbstractListModel):
    """The workspace's entries as Qt wants them."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._entries: list[Entry] = []
        self._pixmaps: dict[int, tuple[np.ndarray, QPixmap]] = {}
        workspace.images_changed.connect(self._take_over)
        workspace.entry_changed.connect(self._entry_changed)
        self._take_over()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """How many pictures."""
        return 0 if parent is not None and parent.isValid() else len(self._entries)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole):
        """Name, tooltip, thumbnail, the text for screen readers, and with `ENTRY` the entry itself."""
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        if role == ENTRY:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role == Qt.ItemDataRole.ToolTipRole:
            lines = [str(entry.path or entry.name), entry.note or _STATES[entry.state]]
            return "\n".join(line for line in lines if line)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            state = _STATES[entry.state].lower()
            return f"{entry.name}, {state}" if state else entry.name
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmap(entry)
        return None

    def row(self, entry: Entry | None) -> int:
        """Where it stands; -1 if nowhere."""
        return next((row for row, other in enumerate(self._entries) if other is entry), -1)

    def entry(self, row: int) -> Entry:
        """What stands there."""
        return self._entries[row]

    def _pixmap(self, entry: Entry) -> QPixmap | None:
        thumbnail = entry.thumbnail
        if thumbnail is None:
            return None
        known = self._pixmaps.get(entry.id)
        if known is None or known[0] is not thumbnail:
            height, width = thumbnail.shape[:2]
            image = QImage(thumbnail.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            known = self._pixmaps[entry.id] = (thumbnail, QPixmap.fromImage(image))
        return known[1]

    def _take_over(self) -> None:
        wanted = self._workspace.entries
        left = set(map(id, wanted))
        for row in reversed(range(len(self._entries))):
            if id(self._entries[row]) not in left:
                self.beginRemoveRows(QModelIndex(), row, row)
                self._pixmaps.pop(self._entries.pop(row).id, None)
                self.endRemoveRows()
        if len(wanted) > len(self._entries):
            self.beginInsertRows(QModelIndex(), len(self._entries), len(wanted) - 1)
            self._entries += wanted[len(self._entries) :]
            self.endInsertRows()

    def _entry_changed(self, entry: Entry) -> None:
        row = self.row(entry)
        if row >= 0:
            self.dataChanged.emit(self.index(row), self.index(row))


class _Delegate(QStyledItemDelegate):
    """Draws a thumbnail, its name and the badge of its state."""

    def sizeHint(self, option, index) -> QSize:
        return _item()

    def paint(self, painter: QPainter, option, index) -> None:
        entry: Entry = index.data(ENTRY)
        colors = theme.colors()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        frame = option.rect.adjusted(2, 2, -2, -2)
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_selected or option.state & QStyle.StateFlag.State_MouseOver:
            fill = QColor(colors.accent)
            fill.setAlphaF(0.35 if is_selected else 0.15)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawRoundedRect(frame, 4, 4)
        view = self.parent()
        is_current = isinstance(view, QAbstractItemView) and index == view.currentIndex()
        if is_current:
            painter.setPen(QPen(QColor(colors.accent_hover), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame.adjusted(1, 1, -1, -1), 4, 4)
        room = QRect(frame.left() + 4, frame.top() + 4, _THUMBNAIL.width(), _THUMBNAIL.height())
        pixmap = index.data(Qt.ItemDataRole.DecorationRole)
        if pixmap is not None:
            size = pixmap.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
            place = QRect(room.left() + (room.width() - size.width()) // 2, 0, size.width(), size.height())
            place.moveTop(room.top() + (room.height() - size.height()) // 2)
            painter.drawPixmap(place, pixmap)
        else:
            place = room
            painter.setPen(QPen(QColor(colors.line), 1, Qt.PenStyle.DashLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(room.adjusted(12, 8, -12, -8), 3, 3)
        _draw_badge(painter, entry.state, QRect(place.right() - 20, place.top() + 3, 18, 18))
        painter.setPen(QColor(colors.text))
        line = QRect(frame.left() + 4, room.bottom() + 2, frame.width() - 8, frame.bottom() - room.bottom() - 3)
        text = painter.fontMetrics().elidedText(entry.name, Qt.TextElideMode.ElideMiddle, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, text)
        painter.restore()


def _item() -> QSize:
    """Room for a thumbnail and a line of text below."""
    return _ITEM + QSize(0, theme.length(_LINE) - _LINE)


def _draw_badge(painter: QPainter, state: str, place: QRect) -> None:
    """A disc in the state's colour, with a sign that tells it without colour."""
    colors = theme.colors()
    fill = {"queued": colors.muted, "running": colors.running, "done": colors.done, "failed": colors.failed}.get(state)
    if fill is None:
        return
    painter.setPen(QPen(QColor(255, 255, 255), 1.5))
    painter.setBrush(QColor(fill))
    painter.drawEllipse(place.adjusted(1, 1, -1, -1))
    x, y = place.left(), place.top()
    painter.setPen(QPen(QColor(theme.ink(fill)), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    if state == "done":
        painter.drawLine(x + 5, y + 9, x + 8, y + 12)
        painter.drawLine(x + 8, y + 12, x + 13, y + 6)
    elif state == "failed":
        painter.drawLine(x + 9, y + 4, x + 9, y + 10)
        painter.drawPoint(x + 9, y + 13)
    else:
        for offset in (5, 9, 13):
            painter.drawPoint(x + offset, y + 9)


class FilmStrip(QListView):
    """One row of thumbnails; several can be selected, one is shown."""

    remove_asked = Signal(object)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._list = ImageListModel(workspace, self)
        self.setObjectName("filmstrip")
        self.setAccessibleName(tr("Pictures"))
        self.setModel(self._list)
        self.setItemDelegate(_Delegate(self))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setMouseTracking(True)
        self.setFixedHeight(_item().height() + 20)
        self.selectionModel().currentChanged.connect(self._show)
        workspace.current_changed.connect(self._follow)
        # After it came to rest: scrolling past a thousand pictures must not ask for each.
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(100)
        self._rest.timeout.connect(self._wish)
        self.horizontalScrollBar().valueChanged.connect(self._rest.start)
        self._list.rowsInserted.connect(self._rest.start)

    def selected_entries(self) -> list[Entry]:
        """What is selected, in order."""
        return [self._list.entry(row) for row in sorted(index.row() for index in self.selectedIndexes())]

    def wheelEvent(self, event) -> None:
        """Scroll sideways with the wheel."""
        delta = event.angleDelta()
        bar = self.horizontalScrollBar()
        bar.setValue(bar.value() - (delta.x() or delta.y()))
        event.accept()

    def keyPressEvent(self, event) -> None:
        """Move with the arrow keys, remove with Delete; leave single letters to the window."""
        if event.key() == Qt.Key.Key_Delete and self.selectedIndexes():
            self.remove_asked.emit(self.selected_entries())
        elif (event.text().strip() and not event.modifiers()) or event.key() == Qt.Key.Key_Space:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def _show(self, index: QModelIndex, _before: QModelIndex) -> None:
        if index.isValid():
            # Later: rows may be being removed just now, and selecting changes much.
            QTimer.singleShot(0, self, self._show_current)

    def _show_current(self) -> None:
        row = self.currentIndex().row()
        if row >= 0:
            self._workspace.select(self._list.entry(row))

    def _follow(self) -> None:
        row = self._list.row(self._workspace.current)
        if row >= 0 and row != self.currentIndex().row():
            # The view's own setCurrentIndex adds to the selection while Ctrl is held, as it is for Ctrl+Right.
            clear = QItemSelectionModel.SelectionFlag.ClearAndSelect
            self.selectionModel().setCurrentIndex(self._list.index(row), clear)

    def _wish(self) -> None:
        shown = self.viewport().rect()
        rows = [row for row in range(self._list.rowCount()) if self.visualRect(self._list.index(row)).intersects(shown)]
        self._workspace.wish_thumbnails([self._list.entry(row) for row in rows])
