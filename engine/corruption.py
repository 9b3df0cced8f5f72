"""Synthetic noise as the papers add it: seeded, unclipped, one realisation a picture."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np


class CorruptionError(ValueError):
    """A noise specification that cannot be read; the message is meant for the user."""


_KINDS = {"gaussian": (0.0, 255.0), "poisson": (0.1, 1e6)}


@dataclass(frozen=True)
class Corruption:
    """A family of noises: gaussian with sigma (0 to 255 scale), or Poisson with lambda photons at white.

    Attributes:
        kind: "gaussian": y = x + N(0, sigma^2); "poisson": y = P(lambda x) / lambda.
        low, high: the level is uniform between them, drawn once a picture.
    """

    kind: str
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Corruption:
        """Read `gaussian:25`, `gaussian:0-75`, `poisson:30` or `poisson:5-50`."""
        match = re.fullmatch(r"(\w+):([\d.]+)(?:-([\d.]+))?", text.strip())
        kind = match[1] if match else ""
        if match is None or kind not in _KINDS:
            raise CorruptionError(f"Noise {text!r} must read gaussian:S, gaussian:S-S2, poisson:L or poisson:L-L2")
        try:
            low, high = float(match[2]), float(match[3] or match[2])
        except ValueError:
            raise CorruptionError(f"Noise {text!r} has a level that is not a number") from None
        least, most = _KINDS[kind]
        if not least <= low <= high <= most:
            raise CorruptionError(f"Noise {text!r}: levels must rise and lie between {least:g} and {most:g}")
        return cls(kind, low, high)

    def __str__(self) -> str:
        return f"{self.kind}:{self.low:g}" + (f"-{self.high:g}" if self.high != self.low else "")

    def apply(self, clean: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return the noisy picture, float32 and not clipped, and its mean noise standard deviation.

        Args:
            clean: (H, W, C) in [0, 1].
            rng: the generator of this picture.
        """
        level = self.low if self.low == self.high else rng.uniform(self.low, self.high)
        if self.kind == "gaussian":
            # On the 0 to 255 scale, as published sets are made, so that the same seed gives the same noise.
            noisy = clean + rng.normal(0.0, level, clean.shape) / 255
            return noisy.astype(np.float32), level / 255
        noisy = rng.poisson(np.clip(clean, 0, None) * level) / level
        return noisy.astype(np.float32), float(np.sqrt(np.clip(clean, 0, None).mean() / level))


def rng_for(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each picture name, so that the order of files does not matter."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
