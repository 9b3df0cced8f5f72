"""What has become of each picture of a batch, on the screen and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.batch.plan import Item
from app.terminal import in_a_line
from engine.files import write_text
from engine.language import tr, trn

STATES = {
    "waiting": tr("Waiting"),
    "running": tr("Denoising"),
    "done": tr("Done"),
    "failed": tr("Failed"),
    "skipped": tr("Left out"),
}

_FIELDS: tuple[str, ...] = (
    "picture",
    "state",
    "result",
    "why",
    "method",
    "model",
    "sigma",
    "estimated_psnr_db",
    "seconds",
)


@dataclass(eq=False)
class Row:
    """One picture of a batch.

    Attributes:
        state: one of `STATES`.
        text: why it failed or was left out, where the result is, or what to know of it.
        share: 0 to 1.
        record: what is said of a result, see `app.single.Single.record`.
    """

    item: Item
    state: str = "waiting"
    text: str = ""
    share: float = 0.0
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> str:
        """What a user should know of a result."""
        return " ".join(self.record.get("warnings", ()))

    @property
    def said(self) -> str:
        """The state in a word."""
        return tr("Saving") if self.state == "running" and self.share >= 1 else STATES[self.state]

    @property
    def is_unchanged(self) -> bool:
        """Whether it was saved as it is, because no noise was found."""
        return self.state == "done" and self.record.get("sigma") == 0

    @property
    def note(self) -> str:
        """What is to be known of it in a line, beside its name."""
        if self.state == "done":
            return tr("No noise was found: saved as it is") if self.is_unchanged else self.item.target.name
        name = self.item.path.name
        text = self.text.removeprefix(f"{self.item.path} ").removeprefix(f"{name} ").removeprefix(f"{name}: ")
        return f"{text[:1].upper()}{text[1:]}"


def counted(counts: Mapping[str, int]) -> str:
    """Counts in words, without what there is none of: 298 done, 2 failed."""
    names = {
        "done": tr("{count:,} done"),
        "failed": tr("{count:,} failed"),
        "skipped": tr("{count:,} left out"),
        "waiting": tr("{count:,} not begun"),
    }
    told = [name.format(count=counts[state]) for state, name in names.items() if counts.get(state)]
    return ", ".join(told) or tr("nothing done")


def failures(rows: Sequence[Row]) -> str:
    """A line for each picture without a result, with the reason."""
    missed = [row for row in rows if row.state in ("failed", "skipped")]
    return "\n".join(in_a_line(f"{row.item.path}: {row.text}") for row in missed)


def write(rows: Sequence[Row], path: Path) -> None:
    """Save what has become of all pictures: a table where the name ends in .csv, else a text; OSError if it cannot."""
    text = _table(rows) if path.suffix.lower() == ".csv" else _text(rows)
    # Names of files may hold halves of characters.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _table(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, _FIELDS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        is_done = row.state == "done"
        own = {
            "picture": row.item.path,
            "state": row.state,
            "result": row.item.target if is_done else "",
            "why": row.warnings if is_done else row.text,
        }
        table.writerow({**row.record, **own})
    return text.getvalue()


def _text(rows: Sequence[Row]) -> str:
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    lines = [
        trn("{count:,} picture: {counts}", "{count:,} pictures: {counts}", len(rows)).format(
            count=len(rows), counts=counted(counts)
        ),
        "",
    ]
    for state in ("failed", "skipped", "waiting", "done"):
        some = [row for row in rows if row.state == state]
        if not some:
            continue
        lines.append(f"{STATES[state]}:")
        for row in some:
            said = f"{row.item.target} {row.warnings}".strip() if state == "done" else row.text
            lines.append(in_a_line(f"  {row.item.path}{': ' if said else ''}{said}"))
        lines.append("")
    return "\n".join(lines)
