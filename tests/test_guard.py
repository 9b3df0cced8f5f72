"""The detail guard gives structure back, leaves the rest alone, and does not depend on how a picture is cut."""

import json

import cv2
import numpy as np
import pytest

from app import cli
from conftest import picture
from engine import guard, params, paths
from engine.blend import Blend
from engine.checkpoint import save_checkpoint
from engine.denoise import Denoising
from engine.encode import save_image
from engine.guard import Usual, give_back, survey
from engine.image import Image
from engine.metrics import psnr
from engine.tiles import Rect
from models import checkpoint, model

SIGMA = 15 / 255


def erased(height=150, width=131, channels=3):
    """Clean, noisy, and a result that lost its texture: fine stripes below on the left."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = 0.3 + 0.4 * x / width
    stripes = 0.12 * np.sin(2 * np.pi * x / 4) * (y > 0.6 * height) * (x < width / 2)
    base, clean = (
        np.repeat(values[..., None], channels, 2).astype(np.float32) for values in (smooth, smooth + stripes)
    )
    noisy = clean + np.float32(SIGMA) * np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    return clean, noisy, base


def usual_of(noisy, denoised):
    return survey(lambda area: (noisy[area.slices], denoised[area.slices]), *noisy.shape[:2])


def guarded(noisy, denoised, kappa, usual=None):
    out = denoised.copy()
    give_back(out, noisy, usual or usual_of(noisy, denoised), kappa)
    return out


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_published_formula(channels):
    _, noisy, denoised = erased(channels=channels)
    r = (noisy - denoised).astype(np.float64)

    def box(values, side):
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101)

    v = np.mean([box(r[..., c] ** 2, 7) - box(r[..., c], 7) ** 2 for c in range(channels)], 0)
    luma = denoised.astype(np.float64) @ ([1.0] if channels == 1 else [0.299, 0.587, 0.114])
    edges = np.quantile(luma, np.linspace(0, 1, 13)[1:-1])
    bins = np.digitize(luma, edges)
    medians = [np.median(v[bins == number]) for number in range(12)]
    medians = np.convolve(np.pad(medians, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    w = box(np.clip(1.5 * medians[bins] / v, 0, 1), 5)
    expected = denoised + (1 - w[..., None]) * r
    # A bin's edge lies on some pixels, which either may take.
    assert np.quantile(np.abs(guarded(noisy, denoised, 1.5) - expected), 0.99) < 1e-5


def test_erased_texture_comes_back_and_smooth_parts_stay():
    clean, noisy, denoised = erased()
    height, width = clean.shape[:2]
    texture = np.s_[int(0.65 * height) :, : width // 2 - 6]
    smooth = np.s_[: int(0.55 * height)]
    result = guarded(noisy, denoised, 1.5)
    assert psnr(result[texture], clean[texture]) > psnr(denoised[texture], clean[texture]) + 3
    given = np.abs(result - denoised)[smooth].mean() / np.abs(noisy - denoised)[smooth].mean()
    assert given < 0.02


def test_more_is_left_alone_the_larger_kappa_is():
    _, noisy, denoised = erased()
    changes = [np.abs(guarded(noisy, denoised, kappa) - denoised).mean() for kappa in (0.5, 1, 1.5, 2.5, 10)]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0] / 20


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_region_is_the_crop_of_the_whole_to_the_bit(channels, monkeypatch):
    monkeypatch.setattr(guard, "_BAND", 32)
    _, noisy, denoised = erased(channels=channels)
    usual = usual_of(noisy, denoised)
    whole = guarded(noisy, denoised, 1.5, usual)
    frame = Rect(0, 0, noisy.shape[1], noisy.shape[0])
    for area in (Rect(0, 0, 20, 9), Rect(40, 61, 41, 62), Rect(100, 120, 131, 150), Rect(3, 30, 90, 77)):
        wide = area.grown(guard.REACH).shared(frame)
        part = guarded(noisy[wide.slices], denoised[wide.slices], 1.5, usual)
        assert np.array_equal(part[area.moved(-wide.left, -wide.top).slices], whole[area.slices])


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (2, 2), (6, 5)])
def test_tiny_pictures_keep_their_shape(size):
    rng = np.random.default_rng(0)
    noisy, denoised = rng.random((2, *size, 3), dtype=np.float32)
    result = guarded(noisy, denoised, 1.5)
    assert result.shape == noisy.shape
    assert np.isfinite(result).all()


def test_a_picture_from_which_nothing_was_taken_is_left_as_it_is():
    _, noisy, _ = erased()
    assert np.array_equal(guarded(noisy, noisy, 1.5), noisy)


def test_clipped_parts_do_not_count_as_usual():
    # Half of the picture is white in both: the other half's noise must not look unusual for it.
    _, noisy, denoised = erased()
    smooth = usual_of(noisy[:60], denoised[:60])
    white = np.ones_like(noisy[:60])
    both = usual_of(np.concatenate((noisy[:60], white)), np.concatenate((denoised[:60], white)))
    assert both.variances[:10] == pytest.approx(smooth.variances[:10], rel=0.2)


def test_blocks_of_a_large_picture_say_what_all_of_it_says(monkeypatch):
    rng = np.random.default_rng(0)
    denoised = np.tile(np.linspace(0, 1, 700, dtype=np.float32), (600, 1))[..., None]
    noisy = denoised + (0.02 + 0.1 * denoised) * rng.standard_normal(denoised.shape, np.float32)
    whole = usual_of(noisy, denoised)
    monkeypatch.setattr(guard, "_SAMPLES", 2**16)
    monkeypatch.setattr(guard, "_BLOCK", 16)
    read = []
    some = survey(lambda area: (read.append(area), noisy[area.slices], denoised[area.slices])[1:], 600, 700)
    assert len(read) > 8
    assert sum(area.width * area.height for area in read) < 3 * 2**16
    assert some.variances == pytest.approx(whole.variances, rel=0.15)
    assert isinstance(some, Usual)


@pytest.fixture(scope="module")
def tiny():
    return model()


def work_on(tiny, passes=2, **options):
    clean = picture(90, 110)
    noisy = clean + SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    image = Image(noisy.astype(np.float32), levels=(0.05, 0.9))
    work = Denoising(tiny, image, params.make(tiny.method.Params, {}), sigma=SIGMA, tile=32, **options)
    for _ in work.run(passes):
        pass
    return work


@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_the_window_and_the_command_line_make_the_same_picture(tiny, strength):
    shown = work_on(tiny).blended(2, Blend(strength, guard=1.5))
    assert np.array_equal(shown, work_on(tiny, keep=False).finish(2, Blend(strength, guard=1.5)))
    area = Rect(17, 33, 80, 88)
    assert np.array_equal(work_on(tiny).blended(2, Blend(strength, guard=1.5), area), shown[area.slices])
    assert not np.array_equal(shown, work_on(tiny).blended(2, Blend(strength)))


def test_while_passes_are_missing_what_is_not_there_stays_noisy(tiny):
    image = Image(picture(90, 110).astype(np.float32))
    work = Denoising(tiny, image, params.make(tiny.method.Params, {}), sigma=SIGMA, tile=32)
    steps = work.run(2)
    done = [next(steps).tile for _ in range(3)]
    early = work.blended(2, Blend(guard=1.5))
    assert np.array_equal(early[70:, 50:], image.pixels[70:, 50:])
    assert not np.array_equal(early[done[0].slices], image.pixels[done[0].slices])
    for _ in steps:
        pass
    whole = Denoising(tiny, image, work.params, sigma=SIGMA, tile=32)
    for _ in whole.run(2):
        pass
    assert np.array_equal(work.blended(2, Blend(guard=1.5)), whole.blended(2, Blend(guard=1.5)))


def test_no_psnr_is_estimated_of_what_the_guard_changed(tiny):
    work = work_on(tiny)
    assert work.estimate(2).reason is None
    assert "detail guard" in work.estimate(2, Blend(guard=1.5)).reason


def test_the_command_line_guards_and_writes_it_down(capsys, tmp_path):
    save_checkpoint(checkpoint(), paths.models() / "color.safetensors")
    source = tmp_path / "a.png"
    save_image(Image(picture(60, 70).astype(np.float32)), source)

    def run(name, *given):
        target = tmp_path / name
        common = ("denoise", source, "-o", target, "--sigma", 20, "--passes", 2, "--sidecar")
        assert cli.main([str(part) for part in (*common, *given)]) == 0
        return target, capsys.readouterr().out

    (plain, _), (off, said_off), (on, said_on) = run("a1.png"), run("a2.png", "--guard", 0), run("a3.png", "--guard", 1)
    assert "the detail guard" in said_on
    assert "the detail guard" not in said_off
    assert plain.read_bytes() == off.read_bytes() != on.read_bytes()
    assert [json.loads((path.parent / f"{path.name}.json").read_text())["guard"] for path in (off, on)] == [0.0, 1.0]
    for wrong in ("-1", "x", "nan", "11"):
        with pytest.raises(SystemExit) as caught:
            run("a4.png", f"--guard={wrong}")
        assert caught.value.code == 2
        assert "from 0 (off) to 10" in capsys.readouterr().err
