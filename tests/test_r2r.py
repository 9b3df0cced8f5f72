"""The mathematics of R2R: what must hold for the method to be the paper's, for every noise it knows."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from reports import autocorrelation, correlated, report
from torch.nn import functional as F

from engine import params, splits
from engine.covariance import CORRELATED, PER_CHANNEL, RADIUS, SIGNAL_DEPENDENT, Covariance, measured
from engine.denoise import Denoising, load_model
from engine.encode import save_image
from engine.image import Image
from engine.method import Batch, MethodError, Task
from engine.methods.r2r import METHOD, R2RParams, R2RTraining, automatic_alpha, loss
from engine.metrics import Sums, estimate_psnr, psnr
from engine.noise import estimate_noise
from learning import reached
from models import model
from training.job import TrainJob
from training.loop import train
from training.run import CHECKPOINT

SIGMA = 0.1
TRAINING = R2RTraining()


class Unit:
    """Unit noise, a function of seed and pass."""

    def __init__(self, shape, seed=0):
        self.shape, self.seed = shape, seed

    def unit(self, index, around=0):
        generator = torch.Generator().manual_seed(self.seed * 1000 + index)
        *batch, height, width = self.shape
        return torch.randn((*batch, height + 2 * around, width + 2 * around), generator=generator)


def task(noisy, values=None, *, first=0, seed=0, known=None, sigma=SIGMA):
    return Task(noisy, sigma, values or R2RParams(), first, Unit(noisy.shape, seed), known)


def collect(network, noisy, count, values=None, **options):
    return list(itertools.islice(METHOD.passes(network, task(noisy, values, **options)), count))


# ---- White noise, as in the paper ----


def test_passes_come_in_antithetic_pairs():
    noisy = torch.rand(1, 1, 16, 16)
    passes = collect(lambda x, sigma: x, noisy, 6)
    for plus, minus in zip(passes[::2], passes[1::2], strict=True):
        assert torch.allclose(plus.estimate + minus.estimate, 2 * noisy, atol=1e-6)
        assert torch.equal(plus.bz, -minus.bz)
    assert not torch.equal(passes[0].bz, passes[2].bz)


@pytest.mark.parametrize("kind", ["white", CORRELATED, "poisson", "gamma"])
def test_the_first_pass_asked_for_is_the_one_that_comes(kind):
    noisy, values = torch.rand(1, 1, 16, 16), R2RParams(noise_model=kind, gain=0.01)
    options = {"values": values, "known": correlated(1)}
    all_of_them = collect(lambda x, sigma: x, noisy, 8, **options)
    later = collect(lambda x, sigma: x, noisy, 4, first=4, **options)
    assert all(torch.equal(a.estimate, b.estimate) for a, b in zip(all_of_them[4:], later, strict=True))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 20.0])
def test_noises_of_input_and_target_are_uncorrelated_with_the_variances_of_the_paper(alpha):
    noise = SIGMA * torch.randn((1, 1, 400, 400), generator=torch.Generator().manual_seed(9))
    given = []
    passes = collect(lambda x, sigma: given.append(x) or x, noise, 2, R2RParams(alpha=alpha))
    target = noise - passes[0].bz
    products = np.cov(given[0][:1].numpy().ravel(), target.numpy().ravel())
    scale = SIGMA**2 * math.sqrt((1 + alpha**2) * (1 + alpha**-2) / noise.numel())
    assert abs(products[0, 1]) < 4 * scale
    assert products[0, 0] == pytest.approx(SIGMA**2 * (1 + alpha**2), rel=0.02)
    assert products[1, 1] == pytest.approx(SIGMA**2 * (1 + alpha**-2), rel=0.02)


def test_the_network_is_told_the_level_of_the_recorrupted_picture():
    told = []
    collect(lambda x, sigma: told.append(sigma) or x, torch.rand(1, 1, 8, 8), 2, R2RParams(alpha=1.0))
    assert torch.allclose(told[0], torch.full((2, 1, 1, 1), SIGMA * math.sqrt(2)))


def test_automatic_alpha_is_a_half_and_for_correlated_noise_one():
    assert automatic_alpha(R2RParams()) == automatic_alpha(R2RParams(noise_model="poisson")) == 0.5
    assert automatic_alpha(R2RParams(noise_model=CORRELATED)) == 1.0
    assert automatic_alpha(R2RParams(alpha=0.3, noise_model=CORRELATED)) == 0.3
    assert METHOD.settled(R2RParams()).alpha == 0.5


# ---- Every noise: the risk is unbiased ----

SIDE, DRAWS = 48, 96


def clean_batch(channels=1):
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    plane = 0.45 + 0.2 * torch.sin(x / 5) * torch.cos(y / 4) + 0.15 * (x > 25)
    return torch.stack([plane * (1 - 0.15 * c) for c in range(channels)]).expand(DRAWS, channels, SIDE, SIDE)


def blur(x, sigma=None):
    """A linear denoiser, and a poor one: a small error is hard to tell from none."""
    weight = torch.tensor([1.0, 6.0, 1.0]).outer(torch.tensor([1.0, 6.0, 1.0])) / 64
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), weight.expand(x.shape[1], 1, 3, 3), groups=x.shape[1])


def shrink(x, sigma=None):
    """A denoiser that is far from linear: what differs from the blur is kept where it is strong."""
    smooth = blur(blur(x))
    rest = x - smooth
    return smooth + rest * rest**2 / (rest**2 + 0.01)


def draws(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LINE = report(1, math.sqrt(0.02 * 0.5 + 0.001), slope=(0.02,), offset=(0.001,))
"""Variance 0.02 x + 0.001: three times as much in the bright parts as in the dark ones."""


def true_variance(x):
    return 0.02 * x + 0.001


def white_noise(x, seed):
    return x + SIGMA * draws(x.shape, seed)


def channel_noise(x, seed):
    return x + torch.tensor([0.05, 0.1, 0.15]).view(3, 1, 1) * draws(x.shape, seed)


def signal_noise(x, seed):
    return x + true_variance(x).sqrt() * draws(x.shape, seed)


CAMERA = correlated()
ROUND = replace(correlated(), autocorrelation=autocorrelation(0.8, tall=1.0))
"""Noise without a direction: in training nobody knows how a patch was turned."""


def correlated_noise(x, seed, known=None):
    size, known = SIDE + 2 * RADIUS, known or CAMERA
    return x + measured(CORRELATED, x, known.level, [known]).colour(draws((DRAWS, 3, size, size), seed))


def round_noise(x, seed):
    return correlated_noise(x, seed, ROUND)


def poisson_noise(x, seed):
    return 0.02 * torch.poisson(x / 0.02, generator=torch.Generator().manual_seed(seed))


def gamma_noise(x, seed):
    return torch.from_numpy(np.random.default_rng(seed).gamma(10.0, x.numpy() / 10)).float()


def gaussian(covariance):
    """How noise of a covariance is recorrupted, and the target's mean variance as far as it is known."""

    def split(y, alpha, seed):
        found = covariance(y)
        size = [*y.shape[:2], *(side + 2 * found.around for side in y.shape[2:])]
        spread, bz = found.pair(draws(size, seed), alpha)
        variance = found.variance(y)
        power = SIGMA**2 if variance is None else variance.mean((1, 2, 3))
        return y + spread, y - bz, power * (1 + alpha**-2)

    return split


