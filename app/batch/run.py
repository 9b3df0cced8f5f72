"""The batch itself: while one picture is denoised, the next is read and the last is written."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from app.batch.journal import Journal, settings_hash
from app.batch.plan import Item
from app.batch.progress import Control, Step
from app.single import Models, Single, compared, measured
from engine.encode import AS_INPUT, Encoding, check_target, left_out, save_image
from engine.image import Image, ImageError, input_hash, load_image
from engine.language import tr
from engine.noise import NoiseError, NoiseReport
from engine.provenance import Provenance, write_sidecar
from engine.stack import StackWriter

log = logging.getLogger(__name__)

_AHEAD = 1 << 30
"""Bytes of pictures that are read, in work or being written, from which on no other is read ahead."""

_MOST_HELPERS = 4
"""Threads that read, and as many that write, for an accelerator."""

_BEAT_S = 0.05
"""Between two chances to stop while nothing else can be reported."""


@dataclass(frozen=True)
class _Source:
    """The file of a noisy picture, as it was when it was read.

    Attributes:
        state: its size and time.
        sha256: of its bytes, where a sidecar is to name it; else "".
    """

    state: os.stat_result
    sha256: str


@dataclass(frozen=True, eq=False)
class _Loaded:
    item: Item
    source: _Source
    image: Image
    noise: NoiseReport | NoiseError
    reference: Image | None = None


@dataclass(frozen=True, eq=False)
class _Line:
    """An item and what was read of it, in order; None ends it."""

    item: Item
    outputs: queue.Queue[Step | _Loaded | None] = field(default_factory=queue.Queue)


@dataclass(frozen=True, eq=False)
class _Result:
    """A page that is ready to be written; `size` is that of what was read, in bytes."""

    item: Item
    source: _Source
    size: int
    image: Image
    made: Provenance
    record: Mapping[str, Any]
    waited_s: float


class Batch:
    """Pictures that are denoised one after the other; one that fails is told and does not stop the rest.

    Args:
        models: what denoises them.
        how: the type of file, its depth and quality.
        sidecar: whether how a result was made is written beside it.
        journal: where what is done is noted; None for nowhere.
        control: pauses and skips.
        huge: whether pictures of any size are opened, see `load_image`.
        fatal: errors that all other pictures would meet, too: they end the batch, unless one was denoised before.
    """

    def __init__(
        self,
        models: Models,
        how: Encoding = AS_INPUT,
        *,
        sidecar: bool = False,
        journal: Journal | None = None,
        control: Control | None = None,
        huge: bool = False,
        fatal: tuple[type[Exception], ...] = (),
    ) -> None:
        self._models, self._how, self._sidecar, self._journal = models, how, sidecar, journal
        self._control, self._huge, self._fatal = control or Control(), huge, fatal
        # Where networks run on the processor, it has no time to read for them.
        on_cpu = models.device == "cpu"
        self._helpers = 1 if on_cpu else max(1, min(_MOST_HELPERS, (os.cpu_count() or 1) // 4))
        self._ahead = _AHEAD if on_cpu else min(4 * _AHEAD, psutil.virtual_memory().available // 4)
        self._lines: queue.Queue[_Line | Exception | None] = queue.Queue()
        self._head: Item | None = None
        self._waiting = 0
        self._idle_since = 0.0
        self._in_flight: dict[int, int] = {}
        self._changed = threading.Condition()
        self._is_stopped = self._is_proven = False
        self._lost: set[int] = set()
        self._stacks: dict[int, StackWriter] = {}
        self._said: dict[int, list[dict[str, Any]]] = {}

    def run(self, items: Iterable[Item | None]) -> Generator[Step | None, None, None]:
        """Denoise the items; None where there is nothing to tell, and the caller may stop.

        Closing the generator stops within a tile; a result that is being written is written.

        Args:
            items: taken in a thread of their own as they are needed; None stands for "nothing yet".
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._give_up_all)
            reading = stack.enter_context(ThreadPoolExecutor(self._helpers, "batch reading"))
            writing = stack.enter_context(ThreadPoolExecutor(self._helpers, "batch writing"))
            # The pages of a stack go into their file one after the other.
            pages = stack.enter_context(ThreadPoolExecutor(1, "batch writing pages"))
            listing = threading.Thread(target=self._list, args=(items, reading), name="batch listing")
            stack.callback(listing.join)
            stack.callback(self._stop)
            listing.start()
            written: list[Future[Step | None]] = []
            self._idle_since = time.monotonic()
            for got in self._loaded():
                if isinstance(got, _Loaded):
                    result = yield from self._denoise(got, time.monotonic() - self._idle_since)
                    if isinstance(result, _Result):
                        writer = writing if result.image.pages == 1 else pages
                        written.append(writer.submit(self._write, result))
                    else:
                        self._forget(got.item)
                        pages.submit(self._give_up_stack, got.item.number)
                        yield result
                    # Neither may outlive its turn: together they are gigabytes.
                    del result
                    self._idle_since = time.monotonic()
                else:
                    yield got
                del got
                yield from _finished(written)
            while written:
                yield from _finished(written)
                yield None
                time.sleep(_BEAT_S / 5)

    def _loaded(self) -> Iterator[_Loaded | Step | None]:
        """What was read, in the order of the items; None where nothing is there yet."""
        while True:
            try:
                line = self._lines.get(timeout=_BEAT_S)
            except queue.Empty:
                # There is nothing to be read: that is no waiting for it.
                self._idle_since = time.monotonic()
                yield None
                continue
            if line is None:
                return
            if isinstance(line, Exception):
                raise line
            with self._changed:
                self._head = line.item
                self._changed.notify_all()
            while True:
                try:
                    got = line.outputs.get(timeout=_BEAT_S)
                except queue.Empty:
                    yield None
                    continue
                if got is None:
                    break
                yield got
                del got
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    # Reading

    def _list(self, items: Iterable[Item | None], reading: ThreadPoolExecutor) -> None:
        try:
            for item in items:
                if item is not None:
                    with self._changed:
                        self._changed.wait_for(lambda: self._is_stopped or self._waiting <= self._helpers)
                        self._waiting += 1
                    line = _Line(item)
                    self._lines.put(line)
                    reading.submit(self._read, line)
                if self._is_stopped:
                    break
        except Exception as error:
            log.exception("The list of a batch cannot be gone through")
            self._lines.put(error)
        self._lines.put(None)

    def _read(self, line: _Line) -> None:
        try:
            self._read_one(line.item, line.outputs.put)
        except Exception as error:
            log.debug("It failed here", exc_info=True)
            self._forget(line.item)
            if self._lose(line.item):
                line.outputs.put(_failed(line.item, error))
        finally:
            line.outputs.put(None)

    def _read_one(self, item: Item, put: Callable[[Step | _Loaded], None]) -> None:
        if self._control.skips(item):
            put(Step(item, "skipped", tr("Left out")))
            return
        if self._journal is not None and self._journal.is_done(item, self._settings(item)):
            put(Step(item, "skipped", tr("Done before: {target}").format(target=item.target), was_done=True))
            return
        if item.problem:
            put(Step(item, "skipped" if item.is_wanted else "failed", item.problem))
            return
        source: _Source | None = None
        page, pages = 0, 1
        while page < pages and item.number not in self._lost:
            if not self._wait_for_room(item):
                return
            loaded = self._load(item, source, page)
            source, pages = loaded.source, loaded.image.pages
            with self._changed:
                self._in_flight[item.number] = self._in_flight.get(item.number, 0) + loaded.image.pixels.nbytes
            put(loaded)
            del loaded
            page += 1

    def _load(self, item: Item, source: _Source | None, page: int) -> _Loaded:
        """Read a page; `source` is what the pages before it were read from."""
        path, develop = item.path, item.values.develop
        before = source.state if source else _state(path)
        image = load_image(path, page, huge=self._huge, develop=develop)
        check_target(image, item.target, self._how.bits)
        if source is None:
            source = _Source(path.stat(), input_hash(path) if self._sidecar else "")
        if before is None or not _is_same(before, path.stat()):
            raise ImageError(
                tr("{name} changed while it was read; try again when nobody writes to it").format(name=path.name)
            )
        reference = load_image(item.reference, develop=develop) if item.reference else None
        return _Loaded(item, source, image, measured(image), reference)

    def _wait_for_room(self, item: Item) -> bool:
        """Whether the batch goes on once there is room for another picture."""
        with self._changed:
            while not self._is_stopped:
                others = {number: size for number, size in self._in_flight.items() if number != item.number}
                own = self._in_flight.get(item.number, 0)
                if sum(others.values()) + own < self._ahead and len(others) < 2 * self._helpers + 1:
                    return True
                # Whose turn it is waits for nobody but itself.
                if not others and not own:
                    return True
                if self._head is item and not own:
                    return True
                self._changed.wait()
        return False

    def _lose(self, item: Item) -> bool:
        """Give up a picture; whether nobody has before."""
        with self._changed:
            is_news = item.number not in self._lost
            self._lost.add(item.number)
        return is_news

    def _forget(self, item: Item, size: int | None = None) -> None:
        """A picture, or `size` bytes of its pages, is no longer in memory."""
        with self._changed:
            left = self._in_flight.get(item.number, 0) - (size or 0)
            if size is None or left <= 0:
                self._in_flight.pop(item.number, None)
            else:
                self._in_flight[item.number] = left
            self._changed.notify_all()

    def _settings(self, item: Item) -> str:
        return settings_hash(item.values, self._how, self._models.key)

    # Denoising

    def _denoise(self, loaded: _Loaded, waited_s: float) -> Iterator[Any]:
        """Yield steps and return the `_Result`, or the last step where there is none."""
        item, image = loaded.item, loaded.image
        if item.number in self._lost:
            return None
        yield Step(item, "running", share=image.page / image.pages)
        single = None
        try:
            single = Single(image, self._models, item.values, loaded.noise)
            # Also before the first tile: a picture without noise has none.
            for step in itertools.chain([None], single.run()):
                while self._control.paused.is_set() and not self._control.skips(item):
                    yield None
                    time.sleep(_BEAT_S)
                if self._control.skips(item):
                    return Step(item, "skipped", tr("Left out")) if self._lose(item) else None
                if step is not None:
                    yield Step(item, "running", share=(image.page + step.done / step.total) / image.pages)
            result, made = single.finish()
            record = single.record()
            if loaded.reference is not None:
                record |= compared(image, result.pixels, loaded.reference)
            self._is_proven = True
            return _Result(item, loaded.source, image.pixels.nbytes, result, made, record, waited_s)
        except Exception as error:
            if single is None and not self._is_proven and isinstance(error, self._fatal):
                raise
            log.debug("It failed here", exc_info=True)
            return _failed(item, error) if self._lose(item) else None

    # Writing

    def _write(self, result: _Result) -> Step | None:
        """Write a page; the step that ends its picture, None where pages are still to come."""
        item, image, source = result.item, result.image, result.source
        try:
            if item.number in self._lost:
                return None
            record = {**result.record, "output": str(item.target)}
            if missing := left_out(image, item.target):
                said = tr("{name} cannot hold the {listed} of the picture; left out").format(
                    name=item.target.name, listed=tr(" and the ").join(missing)
                )
                record["warnings"] = [*record["warnings"], said]
            if image.page == 0:
                self._check_place(item)
            settings, made = self._settings(item), result.made

            def seal(temporary: Path) -> None:
                # Once more: writing takes its time.
                self._check_place(item)
                if self._journal is not None:
                    self._journal.write(item, settings, source.state, temporary)
                # Last of all: it shall lie beside nothing that it is not about.
                if self._sidecar:
                    own = replace(made, input_sha256=source.sha256, output=item.target.name)
                    write_sidecar(own, item.target)

            if image.pages == 1:
                save_image(image, item.target, self._how, seal)
            else:
                if image.page == 0:
                    stack = StackWriter(item.target, item.path, self._how, seal)
                    self._stacks[item.number], self._said[item.number] = stack.__enter__(), []
                self._stacks[item.number].add(image)
                self._said[item.number].append(record)
                if image.page < image.pages - 1:
                    return None
                self._stacks.pop(item.number).__exit__(None, None, None)
                record = _of_pages(self._said.pop(item.number))
            return Step(item, "done", str(item.target), 1.0, record, result.waited_s)
        except Exception as error:
            log.debug("It failed here", exc_info=True)
            self._give_up_stack(item.number)
            return _failed(item, error) if self._lose(item) else None
        finally:
            self._forget(item, result.size)

    def _check_place(self, item: Item) -> None:
        """Make the folder; ImageError where another file came to the target's name since the batch was planned."""
        folder = item.target.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(
                tr("The folder {folder} cannot be made: {reason}").format(folder=folder, reason=error.strerror)
            ) from error
        is_ours = self._journal is not None and self._journal.owns(item)
        if os.path.exists(item.target) and not (item.replaces or is_ours):
            raise ImageError(tr("{target} exists already; it was left as it is").format(target=item.target))

    def _give_up_all(self) -> None:
        for number in list(self._stacks):
            self._give_up_stack(number)

    def _give_up_stack(self, number: int) -> None:
        """Leave nothing of a stack whose pages will not all come."""
        stack = self._stacks.pop(number, None)
        self._said.pop(number, None)
        if stack is not None:
            given_up = ImageError(tr("Not all pages came"))
            # On a full disk closing its files fails, too.
            with contextlib.suppress(ImageError, OSError):
                stack.__exit__(ImageError, given_up, None)


