"""The spread of the passes, the estimate of a region, and reading while passes are made."""

import math
import sys
import threading
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_denoise import SIGMA, denoise, noisy_image

from engine.blend import Blend
from engine.denoise import BLOCK, Denoising
from engine.field import NoiseField
from engine.image import Image
from engine.method import Task
from engine.methods.r2r import R2RParams
from engine.tiles import Rect, grid
from models import model


@pytest.fixture(scope="module")
def tiny():
    return model()


def whole_of(image):
    return Rect(0, 0, image.width, image.height)


# ---- The spread ----


@pytest.mark.parametrize("way", [(2,), (7,), (8, 4, 16), (16, 3, 6), (1, 5)])
def test_spread_is_the_deviation_over_the_passes_made(tiny, way):
    image, _ = noisy_image(40, 44)
    image = replace(image, pixels=image.pixels * np.float32(4), levels=(0.0, 4.0))
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    for passes in way:
        for _ in work.run(passes):
            pass
    made = work.spread_passes()
    assert made == -(-max(way) // 2) * 2
    noisy = torch.from_numpy(image.pixels.transpose(2, 0, 1)[None].copy()) / 4

    class Field:
        def unit(self, index, around=0):
            return torch.from_numpy(NoiseField(0, 3).unit(index, 0, 0, 40, 44))[None]

    with torch.inference_mode():
        run = tiny.method.passes(tiny.network, Task(noisy, SIGMA, R2RParams(), 0, Field()))
        estimates = torch.stack([next(run).estimate[0] for _ in range(made)])
    expected = 4 * estimates.double().var(0).mean(0).sqrt().numpy()[..., None]
    assert np.abs(work.spread() - expected).max() < 1e-5 * expected.max() + 1e-6
    part = Rect(5, 20, 40, 37)
    assert np.array_equal(work.spread(part), work.spread()[part.slices])


def test_spread_of_a_picture_channel_by_channel_is_over_all_its_channels():
    image, _ = noisy_image(40, 44)
    work = denoise(model(1), image, 4, sigma=0.05)
    means = [denoise(model(1), image, t, sigma=0.05).mean(t) for t in (1, 2, 3, 4)]
    passes = [t * means[t - 1] - ((t - 1) * means[t - 2] if t > 1 else 0) for t in (1, 2, 3, 4)]
    expected = np.sqrt(np.var(passes, 0, ddof=1).mean(-1, keepdims=True))
    assert np.abs(work.spread() - expected).max() < 1e-5


def test_there_is_no_spread_before_two_passes_everywhere_nor_of_a_single_one(tiny):
    image, _ = noisy_image(64, 64)
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    assert work.spread() is None
    with closing(work.run(4)) as run:
        first = next(run).tile
    assert work.spread(first) is not None
    assert work.spread() is None
    plain = model(method="plain")
    assert denoise(plain, image, 1, params=plain.method.Params()).spread() is None
    assert denoise(tiny, image, 2, keep=False).spread() is None
    assert denoise(tiny, image, 2, sigma=0).spread() is None


# ---- The sums of regions ----


@pytest.fixture(scope="module")
def tiled(tiny):
    """Of tiles that are no multiple of the blocks, and the same as whole blocks."""
    image, _ = noisy_image(130, 150)
    return [denoise(tiny, image, 4, tile=side) for side in (48, 64)]


def added(work, areas, passes=4):
    sums = [work.sums(passes, area) for area in areas]
    return [math.fsum(getattr(part, name) for part in sums) for name in ("samples", "residual", "divergence", "power")]


def split(draw, first, last):
    """Cuts between blocks."""
    inner = list(range(first + BLOCK, last, BLOCK))
    return [first, *sorted(draw(st.sets(st.sampled_from(inner)))), last]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), which=st.integers(0, 1))
def test_sums_over_a_partition_are_those_of_the_whole(tiled, data, which):
    work = tiled[which]
    columns, rows = split(data.draw, 0, 150), split(data.draw, 0, 130)
    areas = [Rect(left, top, right, bottom) for left, right in pairwise(columns) for top, bottom in pairwise(rows)]
    sums = work.sums(4)
    assert added(work, areas) == pytest.approx([sums.samples, sums.residual, sums.divergence, sums.power], rel=1e-9)


