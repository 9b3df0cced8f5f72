from __future__ import annotations

import csv
import itertools
import re
import time
from pathlib import Path

import pytest
from batches import VALUES, install, pictures
from PySide6.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QAction, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QTableView,
    QToolBar,
    QToolButton,
)
from test_batch_queue import tiles  # noqa: F401 - a fixture

from app import presets
from app.batch import saved as batches
from app.batch.plan import Item
from app.batch.queue import Queue
from app.batch.queue_page import NOTE, PICTURE, STATE
from app.batch.saved import BatchJob
from app.batch.setup_page import FOLDER, LIST, SELECTION
from app.batch.window import QUEUE, SETUP, SUMMARY, BatchWindow
from app.settings import Settings
from app.values import Values
from app.window import MainWindow
from app.workspace import Workspace
from engine.image import load_image

PATIENCE_MS = 60_000

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)


@pytest.fixture
def make_window(qtbot):
    install()
    made = []

    def make(settings: Settings | None = None) -> MainWindow:
        window = MainWindow(Workspace(settings or Settings(denoise_on_open=False)))
        made.append(window)
        window.resize(1000, 700)
        window.show()
        return window

    yield make
    for window in made:
        window.queue.close()
        window.queue.state = "idle"  # or it would ask
        window.close()
        window.deleteLater()
    QApplication.instance().setStyleSheet("")
    QApplication.clipboard().clear()


@pytest.fixture
def window(make_window):
    return make_window()


@pytest.fixture
def batch(qtbot):
    """The window of a batch, without the main one."""
    install()
    queue = Queue(Workspace(Settings(denoise_on_open=False)))
    window = BatchWindow(queue)
    window.show()
    yield window
    window.end()
    queue.close()
    queue.workspace.close()


@pytest.fixture
def answers(monkeypatch):
    """Presses the button of each question whose text begins so; the questions are kept."""
    given: list[str] = []
    asked: list[str] = []

    def answer(box: QMessageBox) -> int:
        asked.append(box.text())
        wanted = given.pop(0)
        next(b for b in box.buttons() if b.text().replace("&", "").startswith(wanted)).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    yield given, asked
    assert not given, "not asked"


def opened(window: MainWindow, qtbot, given: list[Path]) -> BatchWindow:
    """The pictures are in the list, with settings that take no time."""
    window.workspace.open(given)
    qtbot.waitUntil(lambda: len(window.workspace.entries) >= len(given), timeout=PATIENCE_MS)
    for entry in window.workspace.entries:
        entry.values = VALUES
    return window.batch


def planned(batch: BatchWindow, qtbot) -> str:
    """Wait until it is known what would be done; what stands in the way."""
    qtbot.waitUntil(lambda: not batch.setup.is_pending, timeout=PATIENCE_MS)
    return batch.setup.problem


def start(batch: BatchWindow, qtbot, out: Path | None = None) -> None:
    if out is not None:
        batch.setup.to_folder.setChecked(True)
        batch.setup.target.setText(str(out))
    assert planned(batch, qtbot) == ""
    assert batch.start_button.isEnabled()
    QTest.mouseClick(batch.start_button, Qt.MouseButton.LeftButton)
    assert batch.number == QUEUE


def ended(batch: BatchWindow, qtbot) -> None:
    qtbot.waitUntil(lambda: batch.number == SUMMARY, timeout=PATIENCE_MS)


def of_folder(window: MainWindow, qtbot, folder: Path, monkeypatch) -> BatchWindow:
    """Set up for a folder, with a preset that takes no time."""
    presets.save("quick", VALUES, replace=True)
    window.denoise_folder()
    batch = window.batch
    batch.setup.folder.setText(str(folder))
    batch.setup.settings.setCurrentText("Preset quick")
    return batch


# ---- What is denoised ----


