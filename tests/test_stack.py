"""Every page of a stack is read by its number, in its own type, and written with the axes and descriptions it had."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decode import peek
from engine.encode import Encoding, save_image
from engine.image import Image, ImageError, load_image
from engine.pages import Axes, array_layout
from engine.reading import Header
from engine.stack import StackWriter

ROOT = Path(__file__).resolve().parents[1]
SIDES = {"T": 2, "Z": 3, "C": 4}


def samples(kind: type | str, *shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(kind)
    if kind.kind == "f":
        return (30 * rng.standard_normal(shape)).astype(kind)
    low, high = max(np.iinfo(kind).min, -5000), min(np.iinfo(kind).max, 60000)
    return rng.integers(low, high, shape, kind.newbyteorder("="), endpoint=True).astype(kind)


def in_file_units(image: Image) -> np.ndarray:
    """(H, W) or (H, W, C) as the file holds them."""
    white = 1 if image.is_float else (1 << image.bits) - 1
    pixels = image.pixels.astype(np.float64) * white
    pixels = (pixels if image.is_float and "float" in image.dtype else np.rint(pixels)).astype(image.dtype)
    return pixels[..., 0] if image.channels == 1 else pixels


def copied(source: Path, target: Path, how: Encoding = Encoding()) -> Path:
    """The stack written page by page as it was read."""
    with StackWriter(target, source, how) as stack:
        for page in range(load_image(source).pages):
            stack.add(load_image(source, page))
    return target


# --- reading ---

STACKS = {
    "imagej": {"imagej": True},
    "imagej big-endian": {"imagej": True, "byteorder": ">"},
    "ome": {"ome": True, "compression": "zlib"},
    "shaped": {},
    "one directory": {"truncate": True},
    "one directory big-endian": {"truncate": True, "byteorder": ">"},
    "bigtiff": {"bigtiff": True, "tile": (16, 16), "compression": "lzw"},
}


@pytest.mark.parametrize("style", STACKS)
@pytest.mark.parametrize("axes", ["TZC", "T", "ZC", "C"])
def test_every_page_is_opened_by_its_number(tmp_path, style, axes):
    pages = samples(np.uint16, *(SIDES[axis] for axis in axes), 20, 30)
    tifffile.imwrite(
        tmp_path / "a.tif", pages, photometric="minisblack", metadata={"axes": axes + "YX"}, **STACKS[style]
    )
    flat = pages.reshape(-1, 20, 30)
    for number in (0, 1, len(flat) - 1):
        image = load_image(tmp_path / "a.tif", number)
        assert (image.page, image.pages, image.dtype) == (number, len(flat), "uint16")
        np.testing.assert_array_equal(in_file_units(image), flat[number])
    for number in (-1, len(flat)):
        with pytest.raises(ImageError, match=rf"^a\.tif has {len(flat)} pages; number {number + 1} was asked for$"):
            load_image(tmp_path / "a.tif", number)


@pytest.mark.parametrize("order", ["ZTC", "CZT", "TCZ"])
def test_ome_stacks_have_their_axes_in_any_order(tmp_path, order):
    pages = samples(np.uint16, *(SIDES[axis] for axis in order), 8, 9)
    tifffile.imwrite(tmp_path / "a.ome.tif", pages, photometric="minisblack", metadata={"axes": order + "YX"})
    flat = pages.reshape(-1, 8, 9)
    for number in range(len(flat)):
        np.testing.assert_array_equal(in_file_units(load_image(tmp_path / "a.ome.tif", number)), flat[number])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_each_channel_of_a_microscope_is_a_page(tmp_path, planar, compression):
    channels = samples(np.uint16, 5, 20, 30)
    stored = channels if planar == "separate" else np.moveaxis(channels, 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, compression=compression)
    for number in range(5):
        image = load_image(tmp_path / "a.tif", number)
        assert (image.pages, image.opacity) == (5, None)
        np.testing.assert_array_equal(in_file_units(image), channels[number])


@pytest.mark.parametrize("options", [{}, {"tile": (2, 16, 16), "compression": "zlib"}, {"byteorder": ">"}])
@pytest.mark.parametrize("colours", [1, 3])
def test_each_slice_of_a_volume_is_a_page(tmp_path, options, colours):
    volume = samples(np.uint8, 3, 20, 30, *((3,) if colours == 3 else ()))
    photometric = "rgb" if colours == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric=photometric, volumetric=True, **options)
    for number in range(3):
        np.testing.assert_array_equal(in_file_units(load_image(tmp_path / "a.tif", number)), volume[number])


def test_only_the_page_that_is_asked_for_is_decoded(tmp_path):
    pages = samples(np.uint8, 4, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        spoilt = [(page.dataoffsets[0], page.databytecounts[0]) for page in tiff.pages]
    with (tmp_path / "a.tif").open("rb+") as file:
        for number in (0, 1, 3):
            file.seek(spoilt[number][0])
            file.write(bytes(spoilt[number][1]))
    np.testing.assert_array_equal(in_file_units(load_image(tmp_path / "a.tif", 2)), pages[2])
    with pytest.raises(ImageError):
        load_image(tmp_path / "a.tif", 1)


SCANS = ["RGB", "L", "1", "P", "CMYK", "RGBA"]


def scanned(path: Path) -> list[PIL.Image.Image]:
    """A TIFF whose pages are of different sizes, colours and resolutions."""
    pages = [
        PIL.Image.fromarray(samples(np.uint8, 20 + index, 30, 3, seed=index)).convert(mode)
        for index, mode in enumerate(SCANS)
    ]
    pages[0].save(path, save_all=True, append_images=pages[1:], dpi=(300, 300))
    return pages


def test_pages_of_a_scanned_document_keep_their_own_size_and_colours(tmp_path):
    pages = scanned(tmp_path / "a.tif")
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    for number, page in enumerate(pages):
        for name in ("a.tif", "b.tif"):
            image = load_image(tmp_path / name, number)
            assert (image.width, image.height, image.pages) == (*page.size, len(SCANS))
            assert image.channels == (1 if page.mode in ("1", "L") else 3)
            assert (image.opacity is not None) == (page.mode == "RGBA")
            assert image.metadata.dpi == (300, 300)
        mode = {"1": "L", "RGBA": "RGBA", "L": "L"}.get(page.mode, "RGB")
        with PIL.Image.open(tmp_path / "b.tif") as opened:
            opened.seek(number)
            np.testing.assert_array_equal(np.asarray(opened), np.asarray(page.convert(mode)))


def test_smaller_copies_and_masks_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for kind, side in ((0, 40), (1, 20), (0, 40), (4, 40), (1, 10)):
            stored = np.ones((side, side), bool) if kind == 4 else np.full((side, side), side, np.uint8)
            writer.write(stored, subfiletype=kind, metadata=None)
    assert [load_image(tmp_path / "a.tif", number).pages for number in range(2)] == [2, 2]
    assert load_image(tmp_path / "a.tif", 1).width == 40


def test_directories_that_lead_back_end_the_list_and_those_out_of_the_file_are_damage(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 3, 8, 9), photometric="minisblack", metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
        first, last = tiff.pages[0], tiff.pages[2]
    link = last.offset + 2 + 12 * len(last.tags)
    data[link : link + 4] = first.offset.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    assert load_image(tmp_path / "a.tif").pages == 3
    for target in (len(data) - 4, len(data), len(data) + 100):
        data[link : link + 4] = target.to_bytes(4, "little")
        (tmp_path / "a.tif").write_bytes(data)
        with pytest.raises(ImageError, match="part of its pages is missing"):
            load_image(tmp_path / "a.tif")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 20, 30), (2, 3, 4, 20, 30), (4, 20, 30, 3), (4, 3, 20, 30), (4, 20, 30, 1)])
def test_every_picture_of_a_numpy_array_is_a_page(tmp_path, shape, order):
    array = samples(np.int16, *shape)
    np.save(tmp_path / "a.npy", np.asarray(array, order=order))
    layout = array_layout(shape)
    flat = array.reshape(-1, *layout.page)
    for number in (0, len(flat) - 1):
        image = load_image(tmp_path / "a.npy", number)
        expected = np.moveaxis(flat[number], 0, -1) if layout.is_planar else flat[number]
        assert (image.pages, image.dtype, image.is_float) == (len(flat), "int16", True)
        np.testing.assert_array_equal(image.pixels, np.atleast_3d(expected))


def fits_cube(path: Path, cube: np.ndarray) -> None:
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": cube.ndim}
    cards |= {f"NAXIS{at + 1}": side for at, side in enumerate(cube.shape[::-1])}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    body = cube.astype(">i2").tobytes()
    path.write_bytes(head.ljust(2880).encode() + body.ljust(-(-len(body) // 2880) * 2880, b"\0"))


def test_a_fits_cube_becomes_a_tiff_of_its_pages_the_right_way_up(tmp_path):
    cube = samples(np.int16, 2, 4, 20, 30)
    fits_cube(tmp_path / "a.fits", cube)
    assert load_image(tmp_path / "a.fits", 7).pages == 8
    copied(tmp_path / "a.fits", tmp_path / "b.tif")
    written = tifffile.imread(tmp_path / "b.tif")
    assert written.dtype == np.int16
    np.testing.assert_array_equal(written, cube[:, :, ::-1])


# --- one range of brightness for all ---


def test_the_pages_of_a_channel_share_their_levels_and_channels_do_not(tmp_path):
    pages = np.stack([samples(np.uint16, 3, 40, 50) // (60 if channel else 2) for channel in range(2)], axis=1)
    for time in range(3):
        pages[time] = pages[time] // (1 + time)
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, metadata={"axes": "TCYX"})
    levels = [load_image(tmp_path / "a.tif", number).levels for number in range(6)]
    assert levels[0] == levels[2] == levels[4] == (0.0, 0.5)
    assert levels[1] == levels[3] == levels[5] == (0.0, 1 / 64)


def test_few_pages_are_decoded_for_the_levels_of_many_and_only_once(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint16, 200, 8, 9), photometric="minisblack")
    decoded = []
    from engine import image as module

    real = module.decode
    monkeypatch.setattr(module, "decode", lambda path, wanted: decoded.append(wanted.page) or real(path, wanted))
    levels = {load_image(tmp_path / "a.tif", number).levels for number in (3, 120, 4)}
    assert len(levels) == 1
    assert decoded == [3, 0, 50, 100, 149, 199, 120, 4]


def test_a_damaged_page_or_one_of_another_kind_does_not_spoil_the_levels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number in range(4):
            stored = samples(np.float32 if number == 2 else np.uint16, 30, 40)
            writer.write(stored, photometric="minisblack", metadata=None, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        offset, count = tiff.pages[3].dataoffsets[0], tiff.pages[3].databytecounts[0]
    with (tmp_path / "a.tif").open("rb+") as file:
        file.seek(offset)
        file.write(bytes(count))
    images = [load_image(tmp_path / "a.tif", number) for number in range(3)]
    assert images[0].levels == images[1].levels == (0.0, 1.0)
    assert images[2].levels[0] < 0


@settings(max_examples=60, deadline=None)
@given(
    names=st.sampled_from(["TZC", "CZT", "ZT", "C", "Q", ""]),
    sides=st.lists(st.integers(2, 5), min_size=3, max_size=3),
    most=st.integers(2, 6),
    data=st.data(),
)
def test_pages_alike_are_of_one_channel_and_reach_from_end_to_end(names, sides, most, data):
    axes = Axes(names, tuple(sides[: len(names)]))
    page = data.draw(st.integers(0, axes.pages - 1))
    channel = axes.channel(page)
    every = [number for number in range(axes.pages) if axes.channel(number) == channel]
    alike = axes.alike(channel, most)
    assert page in every
    assert set(alike) <= set(every)
    assert len(alike) == min(most, len(every)) or len(alike) >= 2
    assert {alike[0], alike[-1]} <= {every[0], every[-1]}


# --- writing ---


def described(path: Path) -> tuple:
    """What tifffile makes of a file."""
    with tifffile.TiffFile(path) as tiff:
        series, page = tiff.series[0], tiff.pages.first
        resolution = page.tags[282].value, page.tags[283].value, page.tags[296].value
        return series.axes, series.shape, series.dtype, tiff.is_imagej, tiff.is_ome, resolution


@pytest.mark.parametrize("style", ["imagej", "imagej big-endian", "ome", "shaped", "bigtiff"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("axes", ["TZCYX", "ZYX", "TCYX", "TYXS"])
def test_a_stack_comes_back_with_its_axes_type_and_every_sample(tmp_path, style, kind, axes):
    if axes == "TYXS" and "imagej" in style and kind != np.uint8:
        pytest.skip("ImageJ knows no deep colours")
    shape = [{**SIDES, "Y": 20, "X": 30, "S": 3}[axis] for axis in axes]
    stack = samples(kind, *shape)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        photometric="rgb" if axes.endswith("S") else "minisblack",
        resolution=(5, 5),
        metadata={"axes": axes},
        **STACKS[style],
    )
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), stack)
    assert described(tmp_path / "b.tif") == described(tmp_path / "a.tif")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_imagej_finds_its_properties_labels_ranges_and_colours_again(tmp_path, byteorder):
    metadata = {
        "axes": "ZCYX",
        "spacing": 0.5,
        "unit": "um",
        "finterval": 2.5,
        "mode": "composite",
        "Info": "key: value\n",
        "Labels": [f"slice {number}" for number in range(12)],
        "Ranges": (0.0, 100.0) * 4,
        "LUTs": [np.full((3, 256), index, np.uint8) for index in range(4)],
    }
    stack = samples(np.uint16, 3, 4, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, byteorder=byteorder, resolution=(5, 5), metadata=metadata)
    copied(tmp_path / "a.tif", tmp_path / "b.tif", Encoding(compression="zstd"))
    with tifffile.TiffFile(tmp_path / "a.tif") as old, tifffile.TiffFile(tmp_path / "b.tif") as new:
        np.testing.assert_equal(new.imagej_metadata, old.imagej_metadata)
        assert new.imagej_metadata["spacing"] == 0.5
        # ImageJ takes all pages behind the first as they lie.
        assert new.pages.first.is_contiguous
        first, last = new.pages[0].dataoffsets[0], new.pages[11].dataoffsets[-1]
        assert last - first == 11 * 20 * 30 * 2


def test_imagejs_colours_for_intensities_are_kept_and_not_taken_for_a_picture(tmp_path):
    stack, table = samples(np.uint8, 3, 20, 30), np.random.default_rng(1).integers(0, 256, (3, 256), np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, photometric="palette", colormap=table)
    image = load_image(tmp_path / "a.tif", 1)
    assert image.channels == 1
    np.testing.assert_array_equal(in_file_units(image), stack[1])
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as new:
        assert new.pages.first.photometric == 3
        np.testing.assert_array_equal(new.pages.first.colormap, table)
        np.testing.assert_array_equal(new.asarray(), stack)


def test_ome_keeps_what_it_says_but_not_who_it_was(tmp_path):
    stack = samples(np.uint16, 3, 4, 20, 30)
    said = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeZ": 1.5, "Channel": {"Name": ["a", "b", "c", "d"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata=said)
    copied(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    copied(tmp_path / "a.ome.tif", tmp_path / "c.ome.tif", Encoding(bits=32))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as old, tifffile.TiffFile(tmp_path / "b.ome.tif") as new:
        assert "UUID" in old.ome_metadata
        assert "UUID" not in new.ome_metadata
        for part in ('PhysicalSizeX="0.25"', 'PhysicalSizeZ="1.5"', 'Name="c"', 'Type="uint16"'):
            assert part in new.ome_metadata
    with tifffile.TiffFile(tmp_path / "c.ome.tif") as new:
        assert 'Type="float"' in new.ome_metadata
        np.testing.assert_allclose(new.asarray(), stack / np.float32(65535), rtol=1e-6)


def test_ome_that_names_other_files_is_not_kept(tmp_path):
    stack = samples(np.uint16, 2, 3, 20, 30)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata={"axes": "ZCYX"})
    data = (tmp_path / "a.ome.tif").read_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        xml = tiff.ome_metadata
        tag = tiff.pages.first.tags[270]
    others = "".join(f'<TiffData IFD="0"><UUID FileName="{name}.tif">x</UUID></TiffData>' for name in "pq")
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        for number, page in enumerate(stack.reshape(-1, 20, 30)):
            text = xml.replace("<TiffData", others + "<TiffData", 1).encode() if number == 0 else None
            writer.write(page, photometric="minisblack", metadata=None, description=text)
    assert tag.count > 100
    assert load_image(tmp_path / "b.tif").pages == 6
    copied(tmp_path / "b.tif", tmp_path / "c.tif")
    with tifffile.TiffFile(tmp_path / "c.tif") as new:
        assert not new.is_ome
        np.testing.assert_array_equal(new.asarray(), stack)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_that_lay_in_one_directory_do_so_again(tmp_path, planar):
    channels = samples(np.int16, 5, 20, 30)
    stored = channels if planar == "separate" else np.moveaxis(channels, 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as new:
        assert (len(new.pages), new.pages.first.samplesperpixel) == (1, 5)
        np.testing.assert_array_equal(new.asarray(), stored)


@pytest.mark.parametrize("options", [{"volumetric": True}, {"truncate": True}])
def test_slices_of_one_directory_get_directories_of_their_own(tmp_path, options):
    stack = samples(np.uint16, 2, 3, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as new:
        assert len(new.pages) == 6
        np.testing.assert_array_equal(new.asarray(), stack)


@pytest.mark.parametrize("shape", [(4, 20, 30), (2, 3, 20, 30, 3), (4, 3, 20, 30), (4, 20, 30, 1)])
@pytest.mark.parametrize("kind", ["f2", "f8", ">u2", "i8"])
def test_an_array_becomes_an_array_of_its_shape_and_type_or_a_tiff(tmp_path, shape, kind):
    array = samples(kind, *shape)
    np.save(tmp_path / "a.npy", array)
    copied(tmp_path / "a.npy", tmp_path / "b.npy")
    copied(tmp_path / "a.npy", tmp_path / "b.tif")
    written = np.load(tmp_path / "b.npy")
    assert (written.shape, written.dtype) == (shape, np.dtype(kind).newbyteorder("<"))
    np.testing.assert_allclose(written, array, rtol=1e-6)
    pages = tifffile.imread(tmp_path / "b.tif")
    expected = np.moveaxis(array, -3, -1) if array_layout(shape).is_planar else array
    np.testing.assert_allclose(pages.reshape(expected.shape), expected, rtol=1e-6)


TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_scientific_picture_keeps_its_type_and_its_range(tmp_path, kind, suffix, channels):
    stored = samples(kind, 20, 30, *((3,) if channels == 3 else ()))
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", stored)
    else:
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb" if channels == 3 else "minisblack")
    image = load_image(tmp_path / f"a{suffix}")
    assert image.dtype == np.dtype(kind).name
    if image.is_float:
        # What lies beyond the type's range, and between its numbers, is clipped and rounded, never scaled.
        pixels = image.pixels.copy()
        pixels[0, 0], pixels[0, 1] = 1e30, -1e30
        pixels[0, 2] = 2.4
        image = replace(image, pixels=pixels)
    save_image(image, tmp_path / f"b{suffix}")
    written = np.load(tmp_path / "b.npy") if suffix == ".npy" else tifffile.imread(tmp_path / "b.tif")
    assert written.dtype == np.dtype(kind)
    np.testing.assert_allclose(written[1:].astype(float), stored[1:].astype(float), rtol=1e-6)
    if np.dtype(kind).kind != "f" and image.is_float:
        limits = np.iinfo(kind)
        assert np.all(written[0, 0] >= 0.999 * limits.max)
        assert np.all(written[0, 1] == limits.min)
        assert np.all(written[0, 2] == 2)
    if kind == "f2":
        assert np.all(np.isfinite(written))


def test_asking_for_floats_gives_floats(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.int16, 20, 30))
    save_image(load_image(tmp_path / "a.tif"), tmp_path / "b.tif", Encoding(bits=32))
    assert tifffile.imread(tmp_path / "b.tif").dtype == np.float32


def test_the_camera_and_the_date_stay_with_their_pages(tmp_path):
    exif = PIL.Image.Exif()
    exif[271], exif.get_ifd(0x8769)[34855] = "Maker", 6400
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    tifffile.imwrite(tmp_path / "single.tif", samples(np.uint8, 20, 30))
    image = load_image(tmp_path / "single.tif")
    save_image(replace(image, metadata=replace(image.metadata, exif=block)), tmp_path / "first.tif")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number in range(3):
            tags = [(271, 2, 6, "Maker", True), (36867, 2, 20, f"2026:01:0{number + 1} 00:00:00", True)]
            writer.write(samples(np.uint8, 20, 30 + number), metadata=None, extratags=tags)
    with StackWriter(tmp_path / "b.tif", tmp_path / "a.tif") as stack:
        for number in range(3):
            page = load_image(tmp_path / "a.tif", number)
            own = load_image(tmp_path / "first.tif").metadata if number == 0 else page.metadata
            stack.add(replace(page, metadata=own))
    with PIL.Image.open(tmp_path / "b.tif") as opened:
        assert opened.n_frames == 3
        assert opened.getexif().get_ifd(0x8769)[34855] == 6400
    with tifffile.TiffFile(tmp_path / "b.tif") as new:
        assert [page.shape for page in new.pages] == [(20, 30), (20, 31), (20, 32)]
        assert [page.tags[271].value for page in new.pages] == ["Maker"] * 3
        assert new.pages[2].tags[36867].value.startswith("2026:01:03")


def write_pages(source: Path, target: Path, *numbers: int, seal=None, fails: bool = False) -> None:
    with StackWriter(target, source, seal=seal) as stack:
        for number in numbers:
            stack.add(load_image(source, number))
        if fails:
            raise RuntimeError("stop")


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((0,), r"^b\.tif cannot be saved: 1 of 3 pages came$"),
        ((0, 0), "page 0 came where 1 was due"),
        ((1,), "page 1 came where 0 was due"),
    ],
)
def test_nothing_appears_where_a_page_is_missing_or_not_in_its_place(tmp_path, numbers, reason):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 3, 20, 30), photometric="minisblack")
    with pytest.raises(ImageError, match=reason):
        write_pages(tmp_path / "a.tif", tmp_path / "b.tif", *numbers)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.tif"]


def test_nothing_appears_and_an_old_file_stays_where_something_fails(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 3, 20, 30), photometric="minisblack")
    (tmp_path / "b.tif").write_bytes(b"old")

    def refuse(path: Path) -> None:
        raise ImageError("sealed")

    with pytest.raises(RuntimeError, match="stop"):
        write_pages(tmp_path / "a.tif", tmp_path / "b.tif", 0, 1, 2, fails=True)
    with pytest.raises(ImageError, match="sealed"):
        write_pages(tmp_path / "a.tif", tmp_path / "b.tif", 0, 1, 2, seal=refuse)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.tif", "b.tif"]
    assert (tmp_path / "b.tif").read_bytes() == b"old"


def test_the_seal_sees_the_complete_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 3, 20, 30), photometric="minisblack")
    seen = []
    with StackWriter(
        tmp_path / "b.tif", tmp_path / "a.tif", seal=lambda path: seen.append(tifffile.imread(path).shape)
    ) as stack:
        for number in range(3):
            stack.add(load_image(tmp_path / "a.tif", number))
        assert seen == []
    assert seen == [(3, 20, 30)]


@pytest.mark.parametrize(("source", "target"), [("a.tif", "b.png"), ("a.tif", "b.npy"), ("a.png", "b.tif")])
def test_what_cannot_hold_pages_or_has_none_is_refused(tmp_path, source, target):
    if source == "a.tif":
        tifffile.imwrite(tmp_path / source, samples(np.uint8, 3, 20, 30), photometric="minisblack")
    else:
        PIL.Image.new("L", (20, 30)).save(tmp_path / source)
    with (
        pytest.raises(ImageError, match=r"^b\.\w+ cannot hold the pages of a\.tif|^a\.png is no stack"),
        StackWriter(tmp_path / target, tmp_path / source),
    ):
        pytest.fail("it was opened")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [source]


def test_a_stack_of_more_than_a_classic_tiff_holds_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.encode._LARGEST_TIFF", 1000)
    tifffile.imwrite(tmp_path / "a.tif", samples(np.uint8, 3, 20, 30), imagej=True)
    copied(tmp_path / "a.tif", tmp_path / "b.tif")
    scanned(tmp_path / "s.tif")
    copied(tmp_path / "s.tif", tmp_path / "t.tif")
    for name, count in (("b.tif", 3), ("t.tif", len(SCANS))):
        with tifffile.TiffFile(tmp_path / name) as new:
            assert (new.is_bigtiff, len(new.pages)) == (True, count)
        assert load_image(tmp_path / name, count - 1).pages == count


COPY = """
import sys
from pathlib import Path
from engine.image import load_image
from engine.stack import StackWriter
source, target, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
with StackWriter(target, source) as stack:
    for page in range(count):
        stack.add(load_image(source, page))
        if page == 7:
            early = peak()
