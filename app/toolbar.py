"""A tool bar whose buttons leave out their words, the less important first, where the window is too narrow for them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QLabel, QToolBar, QToolButton, QWidget

from app import icons, theme

_WORDS = Qt.ToolButtonStyle.ToolButtonTextBesideIcon
_ICONS = Qt.ToolButtonStyle.ToolButtonIconOnly


class ToolBar(QToolBar):
    """Groups of actions with icons; the first group keeps its words longest."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._groups: list[list[QToolButton]] = []
        self.setMovable(False)
        side = theme.length(icons.SIZE)
        self.setIconSize(QSize(side, side))
        self.setToolButtonStyle(_WORDS)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)

    def add_group(self, actions: Sequence[tuple[QAction, str, str]]) -> None:
        """Add buttons of (action, icon's name, word); the whole sentence and the keys are in their tooltips."""
        group = []
        for action, name, word in actions:
            icons.put(name, action)
            keys = ", ".join(key.toString(QKeySequence.SequenceFormat.NativeText) for key in action.shortcuts())
            sentence = action.text().split("\t")[0].replace("&", "").removesuffix("…")
            action.setToolTip(f"{sentence} ({keys})" if keys else sentence)
            action.setIconText(word)
            action.setIconVisibleInMenu(False)
            self.addAction(action)
            button = self.widgetForAction(action)
            assert isinstance(button, QToolButton)
            button.setAccessibleName(sentence)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            group.append(button)
        self._groups.append(group)
        self.addSeparator()

    def add_label(self, label: QLabel) -> None:
        """Add a text at the end."""
        self.addWidget(label)
        self._fit()

    @property
    def groups_with_words(self) -> int:
        """How many groups show their words now, from the first."""
        return sum(bool(group) and group[0].toolButtonStyle() == _WORDS for group in self._groups)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many words as there is room for."""
        self._fit()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Measure again in another font or another look."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        layout = self.layout()
        if layout is None:
            return
        for count in range(len(self._groups), -1, -1):
            for index, group in enumerate(self._groups):
                for button in group:
                    button.setToolButtonStyle(_WORDS if index < count else _ICONS)
            layout.invalidate()
            if self.sizeHint().width() <= self.width():
                break
