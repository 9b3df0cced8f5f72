"""The pre-flight: what is in a folder of pictures, what would go wrong with it, and what to do. No torch, no Qt."""

from __future__ import annotations

import calendar
import contextlib
import io
import math
import os
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
import psutil

from engine.color import conversion
from engine.image import Image, ImageError, find_images, load_image, thumbnail
from engine.language import tr, trn
from engine.metadata import Directories, exif_orientation, read_directories, tiff_metadata
from engine.noise import MIN_SIDE, NoiseError, NoiseReport, estimate_noise
from engine.pairs import is_reference
from engine.photos import HAS_HEIF, open_pillow
from engine.reading import foreign_errors
from engine.tiff import check_tiff_page
from training.job import TrainError

TWIN = tr("a clean twin by its name: it is not learned from")
"""The problem of pictures that are left alone because a noisy one has them for its reference."""

EXPERIENCE: Mapping[str, str] = {
    "white": (
        tr(
            "Where noise is white, tuning pays on pictures unlike photographs (0.3 dB on fluorescence microscopy in "
            "300 steps); on photographs the bundled models were not beaten in so few."
        )
    ),
    "correlated": (
        tr(
            "On camera JPEGs no tuning has beaten the bundled model so far (PolyU, SIDD): expect to be told to keep "
            "it, or give pictures that were developed without noise reduction."
        )
    ),
}
"""What tuning was measured to give, one sentence for each kind of noise, which `check` then says as a note.

"white": independent from pixel to pixel; "correlated": as in camera JPEGs. The numbers are in docs/training.md.
"""

_SIDE = 96  # of a thumbnail
_SMALL = 1_000_000  # pixels of a picture that is read whole at once
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # of JPEG and PNG by their first bytes
_TAIL = 1 << 16  # bytes at the end of a file in which the mark of its end nearly always is

_UPRIGHT = {  # by the orientation in EXIF
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}

# Pictures whose noise is measured: of each group, of each group of small ones, and in all. Of each so many pixels.
_MEASURED, _MEASURED_SMALL, _MEASURED_IN_ALL = 24, 48, 96
_MEASURED_PIXELS = 1_000_000

# Factor between ISO numbers, and between noise levels, that one training takes. The estimate of correlated noise is off
# by 0.35 itself: within a camera and ISO of PolyU the levels found differ by up to 2.5, the true ones by up to 1.5 (a
# tenth of the pictures left out at either end), so that much more has to be found there.
_ALIKE = 1.7
_DOUBT = 1.5

_LEAST_PIXELS = 2_000_000
_MOST_HELD_OUT = 16
_CLIPPED = 0.1  # share of samples
_LEAST_DISK_MB = 200
_LEAST_MEMORY_MB = 1024  # for the program, the network and what it computes
_LISTED = 3

# Pictures of one scene: taken within so many seconds and alike, or nearly equal whenever they were taken. Of two PolyU
# pictures of different scenes or places 1 in 200 is alike by this measure and none nearly equal; moved by 3 % of its
# side a picture is alike in 99 of 100 cases, and equal to its clean twin in all.
_SECONDS, _LIKE = 5.0, 0.8
_EQUAL = 0.99
_GRID = 8
_NEXT = 8  # pictures by time with which one is compared

# PolyU: Canon5D2_5_160_3200_chair_11_real; SIDD: 0001_NOISY_SRGB_010 in a folder for each scene.
_CROPS = (
    re.compile(r"(.+_[\d-]+_\d+_\d+_.+?)_+\d+_(?:real|noisy)", re.IGNORECASE),
    re.compile(r"(\d+)_NOISY_(?:SRGB|RAW)_\d+", re.IGNORECASE),
)
_VERSION = re.compile(r"(.*\d{3,})[ _.(-].*")


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
        return f"{self.camera or tr('unknown camera')}, " + (f"ISO {self.iso}" if self.iso else tr("ISO unknown"))


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
        yield Found(name, tr("this folder cannot be opened; allow reading it, or leave it out"))

    def known(item: Found) -> Found:
        if item.problem and not folder.is_dir():
            raise TrainError(tr("{folder} is gone; connect it again, or choose another folder").format(folder=folder))
        found[item.name] = item
        return item

    for name, path in paths.items():
        yield known(_at_a_glance(path, name))
    for name in _to_measure(found.values()):
        yield known(_measured(paths[name], found[name]))
    for item in list(found.values()):
        if item.thumbnail is None and not item.problem:
            yield known(_with_thumbnail(paths[item.name], item))


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    if not folder.is_dir():
        raise TrainError(tr("{folder} is not a folder; choose one with noisy pictures").format(folder=folder))
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        raise TrainError(
            tr("{folder} cannot be read: {reason}; choose another folder").format(folder=folder, reason=error.strerror)
        ) from error
    return find_images([folder], recursive)


