"""Denoising what a sensor recorded, before it is developed: the same interface as `denoise.Denoising`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from engine import guard as details
from engine.blend import Blend
from engine.denoise import MEMORY_BUDGET, Denoising, Model, Progress, Viewport
from engine.develop import REACH, settle
from engine.guard import Usual
from engine.image import Image
from engine.language import tr
from engine.metrics import Estimate
from engine.mosaic import pack, unpack
from engine.noise import NoiseReport, measure_noise
from engine.provenance import Provenance
from engine.stabilisation import on_mosaic, stabiliser
from engine.tiles import Rect

_BAND = 512  # rows developed at a time

_SUMS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32) / 4
"""Red, two greens and blue to their mean and three differences. Its rows are orthogonal: white noise stays white and
alike in all four, with half of the deviation. A network for one plane gets these: most of what the colours have in
common is in the mean then, which holds less noise; 0.2 dB more than the colours one by one, see `study raw`."""

_GREY = np.array([0, 0.5, 0.5, 0.5], np.float32)  # added, so that differences lie in the networks' trained range


def begin(
    model: Model,
    image: Image,
    params: Any,
    *,
    sigma: float,
    seed: int = 0,
    tile: int | None = None,
    keep: bool = True,
    budget: int = MEMORY_BUDGET,
    report: NoiseReport | None = None,
) -> Denoising | MosaicDenoising:
    """The denoising of a picture: on its mosaic where it has one, `Develop.domain` says so and the model can.

    Args as for `Denoising`; `sigma` and `report` as `stabilisation.measure` gives them, and the model one for
    `stabilisation.channels`. A model for RGB is run on the developed picture, told as much more or less as its noise
    measures there: the colours of a mosaic lie half a pixel apart, which such a network takes for coloured noise
    (measured: 3.3 dB worse than the planes one by one).
    """
    made = MosaicDenoising if on_mosaic(image) else Denoising
    if made is MosaicDenoising and model.checkpoint.channels == 3:
        made, developed = Denoising, measure_noise(image)
        sigma = sigma * developed.level / report.level if report is not None and report.level else sigma
        report = developed
    return made(model, image, params, sigma=sigma, seed=seed, tile=tile, keep=keep, budget=budget, report=report)


class MosaicDenoising:
    """One RAW picture under one set of values, denoised on its mosaic and developed region by region.

    The four colour planes are stabilised (`stabilisation.Stabiliser`), denoised by a network for white noise, brought
    back and developed. A network for four channels gets the colours, one for a single channel their mean and
    differences one by one. What is given and asked for is about the developed picture of full
    size, as for `Denoising`, from any thread, too; its sums and estimate are not there.

    Args:
        model: for one channel, or for four.
        image: developed, with its mosaic; never changed.
        params: the method's parameters.
        sigma: noise deviation of the stabilised planes in the trained range, where `report` is of them; 0 leaves the
            picture as it is. Where the report is of the developed picture, it is scaled to what is found on the mosaic.
        seed: of the recorruptions.
        tile: side in pixels of the planes, None for what suits the device.
        keep: whether the means at smaller T are kept.
        budget: bytes of means in memory.
        report: the noise that was measured.
    """

    def __init__(
        self,
        model: Model,
        image: Image,
        params: Any,
        *,
        sigma: float,
        seed: int = 0,
        tile: int | None = None,
        keep: bool = True,
        budget: int = MEMORY_BUDGET,
        report: NoiseReport | None = None,
    ) -> None:
        assert image.mosaic is not None
        self.model, self.image, self.sigma = model, image, sigma
        self._pattern = image.mosaic.pattern
        self._pipeline = settle(image.mosaic, image.develop)
        self._stabiliser = stabiliser(image.mosaic)
        told = sigma * self._stabiliser.sigma / report.level if report is not None and report.level else sigma
        planes = self._stabiliser.forward(pack(image.mosaic.pixels, self._pattern))
        self._mixes = model.checkpoint.channels == 1
        if self._mixes:
            planes = planes @ _SUMS.T + _GREY
            told /= 2
        given = Image(planes, image.path)
        fits = report is not None and len(report.channels) == planes.shape[2]
        self._planes = Denoising(
            model,
            given,
            params,
            sigma=told,
            seed=seed,
            tile=tile,
            keep=keep,
            budget=budget,
            report=report if fits else None,
        )
        self.params = self._planes.params
        self._surveyed: tuple[int, bool, Usual] | None = None

    def developed(self, image: Image) -> MosaicDenoising:
        """The same passes for a picture that was developed otherwise from the same mosaic; both share what is made."""
        assert image.mosaic is not None
        assert image.mosaic is self.image.mosaic
        other = copy.copy(self)
        other.image, other._pipeline, other._surveyed = image, settle(image.mosaic, image.develop), None
        return other

    @property
    def _whole(self) -> Rect:
        return Rect(0, 0, self.image.width, self.image.height)

    @property
    def tile_side(self) -> int:
        """Side of the tiles now in use, in pixels of the planes."""
        return self._planes.tile_side

    def has(self, passes: int, area: Rect | None = None) -> bool:
        """Whether the mean of T passes is at hand everywhere (in `area`)."""
        return self._planes.has(passes, None if area is None else _cells(self._around(area)))

    def keep(self, passes: int) -> None:
        """Keep the mean of T passes, too, when more are made."""
        self._planes.keep(passes)

    @property
    def budget(self) -> int:
        """Bytes of means in memory, the rest goes to a temporary file."""
        return self._planes.budget

    def is_begun(self, area: Rect | None = None) -> bool:
        """Whether at least one pass is at hand everywhere (in `area`)."""
        return self._planes.is_begun(None if area is None else _cells(self._around(area)))

    def passes_made(self, passes: int, area: Rect | None = None) -> int:
        """Of how many passes up to T the mean is: where (in `area`) it is of the fewest."""
        return self._planes.passes_made(passes, _cells(self._around(area or self._whole)))

    def spread(self, area: Rect | None = None) -> np.ndarray | None:
        """Standard deviation over the passes made, (h, w, 1) float32 in the picture's units; as of `Denoising`.

        About: that of the stabilised planes, taken through the way back and the development as if the four colours of
        a cell and its neighbours went up and down together.
        """
        area = area or self._whole
        out = np.empty((area.height, area.width, 1), np.float32)
        for top in range(area.top, area.bottom, _BAND):
            band = Rect(area.left, top, area.right, min(top + _BAND, area.bottom))
            wide = self._around(band)
            spread = self._planes.spread(_cells(wide))
            if spread is None:
                return None
            if self._mixes:
                # The rows of `_SUMS` halve the deviation of what is white.
                spread = 2 * spread
            colours = self._colours(self._planes.mean(self._planes.spread_passes(), _cells(wide)))
            upper, lower = (
                self._pipeline.develop(unpack(self._stabiliser.inverse(ends), self._pattern))
                for ends in (colours + spread, colours - spread)
            )
            half = np.sqrt(np.square((upper - lower) / 2).mean(2, keepdims=True))
            out[top - area.top : band.bottom - area.top] = half[band.moved(-wide.left, -wide.top).slices]
        return out

    def spread_passes(self, area: Rect | None = None) -> int:
        """Of how many passes the spread is: where (in `area`) it is of the fewest."""
        return self._planes.spread_passes(_cells(self._around(area or self._whole)))

    def _around(self, area: Rect) -> Rect:
        """The whole cells on which the developed pixels of an area depend."""
        wide = area.grown(REACH)
        even = Rect(wide.left // 2 * 2, wide.top // 2 * 2, -(-wide.right // 2) * 2, -(-wide.bottom // 2) * 2)
        return even.shared(self._whole)

    def mean(self, passes: int, area: Rect | None = None) -> np.ndarray:
        """The mean of T passes, developed: (h, w, 3) float32; where a tile is not there yet, of fewer."""
        area = area or self._whole
        if self.sigma == 0:
            return self.image.pixels[area.slices].copy()
        out = np.empty((area.height, area.width, 3), np.float32)
        for top in range(area.top, area.bottom, _BAND):
            band = Rect(area.left, top, area.right, min(top + _BAND, area.bottom))
            wide = self._around(band)
            light = self._stabiliser.inverse(self._colours(self._planes.mean(passes, _cells(wide))))
            developed = self._pipeline.develop(unpack(light, self._pattern))
            out[top - area.top : band.bottom - area.top] = developed[band.moved(-wide.left, -wide.top).slices]
        return out

    @property
    def conserves_mean(self) -> bool:
        """As of `Denoising`: it has not. What smooths the stabilised planes takes 0.1 to 0.5 % of the light."""
        return False

    def _colours(self, planes: np.ndarray) -> np.ndarray:
        """The four colours of what the network was given."""
        return (planes - _GREY) @ (4 * _SUMS) if self._mixes else planes

    def blended(self, passes: int, blend: Blend, area: Rect | None = None) -> np.ndarray:
        """The result as `Blend.mix` makes it of the developed pictures; arguments as for `Denoising.blended`."""
        area = area or self._whole
        wide = area.grown(details.REACH).shared(self._whole) if blend.guard and self.sigma else area
        mean = self.mean(passes, wide)
        if wide is not area:
            details.give_back(mean, self.image.pixels[wide.slices], self._usual(passes), blend.guard)
            mean = mean[area.moved(-wide.left, -wide.top).slices]
        return blend.mix(mean, self.image.pixels[area.slices], area)

    def finish(self, passes: int, blend: Blend) -> np.ndarray:
        """`blended` of the whole picture, to be read only."""
        return self.image.pixels if self.sigma == 0 else self.blended(passes, blend)

    def _usual(self, passes: int) -> Usual:
        """What the guard must know of the whole picture; provisional until all passes are made."""
        complete, found = self.has(passes), self._surveyed
        if found is None or found[:2] != (passes, complete):

            def read(area: Rect) -> tuple[np.ndarray, np.ndarray]:
                return self.image.pixels[area.slices], self.mean(passes, area)

            self._surveyed = found = passes, complete, details.survey(read, self.image.height, self.image.width)
        return found[2]

    def estimate(
        self, passes: int, blend: Blend = Blend(), report: NoiseReport | None = None, area: Rect | None = None
    ) -> Estimate:
        """None, with the reason."""
        if self.sigma == 0:
            return Estimate(None, None, tr("nothing was removed"))
        return Estimate(None, None, tr("the picture was denoised on the sensor's mosaic, before it was developed"))

    def provenance(self, passes: int, blend: Blend, sigma_automatic: bool) -> Provenance:
        """How the blended mean of T passes is made; sigma is that of the stabilised planes."""
        made = self._planes.provenance(passes, blend, sigma_automatic)
        return replace(made, sigma=self.sigma * 255, params={**made.params, "develop": asdict(self.image.develop)})

    def run(self, passes: int, viewport: Viewport = lambda: None) -> Iterator[Progress]:
        """Raise every tile to T passes, as `Denoising.run`; tiles and viewport are of the developed picture."""

        def visible() -> Rect | None:
            area = viewport()
            return None if area is None else _cells(self._around(area.shared(self._whole)))

        for step in self._planes.run(passes, visible):
            tile = step.tile
            # What is developed around a tile depends on it too.
            here = Rect(2 * tile.left, 2 * tile.top, 2 * tile.right, 2 * tile.bottom).grown(REACH).shared(self._whole)
            yield replace(step, tile=here)


def _cells(area: Rect) -> Rect:
    """An area of whole cells of the mosaic, in pixels of the planes."""
    return Rect(area.left // 2, area.top // 2, area.right // 2, area.bottom // 2)
