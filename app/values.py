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
from engine.areas import BRUSH, RECTANGLE, Area, Areas
from engine.blend import Blend
from engine.develop import Develop
from engine.language import tr
from engine.params import Spec

log = logging.getLogger(__name__)

STRENGTH = Spec(
    "strength",
    1.0,
    0.0,
    1.2,
    tr("Strength"),
    unit=" %",
    scale=100.0,
    step=0.01,
    help=tr(
        "How much of the denoising is applied: 0 % is the noisy picture, 100 % the denoised one, more goes beyond. "
        "Nothing is computed anew."
    ),
)

LUMINANCE = Spec(
    "luminance",
    1.0,
    0.0,
    1.2,
    tr("Luminance"),
    unit=" %",
    scale=100.0,
    step=0.01,
    help=tr(
        "How much of the strength goes to the brightness: less leaves a fine grain. Of a grey picture it is a second "
        "strength. Nothing is computed anew."
    ),
)

CHROMA = Spec(
    "chroma",
    1.0,
    0.0,
    1.2,
    tr("Chroma"),
    unit=" %",
    scale=100.0,
    step=0.01,
    help=tr(
        "How much of the strength goes to the colours, whose noise shows as blotches. Nothing is computed anew, but "
        "where it differs from that of the luminance no PSNR can be estimated."
    ),
)

GUARD = Spec(
    "guard",
    None,
    0.5,
    4.0,
    tr("Detail guard (kappa)"),
    step=0.1,
    automatic=True,
    usual=2.0,
    help=tr(
        "Gives back what was taken away where it varies more than the noise does: structure. Smaller gives back more, "
        "and some noise with it. Nothing is computed anew, but no PSNR can be estimated."
    ),
)
"""None is off."""

_MOST = {spec.name: spec.maximum for spec in (STRENGTH, LUMINANCE, CHROMA, GUARD)}

