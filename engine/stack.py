"""Saving the pages of a stack one by one: a volume, a film or a scanned document is never in memory as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import tifffile

from engine.decode import ImageError, foreign_errors
from engine.encode import Encoding, encoded
from engine.files import replacing
from engine.image import Image


class StackWriter:
    """A context in which every page of a stack is added once, in order; the file appears when it ends without error.

    Used as `with StackWriter(path, like, how) as stack: stack.add(image)`. Leaving it before all pages were added is an
    ImageError, and then, as after any other error, nothing appears under the name.
    """

    def __init__(
        self, path: str | Path, like: str | Path, how: Encoding, seal: Callable[[Path], object] | None = None
    ) -> None:
        """Take the name of the new file and that of the file whose pages are added.

        Args:
            path: ends in .tif.
            like: the stack that the pages come from.
            how: as for `save_image`; without `bits` each page keeps its type.
            seal: called with the complete file under its temporary name, just before it takes its place.
        """
        self.path, self.like, self.how = Path(path), Path(like), how
        self._seal = seal
        self._open = contextlib.ExitStack()
        self._pages = self._added = 0

    def __enter__(self) -> StackWriter:
        """Open the file under a temporary name."""
        with foreign_errors(self.path, "cannot be saved"), contextlib.ExitStack() as opened:
            opened.enter_context(foreign_errors(self.path, "cannot be saved"))
            temporary = opened.enter_context(replacing(self.path, self._seal))
            self._writer = opened.enter_context(tifffile.TiffWriter(temporary))
            self._open = opened.pop_all()
        return self

    def add(self, image: Image) -> None:
        """Write the next page; ImageError if it is not the one that comes next or cannot be written."""
        with foreign_errors(self.path, "cannot be saved"):
            if image.page != self._added:
                raise ImageError(f"{self.path.name}: page {self._added} was expected, not {image.page}")
            self._writer.write(encoded(image, self.path, self.how), metadata=None, contiguous=False)
            self._pages, self._added = image.pages, self._added + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the file take its place if all is there."""
        if kind is None and self._added < max(1, self._pages):
            error = ImageError(f"{self.path.name} cannot be saved: {self._added} of its {self._pages} pages came")
            self._open.__exit__(type(error), error, None)
            raise error
        self._open.__exit__(kind, error, trace)
