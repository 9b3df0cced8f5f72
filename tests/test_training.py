"""Training learns without clean pixels, stops and resumes, and leaves whole files."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import picture
from engine.checkpoint import load_checkpoint
from engine.encode import save_image
from engine.image import Image
from training.events import Ended, Saved, Started, Validated
from training.job import Preview, TrainError, TrainJob, read_job, write_job
from training.launch import follow
from training.loop import train
from training.patches import Sampler, load_pictures
from training.run import CHECKPOINT, STATE, STOP, begin


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "pictures"
    data.mkdir()
    for index in range(3):
        save_image(Image(picture(64 + index, 72).astype(np.float32)), data / f"{index}.png")
    return data


@pytest.fixture
def job(folder):
    return TrainJob(
        data=str(folder), noise="gaussian:25", network="unet-tiny", steps=6, batch=4, patch=32, device="cpu"
    )


def weights(run):
    return load_checkpoint(run / CHECKPOINT).weights


def test_a_run_reports_saves_and_ends(job, tmp_path):
    events = list(train(job, tmp_path))
    assert isinstance(events[0], Started)
    assert events[0].pictures == 3
    assert events[-2:] == [Saved(6), Ended(6, "finished")]
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    assert saved.method == "r2r"
    assert saved.channels == 3
    assert saved.card.steps == 6
    assert "no clean pixel" in saved.card.trained_on
    assert "--noise gaussian:25" in saved.card.command


def test_training_improves_on_pictures_it_never_saw_clean(folder, tmp_path):
    job = TrainJob(
        data=str(folder), validate=str(folder), noise="gaussian:50", validate_noise="gaussian:50", network="unet-tiny",
        steps=150, batch=8, patch=32, device="cpu", learning_rate=5e-3, seed=1,
    )  # fmt: skip
    after = [event for event in train(job, tmp_path) if isinstance(event, Validated)][-1]
    assert after.psnr_db > 14.15 + 3  # sigma 50 alone is 14.15 dB


def test_a_resumed_run_is_the_same_run(job, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    list(train(job, whole))
    steps = iter(range(100))
    # The learning rate follows the budget, so the first part must have the same one and be stopped.
    list(train(job, parts, lambda: next(steps) >= 3))
    assert torch.load(parts / STATE, weights_only=True)["step"] == 3  # noqa: TID251
    list(train(job, parts))
    first, second = weights(whole), weights(parts)
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_a_run_stopped_between_two_stages_goes_on_with_averaged_weights(job, tmp_path):
    # The first of its stages ends after six of ten steps.
    made = replace(job, method="dbsn", network="dbsn-small", steps=10, batch=2, patch=16)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    list(train(made, whole))
    steps = iter(range(100))
    list(train(made, parts, lambda: next(steps) >= 6))
    assert torch.load(parts / STATE, weights_only=True)["step"] == 6  # noqa: TID251
    list(train(made, parts))
    first, second = weights(whole), weights(parts)
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_the_stop_file_ends_the_run_and_keeps_it(job, tmp_path):
    (tmp_path / STOP).touch()
    events = list(train(job, tmp_path))
    assert events[-1] == Ended(0, "stopped")
    assert (tmp_path / CHECKPOINT).exists()


def test_noise_is_one_realisation_and_the_clean_picture_is_out_of_reach(job):
    first, again = load_pictures(job), load_pictures(job)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    clean = load_pictures(replace(job, fresh=True))
    residuals = [np.std(a.pixels - b.pixels) for a, b in zip(first, clean, strict=True)]
    assert residuals == pytest.approx([25 / 255] * 3, rel=0.05)


def test_patches_are_cut_from_the_pictures_and_carry_their_sigma(job):
    pictures = load_pictures(job)
    batch = Sampler(pictures, job).batch(np.random.default_rng(0))
    noisy = batch.noisy
    assert noisy.shape == (4, 3, 32, 32)
    assert torch.allclose(batch.sigma, torch.full((4, 1, 1, 1), 25 / 255))
    known = set(np.concatenate([picture.pixels.ravel() for picture in pictures]).tolist())
    assert set(noisy.numpy().ravel().tolist()) <= known


def test_patches_come_in_all_eight_orientations(job, tmp_path):
    corner = np.zeros((32, 32, 3), np.float32)
    corner[0, 1:9] = 1  # neither flips nor turns leave it as it is
    one = tmp_path / "one"
    one.mkdir()
    save_image(Image(corner), one / "corner.png")
    clean = replace(job, data=str(one), noise="gaussian:0", batch=100)
    batch = Sampler(load_pictures(clean), clean).batch(np.random.default_rng(0))
    assert len({patch.numpy().tobytes() for patch in batch.noisy}) == 8


def test_a_loss_that_is_not_finite_ends_the_run_as_failed(job, tmp_path, monkeypatch):
    from engine.methods import r2r

    def broken(network, batch, *_):
        return network(batch.noisy, batch.sigma).sum() * np.nan

    monkeypatch.setattr(r2r, "loss", broken)
    events = list(train(job, tmp_path))
    assert events[-1].reason == "failed"
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": None}, "either --minutes or --steps"),
        ({"steps": -1}, "more than zero"),
        ({"learning_rate": -1.0}, "above zero"),
        ({"target": "x", "noise": "gaussian:5"}, "clean or noisy"),
        ({"target": "clean", "noise": None}, "give the noise"),
        ({"patch": 30}, "a multiple of 8"),
        ({"noise": None, "fresh": True}, "Only noise that is put on"),
        ({"clean": "elsewhere"}, "give --clean to distil"),
        ({"noise": None, "domain": "mosaic", "replay": 0.25}, "--replay has no effect on mosaics"),
        ({"noise": None, "domain": "mosaic", "against": "x"}, "--against has no effect on mosaics"),
        ({"noise": None, "domain": "developed", "held_out": ("a",)}, "--held-out has no effect on mosaics"),
        ({"noise": None, "domain": "developed", "leave_out": ("a",)}, "--leave-out has no effect on mosaics"),
        ({"noise": None, "domain": "developed", "preview": Preview("a", 0, 0)}, "--preview has no effect on mosaics"),
        ({"noise": None, "domain": "developed", "budget_mb": 99}, "--memory has no effect on mosaics"),
        ({"replay": 0.5, "batch": 1}, "leave --replay out"),
        ({"patience": 3}, "give --hold-out"),
        ({"schedule": "plateau"}, "give --patience"),
        ({"seed": -1}, "from 0"),
        ({"threads": 0}, "--threads must be at least 1"),
    ],
)
def test_a_job_that_cannot_run_says_why(job, change, said):
    with pytest.raises(TrainError, match=said):
        replace(job, **change)


def test_a_folder_without_pictures_says_so(job, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TrainError, match="None of the 0 pictures"):
        list(train(replace(job, data=str(empty)), tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"validate": "nowhere"}, "no picture in nowhere"), ({"validate_noise": "loud"}, "must read gaussian")],
)
def test_what_cannot_be_validated_on_is_refused_before_the_training(job, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        next(train(replace(job, **{"validate": job.data, **change}), tmp_path))


def test_a_checkpoint_to_begin_from_and_another_network_are_not_both_taken(job, tmp_path):
    list(train(job, tmp_path))
    again = replace(job, start=str(tmp_path / CHECKPOINT), steps=1)
    (tmp_path / "again").mkdir()
    assert list(train(again, tmp_path / "again"))[-1] == Ended(1, "finished")
    with pytest.raises(TrainError, match="leave --network out"):
        list(train(replace(again, network="dncnn17"), tmp_path / "again"))


def test_the_command_of_a_card_can_be_typed(folder, job, tmp_path):
    spaced = folder.rename(folder.with_name("my pictures"))
    own = replace(job, data=str(spaced), noise=None, params={"noise_model": "per channel"}, steps=1)
    list(train(replace(own, names_in_card=True), tmp_path))
    words = shlex.split(load_checkpoint(tmp_path / CHECKPOINT).card.command)
    assert words[words.index("--data") + 1] == "my pictures"
    assert words[words.index("--noise-model") + 1] == "per channel"


def test_a_folder_of_own_pictures_is_not_named_unless_that_is_wanted(folder, job, tmp_path):
    secret = folder.rename(folder.with_name("secret"))
    own = replace(job, data=str(secret), noise=None, params={"noise_model": "per channel"}, steps=1)
    list(train(own, tmp_path))
    assert "secret" not in str(load_checkpoint(tmp_path / CHECKPOINT).card)


def test_a_network_that_does_not_exist_names_the_choices(job, tmp_path):
    with pytest.raises(TrainError, match="There is no network 'x'; choose from unet"):
        list(train(replace(job, network="x"), tmp_path))


def test_plain_networks_cannot_be_trained_on_noisy_pictures_alone(job, tmp_path):
    with pytest.raises(TrainError, match="Method 'plain' learns from pairs only"):
        list(train(replace(job, method="plain"), tmp_path))


def test_the_job_survives_its_file(job, tmp_path):
    write_job(job, tmp_path)
    assert read_job(tmp_path) == job
    with pytest.raises(TrainError, match="no job"):
        read_job(tmp_path / "elsewhere")


def test_every_event_is_a_line_of_the_run_folder(job, tmp_path):
    begin(job, tmp_path / "run")
    events = list(follow(tmp_path / "run"))
    lines = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__.lower() for event in events]
    with pytest.raises(TrainError, match="holds a run already"):
        begin(job, tmp_path / "run")


def test_a_failure_is_an_event_too(job, tmp_path):
    begin(replace(job, start="nowhere"), tmp_path / "run")
    with pytest.raises(ValueError, match="There is no model 'nowhere'"):
        list(follow(tmp_path / "run"))
    assert json.loads((tmp_path / "run/events.jsonl").read_text().splitlines()[-1])["reason"] == "failed"


@pytest.mark.parametrize("grey", [False, True])
def test_dilated_convolutions_learn_in_half_precision(job, tmp_path, grey):
    # On a CPU their gradients are not finite where the channels come last.
    made = replace(job, method="dbsn", network="dbsn-small", steps=2, batch=2, grey=grey)
    assert list(train(made, tmp_path))[-1] == Ended(2, "finished")
