"""Short trainings on generated pictures, and what they reach on others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from conftest import picture
from engine import params
from engine.denoise import Denoising, load_model
from engine.encode import save_image
from engine.image import Image
from engine.metrics import psnr
from training.job import TrainJob
from training.loop import train
from training.run import CHECKPOINT

SIGMA = 25 / 255


def reached(folder: Path, **job) -> tuple[float, float, float]:
    """Train with sigma 25 and give the mean PSNR of unseen noisy pictures, of their best Gaussian blur and denoised.

    Args:
        folder: an empty one.
        job: of `TrainJob`.
    """
    data = folder / "pictures"
    data.mkdir()
    for index in range(8):
        # Colours in every order and inverted, or a network would learn the colours of these pictures.
        clean = picture(96 + 8 * index, 160 - 8 * index)[..., np.random.default_rng(index).permutation(3)]
        save_image(Image((clean if index % 2 else 1 - clean).astype(np.float32)), data / f"{index}.png")
    run = folder / "run"
    run.mkdir()
    settings = {"batch": 8, "patch": 64, "learning_rate": 5e-3, "device": "cpu", **job}
    list(train(TrainJob(data=str(data), noise="gaussian:25", **settings), run))
    model = load_model(run / CHECKPOINT, device="cpu", precision="float32")
    values = params.make(model.method.Params, {})
    found = []
    for seed, (height, width) in enumerate(((90, 134), (75, 111), (128, 100))):
        clean = np.ascontiguousarray(picture(height, width)[::-1, ::-1, ::-1], dtype=np.float32)
        noisy = (clean + SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)
        work = Denoising(model, Image(noisy), values, sigma=SIGMA)
        for _ in work.run(1):
            pass
        blurred = max(psnr(cv2.GaussianBlur(noisy, (0, 0), width), clean) for width in np.arange(0.4, 3, 0.1))
        found.append((psnr(noisy, clean), blurred, psnr(work.mean(1), clean)))
    return tuple(np.mean(found, 0))
