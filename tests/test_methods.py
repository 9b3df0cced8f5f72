"""Every method in engine/methods keeps these promises; a new one is tested by being there."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from engine import params
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.denoise import Denoising, load_model_from
from engine.image import Image
from engine.method import Batch, MethodError, method_of, methods
from models import checkpoint, model

METHODS = sorted(methods())
SIZE = (75, 101)


def run(model_, image, seed=0, passes=None, tile=None):
    values = params.make(model_.method.Params, {})
    work = Denoising(model_, image, values, sigma=0.1, seed=seed, tile=tile or 64)
    count = passes or model_.method.count(values)
    for _ in work.run(count):
        pass
    return work.mean(count)


def noisy(channels):
    return Image(np.random.default_rng(0).random((*SIZE, channels), dtype=np.float32))


@pytest.fixture
def image():
    return noisy(3)


def test_all_methods_are_found_by_their_own_id():
    assert {"r2r", "plain", "n2n", "dbsn", "apr-rd", "n2v"} <= set(METHODS)
    assert all(method_of(name).id == name for name in METHODS)


def test_an_unknown_method_names_the_choices():
    with pytest.raises(MethodError, match=r"There is no method 'x'; choose from .*r2r"):
        method_of("x")


def test_methods_that_share_a_parameter_mean_the_same_by_it():
    # On the command line it is one option.
    for kind in ("Params", "Training"):
        known = {}
        for method in methods().values():
            for spec in params.specs(getattr(method, kind)):
                other = known.setdefault(spec.name, spec)
                assert (spec.scale, bool(spec.choices)) == (other.scale, bool(other.choices)), spec.name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", METHODS)
def test_result_of_an_odd_size_is_finite_and_of_the_same_shape(name, channels):
    image = noisy(channels)
    result = run(model(channels, method=name), image)
    assert result.shape == image.pixels.shape
    assert np.isfinite(result).all()
    assert not np.array_equal(result, image.pixels)


@pytest.mark.parametrize("name", METHODS)
def test_a_grey_network_takes_a_colour_picture_channel_by_channel(name, image):
    network = model(1, method=name)
    result = run(network, image, passes=network.method.group)
    assert result.shape == image.pixels.shape
    if network.method.id not in ("r2r",):  # whose draws differ from channel to channel
        grey = Image(image.pixels[:, :, 1:2])
        assert np.allclose(run(network, grey, passes=network.method.group), result[:, :, 1:2], atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_result(name, image):
    network = model(method=name)
    assert np.array_equal(run(network, image, 5), run(network, image, 5))


@pytest.mark.parametrize("name", METHODS)
def test_tiles_leave_no_trace(name):
    # Larger than the networks' margins, or every tile would be the whole picture.
    image = Image(np.random.default_rng(1).random((40, 500, 3), dtype=np.float32))
    network = model(method=name)
    passes = network.method.group
    tiled, whole = run(network, image, passes=passes, tile=32), run(network, image, passes=passes, tile=512)
    assert np.abs(tiled - whole).max() < 5e-5  # of float32, where a division by a small variance amplifies rounding


@pytest.mark.parametrize("name", METHODS)
def test_a_run_can_be_stopped_after_one_step_and_goes_on_from_there(name, image):
    network = model(method=name)
    values = params.make(network.method.Params, {})
    count = network.method.count(values)
    work = Denoising(network, image, values, sigma=0.1, tile=64)
    stopped = work.run(count)
    next(stopped)
    stopped.close()
    for _ in work.run(count):
        pass
    assert np.array_equal(work.mean(count), run(network, image))


@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_survives_saving_to_the_bit(name, image, tmp_path):
    made = checkpoint(method=name)
    save_checkpoint(made, tmp_path / "a.safetensors")
    again = load_checkpoint(tmp_path / "a.safetensors")
    assert again.arch == made.arch
    first = load_model_from(made, device="cpu", precision="float32")
    second = load_model_from(again, device="cpu", precision="float32")
    assert np.array_equal(run(first, image), run(second, image))


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_weights_leave_the_picture_its_bits(name, image):
    exact = run(model(method=name), image, passes=2)
    rounded = run(model(method=name, precision="auto"), image, passes=2)
    assert np.sqrt(np.mean((exact - rounded) ** 2)) < 0.01


@pytest.mark.parametrize("name", METHODS)
def test_parameters_survive_json(name):
    for kind in (methods()[name].Params, methods()[name].Training):
        values = params.make(kind, {})
        assert params.make(kind, json.loads(json.dumps(asdict(values)))) == values


@pytest.mark.parametrize("name", METHODS)
def test_every_stage_has_a_finite_loss_and_moves_only_its_own_parameters(name):
    method = methods()[name]
    values = params.make(method.Training, {})
    stages = method.stages(values)
    if stages:
        assert sum(stage.share for stage in stages) == pytest.approx(1)
    for stage in stages:
        network = checkpoint(method=name).build().train()
        for key, parameter in network.named_parameters():
            parameter.requires_grad_(key.startswith(stage.trains))
        batch = Batch(torch.rand(2, 3, 64, 64), torch.full((2, 1, 1, 1), 0.1), torch.rand(2, 3, 64, 64))
        loss = stage.loss(network, batch, values, torch.Generator().manual_seed(0), 0.5)
        assert torch.isfinite(loss)
        loss.backward()
        moved = [key for key, parameter in network.named_parameters() if parameter.grad is not None]
        assert moved
        assert all(key.startswith(stage.trains) for key in moved)
