"""Training as papers publish it: patches of a grid at four scales, fixed draws, milestones, held-out loss, curves."""

import json
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from app import cli
from conftest import picture
from engine.checkpoint import load_checkpoint
from engine.encode import save_image
from engine.image import Image
from engine.method import Stage, build
from engine.methods.r2r import R2R
from training.events import HeldOut, Step
from training.job import NETWORKS, TrainError, TrainJob, read_job, write_job
from training.launch import follow
from training.loop import train
from training.patches import Pool, Sampler, load_pictures
from training.run import CHECKPOINT, begin

PUBLISHED = (1.0, 0.9, 0.8, 0.7)


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "pictures"
    data.mkdir()
    for index in range(5):
        save_image(Image(picture(64, 72 + index).astype(np.float32)), data / f"{index}.png")
    return data


@pytest.fixture
def job(folder):
    return TrainJob(
        data=str(folder), noise="gaussian:25", network="unet-tiny", steps=10, batch=4, patch=32, device="cpu", grey=True
    )


@pytest.fixture
def square(tmp_path):
    data = tmp_path / "square"
    data.mkdir()
    save_image(Image(picture(180, 180).astype(np.float32)), data / "x.png")
    return data


def test_the_published_patches_are_596_of_a_picture_of_180x180(job, square):
    job = replace(job, data=str(square), patch=40, scales=PUBLISHED, stride=10)
    pictures = load_pictures(job)
    # int(180 * 0.7) is 125, not 126.
    assert [p.pixels.shape for p in pictures] == [(side, side, 1) for side in (180, 162, 144, 125)]
    places = Sampler(pictures, job).places
    assert len(places) == 596
    assert [int((places[:, 0] == index).sum()) for index in range(4)] == [225, 169, 121, 81]


def test_each_scale_has_noise_of_its_own_drawn_once(job, square):
    job = replace(job, data=str(square), scales=(1.0, 0.5))
    first, again = load_pictures(job), load_pictures(job)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    clean = load_pictures(replace(job, fresh=True))
    noises = [a.pixels - b.pixels for a, b in zip(first, clean, strict=True)]
    assert [float(noise.std()) for noise in noises] == pytest.approx([25 / 255] * 2, rel=0.03)
    correlation = np.corrcoef(noises[0][:90, :90].ravel(), noises[1].ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_patches_of_a_grid_are_taken_as_they_are(job):
    job = replace(job, stride=8)
    pictures = load_pictures(job)
    sampler = Sampler(pictures, job)
    known = {pictures[i].pixels[t : t + 32, c : c + 32].tobytes() for i, t, c in sampler.places}
    rng = np.random.default_rng(0)
    drawn = [patch.numpy().tobytes() for _ in range(10) for patch in sampler.batch(rng).noisy[:, 0]]
    assert set(drawn) <= known
    assert len(set(drawn)) > 20


def test_without_a_grid_patches_are_drawn_as_they_always_were(job):
    pictures = load_pictures(job)
    batch = Sampler(pictures, job).batch(np.random.default_rng(3))
    rng, expected = np.random.default_rng(3), []
    for index in rng.integers(len(pictures), size=job.batch):
        pixels = pictures[index].pixels
        top, left = rng.integers(pixels.shape[0] - 31), rng.integers(pixels.shape[1] - 31)
        patch = np.rot90(pixels[top : top + 32, left : left + 32], int(rng.integers(4)))
        expected.append(patch[:, ::-1] if rng.integers(2) else patch)
    assert np.array_equal(batch.noisy.numpy(), np.stack(expected).transpose(0, 3, 1, 2))


class Watched(R2R):
    """Notes what its loss is given: the patches, and the next random number."""

    def __init__(self):
        self.seen = []

    def stages(self, training):
        def loss(network, batch, *rest):
            generator = rest[1]
            drawn = float(torch.rand((), generator=generator))
            if network.training:
                self.seen.append((zlib.crc32(batch.noisy.contiguous().numpy()), drawn))
            return (network(batch.noisy, batch.sigma) ** 2).mean()

        return (Stage("watched", 1.0, loss),)


@pytest.mark.parametrize("draws", ["fixed", "fresh"])
def test_fixed_draws_are_the_same_whenever_a_patch_comes(job, tmp_path, draws):
    method = Watched()
    list(train(replace(job, stride=32, draws=draws, steps=30), tmp_path, method=method))
    batches = {patches for patches, _ in method.seen}
    pairs = set(method.seen)
    if draws == "fixed":
        # Five pictures with four patches each, in batches of four.
        assert len(batches) == len(pairs) == 5
    else:
        assert len(batches) > 20
        assert len({drawn for _, drawn in pairs}) == 30


def test_pictures_held_out_are_whole_and_never_trained_on(job, tmp_path):
    job = replace(job, scales=(1.0, 0.5), stride=16, hold_out=0.4, report_every=4)
    pool = Pool(job)
    assert (len(pool), len(pool.held_out)) == (6, 4)
    assert not {p.name for p in pool} & {p.name for p in pool.held_out}
    method = Watched()
    events = list(train(job, tmp_path, method=method))
    measured = [event.step for event in events if isinstance(event, HeldOut)]
    assert measured == [0, 4, 8, 10]
    assert (events[0].pictures, events[0].held_out) == (3, 2)
    assert len(method.seen) == 10


def test_of_one_picture_none_can_be_held_out(job, square):
    with pytest.raises(TrainError, match="two at least"):
        Pool(replace(job, data=str(square), hold_out=0.5))


def test_the_held_out_loss_is_measured_on_the_same_patches_each_time(job, tmp_path):
    job = replace(job, hold_out=0.4, report_every=2, learning_rate=1e-12)
    losses = [event.loss for event in train(job, tmp_path) if isinstance(event, HeldOut)]
    assert losses == pytest.approx([losses[0]] * 6, rel=1e-5)


def test_milestones_take_a_tenth_of_the_rate_each(job, tmp_path):
    job = replace(job, schedule="milestones", milestones=(0.5, 0.8), report_every=1)
    rates = [event.learning_rate for event in train(job, tmp_path) if isinstance(event, Step)]
    assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 3 + [1e-5] * 2)


