"""What every test gets: no display, own folders, one thread for torch, and none left behind."""

from __future__ import annotations

import os

# Before anything imports Qt or torch: Qt ends the process where there is no display, and torch reads its number of
# threads once. Both are inherited by the programs that tests start.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_API", "pyside6")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import threading
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked gpu where torch finds no accelerator; torch is imported only if there are such tests."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch finds no accelerator here"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder for settings, models and caches; never the user's own."""
    folder = tmp_path / "pellucid-home"
    monkeypatch.setenv("PELLUCID_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_bundled_models(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the models that a test installs, or retraining the shipped ones would change what tests see."""
    if request.node.get_closest_marker("bundled") is None:
        from engine import paths

        monkeypatch.setattr(paths, "bundled_models", lambda: tmp_path / "no-models")


def left_behind(before: set[threading.Thread], patience_s: float = 2.0) -> list[threading.Thread]:
    """Threads started since `before` that would keep the process alive; the ending ones are waited for."""
    deadline = time.monotonic() + patience_s
    left = []
    for thread in threading.enumerate():
        if thread in before or thread.daemon:
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            left.append(thread)
    return left


@pytest.fixture(autouse=True)
def no_thread_left_behind():
    """Fail a test that ends before the threads it started."""
    before = set(threading.enumerate())
    yield
    left = left_behind(before)
    if left:
        pytest.fail(f"threads left behind: {', '.join(thread.name for thread in left)}")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of photographs that are not part of the repository; without it the test is skipped."""
    named = os.environ.get("PELLUCID_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared/data"
    if not folder.is_dir():
        pytest.skip("the photographs are not here: PELLUCID_DATA names their folder")
    return folder


def picture(height: int, width: int) -> np.ndarray:
    """A synthetic clean colour picture (height, width, 3), float64 in [0, 1]: edges, a gradient and texture."""
    y, x = np.mgrid[0:height, 0:width]
    gradient = 0.2 + 0.5 * x / max(width - 1, 1)
    texture = 0.08 * np.sin(2 * np.pi * x / 5) * np.sin(2 * np.pi * y / 7) * (y > 0.6 * height)
    disc = (y - 0.35 * height) ** 2 + (x - 0.3 * width) ** 2 < (0.2 * min(height, width)) ** 2
    bar = (x > 0.7 * width) & (x < 0.8 * width)
    grey = np.where(disc, 0.85, np.where(bar, 0.1, gradient + texture))
    tint = np.array([1.0, 0.9, 0.8]) + 0.1 * np.stack([y, x, y], axis=-1) / max(height, width)
    return np.clip(grey[..., None] * tint, 0, 1)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A clean picture (64, 80, 3), float32 in [0, 1], and the same with white noise, sigma 25/255, unclipped."""
    clean = picture(64, 80)
    noisy = clean + 25 / 255 * np.random.default_rng(0).standard_normal(clean.shape)
    return clean.astype(np.float32), noisy.astype(np.float32)
