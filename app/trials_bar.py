"""The bar below the view by which results are tried beside each other, and what brings them into the view."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from PySide6.QtCore import QObject, QRect, QSize, Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLayout,
    QLayoutItem,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from app import icons
from app.controls import db
from app.jobs import Numbers
from app.trials import MOST, State, Trial, Trials
from app.words import duration, wrapped
from engine.language import tr

_TITLE_WIDTH = 22
"""Of a trial's button, in letters m."""


def number(numbers: Numbers) -> str:
    """How good a result is, worded as for the one that is alone: PSNR against the reference, or the estimate."""
    if numbers.psnr_db is not None:
        return f"PSNR {db(numbers.psnr_db)}"
    estimate = numbers.estimate
    if estimate is None:
        return "–"
    if estimate.psnr_db is None:
        return tr("PSNR not estimated")
    return tr("estimated {psnr_db:.2f} ± {band_db:.2f} dB").format(psnr_db=estimate.psnr_db, band_db=estimate.band_db)


def lines(trial: Trial) -> list[str]:
    """How far a trial is; once it is done its number, then what that is of and the time that its passes took."""
    if trial.state is State.FAILED:
        return [trial.note]
    if trial.state is State.WAITING:
        return [tr("waiting")]
    if trial.state is State.COMPUTING or trial.numbers is None:
        if not trial.wanted:
            return [tr("begins")]
        return [tr("T {made} of {wanted}").format(made=trial.made, wanted=trial.wanted)]
    parts = []
    if not trial.numbers.is_whole:
        parts.append(tr("visible part"))
    if trial.numbers.shift is not None:
        parts.append(tr("brightness aligned"))
    if trial.seconds:
        parts.append(f"{trial.seconds:.1f} s" if trial.seconds < 10 else duration(trial.seconds))
    return [number(trial.numbers), *([" · ".join(parts)] if parts else [])]


def detail(trial: Trial) -> str:
    """The same in one line."""
    return " · ".join(lines(trial))


