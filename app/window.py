"""The main window: the comparison in the middle, the panel beside it, the filmstrip below, and every action."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QByteArray, QEvent, QMimeData, QObject, Qt
from PySide6.QtGui import QIcon, QImage, QKeyEvent
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDockWidget,
    QFileDialog,
    QLabel,
    QMainWindow,
    QMessageBox,
    QProgressBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

import engine
from app import presets, theme, words
from app.actions import MODES, NEED_A_PICTURE, Actions
from app.batch import saved as batches
from app.batch.queue import Queue
from app.batch.report import counted
from app.batch.setup_page import FOLDER, LIST, SELECTION
from app.batch.window import BatchWindow, ask_before_stopping, interrupted_sentence
from app.column import Column
from app.controls import Controls
from app.dialogs import (
    ConventionDialog,
    Preferences,
    ShortcutsDialog,
    TextDialog,
    ask_export,
    card_text,
    confirmed,
)
from app.image_list import FilmStrip
from app.jobs import Oversize
from app.message import ERROR, WARNING, MessageLine
from app.presets import Preset
from app.presets_dialog import PresetsDialog, SavePresetDialog
from app.save_dialog import SaveDialog, last_choice, remembered
from app.viewer import Viewer
from app.wizard.training_run import TrainingRun
from app.wizard.trainings import ask_before_closing
from app.workspace import Entry, NotOpened, Workspace
from engine import paths
from engine.color import conversion, profile_name
from engine.image import EXTENSIONS, Image
from engine.language import tr
from training.run import runs

if TYPE_CHECKING:
    from app.batch.saved import SavedBatch
    from app.wizard.window import Wizard

_HOLD_S = 0.3
"""A key held longer than this shows the original only while it is held."""


class MainWindow(QMainWindow):
    """Shows a workspace and turns what the user does into its calls."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._hidden = ["panels", "filmstrip"]
        self._held: tuple[float, bool] | None = None
        self._note = ""
        self._pasted = itertools.count(1)
        self._wizard: Wizard | None = None
        self._batch: BatchWindow | None = None
        self.queue = Queue(workspace)
        self._presets: PresetsDialog | None = None
        self._training: TrainingRun | None = None
        self.setWindowTitle("Pellucid")
        self.setWindowIcon(QIcon(str(paths.resources() / "icon.png")))
        self.setAcceptDrops(True)

        self.controls = Controls(workspace)
        self.viewer = Viewer(workspace, self.controls.areas)
        self.view = self.viewer.view
        self.strip = FilmStrip(workspace)
        self.message = MessageLine()
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.viewer, 1)
        column.addWidget(self.message)
        column.addWidget(self.strip)
        self.setCentralWidget(centre)

        self.panel = self._dock_panel()
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.viewer.dock)
        self.menus = Actions(self)
        self.actions_by_name = self.menus.by_name
        self._add_status()
        self._fill_menus()
        self.strip.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        for name in ("save_selection", "copy_values", "paste_values", "close"):
            self.strip.addAction(self.actions_by_name[name])

        self.view.mode_changed.connect(self._show_mode)
        self.view.zoom_changed.connect(self._show_zoom)
        self.view.cursor_moved.connect(self._show_cursor)
        self.view.tool_changed.connect(self._show_tool)
        self.view.installEventFilter(self)
        self.viewer.told.connect(self.message.say)
        self.viewer.told.connect(lambda *_: self._show_layer())  # the one that was chosen may be refused
        self.view.loupe_changed.connect(self.actions_by_name["loupe"].setChecked)
        self.viewer.marks_changed.connect(self.actions_by_name["marks"].setChecked)
        self.viewer.dock.visibilityChanged.connect(self._show_inspector)
        workspace.display_changed.connect(self._show_layer)
        self.controls.save_asked.connect(self.save)
        self.controls.reference_asked.connect(self.choose_reference)
        self.controls.card_asked.connect(self.show_card)
        self.strip.remove_asked.connect(workspace.remove)
        self.message.dismissed.connect(workspace.dismiss_failures)
        workspace.current_changed.connect(self._current_changed)
        workspace.picture_ready.connect(self._picture_ready)
        # Later: a question must not be asked inside the event that it answers.
        workspace.too_large.connect(self._ask_huge, Qt.ConnectionType.QueuedConnection)
        workspace.reference_changed.connect(self._show_state)
        workspace.progress.connect(self._show_progress)
        workspace.state_changed.connect(self._show_state)
        workspace.params_changed.connect(self._show_state)
        workspace.settings_changed.connect(self._settings_changed)
        workspace.images_changed.connect(self._show_state)
        workspace.not_opened.connect(self._show_not_opened)
        workspace.failed.connect(self._show_failure)
        workspace.saved.connect(self._show_saved)
        workspace.imported.connect(self._show_imported)
        workspace.copied.connect(self._copy_pixels)
        workspace.convention_needed.connect(self._ask_convention)
        workspace.training_changed.connect(self._follow_training)
        self.queue.state_changed.connect(self._batch_changed)
        self.queue.progressed.connect(self._show_batch)

        self._applied_theme = ""
        self._settings_changed()
        self._restore()
        self._show_state()
        self._show_progress()
        self._show_training()
        self._find_training()
        self._show_batch()
        self._find_batch()
        self.view.setFocus()

    # ---- Parts ----

    def _dock_panel(self) -> QDockWidget:
        dock = QDockWidget(tr("Denoising"), self)
        dock.setObjectName("panel")
        dock.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        dock.setTitleBarWidget(QWidget())
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(Column(self.controls), 1)
        column.addWidget(self.controls.buttons)
        dock.setWidget(box)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        return dock

    def _fill_menus(self) -> None:
        """Connect the menus that are made anew each time they open, and the texts of undo and redo."""
        self.menus.recent_menu.aboutToShow.connect(self._fill_recent)
        self.menus.presets_menu.aboutToShow.connect(self._fill_presets)
        self.controls.presets.setMenu(self.menus.presets_menu)
        history = self.workspace.history
        for signal in (history.undoTextChanged, history.redoTextChanged, history.indexChanged):
            signal.connect(self._show_steps)
        self._show_steps()
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)

    def _add_status(self) -> None:
        bar = self.statusBar()
        bar.setSizeGripEnabled(False)
        self.activity = QLabel()
        self.bar = QProgressBar()
        self.bar.setFixedWidth(160)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("Progress"))
        self.left = QLabel()
        self.place = QLabel()
        self.device = QLabel()
        self.device.setAccessibleName(tr("Device and precision"))
        bar.addWidget(self.bar)
        bar.addWidget(self.activity, 1)
        self.training_button = QToolButton()
        self.training_button.setAutoRaise(True)
        self.training_button.setToolTip(tr("Look at the training"))
        self.training_button.clicked.connect(self.show_training)
        self.batch_button = QToolButton()
        self.batch_button.setAutoRaise(True)
        self.batch_button.setToolTip(tr("Look at the batch"))
        self.batch_button.clicked.connect(self.show_batch)
        for widget in (self.batch_button, self.training_button, self.left, self.place, self.device):
            bar.addPermanentWidget(widget)

    def _restore(self) -> None:
        settings = self.workspace.settings
        self.resize(1280, 820)
        if settings.geometry:
            self.restoreGeometry(QByteArray.fromHex(settings.geometry.encode()))
        if settings.state:
            self.restoreState(QByteArray.fromHex(settings.state.encode()))
        self.viewer.set_mode(settings.view)
        self._show_mode(self.view.mode)
        self._show_layer()
        self.strip.setVisible(settings.filmstrip)
        self.panel.setVisible(settings.panel)
        self.viewer.dock.setVisible(settings.inspector)
        self.actions_by_name["filmstrip"].setChecked(settings.filmstrip)
        self.actions_by_name["panels"].setChecked(settings.panel)

    # ---- Opening ----

    def open(self) -> None:
        """Ask for pictures."""
        patterns = " ".join(f"*{suffix}" for suffix in sorted(EXTENSIONS))
        names, _ = QFileDialog.getOpenFileNames(
            self,
            tr("Open pictures"),
            self.workspace.settings.folder,
            tr("Pictures ({patterns});;All files (*)").format(patterns=patterns),
        )
        if names:
            self._open([Path(name) for name in names])

    def open_folder(self) -> None:
        """Ask for a folder."""
        name = QFileDialog.getExistingDirectory(self, tr("Open a folder"), self.workspace.settings.folder)
        if name:
            self._open([Path(name)])

    def _open(self, given: list[Path]) -> None:
        first = given[0]
        self.workspace.change_settings(folder=str(first if first.is_dir() else first.parent))
        self.workspace.open(given)

    def _fill_recent(self) -> None:
        self.menus.recent_menu.clear()
        for name in self.workspace.settings.recent:
            action = self.menus.recent_menu.addAction(name.replace("&", "&&"))
            action.triggered.connect(lambda *_, name=name: self.workspace.open([name]))
        if self.menus.recent_menu.isEmpty():
            self.menus.recent_menu.addAction(tr("Nothing yet")).setEnabled(False)

    def choose_reference(self) -> None:
        """Ask for the clean twin."""
        name, _ = QFileDialog.getOpenFileName(self, tr("Choose the reference"), self.workspace.settings.folder)
        if name:
            self.workspace.set_reference(name)

    def paste(self) -> None:
        """Open what the clipboard holds: files, or a picture."""
        self._take(QApplication.clipboard().mimeData(), tr("The clipboard holds no picture."))

    def _take(self, data: QMimeData | None, nothing: str) -> None:
        data = data or QMimeData()  # an empty clipboard has none
        files = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        if files:
            self._open(files)
        elif data.hasImage():
            image = QImage(data.imageData())
            if not image.isNull():
                self.workspace.add_image(Image(_pixels_of(image)), tr("pasted {next}").format(next=next(self._pasted)))
        else:
            self.message.say(nothing, kind=WARNING)

    def dragEnterEvent(self, event) -> None:
        """Accept files, folders and pictures, anywhere on the window."""
        data = event.mimeData()
        if any(url.isLocalFile() for url in data.urls()) or data.hasImage():
            event.acceptProposedAction()

    dragMoveEvent = dragEnterEvent

    def dropEvent(self, event) -> None:
        """Open what was dropped."""
        event.acceptProposedAction()
        self._take(event.mimeData(), tr("What was dropped is no picture."))

    def turn(self, by: int) -> None:
        """Turn that many pages of a stack on."""
        if self.workspace.current is not None:
            self.workspace.set_page(self.workspace.current.page + by)

    def remove_selected(self) -> None:
        """Take the selected pictures out of the list."""
        self.workspace.remove(self._selected())

    def _selected(self) -> list[Entry]:
        current = self.workspace.current
        return self.strip.selected_entries() or ([current] if current is not None else [])

    def paste_values(self) -> None:
        """Give the copied settings to the selected pictures."""
        self.workspace.paste_values(self._selected())

    # ---- Steps and presets ----

    def _show_steps(self) -> None:
        history, actions = self.workspace.history, self.actions_by_name
        for name, can, text in (
            ("undo", history.canUndo(), tr("&Undo {step}").format(step=history.undoText())),
            ("redo", history.canRedo(), tr("&Redo {step}").format(step=history.redoText())),
        ):
            actions[name].setEnabled(can)
            actions[name].setText(text[:2] + text[2:].replace("&", "&&").rstrip())

    def _fill_presets(self) -> None:
        menu, actions = self.menus.presets_menu, self.actions_by_name
        menu.clear()
        for preset in presets.load_all():
            action = menu.addAction(preset.name.replace("&", "&&"))
            action.triggered.connect(lambda *_, preset=preset: self.apply_preset(preset))
        if menu.isEmpty():
            menu.addAction(tr("Nothing saved yet")).setEnabled(False)
        menu.addSeparator()
        menu.addActions([actions["save_preset"], actions["manage_presets"]])

    def apply_preset(self, preset: Preset) -> None:
        """Give a preset's settings to the selected pictures; what cannot be seen of that is told."""
        selected = self._selected()
        self.workspace.apply_preset(preset, selected)
        told = (
            [tr("{name} is applied to {count} pictures.").format(name=preset.name, count=len(selected))]
            if len(selected) > 1
            else []
        )
        told += [f"{preset.remark}."] if preset.remark else []
        if told:
            self.message.say(" ".join(told))

    def save_preset(self) -> None:
        """Ask for a name, and save the current picture's settings."""
        dialog = SavePresetDialog(self.workspace.values, self.workspace.catalog.methods, self)
        if dialog.exec() == QDialog.DialogCode.Accepted and dialog.saved is not None:
            self.message.say(tr("The settings are saved as the preset {name}.").format(name=dialog.saved.name))
            if self._presets is not None:
                self._presets.refresh()

    def manage_presets(self) -> None:
        """Show all presets, beside the window, so that pictures can be selected meanwhile."""
        if self._presets is None:
            self._presets = PresetsDialog(lambda: self.workspace.catalog.methods, self)
            self._presets.apply_asked.connect(self.apply_preset)
        self._presets.refresh()
        _bring_up(self._presets)

    # ---- Saving ----

    def save(self) -> None:
        """Ask where, and save the result."""
        workspace = self.workspace
        if workspace.current is None or workspace.opened is None or not workspace.can_save:
            return
        own = workspace.default_target(workspace.current)
        settings = workspace.settings
        how = last_choice(settings.export, settings.gps)
        image = workspace.opened.picture.image
        # Few types hold the pages of a stack; its own does.
        target = own.with_suffix(how.suffix) if how.suffix and image.pages == 1 else own
        dialog = SaveDialog(image, target, settings.sidecar, how, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            chosen = dialog.target()
            export = remembered(chosen, own)
            workspace.change_settings(sidecar=chosen.sidecar, gps=chosen.how.keep_place, export=export)
            workspace.save(chosen, dialog.over_original)

    def save_all(self) -> None:
        """Set up a batch of all pictures of the list."""
        self._set_up(LIST)

    def save_selection(self) -> None:
        """Set up a batch of the selected pictures."""
        self._set_up(SELECTION)

    def denoise_folder(self) -> None:
        """Set up a batch of a folder."""
        self._set_up(FOLDER)

    def _copy_pixels(self, pixels: np.ndarray) -> None:
        colour = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        height, width = colour.shape[:2]
        image = QImage(colour.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        QApplication.clipboard().setImage(image.copy())
        self.message.say(tr("The result is in the clipboard."))

    # ---- Windows beside ----

    def import_model(self) -> None:
        """Ask for a checkpoint of others."""
        kinds = tr("Checkpoints (*.safetensors *.pth *.pt *.ckpt *.tar *.bin);;All files (*)")
        name, _ = QFileDialog.getOpenFileName(self, tr("Import a model"), self.workspace.settings.folder, kinds)
        if name:
            self.workspace.import_model(name)

    def export_model(self) -> None:
        """Ask for a file, and write the model in force with its card."""
        entry = self.workspace.model_in_force()
        if entry is None:
            return
        target = ask_export(entry.name, self.workspace.settings.folder, self)
        if target is not None:
            self.workspace.export_model(entry, target)

    def _ask_convention(self, file: Path, needed) -> None:
        dialog = ConventionDialog(file, needed.questions, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.workspace.import_model(file, {**needed.given, **dialog.convention()})

    def show_card(self) -> None:
        """What the model in force was made of and what it reaches."""
        entry = self.workspace.model_in_force()
        if entry is not None:
            labels = {method.id: method.label for method in self.workspace.catalog.methods}
            TextDialog(tr("About {name}").format(name=entry.name), card_text(entry, labels), self).show()

    def preferences(self) -> None:
        """Ask for theme, device, seed and memory."""
        dialog = Preferences(self.workspace.settings, self.workspace.catalog.devices, self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.workspace.change_settings(**dialog.changes())

    def shortcut_rows(self) -> list[tuple[str, str]]:
        """Every action with a key, and the keys that are no action."""
        return list(self.menus.rows)

    def show_shortcuts(self) -> None:
        """List all keys."""
        ShortcutsDialog(self.shortcut_rows(), self).show()

    def about(self) -> None:
        """Version, and where things lie."""
        text = (
            f"Pellucid {engine.__version__}\n\n"
            + tr("A denoiser that learns from noisy pictures alone.")
            + "\n\n"
            + tr("Models: {models}\nSettings: {settings}\nLogs: {logs}").format(
                models=paths.models(), settings=paths.settings_file(), logs=paths.logs()
            )
        )
        QMessageBox.about(self, tr("About Pellucid"), text)

    # ---- Batches ----

    @property
    def batch(self) -> BatchWindow:
        """The window "Denoise and save", made when it is first wanted."""
        if self._batch is None:
            self._batch = BatchWindow(self.queue)
        return self._batch

    def _set_up(self, source: int) -> None:
        self.batch.set_up(source, self._selected())
        _bring_up(self.batch)

    def show_batch(self) -> None:
        """Show the batch at work, or what came of it."""
        self.batch.show_queue()
        _bring_up(self.batch)

    def _find_batch(self) -> None:
        """Offer a batch that was interrupted, once, and not over what is said already."""
        batches.tidy()
        saved = batches.interrupted()
        if saved is None or self.message.isVisibleTo(self):
            return
        sentence = interrupted_sentence(saved)
        if sentence and self.workspace.settings.offered_batch != saved.folder.name:
            self.workspace.change_settings(offered_batch=saved.folder.name)
            self.message.say(sentence, action=(tr("Go on"), lambda: self._go_on(saved)), kind=WARNING)

    def _go_on(self, saved: SavedBatch) -> None:
        self.batch.resume(saved)
        _bring_up(self.batch)

    def _batch_changed(self) -> None:
        """Tell how a batch ended, unless its window is there to see."""
        self._show_batch()
        queue = self.queue
        if queue.is_live or (self._batch is not None and self._batch.isVisible()):
            return
        sentence = queue.message or f"{counted(queue.counts)}."
        self.message.say(
            tr("The batch has ended: {sentence}").format(sentence=sentence), action=(tr("Show it"), self.show_batch)
        )

    def _show_batch(self) -> None:
        queue = self.queue
        self.batch_button.setVisible(queue.is_live)
        if not queue.is_live:
            return
        share = None if queue.tally is None else queue.tally.share
        left = queue.tally.seconds_left if queue.tally is not None and queue.state == "running" else None
        texts = {
            "running": tr("Batch") + _how_far(share, left),
            "paused": tr("Batch paused") if share is None else _paused(tr("Batch paused at {share} %"), share),
            "stopping": tr("Batch stops…"),
        }
        self.batch_button.setText(texts[queue.state])

    # ---- Training ----

    @property
    def wizard(self) -> Wizard:
        """The window "Train on my folder", made when it is first wanted."""
        if self._wizard is None:
            from app.wizard.window import Wizard

            self._wizard = Wizard(self.workspace)
        return self._wizard

    def train(self) -> None:
        """Plan a training, or look at the one that runs."""
        training = self.workspace.training
        if training is not None and training.is_live:
            self.wizard.follow(training)
        elif not self.wizard.isVisible():
            self.wizard.show_plan()
        _bring_up(self.wizard)

    def show_training(self) -> None:
        """Show the training that runs, or what came of it."""
        if self.workspace.training is not None:
            self.wizard.follow(self.workspace.training)
            _bring_up(self.wizard)

    def show_trainings(self) -> None:
        """List the trainings of before."""
        _bring_up(self.wizard)
        self.wizard.show_earlier()

    def _find_training(self) -> None:
        """Take up a training that an earlier window left running; offer one that was interrupted, once."""
        found = runs()
        if (running := next((run for run in found if run.is_running), None)) is not None:
            self.workspace.set_training(TrainingRun(running, self.workspace))
            return
        # Of older ones was told when they were the last.
        latest = TrainingRun(found[0], self.workspace) if found else None
        settings = self.workspace.settings
        if latest is not None and latest.state == "interrupted" and settings.offered != latest.run.folder.name:
            self.workspace.change_settings(offered=latest.run.folder.name)
            sentence = tr("The training {name} was interrupted at step {step:,}.").format(
                name=latest.name, step=latest.step
            )
            self.message.say(sentence, action=(tr("Resume it"), lambda: self._resume(latest)), kind=WARNING)

    def _resume(self, training: TrainingRun) -> None:
        training.resume()
        self.workspace.set_training(training)
        self.show_training()

    def _follow_training(self) -> None:
        if self._training is not None:
            self._training.state_changed.disconnect(self._training_changed)
            self._training.happened.disconnect(self._show_training)
        self._training = self.workspace.training
        if self._training is not None:
            self._training.state_changed.connect(self._training_changed)
            self._training.happened.connect(self._show_training)
        self._show_training()

    def _training_changed(self) -> None:
        """Tell how a training ended, unless its window is there to see."""
        self._show_training()
        training = self._training
        if training is None or training.is_live or (self._wizard is not None and self._wizard.isVisible()):
            return
        show = (tr("Show it"), self.show_training)
        if training.state in ("finished", "stopped"):
            is_whole = training.state == "finished"
            sentence = tr("The training {name} is finished.") if is_whole else tr("The training {name} was stopped.")
            self.message.say(sentence.format(name=training.name), action=show)
        elif training.state == "failed":
            self.message.say(
                tr("The training {name} failed: {message}").format(name=training.name, message=training.message),
                action=show,
                kind=ERROR,
            )
        elif training.state == "interrupted":
            sentence = tr("The training {name} was interrupted at step {step:,}.").format(
                name=training.name, step=training.step
            )
            self.message.say(sentence, action=(tr("Resume it"), lambda: self._resume(training)), kind=WARNING)

    def _show_training(self) -> None:
        training = self._training
        is_live = training is not None and training.is_live
        self.training_button.setVisible(is_live)
        if training is None or not is_live:
            return
        report = training.last_report
        share, left = (report.progress, report.seconds_left) if report is not None else (None, None)
        texts = {
            "starting": tr("Training starts…"),
            "running": tr("Training") + _how_far(share, left),
            "paused": tr("Training paused") if share is None else _paused(tr("Training paused at {share} %"), share),
            "pausing": tr("Training pauses…"),
            "stopping": tr("Training stops…"),
        }
        self.training_button.setText(texts[training.state])

    # ---- Showing ----

    def _current_changed(self) -> None:
        entry = self.workspace.current
        self.setWindowTitle(tr("{name} – Pellucid").format(name=entry.name) if entry is not None else "Pellucid")
        if self._note and self.message.text.text() == self._note:
            self.message.hide()  # it was about the picture before
        self._note = ""

    def _picture_ready(self) -> None:
        opened = self.workspace.opened
        if opened is not None:
            self._show_zoom(self.view.zoom)  # it tells only when it changes
            note = " ".join(f"{note}." for note in opened.picture.image.metadata.notes)
            if note and note != self._note:  # not again at every page
                self._note = note
                self.message.say(note)

    def _ask_huge(self, entry: Entry, found: Oversize) -> None:
        """Ask before a picture is opened that takes a good part of the disk."""
        if entry is not self.workspace.current:
            return  # asked when it is shown again
        opened, denoised, free = (
            tr("{size:,.1f} GB").format(size=size / 1000000000.0) for size in (found.opened, found.denoised, found.free)
        )
        decoded = (
            tr(" Its type is decoded in memory, in {decoded:,.1f} GB.").format(decoded=found.decoded / 1000000000.0)
            if found.decoded
            else ""
        )
        question = tr(
            "{name} has {width} x {height} pixels. While it is open it needs about {opened} of the "
            "disk, and about {denoised} more to be denoised; {free} are free.{decoded} Open it?"
        ).format(
            name=entry.name,
            width=found.width,
            height=found.height,
            opened=opened,
            denoised=denoised,
            free=free,
            decoded=decoded,
        )
        if confirmed(self, tr("Open a huge picture?"), question, tr("Open")):
            self.workspace.open_huge(entry)
        else:
            self.workspace.decline_huge(entry)

    def _show_progress(self) -> None:
        activity = self.workspace.activity
        self.activity.setText(activity.text or self._rest_text())
        busy, share = bool(activity.text), activity.share
        self.bar.setVisible(busy)
        self.bar.setRange(0, 0 if share is None else 1000)
        if share is not None:
            self.bar.setValue(round(share * 1000))
        left = activity.seconds_left if busy else None
        self.left.setText("" if left is None else tr("{duration} left").format(duration=words.duration(left)))

    def _rest_text(self) -> str:
        workspace = self.workspace
        if workspace.current is None:
            return tr("Drop pictures or folders anywhere")
        if workspace.opened is None:
            return ""
        image = workspace.opened.picture.image
        depth = tr("float") if image.is_float else tr("{bits} bit").format(bits=image.bits)
        kind = tr("colour") if image.channels == 3 else tr("grey")
        state = tr("Done") if workspace.is_done else tr("Ready") if workspace.can_denoise else ""
        icc = image.metadata.icc
        # What is no sRGB is named: it is why the colours of the file and of the screen are not the same numbers.
        profile = f", {profile_name(icc)}" if icc and conversion(icc, image.channels) and profile_name(icc) else ""
        about = f"{image.width} × {image.height}, {kind}, {depth}{profile}"
        return f"{state} · {about}" if state else about

    def _show_state(self) -> None:
        workspace, actions = self.workspace, self.actions_by_name
        actions["denoise"].setEnabled(workspace.can_denoise)
        # Its key also puts a tool away, wherever the focus is.
        actions["cancel"].setEnabled(workspace.is_running or self.view.tool != "pan")
        actions["save"].setEnabled(workspace.can_save)
        for name in ("save_all", "save_selection"):
            actions[name].setEnabled(bool(workspace.entries))
        actions["copy"].setEnabled(workspace.opened is not None)
        actions["close"].setEnabled(bool(workspace.entries))
        actions["copy_values"].setEnabled(workspace.current is not None)
        actions["paste_values"].setEnabled(workspace.can_paste_values and workspace.current is not None)
        actions["reference"].setEnabled(workspace.opened is not None)
        for name in ("next_page", "previous_page"):
            actions[name].setEnabled(workspace.opened is not None and workspace.opened.picture.image.pages > 1)
        for name in NEED_A_PICTURE:
            actions[name].setEnabled(workspace.current is not None)
        for name in ("next", "previous"):
            actions[name].setEnabled(len(workspace.entries) > 1)
        for name in ("card", "export"):
            actions[name].setEnabled(workspace.model_in_force() is not None)
        running = workspace.running
        if running is not None:
            self.device.setText(f"{words.device(running.device)} · {running.precision}")
            self.device.setToolTip(tr("Model {model}").format(model=running.model))
        else:
            chosen = workspace.settings.device
            self.device.setText("" if chosen == "auto" else words.device(chosen))
        self._show_progress()

    def _show_not_opened(self, failures: NotOpened) -> None:
        count = len(failures.failures)
        if count == 1:
            name, reason = failures.failures[0]
            start = "" if name in reason else f"{name}: "
            of_many = (
                tr("1 of {total} could not be opened: ").format(total=failures.total) if failures.total > 1 else ""
            )
            sentence = f"{of_many}{start}{reason}"
        else:
            sentence = tr("{count} of {total} could not be opened.").format(count=count, total=failures.total)
        details = "\n".join(reason if name in reason else f"{name}: {reason}" for name, reason in failures.failures)
        self.message.say(sentence, details, tr("Not opened"), kind=ERROR)

    def _show_failure(self, sentence: str, details: str) -> None:
        self.message.say(sentence, details, kind=ERROR)

    def _show_saved(self, path: Path) -> None:
        self.message.say(tr("Saved as {path}").format(path=path), folder=path.parent)

    def _show_imported(self, name: str) -> None:
        self.message.say(tr("{name} is installed and chosen.").format(name=name), folder=paths.models())

    def _show_zoom(self, zoom: float) -> None:
        self.menus.zoom.setText(f"{zoom:.0%}" if zoom >= 0.1 else f"{zoom:.1%}")

    def _show_cursor(self, place: tuple[int, int] | None) -> None:
        opened = self.workspace.opened
        if place is None or opened is None:
            self.place.setText("")
            return
        x, y = place
        image = opened.picture.image
        if x >= image.width or y >= image.height:
            return
        unit = 1 if image.is_float else (1 << image.bits) - 1
        spec = ".4g" if image.is_float else ".0f"
        values = " ".join(format(float(value) * unit, spec) for value in image.pixels[y, x]).replace("-", "−")
        self.place.setText(f"{x}, {y}: {values}")

    def _show_mode(self, mode: str) -> None:
        self.actions_by_name["turn_wipe"].setEnabled(mode == "wipe")
        if mode in MODES:
            self.actions_by_name[f"mode_{mode}"].setChecked(True)
        elif (checked := self.menus.modes.checkedAction()) is not None:
            # What is shown now is none of them: a group keeps one checked unless it is told.
            self.menus.modes.setExclusive(False)
            checked.setChecked(False)
            self.menus.modes.setExclusive(True)

    def _show_layer(self) -> None:
        is_amplified = self.workspace.display.layer in ("removed", "spread")
        for name in ("amplify", "attenuate"):
            self.actions_by_name[name].setEnabled(is_amplified)
        self.actions_by_name[f"layer_{self.workspace.display.layer}"].setChecked(True)

    def _show_tool(self, tool: str) -> None:
        for name in ("region", "line", "rectangle", "brush"):
            self.actions_by_name[f"tool_{name}"].setChecked(name == tool)
        self._show_state()
        if tool in ("rectangle", "brush"):
            self.controls.open_places()

    def _show_inspector(self) -> None:
        self.actions_by_name["inspector"].setChecked(not self.viewer.dock.isHidden())

    def _settings_changed(self) -> None:
        wanted = self.workspace.settings.theme
        app = QApplication.instance()
        if wanted != self._applied_theme and isinstance(app, QApplication):
            self._applied_theme = wanted
            theme.apply_theme(app, wanted)
            colors = theme.colors()
            self.view.set_colors(colors.canvas, colors.text, colors.focus)
        self._show_state()

    # ---- Keys and panels ----

    def toggle_strip(self) -> None:
        """Show the filmstrip, or hide it."""
        self.strip.setVisible(not self.strip.isVisible())
        self.actions_by_name["filmstrip"].setChecked(self.strip.isVisible())

    def toggle_inspector(self) -> None:
        """Show the inspector, or hide it."""
        self.viewer.dock.setVisible(self.viewer.dock.isHidden())

    def show_page(self, page: str) -> None:
        """Show a page of the inspector."""
        self.viewer.dock.show_page(page)
        self.viewer.dock.show()

    def cancel(self) -> None:
        """Put the tool away, or stop what is running."""
        if self.view.tool != "pan":
            self.view.set_tool("pan")
        else:
            self.workspace.cancel()

    def toggle_panels(self) -> None:
        """Show the panel, or hide it."""
        self.panel.setVisible(not self.panel.isVisible())
        self.actions_by_name["panels"].setChecked(self.panel.isVisible())

    def _hide_or_show_all(self) -> None:
        parts = {"panels": self.panel, "filmstrip": self.strip, "inspector": self.viewer.dock}
        if any(widget.isVisible() for widget in parts.values()):
            self._hidden = [name for name, widget in parts.items() if widget.isVisible()]
        show = not any(widget.isVisible() for widget in parts.values())
        for name in self._hidden:
            parts[name].setVisible(show)
            self.actions_by_name[name].setChecked(show)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or no longer."""
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)
        self.actions_by_name["full_screen"].setChecked(self.isFullScreen())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Tab moves the focus everywhere else; on the picture it clears the view, and Shift+Tab still leads out."""
        is_press = watched is self.view and event.type() == QEvent.Type.KeyPress
        if is_press and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Tab:
            self._hide_or_show_all()
            return True
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event) -> None:
        """Keys that nothing with the focus has taken: pictures, and the original while its key is held."""
        key = event.key()
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if key == Qt.Key.Key_Backslash and plain:
            if not event.isAutoRepeat() and self._held is None:
                self._held = time.monotonic(), self.view.shows_original
                self.view.flip()
        elif plain and self.view.hasFocus() and key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Space):
            self.workspace.step(1)
        elif plain and self.view.hasFocus() and key in (Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Backspace):
            self.workspace.step(-1)
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event) -> None:
        """End a look at the original."""
        if event.key() == Qt.Key.Key_Backslash and not event.isAutoRepeat():
            self._release()
        else:
            super().keyReleaseEvent(event)

    def _release(self) -> None:
        if self._held is not None:
            since, was = self._held
            self._held = None
            if time.monotonic() - since > _HOLD_S:
                self.view.show_original(was)

    def changeEvent(self, event: QEvent) -> None:
        """A window that is left hears no key go up."""
        if event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow():
            self._release()
        super().changeEvent(event)

    def closeEvent(self, event) -> None:
        """Keep how the window stands, stop what is running, and end; a training may go on."""
        training = self.workspace.training
        if training is not None and training.is_live:
            answer = ask_before_closing(training, self)
            if not answer:
                event.ignore()
                return
            if answer == "stop":
                training.stop()
        if not ask_before_stopping(self.queue, self):
            event.ignore()
            return
        if self._wizard is not None:
            self._wizard.end()
        if self._batch is not None:
            self._batch.end()
        self.workspace.change_settings(
            geometry=self.saveGeometry().toHex().toStdString(),
            state=self.saveState().toHex().toStdString(),
            view=self.viewer.mode,
            filmstrip=not self.strip.isHidden(),
            panel=not self.panel.isHidden(),
            inspector=not self.viewer.dock.isHidden(),
        )
        # A tile that is being computed is waited for, out of sight.
        self.hide()
        self.queue.close()
        self.viewer.close_all()
        self.workspace.close()
        super().closeEvent(event)


def _how_far(share: float | None, seconds_left: float | None = None) -> str:
    """What follows the name of something that runs."""
    if share is None:
        return "…"
    left = tr(", {duration} left").format(duration=words.duration(seconds_left)) if seconds_left else ""
    return f" {100 * share:.0f} %{left}"


def _paused(text: str, share: float) -> str:
    return text.format(share=round(100 * share))


def _bring_up(window: QWidget) -> None:
    window.show()
    window.raise_()
    window.activateWindow()


def _pixels_of(image: QImage) -> np.ndarray:
    """(H, W, 3) float32 of a picture from the clipboard."""
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(np.float32) / 255
