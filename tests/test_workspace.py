from __future__ import annotations

import dataclasses
import gc
import json
import logging
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from opened import install, install_models, noisy_file, noisy_pixels

from app.jobs import Target
from app.screen import to_screen
from app.settings import Settings
from app.workspace import Workspace
from engine import paths
from engine.areas import RECTANGLE, Area, Areas
from engine.blend import Blend
from engine.denoise import Denoising
from engine.encode import save_image
from engine.image import Image, load_image
from engine.metrics import psnr, shift_of, ssim
from engine.noise import NoiseReport
from engine.worker import Kind

PATIENCE_MS = 30_000

TILES = 12
"""Of 64 pixels in the pictures of 140x250 that most tests use."""


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles and pieces of the screen of 64 pixels: many of them in small pictures."""
    monkeypatch.setattr("engine.denoise.tile_side", lambda model, margin: 64)
    monkeypatch.setattr("app.jobs._CELL", 64)


@pytest.fixture(autouse=True)
def known_noise(request, monkeypatch):
    """Spare most tests the measuring; those that are about it ask for `real_noise`."""
    if "real_noise" not in request.fixturenames:
        monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(25 / 255))


@pytest.fixture
def real_noise():
    """The noise is measured."""


def white_noise(sigma: float) -> NoiseReport:
    """What would be reported of white noise."""
    levels, lines, identity = (sigma,) * 3, (0.0,) * 3, tuple(tuple(row) for row in np.eye(3).tolist())
    return NoiseReport(
        sigma=sigma,
        joint=sigma,
        channels=levels,
        flat=sigma,
        flat_channels=levels,
        slope=lines,
        offset=lines,
        correlation=0.0,
        channel_correlation=identity,
        clipped=0.0,
        is_white=True,
        is_clean=sigma == 0,
        uncertainty=0.01,
        reason="It is known.",
    )


class Screen:
    """What the window would show: the pixels of every region that was reported."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.regions, self.pixels = workspace, 0, None
        workspace.picture_ready.connect(self.begin)
        workspace.region_ready.connect(self.show)
        workspace.result_cleared.connect(self.begin)

    def begin(self) -> None:
        self.pixels = self.workspace.opened.picture.shown.pixels.copy()

    def show(self, pixels: np.ndarray, x: int, y: int) -> None:
        self.regions += 1
        self.pixels[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels


@pytest.fixture
def workspace(qtbot):
    install_models()
    made = Workspace(Settings())
    made.errors = []
    made.failed.connect(lambda sentence, details: made.errors.append(sentence + details))
    yield made
    made.close()


@pytest.fixture
def calls(monkeypatch):
    """The network calls made so far; set `pause` to make each take that long."""

    class Calls(list):
        pause = 0.0

    made, original = Calls(), Denoising._advance

    def counted(self, tile, passes):
        made.append(threading.current_thread().name)
        if made.pause:
            time.sleep(made.pause)
        return original(self, tile, passes)

    monkeypatch.setattr(Denoising, "_advance", counted)
    return made


@pytest.fixture
def opened(workspace, qtbot, tmp_path):
    """A picture of twelve tiles, denoised."""
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    wait_done(workspace, qtbot)
    return workspace


def wait_done(workspace: Workspace, qtbot) -> None:
    qtbot.waitUntil(lambda: workspace.is_done or bool(workspace.errors), timeout=PATIENCE_MS)
    assert workspace.errors == []


def idle(workspace: Workspace, qtbot, worker: str = "_compute") -> None:
    """Wait until everything submitted so far has been worked off, and its events have arrived."""
    ended = []

    def nothing():
        yield from ()

    getattr(workspace, worker).submit(nothing, lambda kind, value: ended.append(kind))
    qtbot.waitUntil(lambda: bool(ended), timeout=PATIENCE_MS)


def settle(workspace: Workspace, qtbot) -> None:
    """Wait until nothing is left to do."""
    qtbot.waitUntil(lambda: workspace._live_job is None and not workspace._rest.isActive(), timeout=PATIENCE_MS)


def expected(
    workspace: Workspace, passes: int = 4, alpha: float = 0.5, strength: float = 1.0, guard: float = 0.0
) -> np.ndarray:
    """The engine's own result, (H, W, C) in the picture's units."""
    from engine.denoise import load_model
    from engine.methods.r2r import R2RParams

    image = workspace.opened.picture.image
    params = R2RParams(passes=passes, alpha=alpha)
    denoising = Denoising(load_model(channels=image.channels), image, params, sigma=workspace.sigma, keep=False)
    for _ in denoising.run(passes):
        pass
    return denoising.blended(passes, Blend(strength, guard=guard))


# ---- For the screen ----


def test_pixels_for_the_screen_are_clipped_and_rounded_between_the_levels():
    pixels = np.array([[[-0.5, 0.0, 0.1], [0.5, 0.999, 1.7]]], np.float32)
    assert to_screen(pixels, (0.0, 1.0)).tolist() == [[[0, 0, 26], [128, 255, 255]]]


def test_levels_other_than_black_and_white_fill_the_screens_range():
    ramp = np.array([90, 100, 140, 220, 300, 310], np.float32).reshape(1, 6, 1)
    assert to_screen(ramp, (100.0, 300.0)).ravel().tolist() == [0, 0, 51, 153, 255, 255]


# ---- The list ----


def test_a_folder_opens_in_natural_order_and_the_first_is_shown(workspace, qtbot, tmp_path):
    for name in ("10.png", "2.png", "ä 1.png"):
        noisy_file(tmp_path / "in" / name)
    workspace.open([tmp_path / "in"])
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    assert [entry.name for entry in workspace.entries] == ["2.png", "10.png", "ä 1.png"]
    assert workspace.current is workspace.entries[0]
    qtbot.waitUntil(lambda: all(entry.thumbnail is not None for entry in workspace.entries), timeout=PATIENCE_MS)


def test_what_cannot_be_opened_is_named_with_its_reason_and_the_rest_opens(workspace, qtbot, tmp_path):
    good = noisy_file(tmp_path / "grüße 写真.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnot at all")
    workspace.open([broken, good, tmp_path / "missing.png"])
    qtbot.waitUntil(lambda: len(workspace.failures.failures) == 2 and workspace.opened is not None, timeout=PATIENCE_MS)
    assert {name for name, _ in workspace.failures.failures} == {"broken.png", "missing.png"}
    assert all(reason for _, reason in workspace.failures.failures)
    assert workspace.failures.total == 3
    assert [entry.path for entry in workspace.entries] == [good]
    assert workspace.current.path == good


def test_an_empty_folder_is_named(workspace, qtbot, tmp_path):
    (tmp_path / "empty").mkdir()
    with qtbot.waitSignal(workspace.not_opened, timeout=PATIENCE_MS):
        workspace.open([tmp_path / "empty"])
    assert workspace.failures.failures[0][0] == "empty"


def test_opening_a_picture_again_shows_it_and_lists_it_once(workspace, qtbot, tmp_path):
    files = [noisy_file(tmp_path / name) for name in ("a.png", "b.png")]
    workspace.open(files)
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    workspace.open([files[1]])
    qtbot.waitUntil(lambda: workspace.current.path == files[1], timeout=PATIENCE_MS)
    assert len(workspace.entries) == 2


def test_clean_twins_in_a_folder_become_references_and_no_entries(workspace, qtbot, tmp_path):
    noisy_file(tmp_path / "pair" / "x_noisy.png")
    noisy_file(tmp_path / "pair" / "x_clean.png", sigma=0)
    workspace.open([tmp_path / "pair"])
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)
    assert [entry.name for entry in workspace.entries] == ["x_noisy.png"]
    assert workspace.reference.name == "x_clean.png"


