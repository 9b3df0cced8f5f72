"""Files that appear whole under their name, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, seal: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Give a name in the same folder to write to; at the end the file takes the place of `path`.

    If anything is raised meanwhile, `path` stays as it was and nothing is left behind.

    Args:
        path: of the file.
        seal: called with the complete file just before it takes its place; what it raises leaves all as it was.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        # On the disk before its name is: else a power cut could leave an empty file in place of the old one.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if seal is not None:
            seal(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
