"""Widgets side by side, in as many columns as there is room for."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget


class Flow(QWidget):
    """A grid whose columns follow its width; it needs no more than that of its widest widget."""

    def __init__(self, *widgets: QWidget, stretch: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._widgets, self._columns, self._stretch = widgets, 0, stretch
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._arrange(len(widgets))

    def minimumSizeHint(self) -> QSize:
        """As wide as its widest widget."""
        return QSize(self._least(), self._grid.minimumSize().height())

    def sizeHint(self) -> QSize:
        """The same: it takes what width it gets."""
        return QSize(self._least(), self._grid.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use the new width."""
        spacing = self._grid.horizontalSpacing()
        shown = sum(not widget.isHidden() for widget in self._widgets)
        room = self.contentsRect().width()
        self._arrange(max(1, min(shown, (room + spacing) // (self._widest() + spacing))))
        super().resizeEvent(event)

    def _least(self) -> int:
        return self._widest() + self.width() - self.contentsRect().width()

    def _widest(self) -> int:
        shown = [widget for widget in self._widgets if not widget.isHidden()]
        return max((widget.sizeHint().width() for widget in shown), default=0)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        for column in range(self._columns + 1):
            self._grid.setColumnStretch(column, 0)
        self._columns = columns
        for index, widget in enumerate(self._widgets):
            self._grid.addWidget(widget, index // columns, index % columns)
        if self._stretch:
            for column in range(columns):
                self._grid.setColumnStretch(column, 1)
        else:
            self._grid.setColumnStretch(columns, 1)
        self.updateGeometry()
