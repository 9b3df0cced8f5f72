from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from opened import install_models, noisy_file
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSlider,
    QToolButton,
    QWidget,
)
from test_workspace import calls, known_noise, small_tiles  # noqa: F401 - fixtures

from app.actions import NEED_A_PICTURE
from app.dialogs import ConventionDialog, Preferences, ShortcutsDialog, TextDialog, card_text
from app.settings import Settings, load_settings, save_settings
from app.window import MainWindow
from app.workspace import Workspace
from engine import paths
from engine.checkpoint import Card, Entry, load_checkpoint
from engine.foreign import QUESTIONS
from engine.image import Image, load_image
from engine.method import Layout, method_of
from engine.networks import DnCNN

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_MS = 30_000


@pytest.fixture
def make_window(qtbot):
    """Opens windows and closes them at the end."""
    install_models()
    made = []

    def make(settings: Settings | None = None) -> MainWindow:
        window = MainWindow(Workspace(settings or Settings()))
        made.append(window)
        window.resize(1000, 700)
        window.show()
        window.activateWindow()
        return window

    yield make
    for window in made:
        window.close()
        window.deleteLater()
    QApplication.instance().setStyleSheet("")
    # The clipboard outlives Python; what a test put into it would be destroyed too late, with a crash.
    QApplication.clipboard().clear()


@pytest.fixture
def window(make_window):
    return make_window()


def drop(widget: QWidget, data: QMimeData) -> bool:
    """Drag into the widget and let go; whether it was accepted."""
    at = widget.rect().center()
    buttons, modifiers = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(at, Qt.DropAction.CopyAction, data, buttons, modifiers)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if not enter.isAccepted():
        return False
    event = QDropEvent(QPointF(at), Qt.DropAction.CopyAction, data, buttons, modifiers)
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def files(*given: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in given])
    return data


def wait_done(window: MainWindow, qtbot) -> None:
    qtbot.waitUntil(lambda: window.workspace.is_done, timeout=PATIENCE_MS)


def press(window: MainWindow, keys: str) -> None:
    """Type a shortcut with the focus on the picture."""
    window.view.setFocus()
    QTest.keySequence(window.view, QKeySequence(keys))


def settle_focus(window: MainWindow, qtbot) -> None:
    window.activateWindow()
    window.view.setFocus()
    qtbot.waitUntil(window.view.hasFocus, timeout=PATIENCE_MS)


# ---- Opening ----


def test_dropped_files_open_and_what_fails_is_listed_with_its_reason(window, qtbot, tmp_path):
    good = [noisy_file(tmp_path / name) for name in ("übung – 写真.png", "b.tif")]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    assert drop(window, files(good[0], broken, good[1]))
    qtbot.waitUntil(lambda: bool(window.workspace.failures.failures), timeout=PATIENCE_MS)
    wait_done(window, qtbot)
    assert [entry.path for entry in window.workspace.entries] == good
    assert "übung – 写真.png" in window.windowTitle()
    assert window.message.isVisible()
    assert "1 of 3 could not be opened" in window.message.text.text()
    assert "broken.jpg" in window.message.details
    assert window.strip.model().rowCount() == 2
    QTest.mouseClick(window.message.close_button, Qt.MouseButton.LeftButton)
    assert not window.message.isVisible()
    assert window.workspace.failures.total == 0


def test_a_dropped_folder_opens(window, qtbot, tmp_path):
    noisy_file(tmp_path / "in" / "a.png")
    noisy_file(tmp_path / "in" / "deeper" / "b.png")
    assert drop(window, files(tmp_path / "in"))
    qtbot.waitUntil(lambda: len(window.workspace.entries) == 2, timeout=PATIENCE_MS)


def test_text_is_not_accepted(window):
    data = QMimeData()
    data.setText("no picture")
    assert not drop(window, data)


