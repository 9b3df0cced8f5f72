"""The command line is a contract: arguments, JSON keys, exit statuses, and no Qt."""

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from app import cli, single
from conftest import ROOT, picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.encode import save_image
from engine.image import Image, load_image
from models import checkpoint
from training.card import written
from training.distil import load_teacher
from training.events import Ended, Saved, Started, Verdict, append
from training.job import TrainJob
from training.run import Run, begin

KEYS = ["input", "output", "method", "model", "passes", "alpha", "sigma", "psnr_db", "ssim", "noisy_psnr_db"]
KEYS += ["estimated_psnr_db", "estimated_psnr_band_db", "mean_before", "mean_after"]
KEYS += ["reason", "warnings", "seconds", "device"]


@pytest.fixture(autouse=True)
def models():
    for channels, name in ((1, "grey"), (3, "color")):
        save_checkpoint(replace(checkpoint(channels), name=name), paths.models() / f"{name}.safetensors")


def install(name, method, channels=3, **arch):
    made = replace(checkpoint(channels, method, **arch), name=name)
    save_checkpoint(made, paths.models() / f"{name}.safetensors")


@pytest.fixture
def noisy(tmp_path):
    clean = picture(64, 80)
    noise = 15 / 255 * np.random.default_rng(0).standard_normal(clean.shape)
    path = tmp_path / "in" / "a_noisy.tif"
    path.parent.mkdir()
    save_image(Image((clean + noise).astype(np.float32), bits=32, is_float=True), path)
    save_image(Image(clean.astype(np.float32)), path.with_name("a_clean.png"))
    return path


