"""What is written is what was there: samples, opacity and metadata, in every type of file and at every depth."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from engine import encode
from engine.encode import (
    TYPES,
    WRITTEN,
    Encoding,
    FileType,
    check_target,
    denoised_path,
    file_type,
    left_out,
    own_suffix,
    save_image,
)
from engine.image import Image, ImageError, load_image
from engine.jpegxl import read_header
from engine.metadata import Metadata, box_metadata, boxes, read_directories

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'tiff:Orientation="1"><dc:title>Night</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>'
)
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
IPTC = b"\x1c\x02\x78\0\x0bA bird, far\x1c\x02\x50\0\x06Author"  # caption and by-line
EXIF, GPS = 0x8769, 0x8825

EVERY = [(kind.suffixes[0], bits) for kind in TYPES for bits in kind.bits]
CARRYING = [".avif", ".jxl", ".jp2"]  # with their metadata in boxes


def everything(orientation: int = 1) -> Metadata:
    exif = PIL.Image.Exif()
    exif[271], exif[274] = "Maker", orientation
    exif.get_ifd(EXIF).update({34855: 6400, 33434: IFDRational(1, 250)})
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 15.5), 3: "W", 4: (1.0, 2.0, 3.0)})
    return Metadata(exif.tobytes().removeprefix(b"Exif\0\0"), XMP, ICC, (300.0, 200.0), iptc=IPTC)


def picture_of(bits: int, channels: int, height: int = 24, width: int = 36, **details) -> Image:
    """Smooth with some noise, exact in so many bits, with opacity where the channels are 2 or 4."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.1, 0.9, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + rng.normal(
        0, 0.01, (height, width, 3)
    ).astype(np.float32)
    pixels = np.ascontiguousarray(pixels.clip(0, 1)[..., : 3 if channels > 2 else 1])
    depth = {8: 8, 32: 32}.get(bits, 16)
    if bits == 32:
        pixels = 3 * pixels - 1
    else:
        white = np.float32((1 << bits) - 1)
        pixels = np.rint(pixels * white) / white
    opacity = None
    if channels in (2, 4):
        opacity = rng.integers(0, 256, (height, width), np.uint8)
        opacity = (opacity / np.float32(255)) if bits == 32 else opacity.astype(f"u{depth // 8}") * (257 ** (depth > 8))
    return Image(pixels.astype(np.float32), bits=depth, is_float=bits == 32, opacity=opacity, **details)


def exact(kind: FileType) -> bool | None:
    """The choice that makes a type lossless, where there is one."""
    return True if kind.lossless is None else None


