"""Thumbnails of a folder: which pictures are used, left out, held out or cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QAction, QColor, QKeySequence, QPainter, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app import theme
from app.wizard.crop import pixmap_of
from app.wizard.findings import draw_sign
from app.wizard.page import Plan
from engine.language import tr
from training.folder import Found

FOUND = Qt.ItemDataRole.UserRole

_ITEM = QSize(102, 88)
_TICK = 22


class Pictures(QAbstractListModel):
    """What was found, as Qt wants it; the plan says what is left out and held out."""

    def __init__(self, plan: Plan, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plan = plan
        self.found: list[Found] = []
        self._rows: dict[str, int] = {}
        self._pixmaps: dict[str, QPixmap] = {}

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex | None = None) -> int:
        """How many files."""
        return 0 if parent is not None and parent.isValid() else len(self.found)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, thumbnail, tooltip, the text for screen readers, and with `FOUND` the file itself."""
        if not index.isValid():
            return None
        one = self.found[index.row()]
        if role == FOUND:
            return one
        if role == Qt.ItemDataRole.DisplayRole:
            return one.name
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmap(one)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(line for line in (one.name, _facts(one), self.state(one)) if line)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{one.name}, {self.state(one)}"
        return None

    def state(self, one: Found) -> str:
        """What becomes of a picture, in words."""
        if one.problem:
            return one.problem
        if one.name in self.plan.left_out:
            return tr("left out")
        return tr("held out to judge by") if one.name in self.plan.held_out else tr("learned from")

    def put(self, found: Iterable[Found]) -> None:
        """Add these at the end; a name that is there already is known better now."""
        new: list[Found] = []
        for one in found:
            row = self._rows.get(one.name)
            if row is None:
                self._rows[one.name] = len(self.found) + len(new)
                new.append(one)
            elif row >= len(self.found):
                new[row - len(self.found)] = one
            else:
                self.found[row] = one
                self._pixmaps.pop(one.name, None)
                self.dataChanged.emit(self.index(row), self.index(row))
        if new:
            self.beginInsertRows(QModelIndex(), len(self.found), len(self.found) + len(new) - 1)
            self.found += new
            self.endInsertRows()

    def row(self, name: str) -> int:
        """Where a name stands; -1 if nowhere."""
        return self._rows.get(name, -1)

    def clear(self) -> None:
        """Forget all."""
        self.beginResetModel()
        self.found, self._rows, self._pixmaps = [], {}, {}
        self.endResetModel()

    def refresh(self) -> None:
        """The plan says something else of some of them."""
        if self.found:
            self.dataChanged.emit(self.index(0), self.index(len(self.found) - 1))

    def _pixmap(self, one: Found) -> QPixmap | None:
        if one.thumbnail is None:
            return None
        if one.name not in self._pixmaps:
            self._pixmaps[one.name] = pixmap_of(one.thumbnail)
        return self._pixmaps[one.name]


def _facts(one: Found) -> str:
    """Size, depth, camera, ISO and noise, as far as they are known."""
    if not one.width:
        return ""
    facts = [
        f"{one.width} × {one.height}",
        tr("{bits} bits").format(bits=one.bits),
        tr("grey") if one.channels == 1 else tr("colour"),
        one.camera,
    ]
    facts += [tr("ISO {iso}").format(iso=one.iso)] if one.iso else []
    facts += [tr("noise {sigma:.1f} of 255").format(sigma=one.report.sigma * 255)] if one.report is not None else []
    return " · ".join(fact for fact in facts if fact)


class _Delegate(QStyledItemDelegate):
    """Draws a thumbnail, its tick, and what is held out or cannot be read."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return _ITEM

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        one: Found = index.data(FOUND)
        view = self.parent()
        assert isinstance(view, PictureView)
        plan, colors = view.pictures.plan, theme.colors()
        is_used = not one.problem and one.name not in plan.left_out
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = option.rect.adjusted(2, 2, -2, -2)
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_selected or option.state & QStyle.StateFlag.State_MouseOver:
            fill = QColor(colors.accent)
            fill.setAlphaF(0.45 if is_selected else 0.15)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawRoundedRect(frame, 4, 4)
        if index == view.currentIndex():
            painter.setPen(QPen(QColor(colors.accent_hover), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame.adjusted(1, 1, -1, -1), 4, 4)
        room = frame.adjusted(3, 3, -3, -3)
        pixmap = index.data(Qt.ItemDataRole.DecorationRole)
        if pixmap is not None:
            size = pixmap.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
            place = QStyle.alignedRect(option.direction, Qt.AlignmentFlag.AlignCenter, size, room)
            painter.setOpacity(1.0 if is_used else 0.25)
            painter.drawPixmap(place, pixmap)
            painter.setOpacity(1.0)
        else:
            painter.setPen(QPen(QColor(colors.line), 1, Qt.PenStyle.DashLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(room, 3, 3)
            painter.setPen(QColor(colors.muted))
            text = painter.fontMetrics().elidedText(one.name, Qt.TextElideMode.ElideMiddle, room.width() - 6)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)
        if one.problem:
            draw_sign(painter, "stop", tick_place(option.rect))
        else:
            _draw_tick(painter, is_used, tick_place(option.rect))
        below = room.bottomLeft()
        if is_used and one.name in plan.held_out:
            below = _draw_word(painter, tr("held out"), below, colors.done)
        if is_used and plan.preview is not None and plan.preview.name == one.name:
            _draw_word(painter, tr("preview"), below, colors.accent)
        painter.restore()


def tick_place(item: QRect) -> QRect:
    """Where in an item's rectangle its tick is."""
    return QRect(item.left() + 5, item.top() + 5, _TICK, _TICK)


