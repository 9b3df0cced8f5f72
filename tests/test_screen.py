"""The window's colours: before, after, thumbnail and copy agree, also when the screen's profile changes."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from opened import install_models, noisy_pixels
from test_color import SRGB, exact, grey_profile, profile

from app import screen
from app.dialogs import Preferences
from app.settings import Settings
from app.workspace import Workspace
from engine.image import Image
from engine.metadata import Metadata

PATIENCE_MS = 20_000


class Shown:
    """What a view would show: what the workspace reports, put together."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.after = workspace, None
        workspace.region_ready.connect(self._take)
        workspace.result_cleared.connect(self._clear)

    @property
    def before(self) -> np.ndarray:
        return self.workspace.opened.picture.shown.pixels

    def _take(self, pixels: np.ndarray, x: int, y: int) -> None:
        if self.after is None:
            self.after = np.zeros_like(self.before)
        self.after[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels

    def _clear(self) -> None:
        self.after = None


@pytest.fixture
def workspace(qtbot, monkeypatch):
    install_models()
    made = Workspace(Settings())
    made.errors = []
    made.failed.connect(lambda sentence, details: made.errors.append(sentence + details))
    yield made
    made.close()
    screen.use_profile("")


def wide() -> Image:
    return Image(noisy_pixels(140, 250), bits=16, metadata=Metadata(icc=profile("adobe")))


def test_before_after_and_copy_are_in_the_same_colours(workspace, qtbot, tmp_path):
    shown, copied = Shown(workspace), []
    workspace.copied.connect(copied.append)
    workspace.set_viewport((0, 0, 250, 140))
    workspace.set_strength(0.0)
    workspace.add_image(wide(), "wide")
    qtbot.waitUntil(lambda: workspace.is_done, timeout=PATIENCE_MS)
    pixels = workspace.opened.picture.image.pixels
    assert np.abs(shown.before - exact(pixels.clip(0, 1), profile("adobe"), SRGB)).max() < 0.6
    assert np.array_equal(shown.after, shown.before)  # at strength 0 nothing else may differ
    workspace.copy_result()
    qtbot.waitUntil(lambda: bool(copied), timeout=PATIENCE_MS)
    assert np.array_equal(copied[0], shown.before)

    path = tmp_path / "screen.icc"
    path.write_bytes(profile("p3"))
    before = shown.before
    workspace.change_settings(screen_profile=str(path))
    qtbot.waitUntil(lambda: not np.array_equal(shown.before, before), timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: shown.after is not None and np.array_equal(shown.after, shown.before), timeout=PATIENCE_MS)
    assert np.abs(shown.before - exact(pixels.clip(0, 1), profile("adobe"), profile("p3"))).max() < 1.5
    copied.clear()
    workspace.copy_result()
    qtbot.waitUntil(lambda: bool(copied), timeout=PATIENCE_MS)
    assert np.array_equal(copied[0], before)  # a clipboard is in sRGB, whatever the screen
    assert workspace.errors == []


def test_a_grey_result_has_the_tint_of_the_screen_like_what_was_before(workspace, qtbot, tmp_path):
    path = tmp_path / "warm.icc"
    primaries = [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]
    path.write_bytes(bytes(imagecodecs.cms_profile("rgb", whitepoint=[0.33, 0.34, 1], primaries=primaries, gamma=2.0)))
    workspace.change_settings(screen_profile=str(path))
    shown = Shown(workspace)
    workspace.set_viewport((0, 0, 160, 120))
    workspace.set_strength(0.0)
    pixels = np.ascontiguousarray(noisy_pixels()[..., :1])
    workspace.add_image(Image(pixels, bits=16, metadata=Metadata(icc=grey_profile(1.8))), "grey")
    qtbot.waitUntil(lambda: workspace.is_done, timeout=PATIENCE_MS)
    assert np.array_equal(shown.after, shown.before)
    assert workspace.errors == []


def test_a_screen_profile_that_is_gone_is_said_once_and_srgb_taken(qtbot, tmp_path):
    made = Workspace(Settings(screen_profile=str(tmp_path / "gone.icc")))
    said = []
    made.failed.connect(lambda sentence, details: said.append(sentence))
    qtbot.waitUntil(lambda: bool(said), timeout=PATIENCE_MS)
    made.close()
    assert said[0].startswith("gone.icc cannot be read")
    assert screen.conversion_of(Image(noisy_pixels())) is None


def test_preferences_take_a_profile_or_say_why_not(qtbot, tmp_path):
    good, bad = tmp_path / "EIZO.icc", tmp_path / "letter.icc"
    good.write_bytes(profile("p3"))
    bad.write_text("Dear screen," * 40)
    dialog = Preferences(Settings(), ("cpu",))
    qtbot.addWidget(dialog)
    assert dialog.changes()["screen_profile"] == ""
    dialog.choose_profile(bad)
    assert dialog.changes()["screen_profile"] == ""
    assert dialog.screen_note.text() == "letter.icc is no colour profile; choose the .icc file of your screen."
    dialog.choose_profile(good)
    assert dialog.changes()["screen_profile"] == str(good)
    assert dialog.screen_note.isHidden()
    dialog.choose_profile(None)
    assert Path(dialog.changes()["screen_profile"]) == good
    again = Preferences(Settings(screen_profile=str(good)), ("cpu",))
    qtbot.addWidget(again)
    assert again.changes()["screen_profile"] == str(good)


def test_the_systems_profile_is_offered_where_there_is_one(qtbot, monkeypatch):
    assert Preferences(Settings(), ("cpu",)).screen.findData(screen.SYSTEM) < 0 or screen.system_profile() is not None
    monkeypatch.setattr(screen, "system_profile", lambda: profile("p3"))
    dialog = Preferences(Settings(screen_profile=screen.SYSTEM), ("cpu",))
    qtbot.addWidget(dialog)
    assert dialog.changes()["screen_profile"] == screen.SYSTEM
    screen.use_profile(screen.SYSTEM)
    assert screen.conversion_of(Image(noisy_pixels())) is not None
    screen.use_profile("")
