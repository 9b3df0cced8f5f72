"""Which method, model and noise level suit a picture, by the noise that was measured in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.language import tr
from engine.noise import NoiseReport
from engine.params import Spec

if TYPE_CHECKING:
    from engine.checkpoint import Entry

_ANY = ("r2r", "n2n", "dbsn", "apr-rd", "n2v")
"""Best first for noise that is independent from pixel to pixel; methods not named come last.

Photon noise is no case of its own: a network for white noise that is told its mean deviation reaches 31.2 dB (six of
CBSD68, Poisson 30), with its split 30.7, with the deviation of each brightness 31.1.
"""

_CORRELATED = ("apr-rd", *(method for method in _ANY if method != "apr-rd"))
"""The same for noise whose neighbours correlate: only a wide blind spot keeps it out of the network's sight."""

_STRONG = 6 / 255
"""Measured deviation from which correlated noise is worth a wide blind spot.

Told `NoiseReport.level`, R2R reaches 33.2 dB on SIDD (deviation about 20 of 255), APR-RD's network 37; on weak noise
(2.5 to 3.6) the latter takes fine texture for noise: one crop of PolyU fell from 39.4 to 31.5 dB. Measured of 20 PolyU
photos: at most 5.6, of 11 SIDD: at least 8.0.
"""

_LEAST = 1 / 255
"""What a method that needs no noise level is told where none was found: anything but 0, which means "leave alone"."""


@dataclass(frozen=True)
class Proposal:
    """What suits a picture.

    Attributes:
        method: its id.
        model: name of an installed checkpoint.
        params: values in place of the checkpoint's and the method's defaults.
        reason: why, as a clause that goes on after "because".
    """

    method: str
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def leading(entries: Iterable[Entry], channels: int, order: Sequence[str] = _ANY) -> Entry | None:
    """The checkpoint that leads for pictures of `channels` channels: made for them, of the first method, bundled.

    A grey checkpoint serves colour pictures channel by channel where there is no other. None where there are none.
    """
    ranks = {method: rank for rank, method in enumerate(order)}

    def key(entry: Entry) -> tuple[bool, bool, int, bool]:
        rank = ranks.get(entry.method, len(ranks))
        return entry.channels != channels, entry.channels != 1, rank, not entry.bundled

    return min(entries, key=key, default=None)


def propose(report: NoiseReport | None, entries: Iterable[Entry], channels: int) -> Proposal | None:
    """What to denoise a picture with, among the installed checkpoints; None where there are none.

    A clean picture gets what white noise gets: where its method is told a level, 0 leaves the picture as it is.

    Args:
        report: of its noise; None where that is not known.
        entries: the installed checkpoints, each run by the method that it was trained for.
        channels: of the picture, 1 or 3.
    """
    entries = list(entries)
    # Where texture is what correlates, `level` is no more than `sigma`, and a blind spot would take it all.
    correlates = report is not None and report.correlation > 0.1 and report.level > report.sigma
    is_strong = correlates and report is not None and report.sigma >= _STRONG
    entry = leading(entries, channels, _CORRELATED if is_strong else _ANY)
    if entry is None:
        return None
    if report is None:
        reason = tr("its noise is not known")
    elif report.is_clean:
        reason = tr("nothing worth removing was found")
    elif is_strong and entry.method == _CORRELATED[0]:
        reason = tr("the noise of neighbouring pixels correlates")
    elif is_strong:
        reason = tr("no model for noise that correlates is installed")
    elif correlates:
        reason = tr("the noise correlates but is weak")
    elif report.is_white:
        reason = tr("the noise is white")
    elif report.level > report.sigma:
        reason = tr("the noise is much the same in all colours")
    else:
        reason = tr("the noise cannot be told from texture")
    return Proposal(entry.method, entry.name, reason=reason)


def settled_sigma(report: NoiseReport | None, specs: Iterable[Spec], by_hand: float | None = None) -> float | None:
    """The standard deviation that a method is told, in the trained range; None while that cannot be known.

    A method without a parameter `sigma` finds the noise by itself, and nobody could set one by hand: it is told some
    positive value, so that it runs also where the picture seemed clean or could not be measured.

    Args:
        report: what was measured; None where that failed.
        specs: the method's parameters.
        by_hand: what a user or a checkpoint sets; None for automatic.
    """
    if by_hand is None and report is not None:
        by_hand = report.level
    return by_hand if any(spec.name == "sigma" for spec in specs) else by_hand or _LEAST