def test_sums_of_a_block_are_those_of_its_pixels_and_do_not_depend_on_the_tiles(tiled):
    area = Rect(32, 64, 96, 128)
    one, other = (work.sums(4, area) for work in tiled)
    image = tiled[0].image
    difference = (tiled[0].mean(4, area) - image.pixels[area.slices]).astype(np.float64)
    assert one.samples == other.samples == difference.size
    assert one.residual == pytest.approx(float((difference**2).sum()), rel=1e-5)
    assert one.power == pytest.approx(SIGMA**2 * difference.size)
    assert other.residual == pytest.approx(one.residual, rel=1e-4)
    assert other.divergence == pytest.approx(one.divergence, rel=1e-2)


def test_an_estimate_says_which_pixels_it_is_of(tiled):
    work = tiled[0]
    assert work.estimate(4).area is None
    assert work.estimate(4, area=Rect(40, 70, 90, 128)).area == Rect(32, 64, 96, 128)
    assert work.estimate(4, area=Rect(140, 129, 141, 130)).area == Rect(128, 128, 150, 130)
    whole = work.estimate(4, area=whole_of(work.image))
    assert (whole.psnr_db, whole.band_db) == (work.estimate(4).psnr_db, work.estimate(4).band_db)
    assert work.estimate(4, area=Rect(0, 0, 32, 32)).band_db > 3 * whole.band_db


def test_sums_survive_that_tiles_are_halved(tiny, monkeypatch):
    image, _ = noisy_image(130, 150)
    expected = denoise(tiny, image, 4, tile=96)
    forward, calls = tiny.network.forward, []

    def short(noisy, sigma):
        calls.append(noisy.shape)
        if noisy.shape[-1] > 96 and len(calls) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(noisy, sigma)

    monkeypatch.setattr(tiny.network, "forward", short)
    work = denoise(tiny, image, 4, tile=96)
    assert work.tile_side == 48
    for area in (Rect(0, 0, 64, 64), Rect(64, 32, 150, 130), Rect(96, 96, 128, 128)):
        one, other = work.sums(4, area), expected.sums(4, area)
        # A block that halves share has its first passes' sums with one of them and not the other.
        assert one.samples == other.samples
        assert one.divergence == pytest.approx(other.divergence, rel=0.02)
    parts = added(work, grid(whole_of(image), BLOCK))
    assert parts[:3] == pytest.approx([work.sums(4).samples, work.sums(4).residual, work.sums(4).divergence])
    assert np.allclose(work.spread(), expected.spread(), atol=1e-4)


@pytest.mark.parametrize("passes", [1, 4])
def test_estimates_of_regions_are_unbiased_and_hold_the_truth_within_their_band(passes):
    network = model(1, seed=3)
    errors, held, total = [], 0, 0
    for seed in range(12):
        image, clean = noisy_image(128, 128, 1, seed=seed)
        work = denoise(network, image, passes, seed=seed)
        mean = work.mean(passes)
        for area in grid(whole_of(image), 64):
            estimate = work.estimate(passes, area=area)
            true = float(((mean - clean)[area.slices] ** 2).mean())
            errors.append(10 ** (-estimate.psnr_db / 10) / true - 1)
            held += abs(estimate.psnr_db + 10 * math.log10(true)) <= estimate.band_db
            total += 1
    standard_error = np.std(errors) / math.sqrt(total)
    assert abs(np.mean(errors)) < 3.5 * standard_error
    assert standard_error < 0.05
    assert held >= 0.85 * total


def test_the_estimate_of_a_region_is_of_the_result_with_the_mean_intensity_kept(tiny):
    """Where a constant is added to the whole picture, that is known of each part, too."""
    rng = np.random.default_rng(0)
    clean = noisy_image(160, 160)[1] * 0.5 + 0.25
    pixels = (clean + 0.05 * rng.standard_normal(clean.shape)).astype(np.float32)
    image = Image(pixels, is_float=True, bits=32, levels=(0.0, 2.0))
    work = denoise(tiny, image, 4, sigma=0.025)
    assert work.conserves_mean
    areas = grid(whole_of(image), 64)
    sums = work.sums(4)
    assert added(work, areas)[1] == pytest.approx(sums.residual, rel=1e-4)
    for area in areas:
        difference = (work.mean(4, area) - pixels[area.slices]).astype(np.float64) / 2
        assert work.sums(4, area).residual == pytest.approx(float((difference**2).sum()), rel=1e-4)


