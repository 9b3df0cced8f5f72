"""The pre-flight: what is in a folder of pictures, what would go wrong with it, and what to do. No torch, no Qt."""

from __future__ import annotations

import calendar
import contextlib
import io
import math
import mmap
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import psutil

from engine.decode import HAS_HEIF, check_tiff_page, foreign_errors, open_pillow
from engine.image import Image, ImageError, find_images, load_image, thumbnail
from engine.metadata import Directories, exif_orientation, read_directories, tiff_metadata
from engine.noise import MIN_SIDE, NoiseError, NoiseReport, estimate_noise
from engine.pairs import is_reference
from training.job import TrainError

TWIN = "a clean twin by its name: it is not learned from"
"""The problem of pictures that are left alone because a noisy one has them for its reference."""

EXPERIENCE: Mapping[str, str] = {"white": "", "correlated": ""}
"""What tuning was measured to give, one sentence for each kind of noise, which `check` then says as a note.

"white": independent from pixel to pixel; "correlated": as in camera JPEGs. Empty where nothing was measured yet.
"""

_SIDE = 96  # of a thumbnail
_SMALL = 1_000_000  # pixels of a picture that is read whole at once
_MEASURED = 24  # pictures of a group, and at most that many groups' worth in all
_MEASURED_PIXELS = 1_000_000
_ALIKE = 1.7  # factor between noise levels that one training can take
_LEAST_PIXELS = 2_000_000
_MOST_HELD_OUT = 16
_LEAST_DISK = 200 * 2**20
_CLIPPED = 0.05
_LISTED = 3


@dataclass(frozen=True, eq=False)
class Found:
    """One file of the folder.

    Attributes:
        name: below the folder, with slashes.
        problem: why it cannot be used, "" if it can.
        width, height, channels, bits: 0 where it cannot be read.
        camera: make and model, "" where the file does not say.
        iso: None where the file does not say.
        taken: seconds since 1970 by the camera's clock, None where the file does not say.
        report: its noise; None where it was not measured (in a large folder a part of the pictures is).
        thumbnail: (h, w, 3) uint8, at most 96 pixels a side; None where it cannot be read.
    """

    name: str
    problem: str = ""
    width: int = 0
    height: int = 0
    channels: int = 0
    bits: int = 0
    camera: str = ""
    iso: int | None = None
    taken: float | None = None
    report: NoiseReport | None = None
    thumbnail: np.ndarray | None = None

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


@dataclass(frozen=True)
class Group:
    """Pictures of one camera at one ISO, whose noise should be alike."""

    camera: str
    iso: int | None
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.camera or 'unknown camera'}, " + (f"ISO {self.iso}" if self.iso else "ISO unknown")


@dataclass(frozen=True)
class Finding:
    """Something the user should know before the training starts.

    Attributes:
        kind: "stop": it would fail; "warn": the result would suffer; "note": good to know.
        sentence: what it is and what to do about it.
        names: the pictures it is about; leaving them out settles it where `can_leave_out`.
    """

    kind: str
    sentence: str
    names: tuple[str, ...] = ()
    can_leave_out: bool = False


