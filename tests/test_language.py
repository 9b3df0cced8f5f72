"""The texts of the program in its languages."""

from __future__ import annotations

import functools
import gettext
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import translations
from babel.messages.catalog import Catalog

from engine import language, paths
from engine.language import best, tr, trn, use

CODES = [code for code in language.LANGUAGES if code != "en"]


@pytest.fixture(autouse=True)
def english():
    yield
    use("en")


def ours(code: str) -> Catalog:
    return translations.read(translations.FOLDER / f"{code}.po", code)


@functools.cache
def current(code: str) -> Catalog:
    return translations.merged(ours(code), translations.template())


def resources(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    (folder / "translations").mkdir(parents=True)
    if content is not None:
        (folder / "translations/de.mo").write_bytes(content)
    monkeypatch.setattr(paths, "resources", lambda: folder)


def compiled(**texts: str) -> bytes:
    catalog = Catalog(locale="de")
    for one, translated in texts.items():
        catalog.add(one, translated)
    catalog.add(("{count} picture", "{count} pictures"), ("{count} Bild", "{count} Bilder"))
    return translations.as_mo(catalog)


def test_texts_are_english_without_a_language():
    assert tr("Pictures") == "Pictures"
    assert tr("") == ""
    assert [trn("one", "many", count) for count in (0, 1, 2)] == ["many", "one", "many"]


def test_texts_are_translated_and_counted(tmp_path, monkeypatch):
    resources(tmp_path / "r", monkeypatch, compiled(Pictures="Bilder"))
    assert use("de") == "de"
    assert tr("Pictures") == "Bilder"
    assert tr("") == ""
    assert tr("unknown") == "unknown"
    said = [trn("{count} picture", "{count} pictures", count).format(count=count) for count in (0, 1, 2)]
    assert said == ["0 Bilder", "1 Bild", "2 Bilder"]
    assert use("en") == "en"
    assert tr("Pictures") == "Pictures"


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"no catalog",
        compiled(Pictures="Bilder")[:60],
        compiled(Pictures="Bilder").replace(b"charset=utf-8", b"charset=utf-9"),
        compiled(Pictures="Bilder").replace(b"plural=(n != 1)", b"plural=(n ?? 1)"),
        compiled(Pictures="Bilder").replace(b"Bilder", b"Bil\xffer"),
    ],
)
def test_a_translation_that_is_missing_or_broken_leaves_english_and_one_line_in_the_log(
    content, tmp_path, monkeypatch, caplog
):
    resources(tmp_path / "r", monkeypatch, content)
    assert use("de") == "en"
    assert tr("Pictures") == "Pictures"
    assert len(caplog.records) == 1


def test_a_language_that_there_is_not_is_english():
    assert use("xx") == "en"
    assert use("../de") == "en"


def test_the_first_known_language_of_the_system_is_taken():
    assert best(["fr-FR", "de-AT", "en-US"]) == "de"
    assert best(["en_GB.UTF-8", "de"]) == "en"
    assert best(["C"]) == best([]) == "en"


def test_texts_are_found_in_sources():
    source = (
        'tr("one")\nx = trn("{n} a", "{n} b", n).format(n=n)\ntr("two " "parts").format(a=tr("inner"))\nother.tr(x)'
    )
    found = {(text.one, text.many) for text in translations.texts_of(source, "m.py")}
    assert found == {("one", ""), ("{n} a", "{n} b"), ("two parts", ""), ("inner", "")}


@pytest.mark.parametrize("source", ['tr(f"a {b}")', "tr(name)", 'tr("a" + b)', 'tr("")', 'trn("a", many, 2)', "tr()"])
def test_a_text_that_is_no_literal_is_refused(source):
    with pytest.raises(translations.NotLiteral, match=r"m\.py:1"):
        list(translations.texts_of(source, "m.py"))


def test_every_text_of_the_program_is_a_literal():
    assert translations.texts()


@pytest.mark.parametrize("code", CODES)
def test_every_text_is_translated(code):
    assert translations.missing(current(code)) == []


