"""The panel: method, model, values, numbers, and what was found of the noise."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QBrush, QColor
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme, words
from app.areas_controls import AreasControls
from app.combo import Combo
from app.jobs import NOTHING_FOUND, SEEMS_CLEAN, MethodInfo
from app.param_control import ChoiceControl, Control, ParamControl, wrap
from app.raw_controls import RawControls
from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH
from app.words import breakable, wrapped
from app.workspace import Workspace
from engine.language import tr, trn
from engine.metrics import Estimate
from engine.noise import NoiseReport
from engine.params import Spec
from engine.proposal import settled_sigma

_NOISE_WORDS = tr(
    "White noise is independent from pixel to pixel, as where a raw file was developed without smoothing. Correlated "
    "noise comes in spots: neighbouring pixels err alike, as in most camera JPEGs; it is treated as stronger white "
    "noise where the method is told one level.\n\nSigma is the noise's standard deviation on a scale of 0 to 255; a "
    "clipped pixel is black or white, where noise is cut off."
)


class ReferenceRow(QFrame):
    """Takes the clean twin: by drop, by button; shows its name and lets go of it."""

    chosen = Signal(object)
    cleared = Signal()
    asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self.setAccessibleName(tr("Reference"))
        self.text = QLabel()
        self.text.setObjectName("drop_here")
        wrap(self.text)
        self.text.setMinimumHeight(34)
        self.choose = QToolButton()
        self.choose.setText(tr("Choose…"))
        self.choose.setAccessibleName(tr("Choose a reference"))
        self.clear = QToolButton()
        self.clear.setText(tr("Clear"))
        self.clear.setAccessibleName(tr("Clear the reference"))
        self.choose.clicked.connect(self.asked)
        self.clear.clicked.connect(self.cleared)
        tip = tr(
            "A clean picture of the same scene and size: PSNR and SSIM are measured against it. Twins named X_real and "
            "X_mean, or X_noisy and X_clean, are found by themselves."
        )
        self.setToolTip(wrapped(tip))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.choose)
        layout.addWidget(self.clear)
        self.show_name("")

    def show_name(self, name: str) -> None:
        """The reference in use, "" for none."""
        self.text.setText(breakable(name) or tr("Drop a reference here"))
        self.clear.setVisible(bool(name))
        self.choose.setVisible(not name)

    def dragEnterEvent(self, event) -> None:
        """Accept files."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    dragMoveEvent = dragEnterEvent

    def dropEvent(self, event) -> None:
        """Take the first file as the reference."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.chosen.emit(paths[0])


class Controls(QWidget):
    """The panel: method, model, values, numbers, and the two buttons."""

    save_asked = Signal()
    reference_asked = Signal()
    import_asked = Signal()
    card_asked = Signal()

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.params: dict[str, Control] = {}
        self._drawn: object = None

        self.method = _combo(
            tr("Method"), tr("How the picture is denoised. Automatic goes by the noise of each picture.")
        )
        self.model = _combo(
            tr("Model"), tr("The trained network. Automatic takes the one made for this kind of picture.")
        )
        self.model.setItemDelegate(_Titled(self.model))
        self.title = QLabel()
        self.title.setObjectName("muted")
        self.card = QToolButton()
        self.card.setText(tr("About"))
        self.card.setAccessibleName(tr("About the model"))
        self.card.setToolTip(tr("What this model was trained on and what it reaches"))
        self.presets = QToolButton()
        self.presets.setText(tr("Presets"))
        self.presets.setToolTip(tr("Settings saved by name, for the selected pictures"))
        self.presets.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        for button in (self.card, self.presets):
            button.setObjectName("beside")
        self.strength = ParamControl(STRENGTH)
        self.luminance, self.chroma = ParamControl(LUMINANCE), ParamControl(CHROMA)
        self.parts = _Fold(tr("Brightness and colours"))
        self.areas = AreasControls(workspace)
        self.places = _Fold(tr("Places"))
        self.guard = ParamControl(GUARD, tick=tr("Off"))
        self.proposal = QLabel()
        self.proposal.setObjectName("muted")
        self.use = QToolButton()
        self.use.setText(tr("Use"))
        self.use.setAccessibleName(tr("Use what is proposed"))
        self.use.setToolTip(wrapped(tr("Choose the method automatically, for this picture and those opened next")))
        self._params_box = QVBoxLayout()
        self._params_box.setSpacing(8)
        self.advanced = _Fold(tr("Advanced"))
        self._advanced_box = QVBoxLayout(self.advanced.content)
        self._advanced_box.setContentsMargins(0, 4, 0, 0)
        self._advanced_box.setSpacing(8)

        self.number = QLabel("–")
        self.number.setObjectName("number")
        self.number.setAccessibleName(tr("Quality"))
        self.number_note = QLabel()
        self.number_note.setObjectName("number_note")
        self.noise = QLabel()
        self.noise_reason = QLabel()
        self.noise_reason.setObjectName("muted")
        self.notice = QLabel()
        self.notice.setObjectName("warning")
        self.notice.hide()
        texts = (self.title, self.number, self.number_note, self.noise, self.noise_reason, self.notice, self.proposal)
        for label in texts:
            wrap(label)
        for label in (self.proposal, self.noise, self.noise_reason):
            label.setToolTip(wrapped(_NOISE_WORDS))
        self.reference = ReferenceRow()
        self.denoise = QPushButton(tr("Denoise"))
        self.save = QPushButton(tr("Save…"))
        self.save.setToolTip(tr("Save the result under a new name"))
        for button in (self.denoise, self.save):
            # A click leaves the keys with the picture; a button that had them and goes grey gives them to a number.
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(8)
        choice = QGridLayout()
        choice.setVerticalSpacing(6)
        for row, (name, widget) in enumerate(((tr("&Method"), self.method), (tr("M&odel"), self.model))):
            label = QLabel(name)
            label.setBuddy(widget)
            choice.addWidget(label, row, 0)
            choice.addWidget(widget, row, 1)
        choice.addWidget(self.presets, 0, 2)
        self.card.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        choice.addWidget(self.card, 1, 2)
        choice.addWidget(self.title, 2, 0, 1, 3)
        choice.setColumnStretch(1, 1)
        layout.addLayout(choice)
        proposed = QHBoxLayout()
        proposed.addWidget(self.proposal, 1)
        proposed.addWidget(self.use, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(proposed)
        layout.addWidget(self.notice)
        layout.addWidget(theme.rule())
        self.raw = RawControls(workspace)
        layout.addWidget(self.raw)
        layout.addWidget(self.strength)
        layout.addWidget(self.guard)
        for fold, contents in ((self.parts, (self.luminance, self.chroma)), (self.places, (self.areas,))):
            box = QVBoxLayout(fold.content)
            box.setContentsMargins(0, 4, 0, 0)
            box.setSpacing(8)
            for widget in contents:
                box.addWidget(widget)
            layout.addWidget(fold)
        layout.addLayout(self._params_box)
        layout.addWidget(self.advanced)
        layout.addWidget(theme.rule())
        layout.addWidget(_heading(tr("Quality")))
        layout.addWidget(self.number)
        layout.addWidget(self.number_note)
        layout.addWidget(self.reference)
        layout.addWidget(theme.rule())
        layout.addWidget(_heading(tr("Noise")))
        layout.addWidget(self.noise)
        layout.addWidget(self.noise_reason)
        layout.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)

        self.buttons = QWidget()
        row = QHBoxLayout(self.buttons)
        row.setContentsMargins(12, 8, 12, 10)
        row.addWidget(self.denoise, 2)
        row.addWidget(self.save, 1)

        self.method.activated.connect(self._choose_method)
        self.model.activated.connect(self._choose_model)
        self.use.clicked.connect(self._use_proposal)
        self.advanced.toggled.connect(self._keep_fold)
        self.card.clicked.connect(self.card_asked)
        self.strength.value_changed.connect(self._set_strength)
        self.strength.reset.connect(self._reset_strength)
        self.guard.value_changed.connect(self._set_guard)
        self.guard.reset.connect(self._reset_guard)
        for control, set_factor in ((self.luminance, workspace.set_luminance), (self.chroma, workspace.set_chroma)):
            control.value_changed.connect(lambda _, value, set_factor=set_factor: set_factor(value))
            control.reset.connect(lambda _, set_factor=set_factor: set_factor(1.0))
        for control in (self.strength, self.guard, self.luminance, self.chroma):
            self._follow_drags(control)
        self.denoise.clicked.connect(self._press)
        self.save.clicked.connect(self.save_asked)
        self.reference.chosen.connect(workspace.set_reference)
        self.reference.cleared.connect(workspace.clear_reference)
        self.reference.asked.connect(self.reference_asked)
        workspace.models_changed.connect(self.show_values)
        workspace.params_changed.connect(self.show_values)
        workspace.picture_ready.connect(self.show_values)
        workspace.noise_ready.connect(self.show_noise)
        workspace.current_changed.connect(self.show_noise)
        workspace.picture_ready.connect(self.show_noise)
        workspace.picture_ready.connect(self.show_numbers)
        workspace.estimate_changed.connect(self.show_numbers)
        workspace.reference_changed.connect(self.show_reference)
        workspace.state_changed.connect(self.show_state)
        self.show_values()
        self.show_noise()
        self.show_numbers()
        self.show_reference()
        self.show_state()

    # What is chosen

    def show_values(self) -> None:
        """Method, model and every parameter as the workspace has them."""
        workspace = self.workspace
        method, methods = workspace.method, workspace.catalog.methods
        if methods:
            items = [(tr("Automatic"), "", tr("What suits the noise of each picture")), *map(_method_item, methods)]
            self._fill(self.method, items, workspace.values.method)
            self._grey([not m.runs for m in methods])
        leading, in_force = workspace.leading_model(), workspace.model_in_force()
        # Where the method is automatic, each model brings its own.
        runs = workspace.models() if workspace.values.method else workspace.catalog.models
        known = [
            (
                tr("Automatic ({name})").format(name=leading.name) if leading else tr("Automatic"),
                "",
                tr("Made for this kind of picture"),
            )
        ]
        known += [(entry.name, entry.name, words.own(entry.card.title)) for entry in runs]
        chosen = workspace.values.model
        self._fill(self.model, known, chosen if any(entry.name == chosen for entry in runs) else "")
        self.title.setText(words.own(in_force.card.title) if in_force is not None else "")
        self.title.setVisible(bool(self.title.text()))
        self.card.setEnabled(in_force is not None)
        if method is not self._drawn:
            self._draw(method.specs if method is not None else ())
            self._drawn = method
        self.strength.set_value(workspace.values.strength)
        self.guard.set_value(workspace.values.guard or None)
        self.luminance.set_value(workspace.values.luminance)
        self.chroma.set_value(workspace.values.chroma)
        is_colour = workspace.opened is None or workspace.opened.picture.image.channels == 3
        factors = (workspace.values.luminance, workspace.values.chroma)[: 2 if is_colour else 1]
        is_set = sum(factor != 1 for factor in factors)
        self.parts.set_remark(_by_hand(is_set))
        self.places.set_remark(str(len(workspace.values.areas.places) or ""))
        # A grey picture needs none of both, but it must be seen where one that was set for others counts for it, too.
        self.parts.setVisible(is_colour or is_set > 0)
        self.chroma.setVisible(is_colour)
        for name, control in self.params.items():
            measured = workspace.sigma if name == "sigma" else workspace.settled.get(name)
            control.set_value(workspace.value(name), measured)
        by_hand = workspace.by_hand
        self.advanced.set_remark(_by_hand(sum(spec.expert and spec.name in by_hand for spec in workspace.specs)))
        self.advanced.set_open(workspace.settings.advanced)
        self._show_proposal()
        self._show_sigma()
        self.show_state()

    def _show_proposal(self) -> None:
        """Why this method was taken, or that another is proposed; nothing where the chosen one is the proposed one.

        Also nothing where the picture is left alone: the notice says so.
        """
        workspace, proposal = self.workspace, self.workspace.proposal
        is_known = workspace.opened is not None and workspace.opened.is_measured
        text, differs = "", False
        if not workspace.values.method and not is_known:
            text = tr("Chosen by the noise of each picture")
        elif is_known and proposal is not None:
            method = next((m for m in workspace.catalog.methods if m.id == proposal.method), None)
            report = workspace.opened.report if workspace.opened is not None else None
            spares = method is not None and settled_sigma(report, method.specs) == 0
            label = tr("leave it as it is") if spares else method.label if method is not None else proposal.method
            differs = workspace.values.method not in ("", proposal.method)
            differs = differs and not (spares and workspace.is_left_alone)
            if differs or not (workspace.values.method or spares):
                text = tr("Proposed: {method}, because {reason}") if differs else tr("{method}, because {reason}")
                text = text.format(method=label, reason=proposal.reason)
        self.proposal.setText(text)
        self.proposal.setVisible(bool(text))
        self.use.setVisible(differs)

    def _fill(self, combo: QComboBox, items: list[tuple[str, str, str]], chosen: str) -> None:
        if [(combo.itemText(i), combo.itemData(i)) for i in range(combo.count())] != [item[:2] for item in items]:
            combo.clear()
            for text, data, tip in items:
                combo.addItem(text, data)
                combo.setItemData(combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        combo.setCurrentIndex(combo.findData(chosen))
        combo.setEnabled(bool(items))

    def _grey(self, without: list[bool]) -> None:
        """Show the methods without a model in another colour; they can be chosen, to read what is missing."""
        for row, is_grey in enumerate(without, 1):
            brush = QBrush(QColor(theme.colors().muted)) if is_grey else None
            self.method.setItemData(row, brush, Qt.ItemDataRole.ForegroundRole)

    def _draw(self, specs: tuple[Spec, ...]) -> None:
        """Draw the controls of a method, those for experts in the fold."""
        for control in self.params.values():
            for box in (self._params_box, self._advanced_box):
                box.removeWidget(control)
            control.hide()  # until it is gone
            control.deleteLater()
        self.params = {}
        order: list[QWidget] = [self.guard.slider, self.parts.button, *self.luminance.tab_order, *self.chroma.tab_order]
        order += [self.places.button, *self.areas.tab_order]
        for is_expert, box in ((False, self._params_box), (True, self._advanced_box)):
            if is_expert:
                order.append(self.advanced.button)
            for spec in (spec for spec in specs if spec.expert == is_expert):
                control = self.params[spec.name] = (ChoiceControl if spec.choices else ParamControl)(spec)
                control.value_changed.connect(self.workspace.set_value)
                control.reset.connect(self.workspace.reset_value)
                if isinstance(control, ParamControl):
                    self._follow_drags(control)
                box.addWidget(control)
                order += control.tab_order
        for before, after in itertools.pairwise(order):
            QWidget.setTabOrder(before, after)
        self.advanced.setVisible(any(spec.expert for spec in specs))

    def _follow_drags(self, control: ParamControl) -> None:
        """However long a slider is held, it makes one step that can be undone."""
        control.slider.sliderPressed.connect(self.workspace.history.begin_drag)
        control.slider.sliderReleased.connect(self.workspace.history.end_drag)

    def _show_sigma(self) -> None:
        control, opened, sigma = self.params.get("sigma"), self.workspace.opened, self.workspace.sigma
        notice = self._notice()
        self.notice.setText(notice)
        self.notice.setVisible(bool(notice))
        if control is None:
            return
        note = ""
        if opened is not None and sigma is not None:
            image = opened.picture.image
            black, white = image.levels
            if image.is_float:
                note = tr("{sigma:.4g} in the file's values").format(sigma=sigma * (white - black))
            elif image.bits == 16 and not image.is_raw:
                note = tr("{sigma:.4g} of the file's 65535").format(sigma=sigma * (white - black) * 65535)
        control.set_note(note)

    def _notice(self) -> str:
        """What stands in the way, or what the method did in spite of."""
        workspace, method = self.workspace, self.workspace.method
        report = workspace.opened.report if workspace.opened is not None else None
        if method is None or method.no_model:
            return method.no_model if method is not None else ""
        if report is None or not report.is_clean or not workspace.sigma_is_automatic:
            return ""
        return NOTHING_FOUND if workspace.is_left_alone else SEEMS_CLEAN.format(method.label)

    def _use_proposal(self) -> None:
        self.workspace.set_method("")

    def _keep_fold(self, is_open: bool) -> None:
        self.workspace.change_settings(advanced=is_open)

    def _choose_method(self, index: int) -> None:
        self.workspace.set_method(self.method.itemData(index))

    def _choose_model(self, index: int) -> None:
        self.workspace.set_model(self.model.itemData(index))

    def _set_strength(self, name: str, value: float) -> None:
        self.workspace.set_strength(value)

    def _reset_strength(self, name: str) -> None:
        self.workspace.set_strength(1.0)

    def _set_guard(self, name: str, value: float | None) -> None:
        self.workspace.set_guard(value or 0.0)

    def _reset_guard(self, name: str) -> None:
        self.workspace.set_guard(0.0)

    # What was found

    def open_places(self) -> None:
        """Show what a place that is drawn is given, and the list of those that are there."""
        self.places.set_open(True)

    def show_noise(self) -> None:
        """What was measured of the noise, and why this estimate."""
        opened = self.workspace.opened
        report = opened.report if opened is not None else None
        if report is None:
            waiting = tr("Measuring…") if self.workspace.current is not None else ""
            self.noise.setText(opened.no_report or waiting if opened is not None else waiting)
            self.noise_reason.setText("")
        else:
            self.noise.setText(noise_text(report))
            self.noise_reason.setText(report.reason)
        self._show_sigma()

    def show_numbers(self) -> None:
        """PSNR and SSIM against the reference, or the estimate, labelled so."""
        main, note = quality(self.workspace)
        self.number.setText(main)
        self.number_note.setText(breakable(note))

    def show_reference(self) -> None:
        """The reference's name."""
        reference = self.workspace.reference
        self.reference.show_name(reference.name if reference is not None else "")
        self.show_numbers()

    def show_state(self) -> None:
        """What the buttons do now."""
        workspace = self.workspace
        self.denoise.setText(tr("Cancel") if workspace.is_running else tr("Denoise"))
        self.save.setEnabled(workspace.can_save)
        can_press = workspace.is_running or workspace.can_denoise
        if not can_press and self.denoise.hasFocus():
            self.save.setFocus()
        self.denoise.setEnabled(can_press)
        tip = tr("Stop; what has been computed stays") if workspace.is_running else tr("Denoise this picture")
        self.denoise.setToolTip(tip)
        theme.restyle(self.save, "primary" if workspace.is_done and not workspace.is_running else "")
        theme.restyle(self.denoise, "primary" if not workspace.is_done or workspace.is_running else "")
        self.reference.choose.setEnabled(workspace.opened is not None)

    def _press(self) -> None:
        if self.workspace.is_running:
            self.workspace.cancel()
        else:
            self.workspace.denoise()


