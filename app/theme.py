"""Dark and light: colours, sizes and spacing of the whole program, laid over qdarkstyle."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("QT_API", "pyside6")

from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPalette
from PySide6.QtWidgets import QApplication, QFrame, QWidget

_USUAL_LINE = 15.0
"""Height in pixels of a line of text where nobody has changed the size of the font."""

TIGHT, NEAR, EDGE, APART = 4, 8, 12, 16
"""Spacing in pixels: inside a control, between controls, around a panel, between groups."""


@dataclass(frozen=True)
class Colors:
    """Of one theme, as #rrggbb. What is read on them is tested for the contrast that WCAG 2.2 AA asks for."""

    canvas: str
    """Around pictures."""
    panel: str
    raised: str
    """Buttons."""
    selected: str
    """Behind a text that is chosen."""
    line: str
    """Between parts; nothing is to be read from it."""
    edge: str
    """Around what is typed into."""
    text: str
    muted: str
    off: str
    """Text and icon of what cannot be used now."""
    accent: str
    accent_hover: str
    on_accent: str
    focus: str
    """The ring around what has the keyboard."""
    running: str
    done: str
    failed: str
    warning: str
    caption: str
    """Text over pictures, on `plate`."""
    plate: str
    """#aarrggbb, dark enough for `caption` on white pixels."""


COLORS = {
    # Neutral greys: tints mislead the eye.
    "dark": Colors(
        canvas="#202020", panel="#242628", raised="#3b3f43", selected="#2c4a66", line="#45494e", edge="#767c83",
        text="#e6e7e8", muted="#a9afb5", off="#7b8187", accent="#2a72b5", accent_hover="#2f78bc", on_accent="#ffffff",
        focus="#79b8f5", running="#5fb0ff", done="#56c481", failed="#ff7d76", warning="#e8b04a",
        caption="#f5f5f5", plate="#b4000000",
    ),
    "light": Colors(
        canvas="#d8d8d8", panel="#fafafa", raised="#e3e5e7", selected="#cfe3f7", line="#c4c8cc", edge="#80868c",
        text="#1b2229", muted="#515a63", off="#878d93", accent="#1a5f9f", accent_hover="#164f86", on_accent="#ffffff",
        focus="#1a5f9f", running="#19599a", done="#17693a", failed="#b0241e", warning="#774f00",
        caption="#f5f5f5", plate="#b4000000",
    ),
}  # fmt: skip


_current = "dark"


def colors() -> Colors:
    """Those of the theme in force."""
    return COLORS[_current]


def luminance(color: str) -> float:
    """Relative luminance as WCAG defines it, 0 for black to 1 for white, of #rrggbb."""
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours #rrggbb, 1 to 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def ink(ground: str) -> str:
    """White or black, whichever is read better on a colour: for signs and words on badges."""
    return max("#ffffff", "#000000", key=lambda color: contrast(color, ground))


def apply_theme(app: QApplication, theme: str) -> None:
    """Give the whole program the dark or the light look, in sizes that go by the font of the system."""
    import qdarkstyle
    from qdarkstyle.dark.palette import DarkPalette
    from qdarkstyle.light.palette import LightPalette

    from app import icons

    global _current
    _current = theme
    c = COLORS[theme]
    app.setFont(_with_even_figures(app.font()))
    palette = DarkPalette if theme == "dark" else LightPalette
    sheet = qdarkstyle.load_stylesheet(qt_api="pyside6", palette=palette)
    for name, own in _replacements(c).items():
        sheet = sheet.replace(getattr(palette, name), own)
    app.setStyleSheet(sheet + _additions(c, app.font(), f":/qss_icons/{palette.ID}/rc"))
    # What is painted by hand asks the palette, which a style sheet leaves alone.
    own = QPalette()
    for role, name in (
        (QPalette.ColorRole.Window, c.panel),
        (QPalette.ColorRole.Base, c.panel),
        (QPalette.ColorRole.WindowText, c.text),
        (QPalette.ColorRole.Text, c.text),
        (QPalette.ColorRole.PlaceholderText, c.muted),
        (QPalette.ColorRole.Highlight, c.accent),
        (QPalette.ColorRole.Link, c.focus),
    ):
        own.setColor(role, QColor(name))
    app.setPalette(own)
    icons.tint()


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


def length(pixels: int) -> int:
    """As wide in the font of the program as so many pixels are in one of usual size."""
    return round(pixels * QFontMetricsF(QApplication.font()).height() / _USUAL_LINE)


def scaled(font: QFont, share: float) -> QFont:
    """The same font in another size; what paints by hand takes its sizes from here."""
    other = QFont(font)
    if font.pointSizeF() > 0:
        other.setPointSizeF(font.pointSizeF() * share)
    else:
        other.setPixelSize(max(1, round(font.pixelSize() * share)))
    return other


def _with_even_figures(font: QFont) -> QFont:
    """Digits of one width, where the font has them: numbers that change do not jump."""
    other = QFont(font)
    other.setFeature(QFont.Tag("tnum"), 1)
    return other


