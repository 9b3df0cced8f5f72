"""The page that shows the noise of a picture over its brightness, its correlations, and what follows from them."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app import theme
from app.inspector.chart import make_readable
from app.inspector.flow import Flow
from app.inspector.plots import LINES, SYMBOLS, CorrelationMap, Legend, Plot, heights
from app.inspector.table import Table
from engine.language import tr
from engine.noise_curve import ChannelCurve, NoiseCurve

_SCALE = 255.0


class NoisePage(QWidget):
    """What was measured of the noise; it has no controls."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curve: NoiseCurve | None = None
        self.conclusions, self.waiting, self.told = QLabel(), QLabel(), QLabel()
        self.conclusions.setAccessibleName(tr("What was concluded from the noise"))
        self.conclusions.setTextFormat(Qt.TextFormat.PlainText)
        self.waiting.setObjectName("muted")
        self.waiting.setAccessibleName(tr("What is awaited"))
        self.told.setObjectName("muted")
        self.told.setAccessibleName(tr("The plot in words"))
        for label in (self.conclusions, self.waiting, self.told):
            make_readable(label)
        self.plot = Plot(tr("Variance of the noise over intensity"))
        self.plot.name_axes(tr("intensity, 0 to 255"), tr("variance"))
        self._points = [pg.ScatterPlotItem(size=7, pen=None, symbol=symbol) for symbol in SYMBOLS]
        self._lines = [pg.PlotDataItem(antialias=True) for _ in SYMBOLS]
        for item in (*self._lines, *self._points):
            self.plot.item.addItem(item)
        self._legends: tuple[Legend, ...] = ()
        self._legend_box = QVBoxLayout()
        self._flow: Flow | None = None
        self.map = CorrelationMap(tr("Correlation of the noise between pixels"))
        self.map_told = QLabel()
        self.map_told.setObjectName("muted")
        self.map_told.setAccessibleName(tr("The correlations in words"))
        make_readable(self.map_told)
        self.clipped = Table(tr("Share of clipped samples"))
        self.between = Table(tr("Correlation between the channels"))
        self._details = QWidget()
        details = QVBoxLayout(self._details)
        details.setContentsMargins(0, 0, 0, 0)
        details.addWidget(_heading(tr("Noise over brightness")))
        details.addWidget(self.plot)
        details.addLayout(self._legend_box)
        details.addWidget(self.told)
        details.addWidget(_heading(tr("Correlation between pixels")))
        details.addWidget(self.map)
        details.addWidget(self.map_told)
        self._between_title = _heading(tr("Correlation between the channels"))
        details.addWidget(self._between_title)
        details.addWidget(self.between)
        details.addWidget(_heading(tr("Clipped samples")))
        details.addWidget(self.clipped)
        column = QVBoxLayout(self)
        column.addWidget(self.conclusions)
        column.addWidget(self.waiting)
        column.addWidget(self._details)
        column.addStretch(1)
        self.show_curve(None)

    def show_curve(self, curve: NoiseCurve | None, waiting: str = "") -> None:
        """Show what was measured, or nothing; `waiting` says what is awaited, or why there is nothing."""
        self._curve = curve
        self.waiting.setText(waiting or ("" if curve else tr("Open a picture to see what noise it holds.")))
        self.waiting.setVisible(bool(self.waiting.text()))
        # A number keeps its unit in one line.
        self.conclusions.setText("\n\n".join(curve.conclusions).replace(" %", "\u00a0%") if curve else "")
        self.conclusions.setVisible(curve is not None)
        self._details.setVisible(curve is not None)
        if curve is not None:
            self._fill(curve)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _fill(self, curve: NoiseCurve) -> None:
        self._draw(curve.channels)
        self.map.show_table(curve.autocorrelation)
        self.map_told.setText(self.map.accessibleDescription())
        names = [channel.name for channel in curve.channels]
        self._between_title.setVisible(len(names) > 1)
        self.between.setVisible(len(names) > 1)
        if len(names) > 1:
            rows = [
                (name, [f"{value:.2f}".replace("-", "−") for value in row])
                for name, row in zip(names, curve.channel_correlation, strict=True)
            ]
            self.between.fill(names, rows)
        shares = [(channel.name, [_percent(channel.black), _percent(channel.white)]) for channel in curve.channels]
        self.clipped.fill([tr("at black"), tr("at white")], shares)

    def _draw(self, channels: tuple[ChannelCurve, ...]) -> None:
        tops = []
        seen = np.concatenate([channel.intensity for channel in channels])
        ends = np.array([min(0.0, seen.min()), 1.05 * seen.max()]) if len(seen) else np.array([0.0, 1.0])
        for index, (points, line) in enumerate(zip(self._points, self._lines, strict=True)):
            is_there = index < len(channels)
            points.setVisible(is_there)
            line.setVisible(is_there)
            if not is_there:
                continue
            channel = channels[index]
            along = np.linspace(*ends, 65)
            points.setData(_SCALE * channel.intensity, _SCALE**2 * channel.variance)
            line.setData(_SCALE * along, _SCALE**2 * channel.line(along))
            tops += [_SCALE**2 * channel.line(along), _SCALE**2 * _usual(channel.variance)]
        self.plot.show_range((_SCALE * ends[0], _SCALE * ends[1]), heights(*tops))
        words = " ".join(_told(channel) for channel in channels)
        self.told.setText(words)
        self.plot.setAccessibleDescription(words)
        if tuple(sample.accessibleName() for sample in self._legends) != tuple(channel.name for channel in channels):
            if self._flow is not None:
                self._legend_box.removeWidget(self._flow)
                self._flow.deleteLater()
            self._legends = tuple(
                Legend(channel.name, None, symbol) for channel, symbol in zip(channels, SYMBOLS, strict=False)
            )
            self._flow = Flow(*self._legends)
            self._legend_box.addWidget(self._flow)
        self._apply_colors()

    def _apply_colors(self) -> None:
        c = theme.colors()
        count = len(self._curve.channels) if self._curve else 0
        colors = (c.failed, c.done, c.done, c.running) if count == 4 else (c.failed, c.done, c.running, c.muted)
        if count == 1:
            colors = (c.running,) * 4
        for index, (points, line) in enumerate(zip(self._points, self._lines, strict=True)):
            pen = pg.mkPen(colors[index], width=1.5, style=LINES[index])
            points.setBrush(colors[index])
            line.setPen(pen)
            if index < len(self._legends):
                self._legends[index].restyle(pen)


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("heading")
    label.setWordWrap(True)
    return label


def _usual(values: np.ndarray) -> np.ndarray:
    """Without the few that lie far above all others: textured places, that would press the rest flat."""
    return values[values <= 3 * np.median(values)] if len(values) else values


def _percent(share: float) -> str:
    return "0 %" if share == 0 else f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _told(channel: ChannelCurve) -> str:
    if not len(channel.intensity):
        return tr("{name}: no flat place.").format(name=channel.name)
    low, high = channel.intensity[0], channel.intensity[-1]
    first, last = channel.line(np.array([low, high])) * _SCALE**2
    return tr("{name}: variance {first:.1f} at intensity {low:.0f}, {last:.1f} at {high:.0f}.").format(
        name=channel.name, first=first, low=_SCALE * low, last=last, high=_SCALE * high
    )
