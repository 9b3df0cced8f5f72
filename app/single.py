"""One picture, from its noisy pixels to a result that can be saved: what the command line and batches share."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.values import Values
from engine import params
from engine.checkpoint import list_checkpoints
from engine.denoise import Model, Progress, load_model
from engine.device import pick_device
from engine.foreign import Convention
from engine.image import Image
from engine.language import tr
from engine.method import MethodError, methods
from engine.metrics import Estimate, check_reference, psnr, shift_of, ssim
from engine.mosaic_denoising import begin
from engine.noise import NoiseError, NoiseReport
from engine.proposal import propose, settled_sigma
from engine.provenance import Provenance
from engine.stabilisation import channels, measure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """Where and how networks run, whatever the picture.

    Attributes:
        seed: of the recorruptions.
        device: auto, cpu, cuda or mps.
        precision: auto or float32.
        tile: side in pixels, None for what suits the device.
        convention: what cannot be read off a checkpoint of others.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    convention: Convention = Convention()


class Models:
    """The model that was asked for or is proposed for a picture, each loaded once.

    Args:
        machine: where they run.
        given: parameters for whichever method is in force, as text; a method that has them is preferred.
    """

    def __init__(self, machine: Machine, given: Mapping[str, str] | None = None) -> None:
        self.machine, self._given = machine, dict(given or {})
        self._loaded: dict[tuple[str, str, int], Model] = {}
        installed = list_checkpoints()
        has = {m.id: {spec.name for spec in params.specs(m.Params)} for m in methods().values()}
        suited = [entry for entry in installed if self._given.keys() <= has.get(entry.method, set())]
        self._installed = suited or installed

    @property
    def device(self) -> str:
        """Kind of the device that they run on: cpu, cuda or mps; DeviceError if there is no such."""
        return pick_device(self.machine.device).type

    @property
    def key(self) -> dict[str, Any]:
        """What decides results beside a picture's own values, for JSON."""
        return {"seed": self.machine.seed, "precision": self.machine.precision, "given": self._given}

    def settle(self, channels: int, report: NoiseReport | None, values: Values) -> tuple[Model, Any, str | None]:
        """The model, the parameters, and why it was proposed; None where one was asked for.

        Values set by hand count before those that are proposed, the checkpoint's and the method's.
        """
        name, method, reason, proposed = values.model, values.method, None, {}
        if not (name or method) and (proposal := propose(report, self._installed, channels)):
            name, method, reason, proposed = proposal.model, proposal.method, proposal.reason, proposal.params
        model = self._get(name, method, channels)
        specs = params.specs(model.method.Params)
        own = {spec.name: spec for spec in specs}
        # A level may be given for any method: one that has no use for it finds the noise by itself.
        if missing := self._given.keys() - own.keys() - {"sigma"}:
            raise MethodError(
                tr("Method {method} has no --{option}").format(
                    method=model.method.id, option=min(missing).replace("_", "-")
                )
            )
        given = {name: own[name].read(text) for name, text in self._given.items() if name in own}
        chosen = {**proposed, **values.by_hand(model.method.id, specs), **given}
        return model, params.make(model.method.Params, chosen, model.checkpoint.params), reason

    def _get(self, name: str, method: str, channels: int) -> Model:
        key = name, method, channels
        if key not in self._loaded:
            machine = self.machine
            self._loaded[key] = load_model(
                name or None,
                channels=channels,
                method=method or None,
                device=machine.device,
                precision=machine.precision,
                convention=machine.convention,
            )
        return self._loaded[key]


def measured(image: Image) -> NoiseReport | NoiseError:
    """The noise of a picture, or why it cannot be known."""
    try:
        return measure(image)
    except NoiseError as error:
        return error


