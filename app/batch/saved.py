"""Batches that the window has begun, each a folder: what was asked, and what of it is done."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.batch.journal import Journal
from app.batch.plan import AUTOMATIC, BatchError, Filter, Item, Naming
from app.values import Values
from engine import paths
from engine.encode import AS_INPUT, Encoding
from engine.files import write_text
from engine.language import tr

log = logging.getLogger(__name__)

BATCH = "batch.json"
ENDED = "ended.json"

_VERSION = 1

_KEPT_S = 14 * 86400.0
"""How long a batch that has ended is kept."""

_OFFERED_S = 60 * 86400.0
"""How long one is kept that nobody goes on with."""


@dataclass(frozen=True)
class Watch:
    """Folders whose pictures are denoised as they arrive.

    Attributes:
        folders: that are looked into.
        which: files of them.
        naming: how results are called.
        conflict: one of `app.batch.plan.CONFLICTS`.
        values: for all that arrives.
    """

    folders: tuple[Path, ...]
    which: Filter
    naming: Naming
    conflict: str
    values: Values = AUTOMATIC


@dataclass(frozen=True)
class BatchJob:
    """All that defines a batch.

    Attributes:
        items: planned already.
        how: type, depth and quality of the files.
        sidecar: whether how a result was made is written beside it.
        seed: of the recorruptions.
        device: auto, cpu, cuda or mps.
        watch: what may arrive later; None where nothing is waited for.
        huge: whether pictures of any size are opened, see `engine.image.load_image`.
    """

    items: tuple[Item, ...] = ()
    how: Encoding = AS_INPUT
    sidecar: bool = False
    seed: int = 0
    device: str = "auto"
    watch: Watch | None = None
    huge: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a file; values that many pictures share are written once."""
        values: dict[str, int] = {}
        seen: dict[int, int] = {}

        def number(own: Values) -> int:
            # Most are one object: to tell that equal ones are equal takes longer.
            if id(own) not in seen:
                seen[id(own)] = values.setdefault(json.dumps(own.as_json(), sort_keys=True), len(values))
            return seen[id(own)]

        items = [
            {
                "number": item.number,
                "path": str(item.path),
                "target": str(item.target),
                "values": number(item.values),
                "problem": item.problem,
                "is_wanted": item.is_wanted,
                "replaces": item.replaces,
            }
            for item in self.items
        ]
        watch = None
        if self.watch is not None:
            naming = self.watch.naming
            watch = {
                "folders": [str(folder) for folder in self.watch.folders],
                "which": dataclasses.asdict(self.watch.which),
                "naming": {
                    "folder": None if naming.folder is None else str(naming.folder),
                    "pattern": naming.pattern,
                    "mirrors": naming.mirrors,
                },
                "conflict": self.watch.conflict,
                "values": number(self.watch.values),
            }
        return {
            "program": "pellucid",
            "kind": "batch",
            "version": _VERSION,
            "how": dataclasses.asdict(self.how),
            "sidecar": self.sidecar,
            "seed": self.seed,
            "device": self.device,
            "watch": watch,
            "huge": self.huge,
            "values": [json.loads(text) for text in values],
            "items": items,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> BatchJob:
        """What `as_json` gave; KeyError, TypeError or ValueError where it is something else."""
        if given["kind"] != "batch" or given["version"] != _VERSION:
            raise ValueError(
                tr("it is {kind!r} of version {version!r}").format(kind=given["kind"], version=given["version"])
            )
        values = [Values.from_json(own) for own in given["values"]]
        items = tuple(
            Item(
                number=int(item["number"]),
                path=Path(item["path"]),
                target=Path(item["target"]),
                values=values[item["values"]],
                problem=str(item["problem"]),
                is_wanted=bool(item["is_wanted"]),
                replaces=bool(item["replaces"]),
            )
            for item in given["items"]
        )
        watch = None
        if (held := given["watch"]) is not None:
            which, naming = held["which"], held["naming"]
            folder = naming["folder"]
            watch = Watch(
                tuple(map(Path, held["folders"])),
                Filter(bool(which["recursive"]), tuple(which["include"]), tuple(which["exclude"])),
                Naming(None if folder is None else Path(folder), naming["pattern"], bool(naming["mirrors"])),
                str(held["conflict"]),
                values[held["values"]],
            )
        how = {field.name: given["how"][field.name] for field in dataclasses.fields(Encoding)}
        seed, device = int(given["seed"]), str(given["device"])
        return cls(items, Encoding(**how), bool(given["sidecar"]), seed, device, watch, bool(given["huge"]))


@dataclass(frozen=True)
class SavedBatch:
    """The folder of a batch; whatever happens to the program, what is in it tells how to go on."""

    folder: Path

    @property
    def journal(self) -> Journal:
        """Where what is done is noted."""
        return Journal(self.folder)

    @property
    def is_ended(self) -> bool:
        """Whether nothing of it is to be gone on with."""
        return (self.folder / ENDED).exists()

    def begin(self, job: BatchJob) -> None:
        """Write what was asked; BatchError where that cannot be written."""
        try:
            write_text(self.folder / BATCH, json.dumps(job.as_json()))
        except OSError as error:
            raise BatchError(
                tr("The batch cannot be kept in {folder}: {reason}").format(folder=self.folder, reason=error.strerror)
            ) from None

    def job(self) -> BatchJob:
        """What was asked; BatchError where that cannot be read."""
        path = self.folder / BATCH
        try:
            return BatchJob.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise BatchError(
                tr("{path} holds no batch that this version can go on with: {error}").format(path=path, error=error)
            ) from None

    def count_done(self) -> int:
        """Of how many pictures the journal says that they are done."""
        journal = self.journal
        journal.load()
        return len(journal.targets())

    def end(self, counts: Mapping[str, int]) -> None:
        """Note that it is not to be gone on with at the next start."""
        write_text(self.folder / ENDED, json.dumps(dict(counts)) + "\n")

    def reopen(self) -> None:
        """Take back that it has ended."""
        (self.folder / ENDED).unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the folder; results stay where they are."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new() -> SavedBatch:
    """A folder for a batch that begins now; BatchError where none can be made."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder, number = paths.batches() / name, 2
    while True:
        try:
            folder.mkdir(parents=True)
            return SavedBatch(folder)
        except FileExistsError:
            folder, number = paths.batches() / f"{name}-{number}", number + 1
        except OSError as error:
            raise BatchError(
                tr("The batch cannot be kept in {folder}: {reason}").format(
                    folder=paths.batches(), reason=error.strerror
                )
            ) from None


def interrupted() -> SavedBatch | None:
    """The latest batch that was begun, has not ended and that no window is working on."""
    for folder in sorted(_folders(), reverse=True):
        saved = SavedBatch(folder)
        if not saved.is_ended and not _is_at_work(saved):
            return saved
    return None


def tidy() -> None:
    """Remove batches that ended long ago, or that nobody went on with for very long."""
    for folder in _folders():
        saved = SavedBatch(folder)
        kept_s = _KEPT_S if saved.is_ended else _OFFERED_S
        try:
            # Not the lock, which is touched by who only looks.
            last = max(path.stat().st_mtime for path in folder.glob("*.json*"))
            if time.time() - last > kept_s and not _is_at_work(saved):
                saved.delete()
        except OSError:
            log.warning("%s cannot be looked at", folder)


def _folders() -> list[Path]:
    try:
        return [path.parent for path in paths.batches().glob(f"*/{BATCH}")]
    except OSError as error:
        log.warning("The batches cannot be listed: %s", error)
        return []


def _is_at_work(saved: SavedBatch) -> bool:
    try:
        with saved.journal.locked():
            return False
    except BatchError:
        return True
