"""The line at the top of a window that leads through pages: their titles, the one that is shown in bold."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QHBoxLayout, QLabel

from app import theme
from engine.language import tr


class Steps(QHBoxLayout):
    """Titles of pages with arrows between them; what is added later stands at the right end."""

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = tuple(titles)
        self.labels = [QLabel() for _ in titles]
        self.setContentsMargins(16, 10, 12, 10)
        self.setSpacing(16)
        for number, label in enumerate(self.labels):
            if number:
                arrow = QLabel("→")
                arrow.setObjectName("muted")
                self.addWidget(arrow)
            self.addWidget(label)
        self.addStretch(1)

    def show_step(self, number: int) -> None:
        """Tell which page is shown, from 0."""
        for index, (title, label) in enumerate(zip(self._titles, self.labels, strict=True)):
            text = f"{index + 1} {title}"
            label.setText(f"<b>{text}</b>" if index == number else text)
            theme.restyle(label, "" if index == number else "muted")
            said = tr("Step {title}, shown") if index == number else tr("Step {title}")
            label.setAccessibleName(said.format(title=text))
