"""The picture in the middle and all that looks at it: what is shown of it, tools, places, the inspector, trials."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.areas_controls import AreasControls
from app.compare.view import CompareView
from app.controls import quality
from app.display import MOST_GAIN
from app.inspector.dock import TITLES, InspectorDock
from app.inspector.inspector import Inspector
from app.pages import PageBar
from app.trials import Trials
from app.trials_bar import Connection, TrialsBar
from app.workspace import Workspace
from engine.language import tr
from engine.tiles import Rect


class Viewer(QWidget):
    """Shows the current picture of a workspace in the comparison view, and takes what is drawn there."""

    told = Signal(str)
    """A sentence for the message line."""

    marks_changed = Signal(bool)

    def __init__(self, workspace: Workspace, areas: AreasControls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.workspace, self.areas = workspace, areas
        self.view = CompareView()
        self.trials = Trials(workspace)
        self.trials_bar = TrialsBar(self.trials)
        self.pages_bar = PageBar(workspace)
        self.inspector = Inspector(workspace)
        self.dock = InspectorDock(self.inspector)
        self._connection = Connection(self.trials, self.view, self)
        self._mode = "side"

        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view, 1)
        column.addWidget(self.trials_bar)
        column.addWidget(self.pages_bar)

        view = self.view
        view.viewport_changed.connect(workspace.set_viewport)
        view.viewport_changed.connect(self.inspector.set_viewport)
        view.cursor_moved.connect(self.inspector.set_cursor)
        view.tool_changed.connect(areas.show_tool)
        view.place_drawn.connect(areas.add)
        view.region_changed.connect(lambda area: self.inspector.set_region(None if area is None else Rect(*area)))
        view.line_changed.connect(self.inspector.set_line)
        areas.tool_wanted.connect(view.set_tool)
        areas.radius_changed.connect(view.set_brush_radius)
        view.set_brush_radius(float(areas.radius.value))
        workspace.current_changed.connect(self._clear)
        workspace.picture_ready.connect(self._show_picture)
        workspace.before_changed.connect(self._show_picture)
        workspace.region_ready.connect(view.update_after)
        workspace.result_cleared.connect(lambda: view.set_after(None))
        workspace.display_changed.connect(self.show_captions)
        for signal in (workspace.params_changed, workspace.current_changed):
            signal.connect(self._show_areas)
        for signal in (
            workspace.estimate_changed,
            workspace.noise_ready,
            workspace.params_changed,
            workspace.reference_changed,
            workspace.current_changed,
        ):
            signal.connect(self.show_captions)
        workspace.reference_changed.connect(self._leave_reference)
        dock = self.dock
        dock.tool_wanted.connect(self.toggle_tool)
        dock.region_wanted.connect(self._take_region)
        dock.line_wanted.connect(self._take_line)
        dock.layer_wanted.connect(self.show_layer)
        dock.gain_changed.connect(workspace.set_gain)
        dock.marks_changed.connect(self._show_marks)
        dock.levels_changed.connect(workspace.set_levels)
        dock.shift_free_changed.connect(workspace.set_shift_free)
        self.trials.changed.connect(self._show_trials)
        self.trials.told.connect(self.told)
        view.mode_changed.connect(self._follow_mode)
        self.trials_bar.hide()
        self._show_areas()
        self.show_captions()

    def close_all(self) -> None:
        """End what measures and tries in the background."""
        self.trials.end()
        self.inspector.close()

    # ---- What is shown ----

    def set_mode(self, mode: str) -> None:
        """Show before and after in one of the view's modes; trials end."""
        self.view.set_mode(mode)

    @property
    def mode(self) -> str:
        """How before and after are shown, also where trials are shown in their place now."""
        return self._mode

    def _follow_mode(self, mode: str) -> None:
        if mode != "grid":
            self._mode = mode

    def toggle_layer(self, layer: str) -> None:
        """Show a layer in the place of the result, or the result again."""
        self.show_layer("result" if layer == self.workspace.display.layer else layer)

    def show_layer(self, layer: str) -> None:
        """Show a layer in the place of the result, or say why it cannot be."""
        workspace = self.workspace
        if layer == "reference" and workspace.reference is None:
            self.told.emit(
                tr("There is no reference to show; drop a clean twin of this picture on the panel, or press Ctrl+R.")
            )
            layer = "result"
        elif layer == "spread" and not self._has_spread():
            self.told.emit(
                tr("There is no spread to show: it needs a result of at least two passes; R2R makes them, raise T.")
            )
            layer = "result"
        workspace.set_layer(layer)
        self.show_captions()

    def _has_spread(self) -> bool:
        shown, area = self.workspace.shown, self.view.viewport()
        if shown is None or shown.denoising is None or area is None:
            return False
        return shown.denoising.spread_passes(Rect(*area[:2], area[0] + 1, area[1] + 1)) > 1

    def change_gain(self, factor: float) -> None:
        """Amplify what was removed, and the spread, by a factor more or less."""
        self.workspace.set_gain(min(MOST_GAIN, max(1.0, self.workspace.display.gain * factor)))

    def _leave_reference(self) -> None:
        if self.workspace.display.layer == "reference" and self.workspace.reference is None:
            self.workspace.set_layer("result")

    def _clear(self) -> None:
        self.view.show_original(False)
        self.view.set_after(None)
        self.view.set_before(None)
        self.view.set_marks((), "")

    def _show_picture(self) -> None:
        opened = self.workspace.opened
        if opened is not None:
            self.view.set_before(opened.picture.shown)

    def show_captions(self) -> None:
        """What stands over the pictures: which they are, and the number that was reached."""
        workspace = self.workspace
        display, main = workspace.display, quality(workspace)[0]
        if workspace.opened is not None and workspace.is_left_alone:
            main = tr("left as it is")
        after = tr("After")
        gain = f"×\N{NO-BREAK SPACE}{display.gain:g}"
        if display.layer == "removed":
            after = tr("What was removed") + f" {gain}"
        elif display.layer == "spread" and self._has_spread():
            after = tr("Spread over the passes, not error") + f" {gain}"
        elif display.layer == "reference" and workspace.reference is not None:
            after = tr("Reference {name}").format(name=workspace.reference.name)
        elif main != "–":
            after = f"{after} · {main}"
        self.view.set_labels(tr("Before"), after)

    # ---- Tools ----

    def toggle_tool(self, tool: str) -> None:
        """Take a tool, or put it away."""
        self.view.set_tool("pan" if tool == self.view.tool else tool)
        self.view.setFocus()

    def change_brush(self, *, grows: bool) -> None:
        """Make the brush one step larger or smaller."""
        self.areas.change_radius(grows)

    def toggle_loupe(self) -> None:
        """Show the place under the cursor enlarged, or no longer."""
        self.view.set_loupe(not self.view.loupe)

    def toggle_marks(self) -> None:
        """Mark where structure was removed, or no longer."""
        self.dock.set_marks(not self.inspector.marks)

    def _show_marks(self, rects: list[tuple[int, int, int, int]], text: str) -> None:
        self.view.set_marks(rects, text)
        self.marks_changed.emit(self.inspector.marks)

    def _show_areas(self) -> None:
        self.view.set_areas(self.workspace.values.areas)

    def take_visible(self) -> None:
        """Make what is visible the region that is measured."""
        self._take_region("visible")

    def take_line(self) -> None:
        """Lay the line of the profile across the middle of what is visible; once more, upright."""
        line = self.inspector.line
        is_level = line is not None and line[1] == line[3]
        self._take_line("vertical" if is_level else "horizontal")

    def _take_region(self, which: str | None) -> None:
        self.view.set_region(self.view.viewport() if which == "visible" else None)

    def _take_line(self, which: str | None) -> None:
        area = self.view.viewport()
        if which is None or area is None:
            self.view.set_line(None)
            return
        left, top, right, bottom = area
        across, down = (left + right) / 2, (top + bottom) / 2
        level = (float(left), down, float(right), down)
        self.view.set_line(level if which == "horizontal" else (across, float(top), across, float(bottom)))

    def pages(self) -> list[tuple[str, str]]:
        """The inspector's pages: (name, title)."""
        return [(page, TITLES[page]) for page in self.dock.pages]

    # ---- Trials ----

    def try_all(self) -> None:
        """Fill the view with up to four results of what is visible."""
        self.trials.fill_all()

    def try_present(self) -> None:
        """Add the present settings to what is compared."""
        self.trials.add_current()

    def _show_trials(self) -> None:
        self.trials_bar.setVisible(self.trials.is_on)
