"""DBSN: a blind-spot network, a noise estimator and Bayes' rule, learned from noisy pictures alone; and its student."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from engine.language import tr
from engine.method import Batch, Layout, Method, MethodError, Pass, Stage, Task
from engine.params import choice, param

NOISES = ("awgn", "hg", "mg")
"""White of one level, heteroscedastic (stronger where it is brighter), and multivariate over the three colours."""


@dataclass(frozen=True)
class DBSNParams:
    """What a user adjusts."""

    gamma: float = param(
        1.0,
        0.5,
        1.5,
        tr("Trust in the pixel (gamma)"),
        step=0.05,
        help=tr(
            "Weight of each noisy pixel against what its surroundings say: its precision times gamma. 1 is Bayes' "
            "rule, less is smoother, more keeps more detail and more noise."
        ),
    )
    result: str = choice(
        "fused",
        ("fused", "blind"),
        tr("Result"),
        words=(tr("Fused"), tr("Blind")),
        help=tr("Fused weighs each noisy pixel against what its surroundings say; blind is what they say alone."),
    )
    noise_scale: float = param(
        1.0,
        0.25,
        4.0,
        tr("Noise level factor"),
        step=0.05,
        expert=True,
        help=tr("Multiplies the standard deviation that the network estimates. 2 does what a gamma of 1/4 does."),
    )


@dataclass(frozen=True)
class DBSNTraining:
    """What a user adjusts when training."""

    likelihood: str = choice(
        "mixed",
        ("mixed", "constrained", "plain"),
        tr("Likelihood"),
        words=(tr("Mixed"), tr("Constrained"), tr("Plain")),
        expert=True,
        help=tr(
            "What the noise levels are learned by. Constrained is the paper's bound: it keeps noise from being taken "
            "for uncertainty of the prediction, and halves that uncertainty. Plain is the likelihood itself, as most "
            "of the authors' code has it: it cannot tell the two apart from the start. Mixed begins with the bound "
            "and ends with the likelihood."
        ),
    )


class DBSN(nn.Module):
    """A dilated blind-spot network and two small networks for the covariances (Wu et al., ECCV 2020).

    Layers have the names of the authors' files below `mu`, `sigma_mu` and `sigma_n`.

    Args:
        channels: 1 grey, 3 RGB.
        noise: one of `NOISES`; "mg" is for 3 channels.
        width: features.
        blocks: inception blocks a branch.
        hidden: features of the small networks, None for the authors' 16 (grey) or 32.
        estimates: whether there are the two small networks; without them nothing but the blind mean can be had.
    """

    multiple_of = 1
    # Forty layers without a shortcut from the picture to the result: bf16 would leave 0.003 to 0.005 of error.
    full_precision = True

    def __init__(
        self,
        channels: int = 3,
        noise: str = "awgn",
        width: int = 96,
        blocks: int = 8,
        hidden: int | None = None,
        estimates: bool = True,
    ) -> None:
        super().__init__()
        if noise not in NOISES:
            raise MethodError(
                tr("A dbsn network is for noise {known}, not {noise!r}").format(known=", ".join(NOISES), noise=noise)
            )
        if noise == "mg" and channels != 3:
            raise MethodError(
                tr("A dbsn network for multivariate noise takes 3 channels, not {channels}").format(channels=channels)
            )
        self.channels, self.noise, self.width, self.blocks, self.estimates = channels, noise, width, blocks, estimates
        hidden = hidden or (16 if channels == 1 else 32)
        outputs = 6 if noise == "mg" else channels
        self.mu = _BlindSpot(channels, width, blocks)
        if estimates:
            self.sigma_mu = _SigmaMu(width, hidden, outputs)
            self.sigma_n = _SigmaN(channels, hidden, outputs)
            if noise != "mg":
                # A deviation of 4.9 / 255 to begin with; a Cholesky factor of zeros could not be learned away from.
                nn.init.zeros_(self.sigma_n.conv_final.weight)

    @property
    def margin(self) -> int:
        """Pixels around a tile that its result depends on: 2 of the 5x5 convolution, then 3 times 2 a block."""
        return 2 + 6 * self.blocks

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise to the blind mean mu, same shape; sigma is not used."""
        return self.mu(x)[0]

    def survey(self, x: Tensor) -> Tensor | None:
        """What `moments` needs the mean of over a whole picture, (B, K, H, W): z of the noise, or both T T^t."""
        self._demand_estimates()
        if self.noise == "hg":
            return None
        if self.noise == "awgn":
            return self.sigma_n(x)
        return torch.cat((_outer(self.sigma_mu(self.mu(x)[1])), _outer(self.sigma_n(x))), 1)

    def moments(self, x: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What Bayes' rule needs.

        Args:
            x: noisy, (B, C, H, W).
            statistics: means of `survey` over the whole picture, (B, K, 1, 1); None takes those over x.

        Returns:
            mu (B, C, H, W), and the covariances Sigma_mu of the clean pixel around it and Sigma_n of the noise: for
            "mg" matrices (B, 3, 3), else variances that broadcast to mu's shape.
        """
        self._demand_estimates()
        mu, feature = self.mu(x)
        if self.noise == "mg":
            if statistics is None:
                sigmas = _outer(self.sigma_mu(feature)), _outer(self.sigma_n(x))
                statistics = torch.cat(sigmas, 1).mean((2, 3), keepdim=True)
            sigma_mu, sigma_n = (_matrix(part) for part in statistics.split(6, 1))
            return mu, sigma_mu, sigma_n
        return mu, self.sigma_mu(feature) ** 2, self.noise_covariance(mu if self.noise == "hg" else x, statistics)

    def noise_covariance(self, x: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Sigma_n, as `moments` has it, by what CNN_est finds in x: the noisy picture, for "hg" the blind mean.

        Args:
            x: (B, C, H, W).
            statistics: mean of z over the whole picture ("awgn"); None takes that over x.
        """
        self._demand_estimates()
        z = self.sigma_n(x) if statistics is None else statistics
        if self.noise == "mg":
            return _matrix(_outer(z).mean((2, 3), keepdim=True))
        if self.noise == "awgn":
            z = z.mean((2, 3), keepdim=True)
        return (F.softplus(z - 4) + 0.001) ** 2

    def _demand_estimates(self) -> None:
        if not self.estimates:
            raise MethodError(tr("This network came without its noise estimators: only its blind result can be shown"))


class _BlindSpot(nn.Module):
    """D-BSN: each pixel from its surroundings, all but the offsets whose coordinates are both multiples of 6.

    The first branch sees the offsets a + 2j with a a neighbour's, so never two even coordinates; the second a + 3j with
    a up to 2 away and not 0, so never two multiples of 3. All that follows is 1x1.
    """

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.dbsn_head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(inplace=True))
        self.br1 = _Branch(width, 3, blocks)
        self.br2 = _Branch(width, 5, blocks)
        self.concat = nn.Conv2d(2 * width, width, 1)
        self.dbsn_tail = nn.Sequential(*_pointwise(width, 2), nn.Conv2d(width, channels, 1))
        _initialise(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The blind mean of x, and the features (B, width, H, W) that say how sure it is."""
        head = self.dbsn_head(x.to(self.concat.weight.dtype))
        feature = self.concat(torch.cat((self.br1(head), self.br2(head)), 1))
        return self.dbsn_tail(feature).to(x.dtype), feature


class _Branch(nn.Module):
    """A convolution blind to its centre, then dilations that cannot reach it."""

    def __init__(self, width: int, side: int, blocks: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _Masked(width, side),
            nn.ReLU(inplace=True),
            *_pointwise(width, 2),
            *(_Inception(width, (side + 1) // 2) for _ in range(blocks)),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x)


class _Masked(nn.Conv2d):
    """Its centre taps are left out at every use, so whatever a file or an average holds there is dead."""

    centre: Tensor

    def __init__(self, width: int, side: int) -> None:
        super().__init__(width, width, side, padding=side // 2)
        centre = torch.zeros(1, 1, side, side, dtype=torch.bool)
        centre[..., side // 2, side // 2] = True
        self.register_buffer("centre", centre, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.masked_fill(self.centre, 0), self.bias, padding=self.padding)


class _Inception(nn.Module):
    """Three arms with 5x5, 3x3 and 1x1 kernels beside the identity."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()

        def arm(side: int) -> list[nn.Module]:
            spread = nn.Conv2d(width, width, side, padding=dilation * (side // 2), dilation=dilation)
            return [*_pointwise(width), spread, nn.ReLU(inplace=True)]

        self.inception_br1 = nn.Sequential(*arm(5))
        self.inception_br2 = nn.Sequential(*arm(3))
        self.inception_br3 = nn.Sequential(*_pointwise(width))
        self.concat = nn.Conv2d(3 * width, width, 1)
        self.middle_1x1_convs = nn.Sequential(*_pointwise(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        arms = torch.cat((self.inception_br1(x), self.inception_br2(x), self.inception_br3(x)), 1)
        return self.middle_1x1_convs(F.relu(self.concat(arms), inplace=True) + x)


class _SigmaMu(nn.Module):
    """How sure the blind mean is, from its features: a deviation a channel, or the factor T of a covariance."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        last = nn.Conv2d(hidden, outputs, 1)
        self.conv = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.ReLU(inplace=True), *_pointwise(hidden), last)
        _initialise(self)
        # Almost sure to begin with, or noise would be taken for doubt.
        with torch.no_grad():
            last.weight.mul_(0.1)

    def forward(self, feature: Tensor) -> Tensor:
        return self.conv(feature).float()


class _SigmaN(nn.Module):
    """CNN_est: the noise at each pixel from that pixel alone, z or the factor T of a covariance."""

    def __init__(self, channels: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), *_pointwise(hidden, 3))
        self.conv_final = nn.Conv2d(hidden, outputs, 1)
        # Their grey files were trained with this; what their colour code does instead touches exact zeros only.
        self.offset = 3e-4 if channels == 1 else 0.0
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_final(self.conv(x.to(self.conv_final.weight.dtype))).float() + self.offset


def _pointwise(width: int, count: int = 1) -> list[nn.Module]:
    return [layer for _ in range(count) for layer in (nn.Conv2d(width, width, 1), nn.ReLU(inplace=True))]


def _initialise(network: nn.Module) -> None:
    """Orthogonal, so that variances neither die nor grow through many layers without shortcuts."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.orthogonal_(module.weight, 2**0.5)
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
        for module in network.modules():
            if isinstance(module, _Inception):
                # Or each block would double the variance.
                module.concat.weight.mul_(0.1)


def _outer(entries: Tensor) -> Tensor:
    """T T^t of an upper triangular T, both as upper triangles row by row: (B, 6, H, W) to the same."""
    a, b, c, d, e, f = entries.unbind(1)
    return torch.stack((a * a + b * b + c * c, b * d + c * e, c * f, d * d + e * e, e * f, f * f), 1)


def _matrix(triangle: Tensor) -> Tensor:
    """The symmetric matrix (B, 3, 3) of an upper triangle (B, 6, 1, 1), with 1e-6 on its diagonal."""
    full = triangle[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    return full + 1e-6 * torch.eye(3, device=full.device, dtype=full.dtype)


def _inverse(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of covariances (B, 3, 3) and the logarithms of their determinants (B,), on every device.

    The determinant is kept above 1e-6 of that of white noise as strong. (The authors keep it above 1e-6 itself, which
    is that of white noise of sigma 25.5 / 255: weaker noise could not be learned.)
    """
    scale = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    rows = (covariance / scale[:, None, None]).unbind(1)
    adjugate = torch.stack([torch.linalg.cross(rows[i - 2], rows[i - 1]) for i in range(3)], 2)
    determinant = (rows[0] * adjugate[:, :, 0]).sum(1).clamp_min(1e-6)
    return adjugate / (determinant * scale)[:, None, None], determinant.log() + 3 * scale.log()


def gain(sigma_mu: Tensor, sigma_n: Tensor, gamma: float = 1.0) -> Tensor:
    """How much of y - mu the posterior mean of the clean pixel takes, in the form of its arguments.

    With the noisy pixel's precision times gamma that mean is

        (Sigma_mu^-1 + gamma Sigma_n^-1)^-1 (Sigma_mu^-1 mu + gamma Sigma_n^-1 y) = mu + G (y - mu),

    G = Sigma_mu (Sigma_mu + Sigma_n / gamma)^-1. (The authors' gamma is this one in colour, in grey its reciprocal.)

    Args:
        sigma_mu, sigma_n: as `DBSN.moments` gives them.
        gamma: 1 is Bayes' rule; towards 0 the result becomes mu.
    """
    total = sigma_mu + sigma_n / gamma
    return sigma_mu @ _inverse(total)[0] if total.ndim == 3 else sigma_mu / total


def fuse(noisy: Tensor, mu: Tensor, share: Tensor) -> Tensor:
    """mu + G (y - mu), (B, C, H, W); `share` is G of `gain`."""
    rest = noisy - mu
    return mu + (torch.einsum("bij,bjhw->bihw", share, rest) if share.ndim == 3 else share * rest)


FAR = 1e7
"""A squared distance in deviations beyond which a pixel is left out of the loss."""


def negative_log_likelihood(rest: Tensor, sigma_mu: Tensor, sigma_n: Tensor, constrained: bool = False) -> Tensor:
    """That of noisy pixels around their blind mean, without its constant; a mean over pixels.

    r^t (Sigma_mu + Sigma_n)^-1 r / 2 + log det(Sigma_mu + Sigma_n) / 2, or for the constrained one its upper bound with
    (log det Sigma_n + tr(Sigma_n^-1 Sigma_mu)) / 2 for the second term (Wu et al.).

    Args:
        rest: r = y - mu, (B, C, H, W).
        sigma_mu, sigma_n: as `DBSN.moments` gives them.
        constrained: see above.
    """
    total = sigma_mu + sigma_n
    if sigma_mu.ndim == 3:
        precision, size = _inverse(total)
        squares = torch.einsum("bihw,bij,bjhw->bhw", rest, precision, rest)
        if constrained:
            precision, size = _inverse(sigma_n)
            size = size + (precision * sigma_mu).sum((1, 2))
        size = size[:, None, None]
    else:
        squares = (rest**2 / total).sum(1)
        size = (sigma_n.log() + sigma_mu / sigma_n if constrained else total.log()).sum(1)
    # One such pixel would drown all others, and it says that something is broken, not how much noise there is. What is
    # not a number stays: it ends the training.
    return 0.5 * torch.where(squares > FAR, 0, squares + size).mean()


def blind_loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """Mean squared distance of the blind mean to the noisy picture: its own pixel it cannot copy."""
    return ((network(batch.noisy, batch.sigma).float() - batch.noisy) ** 2).mean()


def level_loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """`negative_log_likelihood` of the noisy picture under what the network says of it, to begin with."""
    return _likelihood(network, batch.noisy, training.likelihood != "plain")


def joint_loss(network: nn.Module, batch: Batch, training: Any, generator: Generator, progress: float) -> Tensor:
    """The same in the end. The bound has its optimum where Sigma_mu is about half of what it should be.

    A 4.5 minutes' training of `dbsn-small`, gone on with for 300 steps by the bound or by the likelihood, gave 28.02 or
    28.56 dB on Set12 at sigma 25, for which CNN_est found 27.4 or 25.5.
    """
    return _likelihood(network, batch.noisy, training.likelihood == "constrained")


def _likelihood(network: nn.Module, noisy: Tensor, constrained: bool) -> Tensor:
    mu, sigma_mu, sigma_n = network.moments(noisy)  # pyright: ignore[reportCallIssue]
    with torch.autocast(mu.device.type, enabled=False):
        return negative_log_likelihood(noisy - mu.float(), sigma_mu, sigma_n, constrained)


def joint_rate(network: nn.Module) -> float:
    """1/10, for multivariate noise 1/100, as the authors advise; at the full rate the blind mean is lost again."""
    return 0.01 if network.noise == "mg" else 0.1


class MWCNN(nn.Module):
    """U-Net whose halving and doubling are Haar wavelets (Liu et al., Multi-level Wavelet-CNN, CVPR workshops 2018).

    The student of DBSN's distillation. Layers have the names of the authors' files.

    Args:
        channels: 1 grey, 3 RGB.
        width: features of the finest level; 160 with `wide` 256 is theirs.
        wide: features of the two others.
    """

    multiple_of = 8
    margin = 120

    def __init__(self, channels: int = 1, width: int = 160, wide: int = 256) -> None:
        super().__init__()
        self.channels, self.width, self.wide = channels, width, wide
        self.level1_prev, self.level1_next = _Level(4 * channels, width), _Level(width, 4 * channels, "last")
        self.level2_prev, self.level2_next = _Level(4 * width, wide), _Level(wide, 4 * width, "up")
        self.level3_prev, self.level3_next = _Level(4 * wide, wide), _Level(wide, 4 * wide, "up")
        self.DWT, self.IWT = _Haar(), _Haar()

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise to the denoised picture; sigma is not used."""
        first = self.level1_prev(self.DWT(x.to(self.DWT.weight.dtype)))
        second = self.level2_prev(self.DWT(first))
        third = self.level3_next(self.level3_prev(self.DWT(second)))
        second = self.level2_next(second + self.IWT.inverse(third))
        return x + self.IWT.inverse(self.level1_next(first + self.IWT.inverse(second))).to(x.dtype)


class _Level(nn.Module):
    """Four 3x3 convolutions; the first of the way down changes the number of features, the last of the way up."""

    def __init__(self, given: int, made: int, way: str = "down") -> None:
        super().__init__()
        widths = [given, made, made, made, made] if way == "down" else [given, given, given, given, made]
        convolutions = [nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(widths)]
        layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU(inplace=True))]
        self.block = nn.Sequential(*(layers[:-1] if way == "last" else layers))
        _initialise(self)
        if way == "last":
            # The untrained network starts near the identity.
            with torch.no_grad():
                convolutions[-1].weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class _Haar(nn.Module):
    """The orthonormal Haar wavelets of each channel: sums and differences of 2x2 pixels; never trained."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        sums, differences = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
        bands = [torch.outer(rows, columns) / 2 for columns in (sums, differences) for rows in (sums, differences)]
        self.register_buffer("weight", torch.stack(bands)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 C, H / 2, W / 2), the four bands of a channel beside each other."""
        batch, channels, height, width = x.shape
        bands = F.conv2d(x.reshape(batch * channels, 1, height, width), self.weight, stride=2)
        return bands.reshape(batch, 4 * channels, height // 2, width // 2)

    def inverse(self, x: Tensor) -> Tensor:
        """What `forward` was given."""
        batch, bands, height, width = x.shape
        planes = F.conv_transpose2d(x.reshape(batch * bands // 4, 4, height, width), self.weight, stride=2)
        return planes.reshape(batch, bands // 4, 2 * height, 2 * width)


class DilatedBlindSpot(Method):
    """Wu, Liu, Cao, Ren, Zuo: Unpaired learning of deep image denoising, ECCV 2020.

    Two networks learn from noisy pictures alone: one predicts each pixel from its surroundings without seeing it, and
    how sure it is; the other how much noise there is. Bayes' rule then weighs the prediction against the noisy pixel.
    The noise must not be correlated between pixels.
    """

    id = "dbsn"
    label = "DBSN"
    source = "Wu, Liu, Cao, Ren, Zuo: Unpaired learning of deep image denoising, ECCV 2020"
    Params = DBSNParams
    Training = DBSNTraining
    architectures: ClassVar = {"dbsn": DBSN, "mwcnn": MWCNN}
    networks: ClassVar = {
        "dbsn": {"network": "dbsn", "noise": "awgn", "width": 96},
        "dbsn-hg": {"network": "dbsn", "noise": "hg", "width": 96},
        "dbsn-mg": {"network": "dbsn", "noise": "mg", "width": 96},
        # Small enough to be trained on a CPU: a fortieth of the operations, and a reach of 20 pixels.
        "dbsn-small": {"network": "dbsn", "noise": "awgn", "width": 24, "blocks": 3},
    }

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        """The same estimate each time: there is nothing random in it.

        The blind mean does not depend on its own pixel, so the Jacobian is G of `gain`: the divergence costs nothing.
        It is taken for noise of `task.sigma`: what the network finds cannot vouch for itself.
        """
        params, noisy = task.params, task.noisy
        if params.result == "blind":
            mu = network(noisy, task.level())
            found = Pass(mu, None, divergence=torch.zeros_like(mu))
        else:
            mu, sigma_mu, sigma_n = network.moments(noisy, task.statistics)  # pyright: ignore[reportCallIssue]
            share = gain(sigma_mu, params.noise_scale**2 * sigma_n, params.gamma)
            own = share.diagonal(dim1=1, dim2=2)[..., None, None] if share.ndim == 3 else share
            found = Pass(fuse(noisy, mu, share), None, divergence=task.sigma**2 * own.expand_as(mu))
        while True:
            yield found

    def survey(self, network: nn.Module, task: Task) -> Tensor | None:
        """What CNN_est finds, where the noise is the same all over the picture."""
        return None if task.params.result == "blind" else network.survey(task.noisy)  # pyright: ignore[reportCallIssue]

    def fits(self, arch: Mapping[str, Any]) -> bool:
        """Only a blind-spot network with its estimators can be trained without clean pictures."""
        return arch["network"] == "dbsn" and arch.get("estimates", True)

    def stages(self, training: Any) -> Sequence[Stage]:
        """The blind mean, the noise levels around it, all at once.

        The authors advise to leave out the second for grey pictures; there it costs little.
        """
        return (
            Stage("blind mean", 0.55, blind_loss, "mu."),
            Stage("noise levels", 0.25, level_loss, ("sigma_mu.", "sigma_n.")),
            Stage("joint", 0.2, joint_loss, rate=joint_rate),
        )

    @torch.no_grad()
    def synthesise(self, network: nn.Module, clean: Tensor, generator: Generator) -> Tensor | None:
        """x + u e(x) n with n ~ N(0, 1) and one u ~ U(0.9, 1.1) for the batch (Wu et al.).

        For noise that depends on the pixel, e is what CNN_est says of x. Else it has only ever seen noisy pictures,
        and the authors' e(x) is off: here it is asked of x with the noise found so far, three times over. So the level
        is the trained one where that was one level; where it was a range, it is some level of that range.
        """
        u = 0.9 + 0.2 * torch.rand((), generator=generator, device=clean.device)
        unit = torch.randn(clean.shape, generator=generator, device=clean.device)
        noise = torch.zeros_like(clean)
        for _ in range(1 if network.noise == "hg" else 3):
            sigma = network.noise_covariance(clean + noise)  # pyright: ignore[reportCallIssue]
            if sigma.ndim == 3:
                # Three by three, and not every device has it.
                root = torch.linalg.cholesky(sigma.cpu()).to(clean.device)
                noise = torch.einsum("bij,bjhw->bihw", root, unit)
            else:
                noise = sigma.sqrt() * unit
        return clean + u * noise

    def recognise(self, weights: Mapping[str, Tensor]) -> Sequence[Layout]:
        """The authors' files: three state dicts, or that of the blind-spot network alone."""
        places = {"state_dict_dbsn.": "mu.", "state_dict_sigma_mu.": "sigma_mu.", "state_dict_sigma_n.": "sigma_n."}
        renamed = {}
        for name, tensor in weights.items():
            found = next((prefix for prefix in places if name.startswith(prefix)), "")
            renamed[places.get(found, "mu.") + name.removeprefix(found)] = tensor
        arch = _arch(renamed)
        if arch is None:
            return ()
        if not arch["estimates"]:
            return (Layout("DBSN, blind-spot network alone", arch, renamed, {"result": "blind"}),)
        if arch["noise"] == "mg":
            return (Layout("DBSN", arch, renamed),)

        def settle(convention: Any) -> Mapping[str, Any]:
            if convention.noise not in ("awgn", "hg"):
                raise MethodError(
                    tr("This DBSN was trained for noise awgn or hg, not {noise!r}").format(noise=convention.noise)
                )
            return {**arch, "noise": convention.noise}

        return (Layout("DBSN", arch, renamed, asks=("noise",), settle=settle),)


def _arch(weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The `DBSN` that has exactly these tensors, of unknown noise taken for "awgn"; None where there is none."""
    head, estimator = weights.get("mu.dbsn_head.0.weight"), weights.get("sigma_mu.conv.4.weight")
    if head is None or head.ndim != 4 or (estimator is not None and estimator.ndim != 4):
        return None
    width, channels = head.shape[:2]
    blocks = sum(name.startswith("mu.br1.branch.") and name.endswith(".inception_br3.0.weight") for name in weights)
    if channels not in (1, 3) or not 1 <= width <= 256 or not 1 <= blocks <= 16:
        return None
    arch = {"network": "dbsn", "channels": channels, "noise": "awgn", "width": width, "blocks": blocks}
    if estimator is None:
        arch |= {"estimates": False}
    else:
        outputs, hidden = estimator.shape[:2]
        if hidden > 256:
            return None
        arch |= {"noise": "mg" if outputs == 6 and channels == 3 else "awgn", "hidden": hidden, "estimates": True}
    expected = DBSN(**{name: value for name, value in arch.items() if name != "network"}).state_dict()
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    return arch if {name: tensor.shape for name, tensor in weights.items()} == shapes else None


METHOD = DilatedBlindSpot()
