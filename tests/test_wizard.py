from __future__ import annotations

import os
from pathlib import Path

import pytest
from opened import noisy_file
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox, QPushButton, QVBoxLayout
from test_window import drop, files
from trainings import STEPS, job, pretend

from app.settings import Settings
from app.window import MainWindow
from app.wizard import training_run, window
from app.wizard.page import Page
from app.wizard.training_run import TrainingRun
from app.wizard.trainings import EarlierTrainings
from app.wizard.window import FOLDER, METHOD, RESULT, TRAINING
from app.workspace import Workspace
from engine import paths
from training.events import Ended, Started, append
from training.run import Run, begin, runs

PATIENCE_MS = 20_000

# The offscreen platform says this for every window that is brought to the front.
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)


class StandIn(Page):
    """A page that does nothing but remember what it was told."""

    def __init__(self, plan, workspace) -> None:
        super().__init__(plan)
        self.is_ready, self.told, self.ended = True, [], False
        QVBoxLayout(self).addWidget(QLabel(self.title))

    @property
    def is_complete(self) -> bool:
        return self.is_ready

    def close_page(self) -> None:
        self.ended = True


class Folder(StandIn):
    title = "Folder"

    def open(self, folder: Path) -> None:
        self.plan.folder, self.plan.name, self.plan.method = folder, "willing", "n2v"
        self.told.append(folder)


class Method(StandIn):
    title = "Method"


class Progress(StandIn):
    title = "Training"

    def follow(self, training: TrainingRun) -> None:
        self.told.append(training)


class Result(StandIn):
    title = "Result"
    distil_asked, deleted = window.ResultPage.distil_asked, window.ResultPage.deleted

    def show_run(self, run: Run) -> None:
        self.told.append(run)


@pytest.fixture
def stand_ins(monkeypatch):
    """Pages that cost nothing, and a process that behaves like a training."""
    pretend(monkeypatch)
    for name, page in (("Folder", Folder), ("Method", Method), ("Progress", Progress), ("Result", Result)):
        monkeypatch.setattr(window, f"{name}Page", page)


@pytest.fixture
def make_main(qtbot):
    """Opens main windows, and at the end closes them and ends their trainings."""
    made = []

    def make(settings: Settings | None = None) -> MainWindow:
        main = MainWindow(Workspace(settings or Settings()))
        made.append(main)
        main.resize(1000, 700)
        main.show()
        return main

    yield make
    for run in runs():
        if run.is_running:
            training = TrainingRun(run)
            training.cancel()
            qtbot.waitUntil(lambda training=training: training.state == "cancelled", timeout=PATIENCE_MS)
    for main in made:
        training = main.workspace.training
        if training is not None:
            qtbot.waitUntil(lambda training=training: not training.is_live, timeout=PATIENCE_MS)
        main.close()
        if main._wizard is not None:
            main._wizard.deleteLater()
        main.deleteLater()
    QApplication.instance().setStyleSheet("")


@pytest.fixture
def main(make_main, stand_ins):
    return make_main()


@pytest.fixture
def answers(monkeypatch):
    """Presses the button of each question whose text begins so; the questions are kept."""
    given: list[str] = []
    asked: list[str] = []

    def answer(box: QMessageBox) -> int:
        asked.append(box.text())
        wanted = given.pop(0)
        button = next(button for button in box.buttons() if button.text().replace("&", "").startswith(wanted))
        button.click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    given_and_asked = given, asked
    yield given_and_asked
    assert not given, "not asked"


def start(main: MainWindow, qtbot, tmp_path: Path, name: str = "willing", steps: int = STEPS) -> TrainingRun:
    """Go through the wizard up to a training that runs."""
    main.train()
    wizard = main.wizard
    wizard.folder.open(tmp_path)
    wizard.plan.name = name
    wizard.plan.options = {"steps": steps, "minutes": None}
    wizard.next.click()
    wizard.next.click()
    training = main.workspace.training
    assert training is not None
    qtbot.waitUntil(lambda: training.step >= 6 or not training.is_live, timeout=PATIENCE_MS)
    return training


def wait(qtbot, training: TrainingRun, state: str) -> None:
    qtbot.waitUntil(lambda: training.state == state, timeout=PATIENCE_MS)


def ended(name: str, reason: str, has_model: bool = True) -> Run:
    """A training of before."""
    run = begin(job(name=name, steps=40), paths.runs() / name)
    append(Started(0, 3, "cpu", "float32", 400), run.folder)
    if reason:
        append(Ended(30, reason), run.folder)
    if has_model:
        run.checkpoint.touch()
    return run


# ---- The frame ----


