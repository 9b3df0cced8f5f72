"""Pictures as people have them: opened, denoised, saved and opened again, nothing lost."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from app import cli
from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.encode import TYPES, Encoding, FileType, save_image
from engine.image import Image, load_image
from engine.metadata import Metadata
from engine.pairs import find_reference
from models import checkpoint


@pytest.fixture(autouse=True)
def models():
    for channels, name in ((1, "grey"), (3, "color")):
        save_checkpoint(replace(checkpoint(channels), name=name), paths.models() / f"{name}.safetensors")


def noisy(height=64, width=80, channels=3):
    clean = picture(height, width)[..., :channels]
    return np.clip(clean + 0.06 * np.random.default_rng(0).standard_normal(clean.shape), 0, 1)


def denoise(source: Path, target: Path, *more) -> int:
    return cli.main(["denoise", str(source), "-o", str(target), "--sigma", "15", "--passes", "2", *more])


def test_a_16_bit_png_stays_16_bit(tmp_path):
    pixels = (noisy() * 65535).round().astype(np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    raw = cv2.imdecode(np.fromfile(tmp_path / "b.png", np.uint8), cv2.IMREAD_UNCHANGED)
    assert raw.dtype == np.uint16
    assert raw.shape == (64, 80, 3)
    assert len(np.unique(raw)) > 5000


def test_a_grey_picture_stays_grey(tmp_path):
    Pillow.fromarray((noisy(channels=1)[..., 0] * 255).round().astype(np.uint8)).save(tmp_path / "a.png")
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    with Pillow.open(tmp_path / "b.png") as saved:
        assert saved.mode == "L"


def test_transparency_comes_through_untouched(tmp_path):
    alpha = np.linspace(0, 255, 64 * 80).reshape(64, 80, 1)
    pixels = np.concatenate([noisy() * 255, alpha], -1).round().astype(np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    assert denoise(tmp_path / "a.png", tmp_path / "b.png") == 0
    with Pillow.open(tmp_path / "b.png") as picture_:
        saved = np.asarray(picture_)
    assert saved.shape == (64, 80, 4)
    assert np.array_equal(saved[..., 3], pixels[..., 3])


def test_a_12_bit_picture_in_a_16_bit_file_gives_the_same_result(tmp_path):
    full = (noisy() * 4095).round().astype(np.uint16)
    for name, scale in (("full", 16), ("twelve", 1)):
        (tmp_path / f"{name}.png").write_bytes(cv2.imencode(".png", full * scale)[1].tobytes())
        assert denoise(tmp_path / f"{name}.png", tmp_path / f"{name}_out.png") == 0
    one, other = (load_image(tmp_path / f"{name}_out.png").pixels for name in ("full", "twelve"))
    # A 16-bit file has room above 4095; what overshoots there was clipped in the other.
    assert np.abs(one - np.minimum(other * 16, 1)).max() < 1.5 * 16 / 65535


@pytest.mark.slow
def test_a_whole_camera_jpeg_keeps_its_exif(data, tmp_path):
    source = min((data / "real/highiso_full").glob("*_Real.JPG"), key=lambda path: path.stat().st_size)
    target = tmp_path / "out.jpg"
    assert denoise(source, target) == 0
    with Pillow.open(source) as before, Pillow.open(target) as after:
        assert after.size == before.size
        # Exposure time, aperture, ISO
        tags = [
            [shot.getexif().get_ifd(0x8769).get(tag) for tag in (0x829A, 0x829D, 0x8827)] for shot in (before, after)
        ]
    assert tags[0] == tags[1]
    assert any(tag is not None for tag in tags[0])


def test_camera_crops_find_their_reference(data, tmp_path, capsys):
    source = next(iter(sorted((data / "real/polyu").glob("*_real.JPG"))))
    reference = find_reference(source)
    assert reference is not None
    assert reference.stem == source.stem.replace("_real", "_mean")
    assert denoise(source, tmp_path / "o.jpg", "--reference", str(reference)) == 0
    assert "PSNR" in capsys.readouterr().out
    assert load_image(tmp_path / "o.jpg").pixels.shape == load_image(source).pixels.shape


# --- every type, at every depth, with opacity and profile ---

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EVERY = [
    pytest.param(kind, bits, channels, icc, id=f"{kind.suffixes[0]}-{bits}-{channels}{'-icc' * bool(icc)}")
    for kind in TYPES
    for bits in kind.bits
    for channels in (1, 2, 3, 4)
    for icc in (None, ICC)
    if channels > 2 or not icc
]


def share(opacity: np.ndarray) -> np.ndarray:
    """Opacity in [0, 1]."""
    return opacity if opacity.dtype.kind == "f" else opacity / np.iinfo(opacity.dtype).max


@pytest.mark.parametrize(("kind", "bits", "channels", "icc"), EVERY)
def test_each_type_keeps_samples_opacity_and_profile_at_each_depth(tmp_path, kind: FileType, bits, channels, icc):
    rng = np.random.default_rng(bits)
    depth, colours, shape = {8: 8, 32: 32}.get(bits, 16), 3 if channels > 2 else 1, (24, 36)
    white = np.float32(1 if bits == 32 else (1 << bits) - 1)
    stored = rng.normal(0.5, 1, (*shape, colours)) if bits == 32 else rng.integers(0, 1 << bits, (*shape, colours))
    opacity = None
    if channels in (2, 4):
        opacity = rng.random(shape, np.float32)
        if bits != 32:
            opacity = np.rint(opacity * (2.0**depth - 1)).astype(f"u{depth // 8}")
        opacity[0], opacity[1] = 0, 1 if bits == 32 else np.iinfo(opacity.dtype).max
    pixels = stored.astype(np.float32) / white
    image = Image(pixels, bits=depth, is_float=bits == 32, opacity=opacity, metadata=Metadata(icc=icc))
    path = tmp_path / f"a{kind.suffixes[0]}"
    save_image(image, path, Encoding(bits=bits, lossless=True if kind.lossless is None else None))

    again = load_image(path)
    assert (again.bits, again.is_float) == (depth, bits == 32)
    if kind.lossless is not False:
        np.testing.assert_array_equal(again.pixels[..., :colours], pixels)
    if opacity is not None and "opacity" in kind.holds:
        assert again.opacity is not None
        assert np.abs(share(again.opacity) - share(opacity)).max() <= 0.5 / ((1 << min(bits, 16)) - 1) + 1e-9
        # What is opaque stays so to the last bit, or a border would shine through.
        np.testing.assert_array_equal(again.opacity[:2], opacity[:2])
    if "colour profile" in kind.holds:
        assert again.metadata.icc == icc


@pytest.mark.parametrize("kind", ["jp2", "jxl", "avif"])
@pytest.mark.parametrize("bits", [10, 12])
def test_what_is_opaque_at_10_or_12_bits_is_opaque_in_any_other_type(tmp_path, kind, bits):
    white = (1 << bits) - 1
    stored = np.random.default_rng(0).integers(0, white + 1, (30, 40, 4)).astype(np.uint16)
    stored[0, :, 3], stored[1, :, 3] = white, 0
    encode = {
        "jp2": lambda: imagecodecs.jpeg2k_encode(stored, level=0, bitspersample=bits, codecformat="jp2"),
        "jxl": lambda: imagecodecs.jpegxl_encode(stored, lossless=True, bitspersample=bits),
        "avif": lambda: imagecodecs.avif_encode(stored, level=100, bitspersample=bits),
    }
    (tmp_path / f"a.{kind}").write_bytes(encode[kind]())
    assert denoise(tmp_path / f"a.{kind}", tmp_path / "b.png") == 0
    raw = cv2.imdecode(np.fromfile(tmp_path / "b.png", np.uint8), cv2.IMREAD_UNCHANGED)
    assert (raw[0, :, 3].min(), raw[1, :, 3].max()) == (65535, 0)
    np.testing.assert_array_equal(np.rint(raw[..., 3] / 65535 * white), stored[..., 3])


# --- how a camera was held, and where ---

TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}
"""How an upright picture is stored for each orientation."""

CARRYING = [kind.suffixes[0] for kind in TYPES if "EXIF data" in kind.holds]
PLACE = b' exif:GPSLatitude="52,30.2N" exif:GPSLongitude="13,24.6E"'
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmp:Rating="4"%s/></rdf:RDF></x:xmpmeta>'
)


def photograph(path: Path, orientation: int = 1) -> np.ndarray:
    """Store a noisy picture (64, 80, 3) as a camera held so would; the upright samples."""
    upright = (noisy() * 255).round().astype(np.uint8)
    exif = Pillow.Exif()
    exif[271], exif[274] = "Maker", orientation
    exif.get_ifd(0x8769)[34855] = 6400
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 12.5), 3: "E", 4: (13.0, 24.0, 36.0)})
    stored = Pillow.fromarray(np.ascontiguousarray(TURNS[orientation](upright)))
    options = {"quality": 100, "subsampling": 0 if path.suffix == ".jpg" else "4:4:4", "lossless": True}
    stored.save(path, exif=exif, **({"xmp": XMP % PLACE} if path.suffix in (".jpg", ".webp") else {}), **options)
    return upright


@pytest.mark.parametrize(
    ("source", "suffix"),
    [(".jpg", suffix) for suffix in CARRYING] + [(s, s) for s in (".png", ".tif", ".webp", ".avif")],
)
def test_a_batch_turns_each_of_the_eight_orientations_upright_once(tmp_path, source, suffix):
    (tmp_path / "in").mkdir()
    for orientation in TURNS:
        upright = photograph(tmp_path / f"in/{orientation}{source}", orientation)
    # Of strength 0 nothing is left but how it is turned.
    given = ["--format", suffix, "--quality", "100", "--strength", "0"]
    given += [] if suffix in (".jpg", ".tif", ".png") else ["--lossless"]
    assert denoise(tmp_path / "in", tmp_path / "out", *given) == 0
    for orientation in TURNS:
        path = tmp_path / f"out/{orientation}_denoised{suffix}"
        again = load_image(path)
        found = np.rint(again.pixels * 255)
        assert found.shape == upright.shape
        assert np.abs(found - upright).mean() < (1 if {".jpg", ".avif"} & {source, suffix} else 1e-9)
        if suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
            with Pillow.open(path) as shown:
                assert shown.getexif().get(274, 1) == 1
                assert shown.size == (80, 64)
    # Nor is it turned when it is denoised again, where what is lost by quality 95 is less than by any turn.
    assert denoise(tmp_path / "out", tmp_path / "again", "--strength", "0", "--no-journal") == 0
    for path in (tmp_path / "again").iterdir():
        assert np.abs(np.rint(load_image(path).pixels * 255) - upright).mean() < 6


@pytest.mark.parametrize("suffix", CARRYING)
@pytest.mark.parametrize("keeps", [True, False])
def test_a_batch_keeps_the_place_or_leaves_it_out_as_asked(tmp_path, suffix, keeps):
    (tmp_path / "in").mkdir()
    for source in (".jpg", ".png", ".webp"):
        photograph(tmp_path / f"in/{source[1:]}{source}")
    assert denoise(tmp_path / "in/jpg.jpg", tmp_path / "in/tif.tif") == 0
    assert denoise(tmp_path / "in", tmp_path / "out", "--format", suffix, *([] if keeps else ["--no-gps"])) == 0
    made = [path for path in (tmp_path / "out").iterdir() if path.is_file()]
    assert len(made) == 4
    for path in made:
        metadata = load_image(path).metadata
        exif = Pillow.Exif()
        exif.load(metadata.exif or b"")
        assert (exif[271], exif.get_ifd(0x8769)[34855]) == ("Maker", 6400)
        assert bool(exif.get_ifd(0x8825)) == keeps
        assert (struct.pack("<II", 25, 2) in path.read_bytes()) == keeps
        if path.stem.startswith(("jpg", "webp")):
            assert b'xmp:Rating="4"' in (metadata.xmp or b"")
            assert (b"GPSLatitude" in (metadata.xmp or b"")) == keeps


# --- what another program finds ---

STORAGE = {
    *(
        "SourceFile",
        "BitsPerSample",
        "Compression",
        "FillOrder",
        "ImageWidth",
        "ImageHeight",
        "PhotometricInterpretation",
    ),
    *("StripOffsets", "StripByteCounts", "RowsPerStrip", "TileWidth", "TileLength", "TileOffsets", "TileByteCounts"),
    *("SamplesPerPixel", "SampleFormat", "PlanarConfiguration", "Predictor", "SubfileType", "OldSubfileType"),
    *("ExifImageWidth", "ExifImageHeight", "YCbCrPositioning", "YCbCrSubSampling", "YCbCrCoefficients", "Orientation"),
    *("MinSampleValue", "MaxSampleValue", "SMinSampleValue", "SMaxSampleValue", "PageNumber", "ExtraSamples"),
    *("XResolution", "YResolution", "ResolutionUnit", "CFARepeatPatternDim", "CFAPattern2", "DNGVersion", "BlackLevel"),
    *("DNGBackwardVersion", "UniqueCameraModel", "WhiteLevel", "ColorMatrix1", "AsShotNeutral", "NoiseProfile"),
    *("CalibrationIlluminant1", "TIFF-EPStandardID", "KodakVersion", "ThumbnailTIFF", "DefaultCropOrigin"),
}
"""What belongs to the storage of a file, or undoes a sensor's doings, and has no meaning in another one."""

