"""What the pages of "Train on my folder" have in common, and the plan that they fill in together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from training.folder import Found
from training.job import Preview, TrainJob


@dataclass
class Plan:
    """What the user has decided so far; every page reads and changes it.

    Attributes:
        folder: of the noisy pictures.
        recursive: whether folders inside it belong to it.
        found: what the pre-flight saw in it.
        left_out: names of pictures that are not used, below `folder`.
        held_out: names of those that are judged on.
        method: its id.
        start: name of the model to begin with; None for random weights.
        against: name of the model that the result has to beat; None for the start, or the noisy pictures.
        network: where there is no start, what is trained; None for the method's default.
        minutes: the budget, and the limit where `until_best`.
        until_best: to end when the judgement stops improving.
        name: what the model will be called.
        options: further fields of `TrainJob`, of the page's "Advanced".
        preview: what is shown while it learns.
    """

    folder: Path | None = None
    recursive: bool = True
    found: Sequence[Found] = ()
    left_out: set[str] = field(default_factory=set)
    held_out: set[str] = field(default_factory=set)
    method: str = ""
    start: str | None = None
    against: str | None = None
    network: str | None = None
    minutes: float = 5.0
    until_best: bool = False
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    preview: Preview | None = None

    @property
    def used(self) -> list[Found]:
        """The pictures that are learned from or judged on."""
        return [found for found in self.found if not found.problem and found.name not in self.left_out]

    def job(self) -> TrainJob:
        """The run that this asks for; TrainError if it cannot be."""
        unusable = {found.name for found in self.found if found.problem}
        held_out = tuple(sorted(self.held_out - self.left_out - unusable))
        ends: dict[str, Any] = {"schedule": "plateau", "patience": 8} if self.until_best and held_out else {}
        settings: dict[str, Any] = {
            "data": str(self.folder),
            "recursive": self.recursive,
            "method": self.method,
            "network": None if self.start else self.network,
            "start": self.start,
            "against": self.against,
            "minutes": self.minutes,
            "held_out": held_out,
            "leave_out": tuple(sorted(self.left_out | unusable)),
            "name": self.name,
            "preview": self.preview,
            **ends,
            **self.options,
        }
        return TrainJob(**settings)


class Page(QWidget):
    """One step of the wizard."""

    title = ""
    changed = Signal()
    """Something that the frame shows may be different now: whether the page is complete, or what comes next."""

    def __init__(self, plan: Plan, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plan = plan

    def enter(self) -> None:
        """Called when the page is shown."""

    @property
    def is_complete(self) -> bool:
        """Whether the next page may be shown."""
        return True

    def close_page(self) -> None:
        """Called when the window is closed for good: end threads, cancel jobs."""
