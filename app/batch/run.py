"""The batch itself: while one picture is denoised, the next is read and the last is written."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.batch.journal import Journal, settings_hash
from app.batch.plan import Item
from app.batch.progress import Control, Step
from app.single import Models, Single, compared, measured
from engine.encode import AS_INPUT, Encoding, check_target, save_image
from engine.image import Image, ImageError, input_hash, load_image
from engine.noise import NoiseError, NoiseReport
from engine.provenance import Provenance, write_sidecar
from engine.stack import StackWriter

log = logging.getLogger(__name__)

_AHEAD = 1 << 30
"""Bytes of pictures that are read, in work or being written, from which on no other is read ahead."""

_MOST_AHEAD = 3
_BEAT_S = 0.05
"""Between two chances to stop while nothing else can be reported."""


@dataclass(frozen=True, eq=False)
class _Loaded:
    item: Item
    image: Image
    noise: NoiseReport | NoiseError
    reference: Image | None = None


@dataclass(frozen=True, eq=False)
class _Result:
    """A page that is ready to be written."""

    item: Item
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
        fatal: errors that all other pictures would meet, too: they end the batch.
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
        self._read: queue.Queue[Step | _Loaded | BaseException | None] = queue.Queue()
        self._in_flight: dict[int, int] = {}
        self._changed = threading.Condition()
        self._is_stopped = False
        self._lost: set[int] = set()
        self._stacks: dict[int, StackWriter] = {}

    def run(self, items: Iterable[Item | None]) -> Iterator[Step | None]:
        """Denoise the items; None where there is nothing to tell, and the caller may stop.

        Closing the generator stops within a tile; a result that is being written is written.

        Args:
            items: taken in a thread of their own as they are needed; None stands for "nothing yet".
        """
        reader = threading.Thread(target=self._read_all, args=(items,), name="batch reading")
        reader.start()
        writing: list[Future[Step | None]] = []
        try:
            with ThreadPoolExecutor(1, "batch writing") as writer:
                began = time.monotonic()
                while (got := self._next()) is not None:
                    if got is _NOTHING:
                        yield from _finished(writing)
                        yield None
                        continue
                    waited = time.monotonic() - began
                    if isinstance(got, BaseException):
                        raise got
                    if isinstance(got, _Loaded):
                        result = yield from self._denoise(got, waited)
                        if isinstance(result, _Result):
                            writing.append(writer.submit(self._write, result))
                        else:
                            self._forget(got.item)
                            writing.append(writer.submit(self._give_up_stack, got.item.number))
                            yield result
                        # Neither may outlive its turn: together they are gigabytes.
                        del result
                    else:
                        yield got
                    del got
                    yield from _finished(writing)
                    began = time.monotonic()
                while writing:
                    yield from _finished(writing)
                    yield None
                    time.sleep(_BEAT_S / 5)
        finally:
            with self._changed:
                self._is_stopped = True
                self._changed.notify_all()
            reader.join()
            for number in list(self._stacks):
                self._give_up_stack(number)

    def _next(self) -> Any:
        try:
            return self._read.get(timeout=_BEAT_S)
        except queue.Empty:
            return _NOTHING

    # Reading

    def _read_all(self, items: Iterable[Item | None]) -> None:
        try:
            for item in items:
                if item is not None:
                    self._read_one(item)
                if self._is_stopped:
                    break
        except Exception as error:
            log.exception("The list of a batch cannot be gone through")
            self._read.put(error)
        self._read.put(None)

    def _read_one(self, item: Item) -> None:
        if self._control.skips(item):
            self._read.put(Step(item, "skipped", "Left out"))
            return
        if self._journal is not None and self._journal.is_done(item, self._settings(item)):
            self._read.put(Step(item, "skipped", f"Done before: {item.target}", was_done=True))
            return
        if item.problem:
            self._read.put(Step(item, "skipped" if item.is_wanted else "failed", item.problem))
            return
        page, pages = 0, 1
        while page < pages and item.number not in self._lost:
            if not self._wait_for_room(item):
                return
            try:
                develop = item.values.develop
                image = load_image(item.path, page, huge=self._huge, develop=develop)
                check_target(image, item.target, self._how.bits)
                reference = load_image(item.reference, develop=develop) if item.reference else None
                loaded = _Loaded(item, image, measured(image), reference)
            except Exception as error:
                log.debug("It failed here", exc_info=True)
                self._lost.add(item.number)
                self._forget(item)
                self._read.put(_failed(item, error))
                return
            pages = image.pages
            with self._changed:
                self._in_flight[item.number] = self._in_flight.get(item.number, 0) + image.pixels.nbytes
            self._read.put(loaded)
            del image, loaded
            page += 1

    def _wait_for_room(self, item: Item) -> bool:
        """Whether the batch goes on once there is room for another picture."""
        with self._changed:
            while not self._is_stopped:
                flying = self._in_flight.values()
                if sum(flying) < _AHEAD and len(flying) < _MOST_AHEAD and self._read.qsize() < _MOST_AHEAD:
                    return True
                if not self._in_flight:
                    return True
                self._changed.wait(_BEAT_S)
        return False

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
        try:
            single = Single(image, self._models, item.values, loaded.noise)
            for step in single.run():
                while self._control.paused.is_set() and not self._control.skips(item):
                    yield None
                    time.sleep(_BEAT_S)
                if self._control.skips(item):
                    self._lost.add(item.number)
                    return Step(item, "skipped", "Left out")
                yield Step(item, "running", share=(image.page + step.done / step.total) / image.pages)
            result, made = single.finish()
            record = single.record()
            if loaded.reference is not None:
                record |= compared(image, result.pixels, loaded.reference)
            return _Result(item, result, made, record, waited_s)
        except self._fatal:
            raise
        except Exception as error:
            log.debug("It failed here", exc_info=True)
            self._lost.add(item.number)
            return _failed(item, error)

    # Writing

    def _write(self, result: _Result) -> Step | None:
        """Write a page; the step that ends its picture, None where pages are still to come."""
        item, image = result.item, result.image
        size = image.pixels.nbytes
        try:
            if item.number in self._lost:
                return None
            record = {**result.record, "output": str(item.target)}
            if image.page == 0:
                self._check_place(item)
            if self._sidecar and image.page == 0:
                made = replace(result.made, input_sha256=input_hash(item.path), output=item.target.name)
                write_sidecar(made, item.target)
            source, settings = item.path.stat(), self._settings(item)

            def seal(temporary: Path) -> None:
                if self._journal is not None:
                    self._journal.write(item, settings, source, temporary)

            if image.pages == 1:
                save_image(image, item.target, self._how, seal)
            else:
                if image.page == 0:
                    stack = StackWriter(item.target, item.path, self._how, seal)
                    self._stacks[item.number] = stack.__enter__()
                self._stacks[item.number].add(image)
                if image.page < image.pages - 1:
                    return None
                self._stacks.pop(item.number).__exit__(None, None, None)
            return Step(item, "done", str(item.target), 1.0, record, result.waited_s)
        except Exception as error:
            log.debug("It failed here", exc_info=True)
            self._lost.add(item.number)
            self._give_up_stack(item.number)
            return _failed(item, error)
        finally:
            self._forget(item, size)

    def _check_place(self, item: Item) -> None:
        """Make the folder; ImageError where another file came to the target's name since the batch was planned."""
        item.target.parent.mkdir(parents=True, exist_ok=True)
        is_ours = self._journal is not None and self._journal.owns(item)
        if item.target.exists() and not (item.replaces or is_ours):
            raise ImageError(f"{item.target} exists already; it was left as it is")

    def _give_up_stack(self, number: int) -> None:
        """Leave nothing of a stack whose pages will not all come."""
        stack = self._stacks.pop(number, None)
        if stack is not None:
            given_up = ImageError("Not all pages came")
            with contextlib.suppress(ImageError):
                stack.__exit__(ImageError, given_up, None)


_NOTHING = object()


def _finished(writing: list[Future[Step | None]]) -> Iterator[Step]:
    """The steps of what has been written, in order."""
    while writing and writing[0].done():
        step = writing.pop(0).result()
        if step is not None:
            yield step


def _failed(item: Item, error: Exception) -> Step:
    if isinstance(error, ValueError | OSError | MemoryError):
        text = str(error) or "There is not enough memory"
        log.info("%s: %s", item.path, text)
    else:
        text = f"Something went wrong that should not: {type(error).__name__}: {error}"
        log.error("%s: %s", item.path, text, exc_info=error)
    return Step(item, "failed", text)
