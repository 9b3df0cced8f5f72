"""Checkpoints of others: the public layouts come in exactly, and nothing hostile or broken comes in at all."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from engine import denoise, foreign, paths, spandrel_networks
from engine.checkpoint import Card, Checkpoint, CheckpointError, find_checkpoint, load_checkpoint, save_checkpoint
from engine.foreign import Convention, ConventionNeeded, ForeignError, import_checkpoint, read_any, read_foreign
from engine.image import Image
from engine.method import Layout, Method, MethodError, Pass, Task, build, methods
from engine.networks import DnCNN, fold_batch_norm
from engine.params import make


def reference(
    *,
    channels: int = 1,
    depth: int = 5,
    first_bias: bool = False,
    norm: bool = True,
    bias: bool = False,
    eps: float = 1e-5,
    width: int = 64,
) -> nn.Sequential:
    """The layers of a DnCNN, written out, with batch norms that have seen something."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=first_bias or bias), nn.ReLU()]
    for _ in range(depth - 2):
        layers.append(nn.Conv2d(width, width, 3, padding=1, bias=bias))
        layers += [nn.BatchNorm2d(width, eps=eps)] if norm else []
        layers.append(nn.ReLU())
    layers.append(nn.Conv2d(width, channels, 3, padding=1, bias=bias))
    generator = torch.Generator().manual_seed(depth)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    body = nn.Sequential(*layers).eval().requires_grad_(False)
    for layer in body:
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.copy_(uniform(layer.weight, 0.5, 1.5))
            layer.bias.copy_(uniform(layer.bias, -0.2, 0.2))
            layer.running_mean.copy_(uniform(layer.running_mean, -0.2, 0.2))
            layer.running_var.copy_(uniform(layer.running_var, 2e-4, 0.5))
        elif isinstance(layer, nn.Conv2d):
            layer.weight.copy_(uniform(layer.weight, -0.03, 0.03))
    # Brings the noise to the size of noise, so that an error of 1e-5 is an error of 1e-5.
    body[-1].weight.div_(4 * body(noisy(channels)).std())
    return body


def noisy(channels: int) -> Tensor:
    return torch.rand((1, channels, 24, 20), generator=torch.Generator().manual_seed(7)) * 1.2 - 0.1


def named(body: nn.Module, stem: str = "dncnn.", counted: bool = True) -> dict[str, Tensor]:
    """The state dict of these layers under a name, with or without num_batches_tracked."""
    state = {f"{stem}{key}": tensor for key, tensor in body.state_dict().items()}
    return {key: tensor for key, tensor in state.items() if counted or "num_batches" not in key}


def saved(path: Path, value: Any, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def error_of(checkpoint: Checkpoint, expected: Tensor) -> float:
    network = fold_batch_norm(checkpoint.build())
    with torch.inference_mode():
        return float((network(noisy(checkpoint.channels), None) - expected).abs().max())


GREY = Convention("residual", None, 1e-5)
COLOUR = Convention("residual", "rgb", 1e-5)


# name, the layers, the prefix, whether counted, whether legacy, the convention, trainable numbers
PUBLIC = {
    "DnCNN-S": ({"depth": 17}, "module.dncnn.", False, True, GREY, 556_032),
    "DnCNN-B": ({"depth": 20}, "module.dncnn.", False, True, GREY, 667_008),
    "R2R PolyU": (
        {"depth": 17, "channels": 3, "first_bias": True, "eps": 1e-4},
        "dncnn.",
        True,
        False,
        Convention("residual", "bgr", 1e-4),
        558_400,
    ),
    "R2R SIDD": (
        {"depth": 20, "channels": 3, "first_bias": True, "eps": 1e-4},
        "module.dncnn.",
        True,
        False,
        Convention("residual", "bgr", 1e-4),
        669_376,
    ),
    "KAIR": ({"depth": 17, "norm": False, "bias": True}, "model.", True, True, Convention("residual"), 555_137),
}


@pytest.mark.parametrize("layout", PUBLIC)
def test_every_public_layout_comes_in_exactly(layout: str, tmp_path: Path) -> None:
    details, stem, counted, legacy, convention, count = PUBLIC[layout]
    body = reference(**details)
    path = saved(tmp_path / "net.pth", named(body, stem, counted), legacy)
    y = noisy(details.get("channels", 1))
    # What the author's code does: it reads with OpenCV, so its channels are turned.
    expected = y - body(y.flip(1)).flip(1)

    checkpoint = read_foreign(path, convention)

    assert sum(parameter.numel() for parameter in checkpoint.build().parameters()) == count
    assert checkpoint.method == "plain"
    assert error_of(checkpoint, expected) < 1e-5


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "params", "model"])
def test_weights_are_found_in_what_training_programs_save_around_them(wrapper: str, tmp_path: Path) -> None:
    body = reference()
    around = {"epoch": 3, "best": 29.1, "optimizer": {"state": {}, "lr": [1e-3]}, wrapper: named(body)}
    checkpoint = read_foreign(saved(tmp_path / "a.pt", around), GREY)
    assert error_of(checkpoint, noisy(1) - body(noisy(1))) < 1e-5


