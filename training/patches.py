"""Patches of the noisy pictures in a folder: at random, or of a grid as the published sets are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.color import to_grey, to_rgb
from engine.corruption import Corruption, rng_for
from engine.image import ImageError, find_images, load_image
from engine.method import Batch
from engine.noise import NoiseError, NoiseReport, estimate_noise
from engine.pairs import is_reference
from training.job import TrainError, TrainJob

BUDGET = 4 * 2**30
"""Bytes of pictures in memory; of what exceeds its share of that, windows at random places are kept."""

_WINDOW = 256


@dataclass(frozen=True, eq=False)
class Picture:
    """One training picture, or a window of one.

    Attributes:
        name: of its file below the job's folder; a picture's windows and its smaller versions share it.
        pixels: (H, W, C) in the trained range.
        sigma: its noise level there.
        report: how that was measured.
    """

    name: str
    pixels: np.ndarray
    sigma: float
    report: NoiseReport | None = None


def load_pictures(job: TrainJob) -> list[Picture]:
    """All usable pictures of the job's folder; TrainError says why there are none.

    With `job.noise` and not `job.fresh`, the noise is added here, once: no later step can reach a clean pixel. Of
    `job.scales` each makes a picture of its own, with noise of its own. Where the noise is the pictures' own, those
    whose names say that they are clean twins (`pairs.is_reference`) are left out. A folder larger than `BUDGET` is
    learned from in windows of its pictures, the same for the same seed.
    """
    corruption = Corruption.parse(job.noise) if job.noise else None
    pictures, refused = [], []
    paths = find_images([Path(job.data)], recursive=True)
    if corruption is None and paths:
        paths = [path for path in paths if not is_reference(path)]
        if not paths:
            raise TrainError(f"All pictures in {job.data} are clean ones by their names; give the noisy ones")
    for path in paths:
        # Cameras give the same names in every folder.
        label = path.relative_to(job.data).as_posix()
        try:
            image = load_image(path)
            black, white = image.levels
            pixels = in_channels((image.pixels - black) / (white - black), job).astype(np.float32)
            if int(min(pixels.shape[:2]) * min(job.scales)) < job.patch:
                raise ImageError(f"{path.name} is smaller than a patch of {job.patch} pixels")
            if job.sides and not all(job.sides[0] <= side <= job.sides[1] for side in pixels.shape[:2]):
                raise ImageError(f"{path.name} has a side that is not {job.sides[0]} to {job.sides[1]} pixels")
            if corruption is None:
                report = estimate_noise(pixels)
                pictures += _within(Picture(label, pixels, report.sigma, report), BUDGET // len(paths), job)
                continue
            for scale in job.scales:
                version, sigma = _rescaled(pixels, scale), 0.0
                name = path.stem if scale == 1 else f"{path.stem}@{scale:g}"
                if not (job.fresh or job.target):
                    version, sigma = corruption.apply(version, rng_for(job.seed, name))
                pictures += _within(Picture(label, version, sigma), BUDGET // len(paths) // len(job.scales), job)
        except (ImageError, NoiseError) as error:
            refused.append(str(error))
    if not pictures:
        raise TrainError(
            f"None of the {len(paths)} pictures in {job.data} can be used"
            + (f"; the first: {refused[0]}" if refused else "; expected pictures such as PNG, JPEG or TIFF")
        )
    return pictures


def _within(picture: Picture, share: int, job: TrainJob) -> list[Picture]:
    """The picture, or as many windows of it as fit into `share` bytes, at least one."""
    if picture.pixels.nbytes <= share:
        return [picture]
    side = max(_WINDOW, 2 * job.patch)
    height, width = (min(side, length) for length in picture.pixels.shape[:2])
    count = max(1, share // (height * width * picture.pixels.shape[2] * 4))
    rng = rng_for(job.seed, picture.name)
    windows = []
    for _ in range(count):
        top = rng.integers(picture.pixels.shape[0] - height + 1)
        left = rng.integers(picture.pixels.shape[1] - width + 1)
        # A copy, or the whole picture would stay in memory behind it.
        windows.append(replace(picture, pixels=picture.pixels[top : top + height, left : left + width].copy()))
    return windows


def load_clean(job: TrainJob) -> list[Picture]:
    """The unpaired clean pictures of the job, if it has any."""
    if job.clean is None:
        return []
    return load_pictures(replace(job, data=job.clean, noise="gaussian:0", fresh=True, target=None, clean=None))


def in_channels(pixels: np.ndarray, job: TrainJob) -> np.ndarray:
    """(H, W, C) as the job's network takes it: luminance or RGB."""
    return to_grey(pixels) if job.grey else to_rgb(pixels)


