"""Stacks in the window: each page is shown, measured and denoised by the file's values, and all of them are saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from opened import noisy_pixels
from PySide6.QtWidgets import QDialog
from test_window import make_window, press, settle_focus, window  # noqa: F401 - fixtures
from test_workspace import (  # noqa: F401 - fixtures
    PATIENCE_MS,
    Screen,
    calls,
    idle,
    known_noise,
    small_tiles,
    wait_done,
    workspace,
)

from app.jobs import Target
from app.pages import place
from app.save_dialog import SaveDialog
from app.screen import to_screen
from engine.areas import RECTANGLE, Area, Areas
from engine.blend import Blend
from engine.image import load_image
from engine.pages import Axes

PAGES = 4


def stack(path: Path, pages: int = PAGES, height: int = 100, width: int = 130, **options) -> Path:
    """A TIFF of grey noisy pages, float32, each with noise of its own."""
    tifffile.imwrite(path, pixels(pages, height, width), photometric="minisblack", **options)
    return path


def damaged(path: Path, page: int) -> Path:
    """A stack one page of which cannot be decoded."""
    stack(path, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        at, size = tiff.pages[page].dataoffsets[0], tiff.pages[page].databytecounts[0]
    with path.open("rb+") as file:
        file.seek(at)
        file.write(b"\xff" * size)
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
    expected = live.denoising.blended(2, Blend(0.5))
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
    monkeypatch.setattr(
        "app.jobs.load_image", lambda path, page, *more, **how: seen.append(page) or load_image(path, page)
    )
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
    workspace.open([damaged(tmp_path / "a.tif", page=2)])
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
    qtbot.waitUntil(window.viewer.pages_bar.isVisible, timeout=PATIENCE_MS)
    assert window.viewer.pages_bar.number.text() == f"Page 1 of {PAGES}"
    window.view.zoom_to(8.0, (40, 50))
    settle_focus(window, qtbot)
    before = window.view.viewport()
    press(window, "PgDown")
    qtbot.waitUntil(lambda: window.workspace.opened.picture.image.page == 1, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: window.workspace.is_done, timeout=PATIENCE_MS)
    assert (window.view.zoom, window.view.viewport()) == (8.0, before)
    assert (window.viewer.pages_bar.slider.value(), window.viewer.pages_bar.number.text()) == (2, f"Page 2 of {PAGES}")
    press(window, "PgUp")
    press(window, "PgUp")
    qtbot.waitUntil(lambda: window.workspace.opened.picture.image.page == 0, timeout=PATIENCE_MS)
    window.workspace.step(1)
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert not window.viewer.pages_bar.isVisible()
    assert not window.actions_by_name["next_page"].isEnabled()


def test_slider_and_number_choose_the_same_page(window, qtbot, tmp_path):  # noqa: F811
    window.workspace.open([stack(tmp_path / "stack.tif")])
    qtbot.waitUntil(window.viewer.pages_bar.isVisible, timeout=PATIENCE_MS)
    for widget, other, page in (
        (window.viewer.pages_bar.slider, window.viewer.pages_bar.number, 2),
        (window.viewer.pages_bar.number, window.viewer.pages_bar.slider, 3),
    ):
        widget.setValue(page + 1)
        assert other.value() == page + 1
        qtbot.waitUntil(lambda page=page: window.workspace.opened.picture.image.page == page, timeout=PATIENCE_MS)


def test_where_a_page_lies_is_said_by_the_axes_of_the_file(window, qtbot, tmp_path):  # noqa: F811
    stored = pixels(6).astype(np.float32).reshape(3, 2, 100, 130)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, metadata={"axes": "ZCYX"})
    window.workspace.open([tmp_path / "a.tif"])
    qtbot.waitUntil(window.viewer.pages_bar.isVisible, timeout=PATIENCE_MS)
    window.workspace.set_page(3)
    assert window.viewer.pages_bar.place.text() == "Z 2, C 2"
    assert "C is the channel, of 2" in window.viewer.pages_bar.place.toolTip()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_every_page_has_a_place_of_its_own(shape, data):
    names = data.draw(st.sampled_from(["TZCR", "QQQQ", "ZQCT"]))[: len(shape)]
    axes = Axes(names, tuple(shape))
    said = [place(axes, page) for page in range(axes.pages)]
    assert names == "Q" or len(set(said)) == axes.pages


# ---- Saving ----


def save(workspace, qtbot, target: Target) -> Path:  # noqa: F811
    saved = []
    workspace.saved.connect(saved.append)
    workspace.save(target)
    qtbot.waitUntil(lambda: bool(saved) or bool(workspace.errors), timeout=PATIENCE_MS)
    workspace.saved.disconnect(saved.append)
    assert workspace.errors == []
    return saved[0]


def test_all_pages_are_saved_each_as_it_would_be_alone(shown, qtbot, tmp_path):
    shown.set_value("passes", 2)
    shown.set_strength(0.7)
    told = []
    shown.progress.connect(lambda: told.append(shown.activity))
    path = save(shown, qtbot, Target(tmp_path / "all.tif", all_pages=True))
    together = [load_image(path, page) for page in range(PAGES)]
    assert [image.pages for image in together] == [PAGES] * PAGES
    for page in (0, 2):
        turn_to(shown, qtbot, page)
        wait_done(shown, qtbot)
        alone = load_image(save(shown, qtbot, Target(tmp_path / f"{page}.tif")))
        assert alone.pages == 1
        np.testing.assert_array_equal(alone.pixels, together[page].pixels)
        assert not np.array_equal(alone.pixels[..., 0], pixels()[page])
    said = [activity for activity in told if activity.text.startswith("Denoising page ")]
    assert {activity.text for activity in said} >= {f"Denoising page {n} of {PAGES}" for n in (1, 2, 3, 4)}
    shares = [activity.share for activity in said]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert any(activity.seconds_left for activity in said)


def test_a_place_protects_every_page_that_is_saved(shown, qtbot, tmp_path):
    shown.set_areas(Areas(1.0, (Area(RECTANGLE, ((20.0, 10.0), (70.0, 60.0))),)))
    path = save(shown, qtbot, Target(tmp_path / "all.tif", all_pages=True))
    for page, noisy in enumerate(pixels()):
        saved = load_image(path, page).pixels[..., 0]
        np.testing.assert_array_equal(saved[10:60, 20:70], noisy[10:60, 20:70])
        assert not np.array_equal(saved[10:60, 75:], noisy[10:60, 75:])


def test_pages_can_be_looked_at_while_all_are_saved_and_are_denoised_afterwards(shown, qtbot, tmp_path):
    shown.save(Target(tmp_path / "all.tif", all_pages=True))
    turn_to(shown, qtbot, 1)
    wait_done_on(shown, qtbot, 1)
    assert load_image(tmp_path / "all.tif").pages == PAGES


def test_a_cancelled_save_of_a_stack_leaves_nothing(shown, qtbot, tmp_path, calls):  # noqa: F811
    calls.pause = 0.05
    shown.save(Target(tmp_path / "all.tif", all_pages=True))
    qtbot.waitUntil(lambda: shown.activity.text == f"Denoising page 2 of {PAGES}", timeout=PATIENCE_MS)
    assert shown.is_running
    shown.cancel()
    assert not shown.is_running
    assert shown.activity.text == ""
    idle(shown, qtbot)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["stack.tif"]


def test_a_page_that_cannot_be_read_is_one_sentence_and_no_file(workspace, qtbot, tmp_path):  # noqa: F811
    workspace.open([damaged(tmp_path / "a.tif", page=2)])
    wait_done(workspace, qtbot)
    workspace.save(Target(tmp_path / "all.tif", all_pages=True))
    qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    assert len(workspace.errors) == 1
    assert workspace.errors[0].startswith("a.tif cannot be opened: ")
    assert "\n" not in workspace.errors[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.tif"]


def test_the_original_stack_is_replaced_only_when_that_is_said(shown, qtbot, tmp_path):
    path = shown.current.path
    before = path.read_bytes()
    shown.save(Target(path, all_pages=True))
    assert shown.errors
    assert path.read_bytes() == before
    shown.errors.clear()
    shown.save(Target(path, all_pages=True), over_original=True)
    qtbot.waitUntil(lambda: path.read_bytes() != before or bool(shown.errors), timeout=PATIENCE_MS)
    assert shown.errors == []
    assert load_image(path, PAGES - 1).pages == PAGES


def ask(qtbot, path: Path, target: str, page: int = 0) -> SaveDialog:
    dialog = SaveDialog(load_image(path, page), path.with_name(target), sidecar=False)
    qtbot.addWidget(dialog)
    return dialog


def test_the_save_dialog_offers_all_pages_or_the_one_that_is_shown(qtbot, tmp_path):
    dialog = ask(qtbot, stack(tmp_path / "a.tif"), "b.tif", page=2)
    assert dialog.form.isRowVisible(dialog.pages)
    assert "All 4 pages are denoised and saved" in dialog.note.text()
    assert dialog.target().all_pages
    dialog.pages.setCurrentText("Only page 3")
    dialog.pages.activated.emit(1)
    assert not dialog.target().all_pages
    assert "All 4 pages" not in dialog.note.text()


def test_a_type_that_holds_one_picture_says_so_beforehand_and_saves_the_page(qtbot, tmp_path):
    dialog = ask(qtbot, stack(tmp_path / "a.tif"), "b.tif", page=2)
    for kind in ("PNG", "NumPy array"):
        dialog.kind.setCurrentText(kind)
        assert "only page 3 is saved" in dialog.note.text()
        assert dialog.pages.currentText() == "Only page 3"
        assert not dialog.pages.isEnabled()
        assert not dialog.target().all_pages
    dialog.kind.setCurrentText("TIFF")
    assert dialog.target().all_pages
    assert dialog.pages.currentText() == "All 4 pages"


def test_an_array_is_saved_with_all_pages_as_array_too_and_a_single_picture_is_asked_nothing(qtbot, tmp_path):
    np.save(tmp_path / "a.npy", pixels())
    assert ask(qtbot, tmp_path / "a.npy", "b.npy").target().all_pages
    dialog = ask(qtbot, stack(tmp_path / "c.tif", 1), "d.tif")
    assert not dialog.form.isRowVisible(dialog.pages)
    assert not dialog.target().all_pages


def test_the_type_of_the_last_picture_is_not_proposed_for_a_stack(window, qtbot, tmp_path, monkeypatch):  # noqa: F811
    window.workspace.change_settings(export={"suffix": ".jpg"})
    window.workspace.open([stack(tmp_path / "a.tif")])
    qtbot.waitUntil(lambda: window.workspace.can_save, timeout=PATIENCE_MS)
    monkeypatch.setattr(SaveDialog, "exec", lambda self: QDialog.DialogCode.Accepted)
    window.save()
    qtbot.waitUntil(lambda: "a_denoised.tif" in window.message.text.text(), timeout=PATIENCE_MS)
    assert load_image(tmp_path / "a_denoised.tif").pages == PAGES
