"""Colours can be told apart, every control has a name, is reached by keyboard and shows that it has the focus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QAccessible, QIcon, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenuBar,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)
from windows import KINDS, looks

from app import icons, theme
from app.compare.view import CompareView
from app.theme import COLORS, Colors, contrast

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)

TEXT, GRAPHIC = 4.5, 3.0
"""What WCAG 2.2 AA asks of text, and of large text and of what is no text."""

INTERACTIVE = (
    QAbstractButton, QAbstractSpinBox, QAbstractSlider, QComboBox, QLineEdit, QPlainTextEdit, QAbstractItemView,
    QTabBar, CompareView,
)  # fmt: skip


# ---- Colours ----


def over(plate: str, pixel: int) -> str:
    """What #aarrggbb gives over a grey pixel."""
    alpha = int(plate[1:3], 16) / 255
    return "#" + "".join(f"{round(alpha * int(plate[at : at + 2], 16) + (1 - alpha) * pixel):02x}" for at in (3, 5, 7))


def pairs(c: Colors) -> Iterator[tuple[str, str, str, float]]:
    """What stands on what, by the names and the values of both, and what contrast it needs."""
    for room in ("panel", "canvas"):
        ground = getattr(c, room)
        for name in ("text", "muted", "running", "done", "failed", "warning"):
            yield f"{name} on {room}", getattr(c, name), ground, TEXT
        for name in ("focus", "accent_hover", "accent"):
            yield f"{name} on {room}", getattr(c, name), ground, GRAPHIC
    for name in ("raised", "selected"):
        yield f"text on {name}", c.text, getattr(c, name), TEXT
        yield f"focus on {name}", c.focus, getattr(c, name), GRAPHIC
    yield "the edge of what is typed into", c.edge, c.panel, GRAPHIC
    yield "on_accent on accent", c.on_accent, c.accent, TEXT
    yield "on_accent on accent_hover", c.on_accent, c.accent_hover, TEXT
    for name in ("accent", "running", "done", "failed", "warning"):
        yield f"a sign on {name}", theme.ink(getattr(c, name)), getattr(c, name), TEXT
    for pixel in (0, 128, 255):
        yield f"a caption over {pixel}", c.caption, over(c.plate, pixel), TEXT


@pytest.mark.parametrize("name", COLORS)
def test_what_is_read_stands_out_from_what_it_is_on(name):
    weak = [
        f"{what}: {contrast(one, other):.2f} of {least}"
        for what, one, other, least in pairs(COLORS[name])
        if contrast(one, other) < least
    ]
    assert not weak


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert theme.ink("#ffe000") == "#000000"
    assert theme.ink("#202080") == "#ffffff"


# ---- Icons ----


def test_every_icon_is_drawn_in_the_colour_that_is_asked_for(qapp):
    assert len(icons.names()) > 30
    for name in icons.names():
        image = icons.pixmap(name, "#12ab34", icons.SIZE, 2.0).toImage()
        assert image.size() == QSize(40, 40)
        colors = {
            image.pixelColor(x, y).name() for x in range(40) for y in range(40) if image.pixelColor(x, y).alpha() == 255
        }
        assert "#12ab34" in colors, name
        # Nothing touches the rim, where it would be cut off.
        assert not any(image.pixelColor(x, y).alpha() for x in (0, 39) for y in range(40)), name
        assert not any(image.pixelColor(x, y).alpha() for y in (0, 39) for x in range(40)), name
    with pytest.raises(KeyError):
        icons.icon("no such icon")


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_an_icon_has_a_pixel_for_each_of_the_screen(qapp, scale):
    drawn = icons.icon("open").pixmap(QSize(20, 20), scale)
    assert drawn.size() == QSize(20, 20) * scale
    assert drawn.toImage() == icons.pixmap("open", theme.colors().text, 20, scale).toImage()


def test_an_icon_that_was_put_follows_the_theme_and_shows_that_it_is_off(qtbot):
    button = QPushButton("Open")
    qtbot.addWidget(button)
    with looks("dark"):
        icons.put("open", button)
    with looks("light"):
        image = button.icon().pixmap(QSize(20, 20), 1.0).toImage()
        assert image == icons.pixmap("open", COLORS["light"].text, 20, 1.0).toImage()
        off = button.icon().pixmap(QSize(20, 20), 1.0, QIcon.Mode.Disabled).toImage()
        assert off == icons.pixmap("open", COLORS["light"].off, 20, 1.0).toImage()
        assert off != image


