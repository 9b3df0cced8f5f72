"""The page with the histogram, the values under the cursor, and what is black and white on the screen."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.inspector.chart import (
    AFTER,
    BEFORE,
    NAMES,
    REFERENCE,
    ChannelBox,
    Chart,
    channel_names,
    joined,
    make_readable,
    number,
)
from app.inspector.flow import Flow
from app.inspector.measuring import Histograms, Values
from app.inspector.table import Table
from app.words import wrapped
from engine.language import tr
from engine.statistics import Histogram

LEVELS_REST_MS = 80
"""How long the points rest before the picture is shown by them: bringing a large one to the screen takes time."""


class HistogramPage(QWidget):
    """How often which value occurs, before and after."""

    levels_changed = Signal(object)
    """(black, white) in the picture's own units for the screen alone, or None for those of the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._histograms: Histograms | None = None
        self._levels: tuple[float, float] | None = None
        self.area = QLabel()
        self.area.setAccessibleName(tr("What is counted"))
        self.channel = ChannelBox(tr("All channels"))
        self.logarithmic = QCheckBox(tr("Logarithmic"))
        self.logarithmic.setAccessibleName(tr("Logarithmic heights"))
        self.logarithmic.setToolTip(wrapped(tr("Shows also values that are rare; each line up is ten times as many.")))
        self.chart = Chart(tr("Histogram"))
        self.values = Table(tr("Values under the cursor"))
        self.place = QLabel()
        self.points = _Points(self.chart)
        make_readable(self.area)
        make_readable(self.place)
        heading = QLabel(tr("Under the cursor"))
        heading.setObjectName("heading")
        column = QVBoxLayout(self)
        column.addWidget(self.area)
        column.addWidget(Flow(self.channel, self.logarithmic))
        column.addWidget(self.chart)
        column.addWidget(heading)
        column.addWidget(self.place)
        column.addWidget(self.values)
        column.addWidget(self.points)
        column.addStretch(1)
        self.channel.currentIndexChanged.connect(self._draw)
        self.logarithmic.toggled.connect(self._draw)
        self.points.changed.connect(self._set_by_hand)
        self.show_histograms(None, False)
        self.show_values(None)

    def show_histograms(self, histograms: Histograms | None, waiting: bool) -> None:
        """Show what was counted; while a newer answer is awaited the last one stays, and it is said."""
        if histograms is None and waiting and self._histograms is not None:
            self.area.setText(tr("Counting…"))
            return
        self._histograms = histograms
        if histograms is None:
            self.area.setText(tr("Counting…") if waiting else tr("Open a picture to see how its values are spread."))
            self.chart.clear()
            self.points.hide()
            return
        self.area.setText(_said_of_area(histograms))
        self.channel.show_channels(len(histograms.before.counts))
        self.points.setVisible(histograms.has_levels)
        if histograms.has_levels:
            self.points.show_levels(self._levels or histograms.levels, histograms)
        self._draw()

    def show_values(self, values: Values | None) -> None:
        """Show the values of one pixel."""
        if values is None:
            self.place.setText(tr("Point at the picture to read its values."))
            self.values.hide()
            return
        self.place.setText(
            tr("Column {x}, row {y}, in the units of the file; the difference is after less before").format(
                x=values.x, y=values.y
            )
        )
        rows = [
            (name, ["–" if of is None else number(value, values.unit) for value in of or values.before])
            for name, of in (
                (NAMES[BEFORE], values.before),
                (NAMES[AFTER], values.after),
                (NAMES[REFERENCE], values.reference),
                (tr("Difference"), values.difference),
            )
        ]
        self.values.fill(channel_names(len(values.before)), rows)
        self.values.show()

    def set_levels(self, levels: tuple[float, float] | None) -> None:
        """Take over the points that the screen shows; None for those of the picture. Nothing is told back."""
        if levels == self._levels:
            return
        self._levels = levels
        if self._histograms is not None and self._histograms.has_levels:
            self.points.show_levels(levels or self._histograms.levels, self._histograms)
            self._draw()

    def let_go(self) -> None:
        """Another picture: what was just being set was for the one before."""
        self.points.let_go()

    def _set_by_hand(self, levels: tuple[float, float] | None) -> None:
        self.set_levels(levels)
        if levels is None and self._histograms is not None:
            self.points.show_levels(self._histograms.levels, self._histograms)
        self.levels_changed.emit(levels)

    def _draw(self) -> None:
        found = self._histograms
        if found is None:
            return
        is_log, channel = self.logarithmic.isChecked(), self.channel.channel
        shares = {
            role: _share(histogram, channel)
            for role, histogram in ((BEFORE, found.before), (AFTER, found.after), (REFERENCE, found.reference))
            if histogram is not None
        }
        edges = found.before.edges * found.unit
        middles = (edges[:-1] + edges[1:]) / 2
        total = found.before.counts.sum() + found.before.below.sum() + found.before.above.sum()
        least = 50 / total  # of one sample, half: logarithms have no zero
        top = max(100 * float(share.max()) for share in shares.values())
        for role in NAMES:
            if role not in shares:
                self.chart.draw(role, None)
                continue
            heights = 100 * shares[role]
            self.chart.draw(role, (middles, np.log10(np.maximum(heights, least)) if is_log else heights))
        self.chart.plot.getAxis("left").setLogMode(is_log)
        low, high = edges[0], edges[-1]
        if found.has_levels:
            points = [level * found.unit for level in self._levels or found.levels]
            low, high = min(low, points[0]), max(high, points[1])
        bottom, top = (math.log10(least), math.log10(top)) if is_log else (0.0, top)
        # The names of the two lines have room above the curves.
        top += 0.25 * (top - bottom) if found.has_levels else 0.0
        self.chart.show_range((low, high), (bottom, top))
        self.chart.name_axes(tr("value"), tr("share, %"))
        self.chart.say(_in_words(found, channel))


