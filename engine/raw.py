"""Camera RAW files: what the sensor recorded, developed to a picture; mosaics of SIDD for training."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import rawpy

from engine import scratch
from engine.develop import XYZ_TO_SRGB, Develop, settle, to_srgb
from engine.language import tr
from engine.mat import read_mat
from engine.metadata import (
    Directories,
    Field,
    Metadata,
    pack_exif,
    read_directories,
    tiff_metadata,
    upright_exif,
    upright_xmp,
    without_settings,
)
from engine.mosaic import PATTERNS, Mosaic
from engine.profile import LINEAR_SRGB, SRGB
from engine.reading import ImageError

if TYPE_CHECKING:
    from rawpy import RawPy

    from engine.image import Image

_CFA_PATTERN = 33422  # the TIFF tag CFAPattern

DNG = (".dng",)

_LARGEST = 1_000_000_000  # pixels
# Noise of a sensor cannot be stored in less than a bit a pixel, not even by lossy DNG; what claims more is cut off.
_DENSEST = 64
_DEAD_ROWS = 0.05
_MOST_MIXED = 1e3  # condition number of a camera's matrix


@dataclasses.dataclass(frozen=True, eq=False)
class Developed:
    """What a RAW file gave.

    Attributes:
        pixels: (H, W, 3) float32, upright; 1 is white, noise may lie outside [0, 1].
        mosaic: what the sensor recorded, upright; None where it cannot be denoised there.
        metadata: of the camera, with what was special among its notes.
    """

    pixels: np.ndarray
    mosaic: Mosaic | None
    metadata: Metadata


def read_raw(path: Path, how: Develop = Develop()) -> Developed:
    """Read and develop a camera's RAW file; ImageError in one sentence if it is damaged, cut off or unknown.

    Sensors with a 2x2 filter of red, green and blue are developed by `develop.Pipeline`. All others (X-Trans, Foveon,
    four colours, linear DNG) by LibRaw, without noise reduction or automatic brightness; these have no mosaic.
    """
    with path.open("rb") as file:
        raw, size = _opened(file, path), os.fstat(file.fileno()).st_size
        with raw:
            _check_claims(raw, path, size)
            notes: tuple[str, ...] = ()
            mosaic = None
            try:
                if reason := _why_no_mosaic(raw):
                    pixels = _by_libraw(raw, path, how)
                    notes += (
                        tr("{name} cannot be denoised on the mosaic: {reason}; LibRaw has developed it").format(
                            name=path.name, reason=reason
                        ),
                    )
                else:
                    mosaic, noted = _mosaic(raw, path)
                    notes += noted
            except rawpy.LibRawError as error:
                raise _refusal(path, error) from None
            if mosaic is not None:
                pixels = settle(mosaic, how).develop(mosaic.pixels)
            metadata = _metadata(file, raw, pixels.shape[1], pixels.shape[0])
    icc = SRGB if how.curve == "srgb" else LINEAR_SRGB
    return Developed(pixels, mosaic, dataclasses.replace(metadata, icc=icc, notes=notes))


def redeveloped(image: Image, how: Develop) -> Image:
    """A picture that came from a RAW file, developed otherwise; ImageError if it must be read again and cannot."""
    if image.develop == how:
        return image
    icc = SRGB if how.curve == "srgb" else LINEAR_SRGB
    metadata = dataclasses.replace(image.metadata, icc=icc)
    if dataclasses.replace(image.develop, domain=how.domain) == how:
        pixels = image.pixels
    elif image.mosaic is not None:
        pixels = settle(image.mosaic, how).develop(image.mosaic.pixels)
    else:
        assert image.path is not None
        pixels = read_raw(image.path, how).pixels
    return dataclasses.replace(image, pixels=pixels, metadata=metadata, develop=how)


def _opened(file: BinaryIO, path: Path) -> RawPy:
    try:
        return rawpy.imread(file)
    except rawpy.LibRawError as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: rawpy.LibRawError) -> ImageError:
    if isinstance(error, rawpy.LibRawFileUnsupportedError):
        return ImageError(
            tr("{name} holds no RAW picture of a known camera, or is damaged; export it as a 16-bit TIFF first").format(
                name=path.name
            )
        )
    said = error.args[0] if error.args else ""
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return ImageError(
        tr("{name} is a damaged or cut off RAW file ({said})").format(name=path.name, said=said or type(error).__name__)
    )


def _check_claims(raw: RawPy, path: Path, size: int) -> None:
    """Refuse what is too large or claims more than the file can hold, before anything is decoded."""
    width, height = raw.sizes.raw_width, raw.sizes.raw_height
    if min(raw.sizes.width, raw.sizes.height) < 2:
        raise ImageError(
            tr("{name} is damaged: it claims a size of {width} x {height}").format(
                name=path.name, width=width, height=height
            )
        )
    if width * height > _LARGEST:
        raise ImageError(
            tr("{name} has {width} x {height} pixels; at most 1000 megapixels can be opened").format(
                name=path.name, width=width, height=height
            )
        )
    if width * height > _DENSEST * size:
        raise ImageError(
            tr("{name} is damaged or cut off: it claims {width} x {height} pixels in {size} bytes").format(
                name=path.name, width=width, height=height, size=size
            )
        )


def _why_no_mosaic(raw: RawPy) -> str:
    """Why the file's pixels are not those of a plain Bayer sensor, as a clause; "" where they are."""
    sizes, cells = raw.sizes, raw.raw_pattern
    if raw.raw_type == rawpy.RawType.Stack:
        return tr("it holds all colours of each pixel, as linear DNG and Foveon do")
    if raw.num_colors == 1:
        return tr("its sensor has no colour filter")
    if cells is not None and cells.shape == (6, 6):
        return tr("its sensor has the X-Trans filter")
    if cells is None or cells.shape != (2, 2) or _names(raw, cells) not in PATTERNS:
        return tr("its sensor has no 2x2 filter of red, green and blue")
    if sizes.pixel_aspect != 1 or (sizes.iheight, sizes.iwidth) != (sizes.height, sizes.width):
        return tr("its sensor's pixels are not square or lie on a turned grid")
    return ""


