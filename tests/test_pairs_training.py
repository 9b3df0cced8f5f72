"""Supervised and Noise2Noise training exist for comparison, say so, and are never taken for the self-supervised."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from app import cli
from conftest import picture
from engine.checkpoint import load_checkpoint
from engine.encode import save_image
from engine.image import Image
from engine.method import method_of, methods
from training.events import Validated
from training.job import TrainError, TrainJob
from training.loop import train
from training.patches import Sampler, load_pictures
from training.run import CHECKPOINT
from training.setup import network_named


@pytest.fixture
def job(tmp_path):
    data = tmp_path / "pictures"
    data.mkdir()
    for index in range(3):
        save_image(Image(picture(64 + index, 72).astype(np.float32)), data / f"{index}.png")
    return TrainJob(
        data=str(data), method="plain", target="clean", noise="gaussian:25", network="unet-tiny", steps=4, batch=4,
        patch=32, device="cpu",
    )  # fmt: skip


def test_without_a_target_the_sentence_says_what_to_give(job, tmp_path):
    with pytest.raises(TrainError, match=r"learns from pairs only: give --target clean or noisy, .* such as r2r"):
        list(train(replace(job, target=None), tmp_path))


@pytest.mark.parametrize("name", [name for name, method in methods().items() if not method.needs_pairs])
def test_a_self_supervised_method_takes_no_target(job, tmp_path, name):
    with pytest.raises(TrainError, match="learns from noisy pictures alone"):
        list(train(replace(job, method=name, network=None), tmp_path))


def test_it_is_not_listed_among_the_methods_that_train(capsys):
    assert cli.main(["methods", "--json"]) == 0
    listed = {line["id"]: line["trains"] for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert listed["plain"] is False
    assert listed["r2r"] is True


@pytest.mark.parametrize("noise", ["gaussian:25", "gaussian:5-75"])
def test_noisy_targets_are_a_second_draw_of_the_same_level(job, noise):
    job = replace(job, target="noisy", noise=noise, batch=64)
    pictures = load_pictures(job)
    clean = Sampler(pictures, replace(job, target="clean"))
    batch = Sampler(pictures, job).batch(np.random.default_rng(0))
    difference = (batch.noisy - batch.target).std((1, 2, 3))
    assert torch.allclose(difference, 2**0.5 * batch.sigma.flatten(), rtol=0.1)
    supervised = clean.batch(np.random.default_rng(0))
    residual = (supervised.noisy - supervised.target).std((1, 2, 3))
    assert torch.allclose(residual, supervised.sigma.flatten(), rtol=0.1)


@pytest.mark.parametrize("target", ["clean", "noisy"])
def test_pairs_teach_a_network_to_denoise(job, tmp_path, target):
    job = replace(
        job, target=target, validate=job.data, noise="gaussian:50", validate_noise="gaussian:50", steps=150, batch=8,
        learning_rate=5e-3,
    )  # fmt: skip
    after = [event for event in train(job, tmp_path) if isinstance(event, Validated)][-1]
    assert after.psnr_db > 14.15 + 3  # sigma 50 alone is 14.15 dB


@pytest.mark.parametrize(("target", "said"), [("clean", "trained on clean pictures"), ("noisy", "two noisy copies")])
def test_the_card_says_that_it_is_for_comparison_only(job, tmp_path, target, said):
    list(train(replace(job, target=target), tmp_path))
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    assert saved.method == "plain"
    assert said in saved.card.title
    assert "for comparison only" in saved.card.title
    assert f"--target {target}" in saved.card.command
    assert "no clean pixel" not in saved.card.trained_on


def test_networks_of_every_method_can_be_compared():
    plain = method_of("plain")
    for method in methods().values():
        for name, arch in method.networks.items():
            assert network_named(name, plain) == arch
        for name in method.architectures:
            assert network_named(name, plain)["network"] == name
    with pytest.raises(TrainError, match="There is no network 'x'"):
        network_named("x", plain)
