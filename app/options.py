"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app import presets
from app.batch.plan import BatchError
from app.single import Machine, Models
from app.values import CHROMA, LUMINANCE, STRENGTH, Values
from engine import params
from engine.checkpoint import CheckpointError
from engine.corruption import CorruptionError
from engine.develop import DevelopError
from engine.device import DeviceError
from engine.foreign import QUESTIONS, Convention
from engine.guard import STRONGEST
from engine.method import Method, MethodError, methods


class UsageError(ValueError):
    """The command line itself is wrong: exit status 2."""


MISTAKES = (UsageError, BatchError, CheckpointError, CorruptionError, DeviceError, MethodError, params.ParamError)
MISTAKES += (presets.PresetError, DevelopError)
"""What would go wrong with every picture: exit status 2."""


def shared(sub: argparse.ArgumentParser) -> None:
    """Those of a command that denoises."""
    sub.add_argument("--method", help="id of the method, see `methods`; by default what suits the noise")
    sub.add_argument("--model", help="name of an installed model, or a file; see `models`")
    sub.add_argument("--seed", type=whole(0), default=0, help="of all random numbers (0)")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    sub.add_argument("--precision", default="auto", choices=("auto", "float32"), help=argparse.SUPPRESS)
    sub.add_argument("--tile", type=whole(16), metavar="N", help="side of a tile in pixels")
    about = "detail guard: how often the usual variance may be taken away; 1.5 gives much back, 0 is off (0)"
    sub.add_argument("--guard", type=guard, metavar="K", help=about)
    sub.add_argument("--json", action="store_true", help="one JSON object a line")


def of_methods(sub: argparse.ArgumentParser) -> None:
    """Those of a command that denoises which only some methods and models know."""
    declared(sub, "Params")
    convention(sub)


def declared(sub: argparse.ArgumentParser, kind: str) -> None:
    """An option for each parameter that some method declares, once where several share its name."""
    owners: dict[str, list[str]] = {}
    found: dict[str, params.Spec] = {}
    for method in methods().values():
        for spec in params.specs(getattr(method, kind)):
            owners.setdefault(spec.name, []).append(method.id)
            found.setdefault(spec.name, spec)
    group = sub.add_argument_group("of the methods")
    for name, spec in found.items():
        about = f"{spec.label}; {', '.join(owners[name])}".replace("%", "%%")
        if spec.choices:
            shown = "|".join(spec.choices)
        else:
            shown = f"{spec.minimum * spec.scale:g}..{spec.maximum * spec.scale:g}" + (
                "|auto" if spec.automatic else ""
            )
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"set_{name}", metavar=shown, help=about)


def given(options: argparse.Namespace, method: Method, kind: str) -> dict[str, Any]:
    """What the command line says of the method's parameters, in engine units; UsageError for those of others."""
    own = {spec.name: spec for spec in params.specs(getattr(method, kind))}
    given = {}
    for key, text in vars(options).items():
        if not key.startswith("set_") or text is None:
            continue
        name = key.removeprefix("set_")
        if name in own:
            given[name] = own[name].read(text)
        elif name != "sigma":
            raise UsageError(f"Method {method.id} has no --{name.replace('_', '-')}")
    return given


def whole(least: int) -> Callable[[str], int]:
    """An argument that is a whole number of at least `least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, not {text!r}")
        return int(text)

    return read


def numbers(text: str) -> tuple[float, ...]:
    """An argument that is a list of positive numbers: 1,0.9."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise argparse.ArgumentTypeError(f"expected numbers above 0 with commas between them, not {text!r}")
    return numbers


def guard(text: str) -> float:
    """An argument that is a kappa of the detail guard, or 0."""
    try:
        kappa = float(text)
    except ValueError:
        kappa = math.nan
    if not 0 <= kappa <= STRONGEST:
        raise argparse.ArgumentTypeError(f"expected a number from 0 (off) to {STRONGEST:g}, not {text!r}")
    return kappa


def convention(sub: argparse.ArgumentParser) -> None:
    """What cannot be read off checkpoints of others."""
    group = sub.add_argument_group("checkpoints of others whose convention cannot be read off")
    for question in QUESTIONS.values():
        details: dict[str, Any] = {"metavar": question.free} if question.free else {"choices": question.values}
        dest = f"convention_{question.name}"
        group.add_argument(question.option, dest=dest, type=question.kind, help=question.label, **details)


def stated(options: argparse.Namespace) -> Convention:
    """What the command line says of a checkpoint of others."""
    return Convention(method=options.method, **{name: getattr(options, f"convention_{name}") for name in QUESTIONS})


def strengths(sub: argparse.ArgumentParser) -> None:
    """How much of the denoising is applied, and to what."""
    sub.add_argument("--strength", type=float, metavar="X", help="0 leaves the picture, 1 denoises fully (1)")
    about = "as much of the strength for the brightness; of a grey picture for all (1)"
    sub.add_argument("--luminance", type=float, metavar="X", help=about)
    sub.add_argument("--chroma", type=float, metavar="X", help="as much of the strength for the colours (1)")


def check_strength(options: argparse.Namespace) -> None:
    """UsageError for a strength that is none, of all or of luminance or chroma."""
    for spec in (STRENGTH, LUMINANCE, CHROMA):
        given = vars(options)[spec.name]
        if given is not None and not 0 <= given <= spec.maximum:
            raise UsageError(f"--{spec.name} must be 0 to {spec.maximum:g}, not {given:g}")


def values_of(options: argparse.Namespace) -> Values:
    """What the command line says for every picture, on top of a preset."""
    said = vars(options)
    values = presets.find(said["preset"]).values if said.get("preset") else Values()
    develop = {
        "white": said.get("white_balance"),
        "exposure": said.get("exposure"),
        "curve": "linear" if said.get("linear") else None,
        "domain": said.get("domain"),
    }
    changes: dict[str, Any] = {name: said.get(name) for name in ("guard", "strength", "luminance", "chroma")}
    if options.method or options.model:
        changes |= {"method": options.method or "", "model": options.model or ""}
    return replace(values, develop=replace(values.develop, **_said(develop)), **_said(changes))


def _said(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def models_of(options: argparse.Namespace) -> Models:
    """Where the networks come from, and what is given for whichever method is in force."""
    given = {key.removeprefix("set_"): text for key, text in vars(options).items() if key.startswith("set_") and text}
    machine = Machine(options.seed, options.device, options.precision, options.tile, stated(options))
    return Models(machine, given)
