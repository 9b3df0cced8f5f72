"""Neighbor2Neighbor: the pairs, the loss, the authors' network and files, and what it learns."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from app import cli
from conftest import picture
from engine import paths
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.denoise import Denoising, load_model_from
from engine.encode import save_image
from engine.foreign import read_foreign
from engine.image import Image
from engine.method import Batch, MethodError, build
from engine.methods.neighbor2neighbor import METHOD, NeighborUNet, draw_neighbours, loss, sub_sample
from engine.mosaic import pack
from engine.params import make
from learning import reached
from models import checkpoint
from training.job import TrainJob
from training.loop import train
from training.run import CHECKPOINT


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def coordinates(count, height, width):
    """(B, 2, H, W): the row and the column of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns))[None].repeat(count, 1, 1, 1)


# The pairs


def test_the_two_pixels_are_of_one_cell_and_never_diagonal():
    places = coordinates(3, 62, 94)
    first, second = (sub_sample(places, chosen) for chosen in draw_neighbours(places, seeded()))
    cells = coordinates(3, 31, 47)
    assert torch.equal(first // 2, cells)
    assert torch.equal(second // 2, cells)
    assert ((first - second).abs().sum(1) == 1).all()


def test_all_eight_ordered_pairs_are_alike_and_each_pixel_is_in_each_picture_in_a_quarter_of_the_cells():
    first, second = draw_neighbours(torch.zeros(4, 1, 512, 512), seeded())
    cells = first.numel()
    counts = torch.bincount((4 * first + second).flatten(), minlength=16)
    neighbours = [1, 2, 4, 7, 8, 11, 13, 14]
    spread = 4 * (1 / 8 * 7 / 8 / cells) ** 0.5
    assert all(float(counts[pair]) / cells == pytest.approx(1 / 8, abs=spread) for pair in neighbours)
    assert counts[neighbours].sum() == cells
    for chosen in (first, second):
        shares = torch.bincount(chosen.flatten(), minlength=4) / cells
        assert torch.allclose(shares, torch.tensor(0.25), atol=4 * (1 / 4 * 3 / 4 / cells) ** 0.5)


def test_all_channels_give_the_same_pixel():
    plane = torch.rand(2, 1, 32, 48)
    planes = torch.cat((plane, plane + 1, plane + 2), 1)
    first, _ = draw_neighbours(planes, seeded())
    taken = sub_sample(planes, first)
    assert torch.allclose(taken - taken[:, :1], torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1).expand_as(taken))


def test_the_choice_is_new_for_each_cell_picture_and_draw_and_comes_from_the_generator_alone():
    noisy = torch.zeros(2, 1, 64, 64)
    generator = seeded(1)
    first, _ = draw_neighbours(noisy, generator)
    later, _ = draw_neighbours(noisy, generator)
    assert len(first[0].unique()) == 4
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, later)
    torch.manual_seed(77)
    assert torch.equal(draw_neighbours(noisy, seeded(1))[0], first)


@pytest.mark.parametrize("shape", [(1, 1, 7, 8), (1, 1, 8, 7)])
def test_odd_sides_are_refused(shape):
    with pytest.raises(MethodError, match="even sides"):
        draw_neighbours(torch.zeros(shape), seeded())


# The loss


class Scale(nn.Module):
    """x towards its mean 0.5 by a factor; says what it was given."""

    multiple_of = 1

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))
        self.given = []

    def forward(self, x, sigma):
        self.given.append((x, torch.is_grad_enabled()))
        return 0.5 + self.factor * (x - 0.5)


def value(network, noisy, ratio=2.0, progress=1.0, seed=0):
    batch = Batch(noisy, torch.full((len(noisy), 1, 1, 1), 0.1))
    return loss(network, batch, make(METHOD.Training, {"ratio": ratio}), seeded(seed), progress)


def grey(count=16, side=64):
    """Flat pictures of 0.5 with noise of deviation 0.1."""
    return 0.5 + 0.1 * torch.randn(count, 1, side, side, generator=seeded(9))


