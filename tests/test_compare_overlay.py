from __future__ import annotations

import time

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, QSizeF
from PySide6.QtTest import QTest
from viewed import BLUE, GREEN, flat, noise, shown

from app.compare.frames import MOTIONS, frame_times
from app.compare.hatching import MarkedRects, Screen
from app.compare.loupe import loupe_area, loupe_zoom
from app.compare.place import Place
from app.compare.view import CompareView
from engine.areas import Area, Areas

GREY = (120, 120, 120)


@pytest.fixture
def view(qtbot) -> CompareView:
    """At 100 % with the picture's pixel (0, 0) in the corner of each pane, so that both count alike."""
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(801, 500)
    view.show()
    qtbot.waitExposed(view)
    view.set_before(flat(GREY, 1000, 1600))
    view.set_after(flat(GREY, 1000, 1600))
    view.set_labels("", "")
    view.zoom_to(1.0, (0, 0))
    return view


def marked(view: CompareView, rects, text: str = "") -> np.ndarray:
    """What is drawn with these marks, (H, W, 3)."""
    view.set_marks(rects, text)
    return shown(view)


def test_marks_are_outlined_and_hatched_on_the_side_of_after_alone(view):
    bare = shown(view)
    changed = (marked(view, [(100, 80, 180, 140)]) != bare).any(-1)
    assert not changed[:, :401].any()
    rows, columns = np.nonzero(changed)
    assert (columns.min(), columns.max()) == (401 + 99, 401 + 180)
    assert (rows.min(), rows.max()) == (79, 140)
    assert changed[80:140, 401 + 100].all()
    inside = changed[85:135, 401 + 105 : 401 + 175]
    assert 0.1 < inside.mean() < 0.5, "a hatch leaves most of the picture to be seen"


def test_marks_that_meet_or_overlap_have_one_outline(view):
    one = marked(view, [(100, 80, 196, 112)])
    for parts in (
        [(100, 80, 132, 112), (132, 80, 164, 112), (164, 80, 196, 112)],
        [(100, 80, 170, 112), (120, 80, 196, 100), (150, 90, 196, 112)],
        np.array([(100, 80, 196, 96), (100, 96, 196, 112), (100, 96, 196, 112)]),
    ):
        np.testing.assert_array_equal(marked(view, parts), one)
    assert (marked(view, [(100, 80, 132, 112), (140, 80, 196, 112)]) != one).any()


def test_without_marks_nothing_is_drawn_nor_said(view):
    bare, said = shown(view), view.accessibleDescription()
    assert (marked(view, [(100, 80, 180, 140)], "Structure left") != bare).any()
    assert "Structure left" in view.accessibleDescription()
    np.testing.assert_array_equal(marked(view, [], "Structure left"), bare)
    np.testing.assert_array_equal(marked(view, [(5, 5, 5, 9)], "Structure left"), bare)
    assert view.accessibleDescription() == said


def test_marks_are_hidden_where_the_noisy_picture_stands_in_place_of_after(view):
    bare = shown(view)
    marked(view, [(100, 80, 180, 140)])
    view.show_original(True)
    np.testing.assert_array_equal(shown(view)[:, :401], bare[:, :401])
    view.set_labels("", "")
    assert not (shown(view)[70:150] != bare[70:150]).any()


@pytest.mark.parametrize("angle", [0, 40, 90])
def test_under_the_wipe_line_marks_end_at_it(view, angle):
    view.set_mode("wipe")
    view.zoom_to(1.0, (0, 0))
    view.set_wipe_angle(angle)
    bare = shown(view)
    changed = (marked(view, [(0, 0, 1600, 1000)]) != bare).any(-1)
    y, x = np.mgrid[0:500, 0:801] + 0.5
    turn = np.deg2rad(angle)
    side = (x - 400.5) * np.cos(turn) + (y - 250) * np.sin(turn)
    assert not changed[side < -1].any()
    assert changed[side > 30].mean() > 0.1


def test_the_hatch_is_fixed_to_the_picture_when_the_view_moves(view):
    view.set_mode("after")
    view.zoom_to(1.0, (500, 400))
    before = marked(view, [(300, 300, 700, 500)])
    view.pan(37, 23)
    np.testing.assert_array_equal(shown(view)[:-23, :-37], before[23:, 37:])