def test_values_among_the_weights_that_are_no_tensors_are_ignored(tmp_path: Path) -> None:
    body = reference()
    checkpoint = read_foreign(saved(tmp_path / "a.pth", {"version": "1.0", **named(body), "step": 3}), GREY)
    assert error_of(checkpoint, noisy(1) - body(noisy(1))) < 1e-5


def test_safetensors_of_others_come_in_under_any_file_name(tmp_path: Path) -> None:
    body = reference(channels=3)
    expected = noisy(3) - body(noisy(3))
    for name in ("a.safetensors", "a.pth"):
        safetensors.torch.save_file(named(body), tmp_path / name)
        assert error_of(read_any(tmp_path / name, COLOUR), expected) < 1e-5


def test_output_image_gives_what_the_layers_give(tmp_path: Path) -> None:
    body = reference()
    checkpoint = read_foreign(saved(tmp_path / "a.pth", named(body)), replace(GREY, output="image"))
    assert error_of(checkpoint, body(noisy(1))) < 1e-5


def test_given_eps_is_used(tmp_path: Path) -> None:
    body = reference(eps=1e-2)
    path = saved(tmp_path / "a.pth", named(body))
    expected = noisy(1) - body(noisy(1))
    assert error_of(read_foreign(path, replace(GREY, bn_eps=1e-2)), expected) < 1e-5
    assert error_of(read_foreign(path, GREY), expected) > 1e-3


@pytest.mark.parametrize("details", [{"norm": True, "bias": True}, {"norm": False, "bias": False}])
def test_layers_that_our_network_lacks_are_folded(details: Mapping[str, bool], tmp_path: Path) -> None:
    body = reference(**details)
    checkpoint = read_foreign(saved(tmp_path / "a.pth", named(body, "model.")), GREY)
    assert error_of(checkpoint, noisy(1) - body(noisy(1))) < 1e-5


def test_half_precision_and_shared_memory_come_in_as_own_float32(tmp_path: Path) -> None:
    body = reference(width=8).half()
    state = named(body)
    state["dncnn.6.weight"] = state["dncnn.3.weight"]
    checkpoint = read_foreign(saved(tmp_path / "a.pth", state), GREY)
    assert {t.dtype for t in checkpoint.weights.values()} == {torch.float32, torch.int64}
    save_checkpoint(checkpoint, tmp_path / "ours.safetensors")