def test_all_of_the_list_are_denoised_into_a_folder_that_is_made(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 3))
    QTest.keySequence(window, "Ctrl+Alt+E")
    assert batch.isVisible()
    assert batch.setup.source.checkedId() == LIST
    start(batch, qtbot, tmp_path / "out/deep")
    ended(batch, qtbot)
    assert [path.name for path in sorted((tmp_path / "out/deep").iterdir())] == [
        "000_denoised.png",
        "001_denoised.png",
        "002_denoised.png",
    ]
    assert batch.summary.headline.text().startswith("Finished: 3 done")
    assert str(tmp_path / "out/deep") in batch.summary.note.text()
    assert not batch.summary.table.isVisible()
    assert not batch.summary.retry_button.isVisible()


def test_only_the_selection_is_denoised(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 3))
    window.strip.selectAll()
    index = window.strip.model().index(1, 0)
    window.strip.selectionModel().select(index, window.strip.selectionModel().SelectionFlag.Deselect)
    window.actions_by_name["save_selection"].trigger()
    assert batch.setup.source.checkedId() == SELECTION
    assert "2" in batch.setup.of_selection.text()
    start(batch, qtbot, tmp_path / "out")
    ended(batch, qtbot)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000_denoised.png", "002_denoised.png"]


def test_a_folder_is_mirrored_and_patterns_are_heeded(window, qtbot, tmp_path, monkeypatch):
    pictures(tmp_path / "in", 2)
    pictures(tmp_path / "in/evening/late", 1)
    pictures(tmp_path / "in", 1, suffix=".bmp", start=5)
    batch = of_folder(window, qtbot, tmp_path / "in", monkeypatch)
    batch.setup.exclude.setText("*.bmp; 001*")
    start(batch, qtbot, tmp_path / "out")
    ended(batch, qtbot)
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["000_denoised.png", "evening/late/000_denoised.png"]


def test_a_folder_that_is_dropped_is_set_up(batch, qtbot, tmp_path):
    pictures(tmp_path / "in", 2)
    batch.set_up(LIST)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "in"))])
    where, action = QPointF(batch.rect().center()), Qt.DropAction.CopyAction
    batch.dropEvent(QDropEvent(where, action, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier))
    assert batch.setup.source.checkedId() == FOLDER
    planned(batch, qtbot)
    assert batch.setup.count.text() == "2 pictures"


