from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from opened import install_models, noisy_file
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QStyleOptionViewItem
from test_workspace import white_noise

from app.controls import Controls, quality
from app.jobs import NOTHING_FOUND, Catalog, MethodInfo, Numbers, Reference
from app.param_control import ChoiceControl, ParamControl
from app.settings import Settings
from app.values import GUARD, STRENGTH
from app.workspace import Workspace
from engine.encode import save_image
from engine.image import Image
from engine.method import method_of
from engine.params import choice, param, specs


@dataclass(frozen=True)
class MadeUp:
    rounds: int = param(2, 1, 64, "Rounds", step=1, stops=(1, 2, 4, 8), help="How often.")
    gain: float = param(0.5, 0.0, 2.0, "Gain", step=0.25, unit=" x", help="How much.")
    level: float | None = param(None, 0.0, 1.0, "Level", scale=255.0, step=0.1 / 255)


ROUNDS, GAIN, LEVEL = specs(MadeUp)


@dataclass(frozen=True)
class Wordy:
    kind: str = choice("plain_one", ("plain_one", "fancy"), "Kind", help="Which.")
    gain: float = param(0.5, 0.0, 2.0, "Gain", step=0.25)
    start: float | None = param(None, 0.1, 2.0, "Start", usual=0.5)
    secret: str = choice("a", ("a", "b"), "Secret", expert=True)
    depth: int = param(3, 1, 9, "Depth", step=1, expert=True)


KIND = specs(Wordy)[0]
START = specs(Wordy)[2]


@pytest.fixture
def control(qtbot):
    """Makes a control and the list of what it emits."""

    def make(spec, **details):
        made, emitted = ChoiceControl(spec) if spec.choices else ParamControl(spec, **details), []
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


def test_by_hand_begins_at_the_usual_value_where_nothing_was_measured(control):
    made, emitted = control(START)
    made.automatic.setChecked(False)
    assert emitted == [("start", 0.5)]
    made.set_value(None, 1.5)
    assert made.spin.value() == 1.5
    made.automatic.setChecked(False)
    assert emitted[-1] == ("start", 1.5)


def test_the_guard_is_off_by_a_click_and_on_by_its_slider(control):
    made, emitted = control(GUARD, tick="Off")
    assert made.automatic.isChecked()
    assert made.spin.text() == "–"
    made.slider.setValue(made.slider.maximum())
    assert emitted == [("guard", 4.0)]
    assert not made.automatic.isChecked()
    made.automatic.setChecked(True)
    assert emitted[-1] == ("guard", None)
    made.automatic.setChecked(False)
    assert emitted[-1] == ("guard", 2.0)


def test_a_choice_shows_its_words_and_emits_the_one_that_is_chosen(control):
    made, emitted = control(KIND)
    assert [made.choice.itemText(row) for row in range(made.choice.count())] == ["Plain one", "Fancy"]
    assert made.label.text() == "Kind"
    assert made.choice.accessibleName() == "Kind"
    assert "Which." in made.choice.toolTip()
    assert made.value == "plain_one"
    made.set_value("fancy")
    assert emitted == []
    QTest.keyClick(made.choice, Qt.Key.Key_Up)
    assert emitted == [("kind", "plain_one")]
    QTest.mouseDClick(made.label, Qt.MouseButton.LeftButton)
    assert emitted[-1] == ("kind", "reset")