# ---- Names, keys and focus ----


def controls(window: QWidget) -> Iterator[QWidget]:
    """All that can be seen and used, without the inner parts of Qt's own."""
    for child in window.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
        if not child.isVisible() or child.isWindow() or child.objectName().startswith("qt_"):
            continue
        if isinstance(child, INTERACTIVE) and not isinstance(child, QScrollBar | QHeaderView) and child.isEnabled():
            yield child
        if not isinstance(
            child, QComboBox | QAbstractSpinBox | QMenuBar | QHeaderView | QAbstractItemView | CompareView
        ):
            yield from controls(child)


def name_of(widget: QWidget) -> str:
    """What a screen reader says, which is not what a list or a field holds: on Linux Qt gives that for a name, too."""
    buddies = (label.text() for label in widget.window().findChildren(QLabel) if label.buddy() is widget)
    if isinstance(widget, QAbstractButton | QTabBar):
        said = QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)
    else:
        said = widget.accessibleName() or next(buddies, "")
    return said.replace("&", "").strip()


def called(widget: QWidget) -> str:
    return f"{type(widget).__name__} {name_of(widget)!r} in {type(widget.parentWidget()).__name__}"


def by_tab(window: QWidget, most: int = 300) -> list[QWidget]:
    """What has the focus one after the other while Tab is pressed, until it begins again."""
    reached: list[QWidget] = []
    window.activateWindow()
    QTest.qWaitForWindowActive(window)
    for _ in range(most):
        focused = window.focusWidget()
        if focused is None or isinstance(focused, CompareView):
            # Tab means something else there, which the list of keys says; Shift+Tab leads out.
            window.focusNextChild()
        else:
            QTest.keyClick(focused, Qt.Key.Key_Tab)
        focused = window.focusWidget()
        if focused is None or focused in reached:
            break
        reached.append(focused)
    return reached


def looked_at(widget: QWidget) -> QImage:
    """A widget and the few pixels around it."""
    window, around = widget.window(), widget.parentWidget()
    while around is not None and around is not window:
        if isinstance(around, QScrollArea):
            around.ensureWidgetVisible(widget)
        around = around.parentWidget()
    return window.grab(QRect(widget.mapTo(window, QPoint(-3, -3)), widget.size() + QSize(6, 6))).toImage()


def is_one_of_a_group(widget: QWidget) -> bool:
    """Whether the arrow keys lead here, from the one of its group that is chosen."""
    if not isinstance(widget, QAbstractButton) or not widget.isCheckable():
        return False
    group = widget.group()
    return widget.autoExclusive() or (group is not None and group.exclusive())


@pytest.mark.parametrize("name", ["dark", "light"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_control_has_a_name_is_reached_by_keyboard_and_shows_the_focus(qtbot, tmp_path, kind, name):
    found: list[str] = []

    def look(title: str, window: QWidget) -> None:
        window.resize(window.size().expandedTo(QSize(1000, 700)))
        QApplication.processEvents()
        reached = by_tab(window)
        for widget in controls(window):
            if not name_of(widget):
                found.append(f"{title}: {called(widget)} {widget.objectName()} has no name")
            if widget.focusProxy() is None and widget not in reached and not is_one_of_a_group(widget):
                found.append(f"{title}: {called(widget)} cannot be reached by Tab")
        for widget in reached:
            if not isinstance(widget, INTERACTIVE) and not name_of(widget):
                found.append(f"{title}: {called(widget)} takes the focus and has no name")
            widget.setFocus(Qt.FocusReason.TabFocusReason)
            QApplication.processEvents()
            if not widget.isVisible() or window.focusWidget() is not widget:
                continue
            focused = looked_at(widget)
            widget.clearFocus()
            if focused == looked_at(widget):
                found.append(f"{title}: {called(widget)} looks the same with and without the focus")

    with looks(name):
        KINDS[kind](qtbot, tmp_path, name, look)
    assert not found, "\n".join(["", *dict.fromkeys(found)])
