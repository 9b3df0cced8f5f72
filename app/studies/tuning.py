"""The study of "Train on my folder": what tuning gives on pictures it has not seen, and whether the judge can tell."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.studies.report import Choices, Report, StudyError, score
from engine import params
from engine.blend import Blend
from engine.denoise import Denoising, default_checkpoint, load_model
from engine.image import Image, load_image
from engine.noise import NoiseReport, measure_noise
from engine.pairs import find_reference
from engine.proposal import settled_sigma
from training.folder import Found, hold_out, look

TEST_SHARE = 0.3
RATE, PATCH, BATCH = 1e-4, 64, 16
NLM = (3, 6, 10, 15, 20, 25, 30)
"""Strengths of OpenCV's non-local means; the best for the set is taken, which no user would know."""

WAYS: Mapping[str, Mapping[str, Any]] = {
    "R2R, white": {"method": "r2r", "replay": 0.25},
    "R2R, correlated": {"method": "r2r", "params": {"noise_model": "correlated"}},
    "Neighbor2Neighbor": {"method": "n2n"},
    "Noise2Void": {"method": "n2v"},
    "DBSN, from scratch": {"method": "dbsn", "start": None, "learning_rate": 1e-3},
    "APR-RD, from scratch": {"method": "apr-rd", "start": None, "learning_rate": 1e-3, "patch": 96},
}
"""Each from the model that leads, unless it has networks of its own."""


@dataclass(frozen=True)
class Pair:
    """A held-out picture.

    Attributes:
        name: of its file.
        noisy: as it is.
        clean: (H, W, C).
        report: of its noise.
    """

    name: str
    noisy: Image
    clean: np.ndarray
    report: NoiseReport


@dataclass(frozen=True)
class Course:
    """What was said of a run at each judgement: true and estimated gain over the start in dB."""

    true: Sequence[float]
    estimated: Sequence[float | None]

    @property
    def correlation(self) -> float | None:
        """Of both; None where there are too few."""
        known = [(t, e) for t, e in zip(self.true, self.estimated, strict=True) if e is not None]
        if len(known) < 3 or np.ptp([t for t, _ in known]) == 0:
            return None
        return float(np.corrcoef(np.transpose(known))[0, 1])

    @property
    def regret_db(self) -> float:
        """What is lost by taking the checkpoint with the best estimate, the start among them, in place of the best."""
        known = [(e, t) for t, e in zip(self.true, self.estimated, strict=True) if e is not None]
        known.append((0.0, 0.0))
        return max(t for _, t in known) - max(known)[1]


def tuning(choices: Choices) -> None:
    """Tuning on real pairs, split by scene: dB before and after for every method, and whether the judge can tell."""
    if len(choices.data) != 1:
        raise StudyError("The study tuning takes one folder of pairs, noisy and clean, in --data")
    folder = choices.data[0]
    found = [item for item in _last(look(folder)) if not item.problem and find_reference(folder / item.name)]
    held_out = hold_out(found, TEST_SHARE, choices.seed)
    if not held_out:
        raise StudyError(f"The study tuning needs pairs such as X_real and X_mean of two scenes at least in {folder}")
    pairs = [_pair(folder / name) for name in held_out]
    twins = choices.out / "held out"
    twins.mkdir(parents=True, exist_ok=True)
    for name in held_out:
        for path in (folder / name, find_reference(folder / name)):
            assert path is not None
            shutil.copyfile(path, twins / path.name)
    start = choices.model or default_checkpoint(3).name
    report = Report("tuning", "Tuning on a folder", choices, f"model {start}", f"{choices.budget} each")
    learned = len(found) - len(held_out)
    report.text(
        f"{learned} noisy pictures to learn from, {len(held_out)} others of other scenes to judge on; no clean pixel "
        "is learned from. Mean PSNR in dB of the whole held-out pictures, each with the noise that is measured in it; "
        "the judge's gain is what it estimates from the noisy held-out pictures alone, with its 95 % band. The "
        "correlation is that of estimated and true gains (in the middle 256x256 of twelve) over the judgements of the "
        "run, the regret what is lost by choosing among them and the start by the estimate."
    )
    for pair in pairs:
        report.scores.append(score(pair.name, pair.noisy.pixels, pair.clean, what="noisy"))
    for strength in NLM:
        for pair in pairs:
            made = _non_local_means(pair.noisy.pixels, strength)
            report.scores.append(score(pair.name, made, pair.clean, what=f"NLM {strength}"))
    best = max(NLM, key=lambda strength: report.scores.db(what=f"NLM {strength}"))
    _measure(report, pairs, start, "start", choices)
    rows: list[list[str | None]] = [
        ["noisy", f"{report.scores.db(what='noisy'):.2f}", *[""] * 6],
        [f"OpenCV's NLM, best strength ({best})", f"{report.scores.db(what=f'NLM {best}'):.2f}", *[""] * 6],
        [f"{start} as it is", f"{report.scores.db(what='start'):.2f}", *[""] * 6],
    ]
    courses = []
    for way, details in WAYS.items() if choices.steps != 0 else ():
        run = choices.out / "runs" / way.replace(", ", "-").replace(" ", "-").lower()
        settings = {"start": start, "learning_rate": RATE, "patch": PATCH, **details}
        course, about = _train(choices, run, folder, found, held_out, twins, settings, start)
        courses.append(course)
        _measure(report, pairs, str(run / "checkpoint.safetensors"), way, choices)
        rows.append([way, f"{report.scores.db(what=way):.2f}", *about, *_ranked(course)])
        choices.say(" | ".join(str(cell) for cell in rows[-1]))
        everything = Course([t for c in courses for t in c.true], [e for c in courses for e in c.estimated])
        _write(report, rows, everything, choices)
    if not courses:
        _write(report, rows, Course((), ()), choices)


