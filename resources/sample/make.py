"""Make coffee_noisy.tif from coffee_clean.png: seeded Gaussian noise, sigma 25/255, stored unclipped."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile

FOLDER = Path(__file__).resolve().parent
SEED = 0
SIGMA = 25 / 255
# Rounded, so that deflate saves something: a step of 1/4096 adds a 1400th of the noise's standard deviation.
STEPS = 4096


def noisy_pixels(clean: np.ndarray) -> np.ndarray:
    """Add the sample's noise.

    Args:
        clean: (H, W, 3) uint8, RGB.

    Returns:
        (H, W, 3) float32, RGB; 1 is white, values lie on both sides of [0, 1].
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    noisy = clean / 255 + SIGMA * rng.standard_normal(clean.shape)
    return (np.round(noisy * STEPS) / STEPS).astype(np.float32)


def main() -> None:
    """Read the clean picture beside this file and write the noisy one."""
    coded = np.fromfile(FOLDER / "coffee_clean.png", np.uint8)
    clean = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB)
    tifffile.imwrite(
        FOLDER / "coffee_noisy.tif",
        noisy_pixels(clean),
        photometric="rgb",
        compression="adobe_deflate",
        compressionargs={"level": 9},
        predictor=True,
        description="seeded noise, sigma 25/255, unclipped",
        metadata=None,
        software=False,
    )


if __name__ == "__main__":
    main()