def _of_pages(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said of a stack: means over its pages, null where one of them has none, and each warning once."""
    together = dict(records[0])
    for key in _MEASURED:
        values = [record[key] for record in records]
        together[key] = None if None in values else sum(values) / len(values)
    together["sigma"] = round(together["sigma"], 4)
    together["warnings"] = list(dict.fromkeys(warning for record in records for warning in record["warnings"]))
    together["seconds"] = round(sum(record["seconds"] for record in records), 3)
    return together


_MEASURED = (
    *("sigma", "psnr_db", "ssim", "noisy_psnr_db", "estimated_psnr_db", "estimated_psnr_band_db"),
    *("mean_before", "mean_after"),
)


def _state(path: Path) -> os.stat_result | None:
    """None where there is no such file: who reads it says so better."""
    try:
        return path.stat()
    except OSError:
        return None


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _finished(writing: list[Future[Step | None]]) -> Iterator[Step]:
    """The steps of what has been written, in order."""
    while writing and writing[0].done():
        step = writing.pop(0).result()
        if step is not None:
            yield step


def _failed(item: Item, error: Exception) -> Step:
    if isinstance(error, ValueError | OSError | MemoryError):
        text = str(error) or tr("There is not enough memory")
        log.info("%s: %s", item.path, text)
    else:
        text = tr("Something went wrong that should not: {name}: {error}").format(
            name=type(error).__name__, error=error
        )
        log.error("%s: %s", item.path, text, exc_info=error)
    return Step(item, "failed", text)
