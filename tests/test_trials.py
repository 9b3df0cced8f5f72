from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from dng import recorded, samples_of, write_dng
from opened import install, install_models, noisy_file
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication

from app.controls import quality
from app.jobs import Target
from app.screen import to_screen
from app.settings import Settings
from app.trials import State, Trial, Trials, candidates, titles
from app.trials_bar import Connection, TrialsBar, detail, number
from app.values import Values
from app.workspace import Workspace
from conftest import picture
from engine import params
from engine.denoise import Denoising, load_model
from engine.develop import from_srgb
from engine.encode import save_image
from engine.image import Image
from engine.metrics import Estimate, psnr, shift_of
from engine.noise import NoiseReport
from engine.tiles import Rect

PATIENCE_MS = 30_000

TILES = 12
"""Of 64 pixels in a picture of 140x250."""

LEFT, RIGHT = (0, 0, 60, 60), (130, 70, 250, 140)
"""One tile, and four others."""

FIRST = Rect(0, 0, 64, 64)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles and pieces of the screen of 64 pixels: many of them in small pictures."""
    monkeypatch.setattr("engine.denoise.tile_side", lambda model, margin: 64)
    monkeypatch.setattr("app.jobs._CELL", 64)


@pytest.fixture(autouse=True)
def known_noise(monkeypatch):
    """Spare tests the measuring."""
    identity = tuple(tuple(row) for row in np.eye(3).tolist())
    report = NoiseReport(
        sigma=25 / 255,
        joint=25 / 255,
        channels=(25 / 255,) * 3,
        flat=25 / 255,
        flat_channels=(25 / 255,) * 3,
        slope=(0.0,) * 3,
        offset=(0.0,) * 3,
        correlation=0.0,
        channel_correlation=identity,
        clipped=0.0,
        is_white=True,
        is_clean=False,
        uncertainty=0.01,
        reason="It is known.",
    )
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: report)


@pytest.fixture
def workspace(qtbot):
    install_models()
    made = Workspace(Settings(denoise_on_open=False))
    made.errors = []
    made.failed.connect(lambda sentence, details: made.errors.append(sentence + details))
    yield made
    made.close()


@pytest.fixture
def calls(monkeypatch):
    """(method, sigma of the recorruption, tile, passes before) of every group of passes, in order."""
    made, original = [], Denoising._advance

    def counted(self, tile, passes):
        values = self.params
        made.append((self.model.method.id, getattr(values, "alpha", None), tile.rect, tile.done))
        return original(self, tile, passes)

    monkeypatch.setattr(Denoising, "_advance", counted)
    return made


@pytest.fixture
def trials(workspace, qtbot, tmp_path, calls):
    """Of a picture of twelve tiles, whose upper left one is visible; nothing is computed yet."""
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    made = Trials(workspace)
    made.screens = {}
    made.region_ready.connect(
        lambda place, pixels, x, y: _screen(made, place).__setitem__(
            (slice(y, y + pixels.shape[0]), slice(x, x + pixels.shape[1])), pixels
        )
    )
    made.cleared.connect(lambda place: made.screens.pop(place, None))
    qtbot.waitUntil(lambda: workspace.request_of(workspace.values) is not None, timeout=PATIENCE_MS)
    workspace.set_viewport(LEFT)
    return made


def _screen(trials: Trials, place: int) -> np.ndarray:
    opened = trials.workspace.opened
    return trials.screens.setdefault(place, opened.picture.shown.pixels.copy())


def wait(trials: Trials, qtbot) -> None:
    """Until the visible part of all is done, or has failed."""
    qtbot.waitUntil(lambda: trials._job is None and not trials._rest.isActive(), timeout=PATIENCE_MS)
    assert all(trial.state in (State.DONE, State.FAILED) for trial in trials.trials)


def wait_done(workspace: Workspace, qtbot) -> None:
    qtbot.waitUntil(lambda: workspace.is_done or bool(workspace.errors), timeout=PATIENCE_MS)
    assert workspace.errors == []


def try_values(trials: Trials, *found: Values) -> None:
    """Show exactly these beside each other; the first become the present ones."""
    trials.workspace.give_values("test", found[0])
    trials._add([Trial(next(trials._ids), values) for values in found])


def with_params(values: Values, **own) -> Values:
    return dataclasses.replace(values, params={**values.params, "r2r": {**values.params.get("r2r", {}), **own}})


def direct(workspace: Workspace, values: Values, area: Rect) -> np.ndarray:
    """The engine's own result of what is visible alone, in the picture's units."""
    choice = workspace.choice_of(values)
    model = load_model(choice.model.name, method=choice.method_id)
    image = workspace.opened.picture.image
    made = params.make(model.method.Params, {k: v for k, v in choice.by_hand.items() if k != "sigma"})
    denoising = Denoising(model, image, made, sigma=choice.sigma, report=workspace.opened.report)
    passes = model.method.count(made)
    for _ in denoising.run(passes, lambda: area):
        if denoising.has(passes, area):
            break
    return denoising.blended(passes, values.blend, area)


# What is offered


def test_a_default_installation_fills_four_places_with_different_results(trials, qtbot):
    trials.fill_all()
    assert len(trials.trials) == 4
    assert trials.trials[0].values == trials.workspace.values
    assert len({trials._sense(trial.values) for trial in trials.trials}) == 4
    assert [trial.title for trial in trials.trials] == [
        "R2R · alpha auto · Strength 100 %",
        "Single network",
        "Strength 70 %",
        "alpha 1",
    ]
    assert not trials.can_try
    wait(trials, qtbot)


def test_other_methods_come_first_then_other_models_then_other_values(workspace, qtbot, tmp_path):
    install("tiny-n2n", "n2n")
    install("other", "r2r")
    workspace.refresh_models()
    workspace.open([noisy_file(tmp_path / "noisy.tif", 64, 64)])
    qtbot.waitUntil(lambda: workspace.request_of(workspace.values) is not None, timeout=PATIENCE_MS)
    found = list(candidates(workspace.choice))
    methods = [(values.method, values.model) for values in found]
    assert {("n2n", ""), ("plain", "")} == set(methods[:2])
    assert {("r2r", "other"), ("r2r", "tiny")} == set(methods[2:4])
    assert all(workspace.request_of(values) is not None for values in found)


def test_results_that_are_there_stay_when_the_rest_is_filled(trials, qtbot):
    trials.add_current()
    trials.workspace.set_strength(0.55)
    trials.fill_all()
    assert len(trials.trials) == 4
    assert trials.trials[0].values.strength == 0.55
    wait(trials, qtbot)


def test_a_title_names_only_what_differs(trials):
    def named(*found: Values) -> list[str]:
        return titles([trials.workspace.choice_of(values) for values in found])

    plain = Values(method="r2r")
    assert named(plain, dataclasses.replace(plain, strength=0.5)) == ["Strength 100 %", "Strength 50 %"]
    assert named(with_params(plain, passes=8), with_params(plain, passes=2)) == ["T 8", "T 2"]
    assert named(plain, plain)[1] == "the same as 1"
    assert named(with_params(plain, passes=8), Values(method="plain")) == ["R2R", "Single network"]
    assert named(plain, dataclasses.replace(plain, guard=2.0)) == ["guard off", "guard 2"]


# What is computed


def test_only_what_is_visible_is_computed(trials, calls, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    assert {rect for _, _, rect, _ in calls} == {Rect(0, 0, 64, 64)}
    # Two kinds of recorruption with two groups each; the strengths share them. One pass of a single network.
    assert len(calls) == 5
    assert not trials.workspace.is_running


def test_each_gets_its_first_passes_before_any_gets_more(trials, calls, qtbot):
    values = trials.workspace.values
    trials.workspace.set_viewport(RIGHT)
    try_values(trials, values, with_params(values, alpha=1.0), with_params(values, alpha=0.25))
    wait(trials, qtbot)
    first, second = calls[:12], calls[12:]
    assert {done for *_, done in first} == {0}
    assert {done for *_, done in second} == {2}
    assert [alpha for _, alpha, *_ in first] == [0.5] * 4 + [1.0] * 4 + [0.25] * 4
    assert [alpha for _, alpha, *_ in second] == [0.5] * 4 + [1.0] * 4 + [0.25] * 4


def test_different_passes_of_one_denoising_are_made_once_and_stay(trials, calls, qtbot):
    values = trials.workspace.values
    try_values(trials, *(with_params(values, passes=passes) for passes in (6, 8, 3)))
    wait(trials, qtbot)
    assert len(calls) == 4
    assert [trial.wanted for trial in trials.trials] == [6, 8, 3]
    for place, trial in enumerate(trials.trials):
        check_screen(trials, place, trial.values)


def test_the_panes_show_what_the_engine_makes_of_what_is_visible(trials, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    for place, trial in enumerate(trials.trials):
        check_screen(trials, place, trial.values)


def check_screen(trials: Trials, place: int, values: Values, area: Rect = FIRST) -> None:
    expected = to_screen(direct(trials.workspace, values, area), (0.0, 1.0))
    assert np.abs(trials.screens[place][area.slices].astype(int) - expected).max() <= 1


def test_another_view_computes_the_new_part_alone(trials, calls, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    del calls[:]
    trials.workspace.set_viewport((0, 0, 120, 60))
    wait(trials, qtbot)
    assert {rect for _, _, rect, _ in calls} == {Rect(64, 0, 128, 64)}
    check_screen(trials, 3, trials.trials[3].values, Rect(64, 0, 128, 64))
    del calls[:]
    trials.workspace.set_viewport(LEFT)
    wait(trials, qtbot)
    assert calls == []


def test_the_view_moves_while_it_is_computed(trials, calls, qtbot):
    trials.fill_all()
    qtbot.waitUntil(lambda: len(calls) > 0, timeout=PATIENCE_MS)
    trials.workspace.set_viewport(RIGHT)
    wait(trials, qtbot)
    for place, trial in enumerate(trials.trials):
        check_screen(trials, place, trial.values, Rect(130, 70, 250, 140))


def test_one_that_fails_is_told_and_the_others_go_on(trials, qtbot, tmp_path):
    workspace = trials.workspace
    grey = picture(140, 250).mean(axis=2, keepdims=True).astype(np.float32)
    save_image(Image(grey, bits=32, is_float=True), tmp_path / "grey.tif")
    workspace.open([tmp_path / "grey.tif"])
    qtbot.waitUntil(lambda: workspace.current.name == "grey.tif" and workspace.opened is not None, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: workspace.request_of(workspace.values) is not None, timeout=PATIENCE_MS)
    values = workspace.values
    try_values(trials, values, Values("r2r", "tiny"), dataclasses.replace(values, strength=0.5))
    wait(trials, qtbot)
    assert [trial.state for trial in trials.trials] == [State.DONE, State.FAILED, State.DONE]
    assert detail(trials.trials[1]) == "tiny is for colour and this picture is grey; choose a grey model"
    assert workspace.errors == []


def test_a_method_without_a_model_says_so_in_its_pane(trials, qtbot):
    values = trials.workspace.values
    try_values(trials, values, Values("dbsn"))
    wait(trials, qtbot)
    assert trials.trials[1].state is State.FAILED
    assert "No model for" in trials.trials[1].note
    trials.keep(1)
    assert trials.is_on
    assert trials.workspace.values == values


# The numbers


def test_without_a_reference_the_number_is_the_estimate_of_what_is_visible(trials, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    for trial in trials.trials:
        assert trial.numbers.psnr_db is None
        assert not trial.numbers.is_whole
        assert number(trial.numbers).startswith("estimated ")
        assert "visible part" in detail(trial)
    assert trials.trials[0].numbers != trials.trials[2].numbers


def test_with_a_reference_the_number_is_the_psnr_of_what_is_visible(trials, qtbot, tmp_path):
    workspace = trials.workspace
    clean = picture(140, 250).astype(np.float32)
    save_image(Image(clean, bits=32, is_float=True), tmp_path / "reference.tif")
    workspace.set_reference(tmp_path / "reference.tif")
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)
    workspace.set_viewport(RIGHT)
    trials.fill_all()
    wait(trials, qtbot)
    area = Rect(*RIGHT)
    for trial in trials.trials:
        expected = psnr(direct(workspace, trial.values, area), clean[area.slices])
        assert trial.numbers.psnr_db == pytest.approx(expected, abs=0.02)
        assert number(trial.numbers) == f"PSNR {trial.numbers.psnr_db:.2f} dB"


def test_a_difference_in_brightness_is_taken_out_of_the_number_on_request(trials, qtbot, tmp_path):
    workspace = trials.workspace
    clean = np.clip(picture(140, 250) + 0.05, 0, 1).astype(np.float32)
    save_image(Image(clean, bits=32, is_float=True), tmp_path / "reference.tif")
    workspace.set_reference(tmp_path / "reference.tif")
    qtbot.waitUntil(lambda: workspace.reference is not None, timeout=PATIENCE_MS)
    trials.add_current()
    wait(trials, qtbot)
    workspace.set_shift_free(True)
    wait(trials, qtbot)
    area, trial = Rect(*LEFT), trials.trials[0]
    made, twin = direct(workspace, trial.values, area), clean[area.slices]
    expected = psnr(made, twin, shift=shift_of(made, twin))
    assert trial.numbers.psnr_db == pytest.approx(expected, abs=0.02)
    assert expected > psnr(made, twin) + 0.1
    assert "brightness aligned" in detail(trial)


def test_the_number_of_a_whole_picture_is_worded_as_that_of_the_kept_one(trials, qtbot):
    workspace = trials.workspace
    workspace.set_viewport((0, 0, 250, 140))
    trials.fill_all()
    wait(trials, qtbot)
    told = number(trials.trials[3].numbers)
    assert trials.trials[3].numbers.is_whole
    trials.keep(3)
    wait_done(workspace, qtbot)
    assert quality(workspace)[0] == told


def test_the_time_is_that_of_the_passes_over_what_is_visible(trials, qtbot, monkeypatch):
    original = Denoising._advance

    def slow(self, tile, passes):
        time.sleep(0.05)
        return original(self, tile, passes)

    monkeypatch.setattr(Denoising, "_advance", slow)
    values = trials.workspace.values
    four, eight = with_params(values, passes=4), with_params(values, passes=8)
    try_values(trials, four, dataclasses.replace(four, strength=0.5), eight)
    wait(trials, qtbot)
    seconds = [trial.seconds for trial in trials.trials]
    assert seconds[0] == seconds[1] >= 0.1
    assert seconds[2] >= 0.2
    assert seconds[0] < seconds[2]


# Marking, changing, keeping


def test_keeping_is_one_step_and_the_visible_part_needs_no_new_pass(trials, calls, qtbot):
    workspace = trials.workspace
    before, steps = workspace.values, workspace.history.count()
    workspace.set_viewport((0, 0, 250, 140))
    trials.fill_all()
    wait(trials, qtbot)
    chosen = trials.trials[3].values
    del calls[:]
    with qtbot.waitSignal(trials.ended):
        trials.keep(3)
    wait_done(workspace, qtbot)
    assert calls == []
    assert workspace.values == chosen
    assert workspace.history.count() == steps + 1
    assert not trials.is_on
    workspace.undo()
    assert workspace.values == before


def test_the_rest_is_computed_only_for_the_one_that_is_kept(trials, calls, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    del calls[:]
    trials.keep(1)
    wait_done(trials.workspace, qtbot)
    assert len(calls) == TILES - 1
    assert {method for method, *_ in calls} == {"plain"}


def test_the_end_changes_nothing(trials, qtbot):
    before, steps = trials.workspace.values, trials.workspace.history.count()
    trials.fill_all()
    wait(trials, qtbot)
    with qtbot.waitSignal(trials.ended):
        trials.end()
    assert trials.workspace.values == before
    assert trials.workspace.history.count() == steps
    assert trials.trials == ()


def test_what_the_panel_changes_is_changed_in_the_marked_one(trials, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    others = [trial.values for trial in trials.trials[:2]] + [trials.trials[3].values]
    trials.mark(2)
    trials.workspace.set_strength(0.25)
    wait(trials, qtbot)
    assert trials.trials[2].values.strength == 0.25
    assert [trial.values for trial in trials.trials[:2]] + [trials.trials[3].values] == others
    check_screen(trials, 2, trials.trials[2].values)


def test_other_passes_of_the_marked_one_replace_its_picture(trials, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    cleared = []
    trials.cleared.connect(cleared.append)
    trials.workspace.set_value("alpha", 0.9)
    assert cleared == []  # until the values rest
    wait(trials, qtbot)
    assert cleared == [0]
    check_screen(trials, 0, trials.trials[0].values)


def test_undo_takes_the_mark_back_and_leaves_every_trial_its_values(trials, qtbot):
    trials.fill_all()
    before = [trial.values for trial in trials.trials]
    trials.mark(2)
    trials.workspace.undo()
    assert trials.marked == 0
    assert [trial.values for trial in trials.trials] == before
    wait(trials, qtbot)


def test_added_settings_are_changed_without_the_others(trials, qtbot):
    trials.add_current()
    trials.add_current()
    assert trials.marked == 1
    trials.workspace.set_strength(0.5)
    assert [trial.values.strength for trial in trials.trials] == [1.0, 0.5]
    wait(trials, qtbot)


def test_the_others_move_up_where_one_is_removed(trials, calls, qtbot):
    trials.fill_all()
    wait(trials, qtbot)
    left = [trials.trials[place].values for place in (0, 2, 3)]
    del calls[:]
    trials.remove(1)
    wait(trials, qtbot)
    assert [trial.values for trial in trials.trials] == left
    assert calls == []
    for place, values in enumerate(left):
        check_screen(trials, place, values)
    assert trials.can_try


def test_without_the_last_one_it_ends(trials, qtbot):
    trials.add_current()
    with qtbot.waitSignal(trials.ended):
        trials.remove(0)
    assert not trials.is_on


def test_another_picture_ends_it(trials, qtbot, tmp_path):
    trials.fill_all()
    with qtbot.waitSignal(trials.ended):
        trials.workspace.open([noisy_file(tmp_path / "second.tif", 64, 64)])
    assert trials.trials == ()
    qtbot.waitUntil(lambda: trials.workspace.can_denoise, timeout=PATIENCE_MS)
    trials.workspace.denoise()
    wait_done(trials.workspace, qtbot)


def test_numbers_and_measurements_are_those_of_the_marked_one(trials, qtbot):
    workspace = trials.workspace
    trials.fill_all()
    wait(trials, qtbot)
    for place in (1, 2, 0):
        trials.mark(place)
        wait(trials, qtbot)
        trial = trials.trials[place]
        assert workspace.numbers == trial.numbers
        assert quality(workspace)[0] == number(trial.numbers)
        result = workspace.shown.result(FIRST)
        assert np.allclose(result, direct(workspace, trial.values, FIRST), atol=1e-6)
        assert workspace.shown.result(Rect(*RIGHT)) is None


def test_nothing_is_denoised_for_the_view_meanwhile(trials, calls, qtbot):
    workspace = trials.workspace
    trials.add_current()
    wait(trials, qtbot)
    workspace.denoise()
    wait(trials, qtbot)
    assert len(calls) == 2
    assert not workspace.can_denoise
    trials.end()
    wait_done(workspace, qtbot)
    assert len(calls) == 2 * TILES


def test_saving_meanwhile_leaves_the_panes_right(trials, qtbot, tmp_path):
    trials.fill_all()
    wait(trials, qtbot)
    with qtbot.waitSignal(trials.workspace.saved, timeout=PATIENCE_MS):
        trials.workspace.save(Target(tmp_path / "out.tif"))
    trials.workspace.set_viewport(RIGHT)
    wait(trials, qtbot)
    area = Rect(*RIGHT)
    for place, trial in enumerate(trials.trials):
        live = trials.workspace._computing._lives[trials._asked[trial.id].request.key]
        expected = to_screen(live.denoising.blended(trial.wanted, trial.values.blend, area), (0.0, 1.0))
        assert np.array_equal(trials.screens[place][area.slices], expected)


def test_a_defect_is_told_and_stops_what_is_not_done(trials, qtbot, monkeypatch):
    def broken(self, tile, passes):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Denoising, "_advance", broken)
    trials.fill_all()
    qtbot.waitUntil(lambda: bool(trials.workspace.errors), timeout=PATIENCE_MS)
    assert {trial.state for trial in trials.trials} == {State.FAILED}
    assert "unforeseen" in trials.workspace.errors[0]
    monkeypatch.undo()
    trials.end()
    assert not trials.is_on


# RAW


@pytest.fixture
def raw(trials, qtbot, tmp_path):
    """Trials of a RAW picture that is denoised on its mosaic."""
    light = recorded(from_srgb(picture(120, 160).astype(np.float32)))
    noise = 0.02 * np.random.default_rng(0).standard_normal(light.shape)
    workspace = trials.workspace
    workspace.open([write_dng(tmp_path / "a.dng", samples_of(light + noise))])
    qtbot.waitUntil(lambda: workspace.current.name == "a.dng" and trials.can_try, timeout=PATIENCE_MS)
    return trials


def test_a_raw_picture_can_be_tried(raw, calls, qtbot):
    raw.fill_all()
    wait(raw, qtbot)
    assert [trial.state for trial in raw.trials] == [State.DONE] * 4
    assert len(raw.screens) == 4
    assert number(raw.trials[0].numbers) == "PSNR not estimated"
    assert "before it was developed" in raw.trials[0].numbers.estimate.reason


def test_another_development_is_shown_in_all_panes(raw, calls, qtbot):
    values = raw.workspace.values
    try_values(raw, values, dataclasses.replace(values, strength=0.5))
    wait(raw, qtbot)
    before = {place: pixels.copy() for place, pixels in raw.screens.items()}
    del calls[:]
    raw.workspace.change_develop(exposure=1.0)
    qtbot.waitUntil(lambda: raw.workspace.opened.picture.image.develop.exposure == 1.0, timeout=PATIENCE_MS)
    wait(raw, qtbot)
    assert calls == []
    assert [trial.values.develop.exposure for trial in raw.trials] == [1.0, 1.0]
    for place, pixels in before.items():
        assert raw.screens[place][:64, :64].mean() > pixels[:64, :64].mean() + 20


# Memory


def test_four_large_results_stay_within_the_memory_for_results(trials, qtbot):
    workspace = trials.workspace
    workspace.change_settings(memory_mb=1)
    values = workspace.values
    try_values(trials, *(with_params(values, alpha=alpha) for alpha in (0.3, 0.4, 0.5, 0.6)))
    wait(trials, qtbot)
    lives = list(workspace._computing._lives.values())
    assert len(lives) == 4
    assert sum(live.denoising.budget for live in lives) <= 1 << 20
    assert all(live.denoising._used <= live.denoising.budget for live in lives)
    for place, trial in enumerate(trials.trials):
        check_screen(trials, place, trial.values)
    trials.keep(2)
    wait_done(workspace, qtbot)
    assert len(workspace._computing._lives) == 1


def test_all_models_stay_loaded_while_they_are_shown(workspace, qtbot, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        install(name)
    workspace.refresh_models()
    qtbot.waitUntil(lambda: len(workspace.catalog.models) == 5, timeout=PATIENCE_MS)
    workspace.open([noisy_file(tmp_path / "noisy.tif", 140, 250)])
    qtbot.waitUntil(lambda: workspace.request_of(workspace.values) is not None, timeout=PATIENCE_MS)
    workspace.set_viewport(LEFT)
    trials = Trials(workspace)
    try_values(trials, *(Values("r2r", name) for name in ("tiny", "a", "b", "c")))
    wait(trials, qtbot)
    assert len(workspace._computing._models) == 4
    assert [trial.title for trial in trials.trials] == ["tiny", "a", "b", "c"]


# The bar and the view


class View(QObject):
    """What the view is told."""

    grid_chosen = Signal(int)
    mode_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.mode, self.count, self.captions, self.updated, self.cleared = "wipe", 0, {}, set(), []

    def set_mode(self, mode: str) -> None:
        if mode != self.mode:
            self.mode = mode
            self.mode_changed.emit(mode)

    def set_grid(self, count: int) -> None:
        self.count = count

    def set_grid_mark(self, index: int) -> None:
        assert index < self.count
        self.mark = index

    def set_grid_picture(self, index: int, pixels: object) -> None:
        assert index < self.count
        self.cleared.append(index)

    def update_grid(self, index: int, pixels: np.ndarray, x: int, y: int) -> None:
        assert index < self.count
        self.updated.add(index)

    def set_grid_caption(self, index: int, title: str, detail: str) -> None:
        self.captions[index] = (title, detail)


def test_the_view_shows_a_grid_until_one_is_clicked(trials, qtbot):
    view = View()
    connection = Connection(trials, view)
    trials.fill_all()
    assert (view.mode, view.count) == ("grid", 4)
    wait(trials, qtbot)
    assert view.updated == {0, 1, 2, 3}
    assert view.mark == 0
    trials.mark(2)
    assert view.mark == 2
    assert view.captions[1][0] == "2  Single network"
    assert view.captions[1][1].startswith("estimated ")
    view.grid_chosen.emit(1)
    assert trials.workspace.values.method == "plain"
    assert view.mode == "wipe"
    del connection


def test_another_mode_of_the_view_ends_it(trials, qtbot):
    view = View()
    connection = Connection(trials, view)
    trials.fill_all()
    view.set_mode("side")
    assert not trials.is_on
    assert view.mode == "side"
    del connection


@pytest.fixture
def bar(trials, qtbot):
    made = TrialsBar(trials)
    qtbot.addWidget(made)
    made.resize(560, 60)
    made.show()
    return made


def test_the_buttons_say_number_title_and_state(bar, qtbot):
    assert not any(cell.isVisible() for cell in bar.cells)
    bar.activateWindow()
    bar.fill.setFocus()
    bar.fill.click()
    wait(bar.trials, qtbot)
    assert all(cell.isVisible() for cell in bar.cells)
    name = bar.cells[1].choose.accessibleName()
    assert name.startswith("Result 2: Single network; estimated ")
    assert not bar.fill.isVisible()
    assert bar.cells[0].choose.hasFocus()
    assert bar.cells[0].choose.isChecked()
    bar.cells[1].choose.click()
    assert [cell.choose.isChecked() for cell in bar.cells] == [False, True, False, False]
    assert "✓" in bar.cells[1].choose.text()
    bar.cells[3].remove.click()
    assert [cell.isVisible() for cell in bar.cells] == [True, True, True, False]
    bar.cells[1].keep.click()
    assert bar.trials.workspace.values.method == "plain"
    assert not bar.done.isVisible()


def test_a_result_without_an_estimate_says_so_briefly_and_why_at_its_button(bar, qtbot):
    bar.fill.click()
    wait(bar.trials, qtbot)
    trial = bar.trials.trials[1]
    numbers = dataclasses.replace(trial.numbers, estimate=Estimate(None, None, "the noise is no noise"))
    assert number(numbers) == "PSNR not estimated"
    bar.cells[1].show_trial(dataclasses.replace(trial, numbers=numbers), is_marked=False)
    for said in (bar.cells[1].choose.accessibleName(), bar.cells[1].choose.toolTip()):
        assert "the noise is no noise" in " ".join(said.split())


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("count", [3, 4])
def test_a_narrow_bar_cuts_nothing_off(bar, qtbot, scale, count):
    font = QApplication.font()
    font.setPointSizeF(font.pointSizeF() * scale)
    bar.setFont(font)
    bar.trials.fill_all()
    wait(bar.trials, qtbot)
    if count == 3:
        bar.trials.remove(3)
    QApplication.processEvents()
    bar.resize(560, bar.heightForWidth(560))
    buttons = [bar.done, *([bar.fill, bar.add] if count == 3 else [])]
    buttons += [button for cell in bar.cells[:count] for button in (cell.choose, cell.keep, cell.remove)]
    for button in buttons:
        assert button.isVisible()
        corner = button.mapTo(bar, button.rect().bottomRight())
        assert bar.rect().contains(corner), button.accessibleName()
        assert button.width() >= button.minimumSizeHint().width()
        assert button.height() >= button.minimumSizeHint().height()


def test_every_button_has_a_name_and_takes_the_focus(bar, qtbot):
    bar.trials.fill_all()
    wait(bar.trials, qtbot)
    seen, widget = set(), bar.fill
    bar.fill.setFocus()
    for _ in range(20):
        seen.add(widget.accessibleName())
        widget = widget.nextInFocusChain()
    assert all(button.accessibleName() in seen for cell in bar.cells for button in (cell.choose, cell.keep))


def test_what_is_copied_while_trials_are_shown_is_the_marked_one(trials, qtbot):
    workspace = trials.workspace
    workspace.set_viewport((0, 0, 250, 140))
    workspace.denoise()
    wait_done(workspace, qtbot)
    try_values(trials, workspace.values, with_params(workspace.values, alpha=1.0))
    trials.mark(1)
    wait(trials, qtbot)
    with qtbot.waitSignal(workspace.copied, timeout=PATIENCE_MS) as copied:
        workspace.copy_result()
    whole = Rect(0, 0, 250, 140)
    assert np.array_equal(copied.args[0], to_screen(direct(workspace, trials.trials[1].values, whole), (0.0, 1.0)))


def test_a_picture_that_comes_to_another_screen_brings_its_trials_there(trials, qtbot):
    trials.add_current()
    wait(trials, qtbot)
    shown = trials.screens.pop(0)
    trials.workspace.picture_ready.emit()
    wait(trials, qtbot)
    assert np.array_equal(trials.screens[0], shown)


def test_nothing_is_measured_in_the_place_of_a_marked_one_that_is_not_there(trials, qtbot):
    workspace = trials.workspace
    try_values(trials, workspace.values, dataclasses.replace(workspace.values, method="n2n"))
    qtbot.waitUntil(lambda: trials.trials[0].state is State.DONE, timeout=PATIENCE_MS)
    assert workspace.shown.denoising is not None
    trials.mark(1)
    qtbot.waitUntil(lambda: trials._job is None and not trials._rest.isActive(), timeout=PATIENCE_MS)
    assert trials.trials[1].state is State.FAILED
    assert workspace.shown.denoising is None
