"""Brings the translations up to date: python tests/translations.py; says what is missing and what is not used.

It reads every text that goes through `tr` and `trn` off the sources, writes them into pellucid.pot, merges them into
the .po files, whose translations are kept, and compiles these into the .mo files that the program reads.
"""

from __future__ import annotations

import ast
import io
import re
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resources" / "translations"
PACKAGES = ("app", "engine", "training")

_CHANGES = re.compile(rb'"(POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By):')
"""What would change with every run, or says nothing."""
_NEVER = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Text:
    """A text of the program.

    Attributes:
        one: the text, or that for one of what is counted.
        many: that for any other number; "" where nothing is counted.
        place: file and line.
    """

    one: str
    many: str
    place: tuple[str, int]


class NotLiteral(ValueError):
    """A text that cannot be read off the source."""


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def texts_of(source: str, name: str) -> Iterator[Text]:
    """The texts of a module; NotLiteral where one is put together only when the program runs."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ("tr", "trn"):
            continue
        texts = node.args[:1] if node.func.id == "tr" else node.args[:2]
        literals = [text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)]
        if not all(literals) or len(literals) != {"tr": 1, "trn": 2}[node.func.id]:
            raise NotLiteral(f"{name}:{node.lineno}: {node.func.id} takes literal texts: {ast.unparse(node)}")
        yield Text(literals[0], literals[1] if len(literals) > 1 else "", (name, node.lineno))


def texts() -> list[Text]:
    found = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name != "engine/language.py":
            found += texts_of(path.read_text(encoding="utf-8"), name)
    return found


def template() -> Catalog:
    """All texts of the program, without translations."""
    catalog = Catalog(project="Pellucid", charset="utf-8", fuzzy=False)
    for text in texts():
        # Files without lines: a line that is put in somewhere would change half of the catalog.
        catalog.add((text.one, text.many) if text.many else text.one, locations=[(text.place[0], None)])
    return catalog


def read(path: Path, language: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def merged(catalog: Catalog, texts: Catalog) -> Catalog:
    """A translation with the texts that there are now; what is not used any more moves to its end."""
    header = catalog.header_comment
    catalog.update(texts, no_fuzzy_matching=True, update_header_comment=False, update_creation_date=False)
    catalog.header_comment = header
    return catalog


def as_po(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_po(file, catalog, width=110, sort_output=True, include_lineno=False, omit_header=False)
    kept = [line for line in file.getvalue().splitlines() if not _CHANGES.match(line)]
    return b"\n".join(kept).rstrip(b"\n") + b"\n"


def as_mo(catalog: Catalog) -> bytes:
    catalog.creation_date = catalog.revision_date = _NEVER
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def missing(catalog: Catalog) -> list[str]:
    """The texts that are not translated, or not in all plural forms."""
    return [_first(message.id) for message in catalog if message.id and not all(_strings(message))]


def wrong(message: Message) -> list[str]:
    """What a translation must have as its text has it, and does not."""
    ids = message.id if isinstance(message.id, tuple) else (message.id,)
    fields = set().union(*(_fields(text) for text in ids))
    found = []
    for translated in _strings(message):
        try:
            theirs = _fields(translated)
        except ValueError as error:
            found.append(f"{translated!r}: {error}")
            continue
        # "1 picture" may leave the number out, in either language.
        if theirs != fields and not (len(ids) > 1 and theirs <= fields):
            found.append(f"{translated!r} has the fields {sorted(theirs)}, its text {sorted(fields)}")
        for what, sign in (("mnemonic", r"&(?=[^\W_])(?!amp;|lt;|gt;)"), ("ellipsis", r"…$"), ("tag", r"</?[a-z]+>")):
            if sorted(re.findall(sign, translated)) != sorted(re.findall(sign, ids[-1])):
                found.append(f"{translated!r}: {what} unlike {ids[-1]!r}")
        if (translated[:1].isspace(), translated[-1:].isspace()) != (ids[-1][:1].isspace(), ids[-1][-1:].isspace()):
            found.append(f"{translated!r}: space at its ends unlike {ids[-1]!r}")
    return found


def _fields(text: str) -> set[tuple[str, str]]:
    """The fields of a text, each with its format."""
    return {(name, spec or "") for _, name, spec, _ in string.Formatter().parse(text) if name is not None}


def _strings(message: Message) -> tuple[str, ...]:
    strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return tuple(string or "" for string in strings)


def _first(text: str | tuple[str, ...]) -> str:
    return text if isinstance(text, str) else text[0]


def main() -> int:
    texts = template()
    (FOLDER / "pellucid.pot").write_bytes(as_po(texts))
    status = 0
    for path in sorted(FOLDER.glob("*.po")):
        catalog = merged(read(path, path.stem), texts)
        path.write_bytes(as_po(catalog))
        path.with_suffix(".mo").write_bytes(as_mo(catalog))
        for what, found in (
            ("not translated", missing(catalog)),
            ("not used any more", [_first(message.id) for message in catalog.obsolete.values()]),
            (
                "wrong",
                [line for message in catalog if message.id and all(_strings(message)) for line in wrong(message)],
            ),
        ):
            sys.stdout.writelines(f"{path.name}: {what}: {text}\n" for text in found)
            status |= bool(found)
    return status


if __name__ == "__main__":
    sys.exit(main())
