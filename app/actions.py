"""Every action of the main window: its text, its keys, its place in the menus and on the tool bar."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QLabel, QMenu

from app.toolbar import ToolBar
from engine.language import tr

if TYPE_CHECKING:
    from app.window import MainWindow

MODES = {"side": tr("Side by side"), "wipe": tr("Wipe"), "stack": tr("Top and bottom"), "after": tr("Result only")}
_MODE_KEYS = {"side": "Y", "wipe": "Shift+Y", "stack": "Alt+Y", "after": "Ctrl+Y"}
_MODE_ICONS = {"side": "side", "wipe": "wipe", "stack": "stack", "after": "result"}

LAYERS = {
    "result": tr("Re&sult"),
    "removed": tr("What was re&moved"),
    "spread": tr("Spr&ead over the passes"),
    "reference": tr("Refere&nce"),
}
_LAYER_KEYS = {"result": "Shift+D", "removed": "D", "spread": "S", "reference": "C"}


NEED_A_PICTURE = (
    *(f"layer_{layer}" for layer in LAYERS),
    *(f"tool_{tool}" for tool in ("rectangle", "brush", "region", "line")),
    *("try_all", "try_present", "brush_larger", "brush_smaller", "marks", "region_visible", "line_across"),
    *("flip", "fit", "full", "double", "toggle", "zoom_in", "zoom_out", "loupe"),
)
"""Actions that mean nothing before a picture was opened."""


class Actions:
    """All actions of a window by name. It does not hold the window: that is deleted before those who hold it are.

    Attributes:
        by_name: the actions.
        rows: (what it does, its keys) of everything that has keys, for the list of them.
    """

    def __init__(self, window: MainWindow) -> None:
        self.by_name: dict[str, QAction] = {}
        self.rows: list[tuple[str, str]] = []
        bar = window.menuBar()
        self._fill_file(window, bar.addMenu(tr("&File")))
        self._fill_edit(window, bar.addMenu(tr("&Edit")))
        self._fill_picture(window, bar.addMenu(tr("&Picture")))
        self._fill_train(window, bar.addMenu(tr("&Train")))
        self._fill_view(window, bar.addMenu(tr("&View")))
        self._fill_inspect(window, bar.addMenu(tr("&Inspect")))
        self._fill_help(window, bar.addMenu(tr("&Help")))
        self._add_toolbar(window)

    def _add(
        self,
        window: MainWindow,
        name: str,
        text: str,
        run: Callable[[], object],
        *keys: QKeySequence.StandardKey | str,
        checkable: bool = False,
    ) -> QAction:
        action = QAction(text, window)
        # A standard key may be one of ours too; given twice it would be ambiguous and do nothing.
        sequences = list({sequence.toString(): sequence for key in keys for sequence in _sequences(key)}.values())
        action.setShortcuts(sequences)
        action.setCheckable(checkable)
        action.triggered.connect(lambda *_: run())
        window.addAction(action)
        self.by_name[name] = action
        if sequences:
            shown = ", ".join(s.toString(QKeySequence.SequenceFormat.NativeText) for s in sequences)
            self.rows.append((text.replace("&", "").removesuffix("…"), shown))
        return action

    def _fill_file(self, window: MainWindow, menu: QMenu) -> None:
        key, add = QKeySequence.StandardKey, partial(self._add, window)
        menu.addAction(add("open", tr("&Open…"), window.open, key.Open))
        menu.addAction(add("open_folder", tr("Open &folder…"), window.open_folder, "Ctrl+Shift+O"))
        self.recent_menu = menu.addMenu(tr("Open &recent"))
        menu.addAction(add("reference", tr("Choose r&eference…"), window.choose_reference, "Ctrl+R"))
        menu.addAction(add("close", tr("Remove from the l&ist"), window.remove_selected, key.Close))
        menu.addSeparator()
        menu.addAction(add("save", tr("&Save the result…"), window.save, "Ctrl+E", "Ctrl+Shift+E", key.Save))
        menu.addAction(add("save_all", tr("Denoise and save &all…"), window.save_all, "Ctrl+Alt+E"))
        text = tr("Denoise and save the se&lection…")
        menu.addAction(add("save_selection", text, window.save_selection, "Ctrl+Alt+Shift+E"))
        menu.addAction(add("batch", tr("&Denoise a folder…"), window.denoise_folder, "Ctrl+B"))
        menu.addSeparator()
        menu.addAction(add("import", tr("I&mport model…"), window.import_model))
        menu.addAction(add("export", tr("E&xport model…"), window.export_model))
        menu.addAction(add("card", tr("About &the model"), window.show_card))
        menu.addSeparator()
        menu.addAction(add("quit", tr("&Quit"), window.close, "Ctrl+Q", key.Quit))

    def _fill_edit(self, window: MainWindow, menu: QMenu) -> None:
        key, add, workspace = QKeySequence.StandardKey, partial(self._add, window), window.workspace
        # Not the standard keys: where Ctrl+Y is one of them, it is a view mode here.
        menu.addAction(add("undo", tr("&Undo"), workspace.undo, "Ctrl+Z"))
        menu.addAction(add("redo", tr("&Redo"), workspace.redo, "Ctrl+Shift+Z"))
        menu.addSeparator()
        menu.addAction(add("copy", tr("&Copy the result"), workspace.copy_result, key.Copy))
        menu.addAction(add("paste", tr("&Paste a picture"), window.paste, key.Paste))
        menu.addSeparator()
        menu.addAction(add("copy_values", tr("Copy &settings"), workspace.copy_values, "Ctrl+Shift+C"))
        menu.addAction(add("paste_values", tr("P&aste settings"), window.paste_values, "Ctrl+Shift+V"))
        self.presets_menu = menu.addMenu(tr("Pr&esets"))
        add("save_preset", tr("Save as &preset…"), window.save_preset)
        add("manage_presets", tr("&Manage presets…"), window.manage_presets)
        menu.addSeparator()
        menu.addAction(add("preferences", tr("Pre&ferences…"), window.preferences, "Ctrl+,", key.Preferences))

    def _fill_picture(self, window: MainWindow, menu: QMenu) -> None:
        add, workspace, viewer = partial(self._add, window), window.workspace, window.viewer
        menu.addAction(add("denoise", tr("&Denoise"), workspace.denoise, "Ctrl+Return"))
        menu.addAction(add("cancel", tr("&Cancel"), window.cancel, "Esc"))
        menu.addSeparator()
        menu.addAction(add("try_all", tr("&Try all on this region"), viewer.try_all, "T"))
        menu.addAction(add("try_present", tr("&Add the present settings to compare"), viewer.try_present, "Shift+T"))
        menu.addSeparator()
        tools = (("rectangle", tr("Draw a &rectangle with a strength of its own"), "Shift+B"),)
        tools += (("brush", tr("Pa&int with a strength of its own"), "B"),)
        for tool, text, keys in tools:
            run = lambda tool=tool: viewer.toggle_tool(tool)  # noqa: E731
            menu.addAction(add(f"tool_{tool}", text, run, keys, checkable=True))
        menu.addAction(add("brush_larger", tr("&Larger brush"), lambda: viewer.change_brush(grows=True), "]"))
        menu.addAction(add("brush_smaller", tr("&Smaller brush"), lambda: viewer.change_brush(grows=False), "["))
        menu.addSeparator()
        # Also the arrow keys and Space while the picture has the focus: elsewhere they belong to sliders and buttons.
        menu.addAction(add("next", tr("&Next picture"), lambda: workspace.step(1), "Ctrl+Right"))
        menu.addAction(add("previous", tr("&Previous picture"), lambda: workspace.step(-1), "Ctrl+Left"))
        menu.addAction(add("next_page", tr("Next pa&ge"), lambda: window.turn(1), "PgDown"))
        menu.addAction(add("previous_page", tr("Pre&vious page"), lambda: window.turn(-1), "PgUp"))
        self.rows.append((tr("Next picture, while the picture has the focus"), tr("Right, Down, Space")))
        self.rows.append((tr("Previous picture, while the picture has the focus"), tr("Left, Up, Backspace")))

    def _fill_train(self, window: MainWindow, menu: QMenu) -> None:
        menu.addAction(self._add(window, "train", tr("&Train on my folder…"), window.train, "Ctrl+T"))
        menu.addAction(self._add(window, "trainings", tr("&Earlier trainings…"), window.show_trainings))

    def _fill_view(self, window: MainWindow, menu: QMenu) -> None:
        key, add, view = QKeySequence.StandardKey, partial(self._add, window), window.view
        self.modes = QActionGroup(window)
        for mode, text in MODES.items():
            run = lambda mode=mode: window.viewer.set_mode(mode)  # noqa: E731
            action = add(f"mode_{mode}", text, run, _MODE_KEYS[mode], checkable=True)
            self.modes.addAction(action)
            menu.addAction(action)
        menu.addAction(add("turn_wipe", tr("T&urn the wipe line"), view.turn_wipe, "W"))
        flip = add("flip", tr("Show the &original"), view.flip)
        flip.setText(tr("Show the &original") + "\t\\")
        menu.addAction(flip)
        self.rows.append((tr("Show the original: tap to flip, hold to look"), "\\"))
        menu.addSeparator()
        menu.addAction(add("fit", tr("&Fit"), view.fit, "Ctrl+0", "0"))
        menu.addAction(add("full", "&100 %", lambda: view.zoom_to(1.0), "Ctrl+1", "1"))
        menu.addAction(add("double", "&200 %", lambda: view.zoom_to(2.0), "Ctrl+2", "2"))
        menu.addAction(add("toggle", tr("&Toggle fit and 100 %"), view.toggle_fit, "Z"))
        menu.addAction(add("zoom_in", tr("Zoom &in"), view.zoom_in, key.ZoomIn, "Ctrl+=", "+"))
        menu.addAction(add("zoom_out", tr("&Zoom out"), view.zoom_out, key.ZoomOut, "-"))
        menu.addAction(add("loupe", tr("&Loupe"), window.viewer.toggle_loupe, "L", checkable=True))
        self.rows.append((tr("Move what is visible"), tr("Drag, or the arrow keys")))
        self.rows.append((tr("Zoom about the cursor"), tr("Wheel")))
        self.rows.append((tr("Toggle fit and 100 % at the cursor"), tr("Double click")))
        self.rows += [
            (tr("Move the wipe line"), tr("Shift+Arrows")),
            (tr("Turn the wipe line to any angle"), tr("Alt+Arrows, Shift+Wheel, or drag its end")),
            (tr("Move the mark between the results"), tr("Alt+Arrows")),
            (tr("Keep the marked result"), tr("Return, or a click")),
            (tr("Move what the tool draws; its far corner"), tr("Alt+Arrows; Alt+Shift+Arrows")),
            (tr("Take the rectangle, or dab with the brush"), tr("Return")),
            (tr("Remove the region or the line"), tr("Delete")),
            (tr("Pan while a tool is in use"), tr("Space, or the middle button")),
            (tr("Put the tool away"), tr("Escape")),
        ]
        menu.addSeparator()
        menu.addAction(add("inspector", tr("Show ins&pector"), window.toggle_inspector, "I", checkable=True))
        menu.addAction(add("panels", tr("Show p&anel"), window.toggle_panels, "F9", checkable=True))
        self.rows.append((tr("Hide panels and filmstrip, while the picture has the focus"), "Tab"))
        menu.addAction(add("filmstrip", tr("Show film&strip"), window.toggle_strip, "F6", checkable=True))
        menu.addAction(add("full_screen", tr("Full s&creen"), window.toggle_full_screen, "F11", "F", checkable=True))
        self.rows.append((tr("Reset one value"), tr("Double click on its label or slider")))

    def _fill_inspect(self, window: MainWindow, menu: QMenu) -> None:
        add, viewer = partial(self._add, window), window.viewer
        self.layers = QActionGroup(window)
        for layer, text in LAYERS.items():
            run = lambda layer=layer: viewer.toggle_layer(layer)  # noqa: E731
            action = add(f"layer_{layer}", text, run, _LAYER_KEYS[layer], checkable=True)
            self.layers.addAction(action)
            menu.addAction(action)
        menu.addAction(add("amplify", tr("Am&plify more"), lambda: viewer.change_gain(2.0), "Ctrl+Up"))
        menu.addAction(add("attenuate", tr("Amplify &less"), lambda: viewer.change_gain(0.5), "Ctrl+Down"))
        menu.addAction(add("marks", tr("Mark stru&cture that was removed"), viewer.toggle_marks, "M", checkable=True))
        menu.addSeparator()
        for tool, text, keys in (("region", tr("Choose a re&gion"), "R"), ("line", tr("&Draw a line"), "P")):
            run = lambda tool=tool: viewer.toggle_tool(tool)  # noqa: E731
            menu.addAction(add(f"tool_{tool}", text, run, keys, checkable=True))
        menu.addAction(add("region_visible", tr("Region: what is &visible"), viewer.take_visible, "Shift+R"))
        menu.addAction(add("line_across", tr("Line: &across the middle"), viewer.take_line, "Shift+P"))
        menu.addSeparator()
        self.rows.append(
            (tr("Next and previous page of the inspector, while it has the focus"), "Ctrl+Tab, Ctrl+Shift+Tab")
        )
        for page, text in viewer.pages():
            run = lambda page=page: window.show_page(page)  # noqa: E731
            menu.addAction(add(f"page_{page}", text, run))

    def _fill_help(self, window: MainWindow, menu: QMenu) -> None:
        menu.addAction(self._add(window, "shortcuts", tr("&Keyboard shortcuts"), window.show_shortcuts, "F1"))
        menu.addAction(self._add(window, "about", tr("&About Pellucid"), window.about))

    def _add_toolbar(self, window: MainWindow) -> None:
        bar = ToolBar(tr("View"), window)
        bar.setObjectName("toolbar")
        actions = self.by_name
        # A bar of words stays short: the menu has the whole sentence.
        files = ("open", tr("Open")), ("save", tr("Save")), ("batch", tr("Batch")), ("train", tr("Train"))
        bar.add_group([(actions[name], name, word) for name, word in files])
        bar.add_group([(actions[f"mode_{mode}"], _MODE_ICONS[mode], word) for mode, word in MODES.items()])
        bar.add_group(
            [
                (actions["layer_removed"], "difference", tr("Removed")),
                (actions["try_all"], "grid", tr("Try all")),
                (actions["loupe"], "loupe", tr("Loupe")),
                (actions["inspector"], "inspector", tr("Inspect")),
            ]
        )
        bar.add_group([(actions["fit"], "fit", tr("Fit")), (actions["full"], "full", "100 %")])
        self.zoom = QLabel()
        self.zoom.setObjectName("muted")
        self.zoom.setAccessibleName(tr("Zoom"))
        bar.add_label(self.zoom)
        window.addToolBar(bar)


def _sequences(key: QKeySequence.StandardKey | str) -> list[QKeySequence]:
    if isinstance(key, str):
        return [QKeySequence(key)]
    # Without the keys of media keyboards, which are called Open, Copy and the like.
    return [keys for keys in QKeySequence.keyBindings(key) if "+" in keys.toString()]
