"""What was removed, its spread and the reference take the place of the result without a pass; points touch no data."""

import dataclasses

import numpy as np
import pytest
from opened import noisy_file
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from test_pages_window import stack, turn_to
from test_window import make_window, window  # noqa: F401 - fixtures
from test_workspace import (  # noqa: F401 - fixtures
    PATIENCE_MS,
    Screen,
    calls,
    idle,
    known_noise,
    opened,
    real_noise,
    small_tiles,
    wait_done,
    workspace,
)

from app.display import Display, render, usual_gain
from app.screen import to_screen
from app.settings import Settings
from engine.encode import save_image
from engine.image import Image
from engine.tiles import Rect


def wait_shown(workspace, qtbot):  # noqa: F811
    qtbot.waitUntil(lambda: workspace._live_job is None and workspace._levels_job is None, timeout=PATIENCE_MS)
    idle(workspace, qtbot)


def parts(workspace):  # noqa: F811
    shown = workspace.shown
    return shown.image, shown.noisy(shown.whole), shown.result(shown.whole)


def test_what_was_removed_is_shown_without_a_pass(opened, qtbot, calls):  # noqa: F811
    screen = Screen(opened)
    screen.begin()
    opened.set_layer("removed")
    opened.set_gain(4)
    wait_shown(opened, qtbot)
    image, noisy, result = parts(opened)
    assert np.array_equal(screen.pixels, render(Display("removed", 4), image, noisy, result))
    assert not calls
    opened.set_layer("result")
    wait_shown(opened, qtbot)
    assert np.array_equal(screen.pixels, to_screen(result, image.levels))
    assert not calls


def test_the_spread_is_shown_of_the_passes_that_were_made(opened, qtbot, calls):  # noqa: F811
    screen = Screen(opened)
    screen.begin()
    opened.set_layer("spread")
    wait_shown(opened, qtbot)
    shown = opened.shown
    spread = shown.spread(shown.whole)
    image, noisy, result = parts(opened)
    assert spread.max() > 0
    assert np.array_equal(screen.pixels, render(Display("spread", opened.display.gain), image, noisy, result, spread))
    assert not calls


def test_the_reference_is_shown_in_the_place_of_the_result(opened, qtbot, tmp_path):  # noqa: F811
    clean = Image(np.full((140, 250, 3), 0.25, np.float32))
    save_image(clean, tmp_path / "clean.tif")
    opened.set_reference(tmp_path / "clean.tif")
    qtbot.waitUntil(lambda: opened.reference is not None, timeout=PATIENCE_MS)
    screen = Screen(opened)
    screen.begin()
    opened.set_layer("reference")
    wait_shown(opened, qtbot)
    assert set(np.unique(screen.pixels)) == {64}


def test_a_layer_that_does_not_exist_is_refused(opened):  # noqa: F811
    with pytest.raises(ValueError, match="one of result, removed"):
        opened.set_layer("error")


def test_black_and_white_points_change_what_is_seen_and_nothing_that_is_saved(opened, qtbot, calls):  # noqa: F811
    screen = Screen(opened)
    screen.begin()
    _, noisy, result = parts(opened)
    kept = noisy.copy(), result.copy()
    with qtbot.waitSignal(opened.before_changed, timeout=PATIENCE_MS):
        opened.set_levels((0.2, 0.6))
    wait_shown(opened, qtbot)
    assert np.array_equal(screen.pixels, to_screen(result, (0.2, 0.6)))
    assert np.array_equal(opened.opened.picture.shown.pixels, to_screen(noisy, (0.2, 0.6)))
    _, noisy, result = parts(opened)
    assert np.array_equal(noisy, kept[0])
    assert np.array_equal(result, kept[1])
    assert not calls


def test_black_and_white_points_belong_to_their_picture(opened, qtbot, tmp_path):  # noqa: F811
    first = opened.current
    opened.set_levels((0.2, 0.6))
    opened.open([noisy_file(tmp_path / "other.tif", 140, 250)])
    qtbot.waitUntil(lambda: opened.current is not first and opened.is_done, timeout=PATIENCE_MS)
    assert opened.display.levels is None
    opened.select(first)
    wait_done(opened, qtbot)
    assert opened.display.levels == (0.2, 0.6)


def test_what_is_shown_can_be_measured_region_by_region(opened):  # noqa: F811
    shown, area = opened.shown, Rect(10, 20, 70, 90)
    assert np.array_equal(shown.result(area), shown.result(shown.whole)[area.slices])
    assert np.array_equal(shown.noisy(area), shown.image.pixels[area.slices])
    assert shown.clean(area) is None
    assert shown.estimate().psnr_db == pytest.approx(opened.numbers.estimate.psnr_db)


def test_before_the_first_pass_there_is_no_result_to_be_measured(workspace, qtbot, tmp_path):  # noqa: F811
    workspace.change_settings(denoise_on_open=False)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    assert workspace.shown.result(workspace.shown.whole) is None
    assert workspace.shown.spread(workspace.shown.whole) is None
    assert "no pass" in workspace.shown.estimate().reason


