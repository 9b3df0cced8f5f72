"""APR-RD: a teacher with a blind spot around each pixel, and a student that learns from several sizes of it."""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from engine.language import tr
from engine.method import Batch, Layout, MethodError, Stage, Task
from engine.one_pass import OnePass, OnePassParams
from engine.params import choice, param


@dataclass(frozen=True)
class AprRdParams(OnePassParams):
    """What a user adjusts."""

    part: str = choice(
        "student",
        ("student", "teacher"),
        tr("Network"),
        words=(tr("Student"), tr("Teacher")),
        help=tr(
            "The student sees every pixel and is six times as fast. The teacher goes by the surroundings of a pixel "
            "alone; where a model has no student, it is used anyway."
        ),
        expert=True,
    )
    shift: int = param(
        1,
        1,
        5,
        tr("Blind spot of the teacher (s)"),
        step=1,
        help=tr(
            "The teacher leaves out 2s - 1 pixels across. 1 is sharpest, 5 ignores noise that spreads over several "
            "pixels. Means nothing to the student."
        ),
        expert=True,
    )


@dataclass(frozen=True)
class AprRdTraining:
    """What a user adjusts when training; the defaults are the paper's."""

    teacher_share: float = param(
        0.67,
        0.05,
        0.95,
        tr("Share of the teacher"),
        step=0.01,
        help=tr("Part of the training that is spent on the teacher; the student has the rest."),
    )
    hole: int = param(
        5,
        1,
        8,
        tr("Blind spot in training (s)"),
        step=1,
        help=tr(
            "The teacher learns with a spot of 2s - 1 pixels across. It must be wider than the noise is correlated: 5 "
            "suits photographs, 1 white noise."
        ),
    )
    regulariser: float = param(
        4.0,
        0.0,
        20.0,
        tr("Regulariser"),
        step=0.5,
        help=tr("Weight of the term that corrects for adjacent pixels being different ones."),
    )
    gradient: str = choice(
        "stopped",
        ("stopped", "flowing"),
        tr("Gradient of the regulariser's f(y)"),
        words=(tr("Stopped"), tr("Flowing")),
        help=tr("Stopped as in the paper; the authors' program lets it flow, which takes twice the memory."),
        expert=True,
    )
    recharge: float = param(
        1.0,
        0.0,
        1.0,
        tr("Recharging"),
        step=0.05,
        help=tr(
            "Share of the pixels that are noisy again in one of the student's targets. At 0 it learns what the "
            "teacher sees and no more; at 1 it gets fine detail back, and some noise with it."
        ),
    )
    first_shift: int = param(
        0,
        0,
        8,
        tr("Smallest blind spot for the student (s)"),
        step=1,
        help=tr("The student learns from the teacher with every blind spot from this to the next; at 0 there is none."),
        expert=True,
    )
    last_shift: int = param(5, 0, 11, tr("Largest blind spot for the student (s)"), step=1, expert=True)


_AROUND = 16
"""Pixels mirrored around what the teacher denoises, as its authors do."""


