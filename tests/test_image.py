"""Pictures come in upright and whole, and go out with everything they carried."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tifffile
from PIL.TiffImagePlugin import IFDRational

from engine.encode import Encoding, denoised_path, save_image
from engine.image import EXTENSIONS, Image, ImageError, derive_levels, find_images, input_hash, load_image, thumbnail
from engine.metadata import Metadata, append_exif, exif_orientation, upright_exif

ISO, EXIF, GPS, ORIENTATION = 34855, 34665, 34853, 274
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:title="t"/></x:xmpmeta>'
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def samples(*shape: int, kind: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def as_image(stored: np.ndarray, **details) -> Image:
    """An Image of stored samples; a second or fourth channel is the opacity."""
    bits = stored.dtype.itemsize * 8
    colours = stored.shape[2] - (stored.shape[2] % 2 == 0)
    return Image(
        stored[..., :colours] / np.float32(np.iinfo(stored.dtype).max),
        bits=bits,
        opacity=None if colours == stored.shape[2] else stored[..., -1],
        **details,
    )


def exif_block(orientation: int = 1) -> bytes:
    exif = PIL.Image.Exif()
    exif[271], exif[ORIENTATION] = "Maker", orientation
    exif.get_ifd(EXIF).update({ISO: 6400, 33434: IFDRational(1, 250)})
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 15.5)})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def big_endian_exif() -> bytes:
    """Orientation 6, camera "Maker", ISO 6400, written with the most significant byte first."""
    first = struct.pack(">H", 3) + struct.pack(">HHII", 271, 2, 6, 50) + struct.pack(">HHIHH", 274, 3, 1, 6, 0)
    first += struct.pack(">HHII", EXIF, 4, 1, 56) + bytes(4)
    sub = struct.pack(">H", 1) + struct.pack(">HHIHH", ISO, 3, 1, 6400, 0) + bytes(4)
    return b"MM\0*" + struct.pack(">I", 8) + first + b"Maker\0" + sub


def full_metadata() -> Metadata:
    return Metadata(exif_block(), XMP, ICC, (300.0, 200.0))


def write_with_orientation(path: Path, stored: np.ndarray, orientation: int) -> None:
    if path.suffix == ".tif":
        tifffile.imwrite(path, stored, photometric="rgb", extratags=[(ORIENTATION, 3, 1, orientation, True)])
    else:
        exif = PIL.Image.Exif()
        exif[ORIENTATION] = orientation
        PIL.Image.fromarray(stored).save(path, exif=exif, lossless=True, exact=True)


def reopen(path: Path) -> PIL.Image.Image:
    """The file as Pillow, and not this program, reads it."""
    return PIL.Image.open(io.BytesIO(path.read_bytes()))


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF 2.32 says of each value, in rotations and mirrors."""
    return {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }[orientation](stored)


def stored_again(image: Image) -> np.ndarray:
    return np.rint(image.pixels * (2**image.bits - 1)).astype(int)


# --- orientation ---


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_opened_upright_and_never_turned_twice(tmp_path, suffix, orientation):
    stored = samples(5, 8, 3)
    write_with_orientation(tmp_path / f"a{suffix}", stored, orientation)

    image = load_image(tmp_path / f"a{suffix}")
    save_image(image, tmp_path / f"b{suffix}")
    again = load_image(tmp_path / f"b{suffix}")

    np.testing.assert_array_equal(stored_again(image), upright(stored, orientation))
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert reopen(tmp_path / f"b{suffix}").getexif().get(ORIENTATION, 1) == 1


def test_a_turned_jpeg_has_its_sides_its_resolution_and_its_tags_turned(tmp_path):
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(EXIF).update({40962: 16, 40963: 8})
    PIL.Image.new("RGB", (16, 8)).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 200), xmp=XMP)

    image = load_image(tmp_path / "a.jpg")
    save_image(image, tmp_path / "b.jpg")

    saved = reopen(tmp_path / "b.jpg")
    assert (image.width, image.height) == saved.size == (8, 16)
    assert saved.info["dpi"] == (200, 300)
    assert saved.getexif()[ORIENTATION] == 1
    assert saved.getexif().get_ifd(EXIF)[40962] == 8
    assert b'tiff:Orientation="1"' in saved.info["xmp"]


