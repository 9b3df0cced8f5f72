"""The first page of the batch window: which pictures, with which settings, into which files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import presets, theme, words
from app.background import Background
from app.batch.choices import Choices, patterns
from app.batch.plan import (
    CONFLICTS,
    FIELDS,
    BatchError,
    Filter,
    Found,
    Item,
    Naming,
    Planner,
    estimate_bytes,
    find,
    free_bytes,
)
from app.batch.saved import BatchJob, Watch
from app.column import Column
from app.combo import Combo
from app.save_dialog import COMPRESSIONS
from app.values import Values
from app.workspace import Entry, Workspace
from engine.encode import TYPES, Encoding, FileType
from engine.language import tr, trn
from engine.worker import Job, Kind

LIST, SELECTION, FOLDER = range(3)

_REST_MS = 250
_PRESET = "preset:"
_SECTION = 14
"""Pixels above a heading."""

# ---- On the worker ----


def _looking(folder: Path, which: Filter, out: Path | None) -> Iterator[Any]:
    """Return what is `Found`."""
    yield None
    return find([folder], which, out)


def _planning(found: Sequence[Found], naming: Naming, how: Encoding, conflict: str) -> Iterator[Any]:
    """Yield the items; return what they will take on the disk and what is free there, in bytes."""
    yield None
    items = Planner(naming, how, conflict).plan(found)
    yield items
    return estimate_bytes(items, how), free_bytes(items)


# ---- The page ----


class SetupPage(QWidget):
    """Everything that a batch needs to be known; what it finds and plans is looked for in the background."""

    changed = Signal()
    """`problem` may be another one."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.choices = Choices.from_json(workspace.settings.batch)
        self._selected: list[Entry] = []
        self._sources: list[Entry] = []
        self._found: list[Found] | None = None
        self._items: list[Item] | None = None
        self._size: tuple[int, int | None] | None = None
        self._error = ""
        self._must_look = True
        self._look_job: Job | None = None
        self._plan_job: Job | None = None
        self._background = Background("planning a batch", self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._work)
        self._build()
        self._take_choices()
        self._connect()
        self._fill_settings()
        self._show_state()

    # ---- Parts ----

    def _build(self) -> None:
        inside = QWidget()
        inside.setMaximumWidth(theme.length(900))
        form = QGridLayout(inside)
        form.setContentsMargins(16, 8, 16, 8)
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(7)
        form.setColumnStretch(1, 1)
        self._form = form
        self._build_source()
        self._build_settings()
        self._build_target()
        self._build_file()
        form.setRowStretch(form.rowCount(), 1)
        scroll = Column(inside)
        self.notice = QLabel()
        self.notice.setObjectName("warning")
        self.notice.setWordWrap(True)
        self.notice.setContentsMargins(16, 4, 16, 6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.notice)
        for widget in inside.findChildren(QWidget):
            if isinstance(widget, QComboBox | QSpinBox | QDoubleSpinBox):
                widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                widget.installEventFilter(self)

    def _build_source(self) -> None:
        self._heading(tr("Which pictures"))
        self.source = QButtonGroup(self)
        self.of_list, self.of_selection, self.of_folder = QRadioButton(), QRadioButton(), QRadioButton(tr("A &folder"))
        for number, button in enumerate((self.of_list, self.of_selection, self.of_folder)):
            self.source.addButton(button, number)
        row = QHBoxLayout()
        row.setSpacing(20)
        row.addWidget(self.of_list)
        row.addWidget(self.of_selection)
        row.addWidget(self.of_folder)
        self.count = QLabel()
        self.count.setObjectName("muted")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.count.setWordWrap(True)
        self.count.setAccessibleName(tr("Pictures found"))
        row.addWidget(self.count, 1)
        self._form.addLayout(row, self._form.rowCount(), 0, 1, 2)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(tr("Drop a folder of pictures here, or choose one"))
        self.folder.setAcceptDrops(False)
        self.choose = QPushButton(tr("&Choose…"))
        self.choose.setToolTip(tr("Choose the folder to denoise"))
        self.folder_label = self._row(tr("F&older"), self.folder, self.choose)
        self.recursive = QCheckBox(tr("With the folders &inside it"))
        self.include, self.exclude = QLineEdit(), QLineEdit()
        self.include.setPlaceholderText(tr("all pictures"))
        self.include.setToolTip(words.wrapped(tr("Names with * for any signs, separated by commas: *.jpg, 2024/*")))
        self.include.setAccessibleName(tr("Only these"))
        self.exclude.setPlaceholderText(tr("none"))
        self.exclude.setToolTip(words.wrapped(tr("Names with * for any signs, separated by commas: results, say")))
        self.exclude.setAccessibleName(tr("But not these"))
        filters = QHBoxLayout()
        filters.setSpacing(8)
        filters.addWidget(self.recursive)
        filters.addSpacing(8)
        self.filter_labels = [QLabel(tr("Onl&y")), QLabel(tr("&but not"))]
        for label, field in zip(self.filter_labels, (self.include, self.exclude), strict=True):
            label.setBuddy(field)
            filters.addWidget(label)
            filters.addWidget(field, 1)
        self._form.addLayout(filters, self._form.rowCount(), 1)
        self.watch = QCheckBox(tr("Also denoise what arri&ves in it, until the batch is stopped"))
        self.watch.setToolTip(words.wrapped(tr("The folder is looked into every two seconds.")))
        self._form.addWidget(self.watch, self._form.rowCount(), 1)

    def _build_settings(self) -> None:
        self._heading(tr("How they are denoised"))
        self.settings = _combo()
        self.settings.setToolTip(words.wrapped(tr("Method, model, strength and all that the panel has")))
        self._row(tr("&Settings"), self.settings)
        self.level = _combo()
        self.level.addItem(tr("Measured for each picture; a level set by hand stays"), "measured")
        self.level.addItem(tr("One for all"), "one")
        self.sigma = QDoubleSpinBox()
        self.sigma.setRange(0, 150)
        self.sigma.setDecimals(1)
        self.sigma.setValue(25)
        self.sigma.setAccessibleName(tr("Noise level, sigma"))
        self.sigma.setToolTip(words.wrapped(tr("Standard deviation of the noise on a scale of 0 to 255")))
        self._row(tr("&Noise level"), self.level, self.sigma)

    def _build_target(self) -> None:
        self._heading(tr("Where results go"))
        self.place = QButtonGroup(self)
        self.beside, self.to_folder = QRadioButton(tr("Besi&de the originals")), QRadioButton(tr("In the folde&r"))
        self.place.addButton(self.beside)
        self.place.addButton(self.to_folder)
        self.target = QLineEdit()
        self.target.setAccessibleName(tr("Folder of the results"))
        self.target.setPlaceholderText(tr("It is made if it is not there"))
        self.target.setAcceptDrops(False)
        self.choose_target = QPushButton(tr("Choos&e…"))
        self.choose_target.setToolTip(tr("Choose the folder of the results"))
        row = QHBoxLayout()
        row.setSpacing(12)
        for widget in (self.beside, self.to_folder, self.target, self.choose_target):
            row.addWidget(widget, 1 if widget is self.target else 0)
        self._form.addLayout(row, self._form.rowCount(), 0, 1, 2)
        self.mirrors = QCheckBox(tr("&With the same folders inside it"))
        self._form.addWidget(self.mirrors, self._form.rowCount(), 1)
        self.pattern = QLineEdit()
        fields = "; ".join(f"{{{name}}}: {what}" for name, what in FIELDS.items())
        self.pattern.setToolTip(words.wrapped(tr("In braces: {fields}").format(fields=fields)))
        self.conflict = _combo()
        for name, text in CONFLICTS.items():
            self.conflict.addItem(text, name)
        self._row(tr("Na&me"), self.pattern)
        self.example = _muted()
        self.example.setAccessibleName(tr("Example"))
        self._form.addWidget(self.example, self._form.rowCount(), 1)
        self._row(tr("If a file e&xists"), self.conflict)

    def _build_file(self) -> None:
        self._heading(tr("Files"))
        self.kind = _combo()
        self.kind.addItem(tr("As the input"), "")
        for kind in TYPES:
            self.kind.addItem(kind.name, kind.suffixes[0])
        self.bits, self.compression = _combo(), _combo()
        self.bits.setAccessibleName(tr("Depth"))
        self.compression.setAccessibleName(tr("Compression"))
        self.lossless = QCheckBox(tr("Lossless"))
        self.lossless.setToolTip(tr("Every sample exactly as computed"))
        self.quality = QSpinBox()
        self.quality.setRange(1, 100)
        self.quality.setPrefix(tr("Quality") + " ")
        self.quality.setAccessibleName(tr("Quality"))
        self.quality.setToolTip(tr("Of files that lose something, as JPEG and AVIF"))
        self._row(tr("Format"), self.kind, self.bits)
        how = QHBoxLayout()
        how.setSpacing(8)
        how.addWidget(self.compression, 1)
        how.addWidget(self.lossless)
        how.addWidget(self.quality)
        self._form.addLayout(how, self._form.rowCount(), 1)
        self.gps = QCheckBox(tr("&Keep where they were taken (GPS)"))
        self.sidecar = QCheckBox(tr("Write sidecars: how &pictures were made"))
        self.sidecar.setToolTip(tr("All that is needed to make a result once more"))
        self.huge = QCheckBox(tr("&Huge pictures, too"))
        self.huge.setToolTip(
            words.wrapped(tr("Those of more than 1000 megapixels, which take long and much of the disk"))
        )
        row = QVBoxLayout()
        row.setSpacing(0)
        row.addWidget(self.gps)
        row.addWidget(self.sidecar)
        row.addWidget(self.huge)
        self._form.addLayout(row, self._form.rowCount(), 1)
        self.disk = _muted()
        self.disk.setAccessibleName(tr("Room on the disk"))

    def _heading(self, text: str) -> None:
        label = QLabel(text)
        label.setObjectName("heading")
        label.setContentsMargins(0, 0 if self._form.count() == 0 else _SECTION, 0, 0)
        self._form.addWidget(label, self._form.rowCount(), 0, 1, 2)

    def _row(self, text: str, widget: QWidget, *more: QWidget) -> QLabel:
        label = QLabel(text)
        label.setBuddy(widget)
        widget.setAccessibleName(text.replace("&", ""))
        row = self._form.rowCount()
        self._form.addWidget(label, row, 0)
        box = QHBoxLayout()
        box.setSpacing(8)
        box.addWidget(widget, 1)
        for other in more:
            box.addWidget(other)
        self._form.addLayout(box, row, 1)
        return label

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Scroll past a field whose value nobody meant to change."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _connect(self) -> None:
        self.source.idToggled.connect(lambda _, on: self._source_changed() if on else None)
        self.folder.textChanged.connect(lambda: self._change(look=True))
        self.choose.clicked.connect(self._ask_folder)
        for field in (self.include, self.exclude):
            field.textChanged.connect(lambda: self._change(look=True))
        self.recursive.toggled.connect(lambda: self._change(look=True))
        self.watch.toggled.connect(lambda: self._change())
        self.settings.activated.connect(lambda: self._show_state())
        self.level.activated.connect(lambda: self._show_state())
        self.to_folder.toggled.connect(lambda: self._change(look=True))
        self.target.textChanged.connect(lambda: self._change(look=self.source.checkedId() == FOLDER))
        self.choose_target.clicked.connect(self._ask_target)
        self.mirrors.toggled.connect(lambda: self._change())
        self.pattern.textChanged.connect(lambda: self._change())
        self.conflict.activated.connect(lambda: self._change())
        self.kind.activated.connect(self._kind_changed)
        self.bits.activated.connect(lambda: self._change())
        self.lossless.toggled.connect(lambda: self._show_file_choices())
        self.workspace.images_changed.connect(self._list_changed)
        self.workspace.models_changed.connect(self._show_state)

    def _take_choices(self) -> None:
        """Show what was chosen last."""
        choices = self.choices
        self.folder.setText(choices.source)
        self.recursive.setChecked(choices.recursive)
        self.include.setText(choices.include)
        self.exclude.setText(choices.exclude)
        (self.to_folder if choices.to_folder else self.beside).setChecked(True)
        self.target.setText(choices.folder)
        self.mirrors.setChecked(choices.mirrors)
        self.pattern.setText(choices.pattern)
        self.conflict.setCurrentIndex(max(0, self.conflict.findData(choices.conflict)))
        self.kind.setCurrentIndex(max(0, self.kind.findData(choices.kind)))
        self._fill_file_choices()
        self.bits.setCurrentIndex(max(0, self.bits.findData(choices.bits)))
        self.compression.setCurrentIndex(max(0, self.compression.findData(choices.compression)))
        self.lossless.setChecked(choices.lossless)
        self.quality.setValue(choices.quality)
        self.gps.setChecked(self.workspace.settings.gps)
        self.sidecar.setChecked(self.workspace.settings.sidecar)
        self.of_list.setChecked(True)

    # ---- What is asked ----

    def enter(self, source: int | None = None, selected: Sequence[Entry] = (), folder: Path | None = None) -> None:
        """Show the page, for a source: LIST, SELECTION or FOLDER; None for the one it was left with."""
        self._selected = list(selected)
        if folder is not None:
            self.folder.setText(str(folder))
        self._fill_settings()
        if source is not None:
            self.source.button(source).setChecked(True)
        self._source_changed()

    def close_page(self) -> None:
        """End the thread."""
        self._rest.stop()
        self._background.close()

    @property
    def problem(self) -> str:
        """Why it cannot be started, as a sentence; "" where it can."""
        if self._error:
            return self._error
        if self._found is None or self._items is None:
            return tr("Looking for pictures…")
        if not self._items and self.watch.isChecked() and self._is_of_folder:
            return ""
        if not self._items:
            if self._is_of_folder:
                return tr("There is no picture in this folder that is wanted.")
            return tr("There is no picture in the list: open some, or choose a folder.")
        todo = [item for item in self._items if not item.problem]
        if todo or (self.watch.isChecked() and self._is_of_folder):
            return ""
        if all(item.is_wanted for item in self._items):
            return tr("All results exist already: choose another folder or name, or let files be replaced or numbered.")
        return f"{next(item.problem for item in self._items if not item.is_wanted)}."

    @property
    def is_pending(self) -> bool:
        """Whether `problem` is only that it is still being looked."""
        return not self._error and (self._found is None or self._items is None)

    def job(self) -> BatchJob:
        """What is asked; only where there is no `problem`."""
        assert self._items is not None
        values = self._values()
        own = [values] * len(self._items) if isinstance(values, Values) else values
        items = tuple(replace(item, values=one) for item, one in zip(self._items, own, strict=True))
        watch = None
        if self.watch.isChecked() and self._is_of_folder and isinstance(values, Values):
            watch = Watch((self._folder,), self._filter(), self._naming(), self.conflict.currentData(), values)
        settings = self.workspace.settings
        sidecar, huge = self.sidecar.isChecked(), self.huge.isChecked()
        return BatchJob(items, self._encoding(), sidecar, settings.seed, settings.device, watch, huge)

    def keep(self) -> None:
        """Remember what was chosen for the next time."""
        self.choices = Choices(
            settings=self.settings.currentData() or "own",
            to_folder=self.to_folder.isChecked(),
            folder=self.target.text().strip(),
            mirrors=self.mirrors.isChecked(),
            pattern=self.pattern.text(),
            conflict=self.conflict.currentData(),
            kind=self.kind.currentData(),
            bits=self.bits.currentData() or 0,
            lossless=self.lossless.isChecked(),
            compression=self.compression.currentData() or "",
            quality=self.quality.value(),
            source=self.folder.text().strip(),
            recursive=self.recursive.isChecked(),
            include=self.include.text(),
            exclude=self.exclude.text(),
        )
        self.workspace.change_settings(
            batch=self.choices.as_json(), gps=self.gps.isChecked(), sidecar=self.sidecar.isChecked()
        )

    @property
    def _is_of_folder(self) -> bool:
        return self.source.checkedId() == FOLDER

    @property
    def _folder(self) -> Path:
        return Path(self.folder.text().strip()).expanduser()

    @property
    def _out(self) -> Path | None:
        """The folder of the results; None beside the originals."""
        return Path(self.target.text().strip()).expanduser() if self.to_folder.isChecked() else None

    def _filter(self) -> Filter:
        return Filter(self.recursive.isChecked(), patterns(self.include.text()), patterns(self.exclude.text()))

    def _naming(self) -> Naming:
        """BatchError where the pattern makes no sense."""
        return Naming(self._out, self.pattern.text(), self.mirrors.isChecked())

    @property
    def _type(self) -> FileType | None:
        """The one that was chosen; None for the input's."""
        return next((kind for kind in TYPES if kind.suffixes[0] == self.kind.currentData()), None)

    def _encoding(self) -> Encoding:
        kind = self._type
        return Encoding(
            suffix=self.kind.currentData(),
            bits=self.bits.currentData() or None,
            quality=self.quality.value(),
            lossless=self.lossless.isChecked() if kind is not None and kind.lossless is None else None,
            compression=self.compression.currentData() or "",
            keep_place=self.gps.isChecked(),
        )

    def _values(self) -> Values | list[Values]:
        """For all pictures of a folder, or for each of the list."""
        chosen = self.settings.currentData() or "own"
        base = None
        if chosen == "current":
            base = self.workspace.values.for_others()
        elif chosen == "automatic":
            base = Values()
        elif chosen.startswith(_PRESET):
            name = chosen.removeprefix(_PRESET)
            base = next((preset.values for preset in presets.load_all() if preset.name == name), Values())
        if self._is_of_folder:
            return self._with_level(base or Values())
        return [self._with_level(base.onto(entry.values) if base else entry.values) for entry in self._sources]

    def _with_level(self, values: Values) -> Values:
        """With one noise level for all, where that is wanted."""
        if self.level.currentData() != "one":
            return values
        params: dict[str, Mapping[str, Any]] = dict(values.params)
        for method in self.workspace.catalog.methods:
            spec = next((spec for spec in method.specs if spec.name == "sigma"), None)
            if spec is not None:
                level = min(spec.maximum, max(spec.minimum, self.sigma.value() / 255))
                params[method.id] = {**params.get(method.id, {}), "sigma": level}
        return replace(values, params=params)

    # ---- Changes ----

    def _source_changed(self) -> None:
        self._fill_settings()
        self._change(look=True)

    def _list_changed(self) -> None:
        here = set(map(id, self.workspace.entries))
        self._selected = [entry for entry in self._selected if id(entry) in here]
        if not self._is_of_folder and self.isVisible():
            self._change(look=True)

    def _kind_changed(self) -> None:
        kind = self._type
        self._fill_file_choices()
        self.lossless.setChecked(kind is not None and kind.usually_lossless)
        self._change()

    def _fill_file_choices(self) -> None:
        """Offer what the type lets choose."""
        kind = self._type
        chosen = self.bits.currentData()
        self.bits.clear()
        self.bits.addItem(tr("Depth of the input"), 0)
        for bits in kind.bits if kind is not None else ():
            self.bits.addItem(tr("32-bit float") if bits == 32 else tr("{bits} bits").format(bits=bits), bits)
        self.bits.setCurrentIndex(max(0, self.bits.findData(chosen)))
        self.compression.clear()
        for name in kind.compressions if kind is not None else ():
            self.compression.addItem(COMPRESSIONS[name], name)
        self._show_file_choices()

    def _show_file_choices(self) -> None:
        kind = self._type
        self.bits.setVisible(kind is not None and len(kind.bits) > 1)
        self.compression.setVisible(kind is not None and bool(kind.compressions))
        self.lossless.setVisible(kind is not None and kind.lossless is None)
        is_lossless = kind is not None and (self.lossless.isChecked() if kind.lossless is None else kind.lossless)
        self.quality.setVisible(not is_lossless)

    def _fill_settings(self) -> None:
        chosen = self.settings.currentData() or self.choices.settings
        self.settings.clear()
        if self._is_of_folder:
            self.settings.addItem(tr("Automatic: what suits the noise of each picture"), "automatic")
        else:
            self.settings.addItem(tr("Each picture's own"), "own")
        current = self.workspace.current
        named = (
            tr("Those of {name}").format(name=current.name)
            if current is not None
            else tr("Those that are set in the panel")
        )
        self.settings.addItem(named if self._is_of_folder else tr("{named}, for all").format(named=named), "current")
        for preset in presets.load_all():
            self.settings.addItem(tr("Preset {name}").format(name=preset.name), f"{_PRESET}{preset.name}")
        self.settings.setCurrentIndex(max(0, self.settings.findData(chosen)))

    def _ask_folder(self) -> None:
        start = self.folder.text() or self.workspace.settings.folder
        name = QFileDialog.getExistingDirectory(self, tr("Choose the folder to denoise"), start)
        if name:
            self.of_folder.setChecked(True)
            self.folder.setText(name)

    def _ask_target(self) -> None:
        start = self.target.text() or self.workspace.settings.folder
        name = QFileDialog.getExistingDirectory(self, tr("Choose the folder of the results"), start)
        if name:
            self.to_folder.setChecked(True)
            self.target.setText(name)

    def _change(self, look: bool = False) -> None:
        """Something of which the plan depends is another; with `look` also which pictures there are."""
        self._must_look = self._must_look or look
        for job in (self._plan_job, self._look_job if look else None):
            self._background.drop(job)
        self._items = self._size = None
        if self._must_look:
            self._found = None
        self._error = self._find_error()
        self._rest.start()
        self._show_state()

    @property
    def _source_error(self) -> str:
        """Why there is nothing to look for pictures in."""
        if not self._is_of_folder:
            return ""
        if not self.folder.text().strip():
            return tr("Choose the folder to denoise.")
        return "" if self._folder.is_dir() else tr("There is no folder {folder}.").format(folder=self._folder)

    def _find_error(self) -> str:
        """What is wrong whatever the pictures are."""
        if self._source_error:
            return self._source_error
        try:
            naming = self._naming()
        except BatchError as error:
            return f"{error}."
        out = naming.folder
        if out is not None and not self.target.text().strip():
            return tr("Choose the folder of the results, or save them beside the originals.")
        if out is not None and not out.is_absolute():
            return tr("The folder of the results, {out}, must be a whole path.").format(out=out)
        if out is not None and (problem := _unwritable(out)):
            return problem
        feeds_itself = out is None or os.path.realpath(out) == os.path.realpath(self._folder)
        if self.watch.isChecked() and self._is_of_folder and feeds_itself:
            return tr("Choose another folder for the results: in the one that is watched they would be denoised again.")
        return ""

    def _work(self) -> None:
        """Look for pictures, or plan for those that were found."""
        if self._source_error:
            return
        if not self._must_look and self._found is not None:
            self._plan()
            return
        self._must_look = False
        if self._is_of_folder:
            folder, which, out = self._folder, self._filter(), self._out

            def handle(kind: Kind, value: Any) -> None:
                if kind is Kind.DONE:
                    self._found = value
                    self._plan()
                elif kind is Kind.FAILED:
                    self._error = tr("The folder cannot be looked into: {reason}.").format(reason=value)
                self._show_state()

            self._look_job = self._background.submit(lambda: _looking(folder, which, out), handle)
            return
        entries = self._selected if self.source.checkedId() == SELECTION else self.workspace.entries
        self._sources = [entry for entry in entries if entry.path is not None]
        self._found = [Found(entry.path, entry.path.parent) for entry in self._sources if entry.path is not None]
        self._plan()

    def _plan(self) -> None:
        if self._error:
            self._show_state()
            return
        found, naming, how, conflict = self._found, self._naming(), self._encoding(), self.conflict.currentData()
        assert found is not None

        def handle(kind: Kind, value: Any) -> None:
            if kind is Kind.PROGRESS and value is not None:
                self._items = value
            elif kind is Kind.DONE:
                self._size = value
            elif kind is Kind.FAILED:
                self._error = tr("The batch cannot be planned: {reason}.").format(reason=value)
            self._show_state()

        self._background.drop(self._plan_job)
        self._plan_job = self._background.submit(lambda: _planning(found, naming, how, conflict), handle)
        self._show_state()

    # ---- Showing ----

    def _show_state(self) -> None:
        total = sum(entry.path is not None for entry in self.workspace.entries)
        self.of_list.setText(
            tr("&All {total:,} of the list").format(total=total) if total > 1 else tr("&All of the list")
        )
        self.of_list.setEnabled(total > 0)
        self.of_selection.setText(_selection(len(self._selected)))
        self.of_selection.setEnabled(bool(self._selected))
        is_folder = self._is_of_folder
        for widget in (self.folder_label, self.folder, self.choose, self.recursive, self.include, self.exclude):
            widget.setVisible(is_folder)
        for widget in (*self.filter_labels, self.watch):
            widget.setVisible(is_folder)
        self.target.setEnabled(self.to_folder.isChecked())
        self.choose_target.setEnabled(self.to_folder.isChecked())
        self.mirrors.setVisible(is_folder)
        self.mirrors.setEnabled(self.to_folder.isChecked() and self.recursive.isChecked())
        self.sigma.setEnabled(self.level.currentData() == "one")
        self._show_count()
        self._show_example()
        self._show_disk()
        self.notice.setText("" if self.is_pending else self.problem)
        self.notice.setVisible(bool(self.notice.text()))
        self.changed.emit()

    def _show_count(self) -> None:
        if self._found is None:
            text = "" if self._source_error else tr("Looking for pictures…")
        else:
            parts = [_pictures(len(self._found))]
            pasted = sum(entry.path is None for entry in self._selected or self.workspace.entries)
            exist = sum(bool(item.problem) and item.is_wanted for item in self._items or ())
            if not self._is_of_folder and pasted:
                parts.append(
                    trn(
                        "{count} from the clipboard is left out, save it by itself",
                        "{count} from the clipboard are left out, save them one by one",
                        pasted,
                    ).format(count=pasted)
                )
            if exist:
                parts.append(
                    trn(
                        "the result of {count:,} exists and is left as it is",
                        "the results of {count:,} exist and are left as they are",
                        exist,
                    ).format(count=exist)
                )
            text = "; ".join(parts)
        self.count.setText(text)

    def _show_example(self) -> None:
        try:
            naming = self._naming()
        except BatchError:
            self.example.clear()
            return
        first = next((item for item in self._items or () if not item.problem), None)
        if first is not None:
            path, target = first.path, first.target
        else:
            one = self._found[0] if self._found else Found(Path("folder/IMG_0001.jpg"), Path("folder"))
            path = one.path
            target = naming.target(path, one.root, 1, max(1, len(self._found or ())), self._encoding())
        shown = target.name
        if naming.folder is not None and target.is_relative_to(naming.folder):
            shown = target.relative_to(naming.folder).as_posix()
        self.example.setText(tr("{name} becomes {result}").format(name=path.name, result=shown))
        self.example.setToolTip(words.wrapped(str(target)))

    def _show_disk(self) -> None:
        is_too_little = False
        if self._size is None:
            text = tr("Estimating how much will be written…") if self._items else ""
        else:
            size, free = self._size
            text = tr("About {size} will be written").format(size=_size(size))
            if free is not None:
                is_too_little = size > free
                room = tr("{size} are free: too little") if is_too_little else tr("{size} are free")
                text += f"; {room.format(size=_size(free))}"
            text = text if size else ""
        self.disk.setText(text)
        theme.restyle(self.disk, "bad" if is_too_little else "muted")


def _unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder that may not be there yet; "" where that seems possible."""
    if folder.exists() and not folder.is_dir():
        return tr("{folder} is a file; the results need a folder.").format(folder=folder)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return (
        ""
        if os.access(folder, os.W_OK)
        else tr("Nothing can be written into {folder}; choose another folder.").format(folder=folder)
    )


def _selection(count: int) -> str:
    if not count:
        return tr("The selection")
    return trn("The selected one", "The {count:,} selected", count).format(count=count)


def _pictures(count: int) -> str:
    return trn("{count:,} picture", "{count:,} pictures", count).format(count=count)


def _size(size: int) -> str:
    """Bytes for people."""
    for unit, step in (("GB", 1e9), ("MB", 1e6)):
        if size >= step:
            return f"{size / step:.1f} {unit}" if size < 100 * step else f"{size / step:,.0f} {unit}"
    return f"{max(1, round(size / 1000.0))} KB"


def _combo() -> QComboBox:
    return Combo()


def _muted() -> QLabel:
    label = QLabel()
    label.setObjectName("muted")
    label.setWordWrap(True)
    return label
