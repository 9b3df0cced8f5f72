"""What a batch has done, so that one that was stopped at any moment goes on and does nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from app.batch.plan import BatchError, Item, Places
from app.values import Values
from engine.encode import Encoding
from engine.image import input_hash
from engine.language import tr

log = logging.getLogger(__name__)

FOLDER = ".pellucid-batch"
"""The journal's place in a folder of results, where other machines and a later start find it."""

SURELY_LEFT_S = 60.0
"""A temporary file that nobody has written to for so long was left by a process that was killed."""

_LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Entry:
    """A result that was complete on the disk when this was written, about to get its name.

    Attributes:
        input, output: absolute, or below the folder that the journal lies in: that may be moved as a whole.
        input_size, input_time: of the noisy picture, bytes and nanoseconds.
        settings: a hash of all that decides the result.
        size, time, sha256: of the result.
    """

    input: str
    input_size: int
    input_time: int
    output: str
    settings: str
    size: int
    time: int
    sha256: str


def settings_hash(values: Values, how: Encoding, rest: Mapping[str, Any]) -> str:
    """Equal for equal results, as far as the user decides them; `rest` is what JSON knows."""
    text = json.dumps([values.as_json(), asdict(how), dict(rest)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """A folder with a file of JSON lines for each process of a batch.

    A line is written when a result is complete under a temporary name, before that is renamed: a result whose line is
    there and whose bytes fit is done, and without its line no result ever got its name.

    Args:
        folder: the journal's own.
        rank: of this process among those that share the batch.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self._places = Places()
        self.folder = self._places.folder(folder)
        self._own = self.folder / f"done-{rank}.jsonl"
        self._writing = threading.Lock()
        # Several of one picture: after a kill the file there may be an older one than the last that was noted.
        self._entries: dict[str, list[Entry]] = {}

    def load(self) -> None:
        """Read what all processes of earlier runs wrote; a line cut off by a power cut counts as not written."""
        self._entries.clear()
        for path in sorted(self.folder.glob("done-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = Entry(**json.loads(line))
                except (ValueError, TypeError):
                    log.warning("A line of %s cannot be read; its picture is done again", path)
                    continue
                self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._entries.setdefault(entry.input, []).append(entry)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep a second batch out of it; BatchError if one is at work there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatchError(
                tr("Nothing can be written to {folder}: {reason}").format(
                    folder=self.folder.parent, reason=error.strerror
                )
            ) from None
        lock = filelock.FileLock(self.folder / "lock", timeout=0)
        try:
            lock.acquire()
        except NotImplementedError:
            said = tr(
                "The disk of {folder} cannot keep a second batch out; choose another folder, or --no-journal"
            ).format(folder=self.folder.parent)
            raise BatchError(said) from None
        except filelock.Timeout:
            raise BatchError(
                tr("Another batch is writing to {folder}; wait for its end or stop it").format(
                    folder=self.folder.parent
                )
            ) from None
        except OSError as error:
            raise BatchError(
                tr("Nothing can be written to {folder}: {reason}").format(
                    folder=self.folder.parent, reason=error.strerror
                )
            ) from None
        try:
            yield
        finally:
            lock.release()

    def targets(self) -> dict[Path, Path]:
        """What earlier runs made of which picture, the latest of each."""
        return {self._path(name): self._path(entries[-1].output) for name, entries in self._entries.items()}

    def is_done(self, item: Item, settings: str) -> bool:
        """Whether the result is there as it was written, of this very picture and with these settings."""
        try:
            source = item.path.stat()
        except OSError:
            return False
        asked = settings, source.st_size, source.st_mtime_ns
        return any(
            (entry.settings, entry.input_size, entry.input_time) == asked and self._is_intact(entry)
            for entry in self._of(item)
        )

    def owns(self, item: Item) -> bool:
        """Whether the file at the item's target is one that a run of this batch wrote, untouched since."""
        return any(map(self._is_intact, self._of(item)))

    def _of(self, item: Item) -> list[Entry]:
        target = self._name(item.target)
        return [entry for entry in self._entries.get(self._name(item.path), ()) if entry.output == target]

    def _is_intact(self, entry: Entry) -> bool:
        path = self._path(entry.output)
        try:
            there = path.stat()
            if there.st_size != entry.size:
                return False
            # A copied folder has other times.
            return there.st_mtime_ns == entry.time or input_hash(path) == entry.sha256
        except OSError:
            return False

    def write(self, item: Item, settings: str, source: os.stat_result, temporary: Path) -> None:
        """Note a result that is complete under its temporary name; on the disk when this returns.

        Args:
            item: whose.
            settings: a hash of all that decides it.
            source: of the noisy picture, before it was read.
            temporary: the file.
        """
        made = temporary.stat()
        entry = Entry(
            self._name(item.path),
            source.st_size,
            source.st_mtime_ns,
            self._name(item.target),
            settings,
            made.st_size,
            made.st_mtime_ns,
            input_hash(temporary),
        )
        line = json.dumps(asdict(entry), ensure_ascii=True)
        with self._writing, self._own.open("a", encoding="utf-8") as file:
            # A line that was cut off must not swallow this one.
            if file.tell():
                file.write("\n")
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._add(entry)

    def tidy(self, items: Iterable[Item], before: float) -> None:
        """Remove what killed runs left half-written in the folders of the results, untouched since `before`."""
        for folder in {item.target.parent for item in items}:
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if _LEFT_OVER.fullmatch(path.name) and path.stat().st_mtime < before:
                        log.info("Removing %s, which a stopped batch left", path)
                        path.unlink(missing_ok=True)

    def _name(self, path: Path) -> str:
        path, base = self._places.of(path), self.folder.parent
        return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)

    def _path(self, name: str) -> Path:
        return self.folder.parent / name
