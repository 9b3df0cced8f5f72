"""Every method in engine/methods keeps these promises; a new one is tested by being there."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from engine import params
from engine.denoise import Denoising
from engine.image import Image
from engine.method import Batch, MethodError, method_of, methods
from models import checkpoint, model

METHODS = sorted(methods())


def run(model_, image, seed=0, passes=None):
    values = params.make(model_.method.Params, {})
    work = Denoising(model_, image, values, sigma=0.1, seed=seed, tile=32)
    count = passes or model_.method.count(values)
    for _ in work.run(count):
        pass
    return work.mean(count)


@pytest.fixture
def image():
    return Image(np.random.default_rng(0).random((37, 51, 3), dtype=np.float32))


def test_all_methods_are_found_by_their_own_id():
    assert {"r2r", "plain"} <= set(METHODS)
    assert all(method_of(name).id == name for name in METHODS)


def test_an_unknown_method_names_the_choices():
    with pytest.raises(MethodError, match=r"There is no method 'x'; choose from .*r2r"):
        method_of("x")


@pytest.mark.parametrize("name", METHODS)
def test_result_is_finite_and_of_the_same_shape(name, image):
    result = run(model(method=name), image)
    assert result.shape == image.pixels.shape
    assert np.isfinite(result).all()


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_result(name, image):
    network = model(method=name)
    assert np.array_equal(run(network, image, 5), run(network, image, 5))


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
        batch = Batch(torch.rand(2, 3, 64, 64), torch.full((2, 1, 1, 1), 0.1))
        loss = stage.loss(network, batch, values, torch.Generator().manual_seed(0), 0.5)
        assert torch.isfinite(loss)
        loss.backward()
        for key, parameter in network.named_parameters():
            assert (parameter.grad is not None) == key.startswith(stage.trains)
