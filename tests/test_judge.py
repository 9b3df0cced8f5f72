"""The held-out criterion tells the true error, and which of two denoisers is better, from noisy pictures alone."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from reports import report
from scipy.ndimage import convolve
from torch import nn

from conftest import picture
from engine.noise import estimate_noise
from models import model
from training.judge import Judge, Window

SIGMA = 0.1


class Blur(nn.Module):
    """A Gaussian blur: a denoiser whose error is known."""

    multiple_of, margin = 1, 12

    def __init__(self, width: float, mixed: float = 1.0) -> None:
        super().__init__()
        line = torch.from_numpy(cv2.getGaussianKernel(25, width or 1e-3)[:, 0]).float()
        self.kernel, self.mixed = torch.outer(line, line)[None, None], mixed

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        planes = noisy.transpose(0, 1)
        blurred = nn.functional.conv2d(nn.functional.pad(planes, (12,) * 4, mode="reflect"), self.kernel)
        return (self.mixed * blurred + (1 - self.mixed) * planes).transpose(0, 1)


def blur(width: float, mixed: float = 1.0):
    return dataclasses.replace(model(method="plain"), network=Blur(width, mixed))


def clean_windows(count: int, side: int = 96) -> list[np.ndarray]:
    return [np.roll(picture(side, side), 17 * index, axis=1).astype(np.float32) for index in range(count)]


def white(count: int = 4, sigma: float = SIGMA):
    rng = np.random.default_rng(1)
    clean = clean_windows(count)
    noisy = [(c + sigma * rng.standard_normal(c.shape)).astype(np.float32) for c in clean]
    return clean, [Window(str(index), part, sigma) for index, part in enumerate(noisy)]


def true_error(judgement, clean, sigma: float = SIGMA) -> float:
    return float(np.mean([np.square(r - c).mean() for r, c in zip(judgement.results, clean, strict=True)]) / sigma**2)


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_the_estimated_error_is_the_true_one_for_white_noise(width):
    clean, windows = white()
    judged = Judge(windows, 0).judge(blur(width), {})
    assert judged.error == pytest.approx(true_error(judged, clean), abs=0.02)


def test_the_estimated_error_is_the_true_one_for_noise_that_correlates():
    kernel = np.outer([0.3, 0.9, 0.3], [0.3, 0.9, 0.3])
    kernel /= np.sqrt(np.square(kernel).sum())
    around = convolve(np.pad(kernel, 6), kernel, mode="constant")[1:-1, 1:-1]
    lags = tuple(tuple(row) for row in around.tolist())
    found = report(3, SIGMA, is_white=False, autocorrelation=lags)
    rng = np.random.default_rng(2)
    clean = clean_windows(4)
    noisy = [
        (c + SIGMA * convolve(rng.standard_normal(c.shape), kernel[..., None], mode="wrap")).astype(np.float32)
        for c in clean
    ]
    judge = Judge([Window(str(i), part, SIGMA, found) for i, part in enumerate(noisy)], 0)
    for width in (0.7, 1.5):
        judged = judge.judge(blur(width), {})
        assert judged.error == pytest.approx(true_error(judged, clean), abs=0.04)
    taken_for_white = Judge([Window(str(i), part, SIGMA) for i, part in enumerate(noisy)], 0).judge(blur(0.7), {})
    assert abs(taken_for_white.error - true_error(taken_for_white, clean)) > 0.1


def test_leaving_the_noise_as_it_is_has_the_error_one():
    _, windows = white()
    judge = Judge(windows, 0)
    judged = judge.judge(blur(0.0), {})
    assert judged.error == pytest.approx(1.0, abs=0.03)
    assert judged.shares.mean() == pytest.approx(1.0, abs=0.03)
    assert judge.untouched().error == 1.0


def test_psnr_is_estimated_with_a_band_that_holds_the_true_one():
    clean, windows = white()
    judge = Judge(windows, 0)
    judged = judge.judge(blur(1.0), {})
    psnr, band = judge.psnr(judged)
    true = -10 * np.log10(true_error(judged, clean) * SIGMA**2)
    assert psnr is not None
    assert abs(psnr - true) < band
    assert band < 1.5


def test_the_band_of_a_psnr_says_how_well_the_noise_is_known():
    _, windows = white()
    known = [dataclasses.replace(window, report=report(3, SIGMA, uncertainty=0.1)) for window in windows]
    sure, unsure = Judge(windows, 0), Judge(known, 0)
    for width in (0.0, 1.0):
        exact, wide = (judge.psnr(judge.judge(blur(width), {}))[1] for judge in (sure, unsure))
        assert wide > exact + 0.1


def test_the_better_of_two_is_found_and_its_gain_lies_in_the_band():
    clean, windows = white(8)
    judge = Judge(windows, 0)
    weak, strong = judge.judge(blur(0.5), {}), judge.judge(blur(1.0), {})
    gain = judge.gain(strong, weak)
    assert gain.is_better
    assert not judge.gain(weak, strong).is_better
    true = 10 * np.log10(true_error(weak, clean) / true_error(strong, clean))
    assert abs(gain.db - true) < gain.band_db


def test_no_difference_is_no_gain():
    _, windows = white()
    judge = Judge(windows, 0)
    judged = judge.judge(blur(1.0), {})
    gain = judge.gain(judged, judged)
    assert (gain.error, gain.is_better) == (0.0, False)


def test_smoothing_more_is_not_called_better_where_the_noise_is_not_known_well():
    rng = np.random.default_rng(3)
    noisy = [(c + SIGMA * rng.standard_normal(c.shape)).astype(np.float32) for c in clean_windows(4)]
    sure = Judge([Window(str(i), n, SIGMA, report(3, SIGMA)) for i, n in enumerate(noisy)], 0)
    unsure = Judge([Window(str(i), n, SIGMA, report(3, SIGMA, uncertainty=0.5)) for i, n in enumerate(noisy)], 0)
    for judge, is_better in ((sure, True), (unsure, False)):
        gain = judge.gain(judge.judge(blur(0.8), {}), judge.judge(blur(0.6), {}))
        assert gain.error > 0
        assert gain.is_better == is_better


def test_structure_in_the_residual_is_told():
    _, windows = white()
    judge = Judge(windows, 0)
    fair, harsh = judge.judge(blur(0.6), {}), judge.judge(blur(6.0), {})
    assert harsh.structure > fair.structure + 0.05


def test_an_estimate_from_measured_noise_is_close():
    rng = np.random.default_rng(4)
    clean = picture(192, 192).astype(np.float32)
    noisy = (clean + SIGMA * rng.standard_normal(clean.shape)).astype(np.float32)
    judged = Judge([Window("", noisy, SIGMA, estimate_noise(noisy))], 0).judge(blur(1.0), {})
    assert judged.error == pytest.approx(true_error(judged, [clean]), abs=0.1)
