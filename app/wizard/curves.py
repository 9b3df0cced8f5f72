"""The curves of a run over its steps: what it learns by, and what it reaches on the pictures that were held out."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from app import theme, words
from app.words import is_sharp
from engine.language import tr
from training.events import Event, HeldOut, Judged, Staged, Started, Step, Validated

MOST = 1000
"""Points that are kept of a curve: more than the screen has pixels for it."""

_SMOOTHED = 50
"""The smoothed loss is the mean over this part of the curve on either side of a point."""

_LOG_RATIO = 10.0
"""From here on, largest through smallest, the smoothed loss is drawn on a logarithmic scale."""


_MOST_DOTS = 60
"""Judgements that are marked one by one."""


class Series:
    """A number over the steps, with what it may lie between: (mean, low, high) for each of at most `MOST` points.

    Once there are more, neighbours become one point, and each further point stands for twice as many numbers.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._steps: list[int] = []
        self._points: list[tuple[float, float, float]] = []
        self._each = 1
        self._in_last = 0
        self._last_step = -1

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: int, value: float, band: float = 0.0) -> None:
        """Put a number after the last one; one that is not later, or not finite, is left out."""
        if step <= self._last_step or not math.isfinite(value + band):
            return
        self._last_step = step
        if self._steps and self._in_last < self._each:
            mean, low, high = self._points[-1]
            self._in_last += 1
            mean += (value - mean) / self._in_last
            self._points[-1] = (mean, min(low, value - band), max(high, value + band))
            self._steps[-1] = step
            return
        if len(self._steps) == MOST:
            self._halve()
        self._steps.append(step)
        self._points.append((value, value - band, value + band))
        self._in_last = 1

    def cut(self, step: int) -> None:
        """Forget what is later than this step."""
        while self._steps and self._steps[-1] > step:
            self._steps.pop()
            self._points.pop()
            self._in_last = self._each
        self._last_step = self._steps[-1] if self._steps else -1

    def ends(self) -> list[int]:
        """First and last step; nothing where it is empty."""
        return [self._steps[0], self._steps[-1]] if self._steps else []

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The steps, (N,), and mean, low and high, (3, N)."""
        return np.array(self._steps, float), np.array(self._points, float).reshape(-1, 3).T

    def _halve(self) -> None:
        pairs = zip(self._points[::2], self._points[1::2], strict=True)
        self._points = [((a[0] + b[0]) / 2, min(a[1], b[1]), max(a[2], b[2])) for a, b in pairs]
        self._steps = self._steps[1::2]
        self._each *= 2


class Curves(QWidget):
    """The training loss at the left, at the right what was held out tells, both over the same steps.

    The held-out curve is the estimated gain, in dB or where these are not known in parts of the noise's power, else the
    estimated PSNR, else the loss there. A true PSNR, of a validation folder, has an axis of its own whose decibels are
    as long as those of the estimate.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss_title, self.held_out_title = QLabel(tr("Training loss")), QLabel(tr("Held-out estimate of PSNR"))
        self.loss_value, self.held_out_value = QLabel("–"), QLabel("–")
        self.loss_note, self.held_out_note = QLabel(), QLabel()
        self._boxes = _Box(), _Box()
        self.loss_plot, self.held_out_plot = (_plot(box) for box in self._boxes)
        self._views = [_View(tr("Training loss"), self.loss_plot), _View(tr("Held-out estimate"), self.held_out_plot)]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(0)
        texts = (
            (self.loss_title, self.loss_value, self.loss_note),
            (self.held_out_title, self.held_out_value, self.held_out_note),
        )
        for column, (title, value, note) in enumerate(texts):
            title.setObjectName("heading")
            value.setObjectName("number")
            note.setObjectName("muted")
            note.setWordWrap(True)
            note.setMinimumWidth(40)
            for label in (title, value, note):
                label.setIndent(0)  # else it follows the font, and the three do not line up
            grid.addWidget(title, 0, column)
            grid.addWidget(value, 1, column)
            grid.addWidget(note, 2, column)
            grid.addWidget(self._views[column], 3, column)
            grid.setColumnStretch(column, 1)
        grid.setRowStretch(3, 1)

        self._loss, self._gain, self._share, self._psnr, self._blind, self._true = (Series() for _ in range(6))
        self._lacks_db = False
        self._stages: list[tuple[int, str]] = []
        self._marks: list[tuple[pg.PlotItem, pg.InfiniteLine]] = []
        self._step = 0
        self._is_log = False

        self._spread = self.loss_plot.plot(antialias=False)
        self._smoothed = self.loss_plot.plot(antialias=True, symbolSize=4, symbolPen=None)
        self._low, self._high = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._band = pg.FillBetweenItem(self._low, self._high)
        self._held_out = self.held_out_plot.plot(antialias=True, symbolSize=4, symbolPen=None)
        self._zero = pg.InfiniteLine(0, angle=0)
        for item in (self._band, self._zero):
            self.held_out_plot.addItem(item, ignoreBounds=True)
        self._true_box = self._second_axis()
        self._true_curve = pg.PlotDataItem(antialias=True, symbolSize=5, symbolPen=None)
        self._true_box.addItem(self._true_curve)
        # Zoomed together; the first alone finds what to show unzoomed.
        self._boxes[1].disableAutoRange()
        self._boxes[1].setXLink(self._boxes[0])
        self.held_out_plot.hideButtons()
        self._apply_colors()
        self.redraw()

    def clear(self) -> None:
        """Forget all that was added."""
        for series in self._all():
            series.clear()
        self._stages, self._step, self._lacks_db = [], 0, False
        self.redraw()

    def add(self, event: Event) -> None:
        """Take what an event brings; `redraw` shows it. One of an earlier step makes void what is later."""
        if event.step < self._step:
            # From the very beginning everything is done again, also what comes before the first step.
            kept = event.step if event.step or not isinstance(event, Started) else -1
            for series in self._all():
                series.cut(kept)
            self._stages = [stage for stage in self._stages if stage[0] <= kept]
        self._step = event.step
        match event:
            case Step():
                self._loss.add(event.step, event.loss)
            case HeldOut():
                self._blind.add(event.step, event.loss)
            case Judged():
                if event.gain_db is not None:
                    self._gain.add(event.step, event.gain_db, event.gain_band_db or 0.0)
                if event.gain is not None:
                    self._share.add(event.step, 100 * event.gain, 100 * (event.gain_band or 0.0))
                    self._lacks_db = self._lacks_db or not is_sharp(event.gain_db, event.gain_band_db)
                if event.psnr_db is not None:
                    self._psnr.add(event.step, event.psnr_db, event.band_db or 0.0)
            case Validated():
                self._true.add(event.step, event.psnr_db)
            case Staged():
                if not self._stages or self._stages[-1][1] != event.stage:
                    self._stages.append((event.step, event.stage))

    def redraw(self) -> None:
        """Show what was added."""
        self._draw_loss()
        self._draw_held_out()
        self._draw_stages()
        ends = [end for series in self._all() for end in series.ends()]
        self._boxes[0].show_all(min(ends, default=0), max(ends, default=1))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _all(self) -> tuple[Series, ...]:
        return self._loss, self._gain, self._share, self._psnr, self._blind, self._true

    def _second_axis(self) -> pg.ViewBox:
        """A view over the held-out plot whose heights are told at the right."""
        plot = self.held_out_plot
        box = pg.ViewBox(enableMenu=False, enableMouse=False)
        box.disableAutoRange()
        below = self._boxes[1]
        box.setXLink(below)
        box.setZValue(below.zValue() + 1)
        self._views[1].addItem(box)
        plot.getAxis("right").linkToView(box)
        below.sigResized.connect(self._lay_second_axis)
        return box

    def _lay_second_axis(self) -> None:
        self._true_box.setGeometry(self._boxes[1].sceneBoundingRect())

    def _draw_loss(self) -> None:
        steps, (mean, low, high) = self._loss.arrays()
        smoothed = _smoothed(mean)
        # A likelihood may be negative.
        is_log = len(steps) > 1 and bool(low.min() > 0 and smoothed.max() > _LOG_RATIO * smoothed.min())
        if is_log != self._is_log:
            self._is_log = is_log
            self.loss_plot.setLogMode(y=is_log)
        # Up and down at each point: the line fills what the numbers lie between.
        self._spread.setData(np.repeat(steps, 2), np.stack([low, high], axis=1).ravel())
        self._smoothed.setData(steps, smoothed, symbol="o" if len(steps) == 1 else None)
        _number(self.loss_plot, bool(len(steps)))
        if len(steps):
            # A single report far off leaves the picture.
            bottom = min(float(np.percentile(low, 1)), float(smoothed.min()))
            top = max(float(np.percentile(high, 99)), float(smoothed.max()))
            if is_log:
                bottom, top = math.log10(bottom), math.log10(top)
            _set_heights(self._boxes[0], bottom, top, max(top - bottom, 0.02 * abs(top)))

    def _draw_held_out(self) -> None:
        shown, label = self._blind, tr("loss")
        if len(self._psnr):
            shown, label = self._psnr, tr("PSNR, dB")
        if self._lacks_db:
            # All of them on one scale.
            shown, label = self._share, tr("smaller error, % of the noise")
        elif len(self._gain):
            shown, label = self._gain, tr("gain, dB")
        steps, (mean, low, high) = shown.arrays()
        self._held_out.setData(steps, mean, symbol="o" if len(steps) <= _MOST_DOTS else None)
        self._low.setData(steps, low)
        self._high.setData(steps, high)
        is_gain = shown in (self._gain, self._share)
        self._zero.setVisible(is_gain)
        true_steps, (true, true_low, true_high) = self._true.arrays()
        self._true_curve.setData(true_steps, true, symbol="s" if len(true_steps) <= _MOST_DOTS else None)
        self.held_out_plot.setLabel("left", label if len(steps) else "")
        self.held_out_plot.setLabel("right", tr("true PSNR, dB"))
        self.held_out_plot.showAxis("right", bool(len(true_steps)))
        _number(self.held_out_plot, bool(len(steps)))
        (bottom, top), (true_bottom, true_top) = _span(low, high), _span(true_low, true_high)
        width, true_width = max(top - bottom, 0.02 * abs(top)), max(true_top - true_bottom, 0.1)
        if is_gain:
            bottom, top = min(bottom, 0.0), max(top, 0.0)
        if shown in (self._gain, self._psnr):
            width = true_width = max(top - bottom, true_width)
        _set_heights(self._boxes[1], bottom, top, width)
        _set_heights(self._true_box, true_bottom, true_top, true_width)

    def _draw_stages(self) -> None:
        wanted = self._stages[1:]
        if [(mark.value(), plot) for plot, mark in self._marks] == [
            (step, plot) for step, _ in wanted for plot in (self.loss_plot, self.held_out_plot)
        ]:
            return
        for plot, mark in self._marks:
            plot.removeItem(mark)
        self._marks = []
        for step, name in wanted:
            for plot in (self.loss_plot, self.held_out_plot):
                options = {"position": 0.92, "anchors": [(0, 0), (0, 0)]}
                text = words.own(name) if plot is self.loss_plot else None
                mark = pg.InfiniteLine(step, angle=90, label=text, labelOpts=options)
                plot.addItem(mark, ignoreBounds=True)
                self._marks.append((plot, mark))
        self._color_marks()

    def _apply_colors(self) -> None:
        c = theme.colors()
        for view, plot in zip(self._views, (self.loss_plot, self.held_out_plot), strict=True):
            view.setBackground(c.panel)
            for side in ("left", "bottom", "right"):
                plot.getAxis(side).setPen(c.line)
                plot.getAxis(side).setTextPen(c.muted)
        self.held_out_plot.getAxis("right").setTextPen(c.warning)
        self._spread.setPen(_faint(c.running, 70))
        self._smoothed.setPen(c.running, width=2)
        self._smoothed.setSymbolBrush(c.running)
        self._held_out.setPen(c.running, width=2)
        self._held_out.setSymbolBrush(c.running)
        self._band.setBrush(_faint(c.running, 60))
        self._low.setPen(None)
        self._high.setPen(None)
        self._true_curve.setPen(c.warning, width=2)
        self._true_curve.setSymbolBrush(c.warning)
        self._zero.setPen(c.muted, style=Qt.PenStyle.DashLine)
        self._color_marks()

    def _color_marks(self) -> None:
        c = theme.colors()
        for _, mark in self._marks:
            mark.setPen(c.muted, style=Qt.PenStyle.DotLine)
            if hasattr(mark, "label"):
                mark.label.setColor(c.muted)


