"""What the screen shows of a picture: its levels as black and white, its colour profile brought to the screen's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.ImageCms

from engine import color, scratch
from engine.image import Image
from engine.image import thumbnail as averaged
from engine.language import tr

SYSTEM = "system"
"""In place of a profile's path: the one that the system has for the first screen."""

_profile: bytes | None = None
"""The screen's, None for sRGB. One for the program: every place that shows pixels has to agree."""


def use_profile(chosen: str) -> None:
    """Show pictures from now on for a screen of this profile; ProfileError, and sRGB, where there is none.

    Args:
        chosen: the path of a profile, `SYSTEM`, or "" for sRGB.
    """
    global _profile
    _profile = None
    if chosen == SYSTEM:
        found = system_profile()
        if found is None:
            raise color.ProfileError(tr("The system has no colour profile for this screen; pictures are shown in sRGB"))
        _profile = color.check_screen(found, tr("The system's profile"))
    elif chosen:
        _profile = read_profile(Path(chosen))


def read_profile(path: Path) -> bytes:
    """The profile in a file; ProfileError if it is none, or none of a screen."""
    try:
        with path.open("rb") as file:
            found = file.read(_LARGEST + 1)
    except OSError as error:
        raise color.ProfileError(
            tr("{name} cannot be read: {reason}").format(name=path.name, reason=error.strerror or error)
        ) from error
    if len(found) > _LARGEST:
        raise color.ProfileError(
            tr("{name} is too large for a colour profile; choose the .icc file of your screen").format(name=path.name)
        )
    return color.check_screen(found, path.name)


_LARGEST = 64 << 20
"""Bytes; the largest profiles of printers have some ten million."""


def system_profile() -> bytes | None:
    """That of the first screen where the system tells it, which is on Windows."""
    try:
        found = PIL.ImageCms.get_display_profile()
    except (OSError, PIL.ImageCms.PyCMSError):
        return None
    return found.tobytes() if found is not None else None


def conversion_of(image: Image) -> color.Convert | None:
    """What brings the picture's samples to the screen; None where they are shown as they are."""
    return color.conversion(image.metadata.icc, image.channels, _profile)


def to_screen(pixels: np.ndarray, levels: tuple[float, float], convert: color.Convert | None = None) -> np.ndarray:
    """(H, W, C) float32 in the picture's units as uint8: `levels` become black and white, clipped and rounded.

    With a conversion the colours are brought to the screen's; grey may become (H, W, 3) then. What is larger than
    `scratch.IN_MEMORY` lies in a file; NoRoom where the disk cannot hold it.
    """
    height, width, channels = pixels.shape
    shown = channels if convert is None else convert(np.zeros((1, 1, channels), np.uint16)).shape[2]
    out = scratch.array((height, width, shown), np.uint8)
    # A conversion by lcms takes 10 ms to begin with.
    rows = max(1, (1 << 22 if convert else 1 << 20) // max(1, width * channels))
    for top in range(0, height, rows):
        band = pixels[top : top + rows]
        if convert is None:
            out[top : top + rows] = _scaled(band, levels, 255.0, cv2.CV_8U)
        else:
            out[top : top + rows] = convert(_scaled(band, levels, 65535.0, cv2.CV_16U))
    return out


def _scaled(band: np.ndarray, levels: tuple[float, float], most: float, depth: int) -> np.ndarray:
    """The samples from 0 (black) to `most` (white), clipped and rounded."""
    black, white = levels
    # As one channel: OpenCV applies a plain number to the first channel only.
    flat = np.ascontiguousarray(band).reshape(len(band), -1)
    if black:
        flat = flat - np.float32(black)
    scaled = cv2.multiply(flat, most / (white - black), dtype=depth)  # pyright: ignore[reportCallIssue,reportArgumentType]
    return np.asarray(scaled).reshape(band.shape)


def shown(image: Image) -> np.ndarray:
    """(H, W, 1) or (H, W, 3) uint8: the picture itself on the screen."""
    return to_screen(image.pixels, image.levels, conversion_of(image))


def thumbnail(image: Image, side: int) -> np.ndarray:
    """(h, w, 3) uint8 for the screen, its longer side at most `side`."""
    return averaged(image, side, conversion_of(image))