def look(folder: Path, recursive: bool = True) -> Iterator[Found]:
    """Look at every picture of the folder; TrainError if there is no such folder, or it is gone in the middle.

    Every file comes at once with what its header tells. Then some come again, with more known: of each group a spread
    of pictures with its noise, last those whose thumbnail takes decoding. A name that comes again replaces the former.
    May be closed at any yield.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in _pictures(folder, recursive)}
    found: dict[str, Found] = {}
    for name in _closed_folders(folder) if recursive else []:
        yield Found(name, "this folder cannot be opened; allow reading it, or leave it out")
    for name, path in paths.items():
        found[name] = _at_a_glance(path, name)
        if found[name].problem and not folder.is_dir():
            raise TrainError(f"{folder} is gone; connect it again, or choose another folder")
        yield found[name]
    for name in _to_measure(found.values()):
        found[name] = _measured(paths[name], found[name])
        yield found[name]
    for name, item in found.items():
        if item.thumbnail is None and not item.problem:
            found[name] = _with_thumbnail(paths[name], item)
            yield found[name]


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    if not folder.is_dir():
        raise TrainError(f"{folder} is not a folder; choose one with noisy pictures")
    try:
        next(os.scandir(folder), None)
    except OSError as error:
        raise TrainError(f"{folder} cannot be read: {error.strerror}; choose another folder") from error
    return find_images([folder], recursive)


def _closed_folders(folder: Path) -> list[str]:
    """Names of folders inside that cannot be listed; `find_images` passes them over."""
    errors: list[OSError] = []
    for _ in os.walk(folder, onerror=errors.append):
        pass
    return [Path(error.filename).relative_to(folder).as_posix() for error in errors]


def _at_a_glance(path: Path, name: str) -> Found:
    """What the header of the file tells, or the whole file where it is small or unusual."""
    if is_reference(path):
        return Found(name, TWIN)
    # Whatever is wrong with a header, reading the whole picture says in a sentence.
    with contextlib.suppress(ImageError), foreign_errors(path, ""), path.open("rb") as file:
        found = _header(file, path, name)
        if found is not None and (found.pixels > _SMALL or found.thumbnail is not None):
            return found
    try:
        image = load_image(path)
    except ImageError as error:
        return Found(name, str(error))
    camera, iso, taken = _shot(image.metadata.exif)
    return Found(
        name,
        "",
        image.width,
        image.height,
        image.channels,
        image.bits,
        camera,
        iso,
        taken,
        thumbnail=thumbnail(image, _SIDE),
    )


def _header(file: BinaryIO, path: Path, name: str) -> Found | None:
    """What a JPEG, PNG, WebP, HEIF or TIFF says of itself; None where it has to be decoded to know."""
    head = file.read(26)
    file.seek(0)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_header(file, path, name)
    if head[4:12] in (b"ftypheic", b"ftypmif1", b"ftypheix") and HAS_HEIF:
        import pillow_heif

        container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False)
        width, height = container.size
        channels, bits = 1 if container.mode.startswith("L") else 3, 16 if ";" in container.mode else 8
        return Found(name, "", width, height, channels, bits, *_shot(container.info.get("exif")))
    endings = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
    if head[:2] not in endings and head[8:12] != b"WEBP":
        return None
    with open_pillow(file) as picture:
        if picture.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
            return None
        if head[:2] in endings and not _is_complete(file, endings[head[:2]]):
            return None
        width, height = picture.size
        exif = picture.info.get("exif")
        if exif_orientation(exif and exif.removeprefix(b"Exif\0\0")) >= 5:
            width, height = height, width
        channels = 1 if picture.mode in ("1", "L", "LA", "I;16") else 3
        bits = 16 if head.startswith(b"\x89P") and head[24] == 16 else 8
        return Found(name, "", width, height, channels, bits, *_shot(exif), thumbnail=_embedded(picture))


def _is_complete(file: BinaryIO, ending: bytes) -> bool:
    """Whether the mark of the end stands somewhere behind what was read so far: copies are often cut off."""
    start = file.tell()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.rfind(ending, start) >= 0


def _tiff_header(file: BinaryIO, path: Path, name: str) -> Found | None:
    import tifffile

    metadata, orientation = tiff_metadata(file)
    file.seek(0)
    with tifffile.TiffFile(file, name=path.name) as tiff:
        page = tiff.pages.first
        check_tiff_page(page, path, path.stat().st_size)
        width, height = page.imagewidth, page.imagelength
        channels = 3 if page.photometric in (2, 3, 5, 6) else 1
        bits = 32 if page.dtype.kind == "f" or page.bitspersample > 16 else 16 if page.bitspersample > 8 else 8
    if orientation >= 5:
        width, height = height, width
    return Found(name, "", width, height, channels, bits, *_shot(metadata.exif))


def _embedded(picture: PIL.Image.Image) -> np.ndarray | None:
    """The thumbnail that the camera stored, upright and without the black bars that fill it to 4:3."""
    exif = picture.info.get("exif")
    if not exif or picture.format not in ("JPEG", "MPO"):
        return None
    with contextlib.suppress(Exception):  # a thumbnail that is damaged is no reason to refuse the picture
        fields = picture.getexif().get_ifd(PIL.ExifTags.IFD.IFD1)
        start, length = fields[0x0201], fields[0x0202]
        small = PIL.Image.open(io.BytesIO(exif.removeprefix(b"Exif\0\0")[start : start + length]), formats=["JPEG"])
        shape = picture.width / picture.height
        width, height = small.width, small.height
        inner = (min(width, round(height * shape)), min(height, round(width / shape)))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        small = small.convert("RGB").crop((left, top, left + inner[0], top + inner[1]))
        return _small(small, exif)
    return None


def _small(picture: PIL.Image.Image, exif: bytes | None) -> np.ndarray:
    """(h, w, 3) uint8 thumbnail of a decoded picture, turned as its EXIF says."""
    picture = picture.convert("RGB")
    picture.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    picture.getexif()[PIL.ExifTags.Base.Orientation] = exif_orientation(exif and exif.removeprefix(b"Exif\0\0"))
    return np.array(PIL.ImageOps.exif_transpose(picture))


def _with_thumbnail(path: Path, found: Found) -> Found:
    """JPEG is decoded at an eighth of its size, all others whole."""
    try:
        with foreign_errors(path, "cannot be opened"), path.open("rb") as file:
            if file.read(2) == b"\xff\xd8":
                file.seek(0)
                with open_pillow(file) as picture:
                    picture.draft("RGB", (_SIDE, _SIDE))
                    return replace(found, thumbnail=_small(picture, picture.info.get("exif")))
        return replace(found, thumbnail=thumbnail(load_image(path), _SIDE))
    except ImageError as error:
        return Found(found.name, str(error))


def _to_measure(found: Iterable[Found]) -> list[str]:
    """A spread of each group, one of every group before the second of any."""
    usable = {item.name for item in found if min(item.width, item.height) >= MIN_SIDE}
    rounds: list[tuple[int, int, str]] = []
    for rank, group in enumerate(grouped([item for item in found if item.name in usable])):
        count = min(_MEASURED, len(group.names))
        places = np.linspace(0, len(group.names) - 1, count).round().astype(int)
        rounds += [(turn, rank, group.names[place]) for turn, place in enumerate(places)]
    return [name for _, _, name in sorted(rounds)[: 4 * _MEASURED]]


def _measured(path: Path, found: Found) -> Found:
    """The same with its noise, in the trained range, and a thumbnail; with its problem if it cannot be read."""
    try:
        image = load_image(path)
        report = estimate_noise(_in_range(image), _MEASURED_PIXELS)
    except (ImageError, NoiseError) as error:
        return Found(found.name, str(error))
    small = found.thumbnail if found.thumbnail is not None else thumbnail(image, _SIDE)
    return replace(found, report=report, thumbnail=small)


def _in_range(image: Image) -> np.ndarray:
    black, white = image.levels
    return image.pixels if image.levels == (0, 1) else (image.pixels - black) / (white - black)


def _shot(exif: bytes | None) -> tuple[str, int | None, float | None]:
    """Camera, ISO and time of an EXIF block, as far as it says."""
    try:
        parts = read_directories(io.BytesIO((exif or b"").removeprefix(b"Exif\0\0")))
    except ValueError:
        return "", None, None
    return _camera(parts), _iso(parts), _taken(parts)


def _text(parts: Directories, tag: int) -> str:
    field = parts.exif.get(tag) or parts.first.get(tag)
    return field.values.decode("utf-8", "replace").partition("\0")[0].strip() if field and field.kind == 2 else ""


def _camera(parts: Directories) -> str:
    make, model = _text(parts, 271), _text(parts, 272)
    # "NIKON CORPORATION" "NIKON D800" and "Canon" "Canon EOS 5D" say the make twice.
    if not make or model.casefold().startswith(make.split()[0].casefold()):
        return model
    return f"{make} {model}".strip()


def _iso(parts: Directories) -> int | None:
    """The sensitivity; cameras that go beyond 65534 write 65535 into the old field and the truth into a newer one."""
    for tag in (34855, 34867, 34866, 34865):
        field = parts.exif.get(tag) or parts.first.get(tag)
        if field is None:
            continue
        values = [int(value) for value in re.findall(r"\d+", _text(parts, tag))] or field.numbers()
        for value in values:
            if 0 < value < 10_000_000 and value != 65535:
                return round(value)
    return None


def _taken(parts: Directories) -> float | None:
    for tag in (36867, 36868, 306):
        numbers = [int(piece) for piece in re.findall(r"\d+", _text(parts, tag))[:6]]
        with contextlib.suppress(ValueError, TypeError):
            moment = datetime(*numbers)  # pyright: ignore[reportArgumentType]
            part = _text(parts, 37521)
            return calendar.timegm(moment.timetuple()) + (float(f"0.{part}") if part.isdecimal() else 0.0)
    return None


def nominal_iso(iso: int) -> int:
    """The nearest third of a stop: phones write any number, and noise within a sixth of a stop is alike."""
    steps = round(3 * math.log2(iso / 100))
    stops, third = divmod(steps, 3)
    if stops < 0:
        return (
            {-1: 50, -2: 25}.get(stops, max(1, round(100 * 2.0**stops)))
            if third == 0
            else round(100 * 2 ** (steps / 3))
        )
    value = (100, 125, 160)[third] * 2**stops
    return value


def grouped(found: Sequence[Found]) -> list[Group]:
    """The usable pictures by camera and ISO (to a third of a stop), the largest group first."""
    names: dict[tuple[str, int], list[str]] = defaultdict(list)
    for item in found:
        if not item.problem:
            names[item.camera, nominal_iso(item.iso) if item.iso else 0].append(item.name)
    order = sorted(names, key=lambda key: (-len(names[key]), key))
    return [Group(camera, iso or None, tuple(names[camera, iso])) for camera, iso in order]


# PolyU: Canon5D2_5_160_3200_chair_11_real; SIDD: 0001_NOISY_SRGB_010 in a folder for each scene.
_CROPS = (
    re.compile(r"(.+_[\d-]+_\d+_\d+_.+?)_+\d+_(?:real|noisy)", re.IGNORECASE),
    re.compile(r"(\d+)_NOISY_(?:SRGB|RAW)_\d+", re.IGNORECASE),
)
_VERSION = re.compile(r"(.*\d{3,})[ _.(-].*")
_SECONDS = 5.0
_SAME_PLACE, _COPY = 0.9, 0.998


def scenes(found: Sequence[Found]) -> list[list[str]]:
    """The usable pictures by scene, which names or likeness tell; a picture of its own is a scene.

    One scene are: the crops of a photograph as PolyU and SIDD name them; versions of one file (`IMG_1234.jpg`,
    `IMG_1234.tif`, `IMG_1234-2.jpg`); pictures taken within seconds that look alike; and copies, which look the same
    whatever they are called. Names that count on (`IMG_1234`, `IMG_1235`) say nothing.
    """
    items = sorted((item for item in found if not item.problem), key=lambda item: item.name)
    parents = list(range(len(items)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def join(one: int, other: int) -> None:
        parents[root(other)] = root(one)

    for one, other in [*_same_by_name(items), *_same_by_likeness(items)]:
        join(one, other)
    together: dict[int, list[str]] = defaultdict(list)
    for index, item in enumerate(items):
        together[root(index)].append(item.name)
    return sorted(together.values())


def _same_by_name(items: Sequence[Found]) -> Iterator[tuple[int, int]]:
    first: dict[tuple[str, str], int] = {}
    stems = []
    for index, item in enumerate(items):
        folder, _, file = item.name.rpartition("/")
        stem = file.rpartition(".")[0]
        crop = next((match[1] for pattern in _CROPS if (match := pattern.fullmatch(stem))), stem)
        stems.append((folder, crop))
        yield first.setdefault((folder, crop), index), index
    for index, (folder, stem) in enumerate(stems):
        version = _VERSION.fullmatch(stem)
        while version:
            if (folder, version[1]) in first:
                yield first[folder, version[1]], index
            version = _VERSION.fullmatch(version[1])


def _same_by_likeness(items: Sequence[Found]) -> Iterator[tuple[int, int]]:
    looks = np.stack([_look_of(item.thumbnail) for item in items]) if items else np.zeros((0, 1), np.float32)
    timed = sorted((item.taken, index) for index, item in enumerate(items) if item.taken is not None)
    for place, (time, index) in enumerate(timed):
        for later, other in timed[place + 1 : place + 9]:
            if later - time > _SECONDS:
                break
            if float(looks[index] @ looks[other]) > _SAME_PLACE:
                yield index, other
    for top in range(0, len(items), 512):
        rows, columns = np.nonzero(looks[top : top + 512] @ looks[top:].T > _COPY)
        yield from ((top + int(row), top + int(column)) for row, column in zip(rows, columns, strict=True))


def _look_of(small: np.ndarray | None) -> np.ndarray:
    """A thumbnail as 16x16 grey values of mean 0 and length 1, so that brightness does not count; zeros for none."""
    if small is None:
        return np.zeros(256, np.float32)
    grey = cv2.resize(small.astype(np.float32).mean(axis=2), (16, 16), interpolation=cv2.INTER_AREA).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length > 1 else np.zeros(256, np.float32)


def hold_out(found: Sequence[Found], share: float = 0.15, seed: int = 0) -> list[str]:
    """Names of whole scenes to judge on, of every group in proportion; the same for the same seed.

    At least one scene and at most 16 pictures (more only if the smallest scene has more); something is always left to
    learn from. Empty where there are fewer than two scenes.
    """
    together = scenes(found)
    if len(together) < 2:
        return []
    count = sum(map(len, together))
    limit = min(_MOST_HELD_OUT, max(1, round(share * count)))
    order = [together[index] for index in np.random.default_rng(seed).permutation(len(together))]
    groups = grouped(found)
    of = {name: rank for rank, group in enumerate(groups) for name in group.names}
    wanted = [limit * len(group.names) / count for group in groups]
    held: list[str] = []
    while order and len(held) < limit:
        # The group that lacks most, and of it a scene that fits; the first may be larger if there is no other.
        lacks = list(wanted)
        for name in held:
            lacks[of[name]] -= 1
        fitting = [scene for scene in order if len(held) + len(scene) <= limit]
        if not fitting and not held:
            fitting = [min(order, key=len)]
        if not fitting:
            break
        chosen = max(fitting, key=lambda scene: max(lacks[of[name]] for name in scene))
        order.remove(chosen)
        if not order:
            break
        held += chosen
    return sorted(held)


def summary(found: Sequence[Found]) -> str:
    """One line on the usable pictures for a model's card; it names no file."""
    usable = [item for item in found if not item.problem]
    if not usable:
        return "no pictures"
    parts = [f"{_pictures_said(len(usable))}, {sum(item.pixels for item in usable) / 1e6:.3g} megapixels"]
    labels = [f"{group.label} ({len(group.names)})" for group in grouped(usable) if group.camera or group.iso]
    if labels:
        parts.append(
            "; ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
        )
    parts.append(" and ".join(f"{bits}" for bits in sorted({item.bits for item in usable})) + " bits")
    levels = [255 * item.report.sigma for item in usable if item.report and not item.report.is_clean]
    if levels:
        parts.append(f"noise {min(levels):.1f} to {max(levels):.1f} of 255")
    return "; ".join(parts)


