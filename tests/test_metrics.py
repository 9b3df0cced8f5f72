"""PSNR, SSIM and the estimate are what their definitions say."""

import math

import numpy as np
import pytest

from engine.metrics import ReferenceMismatch, Sums, check_reference, estimate_psnr, psnr, shift_of, ssim


def test_psnr_of_a_known_difference():
    reference = np.full((300, 40, 3), 0.5, np.float32)
    assert psnr(reference + 0.1, reference) == pytest.approx(20.0, abs=1e-4)
    assert psnr(reference, reference) == math.inf


def test_psnr_clips_to_the_data_range_and_does_not_round():
    reference = np.zeros((20, 20, 1), np.float32)
    assert psnr(reference - 0.5, reference) == math.inf
    assert psnr(reference + 0.001, reference) == pytest.approx(60.0, abs=1e-3)


def test_shift_free_psnr_ignores_brightness_of_each_channel():
    rng = np.random.default_rng(0)
    reference = rng.uniform(0.2, 0.6, (64, 64, 3)).astype(np.float32)
    noisy = reference + 0.01 * rng.standard_normal(reference.shape).astype(np.float32)
    shifted = noisy + np.array([0.05, 0, -0.05], np.float32)
    shift = shift_of(shifted, reference)
    assert psnr(shifted, reference, shift=shift) == pytest.approx(psnr(noisy, reference), abs=0.01)
    assert psnr(shifted, reference) < 30
    assert ssim(shifted, reference, shift=shift) > ssim(shifted, reference) + 0.001


def test_ssim_equals_its_direct_computation():
    scipy = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (540, 60, 2))
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    expected = []
    for channel in range(2):
        a, b = x[..., channel], y[..., channel]

        def blur(v):
            return scipy.gaussian_filter(v, 1.5, truncate=3.35)

        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        values = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
        expected.append(values[5:-5, 5:-5])
    assert ssim(x, y) == pytest.approx(np.mean(expected), abs=1e-6)
    assert ssim(x, x) == pytest.approx(1.0)


def test_a_reference_of_another_size_is_refused_in_one_sentence():
    with pytest.raises(ReferenceMismatch, match=r"reference a\.png is 20x10 with 3 channel\(s\), the picture 10x10"):
        check_reference((10, 10, 3), (10, 20, 3), "a.png")


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.2])
def test_estimate_is_unbiased_for_a_linear_filter_at_any_strength(strength):
    # A blur has a known Jacobian, so the divergence sum can be written down without any pass.
    import cv2

    rng = np.random.default_rng(2)
    y, x = np.mgrid[0:128, 0:128]
    clean = (0.5 + 0.3 * np.sin(x / 9) * np.cos(y / 7)).astype(np.float64)
    sigma = 0.1
    kernel = cv2.getGaussianKernel(5, 1.0)
    centre = float(kernel[2, 0] ** 2)
    differences = []
    for _ in range(40):
        noisy = clean + sigma * rng.standard_normal(clean.shape)
        blurred = cv2.sepFilter2D(noisy, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
        sums = Sums(
            noisy.size, float(((blurred - noisy) ** 2).sum()), centre * sigma**2 * noisy.size, sigma**2 * noisy.size
        )
        estimate = estimate_psnr(sums, strength=strength)
        blended = noisy + strength * (blurred - noisy)
        true = 10 * math.log10(1 / float(((blended - clean) ** 2).mean()))
        assert estimate.psnr_db is not None
        differences.append(estimate.psnr_db - true)
    standard_error = np.std(differences) / math.sqrt(len(differences))
    assert abs(np.mean(differences)) < 4 * standard_error + 0.01


def test_no_number_is_given_for_an_error_that_is_not_above_zero():
    estimate = estimate_psnr(Sums(100, 0.0, 0.0, 1.0))
    assert estimate.psnr_db is None
    assert estimate.reason
