"""The small windows and the message line: how to save, what failed, preferences, shortcuts, a model's card."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import screen, translation, words
from app.settings import Settings
from engine.color import ProfileError
from engine.language import LANGUAGES, tr

if TYPE_CHECKING:
    from engine.checkpoint import Entry as CheckpointEntry
    from engine.foreign import Question


class TextDialog(QDialog):
    """A text to read and copy."""

    def __init__(self, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(680, 380)
        view = QPlainTextEdit(text)
        view.setReadOnly(True)
        view.setAccessibleName(title)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(view)
        layout.addWidget(buttons)


def confirmed(parent: QWidget, title: str, question: str, yes: str) -> bool:
    """Whether the user wants what cannot be undone; Cancel is where the return key leads."""
    box = QMessageBox(QMessageBox.Icon.Warning, title, question, QMessageBox.StandardButton.Cancel, parent)
    button = box.addButton(yes, QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    return box.clickedButton() is button


class Preferences(QDialog):
    """Theme, language, device, seed, memory and the screen's colours."""

    def __init__(self, settings: Settings, devices: Iterable[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Preferences"))
        self._settings = settings
        self.theme = QComboBox()
        for name, theme in ((tr("Dark"), "dark"), (tr("Light"), "light")):
            self.theme.addItem(name, theme)
        self.language = QComboBox()
        self.language.addItem(tr("Automatic"), translation.AUTOMATIC)
        for code, name in LANGUAGES.items():
            self.language.addItem(name, code)
        self.language.setToolTip(tr("Automatic takes that of the system. It changes at the next start."))
        self.language_note = QLabel(tr("The language changes at the next start."))
        self.language_note.setObjectName("muted")
        self.language_note.hide()
        self.device = QComboBox()
        self.device.addItem(tr("Automatic"), "auto")
        for device in devices:
            self.device.addItem(words.device(device), device)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.memory = QSpinBox()
        self.memory.setRange(256, 1 << 20)
        self.memory.setSingleStep(256)
        self.memory.setSuffix(" MB")
        self.screen = QComboBox()
        self.screen.addItem(tr("sRGB (standard)"), "")
        if screen.system_profile() is not None:
            self.screen.addItem(tr("That of the system"), screen.SYSTEM)
        self.screen_note = QLabel()
        self.screen_note.setObjectName("muted")
        self.screen_note.setWordWrap(True)
        self.screen_note.hide()
        self.opens = QCheckBox(tr("Denoise a picture as soon as it is opened"))
        self.seed.setToolTip(tr("Of the random numbers. The same seed and values give the same file."))
        self.memory.setToolTip(
            tr("For the results of the last few pictures; what does not fit goes to a temporary file.")
        )
        form = QFormLayout()
        form.addRow(tr("&Theme"), self.theme)
        form.addRow(tr("&Language"), self.language)
        form.addRow(self.language_note)
        form.addRow(tr("&Device"), self.device)
        form.addRow(tr("&Seed"), self.seed)
        form.addRow(tr("&Memory"), self.memory)
        form.addRow(tr("Screen &profile"), self.screen)
        form.addRow(self.screen_note)
        form.addRow(self.opens)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)
        self.theme.setCurrentIndex(self.theme.findData(settings.theme))
        self.language.setCurrentIndex(max(0, self.language.findData(settings.language)))
        self.language.currentIndexChanged.connect(
            lambda: self.language_note.setVisible(self.language.currentData() != settings.language)
        )
        self.device.setCurrentIndex(max(0, self.device.findData(settings.device)))
        self.seed.setValue(settings.seed)
        self.memory.setValue(settings.memory_mb)
        self.opens.setChecked(settings.denoise_on_open)
        self.screen.setToolTip(
            tr(
                "Colours are brought from the profile of each picture to this one.\n"
                "On Windows the system's profile can be taken; on macOS and Linux choose the .icc file that\n"
                "the system's colour settings name. Files are written with their own profile either way."
            )
        )
        if settings.screen_profile not in ("", screen.SYSTEM):
            self._add_profile(Path(settings.screen_profile))
        self.screen.addItem(tr("Choose a profile…"), None)
        self._chosen_screen = max(0, self.screen.findData(settings.screen_profile))
        self.screen.setCurrentIndex(self._chosen_screen)
        self.screen.activated.connect(self._screen_activated)

    def _add_profile(self, path: Path) -> int:
        """Offer a file beside what is there; return its place."""
        place = self.screen.findData(str(path))
        if place < 0:
            place = self.screen.findData("") + 1
            self.screen.insertItem(place, path.name, str(path))
        return place

    def _screen_activated(self, index: int) -> None:
        if self.screen.itemData(index) is None:
            chosen, _ = QFileDialog.getOpenFileName(
                self, tr("The colour profile of the screen"), "", tr("Colour profiles (*.icc *.icm)")
            )
            self.choose_profile(Path(chosen) if chosen else None)
        else:
            self._chosen_screen = index
            self.screen_note.hide()

    def choose_profile(self, path: Path | None) -> None:
        """Offer a file and take it, or say why it cannot be taken; None changes nothing."""
        if path is not None:
            try:
                screen.read_profile(path)
                self._chosen_screen = self._add_profile(path)
                self.screen_note.hide()
            except ProfileError as error:
                self.screen_note.setText(f"{error}.")
                self.screen_note.show()
        self.screen.setCurrentIndex(self._chosen_screen)

    def changes(self) -> dict[str, Any]:
        """What was chosen, as fields of `Settings`."""
        return {
            "theme": self.theme.currentData(),
            "language": self.language.currentData(),
            "device": self.device.currentData(),
            "seed": self.seed.value(),
            "memory_mb": self.memory.value(),
            "screen_profile": self.screen.currentData() or "",
            "denoise_on_open": self.opens.isChecked(),
        }


class ShortcutsDialog(QDialog):
    """All keys."""

    def __init__(self, rows: Iterable[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Keyboard shortcuts"))
        self.resize(600, 640)
        rows = list(rows)
        self.table = QTableWidget(len(rows), 2)
        self.table.setHorizontalHeaderLabels([tr("Action"), tr("Keys")])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.table.setTabKeyNavigation(False)  # or Tab would go through all cells and never leave
        self.table.setAccessibleName(tr("Keyboard shortcuts"))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self.table.setItem(row, column, QTableWidgetItem(text))
        # Long texts go on in a second line: in some languages, and at large fonts, they do not fit beside each other.
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table)
        layout.addWidget(buttons)


class ConventionDialog(QDialog):
    """Asks how a checkpoint of others is to be run, where the file does not say."""

    def __init__(self, file: Path, questions: Iterable[Question], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Import {name}").format(name=file.name))
        text = QLabel(
            tr(
                "{name} does not say how its network is to be run; its authors' page or code does. The "
                "usual answers are chosen. If the result looks wrong, import it again with others."
            ).format(name=file.name)
        )
        text.setWordWrap(True)
        text.setMinimumWidth(460)
        form = QFormLayout()
        self._combos: dict[str, QComboBox] = {}
        for question in questions:
            combo = self._combos[question.name] = QComboBox()
            for value, meaning in question.answers:
                combo.addItem(meaning, value)
            form.addRow(question.label, combo)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Ok).setText(tr("Import"))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addLayout(form)
        layout.addWidget(buttons)

    def convention(self) -> dict[str, Any]:
        """What was chosen, as fields of `engine.foreign.Convention`."""
        return {name: combo.currentData() for name, combo in self._combos.items()}


def ask_export(name: str, folder: str, parent: QWidget) -> Path | None:
    """Where a model is to be written with its card; None where the user does not want that after all."""
    chosen, _ = QFileDialog.getSaveFileName(
        parent,
        tr("Export the model with its card"),
        str(Path(folder or Path.home()) / f"{name}.safetensors"),
        tr("Models (*.safetensors)"),
        options=QFileDialog.Option.DontConfirmOverwrite,
    )
    if not chosen:
        return None
    target = Path(chosen if chosen.endswith(".safetensors") else f"{chosen}.safetensors")
    if target.exists() and not confirmed(
        parent, tr("Replace the file?"), tr("{name} exists already.").format(name=target.name), tr("Replace")
    ):
        return None
    return target


class DistilDialog(QDialog):
    """Asks how long a network may learn to do in one pass what another does in several."""

    def __init__(self, name: str, passes: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Distil to one pass"))
        text = QLabel(
            tr(
                "A second network learns from the same pictures to give in one pass what this model "
                "gives as the mean of {passes}. It is about {passes} times as fast, and nearly as good. "
                "This model stays as it is."
            ).format(passes=passes)
        )
        text.setWordWrap(True)
        text.setMinimumWidth(420)
        self.name = QLineEdit(name)
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 24 * 60)
        self.minutes.setValue(15)
        self.minutes.setSuffix(" min")
        form = QFormLayout()
        form.addRow(tr("&Name"), self.name)
        form.addRow(tr("&Time"), self.minutes)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Ok).setText(tr("Distil"))
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addLayout(form)
        layout.addWidget(buttons)


def card_text(entry: CheckpointEntry, labels: Mapping[str, str]) -> str:
    """A model's card for people; `labels` are those of the methods by their ids."""
    card = entry.card
    minutes = tr("{count:.0f} minutes").format(count=card.minutes) if card.minutes >= 1.5 else tr("under two minutes")
    source = {tr("The model it learned from"): f"SHA-256 {card.source}"} if _is_hash(card.source) else {}
    lines = [words.own(card.title) or entry.name, ""]
    facts = {
        tr("Name"): entry.name,
        tr("Method"): labels.get(entry.method, entry.method),
        tr("For"): tr("colour pictures") if entry.channels == 3 else tr("grey pictures"),
        tr("About"): card.description,
        tr("Tuned from"): f"{card.start}, SHA-256 {card.start_sha256}" if card.start else "",
        tr("Trained on"): card.trained_on,
        tr("Training"): tr("{steps} steps, {minutes} on {device}").format(
            steps=card.steps, minutes=minutes, device=card.device
        )
        if card.steps
        else "",
        tr("Command"): card.command,
        tr("Date"): card.date,
        tr("Made with"): ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        tr("Licence"): card.licence,
        **(source or {tr("Source"): card.source}),
        tr("File"): str(entry.path),
    }
    lines += [f"{name}: {value}" for name, value in facts.items() if value]
    if card.results:
        lines += ["", tr("Measured, in dB:")]
        lines += [f"  {name}: {value:.2f}" for name, value in dataclasses.asdict(card)["results"].items()]
    return "\n".join(lines)


def _is_hash(text: str) -> bool:
    """Of a file, as a distilled model's card has it of its teacher."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None