# --- samples ---

HOLDS = [(".png", 8, 4), (".png", 16, 4), (".tif", 8, 4), (".tif", 16, 4), (".webp", 8, 4), (".bmp", 8, 3)]


@pytest.mark.parametrize(("suffix", "bits", "most"), HOLDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_samples_and_opacity_survive_saving_exactly(tmp_path, suffix, bits, most, channels):
    stored = samples(7, 5, channels, kind=np.uint8 if bits == 8 else np.uint16)
    image = as_image(stored)

    save_image(image, tmp_path / f"a{suffix}")
    again = load_image(tmp_path / f"a{suffix}")

    assert again.bits == bits
    expected = np.repeat(image.pixels, 3, axis=2) if suffix == ".webp" and channels <= 2 else image.pixels
    np.testing.assert_array_equal(again.pixels, expected)
    if image.opacity is not None and most == 4:
        np.testing.assert_array_equal(again.opacity, image.opacity)
        assert again.opacity.dtype == image.opacity.dtype


@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff_keeps_values_outside_0_and_1(tmp_path, channels):
    pixels = np.random.default_rng(0).normal(0.5, 1, (6, 7, channels)).astype(np.float32)

    save_image(Image(pixels, bits=32, is_float=True), tmp_path / "a.tif")
    again = load_image(tmp_path / "a.tif")

    assert (again.bits, again.is_float) == (32, True)
    np.testing.assert_array_equal(again.pixels, pixels)


def test_integers_are_clipped_and_rounded_not_truncated(tmp_path):
    pixels = np.array([[-0.5, 1.5, 99.6 / 255, 99.4 / 255]], np.float32)[..., None]
    save_image(Image(pixels), tmp_path / "a.png")
    assert stored_again(load_image(tmp_path / "a.png")).ravel().tolist() == [0, 255, 100, 99]


def test_a_jpeg_is_saved_with_full_colour_resolution_and_close_values(tmp_path):
    image = as_image(cv2.GaussianBlur(samples(40, 50, 3), (0, 0), 3))
    save_image(image, tmp_path / "a.jpg")
    saved = reopen(tmp_path / "a.jpg")
    assert [part[1:3] for part in saved.layer] == [(1, 1)] * 3
    assert np.abs(load_image(tmp_path / "a.jpg").pixels - image.pixels).max() < 5 / 255


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"tile": (16, 16)}, {"bigtiff": True}])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_every_layout_of_tiff_gives_the_same_pixels(tmp_path, kind, options):
    stored = samples(20, 18, 3)
    data = stored.transpose(2, 0, 1) if "planarconfig" in options else stored
    tifffile.imwrite(tmp_path / "a.tif", data.astype(kind), photometric="rgb", byteorder=">", **options)

    image = load_image(tmp_path / "a.tif")

    white = 1 if np.dtype(kind).kind == "f" else np.iinfo(kind).max
    np.testing.assert_array_equal(image.pixels, stored.astype(np.float32) / np.float32(white))
    assert image.bits == {np.uint8: 8, np.uint16: 16}.get(kind, 32)


def test_white_is_zero_tiff_is_not_inverted(tmp_path):
    stored = samples(4, 5)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(stored_again(load_image(tmp_path / "a.tif"))[..., 0], 255 - stored)


@pytest.mark.parametrize(("bits", "kept"), [(1, 8), (12, 16)])
def test_white_of_an_odd_bit_depth_is_1(tmp_path, bits, kept):
    stored = np.array([[0, (1 << bits) - 1], [0, 1]], np.uint16 if bits > 8 else np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=bits, photometric="minisblack")
    image = load_image(tmp_path / "a.tif")
    assert image.pixels[0, 1, 0] == 1
    assert image.pixels[1, 1, 0] == np.float32(1 / ((1 << bits) - 1))
    assert image.bits == kept


