"""The mathematics of R2R: what must hold for the method to be the paper's."""

import itertools
import math

import numpy as np
import pytest
import torch

from engine.methods import r2r
from engine.methods.r2r import METHOD, R2RParams

SIGMA = 0.1


def unit(shape, seed=0):
    def field(index):
        generator = torch.Generator().manual_seed(seed * 1000 + index)
        return torch.randn(shape, generator=generator)

    return field


def collect(network, noisy, count, alpha=0.5, first=0):
    run = METHOD.passes(network, noisy, SIGMA, R2RParams(alpha=alpha), first, unit(noisy.shape))
    return list(itertools.islice(run, count))


def test_passes_come_in_antithetic_pairs():
    noisy = torch.rand(1, 1, 16, 16)
    given = []

    def identity(x, sigma):
        given.append(x)
        return x

    passes = collect(identity, noisy, 6)
    for plus, minus in zip(passes[::2], passes[1::2], strict=True):
        assert torch.allclose(plus.estimate + minus.estimate, 2 * noisy, atol=1e-6)
        assert torch.equal(plus.bz, -minus.bz)
    assert not torch.equal(passes[0].bz, passes[2].bz)


def test_the_first_pass_asked_for_is_the_one_that_comes():
    noisy = torch.rand(1, 1, 16, 16)
    all_of_them = collect(lambda x, sigma: x, noisy, 8)
    later = collect(lambda x, sigma: x, noisy, 4, first=4)
    assert all(torch.equal(a.estimate, b.estimate) for a, b in zip(all_of_them[4:], later, strict=True))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_noises_of_input_and_target_are_uncorrelated_with_the_variances_of_the_paper(alpha):
    shape = (1, 1, 400, 400)
    noise = SIGMA * torch.randn(shape, generator=torch.Generator().manual_seed(9))
    given = []
    passes = collect(lambda x, sigma: given.append(x) or x, noise, 2, alpha)
    recorrupted = given[0][:1]
    target = noise - passes[0].bz
    products = np.cov(recorrupted.numpy().ravel(), target.numpy().ravel())
    scale = SIGMA**2 * math.sqrt((1 + alpha**2) * (1 + alpha**-2) / noise.numel())
    assert abs(products[0, 1]) < 4 * scale
    assert products[0, 0] == pytest.approx(SIGMA**2 * (1 + alpha**2), rel=0.02)
    assert products[1, 1] == pytest.approx(SIGMA**2 * (1 + alpha**-2), rel=0.02)


def test_the_network_is_told_the_level_of_the_recorrupted_picture():
    told = []
    collect(lambda x, sigma: told.append(sigma) or x, torch.rand(1, 1, 8, 8), 2, alpha=1.0)
    assert torch.allclose(told[0], torch.full((2, 1, 1, 1), SIGMA * math.sqrt(2)))


def test_loss_of_the_perfect_network_is_the_variance_of_the_target():
    # With f = x the squared distance to the target is n - sigma z / alpha alone: weight times sigma^2 (1 + 1/alpha^2).
    clean = torch.full((64, 1, 32, 32), 0.5)
    sigma = torch.full((64, 1, 1, 1), SIGMA)
    noisy = clean + SIGMA * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    value = r2r.loss(lambda x, level: clean, noisy, sigma, R2RParams(), torch.Generator().manual_seed(2), 0.0)
    assert float(value) == pytest.approx(1.0, abs=0.02)


def test_loss_prefers_the_clean_picture_to_the_noisy_one_without_seeing_it():
    clean = torch.full((64, 1, 32, 32), 0.5)
    sigma = torch.full((64, 1, 1, 1), SIGMA)
    noisy = clean + SIGMA * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))

    def value(network):
        return float(r2r.loss(network, noisy, sigma, R2RParams(), torch.Generator().manual_seed(2), 0.0))

    assert value(lambda x, level: clean) < value(lambda x, level: 0.5 * (x + clean)) < value(lambda x, level: x)
