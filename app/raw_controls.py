"""How a camera's RAW file is developed: the group of the panel that only such pictures show."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QLineEdit, QStyledItemDelegate, QWidget

from app import theme
from app.words import wrapped
from app.workspace import Workspace
from engine.develop import MOST_STOPS, DevelopError, settle
from engine.language import tr

_NUMBERS = "numbers"
_WHITES = {
    "camera": tr("As shot"),
    "daylight": tr("Daylight"),
    "auto": tr("Automatic"),
    _NUMBERS: tr("By numbers"),
}
_CURVES = {"srgb": tr("sRGB"), "linear": tr("Linear light")}
_DOMAINS = {"mosaic": tr("On the mosaic"), "picture": tr("After developing")}

_DOMAIN_TIP = tr(
    "On the mosaic: what the sensor recorded is denoised, where the noise of a pixel knows nothing of its neighbours', "
    "and developed then. It keeps more detail. After developing: the developed picture is denoised as any other."
)


class RawControls(QWidget):
    """White balance, exposure, curve, and where it is denoised; hidden but for RAW pictures."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.white = _list(tr("White balance"), _WHITES, tr("Automatic takes the mean of the picture for grey."))
        self.numbers = QLineEdit()
        self.numbers.setAccessibleName(tr("Multipliers of red, green and blue"))
        self.numbers.setToolTip(wrapped(tr("Multipliers of red, green and blue, such as 2.1, 1, 1.6")))
        self.exposure = QDoubleSpinBox()
        self.exposure.setRange(-MOST_STOPS, MOST_STOPS)
        self.exposure.setSingleStep(0.25)
        self.exposure.setDecimals(2)
        self.exposure.setSuffix(" " + tr("stops"))
        self.exposure.setAlignment(Qt.AlignmentFlag.AlignRight)
        # Each change develops the picture anew: not at every digit, nor under a wheel that scrolls the panel.
        self.exposure.setKeyboardTracking(False)
        self.exposure.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.exposure.setAccessibleName(tr("Exposure"))
        self.curve = _list(
            tr("Curve"), _CURVES, tr("Linear light is proportional to what fell on the sensor, for further work.")
        )
        self.domain = _list(tr("Denoise"), _DOMAINS, _DOMAIN_TIP)
        self.note = QLabel()
        self.note.setObjectName("warning")
        self.note.setWordWrap(True)
        self.note.hide()

        heading = QLabel("RAW")
        heading.setObjectName("heading")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(6)
        layout.addWidget(heading, 0, 0, 1, 2)
        rows: tuple[tuple[str, QWidget], ...] = (
            (tr("&White balance"), self.white),
            ("", self.numbers),
            (tr("E&xposure"), self.exposure),
            (tr("C&urve"), self.curve),
            (tr("Deno&ise"), self.domain),
        )
        for row, (text, widget) in enumerate(rows, 1):
            if text:
                label = QLabel(text)
                label.setBuddy(widget)
                layout.addWidget(label, row, 0)
            layout.addWidget(widget, row, 1)
        layout.addWidget(self.note, len(rows) + 1, 0, 1, 2)
        layout.addWidget(theme.rule(), len(rows) + 2, 0, 1, 2)
        layout.setColumnStretch(1, 1)

        self.white.activated.connect(self._choose_white)
        self.numbers.editingFinished.connect(self._type_numbers)
        self.exposure.valueChanged.connect(lambda stops: self._change(exposure=round(stops, 2)))
        self.curve.activated.connect(lambda index: self._change(curve=self.curve.itemData(index)))
        self.domain.activated.connect(lambda index: self._change(domain=self.domain.itemData(index)))
        workspace.params_changed.connect(self.show_values)
        workspace.picture_ready.connect(self.show_values)
        workspace.current_changed.connect(self.show_values)
        self.show_values()

    def show_values(self) -> None:
        """The current picture's development; nothing where it is no RAW file."""
        opened = self.workspace.opened
        image = opened.picture.image if opened is not None else None
        is_raw = image is not None and image.is_raw
        self.setVisible(is_raw)
        if image is None or not is_raw:
            return
        how = self.workspace.values.develop
        white = _NUMBERS if how.multipliers else how.white
        self.white.setCurrentIndex(self.white.findData(white))
        self.numbers.setVisible(white == _NUMBERS)
        if how.multipliers:
            self.numbers.setText(", ".join(f"{number:g}" for number in how.multipliers))
        blocked = self.exposure.blockSignals(True)
        self.exposure.setValue(how.exposure)
        self.exposure.blockSignals(blocked)
        self.curve.setCurrentIndex(self.curve.findData(how.curve))
        has_mosaic = image.mosaic is not None
        self.domain.setCurrentIndex(self.domain.findData(how.domain if has_mosaic else "picture"))
        self.domain.setEnabled(has_mosaic)
        self.domain.setToolTip(wrapped(_DOMAIN_TIP if has_mosaic else " ".join(image.metadata.notes)))
        self.note.hide()

    def _choose_white(self, index: int) -> None:
        chosen = self.white.itemData(index)
        self._change(white=self._present() if chosen == _NUMBERS else chosen)

    def _present(self) -> str:
        """The multipliers that the picture has now, to begin from; of sensors that LibRaw develops, none."""
        opened = self.workspace.opened
        mosaic = opened.picture.image.mosaic if opened is not None else None
        gains = settle(mosaic, self.workspace.values.develop).gains if mosaic is not None else (1, 1, 1)
        return ",".join(f"{gain:.3g}" for gain in gains)

    def _type_numbers(self) -> None:
        # The signal also comes when the field is left as it was, or hidden.
        if self.numbers.isVisible() and self.numbers.isModified():
            self._change(white=self.numbers.text())

    def _change(self, **changes: str | float) -> None:
        try:
            self.workspace.change_develop(**changes)
        except DevelopError as error:
            self.note.setText(str(error))
            self.note.show()


def _list(name: str, words: dict[str, str], tip: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(wrapped(tip))
    combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    # The list's own delegate leaves room for ticks and takes no colour from an entry.
    combo.setItemDelegate(QStyledItemDelegate(combo))
    for word, text in words.items():
        combo.addItem(text, word)
    return combo