def test_signed_integers_keep_their_unit_and_their_type(tmp_path):
    stored = np.array([[-5, 300], [7, 0]], np.int16)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    image = load_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels[..., 0], stored)
    assert (image.is_float, image.dtype, image.metadata.notes) == (True, "int16", ())


@pytest.mark.parametrize(
    ("kind", "top", "is_noted"), [(np.uint32, 1 << 24, False), (np.uint32, 1 << 31, True), (np.int32, -(1 << 30), True)]
)
def test_integers_beyond_what_floats_tell_apart_are_noted(tmp_path, kind, top, is_noted):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 1], [2, top]], kind))
    notes = load_image(tmp_path / "a.tif").metadata.notes
    assert notes == (
        (f"a.tif holds {np.dtype(kind).name} samples up to {abs(top)}; they are rounded to 24 bits",)
        if is_noted
        else ()
    )


def test_associated_alpha_stays_associated_in_tiff_and_is_undone_for_png(tmp_path):
    stored = np.array([[[50, 100, 0, 128], [0, 0, 0, 0]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    image = load_image(tmp_path / "a.tif")
    save_image(image, tmp_path / "b.tif")
    save_image(image, tmp_path / "b.png")
    with tifffile.TiffFile(tmp_path / "b.tif") as saved:
        assert saved.pages.first.extrasamples == (1,)
    assert np.asarray(reopen(tmp_path / "b.png")).tolist() == [[[100, 199, 0, 128], [0, 0, 0, 0]]]


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "L", "LA", "RGBA"])
def test_modes_become_grey_or_rgb_as_pillow_converts_them(tmp_path, mode):
    picture = PIL.Image.fromarray(samples(9, 7, 3)).convert(mode)
    suffix = ".jpg" if mode == "CMYK" else ".png"
    picture.save(tmp_path / f"a{suffix}")
    wanted = {"P": "RGB", "1": "L", "CMYK": "RGB"}.get(mode, mode)
    with PIL.Image.open(tmp_path / f"a{suffix}") as opened:
        expected = np.atleast_3d(np.asarray(opened.convert(wanted)))

    image = load_image(tmp_path / f"a{suffix}")

    np.testing.assert_array_equal(stored_again(image), expected[..., : image.channels])
    assert image.channels == (1 if wanted[0] == "L" else 3)
    assert (image.opacity is not None) == wanted.endswith("A")
    assert bool(image.metadata.notes) == (mode == "CMYK")


def test_a_cmyk_profile_is_not_kept_for_rgb_pixels(tmp_path):
    icc = b"\0" * 16 + b"CMYK" + b"\0" * 108
    tifffile.imwrite(tmp_path / "a.tif", samples(4, 4, 4), photometric="separated", iccprofile=icc)
    image = load_image(tmp_path / "a.tif")
    assert image.channels == 3
    assert image.metadata.icc is None


@pytest.mark.parametrize("letter", ["P5", "P6", "P2"])
def test_a_deep_pnm_keeps_its_bits_and_its_white(tmp_path, letter):
    stored = samples(3, 4, 3 if letter == "P6" else 1, kind=np.uint16) % 1024
    body = " ".join(map(str, stored.ravel())).encode() if letter == "P2" else stored.astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(f"{letter}\n# made here\n4 3\n1023\n".encode() + body)
    image = load_image(tmp_path / "a.pgm")
    assert image.bits == 16
    np.testing.assert_array_equal(image.pixels, stored / np.float32(1023))


def test_a_colour_key_becomes_opacity(tmp_path):
    stored = samples(6, 6, 3)
    stored[2, 3] = (1, 2, 3)
    PIL.Image.fromarray(stored).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image = load_image(tmp_path / "a.png")
    assert image.opacity[2, 3] == 0
    assert image.opacity[0, 0] == 255


# --- metadata ---


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (".jpg", ".jpg", np.uint8),
        (".jpg", ".tif", np.uint8),
        (".tif", ".tif", np.uint16),
        (".tif", ".jpg", np.uint8),
        (".png", ".png", np.uint16),
        (".png", ".tif", np.uint16),
        (".webp", ".webp", np.uint8),
        (".jpg", ".webp", np.uint8),
    ],
)
def test_iso_gps_profile_xmp_and_resolution_survive(tmp_path, first, second, kind):
    image = as_image(samples(16, 16, 3, kind=kind), metadata=full_metadata())
    save_image(image, tmp_path / f"a{first}")
    save_image(load_image(tmp_path / f"a{first}"), tmp_path / f"b{second}")

    again = load_image(tmp_path / f"b{second}")

    # Pillow, not this program, says what the file holds.
    with PIL.Image.open(tmp_path / f"b{second}") as saved:
        exif = saved.getexif()
        assert exif[271] == "Maker"
        assert exif.get_ifd(EXIF)[ISO] == 6400
        assert float(exif.get_ifd(EXIF)[33434]) == 1 / 250
        assert [float(value) for value in exif.get_ifd(GPS)[2]] == [52, 30, 15.5]
        assert saved.info["icc_profile"] == ICC
    assert again.metadata.xmp == XMP
    if ".webp" not in (first, second):
        assert again.metadata.dpi == pytest.approx((300, 200), abs=0.01)


