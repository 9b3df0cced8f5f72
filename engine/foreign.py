"""Checkpoints of others: recognised, made safe and brought into our own form."""

from __future__ import annotations

import argparse
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import safetensors
import torch
from torch import Tensor

from engine import paths, spandrel_networks
from engine.checkpoint import (
    SUFFIX,
    Card,
    Checkpoint,
    CheckpointError,
    free_name,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from engine.language import tr
from engine.method import Layout, Method, method_of, methods

_LARGEST = 2 * 2**30
"""Bytes of a file, and of its weights once they are read."""

_MOST_TENSORS = 10_000

_WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "net", "model_weight")
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""


class ForeignError(CheckpointError):
    """A file of others cannot be brought in; the message is meant for the user."""


@dataclass(frozen=True)
class Question:
    """Something that tensors cannot say of how they are to be run.

    Attributes:
        name: the field of `Convention` that answers it.
        option: of the command line.
        label: for people.
        answers: values and what they mean, the usual one first.
        kind: type of the values.
        free: what stands for a value in `--option VALUE` where others than `answers` are possible; else "".
    """

    name: str
    option: str
    label: str
    answers: tuple[tuple[Any, str], ...] = ()
    kind: Callable[[str], Any] = str
    free: str = ""

    @property
    def values(self) -> tuple[Any, ...]:
        """The answers alone."""
        return tuple(value for value, _ in self.answers)

    @property
    def usage(self) -> str:
        """How it is given on the command line: "--output residual|image"."""
        return f"{self.option} {self.free or '|'.join(str(value) for value in self.values)}"


QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question(
            "output",
            "--output",
            tr("The network gives"),
            (("residual", tr("the noise (residual)")), ("image", tr("the denoised picture"))),
        ),
        Question(
            "channels_order",
            "--channels",
            tr("Order of its colours"),
            (("rgb", "RGB"), ("bgr", tr("BGR (OpenCV)"))),
        ),
        Question(
            "bn_eps",
            "--bn-eps",
            tr("Epsilon of its batch norms"),
            ((1e-5, "1e-5 (PyTorch)"), (1e-4, "1e-4"), (1e-3, "1e-3")),
            float,
            "E",
        ),
        Question("value_range", "--range", tr("Its pictures go from 0 to"), ((1, "1"), (255, "255")), int),
        Question(
            "noise",
            "--noise-kind",
            tr("Noise that it learned"),
            (
                ("awgn", tr("white, one level for the picture (AWGN)")),
                ("hg", tr("stronger where it is brighter (HG)")),
                ("mg", tr("correlated between the colours (MG)")),
            ),
        ),
        Question("source", "--source", tr("Whose network it is"), free="NAME"),
    )
}
"""By the field of `Convention`."""


@dataclass(frozen=True)
class Convention:
    """What the tensors of a file leave open; None where it is not known.

    Attributes:
        output: what the layers give, "residual" the noise or "image" the denoised picture.
        channels_order: of the colours that they expect, "rgb" or "bgr".
        bn_eps: eps of the batch norms.
        method: id of the method that the file was trained for; None for that of its layout, "plain" where it has none.
        value_range: white in the pictures that the network takes and gives, 1 or 255.
        noise: that the network learned, "awgn", "hg" or "mg" (Wu et al., DBSN, ECCV 2020).
        source: whose layout it is, where several fit.
    """

    output: str | None = None
    channels_order: str | None = None
    bn_eps: float | None = None
    method: str | None = None
    value_range: int | None = None
    noise: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            question = QUESTIONS.get(name)
            if question and not question.free and value not in question.values:
                meant = tr(" or ").join(str(value) for value in question.values)
                raise ForeignError(
                    tr("{option} is {meant}, not {value!r}").format(option=question.option, meant=meant, value=value)
                )
        if self.bn_eps is not None and not 0 <= self.bn_eps < 1:
            raise ForeignError(tr("--bn-eps is a small number such as 1e-5, not {bn_eps}").format(bn_eps=self.bn_eps))

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _option(name: str) -> str:
    return QUESTIONS[name].option if name in QUESTIONS else f"--{name}"


