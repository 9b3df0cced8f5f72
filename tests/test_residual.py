"""What was removed, judged: noise is not marked, wiped structure is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from reports import correlated, report

from conftest import picture
from engine import residual
from engine.image import load_image
from engine.noise import NoiseReport, measure_noise
from engine.residual import LAGS, Residual, analyse, analyse_area
from engine.tiles import Rect

SIGMA = 0.06

PICTURES = int(os.environ.get("PELLUCID_PICTURES", "100"))
"""Of each kind of noise; 300 were measured for what the documentation says."""
Pair = tuple[np.ndarray, np.ndarray]


def blurred(pixels: np.ndarray, width: float) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), width).reshape(pixels.shape)


def median(pixels: np.ndarray, side: int) -> np.ndarray:
    planes = [np.ascontiguousarray(pixels[..., c], np.float32) for c in range(pixels.shape[2])]
    return np.stack([cv2.medianBlur(plane, side) for plane in planes], axis=2)


def white(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])
    return clean + SIGMA * rng.standard_normal(shape), clean


def grey(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])[..., :1]
    return clean + SIGMA * rng.standard_normal(clean.shape), clean


def growing(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])
    return clean + rng.standard_normal(shape) * np.sqrt(0.001 + 0.05 * clean), clean


def poisson(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])
    return rng.poisson(10 * clean) / 10, clean


def clipped(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = np.clip(1.3 * picture(*shape[:2]) - 0.15, 0, 1)
    return np.clip(clean + 0.15 * rng.standard_normal(shape), 0, 1), clean


def rounded(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])
    return np.round(255 * (clean + 0.01 * rng.standard_normal(shape))) / 255, clean


def coloured(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    clean = picture(*shape[:2])
    return clean + blurred(rng.standard_normal(shape), 0.8) / 10, clean


def white_blurred(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    noisy = 0.5 + SIGMA * rng.standard_normal(shape)
    return noisy, blurred(noisy, 1.5)


def white_median(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    noisy = 0.5 + SIGMA * rng.standard_normal(shape)
    return noisy, median(noisy, 5)


def coloured_blurred(rng: np.random.Generator, shape: tuple[int, ...]) -> Pair:
    noisy = 0.5 + blurred(rng.standard_normal(shape), 0.8) / 10
    return noisy, blurred(noisy, 1.0)


WHITE = (white, grey, growing, poisson, clipped, rounded, white_blurred, white_median)
ALL = (*WHITE, coloured, coloured_blurred)


def judged(pair: Pair, of: NoiseReport | None = None) -> Residual:
    noisy, result = (np.asarray(part, np.float32) for part in pair)
    return analyse(noisy, result, report=of)


def known(make: Callable[..., Pair], channels: int = 3) -> NoiseReport:
    return report(channels, sigma=SIGMA) if make in WHITE else correlated(channels, sigma=SIGMA)


def marked_pictures(make: Callable[..., Pair], count: int, shape: tuple[int, int, int]) -> tuple[int, int]:
    """In how many pictures of pure noise anything is marked, and how many blocks were looked at in all of them."""
    wrong = blocks = 0
    for seed in range(count):
        found = judged(make(np.random.default_rng(seed), shape), known(make, 1 if make is grey else 3))
        wrong += bool(found.marks)
        blocks += found.blocks
    return wrong, blocks


@pytest.mark.parametrize("make", ALL)
def test_noise_alone_is_not_marked(make):
    wrong, blocks = marked_pictures(make, 6, (160, 192, 3))
    assert blocks >= 6 * 20
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("make", ALL)
def test_noise_alone_is_marked_in_less_than_one_picture_of_a_hundred(make):
    wrong, _ = marked_pictures(make, PICTURES, (192, 256, 3))
    assert wrong <= PICTURES // 100


def lost(clean: np.ndarray, found: Residual, wipe: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of each block of the grid: root mean square of what was taken of the clean picture, in sigma, and if marked."""
    side = found.side
    taken = np.square(clean - wipe(clean)).mean(2)
    rows, columns = taken.shape[0] // side, taken.shape[1] // side
    strength = np.sqrt(taken[: rows * side, : columns * side].reshape(rows, side, columns, side).mean((1, 3))) / SIGMA
    is_marked = np.zeros((rows, columns), bool)
    for mark in found.marks:
        is_marked[mark.top // side, mark.left // side] = True
    return strength, is_marked


@pytest.mark.parametrize("width", [0.7, 1.0])
def test_edges_and_texture_wiped_by_a_blur_are_marked_where_they_are(width):
    clean = picture(256, 384)
    noisy = clean + SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    found = judged((noisy, blurred(noisy, width)), report(sigma=SIGMA))
    strength, is_marked = lost(clean, found, lambda pixels: blurred(pixels, width))
    assert np.count_nonzero(strength > 0.5) > 30
    assert is_marked[strength > 0.5].mean() > 0.95
    assert not is_marked[strength < 0.05].any()


def test_texture_wiped_by_a_median_is_marked_where_it_is():
    clean = np.full((256, 256, 3), 0.5)
    y, x = np.mgrid[0:256, 0:256]
    inside = (x >= 96) & (x < 160) & (y >= 96) & (y < 160)
    clean += (0.08 * np.sin(2 * np.pi * x / 5) * inside)[..., None]
    noisy = clean + SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    found = judged((noisy, median(noisy, 5)), report(sigma=SIGMA))
    place = Rect(96, 96, 160, 160)
    assert sum(mark.meets(place) for mark in found.marks) == 16
    assert all(mark.meets(place) for mark in found.marks)


def test_texture_that_is_wiped_everywhere_is_not_taken_for_the_noise():
    y, x = np.mgrid[0:256, 0:256]
    clean = 0.5 + 0.08 * (np.sin(2 * np.pi * x / 7) * np.sin(2 * np.pi * y / 9))[..., None] * np.ones(3)
    noisy = clean + SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    found = judged((noisy, np.full_like(noisy, 0.5)), report(sigma=SIGMA))
    assert len(found.marks) > 0.9 * found.blocks


def test_edges_wiped_from_correlated_noise_are_marked_where_they_are():
    x = np.arange(384)[None, :].repeat(384, 0)
    clean = (0.3 + 0.4 * (((x // 6) % 2) * (x > 192)))[..., None] * np.ones(3)
    noisy = clean + blurred(np.random.default_rng(0).standard_normal(clean.shape), 0.7) / 15
    found = judged((noisy, blurred(noisy, 1.5)), correlated(sigma=0.05))
    assert found.side == 32
    assert sum(mark.left >= 160 for mark in found.marks) > 0.8 * 72
    assert all(mark.left >= 160 for mark in found.marks)


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.7])
def test_noise_that_a_result_keeps_where_it_has_texture_is_not_taken_for_wiped_structure(kept):
    """As good networks do: they average over wide flat places, and over little where there is structure."""
    y, x = np.mgrid[0:256, 0:384]
    inside = (x >= 256)[..., None]
    clean = 0.5 + 0.1 * (np.sin(x / 2) * np.sin(y / 3))[..., None] * inside * np.ones(3)
    noise = SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    result = clean + np.where(inside, kept * blurred(noise, 1.0), blurred(noise, 3.0))
    assert not judged((clean + noise, result), report(sigma=SIGMA)).marks


def test_protected_part_where_nothing_was_removed_is_not_looked_at():
    noisy, clean = white(np.random.default_rng(0), (128, 256, 3))
    clean[:, :128] = noisy[:, :128]
    found = judged((noisy, clean), report(sigma=SIGMA))
    assert found.blocks == 64
    assert not found.marks


def test_clipped_blocks_are_not_looked_at():
    noisy, clean = white(np.random.default_rng(0), (128, 256, 3))
    noisy[:, :64] = 0
    noisy = np.clip(noisy, 0, 1)
    assert judged((noisy, clean), report(sigma=SIGMA)).blocks == 8 * 12


def test_autocorrelation_is_that_of_the_noise():
    noisy, clean = coloured(np.random.default_rng(0), (256, 256, 3))
    found = judged((noisy, clean))
    expected = np.exp(-np.square(np.arange(-LAGS, LAGS + 1)) / (4 * 0.8**2))
    np.testing.assert_allclose(found.autocorrelation, np.outer(expected, expected), atol=0.04)
    assert found.neighbours == pytest.approx(expected[LAGS + 1], abs=0.03)


def test_band_holds_95_per_cent_of_the_lags_of_white_noise():
    inside = []
    for seed in range(20):
        found = judged(grey(np.random.default_rng(seed), (128, 128, 3)))
        others = np.delete(found.autocorrelation[LAGS:].ravel(), range(LAGS + 1))
        inside.append(np.abs(others) < found.band)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_deviation_is_in_255ths_of_the_levels_and_compared_at_the_brightness_there():
    rng = np.random.default_rng(0)
    clean = np.full((128, 128, 1), 0.8)
    slope, offset = 0.02, 0.001
    truth = math.sqrt(slope * 0.8 + offset)
    noisy = clean + truth * rng.standard_normal(clean.shape)
    whole = report(
        1, sigma=math.sqrt(slope * 0.4 + offset), slope=(slope,), offset=(offset,), mean=(0.4,), mean_square=(0.2,)
    )
    found = judged((noisy, clean), whole)
    assert found.deviation == pytest.approx(255 * truth, rel=0.02)
    assert found.expected == pytest.approx(255 * truth, rel=1e-6)


def test_pictures_in_their_own_unit_are_judged_alike():
    noisy, _ = white(np.random.default_rng(0), (160, 160, 3))
    result = blurred(noisy, 1.0)
    plain = judged((noisy, result), report(sigma=SIGMA))
    scaled = analyse(
        (500 + 3000 * noisy).astype(np.float32),
        (500 + 3000 * result).astype(np.float32),
        report=report(sigma=SIGMA),
        levels=(500.0, 3500.0),
    )
    assert scaled.deviation == pytest.approx(plain.deviation, rel=1e-3)
    assert scaled.marks == plain.marks
    assert scaled.marks


def test_marks_lie_where_the_region_lies_in_the_picture():
    noisy, _ = white(np.random.default_rng(0), (160, 160, 3))
    noisy, result = noisy.astype(np.float32), blurred(noisy, 1.0).astype(np.float32)
    here = analyse(noisy, result, report=report(sigma=SIGMA))
    there = analyse(noisy, result, report=report(sigma=SIGMA), origin=(1000, 300))
    assert here.marks
    assert there.marks == tuple(mark.moved(1000, 300) for mark in here.marks)


def test_blocks_reach_to_every_border():
    noisy, _ = white(np.random.default_rng(0), (150, 170, 3))
    flat = np.full_like(noisy, 0.5)
    y, x = np.mgrid[0:150, 0:170]
    border = (x >= 162) | (y >= 142)
    noisy = 0.5 + SIGMA * np.random.default_rng(1).standard_normal(noisy.shape)
    noisy += (0.3 * ((x + y) // 3 % 2) * border)[..., None]
    found = judged((noisy, flat), report(sigma=SIGMA))
    assert max(mark.right for mark in found.marks) == 170
    assert max(mark.bottom for mark in found.marks) == 150


def test_large_region_is_looked_at_in_even_parts(monkeypatch):
    monkeypatch.setattr(residual, "_MOST", 200_000)
    monkeypatch.setattr(residual, "_SAMPLED", 100_000)
    noisy, _ = white(np.random.default_rng(0), (700, 900, 3))
    seen = []

    def read(rect: Rect) -> Pair:
        seen.append(rect)
        return noisy[rect.slices].astype(np.float32), blurred(noisy, 1.0)[rect.slices].astype(np.float32)

    found = analyse_area(Rect(0, 0, 900, 700), read, report=report(sigma=SIGMA))
    assert 0.05 < found.share < 0.2
    assert found.blocks == sum(rect.width // 16 * (rect.height // 16) for rect in seen)
    assert min(rect.left for rect in seen) == min(rect.top for rect in seen) == 0
    assert max(rect.right for rect in seen) == 900
    assert all(any(mark.meets(rect) for rect in seen) for mark in found.marks)


def test_equal_channels_count_as_one():
    noisy, clean = grey(np.random.default_rng(0), (160, 192, 3))
    one = judged((noisy, blurred(noisy, 1.0)), report(1, sigma=SIGMA))
    three = judged((np.repeat(noisy, 3, 2), np.repeat(blurred(noisy, 1.0), 3, 2)), report(sigma=SIGMA))
    assert one.marks
    assert abs(len(one.marks) - len(three.marks)) <= 2
    assert not judged((np.repeat(noisy, 3, 2), np.repeat(clean, 3, 2)), report(sigma=SIGMA)).marks


def test_verdict_says_when_it_looks_like_the_measured_noise():
    assert judged(white(np.random.default_rng(0), (256, 256, 3)), report(sigma=SIGMA)).verdict == (
        "What was removed looks like the measured noise: no structure was found in 256 blocks. Neighbouring pixels of "
        "what was removed correlate by 0.00, about as those of the measured noise do (0.00)."
    )


def test_verdict_says_where_structure_went_with_the_noise_and_how_much_chance_marks():
    noisy, _ = white(np.random.default_rng(0), (256, 256, 3))
    found = judged((noisy, blurred(noisy, 1.0)), report(sigma=SIGMA))
    assert f"in {len(found.marks)} of 256 blocks" in found.verdict
    assert "at most 0.01 would be marked by chance" in found.verdict


def test_verdict_says_when_too_little_or_too_much_was_removed():
    noisy, clean = white(np.random.default_rng(0), (128, 128, 3))
    half = judged((noisy, 0.5 * noisy + 0.5 * clean), report(sigma=SIGMA))
    assert "Too little was removed: 50 % of the measured noise" in half.verdict
    twice = judged((noisy, clean), report(sigma=SIGMA / 2))
    assert "More was removed than there is noise: 15.3 against 7.6 of 255" in twice.verdict


def test_verdict_says_when_more_correlates_than_the_measured_noise_does():
    found = judged(coloured(np.random.default_rng(0), (128, 128, 3)), report(sigma=SIGMA))
    assert "those of the measured noise by 0.00: more than noise was removed" in found.verdict


def test_verdict_of_a_picture_that_seemed_clean_says_so():
    pair = white(np.random.default_rng(0), (128, 128, 3))
    assert "seemed clean" in judged(pair, report(sigma=0.0, is_clean=True)).verdict


def test_without_a_report_nothing_is_said_of_the_measured_noise():
    found = judged(white(np.random.default_rng(0), (128, 128, 3)))
    assert found.expected is None
    assert found.expected_autocorrelation is None
    assert "measured" not in found.verdict


def test_report_of_a_mosaic_is_not_held_against_the_developed_picture():
    assert judged(white(np.random.default_rng(0), (128, 128, 3)), report(4)).expected is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 1), (40, 40, 3), (63, 64, 1)])
def test_too_small_a_region_is_not_searched_but_told_so(shape):
    rng = np.random.default_rng(0)
    noisy = 0.5 + SIGMA * rng.standard_normal(shape)
    found = judged((noisy, np.full(shape, 0.5)), report(shape[2], sigma=SIGMA))
    assert found.blocks == 0
    assert not found.marks
    assert found.verdict


def test_where_there_is_no_result_nothing_is_said_of_it():
    found = analyse_area(Rect(0, 0, 100, 100), lambda rect: None)
    assert found.verdict == "There is no result here yet."
    assert found.deviation == 0


def test_means_of_many_frames_are_not_accused_but_over_smoothed_photographs_are(data: Path):
    """A camera's JPEG; the mean of 500 frames stands for a perfect result."""
    of_means, of_blurs = [], []
    for path in sorted((data / "real/polyu").glob("*_real*"))[::14]:
        image = load_image(path)
        mean = load_image(path.with_name(path.name.replace("_real", "_mean"))).pixels
        noise = measure_noise(image)
        of_means.append(len(analyse(image.pixels, mean, report=noise).marks) / 256)
        of_blurs.append(len(analyse(image.pixels, blurred(image.pixels, 1.5), report=noise).marks) / 256)
    assert len(of_means) >= 5
    assert np.mean(of_means) < 0.02
    assert np.mean(of_blurs) > 0.08