def run(capsys, *arguments):
    """Exit status, JSON objects but for a batch's summary, and what was said on stderr."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return status, [record for record in records if "summary" not in record], err


def test_denoise_prints_the_agreed_keys_and_writes_the_file(capsys, noisy, tmp_path):
    out = tmp_path / "out.tif"
    reference = noisy.with_name("a_clean.png")
    given = ("--sigma", 15, "--alpha", 0.4, "--passes", 2, "--reference", reference)
    status, (record,), _ = run(capsys, "denoise", noisy, "-o", out, *given, "--json")
    assert status == 0
    assert list(record) == KEYS
    assert record["output"] == str(out)
    assert (record["method"], record["model"], record["passes"], record["alpha"]) == ("r2r", "color", 2, 0.4)
    assert record["sigma"] == pytest.approx(15)
    assert record["device"] == "cpu"
    assert 15 < record["noisy_psnr_db"] < 30
    assert record["psnr_db"] is not None
    assert 0 < record["ssim"] < 1
    assert load_image(out).is_float


def test_where_a_picture_was_taken_is_left_out_on_request(capsys, noisy, tmp_path):
    exif = PIL.Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(34853).update({1: "N", 2: (52.0, 30.0, 15.5)})
    placed = tmp_path / "placed.jpg"
    with PIL.Image.new("RGB", (64, 64), "grey") as picture:
        picture.save(placed, exif=exif)
    found = []
    for name, options in (("with.jpg", []), ("without.jpg", ["--no-gps"])):
        assert run(capsys, "denoise", placed, "-o", tmp_path / name, "--sigma", 5, *options)[0] == 0
        with PIL.Image.open(tmp_path / name) as saved:
            found.append((saved.getexif()[271], bool(saved.getexif().get_ifd(34853))))
    assert found == [("Maker", True), ("Maker", False)]


def test_what_does_not_apply_is_null(capsys, noisy, tmp_path):
    given = ("--method", "plain", "--sigma", 15, "--estimate", "off")
    _, (record,), _ = run(capsys, "denoise", noisy, "-o", tmp_path / "o.tif", *given, "--json")
    assert record["alpha"] is None
    assert record["passes"] == 1
    assert record["psnr_db"] is None
    assert record["estimated_psnr_db"] is None


def test_without_method_and_model_what_suits_the_noise_is_taken_and_said(capsys, noisy, tmp_path, monkeypatch):
    from test_proposal import PHONE

    from engine.noise import measure_noise

    install("strong", "apr-rd")
    out = tmp_path / "out.tif"
    given = ("denoise", noisy, "-o", out, "--overwrite", "--json")
    _, (white,), _ = run(capsys, *given)
    assert (white["method"], white["model"], white["reason"]) == ("r2r", "color", "the noise is white")
    monkeypatch.setattr("app.single.measure", lambda image: replace(PHONE, mean=measure_noise(image).mean))
    _, (phone,), _ = run(capsys, *given)
    assert (phone["method"], phone["model"]) == ("apr-rd", "strong")
    assert "correlates" in phone["reason"]
    # What is said by hand is something that the method has.
    _, (by_hand,), _ = run(capsys, *given, "--alpha", 0.4)
    assert by_hand["method"] == "r2r"
    for said in (("--method", "r2r"), ("--model", "color")):
        _, (record,), _ = run(capsys, *given, *said)
        assert (record["method"], record["reason"]) == ("r2r", None)


def test_a_method_without_a_noise_level_runs_on_a_clean_picture_and_says_so(capsys, tmp_path):
    flat = tmp_path / "flat.png"
    save_image(Image(np.full((64, 64, 3), 0.5, np.float32)), flat)
    install("blind", "dbsn", width=8, blocks=1)
    for method, sigma in (("r2r", 0), ("dbsn", 1)):
        given = ("denoise", flat, "-o", tmp_path / f"{method}.png", "--method", method, "--json")
        _, (record,), _ = run(capsys, *given)
        assert record["sigma"] == sigma
        assert "No noise worth removing was found" in record["warnings"][0]
        assert ("left as it is" in record["warnings"][0]) is (method == "r2r")


def test_a_method_of_one_pass_says_why_it_estimates_no_psnr(capsys, noisy, tmp_path):
    dark = load_image(noisy)
    save_image(replace(dark, pixels=dark.pixels - 0.4, bits=8, is_float=False), tmp_path / "dark.png")
    install("blind", "n2n", features=4)
    given = ("denoise", tmp_path / "dark.png", "-o", tmp_path / "o.png", "--overwrite", "--sigma", 15, "--json")
    _, (record,), _ = run(capsys, *given, "--method", "n2n")
    assert record["estimated_psnr_db"] is None
    assert "is clipped" in record["warnings"][-1]
    _, (record,), _ = run(capsys, *given, "--method", "n2n", "--estimate", "off")
    assert record["warnings"] == []


def test_what_another_method_suggests_for_its_model_is_left_out(capsys, noisy, tmp_path):
    save_checkpoint(replace(checkpoint(3), name="own", params={"alpha": 0.3}), paths.models() / "own.safetensors")
    given = ("denoise", noisy, "-o", tmp_path / "o.tif", "--overwrite", "--model", "own", "--json")
    assert run(capsys, *given)[1][0]["alpha"] == 0.3
    assert run(capsys, *given, "--method", "plain")[0] == 0


def test_the_same_command_gives_the_same_bytes_whatever_the_tile(capsys, noisy, tmp_path):
    for name, extra in (("a", ()), ("b", ()), ("c", ("--tile", 32)), ("d", ("--seed", 1))):
        common = ("--sigma", 15, "--precision", "float32")
        assert run(capsys, "denoise", noisy, "-o", tmp_path / f"{name}.png", *common, *extra)[0] == 0
    read = [(tmp_path / f"{name}.png").read_bytes() for name in "abcd"]
    assert read[0] == read[1] == read[2] != read[3]


def test_nothing_is_overwritten_unless_asked(capsys, noisy, tmp_path):
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    status, _, err = run(capsys, "denoise", noisy, "-o", out, "--sigma", 15)
    assert status == 1
    assert "exists already" in err
    assert out.read_bytes() == b"precious"
    status, _, err = run(capsys, "denoise", noisy, "-o", noisy, "--sigma", 15)
    assert status == 1
    assert "is the input itself" in err
    assert run(capsys, "denoise", noisy, "-o", out, "--sigma", 15, "--overwrite")[0] == 0
    assert out.read_bytes() != b"precious"


def test_one_bad_file_does_not_stop_the_others(capsys, noisy, tmp_path):
    broken = noisy.with_name("broken.png")
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    status, records, err = run(capsys, "denoise", noisy.parent, "-o", tmp_path / "out", "--sigma", 15, "--json")
    assert status == 1
    assert "broken.png" in err
    done = [Path(record["output"]).name for record in records if record["output"]]
    assert sorted(done) == ["a_clean_denoised.png", "a_noisy_denoised.tif"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == sorted(done)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--alpha", 90), "must be 0.05 to 20"),
        (("--sigma", "much"), "must be auto or a number"),
        (("--model", "none"), "There is no model 'none'"),
        (("--method", "none"), "There is no method 'none'"),
        (("--model", "color", "--method", "none"), "There is no method 'none'"),
        (("--device", "abacus"), "There is no device 'abacus'"),
        (("--method", "plain", "--alpha", 0.5), "Method plain has no --alpha"),
        (("--strength", 7), "--strength must be 0 to 1.2"),
        (("--tile", "x"), "expected a whole number from 16 on, not 'x'"),
        (("--seed", "-1"), "expected a whole number from 0 on, not '-1'"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_one_sentence(capsys, noisy, tmp_path, arguments, said):
    status, _, err = run(capsys, "denoise", noisy, "-o", tmp_path / "o.tif", *arguments)
    assert status == 2
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "o.tif").exists()


def test_missing_input_is_named(capsys, tmp_path):
    status, _, err = run(capsys, "denoise", tmp_path / "no.png", "-o", tmp_path / "o.png")
    assert status == 1
    assert "There is no file or folder" in err


def test_sidecar_says_how_to_do_it_again(capsys, noisy, tmp_path):
    import hashlib

    out = tmp_path / "o.tif"
    assert run(capsys, "denoise", noisy, "-o", out, "--sigma", 15, "--sidecar", "--seed", 3)[0] == 0
    made = json.loads((tmp_path / "o.tif.json").read_text())
    assert made["input_sha256"] == hashlib.sha256(noisy.read_bytes()).hexdigest()
    assert made["model_sha256"] == hashlib.sha256((paths.models() / "color.safetensors").read_bytes()).hexdigest()
    assert made["params"] == {"passes": 4, "alpha": 0.5, "noise_model": "white", "gain": None, "ratio": 1.0}
    assert (made["seed"], made["method"], made["strength"]) == (3, "r2r", 1.0)
    assert made["sigma"] == pytest.approx(15)
    assert made["sigma_automatic"] is False


def test_a_clean_picture_is_left_alone_and_told_so(capsys, tmp_path):
    path = tmp_path / "clean.png"
    y, x = np.mgrid[0:128, 0:160] / 160
    save_image(Image(np.stack([x, y, (x + y) / 2], -1).astype(np.float32)), path)
    status, (record,), _ = run(capsys, "denoise", path, "-o", tmp_path / "o.png", "--json")
    assert status == 0
    assert record["sigma"] == 0
    assert any("left as it is" in warning for warning in record["warnings"])
    assert np.array_equal(load_image(tmp_path / "o.png").pixels, load_image(path).pixels)


def test_evaluate_adds_the_papers_noise_and_knows_its_level(capsys, noisy):
    clean = noisy.with_name("a_clean.png")
    noisy.unlink()
    status, records, _ = run(capsys, "evaluate", clean.parent, "--noise", "gaussian:25", "--json", "--passes", 2)
    assert status == 0
    one, mean = records
    assert one["sigma"] == pytest.approx(25)
    expected = 10 * np.log10(255**2 / 25**2)
    assert one["noisy_psnr_db"] == pytest.approx(expected, abs=1)  # clipping to [0, 1] takes a little away
    assert mean["mean"] is True
    assert mean["mean_psnr_db"] == pytest.approx(one["psnr_db"])


def test_evaluate_finds_pairs_by_name_and_in_two_folders(capsys, noisy, tmp_path):
    status, records, _ = run(capsys, "evaluate", noisy.parent, "--json", "--passes", 2)
    assert status == 0
    assert records[-1]["pictures"] == 1
    other = tmp_path / "clean"
    other.mkdir()
    (noisy.parent / "a_clean.png").rename(other / "a_noisy.png")
    _, again, _ = run(capsys, "evaluate", noisy.parent, "--clean", other, "--json", "--passes", 2)
    assert again[-1]["mean_psnr_db"] == pytest.approx(records[-1]["mean_psnr_db"])


def test_evaluate_options_change_what_they_say(capsys, noisy):
    folder = noisy.parent
    base = run(capsys, "evaluate", folder, "--json", "--sigma", 15, "--passes", 2)[1][-1]["mean_psnr_db"]
    rounded = run(capsys, "evaluate", folder, "--json", "--sigma", 15, "--passes", 2, "--round8")[1][-1]["mean_psnr_db"]
    assert rounded != base
    assert rounded == pytest.approx(base, abs=0.05)
    grey, mean = run(capsys, "evaluate", folder, "--json", "--sigma", 10, "--passes", 2, "--grey", "--limit", 1)[1]
    assert grey["model"] == "grey"
    assert mean["pictures"] == 1
    assert run(capsys, "evaluate", folder / "nothing", "--json")[0] in (1, 2)


def test_noise_reports_all_that_was_measured(capsys, noisy):
    status, records, _ = run(capsys, "noise", noisy, noisy.with_name("a_clean.png"), "--json")
    assert status == 0
    assert {"sigma", "joint", "channels", "slope", "correlation", "clipped", "is_white", "reason"} <= set(records[0])
    assert records[0]["sigma"] > records[1]["sigma"]


def test_noise_looks_into_folders_of_a_folder_where_that_is_asked(capsys, noisy, tmp_path):
    status, _, err = run(capsys, "noise", tmp_path, "--json")
    assert status == 2
    assert "--recursive looks into the folders in it" in err
    status, records, _ = run(capsys, "noise", tmp_path, "--recursive", "--json")
    assert (status, len(records)) == (0, 2)


def test_methods_and_models_are_listed(capsys):
    status, listed, _ = run(capsys, "methods", "--json")
    assert status == 0
    assert {"r2r", "plain"} <= {record["id"] for record in listed}
    status, listed, _ = run(capsys, "models", "--json")
    assert {record["name"] for record in listed} == {"grey", "color"}


def test_train_makes_a_model_that_denoise_runs_and_resumes(capsys, noisy, tmp_path):
    out = tmp_path / "run"
    common = ("--network", "unet-tiny", "--batch", 2, "--patch", 32, "--device", "cpu")
    status, _, err = run(
        capsys, "train", "--data", noisy.parent, "--noise", "gaussian:25", "--steps", 3, *common, "-o", out
    )
    assert (status, err) == (0, "")
    trained = out / "checkpoint.safetensors"
    assert run(capsys, "denoise", noisy, "-o", tmp_path / "o.tif", "--model", trained, "--sigma", 9)[0] == 0
    assert run(capsys, "train", "--resume", out)[0] == 0
    assert run(capsys, "train", "--resume", tmp_path)[0] == 2
    assert run(capsys, "train", "--data", noisy.parent, *common, "-o", tmp_path / "r")[0] == 2


def test_a_foreign_file_without_its_convention_ends_with_2_naming_the_choices(capsys, noisy, tmp_path):
    import torch

    from engine.method import build

    foreign = tmp_path / "net.pth"
    torch.save(build({"network": "dncnn", "channels": 3, "depth": 5}).state_dict(), foreign)
    status, _, err = run(capsys, "denoise", noisy, "-o", tmp_path / "o.tif", "--model", foreign, "--sigma", 15)
    assert status == 2
    for option in ("--output residual|image", "--channels rgb|bgr", "--bn-eps"):
        assert option in err
    given = ("--output", "residual", "--channels", "bgr", "--bn-eps", "1e-5")
    assert run(capsys, "denoise", noisy, "-o", tmp_path / "o.tif", "--model", foreign, "--sigma", 15, *given)[0] == 0
    assert run(capsys, "import", foreign)[0] == 2
    assert run(capsys, "import", foreign, *given)[0] == 0
    assert "net" in {record["name"] for record in run(capsys, "models", "--json")[1]}


def test_a_file_that_says_everything_is_imported_and_run_without_options(capsys, noisy, tmp_path):
    import torch

    from engine.method import build

    foreign = tmp_path / "theirs.pth"
    torch.save(build({"network": "n2n", "channels": 3}).state_dict(), foreign)
    status, _, err = run(capsys, "import", foreign, "--range", 255)
    assert status == 2
    assert err == "pellucid: theirs.pth is read as Neighbor2Neighbor, where --range has no effect; leave --range out\n"
    assert run(capsys, "import", foreign)[0] == 0
    status, (record,), _ = run(
        capsys, "denoise", noisy, "-o", tmp_path / "o.tif", "--model", "theirs", "--sigma", 15, "--json"
    )
    assert (status, record["method"]) == (0, "n2n")


def test_the_command_line_never_imports_qt(noisy, tmp_path):
    blocked = (
        "import sys\n"
        "for name in ('PySide6', 'shiboken6', 'pyqtgraph', 'qdarkstyle', 'qtpy'): sys.modules[name] = None\n"
        "sys.argv = ['app', *sys.argv[1:]]\n"
        "from app.__main__ import main\n"
        "status = main()\n"
        "print('compiler loaded:', 'torch._dynamo' in sys.modules)\n"
        "sys.exit(status)\n"
    )
    out = tmp_path / "o.tif"
    command = [sys.executable, "-c", blocked, "denoise", str(noisy), "-o", str(out), "--sigma", "15", "--model"]
    command += [str(paths.models() / "color.safetensors")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert out.exists()
    # Loading torch's compiler, which nothing here needs, would take three seconds.
    assert "compiler loaded: False" in done.stdout


def test_a_target_that_cannot_be_written_is_refused_before_anything_is_computed(capsys, noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(single, "load_model", None)
    status, _, err = run(capsys, "denoise", noisy, "-o", tmp_path / "new" / "o.xyz", "--sigma", 15)
    assert status == 1
    assert "cannot be saved as .xyz" in err
    assert not (tmp_path / "new").exists()


def test_a_training_that_could_not_start_can_be_started_again(capsys, noisy, tmp_path):
    out = tmp_path / "run"
    common = ("--network", "unet-tiny", "--batch", 2, "--patch", 32, "--device", "cpu", "--steps", 1, "-o", out)
    status, _, err = run(capsys, "train", "--data", tmp_path / "nowhere", "--noise", "gaussian:25", *common)
    assert status == 2
    assert err.count("\n") == 1
    assert run(capsys, "train", "--data", noisy.parent, "--noise", "gaussian:25", *common)[0] == 0


def pictures(folder, count=4, side=96, sigma=15 / 255):
    """Noisy pictures, each another one."""
    folder.mkdir()
    for index in range(count):
        rng = np.random.default_rng(index)
        clean = np.roll(picture(side, side + 24), 17 * index, axis=(0, 1))[..., rng.permutation(3)]
        pixels = clean + sigma * rng.standard_normal(clean.shape)
        save_image(Image(pixels.astype(np.float32), bits=32, is_float=True), folder / f"{index}.tif")
    return folder


QUICK = ("--network", "unet-tiny", "--batch", 2, "--patch", 32, "--device", "cpu")


def test_the_options_of_train_become_the_job_and_without_them_it_is_as_before(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("training.launch.follow", lambda *_: iter(()))
    data, out = pictures(tmp_path / "in"), tmp_path / "run"
    common = ("train", "--data", data, "--steps", 2, *QUICK)
    given = (
        "--hold-out",
        0.5,
        "--leave-out",
        "3.tif",
        "--leave-out",
        "0.tif",
        "--against",
        "color",
        "--judge-every",
        7,
    )
    given += (
        "--patience",
        3,
        "--schedule",
        "plateau",
        "--replay",
        0.25,
        "--memory",
        128,
        "--processes",
        2,
        "--name-data",
    )
    assert run(capsys, *common, *given, "-o", out)[0] == 0
    job = Run(out).job()
    assert (job.leave_out, job.against, job.judge_every) == (("3.tif", "0.tif"), "color", 7)
    assert (job.patience, job.schedule, job.replay, job.budget_mb) == (3, "plateau", 0.25, 128)
    assert (job.processes, job.names_in_card) == (2, True)
    assert run(capsys, *common, "-o", tmp_path / "plain")[0] == 0
    plain = Run(tmp_path / "plain").job()
    assert plain == TrainJob(data=str(data), steps=2, network="unet-tiny", batch=2, patch=32, device="cpu")


OPTIONS = {
    "share": ("--hold-out", 0.3, "--seed", 3, "--judge-every", 7, "--patience", 3, "--schedule", "plateau"),
    "names": ("--held-out", "1.tif", "--leave-out", "my 3.tif", "--against", "some model", "--no-recursive"),
    "more": ("--replay", 0.25, "--memory", 128, "--processes", 2, "--threads", 1, "--method", "n2v", "--rate", 2e-4),
    "mosaics": ("--domain", "mosaic", "--method", "r2r", "--alpha", 0.5),
    "recipe": ("--noise", "gaussian:5-50", "--fresh", "--scales", "1,0.5", "--stride", 8, "--grey", "--hold-out", 0.5),
    "pairs": ("--noise", "poisson:30", "--target", "noisy", "--method", "plain", "--sides", "90-200"),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_command_of_a_card_gives_the_same_job_again(capsys, tmp_path, monkeypatch, options):
    monkeypatch.setattr("training.launch.follow", lambda *_: iter(()))
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "my in")
    (tmp_path / "my in" / "3.tif").rename(tmp_path / "my in" / "my 3.tif")
    common = ("train", "--data", "my in", "--steps", 2, "--name-data", "--network", "unet-tiny", "--patch", 32)
    assert run(capsys, *common, *options, "-o", tmp_path / "one")[0] == 0
    job = Run(tmp_path / "one").job()
    again = command_of(job)
    assert run(capsys, *again, "--name-data", "-o", tmp_path / "two")[0] == 0
    assert Run(tmp_path / "two").job() == job


def test_the_command_of_a_students_card_gives_the_same_job_again(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("training.launch.follow", lambda *_: iter(()))
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "in")
    save_checkpoint(checkpoint(1), tmp_path / "teacher.safetensors")
    given = ("--data", "in", "--steps", 2, "--hold-out", 0.3, "--leave-out", "2.tif", "--memory", 99, "--name-data")
    given += ("--passes", 4, "--name", "trained")
    assert run(capsys, "distil", "teacher.safetensors", *given, "-o", tmp_path / "one")[0] == 0
    job = Run(tmp_path / "one").job()
    again = command_of(job, load_teacher(job))
    assert run(capsys, *again, "--name-data", "--name", "trained", "-o", tmp_path / "two")[0] == 0
    assert Run(tmp_path / "two").job() == job


def test_a_card_that_names_nothing_tells_the_share_that_is_held_out():
    job = TrainJob("secret", steps=2, held_out=("a.tif", "b.tif"), leave_out=("c.tif",))
    command = " ".join(command_of(job))
    assert "--hold-out 0.2" in command
    assert not any(name in command for name in ("secret", "a.tif", "c.tif"))


def command_of(job, teacher=None) -> list[str]:
    """What the card says, without `python -m app`."""
    arch = {"network": "unet", "channels": 3}
    card = written(job, arch, teacher, 2, 60.0, torch.device("cpu"), 8, None, {}, None)
    return shlex.split(card.command)[3:]


def test_whole_scenes_are_held_out_of_own_pictures_and_the_check_says_how_many(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("training.launch.follow", lambda *_: iter(()))
    data, out = pictures(tmp_path / "in", 6), tmp_path / "run"
    for index in range(6):
        (data / f"{index}.tif").rename(data / f"Canon_5_160_3200_{'plug' if index < 4 else 'chair'}_{index}_real.tif")
    common = ("--data", data, "--hold-out", 0.2)
    assert run(capsys, "train", *common, "--steps", 2, *QUICK, "-o", out)[0] == 0
    assert Run(out).job().held_out == ("Canon_5_160_3200_chair_4_real.tif", "Canon_5_160_3200_chair_5_real.tif")
    assert cli.main(["train", "--check", *map(str, common)]) == 0
    assert "2 of them would be judged on" in capsys.readouterr().out
    one = ("--leave-out", "Canon_5_160_3200_chair_4_real.tif", "--leave-out", "Canon_5_160_3200_chair_5_real.tif")
    status, _, err = run(capsys, "train", *common, "--steps", 2, *one, "-o", tmp_path / "other")
    assert (status, err.count("no two scenes")) == (2, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": "four"}, "batch cannot be 'four'"),
        ({"steps": 2.5}, "steps cannot be 2.5"),
        ({"held_out": "0.tif"}, "held_out cannot be '0.tif'"),
        ({"preview": {"name": "0.tif", "left": "middle", "top": 0}}, "left cannot be 'middle'"),
        ({"minutes": float("nan")}, "minutes cannot be nan"),
        ({"colour": True}, "colour"),
        ({"seed": -1}, "from 0"),
        ({"params": {"alpha": "high"}}, "must be a number"),
        ({"method": "magic"}, "magic"),
        ({"device": "abacus"}, "abacus"),
        ({"start": "nowhere"}, "no model 'nowhere'"),
    ],
)
def test_a_job_that_somebody_edited_wrongly_is_one_sentence(capsys, tmp_path, change, said):
    data, out = pictures(tmp_path / "in", 2), tmp_path / "run"
    begin(TrainJob(data=str(data), steps=1, batch=2, patch=32, device="cpu"), out)
    values = json.loads((out / "job.json").read_text())
    (out / "job.json").write_text(json.dumps({**values, **change}))
    status, _, err = run(capsys, "train", "--resume", out)
    assert (status, err.count("\n")) == (2, 1)
    assert said in err


def test_a_job_of_an_older_version_goes_on(capsys, tmp_path):
    data, out = pictures(tmp_path / "in", 2), tmp_path / "run"
    out.mkdir()
    old = {"data": str(data), "method": "r2r", "network": "unet-tiny", "minutes": None, "steps": 2, "batch": 2}
    old |= {"noise": "gaussian:25", "patch": 32, "sides": None, "scales": [1.0], "device": "cpu", "params": {}}
    (out / "job.json").write_text(json.dumps(old))
    assert run(capsys, "train", "--resume", out)[0] == 0
    # Its state had less in it, too.
    state = torch.load(out / "state.pt", weights_only=True)  # noqa: TID251
    for name in ("parts", "slower", "has_fallen", "scores", "drops", "stage"):
        del state[name]
    torch.save(state, out / "state.pt")
    (out / "job.json").write_text(json.dumps({**old, "steps": 4}))
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert "started: step 2" in capsys.readouterr().out


def test_the_second_interrupt_ends_a_training_at_once(capsys, tmp_path, monkeypatch):
    asked = []

    def follow(run, should_stop):
        signal.raise_signal(signal.SIGINT)
        asked.append(should_stop())
        yield Saved(1)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it goes on")

    monkeypatch.setattr("training.launch.follow", follow)
    begin(TrainJob(data="somewhere", steps=9), tmp_path / "run")
    assert run(capsys, "train", "--resume", tmp_path / "run")[0] == 1
    assert asked == [True]


def test_a_run_that_nobody_has_begun_is_begun_by_resume(capsys, tmp_path):
    data, out = pictures(tmp_path / "in", 2), tmp_path / "run"
    begin(TrainJob(data=str(data), steps=1, network="unet-tiny", batch=2, patch=32, device="cpu", name="mine"), out)
    assert cli.main(["train", "--resume", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"pellucid import {out / 'checkpoint.safetensors'}" in said
    # What it says works, and the model has the job's name.
    assert cli.main(["import", str(out / "checkpoint.safetensors")]) == 0
    assert "--model mine" in capsys.readouterr().out
    assert run(capsys, "denoise", data / "0.tif", "-o", tmp_path / "o.tif", "--model", "mine", "--sigma", 15)[0] == 0


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(9, True, 0.211, 0.05, "r2r-color", "why"), "Better than r2r-color by 0.21 ± 0.05 dB on 3 held-out"),
        (Verdict(9, True, None, None, "", "why"), "Better than the noisy pictures on 3 held-out pictures"),
        (Verdict(9, True, None, None, "", "why", 0.021, 0.013), "pictures by 2.1% ± 1.3% of the noise's power on 3"),
        (Verdict(9, False, -0.1, 0.05, "r2r-color", "Its error is larger."), "Keep r2r-color: Its error is larger."),
    ],
)
def test_the_verdict_is_told_as_what_to_do(capsys, tmp_path, monkeypatch, verdict, said):
    events = (Started(0, 9, "cpu", "float32", 9, 3), verdict, Ended(9, "finished"))
    monkeypatch.setattr("training.launch.follow", lambda *_: iter(events))
    begin(TrainJob(data="somewhere", steps=9), tmp_path / "run")
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert said in capsys.readouterr().out


def test_a_run_that_failed_names_no_model(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("training.launch.follow", lambda *_: iter((Ended(9, "failed", "why"),)))
    begin(TrainJob(data="somewhere", steps=9), tmp_path / "run")
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 1
    assert "The model is" not in capsys.readouterr().out


def test_a_check_says_what_would_go_wrong_and_trains_nothing(capsys, tmp_path):
    data = pictures(tmp_path / "in")
    (data / "broken.png").write_bytes(b"no picture")
    assert cli.main(["train", "--data", str(data), "--check", "--hold-out", "0.3"]) == 0
    said = capsys.readouterr().out
    assert f"4 of 5 pictures in {data} can be used" in said
    assert "would be judged on" in said
    assert "warn: " in said
    assert "broken.png" in said
    assert cli.main(["train", "--data", str(data), "--check", "--leave-out", "broken.png"]) == 0
    assert "broken.png" not in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.main(["train", "--data", str(tmp_path / "empty"), "--check"]) == 1
    assert "stop: " in capsys.readouterr().out
    assert not paths.runs().exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check",), "--check needs --data DIR"),
        (("--data", "nowhere", "--check"), "nowhere is not a folder"),
        (("--data", ".", "--check", "--noise", "gaussian:25"), "leave out --noise"),
        (("--data", "in", "--check", "--leave-out", "9.tif"), "There is no picture 9.tif in in to leave out"),
        (("--resume", "in"), "is not a training run"),
        (("--data", "in", "--steps", 3, "--minutes", 3, "-o", "run"), "either --minutes or --steps"),
        (("--data", "in", "--steps", 3, "--patience", 3, "-o", "run"), "give --hold-out"),
        (("--data", "in", "--steps", 3, "--against", "color", "-o", "run"), "--against has no effect"),
        (("--data", "in", "--steps", 3, "--judge-every", 3, "-o", "run"), "--judge-every has no effect"),
        (("--data", "in", "--steps", 3, "--hold-out", 0.5, "-o", "run"), "no two scenes in in"),
        (("--data", "in", "--steps", 3, "--replay", 0.5, "--batch", 1, "-o", "run"), "leave --replay out"),
        (("--data", "in", "--steps", 3, "--leave-out", "9.tif", "-o", "run"), "There is no picture 9.tif in in"),
        (("--data", "in", "--steps", 3, "-o", "in/0.tif"), "choose another folder"),
        (("--resume", "in", "--steps", 3), "leave the other options out"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused_in_one_sentence(capsys, tmp_path, monkeypatch, arguments, said):
    pictures(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "train", *arguments)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_runs_lists_those_of_the_window_with_where_they_stand(capsys):
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().out == ""
    begin(TrainJob(data="somewhere", steps=9, name="new one"), paths.runs() / "a")
    done = begin(TrainJob(data="somewhere", steps=9, name="good one"), paths.runs() / "b")
    for event in (Verdict(9, True, 0.2, 0.1, "color", ""), Ended(9, "finished")):
        append(event, done.folder)
    (paths.runs() / "c").mkdir()
    (paths.runs() / "c" / "job.json").write_text("{")
    status, records, err = run(capsys, "runs", "--json")
    assert status == 0
    found = {record["name"]: (record["state"], record["is_better"], record["gain_db"]) for record in records}
    assert found == {"new one": ("new", None, None), "good one": ("finished", True, 0.2)}
    assert "job.json cannot be read" in err
    assert cli.main(["runs"]) == 0
    assert f"finished   {done.folder}" in capsys.readouterr().out


def test_two_inputs_of_one_name_each_get_a_file(capsys, noisy, tmp_path):
    other = tmp_path / "other" / noisy.name
    other.parent.mkdir()
    other.write_bytes(noisy.read_bytes())
    out = tmp_path / "out"
    status, records, err = run(capsys, "denoise", noisy, other, "-o", out, "--sigma", 15, "--overwrite", "--json")
    assert status == 0, err
    assert [Path(record["output"]).name for record in records] == ["a_noisy_denoised.tif", "a_noisy_denoised-2.tif"]


def test_an_output_without_suffix_is_a_folder(capsys, noisy, tmp_path):
    assert run(capsys, "denoise", noisy, "-o", tmp_path / "new", "--sigma", 15)[0] == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a_noisy_denoised.tif"]


def test_a_model_is_loaded_once_for_all_pictures(capsys, noisy, tmp_path, monkeypatch):
    loaded = []
    load = single.load_model
    monkeypatch.setattr(
        single, "load_model", lambda *given, **named: loaded.append(named["channels"]) or load(*given, **named)
    )
    assert run(capsys, "denoise", noisy.parent, "-o", tmp_path / "out", "--sigma", 15)[0] == 0
    assert len(list((tmp_path / "out").glob("*.*"))) == 3  # and the journal
    assert loaded == [3]
