"""The language of what people read; English unless `use` says otherwise.

The window takes the language of its settings, and tells it by the environment to the processes that it starts. The
command line stays English unless the environment says otherwise: what it writes is read by programs, too.
"""

from __future__ import annotations

import gettext
import logging
import os
import struct
from collections.abc import Iterable

from engine import paths

log = logging.getLogger(__name__)

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""What there is, each by its code and its own name."""

ENVIRONMENT = "PELLUCID_LANGUAGE"
"""The variable with the code of the language that a process speaks from its start."""

_catalog: gettext.NullTranslations = gettext.NullTranslations()


def tr(text: str) -> str:
    """A text in the language in use; values come in afterwards, as in `tr("{name} is gone").format(name=name)`."""
    return _catalog.gettext(text) if text else ""


def trn(one: str, many: str, count: int) -> str:
    """One of two texts, by a count, as in `trn("{count} picture", "{count} pictures", count).format(count=count)`."""
    return _catalog.ngettext(one, many, count)


def within(label: str) -> str:
    """A label as a word within a sentence: English writes it small there, German its nouns as they are."""
    return label[:1].lower() + label[1:] if type(_catalog) is gettext.NullTranslations else label


def use(code: str) -> str:
    """Let `tr` speak this language from now on; return the code of the one that it speaks.

    That is English where there is no such language or its file cannot be read: a translation stops no program. Texts
    that modules hold were translated when they were imported, so call it before.
    """
    global _catalog
    _catalog = gettext.NullTranslations()
    if code not in LANGUAGES or code == "en":
        return "en"
    path = paths.resources() / "translations" / f"{code}.mo"
    try:
        with path.open("rb") as file:
            _catalog = gettext.GNUTranslations(file)
    except (OSError, ValueError, LookupError, struct.error) as error:
        log.warning("The translation %s cannot be read (%s); texts are English", path, error)
        return "en"
    return code


def best(wanted: Iterable[str]) -> str:
    """The first that there is of the languages that a system names, such as de-AT; English if there is none."""
    codes = (name.replace("_", "-").split("-")[0].lower() for name in wanted)
    return next((code for code in codes if code in LANGUAGES), "en")


use(os.environ.get(ENVIRONMENT, "en"))
