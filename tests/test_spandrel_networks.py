"""Networks of others by way of spandrel: they run as spandrel runs them, or one sentence says why not."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import spandrel_networks
from engine.checkpoint import CheckpointError, load_checkpoint
from engine.denoise import Denoising, load_model, load_model_from
from engine.foreign import Convention, ForeignError, import_checkpoint, read_any, read_foreign
from engine.image import Image
from engine.method import MethodError, build
from engine.params import make

if not spandrel_networks.is_installed():
    pytest.skip("the package spandrel is not installed", allow_module_level=True)


def network(architecture: str, name: str, **details: Any) -> nn.Module:
    """One of spandrel's networks with random weights."""
    module = importlib.import_module(f"spandrel.architectures.{architecture}")
    torch.manual_seed(0)
    with warnings.catch_warnings(action="ignore"):
        return getattr(module, name)(**details).eval()


NETWORKS = {
    "SCUNet": {"in_nc": 3, "config": [1, 1, 1, 1, 1, 1, 1], "dim": 64},
    "DRUNet": {"in_nc": 4, "out_nc": 3, "nc": [8, 16, 24, 32], "nb": 2},
    "NAFNet": {"img_channel": 3, "width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    "FBCNN": {"in_nc": 3, "out_nc": 3, "nc": [8, 16, 24, 512], "nb": 2},
    "SwinIR": {"img_size": 64, "depths": [2], "num_heads": [2], "embed_dim": 16, "window_size": 8},
}


def state(name: str, **details: Any) -> dict[str, Tensor]:
    return network(name, name, **{**NETWORKS.get(name, {}), **details}).state_dict()


def saved(path: Path, weights: Mapping[str, Tensor]) -> Path:
    torch.save({"params": dict(weights)}, path)
    return path


def noisy(channels: int, height: int = 64, width: int = 128) -> Tensor:
    return torch.rand((1, channels, height, width), generator=torch.Generator().manual_seed(7))


LEVEL = torch.full((1, 1, 1, 1), 0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_what_spandrel_gives_also_once_imported(name: str, tmp_path: Path) -> None:
    weights = state(name)
    path = saved(tmp_path / "net.pth", weights)
    expected = spandrel_networks._load(spandrel_networks._registry()[name], weights)(noisy(3))

    read = read_foreign(path)
    kept = load_checkpoint(import_checkpoint(path))

    assert read.method == kept.method == "plain"
    assert kept.arch == {"network": "spandrel", "channels": 3, "architecture": name}
    assert kept.card.title == f"{name}, imported from net.pth"
    assert "spandrel (MIT)" in kept.card.description
    assert kept.card.licence == "unknown"
    assert kept.weights.keys() == weights.keys()
    with torch.inference_mode():
        first, second = (checkpoint.build()(noisy(3), LEVEL) for checkpoint in (read, kept))
    assert torch.equal(first, second)
    if name != "DRUNet":  # which spandrel tells a level of its own
        assert torch.equal(first, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_drunet_is_told_the_noise_level(channels: int, tmp_path: Path) -> None:
    weights = state("DRUNet", in_nc=channels + 1, out_nc=channels)
    inside = network("DRUNet", "DRUNet", **{**NETWORKS["DRUNet"], "in_nc": channels + 1, "out_nc": channels})
    made = read_foreign(saved(tmp_path / "net.pth", weights))
    assert made.channels == channels
    level = torch.full((1, 1, 64, 128), 0.1)
    with torch.inference_mode():
        assert torch.equal(made.build()(noisy(channels), LEVEL), inside(torch.cat((noisy(channels), level), 1)))
        assert not torch.equal(made.build()(noisy(channels), LEVEL), made.build()(noisy(channels), 2 * LEVEL))


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_of_odd_sizes_are_denoised_in_float32(name: str, tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "net.pth", state(name)), device="cpu")
    assert model.dtype == torch.float32
    image = Image(np.random.default_rng(0).random((45, 70, 3), dtype=np.float32))
    work = Denoising(model, image, make(model.method.Params, {}), sigma=0.1)
    for _ in work.run(1):
        pass
    assert work.mean(1).shape == image.pixels.shape
    assert np.isfinite(work.mean(1)).all()


def test_a_grey_network_runs_channel_by_channel_as_alone(tmp_path: Path) -> None:
    weights = state("SCUNet", in_nc=1)
    model = load_model(saved(tmp_path / "net.pth", weights), device="cpu")
    image = Image(np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    results = []
    for pixels in (image.pixels, image.pixels[:, :, 1:2]):
        work = Denoising(model, Image(pixels), make(model.method.Params, {}), sigma=0.1)
        for _ in work.run(1):
            pass
        results.append(work.mean(1))
    assert np.allclose(results[0][:, :, 1:2], results[1], atol=1e-6)


def test_tiles_nearly_fit_together(tmp_path: Path) -> None:
    # SCUNet sees windows of eight pixels at an eighth of the resolution: with their grid kept, hardly a trace is left.
    model = load_model_from(read_foreign(saved(tmp_path / "net.pth", state("SCUNet"))), device="cpu")
    image = Image(np.random.default_rng(0).random((64, 320, 3), dtype=np.float32))
    results = []
    for tile in (64, 320):
        work = Denoising(model, image, make(model.method.Params, {}), sigma=0.1, tile=tile)
        for _ in work.run(1):
            pass
        results.append(work.mean(1))
    assert np.abs(results[0] - results[1]).max() < 1e-3


def test_a_network_that_is_told_the_level_runs_by_r2r_where_its_user_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", state("DRUNet"))
    assert read_foreign(path).method == "plain"
    model = load_model(path, device="cpu", convention=Convention(method="r2r"))
    assert model.method.id == "r2r"
    image = Image(np.random.default_rng(0).random((45, 70, 3), dtype=np.float32))
    work = Denoising(model, image, make(model.method.Params, {}), sigma=0.1)
    for _ in work.run(2):
        pass
    assert np.isfinite(work.mean(2)).all()


def test_half_precision_weights_and_prefixes_come_in(tmp_path: Path) -> None:
    weights = {f"module.netG.{name}": tensor.half() for name, tensor in state("NAFNet").items()}
    made = read_any(saved(tmp_path / "net.pth", weights))
    assert made.arch["architecture"] == "NAFNet"
    assert {tensor.dtype for tensor in made.weights.values()} == {torch.float32}
    made.build()


def refused(path: Path) -> str:
    with pytest.raises(ForeignError) as caught:
        read_any(path)
    message = str(caught.value)
    assert message.startswith(path.name) or "No method recognises" in message
    assert "\n" not in message
    return message


def test_networks_that_change_the_size_are_refused(tmp_path: Path) -> None:
    weights = network("Compact", "Compact", num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2)
    message = refused(saved(tmp_path / "net.pth", weights.state_dict()))
    assert message.startswith("net.pth holds Compact, which enlarges pictures 2 times; only networks that")


def test_other_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    message = refused(saved(tmp_path / "net.pth", state("DRUNet", in_nc=3, out_nc=3)))
    assert message == "net.pth takes 2 and gives 3 channels; needed are 1 and 1, or 3 and 3"


def test_what_only_resembles_a_network_is_refused(tmp_path: Path) -> None:
    whole = state("SCUNet")
    less = {name: tensor for name, tensor in whole.items() if not name.startswith("m_up3.0")}
    few = {"m_head.0.weight": torch.zeros(()), "m_tail.0.weight": torch.zeros(3)}
    far = {**whole, "m_body.4000.trans_block.ln1.weight": torch.zeros(1)}
    for weights in (less, few, far):
        assert "No method recognises" in refused(saved(tmp_path / "net.pth", weights))


def test_networks_that_fail_are_refused(tmp_path: Path) -> None:
    # Spandrel does not read off how wide the part is that finds the quality of a JPEG.
    weights = state("FBCNN", nc=[8, 16, 24, 32])
    assert refused(saved(tmp_path / "net.pth", weights)) == "net.pth holds FBCNN, but gave no picture when it was tried"


def test_training_is_refused(tmp_path: Path) -> None:
    made = read_foreign(saved(tmp_path / "net.pth", state("NAFNet"))).build()
    assert not made.training
    with pytest.raises(MethodError, match="NAFNet comes from spandrel, which runs networks and does not train them"):
        made.train()


def test_conventions_have_no_effect_and_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", state("NAFNet"))
    with pytest.raises(ForeignError, match=r"net\.pth is read as NAFNet, where --range has no effect"):
        read_foreign(path, Convention(value_range=255))


def test_without_the_package_an_imported_network_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "net.pth", state("NAFNet"))
    ours = import_checkpoint(path)
    monkeypatch.setattr(spandrel_networks, "_registry", spandrel_networks._registry.__wrapped__)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"net does not fit its network: the package spandrel is missing \(pip"):
        load_checkpoint(ours).build()
    assert "more with the package spandrel" in refused(path)


def test_torchvision_is_not_pretended_once_spandrel_is_imported() -> None:
    module = sys.modules.get("torchvision")
    assert module is None or module.__spec__ is not None


def test_weights_of_another_network_do_not_fit() -> None:
    made = build({"network": "spandrel", "channels": 3, "architecture": "SCUNet"})
    with pytest.raises(spandrel_networks.SpandrelError, match="not those of SCUNet"):
        made.load_state_dict(state("NAFNet"))
    with pytest.raises(spandrel_networks.SpandrelError, match="does not know 'Nothing'"):
        build({"network": "spandrel", "architecture": "Nothing"})