def test_ten_thousand_marks_are_merged_and_drawn_fast():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, [375, 250], (10_000, 2)) * 16
    rects = np.concatenate([corners, corners + 16], axis=1)
    place = Place()
    place.size, place.pane = (6000, 4000), QSizeF(1400, 900)
    start = time.perf_counter()
    marks = MarkedRects(rects)
    for zoom in (0.225, 0.5, 1.0, 4.0):
        place.move(zoom, QPointF(3000, 2000))
        assert not marks.image(Screen(place)).isNull()
    # 0.06 s on an idle core.
    assert time.perf_counter() - start < 1.0
    covered = np.zeros((250, 375), bool)
    covered[corners[:, 1] // 16, corners[:, 0] // 16] = True
    found = [[marks.contains(16 * x + 8, 16 * y + 8) for x in range(0, 375, 5)] for y in range(0, 250, 5)]
    np.testing.assert_array_equal(found, covered[::5, ::5])


def test_marks_at_places_after_the_point_that_would_need_too_many_cells_cover_no_less():
    rng = np.random.default_rng(1)
    corners = rng.random((6000, 2)) * 4000
    rects = np.concatenate([corners, corners + 1 + 9 * rng.random((6000, 2))], axis=1)
    marks = MarkedRects(rects)
    assert marks._cells.size <= 1.1 * 2**22
    assert all(marks.contains(*((rect[:2] + rect[2:]) / 2)) for rect in rects)
    assert not marks.contains(-50, 10)
    assert not marks.contains(10, 9000)


PLACES = (
    Area("rectangle", ((100, 80), (200, 180)), 0.0, 0.0),
    Area("rectangle", ((260, 80), (360, 180)), 0.0, 1.2),
    Area("brush", ((100, 300), (300, 300)), 30.0, 0.5),
)


def test_places_are_outlined_in_both_panes_and_hatched_over_the_result(view):
    bare = shown(view)
    view.set_areas(Areas(1.0, (Area("rectangle", ((100, 80), (300, 280)), 0.0, 0.5),)))
    changed = (shown(view) != bare).any(-1)
    for left in (0, 401):
        assert changed[80:280, left + 100].all()
        assert changed[80, left + 100 : left + 300].all()
        assert not changed[:, left + 50].any()
        assert changed[175:185, left + 195 : left + 205].all(), "the strength in its middle"
    assert not changed[90:150, 110:290].any()
    assert changed[90:150, 511:690].any()


def test_what_protects_and_what_strengthens_is_hatched_differently(view):
    view.set_mode("after")
    view.zoom_to(1.0, (0, 0))
    view.set_areas(Areas(1.0, PLACES))
    grey = shown(view).mean(-1)
    # The top parts of both rectangles: their labels are in the middle.
    protects, strengthens = grey[84:120, 104:196], grey[84:120, 264:356]
    assert protects.std() > 5
    assert (strengthens != 120).mean() > 1.5 * (protects != 120).mean()


def test_a_brush_is_outlined_at_its_radius_around_its_path(view):
    view.set_mode("after")
    view.zoom_to(1.0, (0, 0))
    bare = shown(view)
    view.set_areas(Areas(1.0, PLACES[2:]))
    rows, columns = np.nonzero((shown(view) != bare).any(-1))
    assert (rows.min(), rows.max()) == (pytest.approx(270, abs=2), pytest.approx(330, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(70, abs=2), pytest.approx(330, abs=2))


def test_places_are_told_by_the_description_and_gone_without_any(view):
    bare, said = shown(view), view.accessibleDescription()
    view.set_areas(Areas(1.0, PLACES))
    assert "3 places" in view.accessibleDescription()
    view.set_areas(Areas(0.5, ()))
    np.testing.assert_array_equal(shown(view), bare)
    view.set_areas(Areas(1.0, PLACES))
    view.set_areas(None)
    np.testing.assert_array_equal(shown(view), bare)
    assert view.accessibleDescription() == said


def test_places_far_outside_the_view_cost_nothing_and_break_nothing(view):
    view.zoom_to(32.0, (10, 10))
    bare = shown(view)
    far = Area("brush", ((1500, 900), (1590, 990)), 300.0, 0.0)
    view.set_areas(Areas(1.0, (*PLACES, far, Area("brush", (), 5.0))))
    np.testing.assert_array_equal(shown(view), bare)


@pytest.mark.parametrize(("zoom", "magnified"), [(0.1, 1.0), (0.99, 1.0), (1.0, 4.0), (2.0, 8.0), (20.0, 32.0)])
def test_the_lens_shows_100_percent_where_the_view_is_below_it_else_four_times_as_much(zoom, magnified):
    assert loupe_zoom(zoom) == magnified


def lens_pixels(view: CompareView, pixels: np.ndarray, square: QRect, x: int, y: int, zoom: int) -> None:
    """Compare the middle of a square of the lens with single pixels of a picture around (x, y)."""
    picture, middle, reach = shown(view), square.center(), 40
    # The pixel in the middle is framed.
    for row in range(-reach, reach):
        for column in (-reach, -3 * zoom, 3 * zoom, reach):
            pixel = pixels[(row + zoom // 2) // zoom + y, (column + zoom // 2) // zoom + x, 0]
            assert picture[middle.y() + row, middle.x() + column, 0] == pixel


def test_the_lens_shows_single_pixels_before_and_after_beside_each_other(view):
    before, after = noise(1000, 1600), noise(1000, 1600, seed=1)
    view.set_before(before)
    view.set_after(after)
    view.set_mode("after")
    view.zoom_to(1.0, (800, 500))
    view.set_loupe(True)
    QTest.mouseMove(view, QPoint(300, 260))
    x, y = view._last_cursor
    area = loupe_area(view.rect(), view._hover, 2, is_beside=False)
    side = area.height()
    left = QRect(area.left(), area.top(), side, side)
    lens_pixels(view, before, left, x, y, 4)
    lens_pixels(view, after, left.translated(side, 0), x, y, 4)


def test_without_a_cursor_the_lens_is_in_the_middle_of_the_view(view):
    view.set_mode("after")
    bare = shown(view)
    with_text = np.zeros(bare.shape[:2], bool)
    view.set_loupe(True)
    with_text |= (shown(view) != bare).any(-1)
    rows, columns = np.nonzero(with_text)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(250, abs=3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(400, abs=3)
    view.set_loupe(False)
    np.testing.assert_array_equal(shown(view), bare)


@pytest.mark.parametrize("place", [(3, 3), (798, 3), (3, 497), (798, 497), (400, 250)])
@pytest.mark.parametrize("is_beside", [False, True])
def test_the_lens_stays_inside_the_view(place, is_beside):
    whole = QRect(0, 0, 801, 500)
    assert whole.contains(loupe_area(whole, QPointF(*place), 2, is_beside=is_beside).adjusted(-3, -3, 3, 3))


def test_the_lens_follows_the_cursor_and_leaves_nothing_behind(view, qtbot):
    view.set_mode("after")
    view.set_loupe(True)
    for place in (QPoint(200, 150), QPoint(420, 300), QPoint(600, 200)):
        QTest.mouseMove(view, place)
        qtbot.wait(1)
    on_screen = view.grab().toImage()
    view.update()
    assert view.grab().toImage() == on_screen


def test_in_the_grid_the_lens_shows_the_result_under_the_cursor(view):
    view.set_before(flat(GREEN, 1000, 1600))
    view.set_grid(2)
    view.set_grid_picture(1, flat(BLUE, 1000, 1600))
    view.set_mode("grid")
    view.set_loupe(True)
    QTest.mouseMove(view, QPoint(600, 250))
    picture = shown(view)
    assert tuple(picture[250, 540]) == GREEN
    assert tuple(picture[250, 650]) == BLUE
    QTest.mouseMove(view, QPoint(200, 250))
    picture = shown(view)
    assert tuple(picture[250, 250]) == GREEN


def test_the_loupe_is_reported_and_described(view):
    said = []
    view.loupe_changed.connect(said.append)
    bare = view.accessibleDescription()
    view.set_loupe(True)
    view.set_loupe(True)
    assert view.loupe
    assert "lens" in view.accessibleDescription()
    view.set_loupe(False)
    assert said == [True, False]
    assert view.accessibleDescription() == bare


def test_the_empty_view_shows_a_picture_that_is_noisy_on_its_left_above_one_line(qtbot):
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(801, 500)
    view.set_colors("#202020", "#e0e0e0", "#3b8ed8")
    with_picture = shown(view)[..., 0].astype(int)
    view.set_hints("Drop pictures or a folder here", "")
    view.set_hints("Other", "")
    without = shown(view)[..., 0].astype(int)
    assert (with_picture != 32).sum() > 10 * (without != 32).sum()
    half = with_picture[160:270, 310:395], with_picture[160:270, 406:491]
    steps = [np.abs(np.diff(part, axis=1)).mean() for part in half]
    assert steps[0] > 5 * steps[1]


@pytest.mark.parametrize(("width", "height"), [(160, 120), (300, 700), (700, 180)])
@pytest.mark.parametrize("size", [9, 22])
def test_the_line_of_an_empty_view_is_never_cut_off(qtbot, width, height, size):
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(width, height)
    font = view.font()
    font.setPointSize(size)
    view.setFont(font)
    view.set_hints("Drop", "") if width == 160 else None
    drawn = shown(view)[..., 0].astype(int)
    edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert np.ptp(edge) == 0
    assert np.ptp(drawn) > 50


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_frame_of_a_motion_is_measured(view, motion):
    taken = frame_times(view, motion, 5)
    assert len(taken) == 5
    assert all(0 < frame < 1 for frame in taken)
    assert not view.loupe


def test_an_unknown_motion_is_refused(view):
    with pytest.raises(ValueError, match="wipe, turn, zoom"):
        frame_times(view, "spin")
