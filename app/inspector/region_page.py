"""The page with the statistics and the numbers of a region."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from app.inspector.chart import AFTER, BEFORE, NAMES, REFERENCE, channel_names, decibels, joined, make_readable, number
from app.inspector.flow import Flow
from app.inspector.measuring import Measured
from app.inspector.table import Row, Table
from app.words import band, wrapped
from engine.language import tr
from engine.metrics import Estimate
from engine.statistics import Statistics


class RegionPage(QWidget):
    """What is in a rectangle, before and after, and how good the result is there."""

    tool_wanted = Signal(str)
    """"region": the next drag over the picture draws one."""

    region_wanted = Signal(object)
    """"visible", or None for no region."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measured: Measured | None = None
        self.draw = QPushButton(tr("Draw a region"))
        self.draw.setToolTip(wrapped(tr("Then drag over the picture from one corner to the other.")))
        self.visible = QPushButton(tr("What is visible"))
        self.visible.setAccessibleName(tr("Take what is visible as the region"))
        self.none = QPushButton(tr("None"))
        self.none.setAccessibleName(tr("No region"))
        self.state = QLabel()
        self.state.setAccessibleName(tr("The region"))
        self.numbers = Table(tr("How good the result is in the region"))
        self.why = QLabel()
        self.why.setObjectName("muted")
        self.why.setAccessibleName(tr("On the numbers"))
        self.table = Table(tr("Statistics of the region"))
        self.note = QLabel(
            tr(
                "In the units of the file. Deviation: of all samples from their mean, texture and noise alike. "
                "SNR: 20 log10 (mean / deviation)."
            )
        )
        self.note.setObjectName("muted")
        for label in (self.state, self.why, self.note):
            make_readable(label)
        column = QVBoxLayout(self)
        column.addWidget(Flow(self.draw, self.visible, self.none, stretch=True))
        for part in (self.state, self.numbers, self.why, self.table, self.note):
            column.addWidget(part)
        column.addStretch(1)
        self.draw.clicked.connect(lambda: self.tool_wanted.emit("region"))
        self.visible.clicked.connect(lambda: self.region_wanted.emit("visible"))
        self.none.clicked.connect(lambda: self.region_wanted.emit(None))
        self.show_measured(None, False)

    def show_measured(self, measured: Measured | None, waiting: bool) -> None:
        """Show what was measured; while a newer answer is awaited the last one stays, and it is said."""
        if measured is None and waiting and self._measured is not None:
            self.state.setText(tr("Measuring…"))
            return
        self._measured = measured
        for part in (self.numbers, self.why, self.table, self.note):
            part.setVisible(measured is not None)
        self.none.setEnabled(measured is not None or waiting)
        if measured is None:
            text = tr("Draw a region over the picture to measure what is in it.")
            self.state.setText(tr("Measuring…") if waiting else text)
            return
        area = measured.area
        size = tr("{width} × {height} pixels at {x}, {y}").format(
            width=area.width, height=area.height, x=area.left, y=area.top
        )
        sampled = tr("a part of it, evenly spread, is measured") if measured.is_sampled else ""
        self.state.setText(joined((size, sampled, tr("measuring…") if waiting else "")))
        rows, why = number_rows(measured)
        self.numbers.fill([""], rows)
        self.why.setText(why)
        self.why.setVisible(bool(why))
        columns = [
            (NAMES[role], found)
            for role, found in ((BEFORE, measured.before), (AFTER, measured.after), (REFERENCE, measured.reference))
            if found is not None
        ]
        self.table.fill([name for name, _ in columns], _rows([found for _, found in columns], measured.unit))


def number_rows(measured: Measured) -> tuple[list[Row], str]:
    """The numbers by their names, and what is to be said of them: a number with and one without a reference differ."""
    rows: list[Row] = []
    notes = []
    if measured.reference is not None:
        rows = [
            (tr("PSNR against the reference"), [decibels(measured.psnr_db)]),
            (tr("SSIM against the reference"), ["–" if measured.ssim is None else f"{measured.ssim:.4f}"]),
            (tr("PSNR of the noisy picture"), [decibels(measured.noisy_psnr_db)]),
        ]
        if measured.is_shift_free:
            notes.append(tr("The difference in brightness from the reference is taken out."))
    rows.append((tr("Estimated PSNR"), [estimated(measured.estimate)]))
    if measured.estimate.reason:
        notes.append(tr("No PSNR is estimated: {reason}.").format(reason=measured.estimate.reason.rstrip(".")))
    elif measured.reference is None:
        notes.append(tr("The estimate needs no reference; with it comes its 95 % band."))
    if blocks := of_blocks(measured):
        notes.append(blocks)
    return rows, " ".join(notes)


def of_blocks(measured: Measured) -> str:
    """Of which pixels the estimate is, where these are not those that were asked for; else ""."""
    of = measured.estimate.area
    if of is None or of == measured.area or measured.estimate.psnr_db is None:
        return ""
    return tr("The estimate is of whole blocks: {width} × {height} pixels at {x}, {y}.").format(
        width=of.width, height=of.height, x=of.left, y=of.top
    )


def estimated(estimate: Estimate) -> str:
    """An estimate with its band, or a dash."""
    if estimate.psnr_db is None:
        return "–"
    return f"{estimate.psnr_db:.2f}{band(estimate.band_db)} dB"


def _rows(columns: Sequence[Statistics], unit: float) -> list[Row]:
    names = channel_names(len(columns[0].mean))
    rows: list[Row] = []
    for channel, name in enumerate(names):
        if len(names) > 1:
            rows.append((name, []))
        rows += [
            (tr("Mean"), [number(found.mean[channel] * unit, unit, 1) for found in columns]),
            (tr("Deviation"), [number(found.deviation[channel] * unit, unit, 1) for found in columns]),
            (tr("SNR"), [decibels(found.snr_db[channel]) for found in columns]),
            (tr("Minimum"), [number(found.low[channel] * unit, unit) for found in columns]),
            (tr("Maximum"), [number(found.high[channel] * unit, unit) for found in columns]),
        ]
    return rows