def test_removing_the_current_picture_shows_its_neighbour(workspace, qtbot, tmp_path):
    workspace.open([noisy_file(tmp_path / name) for name in ("a.png", "b.png", "c.png")])
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    workspace.step(1)
    workspace.remove([workspace.current])
    assert workspace.current.name == "c.png"
    workspace.remove(list(workspace.entries))
    assert workspace.current is None
    assert workspace.opened is None


def test_nothing_is_kept_of_what_was_computed_of_a_picture_that_was_closed(opened, qtbot):
    made = weakref.ref(opened.shown.denoising)
    opened.remove([opened.current])
    idle(opened, qtbot)
    gc.collect()
    assert made() is None


def test_a_picture_opens_while_a_pass_is_computed(workspace, qtbot, tmp_path, calls):
    calls.pause = 1.0
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.png")])
    qtbot.waitUntil(lambda: bool(calls), timeout=PATIENCE_MS)
    began = len(calls)
    workspace.step(1)
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    assert len(calls) <= began + 1


# ---- Denoising ----


def test_an_opened_picture_is_denoised_as_the_engine_does_it(opened):
    assert opened.current.state == "done"
    assert opened.running.model == "tiny"


def test_the_screen_shows_the_engines_result(workspace, qtbot, tmp_path):
    screen = Screen(workspace)
    workspace.set_viewport((0, 0, 250, 140))
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    wait_done(workspace, qtbot)
    levels = workspace.opened.picture.image.levels
    assert np.array_equal(screen.pixels, to_screen(expected(workspace), levels))


def test_raising_passes_goes_on_from_those_made(opened, qtbot, calls):
    opened.set_value("passes", 8)
    wait_done_again(opened, qtbot)
    # Two pairs more in each tile.
    assert len(calls) == 2 * TILES


def wait_done_again(workspace: Workspace, qtbot) -> None:
    settle(workspace, qtbot)
    wait_done(workspace, qtbot)


def test_lowering_passes_makes_no_pass_and_shows_the_smaller_mean(opened, qtbot, calls):
    screen = Screen(opened)
    screen.begin()
    opened.set_value("passes", 2)
    wait_done_again(opened, qtbot)
    assert calls == []
    assert np.array_equal(screen.pixels, to_screen(expected(opened, passes=2), opened.opened.picture.image.levels))


def test_strength_makes_no_pass_and_blends(opened, qtbot, calls):
    screen = Screen(opened)
    screen.begin()
    opened.set_strength(0.3)
    wait_done_again(opened, qtbot)
    assert calls == []
    assert np.array_equal(screen.pixels, to_screen(expected(opened, strength=0.3), opened.opened.picture.image.levels))


def test_a_denoised_picture_stays_done_while_its_strength_changes(opened, qtbot):
    opened.set_strength(0.4)
    assert opened.is_done
    assert not opened.is_running


def test_another_alpha_starts_anew_and_shows_its_own_result(opened, qtbot, calls):
    screen = Screen(opened)
    screen.begin()
    opened.set_value("alpha", 0.8)
    assert not opened.is_done
    wait_done_again(opened, qtbot)
    assert len(calls) == 2 * TILES
    assert np.array_equal(screen.pixels, to_screen(expected(opened, alpha=0.8), opened.opened.picture.image.levels))


