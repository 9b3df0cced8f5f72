"""The line icons of the program in the colours of the theme, sharp at every scale of the screen."""

from __future__ import annotations

from functools import cache
from typing import Protocol

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from app import theme
from engine import paths

SIZE = 20
"""Side of the grid that the icons are drawn on, in pixels of a screen without scale."""

# Those that buttons ask for at the scales 1, 1.25, 1.5, 2 and 3: what is not among them would be scaled and blurred.
_SIDES = (16, 20, 24, 25, 30, 32, 40, 48, 60)

_PROPERTY = "icon_name"


class _Wearer(Protocol):
    """A button or an action."""

    def setIcon(self, icon: QIcon, /) -> None: ...

    def setProperty(self, name: str, value: object, /) -> bool: ...


def names() -> list[str]:
    """What `icon` knows."""
    return sorted(path.stem for path in (paths.resources() / "icons").glob("*.svg"))


def icon(name: str, color: str = "") -> QIcon:
    """An icon in the theme's text colour, or in another (#rrggbb); a button that is off shows it muted.

    It keeps its colour when the theme changes; `put` gives one that changes with it.

    Raises:
        KeyError: there is no icon of this name.
    """
    colors = theme.colors()
    return _icon(name, color or colors.text, colors.off)


def put(name: str, wearer: _Wearer) -> None:
    """Give a button or an action an icon that follows the theme."""
    wearer.setProperty(_PROPERTY, name)
    wearer.setIcon(icon(name))


def pixmap(name: str, color: str, side: int, scale: float) -> QPixmap:
    """One icon as a picture.

    Args:
        name: of the icon.
        color: as #rrggbb.
        side: in pixels independent of the scale.
        scale: device pixels for each of them.

    Raises:
        KeyError: there is no icon of this name.
    """
    made = _drawn(name, color, round(side * scale))
    made.setDevicePixelRatio(scale)
    return made


def tint() -> None:
    """Draw every icon that was `put` in the colours of the theme in force."""
    for widget in QApplication.allWidgets():
        for wearer in (widget, *widget.actions()):
            name = _name_of(wearer)
            if name:
                wearer.setIcon(icon(name))  # pyright: ignore[reportAttributeAccessIssue]


def _name_of(wearer: QObject) -> str:
    return wearer.property(_PROPERTY) or ""


@cache
def _icon(name: str, color: str, off: str) -> QIcon:
    made = QIcon()
    for side in _SIDES:
        made.addPixmap(_drawn(name, color, side), QIcon.Mode.Normal)
        made.addPixmap(_drawn(name, off, side), QIcon.Mode.Disabled)
    return made


def _drawn(name: str, color: str, side: int) -> QPixmap:
    """(side, side) device pixels."""
    drawn = QPixmap(side, side)
    drawn.fill(Qt.GlobalColor.transparent)
    renderer = QSvgRenderer(QByteArray(_source(name).replace("currentColor", color).encode()))
    painter = QPainter(drawn)
    renderer.render(painter, QRectF(0, 0, side, side))
    painter.end()
    return drawn


@cache
def _source(name: str) -> str:
    path = paths.resources() / "icons" / f"{name}.svg"
    if not path.is_file():
        raise KeyError(f"there is no icon {name!r} in {path.parent}")
    return path.read_text(encoding="utf-8")
