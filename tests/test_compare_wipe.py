from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from viewed import BLUE, GREEN, drag, flat, shown

from app.compare.view import CompareView
from app.compare.wipe import Wipe


@pytest.fixture
def view(qtbot) -> CompareView:
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(801, 500)
    view.show()
    qtbot.waitExposed(view)
    view.set_before(flat(GREEN, 1000, 1600))
    view.set_after(flat(BLUE, 1000, 1600))
    view.set_labels("", "")
    view.set_mode("wipe")
    view.zoom_to(3.0)
    return view


def sides(view: CompareView) -> np.ndarray:
    """(H, W): how far the centre of each pixel of the view is on the side of after, by the definition of the angle."""
    turn = math.radians(view.wipe_angle)
    normal = math.cos(turn), math.sin(turn)
    width, height = view.width(), view.height()
    reach = (abs(normal[0]) * width + abs(normal[1]) * height) / 2
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return (x - width / 2) * normal[0] + (y - height / 2) * normal[1] - (2 * view.wipe_position - 1) * reach


@pytest.mark.parametrize("position", [0.13, 0.5, 0.8])
@pytest.mark.parametrize("angle", [1, 17, 45, 89, 133, 200, 260, 315, 359.5])
def test_every_pixel_is_before_or_after_by_the_side_its_centre_is_on(view, monkeypatch, angle, position):
    monkeypatch.setattr(Wipe, "draw", lambda *_: None)
    view.set_wipe_angle(angle)
    view.set_wipe_position(position)
    picture, side = shown(view), sides(view)
    is_before, is_after = (picture == GREEN).all(-1), (picture == BLUE).all(-1)
    assert (is_before ^ is_after).all()
    # A centre within a hundredth of a pixel of the line may go either way.
    np.testing.assert_array_equal(is_after[abs(side) > 0.01], (side > 0)[abs(side) > 0.01])


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_an_upright_line_cuts_between_two_pixels(view, monkeypatch, angle):
    monkeypatch.setattr(Wipe, "draw", lambda *_: None)
    view.set_wipe_angle(angle)
    view.set_wipe_position(0.3)
    is_after = (shown(view) == BLUE).all(-1)
    np.testing.assert_array_equal(is_after[abs(sides(view)) > 1], (sides(view) > 0)[abs(sides(view)) > 1])
    assert is_after.mean() == pytest.approx(0.7, abs=0.002)


@pytest.mark.parametrize("angle", [0, 30, 90, 222])
@pytest.mark.parametrize(("position", "color"), [(0.0, BLUE), (1.0, GREEN)])
def test_at_its_ends_all_is_after_or_all_before(view, monkeypatch, angle, position, color):
    monkeypatch.setattr(Wipe, "draw", lambda *_: None)
    view.set_wipe_angle(angle)
    view.set_wipe_position(position)
    assert (shown(view) == color).all()


def test_turning_by_90_comes_back_after_four_times(view):
    view.set_wipe_position(0.5)
    seen = []
    for _ in range(4):
        view.turn_wipe()
        seen.append((view.wipe_angle, view.wipe_is_vertical))
    assert seen == [(90, False), (180, True), (270, False), (0, True)]
    view.turn_wipe(-30)
    assert view.wipe_angle == 330


def test_dragging_a_knob_turns_the_line_about_its_middle(view):
    drag(view, (400, 16), (700, 100))
    turned = math.degrees(math.atan2(700 - 400, 250 - 100))
    assert view.wipe_angle == pytest.approx(turned, abs=0.5)
    assert view.wipe_position == pytest.approx(0.5, abs=0.005)
    picture = shown(view)
    assert tuple(picture[40, 300]) == GREEN
    assert tuple(picture[460, 500]) == BLUE
    view.set_wipe_angle(0)
    drag(view, (400, 484), (100, 400))
    assert view.wipe_angle == pytest.approx(math.degrees(math.atan2(400 - 100, 400 - 250)), abs=0.5)


def test_a_dragged_line_takes_the_upright_and_the_diagonal_when_it_is_near(view):
    for near, snapped in (((407, 20), 0.0), ((633, 20), 45.0)):
        view.set_wipe_angle(0)
        drag(view, (400, 16), near)
        assert view.wipe_angle == snapped


def test_dragging_with_control_turns_from_anywhere(view):
    place = view.viewport()
    left, control = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier
    QTest.mousePress(view, left, control, QPoint(300, 100))
    QTest.mouseMove(view, QPoint(300, 200))
    QTest.mouseRelease(view, left, control, QPoint(300, 200))
    assert view.wipe_angle == pytest.approx(360 - math.degrees(math.atan2(100, 50)), abs=1)
    assert view.viewport() == place


@pytest.mark.parametrize("delta", [QPoint(0, 120), QPoint(120, 0)])
def test_the_wheel_turns_with_shift_also_where_the_system_makes_it_go_sideways(view, delta):
    zoom, place = view.zoom, QPointF(200, 200)
    shift = Qt.MouseButton.NoButton, Qt.KeyboardModifier.ShiftModifier, Qt.ScrollPhase.NoScrollPhase
    QApplication.sendEvent(view, QWheelEvent(place, view.mapToGlobal(place), QPoint(), delta, *shift, False))
    assert view.wipe_angle == 5
    assert view.zoom == zoom


def test_alt_and_the_arrow_keys_turn_the_line_and_shift_moves_it_the_way_they_point(view):
    key, alt, shift = Qt.Key, Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(view, key.Key_Right, alt)
    QTest.keyClick(view, key.Key_Down, alt)
    assert view.wipe_angle == 10
    assert "10 degrees" in view.accessibleDescription()
    QTest.keyClick(view, key.Key_Left, alt)
    assert view.wipe_angle == 5
    view.set_wipe_angle(180)
    QTest.keyClick(view, key.Key_Right, shift)
    assert view.wipe_position == pytest.approx(0.48)
    view.set_wipe_angle(90)
    QTest.keyClick(view, key.Key_Down, shift)
    assert view.wipe_position == pytest.approx(0.5)


@pytest.mark.parametrize("angle", [0, 20, 75, 90, 120, 180, 215, 270, 300])
def test_each_caption_stays_in_its_half(view, angle):
    view.set_wipe_angle(angle)
    bare, side = shown(view), sides(view)
    for labels, sign in ((("Before", ""), -1), (("", "After · 31.2 dB"), 1)):
        view.set_labels(*labels)
        changed = (shown(view) != bare).any(-1)
        assert changed.sum() > 500
        assert (sign * side[changed]).min() > 0


def test_the_line_can_be_moved_after_it_was_turned(view):
    view.set_wipe_angle(30)
    drag(view, (400, 250), (500, 250))
    assert view.wipe_angle == 30
    assert sides(view)[250, 500] == pytest.approx(0.5, abs=1)


def test_the_stroke_ends_at_the_edges_of_the_pane():
    wipe, pane = Wipe(), QRectF(0, 0, 800, 500)
    for angle in range(0, 360, 7):
        wipe.angle, wipe.position = float(angle), 0.4
        stroke = wipe.stroke(pane)
        for end in (stroke.p1(), stroke.p2()):
            assert min(abs(end.x()), abs(end.x() - 800), abs(end.y()), abs(end.y() - 500)) < 1e-6
            assert pane.adjusted(-1e-6, -1e-6, 1e-6, 1e-6).contains(end)
