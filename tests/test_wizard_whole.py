"""Train on my folder, from the drop to the denoised picture: the real window, pages and child process."""

from __future__ import annotations

import numpy as np
import pytest
from opened import noisy_pixels
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from test_window import drop, files
from test_wizard import make_main, wait  # noqa: F401 - a fixture

from app.wizard.window import METHOD, RESULT, TRAINING
from conftest import picture
from engine import paths
from engine.encode import save_image
from engine.image import Image
from engine.metrics import psnr
from training.events import Judged, Previewed, Verdict
from training.run import PREVIEWS, STATE

PATIENCE_MS = 120_000
STEPS = 200

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)


@pytest.fixture
def folder(tmp_path):
    """Twelve noisy pictures of different parts of a scene."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for number in range(12):
        pixels = np.roll(noisy_pixels(128, 160, seed=number), 17 * number, axis=1)
        save_image(Image(pixels, bits=32, is_float=True), folder / f"{number:02}.tif")
    return folder


def test_a_folder_becomes_a_model_that_denoises(make_main, qtbot, folder):  # noqa: F811
    def click(button) -> None:
        qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    main = make_main()
    main.actions_by_name["train"].trigger()
    wizard = main.wizard
    assert drop(wizard, files(folder))
    qtbot.waitUntil(lambda: wizard.folder.is_complete, timeout=PATIENCE_MS)
    assert len(wizard.plan.used) == 12
    assert wizard.plan.held_out
    click(wizard.next)
    assert wizard.number == METHOD
    qtbot.waitUntil(lambda: wizard.method.is_complete, timeout=PATIENCE_MS)
    # The smallest network, and a budget that only the button ends.
    wizard.plan.start, wizard.plan.network = None, "unet-tiny"
    wizard.plan.options = {
        **wizard.plan.options,
        "minutes": None,
        "steps": 100 * STEPS,
        "batch": 4,
        "patch": 32,
        "report_every": 20,
        "judge_every": STEPS,
        "device": "cpu",
        "threads": 1,
    }
    click(wizard.next)
    assert wizard.number == TRAINING
    training = main.workspace.training
    assert training is not None

    # It learns, and the preview moves.
    def is_shown() -> bool:
        return any(isinstance(event, Previewed) for event in training.events)

    qtbot.waitUntil(lambda: is_shown() or not training.is_live, timeout=PATIENCE_MS)
    assert is_shown(), training.message
    first = (training.run.folder / PREVIEWS[2]).read_bytes()
    qtbot.waitUntil(lambda: training.step >= STEPS or not training.is_live, timeout=PATIENCE_MS)
    assert training.state == "running", training.message
    assert "%" in main.training_button.text()
    click(wizard.progress.stop)
    wait(qtbot, training, "stopped")
    previews = [event.step for event in training.events if isinstance(event, Previewed)]
    assert previews[0] == 0
    assert previews[-1] >= STEPS
    assert (training.run.folder / PREVIEWS[2]).read_bytes() != first

    # What it learned is judged and kept.
    assert training.run.checkpoint.exists()
    assert (training.run.folder / STATE).exists()
    judged = [event for event in training.events if isinstance(event, Judged)]
    assert judged[-1].psnr_db is not None
    assert any(isinstance(event, Verdict) for event in training.events)
    qtbot.waitUntil(lambda: wizard.number == RESULT and wizard.result.result is not None, timeout=PATIENCE_MS)

    # The model is in the list at once, chosen, and denoises a picture.
    name = wizard.result.name.text()
    click(wizard.result.use)
    workspace = main.workspace
    qtbot.waitUntil(lambda: name in [entry.name for entry in workspace.catalog.models], timeout=PATIENCE_MS)
    assert (paths.models() / f"{name}.safetensors").exists()
    workspace.open([folder / "00.tif"])
    qtbot.waitUntil(lambda: workspace.is_done, timeout=PATIENCE_MS)
    entry = workspace.model_in_force()
    assert entry is not None
    assert entry.name == name
    results = []
    workspace.copied.connect(results.append)
    workspace.copy_result()
    qtbot.waitUntil(lambda: bool(results), timeout=PATIENCE_MS)
    clean, noisy = picture(128, 160).astype(np.float32), noisy_pixels(128, 160, seed=0)
    assert psnr(results[0] / np.float32(255), clean) > psnr(noisy, clean) + 1
