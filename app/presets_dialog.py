"""The windows about presets: saving the settings under a name, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import presets, theme
from app.dialogs import confirmed
from app.jobs import MethodInfo
from app.presets import Preset, PresetError, PresetExistsError
from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH, Values
from engine.develop import Develop
from engine.language import tr
from engine.params import Spec

_FILES = tr("Presets (*.json);;All files (*)")


class SavePresetDialog(QDialog):
    """Asks for the name of a preset, and whether the noise level set by hand belongs to it; saves it."""

    def __init__(self, values: Values, methods: Sequence[MethodInfo] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Save as preset"))
        self._values = values = values.without_areas()
        self.saved: Preset | None = None
        self.name = QLineEdit()
        self.name.setPlaceholderText(tr("For example: Night, ISO 6400"))
        self.name.setMinimumWidth(theme.length(340))
        self.name.setAccessibleName(tr("Name"))
        self.level = QCheckBox(tr("With the &noise level set by hand"))
        self.level.setEnabled(values.for_others() != values)
        tip = (
            tr("It belongs to this picture; without it each picture's noise is measured.")
            if self.level.isEnabled()
            else ""
        )
        self.level.setToolTip(tip or tr("No noise level is set by hand"))
        self.content = QLabel()
        self.content.setObjectName("muted")
        self.content.setWordWrap(True)
        self.content.setTextFormat(Qt.TextFormat.PlainText)
        self.note = _warning()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self.save = buttons.button(QDialogButtonBox.StandardButton.Save)
        self.save.setObjectName("primary")
        self.save.setEnabled(False)
        form = QFormLayout()
        label = QLabel(tr("N&ame"))
        label.setBuddy(self.name)
        form.addRow(label, self.name)
        form.addRow(self.level)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.content)
        layout.addWidget(self.note)
        layout.addWidget(buttons)
        self._methods = methods
        self.name.textChanged.connect(self._named)
        self.level.toggled.connect(self._describe)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._describe()

    def _chosen(self) -> Values:
        return self._values if self.level.isChecked() else self._values.for_others()

    def _describe(self) -> None:
        self.content.setText(summary(self._chosen(), self._methods))

    def _named(self, name: str) -> None:
        self.save.setEnabled(bool(name.strip()))
        self.note.hide()

    def accept(self) -> None:
        """Save, and ask before another preset is replaced; stay open where that fails."""
        self.saved = _settled(
            lambda replace: presets.save(self.name.text(), self._chosen(), replace), self, _shown_in(self.note)
        )
        if self.saved is not None:
            super().accept()


class PresetsDialog(QDialog):
    """All presets: what each holds, and applying, renaming, deleting, exporting and importing them.

    Args:
        methods: those that are known now, for the names of methods and parameters.
        parent: the window.
    """

    apply_asked = Signal(object)
    """The chosen `Preset`."""

    def __init__(self, methods: Callable[[], Sequence[MethodInfo]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Presets"))
        self.resize(620, 400)
        self._methods = methods
        self._presets: list[Preset] = []
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Presets"))
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.content = QLabel()
        self.content.setWordWrap(True)
        self.content.setTextFormat(Qt.TextFormat.PlainText)
        self.content.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.note = _warning()
        self.apply = QPushButton(tr("&Apply"))
        self.apply.setObjectName("primary")
        self.apply.setToolTip(tr("Give these settings to all selected pictures"))
        self.rename = QPushButton(tr("Re&name"))
        self.delete = QPushButton(tr("&Delete…"))
        self.export = QPushButton(tr("&Export…"))
        self.bring_in = QPushButton(tr("&Import…"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        below = QHBoxLayout()
        for button in (self.rename, self.delete, self.export, self.bring_in):
            button.setAutoDefault(False)
            below.addWidget(button)
        below.addStretch(1)
        below.addWidget(self.apply)
        below.addWidget(buttons)
        middle = QHBoxLayout()
        middle.addWidget(self.list, 1)
        middle.addWidget(self.content, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(middle, 1)
        layout.addWidget(self.note)
        layout.addLayout(below)

        self.list.currentRowChanged.connect(self._show)
        self.list.itemDoubleClicked.connect(lambda _: self._apply())
        self.list.itemChanged.connect(self._renamed)
        self.apply.clicked.connect(self._apply)
        self.rename.clicked.connect(lambda: self.list.editItem(self.list.currentItem()))
        self.delete.clicked.connect(self._delete)
        self.export.clicked.connect(self._export)
        self.bring_in.clicked.connect(self._bring_in)
        buttons.rejected.connect(self.reject)
        self.refresh()

    @property
    def chosen(self) -> Preset | None:
        """The preset that the list stands on."""
        row = self.list.currentRow()
        return self._presets[row] if 0 <= row < len(self._presets) else None

    def refresh(self, name: str = "") -> None:
        """List the presets anew, and stand on this one, else where it stood."""
        name = name or (self.chosen.name if self.chosen is not None else "")
        self._presets = presets.load_all()
        self.list.blockSignals(True)
        self.list.clear()
        for preset in self._presets:
            item = QListWidgetItem(preset.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.list.addItem(item)
        self.list.blockSignals(False)
        names = [preset.name for preset in self._presets]
        self.list.setCurrentRow(names.index(name) if name in names else 0 if names else -1)
        self._show()

    def _show(self) -> None:
        preset = self.chosen
        for button in (self.apply, self.rename, self.delete, self.export):
            button.setEnabled(preset is not None)
        if preset is None:
            self.content.setText(tr("No preset is saved yet: Edit, Presets, Save as preset."))
            return
        remark = f"\n\n{preset.remark}." if preset.remark else ""
        self.content.setText(summary(preset.values, self._methods()) + remark)

    def _say(self, sentence: str) -> None:
        self.note.setText(sentence)
        self.note.setVisible(bool(sentence))

    def _apply(self) -> None:
        self._say("")
        if self.chosen is not None:
            self.apply_asked.emit(self.chosen)

    def _renamed(self, item: QListWidgetItem) -> None:
        self._say("")
        preset = self._presets[self.list.row(item)]
        renamed = _settled(lambda replace: presets.rename(preset, item.text(), replace), self, self._say)
        self.refresh((renamed or preset).name)

    def _delete(self) -> None:
        self._say("")
        preset = self.chosen
        if preset is not None and confirmed(
            self, tr("Delete the preset?"), tr("{name} will be gone.").format(name=preset.name), tr("Delete")
        ):
            try:
                presets.delete(preset)
            except PresetError as error:
                self._say(f"{error}.")
            self.refresh()

    def _export(self) -> None:
        self._say("")
        preset = self.chosen
        if preset is None:
            return
        start = str(Path.home() / presets.file_name(preset.name))
        name, _ = QFileDialog.getSaveFileName(self, tr("Export the preset"), start, _FILES)
        if name:
            try:
                self._say(tr("Exported as {path}.").format(path=presets.export(preset, Path(name))))
            except PresetError as error:
                self._say(f"{error}.")

    def _bring_in(self) -> None:
        self._say("")
        name, _ = QFileDialog.getOpenFileName(self, tr("Import a preset"), str(Path.home()), _FILES)
        if not name:
            return
        brought = _settled(lambda replace: presets.bring_in(Path(name), replace=replace), self, self._say)
        if brought is not None:
            self.refresh(brought.name)
            self._say(f"{brought.remark}." if brought.remark else "")


def summary(values: Values, methods: Sequence[MethodInfo] = ()) -> str:
    """What values say, a line for each thing that is not as it comes."""
    labels = {method.id: method.label for method in methods}
    specs = {method.id: {spec.name: spec for spec in method.specs} for method in methods}
    lines = [
        f"{tr('Method')}: {labels.get(values.method, values.method) or tr('Automatic')}",
        f"{tr('Model')}: {values.model or tr('Automatic')}",
        f"{STRENGTH.label}: {_worded(STRENGTH, values.strength)}",
        *(f"{spec.label}: {_worded(spec, getattr(values, spec.name))}" for spec in (LUMINANCE, CHROMA)),
        f"{GUARD.label}: {_worded(GUARD, values.guard) if values.guard else tr('Off')}",
    ]
    for method, own in values.params.items():
        if own:
            lines += ["", f"{labels.get(method, method)}:"]
            known = specs.get(method, {})
            lines += [f"{_label(known, name)}: {_worded(known.get(name), value)}" for name, value in own.items()]
    changed = {name: value for name, value in vars(values.develop).items() if value != vars(Develop())[name]}
    if changed:
        lines += ["", tr("RAW files:"), *(f"{name.capitalize()}: {value}" for name, value in changed.items())]
    return "\n".join(lines)


def _label(specs: dict[str, Spec], name: str) -> str:
    return specs[name].label if name in specs else name


def _worded(spec: Spec | None, value: object) -> str:
    """A value as its control shows it."""
    if value is None:
        return tr("Automatic")
    if isinstance(value, int | float):
        return f"{value * spec.scale:.4g}{spec.unit}" if spec is not None else f"{value:.4g}"
    return str(value) if spec is None else spec.word(str(value))


def _settled(act: Callable[[bool], Preset], parent: QWidget, say: Callable[[str], None]) -> Preset | None:
    """Do what makes a preset, and ask before it replaces another; None where the user does not want that, or it failed.

    Args:
        act: is told whether to replace.
        parent: of the question.
        say: shows why it failed.
    """
    try:
        try:
            return act(False)
        except PresetExistsError as error:
            question = tr("There is a preset {name} already.").format(name=error.name)
            return act(True) if confirmed(parent, tr("Replace the preset?"), question, tr("Replace")) else None
    except PresetError as error:
        say(f"{error}.")
        return None


def _warning() -> QLabel:
    label = QLabel()
    label.setObjectName("warning")
    label.setWordWrap(True)
    label.hide()
    return label


def _shown_in(label: QLabel) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        label.setText(sentence)
        label.show()

    return say
