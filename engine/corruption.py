"""Synthetic noise as the papers add it: seeded, unclipped, one realisation a picture."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace

import numpy as np

from engine.language import tr


class CorruptionError(ValueError):
    """A noise that cannot be read or put on a picture; the message is meant for the user."""


_RANGES = {"gaussian": (0.0, 255.0), "poisson": (0.1, 1e6), "gamma": (0.1, 1e6)}
_PAIRS = {"hg": (0.0, 255.0), "hg-released": (0.0, 255.0)}
_FORMS = (
    "gaussian:S, gaussian:S-S2, poisson:L, poisson:L-L2, gamma:L, gamma:L-L2, hg:S-C, hg-released:S-C, mg or mg:random"
)

# Upper triangle of the covariance that DBSN (Wu et al., ECCV 2020) is validated with, on the 0 to 255 scale.
_VALIDATION = (3438.9, 175.3, 286.1, 3701.2, 289.1, 3360.5)
_STRONGEST = 75.0


@dataclass(frozen=True)
class Corruption:
    """A family of noises on a clean picture x in [0, 1].

    Attributes:
        kind: what `levels` mean:
            "gaussian": y = x + N(0, sigma^2), sigma on a scale of 0 to 255;
            "poisson": y = P(lambda x) / lambda, lambda photons at white;
            "gamma": y = x Gamma(L, 1 / L), the speckle of L looks;
            "hg": y = x + N(0, ((S x)^2 + C^2) / 255^2), heteroscedastic Gaussian noise (Wu et al., ECCV 2020);
            "hg-released": y = x + N(0, (S x + C)^2 / 255^2), as their code validates: both parts share their draw,
            so it is stronger than "hg";
            "mg": y = x + N(0, Sigma), multivariate over the three colours, with the covariance of their validation;
            "mg:random": the same with the random covariances that they train on, one a picture.
        levels: the two ends between which the level is uniform, drawn once a picture, of gaussian, poisson and gamma;
            S and C of hg; the upper triangle of Sigma, row by row, on a scale of 0 to 255, of mg, empty until drawn.
    """

    kind: str
    levels: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Corruption:
        """Read `gaussian:25`, `gaussian:0-75`, `poisson:30`, `gamma:10`, `hg:40-10`, `mg` and the like."""
        text = text.strip()
        if text == "mg":
            return cls(text, _VALIDATION)
        if text == "mg:random":
            return cls(text)
        match = re.fullmatch(r"([\w-]+):([\d.]+)(?:-([\d.]+))?", text)
        kind = match[1] if match else ""
        if match is None or kind not in _RANGES | _PAIRS or (kind in _PAIRS and not match[3]):
            raise CorruptionError(tr("Noise {text!r} must read {forms}").format(text=text, forms=_FORMS))
        try:
            levels = float(match[2]), float(match[3] or match[2])
        except ValueError:
            raise CorruptionError(tr("Noise {text!r} has a level that is not a number").format(text=text)) from None
        least, most = (_RANGES | _PAIRS)[kind]
        if not all(least <= level <= most for level in levels) or (kind in _RANGES and levels[0] > levels[1]):
            said = (
                tr("Noise {text!r}: levels must rise and lie between {least:g} and {most:g}")
                if kind in _RANGES
                else tr("Noise {text!r}: levels must lie between {least:g} and {most:g}")
            )
            raise CorruptionError(said.format(text=text, least=least, most=most))
        return cls(kind, levels)

    def __str__(self) -> str:
        if self.kind in _RANGES and self.levels[0] == self.levels[1]:
            return f"{self.kind}:{self.levels[0]:g}"
        if self.kind in _RANGES | _PAIRS:
            return f"{self.kind}:{self.levels[0]:g}-{self.levels[1]:g}"
        return self.kind

    def drawn(self, rng: np.random.Generator) -> Corruption:
        """The same with whatever is drawn once a picture fixed: the level, or the covariance."""
        if self.kind in _RANGES:
            low, high = self.levels
            level = low if low == high else rng.uniform(low, high)
            return replace(self, levels=(level, level))
        if not self.levels:
            # |U^t D U|, D uniform, U a random basis; absolute values leave a 3x3 covariance positive definite.
            axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            covariance = np.abs(axes.T * rng.uniform(size=3) @ axes) * _STRONGEST**2
            return replace(self, levels=tuple(covariance[np.triu_indices(3)]))
        return self

    def apply(self, clean: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return the noisy picture, float32 and not clipped, and its noise's standard deviation, RMS over all samples.

        Args:
            clean: (H, W, C) in [0, 1].
            rng: the generator of this picture.

        Raises:
            CorruptionError: noise over three colours for a picture that has not three.
        """
        levels = self.drawn(rng).levels
        if self.kind == "gaussian":
            # On the 0 to 255 scale, as published sets are made, so that the same seed gives the same noise.
            noisy = clean + rng.normal(0.0, levels[0], clean.shape) / 255
            return noisy.astype(np.float32), levels[0] / 255
        if self.kind in ("poisson", "gamma"):
            light = np.clip(clean, 0, None)
            if self.kind == "poisson":
                noisy = rng.poisson(light * levels[0]) / levels[0]
                return noisy.astype(np.float32), float(np.sqrt(light.mean() / levels[0]))
            noisy = light * rng.gamma(levels[0], 1 / levels[0], clean.shape)
            return noisy.astype(np.float32), float(np.sqrt(np.square(light).mean() / levels[0]))
        if self.kind in _PAIRS:
            shot, read = levels[0] * np.clip(clean, 0, None), levels[1]
            deviation = np.hypot(shot, read) if self.kind == "hg" else shot + read
            noisy = clean + deviation / 255 * rng.standard_normal(clean.shape)
            return noisy.astype(np.float32), float(np.sqrt(np.square(deviation).mean()) / 255)
        if clean.shape[2] != 3:
            raise CorruptionError(
                tr("Noise {noise} is for pictures of three colours; this one has {channels}").format(
                    noise=self, channels=clean.shape[2]
                )
            )
        covariance = np.empty((3, 3))
        covariance[np.triu_indices(3)] = covariance.T[np.triu_indices(3)] = levels
        noisy = clean + rng.standard_normal(clean.shape) @ np.linalg.cholesky(covariance).T / 255
        return noisy.astype(np.float32), float(np.sqrt(np.trace(covariance) / 3) / 255)


def rng_for(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each picture name, so that the order of files does not matter."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