@pytest.mark.parametrize(
    ("details", "convention", "choices"),
    [
        ({}, Convention(), ("output", "bn_eps")),
        ({"channels": 3}, Convention(), ("output", "channels_order", "bn_eps")),
        ({"channels": 3}, Convention(output="image", bn_eps=1e-5), ("channels_order",)),
        ({"norm": False, "bias": True}, Convention(), ("output",)),
        ({"norm": False, "bias": True, "channels": 3}, Convention("residual"), ("channels_order",)),
    ],
)
def test_open_conventions_are_asked_for_and_only_those(
    details: Mapping[str, Any], convention: Convention, choices: tuple[str, ...], tmp_path: Path
) -> None:
    path = saved(tmp_path / "theirs.pth", named(reference(**details)))
    with pytest.raises(ConventionNeeded, match=r"theirs\.pth") as caught:
        read_any(path, convention)
    assert caught.value.choices == choices
    options = {
        "output": "--output residual|image",
        "channels_order": "--channels rgb|bgr",
        "bn_eps": "--bn-eps E",
    }
    for field, option in options.items():
        assert (option in str(caught.value)) == (field in choices)


@pytest.mark.parametrize(
    "wrong",
    [
        {"output": "noise"},
        {"channels_order": "grb"},
        {"bn_eps": float("nan")},
        {"value_range": 256},
        {"noise": "gaussian"},
    ],
)
def test_impossible_conventions_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ForeignError, match="--"):
        Convention(**wrong)


def test_unknown_method_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", named(reference()))
    with pytest.raises(MethodError, match="no method 'nothing'"):
        read_foreign(path, replace(GREY, method="nothing"))


def test_method_can_be_given_for_a_file_of_unknown_training(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", named(reference()))
    assert read_foreign(path, replace(GREY, method="r2r")).method == "r2r"


def test_a_method_that_has_networks_of_its_own_is_not_given_another(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", named(reference()))
    with pytest.raises(ForeignError, match=r"a\.pth is read as DnCNN, which method apr-rd cannot run"):
        read_foreign(path, replace(GREY, method="apr-rd"))


def test_grey_network_trained_by_r2r_runs_by_r2r(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", named(reference()))
    model = denoise.load_model(import_checkpoint(path, replace(GREY, method="r2r")), device="cpu", precision="float32")
    assert model.method.id == "r2r"
    image = Image(np.random.default_rng(0).random((20, 24, 3), dtype=np.float32))
    work = denoise.Denoising(model, image, make(model.method.Params, {}), sigma=0.1)
    for _ in work.run(2):
        pass
    assert np.isfinite(work.mean(2)).all()
    assert not np.array_equal(work.mean(1), work.mean(2))


def known(monkeypatch: pytest.MonkeyPatch, path: Path, like: str) -> None:
    """Give a file the place of a known one."""
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    monkeypatch.setattr(foreign, "_KNOWN", {digits: foreign._KNOWN[like]})


def test_known_file_needs_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = reference(channels=3, first_bias=True, eps=1e-4)
    path = saved(tmp_path / "pre_trained.pth", named(body))
    known(monkeypatch, path, "985dadfb91c0259f")

    checkpoint = read_any(path)

    assert checkpoint.name == "r2r-sidd"
    assert checkpoint.method == "plain"
    assert error_of(checkpoint, noisy(3) - body(noisy(3).flip(1)).flip(1)) < 1e-5


def test_model_path_runs_known_files_and_others_by_convention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = reference()
    path = saved(tmp_path / "net.pth", named(body))
    with pytest.raises(ConventionNeeded, match="--output"):
        denoise.load_model(path, device="cpu")
    asked = denoise.load_model(path, device="cpu", convention=replace(GREY, output="image")).network
    assert asked.output == "image"
    known(monkeypatch, path, "65f0f0ea16d66727")

    model = denoise.load_model(path, device="cpu", precision="float32")

    assert model.method.id == "plain"
    with torch.inference_mode():
        assert float((model.network(noisy(1)) - (noisy(1) - body(noisy(1)))).abs().max()) < 1e-5


def test_options_against_what_is_known_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "net.pth", named(reference()))
    known(monkeypatch, path, "65f0f0ea16d66727")
    assert read_foreign(path, GREY).arch["eps"] == 1e-5
    for wrong, option in (
        ({"bn_eps": 1e-4}, "--bn-eps"),
        ({"output": "image"}, "--output"),
        ({"method": "r2r"}, "--method"),
    ):
        with pytest.raises(ForeignError, match=f"DnCNN-S-25.*{option}"):
            read_foreign(path, Convention(**wrong))


@pytest.mark.parametrize("digits", foreign._KNOWN)
def test_table_of_known_files_settles_everything(digits: str) -> None:
    convention = foreign._KNOWN[digits].convention
    first, _, last = digits.partition("...")
    assert len(first) + len(last) >= 14
    if "..." in digits:
        assert convention == Convention(value_range=1)
    else:
        assert convention.output == "residual"
        assert convention.channels_order == ("bgr" if "r2r" in foreign._KNOWN[digits].name else None)


def test_known_files_are_found_by_their_first_and_last_digits() -> None:
    inside = "0" * 50
    assert foreign._known(f"42dc066b{inside}26bc1f").name == "apr-rd-1.00m"
    assert foreign._known(f"42dc066b{inside}26bc1e") is None
    assert foreign._known(f"42dc066c{inside}26bc1f") is None
    assert foreign._known("985dadfb91c0259f" + 48 * "0").name == "r2r-sidd"


def test_imported_file_is_found_by_its_name_with_a_card(tmp_path: Path) -> None:
    body = reference(channels=3)
    path = saved(tmp_path / "my net.pth", named(body))

    target = import_checkpoint(path, COLOUR)

    assert target == paths.models() / "my-net.safetensors"
    assert find_checkpoint("my-net") == target
    checkpoint = load_checkpoint(target)
    assert checkpoint.card.source == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "my net.pth" in checkpoint.card.title
    assert checkpoint.card.licence == "unknown"
    assert error_of(checkpoint, noisy(3) - body(noisy(3))) < 1e-5


def test_importing_again_replaces_but_another_file_of_that_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first = saved(tmp_path / "net.pth", named(reference()))
    other = saved(tmp_path / "b/net.pth", named(reference(depth=6)))
    import_checkpoint(first, GREY)

    again = import_checkpoint(first, replace(GREY, output="image"))
    second = import_checkpoint(other, GREY)

    assert (again.name, second.name) == ("net.safetensors", "net-2.safetensors")
    assert load_checkpoint(again).arch["output"] == "image"
    assert load_checkpoint(second).name == "net-2"
    with pytest.raises(ForeignError, match="already a model 'net'"):
        import_checkpoint(other, GREY, "net")


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "a b"])
def test_model_names_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", named(reference()))
    with pytest.raises(ForeignError, match="name"):
        import_checkpoint(path, GREY, name)


