"""Which device runs, in which precision, and whether it can be trusted."""

from __future__ import annotations

import functools

import torch

from engine.language import tr


class DeviceError(ValueError):
    """The device asked for is not here or gives wrong results; the message is meant for the user."""


def available_devices() -> tuple[str, ...]:
    """What this machine and this build of torch can run on, the one that leads first."""
    accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return (*(kind for kind, here in accelerators.items() if here), "cpu")


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name: auto, cpu, cuda or mps; DeviceError if this machine has none such."""
    kind = name.split(":")[0]
    if name == "auto":
        return torch.device(available_devices()[0])
    if kind not in ("cpu", "cuda", "mps"):
        raise DeviceError(tr("There is no device {name!r}; choose auto, cpu, cuda or mps").format(name=name))
    if kind not in available_devices():
        raise DeviceError(tr("This machine or this build of torch has no {name}; use --device auto").format(name=name))
    return torch.device(name)


@functools.cache
def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The shorter number format this device computes faster in; None where float32 is as fast or the only one."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        # Without these instructions bf16 convolutions are emulated and slower than float32.
        fast = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return torch.bfloat16 if any(getattr(torch.cpu, check, lambda: False)() for check in fast) else None
    return None


def memory_format(device: torch.device) -> torch.memory_format:
    """How pictures lie in memory: channels last is twice as fast on a CPU and faster on a GPU with short formats.

    Not on Metal, where convolutions of anything but the usual layout have given wrong results (pytorch #192212).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def is_out_of_memory(error: Exception) -> bool:
    """Whether a smaller tile or batch would help; Metal has no exception of its own for that."""
    said = str(error)
    is_told = "out of memory" in said.lower() or "DefaultCPUAllocator" in said  # that one asks for nothing but memory
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or is_told
