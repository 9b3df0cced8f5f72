"""The inspector beside the picture: pages of which one is shown, chosen by buttons above."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDockWidget,
    QFrame,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.inspector import inspector as kinds
from app.inspector.flow import Flow
from app.inspector.histogram_page import HistogramPage
from app.inspector.inspector import Inspector
from app.inspector.noise_page import NoisePage
from app.inspector.passes_page import PassesPage
from app.inspector.profile_page import ProfilePage
from app.inspector.region_page import RegionPage
from app.inspector.residual_page import ResidualPage
from engine.language import tr
from engine.noise_curve import NoiseCurve
from engine.residual import Residual

TITLES = {
    kinds.RESIDUAL: tr("Residual"),
    kinds.NOISE: tr("Noise"),
    kinds.HISTOGRAM: tr("Histogram"),
    kinds.PROFILE: tr("Profile"),
    kinds.REGION: tr("Region"),
    kinds.PASSES: tr("Passes"),
}


class InspectorDock(QDockWidget):
    """Shows what an inspector measures; only the page that is visible asks for anything."""

    tool_wanted = Signal(str)
    """"region" or "line": the next drag over the picture draws one."""

    region_wanted = Signal(object)
    """"visible" for what the view shows, None for no region."""

    line_wanted = Signal(object)
    """"horizontal" or "vertical" across the middle of what the view shows, None for no line."""

    levels_changed = Signal(object)
    """(black, white) in the picture's own units for the screen alone; None for those of the picture."""

    shift_free_changed = Signal(bool)
    """Whether the difference in brightness is taken out before comparing with the reference."""

    layer_wanted = Signal(str)
    """The layer that is shown in the place of the result: "removed", or "result" for the result itself."""

    gain_changed = Signal(float)
    """How many times what was removed is amplified where it is shown."""

    marks_changed = Signal(list, str)
    """Blocks in which structure was removed, (x0, y0, x1, y1) in picture pixels, and how sure that is; none, "" for no
    marks."""

    page_changed = Signal(str)

    def __init__(self, inspector: Inspector, parent: QWidget | None = None) -> None:
        super().__init__(tr("Inspector"), parent)
        self.inspector = inspector
        self.setObjectName("inspector")
        self.setAccessibleName(tr("Inspector"))
        self.setAllowedAreas(Qt.DockWidgetArea.LeftDockWidgetArea | Qt.DockWidgetArea.RightDockWidgetArea)
        self.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetClosable)
        self.residual, self.noise = ResidualPage(), NoisePage()
        self.histogram, self.profile = HistogramPage(), ProfilePage()
        self.region, self.passes = RegionPage(), PassesPage()
        self.pages: dict[str, QWidget] = {
            kinds.RESIDUAL: self.residual,
            kinds.NOISE: self.noise,
            kinds.HISTOGRAM: self.histogram,
            kinds.PROFILE: self.profile,
            kinds.REGION: self.region,
            kinds.PASSES: self.passes,
        }
        self._found: Residual | None = None
        self._told_marks: tuple[list[tuple[int, int, int, int]], str] = ([], "")
        self._group = QButtonGroup(self)
        self._stack = QStackedWidget()
        self.buttons: dict[str, QToolButton] = {}
        for index, (page, widget) in enumerate(self.pages.items()):
            button = QToolButton()
            button.setText(TITLES[page])
            button.setAccessibleName(tr("Page {name}").format(name=TITLES[page]))
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self.buttons[page] = button
            self._group.addButton(button, index)
            self._stack.addWidget(_scrolled(widget, TITLES[page]))
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(6, 8, 0, 0)
        self._choice = _Choice(Flow(*self.buttons.values(), stretch=True), [TITLES[page] for page in self.pages])
        self.list = self._choice.list
        self.list.activated.connect(lambda index: self.show_page(list(self.pages)[index]))
        column.addWidget(self._choice)
        column.addWidget(self._stack, 1)
        box.setMinimumWidth(280)
        self.setWidget(box)
        self._connect()
        self.show_page(kinds.RESIDUAL)
        self.hide()

    @property
    def page(self) -> str:
        """The one that is chosen."""
        return list(self.pages)[self._stack.currentIndex()]

    def show_page(self, page: str) -> None:
        """Choose a page; the dock need not be visible."""
        self.buttons[page].setChecked(True)

    def next_page(self, step: int = 1) -> None:
        """The page that many further on, all around."""
        pages = list(self.pages)
        self.show_page(pages[(pages.index(self.page) + step) % len(pages)])

    def set_marks(self, on: bool) -> None:
        """Mark where structure was removed, or no longer."""
        self.inspector.set_marks(on)
        self._show_display()
        self._tell_marks()

    def event(self, event: QEvent) -> bool:
        """Ctrl+Tab and Ctrl+Shift+Tab go through the pages, wherever in the dock the focus is."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Tab and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
                self.next_page()
                return True
            if event.key() == Qt.Key.Key_Backtab and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
                self.next_page(-1)
                return True
        return super().event(event)

    def _connect(self) -> None:
        inspector, workspace = self.inspector, self.inspector.workspace
        self._group.idToggled.connect(self._choose)
        self.visibilityChanged.connect(lambda *_: self._ask())
        inspector.values_ready.connect(self.histogram.show_values)
        inspector.histogram_ready.connect(self.histogram.show_histograms)
        inspector.profile_ready.connect(self.profile.show_profiles)
        inspector.region_ready.connect(self.region.show_measured)
        inspector.visible_ready.connect(self.passes.show_visible)
        self.histogram.levels_changed.connect(self.levels_changed)
        self.profile.tool_wanted.connect(self.tool_wanted)
        self.profile.line_wanted.connect(self.line_wanted)
        self.profile.width_changed.connect(inspector.set_width)
        self.region.tool_wanted.connect(self.tool_wanted)
        self.region.region_wanted.connect(self.region_wanted)
        self.passes.shift_free_changed.connect(inspector.set_shift_free)
        self.passes.shift_free_changed.connect(self.shift_free_changed)
        self.passes.shift_free_changed.connect(lambda *_: self._show_numbers())
        inspector.residual_ready.connect(self._show_residual)
        inspector.curve_ready.connect(self._show_curve)
        self.residual.layer_wanted.connect(lambda on: self.layer_wanted.emit("removed" if on else "result"))
        self.residual.gain_changed.connect(inspector.set_gain)
        self.residual.gain_changed.connect(self.gain_changed)
        self.residual.marks_wanted.connect(self.set_marks)
        workspace.display_changed.connect(self._show_display)
        workspace.current_changed.connect(self.histogram.let_go)
        workspace.current_changed.connect(self._show_display)
        self._show_display()
        for signal in (workspace.estimate_changed, workspace.result_cleared, workspace.reference_changed):
            signal.connect(self._show_numbers)
        workspace.current_changed.connect(self._show_numbers)
        workspace.params_changed.connect(self._show_numbers)

    def _choose(self, index: int, on: bool) -> None:
        if on:
            self._stack.setCurrentIndex(index)
            self.list.setCurrentIndex(index)
            self._ask()
            self.page_changed.emit(self.page)

    def _ask(self) -> None:
        self.inspector.set_visible({self.page} if self.isVisible() else ())

    def _show_display(self) -> None:
        """Take over how the view shows the picture."""
        display = self.inspector.workspace.display
        self.residual.show_state(display.gain, display.layer == "removed", self.inspector.marks)
        self.histogram.set_levels(display.levels)

    def _show_residual(self, found: Residual | None, waiting: bool) -> None:
        self._found = found
        text = tr("Looking at what was removed…") if waiting else self.inspector.why[kinds.RESIDUAL]
        self.residual.show_residual(found, text)
        self._tell_marks()

    def _show_curve(self, found: NoiseCurve | None, waiting: bool) -> None:
        workspace = self.inspector.workspace
        text = tr("Looking at the noise…") if waiting else self.inspector.why[kinds.NOISE]
        if found is None and not text and workspace.opened is not None:
            text = workspace.opened.no_report or tr("The noise is being measured…")
        self.noise.show_curve(found, text)

    def _tell_marks(self) -> None:
        found, told = self._found, ([], "")
        if self.inspector.marks and found is not None:
            rects = [(mark.left, mark.top, mark.right, mark.bottom) for mark in found.marks]
            text = tr("Structure in {marked} of {blocks} blocks · in pure noise any mark: at most {chance:g} %")
            told = (
                rects,
                text.format(marked=f"{len(rects):,}", blocks=f"{found.blocks:,}", chance=100 * found.significance),
            )
        if told != self._told_marks:
            self._told_marks = told
            self.marks_changed.emit(*told)

    def _show_numbers(self) -> None:
        workspace = self.inspector.workspace
        self.passes.show_numbers(workspace.numbers, workspace.shown, self.inspector.shift_free)


class _Choice(QWidget):
    """The pages as buttons, or as a list where these would need a row each."""

    def __init__(self, buttons: Flow, titles: list[str]) -> None:
        super().__init__()
        self.buttons, self.list = buttons, QComboBox()
        self.list.setAccessibleName(tr("Page of the inspector"))
        self.list.addItems(titles)
        self.list.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 6, 0)
        column.addWidget(self.buttons)
        column.addWidget(self.list)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Use the new width."""
        is_narrow = self.contentsRect().width() - 6 < self.buttons.width_of(2)
        if is_narrow != self.buttons.isHidden():
            self.buttons.setHidden(is_narrow)
            self.list.setVisible(is_narrow)
        super().resizeEvent(event)


def _scrolled(page: QWidget, name: str) -> QScrollArea:
    area = QScrollArea()
    area.setAccessibleName(name)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(page)
    layout = page.layout()
    assert layout is not None
    layout.setContentsMargins(0, 4, 6, 8)
    return area
