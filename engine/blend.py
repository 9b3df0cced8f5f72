"""How a result is mixed from the noisy and the denoised picture; no change of it costs a network pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.areas import Areas
from engine.language import tr
from engine.tiles import Rect

_BAND = 256


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

    def factor(self, channels: int) -> float | None:
        """The one number that the difference of denoised and noisy picture is multiplied by, without guard and areas.

        None where luminance and chroma of a picture with that many channels have one each.
        """
        is_one = channels == 1 or self.luminance == self.chroma
        return self.strength * self.luminance if is_one else None

    @property
    def conserves_mean(self) -> bool:
        """Whether the result has the mean intensity of each channel that noisy and denoised picture share."""
        return not self.guard and not self.areas.places

    def doubt(self, channels: int, area: Rect) -> str:
        """Why no PSNR of the result in an area can be estimated, as a part of a sentence; "" where it can."""
        if self.guard:
            return tr("the detail guard changes the result in a way that the estimate does not know")
        if self.areas.even(area) is None:
            return tr("the strength is not the same everywhere, and the estimate knows only one")
        if self.factor(channels) is None:
            return tr("luminance and chroma are denoised unlike each other, and the estimate knows only one strength")
        return ""

    def mix(self, denoised: np.ndarray, noisy: np.ndarray, area: Rect) -> np.ndarray:
        """The result, in place of `denoised`; the guard has been there before.

        noisy + strength (luminance l + chroma (d - l)), with d what denoising changed, l its luminance in each channel
        and the strength times the areas' factors. The same to the bit however the picture is cut.

        Args:
            denoised: (h, w, C) float32.
            noisy: the same.
            area: which part of the picture they are.
        """
        factor = self.factor(denoised.shape[2])
        if factor == 1 and self.areas.is_plain:
            return denoised
        # In bands, which stay in the processor's cache.
        for top in range(0, denoised.shape[0], _BAND):
            rows = slice(top, top + _BAND)
            part = denoised[rows]
            part -= noisy[rows]
            if factor is not None:
                part *= np.float32(factor)
            else:
                grey = luminance_of(part)
                grey *= np.float32(self.strength * (self.luminance - self.chroma))
                part *= np.float32(self.strength * self.chroma)
                part += grey[..., None]
            strengths = self.areas.factors(Rect(area.left, area.top + top, area.right, area.top + top + len(part)))
            if strengths is not None:
                part *= strengths[..., None]
            part += noisy[rows]
        return denoised


def luminance_of(pixels: np.ndarray) -> np.ndarray:
    """Of ITU-R BT.601, (h, w); no matrix product, whose last bits depend on the shape."""
    weights = (0.299, 0.587, 0.114) if pixels.shape[2] == 3 else (1 / pixels.shape[2],) * pixels.shape[2]
    out = pixels[..., 0] * np.float32(weights[0])
    for channel, weight in enumerate(weights[1:], 1):
        out += pixels[..., channel] * np.float32(weight)
    return out
