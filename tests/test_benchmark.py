"""The benchmarks' files are read and submissions written as their sites have them; clean twins are no training data."""

import base64
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from app import benchmark, cli
from app.benchmark import BenchmarkError
from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.encode import save_image
from engine.image import Image, ImageError
from engine.mat import cells, read_mat, write_mat
from engine.metrics import psnr, ssim
from engine.pairs import find_reference, is_reference
from models import checkpoint
from training.job import TrainError, TrainJob
from training.patches import load_pictures

BLOCKS = (2, 3, 32, 40, 3)


def blocks(seed: int, shape=BLOCKS) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def halved(image: Image) -> np.ndarray:
    """Stands for a network: its result lies between two values of 8 bits, and outside [0, 1]."""
    return image.pixels / 2 + np.float32(0.7 / 255)


def version_7_3(path: Path, fill) -> Path:
    """An HDF5 file with the header of MATLAB's."""
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


def sidd(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        scipy.io.savemat(folder / f"{name}.mat", {name: array})
    return folder


def dnd(folder: Path, pictures: int = 2, side: int = 50) -> tuple[Path, list[np.ndarray], np.ndarray]:
    """The tree of DND with few and small pictures; their pixels, and the crops' corners as in the file."""
    (folder / "images_srgb").mkdir(parents=True)
    boxes = np.array([[1, 1, 32, 40], [10, 4, 41, 43], [19, 11, 50, 50]], np.float64)
    shown = [picture(side, side).astype(np.float32) * (1 - 0.2 * index) for index in range(pictures)]
    for index, pixels in enumerate(shown, 1):
        version_7_3(
            folder / f"images_srgb/{index:04}.mat", lambda file, p=pixels: file.create_dataset("InoisySRGB", data=p.T)
        )

    def info(file):
        inside = file.create_group("info").create_dataset("boundingboxes", (1, pictures), dtype=h5py.ref_dtype)
        for index in range(pictures):
            inside[0, index] = file.create_dataset(f"#refs#/{index}", data=(boxes + index).clip(1, side).T).ref

    version_7_3(folder / "info.mat", info)
    return folder, shown, boxes


# MATLAB files


def test_both_kinds_of_matlab_files_give_the_same(tmp_path):
    array = np.arange(24.0).reshape(2, 3, 4)
    old = tmp_path / "old.mat"
    write_mat(old, {"a": array, "s": {"b": array[0], "c": cells([array[0], array[1]], (2,))}, "lone": 3})

    def fill(file):
        file["a"] = array.T
        file["s/b"] = array[0].T
        references = [file.create_dataset(f"#refs#/{index}", data=array[index].T).ref for index in range(2)]
        inside = file["s"].create_dataset("c", (2, 1), dtype=h5py.ref_dtype)
        inside[:, 0] = references
        inside.attrs["MATLAB_class"] = np.bytes_("cell")

    new = version_7_3(tmp_path / "new.mat", fill)
    for path in (old, new):
        assert np.array_equal(read_mat(path, "a"), array)
        assert np.array_equal(read_mat(path, "s", "b"), array[0])
        assert [np.array_equal(x, y) for x, y in zip(read_mat(path, "s", "c"), array, strict=True)] == [True, True]
        assert set(read_mat(path)) >= {"a", "s"}
        assert set(read_mat(path, "s")) == {"b", "c"}


def test_several_structures_are_a_list(tmp_path):
    write_mat(tmp_path / "old.mat", {"s": np.array([(1, 2), (3, 4)], [("ID", object), ("Value", object)])})

    def fill(file):
        for name, values in (("ID", (1, 3)), ("Value", (2, 4))):
            inside = file.create_dataset(f"s/{name}", (2, 1), dtype=h5py.ref_dtype)
            for index, value in enumerate(values):
                inside[index, 0] = file.create_dataset(f"#refs#/{name}{index}", data=[[value]]).ref

    version_7_3(tmp_path / "new.mat", fill)
    for name in ("old", "new"):
        found = read_mat(tmp_path / f"{name}.mat", "s")
        assert [{key: int(value[0, 0]) for key, value in item.items()} for item in found] == [
            {"ID": 1, "Value": 2},
            {"ID": 3, "Value": 4},
        ]


def test_an_empty_matrix_is_empty(tmp_path):
    def fill(file):
        file["a"] = np.array([0, 0], np.uint64)
        file["a"].attrs["MATLAB_empty"] = 1

    assert read_mat(version_7_3(tmp_path / "a.mat", fill), "a").size == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "cannot be read as a MATLAB file"),
        (b"neither of them " * 20, "cannot be read as a MATLAB file"),
        (b"MATLAB 7.3 MAT-file" * 50, "cannot be read as a MATLAB file"),
    ],
)
def test_a_file_that_is_none_gives_one_sentence(tmp_path, content, said):
    path = tmp_path / "a.mat"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=said) as error:
        read_mat(path, "a")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8, 0.99])
