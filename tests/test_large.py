"""Pictures beyond memory: what is read into a file piece by piece is the same, and the memory it takes is bounded.

`python -m tests.test_large FOLDER MEGAPIXELS` makes a tiled TIFF there, opens it in a process of its own and prints
what that took: in MB the most anonymous memory, and the most of all, which counts pages of files that may be dropped.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import scratch
from engine.image import Image, ImageError, count_non_finite, load_image, thumbnail
from engine.reading import TooLarge

ROOT = Path(__file__).resolve().parents[1]
TILE = 512
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own account of memory is read")


@pytest.fixture
def small_memory(monkeypatch):
    """All arrays of more than 1024 samples lie in files, and are filled in bands of a few rows."""
    monkeypatch.setattr(scratch, "IN_MEMORY", 1024)
    monkeypatch.setattr("engine.image._BAND", 1000)


def samples(kind: type, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if np.dtype(kind).kind == "f":
        return (3 * rng.random(shape) - 1).astype(kind)
    return rng.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


WAYS = [
    {},
    {"tile": (32, 48), "compression": "zlib", "predictor": True},
    {"rowsperstrip": 7, "compression": "lzw"},
    {"rowsperstrip": 7, "byteorder": ">"},
    {"compression": "zlib", "extratags": [(274, 3, 1, 6, True)]},
]


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(61, 83), (61, 83, 3), (61, 83, 4)])
def test_a_tiff_read_into_a_file_is_the_one_read_into_memory(tmp_path, small_memory, monkeypatch, options, kind, shape):
    if kind == np.float32:
        options = options | {"predictor": False} if "predictor" in options else options
    tifffile.imwrite(
        tmp_path / "a.tif", samples(kind, *shape), photometric="rgb" if len(shape) == 3 else "minisblack", **options
    )
    filed = load_image(tmp_path / "a.tif")
    monkeypatch.setattr(scratch, "IN_MEMORY", 1 << 28)
    monkeypatch.setattr("engine.image._BAND", 1 << 22)
    whole = load_image(tmp_path / "a.tif")

    assert lies_in_a_file(filed.pixels)
    assert not lies_in_a_file(whole.pixels)
    np.testing.assert_array_equal(filed.pixels, whole.pixels)
    assert (filed.levels, filed.dtype, filed.metadata) == (whole.levels, whole.dtype, whole.metadata)
    if whole.opacity is not None:
        np.testing.assert_array_equal(filed.opacity, whole.opacity)


def lies_in_a_file(array: np.ndarray) -> bool:
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = array.base if isinstance(array.base, np.ndarray) else None
    return False


@pytest.mark.parametrize("photometric", ["miniswhite", "palette", "separated"])
def test_what_is_meant_by_the_samples_is_found_band_by_band(tmp_path, small_memory, photometric):
    stored = samples(np.uint8, *((61, 83, 4) if photometric == "separated" else (61, 83)))
    table = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint16) * 257
    more = {"colormap": table} if photometric == "palette" else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, **more)
    pixels = load_image(tmp_path / "a.tif").pixels * 255
    if photometric == "separated":
        expected = np.asarray(PIL.Image.fromarray(stored, "CMYK").convert("RGB"))
    else:
        expected = (table.T >> 8)[stored] if more else 255 - stored[..., None]
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


@pytest.mark.parametrize("suffix", [".npy", ".png", ".jpg", ".ppm"])
def test_other_types_lie_in_a_file_too(tmp_path, small_memory, suffix):
    stored = samples(np.uint8, 61, 83, 3)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", stored)
    else:
        PIL.Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    image = load_image(tmp_path / f"a{suffix}")
    assert lies_in_a_file(image.pixels)
    if suffix != ".jpg":
        np.testing.assert_array_equal(image.pixels, stored / np.float32(255))


def test_numbers_that_are_none_are_counted_over_all_bands(tmp_path, small_memory):
    stored = samples(np.float32, 61, 83)
    stored[3, 4] = stored[40, 1] = np.nan
    stored[60, 82] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", stored)
    assert count_non_finite(stored) == 3
    with pytest.raises(ImageError, match=r"^a\.tif has 3 samples that are not finite"):
        load_image(tmp_path / "a.tif")


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    kind=st.sampled_from(["u1", ">u2", "f4", "f8"]),
    limit=st.integers(0, 200),
)
def test_an_array_has_its_shape_and_type_wherever_it_lies(tmp_path_factory, shape, kind, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "IN_MEMORY", limit)
        array = scratch.array(shape, kind)
    array[...] = 7
    assert (array.shape, array.dtype, type(array)) == (shape, np.dtype(kind), np.ndarray)
    assert np.all(array == 7)
    assert lies_in_a_file(array) == (math.prod(shape) > limit)


def test_a_full_disk_is_one_sentence_with_what_is_needed_and_what_is_free(tmp_path, small_memory, monkeypatch, home):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 61, 83, 3))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / "a.tif")
    said = str(caught.value)
    assert said.startswith("a.tif cannot be opened: it needs 15,189 bytes on the disk of ")
    assert said.endswith(", where 1,000 are free")
    assert not any((home / "cache").iterdir())


# --- larger than is opened without asking ---


@pytest.fixture
def low_limit(monkeypatch):
    monkeypatch.setattr("engine.reading._LARGEST", 5000)


def written(folder: Path, suffix: str) -> Path:
    stored, path = samples(np.uint8, 61, 83, 3), folder / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, stored)
    elif suffix == ".npy":
        np.save(path, stored)
    elif suffix == ".jxl":
        import imagecodecs

        path.write_bytes(imagecodecs.jpegxl_encode(stored))
    else:
        PIL.Image.fromarray(stored).save(path)
    return path


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png", ".jpg", ".webp", ".jxl", ".jp2", ".avif"])
def test_what_is_larger_than_the_limit_asks_and_then_opens(tmp_path, low_limit, suffix):
    path = written(tmp_path, suffix)
    with pytest.raises(TooLarge, match=r"^a\.\w+ has 83 x 61 pixels, more than .*--huge$") as caught:
        load_image(path)
    assert (caught.value.width, caught.value.height) == (83, 61)
    assert load_image(path, huge=True).pixels.shape == (61, 83, 3)


def test_a_bomb_is_no_large_picture_whatever_is_asked(tmp_path):
    stream = io.BytesIO()
    PIL.Image.new("RGB", (64, 64)).save(stream, "BMP")
    data = bytearray(stream.getvalue())
    data[18:26] = (60000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(data)
    for huge in (False, True):
        with pytest.raises(ImageError, match="damaged") as caught:
            load_image(tmp_path / "a.bmp", huge=huge)
        assert not isinstance(caught.value, TooLarge)


def test_a_thumbnail_of_more_pixels_than_opencv_counts_is_made_from_some(monkeypatch):
    image = Image(np.full((400, 300, 3), 0.5, np.float32))
    monkeypatch.setattr("engine.image._COUNTED", 1000)
    monkeypatch.setattr("engine.image._ENOUGH", 1000)
    small = thumbnail(image, 20)
    assert small.shape == (20, 15, 3)
    assert np.all(small == 128)


# --- how much memory ---


def tiles(height: int, width: int) -> Iterator[np.ndarray]:
    """Noise on a gradient, the same few tiles again and again."""
    rng = np.random.default_rng(0)
    kept = [rng.normal(level, 12, (TILE, TILE, 3)).clip(0, 255).astype(np.uint8) for level in (40, 90, 140, 200)]
    for index in range(-(-height // TILE) * -(-width // TILE)):
        yield kept[index % len(kept)]


def write_large(path: Path, megapixels: int) -> None:
    """A tiled, deflated TIFF of 4:3, RGB, 8 bits, written tile by tile."""
    width = math.isqrt(megapixels * 1_000_000 * 4 // 3)
    height = width * 3 // 4
    tifffile.imwrite(
        path,
        tiles(height, width),
        shape=(height, width, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="rgb",
        compression="zlib",
        compressionargs={"level": 1},
    )


def status(name: str) -> int:
    """One of the kernel's numbers on this process, in MB."""
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0]) // 1024


