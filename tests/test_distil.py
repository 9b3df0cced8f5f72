"""A student gives in one pass what its teacher gives on average, and says what it learned from."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from app import cli
from conftest import picture
from engine import params, paths
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.denoise import Denoising, load_model
from engine.encode import save_image
from engine.image import Image, load_image
from engine.method import Batch, method_of
from engine.methods.plain import distance
from engine.metrics import psnr
from engine.noise import estimate_noise
from models import checkpoint
from training.distil import PatchField, load_teacher
from training.job import TrainError, TrainJob
from training.loop import train
from training.run import CHECKPOINT

SIGMA = 25 / 255


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "pictures"
    data.mkdir()
    for index in range(8):
        # Colours in every order and inverted, or a network would learn the colours of these pictures.
        clean = picture(96 + 8 * index, 160 - 8 * index)[..., np.random.default_rng(index).permutation(3)]
        save_image(Image((clean if index % 2 else 1 - clean).astype(np.float32)), data / f"{index}.png")
    return data


def install(channels=3, method="r2r"):
    """The checkpoint that the jobs name, put among the user's models."""
    made = replace(checkpoint(channels, method), name="teacher")
    save_checkpoint(made, paths.models() / "teacher.safetensors")


@pytest.fixture
def job(folder):
    install()
    return TrainJob(
        data=str(folder), method="plain", teacher="teacher", noise="gaussian:25", steps=3, batch=4, patch=32,
        device="cpu", learning_rate=3e-4,
    )  # fmt: skip


def patches(count=3, channels=3, seed=0):
    clean = np.stack([picture(32 + k, 32 + k)[:32, :32, :channels] for k in range(count)])
    noisy = clean + SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)
    return torch.from_numpy(noisy.transpose(0, 3, 1, 2).astype(np.float32))


def result(model, noisy, seed=0, **values):
    work = Denoising(model, Image(noisy), params.make(model.method.Params, values), sigma=SIGMA, seed=seed)
    count = model.method.count(work.params)
    for _ in work.run(count):
        pass
    return work.mean(count)


@pytest.mark.slow
def test_one_pass_of_the_student_is_as_good_as_the_teachers_average(folder, tmp_path):
    runs = [tmp_path / "teacher", tmp_path / "student"]
    for run in runs:
        run.mkdir()
    shared = {"data": str(folder), "noise": "gaussian:25", "batch": 8, "patch": 48, "device": "cpu"}
    list(train(TrainJob(network="unet-tiny", steps=200, learning_rate=5e-3, **shared), runs[0]))
    # Far from what it is trained for, the teacher's average is another picture than one pass of its network.
    fixed = {"passes": 4, "alpha": 1.5}
    given = {"method": "plain", "teacher": str(runs[0] / CHECKPOINT), "teacher_params": fixed}
    list(train(TrainJob(steps=200, learning_rate=4e-3, **given, **shared), runs[1]))

    teacher, student = (load_model(run / CHECKPOINT, device="cpu", precision="float32") for run in runs)
    untaught = load_model(runs[0] / CHECKPOINT, method="plain", device="cpu", precision="float32")
    reached, distances = [], []
    for seed in range(4):
        clean = np.ascontiguousarray(picture(90 + 9 * seed, 134)[::-1, ::-1, ::-1], dtype=np.float32)
        noisy = (clean + SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)
        made = result(teacher, noisy, **fixed), result(student, noisy), result(untaught, noisy)
        reached.append([psnr(pixels, clean) for pixels in made])
        distances.append([float(np.square(pixels - made[0]).mean()) for pixels in made[1:]])
    average, ours, before = np.mean(reached, 0)
    assert abs(ours - average) < 0.1
    assert abs(before - average) > 0.12
    near, far = np.mean(distances, 0)
    assert near < 0.5 * far


def test_the_noise_of_a_patch_is_the_same_when_asked_for_again_and_wider():
    field = PatchField(torch.zeros(2, 3, 8, 10), torch.Generator().manual_seed(0))
    first = field.unit(4)
    assert first.shape == (2, 3, 8, 10)
    assert not torch.equal(first, field.unit(5))
    wide = field.unit(4, 3)
    assert wide.shape == (2, 3, 14, 16)
    assert torch.equal(wide[:, :, 3:-3, 3:-3], first)
    assert torch.equal(field.unit(4), first)
    assert torch.equal(field.unit(4, 1), wide[:, :, 2:-2, 2:-2])
    assert wide.std() == pytest.approx(1, abs=0.1)


