"""A small plot that follows the theme, tells its curves apart without colour, and says in words what it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from app import theme
from app.inspector.flow import Flow
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


def pen(role: str) -> QPen:
    """Of a curve: thin, thick, dotted or dashed, and each in its colour."""
    c = theme.colors()
    color, width, style = {
        BEFORE: (c.muted, 1.0, Qt.PenStyle.SolidLine),
        AFTER: (c.running, 2.5, Qt.PenStyle.SolidLine),
        REFERENCE: (c.warning, 1.5, Qt.PenStyle.DotLine),
        TRUE: (c.running, 2.0, Qt.PenStyle.SolidLine),
        ESTIMATE: (c.warning, 2.0, Qt.PenStyle.DashLine),
    }[role]
    return pg.mkPen(color, width=width, style=style)


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
        self._samples = {role: _Sample(role) for role in roles}
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
        self._apply_colors()
        self.clear()

    def clear(self, text: str = "") -> None:
        """Show no curve, and a text in place of the sentence."""
        for role in self._curves:
            self.draw(role, None)
        self.say(text)

    def draw(self, role: str, points: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Show one curve through these places and heights, or not."""
        self._curves[role].setData(*(_thinned(*points) if points is not None else ([], [])))
        self._curves[role].setVisible(points is not None)
        self._samples[role].setVisible(points is not None)

    def mark(self, role: str, on: bool) -> None:
        """Whether the points of a curve are marked one by one."""
        self._curves[role].setSymbol(("o" if role == TRUE else "s") if on else None)

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
            curve.setPen(pen(role))
            curve.setSymbolBrush(pen(role).color())
            curve.setSymbolPen(None)
            curve.setSymbolSize(6)


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


class _Sample(QWidget):
    """A piece of a curve and its name."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self.setAccessibleName(_ALL_NAMES[role])

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(36 + metrics.horizontalAdvance(_ALL_NAMES[self._role]), metrics.height() + 2)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        middle = self.height() // 2
        painter.setPen(pen(self._role))
        painter.drawLine(2, middle, 24, middle)
        painter.setPen(QColor(theme.colors().text))
        painter.drawText(self.rect().adjusted(30, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, _ALL_NAMES[self._role])


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
