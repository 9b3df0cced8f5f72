"""What the pages of residual and noise draw with: a plot and a map of correlations, each also told in words."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from engine.language import tr
from engine.residual import LAGS

LINES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DashDotLine, Qt.PenStyle.DotLine)
SYMBOLS = ("o", "s", "t", "d")


class Plot(pg.GraphicsView):
    """One plot in the colours of the theme that takes no wheel from the page it is on."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        box = pg.ViewBox(enableMenu=False, enableMouse=False)
        box.disableAutoRange()
        self.item = pg.PlotItem(viewBox=box, enableMenu=False)
        self.item.hideButtons()
        self.item.setContentsMargins(0, 4, 8, 0)
        for side in ("left", "bottom"):
            self.item.getAxis(side).enableAutoSIPrefix(False)
        self.setCentralItem(self.item)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.setStyleSheet("QGraphicsView { border: 0; padding: 0; }")
        self._apply_colors()

    def sizeHint(self) -> QSize:
        """So much room it needs, which grows with the axes' texts."""
        return QSize(200, 70 + 6 * self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def name_axes(self, bottom: str, left: str) -> None:
        """Say what is measured along them."""
        self.item.setLabel("bottom", bottom)
        self.item.setLabel("left", left)

    def show_range(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        """What lies between is shown."""
        self.item.setXRange(*across, padding=0)
        self.item.setYRange(*up, padding=0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the page scroll."""
        event.ignore()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        # The first comes while the view is being made.
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "item"):
            self._apply_colors()
        super().changeEvent(event)

    def _apply_colors(self) -> None:
        c = theme.colors()
        self.setBackground(c.panel)
        for side in ("left", "bottom"):
            self.item.getAxis(side).setPen(c.line)
            self.item.getAxis(side).setTextPen(c.muted)


class Legend(QWidget):
    """A piece of a curve, its symbol and its name."""

    def __init__(self, text: str, pen: QPen | None, symbol: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._pen, self._symbol = text, pen, symbol
        self.setAccessibleName(text)

    def restyle(self, pen: QPen | None) -> None:
        """Take over another look of the curve."""
        self._pen = pen
        self.update()

    def sizeHint(self) -> QSize:
        """Of both."""
        metrics = self.fontMetrics()
        return QSize(40 + metrics.horizontalAdvance(self._text), metrics.height() + 2)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a sample and the name."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        if self._pen is not None:
            painter.setPen(self._pen)
            painter.drawLine(2, round(middle), 26, round(middle))
            if self._symbol:
                painter.translate(14, middle)
                painter.scale(7, 7)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(self._pen.color())
                painter.drawPath(pg.graphicsItems.ScatterPlotItem.Symbols[self._symbol])
                painter.resetTransform()
        painter.setPen(QColor(theme.colors().text))
        painter.drawText(self.rect().adjusted(32, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._text)


class CorrelationMap(QWidget):
    """How pixels correlate by their distance: a square for each, the larger the more, hollow where it is negative."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: np.ndarray | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_table(self, table: np.ndarray | None) -> None:
        """Take over correlations (n, n) with odd sides and lag 0 in the middle, or none; (1, 1) of white noise."""
        if table is not None and len(table) == 1:
            table = np.pad(table, LAGS)
        self._table = table
        self.setAccessibleDescription(self._told())
        self.update()

    def sizeHint(self) -> QSize:
        """Room for a table of 13 x 13."""
        return QSize(130, 130)

    def minimumSizeHint(self) -> QSize:
        """Where the squares still differ."""
        return QSize(78, 78)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the squares."""
        c = theme.colors()
        painter = QPainter(self)
        side = min(self.width(), self.height()) - 1
        painter.translate((self.width() - side) // 2, 0)
        painter.setPen(QColor(c.line))
        painter.drawRect(0, 0, side, side)
        if self._table is None:
            painter.setPen(QColor(c.muted))
            painter.drawText(QRectF(0, 0, side, side), Qt.AlignmentFlag.AlignCenter, "–")
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        count = len(self._table)
        cell = side / count
        for (row, column), value in np.ndenumerate(self._table):
            size = (cell - 1) * math.sqrt(min(abs(float(value)), 1))
            if size < 1:
                continue
            square = QRectF((column + 0.5) * cell - size / 2, (row + 0.5) * cell - size / 2, size, size)
            if value > 0:
                painter.fillRect(square, QColor(c.running))
            else:
                painter.setPen(QPen(QColor(c.warning), 1))
                painter.drawRect(square)

    def _told(self) -> str:
        table = self._table
        if table is None:
            return tr("Not known.")
        if np.count_nonzero(table) == 1:
            return tr("Neighbouring pixels do not correlate.")
        middle = len(table) // 2
        return tr("Next pixel across {across:.2f}, next down {down:.2f}, diagonal {diagonal:.2f}.").format(
            across=table[middle, middle + 1], down=table[middle + 1, middle], diagonal=table[middle + 1, middle + 1]
        )


def heights(*parts: np.ndarray) -> tuple[float, float]:
    """From what to what these reach, with a little room."""
    values = np.concatenate([np.ravel(part) for part in parts]) if parts else np.zeros(1)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