def test_targets_are_the_mean_of_the_teachers_passes(job):
    teacher = load_teacher(replace(job, teacher_params={"passes": 4}))
    teacher.model.network.float()
    noisy = patches(2)
    sigma = torch.tensor([0.05, 0.2]).view(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([teacher.targets(noisy, sigma, (), generator) for _ in range(60)]).mean(0)
    for row, level in enumerate((0.05, 0.2)):
        image = Image(noisy[row].permute(1, 2, 0).contiguous().numpy())
        work = Denoising(teacher.model, image, replace(teacher.params, passes=128), sigma=level, keep=False)
        for _ in work.run(128):
            pass
        assert np.abs(found[row].permute(1, 2, 0).numpy() - work.mean(128)).max() < 0.01


@pytest.mark.parametrize("name", ["plain", "dbsn"])
def test_a_method_without_random_numbers_teaches_its_result(job, name):
    install(method=name)
    teacher = load_teacher(job)
    teacher.model.network.float()
    noisy = patches(2)
    sigma = torch.tensor([0.05, 0.2]).view(-1, 1, 1, 1)
    found = teacher.targets(noisy, sigma, (), torch.Generator().manual_seed(0))
    for row, level in enumerate((0.05, 0.2)):
        image = Image(noisy[row].permute(1, 2, 0).contiguous().numpy())
        work = Denoising(teacher.model, image, teacher.params, sigma=level)
        for _ in work.run(1):
            pass
        assert np.abs(found[row].permute(1, 2, 0).numpy() - work.mean(1)).max() < 1e-4


def test_measured_noise_is_taken_as_denoising_takes_it(job):
    teacher = load_teacher(job)
    noisy = patches(2)
    report = replace(estimate_noise(noisy[0].permute(1, 2, 0).numpy().repeat(8, 0)), sigma=0.05)
    batch = Batch(noisy, torch.full((2, 1, 1, 1), 0.05), reports=(report, report))
    told = []

    def student(noisy, sigma):
        told.append(sigma)
        return noisy

    (stage,) = teacher.stages(clean=False)
    stage.loss(student, batch, None, torch.Generator().manual_seed(0), 0.5)
    assert told[0].flatten().tolist() == pytest.approx([report.level] * 2)


def test_no_gradient_reaches_the_teacher_and_a_perfect_student_loses_nothing(job):
    install(method="plain")
    teacher = load_teacher(job)
    teacher.model.network.float()
    student = copy.deepcopy(teacher.model.network).requires_grad_(True)
    batch = Batch(patches(), torch.full((3, 1, 1, 1), SIGMA))
    (stage,) = teacher.stages(clean=False)
    loss = stage.loss(student, batch, None, torch.Generator().manual_seed(0), 0.5)
    loss.backward()
    assert float(loss.detach()) < 1e-9
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.model.network.parameters())


def test_a_student_of_the_same_network_begins_with_the_teachers_weights(job, tmp_path):
    list(train(replace(job, learning_rate=1e-9), tmp_path))
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    before = checkpoint().weights
    assert all(torch.allclose(saved.weights[key], before[key], atol=1e-5) for key in before)
    assert saved.method == "plain"


def test_another_network_can_be_the_student(job, tmp_path):
    list(train(replace(job, network="dncnn17", steps=1), tmp_path))
    assert load_checkpoint(tmp_path / CHECKPOINT).arch["network"] == "dncnn"


def test_a_network_with_a_blind_spot_is_not_its_own_student(job, tmp_path):
    install(method="dbsn")
    list(train(replace(job, steps=1), tmp_path))
    assert load_checkpoint(tmp_path / CHECKPOINT).arch["network"] == "unet"