class ConventionNeeded(ForeignError):
    """A file can be run once the user has said how.

    Attributes:
        questions: what must be answered.
        given: the fields of `Convention` that were answered already.
    """

    def __init__(self, message: str, questions: tuple[Question, ...], given: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.questions, self.given = questions, given

    @property
    def choices(self) -> tuple[str, ...]:
        """The fields of `Convention` that must be given."""
        return tuple(question.name for question in self.questions)


@dataclass(frozen=True)
class _Known:
    """A public file whose convention was found by running it."""

    name: str
    title: str
    trained_on: str
    licence: str
    convention: Convention
    description: str = ""


_GPL = "GPL-3.0, as its repository"
_NONE_GIVEN = "none given by its authors"
_DNCNN = Convention("residual", None, 1e-5, "plain")
_KAIR = Convention("residual", None, None, "plain")
# Both were trained on pairs recorrupted from camera noise, in blue-green-red order as OpenCV reads. They do not fix
# the method: without a choice they are run as "plain", one pass on the noisy picture, which is how their authors
# evaluate them. Passes of R2R would add white noise, and camera noise in sRGB is not white.
_CAMERA = Convention("residual", "bgr", 1e-4, None)


def _saoyan(level: str) -> _Known:
    return _Known(
        f"dncnn-{level.lower()}",
        f"DnCNN-{level} of DnCNN-PyTorch",
        "400 clean grey pictures with Gaussian noise, sigma " + ("0 to 55" if level == "B" else level[2:]) + " of 255",
        _GPL,
        _DNCNN,
    )


def _kair(level: int) -> _Known:
    return _Known(
        f"kair-dncnn-{level}",
        f"DnCNN, sigma {level}, of KAIR",
        f"clean grey pictures with Gaussian noise, sigma {level} of 255",
        "MIT, as its repository",
        _KAIR,
    )


def _student(name: str, title: str, pictures: str) -> _Known:
    return _Known(
        name,
        f"{title} of its authors",
        f"noisy sRGB pictures of {pictures}",
        _NONE_GIVEN,
        Convention(value_range=1),
        "For photographs of phone cameras in strong noise; one pass.",
    )


_KNOWN: Mapping[str, _Known] = {
    "6eaf743d87f97769": _saoyan("S-15"),
    "65f0f0ea16d66727": _saoyan("S-25"),
    "dfdd4d9b10e50d46": _saoyan("S-50"),
    "dc25406eff05b9f4": _saoyan("B"),
    "d1f48a581f42bd93": _kair(15),
    "0451a70de9b672ae": _kair(25),
    "83c11202a88e7b23": _kair(50),
    "985dadfb91c0259f": _Known(
        "r2r-sidd",
        "R2R for camera noise (SIDD) of its authors",
        "noisy raw pictures of SIDD, recorrupted with alpha 2 and developed to sRGB",
        _NONE_GIVEN,
        _CAMERA,
        "For photographs of phone cameras in strong noise; one pass, no recorruption.",
    ),
    "99659df5d3959ff5": _Known(
        "r2r-polyu-reproduction",
        "R2R for PolyU of a reproduction",
        "70 noisy photographs of PolyU",
        _NONE_GIVEN,
        _CAMERA,
        "Not of use: its training pairs had the same input and target, so it learned to change little, and on all 100 "
        "pictures of PolyU its result is worse than the noisy picture.",
    ),
    "42dc066b...26bc1f": _student("apr-rd-1.00m", "APR-RD, 1.00 M numbers,", "SIDD"),
    "f743c0ed...7da041": _student("apr-rd-1.02m", "APR-RD, 1.02 M numbers,", "SIDD"),
    "4f13ce92...e269b60": _student("tm-bsn-sidd", "TM-BSN for SIDD", "SIDD"),
    "6af46f62...fa0c4a33": _student("tm-bsn-dnd", "TM-BSN for DND", "DND"),
}
"""By the digits that are known of the file's SHA-256: its first, and after "..." its last."""


def read_any(path: Path, convention: Convention | None = None) -> Checkpoint:
    """Read one of our own files, or else a file of others; raises CheckpointError."""
    return load_checkpoint(path) if _is_ours(path) else read_foreign(path, convention)


def read_foreign(path: Path, convention: Convention | None = None) -> Checkpoint:
    """Read a .pth, .pt or .safetensors of others; nothing in it is ever executed.

    A file that is known by its SHA-256 needs no convention.

    Raises:
        ConventionNeeded: the tensors are recognised but do not say how to run them.
        ForeignError: unreadable, hostile or unknown.
        MethodError: the convention's method does not exist.
    """
    given = convention or Convention()
    weights = _read_weights(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    known = _known(sha256)
    settled = _settle(path, known, given)
    reading = _choose(path, _readings(path, weights), settled)
    _demand(path, reading, settled, given)
    arch, tensors = reading.finish(settled)
    method = method_of(settled.method or reading.method or "plain")
    # Of a network that another method brought along, `accepts` has answered.
    if reading.method is None and not method.fits(arch):
        raise _cannot_run(path, reading, method)
    checkpoint = Checkpoint(
        known.name if known else path.stem,
        method.id,
        arch,
        tensors,
        reading.params if method.id == reading.method else {},
        _card(path, known, reading, given, sha256),
        sha256,
    )
    checkpoint.build()
    return checkpoint


def import_checkpoint(path: Path, convention: Convention | None = None, name: str | None = None) -> Path:
    """Bring a file into the user's models, as safetensors with a card; gives the new file.

    Args:
        path: a file of others, or one of our own from elsewhere.
        convention: see `read_foreign`.
        name: for commands and the window; None for the known one or the file's, with a number where that is taken.
            The same file imported again takes the place of the first.

    Raises:
        ForeignError, ConventionNeeded, CheckpointError: as `read_any`, or the name cannot be used.
    """
    checkpoint = read_any(path, convention)
    is_ours = _is_ours(path)
    taken = {entry.name: entry for entry in list_checkpoints()}

    def free(name: str) -> bool:
        """Not taken, or taken by an earlier import of the same file."""
        entry = taken.get(name)
        if entry is None:
            return not (paths.models() / f"{name}{SUFFIX}").exists()
        # Saved again under its name one of our files has the same bytes; its source may be that of many, a teacher.
        known = hashlib.sha256(entry.path.read_bytes()).hexdigest() if is_ours else entry.card.source
        return not entry.bundled and known == checkpoint.sha256

    if name is None:
        name = free_name(checkpoint.name, free)
    elif not re.fullmatch(r"\w[\w.-]*", name):
        raise ForeignError(
            tr("A model's name is made of letters, digits, '.', '-' and '_', not {name!r}").format(name=name)
        )
    elif not free(name):
        raise ForeignError(tr("There is already a model {name!r}; choose another name").format(name=name))
    target = paths.models() / f"{name}{SUFFIX}"
    save_checkpoint(replace(checkpoint, name=name), target)
    return target


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, float32 on the CPU, each with its own memory; whole numbers as they are."""
    if not path.is_file():
        raise ForeignError(tr("There is no file {path}").format(path=path))
    size = path.stat().st_size
    if size == 0:
        raise ForeignError(tr("{name} is empty; copy or download it again").format(name=path.name))
    if size > _LARGEST:
        raise ForeignError(
            tr("{name} has {size:.1f} GB; checkpoints up to 2 GB are opened").format(name=path.name, size=size / 2**30)
        )
    try:
        with path.open("rb") as file:
            head = file.read(9)
        is_safe = head[8:] == b"{"
        read = _bare(_read_safetensors(path)) if is_safe else _unwrap(_read_pickle(path, size, head))
        return _own(path, read)
    except ForeignError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle or archive raises whatever its bytes lead to
        _refuse(path, error)


def _refuse(path: Path, error: Exception) -> NoReturn:
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        raise ForeignError(
            tr(
                "{name} holds a Python object ({what}) beside its weights and was not opened, as such "
                "a file can run code; save its state dict alone"
            ).format(name=path.name, what=_shorten(found[1]))
        ) from None
    if isinstance(error, OSError):
        raise ForeignError(
            tr("{name} cannot be read ({reason})").format(name=path.name, reason=error.strerror or error)
        ) from None
    raise ForeignError(
        tr("{name} is not a readable checkpoint; it is damaged or of another kind").format(name=path.name)
    ) from None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safetensors.safe_open(path, "pt") as file:
        names = list(file.keys())
        _check_count(path, len(names))
        return {name: file.get_tensor(name) for name in names}


def _read_pickle(path: Path, size: int, head: bytes) -> Any:
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        # torch never compresses, so whatever would grow when unpacked was made by someone else.
        if sum(entry.file_size for entry in entries) > size:
            raise ForeignError(
                tr("{name} is a compressed archive, which no checkpoint is; unpack it first").format(name=path.name)
            )
        if any(entry.filename.endswith("constants.pkl") for entry in entries):
            raise ForeignError(
                tr("{name} is a TorchScript program, not weights; save its state dict").format(name=path.name)
            )
    # A Namespace, what the command line of the training said, only holds values, and those are still restricted.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251


def _unwrap(read: Any) -> dict[str, Tensor]:
    """The tensors in what training programs save around them.

    Where there are several state dicts beside each other, a tensor's name begins with that of its own.
    """
    for _ in _WRAPPERS:
        if not isinstance(read, Mapping):
            break
        inner = next((read[key] for key in _WRAPPERS if isinstance(read.get(key), Mapping)), None)
        if inner is None:
            break
        read = inner
    if alone := _tensors(read):
        return _bare(alone)
    parts = read.items() if isinstance(read, Mapping) else ()
    return {
        f"{name}.{key}": tensor
        for name, part in parts
        if isinstance(name, str)
        for key, tensor in _bare(_tensors(part)).items()
    }


def _tensors(read: Any) -> dict[str, Tensor]:
    """The named tensors of a dict; none where it is anything else."""
    if not isinstance(read, Mapping):
        return {}
    return {key: value for key, value in read.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _bare(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without the prefixes that wrappers put before every name."""
    while found := [prefix for prefix in _PREFIXES if weights and all(name.startswith(prefix) for name in weights)]:
        weights = {name.removeprefix(found[0]): tensor for name, tensor in weights.items()}
    return weights


def _check_count(path: Path, count: int) -> None:
    if count > _MOST_TENSORS:
        raise ForeignError(
            tr("{name} holds {count} tensors; checkpoints of up to {most} are opened").format(
                name=path.name, count=count, most=_MOST_TENSORS
            )
        )


def _own(path: Path, read: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not read:
        raise ForeignError(
            tr("{name} holds no weights; save the state dict of a network and bring that in").format(name=path.name)
        )
    _check_count(path, len(read))
    # Counted before anything is copied: a tensor can claim any size over a few bytes of storage.
    if sum(4 * tensor.numel() for tensor in read.values()) > _LARGEST:
        raise ForeignError(tr("{name} holds more than 2 GB of weights").format(name=path.name))
    weights = {}
    for name, tensor in read.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ForeignError(
                tr("{name} holds sparse, quantized or absent weights, first {what!r}").format(
                    name=path.name, what=_shorten(name)
                )
            )
        kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
        weights[name] = tensor.detach().to(kind, copy=True).contiguous()
        if not torch.isfinite(weights[name]).all():
            raise ForeignError(
                tr("{name} holds weights that are not finite, first {what!r}").format(
                    name=path.name, what=_shorten(name)
                )
            )
    return weights


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _is_ours(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, "pt") as file:
            return "pellucid" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


@dataclass(frozen=True, eq=False)
class _Reading:
    """One way to read the tensors of a file.

    Attributes:
        source: whose layout it is, for people.
        asks: what must be known to run it: fields of `Convention`.
        finish: gives the network and its weights once it is.
        moot: fields that may be given without any effect.
        method: that it was trained for; None where the layout does not say.
        params: values that suit it better than the method's defaults.
        note: what else a reader of its card must know.
    """

    source: str
    asks: tuple[str, ...]
    finish: Callable[[Convention], tuple[Mapping[str, Any], Mapping[str, Tensor]]]
    moot: tuple[str, ...] = ()
    method: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def _readings(path: Path, weights: Mapping[str, Tensor]) -> list[_Reading]:
    """Every way to read these tensors, at least one; ForeignError where there is none."""
    layers = _layers(weights)
    found = [] if layers is None else [_as_dncnn(path, layers)]
    for names in _shorter(weights):
        for method in methods().values():
            found += [_as_layout(layout, method.id) for layout in method.recognise(names)]
        if found:
            return found
    for names in _shorter(weights):
        try:
            layout = spandrel_networks.recognise(names)
        except spandrel_networks.SpandrelError as reason:
            raise ForeignError(f"{path.name} {reason}") from None
        if layout is not None:
            return [replace(_as_layout(layout, None), note=spandrel_networks.NOTE)]
    raise _unknown(path, weights)


def _shorter(weights: Mapping[str, Tensor]) -> Iterator[Mapping[str, Tensor]]:
    """The weights, then without the part that leads all names, such as a wrapper's attribute; four parts at most."""
    for _ in range(5):
        yield weights
        leads = {name.partition(".")[:2] for name in weights}
        if len(leads) > 1 or not all(dot for _, dot in leads):
            return
        weights = {name.partition(".")[2]: tensor for name, tensor in weights.items()}


def _as_layout(layout: Layout, method: str | None) -> _Reading:
    def finish(settled: Convention) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
        return (layout.settle(settled) if layout.settle else layout.arch), layout.weights

    return _Reading(layout.source, layout.asks, finish, method=method, params=layout.params)


def _unknown(path: Path, weights: Mapping[str, Tensor]) -> ForeignError:
    """Says what the file holds and what would have been taken."""
    shown = [f"{_shorten(name)!r} of {_shape(tensor)}" for name, tensor in list(weights.items())[:3]]
    numbers = sum(tensor.numel() for tensor in weights.values())
    taken = ["DnCNN"]
    taken += [method.label for method in methods().values() if type(method).recognise is not Method.recognise]
    taken.append(
        tr("what spandrel knows") if spandrel_networks.is_installed() else tr("more with the package spandrel")
    )
    return ForeignError(
        tr(
            "No method recognises {name}, which holds {count} tensors of {numbers} numbers, first "
            "{shown}; accepted are the networks of {networks}, and {last}"
        ).format(
            name=path.name,
            count=len(weights),
            numbers=numbers,
            shown=", ".join(shown),
            networks=", ".join(taken[:-1]),
            last=taken[-1],
        )
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "1"


def _cannot_run(path: Path, reading: _Reading, method: Method) -> ForeignError:
    return ForeignError(
        tr("{name} is read as {source}, which method {method} cannot run").format(
            name=path.name, source=reading.source, method=method.id
        )
    )


def _choose(path: Path, readings: list[_Reading], settled: Convention) -> _Reading:
    """The reading that suits the method and the source that were given; ConventionNeeded where several do."""
    if settled.method is not None:
        method = method_of(settled.method)
        suited = [reading for reading in readings if reading.method is None or method.accepts(reading.method)]
        if not suited:
            raise _cannot_run(path, readings[0], method)
        readings = suited
    sources = tuple(reading.source for reading in readings)
    if settled.source is not None:
        readings = [reading for reading in readings if reading.source.casefold() == settled.source.casefold()]
        if not readings:
            raise ForeignError(
                tr("{name} can be read as {sources}, not as {given!r}").format(
                    name=path.name, sources=tr(" or as ").join(sources), given=settled.source
                )
            )
    if len(readings) > 1:
        whose = replace(QUESTIONS["source"], answers=tuple((source, source) for source in sources), free="")
        raise ConventionNeeded(
            tr("{name} can be read as {sources}; import it with {usage}").format(
                name=path.name, sources=tr(" or as ").join(sources), usage=whose.usage
            ),
            (whose,),
            settled.given,
        )
    return readings[0]


@dataclass(frozen=True, eq=False)
class _Layer:
    """A convolution and the batch norm after it, if there is one."""

    weight: Tensor
    bias: Tensor | None
    norm: Mapping[str, Tensor] | None = None


_NAME = re.compile(r"((?:\w+\.)*(?:dncnn|model))\.(\d{1,5})\.(\w+)", re.ASCII)
_NORM = {"weight", "bias", "running_mean", "running_var"}


def _layers(weights: Mapping[str, Tensor]) -> list[_Layer] | None:
    """The layers of a DnCNN, or None where the tensors are anything else.

    The public layouts are one sequence called `dncnn` or `model`, below any prefix: convolution, batch norm or none,
    ReLU, and so on. A ReLU has no tensors but a place in the count, so the numbers must leave exactly that gap.
    """
    modules: dict[int, dict[str, Tensor]] = {}
    stems = set()
    for name, tensor in weights.items():
        found = _NAME.fullmatch(name)
        if not found:
            return None
        stems.add(found[1])
        if found[3] != "num_batches_tracked":
            modules.setdefault(int(found[2]), {})[found[3]] = tensor
    if len(stems) != 1 or any(not t.is_floating_point() for parts in modules.values() for t in parts.values()):
        return None
    layers: list[_Layer] = []
    following = 0
    for index, parts in sorted(modules.items()):
        if index == following and {"weight"} <= parts.keys() <= {"weight", "bias"}:
            layers.append(_Layer(parts["weight"], parts.get("bias")))
        elif index == following - 1 and parts.keys() == _NORM and not layers[-1].norm:
            layers[-1] = replace(layers[-1], norm=parts)
        else:
            return None
        following = index + 2
    return layers if _fit(layers) else None


def _fit(layers: list[_Layer]) -> bool:
    """Whether the shapes are those of a DnCNN: 3x3, one width between the first convolution and the last."""
    if len(layers) < 3 or any(layer.weight.shape[2:] != (3, 3) for layer in layers):
        return False
    width = layers[0].weight.shape[0]
    if (
        width == 0
        or layers[-1].weight.shape[1] != width
        or any(layer.weight.shape[:2] != (width, width) for layer in layers[1:-1])
    ):
        return False
    vectors = [
        (vector, layer)
        for layer in layers
        for vector in (layer.bias, *(layer.norm or {}).values())
        if vector is not None
    ]
    return all(vector.shape == layer.weight.shape[:1] for vector, layer in vectors)


def _as_dncnn(path: Path, layers: list[_Layer]) -> _Reading:
    """How to run these layers by `networks.DnCNN`; ForeignError where it cannot."""
    channels, gives = layers[0].weight.shape[1], layers[-1].weight.shape[0]
    if channels != gives or channels not in (1, 3):
        raise ForeignError(
            tr("{name} takes {channels} and gives {gives} channels; needed are 1 and 1, or 3 and 3").format(
                name=path.name, channels=channels, gives=gives
            )
        )
    asks = ["output"]
    if channels == 3:
        asks.append("channels_order")
    if any(layer.norm for layer in layers):
        asks.append("bn_eps")

    def finish(settled: Convention) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
        eps = settled.bn_eps or 0.0
        bad = [layer for layer in layers if layer.norm and not bool((layer.norm["running_var"] + eps > 0).all())]
        if bad:
            raise ForeignError(
                tr("{name} has batch norms whose variance is not above zero; it cannot be run").format(name=path.name)
            )
        arch: dict[str, Any] = {
            "network": "dncnn",
            "channels": channels,
            "depth": len(layers),
            "width": layers[0].weight.shape[0],
            "output": settled.output,
            "bgr": channels == 3 and settled.channels_order == "bgr",
        }
        if _is_public(layers):
            return arch | {"first_bias": layers[0].bias is not None, "eps": eps}, _weights(layers)
        return arch | {"bias": True}, _weights([_fold(layer, eps) for layer in layers])

    return _Reading("DnCNN", tuple(asks), finish, moot=("channels_order", "bn_eps"))


def _known(sha256: str) -> _Known | None:
    for digits, known in _KNOWN.items():
        first, _, last = digits.partition("...")
        if sha256.startswith(first) and sha256.endswith(last):
            return known
    return None


def _settle(path: Path, known: _Known | None, given: Convention) -> Convention:
    """What is known of a file before what the user says; ForeignError where the two differ."""
    if known is None:
        return given
    facts = known.convention.given
    for name, fact in facts.items():
        option, wish = _option(name), getattr(given, name)
        if wish not in (None, fact):
            raise ForeignError(
                tr("{name} is {title}, which needs {option} {fact}; leave {option} out").format(
                    name=path.name, title=known.title, option=option, fact=fact
                )
            )
    return replace(given, **facts)


def _demand(path: Path, reading: _Reading, settled: Convention, given: Convention) -> None:
    """Stop where something is open that the tensors cannot say, or something is said that would have no effect."""
    questions = tuple(QUESTIONS[name] for name in reading.asks if getattr(settled, name) is None)
    if questions:
        usage = " ".join(question.usage for question in questions)
        message = tr("{name} does not say how it is to be run; import it with {usage}").format(
            name=path.name, usage=usage
        )
        raise ConventionNeeded(message, questions, settled.given)
    without = [name for name in given.given if name not in ("method", "source", *reading.asks, *reading.moot)]
    if without:
        option = _option(without[0])
        raise ForeignError(
            tr("{name} is read as {source}, where {option} has no effect; leave {option} out").format(
                name=path.name, source=reading.source, option=option
            )
        )


def _is_public(layers: list[_Layer]) -> bool:
    """Whether batch norms and biases are where `networks.DnCNN` has them without folding."""
    first, *middle, last = layers
    return (
        first.norm is None
        and last.norm is None
        and last.bias is None
        and all(layer.norm and layer.bias is None for layer in middle)
    )


def _fold(layer: _Layer, eps: float) -> _Layer:
    """One convolution with a bias that does what the layer does; computed in double precision."""
    weight = layer.weight.double()
    bias = torch.zeros_like(weight[:, 0, 0, 0]) if layer.bias is None else layer.bias.double()
    if layer.norm:
        norm = {name: vector.double() for name, vector in layer.norm.items()}
        scale = norm["weight"] / (norm["running_var"] + eps).sqrt()
        weight = weight * scale[:, None, None, None]
        bias = norm["bias"] + (bias - norm["running_mean"]) * scale
    return _Layer(weight.float(), bias.float())


def _weights(layers: list[_Layer]) -> dict[str, Tensor]:
    """The state dict of `networks.DnCNN`."""
    weights: dict[str, Tensor] = {}
    index = 0
    for layer in layers:
        weights[f"dncnn.{index}.weight"] = layer.weight
        if layer.bias is not None:
            weights[f"dncnn.{index}.bias"] = layer.bias
        if layer.norm:
            index += 1
            weights |= {f"dncnn.{index}.{name}": vector for name, vector in layer.norm.items()}
            weights[f"dncnn.{index}.num_batches_tracked"] = torch.tensor(0)
        index += 2
    return weights


def _card(path: Path, known: _Known | None, reading: _Reading, given: Convention, sha256: str) -> Card:
    if known:
        return Card(
            title=known.title,
            description=f"{known.description} Imported from {path.name}.".strip(),
            licence=known.licence,
            trained_on=known.trained_on,
            source=sha256,
        )
    said = " ".join(f"{_option(name)} {value}" for name, value in given.given.items())
    return Card(
        title=f"{reading.source[:1].upper()}{reading.source[1:]}, imported from {path.name}",
        description=f"Run as {f'its user said: {said}' if said else 'its tensors say'}. {reading.note}".strip(),
        licence="unknown",
        trained_on="unknown",
        source=sha256,
    )
