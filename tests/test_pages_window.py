"""Stacks in the window: each page is shown, measured and denoised by the file's values, and all of them are saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from opened import noisy_pixels
from test_window import make_window, press, settle_focus, window  # noqa: F401 - fixtures
from test_workspace import PATIENCE_MS, Screen, idle, known_noise, small_tiles, wait_done, workspace  # noqa: F401

from app.pages import place
from app.screen import to_screen
from engine.image import load_image
from engine.pages import Axes

PAGES = 4


def stack(path: Path, pages: int = PAGES, height: int = 100, width: int = 130, **options) -> Path:
    """A TIFF of grey noisy pages, float32, each with noise of its own."""
    tifffile.imwrite(path, pixels(pages, height, width), photometric="minisblack", **options)
    return path


def pixels(pages: int = PAGES, height: int = 100, width: int = 130) -> np.ndarray:
    return np.stack([noisy_pixels(height, width, seed=page)[..., 0] for page in range(pages)])


@pytest.fixture
def shown(workspace, qtbot, tmp_path):  # noqa: F811
    """A stack, its first page denoised."""
    workspace.open([stack(tmp_path / "stack.tif")])
    wait_done(workspace, qtbot)
    return workspace


def turn_to(workspace, qtbot, page: int) -> None:  # noqa: F811
    workspace.set_page(page)
    qtbot.waitUntil(lambda: workspace.opened.picture.image.page == page, timeout=PATIENCE_MS)


# ---- Looking at pages ----


def test_another_page_is_denoised_with_the_same_values_and_takes_the_place_of_the_last(shown, qtbot):
    shown.set_value("passes", 2)
    shown.set_strength(0.5)
    screen = Screen(shown)
    turn_to(shown, qtbot, 2)
    wait_done(shown, qtbot)
    image = shown.opened.picture.image
    np.testing.assert_array_equal(image.pixels[..., 0], pixels()[2])
    assert (shown.values.strength, shown.value("passes")) == (0.5, 2)
    live = next(reversed(shown._computing._lives.values()))
    assert live.denoising.image is image
    expected = live.denoising.blended(2, 0.5)
    qtbot.waitUntil(lambda: np.array_equal(screen.pixels, to_screen(expected, image.levels)), timeout=PATIENCE_MS)


def test_the_noise_of_each_page_is_measured(shown, qtbot, monkeypatch):
    seen, report = [], shown.opened.report

    def measure(image):
        seen.append(image.page)
        return report

    monkeypatch.setattr("engine.noise.measure_noise", measure)
    for page in (3, 1):
        turn_to(shown, qtbot, page)
        wait_done(shown, qtbot)
    assert seen == [3, 1]


def test_only_the_page_that_a_slider_comes_to_rest_on_is_read(shown, qtbot, monkeypatch):
    seen = []
    monkeypatch.setattr("app.jobs.load_image", lambda path, page=0, **how: seen.append(page) or load_image(path, page))
    for page in (1, 2, 3):
        shown.set_page(page)
    wait_done_on(shown, qtbot, 3)
    assert seen == [3]


def wait_done_on(workspace, qtbot, page: int) -> None:  # noqa: F811
    def is_done() -> bool:
        opened = workspace.opened
        return opened is not None and opened.picture.image.page == page and workspace.is_done

    qtbot.waitUntil(is_done, timeout=PATIENCE_MS)
    assert workspace.errors == []


def test_a_page_that_was_shown_just_now_is_there_at_once_with_its_result(shown, qtbot, monkeypatch):
    first = shown.opened
    turn_to(shown, qtbot, 1)
    wait_done(shown, qtbot)
    monkeypatch.setattr("app.jobs.load_image", None)
    monkeypatch.setattr("engine.denoise.Denoising._advance", None)
    turn_to(shown, qtbot, 0)
    wait_done(shown, qtbot)
    assert shown.opened is first


def test_nothing_of_another_page_can_be_saved_or_computed_while_one_is_awaited(shown, qtbot):
    shown.set_page(1)
    assert not shown.can_save
    shown.set_strength(0.3)
    shown.denoise()
    assert shown._live_job is None
    wait_done_on(shown, qtbot, 1)
    assert shown.can_save


def test_a_page_that_is_damaged_is_told_and_the_one_before_stays(workspace, qtbot, tmp_path):  # noqa: F811
    path = stack(tmp_path / "a.tif", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        at, size = tiff.pages[2].dataoffsets[0], tiff.pages[2].databytecounts[0]
    with path.open("rb+") as file:
        file.seek(at)
        file.write(b"\xff" * size)
    workspace.open([path])
    wait_done(workspace, qtbot)
    workspace.set_page(2)
    qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    assert workspace.errors[0].startswith("a.tif cannot be opened")
    assert workspace.current.page == workspace.opened.picture.image.page == 0
    workspace.errors.clear()
    wait_done(workspace, qtbot)


def test_going_to_another_picture_and_back_shows_the_page_that_was_left(shown, qtbot, tmp_path):
    turn_to(shown, qtbot, 2)
    shown.open([stack(tmp_path / "other.tif", 2), stack(tmp_path / "third.tif", 2)])
    for row in (1, 2):
        qtbot.waitUntil(lambda: len(shown.entries) == 3, timeout=PATIENCE_MS)
        shown.select(shown.entries[row])
        wait_done(shown, qtbot)
        assert shown.opened.picture.image.page == 0
    shown.select(shown.entries[0])
    wait_done_on(shown, qtbot, 2)


@pytest.mark.parametrize(("pages", "compared"), [(PAGES, 2), (1, 0)])
def test_a_page_is_compared_with_the_same_page_of_the_clean_stack(shown, qtbot, tmp_path, pages, compared):
    clean = np.linspace(0, 1, pages * 100 * 130, dtype=np.float32).reshape(pages, 100, 130)
    tifffile.imwrite(tmp_path / "clean.tif", clean, photometric="minisblack")
    shown.set_reference(tmp_path / "clean.tif")
    turn_to(shown, qtbot, 2)
    qtbot.waitUntil(lambda: shown.reference is not None, timeout=PATIENCE_MS)
    np.testing.assert_array_equal(shown.reference.image.pixels[..., 0], clean[compared])


# ---- The bar ----


def test_only_stacks_show_the_bar_and_pages_keep_zoom_and_place(window, qtbot, tmp_path):  # noqa: F811
    alone = stack(tmp_path / "alone.tif", 1)
    window.workspace.open([stack(tmp_path / "stack.tif"), alone])
    qtbot.waitUntil(window.pages.isVisible, timeout=PATIENCE_MS)
    assert window.pages.number.text() == f"Page 1 of {PAGES}"
    window.view.zoom_to(8.0, (40, 50))
    settle_focus(window, qtbot)
    before = window.view.viewport()
    press(window, "PgDown")
    qtbot.waitUntil(lambda: window.workspace.opened.picture.image.page == 1, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: window.workspace.is_done, timeout=PATIENCE_MS)
    assert (window.view.zoom, window.view.viewport()) == (8.0, before)
    assert (window.pages.slider.value(), window.pages.number.text()) == (2, f"Page 2 of {PAGES}")
    press(window, "PgUp")
    press(window, "PgUp")
    qtbot.waitUntil(lambda: window.workspace.opened.picture.image.page == 0, timeout=PATIENCE_MS)
    window.workspace.step(1)
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert not window.pages.isVisible()
    assert not window.actions_by_name["next_page"].isEnabled()


def test_slider_and_number_choose_the_same_page(window, qtbot, tmp_path):  # noqa: F811
    window.workspace.open([stack(tmp_path / "stack.tif")])
    qtbot.waitUntil(window.pages.isVisible, timeout=PATIENCE_MS)
    for widget, other, page in (
        (window.pages.slider, window.pages.number, 2),
        (window.pages.number, window.pages.slider, 3),
    ):
        widget.setValue(page + 1)
        assert other.value() == page + 1
        qtbot.waitUntil(lambda page=page: window.workspace.opened.picture.image.page == page, timeout=PATIENCE_MS)


def test_where_a_page_lies_is_said_by_the_axes_of_the_file(window, qtbot, tmp_path):  # noqa: F811
    stored = pixels(6).astype(np.float32).reshape(3, 2, 100, 130)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, metadata={"axes": "ZCYX"})
    window.workspace.open([tmp_path / "a.tif"])
    qtbot.waitUntil(window.pages.isVisible, timeout=PATIENCE_MS)
    window.workspace.set_page(3)
    assert window.pages.place.text() == "Z 2, C 2"
    assert "C is the channel, of 2" in window.pages.place.toolTip()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_every_page_has_a_place_of_its_own(shape, data):
    names = data.draw(st.sampled_from(["TZCR", "QQQQ", "ZQCT"]))[: len(shape)]
    axes = Axes(names, tuple(shape))
    said = [place(axes, page) for page in range(axes.pages)]
    assert names == "Q" or len(set(said)) == axes.pages
