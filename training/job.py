"""Everything that defines a training run; `job.json` in the run folder."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from engine.files import write_text
from engine.language import tr


class TrainError(ValueError):
    """A training cannot start or go on; the message is meant for the user."""


NETWORKS: Mapping[str, Mapping[str, Any]] = {
    # Sized so that an hour on two CPU cores gets somewhere; `unet-large` is for a GPU.
    "unet": {"network": "unet", "width": 32, "blocks": 2, "levels": 3},
    "unet-large": {"network": "unet", "width": 64, "blocks": 2, "levels": 3},
    "unet-tiny": {"network": "unet", "width": 8, "blocks": 1, "levels": 2},
    "dncnn17": {"network": "dncnn", "depth": 17, "output": "residual"},
    "dncnn20": {"network": "dncnn", "depth": 20, "output": "residual"},
    # Of the published reproduction of R2R; see `study networks`.
    "dncnn17-bias": {"network": "dncnn", "depth": 17, "first_bias": True, "eps": 1e-4, "output": "residual"},
    "plain5": {"network": "dncnn", "widths": [32, 64, 128, 32], "bias": True, "output": "residual"},
}
"""Networks that any method can train, by the name that `--network` takes; a method may bring others."""


MEMORY_MB = 4096
"""For decoded pictures, unless a job says otherwise."""


@dataclass(frozen=True)
class Preview:
    """A square of one picture that is shown before, as the start denoises it and as the network does by now.

    Attributes:
        name: of the picture below the job's folder.
        left, top, side: in pixels.
    """

    name: str
    left: int
    top: int
    side: int = 256


@dataclass(frozen=True)
class TrainJob:
    """A run, complete: the same job on the same device gives the same network.

    Attributes:
        data: folder of noisy pictures, or of clean ones where `noise` is given.
        recursive: whether the folders in it belong to it.
        noise: synthetic noise put on the pictures before anything else sees them, for example "gaussian:0-75".
        network: one of `NETWORKS` or of the method's own; None for the method's default.
        fresh: draw that noise anew for each patch; otherwise each picture has one realisation for ever.
        target: "clean" or "noisy" trains on pairs made from clean pictures and `noise` (supervised, Noise2Noise), for
            comparison only; None learns from the noisy pictures alone.
        clean: folder of other, clean pictures for stages that learn from them unpaired.
        teacher: checkpoint whose averaged result the network learns to give in one pass.
        teacher_params: values of the teacher's method, fixed in the student.
        domain: "picture"; or of camera mosaics "mosaic", their planes packed, or "developed", recorrupted before they
            are developed to sRGB (R2R's recipe for camera pictures).
        sides: (least, most) of both sides of a picture in pixels; others are left out. None takes all.
        validate: folder of clean pictures, or of noisy ones with their clean twins (`engine.pairs`), whose PSNR is
            reported; never used to choose anything.
        validate_noise: what is put on clean ones.
        grey: train on luminance.
        start: checkpoint to begin from, None for random weights.
        minutes, steps: the budget; the learning rate falls to zero over it. Minutes alone become steps when the run
            starts, by what a step takes on this device, and both stand in `job.json` from then on: the same job, seed
            and number of threads on one CPU give the same network.
        batch, patch: patches a step and their side in pixels.
        scales: each picture is taken at these sizes too (bicubic), and noise put on each of them; see `patches`.
        stride: pixels between the patches of a grid, taken as they are; None cuts, flips and turns at random.
        draws: "fresh" random numbers in the loss at every step, or "fixed": one draw for each patch for ever.
        hold_out: share of the pictures that is not trained on; on them the network is judged, see `training.judge`.
        held_out: names of these pictures below `data`, where somebody chose them; empty draws `hold_out` of all.
        leave_out: names of pictures below `data` that are not used at all.
        against: model that the result has to beat on the held-out pictures; None for `start`.
        judge_every: steps between two judgements; None settles it when the run starts, by what one takes.
        patience: the run ends early where the judgement has not become better for so many in a row; None never.
        replay: share of generated pictures with white noise in each step, against forgetting what `start` could do.
        preview: what is shown while it learns, see `Preview`; None for nothing.
        budget_mb: memory for decoded pictures; of a larger folder a changing part is in memory.
        processes: how many share the work, one for each GPU; None for all GPUs of this machine, one on a CPU.
        names_in_card: whether the model's card may name the folder that it learned from.
        schedule: of the learning rate: "cosine"; "milestones": a tenth from each of `milestones` on; "plateau":
            constant, and a third of it each time the judgement stops improving (`patience`); the third time ends the
            run.
        milestones: parts of the budget (of a stage), rising.
        report_every: steps between reports; None reports by the clock.
        params: values of the method's `Training`.
    """

    data: str
    method: str = "r2r"
    network: str | None = None
    recursive: bool = True
    noise: str | None = None
    fresh: bool = False
    validate: str | None = None
    validate_noise: str = "gaussian:25"
    grey: bool = False
    target: str | None = None
    clean: str | None = None
    teacher: str | None = None
    teacher_params: Mapping[str, Any] = field(default_factory=dict)
    domain: str = "picture"
    sides: tuple[int, int] | None = None
    start: str | None = None
    minutes: float | None = None
    steps: int | None = None
    batch: int = 32
    patch: int = 64
    learning_rate: float = 1e-3
    scales: tuple[float, ...] = (1.0,)
    stride: int | None = None
    draws: str = "fresh"
    hold_out: float = 0.0
    held_out: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    against: str | None = None
    judge_every: int | None = None
    patience: int | None = None
    replay: float = 0.0
    preview: Preview | None = None
    budget_mb: int = MEMORY_MB
    processes: int | None = None
    names_in_card: bool = False
    schedule: str = "cosine"
    milestones: tuple[float, ...] = (0.6,)
    report_every: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    name: str = "trained"

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise TrainError(tr("Give a budget: either --minutes or --steps"))
        if (self.minutes or 1) <= 0 or (self.steps or 1) <= 0:
            raise TrainError(tr("The budget must be more than zero"))
        if not 0 < self.learning_rate < math.inf:
            raise TrainError(
                tr("A learning rate is above zero, not {learning_rate:g}").format(learning_rate=self.learning_rate)
            )
        if self.domain not in ("picture", "mosaic", "developed"):
            raise TrainError(tr("A domain is picture, mosaic or developed, not {domain!r}").format(domain=self.domain))
        if self.domain != "picture" and (self.noise or self.target or self.grey):
            raise TrainError(tr("Mosaics carry their own noise and colours: leave out --noise, --target and --grey"))
        if self.domain == "developed" and self.method != "r2r":
            raise TrainError(
                tr("Only r2r recorrupts mosaics before they are developed; choose --domain mosaic or --method r2r")
            )
        ignored = {"fresh": self.fresh, "sides": self.sides, "stride": self.stride, "hold-out": self.hold_out}
        ignored |= {"held-out": self.held_out, "leave-out": self.leave_out, "against": self.against}
        ignored |= {"replay": self.replay, "preview": self.preview, "memory": self.budget_mb != MEMORY_MB}
        ignored |= {"validate": self.validate if self.domain == "mosaic" else None}
        if self.domain != "picture" and any(ignored.values()):
            raise TrainError(
                tr("--{option} has no effect on mosaics; leave it out").format(
                    option=next(name for name in ignored if ignored[name])
                )
            )
        if self.fresh and not self.noise:
            raise TrainError(tr("Only noise that is put on the pictures can be fresh: give it with --noise"))
        if self.clean and not self.teacher:
            raise TrainError(tr("Only a student learns from other, clean pictures, too: give --clean to distil"))
        if self.target not in (None, "clean", "noisy"):
            raise TrainError(tr("A target is clean or noisy, not {target!r}").format(target=self.target))
        if self.target and self.teacher:
            raise TrainError(tr("A student learns from its teacher alone; give either a target or a teacher"))
        if self.target and not self.noise:
            raise TrainError(tr("Pairs are made from clean pictures: give the noise to put on them with --noise"))
        if self.patch < 16 or self.patch % 8 or self.batch < 1:
            raise TrainError(
                tr("Patches need a side of at least 16, a multiple of 8, and a batch at least one of them")
            )
        if not self.scales or not all(0.1 <= scale <= 1 for scale in self.scales):
            raise TrainError(tr("Scales must be from 0.1 to 1"))
        if self.scales != (1.0,) and not self.noise:
            raise TrainError(tr("Rescaling would correlate the pictures' own noise: --scales needs --noise"))
        if any(number is not None and number < 1 for number in (self.stride, self.report_every)):
            raise TrainError(tr("A stride and the steps between reports must be at least 1"))
        if self.draws not in ("fresh", "fixed"):
            raise TrainError(tr("Draws are fresh or fixed, not {draws!r}").format(draws=self.draws))
        if self.draws == "fixed" and (self.stride is None or self.fresh or self.target == "noisy"):
            raise TrainError(tr("Fixed draws need patches that stay: give --stride, and noise that is put on once"))
        if not 0 <= self.hold_out < 1:
            raise TrainError(tr("The share to hold out must be from 0 to below 1"))
        if self.schedule not in ("cosine", "milestones", "plateau"):
            raise TrainError(
                tr("A schedule is cosine, milestones or plateau, not {schedule!r}").format(schedule=self.schedule)
            )
        if self.schedule == "plateau" and not self.patience:
            raise TrainError(tr("A plateau is found by judging: give --patience and pictures to hold out"))
        if self.patience and not (self.hold_out or self.held_out):
            raise TrainError(tr("Only on pictures that are held out can be judged when to end: give --hold-out"))
        counts = {"patience": self.patience, "judge-every": self.judge_every, "processes": self.processes}
        counts |= {"threads": self.threads}
        if wrong := [name for name, count in counts.items() if count is not None and count < 1]:
            raise TrainError(tr("--{option} must be at least 1").format(option=wrong[0]))
        if self.seed < 0:
            raise TrainError(tr("A seed is a whole number from 0"))
        if not 0 <= self.replay <= 0.9:
            raise TrainError(tr("The share to replay must be from 0 to 0.9"))
        if self.replay and self.batch == 1:
            raise TrainError(tr("In a batch of one patch is no room for generated ones: leave --replay out"))
        if self.budget_mb < 64:
            raise TrainError(tr("The memory for pictures must be at least 64 MB"))
        if not all(0 < part < 1 for part in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise TrainError(tr("Milestones must be rising parts of the budget, between 0 and 1"))


def write_job(job: TrainJob, run: Path) -> None:
    """Write `job.json` in the run folder."""
    write_text(run / "job.json", json.dumps(asdict(job), indent=2))


def read_job(run: Path) -> TrainJob:
    """The job of a run folder; TrainError if it is not one."""
    try:
        values = json.loads((run / "job.json").read_text(encoding="utf-8"))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        if values.get("preview"):
            values["preview"] = _checked(Preview, values["preview"])
        return _checked(TrainJob, values)
    except FileNotFoundError:
        raise TrainError(tr("{run} is not a training run: it has no job.json").format(run=run)) from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise TrainError(tr("{path} cannot be read ({error})").format(path=run / "job.json", error=error)) from None


def _checked(kind: type, values: Mapping[str, Any]) -> Any:
    """The dataclass of these values; TypeError for one of another type, which somebody typed."""
    for name, declared in get_type_hints(kind).items():
        if name in values and not _is_a(values[name], declared):
            raise TypeError(f"{name} cannot be {values[name]!r}")
    return kind(**values)


def _is_a(value: object, declared: Any) -> bool:
    """Whether a value of JSON, its lists tuples already, is of a declared type."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin is types.UnionType:
        return any(_is_a(value, one) for one in inner)
    if origin is tuple:
        wanted = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is ... else inner
        return isinstance(value, tuple) and len(value) == len(wanted) and all(map(_is_a, value, wanted))
    if declared in (int, float):
        is_number = isinstance(value, int | declared) and not isinstance(value, bool)
        return is_number and math.isfinite(value)  # pyright: ignore[reportArgumentType]
    return isinstance(value, origin or declared)
