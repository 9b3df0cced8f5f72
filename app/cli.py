"""The command line: everything but the window, without Qt."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from app.batch.command import add_options, denoise
from app.benchmark import BENCHMARKS
from app.options import (
    MISTAKES,
    UsageError,
    check_strength,
    convention,
    declared,
    given,
    models_of,
    numbers,
    of_methods,
    shared,
    stated,
    strengths,
    values_of,
    whole,
)
from app.single import Models, Single, compared, measured
from app.terminal import complain, say, sentence, show_passes
from engine import params, paths
from engine.checkpoint import CheckpointError, export_checkpoint, find_checkpoint, list_checkpoints
from engine.color import to_grey
from engine.corruption import Corruption, CorruptionError, rng_for
from engine.denoise import DenoiseError
from engine.device import DeviceError
from engine.foreign import ForeignError, import_checkpoint, read_any
from engine.image import Image, ImageError, find_images, load_image
from engine.method import MethodError, method_of, methods
from engine.metrics import ReferenceMismatch
from engine.noise import NoiseError, measure_noise
from engine.pairs import by_stem, find_reference
from training.events import Started, Verdict
from training.job import MEMORY_MB

FAULTS = (ImageError, CheckpointError, CorruptionError, DenoiseError, DeviceError, ForeignError, MethodError)
FAULTS += (NoiseError, ReferenceMismatch, params.ParamError, OSError)
"""What a user can cause: shown as one sentence; anything else is a defect and shows its traceback."""

COMMANDS = ("denoise", "noise", "methods", "models", "import", "export", "train", "runs", "distil", "evaluate")
COMMANDS += ("study", "benchmark", "bench")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return the exit status: 0 all done, 1 some failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except MISTAKES as error:
        return complain(error, 2)
    except OSError as error:
        return complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error, 1)
    except FAULTS as error:
        return complain(error, 1)
    except KeyboardInterrupt:
        return complain("Stopped", 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pellucid", description="Denoise pictures; without a command: the window.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    def learning(sub: argparse.ArgumentParser, rate: float) -> None:
        sub.add_argument("--start", metavar="MODEL", help="checkpoint to begin from")
        about = "clean pictures whose PSNR is reported, never used to choose"
        sub.add_argument("--validate", metavar="DIR", help=about)
        sub.add_argument("--validate-noise", metavar="SPEC", default="gaussian:25")
        sub.add_argument("--sides", metavar="A-B", help="only pictures whose two sides have that many pixels")
        sub.add_argument("--minutes", type=float)
        sub.add_argument("--steps", type=int)
        sub.add_argument("--batch", type=int, default=32)
        sub.add_argument("--patch", type=int, default=64)
        sub.add_argument("--rate", type=float, default=rate, help="learning rate at the start")
        sub.add_argument("--seed", type=whole(0), default=0)
        sub.add_argument("--device", default="auto")
        sub.add_argument("--threads", type=whole(1), help="CPU threads to use")
        sub.add_argument("--no-recursive", dest="recursive", action="store_false", help="without the folders in it")
        about = "of the pictures, that is not learned from but judged on; whole scenes, unless --noise is put on"
        sub.add_argument("--hold-out", type=float, default=0.0, metavar="SHARE", help=about)
        about = "a picture that is judged on, in place of a share"
        sub.add_argument("--held-out", action="append", default=[], metavar="NAME", help=about)
        sub.add_argument("--leave-out", action="append", default=[], metavar="NAME", help="a picture that is not used")
        sub.add_argument("--against", metavar="MODEL", help="what the result has to beat, where that is not --start")
        sub.add_argument("--judge-every", type=whole(1), metavar="N", help="steps between two judgements")
        about = "end early where N judgements in a row are no better"
        sub.add_argument("--patience", type=whole(1), metavar="N", help=about)
        about = f"for decoded pictures ({MEMORY_MB})"
        sub.add_argument("--memory", type=whole(64), default=MEMORY_MB, metavar="MB", help=about)
        sub.add_argument("--processes", type=whole(1), metavar="N", help="that share the work (one for each GPU)")
        sub.add_argument("--name-data", action="store_true", help="name the folder of the pictures in the model's card")

    add_options(command("denoise", denoise, "Denoise pictures and folders of them."))

    noise = command("noise", _noise, "Measure the noise of pictures.")
    noise.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="pictures or folders of them")
    noise.add_argument("--recursive", action="store_true", help="also those of the folders in a folder")
    noise.add_argument("--json", action="store_true")

    for name, run, about in (("methods", _methods, "List the methods."), ("models", _models, "List the models.")):
        command(name, run, about).add_argument("--json", action="store_true")

    bring = command("import", _import, "Bring in a checkpoint of others; nothing in it is executed.")
    bring.add_argument("file", type=Path)
    bring.add_argument("--method", help="run it by this method")
    bring.add_argument("--name", help="what to call it")
    convention(bring)

    export = command("export", _export, "Write a model with its card as one file, which `import` takes.")
    export.add_argument("model", metavar="MODEL", help="an installed model, the folder of a training, or a file")
    export.add_argument("-o", dest="out", required=True, type=Path, help="a .safetensors file, or a folder")
    export.add_argument("--overwrite", action="store_true", help="replace a file that exists")

    evaluate = command("evaluate", _evaluate, "Measure the quality on pictures whose clean twin is known.")
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="clean pictures with --noise, else noisy ones")
    evaluate.add_argument(
        "--noise", metavar="SPEC", help="gaussian:S[-S2], poisson:L[-L2], gamma:L[-L2], hg:S-C or mg; seeded, unclipped"
    )
    evaluate.add_argument("--clean", type=Path, metavar="DIR2", help="clean pictures of the same names")
    shared(evaluate)
    evaluate.add_argument("--grey", action="store_true", help="work on luminance")
    evaluate.add_argument("--limit", type=whole(1), metavar="N", help="only the first N pictures")
    evaluate.add_argument("--draws", type=whole(1), default=1, metavar="N", help="put --noise on each picture N times")
    evaluate.add_argument("--round8", action="store_true", help="round the result to 8 bits first")
    evaluate.add_argument("--shift-free", action="store_true", help="take out differences of mean brightness first")
    of_methods(evaluate)

    benchmark = command("benchmark", _benchmark, "Score SIDD's validation blocks, or make a submission to SIDD or DND.")
    benchmark.add_argument("set", choices=tuple(BENCHMARKS), help="the data set")
    benchmark.add_argument("folder", type=Path, metavar="FOLDER", help="where the data set lies, at any depth")
    benchmark.add_argument("-o", dest="out", type=Path, metavar="OUT", help="folder for the submission, or the scores")
    shared(benchmark)
    strengths(benchmark)
    of_methods(benchmark)

    bench = command("bench", _bench, "Measure how the window answers while the engine works.")
    bench.add_argument("what", choices=("window",), help="what is measured")
    about = "sizes of the pictures (24 100)"
    bench.add_argument("--megapixels", nargs="+", type=float, default=(24.0, 100.0), metavar="N", help=about)
    bench.add_argument("--seconds", type=float, default=60.0, metavar="N", help="with each load, at least (60)")
    bench.add_argument("-o", dest="out", type=Path, metavar="OUT", help="a JSON file for all numbers")
    bench.add_argument("--markdown", action="store_true", help="print the tables, not only what blocked")

    train = command("train", _train, "Train a network on noisy pictures, without clean ones.")
    train.add_argument("--data", metavar="DIR", help="folder of pictures; of pairs that are named so, the noisy ones")
    train.add_argument("--noise", metavar="SPEC", help="put this noise on the pictures first, once for each")
    train.add_argument("--fresh", action="store_true", help="draw that noise anew for every patch")
    train.add_argument("--method", default="r2r")
    train.add_argument("--network", help="what to train; a wrong name lists the choices")
    train.add_argument("--target", choices=("clean", "noisy"), help="train on pairs, for comparison: method plain")
    train.add_argument(
        "--domain",
        default="picture",
        choices=("picture", "mosaic", "developed"),
        help="what --data holds; see docs/methods.md",
    )
    train.add_argument("--grey", action="store_true", help="train on luminance")
    learning(train, 1e-3)
    train.add_argument("--scales", type=numbers, default=(1.0,), metavar="S,S", help="take each picture at these sizes")
    train.add_argument("--stride", type=whole(1), metavar="N", help="take the patches of a grid, N pixels apart")
    train.add_argument("--draws", default="fresh", choices=("fresh", "fixed"), help="random numbers of a grid's patch")
    about = "of generated pictures in each step, so that what --start could do is not forgotten"
    train.add_argument("--replay", type=float, default=0.0, metavar="SHARE", help=about)
    train.add_argument(
        "--schedule",
        default="cosine",
        choices=("cosine", "milestones", "plateau"),
        help="of the learning rate; plateau lowers it each time --patience is over, and ends the third time",
    )
    train.add_argument("--milestones", type=numbers, default=(0.6,), metavar="P,P", help="a tenth of it from there on")
    train.add_argument("--report-every", type=whole(1), metavar="N", help="steps between reports, not seconds")
    train.add_argument("--name", default="trained", help="what the model will be called")
    train.add_argument("-o", dest="out", type=Path, metavar="RUN", help="folder of the run")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run, or begin one that has only a job")
    train.add_argument("--check", action="store_true", help="only say what would go wrong with --data; trains nothing")
    declared(train, "Training")

    about = "List the trainings of the window's folder, the latest first."
    command("runs", _runs, about).add_argument("--json", action="store_true")

    distil = command("distil", _distil, "Train a network whose single pass gives what a model gives on average.")
    distil.add_argument("model", metavar="MODEL", help="the teacher: an installed model, or a file; see `models`")
    distil.add_argument("--data", metavar="DIR", required=True, help="folder of pictures")
    distil.add_argument("-o", dest="out", type=Path, metavar="RUN", required=True, help="folder of the run")
    distil.add_argument("--noise", metavar="SPEC", help="put this noise on the pictures first, once for each")
    distil.add_argument("--clean", metavar="DIR", help="clean pictures to learn from, too, with the teacher's noise")
    about = "the student; by default the network of the teacher, or unet where only its method can run that"
    distil.add_argument("--network", help=about)
    learning(distil, 3e-4)
    distil.add_argument("--name", help="what the model will be called (MODEL-one-pass)")
    declared(distil, "Params")

    study = command("study", _study, "Repeat the report of a published reproduction of R2R, and what it got wrong.")
    study.add_argument("name", nargs="?", metavar="NAME", help="which; see --list")
    study.add_argument("--list", dest="listed", action="store_true", help="list the studies")
    study.add_argument("-o", dest="out", type=Path, metavar="FOLDER", help="folder for report, scores and plots")
    study.add_argument("--data", nargs="+", type=Path, default=(), metavar="DIR", help="pictures that are measured")
    study.add_argument("--train", type=Path, metavar="DIR", help="clean pictures to learn from, for `networks`")
    study.add_argument("--model", help="name of an installed model, or a file; see `models`")
    study.add_argument("--limit", type=whole(1), metavar="N", help="only the first N pictures")
    study.add_argument("--sigmas", type=numbers, default=(25.0, 50.0), metavar="S,S", help="of the noise (25,50)")
    study.add_argument("--passes", type=whole(1), default=50, metavar="T", help="independent ones (50)")
    study.add_argument("--steps", type=whole(0), help="of each training; 0 trains nothing")
    study.add_argument("--minutes", type=float, help="for each training, in place of --steps")
    study.add_argument("--batch", type=whole(1), metavar="N", help="patches a step")
    study.add_argument("--draws", default="fresh", choices=("fresh", "fixed"), help="recorruptions in training")
    study.add_argument("--seed", type=whole(0), default=0)
    study.add_argument("--device", default="auto")
    study.add_argument("--threads", type=whole(1), help="CPU threads to train with")
    return parser


def _sigma(text: str | None) -> float | None:
    """--sigma in engine units; None for auto."""
    if text is None or text == "auto":
        return None
    try:
        return float(text) / 255
    except ValueError:
        raise UsageError(f"--sigma must be auto or a number from 0 to 255, not {text!r}") from None


def _run(image: Image, models: Models, options: argparse.Namespace, sigma: float | None = None) -> tuple[Single, Image]:
    """One picture, denoised."""
    single = Single(image, models, values_of(options), measured(image), sigma)
    for step in single.run():
        show_passes(step.done, step.total, step.seconds)
    result, _ = single.finish()
    return single, result


def _inputs(given: Sequence[Path], recursive: bool) -> tuple[list[Path], list[Path]]:
    """The pictures, and what is not there."""
    missing = [path for path in given if not path.exists()]
    for path in missing:
        complain(f"There is no file or folder {path}", 1)
    paths = find_images([path for path in given if path.exists()], recursive=recursive)
    if not paths and not missing:
        hint = "" if recursive else "; --recursive looks into the folders in it"
        raise UsageError(f"There is no picture in what was given{hint}")
    return paths, missing


def _noise(options: argparse.Namespace) -> int:
    paths, failed = _inputs(options.inputs, options.recursive)
    for path in paths:
        try:
            report = measure_noise(load_image(path))
        except FAULTS as error:
            failed.append(path)
            complain(error, 1)
            continue
        scaled = {
            "input": str(path),
            "sigma": report.sigma * 255,
            "level": report.level * 255,
            "joint": None if report.joint is None else report.joint * 255,
            "channels": [value * 255 for value in report.channels],
            "flat": report.flat * 255,
            "flat_channels": [value * 255 for value in report.flat_channels],
            "slope": [value * 255 for value in report.slope],
            "offset": [value * 255**2 for value in report.offset],
            "correlation": report.correlation,
            "channel_correlation": [list(row) for row in report.channel_correlation],
            "clipped": report.clipped,
            "is_white": report.is_white,
            "is_clean": report.is_clean,
            "reason": report.reason,
        }
        line = (
            f"{path}: sigma {report.sigma * 255:.2f} of 255; flat patches {report.flat * 255:.2f}; "
            f"lag-1 correlation {report.correlation:.2f}; clipped {report.clipped:.2%}\n  {report.reason}"
        )
        say(scaled, options.json, line)
    return 1 if failed else 0


def _methods(options: argparse.Namespace) -> int:
    for method in methods().values():
        record = {
            "id": method.id,
            "label": method.label,
            "source": method.source,
            "params": [asdict(spec) for spec in params.specs(method.Params)],
            "training": [asdict(spec) for spec in params.specs(method.Training)],
            "trains": not method.needs_pairs and bool(method.stages(params.make(method.Training, {}))),
        }
        say(record, options.json, f"{method.id:8} {method.label} ({method.source})")
    return 0


def _models(options: argparse.Namespace) -> int:
    for entry in list_checkpoints():
        record = {
            "name": entry.name,
            "method": entry.method,
            "channels": entry.channels,
            "bundled": entry.bundled,
            "path": str(entry.path),
            "card": asdict(entry.card),
        }
        say(record, options.json, f"{entry.name:16} {entry.method:6} {entry.channels} channel(s)  {entry.card.title}")
    return 0


def _import(options: argparse.Namespace) -> int:
    path = import_checkpoint(options.file, stated(options), options.name)
    print(f"Imported as {path.stem}; use it with --model {path.stem}")
    return 0


def _export(options: argparse.Namespace) -> int:
    path = export_checkpoint(find_checkpoint(options.model), options.out, overwrite=options.overwrite)
    print(f"Exported as {path}; bring it in elsewhere with `import`")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    corruption = Corruption.parse(options.noise) if options.noise else None
    if options.draws > 1 and corruption is None:
        raise UsageError("--draws repeats the noise that --noise puts on clean pictures: give --noise, too")
    records = []
    models = models_of(options)
    for noisy, reference, level in _pairs(options, corruption):
        sigma = _sigma(options.set_sigma)
        if sigma is None and options.set_sigma != "auto":
            sigma = level  # as the papers do: the noise that was added is known
        single, result = _run(noisy, models, options, sigma)
        pixels = np.rint(result.pixels.clip(0, 1) * 255) / 255 if options.round8 else result.pixels
        record = single.record() | compared(noisy, pixels, reference, options.shift_free)
        records.append(record)
        say(record, options.json, sentence(record))
    if not records:
        raise UsageError(f"There is no picture with a clean twin in {options.folder}")
    errors = [
        abs(r["estimated_psnr_db"] - r["psnr_db"])
        for r in records
        if None not in (r["estimated_psnr_db"], r["psnr_db"])
    ]
    mean = {
        "mean": True,
        "pictures": len(records) // options.draws,
        "draws": options.draws,
        "mean_psnr_db": _mean(records, "psnr_db"),
        "mean_ssim": _mean(records, "ssim"),
        "mean_noisy_psnr_db": _mean(records, "noisy_psnr_db"),
        "mean_estimated_psnr_db": _mean(records, "estimated_psnr_db"),
        "mean_estimate_error_db": sum(errors) / len(errors) if errors else None,
        "worst_estimate_error_db": max(errors, default=None),
        "seconds": round(sum(r["seconds"] for r in records), 1),
    }
    line = f"mean of {len(records)}: PSNR {mean['mean_psnr_db']:.3f} dB (was {mean['mean_noisy_psnr_db']:.3f})"
    if errors:
        line += f"; estimates are off by {mean['mean_estimate_error_db']:.3f} dB on average, {max(errors):.2f} at worst"
    say(mean, options.json, line)
    return 0


def _mean(records: list[dict[str, Any]], key: str) -> float | None:
    values = [record[key] for record in records if record[key] is not None]
    return float(np.mean(values)) if values else None


def _pairs(options: argparse.Namespace, corruption: Corruption | None) -> Iterator[tuple[Image, Image, float | None]]:
    """Noisy picture, clean twin, and the noise level where it was added here."""
    paths = find_images([options.folder], recursive=False)
    clean = by_stem(find_images([options.clean])) if options.clean else {}
    found = 0
    for path in paths:
        if corruption is not None:
            twin = path
        elif options.clean:
            twin = clean.get(path.stem)
        else:
            twin = find_reference(path)
        if twin is None:
            continue
        if options.limit is not None and found >= options.limit:
            return
        found += 1
        reference = _grey(load_image(twin)) if options.grey else load_image(twin)
        if corruption is None:
            yield _grey(load_image(path)) if options.grey else load_image(path), reference, None
            continue
        rng = rng_for(options.seed, path.stem)
        for _ in range(options.draws):
            pixels, level = corruption.apply(reference.pixels, rng)
            yield replace(reference, pixels=pixels), reference, level


def _grey(image: Image) -> Image:
    return replace(image, pixels=to_grey(image.pixels))


def _benchmark(options: argparse.Namespace) -> int:
    check_strength(options)
    models = models_of(options)

    def denoise(image: Image) -> np.ndarray:
        return _run(image, models, options, _sigma(options.set_sigma))[1].pixels

    for record, line in BENCHMARKS[options.set](options.folder, options.out, denoise):
        say(record, options.json, line)
    return 0


def _train(options: argparse.Namespace) -> int:
    # Loaded here: no other command needs the training code.
    from training.job import TrainError, TrainJob
    from training.run import Run, begin

    try:
        if options.check:
            return _check_data(options)
        if options.resume:
            run = options.resume
            as_it_is = vars(_parser().parse_args(["train", "--resume", str(run)]))
            if any(value != as_it_is[name] for name, value in vars(options).items() if name != "run"):
                raise UsageError(f"--resume goes on with the job in {run} as it is: leave the other options out")
            Run(run).job()
        else:
            if not options.data or not options.out:
                raise UsageError("train needs --data DIR and -o RUN, or --resume RUN, or --data DIR and --check")
            run = options.out
            names = ("fresh", "method", "grey", "name", "target", "domain", "scales", "stride", "draws", "schedule")
            names += ("milestones", "report_every", "replay")
            job = TrainJob(
                params=given(options, method_of(options.method), "Training"),
                **_shared(options),
                **{name: getattr(options, name) for name in names},
            )
            begin(job, run)
        return _follow(run)
    except TrainError as error:
        return complain(error, 2)


def _shared(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a job that `train` and `distil` both have options for."""
    if options.minutes and options.steps:
        raise UsageError("Give a budget: either --minutes or --steps")
    judges = {"against": options.against, "judge-every": options.judge_every and not options.validate}
    if any(judges.values()) and not (options.hold_out or options.held_out):
        name = next(name for name in judges if judges[name])
        raise UsageError(f"--{name} has no effect without pictures to judge on: give --hold-out")
    for name in (*options.held_out, *options.leave_out):
        if not (Path(options.data) / name).exists():
            raise UsageError(f"There is no picture {name} in {options.data}")
    names = ("data", "noise", "network", "start", "validate", "validate_noise", "minutes", "steps", "batch", "patch")
    names += ("seed", "device", "threads", "recursive", "hold_out", "against", "judge_every", "patience", "processes")
    return {
        "learning_rate": options.rate,
        "sides": _sides(options.sides),
        "held_out": _held_out(options),
        "leave_out": tuple(options.leave_out),
        "budget_mb": options.memory,
        "names_in_card": options.name_data,
        **{name: getattr(options, name) for name in names},
    }


