"""Checkpoints: weights in safetensors with everything needed to rebuild the network, and a card."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from engine import paths
from engine.files import replacing
from engine.language import tr
from engine.method import build

SUFFIX = ".safetensors"
_KEY = "pellucid"
_FORMAT = 1
_OF_A_RUN = f"checkpoint{SUFFIX}"
"""The model in the folder of a training, which stands for it."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message is meant for the user."""


@dataclass(frozen=True)
class Card:
    """What a reader must know before trusting a checkpoint.

    Attributes:
        title: one line.
        description: what it is for and what it is not for.
        licence: of the weights.
        trained_on: the data and its noise, in words; what the network never saw matters as much.
        command: repeats the training.
        steps, minutes, device, date, versions: how it was made.
        results: measured numbers by name, for example {"BSD68 sigma 25, T=4": 29.0}.
        source: SHA-256 of a converted file, "" for own training.
        start, start_sha256: name of the model that it was tuned from, and its file's SHA-256; "" for random weights.
    """

    title: str = ""
    description: str = ""
    licence: str = ""
    trained_on: str = ""
    command: str = ""
    steps: int = 0
    minutes: float = 0.0
    device: str = ""
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    start: str = ""
    start_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file of weights, read.

    Attributes:
        name: how commands and the window call it.
        method: id of the method it was trained for.
        arch: {"network": id, **arguments}.
        weights: state dict, CPU, float32.
        params: values that suit it better than the method's defaults.
        card: see `Card`.
        sha256: of the file; "" before it is saved.
    """

    name: str
    method: str
    arch: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    params: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default_factory=Card)
    sha256: str = ""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB, 4 for the colour planes of a mosaic."""
        return int(self.arch.get("channels", 3))

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode; CheckpointError if they do not fit."""
        try:
            network = build(self.arch)
            network.load_state_dict(dict(self.weights))
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(
                tr("{name} does not fit its network: {reason}").format(name=self.name, reason=reason)
            ) from None
        return network.eval()


@dataclass(frozen=True)
class Entry:
    """A checkpoint on disk, its weights not read."""

    path: Path
    name: str
    method: str
    channels: int
    card: Card
    bundled: bool


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `path` whole or not at all."""
    about = {
        "format": _FORMAT,
        "name": checkpoint.name,
        "method": checkpoint.method,
        "arch": dict(checkpoint.arch),
        "params": dict(checkpoint.params),
        "card": asdict(checkpoint.card),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    with replacing(path) as partial:
        # Through memory: on a full disk the library's own error is none of the system's.
        partial.write_bytes(safetensors.torch.save(weights, {_KEY: json.dumps(about)}))


def _about(path: Path) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
    except FileNotFoundError:
        raise CheckpointError(tr("There is no checkpoint {path}").format(path=path)) from None
    except (OSError, safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(
            tr("{name} is not a readable safetensors file ({error})").format(name=path.name, error=error)
        ) from None
    needed = {"format": int, "name": str, "method": str, "arch": dict}
    if not isinstance(about, dict) or any(not isinstance(about.get(key), kind) for key, kind in needed.items()):
        raise CheckpointError(tr("{name} has no Pellucid card; bring it in with `import`").format(name=path.name))
    if about["format"] > _FORMAT:
        raise CheckpointError(tr("{name} was made by a newer Pellucid; update to open it").format(name=path.name))
    return about


def _card(about: Mapping[str, Any]) -> Card:
    values = about.get("card", {})
    return Card(**{key: values[key] for key in Card.__dataclass_fields__ if key in values})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one of our own files; CheckpointError for anything else. Never executes anything."""
    about = _about(path)
    try:
        weights = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(tr("{name} cannot be read ({error})").format(name=path.name, error=error)) from None
    weights = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    bad = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(
            tr("{name} holds weights that are not finite, first {weight!r}; train it again").format(
                name=path.name, weight=bad[0]
            )
        )
    return Checkpoint(
        about["name"],
        about["method"],
        about["arch"],
        weights,
        about.get("params", {}),
        _card(about),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def export_checkpoint(path: Path, target: Path, *, name: str | None = None, overwrite: bool = False) -> Path:
    """Write a model with its card as one file and read that back; gives the new file.

    Args:
        path: one of our own files.
        target: ends with .safetensors, or else is a folder: then the file has the model's name.
        name: what the model is called from then on; None keeps its name.
        overwrite: replace a file that exists.

    Raises:
        CheckpointError: it cannot be read, or there is such a file already, or what was written is not what was read.
        OSError: it cannot be written.
    """
    read = load_checkpoint(path)
    read.build()
    checkpoint = replace(read, name=name or read.name)
    if target.is_dir() or target.suffix.lower() != SUFFIX:
        if target.is_file():
            raise CheckpointError(
                tr("{target} is a file; give a folder, or a name that ends with {suffix}").format(
                    target=target, suffix=SUFFIX
                )
            )
        target /= f"{free_name(checkpoint.name)}{SUFFIX}"
    if target.exists() and not overwrite:
        raise CheckpointError(tr("{target} exists already; give another name or --overwrite").format(target=target))
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        save_checkpoint(checkpoint, partial)
        if not _is_same(load_checkpoint(partial), checkpoint):
            raise CheckpointError(
                tr("{target} could not be written as it should be; check the disk and try again").format(target=target)
            )
    return target


def _is_same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether all but the files' hashes is equal, the weights bit by bit."""
    if replace(one, weights={}, sha256="").__dict__ != replace(other, weights={}, sha256="").__dict__:
        return False
    if one.weights.keys() != other.weights.keys():
        return False
    return all(torch.equal(tensor, other.weights[key]) for key, tensor in one.weights.items())


def free_name(wanted: str, is_free: Callable[[str], bool] = lambda name: True) -> str:
    """A name as a model may have it, with a number where it is not free."""
    stem = re.sub(r"[^\w.-]+", "-", wanted).strip(".-") or "model"
    name, number = stem, 1
    while not is_free(name):
        number += 1
        name = f"{stem}-{number}"
    return name


def read_entry(path: Path, bundled: bool = False) -> Entry:
    """What one of our own files says of itself, its weights not read; CheckpointError for anything else."""
    about = _about(path)
    return Entry(path, about["name"], about["method"], int(about["arch"].get("channels", 3)), _card(about), bundled)


def list_checkpoints() -> list[Entry]:
    """All checkpoints shipped or in the user's folder, bundled first; unreadable files are left out."""
    found = []
    for folder, bundled in ((paths.bundled_models(), True), (paths.models(), False)):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(CheckpointError):
                found.append(read_entry(path, bundled))
    return found


def find_checkpoint(name: str) -> Path:
    """The file behind a name, a path or the folder of a training; CheckpointError lists the names."""
    entries = list_checkpoints()
    for entry in entries:
        if entry.name == name:
            return entry.path
    path = Path(name).expanduser()
    for file in (path, path / _OF_A_RUN):
        if file.is_file():
            return file
    known = ", ".join(entry.name for entry in entries) or "none"
    raise CheckpointError(
        tr("There is no model {name!r}; installed: {known}; or give the path of a file").format(name=name, known=known)
    )
