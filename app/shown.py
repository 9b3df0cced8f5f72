"""What is on the screen, for whoever wants to measure it: noisy picture, result and reference, region by region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.blend import Blend
from engine.image import Image
from engine.language import tr
from engine.metrics import Estimate
from engine.noise import NoiseReport
from engine.tiles import Rect

if TYPE_CHECKING:
    from engine.denoise import Denoising
    from engine.mosaic_denoising import MosaicDenoising


@dataclass(frozen=True, eq=False)
class Shown:
    """The current picture as it was when this was asked for; every method may be called from any thread.

    Attributes:
        image: the noisy picture.
        report: the noise that was measured in it; None before that, or where it failed.
        reference: its clean twin, None without one.
        denoising: where the result comes from; None while there is none.
        passes: T that is asked for; while it is not reached, what is shown has fewer.
        blend: how the result is mixed.
    """

    image: Image
    report: NoiseReport | None = None
    reference: Image | None = None
    denoising: Denoising | MosaicDenoising | None = None
    passes: int = 0
    blend: Blend = Blend()

    @property
    def whole(self) -> Rect:
        """All of the picture."""
        return Rect(0, 0, self.image.width, self.image.height)

    def noisy(self, area: Rect) -> np.ndarray:
        """(h, w, C) float32 in the picture's units."""
        return self.image.pixels[area.slices]

    def result(self, area: Rect) -> np.ndarray | None:
        """(h, w, C) float32 in the picture's units; None while a part of the area has no pass yet."""
        if self.denoising is None or not self.denoising.is_begun(area):
            return None
        return self.denoising.blended(self.passes, self.blend, area)

    def clean(self, area: Rect) -> np.ndarray | None:
        """(h, w, C) of the reference; None without one."""
        return None if self.reference is None else self.reference.pixels[area.slices]

    def course(self, area: Rect) -> list[Shown]:
        """The same after each number of passes whose mean is at hand in all of the area, the fewest first."""
        if self.denoising is None or not self.denoising.is_begun(area):
            return []
        made = self.denoising.passes_made(self.passes, area)
        steps = {1 << power for power in range(made.bit_length())} | {made}
        return [replace(self, passes=step) for step in sorted(steps) if self.denoising.has(step, area)]

    def spread(self, area: Rect) -> np.ndarray | None:
        """(h, w, 1) float32 standard deviation over the passes made, in the picture's units; None before two."""
        return None if self.denoising is None else self.denoising.spread(area)

    def estimate(self, area: Rect | None = None) -> Estimate:
        """The PSNR of the result estimated without a reference, or why there is none; of the whole or of an area."""
        if self.denoising is None:
            return Estimate(None, None, tr("no pass has been made yet"))
        # Of the whole as of an area: what is shown, also where it has fewer passes.
        return self.denoising.estimate(self.passes, self.blend, self.report, area or self.whole)