@pytest.mark.parametrize("code", CODES)
def test_no_translation_is_left_over(code):
    assert [message.id for message in current(code).obsolete.values()] == []


@pytest.mark.parametrize("code", CODES)
def test_translations_keep_fields_keys_and_ends(code):
    assert [
        line for message in ours(code) if message.id and any(message.string) for line in translations.wrong(message)
    ] == []


def test_a_translation_that_loses_something_is_seen():
    catalog = Catalog(locale="de")
    for text, translated in (
        ("{name} is gone", "{nam} ist weg"),
        ("{share:.0%} left", "{share:.1%} übrig"),
        ("&Open…", "Öffnen…"),
        ("&Open…", "&Öffnen"),
        ("<p>Text</p>", "Text"),
        (" px", "px"),
        ("{a}", "{a"),
        (("{n} picture", "{n} pictures"), ("{n} Bild", "{m} Bilder")),
    ):
        assert translations.wrong(catalog.add(text, translated)), text
    for text, translated in (
        ("{name} & {other} {{x}}", "{other} & {name} {{x}}"),
        ("Save && close", "Sichern && schließen"),
        (("one picture", "{n} pictures"), ("ein Bild", "{n} Bilder")),
    ):
        assert not translations.wrong(catalog.add(text, translated)), text


@pytest.mark.parametrize("code", CODES)
def test_the_compiled_translation_is_that_of_the_source(code):
    with (translations.FOLDER / f"{code}.mo").open("rb") as file:
        shipped = gettext.GNUTranslations(file)._catalog
    fresh = gettext.GNUTranslations(io.BytesIO(translations.as_mo(ours(code))))._catalog
    assert {key: text for key, text in shipped.items() if key} == {key: text for key, text in fresh.items() if key}


@pytest.mark.parametrize("code", CODES)
def test_a_catalog_is_written_as_it_was_read(code):
    assert translations.as_po(current(code)) == (translations.FOLDER / f"{code}.po").read_bytes()


def test_the_setting_names_the_language_of_the_window(home):
    from app import translation

    settings = paths.settings_file()
    assert translation.chosen(settings) == translation.AUTOMATIC
    settings.parent.mkdir(parents=True)
    for content, expected in (
        ("{", "auto"),
        ("[]", "auto"),
        ('{"language": ["de"]}', "auto"),
        ('{"language": "xx"}', "auto"),
        ('{"language": "de"}', "de"),
    ):
        settings.write_text(content)
        assert translation.chosen(settings) == expected