def test_a_drop_on_the_reference_row_is_no_new_picture(window, qtbot, tmp_path):
    clean = noisy_file(tmp_path / "other.png", sigma=0)
    window.workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(window, qtbot)
    assert drop(window.controls.reference, files(clean))
    qtbot.waitUntil(lambda: window.workspace.numbers.ssim is not None, timeout=PATIENCE_MS)
    assert len(window.workspace.entries) == 1
    assert window.controls.number.text().startswith("PSNR ")
    assert "other" in window.controls.number_note.text()
    QTest.mouseClick(window.controls.reference.clear, Qt.MouseButton.LeftButton)
    assert "Drop a reference" in window.controls.reference.text.text()


def test_a_pasted_picture_opens_and_the_result_can_be_copied(window, qtbot, tmp_path):
    noisy = load_image(noisy_file(tmp_path / "a.png"))
    settle_focus(window, qtbot)
    window._copy_pixels(np.rint(noisy.pixels * 255).astype(np.uint8))
    press(window, "Ctrl+V")
    wait_done(window, qtbot)
    assert window.workspace.current.path is None
    assert np.allclose(window.workspace.opened.picture.image.pixels, noisy.pixels)
    QGuiApplication.clipboard().clear()
    press(window, "Ctrl+C")
    qtbot.waitUntil(lambda: not QGuiApplication.clipboard().image().isNull(), timeout=PATIENCE_MS)


def test_an_empty_clipboard_is_told(window):
    QGuiApplication.clipboard().clear()
    window.paste()
    assert "no picture" in window.message.text.text()


def test_pasted_files_open(window, qtbot, tmp_path):
    QGuiApplication.clipboard().setMimeData(files(noisy_file(tmp_path / "a.png")))
    window.paste()
    qtbot.waitUntil(lambda: len(window.workspace.entries) == 1, timeout=PATIENCE_MS)


def test_what_is_said_of_a_picture_goes_with_it(window, qtbot, tmp_path):
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, np.full((40, 40), 1 << 25, np.uint32), photometric="minisblack")
    window.workspace.open([deep, noisy_file(tmp_path / "single.png")])
    qtbot.waitUntil(window.message.isVisible, timeout=PATIENCE_MS)
    assert "rounded to 24 bits" in window.message.text.text()
    window.workspace.step(1)
    assert not window.message.isVisible()


def test_recent_files_are_offered(window, qtbot, tmp_path):
    path = noisy_file(tmp_path / "a.png")
    window.workspace.open([path])
    qtbot.waitUntil(lambda: bool(window.workspace.entries), timeout=PATIENCE_MS)
    window.menus.recent_menu.aboutToShow.emit()
    assert [action.text() for action in window.menus.recent_menu.actions()] == [str(path)]


# ---- Working ----


def test_the_button_denoises_cancels_and_goes_on(make_window, qtbot, tmp_path, calls):  # noqa: F811
    window = make_window(Settings(denoise_on_open=False))
    button = window.controls.denoise
    assert not button.isEnabled()
    calls.pause = 0.1
    window.workspace.open([noisy_file(tmp_path / "a.tif", 140, 250)])
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)
    assert button.text() == "Denoise"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(calls) > 1, timeout=PATIENCE_MS)
    assert button.text() == "Cancel"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.text() == "Denoise"
    calls.pause = 0
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    wait_done(window, qtbot)
    assert not button.isEnabled()
    assert "Done" in window.activity.text()


def test_the_keys_stay_with_the_picture_when_the_button_is_clicked_and_goes_grey(make_window, qtbot, tmp_path):
    window = make_window(Settings(denoise_on_open=False))
    button = window.controls.denoise
    window.workspace.open([noisy_file(tmp_path / "a.tif")])
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)
    settle_focus(window, qtbot)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    wait_done(window, qtbot)
    assert window.view.hasFocus()
    window.controls.params["alpha"].spin.setValue(0.9)
    qtbot.waitUntil(button.isEnabled, timeout=PATIENCE_MS)
    button.setFocus()
    wait_done(window, qtbot)
    qtbot.waitUntil(lambda: not button.isEnabled(), timeout=PATIENCE_MS)
    assert window.controls.save.hasFocus()


