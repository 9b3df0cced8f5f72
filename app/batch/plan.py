"""Which pictures a batch denoises, and into which files."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from app.values import Values
from engine.decode import peek
from engine.encode import AS_INPUT, Encoding, own_stem, own_suffix
from engine.image import find_images
from engine.language import tr
from engine.reading import ImageError

FIELDS = {
    "name": tr("the file's name without its type"),
    "number": tr("its number in the batch, with as many digits as the last one"),
    "folder": tr("the name of the folder that it lies in"),
    "date": tr("today, as 2025-12-31"),
}
"""What a name pattern may hold in braces, and what it stands for."""

CONFLICTS = {
    "skip": tr("Leave the file that is there"),
    "number": tr("Give the new file a number"),
    "replace": tr("Replace the file that is there"),
}
"""What to do where a file of the result's name exists."""

_COMPRESSED = {".jpg": 0.35, ".avif": 0.2, ".webp": 1.2, ".jxl": 0.9, ".jp2": 1.0}
"""Bytes a sample of 8 bits, on the safe side; other types hold what is stored."""


AUTOMATIC = Values()


class BatchError(ValueError):
    """A batch cannot be made as asked; the message is meant for the user."""


@dataclass(frozen=True)
class Naming:
    """Where results go and what they are called.

    Attributes:
        folder: None beside the originals.
        pattern: of the name without its type, see `FIELDS`.
        mirrors: whether the folders below the one that was given are made in `folder`, too.
    """

    folder: Path | None = None
    pattern: str = "{name}_denoised"
    mirrors: bool = True

    def __post_init__(self) -> None:
        for name in re.findall(r"{([^{}]*)}", self.pattern):
            if name not in FIELDS:
                raise BatchError(
                    tr("The name pattern has {name}; it may have {names}").format(
                        name=_braced(name), names=", ".join(map(_braced, FIELDS))
                    )
                )
        plain = re.sub(r"{[^{}]*}", "", self.pattern)
        if bad := set(plain) & set('{}/\\:*?"<>|\0'):
            raise BatchError(
                tr("The name pattern has {signs}, which file names cannot have everywhere").format(
                    signs=" ".join(sorted(bad))
                )
            )
        if not self.pattern.strip(" ."):
            raise BatchError(tr("The name pattern is empty; {name} stands for the file's name"))

    def target(self, path: Path, root: Path, number: int, count: int, how: Encoding = AS_INPUT) -> Path:
        """The file that becomes of a picture.

        Args:
            path: of the picture.
            root: the folder that was given and in which it was found, or the one it lies in.
            number, count: its place in the batch, from 1, and how many there are.
            how: for the type of file.
        """
        fields = {
            "name": own_stem(path),
            "number": str(number).zfill(len(str(count))),
            "folder": path.parent.name,
            "date": date.today().isoformat(),
        }
        suffix = how.suffix or own_suffix(path)
        name = self._filled(fields) + suffix
        if (over := len(os.fsencode(name)) - _LONGEST) > 0:
            fields["name"] = _shortened(fields["name"], over)
            name = self._filled(fields) + suffix
        folder = path.parent
        if self.folder is not None:
            below = path.parent.relative_to(root) if self.mirrors and path.parent.is_relative_to(root) else Path()
            folder = self.folder / below
        return folder / name

    def _filled(self, fields: Mapping[str, str]) -> str:
        return re.sub(r"{([^{}]*)}", lambda found: fields[found[1]], self.pattern)


_LONGEST = 240
"""Bytes of a result's name: systems take 255, of which a number and the suffix of a sidecar need some."""


def _shortened(name: str, over: int) -> str:
    """A name without its last characters that take so many bytes."""
    kept = os.fsencode(name)[: -over or None].decode(errors="ignore")
    return kept.rstrip(" .") or name[:1]


def _braced(name: str) -> str:
    return f"{{{name}}}"


@dataclass(frozen=True)
class Found:
    """A picture and the folder that was searched for it."""

    path: Path
    root: Path


