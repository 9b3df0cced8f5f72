"""The control of one parameter, drawn from its declaration: label, slider and number, or a list of words."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QStyledItemDelegate,
    QWidget,
)

from app.words import wrapped
from engine.language import tr
from engine.params import Spec

_MANY_STEPS = 500
"""From here on a slider is finer at its low end, where most values lie."""


class Control(QWidget):
    """Label and note of one parameter; its kinds add what the value is set by.

    A double click on the label resets it. The wheel turns only what has the focus, so that the panel can be scrolled.
    """

    value_changed = Signal(str, object)
    """Name and value in engine units; None is automatic."""

    reset = Signal(str)

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spec = spec
        self.label = QLabel(spec.label)
        self.note = QLabel()
        self.note.setObjectName("muted")
        wrap(self.note)
        self.note.hide()
        self._turned: tuple[QWidget, ...] = ()

    @property
    def value(self) -> Any:
        """In engine units; None is automatic."""
        raise NotImplementedError

    @property
    def tab_order(self) -> tuple[QWidget, ...]:
        """What the focus goes through."""
        raise NotImplementedError

    def set_value(self, value: Any, measured: float | None = None) -> None:
        """Show a value, and for the automatic one what was measured; emits nothing."""
        raise NotImplementedError

    def set_note(self, text: str) -> None:
        """A line below, for example the same value in another unit; "" hides it."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _lead(self, *turned: QWidget) -> None:
        """Explain the label and these, and listen to them."""
        self._turned = turned
        how = tr("Double click to reset.")
        tip = f"{self.spec.help}\n\n{how}" if self.spec.help else how
        for widget in (self.label, *turned):
            widget.setToolTip(wrapped(tip))
            widget.installEventFilter(self)
        for widget in turned:
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Reset on a double click; leave the wheel to the panel unless the control has the focus."""
        if event.type() == QEvent.Type.MouseButtonDblClick and (watched is self.label or isinstance(watched, QSlider)):
            self.reset.emit(self.spec.name)
            return True
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(watched, QDoubleSpinBox):
            steps = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo
            # A number takes these keys for its own text; where nothing is half typed they mean the settings.
            if isinstance(event, QKeyEvent) and any(map(event.matches, steps)) and not _is_half_typed(watched):
                event.ignore()
                return True
        turned = next((widget for widget in self._turned if widget is watched), None)
        if event.type() == QEvent.Type.Wheel and turned is not None and not turned.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)


class ChoiceControl(Control):
    """Label and list of a parameter that is one of some words."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self.choice = QComboBox()
        self.choice.setItemDelegate(QStyledItemDelegate(self.choice))  # as in `_combo`
        for word in spec.choices:
            self.choice.addItem(spec.word(word), word)
        self.choice.setAccessibleName(spec.label)
        self.label.setBuddy(self.choice)
        self._lead(self.choice)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(3)
        layout.addWidget(self.label, 0, 0)
        layout.addWidget(self.choice, 0, 1)
        layout.addWidget(self.note, 1, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        self.choice.activated.connect(self._chosen)
        self.set_value(spec.default)

    @property
    def value(self) -> str:
        """One of the words."""
        return self.choice.currentData()

    @property
    def tab_order(self) -> tuple[QWidget, ...]:
        """The list alone."""
        return (self.choice,)

    def set_value(self, value: Any, measured: float | None = None) -> None:
        """Show a word; emits nothing."""
        self.choice.setCurrentIndex(self.choice.findData(value))

    def _chosen(self, index: int) -> None:
        self.value_changed.emit(self.spec.name, self.choice.itemData(index))


class ParamControl(Control):
    """Label, slider and number of one parameter, and a tick for the value None where it may be that.

    Args:
        spec: of the parameter.
        tick: what None is called; "" where it is measured in the picture.
    """

    def __init__(self, spec: Spec, parent: QWidget | None = None, tick: str = "") -> None:
        super().__init__(spec, parent)
        self._value: float | int | None = spec.default  # pyright: ignore[reportAttributeAccessIssue]
        self._measured: float | None = None

        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.spin = QDoubleSpinBox()
        self.automatic = QCheckBox(tick or tr("Auto"))

        shown_step = spec.step * spec.scale
        enough = (digits for digits in range(6) if abs(round(shown_step, digits) - shown_step) < 1e-9)
        self.spin.setDecimals(0 if spec.integer else next(enough, 6))
        self.spin.setRange(spec.minimum * spec.scale, spec.maximum * spec.scale)
        self.spin.setSingleStep(shown_step)
        self.spin.setSuffix(spec.unit)
        self.spin.setKeyboardTracking(False)
        self.spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._steps = len(spec.stops) - 1 if spec.stops else max(1, round((spec.maximum - spec.minimum) / spec.step))
        self.slider.setRange(0, self._steps)
        self.slider.setPageStep(1 if spec.stops else max(1, self._steps // 20))
        if spec.stops:
            self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
            self.slider.setTickInterval(1)

        self.label.setBuddy(self.spin)
        self._lead(self.slider, self.spin)
        if not tick:
            self.automatic.setToolTip(wrapped(tr("{label}: measured from the picture").format(label=spec.label)))
        self.slider.setAccessibleName(spec.label)
        self.spin.setAccessibleName(tr("{label}, number").format(label=spec.label))
        self.automatic.setAccessibleName(f"{spec.label}, {tick.lower() or tr('automatic')}")

        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(3)
        layout.addWidget(self.label, 0, 0)
        layout.addWidget(self.automatic, 0, 1)
        layout.addWidget(self.spin, 0, 2)
        layout.addWidget(self.slider, 1, 0, 1, 3)
        layout.addWidget(self.note, 2, 0, 1, 3)
        layout.setColumnStretch(0, 1)
        self.automatic.setVisible(spec.automatic)  # not before it has a parent: it would be a window
        self.slider.valueChanged.connect(self._slid)
        self.spin.valueChanged.connect(self._typed)
        self.automatic.toggled.connect(self._ticked)
        self.set_value(self._value)

    @property
    def value(self) -> float | int | None:
        """In engine units; None is automatic."""
        return self._value

    @property
    def tab_order(self) -> tuple[QWidget, ...]:
        """The tick, the number, the slider."""
        return self.automatic, self.spin, self.slider

    def set_value(self, value: float | int | None, measured: float | None = None) -> None:
        """Show a value, and for the automatic one what was measured; emits nothing."""
        self._value, self._measured = value, measured
        shown = measured if value is None else value
        with QSignalBlocker(self.slider), QSignalBlocker(self.spin), QSignalBlocker(self.automatic):
            self.automatic.setChecked(value is None)
            # An automatic value that is not measured yet: a dash, where a zero would say "clean".
            self.spin.setSpecialValueText("–" if shown is None else "")
            self.spin.setValue(self.spec.minimum * self.spec.scale if shown is None else shown * self.spec.scale)
            self.slider.setValue(self._position(self.spec.minimum if shown is None else shown))

    def _position(self, value: float) -> int:
        spec = self.spec
        if spec.stops:
            return min(range(len(spec.stops)), key=lambda i: (abs(math.log2(spec.stops[i] / value)), i)) if value else 0
        share = (value - spec.minimum) / (spec.maximum - spec.minimum)
        return round((math.sqrt(max(share, 0.0)) if self._steps > _MANY_STEPS else share) * self._steps)

    def _at(self, position: int) -> float:
        spec = self.spec
        if spec.stops:
            return spec.stops[position]
        share = position / self._steps
        share = share * share if self._steps > _MANY_STEPS else share
        steps = round((spec.maximum - spec.minimum) * share / spec.step)
        return min(spec.maximum, spec.minimum + steps * spec.step)

    def _slid(self, position: int) -> None:
        self._set_by_hand(self._at(position))

    def _typed(self, shown: float) -> None:
        self._set_by_hand(shown / self.spec.scale)

    def _set_by_hand(self, value: float) -> None:
        value = min(self.spec.maximum, max(self.spec.minimum, value))
        value = round(value) if self.spec.integer else value
        self.set_value(value, self._measured)
        self.value_changed.emit(self.spec.name, value)

    def _ticked(self, on: bool) -> None:
        if on:
            value = None
        else:
            # What was measured, as far as the number shows it, is where setting it by hand starts.
            start = self._measured if self._measured is not None else self.spec.usual or self.spec.minimum
            value = round(start * self.spec.scale, self.spin.decimals()) / self.spec.scale
        self.set_value(value, self._measured)
        self.value_changed.emit(self.spec.name, value)


def wrap(label: QLabel) -> None:
    """Let a text take the panel's width instead of asking for its own."""
    label.setWordWrap(True)
    label.setMinimumWidth(40)
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)


def _is_half_typed(spin: QDoubleSpinBox) -> bool:
    settled = f"{spin.prefix()}{spin.textFromValue(spin.value())}{spin.suffix()}"
    return spin.text() not in (settled, spin.specialValueText())