def test_the_window_goes_on_while_ten_thousand_files_are_found_and_shown(batch, qtbot, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.jpg").touch()
    setup = batch.setup
    batch.set_up(FOLDER)
    ticks = [time.monotonic()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(5)
    setup.target.setText(str(tmp_path / "out"))
    setup.to_folder.setChecked(True)
    setup.folder.setText(str(folder))
    assert planned(batch, qtbot) == ""
    qtbot.waitUntil(lambda: setup._size is not None, timeout=PATIENCE_MS)
    assert setup.count.text() == "10,000 pictures"
    queue = batch.queue
    queue._take_over(batches.new(), setup.job())
    batch.stack.setCurrentIndex(QUEUE)
    batch.progress.table.scrollToBottom()
    for number in range(0, 10_000, 500):
        queue._set_row(number, "running")
        QApplication.processEvents()
    timer.stop()
    assert max(later - sooner for sooner, later in itertools.pairwise(ticks)) < 1.0
    assert batch.progress.table.model().rowCount() == 10_000


# ---- Settings and files ----


def test_what_exists_is_left_numbered_or_replaced(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 2))
    out = tmp_path / "out"
    out.mkdir()
    (out / "000_denoised.png").write_bytes(b"mine")
    window.save_all()
    start(batch, qtbot, out)
    ended(batch, qtbot)
    assert (out / "000_denoised.png").read_bytes() == b"mine"
    assert batch.summary.headline.text().startswith("Finished: 1 done, 1 left out")
    (row,) = batch.summary.shown
    assert "exists already" in row.text
    # Both exist now: there is nothing to do.
    window.save_all()
    assert planned(batch, qtbot).startswith("All results exist already")
    assert not batch.start_button.isEnabled()
    batch.setup.conflict.setCurrentIndex(batch.setup.conflict.findData("number"))
    batch.setup.conflict.activated.emit(1)
    start(batch, qtbot)
    ended(batch, qtbot)
    assert (out / "000_denoised.png").read_bytes() == b"mine"
    assert {"000_denoised-2.png", "001_denoised-2.png"} <= {path.name for path in out.iterdir()}
    window.save_all()
    batch.setup.conflict.setCurrentIndex(batch.setup.conflict.findData("replace"))
    batch.setup.conflict.activated.emit(2)
    start(batch, qtbot)
    ended(batch, qtbot)
    load_image(out / "000_denoised.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda setup, folder: setup.folder.clear(), "Choose the folder to denoise."),
        (lambda setup, folder: setup.folder.setText(str(folder / "gone")), "There is no folder"),
        (lambda setup, folder: setup.include.setText("*.tif"), "There is no picture in this folder that is wanted."),
        (lambda setup, folder: setup.target.clear(), "Choose the folder of the results"),
        (lambda setup, folder: setup.target.setText("out"), "must be a whole path"),
        (lambda setup, folder: setup.target.setText(str(folder / "000.png")), "is a file"),
        (lambda setup, folder: setup.pattern.setText("{nam}"), "it may have {name}"),
        (lambda setup, folder: setup.pattern.setText("a/b"), "file names cannot have"),
        (lambda setup, folder: setup.pattern.setText(""), "is empty"),
        (
            lambda setup, folder: (setup.beside.setChecked(True), setup.pattern.setText("{name}")),
            "is the input itself",
        ),
        (
            lambda setup, folder: (setup.beside.setChecked(True), setup.watch.setChecked(True)),
            "they would be denoised again",
        ),
        (
            lambda setup, folder: (setup.target.setText(f"{folder}/../in"), setup.watch.setChecked(True)),
            "they would be denoised again",
        ),
    ],
)
def test_it_cannot_be_started_while_something_is_wrong_and_a_sentence_says_what(batch, qtbot, tmp_path, change, said):
    pictures(tmp_path / "in", 1)
    batch.set_up(FOLDER, folder=tmp_path / "in")
    batch.setup.to_folder.setChecked(True)
    batch.setup.target.setText(str(tmp_path / "out"))
    assert planned(batch, qtbot) == ""
    assert batch.start_button.isEnabled()
    change(batch.setup, tmp_path / "in")
    assert not batch.start_button.isEnabled()
    assert said in planned(batch, qtbot)
    assert said in batch.setup.notice.text()
    assert batch.setup.notice.isVisible()
    assert not batch.start_button.isEnabled()


def test_the_example_follows_the_pattern(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 2))
    window.save_all()
    batch.setup.beside.setChecked(True)
    batch.setup.pattern.setText("{folder}-{number}-{name}")
    planned(batch, qtbot)
    assert batch.setup.example.text() == "000.png becomes in-1-000.png"
    batch.setup.kind.setCurrentIndex(batch.setup.kind.findData(".jpg"))
    batch.setup.kind.activated.emit(0)
    planned(batch, qtbot)
    assert batch.setup.example.text() == "000.png becomes in-1-000.jpg"


def test_the_disk_estimate_is_red_where_it_does_not_fit(window, qtbot, tmp_path, monkeypatch):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 2))
    monkeypatch.setattr("app.batch.setup_page.estimate_bytes", lambda items, how: 3_200_000_000)
    for free, name in ((120_000_000_000, "muted"), (1_000_000_000, "bad")):
        monkeypatch.setattr("app.batch.setup_page.free_bytes", lambda items, free=free: free)
        window.save_all()
        batch.setup.beside.setChecked(True)
        planned(batch, qtbot)
        qtbot.waitUntil(lambda: batch.setup.disk.text().startswith("About"), timeout=PATIENCE_MS)
        assert batch.setup.disk.text().startswith("About 3.2 GB will be written")
        assert batch.setup.disk.objectName() == name


