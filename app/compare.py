"""The before/after view: two pictures with one zoom and one place, side by side, stacked, under a wipe line or alone.

A plain widget: 8-bit pixels in, signals out. It knows no image file, no method and no workspace.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QLineF, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPalette,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QVBoxLayout, QWidget

from app.pyramid import TILE, Pyramid

MODES = ("side", "stack", "wipe", "after")

MIN_ZOOM, MAX_ZOOM = 0.01, 32.0

_GAP = 2
"""Logical pixels between the two panes; both are exactly as large as each other."""

_WHEEL_STEP = math.sqrt(2)
"""Zoom factor of one notch of the wheel: two notches double."""

_GRIP_RADIUS = 13.0
_GRAB_DISTANCE = 8.0

_CAPTION_MARGIN = 8
_CAPTION_BACKGROUND = QColor(0, 0, 0, 165)
_CAPTION_TEXT = QColor(245, 245, 245)

_RENDER_THREADS = min(4, os.cpu_count() or 1)


class CompareView(QWidget):
    """Two pictures of one scene, before and after.

    Zoom is in device pixels per picture pixel: at 1.0 one picture pixel is one pixel of the screen, whatever the
    screen's scaling. Below 1 areas are averaged, from 1 on single pixels are shown. All use is on the GUI thread.
    """

    viewport_changed = Signal(object)
    """(x0, y0, x1, y1), ints: the visible part of the picture, about 50 ms after it came to rest."""

    mode_changed = Signal(str)

    cursor_moved = Signal(object)
    """(x, y), ints: the picture pixel under the cursor; None where there is none."""

    zoom_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._before: _Picture | None = None
        self._after: _Picture | None = None
        self._size: tuple[int, int] | None = None
        self._mode = "side"
        self._zoom = 1.0
        self._centre = QPointF(0, 0)
        self._is_fitted = True
        self._shows_original = False
        self._wipe = 0.5
        self._wipe_is_vertical = True
        self._labels = ("Before", "After")
        self._hints = ("Drop pictures or a folder here", "Not denoised yet")
        self._takes_drops = True
        self._own_colors: tuple[QColor, QColor, QColor] | None = None
        self._last_viewport: tuple[int, int, int, int] | None = None
        self._last_cursor: tuple[int, int] | None = None
        self._has_focus_ring = False

        self._canvas = _Canvas(self)
        self._panes = [self._new_pane(), self._new_pane()]
        self._panes[1].setXLink(self._panes[0])
        self._panes[1].setYLink(self._panes[0])
        self._items = [_PictureItem(), _PictureItem()]

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 120)
        self.setAccessibleName("Before and after view")

        self._viewport_timer = QTimer(self)
        self._viewport_timer.setSingleShot(True)
        self._viewport_timer.setInterval(50)
        self._viewport_timer.timeout.connect(self._report_viewport)

        # Set while the zoom changes step after step; ends by itself.
        self._draft_timer = QTimer(self)
        self._draft_timer.setSingleShot(True)
        self._draft_timer.setInterval(120)
        self._draft_timer.timeout.connect(self._finish_draft)

        self._apply_colors()
        self._apply_mode()

    def sizeHint(self) -> QSize:
        """Room for two pictures side by side."""
        return QSize(900, 600)

    def set_before(self, pixels: np.ndarray | Pyramid | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the noisy picture; None clears it.

        The array is kept, not copied: the caller does not write to it. A pyramid whose levels are made already spares
        this thread the time that takes. A picture of another size is fitted to the view and clears the after picture;
        one of the same size takes the place of the last.
        """
        self._before = None if pixels is None else _Picture(pixels)
        if self._before is not None and self._after is not None and self._before.size != self._after.size:
            self._after = None
        self._pictures_changed()

    def set_after(self, pixels: np.ndarray | None) -> None:
        """Show (H, W, C) uint8, C = 1 or 3 (RGB), as the denoised picture; None clears it.

        It is as large as the before picture, if there is one, or a ValueError. The array is kept, not copied.
        """
        after = None if pixels is None else _Picture(pixels)
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
        is_new = self._after is None
        if is_new and self._before is None:
            raise ValueError("There is no picture to put a region into; call set_before or set_after first")
        after = self._before.copy() if is_new else self._after
        after.replace(pixels, x, y)
        if is_new:
            self._after = after
            self._pictures_changed()
            return
        region = QRectF(x, y, pixels.shape[1], pixels.shape[0])
        margin = max(1.0, 3 / self._zoom)
        for item in self._items:
            if item.picture is after:
                item.update(region.adjusted(-margin, -margin, margin, margin))

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
            self._assign_pictures()

    def flip(self) -> None:
        """Exchange the after picture for the before picture, or back."""
        self.show_original(not self._shows_original)

    @property
    def zoom(self) -> float:
        """Device pixels per picture pixel."""
        return self._zoom

    @property
    def is_fitted(self) -> bool:
        """Whether the picture is fitted to the view, and stays so when the view is resized."""
        return self._is_fitted

    @property
    def judged_at_fit(self) -> bool:
        """Whether the picture is shown below 100 %, where averaging hides a part of its noise."""
        return self._has_picture() and self._zoom < 1

    def fit(self) -> None:
        """Show the whole picture as large as it fits; small pictures are enlarged by whole factors only."""
        self._is_fitted = True
        self._set_place(self._fitting_zoom(), self._middle())

    def zoom_to(self, factor: float, centre: tuple[float, float] | None = None) -> None:
        """Zoom to device pixels per picture pixel, 1.0 = 100 %, within MIN_ZOOM and MAX_ZOOM.

        `centre` is the place in the picture, (x, y), that comes to the middle of the view; without it the middle stays.
        """
        self._is_fitted = False
        self._set_place(factor, self._centre if centre is None else QPointF(*centre))

    def zoom_in(self) -> None:
        """Zoom in by one notch of the wheel, about the middle."""
        self._zoom_about(_WHEEL_STEP, None)

    def zoom_out(self) -> None:
        """Zoom out by one notch of the wheel, about the middle."""
        self._zoom_about(1 / _WHEEL_STEP, None)

    def toggle_fit(self) -> None:
        """From fit to 100 % at the cursor, from anything else to fit."""
        if self._is_fitted:
            self._zoom_about(1 / self._zoom, self._canvas.hover)
        else:
            self.fit()

    def pan(self, dx: float, dy: float) -> bool:
        """Move the visible part by logical pixels of the screen; False where the picture's edge forbids any move."""
        before = self._centre
        scale = self._scale()
        self._set_place(self._zoom, QPointF(before.x() + dx / scale, before.y() + dy / scale))
        return self._centre != before

    def viewport(self) -> tuple[int, int, int, int] | None:
        """(x0, y0, x1, y1): the picture pixels that are at least partly visible, ends exclusive; None if empty."""
        if not self._has_picture():
            return None
        visible = self._visible()
        width, height = self._size
        # A place is exact to a screen pixel; a millionth of one more must not count as a visible picture pixel.
        slack = 1e-6
        return (
            max(0, math.floor(visible.left() + slack)),
            max(0, math.floor(visible.top() + slack)),
            min(width, math.ceil(visible.right() - slack)),
            min(height, math.ceil(visible.bottom() - slack)),
        )

    @property
    def wipe_position(self) -> float:
        """Where the wipe line stands, 0 (left or top: all after) to 1 (right or bottom: all before)."""
        return self._wipe

    @property
    def wipe_is_vertical(self) -> bool:
        """Whether the wipe line is vertical, with the before picture left of it; else before is above it."""
        return self._wipe_is_vertical

    def set_wipe_position(self, position: float) -> None:
        """Move the wipe line, 0 to 1 of the view."""
        self._wipe = min(1.0, max(0.0, position))
        self._apply_clips()

    def turn_wipe(self) -> None:
        """Turn the wipe line from vertical to horizontal, or back."""
        self._wipe_is_vertical = not self._wipe_is_vertical
        self._apply_clips()

    def set_labels(self, before: str, after: str) -> None:
        """Set the captions drawn over the pictures, e.g. "Before" and "After · estimated 31.2 dB ± 0.1"."""
        self._labels = (before, after)
        self._canvas.viewport().update()

    def set_hints(self, empty: str, after: str) -> None:
        """Say these where no picture is and where its result is not yet; the first is no invitation to drop any."""
        if (empty, after) != self._hints:
            self._hints, self._takes_drops = (empty, after), False
            self._canvas.viewport().update()

    def set_colors(self, background: QColor | str, text: QColor | str, accent: QColor | str) -> None:
        """Set the colours around the pictures in place of those of the palette."""
        self._own_colors = (QColor(background), QColor(text), QColor(accent))
        self._apply_colors()

    def follow_palette(self) -> None:
        """Take the colours from the palette again; its window colour is made neutral, as tints mislead the eye."""
        self._own_colors = None
        self._apply_colors()

    def event(self, event: QEvent) -> bool:
        """Keep the zoom in device pixels when the view moves to a screen of another scaling."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._replace_view()
        return super().event(event)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the palette and the font."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._apply_colors()
        super().changeEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Mark the view where the keyboard brought the focus."""
        by_key = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)
        self._has_focus_ring = event.reason() in by_key
        self._canvas.viewport().update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the mark away."""
        self._has_focus_ring = False
        self._canvas.viewport().update()
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pan with the arrow keys, move the wipe line with Shift and the arrow keys; leave all else to the window."""
        directions = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        direction = directions.get(event.key())
        if direction is None or not self._has_picture():
            event.ignore()
        elif modifiers == Qt.KeyboardModifier.NoModifier:
            pane = self._pane_rect(0)
            # At the edge the key goes on to the window, which may turn to the next picture with it.
            event.setAccepted(self.pan(direction[0] * pane.width() / 8, direction[1] * pane.height() / 8))
        elif modifiers == Qt.KeyboardModifier.ShiftModifier and self._has_wipe_line():
            self.set_wipe_position(self._wipe + 0.02 * (direction[0] + direction[1]))
        else:
            event.ignore()

    def _new_pane(self) -> pg.ViewBox:
        pane = pg.ViewBox(lockAspect=True, invertY=True, enableMouse=False, enableMenu=False, defaultPadding=0)
        pane.disableAutoRange()
        self._canvas.scene().addItem(pane)
        return pane

    def _has_picture(self) -> bool:
        return self._before is not None or self._after is not None

    def _pane_count(self) -> int:
        return 2 if self._mode in ("side", "stack") else 1

    def _pane_rect(self, index: int) -> QRect:
        """Pane in logical pixels of the canvas."""
        width, height = self._canvas.viewport().width(), self._canvas.viewport().height()
        if self._mode == "side":
            pane_width = max(1, (width - _GAP) // 2)
            return QRect(index * (pane_width + _GAP), 0, pane_width, max(1, height))
        if self._mode == "stack":
            pane_height = max(1, (height - _GAP) // 2)
            return QRect(0, index * (pane_height + _GAP), max(1, width), pane_height)
        return QRect(0, 0, max(1, width), max(1, height))

    def _pane_at(self, position: QPointF) -> QRect:
        for index in range(self._pane_count()):
            pane = self._pane_rect(index)
            if QRectF(pane).contains(position):
                return pane
        return self._pane_rect(0)

    def _scale(self) -> float:
        """Logical pixels per picture pixel."""
        return self._zoom / self._canvas.devicePixelRatioF()

    def _visible(self) -> QRectF:
        """What a pane shows, in picture pixels; may reach over the picture's edges."""
        pane, scale = self._pane_rect(0), self._scale()
        width, height = pane.width() / scale, pane.height() / scale
        # Whole screen pixels, so that both panes and every tile fall on the screen's own grid.
        left = round((self._centre.x() - width / 2) * self._zoom) / self._zoom
        top = round((self._centre.y() - height / 2) * self._zoom) / self._zoom
        return QRectF(left, top, width, height)

    def _to_picture(self, position: QPointF) -> QPointF:
        """The place in the picture under a place on the canvas."""
        return self._visible().topLeft() + (position - QPointF(self._pane_at(position).topLeft())) / self._scale()

    def _middle(self) -> QPointF:
        width, height = self._size or (0, 0)
        return QPointF(width / 2, height / 2)

    def _fitting_zoom(self) -> float:
        if self._size is None:
            return 1.0
        pane, ratio = self._pane_rect(0), self._canvas.devicePixelRatioF()
        zoom = min(pane.width() * ratio / self._size[0], pane.height() * ratio / self._size[1])
        return zoom if zoom < 1 else float(math.floor(zoom))

    def _zoom_about(self, factor: float, position: QPointF | None) -> None:
        """Zoom by a factor so that the place under `position` on the canvas stays there; None is the middle."""
        if not self._has_picture():
            return
        zoom = self._zoom * factor
        if (self._zoom < 1 < zoom) or (zoom < 1 < self._zoom) or abs(zoom - 1) < 1e-6:
            zoom = 1.0
        zoom = min(MAX_ZOOM, max(MIN_ZOOM, zoom))
        centre = self._centre
        if position is not None:
            anchor = self._to_picture(position)
            centre = anchor + (centre - anchor) * (self._zoom / zoom)
        self._is_fitted = False
        self._set_place(zoom, centre)

    def _set_place(self, zoom: float, centre: QPointF) -> None:
        """Show this zoom around this place, as near as the limits and the picture's edges allow."""
        zoom = float(min(MAX_ZOOM, max(MIN_ZOOM, zoom)))
        zoom = round(zoom) if abs(zoom - round(zoom)) < 1e-9 else zoom
        was = self._zoom
        self._zoom = float(zoom)
        pane, scale = self._pane_rect(0), self._scale()
        width, height = self._size or (0, 0)
        x = _kept_inside(centre.x(), pane.width() / scale, width)
        y = _kept_inside(centre.y(), pane.height() / scale, height)
        self._centre = QPointF(x, y)
        if self._size is not None:
            self._panes[0].setRange(self._visible(), padding=0, disableAutoRange=True)
            self._viewport_timer.start()
        if self._zoom != was:
            # One step is drawn well at once; a step that follows closely is a picture in motion.
            for item in self._items:
                item.is_draft = self._draft_timer.isActive()
            self._draft_timer.start()
        self._canvas.viewport().update()
        if self._zoom != was:
            self.zoom_changed.emit(self._zoom)

    def _finish_draft(self) -> None:
        for item in self._items:
            if item.is_draft:
                item.is_draft = False
                item.update()

    def _pictures_changed(self) -> None:
        shown = self._before or self._after
        size = None if shown is None else shown.size
        is_other_size = size is not None and size != self._size
        # The size of the last picture stays known while there is none, so that the next one can take its place.
        if is_other_size:
            self._size = size
        self._assign_pictures()
        if is_other_size:
            self._last_viewport = None
            self.fit()
        if shown is not None:
            self._viewport_timer.start()

    def _replace_view(self) -> None:
        """Lay out the panes again and keep the place, after the view's size or its pixel ratio changed."""
        for index, pane in enumerate(self._panes):
            pane.setGeometry(QRectF(self._pane_rect(min(index, self._pane_count() - 1))))
        if self._is_fitted:
            self.fit()
        else:
            self._set_place(self._zoom, self._centre)
        self._apply_clips()

    def _apply_mode(self) -> None:
        second = self._panes[1] if self._pane_count() == 2 else self._panes[0]
        for item, pane in zip(self._items, (self._panes[0], second), strict=True):
            if item.pane is not pane:
                if item.pane is not None:
                    item.pane.removeItem(item)
                item.pane = pane
                pane.addItem(item, ignoreBounds=True)
        self._panes[1].setVisible(self._pane_count() == 2)
        names = {"side": "side by side", "stack": "as top and bottom", "wipe": "under a wipe line", "after": "alone"}
        keys = "The arrow keys pan" + (", with Shift they move the line" if self._mode == "wipe" else "")
        self.setAccessibleDescription(f"Noisy and denoised picture, shown {names[self._mode]}. {keys}.")
        self._assign_pictures()
        self._replace_view()

    def _assign_pictures(self) -> None:
        """Give each item the picture it shows: item 0 is before, item 1 after or what stands in its place."""
        after = self._before if self._shows_original else self._after
        if self._mode in ("wipe", "after") and self._after is None:
            after = self._before
        is_covered = self._mode == "after" or (self._mode == "wipe" and not self._has_wipe_line())
        self._items[0].set_picture(None if is_covered else self._before)
        self._items[1].set_picture(after)
        self._apply_clips()

    def _has_wipe_line(self) -> bool:
        return self._mode == "wipe" and self._before is not None and self._after is not None

    def _wipe_line(self) -> int:
        """Place of the wipe line in logical pixels from the left or the top."""
        pane = self._pane_rect(0)
        return round(self._wipe * (pane.width() if self._wipe_is_vertical else pane.height()))

    def _apply_clips(self) -> None:
        pane, line = QRectF(self._pane_rect(0)), self._wipe_line()
        clips = [pane, QRectF(self._pane_rect(self._pane_count() - 1))]
        if self._has_wipe_line():
            clips = [QRectF(pane), QRectF(pane)]
            if self._wipe_is_vertical:
                clips[0].setRight(line)
                clips[1].setLeft(line)
            else:
                clips[0].setBottom(line)
                clips[1].setTop(line)
        for item, clip in zip(self._items, clips, strict=True):
            item.clip = clip
        self._canvas.viewport().update()

    def _report_viewport(self) -> None:
        viewport = self.viewport()
        if viewport is not None and viewport != self._last_viewport:
            self._last_viewport = viewport
            self.viewport_changed.emit(viewport)

    def _report_cursor(self, position: QPointF | None) -> None:
        cursor = None
        if position is not None and self._has_picture():
            place = self._to_picture(position)
            x, y = math.floor(place.x()), math.floor(place.y())
            if 0 <= x < self._size[0] and 0 <= y < self._size[1]:
                cursor = (x, y)
        if cursor != self._last_cursor:
            self._last_cursor = cursor
            self.cursor_moved.emit(cursor)

    def _apply_colors(self) -> None:
        palette = self.palette()
        if self._own_colors is not None:
            self._background, self._text, self._accent = self._own_colors
        else:
            # White around a picture makes it look darker than it is.
            grey = min(215, palette.color(QPalette.ColorRole.Window).lightness())
            self._background = QColor(grey, grey, grey)
            self._text = palette.color(QPalette.ColorRole.WindowText)
            self._accent = palette.color(QPalette.ColorRole.Highlight)
        self._canvas.setBackground(self._background)
        self._canvas.viewport().update()

    def _draw_overlay(self, painter: QPainter) -> None:
        """Draw what lies over the pictures: captions, the hint, the wipe line, and the text of an empty view."""
        painter.setFont(self.font())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        canvas = QRectF(self._canvas.viewport().rect())
        if not self._has_picture():
            self._draw_empty(painter, canvas, self._hints[0], is_target=self._takes_drops)
        else:
            self._draw_captions(painter)
            if self._has_wipe_line():
                self._draw_wipe_line(painter)
            if self.judged_at_fit:
                hint = "Noise is judged at 100 %: press 1"
                self._draw_caption(painter, canvas, hint, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
        if self._has_focus_ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._accent, 2))
            painter.drawRect(canvas.adjusted(1, 1, -1, -1))

    def _draw_captions(self, painter: QPainter) -> None:
        top_left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        is_flipped = self._shows_original and self._after is not None
        before, after = self._labels
        shown_after = before if is_flipped or self._after is None else after
        first = QRectF(self._pane_rect(0))
        if self._pane_count() == 2:
            second = QRectF(self._pane_rect(1))
            if self._before is not None:
                self._draw_caption(painter, first, before, top_left)
            if self._items[1].picture is not None:
                self._draw_caption(painter, second, shown_after, top_left, is_marked=is_flipped)
            else:
                self._draw_empty(painter, second, self._hints[1])
        elif self._has_wipe_line() and not is_flipped:
            line = self._wipe_line()
            if self._wipe_is_vertical:
                far = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
                sides = QRectF(first.left(), first.top(), line, first.height()), QRectF(first).adjusted(line, 0, 0, 0)
            else:
                far = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
                sides = QRectF(first.left(), first.top(), first.width(), line), QRectF(first).adjusted(0, line, 0, 0)
            self._draw_caption(painter, sides[0], before, top_left)
            self._draw_caption(painter, sides[1], after, far)
        else:
            self._draw_caption(painter, first, shown_after, top_left, is_marked=is_flipped)

    def _draw_caption(
        self, painter: QPainter, area: QRectF, text: str, align: Qt.AlignmentFlag, *, is_marked: bool = False
    ) -> None:
        """Draw a text on a dark plate in a corner of an area, cut with an ellipsis where the area is too narrow."""
        metrics = painter.fontMetrics()
        pad = 7
        room = int(area.width()) - 2 * (_CAPTION_MARGIN + pad)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        width, height = metrics.horizontalAdvance(text) + 2 * pad, metrics.height() + 6
        if not text or room < metrics.averageCharWidth() * 4 or area.height() < height + 2 * _CAPTION_MARGIN:
            return
        inner = area.adjusted(_CAPTION_MARGIN, _CAPTION_MARGIN, -_CAPTION_MARGIN, -_CAPTION_MARGIN)
        left = inner.right() - width if align & Qt.AlignmentFlag.AlignRight else inner.left()
        top = inner.bottom() - height if align & Qt.AlignmentFlag.AlignBottom else inner.top()
        plate = QRectF(left, top, width, height)
        painter.setPen(QPen(self._accent, 2) if is_marked else Qt.PenStyle.NoPen)
        painter.setBrush(_CAPTION_BACKGROUND)
        painter.drawRoundedRect(plate, 4, 4)
        painter.setPen(_CAPTION_TEXT)
        painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)

    def _draw_empty(self, painter: QPainter, area: QRectF, text: str, *, is_target: bool = False) -> None:
        muted = QColor(self._text)
        muted.setAlphaF(0.75)
        if is_target:
            font = self.font()
            font.setPointSizeF(max(1.0, font.pointSizeF()) * 1.4)
            painter.setFont(font)
            size = painter.fontMetrics().size(0, text)
            frame = QRectF(0, 0, size.width() + 120, size.height() + 90).intersected(area.adjusted(8, 8, -8, -8))
            frame.moveCenter(area.center())
            painter.setBrush(Qt.BrushStyle.NoBrush)
            outline = QColor(muted)
            outline.setAlphaF(0.4)
            painter.setPen(QPen(outline, 2, Qt.PenStyle.DashLine))
            painter.drawRoundedRect(frame, 10, 10)
        painter.setPen(muted)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)

    def _draw_wipe_line(self, painter: QPainter) -> None:
        pane, line = QRectF(self._pane_rect(0)), float(self._wipe_line())
        if self._wipe_is_vertical:
            stroke = QLineF(line, pane.top(), line, pane.bottom())
        else:
            stroke = QLineF(pane.left(), line, pane.right(), line)
        # White in a dark rim shows on any picture.
        for color, width in ((QColor(0, 0, 0, 150), 4), (QColor(255, 255, 255), 2)):
            painter.setPen(QPen(color, width))
            painter.drawLine(stroke)
        middle = stroke.center()
        painter.setPen(QPen(QColor(255, 255, 255), 2))
        painter.setBrush(QColor(0, 0, 0, 170))
        painter.drawEllipse(middle, _GRIP_RADIUS, _GRIP_RADIUS)
        for sign in (-1, 1):
            tip, back = sign * 8.0, sign * 3.5
            arrow = [(back, -4.0), (tip, 0.0), (back, 4.0)]
            points = [QPointF(*(place if self._wipe_is_vertical else place[::-1])) + middle for place in arrow]
            painter.drawPolyline(points)

    def _is_on_wipe_line(self, position: QPointF) -> bool:
        if not self._has_wipe_line():
            return False
        pane, line = self._pane_rect(0), self._wipe_line()
        middle = QPointF(line, pane.height() / 2) if self._wipe_is_vertical else QPointF(pane.width() / 2, line)
        from_middle = position - middle
        across = from_middle.x() if self._wipe_is_vertical else from_middle.y()
        return abs(across) <= _GRAB_DISTANCE or math.hypot(from_middle.x(), from_middle.y()) <= _GRIP_RADIUS + 2

    def _drag_wipe_to(self, position: QPointF) -> None:
        pane = self._pane_rect(0)
        along = position.x() / pane.width() if self._wipe_is_vertical else position.y() / pane.height()
        self.set_wipe_position(along)


