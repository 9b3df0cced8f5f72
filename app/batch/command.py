"""The command `denoise`: pictures and folders of them, on one machine or many."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.batch.journal import FOLDER, SURELY_LEFT_S, Journal
from app.batch.plan import FIELDS, BatchError, Filter, Item, Naming, Planner, find
from app.batch.progress import Step, Tally
from app.batch.run import Batch
from app.batch.watch import watched
from app.options import MISTAKES, UsageError, check_strength, models_of, of_methods, shared, strengths, values_of, whole
from app.terminal import complain, duration, say, sentence, show
from engine.develop import DOMAINS
from engine.device import available_devices
from engine.encode import WRITTEN, Encoding, file_type
from engine.image import ImageError
from training.ranks import ALONE, RankLost, Ranks, join, leave

_PATIENCE = timedelta(days=30)
"""How long a process that is through waits for the others, which may have got the slower pictures."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Those of `denoise`."""
    command.usage = "pellucid denoise IN... -o OUT [option ...]"
    command.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="pictures or folders of them")
    command.add_argument("-o", dest="out", required=True, type=Path, help="a file for one input, else a folder")
    shared(command)
    strengths(command)
    command.add_argument("--preset", metavar="NAME", help="settings saved in the window, or a file of them")
    command.add_argument("--reference", type=Path, metavar="FILE", help="clean picture to measure against")
    command.add_argument("--huge", action="store_true", help="open also pictures of more than 1000 megapixels")
    group = command.add_argument_group("which files of a folder")
    group.add_argument("--recursive", action="store_true", help="also those of the folders in it, mirrored in OUT")
    group.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only such: '*.jpg', '2024/*'")
    group.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="no such")
    group.add_argument("--watch", action="store_true", help="go on with what arrives there, until Ctrl-C")
    group = command.add_argument_group("camera RAW files")
    about = "camera (as shot), daylight, auto, or three multipliers of red, green and blue: 2.1,1,1.6"
    group.add_argument("--white-balance", metavar="W", help=about)
    group.add_argument("--exposure", type=float, metavar="STOPS", help="made brighter, or darker below 0")
    group.add_argument("--linear", action="store_true", help="proportional to light, not as screens show it")
    about = "denoise what the sensor recorded (mosaic), or the developed picture"
    group.add_argument("--domain", choices=DOMAINS, help=about)
    group = command.add_argument_group("what is written")
    group.add_argument("--format", metavar="TYPE", help="tif, png, jpg and others; by default that of the input")
    group.add_argument("--bits", type=whole(8), metavar="8..32", help="a sample, 32 for float; by default the input's")
    group.add_argument("--quality", type=whole(1), metavar="1..100", help="of types that lose a little (95)")
    group.add_argument("--lossless", action="store_true", default=None, help="where a type can be either")
    group.add_argument("--lossy", dest="lossless", action="store_false", help="where a type can be either")
    group.add_argument("--compression", metavar="NAME", help="of tif: deflate, lzw, zstd, none; of png: fast, small")
    about = f"of the results ({{name}}_denoised); {', '.join(f'{{{name}}}' for name in FIELDS)}"
    group.add_argument("--name", dest="pattern", metavar="PATTERN", help=about)
    group.add_argument("--overwrite", action="store_true", help="replace files that exist")
    about = "where a result of that name exists: skip it, or give the new one a number; by default it is an error"
    group.add_argument("--conflict", choices=("skip", "number"), default="", help=about)
    group.add_argument("--resume", action="store_true", help="go on with a batch that was stopped; do nothing twice")
    about = f"note nothing in OUT/{FOLDER}: the batch cannot be resumed"
    group.add_argument("--no-journal", dest="journal", action="store_false", help=about)
    group.add_argument("--no-gps", action="store_true", help="leave out where a picture was taken")
    group.add_argument("--sidecar", action="store_true", help="write how the result was made beside it")
    of_methods(command)