def test_going_back_to_values_that_were_computed_makes_no_pass(opened, qtbot, calls):
    opened.set_value("alpha", 0.8)
    wait_done_again(opened, qtbot)
    made = len(calls)
    opened.reset_value("alpha")
    wait_done_again(opened, qtbot)
    assert len(calls) == made


def test_a_value_that_moves_on_is_computed_once_where_a_pass_is_slow(opened, qtbot, calls):
    opened._visible_pass_s = 5.0
    for alpha in (0.6, 0.7, 0.8, 0.9):
        opened.set_value("alpha", alpha)
    wait_done_again(opened, qtbot)
    assert len(calls) == 2 * TILES


def test_a_value_restarts_at_once_where_a_pass_is_instant(opened):
    opened._visible_pass_s = 0.02
    opened.set_value("alpha", 0.6)
    assert opened._rest.interval() == 0
    opened._visible_pass_s = 0.2
    opened.set_value("alpha", 0.7)
    assert opened._rest.interval() == 150


def test_what_moves_while_it_is_computed_ends_at_the_last_value(workspace, qtbot, tmp_path, calls):
    calls.pause = 0.02
    screen = Screen(workspace)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 2, timeout=PATIENCE_MS)
    for passes, strength in ((8, 0.9), (2, 0.4), (16, 0.8), (6, 0.7)):
        workspace.set_value("passes", passes)
        workspace.set_strength(strength)
        made = len(calls)
        qtbot.waitUntil(lambda made=made: len(calls) > made or workspace.is_done, timeout=PATIENCE_MS)
    wait_done_again(workspace, qtbot)
    assert np.array_equal(
        screen.pixels, to_screen(expected(workspace, passes=6, strength=0.7), workspace.opened.picture.image.levels)
    )


def test_the_visible_region_is_computed_first(workspace, qtbot, tmp_path, calls):
    shown = []
    workspace.region_ready.connect(lambda pixels, x, y: shown.append((x, y)))
    workspace.set_viewport((130, 130, 180, 140))
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    wait_done(workspace, qtbot)
    assert shown[0] == (128, 128)


def test_cancel_answers_within_a_second_and_keeps_what_there_is(workspace, qtbot, tmp_path, calls):
    calls.pause = 0.1
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=PATIENCE_MS)
    workspace.set_value("passes", 64)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 3, timeout=PATIENCE_MS)
    began = time.monotonic()
    workspace.cancel()
    assert not workspace.is_running
    idle(workspace, qtbot)
    assert time.monotonic() - began < 1
    made = len(calls)
    assert workspace.current.state == ""
    assert workspace.can_denoise
    calls.pause = 0
    workspace.set_value("passes", 2)
    settle(workspace, qtbot)
    assert len(calls) == made
    workspace.denoise()
    wait_done_again(workspace, qtbot)
    # Two pictures of a pair go through the network at once: one call in each tile, less those made before.
    assert len(calls) - made < TILES


def test_what_was_painted_but_not_brought_before_a_cancel_is_shown_later(workspace, qtbot, tmp_path, calls):
    screen = Screen(workspace)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 0, timeout=PATIENCE_MS)
    end = time.monotonic() + PATIENCE_MS / 1000
    while workspace._compute._worker._current is not None and time.monotonic() < end:
        time.sleep(0.01)  # the worker ends, and none of its events is handled
    workspace.cancel()
    workspace.denoise()
    wait_done_again(workspace, qtbot)
    assert len(calls) == 2 * TILES
    assert np.array_equal(screen.pixels, to_screen(expected(workspace), workspace.opened.picture.image.levels))


def test_after_a_cancel_nothing_of_the_values_before_is_shown(opened, qtbot, calls):
    screen, levels = Screen(opened), opened.opened.picture.image.levels
    old = to_screen(expected(opened), levels)
    screen.begin()
    screen.pixels = old.copy()
    calls.pause, made = 0.1, len(calls)
    opened.set_value("alpha", 0.8)
    qtbot.waitUntil(lambda: len(calls) > made + 3 and screen.regions > 0, timeout=PATIENCE_MS)
    opened.cancel()
    settle(opened, qtbot)
    noisy = opened.opened.picture.shown.pixels
    for y in range(0, 140, 64):
        for x in range(0, 250, 64):
            cell = np.s_[y : y + 64, x : x + 64]
            assert np.array_equal(screen.pixels[cell], noisy[cell]) or (screen.pixels[cell] != old[cell]).any()
    assert not np.array_equal(screen.pixels, noisy)  # what was made of the new values stays


def test_values_that_change_after_a_cancel_take_the_old_result_away(opened, qtbot, calls):
    screen = Screen(opened)
    opened.cancel()
    opened.set_value("alpha", 0.8)
    assert np.array_equal(screen.pixels, opened.opened.picture.shown.pixels)
    assert opened.can_denoise


def test_a_late_event_of_a_replaced_job_is_ignored(opened, qtbot):
    screen = Screen(opened)
    screen.begin()
    heard = []
    job = opened._compute.submit(lambda: iter(()), lambda kind, value: heard.append(kind))
    opened._drop(job)
    opened._compute._event.emit(job.id, Kind.PROGRESS, "late")
    idle(opened, qtbot)
    assert heard == []
    assert screen.regions == 0


