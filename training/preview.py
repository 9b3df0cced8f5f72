"""The fixed square that a user watches while a network learns: before, as the start gives it, and now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.denoise import Model
from engine.encode import Encoding, save_image
from engine.image import Image
from engine.language import tr
from engine.noise import estimate_noise
from training.job import TrainError, TrainJob
from training.judge import Window, denoised
from training.patches import load_noisy
from training.run import PREVIEWS


class PreviewWriter:
    """Writes `training.run.PREVIEWS` into a run folder, 8 bits; TrainError where the picture cannot be used.

    Args:
        job: with a preview.
        run: the run folder.
    """

    def __init__(self, job: TrainJob, run: Path) -> None:
        chosen = job.preview
        assert chosen is not None
        pixels, sigma = load_noisy(job, chosen.name)
        report = estimate_noise(pixels) if sigma is None else None
        part = pixels[max(0, chosen.top) :, max(0, chosen.left) :][: chosen.side, : chosen.side]
        if min(part.shape[:2]) < 16:
            raise TrainError(tr("The preview lies outside of {name}; choose another place").format(name=chosen.name))
        level = report.sigma if report is not None else sigma or 0.0
        self._window = Window(chosen.name, part.copy(), level, report)
        self._run, self._seed = run, job.seed
        self._save(part, 0)

    def write(self, model: Model, suggested: Mapping[str, Any], index: int) -> None:
        """What a model makes of it: 1 is the start, 2 the network by now."""
        self._save(denoised(model, self._window, suggested, self._seed), index)

    def _save(self, pixels: np.ndarray, index: int) -> None:
        save_image(Image(pixels), self._run / PREVIEWS[index], Encoding(bits=8))