def test_settings_are_each_pictures_own_or_for_all_with_one_level_where_wanted(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 2))
    workspace, setup = window.workspace, batch.setup
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=PATIENCE_MS)
    own = [Values("r2r", params={"r2r": {"passes": 2, "sigma": 0.1}}), Values("r2r", strength=0.5)]
    for entry, values in zip(workspace.entries, own, strict=True):
        entry.values = values
    workspace.select(workspace.entries[0])
    presets.save("soft", Values("r2r", strength=0.3))
    window.save_all()
    planned(batch, qtbot)
    assert [item.values for item in setup.job().items] == own
    setup.settings.setCurrentIndex(setup.settings.findData("current"))
    given = [item.values for item in setup.job().items]
    assert given[0] == own[0]
    assert given[1].params["r2r"] == {"passes": 2}  # a level belongs to its picture
    setup.settings.setCurrentText("Preset soft")
    assert [item.values.strength for item in setup.job().items] == [0.3, 0.3]
    setup.level.setCurrentIndex(setup.level.findData("one"))
    setup.sigma.setValue(51)
    assert [item.values.params["r2r"]["sigma"] for item in setup.job().items] == [0.2, 0.2]


def test_the_last_choices_are_there_at_the_next_start(make_window, qtbot, tmp_path):
    window = make_window()
    batch = opened(window, qtbot, pictures(tmp_path / "in", 1))
    window.save_all()
    setup = batch.setup
    setup.pattern.setText("{name}-x")
    setup.kind.setCurrentIndex(setup.kind.findData(".tif"))
    setup.kind.activated.emit(0)
    setup.bits.setCurrentIndex(setup.bits.findData(16))
    setup.gps.setChecked(False)
    start(batch, qtbot, tmp_path / "out")
    ended(batch, qtbot)
    assert load_image(tmp_path / "out/000-x.tif").bits == 16
    again = make_window(window.workspace.settings).batch.setup
    assert again.pattern.text() == "{name}-x"
    assert (again.kind.currentData(), again.bits.currentData()) == (".tif", 16)
    assert again.target.text() == str(tmp_path / "out")
    assert not again.gps.isChecked()


# ---- The queue ----


def test_the_queue_shows_each_picture_and_can_be_paused_skipped_and_cancelled(
    window,
    qtbot,
    tmp_path,
    tiles,  # noqa: F811 - the fixture
    answers,
):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 5))
    tiles.pause = 0.03
    window.save_all()
    start(batch, qtbot, tmp_path / "out")
    page = batch.progress
    model = page.table.model()
    qtbot.waitUntil(lambda: batch.queue.counts["done"] == 1, timeout=PATIENCE_MS)
    QTest.mouseClick(page.pause_button, Qt.MouseButton.LeftButton)
    assert page.pause_button.text() == "&Resume"
    assert page.headline.text().startswith("Paused at 1 of 5")
    assert "paused" in window.batch_button.text()
    texts = [[model.index(row, column).data() for column in (PICTURE, STATE, NOTE)] for row in (0, 4)]
    assert texts == [["000.png", "Done", "000_denoised.png"], ["004.png", "Waiting", ""]]
    assert not page.skip_button.isEnabled()
    page.table.selectRow(4)
    assert page.skip_button.isEnabled()
    QTest.mouseClick(page.skip_button, Qt.MouseButton.LeftButton)
    assert model.index(4, STATE).data() == "Left out"
    QTest.mouseClick(page.pause_button, Qt.MouseButton.LeftButton)
    answers[0].append("Cancel the batch")
    QTest.mouseClick(page.cancel_button, Qt.MouseButton.LeftButton)
    ended(batch, qtbot)
    assert batch.summary.headline.text().startswith("Stopped: ")
    assert batch.summary.go_on_button.isVisible()
    tiles.pause = 0.0
    QTest.mouseClick(batch.summary.go_on_button, Qt.MouseButton.LeftButton)
    assert batch.number == QUEUE
    ended(batch, qtbot)
    assert batch.queue.counts["done"] == 4
    assert not batch.summary.go_on_button.isVisible()


def test_the_table_follows_the_picture_in_work_until_the_user_scrolls(batch, tmp_path):
    queue, page = batch.queue, batch.progress
    queue._take_over(batches.new(), BatchJob(tuple(Item(n, tmp_path / f"{n}", tmp_path / "x") for n in range(300))))
    batch.stack.setCurrentIndex(QUEUE)
    QApplication.processEvents()
    bar = page.table.verticalScrollBar()
    queue._set_row(200, "running")
    assert bar.value() > 0
    there = bar.value()
    bar.triggerAction(bar.SliderAction.SliderSingleStepSub)
    assert not page.follow.isChecked()
    there = bar.value()
    queue._set_row(10, "running")
    assert bar.value() == there
    page.follow.setChecked(True)
    assert bar.value() < there


