"""The page that shows how good the result became pass by pass, of the whole picture and of what is visible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from app import theme
from app.inspector.chart import ESTIMATE, TRUE, Chart, decibels, joined, make_readable
from app.inspector.measuring import Measured
from app.inspector.region_page import estimated, of_blocks
from app.inspector.table import Row, Table
from app.words import wrapped
from engine.language import tr, trn

if TYPE_CHECKING:
    from app.jobs import Numbers
    from app.shown import Shown

_LEAST_DB = 0.2
"""The heights span at least so much: hundredths are no mountains."""

_FEW = 6
"""Up to so many passes each has its number on the axis."""


class PassesPage(QWidget):
    """PSNR against the reference, or without one the estimate with its band, over the passes."""

    shift_free_changed = Signal(bool)
    """Whether the mean difference from the reference is taken out of each channel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key: tuple[Any, ...] = ()
        self._shown: Shown | None = None
        self._is_true = self._is_whole = False
        self._measured: Measured | None = None
        self._whole: list[str] = []
        self._reason = ""
        self.title = QLabel()
        self.title.setObjectName("heading")
        self.title.setAccessibleName(tr("What is plotted"))
        self.chart = Chart(tr("How good the result is after each pass"), (TRUE, ESTIMATE))
        self.chart.name_axes(tr("passes (T)"), "dB")
        self._mark_whole_passes(4)
        self._low, self._high = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._band = pg.FillBetweenItem(self._low, self._high)
        self.chart.plot.addItem(self._band, ignoreBounds=True)
        self.shift_free = QCheckBox(tr("Ignore brightness"))
        self.shift_free.setAccessibleName(tr("Remove the difference in brightness"))
        self.shift_free.setToolTip(
            wrapped(
                tr(
                    "Remove the difference in brightness: the mean difference from the reference is taken out of each "
                    "channel before comparing. Some references were taken with another exposure than their pictures."
                )
            )
        )
        self.table = Table(tr("How good the result is"))
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setAccessibleName(tr("On the numbers"))
        for label in (self.title, self.note):
            make_readable(label)
        column = QVBoxLayout(self)
        for part in (self.title, self.chart, self.shift_free, self.table, self.note):
            column.addWidget(part)
        column.addStretch(1)
        self.shift_free.toggled.connect(self.shift_free_changed)
        self.show_numbers(None, None, False)

    def show_numbers(self, numbers: Numbers | None, shown: Shown | None, shift_free: bool) -> None:
        """Take over what is known of the whole picture; other values make void what was plotted of the last ones."""
        has_reference = shown is not None and shown.reference is not None
        self.shift_free.setVisible(has_reference)
        key = () if shown is None else (shown.image, shown.denoising, shown.blend, shown.reference, shift_free)
        is_same = len(key) == len(self._key) and all(
            one is other or one == other for one, other in zip(key, self._key, strict=True)
        )
        if not is_same or shown is None or shown.denoising is None:
            self._measured = None
        self._key, self._shown, self._is_true = key, shown, has_reference
        self._whole, self._reason = ["–", "–", "–"], ""
        if numbers is not None:
            self._is_whole = numbers.is_whole
            estimate = numbers.estimate
            self._reason = (estimate.reason or "") if estimate is not None else ""
            self._whole = [
                decibels(numbers.psnr_db),
                "–" if numbers.ssim is None else f"{numbers.ssim:.4f}",
                "–" if estimate is None else estimated(estimate),
            ]
        self._draw()
        self._tell()

    def show_visible(self, measured: Measured | None, waiting: bool) -> None:
        """Take over what was measured of the visible part; the last one stays while a newer answer is awaited."""
        if measured is not None or not waiting:
            self._measured = measured
            self._draw()
            self._tell()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_colors()
        super().changeEvent(event)

    def _draw(self) -> None:
        role, other = (TRUE, ESTIMATE) if self._is_true else (ESTIMATE, TRUE)
        if self._is_true:
            self.title.setText(tr("PSNR of the visible part against the reference, pass by pass"))
        else:
            self.title.setText(tr("Estimated PSNR of the visible part, without a reference, pass by pass"))
        self.chart.draw(other, None)
        course = self._measured.course if self._measured is not None else ()
        passes, values, bands = np.array(course, float).reshape(-1, 3).T
        low, high = values - bands, values + bands
        self._band.setVisible(not self._is_true and len(passes) > 0)
        self._low.setData(passes, low)
        self._high.setData(passes, high)
        self._low.setPen(None)
        self._high.setPen(None)
        self._apply_colors()
        if not len(passes):
            self.chart.clear(self._why_empty())
            self._mark_whole_passes(4)
            self.chart.show_range((0, 4), (0, 1))
            self.chart.plot.getAxis("left").setStyle(showValues=False)
            return
        self.chart.draw(role, (passes, values))
        middle, half = (low.min() + high.max()) / 2, max(_LEAST_DB, high.max() - low.min()) / 2
        self.chart.plot.getAxis("left").setStyle(showValues=True)
        self._mark_whole_passes(int(passes[-1]))
        self.chart.show_range((0, max(passes[-1], 2) + 0.5), (middle - half, middle + half))
        count = int(passes[-1])
        said = [
            trn("After {count} pass: {db}", "After {count} passes: {db}", count).format(
                count=count, db=f"{values[-1]:.2f} dB" + ("" if self._is_true else f" ± {bands[-1]:.2f}")
            )
        ]
        if len(passes) > 1:
            first = tr("after {count}: {db} dB").format(count=int(passes[0]), db=f"{values[0]:.2f}")
            said.append(first)
        self.chart.say(joined(said))

    def _mark_whole_passes(self, count: int) -> None:
        """No number on the axis stands between two passes: there are no halves."""
        axis = self.chart.plot.getAxis("bottom")
        axis.setTickSpacing(levels=[(1, 0)] if count <= _FEW else None)

    def _why_empty(self) -> str:
        shown = self._shown
        if shown is None:
            return tr("Open a picture and denoise it.")
        reason = self._reason if self._measured is None else self._measured.estimate.reason
        if reason and not self._is_true:
            return tr("No PSNR is estimated: {reason}.").format(reason=reason.rstrip("."))
        return tr("The numbers follow as soon as a pass is made.")

    def _tell(self) -> None:
        measured = self._measured
        visible = ["–", "–", "–"]
        if measured is not None:
            similarity = "–" if measured.ssim is None else f"{measured.ssim:.4f}"
            visible = [decibels(measured.psnr_db), similarity, estimated(measured.estimate)]
        names = [tr("PSNR against the reference"), tr("SSIM against the reference"), tr("Estimated PSNR")]
        rows: list[Row] = []
        for row, name in enumerate(names if self._is_true else names[2:], 0 if self._is_true else 2):
            rows += [(name, []), (tr("visible part"), [visible[row]]), (tr("whole picture"), [self._whole[row]])]
        self.table.fill([""], rows)
        notes = []
        if measured is not None and measured.estimate.reason and self._is_true:
            # Without a reference the reason stands where the curve would be.
            notes.append(tr("No PSNR is estimated: {reason}.").format(reason=measured.estimate.reason.rstrip(".")))
        if measured is not None and (blocks := of_blocks(measured)):
            notes.append(blocks)
        if self._measured is not None and self._measured.course and not self._is_whole:
            notes.append(tr("Of the whole picture counts what has been denoised so far."))
        if measured is not None and measured.is_sampled:
            notes.append(tr("Of the visible part some is measured, evenly spread."))
        if self._is_true and self.shift_free.isChecked():
            notes.append(tr("The difference in brightness from the reference is taken out."))
        self.note.setText(" ".join(notes))
        self.note.setVisible(bool(notes))

    def _apply_colors(self) -> None:
        color = QColor(theme.colors().warning)
        color.setAlpha(60)
        self._band.setBrush(color)