def split_poisson(y, alpha, seed):
    given, target, _ = splits.poisson(y, 0.02, alpha, draws(y.shape, seed))
    return given, target, 0.02 * y.mean((1, 2, 3)) * (1 + alpha**-2)


def split_gamma(y, alpha, seed):
    given, target, _ = splits.gamma(y, 10.0, alpha, draws(y.shape, seed))
    return given, target, (y**2).mean((1, 2, 3)) / 11 * (1 + alpha**-2)


CHANNELS = report(3, 0.108012, flat_channels=(0.05, 0.1, 0.15))
CASES = {
    "white": (1, white_noise, gaussian(lambda y: measured("white", y, SIGMA))),
    "per channel": (3, channel_noise, gaussian(lambda y: measured(PER_CHANNEL, y, 0.108012, [CHANNELS]))),
    "signal-dependent, known": (1, signal_noise, gaussian(lambda y: Covariance(true_variance(clean_batch()).sqrt()))),
    "signal-dependent": (1, signal_noise, gaussian(lambda y: measured(SIGNAL_DEPENDENT, y, LINE.flat, [LINE]))),
    "correlated": (
        3,
        correlated_noise,
        gaussian(lambda y: measured(CORRELATED, y, CAMERA.level, [CAMERA])),
    ),
    "poisson": (1, poisson_noise, split_poisson),
    "gamma": (1, gamma_noise, split_gamma),
    "correlated taken for white": (3, correlated_noise, gaussian(lambda y: measured("white", y, SIGMA))),
}


