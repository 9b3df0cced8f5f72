"""What is compared: before, after and up to four results, and which of them each mode shows in which pane."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRect, QRectF, Signal
from PySide6.QtWidgets import QWidget

from app.compare.canvas import GAP, Canvas, Layer
from app.compare.grid import Grid
from app.compare.picture import Picture
from app.compare.wipe import Wipe
from app.pyramid import Pyramid

MODES = ("side", "stack", "wipe", "after", "grid")


class Comparison(Canvas):
    """Pictures of one scene in the panes of a mode; what lies over them is a subclass's."""

    mode_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._before: Picture | None = None
        self._after: Picture | None = None
        self._mode = "side"
        self._shows_original = False
        self._grid = Grid()
        self._wipe = Wipe()

    def describe(self) -> None:
        """Say for screen readers what is shown; called after any of it changed."""

    def pictures_changed(self) -> None:
        """Take the size of the pictures after they changed."""
        shown = self._before or self._after
        self.replace_size(None if shown is None else shown.size)

    def set_before(self, pixels: np.ndarray | Pyramid | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the noisy picture; None clears it.

        The array is kept, not copied: the caller does not write to it. A pyramid whose levels are made already spares
        this thread the time that takes. A picture of another size is fitted to the view and clears the after picture;
        one of the same size takes the place of the last. The results of the grid go the way of the after picture.
        """
        self._before = None if pixels is None else Picture(pixels)
        if self._before is not None and self._after is not None and self._before.size != self._after.size:
            self._after = None
        if any(cell.picture and self._before and cell.picture.size != self._before.size for cell in self._grid.cells):
            self._grid.forget()
        self.pictures_changed()

    def set_after(self, pixels: np.ndarray | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the denoised picture; None clears it.

        It is as large as the before picture, if there is one, or a ValueError. The array is kept, not copied.
        """
        self._after = self._fitting(pixels)
        self.pictures_changed()

    def update_after(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Replace the region of (h, w, C) uint8 at column x, row y of the after picture; the rest stays as it is.

        Without an after picture it starts as the before picture, so that a result can grow tile by tile. ValueError
        if there is neither, or if the region does not fit.
        """
        had, self._after = self._after, self._grown(self._after, pixels, x, y)
        if had is None:
            self.pictures_changed()

    def set_grid(self, count: int) -> None:
        """Have 1 to 4 results in the grid; those that stay keep their pictures and captions. The mode stays."""
        self._grid.set_count(count)
        self.apply_mode()

    def set_grid_picture(self, index: int, pixels: np.ndarray | Pyramid | None) -> None:
        """Show a result of the grid as `set_after` does; None has it wait, with the noisy picture in its place."""
        self._grid.cell(index).picture = self._fitting(pixels)
        self.pictures_changed()
        self.describe()

    def update_grid(self, index: int, pixels: np.ndarray, x: int, y: int) -> None:
        """Replace a region of a result of the grid as `update_after` does; around it stays the noisy picture."""
        cell = self._grid.cell(index)
        had, cell.picture = cell.picture, self._grown(cell.picture, pixels, x, y)
        if had is None:
            self.pictures_changed()
            self.describe()

    def set_grid_caption(self, index: int, title: str, detail: str) -> None:
        """Set the two lines of a result's caption: what made it, and its number and time."""
        cell = self._grid.cell(index)
        cell.title, cell.detail = title, detail
        self.describe()
        self.update()

    @property
    def grid_count(self) -> int:
        """How many results the grid has."""
        return len(self._grid.cells)

    @property
    def grid_mark(self) -> int:
        """Index of the result with the mark, which Return chooses."""
        return self._grid.mark

    def set_grid_mark(self, index: int) -> None:
        """Give a result the mark."""
        self._grid.cell(index)
        self._grid.mark = index
        self.describe()
        self.update()

    @property
    def mode(self) -> str:
        """One of MODES."""
        return self._mode

    def set_mode(self, mode: str) -> None:
        """Show "side" by side, "stack" (top and bottom), under a "wipe" line, "after" alone or a "grid" of results."""
        if mode not in MODES:
            raise ValueError(f"A comparison is shown as one of {', '.join(MODES)}, not as {mode!r}")
        if mode == self._mode:
            return
        self._mode = mode
        self.apply_mode()
        self.mode_changed.emit(mode)

    @property
    def shows_original(self) -> bool:
        """Whether the before picture stands in place of the after picture."""
        return self._shows_original

    def show_original(self, on: bool) -> None:
        """Show the before picture in place of the after picture, or no longer."""
        if on != self._shows_original:
            self._shows_original = on
            self.update()

    def flip(self) -> None:
        """Exchange the after picture for the before picture, or back."""
        self.show_original(not self._shows_original)

    @property
    def wipe_position(self) -> float:
        """Where the wipe line stands, 0 (left or top: all after) to 1 (right or bottom: all before)."""
        return self._wipe.position

    @property
    def wipe_is_vertical(self) -> bool:
        """Whether the wipe line is vertical, with the before picture left of it; else before is above it."""
        return self._wipe.is_upright

    @property
    def wipe_angle(self) -> float:
        """Degrees by which the wipe line is turned clockwise, 0 to 360; 0 is vertical with before on its left."""
        return self._wipe.angle

    def set_wipe_position(self, position: float) -> None:
        """Move the wipe line, 0 to 1 of the view."""
        self._wipe.position = min(1.0, max(0.0, position))
        self.update()

    def set_wipe_angle(self, degrees: float) -> None:
        """Turn the wipe line to an angle; its position stays."""
        self._wipe.angle = float(degrees) % 360
        self.describe()
        self.update()

    def turn_wipe(self, degrees: float = 90.0) -> None:
        """Turn the wipe line further clockwise."""
        self.set_wipe_angle(self._wipe.angle + degrees)

    def has_picture(self) -> bool:
        """Whether there is a before or an after picture."""
        return self._before is not None or self._after is not None

    def panes(self) -> list[QRect]:
        """Two panes beside or above each other, those of the grid, or one."""
        width, height = max(1, self.width()), max(1, self.height())
        if self._mode == "grid":
            return self._grid.panes(width, height, GAP)
        if self._mode == "side":
            half = max(1, (width - GAP) // 2)
            return [QRect(0, 0, half, height), QRect(half + GAP, 0, half, height)]
        if self._mode == "stack":
            half = max(1, (height - GAP) // 2)
            return [QRect(0, 0, width, half), QRect(0, half + GAP, width, half)]
        return [QRect(0, 0, width, height)]

    def layers(self, pane: int) -> list[Layer]:
        """Before in the first of two panes, both under a wipe line, else the result or what stands in its place."""
        if self._mode == "grid":
            cell = self._grid.cells[pane].picture
            shown = self._before if self._shows_original or cell is None else cell
            return [] if shown is None else [Layer(shown)]
        after = self._before if self._shows_original else self._after
        if self._mode in ("side", "stack"):
            shown = (self._before, after)[pane]
            return [] if shown is None else [Layer(shown)]
        if self.has_wipe_line() and after is not None and self._before is not None:
            halves = self._wipe.halves(self.only_pane())
            return [Layer(self._before, halves[0]), Layer(after, halves[1])]
        shown = after if self._after is not None else self._before
        return [] if shown is None else [Layer(shown)]

    def only_pane(self) -> QRectF:
        """The pane of a mode that has one."""
        return QRectF(self.panes()[0])

    def has_wipe_line(self) -> bool:
        """Whether there is a line to be moved."""
        return self._mode == "wipe" and self._before is not None and self._after is not None

    def _fitting(self, pixels: np.ndarray | Pyramid | None) -> Picture | None:
        """A result as large as the before picture, or a ValueError."""
        result = None if pixels is None else Picture(pixels)
        if result is not None and self._before is not None and result.size != self._before.size:
            raise ValueError(
                f"The after picture has {result.size[0]}x{result.size[1]} pixels and the before picture "
                f"{self._before.size[0]}x{self._before.size[1]}; set the before picture first"
            )
        return result

    def _grown(self, result: Picture | None, pixels: np.ndarray, x: int, y: int) -> Picture:
        """A result with a region replaced; one that is not there yet starts as the before picture."""
        start = result or self._before
        if start is None:
            raise ValueError("There is no picture to put a region into; call set_before or set_after first")
        grown = result or start.copy()
        grown.replace(pixels, x, y)
        if result is not None:
            self.update_region(result, QRectF(x, y, pixels.shape[1], pixels.shape[0]))
        return grown

    def apply_mode(self) -> None:
        """Lay out the panes of the mode."""
        self.describe()
        self.replace_view()
