"""The noise estimator on generated pictures with known noise, and on photographs where they are at hand."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from reports import report

from conftest import picture
from engine.noise import (
    NoiseError,
    chen,
    estimate_noise,
    flattest,
    is_jpeg,
    on_line,
    pooled,
    quiet,
    shared_line,
)

DATA = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[2] / "shared/data"))


def clean_picture(side: int = 192, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth gradients, discs with edges, and fine texture in the lower right quarter, in [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    picture = np.stack([0.35 + 0.3 * x * (c + 1) / 3 + 0.15 * y for c in range(channels)], axis=2)
    for _ in range(6):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.15)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        picture[disc] += rng.uniform(-0.2, 0.2, channels)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 0.8)
    picture += 0.06 * (texture * (x > 0.5) * (y > 0.5))[..., None]
    return np.clip(picture, 0.1, 0.9).astype(np.float32)


def white(shape: tuple[int, ...], sigma: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def coloured(shape: tuple[int, ...], sigma: float, seed: int = 1) -> np.ndarray:
    """Noise of deviation `sigma` whose neighbours correlate by about 0.6, independent between channels."""
    noise = np.dstack([cv2.GaussianBlur(white(shape[:2], 1, seed + c), (0, 0), 0.7) for c in range(shape[2])])
    return (noise * (sigma / noise.std())).astype(np.float32)


def photographs(folder: str, pattern: str, count: int) -> list[Path]:
    found = sorted((DATA / folder).glob(pattern))
    if not found:
        pytest.skip("the shared photographs are not here")
    return found[:: max(1, len(found) // count)][:count]


def read(path: Path, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    picture = cv2.imdecode(np.fromfile(path, np.uint8), flag).astype(np.float32) / 255
    return picture[..., None] if picture.ndim == 2 else picture[..., ::-1]


@pytest.mark.parametrize("level", [5, 25, 50])
def test_white_noise_in_colour_is_found_by_chen_on_all_channels(level):
    clean = clean_picture()
    report = estimate_noise(clean + white(clean.shape, level / 255))
    assert report.is_white
    assert not report.is_clean
    assert report.sigma == report.joint
    assert report.sigma * 255 == pytest.approx(level, rel=0.03)


@pytest.mark.parametrize("level", [5, 25, 75])
def test_white_noise_in_grey_is_found_within_three_percent(level):
    clean = clean_picture(256, 1)
    report = estimate_noise(clean + white(clean.shape, level / 255))
    assert report.is_white
    assert report.joint is None
    assert report.sigma * 255 == pytest.approx(level, rel=0.03)


def test_texture_misleads_quiet_blocks_less_than_chen():
    x = np.linspace(0, 1, 256)
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 0.25, (256, 256)), (0, 0), 0.7)
    noisy = (0.5 + texture * x)[..., None].astype(np.float32) + white((256, 256, 1), 5 / 255)
    assert abs(quiet(noisy).sigma * 255 - 5) < 0.7 * abs(chen(noisy) * 255 - 5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_rounded", [False, True])
def test_noise_free_picture_is_clean_with_sigma_zero(channels, is_rounded):
    clean = clean_picture(192, channels)
    if is_rounded:
        clean = np.round(clean * 255).astype(np.float32) / 255
    report = estimate_noise(clean)
    assert report.is_clean
    assert report.sigma == 0.0


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_constant_picture_is_clean_and_every_number_is_finite(value):
    report = estimate_noise(np.full((64, 64, 3), value, np.float32) * np.array([1, 0.5, 1], np.float32))
    assert report.is_clean
    assert np.isfinite([report.flat, report.correlation, report.uncertainty, *report.channels]).all()


def test_correlated_noise_takes_the_flattest_patches_and_never_chen():
    clean = clean_picture()
    report = estimate_noise(clean + coloured(clean.shape, 12 / 255))
    assert not report.is_white
    assert not report.is_clean
    assert report.correlation > 0.1
    assert report.joint * 255 < 6
    assert report.sigma * 255 == pytest.approx(12, rel=0.2)
    assert "flattest" in report.reason.lower()


def test_noise_shared_by_the_channels_is_not_taken_for_white():
    clean = clean_picture()
    shared = white((192, 192, 1), 10 / 255)
    own = white(clean.shape, 2 / 255, seed=5)
    report = estimate_noise(clean + shared + own)
    assert not report.is_white
    assert report.channel_correlation[0][1] > 0.8


def test_lag_one_correlation_of_correlated_noise_is_measured():
    noise = coloured((192, 192, 3), 12 / 255)
    truth = float((noise[:, 1:] * noise[:, :-1]).mean() / (noise**2).mean())
    assert flattest(0.5 + noise).correlation == pytest.approx(truth, abs=0.06)


def test_flattest_patches_of_pure_noise_are_not_biased_by_their_choice():
    found = flattest(0.5 + white((240, 240, 3), 10 / 255))
    assert found.channels == pytest.approx([10 / 255] * 3, rel=0.03)


def test_signal_dependence_is_found_as_slope_and_offset():
    clean = clean_picture(256, 1)
    deviation = np.sqrt(0.004 * clean + 0.0002)
    found = flattest(clean + white(clean.shape, 1) * deviation)
    predicted = found.slope[0] * np.array([0.4, 0.7]) + found.offset[0]
    assert predicted == pytest.approx(0.004 * np.array([0.4, 0.7]) + 0.0002, rel=0.2)


def test_photon_noise_in_grey_is_the_rms_over_the_picture_not_that_of_the_dark():
    ramp = np.tile(np.linspace(0.02, 0.9, 256, dtype=np.float32)[:, None, None], (1, 256, 1))
    noise = white(ramp.shape, 1) * np.sqrt(0.01 * ramp + 0.0001)
    report = estimate_noise(ramp + noise)
    assert report.sigma == pytest.approx(float(noise.std()), rel=0.08)


@pytest.mark.parametrize(("side", "tolerance"), [(24, 0.15), (32, 0.12), (64, 0.06), (128, 0.04)])
def test_chen_finds_white_noise_in_small_pictures(side, tolerance):
    found = [chen(0.5 + white((side, side, 1), 25 / 255, seed)) * 255 for seed in range(4)]
    assert np.mean(found) == pytest.approx(25, rel=tolerance)


def test_chen_leaves_out_patches_with_clipped_samples():
    noisy = 0.5 + white((128, 128, 1), 25 / 255)
    noisy[:, :64] = 1.0
    assert chen(np.clip(noisy, 0, 1)) * 255 == pytest.approx(25, rel=0.05)


def test_chen_looks_at_the_last_row_and_column():
    # 5x5 patches at every position of 30x30, and 8x8 ones at every second of 250x250, which leaves one row over.
    for side in (30, 251):
        noisy = 0.5 + white((side, side, 3), 25 / 255)
        changed = noisy.copy()
        changed[-1] = 0.5
        assert chen(changed) != chen(noisy), side


def test_chen_scales_with_the_picture():
    noisy = clean_picture(128) + white((128, 128, 3), 10 / 255)
    assert chen(noisy / 16) * 16 == pytest.approx(chen(noisy), rel=1e-3)


def test_noise_free_rounding_never_gives_nan():
    assert chen(np.full((128, 128, 3), 0.3, np.float32)) == pytest.approx(0, abs=1e-6)


def test_clipped_share_counts_black_and_white_of_a_clipped_picture_only():
    noisy = np.linspace(0, 1, 192, dtype=np.float32)[:, None, None] + white((192, 192, 3), 25 / 255)
    outside = float(np.mean((noisy <= 0) | (noisy >= 1)))
    assert estimate_noise(np.clip(noisy, 0, 1)).clipped == pytest.approx(outside)
    assert estimate_noise(noisy).clipped == 0.0


def test_sensor_that_saturates_below_white_is_seen_as_clipped():
    noisy = np.minimum(np.linspace(0.2, 1, 192, dtype=np.float32)[:, None, None] + white((192, 192, 1), 0.05), 0.9)
    assert estimate_noise(noisy).clipped > 0.05


def test_grey_picture_in_a_colour_file_is_measured_as_grey():
    noisy = clean_picture(192, 1) + white((192, 192, 1), 15 / 255)
    grey, colour = estimate_noise(noisy), estimate_noise(np.repeat(noisy, 3, axis=2))
    assert colour.sigma == grey.sigma
    assert colour.channel_correlation == ((1.0,) * 3,) * 3
    assert len(colour.channels) == len(colour.slope) == 3


def test_grey_picture_with_a_coloured_mark_is_measured_as_grey():
    noisy = np.repeat(clean_picture(192, 1) + white((192, 192, 1), 15 / 255), 3, axis=2)
    noisy[:5, :20] = (1.0, 0.0, 0.0)
    assert estimate_noise(noisy).sigma * 255 == pytest.approx(15, rel=0.05)


def test_strong_luminance_noise_with_little_colour_is_not_called_clean():
    clean = clean_picture()
    noisy = clean + white((192, 192, 1), 15 / 255) + white(clean.shape, 3 / 255, seed=5)
    assert not estimate_noise(noisy).is_clean


def test_same_picture_gives_the_same_report():
    noisy = clean_picture() + white((192, 192, 3), 15 / 255)
    assert estimate_noise(noisy) == estimate_noise(noisy.copy())


def test_windows_of_a_large_picture_tell_what_all_of_it_does():
    noisy = clean_picture(768) + white((768, 768, 3), 15 / 255)
    assert estimate_noise(noisy, max_pixels=150_000).sigma == pytest.approx(15 / 255, rel=0.03)


def test_one_deviation_of_noise_that_grows_with_brightness_is_uncertain():
    clean = picture(192, 256)
    rng = np.random.default_rng(4)
    photons = (rng.poisson(clean * 30) / 30).astype(np.float32)
    white = (clean + 30 / 255 * rng.standard_normal(clean.shape)).astype(np.float32)
    assert estimate_noise(photons).uncertainty >= estimate_noise(photons).growth >= 0.1
    assert estimate_noise(white).uncertainty < 0.05
    assert estimate_noise(white).growth == 0


def test_uncertainty_grows_as_the_picture_shrinks():
    noisy = 0.5 + white((256, 256, 1), 15 / 255)
    assert estimate_noise(noisy[:32, :32]).uncertainty > 2 * estimate_noise(noisy).uncertainty


@pytest.mark.parametrize("shape", [(23, 400, 3), (400, 23, 1)])
def test_too_small_picture_is_refused_with_its_size(shape):
    with pytest.raises(NoiseError, match=f"{shape[1]}x{shape[0]}"):
        estimate_noise(np.zeros(shape, np.float32))


def test_grey_photographs_with_white_noise_are_known_within_a_few_percent():
    errors = []
    for path in photographs("test/bsd68", "*.png", 6):
        clean = read(path, cv2.IMREAD_GRAYSCALE)
        errors.append(estimate_noise(clean + white(clean.shape, 25 / 255)).sigma * 255 / 25 - 1)
    assert np.mean(np.abs(errors)) < 0.02
    assert np.max(np.abs(errors)) < 0.06


def test_camera_jpegs_are_noisy_and_their_long_means_mostly_clean():
    ratios, cleans = [], []
    for path in photographs("real/polyu", "*_real.JPG", 8):
        mean = read(path.with_name(path.name.replace("_real", "_mean")))
        picture = read(path)
        ratios.append(estimate_noise(picture).sigma / float((picture - mean).std()))
        cleans.append(estimate_noise(mean).is_clean)
    assert 0.6 < np.mean(ratios) < 1.2
    assert np.mean(cleans) >= 0.7


def test_correlated_noise_asks_for_a_higher_level_than_it_measures():
    rng = np.random.default_rng(3)
    planes = [cv2.GaussianBlur(rng.standard_normal((256, 256)).astype(np.float32), (0, 0), 0.6) for _ in range(3)]
    report = estimate_noise(np.stack([0.5 + 10 / 255 * plane / plane.std() for plane in planes], axis=-1))
    assert not report.is_white
    assert report.sigma == pytest.approx(10 / 255, rel=0.1)
    assert report.level == pytest.approx(report.sigma * (1 + 2 * report.correlation), rel=0.05)
    # Flattest patches far above the quietest blocks: it is texture that correlates.
    assert replace(report, flat=1.5 * report.sigma).level == report.sigma
    white = estimate_noise((0.5 + 10 / 255 * rng.standard_normal((256, 256, 3))).astype(np.float32))
    assert white.is_white
    assert white.level == white.sigma


def test_autocorrelation_of_flat_patches_is_that_of_the_noise():
    noise = coloured((256, 256, 3), 12 / 255)
    found = np.array(flattest(0.5 + noise).autocorrelation)
    middle = len(found) // 2
    assert found[middle, middle] == 1
    assert np.allclose(found, found[::-1, ::-1])
    for down, across in ((0, 1), (1, 0), (1, 1), (0, 2), (3, 2), (0, 5)):
        truth = float((noise[down:, across:] * noise[: 256 - down, : 256 - across]).mean() / (noise**2).mean())
        assert found[middle + down, middle + across] == pytest.approx(truth, abs=0.05)


def test_texture_hardly_reaches_the_autocorrelation():
    clean = clean_picture(256)
    noise = coloured(clean.shape, 12 / 255)
    alone, textured = (np.array(flattest(base + noise).autocorrelation) for base in (0.5, clean))
    assert np.abs(alone - textured).max() < 0.15


def test_white_noise_has_no_correlation_but_with_itself():
    report = estimate_noise(clean_picture() + white((192, 192, 3), 15 / 255))
    assert report.autocorrelation == ((1.0,),)
    assert report.is_independent
    assert report.dependence == pytest.approx(1)
    assert report.texture_gain == 0


def test_dependence_counts_neighbours_and_channels():
    report = estimate_noise(clean_picture() + coloured((192, 192, 3), 12 / 255))
    assert report.dependence == pytest.approx(np.square(report.autocorrelation).sum(), rel=0.3)
    same = estimate_noise(np.repeat(0.5 + coloured((192, 192, 1), 12 / 255), 3, axis=2))
    assert same.dependence == pytest.approx(3 * np.square(same.autocorrelation).sum())


def test_means_of_the_picture_are_those_of_its_samples():
    noisy = clean_picture() + white((192, 192, 3), 15 / 255)
    report = estimate_noise(noisy)
    assert report.mean == pytest.approx(noisy.mean((0, 1)), rel=1e-4)
    assert report.mean_square == pytest.approx((noisy**2).mean((0, 1)), rel=1e-4)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", np.clip(picture * 255, 0, 255).round(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED).reshape(picture.shape).astype(np.float32) / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 6)])
def test_a_jpeg_is_known_by_its_grid_wherever_it_was_cut(channels, top, left):
    noisy = clean_picture(256, channels) + coloured((256, 256, channels), 8 / 255)
    assert not is_jpeg(noisy)
    assert not is_jpeg(np.round(noisy * 255) / 255)
    assert is_jpeg(as_jpeg(noisy, 75)[top:, left:])
    assert not is_jpeg(as_jpeg(noisy, 75)[:20, :20])


def test_variance_grows_with_texture_in_noisy_jpegs_alone():
    noisy = clean_picture(256) + coloured((256, 256, 3), 8 / 255)
    assert estimate_noise(noisy).texture_gain == 0
    assert estimate_noise(as_jpeg(noisy, 75)).texture_gain > 0


def test_reports_of_a_folder_are_pooled_as_covariances_are():
    pictures = [0.5 + coloured((192, 192, 3), sigma / 255, seed=sigma) for sigma in (6, 12, 18)]
    reports = [estimate_noise(picture) for picture in pictures]
    found = pooled(reports)
    assert found.sigma == pytest.approx(math.sqrt(np.mean([r.sigma**2 for r in reports])))
    assert found.offset == pytest.approx(np.mean([r.offset for r in reports], axis=0))
    assert not found.is_white
    middle = len(found.autocorrelation) // 2
    assert found.autocorrelation[middle][middle] == pytest.approx(1)
    # A white picture among them pulls the correlation down, by its share of the variance.
    mixed = pooled([reports[1], estimate_noise(0.5 + white((192, 192, 3), 12 / 255))])
    assert mixed.autocorrelation[middle][middle + 1] == pytest.approx(
        reports[1].autocorrelation[middle][middle + 1] / 2, rel=0.1
    )
    assert pooled(reports[:1]).sigma == pytest.approx(reports[0].sigma)


def test_reports_that_cannot_be_pooled_are_refused():
    grey = estimate_noise(0.5 + white((64, 64, 1), 12 / 255))
    colour = estimate_noise(0.5 + white((64, 64, 3), 12 / 255))
    for reports in ([], [grey, colour]):
        with pytest.raises(ValueError, match="same number of channels"):
            pooled(reports)


def test_the_covariance_of_camera_jpegs_is_nearly_as_strong_as_their_noise():
    import torch

    from engine.covariance import CORRELATED, measured

    found, plain = [], []
    for path in photographs("real/polyu", "*_real.JPG", 6):
        noisy = read(path)
        noise = noisy - read(path.with_name(path.name.replace("_real", "_mean")))
        noise = noise - noise.mean((0, 1))
        report = estimate_noise(noisy)
        if report.is_clean:
            continue
        planes = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        deviation = measured(CORRELATED, planes, report.level, [report]).deviation
        found.append(float(deviation.square().mean().sqrt() / noise.std()))
        plain.append(report.sigma / float(noise.std()))
    assert 0.85 < np.mean(found) < 1.1
    assert np.mean(np.abs(np.log(found))) < 0.8 * np.mean(np.abs(np.log(plain)))


def test_pictures_of_one_camera_share_the_line_of_their_noise():
    """In units of the files, whatever levels each picture has."""
    # Of every picture: variance 0.03 X + 0.002 in the file's units.
    reports = []
    for black, white in ((0.0, 1.0), (0.0, 2.0), (0.1, 0.6)):
        span, mean = white - black, 0.4
        slope, offset = 0.03 / span, (0.03 * black + 0.002) / span**2
        flat = (slope * mean + offset) ** 0.5
        known = {"slope": (slope,) * 3, "offset": (offset,) * 3, "mean": (mean,) * 3}
        reports.append((report(3, flat, **known), (black, white)))
    line = shared_line(reports)
    assert line.offset[0] / line.slope[0] == pytest.approx(0.002 / 0.03)
    for own, levels in reports:
        shared = on_line(own, line, levels)
        assert shared.slope == pytest.approx(own.slope)
        assert shared.offset == pytest.approx(own.offset)
    wrong = replace(reports[1][0], slope=(0.0,) * 3, offset=(0.01,) * 3)
    assert on_line(wrong, line, reports[1][1]).slope == pytest.approx(reports[1][0].slope)


def test_a_line_is_not_given_to_pictures_with_other_channels():
    line = shared_line([(report(3), (0.0, 1.0))])
    assert on_line(report(1), line, (0.0, 1.0)) == report(1)
