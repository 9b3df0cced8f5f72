"""Which part of a picture is on the screen, and how large: one zoom and one place for all panes of a view."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSizeF

MIN_ZOOM, MAX_ZOOM = 0.01, 32.0


class Place:
    """Zoom and middle of what every pane shows; no pane, no widget, only their size.

    Attributes:
        size: width and height of the picture in its pixels; None before there was any.
        pane: size of each pane in logical pixels.
        ratio: device pixels per logical pixel.
        zoom: device pixels per picture pixel.
        centre: the place in the picture that is in the middle of a pane.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.pane = QSizeF(1, 1)
        self.ratio = 1.0
        self.zoom = 1.0
        self.centre = QPointF(0, 0)

    @property
    def scale(self) -> float:
        """Logical pixels per picture pixel."""
        return self.zoom / self.ratio

    def visible(self) -> QRectF:
        """What a pane shows, in picture pixels; may reach over the picture's edges."""
        width, height = self.pane.width() / self.scale, self.pane.height() / self.scale
        # Whole screen pixels, so that all panes and every tile fall on the screen's own grid; a half always up, or the
        # picture would move by a pixel more or less than the mouse.
        left = math.floor((self.centre.x() - width / 2) * self.zoom + 0.5) / self.zoom
        top = math.floor((self.centre.y() - height / 2) * self.zoom + 0.5) / self.zoom
        return QRectF(left, top, width, height)

    def pixels(self) -> tuple[int, int, int, int] | None:
        """(x0, y0, x1, y1): the picture pixels that are at least partly visible, ends exclusive."""
        if self.size is None:
            return None
        visible = self.visible()
        width, height = self.size
        # A place is exact to a screen pixel; a millionth of one more must not count as a visible picture pixel.
        slack = 1e-6
        return (
            max(0, math.floor(visible.left() + slack)),
            max(0, math.floor(visible.top() + slack)),
            min(width, math.ceil(visible.right() - slack)),
            min(height, math.ceil(visible.bottom() - slack)),
        )

    def to_picture(self, position: QPointF) -> QPointF:
        """The place in the picture under a place in a pane, in logical pixels from the pane's corner."""
        return self.visible().topLeft() + position / self.scale

    def middle(self) -> QPointF:
        """The middle of the picture."""
        width, height = self.size or (0, 0)
        return QPointF(width / 2, height / 2)

    def fitting_zoom(self) -> float:
        """At which the whole picture is in a pane; small ones are enlarged by whole factors only."""
        if self.size is None:
            return 1.0
        zoom = min(self.pane.width() * self.ratio / self.size[0], self.pane.height() * self.ratio / self.size[1])
        return zoom if zoom < 1 else float(math.floor(zoom))

    def move(self, zoom: float, centre: QPointF) -> None:
        """Show this zoom around this place, as near as the limits and the picture's edges allow."""
        zoom = float(min(MAX_ZOOM, max(MIN_ZOOM, zoom)))
        self.zoom = float(round(zoom)) if abs(zoom - round(zoom)) < 1e-9 else zoom
        width, height = self.size or (0, 0)
        x = _kept_inside(centre.x(), self.pane.width() / self.scale, width)
        y = _kept_inside(centre.y(), self.pane.height() / self.scale, height)
        self.centre = QPointF(x, y)

    def zoomed(self, factor: float, anchor: QPointF | None) -> tuple[float, QPointF]:
        """Zoom and centre a factor nearer, which leave a place of the picture where it is; 100 % is never passed by."""
        zoom = self.zoom * factor
        if (self.zoom < 1 < zoom) or (zoom < 1 < self.zoom) or abs(zoom - 1) < 1e-6:
            zoom = 1.0
        zoom = min(MAX_ZOOM, max(MIN_ZOOM, zoom))
        if anchor is None:
            return zoom, self.centre
        return zoom, anchor + (self.centre - anchor) * (self.zoom / zoom)


def _kept_inside(centre: float, shown: float, size: float) -> float:
    """A centre of `shown` pixels that leaves no part of the view empty, or the middle where the whole fits in."""
    if shown >= size:
        return size / 2
    return min(size - shown / 2, max(shown / 2, centre))
