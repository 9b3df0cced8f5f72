"""Synthetic noise is the one that was asked for, and the same each time."""

import numpy as np
import pytest

from engine.corruption import Corruption, CorruptionError, rng_for


def test_specifications_round_trip():
    for text in ("gaussian:25", "gaussian:0-75", "poisson:30", "poisson:5-50"):
        assert str(Corruption.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["gaussian", "gaussian:", "gaussian:50-25", "gaussian:300", "salt:3", "poisson:0", "x:1.2.3"]
)
def test_other_specifications_are_refused(text):
    with pytest.raises(CorruptionError):
        Corruption.parse(text)


def test_gaussian_noise_has_its_level_and_is_not_clipped():
    clean = np.zeros((200, 200, 1), np.float32)
    noisy, sigma = Corruption.parse("gaussian:25").apply(clean, rng_for(0, "a"))
    assert sigma == 25 / 255
    assert noisy.std() == pytest.approx(sigma, rel=0.02)
    assert noisy.min() < -0.2


def test_poisson_noise_has_the_variance_of_its_photons():
    clean = np.full((200, 200, 1), 0.5, np.float32)
    noisy, sigma = Corruption.parse("poisson:30").apply(clean, rng_for(0, "a"))
    assert noisy.mean() == pytest.approx(0.5, rel=0.01)
    assert noisy.var() == pytest.approx(0.5 / 30, rel=0.03)
    assert sigma == pytest.approx((0.5 / 30) ** 0.5)


def test_noise_depends_on_seed_and_name_not_on_order():
    clean = np.zeros((8, 8, 1), np.float32)
    noise = Corruption.parse("gaussian:25")
    first = noise.apply(clean, rng_for(0, "a"))[0]
    assert np.array_equal(first, noise.apply(clean, rng_for(0, "a"))[0])
    assert not np.array_equal(first, noise.apply(clean, rng_for(0, "b"))[0])
    assert not np.array_equal(first, noise.apply(clean, rng_for(1, "a"))[0])
