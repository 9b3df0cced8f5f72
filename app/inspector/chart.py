"""A small plot that follows the theme, tells its curves apart without colour, and says in words what it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPen, QWheelEvent
from PySide6.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from app import theme
from app.inspector.flow import Flow
from app.inspector.plots import Legend
from engine.language import tr

_MOST_POINTS = 1000

BEFORE, AFTER, REFERENCE = ROLES = ("before", "after", "reference")

TRUE, ESTIMATE = "true", "estimate"
"""Two numbers that are never to be taken for each other."""

NAMES = {
    BEFORE: tr("Before"),
    AFTER: tr("After"),
    REFERENCE: tr("Reference"),
}

_ALL_NAMES = NAMES | {TRUE: tr("True PSNR"), ESTIMATE: tr("Estimate and band")}

LUMA = (0.2126, 0.7152, 0.0722)
"""Shares of red, green and blue in the brightness of a colour: ITU-R BT.709."""


_SYMBOLS = {BEFORE: "", AFTER: "o", REFERENCE: "t", TRUE: "o", ESTIMATE: "s"}
"""What tells the curves apart without their colours."""

_MARKS = 8
"""Places at which a long curve has its symbol."""

_MOST_THICK = 60
"""Points of a thick line: the painter takes a tenth of a second for a thousand, and a millisecond for a thin one."""


def pen(role: str, *, is_thick: bool = False) -> QPen:
    """Of a curve."""
    c = theme.colors()
    color = {BEFORE: c.muted, AFTER: c.running, REFERENCE: c.warning, TRUE: c.running, ESTIMATE: c.warning}[role]
    return pg.mkPen(color, width=2 if is_thick else 1)


class Chart(QWidget):
    """A plot of named curves with their legend, and a sentence below that says what can be seen."""

    def __init__(self, name: str, roles: Sequence[str] = ROLES, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        box = pg.ViewBox(enableMenu=False, enableMouse=False)
        box.disableAutoRange()
        self.plot = pg.PlotItem(viewBox=box, enableMenu=False)
        self.plot.hideButtons()
        self.plot.setContentsMargins(0, 4, 8, 0)
        for side in ("left", "bottom"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.view = _View(self.plot)
        self.view.setAccessibleName(name)
        self._samples = {role: Legend(_ALL_NAMES[role], None, _SYMBOLS[role]) for role in roles}
        self.legend = Flow(*self._samples.values())
        self.summary = QLabel()
        self.summary.setObjectName("muted")
        self.summary.setAccessibleName(tr("{plot} in words").format(plot=name))
        make_readable(self.summary)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.view)
        column.addWidget(self.legend)
        column.addWidget(self.summary)
        self._curves = {role: self.plot.plot(antialias=True, connect="finite") for role in roles}
        for role, curve in self._curves.items():
            curve.setZValue({AFTER: 2, REFERENCE: 1}.get(role, 0))  # the result lies over all else
        self._marks = {role: pg.ScatterPlotItem(size=7, pen=None) for role in roles if _SYMBOLS[role]}
        for role, marks in self._marks.items():
            marks.setSymbol(_SYMBOLS[role])
            marks.setZValue(3)
            self.plot.addItem(marks, ignoreBounds=True)
        self._apply_colors()
        self.clear()

    def clear(self, text: str = "") -> None:
        """Show no curve, and a text in place of the sentence."""
        for role in self._curves:
            self.draw(role, None)
        self.say(text)

    def draw(self, role: str, points: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Show one curve through these places and heights, or not."""
        curve, marks = self._curves[role], self._marks.get(role)
        places, heights = _thinned(*points) if points is not None else (np.array([]), np.array([]))
        curve.setPen(pen(role, is_thick=role in (TRUE, ESTIMATE) and len(places) <= _MOST_THICK))
        curve.setData(places, heights)
        curve.setVisible(points is not None)
        self._samples[role].setVisible(points is not None)
        if marks is not None:
            step = max(1, len(places) // _MARKS)
            # Not where those of another curve are.
            chosen = np.arange(step // 4 if role == AFTER else 3 * step // 4, len(places), step)
            chosen = chosen[np.isfinite(heights[chosen])]
            marks.setData(places[chosen], heights[chosen])
            marks.setVisible(points is not None)

    def say(self, text: str) -> None:
        """What can be seen."""
        self.summary.setText(text)
        self.summary.setVisible(bool(text))
        self.view.setAccessibleDescription(text)

    def show_range(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        """What lies between is shown; heights get a little more room."""
        margin = 0.05 * (up[1] - up[0]) or 0.5
        self.plot.setXRange(*across, padding=0)
        self.plot.setYRange(up[0] - margin, up[1] + margin, padding=0)

    def name_axes(self, bottom: str, left: str) -> None:
        """Say what is measured along them."""
        self.plot.setLabel("bottom", bottom)
        self.plot.setLabel("left", left)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _apply_colors(self) -> None:
        c = theme.colors()
        self.view.setBackground(c.panel)
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(c.line)
            self.plot.getAxis(side).setTextPen(c.muted)
        for role, curve in self._curves.items():
            curve.setPen(pen(role, is_thick=role in (TRUE, ESTIMATE)))
            self._samples[role].restyle(pen(role, is_thick=True))
            if role in self._marks:
                self._marks[role].setBrush(pen(role).color())


def _thinned(places: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same curve where it has more points than the screen has columns for it: up and down between its neighbours.

    Thick lines of thousands of points take the painter a third of a second.
    """
    if len(places) <= _MOST_POINTS:
        return places, heights
    starts = np.arange(0, len(places), -(-2 * len(places) // _MOST_POINTS))
    # These two pass over gaps.
    ends = np.stack([np.fmin.reduceat(heights, starts), np.fmax.reduceat(heights, starts)], axis=1)
    return np.repeat(places[starts], 2), ends.ravel()


class _View(pg.GraphicsView):
    """Holds the plot; the wheel scrolls the page that it is on."""

    def __init__(self, plot: pg.PlotItem) -> None:
        super().__init__()
        self.setCentralItem(plot)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.setStyleSheet("QGraphicsView { border: 0; padding: 0; }")

    def sizeHint(self) -> QSize:
        return QSize(200, 70 + 6 * self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ChannelBox(QComboBox):
    """Which channel is shown; hidden for grey pictures, which have one."""

    def __init__(self, all_of_them: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(tr("Channel"))
        for name in (all_of_them, *channel_names(3)):
            self.addItem(name)

    def show_channels(self, count: int) -> None:
        """Take over how many there are."""
        self.setVisible(count > 1)

    @property
    def channel(self) -> int | None:
        """The chosen one; None for all of them together, and where there is but one."""
        return None if self.isHidden() or not self.currentIndex() else self.currentIndex() - 1


def channel_names(count: int) -> tuple[str, ...]:
    """Of a grey or a colour picture."""
    return (tr("Red"), tr("Green"), tr("Blue")) if count == 3 else (tr("Grey"),)


def make_readable(label: QLabel) -> None:
    """Let a text be wrapped, selected, and reached by keyboard and screen reader."""
    label.setWordWrap(True)
    label.setMinimumWidth(40)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )


def number(value: float, unit: float, digits: int = 0) -> str:
    """A value in the file's own units as it is said: with a fraction where a sample may have one.

    Args:
        value: the number.
        unit: the largest sample of the file, 1 for floats.
        digits: behind the point, more than those of a single sample; floats have four that count.
    """
    format_spec = ".4g" if unit == 1 else f".{(1 if unit < 1000 else 0) + digits}f"
    return format(value, format_spec).replace("-", "−")


def decibels(value: float | None) -> str:
    """A number in dB, or a dash."""
    if value is None or np.isnan(value):
        return "–"
    return "∞ dB" if np.isinf(value) else f"{value:.2f} dB".replace("-", "−")


def joined(parts: Iterable[str]) -> str:
    """What there is of these, one after the other."""
    return " · ".join(part for part in parts if part)
