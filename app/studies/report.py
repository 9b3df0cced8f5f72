"""What a study is given, and what it leaves: `report.md`, `scores.csv`, plots and strips of pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import engine
from engine.encode import save_image
from engine.files import replacing, write_text
from engine.image import Image
from engine.metrics import psnr, ssim

NOT_PRINTED = "–"
"""A cell for which neither paper nor report gives a number."""

STEPS = 200
"""Of each training, where no budget is given."""

# PSNR / SSIM as printed; the report's SSIM is for a data range of 2.
PAPER = {25.0: "29.14 / 0.822", 50.0: "26.13 / 0.709"}
REPORT = {25.0: "28.18 / 0.867", 50.0: "23.68 / 0.696"}

HOW_REPORTED = (
    "*Reported* is measured as the report measures, *right* as it should be. The report takes the noisy colour "
    "pictures of CBSD68, rounded and clipped to 8 bits, and reads them as grey: the weighted sum of three independent "
    "noises is weaker than each, 25 becomes 16.7 at most, and the network is still told 25. It draws sigma anew for "
    "each pass, up to 10 % off, also in the results that are called T = 50. Its SSIM takes the pictures for a data "
    "range of 2 instead of 1 and comes out too high. Right: noise on the grey picture, neither rounded nor clipped, no "
    "jitter, a range of 1."
)


class StudyError(ValueError):
    """A study cannot be made with these choices; the message is meant for the user."""


@dataclass(frozen=True)
class Choices:
    """What a study is given.

    Attributes:
        out: folder for the report, made if it is not there.
        data: folders of the pictures that are measured: clean ones, for `polyu` pairs X_real and X_mean.
        train: folder of clean pictures to learn from, for `networks`.
        model: an installed model or a file; None for the one that leads.
        limit: only the first so many pictures (pairs).
        sigmas: of the noise, on the scale of 0 to 255.
        passes: T of the independent draws.
        steps, minutes: budget of each training; 0 steps train nothing.
        batch: patches a step; None for the study's own.
        draws: "fresh" recorruptions at each step, or "fixed" as in the report.
        seed, device, threads: as in the other commands.
        say: is told what happens, a line at a time.
    """

    out: Path
    data: Sequence[Path]
    train: Path | None = None
    model: str | None = None
    limit: int | None = None
    sigmas: Sequence[float] = (25.0, 50.0)
    passes: int = 50
    steps: int | None = None
    minutes: float | None = None
    batch: int | None = None
    draws: str = "fresh"
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    say: Callable[[str], None] = lambda line: None

    @property
    def budget(self) -> str:
        """Of each training, for people."""
        return f"{self.minutes:g} minutes" if self.minutes else f"{STEPS if self.steps is None else self.steps} steps"


@dataclass(frozen=True)
class Score:
    """One picture under one setting; SSIM for the pictures' data range, 1, and for the one the report takes, 2."""

    name: str
    settings: Mapping[str, Any]
    psnr_db: float
    ssim: float
    ssim_range_2: float


def score(name: str, denoised: np.ndarray, clean: np.ndarray, **settings: Any) -> Score:
    """Measure a result (H, W, C), clipped to [0, 1]."""
    shown = denoised.clip(0, 1)
    return Score(name, settings, psnr(shown, clean), ssim(shown, clean), ssim(shown, clean, 2.0))


class Scores(list[Score]):
    """All scores of a study."""

    def where(self, **settings: Any) -> Scores:
        """Those with these settings."""
        return Scores(s for s in self if settings.items() <= s.settings.items())

    def db(self, **settings: Any) -> float:
        """Their mean PSNR."""
        return float(np.mean([s.psnr_db for s in self.where(**settings)]))

    def cell(self, **settings: Any) -> str | None:
        """Mean PSNR / mean SSIM, the SSIM of the report where the protocol is the report's; None if there is none."""
        found = self.where(**settings)
        if not found:
            return None
        reported = settings.get("protocol") == "reported"
        similarity = np.mean([s.ssim_range_2 if reported else s.ssim for s in found])
        return f"{found.db():.2f} / {similarity:.3f}"


def figure_class() -> Any:
    """Matplotlib's Figure, which needs no display; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure


class Report:
    """A page with its pictures.

    Args:
        name: of the study.
        title: of the page.
        choices: the study's.
        about: what else must be known to repeat it, such as the model.
    """

    def __init__(self, name: str, title: str, choices: Choices, *about: str) -> None:
        self._folder, self._lines, self.scores = choices.out, [f"# {title}", ""], Scores()
        self._folder.mkdir(parents=True, exist_ok=True)
        given = [f"pictures of {', '.join(path.name for path in choices.data)}"]
        given += [f"the first {choices.limit}"] if choices.limit else []
        given += [f"seed {choices.seed}", *about, f"Pellucid {engine.__version__}"]
        self.text(f"`python -m app study {name}`: {', '.join(given)}.")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        for paragraph in paragraphs:
            self._lines += [paragraph, ""]

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        """Add a table; None stands for what no network was trained for."""
        for cells in (header, ["---"] * len(header), *rows):
            self._lines.append("| " + " | ".join("not trained yet" if cell is None else cell for cell in cells) + " |")
        self._lines.append("")

    def strip(self, name: str, about: str, parts: Sequence[np.ndarray]) -> None:
        """Add pictures side by side, (H, W, C) each."""
        save_image(Image(np.concatenate([part.clip(0, 1) for part in parts], 1)), self._folder / name)
        self.text(f"{about}\n\n![{about}]({name})")

    def plot(self, name: str, about: str, draw: Callable[[Any], None]) -> None:
        """Add what `draw` puts on a matplotlib figure; nothing without matplotlib."""
        figure_of = figure_class()
        if figure_of is None:
            return
        figure = figure_of(figsize=(8, 4), layout="constrained")
        draw(figure)
        with replacing(self._folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
        self.text(f"{about}\n\n![{about}]({name})")

    def lines(
        self, name: str, about: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], label: str
    ) -> None:
        """Add a plot of PSNR over something, a line for each name."""

        def draw(figure: Any) -> None:
            axes = figure.subplots()
            for line, values in lines.items():
                axes.plot(x, values, "o-", label=line)
            axes.set(xlabel=label, ylabel="PSNR in dB")
            axes.legend()

        self.plot(name, about, draw)

    def csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write a table of its own."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        write_text(self._folder / name, text.getvalue())

    def write(self) -> None:
        """Write the page and the scores."""
        write_text(self._folder / "report.md", "\n".join(self._lines).rstrip() + "\n")
        settings = list(dict.fromkeys(key for s in self.scores for key in s.settings))
        rows = [
            [s.name, *(s.settings.get(key, "") for key in settings)]
            + [f"{value:.5f}" for value in (s.psnr_db, s.ssim, s.ssim_range_2)]
            for s in self.scores
        ]
        self.csv("scores.csv", ["name", *settings, "psnr_db", "ssim", "ssim_range_2"], rows)
