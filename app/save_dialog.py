"""The window that asks where and how a result is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.dialogs import confirmed
from app.jobs import Target
from engine.encode import AS_INPUT, HEIC_NOTE, TYPES, Encoding, FileType, check_target, file_type, left_out
from engine.image import Image, ImageError
from engine.language import tr
from engine.stack import holds_pages

COMPRESSIONS = {
    "deflate": tr("Deflate, read everywhere"),
    "lzw": tr("LZW, for old programs"),
    "zstd": tr("Zstandard, small and fast, read by few"),
    "none": tr("None, large"),
    "fast": tr("Fast"),
    "small": tr("As small as possible, slow"),
}
"""What each compression is called."""

_REMEMBERED = ("suffix", "quality", "lossless", "compression")
"""What of an `Encoding` holds for the next picture, too; the depth is each picture's own."""


def last_choice(settings: Mapping[str, Any], keep_place: bool) -> Encoding:
    """How the last result was saved, from what `remembered` gave; the default where that makes no sense."""
    try:
        return Encoding(**{name: settings[name] for name in _REMEMBERED if name in settings}, keep_place=keep_place)
    except (ImageError, TypeError):
        return Encoding(keep_place=keep_place)


def remembered(chosen: Target, proposed: Path) -> dict[str, Any]:
    """What of a choice is kept in the settings; the type only where it is not the input's own."""
    kind = file_type(chosen.path)
    suffix = "" if kind is None or kind is file_type(proposed) else kind.suffixes[0]
    how = dataclasses.replace(chosen.how, suffix=suffix)
    return {name: getattr(how, name) for name in _REMEMBERED}