def test_results_of_the_last_picture_are_not_shown_on_this_one(workspace, qtbot, tmp_path, calls):
    calls.pause = 0.05
    workspace.open([noisy_file(tmp_path / "a.tif", 140, 250), noisy_file(tmp_path / "b.tif", 100, 90)])
    qtbot.waitUntil(lambda: len(calls) > 1, timeout=PATIENCE_MS)
    workspace.step(1)
    screen = Screen(workspace)  # writing a region of the larger picture into it would fail
    wait_done(workspace, qtbot)
    assert screen.pixels.shape == (100, 90, 3)


def test_going_back_to_a_picture_needs_no_pass(workspace, qtbot, tmp_path, calls):
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.tif", seed=1)])
    wait_done(workspace, qtbot)
    workspace.step(1)
    wait_done(workspace, qtbot)
    made = len(calls)
    screen = Screen(workspace)
    workspace.step(-1)
    wait_done(workspace, qtbot)
    assert len(calls) == made
    assert np.array_equal(screen.pixels, to_screen(expected(workspace), workspace.opened.picture.image.levels))


def test_a_clean_picture_is_left_alone_and_a_sigma_by_hand_denoises_it(workspace, real_noise, qtbot, tmp_path, calls):
    clean = np.full((96, 96, 3), 0.5, np.float32)
    save_image(Image(clean), tmp_path / "clean.png")
    workspace.open([tmp_path / "clean.png"])
    wait_done(workspace, qtbot)
    assert workspace.is_left_alone
    assert calls == []
    workspace.set_value("sigma", 10 / 255)
    wait_done_again(workspace, qtbot)
    assert not workspace.is_left_alone
    assert calls != []


def test_a_sigma_by_hand_stays_with_its_picture(workspace, qtbot, tmp_path):
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.tif")])
    wait_done(workspace, qtbot)
    workspace.set_value("sigma", 60 / 255)
    workspace.set_value("alpha", 0.7)
    third = noisy_file(tmp_path / "c.tif")
    workspace.open([third])
    qtbot.waitUntil(lambda: workspace.current.path == third, timeout=PATIENCE_MS)
    assert workspace.values.params["r2r"] == {"alpha": 0.7}
    assert "sigma" not in workspace.settings.params["r2r"]


def test_settings_are_copied_from_picture_to_picture(workspace, qtbot, tmp_path):
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.tif")])
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    workspace.set_value("alpha", 0.7)
    workspace.set_strength(0.6)
    workspace.copy_values()
    workspace.paste_values([workspace.entries[1]])
    assert workspace.entries[1].values == workspace.entries[0].values


def test_a_grey_picture_takes_the_grey_model(workspace, qtbot, tmp_path):
    save_image(Image(noisy_pixels()[..., :1]), tmp_path / "grey.png")
    workspace.open([tmp_path / "grey.png"])
    wait_done(workspace, qtbot)
    assert workspace.running.model == "tiny-grey"
    assert workspace.leading_model().name == "tiny-grey"


def test_a_model_that_cannot_run_is_told_in_one_sentence(workspace, qtbot, tmp_path, caplog):
    save_image(Image(noisy_pixels()[..., :1]), tmp_path / "grey.png")
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=PATIENCE_MS)
    workspace.set_model("tiny")
    with caplog.at_level(logging.CRITICAL):
        workspace.open([tmp_path / "grey.png"])
        qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    assert "tiny is for colour and this picture is grey" in workspace.errors[0]
    assert "Traceback" not in workspace.errors[0]
    assert workspace.current.state == "failed"
    assert not workspace.is_running


def test_without_denoising_on_open_nothing_is_computed_until_asked(qtbot, tmp_path, calls):
    install_models()
    workspace = Workspace(Settings(denoise_on_open=False))
    workspace.errors = []
    workspace.open([noisy_file(tmp_path / "a.tif")])
    qtbot.waitUntil(lambda: workspace.can_denoise, timeout=PATIENCE_MS)
    idle(workspace, qtbot)
    assert calls == []
    assert workspace.can_denoise
    workspace.denoise()
    wait_done(workspace, qtbot)
    workspace.close()


# ---- Which method ----


STRONG = dataclasses.replace(white_noise(25 / 255), correlation=0.5, is_white=False)


def by_height(image: Image) -> NoiseReport:
    """Noise that correlates in pictures of 130 rows, white noise in others."""
    return STRONG if image.height == 130 else white_noise(25 / 255)


@pytest.fixture
def two_kinds(workspace, qtbot, tmp_path, monkeypatch):
    """A picture with white noise and one with correlated noise, each with a model that suits it; the first is shown."""
    monkeypatch.setattr("engine.noise.measure_noise", by_height)
    install("strong", "apr-rd")
    workspace.refresh_models()
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.tif", 130, 150)])
    wait_done(workspace, qtbot)
    return workspace


def go(workspace: Workspace, qtbot, by: int) -> None:
    """Show the next picture and wait until its noise is known."""
    workspace.step(by)
    qtbot.waitUntil(lambda: workspace.opened is not None and workspace.opened.is_measured, timeout=PATIENCE_MS)


def test_automatic_takes_for_each_picture_what_its_noise_asks_for(two_kinds, qtbot):
    assert (two_kinds.method.id, two_kinds.running.model) == ("r2r", "tiny")
    go(two_kinds, qtbot, 1)
    wait_done(two_kinds, qtbot)
    assert (two_kinds.method.id, two_kinds.running.model) == ("apr-rd", "strong")
    assert two_kinds.settings.method == ""


