"""The line below a view that says what happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from app import icons, theme
from app.dialogs import TextDialog
from engine.language import tr

NOTE, WARNING, ERROR = "info", "warning", "error"
"""Kinds of message, each by the name of its icon."""

_WORDS = {NOTE: tr("Note"), WARNING: tr("Warning"), ERROR: tr("Error")}


class MessageLine(QFrame):
    """One sentence that stays until it is dismissed, with details or something to do about it; it stops nobody.

    Its kind is told by an icon, and where something is wrong by a word, too. Where it is narrow its buttons go below.
    """

    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.setAccessibleName(tr("Message"))
        self.kind = NOTE
        self.sign = QLabel()
        self.sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.word = QLabel()
        self.word.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.text.setSizePolicy(policy)
        self.more = QToolButton()
        self.more.setText(tr("Details…"))
        self.folder = QToolButton()
        self.folder.setText(tr("Open folder"))
        self.folder.clicked.connect(self._open_folder)
        self.action = QToolButton()
        self.action.clicked.connect(self._act)
        self.close_button = QToolButton()
        self.close_button.setText(tr("Dismiss"))
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.NEAR)
        row.addStretch(1)
        for button in (self.more, self.folder, self.action, self.close_button):
            row.addWidget(button)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(theme.EDGE, theme.TIGHT, theme.NEAR, theme.TIGHT)
        self._grid.setHorizontalSpacing(theme.NEAR)
        self._grid.setVerticalSpacing(theme.TIGHT)
        self._grid.setColumnStretch(2, 1)
        for column, label in enumerate((self.sign, self.word, self.text)):
            self._grid.addWidget(label, 0, column)
        self._grid.addWidget(self._buttons, 0, 3)
        self._is_narrow = False
        self._title, self._details, self._folder = "", "", None
        self._run: Callable[[], object] | None = None
        self.more.clicked.connect(self.show_details)
        self.close_button.clicked.connect(self._dismiss)
        self.hide()

    @property
    def details(self) -> str:
        """What the button would show."""
        return self._details

    def say(
        self,
        sentence: str,
        details: str = "",
        title: str = tr("Details"),
        folder: Path | None = None,
        action: tuple[str, Callable[[], object]] | None = None,
        kind: str = NOTE,
    ) -> None:
        """Show a sentence in place of the last; a folder can be opened from it, or one thing done."""
        self._title, self._details, self._folder = title, details, folder
        text, self._run = action or ("", None)
        self.kind = kind
        self.text.setText(sentence)
        self.folder.setVisible(folder is not None)
        self.more.setVisible(bool(details))
        self.action.setText(text)
        self.action.setVisible(action is not None)
        self._show_kind()
        self._arrange()
        self.show()

    def show_details(self) -> None:
        """Open the details beside the window, without blocking it."""
        dialog = TextDialog(self._title, self._details, self)
        dialog.show()

    def minimumSizeHint(self) -> QSize:
        """As wide as the buttons, below the text."""
        margins = self._grid.contentsMargins()
        width = self._buttons.minimumSizeHint().width() + margins.left() + margins.right()
        return QSize(width, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the buttons where there is room for them."""
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        """Draw the sign in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and hasattr(self, "_run"):
            self._show_kind()

    def _arrange(self) -> None:
        is_narrow = self.width() < self._buttons.sizeHint().width() + theme.length(320)
        if is_narrow != self._is_narrow:
            self._is_narrow = is_narrow
            self._grid.removeWidget(self._buttons)
            place = (1, 0, 1, 3) if is_narrow else (0, 3, 1, 1)
            self._grid.addWidget(self._buttons, *place)

    def _show_kind(self) -> None:
        colors = theme.colors()
        color = {NOTE: colors.running, WARNING: colors.warning, ERROR: colors.failed}[self.kind]
        self.sign.setPixmap(icons.pixmap(self.kind, color, theme.length(icons.SIZE), self.devicePixelRatioF()))
        self.sign.setAccessibleName(_WORDS[self.kind])
        self.word.setText("" if self.kind == NOTE else f"<b>{_WORDS[self.kind]}</b>")
        self.word.setVisible(self.kind != NOTE)
        if self.property("kind") != self.kind:
            self.setProperty("kind", self.kind)
            self.style().unpolish(self)
            self.style().polish(self)

    def _open_folder(self) -> None:
        if self._folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))

    def _act(self) -> None:
        self.hide()
        if self._run is not None:
            self._run()

    def _dismiss(self) -> None:
        self.hide()
        self.dismissed.emit()
