from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from opened import noisy_file
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtTest import QTest
from reports import correlated, report

from app.settings import Settings
from app.wizard import folder as page_module
from app.wizard.findings import FindingRow
from app.wizard.folder import FolderPage, measured
from app.wizard.page import Plan
from app.wizard.thumbnails import PictureView, tick_place
from training import folder as preflight
from training.folder import TWIN, Finding, Found
from training.job import Preview


def made_up(number: int, iso: int = 3200, **known) -> Found:
    """A picture of a scene of its own."""
    small = np.random.default_rng(number).integers(40, 255, (64, 96, 3), np.uint8)
    details = {"taken": 3600.0 * number, "report": report(3, 0.05), "thumbnail": small, **known}
    return Found(f"{number:03}.jpg", "", 600, 400, 3, 8, "Camera", iso, **details)


@pytest.fixture
def looked(monkeypatch):
    """What the pre-flight finds in any folder."""
    found: list[Found] = []
    monkeypatch.setattr(preflight, "look", lambda folder, recursive=True: iter(list(found)))
    return found


@pytest.fixture
def make_page(qtbot, tmp_path):
    """Pages as the wizard has them, ended after the test."""
    made = []

    def make(plan: Plan | None = None) -> FolderPage:
        shell = SimpleNamespace(settings=Settings(), change_settings=lambda **changes: None)
        page = FolderPage(plan or Plan(method="r2r"), shell)  # pyright: ignore
        made.append(page)
        qtbot.addWidget(page)
        page.resize(1000, 590)
        page.show()
        page.activateWindow()
        qtbot.waitUntil(page.isActiveWindow)
        return page

    yield make
    for page in made:
        page.close_page()


@pytest.fixture
def settle(qtbot):
    """Waits until a page has said all that it has to say."""

    def wait(page: FolderPage) -> FolderPage:
        qtbot.waitUntil(lambda: page._look_job is None and page._is_settled, timeout=10_000)
        return page

    return wait


@pytest.fixture
def page(make_page, settle, looked, tmp_path):
    """A page on a folder of twelve pictures, four of which have another ISO."""
    looked += [made_up(number, 3200 if number < 8 else 400) for number in range(12)]
    page = make_page()
    page.open(tmp_path)
    return settle(page)


def place(page: FolderPage, name: str) -> QPoint:
    """The middle of a thumbnail."""
    index = page.view.pictures.index(page.view.pictures.row(name))
    return page.view.visualRect(index).center()


def tick(page: FolderPage, name: str) -> QPoint:
    index = page.view.pictures.index(page.view.pictures.row(name))
    return tick_place(page.view.visualRect(index)).center()