def _closed_folders(folder: Path) -> list[str]:
    """Names of folders inside that cannot be listed; `find_images` passes them over."""
    errors: list[OSError] = []
    for _, folders, _ in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
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
        thumbnail=_thumbnail(image),
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
    if head[:2] not in _ENDINGS and head[8:12] != b"WEBP":
        return None
    with open_pillow(file) as picture:
        if picture.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
            return None
        if head[:2] in _ENDINGS and not _is_complete(file, head):  # a WebP that is cut off does not open
            return None
        width, height = picture.size
        exif = picture.info.get("exif")
        if exif_orientation(_block(exif)) >= 5:
            width, height = height, width
        channels = 1 if picture.mode in ("1", "L", "LA", "I;16") else 3
        bits = 16 if head.startswith(b"\x89P") and head[24] == 16 else 8
        return Found(name, "", width, height, channels, bits, *_shot(exif), thumbnail=_embedded(picture))


def _is_complete(file: BinaryIO, head: bytes) -> bool:
    """Whether the mark of the end stands somewhere behind what was read so far: copies are often cut off."""
    start, size = file.tell(), file.seek(0, io.SEEK_END)
    for tail in (_TAIL, size):  # phones append whole films
        file.seek(max(start, size - tail))
        if _ENDINGS[head[:2]] in file.read():
            return True
    return False


def _tiff_header(file: BinaryIO, path: Path, name: str) -> Found | None:
    import tifffile

    metadata, orientation = tiff_metadata(file)
    file.seek(0)
    with tifffile.TiffFile(file, name=path.name) as tiff:
        page = tiff.pages.first
        check_tiff_page(page, path, path.stat().st_size)
        width, height = page.imagewidth, page.imagelength
        channels = 3 if page.photometric in (2, 3, 5, 6) else 1
        is_float = page.dtype is not None and page.dtype.kind == "f"
        bits = 32 if is_float or page.bitspersample > 16 else 16 if page.bitspersample > 8 else 8
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
        small = PIL.Image.open(io.BytesIO(_block(exif)[start : start + length]), formats=["JPEG"])
        shape = picture.width / picture.height
        width, height = small.width, small.height
        inner = (min(width, round(height * shape)), min(height, round(width / shape)))
        # JPEG lets a bar's edge shine two pixels into the picture.
        inner = tuple(side if side == whole else side - 4 for side, whole in zip(inner, small.size, strict=True))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        small = small.convert("RGB").crop((left, top, left + inner[0], top + inner[1]))
        return _small(small, exif)
    return None


def _small(picture: PIL.Image.Image, exif: bytes | None) -> np.ndarray:
    """(h, w, 3) uint8 thumbnail of a decoded picture, turned as its EXIF says."""
    picture = picture.convert("RGB")
    picture.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    turn = _UPRIGHT.get(exif_orientation(_block(exif)))
    return np.array(picture if turn is None else picture.transpose(turn))


def _thumbnail(image: Image) -> np.ndarray:
    return thumbnail(image, _SIDE, conversion(image.metadata.icc, image.channels))


def _with_thumbnail(path: Path, found: Found) -> Found:
    """JPEG is decoded at an eighth of its size, all others whole."""
    try:
        with foreign_errors(path, tr("cannot be opened")), path.open("rb") as file:
            if file.read(2) == b"\xff\xd8":
                file.seek(0)
                with open_pillow(file) as picture:
                    picture.draft("RGB", (_SIDE, _SIDE))
                    return replace(found, thumbnail=_small(picture, picture.info.get("exif")))
        return replace(found, thumbnail=_thumbnail(load_image(path)))
    except ImageError as error:
        return Found(found.name, str(error))


