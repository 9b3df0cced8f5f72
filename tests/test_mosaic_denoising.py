"""On the mosaic: the noise is found and made alike, nothing is biased, and parts fit together as in any denoising."""

from dataclasses import replace

import numpy as np
import pytest
from dng import recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import picture
from engine import params
from engine.blend import Blend
from engine.denoise import Denoising, load_model
from engine.develop import XYZ_TO_SRGB, Develop, from_srgb, settle
from engine.image import Image
from engine.metrics import psnr
from engine.mosaic import PATTERNS, Mosaic, unpack
from engine.mosaic_denoising import MosaicDenoising, begin
from engine.noise import NoiseError, measure_noise
from engine.stabilisation import Stabiliser, channels, measure, noise_line, stabiliser
from engine.tiles import Rect
from models import model

SLOPE, OFFSET = 0.004, 0.004**2


def camera(pixels, pattern="RGGB"):
    return Mosaic(pixels.astype(np.float32), pattern, np.array([0.5, 1.0, 0.65]), XYZ_TO_SRGB)


def noisy(clean, seed=0, slope=SLOPE, offset=OFFSET):
    """With the noise of photons and electronics."""
    rng = np.random.default_rng(seed)
    return rng.poisson(np.maximum(clean, 0) / slope) * slope + np.sqrt(offset) * rng.standard_normal(clean.shape)


def shot(height=120, width=160, pattern="RGGB", how=Develop(), **details):
    """The clean mosaic of a scene, and the noisy picture."""
    clean = recorded(from_srgb(picture(height, width).astype(np.float32)), pattern)
    mosaic = camera(noisy(clean, **details), pattern)
    pixels = settle(mosaic, how).develop(mosaic.pixels)
    return camera(clean, pattern), Image(pixels, None, 16, mosaic=mosaic, develop=how)


def denoising(image, channels=1, passes=2, sigma=None, **details):
    made = model(channels)
    values = params.make(made.method.Params, {"passes": passes}, {})
    sigma = measure(image).level if sigma is None else sigma
    return begin(made, image, values, sigma=sigma, report=measure(image), tile=32, **details)


# ---- The noise and its stabilisation ----


@settings(max_examples=20, deadline=None)
@given(st.floats(2e-4, 0.01), st.floats(0.0005, 0.02), st.floats(0.05, 0.9))
def test_stabilised_noise_varies_alike_in_dark_and_bright_and_its_inverse_does_not_bias(slope, read, light):
    lines = np.tile((slope, read**2), (4, 1))
    found = Stabiliser(lines, 7.0)
    planes = noisy(np.full((150, 150, 4), light), 1, slope, read**2)
    stabilised = found.forward(planes)
    assert stabilised.std() == pytest.approx(found.sigma, rel=0.08)
    mean = stabilised.mean((0, 1), dtype=np.float64).astype(np.float32)[None, None]
    # 22,500 samples a plane: their own mean is that uncertain.
    uncertain = 5 * np.sqrt((slope * light + read**2) / 22500)
    assert np.abs(found.inverse(mean) - light).max() < 0.004 * light + uncertain


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 0.02), st.floats(0.0, 0.02))
def test_more_light_is_more_after_stabilising_and_after_its_inverse(slope, read):
    found = Stabiliser(np.tile((slope, read**2), (4, 1)), 5.0)
    light = np.linspace(-0.1, 1, 200).reshape(-1, 1, 1).repeat(4, 2)
    assert (np.diff(found.forward(light), axis=0) >= 0).all()
    assert (np.diff(found.inverse(np.linspace(-0.5, 2, 300).reshape(-1, 1, 1).repeat(4, 2)), axis=0) >= -1e-7).all()


@pytest.mark.parametrize("read", [0.003, 0.03, 0.1])
def test_no_shade_is_lost_where_the_noise_does_not_grow_with_light(read):
    found = Stabiliser(np.tile((1e-7, read**2), (4, 1)), 5.0)
    light = np.linspace(0, 0.2, 3001, dtype=np.float32).reshape(-1, 1, 1).repeat(4, 2)
    assert np.abs(found.inverse(found.forward(light)) - light).max() < 1e-6