def check(
    found: Sequence[Found],
    held_out: Collection[str],
    *,
    patch: int = 64,
    run_folder: Path,
    budget_mb: int = 4096,
    checkpoint_mb: float = 5.0,
) -> list[Finding]:
    """What would go wrong with these pictures, worst first.

    Args:
        found: all of the folder but what the user left out.
        held_out: names of those that are judged on.
        patch: side in pixels of what is learned from at a time.
        run_folder: where the run will be; it need not exist yet.
        budget_mb: memory for decoded pictures, as `TrainJob.budget_mb`.
        checkpoint_mb: size of the model; its training takes six times as much on the disk.
    """
    usable = [item for item in found if not item.problem]
    findings = [*_about_files(found, usable), *_about_disk(run_folder, checkpoint_mb)]
    if usable:
        learned = [item for item in usable if item.name not in set(held_out) and min(item.width, item.height) >= patch]
        findings += _about_sizes(usable, learned, patch)
        findings += _about_judging(usable, held_out)
        findings += _about_noise(usable)
        findings += _about_memory(learned, budget_mb)
    order = ("stop", "warn", "note")
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def _pictures_said(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _named(names: Sequence[str]) -> str:
    """At most three file names, and how many there are besides."""
    shown = ", ".join(names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _about_files(found: Sequence[Found], usable: Sequence[Found]) -> Iterator[Finding]:
    broken = [item for item in found if item.problem and item.problem != TWIN]
    twins = [item.name for item in found if item.problem == TWIN]
    if not found:
        yield Finding(
            "stop", "There is no picture in this folder: choose one with JPEG, PNG, TIFF, WebP or HEIC files."
        )
    elif not usable and not broken:
        yield Finding("stop", "All pictures are clean ones by their names: choose the folder of the noisy ones.")
    elif not usable:
        yield Finding("stop", f"None of the {len(found)} files can be used; the first: {broken[0].problem}.")
    if usable and broken:
        names = tuple(item.name for item in broken)
        are = "1 file" if len(broken) == 1 else f"{len(broken)} files"
        yield Finding("warn", f"{are} cannot be read and will be left out: {_named(names)}.", names)
    if usable and twins:
        yield Finding(
            "note",
            f"{_pictures_said(len(twins))} will not be learned from, clean twins by name: {_named(twins)}.",
            tuple(twins),
        )


def _about_disk(run_folder: Path, checkpoint_mb: float) -> Iterator[Finding]:
    place = next((path for path in (run_folder, *run_folder.absolute().parents) if path.is_dir()), None)
    if place is None:
        yield Finding("stop", f"The disk of {run_folder} is not there: connect it, or choose another folder for runs.")
        return
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding(
            "stop",
            f"Nothing can be written to {place} ({error.strerror}): allow it, or choose another folder for runs.",
        )
        return
    needed = max(_LEAST_DISK, 6 * checkpoint_mb * 2**20)
    if free < needed:
        yield Finding(
            "stop",
            f"Only {free / 2**20:.0f} MB are free on the disk of {place}, and a run needs {needed / 2**20:.0f}: "
            "free some space first.",
        )


def _about_sizes(usable: Sequence[Found], learned: Sequence[Found], patch: int) -> Iterator[Finding]:
    small = tuple(item.name for item in usable if min(item.width, item.height) < patch)
    if len(small) == len(usable):
        yield Finding("stop", f"All pictures are smaller than {patch} pixels a side: choose larger ones.")
        return
    if small:
        yield Finding(
            "warn",
            f"{_pictures_said(len(small))} smaller than {patch} pixels a side: leave out {_named(small)}.",
            small,
            True,
        )
    if not learned:
        yield Finding("stop", "Nothing is left to learn from: hold fewer pictures out, or leave fewer out.")
        return
    pixels = sum(item.pixels for item in learned)
    if pixels < _LEAST_PIXELS:
        yield Finding(
            "warn",
            f"Only {pixels / 1e6:.2g} megapixels are left to learn from, with which tuning hardly helps: "
            "add pictures of the same camera and ISO.",
        )
    if {item.channels for item in usable} == {1, 3}:
        grey = tuple(item.name for item in usable if item.channels == 1)
        coloured = tuple(item.name for item in usable if item.channels == 3)
        fewer = min(grey, coloured, key=len)
        yield Finding(
            "warn",
            f"{len(grey)} grey and {len(coloured)} colour pictures are mixed, whose noise differs: "
            f"leave out {_named(fewer)}.",
            fewer,
            True,
        )


def _about_judging(usable: Sequence[Found], held_out: Collection[str]) -> Iterator[Finding]:
    held = {item.name for item in usable} & set(held_out)
    together = scenes(usable)
    if not held:
        reason = "all pictures show one scene" if len(together) == 1 and len(usable) > 1 else "no picture is held out"
        what = "hold one out" if len(together) > 1 else "add pictures of another scene"
        yield Finding(
            "warn",
            f"Nobody can say whether the result is better, as {reason}, so the start would be kept: {what}.",
        )
    if torn := [scene for scene in together if held & set(scene) and not held.issuperset(scene)]:
        names = tuple(name for scene in torn for name in scene if name not in held)
        yield Finding(
            "warn",
            f"Held-out pictures show the same scene as {_named(names)}, and would be judged too kindly: hold these "
            "out, too, or leave them out.",
            names,
            True,
        )
    if copies := tuple(_copies(usable)):
        yield Finding(
            "warn",
            f"{_pictures_said(len(copies))} seem to be copies of others: leave out {_named(copies)}.",
            copies,
            True,
        )


def _copies(usable: Sequence[Found]) -> list[str]:
    """Names of pictures that look, to the last bit of the thumbnail, like one before them, and are as large."""
    seen: set[tuple[int, int, bytes]] = set()
    copies = []
    for item in sorted(usable, key=lambda item: item.name):
        if item.thumbnail is None or item.thumbnail.min() == item.thumbnail.max():
            continue
        key = (item.width, item.height, item.thumbnail.tobytes())
        if key in seen:
            copies.append(item.name)
        seen.add(key)
    return copies


def _about_noise(usable: Sequence[Found]) -> Iterator[Finding]:
    reports = {item.name: item.report for item in usable if item.report is not None}
    clean = tuple(name for name, report in reports.items() if report.is_clean)
    noisy = {name: report for name, report in reports.items() if not report.is_clean}
    if reports and not noisy:
        yield Finding(
            "stop",
            "There is nothing to learn: no noise worth removing was found, so the pictures are clean or already "
            "denoised; choose noisy ones as they left the camera.",
            clean,
        )
        return
    if clean:
        yield Finding(
            "warn",
            f"{_pictures_said(len(clean))} clean or already denoised, which teaches nothing: leave out "
            f"{_named(clean)}.",
            clean,
            True,
        )
    yield from _about_mixture([item for item in usable if item.name not in clean], noisy)
    correlated = [name for name, report in noisy.items() if not report.is_white]
    if correlated and 2 * len(correlated) >= len(noisy):
        yield Finding(
            "note",
            "The noise of neighbouring pixels correlates, as in JPEGs of cameras: Recorrupted-to-Recorrupted and "
            "APR-RD can learn from it, methods for independent noise cannot.",
        )
    if EXPERIENCE["correlated" if 2 * len(correlated) >= max(len(noisy), 1) else "white"] and noisy:
        yield Finding("note", EXPERIENCE["correlated" if 2 * len(correlated) >= len(noisy) else "white"])
    clipped = tuple(name for name, report in noisy.items() if report.clipped > _CLIPPED)
    if clipped:
        yield Finding(
            "note",
            f"Black or white is cut off in much of {_named(clipped)}, where noise is not what it seems: prefer others.",
            clipped,
            True,
        )


def _about_mixture(usable: Sequence[Found], noisy: Mapping[str, NoiseReport]) -> Iterator[Finding]:
    groups = grouped(usable)
    if len(groups) > 1:
        first, others = groups[0], tuple(name for group in groups[1:] for name in group.names)
        yield Finding(
            "warn",
            f"{len(groups)} kinds of noise are mixed, by camera and ISO: train {first.label} "
            f"({_pictures_said(len(first.names))}) alone and leave out the other {len(others)}.",
            others,
            True,
        )
        return
    levels = {name: report.sigma for name, report in noisy.items()}
    if len(levels) < 2:
        return
    low, high = np.quantile(list(levels.values()), (0.1, 0.9) if len(levels) >= 8 else (0, 1))
    if high > _ALIKE * low:
        middle = float(np.median(list(levels.values())))
        others = tuple(
            name for name, level in levels.items() if not middle / _ALIKE**0.5 < level < middle * _ALIKE**0.5
        )
        yield Finding(
            "warn",
            f"Noise levels from {255 * low:.1f} to {255 * high:.1f} of 255 are mixed: leave out {_named(others)}, "
            "and train them on their own.",
            others,
            True,
        )


def _about_memory(learned: Sequence[Found], budget_mb: int) -> Iterator[Finding]:
    needed = sum(item.pixels * item.channels * 4 for item in learned) / 2**20
    free = psutil.virtual_memory().available / 2**20
    if needed > budget_mb:
        yield Finding(
            "note",
            f"The pictures take {needed / 1024:.1f} GB decoded, more than the {budget_mb / 1024:.1f} GB that are set "
            "aside: they are learned from in a changing part.",
        )
    if free < min(needed, budget_mb) + 1024:
        yield Finding(
            "warn",
            f"Only {free / 1024:.1f} GB of memory are free and the pictures take {min(needed, budget_mb) / 1024:.1f}: "
            "close other programs, or set a smaller memory budget under Advanced.",
        )