def test_a_region_is_estimated_as_far_as_it_is_and_not_before(tiny):
    image, _ = noisy_image(64, 128)
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=64)
    assert work.estimate(4, area=whole_of(image)).reason == "no pass has been made yet"
    steps = work.run(4)
    first = next(steps).tile
    other = Rect(64, 0, 128, 64)
    assert work.passes_made(4, first) == 2
    assert work.passes_made(4) == 0
    assert not work.is_begun()
    assert work.is_begun(first)
    assert work.estimate(4, area=other).psnr_db is None
    two = denoise(tiny, image, 2, tile=64)
    assert work.estimate(4, area=first) == two.estimate(2, area=first)
    steps.close()


# ---- Reading while passes are made ----


def test_readers_see_whole_groups_and_change_nothing(tiny):
    image, _ = noisy_image(96, 128)
    passes, tiles = 8, grid(whole_of(image), 32)
    # A tile shows the noisy picture, or the mean of 2, 4, 6 or 8 passes, and never rows of one and of another.
    allowed = [image.pixels] + [denoise(tiny, image, t, tile=32).mean(t) for t in (2, 4, 6, 8)]
    known = [{state[tile.slices].tobytes() for state in allowed} for tile in tiles]
    spreads = [denoise(tiny, image, t, tile=32).spread() for t in (2, 4, 6, 8)]
    known_spreads = [{state[tile.slices].tobytes() for state in spreads} for tile in tiles]
    work = Denoising(tiny, image, R2RParams(), sigma=SIGMA, tile=32)
    ended, torn, reads = threading.Event(), [], 0

    def read():
        nonlocal reads
        try:
            while not ended.is_set():
                shown, spread = work.blended(passes, Blend()), work.spread()
                for tile, states, deviations in zip(tiles, known, known_spreads, strict=True):
                    if shown[tile.slices].tobytes() not in states:
                        torn.append(tile)
                    if spread is not None and spread[tile.slices].tobytes() not in deviations:
                        torn.append(tile)
                work.estimate(passes, area=tiles[3])
                work.sums(passes)
                work.passes_made(passes)
                reads += 1
        except BaseException as error:  # or the failure of the thread would be lost
            torn.append(error)
            raise

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in work.run(passes):
            pass
    finally:
        ended.set()
        reader.join(60)
        sys.setswitchinterval(interval)
    assert torn == []
    assert reads > 2
    alone = denoise(tiny, image, passes, tile=32)
    assert np.array_equal(work.mean(passes), alone.mean(passes))
    assert np.array_equal(work.spread(), alone.spread())
    assert work.estimate(passes) == alone.estimate(passes)


def test_nobody_waits_for_the_network(tiny, monkeypatch):
    image, _ = noisy_image(64, 64)
    work = denoise(tiny, image, 2, tile=32)
    before = work.mean(2)
    inside, go_on = threading.Event(), threading.Event()
    forward = tiny.network.forward

    def wait(noisy, sigma):
        inside.set()
        assert go_on.wait(60)
        return forward(noisy, sigma)

    monkeypatch.setattr(tiny.network, "forward", wait)
    runner = threading.Thread(target=lambda: list(work.run(4)))
    runner.start()
    try:
        assert inside.wait(60)
        assert np.array_equal(work.mean(4), before)
        assert work.spread() is not None
        assert work.estimate(2).psnr_db is not None
    finally:
        go_on.set()
        runner.join(60)
    assert work.has(4)


def test_a_reader_is_not_put_off_by_tiles_that_are_cut_meanwhile(tiny, monkeypatch):
    image, _ = noisy_image(130, 150)
    work = denoise(tiny, image, 4, tile=64)
    expected, mean_of = work.mean(4), work._mean_of

    def cutting(tile, passes, part):
        if work.tile_side == 64:
            work._halve()
        return mean_of(tile, passes, part)

    monkeypatch.setattr(work, "_mean_of", cutting)
    assert np.array_equal(work.mean(4), expected)
    assert work.tile_side == 32