def test_the_pages_follow_one_another_and_the_last_comes_by_itself(main, qtbot, tmp_path):
    main.train()
    wizard = main.wizard
    wizard.folder.is_ready = False
    wizard.folder.changed.emit()
    assert (wizard.number, wizard.next.isEnabled(), wizard.back.isVisible()) == (FOLDER, False, False)
    wizard.folder.open(tmp_path)
    wizard.folder.is_ready = True
    wizard.folder.changed.emit()
    wizard.next.click()
    assert (wizard.number, wizard.next.text()) == (METHOD, "Start &training")
    wizard.back.click()
    assert wizard.number == FOLDER
    training = start(main, qtbot, tmp_path, steps=40)
    assert wizard.number == TRAINING
    assert not wizard.back.isEnabled()
    assert not wizard.next.isEnabled()
    assert wizard.progress.told == [training]
    wait(qtbot, training, "finished")
    assert wizard.number == RESULT
    assert wizard.result.told == [training.run]
    assert not wizard.next.isVisible()
    wizard.back.click()
    assert wizard.number == TRAINING
    wizard.next.click()
    assert wizard.number == RESULT


def test_the_plan_becomes_the_job_of_a_run_in_the_users_folder(main, qtbot, tmp_path):
    training = start(main, qtbot, tmp_path)
    assert training.run.folder.parent == paths.runs()
    assert training.run.job().data == str(tmp_path)
    training.cancel()
    wait(qtbot, training, "cancelled")


def test_a_plan_that_cannot_be_run_says_why_and_stays(main, tmp_path):
    main.train()
    main.wizard.folder.open(tmp_path)
    main.wizard.plan.options = {"minutes": -1.0}
    main.wizard.next.click()
    main.wizard.next.click()
    assert main.wizard.number == METHOD
    assert main.wizard.message.text.text() == "The budget must be more than zero"
    assert not list(paths.runs().glob("*"))


def test_a_training_that_cannot_begin_stays_on_its_page_with_the_way_back_open(main, qtbot, tmp_path):
    training = start(main, qtbot, tmp_path, "refused")
    wait(qtbot, training, "failed")
    assert training.message == "There is no picture in pictures"
    assert main.wizard.number == TRAINING
    assert main.wizard.back.isEnabled()
    assert not main.wizard.next.isEnabled()


def test_a_cancelled_training_leads_back_to_the_plan(main, qtbot, tmp_path):
    training = start(main, qtbot, tmp_path)
    training.cancel()
    wait(qtbot, training, "cancelled")
    assert main.wizard.number == METHOD
    assert "deleted" in main.wizard.message.text.text()
    assert not training.run.folder.exists()


def test_a_cancelled_earlier_training_leads_to_the_folder_that_is_not_chosen_yet(main, qtbot):
    run = ended("old", "failed")
    listed(main).resume_button.click()
    training = main.workspace.training
    assert training is not None
    assert training.run == run
    wait(qtbot, training, "running")
    training.cancel()
    wait(qtbot, training, "cancelled")
    assert main.wizard.number == FOLDER


@pytest.mark.parametrize("page", [FOLDER, METHOD, RESULT])
def test_a_folder_or_pictures_dropped_anywhere_go_to_the_folder_page(main, tmp_path, page):
    main.train()
    main.wizard.show_page(page)
    assert drop(main.wizard, files(tmp_path))
    assert main.wizard.number == FOLDER
    assert drop(main.wizard, files(tmp_path / "inside" / "a.png", tmp_path / "inside" / "b.png"))
    assert main.wizard.folder.told == [tmp_path, tmp_path / "inside"]


def test_a_drop_does_not_lead_away_from_a_running_training(main, qtbot, tmp_path):
    start(main, qtbot, tmp_path)
    assert not drop(main.wizard, files(tmp_path))
    assert main.wizard.number == TRAINING


def test_it_begins_with_the_folder_of_the_current_picture(main, qtbot, tmp_path):
    picture = noisy_file(tmp_path / "mine" / "a.png")
    main.workspace.open([picture])
    qtbot.waitUntil(lambda: main.workspace.current is not None, timeout=PATIENCE_MS)
    main.actions_by_name["train"].trigger()
    assert main.wizard.folder.told == [tmp_path / "mine"]


def test_what_can_be_used_in_the_frame_has_a_name_and_a_key(main):
    main.train()
    wizard = main.wizard
    buttons = [button for button in wizard.findChildren(QPushButton) if button.parent() is wizard]
    assert {button.text().replace("&", "") for button in buttons} >= {"Next", "Back", "Close", "Earlier trainings…"}
    keys = [button.text()[button.text().index("&") + 1].lower() for button in buttons]
    assert len(set(keys)) == len(keys)
    assert wizard.steps.labels[0].accessibleName() == "Step 1 Folder, shown"