def _last(found: Iterator[Found]) -> list[Found]:
    """What is known in the end of each picture."""
    return list({item.name: item for item in found}.values())


def _pair(path: Path) -> Pair:
    noisy, twin = load_image(path), find_reference(path)
    assert twin is not None
    return Pair(path.name, noisy, load_image(twin).pixels, measure_noise(noisy))


def _non_local_means(pixels: np.ndarray, strength: float) -> np.ndarray:
    samples = np.rint(pixels[..., ::-1].clip(0, 1) * 255).astype(np.uint8)
    made = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(samples), None, strength, strength, 7, 21)
    return made[..., ::-1].astype(np.float32) / 255


def _measure(report: Report, pairs: Sequence[Pair], file: str, what: str, choices: Choices) -> None:
    """Denoise the held-out pictures as a user would, and add the scores."""
    model = load_model(file, channels=3, device=choices.device)
    specs = params.specs(model.method.Params)
    values = model.method.quiet({}, model.checkpoint.params)
    for pair in pairs:
        sigma = settled_sigma(pair.report, specs, getattr(values, "sigma", None)) or 0.0
        work = Denoising(model, pair.noisy, values, sigma=sigma, seed=choices.seed, report=pair.report, keep=False)
        passes = model.method.count(values)
        for _ in work.run(passes):
            pass
        report.scores.append(score(pair.name, work.finish(passes, Blend()), pair.clean, what=what))


def _train(
    choices: Choices,
    run: Path,
    folder: Path,
    found: Sequence[Found],
    held_out: Sequence[str],
    twins: Path,
    settings: Mapping[str, Any],
    start: str,
) -> tuple[Course, list[str]]:
    """Train, or go on where that was stopped; the course, and judge's gain, verdict and budget for the table."""
    from training.events import Ended, Judged, Started, Step, Validated, Verdict
    from training.job import TrainJob
    from training.launch import follow
    from training.run import Run, begin

    job = TrainJob(
        data=str(folder),
        steps=None if choices.minutes else choices.steps or 200,
        minutes=choices.minutes,
        batch=choices.batch or BATCH,
        held_out=tuple(held_out),
        validate=str(twins),
        against=start,
        seed=choices.seed,
        device=choices.device,
        threads=choices.threads,
        name=run.name,
        **settings,
    )
    if not Run(run).can_resume:
        begin(job, run)
    events = Run(run).events()
    base = _validated(start, job)
    if not any(isinstance(event, Ended) and event.reason == "finished" for event in events):
        for event in follow(run):
            if isinstance(event, Judged | Validated | Verdict | Ended):
                choices.say(f"{run.name}: {event}")
        events = Run(run).events()
    ended = events[-1]
    if isinstance(ended, Ended) and ended.reason == "failed":
        raise StudyError(f"{run.name}: {ended.message}")
    judged = {event.step: event for event in events if isinstance(event, Judged)}
    true = {event.step: event.psnr_db for event in events if isinstance(event, Validated)}
    steps = [step for step in judged if step in true]
    course = Course([true[step] - base for step in steps], [judged[step].gain_db for step in steps])
    verdict = next(event for event in reversed(events) if isinstance(event, Verdict))
    started = next(event for event in reversed(events) if isinstance(event, Started))
    gain = "–" if verdict.gain_db is None else f"{verdict.gain_db:+.2f} ± {verdict.gain_band_db:.2f}"
    speed = [event.patches_per_s for event in events if isinstance(event, Step)]
    minutes = ended.step * job.batch / np.mean(speed) / 60 if speed else 0.0
    about = f"{ended.step} steps, {minutes:.0f} min, {started.device}"
    return course, [gain, "tuned" if verdict.is_better else "start", about]


def _validated(start: str, job: Any) -> float:
    """True PSNR of the start, on what every judgement of a run is validated on."""
    from training.setup import Setup

    alone = replace(job, start=start, network=None, method=load_model(start, channels=3).method.id, params={})
    setup = Setup(replace(alone, held_out=(), against=None, replay=0.0, steps=1))
    try:
        return setup.validate()
    finally:
        if setup.pool is not None:
            setup.pool.close()


def _ranked(course: Course) -> list[str]:
    best = f"{max(course.true):+.2f}" if course.true else ""
    correlation = "–" if course.correlation is None else f"{course.correlation:.2f}"
    return [best, correlation, f"{course.regret_db:.2f}"]


def _write(report: Report, rows: Sequence[Sequence[str | None]], everything: Course, choices: Choices) -> None:
    """Anew after each method: a study that is stopped leaves a report of what it reached."""
    page = copy.deepcopy(report)
    header = ["way", "dB", "judge's gain", "kept", "training", "best true gain", "correlation", "regret, dB"]
    page.table(header, rows)
    if everything.true:
        _, correlation, regret = _ranked(everything)
        page.text(f"All {len(everything.true)} judgements together: correlation {correlation}, regret {regret} dB.")
    page.csv(
        "judgements.csv",
        ["true_gain_db", "estimated_gain_db"],
        [
            [f"{t:.4f}", "" if e is None else f"{e:.4f}"]
            for t, e in zip(everything.true, everything.estimated, strict=True)
        ],
    )

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        known = [(t, e) for t, e in zip(everything.true, everything.estimated, strict=True) if e is not None]
        axes.plot([t for t, _ in known], [e for _, e in known], "o")
        axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
        axes.set(xlabel="true gain in dB", ylabel="estimated gain in dB")

    if everything.true:
        page.plot("ranking.png", "Estimated over true gain at every judgement of every run.", draw)
    page.write()
