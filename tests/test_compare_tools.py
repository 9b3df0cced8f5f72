from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from viewed import BLUE, GREEN, drag, flat, shown

from app.compare.tools import TOOLS
from app.compare.view import CompareView
from engine.areas import Area

LEFT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton
NONE, SHIFT, ALT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
Key = Qt.Key


@pytest.fixture
def view(qtbot) -> CompareView:
    """At 100 % with the picture's pixel (0, 0) in the view's corner, so that both count alike."""
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(801, 500)
    view.show()
    qtbot.waitExposed(view)
    view.set_mode("after")
    view.set_before(flat(GREEN, 1000, 1600))
    view.set_after(flat(BLUE, 1000, 1600))
    view.zoom_to(1.0, (0, 0))
    return view


def reported(signal) -> list:
    """What a signal says from now on."""
    said = []
    signal.connect(said.append)
    return said


def test_a_tool_is_reported_and_an_unknown_one_refused(view):
    said = reported(view.tool_changed)
    for tool in (*TOOLS, "pan"):
        view.set_tool(tool)
        assert view.tool == tool
    assert said == ["region", "line", "brush", "rectangle", "pan"]
    with pytest.raises(ValueError, match="pan, region, line, brush, rectangle"):
        view.set_tool("lasso")


@pytest.mark.parametrize("ends", [((100, 80), (300, 200)), ((300, 80), (100, 200)), ((300, 200), (100, 80))])
def test_a_region_is_drawn_from_any_corner(view, ends):
    said = reported(view.region_changed)
    view.set_tool("region")
    drag(view, *ends)
    assert view.region == said[-1] == (100, 80, 300, 200)
    assert all(type(value) is int for value in view.region)
    assert len(said) > 2, "it is reported while it is dragged"


@pytest.mark.parametrize(
    ("start", "end", "region"),
    [
        ((200, 150), (230, 140), (130, 70, 330, 190)),
        ((100, 80), (90, 60), (90, 60, 300, 200)),
        ((300, 80), (310, 60), (100, 60, 310, 200)),
        ((301, 201), (311, 221), (100, 80, 310, 220)),
        ((100, 150), (50, 190), (50, 80, 300, 200)),
        ((200, 201), (220, 251), (100, 80, 300, 250)),
        ((100, 150), (350, 150), (300, 80, 350, 200)),
        ((200, 150), (5, 5), (0, 0, 200, 120)),
        ((400, 300), (500, 350), (400, 300, 500, 350)),
    ],
    ids=["inside", "corner", "other corner", "last corner", "left", "bottom", "through", "edge of the picture", "anew"],
)
def test_a_region_is_moved_by_its_inside_its_sides_and_its_corners(view, start, end, region):
    view.set_tool("region")
    view.set_region((100, 80, 300, 200))
    drag(view, start, end)
    assert view.region == region


def test_a_click_beside_the_region_removes_it_and_one_inside_does_not(view):
    view.set_tool("region")
    view.set_region((100, 80, 300, 200))
    QTest.mouseClick(view, LEFT, pos=QPoint(200, 150))
    assert view.region == (100, 80, 300, 200)
    QTest.mouseClick(view, LEFT, pos=QPoint(500, 400))
    assert view.region is None


def test_a_region_is_kept_inside_the_picture_in_whole_pixels(view):
    said = reported(view.region_changed)
    view.set_region((1700.4, 20.6, 1500.2, -5))
    assert view.region == (1500, 0, 1600, 21)
    view.set_region((10, 10, 10, 10))
    assert view.region == (10, 10, 11, 11)
    view.set_region((10, 10, 11, 11))
    view.set_region((2000, 10, 2100, 20))
    assert said == [(1500, 0, 1600, 21), (10, 10, 11, 11), None]


def test_a_line_is_drawn_moved_and_its_ends_dragged(view):
    said = reported(view.line_changed)
    view.set_tool("line")
    drag(view, (100, 100), (300, 200))
    assert said[-1] == view.line == (100.0, 100.0, 300.0, 200.0)
    assert all(type(value) is float for value in view.line)
    drag(view, (300, 200), (320, 250))
    assert view.line == (100.0, 100.0, 320.0, 250.0)
    drag(view, (100, 100), (90, 90))
    assert view.line == (90.0, 90.0, 320.0, 250.0)
    drag(view, (205, 170), (215, 180))
    assert view.line == (100.0, 100.0, 330.0, 260.0)
    QTest.mouseClick(view, LEFT, pos=QPoint(600, 50))
    assert view.line is None