def test_a_chosen_method_holds_for_the_pictures_opened_next(two_kinds, qtbot, tmp_path):
    two_kinds.set_method("r2r")
    third = noisy_file(tmp_path / "c.tif", 130, 140)
    two_kinds.open([third])
    qtbot.waitUntil(lambda: two_kinds.current.path == third and two_kinds.opened is not None, timeout=PATIENCE_MS)
    assert two_kinds.method.id == two_kinds.settings.method == "r2r"
    # Those opened before keep theirs.
    go(two_kinds, qtbot, -1)
    assert two_kinds.method.id == "apr-rd"


def test_what_was_set_for_one_method_is_not_given_to_another(two_kinds, qtbot):
    two_kinds.set_value("passes", 2)
    assert two_kinds.value("passes") == 2
    go(two_kinds, qtbot, 1)
    two_kinds.set_value("shift", 3)
    wait_done_again(two_kinds, qtbot)
    two_kinds.set_method("r2r")
    assert two_kinds.value("passes") == 4  # as it was when this picture was opened
    two_kinds.set_method("")
    assert two_kinds.value("shift") == 3


def test_choosing_what_is_proposed_makes_no_pass(opened, qtbot, calls):
    opened.set_method("r2r")
    wait_done_again(opened, qtbot)
    opened.set_model("tiny")
    wait_done_again(opened, qtbot)
    assert calls == []


def test_a_model_is_chosen_with_its_method(workspace, qtbot, tmp_path):
    workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(workspace, qtbot)
    workspace.set_model("tiny-grey")
    assert workspace.values.method == "r2r"
    wait_done_again(workspace, qtbot)
    assert workspace.running.model == "tiny-grey"


def test_a_method_without_a_model_says_what_is_missing_and_computes_nothing(workspace, qtbot, tmp_path, calls, caplog):
    screen = Screen(workspace)
    calls.pause = 0.05
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: screen.regions > 2, timeout=PATIENCE_MS)
    workspace.set_method("n2n")
    assert np.array_equal(screen.pixels, workspace.opened.picture.shown.pixels)
    idle(workspace, qtbot)
    made = len(calls)
    assert not any((workspace.is_running, workspace.can_denoise, workspace.can_save))
    assert workspace.current.state == ""
    workspace.denoise()
    assert workspace.errors.pop().startswith("No model for Neighbor2Neighbor is installed. Train one")
    idle(workspace, qtbot)
    assert len(calls) == made
    calls.pause = 0
    workspace.set_method("")
    wait_done_again(workspace, qtbot)
    assert np.array_equal(screen.pixels, to_screen(expected(workspace), workspace.opened.picture.image.levels))


def test_a_method_without_a_noise_level_runs_on_a_clean_picture(workspace, qtbot, tmp_path, calls, monkeypatch):
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(0.0))
    install("blind", "dbsn", width=8, blocks=1)
    workspace.refresh_models()
    workspace.open([noisy_file(tmp_path / "clean.tif")])
    wait_done(workspace, qtbot)
    assert workspace.is_left_alone
    assert calls == []
    workspace.set_method("dbsn")
    wait_done_again(workspace, qtbot)
    assert not workspace.is_left_alone
    assert workspace.sigma == pytest.approx(1 / 255)
    assert calls != []


def test_what_was_measured_reaches_the_method_whatever_is_set_by_hand(workspace, qtbot, tmp_path, monkeypatch):
    reports = []
    original = Denoising.__init__

    def noted(self, *args, **details):
        reports.append(details["report"])
        original(self, *args, **details)

    monkeypatch.setattr(Denoising, "__init__", noted)
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=PATIENCE_MS)
    workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(workspace, qtbot)
    workspace.set_value("sigma", 0.1)
    wait_done_again(workspace, qtbot)
    assert len(reports) == 2
    assert all(isinstance(report, NoiseReport) for report in reports)


def test_settings_of_another_version_do_not_stop_a_method(qtbot, tmp_path):
    install_models()
    kept = {"r2r": {"passes": "many", "noise_model": "purple", "gone": 1, "alpha": 0.7, "ratio": [1]}, "gone": {"x": 1}}
    workspace = Workspace(Settings(method="r2r", model="gone", params=kept))
    workspace.errors = []
    workspace.failed.connect(lambda sentence, details: workspace.errors.append(sentence + details))
    workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(workspace, qtbot)
    assert (workspace.value("passes"), workspace.value("alpha")) == (4, 0.7)
    assert workspace.running.model == "tiny"
    workspace.close()


def test_a_word_is_kept_like_a_number(opened, qtbot, tmp_path):
    from app.settings import load_settings

    opened.set_value("noise_model", "per channel")
    assert not opened.is_done
    wait_done_again(opened, qtbot)
    with qtbot.waitSignal(opened.saved, timeout=PATIENCE_MS):
        opened.save(Target(tmp_path / "out.png", sidecar=True))
    assert json.loads((tmp_path / "out.png.json").read_text())["params"]["noise_model"] == "per channel"
    opened.close()
    again = Workspace(load_settings(paths.settings_file()))
    qtbot.waitUntil(lambda: bool(again.catalog.methods), timeout=PATIENCE_MS)
    assert again.value("noise_model") == "per channel"
    again.close()