def _draw_tick(painter: QPainter, is_on: bool, place: QRect) -> None:
    box = QRectF(place).adjusted(3, 3, -3, -3)
    painter.setPen(QPen(QColor(255, 255, 255), 1.5))
    fill = QColor(theme.colors().accent) if is_on else QColor(0, 0, 0, 140)
    painter.setBrush(fill)
    painter.drawRoundedRect(box, 3, 3)
    if is_on:
        painter.setPen(QPen(QColor(255, 255, 255), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        x, y = box.left(), box.top()
        painter.drawPolyline([QPointF(x + 4, y + 8.5), QPointF(x + 7, y + 11.5), QPointF(x + 12, y + 5)])


def _draw_word(painter: QPainter, text: str, bottom_left: QPoint, color: str) -> QPoint:
    """Draw a badge of a word; return where the next one goes, above it."""
    painter.save()
    painter.setFont(theme.scaled(painter.font(), 0.85))
    size = painter.fontMetrics().size(0, text) + QSize(8, 2)
    badge = QRect(bottom_left.x(), bottom_left.y() - size.height() + 1, size.width(), size.height())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(badge, 3, 3)
    painter.setPen(QColor(theme.ink(color)))
    painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()
    return badge.topLeft() - QPoint(0, 3)


class PictureView(QListView):
    """Thumbnails: the tick leaves a picture out or takes it in, several can be selected, one is shown large."""

    toggle_asked = Signal(object)
    """Names of pictures that are to be left out or taken in."""

    hold_asked = Signal(object)
    """Names of pictures that are to be held out, or learned from."""

    def __init__(self, plan: Plan, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pictures = Pictures(plan, self)
        self.empty = ""
        self.setAccessibleName(tr("Pictures of the folder"))
        self.setModel(self.pictures)
        self.setItemDelegate(_Delegate(self))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(_ITEM)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMouseTracking(True)
        self.setAcceptDrops(False)  # the page takes what is dropped
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.toggle = self._action(tr("Leave out or take in"), Qt.Key.Key_Space, self.toggle_asked)
        self.hold = self._action(tr("Hold out to judge by, or learn from"), Qt.Key.Key_H, self.hold_asked)

    def _action(self, text: str, key: Qt.Key, asked: Any) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda: asked.emit(self.selected()))
        self.addAction(action)
        return action

    def selected(self) -> list[str]:
        """Names of the selected pictures that can be used."""
        found = [index.data(FOUND) for index in self.selectedIndexes()]
        return [one.name for one in found if not one.problem]

    def select(self, names: Iterable[str]) -> None:
        """Select these pictures and show the first of them."""
        rows = sorted(row for row in map(self.pictures.row, names) if row >= 0)
        chosen = self.selectionModel()
        chosen.clearSelection()
        for row in rows:
            chosen.select(self.pictures.index(row), QItemSelectionModel.SelectionFlag.Select)
        if rows:
            first = self.pictures.index(rows[0])
            chosen.setCurrentIndex(first, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(first)

    def mousePressEvent(self, event) -> None:
        """A tick acts on its picture, or on all selected ones if that is one of them; the selection stays."""
        place = event.position().toPoint()
        index = self.indexAt(place)
        if event.button() == Qt.MouseButton.LeftButton and index.isValid():
            one: Found = index.data(FOUND)
            if not one.problem and tick_place(self.visualRect(index)).contains(place):
                names = self.selected()
                self.toggle_asked.emit(names if one.name in names else [one.name])
                return
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event) -> None:
        """Two clicks are two clicks."""
        self.mousePressEvent(event)

    def paintEvent(self, event) -> None:
        """Say what to do while there is nothing to show."""
        super().paintEvent(event)
        if not self.pictures.found and self.empty:
            painter = QPainter(self.viewport())
            painter.setPen(QColor(theme.colors().muted))
            room = self.viewport().rect().adjusted(24, 24, -24, -24)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.empty)