def test_a_rectangle_is_reported_once_as_a_place_without_strength(view):
    said = reported(view.place_drawn)
    view.set_tool("rectangle")
    drag(view, (300, 200), (100, 80))
    assert said == [Area("rectangle", ((100.0, 80.0), (300.0, 200.0)), 0.0)]
    assert view.region is None
    QTest.mouseClick(view, LEFT, pos=QPoint(500, 400))
    assert len(said) == 1


def test_a_stroke_is_reported_with_fewer_points_near_to_where_the_mouse_was(view):
    said = reported(view.place_drawn)
    view.set_tool("brush")
    view.set_brush_radius(20)
    path = [(100 + 3 * step, 200 + 60 * math.sin(step / 12)) for step in range(120)]
    QTest.mousePress(view, LEFT, NONE, QPoint(100, 200))
    for x, y in path:
        QTest.mouseMove(view, QPoint(round(x), round(y)))
    QTest.mouseRelease(view, LEFT, NONE, QPoint(*(round(value) for value in path[-1])))
    (place,) = said
    assert (place.shape, place.radius) == ("brush", 20.0)
    assert 5 < len(place.points) < 40
    points = np.array(place.points)
    for start, (x, y) in itertools.pairwise(points):
        assert math.hypot(x - start[0], y - start[1]) > 2
    for x, y in path:
        pieces = itertools.pairwise(points)
        assert min(_distance((x, y), first, last) for first, last in pieces) < 5


def _distance(point, first, last) -> float:
    along = np.subtract(last, first)
    share = np.clip(np.dot(np.subtract(point, first), along) / np.dot(along, along), 0, 1)
    return float(np.hypot(*(np.subtract(point, first) - share * along)))


def test_a_click_with_the_brush_is_a_dab_and_beside_the_picture_nothing(view):
    view.zoom_to(0.25)
    said = reported(view.place_drawn)
    view.set_tool("brush")
    view.set_brush_radius(5)
    QTest.mouseClick(view, LEFT, pos=view.rect().center())
    assert len(said[0].points) == 1
    QTest.mouseClick(view, LEFT, pos=QPoint(5, 5))
    assert len(said) == 1


def test_a_stroke_is_seen_while_it_is_painted_and_the_brush_where_the_cursor_is(view):
    view.set_tool("brush")
    view.set_brush_radius(20)
    QTest.mouseMove(view, QPoint(700, 450))
    bare = shown(view)
    assert (bare[425:475, 675:725] != BLUE).any()
    QTest.mousePress(view, LEFT, NONE, QPoint(200, 200))
    QTest.mouseMove(view, QPoint(300, 200))
    painted = (shown(view) != bare).any(-1)
    assert painted[190:210, 200:300].all()
    assert not painted[230:, 200:300].any()
    QTest.mouseRelease(view, LEFT, NONE, QPoint(300, 200))


def test_the_radius_of_the_brush_has_limits(view):
    for radius, kept in ((0, 1.0), (33.5, 33.5), (1e6, 2000.0)):
        view.set_brush_radius(radius)
        assert view.brush_radius == kept


def test_a_drag_that_leads_into_the_other_pane_goes_on_in_its_own(view):
    view.set_mode("side")
    view.zoom_to(1.0, (0, 0))
    view.set_tool("region")
    drag(view, (300, 100), (450, 200))
    assert view.region == (300, 100, 450, 200)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_middle_button_and_the_space_bar_pan_with_any_tool(view, tool):
    view.set_tool(tool)
    said = [reported(signal) for signal in (view.region_changed, view.line_changed, view.place_drawn)]
    QTest.mousePress(view, MIDDLE, NONE, QPoint(300, 200))
    QTest.mouseMove(view, QPoint(250, 180))
    QTest.mouseRelease(view, MIDDLE, NONE, QPoint(250, 180))
    assert view.viewport()[:2] == (50, 20)
    QTest.keyPress(view, Key.Key_Space)
    drag(view, (300, 200), (250, 180))
    QTest.keyRelease(view, Key.Key_Space)
    assert view.viewport()[:2] == (100, 40)
    assert said == [[], [], []]
    if tool == "region":
        drag(view, (300, 200), (350, 280))
        assert view.region == (400, 240, 450, 320)