def _names(raw: RawPy, cells: np.ndarray) -> str:
    described = raw.color_desc.decode("latin-1")
    return "".join(described[index] for index in cells.ravel())


def _mosaic(raw: RawPy, path: Path) -> tuple[Mosaic, tuple[str, ...]]:
    """The upright mosaic and what was special about it."""
    recorded = raw.raw_image_visible
    notes = _check_pixels(recorded, path)
    height, width = (side // 2 * 2 for side in recorded.shape)
    cells = raw.raw_pattern
    assert cells is not None
    black = np.array(raw.black_level_per_channel, np.float32)[cells]
    white = _white_level(recorded, float(raw.white_level))
    if white <= black.max():
        raise ImageError(
            tr("{name} is damaged: its white level {white:.0f} is not above its black {black:.0f}").format(
                name=path.name, white=white, black=black.max()
            )
        )
    pixels = np.empty((height, width), np.float32)
    for row, column in np.ndindex(2, 2):
        site = np.s_[row:height:2, column:width:2]
        pixels[site] = recorded[site]
        pixels[site] -= black[row, column]
        pixels[site] /= np.float32(white - black[row, column])
    matrix = _matrix(raw)
    if matrix is None:
        notes += (tr("{name} does not tell its camera's colours; they are taken for sRGB's").format(name=path.name),)
        matrix = XYZ_TO_SRGB
    balance = np.array(raw.camera_whitebalance[:3], np.float64)
    if np.isfinite(balance).all() and (balance > 0).all():
        neutral = balance[1] / balance
    else:
        neutral = np.ones(3)
        notes += (
            tr("{name} does not tell the camera's white balance; its colours are left as they were recorded").format(
                name=path.name
            ),
        )
    names = _turned(np.array(list(_names(raw, cells))).reshape(2, 2), raw.sizes.flip)
    pixels = np.ascontiguousarray(_turned(pixels, raw.sizes.flip))
    return Mosaic(pixels, "".join(names.ravel()), neutral, matrix), notes


def _turned(samples: np.ndarray, flip: int) -> np.ndarray:
    """A view that stands upright; LibRaw's flip: 1 swaps left and right, 2 top and bottom, 4 then rows and columns."""
    samples = samples[:: -1 if flip & 2 else 1, :: -1 if flip & 1 else 1]
    return samples.T if flip & 4 else samples


def _matrix(raw: RawPy) -> np.ndarray | None:
    """XYZ to camera; None where the file and LibRaw do not tell it."""
    found = np.array(raw.rgb_xyz_matrix[:3], np.float64)
    to_srgb, daylight = np.array(raw.color_matrix)[:, :3].astype(np.float64), np.array(raw.daylight_whitebalance[:3])
    if not found.any() and to_srgb.any() and np.linalg.cond(to_srgb) < _MOST_MIXED and (daylight > 0).all():
        # That of a DNG file LibRaw gives only in this form: balanced camera colours to sRGB.
        found = np.linalg.inv(to_srgb) / daylight[:, None] @ XYZ_TO_SRGB
    if not (np.isfinite(found).all() and found.any()):
        return None
    to_camera = found @ np.linalg.inv(XYZ_TO_SRGB)
    return found if (to_camera.sum(1) > 0).all() and np.linalg.cond(to_camera) < _MOST_MIXED else None


def _white_level(recorded: np.ndarray, white: float) -> float:
    """The value at which the sensor is saturated: where very many samples share the largest, that, if it is near white.

    Many cameras saturate below the level that is known of them, and their highlights would turn magenta.
    """
    top = int(recorded.max())
    saturated = 0.75 * white < top < white and np.count_nonzero(recorded == top) > 1e-3 * recorded.size
    return float(top) if saturated else white


def _check_pixels(recorded: np.ndarray, path: Path) -> tuple[str, ...]:
    """ImageError where LibRaw made a frame out of nothing, which it does without a word; else what is to be noted."""
    low, high = int(recorded.min()), int(recorded.max())
    if low == high:
        raise ImageError(
            tr("{name} is damaged or cut off: all of its pixels have the value {low}").format(name=path.name, low=low)
        )
    rows = recorded.reshape(len(recorded), -1)
    dead = int(np.count_nonzero(rows.max(1) == 0))
    if dead > _DEAD_ROWS * len(rows):
        raise ImageError(
            tr("{name} is damaged or cut off: {dead} of its {count} rows hold nothing").format(
                name=path.name, dead=dead, count=len(rows)
            )
        )
    return (
        (tr("{dead} rows of {name} hold nothing; the file may be damaged").format(dead=dead, name=path.name),)
        if dead
        else ()
    )


def _by_libraw(raw: RawPy, path: Path, how: Develop) -> np.ndarray:
    """(H, W, 3) float32 as LibRaw develops it; its integers hold no noise below black."""
    if raw.raw_type != rawpy.RawType.Stack:
        _check_pixels(raw.raw_image_visible, path)
    camera = np.array(raw.camera_whitebalance[:3])
    options: dict[str, Any] = {}
    if how.multipliers:
        red, green, blue = how.multipliers
        options["user_wb"] = [red, green, blue, green]
    elif how.white == "auto":
        options["use_auto_wb"] = True
    elif how.white == "camera" and (camera > 0).all():
        options["use_camera_wb"] = True
    samples = raw.postprocess(
        output_bps=16,
        gamma=(1, 1),
        no_auto_bright=True,
        output_color=rawpy.ColorSpace.sRGB,
        fbdd_noise_reduction=rawpy.FBDDNoiseReductionMode.Off,
        median_filter_passes=0,
        **options,
    )
    _check_pixels(samples, path)
    pixels = scratch.array(samples.shape, np.float32)
    np.divide(samples, np.float32(65535 / 2.0**how.exposure), out=pixels)
    pixels = pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)
    if how.curve == "srgb":
        for top in range(0, len(pixels), 256):
            pixels[top : top + 256] = to_srgb(pixels[top : top + 256])
    return pixels


