"""Parameters are checked where they enter, and nowhere else."""

from dataclasses import asdict

import pytest

from engine import params
from engine.methods.r2r import R2RParams
from engine.params import ParamError


def test_defaults_lie_in_their_ranges():
    assert params.make(R2RParams, {}) == R2RParams()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alpha": 0}, "Recorruption (alpha) must be 0.05 to 20, not 0"),
        ({"alpha": float("nan")}, "must be a number"),
        ({"alpha": "0.5"}, "must be a number"),
        ({"passes": 2.5}, "must be a whole number"),
        ({"sigma": 2.0}, "Noise level (sigma) must be 0 to 255, not 510"),
        ({"beta": 1}, "Unknown parameter 'beta'; this method has passes, alpha, sigma"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(values, said):
    with pytest.raises(ParamError, match=said.replace("(", r"\(").replace(")", r"\)")):
        params.make(R2RParams, values)


def test_parameters_survive_json():
    import json

    values = params.make(R2RParams, {"alpha": 0.3, "passes": 8, "sigma": 0.1})
    assert params.make(R2RParams, json.loads(json.dumps(asdict(values)))) == values


def test_what_a_checkpoint_suggests_counts_only_where_the_method_knows_it():
    assert params.make(R2RParams, {}, {"alpha": 0.3, "unheard of": 1}) == R2RParams(alpha=0.3)
    assert params.make(R2RParams, {"alpha": 0.7}, {"alpha": 0.3}) == R2RParams(alpha=0.7)
    with pytest.raises(params.ParamError):
        params.make(R2RParams, {"unheard of": 1})
