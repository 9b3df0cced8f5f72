"""Arrays that are too large for memory, in files without a name that are gone when the array is."""

from __future__ import annotations

import math
import os
import shutil
import tempfile

import numpy as np

from engine import paths
from engine.language import tr

IN_MEMORY = 1 << 28
"""Samples up to which an array lies in memory; as float32, 1 GB."""


class NoRoom(OSError):
    """The disk of the cache has no room for an array."""


def array(shape: tuple[int, ...], kind: np.dtype | type | str) -> np.ndarray:
    """An array of that shape and type, its values undefined; in a file where it exceeds `IN_MEMORY`.

    Raises:
        NoRoom: the disk has not as many bytes; the message says how many are needed and how many are free.
    """
    return np.empty(shape, kind) if math.prod(shape) <= IN_MEMORY else filed(shape, kind)


def filed(shape: tuple[int, ...], kind: np.dtype | type | str) -> np.ndarray:
    """An array of zeros in a file, whatever its size; NoRoom as for `array`."""
    kind = np.dtype(kind)
    size = math.prod(shape) * kind.itemsize
    folder = paths.cache()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NoRoom(
            tr("it needs {size:,} bytes on the disk of {folder}, where {free:,} are free").format(
                size=size, folder=folder, free=free
            )
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # Reserved here, because a mapped file that finds its disk full later ends the process.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.asarray(np.memmap(file, kind, "r+", shape=shape))


def free_bytes() -> int:
    """What the disk of such files has left."""
    folder = paths.cache()
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free