class _Points(QWidget):
    """Black and white on the screen: two numbers, and two lines on the histogram that can be drawn."""

    changed = Signal(object)

    def __init__(self, chart: Chart) -> None:
        super().__init__()
        self._unit, self._auto = 1.0, (0.0, 1.0)
        heading = QLabel(tr("Black and white on the screen"))
        heading.setObjectName("heading")
        heading.setWordWrap(True)
        note = QLabel(tr("They change only what the screen shows. The picture and what is saved stay as they are."))
        note.setObjectName("muted")
        make_readable(note)
        self.black, self.white = QDoubleSpinBox(), QDoubleSpinBox()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        for box, text, name in (
            (self.black, tr("Black"), tr("Value that is shown black")),
            (self.white, tr("White"), tr("Value that is shown white")),
        ):
            box.setAccessibleName(name)
            box.setKeyboardTracking(False)
            # Under a wheel that scrolls the page nothing is to be set.
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.setMinimumWidth(60)
            form.addRow(text, box)
            box.valueChanged.connect(self._typed)
        self.auto, self.reset = QPushButton(tr("Auto")), QPushButton(tr("Reset"))
        self.auto.setAccessibleName(tr("Set black and white automatically"))
        self.auto.setToolTip(
            wrapped(tr("Black and white at the 0.1 and the 99.9 percentile of what is counted in the noisy picture."))
        )
        self.reset.setAccessibleName(tr("Show black and white as the file says"))
        self.auto.clicked.connect(lambda: self._set(self._auto))
        self.reset.clicked.connect(self._reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (heading, note):
            column.addWidget(part)
        column.addLayout(form)
        column.addWidget(Flow(self.auto, self.reset))
        self._lines = []
        for box, text, place in ((self.black, tr("Black"), 0.94), (self.white, tr("White"), 0.8)):
            line = pg.InfiniteLine(
                0, angle=90, movable=True, label=text, labelOpts={"position": place, "anchors": [(0, 0), (1, 0)]}
            )
            chart.plot.addItem(line, ignoreBounds=True)
            line.sigDragged.connect(lambda line, box=box: box.setValue(line.value()))
            self._lines.append(line)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(LEVELS_REST_MS)
        self._rest.timeout.connect(lambda: self.changed.emit(self.levels))
        self._apply_colors()

    @property
    def levels(self) -> tuple[float, float]:
        """As they are set, in the picture's own units."""
        return self.black.value() / self._unit, self.white.value() / self._unit

    def show_levels(self, levels: tuple[float, float], histograms: Histograms) -> None:
        """Take over the points; nothing is told."""
        self._unit, self._auto = histograms.unit, histograms.auto
        if self._rest.isActive():
            return  # what is just being set leads
        span = (histograms.before.levels[1] - histograms.before.levels[0]) * self._unit
        decimals = 0 if self._unit > 1 else min(10, max(0, 3 - math.floor(math.log10(span))))
        for box, level in zip((self.black, self.white), levels, strict=True):
            with QSignalBlocker(box):
                box.setDecimals(decimals)
                # Wide: the range limits no picture, only slips of the hand.
                box.setRange(-1e3 * span, 1e3 * span)
                box.setSingleStep(1 if decimals == 0 and span < 1000 else 10 ** math.floor(math.log10(span / 50)))
                box.setValue(level * self._unit)
        self._place_lines()

    def setVisible(self, visible: bool) -> None:
        """With their lines."""
        super().setVisible(visible)
        for line in self._lines:
            line.setVisible(visible)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _set(self, levels: tuple[float, float]) -> None:
        for box, level in zip((self.black, self.white), levels, strict=True):
            with QSignalBlocker(box):
                box.setValue(level * self._unit)
        self._typed()

    def _reset(self) -> None:
        self._rest.stop()
        self.changed.emit(None)

    def let_go(self) -> None:
        """Tell nothing of what was just being set."""
        self._rest.stop()

    def _typed(self) -> None:
        """Keep white above black, by moving the one that was not set."""
        step = 10.0 ** -self.black.decimals()
        if self.white.value() < self.black.value() + step:
            other, value = (
                (self.black, self.white.value() - step)
                if self.sender() is self.white
                else (self.white, self.black.value() + step)
            )
            with QSignalBlocker(other):
                other.setValue(value)
        self._place_lines()
        self._rest.start()

    def _place_lines(self) -> None:
        for box, line in zip((self.black, self.white), self._lines, strict=True):
            with QSignalBlocker(line):
                line.setValue(box.value())

    def _apply_colors(self) -> None:
        c = theme.colors()
        for line in self._lines:
            line.setPen(c.text, width=1.5, style=Qt.PenStyle.DashLine)
            line.setHoverPen(c.accent_hover, width=3)
            line.label.setColor(c.text)


def _said_of_area(found: Histograms) -> str:
    size = tr("{width} × {height} pixels").format(width=found.area.width, height=found.area.height)
    sampled = tr("a part of them, evenly spread, is counted") if found.is_sampled else ""
    return joined((tr("The whole picture") if found.is_whole else tr("The region"), size, sampled))


def _share(histogram: Histogram, channel: int | None) -> np.ndarray:
    """(bins,) of all samples, also those outside."""
    picked = slice(None) if channel is None else slice(channel, channel + 1)
    counts = histogram.counts[picked].sum(0)
    total = counts.sum() + histogram.below[picked].sum() + histogram.above[picked].sum()
    return counts / max(1, total)


def _in_words(found: Histograms, channel: int | None) -> str:
    said = []
    for role, histogram in ((BEFORE, found.before), (AFTER, found.after), (REFERENCE, found.reference)):
        if histogram is None:
            continue
        share = _share(histogram, channel)
        low, middle, high = (_said_value(histogram, share, of, found.unit) for of in (0.05, 0.5, 0.95))
        said.append(
            tr("{name}: median {middle}, 90 % from {low} to {high}").format(
                name=NAMES[role], middle=middle, low=low, high=high
            )
        )
        outside = 1 - float(share.sum())
        if outside > 0.0005:
            said[-1] += tr("; {share:.1f} % lie outside of what is drawn").format(share=100 * outside)
    return ". ".join(said) + "."


def _said_value(histogram: Histogram, share: np.ndarray, of: float, unit: float) -> str:
    """A quantile in words; of floats no finer than the bins."""
    value = _quantile(histogram, share, of, unit)
    if unit != 1:
        return f"{value:.0f}".replace("-", "−")
    low, high = histogram.levels
    return number(round(value, -math.floor(math.log10((high - low) / len(share)))), unit)


def _quantile(histogram: Histogram, share: np.ndarray, of: float, unit: float) -> float:
    """The middle of the bin up to which so many samples lie, in the file's units; whole where these are counted."""
    below = np.cumsum(share)
    index = min(int(np.searchsorted(below, of * below[-1])), len(share) - 1)
    low, high = histogram.edges[index] * unit, histogram.edges[index + 1] * unit
    if unit == 1:
        return float((low + high) / 2)
    # Of the whole numbers in the bin: where each has its own that is exact.
    first, last = math.ceil(low - 1e-6), math.ceil(high - 1e-6) - 1
    return float(round((first + max(first, last)) / 2))