def _held_out(options: argparse.Namespace) -> tuple[str, ...]:
    """Names of the pictures to judge on: those that were given, or a share in whole scenes."""
    from training.folder import hold_out, look
    from training.job import TrainError

    is_of_pictures = getattr(options, "domain", "picture") == "picture"
    if options.held_out or not options.hold_out or options.noise or not is_of_pictures:
        return tuple(options.held_out)
    known = {}
    for one in look(Path(options.data), options.recursive):
        if one.name in known:
            break  # with its noise, which takes long
        known[one.name] = one
    usable = [one for one in known.values() if not one.problem and one.name not in options.leave_out]
    held_out = hold_out(usable, options.hold_out, options.seed)
    if usable and not held_out:
        said = f"There are no two scenes in {options.data}, of which one could be held out"
        raise TrainError(f"{said}: add pictures, or name some with --held-out")
    return tuple(held_out)


def _check_data(options: argparse.Namespace) -> int:
    """The pre-flight: 1 where a training would fail."""
    from training.folder import check, grouped, look

    if not options.data or not Path(options.data).is_dir():
        raise UsageError(f"--check needs --data DIR; {options.data or 'nothing'} is not a folder")
    if options.noise:
        raise UsageError("--check looks at the pictures' own noise; leave out --noise")
    known = {}
    for one in look(Path(options.data), options.recursive):
        known[one.name] = one  # some come again, with their noise
        if sys.stderr.isatty():
            print(f"\r{len(known)} pictures", end="\r", file=sys.stderr, flush=True)
    unknown = sorted(set(options.leave_out) - known.keys())
    if unknown:
        raise UsageError(f"There is no picture {unknown[0]} in {options.data} to leave out")
    found = [one for one in known.values() if one.name not in options.leave_out]
    usable = sum(not one.problem for one in found)
    print(f"{usable} of {len(found)} pictures in {options.data} can be used")
    for group in grouped(found):
        print(f"  {len(group.names)} of {group.label}")
    held_out = _held_out(options)
    if held_out:
        print(f"{len(held_out)} of them would be judged on, not learned from")
    run_folder = options.out or paths.runs()
    findings = check(found, held_out, patch=options.patch, run_folder=run_folder, budget_mb=options.memory)
    for finding in findings:
        print(f"{finding.kind}: {finding.sentence}")
        # Those that --leave-out takes, unless the sentence has them all.
        if finding.can_leave_out and any(name not in finding.sentence for name in finding.names):
            print("\n".join(f"  {name}" for name in finding.names))
    return 1 if any(finding.kind == "stop" for finding in findings) else 0


