"""What was removed, its spread and the reference take the place of the result without a pass; points touch no data."""

import numpy as np
import pytest
from opened import noisy_file
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

from app.display import Display, render
from app.screen import to_screen
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