@pytest.mark.parametrize(("slope", "read"), [(0.0005, 0.002), (0.004, 0.004), (0.01, 0.01)])
def test_the_noise_of_a_sensor_is_found_in_one_picture(slope, read):
    _, image = shot(256, 320, slope=slope, offset=read**2)
    a, b = noise_line(image.mosaic)
    for light in (0.05, 0.2, 0.6):
        assert np.sqrt(a * light + b) == pytest.approx(np.sqrt(slope * light + read**2), rel=0.15)


def test_a_table_of_the_camera_s_noise_is_believed():
    _, image = shot()
    table = np.array([[0.001, 1e-5], [0.002, 2e-5], [0.003, 3e-5]])
    assert np.array_equal(stabiliser(replace(image.mosaic, noise=table)).lines, table[[0, 1, 1, 2]])


def test_a_mosaic_too_small_to_measure_says_so():
    with pytest.raises(NoiseError, match="from 48x48 pixels on, this has 60x40"):
        noise_line(camera(np.zeros((40, 60))))


def test_a_clean_mosaic_is_left_as_it_is():
    _, image = shot()
    # What is rounded to 14 bits holds next to no noise.
    pixels = np.rint(np.broadcast_to(np.linspace(0.1, 0.6, 160), (120, 160)) * 16383) / 16383
    report = measure(replace(image, mosaic=camera(pixels)))
    assert report.is_clean
    assert report.level == 0


def test_the_report_is_about_where_it_is_denoised():
    _, image = shot()
    on_mosaic, developed = measure(image), replace(image, develop=Develop(domain="picture"))
    assert on_mosaic.is_white
    assert on_mosaic.level == stabiliser(image.mosaic).sigma
    assert measure(developed) == measure_noise(image)
    assert (channels(image), channels(developed), channels(Image(image.pixels))) == (4, 3, 3)


# ---- Denoising ----


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("network", [1, 4])
def test_any_part_is_that_part_of_the_whole_and_the_whole_is_what_is_saved(pattern, network):
    _, image = shot(112, 140, pattern)
    work = denoising(image, network)
    assert isinstance(work, MosaicDenoising)
    for _ in work.run(2):
        pass
    whole = work.finish(2, Blend(0.8, guard=1.5))
    assert whole.shape == image.pixels.shape
    for area in (Rect(0, 0, 140, 112), Rect(31, 17, 33, 18), Rect(5, 60, 139, 111), Rect(0, 111, 140, 112)):
        assert np.allclose(work.blended(2, Blend(0.8, guard=1.5), area), whole[area.slices], atol=2e-6)
    assert np.abs(whole - image.pixels).max() > 0.01


@pytest.mark.parametrize("network", [1, 4])
def test_spread_is_about_that_of_the_developed_passes(network):
    _, image = shot()
    work, made = denoising(image, network), 8
    assert work.spread() is None
    for passes in range(1, made + 1):
        work.keep(passes)
    for _ in work.run(made):
        pass
    planes, developed = work._planes, []
    for passes in range(1, made + 1):
        before = (passes - 1) * planes.mean(passes - 1) if passes > 1 else 0
        light = work._stabiliser.inverse(work._colours(passes * planes.mean(passes) - before))
        developed.append(work._pipeline.develop(unpack(light, image.mosaic.pattern)))
    expected = np.sqrt(np.var(developed, 0, ddof=1).mean(-1, keepdims=True))
    spread = work.spread()
    assert work.spread_passes() == made
    assert 0.85 < np.median(spread / expected) < 1.2
    part = Rect(31, 17, 77, 90)
    assert np.allclose(work.spread(part), spread[part.slices], atol=1e-6)


def test_a_mean_intensity_that_is_not_kept_is_not_claimed():
    _, image = shot(how=Develop(curve="linear"), slope=0.02)
    work = denoising(image, 1)
    for _ in work.run(2):
        pass
    apart = np.abs(work.finish(2, Blend()).mean((0, 1)) / image.pixels.mean((0, 1)) - 1).max()
    assert apart > 1e-5
    assert not work.conserves_mean