def test_enter_presses_the_button_with_the_focus_and_esc_closes(main, qtbot, tmp_path):
    main.train()
    main.wizard.folder.open(tmp_path)
    main.wizard.next.setFocus()
    QTest.keyClick(main.wizard, Qt.Key.Key_Return)
    assert main.wizard.number == METHOD
    QTest.keyClick(main.wizard, Qt.Key.Key_Escape)
    assert not main.wizard.isVisible()


def test_opened_again_it_keeps_what_was_chosen(main, tmp_path):
    main.train()
    main.wizard.folder.open(tmp_path)
    main.wizard.next.click()
    main.wizard.close()
    main.train()
    assert (main.wizard.number, main.wizard.plan.folder) == (METHOD, tmp_path)


def test_a_student_is_trained_like_any_other(main, qtbot, tmp_path):
    main.train()
    main.wizard.show_page(RESULT)
    main.wizard.result.distil_asked.emit(job(name="student", steps=10))
    training = main.workspace.training
    wait(qtbot, training, "finished")
    assert training.name == "student"
    assert main.wizard.result.told[-1] == training.run


# ---- Closing ----


def test_closing_the_wizard_keeps_the_training_in_the_background_if_that_is_wanted(main, qtbot, tmp_path, answers):
    training = start(main, qtbot, tmp_path)
    answers[0].append("Keep")
    main.wizard.close()
    assert not main.wizard.isVisible()
    assert training.state == "running"
    step = training.step
    qtbot.waitUntil(lambda: training.step > step, timeout=PATIENCE_MS)
    assert main.isVisible()
    main.training_button.click()
    assert main.wizard.isVisible()
    assert main.wizard.number == TRAINING


def test_closing_the_wizard_can_stop_the_training_and_keep_its_model(main, qtbot, tmp_path, answers):
    training = start(main, qtbot, tmp_path)
    answers[0].append("Stop")
    main.wizard.close()
    assert not main.wizard.isVisible()
    wait(qtbot, training, "stopped")
    assert training.run.checkpoint.exists()
    assert main.message.text.text() == "The training willing was stopped."
    main.message.action.click()
    assert main.wizard.isVisible()
    assert main.wizard.number == RESULT


@pytest.mark.parametrize("which", ["wizard", "main"])
def test_closing_can_be_called_off(main, qtbot, tmp_path, answers, which):
    training = start(main, qtbot, tmp_path)
    answers[0].append("Cancel")
    closed = main.wizard if which == "wizard" else main
    assert not closed.close()
    assert closed.isVisible()
    assert training.is_live
    assert answers[1] == ["The training willing is not finished."]


def test_a_wizard_without_a_training_closes_without_a_question(main, answers):
    main.train()
    assert main.wizard.close()
    assert not answers[1]


def test_closing_the_main_window_leaves_the_training_running_and_the_next_one_finds_it(
    make_main, stand_ins, qtbot, tmp_path, answers
):
    main = make_main()
    training = start(main, qtbot, tmp_path)
    answers[0].append("Keep")
    assert main.close()
    assert not main.wizard.isVisible()
    assert all(page.ended for page in main.wizard.pages)
    later = make_main()
    found = later.workspace.training
    assert found is not None
    assert found.run == training.run
    assert found.state == "running"
    assert later.training_button.isVisible()
    later.training_button.click()
    assert later.wizard.progress.told == [found]
    assert later.wizard.number == TRAINING
    found.stop()
    wait(qtbot, found, "stopped")
    assert later.wizard.number == RESULT
    assert not later.training_button.isVisible()


def test_closing_the_main_window_can_stop_the_training(main, qtbot, tmp_path, answers):
    training = start(main, qtbot, tmp_path)
    answers[0].append("Stop")
    assert main.close()
    wait(qtbot, training, "stopped")


# ---- In the main window ----


def test_the_status_bar_says_how_far_it_is(main, qtbot, tmp_path):
    assert not main.training_button.isVisible()
    training = start(main, qtbot, tmp_path)
    qtbot.waitUntil(lambda: "%" in main.training_button.text(), timeout=PATIENCE_MS)
    share, left = main.training_button.text().removeprefix("Training ").split(", ")
    assert 0 <= int(share.removesuffix(" %")) < 100
    assert left.endswith("s left")
    training.pause()
    wait(qtbot, training, "paused")
    assert main.training_button.text().startswith("Training paused at ")
    training.stop()
    wait(qtbot, training, "stopped")
    assert not main.training_button.isVisible()