@dataclass(frozen=True)
class Filter:
    """Which files of a folder are taken.

    Attributes:
        recursive: also those of the folders in it.
        include: patterns of names (`*.jpg`, `2024/*`), of which one has to fit; none is all.
        exclude: patterns of which none may fit.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, found: Found) -> bool:
        """Whether a picture fits the patterns; a pattern with a slash is held against the path below the root."""
        below = found.path.relative_to(found.root).as_posix() if found.path.is_relative_to(found.root) else ""

        def fits(pattern: str) -> bool:
            name = below if "/" in pattern else found.path.name
            return fnmatch.fnmatch(name.casefold(), pattern.casefold())

        return (not self.include or any(map(fits, self.include))) and not any(map(fits, self.exclude))


class Places:
    """Tells whether two paths are one file, whatever their spelling; folders are looked up once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def folder(self, path: Path) -> Path:
        """The folder without links and relative parts."""
        if path not in self._folders:
            self._folders[path] = Path(os.path.realpath(path))
        return self._folders[path]

    def of(self, path: Path) -> Path:
        """The file in its folder as that is; a link that is the file itself stays one: it can be replaced."""
        return self.folder(path.parent) / path.name

    def key(self, path: Path) -> str:
        """Equal for names that some file system takes for the same."""
        return unicodedata.normalize("NFC", str(self.of(path)).casefold())

    def source(self, path: Path) -> set[str]:
        """Keys of what must not be replaced where this is a picture: itself, and what it leads to."""
        keys = {self.key(path)}
        if os.path.islink(path):
            keys.add(self.key(Path(os.path.realpath(path))))
        return keys


def find(given: Iterable[Path], which: Filter, out: Path | None = None) -> list[Found]:
    """The pictures in files and folders, in natural order, each once; those below `out` are results, not inputs.

    A file that was given is taken whatever its name, and so is a folder that cannot be looked into: it has to be told.
    """
    found: dict[Path, Found] = {}
    places = Places()
    for path in given:
        if not os.path.isdir(path):
            found.setdefault(places.of(path), Found(path, path.parent))
            continue
        unread: list[OSError] = []
        inside = [Found(one, path) for one in find_images([path], which.recursive, unread.append)]
        # A folder in that of the results may well be an input.
        if out is not None and places.folder(path) in places.folder(out).parents:
            inside = [one for one in inside if not places.folder(one.path.parent).is_relative_to(places.folder(out))]
        closed = [Found(Path(error.filename), path) for error in unread]
        for one in [*filter(which.takes, inside), *closed]:
            found.setdefault(places.of(one.path), one)
    return list(found.values())


@dataclass(frozen=True)
class Item:
    """One picture of a batch.

    Attributes:
        number: of the picture; whoever plans gives it.
        path: of the noisy picture.
        target: of the result.
        values: what is set for it.
        problem: why it is not denoised; "" where it is.
        is_wanted: whether a problem is what the user chose: leave what is there.
        replaces: whether a file at `target` may be replaced.
        reference: its clean twin, to be compared with.
    """

    number: int
    path: Path
    target: Path
    values: Values = AUTOMATIC
    problem: str = ""
    is_wanted: bool = False
    replaces: bool = False
    reference: Path | None = None


