"""Splitting Poisson and gamma noise into two independent parts: recorruption where the noise is not Gaussian.

Generalized Recorrupted-to-Recorrupted (Monroy, Bacca, Tachella, CVPR 2025, arXiv 2412.04648). A share of the value
goes into the target, the rest into the input; each is unbiased, and they are independent given the clean picture.
All draws are quantiles at Phi(z) of one unit normal z a sample. So they depend on nothing but the unit noise, -z gives
the opposite draw, and every device can make them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FEW = 30.0
"""Variance from which a binomial quantile is expanded in place of summed up."""

_GRID = 4096


def poisson(noisy: Tensor, gain: float | Tensor, alpha: float | Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thin photon counts: y / gain is Poisson distributed with mean x / gain.

    Args:
        noisy: y (B, C, H, W), not below zero but for rounding.
        gain: variance by brightness, a number or (B, 1, 1, 1).
        alpha: as for Gaussian noise: the input's variance is 1 + alpha^2 times the picture's, the target's 1 + 1 /
            alpha^2 times.
        z: unit noise, shaped like y.

    Returns:
        input, target, and what y (as whole counts) has more than the target, on average over z nothing; shaped like y.
    """
    share = alpha**2 / (1 + alpha**2)
    counts = (noisy / gain).round().clamp_min(0)
    taken = binomial(counts, share, z)
    target = gain * taken / share
    return gain * (counts - taken) / (1 - share), target, gain * counts - target


def gamma(noisy: Tensor, looks: float | Tensor, alpha: float | Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split speckle: y is gamma distributed with mean x and shape `looks`, its variance is x^2 / looks.

    Arguments and results as of `poisson`.
    """
    share = alpha**2 / (1 + alpha**2)
    taken = beta(looks * share, looks * (1 - share), z)
    target = noisy * taken / share
    return noisy * (1 - taken) / (1 - share), target, noisy - target


def _precise(values: Tensor) -> Tensor:
    """In double precision, on the CPU where the device has none.

    In single precision the sum of all chances can end below the distribution function to be reached, and how the
    last place is rounded depends on where in a tile a pixel lies.
    """
    return (values.cpu() if values.device.type == "mps" else values).double()


def _phi(z: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def binomial(counts: Tensor, share: float | Tensor, z: Tensor) -> Tensor:
    """The quantile at Phi(z) of a binomial distribution: how many of `counts` are taken, each with chance `share`.

    Exact up to rounding where the variance is under 30; from there by the Cornish-Fisher expansion to third order.

    Args:
        counts: (B, C, H, W), whole numbers.
        share: above 0 and below 1, a number or (B, 1, 1, 1).
        z: shaped like counts.
    """
    given = counts
    counts, z = _precise(counts), _precise(z)
    share = (_precise(share) if isinstance(share, Tensor) else counts.new_tensor(share)).expand_as(counts)
    # The rarer of taken and left: what is summed up stays short.
    is_rare = share <= 0.5
    p, z = torch.where(is_rare, share, 1 - share), torch.where(is_rare, z, -z)
    variance = counts * p * (1 - p)
    found = _expanded(counts, p, variance, z)
    few = variance < _FEW
    if few.any():
        found[few] = _summed(counts[few], p[few], _phi(z[few]))
    return torch.where(is_rare, found, counts - found).to(given)


def _expanded(counts: Tensor, p: Tensor, variance: Tensor, z: Tensor) -> Tensor:
    """Cornish and Fisher, Moments and cumulants in the specification of distributions, 1938."""
    variance = variance.clamp_min(1)
    skewness = (1 - 2 * p) / variance.sqrt()
    excess = (1 - 6 * p * (1 - p)) / variance
    bent = z + skewness * (z**2 - 1) / 6 + excess * (z**3 - 3 * z) / 24 - skewness**2 * (2 * z**3 - 5 * z) / 36
    # Rounding adds a twelfth (Sheppard).
    return (counts * p + (variance - 1 / 12).sqrt() * bent).round().clamp_min(0).minimum(counts)


def _summed(counts: Tensor, p: Tensor, at: Tensor) -> Tensor:
    """The least number whose distribution function reaches `at`."""
    odds = p / (1 - p)
    chance = torch.exp(counts * torch.log1p(-p))
    total, found = chance.clone(), torch.zeros_like(counts)
    # Ten deviations above the mean there is nothing left.
    most = int((counts * p + 10 * (counts * p).sqrt() + 10).minimum(counts).max()) if len(counts) else 0
    for number in range(most):
        found += at > total
        chance = chance * odds * (counts - number).clamp_min(0) / (number + 1)
        total += chance
    return found.minimum(counts)


def beta(a: float | Tensor, b: float | Tensor, z: Tensor) -> Tensor:
    """The quantile at Phi(z) of a beta distribution with parameters a and b, numbers or (B, 1, 1, 1); shaped like z."""
    given, z = z, _precise(z)
    shape = (z.shape[0], 1)
    a, b = (_precise(v) if isinstance(v, Tensor) else z.new_tensor(v) for v in (a, b))
    a, b = a.reshape(-1, 1).expand(shape), b.reshape(-1, 1).expand(shape)

    # In t = log(w / (1 - w)) the density is smooth for any a and b: exp(a t) / (1 + exp t)^(a + b).
    def height(t: Tensor) -> Tensor:
        return a * t - (a + b) * torch.nn.functional.softplus(t)

    mode = torch.log(a / b)
    top = height(mode)
    # The tails fall at least linearly from where they are 1 below the top; 25 below it nothing is left.
    ends = []
    for sign, slope in ((-1, a), (1, b)):
        near, far = torch.zeros_like(mode), 30 / slope + 10 * (1 / a + 1 / b).sqrt() + 1
        for _ in range(40):
            middle = (near + far) / 2
            inside = top - height(mode + sign * middle) < 25
            near, far = torch.where(inside, middle, near), torch.where(inside, far, middle)
        ends.append(mode + sign * far)
    t = ends[0] + (ends[1] - ends[0]) * torch.linspace(0, 1, _GRID, dtype=z.dtype, device=z.device)
    density = torch.exp(height(t) - top)
    total = torch.nn.functional.pad(torch.cumsum((density[:, 1:] + density[:, :-1]) / 2, 1), (1, 0))
    total = total / total[:, -1:]
    at = _phi(z).reshape(shape[0], -1).contiguous()
    upper = torch.searchsorted(total, at).clamp(1, _GRID - 1)
    low, high = total.gather(1, upper - 1), total.gather(1, upper)
    part = ((at - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    place = t.gather(1, upper - 1) + part * (t.gather(1, upper) - t.gather(1, upper - 1))
    return torch.sigmoid(place).reshape(z.shape).to(given)
