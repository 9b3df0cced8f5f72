"""A small table of numbers that is read as one text, and finds room in a narrow column."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QLabel, QWidget

from app import theme

Row = tuple[str, Sequence[str]]


class Table(QLabel):
    """Texts in rows and columns that have names; it can be selected and copied, and reached by keyboard."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setMinimumWidth(40)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._columns: tuple[str, ...] = ()
        self.rows: tuple[Row, ...] = ()
        """What it shows; a row without texts is a heading of those below."""

    def fill(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Show these texts."""
        if (tuple(columns), tuple(rows)) == (self._columns, self.rows):
            return
        self._columns, self.rows = tuple(columns), tuple(rows)
        self._write()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.rows:
            self._write()

    def _write(self) -> None:
        muted = theme.colors().muted
        lines = ["".join(_cell(name, "right", muted) for name in ("", *self._columns))] if any(self._columns) else []
        said = []
        for name, texts in self.rows:
            if not texts:
                lines.append(f'<td colspan="{1 + len(self._columns)}"><b>{html.escape(name)}</b></td>')
                said.append(name)
                continue
            lines.append(_cell(name, "left", muted) + "".join(_cell(text, "right") for text in texts))
            named = (" ".join(pair).strip() for pair in zip(self._columns, texts, strict=True))
            said.append(f"{name}: {', '.join(named)}")
        rows = "".join(f"<tr>{line}</tr>" for line in lines)
        self.setText(f'<table width="100%" cellspacing="0" cellpadding="2">{rows}</table>')
        self.setAccessibleDescription(". ".join(said))


def _cell(text: str, side: str, color: str = "") -> str:
    style = f' style="color: {color}"' if color else ""
    text = html.escape(text)
    if side == "right":
        text = text.replace(" ", "&nbsp;")  # a number is never broken
    return f'<td align="{side}"{style}>{text}</td>'