_FARTHEST = float(2**24)
"""Of a point from the origin, in pixels; beyond it float32 does not tell pixels apart, and no picture is so large."""


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
        luminance, chroma: factors on the strength, for the brightness and for the colours.
        areas: where the strength is another one. They belong to this picture, as a noise level does.
    """

    method: str = ""
    model: str = ""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strength: float = 1.0
    guard: float = 0.0
    develop: Develop = Develop()
    luminance: float = 1.0
    chroma: float = 1.0
    areas: Areas = Areas()

    @property
    def blend(self) -> Blend:
        """How the result is mixed."""
        return Blend(self.strength, self.luminance, self.chroma, self.guard, self.areas)

    def by_hand(self, method: str, specs: Iterable[params.Spec]) -> dict[str, Any]:
        """What was set for a method, without what its parameters do not allow: settings may be of another version."""
        given, found = self.params.get(method, {}), {}
        for spec in specs:
            if spec.name in given:
                with suppress(params.ParamError):
                    found[spec.name] = spec.check(given[spec.name])
        return found

    def for_others(self) -> Values:
        """The same without what belongs to one picture: noise levels set by hand, and areas."""
        kept = {
            method: {name: value for name, value in own.items() if name != "sigma"}
            for method, own in self.params.items()
        }
        return dataclasses.replace(self, params=kept, areas=Areas())

    def without_areas(self) -> Values:
        """The same for pictures that may have this one's noise level."""
        return dataclasses.replace(self, areas=Areas())

    def onto(self, own: Values) -> Values:
        """These for a picture that has `own`: its areas stay, and noise levels set by hand where these say none."""
        levels = {method: {"sigma": given["sigma"]} for method, given in own.params.items() if "sigma" in given}
        merged = {
            method: {**levels.get(method, {}), **self.params.get(method, {})} for method in {**levels, **self.params}
        }
        return dataclasses.replace(self, params=merged, areas=own.areas)

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
            complain(tr("settings must be an object with names and values, not {shown}").format(shown=_shown(given)))
            return cls()
        for name in unknown(given):
            log.warning("The setting %r is not known to this version; it is left out", name)
        readers: Mapping[str, Callable[[str, Any], Any]] = {
            "method": _read_word,
            "model": _read_word,
            "params": _read_params,
            "strength": _read_number,
            "guard": _read_number,
            "luminance": _read_number,
            "chroma": _read_number,
            "areas": _read_areas,
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
        raise ValuesError(tr("{name} must be a word, not {shown}").format(name=name, shown=_shown(value)))
    return value


def _read_number(name: str, value: Any) -> float:
    return _up_to(_MOST[name], name, value)


def _up_to(most: float, name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= most:
        raise ValuesError(
            tr("{name} must be a number from 0 to {most:g}, not {shown}").format(
                name=name, most=most, shown=_shown(value)
            )
        )
    return float(value)


def _read_params(name: str, value: Any) -> dict[str, dict[str, Any]]:
    """By method; which values a parameter may have is known where the method is: `Values.by_hand`."""
    if not isinstance(value, Mapping) or not all(isinstance(own, Mapping) for own in value.values()):
        raise ValuesError(
            tr("{name} must hold an object for each method, not {shown}").format(name=name, shown=_shown(value))
        )
    for method, own in value.items():
        for param, held in own.items():
            if held is not None and not isinstance(held, str) and not _is_number(held):
                raise ValuesError(
                    tr("{param} of {method} must be a number or a word, not {shown}").format(
                        param=param, method=method, shown=_shown(held)
                    )
                )
    return {method: dict(own) for method, own in value.items()}


def _read_areas(name: str, value: Any) -> Areas:
    if not isinstance(value, Mapping):
        raise ValuesError(
            tr("{name} must be an object with outside and places, not {shown}").format(name=name, shown=_shown(value))
        )
    places = value.get("places", ())
    if not isinstance(places, list | tuple):
        raise ValuesError(
            tr("{name}.places must be a list of places, not {shown}").format(name=name, shown=_shown(places))
        )
    outside = _up_to(STRENGTH.maximum, f"{name}.outside", value.get("outside", 1.0))
    return Areas(
        outside,
        tuple(_read_area(f"{name}.places[{number}]", one) for number, one in enumerate(places)),
    )


def _read_area(name: str, value: Any) -> Area:
    if not isinstance(value, Mapping):
        raise ValuesError(tr("{name} must be an object, not {shown}").format(name=name, shown=_shown(value)))
    shape, points = value.get("shape"), value.get("points")
    if shape not in (RECTANGLE, BRUSH):
        raise ValuesError(
            tr("{name}.shape must be {rectangle} or {brush}, not {shown}").format(
                name=name, rectangle=RECTANGLE, brush=BRUSH, shown=_shown(shape)
            )
        )
    if not isinstance(points, list | tuple) or not all(_is_point(point) for point in points):
        raise ValuesError(
            tr("{name}.points must be a list of x and y in pixels, not {shown}").format(name=name, shown=_shown(points))
        )
    if len(points) != 2 if shape == RECTANGLE else not points:
        said = (
            tr("{name}.points must hold two corners, not {count} points")
            if shape == RECTANGLE
            else tr("{name}.points must hold at least one point, not {count} points")
        )
        raise ValuesError(said.format(name=name, count=len(points)))
    radius = value.get("radius", 0.0)
    if not _is_number(radius) or not 0 <= radius <= _FARTHEST or (shape == BRUSH and not radius):
        raise ValuesError(
            tr("{name}.radius must be a number of pixels, for a brush above 0, not {shown}").format(
                name=name, shown=_shown(radius)
            )
        )
    path = tuple((float(x), float(y)) for x, y in points)
    return Area(shape, path, float(radius), _up_to(STRENGTH.maximum, f"{name}.strength", value.get("strength", 0.0)))


def _is_point(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(_is_number(part) and abs(part) <= _FARTHEST for part in value)


def _read_develop(value: Any, complain: Callable[[str], None]) -> Develop:
    """What makes sense of how a RAW file is developed; for the rest `complain` is called."""
    develop = Develop()
    if not isinstance(value, Mapping):
        complain(tr("develop must be an object with names and values, not {shown}").format(shown=_shown(value)))
        return develop
    for f in dataclasses.fields(Develop):
        if f.name not in value:
            continue
        held, is_number = value[f.name], isinstance(f.default, float)
        if not (_is_number(held) if is_number else isinstance(held, type(f.default))):
            said = tr("{name} must be a number, not {shown}") if is_number else tr("{name} must be a word, not {shown}")
            complain(said.format(name=f"develop.{f.name}", shown=_shown(held)))
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