def _to_measure(found: Iterable[Found]) -> list[str]:
    """A spread of each group, one of every group before the second of any."""
    usable = {item.name: item for item in found if min(item.width, item.height) >= MIN_SIDE}
    turns: list[tuple[int, int, str]] = []
    for rank, group in enumerate(grouped(list(usable.values()))):
        is_small = all(usable[name].pixels <= _SMALL for name in group.names)
        count = min(_MEASURED_SMALL if is_small else _MEASURED, len(group.names))
        places = np.linspace(0, len(group.names) - 1, count).round().astype(int)
        turns += [(turn, rank, group.names[place]) for turn, place in enumerate(places)]
    return [name for _, _, name in sorted(turns)[:_MEASURED_IN_ALL]]


def _measured(path: Path, found: Found) -> Found:
    """The same with its noise, in the trained range, and a thumbnail; with its problem if it cannot be read."""
    if found.thumbnail is None:
        found = _with_thumbnail(path, found)
    try:
        return found if found.problem else replace(found, report=estimate_noise(_in_range(path), _MEASURED_PIXELS))
    except (ImageError, NoiseError) as error:
        return Found(found.name, str(error))


def _in_range(path: Path) -> np.ndarray:
    """The pixels as training takes them, 0 black and 1 white."""
    image = load_image(path)
    black, white = image.levels
    return image.pixels if image.levels == (0, 1) else (image.pixels - black) / (white - black)


def _block(exif: bytes | None) -> bytes:
    """From its TIFF header on, as positions in it are counted."""
    return (exif or b"").removeprefix(b"Exif\0\0")


def _shot(exif: bytes | None) -> tuple[str, int | None, float | None]:
    """Camera, ISO and time of an EXIF block, as far as it says."""
    try:
        parts = read_directories(io.BytesIO(_block(exif)))
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


def grouped(found: Sequence[Found]) -> list[Group]:
    """The usable pictures by camera and ISO, the largest group first.

    ISO to a third of a stop: phones write any number. A group goes by the one that most of its pictures have.
    """
    together: dict[tuple[str, int | None], list[Found]] = defaultdict(list)
    for item in found:
        if not item.problem:
            together[item.camera, round(3 * math.log2(item.iso)) if item.iso else None].append(item)
    groups = []
    for (camera, _), items in together.items():
        (iso, _), *_ = Counter(sorted(item.iso or 0 for item in items)).most_common(1)
        groups.append(Group(camera, iso or None, tuple(item.name for item in items)))
    return sorted(groups, key=lambda group: (-len(group.names), group.camera, group.iso or 0))


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
        for later, other in timed[place + 1 : place + 1 + _NEXT]:
            if float(looks[index] @ looks[other]) > (_LIKE if later - time <= _SECONDS else _EQUAL):
                yield index, other
    untimed = [index for index, item in enumerate(items) if item.taken is None]
    for start in range(0, len(untimed), 512):
        part = untimed[start : start + 512]
        rows, others = np.nonzero(looks[part] @ looks.T > _EQUAL)
        yield from ((part[row], int(other)) for row, other in zip(rows.tolist(), others.tolist(), strict=True))


