from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from viewed import BLUE, GREEN, at, drag, flat, noise, shown, wheel

from app.compare.view import CompareView

RED = (200, 0, 0)


@pytest.fixture
def view(qtbot) -> CompareView:
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(802, 602)
    view.show()
    qtbot.waitExposed(view)
    view.set_before(flat(GREEN))
    view.set_mode("grid")
    view.set_grid(4)
    return view


def middles(view: CompareView) -> list[tuple[int, int]]:
    return [pane.center().toTuple() for pane in view.panes()]


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2)])
def test_results_lie_beside_each_other_or_in_two_rows_all_of_one_size(view, count, columns, rows):
    view.set_grid(count)
    panes = view.panes()
    assert len(panes) == view.grid_count == count
    assert len({pane.size().toTuple() for pane in panes}) == 1
    assert len({pane.left() for pane in panes}) == columns
    assert len({pane.top() for pane in panes}) == rows
    assert not any(a.intersects(b) for a in panes for b in panes if a is not b)
    assert all(view.rect().contains(pane) for pane in panes)


@pytest.mark.parametrize("count", [0, 5])
def test_other_counts_are_refused(view, count):
    with pytest.raises(ValueError, match="1 to 4"):
        view.set_grid(count)


def test_all_results_show_the_same_place_wherever_the_mouse_moved_it(view):
    pixels = noise(2000, 3000)
    view.set_before(pixels)
    view.set_grid_picture(1, pixels.copy())
    view.set_labels("", "")
    for index in range(4):
        view.set_grid_caption(index, "", "–")
    view.zoom_to(1.5, (1300, 700))
    for x, y in middles(view):
        wheel(view, x + 20, y + 20, 1)
        drag(view, (x, y), (x - 30, y - 20))
    picture = shown(view)
    parts = [picture[pane.top() + 40 : pane.bottom() - 8, pane.left() + 8 : pane.right() - 8] for pane in view.panes()]
    assert parts[0].std() > 10
    for part in parts[1:]:
        np.testing.assert_array_equal(part, parts[0])


def test_a_result_that_is_not_there_yet_shows_the_noisy_picture_and_says_that_it_waits(view):
    view.set_grid_picture(1, flat(BLUE))
    assert [at(view, *middle) for middle in middles(view)] == [GREEN, BLUE, GREEN, GREEN]
    view.set_grid_caption(0, "R2R", "")
    assert "R2R, Waiting" in view.accessibleDescription()
    view.set_grid_picture(0, flat(RED))
    assert "Waiting" not in view.accessibleDescription()
    view.set_grid_picture(0, None)
    assert at(view, *middles(view)[0]) == GREEN


def test_a_region_of_a_result_shows_over_the_noisy_picture_and_in_its_pane_alone(view):
    before = flat(GREEN)
    view.set_before(before)
    view.update_grid(2, np.full((60, 80, 3), BLUE, np.uint8), 360, 270)
    x, y = middles(view)[2]
    assert at(view, x, y) == BLUE
    assert at(view, x - 60, y) == GREEN
    assert at(view, *middles(view)[3]) == GREEN
    view.update_grid(2, np.full((60, 80, 3), RED, np.uint8), 360, 270)
    assert at(view, x, y) == RED
    assert (before == GREEN).all()


def test_a_caption_has_a_line_for_title_and_one_for_number_and_time(view):
    bare = shown(view)
    view.set_grid_caption(3, "Neighbor2Neighbor", "30.9 dB · 0.4 s")
    changed = (shown(view) != bare).any(-1)
    pane = view.panes()[3]
    inside = changed[pane.top() : pane.top() + 60, pane.left() : pane.left() + 200]
    assert inside.any()
    assert changed.sum() == inside.sum()
    rows = np.flatnonzero(inside.any(1))
    assert np.ptp(rows) > 1.7 * view.fontMetrics().height()


@pytest.mark.parametrize("index", range(4))
def test_a_click_chooses_and_marks_a_result_and_a_drag_does_not(view, index):
    chosen = []
    view.grid_chosen.connect(chosen.append)
    x, y = middles(view)[index]
    drag(view, (x, y), (x + 40, y))
    assert chosen == []
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    assert chosen == [index]
    assert view.grid_mark == index


def test_the_second_click_on_a_chosen_result_does_not_zoom(view):
    before = view.zoom
    x, y = middles(view)[1]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    QTest.mouseDClick(view, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    assert view.zoom == before


def test_keys_move_the_mark_and_choose(view):
    chosen = []
    view.grid_chosen.connect(chosen.append)
    key, alt = Qt.Key, Qt.KeyboardModifier.AltModifier
    for pressed, mark in (
        (key.Key_Left, 0),
        (key.Key_Right, 1),
        (key.Key_Right, 1),
        (key.Key_Down, 3),
        (key.Key_Left, 2),
        (key.Key_Down, 2),
        (key.Key_Up, 0),
        (key.Key_Down, 2),
    ):
        QTest.keyClick(view, pressed, alt)
        assert view.grid_mark == mark
    QTest.keyClick(view, key.Key_Return)
    assert chosen == [2]
    assert "Number 3 has the mark" in view.accessibleDescription()
    view.set_grid(2)
    assert view.grid_mark == 1
    view.set_grid(3)
    QTest.keyClick(view, key.Key_Down, alt)
    assert view.grid_mark == 1, "there is no fourth result below the second"


def test_the_mark_is_a_frame_that_is_seen_without_colours(view):
    view.set_colors("#404040", "#ffffff", "#000000")
    view.set_before(flat((90, 90, 90), 602, 802))
    view.zoom_to(2.0)
    unmarked, marked = view.panes()[1], view.panes()[2]
    view.set_grid_mark(2)
    grey = shown(view).mean(-1)
    assert np.ptp(grey[marked.center().y(), marked.left() : marked.left() + 12]) > 100
    assert np.ptp(grey[unmarked.center().y(), unmarked.left() + 2 : unmarked.left() + 12]) == 0


def test_flipping_shows_the_noisy_picture_in_every_pane(view):
    for index in range(4):
        view.set_grid_picture(index, flat(BLUE))
    view.flip()
    assert [at(view, *middle) for middle in middles(view)] == [GREEN] * 4
    view.flip()
    assert [at(view, *middle) for middle in middles(view)] == [BLUE] * 4


def test_results_stay_with_a_picture_of_the_same_size_and_go_with_another(view):
    view.set_grid_picture(0, flat(BLUE))
    view.zoom_to(2.0, (300, 200))
    place = view.viewport()
    view.set_before(flat(RED))
    view.set_grid_picture(1, flat(BLUE))
    assert view.viewport() == place
    assert [at(view, *middle) for middle in middles(view)] == [BLUE, BLUE, RED, RED]
    view.set_before(flat(GREEN, 500, 700))
    assert [at(view, *middle) for middle in middles(view)] == [GREEN] * 4


def test_what_does_not_fit_is_refused(view):
    with pytest.raises(ValueError, match="700x600"):
        view.set_grid_picture(0, flat(BLUE, width=700))
    for use in (
        lambda: view.set_grid_picture(4, None),
        lambda: view.set_grid_caption(-1, "", ""),
        lambda: view.set_grid_mark(4),
        lambda: view.update_grid(7, np.zeros((1, 1, 3), np.uint8), 0, 0),
    ):
        with pytest.raises(ValueError, match="set_grid"):
            use()
