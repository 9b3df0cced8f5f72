"""Up to four results of one picture, and which of them has the mark."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRect

from app.compare.picture import Picture
from engine.language import tr

MOST = 4


@dataclass
class Cell:
    """One result.

    Attributes:
        picture: None until there are pixels of it.
        title: what made it.
        detail: its number and time.
    """

    picture: Picture | None = None
    title: str = ""
    detail: str = ""

    def caption(self) -> str:
        """Title and detail in a line each; without pixels and detail it is waiting."""
        return f"{self.title}\n{self.detail or (tr('Waiting') if self.picture is None else '')}".strip("\n")


class Grid:
    """The results, in reading order, and the index of the marked one."""

    def __init__(self) -> None:
        self.cells = [Cell()]
        self.mark = 0

    def set_count(self, count: int) -> None:
        """Have so many cells, 1 to MOST; those that stay keep what they show."""
        if not 1 <= count <= MOST:
            raise ValueError(f"1 to {MOST} results are shown side by side, not {count}")
        self.cells = (self.cells + [Cell() for _ in range(count)])[:count]
        self.mark = min(self.mark, count - 1)

    def cell(self, index: int) -> Cell:
        """A cell, or a ValueError."""
        if not 0 <= index < len(self.cells):
            raise ValueError(f"Of {len(self.cells)} results there is no number {index}; call set_grid first")
        return self.cells[index]

    def forget(self) -> None:
        """Drop the pictures; the captions stay."""
        for cell in self.cells:
            cell.picture = None

    def move_mark(self, dx: int, dy: int) -> None:
        """Move the mark to the cell beside, above or below, if there is one."""
        row, column = divmod(self.mark, 2)
        index = (row + dy) * 2 + column + dx
        if 0 <= column + dx < 2 and 0 <= index < len(self.cells):
            self.mark = index

    def panes(self, width: int, height: int, gap: int) -> list[QRect]:
        """One pane, two beside each other, or two rows of two; all of one size."""
        columns, rows = min(2, len(self.cells)), 1 if len(self.cells) <= 2 else 2
        pane_width = max(1, (width - gap * (columns - 1)) // columns)
        pane_height = max(1, (height - gap * (rows - 1)) // rows)
        return [
            QRect(index % 2 * (pane_width + gap), index // 2 * (pane_height + gap), pane_width, pane_height)
            for index in range(len(self.cells))
        ]