def test_own_file_is_imported_with_its_own_card(tmp_path: Path) -> None:
    network = DnCNN(depth=5, width=8)
    arch = {"network": "dncnn", "depth": 5, "width": 8}
    ours = Checkpoint("mine", "r2r", arch, network.state_dict(), card=Card(title="Mine", licence="CC0"))
    save_checkpoint(ours, tmp_path / "anything.safetensors")

    checkpoint = load_checkpoint(import_checkpoint(tmp_path / "anything.safetensors"))

    assert (checkpoint.name, checkpoint.method, checkpoint.card.licence) == ("mine", "r2r", "CC0")


def part(weights: Mapping[str, Tensor], place: str, stem: str = "") -> dict[str, Tensor]:
    """The tensors below a place, as a state dict of their own."""
    return {stem + name.removeprefix(place): tensor for name, tensor in weights.items() if name.startswith(place)}


def as_saved_by_dbsn(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "state_dict_dbsn": part(weights, "mu.", "module."),
        "state_dict_sigma_mu": part(weights, "sigma_mu.", "module."),
        "state_dict_sigma_n": part(weights, "sigma_n.", "module."),
        "optimizer_dbsn": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 3e-4, "params": [0]}]},
        "schedule_dbsn": {"last_epoch": 3},
        "training_params": {"start_epoch": 3},
        "args": argparse.Namespace(noise_type="gaussian", lr=3e-4, milestone=[30, 60]),
    }


