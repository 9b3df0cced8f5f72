"""Everything that defines a training run; `job.json` in the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.files import write_text


class TrainError(ValueError):
    """A training cannot start or go on; the message is meant for the user."""


NETWORKS: Mapping[str, Mapping[str, Any]] = {
    # Sized so that an hour on two CPU cores gets somewhere; `unet-large` is for a GPU.
    "unet": {"network": "unet", "width": 32, "blocks": 2, "levels": 3},
    "unet-large": {"network": "unet", "width": 64, "blocks": 2, "levels": 3},
    "unet-tiny": {"network": "unet", "width": 8, "blocks": 1, "levels": 2},
    "dncnn17": {"network": "dncnn", "depth": 17, "output": "residual"},
    "dncnn20": {"network": "dncnn", "depth": 20, "output": "residual"},
}
"""Networks by the name that `--network` takes."""


@dataclass(frozen=True)
class TrainJob:
    """A run, complete: the same job on the same device gives the same network.

    Attributes:
        data: folder of noisy pictures, or of clean ones where `noise` is given.
        noise: synthetic noise put on the pictures before anything else sees them, for example "gaussian:0-75".
        fresh: draw that noise anew for each patch; otherwise each picture has one realisation for ever.
        validate: folder of clean pictures whose PSNR is reported; never used to choose anything.
        validate_noise: what is put on them.
        grey: train on luminance.
        start: checkpoint to begin from, None for random weights.
        minutes, steps: the budget, one of them; the learning rate falls to zero over it.
        batch, patch: patches a step and their side in pixels.
    """

    data: str
    method: str = "r2r"
    network: str = "unet"
    noise: str | None = None
    fresh: bool = False
    validate: str | None = None
    validate_noise: str = "gaussian:25"
    grey: bool = False
    start: str | None = None
    minutes: float | None = None
    steps: int | None = None
    batch: int = 32
    patch: int = 64
    learning_rate: float = 1e-3
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    name: str = "trained"

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise TrainError("Give a budget: either --minutes or --steps")
        if (self.minutes or 1) <= 0 or (self.steps or 1) <= 0:
            raise TrainError("The budget must be more than zero")
        if self.network not in NETWORKS:
            raise TrainError(f"There is no network {self.network!r}; choose from {', '.join(NETWORKS)}")
        if self.patch < 16 or self.patch % 8 or self.batch < 1:
            raise TrainError("Patches need a side of at least 16, a multiple of 8, and a batch at least one of them")


def write_job(job: TrainJob, run: Path) -> None:
    """Write `job.json` in the run folder."""
    write_text(run / "job.json", json.dumps(asdict(job), indent=2))


def read_job(run: Path) -> TrainJob:
    """The job of a run folder; TrainError if it is not one."""
    try:
        return TrainJob(**json.loads((run / "job.json").read_text()))
    except FileNotFoundError:
        raise TrainError(f"{run} is not a training run: it has no job.json") from None
    except (json.JSONDecodeError, TypeError) as error:
        raise TrainError(f"{run / 'job.json'} cannot be read ({error})") from None