def test_sliders_move_while_it_computes_and_the_last_value_counts(window, qtbot, tmp_path, calls):  # noqa: F811
    window.workspace.open([noisy_file(tmp_path / "a.tif", 140, 250)])
    calls.pause = 0.02
    qtbot.waitUntil(lambda: len(calls) > 1, timeout=PATIENCE_MS)
    alpha, strength = window.controls.params["alpha"], window.controls.strength
    for position in range(3, 15):
        alpha.slider.setValue(position)
        strength.slider.setValue(100 - position)
        qtbot.wait(10)
    wait_done(window, qtbot)
    assert window.workspace.value("alpha") == alpha.value
    assert window.workspace.values.strength == pytest.approx(0.86)


def test_zoom_and_place_stay_when_results_come_and_the_job_ends(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / "a.tif", 140, 250)])
    wait_done(window, qtbot)
    window.view.zoom_to(8.0, (60, 70))
    place = window.view.viewport()
    window.controls.params["alpha"].spin.setValue(0.9)
    qtbot.waitUntil(lambda: not window.workspace.is_done, timeout=PATIENCE_MS)
    wait_done(window, qtbot)
    assert window.view.zoom == 8.0
    assert window.view.viewport() == place


def test_the_status_bar_names_device_precision_and_picture(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(window, qtbot)
    assert window.device.text().split(" · ")[0] in ("CPU", "GPU (CUDA)", "GPU (Apple)")
    assert "16" in window.device.text() or "32" in window.device.text()
    assert "160 × 120" in window.activity.text()
    assert "float" in window.activity.text()


def test_the_estimate_is_labelled_so_wherever_it_is_shown(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / "a.tif")])
    wait_done(window, qtbot)
    estimate = window.workspace.numbers.estimate
    assert estimate.psnr_db is not None
    labelled = f"estimated {estimate.psnr_db:.2f} ± {estimate.band_db:.2f} dB"
    assert window.controls.number.text() == labelled
    # With a reference it stands beside the true number.
    window.workspace.set_reference(noisy_file(tmp_path / "reference.tif", sigma=0))
    qtbot.waitUntil(lambda: window.workspace.numbers.ssim is not None, timeout=PATIENCE_MS)
    assert window.controls.number.text().startswith("PSNR ")
    assert window.controls.number_note.text().endswith(f"{labelled} without it")


def test_where_no_psnr_can_be_estimated_the_reason_stands_beside_the_true_number(window, qtbot, tmp_path, monkeypatch):
    from test_workspace import white_noise

    correlated = dataclasses.replace(white_noise(25 / 255), correlation=0.4, is_white=False)
    monkeypatch.setattr("engine.noise.measure_noise", lambda image: correlated)
    noisy_file(tmp_path / "a_clean.tif", sigma=0)
    window.workspace.open([noisy_file(tmp_path / "a_noisy.tif")])
    qtbot.waitUntil(lambda: window.workspace.numbers.ssim is not None, timeout=PATIENCE_MS)
    assert "not estimated without it: the noise of neighbouring pixels" in window.controls.number_note.text()
    # The level that the network is told, and why it is not the one that was measured.
    assert window.workspace.sigma == correlated.level > correlated.sigma
    treated = f"noise 25.0 of 255, correlated 0.40: treated as {correlated.level * 255:.1f}"
    assert treated in window.controls.noise.text()


def test_a_clean_picture_says_that_it_is_left_alone(window, qtbot, tmp_path, monkeypatch):
    from test_workspace import white_noise

    monkeypatch.setattr("engine.noise.measure_noise", lambda image: white_noise(0.0))
    window.workspace.open([noisy_file(tmp_path / "a.png")])
    wait_done(window, qtbot)
    assert window.controls.notice.isVisible()
    assert "Set sigma by hand" in window.controls.notice.text()


