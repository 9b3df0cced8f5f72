from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from app.settings import Settings, load_settings, save_settings


def test_what_is_saved_is_loaded(tmp_path):
    settings = Settings(
        theme="light",
        seed=7,
        params={"r2r": {"passes": 8, "alpha": 0.4, "noise_model": "white"}},
        guard=2.5,
        advanced=True,
        strength=0.75,
        sidecar=True,
        recent=("/a/ä.png", "/b"),
        view="wipe",
        denoise_on_open=False,
    )
    save_settings(settings, tmp_path / "deep" / "settings.json")
    assert load_settings(tmp_path / "deep" / "settings.json") == settings


def test_every_field_survives_a_save(tmp_path):
    file = tmp_path / "settings.json"
    save_settings(Settings(), file)
    assert set(json.loads(file.read_text())) == {field.name for field in dataclasses.fields(Settings)}
    assert load_settings(file) == Settings()


def test_without_a_file_the_defaults_are_taken(tmp_path):
    assert load_settings(tmp_path / "none.json") == Settings()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1, 2]", b""])
def test_an_unreadable_file_is_kept_beside_and_named_in_the_log(tmp_path, caplog, content):
    file = tmp_path / "settings.json"
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load_settings(file) == Settings()
    assert file.with_name("settings.json.bak").read_bytes() == content
    assert not file.exists()
    assert "settings.json" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", "pink"),
        ("device", 3),
        ("seed", -1),
        ("seed", True),
        ("seed", 2**40),
        ("strength", 7),
        ("strength", "full"),
        ("guard", 5),
        ("recent", "a.png"),
        ("recent", [1]),
        ("params", {"r2r": 3}),
        ("sidecar", 1),
        ("view", "upside-down"),
    ],
)
def test_a_value_that_makes_no_sense_takes_its_default_and_spares_the_rest(tmp_path, name, value):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"folder": "/photos", name: value, "unknown": 1}))
    loaded = load_settings(file)
    assert getattr(loaded, name) == getattr(Settings(), name)
    assert loaded.folder == "/photos"


def test_a_failed_save_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    file = tmp_path / "settings.json"
    save_settings(Settings(seed=1), file)

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        save_settings(Settings(seed=2), file)
    assert load_settings(file).seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_recent_files_are_listed_once_the_last_first_and_not_without_end():
    settings = Settings()
    for number in range(40):
        settings = settings.with_recent(Path(f"/p/{number}.png"))
    settings = settings.with_recent(Path("/p/35.png"))
    assert settings.recent[:3] == ("/p/35.png", "/p/39.png", "/p/38.png")
    assert len(settings.recent) == len(set(settings.recent)) == 12