def test_a_jpeg_keeps_its_exif_block_byte_for_byte(tmp_path):
    # Maker notes hold positions counted from the start of the block.
    block = exif_block() + b"maker notes"
    save_image(as_image(samples(8, 8, 3), metadata=Metadata(exif=block)), tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg").metadata.exif == block


def test_a_big_endian_block_is_written_into_a_tiff(tmp_path):
    exif = upright_exif(big_endian_exif(), 8, 8)
    save_image(as_image(samples(8, 8, 3), metadata=Metadata(exif=exif)), tmp_path / "a.tif")
    with PIL.Image.open(tmp_path / "a.tif") as saved:
        assert (saved.getexif()[271], saved.getexif().get_ifd(EXIF)[ISO]) == ("Maker", 6400)


def test_a_block_is_appended_to_a_bigtiff_of_many_strips(tmp_path):
    stored = samples(50, 40, 3)
    tifffile.imwrite(tmp_path / "a.tif", stored, bigtiff=True, byteorder="<", rowsperstrip=2, photometric="rgb")
    with (tmp_path / "a.tif").open("rb+") as file:
        append_exif(file, exif_block())
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), stored)
    image = load_image(tmp_path / "a.tif")
    exif = PIL.Image.Exif()
    exif.load(image.metadata.exif)
    assert exif.get_ifd(EXIF)[ISO] == 6400


def test_the_old_thumbnail_is_unlinked():
    stream = io.BytesIO()
    exif = bytearray(exif_block(6))
    count = struct.unpack_from("<H" if exif[:2] == b"II" else ">H", exif, 8)[0]
    struct.pack_into("<I", exif, 10 + 12 * count, 8)
    changed = upright_exif(bytes(exif), 4, 4)
    stream.write(changed)
    assert struct.unpack_from("<I", changed, 10 + 12 * count)[0] == 0
    assert exif_orientation(changed) == 1
    assert len(changed) == len(exif)


def test_damaged_exif_never_raises():
    rng = np.random.default_rng(0)
    for _ in range(500):
        block = bytearray(exif_block(6))
        for at in rng.integers(0, len(block), 4):
            block[at] = rng.integers(256)
        block = bytes(block[: rng.integers(1, len(block))])
        assert 1 <= exif_orientation(block) <= 8
        upright_exif(block, 3, 4)
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.zeros((2, 2), np.uint8), byteorder="<")
        append_exif(stream, block)


def test_a_profile_for_other_colours_is_dropped(tmp_path):
    PIL.Image.new("L", (8, 8)).save(tmp_path / "a.jpg", icc_profile=ICC)
    assert load_image(tmp_path / "a.jpg").metadata.icc is None