def test_sigma_is_shown_in_the_files_own_unit(window, qtbot, tmp_path):
    from engine.encode import save_image

    pixels = load_image(noisy_file(tmp_path / "a.tif")).pixels
    save_image(Image(np.clip(pixels, 0, 1) / 20, bits=16), tmp_path / "twelve.png")
    window.workspace.open([tmp_path / "twelve.png"])
    wait_done(window, qtbot)
    note = window.controls.params["sigma"].note
    white = window.workspace.opened.picture.image.levels[1]
    assert white == pytest.approx(1 / 16)
    assert note.text() == f"{25 / 255 * white * 65535:.4g} of the file's 65535"


def test_a_double_click_on_a_label_resets_its_value(window, qtbot):
    qtbot.waitUntil(lambda: "alpha" in window.controls.params, timeout=PATIENCE_MS)
    control = window.controls.params["alpha"]
    control.spin.setValue(1.0)
    QTest.mouseDClick(control.label, Qt.MouseButton.LeftButton)
    assert control.value is None  # automatic
    window.controls.strength.spin.setValue(40)
    QTest.mouseDClick(window.controls.strength.slider, Qt.MouseButton.LeftButton)
    assert window.workspace.values.strength == 1.0


# ---- Keys ----


@pytest.mark.parametrize(
    ("keys", "mode"), [("Shift+Y", "wipe"), ("Alt+Y", "stack"), ("Ctrl+Y", "after"), ("Y", "side")]
)
def test_the_modes_have_their_keys(window, qtbot, keys, mode):
    settle_focus(window, qtbot)
    window.view.set_mode("stack" if mode != "stack" else "side")
    press(window, keys)
    assert window.view.mode == mode
    assert window.actions_by_name[f"mode_{mode}"].isChecked()


def test_fit_and_full_size_have_their_keys(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / "a.png", 900, 1200)])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    window.workspace.cancel()
    settle_focus(window, qtbot)
    for keys in ("Ctrl+1", "Ctrl+0", "1", "0", "Z", "Z"):
        was_fitted = window.view.is_fitted
        press(window, keys)
        assert window.view.is_fitted is (keys[-1] == "0" if keys != "Z" else not was_fitted)


def test_backslash_flips_when_tapped_and_shows_while_held(window, qtbot, monkeypatch):
    settle_focus(window, qtbot)
    now = [100.0]
    monkeypatch.setattr("app.window.time.monotonic", lambda: now[0])
    QTest.keyPress(window.view, Qt.Key.Key_Backslash)
    assert window.view.shows_original
    QTest.keyRelease(window.view, Qt.Key.Key_Backslash)
    assert window.view.shows_original
    QTest.keyClick(window.view, Qt.Key.Key_Backslash)
    assert not window.view.shows_original
    QTest.keyPress(window.view, Qt.Key.Key_Backslash)
    now[0] += 1
    QTest.keyRelease(window.view, Qt.Key.Key_Backslash)
    assert not window.view.shows_original


def test_arrows_and_space_turn_the_pages_on_the_picture_and_move_sliders_elsewhere(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / name, 64, 64) for name in ("a.png", "b.png", "c.png")])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    settle_focus(window, qtbot)
    names = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Space, Qt.Key.Key_Left, Qt.Key.Key_Backspace):
        QTest.keyClick(window.view, key)
        names.append(window.workspace.current.name)
    assert names == ["b.png", "c.png", "b.png", "a.png"]
    slider = window.controls.strength.slider
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Left)
    assert window.workspace.values.strength == pytest.approx(0.99)
    assert window.workspace.current.name == "a.png"


