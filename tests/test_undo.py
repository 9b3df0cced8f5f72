from __future__ import annotations

import dataclasses
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from opened import install_models, noisy_file
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QSlider, QStyle, QStyleOptionSlider
from test_window import make_window, press, settle_focus, wait_done, window  # noqa: F401 - fixtures
from test_workspace import (  # noqa: F401 - fixtures
    PATIENCE_MS,
    TILES,
    Screen,
    calls,
    expected,
    idle,
    known_noise,
    opened,
    small_tiles,
    wait_done_again,
    workspace,
)

from app import presets
from app.presets_dialog import PresetsDialog, SavePresetDialog, summary
from app.screen import to_screen
from app.settings import Settings
from app.undo import MERGE_S, Held, History, State
from app.values import Values
from app.workspace import Workspace
from engine.areas import Areas

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)

SOME = Values("r2r", "tiny", {"r2r": {"alpha": 0.9}}, 0.4, 2.0)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""

    class Clock:
        now = 0.0

    made = Clock()
    monkeypatch.setattr("app.undo.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def three(qtbot, tmp_path):
    """Three pictures that are not denoised; the first is shown."""
    install_models()
    made = Workspace(Settings(denoise_on_open=False))
    made.errors = []
    made.failed.connect(lambda sentence, details: made.errors.append(sentence))
    made.open([noisy_file(tmp_path / f"{name}.tif", 70, 80) for name in "abc"])
    qtbot.waitUntil(lambda: made.opened is not None and bool(made.catalog.methods), timeout=PATIENCE_MS)
    yield made
    made.close()


def values(workspace: Workspace) -> list[Values]:  # noqa: F811
    """Of all pictures; a method for which nothing is set is as one that was never used."""
    held = [entry.values for entry in workspace.entries]
    return [dataclasses.replace(v, params={method: own for method, own in v.params.items() if own}) for v in held]


CHANGES = {
    "strength": lambda w: w.set_strength(0.3),
    "luminance": lambda w: w.set_luminance(0.7),
    "chroma": lambda w: w.set_chroma(1.1),
    "areas": lambda w: w.set_areas(Areas(0.5)),
    "detail guard (kappa)": lambda w: w.set_guard(1.5),
    "recorruption (alpha)": lambda w: w.set_value("alpha", 0.8),
    "passes (T)": lambda w: w.set_value("passes", 8),
    "noise level (sigma)": lambda w: w.set_value("sigma", 0.2),
    "method": lambda w: w.set_method("n2n"),
    "model": lambda w: w.set_model("tiny"),
    "development": lambda w: w.change_develop(exposure=1.0),
    "paste of settings": lambda w: (w.step(1), w.copy_values(), w.step(-1), w.paste_values([w.current])),
    "preset A & B": lambda w: w.apply_preset(presets.save("A & B", SOME), [w.current]),
}


@pytest.mark.parametrize("text", CHANGES)
def test_every_setting_can_be_undone_and_redone(three, text):
    if text == "paste of settings":
        three.entries[1].values = SOME
    before, start = values(three), three._new_values
    CHANGES[text](three)
    after = values(three)
    assert after != before
    assert three.history.undoText() == text
    three.undo()
    assert (values(three), three._new_values, three.settings.strength) == (before, start, 1.0)
    assert not three.history.canUndo()
    assert three.history.redoText() == text
    three.redo()
    assert values(three) == after
    assert not three.history.canRedo()


def test_a_reset_is_a_step_of_its_own(three):
    three.set_value("alpha", 0.8)
    three.reset_value("alpha")
    assert three.history.undoText() == "reset of recorruption (alpha)"
    three.undo()
    assert three.value("alpha") == 0.8


def test_settings_without_a_picture_can_be_undone(workspace, qtbot):  # noqa: F811
    workspace.set_strength(0.5)
    workspace.undo()
    assert workspace.values == Values()
    workspace.redo()
    assert workspace.values.strength == 0.5


def test_a_value_set_to_what_it_is_is_no_step(three):
    three.set_strength(1.0)
    three.copy_values()
    three.paste_values(three.entries)
    assert not three.history.canUndo()


# ---- Steps ----


def test_changes_that_follow_fast_are_one_step_and_those_after_a_rest_another(three, clock):
    for strength in (0.9, 0.8, 0.7):
        three.set_strength(strength)
        clock.now += MERGE_S / 2
    clock.now += MERGE_S
    three.set_strength(0.5)
    assert three.history.count() == 2
    three.undo()
    assert three.values.strength == 0.7
    three.undo()
    assert three.values.strength == 1.0


def test_other_settings_and_other_pictures_are_other_steps(three, clock):
    three.set_strength(0.9)
    three.set_guard(1.0)
    three.set_value("alpha", 0.8)
    three.set_value("passes", 8)
    three.step(1)
    three.set_value("passes", 2)
    assert three.history.count() == 5


def test_a_drag_is_one_step_however_long_and_the_next_one_another(three, clock):
    for strengths in ((0.9, 0.8, 0.7), (0.6, 0.5)):
        three.history.begin_drag()
        for strength in strengths:
            three.set_strength(strength)
            clock.now += 5 * MERGE_S
        three.history.end_drag()
        clock.now = 0.0
    assert three.history.count() == 2
    three.undo()
    assert three.values.strength == 0.7


def test_there_and_back_again_is_no_step(three, clock):
    three.set_guard(1.0)
    three.set_strength(0.4)
    three.set_strength(1.0)
    assert three.history.count() == 1
    assert three.history.undoText() == "detail guard (kappa)"


def test_a_change_after_an_undo_is_not_merged_into_what_is_left(three, clock):
    three.set_strength(0.9)
    three.history.seal()
    three.set_strength(0.8)
    three.undo()
    three.set_strength(0.7)
    three.undo()
    assert three.values.strength == 0.9


def test_undoing_a_change_of_another_picture_shows_it(three, qtbot):
    three.set_strength(0.5)
    three.step(2)
    three.step(1)
    assert three.current is not three.entries[0]
    three.undo()
    assert three.current is three.entries[0]
    assert three.values.strength == 1.0
    qtbot.waitUntil(lambda: three.opened is not None, timeout=PATIENCE_MS)
    three.step(1)
    three.redo()
    assert three.current is three.entries[0]
    assert three.values.strength == 0.5


def test_a_step_about_several_pictures_shows_none_of_the_others(three):
    three.copy_values()
    three.set_strength(0.5)
    three.step(1)
    three.paste_values(three.entries)
    three.undo()
    assert three.current is three.entries[1]
    assert [v.strength for v in values(three)] == [0.5, 1.0, 1.0]


def test_steps_of_a_removed_picture_are_gone_and_the_others_stay(three):
    first, second, _ = three.entries
    three.set_strength(0.5)
    three.step(1)
    three.set_guard(1.5)
    three.step(-1)
    three.set_value("alpha", 0.8)
    three.remove([first])
    assert three.history.undoText() == "detail guard (kappa)"
    three.undo()
    assert second.values.guard == 0
    assert not three.history.canUndo()
    three.redo()
    assert second.values.guard == 1.5
    assert not three.history.canRedo()
    assert first.values.params == {"r2r": {"alpha": 0.8}}


def test_a_step_about_several_pictures_is_undone_for_those_that_are_left(three):
    three.apply_preset(presets.save("p", SOME), three.entries)
    three.remove([three.entries[0]])
    three.undo()
    assert values(three) == [Values(), Values()]


def test_a_step_that_was_undone_goes_with_its_picture_too(three):
    three.set_strength(0.5)
    three.undo()
    three.remove([three.current])
    assert not three.history.canRedo()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_done_is_undone_to_the_start_and_redone_to_the_end(three, seed):
    choose = random.Random(seed)
    held = {"p": presets.save("p", SOME), "q": presets.save("q", Values(strength=0.2))}
    start = three._new_values

    def some():
        return choose.sample(three.entries, choose.randint(1, 3))

    acts = [
        lambda: three.set_strength(choose.choice([0.2, 0.5, 1.0])),
        lambda: three.set_guard(choose.choice([0.0, 1.5])),
        lambda: three.set_value("alpha", choose.choice([0.2, 0.8])),
        lambda: three.reset_value("alpha"),
        lambda: three.set_method(choose.choice(["", "n2n", "r2r"])),
        lambda: three.apply_preset(choose.choice(list(held.values())), some()),
        lambda: three.select(choose.choice(three.entries)),
        three.copy_values,
        lambda: three.paste_values(some()),
        three.undo,
        three.redo,
        three.history.seal,
    ]
    for _ in range(60):
        choose.choice(acts)()
    while three.history.canRedo():
        three.redo()
    states = [values(three)]
    while three.history.canUndo():
        three.undo()
        states.append(values(three))
    assert len(states) > 5
    assert all(before != after for before, after in itertools.pairwise(states))
    assert values(three) == [Values()] * 3
    assert three._new_values == start
    while three.history.canRedo():
        assert values(three) == states.pop()
        three.redo()
    assert [values(three)] == states


def test_the_stack_forgets_its_oldest_steps():
    history = History(lambda state: None)
    for number in range(1200):
        before, after = (State({number: Held(Values(strength=s))}) for s in (1.0, 0.5))
        history.keep("strength", before, after)
    assert history.count() == 1000


# ---- What is copied ----


def test_a_noise_level_by_hand_is_pasted_only_onto_its_own_picture(three):
    three.set_value("sigma", 0.2)
    three.set_value("alpha", 0.8)
    three.copy_values()
    three.reset_value("sigma")
    three.step(1)
    three.set_value("sigma", 0.1)
    three.paste_values(three.entries)
    assert [v.params["r2r"] for v in values(three)] == [
        {"sigma": 0.2, "alpha": 0.8},
        {"sigma": 0.1, "alpha": 0.8},
        {"alpha": 0.8},
    ]


def test_a_preset_sets_a_noise_level_only_where_it_holds_one(three):
    three.set_value("sigma", 0.2)
    three.apply_preset(presets.save("without", SOME), three.entries[:1])
    assert three.values.params["r2r"] == {"alpha": 0.9, "sigma": 0.2}
    with_level = dataclasses.replace(SOME, params={"r2r": {"sigma": 0.3}})
    three.apply_preset(presets.save("with", with_level), three.entries[:1])
    assert three.values.params["r2r"] == {"sigma": 0.3}
    assert "sigma" not in three.settings.params["r2r"]


def test_a_preset_without_pictures_is_what_the_next_one_starts_with(workspace, qtbot, tmp_path):  # noqa: F811
    workspace.apply_preset(presets.save("p", SOME), [])
    workspace.open([noisy_file(tmp_path / "a.tif", 70, 80)])
    qtbot.waitUntil(lambda: workspace.current is not None, timeout=PATIENCE_MS)
    assert workspace.values == SOME


# ---- Results ----


def test_undo_shows_the_result_that_is_kept_without_a_pass(opened, qtbot, calls):  # noqa: F811
    screen = Screen(opened)
    screen.begin()
    opened.set_value("alpha", 0.8)
    wait_done_again(opened, qtbot)
    made = len(calls)
    opened.undo()
    assert opened._rest.interval() == 0
    wait_done_again(opened, qtbot)
    assert len(calls) == made
    assert np.array_equal(screen.pixels, to_screen(expected(opened), opened.opened.picture.image.levels))


def test_undo_while_it_computes_ends_at_the_values_that_are_back(opened, qtbot, calls):  # noqa: F811
    screen = Screen(opened)
    screen.begin()
    calls.pause = 0.05
    opened.set_value("alpha", 0.8)
    qtbot.waitUntil(lambda: 2 < len(calls) < 2 * TILES, timeout=PATIENCE_MS)
    opened.undo()
    calls.pause = 0
    wait_done_again(opened, qtbot)
    assert np.array_equal(screen.pixels, to_screen(expected(opened), opened.opened.picture.image.levels))


def test_a_reference_that_was_chosen_and_cleared_comes_back(three, qtbot, tmp_path):
    clean = noisy_file(tmp_path / "clean.tif", 70, 80, sigma=0)
    names = []
    three.reference_changed.connect(lambda: names.append(three.reference.name if three.reference else ""))

    def shown(name: str) -> None:
        qtbot.waitUntil(lambda: names[-1:] == [name], timeout=PATIENCE_MS)

    three.set_reference(clean)
    shown("clean.tif")
    three.clear_reference()
    shown("")
    three.undo()
    shown("clean.tif")
    three.step(1)
    three.undo()
    assert three.current is three.entries[0]
    shown("")
    idle(three, qtbot, "_io")
    assert three.reference is None
    three.redo()
    shown("clean.tif")
    assert three.errors == []


def test_a_twin_found_by_name_comes_back_when_clearing_it_is_undone(workspace, qtbot, tmp_path):  # noqa: F811
    noisy_file(tmp_path / "x_noisy.png")
    noisy_file(tmp_path / "x_clean.png", sigma=0)
    workspace.open([tmp_path / "x_noisy.png"])
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)
    workspace.clear_reference()
    assert workspace.reference is None
    workspace.undo()
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)