def _runs(options: argparse.Namespace) -> int:
    from training.job import TrainError
    from training.run import runs

    for run in runs():
        try:
            name, data = run.job().name, run.job().data
        except TrainError as error:
            complain(error, 1)
            continue
        verdict = next((event for event in reversed(run.events()) if isinstance(event, Verdict)), None)
        record = {
            "name": name,
            "state": run.state,
            "data": data,
            "is_better": verdict.is_better if verdict else None,
            "gain_db": verdict.gain_db if verdict else None,
            "path": str(run.folder),
        }
        say(record, options.json, f"{name:16} {run.state:10} {run.folder}")
    return 0


def _distil(options: argparse.Namespace) -> int:
    from training.job import TrainError, TrainJob
    from training.run import begin

    if options.set_sigma is not None:
        raise UsageError(
            "The student learns all levels of its pictures, known from --noise or measured; leave out --sigma"
        )
    teacher = read_any(find_checkpoint(options.model))
    try:
        job = TrainJob(
            method="plain",
            teacher=options.model,
            teacher_params=given(options, method_of(teacher.method), "Params"),
            grey=teacher.channels == 1,
            clean=options.clean,
            name=options.name or f"{teacher.name}-one-pass",
            **_shared(options),
        )
        begin(job, options.out)
        if options.clean:
            print(f"Clean pictures of {options.clean} are used beside the noisy ones", flush=True)
        return _follow(options.out)
    except TrainError as error:
        return complain(error, 2)


