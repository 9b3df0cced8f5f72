"""Studies write their report, scores and plots, measure what they say, and end well without matplotlib."""

import csv
import sys
from dataclasses import replace

import numpy as np
import pytest

from app import cli, studies
from app.studies import real
from app.studies.bench import Bench, FixedAlpha, Independent
from app.studies.real import scene_of, split_by_scene
from app.studies.report import Choices, StudyError, score
from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.encode import save_image
from engine.image import Image, load_image
from engine.methods.r2r import R2R
from engine.noise import chen_as_published
from models import checkpoint
from training.job import read_job

PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def models():
    for channels, name in ((1, "grey"), (3, "color")):
        save_checkpoint(replace(checkpoint(channels), name=name), paths.models() / f"{name}.safetensors")


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "clean"
    data.mkdir()
    for name, side in (("a", 48), ("b", 56)):
        save_image(Image(picture(side, 64).astype(np.float32)), data / f"{name}.png")
    return data


@pytest.fixture
def choices(folder, tmp_path):
    return Choices(tmp_path / "out", [folder], sigmas=(25.0,), passes=2, steps=2, batch=2, device="cpu", threads=1)


@pytest.fixture
def pairs(tmp_path):
    data = tmp_path / "pairs"
    data.mkdir()
    rng = np.random.default_rng(0)
    for scene, crop in (("cam_desk", 1), ("cam_desk", 2), ("cam_tree", 1)):
        clean = picture(64, 64).astype(np.float32)
        noisy = clean + 4 / 255 * rng.standard_normal(clean.shape).astype(np.float32)
        save_image(Image(clean), data / f"{scene}_{crop}_mean.png")
        save_image(Image(noisy.clip(0, 1)), data / f"{scene}_{crop}_real.png")
    return data