def test_what_needs_a_picture_is_greyed_until_there_is_one(window, qtbot, tmp_path):
    actions = window.actions_by_name
    asked = (*NEED_A_PICTURE, "next", "amplify", "turn_wipe")
    assert not any(actions[name].isEnabled() for name in asked)
    window.workspace.open([noisy_file(tmp_path / name, 64, 64) for name in ("a.png", "b.png")])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert all(actions[name].isEnabled() for name in (*NEED_A_PICTURE, "next", "previous"))
    assert not any(actions[name].isEnabled() for name in ("amplify", "turn_wipe"))
    actions["layer_removed"].trigger()
    actions["mode_wipe"].trigger()
    assert all(actions[name].isEnabled() for name in ("amplify", "turn_wipe"))


def test_a_tool_for_places_opens_what_they_are_given(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / "a.png", 64, 64)])
    qtbot.waitUntil(lambda: window.workspace.opened is not None, timeout=PATIENCE_MS)
    assert not window.controls.areas.isVisibleTo(window)
    window.actions_by_name["tool_region"].trigger()
    assert not window.controls.areas.isVisibleTo(window)
    window.actions_by_name["tool_brush"].trigger()
    assert window.controls.areas.isVisibleTo(window)


def test_ctrl_and_an_arrow_go_to_the_next_picture_and_select_it_alone(window, qtbot, tmp_path):
    window.workspace.open([noisy_file(tmp_path / name) for name in ("a.png", "b.png")])
    qtbot.waitUntil(lambda: len(window.workspace.entries) == 2, timeout=PATIENCE_MS)
    settle_focus(window, qtbot)
    press(window, "Ctrl+Right")
    assert window.workspace.current is window.workspace.entries[1]
    assert window.strip.selected_entries() == [window.workspace.entries[1]]


def test_tab_hides_the_panels_on_the_picture_only(window, qtbot):
    settle_focus(window, qtbot)
    QTest.keyClick(window.view, Qt.Key.Key_Tab)
    assert not window.panel.isVisible()
    assert not window.strip.isVisible()
    QTest.keyClick(window.view, Qt.Key.Key_Tab)
    assert window.panel.isVisible()
    assert window.strip.isVisible()
    window.controls.strength.spin.setFocus()
    QTest.keyClick(window.controls.strength.spin, Qt.Key.Key_Tab)
    assert window.panel.isVisible()
    assert not window.controls.strength.spin.hasFocus()


def test_every_shortcut_is_listed_and_none_is_given_twice(window, qtbot):
    listed = " ".join(keys for _, keys in window.shortcut_rows())
    text = QKeySequence.SequenceFormat.NativeText
    given = [key.toString(text) for action in window.actions_by_name.values() for key in action.shortcuts()]
    assert all(key in listed for key in given)
    assert len(given) == len(set(given))
    asked = "Ctrl+0 0 Ctrl+1 1 Z \\ Y Shift+Y Alt+Y Space F11 F6 Tab Ctrl+E Ctrl+Shift+E Ctrl+C Ctrl+V Ctrl+Shift+C "
    asked += "Ctrl+Shift+V Ctrl+O Ctrl+, Ctrl+Q F1"
    words = listed.replace(", ", " ").split() + ["Ctrl+,"] * ("Ctrl+," in listed)
    assert [key for key in asked.split() if key not in words] == []
    dialog = ShortcutsDialog(window.shortcut_rows(), window)
    assert dialog.table.rowCount() == len(window.shortcut_rows())


def test_a_number_can_be_typed_though_digits_are_shortcuts(window, qtbot):
    spin = window.controls.strength.spin
    window.activateWindow()
    spin.setFocus()
    qtbot.waitUntil(spin.hasFocus, timeout=PATIENCE_MS)
    spin.selectAll()
    QTest.keyClicks(spin, "10")
    QTest.keyClick(spin, Qt.Key.Key_Return)
    assert window.workspace.values.strength == pytest.approx(0.1)