class TrialsBar(QWidget):
    """Offers to try, and of the results that are tried to mark, keep or remove one."""

    def __init__(self, trials: Trials, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trials = trials
        self.setAccessibleName(tr("Results beside each other"))
        self.fill = QPushButton(tr("Try all on this region"))
        self.fill.setToolTip(
            wrapped(
                tr(
                    "Shows up to four results of what is visible beside each other: other methods, models and values, "
                    "each with its number and time. Only what is visible is computed; click one to keep it."
                )
            )
        )
        icons.put("grid", self.fill)
        self.add = QPushButton(tr("Add the present settings"))
        self.add.setToolTip(wrapped(tr("Makes them a result of their own; what is then changed is changed there.")))
        icons.put("add", self.add)
        self.cells = [_Cell(trials, place) for place in range(MOST)]
        self.done = QPushButton(tr("Done"))
        self.done.setToolTip(wrapped(tr("Back to one result: the marked one.")))
        flow = _Flow(self)
        for widget in (self.fill, self.add, *self.cells, self.done):
            flow.addWidget(widget)
        for button in (self.fill, self.add, self.done):
            button.setAccessibleName(button.text())
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.fill.clicked.connect(trials.fill_all)
        self.add.clicked.connect(trials.add_current)
        self.done.clicked.connect(trials.end)
        trials.changed.connect(self.show_trials)
        trials.workspace.state_changed.connect(self.show_state)
        self.show_trials()

    def show_trials(self) -> None:
        """All trials, and how far each is."""
        found, marked = self.trials.trials, self.trials.marked
        had_focus = any(
            cell.isAncestorOf(self.focusWidget()) for cell in self.cells[len(found) :] if self.focusWidget()
        )
        for place, cell in enumerate(self.cells):
            cell.setVisible(place < len(found))
            if place < len(found):
                cell.show_trial(found[place], place == marked)
        self.done.setVisible(bool(found))
        # Where there are four, nothing can be added, and a narrow bar has better use for its room.
        for button in (self.fill, self.add):
            had_focus = had_focus or (button.hasFocus() and len(found) == MOST)
            button.setVisible(len(found) < MOST)
        self.show_state()
        if had_focus:
            (self.cells[marked].choose if found else self.fill).setFocus()

    def show_state(self) -> None:
        """What can be done now."""
        can_try, is_full = self.trials.can_try, len(self.trials.trials) == MOST
        for button in (self.fill, self.add):
            button.setEnabled(can_try)
            button.setVisible(not is_full)


class _Cell(QWidget):
    """One trial: a button that marks it, and those that keep and remove it."""

    def __init__(self, trials: Trials, place: int) -> None:
        super().__init__()
        self._place = place
        self._text = ""
        self.choose = QToolButton()
        self.choose.setCheckable(True)
        self.choose.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.keep = QToolButton()
        self.keep.setText(tr("Keep"))
        self.keep.setAccessibleName(tr("Keep result {number}").format(number=place + 1))
        self.keep.setToolTip(wrapped(tr("Give the picture these settings.")))
        self.remove = QToolButton()
        icons.put("close", self.remove)
        self.remove.setAccessibleName(tr("Remove result {number}").format(number=place + 1))
        self.remove.setToolTip(self.remove.accessibleName())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for button in (self.choose, self.keep, self.remove):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            row.addWidget(button)
        self.choose.clicked.connect(lambda: self._mark(trials))
        self.keep.clicked.connect(lambda: trials.keep(place))
        self.remove.clicked.connect(lambda: trials.remove(place))

    def show_trial(self, trial: Trial, is_marked: bool) -> None:
        """Its number, title and state; a check mark tells the marked one."""
        self._text = f"{'✓ ' if is_marked else ''}{self._place + 1}  {trial.title}"
        state = detail(trial)
        estimate = trial.numbers.estimate if trial.numbers is not None and trial.numbers.psnr_db is None else None
        if estimate is not None and estimate.reason:
            state = f"{state}. " + tr("No PSNR is estimated: {reason}.").format(reason=estimate.reason.rstrip("."))
        name = tr("Result {number}: {title}; {state}")
        self.choose.setAccessibleName(name.format(number=self._place + 1, title=trial.title, state=state))
        tip = tr("Its settings go to the panel, and what is changed there is changed here.")
        self.choose.setToolTip(wrapped(f"{trial.title}\n\n{state}\n\n{tip}"))
        self.choose.setChecked(is_marked)
        self.keep.setEnabled(trial.state is not State.FAILED)
        letters = self.choose.fontMetrics()
        width = _TITLE_WIDTH * letters.horizontalAdvance("n")
        text = letters.elidedText(self._text, Qt.TextElideMode.ElideRight, width)
        self.choose.setText(text.replace("&", "&&"))

    def _mark(self, trials: Trials) -> None:
        self.choose.setChecked(True)  # also the marked one stays pressed
        trials.mark(self._place)


class _Flow(QLayout):
    """Widgets from left to right, in as many rows as the width asks for."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(8, 4, 8, 4)
        self.setSpacing(8)

    def addItem(self, item: QLayoutItem) -> None:
        """Put one behind the others."""
        self._items.append(item)

    def count(self) -> int:
        """How many there are."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One of them; None behind the last."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one out; None behind the last."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        """A narrow bar is higher."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Of all rows."""
        return self._arrange(QRect(0, 0, width, 0), moves=False)

    def setGeometry(self, rect: QRect) -> None:
        """Put the widgets in their places."""
        super().setGeometry(rect)
        self._arrange(rect, moves=True)

    def sizeHint(self) -> QSize:
        """No wider than its widest widget: what is not wide enough for all is made higher."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:
        """Of the widest widget, with the margins."""
        size = QSize()
        for item in self._shown():
            size = size.expandedTo(item.minimumSize())
        left, top, right, bottom = self._margins()
        return size + QSize(left + right, top + bottom)

    def _margins(self) -> tuple[int, int, int, int]:
        margins = self.contentsMargins()
        return margins.left(), margins.top(), margins.right(), margins.bottom()

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _arrange(self, rect: QRect, *, moves: bool) -> int:
        left, top, right, bottom = self._margins()
        x, y, height = rect.x() + left, rect.y() + top, 0
        for item in self._shown():
            size = item.sizeHint()
            if x > rect.x() + left and x + size.width() > rect.right() + 1 - right:
                x, y, height = rect.x() + left, y + height + self.spacing(), 0
            if moves:
                item.setGeometry(QRect(x, y, min(size.width(), rect.width() - left - right), size.height()))
            x += size.width() + self.spacing()
            height = max(height, size.height())
        return y + height + bottom - rect.y()


class _View(Protocol):
    """What shows several pictures of one region: `compare.CompareView` in its mode "grid"."""

    grid_chosen: Any
    mode_changed: Any

    @property
    def mode(self) -> str: ...

    def set_mode(self, mode: str) -> None: ...

    def set_grid(self, count: int) -> None: ...

    def set_grid_picture(self, index: int, pixels: Any) -> None: ...

    def update_grid(self, index: int, pixels: np.ndarray, x: int, y: int) -> None: ...

    def set_grid_caption(self, index: int, title: str, detail: str) -> None: ...

    def set_grid_mark(self, index: int) -> None: ...


class Connection(QObject):
    """Shows trials in a view and keeps the one that is clicked there.

    The view changes to its mode "grid" when they begin and back when they end; another mode ends them.
    """

    def __init__(self, trials: Trials, view: _View, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._trials, self._view = trials, view
        self._mode, self._count, self._marked = "", 0, -1
        self._captions: list[tuple[str, str]] = []
        trials.changed.connect(self._show)
        trials.cleared.connect(self._clear)
        trials.region_ready.connect(self._update)
        view.grid_chosen.connect(trials.keep)
        view.mode_changed.connect(self._follow_mode)

    def _show(self) -> None:
        found, view = self._trials.trials, self._view
        if len(found) != self._count:
            before, self._count = self._count, len(found)
            if found:
                view.set_grid(len(found))
            self._captions = [("", "")] * len(found)
            if not before:
                self._mode = view.mode
                view.set_mode("grid")
            elif not found and view.mode == "grid":
                view.set_mode(self._mode)
        # The view has a mark of its own, which moves with its keys; it follows where another result is marked here.
        if found and self._marked != self._trials.marked:
            view.set_grid_mark(self._trials.marked)
        self._marked = self._trials.marked if found else -1
        for place, trial in enumerate(found):
            caption = f"{place + 1}  {trial.title}", "\n".join(lines(trial))
            if caption != self._captions[place]:
                self._captions[place] = caption
                view.set_grid_caption(place, *caption)

    def _clear(self, place: int) -> None:
        self._show()
        self._view.set_grid_picture(place, None)

    def _update(self, place: int, pixels: np.ndarray, x: int, y: int) -> None:
        self._view.update_grid(place, pixels, x, y)

    def _follow_mode(self, mode: str) -> None:
        if mode != "grid":
            self._trials.end()
