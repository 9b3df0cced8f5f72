"""The pages of the residual and of the noise: what they show, say and ask for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QLabel, QSlider, QWidget
from reports import correlated, report

from app import theme
from app.display import GAINS
from app.inspector.noise_page import NoisePage
from app.inspector.plots import CorrelationMap, Plot
from app.inspector.residual_page import ResidualPage
from conftest import picture
from engine.image import Image
from engine.noise_curve import curve
from engine.residual import LAGS, Residual, analyse


@pytest.fixture
def noisy() -> np.ndarray:
    clean = picture(192, 256)
    return (clean + 0.06 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)


@pytest.fixture
def found(noisy: np.ndarray) -> Residual:
    return analyse(noisy, cv2.GaussianBlur(noisy, (0, 0), 1.5), report=report(sigma=0.06))


@pytest.fixture
def page(qtbot) -> ResidualPage:
    page = ResidualPage()
    qtbot.addWidget(page)
    page.resize(280, 900)
    page.show()
    return page


@pytest.fixture
def noise_page(qtbot) -> NoisePage:
    page = NoisePage()
    qtbot.addWidget(page)
    page.resize(280, 900)
    page.show()
    return page


def texts(page: QWidget) -> str:
    return " ".join(label.text() for label in page.findChildren(QLabel) if label.isVisibleTo(page))


def test_residual_page_says_the_verdict_and_the_numbers(page, found):
    page.show_residual(found)
    assert found.marks
    assert page.verdict.text().replace("\u00a0", " ") == found.verdict
    rows = dict(page.table.rows)
    assert rows["Removed, deviation of 255"] == [f"{found.deviation:.2f}"]
    assert rows["Blocks with structure"] == [f"{len(found.marks)} / {found.blocks}"]


def test_where_no_blocks_were_looked_at_none_are_counted(page):
    small = np.random.default_rng(0).random((40, 40, 3), np.float32)
    found = analyse(small, cv2.GaussianBlur(small, (0, 0), 1.5))
    page.show_residual(found)
    assert not found.blocks
    assert not any("lock" in name or "Chance" in name for name, _ in page.table.rows)


def test_residual_plot_is_told_in_words_and_drawn_with_the_expected_curve(page, found):
    page.show_residual(found)
    across = found.autocorrelation[LAGS, LAGS + 1]
    assert f"{across:.2f}".replace("-", "−") in page.plot.accessibleDescription()
    assert page.told.text() == page.plot.accessibleDescription()
    for name, curve_item in page._curves.items():
        assert len(curve_item.getData()[0]) == LAGS + 1, name
    assert page._band.getRegion() == pytest.approx((-found.band, found.band))


def test_residual_without_a_report_shows_no_expected_curve(page, noisy):
    page.show_residual(analyse(noisy, cv2.GaussianBlur(noisy, (0, 0), 1.5)))
    assert not page._curves["measured"].isVisible()
    assert "Measured noise there" not in dict(page.table.rows)
    assert page.measured_map.accessibleDescription() == "Not known."


def test_residual_page_without_an_answer_says_what_is_awaited(page, found):
    page.show_residual(None, "Two passes are awaited.")
    assert page.waiting.text() == "Two passes are awaited."
    assert not page.plot.isVisibleTo(page)
    page.show_residual(found, "A newer answer is awaited.")
    assert page.waiting.isVisibleTo(page)
    assert page.verdict.isVisibleTo(page)
    page.show_residual(found)
    assert not page.waiting.isVisibleTo(page)


def test_where_nothing_was_removed_the_page_says_only_that(page, noisy):
    page.show_residual(analyse(noisy, noisy))
    assert page.verdict.text() == "Nothing was removed here."
    assert not page.plot.isVisibleTo(page)


def test_gain_goes_from_1_to_64_by_keyboard_and_is_told(page, qtbot):
    page.gain.setFocus()
    told = []
    page.gain_changed.connect(told.append)
    for _ in GAINS:
        QTest.keyClick(page.gain, Qt.Key.Key_Right)
    assert told == list(GAINS[1:])
    assert (GAINS[0], GAINS[-1]) == (1, 64)
    assert page.gain_text.text() == "×64"


def test_checkboxes_ask_for_the_layer_and_the_marks_by_keyboard(page):
    told = []
    page.layer_wanted.connect(lambda on: told.append(("layer", on)))
    page.marks_wanted.connect(lambda on: told.append(("marks", on)))
    for box in (page.layer, page.marks, page.layer):
        box.setFocus()
        QTest.keyClick(box, Qt.Key.Key_Space)
    assert told == [("layer", True), ("marks", True), ("layer", False)]


def test_taking_over_a_state_asks_for_nothing(page):
    told = []
    for signal in (page.layer_wanted, page.marks_wanted, page.gain_changed):
        signal.connect(told.append)
    page.show_state(gain=8.0, layer=True, marks=True)
    assert (page.amplification, page.layer.isChecked(), page.marks.isChecked()) == (8.0, True, True)
    assert page.gain_text.text() == "×8"
    assert told == []


def test_noise_page_says_conclusions_clipped_shares_and_the_plot_in_words(noise_page, noisy):
    measured = curve(Image(np.clip(noisy, 0, 1)), report(sigma=0.06))
    noise_page.show_curve(measured)
    for sentence in measured.conclusions:
        assert sentence.replace(" %", "\u00a0%") in noise_page.conclusions.text()
    rows = dict(noise_page.clipped.rows)
    assert set(rows) == {"Red", "Green", "Blue"}
    assert rows["Red"][0] != "0 %"
    for channel in measured.channels:
        assert f"{channel.name}: variance" in noise_page.plot.accessibleDescription()


def test_channels_differ_by_symbol_and_by_dashes_not_by_colour_alone(noise_page, noisy):
    noise_page.show_curve(curve(Image(noisy), report()))
    assert len({points.opts["symbol"] for points in noise_page._points}) == 4
    assert len({line.opts["pen"].style() for line in noise_page._lines[:3]}) == 3


def test_curves_of_the_residual_differ_without_colour(page, found):
    page.show_residual(found)
    looks = {(curve.opts["pen"].style(), curve.opts["symbol"]) for curve in page._curves.values()}
    assert len(looks) == 3


def test_another_number_of_channels_takes_its_place(noise_page, noisy):
    noise_page.show_curve(curve(Image(noisy), report()))
    noise_page.show_curve(curve(Image(noisy[..., :1]), report(1)))
    assert [sample.accessibleName() for sample in noise_page._legends] == ["Grey"]
    assert [points.isVisible() for points in noise_page._points] == [True, False, False, False]
    assert not noise_page.between.isVisibleTo(noise_page)


def test_noise_page_without_a_picture_says_so(noise_page, noisy):
    noise_page.show_curve(None, "The noise is being measured.")
    assert noise_page.waiting.text() == "The noise is being measured."
    noise_page.show_curve(curve(Image(noisy), report()))
    assert not noise_page.waiting.isVisibleTo(noise_page)


def test_correlations_are_squares_whose_size_tells_how_much_and_hollow_where_negative(qtbot):
    plot = CorrelationMap("map")
    qtbot.addWidget(plot)
    plot.resize(131, 131)
    table = np.zeros((13, 13))
    table[6, 6], table[6, 9], table[6, 3] = 1, 0.25, -0.49
    plot.show_table(table)
    plot.show()
    image = plot.grab().toImage()
    panel = image.pixelColor(5, 5)

    def is_drawn(x: float, y: float) -> bool:
        return image.pixelColor(round(x), round(y)) != panel

    assert is_drawn(65, 65)
    assert is_drawn(95, 65)
    assert not is_drawn(95 + 4, 65)
    assert not is_drawn(35, 65)
    assert any(is_drawn(35 + x, 65) for x in (3, 4))


def test_a_map_tells_its_next_neighbours(qtbot):
    plot = CorrelationMap("map")
    qtbot.addWidget(plot)
    plot.show_table(np.array(correlated(width=0.6).autocorrelation))
    assert plot.accessibleDescription().startswith("Next pixel across 0.50")
    plot.show_table(np.ones((1, 1)))
    assert plot.accessibleDescription() == "Neighbouring pixels do not correlate."


@pytest.mark.parametrize("kind", [ResidualPage, NoisePage])
def test_everything_on_a_page_has_a_name_and_can_be_reached(qtbot, kind, found, noisy):
    page = kind()
    qtbot.addWidget(page)
    if isinstance(page, ResidualPage):
        page.show_residual(found)
    else:
        page.show_curve(curve(Image(noisy), report()))
    for widget in page.findChildren(QWidget):
        if isinstance(widget, QCheckBox | QSlider | Plot | CorrelationMap):
            assert widget.accessibleName(), widget
        if isinstance(widget, QCheckBox | QSlider):
            assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus


@pytest.mark.parametrize("kind", [ResidualPage, NoisePage])
def test_pages_are_no_wider_than_280_pixels_need(qtbot, kind, found, noisy):
    page = kind()
    qtbot.addWidget(page)
    if isinstance(page, ResidualPage):
        page.show_residual(found)
    else:
        page.show_curve(curve(Image(noisy), report()))
    assert page.minimumSizeHint().width() <= 280 - 16


def test_pages_follow_the_theme(qtbot, page, noise_page, found, noisy):
    app = QApplication.instance()
    page.show_residual(found)
    noise_page.show_curve(curve(Image(noisy), report()))
    try:
        for name in ("light", "dark"):
            theme.apply_theme(app, name)
            background = QColor(theme.colors().panel)
            assert page.plot.backgroundBrush().color() == background
            assert noise_page.plot.backgroundBrush().color() == background
            assert page._curves["across"].opts["pen"].color() == QColor(theme.colors().running)
            assert noise_page._lines[2].opts["pen"].color() == QColor(theme.colors().running)
    finally:
        app.setStyleSheet("")
