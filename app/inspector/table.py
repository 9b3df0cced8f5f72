"""A small table of numbers that is as high as its rows."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableWidget, QTableWidgetItem, QWidget


class Table(QTableWidget):
    """Texts in rows and columns, all of which have names; the arrow keys go through them, Tab leaves it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setSectionsClickable(False)
            header.setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setMinimumSectionSize(24)

    def fill(self, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Show these texts; what has the same shape as before keeps its place."""
        shape = (len(rows), len(columns))
        is_new = shape != (self.rowCount(), self.columnCount())
        if is_new:
            self.setRowCount(shape[0])
            self.setColumnCount(shape[1])
        self.setHorizontalHeaderLabels(list(columns))
        self.setVerticalHeaderLabels([name for name, _ in rows])
        for row, (name, texts) in enumerate(rows):
            for column, text in enumerate(texts):
                item = self.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    self.setItem(row, column, item)
                if item.text() != text:
                    item.setText(text)
                    item.setData(
                        Qt.ItemDataRole.AccessibleTextRole, f"{name}, {columns[column]}: {text}" if text else ""
                    )
        if is_new:
            self.updateGeometry()

    def texts(self) -> list[list[str]]:
        """What it shows, row by row."""
        return [
            [(item.text() if (item := self.item(row, column)) else "") for column in range(self.columnCount())]
            for row in range(self.rowCount())
        ]

    def sizeHint(self) -> QSize:
        """All rows, and the bar below them where they are wider than there is room for."""
        height = self.horizontalHeader().sizeHint().height() + self.verticalHeader().length() + 2
        wide = self.verticalHeader().sizeHint().width() + self.horizontalHeader().length()
        if wide > self.width():
            height += self.horizontalScrollBar().sizeHint().height()
        return QSize(240, height)

    def minimumSizeHint(self) -> QSize:
        """As high as all rows."""
        return QSize(120, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        """Another font makes other rows."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.updateGeometry()
