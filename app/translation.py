"""Which language the window speaks, and how it comes to: before the modules that hold texts are imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

from engine import language

AUTOMATIC = "auto"


def chosen(settings: Path) -> str:
    """The language in the settings file; the system's where it names none, or cannot be read.

    `app.settings` cannot be asked: it imports modules that hold texts.
    """
    try:
        values = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return AUTOMATIC
    name = values.get("language") if isinstance(values, dict) else None
    return name if isinstance(name, str) and name in language.LANGUAGES else AUTOMATIC


def begin(code: str) -> str:
    """Let the texts of the program and of Qt be in this language; return the code of the one that is spoken.

    Args:
        code: of `engine.language.LANGUAGES`, or `AUTOMATIC` for what the system prefers.
    """
    # Numbers are written as in papers and files, with a point, in all languages: one notation in fields and texts.
    system = QLocale.system()
    QLocale.setDefault(QLocale.c())
    spoken = language.use(language.best(system.uiLanguages()) if code == AUTOMATIC else code)
    application = QCoreApplication.instance()
    os.environ[language.ENVIRONMENT] = spoken  # for trainings, whose processes write sentences of their own
    if spoken != "en" and application is not None:
        translator = QTranslator(application)
        if translator.load(f"qtbase_{spoken}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)):
            application.installTranslator(translator)
    return spoken
