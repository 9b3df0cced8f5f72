"""Coloured noise has the covariance that was asked for, and depends on its position alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reports import autocorrelation, correlated, report

from engine.covariance import (
    CORRELATED,
    PER_CHANNEL,
    PILOT,
    RADIUS,
    SIGNAL_DEPENDENT,
    Covariance,
    measured,
    square_root,
)
from engine.field import NoiseField
from engine.method import MethodError


def unit(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def realised(kernel: np.ndarray) -> np.ndarray:
    """The autocorrelation that a kernel gives white noise, lags -12 to 12."""
    spectrum = np.abs(np.fft.fft2(kernel, (64, 64))) ** 2
    lags = np.arange(-2 * RADIUS, 2 * RADIUS + 1)
    return np.fft.ifft2(spectrum).real[np.ix_(lags, lags)]


@pytest.mark.parametrize("width", [0.3, 0.6, 1.0])
def test_the_kernel_is_a_square_root_of_the_autocorrelation(width):
    wanted = np.array(autocorrelation(width))
    kernel = square_root(autocorrelation(width))
    found = realised(kernel)
    assert np.allclose(kernel, kernel[::-1, ::-1])
    assert found[2 * RADIUS, 2 * RADIUS] == pytest.approx(1)
    near = slice(2 * RADIUS - 3, 2 * RADIUS + 4)
    assert np.abs(found[near, near] - wanted[RADIUS - 3 : RADIUS + 4, RADIUS - 3 : RADIUS + 4]).max() < 0.02
    # Cut at its radius and faded out: what is left beyond is small as well.
    padded = np.pad(wanted, RADIUS)
    assert np.abs(found - padded).max() < 0.1


def test_an_autocorrelation_that_no_noise_has_still_gives_a_kernel():
    # Neighbours at -0.4 and 0.4: the spectrum of this table is negative in places.
    table = np.zeros((5, 5))
    table[2, 2], table[2, 1], table[2, 3], table[1, 2], table[3, 2] = 1, 0.7, 0.7, -0.6, -0.6
    kernel = square_root(tuple(tuple(row) for row in table.tolist()))
    assert np.isfinite(kernel).all()
    assert np.linalg.norm(kernel) == pytest.approx(1)


def test_a_correlation_averaged_over_all_orientations_has_none():
    kernel = square_root(autocorrelation(0.6), True)
    assert np.allclose(kernel, kernel.T)
    assert np.allclose(kernel, kernel[::-1])
    assert not np.allclose(square_root(autocorrelation(0.6)), square_root(autocorrelation(0.6)).T)


def test_coloured_noise_has_the_variance_and_the_correlations_of_its_parts():
    kernel = torch.from_numpy(square_root(autocorrelation(0.6))).float()[None]
    wanted = torch.tensor([[1, 0.6, 0.1], [0.6, 1, 0.3], [0.1, 0.3, 1]])
    deviation = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5)) + 0.5
    covariance = Covariance(deviation, kernel, torch.linalg.cholesky(wanted)[None])
    assert covariance.around == RADIUS
    noise = covariance.colour(unit((200, 3, 64 + 2 * RADIUS, 64 + 2 * RADIUS))) / deviation
    found = realised(kernel[0].numpy())
    count = 200 * 64 * 64 / 6  # as many as independent ones, about
    error = 4 / math.sqrt(count)
    assert float(noise.square().mean()) == pytest.approx(1, abs=2 * error)
    for (a, b), value in {(0, 1): 0.6, (0, 2): 0.1, (1, 2): 0.3}.items():
        assert float((noise[:, a] * noise[:, b]).mean()) == pytest.approx(value, abs=error)
    for down, across in ((0, 1), (1, 0), (2, 1), (3, 0)):
        product = (noise[..., down:, across:] * noise[..., : 64 - down, : 64 - across]).mean()
        assert float(product) == pytest.approx(found[2 * RADIUS + down, 2 * RADIUS + across], abs=error)
    # Where one pixel is louder, it alone is.
    assert torch.allclose(covariance.variance(deviation), deviation**2)


def test_every_patch_is_coloured_by_its_own_kernel_and_mixing():
    kernels = torch.stack([torch.from_numpy(square_root(autocorrelation(w))).float() for w in (0.3, 1.0)])
    mixing = torch.stack([torch.eye(3), torch.linalg.cholesky(torch.full((3, 3), 0.5) + 0.5 * torch.eye(3))])
    z = unit((2, 3, 20, 20))
    together = Covariance(1.0, kernels, mixing).colour(z)
    for index in range(2):
        alone = Covariance(1.0, kernels[index : index + 1], mixing[index : index + 1]).colour(z[index : index + 1])
        assert torch.allclose(together[index], alone[0], atol=1e-6)


def test_coloured_noise_of_a_part_is_that_part_of_the_whole():
    field = NoiseField(3, 3)
    kernel = torch.from_numpy(square_root(autocorrelation(1.0))).float()[None]
    covariance = Covariance(1.0, kernel, torch.linalg.cholesky(torch.full((3, 3), 0.5) + 0.5 * torch.eye(3))[None])

    def noise(top, left, height, width):
        r = covariance.around
        return covariance.colour(
            torch.from_numpy(field.unit(0, top - r, left - r, height + 2 * r, width + 2 * r))[None]
        )

    whole = noise(0, 0, 300, 290)
    for top, left, height, width in ((0, 0, 5, 7), (250, 240, 20, 33), (299, 0, 1, 290)):
        assert torch.allclose(
            noise(top, left, height, width), whole[..., top : top + height, left : left + width], atol=1e-5
        )


@pytest.mark.parametrize("alpha", [0.05, 1.0, 20.0])
def test_the_parts_of_a_pair_multiply_to_the_covariance(alpha):
    kernel = torch.from_numpy(square_root(autocorrelation(0.6))).float()[None]
    covariance = Covariance(torch.full((1, 2, 8, 8), 0.3), kernel, torch.tensor([[[1.0, 0.0], [0.8, 0.6]]]))
    z = unit((1, 2, 8 + 2 * RADIUS, 8 + 2 * RADIUS))
    noise = covariance.colour(z)
    spread, bz = covariance.pair(z, alpha)
    assert torch.allclose(spread * bz, noise**2, rtol=1e-5)
    assert torch.allclose(spread, alpha * noise, rtol=1e-5)


def test_white_noise_is_drawn_as_the_paper_writes_it_to_the_bit():
    z, alpha, sigma = unit((2, 1, 8, 8)), torch.rand(2, 1, 1, 1) + 0.3, torch.rand(2, 1, 1, 1)
    spread, bz = measured("white", z, sigma).pair(z, alpha)
    assert torch.equal(spread, alpha * sigma * z)
    assert torch.equal(bz, sigma / alpha * z)
    assert measured("white", z, 0.1).variance(z) is None


def test_half_precision_does_not_reach_the_noise():
    kernel = torch.from_numpy(square_root(autocorrelation(0.6))).float()[None]
    covariance = Covariance(1.0, kernel, torch.eye(3)[None])
    z = unit((1, 3, 20, 20))
    with torch.autocast("cpu", torch.bfloat16):
        noise = covariance.colour(z)
    assert noise.dtype == torch.float32
    assert torch.equal(noise, covariance.colour(z))


def test_channels_are_as_loud_to_each_other_as_measured_and_sigma_on_average():
    found = measured(PER_CHANNEL, torch.rand(1, 3, 4, 4), 0.2, [report(flat=0.1, flat_channels=(0.05, 0.1, 0.132288))])
    deviation = found.deviation.flatten()
    assert torch.allclose(deviation / deviation[1], torch.tensor([0.5, 1, 1.32288]), rtol=1e-4)
    assert float(deviation.square().mean().sqrt()) == pytest.approx(0.2, rel=1e-4)


def test_variance_follows_the_line_at_the_brightness_around_and_never_falls_to_zero():
    ramp = torch.linspace(0, 1, 40).expand(1, 1, 40, 40)
    slope, offset = 0.02, -0.002
    flat = math.sqrt(0.5 * slope + offset)
    known = report(1, flat, slope=(slope,), offset=(offset,))
    variance = measured(SIGNAL_DEPENDENT, ramp, flat, [known]).variance(ramp)
    inner = ramp[..., PILOT:-PILOT]
    bright = inner > 0.2
    assert torch.allclose(variance[..., PILOT:-PILOT][bright], (slope * inner + offset)[bright], rtol=1e-4)
    assert float(variance.min()) == pytest.approx(0.05 * flat**2, rel=1e-4)
    louder = measured(SIGNAL_DEPENDENT, ramp, 2 * flat, [known]).variance(ramp)
    assert torch.allclose(louder, 4 * variance)


def test_correlated_noise_is_as_strong_as_measured_at_the_level_and_in_proportion_beside_it():
    known = replace(correlated(), correlation=0.4)
    assert known.level > 1.5 * known.sigma
    noisy = torch.full((1, 3, 16, 16), 0.5)
    at_level = measured(CORRELATED, noisy, known.level, [known])
    assert torch.allclose(at_level.deviation, torch.full((1, 3, 16, 16), known.sigma), rtol=1e-4)
    assert torch.allclose(measured(CORRELATED, noisy, known.level / 2, [known]).deviation * 2, at_level.deviation)


def test_correlated_noise_grows_with_texture_only_where_the_report_says_so():
    noisy = 0.5 + 0.05 * unit((1, 3, 32, 32))
    noisy[..., 16:] = 0.5
    still, grown = (
        measured(CORRELATED, noisy, known.level, [known]).deviation
        for known in (correlated(sigma=0.01), replace(correlated(sigma=0.01), texture_gain=0.3))
    )
    assert torch.allclose(still, torch.tensor(0.01))
    assert torch.allclose(grown[..., 20:], torch.tensor(0.01))
    # The local variance is 25 times the noise's: 25^0.3 = 2.6.
    assert float((grown[..., :12] / 0.01).square().mean()) == pytest.approx(2.6, rel=0.05)


def test_white_pictures_have_no_kernel_and_independent_channels_no_mixing():
    found = measured(CORRELATED, torch.rand(1, 3, 8, 8), 0.1, [report()])
    assert found.kernel is None
    assert found.mixing is None
    beside = measured(CORRELATED, torch.rand(2, 3, 8, 8), 0.1, [report(), correlated()])
    assert float(beside.kernel[0, RADIUS, RADIUS]) == pytest.approx(1)
    assert torch.equal(beside.mixing[0], torch.eye(3))


def test_equal_channels_of_a_grey_picture_get_equal_noise():
    known = replace(correlated(shared=1.0), joint=None)
    noise = measured(CORRELATED, torch.full((1, 3, 16, 16), 0.5), 0.1, [known]).colour(unit((1, 3, 28, 28)))
    assert float((noise[:, 0] - noise[:, 1]).std()) < 0.1 * float(noise.std())


def test_a_grey_network_gets_each_channel_of_a_colour_picture_with_its_own_noise():
    known = report(flat=0.1, flat_channels=(0.05, 0.1, 0.132288))
    alone = measured(PER_CHANNEL, torch.rand(3, 1, 4, 4), 0.1, [known])
    assert alone.deviation.shape == (3, 1, 1, 1)
    assert alone.deviation.flatten().tolist() == pytest.approx([0.05, 0.1, 0.132288], rel=1e-4)
    assert measured(CORRELATED, torch.rand(3, 1, 4, 4), 0.1, [correlated()]).mixing is None


@pytest.mark.parametrize("kind", [PER_CHANNEL, SIGNAL_DEPENDENT, CORRELATED])
def test_noise_that_was_not_measured_is_refused_in_one_sentence(kind):
    with pytest.raises(MethodError, match="was not; choose white"):
        measured(kind, torch.rand(1, 3, 8, 8), 0.1)


@pytest.mark.parametrize("kind", [PER_CHANNEL, SIGNAL_DEPENDENT, CORRELATED])
def test_a_picture_in_which_nothing_was_found_takes_sigma_alone(kind):
    nothing = report(sigma=0.0, flat=0.0, is_clean=True)
    found = measured(kind, torch.rand(1, 3, 8, 8), 0.1, [nothing])
    assert torch.isfinite(found.deviation).all()
    if kind == PER_CHANNEL:
        assert torch.allclose(found.deviation, torch.tensor(0.1))
