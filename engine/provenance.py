"""The sidecar: what was done to which picture, so that it can be done again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import engine
from engine.areas import Areas
from engine.files import write_text


@dataclass(frozen=True)
class Provenance:
    """All that decides the pixels of a result.

    Attributes:
        sigma: on the 0 to 255 scale of the picture's levels.
        params: the method's other parameters.
        luminance, chroma: factors on the strength.
        areas: where the strength is another one.
        guard: kappa of the detail guard, 0 where it was off.
        tile: side that was used.
    """

    input: str
    input_sha256: str
    output: str
    method: str
    model: str
    model_sha256: str
    sigma: float
    sigma_automatic: bool
    params: dict[str, Any]
    strength: float
    luminance: float
    chroma: float
    areas: Areas
    guard: float
    seed: int
    device: str
    precision: str
    tile: int


def sidecar_path(output: Path) -> Path:
    """Beside the result, with `.json` after its whole name."""
    return output.with_name(output.name + ".json")


def write_sidecar(provenance: Provenance, output: Path) -> Path:
    """Write the sidecar of `output` whole or not at all and return its path."""
    path = sidecar_path(output)
    text = json.dumps({"program": "pellucid", "version": engine.__version__, **asdict(provenance)}, indent=2)
    write_text(path, text + "\n")
    return path
