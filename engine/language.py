"""The language of what people read; English unless `use` says otherwise."""

from __future__ import annotations

import gettext

_catalog: gettext.NullTranslations = gettext.NullTranslations()


def tr(text: str) -> str:
    """A text in the language in use. Values come in afterwards: tr("{name} is gone").format(name=name)."""
    return _catalog.gettext(text) if text else ""


def trn(one: str, many: str, count: int) -> str:
    """One of two texts, by a count: trn("{count} picture", "{count} pictures", count).format(count=count)."""
    return _catalog.ngettext(one, many, count)
