"""Noise reports for tests: what was measured is what the test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from engine.noise import NoiseReport


def report(channels: int = 3, sigma: float = 0.1, **known: Any) -> NoiseReport:
    """White noise of deviation sigma in every channel of a picture of brightness 0.5, but for what is `known`."""
    made = NoiseReport(
        sigma=sigma,
        joint=sigma if channels > 1 else None,
        channels=(sigma,) * channels,
        flat=sigma,
        flat_channels=(sigma,) * channels,
        slope=(0.0,) * channels,
        offset=(sigma**2,) * channels,
        correlation=0.0,
        channel_correlation=tuple(tuple(row) for row in np.eye(channels).tolist()),
        clipped=0.0,
        is_white=True,
        is_clean=False,
        uncertainty=0.0,
        reason="made up",
        mean=(0.5,) * channels,
        mean_square=(0.25 + sigma**2,) * channels,
    )
    return replace(made, **known)


def autocorrelation(width: float, tall: float = 1.5, reach: int = 6) -> tuple[tuple[float, ...], ...]:
    """Of white noise blurred by a Gaussian of that standard deviation in pixels, `tall` times as much downwards."""
    lags = np.arange(-reach, reach + 1)
    down, across = np.exp(-((lags / (tall * width)) ** 2) / 4), np.exp(-((lags / width) ** 2) / 4)
    return tuple(tuple(row) for row in np.outer(down, across).tolist())


def correlated(channels: int = 3, sigma: float = 0.1, width: float = 0.6, shared: float = 0.5) -> NoiseReport:
    """Noise that correlates with its neighbours and, by `shared`, with other channels."""
    mixed = np.full((channels, channels), shared) + (1 - shared) * np.eye(channels)
    return report(
        channels,
        sigma,
        is_white=False,
        autocorrelation=autocorrelation(width),
        channel_correlation=tuple(tuple(row) for row in mixed.tolist()),
    )
