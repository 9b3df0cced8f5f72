from __future__ import annotations

from dataclasses import dataclass

import pytest
from opened import install_models
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.controls import STRENGTH, Controls, ParamControl
from app.jobs import Catalog, MethodInfo
from app.settings import Settings
from app.workspace import Workspace
from engine.params import param, specs


@dataclass(frozen=True)
class MadeUp:
    rounds: int = param(2, 1, 64, "Rounds", step=1, stops=(1, 2, 4, 8), help="How often.")
    gain: float = param(0.5, 0.0, 2.0, "Gain", step=0.25, unit=" x", help="How much.")
    level: float | None = param(None, 0.0, 1.0, "Level", scale=255.0, step=0.1 / 255)


ROUNDS, GAIN, LEVEL = specs(MadeUp)


@pytest.fixture
def control(qtbot):
    """Makes a control and the list of what it emits."""

    def make(spec):
        made, emitted = ParamControl(spec), []
        qtbot.addWidget(made)
        made.value_changed.connect(lambda name, value: emitted.append((name, value)))
        made.reset.connect(lambda name: emitted.append((name, "reset")))
        made.show()
        return made, emitted

    return make


def test_a_control_shows_label_default_unit_and_help(control):
    made, emitted = control(GAIN)
    assert made.label.text() == "Gain"
    assert made.spin.text() == "0.50 x"
    assert "How much." in made.slider.toolTip()
    assert made.slider.accessibleName() == "Gain"
    assert not made.automatic.isVisible()
    assert emitted == []


def test_the_slider_stops_at_the_declared_values(control):
    made, emitted = control(ROUNDS)
    assert made.slider.maximum() == 3
    made.slider.setValue(3)
    assert emitted == [("rounds", 8)]
    assert isinstance(emitted[0][1], int)
    assert made.spin.value() == 8


def test_the_number_takes_values_between_the_stops(control):
    made, emitted = control(ROUNDS)
    made.spin.setValue(6)
    assert emitted == [("rounds", 6)]
    assert made.slider.value() in (2, 3)


def test_a_slider_moves_in_steps_of_the_spec(control):
    made, emitted = control(GAIN)
    QTest.keyClick(made.slider, Qt.Key.Key_Right)
    assert emitted == [("gain", 0.75)]


def test_a_scaled_value_is_shown_scaled_and_emitted_plain(control):
    made, emitted = control(LEVEL)
    made.spin.setValue(25.5)
    name, value = emitted[-1]
    assert (name, value) == ("level", pytest.approx(0.1))
    assert made.spin.decimals() == 1


def test_every_position_of_the_slider_can_be_reached_again(control):
    made, _ = control(LEVEL)
    for position in range(0, made.slider.maximum() + 1, 37):
        made.slider.setValue(position)
        value = made.value
        made.set_value(value)
        assert made.value == value
        # Several positions round to one value at the fine end; the slider never jumps by more than they span.
        assert abs(made.slider.value() - position) <= 40


def test_an_automatic_value_shows_what_was_measured_and_a_dash_before(control):
    made, emitted = control(LEVEL)
    assert made.automatic.isChecked()
    assert made.spin.text() == "–"
    made.set_value(None, 0.1)
    assert made.spin.text() == "25.5"
    assert made.automatic.isChecked()
    assert emitted == []


def test_moving_the_slider_ends_automatic_and_ticking_brings_it_back(control):
    made, emitted = control(LEVEL)
    made.set_value(None, 0.1)
    made.spin.setValue(30.0)
    assert not made.automatic.isChecked()
    made.automatic.setChecked(True)
    assert emitted[-1] == ("level", None)
    made.automatic.setChecked(False)
    assert emitted[-1] == ("level", pytest.approx(0.1))


@pytest.mark.parametrize("part", ["label", "slider"])
def test_a_double_click_asks_for_a_reset(control, part):
    made, emitted = control(GAIN)
    QTest.mouseDClick(getattr(made, part), Qt.MouseButton.LeftButton)
    assert ("gain", "reset") in emitted


def test_the_wheel_turns_only_what_has_the_focus(control, qtbot):
    made, emitted = control(GAIN)
    made.label.setFocus()

    def turn():
        place = QPointF(made.slider.rect().center())
        event = QWheelEvent(
            place,
            QPointF(made.slider.mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(made.slider, event)

    turn()
    assert emitted == []
    made.activateWindow()
    made.slider.setFocus()
    qtbot.waitUntil(made.slider.hasFocus)
    turn()
    assert [name for name, _ in emitted] == ["gain"]


def test_strength_is_shown_in_percent(control):
    made, emitted = control(STRENGTH)
    assert made.spin.text() == "100 %"
    made.spin.setValue(50)
    assert emitted == [("strength", 0.5)]


@pytest.fixture
def controls(qtbot):
    install_models()
    workspace = Workspace(Settings())
    panel = Controls(workspace)
    qtbot.addWidget(panel)
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=20_000)
    methods = (MethodInfo("made", "Made up", "", specs(MadeUp)), MethodInfo("bare", "Bare", "", ()))
    workspace.catalog = Catalog(methods)
    workspace.models_changed.emit()
    workspace.set_method("made")
    yield panel
    workspace.close()


def test_the_panel_draws_the_parameters_of_the_chosen_method(controls):
    assert list(controls.params) == ["rounds", "gain", "level"]
    controls.workspace.set_method("bare")
    assert controls.params == {}
    controls.workspace.set_method("made")
    assert list(controls.params) == ["rounds", "gain", "level"]


def test_the_panel_and_the_workspace_hold_one_value(controls):
    controls.params["gain"].spin.setValue(1.25)
    assert controls.workspace.value("gain") == 1.25
    controls.workspace.set_value("gain", 0.75)
    assert controls.params["gain"].spin.value() == 0.75
    QTest.mouseDClick(controls.params["gain"].label, Qt.MouseButton.LeftButton)
    assert controls.workspace.value("gain") == 0.5
    assert controls.params["gain"].spin.value() == 0.5


def test_a_method_remembers_what_was_set_for_it(controls):
    controls.params["gain"].spin.setValue(1.25)
    controls.workspace.set_method("bare")
    controls.workspace.set_method("made")
    assert controls.params["gain"].spin.value() == 1.25


def test_tab_goes_through_the_panel_from_top_to_bottom(controls):
    controls.show()
    order, widget = [], controls.method
    while widget not in order:
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [controls.method, controls.model, controls.strength.spin, controls.strength.slider]
    wanted += [controls.params["rounds"].spin, controls.params["gain"].spin, controls.params["level"].automatic]
    places = [order.index(widget) for widget in wanted]
    assert places == sorted(places)
