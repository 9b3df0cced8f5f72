from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QObject, QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox, QPlainTextEdit, QPushButton

from app import theme
from app.settings import Settings
from app.wizard import curves, progress
from app.wizard.curves import MOST, Curves, Series
from app.wizard.page import Plan
from app.wizard.progress import Preview, ProgressPage
from app.wizard.training_run import LIVE, TrainingRun
from app.workspace import Workspace
from training.events import (
    Ended,
    Event,
    HeldOut,
    Judged,
    Previewed,
    Staged,
    Started,
    Step,
    Validated,
    Warned,
    append,
)
from training.job import TrainJob, write_job
from training.run import CHECKPOINT, LOG, PREVIEWS, STATE, Run, without_repeats

STARTED = Started(0, 24, "cuda", "bfloat16", steps=4000, held_out=4)
ROOM = (1000, 590)
"""Of the page in a window of 1000 x 700."""


class Played(QObject):
    """A training that plays made-up events, and notes what it is asked."""

    happened = Signal(object)
    state_changed = Signal()

    def __init__(self, folder: Path, state: str = "running", **job) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        write_job(TrainJob("pictures", minutes=5, **job), folder)
        self.run = Run(folder)
        self.events: list[Event] = []
        self.state, self.message = state, ""
        self.asked: list[str] = []

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    def play(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, Started):
                self.events = without_repeats(iter([*self.events, event]))
            else:
                self.events.append(event)
            self.happened.emit(event)

    def turn(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.state_changed.emit()

    def __getattr__(self, name: str):
        if name in ("pause", "go_on", "stop", "cancel", "resume"):
            return lambda: self.asked.append(name)
        raise AttributeError(name)


@pytest.fixture
def make_page(qtbot):
    """Opens pages as large as the frame leaves them."""
    made = []

    def make(training: Played | TrainingRun | None = None) -> ProgressPage:
        page = ProgressPage(Plan(), Workspace(Settings()))
        made.append(page)
        qtbot.addWidget(page)
        page.resize(*ROOM)
        page.show()
        qtbot.waitExposed(page)
        if training is not None:
            page.follow(training)
        return page

    yield make
    for page in made:
        page.close_page()
        page.workspace.close()


@pytest.fixture
def played(tmp_path) -> Played:
    return Played(tmp_path / "run", start="models/unet-real.safetensors")


@pytest.fixture
def page(make_page, played) -> ProgressPage:
    return make_page(played)


@pytest.fixture
def themes(monkeypatch):
    """Puts themes on the program, and takes them off at the end."""
    monkeypatch.setattr(theme, "_current", theme._current)
    palette = QApplication.palette()
    yield lambda name: theme.apply_theme(QApplication.instance(), name)
    QApplication.instance().setStyleSheet("")
    QApplication.setPalette(palette)


def step(number: int, loss: float = 0.002, **details) -> Step:
    return Step(number, loss, 1e-4, 412.3, number / 4000, **details)


def judged(number: int, gain: float = 0.5) -> Judged:
    return Judged(number, 37 + gain, 0.21, gain, 0.06, 0.0123)


def texts(page: ProgressPage) -> list[str]:
    """All that can be read on the page now."""
    return [label.text() for label in page.findChildren(QLabel) if label.isVisible() and label.text()]


def fact(page: ProgressPage, key: str) -> str:
    return page.facts[key][1].text()


def drawn(item: pg.PlotDataItem | pg.PlotCurveItem) -> tuple[list[float], list[float]]:
    x, y = item.getData()
    return ([], []) if x is None else (list(x), list(y))


def write_preview(run: Run, name: str, value: int, side: int = 8) -> None:
    image = QImage(side, side, QImage.Format.Format_RGB888)
    image.fill(0x010101 * value)
    assert image.save(str(run.folder / name))


def shown_white(preview: Preview) -> np.ndarray:
    """Where the pictures are white, below the captions: (H, W)."""
    shown = preview.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    rows = np.frombuffer(shown.constBits(), np.uint8).reshape(shown.height(), -1)[:, : shown.width()]
    return rows[preview._caption_height() :] == 255


# ---- Numbers ----


def test_it_says_what_it_does_before_the_first_event(make_page, tmp_path):
    page = make_page(Played(tmp_path / "run", "starting"))
    assert page.state.text() == "Reading pictures…"
    assert "60 seconds" in page.note.text()
    assert page.bar.maximum() == 0  # busy


def test_live_numbers_are_shown(page, played):
    played.play(STARTED, Staged(0, "denoising"))
    played.play(step(1000, 0.00234, seconds_left=734, memory_mb=2345, gpu_mb=812))
    page.show_all()
    assert page.state.text() == "Training"
    assert page.note.text() == "step 1,000 of 4,000 · about 12 min left"
    assert page.bar.value() / page.bar.maximum() == pytest.approx(0.25)
    assert page.curves.loss_value.text() == "0.00234"
    assert {key: fact(page, key) for key in page.facts} == {
        "pictures": "24, 4 held out",
        "stage": "denoising",
        "structure": "",
        "rate": "0.0001",
        "speed": "412",
        "memory": "2.3 GB",
        "gpu": "812 MB",
        "device": "cuda · bfloat16",
    }


def test_what_is_not_known_has_no_row(page, played):
    played.play(STARTED, step(10, memory_mb=100))
    page.show_all()
    hidden = {key for key, (label, value) in page.facts.items() if label.isHidden() and value.isHidden()}
    assert hidden == {"stage", "structure", "gpu"}


def test_every_number_is_explained(page):
    labels = [*(label for pair in page.facts.values() for label in pair), page.curves.loss_title]
    labels += [page.curves.loss_value, page.curves.held_out_title, page.curves.held_out_value]
    assert all(len(label.toolTip()) > 40 for label in labels)
    assert all(button.toolTip() for button in (page.stop, page.cancel))


def test_the_estimate_and_the_gain_come_with_their_bands(page, played):
    played.play(STARTED, judged(500, -0.5))
    page.show_all()
    assert page.curves.held_out_value.text() == "36.50 ± 0.21 dB"
    assert page.curves.held_out_note.text() == "−0.50 ± 0.06 dB over unet-real"
    assert fact(page, "structure") == "1.2 % of the noise"


def test_from_scratch_the_gain_is_over_the_noisy_pictures(make_page, tmp_path):
    training = Played(tmp_path / "run")
    page = make_page(training)
    training.play(STARTED, judged(500))
    page.show_all()
    assert page.curves.held_out_note.text() == "+0.50 ± 0.06 dB over the noisy pictures"


def test_without_an_estimate_the_blind_loss_stands_with_the_reason(page, played):
    played.play(STARTED, Judged(500, None, None, None, None, None, "the noise could not be measured"))
    page.show_all()
    assert page.curves.held_out_note.text() == "No PSNR is estimated: the noise could not be measured"
    assert page.curves.held_out_value.text() == "–"
    played.play(HeldOut(500, 0.0321))
    page.show_all()
    assert page.curves.held_out_title.text() == "Held-out loss"
    assert page.curves.held_out_value.text() == "0.0321"
    assert "the noise could not be measured" in page.curves.held_out_note.text()
    assert drawn(page.curves._held_out) == ([500], [0.0321])


def test_where_the_noise_is_not_known_well_the_gain_is_told_in_parts_of_it(page, played):
    played.play(
        STARTED, judged(50), HeldOut(100, 0.0321), Judged(100, None, None, None, None, None, "why", 0.031, 0.02)
    )
    page.show_all()
    assert page.curves.held_out_title.text() == "Held-out estimate of the error"
    assert page.curves.held_out_value.text() == "Smaller by 3.1 ± 2.0 %"
    assert page.curves.held_out_note.text() == "of the noise's power, than with unet-real"
    assert drawn(page.curves._held_out) == ([100], [pytest.approx(3.1)])
    assert page.curves._zero.isVisible()
    played.play(Judged(200, None, None, None, None, None, "why", -0.05, 0.02))
    page.show_all()
    assert page.curves.held_out_value.text() == "Larger by 5.0 ± 2.0 %"
    assert drawn(page.curves._held_out) == ([100, 200], pytest.approx([3.1, -5.0]))


def test_decibels_that_say_nothing_are_not_told(page, played):
    played.play(STARTED, Judged(100, 45.2, 15.9, 5.9, 7.8, 0.07, "", 0.031, 0.04))
    page.show_all()
    assert page.curves.held_out_value.text() == "Smaller by 3.1 ± 4.0 %"
    assert drawn(page.curves._held_out) == ([100], [pytest.approx(3.1)])
    played.play(Judged(200, 45.2, 15.9, 5.9, 7.8))  # of an older version
    page.show_all()
    assert page.curves.held_out_value.text() == "45.20 ± 15.90 dB"


def test_a_run_that_begins_anew_keeps_nothing_of_its_first_judgement(page, played):
    played.play(STARTED, judged(0), step(80))
    played.play(STARTED)
    page.show_all()
    assert page.curves.held_out_value.text() == "–"
    assert drawn(page.curves._held_out) == ([], [])


def test_a_run_folder_that_is_gone_is_told_with_what_to_do(page, played):
    played.play(STARTED, step(100))
    shutil.rmtree(played.run.folder)
    played.turn("failed", "Its folder runs/holiday is gone")
    assert page.notice.text.text().startswith("Its folder runs/holiday is gone. Connect its disk again")
    assert page.pause.text() == "&Resume"


def test_where_nothing_is_held_out_it_says_so(page, played):
    played.play(Started(0, 24, "cpu", "float32"))
    page.show_all()
    assert "no pictures are held out" in page.curves.held_out_note.text()


def test_the_true_psnr_is_marked_as_never_used_to_choose(page, played):
    played.play(STARTED, judged(500))
    page.show_all()
    assert "true" not in " ".join(texts(page)).lower()
    played.play(Validated(500, 33.333))
    page.show_all()
    assert "true 33.33 dB, never used to choose" in page.curves.held_out_note.text()
    assert "never used to choose" in page.curves.held_out_value.toolTip()


def test_an_old_run_looks_the_same_as_a_live_one(make_page, tmp_path):
    events = [STARTED, Staged(0, "levels"), *(step(number, 0.01 / number) for number in range(1, 300))]
    events += [judged(300), Staged(301, "denoising"), Validated(302, 33), Previewed(302), Warned(303, "A warning")]
    live, old = Played(tmp_path / "live"), Played(tmp_path / "old")
    first = make_page(live)
    live.play(*events)
    first.show_all()
    old.events = events
    second = make_page(old)
    assert texts(first) == texts(second)
    for curve in ("_smoothed", "_spread", "_held_out", "_low", "_high", "_true_curve"):
        assert drawn(getattr(first.curves, curve)) == drawn(getattr(second.curves, curve))
    assert len(first.curves._marks) == len(second.curves._marks) == 2


def test_another_run_takes_the_place_of_the_last_whole(page, played, tmp_path):
    write_preview(played.run, PREVIEWS[0], 9)
    played.play(STARTED, step(1), judged(2), Validated(2, 33), Warned(3, "A warning"), Previewed(3))
    page.show_all()
    empty = Played(tmp_path / "other", "starting")
    page.follow(empty)
    assert not page.notice.isVisible()
    assert page.curves.loss_value.text() == page.curves.held_out_value.text() == "–"
    assert not page.preview.shown
    assert drawn(page.curves._smoothed) == drawn(page.curves._held_out) == ([], [])
    played.play(step(400))
    page.show_all()
    assert page.curves.loss_value.text() == "–"


RESUMED = Started(150, 24, "cuda", "bfloat16", steps=4000, held_out=4)


@pytest.mark.parametrize("again", [RESUMED, Warned(150, "The loss was not finite; it goes on with half the rate")])
def test_what_a_run_does_again_replaces_what_it_did(page, played, again):
    played.play(STARTED, step(100), judged(110), step(200, 0.5), Staged(205, "next"), judged(210, 0.9))
    page.show_all()
    played.play(again, step(160, 0.003))
    page.show_all()
    assert drawn(page.curves._smoothed)[0] == [100, 160]
    assert drawn(page.curves._held_out) == ([110], [0.5])
    assert page.note.text().startswith("step 160 ")
    assert page.curves.held_out_value.text() == "37.50 ± 0.21 dB"
    assert not page.facts["stage"][1].text()


def test_a_run_folder_shows_as_its_training_tells(make_page, tmp_path, qtbot):
    folder = tmp_path / "run"
    folder.mkdir()
    write_job(TrainJob("pictures", minutes=5), folder)
    for event in (STARTED, step(3000), judged(3500), Ended(4000, "finished")):
        append(event, folder)
    (folder / CHECKPOINT).touch()
    page = make_page(TrainingRun(Run(folder)))
    assert page.state.text() == "Finished"
    assert page.curves.held_out_value.text() == "37.50 ± 0.21 dB"
    assert page.is_complete


# ---- Curves ----


def test_a_series_keeps_few_points_and_what_all_numbers_lay_between():
    values = np.random.default_rng(0).standard_normal(4 * MOST + 321)
    series = Series()
    for number, value in enumerate(values):
        series.add(2 * number, value)
    steps, (mean, low, high) = series.arrays()
    assert MOST / 2 <= len(steps) <= MOST
    assert (low.min(), high.max()) == (values.min(), values.max())
    assert steps[-1] == 2 * (len(values) - 1)
    each = round(len(values) / len(steps))
    assert set(np.diff(steps[:-1])) == {2 * each}  # as fine at the beginning as at the end
    np.testing.assert_allclose(mean[:-1], values[: each * (len(steps) - 1)].reshape(-1, each).mean(axis=1))


def test_a_series_leaves_out_what_is_not_later_or_not_finite():
    series = Series()
    for number, value in ((1, 1.0), (1, 2.0), (0, 3.0), (2, math.nan), (3, math.inf), (4, 4.0)):
        series.add(number, value)
    steps, (mean, *_) = series.arrays()
    assert (list(steps), list(mean)) == ([1, 4], [1.0, 4.0])


def test_a_hundred_thousand_steps_are_replayed_and_updated_fast(make_page, tmp_path):
    training = Played(tmp_path / "run")
    rng = np.random.default_rng(0)
    training.events = [STARTED, *(step(4 * number, loss) for number, loss in enumerate(rng.random(100_000), 1))]
    page = make_page()
    begun = time.process_time()
    page.follow(training)
    assert time.process_time() - begun < 3  # 0.15 s by itself; not by the clock, which counts others
    assert len(drawn(page.curves._smoothed)[0]) <= MOST
    assert len(drawn(page.curves._spread)[0]) <= 2 * MOST
    spent = []
    for number in range(5):
        training.play(step(500_000 + number))
        begun = time.process_time()
        page.show_all()
        page.grab()
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.1  # 0.012 s by itself


def test_a_burst_of_events_is_drawn_once(page, played, qtbot, monkeypatch):
    times = []
    draw = page.curves.redraw
    monkeypatch.setattr(page.curves, "redraw", lambda: (times.append(time.monotonic()), draw()))
    played.play(STARTED)
    for number in range(1, 61):
        played.play(step(number))
        qtbot.wait(10)
    qtbot.waitUntil(lambda: drawn(page.curves._smoothed)[0][-1:] == [60])
    assert len(times) <= 5
    assert min(np.diff(times), default=1) > 0.9 * progress.REDRAW_MS / 1000


@pytest.mark.parametrize(
    ("losses", "is_log"), [([1, 0.1, 0.01], True), ([0.011, 0.01, 0.012], False), ([1, 0.01, -2], False)]
)
def test_a_loss_of_many_sizes_is_drawn_logarithmic_where_it_can_be(qtbot, losses, is_log):
    shown = Curves()
    qtbot.addWidget(shown)
    for number, loss in enumerate(losses, 1):
        shown.add(step(number, loss))
    shown.redraw()
    assert shown.loss_plot.getAxis("left").logMode is is_log
    (bottom, top), expected = shown.loss_plot.getViewBox().viewRange()[1], np.array(losses, float)
    expected = np.log10(expected) if is_log else expected
    assert bottom < expected.min()
    assert top > expected.max()
    assert top - bottom < 2 * (expected.max() - expected.min())


def test_the_bold_loss_is_the_mean_of_the_faint_one(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    rng = np.random.default_rng(0)
    for number, loss in enumerate(1 + 0.1 * rng.standard_normal(500), 1):
        shown.add(step(number, loss))
    shown.redraw()
    faint, bold = (np.array(drawn(item)[1]) for item in (shown._spread, shown._smoothed))
    assert bold.mean() == pytest.approx(1, abs=0.02)
    assert bold[20:].std() < 0.4 * faint.std()


def test_the_gain_is_drawn_in_its_band_and_against_zero(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    for number in (100, 200):
        shown.add(judged(number, number / 200))
    shown.redraw()
    assert drawn(shown._held_out) == ([100, 200], [0.5, 1.0])
    assert drawn(shown._low)[1] == pytest.approx([0.44, 0.94])
    assert drawn(shown._high)[1] == pytest.approx([0.56, 1.06])
    assert not shown._band.path().isEmpty()
    assert shown._zero.isVisible()
    bottom, top = shown.held_out_plot.getViewBox().viewRange()[1]
    assert bottom < 0
    assert top > 1.06


def test_decibels_are_as_long_for_the_truth_as_for_the_estimate(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    for number in (100, 200):
        shown.add(judged(number, number / 200))
    shown.redraw()
    assert not shown.held_out_plot.getAxis("right").isVisible()
    shown.add(Validated(100, 30))
    shown.add(Validated(200, 33))
    shown.redraw()
    assert shown.held_out_plot.getAxis("right").isVisible()
    heights = [np.diff(box.viewRange()[1])[0] for box in (shown.held_out_plot.getViewBox(), shown._true_box)]
    assert heights[0] == pytest.approx(heights[1])
    assert heights[0] > 3


def test_stages_are_marked_where_a_new_one_begins(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    for event in (STARTED, Staged(0, "levels"), step(100), Staged(150, "denoising"), Staged(180, "denoising")):
        shown.add(event)
    shown.redraw()
    shown.redraw()
    plots = [shown.loss_plot, shown.held_out_plot]
    assert [(plot, mark.value()) for plot, mark in shown._marks] == [(plot, 150) for plot in plots]
    assert all(mark in plot.items for plot, mark in shown._marks)
    shown.clear()
    assert not shown._marks
    assert not any(isinstance(item, pg.InfiniteLine) for item in shown.loss_plot.items)


def steps_shown(page: ProgressPage) -> list[list[float]]:
    page.grab()
    boxes = (page.curves.loss_plot.getViewBox(), page.curves.held_out_plot.getViewBox(), page.curves._true_box)
    return [box.viewRange()[0] for box in boxes]


def test_all_steps_that_anything_is_known_of_are_shown(page, played):
    played.play(STARTED, judged(0), step(100), judged(300), Validated(400, 33))
    page.show_all()
    for left, right in steps_shown(page):
        assert left == pytest.approx(0, abs=40)
        assert right == pytest.approx(400, abs=40)


@pytest.mark.parametrize("number", [0, 1])
def test_both_plots_show_the_same_steps_also_when_zoomed(page, played, number):
    played.play(STARTED, *(step(number) for number in range(1, 2000)), judged(1999), Validated(1999, 33))
    page.show_all()
    page.grab()
    view = page.curves._views[number]
    place = QPointF(view.rect().center())
    none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    angle = QPoint(0, 4 * 120)
    wheel = QWheelEvent(place, view.mapToGlobal(place), QPoint(), angle, *none, False)
    QApplication.sendEvent(view.viewport(), wheel)
    zoomed = steps_shown(page)[0]
    assert 500 < zoomed[0] < zoomed[1] < 1500
    played.play(step(2000))
    page.show_all()
    for shown in steps_shown(page):
        assert shown == pytest.approx(zoomed)
    page.curves.loss_plot.autoBtnClicked()
    for left, right in steps_shown(page):
        assert left == pytest.approx(0, abs=150)
        assert right == pytest.approx(2000, abs=150)


def test_no_plot_has_a_menu(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    for plot, view in zip((shown.loss_plot, shown.held_out_plot), shown._views, strict=True):
        assert not plot.getViewBox().menuEnabled()
        assert not plot.menuEnabled()
        assert view.contextMenuPolicy() == Qt.ContextMenuPolicy.NoContextMenu


def test_empty_plots_name_no_numbers(qtbot):
    shown = Curves()
    qtbot.addWidget(shown)
    assert not shown.loss_plot.getAxis("left").style["showValues"]
    shown.add(step(1))
    shown.redraw()
    assert shown.loss_plot.getAxis("left").style["showValues"]
    assert not shown.held_out_plot.getAxis("left").style["showValues"]


def test_the_colours_follow_the_theme(page, played, themes):
    played.play(STARTED, Staged(0, "levels"), step(1), Staged(2, "denoising"), judged(2))
    played.turn("failed", "No disk space")
    for name in ("light", "dark"):
        themes(name)
        QApplication.processEvents()
        c = theme.COLORS[name]
        assert all(view.backgroundBrush().color().name() == c.panel for view in page.curves._views)
        assert page.curves._smoothed.opts["pen"].color().name() == c.running
        assert page.curves._marks[0][1].pen.color().name() == c.muted
        assert c.failed in page.state.styleSheet()
        assert page.preview.grab().toImage().pixelColor(2, 2).name() == c.canvas


# ---- Preview ----


@pytest.fixture
def preview(qtbot) -> Preview:
    preview = Preview()
    qtbot.addWidget(preview)
    preview.resize(620, 200)
    preview.show()
    return preview


@pytest.fixture
def run(tmp_path) -> Run:
    (tmp_path / "previewed").mkdir()
    return Run(tmp_path / "previewed")


def test_the_crop_is_shown_before_by_the_start_and_now(preview, run):
    for name, value in zip(PREVIEWS, (10, 20, 30), strict=True):
        write_preview(run, name, value)
    preview.load(run)
    preview.set_names("unet-real", "Now · step 5")
    assert [name for name, _ in preview.shown] == ["Before", "Start: unet-real", "Now · step 5"]
    assert [image.pixelColor(0, 0).red() for _, image in preview.shown] == [10, 20, 30]


def test_from_scratch_there_are_two_pictures(preview, run):
    write_preview(run, PREVIEWS[0], 10)
    write_preview(run, PREVIEWS[2], 30)
    preview.load(run)
    assert [name for name, _ in preview.shown] == ["Before", "Now"]


def test_a_picture_that_cannot_be_read_stays_as_it_was(preview, run):
    for name in PREVIEWS:
        write_preview(run, name, 10)
    preview.load(run)
    (run.folder / PREVIEWS[2]).write_bytes((run.folder / PREVIEWS[2]).read_bytes()[:20])
    (run.folder / PREVIEWS[1]).unlink()
    preview.load(run)
    assert len(preview.shown) == 3


def test_single_pixels_are_shown_in_whole_factors(preview, run):
    image = QImage(80, 80, QImage.Format.Format_RGB888)
    for y in range(80):
        for x in range(80):
            image.setPixelColor(x, y, Qt.GlobalColor.white if (x + y) % 2 else Qt.GlobalColor.black)
    image.save(str(run.folder / PREVIEWS[0]))
    preview.load(run)
    white = shown_white(preview)
    across = np.flatnonzero(white.any(axis=0))
    assert len(across) == across[-1] - across[0] + 1 == 160
    np.testing.assert_array_equal(white[1, across], np.tile([False, False, True, True], 40))
    np.testing.assert_array_equal(white[2, across], np.tile([True, True, False, False], 40))


def test_of_a_crop_too_large_its_middle_is_shown_pixel_for_pixel(preview, run):
    image = QImage(401, 401, QImage.Format.Format_RGB888)
    image.fill(Qt.GlobalColor.black)
    image.setPixelColor(200, 200, Qt.GlobalColor.white)
    for name in PREVIEWS:
        image.save(str(run.folder / name))
    preview.load(run)
    preview.set_names("", "")
    white = np.argwhere(shown_white(preview))
    assert len(white) == 3
    assert set(np.diff(sorted(white[:, 1]))) <= {206, 207}


@pytest.mark.parametrize(("names", "stands_in"), [(PREVIEWS, 20), (PREVIEWS[::2], 10)])
@pytest.mark.parametrize("by_key", [False, True])
def test_holding_shows_the_start_in_the_place_of_the_present(preview, run, names, stands_in, by_key):
    for name in names:
        write_preview(run, name, {PREVIEWS[0]: 10, PREVIEWS[1]: 20, PREVIEWS[2]: 30}[name])
    preview.load(run)

    def last() -> int:
        return preview.shown[-1][1].pixelColor(0, 0).red()

    (QTest.keyPress if by_key else QTest.mousePress)(preview, *([Qt.Key.Key_Space] if by_key else [Qt.LeftButton]))
    assert last() == stands_in
    (QTest.keyRelease if by_key else QTest.mouseRelease)(preview, *([Qt.Key.Key_Space] if by_key else [Qt.LeftButton]))
    assert last() == 30


def test_the_preview_moves_when_the_run_says_so(page, played, qtbot):
    write_preview(played.run, PREVIEWS[0], 10)
    write_preview(played.run, PREVIEWS[2], 10)
    played.play(STARTED, Previewed(1))
    qtbot.waitUntil(lambda: len(page.preview.shown) == 2)
    write_preview(played.run, PREVIEWS[2], 50)
    played.play(step(2))
    page.show_all()
    assert page.preview.shown[-1][1].pixelColor(0, 0).red() == 10
    played.play(Previewed(2500))
    qtbot.waitUntil(lambda: page.preview.shown[-1][1].pixelColor(0, 0).red() == 50)
    assert page.preview.shown[-1][0] == "Now · step 2,500"


# ---- Asking ----


@pytest.mark.parametrize(
    ("state", "first", "can_first", "can_stop", "can_cancel"),
    [
        ("starting", "&Pause", True, True, True),
        ("running", "&Pause", True, True, True),
        ("pausing", "&Resume", True, True, True),
        ("paused", "&Resume", True, True, True),
        ("stopping", "&Pause", False, False, True),
        ("finished", "&Pause", False, False, False),
        ("stopped", "&Resume", True, False, False),
        ("failed", "&Resume", True, False, True),
        ("interrupted", "&Resume", True, False, True),
        ("cancelled", "&Pause", False, False, False),
    ],
)
def test_only_what_the_state_allows_can_be_asked(page, played, state, first, can_first, can_stop, can_cancel):
    played.turn(state)
    assert page.pause.text() == first
    enabled = [button.isEnabled() for button in (page.pause, page.stop, page.cancel)]
    assert enabled == [can_first, can_stop, can_cancel]


@pytest.mark.parametrize(
    ("state", "asked"), [("running", "pause"), ("paused", "go_on"), ("pausing", "go_on"), ("interrupted", "resume")]
)
def test_one_button_pauses_and_resumes(page, played, state, asked):
    played.turn(state)
    page.pause.click()
    assert played.asked == [asked]


def test_stop_and_keep_stops(page, played):
    page.stop.click()
    assert played.asked == ["stop"]


@pytest.mark.parametrize(("answer", "asked"), [("Cancel training", ["cancel"]), ("Keep it", []), (None, [])])
def test_cancel_asks_first_and_says_what_is_lost(page, played, monkeypatch, answer, asked):
    questions = []

    def reply(box: QMessageBox) -> None:
        questions.append(box.text())
        assert box.defaultButton().text() == "Keep it"
        for button in box.buttons():
            if button.text() == answer:
                button.click()

    monkeypatch.setattr(QMessageBox, "exec", reply)
    page.cancel.click()
    assert "Everything that it learned is lost" in questions[0]
    assert played.asked == asked


def test_warnings_stand_in_a_line_with_all_of_them_behind_a_button(page, played):
    played.play(STARTED, Warned(5, "a.jpg went away"), Warned(70, "Less memory than thought"))
    page.show_all()
    assert page.notice.text.text() == "Less memory than thought"
    assert not page.notice.log.isVisible()
    page.notice.details.click()
    text = page.findChild(QPlainTextEdit).toPlainText()
    assert text == "Step 5: a.jpg went away\nStep 70: Less memory than thought"


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_failed_run_says_why_and_what_to_do_and_opens_its_log(page, played, is_saved):
    (played.run.folder / LOG).write_text("Traceback\nthe end\n")
    if is_saved:
        played.run.checkpoint.touch()
    played.play(STARTED, Ended(10, "failed", "The disk is full"))
    played.turn("failed", "The disk is full")
    assert page.state.text() == "Failed"
    sentence = page.notice.text.text()
    assert sentence.startswith("The disk is full. ")
    assert ("kept" in sentence) is is_saved
    assert ("start again" in sentence) is not is_saved
    page.notice.log.click()
    assert page.findChild(QPlainTextEdit).toPlainText() == "Traceback\nthe end\n"


def test_a_log_that_is_not_there_is_said_to_be_missing(page, played):
    played.turn("failed", "It did not start")
    page.notice.log.click()
    assert "No such file" in page.findChild(QPlainTextEdit).toPlainText()


@pytest.mark.parametrize(("is_saved", "where"), [(True, "last save"), (False, "beginning")])
def test_an_interrupted_run_offers_to_go_on(page, played, is_saved, where):
    if is_saved:
        (played.run.folder / STATE).touch()
    played.turn("interrupted")
    assert where in page.notice.text.text()
    assert page.pause.text() == "&Resume"
    assert page.pause.isEnabled()


def test_the_next_step_opens_once_a_run_is_over_and_has_a_model(page, played, qtbot):
    played.run.checkpoint.touch()
    assert not page.is_complete
    with qtbot.waitSignal(page.changed):
        played.turn("stopped")
    assert page.is_complete
    played.run.checkpoint.unlink()
    assert not page.is_complete


@pytest.mark.parametrize("name", ["dark", "light"])
@pytest.mark.parametrize("state", ["running", "failed"])
def test_nothing_is_cut_off_in_a_small_window(make_page, tmp_path, themes, name, state):
    themes(name)
    training = Played(tmp_path / "run", state, start="models/a-name-of-a-model-that-is-rather-long.safetensors")
    training.message = "A long reason why the training could not go on, with a name in it: " + 3 * "folder/" + "a.tif"
    training.events = [STARTED, Staged(0, "levels"), step(900, seconds_left=5000, memory_mb=12345, gpu_mb=81234)]
    training.events += [Staged(950, "denoising"), judged(1000), Validated(1000, 33), Warned(1000, "A warning")]
    page = make_page(training)
    QApplication.processEvents()
    assert (page.width(), page.height()) == ROOM
    whole = page.rect()
    for widget in [*page.findChildren(QPushButton), *page.findChildren(QLabel), *page.curves._views, page.preview]:
        if not widget.isVisible():
            continue
        place = widget.rect().translated(widget.mapTo(page, widget.rect().topLeft()))
        assert whole.contains(place), widget
        assert widget.visibleRegion().boundingRect() == widget.rect(), widget
        if isinstance(widget, QLabel) and widget.wordWrap():
            assert widget.height() >= widget.heightForWidth(widget.width())
        elif isinstance(widget, QPushButton | QLabel):
            assert widget.width() >= widget.sizeHint().width(), widget.text()
    assert all(view.height() >= 100 for view in page.curves._views)
    assert page.preview.height() >= 200


def test_the_state_is_not_cut_off_when_it_changes(page, played, themes):
    themes("dark")
    for state in ("running", "finished", "paused", "failed", "interrupted", "stopped"):
        played.turn(state)
        QApplication.processEvents()
        assert page.state.width() >= page.state.sizeHint().width()


def test_what_is_smoothed_keeps_its_length():
    for count in (0, 1, 2, 49, 50, 51, 1000):
        assert len(curves._smoothed(np.ones(count))) == count
        np.testing.assert_allclose(curves._smoothed(np.ones(count)), 1)
