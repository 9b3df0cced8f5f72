"""Networks that several methods share, and what the engine must know to run them in tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Residual U-Net told the noise level; every convolution is bias-free.

    Without biases the network scales with its input, so it carries over to noise levels between those it was
    trained on (Mohan et al., Robust and interpretable blind image denoising via bias-free CNNs, ICLR 2020). The
    noise map as an extra channel is DRUNet's (Zhang et al., Plug-and-play image restoration, TPAMI 2021).

    Args:
        channels: 1 grey, 3 RGB.
        width: features at full resolution; doubled at each level.
        blocks: residual blocks a level, on the way down and on the way up.
        levels: resolutions, at least 2.
    """

    def __init__(self, channels: int = 3, width: int = 32, blocks: int = 2, levels: int = 3) -> None:
        super().__init__()
        self.channels, self.width, self.blocks, self.levels = channels, width, blocks, levels
        widths = [width * 2**level for level in range(levels)]
        self.head = nn.Conv2d(channels + 1, width, 3, padding=1, bias=False)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for fine, coarse in itertools.pairwise(widths):
            self.down.append(nn.Sequential(*(_Block(fine) for _ in range(blocks)), _halve(fine, coarse)))
            self.up.insert(0, nn.Sequential(_double(coarse, fine), *(_Block(fine) for _ in range(blocks))))
        self.body = nn.Sequential(*(_Block(widths[-1]) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.tail.weight)

    @property
    def multiple_of(self) -> int:
        """Sides of the input must be multiples of this."""
        return 2 ** (self.levels - 1)

    @property
    def margin(self) -> int:
        """Pixels around a tile that its result depends on: the radius of the structural receptive field."""
        # Two 3x3 convolutions a block, on the way down and up (once at the bottom), each `step` full-resolution pixels;
        # head and tail one each; the strided pairs shift by less than one coarsest pixel in all.
        radius = 2 + self.multiple_of - 1
        for level in range(self.levels):
            radius += 2**level * 2 * self.blocks * (1 if level == self.levels - 1 else 2)
        return -(-radius // self.multiple_of) * self.multiple_of

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """(B, C, H, W) in the trained range and sigma (B, 1, 1, 1) to the denoised picture, same shape."""
        level = sigma.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:])
        # Only the features are in the weights' precision: in bf16 the picture itself would lose its eighth bit.
        feature = self.head(torch.cat((x, level), 1).to(self.head.weight.dtype))
        skips = []
        for down in self.down:
            feature = down[:-1](feature)  # pyright: ignore[reportIndexIssue]
            skips.append(feature)
            feature = down[-1](feature)  # pyright: ignore[reportIndexIssue]
        feature = self.body(feature)
        for up in self.up:
            feature = up[0](feature) + skips.pop()  # pyright: ignore[reportIndexIssue]
            feature = up[1:](feature)  # pyright: ignore[reportIndexIssue]
        return x - self.tail(feature).to(x.dtype)


class _Block(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        # The second starts small, so that a deep network starts as the identity.
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x), inplace=True))


def _halve(width: int, wider: int) -> nn.Module:
    return nn.Conv2d(width, wider, 2, stride=2, bias=False)


def _double(width: int, narrower: int) -> nn.Module:
    return nn.ConvTranspose2d(width, narrower, 2, stride=2, bias=False)


class DnCNN(nn.Module):
    """DnCNN (Zhang et al., Beyond a Gaussian denoiser, TIP 2017) in the public layout: `dncnn.0`, `dncnn.2`, ...

    Args:
        channels: 1 or 3.
        depth: convolutions, 17 or 20 in the papers.
        first_bias: whether the first convolution has a bias.
        eps: of the batch norms; not part of a state dict, and wrong values cost quality without a word.
        output: what the layers give, "residual" the noise or "image" the denoised picture. The public DnCNN and R2R
            files are all "residual", also where their class subtracts it from the input by itself.
        bgr: the weights expect blue first.
        bias: every convolution has a bias and there is no batch norm (folded weights).
        width: features between the convolutions.
        widths: the same for each, where they differ; `depth` and `width` then mean nothing.
    """

    def __init__(
        self,
        channels: int = 1,
        depth: int = 17,
        first_bias: bool = False,
        eps: float = 1e-5,
        output: str = "residual",
        bgr: bool = False,
        bias: bool = False,
        width: int = 64,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        features = list(widths or [width] * (depth - 1))
        self.channels, self.depth, self.output, self.bgr = channels, len(features) + 1, output, bgr
        layers: list[nn.Module] = [
            nn.Conv2d(channels, features[0], 3, padding=1, bias=first_bias or bias),
            nn.ReLU(inplace=True),
        ]
        for given, made in itertools.pairwise(features):
            layers.append(nn.Conv2d(given, made, 3, padding=1, bias=bias))
            if not bias:
                layers.append(nn.BatchNorm2d(made, eps=eps))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Conv2d(features[-1], channels, 3, padding=1, bias=bias))
        self.dncnn = nn.Sequential(*layers)
        for layer in self.dncnn:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    @property
    def multiple_of(self) -> int:
        """Any size will do."""
        return 1

    @property
    def margin(self) -> int:
        """One pixel for each convolution."""
        return self.depth

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise to the denoised picture; sigma is not used."""
        given = x.flip(1) if self.bgr else x
        body = self.dncnn(given.to(next(self.parameters()).dtype)).to(x.dtype)
        body = body.flip(1) if self.bgr else body
        return body if self.output == "image" else x - body


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place; exact in evaluation mode.

    weight x gamma / sqrt(var + eps), bias beta - gamma x mean / sqrt(var + eps). A network that is `foreign` inside is
    left as it is: its code may count on its layers.
    """
    if getattr(network, "foreign", False):
        return network
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        layers: list[nn.Module] = []
        for layer in parent:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = torch.nn.utils.fuse_conv_bn_eval(layers[-1].eval(), layer.eval())
            else:
                layers.append(layer)
        if len(layers) != len(parent):
            for index in reversed(range(len(parent))):
                del parent[index]
            parent.extend(layers)
    return network


ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"unet": UNet, "dncnn": DnCNN}
"""Networks that belong to no one method, by the id that checkpoints carry."""
