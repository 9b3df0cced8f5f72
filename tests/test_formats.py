"""Every type and layout of file is read as its kind demands, and what goes out carries what came in."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.IptcImagePlugin
import pytest
import tifffile
from PIL.TiffImagePlugin import IFDRational

from engine.encode import Encoding, denoised_path, left_out, save_image
from engine.image import Image, ImageError, find_images, load_image
from engine.jpegxl import read_header
from engine.metadata import Metadata, exif_orientation, png_chunks, read_directories, without_place

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
    "cmyk.tif": "CMYK",
    "animated.gif": "4 pictures",
    "pil_sample_cmyk.jpg": "CMYK",
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


# --- every type, made here ---


def smooth(*shape: int) -> np.ndarray:
    """A soft picture in [0, 1], which lossy codecs keep well."""
    noise = np.random.default_rng(0).random(shape)
    soft = cv2.GaussianBlur(noise, (0, 0), 3).reshape(shape)
    return (soft - soft.min()) / (soft.max() - soft.min())


def stored(bits: int, *shape: int) -> np.ndarray:
    """The same as integers of that many bits, white among them."""
    return np.rint(smooth(*shape) * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def opened(path: Path, data: bytes) -> Image:
    path.write_bytes(data)
    return load_image(path)


CHANNELS = {1: (), 2: (2,), 3: (3,), 4: (4,)}
LOSSLESS = {
    "jp2": lambda samples, bits: imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=bits, codecformat="jp2"),
    "j2k": lambda samples, bits: imagecodecs.jpeg2k_encode(samples, level=0, bitspersample=bits, codecformat="j2k"),
    "jxl": lambda samples, bits: imagecodecs.jpegxl_encode(samples, lossless=True, bitspersample=bits),
    "avif": lambda samples, bits: imagecodecs.avif_encode(samples, level=100, bitspersample=bits),
}


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(
    ("kind", "bits"),
    [(kind, bits) for kind in ("jp2", "j2k", "jxl") for bits in (8, 12, 16)] + [("avif", bits) for bits in (8, 10, 12)],
)
def test_a_lossless_codec_gives_exact_samples_and_its_own_white(tmp_path, kind, bits, channels):
    if kind == "avif" and channels == 2:
        pytest.skip("the encoder here has no grey with opacity")
    samples = stored(bits, 40, 56, *CHANNELS[channels])
    image = opened(tmp_path / "named.bin", LOSSLESS[kind](samples, bits))

    samples = np.atleast_3d(samples)
    colours = 3 if channels > 2 or (kind == "avif" and image.channels == 3) else 1
    assert image.bits == (8 if bits == 8 else 16)
    np.testing.assert_array_equal(image.pixels, samples[..., :colours].astype(np.float32) / np.float32((1 << bits) - 1))
    assert (image.opacity is not None) == (channels in (2, 4))
    if image.opacity is not None:
        # Its white is the largest number of its type, whatever the file's.
        share = image.opacity / np.iinfo(image.opacity.dtype).max
        np.testing.assert_array_equal(np.rint(share * ((1 << bits) - 1)), samples[..., -1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_float_jpeg_xl_stays_float(tmp_path, dtype, channels):
    samples = (3 * smooth(20, 30, *CHANNELS[channels]) - 1).astype(dtype)
    image = opened(tmp_path / "a.jxl", imagecodecs.jpegxl_encode(samples, lossless=True))
    assert image.is_float
    np.testing.assert_array_equal(image.pixels, np.atleast_3d(samples).astype(np.float32))


def test_signed_jpeg_2000_keeps_values_below_zero(tmp_path):
    samples = (stored(12, 20, 30).astype(np.int16)) - 2000
    image = opened(tmp_path / "a.jp2", imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2"))
    assert image.is_float
    np.testing.assert_array_equal(image.pixels[..., 0], samples)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_12_bit_jpeg_keeps_its_depth_and_metadata(tmp_path, channels):
    samples = stored(12, 40, 56, *CHANNELS[channels])
    data = imagecodecs.jpeg8_encode(samples, level=98, bitspersample=12, subsampling="444")
    exif = PIL.Image.Exif()
    exif[271], exif[274] = "Maker", 6
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]

    image = opened(tmp_path / "a.jpg", data)

    assert (image.bits, image.metadata.format) == (16, "JPEG")
    assert len(np.unique(image.pixels)) > 600
    assert np.abs(image.pixels - np.rot90(np.atleast_3d(samples), -1) / np.float32(4095)).mean() < 4 / 4095
    assert b"Maker" in image.metadata.exif
    with pytest.raises(ImageError, match="too early"):
        opened(tmp_path / "b.jpg", data[: len(data) // 2])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pfm_is_read_from_below_in_either_byte_order(tmp_path, order, channels):
    samples = (3 * smooth(5, 7, *CHANNELS[channels]) - 1).astype(np.float32)
    head = f"P{'F' if channels == 3 else 'f'}\n7 5\n{'-' if order == '<' else ''}1.0\n".encode()
    image = opened(tmp_path / "a.pfm", head + samples[::-1].astype(order + "f4").tobytes())
    assert image.is_float
    np.testing.assert_array_equal(image.pixels, np.atleast_3d(samples))


@pytest.mark.parametrize("channels", [1, 3])
def test_opencv_and_this_program_agree_on_a_pfm(tmp_path, channels):
    samples = (3 * smooth(5, 7, *CHANNELS[channels]) - 1).astype(np.float32)
    data = cv2.imencode(".pfm", samples[..., ::-1] if channels == 3 else samples)[1].tobytes()
    np.testing.assert_array_equal(opened(tmp_path / "a.pfm", data).pixels, np.atleast_3d(samples))


def png(bits: int, colour: int, rows: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of packed rows, for the depths that no encoder here writes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = rows.shape[1] // channels
    if bits < 8:
        each = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        lines = np.packbits(each.reshape(len(rows), -1), axis=1)
    else:
        lines = rows.astype(">u2" if bits == 16 else np.uint8)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_of_any_depth_has_its_white_at_1(tmp_path, bits):
    rows = np.arange(4 * 16).reshape(4, 16) % (1 << bits)
    rows[0, 0] = (1 << bits) - 1
    image = opened(tmp_path / "a.png", png(bits, 0, rows))
    assert image.channels == 1
    np.testing.assert_allclose(image.pixels[..., 0], rows / ((1 << bits) - 1), atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("see_through", [False, True])
def test_a_palette_png_becomes_its_colours(tmp_path, bits, see_through):
    palette = np.random.default_rng(0).integers(0, 256, (1 << bits, 3), np.uint8)
    rows = np.arange(4 * 16).reshape(4, 16) % (1 << bits)
    chunks = [(b"PLTE", palette.tobytes())] + ([(b"tRNS", b"\x07")] if see_through else [])
    image = opened(tmp_path / "a.png", png(bits, 3, rows, *chunks))
    np.testing.assert_array_equal(image.pixels, palette[rows] / np.float32(255))
    assert (image.opacity is not None) == see_through
    if see_through:
        np.testing.assert_array_equal(image.opacity, np.where(rows == 0, 7, 255))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [0, 2])
def test_a_colour_key_of_png_becomes_opacity_at_either_depth(tmp_path, bits, colour):
    channels = 3 if colour else 1
    samples = stored(bits, 5, 6, channels).astype(int)
    samples[2, 3] = 77
    samples[2, 4] = 78
    key = struct.pack(f">{channels}H", *[77] * channels)
    image = opened(tmp_path / "a.png", png(bits, colour, samples.reshape(5, -1), (b"tRNS", key)))
    assert (image.opacity[2, 3], image.opacity[2, 4]) == (0, (1 << bits) - 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_eight_orientations_of_tiff_png_and_avif_are_the_same(tmp_path, orientation):
    samples = stored(8, 40, 56, 3)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    upright = PIL.Image.fromarray(samples)
    upright.getexif()[274] = orientation
    expected = np.asarray(PIL.ImageOps.exif_transpose(upright))
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    PIL.Image.fromarray(samples).save(tmp_path / "a.png", exif=exif)
    PIL.Image.fromarray(samples).save(tmp_path / "a.avif", exif=exif, quality=100, subsampling="4:4:4")

    for suffix in ("tif", "png", "avif"):
        pixels = load_image(tmp_path / f"a.{suffix}").pixels * 255
        assert pixels.shape == expected.shape
        assert np.abs(pixels - expected).max() <= (3 if suffix == "avif" else 0.01)


TIFFS = [
    {"rowsperstrip": 3},
    {"tile": (16, 16)},
    {"planarconfig": "separate"},
    {"planarconfig": "separate", "tile": (16, 16)},
    {"bigtiff": True, "tile": (16, 16)},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "predictor": True},
    {"compression": "zstd"},
    {"compression": "packbits"},
]


@pytest.mark.parametrize("options", TIFFS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_arrangement_of_tiff_changes_a_sample(tmp_path, options, dtype, channels):
    if dtype == np.float16 and options.get("predictor"):
        options = options | {"predictor": False}
    samples = stored(8, 40, 56, *CHANNELS[channels]).astype(dtype)
    is_planar = "planarconfig" in options and channels == 3
    if channels == 1:
        options = {name: value for name, value in options.items() if name != "planarconfig"}
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(samples, -1, 0) if is_planar else samples,
        photometric="rgb" if channels == 3 else "minisblack",
        **options,
    )
    image = load_image(tmp_path / "a.tif")
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    np.testing.assert_array_equal(image.pixels, np.atleast_3d(samples).astype(np.float32) / np.float32(white))


def test_a_palette_tiff_becomes_its_colours(tmp_path):
    palette = np.random.default_rng(0).integers(0, 256, (3, 256), np.uint16) * 257
    samples = stored(8, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="palette", colormap=palette)
    image = load_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, (palette.T >> 8)[samples].astype(np.float32) / np.float32(255))


# --- scientific files ---


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_numpy_array_is_a_picture(tmp_path, dtype, channels, order):
    samples = stored(8, 9, 7, *CHANNELS[channels]).astype(dtype, order=order)
    image = opened(tmp_path / "a.npy", npy(samples))
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    np.testing.assert_array_equal(image.pixels, np.atleast_3d(samples).astype(np.float32) / np.float32(white))


def test_planes_and_stacks_of_numpy_are_told_apart(tmp_path):
    planes = opened(tmp_path / "a.npy", npy(stored(8, 3, 20, 30)))
    assert planes.pixels.shape == (20, 30, 3)
    stack = opened(tmp_path / "b.npy", npy(np.stack([stored(8, 3, 20, 30)] * 2)))
    assert (stack.pixels.shape, stack.pages) == ((20, 30, 3), 2)


@pytest.mark.parametrize(
    "array", [np.array([{"a": 1}, None], object), np.zeros(5), np.zeros((2, 3), complex), np.zeros((2, 3), "f4,i2")]
)
def test_numpy_arrays_that_are_no_pictures_are_refused_and_nothing_is_unpickled(tmp_path, array, monkeypatch):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(ImageError, match=r"a\.npy holds"):
        opened(tmp_path / "a.npy", stream.getvalue())


def fits(array: np.ndarray, **cards: object) -> bytes:
    """A FITS file with one picture, behind an empty header if its cards say EXTENSION."""
    bits = {"u1": 8, "i2": 16, "i4": 32, "f4": -32, "f8": -64}[array.dtype.str[1:]]
    empty = cards.pop("behind", False)

    def header(**values: object) -> bytes:
        lines = [f"{name:8}= {'T' if value is True else value:>20} / made here" for name, value in values.items()]
        lines += ["END"]
        return "".join(line.ljust(80) for line in lines).encode().ljust(-(-80 * len(lines) // 2880) * 2880)

    axes = {f"NAXIS{at + 1}": side for at, side in enumerate(array.shape[::-1])}
    shape = {"BITPIX": bits, "NAXIS": array.ndim, **axes}
    body = array.astype(array.dtype.newbyteorder(">")).tobytes()
    body = body.ljust(-(-len(body) // 2880) * 2880, b"\0")
    if empty:
        return header(SIMPLE=True, BITPIX=8, NAXIS=0) + header(XTENSION="'IMAGE   '", **shape, **cards) + body
    return header(SIMPLE=True, **shape, **cards) + body


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("behind", [False, True])
def test_fits_is_read_from_below_wherever_its_picture_lies(tmp_path, dtype, behind):
    samples = stored(8, 9, 7).astype(dtype)
    image = opened(tmp_path / "a.fits", fits(samples, behind=behind))
    white = 255 if dtype == "u1" else 1
    np.testing.assert_array_equal(image.pixels[..., 0], samples[::-1].astype(np.float32) / np.float32(white))


def test_fits_of_unsigned_16_bits_and_of_scaled_numbers(tmp_path):
    samples = stored(16, 9, 7).astype(np.int64)
    shifted = (samples - 32768).astype("i2")
    image = opened(tmp_path / "a.fits", fits(shifted, BZERO=32768, BSCALE=1))
    assert image.bits == 16
    np.testing.assert_array_equal(image.pixels[::-1, :, 0], samples.astype(np.float32) / np.float32(65535))
    image = opened(tmp_path / "a.fits", fits(shifted, BZERO=10, BSCALE=0.5))
    np.testing.assert_allclose(image.pixels[::-1, :, 0], shifted * 0.5 + 10)
    assert opened(tmp_path / "a.fits", fits(stored(8, 4, 9, 7))).pages == 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (fits(np.zeros((9, 7), "f4"))[:3000], "too early"),
        (fits(np.zeros((9, 7), "f4"))[:2000], "no picture"),
        (fits(np.zeros((9, 7), "f4"), ZIMAGE=True), "funpack"),
    ],
)
def test_fits_without_a_whole_picture_is_refused(tmp_path, data, reason):
    with pytest.raises(ImageError, match=reason):
        opened(tmp_path / "a.fits", data)


def test_a_collected_fits_of_signed_numbers_keeps_their_unit(data):
    sky = load_image(data / "real/astro/m13.fits")
    assert (sky.pixels.shape, sky.is_float, sky.dtype) == ((300, 300, 1), True, "int16")
    assert sky.metadata.notes == ()


def test_openexr_names_what_to_install_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ImageError, match=r"^a\.exr needs OpenEXR, which comes with the extra pellucid\[science\]$"):
        opened(tmp_path / "a.exr", b"v/1\x01\x02\0\0\0" + bytes(64))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("names", ["RGB", "RGBA", "Y"])
def test_openexr_keeps_its_floats(tmp_path, dtype, names):
    openexr = pytest.importorskip("OpenEXR")
    samples = (3 * smooth(9, 7, len(names)) - 1).astype(dtype)
    planes = {name: np.ascontiguousarray(samples[..., at]) for at, name in enumerate(names)}
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, planes).write(str(tmp_path / "a.exr"))
    image = load_image(tmp_path / "a.exr")
    np.testing.assert_array_equal(image.pixels, samples[..., : image.channels].astype(np.float32))
    assert (image.opacity is not None) == (names == "RGBA")


# --- there and back: what another program finds in what was saved ---

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'tiff:Orientation="1"><dc:title>Night</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>'
)
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
IPTC = b"\x1c\x02\x78\0\x0bA bird, far\x1c\x02\x50\0\x06Author"  # caption and by-line
WRITTEN = [(".jpg", 8), (".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".tif", 32), (".webp", 8), (".bmp", 8)]


def everything() -> Metadata:
    exif = PIL.Image.Exif()
    exif[271], exif[274] = "Maker", 1
    exif.get_ifd(0x8769).update({34855: 6400, 33434: IFDRational(1, 250)})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 15.5), 3: "W", 4: (1.0, 2.0, 3.0)})
    return Metadata(exif.tobytes().removeprefix(b"Exif\0\0"), XMP, ICC, (300.0, 200.0), iptc=IPTC)


def picture_of(bits: int, channels: int, **details) -> Image:
    """With opacity where the channels are 2 or 4."""
    opacity = None
    if channels in (2, 4):
        opacity = stored(16 if bits == 16 else 8, 24, 36)
        opacity = (opacity / 255).astype(np.float32) if bits == 32 else opacity
    colours = 3 if channels > 2 else 1
    if bits == 32:
        pixels = (3 * smooth(24, 36, colours) - 1).astype(np.float32)
    else:
        pixels = stored(bits, 24, 36, colours) / np.float32((1 << bits) - 1)
    return Image(pixels, bits=bits, is_float=bits == 32, opacity=opacity, **details)


def raw_samples(path: Path) -> np.ndarray:
    """(H, W, C) as tifffile, OpenCV or Pillow reads the file."""
    if path.suffix == ".tif":
        return np.atleast_3d(tifffile.imread(path))
    samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if path.suffix == ".png" and samples.dtype == np.uint16 and samples.ndim == 3:
        is_grey = path.read_bytes()[25] == 4
        return samples[..., [0, 3]] if is_grey else samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    with PIL.Image.open(path) as opened_:
        return np.atleast_3d(np.asarray(opened_))


@pytest.mark.parametrize(("suffix", "bits"), WRITTEN)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_libraries_find_the_very_samples_and_opacity(tmp_path, suffix, bits, channels):
    image = picture_of(bits, channels)
    save_image(image, tmp_path / f"a{suffix}")
    found = raw_samples(tmp_path / f"a{suffix}")

    white = 1 if bits == 32 else (1 << bits) - 1
    expected = image.pixels if bits == 32 else np.rint(image.pixels * white).astype(f"u{bits // 8}")
    if suffix == ".webp" and image.channels == 1:
        expected = np.repeat(expected, 3, axis=2)
    if image.opacity is not None and suffix not in (".jpg", ".bmp"):
        expected = np.dstack([expected, image.opacity])
    assert found.dtype == expected.dtype
    if suffix == ".jpg":
        assert np.abs(found.astype(int) - expected).mean() < 2
    else:
        np.testing.assert_array_equal(found, expected)


def found_by_pillow(path: Path) -> dict[str, object]:
    with PIL.Image.open(path) as opened_:
        exif = opened_.getexif()
        shot, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        record = PIL.IptcImagePlugin.getiptcinfo(opened_) or {}
        dpi = opened_.info.get("dpi") or [exif.get(tag) for tag in (282, 283)]
        return {
            "maker": exif.get(271),
            "iso": shot.get(34855),
            "time": float(shot.get(33434, 0)),
            "north": [float(value) for value in place.get(2, ())],
            "orientation": exif.get(274),
            "dpi": [round(float(value)) for value in dpi],
            "icc": opened_.info.get("icc_profile"),
            "caption": record.get((2, 120)),
        }


@pytest.mark.parametrize(("second", "bits"), [*WRITTEN[:5], (".webp", 8)])
@pytest.mark.parametrize("first", [".jpg", ".png", ".tif", ".webp"])
def test_everything_known_survives_from_any_type_to_any_other(tmp_path, first, second, bits):
    save_image(picture_of(8, 3, metadata=everything()), tmp_path / f"a{first}")
    save_image(load_image(tmp_path / f"a{first}"), tmp_path / f"b{second}", Encoding(bits=bits))

    expected = {
        "maker": "Maker",
        "iso": 6400,
        "time": 1 / 250,
        "north": [52, 30, 15.5],
        "orientation": 1,
        "dpi": [300, 200],
        "icc": ICC,
        "caption": b"A bird, far",
    }
    found = found_by_pillow(tmp_path / f"b{second}")
    again = load_image(tmp_path / f"b{second}").metadata
    assert again.xmp == XMP
    if ".webp" in (first, second):  # it has no place for the record
        del expected["caption"], found["caption"]
    else:
        assert again.iptc == IPTC
    if second == ".png":  # Pillow does not look for it there
        found.pop("caption", None), expected.pop("caption", None)
    assert found == expected


@pytest.mark.parametrize(("suffix", "bits"), [*WRITTEN[:5], (".webp", 8)])
def test_exiftool_finds_everything_where_it_is_installed(tmp_path, suffix, bits):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    target = tmp_path / f"a{suffix}"
    save_image(picture_of(8, 3, metadata=everything()), target, Encoding(bits=bits))
    said = subprocess.run(
        ["exiftool", "-json", "-n", "-G0", "-a", str(target)], capture_output=True, text=True, check=True
    )
    found = {name.partition(":")[2]: value for name, value in json.loads(said.stdout)[0].items()}
    expected = {
        "Make": "Maker",
        "ISO": 6400,
        "ExposureTime": 0.004,
        "GPSLatitude": 52.5043056,
        "GPSLongitude": -1.0341667,
        "Title": "Night",
        "ProfileDescription": "sRGB built-in",
        "Caption-Abstract": "A bird, far",
        "By-line": "Author",
        "Orientation": 1,
    }
    if suffix == ".webp":
        del expected["Caption-Abstract"], expected["By-line"]
    assert {name: found.get(name) for name in expected} == {
        name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for name, value in expected.items()
    }
    assert not [name for name in found if name in ("Warning", "Error")]


@pytest.mark.parametrize("name", ["metadata/DSCN0010.jpg", "crafted/meta_orient6_gps_p3_xmp.jpg", "colour/rgb.jpg"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp"])
def test_exiftool_finds_in_the_copy_of_a_photograph_what_it_held(data, tmp_path, name, suffix):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    source, target = data / "formats" / name, tmp_path / f"a{suffix}"
    save_image(load_image(source), target)

    def tags(path: Path) -> dict[str, object]:
        wanted = ["-EXIF:all", "-GPS:all", "-XMP:all", "-ICC_Profile:all", "-IPTC:all"]
        said = subprocess.run(
            ["exiftool", "-json", "-n", "-G1", *wanted, str(path)], capture_output=True, text=True, check=True
        )
        return json.loads(said.stdout)[0]

    before, after = tags(source), tags(target)
    storage = {"SourceFile", "IFD0:YCbCrPositioning"} | {name for name in before if name.startswith("IFD1:")}
    turned = {"IFD0:Orientation", "XMP-tiff:Orientation", "IFD0:XResolution", "IFD0:YResolution"}
    turned |= {"ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight", "IFD0:ImageWidth", "IFD0:ImageHeight"}
    lost = {name for name, value in before.items() if name not in storage | turned and after.get(name) != value}
    if suffix == ".webp":
        lost = {name for name in lost if not name.startswith("IPTC")}
    assert lost == set()
    assert after.get("IFD0:Orientation", 1) == 1


@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_behind_the_pixels_of_a_png_are_found(tmp_path, bits):
    rows = stored(bits, 9, 3 * 7)
    head, pixels, end = png(bits, 2, rows), b"IDAT", b"IEND"
    at = head.index(end) - 4
    chunks = png_chunks(everything())
    image = opened(tmp_path / "a.png", head[:at] + chunks[chunks.index(b"eXIf") - 4 :] + head[at:])
    assert head.index(pixels) < at
    np.testing.assert_array_equal(stored_rows(image), rows)
    assert (image.metadata.xmp, image.metadata.iptc) == (XMP, IPTC)
    assert image.metadata.exif == everything().exif


def stored_rows(image: Image) -> np.ndarray:
    return np.rint(image.pixels * ((1 << image.bits) - 1)).astype(int).reshape(image.height, -1)


def test_a_failed_iptc_record_of_png_is_left_out(tmp_path):
    rows = np.zeros((2, 3), int)
    text = b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc\n 3\nnot hexadecimal\n")
    assert opened(tmp_path / "a.png", png(8, 0, rows, (b"zTXt", text))).metadata.iptc is None


def test_an_iptc_record_too_long_for_a_jpeg_is_left_out_and_the_rest_is_whole(tmp_path):
    image = picture_of(8, 3, metadata=Metadata(iptc=b"\x1c\x02\x78" + bytes(70000)))
    save_image(image, tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg").metadata.iptc is None
    save_image(image, tmp_path / "a.tif")
    assert load_image(tmp_path / "a.tif").metadata.iptc == image.metadata.iptc


def boxed(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + len(data), name) + data for name, data in parts)


@pytest.mark.parametrize("squeezed", [False, True])
def test_what_jpeg_xl_carries_is_found_and_it_is_never_turned_twice(tmp_path, squeezed):
    exif = PIL.Image.Exif()
    exif[271], exif[274] = "Maker", 6
    block = bytes(4) + exif.tobytes().removeprefix(b"Exif\0\0")
    xmp = XMP.replace(b'Orientation="1"', b'Orientation="6"')
    carried = [(b"Exif", block), (b"xml ", xmp)]
    if squeezed:
        carried = [(b"brob", name + imagecodecs.brotli_encode(data)) for name, data in carried]
    code = imagecodecs.jpegxl_encode(stored(8, 24, 36, 3), lossless=True)
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + boxed((b"ftyp", b"jxl \0\0\0\0jxl "))

    image = opened(tmp_path / "a.jxl", start + boxed(*carried, (b"jxlc", code)))

    assert image.pixels.shape == (24, 36, 3)
    assert b"Maker" in image.metadata.exif
    assert exif_orientation(image.metadata.exif) == 1
    assert image.metadata.xmp == XMP


def test_what_jpeg_2000_carries_is_found(tmp_path):
    data = imagecodecs.jpeg2k_encode(stored(16, 24, 36, 3), level=0, codecformat="jp2")
    exif = everything().exif
    extra = boxed(
        (b"uuid", b"JpgTiffExif->JP2" + exif),
        (b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP),
        (b"uuid", bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38") + IPTC),
    )
    at = data.index(b"jp2c") - 4
    # Its only colour box, which says sRGB by number, gives way to a profile.
    box = data.index(b"colr") - 4
    length = int.from_bytes(data[box : box + 4], "big")
    header = data.index(b"jp2h") - 4
    profile = boxed((b"colr", b"\2\0\0" + ICC))
    total = int.from_bytes(data[header : header + 4], "big") - length + len(profile)
    head = data[:header] + struct.pack(">I", total) + data[header + 4 : box] + profile + data[box + length : at]

    image = opened(tmp_path / "a.jp2", head + extra + data[at:])

    assert image.bits == 16
    assert (image.metadata.xmp, image.metadata.iptc, image.metadata.icc) == (XMP, IPTC, ICC)
    assert image.metadata.exif == exif


def test_avif_carries_exif_xmp_and_profile(tmp_path):
    made = everything()
    picture = PIL.Image.fromarray(stored(8, 64, 96, 3))
    picture.save(tmp_path / "a.avif", exif=made.exif, xmp=XMP, icc_profile=ICC)
    image = load_image(tmp_path / "a.avif")
    assert (image.metadata.xmp, image.metadata.icc) == (XMP, ICC)
    assert image.metadata.dpi is None
    again = PIL.Image.Exif()
    again.load(image.metadata.exif)
    assert again.get_ifd(0x8825)[2] == (52, 30, 15.5)


def test_jpeg_xl_says_if_it_is_not_in_srgb(tmp_path):
    # The encoder takes floats for linear and bytes for sRGB.
    linear = opened(tmp_path / "a.jxl", imagecodecs.jpegxl_encode(smooth(8, 8, 3).astype(np.float32), lossless=True))
    plain = opened(tmp_path / "b.jxl", imagecodecs.jpegxl_encode(stored(8, 8, 8, 3), lossless=True))
    assert "not in sRGB" in linear.metadata.notes[0]
    assert plain.metadata.notes == ()


SIZES = [(1, 1), (8, 8), (40, 56), (256, 256), (300, 200), (97, 89), (1080, 1920), (513, 8193), (64, 48), (30, 36)]


@pytest.mark.parametrize("size", SIZES)
def test_the_header_of_jpeg_xl_tells_its_size_and_depth_before_it_is_decoded(size):
    for kind, bits in ((np.uint8, 8), (np.uint16, 16), (np.float32, 32)):
        for channels in (1, 2, 3, 4):
            shape = size if channels == 1 else (*size, channels)
            data = imagecodecs.jpegxl_encode(np.zeros(shape, kind), lossless=True, effort=1)
            header = read_header(io.BytesIO(data))
            assert (header.height, header.width, header.bits) == (*size, bits)
            assert (header.colours, header.others, header.has_opacity) == (
                (1 if channels < 3 else 3),
                (channels + 1) % 2,
                channels % 2 == 0,
            )


# --- files that are no files, and names ---


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    said = str(caught.value)
    assert "\n" not in said
    assert path.name in said
    return said


def test_devices_pipes_and_folders_are_refused_without_waiting_for_them(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png")
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names here")
    os.mkfifo(tmp_path / "pipe.png")
    assert "not an ordinary file" in refusal(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    assert "not an ordinary file" in refusal(tmp_path / "zeros.png")


def test_links_that_lead_nowhere_or_in_a_circle_are_refused_and_do_not_stop_a_search(tmp_path):
    try:
        (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    except OSError:
        pytest.skip("links cannot be made here")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/around").symlink_to(tmp_path, target_is_directory=True)
    for name in ("a.png", "gone.png"):
        assert "leads nowhere or back to itself" in refusal(tmp_path / name)
    found = find_images([tmp_path], recursive=True)
    assert sorted(path.name for path in found) == ["a.png", "b.png", "gone.png"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_or_vanishes_gives_the_systems_reason(tmp_path, monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    (tmp_path / "a.png").write_bytes(png(8, 0, np.zeros((2, 2), int)))
    monkeypatch.setattr(Path, "open", fail)
    assert refusal(tmp_path / "a.png").startswith("a.png cannot be opened: ")
    assert reason in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "tif", "jxl", "npy", "pfm"])
def test_a_file_that_is_cut_off_while_it_is_read_is_refused(tmp_path, monkeypatch, suffix):
    samples = stored(8, 400, 300)
    data = {
        "png": lambda: cv2.imencode(".png", samples)[1].tobytes(),
        "tif": lambda: tifffile_bytes(samples),
        "jxl": lambda: imagecodecs.jpegxl_encode(samples, lossless=True),
        "npy": lambda: npy(samples),
        "pfm": lambda: b"Pf\n300 400\n-1.0\n" + samples.astype("<f4").tobytes(),
    }[suffix]()
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    open_file = Path.open

    def open_then_cut(self, *arguments, **options):
        file = open_file(self, *arguments, **options)
        os.truncate(self, len(data) // 2)
        return file

    monkeypatch.setattr(Path, "open", open_then_cut)
    refusal(path)


def tifffile_bytes(samples: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


NAMES = [
    "図像.png",
    "صورة.png",
    "фото № 1.png",
    "चित्र.png",
    "🌌 🔭.png",
    "e\u0301te\u0301.png",
    "a\tb.png",
    "-o.png",
    "%(x)s {0} *?.png",
    "n" * 246 + ".png",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_script_is_opened_saved_and_found(tmp_path, name):
    if os.name == "nt" and set(name) & set('\t*?"<>|:'):
        pytest.skip("Windows has no such names")
    image = picture_of(8, 3)
    save_image(image, tmp_path / name)
    np.testing.assert_array_equal(load_image(tmp_path / name).pixels, image.pixels)
    assert len(find_images([tmp_path])) == 1


def test_a_name_longer_than_the_system_allows_is_one_sentence(tmp_path):
    refusal(tmp_path / ("n" * 300 + ".png"))
    with pytest.raises(ImageError, match="cannot be saved"):
        save_image(picture_of(8, 1), tmp_path / ("n" * 300 + ".png"))


@pytest.mark.parametrize("wrong", ["a.jpg", "a.tif", "a.npy", "a.jxl", "a"])
def test_a_renamed_file_is_opened_by_its_content(tmp_path, wrong):
    for data in (
        cv2.imencode(".png", stored(8, 9, 7))[1].tobytes(),
        tifffile_bytes(stored(8, 9, 7)),
        npy(stored(8, 9, 7)),
        imagecodecs.jpegxl_encode(stored(8, 9, 7), lossless=True),
    ):
        np.testing.assert_array_equal(opened(tmp_path / wrong, data).pixels[..., 0] * 255, stored(8, 9, 7))


# --- what is left out, by choice or for want of room ---


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_without_its_place_a_picture_keeps_all_else(tmp_path, suffix):
    made = everything()
    place = b' exif:GPSLatitude="52,30.2N"><exif:GPSLongitude>1,2.0W</exif:GPSLongitude>'
    made = dataclasses.replace(made, xmp=XMP.replace(b'tiff:Orientation="1">', b'tiff:Orientation="1"' + place))
    target = tmp_path / f"a{suffix}"
    save_image(picture_of(8, 3, metadata=made), target, Encoding(keep_place=False))

    assert load_image(target).metadata.xmp == XMP
    data = target.read_bytes()
    assert struct.pack("<II", 15500, 1000) not in data
    assert struct.pack("<II", 31, 2) not in data
    found = found_by_pillow(target)
    assert (found["maker"], found["iso"], found["time"], found["orientation"]) == ("Maker", 6400, 1 / 250, 1)
    assert found["north"] == []
    with PIL.Image.open(target) as shown:
        assert 0x8825 not in shown.getexif()


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_a_photographs_place_is_gone_from_its_copy_and_its_maker_notes_are_not(data, tmp_path, suffix):
    save_image(load_image(data / "formats/metadata/DSCN0010.jpg"), tmp_path / f"a{suffix}", Encoding(keep_place=False))
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")

    def tags(path: Path) -> dict[str, object]:
        command = ["exiftool", "-json", "-G1", "-EXIF:all", "-XMP:all", str(path)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]

    before, after = tags(data / "formats/metadata/DSCN0010.jpg"), tags(tmp_path / f"a{suffix}")
    assert [name for name in before if "GPS" in name]
    assert [name for name in after if "GPS" in name] == []
    kept = {name: value for name, value in before.items() if name.startswith("ExifIFD:")}
    changed = {"ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight"}
    assert {name for name in kept if after.get(name) != kept[name]} <= changed


def test_damaged_exif_never_keeps_a_place_from_being_left_out():
    rng = np.random.default_rng(0)
    block = everything().exif
    for _ in range(500):
        changed = bytearray(block)
        for at in rng.integers(0, len(changed), 3):
            changed[at] = rng.integers(256)
        without = without_place(Metadata(exif=bytes(changed))).exif
        if without is None:
            continue
        directories = read_directories(io.BytesIO(without))
        assert directories.gps == {}


@pytest.mark.parametrize(
    ("suffix", "missing"),
    [
        (".bmp", ["opacity", "EXIF data", "XMP data", "colour profile", "IPTC record"]),
        (".webp", ["IPTC record"]),
        (".jpg", ["opacity"]),
        (".png", []),
        (".tif", []),
    ],
)
def test_what_a_type_has_no_room_for_is_said(tmp_path, caplog, suffix, missing):
    caplog.set_level("INFO", "engine.encode")
    image = picture_of(8, 4, metadata=everything())
    assert left_out(image, tmp_path / f"a{suffix}") == missing
    save_image(image, tmp_path / f"a{suffix}")
    assert bool(caplog.records) == bool(missing)
    assert all(what in caplog.text for what in missing)
    assert left_out(picture_of(8, 3), tmp_path / f"a{suffix}") == []
