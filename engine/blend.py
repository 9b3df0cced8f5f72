"""How a result is mixed from the noisy and the denoised picture; no change of it costs a network pass."""

from __future__ import annotations

from dataclasses import dataclass

from engine.areas import Areas


@dataclass(frozen=True)
class Blend:
    """What is done with the mean of the passes.

    Attributes:
        strength: 0 leaves the picture, 1 denoises fully, up to 1.2.
        luminance, chroma: factors on the strength, for the brightness and for the colours; 0 to 1.2. Of a grey picture
            only the first.
        guard: kappa of the detail guard, 0 is off.
        areas: where the strength is another one.
    """

    strength: float = 1.0
    luminance: float = 1.0
    chroma: float = 1.0
    guard: float = 0.0
    areas: Areas = Areas()