def relative_errors(case, denoiser, alpha):
    """(mean, standard error) of the estimated mean squared error of a pass, as a part of the true one, over DRAWS."""
    channels, noise, split = CASES[case]
    x = clean_batch(channels)
    given, target, constant = split(noise(x, 1), alpha, 2)
    denoised = denoiser(given)
    truth = ((denoised - x) ** 2).mean((1, 2, 3))
    found = ((denoised - target) ** 2).mean((1, 2, 3)) - constant
    errors = (found - truth) / truth.mean()
    return float(errors.mean()), float(errors.std()) / math.sqrt(DRAWS)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
@pytest.mark.parametrize("denoiser", [blur, shrink])
@pytest.mark.parametrize("case", [case for case in CASES if case != "correlated taken for white"])
def test_distance_to_the_target_less_its_variance_is_the_true_error(case, denoiser, alpha):
    error, standard_error = relative_errors(case, denoiser, alpha)
    # A test that cannot tell a tenth from nothing would not see a wrong covariance.
    assert standard_error < 0.07
    assert abs(error) < 3.5 * standard_error


@pytest.mark.parametrize("denoiser", [blur, shrink])
def test_white_noise_assumed_for_correlated_makes_the_error_seem_far_too_small(denoiser):
    error, standard_error = relative_errors("correlated taken for white", denoiser, 0.5)
    assert error < -0.25
    assert error < -10 * standard_error


KNOWN = {
    "white": (1, white_noise, R2RParams(), None, SIGMA),
    "white, repaired": (1, white_noise, R2RParams(ratio=0.8), None, SIGMA),
    "white, repaired the other way": (1, white_noise, R2RParams(ratio=1.3, alpha=0.7), None, SIGMA),
    "per channel": (3, channel_noise, R2RParams(noise_model=PER_CHANNEL), CHANNELS, 0.108012),
    "signal-dependent": (1, signal_noise, R2RParams(noise_model=SIGNAL_DEPENDENT), LINE, LINE.flat),
    "correlated": (3, correlated_noise, R2RParams(noise_model=CORRELATED), CAMERA, CAMERA.level),
    "correlated, repaired": (
        3,
        correlated_noise,
        R2RParams(noise_model=CORRELATED, ratio=0.7),
        correlated(),
        correlated().level,
    ),
    "poisson": (1, poisson_noise, R2RParams(noise_model="poisson", gain=0.02), None, SIGMA),
    "gamma": (1, gamma_noise, R2RParams(noise_model="gamma", gain=0.1), None, SIGMA),
    "correlated taken for white": (3, correlated_noise, R2RParams(), None, SIGMA),
}


