"""The first page: a folder of noisy pictures, what is in it, what is left out and what is held out to judge by."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSignalBlocker,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QAction, QColor, QImage, QKeySequence, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.jobs import to_screen
from app.wizard.background import Background
from app.wizard.page import Page, Plan
from app.workspace import Workspace
from engine import paths
from engine.image import find_images, load_image
from engine.noise import NoiseReport, pooled
from engine.worker import Job, Kind
from training import folder as preflight
from training.folder import Finding, Found, Group
from training.job import Preview

FOUND = Qt.ItemDataRole.UserRole

_BATCH_S = 0.1
_PREVIEW = 256
_SHARE = 15
_FINDINGS_HEIGHT = 148
_OVERVIEW = 640
_ITEM = QSize(102, 88)
_TICK = 22

_NOISE_WORDS = (
    "The standard deviation of the noise on a scale of 0 to 255, as it was measured in these pictures. White noise is "
    "independent from pixel to pixel; correlated noise comes in spots, as in most camera JPEGs."
)

# ---- On the workers ----


@dataclass(frozen=True)
class Settled:
    """What follows from which pictures are used.

    Attributes:
        held_out: names of the pictures to judge by.
        findings: worst first.
        noise: of all used pictures together, None where it was measured in none.
        of_groups: the same for each camera and ISO, by its label.
    """

    held_out: frozenset[str]
    findings: tuple[Finding, ...]
    noise: NoiseReport | None
    of_groups: Mapping[str, NoiseReport | None]


def measured(found: Iterable[Found]) -> NoiseReport | None:
    """The noise of these pictures together, of grey or of colour ones, whichever are more; None where none is known."""
    reports = [one.report for one in found if one.report is not None]
    if not reports:
        return None
    channels = Counter(len(report.channels) for report in reports).most_common(1)[0][0]
    return pooled([report for report in reports if len(report.channels) == channels])


def _looking(folder: Path, recursive: bool) -> Iterator[Any]:
    """Yield what is found, several at a time: a signal for each of a thousand would keep the window busy.

    Return the names of pictures in folders inside that do not belong to it: a job takes all that it does not leave out.
    """
    found, reported = [], time.monotonic()
    for one in preflight.look(folder, recursive):
        found.append(one)
        if time.monotonic() - reported > _BATCH_S:
            yield found
            found, reported = [], time.monotonic()
    yield found
    if recursive:
        return set()
    inside = (path.relative_to(folder).as_posix() for path in find_images([folder], recursive=True))
    return {name for name in inside if "/" in name}


def _settling(
    found: Sequence[Found], left_out: Set[str], held_out: Set[str] | None, share: float, patch: int, budget_mb: int
) -> Iterator[Any]:
    """Return what is `Settled` with these pictures left out; `held_out` is None where nobody chose them."""
    yield None  # a chance to stop: another click may be waiting
    kept = [one for one in found if one.name not in left_out]
    used = {one.name: one for one in kept if not one.problem}
    if held_out is None:
        held_out = set(preflight.hold_out(list(used.values()), share)) if share else set()
    held_out = held_out & used.keys()
    findings = preflight.check(kept, sorted(held_out), patch=patch, run_folder=paths.runs(), budget_mb=budget_mb)
    of_groups = {
        group.label: measured(used[name] for name in group.names) for group in preflight.grouped(list(used.values()))
    }
    return Settled(frozenset(held_out), tuple(findings), measured(used.values()), of_groups)


def _reading(path: Path) -> Iterator[Any]:
    """Return the picture for the screen, (H, W, C) uint8, and the same with sides of at most `_OVERVIEW` pixels."""
    yield None
    image = load_image(path)
    pixels = to_screen(image.pixels, image.levels)
    scale = min(1.0, _OVERVIEW / max(image.height, image.width))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    overview = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    return pixels, overview


# ---- The thumbnails ----


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
            return "left out"
        return "held out to judge by" if one.name in self.plan.held_out else "learned from"

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
            self._pixmaps[one.name] = _pixmap(one.thumbnail)
        return self._pixmaps[one.name]


def _facts(one: Found) -> str:
    """Size, depth, camera, ISO and noise, as far as they are known."""
    if not one.width:
        return ""
    facts = [f"{one.width} × {one.height}", f"{one.bits} bits", "grey" if one.channels == 1 else "colour", one.camera]
    facts += [f"ISO {one.iso}"] if one.iso else []
    facts += [f"noise {one.report.sigma * 255:.1f} of 255"] if one.report is not None else []
    return " · ".join(fact for fact in facts if fact)


def _pixmap(pixels: np.ndarray) -> QPixmap:
    """Of (h, w, C) uint8, C = 1 or 3."""
    pixels = np.ascontiguousarray(pixels)
    height, width, channels = pixels.shape
    kind = QImage.Format.Format_Grayscale8 if channels == 1 else QImage.Format.Format_RGB888
    return QPixmap.fromImage(QImage(pixels.data, width, height, channels * width, kind))


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
            below = _draw_word(painter, "held out", below, colors.done)
        if is_used and plan.preview is not None and plan.preview.name == one.name:
            _draw_word(painter, "preview", below, colors.accent)
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
    font = painter.font()
    font.setPixelSize(10)
    painter.setFont(font)
    size = painter.fontMetrics().size(0, text) + QSize(8, 2)
    badge = QRect(bottom_left.x(), bottom_left.y() - size.height() + 1, size.width(), size.height())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(badge, 3, 3)
    painter.setPen(QColor(255, 255, 255))
    painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()
    return badge.topLeft() - QPoint(0, 3)


def draw_sign(painter: QPainter, kind: str, place: QRect) -> None:
    """The sign of a finding: a square for what stops, a triangle for a warning, a disc for a note."""
    colors = theme.colors()
    box = QRectF(place).adjusted(2, 2, -2, -2)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor({"stop": colors.failed, "warn": colors.warning}.get(kind, colors.running)))
    if kind == "stop":
        painter.drawRoundedRect(box, 3, 3)
    elif kind == "warn":
        painter.drawPolygon([QPointF(box.center().x(), box.top()), box.bottomRight(), box.bottomLeft()])
    else:
        painter.drawEllipse(box)
    font = painter.font()
    font.setPixelSize(max(9, round(box.height() * 0.66)))
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor(255, 255, 255))
    down = 2 if kind == "warn" else 0
    painter.drawText(box.adjusted(0, down, 0, down), Qt.AlignmentFlag.AlignCenter, "i" if kind == "note" else "!")


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
        self.setAccessibleName("Pictures of the folder")
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
        self.toggle = self._action("Leave out or take in", Qt.Key.Key_Space, self.toggle_asked)
        self.hold = self._action("Hold out to judge by, or learn from", Qt.Key.Key_H, self.hold_asked)

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


# ---- The place of the preview ----


class CropView(QWidget):
    """A picture made small, and a square in it that is moved by mouse or arrow keys."""

    placed = Signal(int, int)
    """Left and top of the square, in pixels of the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.square: QRect | None = None
        self._pixmap: QPixmap | None = None
        self._size = QSize()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Place of the preview")
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Room for a picture of 3:2."""
        return QSize(300, 200)

    def show_picture(self, pixels: np.ndarray | None, size: QSize) -> None:
        """Show (h, w, C) uint8 of a picture that has `size` pixels; None shows nothing."""
        self._pixmap, self._size = None if pixels is None else _pixmap(pixels), size
        self.update()

    def show_square(self, square: QRect | None) -> None:
        """Mark a square of the picture; None for none."""
        self.square = square
        self.update()

    def _room(self) -> QRectF:
        """Where the picture is."""
        size = self._size.scaled(self.size() - QSize(4, 4), Qt.AspectRatioMode.KeepAspectRatio)
        return QRectF(QStyle.alignedRect(self.layoutDirection(), Qt.AlignmentFlag.AlignCenter, size, self.rect()))

    def paintEvent(self, event) -> None:
        """The picture, darker around the square."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(theme.colors().canvas))
        if self._pixmap is not None:
            room = self._room()
            painter.drawPixmap(room, self._pixmap, QRectF(self._pixmap.rect()))
            if self.square is not None:
                scale = room.width() / self._size.width()
                inside = QRectF(self.square)
                inside = QRectF(inside.topLeft() * scale + room.topLeft(), inside.size() * scale)
                around = QPainterPath()
                around.addRect(room)
                hole = QPainterPath()
                hole.addRect(inside)
                painter.fillPath(around - hole, QColor(0, 0, 0, 110))
                painter.setPen(QPen(QColor(255, 255, 255), 3))
                painter.drawRect(inside)
                painter.setPen(QPen(QColor(theme.colors().accent), 1.5))
                painter.drawRect(inside)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.colors().accent_hover), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mousePressEvent(self, event) -> None:
        """Bring the square's middle there."""
        if self._pixmap is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        room = self._room()
        place = (event.position() - room.topLeft()) * (self._size.width() / max(room.width(), 1.0))
        self._move_to(round(place.x() - self._side() / 2), round(place.y() - self._side() / 2))

    mouseMoveEvent = mousePressEvent

    def keyPressEvent(self, event) -> None:
        """Move the square a quarter of its side; with Shift by a few pixels."""
        steps = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
        step = steps.get(event.key())
        if step is None or self._pixmap is None:
            super().keyPressEvent(event)
            return
        by = 8 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else self._side() // 4
        square = self.square or self._middle()
        self._move_to(square.left() + by * step[0], square.top() + by * step[1])

    def focusInEvent(self, event) -> None:
        """Show the frame."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event) -> None:
        """Hide the frame."""
        super().focusOutEvent(event)
        self.update()

    def _side(self) -> int:
        return min(_PREVIEW, self._size.width(), self._size.height())

    def _middle(self) -> QRect:
        side = self._side()
        return QRect((self._size.width() - side) // 2, (self._size.height() - side) // 2, side, side)

    def _move_to(self, left: int, top: int) -> None:
        side = self._side()
        left = min(max(left, 0), self._size.width() - side)
        top = min(max(top, 0), self._size.height() - side)
        self.show_square(QRect(left, top, side, side))
        self.placed.emit(left, top)


# ---- Findings ----


class _Sign(QWidget):
    """The sign of a finding."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self.setFixedSize(22, 22)

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_sign(painter, self._kind, self.rect())


