"""A model and its card travel as one file: what comes in elsewhere is what went out."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest
import torch

from app import cli
from engine import checkpoint as checkpoints
from engine import paths
from engine.checkpoint import Card, CheckpointError, export_checkpoint, load_checkpoint, read_entry, save_checkpoint
from models import checkpoint

CARD = Card(
    title="R2R, colour, unet",
    description="für Nachtbilder",
    licence="MIT",
    trained_on="12 colour pictures, their own noise",
    command="python -m app train --data nights --minutes 5",
    steps=412,
    minutes=5.1,
    device="cpu, x86_64",
    date="2026-01-02",
    versions={"pellucid": "0.3", "torch": "2.13"},
    results={"estimated": 31.25},
    start="r2r-color",
    start_sha256="ab" * 32,
)


def hash_of(weights) -> str:
    """Of names and values of all weights."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].numpy().tobytes())
    return found.hexdigest()


@pytest.fixture
def installed():
    made = replace(checkpoint(), name="nights", params={"alpha": 0.4}, card=CARD)
    path = paths.models() / "nights.safetensors"
    save_checkpoint(made, path)
    return path


def run(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_an_exported_model_imported_elsewhere_is_the_same_model(capsys, installed, tmp_path, monkeypatch):
    before = load_checkpoint(installed)
    out = tmp_path / "gift.safetensors"
    status, said, _ = run(capsys, "export", "nights", "-o", out)
    assert status == 0
    assert str(out) in said
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path / "elsewhere"))
    status, said, _ = run(capsys, "import", out)
    assert status == 0
    assert "--model nights" in said
    after = load_checkpoint(paths.models() / "nights.safetensors")
    assert (after.name, after.method, after.arch, after.params) == ("nights", "r2r", before.arch, {"alpha": 0.4})
    assert after.card == before.card == CARD
    assert hash_of(after.weights) == hash_of(before.weights)
    assert after.sha256 == before.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()


def test_the_same_file_imported_twice_is_one_model_and_another_of_its_name_gets_a_number(capsys, installed, tmp_path):
    out = tmp_path / "gift.safetensors"
    run(capsys, "export", "nights", "-o", out)
    other = tmp_path / "other.safetensors"
    save_checkpoint(replace(checkpoint(seed=1), name="nights", card=CARD), other)
    run(capsys, "import", out)
    assert [path.stem for path in paths.models().iterdir()] == ["nights"]
    run(capsys, "import", other)
    assert sorted(path.stem for path in paths.models().iterdir()) == ["nights", "nights-2"]
    assert load_checkpoint(installed).card == CARD


def test_students_of_one_teacher_do_not_take_each_others_place(capsys, tmp_path):
    for seed in range(2):
        student = replace(checkpoint(seed=seed), name="student", card=Card(source="cd" * 32))
        save_checkpoint(student, tmp_path / f"{seed}.safetensors")
        run(capsys, "import", tmp_path / f"{seed}.safetensors")
    assert len(list(paths.models().iterdir())) == 2


def test_the_folder_of_a_training_stands_for_its_model(capsys, installed, tmp_path):
    training = tmp_path / "a run"
    training.mkdir()
    shutil.copyfile(installed, training / "checkpoint.safetensors")
    status, _, _ = run(capsys, "export", training, "-o", tmp_path / "out")
    assert status == 0
    assert load_checkpoint(tmp_path / "out" / "nights.safetensors").card == CARD


def test_an_export_overwrites_nothing_unless_asked(capsys, installed, tmp_path):
    out = tmp_path / "gift.safetensors"
    out.write_bytes(b"precious")
    status, _, err = run(capsys, "export", "nights", "-o", out)
    assert status == 2
    assert "exists already" in err
    assert out.read_bytes() == b"precious"
    assert run(capsys, "export", "nights", "-o", out, "--overwrite")[0] == 0
    assert read_entry(out).name == "nights"


@pytest.mark.parametrize(
    ("model", "out", "said"),
    [("none", "a.safetensors", "There is no model 'none'"), ("nights", "plain file", "is a file; give a folder")],
)
def test_what_cannot_be_exported_is_said_in_one_sentence(capsys, installed, tmp_path, model, out, said):
    (tmp_path / "plain file").write_bytes(b"")
    status, _, err = run(capsys, "export", model, "-o", tmp_path / out)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_what_was_not_written_as_it_should_be_leaves_no_file(installed, tmp_path, monkeypatch):
    save = save_checkpoint

    def save_badly(made, path):
        weights = {name: tensor.clone() for name, tensor in made.weights.items()}
        next(iter(weights.values())).view(-1)[0] += 1e-6
        save(replace(made, weights=weights), path)

    monkeypatch.setattr(checkpoints, "save_checkpoint", save_badly)
    with pytest.raises(CheckpointError, match="could not be written as it should be"):
        export_checkpoint(installed, tmp_path / "out" / "a.safetensors")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_can_be_exported_under_another_name(installed, tmp_path):
    out = export_checkpoint(installed, tmp_path, name="../evening light")
    assert out == tmp_path / "evening-light.safetensors"
    assert load_checkpoint(out).name == "../evening light"
    before, after = load_checkpoint(installed).weights, load_checkpoint(out).weights
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_window_exports_the_model_in_force(installed, qapp, qtbot, tmp_path, monkeypatch):
    from app.window import MainWindow
    from app.workspace import Workspace

    window = MainWindow(Workspace())
    window.show()
    qtbot.waitUntil(window.actions_by_name["export"].isEnabled, timeout=30_000)
    proposed = []

    def choose(name, *_):
        proposed.append(name)
        return tmp_path / "gift.safetensors"

    monkeypatch.setattr("app.window.ask_export", choose)
    with qtbot.waitSignal(window.workspace.saved, timeout=30_000):
        window.actions_by_name["export"].trigger()
    assert proposed == ["nights"]
    assert load_checkpoint(tmp_path / "gift.safetensors").card == CARD
    window.close()
    qapp.setStyleSheet("")


@pytest.mark.parametrize(
    ("typed", "replaces", "expected"), [("a", True, True), ("a", False, False), ("b", False, True)]
)
def test_a_chosen_file_gets_the_suffix_and_none_is_replaced_without_asking(
    qtbot, tmp_path, monkeypatch, typed, replaces, expected
):
    from app.dialogs import ask_export

    (tmp_path / "a.safetensors").write_bytes(b"precious")
    monkeypatch.setattr("app.dialogs.QFileDialog.getSaveFileName", lambda *_, **__: (str(tmp_path / typed), ""))
    monkeypatch.setattr("app.dialogs.confirmed", lambda *_: replaces)
    assert ask_export("nights", str(tmp_path), None) == (tmp_path / f"{typed}.safetensors" if expected else None)
