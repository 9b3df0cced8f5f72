"""Synthetic noise is the one that was asked for, and the same each time."""

import numpy as np
import pytest

from engine.corruption import Corruption, CorruptionError, rng_for


def noise_of(text, value, shape=(400, 400, 3), seed=0):
    """The noise on an even picture (shape), float64, and the level that was told."""
    clean = np.full(shape, value, np.float32)
    noisy, sigma = Corruption.parse(text).apply(clean, rng_for(seed, "a"))
    assert noisy.dtype == np.float32
    return noisy.astype(np.float64) - clean, sigma


GOOD = "gaussian:25 gaussian:0-75 poisson:30 poisson:5-50 gamma:10 gamma:4-20 hg:40-10 hg:25-25 hg-released:40-10"
GOOD += " mg mg:random"
BAD = "gaussian gaussian: gaussian:50-25 gaussian:300 salt:3 poisson:0 x:1.2.3 gamma:0 gamma:9-3 hg hg:40 hg:300-10"
BAD += " hg-released:40 mg:25 mg: gaussian:1.2.3"


@pytest.mark.parametrize("text", GOOD.split())
def test_specifications_round_trip(text):
    assert str(Corruption.parse(text)) == text


@pytest.mark.parametrize("text", BAD.split())
def test_other_specifications_are_refused(text):
    with pytest.raises(CorruptionError):
        Corruption.parse(text)


def test_what_cannot_be_read_names_every_form():
    with pytest.raises(CorruptionError, match=r"must read gaussian:S.*poisson:L.*gamma:L.*hg:S-C, hg-released:S-C, mg"):
        Corruption.parse("salt:3")


def test_gaussian_noise_has_its_level_and_is_not_clipped():
    clean = np.zeros((200, 200, 1), np.float32)
    noisy, sigma = Corruption.parse("gaussian:25").apply(clean, rng_for(0, "a"))
    assert sigma == 25 / 255
    assert noisy.std() == pytest.approx(sigma, rel=0.02)
    assert noisy.min() < -0.2


@pytest.mark.parametrize(
    ("text", "draw"),
    [
        ("gaussian:25", lambda clean, rng: clean + rng.normal(0.0, 25.0, clean.shape) / 255),
        ("gaussian:5-50", lambda clean, rng: clean + rng.normal(0.0, rng.uniform(5.0, 50.0), clean.shape) / 255),
        ("poisson:30", lambda clean, rng: rng.poisson(clean * 30.0) / 30.0),
    ],
)
def test_noise_is_to_the_bit_that_of_the_sets_made_before(text, draw):
    clean = np.random.default_rng(1).random((16, 16, 3))
    assert np.array_equal(
        Corruption.parse(text).apply(clean, rng_for(2, "a"))[0], draw(clean, rng_for(2, "a")).astype(np.float32)
    )


def test_poisson_noise_has_the_variance_of_its_photons():
    noise, sigma = noise_of("poisson:30", 0.5)
    assert noise.mean() == pytest.approx(0, abs=0.001)
    assert noise.var() == pytest.approx(0.5 / 30, rel=0.03)
    assert sigma == pytest.approx((0.5 / 30) ** 0.5)


@pytest.mark.parametrize("value", [0.2, 0.8])
def test_gamma_noise_grows_with_the_brightness(value):
    noise, sigma = noise_of("gamma:10", value)
    assert noise.mean() == pytest.approx(0, abs=0.002)
    assert noise.var() == pytest.approx(value**2 / 10, rel=0.03)
    assert sigma == pytest.approx(value / 10**0.5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_heteroscedastic_noise_adds_variances_and_the_released_one_deviations(value):
    noise, sigma = noise_of("hg:40-10", value)
    assert noise.std() == pytest.approx(np.hypot(40 * value, 10) / 255, rel=0.01)
    assert sigma == pytest.approx(np.hypot(40 * value, 10) / 255)
    noise, sigma = noise_of("hg-released:40-10", value)
    assert noise.std() == pytest.approx((40 * value + 10) / 255, rel=0.01)
    assert sigma == pytest.approx((40 * value + 10) / 255)


def test_the_level_of_uneven_noise_is_its_root_mean_square():
    clean = np.linspace(0, 1, 120_000, dtype=np.float32).reshape(200, 200, 3)
    for text in ("hg:40-10", "hg-released:40-10", "gamma:10", "poisson:30"):
        noisy, sigma = Corruption.parse(text).apply(clean, rng_for(0, "a"))
        assert np.sqrt(np.mean((noisy - clean) ** 2)) == pytest.approx(sigma, rel=0.01)


def test_multivariate_noise_has_the_covariance_of_the_published_validation():
    noise, sigma = noise_of("mg", 0.5)
    expected = np.array([[3438.9, 175.3, 286.1], [175.3, 3701.2, 289.1], [286.1, 289.1, 3360.5]])
    found = np.cov(noise.reshape(-1, 3).T) * 255**2
    assert np.abs(found - expected).max() < 60  # four standard errors: 3700 sqrt(2 / 160000) = 13
    assert sigma * 255 == pytest.approx((np.trace(expected) / 3) ** 0.5)


def test_random_covariances_are_drawn_once_a_picture_and_no_stronger_than_75():
    covariances = []
    for seed in range(20):
        noise, sigma = noise_of("mg:random", 0.5, (100, 100, 3), seed)
        covariance = np.cov(noise.reshape(-1, 3).T)
        assert np.trace(covariance) / 3 == pytest.approx(sigma**2, rel=0.1)
        assert (covariance > -0.01 * sigma**2 - 1e-4).all()
        assert sigma <= 75 / 255
        covariances.append(covariance)
    assert np.ptp([np.trace(c) for c in covariances]) > 0.01


def test_noise_over_three_colours_says_so_of_a_grey_picture():
    for text in ("mg", "mg:random"):
        with pytest.raises(CorruptionError, match=f"Noise {text} is for pictures of three colours; this one has 1"):
            Corruption.parse(text).apply(np.zeros((8, 8, 1), np.float32), rng_for(0, "a"))


@pytest.mark.parametrize("text", ["gaussian:0-75", "poisson:5-50", "gamma:1-20", "mg:random"])
def test_what_was_drawn_stays_for_a_second_copy(text):
    rng = rng_for(0, "a")
    clean = np.full((64, 64, 3), 0.5, np.float32)
    family = Corruption.parse(text)
    one = family.drawn(rng)
    assert one.apply(clean, rng)[1] == one.apply(clean, rng)[1]
    assert one.drawn(rng) == one
    assert family.drawn(rng) != one


def test_noise_depends_on_seed_and_name_not_on_order():
    clean = np.zeros((8, 8, 1), np.float32)
    noise = Corruption.parse("gaussian:25")
    first = noise.apply(clean, rng_for(0, "a"))[0]
    assert np.array_equal(first, noise.apply(clean, rng_for(0, "a"))[0])
    assert not np.array_equal(first, noise.apply(clean, rng_for(0, "b"))[0])
    assert not np.array_equal(first, noise.apply(clean, rng_for(1, "a"))[0])