def test_an_interrupted_training_is_offered_once_and_can_be_resumed(make_main, stand_ins, qtbot):
    run = ended("holiday", "", has_model=False)
    main = make_main()
    assert main.message.isVisible()
    assert main.message.text.text() == "The training holiday was interrupted at step 0."
    settings = main.workspace.settings
    main.close()
    again = make_main(settings)
    assert not again.message.isVisible()
    main = make_main()
    main.message.action.click()
    training = main.workspace.training
    assert training.run == run
    assert main.wizard.number == TRAINING
    wait(qtbot, training, "finished")


def test_a_training_that_dies_while_the_wizard_is_closed_is_told_and_can_be_resumed(main, qtbot, tmp_path, answers):
    training = start(main, qtbot, tmp_path, steps=100)
    answers[0].append("Keep")
    main.wizard.close()
    for process in training_run._working(training.run):
        os.kill(process.pid, 9)
    wait(qtbot, training, "interrupted")
    assert main.message.text.text().startswith("The training willing was interrupted at step ")
    main.message.action.click()
    wait(qtbot, training, "finished")
    assert main.wizard.number == RESULT


def test_a_training_that_fails_unseen_is_told_with_its_reason(main, qtbot, tmp_path, answers):
    training = start(main, qtbot, tmp_path, "broken")
    answers[0].append("Keep")
    main.wizard.close()
    wait(qtbot, training, "failed")
    assert main.message.text.text() == "The training broken failed: The loss was not finite"


def test_while_one_runs_the_menu_leads_to_it_and_no_second_one_starts(main, qtbot, tmp_path):
    training = start(main, qtbot, tmp_path)
    main.wizard.show_page(METHOD)
    main.wizard.next.click()
    assert main.wizard.message.text.text() == "The training willing is running; stop it first, or wait."
    main.train()
    assert main.wizard.number == TRAINING
    assert [run.folder for run in runs()] == [training.run.folder]


# ---- Earlier trainings ----


def listed(main: MainWindow) -> EarlierTrainings:
    main.actions_by_name["trainings"].trigger()
    return next(iter(main.wizard.findChildren(EarlierTrainings)))


def choose(dialog: EarlierTrainings, name: str) -> None:
    dialog.table.selectRow([training.name for training in dialog.trainings].index(name))


def test_earlier_trainings_are_listed_with_their_state(main):
    for name, reason in (("one", "finished"), ("two", "failed"), ("three", "")):
        ended(name, reason)
    dialog = listed(main)
    texts = {dialog.table.item(row, 0).text(): dialog.table.item(row, 1).text() for row in range(3)}
    assert texts == {"one": "finished", "two": "failed", "three": "interrupted"}


@pytest.mark.parametrize(("reason", "page"), [("finished", RESULT), ("stopped", RESULT), ("failed", TRAINING)])
def test_an_earlier_training_opens_where_it_ended(main, reason, page):
    run = ended("old", reason)
    listed(main).open_button.click()
    assert main.wizard.number == page
    assert main.wizard.progress.told[-1].run == run
    assert main.workspace.training is None


def test_the_way_back_from_an_earlier_training_leads_to_the_folder_that_is_not_chosen_yet(main):
    ended("old", "failed")
    listed(main).open_button.click()
    main.wizard.back.click()
    assert main.wizard.number == FOLDER


def test_an_earlier_training_is_resumed(main, qtbot):
    ended("old", "stopped")
    dialog = listed(main)
    dialog.resume_button.click()
    training = main.workspace.training
    assert training.state == "starting"
    assert main.wizard.number == TRAINING
    wait(qtbot, training, "finished")


def test_what_is_finished_or_running_cannot_be_resumed_nor_what_runs_be_deleted(main, qtbot, tmp_path):
    ended("done", "finished")
    ended("old", "stopped")
    start(main, qtbot, tmp_path)
    dialog = listed(main)
    choose(dialog, "done")
    assert (dialog.resume_button.isEnabled(), dialog.delete_button.isEnabled()) == (False, True)
    choose(dialog, "willing")
    assert (dialog.resume_button.isEnabled(), dialog.delete_button.isEnabled()) == (False, False)
    choose(dialog, "old")
    assert not dialog.resume_button.isEnabled()
    assert "Another training is running" in dialog.note.text()
    choose(dialog, "willing")
    dialog.open_button.click()
    assert main.wizard.shown is main.workspace.training


def test_deleting_asks_first_and_leads_away_from_what_is_gone(main, answers):
    run = ended("old", "finished")
    listed(main).open_button.click()
    dialog = listed(main)
    answers[0].append("Cancel")
    dialog.delete_button.click()
    assert run.folder.exists()
    answers[0].append("Delete")
    dialog.delete_button.click()
    assert not run.folder.exists()
    assert dialog.table.rowCount() == 0
    assert main.wizard.number == FOLDER