print(early, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own account of memory is read")
def test_the_memory_of_copying_a_stack_does_not_grow_with_its_pages(tmp_path):
    page, count = samples(np.uint16, 1000, 1000), 60
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(count):
            writer.write(page, contiguous=True, photometric="minisblack")
    command = [sys.executable, "-c", COPY, str(tmp_path / "a.tif"), str(tmp_path / "b.tif"), str(count)]
    child = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    early, late = map(int, child.stdout.split())
    assert late - early < 20, child.stdout  # MB; 52 pages are 104 MB as stored


# --- what is said without decoding ---


def test_a_peek_says_size_colours_depth_and_pages(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", samples(np.float32, 2, 3, 20, 30), imagej=True)
    tifffile.imwrite(tmp_path / "b.tif", samples(np.uint16, 20, 30, 3), photometric="rgb")
    np.save(tmp_path / "c.npy", samples(np.float64, 4, 3, 20, 30))
    fits_cube(tmp_path / "d.fits", samples(np.int16, 4, 20, 30))
    picture = PIL.Image.fromarray(samples(np.uint8, 20, 30, 3))
    for name in ("e.jpg", "f.png", "g.webp", "h.jp2", "i.avif", "j.bmp", "k.ppm", "l.gif"):
        picture.save(tmp_path / name)
    picture.convert("L").save(tmp_path / "m.jpg")
    PIL.Image.fromarray(samples(np.uint16, 20, 30)).save(tmp_path / "n.png")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr(PIL.Image.Image, "load", lambda *_: pytest.fail("decoded"))
    expected = {
        "a.tif": Header(30, 20, 1, 32, 6),
        "b.tif": Header(30, 20, 3, 16),
        "c.npy": Header(30, 20, 3, 64, 4),
        "d.fits": Header(30, 20, 1, 16, 4),
        "m.jpg": Header(30, 20, 1, 8),
        "n.png": Header(30, 20, 1, 16),
    }
    found = {path.name: peek(path) for path in sorted(tmp_path.iterdir()) if path.is_file()}
    assert len(found) == 14
    for name, header in found.items():
        assert header == expected.get(name, Header(30, 20, 3, 8)), name


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_a_peek_into_what_is_no_picture_is_an_error(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.jpg"):
        peek(tmp_path / "a.jpg")


# --- pictures inside a JPEG ---


@pytest.mark.parametrize(("size", "is_noted"), [((30, 20), True), ((15, 10), False)])
def test_only_pictures_of_the_same_size_in_a_camera_jpeg_are_noted(tmp_path, size, is_noted):
    main = PIL.Image.fromarray(samples(np.uint8, 20, 30, 3))
    main.save(tmp_path / "a.mpo", save_all=True, append_images=[main.resize(size)])
    image = load_image((tmp_path / "a.mpo").rename(tmp_path / "a.jpg"))
    assert image.pixels.shape == (20, 30, 3)
    assert image.metadata.notes == (("a.jpg holds 2 pictures; only the first is used",) if is_noted else ())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_says_that_only_its_first_picture_is_used(tmp_path, kind):
    pictures = [PIL.Image.fromarray(samples(np.uint8, 20, 30, 3, seed=seed)) for seed in range(2)]
    pictures[0].save(tmp_path / "a.bin", kind, save_all=True, append_images=pictures[1:])
    image = load_image(tmp_path / "a.bin")
    assert image.pages == 1
    assert image.metadata.notes == ("a.bin holds 2 pictures; only the first is used",)


def test_a_tiff_compressed_by_png_is_read(tmp_path):
    stored = samples(np.uint8, 20, 30, 3)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", compression="png")
    np.testing.assert_array_equal(in_file_units(load_image(tmp_path / "a.tif")), stored)


def test_a_description_of_axes_that_does_not_fit_is_not_believed(tmp_path):
    for said in ({"shape": [7, 20, 30]}, {"shape": [0, 20, 30]}, {"shape": "x"}, {"shape": [3, 20, 30], "axes": 5}):
        with tifffile.TiffWriter(tmp_path / "a.tif", shaped=False) as writer:
            for number in range(3):
                text = json.dumps(said) if number == 0 else None
                writer.write(samples(np.uint8, 20, 30), metadata=None, description=text, photometric="minisblack")
        assert load_image(tmp_path / "a.tif", 2).pages == 3
