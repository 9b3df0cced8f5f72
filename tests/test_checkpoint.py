"""A checkpoint comes back bit by bit, and nothing else is taken for one."""

import json

import pytest
import safetensors.torch
import torch

from engine import paths
from engine.checkpoint import (
    Card,
    CheckpointError,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from engine.denoise import default_checkpoint
from models import checkpoint


def test_checkpoint_survives_saving_bit_by_bit(tmp_path):
    from dataclasses import replace

    saved = replace(checkpoint(), params={"alpha": 0.4}, card=Card(title="t", steps=7, results={"BSD68": 29.1}))
    save_checkpoint(saved, tmp_path / "a.safetensors")
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.weights.keys() == saved.weights.keys()
    assert all(torch.equal(loaded.weights[key], saved.weights[key]) for key in saved.weights)
    assert (loaded.name, loaded.method, loaded.arch, loaded.params) == ("tiny", "r2r", saved.arch, {"alpha": 0.4})
    assert loaded.card == saved.card
    assert len(loaded.sha256) == 64
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.safetensors"]


def test_a_file_of_before_a_card_knew_its_start_still_loads(tmp_path):
    path = tmp_path / "old.safetensors"
    card = {"title": "t", "steps": 7}
    about = {"format": 1, "name": "old", "method": "r2r", "arch": dict(checkpoint().arch), "card": card}
    safetensors.torch.save_file(dict(checkpoint().weights), path, {"pellucid": json.dumps(about)})
    assert load_checkpoint(path).card == Card(title="t", steps=7, start="", start_sha256="")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64, b"PK\x03\x04"])
def test_garbage_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors is not a readable safetensors file"):
        load_checkpoint(path)


def test_safetensors_without_a_card_is_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="has no Pellucid card"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_file_of_a_newer_program_is_refused(tmp_path):
    about = {"format": 99, "name": "a", "method": "r2r", "arch": {}}
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", {"pellucid": json.dumps(about)})
    with pytest.raises(CheckpointError, match="newer Pellucid"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_weights_that_do_not_fit_or_are_not_finite_are_refused(tmp_path):
    from dataclasses import replace

    wrong = replace(checkpoint(), arch={"network": "unet", "channels": 3, "width": 16, "blocks": 1, "levels": 2})
    with pytest.raises(CheckpointError, match="does not fit its network"):
        wrong.build()
    weights = {key: tensor.clone() for key, tensor in checkpoint().weights.items()}
    next(iter(weights.values()))[0] = float("nan")
    save_checkpoint(replace(checkpoint(), weights=weights), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_models_are_found_by_name_and_by_path(tmp_path):
    save_checkpoint(checkpoint(), paths.models() / "tiny.safetensors")
    (paths.models() / "broken.safetensors").write_bytes(b"no")
    assert [entry.name for entry in list_checkpoints()] == ["tiny"]
    assert find_checkpoint("tiny") == paths.models() / "tiny.safetensors"
    assert find_checkpoint(str(paths.models() / "tiny.safetensors")).name == "tiny.safetensors"
    with pytest.raises(CheckpointError, match="There is no model 'huge'; installed: tiny"):
        find_checkpoint("huge")


def test_the_checkpoint_for_the_number_of_channels_leads():
    from dataclasses import replace

    with pytest.raises(CheckpointError, match="No model is installed"):
        default_checkpoint(3)
    save_checkpoint(replace(checkpoint(1), name="grey"), paths.models() / "grey.safetensors")
    assert default_checkpoint(3).name == "grey"
    save_checkpoint(replace(checkpoint(3), name="color"), paths.models() / "color.safetensors")
    assert default_checkpoint(3).name == "color"
    assert default_checkpoint(1).name == "grey"
