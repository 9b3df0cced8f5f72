"""RAW files are opened upright with what the camera noted, developed as documented, or refused in one sentence."""

import dataclasses
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from dng import BLACK, WHITE, recorded, samples_of, write_dng
from hypothesis import given, settings
from hypothesis import strategies as st
from opened import install_models

from app import cli
from conftest import picture
from engine import scratch
from engine.develop import XYZ_TO_SRGB, Develop, DevelopError, from_srgb, settle, to_srgb
from engine.encode import save_image
from engine.image import EXTENSIONS, ImageError, load_image
from engine.metadata import Field, append_exif, pack_exif, read_directories
from engine.mosaic import PATTERNS, Mosaic
from engine.profile import LINEAR_SRGB, SRGB
from engine.raw import redeveloped

GREY = np.full((48, 64, 3), 0.2)


def card(light=(0.2, 0.2, 0.2), height=48, width=64) -> np.ndarray:
    return np.broadcast_to(np.array(light, float), (height, width, 3))


@pytest.fixture
def scene():
    return from_srgb(picture(64, 80).astype(np.float32)).astype(float)


# ---- Opening ----


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_filter_and_orientation_gives_the_same_upright_picture(tmp_path, scene, pattern, orientation):
    stored = scene[:, ::-1] if orientation in (2, 4, 5, 7) else scene
    stored = np.rot90(stored, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation])
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(stored, pattern)), pattern, orientation=orientation)
    image = load_image(path)
    assert image.pixels.shape == (64, 80, 3)
    assert (image.bits, image.is_float, image.is_raw, image.levels) == (16, False, True, (0.0, 1.0))
    assert np.sqrt(np.mean((image.pixels - to_srgb(scene.astype(np.float32))) ** 2)) < 0.08
    assert image.mosaic is not None
    assert np.allclose(image.mosaic.pixels, recorded(scene, image.mosaic.pattern), atol=1e-3)


def test_a_sensor_with_odd_sides_is_cut_to_whole_cells(tmp_path, scene):
    samples = samples_of(recorded(scene))
    image = load_image(write_dng(tmp_path / "a.dng", samples[:-1, :-1]))
    assert image.pixels.shape == (62, 78, 3)


def test_a_raw_file_is_told_by_its_content_and_listed_by_its_suffix(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(GREY)))
    other = path.rename(tmp_path / "a.tif")
    assert load_image(other).is_raw
    assert {".dng", ".cr2", ".nef", ".arw", ".raf"} <= EXTENSIONS


def test_what_the_camera_noted_reaches_the_saved_tiff(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(GREY)), orientation=6)
    noted = {
        34855: Field(3, 1, b"\0\x19"),
        36867: Field(2, 20, b"2021:03:04 05:06:07\0"),
        37500: Field(7, 9, b"its notes"),
        40961: Field(3, 1, b"\xff\xff"),
    }
    with path.open("rb+") as file:
        append_exif(file, pack_exif({}, noted, {}))
    image = load_image(path)
    save_image(image, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].dtype == np.uint16
        assert file.pages[0].shape == (64, 48, 3)
    parts = read_directories(io.BytesIO(load_image(tmp_path / "b.tif").metadata.exif))
    assert parts.first[271].values == b"Maker\0"
    assert parts.first[272].values == b"Model 1\0"
    assert parts.first[274].numbers() == [1]
    assert parts.exif[34855].numbers() == [6400]
    assert parts.exif[36867].values == b"2021:03:04 05:06:07\0"
    # Maker notes hold positions in the RAW file, and the colours are no longer the camera's.
    assert not {37500, 40961} & set(parts.exif)


