"""DBSN is the paper's: it is blind to each pixel, its Bayes' rule is exact, and its files are those of its authors."""

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from conftest import picture
from engine import params
from engine.checkpoint import Checkpoint, save_checkpoint
from engine.denoise import Denoising
from engine.image import Image
from engine.method import Batch, MethodError, Task, build
from engine.methods.dbsn import (
    DBSN,
    METHOD,
    MWCNN,
    DBSNParams,
    DBSNTraining,
    _inverse,
    fuse,
    gain,
    negative_log_likelihood,
)
from learning import reached
from models import model
from training.loop import _follow

NOISES = ("awgn", "hg", "mg")
TINY = {"network": "dbsn", "width": 4, "blocks": 1}


def tiny(channels=3, noise="awgn", seed=0, **arch):
    torch.manual_seed(seed)
    return DBSN(channels, noise, **{"width": 4, "blocks": 1, **arch})


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def covariances(seed, size=2, strength=0.05):
    """Random covariances (size, 3, 3), float64."""
    factors = np.random.default_rng(seed).normal(0, strength, (size, 3, 3))
    return factors @ factors.transpose(0, 2, 1) + 1e-6 * np.eye(3)


# The network


@pytest.mark.parametrize(("channels", "mu"), [(1, 6_612_289), (3, 6_612_675)])
def test_the_blind_spot_network_has_as_many_parameters_as_published(channels, mu):
    network = DBSN(channels)
    assert count(network.mu) == mu
    assert count(network.mu.br1.branch[6]) == 387_840
    assert network.margin == 50


@pytest.mark.parametrize(
    ("channels", "noise", "sigma_mu", "sigma_n"),
    [(1, "awgn", 1_841, 865), (3, "awgn", 4_259, 3_395), (3, "hg", 4_259, 3_395), (3, "mg", 4_358, 3_494)],
)
def test_the_estimators_have_as_many_parameters_as_published(channels, noise, sigma_mu, sigma_n):
    network = tiny(channels, noise, width=96)
    assert (count(network.sigma_mu), count(network.sigma_n)) == (sigma_mu, sigma_n)


def test_tensors_have_the_names_of_the_authors_files():
    layers = ["dbsn_head.0", "concat", "dbsn_tail.0", "dbsn_tail.2", "dbsn_tail.4"]
    for branch in ("br1.branch.", "br2.branch."):
        layers += [f"{branch}{index}" for index in (0, 2, 4, 14)]
        for block in range(6, 14):
            inner = ("inception_br1.0", "inception_br1.2", "inception_br2.0", "inception_br2.2", "inception_br3.0")
            layers += [f"{branch}{block}.{name}" for name in inner]
            layers += [f"{branch}{block}.{name}" for name in ("concat", "middle_1x1_convs.0", "middle_1x1_convs.2")]
    mu = {f"mu.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert len(mu) == 282
    small = {f"sigma_mu.conv.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")}
    small |= {f"sigma_n.conv.{i}.{kind}" for i in (0, 2, 4, 6) for kind in ("weight", "bias")}
    small |= {"sigma_n.conv_final.weight", "sigma_n.conv_final.bias"}
    assert set(tiny(blocks=8).state_dict()) == mu | small


