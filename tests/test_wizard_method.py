from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from opened import install, noisy_file
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QRadioButton, QWidget
from reports import correlated, report

from app.jobs import Catalog, Computing
from app.settings import Settings
from app.wizard.method import TAKES, MethodPage
from app.wizard.page import Plan
from engine.checkpoint import list_checkpoints
from engine.method import methods
from engine.noise import NoiseReport
from training import timing
from training.folder import Found
from training.job import TrainError, TrainJob
from training.setup import network_named

WHITE = report(3, 12 / 255)
WEAK = replace(correlated(3, 4 / 255), correlation=0.5)
STRONG = replace(correlated(3, 15 / 255), correlation=0.5)


class Shell(QObject):
    """As much of the workspace as the page asks for."""

    models_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.settings = Settings()

    def load(self) -> None:
        steps = Computing(1 << 28).catalog()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                self.catalog = end.value
                break
        self.models_changed.emit()


def planned(noise: NoiseReport | None = WHITE, channels: int = 3, **known) -> Plan:
    found = tuple(Found(f"{number}.jpg", "", 600, 400, channels, 8, "Camera", 3200, None, noise) for number in range(5))
    return Plan(**{"folder": Path("/pictures/Holiday 2024"), "found": found, "held_out": {"3.jpg"}, **known})


@pytest.fixture
def timed(monkeypatch):
    """The jobs whose speed was asked for; each makes a hundred steps a minute."""
    jobs: list[TrainJob] = []

    def speed(job: TrainJob):
        assert threading.current_thread() is not threading.main_thread()
        yield
        jobs.append(job)
        return 100.0

    monkeypatch.setattr(timing, "speed", speed)
    return jobs


@pytest.fixture
def make_page(qtbot, timed):
    """Pages as the wizard has them, ended after the test."""
    made = []

    def make(plan: Plan | None = None, shell: Shell | None = None) -> MethodPage:
        if shell is None:
            shell = Shell()
            shell.load()
        page = MethodPage(plan or planned(), shell)  # pyright: ignore
        made.append(page)
        qtbot.addWidget(page)
        page.resize(1000, 590)
        page.show()
        page.enter()
        if shell.catalog.methods:
            qtbot.waitUntil(lambda: bool(page._learning))
        return page

    yield make
    for page in made:
        page.close_page()


@pytest.fixture
def tiny():
    """A colour and a grey model that can be tuned."""
    install("tiny-color")
    install("tiny-grey", channels=1)


def choose(combo: QComboBox, data: str) -> None:
    index = combo.findData(data)
    assert index >= 0, data
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def offered(combo: QComboBox) -> list[str]:
    return [combo.itemData(index) for index in range(combo.count())]


# ---- What is proposed ----


def test_white_noise_proposes_tuning_the_installed_model_and_says_why(make_page, tiny):
    page = make_page()
    assert page.reason.text() == "Proposed: Recorrupted-to-Recorrupted, tuning tiny-color, because the noise is white."
    assert (page.plan.method, page.plan.start) == ("r2r", "tiny-color")
    assert not page.use.isVisible()
    assert page.is_complete
    job = page.plan.job()
    assert (job.method, job.start, job.network, job.grey) == ("r2r", "tiny-color", None, False)
    assert (job.learning_rate, job.replay, dict(job.params)) == (1e-4, 0.25, {})


@pytest.mark.parametrize(("noise", "method"), [(WEAK, "r2r"), (STRONG, "apr-rd")])
def test_only_strong_correlated_noise_proposes_the_wide_blind_spot(make_page, tiny, noise, method):
    install("tiny-apr-rd", method="apr-rd", width=8)
    page = make_page(planned(noise))
    assert (page.plan.method, page.plan.start) == (method, {"r2r": "tiny-color", "apr-rd": "tiny-apr-rd"}[method])
    assert page.plan.job().replay == 0


def test_strong_correlated_noise_tunes_r2r_where_there_is_nothing_better(make_page, tiny):
    page = make_page(planned(STRONG))
    assert (page.plan.method, page.plan.start) == ("r2r", "tiny-color")


def test_correlated_noise_is_learned_as_such_unless_the_user_says_otherwise(make_page, tiny):
    page = make_page(planned(WEAK))
    assert page.plan.job().params == {"noise_model": "correlated"}
    assert "correlates" in page.reason.text()
    assert page.params["noise_model"].value == "correlated"
    page.params["noise_model"].value_changed.emit("noise_model", "white")
    assert page.plan.job().params == {"noise_model": "white"}


