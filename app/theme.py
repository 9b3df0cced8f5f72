"""Dark and light: qdarkstyle, with buttons of a normal size and one that is visibly the primary one."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("QT_API", "pyside6")

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QFrame, QWidget


@dataclass(frozen=True)
class Colors:
    """Of one theme, as #rrggbb: around pictures, panels, texts, lines, the accent and the badges."""

    canvas: str
    panel: str
    line: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    running: str
    done: str
    failed: str
    warning: str


COLORS = {
    # Neutral greys around the pictures: tints mislead the eye.
    "dark": Colors(
        "#202020", "#19232d", "#37414f", "#dfe1e2", "#9da9b5", "#2f7ec7", "#3b8ed8", "#ffffff",
        "#4aa3ff", "#4fbf7a", "#ff6b64", "#e8b04a",
    ),
    "light": Colors(
        "#c8c8c8", "#fafafa", "#c0c4c8", "#19232d", "#5c6872", "#1f6db3", "#185a96", "#ffffff",
        "#1f6db3", "#1f8a4c", "#c62f28", "#96690a",
    ),
}  # fmt: skip


_current = "dark"


def colors() -> Colors:
    """Those of the theme in force."""
    return COLORS[_current]


def apply_theme(app: QApplication, theme: str) -> None:
    """Give the whole program the dark or the light look."""
    import qdarkstyle
    from qdarkstyle.dark.palette import DarkPalette
    from qdarkstyle.light.palette import LightPalette

    global _current
    _current = theme
    palette = DarkPalette if theme == "dark" else LightPalette
    app.setStyleSheet(qdarkstyle.load_stylesheet(qt_api="pyside6", palette=palette) + _additions(COLORS[theme]))
    # What is painted by hand asks the palette, which a style sheet leaves alone.
    own = QPalette()
    for role, name in (
        (QPalette.ColorRole.Window, COLORS[theme].panel),
        (QPalette.ColorRole.Base, COLORS[theme].panel),
        (QPalette.ColorRole.WindowText, COLORS[theme].text),
        (QPalette.ColorRole.Text, COLORS[theme].text),
        (QPalette.ColorRole.Highlight, COLORS[theme].accent),
    ):
        own.setColor(role, QColor(name))
    app.setPalette(own)


def restyle(widget: QWidget, name: str) -> None:
    """Give a widget the looks of another object name."""
    if widget.objectName() != name:
        widget.setObjectName(name)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def rule() -> QFrame:
    """A thin line between parts."""
    rule = QFrame()
    rule.setObjectName("rule")
    rule.setFixedHeight(1)
    return rule


def _additions(c: Colors) -> str:
    return f"""
QPushButton, QPushButton:disabled, QPushButton:checked {{ min-height: 24px; padding: 3px 12px; border-radius: 4px; }}
QToolButton {{ min-height: 22px; padding: 2px 8px; }}
QToolButton#beside {{ min-height: 18px; }}
QToolButton#beside[popupMode="2"] {{ padding: 2px 15px 2px 5px; }}
QToolButton#beside::menu-indicator {{ subcontrol-origin: padding; subcontrol-position: right center; right: 5px; }}
QComboBox, QSpinBox, QDoubleSpinBox, QLineEdit {{ min-height: 22px; }}
QComboBox QAbstractItemView::item {{ min-height: 24px; }}
QPushButton:focus, QToolButton:focus, QCheckBox:focus {{ border: 1px solid {c.accent_hover}; }}
QPushButton#primary {{
    background-color: {c.accent}; color: {c.on_accent}; border: 2px solid {c.accent};
    font-weight: 600; min-height: 30px;
}}
QPushButton#primary:hover, QPushButton#primary:pressed {{ background-color: {c.accent_hover}; }}
QPushButton#primary:focus {{ border: 2px solid {c.text}; }}
QPushButton#primary:disabled {{ background-color: {c.line}; color: {c.muted}; border-color: {c.line}; }}
QSlider:focus {{ border: 1px solid {c.accent_hover}; border-radius: 3px; }}
QLabel#muted, QLabel#number_note {{ color: {c.muted}; }}
QLabel#heading {{ color: {c.muted}; font-weight: 600; }}
QLabel#number {{ font-size: 19px; font-weight: 600; }}
QLabel#warning {{ color: {c.warning}; }}
QLabel#bad {{ color: {c.failed}; }}
QLabel#drop_here {{ border: 1px dashed {c.muted}; border-radius: 4px; padding: 6px; color: {c.muted}; }}
QFrame#message {{ border: 1px solid {c.warning}; border-radius: 4px; }}
QFrame#rule {{ background-color: {c.line}; max-height: 1px; min-height: 1px; border: 0; }}
QListView#filmstrip {{ border: 0; border-top: 1px solid {c.line}; background-color: {c.panel}; padding: 0; }}
QStatusBar {{ border-top: 1px solid {c.line}; }}
QToolBar QLabel {{ background: transparent; padding: 0 8px; }}
QScrollArea QLabel {{ padding: 0; }}
QLabel#drop_here {{ padding: 6px; }}
QStatusBar QLabel {{ padding: 0 6px; }}
"""
