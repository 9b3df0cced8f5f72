"""The detail guard: gives back what was taken away where it varies more than noise of that brightness does.

Noise of one brightness varies alike all over a picture. Where the difference of noisy and denoised picture varies more,
structure went with the noise. This needs no network and knows nothing of the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.blend import luminance_of
from engine.tiles import Rect

_WINDOW, _SMOOTHED = 3, 2
REACH = _WINDOW + _SMOOTHED
"""Pixels around a region that its result depends on."""

STRONGEST = 10.0
"""A kappa beyond which next to nothing is given back."""

_BINS = 12
_SAMPLES = 2**20
_BLOCK = 64
_BAND = 128


@dataclass(frozen=True, eq=False)
class Usual:
    """What the difference of noisy and denoised picture usually varies by, in the picture's units squared.

    Attributes:
        edges: (11,) rising luminances of the denoised picture, between bins that hold as many pixels each.
        variances: (12,) of those bins.
    """

    edges: np.ndarray
    variances: np.ndarray


Read = Callable[[Rect], tuple[np.ndarray, np.ndarray]]
"""A region's noisy and denoised pixels, each (h, w, C) float32."""


def survey(read: Read, height: int, width: int) -> Usual:
    """The usual variances of a picture of that size; of a large one from blocks of it, always the same ones.

    In each bin the median of the variances in windows of 7x7, then smoothed over the bins by (1/4, 1/2, 1/4). Pixels
    from which nothing was taken away, clipped ones for example, say nothing of the noise and are left out.
    """
    whole = Rect(0, 0, width, height)
    luminances, variances = [], []
    for block in _blocks(whole):
        wide = block.grown(_WINDOW).shared(whole)
        noisy, denoised = read(wide)
        inside = block.moved(-wide.left, -wide.top).slices
        luminances.append(luminance_of(denoised)[inside].ravel())
        variances.append(_variance(_mirrored(noisy - denoised, _WINDOW))[inside].ravel())
    luminance, variance = np.concatenate(luminances), np.concatenate(variances)
    told = variance > 0
    if not told.any():
        return Usual(np.zeros(_BINS - 1, np.float32), np.zeros(_BINS, np.float32))
    luminance, variance = luminance[told], variance[told]
    edges = np.quantile(luminance, np.arange(1, _BINS) / _BINS).astype(np.float32)
    order = np.searchsorted(edges, luminance, side="right")
    counts = np.bincount(order, minlength=_BINS)
    medians = [float(np.median(variance[order == number])) if counts[number] else 0.0 for number in range(_BINS)]
    # Many pixels of one luminance leave bins empty; those take after their neighbours.
    filled = np.interp(np.arange(_BINS), np.flatnonzero(counts), np.take(medians, np.flatnonzero(counts)))
    smooth = np.convolve(np.pad(filled, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    return Usual(edges, smooth.astype(np.float32))


def give_back(denoised: np.ndarray, noisy: np.ndarray, usual: Usual, kappa: float) -> None:
    """Change the denoised picture (H, W, C) in place: denoised + (1 - w) (noisy - denoised).

    w = min(kappa usual / variance, 1), averaged over 5x5 pixels. The result at a pixel depends on nothing farther than
    `REACH`, to the bit: every sum is made in the same order wherever the region begins. Borders are mirrored.

    Args:
        denoised: float32.
        noisy: float32, the same shape.
        usual: of the whole picture.
        kappa: how many times the usual variance is left alone.
    """
    height = denoised.shape[0]
    above = denoised[:0]
    # In bands, which stay in the processor's cache; rows that the band before has changed are kept as they were.
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        first, last = top - len(above), min(bottom + REACH, height)
        before = np.concatenate((above, denoised[top:last]))
        difference = noisy[first:last] - before
        given = _given(difference, luminance_of(before), usual, kappa)
        inside = slice(top - first, bottom - first)
        denoised[top:bottom] = before[inside] + given[inside, :, None] * difference[inside]
        above = before[: bottom - first][-REACH:]


def _given(difference: np.ndarray, luminance: np.ndarray, usual: Usual, kappa: float) -> np.ndarray:
    """1 - w of each pixel, (h, w)."""
    variance = _variance(_mirrored(difference, REACH))
    luminance = _mirrored(luminance[..., None], _SMOOTHED)[..., 0]
    expected = np.float32(kappa) * usual.variances[np.searchsorted(usual.edges, luminance, side="right")]
    kept = np.minimum(expected / np.maximum(variance, np.finfo(np.float32).tiny), np.float32(1))
    return np.float32(1) - _mean(kept, _SMOOTHED)


def _variance(difference: np.ndarray) -> np.ndarray:
    """Mean over the channels of the variance in 7x7, of (h + 6, w + 6, C): (h, w)."""
    planes = np.ascontiguousarray(difference.transpose(2, 0, 1))
    squares = np.square(planes[0])
    for plane in planes[1:]:
        squares += np.square(plane)
    variance = _mean(squares, _WINDOW)
    for plane in planes:
        variance -= np.square(_mean(plane, _WINDOW))
    return variance / np.float32(len(planes))


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over windows of side 2 radius + 1, of (h + 2 radius, w + 2 radius): (h, w).

    By shifted sums: filters that carry a sum along a row give other last bits for each place where the row begins.
    """
    side = 2 * radius + 1
    height, width = values.shape[0] - 2 * radius, values.shape[1] - 2 * radius
    pairs = values[:, :-1] + values[:, 1:]
    columns = values[:, side - 1 :] + pairs[:, :width]
    for shift in range(2, side - 1, 2):
        columns += pairs[:, shift : shift + width]
    pairs = columns[:-1] + columns[1:]
    rows = columns[side - 1 :] + pairs[:height]
    for shift in range(2, side - 1, 2):
        rows += pairs[shift : shift + height]
    rows *= np.float32(1 / side**2)
    return rows


def _mirrored(values: np.ndarray, border: int) -> np.ndarray:
    return np.pad(values, ((border, border), (border, border), (0, 0)), mode="reflect")


def _blocks(whole: Rect) -> list[Rect]:
    """The whole picture, or blocks of it on an even grid with `_SAMPLES` pixels together."""
    pixels = whole.width * whole.height
    if pixels <= _SAMPLES:
        return [whole]
    each = math.sqrt(_SAMPLES / pixels)
    sides = [max(1, round(side * each / _BLOCK)) for side in (whole.height, whole.width)]
    tops, lefts = (
        np.linspace(0, max(0, side - _BLOCK), count).astype(int)
        for side, count in zip((whole.height, whole.width), sides, strict=True)
    )
    return [
        Rect(left, top, left + _BLOCK, top + _BLOCK).shared(whole) for top in tops.tolist() for left in lefts.tolist()
    ]
