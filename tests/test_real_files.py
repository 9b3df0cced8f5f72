"""Pictures as people have them: opened, denoised, saved and opened again, nothing lost."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from app import cli
from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.image import load_image
from engine.pairs import find_reference
from models import checkpoint


@pytest.fixture(autouse=True)
def models():
    for channels, name in ((1, "grey"), (3, "color")):
        save_checkpoint(replace(checkpoint(channels), name=name), paths.models() / f"{name}.safetensors")


def noisy(height=64, width=80, channels=3):
    clean = picture(height, width)[..., :channels]
    return np.clip(clean + 0.06 * np.random.default_rng(0).standard_normal(clean.shape), 0, 1)


def denoise(source: Path, target: Path, *more) -> int:
    return cli.main(["denoise", str(source), "-o", str(target), "--sigma", "15", "--passes", "2", *more])


def test_a_16_bit_png_stays_16_bit(tmp_path):
    pixels = (noisy() * 65535).round().astype(np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    raw = cv2.imdecode(np.fromfile(tmp_path / "b.png", np.uint8), cv2.IMREAD_UNCHANGED)
    assert raw.dtype == np.uint16
    assert raw.shape == (64, 80, 3)
    assert len(np.unique(raw)) > 5000


def test_a_grey_picture_stays_grey(tmp_path):
    Pillow.fromarray((noisy(channels=1)[..., 0] * 255).round().astype(np.uint8)).save(tmp_path / "a.png")
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    with Pillow.open(tmp_path / "b.png") as saved:
        assert saved.mode == "L"


def test_transparency_comes_through_untouched(tmp_path):
    alpha = np.linspace(0, 255, 64 * 80).reshape(64, 80, 1)
    pixels = np.concatenate([noisy() * 255, alpha], -1).round().astype(np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    with Pillow.open(tmp_path / "b.png") as picture_:
        saved = np.asarray(picture_)
    assert saved.shape == (64, 80, 4)
    assert np.array_equal(saved[..., 3], pixels[..., 3])


def test_a_12_bit_picture_in_a_16_bit_file_gives_the_same_result(tmp_path):
    full = (noisy() * 4095).round().astype(np.uint16)
    for name, scale in (("full", 16), ("twelve", 1)):
        (tmp_path / f"{name}.png").write_bytes(cv2.imencode(".png", full * scale)[1].tobytes())
        assert denoise(tmp_path / f"{name}.png", tmp_path / f"{name}_out.png") == 0
    one, other = (load_image(tmp_path / f"{name}_out.png").pixels for name in ("full", "twelve"))
    # A 16-bit file has room above 4095; what overshoots there was clipped in the other.
    assert np.abs(one - np.minimum(other * 16, 1)).max() < 1.5 * 16 / 65535


@pytest.mark.slow
def test_a_whole_camera_jpeg_keeps_its_exif(data, tmp_path):
    source = min((data / "real/highiso_full").glob("*_Real.JPG"), key=lambda path: path.stat().st_size)
    target = tmp_path / "out.jpg"
    assert denoise(source, target) == 0
    with Pillow.open(source) as before, Pillow.open(target) as after:
        assert after.size == before.size
        # Exposure time, aperture, ISO
        tags = [
            [shot.getexif().get_ifd(0x8769).get(tag) for tag in (0x829A, 0x829D, 0x8827)] for shot in (before, after)
        ]
    assert tags[0] == tags[1]
    assert any(tag is not None for tag in tags[0])


def test_camera_crops_find_their_reference(data, tmp_path, capsys):
    source = next(iter(sorted((data / "real/polyu").glob("*_real.JPG"))))
    reference = find_reference(source)
    assert reference is not None
    assert reference.stem == source.stem.replace("_real", "_mean")
    assert denoise(source, tmp_path / "o.jpg", "--reference", str(reference)) == 0
    assert "PSNR" in capsys.readouterr().out
    assert load_image(tmp_path / "o.jpg").pixels.shape == load_image(source).pixels.shape
