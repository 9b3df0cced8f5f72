"""Torch is loaded without holding up the window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LOAD = """
import gc, sys, threading, time

from engine import loading

thread = threading.Thread(target=loading.load_torch)
thread.start()
while thread.is_alive():
    time.sleep(0.002)
mapped = open("/proc/self/maps").read() if sys.platform == "linux" else "libtorch_cpu"
assert "torch" in sys.modules
assert "libtorch_cpu" in mapped
assert gc.isenabled()
print(gc.get_freeze_count())
import torch
assert float((torch.ones(3) * 2).sum()) == 6
frozen = gc.get_freeze_count()
garbage = [[] for _ in range(100_000)]
loading.load_torch()
assert gc.get_freeze_count() == frozen  # what was made since then may become garbage
"""

LIBRARIES = """
import sys
from engine import loading
loading._load_libraries()
assert "torch" not in sys.modules
assert "libtorch_cpu" in open("/proc/self/maps").read()
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_torch_makes_is_no_garbage_to_look_through():
    assert int(run(LOAD)) > 50_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the libraries are loaded by the import")
def test_the_libraries_are_there_before_the_import():
    run(LIBRARIES)


def test_without_torch_nothing_is_loaded(monkeypatch):
    from engine import loading

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("a library was asked for"))
    loading._load_libraries()