def test_the_window_speaks_the_language_of_its_settings(home):
    # In a process of its own: modules translate the texts that they hold once.
    paths.settings_file().parent.mkdir(parents=True)
    paths.settings_file().write_text(json.dumps({"language": "de"}))
    program = (
        "import os\n"
        "from PySide6.QtWidgets import QApplication, QDialogButtonBox\n"
        "from engine import paths\n"
        "from app import translation\n"
        "app = QApplication([])\n"
        "assert translation.begin(translation.chosen(paths.settings_file())) == 'de'\n"
        "from app.dialogs import Preferences\n"
        "from app.settings import load_settings\n"
        "dialog = Preferences(load_settings(paths.settings_file()), ['cpu'])\n"
        "assert os.environ['PELLUCID_LANGUAGE'] == 'de'\n"
        "print(dialog.windowTitle(), dialog.language.currentData(), dialog.changes()['language'])\n"
        "print(dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Cancel).text())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=translations.ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.split() == ["Einstellungen", "de", "de", "Abbrechen"], done.stderr


def test_the_command_line_stays_english():
    # In a process of its own: the system's messages stay in the language that a process has once asked for.
    said = subprocess.run(
        [sys.executable, "-m", "app", "denoise", "--help"],
        cwd=translations.ROOT,
        env={**os.environ, "PYTHONUTF8": "1", "LANGUAGE": "de", "LANG": "de_DE.UTF-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert "pictures or folders of them" in said


def test_the_environment_names_the_language_of_a_process():
    said = subprocess.run(
        [sys.executable, "-c", "from engine.language import tr; print(tr('Pictures'))"],
        cwd=translations.ROOT,
        env={**os.environ, "PYTHONUTF8": "1", "PELLUCID_LANGUAGE": "de"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert said.strip() == "Bilder"


def test_changing_the_language_says_when(qtbot):
    from app.dialogs import Preferences
    from app.settings import Settings

    dialog = Preferences(Settings(), ["cpu"])
    qtbot.addWidget(dialog)
    dialog.show()
    assert not dialog.language_note.isVisible()
    dialog.language.setCurrentIndex(dialog.language.findData("de"))
    assert dialog.language_note.isVisible()
    assert dialog.changes()["language"] == "de"
    dialog.language.setCurrentIndex(dialog.language.findData("auto"))
    assert not dialog.language_note.isVisible()


def test_what_people_see_can_be_translated():
    """The command line alone stays English."""
    found = []
    for path in translations.sources():
        name = path.relative_to(translations.ROOT).as_posix()
        if not name.startswith(translations.ENGLISH):
            source = path.read_text(encoding="utf-8")
            found += [f"{name}:{line}: {text}" for line, text in translations.unwrapped(source)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'label = QLabel("Name")',
        'label.setText(f"{count} pictures")',
        'label.setToolTip(wrapped("One" " two"))',
        'box.addItem("Dark", "dark")',
        'label.setText("" if done else "Not done")',
        "label.setText(f\"{text}{word or 'nothing'}\")",
        'table.setHorizontalHeaderLabels(["Name", tr("State")])',
        'say(tr("One") + " and two")',
        'raise PresetError(f"{name} is gone")',
        'Spec(name, tr("Size"), help="How large")',
        'Spec("size", "Size", help=tr("How large"))',
    ],
)
def test_a_text_that_cannot_be_translated_is_seen(source):
    assert list(translations.unwrapped(source))


@pytest.mark.parametrize(
    "source",
    [
        'label = QLabel(tr("Name"))',
        'label.setText(f"{value:.1f} dB")',
        'label.setText(trn("{count} picture", "{count} pictures", n).format(count=n))',
        'box.addItem(tr("Dark"), "dark")',
        'label.setText("" if state == "done" else f"{texts[\'name\']}")',
        'plot.setLabel("left", tr("dB"))',
        'raise ValueError("made wrongly by a program")',
        'label.setObjectName("muted")',
    ],
)
def test_what_is_no_text_for_people_is_let_through(source):
    assert not list(translations.unwrapped(source))


def test_the_stages_of_all_trainings_can_be_said_in_the_language_in_use():
    """Files hold them in English."""
    from app import words
    from engine.method import methods

    trained = [method for method in methods().values() if method.stages(method.Training())]
    assert len(trained) > 3
    names = {stage.name for method in trained for stage in method.stages(method.Training())}
    assert names - set(words._OWN) == set()
    assert words.own("model of a friend") == "model of a friend"


MENUS = """
import collections, re, sys
from PySide6.QtWidgets import QApplication
from app import translation
app = QApplication([])
assert translation.begin(sys.argv[1]) == sys.argv[1]
from app.settings import Settings
from app.window import MainWindow
from app.workspace import Workspace
window = MainWindow(Workspace(Settings()))
def look(name, actions):
    found = [re.search("&([^&])", action.text().replace("&&", "")) for action in actions]
    for key, count in collections.Counter(match[1].lower() for match in found if match).items():
        if count > 1:
            print("Alt+" + key, "stands for", count, "entries of", name)
    for action in actions:
        if action.menu() is not None:
            look(action.text(), action.menu().actions())
look("the bar", window.menuBar().actions())
window.close()
window.workspace.close()
"""


@pytest.mark.parametrize("code", ["en", *CODES])
def test_no_two_entries_of_a_menu_have_one_key(code, home):
    done = subprocess.run(
        [sys.executable, "-c", MENUS, code],
        cwd=translations.ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