class FindingRow(QWidget):
    """One finding: its sign and sentence, and buttons for the pictures that it is about."""

    show_asked = Signal(object)
    leave_out_asked = Signal(object)

    def __init__(self, finding: Finding, can_show: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finding = finding
        words = {"stop": "Must be settled", "warn": "Warning"}
        self.text = QLabel(finding.sentence)
        self.text.setWordWrap(True)
        self.text.setAccessibleName(f"{words.get(finding.kind, 'Note')}: {finding.sentence}")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(_Sign(finding.kind), 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, 1)
        self.show_them = QToolButton()
        self.show_them.setText("Show")
        self.show_them.setAccessibleName("Show these pictures")
        self.show_them.setToolTip("Select the pictures that this is about")
        self.show_them.clicked.connect(lambda: self.show_asked.emit(finding.names))
        self.leave_out = QToolButton()
        self.leave_out.setText("Leave these out")
        self.leave_out.setToolTip("Do not use the pictures that this is about")
        self.leave_out.clicked.connect(lambda: self.leave_out_asked.emit(finding.names))
        for button, is_offered in ((self.show_them, can_show), (self.leave_out, finding.can_leave_out)):
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            button.setVisible(is_offered)


# ---- The page ----


class FolderPage(Page):
    """Choose the folder, see what is in it, leave out what does not belong, hold out what it is judged by.

    Two workers: one looks at the folder and checks what was found, the other reads the picture that is shown large.
    """

    title = "Folder"

    def __init__(self, plan: Plan, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(plan, parent)
        self.workspace = workspace
        self.findings: tuple[Finding, ...] = ()
        self._is_settled = False
        self._held_by_hand = self._placed_by_hand = False
        self._noise: NoiseReport | None = None
        self._of_groups: Mapping[str, NoiseReport | None] = {}
        self._groups: list[Group] = []
        self._found: dict[str, Found] = {}
        self._seen = 0
        self._shown: Found | None = None
        self._pixels: np.ndarray | None = None
        self._looking_at: tuple[Path, bool] | None = None
        self._look_job: Job | None = None
        self._settle_job: Job | None = None
        self._read_job: Job | None = None
        self._looking, self._reading = Background("looking at a folder", self), Background("reading a picture", self)
        self.setAcceptDrops(True)

        self.path = QLineEdit()
        self.path.setPlaceholderText("Drop a folder of noisy pictures here, or choose one")
        self.path.setAcceptDrops(False)
        self.choose = QPushButton("&Choose…")
        self.choose.setToolTip("Choose the folder of noisy pictures to learn from")
        self.recursive = QCheckBox("&With folders inside it")
        self.recursive.setToolTip("Whether the pictures of the folders inside it belong to it")
        self.recursive.setChecked(plan.recursive)
        self.summary = QLabel("No folder chosen yet")
        self.noise = QLabel()
        self.noise.setObjectName("muted")
        self.noise.setToolTip(f"<p>{_NOISE_WORDS}</p>")
        self.view = PictureView(plan)
        self.view.empty = (
            "Drop a folder of your own noisy pictures here.\n\nTen or more of one camera are a good start."
        )
        self._findings = QVBoxLayout()
        self._findings.setContentsMargins(0, 0, 0, 0)
        self._findings.setSpacing(4)
        inside = QWidget()
        inside.setLayout(self._findings)
        self._scroll = QScrollArea()
        self._scroll.setWidget(inside)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setAccessibleName("What was found")
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.hide()

        self.groups = QTreeWidget()
        self.groups.setHeaderLabels(["Camera and ISO", "Pictures", "Noise"])
        self.groups.setAccessibleName("Groups by camera and ISO")
        self.groups.setToolTip(
            "<p>Pictures of one camera at one ISO have noise that is alike. Untick a group to leave it out.</p>"
        )
        self.groups.setRootIsDecorated(False)
        self.groups.setUniformRowHeights(True)
        self.groups.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.groups.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.groups.setMinimumHeight(84)
        self.share = QSpinBox()
        self.share.setRange(0, 50)
        self.share.setValue(_SHARE)
        self.share.setSuffix(" %")
        about = (
            "<p>These pictures are not learned from. On them the tuned model is compared with the one it began "
            "with, so that it is kept only if it is better. Whole scenes are held out, of every group.</p>"
            "<p>Select pictures and press H to choose them by hand.</p>"
        )
        self.share.setToolTip(about)
        self.held = QLabel()
        self.held.setObjectName("muted")
        self.again = QToolButton()
        self.again.setText("Automatic")
        self.again.setAccessibleName("Choose the held-out pictures automatically")
        self.again.setToolTip("Forget what was chosen by hand")
        self.again.hide()
        self.crop = CropView()
        self.crop.setToolTip(
            "<p>A square of one picture is shown while it learns: before, as the start denoises it, "
            "and now. Click or drag to choose it, or use the arrow keys.</p>"
        )
        self.detail = QLabel()
        self.detail.setFixedSize(128, 128)
        self.detail.setAccessibleName("The chosen square")
        self.caption = QLabel()
        self.caption.setObjectName("muted")
        self.caption.setWordWrap(True)
        self.caption.setAlignment(Qt.AlignmentFlag.AlignTop)

        top = QHBoxLayout()
        label = QLabel("&Folder")
        label.setBuddy(self.path)
        for widget in (label, self.path, self.choose, self.recursive):
            top.addWidget(widget, 1 if widget is self.path else 0)
        left = QVBoxLayout()
        left.setSpacing(6)
        for widget in (self.summary, self.noise, self.view, self._scroll):
            left.addWidget(widget, 1 if widget is self.view else 0)
        holding = QHBoxLayout()
        label = QLabel("&Held out to judge by")
        label.setBuddy(self.share)
        label.setToolTip(about)
        for widget in (label, self.share, self.held, self.again):
            holding.addWidget(widget, 1 if widget is self.held else 0)
        preview = QLabel("Pre&view while it learns")
        preview.setObjectName("heading")
        preview.setBuddy(self.crop)
        chosen = QHBoxLayout()
        chosen.addWidget(self.detail, 0, Qt.AlignmentFlag.AlignTop)
        chosen.addWidget(self.caption, 1)
        self._panel = QWidget()
        self._panel.setFixedWidth(320)
        right = QVBoxLayout(self._panel)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(6)
        right.addWidget(self.groups, 2)
        right.addLayout(holding)
        right.addWidget(preview)
        right.addWidget(self.crop, 3)
        right.addLayout(chosen)
        middle = QHBoxLayout()
        middle.setSpacing(12)
        middle.addLayout(left, 1)
        middle.addWidget(self._panel)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addLayout(middle, 1)

        self.path.returnPressed.connect(self._typed)
        self.choose.clicked.connect(self._ask)
        self.recursive.toggled.connect(self._look_again)
        self.view.toggle_asked.connect(self.toggle)
        self.view.hold_asked.connect(self._toggle_held)
        self.view.selectionModel().currentChanged.connect(self._show_current)
        self.groups.itemChanged.connect(self._toggle_group)
        self.share.valueChanged.connect(self._settle)
        self.again.clicked.connect(self._hold_automatically)
        self.crop.placed.connect(self._place)
        self._show_state()

    # What the frame asks

    def enter(self) -> None:
        """Look at a folder that was given, and check again what may depend on other pages."""
        if self.plan.folder is not None and self._looking_at is None:
            self.open(self.plan.folder)
        elif self._looking_at is not None and self._look_job is None:
            self._settle()

    @property
    def is_complete(self) -> bool:
        """Whether the folder was looked at and nothing in it stops a training."""
        return self._is_settled and bool(self.plan.used) and not any(f.kind == "stop" for f in self.findings)

    def close_page(self) -> None:
        """End the workers."""
        self._looking.close()
        self._reading.close()

    # The folder

    def open(self, folder: Path) -> None:
        """Look at this folder and forget the one before."""
        plan = self.plan
        for job in (self._look_job, self._settle_job):
            self._looking.drop(job)
        plan.folder, plan.recursive, plan.found = folder, self.recursive.isChecked(), ()
        plan.left_out, plan.held_out, plan.preview = set(), set(), None
        self._looking_at = (folder, plan.recursive)
        self._is_settled = self._held_by_hand = self._placed_by_hand = False
        self._noise, self._of_groups, self._groups = None, {}, []
        self._found, self._seen = {}, 0
        self.path.setText(str(folder))
        self.view.pictures.clear()
        self.view.empty = "Looking for pictures…"
        self._show_picture(None)
        self._show_findings(())
        self._show_groups()
        self._look_job = self._looking.submit(lambda: _looking(folder, plan.recursive), self._looked)
        self._show_state()

    def _looked(self, kind: Kind, value: Any) -> None:
        if kind is Kind.PROGRESS:
            self._found |= {one.name: one for one in value}
            self._seen += len(value)
            self.plan.found = tuple(self._found.values())
            # Clean twins are left alone: the finding says so.
            self.view.pictures.put(one for one in value if one.problem != preflight.TWIN)
            self._groups = preflight.grouped(self.plan.found)
            self._show_groups()
            self._show_state()
            return
        self._look_job = None
        self.view.empty = "No picture was found in this folder."
        if kind is Kind.DONE:
            self.plan.left_out |= value
        if kind is Kind.FAILED:
            self._show_findings((Finding("stop", str(value) or "This folder cannot be read."),))
            self._show_state()
        else:
            self._settle()

    def _typed(self) -> None:
        if text := self.path.text().strip():
            self.open(Path(text).expanduser())

    def _ask(self) -> None:
        start = str(self.plan.folder or self.workspace.settings.folder)
        name = QFileDialog.getExistingDirectory(self, "Choose a folder of noisy pictures", start)
        if name:
            self.workspace.change_settings(folder=name)
            self.open(Path(name))

    def _look_again(self) -> None:
        if self.plan.folder is not None:
            self.open(self.plan.folder)
        self.plan.recursive = self.recursive.isChecked()

    def dragEnterEvent(self, event) -> None:
        """Accept files and folders."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    dragMoveEvent = dragEnterEvent

    def dropEvent(self, event) -> None:
        """Take the first folder, or the one that the first picture lies in."""
        dropped = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if dropped:
            event.acceptProposedAction()
            self.open(next((path for path in dropped if path.is_dir()), dropped[0].parent))

    # What is used

    def toggle(self, names: Iterable[str]) -> None:
        """Leave these pictures out, or take them in if all are left out already."""
        names, left_out = set(names), self.plan.left_out
        if names:
            self._leave_out(left_out - names if names <= left_out else left_out | names)

    def leave_out(self, names: Iterable[str]) -> None:
        """Use these pictures no more."""
        self._leave_out(self.plan.left_out | set(names))

    def _leave_out(self, names: set[str]) -> None:
        self.plan.left_out = names
        self._show_groups()
        self._settle()

    def _toggle_group(self, item: QTreeWidgetItem, column: int) -> None:
        names = set(self._groups[self.groups.indexOfTopLevelItem(item)].names)
        is_on = item.checkState(0) == Qt.CheckState.Checked
        self._leave_out(self.plan.left_out - names if is_on else self.plan.left_out | names)

    def _toggle_held(self, names: Iterable[str]) -> None:
        names = set(names) - self.plan.left_out
        if not names or self._look_job is not None:
            return
        held = self.plan.held_out
        self.plan.held_out = held - names if names <= held else held | names
        self._held_by_hand = True
        self._settle()

    def _hold_automatically(self) -> None:
        self._held_by_hand = False
        self._settle()

    def _settle(self) -> None:
        """Find anew what is held out and what would go wrong."""
        if self._look_job is None and self._looking_at is not None:
            self._looking.drop(self._settle_job)
            self._is_settled = False
            plan = self.plan
            found, left_out = tuple(plan.found), frozenset(plan.left_out)
            held_out = frozenset(plan.held_out) if self._held_by_hand else None
            share, options = self.share.value() / 100, plan.options
            patch, budget_mb = int(options.get("patch", 64)), int(options.get("budget_mb", 4096))
            self._settle_job = self._looking.submit(
                lambda: _settling(found, left_out, held_out, share, patch, budget_mb), self._take_settled
            )
        self._show_state()

    def _take_settled(self, kind: Kind, value: Any) -> None:
        if kind is Kind.FAILED:
            self._show_findings((Finding("stop", str(value)),))
            self._show_state()
        if kind is not Kind.DONE:
            return
        self.plan.held_out = set(value.held_out)
        self._noise, self._of_groups, self._is_settled = value.noise, value.of_groups, True
        self._show_findings(value.findings)
        self._show_groups()
        self._preview_by_default()
        self._show_state()

    # The preview

    def _preview_by_default(self) -> None:
        """The middle of a held-out picture, unless a place was chosen in a picture that is still used."""
        plan, used = self.plan, self.plan.used
        kept = plan.preview is not None and plan.preview.name in {one.name for one in used}
        if not (kept and (self._placed_by_hand or plan.preview.name in plan.held_out)):  # pyright: ignore
            self._placed_by_hand = False
            one = next((one for one in used if one.name in plan.held_out), next(iter(used), None))
            plan.preview = None
            if one is not None:
                side = min(_PREVIEW, one.width, one.height)
                plan.preview = Preview(one.name, (one.width - side) // 2, (one.height - side) // 2, side)
        if not self.view.currentIndex().isValid():
            self._show_picture(self._found[plan.preview.name] if plan.preview is not None else None)
        else:
            self._show_preview()

    def _show_current(self, index: QModelIndex) -> None:
        one: Found | None = index.data(FOUND)
        if one is not None:
            self._show_picture(one)

    def _show_picture(self, one: Found | None) -> None:
        """Show a picture large: its thumbnail until it is read."""
        if one is not None and one is self._shown:
            self._show_preview()
            return
        self._reading.drop(self._read_job)
        self._shown, self._pixels = one, None
        self.crop.show_picture(None, QSize())
        if one is not None and not one.problem and one.thumbnail is not None and self.plan.folder is not None:
            self.crop.show_picture(one.thumbnail, QSize(one.width, one.height))
            path = self.plan.folder / one.name
            self._read_job = self._reading.submit(lambda: _reading(path), self._take_picture)
        self._show_preview()

    def _take_picture(self, kind: Kind, value: Any) -> None:
        if kind is Kind.DONE and self._shown is not None:
            self._pixels, overview = value
            height, width = value[0].shape[:2]
            self.crop.show_picture(overview, QSize(width, height))
            self._show_preview()
        elif kind is Kind.FAILED:
            self.caption.setText(str(value))

    def _place(self, left: int, top: int) -> None:
        if self._shown is not None and self.crop.square is not None:
            self._placed_by_hand = True
            self.plan.preview = Preview(self._shown.name, left, top, self.crop.square.width())
            self._show_preview()
            self.view.pictures.refresh()
            self.changed.emit()

    def _show_preview(self) -> None:
        """The square, if it is of the picture that is shown, and what it is of."""
        one, preview = self._shown, self.plan.preview
        is_here = one is not None and preview is not None and preview.name == one.name
        square = QRect(preview.left, preview.top, preview.side, preview.side) if preview and is_here else None
        self.crop.show_square(square)
        self.detail.clear()
        if one is None:
            self.caption.setText("")
            return
        if one.problem:
            self.caption.setText(f"{_breakable(one.name)}: {one.problem}")
            return
        if square is None:
            self.caption.setText(f"{_breakable(one.name)}\nClick in it to choose the preview here.")
            return
        if self._pixels is not None:
            rows = slice(square.top(), square.top() + square.height())
            columns = slice(square.left(), square.left() + square.width())
            cut = _pixmap(self._pixels[rows, columns])
            self.detail.setPixmap(
                cut.scaled(
                    self.detail.size(), Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
                )
            )
        note = "" if one.name in self.plan.held_out else "\nIt is learned from; one that is held out tells more."
        self.caption.setText(
            f"{_breakable(one.name)}\n{square.width()} pixels at {square.left()}, {square.top()}{note}"
        )

    # What is shown

    def _show_findings(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        while (item := self._findings.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()  # until it is gone
                widget.deleteLater()
        for finding in findings:
            row = FindingRow(finding, any(self.view.pictures.row(name) >= 0 for name in finding.names))
            row.show_asked.connect(self.view.select)
            row.leave_out_asked.connect(self.leave_out)
            self._findings.addWidget(row)
            row.show()  # or its height would not count yet
        self._findings.addStretch(1)
        self._scroll.setVisible(bool(findings))
        self._fit_findings()

    def _fit_findings(self) -> None:
        """As high as they are, to a limit."""
        inside = self._scroll.widget()
        height = inside.layout().heightForWidth(max(self._scroll.viewport().width(), 200))
        self._scroll.setFixedHeight(min(_FINDINGS_HEIGHT, max(height, 26)))

    def resizeEvent(self, event) -> None:
        """Sentences may take more lines, or fewer."""
        super().resizeEvent(event)
        self._fit_findings()

    def _show_groups(self) -> None:
        """All groups with what is used of each."""
        with QSignalBlocker(self.groups):
            while self.groups.topLevelItemCount() > len(self._groups):
                self.groups.takeTopLevelItem(self.groups.topLevelItemCount() - 1)
            while self.groups.topLevelItemCount() < len(self._groups):
                self.groups.addTopLevelItem(QTreeWidgetItem())
            for row, group in enumerate(self._groups):
                item = self.groups.topLevelItem(row)
                assert item is not None
                used = sum(name not in self.plan.left_out for name in group.names)
                whole = used == len(group.names)
                state = Qt.CheckState.Checked if whole else Qt.CheckState.PartiallyChecked
                item.setCheckState(0, state if used else Qt.CheckState.Unchecked)
                report = self._of_groups.get(group.label)
                item.setText(0, group.label)
                item.setToolTip(0, group.label)
                item.setText(1, str(used) if whole else f"{used} of {len(group.names)}")
                item.setText(2, f"{report.sigma * 255:.1f}" if report is not None else "–")
                for column in (1, 2):
                    item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.groups.setEnabled(self._look_job is None)

    def _show_state(self) -> None:
        """Counts and noise, and whether the next page may be shown."""
        plan, used = self.plan, self.plan.used
        self.view.pictures.refresh()
        self.groups.setEnabled(self._look_job is None)
        if self._look_job is not None:
            known = f"{len(plan.found)} files"
            again = self._seen - len(plan.found)
            self.summary.setText(f"Looking… {known}" + (f", measuring their noise: {again}" if again else " so far"))
            self.noise.setText("")
        elif self._looking_at is not None:
            self.summary.setText(_counts(plan, used))
            self.noise.setText("" if self._noise is None else _noise_said(self._noise, used))
        held = len(plan.held_out - plan.left_out)
        self.held.setText(f"{held} of {len(used)}{', by hand' if self._held_by_hand else ''}" if used else "")
        self.again.setVisible(self._held_by_hand)
        self.share.setVisible(not self._held_by_hand)
        self._panel.setVisible(self._looking_at is not None)
        self.changed.emit()


def _counts(plan: Plan, used: Sequence[Found]) -> str:
    """How many pictures are used, and of what size and depth."""
    parts = [f"{len(used)} picture{'' if len(used) == 1 else 's'}"]
    sizes = sorted(one.width * one.height / 1e6 for one in used)
    if sizes:
        low, high = f"{sizes[0]:.2g}", f"{sizes[-1]:.2g}"
        parts.append(f"{low if low == high else f'{low} to {high}'} megapixels")
        parts.append(" and ".join(f"{bits}" for bits in sorted({one.bits for one in used})) + " bits")
        kinds = {one.channels == 1 for one in used}
        parts.append("grey and colour" if len(kinds) > 1 else "grey" if True in kinds else "colour")
    unreadable = sum(bool(one.problem) and one.problem != preflight.TWIN for one in plan.found)
    left_out = sum(not one.problem for one in plan.found) - len(used)
    parts += [f"{left_out} left out"] if left_out else []
    parts += [f"{unreadable} cannot be read"] if unreadable else []
    return " · ".join(parts)


def _breakable(name: str) -> str:
    """A file name that may be cut into lines after these signs."""
    return re.sub(r"([_/.-])", "\\1\u200b", name)


def _noise_said(report: NoiseReport, used: Sequence[Found]) -> str:
    """The noise of all used pictures, and of how many it is known."""
    if report.is_clean:
        return "No noise worth removing was found"
    parts = [f"Noise: sigma {report.sigma * 255:.1f} of 255"]
    parts.append("white" if report.is_white else f"correlated ({report.correlation:.2f})")
    parts += [f"{report.clipped:.1%} clipped"] if report.clipped > 0.005 else []
    count = sum(one.report is not None for one in used)
    parts += [f"measured in {count} of them"] if count < len(used) else []
    return " · ".join(parts)