def quality(workspace: Workspace) -> tuple[str, str]:
    """The number for people, and what it means or why there is none."""
    numbers, reference = workspace.numbers, workspace.reference
    partly = "" if numbers.is_whole else " · " + tr("the part done so far")
    kept = "\n" + tr("The mean intensity is kept.") if numbers.keeps_mean else ""
    estimate = numbers.estimate
    if workspace.opened is None:
        return "–", ""
    if reference is not None:
        is_aligned = numbers.shift is not None
        noisy = db(reference.noisy_shift_free_db if is_aligned else reference.noisy_psnr_db)
        if numbers.psnr_db is None:
            note = tr("against {name}; the noisy picture has {noisy}").format(name=reference.name, noisy=noisy)
            return "–", note
        ssim = "" if numbers.ssim is None else f" · SSIM {numbers.ssim:.4f}"
        against = tr("against {name}").format(name=reference.name)
        note = f"{against}{ssim} · {tr('noisy {psnr}').format(psnr=noisy)}{partly}"
        note += " · " + tr("brightness aligned") if is_aligned else ""
        # Beside the true number, so that one sees how far the estimate can be trusted.
        if estimate is not None and estimate.psnr_db is not None:
            note += "\n" + tr("{estimate} without it").format(estimate=_estimate(estimate))
        elif estimate is not None and not workspace.is_left_alone:
            note += "\n" + tr("not estimated without it: {reason}").format(reason=estimate.reason)
        return f"PSNR {db(numbers.psnr_db)}", note
    if workspace.is_left_alone:
        return "–", tr("Nothing was removed, so there is nothing to estimate.")
    if estimate is None:
        return "–", tr("The PSNR is estimated once the picture is denoised.")
    if estimate.psnr_db is None:
        return "–", tr("No PSNR is estimated: {reason}.").format(reason=estimate.reason) + kept
    return _estimate(estimate), tr("PSNR without a reference") + partly + kept