def click(page: FolderPage, where: QPoint, keys=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.mouseClick(page.view.viewport(), Qt.MouseButton.LeftButton, keys, where)


def press(page: FolderPage, key: Qt.Key) -> None:
    """A key, with the thumbnails having the focus."""
    page.view.setFocus()
    assert page.view.hasFocus()
    QTest.keyClick(page.view, key)


def rows(page: FolderPage) -> list[FindingRow]:
    return [row for row in page.findChildren(FindingRow) if row.isVisible()]


# ---- Looking ----


def test_what_is_in_the_folder_is_counted_and_grouped(page):
    assert page.view.pictures.rowCount() == 12
    assert page.summary.text() == "12 pictures · 0.24 megapixels each · 8 bits · colour"
    assert page.noise.text().startswith("Noise: sigma 12.8 of 255 · white")
    texts = [[page.groups.topLevelItem(row).text(column) for column in range(3)] for row in range(2)]
    assert texts == [["Camera, ISO 3200", "8", "12.8"], ["Camera, ISO 400", "4", "12.8"]]
    assert page.is_complete


def test_looking_and_checking_happen_on_another_thread(make_page, settle, monkeypatch, tmp_path):
    threads = set()

    def note(answer):
        def called(*args, **kwargs):
            threads.add(threading.current_thread())
            return answer

        return called

    monkeypatch.setattr(preflight, "look", note([made_up(0), made_up(1)]))
    monkeypatch.setattr(preflight, "check", note([]))
    monkeypatch.setattr(preflight, "hold_out", note(["001.jpg"]))
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_a_thousand_pictures_come_in_few_pieces(make_page, settle, looked, tmp_path, qtbot):
    looked += [replace(made_up(0), name=f"{number}.jpg", taken=None, thumbnail=None) for number in range(1000)]
    page, inserted = make_page(), []
    page.view.pictures.rowsInserted.connect(lambda parent, first, last: inserted.append(last - first + 1))
    page.open(tmp_path)
    settle(page)
    assert sum(inserted) == 1000
    assert len(inserted) < 50


def test_a_thumbnail_that_comes_later_takes_its_place(make_page, settle, looked, tmp_path):
    looked += [replace(made_up(number), thumbnail=None, report=None) for number in range(3)] + [made_up(1)]
    page = make_page()
    page.open(tmp_path)
    settle(page)
    pictures = page.view.pictures
    assert pictures.rowCount() == 3
    has = [pictures.data(pictures.index(row), Qt.ItemDataRole.DecorationRole) is not None for row in range(3)]
    assert has == [False, True, False]
    assert "measured in 1 of them" in page.noise.text()


def test_clean_twins_are_neither_shown_nor_learned_from(make_page, settle, looked, tmp_path):
    looked += [made_up(0), made_up(1), Found("0_mean.png", TWIN)]
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert page.view.pictures.rowCount() == 2
    assert page.plan.job().leave_out == ("0_mean.png",)


def test_a_file_that_cannot_be_read_is_shown_with_its_reason_and_cannot_be_taken_in(
    make_page, settle, looked, tmp_path
):
    looked += [made_up(0), made_up(1), Found("broken.jpg", "broken.jpg is cut off")]
    page = make_page()
    page.open(tmp_path)
    settle(page)
    index = page.view.pictures.index(2)
    assert "cut off" in index.data(Qt.ItemDataRole.ToolTipRole)
    assert "cut off" in index.data(Qt.ItemDataRole.AccessibleTextRole)
    click(page, tick(page, "broken.jpg"))
    page.view.select(["broken.jpg"])
    press(page, Qt.Key.Key_Space)
    assert page.plan.left_out == set()
    page.view.select(["broken.jpg", "000.jpg"])
    press(page, Qt.Key.Key_Space)
    assert page.plan.left_out == {"000.jpg"}
    press(page, Qt.Key.Key_Space)
    settle(page)
    assert "1 cannot be read" in page.summary.text()
    assert page.plan.job().leave_out == ("broken.jpg",)


def test_a_folder_that_is_not_there_is_a_sentence_and_no_next_page(make_page, qtbot, tmp_path):
    page = make_page()
    page.open(tmp_path / "nowhere")
    qtbot.waitUntil(lambda: bool(rows(page)))
    assert "nowhere" in rows(page)[0].text.text()
    assert not page.is_complete


def test_an_empty_folder_is_a_stop(make_page, settle, tmp_path):
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert [finding.kind for finding in page.findings] == ["stop"]
    assert rows(page)[0].isVisible()
    assert not page.is_complete


def test_another_folder_ends_the_look_at_the_first(make_page, settle, monkeypatch, tmp_path, qtbot):
    ended = threading.Event()

    def look(folder, recursive=True):
        if folder.name == "second":
            yield made_up(7)
            return
        try:
            for number in range(100_000):
                time.sleep(0.005)
                yield replace(made_up(0), name=f"{number}.jpg")
        finally:
            ended.set()

    monkeypatch.setattr(preflight, "look", look)
    page = make_page()
    page.open(tmp_path / "first")
    qtbot.waitUntil(lambda: page.view.pictures.rowCount() > 0)
    assert not page.is_complete
    page.open(tmp_path / "second")
    settle(page)
    assert ended.is_set()
    assert [one.name for one in page.plan.found] == ["007.jpg"]
    assert page.view.pictures.rowCount() == 1


def test_closing_the_page_ends_a_look_that_goes_on(make_page, monkeypatch, tmp_path, qtbot):
    def look(folder, recursive=True):
        for number in range(100_000):
            time.sleep(0.005)
            yield replace(made_up(0), name=f"{number}.jpg")

    monkeypatch.setattr(preflight, "look", look)
    page = make_page()
    page.open(tmp_path)
    qtbot.waitUntil(lambda: page.view.pictures.rowCount() > 0)
    began = time.monotonic()
    page.close_page()
    assert time.monotonic() - began < 2
    assert not [thread for thread in threading.enumerate() if thread.name == "looking at a folder"]


def test_real_pictures_are_found_measured_and_shown(make_page, settle, tmp_path, qtbot):
    for number in range(3):
        noisy_file(tmp_path / f"{number}.png", seed=number)
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert page.summary.text().startswith("3 pictures · 0.019 megapixels each · 8 bits · colour")
    assert "of 255" in page.noise.text()
    qtbot.waitUntil(lambda: page._pixels is not None)
    assert page._pixels.shape == (120, 160, 3)
    assert page.plan.preview is not None
    assert page.plan.preview.side == 120


def test_the_job_takes_pictures_of_folders_inside_only_where_they_belong(make_page, settle, tmp_path):
    noisy_file(tmp_path / "a.png")
    noisy_file(tmp_path / "b.png", seed=1)
    noisy_file(tmp_path / "inside" / "c.png", seed=2)
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert {one.name for one in page.plan.found} == {"a.png", "b.png", "inside/c.png"}
    assert page.plan.job().recursive
    page.recursive.setChecked(False)
    settle(page)
    assert {one.name for one in page.plan.found} == {"a.png", "b.png"}
    job = page.plan.job()
    assert (job.recursive, job.leave_out) == (False, ())
    assert "left out" not in page.summary.text()


def test_a_typed_folder_is_looked_at(make_page, settle, looked, tmp_path):
    looked += [made_up(0), made_up(1)]
    page = make_page()
    page.path.setText(str(tmp_path))
    QTest.keyClick(page.path, Qt.Key.Key_Return)
    settle(page)
    assert page.plan.folder == tmp_path


def test_a_folder_that_the_plan_brings_is_looked_at_once(make_page, settle, looked, tmp_path):
    looked += [made_up(0), made_up(1)]
    page = make_page(Plan(folder=tmp_path))
    page.enter()
    settle(page)
    page.leave_out(["000.jpg"])
    page.enter()
    settle(page)
    assert page.plan.left_out == {"000.jpg"}


def test_another_folder_begins_anew(page, settle, tmp_path):
    page.leave_out(["000.jpg"])
    page.view.select(["001.jpg"])
    press(page, Qt.Key.Key_H)
    settle(page)
    page.open(tmp_path / "other")
    settle(page)
    assert page.plan.left_out == set()
    assert not page.again.isVisible()


# ---- Leaving out ----


def test_the_tick_leaves_a_picture_out_and_takes_it_in(page, settle):
    click(page, tick(page, "003.jpg"))
    assert page.plan.left_out == {"003.jpg"}
    assert "left out" in page.view.pictures.index(3).data(Qt.ItemDataRole.AccessibleTextRole)
    assert not page.view.selectedIndexes()
    settle(page)
    assert page.summary.text().endswith("1 left out")
    click(page, tick(page, "003.jpg"))
    assert page.plan.left_out == set()


def test_a_click_beside_the_tick_selects_only(page):
    click(page, place(page, "003.jpg"))
    assert page.plan.left_out == set()
    assert page.view.selected() == ["003.jpg"]


def test_the_tick_of_a_selected_picture_acts_on_all_that_are_selected(page):
    click(page, place(page, "001.jpg"))
    click(page, place(page, "003.jpg"), Qt.KeyboardModifier.ShiftModifier)
    click(page, tick(page, "002.jpg"))
    assert page.plan.left_out == {"001.jpg", "002.jpg", "003.jpg"}
    assert page.view.selected() == ["001.jpg", "002.jpg", "003.jpg"]


def test_space_leaves_the_selected_out_and_takes_them_in(page):
    page.view.select(["001.jpg", "002.jpg"])
    page.leave_out(["001.jpg"])
    press(page, Qt.Key.Key_Space)
    assert page.plan.left_out == {"001.jpg", "002.jpg"}
    press(page, Qt.Key.Key_Space)
    assert page.plan.left_out == set()


def test_what_is_left_out_is_drawn_dimmed(page):
    index = page.view.pictures.index(3)

    def contrast() -> float:
        shot = page.view.viewport().grab(page.view.visualRect(index).adjusted(34, 10, -10, -20)).toImage()
        pixels = np.frombuffer(shot.constBits(), np.uint8).reshape(shot.height(), shot.width(), 4)
        return float(pixels[..., :3].std((0, 1)).mean())

    before = contrast()
    page.leave_out(["003.jpg"])
    assert contrast() < 0.7 * before


def test_a_group_that_is_unticked_is_left_out_and_comes_back(page, settle):
    item = page.groups.topLevelItem(1)
    item.setCheckState(0, Qt.CheckState.Unchecked)
    settle(page)
    assert page.plan.left_out == {"008.jpg", "009.jpg", "010.jpg", "011.jpg"}
    assert page.plan.held_out
    assert not page.plan.held_out & page.plan.left_out
    click(page, tick(page, "009.jpg"))
    assert page.groups.topLevelItem(1).checkState(0) == Qt.CheckState.PartiallyChecked
    assert page.groups.topLevelItem(1).text(1) == "1 of 4"
    page.groups.topLevelItem(1).setCheckState(0, Qt.CheckState.Checked)
    assert page.plan.left_out == set()


def test_all_is_checked_again_whenever_something_is_left_out(page, settle, monkeypatch):
    asked = []

    def check(found, held_out, **known):
        asked.append({one.name for one in found})
        return [Finding("stop", "Too few.")] if len(found) < 12 else []

    monkeypatch.setattr(preflight, "check", check)
    page.leave_out(["000.jpg"])
    assert not page.is_complete
    settle(page)
    assert len(asked[-1]) == 11
    assert not page.is_complete
    assert rows(page)[0].text.text() == "Too few."
    page.toggle(["000.jpg"])
    settle(page)
    assert page.is_complete
    assert not rows(page)


def test_what_is_checked_knows_the_values_of_the_next_page(page, settle, monkeypatch):
    asked = {}

    def check(found, held_out, **known):
        asked.update(known)
        return []

    monkeypatch.setattr(preflight, "check", check)
    page.plan.options = {"patch": 96, "budget_mb": 512}
    page.enter()
    settle(page)
    assert (asked["patch"], asked["budget_mb"]) == (96, 512)


def test_a_finding_can_be_settled_by_its_button(page, settle, monkeypatch):
    names = ("004.jpg", "005.jpg")

    def check(found, held_out, **known):
        bad = {one.name for one in found} & set(names)
        return [Finding("warn", "Two are clean.", names, True), Finding("note", "By the way.")] if bad else []

    monkeypatch.setattr(preflight, "check", check)
    page.enter()
    settle(page)
    first, second = rows(page)
    assert first.leave_out.isVisible()
    assert not second.leave_out.isVisible()
    assert not second.show_them.isVisible()
    assert first.text.accessibleName() == "Warning: Two are clean."
    first.show_them.click()
    assert page.view.selected() == list(names)
    first.leave_out.click()
    settle(page)
    assert page.plan.left_out == set(names)
    assert not rows(page)


def test_when_all_is_left_out_there_is_no_next_page(page, settle):
    page.leave_out([one.name for one in page.plan.found])
    settle(page)
    assert not page.is_complete


# ---- Holding out ----


def test_a_share_is_held_out_and_another_share_is_drawn(page, settle):
    assert len(page.plan.held_out) == 2
    assert page.held.text() == "2 of 12"
    page.share.setValue(50)
    settle(page)
    assert len(page.plan.held_out) == 6
    page.share.setValue(0)
    settle(page)
    assert page.plan.held_out == set()
    assert page.plan.job().held_out == ()


def test_h_holds_pictures_out_by_hand_until_automatic_is_pressed(page, settle):
    automatic = set(page.plan.held_out)
    free = next(one.name for one in page.plan.found if one.name not in automatic)
    page.view.select([free])
    press(page, Qt.Key.Key_H)
    settle(page)
    assert page.plan.held_out == automatic | {free}
    assert page.again.isVisible()
    page.leave_out([next(iter(automatic))])
    settle(page)
    assert free in page.plan.held_out
    assert not page.plan.held_out & page.plan.left_out
    press(page, Qt.Key.Key_H)
    settle(page)
    assert free not in page.plan.held_out
    page.again.click()
    settle(page)
    assert len(page.plan.held_out) == 2
    assert not page.again.isVisible()


def test_both_actions_are_in_the_menu_of_the_thumbnails(page):
    assert isinstance(page.view, PictureView)
    assert [action.text() for action in page.view.actions()] == [
        "Leave out or take in",
        "Hold out to judge by, or learn from",
    ]
    assert page.view.contextMenuPolicy() == Qt.ContextMenuPolicy.ActionsContextMenu


# ---- The preview ----


def test_the_preview_is_the_middle_of_a_held_out_picture(page):
    preview = page.plan.preview
    assert preview.name in page.plan.held_out
    assert (preview.left, preview.top, preview.side) == (172, 72, 256)


def test_a_click_in_the_large_picture_brings_the_preview_there(page):
    page.view.select(["005.jpg"])
    assert page.crop.square is None
    room = page.crop._room()
    corner = room.bottomRight().toPoint() - QPoint(3, 3)
    QTest.mouseClick(page.crop, Qt.MouseButton.LeftButton, pos=corner)
    assert page.plan.preview == Preview("005.jpg", 344, 144, 256)
    QTest.mouseClick(page.crop, Qt.MouseButton.LeftButton, pos=room.center().toPoint())
    assert abs(page.plan.preview.left - 172) < 4
    assert "005.jpg" in page.caption.text().replace("\u200b", "")


def test_the_arrow_keys_move_the_square_inside_the_picture(page):
    page.view.select(["005.jpg"])
    QTest.keyClick(page.crop, Qt.Key.Key_Right)
    assert page.plan.preview == Preview("005.jpg", 236, 72, 256)
    QTest.keyClick(page.crop, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert page.plan.preview == Preview("005.jpg", 236, 80, 256)
    for _ in range(5):
        QTest.keyClick(page.crop, Qt.Key.Key_Up)
    assert page.plan.preview == Preview("005.jpg", 236, 0, 256)


def test_a_place_chosen_by_hand_stays_until_its_picture_is_left_out(page, settle):
    page.view.select(["005.jpg"])
    QTest.keyClick(page.crop, Qt.Key.Key_Left)
    chosen = page.plan.preview
    page.leave_out(["006.jpg"])
    settle(page)
    assert page.plan.preview == chosen
    page.leave_out(["005.jpg"])
    settle(page)
    assert page.plan.preview.name in page.plan.held_out


def test_the_square_of_a_small_picture_is_as_large_as_it_can_be(make_page, settle, looked, tmp_path):
    looked += [replace(made_up(number), width=200, height=100) for number in range(3)]
    page = make_page()
    page.open(tmp_path)
    settle(page)
    preview = page.plan.preview
    assert (preview.left, preview.top, preview.side) == (50, 0, 100)


def test_the_large_picture_is_read_on_a_thread_of_its_own(page, monkeypatch, qtbot):
    threads = []

    def reading(path):
        threads.append(threading.current_thread().name)
        yield None
        return np.zeros((400, 600, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)

    monkeypatch.setattr(page_module, "_reading", reading)
    page.view.select(["007.jpg"])
    qtbot.waitUntil(lambda: page._pixels is not None)
    assert threads == ["reading a picture"]
    assert page.crop._size == QSize(600, 400)


def test_a_picture_that_went_away_is_a_sentence(page, qtbot):
    page.view.select(["007.jpg"])  # made up: there is no such file
    qtbot.waitUntil(lambda: "does not exist" in page.caption.text() or "cannot be" in page.caption.text())


# ---- What all of them share ----


def test_the_noise_of_grey_and_colour_pictures_is_not_mixed():
    found = [made_up(0), made_up(1), made_up(2, report=report(1, 0.4)), made_up(3, report=None)]
    assert measured(found).sigma == pytest.approx(0.05)
    assert measured([made_up(0, report=None)]) is None


def test_correlated_noise_is_said(make_page, settle, looked, tmp_path):
    looked += [made_up(number, report=replace(correlated(3, 0.05), correlation=0.5)) for number in range(3)]
    page = make_page()
    page.open(tmp_path)
    settle(page)
    assert page.noise.text() == "Noise: sigma 12.8 of 255 · correlated (0.50)"


def test_everything_to_be_used_has_a_name_for_screen_readers(page):
    for widget in (page.view, page.groups, page.crop, page.again):
        assert widget.accessibleName()
    for widget in (page.path, page.share, page.crop):
        labels = [label for label in page.findChildren(type(page.summary)) if label.buddy() is widget]
        assert labels, widget
    assert Path(page.path.text()).is_absolute()
