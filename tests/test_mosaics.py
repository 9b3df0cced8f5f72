"""Mosaics keep their colours in place, and R2R's raw pairs are what the paper says."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.io

from conftest import picture
from engine.checkpoint import load_checkpoint
from engine.develop import XYZ_TO_SRGB, demosaic
from engine.develop import develop_as_published as develop
from engine.image import ImageError
from engine.mosaic import PATTERNS, Mosaic, sites
from engine.raw import find_mosaics, read_mosaic
from training.events import Ended
from training.job import TrainError, TrainJob
from training.loop import train
from training.mosaics import MosaicSampler, fitted_noise, load_mosaics
from training.run import CHECKPOINT


def mosaic_of(rgb: np.ndarray, pattern="RGGB", noise=None, neutral=(1, 1, 1)) -> Mosaic:
    """What a camera with sRGB's primaries records of a linear picture."""
    out = np.empty(rgb.shape[:2], np.float32)
    camera = Mosaic(out, pattern, np.array(neutral, float), XYZ_TO_SRGB, noise)
    for (row, column), colour in sites(camera.pattern):
        out[row::2, column::2] = rgb[row::2, column::2, colour] * neutral[colour]
    return camera


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_flat_colour_is_developed_to_itself_whatever_the_filter(pattern):
    flat = np.broadcast_to(np.array([0.6, 0.3, 0.1]), (16, 18, 3))
    camera = mosaic_of(flat, pattern, neutral=(0.5, 1.0, 0.7))
    srgb = 1.055 * flat ** (1 / 2.4) - 0.055
    assert np.allclose(develop(camera.pixels, camera), srgb, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_demosaicing_keeps_what_was_recorded_and_comes_close_elsewhere(pattern):
    scene = picture(64, 80)
    camera = mosaic_of(scene, pattern)
    guessed = demosaic(camera.pixels, camera.pattern)
    for (row, column), colour in sites(camera.pattern):
        assert np.array_equal(guessed[row::2, column::2, colour], camera.pixels[row::2, column::2])
    assert np.sqrt(np.mean((guessed - scene) ** 2)) < 0.03


def test_a_ramp_is_demosaiced_exactly():
    y, x = np.mgrid[0:32, 0:32]
    ramp = np.stack([0.2 + 0.01 * x, 0.3 + 0.008 * y, 0.5 - 0.005 * x], -1)
    camera = mosaic_of(ramp)
    assert np.allclose(demosaic(camera.pixels, camera.pattern)[4:-4, 4:-4], ramp[4:-4, 4:-4], atol=1e-5)


def test_the_variance_follows_the_colour_of_the_site_and_never_falls_to_zero():
    noise = np.array([[0.1, 0.01], [0.2, 0.02], [0.3, 0.03]])
    camera = mosaic_of(np.full((4, 4, 3), 0.5), noise=noise)
    assert np.allclose(camera.variance(camera.pixels)[:2, :2], [[0.06, 0.12], [0.12, 0.18]])
    assert (camera.variance(np.full((4, 4), -9.0, np.float32)) > 0).all()


# ---- Files ----


def write_sidd(folder, mosaic, pattern=(0, 1, 1, 2), scene="0007_001_S6_00100_00060_3200_L", hide=False):
    """A capture in SIDD's tree: a MATLAB 7.3 mosaic and its metadata, the filter hidden in a TIFF tag or as a field."""
    place = folder / scene
    place.mkdir(parents=True)
    with h5py.File(place / "0007_NOISY_RAW_010.MAT", "w", userblock_size=512) as file:
        file["x"] = mosaic.T
    with (place / "0007_NOISY_RAW_010.MAT").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    metadata = {"AsShotNeutral": [0.5, 1.0, 0.6], "ColorMatrix2": XYZ_TO_SRGB.ravel()}
    tags = np.zeros(2, [("ID", object), ("Value", object)])
    tags[0], tags[1] = (50000, "x"), (33422, np.array(pattern, np.uint8))
    metadata |= {"SubIFDs": {"UnknownTags": tags}} if hide else {"CFAPattern": np.array(pattern, np.uint8)}
    scipy.io.savemat(place / "0007_METADATA_RAW_010.MAT", {"metadata": metadata}, appendmat=False)
    return place / "0007_NOISY_RAW_010.MAT"


@pytest.mark.parametrize("hide", [False, True])
def test_a_capture_of_sidd_is_read_with_its_colours_and_its_scene_s_noise(tmp_path, hide):
    values = np.random.default_rng(0).random((18, 26)).astype(np.float32)
    path = write_sidd(tmp_path / "Data", values, (2, 1, 1, 0), hide=hide)
    rows = ["scene,b1R,b2R,b1G,b2G,b1B,b2B", "0017,9,9,9,9,9,9", "0007,1e-3,2e-4,3e-3,4e-4,5e-3,6e-4"]
    (tmp_path / "noise_level_functions.csv").write_text("\n".join(rows))
    assert find_mosaics(tmp_path) == [path]
    read = read_mosaic(path)
    assert np.array_equal(read.pixels, values)
    assert read.pattern == "BGGR"
    assert read.neutral == pytest.approx([0.5, 1.0, 0.6])
    assert read.matrix == pytest.approx(XYZ_TO_SRGB)
    assert read.noise == pytest.approx(np.array([[1e-3, 2e-4], [3e-3, 4e-4], [5e-3, 6e-4]]))


def test_a_scene_without_a_row_is_refused_and_not_given_another_s_noise(tmp_path):
    path = write_sidd(tmp_path, np.zeros((8, 8), np.float32))
    (tmp_path / "noise_level_functions.csv").write_text("0008,1,1,1,1,1,1\n")
    with pytest.raises(ImageError, match="no row for scene 0007"):
        read_mosaic(path)


def test_a_mosaic_without_its_metadata_says_which_file_is_missing(tmp_path):
    path = write_sidd(tmp_path, np.zeros((8, 8), np.float32))
    (path.parent / "0007_METADATA_RAW_010.MAT").unlink()
    with pytest.raises(ImageError, match="no 0007_METADATA_RAW_010"):
        read_mosaic(path)


def test_a_dng_is_read_between_its_levels_and_its_measured_noise_is_what_was_put_in(data):
    noisy = read_mosaic(data / "raw/synthetic/bayer_rggb_iso_mid_noisy.dng")
    clean = read_mosaic(data / "raw/synthetic/bayer_rggb_iso_mid_clean.dng")
    assert noisy.pattern == "RGGB"
    residual = noisy.pixels - clean.pixels
    assert 10 * np.log10(1 / np.mean(residual**2)) == pytest.approx(34.18, abs=0.1)  # as its index says
    measured = replace(noisy, noise=fitted_noise(noisy)).variance(noisy.pixels)
    assert np.sqrt(measured.mean()) == pytest.approx(residual.std(), rel=0.2)


# ---- Patches of mosaics ----


@pytest.fixture
def noisy_mosaic():
    """A grey card of 0.3, its noise with the variance 0.002 x + 0.0001 and alike in all colours."""
    noise = np.array([[0.002, 0.0001]] * 3)
    camera = mosaic_of(np.full((256, 256, 3), 0.3), noise=noise)
    spread = np.sqrt(camera.variance(camera.pixels))
    rng = np.random.default_rng(3)
    return replace(camera, pixels=(camera.pixels + spread * rng.standard_normal(spread.shape)).astype(np.float32))


def job(domain, **changes):
    return TrainJob(data="", domain=domain, steps=1, batch=16, patch=64, **changes)


def test_recorrupted_copies_of_a_mosaic_are_developed_to_noise_that_does_not_correlate(noisy_mosaic):
    batch = MosaicSampler([noisy_mosaic], job("developed")).batch(np.random.default_rng(0))
    assert batch.noisy.shape == batch.target.shape == (16, 3, 64, 64)
    grey = develop(np.full((16, 16), 0.3, np.float32), noisy_mosaic)[8, 8, 0]
    given, target = (planes.double().flatten() - float(grey) for planes in (batch.noisy, batch.target))
    correlation = float((given * target).mean() / (given.std() * target.std()))
    # 16 patches of one picture share its own noise; without recorruption it would be 1.
    assert abs(correlation) < 0.05
    assert float(given.std() / target.std()) == pytest.approx(2, abs=0.15)  # sqrt(1 + 4) to sqrt(1 + 1/4)
    assert float(batch.sigma.mean()) == pytest.approx(float(given.std()), rel=0.1)


def test_a_smaller_alpha_adds_less_to_the_input(noisy_mosaic):
    spreads = []
    for alpha in (0.5, 2.0):
        sampler = MosaicSampler([noisy_mosaic], job("developed", params={"alpha": alpha}))
        spreads.append(float(sampler.batch(np.random.default_rng(0)).noisy.std()))
    assert spreads[0] < 0.6 * spreads[1]


def test_packed_planes_carry_the_sensor_s_deviation(noisy_mosaic):
    batch = MosaicSampler([noisy_mosaic], job("mosaic")).batch(np.random.default_rng(0))
    assert batch.noisy.shape == (16, 4, 64, 64)
    assert batch.target is None
    assert float(batch.noisy.std()) == pytest.approx(float(batch.sigma.mean()), rel=0.05)


def test_the_noise_level_function_of_a_mosaic_is_measured_plane_by_plane():
    rng = np.random.default_rng(5)
    ramp = np.linspace(0.05, 0.9, 512)[None, :, None] * np.ones((256, 1, 3))
    noise = np.array([[0.004, 0.0002], [0.002, 0.0001], [0.004, 0.0002]])
    camera = mosaic_of(ramp, noise=noise)
    spread = np.sqrt(camera.variance(camera.pixels))
    noisy = replace(camera, pixels=(camera.pixels + spread * rng.standard_normal(spread.shape)).astype(np.float32))
    at = 0.5
    for (slope, offset), (true_slope, true_offset) in zip(fitted_noise(noisy), noise, strict=True):
        assert slope * at + offset == pytest.approx(true_slope * at + true_offset, rel=0.25)


@pytest.mark.parametrize(("method", "domain", "channels"), [("r2r", "developed", 3), ("n2n", "mosaic", 4)])
def test_mosaics_train_and_the_checkpoint_says_its_channels(
    tmp_path, monkeypatch, noisy_mosaic, method, domain, channels
):
    monkeypatch.setattr("training.mosaics.find_mosaics", lambda folder: [tmp_path / "a.dng"])
    monkeypatch.setattr("training.mosaics.read_mosaic", lambda path: noisy_mosaic)
    made = replace(job(domain, method=method, network="unet-tiny"), steps=3, batch=2, device="cpu")
    assert list(train(made, tmp_path))[-1] == Ended(3, "finished")
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    assert saved.channels == channels
    assert saved.method == ("plain" if domain == "developed" else method)
    assert "mosaic" in saved.card.trained_on


def test_a_folder_without_mosaics_says_what_was_expected(tmp_path):
    with pytest.raises(TrainError, match=r"None of the 0 mosaics .*; expected DNG files or SIDD's"):
        load_mosaics(TrainJob(data=str(tmp_path), domain="mosaic", steps=1))


def test_only_r2r_recorrupts_before_developing():
    with pytest.raises(TrainError, match="Only r2r"):
        job("developed", method="n2n")


def test_mosaics_take_no_noise_of_ours():
    with pytest.raises(TrainError, match="carry their own noise"):
        TrainJob(data="x", domain="mosaic", noise="gaussian:5", steps=1)


@pytest.mark.parametrize("given", [{"stride": 8}, {"hold_out": 0.2}, {"sides": (64, 512)}, {"validate": "x"}])
def test_what_has_no_effect_on_mosaics_is_refused(given):
    with pytest.raises(TrainError, match=f"--{next(iter(given)).replace('_', '-')} has no effect on mosaics"):
        job("mosaic", **given)