def _estimate(estimate: Estimate) -> str:
    return tr("estimated {psnr_db:.2f} ± {band_db:.2f} dB").format(psnr_db=estimate.psnr_db, band_db=estimate.band_db)


def noise_text(report: NoiseReport) -> str:
    """What was measured, and as what it is treated where that differs."""
    sigma, level, correlation = report.sigma * 255, report.level * 255, f"{report.correlation:.2f}"
    correlation = correlation.replace("-0.00", "0.00").replace("-", "−")
    clipped = tr("clipped {clipped:.1f} %").format(clipped=100 * report.clipped)
    if not sigma:
        return tr("nothing worth removing\n{clipped}").format(clipped=clipped)
    if abs(level - sigma) < 0.05:
        return tr("sigma {sigma:.1f} of 255\ncorrelation {correlation} · {clipped}").format(
            sigma=sigma, correlation=correlation, clipped=clipped
        )
    # Neighbours may be independent and the channels alike, as where a JPEG stores colour at half the size.
    how = (
        tr("correlated {correlation}").format(correlation=correlation)
        if report.correlation > 0.1
        else tr("alike in the colours")
    )
    return tr("noise {sigma:.1f} of 255, {how}: treated as {level:.1f}\n{clipped}").format(
        sigma=sigma, how=how, level=level, clipped=clipped
    )


