from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QObject, QPoint, QPointF, QRect, Qt, QUrl
from PySide6.QtGui import QContextMenuEvent, QDragEnterEvent, QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from viewed import BLUE, GREEN, at, drag, flat, noise, shown, wheel

from app.compare.comparison import MODES
from app.compare.overlay import caption_lines
from app.compare.picture import Picture
from app.compare.view import CompareView
from app.pyramid import TILE, Pyramid


@pytest.fixture
def view(qtbot) -> CompareView:
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(801, 500)
    view.show()
    qtbot.waitExposed(view)
    return view


def area_averaged_std(std: float, zoom: float) -> float:
    """Std of white noise after a true area average, over all phases of the screen's grid; zoom at most 1."""
    per_axis = zoom * (1 - zoom / 3)
    return std * per_axis


@pytest.mark.parametrize("size", [(1, 1), (7, 11), (301, 517), (512, 768)])
def test_each_level_is_the_mean_of_the_pixels_it_covers(size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    pyramid = Pyramid(pixels)
    for index in range(1, 4):
        level, side = pyramid.level(index), 2**index
        assert level.shape == (math.ceil(size[0] / side), math.ceil(size[1] / side), 3)
        row, column = (size[0] // side) // 2, (size[1] // side) // 2
        covered = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        # Whole blocks only: an edge block is a mean of means, which weighs its pixels differently.
        if covered.shape[:2] == (side, side):
            assert np.abs(level[row, column] - covered.mean((0, 1))).max() <= 0.5 * index + 1e-6


def test_a_replacement_shows_and_leaves_the_given_array_and_the_copied_pyramid_as_they_are():
    pixels = noise(600, 700)
    given = pixels.copy()
    before = Pyramid(pixels)
    before.level(3)
    after = before.copy()
    assert np.shares_memory(after.pixels, pixels)
    after.replace(np.zeros((2, 2, 1), np.uint8), 300, 500)
    assert after.pixels[500, 300, 0] == 0
    np.testing.assert_array_equal(pixels, given)
    for index in range(4):
        np.testing.assert_array_equal(before.level(index), Pyramid(given).level(index))


def test_levels_made_after_a_replacement_show_it():
    pixels = noise(1301, 901)
    after = Pyramid(pixels).copy()
    changed = pixels.copy()
    for x, y, width, height in ((900, 0, 1, 700), (250, 1290, 300, 11), (255, 255, 2, 2)):
        after.replace(np.full((height, width, 1), 255, np.uint8), x, y)
        changed[y : y + height, x : x + width] = 255
    fresh = Pyramid(changed)
    for index in range(5):
        np.testing.assert_array_equal(after.level(index), fresh.level(index))


def test_a_part_of_a_level_is_the_same_part_of_the_whole_wherever_it_was_replaced():
    pixels = noise(900, 900)
    pyramid = Pyramid(pixels)
    pyramid.level(1)
    pyramid.replace(np.full((300, 10, 1), 7, np.uint8), 500, 200)
    rng = np.random.default_rng(0)
    for _ in range(50):
        index = int(rng.integers(0, 2))
        level = pyramid.level(index)
        top, bottom = sorted(rng.choice(level.shape[0] + 1, 2, replace=False))
        left, right = sorted(rng.choice(level.shape[1] + 1, 2, replace=False))
        part = pyramid.read(index, int(top), int(bottom), int(left), int(right))
        np.testing.assert_array_equal(part, level[top:bottom, left:right])


def test_the_first_region_of_a_large_picture_copies_no_more_than_its_own_blocks():
    pixels = np.zeros((8192, 8192, 1), np.uint8)
    before = Pyramid(pixels)
    before.make_all()
    after = before.copy()
    after.replace(np.ones((300, 300, 1), np.uint8), 1000, 1000)
    after.tile(0.1, 0, 0)
    written = sum(len(blocks) for blocks in after._changed)
    assert written <= 9 + 4 * before.levels_made


@pytest.mark.parametrize("region", [(0, 0, 1, 1), (37, 61, 100, 33), (399, 299, 2, 2), (0, 0, 401, 301)])
def test_replacing_a_region_changes_only_it_on_every_level(region):
    x, y, width, height = region
    pixels = noise(301, 401)
    pyramid = Pyramid(pixels)
    pyramid.level(6)
    before = [pyramid.level(index).copy() for index in range(7)]
    pyramid.replace(np.full((height, width, 1), 255, np.uint8), x, y)
    changed = pixels.copy()
    changed[y : y + height, x : x + width] = 255
    fresh = Pyramid(changed)
    for index in range(7):
        np.testing.assert_array_equal(pyramid.level(index), fresh.level(index))
        outside = np.ones(before[index].shape[:2], bool)
        side = 2**index
        outside[y // side : -(-(y + height) // side), x // side : -(-(x + width) // side)] = False
        np.testing.assert_array_equal(pyramid.level(index)[outside], before[index][outside])
    assert (pyramid.level(6) != before[6]).any() == (fresh.level(6) != before[6]).any()


@pytest.mark.parametrize("is_draft", [False, True])
@pytest.mark.parametrize("zoom", [0.05, 0.123, 0.25, 0.33, 0.5, 0.7, 0.99])
def test_tiles_cover_the_picture_once_and_lie_where_they_belong(zoom, is_draft):
    height, width = 1501, 2003
    y, x = np.mgrid[0:height, 0:width]
    ramp = np.stack([x * 255 / width, y * 255 / height, 0 * x], axis=-1).astype(np.uint8)
    pyramid = Pyramid(ramp)
    shown_width, shown_height = pyramid.shown_size(zoom)
    assert (shown_width, shown_height) == (math.ceil(width * zoom), math.ceil(height * zoom))
    whole = np.concatenate(
        [
            np.concatenate(
                [pyramid.tile(zoom, c, r, is_draft=is_draft) for c in range(-(-shown_width // TILE))], axis=1
            )
            for r in range(-(-shown_height // TILE))
        ]
    )
    assert whole.shape == (shown_height, shown_width, 3)
    # A screen pixel's middle shows the ramp's value there, within two screen pixels of ramp and the rounding.
    slack = 2 / zoom * 255 / min(width, height) + 2
    expected_x = np.minimum((np.arange(shown_width) + 0.5) / zoom, width) * 255 / width
    expected_y = np.minimum((np.arange(shown_height) + 0.5) / zoom, height) * 255 / height
    assert np.abs(whole[:, :, 0] - expected_x).max() <= slack
    assert np.abs(whole[:, :, 1] - expected_y[:, None]).max() <= slack


@pytest.mark.parametrize("is_draft", [False, True])
@pytest.mark.parametrize("zoom", [0.06, 0.12, 0.2, 0.24, 0.3, 0.4, 0.49, 0.6, 0.7, 0.9])
def test_a_tile_shows_the_noise_a_true_area_average_shows(zoom, is_draft):
    side = min(3000, math.ceil(TILE / zoom))
    tile = Pyramid(noise(side, side)).tile(zoom, 0, 0, is_draft=is_draft)
    assert tile.std() == pytest.approx(area_averaged_std(25, zoom), rel=0.25 if is_draft else 0.12)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_a_picture_of_another_kind_is_refused_with_a_sentence(view, pixels):
    with pytest.raises(ValueError, match="uint8"):
        view.set_before(pixels)


def test_noise_at_fit_looks_as_a_true_area_average_of_it(view):
    view.set_mode("after")
    view.set_after(noise(1800, 2400))
    assert view.zoom == pytest.approx(500 / 1800)
    assert view.judged_at_fit
    picture = shown(view)[60:440, 200:600, 0]
    assert picture.std() == pytest.approx(area_averaged_std(25, view.zoom), rel=0.1)


def test_noise_at_fit_while_zooming_settles_to_the_true_average(view, qtbot):
    view.set_mode("after")
    view.set_after(noise(1800, 2400))
    settled = shown(view)
    for _ in range(3):
        view.zoom_in()
        view.zoom_out()
    view.fit()
    shown(view)
    qtbot.waitUntil(lambda: np.array_equal(shown(view), settled), timeout=3000)


def test_at_100_percent_every_screen_pixel_is_one_picture_pixel(view):
    pixels = noise(1801, 2403)
    view.set_mode("after")
    view.set_after(pixels)
    view.zoom_to(1.0, (1000.3, 900.7))
    x0, y0, x1, y1 = view.viewport()
    assert (x1 - x0, y1 - y0) == (801, 500)
    np.testing.assert_array_equal(shown(view)[40:460, :, 0], pixels[y0 + 40 : y0 + 460, x0:x1, 0])
    assert not view.judged_at_fit


@pytest.mark.parametrize("zoom", [2, 5, 32])
def test_above_100_percent_every_picture_pixel_is_one_even_block(view, zoom):
    pixels = noise(700, 900)
    view.set_mode("after")
    view.set_after(pixels)
    view.zoom_to(zoom, (450, 350))
    x0, y0, x1, y1 = view.viewport()
    blocks = pixels[y0:y1, x0:x1, 0].repeat(zoom, axis=0).repeat(zoom, axis=1)
    picture = shown(view)[..., 0]
    left, top = (
        round((a - b) * zoom) for a, b in zip(view._place.visible().topLeft().toTuple(), (x0, y0), strict=True)
    )
    expected = blocks[top : top + 500, left : left + 801]
    np.testing.assert_array_equal(picture[40:460], expected[40:460])


@pytest.mark.parametrize("zoom", [0.21, 0.7, 1.0, 1.37, 4.0])
@pytest.mark.parametrize("mode", ["side", "stack"])
def test_both_panes_show_the_same_place_at_the_same_zoom(view, mode, zoom):
    pixels = noise(2000, 3000)
    view.set_labels("", "")
    view.set_before(pixels)
    view.set_after(pixels.copy())
    view.set_mode(mode)
    view.zoom_to(zoom, (1234, 777))
    wheel(view, 100, 100, 1)
    drag(view, (200, 150), (180, 90))
    picture = shown(view)
    # Without the hint in the bottom rows.
    panes = {"side": (picture[:450, :399], picture[:450, 401:800]), "stack": (picture[:200], picture[251:451])}
    np.testing.assert_array_equal(*panes[mode])


def test_wheel_keeps_the_place_under_the_cursor(view):
    view.set_mode("after")
    view.set_after(noise(2000, 3000))
    view.zoom_to(1.0)
    before = view.to_picture(QPointF(150, 120))
    wheel(view, 150, 120, 2)
    after = view.to_picture(QPointF(150, 120))
    assert view.zoom == 2.0
    assert abs(after.x() - before.x()) <= 0.5
    assert abs(after.y() - before.y()) <= 0.5


def test_wheel_stops_at_100_percent_on_its_way(view):
    view.set_before(noise(2000, 3000))
    passed = []
    view.zoom_changed.connect(passed.append)
    for _ in range(20):
        wheel(view, 100, 100, 1)
    assert 1.0 in passed
    assert passed[-1] == 32.0
    for _ in range(40):
        wheel(view, 100, 100, -1)
    assert passed.count(1.0) == 2
    assert passed[-1] == 0.01


def test_toggle_goes_from_fit_to_100_percent_at_the_cursor_and_back(view):
    view.set_mode("after")
    view.set_after(noise(2000, 3000))
    fitted = view.zoom
    under_cursor = view.to_picture(QPointF(300, 200))
    QTest.mouseDClick(view, Qt.MouseButton.LeftButton, pos=QPoint(300, 200))
    assert view.zoom == 1.0
    assert view.to_picture(QPointF(300, 200)).x() == pytest.approx(under_cursor.x(), abs=1)
    view.toggle_fit()
    assert view.zoom == fitted
    assert view.is_fitted


@pytest.mark.parametrize("zoom", [0.7, 3.0])
def test_wipe_shows_before_left_and_after_right_of_the_dragged_line(view, zoom):
    view.set_before(flat(GREEN, 2000, 3000))
    view.set_after(flat(BLUE, 2000, 3000))
    view.set_mode("wipe")
    view.zoom_to(zoom)
    drag(view, (400, 250), (200, 260))
    assert view.wipe_position == pytest.approx(200 / 801)
    picture = shown(view)[300]
    np.testing.assert_array_equal(picture[:196], np.broadcast_to(GREEN, (196, 3)))
    np.testing.assert_array_equal(picture[205:], np.broadcast_to(BLUE, (596, 3)))


def test_double_click_on_the_wipe_line_turns_it(view):
    view.set_before(flat(GREEN))
    view.set_after(flat(BLUE))
    view.set_mode("wipe")
    view.zoom_to(3.0)
    QTest.mouseDClick(view, Qt.MouseButton.LeftButton, pos=QPoint(400, 100))
    assert not view.wipe_is_vertical
    assert view.zoom == 3.0
    drag(view, (100, 250), (100, 400))
    assert at(view, 100, 380) == GREEN
    assert at(view, 700, 100) == GREEN
    assert at(view, 700, 420) == BLUE


def test_drag_beside_the_wipe_line_pans(view):
    view.set_before(flat(GREEN))
    view.set_after(flat(BLUE))
    view.set_mode("wipe")
    view.zoom_to(3.0)
    before = view.viewport()
    drag(view, (600, 250), (500, 250))
    assert view.wipe_position == 0.5
    assert view.viewport()[0] == pytest.approx(before[0] + 100 / 3, abs=1)


@pytest.mark.parametrize(("mode", "place"), [("side", (600, 250)), ("wipe", (700, 100)), ("after", (400, 250))])
def test_flip_shows_before_in_place_of_after(view, mode, place):
    view.set_before(flat(GREEN))
    view.set_after(flat(BLUE))
    view.set_mode(mode)
    assert at(view, *place) == BLUE
    view.flip()
    assert at(view, *place) == GREEN
    view.flip()
    assert at(view, *place) == BLUE
    view.show_original(True)
    view.show_original(True)
    assert at(view, *place) == GREEN
    view.show_original(False)
    assert at(view, *place) == BLUE


def test_updated_region_appears_and_nothing_else_changes(view):
    view.set_before(noise(1500, 2000))
    view.set_after(noise(1500, 2000, seed=1))
    view.set_mode("after")
    before = shown(view)
    view.update_after(np.full((300, 400, 1), 255, np.uint8), 800, 600)
    after = shown(view)
    rows, columns = np.nonzero((before != after).any(axis=-1))
    zoom, left = view.zoom, (801 - 2000 * view.zoom) / 2
    assert columns.min() == pytest.approx(left + 800 * zoom, abs=2)
    assert columns.max() == pytest.approx(left + 1200 * zoom, abs=2)
    assert rows.min() == pytest.approx(600 * zoom, abs=2)
    assert rows.max() == pytest.approx(900 * zoom, abs=2)


def test_first_updated_region_starts_from_the_before_picture_without_changing_it(view):
    before = flat(GREEN)
    view.set_before(before)
    view.update_after(np.full((300, 800, 3), BLUE, np.uint8), 0, 300)
    assert (before == GREEN).all()
    assert at(view, 600, 200) == GREEN
    assert at(view, 600, 300) == BLUE
    assert at(view, 200, 300) == GREEN


def test_update_repaints_its_own_part_of_the_screen_only(view, qtbot):
    class Painted(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.rect = QRect()

        def eventFilter(self, _target, event) -> bool:
            if event.type() == QEvent.Type.Paint:
                self.rect |= event.region().boundingRect()
            return False

    view.set_before(flat(GREEN))
    view.set_mode("after")
    view.set_after(flat(GREEN))
    view.zoom_to(1.0)
    qtbot.wait(200)
    painted = Painted()
    view.installEventFilter(painted)
    x0, y0, _, _ = view.viewport()
    view.update_after(np.full((50, 60, 3), BLUE, np.uint8), x0 + 100, y0 + 200)
    qtbot.waitUntil(lambda: not painted.rect.isEmpty())
    view.removeEventFilter(painted)
    assert painted.rect.contains(QRect(100, 200, 60, 50))
    assert QRect(90, 190, 80, 70).contains(painted.rect)


@pytest.mark.parametrize(
    ("region", "x", "y"), [((10, 10, 3), -1, 0), ((10, 10, 3), 795, 0), ((601, 1, 3), 0, 0), ((4, 4, 1), 0, 0)]
)
def test_region_that_does_not_fit_is_refused(view, region, x, y):
    view.set_after(flat(BLUE))
    with pytest.raises(ValueError, match="region"):
        view.update_after(np.zeros(region, np.uint8), x, y)


def test_update_without_any_picture_is_refused(view):
    with pytest.raises(ValueError, match="no picture"):
        view.update_after(np.zeros((2, 2, 3), np.uint8), 0, 0)


def test_after_picture_of_another_size_is_refused(view):
    view.set_before(flat(GREEN))
    with pytest.raises(ValueError, match="700x600"):
        view.set_after(flat(BLUE, width=700))


def test_viewport_is_reported_once_after_the_last_of_several_moves(view, qtbot):
    view.set_before(noise(2000, 3000))
    with qtbot.waitSignal(view.viewport_changed) as fitted:
        pass
    assert fitted.args == [(0, 0, 3000, 2000)]
    reports = []
    view.viewport_changed.connect(reports.append)
    view.zoom_to(1.0, (1500, 1000))
    view.pan(10, 0)
    with qtbot.waitSignal(view.viewport_changed):
        view.pan(10, 0)
    assert reports == [view.viewport()]
    x0, y0, x1, y1 = reports[0]
    assert (x1 - x0, y1 - y0) == (399, 500)
    assert (x0 + x1) / 2 == pytest.approx(1520, abs=1)
    assert all(type(value) is int for value in reports[0])
    with qtbot.waitSignal(view.viewport_changed) as resized:
        view.resize(900, 600)
    assert resized.args[0] == view.viewport()


def test_picture_of_the_same_size_keeps_zoom_and_place_and_another_size_is_fitted(view):
    view.set_before(noise(2000, 3000))
    view.zoom_to(2.0, (700, 800))
    place = view.viewport()
    view.set_after(noise(2000, 3000, seed=1))
    view.set_before(None)
    view.set_after(None)
    view.set_before(noise(2000, 3000, seed=2))
    assert (view.zoom, view.viewport()) == (2.0, place)
    view.set_before(noise(1000, 3000))
    assert view.is_fitted
    assert view.viewport() == (0, 0, 3000, 1000)


@pytest.mark.parametrize("mode", MODES)
def test_resizing_keeps_a_circle_round(view, mode):
    y, x = np.mgrid[0:1200, 0:1600]
    disc = ((y - 600) ** 2 + (x - 800) ** 2 < 400**2)[..., None] * np.uint8(255)
    view.set_labels("", "")
    view.set_colors("black", "black", "black")
    view.set_after(disc)
    view.set_before(disc)
    view.set_grid_picture(0, disc)
    view.set_mode(mode)
    view.set_wipe_position(-1)
    for width, height in ((801, 500), (500, 801), (401, 400), (1203, 377)):
        view.resize(width, height)
        pane_width = (width - 2) // 2 if mode == "side" else width
        pane_height = (height - 2) // 2 if mode == "stack" else height
        assert view.zoom == pytest.approx(min(pane_width / 1600, pane_height / 1200))
        # Without the wipe line at the left and the hint at the bottom, which are bright too.
        bright = shown(view)[: min(pane_height, height - 40), 16:pane_width, 0] > 128
        rows, columns = np.nonzero(bright)
        assert np.ptp(rows) + 1 == pytest.approx(800 * view.zoom, abs=2)
        assert np.ptp(columns) + 1 == pytest.approx(800 * view.zoom, abs=2)


def test_small_picture_is_enlarged_by_a_whole_factor_at_fit(view):
    view.set_mode("after")
    view.set_after(noise(120, 150))
    assert view.zoom == 4.0


def test_no_part_of_the_view_is_empty_while_the_picture_is_larger(view):
    view.set_mode("after")
    view.set_after(flat(BLUE, 2000, 3000))
    view.zoom_to(1.0)
    view.pan(-1e6, 1e6)
    assert view.viewport() == (0, 1500, 801, 2000)
    view.pan(1e6, -1e6)
    assert view.viewport() == (2199, 0, 3000, 500)


def test_arrow_keys_pan_and_are_left_to_the_window_at_the_edge(qtbot):
    class Window(QWidget):
        keys: list[int]

        def keyPressEvent(self, event) -> None:
            self.keys.append(event.key())

    window = Window()
    window.keys = []
    qtbot.addWidget(window)
    view = CompareView(window)
    view.resize(400, 300)
    window.show()
    view.set_mode("after")
    view.set_after(noise(1000, 1000))
    view.zoom_to(1.0, (0, 0))
    QTest.keyClick(view, Qt.Key.Key_Right)
    assert view.viewport() == (50, 0, 450, 300)
    QTest.keyClick(view, Qt.Key.Key_Up)
    QTest.keyClick(view, Qt.Key.Key_F)
    assert window.keys == [Qt.Key.Key_Up, Qt.Key.Key_F]


def test_shift_and_arrow_keys_move_the_wipe_line(view):
    view.set_before(flat(GREEN))
    view.set_after(flat(BLUE))
    view.set_mode("wipe")
    QTest.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert view.wipe_position == pytest.approx(0.52)
    for _ in range(60):
        QTest.keyClick(view, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert view.wipe_position == 0.0


def test_cursor_reports_the_pixel_under_it_in_either_pane_and_none_outside(view):
    view.set_before(flat(GREEN, 500, 399))
    view.zoom_to(1.0)
    places = []
    view.cursor_moved.connect(places.append)
    for x in (100, 501):
        QTest.mouseMove(view, QPoint(x, 70))
    view.resize(1001, 500)
    QTest.mouseMove(view, QPoint(5, 70))
    assert places == [(100, 70), None]


def test_mode_is_reported_and_an_unknown_one_refused(view, qtbot):
    with qtbot.waitSignal(view.mode_changed) as changed:
        view.set_mode("stack")
    assert changed.args == ["stack"]
    assert view.mode == "stack"
    with pytest.raises(ValueError, match="side, stack, wipe, after"):
        view.set_mode("sideways")


def test_view_without_after_says_so_beside_but_shows_before_where_there_is_one_pane(view):
    view.set_before(flat(GREEN))
    assert at(view, 200, 250) == GREEN
    assert at(view, 600, 300) != GREEN
    view.set_mode("wipe")
    assert at(view, 200, 250) == at(view, 600, 250) == GREEN
    view.set_mode("after")
    assert at(view, 400, 250) == GREEN


def test_an_empty_view_says_what_it_was_told_to(view):
    view.set_hints("", "")
    nothing = view.grab().toImage()
    view.set_hints("Denoising", "")
    assert view.grab().toImage() != nothing


def test_empty_view_has_no_viewport_and_ignores_zoom_and_pan(view):
    assert view.viewport() is None
    assert not view.judged_at_fit
    wheel(view, 100, 100, 3)
    drag(view, (100, 100), (200, 200))
    view.fit()
    view.toggle_fit()
    assert view.viewport() is None
    assert shown(view).std() > 1, "the invitation to drop pictures is drawn"


@pytest.mark.parametrize("room", [60, 90, 130, 220, 1000])
def test_a_caption_says_all_in_a_narrow_pane_and_no_line_is_wider_than_it(view, room):
    metrics = view.fontMetrics()
    text = "Spread over the passes, not error × 5.7\n1  R2R · alpha auto · Strength 100 %"
    lines = caption_lines(text, metrics, room)
    assert " ".join(lines).replace(" · ", " ").split() == text.replace(" · ", " ").split()
    assert all(metrics.horizontalAdvance(line) <= room or " " not in line for line in lines)
    assert (len(lines) == 2) is (metrics.horizontalAdvance("Spread over the passes, not error × 5.7") <= room)


def test_a_caption_breaks_between_two_facts_before_it_breaks_between_words(view):
    metrics = view.fontMetrics()
    room = metrics.horizontalAdvance("After · PSNR 31")
    assert caption_lines("After · PSNR 31.39 dB", metrics, room) == ["After", "PSNR 31.39 dB"]


def test_captions_are_drawn_and_flip_changes_the_second(view):
    view.set_before(flat(GREEN))
    view.set_after(flat(GREEN))
    view.zoom_to(1.0)
    view.set_labels("", "")
    bare = shown(view)
    view.set_labels("Before", "After · estimated 31.2 dB ± 0.1")
    captioned = shown(view)
    changed = (bare != captioned).any(axis=-1)
    assert changed[:50, :100].any()
    assert changed[:50, 410:600].any()
    assert not changed[60:].any()
    view.flip()
    assert (shown(view)[:50, 410:] != captioned[:50, 410:]).any()


def test_colors_follow_the_palette_unless_they_are_set(view):
    palette = view.palette()
    for name, grey in (("#19232d", 35), ("#ffffff", 215)):
        palette.setColor(palette.ColorRole.Window, name)
        view.setPalette(palette)
        assert at(view, 5, 5) == (grey, grey, grey)
    view.set_colors("#102030", "#ffffff", "#ff0000")
    assert at(view, 5, 5) == (16, 32, 48)
    view.follow_palette()
    assert at(view, 5, 5) == (215, 215, 215)


def test_drops_and_context_menus_reach_the_window(qtbot, tmp_path):
    class Window(QWidget):
        seen: list[str]

        def dragEnterEvent(self, event) -> None:
            self.seen.append("drag")
            event.acceptProposedAction()

        def contextMenuEvent(self, event) -> None:
            self.seen.append("menu")

    window = Window()
    window.seen = []
    window.setAcceptDrops(True)
    qtbot.addWidget(window)
    view = CompareView(window)
    window.show()
    target = view
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.png"))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, data, left, none)
    event.ignore()
    QApplication.sendEvent(target, event)
    menu = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, QPoint(50, 50), target.mapToGlobal(QPoint(50, 50)))
    QApplication.sendEvent(target, menu)
    assert window.seen == ["drag", "menu"]


def test_view_has_a_name_for_screen_readers_that_tells_the_mode(view):
    assert view.accessibleName()
    descriptions = set()
    for mode in MODES:
        view.set_mode(mode)
        descriptions.add(view.accessibleDescription())
    assert len(descriptions) == len(MODES)


PIXEL_RATIO_2 = """
import numpy as np
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from app.compare.view import CompareView

app = QApplication([])
view = CompareView()
view.resize(400, 300)
view.show()
app.processEvents()
assert view.devicePixelRatioF() == 2.0
pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000, 1), dtype=np.uint8)
view.set_labels("", "")
view.set_mode("after")
view.set_after(pixels)
assert view.zoom == 0.4, view.zoom
view.zoom_to(1.0, (1000, 750))
assert view.viewport() == (600, 450, 1400, 1050), view.viewport()
image = view.grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
assert (image.width(), image.height()) == (800, 600)
shown = np.frombuffer(image.constBits(), np.uint8).reshape(600, image.bytesPerLine())[:, :800]
np.testing.assert_array_equal(shown, pixels[450:1050, 600:1400, 0])
print("exact")
"""


def test_100_percent_is_one_device_pixel_per_picture_pixel_on_a_screen_of_ratio_2():
    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run(
        [sys.executable, "-c", PIXEL_RATIO_2],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.stdout.strip() == "exact", result.stderr


def test_many_tiles_are_a_draft_first_and_drawn_well_a_few_at_a_time(qtbot):
    picture = Picture(noise(3000, 4000))
    image = QImage(1300, 1000, QImage.Format.Format_RGB32)
    visible, drawn, rendered = QRect(0, 0, 1300, 1000), [], []
    original = picture._rendered

    def counted(key, *, is_draft):
        rendered.append(is_draft)
        return original(key, is_draft=is_draft)

    picture._rendered = counted
    for _ in range(20):
        rendered.clear()
        painter = QPainter(image)
        is_final = picture.draw(painter, 0.3, QPoint(0, 0), visible, is_draft=False)
        painter.end()
        assert rendered.count(False) <= 4
        drawn.append(image.copy())
        if is_final:
            break
    assert 1 < len(drawn) < 10
    assert drawn[0] != drawn[-1]
    painter = QPainter(image)
    assert picture.draw(painter, 0.3, QPoint(0, 0), visible, is_draft=True)
    painter.end()
    assert image == drawn[-1], "what was drawn well stays so while the picture moves"


def test_the_view_goes_on_by_itself_until_all_is_drawn_well(view, qtbot):
    view.resize(1200, 900)
    view.set_before(noise(3000, 4000))
    view.set_mode("after")
    picture = view._before
    qtbot.waitUntil(lambda: bool(picture._tiles) and not picture._drafts, timeout=5000)
    before = shown(view)
    qtbot.wait(200)
    assert np.array_equal(shown(view), before)
