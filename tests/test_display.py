"""The after side shows result, removed noise, spread or reference; black and white points never touch the data."""

import numpy as np
import pytest

from app.display import GAINS, Display, render, usual_gain
from app.screen import to_screen
from engine.image import Image


@pytest.fixture
def image():
    return Image(np.random.default_rng(0).random((20, 30, 3), np.float32))


def test_the_result_is_shown_as_the_picture_itself_would_be(image):
    shown = render(Display(), image, image.pixels, image.pixels)
    np.testing.assert_array_equal(shown, to_screen(image.pixels, image.levels))


def test_what_was_removed_lies_about_middle_grey_and_is_amplified(image):
    result = image.pixels - np.float32(4 / 255)
    assert set(np.unique(render(Display("removed", gain=1), image, image.pixels, result))) <= {131, 132}
    assert set(np.unique(render(Display("removed", gain=8), image, image.pixels, result))) <= {159, 160}
    nothing = render(Display("removed", gain=8), image, image.pixels, image.pixels)
    assert set(np.unique(nothing)) <= {127, 128}


def test_the_spread_is_shown_on_black_and_as_large_as_the_picture(image):
    spread = np.full((20, 30, 1), 5 / 255, np.float32)
    shown = render(Display("spread", gain=10), image, image.pixels, image.pixels, spread)
    assert shown.shape == (20, 30, 3)
    assert set(np.unique(shown)) == {50}


def test_a_layer_that_is_not_there_shows_the_result(image):
    result = render(Display(), image, image.pixels, image.pixels)
    for layer in ("spread", "reference"):
        np.testing.assert_array_equal(render(Display(layer), image, image.pixels, image.pixels), result)


def test_the_reference_is_shown_with_the_same_black_and_white(image):
    clean, display = image.pixels[::-1].copy(), Display("reference", levels=(0.2, 0.6))
    shown = render(display, image, image.pixels, image.pixels, clean=clean)
    np.testing.assert_array_equal(shown, to_screen(clean, (0.2, 0.6)))


def test_black_and_white_points_change_what_is_seen_and_nothing_else(image):
    before = image.pixels.copy()
    shown = render(Display(levels=(0.25, 0.75)), image, image.pixels, image.pixels)
    assert (shown[image.pixels <= 0.25] == 0).all()
    assert (shown[image.pixels >= 0.75] == 255).all()
    np.testing.assert_array_equal(image.pixels, before)


def test_the_usual_gain_clips_next_to_none_of_the_noise_and_shows_it(image):
    noise = np.random.default_rng(1).standard_normal((200, 200, 3)).astype(np.float32)
    for sigma in (3 / 255, 10 / 255, 25 / 255):
        noisy = 0.5 + np.float32(sigma) * noise
        shown = render(Display("removed", usual_gain("removed", sigma)), image, noisy, np.full_like(noisy, 0.5))
        assert np.isin(shown, (0, 255)).mean() < 0.002
        assert shown.std() > 24
    assert usual_gain("spread", 5 / 255) > usual_gain("removed", 5 / 255)
    assert usual_gain("removed", 1.0) == 1


@pytest.mark.parametrize("sigma", [1e-4, 3 / 255, 25 / 255, 2.0])
def test_the_usual_gain_is_one_that_the_slider_can_show(sigma):
    assert {usual_gain("removed", sigma), usual_gain("spread", sigma)} <= set(GAINS)


def test_a_spread_of_a_fifth_of_the_noise_is_seen(image):
    sigma = 25 / 255
    spread = np.full((8, 8, 1), 0.2 * sigma, np.float32)
    clean = np.full((8, 8, image.channels), 0.5, np.float32)
    shown = render(Display("spread", usual_gain("spread", sigma)), image, clean, clean, spread=spread)
    assert 50 < shown.mean() < 255