def test_escape_first_gives_up_what_is_being_drawn_and_then_the_tool(view):
    view.set_tool("region")
    view.set_region((100, 80, 300, 200))
    QTest.mousePress(view, LEFT, NONE, QPoint(200, 150))
    QTest.mouseMove(view, QPoint(260, 190))
    assert view.region == (160, 120, 360, 240)
    QTest.keyClick(view, Key.Key_Escape)
    assert (view.region, view.tool) == ((100, 80, 300, 200), "region")
    QTest.mouseRelease(view, LEFT, NONE, QPoint(260, 190))
    QTest.keyClick(view, Key.Key_Escape)
    assert (view.region, view.tool) == ((100, 80, 300, 200), "pan")


def test_keys_make_move_and_remove_a_region(view):
    view.set_tool("region")
    QTest.keyClick(view, Key.Key_Right, ALT)
    x0, y0, x1, y1 = view.region
    assert (x0 + x1) / 2 == pytest.approx(400, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(250, abs=2)
    QTest.keyClick(view, Key.Key_Right, ALT)
    QTest.keyClick(view, Key.Key_Up, ALT)
    assert view.region == (x0 + 8, y0 - 8, x1 + 8, y1 - 8)
    QTest.keyClick(view, Key.Key_Left, ALT | SHIFT)
    QTest.keyClick(view, Key.Key_Down, ALT | SHIFT)
    assert view.region == (x0 + 8, y0 - 8, x1, y1)
    QTest.keyClick(view, Key.Key_Delete)
    assert view.region is None


def test_a_key_moves_by_single_pixels_when_zoomed_in(view):
    view.set_tool("region")
    view.zoom_to(8.0, (50, 40))
    view.set_region((40, 30, 60, 50))
    QTest.keyClick(view, Key.Key_Right, ALT)
    assert view.region == (41, 30, 61, 50)


def test_keys_make_move_and_remove_a_line(view):
    view.set_tool("line")
    QTest.keyClick(view, Key.Key_Down, ALT)
    x0, y0, x1, y1 = view.line
    assert y0 == y1
    assert x1 - x0 == pytest.approx(801 / 3, abs=1)
    QTest.keyClick(view, Key.Key_Down, ALT)
    QTest.keyClick(view, Key.Key_Down, ALT | SHIFT)
    assert view.line == (x0, y0 + 8, x1, y1 + 16)
    QTest.keyClick(view, Key.Key_Delete)
    assert view.line is None


def test_keys_set_a_rectangle_and_a_dab(view):
    said = reported(view.place_drawn)
    view.set_tool("rectangle")
    QTest.keyClick(view, Key.Key_Return)
    assert said == []
    QTest.keyClick(view, Key.Key_Right, ALT)
    assert said == []
    QTest.keyClick(view, Key.Key_Return)
    assert said[0].shape == "rectangle"
    view.set_tool("brush")
    QTest.keyClick(view, Key.Key_Right, ALT)
    QTest.keyClick(view, Key.Key_Down, ALT)
    QTest.keyClick(view, Key.Key_Return)
    assert said[1] == Area("brush", ((408.5, 258.0),), view.brush_radius)


def test_a_brush_moved_by_key_is_with_the_mouse_again_once_that_moves(view):
    said = reported(view.place_drawn)
    view.set_tool("brush")
    QTest.keyClick(view, Key.Key_Right, ALT)
    QTest.mouseMove(view, QPoint(100, 100))
    QTest.keyClick(view, Key.Key_Return)
    assert said == []


def test_a_rectangle_moved_by_key_is_gone_with_its_tool(view):
    said = reported(view.place_drawn)
    view.set_tool("rectangle")
    QTest.keyClick(view, Key.Key_Right, ALT)
    view.set_tool("brush")
    view.set_tool("rectangle")
    QTest.keyClick(view, Key.Key_Return)
    assert said == []


def test_keys_that_mean_nothing_now_go_to_the_window(qtbot):
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
    sent = (Key.Key_Escape, Key.Key_Return, Key.Key_Delete, Key.Key_Space, Key.Key_BracketLeft)
    for pictures in (None, flat(BLUE)):
        view.set_before(pictures)
        for key in sent:
            QTest.keyClick(view, key)
    assert window.keys == [*sent, *sent]
    view.set_tool("region")
    for key in sent:
        QTest.keyClick(view, key)
        view.set_tool("region")
    assert window.keys[10:] == [Key.Key_Return, Key.Key_BracketLeft]


@pytest.mark.parametrize(("tool", "is_kept"), [("pan", False), ("region", True)])
def test_escape_is_kept_from_the_shortcuts_of_the_window_only_while_a_tool_is_in_use(view, tool, is_kept):
    view.set_tool(tool)
    asked = QKeyEvent(QEvent.Type.ShortcutOverride, Key.Key_Escape, NONE)
    asked.ignore()
    QApplication.sendEvent(view, asked)
    assert asked.isAccepted() is is_kept


def test_region_and_line_stay_with_a_picture_of_the_same_size_and_go_with_another(view):
    view.set_region((100, 80, 300, 200))
    view.set_line((10, 20, 30, 40))
    view.set_before(flat(BLUE, 1000, 1600))
    assert (view.region, view.line) == ((100, 80, 300, 200), (10.0, 20.0, 30.0, 40.0))
    said = reported(view.region_changed), reported(view.line_changed)
    view.set_before(flat(BLUE, 500, 600))
    assert (view.region, view.line) == (None, None)
    assert said == ([None], [None])


def test_region_and_line_are_drawn_where_they_are_in_every_pane(view):
    view.set_mode("side")
    view.zoom_to(1.0, (0, 0))
    bare = shown(view)
    view.set_region((100, 180, 300, 300))
    changed = (shown(view) != bare).any(-1)
    for left in (0, 401):
        columns = np.flatnonzero(changed[240, left : left + 399])
        assert set(columns // 10) <= {9, 10, 29, 30}
        assert changed[180:300, left + 100].all()
        assert not changed[185:295, left + 105 : left + 295].any()
    view.set_region(None)
    view.set_line((50, 400, 350, 450))
    changed = (shown(view) != bare).any(-1)
    for left in (0, 401):
        assert all(changed[400 + step // 6, left + 50 + step] for step in range(0, 300, 7))


def test_the_wipe_line_can_be_moved_by_its_grip_with_a_tool_in_use(view):
    view.set_mode("wipe")
    view.set_tool("region")
    drag(view, (400, 250), (200, 250))
    assert view.region is None
    assert view.wipe_position == pytest.approx(200 / 801, abs=0.01)
    drag(view, (200, 100), (300, 150))
    assert view.region == (200, 100, 300, 150)


def test_without_a_picture_tools_draw_nothing(qtbot):
    view = CompareView()
    qtbot.addWidget(view)
    view.show()
    view.set_region((1, 2, 3, 4))
    for tool in TOOLS:
        view.set_tool(tool)
        drag(view, (50, 50), (100, 100))
        QTest.keyClick(view, Key.Key_Right, ALT)
        QTest.keyClick(view, Key.Key_Return)
    assert view.region is view.line is None


def test_the_description_says_the_tool_what_it_drew_and_its_keys(view):
    view.set_tool("region")
    view.set_region((100, 80, 300, 200))
    assert "Region tool" in view.accessibleDescription()
    assert "200 × 120" in view.accessibleDescription()
    assert "Escape" in view.accessibleDescription()
    said = set()
    for tool in TOOLS:
        view.set_tool(tool)
        said.add(view.accessibleDescription())
    assert len(said) == len(TOOLS)


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        ((200, 150), Qt.CursorShape.SizeAllCursor),
        ((100, 80), Qt.CursorShape.SizeFDiagCursor),
        ((300, 80), Qt.CursorShape.SizeBDiagCursor),
        ((100, 140), Qt.CursorShape.SizeHorCursor),
        ((200, 200), Qt.CursorShape.SizeVerCursor),
        ((500, 400), Qt.CursorShape.CrossCursor),
    ],
)
def test_the_cursor_says_what_a_press_would_do(view, place, shape):
    view.set_tool("region")
    view.set_region((100, 80, 300, 200))
    QTest.mouseMove(view, QPoint(*place))
    assert view.cursor().shape() == shape
