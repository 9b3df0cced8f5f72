"""Several processes of this machine that do one work: started, watched and ended."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from engine.language import tr
from training.events import Ended, Event
from training.job import TrainError
from training.ranks import RankLost, Ranks, join, leave

log = logging.getLogger(__name__)

Work = Callable[[Callable[[], bool], Ranks], Iterator[Event]]
"""(should_stop, ranks) to events; every rank calls it, and those of the first one count."""

_MEETING = "ranks"
_GRACE_S = 5.0


def sentence(error: Exception) -> str:
    """What an error says, or what it is."""
    return str(error) or type(error).__name__


@dataclass(frozen=True)
class _Failure:
    """Why a rank ended.

    Attributes:
        sentence: for the user.
        trace: of what a user cannot cause; "" of what one can.
        is_echo: it ended because another had.
    """

    sentence: str
    trace: str = ""
    is_echo: bool = False


@dataclass(frozen=True)
class _Member:
    """A rank, as the process sees it that started it."""

    process: BaseProcess
    orders: Connection
    reports: Connection


def spread(
    work: Work, count: int, run: Path, should_stop: Callable[[], bool], *, on_gpu: bool
) -> Generator[Event, None, None]:
    """Do the work in `count` processes of this machine and give the events of the first.

    All of them are children and this one only watches: whichever fails, in whatever state the others wait for it, they
    are ended and its reason is raised, as TrainError if a user can cause it, else as RuntimeError. Ended early, at a
    yield, it ends them at once.

    Args:
        work: can be pickled.
        count: of processes.
        run: the folder where they meet.
        should_stop: asked a few times a second.
        on_gpu: whether each has a GPU of its own.
    """
    meeting = run / _MEETING
    meeting.unlink(missing_ok=True)  # of a run that was killed
    members: list[_Member] = []
    try:
        with _without_interrupts():
            for number in range(count):
                members.append(_started(work, number, count, meeting, on_gpu))
        yield from _overheard(members, should_stop)
    finally:
        _end(members)
        with contextlib.suppress(OSError):
            meeting.unlink(missing_ok=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started meanwhile: the terminal sends it to all, and they end by an order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _started(work: Work, number: int, count: int, meeting: Path, on_gpu: bool) -> _Member:
    # Not forked: neither CUDA nor threads survive that.
    context = multiprocessing.get_context("spawn")
    heard, orders = context.Pipe(duplex=False)
    reports, told = context.Pipe(duplex=False)
    process = context.Process(
        target=_rank, args=(work, number, count, meeting, on_gpu, heard, told), name=f"rank {number}", daemon=True
    )
    process.start()
    # Only then does the other end of each say when a process has gone.
    heard.close()
    told.close()
    return _Member(process, orders, reports)


def _overheard(members: list[_Member], should_stop: Callable[[], bool]) -> Generator[Event, None, None]:
    """What the first rank reports, until all have ended; raises why one failed."""
    open_ends: dict[object, _Member] = {member.reports: member for member in members}
    failures: list[_Failure] = []
    deadline: float | None = None  # from the first failure, or the end, on
    was_asked = has_ended = False
    while open_ends and (deadline is None or time.monotonic() < deadline):
        if not was_asked and should_stop():
            was_asked = True
            for member in members:
                with contextlib.suppress(OSError):
                    member.orders.send(None)
        for ready in wait([member.reports for member in open_ends.values()], timeout=0.2):
            member = open_ends[ready]
            try:
                told = member.reports.recv()
            except (EOFError, OSError):
                del open_ends[ready]
                member.process.join(_GRACE_S)
                if member.process.exitcode and not has_ended:
                    told = _killed(member.process)
                else:
                    continue
            if isinstance(told, _Failure):
                failures.append(told)
            else:
                has_ended |= isinstance(told, Ended)
                yield told
        # One that only lost another waits for that one's own reason.
        if any(not failure.is_echo for failure in failures):
            break
        if (failures or has_ended) and deadline is None:
            deadline = time.monotonic() + _GRACE_S
    if has_ended or not failures:
        return
    failure = min(failures, key=lambda failure: failure.is_echo)
    if not failure.trace:
        raise TrainError(failure.sentence)
    error = RuntimeError(failure.sentence)
    error.add_note(failure.trace)
    raise error


def _killed(process: BaseProcess) -> _Failure:
    code = process.exitcode or 0
    if code == -9:
        said = tr(
            "A process of the training ({name}) was ended by signal {signal}, as by a system that is out of memory"
        )
    elif code < 0:
        said = tr("A process of the training ({name}) was ended by signal {signal}")
    else:
        said = tr("A process of the training ({name}) ended with status {status}")
    return _Failure(said.format(name=process.name, signal=-code, status=code))


def _end(members: list[_Member]) -> None:
    """See that no rank is left."""
    for member in members:
        member.orders.close()  # ends it, see `_obey`
        member.reports.close()
    for end in (None, "terminate", "kill"):
        deadline = time.monotonic() + _GRACE_S
        for member in members:
            if end and member.process.is_alive():
                getattr(member.process, end)()
            member.process.join(max(0.0, deadline - time.monotonic()))
    for member in members:
        with contextlib.suppress(ValueError):
            member.process.close()


def _rank(
    work: Work, number: int, count: int, meeting: Path, on_gpu: bool, orders: Connection, reports: Connection
) -> None:
    """One rank, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    threading.Thread(target=_obey, args=(orders, stop), daemon=True).start()
    # They share the processor, too.
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    status = 0
    try:
        ranks = join(number, count, meeting, number if on_gpu else None)
        for event in work(stop.is_set, ranks):
            if ranks.is_first:
                reports.send(event)
    except Exception as error:
        # Before the group is left, or the others would be the first to say that something is wrong.
        is_defect = not isinstance(error, ValueError | OSError | RankLost)
        trace = "".join(traceback.format_exception(error)) if is_defect else ""
        with contextlib.suppress(OSError):  # nobody listens any more
            reports.send(_Failure(sentence(error), trace, isinstance(error, RankLost)))
        if is_defect:
            log.exception("Rank %d failed", number)
        status = 1
    leave()
    # Without the second that Python takes to clear up, in which whatever goes wrong would be of no interest.
    reports.close()
    os._exit(status)


def _obey(orders: Connection, stop: threading.Event) -> None:
    """Wait for the order to stop; end this process once the one is gone that started it, however that ended."""
    try:
        while True:
            orders.recv()
            stop.set()
    except (EOFError, OSError):
        os._exit(1)
