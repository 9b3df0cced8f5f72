"""The public benchmarks of camera noise: the blocks of SIDD (Abdelhamed et al. 2018), DND (Plötz, Roth 2017)."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import replacing
from engine.image import Image, ImageError
from engine.mat import cells, read_mat, write_mat
from engine.metrics import psnr, ssim

Denoise = Callable[[Image], np.ndarray]
"""A picture to its denoised pixels (H, W, 3)."""

Said = tuple[dict[str, Any], str]
"""A result: what a program reads and what people do."""


class BenchmarkError(ImageError):
    """A data set or a submission is not as it must be; the message is meant for the user."""


def validate_sidd(folder: Path, out: Path | None, denoise: Denoise) -> Iterator[Said]:
    """PSNR and SSIM of the validation blocks, on results that are rounded to 8 bits as the publications' are.

    Args:
        folder: holds `ValidationNoisyBlocksSrgb.mat` and `ValidationGtBlocksSrgb.mat`, at any depth.
        out: where `scores.csv` goes, None for nowhere.
        denoise: what is measured.

    Raises:
        BenchmarkError: before anything is denoised.
        ImageError: a file cannot be read.
    """
    if out:
        _claim(out, "scores.csv")
    noisy, clean = (_blocks(folder, f"Validation{kind}BlocksSrgb") for kind in ("Noisy", "Gt"))
    if noisy.shape != clean.shape:
        raise BenchmarkError(f"There are {noisy.shape} noisy and {clean.shape} clean samples; they must be alike")
    scores: list[dict[str, Any]] = []
    total = noisy.shape[0] * noisy.shape[1]
    for number, place in enumerate(np.ndindex(noisy.shape[:2])):
        reference = clean[place] / np.float32(255)
        denoised = _rounded(noisy[place], denoise) / np.float32(255)
        record = {
            "block": number,
            "psnr_db": psnr(denoised, reference),
            "ssim": ssim(denoised, reference),
            "noisy_psnr_db": psnr(noisy[place] / np.float32(255), reference),
        }
        scores.append(record)
        line = f"block {number + 1} of {total}: PSNR {record['psnr_db']:.2f} dB (was {record['noisy_psnr_db']:.2f})"
        yield record, line
    means = {f"mean_{key}": float(np.mean([s[key] for s in scores])) for key in ("psnr_db", "ssim", "noisy_psnr_db")}
    if out:
        with replacing(out / "scores.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(scores[0]))
            table.writeheader()
            table.writerows(scores)
    yield (
        {"mean": True, "blocks": total, **means},
        f"mean of {total}: PSNR {means['mean_psnr_db']:.3f} dB, SSIM {means['mean_ssim']:.4f} "
        f"(was {means['mean_noisy_psnr_db']:.3f} dB)",
    )


def submit_sidd(folder: Path, out: Path | None, denoise: Denoise) -> Iterator[Said]:
    """The two forms of a submission to SIDD's benchmark: for its pages at Kaggle, and for its former server.

    `SubmitSrgb.csv` has the columns ID, from 0, and BLOCK, the bytes of a block row by row in base64. `SubmitSrgb.mat`
    has the blocks as cells.

    Args:
        folder: holds `BenchmarkNoisyBlocksSrgb.mat`, at any depth.
        out: folder of the submission.
        denoise: what is submitted.

    Raises:
        BenchmarkError: before anything is denoised.
        ImageError: a file cannot be read.
    """
    out = _claim(out, "SubmitSrgb.csv", "SubmitSrgb.mat")
    noisy = _blocks(folder, "BenchmarkNoisyBlocksSrgb")
    denoised = np.empty_like(noisy)
    pictures, per_picture = noisy.shape[:2]
    for picture in range(pictures):
        for block in range(per_picture):
            denoised[picture, block] = _rounded(noisy[picture, block], denoise)
        yield (
            {"picture": picture, "blocks": per_picture},
            f"picture {picture + 1} of {pictures}: {per_picture} blocks",
        )
    places = list(np.ndindex(pictures, per_picture))
    with replacing(out / "SubmitSrgb.csv") as partial, partial.open("w", newline="", encoding="ascii") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("ID", "BLOCK"))
        for number, place in enumerate(places):
            table.writerow((number, base64.b64encode(denoised[place].tobytes()).decode("ascii")))
    blocks = cells((denoised[place] for place in places), (pictures, per_picture))
    write_mat(out / "SubmitSrgb.mat", {"DenoisedBlocksSrgb": blocks, "TimeMPSrgb": 0.0, "OptionalData": {}})
    files = [str(out / "SubmitSrgb.csv"), str(out / "SubmitSrgb.mat")]
    yield {"blocks": len(places), "output": files}, f"{len(places)} blocks in {' and '.join(files)}"


def submit_dnd(folder: Path, out: Path | None, denoise: Denoise) -> Iterator[Said]:
    """A submission to DND: the folder `bundled`, a file for each picture; beside it one for each crop.

    A crop is given to the network alone, as in the benchmark's own program, and is not rounded.

    Args:
        folder: `dnd_2017`, with `info.mat` and `images_srgb`, or one above it.
        out: folder of the submission.
        denoise: what is submitted.

    Raises:
        BenchmarkError: before anything is denoised.
        ImageError: a file cannot be read.
    """
    out = _claim(out, "bundled")
    info = _find(folder, "info.mat")
    boxes = read_mat(info, "info", "boundingboxes")
    paths = sorted((info.parent / "images_srgb").glob("*.mat"))
    if [path.stem for path in paths] != [f"{number:04}" for number in range(1, len(boxes) + 1)]:
        raise BenchmarkError(
            f"{info.parent / 'images_srgb'} holds {len(paths)} pictures; expected 0001.mat to {len(boxes):04}.mat"
        )
    (out / "bundled").mkdir()
    for path, given in zip(paths, boxes, strict=True):
        picture = read_mat(path, "InoisySRGB")
        crops = []
        # First and last row and column of each crop, counted from 1.
        for number, (top, left, bottom, right) in enumerate(np.asarray(given).astype(int), 1):
            crop = np.ascontiguousarray(picture[top - 1 : bottom, left - 1 : right], np.float32)
            if crop.shape != (bottom - top + 1, right - left + 1, 3):
                raise BenchmarkError(f"{path.name} is {picture.shape}; crop {number} does not lie in it")
            pixels = denoise(Image(crop, path, bits=32, is_float=True)).clip(0, 1).astype(np.float32)
            write_mat(out / f"{path.stem}_{number:02}.mat", {"Idenoised_crop": pixels})
            crops.append(pixels)
        bundle = {"Idenoised": cells(crops, (len(crops),)), "israw": False, "eval_version": "1.0"}
        write_mat(out / "bundled" / path.name, bundle)
        yield {"input": str(path), "crops": len(crops)}, f"{path.name}: {len(crops)} crops"
    bundled = str(out / "bundled")
    yield {"pictures": len(paths), "output": bundled}, f"{len(paths)} pictures in {bundled}"


BENCHMARKS: Mapping[str, Callable[[Path, Path | None, Denoise], Iterator[Said]]] = {
    "sidd-val": validate_sidd,
    "sidd-bench": submit_sidd,
    "dnd": submit_dnd,
}
"""By the name that the command takes."""


def _rounded(block: np.ndarray, denoise: Denoise) -> np.ndarray:
    """A block, 8 bits, denoised and to the nearest of 8 bits."""
    pixels = denoise(Image(np.ascontiguousarray(block) / np.float32(255)))
    return np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def _blocks(folder: Path, name: str) -> np.ndarray:
    """(pictures, blocks a picture, H, W, 3), 8 bits: 40, 32, 256, 256, 3 as published."""
    path = _find(folder, f"{name}.mat")
    blocks = read_mat(path, name)
    if not isinstance(blocks, np.ndarray) or blocks.ndim != 5 or blocks.shape[4] != 3 or blocks.dtype != np.uint8:
        raise BenchmarkError(f"{path.name} holds no blocks of 8-bit colour")
    return blocks


def _find(folder: Path, name: str) -> Path:
    """A file of a data set, the first of that name in a folder and those below it."""
    found = sorted(folder.rglob(name))
    if not found:
        raise BenchmarkError(f"There is no {name} in {folder}")
    return found[0]


def _claim(out: Path | None, *names: str) -> Path:
    """The folder of a submission, made where it is not there; nothing in it is replaced."""
    if out is None:
        raise BenchmarkError("Give the folder that the submission is written to with -o")
    taken = [name for name in names if (out / name).exists()]
    if taken:
        raise BenchmarkError(f"{out / taken[0]} exists already; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    return out
