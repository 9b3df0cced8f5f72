"""How far a batch is, and what a user may ask of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.batch.plan import Item


@dataclass(frozen=True)
class Step:
    """How far one picture of a batch is.

    Attributes:
        state: running, done, failed or skipped.
        text: why, or where the result is.
        share: 0 to 1.
        record: what is said of a result, see `Single.record`.
        waited_s: how long the network has waited for this picture to be read.
        was_done: whether it is skipped because an earlier run has done it.
    """

    item: Item
    state: str
    text: str = ""
    share: float = 0.0
    record: Mapping[str, Any] = field(default_factory=dict)
    waited_s: float = 0.0
    was_done: bool = False


class Control:
    """What a user may ask of a running batch, from any thread."""

    def __init__(self) -> None:
        self.paused = threading.Event()
        self._skipped: set[int] = set()

    def skip(self, number: int) -> None:
        """Leave out the item of this number, also while it is in work."""
        self._skipped.add(number)

    def skips(self, item: Item) -> bool:
        """Whether that was asked."""
        return item.number in self._skipped


class Tally:
    """How far a batch is as a whole.

    Files count by their size: what takes long in a picture is its pixels.

    Args:
        items: all that are known; more may come.
    """

    def __init__(self, items: Sequence[Item] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[Step] = []
        self.waited_s = 0.0
        self._sizes: dict[int, int] = {}
        self._shares: dict[int, float] = {}
        self._ended: set[int] = set()
        # Sums of the sizes, and of what is through of them: a batch of thousands asks at every tile.
        self._whole = self._through = 0.0
        self._worked = self._worth = 0.0
        self._resumed = time.monotonic()
        self._is_paused = False
        self.expect(items)

    def expect(self, items: Iterable[Item]) -> None:
        """More pictures are to come."""
        for item in items:
            try:
                size = max(1, item.path.stat().st_size)
            except OSError:
                size = 1
            self._whole += size - self._sizes.get(item.number, 0)
            self._sizes[item.number] = size

    def add(self, step: Step) -> None:
        """Take over a step."""
        if step.item.number not in self._sizes:
            self.expect([step.item])
        size = self._sizes[step.item.number]
        if step.state == "running":
            self._worth += size * self._raise(step.item.number, step.share)
            return
        self._ended.add(step.item.number)
        self.counts[step.state] += 1
        self.waited_s += step.waited_s
        if step.state == "failed":
            self.failures.append(step)
        more = self._raise(step.item.number, 1.0)
        if step.state == "done":
            self._worth += size * more

    def _raise(self, number: int, share: float) -> float:
        """Note how far a picture is; by how much that is more than before."""
        more = share - self._shares.get(number, 0.0)
        self._shares[number] = share
        self._through += self._sizes[number] * more
        return more

    def pause(self, is_paused: bool) -> None:
        """Time does not count while it is paused."""
        if is_paused != self._is_paused:
            self._worked, self._resumed, self._is_paused = self.seconds, time.monotonic(), is_paused

    @property
    def total(self) -> int:
        """How many pictures are known."""
        return len(self._sizes)

    @property
    def ended(self) -> int:
        """How many are done, failed or skipped."""
        return len(self._ended)

    @property
    def share(self) -> float:
        """0 to 1, of all."""
        return min(1.0, self._through / max(1.0, self._whole))

    @property
    def seconds(self) -> float:
        """At work, without pauses."""
        return self._worked + (0.0 if self._is_paused else time.monotonic() - self._resumed)

    @property
    def seconds_left(self) -> float | None:
        """None while that cannot be known."""
        if self._worth <= 0:
            return None
        return self.seconds / self._worth * max(0.0, self._whole - self._through)
