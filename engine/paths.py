"""Where settings, models and runs live; the same from source and frozen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

_NAME = "pellucid"


def _place(kind: str) -> Path:
    """One of the user's folders; all of them below PELLUCID_HOME where that is set (tests, portable use)."""
    home = os.environ.get("PELLUCID_HOME")
    if home:
        return Path(home) / kind
    folders = {
        "config": platformdirs.user_config_path,
        "data": platformdirs.user_data_path,
        "cache": platformdirs.user_cache_path,
        "log": platformdirs.user_log_path,
    }
    return folders[kind](_NAME, appauthor=False)


def resources() -> Path:
    """The folder of what is shipped: icons, sample picture, bundled checkpoints."""
    return Path(getattr(sys, "_MEIPASS", Path(__file__).resolve().parents[1])) / "resources"


def bundled_models() -> Path:
    """The checkpoints that are shipped."""
    return resources() / "models"


def settings_file() -> Path:
    """The one settings file."""
    return _place("config") / "settings.json"


def models() -> Path:
    """The user's own checkpoints."""
    return _place("data") / "models"


def runs() -> Path:
    """Trainings, each a folder."""
    return _place("data") / "runs"


def batches() -> Path:
    """Batches of the window, each a folder."""
    return _place("data") / "batches"


def presets() -> Path:
    """Settings saved by name."""
    return _place("data") / "presets"


def cache() -> Path:
    """Files that may be deleted at any time."""
    return _place("cache")


def logs() -> Path:
    """Log files."""
    return _place("log")
