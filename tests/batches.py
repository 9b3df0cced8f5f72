"""Folders of small noisy pictures, and a model that denoises them quickly."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from app.values import Values
from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from models import checkpoint

VALUES = Values("r2r", "color", {"r2r": {"sigma": 15 / 255, "passes": 2}})


def install() -> None:
    """A tiny colour model."""
    save_checkpoint(replace(checkpoint(), name="color"), paths.models() / "color.safetensors")


def pictures(folder: Path, count: int, side: int = 48, suffix: str = ".png", start: int = 0) -> list[Path]:
    """Noisy pictures, each another one, called 000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for index in range(start, start + count):
        rng = np.random.default_rng(index)
        clean = np.roll(picture(side, side + 8), 17 * index, axis=(0, 1))
        noisy = np.clip(clean + 15 / 255 * rng.standard_normal(clean.shape), 0, 1)
        path = folder / f"{index:03}{suffix}"
        path.write_bytes(cv2.imencode(suffix, np.rint(noisy * 255).astype(np.uint8))[1].tobytes())
        made.append(path)
    return made
