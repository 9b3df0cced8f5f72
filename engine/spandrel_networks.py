"""Networks of others by way of the package spandrel, where it is installed."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from engine.language import tr
from engine.method import Layout, MethodError

_TOLD = ("DRUNet",)
"""Architectures that take the noise level as one more channel."""

_OWN = ("DnCNN",)
"""Left out: `foreign` reads them itself, and asks what spandrel assumes."""

_REACH = 64
"""Pixels around a tile, and the grid that its origin lies on.

How far these networks see is not known; many see everything, or windows at an eighth of the resolution. With this
margin tiles fit together to the eye, not to the bit.
"""

NOTE = "It is run by code of the package spandrel (MIT); tiles fit together to the eye, not to the bit."
"""For a card."""

_PURPOSES = {"FaceSR": tr("restores faces"), "Inpainting": tr("fills holes")}


class SpandrelError(ValueError):
    """Spandrel or one of its networks cannot be used here; the message is part of a sentence."""


class SpandrelNetwork(nn.Module):
    """A network that keeps the size of a picture, with the code and the convention of spandrel.

    Its details follow from its weights, under the names of their authors: before `load_state_dict` it has no layers.

    Args:
        channels: 1 grey, 3 RGB.
        architecture: spandrel's id, such as "SCUNet"; SpandrelError if it is not installed or does not know it.
    """

    foreign = True
    """The inside is not ours: it is left as it is, and in float32."""

    def __init__(self, channels: int = 3, architecture: str = "SCUNet") -> None:
        super().__init__()
        self.channels, self.architecture = channels, architecture
        support = _registry().get(architecture)
        if support is None:
            raise SpandrelError(
                tr("the installed spandrel does not know {architecture!r}").format(architecture=architecture)
            )
        self._support, self._descriptor = support, None

    @property
    def multiple_of(self) -> int:
        """What suits its strides and windows."""
        return math.lcm(_REACH, self._loaded.size_requirements.multiple_of)

    @property
    def margin(self) -> int:
        """Enough for tiles that fit together to the eye."""
        return self.multiple_of

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Become the network of these weights; SpandrelError where they are of another architecture."""
        try:
            self.become(_load(self._support, state_dict))
        except Exception as error:
            raise SpandrelError(
                tr("the weights are not those of {architecture}").format(architecture=self.architecture)
            ) from error

    def become(self, descriptor: Any) -> None:
        """Take the layers of one of spandrel's `ImageModelDescriptor`."""
        self._descriptor, self.body = descriptor, descriptor.model

    @property
    def _loaded(self) -> Any:
        if self._descriptor is None:
            raise SpandrelError(tr("{architecture} has no weights yet").format(architecture=self.architecture))
        return self._descriptor

    def state_dict(self, *given: Any, **named: Any) -> Any:
        """The weights under the names of their authors."""
        return self.body.state_dict(*given, **named)

    def to(self, *given: Any, **named: Any) -> Any:
        """As that of any module, but for the layout in memory: the code inside may rely on the usual one."""
        named.pop("memory_format", None)
        return super().to(*given, **named) if given or named else self

    def train(self, mode: bool = True) -> Any:
        """Evaluation mode only: MethodError, as spandrel computes no gradients."""
        if mode:
            raise MethodError(
                tr("{architecture} comes from spandrel, which runs networks and does not train them").format(
                    architecture=self.architecture
                )
            )
        return super().train(mode)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise and sigma (B, 1, 1, 1) to the denoised picture, same shape."""
        x = x.contiguous()
        if self.architecture in _TOLD:
            # Spandrel itself would tell it 15 of 255, whatever the noise.
            return self.body(torch.cat((x, sigma.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:])), 1))
        # Spandrel promises to run one picture at a time.
        return torch.cat([self._loaded(picture) for picture in x.split(1)])


def recognise(weights: Mapping[str, Tensor]) -> Layout | None:
    """The layout of one of spandrel's networks; None for none of them, or where spandrel is not installed.

    SpandrelError for a network that does something else than `SpandrelNetwork` can.
    """
    if not is_installed() or not _is_counted(weights):
        return None
    for support in _registry().architectures("detection"):
        if support.architecture.id in _OWN:
            continue
        try:
            descriptor = _load(support, weights) if support.detect(weights) else None
        except Exception:  # noqa: BLE001 - it goes by a few names only, and then stumbles over what is missing
            continue
        if descriptor is not None:
            return _layout(descriptor, weights)
    return None


def _load(support: Any, weights: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's future, for its authors
        return support.architecture.load(dict(weights)).eval()


def _is_counted(weights: Mapping[str, Tensor]) -> bool:
    """Whether the numbers in the names are those of layers; spandrel would build as many as the highest one says."""
    most = 4 * len(weights)
    parts = (part for name in weights for part in name.split(".") if part.isdecimal())
    return all(len(part) < 10 and int(part) <= most for part in parts)


def _layout(descriptor: Any, weights: Mapping[str, Tensor]) -> Layout:
    name, takes, gives = descriptor.architecture.id, descriptor.input_channels, descriptor.output_channels
    does = _PURPOSES.get(descriptor.purpose)
    if descriptor.scale != 1:
        does = tr("enlarges pictures {scale} times").format(scale=descriptor.scale)
    if does:
        raise SpandrelError(
            tr("holds {name}, which {does}; only networks that restore a picture in its size are run").format(
                name=name, does=does
            )
        )
    if takes != gives or takes not in (1, 3):
        raise SpandrelError(
            tr("takes {takes} and gives {gives} channels; needed are 1 and 1, or 3 and 3").format(
                takes=takes, gives=gives
            )
        )
    network = SpandrelNetwork(takes, name)
    network.become(descriptor)
    grey = torch.full((1, takes, 2 * _REACH, _REACH), 0.5)
    try:
        with torch.inference_mode():
            result = network(grey, torch.full((1, 1, 1, 1), 0.1))
        works = result.shape == grey.shape and bool(torch.isfinite(result).all())
    except Exception:  # noqa: BLE001 - what spandrel cannot read off the weights it assumes
        works = False
    if not works:
        raise SpandrelError(tr("holds {name}, but gave no picture when it was tried").format(name=name))
    return Layout(name, {"network": "spandrel", "channels": takes, "architecture": name}, weights)


def is_installed() -> bool:
    """Whether spandrel and what it needs can be imported."""
    with contextlib.suppress(SpandrelError):
        return bool(_registry())
    return False


@functools.cache
def _registry() -> Any:
    """Spandrel's architectures; SpandrelError where it cannot be imported."""
    if importlib.util.find_spec("spandrel") is None:
        raise SpandrelError(tr("the package spandrel is missing (pip install --no-deps spandrel einops)"))
    try:
        with _torchvision():
            # Not by a statement, or a built program would take along whatever is installed where it is built.
            return importlib.import_module("spandrel").MAIN_REGISTRY
    except ImportError as error:
        raise SpandrelError(tr("the package spandrel cannot be imported ({error})").format(error=error)) from None


@contextlib.contextmanager
def _torchvision() -> Iterator[None]:
    """Let spandrel be imported where torchvision is absent, or made for another torch.

    Two of its networks take three names from there, and neither of them is a denoiser.
    """
    try:
        importlib.import_module("torchvision.transforms.functional")
    except Exception:  # noqa: BLE001 - made for another torch, it fails in its own ways
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        stubs = {name: ModuleType(name) for name in names}
        for name in ("InterpolationMode", "normalize", "rotate"):
            setattr(stubs[names[-1]], name, None)
        sys.modules.update(stubs)
        try:
            yield
        finally:
            for name in names:
                sys.modules.pop(name, None)
    else:
        yield
