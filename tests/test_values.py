from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH, Values, ValuesError, unknown
from engine.areas import BRUSH, RECTANGLE, Area, Areas
from engine.blend import Blend
from engine.develop import Develop

SOME = Values(
    "r2r",
    "r2r-color",
    {"r2r": {"passes": 8, "alpha": 0.4, "sigma": None, "noise_model": "white"}, "n2n": {"sigma": 0.1}},
    0.75,
    2.5,
    Develop(exposure=0.5, curve="linear"),
    0.8,
    1.1,
    Areas(0.5, (Area(RECTANGLE, ((1.5, 2.0), (30.0, 4.0)), 0.0, 1.2), Area(BRUSH, ((7.0, 8.0),), 3.5))),
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FACTORS = st.floats(0, STRENGTH.maximum)
POINTS = st.tuples(st.floats(-9e6, 9e6), st.floats(-9e6, 9e6))
PLACES = st.builds(Area, st.just(RECTANGLE), st.tuples(POINTS, POINTS), st.just(0.0), FACTORS) | st.builds(
    Area, st.just(BRUSH), st.lists(POINTS, min_size=1, max_size=3).map(tuple), st.floats(0.1, 999), FACTORS
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
"""What Python reads from a JSON file, infinities and NaN too."""


@given(
    st.builds(
        Values,
        method=st.text(max_size=8),
        model=st.text(max_size=8),
        params=st.dictionaries(
            st.text(max_size=5),
            st.dictionaries(st.text(max_size=5), st.none() | st.integers(-99, 99) | NUMBERS | st.text(max_size=5)),
            max_size=3,
        ),
        strength=st.floats(0, STRENGTH.maximum),
        guard=st.floats(0, GUARD.maximum),
        luminance=st.floats(0, LUMINANCE.maximum),
        chroma=st.floats(0, CHROMA.maximum),
        areas=st.builds(Areas, FACTORS, st.lists(PLACES, max_size=3).map(tuple)),
    )
)
def test_what_was_written_is_read_unchanged(values):
    assert Values.from_json(json.loads(json.dumps(values.as_json())), strict=True) == values


def test_the_development_is_read_unchanged():
    assert Values.from_json(json.loads(json.dumps(SOME.as_json())), strict=True) == SOME


@given(
    JSON
    | st.dictionaries(
        st.sampled_from(["method", "model", "params", "strength", "luminance", "guard", "develop", "areas", "new"]),
        JSON,
    )
    | st.builds(lambda inner: {"areas": inner}, st.dictionaries(st.sampled_from(["outside", "places"]), JSON))
    | st.builds(
        lambda inner: {"areas": {"places": [inner]}},
        st.dictionaries(
            st.sampled_from(["shape", "points", "radius", "strength"]), JSON | st.sampled_from([BRUSH, [[1, 2]], 5])
        ),
    )
    | st.builds(lambda inner: {"develop": inner}, st.dictionaries(st.sampled_from(["white", "exposure"]), JSON))
)
def test_whatever_a_file_holds_gives_values_that_make_sense_or_one_sentence(held):
    values = Values.from_json(held)
    assert Values.from_json(json.loads(json.dumps(values.as_json())), strict=True) == values
    try:
        strict, sentence = Values.from_json(held, strict=True), ""
    except ValuesError as error:
        strict, sentence = values, str(error)
    assert strict == values
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", None),
        ("model", 3),
        ("params", []),
        ("params", {"r2r": 4}),
        ("params", {"r2r": {"passes": [4]}}),
        ("params", {"r2r": {"alpha": float("inf")}}),
        ("strength", 7),
        ("strength", True),
        ("strength", "full"),
        ("guard", -1),
        ("guard", float("nan")),
        ("luminance", 1.3),
        ("chroma", "none"),
        ("areas", []),
        ("areas", {"outside": 2}),
        ("areas", {"places": {}}),
        ("areas", {"places": [3]}),
        ("areas", {"places": [{"shape": "circle", "points": [[1, 2]], "radius": 3}]}),
        ("areas", {"places": [{"shape": "rectangle", "points": [[1, 2]]}]}),
        ("areas", {"places": [{"shape": "brush", "points": [[1, 2]]}]}),
        ("areas", {"places": [{"shape": "brush", "points": [], "radius": 3}]}),
        ("areas", {"places": [{"shape": "brush", "points": [[1, 2, 3]], "radius": 3}]}),
        ("areas", {"places": [{"shape": "brush", "points": [[1, 1e300]], "radius": 3}]}),
        ("areas", {"places": [{"shape": "brush", "points": [[1, 2]], "radius": 3, "strength": -1}]}),
        ("develop", "camera"),
        ("develop", {"exposure": "bright"}),
        ("develop", {"white": 3}),
    ],
)
def test_a_value_that_makes_no_sense_takes_its_default_and_spares_the_rest(caplog, name, value):
    given_values = {**SOME.as_json(), name: value}
    with caplog.at_level(logging.WARNING):
        read = Values.from_json(given_values)
    assert getattr(read, name) == getattr(Values(), name)
    assert [n for n in SOME.as_json() if getattr(read, n) != getattr(SOME, n)] == [name]
    assert name.split(".")[0] in caplog.text or "r2r" in caplog.text
    with pytest.raises(ValuesError, match="must"):
        Values.from_json(given_values, strict=True)


def test_what_a_later_version_added_is_left_out_with_a_remark(caplog):
    later = {**SOME.as_json(), "sharpen": 1, "develop": {**SOME.as_json()["develop"], "lens": "auto"}}
    assert unknown(later) == ["develop.lens", "sharpen"]
    with caplog.at_level(logging.WARNING):
        assert Values.from_json(later, strict=True) == SOME
    assert "sharpen" in caplog.text


def test_noise_levels_and_areas_are_left_behind_and_nothing_else():
    assert SOME.for_others().params == {"r2r": {"passes": 8, "alpha": 0.4, "noise_model": "white"}, "n2n": {}}
    kept = ("method", "model", "strength", "guard", "develop", "luminance", "chroma")
    assert all(getattr(SOME.for_others(), name) == getattr(SOME, name) for name in kept)
    assert SOME.for_others().areas == Areas()


def test_pasted_values_leave_a_picture_its_own_areas():
    own = Values(areas=Areas(0.3))
    assert SOME.onto(own).areas == own.areas
    assert SOME.onto(own).luminance == SOME.luminance


def test_values_say_how_the_result_is_mixed():
    assert SOME.blend == Blend(0.75, 0.8, 1.1, 2.5, SOME.areas)
