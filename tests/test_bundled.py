"""The bundled models: what their cards and the README say of them holds."""

import json

import numpy as np
import pytest

from app import cli
from engine import paths
from engine.checkpoint import list_checkpoints
from engine.denoise import Denoising, load_model
from engine.image import Image, load_image
from engine.methods.r2r import R2RParams
from engine.metrics import psnr

pytestmark = pytest.mark.bundled

SAMPLE = paths.resources() / "sample"


def evaluate(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_grey_and_one_colour_model_are_bundled_with_complete_cards():
    bundled = {entry.channels: entry for entry in list_checkpoints() if entry.bundled}
    assert set(bundled) == {1, 3}
    for entry in bundled.values():
        card = entry.card
        assert card.licence
        assert "no clean pixel" in card.trained_on
        assert card.steps > 0
        assert "--noise gaussian:0-75" in card.command
        assert card.results


@pytest.mark.parametrize(("name", "channels"), [("r2r-grey", 1), ("r2r-color", 3)])
def test_tiles_of_an_odd_sized_picture_give_the_whole_pictures_result(name, channels):
    rng = np.random.default_rng(0)
    image = Image(rng.random((173, 165, channels), dtype=np.float32))
    model = load_model(name, device="cpu", precision="float32")
    results = []
    for side in (32, 4096):  # 6 x 6 tiles, and one
        work = Denoising(model, image, R2RParams(), sigma=0.1, tile=side)
        list(work.run(2))
        results.append(work.mean(2))
    assert np.abs(results[0] - results[1]).max() < 1e-5


def test_short_numbers_change_the_result_by_less_than_a_hundredth_of_a_decibel():
    image, clean = load_image(SAMPLE / "coffee_noisy.tif"), load_image(SAMPLE / "coffee_clean.png")
    reached = []
    for precision in ("auto", "float32"):
        work = Denoising(load_model("r2r-color", device="cpu", precision=precision), image, R2RParams(), sigma=25 / 255)
        list(work.run(2))
        reached.append(psnr(work.mean(2), clean.pixels))
    assert abs(reached[0] - reached[1]) < 0.01


def test_the_sample_gains_nine_decibels_and_the_estimate_agrees(capsys):
    record, _ = evaluate(capsys, SAMPLE)
    assert record["psnr_db"] > record["noisy_psnr_db"] + 9
    assert abs(record["estimated_psnr_db"] - record["psnr_db"]) < record["estimated_psnr_band_db"] + 0.1


@pytest.mark.slow
def test_estimated_psnr_is_right_on_bsd68(data, capsys):
    *_, mean = evaluate(capsys, data / "test/bsd68", "--noise", "gaussian:25", "--limit", 16)
    assert mean["mean_estimate_error_db"] < 0.15
    assert mean["mean_psnr_db"] > 28


@pytest.mark.slow
def test_camera_pictures_gain_half_a_decibel_by_default(data, capsys, tmp_path):
    # One of each seven, so that every camera is among them.
    for path in sorted((data / "real/polyu").glob("*_real.JPG"))[::7]:
        (tmp_path / path.name).symlink_to(path)
        twin = path.name.replace("_real", "_mean")
        (tmp_path / twin).symlink_to(path.with_name(twin))
    *_, mean = evaluate(capsys, tmp_path)
    assert mean["pictures"] == 10
    assert mean["mean_psnr_db"] > mean["mean_noisy_psnr_db"] + 0.5


@pytest.mark.slow
def test_four_passes_give_what_fifty_give(data, capsys):
    four, fifty = (
        evaluate(capsys, data / "test/bsd68", "--noise", "gaussian:25", "--limit", 2, "--passes", passes)[-1][
            "mean_psnr_db"
        ]
        for passes in (4, 50)
    )
    assert abs(four - fifty) < 0.02