def test_what_can_be_used_has_a_name_for_screen_readers(window, qtbot):
    qtbot.waitUntil(lambda: bool(window.controls.params), timeout=PATIENCE_MS)
    nameless = [
        widget
        for kind in (QPushButton, QToolButton, QSlider, QComboBox, QCheckBox)
        for widget in window.findChildren(kind)
        if widget.isVisible() and not (widget.accessibleName() or getattr(widget, "text", str)())
    ]
    assert nameless == []


# ---- Looks ----


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_in_the_panel_is_cut_off(make_window, qtbot, tmp_path, theme):
    window = make_window(Settings(theme=theme))
    long = noisy_file(tmp_path / "a_very_long_name_of_a_picture_that_fills_the_panel_and_more_noisy.tif")
    noisy_file(tmp_path / (long.name.replace("_noisy", "_clean")), sigma=0)
    window.workspace.open([long])
    qtbot.waitUntil(lambda: window.workspace.reference is not None, timeout=PATIENCE_MS)
    wait_done(window, qtbot)
    assert window.controls.width() <= window.controls.parentWidget().width()
    for label in window.controls.findChildren(QLabel):
        if label.isVisible() and not label.wordWrap():
            assert label.sizeHint().width() <= label.width() + 1, label.text()
    assert window.controls.denoise.height() >= 28
    window.workspace.clear_reference()
    assert window.controls.number.text().startswith("estimated ")
    qtbot.wait(1)
    assert window.controls.width() <= window.controls.parentWidget().width()


def test_the_theme_changes_at_once(window, qtbot):
    dark = window.grab().toImage().pixelColor(window.width() - 20, 300).lightness()
    window.workspace.change_settings(theme="light")
    light = window.grab().toImage().pixelColor(window.width() - 20, 300).lightness()
    assert dark < 80
    assert light > 180


# ---- Dialogs ----


def test_preferences_give_back_what_they_were_given(qtbot):
    settings = Settings(theme="light", device="cpu", seed=5, memory_mb=1024, denoise_on_open=False)
    dialog = Preferences(settings, ("cpu",))
    qtbot.addWidget(dialog)
    assert {name: getattr(settings, name) for name in dialog.changes()} == dialog.changes()


def test_the_import_dialog_asks_only_what_is_not_known(qtbot):
    for question in QUESTIONS.values():
        dialog = ConventionDialog(Path("x.pth"), (question,))
        qtbot.addWidget(dialog)
        combo = dialog.findChild(QComboBox)
        assert [combo.itemData(index) for index in range(combo.count())] == list(question.values)
        if question.answers:
            combo.setCurrentIndex(1)
            assert dialog.convention() == {question.name: question.values[1]}


def test_importing_asks_again_until_nothing_is_open(window, qtbot, tmp_path, monkeypatch):
    layouts = [
        Layout(
            source,
            {"network": "dncnn", "depth": 3, "width": 8},
            DnCNN(depth=3, width=8).state_dict(),
            asks=("value_range", "noise"),
        )
        for source in ("one", "other")
    ]
    monkeypatch.setattr(type(method_of("r2r")), "recognise", lambda method, weights: layouts)
    asked = []

    def answer(dialog):
        asked.append(dialog.convention())
        for combo in dialog.findChildren(QComboBox):
            combo.setCurrentIndex(1)
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(ConventionDialog, "exec", answer)
    torch.save({"a.weight": torch.zeros(1)}, tmp_path / "theirs.pth")
    window.workspace.import_model(tmp_path / "theirs.pth")
    installed = paths.models() / "theirs.safetensors"
    qtbot.waitUntil(installed.exists, timeout=PATIENCE_MS)
    assert asked == [{"source": "one"}, {"value_range": 1, "noise": "awgn"}]
    said = load_checkpoint(installed).card.description
    for option in ("--source other", "--range 255", "--noise-kind hg"):
        assert option in said


