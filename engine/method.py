"""What a denoising method is, and the discovery of all of them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Generator, Tensor, nn

from engine import networks, params
from engine.language import tr
from engine.noise import NoiseReport


class Field(Protocol):
    """The random numbers of one tile: functions of seed, pass, channel and pixel position only."""

    def unit(self, index: int, around: int = 0) -> Tensor:
        """Unit noise N(0, 1) of pass `index`, shaped like the tile with `around` pixels more on every side."""
        ...


class Pass(NamedTuple):
    """One pass.

    Attributes:
        estimate: (B, C, H, W).
        bz: the recorruption's target part y - target, whose product with the estimate gives the divergence; None
            where the method has none, and then no PSNR is estimated.
        variance: of the noise in each pixel as the method took it, shaped like the estimate; None for sigma^2.
        divergence: where there is no `bz`: what stands for estimate x bz, see `one_pass.probe`; None where no PSNR is
            estimated.
    """

    estimate: Tensor
    bz: Tensor | None
    variance: Tensor | None = None
    divergence: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """What a method is given of a picture: one tile with its margin.

    Attributes:
        noisy: (B, C, H, W) in the trained range; noise may lie outside [0, 1]. B is 1, but for a grey network on a
            colour picture, where the channels are the batch.
        sigma: standard deviation of the noise in the trained range, as measured or set by hand.
        params: an instance of the method's `Params`.
        first: index of the first pass, a multiple of `group`.
        field: the random numbers.
        report: the noise that was measured in the whole picture; None where it was not.
        statistics: means of `survey` over the whole picture, (B, K, 1, 1); None where the method has no survey.
    """

    noisy: Tensor
    sigma: float
    params: Any
    first: int
    field: Field
    report: NoiseReport | None = None
    statistics: Tensor | None = None

    def level(self, sigma: float | None = None) -> Tensor:
        """A standard deviation, by default `sigma`, as a network takes it: (B, 1, 1, 1)."""
        return self.noisy.new_full((self.noisy.shape[0], 1, 1, 1), self.sigma if sigma is None else sigma)


@dataclass(frozen=True, eq=False)
class Batch:
    """What a loss is given.

    Attributes:
        noisy: (B, C, H, W) in the trained range, not clipped.
        sigma: (B, 1, 1, 1), the standard deviation of its noise: known for synthetic noise, else estimated for each
            picture.
        target: the clean patch, or a second noisy one of the same scene, where a job trains on pairs; else None.
        clean: patches of other, clean pictures, where a job has a folder of them; else None.
        reports: the noise report of each patch's picture, where the noise is the pictures' own; else empty.
    """

    noisy: Tensor
    sigma: Tensor
    target: Tensor | None = None
    clean: Tensor | None = None
    reports: Sequence[NoiseReport] = ()


Loss = Callable[[nn.Module, Batch, Any, Generator, float], Tensor]
"""(network, batch, the method's `Training`, generator, progress of the stage 0 to 1) to a scalar."""


@dataclass(frozen=True)
class Stage:
    """One part of a training; each begins with the averaged weights of the one before.

    Attributes:
        name: shown to the user.
        share: its part of the job's budget, the shares sum to 1.
        loss: see `Loss`.
        trains: prefix or prefixes of the parameters that are updated, "" for all; the others are frozen.
        rate: learning rate as a part of the job's, or what gives it for a network.
    """

    name: str
    share: float
    loss: Loss
    trains: str | tuple[str, ...] = ""
    rate: float | Callable[[nn.Module], float] = 1.0


@dataclass(frozen=True, eq=False)
class Layout:
    """Weights of others that a method recognised by their names and shapes.

    Attributes:
        source: whose layout it is, for people: "Neighbor2Neighbor".
        arch: {"network": id, **arguments} that rebuilds the network.
        weights: under the names of that network.
        params: values that suit it better than the method's defaults.
        asks: what the tensors cannot say: names of fields of `foreign.Convention` that the user must fill in.
        settle: gives `arch` once they are filled in; None where nothing depends on them.
    """

    source: str
    arch: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    params: Mapping[str, Any] = field(default_factory=dict)
    asks: tuple[str, ...] = ()
    settle: Callable[[Any], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class NoParams:
    """For methods with nothing to adjust."""


class Method(ABC):
    """A way to denoise: its parameters and networks, its passes at inference, its losses in training.

    A file in `engine/methods` that ends with `METHOD = TheClass()` is a method; nothing else has to be edited.
    """

    id: ClassVar[str]
    """Used in files and commands; never changed."""
    label: ClassVar[str]
    source: ClassVar[str]
    """Paper, year, address."""
    Params: ClassVar[type] = NoParams
    """What is adjusted when denoising: a frozen dataclass of `params.param` and `params.choice` fields."""
    Training: ClassVar[type] = NoParams
    """What is adjusted when training; the same kind of dataclass."""
    group: ClassVar[int] = 1
    """Passes that belong together (2 for antithetic pairs); the engine runs whole groups."""
    architectures: ClassVar[Mapping[str, Callable[..., nn.Module]]] = {}
    """Networks that this method brings along, by the id that checkpoints carry."""
    networks: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Its networks by the name that `train --network` takes, the default first; empty for any of the shared ones."""
    needs_pairs: ClassVar[bool] = False
    """Whether its training takes `Batch.target`: for comparison only, never offered beside the self-supervised ones."""

    @abstractmethod
    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """Yield pass `task.first`, `task.first` + 1, ... without end; the mean of the estimates is the result."""

    def survey(self, network: nn.Module, task: Task) -> Tensor | None:
        """What must be known of the whole picture before the first pass: (B, K, H, W) whose mean it is.

        Surveyed tile by tile and averaged over all pixels; None for methods that need nothing of the kind.
        """
        return None

    def margin(self, network: nn.Module, params: Any) -> int:
        """Pixels around a tile that its result depends on."""
        return network.margin  # pyright: ignore[reportReturnType]

    def accepts(self, trained_for: str) -> bool:
        """Whether a checkpoint that was trained for the method of that id can be run by this one."""
        return trained_for == self.id

    def fits(self, arch: Mapping[str, Any]) -> bool:
        """Whether this method can train that network."""
        return True

    def count(self, params: Any) -> int:
        """Passes that these parameters ask for (T)."""
        return getattr(params, "passes", 1)

    def allows_correlation(self, params: Any) -> bool:
        """Whether these parameters account for noise that correlates, in place of treating it as white."""
        return False

    def allows_growth(self, params: Any) -> bool:
        """Whether these parameters account for noise that grows with brightness, in place of one deviation for all."""
        return False

    def doubt(self, params: Any, report: NoiseReport) -> str:
        """Why no PSNR can be estimated from passes with these parameters where the noise is like that; "" if it can."""
        if report.correlation > 0.1 and not self.allows_correlation(params):
            return tr("the noise of neighbouring pixels correlates ({correlation:.2f}); it must be white").format(
                correlation=report.correlation
            )
        if report.clipped > 0.01:
            return tr("{clipped:.1%} of the picture is clipped and its noise cut off there").format(
                clipped=report.clipped
            )
        return ""

    def settled(self, params: Any) -> Any:
        """The parameters with those automatic values filled in that follow from the others; kept with a result."""
        return params

    def suggests(self, training: Any) -> Mapping[str, Any]:
        """Values of `Params` that suit a network trained with these values; its checkpoint keeps them."""
        return {}

    def stages(self, training: Any) -> Sequence[Stage]:
        """The training, in order, by values of `Training`; empty where this method cannot be trained here."""
        return ()

    def quiet(self, values: Mapping[str, Any], suggested: Mapping[str, Any] | None = None) -> Any:
        """Parameters as `params.make` gives them, but that no PSNR is estimated: for results where nobody would see it.

        Args:
            values: by name.
            suggested: a checkpoint's, in place of the defaults.
        """
        silent = {"estimate": "off"} if any(spec.name == "estimate" for spec in params.specs(self.Params)) else {}
        return params.make(self.Params, {**values, **silent}, suggested or {})

    def synthesise(self, network: nn.Module, clean: Tensor, generator: Generator) -> Tensor | None:
        """Clean patches (B, C, H, W) with noise like that of the pictures it learned from; None if it learns none."""
        return None

    def recognise(self, weights: Mapping[str, Tensor]) -> Sequence[Layout]:
        """The layouts of others that these tensors may have; `module.` prefixes and wrappers are taken off already."""
        return ()


class MethodError(ValueError):
    """A method does not exist or cannot do what is asked; the message is meant for the user."""


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
        raise MethodError(
            tr("There is no method {name!r}; choose from {names}").format(name=name, names=", ".join(sorted(methods())))
        ) from None


@functools.cache
def architectures() -> Mapping[str, Callable[..., nn.Module]]:
    """Every network by its id: those that methods share and those that each brings along."""
    found = dict(networks.ARCHITECTURES)
    for method in methods().values():
        found |= method.architectures
    return found


def build(arch: Mapping[str, Any]) -> nn.Module:
    """A network from {"network": id, **its arguments}; ValueError names an unknown one or a wrong argument."""
    details = dict(arch)
    name = details.pop("network", None)
    if name not in architectures():
        raise ValueError(
            tr("There is no network {name!r}; choose from {names}").format(name=name, names=", ".join(architectures()))
        )
    try:
        return architectures()[name](**details)
    except TypeError as error:
        raise ValueError(tr("Network {name!r} cannot be built: {error}").format(name=name, error=error)) from None