def test_a_resumed_student_is_the_same_student(job, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    list(train(job, whole))
    steps = iter(range(100))
    list(train(job, parts, lambda: next(steps) >= 1))
    list(train(job, parts))
    first, second = (load_checkpoint(run / CHECKPOINT).weights for run in (whole, parts))
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_the_card_names_the_teacher_and_what_is_fixed(job, tmp_path):
    list(train(replace(job, teacher_params={"passes": 8, "alpha": 0.4}), tmp_path))
    card = load_checkpoint(tmp_path / CHECKPOINT).card
    assert card.title.startswith("Recorrupted-to-Recorrupted, one pass (fixed: passes 8, alpha 0.4")
    assert "teacher" in card.description
    assert card.source == load_checkpoint(paths.models() / "teacher.safetensors").sha256
    assert card.command.startswith("python -m app distil teacher --data pictures")
    assert "--passes 8 --alpha 0.4" in card.command
    assert "clean pictures" not in card.title + card.description
    assert "no clean pixel" in card.trained_on


def test_what_few_adjust_is_named_on_the_card_where_it_was(job, tmp_path):
    list(train(replace(job, steps=1, teacher_params={"noise_model": "poisson", "gain": 0.01}), tmp_path))
    title = load_checkpoint(tmp_path / CHECKPOINT).card.title
    assert title.endswith("(fixed: passes 4, alpha 0.5, noise model poisson, gain 0.01)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grey": True}, r"teacher is for 3 channel\(s\), this job for 1"),
        ({"clean": "somewhere"}, "Recorrupted-to-Recorrupted learns no noise to put on clean pictures"),
        ({"teacher_params": {"alpha": 99}}, "must be 0.05 to"),
        ({"teacher": "nowhere"}, "There is no model 'nowhere'"),
        ({"network": "x"}, "There is no network 'x'"),
    ],
)
def test_a_job_that_cannot_be_taught_says_why(job, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        list(train(replace(job, **change), tmp_path))


def test_a_target_and_a_teacher_exclude_each_other(job):
    with pytest.raises(TrainError, match="either a target or a teacher"):
        replace(job, target="clean")


def noise_of_level(level):
    def synthesise(network, clean, generator):
        return clean + level * torch.randn(clean.shape, generator=generator, device=clean.device)

    return synthesise


def test_with_clean_pictures_an_eighth_stays_noisy_and_weighs_a_tenth(job, monkeypatch):
    method = method_of("r2r")
    monkeypatch.setattr(method, "synthesise", noise_of_level(0.2), raising=False)
    teacher = load_teacher(replace(job, clean="anything"))
    noisy, clean = patches(16), patches(16, seed=1)
    batch = Batch(noisy, torch.full((16, 1, 1, 1), SIGMA), clean=clean)
    seen = []

    def student(given, sigma):
        seen.append((given, sigma))
        return torch.zeros_like(given)

    (stage,) = teacher.stages(clean=True)
    assert "clean" in stage.name
    loss = stage.loss(student, batch, None, torch.Generator().manual_seed(3), 0.5)
    ((given, sigma),) = seen
    assert len(given) == 16
    assert torch.equal(given[:2], noisy[:2])
    assert torch.allclose(sigma.flatten()[2:], torch.tensor(0.2), rtol=0.1)
    targets = teacher.targets(noisy[:2], sigma[:2], (), torch.Generator().manual_seed(3))
    zeros = torch.zeros_like(given)
    expected = 0.1 * distance(zeros[:2], targets, sigma[:2]) + distance(zeros[2:], clean[:14], sigma[2:])
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def run(capsys, *arguments):
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, out, err


def test_all_that_is_printed_and_kept_says_that_clean_pictures_were_used(capsys, job, tmp_path, monkeypatch):
    monkeypatch.setattr(method_of("r2r"), "synthesise", noise_of_level(0.2), raising=False)
    common = ("--steps", 1, "--batch", 2, "--patch", 32, "--device", "cpu")
    status, out, _ = run(
        capsys, "distil", "teacher", "--data", job.data, "--noise", "gaussian:25", "--clean", job.data, *common,
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert status == 0
    assert f"Clean pictures of {job.data} are used" in out
    assert "stage one pass, with clean pictures" in out
    card = load_checkpoint(tmp_path / "run" / CHECKPOINT).card
    assert "clean pictures used" in card.title
    assert "Clean pictures were used" in card.description
    assert "and clean pictures of pictures" in card.trained_on
    assert "no clean pixel" not in card.trained_on


def test_the_command_makes_a_model_that_denoise_runs(capsys, job, tmp_path):
    install(channels=1)
    out = tmp_path / "run"
    given = ("--data", job.data, "--noise", "gaussian:5-50", "--steps", 2, "--batch", 2, "--patch", 32)
    given += ("--device", "cpu", "--alpha", 0.7, "--passes", 2)
    status, _, err = run(capsys, "distil", "teacher", *given, "-o", out)
    assert (status, err) == (0, "")
    saved = load_checkpoint(out / CHECKPOINT)
    assert (saved.name, saved.method, saved.channels) == ("teacher-one-pass", "plain", 1)
    kept = json.loads((out / "job.json").read_text())
    assert kept["teacher_params"] == {"alpha": 0.7, "passes": 2}
    assert run(capsys, "train", "--resume", out)[0] == 0
    source = next(iter(sorted(tmp_path.glob("pictures/*.png"))))
    results = []
    for sigma in (10, 40):
        target = tmp_path / f"{sigma}.png"
        assert run(capsys, "denoise", source, "-o", target, "--model", out / CHECKPOINT, "--sigma", sigma)[0] == 0
        results.append(load_image(target).pixels)
    assert not np.array_equal(*results)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sigma", 20), "leave out --sigma"),
        (("--alpha", 99), "must be 0.05 to"),
        (("--hole", 3), "--hole"),
        (("--minutes", 1), "either --minutes or --steps"),
    ],
)
def test_wrong_usage_ends_with_status_2(capsys, job, tmp_path, arguments, said):
    given = ("distil", "teacher", "--data", job.data, "--steps", 1, "-o", tmp_path / "run")
    status, _, err = run(capsys, *given, *arguments)
    assert status == 2
    assert said in err
    assert not (tmp_path / "run").exists()