def _replacements(c: Colors) -> dict[str, str]:
    """Own colours for those of qdarkstyle's palettes, whose greys are blue."""
    return {
        "COLOR_BACKGROUND_1": c.panel,
        "COLOR_BACKGROUND_2": c.panel,
        "COLOR_BACKGROUND_3": c.panel,
        "COLOR_BACKGROUND_4": c.raised,
        "COLOR_BACKGROUND_5": c.line,
        "COLOR_BACKGROUND_6": c.line,
        "COLOR_TEXT_1": c.text,
        "COLOR_TEXT_2": c.text,
        "COLOR_TEXT_3": c.muted,
        "COLOR_TEXT_4": c.muted,
        "COLOR_ACCENT_1": c.selected,
        "COLOR_ACCENT_2": c.selected,
        "COLOR_ACCENT_3": c.selected,
        "COLOR_ACCENT_4": c.focus,
        "COLOR_ACCENT_5": c.focus,
        "COLOR_DISABLED": c.off,
    }


def _additions(c: Colors, font: QFont, images: str) -> str:
    # One height for everything that is pressed or typed into.
    height = max(28, round(QFontMetricsF(font).height()) + 12)
    inner, mark = height - 8, max(14, round(0.5 * height))
    unit, size = ("pt", font.pointSizeF()) if font.pointSizeF() > 0 else ("px", float(font.pixelSize()))
    number, title, small = (f"{size * share:.1f}{unit}" for share in (1.5, 1.25, 0.9))
    return f"""
QPushButton, QPushButton:disabled, QPushButton:checked {{
    min-height: {inner}px; padding: 3px {EDGE}px; border: 1px solid transparent; border-radius: 4px;
}}
QToolButton {{ min-height: {inner - 2}px; padding: 2px {NEAR}px; border: 1px solid transparent; }}
QPushButton:checked, QToolButton:checked {{ background-color: {c.selected}; border: 1px solid {c.edge}; }}
QPushButton:disabled, QToolButton:disabled {{ background-color: transparent; border: 1px solid {c.line}; }}
QToolButton#beside {{ min-height: {inner - 2}px; }}
QToolButton#beside[popupMode="2"] {{ padding: 2px 15px 2px 5px; }}
QToolButton#beside::menu-indicator {{ subcontrol-origin: padding; subcontrol-position: right center; right: 5px; }}
QComboBox, QAbstractSpinBox, QLineEdit {{
    min-height: {inner}px; padding: 1px 4px; border: 1px solid {c.edge}; border-radius: 4px;
}}
QAbstractItemView QLineEdit {{ min-height: 0; padding: 0 2px; }}
QComboBox:disabled, QAbstractSpinBox:disabled, QLineEdit:disabled {{ border: 1px solid {c.line}; }}
QComboBox QAbstractItemView::item {{ min-height: {inner}px; }}
QComboBox::drop-down {{ border: 0; }}
QComboBox::down-arrow, QAbstractSpinBox::down-arrow {{ image: url("{images}/arrow_down.png"); }}
QAbstractSpinBox::up-arrow {{ image: url("{images}/arrow_up.png"); }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ border: 0; }}
QComboBox::down-arrow:disabled, QAbstractSpinBox::down-arrow:disabled, QAbstractSpinBox::down-arrow:off {{
    image: url("{images}/arrow_down_disabled.png");
}}
QAbstractSpinBox::up-arrow:disabled, QAbstractSpinBox::up-arrow:off {{
    image: url("{images}/arrow_up_disabled.png");
}}
QPushButton:focus, QToolButton:focus, QComboBox:focus, QAbstractSpinBox:focus, QLineEdit:focus,
QPushButton:checked:focus, QToolButton:checked:focus, QTextEdit:focus, QPlainTextEdit:focus {{
    border: 1px solid {c.focus};
}}
QCheckBox::indicator, QRadioButton::indicator, QGroupBox::indicator {{ width: {mark}px; height: {mark}px; }}
QCheckBox, QRadioButton {{ border: 1px solid transparent; border-radius: 3px; padding: 3px 2px; }}
QCheckBox:focus, QRadioButton:focus, QSlider:focus, QTabBar:focus, QListView:focus, QTableView:focus,
QTreeView:focus {{ border: 1px solid {c.focus}; }}
QPushButton#primary {{
    background-color: {c.accent}; color: {c.on_accent}; border: 1px solid {c.accent};
    font-weight: 600; min-height: {inner + 4}px;
}}
QPushButton#primary:hover, QPushButton#primary:pressed {{ background-color: {c.accent_hover}; }}
QPushButton#primary:focus {{ border: 2px solid {c.text}; padding: 2px {EDGE - 1}px; }}
QPushButton#primary:disabled {{ background-color: transparent; color: {c.off}; border-color: {c.line}; }}
QSlider {{ border: 1px solid transparent; border-radius: 3px; padding: 2px; }}
QSlider::groove:horizontal {{ background: {c.line}; border: 0; height: 4px; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {c.accent}; border: 0; border-radius: 2px; }}
QSlider::sub-page:horizontal:disabled {{ background: {c.line}; }}
QSlider::handle:horizontal {{
    background: {c.text}; border: 1px solid {c.panel}; width: 12px; height: 12px; margin: -5px 0; border-radius: 7px;
}}
QSlider::handle:horizontal:hover, QSlider::handle:horizontal:focus {{
    background: {c.focus}; border: 1px solid {c.panel};
}}
QSlider::handle:horizontal:disabled {{ background: {c.off}; }}
QLabel#muted, QLabel#number_note {{ color: {c.muted}; }}
QLabel#heading {{ color: {c.muted}; font-weight: 600; }}
QLabel#title {{ font-size: {title}; font-weight: 600; }}
QLabel#small {{ font-size: {small}; color: {c.muted}; }}
QLabel#number {{ font-size: {number}; font-weight: 600; }}
QLabel#warning {{ color: {c.warning}; }}
QLabel#bad {{ color: {c.failed}; }}
QLabel#drop_here {{ border: 1px dashed {c.muted}; border-radius: 4px; padding: 6px; color: {c.muted}; }}
QFrame#message {{ border: 1px solid {c.running}; border-radius: 4px; }}
QFrame#message[kind="warning"] {{ border-color: {c.warning}; }}
QFrame#message[kind="error"] {{ border-color: {c.failed}; }}
QFrame#rule {{ background-color: {c.line}; max-height: 1px; min-height: 1px; border: 0; }}
QListView#filmstrip {{ border: 0; border-top: 1px solid {c.line}; background-color: {c.panel}; padding: 0; }}
QListView#filmstrip:focus {{ border-top: 1px solid {c.focus}; }}
QMenuBar {{ background-color: {c.panel}; border: 0; padding: 2px {TIGHT}px; }}
QMenuBar::item {{ padding: 4px {NEAR}px; border-radius: 4px; }}
QMenu {{ border: 1px solid {c.line}; padding: {TIGHT}px; }}
QMenu::separator {{ background-color: {c.line}; margin: {TIGHT}px 0; }}
QToolBar {{
    background-color: {c.panel}; border: 0; border-bottom: 1px solid {c.line};
    padding: 3px {NEAR}px; spacing: 2px; font-weight: 400;
}}
QToolBar::separator:horizontal {{ image: none; background-color: {c.line}; width: 1px; margin: 6px 6px; }}
QToolBar QToolButton {{ background-color: transparent; padding: 2px 6px; }}
QToolBar QToolButton:hover {{ background-color: {c.raised}; }}
QToolBar QToolButton:checked {{ background-color: {c.selected}; border: 1px solid {c.edge}; }}
QToolBar QToolButton:disabled {{ border: 1px solid transparent; }}
QToolBar QToolButton:focus, QToolBar QToolButton:checked:focus {{ border: 1px solid {c.focus}; }}
QToolBar QLabel {{ background: transparent; padding: 0 {NEAR}px; }}
QStatusBar {{ background: {c.panel}; border: 0; border-top: 1px solid {c.line}; }}
QStatusBar QLabel {{ padding: 0 6px; }}
QToolTip {{ background-color: {c.raised}; color: {c.text}; border: 1px solid {c.edge}; padding: 4px; }}
QProgressBar {{ border: 1px solid {c.edge}; border-radius: 4px; background-color: {c.panel}; }}
QProgressBar::chunk {{ background-color: {c.accent}; border-radius: 3px; }}
QScrollArea, QGraphicsView {{ border: 1px solid transparent; border-radius: 0; padding: 0; }}
QScrollArea:focus, QGraphicsView:focus {{ border: 1px solid {c.focus}; }}
QScrollArea QLabel {{ padding: 0; }}
QScrollBar:vertical {{ width: 12px; margin: 0; border: 0; }}
QScrollBar:horizontal {{ height: 12px; margin: 0; border: 0; }}
QScrollBar::handle {{ background-color: {c.edge}; border: 3px solid {c.panel}; border-radius: 6px; }}
QScrollBar::handle:vertical {{ min-height: 32px; }}
QScrollBar::handle:horizontal {{ min-width: 32px; }}
QScrollBar::handle:hover, QScrollBar::handle:vertical:hover, QScrollBar::handle:horizontal:hover {{
    background-color: {c.muted}; border: 3px solid {c.panel}; border-radius: 6px;
}}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; border: 0; }}
QScrollBar::add-line:vertical, QScrollBar::sub-line:vertical {{ height: 0; border-image: none; }}
QScrollBar::add-line:horizontal, QScrollBar::sub-line:horizontal {{ width: 0; border-image: none; }}
QMainWindow::separator {{ background-color: {c.panel}; padding: 0; width: 4px; height: 4px; image: none; }}
QMainWindow::separator:hover {{ background-color: {c.edge}; }}
QLabel#drop_here {{ padding: 6px; }}
"""
