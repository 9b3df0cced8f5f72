"""Training pictures are held as their files hold them, and patches of them are what they always were."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from conftest import picture
from engine.corruption import Corruption, rng_for
from engine.encode import Encoding, save_image
from engine.image import Image, load_image
from training.job import TrainError, TrainJob
from training.patches import Pool, Sampler, load_pictures

NOISY = picture(64, 72) + 15 / 255 * np.random.default_rng(0).standard_normal((64, 72, 3))


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "pictures"
    data.mkdir()
    return data


@pytest.fixture
def job(folder):
    return TrainJob(data=str(folder), steps=10, batch=4, patch=32)


def trained_range(path):
    image = load_image(path)
    black, white = image.levels
    return (image.pixels - black) / (white - black)


@pytest.mark.parametrize(
    ("name", "bits", "kind"),
    [("x.png", 8, np.uint8), ("x.png", 16, np.uint16), ("x.tif", 16, np.uint16), ("x.tif", 32, np.float32)],
)
def test_pictures_are_held_as_their_files_hold_them_and_cut_in_the_trained_range(job, folder, name, bits, kind):
    # A quarter of white, so that the levels of 16 bits and floats are not those of the file.
    save_image(Image((NOISY / 4).astype(np.float32)), folder / name, Encoding(bits=bits))
    (held,) = load_pictures(job)
    assert held.pixels.dtype == kind
    expected = trained_range(folder / name)
    assert expected.max() > (0.9 if bits > 8 else 0.2)
    assert np.array_equal(held.cut(0, 0, 64, 72), expected)
    assert np.array_equal(held.cut(3, 5, 32, 16), expected[3:35, 5:21])
    assert held.cut(0, 0, 64, 72).dtype == np.float32
    assert held.report is not None
    assert held.sigma == held.report.sigma > 0


def test_a_picture_on_a_pedestal_is_cut_in_the_trained_range(job, folder):
    samples = (40_000 + 10_000 * NOISY).clip(0, 65535).astype(np.uint16)
    tifffile.imwrite(folder / "x.tif", samples, photometric="rgb")
    (held,) = load_pictures(job)
    assert held.pixels.dtype == np.uint16
    expected = trained_range(folder / "x.tif")
    assert 0 < expected.min() < 0.2
    assert np.allclose(held.cut(0, 0, 64, 72), expected, atol=1e-6)


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_have_the_channels_of_the_job(job, folder, grey, channels):
    save_image(Image(NOISY[..., :channels].astype(np.float32)), folder / "x.png")
    (held,) = load_pictures(replace(job, grey=grey))
    assert held.pixels.shape == (64, 72, channels)
    cut = held.cut(0, 0, 64, 72)
    assert cut.shape == (64, 72, 1 if grey else 3)
    file = load_image(folder / "x.png").pixels
    weights = np.array([0.299, 0.587, 0.114]) if channels == 3 else np.ones(1)
    assert np.allclose(cut, (file @ weights)[..., None] if grey else file, atol=1e-6)


def test_synthetic_noise_is_the_seeds_and_the_names_and_is_not_rounded(job, folder):
    (folder / "a").mkdir()
    save_image(Image(picture(64, 72).astype(np.float32)), folder / "a" / "x.png")
    job = replace(job, noise="gaussian:25", scales=(1.0, 0.5), seed=3, patch=16)
    whole, half = load_pictures(job)
    clean = load_image(folder / "a" / "x.png").pixels
    expected, sigma = Corruption.parse("gaussian:25").apply(clean, rng_for(3, "x"))
    assert whole.name == half.name == "a/x.png"
    assert whole.pixels.dtype == np.float32
    assert np.array_equal(whole.pixels, expected)
    assert np.array_equal(whole.cut(0, 0, 64, 72), expected)
    assert whole.sigma == sigma == 25 / 255
    assert half.pixels.shape == (32, 36, 3)


def test_a_pool_gives_the_batches_that_a_list_of_its_pictures_gives(job, folder):
    for index in range(3):
        save_image(Image(NOISY.astype(np.float32)), folder / f"{index}.png", Encoding(bits=8 * (index % 2 + 1)))
    pool = Pool(job)
    by_pool = Sampler(pool, job).batch(np.random.default_rng(5))
    by_list = Sampler(load_pictures(job), job).batch(np.random.default_rng(5))
    pool.close()
    assert by_pool.noisy.equal(by_list.noisy)
    assert by_pool.sigma.equal(by_list.sigma)
    assert by_pool.reports == by_list.reports


def test_of_a_folder_that_is_too_large_a_window_of_each_picture_is_given(job, folder):
    for index in range(3):
        save_image(Image(picture(1400, 1500).astype(np.float32)), folder / f"{index}.png")
    job = replace(job, noise="gaussian:25", budget_mb=64)
    cut = load_pictures(job)
    sizes = [held.pixels.nbytes for held in cut]
    assert [held.name for held in cut] == ["0.png", "1.png", "2.png"]
    assert 0.9 * 64 * 2**20 < sum(sizes) <= 64 * 2**20
    assert all(held.is_window and held.pixels.base is None for held in cut)
    noisy, _ = Corruption.parse("gaussian:25").apply(load_image(folder / "1.png").pixels, rng_for(0, "1"))
    row = cut[1].pixels[0, :50]
    where = np.argwhere((noisy[:, :, 0] == row[0, 0]) & (noisy[:, :, 1] == row[0, 1]))
    assert any(np.array_equal(noisy[top, left : left + 50], row) for top, left in where)
    again = load_pictures(job)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(cut, again, strict=True))


def test_pictures_that_are_left_out_are_not_used(job, folder):
    for name in ("a.png", "b.png"):
        save_image(Image(NOISY.astype(np.float32)), folder / name)
    assert [held.name for held in load_pictures(replace(job, leave_out=("a.png",)))] == ["b.png"]
    with pytest.raises(TrainError, match=r"None of the 2 pictures .* left out"):
        load_pictures(replace(job, leave_out=("a.png", "b.png")))
