"""A folder that is looked into again and again: what arrives is denoised."""

from __future__ import annotations

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
    """The items that are there, then one for each picture that arrives, without end; None while nothing does.

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
    yield from there
    taken = {item.path for item in there}
    number = max((item.number for item in there), default=0)
    seen: dict[Path, tuple[int, int]] = {}
    while True:
        now: dict[Path, tuple[int, int]] = {}
        for one in find([folder for folder in folders if folder.is_dir()], which, out):
            if one.path in taken:
                continue
            try:
                state = one.path.stat()
            except OSError:
                continue  # gone since
            now[one.path] = state.st_size, state.st_mtime_ns
            if state.st_size and seen.get(one.path) == now[one.path]:
                taken.add(one.path)
                number += 1
                yield from planner.plan([one], values, first=number)
        seen = now
        until = time.monotonic() + every_s
        while time.monotonic() < until:
            yield None
            time.sleep(_BEAT_S)