# ---- In the window ----


@pytest.fixture
def filled(make_window, qtbot, tmp_path):  # noqa: F811
    """A window with three pictures, the first denoised."""
    made = make_window()
    made.workspace.open([noisy_file(tmp_path / f"{name}.tif", 70, 80) for name in "abc"])
    wait_done(made, qtbot)
    return made


def test_a_preset_is_for_the_whole_selection_and_undo_gives_each_its_own(filled, qtbot):
    own = filled.workspace
    for entry, strength in zip(own.entries, (0.9, 0.8, 0.7), strict=True):
        entry.values = dataclasses.replace(entry.values, strength=strength)
    before = values(own)
    presets.save("Night & fog", SOME)
    settle_focus(filled, qtbot)
    filled.strip.selectAll()
    filled.menus.presets_menu.aboutToShow.emit()
    action = filled.menus.presets_menu.actions()[0]
    assert action.text() == "Night && fog"
    action.trigger()
    assert values(own) == [SOME] * 3
    assert "Night & fog is applied to 3 pictures" in filled.message.text.text()
    assert filled.controls.strength.value == 0.4
    assert filled.actions_by_name["undo"].text() == "&Undo preset Night && fog"
    press(filled, "Ctrl+Z")
    assert values(own) == before
    assert filled.controls.strength.value == 0.9
    press(filled, "Ctrl+Shift+Z")
    assert values(own) == [SOME] * 3