def found_elsewhere(path: Path) -> np.ndarray:
    """(H, W, C) as stored, read by libraries alone and not by this program."""
    data = path.read_bytes()
    if path.suffix == ".tif":
        return np.atleast_3d(tifffile.imread(path))
    if path.suffix == ".npy":
        return np.atleast_3d(np.load(path))
    if path.suffix == ".png":
        return np.atleast_3d(imagecodecs.png_decode(data))
    if path.suffix == ".avif":
        return np.atleast_3d(imagecodecs.avif_decode(data, index=0))
    if path.suffix == ".jxl":
        return np.atleast_3d(imagecodecs.jpegxl_decode(data))
    if path.suffix == ".jp2":  # without its boxes: a profile in them would be applied
        return np.atleast_3d(imagecodecs.jpeg2k_decode(data[data.index(b"\xff\x4f\xff\x51") :]))
    if path.suffix == ".jpg":
        return np.atleast_3d(imagecodecs.jpeg8_decode(data))
    if path.suffix in (".ppm", ".pfm"):
        samples = np.atleast_3d(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
        return samples[..., ::-1]
    with PIL.Image.open(io.BytesIO(data)) as opened:
        return np.atleast_3d(np.asarray(opened))


# --- samples ---


@pytest.mark.parametrize(("suffix", "bits"), EVERY)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_samples_and_opacity_are_exact_wherever_a_type_can_keep_them(tmp_path, suffix, bits, channels):
    image, kind, path = picture_of(bits, channels), file_type(Path(suffix[1:] + suffix)), tmp_path / f"a{suffix}"
    save_image(image, path, Encoding(bits=bits, lossless=exact(kind)))
    found, again = found_elsewhere(path), load_image(path)

    white = 1 if bits == 32 else (1 << bits) - 1
    expected = image.pixels if bits == 32 else np.rint(image.pixels * white).astype(f"u{image.bits // 8}")
    if suffix == ".webp" and image.channels == 1:
        expected = np.repeat(expected, 3, axis=2)
    assert found.dtype == expected.dtype
    assert again.bits == image.bits
    if kind.lossless is False:
        assert np.abs(found.astype(int) - expected).mean() < 0.01 * white
        return
    np.testing.assert_array_equal(found[..., : expected.shape[2]], expected)
    grey = again.pixels[..., : image.channels]  # Pillow makes RGB of some grey
    np.testing.assert_array_equal(grey, image.pixels)
    np.testing.assert_array_equal(again.pixels, np.broadcast_to(grey, again.pixels.shape))
    if image.opacity is not None and "opacity" in kind.holds:
        if bits in (10, 12):
            np.testing.assert_array_equal(found[..., -1], np.rint(image.opacity / 65535 * white))
        else:
            np.testing.assert_array_equal(found[..., -1], image.opacity)
            np.testing.assert_array_equal(again.opacity, image.opacity)


@pytest.mark.parametrize("suffix", [".avif", ".jxl", ".webp", ".jp2"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_less_quality_gives_smaller_files_farther_off_and_the_same_opacity(tmp_path, suffix, bits, channels):
    image = picture_of(bits, channels, 96, 128)
    sizes, errors = [], []
    for quality in (30, 70, 95):
        path = tmp_path / f"{quality}{suffix}"
        save_image(image, path, Encoding(quality=quality, lossless=False))
        again = load_image(path)
        sizes.append(path.stat().st_size)
        errors.append(float(np.abs(again.pixels - image.pixels).mean()))
        if image.opacity is not None and not (suffix == ".avif" and bits > 8):
            kept = image.opacity if again.bits == image.bits else np.rint(image.opacity / 257)
            np.testing.assert_array_equal(again.opacity, kept)
    assert sizes == sorted(sizes)
    if (suffix, channels) in ((".jp2", 4), (".avif", 1)):  # always lossless
        assert max(errors) < 1 / 4095
    else:
        assert sizes[0] < sizes[2]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] < 0.03
        assert errors[2] < 0.015


@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_jpeg_xl_of_16_bits_is_srgb_and_as_good_as_that_of_8(tmp_path, channels):
    image = picture_of(8, channels, 96, 128)
    errors = []
    for bits in (8, 16):
        save_image(image, tmp_path / "a.jxl", Encoding(bits=bits, quality=90, lossless=False))
        assert read_header(io.BytesIO((tmp_path / "a.jxl").read_bytes())).is_srgb
        errors.append(np.abs(load_image(tmp_path / "a.jxl").pixels - image.pixels).mean())
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_xl_without_loss_says_that_it_is_srgb(tmp_path, bits, channels):
    save_image(picture_of(bits, channels), tmp_path / "a.jxl")
    assert read_header(io.BytesIO((tmp_path / "a.jxl").read_bytes())).is_srgb


@pytest.mark.parametrize("suffix", [".tif", ".jxl", ".pfm", ".npy"])
def test_floats_are_neither_clipped_nor_changed(tmp_path, suffix):
    image = picture_of(32, 3)
    assert image.pixels.min() < 0
    assert image.pixels.max() > 1
    save_image(image, tmp_path / f"a{suffix}", Encoding(quality=1, lossless=False))
    again = load_image(tmp_path / f"a{suffix}")
    assert again.is_float
    np.testing.assert_array_equal(again.pixels, image.pixels)


@pytest.mark.parametrize(
    ("size", "suffix"), [((1, 1), suffix) for suffix in (".avif", ".jp2", ".jxl", ".tif", ".png")] + [((3, 70), ".jp2")]
)
def test_the_smallest_pictures_are_written(tmp_path, size, suffix):
    stored = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    save_image(Image(stored / np.float32(255)), tmp_path / f"a{suffix}", Encoding(lossless=True))
    np.testing.assert_array_equal(found_elsewhere(tmp_path / f"a{suffix}"), stored)


def test_colours_multiplied_by_their_opacity_stay_so_in_tiff_alone(tmp_path):
    opacity = np.array([[0, 51, 255]], np.uint8)
    pixels = np.array([[[0], [20], [90]]], np.float32) / 255
    image = Image(pixels, opacity=opacity, metadata=Metadata(premultiplied=True))
    save_image(image, tmp_path / "a.tif")
    assert load_image(tmp_path / "a.tif").metadata.premultiplied
    for suffix in (".jxl", ".jp2", ".png", ".avif"):
        save_image(image, tmp_path / f"a{suffix}", Encoding(lossless=True))
        assert found_elsewhere(tmp_path / f"a{suffix}")[0, :, 0].tolist() == [0, 100, 90]


# --- TIFF ---


@pytest.mark.parametrize(("name", "number"), [("", 8), ("deflate", 8), ("lzw", 5), ("zstd", 50000), ("none", 1)])
@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (8, 4), (16, 3), (32, 2), (32, 3)])
def test_every_compression_of_tiff_gives_the_same_samples(tmp_path, name, number, bits, channels):
    image = picture_of(bits, channels, 700, 90)  # of several strips, the last one shorter
    save_image(image, tmp_path / "a.tif", Encoding(compression=name))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        assert page.compression == number
        assert page.predictor == (2 if bits < 32 and number > 1 else 1)
        assert number == 1 or len(page.dataoffsets) > 1 or bits == 8
        found = np.atleast_3d(page.asarray())
    white = np.float32(1 if bits == 32 else (1 << bits) - 1)
    np.testing.assert_array_equal(found[..., : image.channels] / white, image.pixels)
    if image.opacity is not None:
        np.testing.assert_array_equal(found[..., -1], image.opacity)


