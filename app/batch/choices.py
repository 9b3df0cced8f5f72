"""What the setup of a batch was left with, for the next one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choices:
    """All that is no property of the pictures at hand.

    Attributes:
        settings: whose: own, current, automatic, or "preset:" and a name.
        to_folder: whether results go to `folder`, or beside the originals.
        folder: of the results.
        mirrors: whether the folders inside the one that was given are made there, too.
        pattern: of names, see `app.batch.plan.Naming`.
        conflict: one of `app.batch.plan.CONFLICTS`.
        kind: suffix of the type of file, "" for the input's.
        bits: a sample, 0 for the input's.
        lossless, compression, quality: of types that let them be chosen.
        source: the folder that was denoised last.
        recursive: with the folders inside it.
        include, exclude: patterns of names, with commas between them.
    """

    settings: str = "own"
    to_folder: bool = False
    folder: str = ""
    mirrors: bool = True
    pattern: str = "{name}_denoised"
    conflict: str = "skip"
    kind: str = ""
    bits: int = 0
    lossless: bool = True
    compression: str = ""
    quality: int = 95
    source: str = ""
    recursive: bool = True
    include: str = ""
    exclude: str = "*_denoised.*"

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Choices:
        """What of a settings file makes sense; the rest takes its default."""
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        return cls(**{name: given[name] for name in known if type(given.get(name)) is type(known[name])})

    def as_json(self) -> dict[str, Any]:
        """For the settings."""
        return dataclasses.asdict(self)


def patterns(text: str) -> tuple[str, ...]:
    """Those of a line in which they are separated by commas or semicolons."""
    return tuple(part.strip() for part in text.replace(";", ",").split(",") if part.strip())