# ---- The summary ----


def test_failures_are_listed_with_reasons_copied_reported_and_retried(window, qtbot, tmp_path):
    paths = pictures(tmp_path / "in", 3)
    batch = opened(window, qtbot, paths)
    good = paths[1].read_bytes()
    qtbot.waitUntil(lambda: all(entry.thumbnail is not None for entry in window.workspace.entries), timeout=PATIENCE_MS)
    paths[1].write_bytes(b"gone bad")
    window.save_all()
    start(batch, qtbot, tmp_path / "out")
    ended(batch, qtbot)
    summary = batch.summary
    assert summary.headline.text().startswith("Finished: 2 done, 1 failed")
    (row,) = summary.shown
    assert row.item.path == paths[1]
    assert summary.table.isVisible()
    QTest.mouseClick(summary.copy_button, Qt.MouseButton.LeftButton)
    copied = QApplication.clipboard().text()
    assert copied == f"{paths[1]}: {row.text}"
    summary.save_report(tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        assert [line["state"] for line in csv.DictReader(file)] == ["done", "failed", "done"]
    summary.save_report(tmp_path / "gone/report.csv")
    assert "cannot be written" in batch.message.text.text()
    paths[1].write_bytes(good)
    QTest.mouseClick(summary.retry_button, Qt.MouseButton.LeftButton)
    ended(batch, qtbot)
    assert summary.headline.text().startswith("Finished: 3 done")
    assert summary.shown == []
    assert (tmp_path / "out/001_denoised.png").exists()


def test_how_a_batch_ended_is_told_where_its_window_is_closed(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 1))
    window.save_all()
    start(batch, qtbot, tmp_path / "out")
    batch.close()
    assert window.batch_button.isVisible()
    qtbot.waitUntil(lambda: not batch.queue.is_live, timeout=PATIENCE_MS)
    assert window.message.text.text() == "The batch has ended: 1 done."
    assert not window.batch_button.isVisible()
    QTest.mouseClick(window.message.action, Qt.MouseButton.LeftButton)
    assert batch.isVisible()
    assert batch.number == SUMMARY


# ---- Closing and going on ----


def test_closing_asks_and_what_was_interrupted_is_offered_and_finished_once(
    make_window,
    qtbot,
    tmp_path,
    tiles,  # noqa: F811 - the fixture
    answers,
):
    given, asked = answers
    window = make_window()
    batch = opened(window, qtbot, pictures(tmp_path / "in", 4))
    tiles.pause = 0.02
    window.save_all()
    start(batch, qtbot, tmp_path / "out")
    qtbot.waitUntil(lambda: batch.queue.counts["done"] >= 1, timeout=PATIENCE_MS)
    given.append("Stay")
    assert not window.close()
    assert batch.queue.is_live
    given.append("Stop and close")
    assert window.close()
    assert "of 4 pictures" in asked[0]
    assert not batch.isVisible()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert 1 <= len(kept) < 4
    tiles.pause = 0.0

    second = make_window(window.workspace.settings)
    assert second.message.text.text() == f"A batch was interrupted: {len(kept)} of 4 are done. Go on?"
    third = make_window(second.workspace.settings)
    assert not third.message.isVisible()  # once is enough; its window still offers it
    third.denoise_folder()
    assert "was interrupted" in third.batch.message.text.text()
    QTest.mouseClick(third.batch.message.close_button, Qt.MouseButton.LeftButton)
    third.denoise_folder()
    assert not third.batch.message.isVisible()

    QTest.mouseClick(second.message.action, Qt.MouseButton.LeftButton)
    assert second.batch.isVisible()
    ended(second.batch, qtbot)
    assert second.queue.counts["done"] == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert batches.interrupted() is None


