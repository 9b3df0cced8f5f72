"""Places are drawn, listed, changed and removed in the panel; each is a step that can be undone."""

import numpy as np
import pytest
from opened import noisy_file
from test_pages_window import stack, turn_to
from test_workspace import (  # noqa: F401 - fixtures
    PATIENCE_MS,
    calls,
    known_noise,
    opened,
    real_noise,
    small_tiles,
    wait_done,
    workspace,
)

from app.areas_controls import RADIUS, AreasControls
from engine.areas import Area

SQUARE = Area("rectangle", ((20.0, 20.0), (120.0, 100.0)))


@pytest.fixture
def controls(opened, qtbot):  # noqa: F811
    made = AreasControls(opened)
    qtbot.addWidget(made)
    return made


def texts(controls):
    return [controls.places.item(row).text() for row in range(controls.places.count())]


def test_a_place_that_is_drawn_is_protected_and_listed(controls, qtbot, calls):  # noqa: F811
    workspace = controls.workspace  # noqa: F811
    controls.add(SQUARE)
    wait_done(workspace, qtbot)
    assert texts(controls) == ["1 · rectangle · protected"]
    shown = workspace.shown
    result, noisy = shown.result(shown.whole), shown.noisy(shown.whole)
    assert np.array_equal(result[40:80, 40:100], noisy[40:80, 40:100])
    assert not np.array_equal(result[120:], noisy[120:])
    assert not calls


def test_the_strength_of_the_chosen_place_is_changed_and_undone(controls):
    controls.add(SQUARE)
    controls.inside.value_changed.emit("inside", 0.5)
    assert texts(controls) == ["1 · rectangle · 50%"]
    controls.workspace.undo()
    assert texts(controls) == ["1 · rectangle · protected"]
    controls.workspace.undo()
    assert texts(controls) == []


def test_choosing_a_place_shows_its_strength_and_another_is_drawn_with_it(controls):
    controls.add(SQUARE)
    controls.inside.value_changed.emit("inside", 0.5)
    controls.add(SQUARE)
    controls.inside.value_changed.emit("inside", 1.2)
    controls.places.setCurrentRow(0)
    assert controls.inside.value == 0.5
    controls.add(SQUARE)
    assert [place.strength for place in controls.workspace.values.areas.places] == [0.5, 1.2, 0.5]


def test_the_rest_can_be_left_as_it_is(controls, qtbot):
    workspace = controls.workspace  # noqa: F811
    controls.outside.setCurrentIndex(1)
    controls.outside.activated.emit(1)
    wait_done(workspace, qtbot)
    shown = workspace.shown
    assert np.array_equal(shown.result(shown.whole), shown.noisy(shown.whole))


def test_places_are_removed_one_or_all(controls):
    for _ in range(3):
        controls.add(SQUARE)
    controls.places.setCurrentRow(1)
    controls.remove.click()
    assert len(texts(controls)) == 2
    controls.remove_all.click()
    assert texts(controls) == []
    assert not controls.remove_all.isEnabled()


def test_the_brush_grows_and_shrinks_within_its_limits(controls, qtbot):
    with qtbot.waitSignal(controls.radius_changed) as told:
        controls.change_radius(grows=True)
    assert told.args[0] > RADIUS.default
    for _ in range(40):
        controls.change_radius(grows=False)
    assert controls.radius.value == RADIUS.minimum
    for _ in range(40):
        controls.change_radius(grows=True)
    assert controls.radius.value == RADIUS.maximum


def test_however_long_the_slider_of_a_place_is_held_it_makes_one_step(controls):
    workspace = controls.workspace  # noqa: F811
    controls.add(SQUARE)
    steps = workspace.history.count()
    controls.inside.slider.sliderPressed.emit()
    for strength in (0.2, 0.4, 0.6):
        controls.inside.value_changed.emit("inside", strength)
    controls.inside.slider.sliderReleased.emit()
    assert workspace.history.count() == steps + 1
    workspace.undo()
    assert texts(controls) == ["1 · rectangle · protected"]


def test_changes_of_two_places_are_two_steps(controls):
    controls.add(SQUARE)
    controls.add(SQUARE)
    controls.inside.value_changed.emit("inside", 0.5)
    controls.places.setCurrentRow(0)
    controls.inside.value_changed.emit("inside", 0.7)
    controls.workspace.undo()
    assert [place.strength for place in controls.workspace.values.areas.places] == [0.0, 0.5]


def test_the_strength_that_is_shown_is_that_of_the_chosen_place_also_after_undoing(controls):
    controls.add(SQUARE)
    controls.inside.value_changed.emit("inside", 0.5)
    controls.workspace.undo()
    assert controls.inside.value == 0.0
    controls.workspace.redo()
    assert controls.inside.value == 0.5


def test_of_a_stack_it_is_said_that_places_hold_for_all_its_pages(workspace, qtbot, tmp_path):  # noqa: F811
    controls = AreasControls(workspace)
    qtbot.addWidget(controls)
    workspace.open([stack(tmp_path / "stack.tif")])
    wait_done(workspace, qtbot)
    assert controls.all_pages.isHidden()
    controls.add(SQUARE)
    assert not controls.all_pages.isHidden()
    turn_to(workspace, qtbot, 1)
    assert workspace.values.areas.places == (SQUARE,)
    workspace.open([noisy_file(tmp_path / "single.tif")])
    qtbot.waitUntil(lambda: workspace.current.name == "single.tif" and workspace.is_done, timeout=PATIENCE_MS)
    controls.add(SQUARE)
    assert controls.all_pages.isHidden()