def test_a_file_that_was_cut_off_gives_one_sentence(tmp_path, share):
    path = tmp_path / "a.mat"
    write_mat(path, {"a": blocks(0)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ImageError, match="cannot be read as a MATLAB file"):
        read_mat(path, "a")


def test_a_variable_that_is_not_there_names_those_that_are(tmp_path):
    write_mat(tmp_path / "a.mat", {"yes": 1, "also": {"inside": 2}})
    with pytest.raises(ImageError, match=r"a\.mat has no variable no; it has yes, also"):
        read_mat(tmp_path / "a.mat", "no")
    with pytest.raises(ImageError, match="no variable no; it has inside"):
        read_mat(tmp_path / "a.mat", "also", "no")


@pytest.mark.parametrize("missing", ["scipy", "h5py"])
def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, missing):
    write_mat(tmp_path / "scipy.mat", {"a": 1})
    version_7_3(tmp_path / "h5py.mat", lambda file: file.create_dataset("a", data=[[1]]))
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "scipy.io", None if missing == "scipy" else scipy.io)
    with pytest.raises(ImageError, match=rf"needs {missing}, which comes with the extra pellucid\[science\]"):
        read_mat(tmp_path / f"{missing}.mat", "a")
    assert read_mat(tmp_path / ("h5py.mat" if missing == "scipy" else "scipy.mat"), "a").item() == 1


# SIDD


