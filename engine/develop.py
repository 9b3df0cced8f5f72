"""How a camera's mosaic becomes a picture: what can be chosen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Develop:
    """How a RAW file is developed. No library's noise reduction takes part.

    Attributes:
        white: camera (as shot), daylight, auto (grey world), or three multipliers of red, green and blue: "2.1,1,1.6".
        exposure: in stops.
        curve: srgb, or linear for a picture that is proportional to light.
        domain: what is denoised: mosaic (what the sensor recorded, developed afterwards) or picture (developed before).
    """

    white: str = "camera"
    exposure: float = 0.0
    curve: str = "srgb"
    domain: str = "mosaic"
