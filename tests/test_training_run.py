from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trainings import STEPS, job, pretend

from app.wizard import training_run
from app.wizard.training_run import TrainingRun, command
from engine import paths
from training.events import Ended, Saved, Started, Step, append
from training.run import Run, begin

PATIENCE_MS = 20_000


@pytest.fixture(autouse=True)
def pretended(monkeypatch):
    pretend(monkeypatch)


@pytest.fixture
def start(qtbot):
    """Starts trainings, and ends those that are left."""
    made = []

    def start(name: str = "willing", **details) -> TrainingRun:
        made.append(TrainingRun.start(job(name=name, **details), name))
        return made[-1]

    yield start
    for training in made:
        if training.is_live:
            training.cancel()
            wait(qtbot, training, "cancelled")


def wait(qtbot, training: TrainingRun, state: str) -> None:
    qtbot.waitUntil(lambda: training.state == state, timeout=PATIENCE_MS)


def wait_step(qtbot, training: TrainingRun, step: int) -> None:
    qtbot.waitUntil(lambda: training.step >= step, timeout=PATIENCE_MS)


def kill(training: TrainingRun) -> None:
    """As the system does when memory is short."""
    for process in training_run._working(training.run):
        process.kill()


def test_a_training_tells_what_happens_until_it_is_finished(start, qtbot):
    training = start(steps=30)
    seen, states = [], []
    training.happened.connect(seen.append)
    training.state_changed.connect(lambda: states.append(training.state))
    assert training.state == "starting"
    wait(qtbot, training, "finished")
    assert [type(event) for event in seen][:2] == [Started, Step]
    assert seen[-1] == Ended(30, "finished")
    assert [event.step for event in seen if isinstance(event, Step)] == list(range(1, 31))
    assert states in (["running", "finished"], ["finished"])
    assert seen == training.events == training.run.events()
    assert training.run.checkpoint.exists()


def test_each_training_has_a_folder_of_its_own_named_by_date_and_name(start, qtbot):
    folders = [start("Zürich: night/dark").run.folder for _ in range(2)]
    assert [folder.parent for folder in folders] == [paths.runs(), paths.runs()]
    assert folders[0].name.endswith("-Zürich-night-dark")
    assert folders[1].name == f"{folders[0].name}-2"
    assert Run(folders[0]).job().name == "Zürich: night/dark"


def test_a_folder_that_cannot_be_made_is_the_users_to_know(qtbot, home):
    home.mkdir()
    (home / "data").touch()
    with pytest.raises(ValueError, match="cannot be written in"):
        TrainingRun.start(job(), "x")


def test_it_pauses_and_goes_on(start, qtbot):
    training = start()
    wait_step(qtbot, training, 3)
    training.pause()
    assert training.state == "pausing"
    wait(qtbot, training, "paused")
    step = training.step
    qtbot.wait(200)
    assert training.step == step
    training.go_on()
    wait(qtbot, training, "running")
    wait_step(qtbot, training, step + 1)


def test_stopping_keeps_what_it_has(start, qtbot):
    training = start()
    wait_step(qtbot, training, 6)
    training.stop()
    assert training.state == "stopping"
    wait(qtbot, training, "stopped")
    assert training.run.checkpoint.exists()
    assert training.events[-1] == Ended(training.step, "stopped")


def test_a_stop_while_it_starts_is_not_forgotten(start, qtbot):
    training = start()
    training.stop()
    (training.run.folder / "stop").unlink()  # what a process that begins does with an old one
    wait(qtbot, training, "stopped")
    assert training.step < STEPS


def test_a_pause_while_it_starts_is_not_forgotten(start, qtbot):
    training = start()
    training.pause()
    (training.run.folder / "pause").unlink()
    wait(qtbot, training, "paused")


def test_what_is_asked_of_a_folder_that_went_away_harms_nobody(start, qtbot):
    training = start()
    wait_step(qtbot, training, 3)
    kill(training)
    shutil.rmtree(training.run.folder)
    training.pause()
    training.stop()
    wait(qtbot, training, "failed")
    assert training.message == f"Its folder {training.run.folder} is gone"
    training.resume()
    assert training.message == f"Its folder {training.run.folder} is gone"


def test_a_paused_training_can_be_stopped(start, qtbot):
    training = start()
    wait_step(qtbot, training, 3)
    training.pause()
    wait(qtbot, training, "paused")
    training.stop()
    wait(qtbot, training, "stopped")


def test_a_process_that_does_not_stop_is_killed_and_its_checkpoint_kept(start, qtbot, monkeypatch):
    monkeypatch.setattr(training_run, "STOP_PATIENCE_S", 0.3)
    training = start("deaf")
    wait_step(qtbot, training, 6)
    training.stop()
    wait(qtbot, training, "stopped")
    saved = [event.step for event in training.events if isinstance(event, Saved)][-1]
    assert training.message == f"It did not react and was ended; what it had learned at step {saved} is kept."
    assert training.run.checkpoint.exists()
    assert TrainingRun(training.run).state == "stopped"


