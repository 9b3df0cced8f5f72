"""Random patches of camera mosaics: as packed planes, or recorrupted in the raw domain and then developed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engine.develop import develop_as_published
from engine.image import ImageError
from engine.language import tr
from engine.method import Batch
from engine.mosaic import Mosaic, pack
from engine.noise import NoiseError, estimate_noise
from engine.raw import find_mosaics, read_mosaic
from training.job import TrainError, TrainJob
from training.patches import planes

_AROUND = 8
"""Pixels developed around a patch and cut off again, for demosaicing's reach; even, so that colours stay in place."""


def load_mosaics(job: TrainJob) -> list[Mosaic]:
    """The usable mosaics of the job, each with its noise level function; TrainError says why there are none."""
    found, refused = [], []
    paths = find_mosaics(Path(job.data))
    for path in paths:
        try:
            mosaic = read_mosaic(path)
            if min(mosaic.pixels.shape) < job.patch * (2 if job.domain == "mosaic" else 1) + 2 * _AROUND:
                raise ImageError(
                    tr("{name} is smaller than a patch of {patch} pixels").format(name=path.name, patch=job.patch)
                )
            found.append(mosaic if mosaic.noise is not None else replace(mosaic, noise=fitted_noise(mosaic)))
        except (ImageError, NoiseError) as error:
            refused.append(str(error))
    if not found:
        raise TrainError(
            (
                tr("None of the {count} mosaics in {folder} can be used; the first: {reason}")
                if refused
                else tr(
                    "None of the {count} mosaics in {folder} can be used; expected DNG files or SIDD's "
                    "*_NOISY_RAW_*.MAT"
                )
            ).format(count=len(paths), folder=job.data, reason=next(iter(refused), ""))
        )
    return found


def fitted_noise(mosaic: Mosaic) -> np.ndarray:
    """Noise level function (3, 2) measured in the mosaic itself; each filter site is a picture of its own.

    The lines come from flat patches, which textured pictures do not have; so all are scaled to the variance that is
    found with the texture told apart.
    """
    planes = pack(mosaic.pixels, mosaic.pattern)
    reports = [estimate_noise(np.ascontiguousarray(planes[:, :, [index]])) for index in range(4)]
    lines = np.array([(report.slope[0], report.offset[0]) for report in reports])
    predicted = lines[:, 0] @ planes.mean((0, 1)) + lines[:, 1].sum()
    if predicted > 0:
        lines *= sum(report.sigma**2 for report in reports) / predicted
    return np.array([lines[0], lines[1:3].mean(0), lines[3]])


class MosaicSampler:
    """Draws batches from mosaics; with the same generator state it draws the same ones.

    With the domain "mosaic" a patch is four planes (red, green, green, blue) of half the size, for any method that
    takes white noise. With "developed" it is R2R's recipe for camera pictures (Pang et al., CVPR 2021, SIDD): noise e
    of the sensor's own variance is added to the mosaic, y + alpha e the input and y - e / alpha the target, and both
    are developed alike. In sRGB the covariance never has to be written down; what clipping and curves do to the mean
    remains.
    """

    def __init__(self, mosaics: list[Mosaic], job: TrainJob) -> None:
        self.mosaics, self.job = mosaics, job
        self.alpha = float(job.params.get("alpha") or 2.0)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (B, 4 or 3, h, w), flipped and turned at random, and their noise deviation."""
        drawn = [self._draw(self.mosaics[i], rng) for i in rng.integers(len(self.mosaics), size=self.job.batch)]
        noisy, targets, sigmas = zip(*drawn, strict=True)
        sigma = torch.tensor(sigmas, dtype=torch.float32).view(-1, 1, 1, 1)
        return Batch(planes(noisy), sigma, planes(targets) if targets[0] is not None else None)

    def _draw(self, mosaic: Mosaic, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, float]:
        packed = self.job.domain == "mosaic"
        side = self.job.patch * 2 if packed else self.job.patch + 2 * _AROUND
        height, width = mosaic.pixels.shape
        top, left = (2 * int(rng.integers((length - side) // 2 + 1)) for length in (height, width))
        noisy = mosaic.pixels[top : top + side, left : left + side]
        variance = mosaic.variance(noisy)
        turn, flip = int(rng.integers(4)), bool(rng.integers(2))

        def turned(planes: np.ndarray) -> np.ndarray:
            planes = np.rot90(planes, turn)
            return planes[:, ::-1] if flip else planes

        if packed:
            return turned(pack(noisy, mosaic.pattern)), None, float(np.sqrt(variance.mean()))
        e = np.sqrt(variance) * rng.standard_normal(noisy.shape)
        inner = np.s_[_AROUND:-_AROUND, _AROUND:-_AROUND]
        given, target, plain = (
            develop_as_published((noisy + share * e).astype(np.float32), mosaic)[inner]
            for share in (self.alpha, -1 / self.alpha, 0.0)
        )
        # What was added stands to all the noise of the input as alpha to sqrt(1 + alpha^2).
        added = float(np.sqrt(np.mean((given - plain) ** 2)))
        return turned(given), turned(target), added * (1 + self.alpha**-2) ** 0.5