def test_while_a_picture_is_looked_over_nothing_is_painted_and_the_time_left_is_unknown(
    opened, qtbot, calls, monkeypatch
):
    screen, said, lefts = Screen(opened), [], []
    screen.begin()
    before = screen.pixels = to_screen(expected(opened), opened.opened.picture.image.levels)
    screen.pixels = before.copy()
    opened.progress.connect(lambda: said.append((opened.activity.text, screen.regions)))
    opened.progress.connect(lambda: lefts.append(opened.activity.seconds_left))
    original = Denoising._look_over

    def slow(self, rect):
        time.sleep(0.02)
        return original(self, rect)

    monkeypatch.setattr("engine.methods.r2r.R2R.survey", lambda self, network, task: task.noisy)
    monkeypatch.setattr(Denoising, "_look_over", slow)
    opened.set_value("alpha", 0.8)
    wait_done_again(opened, qtbot)
    looked = [regions for text, regions in said if text == "Looking over the whole picture"]
    assert looked
    assert set(looked) == {0}
    assert np.array_equal(screen.pixels, to_screen(expected(opened, alpha=0.8), opened.opened.picture.image.levels))
    assert all(left is None or left < 60 for left in lefts)


# ---- The detail guard ----


def test_the_guard_makes_no_pass_and_gives_the_engines_result(opened, qtbot, calls):
    screen = Screen(opened)
    screen.begin()
    opened.set_guard(1.0)
    assert opened.is_done
    wait_done_again(opened, qtbot)
    assert calls == []
    levels = opened.opened.picture.image.levels
    assert np.array_equal(screen.pixels, to_screen(expected(opened, guard=1.0), levels))
    assert not np.array_equal(screen.pixels, to_screen(expected(opened), levels))
    assert opened.numbers.estimate.psnr_db is None
    assert "guard" in opened.numbers.estimate.reason


def test_a_guard_that_moves_while_it_is_computed_ends_at_its_last_value_everywhere(workspace, qtbot, tmp_path, calls):
    calls.pause = 0.02
    screen = Screen(workspace)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 2, timeout=PATIENCE_MS)
    for guard in (0.5, 3.0, 0.0, 1.5):
        workspace.set_guard(guard)
        made = len(calls)
        qtbot.waitUntil(lambda made=made: len(calls) > made or workspace.is_done, timeout=PATIENCE_MS)
    wait_done_again(workspace, qtbot)
    assert len(calls) == 2 * TILES
    levels = workspace.opened.picture.image.levels
    assert np.array_equal(screen.pixels, to_screen(expected(workspace, guard=1.5), levels))


# ---- Numbers ----


def test_psnr_and_ssim_are_those_of_the_whole_result(workspace, qtbot, tmp_path):
    noisy_file(tmp_path / "x_noisy.tif", 700, 60)
    twin = noisy_file(tmp_path / "x_clean.png", 700, 60, sigma=0)
    workspace.open([tmp_path / "x_noisy.tif"])
    wait_done(workspace, qtbot)
    result, clean = expected(workspace), load_image(twin).pixels
    assert workspace.numbers.is_whole
    assert workspace.numbers.psnr_db == pytest.approx(psnr(result, clean), abs=1e-6)
    assert workspace.numbers.ssim == pytest.approx(ssim(result, clean), abs=1e-9)
    assert workspace.reference.noisy_psnr_db == pytest.approx(
        psnr(workspace.opened.picture.image.pixels, clean), abs=1e-9
    )


def test_the_numbers_follow_the_strength(workspace, qtbot, tmp_path):
    noisy_file(tmp_path / "x_noisy.tif")
    noisy_file(tmp_path / "x_clean.png", sigma=0)
    workspace.open([tmp_path / "x_noisy.tif"])
    wait_done(workspace, qtbot)
    workspace.set_strength(0.0)
    wait_done_again(workspace, qtbot)
    assert workspace.numbers.psnr_db == pytest.approx(workspace.reference.noisy_psnr_db, abs=1e-4)


def test_a_difference_in_brightness_is_taken_out_on_request(workspace, qtbot, tmp_path):
    noisy_file(tmp_path / "x_noisy.tif")
    twin = noisy_file(tmp_path / "x_clean.png", sigma=0)
    shown = load_image(twin)
    lighter = np.clip(shown.pixels + np.float32([0.06, 0.0, -0.03]), 0, 1)
    save_image(dataclasses.replace(shown, pixels=lighter), twin)
    workspace.open([tmp_path / "x_noisy.tif"])
    wait_done(workspace, qtbot)
    result, noisy, clean = expected(workspace), workspace.opened.picture.image.pixels, load_image(twin).pixels
    assert workspace.numbers.psnr_db == pytest.approx(psnr(result, clean), abs=1e-6)
    assert workspace.numbers.shift is None
    workspace.set_shift_free(True)
    wait_done_again(workspace, qtbot)
    shift = shift_of(result, clean)
    assert workspace.numbers.shift == pytest.approx(shift.tolist(), abs=1e-6)
    assert workspace.numbers.psnr_db == pytest.approx(psnr(result, clean, shift=shift), abs=1e-4)
    assert workspace.numbers.ssim == pytest.approx(ssim(result, clean, shift=shift), abs=1e-6)
    assert workspace.numbers.psnr_db > psnr(result, clean) + 0.4
    expected_db = psnr(noisy, clean, shift=shift_of(noisy, clean))
    assert workspace.reference.noisy_shift_free_db == pytest.approx(expected_db, abs=1e-6)


def test_numbers_say_of_how_many_passes_they_are(workspace, qtbot, tmp_path):
    seen = []
    workspace.estimate_changed.connect(lambda: seen.append(workspace.numbers.passes))
    workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(workspace, qtbot)
    assert workspace.numbers.passes == 4
    assert {2, 4} <= set(seen)
    workspace.set_value("passes", 2)
    wait_done_again(workspace, qtbot)
    assert workspace.numbers.passes == 2


