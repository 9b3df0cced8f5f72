"""Presets: settings saved by name, each a JSON file in the user's data folder."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.values import Values, unknown
from engine import paths
from engine.files import write_text
from engine.language import tr

log = logging.getLogger(__name__)

VERSION = 1

_KNOWN = {"program", "kind", "version", "name", "values"}

_LONGEST_NAME = 80
_LONGEST_FILE_NAME = 160
"""Bytes before number and suffix; file systems end at 255."""

_LARGEST = 1 << 20

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, whatever follows a dot."""


class PresetError(ValueError):
    """A preset cannot be read, found or saved; the message is meant for the user."""


class PresetExistsError(PresetError):
    """Another preset has this name already.

    Attributes:
        name: as the other one writes it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(tr("There is a preset {name!r} already; replace it or choose another name").format(name=name))
        self.name = name


@dataclass(frozen=True)
class Preset:
    """Settings by name.

    Attributes:
        name: in any script, unlike that of every other preset, small and capital letters alike.
        values: without a noise level, unless it was to be kept.
        path: of its file.
        content: all that the file holds, also what only other versions know.
    """

    name: str
    values: Values
    path: Path
    content: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def remark(self) -> str:
        """What of the file this version does not know, as a sentence; "" if it knows all."""
        names = [name for name in self.content if name not in _KNOWN] + unknown(self.content["values"])
        if not names:
            return ""
        return tr("{name!r} holds what this version does not know and leaves out: {names}").format(
            name=self.name, names=", ".join(names)
        )


def load_all() -> list[Preset]:
    """All presets by name; a file that is none is named in the log."""
    found: dict[str, Preset] = {}
    try:
        files = sorted(paths.presets().glob("*.json"))
    except OSError as error:
        log.warning("The presets cannot be listed: %s", error)
        return []
    for path in files:
        try:
            preset = _read(path)
        except PresetError as error:
            log.warning("%s", error)
            continue
        other = found.setdefault(_key(preset.name), preset)
        if other is not preset:
            log.warning("%s and %s are both called %r; the first is taken", other.path, path, preset.name)
    return [found[key] for key in sorted(found)]


def find(name_or_path: str | Path) -> Preset:
    """A preset by its name, else the file; PresetError if there is neither or the file makes no sense."""
    presets, wanted = load_all(), str(name_or_path)
    for preset in presets:
        if _key(preset.name) == _key(wanted):
            return preset
    if os.path.isfile(wanted):  # which, unlike a Path, knows no name that is too long to be asked for
        return _read(Path(wanted), strict=True)
    names = ", ".join(preset.name for preset in presets)
    said = (
        tr("There is no preset {wanted!r} and no file of that name; there are {names}")
        if presets
        else tr("There is no preset {wanted!r} and no file of that name; none is saved yet")
    )
    raise PresetError(said.format(wanted=wanted, names=names))


def save(name: str, values: Values, replace: bool = False) -> Preset:
    """Write settings under a name; PresetExistsError where it is taken and `replace` is not said."""
    name = checked_name(name)
    content = {
        "program": "pellucid",
        "kind": "preset",
        "version": VERSION,
        "name": name,
        "values": values.without_areas().as_json(),
    }
    return _place(content, replace)


def rename(preset: Preset, name: str, replace: bool = False) -> Preset:
    """Give a preset another name; raises as `save`."""
    name = checked_name(name)
    if name == preset.name:
        return preset
    return _place({**preset.content, "name": name}, replace, instead_of=preset)


def delete(preset: Preset) -> None:
    """Remove a preset's file."""
    try:
        preset.path.unlink(missing_ok=True)
    except OSError as error:
        raise PresetError(tr("{name!r} cannot be deleted: {error}").format(name=preset.name, error=error)) from None


def export(preset: Preset, path: Path) -> Path:
    """Write a preset as a file for others, in place of one that is there."""
    _write(path, preset.content)
    return path