def test_a_watched_folder_is_set_up_and_picks_up_what_arrives(window, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.batch.watch.watched.__defaults__", ((), 0.05))
    (tmp_path / "in").mkdir()
    batch = of_folder(window, qtbot, tmp_path / "in", monkeypatch)
    batch.setup.watch.setChecked(True)
    start(batch, qtbot, tmp_path / "out")
    qtbot.waitUntil(lambda: batch.queue.tally is not None, timeout=PATIENCE_MS)
    assert batch.progress.cancel_button.text() == "Stop &watching"
    pictures(tmp_path / "in", 1)
    qtbot.waitUntil(lambda: batch.queue.counts["done"] == 1, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: "waiting for what arrives" in batch.progress.headline.text(), timeout=PATIENCE_MS)
    assert batch.progress.table.model().rowCount() == 1
    QTest.mouseClick(batch.progress.cancel_button, Qt.MouseButton.LeftButton)
    ended(batch, qtbot)
    assert (tmp_path / "out/000_denoised.png").exists()


# ---- Looks and keys ----


def test_no_two_things_of_a_page_have_one_letter(window, qtbot, tmp_path):
    batch = opened(window, qtbot, pictures(tmp_path / "in", 2))
    window.denoise_folder()
    for number in (SETUP, QUEUE, SUMMARY):
        batch._show_page(number)
        batch.summary.go_on_button.show()
        shown = [w for w in batch.findChildren(QAbstractButton) + batch.findChildren(QLabel) if w.isVisible()]
        letters = [found[1].lower() for w in shown if (found := re.search(r"&(\w)", w.text()))]
        assert sorted(letters) == sorted(set(letters))


def test_tab_leads_through_the_setup_from_top_to_bottom(batch, qtbot):
    batch.set_up(FOLDER)
    setup = batch.setup
    batch.activateWindow()
    setup.folder.setFocus()
    qtbot.waitUntil(setup.folder.hasFocus, timeout=PATIENCE_MS)
    reached = [setup.folder]
    while reached[-1] is not batch.close_button and len(reached) < 40:
        QTest.keyClick(batch.focusWidget(), Qt.Key.Key_Tab)
        reached.append(batch.focusWidget())
    heights = [widget.mapTo(batch, widget.rect().center()).y() for widget in reached[:-1]]
    assert len(reached) > 12
    # Those of one row are not all of one height.
    assert all(lower > upper - 10 for upper, lower in itertools.pairwise(heights))


def test_what_can_be_used_has_a_name_for_screen_readers_and_is_reached_by_tab(batch):
    batch.set_up(FOLDER)
    kinds = (QPushButton, QToolButton, QComboBox, QCheckBox, QLineEdit, QSpinBox, QDoubleSpinBox, QTableView)
    for number in (SETUP, QUEUE, SUMMARY):
        batch._show_page(number)
        used = [widget for kind in kinds for widget in batch.findChildren(kind) if widget.isVisible()]
        used = [widget for widget in used if not isinstance(widget.parent(), QSpinBox | QDoubleSpinBox)]
        nameless = [w for w in used if not (w.accessibleName() or getattr(w, "text", str)())]
        assert nameless == []
        reached, widget = set(), batch
        for _ in range(200):
            widget = widget.nextInFocusChain()
            reached.add(widget)
        assert [w for w in used if w.focusPolicy() == Qt.FocusPolicy.NoFocus and not isinstance(w, QToolButton)] == []
        assert set(used) - set(batch.message.findChildren(QToolButton)) <= reached


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_setup_fits_and_no_word_is_cut_off(make_window, qtbot, tmp_path, theme):
    window = make_window(Settings(denoise_on_open=False, theme=theme))
    batch = window.batch
    for source in (LIST, FOLDER):
        window._set_up(source)
        QApplication.processEvents()
        assert batch.width() <= 1000
        assert batch.height() <= 700
        for button in batch.findChildren(QPushButton) + batch.findChildren(QCheckBox):
            if button.isVisible():
                assert button.width() >= button.sizeHint().width(), button.text()


def test_the_toolbar_fits_a_small_window(window):
    bar = window.findChild(QToolBar)
    assert bar.sizeHint().width() <= 1000
    assert "Batch" in [action.iconText() for action in bar.actions() if isinstance(action, QAction)]
