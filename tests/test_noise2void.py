"""Noise2Void: which pixels are masked, by what, and that nothing else counts."""

import pytest
import torch

from engine.method import Batch
from engine.methods import noise2void
from engine.methods.noise2void import METHOD, loss, mask
from engine.params import make
from learning import reached


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def coordinates(count, side):
    """(B, 2, side, side): the row and the column of each pixel."""
    return torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))[None].repeat(
        count, 1, 1, 1
    )


def test_replacements_come_from_all_120_neighbours_alike_and_never_from_the_pixel_itself(monkeypatch):
    monkeypatch.setattr(noise2void, "SHARE", 0.5)
    places = coordinates(8, 128)
    masked, chosen = mask(places, seeded())
    offsets = (masked - places).movedim(1, -1)[chosen[:, 0]]
    assert offsets.abs().max() == 5
    counts = torch.bincount((offsets[:, 0] + 5) * 11 + offsets[:, 1] + 5, minlength=121).double()
    assert counts[60] == 0
    others = torch.cat((counts[:60], counts[61:]))
    expected = len(offsets) / 120
    # Chi squared with 119 degrees of freedom is below 180 in 999 of 1000 cases.
    assert float(((others - expected) ** 2 / expected).sum()) < 180


def test_two_in_a_thousand_pixels_are_masked_and_all_others_stay():
    noisy = torch.rand(32, 3, 128, 128)
    masked, chosen = mask(noisy, seeded())
    assert float(chosen[:, :, 5:-5, 5:-5].float().mean()) == pytest.approx(0.002, rel=0.1)
    assert torch.equal((masked != noisy).any(1, keepdim=True), chosen)
    border = chosen.clone()
    border[:, :, 5:-5, 5:-5] = False
    assert not border.any()


def test_each_picture_of_a_batch_and_each_draw_has_other_masks():
    noisy = torch.rand(2, 1, 128, 128)
    generator = seeded()
    first, second = mask(noisy, generator)[1], mask(noisy, generator)[1]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert torch.equal(mask(noisy, seeded())[1], first)


def value(network, noisy):
    batch = Batch(noisy, torch.full((len(noisy), 1, 1, 1), 0.1))
    return float(loss(network, batch, make(METHOD.Training, {}), seeded(), 0.5))


def test_only_masked_pixels_count_and_their_target_is_the_noisy_picture():
    noisy = torch.rand(4, 3, 64, 64)
    chosen = mask(noisy, seeded())[1]
    assert value(lambda x, sigma: torch.where(chosen, noisy, 9.0), noisy) == 0
    assert value(lambda x, sigma: torch.where(chosen, noisy + 0.5, noisy), noisy) == pytest.approx(0.25)


def test_the_identity_does_not_pay():
    noisy = 0.5 + 0.1 * torch.randn(64, 1, 64, 64, generator=seeded(1))
    assert value(lambda x, sigma: torch.full_like(x, 0.5), noisy) == pytest.approx(0.01, rel=0.2)
    assert value(lambda x, sigma: x, noisy) == pytest.approx(0.02, rel=0.2)


def test_patches_without_a_masked_pixel_have_a_loss_of_zero():
    assert value(lambda x, sigma: x + 1, torch.rand(1, 1, 8, 8)) == 0


def test_training_on_noisy_pictures_alone_denoises_others(tmp_path):
    noisy, _, denoised = reached(tmp_path, method="n2v", network="unet-tiny", steps=300)
    assert noisy == pytest.approx(20.36, abs=0.1)
    assert denoised > noisy + 3