def test_noise_that_grows_with_brightness_is_learned_as_such(make_page, tiny):
    page = make_page(planned(replace(WHITE, growth=0.1)))
    job = page.plan.job()
    assert (job.params, job.replay) == ({"noise_model": "signal-dependent"}, 0.0)
    assert "grows with brightness" in page.reason.text()


@pytest.mark.parametrize(("noise", "is_said"), [(WEAK, True), (WHITE, False)])
def test_a_method_that_cannot_take_this_noise_is_said_to_be_so(make_page, tiny, noise, is_said):
    page = make_page(planned(noise))
    choose(page.method, "n2v")
    assert ("Noise2Void takes noise for independent" in page.reason.text()) == is_said
    choose(page.method, "r2r")
    assert "takes noise for independent" not in page.reason.text()


def test_grey_pictures_are_tuned_with_a_grey_model(make_page, tiny):
    page = make_page(planned(report(1, 0.05), channels=1))
    assert page.plan.start == "tiny-grey"
    assert page.plan.job().grey
    assert offered(page.start) == ["tiny-grey", ""]


def test_without_a_model_it_is_from_scratch(make_page):
    page = make_page()
    assert (page.plan.method, page.plan.start, page.plan.network) == ("r2r", None, "unet")
    assert "from scratch" in page.reason.text()
    assert page.network.isVisible()
    assert page.plan.job().learning_rate == 1e-3
    assert page.plan.job().replay == 0
    assert page.plan.against is None


def test_a_network_from_scratch_has_to_beat_the_model_that_would_else_be_used(make_page, tiny):
    install("wide", "apr-rd")
    page = make_page(planned(STRONG))
    assert (page.plan.start, page.plan.job().against) == ("wide", None)
    choose(page.method, "r2r")
    assert page.plan.job().against is None
    choose(page.start, "")
    assert page.plan.job().against == "wide"
    page.plan.found = planned(WHITE).found
    page.enter()
    assert page.plan.job().against == "tiny-color"


@pytest.mark.parametrize(("devices", "batch"), [(("cpu",), 8), (("cuda", "cpu"), 32)])
def test_a_step_has_as_many_patches_as_the_device_can_take(make_page, tiny, qtbot, devices, batch):
    shell = Shell()
    shell.load()
    shell.catalog = replace(shell.catalog, devices=devices)
    page = make_page(shell=shell)
    assert page.plan.job().batch == page.controls["batch"].spin.value() == batch
    choose(page.device, "cpu")
    assert page.plan.job().batch == 8
    page.controls["batch"].value_changed.emit("batch", 16)
    assert page.plan.job().batch == 16
    page.controls["batch"].reset.emit("batch")
    assert page.plan.job().batch == 8


def test_what_was_chosen_stays_and_the_proposal_can_be_taken_back(make_page, tiny):
    page = make_page()
    choose(page.method, "n2n")
    page.enter()
    assert page.plan.method == "n2n"
    assert page.use.isVisible()
    page.use.click()
    assert (page.plan.method, page.plan.start) == ("r2r", "tiny-color")


def test_other_pictures_are_proposed_for_anew(make_page, tiny):
    install("tiny-apr-rd", method="apr-rd", width=8)
    page = make_page()
    choose(page.method, "n2n")
    page.plan.found = planned(STRONG).found
    page.plan.folder = Path("/pictures/Night")
    page.enter()
    assert page.plan.method == "apr-rd"
    assert page.plan.name == "Night-apr-rd"


def test_before_the_methods_are_loaded_there_is_no_next_page(make_page, tiny, qtbot):
    shell = Shell()
    page = make_page(shell=shell)
    assert not page.is_complete
    assert "Loading" in page.reason.text()
    shell.load()
    qtbot.waitUntil(lambda: page.is_complete)


def test_a_model_that_was_installed_meanwhile_can_be_begun_with(make_page, tiny, qtbot):
    page = make_page()
    install("newer")
    page.workspace.load()
    qtbot.waitUntil(lambda: "newer" in offered(page.start))


# ---- What can be chosen ----