def as_saved_by_apr_rd(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"model_state_dict": part(weights, "student.")}


# method, network, how its authors save its weights, what is asked, the answers
METHODS = {
    "n2n": ("n2n", {"network": "n2n"}, dict, (), Convention()),
    "n2n, parallel": ("n2n", {"network": "n2n"}, lambda weights: part(weights, "", "module."), (), Convention()),
    "n2n, Lightning": (
        "n2n",
        {"network": "n2n", "channels": 1},
        lambda weights: {"state_dict": part(weights, "", "net._orig_mod.")},
        (),
        Convention(),
    ),
    "dbsn": (
        "dbsn",
        {"network": "dbsn", "channels": 3, "noise": "hg", "width": 8, "blocks": 1, "hidden": 32},
        as_saved_by_dbsn,
        ("noise",),
        Convention(noise="hg"),
    ),
    "dbsn, blind alone": (
        "dbsn",
        {"network": "dbsn", "channels": 1, "width": 8, "blocks": 1, "estimates": False},
        lambda weights: {"state_dict_dbsn": part(weights, "mu.", "module.")},
        (),
        Convention(),
    ),
    "apr-rd 1.02": (
        "apr-rd",
        {"network": "apr-rd", "parts": "student", "student": "1.02", "value_range": 1},
        as_saved_by_apr_rd,
        (),
        Convention(),
    ),
    "at-bsn": (
        "apr-rd",
        {"network": "apr-rd", "parts": "student", "student": "1.00", "value_range": 255},
        as_saved_by_apr_rd,
        ("value_range",),
        Convention(value_range=255),
    ),
}


@pytest.mark.parametrize("case", METHODS)
def test_files_of_every_method_come_in_exactly_and_are_run_by_it(case: str, tmp_path: Path) -> None:
    method, arch, save, asked, convention = METHODS[case]
    torch.manual_seed(0)
    network = build(arch).eval()
    path = saved(tmp_path / "theirs.pth", save(network.state_dict()))
    if asked:
        with pytest.raises(ConventionNeeded) as caught:
            read_any(path)
        assert caught.value.choices == asked

    read = read_any(path, convention)
    kept = load_checkpoint(import_checkpoint(path, convention))

    assert read.method == kept.method == method
    assert read.arch == kept.arch
    x = torch.rand(1, arch.get("channels", 3), 64, 96)
    level = torch.full((1, 1, 1, 1), 0.1)
    with torch.inference_mode():
        expected = network(x, level)
        assert torch.equal(read.build()(x, level), expected)
        assert torch.equal(kept.build()(x, level), expected)
    model = denoise.load_model(kept.name, device="cpu", precision="float32")
    assert model.method.id == method
    make(model.method.Params, kept.params)