def _follow(run: Path) -> int:
    """Train the job of a run folder and print what happens; TrainError if it cannot."""
    from training.launch import follow
    from training.run import CHECKPOINT

    stop, held_out = False, 0
    failed = None  # no event at all: the first of several machines tells

    def ask(*_: object) -> None:
        nonlocal stop
        stop = True
        signal.signal(signal.SIGINT, previous)

    # The first Ctrl-C ends the run between two steps and keeps it, the second ends it at once.
    previous = signal.signal(signal.SIGINT, ask)
    try:
        for event in follow(run, lambda: stop):
            held_out = event.held_out if isinstance(event, Started) else held_out
            print(_told(event, held_out), flush=True)
            failed = getattr(event, "reason", "") == "failed"
    finally:
        signal.signal(signal.SIGINT, previous)
    if failed is False:
        model = run / CHECKPOINT
        print(f"The model is {model}; install it with: pellucid import {shlex.quote(str(model))}")
    return 1 if failed else 0


def _study(options: argparse.Namespace) -> int:
    from app.studies import STUDIES, Choices, StudyError, make
    from training.job import TrainError

    if options.listed:
        for name, study in STUDIES.items():
            print(f"{name:10} {(study.__doc__ or '').splitlines()[0]}")
        return 0
    if not options.name or not options.out:
        raise UsageError("study needs a NAME, see --list, and -o FOLDER")
    if options.steps and options.minutes:
        raise UsageError("Give a budget: either --minutes or --steps")
    given = {key: value for key, value in vars(options).items() if key in Choices.__dataclass_fields__}
    try:
        make(options.name, Choices(**given, say=lambda line: print(line, flush=True)))
    except (StudyError, TrainError) as error:
        return complain(error, 2)
    print(f"The report is {options.out / 'report.md'}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    # Loads Qt, in this process without opening a window.
    from app import window_bench

    if not all(window_bench.SMALLEST <= size <= window_bench.LARGEST for size in options.megapixels):
        raise UsageError(f"--megapixels must be from {window_bench.SMALLEST} to {window_bench.LARGEST}")
    found = window_bench.run(options.megapixels, options.seconds, lambda line: print(line, file=sys.stderr, flush=True))
    if options.out is not None:
        window_bench.write(found, options.out)
    print(window_bench.markdown(found) if options.markdown else window_bench.verdict(found), end="")
    return 0


def _sides(text: str | None) -> tuple[int, int] | None:
    """--sides A-B."""
    if text is None:
        return None
    least, _, most = text.partition("-")
    if not (least.isdecimal() and most.isdecimal() and int(least) <= int(most)):
        raise UsageError(f"--sides must read A-B, two rising numbers of pixels, not {text!r}")
    return int(least), int(most)


def _told(event: Any, held_out: int) -> str:
    if isinstance(event, Verdict):
        return _verdict(event, held_out)
    details = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in asdict(event).items()
        if value not in (None, "")
    )
    return f"{type(event).__name__.lower()}: {details}"


def _verdict(verdict: Verdict, held_out: int) -> str:
    """What is to be done with the result."""
    against = verdict.against or "the noisy pictures"
    if not verdict.is_better:
        return f"Keep {against}: {verdict.reason}"
    by = ""
    if verdict.gain_db is not None and verdict.gain_band_db is not None:
        by = f" by {verdict.gain_db:.2f} ± {verdict.gain_band_db:.2f} dB"
    elif verdict.gain is not None and verdict.gain_band is not None:
        by = f" by {verdict.gain:.1%} ± {verdict.gain_band:.1%} of the noise's power"
    return f"Better than {against}{by} on {held_out} held-out picture{'s' if held_out != 1 else ''}"