def _look_of(small: np.ndarray | None) -> np.ndarray:
    """A thumbnail as 8x8 grey values of mean 0 and length 1, so that brightness does not count; zeros for none."""
    if small is None:
        return np.zeros(_GRID**2, np.float32)
    grey = cv2.resize(small.astype(np.float32).mean(axis=2), (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length else grey


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
    group_of = {name: rank for rank, group in enumerate(grouped(found)) for name in group.names}
    lacks = {rank: limit * size / count for rank, size in Counter(group_of.values()).items()}
    clean = {item.name for item in found if _is_clean(item)}
    left = Counter(rank for scene in order for rank in {group_of[name] for name in scene})

    def urgency(scene: list[str]) -> tuple[bool, bool, float]:
        # Where there is no noise, nothing can be judged; a group's last scene would be judged and not learned.
        ranks = {group_of[name] for name in scene}
        return clean.isdisjoint(scene), min(left[rank] for rank in ranks) > 1, max(lacks[rank] for rank in ranks)

    held: list[str] = []
    while len(order) > 1 and len(held) < limit:
        fitting = [scene for scene in order if len(held) + len(scene) <= limit]
        if not fitting and held:
            break
        chosen = max(fitting or [min(order, key=len)], key=urgency)
        order.remove(chosen)
        held += chosen
        left.subtract({group_of[name] for name in chosen})
        for name in chosen:
            lacks[group_of[name]] -= 1
    return sorted(held)


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
        clean = [item.name for item in usable if _is_clean(item)]
        apart = {*held_out, *clean}
        learned = [item for item in usable if item.name not in apart and min(item.width, item.height) >= patch]
        findings += _about_sizes(usable, learned, patch)
        findings += _about_judging(usable, held_out)
        findings += _about_noise(usable, clean)
        findings += _about_memory(learned, budget_mb)
    order = ("stop", "warn", "note")
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def _listed(names: Sequence[str]) -> str:
    """The first three, and how many there are besides."""
    first = ", ".join(names[:_LISTED])
    more = len(names) - _LISTED
    return tr("{names} and {count} more").format(names=first, count=more) if more > 0 else first


def _leave_out(sentence: str, names: Sequence[str]) -> Finding:
    said = tr("{sentence}: leave out {names}.").format(sentence=sentence, names=_listed(names))
    return Finding("warn", said, tuple(names), True)


def _about_files(found: Sequence[Found], usable: Sequence[Found]) -> Iterator[Finding]:
    broken = [item for item in found if item.problem and item.problem != TWIN]
    names = tuple(item.name for item in broken)
    twins = tuple(item.name for item in found if item.problem == TWIN)
    if not found:
        yield Finding(
            "stop", tr("There is no picture in this folder: choose one with JPEG, PNG, TIFF, WebP or HEIC files.")
        )
    elif not usable and not broken:
        yield Finding(
            "stop", tr("All pictures are clean ones by their names: choose the folder of the noisy ones."), twins
        )
    elif not usable:
        said = trn(
            "No picture can be used of {count} file; the first: {reason}.",
            "No picture can be used of {count} files; the first: {reason}.",
            len(found),
        ).format(count=len(found), reason=broken[0].problem.rstrip("."))
        yield Finding("stop", said, names)
    elif broken:
        said = trn(
            "{count} file cannot be read and is not used: {names}; copy it again from the camera.",
            "{count} files cannot be read and are not used: {names}; copy them again from the camera.",
            len(broken),
        ).format(count=len(broken), names=_listed(names))
        yield Finding("warn", said, names)
    if usable and twins:
        said = trn(
            "{count} picture is a clean twin by name and not learned from: {names}.",
            "{count} pictures are clean twins by name and not learned from: {names}.",
            len(twins),
        ).format(count=len(twins), names=_listed(twins))
        yield Finding("note", said, twins)


def _about_disk(run_folder: Path, checkpoint_mb: float) -> Iterator[Finding]:
    place = next((path for path in (run_folder, *run_folder.absolute().parents) if path.is_dir()), None)
    if place is None:
        yield Finding(
            "stop",
            tr("The disk of {run_folder} is not there: connect it, or choose another folder for runs.").format(
                run_folder=run_folder
            ),
        )
        return
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free / 2**20
    except OSError as error:
        why = error.strerror or str(error)
        yield Finding(
            "stop",
            tr("Nothing can be written to {place} ({why}): allow it, or choose another folder for runs.").format(
                place=place, why=why
            ),
        )
        return
    needed = max(_LEAST_DISK_MB, 6 * checkpoint_mb)
    if free < needed:
        said = tr(
            "Only {free:.0f} MB are free on the disk of {place}, and a run needs {needed:.0f}: make room, or choose "
            "another folder for runs."
        )
        yield Finding("stop", said.format(free=free, place=place, needed=needed))


def _about_sizes(usable: Sequence[Found], learned: Sequence[Found], patch: int) -> Iterator[Finding]:
    small = [item.name for item in usable if min(item.width, item.height) < patch]
    if len(small) == len(usable):
        yield Finding(
            "stop",
            tr("All pictures are smaller than {patch} pixels a side: choose larger ones.").format(patch=patch),
            tuple(small),
        )
        return
    if small:
        said = trn(
            "{count} picture is smaller than {patch} pixels a side",
            "{count} pictures are smaller than {patch} pixels a side",
            len(small),
        )
        yield _leave_out(said.format(count=len(small), patch=patch), small)
    if not learned:
        yield Finding("stop", tr("Nothing is left to learn from: add pictures, or hold fewer out."))
        return
    pixels = sum(item.pixels for item in learned)
    if pixels < _LEAST_PIXELS:
        said = tr(
            "Only {size:.2g} megapixels are there to learn from, with which tuning hardly helps: add pictures of the "
            "same camera and ISO."
        )
        yield Finding("warn", said.format(size=pixels / 1e6))
    grey = [item.name for item in usable if item.channels == 1]
    coloured = [item.name for item in usable if item.channels > 1]
    if grey and coloured:
        said = trn(
            "{grey} grey and {count} colour picture are mixed, whose noise differs",
            "{grey} grey and {count} colour pictures are mixed, whose noise differs",
            len(coloured),
        )
        yield _leave_out(said.format(grey=len(grey), count=len(coloured)), min(coloured, grey, key=len))


def _about_judging(usable: Sequence[Found], held_out: Collection[str]) -> Iterator[Finding]:
    held = {item.name for item in usable} & set(held_out)
    together = scenes(usable)
    if not held:
        said = tr(
            "No picture is held out, so nobody could say whether the result is better and the start would be kept: "
            "{do}."
        )
        if len(usable) < 2:
            do = tr("add pictures")
        elif len(together) < 2:
            do = tr("add pictures of another scene, as all of these show one")
        else:
            do = tr("hold some out")
        yield Finding("warn", said.format(do=do))
    torn = [name for scene in together if held & set(scene) for name in scene if name not in held]
    if torn:
        said = tr(
            "The same scenes as in held-out pictures are in {names}, which makes the judgement too kind: hold these "
            "out, too, or leave them out."
        )
        yield Finding("warn", said.format(names=_listed(torn)), tuple(torn), True)
    if copies := _copies(usable):
        said = trn("{count} picture seems a copy of another", "{count} pictures seem copies of another", len(copies))
        yield _leave_out(said.format(count=len(copies)), copies)


def _copies(usable: Sequence[Found]) -> list[str]:
    """Names of pictures as large as one before them and with the same thumbnail to the last bit."""
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


def _is_clean(item: Found) -> bool:
    """By measurement, or because this program wrote it."""
    measured = item.report is not None and item.report.is_clean
    return measured or item.name.rpartition(".")[0].endswith("_denoised")


def _about_noise(usable: Sequence[Found], clean: Sequence[str]) -> Iterator[Finding]:
    noisy = {item.name: item.report for item in usable if item.report is not None and item.name not in clean}
    if clean and not noisy:
        said = tr(
            "There is nothing to learn: no noise worth removing was found in these pictures, or they are denoised "
            "already; choose noisy ones as they left the camera."
        )
        yield Finding("stop", said, tuple(clean))
        return
    if clean:
        said = trn(
            "{count} picture seems clean or already denoised, which teaches nothing",
            "{count} pictures seem clean or already denoised, which teaches nothing",
            len(clean),
        )
        yield _leave_out(said.format(count=len(clean)), clean)
    if not noisy:
        return
    yield from _about_mixture([item for item in usable if item.name not in clean], noisy)
    is_white = 2 * sum(report.is_white for report in noisy.values()) > len(noisy)
    if not is_white:
        said = tr(
            "The noise of neighbouring pixels correlates, as in JPEGs of cameras: Recorrupted-to-Recorrupted and "
            "APR-RD can learn from it, methods for independent noise hardly."
        )
        yield Finding("note", said)
    if experience := EXPERIENCE["white" if is_white else "correlated"]:
        yield Finding("note", experience)
    clipped = tuple(name for name, report in noisy.items() if report.clipped > _CLIPPED)
    if clipped:
        said = tr(
            "Over {share:.0%} are pure black or white in {names}, where noise is cut off: leave out what you can "
            "spare, or develop with less contrast."
        ).format(share=_CLIPPED, names=_listed(clipped))
        yield Finding("note", said, clipped, 2 * len(clipped) < len(noisy))


def _about_mixture(usable: Sequence[Found], noisy: Mapping[str, NoiseReport]) -> Iterator[Finding]:
    groups = grouped(usable)
    kept = _together(groups)
    names = {name for group in kept for name in group.names}
    if others := tuple(item.name for item in usable if item.name not in names):
        last = max(group.iso or 0 for group in kept)
        label = kept[0].label
        if len(kept) > 1:
            label = tr("{label} to {last}").format(label=label, last=last)
        said = tr(
            "Pictures of {count} kinds by camera and ISO are mixed, whose noise differs: learn from those of {label} "
            "({kept}) and leave out the other {others}."
        ).format(count=len(groups), label=label, kept=len(names), others=len(others))
        yield Finding("warn", said, others, True)
        return
    depths: dict[int, list[bool]] = defaultdict(list)
    for item in usable:
        if item.name in noisy:
            depths[item.bits].append(noisy[item.name].is_white)
    if len({2 * sum(white) > len(white) for white in depths.values()}) > 1:
        most = Counter(item.bits for item in usable).most_common(1)[0][0]
        others = [item.name for item in usable if item.bits != most]
        listed = tr(" and ").join(map(str, sorted(depths)))
        yield _leave_out(tr("Files of {bits} bits are mixed, whose noise differs").format(bits=listed), others)
        return
    levels = np.array([report.sigma for report in noisy.values()])
    factor = _ALIKE * (1 + _DOUBT * float(np.mean([report.uncertainty for report in noisy.values()])))
    low, high = np.quantile(levels, (0.1, 0.9))
    if high > factor * low:
        far = np.abs(np.log(levels / np.median(levels))) > math.log(factor) / 2
        others = tuple(name for name, is_far in zip(noisy, far.tolist(), strict=True) if is_far)
        said = (
            tr(
                "Noise levels from {low:.1f} to {high:.1f} of 255 are mixed: sort the pictures by ISO, as only "
                "{known} of {count} were measured, or leave out {names}."
            )
            if len(noisy) < len(usable)
            else tr("Noise levels from {low:.1f} to {high:.1f} of 255 are mixed: leave out {names}.")
        ).format(
            low=255 * levels.min(),
            high=255 * levels.max(),
            known=len(noisy),
            count=len(usable),
            names=_listed(others),
        )
        yield Finding("warn", said, others, True)


def _together(groups: Sequence[Group]) -> list[Group]:
    """Those that one training takes, of one camera and with ISO numbers within a factor: the most pictures, by ISO."""

    def with_next(group: Group) -> list[Group]:
        last = _ALIKE * (group.iso or 0)
        near = [other for other in groups if other.camera == group.camera and bool(other.iso) == bool(group.iso)]
        return sorted((o for o in near if (group.iso or 0) <= (o.iso or 0) <= last), key=lambda other: other.iso or 0)

    return max(map(with_next, groups), key=lambda kept: sum(len(group.names) for group in kept))


def _about_memory(learned: Sequence[Found], budget_mb: int) -> Iterator[Finding]:
    needed = sum(item.pixels * item.channels * 4 for item in learned) / 2**20
    free = psutil.virtual_memory().available / 2**20
    if needed > budget_mb:
        said = tr(
            "The pictures take {needed:.1f} GB decoded, more than the {budget:.1f} GB set aside: they are learned "
            "from in a changing part."
        )
        yield Finding("note", said.format(needed=needed / 1024, budget=budget_mb / 1024))
    used = min(needed, budget_mb)
    if free < used + _LEAST_MEMORY_MB:
        said = tr(
            "Only {free:.1f} GB of memory are free, and {used:.1f} will be used: close other programs, or set aside "
            "less for pictures under Advanced."
        )
        yield Finding("warn", said.format(free=free / 1024, used=(used + _LEAST_MEMORY_MB) / 1024))
