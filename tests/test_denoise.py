"""What the inference loop promises: same numbers whatever the tiles, the order and the way T was reached."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import report
from test_large import lies_in_a_file

from conftest import picture
from engine.blend import Blend
from engine.denoise import DenoiseError, Denoising
from engine.field import NoiseField
from engine.image import Image
from engine.method import Task
from engine.methods.r2r import R2RParams
from engine.tiles import Rect
from models import checkpoint, model

SIGMA = 25 / 255


def noisy_image(height=61, width=83, channels=3, sigma=SIGMA, seed=0):
    clean = picture(height, width)[..., :channels].astype(np.float32)
    noise = sigma * np.random.default_rng(seed).standard_normal(clean.shape)
    return Image((clean + noise).astype(np.float32)), clean


def denoise(model_, image, passes, *, params=None, **options):
    work = Denoising(model_, image, params or R2RParams(), sigma=options.pop("sigma", SIGMA), **options)
    for _ in work.run(passes):
        pass
    return work


@pytest.fixture(scope="module")
def tiny():
    return model()


def test_tiled_result_matches_whole_image(tiny):
    image, _ = noisy_image(163, 171)
    tiled = denoise(tiny, image, 2, tile=32).mean(2)  # 6 x 6 tiles
    whole = denoise(tiny, image, 2, tile=1024).mean(2)
    assert np.abs(tiled - whole).max() < 1e-5


@pytest.mark.parametrize("arch", [{"levels": 3, "blocks": 2}, {"levels": 4}, {"network": "dncnn", "depth": 6}])
def test_margin_of_every_network_covers_its_receptive_field(arch):
    image, _ = noisy_image(150, 133, 1)
    deep = model(1, **arch)
    tiled, whole = (denoise(deep, image, 2, tile=side).mean(2) for side in (16, 1024))
    assert np.abs(tiled - whole).max() < 1e-5


def test_a_given_sigma_is_no_certain_one_where_the_noise_grows_with_brightness(tiny):
    image, _ = noisy_image()
    steady, growing = (report(sigma=0.8 * SIGMA, growth=growth) for growth in (0.0, 0.1))
    given = denoise(tiny, image, 2, report=growing)
    assert given.estimate(2, report=growing).band_db > 2 * given.estimate(2, report=steady).band_db
    followed = denoise(tiny, image, 2, report=growing, params=R2RParams(noise_model="signal-dependent"))
    assert followed.estimate(2, report=growing).band_db == followed.estimate(2, report=steady).band_db


def test_order_and_viewport_change_nothing(tiny):
    image, _ = noisy_image()
    plain = denoise(tiny, image, 4, tile=32)
    aimed = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    for _ in aimed.run(4, lambda: Rect(60, 30, 80, 60)):
        pass
    assert np.array_equal(plain.mean(4), aimed.mean(4))


def test_visible_tiles_come_first_and_finish_before_the_rest(tiny):
    image, _ = noisy_image()
    view = Rect(64, 32, 83, 61)
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    seen = [step.tile.meets(view) for step in work.run(4, lambda: view)]
    assert seen == sorted(seen, reverse=True)
    assert seen[0]
    assert not seen[-1]


def test_t8_extends_t4(tiny, monkeypatch):
    image, _ = noisy_image()
    grown = denoise(tiny, image, 4, tile=64)
    four = grown.mean(4)
    calls = []
    monkeypatch.setattr(tiny.network, "forward", counted(tiny.network.forward, calls))
    for _ in grown.run(8):
        pass
    assert sum(calls) == 4 * 2  # passes 5 to 8 of the two tiles, and none of the first four
    monkeypatch.undo()
    assert np.array_equal(grown.mean(4), four)
    assert np.allclose(grown.mean(8), denoise(tiny, image, 8, tile=64).mean(8), atol=1e-6)


def counted(forward, calls):
    def count(noisy, sigma):
        calls.append(len(noisy))
        return forward(noisy, sigma)

    return count


@pytest.mark.parametrize("passes", [1, 2, 3, 4, 6, 7, 16])
def test_running_mean_equals_mean_of_passes(tiny, passes):
    image, _ = noisy_image(40, 44)
    result = denoise(tiny, image, passes).mean(passes)
    noisy = torch.from_numpy(image.pixels.transpose(2, 0, 1)[None].copy())

    class Field:
        def unit(self, index, around=0):
            return torch.from_numpy(NoiseField(0, 3).unit(index, 0, 0, 40, 44))[None]

    with torch.inference_mode():
        run = tiny.method.passes(tiny.network, Task(noisy, SIGMA, R2RParams(), 0, Field()))
        mean = torch.stack([next(run).estimate for _ in range(passes)]).mean(0)
    assert np.abs(result - mean[0].permute(1, 2, 0).numpy()).max() < 1e-6


@pytest.mark.parametrize("way", [(8, 6), (8, 3), (1, 4), (3, 4), (16, 2, 6, 16), (6, 8, 7), (5, 1)])
def test_every_way_to_t_gives_the_same_mean(tiny, way):
    image, _ = noisy_image(40, 44)
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    for passes in way:
        for _ in work.run(passes):
            pass
        assert work.has(passes)
        expected = denoise(tiny, image, passes, tile=32)
        assert np.allclose(work.mean(passes), expected.mean(passes), atol=2e-6)
        ours, theirs = work.sums(passes), expected.sums(passes)
        assert ours.samples == theirs.samples == image.pixels.size
        assert ours.residual == pytest.approx(theirs.residual, rel=1e-4)
        assert ours.divergence == pytest.approx(theirs.divergence, rel=1e-4, abs=1e-4)


def test_lowering_t_calls_no_network(tiny, monkeypatch):
    image, _ = noisy_image()
    work = denoise(tiny, image, 16, tile=64)
    calls = []
    monkeypatch.setattr(tiny.network, "forward", counted(tiny.network.forward, calls))
    for passes in (8, 4, 2, 1):
        assert work.has(passes)
        assert np.allclose(work.mean(passes), denoise_uncounted(tiny, image, passes, monkeypatch), atol=1e-6)
    assert calls == []


def denoise_uncounted(model_, image, passes, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(model_.network, "forward", type(model_.network).forward.__get__(model_.network))
        return denoise(model_, image, passes, tile=64).mean(passes)


def test_a_run_that_was_stopped_goes_on_where_it_was(tiny):
    image, _ = noisy_image()
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    steps = work.run(4)
    for _ in range(5):
        next(steps)
    steps.close()
    rest = list(work.run(4))
    assert len(rest) == 6 * 2 - 5
    assert np.array_equal(work.mean(4), denoise(tiny, image, 4, tile=32).mean(4))


def test_running_out_of_memory_halves_the_tile_and_changes_nothing(tiny, monkeypatch):
    image, _ = noisy_image(130, 140)
    expected = denoise(tiny, image, 4, tile=64)
    forward = tiny.network.forward
    calls = []

    def short(noisy, sigma):
        calls.append(noisy.shape)
        # The second round of passes starts with less memory than the first.
        if noisy.shape[-1] > 64 and len(calls) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(noisy, sigma)

    monkeypatch.setattr(tiny.network, "forward", short)
    work = denoise(tiny, image, 4, tile=64)
    assert work.tile_side == 32
    assert np.abs(work.mean(4) - expected.mean(4)).max() < 1e-5
    assert work.sums(4).samples == image.pixels.size
    assert work.sums(4).divergence == pytest.approx(expected.sums(4).divergence, rel=1e-3)


def test_too_little_memory_for_any_tile_is_said_in_one_sentence(tiny, monkeypatch):
    def never(noisy, sigma):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tiny.network, "forward", never)
    with pytest.raises(DenoiseError, match="not enough memory on cpu"):
        denoise(tiny, noisy_image()[0], 2)


def test_sums_beyond_the_budget_live_in_a_file_and_come_out_the_same(tiny, home):
    image, _ = noisy_image()
    work = denoise(tiny, image, 8, tile=32, budget=0)
    assert lies_in_a_file(work._running)
    assert np.array_equal(np.asarray(work.mean(8)), denoise(tiny, image, 8, tile=32).mean(8))
    assert np.array_equal(np.asarray(work.mean(2)), denoise(tiny, image, 2, tile=32).mean(2))
    assert list((home / "cache").iterdir()) == []


@pytest.mark.parametrize("levels", [(0.0, 1 / 16), (0.0, 4.0), (100.0, 612.0)])
def test_the_same_picture_on_another_scale_gives_the_same_result(tiny, levels):
    image, _ = noisy_image()
    black, white = levels
    scaled = replace(image, pixels=image.pixels * np.float32(white - black) + np.float32(black), levels=levels)
    result = (denoise(tiny, scaled, 4).mean(4) - black) / (white - black)
    assert np.abs(result - denoise(tiny, image, 4).mean(4)).max() < 1e-4


def test_strength_blends_and_zero_gives_the_picture_back(tiny):
    image, _ = noisy_image()
    work = denoise(tiny, image, 2)
    assert np.allclose(work.blended(2, Blend(0.0)), image.pixels, atol=1e-6)
    half = image.pixels + 0.5 * (work.mean(2) - image.pixels)
    assert np.allclose(work.blended(2, Blend(0.5)), half, atol=1e-6)
    area = Rect(5, 7, 40, 33)
    assert np.array_equal(work.blended(2, Blend(0.5), area), work.blended(2, Blend(0.5))[area.slices])


@pytest.mark.parametrize(("passes", "strength"), [(1, 1.0), (3, 0.7), (4, 1.0), (4, 0.3)])
def test_finishing_in_place_gives_what_blending_gives(tiny, passes, strength):
    image, _ = noisy_image()
    image = replace(image, levels=(0.1, 0.9))
    expected = denoise(tiny, image, passes, tile=32).blended(passes, Blend(strength))
    finished = denoise(tiny, image, passes, tile=32, keep=False).finish(passes, Blend(strength))
    assert np.allclose(finished, expected, atol=1e-6)


def test_zero_sigma_leaves_the_picture_alone(tiny, monkeypatch):
    image, _ = noisy_image()
    monkeypatch.setattr(tiny.network, "forward", None)
    work = denoise(tiny, image, 4, sigma=0.0)
    assert work.has(4)
    assert np.array_equal(work.finish(4, Blend(1.0)), image.pixels)
    assert work.estimate(4).psnr_db is None


def test_a_grey_network_takes_a_colour_picture_channel_by_channel():
    grey = model(1)
    image, _ = noisy_image(40, 44)
    together = denoise(grey, image, 2, sigma=0.05).mean(2)
    red = replace(image, pixels=image.pixels[..., :1])
    assert np.allclose(together[..., :1], denoise(grey, red, 2, sigma=0.05).mean(2), atol=1e-5)


def test_a_network_for_packed_mosaics_refuses_other_pictures():
    with pytest.raises(DenoiseError, match="takes 4 channels, as packed from a camera's mosaic, and this picture has"):
        denoise(model(4, method="n2n"), noisy_image()[0], 1)


def test_a_colour_network_refuses_a_grey_picture(tiny):
    with pytest.raises(DenoiseError, match="tiny is for colour and this picture is grey"):
        denoise(tiny, noisy_image(channels=1)[0], 2)


def test_the_picture_itself_is_never_changed(tiny):
    image, _ = noisy_image()
    before = image.pixels.copy()
    denoise(tiny, image, 4, keep=False).finish(4, Blend(0.5))
    assert np.array_equal(image.pixels, before)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (2, 2), (129, 1)])
def test_odd_and_tiny_sizes_come_back_in_the_same_shape(tiny, size):
    image = Image(np.random.default_rng(0).random((*size, 3), dtype=np.float32))
    result = denoise(tiny, image, 2, tile=64).mean(2)
    assert result.shape == image.pixels.shape
    assert np.isfinite(result).all()


@pytest.mark.parametrize("passes", [1, 2, 4, 3])
def test_estimated_psnr_is_unbiased_for_the_mean_that_is_shown(passes):
    # A network with random weights is a poor denoiser, and the estimate must say how poor.
    network = model(1, seed=3)
    differences = []
    for seed in range(24):
        image, clean = noisy_image(96, 96, 1, seed=seed)
        work = denoise(network, image, passes, seed=seed)
        estimate = work.estimate(passes)
        true = 10 * math.log10(1 / float(((work.mean(passes) - clean) ** 2).mean()))
        assert estimate.psnr_db is not None
        differences.append(estimate.psnr_db - true)
    standard_error = np.std(differences) / math.sqrt(len(differences))
    assert abs(np.mean(differences)) < 3.5 * standard_error + 0.005
    assert np.std(differences) < 0.5


def test_band_of_the_estimate_holds_the_truth_nineteen_times_in_twenty():
    network = model(1, seed=3)
    held = 0
    for seed in range(40):
        image, clean = noisy_image(96, 96, 1, seed=seed)
        work = denoise(network, image, 4, seed=seed)
        estimate = work.estimate(4)
        true = 10 * math.log10(1 / float(((work.mean(4) - clean) ** 2).mean()))
        held += abs(estimate.psnr_db - true) <= estimate.band_db
    assert held >= 33


def test_bf16_stays_within_a_hundredth_of_a_decibel():
    image, clean = noisy_image(96, 96)
    results = [denoise(model(precision="float32"), image, 4).mean(4)]
    halved = model(precision="float32")
    halved = replace(halved, network=halved.network.bfloat16(), dtype=torch.bfloat16)
    results.append(denoise(halved, image, 4).mean(4))
    values = [10 * math.log10(1 / float(((result - clean) ** 2).mean())) for result in results]
    assert abs(values[0] - values[1]) < 0.01


def test_folded_batch_norm_gives_the_same_picture():
    from engine.method import build
    from engine.networks import fold_batch_norm

    torch.manual_seed(0)
    network = build({"network": "dncnn", "channels": 1, "depth": 6}).train()
    for _ in range(3):
        network(torch.rand(4, 1, 24, 24))
    network.eval()
    x = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        expected = network(x)
        folded = fold_batch_norm(network)
        assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
        assert torch.allclose(folded(x), expected, atol=1e-5)


def test_blend_at_full_strength_is_the_denoised_picture_to_the_bit():
    denoised = np.random.default_rng(0).random((5, 5, 1), dtype=np.float32)
    assert np.array_equal(Blend().mix(denoised.copy(), np.ones_like(denoised), Rect(0, 0, 5, 5)), denoised)


def test_r2r_refuses_weights_that_were_not_trained_for_it():
    from engine.denoise import load_model_from
    from engine.method import MethodError

    with pytest.raises(MethodError, match="was trained for method plain, not r2r"):
        load_model_from(checkpoint(method="plain"), method="r2r", device="cpu")


# ---- The mean intensity ----


def scientific(is_float, height=61, width=83, channels=1, seed=0, pedestal=0.2):
    """Unclipped noise, as floats or as 16-bit integers on a pedestal."""
    noisy, clean = noisy_image(height, width, channels, sigma=0.05, seed=seed)
    pixels = (noisy.pixels * 0.4 + pedestal).astype(np.float32)
    if not is_float:
        pixels = np.rint(pixels * 65535).astype(np.float32) / np.float32(65535)
    return Image(pixels, is_float=is_float, bits=32 if is_float else 16), clean * 0.4 + pedestal


def means(pixels):
    return pixels.mean((0, 1), dtype=np.float64)


def differs(pixels, image):
    """By what share of it the mean intensity differs, the channel where most."""
    return np.abs(means(pixels) / means(image.pixels) - 1).max()


@settings(max_examples=12, deadline=None)
@given(
    st.booleans(),
    st.sampled_from([1, 3]),
    st.sampled_from([16, 32, 512]),
    st.integers(1, 5),
    st.floats(0, 1.2),
    st.integers(0, 99),
)
def test_the_mean_intensity_of_measured_data_stays(is_float, channels, tile, passes, strength, seed):
    image, _ = scientific(is_float, channels=channels, seed=seed)
    work = denoise(model(channels), image, passes, tile=tile, sigma=0.02)
    assert work.conserves_mean
    assert differs(work.blended(passes, Blend(strength)), image) < 1e-6
    alone = denoise(model(channels), image, passes, tile=tile, sigma=0.02, keep=False)
    assert np.array_equal(alone.blended(passes, Blend(strength)), work.blended(passes, Blend(strength)))
    assert np.array_equal(alone.finish(passes, Blend(strength)), work.blended(passes, Blend(strength)))


def test_without_the_correction_the_mean_would_move(tiny, monkeypatch):
    image, _ = scientific(True, channels=3)
    work = denoise(tiny, image, 2, sigma=0.02)
    monkeypatch.setattr(Denoising, "conserves_mean", False)
    moved = denoise(tiny, image, 2, sigma=0.02)
    assert differs(moved.mean(2), image) > 1e-4
    # A constant, and nothing else.
    monkeypatch.undo()
    difference = work.mean(2) - moved.mean(2)
    assert np.ptp(difference, axis=(0, 1)).max() < 1e-6


def test_parts_and_tiles_of_measured_data_agree_with_the_whole(tiny):
    image, _ = scientific(True, 90, 110, 3)
    tiled, whole = (denoise(tiny, image, 2, tile=side, sigma=0.02) for side in (32, 512))
    assert np.abs(tiled.mean(2) - whole.mean(2)).max() < 1e-5
    part = Rect(13, 7, 71, 64)
    assert np.array_equal(tiled.blended(2, Blend(0.7))[part.slices], tiled.blended(2, Blend(0.7), part))
    guarded = tiled.blended(2, Blend(0.7, guard=1.5))
    assert np.array_equal(guarded[part.slices], tiled.blended(2, Blend(0.7, guard=1.5), part))
    alone = denoise(tiny, image, 2, tile=32, sigma=0.02, keep=False)
    assert np.array_equal(alone.finish(2, Blend(0.7, guard=1.5)), guarded)


def test_nothing_is_corrected_before_all_is_denoised(tiny):
    image, _ = scientific(True, 90, 110, 3)
    work = Denoising(tiny, image, R2RParams(), sigma=0.02, tile=32)
    run = work.run(2)
    first = next(run).tile
    there = work.mean(2, first)
    for _ in run:
        pass
    assert not np.array_equal(work.mean(2, first), there)
    assert np.ptp(work.mean(2, first) - there, axis=(0, 1)).max() < 1e-6


@pytest.mark.parametrize("is_float", [True, False])
@pytest.mark.parametrize("end", ["black", "white"])
def test_clipped_pictures_keep_what_the_network_says(tiny, is_float, end):
    image, _ = scientific(is_float, channels=3)
    low, high = np.quantile(image.pixels, (0.01, 0.99))
    cut = np.maximum(image.pixels, low) if end == "black" else np.minimum(image.pixels, high)
    clipped = replace(image, pixels=cut.astype(np.float32))
    assert not denoise(tiny, clipped, 1, sigma=0.02).conserves_mean


def test_counts_of_few_photons_are_not_taken_for_clipped(tiny):
    counts = np.random.default_rng(0).poisson(2.0, (64, 64, 3)).astype(np.float32)
    assert Denoising(tiny, Image(counts, is_float=True, bits=32), R2RParams(), sigma=0.1).conserves_mean
    few = np.maximum(counts - 6, 0)  # nearly all are zero
    assert not Denoising(tiny, Image(few, is_float=True, bits=32), R2RParams(), sigma=0.1).conserves_mean


def test_eight_bits_and_pictures_left_alone_are_not_touched(tiny):
    image, _ = noisy_image()
    assert not Denoising(tiny, image, R2RParams(), sigma=SIGMA).conserves_mean
    measured, _ = scientific(True, channels=3)
    assert not Denoising(tiny, measured, R2RParams(), sigma=0).conserves_mean


def test_the_estimate_is_of_the_corrected_result(tiny):
    """A network that has not learned anything moves the mean far: by more than the estimate may be off."""
    image, clean = scientific(True, 300, 300, 3)
    sigma = 0.05 * 0.4  # of the noise; the levels are 0 and 1
    assert image.levels == (0.0, 1.0)
    work = denoise(tiny, image, 4, sigma=sigma)
    errors = [np.mean((work.mean(4) - offset - clean) ** 2) for offset in (0, work._offset(4))]
    after, before = (-10 * math.log10(error) for error in errors)
    assert after > before + 0.5
    assert abs(work.estimate(4).psnr_db - after) < 0.1
    half = np.mean((work.blended(4, Blend(0.5)) - clean) ** 2)
    assert abs(work.estimate(4, Blend(0.5)).psnr_db + 10 * math.log10(half)) < 0.1


def test_one_pass_of_two_is_finished_in_place_where_nothing_is_kept(tiny, tmp_path):
    """A picture larger than memory must not be copied whole."""
    image, _ = scientific(True, 64, 64, 3)
    kept = denoise(tiny, image, 1, sigma=0.02).blended(1, Blend(1.0))
    work = denoise(tiny, image, 1, sigma=0.02, keep=False, budget=0)
    finished = work.finish(1, Blend(1.0))
    assert lies_in_a_file(finished)
    assert np.array_equal(finished, kept)