def test_no_strength_and_no_noise_give_the_developed_picture():
    _, image = shot()
    work = denoising(image)
    for _ in work.run(2):
        pass
    assert np.allclose(work.blended(2, Blend(0.0)), image.pixels, atol=1e-6)
    alone = denoising(image, sigma=0.0)
    assert list(alone.run(2)) == []
    assert alone.has(2)
    assert alone.finish(2, Blend()) is image.pixels
    assert alone.estimate(2).reason == "nothing was removed"


def test_what_is_seen_comes_first_and_all_tiles_are_told():
    _, image = shot(128, 192)
    work = denoising(image)
    seen = Rect(150, 100, 190, 126)
    steps = list(work.run(2, lambda: seen))
    assert steps[0].tile.meets(seen)
    covered = np.zeros((128, 192), bool)
    for step in steps:
        covered[step.tile.slices] = True
    assert covered.all()
    assert steps[-1].done == steps[-1].total
    assert work.has(2)
    assert not work.has(4)
    assert work.has(2, Rect(3, 5, 4, 6))


def test_a_run_goes_on_where_it_was_left():
    _, image = shot()
    whole, parts = denoising(image), denoising(image)
    for _ in whole.run(4):
        pass
    run = parts.run(4)
    next(run)
    run.close()
    for passes in (2, 4):
        for _ in parts.run(passes):
            pass
    assert np.array_equal(parts.blended(4, Blend()), whole.blended(4, Blend()))


def test_a_level_told_for_the_developed_picture_is_the_same_share_of_that_on_the_mosaic():
    _, image = shot()
    developed = measure_noise(image)
    made = model(1)
    values = params.make(made.method.Params, {"passes": 2}, {})
    same, own = (
        begin(made, image, values, sigma=level, report=report, tile=32)
        for level, report in ((developed.level, developed), (measure(image).level, measure(image)))
    )
    for work in (same, own):
        for _ in work.run(2):
            pass
    assert np.allclose(same.blended(2, Blend()), own.blended(2, Blend()), atol=1e-5)


def test_a_colour_model_denoises_the_developed_picture_by_the_level_measured_there():
    _, image = shot()
    assert type(denoising(image, 3)) is Denoising
    assert denoising(image, 3).sigma == pytest.approx(measure_noise(image).level)
    assert type(denoising(replace(image, develop=Develop(domain="picture")), 1)) is Denoising
    assert type(denoising(Image(image.pixels), 1)) is Denoising


def test_the_same_passes_serve_another_development():
    _, image = shot()
    work = denoising(image)
    for _ in work.run(2):
        pass
    how = Develop("1,1,1", 1.0, "linear")
    other = replace(image, pixels=settle(image.mosaic, how).develop(image.mosaic.pixels), develop=how)
    shared = work.developed(other)
    assert shared.has(2)
    anew = denoising(other)
    for _ in anew.run(2):
        pass
    assert np.array_equal(shared.blended(2, Blend(guard=1.0)), anew.blended(2, Blend(guard=1.0)))
    assert work.image is image


def test_how_it_was_made_is_kept_and_no_psnr_is_estimated():
    _, image = shot()
    work = denoising(image)
    for _ in work.run(2):
        pass
    made = work.provenance(2, Blend(), True)
    assert made.params["develop"] == {"white": "camera", "exposure": 0.0, "curve": "srgb", "domain": "mosaic"}
    assert made.sigma == pytest.approx(255 * measure(image).level)
    assert "before it was developed" in work.estimate(2).reason


@pytest.mark.bundled
def test_the_bundled_models_do_better_on_the_mosaic_than_after_developing():
    clean, image = shot(128, 160, slope=0.002, offset=0.003**2)
    truth = settle(clean, Develop()).develop(clean.pixels)
    reached = {}
    for domain in ("mosaic", "picture"):
        given = replace(image, develop=Develop(domain=domain))
        made = load_model(channels=channels(given), device="cpu")
        report = measure(given)
        work = begin(made, given, params.make(made.method.Params, {}, {}), sigma=report.level, report=report)
        for _ in work.run(2):
            pass
        reached[domain] = psnr(work.blended(2, Blend()), truth)
    assert reached["mosaic"] > reached["picture"] + 0.5
    assert reached["mosaic"] > psnr(image.pixels, truth) + 2