class Planner:
    """Gives each picture a file of its own.

    Args:
        naming: how results are called.
        how: the type of file.
        conflict: one of `CONFLICTS`, or "" for a problem that is told.
        known: what earlier runs of this batch made of which picture; they keep their names.
        results: of other batches: no pictures either.
    """

    def __init__(
        self,
        naming: Naming,
        how: Encoding = AS_INPUT,
        conflict: str = "",
        known: Mapping[Path, Path] | None = None,
        results: Iterable[Path] = (),
    ) -> None:
        self._naming, self._how, self._conflict = naming, how, conflict
        self._places = Places()
        self._known = {self._places.of(path): target for path, target in (known or {}).items()}
        self._taken = {self._places.key(path) for path in self._known.values()}
        self._results = {self._places.of(path) for path in (*self._known.values(), *results)}
        self._named: dict[Path, Path] = {}
        self._numbers: dict[Path, int] = {}

    def plan(self, found: Sequence[Found], values: Sequence[Values] | Values = AUTOMATIC, first: int = 1) -> list[Item]:
        """An item for each picture that is no result of this batch itself, with numbers from `first` on.

        A picture that was planned before keeps its name.
        """
        given = [values] * len(found) if isinstance(values, Values) else values
        pairs = [
            (one, own) for one, own in zip(found, given, strict=True) if self._places.of(one.path) not in self._results
        ]
        # No result ever takes the place of a picture that is still to be denoised.
        for one, _ in pairs:
            self._taken |= self._places.source(one.path)
        items = []
        last = first + len(pairs) - 1
        for number, (one, own) in enumerate(pairs, first):
            try:
                items.append(self._item(number, last, one, own))
            except OSError as error:  # such as a name that is too long
                items.append(
                    Item(
                        number,
                        one.path,
                        one.path,
                        own,
                        tr("{name} cannot be saved: {reason}").format(name=one.path.name, reason=error.strerror),
                    )
                )
        return items

    def _item(self, number: int, last: int, one: Found, values: Values) -> Item:
        place = self._places.of(one.path)
        known = self._known.get(place)
        if known is not None and own_suffix(known) == (self._how.suffix or own_suffix(one.path)):
            return Item(number, one.path, known, values, replaces=self._conflict == "replace")
        target = self._naming.target(one.path, one.root, number, last, self._how)
        is_input = self._places.key(target) in self._places.source(one.path)
        if is_input and self._conflict != "number":
            return Item(
                number,
                one.path,
                target,
                values,
                tr("{target} is the input itself; give the results other names").format(target=target),
            )
        if place in self._named:
            target = self._named[place]
        elif self._places.key(target) in self._taken or (self._conflict == "number" and target.exists()):
            # Two pictures of one name and two types, as cameras write them, both get a file.
            target = self._numbered(target)
        problem = ""
        if self._conflict in ("", "skip") and target.exists():
            said = (
                tr("{target} exists already")
                if self._conflict == "skip"
                else tr("{target} exists already; give another name or --overwrite")
            )
            problem = said.format(target=target)
        self._taken.add(self._places.key(target))
        self._named[place] = target
        if not problem:
            self._results.add(self._places.of(target))
            self._known[place] = target
        is_wanted, replaces = self._conflict == "skip", self._conflict == "replace"
        return Item(number, one.path, target, values, problem, is_wanted, replaces)

    def _numbered(self, target: Path) -> Path:
        number = self._numbers.get(target, 2)
        while True:
            other = target.with_name(f"{own_stem(target)}-{number}{own_suffix(target)}")
            number += 1
            if self._places.key(other) not in self._taken and not (self._conflict == "number" and other.exists()):
                self._numbers[target] = number
                return other


def estimate_bytes(items: Sequence[Item], how: Encoding, most: int = 50) -> int:
    """About how much the results take on the disk; at most `most` files are looked into, the rest go by their size."""
    todo = [item for item in items if not item.problem]
    step = max(1, -(-len(todo) // most))
    looked = [(size, item.path.stat().st_size) for item in todo[::step] if (size := _result_bytes(item, how))]
    if not looked:
        return 0
    ratio = sum(result for result, _ in looked) / max(1, sum(own for _, own in looked))
    total = 0
    for item in todo:
        try:
            total += item.path.stat().st_size
        except OSError:
            continue
    return round(ratio * total)


def _result_bytes(item: Item, how: Encoding) -> int:
    try:
        header = peek(item.path)
    except (ImageError, OSError):
        return 0
    bits = how.bits or header.bits
    suffix = item.target.suffix.lower()
    samples = header.width * header.height * header.channels * header.pages
    return round(samples * (_COMPRESSED[suffix] if suffix in _COMPRESSED else bits / 8))


def free_bytes(items: Sequence[Item]) -> int | None:
    """What is free on the disk of the first result; None where that cannot be known."""
    folder = items[0].target.parent if items else Path()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