def averaged_errors(case, denoiser, passes):
    """As `relative_errors`, of the mean of T passes and the estimate that the engine makes of it, with its spread."""
    channels, noise, values, known, sigma = KNOWN[case]
    x = clean_batch(channels)
    y = noise(x, 3)
    made = collect(denoiser, y, passes, values, known=known, sigma=sigma, seed=4)
    mean = torch.stack([each.estimate for each in made]).mean(0)
    truth = ((mean - x) ** 2).mean((1, 2, 3))
    divergence = torch.stack([((each.estimate - y) * each.bz).sum((1, 2, 3)) for each in made]).mean(0)
    variance = made[0].variance
    power = torch.full((DRAWS,), sigma**2 * y[0].numel()) if variance is None else variance.sum((1, 2, 3))
    residual = ((mean - y) ** 2).sum((1, 2, 3))
    found = []
    for index in range(DRAWS):
        sums = Sums(y[0].numel(), *(float(part[index]) for part in (residual, divergence, power)))
        found.append((sums.residual - sums.power + 2 * sums.divergence) / sums.samples)
        estimate = estimate_psnr(sums)
        assert estimate.psnr_db is None or estimate.psnr_db == pytest.approx(-10 * math.log10(found[-1]), abs=1e-3)
    errors = (torch.tensor(found) - truth) / truth.mean()
    return float(errors.mean()), float(errors.std()) / math.sqrt(DRAWS)


@pytest.mark.parametrize("passes", [2, 4])
@pytest.mark.parametrize("denoiser", [blur, shrink])
@pytest.mark.parametrize("case", [case for case in KNOWN if case != "correlated taken for white"])
def test_estimated_error_of_the_mean_of_passes_is_unbiased(case, denoiser, passes):
    error, standard_error = averaged_errors(case, denoiser, passes)
    assert standard_error < 0.025
    assert abs(error) < 3.5 * standard_error


def test_estimated_error_is_wrong_where_white_noise_is_assumed_for_correlated():
    error, standard_error = averaged_errors("correlated taken for white", shrink, 4)
    assert error < -0.2
    assert error < -10 * standard_error


# ---- A wrong sigma in training ----


@pytest.mark.parametrize(("ratio", "alpha"), [(0.7, 0.5), (0.9, 1.0), (1.3, 0.5)])
def test_what_a_wrong_level_in_training_leaves_is_taken_out(ratio, alpha):
    # Pixels of variance s^2 around zero: the best network for a target is a factor, the right one s^2 / variance.
    s, count = 0.3, (1, 1, 1500, 1500)
    x = s * draws(count, 1)
    y, z = x + SIGMA * draws(count, 2), draws(count, 3)
    assumed = ratio * SIGMA
    given, target = y + alpha * assumed * z, y - assumed / alpha * z
    factor = float((given * target).sum() / (given * given).sum())
    right = s**2 / (s**2 + SIGMA**2 * (1 + (alpha * ratio) ** 2))
    assert abs(factor - right) > 0.004
    seen = []

    def network(x, sigma):
        seen.append((x, sigma))
        return factor * x

    repaired = collect(network, y, 2, R2RParams(alpha=alpha, ratio=ratio))[0].estimate
    assert float((repaired / seen[0][0][:1]).median()) == pytest.approx(right, abs=0.0015)
    # It sees what it saw in training: noise of that strength, told that level.
    assert float(seen[0][0][:1].var()) == pytest.approx(float(given.var()), rel=0.01)
    assert torch.allclose(seen[0][1], torch.tensor(assumed * math.sqrt(1 + alpha**2)))


# ---- In the engine ----


@pytest.fixture(scope="module")
def tiny():
    return model()