def groove(slider: QSlider) -> QPoint:
    """The middle of a slider's handle."""
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    style = slider.style()
    part = QStyle.SubControl.SC_SliderHandle
    return style.subControlRect(QStyle.ComplexControl.CC_Slider, option, part, slider).center()


def test_dragging_a_slider_is_one_step(filled, qtbot, monkeypatch):
    monkeypatch.setattr("app.undo.MERGE_S", 0.0)
    for control in (filled.controls.strength, filled.controls.params["alpha"]):
        slider, before, steps = control.slider, control.value, filled.workspace.history.index()
        start = groove(slider)
        QTest.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
        for offset in range(5, 40, 5):
            QTest.mouseMove(slider, start + QPoint(-offset if control is filled.controls.strength else offset, 0))
            qtbot.wait(5)
        QTest.mouseRelease(slider, Qt.MouseButton.LeftButton)
        assert control.value != before
        assert filled.workspace.history.index() == steps + 1
        filled.workspace.undo()
        assert control.value == pytest.approx(before)


def test_the_keys_undo_also_from_a_number_unless_it_is_half_typed(filled, qtbot):
    spin = filled.controls.strength.spin
    spin.setFocus()
    qtbot.waitUntil(spin.hasFocus, timeout=PATIENCE_MS)
    spin.selectAll()
    QTest.keyClicks(spin, "50")
    QTest.keyClick(spin, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert filled.workspace.values.strength == 1.0
    spin.selectAll()
    QTest.keyClicks(spin, "50")
    QTest.keyClick(spin, Qt.Key.Key_Return)
    assert filled.workspace.values.strength == 0.5
    QTest.keyClick(spin, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert filled.workspace.values.strength == 1.0
    assert spin.value() == 100
    QTest.keyClick(spin, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert filled.workspace.values.strength == 0.5


def test_what_cannot_be_undone_redone_or_pasted_is_grey(filled, qtbot):
    actions = filled.actions_by_name
    assert [actions[name].isEnabled() for name in ("undo", "redo", "paste_values")] == [False] * 3
    filled.workspace.set_guard(1.5)
    assert (actions["undo"].isEnabled(), actions["undo"].text()) == (True, "&Undo detail guard (kappa)")
    press(filled, "Ctrl+Z")
    assert (actions["undo"].text(), actions["redo"].text()) == ("&Undo", "&Redo detail guard (kappa)")
    settle_focus(filled, qtbot)
    press(filled, "Ctrl+Shift+C")
    assert actions["paste_values"].isEnabled()


def test_settings_are_pasted_onto_the_whole_selection_in_one_step(filled, qtbot):
    own = filled.workspace
    own.set_strength(0.5)
    press(filled, "Ctrl+Shift+C")
    filled.strip.selectAll()
    settle_focus(filled, qtbot)
    press(filled, "Ctrl+Shift+V")
    assert [v.strength for v in values(own)] == [0.5] * 3
    press(filled, "Ctrl+Z")
    assert [v.strength for v in values(own)] == [0.5, 1.0, 1.0]


def test_ctrl_y_stays_a_view(filled, qtbot):
    filled.workspace.set_strength(0.5)
    filled.workspace.undo()
    settle_focus(filled, qtbot)
    press(filled, "Ctrl+Y")
    assert filled.view.mode == "after"
    assert filled.workspace.values.strength == 1.0


def test_presets_survive_a_restart(make_window):  # noqa: F811
    first = make_window()
    first.workspace.set_strength(0.3)
    dialog = SavePresetDialog(first.workspace.values, (), first)
    dialog.name.setText("Näht ⚡")
    dialog.accept()
    first.close()
    again = make_window()
    again.menus.presets_menu.aboutToShow.emit()
    texts = [action.text() for action in again.menus.presets_menu.actions() if action.text()]
    assert texts == ["Näht ⚡", "Save as &preset…", "&Manage presets…"]
    again.workspace.set_strength(1.0)
    again.menus.presets_menu.actions()[0].trigger()
    assert again.workspace.values.strength == 0.3


def test_without_presets_the_menu_says_so(window):  # noqa: F811
    window.menus.presets_menu.aboutToShow.emit()
    assert not window.menus.presets_menu.actions()[0].isEnabled()


# ---- The dialogs ----


@pytest.mark.parametrize("ticked", [False, True])
def test_a_noise_level_by_hand_is_saved_only_where_that_is_ticked(qtbot, ticked):
    dialog = SavePresetDialog(Values(params={"r2r": {"sigma": 0.1, "alpha": 0.4}}))
    qtbot.addWidget(dialog)
    assert not dialog.save.isEnabled()
    dialog.name.setText("p")
    dialog.level.setChecked(ticked)
    dialog.save.click()
    assert ("sigma" in presets.find("p").values.params["r2r"]) == ticked


def test_without_a_level_by_hand_there_is_nothing_to_tick(qtbot):
    dialog = SavePresetDialog(SOME)
    qtbot.addWidget(dialog)
    assert not dialog.level.isEnabled()


@pytest.mark.parametrize("replace", [False, True])
def test_a_preset_is_replaced_only_when_that_was_asked(qtbot, monkeypatch, replace):
    presets.save("Night", SOME)
    asked = []
    monkeypatch.setattr("app.presets_dialog.confirmed", lambda *given: asked.append(given[2]) or replace)
    dialog = SavePresetDialog(Values())
    qtbot.addWidget(dialog)
    dialog.name.setText("night")
    dialog.save.click()
    assert asked == ["There is a preset Night already."]
    assert presets.find("night").values == (Values() if replace else SOME)
    assert bool(dialog.result()) == replace


def test_a_name_that_cannot_be_is_told_and_the_dialog_stays(qtbot):
    dialog = SavePresetDialog(SOME)
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.name.setText("x" * 100)
    dialog.save.click()
    assert "80 characters" in dialog.note.text()
    assert dialog.isVisible()


@pytest.fixture
def manager(qtbot, monkeypatch):
    """The list with two presets, its questions answered with yes."""
    presets.save("one", SOME)
    presets.save("two", Values())
    monkeypatch.setattr("app.presets_dialog.confirmed", lambda *_: True)
    made = PresetsDialog(tuple)
    qtbot.addWidget(made)
    made.show()
    return made


def shown(manager: PresetsDialog) -> list[str]:
    return [manager.list.item(row).text() for row in range(manager.list.count())]


def test_the_list_applies_renames_and_deletes(manager, qtbot):
    assert shown(manager) == ["one", "two"]
    with qtbot.waitSignal(manager.apply_asked) as applied:
        manager.apply.click()
    assert applied.args[0].values == SOME
    manager.list.item(0).setText("three")
    assert shown(manager) == ["three", "two"]
    assert manager.chosen.name == "three"
    manager.list.item(0).setText(" ")
    assert shown(manager) == ["three", "two"]
    assert "needs a name" in manager.note.text()
    manager.delete.click()
    assert shown(manager) == ["two"]
    manager.delete.click()
    assert shown(manager) == []
    assert not manager.apply.isEnabled()
    assert presets.load_all() == []


def test_the_list_exports_and_imports(manager, monkeypatch, tmp_path):
    file = tmp_path / "given.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    manager.export.click()
    assert json.loads(file.read_text())["name"] == "one"
    manager.delete.click()
    assert shown(manager) == ["two"]
    manager.bring_in.click()
    assert shown(manager) == ["one", "two"]
    file.write_text("{")
    manager.bring_in.click()
    assert "given.json is no preset" in manager.note.text()


def test_the_list_says_what_a_later_version_added(manager, monkeypatch, tmp_path):
    file = tmp_path / "later.json"
    presets.export(presets.find("one"), file)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "name": "later", "version": 7, "encoding": {}}))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    manager.bring_in.click()
    assert "leaves out: encoding" in manager.note.text()
    assert "leaves out: encoding" in manager.content.text()


def test_a_summary_names_what_was_set_in_the_units_of_the_controls(three):
    held = dataclasses.replace(SOME, params={"r2r": {"sigma": 25 / 255, "alpha": 0.9}, "gone": {"x": 3}})
    text = summary(held, three.catalog.methods)
    for line in (
        "Strength: 40 %",
        "Detail guard (kappa): 2",
        "Noise level (sigma): 25",
        "Recorruption (alpha): 0.9",
        "x: 3",
    ):
        assert line in text.splitlines()


def test_the_window_opens_the_list_once_and_follows_what_is_saved(filled, monkeypatch):
    filled.manage_presets()
    first = filled._presets
    presets.save("late", SOME)
    filled.manage_presets()
    assert filled._presets is first
    assert shown(first) == ["late"]
    filled.strip.selectAll()
    first.apply.click()
    assert values(filled.workspace) == [SOME] * 3


def test_a_folder_that_cannot_be_written_is_told(qtbot, home: Path):
    (home / "data").mkdir(parents=True)
    (home / "data" / "presets").write_text("a file in its place")
    dialog = SavePresetDialog(SOME)
    qtbot.addWidget(dialog)
    dialog.name.setText("p")
    dialog.save.click()
    assert "cannot be written" in dialog.note.text()
