"""Tiny models for tests: random weights, real code paths."""

import torch

from engine.checkpoint import Checkpoint
from engine.denoise import Model, load_model_from
from engine.method import build, method_of

TINY = {"network": "unet", "width": 8, "blocks": 1, "levels": 2}


def checkpoint(channels: int = 3, method: str = "r2r", seed: int = 0, **arch) -> Checkpoint:
    """A checkpoint whose weights are random but tame: its estimate stays near the picture."""
    torch.manual_seed(seed)
    own = dict(next(iter(method_of(method).networks.values()), {}))
    if "width" in own:
        own["width"] = 8
    base = own if own and "network" not in arch else TINY if arch.get("network", "unet") == "unet" else {}
    arch = {**base, "channels": channels, **arch}
    network = build(arch)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("tail"):
                parameter.normal_(0, 0.05)
    return Checkpoint("tiny", method, arch, network.state_dict())


def model(channels: int = 3, method: str = "r2r", precision: str = "float32", **arch) -> Model:
    return load_model_from(checkpoint(channels, method, **arch), device="cpu", precision=precision)