def test_a_process_that_judges_for_long_before_it_ends_is_waited_for(start, qtbot, monkeypatch):
    monkeypatch.setattr(training_run, "STOP_PATIENCE_S", 0.1)
    training = start("slow")
    wait_step(qtbot, training, 6)
    training.stop()
    wait(qtbot, training, "stopped")
    assert training.events[-1] == Ended(training.step, "stopped")
    assert not training.message


def test_cancelling_deletes_the_folder(start, qtbot):
    training = start("deaf")
    wait_step(qtbot, training, 3)
    assert training_run._working(training.run)
    training.cancel()
    wait(qtbot, training, "cancelled")
    assert not training.run.folder.exists()
    assert not training_run._working(training.run)


def test_cancelling_while_it_starts_deletes_the_folder(start, qtbot):
    training = start()
    training.cancel()
    wait(qtbot, training, "cancelled")
    assert not training.run.folder.exists()


def test_a_killed_process_is_seen_and_resumed_where_it_had_saved(start, qtbot):
    training = start(steps=60)
    wait_step(qtbot, training, 12)
    kill(training)
    wait(qtbot, training, "interrupted")
    assert Run(training.run.folder).can_resume
    saved = [event.step for event in training.events if isinstance(event, Saved)][-1]
    training.resume()
    assert training.state == "starting"
    wait(qtbot, training, "finished")
    begun = [event.step for event in training.events if isinstance(event, Started)]
    assert begun == [0, saved]
    steps = [event.step for event in training.events if isinstance(event, Step)]
    assert steps == list(range(1, 61))  # a curve without a gap and without a fold


def test_a_paused_training_that_was_killed_goes_on_by_a_new_process(start, qtbot):
    training = start(steps=40)
    wait_step(qtbot, training, 3)
    training.pause()
    wait(qtbot, training, "paused")
    kill(training)
    wait(qtbot, training, "interrupted")
    training.go_on()
    wait(qtbot, training, "finished")


def test_what_cannot_begin_shows_the_last_line_of_its_log(start, qtbot):
    training = start("refused")
    wait(qtbot, training, "failed")
    assert training.message == "There is no picture in pictures"
    training.run.log.write_text("an older line\n")
    training.resume()
    wait(qtbot, training, "failed")
    assert training.message == "There is no picture in pictures"


def test_a_training_that_fails_shows_its_reason(start, qtbot):
    training = start("broken")
    wait(qtbot, training, "failed")
    assert training.message == "The loss was not finite"


def test_a_program_that_is_not_there_is_told(start, qtbot, monkeypatch):
    monkeypatch.setattr(training_run, "command", lambda folder: [str(folder / "nowhere")])
    training = start()
    assert training.state == "failed"
    assert "cannot be started" in training.message


def test_a_later_window_takes_up_a_running_one(start, qtbot):
    training = start()
    wait_step(qtbot, training, 5)
    later = TrainingRun(Run(training.run.folder))
    assert later.state == "running"
    assert later.step >= 5
    seen = []
    later.happened.connect(seen.append)
    later.stop()
    wait(qtbot, later, "stopped")
    assert seen[-1] == Ended(later.step, "stopped")
    wait(qtbot, training, "stopped")


@pytest.mark.parametrize("reason", ["finished", "stopped", "failed"])
def test_an_earlier_training_says_how_it_ended(tmp_path, qtbot, reason):
    run = begin(job(), tmp_path / "run")
    append(Started(0, 1, "cpu", "float32"), run.folder)
    append(Ended(3, reason, "why"), run.folder)
    training = TrainingRun(run)
    assert (training.state, training.message, training.step) == (reason, "why", 3)


def test_a_job_that_nobody_began_is_interrupted_and_can_be_begun(tmp_path, qtbot):
    run = begin(job(steps=5), tmp_path / "run")
    training = TrainingRun(run)
    assert training.state == "interrupted"
    training.resume()
    wait(qtbot, training, "finished")


def test_the_process_outlives_the_one_that_started_it(tmp_path, qtbot):
    run = begin(job(), tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from PySide6.QtCore import QCoreApplication\n"
        "import trainings\n"
        "from app.wizard import training_run\n"
        "from training.run import Run\n"
        "training_run.command = lambda folder: [sys.executable, trainings.__file__, 'train', str(folder)]\n"
        "app = QCoreApplication([])\n"
        "training_run.TrainingRun(Run(Path(sys.argv[1]))).resume()\n"
    )
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
    subprocess.run([sys.executable, "-c", code, str(run.folder)], env=environment, check=True)
    training = TrainingRun(run)
    qtbot.waitUntil(lambda: run.is_running, timeout=PATIENCE_MS)
    training.look()
    assert training.is_live
    training.cancel()
    wait(qtbot, training, "cancelled")


def test_the_program_is_found_wherever_it_was_started_from(tmp_path, monkeypatch):
    # A folder of the user's that is called like one of ours.
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.undo()
    program = command(tmp_path / "nowhere")
    assert program[-2:] == ["--resume", str(tmp_path / "nowhere")]
    done = subprocess.run(
        [*program[:-3], "--version"], cwd=tmp_path, env=training_run._environment(), capture_output=True, text=True
    )
    assert done.stdout.startswith("pellucid ")


def test_a_frozen_program_starts_itself(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert command(tmp_path) == [sys.executable, "train", "--resume", str(tmp_path)]