def test_a_tiff_too_large_for_32_bits_is_a_bigtiff_with_all_its_metadata(tmp_path, monkeypatch):
    image = picture_of(16, 3, metadata=everything())
    monkeypatch.setattr(encode, "_LARGEST_TIFF", 1000)
    save_image(image, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff
    again = load_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(again.pixels, image.pixels)
    with PIL.Image.open(tmp_path / "a.tif") as saved:
        assert saved.getexif().get_ifd(EXIF)[34855] == 6400
    monkeypatch.undo()
    save_image(image, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert not tiff.is_bigtiff


def test_a_tiff_of_noise_that_lzw_makes_longer_than_4_gb_is_a_bigtiff():
    noise = np.random.default_rng(0).integers(0, 1 << 16, 1 << 18, np.uint16).tobytes()
    grown = len(imagecodecs.lzw_encode(noise)) / len(noise)
    assert grown > 1.3
    size = int((1 << 32) / grown)
    assert encode.needs_bigtiff(size, "lzw")
    assert not encode.needs_bigtiff(size, "deflate")


@pytest.mark.parametrize(("suffix", "bits"), [(".tif", 16), (".ppm", 16), (".npy", 16), (".tif", 32), (".pfm", 32)])
def test_a_large_picture_is_written_without_a_second_whole_one(tmp_path, monkeypatch, suffix, bits):
    monkeypatch.setattr(encode, "_BAND", 1 << 16)
    image = Image(np.zeros((2000, 1500, 3), np.float32), bits=bits, is_float=bits == 32)
    save_image(picture_of(8, 1), tmp_path / f"b{suffix.replace('pfm', 'tif')}")  # imports are no part of it
    tracemalloc.start()
    try:
        save_image(image, tmp_path / f"a{suffix}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < image.pixels.size * bits // 8 // 4


def test_png_can_be_smaller_and_is_the_same_picture(tmp_path):
    image = Image(np.tile(picture_of(8, 3).pixels, (6, 6, 1)))
    for name in ("fast", "small"):
        save_image(image, tmp_path / f"{name}.png", Encoding(compression=name))
        np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png").pixels, image.pixels)
    assert (tmp_path / "small.png").stat().st_size < (tmp_path / "fast.png").stat().st_size


# --- metadata ---


def exif_found(path: Path) -> bytes | None:
    """The EXIF block as Pillow finds it, or in its box."""
    if path.suffix in (".jxl", ".jp2"):
        with path.open("rb") as file:
            return box_metadata(file).get("exif")
    with PIL.Image.open(path) as opened:
        return opened.info.get("exif")


@pytest.mark.parametrize("suffix", CARRYING)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_metadata_in_boxes_are_found_again(tmp_path, suffix, bits, channels):
    held, path = everything(), tmp_path / f"a{suffix}"
    save_image(picture_of(bits, channels, metadata=held), path)
    again = load_image(path).metadata

    assert again.xmp == XMP
    assert again.dpi == (300, 200)
    assert again.icc == (None if suffix == ".jxl" else ICC)
    assert again.iptc == (IPTC if suffix == ".jp2" else None)
    exif = PIL.Image.Exif()
    exif.load(exif_found(path))
    assert (exif[271], exif.get(274)) == ("Maker", 1)
    assert exif.get_ifd(EXIF)[34855] == 6400
    assert float(exif.get_ifd(EXIF)[33434]) == 1 / 250
    assert [float(value) for value in exif.get_ifd(GPS)[2]] == [52, 30, 15.5]


def exiftool(path: Path, *wanted: str) -> dict[str, object]:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    command = ["exiftool", "-json", "-n", "-G0", "-a", *wanted, str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]
    return {name.partition(":")[2] or name: value for name, value in said.items()}


@pytest.mark.parametrize("suffix", CARRYING)
@pytest.mark.parametrize("bits", [8, 16])
def test_exiftool_finds_in_boxes_what_was_there_and_nothing_wrong(tmp_path, suffix, bits):
    save_image(picture_of(bits, 4, metadata=everything()), tmp_path / f"a{suffix}")
    found = exiftool(tmp_path / f"a{suffix}")
    expected = {
        "Make": "Maker",
        "ISO": 6400,
        "ExposureTime": 0.004,
        "GPSLatitude": 52.5043056,
        "GPSLongitude": -1.0341667,
        "Title": "Night",
        "ImageWidth": 36,
        "ImageHeight": 24,
    }
    if suffix != ".jxl":
        expected["ProfileDescription"] = "sRGB built-in"
    if suffix == ".jp2":
        expected |= {"Caption-Abstract": "A bird, far", "By-line": "Author"}
    assert {name: found.get(name) for name in expected} == {
        name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for name, value in expected.items()
    }
    assert not [name for name in found if name in ("Warning", "Error")]


@pytest.mark.parametrize("bits", [8, 12])
def test_a_jpeg_of_either_depth_holds_the_same_metadata(tmp_path, bits):
    save_image(picture_of(12, 3, metadata=everything()), tmp_path / "a.jpg", Encoding(bits=bits))
    again = load_image(tmp_path / "a.jpg")
    assert again.bits == (8 if bits == 8 else 16)
    assert dataclasses.replace(again.metadata, format="", notes=()) == everything()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_said_to_be_left_out_is_what_is_not_found_again(tmp_path, caplog, kind, channels):
    caplog.set_level("INFO", "engine.encode")
    grey = b"\0" * 12 + b"mntrGRAYXYZ " + b"\0" * 104
    held = dataclasses.replace(everything(), icc=ICC if channels == 4 else grey)
    image, path = picture_of(8, channels, metadata=held), tmp_path / f"a{kind.suffixes[0]}"
    said = left_out(image, path)
    save_image(image, path)
    # For this question the profile need not be a real one, so it is looked for in the bytes where it is stored plain.
    again, data = load_image(path), path.read_bytes()
    has_profile = held.icc in data or b"iCCP" in data
    found = {
        "opacity": again.opacity is not None,
        "EXIF data": again.metadata.exif is not None and b"Maker" in again.metadata.exif,
        "XMP data": again.metadata.xmp is not None,
        "colour profile": has_profile,
        "IPTC record": again.metadata.iptc is not None,
        "resolution": again.metadata.dpi is not None,
    }
    assert said == [what for what, there in found.items() if not there]
    assert all(what in caplog.text for what in said)


@pytest.mark.parametrize(
    ("held", "what"),
    [
        (Metadata(exif=b"II*\0" + bytes(65600)), "EXIF data"),
        (Metadata(xmp=b"<x>" + bytes(65600)), "XMP data"),
        (Metadata(iptc=b"\x1c\x02\x78" + bytes(65600)), "IPTC record"),
    ],
)
def test_what_is_too_long_for_a_jpeg_is_said_beforehand(tmp_path, held, what):
    image = picture_of(8, 3, metadata=held)
    assert left_out(image, tmp_path / "a.jpg") == [what]
    assert left_out(image, tmp_path / "a.tif") == []
    save_image(image, tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg").height == 24


@pytest.mark.parametrize("suffix", CARRYING)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photograph_stands_upright_once(tmp_path, suffix, orientation):
    stored = np.rint(picture_of(8, 3).pixels * 255).astype(np.uint8)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)

    image = load_image(tmp_path / "a.png")
    save_image(image, tmp_path / f"b{suffix}", Encoding(lossless=True))
    again = load_image(tmp_path / f"b{suffix}")

    np.testing.assert_array_equal(again.pixels, image.pixels)
    np.testing.assert_array_equal(found_elsewhere(tmp_path / f"b{suffix}"), np.rint(image.pixels * 255))
    assert (image.width, image.height) == ((24, 36) if orientation >= 5 else (36, 24))
    block = PIL.Image.Exif()
    block.load(exif_found(tmp_path / f"b{suffix}"))
    assert block.get(274, 1) == 1


@pytest.mark.parametrize("suffix", CARRYING)
def test_without_its_place_a_picture_in_boxes_keeps_all_else(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_image(picture_of(8, 3, metadata=everything()), path, Encoding(keep_place=False))
    block = read_directories(io.BytesIO(exif_found(path).removeprefix(b"Exif\0\0")))
    assert block.gps == {}
    assert 34855 in block.exif
    save_image(picture_of(8, 3, metadata=everything()), path)
    assert read_directories(io.BytesIO(exif_found(path).removeprefix(b"Exif\0\0"))).gps


@given(across=st.floats(1, 60000), down=st.floats(1, 60000))
def test_jpeg_2000_keeps_any_resolution_to_a_hundredth_of_a_percent(tmp_path_factory, across, down):
    path = tmp_path_factory.getbasetemp() / "resolution.jp2"
    save_image(picture_of(8, 1, 4, 4, metadata=Metadata(dpi=(across, down))), path)
    with PIL.Image.open(path) as opened:
        assert opened.info["dpi"] == pytest.approx((across, down), rel=1e-4)


def test_jpeg_2000_names_its_opacity(tmp_path):
    save_image(picture_of(8, 4), tmp_path / "a.jp2")
    with (tmp_path / "a.jp2").open("rb") as file:
        start, end = next((start, end) for name, start, end in boxes(file) if name == b"jp2h")
        inside = {name: (at, to) for name, at, to in boxes(file, start, end)}
        file.seek(inside[b"cdef"][0])
        assert file.read(2 + 6 * 4).hex(" ", 2) == "0004 0000 0000 0001 0001 0000 0002 0002 0000 0003 0003 0001 0000"


# --- choosing ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.JPG", ".JPG"),
        ("a.avif", ".avif"),
        ("a.jxl", ".jxl"),
        ("a.jp2", ".jp2"),
        ("a.j2k", ".jp2"),
        ("a.ppm", ".ppm"),
        ("a.pfm", ".pfm"),
        ("a.npy", ".npy"),
        ("a.heic", ".tif"),
        ("a.exr", ".tif"),
        ("a.gif", ".tif"),
        ("a.dng", ".tif"),
        ("a", ".tif"),
    ],
)
def test_a_result_has_the_type_of_its_input_where_that_can_be_written(name, expected):
    assert own_suffix(Path(name)) == expected
    assert denoised_path(Path(name)).suffix == expected
    assert denoised_path(Path(name), suffix=".png").suffix == ".png"


@pytest.mark.parametrize(
    ("name", "bits", "source", "expected"),
    [
        ("a.avif", 16, "AVIF", 12),
        ("a.avif", 8, "AVIF", 8),
        ("a.avif", 32, "TIFF", 12),
        ("a.jpg", 16, "JPEG", 12),
        ("a.jpg", 16, "TIFF", 8),
        ("a.jpg", 8, "JPEG", 8),
        ("a.jxl", 16, "", 16),
        ("a.jxl", 32, "", 32),
        ("a.jp2", 32, "", 16),
        ("a.pfm", 8, "", 32),
        ("a.npy", 16, "", 16),
        ("a.png", 32, "", 16),
    ],
)
def test_the_depth_is_the_pictures_own_or_the_nearest(name, bits, source, expected):
    image = Image(np.zeros((2, 2, 3), np.float32), bits=bits, is_float=bits == 32, metadata=Metadata(format=source))
    assert check_target(image, Path(name)) == expected


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.hif"])
def test_heic_is_refused_in_a_sentence_that_names_what_to_choose(name, tmp_path):
    with pytest.raises(ImageError, match=r"GPL encoder; save a 16-bit \.tif or a \.jpg instead"):
        save_image(picture_of(8, 3), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("a.pgm", (4, 4, 3), "cannot hold colours; save a .ppm"),
        ("a.avif", (1, 32769, 1), "ends at 32768 a side"),
        ("a.jpg", (65501, 1, 1), "ends at 65500 a side"),
    ],
)
def test_what_a_new_type_cannot_hold_is_one_sentence(tmp_path, name, shape, reason):
    with pytest.raises(ImageError, match=reason):
        save_image(Image(np.zeros(shape, np.float32)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".avif", ".jxl", ".jp2", ".ppm", ".pfm", ".npy"])
def test_a_new_type_that_fails_halfway_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kind = file_type(Path(f"a{suffix}"))
    monkeypatch.setitem(encode._WRITERS, kind.name, fails)
    (tmp_path / f"a{suffix}").write_bytes(b"old")
    with pytest.raises(ImageError, match="No space left"):
        save_image(picture_of(8, 1), tmp_path / f"a{suffix}")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_every_type_has_a_writer_and_no_suffix_two_types():
    assert {kind.name for kind in TYPES} == set(encode._WRITERS)
    assert sum(len(kind.suffixes) for kind in TYPES) == len(WRITTEN)


@given(
    bits=st.sampled_from([None, 8, 10, 12, 16, 32]),
    quality=st.integers(1, 100),
    lossless=st.sampled_from([None, True, False]),
    compression=st.sampled_from(["", "deflate", "lzw", "zstd", "none", "fast", "small"]),
    keep_place=st.booleans(),
)
def test_a_way_of_saving_comes_back_from_json(**fields):
    how = Encoding(**fields)
    assert Encoding(**json.loads(json.dumps(dataclasses.asdict(how)))) == how


@pytest.mark.parametrize(
    ("field", "word"),
    [({"bits": 9}, "8, 10, 12, 16, 32"), ({"quality": 0}, "1 to 100"), ({"compression": "rar"}, "deflate")],
)
def test_a_way_of_saving_that_no_type_knows_is_refused(field, word):
    with pytest.raises(ImageError, match=word):
        Encoding(**field)
