"""A folder that is looked into again and again: what arrives is denoised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.batch.plan import Filter, Item, Planner, find
from app.values import Values

EVERY_S = 2.0
"""Between two looks; a file is taken when it was the same at two of them, for it may still be being written."""

_BEAT_S = 0.1


def watched(
    folders: Sequence[Path],
    which: Filter,
    planner: Planner,
    values: Values,
    out: Path | None,
    there: Sequence[Item] = (),
    every_s: float = EVERY_S,
) -> Iterator[Item | None]:
    """The items that are there, then one for each picture that arrives or changes, without end; None in between.

    Looking is all that works on every file system: network shares and removable disks tell of no changes.

    Args:
        folders: that are looked into.
        which: files of them.
        planner: gives each a name.
        values: for all.
        out: where the results go; pictures below it are none that arrived.
        there: planned already.
        every_s: seconds between two looks.
    """
    seen: dict[Path, tuple[int, int]] = {}
    taken = {item.path: _state(item.path) for item in there}
    yield from there
    number = max((item.number for item in there), default=0)
    while True:
        now: dict[Path, tuple[int, int]] = {}
        for one in find([folder for folder in folders if os.path.isdir(folder)], which, out):
            state = _state(one.path)
            # One that was taken too early, or has changed since, is taken again.
            if state is None or taken.get(one.path) == state:
                continue
            now[one.path] = state
            if state[0] and seen.get(one.path) == state:
                taken[one.path] = state
                number += 1
                yield from planner.plan([one], values, first=number)
        seen = now
        until = time.monotonic() + every_s
        while time.monotonic() < until:
            yield None
            time.sleep(_BEAT_S)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time; None where it is gone."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
