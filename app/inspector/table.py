"""A small table of numbers that is read as one text, and finds room in a narrow column."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget

from app import theme

_PADDING = 1

Row = tuple[str, Sequence[str]]


class Table(QLabel):
    """Texts in rows and columns that have names; it can be selected and copied, and reached by keyboard."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._is_list = False
        self._columns: tuple[str, ...] = ()
        self.rows: tuple[Row, ...] = ()
        """What it shows; a row without texts is a heading of those below."""

    def fill(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Show these texts."""
        if (tuple(columns), tuple(rows)) == (self._columns, self.rows):
            return
        self._columns, self.rows = tuple(columns), tuple(rows)
        self._is_list = len(columns) > 1 and self.width() < self._least()
        self._write()

    def minimumSizeHint(self) -> QSize:
        """As wide as a name and a number beside each other: neither is broken."""
        return QSize(min(self._least(is_list=True), self._least()), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the columns below each other where they have no room side by side."""
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.rows:
            self._write()
        elif event.type() == QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        is_list = len(self._columns) > 1 and self.width() < self._least()
        if is_list != self._is_list:
            self._is_list = is_list
            self._write()

    def _least(self, *, is_list: bool = False) -> int:
        """The least width: of names broken into words, and of numbers."""
        width = self.fontMetrics().horizontalAdvance
        words = [word for name, _ in self.rows for word in name.split()]
        columns = [words, *([name] for name in self._columns)]
        for _, texts in self.rows:
            for column, text in zip(columns[1:], texts, strict=False):
                column.append(text)
        if is_list:
            columns = [[*words, *self._columns], [text for _, texts in self.rows for text in texts]]
        return sum(max(map(width, column), default=0) + 2 * _PADDING for column in columns)

    def _write(self) -> None:
        muted = theme.colors().muted
        lines = []
        if any(self._columns) and not self._is_list:
            lines.append("".join(_cell(name, "right", muted) for name in ("", *self._columns)))
        said = []
        for name, texts in self.rows:
            if not texts:
                lines.append(f'<td colspan="{1 + len(self._columns)}"><b>{html.escape(name)}</b></td>')
                said.append(name)
                continue
            if self._is_list:
                lines.append(f'<td colspan="2">{html.escape(name)}</td>')
                pairs = zip(self._columns, texts, strict=True)
                lines += [_cell(column, "left", muted) + _cell(text, "right") for column, text in pairs]
            else:
                lines.append(_cell(name, "left", muted) + "".join(_cell(text, "right") for text in texts))
            named = (" ".join(pair).strip() for pair in zip(self._columns, texts, strict=True))
            said.append(f"{name}: {', '.join(named)}")
        rows = "".join(f"<tr>{line}</tr>" for line in lines)
        self.setText(f'<table width="100%" cellspacing="0" cellpadding="0">{rows}</table>')
        self.setAccessibleDescription(". ".join(said))


def _cell(text: str, side: str, color: str = "") -> str:
    style = f"padding: 2px {_PADDING}px" + (f"; color: {color}" if color else "")
    text = html.escape(text)
    if side == "right":
        text = text.replace(" ", "&nbsp;")  # a number is never broken
    return f'<td align="{side}" style="{style}">{text}</td>'