def measure(path: Path, in_memory: int) -> dict[str, float]:
    """Open a picture and make its thumbnail; what was there before, and the most while it was done."""
    scratch.IN_MEMORY = in_memory
    tifffile.imwrite(path.with_suffix(".small.tif"), np.zeros((64, 64, 3), np.uint8), compression="zlib")
    load_image(path.with_suffix(".small.tif"))  # all libraries are there now
    before, peak, done = status("RssAnon"), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    image = load_image(path)
    seconds = time.perf_counter() - start
    thumbnail(image, 512)
    done.set()
    watcher.join()
    return {
        "megapixels": image.width * image.height / 1e6,
        "before_mb": before,
        "peak_anonymous_mb": peak,
        "peak_all_mb": status("VmHWM"),
        "seconds": round(seconds, 1),
    }


def measured(folder: Path, megapixels: int, in_memory: int) -> dict[str, float]:
    """In a process of its own."""
    path = folder / "large.tif"
    write_large(path, megapixels)
    command = [sys.executable, "-m", "tests.test_large", "--measure", str(path), str(in_memory)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    path.unlink()
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)


@linux_only
def test_opening_a_large_tiled_tiff_takes_no_memory_that_grows_with_it(tmp_path):
    found = measured(tmp_path, 40, 1 << 22)  # 480 MB of float32, 120 MB as stored
    assert found["megapixels"] > 39
    assert found["peak_anonymous_mb"] - found["before_mb"] < 200, found


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        sys.stdout.write(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        sys.stdout.write(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]), scratch.IN_MEMORY)) + "\n")
