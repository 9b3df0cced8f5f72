"""The curves of a training run as TensorBoard events, where tensorboard is installed; nothing where it is not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from training.events import Event, HeldOut, Started, Step, Validated


class Curves:
    """Loss, learning rate and validation PSNR of a run over its steps, in its folder `tensorboard`."""

    def __init__(self, run: Path) -> None:
        self._folder = run / "tensorboard"
        self._writer: Any = None

    def add(self, event: Event) -> None:
        """Draw what an event brings; the first one of a run opens the file."""
        if isinstance(event, Started):
            self._open(event.step)
        if self._writer is None:
            return
        match event:
            case Step():
                self._writer.add_scalar("loss/training", event.loss, event.step)
                self._writer.add_scalar("learning_rate", event.learning_rate, event.step)
            case HeldOut():
                self._writer.add_scalar("loss/held_out", event.loss, event.step)
            case Validated():
                self._writer.add_scalar("psnr_db/validation", event.psnr_db, event.step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, step: int) -> None:
        try:
            with warnings.catch_warnings():
                # What its own parts find outdated is not the user's concern.
                warnings.simplefilter("ignore")
                from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        # What an interrupted run drew after its last save is drawn again.
        self._writer = SummaryWriter(str(self._folder), purge_step=step, flush_secs=30)
