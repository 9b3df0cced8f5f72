"""What the after side of the comparison shows, and how: the result, what was removed, its spread, or the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app import screen
from engine.image import Image

LAYERS = ("result", "removed", "spread", "reference")

GAINS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
"""How many times what was removed, and the spread, can be shown larger."""

MOST_GAIN = GAINS[-1]

_SIGMAS = {"spread": 0.8}
_MOST_SIGMAS = 7.0
"""How many standard deviations of the noise the screen's range holds: 3.5 on either side of grey."""


def usual_gain(layer: str, sigma: float) -> float:
    """The largest of GAINS at which next to nothing is clipped.

    Args:
        layer: one of LAYERS; the spread is never negative, and a small part of the noise.
        sigma: of the noise, where white is 1.
    """
    wanted = 1 / (_SIGMAS.get(layer, _MOST_SIGMAS) * sigma)
    return max(gain for gain in GAINS if gain <= max(1.0, wanted))


@dataclass(frozen=True)
class Display:
    """How pixels become visible; nothing of it touches the data.

    Attributes:
        layer: one of LAYERS.
        gain: what was removed, and the spread, are shown so many times larger.
        levels: black and white in the picture's units; None for those of its type.
    """

    layer: str = "result"
    gain: float = 8.0
    levels: tuple[float, float] | None = None


def render(
    display: Display,
    image: Image,
    noisy: np.ndarray,
    result: np.ndarray,
    spread: np.ndarray | None = None,
    clean: np.ndarray | None = None,
) -> np.ndarray:
    """A region of the layer for the screen, (h, w, 1 or 3) uint8; what is not there is shown as the result.

    What was removed lies about middle grey, the spread on black.

    Args:
        display: what is wanted.
        image: whose region it is.
        noisy, result: (h, w, C) float32 in the picture's units.
        spread: (h, w, 1) standard deviation over the passes, in the same units.
        clean: (h, w, C) of the reference.
    """
    black, white = image.levels
    span = (white - black) / display.gain
    if display.layer == "removed":
        return screen.to_screen(noisy - result, (-span / 2, span / 2))
    if display.layer == "spread" and spread is not None:
        return screen.to_screen(np.broadcast_to(spread, (*spread.shape[:2], image.channels)), (0.0, span))
    shown = clean if display.layer == "reference" and clean is not None else result
    return screen.to_screen(shown, display.levels or image.levels, screen.conversion_of(image))
