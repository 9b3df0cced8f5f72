from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from engine import statistics as module
from engine.statistics import histogram, profile, statistics
from engine.tiles import Rect


def noise(height: int, width: int, channels: int = 3, mean: float = 0.5, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal((height, width, channels))
    return (mean + 0.2 * samples).astype(np.float32)


def reader(pixels: np.ndarray, read: list[Rect] | None = None):
    def look(area: Rect) -> np.ndarray:
        assert 0 <= area.left < area.right <= pixels.shape[1]
        assert 0 <= area.top < area.bottom <= pixels.shape[0]
        if read is not None:
            read.append(area)
        return pixels[area.slices]

    return look


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 11, 3), (700, 190, 3), (3, 300_000, 1)])
def test_statistics_are_those_of_all_samples(size):
    pixels = noise(*size)
    found, exact = statistics(pixels), pixels.reshape(-1, size[2]).astype(np.float64)
    assert found.count == len(exact)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, exact.std(0), rtol=1e-12)
    assert found.low == tuple(exact.min(0))
    assert found.high == tuple(exact.max(0))


def test_a_pedestal_does_not_drown_the_deviation():
    pixels = noise(600, 400, 1, mean=0.0)
    np.testing.assert_allclose(
        statistics((pixels + 1e4).astype(np.float32).astype(np.float64)).deviation,
        (pixels + 1e4).astype(np.float32).astype(np.float64).std((0, 1)),
        rtol=1e-9,
    )


def test_statistics_of_parts_add_up_to_those_of_the_whole():
    pixels = noise(50, 31)
    whole, added = statistics(pixels), statistics(pixels[:13]) + statistics(pixels[13:])
    assert added.count == whole.count
    for name in ("mean", "deviation", "low", "high"):
        np.testing.assert_allclose(getattr(added, name), getattr(whole, name), rtol=1e-12)


def test_snr_is_twenty_times_the_logarithm_of_mean_by_deviation():
    pixels = np.array([[9.0, 11.0], [-3.0, 1.0], [4.0, 4.0]], np.float32).T.reshape(1, 2, 3)
    snr = statistics(pixels).snr_db
    assert snr[0] == pytest.approx(20.0)  # 10 by 1
    assert math.isnan(snr[1])
    assert snr[2] == math.inf


def brute_histogram(samples: np.ndarray, low: float, high: float, bins: int) -> list[int]:
    """Counts, with what lies below and above at the two ends, one sample after the other."""
    counts = [0] * (bins + 2)
    for value in samples.ravel().tolist():
        if value < low:
            counts[0] += 1
        elif value > high:
            counts[-1] += 1
        else:
            counts[1 + min(bins - 1, math.floor((value - low) * (bins / (high - low))))] += 1
    return counts


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 40), st.floats(-1, 0.6), st.floats(0.01, 2))
def test_every_sample_is_counted_where_it_lies(seed, bins, low, span):
    pixels = noise(9, 13, 2, seed=seed)
    found = histogram(pixels, (low, low + span), bins)
    for channel in range(2):
        expected = brute_histogram(pixels[..., channel], low, low + span, bins)
        counted = [found.below[channel], *found.counts[channel], found.above[channel]]
        assert counted == expected
        assert sum(counted) == 9 * 13


def test_every_value_of_an_8_bit_picture_has_its_own_bin():
    pixels = (np.arange(256, dtype=np.float32) / 255).reshape(16, 16, 1)
    found = histogram(pixels, (0.0, 1.0), 256)
    assert (found.counts == 1).all()
    assert not found.below.any()
    assert not found.above.any()


def test_histograms_of_parts_add_up_to_that_of_the_whole():
    pixels = noise(500, 600)
    whole = histogram(pixels, (0.2, 0.9), 100)
    added = histogram(pixels[:77], (0.2, 0.9), 100) + histogram(pixels[77:], (0.2, 0.9), 100)
    for name in ("counts", "below", "above"):
        np.testing.assert_array_equal(getattr(added, name), getattr(whole, name))
    assert whole.edges[0] == 0.2
    assert whole.edges[-1] == 0.9


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-5, 65), min_size=4, max_size=4), st.integers(1, 6))
def test_a_profile_is_bilinear_at_steps_of_one_pixel(line, width):
    pixels = noise(40, 60, 2)
    x0, y0, x1, y1 = line
    found = profile(reader(pixels), (40, 60), (x0, y0, x1, y1), width)
    length = math.hypot(x1 - x0, y1 - y0)
    assert len(found) == math.floor(length) + 1
    dx, dy = ((x1 - x0) / length, (y1 - y0) / length) if length else (1, 0)
    steps = np.arange(len(found))
    for channel in range(2):
        lines = [
            map_coordinates(
                pixels[..., channel].astype(float),
                [y0 - 0.5 + steps * dy + beside * dx, x0 - 0.5 + steps * dx - beside * dy],
                order=1,
                mode="nearest",
            )
            for beside in np.arange(width) - (width - 1) / 2
        ]
        np.testing.assert_allclose(found[:, channel], np.mean(lines, axis=0), atol=1e-9)


def test_a_profile_through_the_middle_of_pixels_gives_them_as_they_are():
    pixels = noise(5, 30)
    np.testing.assert_array_equal(profile(reader(pixels), (5, 30), (0.5, 2.5, 29.5, 2.5)), pixels[2])
    np.testing.assert_array_equal(profile(reader(pixels), (5, 30), (4.5, 0.5, 4.5, 4.5)), pixels[:, 4])


def test_a_picture_of_one_pixel_has_a_profile():
    pixels = np.full((1, 1, 1), 0.25, np.float32)
    assert profile(reader(pixels), (1, 1), (0.0, 0.0, 1.0, 1.0), 3).tolist() == [[0.25], [0.25]]


def test_a_diagonal_reads_only_what_lies_beside_it():
    pixels, read = noise(900, 1200, 1), []
    profile(reader(pixels, read), (900, 1200), (0.0, 0.0, 1200.0, 900.0))
    assert sum(area.width * area.height for area in read) < 0.2 * 900 * 1200


def test_a_profile_has_gaps_where_nothing_can_be_read(monkeypatch):
    monkeypatch.setattr(module, "_SEGMENT", 10)
    pixels = noise(3, 40, 1)
    values = profile(lambda area: pixels[area.slices] if area.right <= 22 else None, (3, 40), (0.5, 1.5, 39.5, 1.5))
    assert np.isfinite(values[:20]).all()
    assert np.isnan(values[20:]).all()
    assert profile(lambda area: None, (3, 40), (0.5, 1.5, 39.5, 1.5)) is None