def test_imagej_description_of_many_pages_does_not_stay_with_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples(3, 6, 8), imagej=True)
    save_image(load_image(tmp_path / "a.tif"), tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as saved:
        assert not saved.is_imagej
        assert saved.asarray().shape == (6, 8)


# --- what cannot be opened ---


def encoded(suffix: str) -> bytes:
    stream = io.BytesIO()
    stored = samples(60, 70, 3)
    if suffix == ".png16":
        return cv2.imencode(".png", stored.astype(np.uint16) * 257)[1].tobytes()
    if suffix.startswith(".tif"):
        tifffile.imwrite(stream, stored, photometric="rgb", compression=suffix[5:] or None, rowsperstrip=20)
    else:
        PIL.Image.fromarray(stored).save(stream, {".jpg": "JPEG"}.get(suffix, suffix[1:].upper()))
    return stream.getvalue()


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".png16", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tif-zlib", ".tif-lzw", ".tif-jpeg"]
)
def test_a_truncated_file_is_an_error_not_half_a_picture(tmp_path, suffix):
    whole = encoded(suffix)
    path = tmp_path / "a.bin"
    path.write_bytes(whole)
    load_image(path)
    for share in (0.02, 0.3, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ImageError, match=r"a\.bin"):
            load_image(path)


def test_a_png_with_a_changed_byte_is_an_error(tmp_path):
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="checksum"):
        load_image(tmp_path / "a.png")


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "reason"), [(50000, "in only"), (20000, "in only")])
def test_a_bomb_is_refused_by_its_header(tmp_path, monkeypatch, side, reason):
    (tmp_path / "a.png").write_bytes(png_claiming(side, side))
    monkeypatch.setattr(PIL.Image.Image, "load", lambda self: pytest.fail("decoding began"))
    with pytest.raises(ImageError, match=reason):
        load_image(tmp_path / "a.png")


def test_a_tiff_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", samples(8, 8))
    data = (tmp_path / "a.tif").read_bytes()
    for tag in (256, 257):
        data = data.replace(struct.pack("<HHII", tag, 4, 1, 8), struct.pack("<HHII", tag, 4, 1, 30000))
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 8, 0), struct.pack("<HHIHH", tag, 3, 1, 30000, 0))
    (tmp_path / "a.tif").write_bytes(data)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self: pytest.fail("decoding began"))
    with pytest.raises(ImageError, match="30000 x 30000"):
        load_image(tmp_path / "a.tif")


def test_pillows_own_limit_does_not_stop_a_large_photo_and_is_left_as_it_was(tmp_path, monkeypatch):
    PIL.Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    assert load_image(tmp_path / "a.png").width == 40
    assert PIL.Image.MAX_IMAGE_PIXELS == 100