KINDS = {
    "per channel": (R2RParams(noise_model=PER_CHANNEL), CHANNELS),
    "signal-dependent": (R2RParams(noise_model=SIGNAL_DEPENDENT), replace(CHANNELS, slope=(0.01, 0.02, 0.0))),
    "correlated": (R2RParams(noise_model=CORRELATED), replace(correlated(), texture_gain=0.3)),
    "poisson": (R2RParams(noise_model="poisson"), report()),
    "gamma": (R2RParams(noise_model="gamma"), report()),
    "repaired": (R2RParams(ratio=0.8), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_leave_no_trace_whatever_the_noise(tiny, kind):
    values, known = KINDS[kind]
    image = Image(np.random.default_rng(1).random((40, 300, 3), dtype=np.float32))
    results = []
    for side in (32, 512):
        work = Denoising(tiny, image, values, sigma=0.1, tile=side, report=known)
        list(work.run(2))
        results.append((work.mean(2), work.sums(2)))
    assert np.abs(results[0][0] - results[1][0]).max() < 1e-5
    assert results[0][1].power == pytest.approx(results[1][1].power, rel=1e-5)
    assert results[0][1].divergence == pytest.approx(results[1][1].divergence, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_network_takes_a_colour_picture_with_any_noise(kind):
    values, known = KINDS[kind]
    image = Image(np.random.default_rng(1).random((20, 24, 3), dtype=np.float32))
    work = Denoising(model(1), image, values, sigma=0.1, report=known)
    list(work.run(2))
    assert work.mean(2).shape == image.pixels.shape
    assert np.isfinite(work.mean(2)).all()


def test_trace_of_the_covariance_is_that_of_the_noise_in_use(tiny):
    image = Image(np.full((30, 30, 3), 0.5, np.float32))
    grown = replace(correlated(), correlation=0.4)
    for kind, known, sigma, expected in (
        ("white", grown, grown.level, grown.level),
        (PER_CHANNEL, CHANNELS, 0.2, 0.2),
        (CORRELATED, grown, grown.level, grown.sigma),
        ("poisson", report(), 0.1, 0.1),
        # The mean square holds the noise as well, of which this picture has none.
        ("gamma", report(), 0.1, math.sqrt(0.25 / 26)),
    ):
        work = Denoising(tiny, image, R2RParams(noise_model=kind), sigma=sigma, report=known)
        list(work.run(2))
        assert math.sqrt(work.sums(2).power / 2700) == pytest.approx(expected, rel=0.01)


def test_psnr_is_estimated_for_correlated_noise_only_with_its_covariance_and_then_with_a_wider_band(tiny):
    known = replace(correlated(), correlation=0.4)
    noise = correlated_noise(clean_batch(3), 7)[0].permute(1, 2, 0).numpy()
    estimates = {}
    for kind in ("white", PER_CHANNEL, CORRELATED):
        work = Denoising(tiny, Image(noise), R2RParams(noise_model=kind), sigma=known.level, report=known)
        list(work.run(2))
        estimates[kind] = work.estimate(2, report=known)
        wide, narrow = (estimate_psnr(work.sums(2), pairs=1, dependence=d) for d in (known.dependence, 1.0))
    for kind in ("white", PER_CHANNEL):
        assert estimates[kind].psnr_db is None
        assert "correlates" in estimates[kind].reason
    assert estimates[CORRELATED].psnr_db is not None
    assert estimates[CORRELATED] == wide
    assert wide.band_db > 1.3 * narrow.band_db
    assert known.dependence > 2


def test_gain_follows_from_sigma_and_brightness():
    told = {}

    def network(x, sigma):
        told["input"] = x
        return x

    y = torch.full((1, 1, 300, 300), 0.5)
    for kind, variance in (("poisson", 0.02), ("gamma", 0.02)):
        known = report(1, math.sqrt(variance), mean=(0.5,), mean_square=(0.25 + variance,))
        for gain in (None, variance / 0.5 if kind == "poisson" else variance / 0.25):
            values = R2RParams(noise_model=kind, gain=gain, alpha=1.0)
            (one, _) = collect(network, y, 2, values, known=known, sigma=math.sqrt(variance))
            # Given y, the input varies by alpha^2 times the noise's variance at this brightness.
            assert float(one.estimate.var()) == pytest.approx(variance, rel=0.12)


@pytest.mark.parametrize("kind", ["poisson", "gamma"])
def test_an_unknown_gain_is_asked_for_in_one_sentence(kind):
    with pytest.raises(MethodError, match="give the gain"):
        collect(blur, torch.rand(1, 1, 8, 8), 1, R2RParams(noise_model=kind))


# ---- Training ----


def batch_of(noisy, sigma=SIGMA, reports=()):
    return Batch(noisy, torch.full((len(noisy), 1, 1, 1), sigma), reports=reports)


def value_of(network, batch, training=TRAINING, seed=2):
    return float(loss(network, batch, training, torch.Generator().manual_seed(seed), 0.0))


def test_loss_of_the_perfect_network_is_the_variance_of_the_target():
    # With f = x the squared distance to the target is n - sigma z / alpha alone: weight times sigma^2 (1 + 1/alpha^2).
    x = torch.full((64, 1, 32, 32), 0.5)
    value = value_of(lambda _, level: x, batch_of(white_noise(x, 1)))
    assert value == pytest.approx(1.0, abs=0.02)


def test_loss_prefers_the_clean_picture_to_the_noisy_one_without_seeing_it():
    x = torch.full((64, 1, 32, 32), 0.5)
    batch = batch_of(white_noise(x, 1))
    values = [value_of(lambda given, _, share=share: x + share * (given - x), batch) for share in (0, 0.5, 1)]
    assert values == sorted(values)
    assert values[0] < values[1] - 0.01


LOSSES = {
    "per channel": (3, channel_noise, R2RTraining(noise_model=PER_CHANNEL), CHANNELS, 0.108012),
    "signal-dependent": (1, signal_noise, R2RTraining(noise_model=SIGNAL_DEPENDENT), LINE, LINE.flat),
    "correlated": (3, round_noise, R2RTraining(noise_model=CORRELATED, alpha=1.0), ROUND, SIGMA),
    "pooled": (3, round_noise, R2RTraining(noise_model=CORRELATED, pool="batch"), ROUND, SIGMA),
    "poisson": (1, poisson_noise, R2RTraining(noise_model="poisson", gain=0.02), None, SIGMA),
    "gamma": (1, gamma_noise, R2RTraining(noise_model="gamma", gain=0.1, alpha=0.5), None, SIGMA),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_is_lowest_for_a_network_that_keeps_none_of_the_noise(kind):
    channels, noise, training, known, sigma = LOSSES[kind]
    x = clean_batch(channels)
    batch = batch_of(noise(x, 1), sigma, [known] * DRAWS if known else ())
    # f = x + share (input - x): with independent noises in input and target, share^2 is all that is added.
    values = {s: value_of(lambda given, _, s=s: x + s * (given - x), batch, training) for s in (-0.2, 0.0, 0.2)}
    assert values[0.0] < min(values[-0.2], values[0.2])
    # The parabola's lowest point.
    step = (values[0.2] - values[-0.2]) / (2 * (values[0.2] + values[-0.2] - 2 * values[0.0]))
    assert abs(0.2 * step) < 0.02


def test_loss_for_white_noise_keeps_correlated_noise():
    x = clean_batch(3)
    batch = batch_of(correlated_noise(x, 1))
    values = [value_of(lambda given, _, s=s: x + s * blur(given - x), batch) for s in (0.0, 0.2)]
    assert values[1] < values[0] - 0.01


def test_patches_of_several_pictures_are_recorrupted_by_their_own_noise():
    x = torch.full((2, 3, 64, 64), 0.5)
    loud, quiet = correlated(sigma=0.2), correlated(sigma=0.02)
    given = []
    batch = batch_of(x, reports=[loud, quiet])
    training = R2RTraining(noise_model=CORRELATED, alpha=1.0)
    value_of(lambda noisy, level: given.append((noisy, level)) or noisy, batch, training)
    noisy, level = given[0]
    assert (noisy - x).std((1, 2, 3)).tolist() == pytest.approx([0.2, 0.02], rel=0.1)
    assert level.flatten().tolist() == pytest.approx([loud.level * math.sqrt(2), quiet.level * math.sqrt(2)])


def test_a_fixed_alpha_is_the_one_that_is_drawn():
    told = []
    batch = batch_of(torch.rand(4, 1, 16, 16))
    value_of(lambda x, level: told.append(level) or x, batch, R2RTraining(alpha=2.0))
    assert torch.allclose(told[0], torch.tensor(SIGMA * math.sqrt(5)))


@pytest.mark.parametrize("kind", [PER_CHANNEL, SIGNAL_DEPENDENT, CORRELATED, "poisson", "gamma"])
def test_training_for_noise_that_was_not_measured_is_refused_in_one_sentence(kind):
    with pytest.raises(MethodError, match=r"not measured|was not; choose white"):
        value_of(blur, batch_of(torch.rand(2, 1, 16, 16)), R2RTraining(noise_model=kind))


def test_a_checkpoint_keeps_the_noise_it_was_trained_for():
    assert METHOD.suggests(TRAINING) == {}
    suggested = METHOD.suggests(R2RTraining(noise_model=CORRELATED, alpha=20.0))
    assert params.make(R2RParams, {}, suggested) == R2RParams(noise_model=CORRELATED, alpha=20.0)


def scene(seed):
    """A clean picture (128, 128, 3) of discs on a gradient, and it with noise that correlates with its neighbours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:128, 0:128] / 128
    clean = np.stack([0.3 + 0.2 * x + 0.1 * c * y for c in range(3)], -1)
    for _ in range(8):
        centre, radius = rng.uniform(0, 1, 2), rng.uniform(0.04, 0.16)
        clean[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] += rng.uniform(-0.2, 0.2, 3)
    noise = np.dstack([cv2.GaussianBlur(rng.standard_normal((128, 128)), (0, 0), 0.8) for _ in range(3)])
    return clean.astype(np.float32), (clean + 20 / 255 * noise / noise.std()).astype(np.float32)


@pytest.mark.slow
def test_training_with_the_covariance_removes_correlated_noise_that_white_noise_assumed_keeps(tmp_path):
    folder = tmp_path / "noisy"
    folder.mkdir()
    for seed in range(8):
        save_image(Image(scene(seed)[1], bits=32), folder / f"{seed}.tif")
    unseen = [scene(seed) for seed in (100, 101)]
    reached = {"noisy": np.mean([psnr(noisy, clean) for clean, noisy in unseen])}
    for kind in ("white", CORRELATED):
        job = TrainJob(
            data=str(folder), network="unet-tiny", steps=250, batch=8, patch=32, learning_rate=5e-3, device="cpu",
            params={"noise_model": kind},
        )  # fmt: skip
        (tmp_path / kind).mkdir()
        list(train(job, tmp_path / kind))
        trained = load_model(tmp_path / kind / CHECKPOINT, device="cpu")
        values = params.make(R2RParams, {}, trained.checkpoint.params)
        assert values.noise_model == kind
        found = []
        for clean, noisy in unseen:
            known = estimate_noise(noisy)
            work = Denoising(trained, Image(noisy), values, sigma=known.level, report=known)
            list(work.run(4))
            found.append(psnr(work.mean(4), clean))
        reached[kind] = np.mean(found)
    assert reached[CORRELATED] > reached["noisy"] + 3
    assert reached[CORRELATED] > reached["white"] + 1


def test_the_band_of_a_measured_correlation_does_not_close_where_a_wrong_scale_would_cancel():
    sums = Sums(10**6, residual=1e6 * 0.01, divergence=1e6 * 0.005, power=1e6 * 0.01)
    white, measured_ = (estimate_psnr(sums, uncertainty=0.35, dependence=d).band_db for d in (1.0, 9.0))
    assert white < 0.1
    assert measured_ > 1


def test_pictures_with_black_where_no_photon_came_have_an_estimate_only_as_counts(tiny):
    noisy = poisson_noise(0.2 * clean_batch(3), 5)[0].permute(1, 2, 0).numpy()
    known = report(
        sigma=math.sqrt(0.02 * noisy.mean()), mean=(float(noisy.mean()),) * 3, clipped=float((noisy == 0).mean())
    )
    assert known.clipped > 0.01
    for kind, is_known in (("white", False), ("poisson", True)):
        work = Denoising(tiny, Image(noisy), R2RParams(noise_model=kind), sigma=known.sigma, report=known)
        list(work.run(2))
        assert (work.estimate(2, report=known).psnr_db is not None) == is_known


def test_training_on_noisy_pictures_alone_beats_blurring_them(tmp_path):
    noisy, blurred, denoised = reached(tmp_path, method="r2r", network="unet-tiny", steps=300)
    assert denoised > noisy + 3
    assert denoised > blurred
