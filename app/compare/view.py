"""The before/after view: two pictures with one zoom and one place, side by side, stacked, under a wipe line or alone.

A plain widget: 8-bit pixels in, signals out. It knows no image file, no method and no workspace.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPalette, QPen
from PySide6.QtWidgets import QWidget

from app.compare.canvas import ARROWS, GAP, Canvas, Layer
from app.compare.overlay import BOTTOM_RIGHT, TOP_LEFT, Tints, draw_caption, draw_empty, draw_wipe_captions
from app.compare.picture import Picture
from app.compare.wipe import Wipe
from app.pyramid import Pyramid

MODES = ("side", "stack", "wipe", "after")


class CompareView(Canvas):
    """Two pictures of one scene, before and after."""

    mode_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._before: Picture | None = None
        self._after: Picture | None = None
        self._mode = "side"
        self._shows_original = False
        self._wipe = Wipe()
        self._drags_wipe = False
        self._labels = ("Before", "After")
        self._hints = ("Drop pictures or a folder here", "Not denoised yet")
        self._takes_drops = True
        self._own_tints: Tints | None = None
        self._has_focus_ring = False
        self.setAccessibleName("Before and after view")
        self._apply_tints()
        self._apply_mode()

    def set_before(self, pixels: np.ndarray | Pyramid | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the noisy picture; None clears it.

        The array is kept, not copied: the caller does not write to it. A pyramid whose levels are made already spares
        this thread the time that takes. A picture of another size is fitted to the view and clears the after picture;
        one of the same size takes the place of the last.
        """
        self._before = None if pixels is None else Picture(pixels)
        if self._before is not None and self._after is not None and self._before.size != self._after.size:
            self._after = None
        self._pictures_changed()

    def set_after(self, pixels: np.ndarray | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the denoised picture; None clears it.

        It is as large as the before picture, if there is one, or a ValueError. The array is kept, not copied.
        """
        after = None if pixels is None else Picture(pixels)
        if after is not None and self._before is not None and after.size != self._before.size:
            raise ValueError(
                f"The after picture has {after.size[0]}x{after.size[1]} pixels and the before picture "
                f"{self._before.size[0]}x{self._before.size[1]}; set the before picture first"
            )
        self._after = after
        self._pictures_changed()

    def update_after(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Replace the region of (h, w, C) uint8 at column x, row y of the after picture; the rest stays as it is.

        Without an after picture it starts as the before picture, so that a result can grow tile by tile. ValueError
        if there is neither, or if the region does not fit.
        """
        start = self._after or self._before
        if start is None:
            raise ValueError("There is no picture to put a region into; call set_before or set_after first")
        after = start if self._after is not None else start.copy()
        after.replace(pixels, x, y)
        if self._after is None:
            self._after = after
            self._pictures_changed()
        else:
            self.update_region(after, QRectF(x, y, pixels.shape[1], pixels.shape[0]))

    @property
    def mode(self) -> str:
        """One of MODES."""
        return self._mode

    def set_mode(self, mode: str) -> None:
        """Show "side" by side, "stack" (top and bottom), "wipe" (a movable line) or only the "after" picture."""
        if mode not in MODES:
            raise ValueError(f"A comparison is shown as one of {', '.join(MODES)}, not as {mode!r}")
        if mode == self._mode:
            return
        self._mode = mode
        self._apply_mode()
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

    def set_wipe_position(self, position: float) -> None:
        """Move the wipe line, 0 to 1 of the view."""
        self._wipe.position = min(1.0, max(0.0, position))
        self.update()

    def turn_wipe(self) -> None:
        """Turn the wipe line from vertical to horizontal, or back."""
        self._wipe.angle = 90.0 - self._wipe.angle
        self.update()

    def set_labels(self, before: str, after: str) -> None:
        """Set the captions drawn over the pictures, e.g. "Before" and "After · estimated 31.2 dB ± 0.1"."""
        self._labels = (before, after)
        self.update()

    def set_hints(self, empty: str, after: str) -> None:
        """Say these where no picture is and where its result is not yet; the first is no invitation to drop any."""
        if (empty, after) != self._hints:
            self._hints, self._takes_drops = (empty, after), False
            self.update()

    def set_colors(self, background: QColor | str, text: QColor | str, accent: QColor | str) -> None:
        """Set the colours around the pictures in place of those of the palette."""
        self._own_tints = Tints(QColor(background), QColor(text), QColor(accent))
        self._apply_tints()

    def follow_palette(self) -> None:
        """Take the colours from the palette again; its window colour is made neutral, as tints mislead the eye."""
        self._own_tints = None
        self._apply_tints()

    def has_picture(self) -> bool:
        """Whether there is a before or an after picture."""
        return self._before is not None or self._after is not None

    def panes(self) -> list[QRect]:
        """Two panes beside or above each other, or one."""
        width, height = max(1, self.width()), max(1, self.height())
        if self._mode == "side":
            half = max(1, (width - GAP) // 2)
            return [QRect(0, 0, half, height), QRect(half + GAP, 0, half, height)]
        if self._mode == "stack":
            half = max(1, (height - GAP) // 2)
            return [QRect(0, 0, width, half), QRect(0, half + GAP, width, half)]
        return [QRect(0, 0, width, height)]

    def layers(self, pane: int) -> list[Layer]:
        """Before in the first of two panes, both under a wipe line, else after or what stands in its place."""
        after = self._before if self._shows_original else self._after
        if self._mode in ("side", "stack"):
            shown = (self._before, after)[pane]
            return [] if shown is None else [Layer(shown)]
        if self._has_wipe_line() and after is not None and self._before is not None:
            halves = self._wipe.halves(self._only_pane())
            return [Layer(self._before, halves[0]), Layer(after, halves[1])]
        shown = after if self._after is not None else self._before
        return [] if shown is None else [Layer(shown)]

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette and the font."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._apply_tints()
        super().changeEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Mark the view where the keyboard brought the focus."""
        by_key = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)
        self._has_focus_ring = event.reason() in by_key
        self.update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the mark away."""
        self._has_focus_ring = False
        self.update()
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the wipe line with Shift and the arrow keys; pan with the arrow keys alone."""
        direction = ARROWS.get(Qt.Key(event.key()))
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if direction is not None and modifiers == Qt.KeyboardModifier.ShiftModifier and self._has_wipe_line():
            self.set_wipe_position(self.wipe_position + 0.02 * (direction[0] + direction[1]))
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the wipe line, or pan."""
        super().mousePressEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and self._is_on_wipe_line(event.position()):
            self._pan_from, self._drags_wipe = None, True
            self.update_cursor(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the wipe line, or pan."""
        if self._drags_wipe:
            self._wipe.move_to(event.position(), self._only_pane())
            self.update()
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._drags_wipe = False
        super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Turn the wipe line, or go from fit to 100 % and back."""
        if event.button() == Qt.MouseButton.LeftButton and self._is_on_wipe_line(event.position()):
            self.turn_wipe()
        else:
            super().mouseDoubleClickEvent(event)

    def cursor_shape(self, position: QPointF) -> Qt.CursorShape:
        """Say that the wipe line can be moved."""
        if self._drags_wipe or (self._pan_from is None and self._is_on_wipe_line(position)):
            return Qt.CursorShape.SplitHCursor if self.wipe_is_vertical else Qt.CursorShape.SplitVCursor
        return super().cursor_shape(position)

    def draw_over(self, painter: QPainter) -> None:
        """Draw captions, the hint, the wipe line, and the text of an empty view."""
        whole = QRectF(self.rect())
        if not self.has_picture():
            draw_empty(painter, whole, self._hints[0], self._tints, is_target=self._takes_drops, font=self.font())
        else:
            self._draw_captions(painter)
            if self._has_wipe_line():
                self._wipe.draw(painter, self._only_pane())
            if self.judged_at_fit:
                draw_caption(painter, whole, "Noise is judged at 100 %: press 1", BOTTOM_RIGHT)
        if self._has_focus_ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._tints.accent, 2))
            painter.drawRect(whole.adjusted(1, 1, -1, -1))

    def _draw_captions(self, painter: QPainter) -> None:
        panes = [QRectF(pane) for pane in self.panes()]
        before, after = self._labels
        is_flipped = self._shows_original and self._after is not None
        mark = self._tints.accent if is_flipped else None
        shown_after = before if is_flipped or self._after is None else after
        if len(panes) == 2:
            if self._before is not None:
                draw_caption(painter, panes[0], before, TOP_LEFT)
            if self.layers(1):
                draw_caption(painter, panes[1], shown_after, TOP_LEFT, mark)
            else:
                draw_empty(painter, panes[1], self._hints[1], self._tints, font=self.font())
        elif self._has_wipe_line() and not is_flipped:
            draw_wipe_captions(painter, panes[0], self._wipe, before, after)
        else:
            draw_caption(painter, panes[0], shown_after, TOP_LEFT, mark)

    def _only_pane(self) -> QRectF:
        return QRectF(self.panes()[0])

    def _has_wipe_line(self) -> bool:
        return self._mode == "wipe" and self._before is not None and self._after is not None

    def _is_on_wipe_line(self, position: QPointF) -> bool:
        return self._has_wipe_line() and self._wipe.is_at(position, self._only_pane())

    def _pictures_changed(self) -> None:
        shown = self._before or self._after
        self.replace_size(None if shown is None else shown.size)

    def _apply_mode(self) -> None:
        names = {"side": "side by side", "stack": "as top and bottom", "wipe": "under a wipe line", "after": "alone"}
        keys = "The arrow keys pan" + (", with Shift they move the line" if self._mode == "wipe" else "")
        self.setAccessibleDescription(f"Noisy and denoised picture, shown {names[self._mode]}. {keys}.")
        self.replace_view()

    def _apply_tints(self) -> None:
        palette = self.palette()
        # White around a picture makes it look darker than it is.
        grey = min(215, palette.color(QPalette.ColorRole.Window).lightness())
        text, accent = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Highlight)
        self._tints = self._own_tints or Tints(QColor(grey, grey, grey), text, accent)
        self.background = self._tints.background
        self.update()
