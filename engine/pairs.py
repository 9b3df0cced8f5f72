"""Noisy pictures and their clean twins, told by name: X_real / X_mean and X_noisy / X_clean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.image import EXTENSIONS

_ENDINGS = (("_real", "_mean"), ("_noisy", "_clean"))


def find_reference(noisy: Path) -> Path | None:
    """The clean twin beside a noisy picture, in any format; None if there is none."""
    for ending, twin in _ENDINGS:
        if noisy.stem.lower().endswith(ending):
            stem = noisy.stem[: -len(ending)] + twin
            candidates = [noisy.with_name(stem + noisy.suffix), *sorted(noisy.parent.glob(f"{_literal(stem)}.*"))]
            return next((path for path in candidates if path.suffix.lower() in EXTENSIONS and path.is_file()), None)
    return None


def is_reference(path: Path) -> bool:
    """Whether the name says that this is a clean twin."""
    return any(path.stem.lower().endswith(twin) for _, twin in _ENDINGS)


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Pictures by file name without suffix."""
    return {path.stem: path for path in paths}


def _literal(name: str) -> str:
    """For glob: brackets in a file name are meant as they are."""
    return "".join(f"[{letter}]" if letter in "[]*?" else letter for letter in name)
