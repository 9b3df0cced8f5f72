"""Strength, luminance, chroma and areas: what they change, what they leave alone, and that no cut through a picture
shows."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_denoise import SIGMA, denoise, noisy_image

from app import cli
from engine import paths
from engine.areas import BRUSH, EDGE, RECTANGLE, Area, Areas
from engine.blend import Blend, luminance_of
from engine.checkpoint import save_checkpoint
from engine.denoise import Denoising
from engine.encode import save_image
from engine.image import Image
from engine.methods.r2r import R2RParams
from engine.tiles import Rect, grid
from models import checkpoint, model

HEIGHT, WIDTH = 70, 90
WHOLE = Rect(0, 0, WIDTH, HEIGHT)

FACTORS = st.sampled_from([0.0, 0.3, 1.0, 1.2])
PLACES = st.floats(-20, 110, width=32)
POINTS = st.tuples(PLACES, PLACES)
AREAS = st.builds(
    Areas,
    FACTORS,
    st.lists(
        st.builds(Area, st.just(RECTANGLE), st.tuples(POINTS, POINTS), st.just(0.0), FACTORS)
        | st.builds(
            Area, st.just(BRUSH), st.lists(POINTS, min_size=1, max_size=4).map(tuple), st.floats(0.2, 25), FACTORS
        ),
        max_size=3,
    ).map(tuple),
)
BLENDS = st.builds(Blend, FACTORS, FACTORS, FACTORS, st.just(0.0), AREAS)


def pair(channels=3, height=HEIGHT, width=WIDTH):
    rng = np.random.default_rng(0)
    return (rng.random((height, width, channels), np.float32) for _ in range(2))


def factors(areas, area):
    found = areas.factors(area)
    return np.ones((area.height, area.width), np.float32) if found is None else found


@settings(max_examples=60, deadline=None)
@given(areas=AREAS, side=st.integers(7, 60))
def test_factors_of_a_part_are_those_of_the_whole(areas, side):
    whole = factors(areas, WHOLE)
    for part in grid(WHOLE, side):
        assert np.array_equal(factors(areas, part), whole[part.slices])


@settings(max_examples=60, deadline=None)
@given(blend=BLENDS, channels=st.sampled_from([1, 3, 4]), side=st.integers(9, 60))
def test_a_mixed_part_is_that_of_the_whole(blend, channels, side):
    denoised, noisy = pair(channels)
    whole = blend.mix(denoised.copy(), noisy, WHOLE)
    for part in grid(WHOLE, side):
        mixed = blend.mix(denoised[part.slices].copy(), noisy[part.slices], part)
        assert np.array_equal(mixed, whole[part.slices])


@settings(max_examples=60, deadline=None)
@given(areas=AREAS, area=st.builds(Rect, st.integers(0, 40), st.integers(0, 30), st.integers(45, 90), st.just(70)))
def test_where_one_factor_is_said_to_hold_it_holds(areas, area):
    even = areas.even(area)
    assume(even is not None)
    assert np.array_equal(np.unique(factors(areas, area)), [np.float32(even)])


@settings(max_examples=60, deadline=None)
@given(areas=AREAS)
def test_factors_lie_between_those_that_are_set(areas):
    found = factors(areas, WHOLE)
    said = [areas.outside, *(place.strength for place in areas.places)]
    assert min(said) - 1e-6 <= found.min()
    assert found.max() <= max(said) + 1e-6


def test_inside_a_rectangle_its_strength_holds_and_fades_outside():
    areas = Areas(1.0, (Area(RECTANGLE, ((60, 50), (20, 10)), strength=0.25),))
    found = areas.factors(WHOLE)
    assert (found[10:50, 20:60] == 0.25).all()
    beside = found[30, 60:70]
    assert (np.diff(beside) >= 0).all()
    assert 0.25 < beside[0] < beside[1] < 1
    assert (beside[int(EDGE) :] == 1).all()


def test_a_brush_covers_its_path_and_nothing_beyond_its_radius():
    areas = Areas(0.0, (Area(BRUSH, ((20, 20), (60, 20), (60, 50)), 8.0, 1.0),))
    found = areas.factors(WHOLE)
    y, x = (axis + 0.5 for axis in np.mgrid[:HEIGHT, :WIDTH])
    across, down = np.clip(x, 20, 60), np.clip(y, 20, 50)
    distance = np.minimum(np.hypot(x - across, y - 20), np.hypot(x - 60, y - down))
    assert (found[distance <= 0.7 * 8 - 0.01] == 1).all()
    assert (found[distance >= 8.01] == 0).all()
    soft = (distance > 0.7 * 8 + 0.01) & (distance < 7.99)
    assert ((found[soft] > 0) & (found[soft] < 1)).all()


def test_a_later_place_lies_over_the_earlier_ones():
    below, above = (Area(RECTANGLE, ((0, 0), (60, 60)), strength=s) for s in (0.2, 0.9))
    assert Areas(1.0, (below, above)).factors(WHOLE)[30, 30] == np.float32(0.9)
    assert Areas(1.0, (above, below)).factors(WHOLE)[30, 30] == np.float32(0.2)


def test_places_elsewhere_cost_nothing(monkeypatch):
    areas = Areas(1.0, (Area(BRUSH, ((10, 10), (20, 20)), 5.0), Area(RECTANGLE, ((0, 0), (30, 30)))))
    monkeypatch.setattr(Area, "cover", lambda *given: pytest.fail("It does not meet the region"))
    assert areas.factors(Rect(40, 40, 90, 70)) is None


def test_what_is_protected_stays_as_it_was_to_the_bit():
    denoised, noisy = pair()
    blend = Blend(1.2, 0.7, 1.1, areas=Areas(1.0, (Area(RECTANGLE, ((10, 10), (40, 40))),)))
    mixed = blend.mix(denoised, noisy, WHOLE)
    assert np.array_equal(mixed[10:40, 10:40], noisy[10:40, 10:40])
    assert not np.array_equal(mixed, noisy)


def test_without_chroma_only_the_luminance_changes_and_without_luminance_only_the_colours():
    denoised, noisy = pair()
    grey = Blend(chroma=0.0).mix(denoised.copy(), noisy, WHOLE)
    change = grey - noisy
    assert np.abs(change - change[..., :1]).max() < 1e-6
    assert np.allclose(luminance_of(grey), luminance_of(denoised), atol=1e-6)
    coloured = Blend(luminance=0.0).mix(denoised.copy(), noisy, WHOLE)
    assert np.allclose(luminance_of(coloured), luminance_of(noisy), atol=1e-6)
    assert np.allclose(grey - noisy + coloured, denoised, atol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.2])
def test_luminance_and_chroma_alike_are_another_strength(factor):
    denoised, noisy = pair()
    alike = Blend(0.8, factor, factor).mix(denoised.copy(), noisy, WHOLE)
    assert np.array_equal(alike, Blend(0.8 * factor).mix(denoised.copy(), noisy, WHOLE))
    grey = [plane[..., :1] for plane in (denoised, noisy)]
    expected = Blend(0.8 * factor).mix(grey[0].copy(), grey[1], WHOLE)
    assert np.array_equal(Blend(0.8, factor, 0.1).mix(grey[0].copy(), grey[1], WHOLE), expected)


@settings(max_examples=40, deadline=None)
@given(blend=BLENDS)
def test_a_blend_keeps_the_mean_intensity_where_it_says_so(blend):
    denoised, noisy = pair(height=24, width=30)
    denoised += (noisy - denoised).mean((0, 1))
    mixed = blend.mix(denoised, noisy, Rect(0, 0, 30, 24))
    if blend.conserves_mean:
        assert np.allclose(mixed.mean((0, 1)), noisy.mean((0, 1)), atol=2e-6)


def test_a_picture_with_a_protected_place_does_not_claim_to_keep_its_mean():
    assert Blend(0.5, 0.7, 1.1).conserves_mean
    assert not Blend(guard=1.0).conserves_mean
    assert not Blend(areas=Areas(1.0, (Area(RECTANGLE, ((0, 0), (9, 9))),))).conserves_mean


@pytest.fixture(scope="module")
def work():
    return denoise(model(), noisy_image(64, 96)[0], 2, tile=32)


@pytest.mark.parametrize(
    ("blend", "reason"),
    [
        (Blend(chroma=0.5), "luminance and chroma"),
        (Blend(guard=1.0), "detail guard"),
        (Blend(areas=Areas(1.0, (Area(RECTANGLE, ((0, 0), (40, 20))),))), "not the same everywhere"),
    ],
)
def test_what_the_estimate_does_not_know_it_says_in_one_sentence(work, blend, reason):
    estimate = work.estimate(2, blend)
    assert estimate.psnr_db is None
    assert reason in estimate.reason


def test_one_strength_for_a_whole_region_is_estimated_whatever_it_is_made_of(work):
    half = work.estimate(2, Blend(0.5)).psnr_db
    assert work.estimate(2, Blend(1.0, 0.5, 0.5)).psnr_db == half
    assert work.estimate(2, Blend(areas=Areas(0.5))).psnr_db == half
    grey = denoise(model(1), noisy_image(64, 64, 1)[0], 2)
    assert grey.estimate(2, Blend(1.0, 0.5, 1.0)).psnr_db == grey.estimate(2, Blend(0.5)).psnr_db
    # Where no place is, and where one is all there is.
    areas = Areas(1.0, (Area(RECTANGLE, ((0, 0), (32, 64)), strength=0.5),))
    for area, strength in ((Rect(0, 0, 32, 64), 0.5), (Rect(64, 0, 96, 64), 1.0)):
        expected = work.estimate(2, Blend(strength), area=area)
        assert work.estimate(2, Blend(areas=areas), area=area) == expected
        assert expected.psnr_db is not None
    assert work.estimate(2, Blend(areas=areas), area=Rect(32, 0, 64, 64)).psnr_db is None


@pytest.mark.parametrize("guard", [0.0, 1.5])
def test_finishing_in_place_gives_what_the_window_shows(guard):
    image, _ = noisy_image(64, 96)
    areas = Areas(0.5, (Area(BRUSH, ((10, 10), (80, 50)), 12.0, 1.0), Area(RECTANGLE, ((40, 0), (60, 30)))))
    blend = Blend(0.9, 0.8, 1.1, guard, areas)
    shown = denoise(model(), image, 2, tile=32)
    whole = shown.blended(2, blend)
    assert np.array_equal(denoise(model(), image, 2, tile=32, keep=False).finish(2, blend), whole)
    part = Rect(5, 9, 77, 50)
    assert np.array_equal(shown.blended(2, blend, part), whole[part.slices])


def test_how_a_result_was_mixed_is_written_down():
    blend = Blend(0.9, 0.8, 1.1, 1.5, Areas(0.5, (Area(RECTANGLE, ((0, 0), (9, 9))),)))
    made = Denoising(model(), Image(np.zeros((8, 8, 3), np.float32)), R2RParams(), sigma=SIGMA).provenance(
        2, blend, True
    )
    assert Blend(made.strength, made.luminance, made.chroma, made.guard, made.areas) == blend


def test_the_command_line_takes_luminance_and_chroma_and_writes_them_down(capsys, tmp_path):
    save_checkpoint(checkpoint(), paths.models() / "color.safetensors")
    source = tmp_path / "a.png"
    save_image(Image(noisy_image(60, 70)[0].pixels), source)
    given = ["denoise", str(source), "--sigma", "20", "--passes", "2", "--sidecar", "-o"]
    target = tmp_path / "b.tif"
    assert cli.main([*given, str(target), "--strength", "0.9", "--luminance", "0.5", "--chroma", "1.2"]) == 0
    assert "luminance and chroma" in capsys.readouterr().out
    made = json.loads((tmp_path / "b.tif.json").read_text())
    assert [made[name] for name in ("strength", "luminance", "chroma")] == [0.9, 0.5, 1.2]
    assert made["areas"] == {"outside": 1.0, "places": []}
    assert cli.main([*given, str(tmp_path / "c.tif"), "--chroma", "1.3"]) == 2
    assert "--chroma must be 0 to 1.2, not 1.3" in capsys.readouterr().err
