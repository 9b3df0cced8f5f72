"""Colours on the screen: as lcms has them in float, and untouched where there is nothing to convert."""

import io
import struct
import time
from functools import cache

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import screen
from app.jobs import read
from app.screen import to_screen
from engine.color import ProfileError, check_screen, conversion, flaw, profile_name
from engine.encode import save_image
from engine.image import Image, load_image, thumbnail
from engine.metadata import Metadata

D50, D65 = [0.3457, 0.3585, 1], [0.3127, 0.3290, 1]
PRIMARIES = {
    "adobe": (D65, [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1], 563 / 256),
    "prophoto": (D50, [0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1], 1.8),
    "p3": (D65, [0.680, 0.320, 1, 0.265, 0.690, 1, 0.150, 0.060, 1], 2.2),
    "linear rec2020": (D65, [0.708, 0.292, 1, 0.170, 0.797, 1, 0.131, 0.046, 1], 1.0),
}
SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


@cache
def profile(name: str) -> bytes:
    if name == "table":
        return table_profile()
    white, primaries, gamma = PRIMARIES[name]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=gamma))


def grey_profile(gamma: float) -> bytes:
    return bytes(imagecodecs.cms_profile("gray", gamma=gamma, whitepoint=D50))


def table_profile(points: int = 17) -> bytes:
    """A profile of RGB that is a table of colours, as those of scanners are: wide primaries, gamma 2, as Lab."""
    axis = np.linspace(0, 1, points)
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    matrix = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    xyz = rgb**2 @ matrix.T / (0.9642, 1, 0.8249)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    lab = np.stack([(116 * y - 16) / 100 * 65280, (500 * (x - y) + 128) * 256, (200 * (y - z) + 128) * 256], 1)
    straight = struct.pack(">HH", 0, 65535) * 3
    one = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = lab.clip(0, 65535).round().astype(">u2").tobytes()
    tags = {
        b"A2B0": b"mft2\0\0\0\0"
        + bytes([3, 3, points, 0])
        + one
        + struct.pack(">HH", 2, 2)
        + straight
        + table
        + straight,
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 8) + b"Scanner\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"cprt": b"text\0\0\0\0none\0",
    }
    index, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        index += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"scnr", b"RGB ", b"Lab ")
    head = (head + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp").ljust(68, b"\0")
    return (head + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0") + index + body


def exact(samples: np.ndarray, source: bytes, target: bytes, space: str = "rgb") -> np.ndarray:
    """What lcms says in float, on a scale of 255."""
    flags = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION
    floats = np.ascontiguousarray(samples, np.float32)
    found = imagecodecs.cms_transform(
        floats, source, target, colorspace=space, outcolorspace="rgb", outdtype="f4", intent=1, flags=flags
    )
    return np.clip(found, 0, 1) * 255


def colours(count: int = 20_000, seed: int = 0) -> np.ndarray:
    """(100, n, 3) float32 of every kind, dark ones above all."""
    rng = np.random.default_rng(seed)
    samples = rng.random((100, count // 100, 3)) ** rng.choice([0.5, 1, 3], (100, count // 100, 1))
    samples[:5] = samples[:5, :, :1]
    return (np.rint(samples * 65535) / 65535).astype(np.float32)


def tagged(pixels: np.ndarray, icc: bytes | None, **more) -> Image:
    return Image(pixels, metadata=Metadata(icc=icc), **more)


@pytest.fixture(autouse=True)
def _on_srgb():
    yield
    screen.use_profile("")


@pytest.mark.parametrize("name", PRIMARIES)
def test_a_wide_picture_is_shown_in_the_colours_that_its_profile_says(name):
    pixels = colours()
    shown = screen.shown(tagged(pixels, profile(name)))
    assert np.abs(shown - exact(pixels, profile(name), SRGB)).max() < 0.6
    assert np.abs(shown - pixels * 255).max() > 20  # it matters


def test_a_profile_that_is_a_table_of_colours_is_within_two_levels():
    pixels = colours()
    shown = screen.shown(tagged(pixels, profile("table")))
    error = np.abs(shown - exact(pixels, profile("table"), SRGB))
    assert error.max() < 2.5
    assert np.mean(error > 1) < 0.01
    assert profile_name(profile("table")) == "Scanner"


@pytest.mark.parametrize("name", ["adobe", "prophoto"])
def test_colours_agree_with_those_of_pillow(name):
    # Of 8 bits, and no darker than where its steps of 8 bits are finer than those of sRGB.
    pixels = np.random.default_rng(1).integers(60, 200, (64, 64, 3)).astype(np.uint8)
    pixels[..., 1] = pixels.max(axis=2)
    picture = PIL.Image.fromarray(pixels)
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile(name)))
    expected = PIL.ImageCms.profileToProfile(
        picture, source, PIL.ImageCms.createProfile("sRGB"), PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    inside = exact(pixels / 255, profile(name), SRGB)
    inside = ((inside > 4) & (inside < 251)).all(axis=2)
    shown = screen.shown(tagged(pixels.astype(np.float32) / 255, profile(name)))
    assert np.abs(shown.astype(int) - np.asarray(expected))[inside].max() <= 2
    assert inside.sum() > 500


@pytest.mark.parametrize("icc", [None, SRGB, bytes(imagecodecs.cms_profile("srgb"))])
@pytest.mark.parametrize("channels", [1, 3])
def test_srgb_and_untagged_pictures_are_shown_sample_for_sample(icc, channels):
    if icc and channels == 1:
        icc = None
    pixels = colours()[..., :channels] * 1.2 - 0.1
    image = tagged(pixels, icc, levels=(0.05, 0.8))
    assert screen.conversion_of(image) is None
    expected = np.clip(np.rint((pixels - np.float32(0.05)) * (255 / (0.8 - 0.05))), 0, 255)
    assert np.abs(screen.shown(image) - expected).max() <= 1
    assert np.array_equal(screen.shown(image), to_screen(pixels, image.levels))
    assert np.array_equal(screen.thumbnail(image, 50), thumbnail(image, 50))


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_grey_goes_by_its_profile_and_stays_grey(gamma):
    pixels = np.linspace(0, 1, 256 * 9, dtype=np.float32).reshape(9, 256, 1)
    shown = screen.shown(tagged(pixels, grey_profile(gamma)))
    assert shown.shape == pixels.shape
    assert np.abs(shown - exact(pixels[..., 0], grey_profile(gamma), SRGB, "gray")[..., 1:2]).max() < 0.6


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([*PRIMARIES, "table", "grey"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(-1, 1),
    st.floats(0.1, 4),
)
def test_a_part_is_shown_as_it_is_in_the_whole(name, height, width, black, span):
    """So that cells and the whole picture, drawn at different times, meet without an edge."""
    rng = np.random.default_rng(height * 41 + width)
    channels, icc = (1, grey_profile(1.8)) if name == "grey" else (3, profile(name))
    pixels = (rng.random((height + 5, width + 3, channels)) * 1.4 * span + black).astype(np.float32)
    image = tagged(pixels, icc, levels=(black, black + span))
    whole = screen.shown(image)
    part = to_screen(pixels[2 : 2 + height, 1 : 1 + width], image.levels, screen.conversion_of(image))
    assert np.array_equal(part, whole[2 : 2 + height, 1 : 1 + width])


def test_a_linear_picture_has_no_bands_in_its_shadows():
    """With 8 bits in between, the darkest 50 levels of the screen would come from 8 samples."""
    ramp = np.repeat(np.linspace(0, 0.03, 3000, dtype=np.float32)[None, :, None], 3, 2)
    shown = screen.shown(tagged(ramp, profile("linear rec2020"), bits=16))
    assert len(np.unique(shown[..., 1])) == shown[0, -1, 1] + 1 > 45


def test_the_screens_profile_changes_what_is_sent_to_it(tmp_path):
    path = tmp_path / "screen.icc"
    path.write_bytes(profile("p3"))
    pixels = colours()
    screen.use_profile(str(path))
    untagged = screen.shown(tagged(pixels, None))
    assert np.abs(untagged - exact(pixels, SRGB, profile("p3"))).max() < 1.5
    own = screen.shown(tagged(pixels, profile("p3")))
    assert np.abs(own - pixels * 255).max() <= 0.6
    grey = screen.shown(tagged(pixels[..., :1], None))
    assert np.abs(grey - exact(np.repeat(pixels[..., :1], 3, 2), SRGB, profile("p3"))).max() < 1.5
    screen.use_profile("")
    assert screen.conversion_of(tagged(pixels, None)) is None


def test_a_profile_of_a_screen_is_refused_in_one_sentence(tmp_path):
    text, grey = tmp_path / "notes.icc", tmp_path / "grey.icc"
    text.write_text("no profile" * 100)
    grey.write_bytes(grey_profile(2.2))
    broken = tmp_path / "broken.icc"
    broken.write_bytes(profile("adobe")[:200] + bytes(400))
    for path, reason in (
        (text, "is no colour profile"),
        (grey, "for no screen"),
        (broken, "is damaged"),
        (tmp_path / "gone.icc", "cannot be read"),
    ):
        with pytest.raises(ProfileError, match=f"^{path.name} .*{reason}"):
            screen.use_profile(str(path))
        assert screen.conversion_of(tagged(colours(), None)) is None  # sRGB then
    with pytest.raises(ProfileError, match="damaged, or no screen's"):
        check_screen(profile("table"), "table.icc")  # the way back from colours to samples is missing


def test_a_damaged_profile_is_said_and_taken_as_srgb(tmp_path):
    path, broken = tmp_path / "a.png", profile("adobe")[:200] + bytes(400)
    pixels = (colours()[:32, :32] * 255).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(path, icc_profile=broken)
    image = load_image(path)
    assert image.metadata.icc == broken  # written back as it came
    assert image.metadata.notes == (
        "The colour profile of a.png cannot be used, it is damaged; its colours are shown as sRGB",
    )
    assert np.array_equal(screen.shown(image), pixels)


def test_a_profile_for_another_kind_of_colour_changes_nothing():
    assert flaw(profile("adobe"), 1) == "it is for another kind of colour"
    assert conversion(profile("adobe"), 1) is None
    assert conversion(grey_profile(1.0), 3) is None


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*PRIMARIES, "table"]), st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=9)
)
def test_no_damage_to_a_profile_stops_a_picture_from_being_shown(name, changes):
    damaged = bytearray(profile(name)[:30_000])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    pixels = colours(200)[:, :1]
    assert screen.shown(tagged(pixels, bytes(damaged))).shape == pixels.shape
    profile_name(bytes(damaged))


