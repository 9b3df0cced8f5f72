"""Mosaics come apart into four planes and together again, the same for every sensor."""

import numpy as np
import pytest

from engine.mosaic import PATTERNS, MosaicError, pack, unpack


def mosaic_of(pattern, height=6, width=10):
    """A mosaic whose pixels say their colour: R 10, G 20 or 30 (in blue's rows), B 40; and the column in hundreds."""
    cell = np.array([{"R": 10, "G": 20, "B": 40}[colour] for colour in pattern]).reshape(2, 2)
    blue_row = pattern.index("B") // 2
    cell[blue_row][cell[blue_row] == 20] = 30
    return np.tile(cell, (height // 2, width // 2)) + 100 * (np.arange(width) // 2)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_planes_are_red_its_rows_green_blues_rows_green_and_blue_whatever_the_pattern(pattern):
    planes = pack(mosaic_of(pattern), pattern)
    assert planes.shape == (3, 5, 4)
    assert (planes % 100 == (10, 20, 30, 40)).all()
    assert (planes // 100 == np.arange(5)[:, None]).all()


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_unpacking_gives_the_mosaic_back_bit_for_bit(pattern, kind):
    mosaic = (1000 * np.random.default_rng(0).random((8, 12))).astype(kind)
    again = unpack(pack(mosaic, pattern), pattern)
    assert again.dtype == kind
    assert np.array_equal(again, mosaic)


def test_the_mosaic_is_not_changed_through_its_planes():
    mosaic = mosaic_of("RGGB")
    pack(mosaic, "RGGB")[:] = 0
    assert mosaic.all()


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (6, 6, 3)])
def test_a_mosaic_that_is_no_plane_with_even_sides_is_refused(shape):
    with pytest.raises(MosaicError, match="even sides"):
        pack(np.zeros(shape), "RGGB")


def test_other_than_four_planes_are_refused():
    with pytest.raises(MosaicError, match="four colour planes"):
        unpack(np.zeros((4, 4, 3)), "RGGB")


@pytest.mark.parametrize("pattern", ["RGBG", "rggb", ""])
def test_an_unknown_pattern_names_the_choices(pattern):
    with pytest.raises(MosaicError, match="choose from RGGB, BGGR, GRBG, GBRG"):
        pack(np.zeros((4, 4)), pattern)