def bring_in(path: Path, name: str = "", replace: bool = False) -> Preset:
    """Take over a file that `export` wrote.

    Args:
        path: of the file.
        name: in place of the one that it has.
        replace: whether it may take the place of another preset of its name.

    Raises:
        PresetExistsError: the name is taken.
        PresetError: the file is no preset, or a value in it makes no sense.
    """
    preset = _read(path, strict=True)
    return _place({**preset.content, "name": checked_name(name or preset.name)}, replace)


def checked_name(name: str) -> str:
    """A name as it is shown; PresetError if it is empty, too long or cannot be shown."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name:
        raise PresetError(tr("A preset needs a name"))
    if len(name) > _LONGEST_NAME:
        raise PresetError(
            tr("A preset's name may have {most} characters, not {count}").format(most=_LONGEST_NAME, count=len(name))
        )
    # Control characters and halves of a character; joiners are needed to write some scripts.
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise PresetError(tr("A preset's name must be text that can be shown in one line"))
    return name


def file_name(name: str) -> str:
    """For the preset with this name: one that every file system takes."""
    safe = re.sub(r'[<>:"/\\|?*]', "_", name).strip(". ") or "preset"
    safe = f"_{safe}" if _RESERVED.match(safe) else safe
    return safe.encode()[:_LONGEST_FILE_NAME].decode(errors="ignore").rstrip(". ") + ".json"


def _key(name: str) -> str:
    """The same for names that people, or file systems, do not tell apart."""
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", name).split()).casefold())


def _read(path: Path, strict: bool = False) -> Preset:
    try:
        if path.stat().st_size > _LARGEST:
            raise PresetError(
                tr("{name} is no preset: it has more than {size} MB").format(name=path.name, size=_LARGEST >> 20)
            )
        text = path.read_bytes()
    except OSError as error:
        raise PresetError(
            tr("{name} cannot be read: {reason}").format(name=path.name, reason=error.strerror or error)
        ) from None
    try:
        content = json.loads(text)
    except (RecursionError, ValueError):
        raise PresetError(tr("{name} is no preset: it holds no JSON").format(name=path.name)) from None
    if not isinstance(content, dict) or (content.get("program"), content.get("kind")) != ("pellucid", "preset"):
        raise PresetError(tr("{name} is no preset of Pellucid").format(name=path.name))
    if not isinstance(content.get("values"), dict):
        raise PresetError(tr("{name} is no preset: it holds no values").format(name=path.name))
    try:
        name = content.get("name")
        name = checked_name(name if isinstance(name, str) else path.stem)
        values = Values.from_json(content["values"], strict).without_areas()
    except ValueError as error:
        raise PresetError(
            tr("{name} is no preset that can be used: {error}").format(name=path.name, error=error)
        ) from None
    return Preset(name, values, path, content)


def _place(content: Mapping[str, Any], replace: bool, instead_of: Preset | None = None) -> Preset:
    """Write a preset into the user's folder, and take away the one of the same name and the one that it replaces."""
    name = content["name"]
    others = [preset for preset in load_all() if _key(preset.name) == _key(name)]
    if instead_of is not None:
        others = [preset for preset in others if not _is_same_file(preset.path, instead_of.path)]
    if others and not replace:
        raise PresetExistsError(others[0].name)
    gone = [*others, instead_of] if instead_of is not None else others
    path = _free_path(name, gone)
    _write(path, content)
    for other in gone:
        if not _is_same_file(other.path, path):
            delete(other)
    return _read(path)


def _free_path(name: str, gone: Iterable[Preset]) -> Path:
    """A file that holds nothing else: names alike to a file system, or copied by hand, may have taken the first."""
    stem = file_name(name).removesuffix(".json")
    names = itertools.chain([f"{stem}.json"], (f"{stem}-{number}.json" for number in itertools.count(2)))
    tried = (paths.presets() / name for name in names)
    return next(path for path in tried if not path.exists() or any(_is_same_file(other.path, path) for other in gone))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise PresetError(
            tr("{path} cannot be written: {reason}").format(path=path, reason=error.strerror or error)
        ) from None


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return first == second