def seen(network, side):
    """Which pixels the middle one of `side` x `side` is made from, where no weight is below zero: nothing cancels."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    network.double()(x)[0, 0, side // 2, side // 2].backward()
    return (x.grad[0, 0] > 0).numpy()


def test_exactly_the_lattice_of_multiples_of_6_is_out_of_sight():
    y, x = np.mgrid[-55:56, -55:56]
    far = np.maximum(abs(y), abs(x))
    first = (far <= 33) & ((y % 2 != 0) | (x % 2 != 0))
    second = (far <= 50) & ((y % 3 != 0) | (x % 3 != 0))
    found = seen(tiny(1, width=2, blocks=8), 111)
    assert np.array_equal(found, first | second)
    near = far <= 33
    assert np.array_equal(~found[near], ((y % 6 == 0) & (x % 6 == 0))[near])


def test_a_smaller_network_sees_no_further_than_its_margin():
    network = tiny(1, width=2, blocks=2)
    found = seen(network, 41)
    reach = np.abs(np.argwhere(found) - 20).max()
    assert reach == network.margin == 14
    assert not found[20, 20]


@pytest.mark.parametrize("noise", NOISES)
def test_neither_mean_nor_uncertainty_depends_on_the_pixel_itself(noise):
    network = tiny(noise=noise, width=6, blocks=2).double()
    torch.nn.init.normal_(network.sigma_n.conv_final.weight)
    x = torch.rand(1, 3, 24, 24, dtype=torch.float64, requires_grad=True)
    mu, feature = network.mu(x)
    outputs = [mu, network.sigma_mu(feature)]
    if noise == "hg":
        outputs.append(network.noise_covariance(mu))
    for output in outputs:
        (gradient,) = torch.autograd.grad(output[0, :, 11, 13].double().sum(), x, retain_graph=True)
        assert (gradient[0, :, 11, 13] == 0).all()
        assert (gradient != 0).any()


def test_the_centre_taps_are_dead_whatever_is_written_there():
    network = tiny()
    x = torch.rand(1, 3, 20, 20)
    expected = network(x, None)

    def poison(target):
        with torch.no_grad():
            for layer in (target.mu.br1.branch[0], target.mu.br2.branch[0]):
                middle = layer.weight.shape[-1] // 2
                layer.weight[..., middle, middle] = torch.nan
        return target

    foreign = poison(copy.deepcopy(network)).state_dict()
    loaded = tiny(seed=1)
    loaded.load_state_dict(foreign)
    assert torch.equal(loaded(x, None), expected)
    average = copy.deepcopy(network)
    _follow(average, poison(copy.deepcopy(network)), 0.5)
    assert torch.allclose(average(x, None), expected, atol=1e-6)
    half = copy.deepcopy(loaded).bfloat16()
    assert torch.isfinite(half(x, None)).all()
    assert half(x, None).dtype == torch.float32
    loaded(x, None).sum().backward()
    assert (loaded.mu.br2.branch[0].weight.grad[..., 2, 2] == 0).all()


def test_a_network_that_cannot_be_says_why():
    with pytest.raises(MethodError, match="multivariate noise takes 3 channels, not 1"):
        build({**TINY, "channels": 1, "noise": "mg"})
    with pytest.raises(MethodError, match="is for noise awgn, hg, mg, not 'x'"):
        build({**TINY, "noise": "x"})


@pytest.mark.parametrize("channels", [1, 3])
def test_the_layers_are_put_together_as_published(channels):
    network = tiny(channels, "awgn", width=5, blocks=8)
    torch.nn.init.normal_(network.sigma_n.conv_final.weight, 0, 0.1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.normal_(0, 0.1)
    weights = network.state_dict()

    def conv(x, name, dilation=1, blind=False):
        weight = weights[f"{name}.weight"].clone()
        side = weight.shape[-1]
        if blind:
            weight[..., side // 2, side // 2] = 0
        pad = dilation * (side // 2)
        return torch.nn.functional.conv2d(x, weight, weights[f"{name}.bias"], padding=pad, dilation=dilation)

    def chain(x, stem, *indices):
        for index in indices:
            x = conv(x, f"{stem}.{index}").relu()
        return x

    x = torch.rand(2, channels, 20, 22)
    head = conv(x, "mu.dbsn_head.0").relu()
    branches = []
    for branch, dilation in (("mu.br1.branch", 2), ("mu.br2.branch", 3)):
        feature = chain(conv(head, f"{branch}.0", blind=True).relu(), branch, 2, 4)
        for index in range(6, 14):
            block = f"{branch}.{index}"
            arms = [chain(feature, f"{block}.{arm}", 0) for arm in ("inception_br1", "inception_br2", "inception_br3")]
            arms[0] = conv(arms[0], f"{block}.inception_br1.2", dilation).relu()
            arms[1] = conv(arms[1], f"{block}.inception_br2.2", dilation).relu()
            feature = conv(torch.cat(arms, 1), f"{block}.concat").relu() + feature
            feature = chain(feature, f"{block}.middle_1x1_convs", 0, 2)
        branches.append(conv(feature, f"{branch}.14"))
    feature = conv(torch.cat(branches, 1), "mu.concat")
    mu = conv(chain(feature, "mu.dbsn_tail", 0, 2), "mu.dbsn_tail.4")
    sigma_mu = conv(chain(feature, "sigma_mu.conv", 0, 2), "sigma_mu.conv.4") ** 2
    z = conv(chain(x, "sigma_n.conv", 0, 2, 4, 6), "sigma_n.conv_final") + (3e-4 if channels == 1 else 0)
    deviation = torch.nn.functional.softplus(z.mean((2, 3), keepdim=True) - 4) + 0.001
    found = network.moments(x)
    assert torch.allclose(found[0], mu, atol=1e-6)
    assert torch.allclose(found[1], sigma_mu, atol=1e-6)
    assert torch.allclose(found[2], deviation**2, rtol=1e-5, atol=0)


def test_the_level_begins_at_5_of_255():
    network = tiny(1)
    assert network.noise_covariance(torch.rand(1, 1, 8, 8)).sqrt().item() == pytest.approx(0.01915, abs=1e-4)


# Bayes' rule


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_independent_channels_are_fused_by_the_closed_form(gamma, channels):
    rng = np.random.default_rng(channels)
    noisy, mu = rng.random((2, 2, channels, 5, 7))
    sigma_mu, sigma_n = rng.uniform(1e-4, 0.02, (2, channels, 5, 7)), rng.uniform(1e-4, 0.02, (2, channels, 1, 1))
    expected = (mu / sigma_mu + gamma * noisy / sigma_n) / (1 / sigma_mu + gamma / sigma_n)
    given = [torch.from_numpy(a).float() for a in (noisy, mu, sigma_mu, sigma_n)]
    found = fuse(*given[:2], gain(*given[2:], gamma))
    assert np.abs(found.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5])
def test_correlated_channels_are_fused_by_the_closed_form(gamma):
    noisy, mu = np.random.default_rng(3).random((2, 2, 3, 5, 7))
    sigma_mu, sigma_n = covariances(4), covariances(5, strength=0.1)
    inverse_mu, inverse_n = np.linalg.inv(sigma_mu), gamma * np.linalg.inv(sigma_n)
    word = np.einsum("bij,bjhw->bihw", inverse_mu, mu) + np.einsum("bij,bjhw->bihw", inverse_n, noisy)
    expected = np.einsum("bij,bjhw->bihw", np.linalg.inv(inverse_mu + inverse_n), word)
    given = [torch.from_numpy(a).float() for a in (noisy, mu, sigma_mu, sigma_n)]
    found = fuse(*given[:2], gain(*given[2:], gamma))
    assert np.abs(found.numpy() - expected).max() < 1e-4


def test_more_gamma_is_nearer_to_the_noisy_pixel_in_grey_and_in_colour():
    noisy, mu = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    for sigma in (torch.full((1, 3, 1, 1), 0.01), 0.01 * torch.eye(3)[None]):
        found = [fuse(noisy, mu, gain(sigma, sigma, gamma)).mean().item() for gamma in (0.5, 1.0, 1.5)]
        assert found == pytest.approx([1 / 3, 1 / 2, 3 / 5], abs=1e-5)


@pytest.mark.parametrize("strength", [0.3, 0.05, 0.004])
def test_covariances_are_inverted_also_where_the_noise_is_weak(strength):
    sigma = covariances(6, 20, strength) + (0.2 * strength) ** 2 * np.eye(3)
    sigma[0] = strength**2 * np.array([[1, 0.99, 0], [0.99, 1, 0], [0, 0, 0.1]])
    inverse, logarithm = _inverse(torch.from_numpy(sigma).float())
    assert np.allclose(inverse.numpy() @ sigma, np.eye(3), atol=1e-3)
    assert np.allclose(logarithm.numpy(), np.linalg.slogdet(sigma)[1], atol=1e-3)


def test_a_singular_covariance_leaves_everything_finite():
    sigma = torch.full((1, 3, 3), 0.01, requires_grad=True)
    inverse, logarithm = _inverse(sigma)
    (inverse.sum() + logarithm.sum()).backward()
    assert torch.isfinite(inverse).all()
    assert torch.isfinite(sigma.grad).all()


# The losses


def test_the_likelihood_is_that_of_the_normal_distribution():
    rest = np.random.default_rng(7).normal(0, 0.1, (2, 3, 4, 5))
    sigma_mu, sigma_n = covariances(8), covariances(9)
    constant = 1.5 * np.log(2 * np.pi)

    def expected(covariance):
        points = rest.transpose(0, 2, 3, 1)
        densities = [multivariate_normal(cov=c).logpdf(p) for c, p in zip(covariance, points, strict=True)]
        return -np.mean(densities) - constant

    matrices = [torch.from_numpy(a) for a in (rest, sigma_mu, sigma_n)]
    assert negative_log_likelihood(*matrices).item() == pytest.approx(expected(sigma_mu + sigma_n), rel=1e-4)
    diagonal = [np.stack([np.diag(c) for c in s]) for s in (sigma_mu, sigma_n)]
    variances = [torch.from_numpy(d)[..., None, None] for d in diagonal]
    found = negative_log_likelihood(matrices[0], *variances).item()
    assert found == pytest.approx(expected([np.diag(d) for d in diagonal[0] + diagonal[1]]), rel=1e-6)


def test_the_constrained_likelihood_is_the_bound_of_the_paper():
    rest = torch.from_numpy(np.random.default_rng(7).normal(0, 0.1, (2, 3, 4, 5)))
    sigma_mu, sigma_n = covariances(8), covariances(9)
    sizes = [
        np.linalg.slogdet(n)[1] + np.trace(np.linalg.solve(n, mu)) for mu, n in zip(sigma_mu, sigma_n, strict=True)
    ]
    squares = [
        np.einsum("ihw,ij,jhw->hw", r, np.linalg.inv(mu + n), r).mean()
        for r, mu, n in zip(rest.numpy(), sigma_mu, sigma_n, strict=True)
    ]
    given = rest, torch.from_numpy(sigma_mu), torch.from_numpy(sigma_n)
    constrained = negative_log_likelihood(*given, constrained=True).item()
    assert constrained == pytest.approx(0.5 * np.mean(np.add(sizes, squares)), rel=1e-3)
    assert constrained > negative_log_likelihood(*given).item()
    variances = torch.full((2, 3, 4, 5), 0.02), torch.full((2, 3, 1, 1), 0.01)
    grey = negative_log_likelihood(rest, *variances, constrained=True).item()
    assert grey == pytest.approx(((rest**2 / 0.03).sum(1).mean().item() + 3 * (np.log(0.01) + 2)) / 2, rel=1e-4)


@pytest.mark.parametrize("matrix", [False, True])
def test_a_pixel_beyond_reason_counts_nothing_and_moves_nothing(matrix):
    shape = (2, 3, 4, 5)
    rest = torch.from_numpy(np.random.default_rng(7).normal(0, 0.1, shape)).float()
    far = rest.clone()
    far[0, 1, 2, 3] = 1e6
    sigma_n = 0.01 * torch.eye(3).expand(2, 3, 3) if matrix else torch.full((2, 3, 1, 1), 0.01)
    far.requires_grad_()
    sigma_mu = (0.1 * sigma_n if matrix else torch.full(shape, 0.001)).clone().requires_grad_()
    loss = negative_log_likelihood(far, sigma_mu, sigma_n, constrained=True)
    loss.backward()
    assert (far.grad[0, :, 2, 3] == 0).all()
    assert (far.grad != 0).sum() == rest.numel() - 3
    assert torch.isfinite(sigma_mu.grad).all()
    assert abs(loss.item() - negative_log_likelihood(rest, sigma_mu, sigma_n, constrained=True).item()) < 1
    assert torch.isnan(negative_log_likelihood(rest * torch.nan, sigma_mu, sigma_n))


@pytest.mark.parametrize("likelihood", ["mixed", "constrained", "plain"])
@pytest.mark.parametrize(("channels", "noise"), [(1, "awgn"), (1, "hg"), (3, "awgn"), (3, "hg"), (3, "mg")])
def test_every_stage_moves_only_its_own_networks(channels, noise, likelihood):
    training = DBSNTraining(likelihood)
    for stage, moved in zip(METHOD.stages(training), ({"mu"}, {"sigma_mu", "sigma_n"}, None), strict=True):
        network = tiny(channels, noise)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(stage.trains))
        batch = Batch(torch.rand(2, channels, 16, 16), torch.full((2, 1, 1, 1), 0.1))
        loss = stage.loss(network, batch, training, torch.Generator(), 0.0)
        assert torch.isfinite(loss)
        loss.backward()
        found = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
        assert found == (moved or {"mu", "sigma_mu", "sigma_n"})


@pytest.mark.parametrize(
    ("likelihood", "bounds"), [("mixed", (True, False)), ("constrained", (True, True)), ("plain", (False, False))]
)
def test_the_likelihood_is_the_one_that_was_chosen(likelihood, bounds):
    network, training = tiny(), DBSNTraining(likelihood)
    batch = Batch(torch.rand(2, 3, 16, 16), torch.full((2, 1, 1, 1), 0.1))
    mu, sigma_mu, sigma_n = network.moments(batch.noisy)
    for stage, bound in zip(METHOD.stages(training)[1:], bounds, strict=True):
        expected = negative_log_likelihood(batch.noisy - mu, sigma_mu, sigma_n, bound)
        assert torch.equal(stage.loss(network, batch, training, torch.Generator(), 0.0), expected)
        other = negative_log_likelihood(batch.noisy - mu, sigma_mu, sigma_n, not bound)
        assert not torch.equal(expected, other)


def test_the_last_stage_is_slower_where_the_covariance_is_hard_to_learn():
    rate = METHOD.stages(DBSNTraining())[-1].rate
    assert [rate(tiny(noise=noise)) for noise in NOISES] == [0.1, 0.1, 0.01]


@pytest.mark.slow
def test_training_on_noisy_pictures_alone_beats_blurring_them(tmp_path):
    torch.manual_seed(0)
    arch = {"network": "dbsn", "width": 16, "blocks": 2, "channels": 1}
    save_checkpoint(Checkpoint("start", "dbsn", arch, build(arch).state_dict()), tmp_path / "start.safetensors")
    options = {"start": str(tmp_path / "start.safetensors"), "grey": True, "patch": 32}
    noisy, blurred, denoised = reached(tmp_path, method="dbsn", steps=400, learning_rate=1e-2, **options)
    assert denoised > noisy + 3
    assert denoised > blurred


# The method


def run(model_, image, tile, **values):
    work = Denoising(model_, image, params.make(DBSNParams, values), sigma=0.1, tile=tile)
    for _ in work.run(1):
        pass
    return work.mean(1)


def noisy_image(channels=3, height=45, width=60):
    clean = picture(height, width)[..., :channels]
    return Image((clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32))


def lively(channels, noise):
    """A model whose estimates differ from pixel to pixel."""
    made = model(channels, "dbsn", **TINY, noise=noise)
    torch.manual_seed(1)
    torch.nn.init.normal_(made.network.sigma_n.conv_final.weight, 0, 0.5)
    return made


def planes(image, alone=False):
    """(1, C, H, W), or (C, 1, H, W)."""
    made = torch.from_numpy(image.pixels.transpose(2, 0, 1).copy())
    return made[:, None] if alone else made[None]


@pytest.mark.parametrize(("channels", "noise"), [(1, "awgn"), (1, "hg"), (3, "awgn"), (3, "hg"), (3, "mg")])
def test_tiles_share_what_is_known_of_the_whole_picture(channels, noise):
    made, image = lively(channels, noise), noisy_image()
    whole, tiled = run(made, image, 1024), run(made, image, 16)
    assert np.abs(whole - tiled).max() < 1e-5
    with torch.inference_mode():
        x = planes(image, alone=channels == 1)
        mu, sigma_mu, sigma_n = made.network.moments(x)  # its means are those of the whole picture
        expected = fuse(x, mu, gain(sigma_mu, sigma_n)).reshape(3, 45, 60).permute(1, 2, 0).numpy()
    assert np.abs(whole - expected).max() < 1e-5
    assert np.abs(expected - image.pixels).max() > 0.01


@pytest.mark.parametrize("noise", ["awgn", "mg"])
def test_a_tile_alone_would_take_other_statistics(noise):
    made, image = lively(3, noise), noisy_image()
    cut = Image(np.ascontiguousarray(image.pixels[:, :30]))
    inner = slice(0, 30 - made.network.margin)
    assert np.abs(run(made, image, 1024)[:, inner] - run(made, cut, 1024)[:, inner]).max() > 1e-5


def test_the_blind_result_is_the_mean_of_the_blind_spot_network():
    made, image = lively(3, "awgn"), noisy_image()
    with torch.inference_mode():
        expected = made.network(planes(image))[0].permute(1, 2, 0).numpy()
    assert np.abs(run(made, image, 16, result="blind") - expected).max() < 1e-5


def test_twice_the_noise_is_a_quarter_of_gamma():
    made, image = lively(3, "hg"), noisy_image()
    half = run(made, image, 64, gamma=0.5)
    assert np.abs(run(made, image, 64, noise_scale=2**0.5) - half).max() < 1e-5
    assert np.abs(run(made, image, 64) - half).max() > 1e-3


@pytest.mark.parametrize("result", ["fused", "blind"])
@pytest.mark.parametrize("noise", NOISES)
def test_the_divergence_is_that_of_the_jacobian(noise, result):
    network, sigma = lively(3, noise).network, 0.1
    noisy = planes(noisy_image(height=14, width=15))
    with torch.no_grad():
        statistics = network.survey(noisy)
    means = None if statistics is None else statistics.mean((2, 3), keepdim=True)

    def passed(x):
        task = Task(x, sigma, DBSNParams(result=result), 0, None, statistics=means)
        return next(METHOD.passes(network, task))

    found = passed(noisy)
    assert found.bz is None
    for channel, row, column in ((0, 3, 4), (1, 7, 7), (2, 12, 2)):
        x = noisy.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(passed(x).estimate[0, channel, row, column], x)
        expected = sigma**2 * gradient[0, channel, row, column]
        assert found.divergence[0, channel, row, column].item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("noise", NOISES)
def test_the_same_estimate_comes_with_every_pass(noise):
    task = Task(planes(noisy_image()), 0.1, DBSNParams(), 0, None)
    first, second = itertools.islice(METHOD.passes(lively(3, noise).network, task), 2)
    assert torch.equal(first.estimate, second.estimate)


def test_only_blind_spot_networks_with_estimators_are_trained():
    assert all(METHOD.fits(arch) for arch in METHOD.networks.values())
    assert not METHOD.fits({"network": "mwcnn"})
    assert not METHOD.fits({"network": "unet"})
    assert not METHOD.fits({**TINY, "estimates": False})


def level_of(network, sigma):
    """Let CNN_est find this deviation everywhere."""
    with torch.no_grad():
        network.sigma_n.conv_final.weight.zero_()
        network.sigma_n.conv_final.bias.fill_(4 + float(np.log(np.expm1(sigma - 0.001))))
    return network


def test_white_noise_of_the_learned_level_is_put_on_clean_pictures():
    network, clean = level_of(tiny(), 0.1), torch.full((4, 3, 64, 64), 0.5)
    ratios = []
    for seed in range(30):
        noise = METHOD.synthesise(network, clean, torch.Generator().manual_seed(seed)) - clean
        each = noise.std((1, 2, 3)) / 0.1
        assert each.max() - each.min() < 0.04  # one factor for the batch
        ratios.append(each.mean().item())
    assert 0.88 < min(ratios) < 0.95
    assert 1.05 < max(ratios) < 1.12


def test_an_estimator_of_noisy_pictures_is_asked_about_noisy_pictures():
    network, clean = level_of(tiny(), 0.1), torch.full((1, 3, 32, 32), 0.5)
    asked = []
    network.sigma_n.register_forward_hook(lambda layer, given, found: asked.append(given[0]))
    METHOD.synthesise(network, clean, torch.Generator().manual_seed(0))
    assert (asked[-1] - clean).std().item() == pytest.approx(0.1, rel=0.05)


def test_heteroscedastic_noise_follows_the_clean_picture():
    network = tiny(noise="hg")
    with torch.no_grad():  # z = 2 x + 1 in each channel
        for layer in (*network.sigma_n.conv[::2], network.sigma_n.conv_final):
            layer.weight.zero_()
            layer.bias.zero_()
            for channel in range(3):
                layer.weight[channel, channel] = 1
        network.sigma_n.conv_final.weight.mul_(2)
        network.sigma_n.conv_final.bias.fill_(1)
    clean = torch.full((1, 3, 64, 128), 0.1)
    clean[..., 64:] = 0.9
    noise = METHOD.synthesise(network, clean, torch.Generator().manual_seed(0)) - clean
    expected = [np.log1p(np.exp(2 * x + 1 - 4)) + 0.001 for x in (0.1, 0.9)]
    ratios = [noise[..., :64].std().item() / expected[0], noise[..., 64:].std().item() / expected[1]]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.03)
    assert 0.88 < ratios[0] < 1.12


def test_multivariate_noise_has_the_learned_covariance():
    network, clean = tiny(noise="mg"), torch.full((1, 3, 128, 128), 0.5)
    factor = torch.tensor([0.1, 0.03, -0.05, 0.08, 0.04, 0.06])
    with torch.no_grad():
        network.sigma_n.conv_final.weight.zero_()
        network.sigma_n.conv_final.bias.copy_(factor)
    upper = np.zeros((3, 3))
    upper[np.triu_indices(3)] = factor
    noise = METHOD.synthesise(network, clean, torch.Generator().manual_seed(0)) - clean
    found, expected = np.cov(noise[0].reshape(3, -1).numpy()), upper @ upper.T
    assert np.allclose(found / np.trace(found), expected / np.trace(expected), atol=0.01)
    assert 0.9**2 * 0.97 < np.trace(found) / np.trace(expected) < 1.1**2 * 1.03


# Files of others


def as_published(network, *parts):
    """The flattened file of its authors."""
    names = {"mu": "state_dict_dbsn", "sigma_mu": "state_dict_sigma_mu", "sigma_n": "state_dict_sigma_n"}
    return {
        f"{names[name.split('.')[0]]}.{name.partition('.')[2]}": tensor
        for name, tensor in network.state_dict().items()
        if name.split(".")[0] in (parts or names)
    }


def rebuilt(layout, arch=None):
    network = build(arch or layout.arch)
    network.load_state_dict(layout.weights)
    return network


@pytest.mark.parametrize(("channels", "noise"), [(1, "awgn"), (3, "hg")])
def test_a_published_file_asks_for_the_noise_that_its_tensors_cannot_say(channels, noise):
    network = tiny(channels, noise, hidden=16)
    (layout,) = METHOD.recognise(as_published(network))
    assert layout.asks == ("noise",)
    arch = layout.settle(SimpleNamespace(noise=noise))
    again = rebuilt(layout, arch)
    x = torch.rand(1, channels, 20, 20)
    assert all(torch.equal(a, b) for a, b in zip(again.moments(x), network.moments(x), strict=True))
    with pytest.raises(MethodError, match="noise awgn or hg, not 'mg'"):
        layout.settle(SimpleNamespace(noise="mg"))


def test_a_published_file_for_multivariate_noise_needs_no_answer():
    network = tiny(noise="mg")
    (layout,) = METHOD.recognise(as_published(network))
    assert (layout.asks, layout.arch["noise"]) == ((), "mg")
    x = torch.rand(1, 3, 20, 20)
    assert all(torch.equal(a, b) for a, b in zip(rebuilt(layout).moments(x), network.moments(x), strict=True))


@pytest.mark.parametrize("bare", [False, True])
def test_a_blind_spot_network_alone_shows_its_blind_mean_and_nothing_else(bare):
    network = tiny(1)
    weights = as_published(network, "mu")
    if bare:
        weights = {name.removeprefix("state_dict_dbsn."): tensor for name, tensor in weights.items()}
    (layout,) = METHOD.recognise(weights)
    assert layout.params == {"result": "blind"}
    alone, noisy = rebuilt(layout), torch.rand(1, 1, 20, 20)
    values = params.make(DBSNParams, layout.params)
    found = next(METHOD.passes(alone, Task(noisy, 0.1, values, 0, None)))
    assert torch.equal(found.estimate, network(noisy))
    assert METHOD.survey(alone, Task(noisy, 0.1, values, 0, None)) is None
    with pytest.raises(MethodError, match="only its blind result"):
        METHOD.survey(alone, Task(noisy, 0.1, DBSNParams(), 0, None))


def test_what_is_almost_a_published_file_is_left_to_others():
    good = as_published(tiny())
    name = "state_dict_dbsn.br1.branch.6.inception_br1.2.weight"
    assert METHOD.recognise(good)
    assert not METHOD.recognise({key: tensor for key, tensor in good.items() if key != name})
    assert not METHOD.recognise({**good, name: good[name][..., :3, :3]})
    assert not METHOD.recognise({**good, "state_dict_dbsn.more.weight": torch.zeros(1)})
    assert not METHOD.recognise({})
    huge = torch.zeros(1).expand(100_000, 1, 1, 1)
    assert not METHOD.recognise({**good, "state_dict_dbsn.dbsn_head.0.weight": huge})


# Its student


def test_the_student_has_the_published_parameters_and_names():
    network = MWCNN()
    assert count(network) == 16_145_892
    names = {
        f"level{level}_{way}.block.{index}.{kind}"
        for level in (1, 2, 3)
        for way in ("prev", "next")
        for index in (0, 2, 4, 6)
        for kind in ("weight", "bias")
    }
    assert set(network.state_dict()) == names | {"DWT.weight", "IWT.weight"}
    assert {tuple(network.state_dict()[f"{name}.weight"].shape) for name in ("DWT", "IWT")} == {(4, 1, 2, 2)}


def test_the_wavelets_are_orthonormal_and_never_trained():
    network = MWCNN(3, 4, 4)
    x = torch.rand(2, 3, 16, 24)
    bands = network.DWT(x)
    assert bands.shape == (2, 12, 8, 12)
    assert torch.allclose(bands.square().sum(), x.square().sum())
    assert torch.allclose(bands[:, ::4], 2 * torch.nn.functional.avg_pool2d(x, 2))
    assert torch.allclose(network.IWT.inverse(bands), x, atol=1e-6)
    assert not any(name.startswith(("DWT", "IWT")) for name, _ in network.named_parameters())


def test_the_student_has_its_shortcuts_at_every_level():
    torch.manual_seed(0)
    network, x = MWCNN(1, 4, 6).double(), torch.rand(1, 1, 16, 24, dtype=torch.float64)
    levels = [(network.get_submodule(f"level{i}_prev"), network.get_submodule(f"level{i}_next")) for i in (1, 2, 3)]

    def level(index, given):
        if index == 3:
            return given
        down, up = levels[index]
        return network.IWT.inverse(network.DWT(given) + up(level(index + 1, down(network.DWT(given)))))

    assert torch.allclose(network(x), level(0, x))


def test_the_student_sees_no_further_than_its_margin():
    network = MWCNN(1, 2, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    for shift in (0, 3, 7):
        x = torch.rand(1, 1, 272, 272, dtype=torch.float64, requires_grad=True)
        middle = 136 + shift
        network.double()(x)[0, 0, middle, middle].backward()
        reach = np.abs(np.argwhere(x.grad[0, 0].numpy() != 0) - middle).max()
        assert 100 < reach <= 119


def test_the_student_runs_in_tiles_as_in_one():
    made = model(1, "plain", network="mwcnn", width=4, wide=4)
    image = noisy_image(1, 45, 301)
    results = []
    for tile in (16, 1024):
        work = Denoising(made, image, params.make(made.method.Params, {}), sigma=0.1, tile=tile)
        for _ in work.run(1):
            pass
        results.append(work.mean(1))
    assert np.abs(results[0] - results[1]).max() < 1e-5
