from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from app import sample
from engine.encode import save_image
from engine.image import Image, load_image

ANSWER = {"psnr_db": 30.0, "noisy_psnr_db": 20.0}


@pytest.fixture
def command(monkeypatch):
    """Stands for the command line: writes the clean twin as what it denoised, or fails with the code put into it."""
    calls = []

    def run(arguments, **options):
        calls.append(arguments)
        reference = load_image(arguments[arguments.index("--reference") + 1])
        save_image(Image(reference.pixels), arguments[arguments.index("-o") + 1])
        return subprocess.CompletedProcess(arguments, 0, json.dumps(ANSWER) + "\n")

    monkeypatch.setattr(sample.subprocess, "run", run)
    return calls


def test_the_comparison_shows_the_noisy_picture_left_and_the_denoised_right(command, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert sample.denoise_sample(folder) == ANSWER
    noisy, denoised, both = (load_image(folder / f"{name}.png").pixels for name in ("noisy", "denoised", "comparison"))
    width = noisy.shape[1]
    assert np.array_equal(both[:, :width], noisy)
    assert np.array_equal(both[:, -width:], denoised)
    assert both.shape[1] > 2 * width


def test_the_sample_has_the_noise_that_its_label_says(command, tmp_path):
    sample.denoise_sample(tmp_path)
    arguments = command[0]
    noisy = load_image(arguments[arguments.index("denoise") + 1])
    clean = load_image(arguments[arguments.index("--reference") + 1])
    assert noisy.pixels.min() < 0
    assert noisy.pixels.max() > 1
    assert np.std(noisy.pixels - clean.pixels) * 255 == pytest.approx(25, rel=0.005)


def test_a_failed_command_is_reported_with_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr(sample.subprocess, "run", lambda arguments, **options: subprocess.CompletedProcess([], 1, ""))
    with pytest.raises(sample.SampleError, match="exit code 1"):
        sample.denoise_sample(tmp_path)
