"""Random patches of the noisy pictures in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.color import to_grey, to_rgb
from engine.corruption import Corruption, rng_for
from engine.image import ImageError, find_images, load_image
from engine.method import Batch
from engine.noise import NoiseError, NoiseReport, estimate_noise
from training.job import TrainError, TrainJob


@dataclass(frozen=True, eq=False)
class Picture:
    """One training picture: pixels (H, W, C) in the trained range, its noise level there and how it was measured."""

    name: str
    pixels: np.ndarray
    sigma: float
    report: NoiseReport | None = None


def load_pictures(job: TrainJob) -> list[Picture]:
    """All usable pictures of the job's folder; TrainError says why there are none.

    With `job.noise` and not `job.fresh`, the noise is added here, once: no later step can reach a clean pixel.
    """
    corruption = Corruption.parse(job.noise) if job.noise else None
    pictures, refused = [], []
    paths = find_images([Path(job.data)], recursive=True)
    for path in paths:
        try:
            image = load_image(path)
            black, white = image.levels
            pixels = in_channels((image.pixels - black) / (white - black), job).astype(np.float32)
            if min(pixels.shape[:2]) < job.patch:
                raise ImageError(f"{path.name} is smaller than a patch of {job.patch} pixels")
            if job.sides and not all(job.sides[0] <= side <= job.sides[1] for side in pixels.shape[:2]):
                raise ImageError(f"{path.name} has a side that is not {job.sides[0]} to {job.sides[1]} pixels")
            if corruption is None:
                report = estimate_noise(pixels)
                pictures.append(Picture(path.stem, pixels, report.sigma, report))
            elif job.fresh or job.target:
                pictures.append(Picture(path.stem, pixels, 0.0))
            else:
                pictures.append(Picture(path.stem, *corruption.apply(pixels, rng_for(job.seed, path.stem))))
        except (ImageError, NoiseError) as error:
            refused.append(str(error))
    if not pictures:
        raise TrainError(
            f"None of the {len(paths)} pictures in {job.data} can be used"
            + (f"; the first: {refused[0]}" if refused else "; expected pictures such as PNG, JPEG or TIFF")
        )
    return pictures


def load_clean(job: TrainJob) -> list[Picture]:
    """The unpaired clean pictures of the job, if it has any."""
    if job.clean is None:
        return []
    return load_pictures(replace(job, data=job.clean, noise="gaussian:0", fresh=True, target=None, clean=None))


def in_channels(pixels: np.ndarray, job: TrainJob) -> np.ndarray:
    """(H, W, C) as the job's network takes it: luminance or RGB."""
    return to_grey(pixels) if job.grey else to_rgb(pixels)


class Sampler:
    """Draws batches; with the same generator state it draws the same ones.

    Args:
        pictures: the job's.
        job: the run.
        clean: unpaired clean pictures, for stages that learn from them.
    """

    def __init__(self, pictures: Sequence[Picture], job: TrainJob, clean: Sequence[Picture] = ()) -> None:
        self.pictures, self.job, self.clean = pictures, job, clean
        self.corruption = Corruption.parse(job.noise) if job.noise and (job.fresh or job.target) else None

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (B, C, h, w) and their sigma (B, 1, 1, 1), flipped and turned at random.

        White noise has no direction, so all eight orientations are fair.
        """
        noisy, targets, sigmas, reports = [], [], [], []
        for index in rng.integers(len(self.pictures), size=self.job.batch):
            picture = self.pictures[index]
            patch, sigma, target = self._cut(picture, rng), picture.sigma, None
            if self.corruption is not None:
                clean = patch
                patch, sigma = self.corruption.apply(clean, rng)
                if self.job.target:
                    target = clean if self.job.target == "clean" else self.corruption.apply(clean, rng)[0]
            noisy.append(patch)
            targets.append(target)
            sigmas.append(sigma)
            if picture.report is not None:
                reports.append(picture.report)
        clean = (
            [self._cut(self.clean[i], rng) for i in rng.integers(len(self.clean), size=self.job.batch)]
            if self.clean
            else None
        )
        return Batch(
            _planes(noisy),
            torch.tensor(sigmas, dtype=torch.float32).view(-1, 1, 1, 1),
            _planes(targets) if self.job.target else None,
            _planes(clean) if clean else None,
            reports,
        )

    def _cut(self, picture: Picture, rng: np.random.Generator) -> np.ndarray:
        side = self.job.patch
        height, width = picture.pixels.shape[:2]
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        patch = np.rot90(picture.pixels[top : top + side, left : left + side], int(rng.integers(4)))
        return patch[:, ::-1] if rng.integers(2) else patch


def _planes(patches: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2), dtype=np.float32))
