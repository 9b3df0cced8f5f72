"""What `--self-test` does: open a window off screen, denoise the sample, save it, open it again, and train a little."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QApplication

from app.jobs import Target
from app.settings import Settings
from app.window import MainWindow
from app.wizard.training_run import TrainingRun
from app.workspace import Workspace
from engine import paths
from engine.encode import Encoding
from engine.image import load_image
from training.job import TrainJob
from training.run import begin

_PATIENCE_S = 300.0


class SelfTestError(RuntimeError):
    """The program does not work here; the message says what failed."""


def self_test() -> int:
    """Return 0 where everything works; prints one line for each step."""
    app = QApplication([sys.argv[0]])
    try:
        with tempfile.TemporaryDirectory() as folder:
            # A home of its own: a test neither reads nor changes what the user has, nor meets a training of theirs.
            os.environ["PELLUCID_HOME"] = str(Path(folder) / "home")
            _test(app, Path(folder))
    except SelfTestError as error:
        sys.stderr.write(f"self-test: {error}\n")
        return 1
    _say("passed")
    return 0


def _test(app: QApplication, folder: Path) -> None:
    sample = paths.resources() / "sample" / "coffee_noisy.tif"
    failures: list[str] = []
    workspace = Workspace(Settings())
    window = MainWindow(workspace)
    workspace.failed.connect(lambda sentence, details: failures.append(f"{sentence}\n{details}".strip()))
    workspace.not_opened.connect(lambda list_: failures.extend(reason for _, reason in list_.failures))
    try:
        window.resize(1000, 700)
        window.show()
        _say("the window is open")
        _run(app, window, sample, folder / "sample_denoised.png", failures)
        _train(app, sample, folder, failures)
    finally:
        window.close()
        workspace.close()


def _run(app: QApplication, window: MainWindow, sample: Path, target: Path, failures: list[str]) -> None:
    workspace = window.workspace
    workspace.open([sample])
    _wait(app, lambda: workspace.opened is not None, "the sample picture is read", failures)
    _wait(app, lambda: workspace.is_done, "it is denoised", failures)
    gain = (workspace.numbers.psnr_db or 0.0) - (workspace.reference.noisy_psnr_db if workspace.reference else 0.0)
    _say(f"PSNR {workspace.numbers.psnr_db or 0.0:.2f} dB against its clean twin, {gain:+.2f} dB")
    if window.grab().isNull():
        raise SelfTestError("the window cannot be drawn")
    saved: list[Path] = []
    workspace.saved.connect(saved.append)
    workspace.save(Target(target, Encoding(bits=8), sidecar=True))
    _wait(app, lambda: bool(saved), "it is saved", failures)
    if load_image(target).pixels.shape != load_image(sample).pixels.shape:
        raise SelfTestError("the saved picture has another size")
    _say("it opens again")


def _train(app: QApplication, sample: Path, folder: Path, failures: list[str]) -> None:
    """A few steps in a process of their own, which is this program once more."""
    pictures = folder / "pictures"
    pictures.mkdir()
    shutil.copy(sample, pictures)
    job = TrainJob(data=str(pictures), network="unet-tiny", steps=3, batch=2, patch=32, device="cpu", name="self-test")
    training = TrainingRun(begin(job, folder / "run"))
    training.resume()
    _wait(app, lambda: not training.is_live, "a training ends", failures)
    if training.state != "finished" or not training.run.checkpoint.exists():
        raise SelfTestError(f"the training is {training.state}: {training.message}")


def _wait(app: QApplication, is_so: Callable[[], bool], what: str, failures: list[str]) -> None:
    """Let the window work until something is so; SelfTestError if it fails or takes minutes."""
    end = time.monotonic() + _PATIENCE_S
    while not is_so():
        # A test drives the loop itself; nothing else in the program does.
        app.processEvents()
        time.sleep(0.005)
        if failures:
            raise SelfTestError(failures[0])
        if time.monotonic() > end:
            raise SelfTestError(f"waited in vain: {what}")
    _say(what)


def _say(line: str) -> None:
    if sys.stdout is not None:  # a Windows program without a console has none
        sys.stdout.write(f"self-test: {line}\n")
        sys.stdout.flush()
