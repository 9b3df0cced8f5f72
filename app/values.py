"""What a user sets for one picture, and its form in files."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engine import params
from engine.develop import Develop
from engine.params import Spec

log = logging.getLogger(__name__)

STRENGTH = Spec(
    "strength",
    1.0,
    0.0,
    1.2,
    "Strength",
    unit=" %",
    scale=100.0,
    step=0.01,
    help="How much of the denoising is applied: 0 % is the noisy picture, 100 % the denoised one, more goes beyond. "
    "Nothing is computed anew.",
)

GUARD = Spec(
    "guard",
    None,
    0.5,
    4.0,
    "Detail guard (kappa)",
    step=0.1,
    automatic=True,
    usual=2.0,
    help="Gives back what was taken away where it varies more than the noise does: structure. Smaller gives back more, "
    "and some noise with it. Nothing is computed anew, but no PSNR can be estimated.",
)
"""None is off."""

_MOST = {"strength": STRENGTH.maximum, "guard": GUARD.maximum}


class ValuesError(ValueError):
    """A file's values make no sense; the message is meant for the user."""


@dataclass(frozen=True)
class Values:
    """What a user sets for one picture.

    Attributes:
        method: its id, "" for the one that is proposed for the picture's noise.
        model: name or path of a checkpoint, "" for the one that leads.
        params: by method, only what was set by hand; the rest comes from the checkpoint or the method.
        strength: 0 leaves the picture, 1 denoises fully.
        guard: kappa of the detail guard, 0 is off.
        develop: of a RAW file.
    """

    method: str = ""
    model: str = ""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strength: float = 1.0
    guard: float = 0.0
    develop: Develop = Develop()

    def by_hand(self, method: str, specs: Iterable[params.Spec]) -> dict[str, Any]:
        """What was set for a method, without what its parameters do not allow: settings may be of another version."""
        given, found = self.params.get(method, {}), {}
        for spec in specs:
            if spec.name in given:
                with suppress(params.ParamError):
                    found[spec.name] = spec.check(given[spec.name])
        return found

    def without_level(self) -> Values:
        """The same without noise levels set by hand: these belong to a picture."""
        kept = {
            method: {name: value for name, value in own.items() if name != "sigma"}
            for method, own in self.params.items()
        }
        return dataclasses.replace(self, params=kept)

    def onto(self, own: Values) -> Values:
        """These for a picture that has `own`: noise levels that it was given by hand stay where these say none."""
        levels = {method: {"sigma": given["sigma"]} for method, given in own.params.items() if "sigma" in given}
        merged = {
            method: {**levels.get(method, {}), **self.params.get(method, {})} for method in {**levels, **self.params}
        }
        return dataclasses.replace(self, params=merged)

    def as_json(self) -> dict[str, Any]:
        """For a file; nothing but what JSON knows."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Any, strict: bool = False) -> Values:
        """Values that `as_json` gave, maybe in another version: what is missing takes its default, as does the unknown.

        Args:
            given: what a JSON file holds.
            strict: whether ValuesError is raised for what makes no sense; else it is logged and takes its default.
        """

        def complain(sentence: str) -> None:
            if strict:
                raise ValuesError(sentence)
            log.warning("%s; the default is taken", sentence)

        if not isinstance(given, Mapping):
            complain(f"settings must be an object with names and values, not {_shown(given)}")
            return cls()
        for name in unknown(given):
            log.warning("The setting %r is not known to this version; it is left out", name)
        readers: Mapping[str, Callable[[str, Any], Any]] = {
            "method": _read_word,
            "model": _read_word,
            "params": _read_params,
            "strength": _read_number,
            "guard": _read_number,
        }
        found: dict[str, Any] = {}
        for name, read in readers.items():
            if name in given:
                try:
                    found[name] = read(name, given[name])
                except ValuesError as error:
                    complain(str(error))
        if "develop" in given:
            found["develop"] = _read_develop(given["develop"], complain)
        return cls(**found)


def unknown(given: Mapping[str, Any]) -> list[str]:
    """What of a file's values this version does not know, as `develop.name` inside an object."""
    names = {f.name for f in dataclasses.fields(Values)}
    found = [str(name) for name in given if name not in names]
    develop = given.get("develop")
    if isinstance(develop, Mapping):
        names = {f.name for f in dataclasses.fields(Develop)}
        found += [f"develop.{name}" for name in develop if name not in names]
    return sorted(found)


def _read_word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValuesError(f"{name} must be a word, not {_shown(value)}")
    return value


def _read_number(name: str, value: Any) -> float:
    most = _MOST[name]
    if not _is_number(value) or not 0 <= value <= most:
        raise ValuesError(f"{name} must be a number from 0 to {most:g}, not {_shown(value)}")
    return float(value)


def _read_params(name: str, value: Any) -> dict[str, dict[str, Any]]:
    """By method; which values a parameter may have is known where the method is: `Values.by_hand`."""
    if not isinstance(value, Mapping) or not all(isinstance(own, Mapping) for own in value.values()):
        raise ValuesError(f"{name} must hold an object for each method, not {_shown(value)}")
    for method, own in value.items():
        for param, held in own.items():
            if held is not None and not isinstance(held, str) and not _is_number(held):
                raise ValuesError(f"{param} of {method} must be a number or a word, not {_shown(held)}")
    return {method: dict(own) for method, own in value.items()}


def _read_develop(value: Any, complain: Callable[[str], None]) -> Develop:
    """What makes sense of how a RAW file is developed; for the rest `complain` is called."""
    develop = Develop()
    if not isinstance(value, Mapping):
        complain(f"develop must be an object with names and values, not {_shown(value)}")
        return develop
    for f in dataclasses.fields(Develop):
        if f.name not in value:
            continue
        held, is_number = value[f.name], isinstance(f.default, float)
        if not (_is_number(held) if is_number else isinstance(held, type(f.default))):
            complain(f"develop.{f.name} must be {'a number' if is_number else 'a word'}, not {_shown(held)}")
            continue
        try:
            develop = dataclasses.replace(develop, **{f.name: float(held) if is_number else held})
        except ValueError as error:
            complain(f"develop.{f.name}: {error}")
    return develop


def _is_number(value: Any) -> bool:
    """Also not one that no float can hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _shown(value: Any) -> str:
    """A value for a sentence, short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
