"""The study of RAW pictures measures every way on made mosaics and on DNG pairs."""

import csv

import numpy as np
import pytest
from dng import recorded, samples_of, write_dng
from opened import install_models

from app import studies
from app.studies.report import Choices, StudyError
from conftest import picture
from engine.develop import from_srgb
from engine.encode import save_image
from engine.image import Image


def test_every_way_is_measured_on_pictures_and_on_dng_pairs(tmp_path):
    install_models()
    data = tmp_path / "clean"
    data.mkdir()
    save_image(Image(picture(96, 112).astype(np.float32)), data / "a.png")
    light = recorded(from_srgb(picture(96, 112).astype(np.float32)))
    write_dng(data / "b_clean.dng", samples_of(light))
    write_dng(data / "b_noisy.dng", samples_of(light + 0.02 * np.random.default_rng(0).standard_normal(light.shape)))
    studies.make("raw", Choices(tmp_path / "out", [data], device="cpu"))
    with (tmp_path / "out/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["name"], row["noise"]) for row in rows} == {
        ("a", "weak"), ("a", "middle"), ("a", "strong"), ("b_noisy", "file")
    }  # fmt: skip
    for case in {(row["name"], row["noise"]) for row in rows}:
        ways = [row["what"] for row in rows if (row["name"], row["noise"]) == case]
        assert len(ways) == len(set(ways)) == 8
        assert {"noisy", "developed, automatic", "mosaic, automatic"} <= set(ways)
    page = (tmp_path / "out/report.md").read_text()
    assert "|  | weak | middle | strong | file |" in page


def test_a_folder_without_pictures_says_what_is_needed(tmp_path):
    with pytest.raises(StudyError, match="DNG pairs X_noisy and X_clean"):
        studies.make("raw", Choices(tmp_path / "out", [tmp_path]))
