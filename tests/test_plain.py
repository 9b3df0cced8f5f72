"""A single network says how good its one pass is, and can be told the noise level."""

import math

import numpy as np
import pytest
import torch

from conftest import picture
from engine import params
from engine.denoise import Denoising
from engine.image import Image
from models import model

SIGMA = 25 / 255


def denoise(network, image, sigma=SIGMA, seed=0, **values):
    work = Denoising(network, image, params.make(network.method.Params, values), sigma=sigma, seed=seed)
    for _ in work.run(1):
        pass
    return work


def noisy_and_clean(seed, channels=1):
    clean = picture(96, 96)[..., :channels].astype(np.float32)
    noise = SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)
    return Image((clean + noise).astype(np.float32)), clean


def test_estimated_psnr_of_one_pass_is_unbiased():
    # A network with random weights is a poor denoiser, and the estimate must say how poor.
    network = model(1, method="plain", seed=3)
    differences, held = [], 0
    for seed in range(32):
        image, clean = noisy_and_clean(seed)
        work = denoise(network, image, seed=seed)
        estimate = work.estimate(1)
        true = 10 * math.log10(1 / float(((work.mean(1) - clean) ** 2).mean()))
        differences.append(estimate.psnr_db - true)
        held += abs(differences[-1]) <= estimate.band_db
    standard_error = np.std(differences) / math.sqrt(len(differences))
    assert abs(np.mean(differences)) < 3.5 * standard_error + 0.005
    assert np.std(differences) < 0.5
    assert held >= 27


def test_the_probe_finds_the_divergence_of_a_linear_filter():
    network = model(1, method="plain")
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1], weight[0, 0, 0, 1] = 0.3, 0.4
    network.network.forward = lambda x, sigma: torch.nn.functional.conv2d(x, weight, padding=1)
    found = [denoise(network, noisy_and_clean(seed)[0], seed=seed).sums(1) for seed in range(8)]
    shares = [sums.divergence / sums.power for sums in found]
    assert np.mean(shares) == pytest.approx(0.3, abs=0.01)


def test_without_the_estimate_the_picture_is_passed_once(monkeypatch):
    network = model(3, method="plain")
    calls = []
    forward = network.network.forward
    monkeypatch.setattr(network.network, "forward", lambda *given: calls.append(1) or forward(*given))
    image, _ = noisy_and_clean(0, 3)
    with_estimate, without = denoise(network, image), denoise(network, image, estimate="off")
    assert len(calls) == 2 + 1
    assert np.array_equal(with_estimate.mean(1), without.mean(1))
    assert without.estimate(1).psnr_db is None
    assert with_estimate.estimate(1).psnr_db is not None


def test_a_network_is_told_the_level_that_was_set():
    network = model(3, method="plain")
    image, _ = noisy_and_clean(0, 3)
    assert not np.array_equal(denoise(network, image).mean(1), denoise(network, image, sigma=2 * SIGMA).mean(1))
