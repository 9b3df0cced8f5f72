"""Checkpoints: weights in safetensors with everything needed to rebuild the network, and a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from engine import paths
from engine.files import replacing
from engine.method import build

SUFFIX = ".safetensors"
_KEY = "pellucid"
_FORMAT = 1


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
            raise CheckpointError(f"{self.name} does not fit its network: {reason}") from None
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
        safetensors.torch.save_file(weights, partial, {_KEY: json.dumps(about)})


def _about(path: Path) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}") from None
    except (OSError, safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path.name} is not a readable safetensors file ({error})") from None
    needed = {"format": int, "name": str, "method": str, "arch": dict}
    if not isinstance(about, dict) or any(not isinstance(about.get(key), kind) for key, kind in needed.items()):
        raise CheckpointError(f"{path.name} has no Pellucid card; bring it in with `import`")
    if about["format"] > _FORMAT:
        raise CheckpointError(f"{path.name} was made by a newer Pellucid; update to open it")
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
        raise CheckpointError(f"{path.name} cannot be read ({error})") from None
    weights = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    bad = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(f"{path.name} holds weights that are not finite, first {bad[0]!r}; train it again")
    return Checkpoint(
        about["name"],
        about["method"],
        about["arch"],
        weights,
        about.get("params", {}),
        _card(about),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def list_checkpoints() -> list[Entry]:
    """All checkpoints shipped or in the user's folder, bundled first; unreadable files are left out."""
    found = []
    for folder, bundled in ((paths.bundled_models(), True), (paths.models(), False)):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                about = _about(path)
            except CheckpointError:
                continue
            channels = int(about["arch"].get("channels", 3))
            found.append(Entry(path, about["name"], about["method"], channels, _card(about), bundled))
    return found


def find_checkpoint(name: str) -> Path:
    """The file behind a name or a path; CheckpointError lists the names."""
    entries = list_checkpoints()
    for entry in entries:
        if entry.name == name:
            return entry.path
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = ", ".join(entry.name for entry in entries) or "none"
    raise CheckpointError(f"There is no model {name!r}; installed: {known}; or give the path of a file")
