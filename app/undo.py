"""Undo and redo of what a user sets: one stack of steps for all pictures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QUndoCommand, QUndoStack

from app.values import Values

MERGE_S = 1.0
"""Changes of the same setting that follow one another faster are one step; a drag of a slider is one, however long."""

_MOST_STEPS = 1000


@dataclass(frozen=True)
class Held:
    """What a step may change of one picture.

    Attributes:
        values: set by the user.
        reference: chosen by hand.
        finds_reference: whether a clean twin is looked for by name.
    """

    values: Values
    reference: Path | None = None
    finds_reference: bool = True


@dataclass(frozen=True)
class State:
    """What a step may change.

    Attributes:
        pictures: by the id of their entries; none where no picture is open.
        start: the values that the next picture starts with.
    """

    pictures: Mapping[int, Held] = field(default_factory=dict)
    start: Values = field(default_factory=Values)

    def difference(self, other: State) -> frozenset[str]:
        """The names of what differs, as `params.r2r.alpha`; the next picture's values count where no picture is."""
        if not self.pictures:
            return _difference(self.start, other.start)
        pairs = ((held, other.pictures[picture]) for picture, held in self.pictures.items())
        return frozenset().union(*(_difference(first, second) for first, second in pairs))


def _difference(first: Any, second: Any, name: str = "") -> frozenset[str]:
    """The names of the leaves that differ, also of those that only one has; an empty object is as none."""
    if dataclasses.is_dataclass(first) and dataclasses.is_dataclass(second):
        first, second = vars(first), vars(second)
    if not (isinstance(first, Mapping) or isinstance(second, Mapping)):
        return frozenset({name.removeprefix(".")} if first is not second and first != second else ())
    first, second = (held if isinstance(held, Mapping) else {} for held in (first, second))
    return frozenset().union(
        *(
            _difference(first.get(key, _NOTHING), second.get(key, _NOTHING), f"{name}.{key}")
            for key in {**first, **second}
        )
    )


_NOTHING = object()


class Step(QUndoCommand):
    """One change, made already when it is put on the stack."""

    def __init__(self, history: History, text: str, before: State, after: State, merges: bool) -> None:
        super().__init__(text)
        self._history, self._before, self._after, self._merges = history, before, after, merges
        self._series, self._time, self._is_made = history.series, time.monotonic(), True
        self._changed = before.difference(after)

    @property
    def is_dead(self) -> bool:
        """Whether all of its pictures are gone."""
        pictures = self._before.pictures
        return bool(pictures) and self._history.gone.issuperset(pictures)

    def id(self) -> int:
        """The same for steps that may be merged."""
        return 1 if self._merges else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take in the next change of the same setting of the same pictures; there and back again is no step."""
        if not isinstance(other, Step) or other._series != self._series or other._changed != self._changed:
            return False
        is_late = other._time - self._time > MERGE_S and not self._history.is_dragging
        if is_late or other._before.pictures.keys() != self._before.pictures.keys():
            return False
        self._after, self._time = other._after, other._time
        self.setObsolete(not self._before.difference(self._after))
        return True

    def undo(self) -> None:
        """Bring back what was before."""
        self._restore(self._before)

    def redo(self) -> None:
        """Bring back what came after; the stack calls it for a new step, too."""
        if self._is_made:
            self._is_made = False
        else:
            self._restore(self._after)

    def _restore(self, state: State) -> None:
        if self.is_dead:
            self.setObsolete(True)
        else:
            self._history.restore(state)


class History(QUndoStack):
    """The steps that can be undone and redone.

    Args:
        restore: brings a state back.
        parent: owns the stack.

    Attributes:
        series: number of the series of changes; only within one they are merged.
        is_dragging: whether a slider is held.
        is_moving: whether a step is being taken back, or made again.
        gone: ids of the pictures that left the list, which no step can change any more.
    """

    def __init__(self, restore: Callable[[State], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.restore = restore
        self.series = 0
        self.is_dragging = self.is_moving = False
        self.gone: set[int] = set()
        self.setUndoLimit(_MOST_STEPS)

    def keep(self, text: str, before: State, after: State, merges: bool = True) -> None:
        """Put a change that was made on the stack, if it changed anything."""
        if before.difference(after):
            self.push(Step(self, text, before, after, merges))
            self._drop_dead()

    def begin_drag(self) -> None:
        """A slider is held: what follows is one step until `end_drag`."""
        self.seal()
        self.is_dragging = True

    def end_drag(self) -> None:
        """The slider was let go."""
        self.seal()

    def seal(self) -> None:
        """Let the next change be a step of its own."""
        self.series += 1
        self.is_dragging = False

    def back(self) -> None:
        """Undo the last step."""
        self._move(self.undo)

    def forward(self) -> None:
        """Redo the step that was undone last."""
        self._move(self.redo)

    def _move(self, step: Callable[[], None]) -> None:
        self.seal()
        self.is_moving = True
        step()
        self.is_moving = False
        self._drop_dead()

    def forget(self, pictures: Iterable[int]) -> None:
        """Pictures left the list: steps that are about no others go, too."""
        self.gone.update(pictures)
        self._drop_dead()

    def _drop_dead(self) -> None:
        """Take dead steps off both ends of what can be reached; the others follow when they come to an end."""
        while _is_dead(self.command(self.index() - 1)):
            self.undo()
        while _is_dead(self.command(self.index())):
            self.redo()


def _is_dead(command: QUndoCommand | None) -> bool:
    return isinstance(command, Step) and command.is_dead