def test_the_content_decides_not_the_extension(tmp_path):
    stored = samples(5, 6, 3)
    PIL.Image.fromarray(stored).save(tmp_path / "a.jpg", "PNG")
    image = load_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(stored_again(image), stored)
    assert image.metadata.format == "PNG"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", b"", "empty"),
        ("a.jpg", b"only text", "known type"),
        ("a.psd", b"8BPS\0\1", "Photoshop"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0", "RAW"),
        ("a.nef", b"MM\0*\0\0\0\x08", "RAW"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201", "RAW"),
        ("a.tif", b"II*\0\xff\xff\xff\x7f", "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        load_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="folder"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((4, 4, 5), {"photometric": "rgb", "planarconfig": "contig"}, "5 channels"),
        ((9, 8, 5), {"photometric": "rgb", "planarconfig": "contig"}, "5 channels"),
        ((4, 4, 3), {"photometric": "cielab"}, "CIELAB"),
    ],
)
def test_other_colours_are_refused(tmp_path, shape, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", samples(*shape), **options)
    with pytest.raises(ImageError, match=reason):
        load_image(tmp_path / "a.tif")


def test_samples_that_are_no_numbers_are_counted_and_refused(tmp_path):
    pixels = np.ones((4, 4), np.float32)
    pixels[1, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(ImageError, match="3 samples"):
        load_image(tmp_path / "a.tif")


# --- what cannot be saved ---


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.gif", {}, "cannot be saved as .gif"),
        ("a", {}, "without suffix"),
        ("a.jpg", {"bits": 16}, "8"),
        ("a.png", {"bits": 32}, "8, 16"),
        ("none/a.png", {}, "does not exist"),
    ],
)
def test_what_a_type_cannot_hold_is_one_clear_error(tmp_path, name, options, reason):
    with pytest.raises(ImageError, match=reason):
        save_image(as_image(samples(4, 4, 3)), tmp_path / name, Encoding(**options))
    assert list(tmp_path.glob("**/*.*")) == []


def test_large_float_values_are_not_clipped_into_a_png(tmp_path):
    image = Image(np.full((4, 4, 1), 5000, np.float32), bits=32, is_float=True, levels=(0.0, 8192.0))
    with pytest.raises(ImageError, match=r"32-bit \.tif"):
        save_image(image, tmp_path / "a.png")


def test_pictures_too_wide_for_the_type_are_refused(tmp_path):
    with pytest.raises(ImageError, match="16383"):
        save_image(as_image(np.zeros((1, 16384, 1), np.uint8)), tmp_path / "a.webp")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    def half(file, *_, **__):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.tif").write_bytes(b"old")
    monkeypatch.setattr(tifffile, "imwrite", half)
    with pytest.raises(ImageError, match="No space left"):
        save_image(as_image(samples(4, 4, 3)), tmp_path / "a.tif")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"old"


def test_nan_is_never_saved(tmp_path):
    with pytest.raises(ImageError, match="not finite"):
        save_image(Image(np.full((2, 2, 1), np.nan, np.float32)), tmp_path / "a.png")


@pytest.mark.parametrize("name", ["ünï 图像 & %s {x} (1).png", "-rf.png", "n" * 250 + ".png"])
def test_awkward_names_work(tmp_path, name):
    save_image(as_image(samples(3, 3, 1)), tmp_path / name)
    assert load_image(tmp_path / name).height == 3


def test_bits_can_be_chosen_and_the_opacity_follows(tmp_path):
    stored = samples(4, 4, 4)
    save_image(as_image(stored), tmp_path / "a.tif", Encoding(bits=16))
    image = load_image(tmp_path / "a.tif")
    assert image.opacity.dtype == np.uint16
    np.testing.assert_array_equal(image.opacity, stored[..., 3].astype(int) * 257)
    save_image(image, tmp_path / "b.png", Encoding(bits=8))
    np.testing.assert_array_equal(load_image(tmp_path / "b.png").opacity, stored[..., 3])


# --- levels ---


@pytest.mark.parametrize("is_float", [False, True])
@pytest.mark.parametrize("low", [0.0, 0.3, -0.4])
@pytest.mark.parametrize("shift", [-7, -4, -1, 3])
def test_levels_scale_with_the_picture(is_float, low, shift):
    pixels = np.random.default_rng(1).uniform(low, 0.47, (80, 90, 3)).astype(np.float32)
    levels = derive_levels(pixels, is_float)
    scaled = derive_levels(pixels * np.float32(2.0**shift), is_float)
    assert scaled == (levels[0] * 2.0**shift, levels[1] * 2.0**shift)


def test_levels_of_12_bits_in_16_are_a_sixteenth():
    pixels = np.linspace(0, 4095, 10000, dtype=np.float32).reshape(100, 100, 1) / 65535
    assert derive_levels(pixels, is_float=False) == (0.0, 1 / 16)


@pytest.mark.parametrize("top", [1.0, 0.25, 2.0**-9])
def test_levels_end_at_a_power_of_two_that_is_just_reached(top):
    assert derive_levels(np.full((5, 5, 1), top, np.float32), is_float=False) == (0.0, top)


@pytest.mark.parametrize(("top", "expected"), [(1.2, 1.0), (1.3, 2.0), (1.0, 1.0), (0.55, 0.5), (4000.0, 4096.0)])
def test_levels_of_floats_allow_noise_to_overshoot(top, expected):
    pixels = np.linspace(0, top, 5000, dtype=np.float32).reshape(50, 100, 1)
    assert derive_levels(pixels, is_float=True) == (0.0, expected)


def test_levels_of_a_pedestal_are_its_range_with_a_margin():
    pixels = np.linspace(0.5, 0.6, 5000, dtype=np.float32).reshape(50, 100, 1)
    assert derive_levels(pixels, is_float=False) == pytest.approx((0.495, 0.605), abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, 1e-6, -2.0])
