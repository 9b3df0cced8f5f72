"""What is proposed for a picture follows its noise, and nothing installed makes it worse than it was without."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Card, Entry, list_checkpoints
from engine.denoise import default_checkpoint
from engine.method import methods
from engine.noise import NoiseReport
from engine.params import param, specs
from engine.proposal import leading, propose, settled_sigma

IDENTITY = tuple(map(tuple, np.eye(3).tolist()))


def report(sigma: float = 25 / 255, correlation: float = 0.0, **details) -> NoiseReport:
    levels = (sigma,) * 3
    found = NoiseReport(
        sigma=sigma,
        joint=sigma,
        channels=levels,
        flat=sigma,
        flat_channels=levels,
        slope=(0.0,) * 3,
        offset=(sigma**2,) * 3,
        correlation=correlation,
        channel_correlation=IDENTITY,
        clipped=0.0,
        is_white=abs(correlation) <= 0.1,
        is_clean=sigma == 0,
        uncertainty=0.01,
        reason="It is known.",
    )
    return dataclasses.replace(found, **details)


def entry(method: str, channels: int = 3, name: str = "", bundled: bool = False) -> Entry:
    return Entry(Path("x"), name or f"{method}-{channels}", method, channels, Card(), bundled)


BUNDLED = [entry("r2r", 3, "r2r-color", True), entry("r2r", 1, "r2r-grey", True)]
ALL = [*(entry(name, channels) for name in ("plain", "n2v", "apr-rd", "dbsn", "n2n") for channels in (1, 3))]
ALL += BUNDLED

WHITE = report()
PHOTONS = report(slope=(0.02,) * 3, offset=(1e-5,) * 3)
PHONE = report(20 / 255, 0.5)
CAMERA = report(3 / 255, 0.5)
TEXTURE = report(20 / 255, 0.5, flat=30 / 255)
ALIKE = report(20 / 255, 0.05, is_white=False, channel_correlation=((1.0,) * 3,) * 3)
CLEAN = report(0.0)
KINDS = [WHITE, PHOTONS, PHONE, CAMERA, TEXTURE, ALIKE, CLEAN, None]


@pytest.mark.parametrize("found", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_with_the_bundled_models_alone_every_picture_gets_what_it_got_before(found, channels):
    proposal = propose(found, BUNDLED, channels)
    assert (proposal.method, proposal.model) == ("r2r", "r2r-color" if channels == 3 else "r2r-grey")
    assert not proposal.params
    assert proposal.reason


@pytest.mark.bundled
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_bundled_is_proposed_as_it_leads_without_a_proposal(channels):
    bundled = [entry for entry in list_checkpoints() if entry.bundled]
    proposal = propose(WHITE, bundled, channels)
    assert proposal.model == default_checkpoint(channels, proposal.method).name


@pytest.mark.parametrize("found", [WHITE, PHOTONS, CAMERA, TEXTURE, ALIKE, CLEAN, None])
@pytest.mark.parametrize("channels", [1, 3])
def test_only_strong_correlated_noise_gets_a_wide_blind_spot(found, channels):
    assert propose(found, ALL, channels).method == "r2r"
    assert propose(PHONE, ALL, channels).method == "apr-rd"


def test_where_only_one_method_is_installed_it_is_taken():
    for name in ("n2n", "plain", "apr-rd", "made up"):
        assert propose(WHITE, [entry(name)], 3).method == name


def test_a_model_for_the_pictures_channels_comes_before_a_better_method():
    few = [entry("r2r", 3), entry("n2n", 1), entry("apr-rd", 4)]
    assert propose(WHITE, few, 1).model == "n2n-1"
    assert propose(PHONE, [entry("apr-rd", 1), entry("r2r", 3)], 3).model == "r2r-3"
    assert propose(PHONE, [entry("apr-rd", 4), entry("r2r", 1)], 3).model == "r2r-1"


def test_among_models_of_one_kind_the_bundled_one_leads():
    own = entry("r2r", 3, "own")
    assert leading([own, BUNDLED[0]], 3) is BUNDLED[0]
    assert leading([own], 3) is own


def test_without_models_nothing_is_proposed():
    assert propose(WHITE, [], 3) is None


def test_each_kind_of_noise_has_a_reason_of_its_own():
    reasons = [propose(found, BUNDLED, 3).reason for found in KINDS if found is not PHOTONS]
    assert len(set(reasons)) == len(reasons)
    assert propose(PHONE, ALL, 3).reason not in reasons


@dataclasses.dataclass(frozen=True)
class Told:
    sigma: float | None = param(None, 0.0, 1.0, "Level")


@dataclasses.dataclass(frozen=True)
class Blind:
    gain: float = param(1.0, 0.0, 2.0, "Gain")


def test_a_method_that_is_told_the_level_leaves_a_clean_picture_alone():
    assert settled_sigma(CLEAN, specs(Told)) == 0
    assert settled_sigma(PHONE, specs(Told)) == PHONE.level
    assert settled_sigma(PHONE, specs(Told), 0.2) == 0.2
    assert settled_sigma(PHONE, specs(Told), 0.0) == 0
    assert settled_sigma(None, specs(Told)) is None
    assert settled_sigma(None, specs(Told), 0.2) == 0.2


def test_a_method_without_a_level_runs_on_every_picture():
    for found in (CLEAN, None):
        assert settled_sigma(found, specs(Blind)) == 1 / 255
    assert settled_sigma(PHONE, specs(Blind)) == PHONE.level
    assert settled_sigma(CLEAN, specs(Blind), 0.2) == 0.2
    assert settled_sigma(CLEAN, specs(Blind), 0.0) > 0


def test_every_method_that_is_ranked_goes_by_its_own_name():
    from engine import proposal

    assert set(proposal._ANY) <= set(methods())
    assert sorted(proposal._CORRELATED) == sorted(proposal._ANY)
