"""Random patches of the noisy pictures in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.color import to_grey, to_rgb
from engine.corruption import Corruption, rng_for
from engine.image import ImageError, find_images, load_image
from engine.noise import NoiseError, estimate_noise
from training.job import TrainError, TrainJob


@dataclass(frozen=True, eq=False)
class Picture:
    """One training picture: pixels (H, W, C) in the trained range and its noise level there."""

    name: str
    pixels: np.ndarray
    sigma: float


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
            if corruption is None:
                pictures.append(Picture(path.stem, pixels, estimate_noise(pixels).sigma))
            elif job.fresh:
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


def in_channels(pixels: np.ndarray, job: TrainJob) -> np.ndarray:
    """(H, W, C) as the job's network takes it: luminance or RGB."""
    return to_grey(pixels) if job.grey else to_rgb(pixels)


class Sampler:
    """Draws batches; with the same generator state it draws the same ones."""

    def __init__(self, pictures: Sequence[Picture], job: TrainJob) -> None:
        self.pictures, self.job = pictures, job
        self.corruption = Corruption.parse(job.noise) if job.noise and job.fresh else None

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Noisy patches (B, C, h, w) and their sigma (B, 1, 1, 1), flipped and turned at random.

        White noise has no direction, so all eight orientations are fair.
        """
        side = self.job.patch
        patches, sigmas = [], []
        for index in rng.integers(len(self.pictures), size=self.job.batch):
            picture = self.pictures[index]
            height, width = picture.pixels.shape[:2]
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
            patch, sigma = picture.pixels[top : top + side, left : left + side], picture.sigma
            if self.corruption is not None:
                patch, sigma = self.corruption.apply(patch, rng)
            patch = np.rot90(patch, int(rng.integers(4)))
            patches.append(patch[:, ::-1] if rng.integers(2) else patch)
            sigmas.append(sigma)
        noisy = torch.from_numpy(np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2)))
        return noisy, torch.tensor(sigmas, dtype=torch.float32).view(-1, 1, 1, 1)