class _Canvas(pg.GraphicsView):
    """Turns mouse and wheel into calls of the view, and draws the overlay; drops and menus go on to the window."""

    def __init__(self, view: CompareView) -> None:
        super().__init__(view)
        self._view = view
        self._drag: str | None = None
        self._last = QPointF()
        self.hover: QPointF | None = None
        self.setCacheMode(self.CacheModeFlag(0))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.setStyleSheet("QGraphicsView { border: 0; padding: 0; }")
        for widget in (self, self.viewport()):
            widget.setAcceptDrops(False)
        self.viewport().setMouseTracking(True)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if event is not None:  # pyqtgraph calls this itself, without an event, while it is being made
            self._view._replace_view()

    def drawForeground(self, painter: QPainter, rect: QRectF) -> None:
        self._view._draw_overlay(painter)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.NativeGesture and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self._view._zoom_about(max(0.1, 1 + event.value()), event.position())
            return True
        return super().viewportEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        notches = event.angleDelta().y() / 120
        if notches:
            self._view._zoom_about(_WHEEL_STEP**notches, event.position())
            self._track(event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._view.setFocus(Qt.FocusReason.MouseFocusReason)
        self._last = event.position()
        if event.button() == Qt.MouseButton.LeftButton and self._view._is_on_wipe_line(event.position()):
            self._drag = "wipe"
        elif event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._drag = "pan"
        else:
            event.ignore()
            return
        self._update_cursor(event.position())
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag == "wipe":
            self._view._drag_wipe_to(event.position())
        elif self._drag == "pan":
            moved = event.position() - self._last
            self._view.pan(-moved.x(), -moved.y())
            self._last = event.position()
        self._track(event.position())
        self._update_cursor(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag = None
        self._update_cursor(event.position())
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
        elif self._view._is_on_wipe_line(event.position()):
            self._view.turn_wipe()
        else:
            self._track(event.position())
            self._view.toggle_fit()

    def leaveEvent(self, event: QEvent) -> None:
        self._track(None)

    def _track(self, position: QPointF | None) -> None:
        self.hover = position
        self._view._report_cursor(position)

    def _update_cursor(self, position: QPointF) -> None:
        if self._drag == "wipe" or (self._drag is None and self._view._is_on_wipe_line(position)):
            vertical = self._view.wipe_is_vertical
            shape = Qt.CursorShape.SplitHCursor if vertical else Qt.CursorShape.SplitVCursor
        elif self._drag == "pan":
            shape = Qt.CursorShape.ClosedHandCursor
        else:
            shape = Qt.CursorShape.ArrowCursor
        if self.viewport().cursor().shape() != shape:
            self.viewport().setCursor(shape)


class _PictureItem(QGraphicsItem):
    """A picture in a pane; one unit of its coordinates is one picture pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: _Picture | None = None
        self.pane: pg.ViewBox | None = None
        self.clip = QRectF()
        self.is_draft = False
        # Without this flag Qt hands the whole picture as exposed to every paint.
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def set_picture(self, picture: _Picture | None) -> None:
        self.prepareGeometryChange()
        self.picture = picture

    def boundingRect(self) -> QRectF:
        if self.picture is None:
            return QRectF()
        return QRectF(0, 0, *self.picture.size)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if self.picture is None:
            return
        to_device = painter.deviceTransform()
        exposed = to_device.mapRect(option.exposedRect)
        zoom = round(to_device.m11(), 9)
        origin = QPoint(round(to_device.dx()), round(to_device.dy()))
        painter.save()
        painter.resetTransform()
        base = painter.deviceTransform()
        # From here on one unit is one pixel of the screen: nothing is resampled twice.
        painter.setTransform(base.inverted()[0])
        visible = _whole_pixels(base.mapRect(self.clip)) & exposed.toAlignedRect()
        if not visible.isEmpty():
            painter.setClipRect(visible)
            self.picture.draw(painter, zoom, origin, visible, is_draft=self.is_draft)
        painter.restore()


class _Picture:
    """A pyramid, and those of its tiles that were last on the screen, ready to be drawn."""

    def __init__(self, pixels: np.ndarray | Pyramid) -> None:
        self.pyramid = pixels if isinstance(pixels, Pyramid) else Pyramid(pixels)
        self._zoom = 0.0
        self._is_draft = False
        self._tiles: dict[tuple[int, int], tuple[QImage, np.ndarray]] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pyramid.width, self.pyramid.height

    def copy(self) -> _Picture:
        return _Picture(self.pyramid.copy())

    def replace(self, pixels: np.ndarray, x: int, y: int) -> None:
        self.pyramid.replace(pixels, x, y)
        if self._tiles:
            for key in self.pyramid.tiles_over(self._zoom, x, y, x + pixels.shape[1], y + pixels.shape[0]):
                self._tiles.pop(key, None)

    def draw(self, painter: QPainter, zoom: float, origin: QPoint, visible: QRect, *, is_draft: bool) -> None:
        """Draw what falls into `visible`, in screen pixels, with the picture's corner at `origin`."""
        if zoom < 1:
            if (zoom, is_draft) != (self._zoom, self._is_draft):
                self._tiles.clear()
                self._zoom, self._is_draft = zoom, is_draft
            self._draw_averaged(painter, origin, visible)
        else:
            self._draw_pixels(painter, zoom, origin, visible)

    def _draw_pixels(self, painter: QPainter, zoom: float, origin: QPoint, visible: QRect) -> None:
        left = max(0, math.floor((visible.left() - origin.x()) / zoom))
        top = max(0, math.floor((visible.top() - origin.y()) / zoom))
        right = min(self.pyramid.width, math.ceil((visible.right() + 1 - origin.x()) / zoom))
        bottom = min(self.pyramid.height, math.ceil((visible.bottom() + 1 - origin.y()) / zoom))
        if left >= right or top >= bottom:
            return
        image, _keep = _drawable(self.pyramid.read(0, top, bottom, left, right))
        if zoom == 1:
            painter.drawImage(QPoint(origin.x() + left, origin.y() + top), image)
            return
        target = QRectF(origin.x() + left * zoom, origin.y() + top * zoom, (right - left) * zoom, (bottom - top) * zoom)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(target, image, QRectF(image.rect()))

    def _draw_averaged(self, painter: QPainter, origin: QPoint, visible: QRect) -> None:
        shown_width, shown_height = self.pyramid.shown_size(self._zoom)
        area = visible.translated(-origin) & QRect(0, 0, shown_width, shown_height)
        if area.isEmpty():
            return
        keys = [
            (column, row)
            for row in range(area.top() // TILE, area.bottom() // TILE + 1)
            for column in range(area.left() // TILE, area.right() // TILE + 1)
        ]
        missing = [key for key in keys if key not in self._tiles]
        if missing:
            self.pyramid.prepare(self._zoom, is_draft=self._is_draft)
            # OpenCV does not split a resize as small as a tile over threads, but releases the GIL. Starting the threads
            # anew costs 0.2 ms; none is left to be waited for when the program ends.
            with ThreadPoolExecutor(min(len(missing), _RENDER_THREADS), thread_name_prefix="tile") as threads:
                self._tiles.update(zip(missing, threads.map(self._rendered, missing), strict=True))
        for key in keys:
            # Back in at the end: the tiles longest unseen come first and are the first to go.
            tile = self._tiles[key] = self._tiles.pop(key)
            painter.drawImage(QPoint(origin.x() + key[0] * TILE, origin.y() + key[1] * TILE), tile[0])
        for key in list(self._tiles)[: max(0, len(self._tiles) - max(32, 2 * len(keys)))]:
            del self._tiles[key]

    def _rendered(self, key: tuple[int, int]) -> tuple[QImage, np.ndarray]:
        return _drawable(self.pyramid.tile(self._zoom, *key, is_draft=self._is_draft))


def _drawable(pixels: np.ndarray) -> tuple[QImage, np.ndarray]:
    """(h, w, C) uint8 as an image in the screen's own format, and the memory it lies in, to be kept as long."""
    conversion = cv2.COLOR_RGB2BGRA if pixels.shape[2] == 3 else cv2.COLOR_GRAY2BGRA
    memory = cv2.cvtColor(pixels, conversion)
    return QImage(memory.data, memory.shape[1], memory.shape[0], memory.strides[0], QImage.Format.Format_RGB32), memory


def _whole_pixels(rect: QRectF) -> QRect:
    """The rectangle with each edge at the nearest whole pixel, so that neighbours meet."""
    left, top = round(rect.left()), round(rect.top())
    return QRect(left, top, round(rect.right()) - left, round(rect.bottom()) - top)


def _kept_inside(centre: float, shown: float, size: float) -> float:
    """A centre of `shown` pixels that leaves no part of the view empty, or the middle where the whole fits in."""
    if shown >= size:
        return size / 2
    return min(size - shown / 2, max(shown / 2, centre))