def test_what_another_program_was_told_to_develop_it_by_is_not_applied_again(tmp_path):
    said = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:crs="c" xmp:Rating="4"%s><dc:title>Night</dc:title>%s</rdf:Description></rdf:RDF>'
        b"</x:xmpmeta>"
    )
    curve = b"<crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurve>"
    packet = said % (b' crs:Exposure2012="+1.35" crs:HasSettings="True"', curve)
    tag = (700, 1, len(packet), packet, True)
    image = load_image(write_dng(tmp_path / "a.dng", samples_of(recorded(GREY)), more=[tag]))
    assert image.metadata.xmp == said % (b"", b"")


def test_noise_below_black_is_not_cut_off(tmp_path):
    noise = 0.01 * np.random.default_rng(0).standard_normal(GREY.shape[:2])
    image = load_image(write_dng(tmp_path / "a.dng", samples_of(noise)))
    assert (image.mosaic.pixels < 0).mean() > 0.4
    assert (image.pixels < 0).mean() > 0.3


# ---- Developing ----


def test_linear_pictures_are_proportional_to_light_and_say_so_in_their_profile(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(card((0.4, 0.2, 0.1)))))
    image = load_image(path, develop=Develop(curve="linear"))
    assert np.allclose(image.pixels, (0.4, 0.2, 0.1), atol=1e-3)
    assert image.metadata.icc == LINEAR_SRGB
    brighter = load_image(path, develop=Develop(curve="linear", exposure=1.0))
    assert np.allclose(brighter.pixels, 2 * image.pixels)
    shown = load_image(path)
    assert np.allclose(shown.pixels, to_srgb(image.pixels), atol=1e-6)
    assert shown.metadata.icc == SRGB


@pytest.mark.parametrize("profile", [SRGB, LINEAR_SRGB])
def test_the_profiles_are_read_by_a_colour_engine_as_what_they_are(profile):
    import PIL.Image
    import PIL.ImageCms

    given = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    patch = PIL.Image.new("RGB", (1, 1), (128, 64, 200))
    found = PIL.ImageCms.profileToProfile(patch, given, PIL.ImageCms.createProfile("sRGB")).getpixel((0, 0))
    samples = np.array([[[128, 64, 200]]], np.float32) / 255
    meant = samples if profile == SRGB else to_srgb(samples)
    assert np.abs(np.array(found) - 255 * meant.ravel()).max() <= 1.5


def test_white_balance_is_the_camera_s_daylight_s_the_mean_s_or_by_numbers(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(card((0.3, 0.2, 0.1)))))

    def mean(white):
        return load_image(path, develop=Develop(white, curve="linear")).pixels.mean((0, 1))

    assert np.allclose(mean("camera"), (0.3, 0.2, 0.1), atol=1e-3)
    assert np.ptp(mean("auto")) < 1e-3
    # The card as this camera sees it: 0.15, 0.2, 0.065; its colours are sRGB's, so daylight changes nothing.
    assert np.allclose(mean("daylight"), (0.15, 0.2, 0.065), atol=1e-3)
    assert np.allclose(mean("4, 2, 2"), (0.3, 0.2, 0.065), atol=1e-3)


@pytest.mark.parametrize("white", ["sunny", "", "1,2", "0,1,1", "1.2.3,1,1", "1,1,1,1", "-1,1,1"])
def test_a_white_balance_that_makes_no_sense_is_refused(white):
    with pytest.raises(DevelopError, match="three multipliers"):
        Develop(white)


@pytest.mark.parametrize("wrong", [{"exposure": 9.0}, {"exposure": float("nan")}, {"curve": "log"}, {"domain": "both"}])
def test_a_development_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(DevelopError):
        Develop(**wrong)