def test_every_method_that_learns_from_noisy_pictures_is_offered_with_the_noise_it_takes(make_page, tiny):
    page = make_page()
    assert set(offered(page.method)) == {
        id for id, m in methods().items() if not m.needs_pairs and m.stages(m.Training())
    }
    for index in range(page.method.count()):
        assert TAKES[page.method.itemData(index)] in page.method.itemText(index)
        assert page.method.itemData(index, Qt.ItemDataRole.ToolTipRole)


def test_only_models_that_a_method_can_train_are_offered(make_page, tiny):
    install("tiny-apr-rd", method="apr-rd", width=8)
    page = make_page()
    assert set(offered(page.start)) == {"tiny-color", "tiny-apr-rd", ""}
    choose(page.method, "apr-rd")
    assert offered(page.start) == ["tiny-apr-rd", ""]
    choose(page.method, "dbsn")
    assert offered(page.start) == [""]
    assert page.plan.network == "dbsn"


def test_every_network_that_is_offered_can_be_trained(make_page, tiny):
    page = make_page()
    for id in offered(page.method):
        choose(page.method, id)
        choose(page.start, "")
        assert page.network.currentData() == next(iter({**methods()[id].networks, "unet": None}))
        for name in offered(page.network):
            assert methods()[id].fits({**network_named(name, methods()[id]), "channels": 3})
        assert page.is_complete


def test_a_network_of_choice_learns_from_scratch(make_page, tiny):
    page = make_page()
    assert not page.network.isVisible()
    choose(page.start, "")
    choose(page.network, "unet-tiny")
    job = page.plan.job()
    assert (job.start, job.network, job.learning_rate) == (None, "unet-tiny", 1e-3)
    assert "0 %" in page.controls["replay"].spin.text()


# ---- For how long ----


@pytest.mark.parametrize(
    ("name", "minutes", "until_best"),
    [("quick", 5, False), ("good", 30, False), ("best", 240, True), ("own", 15, False)],
)
def test_the_budget_is_what_is_ticked(make_page, tiny, name, minutes, until_best):
    page = make_page()
    button = getattr(page, name)
    assert isinstance(button, QRadioButton)
    button.click()
    job = page.plan.job()
    assert (job.minutes, job.schedule, job.patience) == (minutes, *(("plateau", 8) if until_best else ("cosine", None)))


def test_own_numbers_choose_their_budget(make_page, tiny):
    page = make_page()
    page.minutes.setValue(42)
    assert page.own.isChecked()
    assert page.plan.job().minutes == 42
    page.hours.setValue(1.5)
    assert page.best.isChecked()
    assert page.plan.job().minutes == 90


def test_until_it_stops_improving_needs_pictures_that_are_held_out(make_page, tiny):
    page = make_page(planned(held_out=set()))
    assert page.is_complete
    page.best.click()
    assert not page.is_complete
    assert page.notice.isVisible()
    assert "Nothing is held out" in page.notice.text()
    page.quick.click()
    assert page.is_complete
    assert not page.notice.isVisible()


def test_the_steps_are_estimated_by_what_was_measured_here(make_page, tiny, timed, qtbot):
    page = make_page()
    qtbot.waitUntil(lambda: "About 500 steps" in page.estimate.text())
    assert page.estimate.objectName() == "muted"
    assert len(timed) == 1
    page.good.click()
    assert "About 3,000 steps" in page.estimate.text()
    assert len(timed) == 1
    page.controls["batch"].value_changed.emit("batch", 16)
    assert "Measuring" in page.estimate.text()
    qtbot.waitUntil(lambda: len(timed) == 2)
    assert timed[1].batch == 16


def test_too_few_steps_are_said_to_be_too_few(make_page, tiny, qtbot):
    page = make_page()
    page.minutes.setValue(1)
    qtbot.waitUntil(lambda: "About 100 steps" in page.estimate.text())
    assert "hardly a change" in page.estimate.text()
    assert page.estimate.objectName() == "warning"
    choose(page.start, "")
    qtbot.waitUntil(lambda: "far too few to learn from scratch" in page.estimate.text())


def test_why_nothing_can_be_estimated_is_said(make_page, tiny, qtbot, monkeypatch):
    def fails(job):
        yield
        raise TrainError("The student's blind spots make no sense")

    monkeypatch.setattr(timing, "speed", fails)
    page = make_page()
    qtbot.waitUntil(lambda: "make no sense" in page.estimate.text())
    assert page.estimate.objectName() == "warning"