def denoise(options: argparse.Namespace) -> int:
    """Run the command; 0 where all was done or left out on purpose, 1 where something failed."""
    check_strength(options)
    many = len(options.inputs) > 1 or os.path.isdir(options.inputs[0])
    is_folder = many or os.path.isdir(options.out) or not options.out.suffix
    if many and os.path.isfile(options.out):
        raise UsageError(f"{options.out} is a file; several pictures need a folder")
    if many and options.out.suffix.lower() in WRITTEN and not os.path.isdir(options.out):
        raise UsageError(f"{options.out} is the name of a picture; several pictures need a folder")
    if many and options.reference:
        raise UsageError("--reference goes with one picture; pairs are found by name in `evaluate`")
    if not is_folder and (options.format or options.pattern or options.resume or options.conflict):
        said = "--format, --name, --conflict and --resume need a folder for the results"
        raise UsageError(f"{said}; {options.out} is a file")
    if options.overwrite and options.conflict:
        raise UsageError(f"Either --overwrite or --conflict {options.conflict}: a file that exists is replaced or not")
    if options.resume and not options.journal:
        raise UsageError("--resume goes on with what the journal says is done; leave out --no-journal")
    if options.watch and not all(path.is_dir() for path in options.inputs):
        raise UsageError("--watch needs folders that it can look into")
    with _ranks() as ranks:
        if options.watch and ranks.count > 1:
            raise UsageError("--watch is for one process: which of several took what arrives could not be known")
        return (_Many if is_folder else _One)(options, ranks).run()


