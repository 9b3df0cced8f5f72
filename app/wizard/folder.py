"""The first page: a folder of noisy pictures, what is in it, what is left out and what is held out to judge by."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PySide6.QtCore import (
    QModelIndex,
    QRect,
    QSignalBlocker,
    QSize,
    Qt,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import screen, theme
from app.background import Background
from app.wizard.crop import SIDE, CropView, pixmap_of
from app.wizard.findings import FindingRow
from app.wizard.page import Page, Plan
from app.wizard.thumbnails import FOUND, PictureView
from app.words import breakable
from app.workspace import Workspace
from engine import paths
from engine.image import load_image
from engine.language import tr, trn
from engine.noise import NoiseReport, pooled
from engine.worker import Job, Kind
from training import folder as preflight
from training.folder import Finding, Found, Group
from training.job import Preview

_BATCH_S = 0.1
_SHARE = 15
_FINDINGS_HEIGHT = 148
_CROP_HEIGHT = 250
_OVERVIEW = 640

_NOISE_WORDS = tr(
    "The standard deviation of the noise on a scale of 0 to 255, as it was measured in these pictures. White noise is "
    "independent from pixel to pixel; correlated noise comes in spots, as in most camera JPEGs."
)

# ---- On the workers ----


@dataclass(frozen=True)
class Settled:
    """What follows from which pictures are used.

    Attributes:
        held_out: names of the pictures to judge by.
        findings: worst first.
        noise: of all used pictures together, None where it was measured in none.
        of_groups: the same for each camera and ISO, by its label.
    """

    held_out: frozenset[str]
    findings: tuple[Finding, ...]
    noise: NoiseReport | None
    of_groups: Mapping[str, NoiseReport | None]


def measured(found: Iterable[Found]) -> NoiseReport | None:
    """The noise of these pictures together, of grey or of colour ones, whichever are more; None where none is known."""
    reports = [one.report for one in found if one.report is not None]
    if not reports:
        return None
    channels = Counter(len(report.channels) for report in reports).most_common(1)[0][0]
    return pooled([report for report in reports if len(report.channels) == channels])


def _looking(folder: Path, recursive: bool) -> Iterator[Any]:
    """Yield what is found, several at a time: a signal for each of a thousand would keep the window busy."""
    found, reported = [], time.monotonic()
    for one in preflight.look(folder, recursive):
        found.append(one)
        if time.monotonic() - reported > _BATCH_S:
            yield found
            found, reported = [], time.monotonic()
    yield found


def _settling(
    found: Sequence[Found], left_out: Set[str], held_out: Set[str] | None, share: float, patch: int, budget_mb: int
) -> Iterator[Any]:
    """Return what is `Settled` with these pictures left out; `held_out` is None where nobody chose them."""
    yield None  # a chance to stop: another click may be waiting
    kept = [one for one in found if one.name not in left_out]
    used = {one.name: one for one in kept if not one.problem}
    if held_out is None:
        held_out = set(preflight.hold_out(list(used.values()), share)) if share else set()
    held_out = held_out & used.keys()
    findings = preflight.check(kept, sorted(held_out), patch=patch, run_folder=paths.runs(), budget_mb=budget_mb)
    of_groups = {
        group.label: measured(used[name] for name in group.names) for group in preflight.grouped(list(used.values()))
    }
    return Settled(frozenset(held_out), tuple(findings), measured(used.values()), of_groups)


def _reading(path: Path) -> Iterator[Any]:
    """Return the picture for the screen, (H, W, C) uint8, and the same with sides of at most `_OVERVIEW` pixels."""
    yield None
    image = load_image(path)
    pixels = screen.shown(image)
    scale = min(1.0, _OVERVIEW / max(image.height, image.width))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    overview = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    return pixels, overview


# ---- The page ----


class FolderPage(Page):
    """Choose the folder, see what is in it, leave out what does not belong, hold out what it is judged by.

    Two workers: one looks at the folder and checks what was found, the other reads the picture that is shown large.
    """

    title = tr("Folder")

    def __init__(self, plan: Plan, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(plan, parent)
        self.workspace = workspace
        self.findings: tuple[Finding, ...] = ()
        self._is_settled = False
        self._held_by_hand = self._placed_by_hand = False
        self._noise: NoiseReport | None = None
        self._of_groups: Mapping[str, NoiseReport | None] = {}
        self._groups: list[Group] = []
        self._found: dict[str, Found] = {}
        self._seen = 0
        self._shown: Found | None = None
        self._pixels: np.ndarray | None = None
        self._looking_at: tuple[Path, bool] | None = None
        self._look_job: Job | None = None
        self._settle_job: Job | None = None
        self._read_job: Job | None = None
        self._looking, self._reading = Background("looking at a folder", self), Background("reading a picture", self)

        layout = QVBoxLayout(self)
        layout.addLayout(self._build_top())
        middle = QHBoxLayout()
        middle.setSpacing(12)
        middle.addLayout(self._build_left(), 1)
        middle.addWidget(self._build_right())
        layout.addLayout(middle, 1)

        self.path.returnPressed.connect(self._typed)
        self.choose.clicked.connect(self._ask)
        self.recursive.toggled.connect(self._look_again)
        self.view.toggle_asked.connect(self.toggle)
        self.view.hold_asked.connect(self._toggle_held)
        self.view.selectionModel().currentChanged.connect(self._show_current)
        self.groups.itemChanged.connect(self._toggle_group)
        self.share.valueChanged.connect(self._settle)
        self.again.clicked.connect(self._hold_automatically)
        self.crop.placed.connect(self._place)
        self._show_state()

    def _build_top(self) -> QHBoxLayout:
        """Which folder."""
        self.path = QLineEdit()
        self.path.setPlaceholderText(tr("Drop a folder of noisy pictures here, or choose one"))
        self.path.setToolTip(tr("The folder of noisy pictures to learn from; Enter looks at it"))
        self.path.setAcceptDrops(False)
        self.choose = QPushButton(tr("&Choose…"))
        self.choose.setToolTip(tr("Choose the folder of noisy pictures to learn from"))
        self.recursive = QCheckBox(tr("&With folders inside it"))
        self.recursive.setToolTip(tr("Whether the pictures of the folders inside it belong to it"))
        self.recursive.setChecked(self.plan.recursive)
        top = QHBoxLayout()
        for widget in (_label(tr("&Folder"), self.path), self.path, self.choose, self.recursive):
            top.addWidget(widget, 1 if widget is self.path else 0)
        return top

    def _build_left(self) -> QVBoxLayout:
        """What is in it: counts, thumbnails and findings."""
        self.summary = QLabel(tr("No folder chosen yet"))
        self.noise = QLabel()
        self.noise.setObjectName("muted")
        for label in (self.summary, self.noise):
            label.setWordWrap(True)
        self.noise.setToolTip(f"<p>{_NOISE_WORDS}</p>")
        self.view = PictureView(self.plan)
        self.view.empty = tr(
            "Drop a folder of your own noisy pictures here.\n\nTen or more of one camera are a good start."
        )
        self._inside = QWidget()
        self._findings = QVBoxLayout(self._inside)
        self._findings.setContentsMargins(0, 0, 0, 0)
        self._findings.setSpacing(4)
        self._scroll = QScrollArea()
        self._scroll.setWidget(self._inside)
        self._scroll.setWidgetResizable(True)
        self._scroll.setAccessibleName(tr("What was found"))
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.hide()
        left = QVBoxLayout()
        left.setSpacing(6)
        for widget in (self.summary, self.noise, self.view, self._scroll):
            left.addWidget(widget, 1 if widget is self.view else 0)
        return left

    def _build_right(self) -> QWidget:
        """Groups, what is held out, and the preview."""
        self.groups = QTreeWidget()
        self.groups.setHeaderLabels([tr("Camera and ISO"), tr("Pictures"), tr("Noise")])
        self.groups.setAccessibleName(tr("Groups by camera and ISO"))
        self.groups.setToolTip(
            tr("<p>Pictures of one camera at one ISO have noise that is alike. Untick a group to leave it out.</p>")
        )
        self.groups.setRootIsDecorated(False)
        self.groups.setUniformRowHeights(True)
        self.groups.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the ISO stands at the end
        self.groups.headerItem().setToolTip(2, f"<p>{_NOISE_WORDS}</p>")
        self.groups.setMinimumHeight(84)
        header = self.groups.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.share = QSpinBox()
        self.share.setRange(0, 50)
        self.share.setValue(_SHARE)
        self.share.setSuffix(" %")
        self.share.setToolTip(
            tr(
                "<p>These pictures are not learned from. On them the tuned model is compared with the one it "
                "began with, "
                "so that it is kept only if it is better. Whole scenes are held out, of every group.</p>"
                "<p>Select pictures and press H to choose them by hand.</p>"
            )
        )
        self.held = QLabel()
        self.held.setObjectName("muted")
        self.again = QToolButton()
        self.again.setText(tr("Automatic"))
        self.again.setAccessibleName(tr("Choose the held-out pictures automatically"))
        self.again.setToolTip(tr("Forget what was chosen by hand"))
        holding = QHBoxLayout()
        for widget in (self.share, self.held, self.again):
            holding.addWidget(widget, 1 if widget is self.held else 0)
        self.crop = CropView()
        self.crop.setMaximumHeight(_CROP_HEIGHT)
        self.crop.setToolTip(
            tr(
                "<p>A square of one picture is shown while it learns: before, as the start denoises it, and "
                "now. Click or "
                "drag to choose it, or use the arrow keys.</p>"
            )
        )
        preview = _label(tr("Pre&view while it learns"), self.crop)
        preview.setObjectName("heading")
        self.detail = QLabel()
        self.detail.setFixedSize(128, 128)
        self.detail.setAccessibleName(tr("The chosen square"))
        self.caption = QLabel()
        self.caption.setObjectName("muted")
        self.caption.setWordWrap(True)
        self.caption.setAlignment(Qt.AlignmentFlag.AlignTop)
        chosen = QHBoxLayout()
        chosen.addWidget(self.detail, 0, Qt.AlignmentFlag.AlignTop)
        chosen.addWidget(self.caption, 1)
        self._panel = QWidget()
        self._panel.setFixedWidth(theme.length(344))
        right = QVBoxLayout(self._panel)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(6)
        right.addWidget(self.groups, 2)
        right.addWidget(_label(tr("&Held out to judge by"), self.share))
        right.addLayout(holding)
        right.addWidget(preview)
        right.addWidget(self.crop, 3)
        right.addLayout(chosen)
        return self._panel

    # What the frame asks

    def enter(self) -> None:
        """Look at a folder that was given, and check again what may depend on other pages."""
        if self.plan.folder is not None and self._looking_at is None:
            self.open(self.plan.folder)
        elif self._looking_at is not None and self._look_job is None:
            self._settle()

    @property
    def is_complete(self) -> bool:
        """Whether the folder was looked at and nothing in it stops a training."""
        return self._is_settled and bool(self.plan.used) and not any(f.kind == "stop" for f in self.findings)

    def close_page(self) -> None:
        """End the workers."""
        self._looking.close()
        self._reading.close()

    # The folder

    def open(self, folder: Path) -> None:
        """Look at this folder and forget the one before."""
        plan = self.plan
        for job in (self._look_job, self._settle_job):
            self._looking.drop(job)
        plan.folder, plan.recursive, plan.found = folder, self.recursive.isChecked(), ()
        plan.left_out, plan.held_out, plan.preview = set(), set(), None
        self._looking_at = (folder, plan.recursive)
        self._is_settled = self._held_by_hand = self._placed_by_hand = False
        self._noise, self._of_groups, self._groups = None, {}, []
        self._found, self._seen = {}, 0
        self.path.setText(str(folder))
        self.view.pictures.clear()
        self.view.empty = tr("Looking for pictures…")
        self._show_picture(None)
        self._show_findings(())
        self._show_groups()
        self._look_job = self._looking.submit(lambda: _looking(folder, plan.recursive), self._looked)
        self._show_state()

    def _looked(self, kind: Kind, value: Any) -> None:
        if kind is Kind.PROGRESS:
            self._found |= {one.name: one for one in value}
            self._seen += len(value)
            self.plan.found = tuple(self._found.values())
            # Clean twins are left alone: the finding says so.
            self.view.pictures.put(one for one in value if one.problem != preflight.TWIN)
            self._groups = preflight.grouped(self.plan.found)
            self._show_groups()
            self._show_state()
            return
        self._look_job = None
        self.view.empty = tr("No picture was found in this folder.")
        if kind is Kind.FAILED:
            self._show_findings((Finding("stop", str(value) or tr("This folder cannot be read.")),))
            self._show_state()
        else:
            self._settle()

    def _typed(self) -> None:
        if text := self.path.text().strip():
            self.open(Path(text).expanduser())

    def _ask(self) -> None:
        start = str(self.plan.folder or self.workspace.settings.folder)
        name = QFileDialog.getExistingDirectory(self, tr("Choose a folder of noisy pictures"), start)
        if name:
            self.workspace.change_settings(folder=name)
            self.open(Path(name))

    def _look_again(self) -> None:
        if self.plan.folder is not None:
            self.open(self.plan.folder)
        self.plan.recursive = self.recursive.isChecked()

    # What is used

    def toggle(self, names: Iterable[str]) -> None:
        """Leave these pictures out, or take them in if all are left out already."""
        names, left_out = set(names), self.plan.left_out
        if names:
            self._leave_out(left_out - names if names <= left_out else left_out | names)

    def leave_out(self, names: Iterable[str]) -> None:
        """Use these pictures no more."""
        self._leave_out(self.plan.left_out | set(names))

    def _leave_out(self, names: set[str]) -> None:
        self.plan.left_out = names
        self._show_groups()
        self._settle()

    def _toggle_group(self, item: QTreeWidgetItem, column: int) -> None:
        names = set(self._groups[self.groups.indexOfTopLevelItem(item)].names)
        is_on = item.checkState(0) == Qt.CheckState.Checked
        self._leave_out(self.plan.left_out - names if is_on else self.plan.left_out | names)

    def _toggle_held(self, names: Iterable[str]) -> None:
        names = set(names) - self.plan.left_out
        if not names or self._look_job is not None:
            return
        held = self.plan.held_out
        self.plan.held_out = held - names if names <= held else held | names
        self._held_by_hand = True
        self._settle()

    def _hold_automatically(self) -> None:
        self._held_by_hand = False
        self._settle()

    def _settle(self) -> None:
        """Find anew what is held out and what would go wrong."""
        if self._look_job is None and self._looking_at is not None:
            self._looking.drop(self._settle_job)
            self._is_settled = False
            plan = self.plan
            found, left_out = tuple(plan.found), frozenset(plan.left_out)
            held_out = frozenset(plan.held_out) if self._held_by_hand else None
            share, options = self.share.value() / 100, plan.options
            patch, budget_mb = int(options.get("patch", 64)), int(options.get("budget_mb", 4096))
            self._settle_job = self._looking.submit(
                lambda: _settling(found, left_out, held_out, share, patch, budget_mb), self._take_settled
            )
        self._show_state()

    def _take_settled(self, kind: Kind, value: Any) -> None:
        if kind is Kind.FAILED:
            self._show_findings((Finding("stop", str(value)),))
            self._show_state()
        if kind is not Kind.DONE:
            return
        self.plan.held_out = set(value.held_out)
        self._noise, self._of_groups, self._is_settled = value.noise, value.of_groups, True
        self._show_findings(value.findings)
        self._show_groups()
        self._preview_by_default()
        self._show_state()

    # The preview

    def _preview_by_default(self) -> None:
        """The middle of a held-out picture, unless a place was chosen in a picture that is still used."""
        plan, used = self.plan, self.plan.used
        kept = plan.preview is not None and plan.preview.name in {one.name for one in used}
        if not (kept and (self._placed_by_hand or plan.preview.name in plan.held_out)):  # pyright: ignore
            self._placed_by_hand = False
            one = next((one for one in used if one.name in plan.held_out), next(iter(used), None))
            plan.preview = None
            if one is not None:
                side = min(SIDE, one.width, one.height)
                plan.preview = Preview(one.name, (one.width - side) // 2, (one.height - side) // 2, side)
        if not self.view.currentIndex().isValid():
            self._show_picture(self._found[plan.preview.name] if plan.preview is not None else None)
        else:
            self._show_preview()

    def _show_current(self, index: QModelIndex) -> None:
        one: Found | None = index.data(FOUND)
        if one is not None:
            self._show_picture(one)

    def _show_picture(self, one: Found | None) -> None:
        """Show a picture large: its thumbnail until it is read."""
        if one is not None and one is self._shown:
            self._show_preview()
            return
        self._reading.drop(self._read_job)
        self._shown, self._pixels = one, None
        self.crop.show_picture(None, QSize())
        if one is not None and not one.problem and one.thumbnail is not None and self.plan.folder is not None:
            self.crop.show_picture(one.thumbnail, QSize(one.width, one.height))
            path = self.plan.folder / one.name
            self._read_job = self._reading.submit(lambda: _reading(path), self._take_picture)
        self._show_preview()

    def _take_picture(self, kind: Kind, value: Any) -> None:
        if kind is Kind.DONE and self._shown is not None:
            self._pixels, overview = value
            height, width = value[0].shape[:2]
            self.crop.show_picture(overview, QSize(width, height))
            self._show_preview()
        elif kind is Kind.FAILED:
            self.caption.setText(str(value))

    def _place(self, left: int, top: int) -> None:
        if self._shown is not None and self.crop.square is not None:
            self._placed_by_hand = True
            self.plan.preview = Preview(self._shown.name, left, top, self.crop.square.width())
            self._show_preview()
            self.view.pictures.refresh()
            self.changed.emit()

    def _show_preview(self) -> None:
        """The square, if it is of the picture that is shown, and what it is of."""
        one, preview = self._shown, self.plan.preview
        is_here = one is not None and preview is not None and preview.name == one.name
        square = QRect(preview.left, preview.top, preview.side, preview.side) if preview and is_here else None
        self.crop.show_square(square)
        self.detail.clear()
        if one is None:
            self.caption.setText("")
            return
        if one.problem:
            self.caption.setText(f"{breakable(one.name)}: {one.problem}")
            return
        if square is None:
            self.caption.setText(breakable(one.name) + "\n" + tr("Click in it to choose the preview here."))
            return
        if self._pixels is not None:
            rows = slice(square.top(), square.top() + square.height())
            columns = slice(square.left(), square.left() + square.width())
            cut = pixmap_of(self._pixels[rows, columns])
            self.detail.setPixmap(
                cut.scaled(
                    self.detail.size(), Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
                )
            )
        note = (
            "" if one.name in self.plan.held_out else "\n" + tr("It is learned from; one that is held out tells more.")
        )
        self.caption.setText(
            breakable(one.name)
            + "\n"
            + tr("{side} pixels at {left}, {top}").format(side=square.width(), left=square.left(), top=square.top())
            + note
        )

    # What is shown

    def _show_findings(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        while (item := self._findings.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()  # until it is gone
                widget.deleteLater()
        for finding in findings:
            row = FindingRow(finding, any(self.view.pictures.row(name) >= 0 for name in finding.names))
            row.show_asked.connect(self.view.select)
            row.leave_out_asked.connect(self.leave_out)
            self._findings.addWidget(row)
            row.show()  # or its height would not count yet
        self._findings.addStretch(1)
        self._scroll.setVisible(bool(findings))
        self._fit_findings()

    def _fit_findings(self) -> None:
        """As high as they are, to a limit."""
        height = self._findings.heightForWidth(max(self._scroll.viewport().width(), 200))
        self._scroll.setFixedHeight(min(_FINDINGS_HEIGHT, max(height, 26) + 2 * self._scroll.frameWidth()))

    def resizeEvent(self, event) -> None:
        """Sentences may take more lines, or fewer."""
        super().resizeEvent(event)
        self._fit_findings()

    def _show_groups(self) -> None:
        """All groups with what is used of each."""
        with QSignalBlocker(self.groups):
            while self.groups.topLevelItemCount() > len(self._groups):
                self.groups.takeTopLevelItem(self.groups.topLevelItemCount() - 1)
            while self.groups.topLevelItemCount() < len(self._groups):
                self.groups.addTopLevelItem(QTreeWidgetItem())
            for row, group in enumerate(self._groups):
                item = self.groups.topLevelItem(row)
                assert item is not None
                used = sum(name not in self.plan.left_out for name in group.names)
                whole = used == len(group.names)
                state = Qt.CheckState.Checked if whole else Qt.CheckState.PartiallyChecked
                item.setCheckState(0, state if used else Qt.CheckState.Unchecked)
                report = self._of_groups.get(group.label)
                item.setText(0, group.label)
                item.setToolTip(0, group.label)
                item.setText(
                    1, str(used) if whole else tr("{part} of {whole}").format(part=used, whole=len(group.names))
                )
                item.setText(2, f"{report.sigma * 255:.1f}" if report is not None else "–")
                for column in (1, 2):
                    item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.groups.setEnabled(self._look_job is None)

    def _show_state(self) -> None:
        """Counts and noise, and whether the next page may be shown."""
        plan, used = self.plan, self.plan.used
        self.view.pictures.refresh()
        self.groups.setEnabled(self._look_job is None)
        if self._look_job is not None:
            known = trn("{count} file", "{count} files", len(plan.found)).format(count=len(plan.found))
            again = self._seen - len(plan.found)
            self.summary.setText(
                tr("Looking… {files}, measuring their noise: {count}").format(files=known, count=again)
                if again
                else tr("Looking… {files} so far").format(files=known)
            )
            self.noise.setText("")
        elif self._looking_at is not None:
            self.summary.setText(_counts(plan, used))
            self.noise.setText("" if self._noise is None else _noise_said(self._noise, used))
        held = len(plan.held_out - plan.left_out)
        self.held.setText(
            tr("{part} of {whole}").format(part=held, whole=len(used)) if used and self._look_job is None else ""
        )
        self.again.setVisible(self._held_by_hand)
        self.share.setVisible(not self._held_by_hand)
        self._panel.setVisible(self._looking_at is not None)
        self.changed.emit()


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    label.setToolTip(buddy.toolTip())
    return label


def _counts(plan: Plan, used: Sequence[Found]) -> str:
    """How many pictures are used, and of what size and depth."""
    parts = [trn("{count} picture", "{count} pictures", len(used)).format(count=len(used))]
    sizes = sorted(one.width * one.height / 1e6 for one in used)
    if sizes:
        low, high = f"{sizes[0]:.2g}", f"{sizes[-1]:.2g}"
        size = low if low == high else tr("{low} to {high}").format(low=low, high=high)
        parts.append(tr("{size} megapixels each").format(size=size))
        bits = tr(" and ").join(f"{bits}" for bits in sorted({one.bits for one in used}))
        parts.append(tr("{bits} bits").format(bits=bits))
        kinds = {one.channels == 1 for one in used}
        parts.append(tr("grey and colour") if len(kinds) > 1 else tr("grey") if True in kinds else tr("colour"))
    unreadable = sum(bool(one.problem) and one.problem != preflight.TWIN for one in plan.found)
    left_out = sum(not one.problem for one in plan.found) - len(used)
    parts += [tr("{count} left out").format(count=left_out)] if left_out else []
    parts += [tr("{count} cannot be read").format(count=unreadable)] if unreadable else []
    return " · ".join(parts)


def _noise_said(report: NoiseReport, used: Sequence[Found]) -> str:
    """The noise of all used pictures, and of how many it is known."""
    if report.is_clean:
        return tr("No noise worth removing was found")
    parts = [tr("Noise: sigma {sigma:.1f} of 255").format(sigma=report.sigma * 255)]
    parts.append(
        tr("white") if report.is_white else tr("correlated ({correlation:.2f})").format(correlation=report.correlation)
    )
    parts += [tr("{clipped:.1%} clipped").format(clipped=report.clipped)] if report.clipped > 0.005 else []
    count = sum(one.report is not None for one in used)
    parts += [tr("measured in {count} of them").format(count=count)] if count < len(used) else []
    return " · ".join(parts)