def scores(out):
    with (out / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_passes_writes_scores_distributions_and_strips(choices):
    studies.make("passes", choices)
    rows = scores(choices.out)
    assert list(rows[0]) == ["name", "sigma", "draws", "passes", "protocol", "psnr_db", "ssim", "ssim_range_2"]
    # Two pictures; T = 1 and 2 by both protocols, and the pairs.
    assert len(rows) == 2 * 5
    assert {row["name"] for row in rows} == {"a", "b"}
    for name in ("histograms", "sigma25-lowest", "sigma25-median", "sigma25-highest"):
        assert (choices.out / f"{name}.png").read_bytes().startswith(PNG)
    assert load_image(choices.out / "sigma25-lowest.png").width == 3 * 64
    page = (choices.out / "report.md").read_text()
    assert "| sigma | passes | draws | paper, printed | report, printed | reported | right |" in page
    assert "not trained yet" not in page


def test_the_printed_numbers_stand_beside_the_passes_they_are_for(choices):
    studies.make("passes", replace(choices, passes=50, limit=1))
    line = next(line for line in (choices.out / "report.md").read_text().splitlines() if "| 50 | independent" in line)
    assert "| 29.14 / 0.822 | 28.18 / 0.867 |" in line


def test_alpha_has_a_row_for_each_strength(choices):
    studies.make("alpha", choices)
    rows = scores(choices.out)
    assert {row["alpha"] for row in rows} == {"1.0", "0.5", "0.3", "0.1"}
    assert len(rows) == 2 * 4 * 2
    assert "| 25 | 0.1 | 19.20 / 0.428 |" in (choices.out / "report.md").read_text()
    assert (choices.out / "alpha.png").read_bytes().startswith(PNG)


def test_sigma_takes_the_unjittered_passes_as_the_reference(choices):
    studies.make("sigma", choices)
    rows = scores(choices.out)
    assert sorted({row["ratio"] for row in rows}) == ["0.8", "0.9", "1.0", "1.1", "1.2"]
    jittered, still = (
        [row["psnr_db"] for row in rows if row["draws"] == "independent" and row["jitter"] == jitter]
        for jitter in ("0.1", "0.0")
    )
    assert len(jittered) == len(still) == 2
    assert jittered != still
    assert (choices.out / "ratio.png").read_bytes().startswith(PNG)


def test_tiles_with_a_margin_are_the_whole_picture_and_without_one_are_not(choices):
    studies.make("tiles", choices)
    tiled = [row for row in scores(choices.out) if row["tile"] == "32"]
    with_margin = [float(row["difference"]) for row in tiled if row["overlap"] == "True"]
    without = [float(row["difference"]) for row in tiled if row["overlap"] == "False"]
    assert len(with_margin) == len(without) == 2
    assert max(with_margin) < 1e-3 < 0.01 < min(without)


@pytest.mark.slow
def test_networks_trains_both_draws_their_curves_and_goes_on_where_it_was(choices, folder):
    choices = replace(choices, train=folder)
    studies.make("networks", choices)
    rows = scores(choices.out)
    assert {row["network"] for row in rows} == {"plain5", "dncnn17-bias"}
    assert len(rows) == 2 * 2 * 2
    page = (choices.out / "report.md").read_text()
    assert "| 5 layers | 129,857 | 25 |" in page
    assert "not trained yet" not in page
    with (choices.out / "curves.csv").open(newline="") as file:
        curves = list(csv.DictReader(file))
    assert {(row["network"], row["pictures"]) for row in curves} == {
        (network, pictures) for network in ("plain5", "dncnn17-bias") for pictures in ("training", "held out")
    }
    # Of a crop with noise of the target alone it is 76.9; an untrained network leaves more.
    assert all(20 < float(row["loss"]) < 1e5 for row in curves)
    assert (choices.out / "curves.png").read_bytes().startswith(PNG)
    again = choices.out / "runs" / "plain5-25" / "checkpoint.safetensors"
    before = again.read_bytes()
    studies.make("networks", choices)
    assert scores(choices.out) == rows
    assert again.read_bytes() == before
    with pytest.raises(StudyError, match="holds a training with other values"):
        studies.make("networks", replace(choices, batch=3))


def test_what_no_network_was_trained_for_is_said(choices, folder):
    studies.make("networks", replace(choices, train=folder, steps=0))
    page = (choices.out / "report.md").read_text()
    assert "| DnCNN-17 | 556,096 | 25 | 29.14 / 0.822 | 28.18 / 0.867 | not trained yet | not trained yet |" in page


def test_polyu_splits_trains_and_says_what_the_aliasing_scores(choices, pairs, monkeypatch):
    monkeypatch.setattr(real, "SIDES", (4, 6))
    choices = replace(choices, data=[pairs])
    studies.make("polyu", choices)
    rows = scores(choices.out)
    assert [row["what"] for row in rows] == ["noisy", "noisy", "alpha 20", "default"]
    assert len({row["scene"] for row in rows}) == 1
    right, reported = (next(row for row in rows if row["protocol"] == p) for p in ("right", "reported"))
    assert float(reported["psnr_db"]) < float(right["psnr_db"]) - 3
    learned = sorted(path.name for path in (choices.out / "runs" / "polyu" / "pictures").iterdir())
    assert learned == ["cam_desk_1_real.png", "cam_desk_2_real.png"]
    page = (choices.out / "report.md").read_text()
    assert "| 4 | 16 | 48 |" in page
    assert "35.60 / 0.964" in page


@pytest.mark.parametrize("name", ["passes", "networks"])
def test_without_matplotlib_the_tables_are_written_all_the_same(choices, folder, monkeypatch, name):
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    said = []
    studies.make(name, replace(choices, train=folder, say=said.append))
    assert sum("matplotlib is not installed" in line for line in said) == 1
    assert scores(choices.out)
    assert "| sigma |" in (choices.out / "report.md").read_text()
    assert not (choices.out / "histograms.png").exists()
    assert not (choices.out / "curves.png").exists()


def test_the_noise_as_reported_is_weaker_than_the_network_is_told(choices):
    bench = Bench(choices)
    grey = np.full((200, 200, 3), 0.5, np.float32)
    right = bench.noisy(bench.like(grey), 25, "x") - 0.5
    reported = bench.noisy_as_reported(grey, 25, "x") - 0.5
    assert np.std(right) * 255 == pytest.approx(25, rel=0.02)
    # sqrt(0.299^2 + 0.587^2 + 0.114^2) = 0.6685
    assert np.std(reported) * 255 == pytest.approx(25 * 0.6685, rel=0.02)


def test_independent_passes_draw_for_themselves_and_jitter_keeps_the_pass(choices):
    bench, noisy = Bench(choices), np.full((32, 48, 1), 0.5, np.float32)
    seen = []

    class Watched(Independent):
        def passes(self, network, task):
            return super().passes(lambda x, level: seen.append(x - task.noisy) or x, task)

    for jitter in (0.0, 0.1):
        seen.clear()
        bench.denoise(Watched(jitter), noisy, 25, 3, alpha=1.0, tile=512)
        levels = [float(z.std()) * 255 for z in seen]
        assert len(seen) == 3
        assert abs(float((seen[0] * seen[1]).mean())) < 0.1 * float((seen[0] ** 2).mean())
        assert levels == pytest.approx([25] * 3, rel=0.05 + jitter)
    whole = bench.denoise(Independent(0.1), noisy, 25, 3).mean(3)
    tiled = bench.denoise(Independent(0.1), noisy, 25, 3, tile=16).mean(3)
    assert np.abs(whole - tiled).max() < 1e-5


def test_pairs_leave_less_of_the_draws_than_independent_passes(choices, pair):
    bench = Bench(choices)
    noisy = bench.like(pair[1])
    settled = bench.denoise(R2R(), noisy, 25, 64).mean(64)
    errors = [np.std(bench.denoise(method, noisy, 25, 4).mean(4) - settled) for method in (Independent(), R2R())]
    assert errors[1] < 0.5 * errors[0]


def test_the_loss_with_one_alpha_has_the_noise_of_the_target_as_its_floor():
    import torch

    from engine.method import Batch

    clean = torch.full((16, 1, 40, 40), 0.5)
    noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    batch = Batch(noisy, torch.full((16, 1, 1, 1), 25 / 255))
    value = FixedAlpha(0.5).loss(lambda x, level: clean, batch, None, torch.Generator().manual_seed(1), 0.0)
    assert float(value) * 1600 == pytest.approx(76.9, rel=0.03)


def test_the_range_of_2_raises_ssim(pair):
    found = score("x", pair[1], pair[0])
    assert found.ssim < found.ssim_range_2 - 0.02


def test_chen_as_published_finds_white_noise_in_colour_and_none_in_a_flat_picture():
    rng = np.random.default_rng(0)
    flat = (0.5 + 10 / 255 * rng.standard_normal((256, 256, 3))).astype(np.float32)
    assert chen_as_published(flat) * 255 == pytest.approx(10, rel=0.03)
    assert chen_as_published(np.full((64, 64, 1), 0.5, np.float32), 4) == 0.0


def test_the_split_keeps_scenes_together_and_is_always_the_same(tmp_path):
    names = [tmp_path / f"cam_{scene}_{crop}_real.JPG" for scene in range(9) for crop in range(1, 3 + scene)]
    learned, measured = split_by_scene(names)
    assert sorted(learned + measured) == sorted(names)
    assert not {scene_of(path) for path in learned} & {scene_of(path) for path in measured}
    assert len(measured) == round(0.3 * len(names))
    assert (learned, measured) == split_by_scene(names)
    assert scene_of(tmp_path / "Canon5D2_5_160_3200_chair_11_real.JPG") == "Canon5D2_5_160_3200_chair"
    assert split_by_scene(names[:2]) == ([], [])


def test_the_pairs_of_polyu_are_split_49_to_21(data):
    folder = data / "real" / "polyu"
    if not folder.is_dir():
        pytest.skip("PolyU is not here")
    learned, measured = split_by_scene(sorted(folder.glob("*_real.JPG")))
    assert (len(learned), len(measured)) == (49, 21)


def command(capsys, *arguments):
    try:
        status = cli.main(["study", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    return status, *capsys.readouterr()


def test_the_command_lists_the_studies_and_makes_one(capsys, folder, tmp_path):
    status, out, _ = command(capsys, "--list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(studies.STUDIES)
    out = tmp_path / "report"
    status, said, _ = command(capsys, "tiles", "--data", folder, "--limit", 1, "--device", "cpu", "-o", out)
    assert status == 0
    assert "a: done" in said
    assert (out / "report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("tiles",), "-o FOLDER"),
        (("nothing", "-o", "x", "--data", "."), "There is no study 'nothing'; choose from passes, alpha"),
        (("tiles", "-o", "x"), "give their folders with --data"),
        (("tiles", "-o", "x", "--data", "."), "There is no picture in"),
        (("networks", "-o", "x", "--data", "."), "with --train"),
        (("polyu", "-o", "x", "--data", "."), "pairs X_real and X_mean"),
        (("tiles", "-o", "x", "--sigmas", "25,no"), "numbers above 0"),
    ],
)
def test_a_study_that_cannot_be_made_says_why(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, _, said = command(capsys, *arguments)
    assert status == 2
    assert expected in said
    assert not (tmp_path / "x").exists()


def test_the_study_of_tuning_reports_every_way_and_learns_from_no_held_out_picture(tmp_path, monkeypatch):
    study = sys.modules["app.studies.tuning"]
    monkeypatch.setattr(study, "WAYS", {"R2R, white": {"method": "r2r"}})
    monkeypatch.setattr(study, "NLM", (10,))
    folder = tmp_path / "pairs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for scene in range(4):
        clean = np.roll(picture(72, 88), 13 * scene, axis=1).astype(np.float32)
        noisy = (clean + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32)
        save_image(Image(clean, bits=16), folder / f"scene{'abcd'[scene]}_mean.png")
        save_image(Image(noisy, bits=16), folder / f"scene{'abcd'[scene]}_real.png")
    choices = Choices(tmp_path / "out", [folder], steps=4, batch=2, device="cpu")
    studies.make("tuning", choices)
    page = (tmp_path / "out/report.md").read_text()
    assert "| R2R, white | " in page
    assert "OpenCV's NLM" in page
    job = read_job(tmp_path / "out/runs/r2r-white")
    measured = {row["name"] for row in csv.DictReader((tmp_path / "out/scores.csv").read_text().splitlines())}
    assert set(job.held_out) == measured
    assert len(measured) < 4
