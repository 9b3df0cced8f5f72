"""The fixed square that a user watches while a network learns: before, as the start gives it, and now."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import params
from engine.corruption import Corruption, rng_for
from engine.denoise import Denoising, Model
from engine.image import Image, load_image, save_image
from engine.noise import measure_noise
from engine.proposal import settled_sigma
from training.job import TrainError, TrainJob
from training.patches import in_channels
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
        image = load_image(Path(job.data) / chosen.name)
        black, white = image.levels
        pixels = in_channels((image.pixels - black) / (white - black), job)
        if job.noise:
            pixels, level = Corruption.parse(job.noise).apply(pixels, rng_for(job.seed, Path(chosen.name).stem))
            self._report, self._sigma = None, level
        else:
            self._report = measure_noise(image)
            self._sigma = self._report.sigma
        part = pixels[max(0, chosen.top) :, max(0, chosen.left) :][: chosen.side, : chosen.side]
        if min(part.shape[:2]) < 16:
            raise TrainError(f"The preview lies outside of {chosen.name}; choose another place")
        self._part, self._run, self._seed = Image(part.copy()), run, job.seed
        self._save(self._part, 0)

    def write(self, model: Model, suggested: Mapping[str, Any], index: int) -> None:
        """What a model makes of it: 1 is the start, 2 the network by now."""
        specs = params.specs(model.method.Params)
        silent = {"estimate": "off"} if any(spec.name == "estimate" for spec in specs) else {}
        values = params.make(model.method.Params, {**suggested, **silent})
        sigma: float | None = self._sigma
        if self._report is not None:
            sigma = settled_sigma(self._report, specs, getattr(values, "sigma", None))
        tile = max(self._part.height, self._part.width)
        work = Denoising(
            model, self._part, values, sigma=sigma or 0.0, seed=self._seed, tile=tile, report=self._report, keep=False
        )
        for _ in work.run(model.method.group):
            pass
        self._save(dataclasses.replace(self._part, pixels=work.mean(model.method.group)), index)

    def _save(self, image: Image, index: int) -> None:
        save_image(image, self._run / PREVIEWS[index], bits=8)
