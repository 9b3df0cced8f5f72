"""Noisy files and installed models for the tests of the window."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from conftest import picture
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.encode import save_image
from engine.image import Image
from models import checkpoint


def install_models() -> None:
    """A tiny colour and a tiny grey model in the user's folder."""
    for channels, name in ((3, "tiny"), (1, "tiny-grey")):
        install(name, channels=channels)


def install(name: str, method: str = "r2r", channels: int = 3, **arch) -> None:
    """A model of this method in the user's folder."""
    made = dataclasses.replace(checkpoint(channels, method, **arch), name=name)
    save_checkpoint(made, paths.models() / f"{name}.safetensors")


def noisy_pixels(height: int = 120, width: int = 160, sigma: float = 25 / 255, seed: int = 0) -> np.ndarray:
    noise = sigma * np.random.default_rng(seed).standard_normal((height, width, 3))
    return (picture(height, width) + noise).astype(np.float32)


def noisy_file(path: Path, height: int = 120, width: int = 160, **details) -> Path:
    """A noisy colour picture; .tif keeps its noise unclipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_tiff = path.suffix == ".tif"
    image = Image(noisy_pixels(height, width, **details), bits=32 if is_tiff else 8, is_float=is_tiff)
    save_image(image, path)
    return path
