"""The view that compares: before and after side by side, stacked, under a wipe line or alone, and up to four results.

A plain widget: 8-bit pixels in, signals out. It knows no image file, no method and no workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from PySide6.QtCore import QEvent, QLineF, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPalette,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from app.compare.canvas import ARROWS
from app.compare.comparison import Comparison
from app.compare.hatching import MarkedAreas, MarkedRects, Screen, label_place
from app.compare.loupe import draw_loupe, loupe_area, loupe_zoom
from app.compare.overlay import (
    BOTTOM_LEFT,
    BOTTOM_RIGHT,
    TOP_LEFT,
    Tints,
    draw_caption,
    draw_empty,
    draw_mark,
    draw_wipe_captions,
)
from app.compare.picture import Picture
from app.compare.shapes import draw_box, draw_brush, draw_line, draw_plate, draw_stroke
from app.compare.tools import Ends, Tools, line_label, size_label
from engine.areas import Area, Areas
from engine.language import tr, trn

_GRAB = 9.0
"""Logical pixels within which a handle or a line is taken hold of."""

_KEY_STEP = 8.0
"""Logical pixels that a key moves what a tool draws; at least one picture pixel."""

_KEY_TURN = 5.0
"""Degrees that a key or a notch of the wheel turns the wipe line."""

_ALT = Qt.KeyboardModifier.AltModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_NONE = Qt.KeyboardModifier.NoModifier


class CompareView(Comparison):
    """Pictures of one scene: the noisy one, its result, or up to four results.

    Keys, while it has the focus: the arrow keys pan. Shift and the arrow keys move the wipe line. Alt and the arrow
    keys move what the tool in use draws (with Shift its far corner or end); without a tool they turn the wipe line, or
    move the mark of the grid. Return sets the rectangle or a dab of the brush, or chooses the marked result; Delete
    removes what the tool drew; Escape leaves the tool; the space bar, held, pans in any tool.
    """

    grid_chosen = Signal(int)
    """Index of the result that was clicked, or chosen with Return."""

    loupe_changed = Signal(bool)

    tool_changed = Signal(str)

    region_changed = Signal(object)
    """(x0, y0, x1, y1), ints, ends exclusive, or None; also while it is dragged."""

    line_changed = Signal(object)
    """(x0, y0, x1, y1), floats, or None; also while it is dragged."""

    place_drawn = Signal(object)
    """An Area in picture pixels whose strength is not set yet."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drags_wipe = False
        self._turn_pivot: tuple[QPointF, bool] | None = None
        self._click_from: QPointF | None = None
        self._was_choice = False
        self._drag_pane = 0
        self._holds_space = False
        self._has_loupe = False
        self._lens_area = QRect()
        self._areas: MarkedAreas | None = None
        self._marks: MarkedRects | None = None
        self._marks_text = ""
        self._labels = (tr("Before"), tr("After"))
        self._hints = (tr("Drop pictures or a folder here"), tr("Not denoised yet"))
        self._takes_drops = True
        self._own_tints: Tints | None = None
        self._has_focus_ring = False
        self._tools = Tools(self)
        self._tools.tool_changed.connect(self._apply_tool)
        self._tools.region_changed.connect(self.region_changed)
        self._tools.line_changed.connect(self.line_changed)
        self._tools.place_drawn.connect(self.place_drawn)
        self._tools.changed.connect(self.update)
        self._tools.changed.connect(self.describe)
        self.setAccessibleName(tr("Before and after view"))
        self._apply_tints()
        self.apply_mode()

    @property
    def loupe(self) -> bool:
        """Whether a lens shows the place under the cursor enlarged, before and after."""
        return self._has_loupe

    def set_loupe(self, on: bool) -> None:
        """Show a lens at the cursor, or in the middle of the view where there is none, or no longer."""
        if on != self._has_loupe:
            self._has_loupe = on
            self.describe()
            self.update()
            self.loupe_changed.emit(on)

    @property
    def tool(self) -> str:
        """One of TOOLS."""
        return self._tools.tool

    def set_tool(self, tool: str) -> None:
        """Let the mouse "pan", draw a "region", a "line", or with a "brush" or as a "rectangle" a place."""
        self._tools.choose(tool)

    @property
    def region(self) -> tuple[int, int, int, int] | None:
        """(x0, y0, x1, y1) of the region, ends exclusive."""
        return self._tools.region

    def set_region(self, rect: tuple[float, float, float, float] | None) -> None:
        """Set the region, rounded to whole pixels inside the picture; None removes it."""
        self._tools.set_region(rect)

    @property
    def line(self) -> Ends | None:
        """(x0, y0, x1, y1) of the line."""
        return self._tools.line

    def set_line(self, ends: Ends | None) -> None:
        """Set the line's ends, kept inside the picture; None removes it."""
        self._tools.set_line(ends)

    @property
    def brush_radius(self) -> float:
        """Of the brush, in picture pixels."""
        return self._tools.radius

    def set_brush_radius(self, radius: float) -> None:
        """Set the brush's radius in picture pixels."""
        self._tools.set_radius(radius)

    def set_areas(self, areas: Areas | None) -> None:
        """Show the places with a strength of their own."""
        self._areas = MarkedAreas(areas) if areas is not None and areas.places else None
        self.describe()
        self.update()

    def set_marks(self, rects: np.ndarray | Iterable[tuple[float, float, float, float]], text: str) -> None:
        """Mark rectangles (x0, y0, x1, y1) of the picture on the side of after, and say with its caption what they are.

        Those that meet have one outline. Without any nothing is said either.
        """
        marks = MarkedRects(rects if isinstance(rects, np.ndarray) else np.array(list(rects), np.float64))
        self._marks, self._marks_text = (marks, text) if marks.count else (None, "")
        self.describe()
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

    def event(self, event: QEvent) -> bool:
        """Keep the keys that mean something here from the shortcuts of the window."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride and self._action_of(event):
            event.accept()
            return True
        return super().event(event)

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
        self._has_focus_ring = self._holds_space = False
        self.update()
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Do what the key means here; pan with the arrow keys; leave all else to the window."""
        action = self._action_of(event)
        if action is None:
            super().keyPressEvent(event)
        else:
            action()
            event.accept()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End panning with the space bar."""
        if event.key() == Qt.Key.Key_Space and self._holds_space and not event.isAutoRepeat():
            self._holds_space = False
            self._show_cursor()
        else:
            super().keyReleaseEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turn the wipe line with Shift, else zoom about the cursor."""
        if event.modifiers() & _SHIFT and self.has_wipe_line():
            # Some systems make of a wheel with Shift one that goes sideways.
            delta = event.angleDelta().y() or event.angleDelta().x()
            self.turn_wipe(_KEY_TURN * delta / 120)
            event.accept()
        else:
            super().wheelEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the wipe line, draw with the tool, or pan."""
        super().mousePressEvent(event)
        position = event.position()
        self._click_from, self._was_choice = None, False
        if event.button() != Qt.MouseButton.LeftButton or self._holds_space or not self.has_picture():
            return
        turns = self._turns_wipe(position) or (
            self.tool == "pan" and self.has_wipe_line() and event.modifiers() & Qt.KeyboardModifier.ControlModifier
        )
        if turns:
            stroke = self._wipe.stroke(self.only_pane())
            forward = QLineF(position, stroke.p2()).length() < QLineF(position, stroke.p1()).length()
            self._turn_pivot, self._pan_from = (stroke.center(), forward), None
        elif self._takes_wipe(position):
            self._drags_wipe, self._pan_from = True, None
        elif self.tool != "pan":
            self._pan_from, self._drag_pane = None, self.pane_at(position)
            self._tools.press(self.to_picture(position), _GRAB / self._place.scale)
        elif self._mode == "grid":
            self._click_from = position
        self.update_cursor(position)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with what the press began."""
        position = event.position()
        if self._turn_pivot is not None:
            pivot, forward = self._turn_pivot
            self._wipe.turn_about(pivot, position, forward=forward, pane=self.only_pane())
            self.describe()
            self.update()
        elif self._drags_wipe:
            self._wipe.move_to(position, self.only_pane())
            self.update()
        elif self._tools.is_dragging:
            self._tools.move(self._in_drag(position))
        # Whoever moves the mouse paints with it from here on.
        self._tools.spot = None
        if self._click_from is not None:
            away = (position - self._click_from).manhattanLength() >= QApplication.startDragDistance()
            self._click_from = None if away else self._click_from
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go; a click on a result of the grid chooses it."""
        is_left = event.button() == Qt.MouseButton.LeftButton
        clicked, self._click_from = self._click_from, None
        self._drags_wipe, self._turn_pivot = False, None
        if is_left and self._tools.is_dragging:
            self._tools.release()
        super().mouseReleaseEvent(event)
        if is_left and clicked is not None and self._mode == "grid":
            self._was_choice = True
            self.set_grid_mark(self.pane_at(clicked))
            self._choose()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Turn the wipe line, or go from fit to 100 % and back."""
        if event.button() == Qt.MouseButton.LeftButton and (
            self._takes_wipe(event.position()) or self._turns_wipe(event.position())
        ):
            self.turn_wipe()
        elif self.tool != "pan":
            self.mousePressEvent(event)
        elif not self._was_choice:
            super().mouseDoubleClickEvent(event)

    def cursor_shape(self, position: QPointF) -> Qt.CursorShape:
        """Say what a press would do."""
        if self._turn_pivot is not None or (self._is_free() and self._turns_wipe(position)):
            return Qt.CursorShape.PointingHandCursor
        if self._drags_wipe or (self._is_free() and self._takes_wipe(position)):
            return Qt.CursorShape.SplitHCursor if self.wipe_is_vertical else Qt.CursorShape.SplitVCursor
        if self._holds_space and self._pan_from is None:
            return Qt.CursorShape.OpenHandCursor
        if self.tool != "pan" and self._pan_from is None and self.has_picture():
            return self._tools.cursor_shape(self.to_picture(position), _GRAB / self._place.scale)
        return super().cursor_shape(position)

    def track(self, position: QPointF | None) -> None:
        """Move the lens and the brush with the cursor."""
        if self._has_loupe:
            self.update(self._lens_area.adjusted(-6, -6, 6, 6))
        elif self.tool == "brush":
            self.update()
        super().track(position)
        if self._has_loupe:
            self._lens_area = self._lens()
            self.update(self._lens_area.adjusted(-6, -6, 6, 6))

    def draw_over(self, painter: QPainter) -> None:
        """Draw places, marks, captions, the hint, the wipe line, tools and lens, or the text of an empty view."""
        whole = QRectF(self.rect())
        if not self.has_picture():
            draw_empty(painter, whole, self._hints[0], self._tints, is_target=self._takes_drops, font=self.font())
        else:
            for index in range(len(self.panes())):
                self._draw_in_pane(painter, index)
            self._draw_captions(painter)
            if self.has_wipe_line():
                self._wipe.draw(painter, self.only_pane())
            if self.judged_at_fit:
                draw_caption(painter, whole, tr("Noise is judged at 100 %: press 1"), BOTTOM_RIGHT)
            if self._has_loupe:
                self._draw_lens(painter)
        if self._has_focus_ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._tints.accent, 2))
            painter.drawRect(whole.adjusted(1, 1, -1, -1))

    def _draw_captions(self, painter: QPainter) -> None:
        panes = [QRectF(pane) for pane in self.panes()]
        is_flipped = self._shows_original and (self._after is not None or self._mode == "grid")
        mark = self._tints.accent if is_flipped else None
        before, after = self._labels
        if self._marks is not None and not is_flipped:
            after = f"{after}\n{self._marks_text}".strip("\n")
        shown_after = before if is_flipped or self._after is None else after
        if self._mode == "grid":
            for pane, cell in zip(panes, self._grid.cells, strict=True):
                draw_caption(painter, pane, before if is_flipped else cell.caption(), TOP_LEFT, mark)
            if len(panes) > 1:
                draw_mark(painter, panes[self._grid.mark], self._tints.accent)
        elif len(panes) == 2:
            if self._before is not None:
                draw_caption(painter, panes[0], before, TOP_LEFT)
            if self.layers(1):
                draw_caption(painter, panes[1], shown_after, TOP_LEFT, mark)
            else:
                draw_empty(painter, panes[1], self._hints[1], self._tints, font=self.font())
        elif self.has_wipe_line() and not is_flipped:
            draw_wipe_captions(painter, panes[0], self._wipe, before, after)
        else:
            draw_caption(painter, panes[0], shown_after, TOP_LEFT, mark)

    def _draw_in_pane(self, painter: QPainter, index: int) -> None:
        """Draw what has its place in the picture: areas, marks, region, line, rectangle and brush."""
        pane, screen = QRectF(self.panes()[index]), Screen(self._place)
        painter.save()
        painter.setClipRect(pane)
        has_result = self._mode in ("wipe", "after") or (self._mode in ("side", "stack") and index == 1)
        if self._areas is not None:
            # A stroke may reach beyond the picture, what it does cannot.
            picture = self.transform(index).mapRect(QRectF(0, 0, *(self._place.size or (0, 0)))).adjusted(-1, -1, 1, 1)
            self._draw_image(painter, pane, self._areas.image(screen, with_hatch=has_result), QPolygonF(picture))
            for area in self._areas.areas.places:
                shown = QRectF(label_place(area, screen))
                if not shown.isEmpty():
                    middle = pane.topLeft() + shown.center() / screen.ratio
                    draw_plate(painter, _strength(area), middle, pane, is_centred=True)
        if self._marks is not None and has_result and self._after is not None and not self._shows_original:
            half = self._wipe.halves(pane)[1] if self.has_wipe_line() else None
            self._draw_image(painter, pane, self._marks.image(screen), half)
        self._draw_tools(painter, index, pane)
        painter.restore()

    def _draw_image(self, painter: QPainter, pane: QRectF, image: QImage, half: QPolygonF | None = None) -> None:
        """Draw an image over a pane pixel by pixel, or over one side of the wipe line only."""
        painter.save()
        base = painter.deviceTransform()
        painter.setTransform(base.inverted()[0])
        if half is not None:
            path = QPainterPath()
            path.addPolygon(base.map(half))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setClipPath(path, Qt.ClipOperation.IntersectClip)
        painter.drawImage(base.map(pane.topLeft()).toPoint(), image)
        painter.restore()

    def _draw_tools(self, painter: QPainter, index: int, pane: QRectF) -> None:
        tools, to_screen = self._tools, self.transform(index)
        for tool, box in (("region", tools.region), ("rectangle", tools.rectangle)):
            if box is not None:
                shown = to_screen.mapRect(QRectF(QPointF(*box[:2]), QPointF(*box[2:])).normalized())
                label = size_label(box)
                draw_box(painter, shown, label, pane, with_handles=self.tool == tool)
        if tools.line is not None:
            shown = QLineF(to_screen.map(QPointF(*tools.line[:2])), to_screen.map(QPointF(*tools.line[2:])))
            draw_line(painter, shown, line_label(tools.line), pane, with_handles=self.tool == "line")
        if tools.stroke:
            draw_stroke(painter, tools.stroke, tools.radius, to_screen, self._place.scale)
        if self.tool == "brush":
            centre = None if tools.spot is None else QPointF(*tools.spot)
            if centre is None and self._hover is not None and self._pan_from is None:
                centre = self.to_picture(self._hover)
            if centre is not None:
                draw_brush(painter, to_screen.map(centre), tools.radius * self._place.scale)

    def _lens_centre(self) -> QPointF:
        return self._hover if self._hover is not None else QPointF(self.panes()[0].center())

    def _lens_pictures(self) -> list[tuple[Picture, str]]:
        """What the lens shows, with captions: before, and the result of the pane under it if there is one."""
        cell = self._grid.cells[self.pane_at(self._lens_centre())] if self._mode == "grid" else None
        result, name = (self._after, self._labels[1]) if cell is None else (cell.picture, cell.title)
        shown = ((self._before, self._labels[0]), (result, name))
        return [(picture, caption) for picture, caption in shown if picture is not None]

    def _lens(self) -> QRect:
        """Where the lens is."""
        is_beside = self.tool != "pan" or self._drags_wipe or self._turn_pivot is not None
        count = max(1, len(self._lens_pictures()))
        return loupe_area(self.rect(), self._lens_centre(), count, is_beside=is_beside and self._hover is not None)

    def _draw_lens(self, painter: QPainter) -> None:
        pictures = self._lens_pictures()
        if not pictures:
            return
        area = self._lens_area = self._lens()
        zoom = loupe_zoom(self.zoom)
        point = self.to_picture(self._lens_centre())
        draw_loupe(painter, area, [picture for picture, _ in pictures], point, zoom, self._tints.background)
        for index, (_, caption) in enumerate(pictures):
            square = QRectF(area.left() + index * area.height(), area.top(), area.height(), area.height())
            # The number is of more than what the lens shows.
            draw_caption(painter, square, caption.split(" · ")[0], TOP_LEFT)
        draw_caption(painter, QRectF(area), tr("{zoom:.0f} %").format(zoom=100 * zoom), BOTTOM_LEFT)

    def _action_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        """What a key does here in the present state; None if it means nothing."""
        if not self.has_picture():
            return None
        key, direction = event.key(), ARROWS.get(Qt.Key(event.key()))
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if direction is not None and modifiers in (_ALT, _ALT | _SHIFT):
            return self._action_of_alt(direction, far=bool(modifiers & _SHIFT))
        if direction is not None and modifiers == _SHIFT and self.has_wipe_line():
            return lambda: self._step_wipe(*direction)
        if modifiers != _NONE:
            return None
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.tool in ("brush", "rectangle"):
                return self._tools.accept
            return self._choose if self._mode == "grid" else None
        if self.tool == "pan":
            return None
        return {
            Qt.Key.Key_Escape: self._leave_tool,
            Qt.Key.Key_Delete: self._tools.remove,
            Qt.Key.Key_Space: self._hold_space,
        }.get(Qt.Key(key))

    def _action_of_alt(self, direction: tuple[int, int], *, far: bool) -> Callable[[], object] | None:
        dx, dy = direction
        if self.tool != "pan":
            step = max(1.0, round(_KEY_STEP / self._place.scale))
            shown = self._place.visible().intersected(QRectF(0, 0, *(self._place.size or (0, 0))))
            return lambda: self._tools.nudge(dx * step, dy * step, shown, far=far)
        if self._mode == "grid" and not far:
            return lambda: self._move_mark(dx, dy)
        if self.has_wipe_line() and not far:
            return lambda: self.turn_wipe(_KEY_TURN * (dx + dy))
        return None

    def _step_wipe(self, dx: int, dy: int) -> None:
        """Move the wipe line a step the way the arrow points, or forth and back where it points along the line."""
        normal = self._wipe.normal
        towards = dx * normal.x() + dy * normal.y()
        is_along = abs(towards) < 0.3
        self.set_wipe_position(self.wipe_position + 0.02 * (dx + dy if is_along else 1 if towards > 0 else -1))

    def _move_mark(self, dx: int, dy: int) -> None:
        self._grid.move_mark(dx, dy)
        self.describe()
        self.update()

    def _choose(self) -> None:
        self.grid_chosen.emit(self._grid.mark)

    def _leave_tool(self) -> None:
        if not self._tools.cancel():
            self.set_tool("pan")

    def _hold_space(self) -> None:
        self._holds_space = True
        self._show_cursor()

    def _show_cursor(self) -> None:
        if self._hover is not None:
            self.update_cursor(self._hover)

    def _apply_tool(self, tool: str) -> None:
        self._holds_space = False
        self._show_cursor()
        self.describe()
        self.tool_changed.emit(tool)

    def _in_drag(self, position: QPointF) -> QPointF:
        """The place under the mouse, seen from the pane where the drag began: it may lead into another."""
        pane = self._drag_pane if self._drag_pane < len(self.panes()) else 0
        return self._place.to_picture(position - QPointF(self.panes()[pane].topLeft()))

    def _is_free(self) -> bool:
        """Whether no button is held for anything."""
        return self._pan_from is None and not self._drags_wipe and not self._tools.is_dragging

    def _takes_wipe(self, position: QPointF) -> bool:
        """Whether a press takes hold of the wipe line: anywhere on it, or with a tool in use by its grip alone."""
        if not self.has_wipe_line() or self._holds_space:
            return False
        pane = self.only_pane()
        return self._wipe.grips_at(position, pane) or (self.tool == "pan" and self._wipe.is_at(position, pane))

    def _turns_wipe(self, position: QPointF) -> bool:
        return self.has_wipe_line() and not self._holds_space and self._wipe.turns_at(position, self.only_pane())

    def pictures_changed(self) -> None:
        """Give the tools the size of the pictures too."""
        super().pictures_changed()
        self._tools.set_size(self._place.size)

    def describe(self) -> None:
        """Say for screen readers what is shown and which keys there are."""
        said = [_SHOWN[self._mode]]
        if self._mode == "wipe":
            said[0] = said[0].format(angle=self._wipe.angle)
        if self._mode == "grid":
            cell, count = self._grid.cells[self._grid.mark], len(self._grid.cells)
            said[0] = trn("{count} result of one picture.", "{count} results of one picture.", count)
            said[0] = said[0].format(count=count)
            marked = ", ".join(cell.caption().split("\n"))
            said.append(tr("Number {number} has the mark: {marked}.").format(number=self._grid.mark + 1, marked=marked))
            said.append(tr("Alt and the arrow keys move the mark, Return chooses."))
        if self.tool == "pan":
            said.append(tr("The arrow keys pan."))
        else:
            drawn = self._tools.said()
            said.append(f"{_TOOL[self.tool]} {drawn}." if drawn else _TOOL[self.tool])
            said.append(tr("Escape leaves the tool."))
        if self._has_loupe:
            said.append(tr("A lens shows the place under the cursor, or the middle."))
        if self._areas is not None:
            count = len(self._areas.areas.places)
            text = trn("{count} place has its own strength.", "{count} places have their own strength.", count)
            said.append(text.format(count=count))
        if self._marks is not None:
            said.append(f"{self._marks_text}.")
        self.setAccessibleDescription(" ".join(said))

    def _apply_tints(self) -> None:
        palette = self.palette()
        # White around a picture makes it look darker than it is.
        grey = min(215, palette.color(QPalette.ColorRole.Window).lightness())
        text, accent = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Highlight)
        self._tints = self._own_tints or Tints(QColor(grey, grey, grey), text, accent)
        self.background = self._tints.background
        self.update()


_SHOWN = {
    "side": tr("Noisy and denoised picture, shown side by side."),
    "stack": tr("Noisy and denoised picture, shown one above the other."),
    "wipe": tr(
        "Noisy and denoised picture, shown under a wipe line at {angle:.0f} degrees. Shift and the arrow keys move the "
        "line, Alt and the arrow keys turn it."
    ),
    "after": tr("Denoised picture, shown alone."),
    "grid": "",
}

_TOOL = {
    "region": tr("Region tool. Alt and the arrow keys move it, with Shift its far corner, Delete removes it."),
    "line": tr("Line tool. Alt and the arrow keys move it, with Shift its far end, Delete removes it."),
    "brush": tr("Brush. Alt and the arrow keys move it, Return paints a dab."),
    "rectangle": tr("Rectangle tool. Alt and the arrow keys move it, with Shift its far corner, Return sets it."),
}


def _strength(area: Area) -> str:
    """The strength of a place in a word or a number."""
    return tr("{percent:.0f} %").format(percent=100 * area.strength) if area.strength else tr("Protected")