def test_before_and_thumbnail_agree():
    pixels = np.repeat(np.repeat(colours()[:4, :6], 16, 0), 16, 1)
    image = tagged(pixels, profile("prophoto"), bits=16)
    picture, small = list(read(None, image, None, False))
    assert np.abs(picture.shown.pixels - exact(pixels, profile("prophoto"), SRGB)).max() < 0.6
    assert np.array_equal(small, picture.shown.pixels)  # 96 x 64: nothing to average


def test_a_wide_picture_costs_little_more_to_show():
    pixels = colours(1_000_000)
    image = tagged(pixels, profile("adobe"))
    screen.shown(image)
    began = time.perf_counter()
    screen.shown(image)
    assert time.perf_counter() - began < 0.2  # 0.013 s where nothing else runs: 24 megapixels in a third of a second


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".jxl"])
@pytest.mark.parametrize("name", ["adobe", "prophoto", "table"])
def test_colours_become_srgb_where_a_file_has_no_room_for_their_profile(tmp_path, suffix, name):
    pixels = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32) * 0.5 + 0.25
    image = Image(pixels, metadata=Metadata(icc=profile(name)))
    save_image(image, tmp_path / f"a{suffix}")
    found = np.rint(load_image(tmp_path / f"a{suffix}").pixels * 255)
    eight = PIL.Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile(name)))
    flags = PIL.ImageCms.Flags.BLACKPOINTCOMPENSATION
    meant = PIL.ImageCms.profileToProfile(eight, source, PIL.ImageCms.createProfile("sRGB"), 1, flags=flags)
    # Pillow converts what was rounded to 8 bits before, and less exactly at the edge of what sRGB can show.
    assert np.percentile(np.abs(found - np.asarray(meant, float)), 99) <= 3
    assert np.abs(found - np.asarray(meant, float)).mean() < 0.6
    assert np.abs(found - np.rint(pixels * 255)).max() > 5


@pytest.mark.parametrize(
    ("icc", "suffix", "is_float"), [(SRGB, ".bmp", False), ("adobe", ".pfm", True), ("adobe", ".tif", False)]
)
def test_values_stay_where_the_profile_is_srgb_or_has_room_or_floats_are_meant(tmp_path, icc, suffix, is_float):
    icc = profile(icc) if isinstance(icc, str) else icc
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.float32) / np.float32(255)
    image = Image(pixels, is_float=is_float, bits=32 if is_float else 8, metadata=Metadata(icc=icc))
    save_image(image, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(load_image(tmp_path / f"a{suffix}").pixels, pixels)
