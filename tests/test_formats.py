"""Every type and layout of file is read as its kind demands, and what goes out carries what came in."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from engine.image import Image, ImageError, denoised_path, load_image, save_image

# --- the collected files: what each must do is listed beside them ---

REFUSED = {
    "empty.png": "empty",
    "text_named.jpg": "known type",
    "folder_named.png": "folder",
    "truncated_half.jpg": "truncated",
    "idat_corrupt.png": "checksum",
    "claims_50000x50000.png": "50000 x 50000",
    "vector.svg": "SVG",
    "lab.tif": "CIELAB",
    "tiff_wrong_bits_per_sample.tiff": "missing",
    "seek_too_large.tif": "damaged",
    "badcrc.png": "checksum",
    "bad_iCCP.png": "damaged",
    "broken.png": "damaged",
    "truncated_jpeg.jpg": "truncated",
    "libtiff_segfault.tif": "65535 x 900",
    "Bad_shortfile.bmp": "truncated",
    "corrupted.heic": "cannot be opened",
    "libheif_fuzz_0.heic": "cannot be opened",
    "libheif_fuzz_2.heic": "damaged",
    "libheif_fuzz_4.heic": "damaged",
    "gofuzz_png_0.png": "checksum",
    "gofuzz_jpeg_0.jpg": "broken",
    "Bad_reallybig.bmp": "3000000 x 2000000",
    "hopper.psd": "Photoshop",
    "ultrahdr.jpg": "truncated",
}
"""The files that are no whole pictures or have colours that are not handled, and a word of the reason given."""

DEEP = {
    "noisy_rgb16.png": 16,
    "gray16_low_range.png": 16,
    "float32_0_1.tif": 32,
    "16_bit_noise.tif": 16,
    "12in16bit.tif": 16,
    "hopper_16bit.pgm": 16,
    "10ct_32bit_128.tiff": 32,
    "rgb-3c-16b.tiff": 16,
    "Flag_of_the_Netherlands-16bit.png": 16,
    "basn0g16.png": 16,
    "basn2c16.png": 16,
    "basn6a16.png": 16,
    "RGB_10__128x128.heif": 16,
}
"""Bits a sample where they are not 8."""

WITH_OPACITY = {"palette64.png", "rgb_trns.png", "full-transparent.png"}
"""Those whose mode alone does not say so."""

NOTED = {
    "multipage_5.tif": "5 pages",
    "cmyk.tif": "CMYK",
    "animated.gif": "4 pictures",
    "pil_sample_cmyk.jpg": "CMYK",
    "exiv2-bug922a.jpg": "3 pictures",
    "zPug_3.heic": "3 pictures",
    "hopper_bad_exif.jpg": "EXIF",
}
"""What is converted or left out, in a word of the note that says so."""


@pytest.fixture
def collected(data, tmp_path) -> list[tuple[dict[str, str], Path]]:
    """Each row of the manifest with its file; the awkwardly named ones are unpacked first."""
    formats = data / "formats"
    with tarfile.open(formats / "odd_names.tar") as names:
        names.extractall(tmp_path / "odd", filter="data")
    with (formats / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places = [formats / row["path"] for row in rows]
    return [
        (row, place if place.exists() else tmp_path / "odd" / place.name)
        for row, place in zip(rows, places, strict=True)
    ]


def independent(path: Path, row: dict[str, str]) -> np.ndarray | None:
    """The first picture's samples, upright, as the file's libraries and not this program read them."""
    if row["pillow_format"] == "TIFF" and row["pillow_mode"] != "CMYK":
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            samples = page.asarray()
            return ~samples if page.photometric == 0 and samples.dtype.kind == "u" else samples
    if DEEP.get(path.name) == 16 and row["pillow_format"] == "PNG":
        samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        return samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    if row["pillow_format"] == "HEIF":
        return None
    with PIL.Image.open(path) as picture:
        mode = {"P": "RGBA" if "transparency" in picture.info else "RGB", "CMYK": "RGB", "1": "L"}.get(picture.mode)
        if path.name == "rgb_trns.png":
            mode = "RGBA"
        upright = PIL.ImageOps.exif_transpose(picture) if row["exif_orientation"] > "1" else picture
        return np.asarray(upright.convert(mode) if mode else upright)


def expected_size(row: dict[str, str]) -> tuple[int, int]:
    width, height = map(int, row["size"].split("x"))
    turned = row["exif_orientation"] in ("5", "6", "7", "8") and row["pillow_format"] != "HEIF"
    return (height, width) if turned else (width, height)


def faults(row: dict[str, str], path: Path, image: Image) -> list[str]:
    """What an opened file lacks of what its row promises."""
    name, mode = path.name, row["pillow_mode"]
    wrong = []
    if (image.width, image.height) != expected_size(row):
        wrong.append(f"size {image.width}x{image.height}")
    if image.channels != (1 if mode in ("1", "L", "LA", "I", "I;16", "F") else 3):
        wrong.append(f"{image.channels} channels")
    if image.bits != DEEP.get(name, 8):
        wrong.append(f"{image.bits} bits")
    if (image.opacity is not None) != (mode.endswith("A") or name in WITH_OPACITY):
        wrong.append("opacity")
    if bool(image.metadata.icc) != (row["icc"] == "yes"):
        wrong.append("profile")
    notes = " ".join(image.metadata.notes)
    if NOTED.get(name, "") not in notes or bool(notes) != (name in NOTED):
        wrong.append(f"notes {notes!r}")
    samples = independent(path, row)
    if samples is not None:
        samples = np.atleast_3d(samples)
        white = 1 if image.is_float else 255 if image.bits == 8 else 65535
        if not np.array_equal(image.pixels, samples[..., : image.channels].astype(np.float32) / np.float32(white)):
            wrong.append("pixels")
        if image.opacity is not None and not np.array_equal(image.opacity, samples[..., -1]):
            wrong.append("opacity's values")
    return wrong


def lost(image: Image, again: Image) -> list[str]:
    """What a picture lost on the way through a file of its own type, or TIFF where that cannot be written."""
    wrong = [what for what in ("width", "height", "bits", "is_float") if getattr(image, what) != getattr(again, what)]
    grey_as_rgb = again.metadata.format == "WEBP"
    if again.metadata.format == "JPEG":
        if np.abs(image.pixels - again.pixels).mean() > 0.02:
            wrong.append("pixels")
    elif not np.array_equal(image.pixels + np.zeros((3 if grey_as_rgb else 1), np.float32), again.pixels):
        wrong.append("pixels")
    if image.opacity is not None and not np.array_equal(image.opacity, again.opacity):
        wrong.append("opacity")
    wrong += [what for what in ("icc", "xmp") if getattr(image.metadata, what) != getattr(again.metadata, what)]
    if (image.metadata.exif is None) != (again.metadata.exif is None):
        wrong.append("exif")
    return wrong


@pytest.mark.slow
def test_every_collected_file_is_opened_and_kept_or_refused_as_its_manifest_says(collected, tmp_path):
    wrong = {}
    for row, path in collected:
        try:
            image = load_image(path)
        except ImageError as error:
            if REFUSED.get(path.name, "?") not in str(error) or path.name not in str(error) or "\n" in str(error):
                wrong[path.name] = [f"refused: {error}"]
            continue
        if path.name in REFUSED:
            wrong[path.name] = ["opened"]
            continue
        found = faults(row, path, image)
        target = denoised_path(path, tmp_path)
        save_image(image, target)
        found += [f"lost {what}" for what in lost(image, load_image(target))]
        if found:
            wrong[path.name] = found

    assert len(collected) == 85
    assert wrong == {}


def test_four_turns_of_one_photograph_give_the_same_upright_picture(data):
    first, *others = (load_image(data / f"formats/orientation/Landscape_{turn}.jpg").pixels for turn in (1, 3, 6, 8))
    for other in others:
        # The number that is drawn into each is the only difference.
        assert np.mean(np.abs(first - other) > 0.1) < 0.01