class SaveDialog(QDialog):
    """Where and how a result is saved, and of a stack whether all of its pages are.

    Args:
        image: what is saved, for its depth and its metadata.
        target: the file proposed.
        sidecar: whether a sidecar is proposed.
        how: what else is proposed.
        parent: the window.
    """

    def __init__(
        self, image: Image, target: Path, sidecar: bool, how: Encoding = AS_INPUT, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Save the denoised picture"))
        self._image = image
        self.over_original = False

        self.path = QLineEdit(str(target))
        self.path.setAccessibleName(tr("File"))
        self.path.setMinimumWidth(theme.length(380))
        browse = QPushButton(tr("Browse…"))
        self.pages = QComboBox()
        self.pages.addItem(tr("All {pages} pages").format(pages=image.pages), True)
        self.pages.addItem(tr("Only page {page}").format(page=image.page + 1), False)
        self.kind = QComboBox()
        for kind in TYPES:
            self.kind.addItem(kind.name, kind)
        self.bits = QComboBox()
        self.compression = QComboBox()
        self.lossless = QCheckBox(tr("Lossless: every sample exactly as computed"))
        self.lossless.setChecked(bool(how.lossless))
        self.quality = QSpinBox()
        self.quality.setRange(1, 100)
        self.quality.setAccessibleName(tr("Quality"))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(1, 100)
        self.slider.setAccessibleName(tr("Quality"))
        self.sidecar = QCheckBox(tr("Write a sidecar: what was done, so that it can be repeated"))
        self.sidecar.setChecked(sidecar)
        self.gps = QCheckBox(tr("Keep where it was taken (GPS, names of places), if the picture says so"))
        self.gps.setChecked(how.keep_place)
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setWordWrap(True)
        self.note.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.note.setMinimumHeight(3 * self.note.fontMetrics().lineSpacing())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.button(QDialogButtonBox.StandardButton.Save).setObjectName("primary")

        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(browse)
        self._qualities = QWidget()
        qualities = QHBoxLayout(self._qualities)
        qualities.setContentsMargins(0, 0, 0, 0)
        qualities.addWidget(self.slider, 1)
        qualities.addWidget(self.quality)
        form = self.form = QFormLayout()
        for text, buddy, field in (
            (tr("&File"), self.path, row),
            (tr("&Pages"), self.pages, self.pages),
            (tr("F&ormat"), self.kind, self.kind),
            (tr("&Depth"), self.bits, self.bits),
            (tr("&Compression"), self.compression, self.compression),
        ):
            label = QLabel(text)
            label.setBuddy(buddy)
            form.addRow(label, field)
        form.setRowVisible(self.pages, image.pages > 1)
        form.addRow("", self.lossless)
        label = QLabel(tr("&Quality"))
        label.setBuddy(self.quality)
        form.addRow(label, self._qualities)
        form.addRow(self.sidecar)
        form.addRow(self.gps)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addStretch(1)
        layout.addWidget(buttons)

        self.quality.valueChanged.connect(self.slider.setValue)
        self.slider.valueChanged.connect(self.quality.setValue)
        self.quality.setValue(how.quality)
        # What was chosen, for when a type that has no choice is passed on the way to one that has.
        self._bits, self._lossless, self._compression = how.bits, how.lossless, how.compression
        self._all_pages = image.pages > 1
        self.pages.activated.connect(self._take_pages)
        self.path.textChanged.connect(self._follow_suffix)
        self.kind.currentIndexChanged.connect(self._change_suffix)
        self.bits.currentIndexChanged.connect(self._take_bits)
        self.compression.activated.connect(self._take_compression)
        self.lossless.clicked.connect(self._take_lossless)
        browse.clicked.connect(self._browse)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._show_kind(file_type(self._path()) or TYPES[0])
        self._fill_bits()
        if self._comes_from_heic() and image.bits == 8 and self._kind.name == "TIFF":
            self.bits.setCurrentIndex(self.bits.findData(16))

    @property
    def _kind(self) -> FileType:
        return self.kind.currentData()

    def target(self) -> Target:
        """What was chosen."""
        how = Encoding(
            bits=self.bits.currentData(),
            quality=self.quality.value(),
            lossless=self._lossless,
            compression=self._compression,
            keep_place=self.gps.isChecked(),
        )
        return Target(self._path(), how, self.sidecar.isChecked(), self._all_pages and self._can_hold_pages())

    def _path(self) -> Path:
        return Path(self.path.text().strip()).expanduser()

    def _can_hold_pages(self) -> bool:
        return self._image.pages > 1 and holds_pages(self._path(), self._image)

    def _take_pages(self) -> None:
        self._all_pages = self.pages.currentData()
        self._explain()

    def _comes_from_heic(self) -> bool:
        return self._image.metadata.format == "HEIF"

    def _show_kind(self, kind: FileType) -> None:
        self.kind.blockSignals(True)
        self.kind.setCurrentIndex(TYPES.index(kind))
        self.kind.blockSignals(False)

    def _follow_suffix(self) -> None:
        kind = file_type(self._path())
        if kind is not None and kind is not self._kind:
            self._show_kind(kind)
            self._fill_bits()
        self._explain()

    def _change_suffix(self) -> None:
        path, kind = self._path(), self._kind
        if file_type(path) is not kind:
            suffix = kind.suffixes[0]
            if suffix == ".ppm" and self._image.channels == 1:
                suffix = ".pgm"
            self.path.setText(str(path.with_suffix(suffix) if path.suffix else f"{path}{suffix}"))
        self._fill_bits()

    def _fill_bits(self) -> None:
        """Offer the depths and compressions of the type."""
        kind = self._kind
        names = {
            bits: tr("32-bit float") if bits == 32 else tr("{bits} bits").format(bits=bits)
            for bits in (8, 10, 12, 16, 32)
        }
        own = kind.bits_for(self._image)
        is_own = own == self._image.bits
        self.bits.blockSignals(True)
        self.bits.clear()
        has_choice = len(kind.bits) > 1
        self.bits.addItem(
            f"{tr('As the input') if is_own else tr('Automatic')} ({names[own]})" if has_choice else names[own], None
        )
        for bits in kind.bits if has_choice else ():
            is_rare = kind.name == "JPEG" and bits == 12
            self.bits.addItem(
                tr("{bits}, read by few programs").format(bits=names[bits]) if is_rare else names[bits], bits
            )
        self.bits.setCurrentIndex(max(0, self.bits.findData(self._bits)))
        self.bits.setEnabled(has_choice)
        self.bits.blockSignals(False)
        self.compression.clear()
        for name in kind.compressions:
            self.compression.addItem(COMPRESSIONS[name], name)
        self.compression.setCurrentIndex(max(0, self.compression.findData(self._compression)))
        self._show_choices()

    def _take_bits(self) -> None:
        self._bits = self.bits.currentData()
        self._show_choices()

    def _take_compression(self) -> None:
        self._compression = self.compression.currentData()

    def _take_lossless(self, is_on: bool) -> None:
        self._lossless = is_on
        self._show_choices()

    def _show_choices(self) -> None:
        """Show what the type lets choose, and nothing else."""
        kind, bits = self._kind, self.bits.currentData() or self._kind.bits_for(self._image)
        is_lossless = kind.is_lossless(Encoding(lossless=self._lossless), bits, self._image)
        # What is lossless though it was not wanted is so whatever is chosen.
        is_free = not kind.is_lossless(Encoding(lossless=False), bits, self._image)
        self.lossless.setChecked(is_lossless)
        self.lossless.setEnabled(is_free)
        self.form.setRowVisible(self.compression, bool(kind.compressions))
        self.form.setRowVisible(self.lossless, kind.lossless is None)
        self.form.setRowVisible(self._qualities, not is_lossless)
        self._explain()

    def _explain(self) -> None:
        notes = []
        path = self._path()
        if self._image.pages > 1:
            can = self._can_hold_pages()
            self.pages.setEnabled(can)
            self.pages.setCurrentIndex(self.pages.findData(can and self._all_pages))
            if can and self._all_pages:
                notes.append(tr("All {pages} pages are denoised and saved.").format(pages=self._image.pages))
            elif not can:
                notes.append(
                    tr("This type holds one picture: only page {page} is saved; TIFF holds all {pages} pages.").format(
                        page=self._image.page + 1, pages=self._image.pages
                    )
                )
        if self._comes_from_heic() and self._kind.name == "TIFF":
            notes.append(tr("{note}; a 16-bit TIFF is proposed.").format(note=HEIC_NOTE))
        chosen = self.bits.currentData() or self._kind.bits_for(self._image)
        if chosen < self._image.bits:
            own = (
                tr("32-bit float") if self._image.is_float else tr("{bits} bits a sample").format(bits=self._image.bits)
            )
            notes.append(tr("The input has {own}; {chosen} are written.").format(own=own, chosen=chosen))
        if missing := left_out(self._image, path):
            listed = tr(" and ").join(filter(None, (", ".join(missing[:-1]), missing[-1])))
            notes.append(tr("This type cannot hold the picture's {listed}.").format(listed=listed))
        if path.exists():
            notes.append(tr("A file of this name exists."))
        self.note.setText(" ".join(notes))

    def _browse(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, tr("Save as"), self.path.text(), options=QFileDialog.Option.DontConfirmOverwrite
        )
        if name:
            self.path.setText(name)

    def accept(self) -> None:
        """Ask before a file is replaced, and in other words before the original is."""
        path, original = self._path(), self._image.path
        if not path.name or not path.parent.is_dir():
            self.note.setText(
                tr("There is no folder {folder}.").format(folder=path.parent) if path.name else tr("Name a file.")
            )
            return
        try:
            check_target(self._image, path, self.bits.currentData())
        except ImageError as error:
            self.note.setText(f"{error}.")
            return
        is_original = original is not None and path.exists() and original.exists() and path.samefile(original)
        if is_original:
            question = tr("{name} is the original. Replace it? The noisy picture will be gone for good.").format(
                name=path.name
            )
            if not confirmed(self, tr("Replace the original?"), question, tr("Replace the original")):
                return
        elif path.exists() and not confirmed(
            self, tr("Replace the file?"), tr("{name} exists already.").format(name=path.name), tr("Replace")
        ):
            return
        self.over_original = is_original
        super().accept()
