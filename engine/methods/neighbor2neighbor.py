"""Neighbor2Neighbor: pairs of neighbouring pixels of one noisy picture are input and target of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from engine.language import tr
from engine.method import Batch, Layout, MethodError, Stage
from engine.one_pass import OnePass
from engine.params import param


@dataclass(frozen=True)
class Neighbor2NeighborTraining:
    """What a user adjusts when training."""

    ratio: float = param(
        2.0,
        0.0,
        20.0,
        tr("Regulariser (gamma)"),
        step=0.5,
        help=tr(
            "Weight at the end of the training of the term that corrects for neighbours being different pixels. At 0 "
            "results are too smooth, at 20 noise stays; the paper found 2 best."
        ),
    )


class NeighborUNet(nn.Module):
    """The U-Net of Laine et al. (High-quality self-supervised deep image denoising, NeurIPS 2019), not blind.

    It gives the picture itself, not the noise. Layers have the names of the authors' files.

    Args:
        channels: 1 grey, 3 RGB, 4 the colour planes of a mosaic.
        features: of the way down; the way up has twice as many. The authors' files have 48.
    """

    def __init__(self, channels: int = 3, features: int = 48) -> None:
        super().__init__()
        self.channels, self.features = channels, features
        wide = 2 * features
        for index in range(7):
            self.add_module(f"enc_conv{index}", nn.Conv2d(features if index else channels, features, 3, padding=1))
        for level in (5, 4, 3, 2, 1):
            below, beside = features if level == 5 else wide, channels if level == 1 else features
            self.add_module(f"up{level}", _Up(below))
            self.add_module(f"dec_conv{level}a", nn.Conv2d(below + beside, wide, 3, padding=1))
            self.add_module(f"dec_conv{level}b", nn.Conv2d(wide, wide, 3, padding=1))
        self.nin_a = nn.Conv2d(wide, wide, 1)
        self.nin_b = nn.Conv2d(wide, wide, 1)
        self.nin_c = nn.Conv2d(wide, channels, 1)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.kaiming_normal_(layer.weight).mul_(0.1)
                    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    @property
    def multiple_of(self) -> int:
        """It halves the sides five times."""
        return 32

    @property
    def margin(self) -> int:
        """Its receptive field reaches 157 pixels to every side."""
        return 160

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise, sides multiples of 32, to the denoised picture; sigma is not used."""
        given = x.to(self.nin_c.weight.dtype)
        feature, skips = self._active("enc_conv0", given), [given]
        for index in range(1, 6):
            feature = F.max_pool2d(self._active(f"enc_conv{index}", feature), 2)
            skips.append(feature)
        feature = self._active("enc_conv6", skips.pop())
        for level in (5, 4, 3, 2, 1):
            feature = self.get_submodule(f"up{level}")(feature, skips.pop())
            feature = self._active(f"dec_conv{level}b", self._active(f"dec_conv{level}a", feature))
        feature = self._active("nin_b", self._active("nin_a", feature))
        # In the picture's own precision: the eight bits of bf16 would leave some 500 different values in it.
        tail = (self.nin_c.weight.to(x.dtype), self.nin_c.bias.to(x.dtype))  # pyright: ignore[reportOptionalMemberAccess]
        return F.conv2d(feature.to(x.dtype), *tail).to(x.dtype)

    def _active(self, name: str, feature: Tensor) -> Tensor:
        return F.leaky_relu(self.get_submodule(name)(feature), 0.2, inplace=True)


