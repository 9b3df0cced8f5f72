"""Widgets side by side, in as many columns as there is room for."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget


class Flow(QWidget):
    """A grid whose columns, each as wide as the widest widget, follow its width."""

    def __init__(self, *widgets: QWidget, stretch: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._widgets, self._stretch = widgets, stretch
        self._arrangement: tuple[int, list[QWidget]] = (0, [])
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        for widget in widgets:
            widget.setParent(self)
        self._arrange()

    def minimumSizeHint(self) -> QSize:
        """As wide as its widest widget."""
        return QSize(self._least(), self._grid.minimumSize().height())

    def sizeHint(self) -> QSize:
        """The same: it takes what width it gets."""
        return QSize(self._least(), self._grid.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use the new width."""
        self._arrange()
        super().resizeEvent(event)

    def event(self, event: QEvent) -> bool:
        """One of them came, went, or changed its size."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._arrange()
        return super().event(event)

    def width_of(self, columns: int) -> int:
        """What so many columns need."""
        return columns * (self._widest() + self._grid.horizontalSpacing()) - self._grid.horizontalSpacing()

    def _least(self) -> int:
        return self._widest() + self.width() - self.contentsRect().width()

    def _shown(self) -> list[QWidget]:
        return [widget for widget in self._widgets if not widget.isHidden()]

    def _widest(self) -> int:
        return max((widget.sizeHint().width() for widget in self._shown()), default=0)

    def _arrange(self) -> None:
        shown, spacing = self._shown(), self._grid.horizontalSpacing()
        room = self.contentsRect().width()
        columns = max(1, min(len(shown), (room + spacing) // (self._widest() + spacing)))
        arrangement = (columns, shown)
        if arrangement == self._arrangement:
            return
        for column in range(self._grid.columnCount()):
            self._grid.setColumnStretch(column, 0)
        self._arrangement = arrangement
        for widget in self._widgets:
            self._grid.removeWidget(widget)
        for index, widget in enumerate(shown):
            self._grid.addWidget(widget, index // columns, index % columns)
        # The last row of buttons is as wide as the others; what is not to be stretched leaves the rest empty.
        for column in range(columns) if self._stretch else (columns,):
            self._grid.setColumnStretch(column, 1)
        self.updateGeometry()
