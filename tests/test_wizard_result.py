"""The last step says first which model to use, shows why, and does what the user decides."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from opened import install, noisy_file
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from app import theme
from app.dialogs import DistilDialog, TextDialog
from app.jobs import Stage
from app.settings import Settings
from app.wizard import comparing
from app.wizard.page import Plan
from app.wizard.result import ResultPage
from app.workspace import Workspace
from engine import paths
from engine.checkpoint import Card, load_checkpoint, read_entry, save_checkpoint
from engine.denoise import Denoising
from engine.image import load_image
from models import checkpoint
from training.events import Ended, Started, Verdict, append
from training.job import TrainJob
from training.run import Run, begin

PATIENCE_MS = 30_000
BETTER = Verdict(40, True, 0.214, 0.05, "tiny", "On 2 pictures its error is smaller.")
WORSE = Verdict(40, False, -0.1, 0.05, "tiny", "On 2 pictures its error is larger.")


@pytest.fixture
def folder(tmp_path) -> Path:
    for index in range(3):
        noisy_file(tmp_path / "nights" / f"{index}.png", seed=index)
    return tmp_path / "nights"


@pytest.fixture
def make_run(folder):
    """Makes the folder of a training that is over."""

    def make(verdict: Verdict | None = BETTER, seed: int = 1, name: str = "nights", **details) -> Run:
        settings = {"start": "tiny", "held_out": ("0.png", "2.png"), "steps": 40, **details}
        run = begin(TrainJob(data=str(folder), name=name, **settings), paths.runs() / f"run of {name} {seed}")
        card = Card(title="R2R, colour", trained_on="1 colour picture", steps=40, start="tiny", start_sha256="ab" * 32)
        made = checkpoint(1 if settings.get("grey") else 3, seed=seed)
        save_checkpoint(dataclasses.replace(made, name=name, card=card), run.checkpoint)
        append(Started(0, 1, "cpu", "float32", 40, len(settings["held_out"])), run.folder)
        if verdict is not None:
            append(verdict, run.folder)
        append(Ended(40, "finished"), run.folder)
        return run

    return make


@pytest.fixture
def page(qtbot):
    install("tiny")
    install("tiny-grey", channels=1)
    workspace = Workspace(Settings(device="cpu"))
    page = ResultPage(Plan(), workspace)
    qtbot.addWidget(page)
    page.resize(980, 570)
    page.show()
    qtbot.waitUntil(lambda: bool(workspace.catalog.models), timeout=PATIENCE_MS)
    yield page
    page.close_page()
    workspace.close()


@pytest.fixture
def show(page, qtbot):
    """Shows a run and waits until its result is known."""

    def show(run: Run) -> ResultPage:
        page.show_run(run)
        qtbot.waitUntil(lambda: bool(page.verdict.text()), timeout=PATIENCE_MS)
        return page

    return show


def primary(page: ResultPage) -> list[str]:
    buttons = (page.keep, page.use)
    return [button.text() for button in buttons if button.objectName() == "primary" and button.isVisibleTo(page)]


def shown(page: ResultPage) -> dict[str, np.ndarray]:
    return {role: seen.pixels for role, seen in page._seen.get(page.pictures.currentText(), {}).items()}


# ---- The verdict ----


def test_a_better_model_is_recommended_with_its_gain(show, make_run):
    page = show(make_run())
    expected = "The tuned model is better: +0.21 ± 0.05 dB (estimated on 2 pictures it has not seen)"
    assert page.verdict.text() == expected
    assert page.reason.text() == "On 2 pictures its error is smaller."
    assert primary(page) == ["&Use this model"]
    assert page.keep.isVisible()


def test_where_the_model_is_not_better_the_start_is_recommended_with_the_reason(show, make_run):
    page = show(make_run(WORSE))
    assert page.verdict.text() == "Keep tiny: the tuned model is not better"
    assert page.reason.text() == "On 2 pictures its error is larger."
    assert primary(page) == ["&Keep tiny"]
    assert page.use.text() == "&Use it anyway"


@pytest.mark.parametrize(
    ("details", "verdict", "said"),
    [
        ({"held_out": ()}, None, ("Nobody can tell whether it is better than tiny", "No picture was held out")),
        ({}, None, ("Nobody can tell whether it is better than tiny", "ended before it was judged")),
        (
            {"start": None},
            Verdict(40, True, 5.0, 0.2, "", "Why."),
            ("The new model is better than the noisy pictures: +5.00 ± 0.20 dB", "Why."),
        ),
        (
            {"start": None},
            Verdict(40, False, None, None, "", "Nobody can tell."),
            ("The new model is not shown to be better than the noisy pictures", "Nobody can tell."),
        ),
        ({}, Verdict(40, True, None, None, "tiny", "Why."), ("The tuned model is better (estimated on 2", "Why.")),
        (
            {},
            Verdict(40, True, None, None, "tiny", "Why.", 0.031, 0.02),
            ("The tuned model is better: error smaller by 3.1 ± 2.0 % of the noise (estimated on 2", "Why."),
        ),
        (
            {},
            Verdict(40, False, None, None, "tiny", "Why.", -0.031, 0.02),
            ("Keep tiny: the tuned model is not better", "Why."),
        ),
        (
            {"start": None, "against": "tiny"},
            Verdict(40, True, 1.0, 0.2, "tiny", "Why."),
            ("The new model is better than tiny: +1.00 ± 0.20 dB", "Why."),
        ),
    ],
)
def test_what_is_not_known_is_not_claimed(show, make_run, details, verdict, said):
    page = show(make_run(verdict, **details))
    assert page.verdict.text().startswith(said[0])
    assert said[1] in page.reason.text()
    is_better = verdict is not None and verdict.is_better
    assert ("&Use this model" in primary(page)) is is_better


def test_a_failed_training_says_why_beside_the_verdict(show, make_run):
    run = make_run(None)
    append(Ended(41, "failed", "The loss was not finite"), run.folder)
    assert "The training failed: The loss was not finite." in show(run).reason.text()


def test_a_training_without_a_model_says_so_and_can_be_deleted(show, tmp_path, monkeypatch):
    run = begin(TrainJob(data=str(tmp_path), steps=3), tmp_path / "a run")
    page = show(run)
    assert page.verdict.text() == "There is no result to show"
    assert "There is no checkpoint" in page.reason.text()
    assert not page.use.isEnabled()
    assert page.delete.isEnabled()


# ---- Side by side ----


def test_start_and_tuned_are_compared_on_the_pictures_that_were_held_out(show, make_run, qtbot):
    page = show(make_run())
    assert [page.pictures.itemText(i) for i in range(page.pictures.count())] == ["0.png", "2.png"]
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    seen = shown(page)
    assert seen["noisy"].shape == seen["start"].shape == seen["tuned"].shape == (120, 160, 3)
    # The start's noise is gone, and the other model made another picture.
    assert not np.array_equal(seen["start"], seen["noisy"])
    assert not np.array_equal(seen["start"], seen["tuned"])
    qtbot.waitUntil(lambda: not page.bar.isVisible(), timeout=PATIENCE_MS)
    page.pictures.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    assert not np.array_equal(shown(page)["noisy"], seen["noisy"])


def test_the_start_is_shown_as_it_denoises_outside_the_wizard(show, make_run, folder, qtbot):
    from engine import params
    from engine.denoise import load_model
    from engine.image import load_image
    from engine.noise import measure_noise

    page = show(make_run())
    qtbot.waitUntil(lambda: "start" in shown(page), timeout=PATIENCE_MS)
    model, image = load_model("tiny", device="cpu"), load_image(folder / "0.png")
    report = measure_noise(image)
    values = params.make(model.method.Params, {}, model.checkpoint.params)
    work = Denoising(model, image, values, sigma=report.level, report=report)
    passes = model.method.count(values)
    list(work.run(passes))
    expected = np.rint(work.mean(passes).clip(0, 1) * 255).astype(int)
    assert np.abs(shown(page)["start"].astype(int) - expected).max() <= 1


def test_the_noisy_picture_is_shown_while_its_key_is_held(show, make_run, qtbot):
    page = show(make_run())
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    page.view.setFocus()
    assert page.view._labels == ("tiny", "Tuned")
    QTest.keyPress(page.view, Qt.Key.Key_Backslash)
    assert page.view._labels == ("Noisy", "Tuned")
    assert np.array_equal(page.view._before.pyramid.read(0, 0, 120, 0, 160), shown(page)["noisy"])
    QTest.keyRelease(page.view, Qt.Key.Key_Backslash)
    assert page.view._labels == ("tiny", "Tuned")


def test_of_a_large_picture_the_middle_is_compared(show, make_run, folder, qtbot, monkeypatch):
    monkeypatch.setattr(comparing, "MOST_PIXELS", 60 * 80)
    page = show(make_run())
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    from engine.image import load_image

    whole = np.rint(load_image(folder / "0.png").pixels * 255).astype(np.uint8)
    assert np.array_equal(shown(page)["noisy"], whole[30:90, 40:120])


def test_pictures_on_which_noise_was_put_are_compared_with_that_noise(show, make_run, qtbot):
    page = show(make_run(noise="gaussian:60", seed=3))
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    noisy = shown(page)["noisy"].astype(float)
    assert np.std(np.diff(noisy[:40, :, 1], axis=0)) / np.sqrt(2) > 45


def test_a_grey_training_compares_grey_pictures(show, make_run, qtbot):
    page = show(make_run(dataclasses.replace(BETTER, against="tiny-grey"), grey=True, start="tiny-grey"))
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    assert shown(page)["tuned"].shape == (120, 160, 1)


def test_without_a_start_the_model_is_compared_with_the_noisy_picture(show, make_run, qtbot):
    page = show(make_run(start=None))
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    assert page.view._labels == ("Noisy", "New")
    assert not page.noisy.isVisible()
    assert not page.keep.isVisible()


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"held_out": ()}, "No picture was held out"),
        ({"held_out": (), "hold_out": 0.2}, "is not written down"),
        ({"held_out": ("9.png",)}, "are not there any more"),
    ],
)
def test_where_nothing_can_be_compared_the_reason_stands_in_its_place(show, make_run, details, said):
    page = show(make_run(**details))
    assert said in page.nothing.text()
    assert page.nothing.isVisible()
    assert not page.view.isVisible()
    assert page.use.isEnabled()


def test_a_folder_that_went_away_gives_a_sentence(show, make_run, folder):
    folder.rename(folder.with_name("elsewhere"))
    page = show(make_run())
    assert f"The folder {folder} is not there any more" in page.nothing.text()


def test_a_picture_that_cannot_be_read_gives_a_sentence(show, make_run, folder, qtbot):
    (folder / "0.png").write_bytes(b"no picture")
    page = show(make_run())
    qtbot.waitUntil(lambda: page.activity.text().startswith("0.png: "), timeout=PATIENCE_MS)
    page.pictures.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)


def test_a_start_that_is_not_installed_any_more_gives_a_sentence(show, make_run, qtbot):
    page = show(make_run(start="gone"))
    qtbot.waitUntil(lambda: "There is no model 'gone'" in page.activity.text(), timeout=PATIENCE_MS)
    assert not page.keep.isVisible()


def test_a_comparison_is_cancelled_on_leaving_and_gone_on_with_on_return(show, make_run, qtbot, monkeypatch):
    closed = []

    def endless(self, name):
        try:
            while True:
                yield Stage("Denoising")
                time.sleep(0.01)
        finally:
            closed.append(name)

    with monkeypatch.context() as patched:
        patched.setattr("app.wizard.comparing.Comparing.compare", endless)
        page = show(make_run())
        qtbot.waitUntil(page.bar.isVisible, timeout=PATIENCE_MS)
        page.hide()
        qtbot.waitUntil(lambda: closed == ["0.png"], timeout=PATIENCE_MS)
    page.show()
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)


def test_while_it_is_denoised_the_view_says_so_and_asks_for_no_drop(show, make_run, qtbot, monkeypatch):
    monkeypatch.setattr("training.patches.load_image", lambda path: time.sleep(0.05) or load_image(path))
    page = show(make_run())
    assert page.view._hints[1] == "Reading 0.png"
    hints = []
    monkeypatch.setattr(page.view, "set_hints", lambda empty, after: hints.append(after))
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    assert "Denoising with tiny" in hints
    assert "Denoising with the tuned model" in hints
    assert not page.view._takes_drops


def test_the_view_follows_the_theme_while_it_is_shown(page):
    app = QApplication.instance()
    before = QApplication.palette()
    try:
        for name in ("light", "dark"):
            theme.apply_theme(app, name)
            assert page.view.background.name() == theme.COLORS[name].canvas
    finally:
        app.setStyleSheet("")
        app.setPalette(before)


def test_another_run_takes_the_place_of_the_last(show, make_run, qtbot):
    page = show(make_run())
    qtbot.waitUntil(lambda: "tuned" in shown(page), timeout=PATIENCE_MS)
    before = shown(page)["tuned"]
    page.show_run(make_run(WORSE, seed=2, name="days"))
    qtbot.waitUntil(lambda: page.name.text() == "days" and "tuned" in shown(page), timeout=PATIENCE_MS)
    assert primary(page) == ["&Keep tiny"]
    assert not np.array_equal(shown(page)["tuned"], before)


# ---- What becomes of it ----


def test_the_model_is_used_under_its_name_with_its_card(show, make_run, qtbot):
    run = make_run(name="my nights")
    page = show(run)
    assert page.name.text() == "my-nights"
    with qtbot.waitSignal(page.workspace.imported, timeout=PATIENCE_MS):
        page.use.click()
        # What is clicked last counts: the start cannot be chosen while the model is on its way.
        assert not page.keep.isEnabled()
        assert "Installing my-nights" in page.note.text()
    assert page.keep.isEnabled()
    assert page.workspace.values.model == "my-nights"
    assert "my-nights is in the model list and chosen" in page.note.text()
    assert not page.use.isEnabled()
    installed, trained = load_checkpoint(paths.models() / "my-nights.safetensors"), load_checkpoint(run.checkpoint)
    assert installed.card == trained.card
    assert all(torch.equal(installed.weights[name], trained.weights[name]) for name in trained.weights)


def test_a_name_that_is_taken_or_cannot_be_is_told_before_anything_is_done(show, make_run):
    page = show(make_run())
    for name, said in (("tiny", "There is a model tiny already"), ("a/b", "letters, digits"), ("", "letters, digits")):
        page.name.setText(name)
        assert said in page.note.text()
        assert not page.use.isEnabled()
        assert not page.export.isEnabled()
    page.name.setText("nights-2")
    assert page.note.text() == ""
    assert page.use.isEnabled()


def test_a_taken_name_is_not_proposed(show, make_run):
    install("nights")
    assert show(make_run()).name.text() == "nights-2"


def test_keeping_the_start_chooses_it(show, make_run):
    page = show(make_run(WORSE))
    page.workspace.set_model("tiny-grey")
    page.keep.click()
    assert page.workspace.values.model == "tiny"
    assert "tiny is chosen" in page.note.text()


def test_an_export_is_the_model_under_the_name_that_was_given(show, make_run, qtbot, tmp_path, monkeypatch):
    page = show(make_run())
    page.name.setText("my-nights")
    monkeypatch.setattr("app.wizard.result.ask_export", lambda name, *_: tmp_path / f"{name}.safetensors")
    page.export.click()
    qtbot.waitUntil(lambda: "Exported as" in page.note.text(), timeout=PATIENCE_MS)
    entry = read_entry(tmp_path / "my-nights.safetensors")
    assert (entry.name, entry.card.trained_on) == ("my-nights", "1 colour picture")


def test_an_export_that_fails_gives_a_sentence(show, make_run, qtbot, tmp_path, monkeypatch):
    page = show(make_run())
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("app.wizard.result.ask_export", lambda *_: tmp_path / "file" / "a.safetensors")
    page.export.click()
    qtbot.waitUntil(lambda: page.note.objectName() == "warning", timeout=PATIENCE_MS)
    assert page.note.text()


def test_the_card_says_what_the_model_was_tuned_from(show, make_run):
    page = show(make_run())
    page.card.click()
    text = page.findChild(TextDialog).findChild(QPlainTextEdit).toPlainText()
    assert f"Tuned from: tiny, SHA-256 {'ab' * 32}" in text
    assert "Method: Recorrupted-to-Recorrupted" in text


def test_distilling_asks_for_a_run_with_the_tuned_model_as_teacher(show, make_run, qtbot, monkeypatch):
    run = make_run(leave_out=("1.png",))
    page = show(run)

    def accept(dialog: DistilDialog) -> int:
        dialog.minutes.setValue(7)
        return DistilDialog.DialogCode.Accepted

    monkeypatch.setattr(DistilDialog, "exec", accept)
    with qtbot.waitSignal(page.distil_asked) as asked:
        page.distil.click()
    (job,) = asked.args
    assert (job.method, job.teacher, job.minutes) == ("plain", str(run.checkpoint), 7)
    assert (job.name, job.held_out, job.leave_out) == ("nights-one-pass", ("0.png", "2.png"), ("1.png",))
    assert job.against == "tiny"


def test_a_model_of_one_pass_is_not_distilled(show, make_run):
    run = make_run()
    one_pass = dataclasses.replace(load_checkpoint(run.checkpoint), method="plain")
    save_checkpoint(one_pass, run.checkpoint)
    assert not show(run).distil.isVisible()


def test_a_training_is_deleted_only_after_asking_and_its_model_stays(show, make_run, qtbot, monkeypatch):
    run = make_run()
    page = show(run)
    with qtbot.waitSignal(page.workspace.imported, timeout=PATIENCE_MS):
        page.use.click()
    answers = [False, True]
    monkeypatch.setattr("app.wizard.result.confirmed", lambda *_: answers.pop(0))
    page.delete.click()
    assert run.folder.exists()
    with qtbot.waitSignal(page.deleted) as deleted:
        page.delete.click()
    assert deleted.args == [run]
    assert not run.folder.exists()
    assert not page.use.isEnabled()
    assert not page.view.isVisible()
    assert (paths.models() / "nights.safetensors").exists()


def test_a_training_that_runs_is_not_deleted(show, make_run, monkeypatch):
    run = make_run()
    page = show(run)
    monkeypatch.setattr("app.wizard.result.confirmed", lambda *_: pytest.fail("it was asked"))
    with run.working():
        page.delete.click()
    assert "still running" in page.note.text()
    assert run.folder.exists()
