"""Parameters of a method, declared once: slider, command-line option, JSON field and range check."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.language import tr


class ParamError(ValueError):
    """A parameter is unknown or outside its range; the message is meant for the user."""


@dataclass(frozen=True)
class Spec:
    """What a control needs to know of one parameter.

    Attributes:
        name: field name, also the JSON key and the command-line option.
        default: value in engine units; None where `automatic` is the default.
        minimum, maximum: inclusive bounds in engine units.
        label: what the window shows.
        unit: shown after the number.
        scale: shown value = engine value x scale (sigma: 255).
        step: increment in engine units.
        help: tooltip; one or two sentences.
        automatic: None is allowed and means "measured from the picture".
        stops: the values a slider stops at; empty for a continuous one.
        integer: whether values are whole numbers.
        choices: the words that can be chosen; the bounds then mean nothing.
        words: what the window calls these; empty where as they are.
        expert: shown under "Advanced" only.
        usual: where setting by hand begins if nothing was measured; None for 0.
    """

    name: str
    default: float | int | str | None
    minimum: float
    maximum: float
    label: str
    unit: str = ""
    scale: float = 1.0
    step: float = 0.01
    help: str = ""
    automatic: bool = False
    stops: tuple[float, ...] = ()
    integer: bool = False
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    expert: bool = False
    usual: float | None = None

    def word(self, choice: str) -> str:
        """What people are shown for one of the choices."""
        if self.words and choice in self.choices:
            return self.words[self.choices.index(choice)]
        return choice[:1].upper() + choice[1:].replace("_", " ")

    def check(self, value: Any) -> float | int | str | None:
        """Return `value` as the parameter's type; ParamError says what was expected and what came."""
        if self.choices:
            if value not in self.choices:
                raise ParamError(
                    tr("{label} must be one of {choices}, not {value!r}").format(
                        label=self.label, choices=", ".join(self.choices), value=value
                    )
                )
            return value
        if value is None and self.automatic:
            return None
        shown = tr("{minimum:g} to {maximum:g}").format(
            minimum=self.minimum * self.scale, maximum=self.maximum * self.scale
        )
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ParamError(
                tr("{label} must be a number from {shown}, not {value!r}").format(
                    label=self.label, shown=shown, value=value
                )
            )
        if not self.minimum <= value <= self.maximum:
            raise ParamError(
                tr("{label} must be {shown}, not {value:g}").format(
                    label=self.label, shown=shown, value=value * self.scale
                )
            )
        if self.integer:
            if value != int(value):
                raise ParamError(
                    tr("{label} must be a whole number from {shown}, not {value:g}").format(
                        label=self.label, shown=shown, value=value
                    )
                )
            return int(value)
        return float(value)

    def read(self, text: str) -> float | int | str | None:
        """What a command line says, in engine units: a word, `auto`, or a number as it is shown; raises as `check`."""
        if self.choices:
            return self.check(text)
        if text == "auto" and self.automatic:
            return None
        try:
            value = float(text) / self.scale
        except ValueError:
            said = (
                tr("{label} must be auto or a number from {minimum:g} to {maximum:g}, not {text!r}")
                if self.automatic
                else tr("{label} must be a number from {minimum:g} to {maximum:g}, not {text!r}")
            )
            minimum, maximum = self.minimum * self.scale, self.maximum * self.scale
            raise ParamError(said.format(label=self.label, minimum=minimum, maximum=maximum, text=text)) from None
        return self.check(value)


def param(default: float | int | None, minimum: float, maximum: float, label: str, **details: Any) -> Any:
    """Declare a dataclass field with the details of `Spec`."""
    details["integer"] = isinstance(default, int)
    details["automatic"] = default is None
    spec = {"default": default, "minimum": minimum, "maximum": maximum, "label": label, **details}
    return field(default=default, metadata={"spec": spec})


def choice(default: str, choices: tuple[str, ...], label: str, **details: Any) -> Any:
    """Declare a dataclass field that is one of some words."""
    spec = {"default": default, "minimum": 0.0, "maximum": 0.0, "label": label, "choices": choices, **details}
    return field(default=default, metadata={"spec": spec})


def noise_level(about: str) -> Any:
    """Declare the field `sigma`, the same in every method but for what it does there."""
    return param(
        None,
        0.0,
        1.0,
        tr("Noise level (sigma)"),
        scale=255.0,
        step=0.1 / 255,
        help=tr("Standard deviation of the noise on a scale of 0 to 255. Automatic measures it in the picture.")
        + f" {about}",
    )


def specs(params_type: type) -> tuple[Spec, ...]:
    """The declared parameters of a Params dataclass, in order."""
    return tuple(
        Spec(name=f.name, **f.metadata["spec"]) for f in dataclasses.fields(params_type) if "spec" in f.metadata
    )


def make(params_type: type, values: Mapping[str, Any], suggested: Mapping[str, Any] | None = None) -> Any:
    """Build checked parameters; ParamError for unknown names or bad values.

    Args:
        params_type: the dataclass.
        values: set by hand.
        suggested: a checkpoint's, in place of the defaults; unknown names are left out: another method may run it.
    """
    known = {spec.name: spec for spec in specs(params_type)}
    values = {**{name: value for name, value in (suggested or {}).items() if name in known}, **values}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ParamError(
            tr("Unknown parameter {name!r}; this method has {known}").format(
                name=unknown[0], known=", ".join(known) or tr("none")
            )
        )
    checked = {name: spec.check(values.get(name, spec.default)) for name, spec in known.items()}
    return params_type(**checked)