def db(value: float) -> str:
    """A PSNR for people."""
    return "∞ dB" if math.isinf(value) else f"{value:.2f} dB"


class _Titled(QStyledItemDelegate):
    """Shows what is behind a name in a list; the closed list shows the name alone."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        """Add the tooltip's text to the name."""
        super().initStyleOption(option, index)
        title = index.data(Qt.ItemDataRole.ToolTipRole)
        if title:
            option.text = f"{option.text}  ·  {title}"


class _Fold(QWidget):
    """A title that opens and closes what is below it."""

    toggled = Signal(bool)

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.content = QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.button)
        layout.addWidget(self.content)
        self.button.toggled.connect(self.content.setVisible)
        self.button.toggled.connect(self._point)
        self.button.clicked.connect(self.toggled)
        self.content.hide()
        self._point(False)
        self.set_remark("")

    def set_open(self, is_open: bool) -> None:
        """Open or close it; emits nothing."""
        self.button.setChecked(is_open)

    def set_remark(self, remark: str) -> None:
        """Say what was set inside: also a closed fold must not hide that."""
        self.button.setText(f"{self._title} · {remark}" if remark else self._title)

    def _point(self, is_open: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)


def _by_hand(count: int) -> str:
    return trn("{count} set by hand", "{count} set by hand", count).format(count=count) if count else ""


def _method_item(method: MethodInfo) -> tuple[str, str, str]:
    """Text, id and tooltip in the list of methods."""
    if not method.no_model:
        return method.label, method.id, method.source
    return (
        tr("{label} · no model yet").format(label=method.label),
        method.id,
        wrapped(f"{method.source}\n\n{method.no_model}"),
    )


def _combo(name: str, tip: str) -> QComboBox:
    combo = Combo()
    combo.setAccessibleName(name)
    combo.setToolTip(wrapped(tip))
    combo.setPlaceholderText(tr("Loading…"))
    combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    # The list's own delegate leaves room for ticks and takes no colour from an entry.
    combo.setItemDelegate(QStyledItemDelegate(combo))
    return combo


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("heading")
    return label
