"""Generated pictures, to go on practising what a model could do before it was tuned."""

from __future__ import annotations

import cv2
import numpy as np

from engine.corruption import rng_for

SIDE, COUNT = 256, 24

_RADII = (2.0, 100.0)
_LEAVES = 1200


def dead_leaves(seed: int, channels: int) -> list[np.ndarray]:
    """Pictures (256, 256, C) float32 in [0, 1] of discs that hide one another, their radii distributed as r^-3.

    They share with photographs that they look alike at every scale and are full of edges; networks learned from them
    denoise photographs nearly as well (Achddou, Gousseau, Ladjal: Synthetic images as a regularity prior for image
    restoration neural networks, SSVM 2021).
    """
    return [_picture(rng_for(seed, f"leaves {index}"), channels) for index in range(COUNT)]


def _picture(rng: np.random.Generator, channels: int) -> np.ndarray:
    least, most = (radius**-2 for radius in _RADII)
    radii = np.sort((least + (most - least) * rng.random(_LEAVES)) ** -0.5)[::-1]
    rng.shuffle(radii)
    places = rng.uniform(-20, SIDE + 20, (_LEAVES, 2))
    # Leaves of one picture have much the same light; their colours are paler than any at random.
    greys = rng.random((_LEAVES, 1))
    colours = np.clip(0.65 * greys + 0.35 * rng.random((_LEAVES, channels)), 0, 1)
    canvas = np.full((SIDE, SIDE, channels), rng.random(channels), np.float32)
    for place, radius, colour in zip(places, radii, colours, strict=True):
        # In sixteenths of a pixel, so that edges lie anywhere.
        centre = tuple(int(16 * value) for value in place)
        cv2.circle(canvas, centre, int(16 * radius), tuple(map(float, colour)), -1, cv2.LINE_8, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.5).reshape(SIDE, SIDE, channels)
