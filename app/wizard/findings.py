"""What the pre-flight found, as rows that can be acted on."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QWidget

from app import theme
from engine.language import tr
from training.folder import Finding


def draw_sign(painter: QPainter, kind: str, place: QRect) -> None:
    """The sign of a finding: a square for what stops, a triangle for a warning, a disc for a note."""
    colors = theme.colors()
    box = QRectF(place).adjusted(2, 2, -2, -2)
    painter.setPen(Qt.PenStyle.NoPen)
    ground = {"stop": colors.failed, "warn": colors.warning}.get(kind, colors.running)
    painter.setBrush(QColor(ground))
    if kind == "stop":
        painter.drawRoundedRect(box, 3, 3)
    elif kind == "warn":
        painter.drawPolygon([QPointF(box.center().x(), box.top()), box.bottomRight(), box.bottomLeft()])
    else:
        painter.drawEllipse(box)
    font = painter.font()
    font.setPixelSize(max(9, round(box.height() * 0.66)))
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor(theme.ink(ground)))
    down = 2 if kind == "warn" else 0
    painter.drawText(box.adjusted(0, down, 0, down), Qt.AlignmentFlag.AlignCenter, "i" if kind == "note" else "!")


class _Sign(QWidget):
    """The sign of a finding."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self.setFixedSize(22, 22)

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_sign(painter, self._kind, self.rect())


class FindingRow(QWidget):
    """One finding: its sign and sentence, and buttons for the pictures that it is about."""

    show_asked = Signal(object)
    leave_out_asked = Signal(object)

    def __init__(self, finding: Finding, can_show: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finding = finding
        words = {"stop": tr("Must be settled"), "warn": tr("Warning")}
        self.text = QLabel(finding.sentence)
        self.text.setWordWrap(True)
        self.text.setAccessibleName(f"{words.get(finding.kind, tr('Note'))}: {finding.sentence}")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(_Sign(finding.kind), 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, 1)
        self.show_them = QToolButton()
        self.show_them.setText(tr("Show"))
        self.show_them.setAccessibleName(tr("Show these pictures"))
        self.show_them.setToolTip(tr("Select the pictures that this is about"))
        self.show_them.clicked.connect(lambda: self.show_asked.emit(finding.names))
        self.leave_out = QToolButton()
        self.leave_out.setText(tr("Leave these out"))
        self.leave_out.setToolTip(tr("Do not use the pictures that this is about"))
        self.leave_out.clicked.connect(lambda: self.leave_out_asked.emit(finding.names))
        for button, is_offered in ((self.show_them, can_show), (self.leave_out, finding.can_leave_out)):
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
            button.setVisible(is_offered)
