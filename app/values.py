"""What a user sets for one picture, and its form in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from engine import params
from engine.develop import Develop


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

    def as_json(self) -> dict[str, Any]:
        """For a file; nothing but what JSON knows."""
        return dataclasses.asdict(self)
