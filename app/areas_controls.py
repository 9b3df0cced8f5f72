"""Places with a strength of their own: what is drawn next, and the list of those that are there."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QStyledItemDelegate,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.param_control import ParamControl
from app.words import wrapped
from app.workspace import Workspace
from engine.areas import Area
from engine.language import tr
from engine.params import Spec

INSIDE = Spec(
    "inside",
    0.0,
    0.0,
    1.2,
    tr("Strength inside"),
    unit=" %",
    scale=100.0,
    step=0.05,
    help=tr(
        "Of the place that is chosen in the list, and of the next one that is drawn: 0 % protects it, 100 % denoises "
        "it as set above."
    ),
)

RADIUS = Spec(
    "radius",
    24.0,
    2.0,
    400.0,
    tr("Brush radius"),
    unit=tr(" pixels"),
    step=1.0,
    help=tr("In pixels of the picture; the keys [ and ] change it."),
)

_LARGER = 1.25
_ROWS = 4


class AreasControls(QWidget):
    """The group of the panel for places; a place is drawn on the picture with the tool that is chosen here."""

    tool_wanted = Signal(str)
    """"rectangle", "brush" or "pan"."""

    radius_changed = Signal(float)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.rectangle = _tool(tr("Rectangle"), tr("Draw a rectangle on the picture"))
        self.brush = _tool(tr("Brush"), tr("Paint on the picture"))
        self.inside, self.radius = ParamControl(INSIDE), ParamControl(RADIUS)
        self.outside = QComboBox()
        self.outside.setAccessibleName(tr("Outside of all places"))
        self.outside.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.outside.setItemDelegate(QStyledItemDelegate(self.outside))
        self.outside.addItem(tr("Denoise the rest"), 1.0)
        self.outside.addItem(tr("Leave the rest as it is"), 0.0)
        self.places = QListWidget()
        self.places.setAccessibleName(tr("Places"))
        self.places.setFixedHeight(_ROWS * self.places.fontMetrics().lineSpacing() + 2 * self.places.frameWidth() + 8)
        self.empty = QLabel(tr("Draw a place on the picture to protect it, or to denoise nothing else."))
        self.all_pages = QLabel(tr("They hold for all pages of this stack."))
        for note in (self.empty, self.all_pages):
            note.setObjectName("muted")
            note.setWordWrap(True)
        self.remove = QToolButton()
        self.remove.setText(tr("Remove"))
        self.remove.setAccessibleName(tr("Remove the place"))
        self.remove_all = QToolButton()
        self.remove_all.setText(tr("Remove all"))
        self.remove_all.setAccessibleName(tr("Remove all places"))

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(8)
        tools = QGridLayout()
        tools.addWidget(self.rectangle, 0, 0)
        tools.addWidget(self.brush, 0, 1)
        layout.addLayout(tools)
        layout.addWidget(self.inside)
        layout.addWidget(self.radius)
        layout.addWidget(self.outside)
        layout.addWidget(self.places)
        layout.addWidget(self.empty)
        layout.addWidget(self.all_pages)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.remove)
        row.addWidget(self.remove_all)
        layout.addLayout(row)

        for tool, button in (("rectangle", self.rectangle), ("brush", self.brush)):
            button.clicked.connect(lambda on, tool=tool: self.tool_wanted.emit(tool if on else "pan"))
        self.inside.value_changed.connect(self._change_strength)
        self.inside.reset.connect(lambda name: self._change_strength(name, INSIDE.default))
        self.inside.slider.sliderPressed.connect(workspace.history.begin_drag)
        self.inside.slider.sliderReleased.connect(workspace.history.end_drag)
        self.radius.value_changed.connect(lambda _, radius: self.radius_changed.emit(radius))
        self.radius.reset.connect(lambda _: self.set_radius(RADIUS.default))
        self.outside.activated.connect(self._choose_outside)
        self.places.currentRowChanged.connect(self._select)
        self.remove.clicked.connect(self._remove)
        self.remove_all.clicked.connect(self._remove_all)
        workspace.params_changed.connect(self.show_values)
        workspace.current_changed.connect(self.show_values)
        workspace.picture_ready.connect(self.show_values)
        self.show_values()

    @property
    def tab_order(self) -> tuple[QWidget, ...]:
        """What the focus goes through."""
        numbers = (*self.inside.tab_order, *self.radius.tab_order)
        return self.rectangle, self.brush, *numbers, self.outside, self.places, self.remove, self.remove_all

    def show_values(self) -> None:
        """The current picture's places."""
        areas = self.workspace.values.areas
        texts = [place_text(number, place) for number, place in enumerate(areas.places, 1)]
        with QSignalBlocker(self.places):
            row = self.places.currentRow()
            if [self.places.item(i).text() for i in range(self.places.count())] != texts:
                self.places.clear()
                self.places.addItems(texts)
                self.places.setCurrentRow(row if row < len(texts) else len(texts) - 1)
        self._show_strength()
        self.places.setVisible(bool(texts))
        self.empty.setVisible(not texts)
        opened = self.workspace.opened
        self.all_pages.setVisible(bool(texts) and opened is not None and opened.picture.image.pages > 1)
        self.remove.setEnabled(self.places.currentRow() >= 0)
        self.remove_all.setEnabled(bool(texts) or areas.outside != 1)
        self.outside.setCurrentIndex(self.outside.findData(0.0 if areas.outside == 0 else 1.0))

    def show_tool(self, tool: str) -> None:
        """Which tool the picture has now."""
        self.rectangle.setChecked(tool == "rectangle")
        self.brush.setChecked(tool == "brush")

    def add(self, place: Area) -> None:
        """Take a place that was drawn, with the strength that is set here."""
        areas = self.workspace.values.areas
        place = dataclasses.replace(place, strength=float(self.inside.value))
        self.workspace.set_areas(dataclasses.replace(areas, places=(*areas.places, place)))
        self.places.setCurrentRow(len(areas.places))

    def set_radius(self, radius: float) -> None:
        """Change the brush, within its limits."""
        radius = min(RADIUS.maximum, max(RADIUS.minimum, radius))
        self.radius.set_value(radius)
        self.radius_changed.emit(radius)

    def change_radius(self, grows: bool) -> None:
        """One step larger or smaller."""
        self.set_radius(round(float(self.radius.value) * (_LARGER if grows else 1 / _LARGER)) + (1 if grows else -1))

    def _select(self, row: int) -> None:
        self.workspace.history.seal()
        self._show_strength()
        self.remove.setEnabled(row >= 0)

    def _show_strength(self) -> None:
        """That of the chosen place; without one it stays what the next one gets."""
        places, row = self.workspace.values.areas.places, self.places.currentRow()
        if 0 <= row < len(places):
            self.inside.set_value(places[row].strength)

    def _change_strength(self, name: str, strength: float) -> None:
        self.inside.set_value(strength)
        areas, row = self.workspace.values.areas, self.places.currentRow()
        if 0 <= row < len(areas.places):
            places = list(areas.places)
            places[row] = dataclasses.replace(places[row], strength=strength)
            self.workspace.set_areas(dataclasses.replace(areas, places=tuple(places)), merges=True)

    def _choose_outside(self, index: int) -> None:
        areas = self.workspace.values.areas
        self.workspace.set_areas(dataclasses.replace(areas, outside=self.outside.itemData(index)))

    def _remove(self) -> None:
        areas, row = self.workspace.values.areas, self.places.currentRow()
        if 0 <= row < len(areas.places):
            left = areas.places[:row] + areas.places[row + 1 :]
            self.workspace.set_areas(dataclasses.replace(areas, places=left))

    def _remove_all(self) -> None:
        self.workspace.set_areas(type(self.workspace.values.areas)())


def place_text(number: int, place: Area) -> str:
    """A place in one line of the list."""
    shape = tr("rectangle") if place.shape == "rectangle" else tr("brush")
    strength = tr("protected") if place.strength == 0 else f"{place.strength:.0%}"
    return f"{number} · {shape} · {strength}"


def _tool(text: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(wrapped(tip))
    button.setCheckable(True)
    policy = button.sizePolicy()
    policy.setHorizontalPolicy(policy.Policy.Expanding)
    button.setSizePolicy(policy)
    return button
