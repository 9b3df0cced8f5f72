from __future__ import annotations

import dataclasses
import json
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app import presets
from app.presets import PresetError, PresetExistsError, bring_in, export, file_name, find, load_all, rename, save
from app.values import Values
from engine import paths
from engine.areas import Areas

SOME = Values("r2r", "tiny", {"r2r": {"alpha": 0.7, "sigma": 0.1}}, 0.8, 2.0)


def written(path: Path, **changes) -> Path:
    """A preset file with other fields than `export` gives it."""
    content = {"program": "pellucid", "kind": "preset", "version": 1, "name": "Some", "values": SOME.as_json()}
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return path


def test_a_preset_holds_no_areas_whoever_wrote_it(tmp_path):
    own = dataclasses.replace(SOME, areas=Areas(0.2))
    assert save("mine", own).values == find("mine").values == SOME
    assert find(written(tmp_path / "other.json", values=own.as_json())).values == SOME


def test_what_was_saved_is_found_by_name_and_listed_in_order():
    save("Porträt", SOME)
    save("架空", Values(strength=0.5))
    save("alpha", Values())
    assert [preset.name for preset in load_all()] == ["alpha", "Porträt", "架空"]
    assert find("PORTRÄT").values == SOME
    assert find(unicodedata.normalize("NFD", "Porträt")).values == SOME


def test_without_presets_nothing_is_listed_and_the_sentence_says_so():
    assert load_all() == []
    with pytest.raises(PresetError, match="'Portrait' and no file of that name; none is saved yet"):
        find("Portrait")


def test_a_wrong_name_is_answered_with_those_there_are():
    save("one", SOME)
    save("two", SOME)
    with pytest.raises(PresetError, match="there are one, two"):
        find("three")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "/no/such/file.json"])
def test_what_can_be_no_file_is_no_preset_either(name):
    with pytest.raises(PresetError, match="There is no preset"):
        find(name)


def test_a_name_that_is_taken_is_replaced_only_when_that_is_said():
    save("Night", SOME)
    with pytest.raises(PresetExistsError) as caught:
        save("night", Values())
    assert caught.value.name == "Night"
    assert find("night").values == SOME
    save("night", Values(), replace=True)
    assert [(preset.name, preset.values) for preset in load_all()] == [("night", Values())]


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=80).filter(str.strip)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES)
@example(name="CON")
@example(name="con.json")
@example(name="LPT¹.x")
@example(name="..")
@example(name="a/b\\c:d")
@example(name="." * 80)
@example(name="👩‍👩‍👧‍👦" * 7)
@example(name="अ" * 80)
def test_any_name_gives_a_file_that_every_system_takes(name, home):
    file = file_name(presets.checked_name(name))
    assert len(file.encode()) <= 200
    assert not set(file) & set('<>:"/\\|?*\0')
    assert file.removesuffix(".json").strip(". ") == file.removesuffix(".json")
    assert file.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1", "LPT¹"}
    for preset in load_all():
        presets.delete(preset)
    save(name, SOME)
    assert find(name).name == presets.checked_name(name)
    assert len(list(paths.presets().iterdir())) == 1


def test_names_that_make_the_same_file_name_keep_apart():
    names = ["a/b", "a:b", "a_b", "a?b"]
    for number, name in enumerate(names):
        save(name, Values(strength=number / 10))
    assert {preset.name: preset.values.strength for preset in load_all()} == {
        name: number / 10 for number, name in enumerate(names)
    }


def test_a_file_put_into_the_folder_by_hand_is_not_written_over():
    save("one", SOME)
    written(paths.presets() / "two.json", name="three")
    save("two", Values())
    assert [preset.name for preset in load_all()] == ["one", "three", "two"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\tb\x07", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(PresetError):
        save(name, SOME)
    assert load_all() == []


def test_renaming_keeps_the_values_and_leaves_one_file():
    save("old", SOME)
    assert rename(find("old"), "new").values == SOME
    assert [preset.name for preset in load_all()] == ["new"]
    assert len(list(paths.presets().iterdir())) == 1
    rename(find("new"), "New")
    assert [preset.name for preset in load_all()] == ["New"]
    assert len(list(paths.presets().iterdir())) == 1


def test_renaming_onto_another_asks_first():
    save("one", SOME)
    save("two", Values())
    with pytest.raises(PresetExistsError):
        rename(find("one"), "Two")
    assert [preset.name for preset in load_all()] == ["one", "two"]
    rename(find("one"), "Two", replace=True)
    assert [(preset.name, preset.values) for preset in load_all()] == [("Two", SOME)]


def test_what_is_exported_can_be_brought_in_elsewhere(tmp_path):
    file = export(save("Räuber/Hotzenplotz", SOME), tmp_path / "given away.json")
    presets.delete(find("Räuber/Hotzenplotz"))
    assert load_all() == []
    assert bring_in(file).values == SOME
    assert find("Räuber/Hotzenplotz").values == SOME
    with pytest.raises(PresetExistsError):
        bring_in(file)
    bring_in(file, name="another")
    bring_in(file, replace=True)
    assert [preset.name for preset in load_all()] == ["another", "Räuber/Hotzenplotz"]


def test_a_preset_file_is_found_by_its_path(tmp_path):
    assert find(export(save("one", SOME), tmp_path / "x.json")).values == SOME
    presets.delete(find("one"))
    assert find(tmp_path / "x.json").name == "one"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[1]",
        b"null",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"program": "pellucid", "kind": "sidecar"}',
        b'{"program": "pellucid", "kind": "preset"}',
        b'{"program": "pellucid", "kind": "preset", "values": []}',
        b'{"program": "pellucid", "kind": "preset", "values": {"strength": "much"}}',
        b'{"program": "pellucid", "kind": "preset", "name": "\\u0007", "values": {}}',
        b" " * (2 << 20),
    ],
)
def test_a_file_that_is_no_preset_is_refused_with_one_sentence_that_names_it(tmp_path, content):
    file = tmp_path / "given.json"
    file.write_bytes(content)
    for take in (find, bring_in):
        with pytest.raises(PresetError, match=r"^given\.json [^\n]+$"):
            take(file)
    assert load_all() == []


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(PresetError):
            bring_in(path)


def test_one_damaged_preset_is_named_in_the_log_and_spares_the_rest(caplog):
    save("good", SOME)
    (paths.presets() / "bad.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert [preset.name for preset in load_all()] == ["good"]
    assert "bad.json" in caplog.text


def test_what_a_later_version_wrote_is_taken_with_a_remark_and_not_lost(tmp_path):
    later = {**SOME.as_json(), "sharpen": 3}
    file = written(tmp_path / "later.json", version=9, values=later, encoding={"suffix": ".tif"})
    preset = bring_in(file)
    assert preset.values == SOME
    assert "encoding, sharpen" in preset.remark
    export(rename(preset, "renamed"), tmp_path / "again.json")
    kept = json.loads((tmp_path / "again.json").read_text())
    assert kept == {**json.loads(file.read_text()), "name": "renamed"}


def test_nothing_is_said_of_a_preset_of_this_version():
    assert save("one", SOME).remark == ""


def test_a_full_disk_is_told_in_one_sentence_and_leaves_the_old_preset(monkeypatch):
    save("one", SOME)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(PresetError, match="No space left on device"):
        save("one", Values(), replace=True)
    assert [(preset.name, preset.values) for preset in load_all()] == [("one", SOME)]
    assert len(list(paths.presets().iterdir())) == 1