class AprRdNetwork(nn.Module):
    """The teacher, the student, or both; what is not there is None.

    Layers have the names of the authors' files below `teacher.` and `student.`.

    Args:
        channels: 1 grey, 3 RGB.
        hole: of the teacher, "square" (AT-BSN: Chen et al., Exploring efficient asymmetric blind-spots, CVPR 2024)
            or "diamond" (TM-BSN, CVPR 2026). What it leaves out around a pixel at shift s: |dy|, |dx| < s, or
            |dy| + |dx| < s. At shift 0 it sees all.
        student: "1.02", "1.00" million parameters, or "0.86", "0.13" as AT-BSN has them.
        parts: "both", "teacher" or "student".
        width: features at full resolution; the authors' have 48.
        levels: times that the sides are halved, by the square teacher and the larger students.
        blocks: residual blocks in each group of the diamond teacher, and groups.
        value_range: white in the units of the weights: 1, or 255 for AT-BSN's.
    """

    def __init__(
        self,
        channels: int = 3,
        hole: str = "square",
        student: str = "1.02",
        parts: str = "both",
        width: int = 48,
        levels: int = 5,
        blocks: int = 5,
        value_range: float = 1,
    ) -> None:
        super().__init__()
        if hole not in ("square", "diamond"):
            raise ValueError(tr("A hole is square or diamond, not {hole!r}").format(hole=hole))
        if student not in ("1.02", "1.00", "0.86", "0.13"):
            raise ValueError(tr("A student is 1.02, 1.00, 0.86 or 0.13, not {student!r}").format(student=student))
        if parts not in ("both", "teacher", "student"):
            raise ValueError(tr("The parts are both, teacher or student, not {parts!r}").format(parts=parts))
        self.channels, self.value_range = channels, value_range
        self.teacher: _Teacher | None = None
        self.student: _Student | None = None
        if parts != "student":
            self.teacher = (
                _SquareTeacher(channels, width, levels)
                if hole == "square"
                else _DiamondTeacher(channels, width, blocks)
            )
        if parts != "teacher":
            if student in ("1.02", "1.00"):
                self.student = (_Student102 if student == "1.02" else _Student100)(channels, width, levels)
            else:
                self.student = _StudentAtBsn(channels, width, deep=student == "0.86")

    @property
    def multiple_of(self) -> int:
        """Sides of the input must be multiples of this."""
        return max(part.multiple_of for part in (self.teacher, self.student) if part is not None)

    @property
    def margin(self) -> int:
        """Pixels around a tile that the result of `forward` depends on."""
        return self.reach("student", 1)

    def reach(self, part: str, shift: int) -> int:
        """Pixels around a tile that a part's result depends on, the teacher's at this shift; MethodError as `one`."""
        chosen = self.part(part)
        radius = chosen.radius + (0 if chosen is self.student else shift)
        return -(-radius // self.multiple_of) * self.multiple_of

    def part(self, name: str) -> _Teacher | _Student:
        """The part called "student", or the teacher where there is none; MethodError for a teacher that is missing."""
        if name == "student" and self.student is not None:
            return self.student
        if self.teacher is None:
            raise MethodError(tr("This model holds only the student of APR-RD, not its teacher; choose the student"))
        return self.teacher

    def forward(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] up to noise to the denoised picture; sigma is not used.

        By the student, or by the teacher at shift 1 where there is none.
        """
        return self.by_teacher(x, 1) if self.student is None else self.by_student(x)

    def by_student(self, x: Tensor) -> Tensor:
        """What the student makes of (B, C, H, W) in [0, 1] up to noise; MethodError where there is none."""
        if self.student is None:
            raise MethodError(tr("This model holds only the teacher of APR-RD, not its student; choose the teacher"))
        return self.student(self._given(x)).to(x.dtype) / self.value_range

    def by_teacher(self, x: Tensor, shift: int) -> Tensor:
        """What the teacher makes of (B, C, H, W) in [0, 1] up to noise, mirrored a little way past its borders."""
        return next(self.by_teachers(x, (shift,)))

    def by_teachers(self, x: Tensor, shifts: Sequence[int], mirrored: bool = True) -> Iterator[Tensor]:
        """What the teacher makes of a picture at each shift; all but its last layers are run once.

        Args:
            x: (B, C, H, W) in [0, 1] up to noise.
            shifts: s of the blind spots.
            mirrored: whether the picture is continued past its borders; else zeros are.
        """
        teacher = self.part("teacher")
        assert isinstance(teacher, _Teacher)
        # A side that is too short to be mirrored lies between zeros.
        y, x_ = (_AROUND if mirrored and side > _AROUND else 0 for side in x.shape[2:])
        height, width = x.shape[2:]
        for result in teacher.each(self._given(F.pad(x, (x_, x_, y, y), mode="reflect")), shifts):
            yield result[:, :, y : y + height, x_ : x_ + width].to(x.dtype) / self.value_range

    def _given(self, x: Tensor) -> Tensor:
        return (x * self.value_range).to(next(self.parameters()).dtype)


class _Layer(nn.Module):
    """A 3x3 convolution and LeakyReLU(0.1).

    Args:
        given, made: channels.
        blind: it sees its own row and the two above, none below.
        last: what it gives is the picture, in float32 whatever the weights are: bf16 has eight bits.
        plain: without a bias, and borders are repeated instead of zero.
    """

    def __init__(self, given: int, made: int, blind: bool = False, last: bool = False, plain: bool = False) -> None:
        super().__init__()
        self.blind, self.last = blind, last
        edge = "replicate" if plain else "zeros"
        self.conv = nn.Conv2d(given, made, 3, padding=0 if blind else 1, bias=not plain, padding_mode=edge)

    def forward(self, x: Tensor) -> Tensor:
        if self.blind:
            x = F.pad(x, (1, 1, 2, 0))
        return F.leaky_relu(_exactly(self.conv, x) if self.last else self.conv(x), 0.1, inplace=True)


def _exactly(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer run in float32, whatever its weights are."""
    weights = {name: parameter.float() for name, parameter in layer.named_parameters()}
    with torch.autocast(x.device.type, enabled=False):
        return torch.func.functional_call(layer, weights, (x.float(),))


class _Chain(nn.Module):
    """Layers one after the other, called conv1, conv2, ...; what they take is given as for `_Layer`."""

    def __init__(self, *widths: int, last: bool = False, **details: Any) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        for number, (given, made) in enumerate(pairs, 1):
            self.add_module(f"conv{number}", _Layer(given, made, last=last and number == len(pairs), **details))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def _start(network: nn.Module) -> None:
    """He's initialisation, for LeakyReLU(0.1)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=0.1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _radius(levels: int) -> int:
    """Of the receptive field of the U-Nets: 157 pixels at 5 levels."""
    # One layer a level on the way down and two on the way up, each 2^level pixels; one before them all; and what the
    # pools spread a pixel of the coarsest level over.
    return 1 + (2 ** (levels + 1) - 1) + 2 * (2**levels - 1) + (2**levels - 1)


class _UNet(nn.Module):
    """The U-Net of Laine et al. (High-quality self-supervised deep image denoising, NeurIPS 2019) as AT-BSN has it.

    Args:
        channels: of the picture.
        made: channels of the result.
        width, levels: see `AprRdNetwork`.
        blind: every layer and pool sees rows above only, so that the result knows nothing of the rows below its own.
    """

    def __init__(self, channels: int, made: int, width: int, levels: int, blind: bool) -> None:
        super().__init__()
        self.levels, self.blind = levels, blind
        self.intro = _Layer(channels, width, blind)
        for level in range(1, levels + 2):
            self.add_module(f"enc{level}", _Chain(width, width, blind=blind))
        for level in range(levels, 0, -1):
            given = (width if level == levels else 2 * width) + (channels if level == 1 else width)
            chain = _Chain(
                given, 2 * width, made if level == 1 else 2 * width, last=level == 1 and not blind, blind=blind
            )
            self.add_module(f"dec{level}", chain)

    def forward(self, x: Tensor) -> Tensor:
        feature, skips = self.intro(x), [x]
        for level in range(1, self.levels + 1):
            feature = self.get_submodule(f"enc{level}")(feature)
            # One row down first, or the pool's upper row would see its lower one.
            feature = F.max_pool2d(F.pad(feature, (0, 0, 1, -1)) if self.blind else feature, 2)
            skips.append(feature)
        feature = self.get_submodule(f"enc{self.levels + 1}")(skips.pop())
        for level in range(self.levels, 0, -1):
            feature = torch.cat((F.interpolate(feature, scale_factor=2), skips.pop()), 1)
            feature = self.get_submodule(f"dec{level}")(feature)
        return feature


class _Teacher(nn.Module, ABC):
    """Sees the picture from four sides, each up to an edge that is moved away from the pixel; 1x1 layers join them.

    Attributes:
        unet: of which each result pixel knows half the plane; (B, C, H, W) to features of the same size.
        multiple_of: sides must be multiples of this.
        radius: of the receptive field at shift 0.
        slope: of the negative part of the last layers' activations.
    """

    unet: nn.Module
    multiple_of: int
    radius: int
    slope: float

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.nin_A = nn.Conv2d(8 * width, 8 * width, 1)
        self.nin_B = nn.Conv2d(8 * width, 2 * width, 1)
        self.nin_C = nn.Conv2d(2 * width, channels, 1)

    @abstractmethod
    def moved(self, feature: Tensor, shift: int) -> Tensor:
        """Features of `unet` with the edge of what they see moved `shift` pixels away."""

    def each(self, x: Tensor, shifts: Sequence[int]) -> Iterator[Tensor]:
        """The picture in the weights' units and type to the estimate at each shift, float32."""
        # Pictures that lie and those that stand have different shapes, so not all four in one batch.
        lying, standing = x, x.rot90(-1, (2, 3))
        lying, standing = (self.unet(torch.cat((side, side.rot90(2, (2, 3))))) for side in (lying, standing))
        for shift in shifts:
            top, bottom = self.moved(lying, shift).chunk(2)
            left, right = self.moved(standing, shift).chunk(2)
            turned = (top, left.rot90(1, (2, 3)), bottom.rot90(2, (2, 3)), right.rot90(-1, (2, 3)))
            feature = F.leaky_relu(self.nin_A(torch.cat(turned, 1)), self.slope, inplace=True)
            feature = F.leaky_relu(self.nin_B(feature), self.slope, inplace=True)
            yield _exactly(self.nin_C, feature)


class _SquareTeacher(_Teacher):
    """AT-BSN. Half a plane with a level edge from each of four sides leaves a square out."""

    slope = 0.1

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__(channels, width)
        self.unet = _UNet(channels, 2 * width, width, levels, blind=True)
        # Each layer reaches two rows up where one that is not blind reaches one.
        self.multiple_of, self.radius = 2**levels, 2 * _radius(levels)
        _start(self)
        nn.init.kaiming_normal_(self.nin_C.weight, nonlinearity="linear")

    def moved(self, feature: Tensor, shift: int) -> Tensor:
        """The rows as many further down."""
        return F.pad(feature, (0, 0, shift, -shift))


class _DiamondTeacher(_Teacher):
    """TM-BSN. Half a plane with an oblique edge from each of four sides leaves a diamond out; no pools."""

    slope = 0.0
    multiple_of = 1

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__(channels, width)
        self.unet = _Oblique(channels, width, blocks)
        self.radius = 2 + blocks * (2 * blocks + 1)

    def moved(self, feature: Tensor, shift: int) -> Tensor:
        """Twice the features: from above, and from the right, which both moves the edge by as many pixels."""
        return torch.cat((F.pad(feature, (0, 0, shift, -shift)), F.pad(feature, (-shift, shift, 0, 0))), 1)


class _UpperConv(nn.Conv2d):
    """A 3x3 convolution without the taps below its diagonal: it sees dx >= dy, up and to the right of an edge."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight.triu(), self.bias, padding=1)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _UpperConv(width, width, 3)
        self.conv2 = _UpperConv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class _Group(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.res_blocks = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.conv_out = _UpperConv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_out(self.res_blocks(x))


class _Oblique(nn.Module):
    """Residual blocks in residual groups, at full resolution."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = _UpperConv(channels, width, 3)
        self.RIR_blocks = nn.Sequential(*(_Group(width, blocks) for _ in range(blocks)))
        self.conv2 = _UpperConv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        return first + self.conv2(self.RIR_blocks(first))


class _Student(nn.Module):
    """Sees every pixel; gives the picture, float32.

    Attributes:
        multiple_of: sides must be multiples of this.
        radius: of the receptive field.
    """

    multiple_of: int
    radius: int


class _Student100(_Student):
    """The teacher's U-Net, seeing. Its last layer has an activation too: what is below black is a tenth of itself."""

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        self.unet = _UNet(channels, channels, width, levels, blind=False)
        self.multiple_of, self.radius = 2**levels, _radius(levels)
        _start(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.unet(x)


class _Student102(_Student):
    """A like U-Net that passes on its features from before the pools, and whose last layer is linear."""

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.multiple_of, self.radius = 2**levels, _radius(levels) - 1
        for level in range(1, levels + 2):
            self.add_module(f"enc{level}", _Layer(channels if level == 1 else width, width))
        for level in range(levels, 0, -1):
            self.add_module(f"dec{level}_2", _Layer((2 if level == levels else 3) * width, 2 * width))
            if level > 1:
                self.add_module(f"dec{level}_1", _Layer(2 * width, 2 * width))
        self.dec1_1 = nn.Conv2d(2 * width, channels, 3, padding=1)
        _start(self)

    def forward(self, x: Tensor) -> Tensor:
        feature, skips = x, []
        for level in range(1, self.levels + 1):
            skips.append(self.get_submodule(f"enc{level}")(feature))
            feature = F.max_pool2d(skips[-1], 2)
        feature = self.get_submodule(f"enc{self.levels + 1}")(feature)
        for level in range(self.levels, 0, -1):
            feature = torch.cat((F.interpolate(feature, scale_factor=2), skips.pop()), 1)
            feature = self.get_submodule(f"dec{level}_2")(feature)
            if level > 1:
                feature = self.get_submodule(f"dec{level}_1")(feature)
        return _exactly(self.dec1_1, feature)


class _StudentAtBsn(_Student):
    """AT-BSN's students A and B: two pools, no biases, borders repeated.

    Args:
        deep: B with three layers a level on the way down and four on the way up, else A with one.
    """

    multiple_of = 4

    def __init__(self, channels: int, width: int, deep: bool) -> None:
        super().__init__()
        down, up = (3, 4) if deep else (1, 1)
        self.radius = down * (1 + 2 + 4) + up * (2 + 1) + 3
        wide = 2 * width
        self.enc1 = _Chain(channels, *[width] * down, plain=True)
        self.enc2 = _Chain(width, *[width] * down, plain=True)
        self.enc3 = _Chain(width, *[wide] * (down - 1), width, plain=True)
        self.dec2 = _Chain(wide, *[wide] * up, plain=True)
        self.dec1 = _Chain(wide + channels, *[wide] * (up - 1), channels, last=True, plain=True)
        _start(self)

    def forward(self, x: Tensor) -> Tensor:
        half = F.max_pool2d(self.enc1(x), 2)
        quarter = F.max_pool2d(self.enc2(half), 2)
        feature = F.interpolate(self.enc3(quarter), scale_factor=2)
        feature = F.interpolate(self.dec2(torch.cat((feature, half), 1)), scale_factor=2)
        return self.dec1(torch.cat((feature, x), 1))


class AprRd(OnePass):
    """Kim, Cho: Adjacent pixel replacer and recharged distillation (APR-RD), AAAI 2025.

    A blind-spot network predicts each pixel from its surroundings, without those so near that their noise goes with
    its own. Its mistakes are the details that only the pixel itself shows. So a second network, which sees every
    pixel, learns from it with several blind spots, and from the noisy picture here and there.
    """

    id = "apr-rd"
    label = "APR-RD"
    source = "Kim, Cho: APR-RD, AAAI 2025"
    Params = AprRdParams
    Training = AprRdTraining
    architectures: ClassVar = {"apr-rd": AprRdNetwork}
    networks: ClassVar = {
        "apr-rd": {"network": "apr-rd"},
        "apr-rd-1.00": {"network": "apr-rd", "student": "1.00"},
        "apr-rd-diamond": {"network": "apr-rd", "hole": "diamond"},
        # For a CPU: a tenth of the work.
        "apr-rd-small": {"network": "apr-rd", "width": 16, "levels": 3},
    }

    def denoiser(self, network: nn.Module, task: Task) -> Callable[[Tensor], Tensor]:
        """The student, or the teacher with the chosen blind spot."""
        network, params = _own(network), task.params
        network.part(params.part)
        if params.part == "student" and network.student is not None:
            return network.by_student
        return lambda noisy: network.by_teacher(noisy, params.shift)

    def margin(self, network: nn.Module, params: Any) -> int:
        """Of the part that is used; the teacher's reaches twice as far."""
        return _own(network).reach(params.part, params.shift)

    def fits(self, arch: Mapping[str, Any]) -> bool:
        """Its own networks, with both parts."""
        return arch.get("network") == "apr-rd" and arch.get("parts", "both") == "both"

    def stages(self, training: AprRdTraining) -> Sequence[Stage]:
        """The teacher, then the student; MethodError where no blind spot is left for the student."""
        if training.last_shift < training.first_shift:
            raise MethodError(
                tr(
                    "The student's blind spots go from --first-shift {first_shift} to --last-shift "
                    "{last_shift}; the last must not be the smaller one"
                ).format(first_shift=training.first_shift, last_shift=training.last_shift)
            )
        return (
            Stage("adjacent pixels replaced", training.teacher_share, teach, trains="teacher."),
            Stage("recharged distillation", 1 - training.teacher_share, distil, trains="student."),
        )

    def recognise(self, weights: Mapping[str, Tensor]) -> Sequence[Layout]:
        """The students and teachers of APR-RD, AT-BSN and TM-BSN.

        Those that APR-RD has from AT-BSN are the same to a tensor and differ in the value of white: 1 or 255.
        """
        for first, source, arch in _FILES:
            layer = weights.get(first)
            if layer is None or layer.ndim != 4 or layer.shape[1] not in (1, 3):
                continue
            arch = {"channels": layer.shape[1], **arch}
            renamed = {_name(name, arch): tensor for name, tensor in weights.items() if not name.endswith(".mask")}
            expected = {name: tensor.shape for name, tensor in AprRdNetwork(**arch).state_dict().items()}
            if {name: tensor.shape for name, tensor in renamed.items()} != expected:
                continue
            arch = {"network": "apr-rd", **arch}
            params = {"part": "teacher"} if arch["parts"] == "teacher" else {}
            if "value_range" in arch:
                return (Layout(source, arch, renamed, params),)
            return (Layout(source, arch, renamed, params, ("value_range",), functools.partial(_settle, arch)),)
        return ()


_FILES: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("enc1.conv.weight", "student of APR-RD or TM-BSN", {"parts": "student", "student": "1.02", "value_range": 1}),
    ("unet.intro.conv.weight", "student of APR-RD or AT-BSN", {"parts": "student", "student": "1.00"}),
    ("unet.intro.conv.weight", "teacher of APR-RD or AT-BSN", {"parts": "teacher"}),
    ("unet.conv1.weight", "teacher of TM-BSN", {"parts": "teacher", "hole": "diamond", "value_range": 1}),
    ("enc1.conv.conv.weight", "student A of AT-BSN", {"parts": "student", "student": "0.13", "value_range": 255}),
    ("enc1.conv1.conv.weight", "student B of AT-BSN", {"parts": "student", "student": "0.86", "value_range": 255}),
    ("nbsn.unet.intro.conv.weight", "teacher and student of APR-RD or AT-BSN", {"parts": "both", "student": "1.00"}),
    (
        "nbsn.enc1.conv.conv.weight",
        "teacher and student A of AT-BSN",
        {"parts": "both", "student": "0.13", "value_range": 255},
    ),
    (
        "nbsn.enc1.conv1.conv.weight",
        "teacher and student B of AT-BSN",
        {"parts": "both", "student": "0.86", "value_range": 255},
    ),
)
"""Name of the first layer, whose file it is, and how it is rebuilt; without `value_range` that is open."""


def _name(name: str, arch: Mapping[str, Any]) -> str:
    """What `AprRdNetwork` calls a tensor of an authors' file."""
    if arch["parts"] == "both":
        name = name.replace("nbsn.", "student.", 1) if name.startswith("nbsn.") else name.replace("bsn.", "teacher.", 1)
    else:
        name = f"{arch['parts']}.{name}"
    return name.replace(".conv.conv.", ".conv1.conv.")


def _settle(arch: Mapping[str, Any], convention: Any) -> Mapping[str, Any]:
    return {**arch, "value_range": convention.value_range}


def _own(network: nn.Module) -> AprRdNetwork:
    if not isinstance(network, AprRdNetwork):
        raise MethodError(tr("APR-RD runs networks of its own only; choose another method for this model"))
    return network


def _fitting(network: nn.Module, patches: Tensor) -> AprRdNetwork:
    own, sides = _own(network), patches.shape[2:]
    if any(side % own.multiple_of for side in sides):
        raise MethodError(
            tr("This network trains on patches whose side is a multiple of {multiple}, not {side}").format(
                multiple=own.multiple_of, side=max(sides)
            )
        )
    return own


def draw_replacements(noisy: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """For each pixel two different ones of its 3x3 neighbourhood, itself among them; all 72 ordered pairs alike.

    Args:
        noisy: (B, C, H, W).
        generator: on the same device.

    Returns:
        Where they lie, counted row by row in the picture, each (B, HW). Beyond the border lies the border, so that
        there the two can be one.
    """
    count, _, height, width = noisy.shape
    drawn = torch.randint(72, (count, height, width), generator=generator, device=noisy.device)
    first = drawn // 8
    second = (first + 1 + drawn % 8) % 9
    rows = torch.arange(height, device=noisy.device).view(-1, 1)
    columns = torch.arange(width, device=noisy.device)

    def place(offset: Tensor) -> Tensor:
        row = (rows + offset // 3 - 1).clamp(0, height - 1)
        column = (columns + offset % 3 - 1).clamp(0, width - 1)
        return (row * width + column).flatten(1)

    return place(first), place(second)


def replace(planes: Tensor, places: Tensor) -> Tensor:
    """(B, C, H, W) with each pixel, in all channels, replaced by the one at its place of (B, HW)."""
    return planes.flatten(2).gather(2, places[:, None].expand(-1, planes.shape[1], -1)).view(planes.shape)


def draw_recharge(noisy: Tensor, targets: int, share: float, generator: Generator) -> Tensor:
    """Which of the student's targets is noisy at each pixel.

    Args:
        noisy: (B, C, H, W).
        targets: how many there are.
        share: of the pixels that are noisy in one of them; the others are in none.
        generator: on the same device.

    Returns:
        (B, 1, H, W), 0 to targets - 1, or `targets` for none.
    """
    shape = (noisy.shape[0], 1, *noisy.shape[2:])
    drawn = torch.randint(targets, shape, generator=generator, device=noisy.device)
    stays = torch.rand(shape, generator=generator, device=noisy.device) >= share
    return drawn.masked_fill(stays, targets)


def teach(network: nn.Module, batch: Batch, training: AprRdTraining, generator: Generator, progress: float) -> Tensor:
    """|f(h1 y) - h2 y| + regulariser |f(h1 y) - h2 y - (h1 f(y) - h2 f(y))|, means over pixels.

    f is the teacher with the blind spot of the training; h1 and h2 put adjacent pixels in the place of each, the same
    ones in y and f(y).
    """
    own, noisy = _fitting(network, batch.noisy), batch.noisy
    shifts = (training.hole,)
    first, second = draw_replacements(noisy, generator)
    difference = next(own.by_teachers(replace(noisy, first), shifts, mirrored=False)) - replace(noisy, second)
    # Only after the pass that has a gradient: autocast keeps the weights it casts, and casts here would have none.
    with torch.set_grad_enabled(training.gradient == "flowing"):
        denoised = next(own.by_teachers(noisy, shifts, mirrored=False))
    expected = replace(denoised, first) - replace(denoised, second)
    return difference.abs().mean() + training.regulariser * (difference - expected).abs().mean()


def distil(network: nn.Module, batch: Batch, training: AprRdTraining, generator: Generator, progress: float) -> Tensor:
    """Mean of |student(y) - target| over the teacher's estimates with each blind spot, each noisy at pixels of its own.

    The paper's loss is their sum, which makes no difference to Adam.
    """
    own, noisy = _fitting(network, batch.noisy), batch.noisy
    shifts = range(training.first_shift, training.last_shift + 1)
    charged = draw_recharge(noisy, len(shifts), training.recharge, generator)
    denoised = own.by_student(noisy)
    total = denoised.new_zeros(())
    with torch.no_grad():
        targets = [
            torch.where(charged == number, noisy, target)
            for number, target in enumerate(own.by_teachers(noisy, shifts))
        ]
    for target in targets:
        total = total + (denoised - target).abs().mean()
    return total / len(targets)


METHOD = AprRd()