class Single:
    """One picture that is denoised with a user's values.

    `run` makes the passes and may be left at any step; then `finish` gives the result, once.

    Args:
        image: the noisy picture.
        models: where the network comes from.
        values: what was set.
        noise: as `measured` says it. Also known where a level is set by hand: the estimate's assumptions are checked
            against it.
        sigma: in the trained range, where it is known better than `values` and `noise` say.
    """

    def __init__(
        self, image: Image, models: Models, values: Values, noise: NoiseReport | NoiseError, sigma: float | None = None
    ) -> None:
        self._began = time.monotonic()
        self.image, self.values = image, values
        self.report = noise if isinstance(noise, NoiseReport) else None
        self.model, self.params, self.reason = models.settle(channels(image), self.report, values)
        sigma = getattr(self.params, "sigma", None) if sigma is None else sigma
        self.is_automatic = sigma is None
        settled = settled_sigma(self.report, params.specs(self.model.method.Params), sigma)
        if settled is None:
            assert isinstance(noise, NoiseError)
            raise noise
        self.sigma = settled
        self.passes = self.model.method.count(self.params)
        machine = models.machine
        self.denoising = begin(
            self.model,
            image,
            self.params,
            sigma=self.sigma,
            seed=machine.seed,
            tile=machine.tile,
            keep=False,
            report=self.report,
        )
        self.estimate = Estimate(None, None, tr("nothing is computed yet"))
        self.warnings = [*image.metadata.notes, *self._doubts()]

    def _doubts(self) -> list[str]:
        """What a user should know of the noise before the result is trusted."""
        report, method = self.report, self.model.method
        if not self.is_automatic or report is None:
            return []
        if report.is_clean and not self.sigma:
            return [tr("No noise worth removing was found; the picture is left as it is")]
        if report.is_clean:
            return [
                tr(
                    "No noise worth removing was found; {method} has no noise level to set and has denoised the "
                    "picture all the same"
                ).format(method=method.label)
            ]
        if not report.is_white and not method.allows_correlation(self.params):
            return [
                tr(
                    "The noise is not white: it measures {sigma:.1f} and is treated as white of {level:.1f}. {reason}"
                ).format(sigma=report.sigma * 255, level=self.sigma * 255, reason=report.reason)
            ]
        return []

    def run(self) -> Iterator[Progress]:
        """Make all passes."""
        yield from self.denoising.run(self.passes)

    def finish(self) -> tuple[Image, Provenance]:
        """The result and how it was made; its pixels may be those of the running mean, so this is asked once."""
        blend = self.values.blend
        self.estimate = self.denoising.estimate(self.passes, blend, self.report)
        if self.estimate.reason and self.sigma and getattr(self.params, "estimate", "on") == "on":
            self.warnings.append(tr("No PSNR is estimated: {reason}").format(reason=self.estimate.reason))
        made = self.denoising.provenance(self.passes, blend, self.is_automatic)
        pixels = self.denoising.finish(self.passes, blend)
        self.means = tuple(float(part.mean(dtype=np.float64)) for part in (self.image.pixels, pixels))
        self.seconds = time.monotonic() - self._began
        return replace(self.image, pixels=pixels), made

    def record(self) -> dict[str, Any]:
        """What is said of the result, after `finish`; the keys that every line of JSON has."""
        return {
            "input": str(self.image.path),
            "output": None,
            "method": self.model.method.id,
            "model": self.model.checkpoint.name,
            "passes": self.passes,
            "alpha": getattr(self.denoising.params, "alpha", None),
            "sigma": round(self.sigma * 255, 4),
            "psnr_db": None,
            "ssim": None,
            "noisy_psnr_db": None,
            "estimated_psnr_db": _rounded(self.estimate.psnr_db),
            "estimated_psnr_band_db": _rounded(self.estimate.band_db),
            "mean_before": self.means[0],
            "mean_after": self.means[1],
            "reason": self.reason,
            "warnings": self.warnings,
            "seconds": round(self.seconds, 3),
            "device": str(self.model.device),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def compared(noisy: Image, pixels: np.ndarray, reference: Image, shift_free: bool = False) -> dict[str, float | None]:
    """PSNR and SSIM of a result against the clean twin, as keys of a record; ReferenceMismatch if it cannot be one."""
    name = reference.path.name if reference.path else "picture"
    check_reference(noisy.pixels.shape, reference.pixels.shape, name)
    clean, peak = reference.pixels, reference.peak
    shift, noisy_shift = (shift_of(p, clean) if shift_free else None for p in (pixels, noisy.pixels))
    return {
        "psnr_db": psnr(pixels, clean, peak, shift=shift),
        "noisy_psnr_db": psnr(noisy.pixels, clean, peak, shift=noisy_shift),
        "ssim": round(ssim(pixels, clean, peak, shift=shift), 5) if min(pixels.shape[:2]) >= 11 else None,
    }