# ---- What the camera noted ----


_MAKER_NOTE, _COLOUR_SPACE, _MAKE = 37500, 40961, 271
_OTHER_MAGIC = {b"IIU\0": b"II*\0", b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*"}
"""Panasonic and Olympus begin their TIFF structures with numbers of their own."""


def _metadata(file: BinaryIO, raw: RawPy, width: int, height: int) -> Metadata:
    """EXIF, XMP and IPTC as the file's own TIFF structure holds them, else the EXIF of its preview, else LibRaw's.

    Maker notes are left out: their positions are those of the RAW file. So is the colour space of the camera's JPEGs;
    the profile says that of the developed picture.
    """
    stream = _as_tiff(file)
    found, _ = tiff_metadata(stream)
    parts = _directories(found.exif)
    if _MAKE not in parts.first:
        parts = _directories(_preview_exif(raw)) or parts
    other = raw.other
    known = {
        33434: _rational(other.shutter_speed),
        33437: _rational(other.aperture),
        34855: Field(3, 1, struct.pack("<H", int(other.iso_speed))) if 0 < other.iso_speed < 65536 else None,
        36867: _text(f"{other.timestamp:%Y:%m:%d %H:%M:%S}") if other.timestamp.year > 1970 else None,
        37386: _rational(other.focal_length),
    }
    exif = {tag: field for tag, field in known.items() if field} | parts.exif
    for tag in (_MAKER_NOTE, _COLOUR_SPACE):
        exif.pop(tag, None)
    block = pack_exif(parts.first, exif, parts.gps) if exif or parts.first else None
    xmp = upright_xmp(without_settings(found.xmp))
    return dataclasses.replace(found, exif=upright_exif(block, width, height), xmp=xmp, format="RAW", dpi=None)


def _as_tiff(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    magic = file.read(4)
    return io.BytesIO(_OTHER_MAGIC[magic] + file.read()) if magic in _OTHER_MAGIC else file


def _directories(exif: bytes | None) -> Directories:
    try:
        return read_directories(io.BytesIO(exif or b""))
    except ValueError:
        return Directories({}, {}, {}, {})


def _preview_exif(raw: RawPy) -> bytes | None:
    """The EXIF block of the JPEG that the camera put beside the RAW picture."""
    try:
        preview = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    if preview.format != rawpy.ThumbFormat.JPEG:
        return None
    start = bytes(preview.data[:65600])
    at = start.find(b"Exif\0\0")
    return start[at + 6 :] if 0 <= at < 64 else None


def _rational(value: float) -> Field | None:
    if not 0 < value < 40000:
        return None
    return Field(5, 1, struct.pack("<II", *Fraction(value).limit_denominator(100_000).as_integer_ratio()))


def _text(value: str) -> Field:
    data = value.encode("ascii", "replace") + b"\0"
    return Field(2, len(data), data)


# ---- Mosaics for training ----


def find_mosaics(folder: Path) -> list[Path]:
    """Noisy mosaics below a folder, sorted: those of SIDD's tree and DNG files that are not clean twins."""
    found = [path for path in folder.rglob("*") if re.search(r"NOISY_RAW.*\.mat$", path.name, re.IGNORECASE)]
    found += [path for path in folder.rglob("*") if path.suffix.lower() in DNG and not path.stem.endswith("_clean")]
    return sorted(found)


def read_mosaic(path: Path) -> Mosaic:
    """Read a DNG, or a `*_NOISY_RAW_*.MAT` of SIDD with its metadata and noise beside it; ImageError if that fails."""
    return _read_dng(path) if path.suffix.lower() in DNG else _read_sidd(path)


def _read_dng(path: Path) -> Mosaic:
    with path.open("rb") as file, _opened(file, path) as raw:
        if reason := _why_no_mosaic(raw):
            raise ImageError(tr("{name} has no mosaic to learn from: {reason}").format(name=path.name, reason=reason))
        try:
            return _mosaic(raw, path)[0]
        except rawpy.LibRawError as error:
            raise _refusal(path, error) from None


def _read_sidd(path: Path) -> Mosaic:
    about = path.with_name(path.name.replace("NOISY_RAW", "METADATA_RAW"))
    if not about.is_file():
        raise ImageError(
            tr("{name} has no {about} beside it, which says its colours").format(name=path.name, about=about.name)
        )
    metadata = read_mat(about)["metadata"]
    matrix = np.array(_field(metadata, "ColorMatrix2"), np.float64).reshape(3, 3)
    neutral = np.array(_field(metadata, "AsShotNeutral"), np.float64).reshape(3)
    pattern = "".join("RGB?"[min(int(colour), 3)] for colour in np.ravel(_cfa_pattern(metadata)))
    if pattern not in PATTERNS:
        raise ImageError(tr("{name} names no 2x2 colour filter").format(name=about.name))
    planes = [value for name, value in read_mat(path).items() if getattr(value, "ndim", 0) == 2 and name != "metadata"]
    if len(planes) != 1:
        raise ImageError(tr("{name} holds {count} planes; a mosaic is one").format(name=path.name, count=len(planes)))
    height, width = (side // 2 * 2 for side in planes[0].shape)
    pixels = planes[0][:height, :width].astype(np.float32)
    return Mosaic(pixels, pattern, neutral, matrix, noise_level(path))


def _field(metadata: Any, name: str) -> Any:
    """A field of a MATLAB struct, or of one of the structs inside it."""
    found = next((value for key, value in _walk(metadata) if key == name), None)
    if found is None or np.size(found) == 0:
        raise ImageError(tr("The metadata have no {name}").format(name=name))
    return found


def _cfa_pattern(metadata: Any) -> Any:
    """The filter's colours: a field of that name, or the value of the unknown TIFF tag with its number."""
    for key, value in _walk(metadata):
        if key in ("CFAPattern", "CFAPattern2") and np.size(value) == 4:
            return value
        if (
            isinstance(value, dict)
            and np.size(value.get("ID", ())) == 1
            and int(np.ravel(value["ID"])[0]) == _CFA_PATTERN
        ):
            return value.get("Value", ())
    raise ImageError(tr("The metadata have no CFAPattern"))


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every named value of nested structs and lists of them."""
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _walk(inner)


def noise_level(path: Path) -> np.ndarray | None:
    """The camera's noise level function (3, 2) of a SIDD file's scene; None where no table says it.

    `noise_level_functions.csv` lies in a folder above; its rows are a scene id and slope and offset for red, green and
    blue. A row is found by the id with which the scene's folder or the file begins, never by its place: the order of
    files differs between systems.
    """
    table = next(
        (up / "noise_level_functions.csv" for up in path.parents if (up / "noise_level_functions.csv").is_file()), None
    )
    if table is None:
        return None
    scene = next((m[1] for m in (re.match(r"(\d{4})_", name) for name in (path.parent.name, path.name)) if m), None)
    for line in table.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        found = re.match(r"0*(\d+)", cells[0])
        if scene is not None and found and int(found[1]) == int(scene) and len(cells) >= 7:
            return np.array([float(cell) for cell in cells[1:7]]).reshape(3, 2)
    raise ImageError(tr("{name} has no row for scene {scene}").format(name=table.name, scene=scene))