def test_validation_blocks_are_scored_in_order_on_results_rounded_to_8_bits(tmp_path):
    noisy, clean = blocks(1), blocks(2)
    folder = sidd(tmp_path / "up/SIDD_Validation", ValidationNoisyBlocksSrgb=noisy, ValidationGtBlocksSrgb=clean)
    *each, (mean, line) = benchmark.validate_sidd(folder.parent, tmp_path / "out", halved)
    flat = [(n, c) for n, c in zip(noisy.reshape(-1, *BLOCKS[2:]), clean.reshape(-1, *BLOCKS[2:]), strict=True)]
    assert [record["block"] for record, _ in each] == list(range(6))
    # 0.7 of a level more than half: 0.7 and 1.2 above the half of an even and of an odd value, to the nearest.
    rounded = [(n // 2 + 1).astype(np.float32) / 255 for n, _ in flat]
    expected = [psnr(r, c / np.float32(255)) for r, (_, c) in zip(rounded, flat, strict=True)]
    assert [record["psnr_db"] for record, _ in each] == pytest.approx(expected, abs=1e-6)
    assert mean["mean_psnr_db"] == pytest.approx(np.mean(expected))
    alike = [ssim(r, c / np.float32(255)) for r, (_, c) in zip(rounded, flat, strict=True)]
    assert mean["mean_ssim"] == pytest.approx(np.mean(alike), abs=1e-6)
    assert mean["blocks"] == 6
    assert f"{np.mean(expected):.3f} dB" in line
    with (tmp_path / "out/scores.csv").open(encoding="utf-8") as file:
        assert [float(row["psnr_db"]) for row in csv.DictReader(file)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["old", "7.3"])
def test_a_submission_to_sidd_reads_back_block_for_block(tmp_path, kind):
    noisy, name = blocks(3), "BenchmarkNoisyBlocksSrgb"
    folder = sidd(tmp_path / "data", **({name: noisy} if kind == "old" else {}))
    if kind == "7.3":
        version_7_3(folder / f"{name}.mat", lambda file: file.create_dataset(name, data=noisy.T))
    said = list(benchmark.submit_sidd(folder, tmp_path / "out", halved))
    assert said[-1][0]["blocks"] == 6
    with (tmp_path / "out/SubmitSrgb.csv").open(encoding="ascii") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["ID", "BLOCK"]
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(6)]
    expected = noisy // 2 + 1
    for (_, text), block in zip(rows[1:], expected.reshape(-1, *BLOCKS[2:]), strict=True):
        assert np.array_equal(np.frombuffer(base64.b64decode(text), np.uint8).reshape(BLOCKS[2:]), block)
    stored = scipy.io.loadmat(tmp_path / "out/SubmitSrgb.mat")
    assert stored["DenoisedBlocksSrgb"].shape == BLOCKS[:2]
    assert {"TimeMPSrgb", "OptionalData"} <= set(stored)
    for place in np.ndindex(BLOCKS[:2]):
        block = stored["DenoisedBlocksSrgb"][place]
        assert block.dtype == np.uint8
        assert np.array_equal(block, expected[place])


def test_results_beyond_black_and_white_are_cut_off_not_wrapped(tmp_path):
    noisy = np.array([0, 255] * (np.prod(BLOCKS) // 2), np.uint8).reshape(BLOCKS)
    folder = sidd(tmp_path / "data", BenchmarkNoisyBlocksSrgb=noisy)
    list(benchmark.submit_sidd(folder, tmp_path / "out", lambda image: image.pixels * 1.5 - 0.25))
    block = scipy.io.loadmat(tmp_path / "out/SubmitSrgb.mat")["DenoisedBlocksSrgb"][0, 0]
    assert np.array_equal(block, noisy[0, 0])


# DND


def test_a_submission_to_dnd_has_each_crop_by_name_unrounded_and_bundled(tmp_path):
    folder, shown, boxes = dnd(tmp_path / "data/dnd_2017")
    said = list(benchmark.submit_dnd(folder.parent, tmp_path / "out", halved))
    assert said[-1][0] == {"pictures": 2, "output": str(tmp_path / "out/bundled")}
    names = [f"{p:04}_{c:02}.mat" for p in (1, 2) for c in (1, 2, 3)]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mat")) == names
    for index, pixels in enumerate(shown):
        bundle = scipy.io.loadmat(tmp_path / f"out/bundled/{index + 1:04}.mat")
        assert bundle["Idenoised"].size == 3
        assert not bundle["israw"].item()
        assert bundle["eval_version"].item() == "1.0"
        for number, corners in enumerate((boxes + index).clip(1, 50).astype(int)):
            top, left, bottom, right = corners
            expected = halved(Image(pixels[top - 1 : bottom, left - 1 : right])).clip(0, 1)
            crop = scipy.io.loadmat(tmp_path / f"out/{index + 1:04}_{number + 1:02}.mat")["Idenoised_crop"]
            assert crop.dtype == np.float32
            assert np.allclose(crop, expected, atol=1e-7)
            assert np.array_equal(bundle["Idenoised"].ravel()[number], crop)


def test_pictures_of_dnd_that_are_missing_are_noticed_before_anything_is_denoised(tmp_path):
    folder, _, _ = dnd(tmp_path / "dnd_2017")
    (folder / "images_srgb/0001.mat").unlink()
    with pytest.raises(BenchmarkError, match=r"holds 1 pictures; expected 0001\.mat to 0002\.mat"):
        next(benchmark.submit_dnd(folder, tmp_path / "out", halved))


# The command


@pytest.fixture
def model():
    save_checkpoint(replace(checkpoint(), name="color"), paths.models() / "color.safetensors")


def run(capsys, *arguments):
    try:
        status = cli.main(["benchmark", *map(str, arguments)])
    except SystemExit as error:
        status = error.code
    out, err = capsys.readouterr()
    return status, [json.loads(line) for line in out.splitlines() if line.startswith("{")], err


@pytest.mark.usefixtures("model")
def test_the_command_scores_and_submits(capsys, tmp_path):
    noisy, clean = blocks(4, (1, 2, 64, 64, 3)), blocks(5, (1, 2, 64, 64, 3))
    sidd(
        tmp_path / "sidd", ValidationNoisyBlocksSrgb=noisy, ValidationGtBlocksSrgb=clean, BenchmarkNoisyBlocksSrgb=noisy
    )
    dnd(tmp_path / "dnd", side=64)
    given = ("--sigma", 25, "--passes", 2, "--json")
    status, records, _ = run(capsys, "sidd-val", tmp_path / "sidd", *given)
    assert status == 0
    assert records[-1]["mean"]
    assert 0 < records[-1]["mean_psnr_db"] < 60
    for name, folder, whole in (("sidd-bench", "sidd", "SubmitSrgb.csv"), ("dnd", "dnd", "bundled/0002.mat")):
        status, records, _ = run(capsys, name, tmp_path / folder, "-o", tmp_path / name, *given)
        assert status == 0
        assert (tmp_path / name / whole).is_file()
    # At no strength the blocks come back as they are.
    status, *_ = run(
        capsys, "sidd-bench", tmp_path / "sidd", "-o", tmp_path / "same", "--strength", 0, "--sigma", 25, "--passes", 2
    )
    assert status == 0
    stored = scipy.io.loadmat(tmp_path / "same/SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    assert np.array_equal(stored[0, 1], noisy[0, 1])


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sidd-val", "data"), 1, "There is no ValidationNoisyBlocksSrgb.mat in"),
        (("sidd-bench", "data", "-o", "out"), 1, "holds no blocks of 8-bit colour"),
        (("sidd-bench", "data"), 1, "with -o"),
        (("dnd", "data", "-o", "out"), 1, "There is no info.mat in"),
        (("sidd-bench", "data", "-o", "full"), 1, "SubmitSrgb.csv exists already"),
        (("sidd-bench", "data", "-o", "out", "--strength", "3"), 2, "--strength must be"),
        (("other", "data"), 2, "invalid choice"),
    ],
)
def test_the_command_says_what_is_missing_before_it_works(capsys, tmp_path, monkeypatch, arguments, status, said):
    monkeypatch.chdir(tmp_path)
    sidd(Path("data"), BenchmarkNoisyBlocksSrgb=blocks(6).astype(np.float32))
    Path("full").mkdir()
    Path("full/SubmitSrgb.csv").touch()
    got, records, err = run(capsys, *arguments)
    assert got == status
    assert said in err
    assert not records
    assert not list(Path("full").glob("*.mat"))


# Training on SIDD's tree


def scene(folder: Path) -> None:
    folder.mkdir(parents=True)
    for frame in ("010", "011"):
        clean = picture(64, 72).astype(np.float32)
        noisy = clean + 15 / 255 * np.random.default_rng(int(frame)).standard_normal(clean.shape)
        save_image(Image(clean), folder / f"{folder.name[:4]}_GT_SRGB_{frame}.PNG")
        save_image(Image(noisy.astype(np.float32)), folder / f"{folder.name[:4]}_NOISY_SRGB_{frame}.PNG")


def test_of_sidds_tree_only_the_noisy_pictures_are_trained_on(tmp_path):
    data = tmp_path / "SIDD_Medium_Srgb/Data"
    for name in ("0002_001_S6_00100_00020_3200_N", "0001_001_S6_00100_00060_3200_L"):
        scene(data / name)
    pictures = load_pictures(TrainJob(data=str(data.parent), steps=1, patch=32))
    assert [Path(picture.name).stem for picture in pictures] == [
        f"{number}_NOISY_SRGB_{frame}" for number in ("0001", "0002") for frame in ("010", "011")
    ]
    assert all(picture.sigma > 8 / 255 for picture in pictures)


def test_clean_pictures_serve_where_the_noise_is_synthetic(tmp_path):
    scene(tmp_path / "0001")
    for path in tmp_path.rglob("*NOISY*"):
        path.unlink()
    assert len(load_pictures(TrainJob(data=str(tmp_path), steps=1, patch=32, noise="gaussian:25"))) == 2
    with pytest.raises(TrainError, match="are clean ones by their names"):
        load_pictures(TrainJob(data=str(tmp_path), steps=1, patch=32))


def test_sidds_names_tell_noisy_pictures_from_their_twins(tmp_path):
    scene(tmp_path / "0001")
    noisy, clean = tmp_path / "0001/0001_NOISY_SRGB_010.PNG", tmp_path / "0001/0001_GT_SRGB_010.PNG"
    assert find_reference(noisy) == clean
    assert find_reference(clean) is None
    assert (is_reference(noisy), is_reference(clean)) == (False, True)
    assert not is_reference(Path("NOISY_GT_picture.png"))
