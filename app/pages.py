"""The bar below the view on which the pages of a stack are chosen; pictures that are alone do not show it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QSpinBox, QWidget

from app.words import wrapped
from app.workspace import Workspace
from engine.language import tr
from engine.pages import Axes

_NAMES = {"Z": tr("slice"), "C": tr("channel"), "T": tr("point in time")}
"""What microscopes count."""


class PageBar(QWidget):
    """A slider and a number for the current picture's page, and where that lies along the axes of the stack."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(tr("Page"))
        self.slider.setPageStep(1)
        self.number = QSpinBox()
        self.number.setAccessibleName(tr("Number of the page"))
        self.number.setPrefix(tr("Page") + " ")
        self.number.setKeyboardTracking(False)
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.place = QLabel()
        self.place.setObjectName("muted")
        self.place.setAccessibleName(tr("Place in the stack"))
        tip = wrapped(
            tr("The pages of this file (PgUp, PgDn). What is set holds for all of them; the noise is measured anew.")
        )
        for widget in (self.slider, self.number):
            widget.setToolTip(tip)
            # Under a wheel that zooms or scrolls nothing is to be read.
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(self.number)
        row.addWidget(self.slider, 1)
        row.addWidget(self.place)

        self.slider.valueChanged.connect(lambda value: workspace.set_page(value - 1))
        self.number.valueChanged.connect(lambda value: workspace.set_page(value - 1))
        workspace.current_changed.connect(self.hide)
        workspace.picture_ready.connect(self.show_page)
        workspace.page_changed.connect(self.show_page)
        self.hide()

    def show_page(self) -> None:
        """The page that is asked for, of how many."""
        entry, opened = self.workspace.current, self.workspace.opened
        if entry is None or opened is None:
            return
        image = opened.picture.image
        for widget in (self.slider, self.number):
            blocked = widget.blockSignals(True)
            widget.setRange(1, image.pages)
            widget.setValue(entry.page + 1)
            widget.blockSignals(blocked)
        self.number.setSuffix(" " + tr("of {count}").format(count=image.pages))
        # As wide as the longest, or the slider would grow and shrink under the hand that drags it.
        self.place.setText(place(image.axes, image.pages - 1))
        self.place.setMinimumWidth(self.place.sizeHint().width())
        self.place.setText(place(image.axes, entry.page))
        self.place.setToolTip(_explained(image.axes))
        self.place.setVisible(bool(self.place.text()))
        self.setVisible(image.pages > 1)


def place(axes: Axes, page: int) -> str:
    """Where a page lies, such as "Z 3, C 1", from 1; "" where the file does not say along what it counts."""
    if set(axes.names) <= {"Q"} and len(axes.names) < 2:
        return ""
    where = np.unravel_index(page, axes.shape)
    names = [
        name if name != "Q" else tr("axis {number}").format(number=number) for number, name in enumerate(axes.names, 1)
    ]
    return ", ".join(f"{name} {index + 1}" for name, index in zip(names, where, strict=True))


def _explained(axes: Axes) -> str:
    sides = zip(axes.names, axes.shape, strict=True)
    said = [
        tr("{name} is the {what}, of {count}").format(name=name, what=_NAMES[name], count=side)
        for name, side in sides
        if name in _NAMES
    ]
    return wrapped(f"{'; '.join(said)}.") if said else ""
