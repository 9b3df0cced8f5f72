"""Loading torch while another thread goes on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
from pathlib import Path

_LIBRARIES = ("libtorch_global_deps.so", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_python.so")
"""In the order in which torch needs them; a build for CPUs lacks one."""


def load_torch() -> None:
    """Import torch, and what runs networks, without holding up the threads that do something else meanwhile.

    An import holds the interpreter's lock while the system loads a library, 0.2 s for torch's; and the objects that it
    makes, which stay, are looked through for garbage again and again. Does nothing the second time.
    """
    if "engine.method" in sys.modules:
        return
    if "torch" not in sys.modules and sys.platform == "linux":
        _load_libraries()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        from engine import method  # noqa: F401
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _load_libraries() -> None:
    """Let the system load torch's libraries in a call that gives the interpreter's lock back; what fails is left."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    with contextlib.suppress(OSError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        for name in _LIBRARIES:
            # As torch does: what the first one names is there for all.
            flags = os.RTLD_GLOBAL | os.RTLD_LAZY if name == _LIBRARIES[0] else os.RTLD_LAZY
            if not load(os.fsencode(folder / name), flags) and name == _LIBRARIES[0]:
                return  # torch then looks for what is missing by itself, before any of the others