def test_known_students_need_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, arch, save, _, _ = METHODS["at-bsn"]
    path = saved(tmp_path / "theirs.pth", save(build(arch).state_dict()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    table = {f"{sha256[:8]}...{sha256[-6:]}": foreign._KNOWN["42dc066b...26bc1f"]}
    monkeypatch.setattr(foreign, "_KNOWN", table)
    checkpoint = read_any(path)
    assert (checkpoint.name, checkpoint.method, checkpoint.arch["value_range"]) == ("apr-rd-1.00m", "apr-rd", 1)
    assert checkpoint.card.licence == "none given by its authors"
    with pytest.raises(ForeignError, match="needs --range 1"):
        read_any(path, Convention(value_range=255))


@pytest.mark.parametrize("case", METHODS)
def test_what_is_almost_a_file_of_a_method_is_refused(case: str, tmp_path: Path) -> None:
    _, arch, _, _, convention = METHODS[case]
    state = METHODS[case][2](build(arch).state_dict())

    def change(value: Any, wanted: Callable[[Tensor], Tensor]) -> Any:
        if isinstance(value, Mapping):
            return {name: change(inner, wanted) for name, inner in value.items()}
        return wanted(value) if isinstance(value, Tensor) else value

    for wanted in (lambda _: torch.zeros(()), lambda tensor: tensor[..., None], lambda tensor: tensor[:0]):
        path = saved(tmp_path / "a.pth", change(state, wanted))
        with pytest.raises(ForeignError, match="No method recognises"):
            read_any(path, convention)


def test_files_of_methods_run_by_another_method_only_where_it_can(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", build({"network": "n2n"}).state_dict())
    plain = read_any(path, Convention(method="plain"))
    assert (plain.method, plain.params) == ("plain", {})
    with pytest.raises(ForeignError, match=r"a\.pth is read as Neighbor2Neighbor, which method r2r cannot run"):
        read_any(path, Convention(method="r2r"))


class Reader(Method):
    """Recognises one tensor, as many times as it is told."""

    id, label, source = "reader", "Reader", "a test"

    def __init__(self, *layouts: Layout) -> None:
        self.layouts = layouts

    def passes(self, network: nn.Module, task: Task) -> Iterator[Pass]:
        yield Pass(network(task.noisy, task.level()), None)

    def recognise(self, weights: Mapping[str, Tensor]) -> Sequence[Layout]:
        return self.layouts if "only" in weights else ()


def read_by(monkeypatch: pytest.MonkeyPatch, *layouts: Layout) -> None:
    known = {**methods(), "reader": Reader(*layouts)}
    monkeypatch.setattr(foreign, "methods", lambda: known)
    monkeypatch.setattr(foreign, "method_of", known.__getitem__)


SMALL = {"network": "dncnn", "depth": 3, "width": 8, "eps": 0.0}


def layout(source: str, **details: Any) -> Layout:
    return Layout(source, SMALL, DnCNN(depth=3, width=8).state_dict(), **details)


def test_where_several_layouts_fit_the_source_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by(
        monkeypatch,
        layout("One"),
        layout("Other", asks=("value_range",), settle=lambda said: {**SMALL, "eps": said.value_range / 1000}),
    )
    path = saved(tmp_path / "a.pth", {"only": torch.zeros(1)})
    with pytest.raises(
        ConventionNeeded, match=r"a\.pth can be read as One or as Other; import it with --source"
    ) as caught:
        read_any(path)
    assert caught.value.questions[0].values == ("One", "Other")
    assert read_any(path, Convention(source="one")).arch == SMALL
    with pytest.raises(ConventionNeeded, match=r"--range 1\|255") as caught:
        read_any(path, Convention(source="Other"))
    assert (caught.value.choices, caught.value.given) == (("value_range",), {"source": "Other"})
    assert read_any(path, Convention(source="Other", value_range=255)).arch["eps"] == 0.255
    with pytest.raises(ForeignError, match="can be read as One or as Other, not as 'third'"):
        read_any(path, Convention(source="third"))


def test_values_that_suit_a_file_go_with_its_own_method_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by(monkeypatch, layout("One", params={"strange": 1}))
    path = saved(tmp_path / "a.pth", {"only": torch.zeros(1)})
    assert read_any(path).params == {"strange": 1}
    assert read_any(path, Convention(method="plain")).params == {}


def test_layout_whose_weights_do_not_fit_its_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by(monkeypatch, Layout("One", {**SMALL, "width": 9}, layout("One").weights))
    with pytest.raises(CheckpointError, match="a does not fit its network"):
        read_any(saved(tmp_path / "a.pth", {"only": torch.zeros(1)}))


def test_options_that_would_have_no_effect_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", named(reference()))
    assert read_any(path, replace(GREY, channels_order="bgr")).arch["bgr"] is False
    for more, option in (({"value_range": 255}, "--range"), ({"noise": "hg"}, "--noise-kind")):
        with pytest.raises(ForeignError, match=f"is read as DnCNN, where {option} has no effect"):
            read_any(path, replace(GREY, **more))


def refused(path: Path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(ForeignError) as caught:
        read_any(path, COLOUR)
    assert not isinstance(caught.value, ConventionNeeded)
    assert caught.value.__cause__ is None
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 500
    return message


class Payload:
    """Creates a file when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"echo > {self.target}",))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_is_not_run(legacy: bool, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    path = saved(tmp_path / "evil.pth", {"state_dict": named(reference()), "extra": Payload(target)}, legacy)
    assert "can run code" in refused(path)
    assert not target.exists()
    # The payload works: this is what the test is about.
    torch.load(path, weights_only=False)  # noqa: TID251
    assert target.exists()


def test_other_python_objects_are_named(tmp_path: Path) -> None:
    value = {"state_dict": named(reference()), "args": Fraction(1, 3)}
    assert "fractions.Fraction" in refused(saved(tmp_path / "a.pth", value))
    assert "Conv2d" in refused(saved(tmp_path / "b.pth", nn.Conv2d(1, 1, 3)))


@pytest.mark.parametrize("legacy", [True, False])
def test_what_a_training_was_told_may_lie_beside_the_weights(legacy: bool, tmp_path: Path) -> None:
    body = reference()
    told = argparse.Namespace(lr=1e-3, name="a", nested=argparse.Namespace(layers=[1, 2]))
    path = saved(tmp_path / "a.pth", {"state_dict": named(body), "args": told}, legacy)
    assert error_of(read_foreign(path, GREY), noisy(1) - body(noisy(1))) < 1e-5


@pytest.mark.parametrize("legacy", [True, False])
def test_code_inside_of_a_namespace_is_not_run(legacy: bool, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    value = {"state_dict": named(reference()), "args": argparse.Namespace(lr=Payload(target))}
    path = saved(tmp_path / "evil.pth", value, legacy)
    assert "can run code" in refused(path)
    assert not target.exists()
    torch.load(path, weights_only=False)  # noqa: TID251
    assert target.exists()


def test_namespaces_are_allowed_while_a_file_is_read_only(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"state_dict": named(reference()), "args": argparse.Namespace(lr=1)})
    read_foreign(path, GREY)
    with pytest.raises(pickle.UnpicklingError, match="Namespace"):
        torch.load(path, weights_only=True)  # noqa: TID251


def test_other_networks_are_refused_with_what_they_hold_and_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spandrel_networks, "is_installed", lambda: False)
    state = {"head.weight": torch.zeros(8, 3, 3, 3), "scale": torch.tensor(1.0)}
    state |= {f"body.{index}.weight": torch.zeros(8) for index in range(5)}
    message = refused(saved(tmp_path / "net.pth", state))
    assert message.startswith("No method recognises net.pth, which holds 7 tensors of 257 numbers, first 'head.weight'")
    assert "'head.weight' of 8x3x3x3, 'scale' of 1, 'body.0.weight' of 8; accepted are" in message
    assert "DnCNN, " in message
    assert "Neighbor2Neighbor" in message
    assert message.endswith("more with the package spandrel")


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in names}


STATE = named(reference(width=8))
ALMOST = {
    "no gap for the ReLU": {**without(STATE, "dncnn.11.weight"), "dncnn.10.weight": STATE["dncnn.11.weight"]},
    "a layer is missing": without(STATE, "dncnn.2.weight"),
    "half a batch norm": without(STATE, "dncnn.3.running_mean"),
    "another kernel": {**STATE, "dncnn.2.weight": torch.zeros(8, 8, 5, 5)},
    "another width": {**STATE, "dncnn.2.weight": torch.zeros(8, 9, 3, 3)},
    "a vector too long": {**STATE, "dncnn.3.bias": torch.zeros(9)},
    "something beside": {**STATE, "tail.weight": torch.zeros(8)},
    "two bodies": {**STATE, "dncnn.12.weight": torch.zeros(1), "model.0.weight": torch.zeros(8, 1, 3, 3)},
    "whole numbers": {**STATE, "dncnn.2.weight": torch.zeros(8, 8, 3, 3, dtype=torch.int64)},
    "two norms": {**STATE, **{k.replace("n.3.", "n.4."): v for k, v in STATE.items() if ".3." in k}},
    "no layers between": {"dncnn.0.weight": torch.zeros(8, 1, 3, 3), "dncnn.2.weight": torch.zeros(1, 8, 3, 3)},
    "no numbers": {"dncnn.weight": torch.zeros(8, 1, 3, 3)},
}


@pytest.mark.parametrize("case", ALMOST)
def test_what_is_almost_a_dncnn_is_not_taken_for_one(case: str, tmp_path: Path) -> None:
    assert "No method recognises" in refused(saved(tmp_path / "a.pth", ALMOST[case]))


def test_two_channels_are_refused_by_number(tmp_path: Path) -> None:
    assert "takes 2 and gives 2 channels" in refused(saved(tmp_path / "a.pth", named(reference(channels=2))))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in STATE.items()}
    state["dncnn.2.weight"][0, 0, 0, 0] = bad
    assert "not finite, first 'dncnn.2.weight'" in refused(saved(tmp_path / "a.pth", state))


def test_double_that_is_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    state = {**STATE, "dncnn.3.bias": torch.full((8,), 1e300, dtype=torch.float64)}
    assert "not finite" in refused(saved(tmp_path / "a.pth", state))


def test_negative_variance_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {**STATE, "dncnn.3.running_var": torch.full((8,), -0.1)})
    assert "variance" in refused(path)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04", b"\x80\x02.", b"not a checkpoint" * 20, b"{" * 100])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_garbage_is_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path)
    refused(tmp_path / "missing.pth")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damaged_files_are_refused_or_read_but_never_fail_otherwise(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    if kind == "safetensors":
        safetensors.torch.save_file(STATE, path)
    else:
        saved(path, STATE, kind == "legacy")
    whole = path.read_bytes()
    for share in (0.01, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        damaged = bytearray(whole)
        # The head holds the structure, where damage matters most.
        at = int(torch.randint(min(len(whole), 4000), (1,), generator=generator))
        damaged[at] ^= 1 << int(torch.randint(8, (1,), generator=generator))
        path.write_bytes(damaged)
        with contextlib.suppress(ForeignError):
            read_foreign(path, COLOUR)


def test_files_over_two_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(2 * 2**30 + 1)
    assert "2 GB" in refused(path)


def test_too_many_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_MOST_TENSORS", 10)
    assert "tensors" in refused(saved(tmp_path / "a.pth", STATE))
    safetensors.torch.save_file(STATE, tmp_path / "a.safetensors")
    assert "tensors" in refused(tmp_path / "a.safetensors")


def test_tensor_that_claims_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    state = {**STATE, "dncnn.2.weight": torch.zeros(1).expand(2**32)}
    assert "2 GB" in refused(saved(tmp_path / "a.pth", state))


def test_archive_that_grows_when_unpacked_is_refused(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain.pth", STATE)
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in source.infolist():
            bomb.writestr(entry.filename, source.read(entry))
        bomb.writestr("plain/data/999", bytes(2**24))
    assert "compressed" in refused(path)


def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"):
            archive.writestr(name, b"")
    assert "TorchScript" in refused(path)


def test_sparse_and_absent_weights_are_refused(tmp_path: Path) -> None:
    for weight in (torch.zeros(8, 8).to_sparse(), torch.zeros(8, 8, device="meta")):
        refused(saved(tmp_path / "a.pth", {**STATE, "dncnn.2.weight": weight}))


def test_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["state_dict"] = endless
    assert "no weights" in refused(saved(tmp_path / "a.pth", endless))


@pytest.mark.parametrize("value", [[1, 2], 3, "text", {}, {"epoch": 3}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_files_without_weights_are_refused(value: Any, tmp_path: Path) -> None:
    assert "no weights" in refused(saved(tmp_path / "a.pth", value))


def test_safetensors_header_that_lies_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"dncnn.0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path)


def test_foreign_errors_are_checkpoint_errors() -> None:
    assert issubclass(ConventionNeeded, ForeignError)
    assert issubclass(ForeignError, CheckpointError)
