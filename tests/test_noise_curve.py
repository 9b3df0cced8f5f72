"""The noise over brightness on generated pictures whose noise is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from reports import correlated, report

from engine.image import Image
from engine.mosaic import Mosaic
from engine.noise import NoiseError, measure_noise, patches
from engine.noise_curve import NoiseCurve, curve
from engine.proposal import Proposal


def ramp(side: int = 384, channels: int = 3) -> np.ndarray:
    """A grey ramp from 0.1 to 0.8, each channel a little brighter than the last."""
    grey = np.linspace(0.1, 0.8, side)
    return np.broadcast_to(grey[None, :, None] + 0.05 * np.arange(channels), (side, side, channels))


def noisy(slope: float, offset: float, channels: int = 3, seed: int = 0, **rest) -> Image:
    clean = ramp(channels=channels)
    z = np.random.default_rng(seed).standard_normal(clean.shape)
    return Image((clean + z * np.sqrt(slope * clean + offset)).astype(np.float32), **rest)


def measured(image: Image) -> NoiseCurve:
    return curve(image, measure_noise(image))


def test_points_lie_on_the_line_that_the_noise_was_made_by():
    found = measured(noisy(slope=0.01, offset=0.001))
    assert [channel.name for channel in found.channels] == ["Red", "Green", "Blue"]
    for channel in found.channels:
        truth = 0.01 * channel.intensity + 0.001
        assert len(channel.intensity) >= 8
        assert np.median(np.abs(channel.variance / truth - 1)) < 0.05
        assert np.median(np.abs(channel.line(channel.intensity) / truth - 1)) < 0.1


def test_points_of_correlated_noise_are_not_pulled_down_by_choosing_the_quietest():
    clean = ramp()
    z = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(clean.shape), (0, 0), 1.0)
    z *= 0.05 / z.std()
    image = Image((clean + z).astype(np.float32))
    found = measured(image)
    values = np.concatenate([channel.variance for channel in found.channels])
    assert np.median(values) == pytest.approx(0.05**2, rel=0.12)
    middle = len(found.autocorrelation) // 2
    assert found.autocorrelation[middle, middle] == pytest.approx(1)
    assert found.autocorrelation[middle, middle + 1] > 0.5
    assert any("not white" in sentence for sentence in found.conclusions)


def test_texture_lies_above_the_quietest_patches_and_is_left_out():
    image = noisy(slope=0.0, offset=0.0009)
    pixels = image.pixels.copy()
    y, x = np.mgrid[0:384, 0:384]
    pixels[:192] += (0.2 * np.sin(x) * np.sin(y))[:192, :, None].astype(np.float32)
    channel = measured(Image(pixels)).channels[0]
    assert np.median(channel.variance) == pytest.approx(0.0009, rel=0.1)


def test_clipped_shares_are_told_for_each_channel_and_end():
    image = noisy(slope=0.0, offset=0.0025)
    pixels = image.pixels.copy()
    pixels[..., 0] -= 0.1
    pixels[..., 2] += 0.1
    pixels = np.clip(pixels, 0, 1)
    found = measured(Image(pixels))
    red, green, blue = found.channels
    for channel, index in ((red, 0), (green, 1), (blue, 2)):
        assert channel.black == pytest.approx(np.mean(pixels[..., index] == 0), abs=1e-9)
        assert channel.white == pytest.approx(np.mean(pixels[..., index] == 1), abs=1e-9)
    assert red.black > 0.02
    assert blue.white > 0.02
    assert any("clipped" in sentence for sentence in found.conclusions)


def test_intensities_of_pictures_in_their_own_unit_lie_between_their_levels():
    image = noisy(slope=0.01, offset=0.001)
    scaled = Image((500 + 3000 * image.pixels).astype(np.float32), is_float=True, bits=32, levels=(500.0, 3500.0))
    plain, found = measured(image), measured(scaled)
    for one, other in zip(plain.channels, found.channels, strict=True):
        np.testing.assert_allclose(one.intensity, other.intensity, atol=1e-3)
        np.testing.assert_allclose(one.variance, other.variance, rtol=1e-2)


def test_grey_picture_in_a_colour_file_has_one_curve():
    grey = noisy(slope=0.0, offset=0.001, channels=1)
    found = measured(Image(np.repeat(grey.pixels, 3, axis=2)))
    assert [channel.name for channel in found.channels] == ["Grey"]
    assert found.channel_correlation.shape == (1, 1)


def test_mosaic_shows_the_four_planes_and_the_line_of_its_file():
    rng = np.random.default_rng(0)
    light = np.linspace(0.1, 0.7, 256)[None, :].repeat(256, 0)
    noise = np.array([[0.01, 1e-4], [0.005, 1e-4], [0.02, 1e-4]])
    mosaic = Mosaic(light.astype(np.float32), "RGGB", np.ones(3), np.eye(3), noise)
    pixels = light + rng.standard_normal(light.shape) * np.sqrt(mosaic.variance(mosaic.pixels))
    mosaic = Mosaic(pixels.astype(np.float32), "RGGB", np.ones(3), np.eye(3), noise)
    developed = Image(np.zeros((256, 256, 3), np.float32), bits=16, mosaic=mosaic)
    assert developed.develop.domain == "mosaic"
    found = curve(developed, report(4))
    assert found.is_mosaic
    assert [channel.slope for channel in found.channels] == [0.01, 0.005, 0.005, 0.02]
    for channel in found.channels:
        ratio = channel.variance / (channel.slope * channel.intensity + channel.offset)
        assert np.median(np.abs(ratio - 1)) < 0.1


def test_conclusions_begin_with_the_reason_and_end_with_the_method():
    made = curve(noisy(0.0, 0.01), report(), Proposal("apr-rd", "some", reason="it is so"))
    assert made.conclusions[0] == "made up"
    assert made.conclusions[-1] == "So the method proposed is APR-RD, because it is so."


def test_conclusions_of_correlated_noise_tell_what_a_network_is_told():
    level = 255 * correlated(sigma=0.1).level
    made = curve(noisy(0.0, 0.01), correlated(sigma=0.1, width=0.6))
    assert any(f"told {level:.1f}" in sentence for sentence in made.conclusions) == (level > 25.5)


def test_conclusions_say_whether_noise_grows_with_brightness():
    def text(image: Image) -> str:
        return " ".join(measured(image).conclusions)

    assert "It grows with brightness" in text(noisy(slope=0.01, offset=0.0005))
    assert "much the same" in text(noisy(slope=0.0, offset=0.002))


def test_wholly_clipped_picture_has_no_points_but_a_curve():
    image = Image(np.ones((64, 64, 3), np.float32) * (np.arange(64) % 2)[None, :, None].astype(np.float32))
    found = curve(image, report())
    assert all(len(channel.intensity) == 0 for channel in found.channels)
    assert any("too few flat places" in sentence for sentence in found.conclusions)


def test_too_small_a_picture_is_refused_with_its_size():
    with pytest.raises(NoiseError, match="20x30"):
        patches(np.zeros((30, 20, 1), np.float32))
