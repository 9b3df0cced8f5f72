"""Grey and RGB pixels, and what a file's colour profile makes of them on a screen."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
import PIL.ImageCms

from engine import scratch
from engine.language import tr

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W, 1): luminance of ITU-R BT.601, which the grey test sets of the papers are made with."""
    return pixels if pixels.shape[2] == 1 else (pixels @ _LUMA)[..., None]


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H, W, 3); a grey picture is repeated."""
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


# ---- Profiles ----

Convert = Callable[[np.ndarray], np.ndarray]
"""(h, w, C) uint16, 65535 is white, to (h, w, C') uint8 for the screen; C' is 3, for grey 1 where the screen allows."""

_STEPS = 1 << 16
"""Entries of a table: one for each sample of 16 bits, which spares interpolation."""

_BLOCK = 1 << 16
"""Pixels converted at once, for which the processor's cache has room: twice as many take twice as long each."""

_INTENT = imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC
_FLAGS = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION


class ProfileError(ValueError):
    """A colour profile cannot be used; the message is meant for the user."""


@functools.cache
def _standard(kind: str) -> bytes:
    """The profile "srgb", or "xyz": linear light as the eye weighs it."""
    return bytes(imagecodecs.cms_profile(kind))


@functools.lru_cache(maxsize=16)
def conversion(icc: bytes | None, channels: int, screen: bytes | None = None) -> Convert | None:
    """What brings samples to the screen; None where they are shown as they are.

    That is so where no sample changes by more than one level of 255: a picture in sRGB on a screen of sRGB is never
    touched. A profile that cannot be used is taken as sRGB, see `flaw`.

    Args:
        icc: the picture's profile, None for sRGB.
        channels: 1 or 3, which the profile must be for.
        screen: the screen's profile, which `check_screen` took; None for sRGB.
    """
    if icc is not None and flaw(icc, channels):
        icc = None
    if icc is None and screen is None:
        return None
    screen = screen or _standard("srgb")
    convert = _grey(icc, screen) if channels == 1 else _shaped(icc or _standard("srgb"), screen)
    samples = _probe(channels)
    shown = convert(samples)
    if np.abs(shown.astype(int) - samples // 257).max() <= 1:
        return None
    return convert


def _probe(channels: int) -> np.ndarray:
    """(1, n, C) uint16: every grey of 8 bits, and colours on a grid."""
    greys = np.repeat(np.arange(256)[:, None], channels, 1)
    axis = np.linspace(0, 255, 9).astype(int)
    colours = np.stack(np.meshgrid(*[axis] * channels), -1).reshape(-1, channels)
    return (np.concatenate((greys, colours))[None] * 257).astype(np.uint16)


@functools.lru_cache(maxsize=16)
def flaw(icc: bytes, channels: int) -> str:
    """Why a picture's profile cannot be used: "" where it can."""
    space = b"GRAY" if channels == 1 else b"RGB "
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return tr("it is damaged")
    if icc[16:20] != space:
        return tr("it is for another kind of colour")
    try:
        _through(np.zeros((1, 1, channels), np.float32), icc, _standard("srgb"), np.float32)
    except (RuntimeError, ValueError):
        return tr("it is damaged")
    return ""


def to_srgb(pixels: np.ndarray, icc: bytes) -> np.ndarray:
    """(H, W, 3) float32 in sRGB, 1 is white; the same array where the profile means much the same or cannot be used.

    For files that have no room for a profile: without one every program takes them for sRGB.
    """
    if conversion(icc, 3) is None:
        return pixels
    converted = scratch.array(pixels.shape, np.float32)
    rows = max(1, _BLOCK // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        band = np.ascontiguousarray(pixels[top : top + rows], np.float32)
        converted[top : top + rows] = _through(band, icc, _standard("srgb"), np.float32)
    return converted


def check_screen(icc: bytes, name: str) -> bytes:
    """The profile as it was given; ProfileError unless it can be a screen's."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise ProfileError(tr("{name} is no colour profile; choose the .icc file of your screen").format(name=name))
    if icc[16:20] != b"RGB ":
        raise ProfileError(
            tr("{name} is a profile for no screen (its colours are not RGB); choose that of your screen").format(
                name=name
            )
        )
    try:
        _through(np.zeros((1, 1, 3), np.float32), _standard("srgb"), icc, np.float32)
    except (RuntimeError, ValueError):
        raise ProfileError(
            tr("{name} is damaged, or no screen's; choose the .icc file of your screen").format(name=name)
        ) from None
    return icc


@functools.lru_cache(maxsize=16)
def profile_name(icc: bytes) -> str:
    """What a profile calls itself, "" where it does not say."""
    try:
        name = PIL.ImageCms.getProfileDescription(PIL.ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (PIL.ImageCms.PyCMSError, OSError, ValueError):
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())[:60]


def _through(
    samples: np.ndarray, source: bytes, target: bytes, dtype: type, *, space: str = "rgb", flags: int = _FLAGS
) -> np.ndarray:
    """(h, w, C) samples of one profile as those of another, by lcms; RuntimeError or ValueError if it refuses."""
    grey = samples.shape[2] == 1
    return imagecodecs.cms_transform(
        samples[..., 0] if grey else samples,
        source,
        target,
        colorspace="gray" if grey else "rgb",
        outcolorspace=space,
        outdtype=np.dtype(dtype),
        intent=_INTENT,
        flags=flags,
    )


def _grey(icc: bytes | None, screen: bytes) -> Convert:
    ramp = np.linspace(0, 1, _STEPS, dtype=np.float32).reshape(1, -1, 1)
    source = np.repeat(ramp, 3, axis=2) if icc is None else ramp
    table = _through(source, icc or _standard("srgb"), screen, np.float32)[0]
    table = np.rint(np.clip(table, 0, 1) * 255).astype(np.uint8)
    # A screen of its own white shows grey with a tint; the rounding of one level is none.
    if np.ptp(table.astype(int), axis=1).max() <= 1:
        table = np.ascontiguousarray(table[:, 1:2])
    return lambda samples: table[samples[..., 0]]


def _shaped(icc: bytes, screen: bytes) -> Convert:
    """A conversion between RGB profiles: by tables where both are curves and a matrix, else by lcms.

    For 16 bits lcms blends between colours that lie far apart, which is off by up to 25 levels where the screen's gamut
    ends; in float it is exact and takes 165 to 230 ns a pixel. The tables are exact and take 10. A profile that is a
    table of colours goes first, blended, to a space in which no gamut ends, then by tables: within 2 levels, 65 ns.
    """
    found, wanted = _shaper(icc), _shaper(screen)
    if wanted is None:
        flags = _FLAGS | imagecodecs.CMS.FLAGS.NOOPTIMIZE
        return lambda samples: _through(samples, icc, screen, np.uint8, flags=flags)
    if found is None:
        rest = _shaped(_wide(), screen)
        return lambda samples: rest(_through(samples, icc, _wide(), np.uint16))
    curves, matrix = found
    matrix = (np.linalg.inv(wanted[1]) @ matrix * (_STEPS - 1)).astype(np.float32)
    to_light, to_code = curves.ravel(), np.concatenate([_coded(curve) for curve in wanted[0]])
    start = np.arange(3) * _STEPS

    def convert(samples: np.ndarray) -> np.ndarray:
        out = np.empty(samples.shape, np.uint8)
        rows = max(1, _BLOCK // samples.shape[1])
        for top in range(0, len(samples), rows):
            light = to_light.take(np.add(samples[top : top + rows], start, dtype=np.intp))
            light = cv2.transform(light, matrix)
            np.rint(np.clip(light, 0, _STEPS - 1, out=light), out=light)
            out[top : top + rows] = to_code.take(np.add(light, start, dtype=np.intp, casting="unsafe"))
        return out

    return convert


def _coded(curve: np.ndarray) -> np.ndarray:
    """(65536,) light for each sample, as (65536,) uint8 samples for each light, rounded."""
    between = (np.arange(255) + 0.5) / 255 * (_STEPS - 1)
    halfway = np.interp(between, np.arange(_STEPS), np.maximum.accumulate(curve))
    return np.searchsorted(halfway, np.arange(_STEPS) / (_STEPS - 1), side="right").astype(np.uint8)


@functools.cache
def _wide() -> bytes:
    """A profile whose gamut holds every colour of a surface: ROMM RGB, ISO 22028-2."""
    primaries = [0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=[0.3457, 0.3585, 1], primaries=primaries, gamma=1.8))


@functools.lru_cache(maxsize=16)
def _shaper(icc: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """(3, 65536) light for each sample and (3, 3) its XYZ, if that is all there is to the profile; found by trying."""
    ramp = np.linspace(0, 1, _STEPS, dtype=np.float32)
    curves, columns = [], []
    for channel in range(3):
        samples = np.zeros((1, _STEPS, 3), np.float32)
        samples[0, :, channel] = ramp
        xyz = _through(samples, icc, _standard("xyz"), np.float32, space="xyz")[0].astype(np.float64)
        column = xyz[-1]
        if not (column @ column > 1e-6) or not np.isfinite(xyz).all():
            return None
        columns.append(column)
        curves.append((xyz @ column / (column @ column)).astype(np.float32))
    matrix = np.stack(columns, 1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        return None
    tried = np.random.default_rng(0).integers(0, _STEPS, (1, 4096, 3))
    light = np.stack([curve[tried[..., channel]] for channel, curve in enumerate(curves)], -1)
    xyz = _through((tried / (_STEPS - 1)).astype(np.float32), icc, _standard("xyz"), np.float32, space="xyz")
    if np.abs(light @ matrix.T - xyz).max() > 1e-4:
        return None
    return np.stack(curves), matrix
