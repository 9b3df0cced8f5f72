"""The window shows how a RAW picture is developed, develops it anew at a change, and keeps the passes it has made."""

import numpy as np
import pytest
from dng import recorded, samples_of, write_dng
from opened import noisy_file
from test_workspace import (  # noqa: F401 - fixtures
    PATIENCE_MS,
    Screen,
    calls,
    known_noise,
    opened,
    real_noise,
    small_tiles,
    wait_done,
    workspace,
)

from app.controls import Controls
from app.screen import to_screen
from app.workspace import Workspace
from conftest import picture
from engine.areas import RECTANGLE, Area, Areas
from engine.develop import Develop, from_srgb
from engine.tiles import Rect


@pytest.fixture
def raw_file(tmp_path):
    light = recorded(from_srgb(picture(120, 160).astype(np.float32)))
    noise = 0.02 * np.random.default_rng(0).standard_normal(light.shape)
    return write_dng(tmp_path / "a.dng", samples_of(light + noise))


@pytest.fixture
def raw(workspace, qtbot, raw_file):  # noqa: F811
    workspace.open([raw_file])
    wait_done(workspace, qtbot)
    return workspace


def wait_developed(workspace: Workspace, qtbot, **expected) -> None:  # noqa: F811
    def is_there() -> bool:
        how = workspace.opened.picture.image.develop
        return all(getattr(how, name) == value for name, value in expected.items()) and workspace.is_done

    qtbot.waitUntil(is_there, timeout=PATIENCE_MS)
    wait_done(workspace, qtbot)


def test_a_raw_picture_is_denoised_by_the_grey_model_on_its_mosaic(raw):
    assert raw.running.model == "tiny-grey"
    assert "mosaic" in raw.opened.report.reason
    assert "before it was developed" in raw.numbers.estimate.reason


def test_another_development_is_shown_without_a_new_pass_and_can_be_undone(raw, qtbot, calls):  # noqa: F811
    screen = Screen(raw)
    screen.begin()
    before = raw.opened.picture.image.pixels
    made = len(calls)
    raw.change_develop(exposure=1.0)
    wait_developed(raw, qtbot, exposure=1.0)
    image = raw.opened.picture.image
    assert image.pixels.mean() > before.mean() + 0.1
    assert len(calls) == made
    denoised = to_screen(image.pixels, image.levels)
    assert screen.pixels.shape == denoised.shape
    assert not np.array_equal(screen.pixels, denoised)
    assert abs(screen.pixels.mean() - denoised.mean()) < 8
    raw.undo()
    wait_developed(raw, qtbot, exposure=0.0)
    assert np.array_equal(raw.opened.picture.image.pixels, before)


def test_denoising_after_developing_takes_the_colour_model(raw, qtbot):
    raw.change_develop(domain="picture")
    wait_developed(raw, qtbot, domain="picture")
    assert raw.running.model == "tiny"


def test_exposure_and_white_balance_stay_with_their_picture_and_curve_and_domain_go_on(raw, qtbot, tmp_path):
    raw.change_develop(exposure=2.0, white="auto", curve="linear")
    wait_developed(raw, qtbot, exposure=2.0)
    other = raw.entries[0].path.rename(tmp_path / "b.dng")
    raw.open([other])
    wait_developed(raw, qtbot, exposure=0.0)
    assert raw.values.develop == Develop(curve="linear")


def test_the_group_is_there_for_raw_pictures_alone_and_says_what_is_wrong(raw, qtbot, tmp_path):
    panel = Controls(raw)
    qtbot.addWidget(panel)
    group = panel.raw
    assert not group.isHidden()
    assert group.white.currentData() == "camera"
    group.exposure.setValue(0.5)
    wait_developed(raw, qtbot, exposure=0.5)
    group.white.setCurrentIndex(group.white.findData("numbers"))
    group.white.activated.emit(group.white.currentIndex())
    # What the camera says is where one begins from.
    assert raw.values.develop.white == "2,1,1.54"
    assert not group.numbers.isHidden()
    panel.show()
    group.numbers.setText("1,2")
    group.numbers.setModified(True)
    group.numbers.editingFinished.emit()
    assert "three multipliers" in group.note.text()
    assert raw.values.develop.white == "2,1,1.54"
    raw.open([noisy_file(tmp_path / "n.png")])
    qtbot.waitUntil(lambda: raw.opened is not None and not raw.opened.picture.image.is_raw, timeout=PATIENCE_MS)
    assert group.isHidden()


def test_a_result_of_another_development_is_taken_away_where_no_new_one_is_made(raw, qtbot):
    raw.cancel()
    cleared = []
    raw.result_cleared.connect(lambda: cleared.append(raw.opened.picture.image.develop.exposure))
    raw.change_develop(exposure=1.0)
    qtbot.waitUntil(
        lambda: raw.opened.picture.image.develop.exposure == 1.0 and raw.opened.is_measured, timeout=PATIENCE_MS
    )
    assert cleared == [1.0]
    assert raw.shown.denoising is None


def test_a_place_protects_the_developed_picture_without_a_new_pass(raw, qtbot, calls):  # noqa: F811
    made = len(calls)
    raw.set_areas(Areas(1.0, (Area(RECTANGLE, ((20.0, 20.0), (60.0, 70.0))),)))
    wait_done(raw, qtbot)
    area = Rect(20, 20, 60, 70)
    result, noisy = raw.shown.result(area), raw.shown.noisy(area)
    assert np.array_equal(result, noisy)
    assert not np.array_equal(raw.shown.result(area.moved(60, 0)), raw.shown.noisy(area.moved(60, 0)))
    assert len(calls) == made