def test_the_curves_are_tensorboard_events_too(job, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    begin(replace(job, hold_out=0.4, report_every=5, validate=job.data), run)
    steps = [event for event in follow(run) if isinstance(event, Step)]
    found = EventAccumulator(str(run / "tensorboard")).Reload()
    assert sorted(found.Tags()["scalars"]) == ["learning_rate", "loss/held_out", "loss/training", "psnr_db/validation"]
    drawn = found.Scalars("loss/training")
    assert [(point.step, point.value) for point in drawn] == [(e.step, pytest.approx(e.loss)) for e in steps]


def test_without_tensorboard_a_run_is_as_it_was(job, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = tmp_path / "run"
    begin(job, run)
    assert list(follow(run))[-1].reason == "finished"
    assert not (run / "tensorboard").exists()


@pytest.mark.parametrize(("name", "size"), [("plain5", 129_857), ("dncnn17-bias", 556_096)])
def test_the_networks_of_the_report_have_its_numbers_of_parameters(name, size):
    network = build({**NETWORKS[name], "channels": 1})
    assert sum(parameter.numel() for parameter in network.parameters()) == size
    assert network.margin == sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    x = torch.rand(1, 1, 24, 24)
    assert network.eval()(x, torch.zeros(1, 1, 1, 1)).shape == x.shape


def test_the_recipe_survives_the_file_and_is_on_the_card(job, tmp_path):
    job = replace(
        job,
        scales=(1.0, 0.5),
        stride=8,
        draws="fixed",
        hold_out=0.2,
        schedule="milestones",
        milestones=(0.3, 0.6),
        steps=2,
    )
    write_job(job, tmp_path)
    assert read_job(tmp_path) == job
    list(train(job, tmp_path))
    command = load_checkpoint(tmp_path / CHECKPOINT).card.command
    assert (
        "--scales 1,0.5 --stride 8 --draws fixed --hold-out 0.2 --schedule milestones --milestones 0.3,0.6" in command
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scales": ()}, "from 0.1 to 1"),
        ({"scales": (1.0, 1.1)}, "from 0.1 to 1"),
        ({"scales": (0.5,), "noise": None}, "--scales needs --noise"),
        ({"stride": 0}, "at least 1"),
        ({"report_every": 0}, "at least 1"),
        ({"draws": "some"}, "fresh or fixed"),
        ({"draws": "fixed"}, "give --stride"),
        ({"draws": "fixed", "stride": 8, "fresh": True}, "put on once"),
        ({"hold_out": 1.0}, "below 1"),
        ({"schedule": "none"}, "cosine, milestones or plateau"),
        ({"milestones": (0.6, 0.3)}, "rising"),
        ({"milestones": (1.0,)}, "between 0 and 1"),
    ],
)
def test_a_recipe_that_cannot_be_says_why(job, change, said):
    with pytest.raises(TrainError, match=said):
        replace(job, **change)


def test_the_command_line_takes_the_recipe(folder, tmp_path, capsys):
    run = tmp_path / "run"
    given = [
        "--scales",
        "1,0.9",
        "--stride",
        "10",
        "--hold-out",
        "0.2",
        "--schedule",
        "milestones",
        "--milestones",
        "0.5",
    ]
    given += [
        "--draws",
        "fixed",
        "--report-every",
        "1",
        "--steps",
        "1",
        "--batch",
        "2",
        "--patch",
        "32",
        "--device",
        "cpu",
    ]
    given += ["--data", str(folder), "--noise", "gaussian:25", "--network", "unet-tiny", "-o", str(run)]
    assert cli.main(["train", *given]) == 0
    written = json.loads((run / "job.json").read_text())
    assert (written["scales"], written["stride"], written["draws"]) == ([1.0, 0.9], 10, "fixed")
    assert (written["hold_out"], written["schedule"], written["milestones"]) == (0.2, "milestones", [0.5])
    assert "heldout: step 1" in capsys.readouterr().out
