"""What is kept between two starts: one JSON file, one frozen dataclass."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.values import CHROMA, GUARD, LUMINANCE, STRENGTH
from engine.files import write_text
from engine.language import LANGUAGES

log = logging.getLogger(__name__)

_MOST_RECENT = 12


@dataclass(frozen=True)
class Settings:
    """Preferences, and how the window was left.

    Attributes:
        theme: dark or light.
        language: auto for the system's, or one of `engine.language.LANGUAGES`; read by `app.translation` at the start.
        device: auto, cpu, cuda or mps.
        seed: of the recorruptions.
        memory_mb: for the results of the last few pictures.
        screen_profile: path of the screen's colour profile, "system" for what the system has, "" for sRGB.
        denoise_on_open: whether a picture is denoised as soon as it is shown.
        method, model: what new pictures start with; "" is the automatic choice.
        params: for each method what was set by hand, but no noise level: that belongs to a picture.
        strength: of the blend.
        guard: kappa of the detail guard, 0 is off.
        luminance, chroma: factors on the strength.
        sidecar: whether saving writes one.
        gps: whether what is saved says where it was taken, if the picture does.
        export: how a result was last saved, see `app.save_dialog`.
        geometry, state: of the window, as Qt gives them, in hexadecimal.
        recent: files and folders, the last first.
        folder: where the last dialog was.
        view: how the comparison is shown.
        filmstrip, panel, inspector: whether they are shown.
        advanced: whether the panel shows the parameters for experts.
        offered: folder of the interrupted training that was last offered to be resumed.
        offered_batch: the same of the interrupted batch.
        batch: what a batch was last set up with, see `app.batch.choices`.
    """

    theme: str = "dark"
    language: str = "auto"
    device: str = "auto"
    seed: int = 0
    memory_mb: int = 2048
    screen_profile: str = ""
    denoise_on_open: bool = True
    method: str = ""
    model: str = ""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strength: float = 1.0
    guard: float = 0.0
    luminance: float = 1.0
    chroma: float = 1.0
    sidecar: bool = False
    gps: bool = True
    export: Mapping[str, Any] = field(default_factory=dict)
    geometry: str = ""
    state: str = ""
    recent: tuple[str, ...] = ()
    folder: str = ""
    view: str = "side"
    filmstrip: bool = True
    panel: bool = True
    inspector: bool = False
    advanced: bool = False
    offered: str = ""
    offered_batch: str = ""
    batch: Mapping[str, Any] = field(default_factory=dict)

    def with_recent(self, path: Path) -> Settings:
        """The same with this file or folder as the last one opened."""
        name = str(path)
        recent = (name, *(other for other in self.recent if other != name))[:_MOST_RECENT]
        return dataclasses.replace(self, recent=recent)


_ALLOWED = {
    "theme": ("dark", "light"),
    "language": ("auto", *LANGUAGES),
    "device": ("auto", "cpu", "cuda", "mps"),
    "view": ("side", "stack", "wipe", "after"),
}


_MOST = {spec.name: spec.maximum for spec in (STRENGTH, LUMINANCE, CHROMA, GUARD)}


def load_settings(path: Path) -> Settings:
    """Read the settings; what is missing or makes no sense takes its default.

    A file that cannot be read is kept beside as `.bak`, so that nothing a user wrote is lost.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no JSON object")
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        log.warning("The settings in %s cannot be read (%s); starting with the defaults", path, error)
        try:
            os.replace(path, path.with_name(path.name + ".bak"))
        except OSError:
            log.warning("%s cannot be kept as .bak", path)
        return Settings()
    kept = {f.name: values[f.name] for f in dataclasses.fields(Settings) if f.name in values}
    return Settings(**{name: value for name, value in map(_checked, kept.items()) if value is not None})


def _checked(item: tuple[str, Any]) -> tuple[str, Any]:
    """A value of the type that its default has, else None."""
    name, value = item
    default = getattr(Settings(), name)
    if name == "recent":
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return name, tuple(value[:_MOST_RECENT])
    elif name == "params":
        if isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values()):
            return name, value
    elif isinstance(default, float):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST[name]:
            return name, float(value)
    elif type(value) is type(default) and value in _ALLOWED.get(name, (value,)):
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number or 0 <= value < 2**31:
            return name, value
    log.warning("The setting %s = %r makes no sense; its default is taken", name, value)
    return name, None


def save_settings(settings: Settings, path: Path) -> None:
    """Write the settings whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