@contextlib.contextmanager
def _ranks() -> Iterator[Ranks]:
    """This process among those that torchrun started for one list of pictures."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    gpu = int(os.environ.get("LOCAL_RANK", "0")) if "cuda" in available_devices() else None
    try:
        yield join(int(os.environ["RANK"]), count, None, gpu, _PATIENCE)
    except RankLost:
        raise BatchError("Another process of the batch has ended; start it again with --resume") from None
    finally:
        leave()


def _encoding(options: argparse.Namespace) -> Encoding:
    suffix = f".{options.format.lower().removeprefix('.')}" if options.format else ""
    if suffix and suffix not in WRITTEN:
        known = ", ".join(sorted(known.removeprefix(".") for known in WRITTEN))
        raise UsageError(f"--format {options.format} cannot be written; choose from {known}")
    kind = file_type(Path(f"picture{suffix}"))
    if kind is not None and options.bits and options.bits not in kind.bits:
        holds = ", ".join(map(str, kind.bits))
        raise UsageError(f"A {suffix} file cannot hold {options.bits} bits a sample; it holds {holds}")
    given = {name: getattr(options, name) for name in ("bits", "quality", "lossless", "compression")}
    try:
        return Encoding(
            suffix, keep_place=not options.no_gps, **{name: value for name, value in given.items() if value is not None}
        )
    except ImageError as error:
        raise UsageError(str(error)) from None


class _One:
    """One picture that becomes a file whose name is given."""

    def __init__(self, options: argparse.Namespace, ranks: Ranks) -> None:
        self.options, self.ranks = options, ranks
        self.how, self.values = _encoding(options), values_of(options)
        self.journal: Journal | None = None

    def run(self) -> int:
        """Denoise all; the exit status."""
        began = time.time()
        with contextlib.ExitStack() as stack:
            missing: list[Path] = []
            items: list[Item] = []
            if self.ranks.is_first:
                missing = [path for path in self.options.inputs if not os.path.lexists(path)]
                for path in missing:
                    _lost(path, f"There is no file or folder {path}", self.options.json)
                if self.journal is not None:
                    stack.enter_context(self.journal.locked())
                items = self.plan([path for path in self.options.inputs if path not in missing])
            items, is_named = self.ranks.agree((items, bool(missing)))
            if not (items or is_named or self.options.watch):
                raise UsageError(self.nothing())
            tally = self._work(items[self.ranks.number :: self.ranks.count])
            counts = [tally.counts["done"], tally.counts["failed"] + len(missing), tally.counts["skipped"]]
            done, failed, skipped = self.ranks.total(counts)
            if self.ranks.is_first and self.journal is not None:
                self.journal.tidy(items, began)  # now that nobody writes any more
        if self.ranks.is_first and (done + failed + skipped > 1 or self.options.watch):
            self._sum_up(tally, {"done": done, "failed": failed, "skipped": skipped})
        # A process that ends with 1 takes the others with it: torchrun ends them. So the first has its say before.
        self.ranks.agree(None)
        return 1 if failed else 0

    def plan(self, given: list[Path]) -> list[Item]:
        """What is to be denoised."""
        target, options = self.options.out, self.options
        problem = ""
        if given and os.path.exists(target) and not options.overwrite:
            what = "is the input itself" if target.resolve() == given[0].resolve() else "exists already"
            problem = f"{target} {what}; give another name or --overwrite"
        return [
            Item(1, path, target, self.values, problem, replaces=options.overwrite, reference=options.reference)
            for path in given
        ]

    def source(self, items: list[Item]) -> Iterable[Item | None]:
        """The items as they come."""
        return items

    def nothing(self) -> str:
        """Why there is nothing to denoise."""
        return "There is no picture in what was given"

    def _work(self, items: list[Item]) -> Tally:
        options, tally = self.options, Tally(items)
        batch = Batch(
            models_of(options),
            self.how,
            sidecar=options.sidecar,
            journal=self.journal,
            huge=options.huge,
            fatal=MISTAKES,
        )
        try:
            with contextlib.closing(batch.run(self.source(items))) as steps:
                for step in steps:
                    if step is not None:
                        tally.add(step)
                        self._tell(step, tally)
        except KeyboardInterrupt:
            show("")
            if not options.watch:  # which has no other end
                if self.journal is not None and self.ranks.is_first:
                    complain("The same command with --resume goes on", 1)
                raise
        return tally

    def _tell(self, step: Step, tally: Tally) -> None:
        if step.state == "running":
            left = tally.seconds_left
            when = f", {duration(left)} left" if left is not None else ""
            show(f"{tally.ended + 1} of {tally.total}, {tally.share:.0%}{when}")
            return
        show("")
        if step.state == "failed":
            _lost(step.item.path, step.text, self.options.json)
        elif step.state == "done":
            say(dict(step.record), self.options.json, sentence(step.record))
        elif self.options.json:
            say({"input": str(step.item.path), "output": None, "skipped": step.text}, True, "")

    def _sum_up(self, tally: Tally, counts: dict[str, int]) -> None:
        if self.options.json:
            times = {"seconds": round(tally.seconds, 1), "waited": round(tally.waited_s, 1)}
            say({"summary": True, **counts, **times}, True, "")
            return
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "Nothing done"
        complain(f"{told} in {duration(tally.seconds)}", 0)


class _Many(_One):
    """Pictures that become files in a folder."""

    def __init__(self, options: argparse.Namespace, ranks: Ranks) -> None:
        super().__init__(options, ranks)
        self._which = Filter(options.recursive, tuple(options.include), tuple(options.exclude))
        self._conflict = "replace" if options.overwrite else options.conflict
        self._naming = Naming(options.out, options.pattern or "{name}_denoised")
        many = len(options.inputs) > 1 or os.path.isdir(options.inputs[0])
        if options.resume or (options.journal and many):
            self.journal = Journal(options.out / FOLDER, ranks.number)
        if options.resume:
            assert self.journal is not None
            self.journal.load()
        earlier = Journal(options.out / FOLDER)
        earlier.load()
        made = earlier.targets()
        # A single picture is meant, whatever it is.
        results = made.values() if many else ()
        self._planner = Planner(self._naming, self.how, self._conflict, made if options.resume else None, results)

    def plan(self, given: list[Path]) -> list[Item]:
        """What is to be denoised."""
        items = self._planner.plan(find(given, self._which, self.options.out), self.values)
        if self.journal is not None:
            self.journal.tidy(items, time.time() - SURELY_LEFT_S)
        return [replace(item, reference=self.options.reference) for item in items]

    def source(self, items: list[Item]) -> Iterable[Item | None]:
        """The items as they come."""
        if not self.options.watch:
            return items
        return watched(self.options.inputs, self._which, self._planner, self.values, self.options.out, items)

    def nothing(self) -> str:
        """Why there is nothing to denoise."""
        given, which = self.options.inputs, self._which
        where = str(given[0]) if len(given) == 1 else "what was given"
        if which.include or which.exclude:
            if find(given, Filter(which.recursive), self.options.out):
                return f"No picture in {where} is one that --include and --exclude leave"
            which = Filter(which.recursive)
        if not which.recursive and find(given, Filter(recursive=True), self.options.out):
            return f"There is no picture in {where} itself; --recursive looks into the folders in it"
        return f"There is no picture in {where}"


def _lost(path: Path, reason: str, as_json: bool) -> None:
    """Name a picture that could not be denoised."""
    complain(reason if str(path.name) in reason else f"{path.name}: {reason}", 1)
    if as_json:
        say({"input": str(path), "output": None, "error": reason}, True, "")
