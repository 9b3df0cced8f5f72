"""The main states look as they did, as far as other fonts and edges of letters let that be told."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import screens

pytestmark = [pytest.mark.bundled, pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)]

MOST_BYTES, MOST_TOGETHER = 30_000, 1_000_000


@pytest.fixture(scope="module")
def references() -> dict[str, np.ndarray]:
    return {name: screens.read_reference(name) for name in screens.names()}


@pytest.fixture
def opened(qapp):
    """A stage with the sample, not denoised."""
    with screens.staged("dark") as stage:
        screens.opened(stage)
        yield stage


def shown(stage: screens.Stage) -> np.ndarray:
    stage.settle()
    return screens.reduced(screens.grabbed(stage.window), screens.WIDTH)


def test_the_reference_pictures_are_small_and_none_is_left_over():
    files = list(screens.REFERENCES.iterdir())
    assert sorted(file.stem for file in files) == sorted(screens.names())
    assert all(file.stat().st_size <= MOST_BYTES for file in files)
    assert sum(file.stat().st_size for file in files) < MOST_TOGETHER


def test_no_state_passes_for_another(qapp, references):
    for first, second in itertools.combinations(references, 2):
        assert not screens.is_alike(references[first], references[second]), f"{first} looks like {second}"


def test_other_edges_of_letters_pass(qapp, references):
    for name, pixels in references.items():
        moved = np.roll(cv2.GaussianBlur(pixels, (0, 0), 0.7), (1, 2), axis=(0, 1))
        moved[:1], moved[:, :2] = pixels[:1], pixels[:, :2]
        assert screens.is_alike(pixels, moved), f"{name}: {screens.difference(pixels, moved)}"


def test_a_picture_is_as_wide_as_the_reference_or_another(qapp, references):
    pixels = references["dark-empty"]
    assert not screens.is_alike(pixels, pixels[:-9])
    assert not screens.is_alike(pixels, pixels[:, :-1])


def test_a_reference_that_is_missing_says_how_it_is_made():
    with pytest.raises(FileNotFoundError, match=r"python -m tests\.screens --update dark-nothing"):
        screens.read_reference("dark-nothing")


def test_a_panel_that_is_missing_is_seen(opened, references):
    reference = references["dark-opened"]
    assert screens.is_alike(shown(opened), reference)
    for name in ("panels", "filmstrip", "inspector"):
        opened.window.actions_by_name[name].trigger()
        assert not screens.is_alike(shown(opened), reference), f"nobody sees whether {name} is shown"
        opened.window.actions_by_name[name].trigger()
        opened.viewer.view.fit()
    assert screens.is_alike(shown(opened), reference)


def test_another_mode_and_the_other_theme_are_seen(opened, references):
    reference = references["dark-opened"]
    for mode in ("stack", "wipe", "after"):
        opened.viewer.set_mode(mode)
        assert not screens.is_alike(shown(opened), reference), mode
    opened.viewer.set_mode("side")
    opened.workspace.change_settings(theme="light")
    assert not screens.is_alike(shown(opened), reference)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_state_looks_as_it_did(qapp, references, theme, tmp_path):
    states = [name.removeprefix(f"{theme}-") for name in screens.names() if name.startswith(theme)]
    wrong = []
    for name, pixels in screens.shoot(theme, states):
        if not screens.is_alike(pixels, references[name]):
            screens.write_jpeg(pixels, tmp_path / f"{name}.jpg", MOST_BYTES)
            wrong.append(f"{name} {screens.difference(pixels, references[name])}")
    hint = f"look at {tmp_path}; where it is meant: python -m tests.screens --update"
    assert not wrong, f"{', '.join(wrong)}; {hint}"
