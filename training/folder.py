"""The pre-flight: what is in a folder of pictures, what would go wrong with it, and what to do. No torch, no Qt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.noise import NoiseReport


@dataclass(frozen=True, eq=False)
class Found:
    """One file of the folder.

    Attributes:
        name: below the folder, with slashes.
        problem: why it cannot be used, "" if it can.
        width, height, channels, bits: 0 where it cannot be read.
        camera: make and model, "" where the file does not say.
        iso: None where the file does not say.
        taken: seconds since 1970, None where the file does not say.
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
    """Look at every picture of the folder."""
    raise NotImplementedError


def grouped(found: Sequence[Found]) -> list[Group]:
    """The usable pictures by camera and ISO, the largest group first."""
    raise NotImplementedError


def hold_out(found: Sequence[Found], share: float = 0.15, seed: int = 0) -> list[str]:
    """Names of whole scenes to judge on, of every group in proportion."""
    raise NotImplementedError


def check(found: Sequence[Found], held_out: Sequence[str], *, patch: int = 64, run_folder: Path) -> list[Finding]:
    """What would go wrong with these pictures, worst first."""
    raise NotImplementedError