class _Box(pg.ViewBox):
    """Shows all steps that there is anything of, until somebody zooms; its heights are set."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self._steps = (0, 1)
        self.setMouseEnabled(x=True, y=False)

    def show_all(self, first: int, last: int) -> None:
        self._steps = (first, max(last, first + 1))
        self.updateAutoRange()

    def childrenBounds(self, *args, **kwargs) -> list:
        return [list(self._steps), None]


class _Steps(pg.AxisItem):
    """Whole numbers, in thousands."""

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{value:,.0f}" if value == int(value) else "" for value in values]


class _Heights(pg.AxisItem):
    """On a logarithmic scale 1, 2 and 5 are named: the other numbers would lie on each other."""

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        names = super().logTickStrings(values, scale, spacing)
        return [name if f"{10**value:e}"[0] in "125" else "" for value, name in zip(values, names, strict=True)]


def _number(plot: pg.PlotItem, on: bool) -> None:
    """Name the heights and steps, or none where there is nothing to measure."""
    for side in ("left", "bottom"):
        if plot.getAxis(side).style["showValues"] != on:
            plot.getAxis(side).setStyle(showValues=on)


def _plot(box: _Box) -> pg.PlotItem:
    """A plot that can be zoomed along its steps, and has no menu."""
    axes = {"bottom": _Steps("bottom"), "left": _Heights("left")}
    plot = pg.PlotItem(viewBox=box, axisItems=axes, enableMenu=False)
    plot.setContentsMargins(0, 4, 8, 0)
    for side in ("left", "right"):
        plot.getAxis(side).enableAutoSIPrefix(False)
    return plot


class _View(pg.GraphicsView):
    """Holds one plot, and asks for no more room than it needs."""

    def __init__(self, name: str, plot: pg.PlotItem) -> None:
        super().__init__()
        self.setCentralItem(plot)
        self.setAccessibleName(name)
        self.setMinimumSize(self.sizeHint())
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)

    def sizeHint(self) -> QSize:
        return QSize(200, 140)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Means over the neighbours of each point, fewer of them towards the ends."""
    count = len(values)
    here = np.arange(count)
    before = np.minimum(count // _SMOOTHED, here)
    # The beginning is steep: no more from behind a point than from before it.
    after = np.minimum(before, count - 1 - here)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[here + after + 1] - sums[here - before]) / (before + after + 1)


def _span(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """What these lie between; 0 to 0 without any."""
    return (float(low.min()), float(high.max())) if len(low) else (0.0, 0.0)


def _set_heights(box: pg.ViewBox, bottom: float, top: float, width: float) -> None:
    """Show these heights in the middle of so many, and a little more."""
    middle = (bottom + top) / 2
    half = 0.54 * width or 0.5
    box.setYRange(middle - half, middle + half, padding=0)


def _faint(color: str, alpha: int) -> QColor:
    faint = QColor(color)
    faint.setAlpha(alpha)
    return faint
