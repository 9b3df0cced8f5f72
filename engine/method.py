"""What a denoising method is, and the discovery of all of them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Generator, Tensor, nn

Network = Callable[[Tensor, Tensor], Tensor]
"""Takes (B, C, H, W) in the trained range and sigma (B, 1, 1, 1), gives the denoised picture."""

Field = Callable[[int], Tensor]
"""Unit noise N(0, 1) of pass k at the pixels of the tile, (1, C, H, W); a function of seed, pass and position only."""


class Pass(NamedTuple):
    """One pass: the estimate (1, C, H, W), and the recorruption's target part Bz, None where there is none."""

    estimate: Tensor
    bz: Tensor | None


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: shown to the user.
        share: its part of the job's steps, the shares sum to 1.
        loss: (network, noisy (B, C, H, W), sigma (B, 1, 1, 1), params, generator, progress 0 to 1) to a scalar.
        trains: prefix of the parameters that are updated, "" for all.
    """

    name: str
    share: float
    loss: Callable[[nn.Module, Tensor, Tensor, Any, Generator, float], Tensor]
    trains: str = ""


@dataclass(frozen=True)
class NoParams:
    """For methods with nothing to adjust."""


class Method(ABC):
    """A way to denoise: its parameters, its passes at inference, its losses in training.

    A file in `engine/methods` that ends with `METHOD = TheClass()` is a method; nothing else has to be edited.
    """

    id: ClassVar[str]
    """Used in files and commands; never changed."""
    label: ClassVar[str]
    source: ClassVar[str]
    """Paper, year, address."""
    Params: ClassVar[type] = NoParams
    """A frozen dataclass of `params.param` fields."""
    group: ClassVar[int] = 1
    """Passes that belong together (2 for antithetic pairs); the engine runs whole groups."""

    @abstractmethod
    def passes(
        self, network: Network, noisy: Tensor, sigma: float, params: Any, first: int, field: Field
    ) -> Iterator[Pass]:
        """Yield pass `first`, `first` + 1, ... without end; the mean of the estimates is the result.

        Args:
            network: see `Network`.
            noisy: (1, C, H, W) in the trained range; noise may lie outside [0, 1].
            sigma: noise standard deviation in the trained range.
            params: an instance of `Params`.
            first: index of the first pass, a multiple of `group`.
            field: the unit noise of a pass.
        """

    def accepts(self, trained_for: str) -> bool:
        """Whether a checkpoint that was trained for the method of that id can be run by this one."""
        return trained_for == self.id

    def count(self, params: Any) -> int:
        """Passes that these parameters ask for (T)."""
        return getattr(params, "passes", 1)

    def stages(self, params: Any) -> Sequence[Stage]:
        """The training, in order; empty where this method cannot be trained here."""
        return ()


class MethodError(ValueError):
    """No such method; the message is meant for the user."""


@functools.cache
def methods() -> Mapping[str, Method]:
    """All methods by id, one for each file in `engine/methods`; RuntimeError if there are none or two share an id."""
    package = importlib.import_module("engine.methods")
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(package.__path__, "engine.methods."):
        method: Method = importlib.import_module(module.name).METHOD
        if method.id in found:
            raise RuntimeError(f"Two methods are called {method.id!r}")
        found[method.id] = method
    if not found:
        # A frozen build whose spec missed engine.methods starts happily and knows nothing.
        raise RuntimeError("No denoising method was found in engine.methods; the build is incomplete")
    return found


def method_of(name: str) -> Method:
    """The method with this id; MethodError names the choices."""
    try:
        return methods()[name]
    except KeyError:
        raise MethodError(f"There is no method {name!r}; choose from {', '.join(sorted(methods()))}") from None
