"""Brings the translations up to date: python tests/translations.py; says what is missing and what is not used.

It reads every text that goes through `tr` and `trn` off the sources, writes them into pellucid.pot, merges them into
the .po files, whose translations are kept, and compiles these into the .mo files that the program reads.
"""

from __future__ import annotations

import ast
import builtins
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

_CHANGES = re.compile(
    rb'"(Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By):'
)
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


SHOWN_BY = {
    *("QAction", "QCheckBox", "QGroupBox", "QLabel", "QPushButton", "QRadioButton", "QToolButton", "TextDialog"),
    *("addAction", "addButton", "addItem", "addMenu", "addRow", "addTab", "confirmed", "drawText", "heading"),
    *("getExistingDirectory", "getOpenFileName", "getOpenFileNames", "getSaveFileName", "insertItem"),
    *("say", "_say", "setAccessibleDescription", "setAccessibleName", "setHeaderLabels", "setHorizontalHeaderLabels"),
    *("setInformativeText", "setItemText", "setLabel", "setPlaceholderText", "setPrefix", "setStatusTip", "setSuffix"),
    *("setTabText", "setText", "setTitle", "setToolTip", "setWindowTitle", "Spec", "wrapped"),
}
"""What shows the texts that it is called with."""

ENGLISH = (
    *("app/batch/command.py", "app/benchmark.py", "app/cli.py", "app/options.py", "app/sample.py", "app/selftest.py"),
    *("app/studies/", "app/terminal.py", "app/window_bench.py"),
)
"""The command line."""

_SIGNS = re.compile(
    r"\b(?:px|dB|KB|MB|GB|min|sRGB|RAW|TIFF|MP|PSNR|SSIM|ISO|Pellucid)\b|\\u200b|<[^>]*>|&[a-z]+;|\*?\.[a-z]+\b"
)
"""What is written so in every language."""


def unwrapped(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each literal that people would see, but that cannot be translated: guessed by what it goes to.

    That is everything that `SHOWN_BY` is called with, and the sentence of every exception of ours.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in SHOWN_BY:
            # An item's second is what it stands for; the first of a Spec is its name, that of a label its side.
            shown = {
                "Spec": node.args[1:2],
                "addItem": node.args[:1],
                "setLabel": node.args[1:],
            }.get(_called(node), node.args)
            named = [word.value for word in node.keywords if word.arg in ("help", "unit", "title", "toolTip", "text")]
            starts: list[ast.AST] = [*shown, *named]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _is_ours(_called(node.exc)):
            starts = list(node.exc.args)
        else:
            continue
        for start in starts:
            yield from _literals(start)


def _literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The literals with a letter of what an expression gives: not what is asked in it, nor what calls take."""
    match node:
        case ast.Constant(value=str()):
            if re.search(r"[^\W\d_]{2}", _SIGNS.sub("", node.value)):
                yield node.lineno, node.value
        case ast.JoinedStr():
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if re.search(r"[^\W\d_]{2}", _SIGNS.sub("", text)):
                yield node.lineno, ast.unparse(node)
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from _literals(part)
        case ast.FormattedValue() | ast.Starred():
            yield from _literals(node.value)
        case ast.IfExp():
            yield from _literals(node.body)
            yield from _literals(node.orelse)
        case ast.BoolOp():
            for value in node.values:
                yield from _literals(value)
        case ast.BinOp():
            yield from _literals(node.left)
            yield from _literals(node.right)
        case ast.List() | ast.Tuple():
            for value in node.elts:
                yield from _literals(value)
        case ast.Dict():
            for value in node.values:
                yield from _literals(value)


def _is_ours(name: str) -> bool:
    return name.endswith("Error") and not hasattr(builtins, name)


def _called(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


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