def test_areas_make_no_pass_and_protect_what_lies_in_them(opened, qtbot, calls):
    screen = Screen(opened)
    screen.begin()
    opened.set_areas(Areas(1.0, (Area(RECTANGLE, ((10, 10), (50, 40))),)))
    opened.set_chroma(0.5)
    wait_done_again(opened, qtbot)
    assert calls == []
    image = opened.opened.picture.image
    inside = slice(10, 40), slice(10, 50)
    assert np.array_equal(screen.pixels[inside], to_screen(image.pixels[inside], image.levels))
    assert not np.array_equal(screen.pixels[50:], to_screen(image.pixels[50:], image.levels))
    assert not opened.numbers.keeps_mean
    assert "not the same everywhere" in opened.numbers.estimate.reason


def test_areas_stay_with_their_picture(opened, qtbot, tmp_path):
    areas = Areas(0.5, (Area(RECTANGLE, ((0, 0), (9, 9))),))
    opened.set_areas(areas)
    opened.set_luminance(0.7)
    first = opened.current
    opened.copy_values()
    opened.open([noisy_file(tmp_path / "other.tif")])
    qtbot.waitUntil(lambda: opened.current is not first, timeout=PATIENCE_MS)
    assert (opened.values.areas, opened.values.luminance) == (Areas(), 0.7)
    opened.set_luminance(1.0)
    opened.set_areas(Areas(0.2))
    opened.paste_values([opened.current])
    assert (opened.values.areas, opened.values.luminance) == (Areas(0.2), 0.7)
    opened.paste_values([first])
    assert first.values.areas == areas


def test_without_a_reference_the_psnr_is_estimated(opened):
    assert opened.numbers.psnr_db is None
    estimate = opened.numbers.estimate
    assert estimate.psnr_db is not None or estimate.reason


def test_a_reference_of_another_size_is_refused_in_one_sentence(opened, qtbot, tmp_path):
    opened.set_reference(noisy_file(tmp_path / "small.png", 64, 64))
    qtbot.waitUntil(lambda: bool(opened.errors), timeout=PATIENCE_MS)
    assert "small.png" in opened.errors[0]
    assert "Traceback" not in opened.errors[0]
    assert opened.reference is None


def test_a_cleared_reference_is_not_found_again(workspace, qtbot, tmp_path):
    noisy_file(tmp_path / "x_noisy.tif")
    noisy_file(tmp_path / "x_clean.png", sigma=0)
    workspace.open([tmp_path / "x_noisy.tif", noisy_file(tmp_path / "b.png"), noisy_file(tmp_path / "c.png")])
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)
    workspace.clear_reference()
    assert workspace.reference is None
    for step in (1, 1, -1, -1):
        workspace.step(step)
        qtbot.waitUntil(lambda: workspace.opened is not None, timeout=PATIENCE_MS)
    idle(workspace, qtbot, "_io")
    assert workspace.current.name == "x_noisy.tif"
    assert workspace.reference is None


# ---- Saving ----


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_window_saves_what_the_command_line_saves(workspace, real_noise, qtbot, tmp_path, suffix):
    from app import cli

    source = noisy_file(tmp_path / "noisy.tif", 140, 250)
    workspace.open([source])
    wait_done(workspace, qtbot)
    workspace.set_value("passes", 6)
    workspace.set_value("alpha", 0.4)
    workspace.set_value("noise_model", "signal-dependent")
    workspace.set_strength(0.8)
    workspace.set_guard(1.5)
    target = tmp_path / f"window{suffix}"
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(target))
    given = ["denoise", str(source), "-o", str(tmp_path / f"line{suffix}")]
    given += ["--passes", "6", "--alpha", "0.4", "--noise-model", "signal-dependent"]
    assert cli.main([*given, "--strength", "0.8", "--guard", "1.5"]) == 0
    assert target.read_bytes() == (tmp_path / f"line{suffix}").read_bytes()


def test_saving_finishes_a_picture_that_was_cancelled(workspace, qtbot, tmp_path, calls):
    calls.pause = 0.05
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 2, timeout=PATIENCE_MS)
    workspace.cancel()
    calls.pause = 0
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(tmp_path / "out.tif"))
    assert np.array_equal(load_image(tmp_path / "out.tif").pixels, expected(workspace))


def test_saving_goes_on_while_another_picture_is_shown(workspace, qtbot, tmp_path):
    workspace.open([noisy_file(tmp_path / "a.tif"), noisy_file(tmp_path / "b.tif", 80, 90)])
    qtbot.waitUntil(lambda: workspace.can_save, timeout=PATIENCE_MS)
    screen = Screen(workspace)
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(tmp_path / "out.tif"))
        workspace.step(1)
    wait_done(workspace, qtbot)
    assert load_image(tmp_path / "out.tif").pixels.shape == (120, 160, 3)
    assert screen.pixels.shape == (80, 90, 3)


def test_the_original_is_replaced_only_where_that_is_said(opened, qtbot, tmp_path):
    before = (tmp_path / "noisy.tif").read_bytes()
    opened.save(Target(tmp_path / "noisy.tif"))
    assert "original" in opened.errors[0]
    assert (tmp_path / "noisy.tif").read_bytes() == before
    with qtbot.waitSignal(opened.saved, timeout=PATIENCE_MS):
        opened.save(Target(tmp_path / "noisy.tif"), over_original=True)
    assert (tmp_path / "noisy.tif").read_bytes() != before