class _Up(nn.Module):
    """Twice the sides, and the features of the way down beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(width, width, 2, stride=2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat((self.deconv(x), skip), 1)


class Neighbor2Neighbor(OnePass):
    """Huang, Li, Jia, Lu, Liu: Neighbor2Neighbor, CVPR 2021.

    Two pictures of half the side are drawn from a noisy one, so that the pixels at one place of them are neighbours.
    Their noises are independent, and what the two show is nearly the same: a noisy pair, as Noise2Noise needs it.
    The noise must not be correlated between pixels.
    """

    id = "n2n"
    label = "Neighbor2Neighbor"
    source = "Huang, Li, Jia, Lu, Liu: Neighbor2Neighbor, CVPR 2021"
    Training = Neighbor2NeighborTraining
    architectures: ClassVar = {"n2n": NeighborUNet}
    networks: ClassVar = {"n2n": {"network": "n2n"}}

    def stages(self, training: Any) -> Sequence[Stage]:
        """One stage; see `loss`."""
        return (Stage("neighbouring pixels", 1.0, loss),)

    def recognise(self, weights: Mapping[str, Tensor]) -> Sequence[Layout]:
        """The authors' files, which hold the state dict of their U-Net for 1, 3 or 4 channels."""
        first = weights.get("enc_conv0.weight")
        if first is None or first.ndim != 4 or first.shape[1] not in (1, 3, 4):
            return ()
        channels = first.shape[1]
        expected = {name: tensor.shape for name, tensor in NeighborUNet(channels).state_dict().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != expected:
            return ()
        return (Layout(self.label, {"network": "n2n", "channels": channels}, weights),)


_PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))
"""Ordered pairs of neighbours in a cell of 2x2 pixels, counted row by row; none is diagonal."""


def draw_neighbours(noisy: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw two neighbouring pixels in every 2x2 cell, all eight ordered pairs alike: the random neighbor sub-sampler.

    Args:
        noisy: (B, C, H, W); MethodError if a side is odd.
        generator: on the same device.

    Returns:
        Where the pixels of the first and of the second picture lie in their cells, each (B, H/2, W/2), 0 to 3.
    """
    count, _, height, width = noisy.shape
    if height % 2 or width % 2:
        raise MethodError(
            tr("Cells of 2x2 pixels need even sides, and a picture is {width}x{height}").format(
                width=width, height=height
            )
        )
    shape = (count, height // 2, width // 2)
    drawn = torch.randint(len(_PAIRS), shape, generator=generator, device=noisy.device)
    first, second = torch.tensor(_PAIRS, device=noisy.device)[drawn].unbind(-1)
    return first, second


def sub_sample(planes: Tensor, places: Tensor) -> Tensor:
    """One pixel of each cell, the same in all channels: (B, C, H, W) by places (B, H/2, W/2) to (B, C, H/2, W/2)."""
    channels = torch.arange(planes.shape[1], device=planes.device).view(-1, 1, 1)
    return F.pixel_unshuffle(planes, 2).gather(1, 4 * channels + places[:, None])


def loss(
    network: nn.Module, batch: Batch, training: Neighbor2NeighborTraining, generator: Generator, progress: float
) -> Tensor:
    """|f(g1 y) - g2 y|^2 + lambda |f(g1 y) - g2 y - (g1 f(y) - g2 f(y))|^2, means over pixels.

    f(y) has no gradient and is sampled in the same places; lambda grows with the training from 0 to `ratio`.
    MethodError if the sampled pictures do not suit the network.
    """
    noisy, sigma = batch.noisy, batch.sigma
    multiple: int = network.multiple_of  # pyright: ignore[reportAssignmentType]
    if any(side % (2 * multiple) for side in noisy.shape[2:]):
        raise MethodError(
            tr(
                "Neighbor2Neighbor trains on patches of half the side, and this network takes multiples "
                "of {multiple}: the side of a patch must be a multiple of {least}, not {side}"
            ).format(multiple=multiple, least=2 * multiple, side=noisy.shape[3])
        )
    first, second = draw_neighbours(noisy, generator)
    difference = network(sub_sample(noisy, first), sigma).float() - sub_sample(noisy, second)
    # Only after the pass with a gradient: autocast may keep the casts of weights made here, without one (pytorch
    # #112583).
    with torch.no_grad():
        denoised = network(noisy, sigma).float()
    expected = sub_sample(denoised, first) - sub_sample(denoised, second)
    return (difference**2).mean() + progress * training.ratio * ((difference - expected) ** 2).mean()


METHOD = Neighbor2Neighbor()
