"""The noise of a pass depends on seed, pass, channel and position, and on nothing else."""

import numpy as np

from engine.field import NoiseField


def test_any_rectangle_is_a_part_of_the_same_plane():
    field = NoiseField(7, 2)
    whole = field.unit(3, 0, 0, 600, 700)
    for top, left, height, width in ((0, 0, 10, 10), (250, 200, 60, 300), (511, 255, 89, 2), (13, 640, 500, 60)):
        part = NoiseField(7, 2).unit(3, top, left, height, width)
        assert np.array_equal(part, whole[:, top : top + height, left : left + width])


def test_passes_channels_blocks_and_seeds_are_independent():
    field = NoiseField(0, 2)
    planes = [
        field.unit(0, 0, 0, 256, 256)[0],
        field.unit(0, 0, 0, 256, 256)[1],
        field.unit(2, 0, 0, 256, 256)[0],
        field.unit(0, 256, 0, 256, 256)[0],
        field.unit(0, 0, 256, 256, 256)[0],
        NoiseField(1, 2).unit(0, 0, 0, 256, 256)[0],
    ]
    correlation = np.corrcoef([plane.ravel() for plane in planes])
    assert np.abs(correlation - np.eye(len(planes))).max() < 0.02


def test_the_plane_goes_on_above_and_left_of_the_picture():
    field = NoiseField(7, 1)
    whole = field.unit(0, -300, -300, 600, 600)
    assert np.array_equal(field.unit(0, -20, -260, 40, 10), whole[:, 280:320, 40:50])
    blocks = [
        whole[0, 44:300, 44:300],
        whole[0, 44:300, 300:556],
        whole[0, 300:556, 44:300],
        whole[0, 300:556, 300:556],
    ]
    assert np.abs(np.corrcoef([block.ravel() for block in blocks]) - np.eye(4)).max() < 0.02


def test_neighbouring_seeds_differ_also_at_the_upper_end():
    near = [NoiseField(2**64 - offset, 1).unit(0, 0, 0, 64, 64).ravel() for offset in (1, 2, 3)]
    assert np.abs(np.corrcoef(near) - np.eye(3)).max() < 0.1


def test_the_noise_is_standard_normal():
    values = NoiseField(5, 1).unit(0, 0, 0, 512, 512)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