NOT_EXIF = {"BatteryLevel", "SelfTimerMode", "ImageNumber", "SensingMethod", "ExposureValue"}
"""What only TIFF/EP or a maker knows."""

PHOTOGRAPHS = [
    "formats/metadata/DSCN0010.jpg",
    "formats/crafted/meta_orient6_gps_p3_xmp.jpg",
    "formats/colour/rgb.jpg",
    "formats/orientation/orientation6.heic",
    "formats/tiff/hopper_bigtiff.tif",
    "formats/bitdepth/12in16bit.tif",
    "raw/kodak_dc50.KDC",
    "raw/synthetic/bayer_rggb_iso_mid_noisy.dng",
]


def found_by_exiftool(room: frozenset[str], *files: Path) -> dict[str, dict[str, object]]:
    """Tags by the name of the file: those of the picture itself that a type has room for, without their group."""
    asked = ["-json", "-n", "-G1", "-EXIF:all", "-GPS:all", "-XMP:all"]
    asked += ["-ICC_Profile:all"] * ("colour profile" in room) + ["-IPTC:all"] * ("IPTC record" in room)
    said = subprocess.run(["exiftool", *asked, *map(str, files)], capture_output=True, text=True, check=False)
    kept: dict[str, dict[str, object]] = {}
    for tags in json.loads(said.stdout):
        groups = {name: name.partition(":") for name in tags}
        kept[Path(tags["SourceFile"]).name] = {
            name: tags[whole]  # of any group: TIFF/EP has in the first directory what EXIF has in its own
            for whole, (group, _, name) in groups.items()
            if name and name not in STORAGE | NOT_EXIF and not group.startswith(("IFD1", "SubIFD", "ICC-header"))
        }
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("suffix", CARRYING)
def test_exiftool_finds_after_the_command_line_what_it_found_before(data, tmp_path, suffix):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    sources = [next(iter(data.glob(f"**/{Path(name).name}"))) for name in PHOTOGRAPHS]
    (tmp_path / "in").mkdir()
    for source in sources:
        shutil.copy(source, tmp_path / "in")
    assert denoise(tmp_path / "in", tmp_path / "out", "--format", suffix, "--domain", "picture") == 0
    room = next(kind for kind in TYPES if suffix in kind.suffixes).holds
    before = found_by_exiftool(room, *sources)
    after = found_by_exiftool(room, *(tmp_path / f"out/{source.stem}_denoised{suffix}" for source in sources))
    lost = {}
    for source in sources:
        old, new = before[source.name], after[f"{source.stem}_denoised{suffix}"]
        if gone := {name for name, value in old.items() if new.get(name) != value}:
            lost[source.name] = gone
    assert lost == {}
    assert sum(len(tags) for tags in before.values()) > 100
