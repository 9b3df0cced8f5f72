"""How numbers and names are said to people."""

from __future__ import annotations

import re

from engine.language import tr
from training.events import Judged, Verdict

_WIDEST_DB = 3.0
"""Half a band in dB, from which on a number in dB says nothing."""

_OWN = {
    "Colour, white noise of sigma 0 to 75": tr("Colour, white noise of sigma 0 to 75"),
    "Grey, white noise of sigma 0 to 75": tr("Grey, white noise of sigma 0 to 75"),
    "adjacent pixels replaced": tr("adjacent pixels replaced"),
    "blind mean": tr("blind mean"),
    "joint": tr("joint"),
    "masked pixels": tr("masked pixels"),
    "neighbouring pixels": tr("neighbouring pixels"),
    "noise levels": tr("noise levels"),
    "one pass": tr("one pass"),
    "one pass, with clean pictures": tr("one pass, with clean pictures"),
    "pairs": tr("pairs"),
    "recharged distillation": tr("recharged distillation"),
    "recorrupted pairs": tr("recorrupted pairs"),
}
"""The titles of the bundled models and the stages of trainings: files hold them, so they are English there."""


def own(text: str) -> str:
    """What a file holds in the language in use, if it is a text of this program's; else as it is."""
    return _OWN.get(text, text)


def wrapped(text: str) -> str:
    """Rich text, which Qt wraps; a plain tooltip is one long line."""
    paragraphs = text.replace("&", "&amp;").replace("<", "&lt;").split("\n\n")
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


def breakable(name: str) -> str:
    """A file name that may be cut into lines after these signs."""
    return re.sub(r"([_/-]|\.(?!\d))", "\\1\u200b", name)


def duration(seconds: float) -> str:
    """In the largest unit that still tells something."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def device(name: str) -> str:
    """A device as people call it; `name` may have a number, as in cuda:1."""
    return {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}.get(name.split(":")[0], name)


def band(half: float | None, digits: int = 2) -> str:
    """Half the width of a band, behind a number; "" where it is not known."""
    return "" if half is None else f" ± {half:.{digits}f}"


def is_sharp(value_db: float | None, band_db: float | None) -> bool:
    """Whether a number in dB is known, and so well that it says something."""
    return value_db is not None and (band_db or 0.0) <= _WIDEST_DB


def gain(event: Judged | Verdict) -> str:
    """By how much it is better, in dB or, where these are not known well, in parts of the noise; "" if unknown."""
    if event.gain_db is not None and (is_sharp(event.gain_db, event.gain_band_db) or event.gain is None):
        return f"{event.gain_db:+.2f}".replace("-", "−") + f"{band(event.gain_band_db)} dB"
    return tr("error {share} of the noise").format(share=share(event)) if event.gain is not None else ""


def share(event: Judged | Verdict) -> str:
    """By how much of the noise's power the error is smaller, which is known."""
    assert event.gain is not None
    half = None if event.gain_band is None else 100 * event.gain_band
    said = tr("larger by {share} %") if event.gain < 0 else tr("smaller by {share} %")
    return said.format(share=f"{100 * abs(event.gain):.1f}{band(half, 1)}")