@pytest.mark.parametrize("white", [WHITE, 5000])
def test_what_is_saturated_is_white_also_below_the_white_level(tmp_path, white):
    samples = np.full((64, 64), BLACK + 100)
    samples[:, 32:] = WHITE
    image = load_image(write_dng(tmp_path / "a.dng", samples, white=white))
    assert np.allclose(image.pixels[:, 40:], 1, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_part_of_the_mosaic_developed_alone_is_that_part_of_the_whole(data):
    pixels = np.random.default_rng(0).random((40, 44), np.float32)
    pattern = data.draw(st.sampled_from(PATTERNS))
    matrix = XYZ_TO_SRGB + 0.1 * np.eye(3)
    camera = Mosaic(pixels, pattern, np.array([0.5, 1.0, 0.6]), matrix)
    pipeline = settle(camera, Develop(exposure=0.5))
    top, left = (2 * data.draw(st.integers(0, 8)) for _ in "yx")
    bottom, right = (2 * data.draw(st.integers(12, 20)) for _ in "yx")
    part = pipeline.develop(pixels[top:bottom, left:right])
    # Where the part ends inside the picture, the demosaicing misses two pixels.
    inner = np.s_[2 * (top > 0) : bottom - top - 2 * (bottom < 40), 2 * (left > 0) : right - left - 2 * (right < 44)]
    assert np.allclose(part[inner], pipeline.develop(pixels)[top:bottom, left:right][inner], atol=1e-6)


def test_the_curve_and_its_inverse_agree_also_below_black_and_above_white():
    values = np.linspace(-0.5, 1.5, 601, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2)
    assert np.allclose(from_srgb(to_srgb(values)), values, atol=1e-5)


def test_a_picture_is_developed_anew_without_its_file(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(card((0.3, 0.2, 0.1)))))
    how = Develop("auto", -1.0, "linear", "picture")
    anew, image = load_image(path, develop=how), load_image(path)
    path.unlink()
    again = redeveloped(image, how)
    assert np.array_equal(again.pixels, anew.pixels)
    assert again.metadata == anew.metadata
    assert again.develop == how
    # Where it is denoised does not change how it looks.
    assert redeveloped(image, replace(image.develop, domain="picture")).pixels is image.pixels


# ---- What has no plain mosaic ----


def write_linear(path, light):
    """A linear DNG: all colours of each pixel."""
    tags = [
        (50706, 1, 4, b"\x01\x04\0\0", False),
        (50714, 3, 3, (BLACK,) * 3, False),
        (50717, 3, 3, (WHITE,) * 3, False),
    ]
    samples = (BLACK + light * (WHITE - BLACK)).round().astype(np.uint16)
    with tifffile.TiffWriter(path) as file:
        file.write(samples, photometric=34892, planarconfig="contig", extratags=tags, metadata=None, software=False)
    return path


def test_a_large_picture_is_developed_into_a_file(tmp_path, home, monkeypatch):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(GREY)))
    whole = load_image(path)
    filed = []
    make = scratch.filed
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    monkeypatch.setattr(scratch, "filed", lambda *asked: filed.append(asked) or make(*asked))
    np.testing.assert_array_equal(load_image(path).pixels, whole.pixels)
    redeveloped(whole, Develop(exposure=1.0))
    assert filed == [((48, 64, 3), np.float32)] * 2


def test_a_linear_dng_is_developed_and_says_why_it_has_no_mosaic(tmp_path):
    light = np.tile(np.linspace(0, 1, 64)[None, :, None], (48, 1, 3))
    path = write_linear(tmp_path / "a.dng", light)
    image = load_image(path, develop=Develop(curve="linear"))
    assert image.mosaic is None
    assert image.is_raw
    assert "cannot be denoised on the mosaic: it holds all colours of each pixel" in image.metadata.notes[0]
    assert np.allclose(image.pixels, light, atol=0.01)
    darker = load_image(path, develop=Develop(curve="linear", exposure=-1.0))
    assert np.allclose(darker.pixels, image.pixels / 2, atol=1e-4)


# ---- Broken files ----