def test_a_page_seen_before_shows_the_black_and_white_that_were_set_on_another(workspace, qtbot, tmp_path):  # noqa: F811
    workspace.open([stack(tmp_path / "stack.tif")])
    wait_done(workspace, qtbot)
    turn_to(workspace, qtbot, 1)
    wait_done(workspace, qtbot)
    workspace.set_levels((0.2, 0.6))
    turn_to(workspace, qtbot, 0)
    wait_done(workspace, qtbot)
    wait_shown(workspace, qtbot)
    idle(workspace, qtbot, "_io")
    noisy = workspace.opened.picture.image.pixels
    assert np.array_equal(workspace.opened.picture.shown.pixels, to_screen(noisy, (0.2, 0.6)))


def test_points_set_just_before_leaving_a_picture_are_shown_when_it_comes_back(opened, qtbot, tmp_path):  # noqa: F811
    first = opened.current
    opened.open([noisy_file(tmp_path / "other.tif", 140, 250)])
    qtbot.waitUntil(lambda: opened.current is not first and opened.is_done, timeout=PATIENCE_MS)
    second = opened.current
    opened.set_levels((0.2, 0.6))
    opened.select(first)
    wait_done(opened, qtbot)
    opened.select(second)
    wait_done(opened, qtbot)
    wait_shown(opened, qtbot)
    idle(opened, qtbot, "_io")
    noisy = opened.opened.picture.image.pixels
    assert np.array_equal(opened.opened.picture.shown.pixels, to_screen(noisy, (0.2, 0.6)))


def test_a_picture_that_comes_back_is_amplified_as_its_own_noise_asks(
    workspace,  # noqa: F811
    qtbot,
    tmp_path,
    real_noise,  # noqa: F811
):
    workspace.open([noisy_file(tmp_path / "a.tif", sigma=0.02), noisy_file(tmp_path / "b.tif", sigma=0.1)])
    wait_done(workspace, qtbot)
    workspace.set_layer("removed")
    gain = workspace.display.gain
    workspace.step(1)
    wait_done(workspace, qtbot)
    assert workspace.display.gain < gain
    workspace.step(-1)
    wait_done(workspace, qtbot)
    assert workspace.display.gain == gain


def test_what_has_no_spread_is_not_called_one(window, qtbot, tmp_path):  # noqa: F811
    workspace = window.workspace  # noqa: F811
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: workspace.is_done, timeout=PATIENCE_MS)
    window.actions_by_name["layer_spread"].trigger()
    assert window.view._labels[1].startswith("Spread")
    workspace.set_method("plain")
    qtbot.waitUntil(lambda: workspace.is_done and workspace._live_job is None, timeout=PATIENCE_MS)
    assert window.view._labels[1].startswith("After")


def test_while_passes_are_missing_the_whole_picture_is_estimated_from_those_that_are_there(opened):  # noqa: F811
    more = dataclasses.replace(opened.shown, passes=16)
    assert not more.denoising.has(16)
    assert more.estimate().psnr_db == pytest.approx(opened.shown.estimate().psnr_db, abs=1)


def test_a_layer_that_is_refused_is_not_ticked(window, qtbot, tmp_path):  # noqa: F811
    window.workspace.open([noisy_file(tmp_path / "noisy.tif")])
    qtbot.waitUntil(lambda: window.workspace.is_done, timeout=PATIENCE_MS)
    window.actions_by_name["layer_reference"].trigger()
    assert "no reference to show" in window.message.text.text()
    assert window.actions_by_name["layer_result"].isChecked()
    assert not window.actions_by_name["layer_reference"].isChecked()


def test_the_inspector_is_there_again_in_the_next_window(make_window):  # noqa: F811
    assert make_window(Settings(inspector=True)).actions_by_name["inspector"].isChecked()
    assert not make_window().actions_by_name["inspector"].isChecked()


def test_escape_puts_a_tool_away_also_where_the_panel_has_the_focus(window, qtbot, tmp_path):  # noqa: F811
    window.workspace.open([noisy_file(tmp_path / "noisy.tif")])
    qtbot.waitUntil(lambda: window.workspace.is_done and not window.workspace.is_running, timeout=PATIENCE_MS)
    window.actions_by_name["tool_region"].trigger()
    window.controls.strength.slider.setFocus()
    QTest.keyClick(window.controls.strength.slider, Qt.Key.Key_Escape)
    assert window.view.tool == "pan"
    assert not window.actions_by_name["cancel"].isEnabled()


def test_correlated_noise_is_amplified_by_what_it_is_and_not_by_the_level_it_is_treated_as(
    opened,  # noqa: F811
):
    report = dataclasses.replace(opened.opened.report, sigma=5 / 255, flat=5 / 255, correlation=0.8, is_white=False)
    assert report.level > 2 * report.sigma
    opened.opened.report = report
    opened.set_layer("removed")
    assert opened.display.gain == usual_gain("removed", 5 / 255)
