"""Noisy pictures and their clean twins, told by name: X_real and X_mean, X_noisy and X_clean, and those of SIDD."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engine.image import EXTENSIONS

_ENDINGS = (("_real", "_mean"), ("_noisy", "_clean"))
_SIDD = re.compile(r"(.*)_(NOISY|GT)(_(?:SRGB|RAW)_\d+)", re.IGNORECASE)
"""How that data set names its pictures: `0001_NOISY_SRGB_010` and `0001_GT_SRGB_010`."""


def find_reference(noisy: Path) -> Path | None:
    """The clean twin beside a noisy picture, in any format; None if there is none."""
    sidd = _SIDD.fullmatch(noisy.stem)
    twins = [noisy.stem[: -len(end)] + twin for end, twin in _ENDINGS if noisy.stem.lower().endswith(end)]
    twins += [f"{sidd[1]}_GT{sidd[3]}"] if sidd and sidd[2].upper() == "NOISY" else []
    if not twins:
        return None
    candidates = [noisy.with_name(twins[0] + noisy.suffix), *sorted(noisy.parent.glob(f"{_literal(twins[0])}.*"))]
    return next((path for path in candidates if path.suffix.lower() in EXTENSIONS and path.is_file()), None)


def is_reference(path: Path) -> bool:
    """Whether the name says that this is a clean twin."""
    sidd = _SIDD.fullmatch(path.stem)
    return (sidd is not None and sidd[2].upper() == "GT") or any(
        path.stem.lower().endswith(twin) for _, twin in _ENDINGS
    )


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Pictures by file name without suffix."""
    return {path.stem: path for path in paths}


def _literal(name: str) -> str:
    """For glob: brackets in a file name are meant as they are."""
    return "".join(f"[{letter}]" if letter in "[]*?" else letter for letter in name)