def refused(path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    sentence = str(caught.value)
    assert sentence.startswith(path.name)
    assert "\n" not in sentence
    return sentence


def test_a_frame_of_nothing_is_refused(tmp_path):
    assert "all of its pixels have the value 0" in refused(write_dng(tmp_path / "a.dng", np.zeros((48, 64))))


def test_a_frame_that_ends_in_nothing_is_refused_and_single_rows_are_noted(tmp_path):
    samples = samples_of(recorded(card(height=100)))
    samples[50:] = 0
    assert "50 of its 100 rows hold nothing" in refused(write_dng(tmp_path / "a.dng", samples))
    samples = samples_of(recorded(card(height=100)))
    samples[98:] = 0
    assert "2 rows of b.dng hold nothing" in load_image(write_dng(tmp_path / "b.dng", samples)).metadata.notes[0]


def test_a_file_that_claims_more_than_it_holds_is_refused_before_it_is_decoded(tmp_path):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(GREY)))
    with tifffile.TiffFile(path) as file:
        places = [file.pages[0].tags[tag].valueoffset for tag in (256, 257)]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place : place + 2] = (20000).to_bytes(2, "little")
    path.write_bytes(data)
    assert "claims 20000 x 20000 pixels" in refused(path)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_one_sentence(tmp_path, share):
    path = write_dng(tmp_path / "a.dng", samples_of(recorded(card(height=200, width=200))))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path)


def test_the_files_of_cameras_open_or_are_one_sentence(data):
    broken = sorted((data / "raw/broken").iterdir())
    assert len(broken) == 5
    for path in broken:
        refused(path)
    for path in (path for path in (data / "raw").rglob("*") if path.suffix in (".CR2", ".KDC", ".raw", ".dng")):
        if path.parent.name != "broken":
            image = load_image(path)
            assert 0.2 < image.pixels.mean() < 0.6
            assert np.isfinite(image.pixels).all()
    canon = load_image(data / "raw/canon_eos30d_iso640.CR2")
    parts = read_directories(io.BytesIO(canon.metadata.exif))
    assert parts.first[272].values == b"Canon EOS 30D\0"
    assert parts.exif[34855].numbers() == [640]


# ---- The command line ----


def test_the_command_line_saves_a_raw_file_as_16_bit_tiff_with_its_metadata(tmp_path):
    install_models()
    noisy = recorded(from_srgb(picture(96, 128).astype(np.float32)))
    noisy += 0.02 * np.random.default_rng(0).standard_normal(noisy.shape)
    path = write_dng(tmp_path / "a.dng", samples_of(noisy))
    (tmp_path / "out").mkdir()
    assert cli.main(["denoise", str(path), "-o", str(tmp_path / "out/a.tif"), "--sidecar"]) == 0
    saved = load_image(tmp_path / "out/a.tif")
    assert (saved.bits, saved.is_raw) == (16, False)
    assert read_directories(io.BytesIO(saved.metadata.exif)).first[271].values == b"Maker\0"
    assert '"domain": "mosaic"' in (tmp_path / "out/a.tif.json").read_text()


@pytest.mark.parametrize("domain", ["mosaic", "picture"])
def test_the_sidecar_says_how_a_raw_file_was_developed(tmp_path, domain):
    install_models()
    light = recorded(from_srgb(picture(96, 128).astype(np.float32)))
    light += 0.02 * np.random.default_rng(0).standard_normal(light.shape)
    path, out = write_dng(tmp_path / "a.dng", samples_of(light)), tmp_path / "a.tif"
    given = ["denoise", str(path), "-o", str(out), "--sidecar", "--exposure", "0.5", "--domain", domain]
    assert cli.main(given) == 0
    made = json.loads((tmp_path / "a.tif.json").read_text())["params"]["develop"]
    assert made == {"white": "camera", "exposure": 0.5, "curve": "srgb", "domain": domain}


def test_what_is_set_for_developing_stays_json(tmp_path):
    how = Develop("2.1,1,1.6", -0.5, "linear", "picture")
    assert Develop(**json.loads(json.dumps(dataclasses.asdict(how)))) == how
