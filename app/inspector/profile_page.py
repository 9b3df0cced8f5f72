"""The page with the values along a line."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFormLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from app.inspector.chart import (
    AFTER,
    BEFORE,
    LUMA,
    NAMES,
    REFERENCE,
    ChannelBox,
    Chart,
    joined,
    make_readable,
    number,
)
from app.inspector.flow import Flow
from app.inspector.measuring import Profiles
from app.words import wrapped
from engine.language import tr

WIDEST = 99
"""Lines side by side that a profile is averaged over."""


class ProfilePage(QWidget):
    """Before, after and reference along a line."""

    tool_wanted = Signal(str)
    """"line": the next drag over the picture draws one."""

    line_wanted = Signal(object)
    """"horizontal" or "vertical" across the middle of what is visible, or None for no line."""

    width_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._profiles: Profiles | None = None
        self.draw = QPushButton(tr("Draw a line"))
        self.draw.setToolTip(wrapped(tr("Then press on the picture where it begins, and release where it ends.")))
        self.horizontal = QPushButton(tr("Horizontal"))
        self.horizontal.setAccessibleName(tr("Horizontal line across the middle"))
        self.horizontal.setToolTip(wrapped(tr("Across the middle of what is visible.")))
        self.vertical = QPushButton(tr("Vertical"))
        self.vertical.setAccessibleName(tr("Vertical line down the middle"))
        self.vertical.setToolTip(wrapped(tr("Down the middle of what is visible.")))
        self.none = QPushButton(tr("None"))
        self.none.setAccessibleName(tr("No line"))
        self.channel = ChannelBox(tr("Luminance"))
        self.channel.setToolTip(wrapped(tr("Luminance: 21 % of red, 72 % of green and 7 % of blue (ITU-R BT.709).")))
        self.width_box = QSpinBox()
        self.width_box.setAccessibleName(tr("Width of the line in pixels"))
        self.width_box.setRange(1, WIDEST)
        self.width_box.setSuffix(tr(" px"))
        self.width_box.setKeyboardTracking(False)
        self.width_box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.width_box.setToolTip(wrapped(tr("The values are averaged across so many pixels beside the line.")))
        self.state = QLabel()
        self.state.setAccessibleName(tr("Where the line lies"))
        make_readable(self.state)
        self.chart = Chart(tr("Profile along the line"))
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(tr("Width"), self.width_box)
        column = QVBoxLayout(self)
        column.addWidget(Flow(self.draw, self.horizontal, self.vertical, self.none, stretch=True))
        column.addLayout(form)
        column.addWidget(self.state)
        column.addWidget(self.channel)
        column.addWidget(self.chart)
        column.addStretch(1)
        self.draw.clicked.connect(lambda: self.tool_wanted.emit("line"))
        self.horizontal.clicked.connect(lambda: self.line_wanted.emit("horizontal"))
        self.vertical.clicked.connect(lambda: self.line_wanted.emit("vertical"))
        self.none.clicked.connect(lambda: self.line_wanted.emit(None))
        self.width_box.valueChanged.connect(self.width_changed)
        self.channel.currentIndexChanged.connect(self._draw)
        self.show_profiles(None, False)

    def show_profiles(self, profiles: Profiles | None, waiting: bool) -> None:
        """Show what was read; while a newer answer is awaited the last one stays, and it is said."""
        if profiles is None and waiting and self._profiles is not None:
            self.state.setText(tr("Reading along the line…"))
            return
        self._profiles = profiles
        self.chart.setVisible(profiles is not None)
        self.none.setEnabled(profiles is not None or waiting)
        if profiles is None:
            self.state.setText(
                tr("Reading along the line…")
                if waiting
                else tr("Draw a line over the picture, or take one through the middle of what is visible.")
            )
            self.channel.hide()
            self.chart.clear()
            return
        x0, y0, x1, y1 = profiles.line
        self.state.setText(
            tr("From {x0:.0f}, {y0:.0f} to {x1:.0f}, {y1:.0f}: {count} values, one a pixel").format(
                x0=x0, y0=y0, x1=x1, y1=y1, count=len(profiles.before)
            )
        )
        self.channel.show_channels(profiles.before.shape[1])
        self._draw()

    def _draw(self) -> None:
        found = self._profiles
        if found is None:
            return
        curves = {
            role: self._one(values)
            for role, values in ((BEFORE, found.before), (AFTER, found.after), (REFERENCE, found.reference))
            if values is not None
        }
        places = np.arange(len(found.before))
        for role in NAMES:
            self.chart.draw(role, (places, curves[role]) if role in curves else None)
        low = min(float(np.nanmin(curve)) for curve in curves.values())
        high = max(float(np.nanmax(curve)) for curve in curves.values())
        self.chart.show_range((0, max(1, len(places) - 1)), (low, high))
        self.chart.name_axes(tr("pixels from the beginning"), tr("value"))
        said = [
            tr("{name}: mean {mean}, deviation {deviation}").format(
                name=NAMES[role],
                mean=number(float(np.nanmean(curve)), found.unit, 1),
                deviation=number(float(np.nanstd(curve)), found.unit, 1),
            )
            for role, curve in curves.items()
        ]
        self.chart.say(joined(said))

    def _one(self, values: np.ndarray) -> np.ndarray:
        """(N,) of the chosen channel."""
        if values.shape[1] == 1:
            return values[:, 0]
        channel = self.channel.channel
        return values @ np.array(LUMA) if channel is None else values[:, channel]
