"""The page that says what was removed: its strength, its correlations, and whether structure went with the noise."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QPen
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from app import theme
from app.display import GAINS
from app.inspector.chart import make_readable
from app.inspector.flow import Flow
from app.inspector.plots import SYMBOLS, CorrelationMap, Legend, Plot, heights
from app.inspector.table import Table
from app.words import wrapped
from engine.language import tr
from engine.residual import LAGS, Residual

ACROSS, DOWN, MEASURED = "across", "down", "measured"

_NAMES = {
    ACROSS: tr("Removed, across"),
    DOWN: tr("Removed, down"),
    MEASURED: tr("Measured noise"),
}


class ResidualPage(QWidget):
    """What was removed from the visible part or the region, judged; and how it is shown in the view."""

    gain_changed = Signal(float)
    """How many times it is to be amplified."""

    layer_wanted = Signal(bool)
    """Whether what was removed is to be shown in place of the picture."""

    marks_wanted = Signal(bool)
    """Whether the blocks are to be marked in which structure was left."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layer = QCheckBox(tr("Show what was removed"))
        self.layer.setToolTip(
            wrapped(tr("The picture before less the result, amplified, on a middle grey. Noise alone looks like sand."))
        )
        self.marks = QCheckBox(tr("Mark structure left"))
        self.marks.setToolTip(
            wrapped(
                tr(
                    "Frames the blocks in which what was removed is not noise alone. In a picture of pure noise the "
                    "chance that anything is framed is at most 1 %."
                )
            )
        )
        for box in (self.layer, self.marks):
            box.setAccessibleName(box.text())
        self.gain = QSlider(Qt.Orientation.Horizontal)
        self.gain.setRange(0, len(GAINS) - 1)
        self.gain.setPageStep(2)
        self.gain.setAccessibleName(tr("Amplification of what was removed"))
        self.gain_text = QLabel()
        amplified = QLabel(tr("Amplified"))
        amplified.setBuddy(self.gain)
        row = QHBoxLayout()
        row.addWidget(amplified)
        row.addWidget(self.gain, 1)
        row.addWidget(self.gain_text)

        self.verdict, self.waiting = QLabel(), QLabel()
        self.verdict.setAccessibleName(tr("Verdict on what was removed"))
        self.waiting.setObjectName("muted")
        self.waiting.setAccessibleName(tr("What is awaited"))
        for label in (self.verdict, self.waiting):
            make_readable(label)

        self.table = Table(tr("What was removed, in numbers"))
        self.plot = Plot(tr("Correlation of what was removed, by distance"))
        self.plot.name_axes(tr("distance, pixels"), tr("correlation"))
        self._band = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self.plot.item.addItem(self._band, ignoreBounds=True)
        symbols = {ACROSS: SYMBOLS[0], DOWN: SYMBOLS[1], MEASURED: None}
        self._curves = {name: self.plot.item.plot(antialias=True, symbol=symbol) for name, symbol in symbols.items()}
        self._samples = {name: Legend(_NAMES[name], None, symbol or "") for name, symbol in symbols.items()}
        self._white = Legend(tr("White noise, 95 %"), None)
        self.told = QLabel()
        self.told.setObjectName("muted")
        self.told.setAccessibleName(tr("The plot in words"))
        make_readable(self.told)

        self.map, self.measured_map = (
            CorrelationMap(tr("Correlations of what was removed")),
            CorrelationMap(tr("Correlations of the measured noise")),
        )
        maps = QGridLayout()
        maps.setHorizontalSpacing(12)
        for column, (title, widget) in enumerate(
            ((tr("Removed"), self.map), (tr("Measured noise"), self.measured_map))
        ):
            label = QLabel(title)
            label.setWordWrap(True)
            maps.addWidget(label, 0, column, Qt.AlignmentFlag.AlignHCenter)
            maps.addWidget(widget, 1, column)
            maps.setColumnStretch(column, 1)
        explained = QLabel(tr("Each square is a distance across and down; larger is more, hollow is negative."))
        explained.setObjectName("muted")
        make_readable(explained)
        self._details = QWidget()
        details = QVBoxLayout(self._details)
        details.setContentsMargins(0, 0, 0, 0)
        details.addWidget(self.table)
        details.addWidget(_heading(tr("Correlation by distance")))
        details.addWidget(self.plot)
        details.addWidget(Flow(*self._samples.values(), self._white))
        details.addWidget(self.told)
        details.addLayout(maps)
        details.addWidget(explained)

        column = QVBoxLayout(self)
        column.addWidget(self.layer)
        column.addLayout(row)
        column.addWidget(self.marks)
        column.addWidget(theme.rule())
        column.addWidget(self.verdict)
        column.addWidget(self.waiting)
        column.addWidget(self._details)
        column.addStretch(1)
        self.layer.toggled.connect(self.layer_wanted)
        self.marks.toggled.connect(self.marks_wanted)
        self.gain.valueChanged.connect(self._set_gain)
        self._tell_gain()
        self._apply_colors()
        self.show_residual(None)

    @property
    def amplification(self) -> float:
        """The chosen one."""
        return GAINS[self.gain.value()]

    def show_state(self, gain: float, layer: bool, marks: bool) -> None:
        """Take over what is in force, without a signal."""
        nearest = min(range(len(GAINS)), key=lambda index: abs(math.log(GAINS[index] / max(gain, 1e-3))))
        for control, value in ((self.layer, layer), (self.marks, marks)):
            with QSignalBlocker(control):
                control.setChecked(value)
        with QSignalBlocker(self.gain):
            self.gain.setValue(nearest)
        self._tell_gain()

    def show_residual(self, found: Residual | None, waiting: str = "") -> None:
        """Show what was found, or nothing; `waiting` says what is awaited, or why there is nothing."""
        self.waiting.setText(waiting or ("" if found else tr("Denoise a picture to see what was removed.")))
        self.waiting.setVisible(bool(self.waiting.text()))
        # A number keeps its unit in one line.
        self.verdict.setText(found.verdict.replace(" %", "\u00a0%") if found else "")
        self.verdict.setVisible(found is not None)
        has_details = found is not None and found.deviation > 0
        self._details.setVisible(has_details)
        if found is not None and has_details:
            self._fill(found)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _fill(self, found: Residual) -> None:
        rows = [(tr("Removed, deviation of 255"), [f"{found.deviation:.2f}"])]
        if found.expected:
            rows.append((tr("Measured noise there"), [f"{found.expected:.2f}"]))
            rows.append((tr("Removed of it"), [f"{100 * found.deviation / found.expected:.0f} %"]))
        if found.blocks:
            rows.append((tr("Blocks with structure"), [f"{len(found.marks):,} / {found.blocks:,}"]))
            rows.append((tr("Side of a block, pixels"), [f"{found.side}"]))
            chance = tr("at most {chance:g} %").format(chance=100 * found.significance)
            rows.append((tr("Chance of any false mark"), [chance]))
        if found.share < 0.995:
            rows.append((tr("Part that was looked at"), [f"{100 * found.share:.0f} %"]))
        self.table.fill([""], rows)

        lags = np.arange(LAGS + 1)
        table, reference = found.autocorrelation, found.expected_autocorrelation
        across, down = table[LAGS, LAGS:], table[LAGS:, LAGS]
        self._curves[ACROSS].setData(lags, across)
        self._curves[DOWN].setData(lags, down)
        self._samples[MEASURED].setVisible(reference is not None)
        self._curves[MEASURED].setVisible(reference is not None)
        drawn = [across, down]
        if reference is not None:
            expected = (reference[LAGS, LAGS:] + reference[LAGS:, LAGS]) / 2
            self._curves[MEASURED].setData(lags, expected)
            drawn.append(expected)
        self._band.setRegion((-found.band, found.band))
        self.plot.show_range((-0.2, LAGS + 0.2), heights(*drawn))
        words = tr("At 1, 2 and 3 pixels: across {across}; down {down}.").format(
            across=_listed(across[1:4]), down=_listed(down[1:4])
        )
        self.told.setText(words)
        self.plot.setAccessibleDescription(words)
        self.map.show_table(table)
        self.measured_map.show_table(reference)

    def _set_gain(self) -> None:
        self._tell_gain()
        self.gain_changed.emit(self.amplification)

    def _tell_gain(self) -> None:
        self.gain_text.setText(f"×{self.amplification:g}")
        self.gain.setAccessibleDescription(self.gain_text.text())

    def _apply_colors(self) -> None:
        c = theme.colors()
        pens = {
            ACROSS: pg.mkPen(c.running, width=2),
            DOWN: pg.mkPen(c.done, width=2, style=Qt.PenStyle.DotLine),
            MEASURED: pg.mkPen(c.warning, width=2, style=Qt.PenStyle.DashLine),
        }
        for name, curve in self._curves.items():
            curve.setPen(pens[name])
            curve.setSymbolBrush(pens[name].color())
            curve.setSymbolPen(None)
            curve.setSymbolSize(7)
            self._samples[name].restyle(pens[name])
        shade = QColor(c.muted)
        shade.setAlpha(90)
        self._band.setBrush(shade)
        for line in self._band.lines:
            line.setPen(None)
        self._white.restyle(QPen(shade, 8))


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("heading")
    label.setWordWrap(True)
    return label


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.2f}".replace("-", "−") for value in values)
