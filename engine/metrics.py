"""PSNR and SSIM against a reference, and the PSNR estimated without one. Plain numbers, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engine.language import tr
from engine.tiles import Rect


class ReferenceMismatch(ValueError):
    """A reference does not fit its picture; the message is meant for the user."""


def psnr(denoised: np.ndarray, reference: np.ndarray, peak: float = 1.0, *, shift: np.ndarray | None = None) -> float:
    """PSNR in dB on unrounded values clipped to [0, peak]; inf for equal pictures.

    Args:
        denoised, reference: (H, W, C).
        peak: the data range, in the pictures' units.
        shift: (C,) is added to the denoised picture first, see `shift_of`.
    """
    return decibels(squared_error(denoised, reference, peak, shift=shift) / denoised.size, peak)


def decibels(mse: float, peak: float = 1.0) -> float:
    """PSNR in dB of a mean squared error; inf for none."""
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


def squared_error(
    denoised: np.ndarray, reference: np.ndarray, peak: float = 1.0, *, shift: np.ndarray | None = None
) -> float:
    """Sum over pixels and channels of what `psnr` takes the mean of; args as there."""
    total = 0.0
    # In bands: a whole float copy of a 100 megapixel picture would be a gigabyte.
    for top in range(0, denoised.shape[0], 256):
        band = denoised[top : top + 256]
        band = np.clip(band if shift is None else band + shift, 0, peak)
        difference = band - np.clip(reference[top : top + 256], 0, peak)
        total += float(np.square(difference, dtype=np.float64).sum())
    return total


def shift_of(denoised: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """What each channel lacks on average of the reference's brightness, (C,) float32; PolyU's references shift so."""
    return (np.asarray(reference) - denoised).mean((0, 1), dtype=np.float64).astype(np.float32)


def ssim(denoised: np.ndarray, reference: np.ndarray, peak: float = 1.0, *, shift: np.ndarray | None = None) -> float:
    """Structural similarity, mean over pixels and channels.

    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, borders of 5 pixels left out (Wang, Bovik, Sheikh,
    Simoncelli: Image quality assessment, TIP 2004). Args as for `psnr`.
    """
    if min(denoised.shape[:2]) < 11:
        raise ValueError("SSIM needs a picture of at least 11x11 pixels")
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    sums, count = 0.0, 0

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    height = denoised.shape[0]
    for top in range(5, height - 5, 512):
        rows = slice(top - 5, min(top + 517, height))
        for channel in range(denoised.shape[2]):
            x = denoised[rows, :, channel] if shift is None else denoised[rows, :, channel] + shift[channel]
            x = np.clip(x, 0, peak).astype(np.float64)
            y = np.clip(reference[rows, :, channel], 0, peak).astype(np.float64)
            mx, my = blur(x), blur(y)
            vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
            map_ = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
            inner = map_[5:-5, 5:-5]
            sums += float(inner.sum())
            count += inner.size
    return sums / count


def check_reference(shape: tuple[int, ...], reference: tuple[int, ...], name: str) -> None:
    """ReferenceMismatch if a reference of this shape cannot be compared."""
    if shape != reference:
        raise ReferenceMismatch(
            f"The reference {name} is {reference[1]}x{reference[0]} with {reference[2]} channel(s), the picture "
            f"{shape[1]}x{shape[0]} with {shape[2]}; they must be alike"
        )


@dataclass(frozen=True)
class Sums:
    """What the passes left behind for the estimate, over all samples (pixels x channels) that have T passes.

    Attributes:
        samples: how many.
        residual: sum of (mean of passes - noisy)^2.
        divergence: (1/T) sum over passes of <estimate, Bz>, its expectation is the trace of Jacobian x covariance.
        power: sum of the noise variance of each sample, the trace of the covariance.
    """

    samples: int = 0
    residual: float = 0.0
    divergence: float = 0.0
    power: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.samples + other.samples,
            self.residual + other.residual,
            self.divergence + other.divergence,
            self.power + other.power,
        )


@dataclass(frozen=True)
class Estimate:
    """The estimated PSNR in dB and the half-width of its 95 % band; both None where `reason` says why not.

    Attributes:
        area: the pixels that it is of; None for the whole picture.
    """

    psnr_db: float | None
    band_db: float | None
    reason: str | None = None
    area: Rect | None = None


def estimate_psnr(
    sums: Sums,
    *,
    strength: float = 1.0,
    uncertainty: float = 0.0,
    pairs: int = 1,
    peak: float = 1.0,
    dependence: float = 1.0,
) -> Estimate:
    """PSNR of the average of R2R passes from the noisy picture alone.

    MSE(mean) = |mean - y|^2 - tr(covariance) + 2 E<mean, n>, and by Stein's lemma E<mean, n> = E<f_t, B z_t> for every
    pass t, which antithetic pairs estimate without a baseline: unbiased for the finite average that is shown. Blending
    y + strength (mean - y) changes the two sums in closed form.

    Args:
        sums: from the passes, in the units of the trained range.
        strength: of the blend.
        uncertainty: relative standard error of the noise deviation; 0 where it is known.
        pairs: antithetic pairs that the divergence was averaged over.
        peak: data range there.
        dependence: sum of a sample's squared correlations with all others and itself; 1 where the noise is white.
    """
    if sums.samples == 0:
        return Estimate(None, None, tr("no pass has been made yet"))
    variance = sums.power / sums.samples
    residual, divergence = sums.residual / sums.samples, sums.divergence / sums.samples
    share = ((1 - strength) * variance + strength * divergence) / variance if variance else 0.0
    mse = strength**2 * residual - variance + 2 * share * variance
    # Three parts vary: the noise power that was realised, its product with the error, and the divergence, for which
    # tr(J^2) <= tr(J) bounds z'Jz of each pair. A wrong sigma enters with the weight 1 - 2 share.
    share, error = min(max(share, 0.0), 1.0), max(mse, 0.0)
    sampling = (2 * variance**2 + 4 * variance * error + 8 * variance**2 * share / pairs) / sums.samples
    weight = abs(1 - 2 * share)
    if dependence > 1:
        # What is wrong with a measured correlation is more than its scale: it does not cancel at half of the trace.
        weight = max(weight, 0.5)
    level = weight * 2 * variance * uncertainty
    spread = 1.96 * math.hypot(math.sqrt(sampling * dependence), level)
    if mse <= 0:
        return Estimate(None, None, tr("the estimated error is not above zero, so it cannot be told from none"))
    db = 10 * math.log10(peak**2 / mse)
    band = 10 * math.log10(1 + spread / mse)
    return Estimate(db, band)