def test_levels_of_a_flat_picture_have_a_range(value):
    low, high = derive_levels(np.full((5, 5, 1), value, np.float32), is_float=True)
    assert low < high
    assert low <= value


def test_peak_is_1_unless_floats_use_another_unit():
    pixels = np.zeros((2, 2, 1), np.float32)
    assert Image(pixels, bits=16, levels=(0.0, 1 / 16)).peak == 1
    assert Image(pixels, bits=32, is_float=True, levels=(-0.1, 1.1)).peak == 1
    assert Image(pixels, bits=32, is_float=True, levels=(0.0, 4096.0)).peak == 4096


# --- finding, showing, naming ---


def test_folders_give_their_pictures_in_natural_order(tmp_path):
    for name in ("b10.png", "b9.PNG", ".hidden.png", "notes.txt", "in/c.tif", ".in/d.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    odd = tmp_path / "notes.txt"

    assert [path.name for path in find_images([tmp_path])] == ["b9.PNG", "b10.png"]
    assert [path.name for path in find_images([tmp_path], recursive=True)] == ["b9.PNG", "b10.png", "c.tif"]
    assert find_images([odd, tmp_path / "b10.png", odd]) == [odd, tmp_path / "b10.png"]


def test_denoised_path_keeps_types_that_can_be_written(tmp_path):
    assert denoised_path(Path("x/a.b.PNG")) == Path("x/a.b_denoised.PNG")
    assert denoised_path(Path("x/a.heic"), tmp_path) == tmp_path / "a_denoised.tif"
    assert denoised_path(Path("x/a.jpeg")) == Path("x/a_denoised.jpeg")


def test_every_listed_extension_is_lower_case_with_a_dot():
    assert {".jpg", ".png", ".tif", ".webp", ".bmp"} <= EXTENSIONS
    assert all(name.startswith(".") and name == name.lower() for name in EXTENSIONS)


def test_a_thumbnail_averages_areas_and_shows_the_levels():
    checks = np.indices((64, 128)).sum(axis=0)[..., None] % 2 / np.float32(16)
    small = thumbnail(Image(checks.astype(np.float32), bits=16, levels=(0.0, 1 / 16)), 32)
    assert small.shape == (16, 32, 3)
    assert small.dtype == np.uint8
    assert set(np.unique(small)) <= {127, 128}


def test_a_small_picture_is_not_enlarged():
    assert thumbnail(as_image(samples(3, 1, 3)), 100).shape == (3, 1, 3)


def test_input_hash_is_the_sha256_of_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert input_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- HEIC, GIF and files from elsewhere ---


def test_a_heic_is_opened_upright_with_its_exif(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    picture = PIL.Image.fromarray(cv2.resize(samples(4, 6, 3), (96, 64)))
    try:
        heif.from_pillow(picture).save(tmp_path / "a.heic", quality=95, exif=b"Exif\0\0" + exif_block())
    except RuntimeError:
        pytest.skip("this build of libheif cannot write")
    image = load_image(tmp_path / "a.heic")
    assert image.pixels.shape == (64, 96, 3)
    assert np.abs(image.pixels * 255 - np.asarray(picture)).mean() < 6
    exif = PIL.Image.Exif()
    exif.load(image.metadata.exif)
    assert exif.get_ifd(EXIF)[ISO] == 6400


def test_an_animated_gif_gives_its_first_picture_with_a_note(tmp_path):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image = load_image(tmp_path / "a.gif")
    assert image.pixels[0, 0].tolist() == [1, 0, 0]
    assert "first" in image.metadata.notes[0]
