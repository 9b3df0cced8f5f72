"""Panes that show pictures at one zoom and one place; the wheel zooms, dragging and the arrow keys pan."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, QSizeF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPolygonF,
    QResizeEvent,
    QTransform,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app.compare.picture import Picture
from app.compare.place import Place

GAP = 2
"""Logical pixels between panes; all are exactly as large as each other."""

_WHEEL_STEP = math.sqrt(2)
"""Zoom factor of one notch of the wheel: two notches double."""

ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


@dataclass(frozen=True)
class Layer:
    """A picture in a pane.

    Attributes:
        picture: what is drawn.
        half: the part of the pane where it is seen, in logical pixels; all of it without.
    """

    picture: Picture
    half: QPolygonF | None = None


class Canvas(QWidget):
    """Panes with one zoom and one place.

    Zoom is in device pixels per picture pixel: at 1.0 one picture pixel is one pixel of the screen, whatever the
    screen's scaling. Below 1 areas are averaged, from 1 on single pixels are shown. All use is on the GUI thread.
    A subclass says where the panes are, what they show, and draws over them.
    """

    viewport_changed = Signal(object)
    """(x0, y0, x1, y1), ints: the visible part of the picture, about 50 ms after it came to rest."""

    cursor_moved = Signal(object)
    """(x, y), ints: the picture pixel under the cursor; None where there is none."""

    zoom_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.background = QColor(32, 32, 32)
        self._place = Place()
        self._is_fitted = True
        self._is_draft = False
        self._hover: QPointF | None = None
        self._pan_from: QPointF | None = None
        self._last_viewport: tuple[int, int, int, int] | None = None
        self._last_cursor: tuple[int, int] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 120)

        self._viewport_timer = QTimer(self)
        self._viewport_timer.setSingleShot(True)
        self._viewport_timer.setInterval(50)
        self._viewport_timer.timeout.connect(self._report_viewport)

        # Set while the zoom changes step after step; ends by itself.
        self._draft_timer = QTimer(self)
        self._draft_timer.setSingleShot(True)
        self._draft_timer.setInterval(120)
        self._draft_timer.timeout.connect(self._finish_draft)

        # Between two paintings, of which each does a part well, other events have their turn.
        self._more_timer = QTimer(self)
        self._more_timer.setSingleShot(True)
        self._more_timer.setInterval(0)
        self._more_timer.timeout.connect(self.update)

    def panes(self) -> list[QRect]:
        """Where the panes are, in logical pixels; all of one size."""
        raise NotImplementedError

    def layers(self, pane: int) -> list[Layer]:
        """What a pane shows, the lowest first; empty while there is no picture."""
        raise NotImplementedError

    def has_picture(self) -> bool:
        """Whether there is anything to zoom and to pan."""
        raise NotImplementedError

    def draw_over(self, painter: QPainter) -> None:
        """Draw what lies over the pictures, in logical pixels."""

    def sizeHint(self) -> QSize:
        """Room for two pictures side by side."""
        return QSize(900, 600)

    @property
    def zoom(self) -> float:
        """Device pixels per picture pixel."""
        return self._place.zoom

    @property
    def is_fitted(self) -> bool:
        """Whether the picture is fitted to the view, and stays so when the view is resized."""
        return self._is_fitted

    @property
    def judged_at_fit(self) -> bool:
        """Whether the picture is shown below 100 %, where averaging hides a part of its noise."""
        return self.has_picture() and self.zoom < 1

    def fit(self) -> None:
        """Show the whole picture as large as it fits; small pictures are enlarged by whole factors only."""
        self._is_fitted = True
        self._move(self._place.fitting_zoom(), self._place.middle())

    def zoom_to(self, factor: float, centre: tuple[float, float] | None = None) -> None:
        """Zoom to device pixels per picture pixel, 1.0 = 100 %, within MIN_ZOOM and MAX_ZOOM.

        `centre` is the place in the picture, (x, y), that comes to the middle of the view; without it the middle stays.
        """
        self._is_fitted = False
        self._move(factor, self._place.centre if centre is None else QPointF(*centre))

    def zoom_in(self) -> None:
        """Zoom in by one notch of the wheel, about the middle."""
        self.zoom_about(_WHEEL_STEP, None)

    def zoom_out(self) -> None:
        """Zoom out by one notch of the wheel, about the middle."""
        self.zoom_about(1 / _WHEEL_STEP, None)

    def toggle_fit(self) -> None:
        """From fit to 100 % at the cursor, from anything else to fit."""
        if self._is_fitted:
            self.zoom_about(1 / self.zoom, self._hover)
        else:
            self.fit()

    def pan(self, dx: float, dy: float) -> bool:
        """Move the visible part by logical pixels of the screen; False where the picture's edge forbids any move."""
        before, scale = self._place.centre, self._place.scale
        self._move(self.zoom, QPointF(before.x() + dx / scale, before.y() + dy / scale))
        return self._place.centre != before

    def viewport(self) -> tuple[int, int, int, int] | None:
        """(x0, y0, x1, y1): the picture pixels that are at least partly visible, ends exclusive; None if empty."""
        return self._place.pixels() if self.has_picture() else None

    def event(self, event: QEvent) -> bool:
        """Keep the zoom in device pixels on a screen of another scaling; zoom by a gesture of the touch pad."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self.replace_view()
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.zoom_about(max(0.1, 1 + event.value()), event.position())
            return True
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the place, or the whole picture in view."""
        super().resizeEvent(event)
        self.replace_view()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the cursor."""
        notches = event.angleDelta().y() / 120
        if notches:
            self.zoom_about(_WHEEL_STEP**notches, event.position())
            self.track(event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to pan."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._pan_from = event.position()
            self.update_cursor(event.position())
            event.accept()
        else:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan while a button is held."""
        if self._pan_from is not None:
            moved = event.position() - self._pan_from
            self._pan_from = event.position()
            self.pan(-moved.x(), -moved.y())
        self.track(event.position())
        self.update_cursor(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End panning."""
        self._pan_from = None
        self.update_cursor(event.position())
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Go from fit to 100 % under the cursor, or back."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.track(event.position())
            self.toggle_fit()
        else:
            event.ignore()

    def leaveEvent(self, event: QEvent) -> None:
        """There is no pixel under the cursor any more."""
        self.track(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pan with the arrow keys; leave all else to the window."""
        direction = ARROWS.get(Qt.Key(event.key()))
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if direction is None or not plain or not self.has_picture():
            event.ignore()
            return
        # At the edge the key goes on to the window, which may turn to the next picture with it.
        pane = self._place.pane
        event.setAccepted(self.pan(direction[0] * pane.width() / 8, direction[1] * pane.height() / 8))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the pictures of each pane, and what lies over them."""
        painter = QPainter(self)
        try:
            painter.fillRect(event.rect(), self.background)
            is_final = True
            for index, pane in enumerate(self.panes()):
                for layer in self.layers(index):
                    is_final &= self._draw_layer(painter, QRectF(pane), layer, QRectF(event.rect()))
            if is_final or self._is_draft:
                self._more_timer.stop()
            else:
                self._more_timer.start()
            painter.setFont(self.font())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.draw_over(painter)
        finally:
            # Qt ends the process if an error leaves a painter at work.
            painter.end()

    def replace_view(self) -> None:
        """Keep the place after the panes, their size or the screen's pixel ratio changed."""
        self._place.pane = QSizeF(self.panes()[0].size())
        self._place.ratio = self.devicePixelRatioF()
        if self._is_fitted:
            self.fit()
        else:
            self._move(self.zoom, self._place.centre)

    def replace_size(self, size: tuple[int, int] | None) -> None:
        """Take the size of the pictures; another one is fitted to the view.

        Without a picture the size of the last stays known, so that the next one can take its place.
        """
        if size is not None and size != self._place.size:
            self._place.size = size
            self._last_viewport = None
            self.fit()
        if size is not None:
            self._viewport_timer.start()
        self.update()

    def update_region(self, picture: Picture, region: QRectF) -> None:
        """Repaint a part of a picture, in picture pixels, wherever it is shown."""
        margin = max(1.0, 3 / self.zoom)
        region = region.adjusted(-margin, -margin, margin, margin)
        for index, pane in enumerate(self.panes()):
            if any(layer.picture is picture for layer in self.layers(index)):
                self.update(self.transform(index).mapRect(region).toAlignedRect() & pane)

    def transform(self, pane: int) -> QTransform:
        """From picture pixels to where they are in a pane, in logical pixels of the view."""
        corner, scale = QPointF(self.panes()[pane].topLeft()), self._place.scale
        start = corner - self._place.visible().topLeft() * scale
        return QTransform(scale, 0, 0, scale, start.x(), start.y())

    def pane_at(self, position: QPointF) -> int:
        """Index of the pane under a place of the view; the first where there is none."""
        return next((i for i, pane in enumerate(self.panes()) if QRectF(pane).contains(position)), 0)

    def to_picture(self, position: QPointF) -> QPointF:
        """The place in the picture under a place of the view."""
        pane = self.panes()[self.pane_at(position)]
        return self._place.to_picture(position - QPointF(pane.topLeft()))

    def track(self, position: QPointF | None) -> None:
        """Report the pixel under the cursor."""
        self._hover = position
        cursor = None
        if position is not None and self.has_picture() and self._place.size is not None:
            place = self.to_picture(position)
            x, y = math.floor(place.x()), math.floor(place.y())
            if 0 <= x < self._place.size[0] and 0 <= y < self._place.size[1]:
                cursor = (x, y)
        if cursor != self._last_cursor:
            self._last_cursor = cursor
            self.cursor_moved.emit(cursor)

    def update_cursor(self, position: QPointF) -> None:
        """Give the mouse's cursor the shape of what a press would do, or does."""
        shape = self.cursor_shape(position)
        if self.cursor().shape() != shape:
            self.setCursor(shape)

    def cursor_shape(self, position: QPointF) -> Qt.CursorShape:
        """Which shape the mouse's cursor has at a place of the view."""
        return Qt.CursorShape.ArrowCursor if self._pan_from is None else Qt.CursorShape.ClosedHandCursor

    def _draw_layer(self, painter: QPainter, pane: QRectF, layer: Layer, exposed: QRectF) -> bool:
        """Draw a picture in its pane; False where a part is a draft."""
        painter.save()
        base = painter.deviceTransform()
        # From here on one unit is one pixel of the screen: nothing is resampled twice.
        painter.setTransform(base.inverted()[0])
        corner = base.map(pane.topLeft()) - self._place.visible().topLeft() * self.zoom
        visible = _whole_pixels(base.mapRect(pane)) & base.mapRect(exposed).toAlignedRect()
        if layer.half is not None:
            visible &= _whole_pixels(base.mapRect(layer.half.boundingRect()))
        is_final = True
        if not visible.isEmpty():
            painter.setClipRect(visible)
            if layer.half is not None and not _is_upright(layer.half):
                # Without antialiasing a pixel is inside if its centre is: every one is on one side of the line.
                path = QPainterPath()
                path.addPolygon(base.map(layer.half))
                painter.setClipPath(path, Qt.ClipOperation.IntersectClip)
            origin = QPoint(round(corner.x()), round(corner.y()))
            zoom = round(self.zoom, 9)
            is_final = layer.picture.draw(painter, zoom, origin, visible, is_draft=self._is_draft)
        painter.restore()
        return is_final

    def zoom_about(self, factor: float, position: QPointF | None) -> None:
        """Zoom by a factor so that the place under `position` stays there; None is the middle."""
        if self.has_picture():
            zoom, centre = self._place.zoomed(factor, None if position is None else self.to_picture(position))
            self._is_fitted = False
            self._move(zoom, centre)

    def _move(self, zoom: float, centre: QPointF) -> None:
        was = self.zoom
        self._place.move(zoom, centre)
        if self._place.size is not None:
            self._viewport_timer.start()
        self.update()
        if self.zoom != was:
            # One step is drawn well at once; a step that follows closely is a picture in motion.
            self._is_draft = self._draft_timer.isActive()
            self._draft_timer.start()
            self.zoom_changed.emit(self.zoom)

    def _finish_draft(self) -> None:
        if self._is_draft:
            self._is_draft = False
            self.update()

    def _report_viewport(self) -> None:
        viewport = self.viewport()
        if viewport is not None and viewport != self._last_viewport:
            self._last_viewport = viewport
            self.viewport_changed.emit(viewport)


def _is_upright(polygon: QPolygonF) -> bool:
    """Whether all sides of a polygon lie along the screen's."""
    points = polygon.toList()
    return all(a.x() == b.x() or a.y() == b.y() for a, b in zip(points, points[1:] + points[:1], strict=True))


def _whole_pixels(rect: QRectF) -> QRect:
    """The rectangle with each edge at the nearest whole pixel, so that neighbours meet."""
    left, top = round(rect.left()), round(rect.top())
    return QRect(left, top, round(rect.right()) - left, round(rect.bottom()) - top)