def test_the_loss_is_the_formula_with_the_same_places_for_the_picture_and_its_estimate():
    noisy, network = torch.rand(4, 3, 32, 32), Scale(0.6)
    first, second = draw_neighbours(noisy, seeded(3))
    g1, g2, estimate = sub_sample(noisy, first), sub_sample(noisy, second), 0.5 + 0.6 * (noisy - 0.5)
    difference = 0.5 + 0.6 * (g1 - 0.5) - g2
    bias = difference - (sub_sample(estimate, first) - sub_sample(estimate, second))
    expected = (difference**2).mean() + 0.75 * 2 * (bias**2).mean()
    assert float(value(network, noisy, 2.0, 0.75, seed=3).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_regulariser_of_the_identity_is_nothing():
    # g1 f(y) - g2 f(y) is then f(g1 y) - g2 y itself, in the same places only.
    noisy = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert float(value(Scale(1), noisy, ratio=20)) == pytest.approx(float(value(Scale(1), noisy, ratio=0)))


def test_the_weight_grows_from_nothing_with_the_training():
    noisy = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        start, middle, end = (float(value(Scale(0.5), noisy, progress=progress)) for progress in (0, 0.5, 1))
        assert start == pytest.approx(float(value(Scale(0.5), noisy, ratio=0)))
    assert end - start == pytest.approx(2 * (middle - start), rel=1e-4)
    assert end > start


def test_the_whole_picture_is_denoised_without_a_gradient_and_last():
    noisy, network = torch.rand(2, 1, 32, 48), Scale(0.5)
    value(network, noisy)
    (half, trained), (whole, also_trained) = network.given
    assert (half.shape, trained) == ((2, 1, 16, 24), True)
    assert torch.equal(whole, noisy)
    assert not also_trained


@pytest.mark.parametrize("ratio", [0.0, 2.0, 20.0])
def test_no_ratio_moves_a_network_away_from_the_clean_picture(ratio):
    # At f(y) = x the gradient is zero. With a gradient through f(y) it would be -2 ratio sigma^2: towards the noise.
    network, noisy = Scale(0), grey()
    value(network, noisy, ratio).backward()
    spread = 2 * (1 + ratio) * 0.1**2 / (noisy.numel() / 4) ** 0.5
    assert float(network.factor.grad) == pytest.approx(0, abs=4 * spread)
    identity = Scale(1)
    value(identity, noisy, ratio).backward()
    assert float(identity.factor.grad) == pytest.approx(2 * 0.1**2, rel=0.1)


def test_every_weight_learns_in_mixed_precision():
    network = build({"network": "n2n", "channels": 1, "features": 4})
    with torch.autocast("cpu", torch.bfloat16):
        value(network, grey(2)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("side", [16, 48, 96])
def test_a_patch_that_does_not_fit_says_which_would(side):
    network = build({"network": "n2n", "channels": 1, "features": 4})
    with pytest.raises(MethodError, match=rf"must be a multiple of 64, not {side}$"):
        value(network, torch.zeros(1, 1, side, side))


# The network of the authors


def unrolled(weights, x):
    """Their network layer by layer, from the tensors alone."""

    def convolved(name, feature):
        weight = weights[f"{name}.weight"]
        return F.conv2d(feature, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def active(name, feature):
        return F.leaky_relu(convolved(name, feature), 0.2)

    def doubled(name, feature, beside):
        weight, bias = weights[f"{name}.deconv.weight"], weights[f"{name}.deconv.bias"]
        return torch.cat((F.conv_transpose2d(feature, weight, bias, stride=2), beside), 1)

    pool1 = F.max_pool2d(active("enc_conv1", active("enc_conv0", x)), 2)
    pool2 = F.max_pool2d(active("enc_conv2", pool1), 2)
    pool3 = F.max_pool2d(active("enc_conv3", pool2), 2)
    pool4 = F.max_pool2d(active("enc_conv4", pool3), 2)
    deepest = active("enc_conv6", F.max_pool2d(active("enc_conv5", pool4), 2))
    feature = active("dec_conv5b", active("dec_conv5a", doubled("up5", deepest, pool4)))
    feature = active("dec_conv4b", active("dec_conv4a", doubled("up4", feature, pool3)))
    feature = active("dec_conv3b", active("dec_conv3a", doubled("up3", feature, pool2)))
    feature = active("dec_conv2b", active("dec_conv2a", doubled("up2", feature, pool1)))
    feature = active("dec_conv1b", active("dec_conv1a", doubled("up1", feature, x)))
    return convolved("nin_c", active("nin_b", active("nin_a", feature)))


def layout(channels):
    """Names and shapes of the weights in the authors' files."""
    shapes = {"enc_conv0": (48, channels, 3, 3)}
    shapes |= {f"enc_conv{index}": (48, 48, 3, 3) for index in range(1, 7)}
    shapes |= {"up5.deconv": (48, 48, 2, 2), "dec_conv5a": (96, 96, 3, 3), "dec_conv5b": (96, 96, 3, 3)}
    for level in (4, 3, 2):
        shapes |= {f"up{level}.deconv": (96, 96, 2, 2), f"dec_conv{level}a": (96, 144, 3, 3)}
        shapes |= {f"dec_conv{level}b": (96, 96, 3, 3)}
    shapes |= {"up1.deconv": (96, 96, 2, 2), "dec_conv1a": (96, 96 + channels, 3, 3), "dec_conv1b": (96, 96, 3, 3)}
    shapes |= {"nin_a": (96, 96, 1, 1), "nin_b": (96, 96, 1, 1), "nin_c": (channels, 96, 1, 1)}
    return shapes


def lively(network, seed=0):
    """Weights that let the picture through: ten times those it begins with, which are a tenth of Kaiming's."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter)
            else:
                parameter.normal_(0, 0.1)
    return network


@pytest.mark.parametrize(("channels", "count"), [(1, 1_256_689), (3, 1_259_475), (4, 1_260_868)])
def test_tensors_have_the_names_shapes_and_number_of_the_authors_files(channels, count):
    weights = NeighborUNet(channels).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    expected = {f"{name}.weight": shape for name, shape in layout(channels).items()}
    expected |= {
        f"{name}.bias": (shape[1] if "deconv" in name else shape[0],) for name, shape in layout(channels).items()
    }
    assert shapes == expected
    assert len(weights) == 50
    assert sum(tensor.numel() for tensor in weights.values()) == count


@pytest.mark.parametrize(("channels", "features"), [(1, 4), (3, 6), (4, 48)])
def test_the_network_computes_what_the_authors_does(channels, features):
    network = lively(NeighborUNet(channels, features)).double()
    x = torch.rand(2, channels, 64, 32, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(network(x), unrolled(network.state_dict(), x), rtol=1e-9)


def test_it_starts_with_a_tenth_of_kaimings_weights_and_no_biases():
    torch.manual_seed(0)
    weights = NeighborUNet().state_dict()
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert not tensor.any()
        else:
            fan = tensor[0].numel()
            assert float(tensor.std()) == pytest.approx(0.1 * (2 / fan) ** 0.5, rel=0.25)


def test_in_short_precision_only_the_features_are_rounded():
    network = lively(NeighborUNet(1, 8))
    short = copy.deepcopy(network).to(torch.bfloat16)
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        exact, rounded = network(x), short(x)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).std()) < 0.03 * float(exact.std())
    assert (rounded != rounded.to(torch.bfloat16).float()).float().mean() > 0.9


def test_the_margin_holds_the_receptive_field_of_157_pixels_and_tiles_begin_on_its_grid():
    # With positive weights whatever a pixel gains arrives wherever it can be seen.
    network = NeighborUNet(1, 1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        dark = torch.ones(1, 1, 32, 512, dtype=torch.float64)
        expected = network(dark)[0, 0, 0]

        def sees(pixel, distance):
            bright = dark.clone()
            bright[..., : pixel - distance + 1] = bright[..., pixel + distance :] = 2
            return bool((network(bright)[0, 0, 0, pixel] - expected[pixel]).abs() > 1e-12 * expected[pixel])

        assert not any(sees(pixel, 158) for pixel in range(240, 272))
        assert any(sees(pixel, 157) for pixel in range(240, 272))
    assert network.margin >= 157
    assert network.margin % network.multiple_of == 0


def lively_model(**arch):
    made = checkpoint(1, "n2n", network="n2n", features=2, **arch)
    weights = lively(made.build()).state_dict()
    return load_model_from(replace(made, weights=weights), device="cpu", precision="float32")


def denoised(model, pixels, tile):
    work = Denoising(model, Image(pixels), make(METHOD.Params, {}), sigma=0.1, tile=tile)
    for _ in work.run(1):
        pass
    return work.mean(1)


def test_tiles_give_the_whole_picture_and_a_narrower_margin_would_not(monkeypatch):
    pixels = np.random.default_rng(0).random((70, 450, 1), dtype=np.float32)
    model = lively_model()
    whole = denoised(model, pixels, 512)
    assert np.abs(denoised(model, pixels, 32) - whole).max() < 1e-5
    monkeypatch.setattr(NeighborUNet, "margin", 64)
    assert np.abs(denoised(model, pixels, 32) - whole).max() > 1e-4


def test_a_picture_goes_through_once_padded_to_multiples_of_32_and_not_to_a_square():
    model = lively_model()
    seen = []
    model.network.register_forward_hook(lambda network, given, result: seen.append(tuple(given[0].shape)))
    assert denoised(model, np.zeros((40, 200, 1), np.float32), 512).shape == (40, 200, 1)
    assert set(seen) == {(1, 1, 64, 224)}


# Files of the authors


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_their_files_are_recognised_and_rebuilt(channels):
    weights = lively(NeighborUNet(channels)).state_dict()
    (found,) = METHOD.recognise(weights)
    assert dict(found.arch) == {"network": "n2n", "channels": channels}
    network = build(found.arch)
    network.load_state_dict(dict(found.weights))
    x = torch.rand(1, channels, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(x, torch.zeros(1, 1, 1, 1)), unrolled(weights, x), atol=1e-4)


def without(weights, name):
    return {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: without(weights, "up3.deconv.bias"),
        lambda weights: {**weights, "extra": torch.zeros(1)},
        lambda weights: {**weights, "nin_a.weight": torch.zeros(384, 384, 1, 1)},  # their blind network
        lambda weights: {**weights, "enc_conv0.weight": torch.zeros(48)},
        lambda weights: NeighborUNet(2).state_dict(),
        lambda weights: NeighborUNet(3, 24).state_dict(),
        lambda weights: build({"network": "dncnn"}).state_dict(),
        lambda weights: {},
    ],
)
def test_other_tensors_are_not_taken_for_theirs(change):
    assert not METHOD.recognise(change(NeighborUNet().state_dict()))


def test_one_of_their_files_is_read_without_a_question(tmp_path):
    weights = lively(NeighborUNet(1)).state_dict()
    path = tmp_path / "epoch_model_100.pth"
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    read = read_foreign(path)
    assert (read.method, read.channels) == ("n2n", 1)
    assert all(torch.equal(read.weights[name], tensor) for name, tensor in weights.items())


# Training


def test_training_on_noisy_pictures_alone_beats_every_blur_on_others(tmp_path):
    noisy, blurred, denoised = reached(tmp_path, method="n2n", network="unet-tiny", steps=400)
    assert denoised > noisy + 3
    assert denoised > blurred


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        save_image(Image(picture(64, 70 + index).astype(np.float32)), folder / f"{index}.png")
    return folder


def test_its_own_network_is_trained_unless_another_is_named(pictures, tmp_path):
    job = TrainJob(
        data=str(pictures), method="n2n", noise="gaussian:25", steps=1, batch=1, patch=64, device="cpu",
        params={"ratio": 1.0},
    )  # fmt: skip
    list(train(job, tmp_path))
    assert dict(load_checkpoint(tmp_path / CHECKPOINT).arch) == {"network": "n2n", "channels": 3}


def test_a_patch_too_small_ends_the_command_with_one_sentence(pictures, tmp_path, capsys):
    common = ("--noise", "gaussian:25", "--steps", "1", "--patch", "32", "--device", "cpu", "-o", str(tmp_path / "run"))
    assert cli.main(["train", "--data", str(pictures), "--method", "n2n", *common]) == 2
    assert "must be a multiple of 64, not 32" in capsys.readouterr().err


def test_packed_mosaics_are_learned_and_come_out_as_four_planes():
    clean = picture(128, 128).astype(np.float32)
    mosaic = np.empty((128, 128), np.float32)
    for index, colour in enumerate((0, 1, 1, 2)):  # RGGB
        mosaic[index // 2 :: 2, index % 2 :: 2] = clean[index // 2 :: 2, index % 2 :: 2, colour]
    noise = np.random.default_rng(0).standard_normal(mosaic.shape).astype(np.float32)
    planes = [torch.from_numpy(pack(m, "RGGB").transpose(2, 0, 1))[None] for m in (mosaic, mosaic + 0.3 * noise)]
    torch.manual_seed(0)
    network = NeighborUNet(4, 8)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(150):
        optimiser.zero_grad()
        value(network, planes[1], progress=step / 150, seed=step).backward()
        optimiser.step()
    with torch.inference_mode():
        result = network(planes[1])
    assert result.shape == (1, 4, 64, 64)
    errors = [float(((given - planes[0]) ** 2).mean()) for given in (result, planes[1])]
    assert errors[0] < errors[1] / 2


# Evaluation


@pytest.fixture
def evaluate(pictures, capsys):
    save_checkpoint(replace(checkpoint(3), name="color"), paths.models() / "color.safetensors")

    def run(*arguments):
        status = cli.main(["evaluate", str(pictures), "--passes", "2", "--json", *arguments])
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def test_each_draw_is_other_noise_and_the_first_is_that_of_one_draw(evaluate):
    _, (*single, _), _ = evaluate("--noise", "gaussian:25")
    status, (*records, mean), _ = evaluate("--noise", "gaussian:25", "--draws", "3")
    assert status == 0
    assert [record["input"][-5:] for record in records] == ["0.png"] * 3 + ["1.png"] * 3
    noisy = [record["noisy_psnr_db"] for record in records]
    assert len(set(noisy)) == 6
    assert noisy[::3] == [record["noisy_psnr_db"] for record in single]
    assert (mean["pictures"], mean["draws"]) == (2, 3)
    assert mean["mean_noisy_psnr_db"] == pytest.approx(np.mean(noisy))
    assert mean["mean_psnr_db"] == pytest.approx(np.mean([record["psnr_db"] for record in records]))


def test_draws_count_pictures_once_for_the_limit(evaluate):
    _, (*records, mean), _ = evaluate("--noise", "poisson:30", "--draws", "2", "--limit", "1")
    assert len(records) == 2
    assert mean["pictures"] == 1


def test_draws_without_noise_to_draw_are_wrong_usage(evaluate):
    status, _, err = evaluate("--draws", "2")
    assert status == 2
    assert "give --noise" in err