def split(pictures: Sequence[Picture], share: float, seed: int) -> tuple[list[Picture], list[Picture]]:
    """The pictures to learn from and those held out; TrainError where none would be left.

    Whole pictures with all their scales, not patches: patches of one overlap, and would be known already.
    """
    if not share:
        return list(pictures), []
    names = sorted({picture.name for picture in pictures})
    if len(names) < 2:
        raise TrainError("To hold some pictures out, there must be two at least")
    count = min(max(1, round(share * len(names))), len(names) - 1)
    held = {names[index] for index in rng_for(seed, "held out").permutation(len(names))[:count]}
    return [p for p in pictures if p.name not in held], [p for p in pictures if p.name in held]


def _rescaled(pixels: np.ndarray, scale: float) -> np.ndarray:
    """The picture in a smaller size, bicubic without smoothing, sides rounded down, as the published sets are made."""
    if scale == 1:
        return pixels
    height, width = (int(side * scale) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, -1)


class Sampler:
    """Draws batches; with the same generator state it draws the same ones.

    Args:
        pictures: the job's.
        job: the run.
        clean: unpaired clean pictures, for stages that learn from them.

    Attributes:
        places: (n, 3) number of the picture, top and left of each patch of the grid; None where there is no grid.
    """

    def __init__(self, pictures: Sequence[Picture], job: TrainJob, clean: Sequence[Picture] = ()) -> None:
        self.pictures, self.job, self.clean = pictures, job, clean
        self.corruption = Corruption.parse(job.noise) if job.noise and (job.fresh or job.target) else None
        self.places = _places(pictures, job.patch, job.stride) if job.stride else None
        self._order = rng_for(job.seed, "batches").permutation(0 if self.places is None else len(self.places))

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (B, C, h, w) and their sigma (B, 1, 1, 1), flipped and turned at random unless they are of a grid.

        White noise has no direction, so all eight orientations are fair.
        """
        noisy, targets, sigmas, reports = [], [], [], []
        for index, place in self._chosen(rng):
            picture = self.pictures[index]
            patch, sigma, target = self._cut(picture, rng, place), picture.sigma, None
            if self.corruption is not None:
                clean, corruption = patch, self.corruption.drawn(rng)
                patch, sigma = corruption.apply(clean, rng)
                if self.job.target:
                    target = clean if self.job.target == "clean" else corruption.apply(clean, rng)[0]
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
            planes(noisy),
            torch.tensor(sigmas, dtype=torch.float32).view(-1, 1, 1, 1),
            planes(targets) if self.job.target else None,
            planes(clean) if clean else None,
            reports,
        )

    def _chosen(self, rng: np.random.Generator) -> list[tuple[int, tuple[int, int] | None]]:
        """Picture and place of each patch of a batch; the place is None where it is drawn with the turn."""
        size = self.job.batch
        if self.places is None:
            return [(index, None) for index in rng.integers(len(self.pictures), size=size)]
        if self.job.draws == "fixed":
            # The same patches always meet, so that the draws of a whole batch can be repeated.
            first = size * rng.integers(-(-len(self.places) // size))
            chosen = self._order.take(range(first, first + size), mode="wrap")
        else:
            chosen = rng.integers(len(self.places), size=size)
        return [(index, (top, left)) for index, top, left in self.places[chosen]]

    def _cut(self, picture: Picture, rng: np.random.Generator, place: tuple[int, int] | None = None) -> np.ndarray:
        side = self.job.patch
        if place is not None:
            top, left = place
            return picture.pixels[top : top + side, left : left + side]
        height, width = picture.pixels.shape[:2]
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        patch = np.rot90(picture.pixels[top : top + side, left : left + side], int(rng.integers(4)))
        return patch[:, ::-1] if rng.integers(2) else patch


def _places(pictures: Sequence[Picture], side: int, stride: int) -> np.ndarray:
    """Number of the picture, top and left of every patch that fits, (n, 3)."""
    return np.array(
        [
            (index, top, left)
            for index, picture in enumerate(pictures)
            for top in range(0, picture.pixels.shape[0] - side + 1, stride)
            for left in range(0, picture.pixels.shape[1] - side + 1, stride)
        ]
    )


def planes(patches: Sequence[np.ndarray]) -> Tensor:
    """Patches (h, w, C) as (B, C, h, w) float32."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2), dtype=np.float32))
