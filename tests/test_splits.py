"""Poisson and gamma noise fall into two parts that are unbiased, independent, and decided by the unit noise alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.splits import beta, binomial, gamma, poisson

SHAPE = (1, 1, 300, 300)


def unit(seed=0, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("count", [0, 1, 3, 20, 140, 170, 5000])
def test_binomial_draws_are_the_quantiles_of_the_distribution(count, share):
    scipy = pytest.importorskip("scipy.stats")
    z = unit()
    found = binomial(torch.full(SHAPE, float(count)), share, z).numpy()
    expected = scipy.binom.ppf(scipy.norm.cdf(z.double().numpy()), count, share)
    # The expansion moves a few by one; where the chances are summed up it is exact.
    assert np.abs(found - expected).max() <= (count * share * (1 - share) > 30)
    assert np.mean(found != expected) < 0.002
    if count:
        deviation = math.sqrt(count * share * (1 - share))
        assert abs(np.mean(found - expected)) < 1e-4 * deviation


@pytest.mark.parametrize(("looks", "share"), [(1, 0.2), (0.3, 0.5), (10, 0.2), (1000, 0.5)])
def test_beta_draws_are_the_quantiles_of_the_distribution(looks, share):
    scipy = pytest.importorskip("scipy.stats")
    z = unit(shape=(1, 1, 200, 200))
    a, b = looks * share, looks * (1 - share)
    expected = scipy.beta.ppf(scipy.norm.cdf(z.double().numpy()), a, b)
    assert np.abs(beta(a, b, z).numpy() - expected).max() < 0.02 * expected.std()


def test_each_patch_has_its_own_share():
    shares, z = torch.tensor([0.1, 0.6]).view(2, 1, 1, 1), unit(shape=(2, 1, 50, 50))
    counts = torch.full(z.shape, 40.0)
    looks = torch.tensor([2.0, 50.0]).view(2, 1, 1, 1)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.equal(binomial(counts, shares, z)[one], binomial(counts[one], float(shares[index]), z[one]))
        alone = beta(float(looks[index] * shares[index]), float(looks[index] * (1 - shares[index])), z[one])
        assert torch.allclose(beta(looks * shares, looks * (1 - shares), z)[one], alone, atol=1e-6)


def test_opposite_noise_gives_the_opposite_draw():
    z = unit()
    counts = torch.full(SHAPE, 7.0)
    assert torch.equal(binomial(counts, 0.5, z), 7 - binomial(counts, 0.5, -z))
    products = np.corrcoef(binomial(counts, 0.2, z).ravel(), binomial(counts, 0.2, -z).ravel())
    assert products[0, 1] < -0.8
    assert torch.allclose(beta(2.0, 2.0, z), 1 - beta(2.0, 2.0, -z), atol=1e-4)


def noisy_poisson(x, gain, seed):
    return gain * np.random.default_rng(seed).poisson(x / gain, SHAPE)


def noisy_gamma(x, gain, seed):
    return np.random.default_rng(seed).gamma(1 / gain, x * gain, SHAPE)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
@pytest.mark.parametrize(("noisy", "split", "gain"), [(noisy_poisson, poisson, 0.1), (noisy_gamma, gamma, 0.2)])
def test_parts_are_unbiased_and_independent_with_the_variances_of_the_paper(noisy, split, gain, alpha):
    x = 0.6
    y = torch.from_numpy(noisy(x, gain, 3)).float()
    given, target, bz = split(y, gain if split is poisson else 1 / gain, alpha, unit(1))
    variance = gain * x if split is poisson else gain * x**2
    count = y.numel()
    assert torch.allclose(target + bz, y, atol=1e-5)
    for part, expected in ((given, variance * (1 + alpha**2)), (target, variance * (1 + alpha**-2))):
        assert float(part.mean()) == pytest.approx(x, abs=4 * math.sqrt(expected / count))
        assert float(part.var()) == pytest.approx(expected, rel=0.03)
    # Independent, not only uncorrelated: no function of the input says anything of the target.
    rest = (target - target.mean()) / target.std()
    for function in (given, given**2, (given > x).float(), torch.sin(9 * given)):
        known = (function - function.mean()) / function.std()
        assert abs(float((known * rest).mean())) < 4 / math.sqrt(count)
        assert abs(float((known * (rest**2 - 1)).mean())) < 4 * float(rest.pow(4).mean().sqrt()) / math.sqrt(count)


@pytest.mark.parametrize(("split", "known"), [(poisson, 0.05), (gamma, 4.0)])
def test_what_is_taken_out_is_zero_on_average_for_every_noisy_value(split, known):
    for value in (0.05, 0.4, 1.0):
        y = torch.full(SHAPE, value)
        _, _, bz = split(y, known, 0.5, unit(2))
        assert abs(float(bz.mean())) < 4 * float(bz.std()) / math.sqrt(bz.numel()) + 1e-6


def test_the_draw_of_a_pixel_does_not_depend_on_its_neighbours():
    z, counts = unit(), torch.randint(0, 400, SHAPE, generator=torch.Generator().manual_seed(4)).float()
    whole = binomial(counts, 0.3, z)
    part = (..., slice(100, 130), slice(7, 300))
    assert torch.equal(binomial(counts[part], 0.3, z[part]), whole[part])
    assert torch.allclose(beta(3.0, 5.0, z[part]), beta(3.0, 5.0, z)[part], atol=1e-6)


def test_values_below_zero_and_none_at_all_give_finite_parts():
    y = torch.tensor([-0.3, 0.0, 1e-9, 5.0]).view(1, 1, 2, 2)
    for parts in (poisson(y, 1e-6, 20.0, unit(0, y.shape)), poisson(y, 1.0, 0.05, unit(0, y.shape))):
        assert all(torch.isfinite(part).all() for part in parts)