def test_the_card_of_a_model_can_be_read(window, qtbot):
    qtbot.waitUntil(lambda: window.workspace.model_in_force() is not None, timeout=PATIENCE_MS)
    window.show_card()
    shown = window.findChild(TextDialog).findChild(QPlainTextEdit).toPlainText()
    assert "Name: tiny\n" in shown
    assert "Method: Recorrupted-to-Recorrupted\n" in shown


def test_a_card_names_the_teacher_of_a_distilled_model_and_no_training_of_zero_minutes():
    digits = "990de663" * 8
    card = Card(title="One pass", steps=6, minutes=0.2, device="cpu", source=digits)
    text = card_text(Entry(Path("a.safetensors"), "a", "plain", 3, card, False), {})
    assert f"The model it learned from: SHA-256 {digits}" in text
    assert "Training: 6 steps, under two minutes on cpu" in text
    other = dataclasses.replace(card, source="https://example.org", minutes=12.0)
    text = card_text(Entry(Path("a.safetensors"), "a", "plain", 3, other, False), {"plain": "Single network"})
    assert "Source: https://example.org" in text
    assert "12 minutes" in text
    assert "Method: Single network" in text


def test_the_import_dialog_speaks_of_no_command_line(qtbot):
    dialog = ConventionDialog(Path("x.pth"), tuple(QUESTIONS.values()))
    qtbot.addWidget(dialog)
    shown = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert "x.pth" in shown
    assert "--" not in shown


# ---- End and start ----


def test_closing_in_the_middle_ends_every_thread_at_once(window, qtbot, tmp_path, calls):  # noqa: F811
    calls.pause = 0.05
    window.workspace.open([noisy_file(tmp_path / "a.tif", 140, 250)])
    qtbot.waitUntil(lambda: len(calls) > 1, timeout=PATIENCE_MS)
    window.close()
    assert window.workspace.is_closed
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"reading", "measuring", "computing"}


def test_the_window_opens_as_it_was_left(make_window, qtbot):
    first = make_window()
    first.resize(900, 640)
    first.view.set_mode("wipe")
    first.toggle_strip()
    first.workspace.change_settings(theme="light")
    first.close()
    again = make_window(load_settings(paths.settings_file()))
    assert again.view.mode == "wipe"
    assert not again.strip.isVisible()
    assert again.workspace.settings.theme == "light"
    assert load_settings(paths.settings_file()).geometry


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    names = {**os.environ, **environment}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=names, capture_output=True, text=True, timeout=100, check=False)


def test_the_version_is_printed():
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "pellucid")


def test_an_unknown_option_is_a_wrong_usage():
    done = run("--frobnicate")
    assert done.returncode == 2
    assert "--frobnicate" in done.stderr


def test_without_a_display_the_command_line_is_named():
    if sys.platform != "linux":
        pytest.skip("only there Qt ends the process")
    done = run(DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert done.returncode == 2
    assert "denoise" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_self_test_passes():
    install_models()
    done = run("--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "self-test: passed"


def test_the_first_start_shows_the_sample_and_ctrl_c_ends_it():
    if sys.platform == "win32":
        pytest.skip("signals are another thing there")
    install_models()
    command = [sys.executable, "-m", "app"]
    names = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    program = subprocess.Popen(command, cwd=ROOT, env=names, stderr=subprocess.PIPE, text=True)
    try:
        log = paths.logs() / "pellucid.log"
        for _ in range(600):
            if log.exists() and "shows coffee_noisy" in log.read_text(encoding="utf-8"):
                break
            try:
                program.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        assert program.poll() is None, program.stderr.read()
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        program.stderr.close()
    assert load_settings(paths.settings_file()).recent == (str(paths.resources() / "sample" / "coffee_noisy.tif"),)


def test_a_later_start_opens_nothing_by_itself(make_window, qtbot):
    save_settings(Settings(), paths.settings_file())
    window = make_window(load_settings(paths.settings_file()))
    qtbot.waitUntil(lambda: bool(window.workspace.catalog.methods), timeout=PATIENCE_MS)
    assert window.workspace.entries == []