def test_the_sidecar_says_how_the_file_was_made(opened, qtbot, tmp_path):
    with qtbot.waitSignal(opened.saved, timeout=PATIENCE_MS):
        opened.save(Target(tmp_path / "out.png", sidecar=True))
    made = json.loads((tmp_path / "out.png.json").read_text())
    assert (made["method"], made["model"], made["output"]) == ("r2r", "tiny", "out.png")
    assert made["params"] == {"passes": 4, "alpha": 0.5, "noise_model": "white", "gain": None, "ratio": 1.0}
    assert made["sigma"] == pytest.approx(opened.sigma * 255)
    assert made["sigma_automatic"] is True
    assert len(made["input_sha256"]) == len(made["model_sha256"]) == 64


def test_a_failed_save_is_told_and_the_picture_stays(opened, qtbot, tmp_path, caplog):
    with caplog.at_level(logging.CRITICAL):
        opened.save(Target(tmp_path / "nowhere" / "out.png"))
        qtbot.waitUntil(lambda: bool(opened.errors), timeout=PATIENCE_MS)
    assert "does not exist" in opened.errors[0]
    assert opened.can_save


# ---- Models, settings, end ----


def test_an_imported_model_is_listed_and_chosen(workspace, qtbot, tmp_path):
    from engine.checkpoint import save_checkpoint
    from models import checkpoint

    save_checkpoint(dataclasses.replace(checkpoint(3, seed=5), name="elsewhere"), tmp_path / "elsewhere.safetensors")
    qtbot.waitUntil(lambda: bool(workspace.catalog.models), timeout=PATIENCE_MS)
    workspace.import_model(tmp_path / "elsewhere.safetensors")
    qtbot.waitUntil(lambda: workspace.values.model != "" or bool(workspace.errors), timeout=PATIENCE_MS)
    assert workspace.errors == []
    assert workspace.model_in_force().name == workspace.values.model
    assert (paths.models() / f"{workspace.values.model}.safetensors").exists()


def test_an_imported_model_is_run_by_its_own_method_whichever_was_chosen(workspace, qtbot, tmp_path):
    from engine.checkpoint import save_checkpoint
    from models import checkpoint

    save_checkpoint(dataclasses.replace(checkpoint(3), name="elsewhere"), tmp_path / "elsewhere.safetensors")
    qtbot.waitUntil(lambda: bool(workspace.catalog.models), timeout=PATIENCE_MS)
    workspace.set_method("plain")
    with qtbot.waitSignal(workspace.imported, timeout=PATIENCE_MS) as told:
        workspace.import_model(tmp_path / "elsewhere.safetensors")
    assert told.args == [workspace.values.model]
    assert (workspace.values.method, workspace.method.id) == ("r2r", "r2r")


def test_a_file_that_is_no_checkpoint_is_told(workspace, qtbot, tmp_path, caplog):
    (tmp_path / "x.pth").write_bytes(b"no")
    with caplog.at_level(logging.CRITICAL):
        workspace.import_model(tmp_path / "x.pth")
        qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    assert "x.pth" in workspace.errors[0]
    assert "Traceback" not in workspace.errors[0]


def test_what_was_set_is_there_at_the_next_start(workspace, qtbot):
    from app.settings import load_settings

    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=PATIENCE_MS)
    workspace.set_value("passes", 16)
    workspace.set_strength(0.9)
    workspace.close()
    again = Workspace(load_settings(paths.settings_file()))
    qtbot.waitUntil(lambda: bool(again.catalog.methods), timeout=PATIENCE_MS)
    assert again.value("passes") == 16
    assert again.values.strength == 0.9
    again.close()


def test_a_method_that_is_gone_makes_way(qtbot):
    install_models()
    workspace = Workspace(Settings(method="long gone"))
    qtbot.waitUntil(lambda: workspace.method is not None, timeout=PATIENCE_MS)
    assert workspace.values.method == ""
    assert workspace.method.id == "r2r"
    workspace.close()


def test_closing_while_it_computes_ends_every_thread(qtbot, tmp_path, calls):
    install_models()
    before = set(threading.enumerate())
    workspace = Workspace(Settings())
    calls.pause = 0.05
    workspace.open([noisy_file(tmp_path / "a.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 1, timeout=PATIENCE_MS)
    workspace.close()
    assert {thread.name for thread in set(threading.enumerate()) - before if not thread.daemon} & {
        "reading",
        "measuring",
        "computing",
    } == set()
    workspace.close()


def test_a_defect_is_told_with_its_traceback(workspace, qtbot, tmp_path, monkeypatch, caplog):
    def broken(self, *args):
        raise KeyError("defect")

    monkeypatch.setattr(Denoising, "_advance", broken)
    with caplog.at_level(logging.CRITICAL):
        workspace.open([noisy_file(tmp_path / "a.tif")])
        qtbot.waitUntil(lambda: bool(workspace.errors), timeout=PATIENCE_MS)
    assert "Traceback" in workspace.errors[0]
    assert not workspace.is_running


def test_the_noise_is_reported_for_the_current_picture(real_noise, opened):
    assert isinstance(opened.opened.report, NoiseReport)
    assert opened.sigma == opened.opened.report.sigma
    assert opened.sigma * 255 == pytest.approx(25, abs=2)


def test_a_picture_without_a_file_is_denoised_and_saved(workspace, qtbot, tmp_path):
    workspace.add_image(Image(noisy_pixels()), "pasted 1")
    wait_done(workspace, qtbot)
    assert Path(workspace.default_target(workspace.current, tmp_path)).name == "pasted 1_denoised.png"
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(tmp_path / "pasted.png", sidecar=True))
    assert load_image(tmp_path / "pasted.png").pixels.shape == (120, 160, 3)