def test_a_choice_is_not_changed_by_the_wheel_without_the_focus(control, qtbot):
    made, emitted = control(KIND)
    made.label.setFocus()
    place = QPointF(made.choice.rect().center())
    event = QWheelEvent(
        place,
        QPointF(made.choice.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(made.choice, event)
    assert emitted == []


@pytest.fixture
def controls(qtbot):
    install_models()
    workspace = Workspace(Settings())
    panel = Controls(workspace)
    qtbot.addWidget(panel)
    qtbot.waitUntil(lambda: bool(workspace.catalog.methods), timeout=20_000)
    runs = frozenset(entry.name for entry in workspace.catalog.models)
    methods = (
        MethodInfo("made", "Made up", "", specs(MadeUp), runs),
        MethodInfo("bare", "Bare", "", (), runs),
        MethodInfo("wordy", "Wordy", "", specs(Wordy), runs),
        MethodInfo("r2r", "Proposed one", "", (), runs),
        MethodInfo("lonely", "Lonely", "Somebody, 2001", (), trains=True),
        MethodInfo("lost", "Lost", "", ()),
    )
    workspace.catalog = Catalog(methods, workspace.catalog.models)
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


def test_words_are_held_by_the_workspace_like_numbers(controls):
    controls.workspace.set_method("wordy")
    control = controls.params["kind"]
    control.choice.setCurrentIndex(1)
    control.choice.activated.emit(1)
    assert controls.workspace.value("kind") == "fancy"
    QTest.mouseDClick(control.label, Qt.MouseButton.LeftButton)
    assert controls.workspace.value("kind") == control.value == "plain_one"
    assert "kind" not in controls.workspace.by_hand


def test_parameters_for_experts_are_in_a_fold_that_stays_as_it_was_left(controls):
    controls.show()
    assert not controls.advanced.isVisible()  # this method has none
    controls.workspace.set_method("wordy")
    assert controls.advanced.isVisible()
    QApplication.processEvents()  # what is new in a layout is shown then
    assert controls.params["kind"].isVisible()
    assert not controls.params["secret"].isVisible()
    QTest.mouseClick(controls.advanced.button, Qt.MouseButton.LeftButton)
    assert controls.params["secret"].isVisible()
    assert controls.workspace.settings.advanced
    controls.workspace.set_method("made")
    controls.workspace.set_method("wordy")
    QApplication.processEvents()
    assert controls.params["depth"].isVisible()
    QTest.mouseClick(controls.advanced.button, Qt.MouseButton.LeftButton)
    assert not controls.params["depth"].isVisible()
    assert not controls.workspace.settings.advanced


def test_a_closed_fold_tells_how_many_values_in_it_were_set_by_hand(controls):
    controls.workspace.set_method("wordy")
    assert controls.advanced.button.text() == "Advanced"
    controls.workspace.set_value("gain", 1.0)
    controls.workspace.set_value("secret", "b")
    assert controls.advanced.button.text() == "Advanced · 1 set by hand"
    controls.workspace.reset_value("secret")
    assert controls.advanced.button.text() == "Advanced"


def test_a_method_without_a_model_is_listed_and_says_how_to_get_one(controls):
    controls.show()
    combo = controls.method
    texts = [combo.itemText(row) for row in range(combo.count())]
    assert texts[0] == "Automatic"
    assert "Made up" in texts
    row = texts.index("Lonely · no model yet")
    assert "Train one" in combo.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert "Somebody, 2001" in combo.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert combo.itemData(row, Qt.ItemDataRole.ForegroundRole) is not None
    assert combo.itemData(texts.index("Made up"), Qt.ItemDataRole.ForegroundRole) is None
    assert not controls.notice.isVisible()
    combo.activated.emit(row)
    assert controls.notice.text().startswith("No model for Lonely is installed. Train one")
    assert controls.notice.isVisible()
    assert not controls.denoise.isEnabled()
    controls.workspace.set_method("lost")
    assert "Train" not in controls.notice.text()
    assert "Import" in controls.notice.text()


def test_another_method_than_the_proposed_one_can_be_given_up_by_a_click(controls, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(25 / 255))
    workspace = controls.workspace
    workspace.change_settings(denoise_on_open=False)
    controls.show()
    assert not controls.use.isVisible()
    workspace.open([noisy_file(tmp_path / "a.tif")])
    qtbot.waitUntil(lambda: workspace.opened is not None and workspace.opened.is_measured, timeout=20_000)
    assert controls.proposal.text() == "Proposed: Proposed one, because the noise is white"
    QTest.mouseClick(controls.use, Qt.MouseButton.LeftButton)
    assert (workspace.values.method, controls.method.currentText()) == ("", "Automatic")
    assert controls.proposal.text() == "Proposed one, because the noise is white"
    assert not controls.use.isVisible()
    workspace.set_method("r2r")
    assert not controls.proposal.isVisible()  # it is what was chosen
    assert not controls.use.isVisible()


def test_what_a_model_is_for_is_shown_beside_its_name(controls):
    workspace = controls.workspace
    made = [
        dataclasses.replace(entry, card=dataclasses.replace(entry.card, title=f"All about {entry.name}"))
        for entry in workspace.catalog.models
    ]
    workspace.catalog = dataclasses.replace(workspace.catalog, models=tuple(made))
    workspace.models_changed.emit()
    controls.model.clear()
    controls.show_values()
    controls.show()
    assert controls.title.text() == "All about tiny"
    assert controls.title.isVisible()
    row = controls.model.findData("tiny")
    assert controls.model.itemText(row) == "tiny"
    option = QStyleOptionViewItem()
    controls.model.itemDelegate().initStyleOption(option, controls.model.model().index(row, 0))
    assert option.text == "tiny  ·  All about tiny"


def test_automatic_offers_the_models_of_every_method(controls):
    workspace = controls.workspace
    other = dataclasses.replace(workspace.catalog.models[0], name="other", method="bare")
    bare = dataclasses.replace(workspace.catalog.methods[1], runs=frozenset({"other"}))
    methods = (workspace.catalog.methods[0], bare, *workspace.catalog.methods[2:])
    workspace.catalog = dataclasses.replace(
        workspace.catalog, methods=methods, models=(*workspace.catalog.models, other)
    )
    workspace.models_changed.emit()
    assert controls.model.findData("other") < 0
    workspace.set_method("")
    controls.model.activated.emit(controls.model.findData("other"))
    assert (workspace.values.method, workspace.values.model) == ("bare", "other")
    assert (controls.method.currentText(), controls.model.currentText()) == ("Bare", "other")


def test_no_method_is_proposed_where_the_picture_is_left_alone(controls, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(0.0))
    workspace = controls.workspace
    levelled = dataclasses.replace(workspace.catalog.methods[3], specs=specs(method_of("r2r").Params))
    other = dataclasses.replace(levelled, id="other", label="Other")
    methods = (*workspace.catalog.methods[:3], levelled, *workspace.catalog.methods[4:], other)
    workspace.catalog = dataclasses.replace(workspace.catalog, methods=methods)
    workspace.change_settings(denoise_on_open=False)
    controls.show()
    workspace.open([noisy_file(tmp_path / "a.tif")])
    qtbot.waitUntil(lambda: workspace.opened is not None and workspace.opened.is_measured, timeout=20_000)
    assert controls.proposal.text() == "Proposed: leave it as it is, because nothing worth removing was found"
    QTest.mouseClick(controls.use, Qt.MouseButton.LeftButton)
    assert not controls.proposal.isVisible()
    assert controls.notice.text() == NOTHING_FOUND
    assert "correlation" not in controls.noise.text()
    workspace.set_method("other")  # leaves it alone as well
    assert not controls.proposal.isVisible()
    assert not controls.use.isVisible()


def test_a_blind_method_tells_that_the_picture_seemed_clean(controls, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(0.0))
    controls.workspace.change_settings(denoise_on_open=False)
    controls.workspace.open([noisy_file(tmp_path / "a.tif")])
    qtbot.waitUntil(lambda: controls.notice.text() != "", timeout=20_000)
    assert "Made up has no noise level to set: it denoises every picture" in controls.notice.text()
    assert controls.workspace.sigma == pytest.approx(1 / 255)


def test_a_strength_of_brightness_set_for_colour_pictures_is_seen_where_it_counts_for_a_grey_one(qtbot, tmp_path):
    install_models()
    workspace = Workspace(Settings(luminance=0.5, chroma=0.7))
    controls = Controls(workspace)
    qtbot.addWidget(controls)
    clean = np.full((64, 64, 1), 0.5, np.float32)
    save_image(Image(clean, bits=32, is_float=True), tmp_path / "grey.tif")
    workspace.open([tmp_path / "grey.tif"])
    qtbot.waitUntil(lambda: workspace.opened is not None, timeout=20_000)
    assert not controls.parts.isHidden()
    assert controls.chroma.isHidden()
    assert "1 set by hand" in controls.parts.button.text()
    workspace.set_luminance(1.0)
    assert controls.parts.isHidden()
    workspace.close()


def test_what_the_noisy_picture_has_is_told_with_the_same_brightness_taken_out_as_of_the_result(qtbot):
    image = Image(np.zeros((8, 8, 3), np.float32))
    reference = Reference(image, "clean.tif", 20.0, 25.0)
    workspace = SimpleNamespace(numbers=Numbers(30.0), reference=reference, opened=object(), is_left_alone=False)
    assert "noisy 20.00 dB" in quality(workspace)[1]
    workspace.numbers = Numbers(30.0, shift=(0.1, 0.1, 0.1))
    assert "noisy 25.00 dB" in quality(workspace)[1]
    assert "brightness aligned" in quality(workspace)[1]
