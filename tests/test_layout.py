"""Nothing is cut off, lies outside of its window or over something else: at every size, font and theme."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QDockWidget,
    QHeaderView,
    QLabel,
    QMenuBar,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QTableView,
    QToolBar,
    QToolButton,
    QWidget,
)
from windows import KINDS, looks

from app.combo import Combo

HERE = Path(__file__)
SIZES = (QSize(1000, 700), QSize(1400, 900), QSize(2560, 1440))

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)


def shown(window: QWidget) -> Iterator[QWidget]:
    """Every widget below a window that can be seen, without the inner parts of Qt's own."""
    for child in window.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
        if child.isVisible() and not child.isWindow() and not child.size().isEmpty():
            yield child
            if not isinstance(child, QComboBox | QAbstractSpinBox | QHeaderView | QMenuBar):
                yield from shown(child)


def called(widget: QWidget) -> str:
    text = widget.text() if isinstance(widget, QLabel | QAbstractButton) else widget.accessibleName()
    return f"{type(widget).__name__} {text[:50]!r} {widget.objectName()}"


def cut_off(widget: QWidget) -> str:
    """What of a widget's text cannot be read; "" if all of it can."""
    width, height, text, wanted = widget.width(), widget.height(), "", widget.sizeHint()
    if isinstance(widget, QLabel):
        text = widget.text()
        if widget.wordWrap():
            wanted.setWidth(min(wanted.width(), width))
            wanted.setHeight(widget.heightForWidth(width))
            wanted.setWidth(max(wanted.width(), widget.minimumSizeHint().width()))
    elif isinstance(widget, QToolButton) and widget.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly:
        text = widget.toolTip()
    elif isinstance(widget, QAbstractButton):
        text = widget.text()
    elif isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        widget.initStyleOption(option)
        field = widget.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, widget
        )
        # A `Combo` ends its text in sight, and opens with all of it.
        text = widget.shown_text() if isinstance(widget, Combo) else widget.currentText()
        width, wanted = field.width(), widget.fontMetrics().size(0, text)
        height = field.height() + 2  # of a letter's height, what is below no letter is not seen
    elif isinstance(widget, QAbstractSpinBox):
        text = widget.text()
        wanted.setWidth(0)
        line = widget.lineEdit()
        room = line.width() - 2 - widget.fontMetrics().horizontalAdvance(text)
        if room < 0:
            return f"{-room} pixels of {text!r} are cut off"
    if not text or (wanted.width() <= width + 1 and wanted.height() <= height + 1):
        return ""
    return f"needs {wanted.width()} x {wanted.height()}, has {width} x {height}"


def faults(window: QWidget) -> Iterator[str]:
    """All that cannot be seen as it should be."""
    for widget in shown(window):
        parent = widget.parentWidget()
        assert parent is not None
        problem = cut_off(widget)
        if problem:
            yield f"{called(widget)} {problem}"
        if isinstance(widget, QTableView):
            if widget.verticalHeader().defaultSectionSize() < widget.fontMetrics().height() + 2:
                yield f"{called(widget)}: its rows are too low"
            header = widget.horizontalHeader()
            for section in range(header.count()):
                if (
                    not header.isSectionHidden(section)
                    and header.sectionSizeHint(section) > header.sectionSize(section) + 1
                ):
                    yield f"{called(widget)}: the head of column {section} is cut off"
        if isinstance(widget, QScrollArea) and widget.widget() is not None:
            over = widget.widget().width() - widget.viewport().width()
            if over > 0 and widget.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff:
                yield f"{called(widget.widget())} is {over} pixels wider than what shows it"
        is_scrolled = isinstance(parent.parentWidget(), QAbstractScrollArea)
        if not is_scrolled and not parent.rect().adjusted(-1, -1, 1, 1).contains(widget.geometry()):
            yield f"{called(widget)} at {widget.geometry().getRect()} is outside of {called(parent)}"
    for parent in (window, *shown(window)):
        beside = [child for child in shown_children(parent) if not isinstance(child, QDockWidget)]
        if isinstance(parent, QAbstractScrollArea) or isinstance(parent.parentWidget(), QAbstractScrollArea):
            continue
        for one, other in combinations(beside, 2):
            both = QRect(one.geometry()).intersected(other.geometry())
            if both.width() > 1 and both.height() > 1:
                yield f"{called(one)} and {called(other)} overlap by {both.width()} x {both.height()}"


def shown_children(parent: QWidget) -> list[QWidget]:
    if isinstance(parent, QComboBox | QAbstractSpinBox | QHeaderView | QMenuBar | QToolBar):
        return []
    return [
        child
        for child in parent.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        if child.isVisible() and not child.isWindow() and not child.size().isEmpty()
    ]


def settle(window: QWidget, wait_ms: int) -> None:
    for _ in range(4):
        QApplication.processEvents()
    QTest.qWait(wait_ms)  # a dock has its width a moment later


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cut_off_or_overlaps(qtbot, tmp_path, kind, scale):
    found: list[str] = []
    name = "light" if scale == 1.5 else "dark"

    def look(title: str, window: QWidget) -> None:
        for size in [window.size()] if isinstance(window, QDialog) else SIZES:
            for wait_ms in (20, 200, 800):  # what is measured meanwhile changes texts, and these the layout
                window.resize(size)
                settle(window, wait_ms)
                problems = [f"{title} at {window.width()} x {window.height()}: {fault}" for fault in faults(window)]
                if scale < 2 and window.size() != size:
                    problems.append(f"{title} cannot be made as small as {size.toTuple()}")
                if not problems:
                    break
            found.extend(problems)

    with looks(name, scale):
        KINDS[kind](qtbot, tmp_path, name, look)
    assert not found, "\n".join(["", *dict.fromkeys(found)])


IN_GERMAN = """
import sys
from engine import language
assert language.use("de") == "de"
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "overlaps", sys.argv[1]]))
"""


@pytest.mark.slow
def test_nothing_is_cut_off_in_german():
    told = subprocess.run(
        [sys.executable, "-c", IN_GERMAN, str(HERE)], cwd=HERE.parents[1], capture_output=True, text=True, timeout=110
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("factor", ["1.5", "2"])
def test_nothing_is_cut_off_on_a_screen_of_other_scale(factor):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "overlaps and 1.0", str(HERE)]
    environment = {**os.environ, "QT_SCALE_FACTOR": factor}
    told = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, timeout=110)
    assert told.returncode == 0, told.stdout