def test_what_is_measured_no_more_is_not_waited_for(make_page, tiny, qtbot, monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def speed(job):
        begun.set()
        try:
            while True:
                time.sleep(0.01)
                yield
        finally:
            ended.set()

    monkeypatch.setattr(timing, "speed", speed)
    page = make_page()
    qtbot.waitUntil(begun.is_set)
    began = time.monotonic()
    page.close_page()
    assert ended.is_set()
    assert time.monotonic() - began < 2


# ---- The name ----


def test_the_name_is_of_folder_and_method_and_free(make_page, tiny):
    install("holiday-2024-R2R")
    page = make_page()
    assert page.name.text() == page.plan.name == "Holiday-2024-r2r-2"
    choose(page.method, "n2n")
    assert page.plan.name == "Holiday-2024-n2n"


@pytest.mark.parametrize(
    ("name", "about"),
    [("", "letters"), ("a b", "letters"), ("-a", "letters"), ("a/b", "letters"), ("TINY-color", "is a")],
)
def test_a_name_that_cannot_be_is_said(make_page, tiny, name, about):
    page = make_page()
    page.name.setFocus()
    page.name.selectAll()
    QTest.keyClick(page.name, Qt.Key.Key_Delete)
    QTest.keyClicks(page.name, name)
    assert page.name.text() == name
    assert not page.is_complete
    assert about in page.notice.text()
    page.name.setText("mine")
    page.name.textEdited.emit("mine")
    assert page.is_complete
    choose(page.method, "n2n")
    assert page.plan.name == "mine"


# ---- Advanced ----


def test_what_is_advanced_is_folded_away_and_tells_what_was_set(make_page, tiny):
    page = make_page()
    assert not page.advanced.isVisible()
    page.fold.click()
    assert page.advanced.isVisible()
    page.controls["batch"].value_changed.emit("batch", 16)
    page.seed.setValue(7)
    page.fold.click()
    assert page.fold.text() == "&Advanced · 2 set by hand"
    page.defaults.click()
    assert page.fold.text() == "&Advanced"
    job = page.plan.job()
    assert (job.batch, job.seed) == (8, 0)
    assert page.seed.value() == 0


def test_all_values_arrive_in_the_job(make_page, tiny, tmp_path):
    page = make_page()
    for name, value in (
        ("learning_rate", 3e-4),
        ("replay", 0.5),
        ("batch", 8),
        ("patch", 96),
        ("threads", 1),
        ("budget_mb", 512),
    ):
        page.controls[name].value_changed.emit(name, value)
    page.seed.setValue(3)
    choose(page.device, "cpu")
    page.names_in_card.setChecked(True)
    noisy_file(tmp_path / "clean" / "a.png")
    page.validate.setText(str(tmp_path / "clean"))
    page.validate.textEdited.emit(str(tmp_path / "clean"))
    job = page.plan.job()
    assert (job.learning_rate, job.replay, job.batch, job.patch) == (3e-4, 0.5, 8, 96)
    assert (job.threads, job.budget_mb, job.seed, job.device, job.names_in_card) == (1, 512, 3, "cpu", True)
    assert (job.validate, job.validate_noise) == (str(tmp_path / "clean"), "gaussian:12")
    assert page.is_complete


def test_the_device_and_seed_are_those_of_the_preferences_at_first(make_page, tiny):
    shell = Shell()
    shell.settings = replace(Settings(), device="cpu", seed=5)
    shell.load()
    page = make_page(shell=shell)
    assert (page.plan.job().device, page.plan.job().seed) == ("cpu", 5)
    assert page.fold.text() == "&Advanced"


def test_an_automatic_value_shows_what_it_is_and_follows_the_start(make_page, tiny):
    page = make_page()
    rate = page.controls["learning_rate"]
    assert rate.automatic.isChecked()
    assert rate.spin.value() == pytest.approx(1e-4)
    choose(page.start, "")
    assert rate.spin.value() == pytest.approx(1e-3)
    rate.spin.setValue(5e-4)
    choose(page.start, "tiny-color")
    assert page.plan.job().learning_rate == pytest.approx(5e-4)
    rate.reset.emit("learning_rate")
    assert page.plan.job().learning_rate == 1e-4


def test_a_value_that_cannot_be_is_told_by_the_job_itself(make_page, tiny):
    page = make_page()
    page.controls["patch"].value_changed.emit("patch", 50)
    assert page.notice.text() == "Patches need a side of at least 16, a multiple of 8, and a batch at least one of them"
    assert not page.is_complete


def test_a_patch_larger_than_all_pictures_is_said(make_page, tiny):
    page = make_page()
    page.controls["patch"].value_changed.emit("patch", 512)
    assert "All pictures are smaller than a patch of 512" in page.notice.text()
    assert not page.is_complete


@pytest.mark.parametrize(
    ("folder", "noise", "about"), [("nowhere", "gaussian:25", "There is no folder"), (".", "rain:5", "rain:5")]
)
def test_clean_pictures_that_cannot_be_used_are_said(make_page, tiny, tmp_path, folder, noise, about):
    page = make_page()
    page.validate.textEdited.emit(str(tmp_path / folder))
    page.validate_noise.textEdited.emit(noise)
    assert about in page.notice.text()
    assert not page.is_complete
    page.validate.textEdited.emit("")
    assert page.is_complete
    assert page.plan.job().validate is None


def test_each_method_shows_what_it_declares_for_training(make_page, tiny):
    page = make_page()
    for id in offered(page.method):
        choose(page.method, id)
        declared = [spec.name for spec in page._learning[id].specs]
        assert list(page.params) == declared
    choose(page.method, "apr-rd")
    page.params["hole"].value_changed.emit("hole", 3)
    assert page.plan.job().params == {"hole": 3}
    choose(page.method, "n2n")
    assert page.plan.job().params == {}
    choose(page.method, "apr-rd")
    assert page.plan.job().params == {"hole": 3}


# ---- What every page keeps to ----


def test_the_page_shows_no_window_of_its_own(make_page, tiny, qtbot):
    shown = []

    class Watch(QObject):
        def eventFilter(self, watched, event) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                shown.append(watched)
            return False

    watch = Watch()
    QApplication.instance().installEventFilter(watch)
    page = make_page()
    choose(page.method, "apr-rd")
    QApplication.instance().removeEventFilter(watch)
    assert shown == [page]


def test_the_wheel_scrolls_the_page_unless_a_list_has_the_focus(make_page, tiny):
    page = make_page()
    before = page.method.currentIndex()
    middle = QPointF(page.method.rect().center())
    turn = QWheelEvent(
        middle, page.method.mapToGlobal(middle), QPointF(0, -120).toPoint(), QPointF(0, -120).toPoint(),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    page.setFocus()
    QApplication.sendEvent(page.method, turn)
    assert page.method.currentIndex() == before


def test_every_field_has_a_label_and_a_name_for_screen_readers(make_page, tiny):
    page = make_page()
    labelled = {label.buddy() for label in page.findChildren(QLabel)}
    fields = (page.method, page.start, page.network, page.name, page.device, page.seed, page.validate)
    for field in (*fields, page.validate_noise):
        assert field in labelled
        assert field.accessibleName()
        assert field.toolTip()
    for field in (page.hours, page.minutes):
        assert field.accessibleName()


def test_the_page_fits_a_small_window(make_page, tiny):
    page = make_page()
    page.fold.click()
    QApplication.processEvents()
    assert page.minimumSizeHint().width() <= 980
    assert page.minimumSizeHint().height() <= 560


def test_closing_the_page_ends_its_thread(make_page, tiny):
    page = make_page()
    page.close_page()
    assert not [thread for thread in threading.enumerate() if thread.name == "planning a training"]


def test_nothing_is_measured_while_the_page_is_hidden(make_page, tiny, timed, qtbot):
    page = make_page()
    qtbot.waitUntil(lambda: len(timed) == 1)
    page.hide()
    page.controls["batch"].value_changed.emit("batch", 16)
    qtbot.waitUntil(lambda: not page._rest.isActive())
    assert len(timed) == 1
    page.show()
    page.enter()
    qtbot.waitUntil(lambda: len(timed) == 2)


def test_the_card_of_a_model_that_cannot_be_read_does_no_harm(make_page, tiny, qtbot):
    broken = next(entry.path for entry in list_checkpoints() if entry.name == "tiny-grey")
    shell = Shell()
    shell.load()
    broken.write_bytes(b"gone")
    page = make_page(shell=shell)
    assert page.plan.start == "tiny-color"
