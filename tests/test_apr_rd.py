"""APR-RD: what its networks see and do not, what its two stages draw, the authors' files, and what it learns."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from conftest import picture
from engine import params
from engine.checkpoint import Checkpoint, load_checkpoint
from engine.denoise import Denoising, load_model_from
from engine.encode import save_image
from engine.foreign import Convention, ConventionNeeded, read_foreign
from engine.image import Image
from engine.method import Batch, MethodError, build
from engine.methods import apr_rd
from engine.methods.apr_rd import METHOD, AprRd, AprRdNetwork, AprRdParams, AprRdTraining
from training.events import Staged, Validated
from training.job import TrainJob
from training.loop import train
from training.run import CHECKPOINT

SMALL = {"network": "apr-rd", "width": 4, "levels": 2, "blocks": 1}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def network(seed: int = 0, **arch) -> AprRdNetwork:
    torch.manual_seed(seed)
    return build({**SMALL, **arch})


def loss_of(stage, made: AprRdNetwork, noisy: torch.Tensor, **values) -> torch.Tensor:
    training = params.make(AprRdTraining, values)
    batch = Batch(noisy, torch.full((noisy.shape[0], 1, 1, 1), 0.1))
    return stage(made, batch, training, torch.Generator().manual_seed(0), 0.5)


# The networks of the papers


@pytest.mark.parametrize(
    ("part", "arch", "parameters", "tensors"),
    [
        ("teacher", {}, 1_268_547, 40),
        ("student", {"student": "1.02"}, 1_021_107, 32),
        ("student", {"student": "1.00"}, 1_003_011, 34),
        ("teacher", {"hole": "diamond"}, 1_350_339, 2 * 57 + 6),
        ("student", {"student": "0.86"}, 856_656, 17),
        ("student", {"student": "0.13"}, 128_385, 5),
    ],
)
def test_the_networks_have_as_many_parameters_as_their_authors(part, arch, parameters, tensors):
    made = build({"network": "apr-rd", "parts": part, **arch}).get_submodule(part)
    assert (count(made), len(made.state_dict())) == (parameters, tensors)


@pytest.mark.parametrize(("student", "thousands"), [("1.02", 203.9), ("1.00", 185.8), ("0.86", 405.6), ("0.13", 31.2)])
def test_the_students_cost_a_pixel_what_their_authors_do(student, thousands):
    made, multiplied = build({"network": "apr-rd", "parts": "student", "student": student}), 0

    def add(layer, given, result):
        nonlocal multiplied
        multiplied += result.numel() * layer.weight[0].numel()

    for layer in made.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add)
    with torch.no_grad():
        made(torch.rand(1, 3, 64, 64))
    assert multiplied / 64**2 / 1000 == pytest.approx(thousands, abs=0.06)


def test_the_names_of_the_layers_are_those_of_the_authors():
    teacher = {f"unet.{name}.conv" for name in ["intro", *(f"enc{level}.conv1" for level in range(1, 7))]}
    teacher |= {f"unet.dec{level}.conv{number}.conv" for level in range(1, 6) for number in (1, 2)}
    named = {"1.00": set(teacher), "teacher": teacher | {"nin_A", "nin_B", "nin_C"}}
    named["1.02"] = {f"enc{level}.conv" for level in range(1, 7)} | {"dec1_2.conv", "dec1_1"}
    named["1.02"] |= {f"dec{level}_{number}.conv" for level in range(2, 6) for number in (1, 2)}
    for student in ("1.00", "1.02"):
        made = build({"network": "apr-rd", "student": student})
        for part, names in (("teacher", named["teacher"]), ("student", named[student])):
            assert {name.rpartition(".")[0] for name in made.get_submodule(part).state_dict()} == names


# What is seen


def seen(made: AprRdNetwork, shift: int, side: int, place: tuple[int, int]) -> np.ndarray:
    """Which input pixels the teacher's result at a place has a gradient to, (side, side), over several pictures.

    All weights are positive, so that no two ways to a pixel cancel; the pictures differ in what the pools pass on.
    """
    found = torch.zeros(side, side)
    for seed in range(6):
        x = torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(seed)).requires_grad_()
        (result,) = made.by_teachers(x, (shift,), mirrored=False)
        (gradient,) = torch.autograd.grad(result[0, :, place[0], place[1]].sum(), x)
        found += gradient.abs().sum((0, 1))
    return found.numpy() > 0


def positive(made: AprRdNetwork) -> AprRdNetwork:
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.abs_()
    return made


@pytest.mark.parametrize("levels", [2, 5])
def test_the_teacher_sees_nothing_of_a_square_around_the_pixel(levels):
    made, side = positive(network(levels=levels, width=2, parts="teacher")), 64
    y, x = np.mgrid[:side, :side]
    for shift, (row, column) in itertools.product(range(1, 6), [(32, 32), (29, 34), (31, 35)]):
        away = np.maximum(abs(y - row), abs(x - column))
        found = seen(made, shift, side, (row, column))
        assert not found[away < shift].any()
        # And no wider one: the next pixels straight above, below and beside it are seen.
        assert found[[row - shift, row + shift, row, row], [column, column, column - shift, column + shift]].all()


def test_the_teacher_sees_all_but_a_diamond_around_the_pixel():
    made, side = positive(network(hole="diamond", parts="teacher")), 33
    y, x = np.mgrid[:side, :side] - 16
    for shift in range(1, 6):
        found = seen(made, shift, side, (16, 16))
        away = abs(y) + abs(x)
        assert not found[away < shift].any()
        assert found[(away >= shift) & (np.maximum(abs(y), abs(x)) <= 3)].all()
    assert [int((away < shift).sum()) for shift in range(1, 6)] == [1, 5, 13, 25, 41]


@pytest.mark.parametrize("hole", ["square", "diamond"])
def test_without_a_hole_the_teacher_sees_the_pixel(hole):
    assert seen(positive(network(hole=hole, parts="teacher")), 0, 32, (16, 16))[16, 16]


@pytest.mark.parametrize("arch", [{}, {"levels": 3}, {"hole": "diamond", "blocks": 2}])
def test_the_teacher_reaches_no_further_than_it_says(arch):
    made = positive(network(parts="teacher", width=2, **arch))
    reach, shift = made.reach("teacher", 5), 5
    side = -(-(2 * reach + 16) // 16) * 16
    rows, columns = np.nonzero(seen(made, shift, side, (side // 2, side // 2)))
    extent = max(abs(rows - side // 2).max(), abs(columns - side // 2).max())
    assert reach // 2 < extent <= reach


def test_the_reach_of_the_full_networks_is_that_of_the_papers():
    made = build({"network": "apr-rd"})
    assert (made.multiple_of, made.margin, made.reach("teacher", 5)) == (32, 160, 320)
    diamond = build({"network": "apr-rd", "hole": "diamond", "parts": "teacher"})
    assert [diamond.reach("teacher", shift) for shift in (1, 5)] == [58, 62]


def test_the_teacher_sees_a_picture_alike_from_all_sides():
    # With the first 1x1 layer blind to which side a feature comes from, turning the picture turns the result.
    for hole in ("square", "diamond"):
        made = network(hole=hole, parts="teacher")
        weight = made.teacher.nin_A.weight
        with torch.no_grad():
            weight.copy_(weight.unflatten(1, (4, -1)).mean(1).repeat(1, 4, 1, 1))
        x = torch.rand(1, 3, 24, 40)
        turned = made.by_teacher(x.rot90(1, (2, 3)), 2).rot90(-1, (2, 3))
        assert torch.allclose(made.by_teacher(x, 2), turned, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "values"),
    [
        ({"student": "1.02"}, {}),
        ({"student": "1.00"}, {}),
        ({"student": "0.86"}, {}),
        ({"levels": 3}, {"part": "teacher", "shift": 5}),
        ({"hole": "diamond", "parts": "teacher", "value_range": 255}, {"part": "teacher", "shift": 2}),
    ],
)
def test_tiles_leave_no_trace_of_either_part(arch, values):
    made = network(**arch)
    model = load_model_from(
        Checkpoint("x", "apr-rd", {**SMALL, **arch}, made.state_dict()), device="cpu", precision="float32"
    )
    image = Image(np.random.default_rng(0).random((109, 91, 3), dtype=np.float32))
    results = []
    for tile in (16, 512):
        work = Denoising(model, image, params.make(AprRdParams, values), sigma=0.1, tile=tile)
        list(work.run(1))
        results.append(work.mean(1))
    assert np.abs(results[0] - results[1]).max() < 1e-5
    assert np.abs(results[1] - image.pixels).max() > 0.01


def test_the_value_of_white_is_a_matter_of_the_weights_alone():
    one, other = network(value_range=1), network(value_range=255)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        for made, factor in ((one, 1), (other, 255)):
            for name, parameter in made.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(0)).mul_(factor)
    x = torch.rand(1, 3, 32, 32)
    assert torch.allclose(one(x), other(x), atol=1e-5)
    assert torch.allclose(one.by_teacher(x, 3), other.by_teacher(x, 3), atol=1e-5)


def test_in_half_precision_the_result_has_more_than_eight_bits():
    made = network().to(torch.bfloat16)
    x = torch.rand(1, 3, 32, 32)
    for result in (made(x), made.by_teacher(x, 1)):
        assert result.dtype == torch.float32
        assert not torch.equal(result, result.bfloat16().float())


def test_a_model_of_one_part_says_so_when_asked_for_the_other():
    student, teacher = network(parts="student"), network(parts="teacher")
    with pytest.raises(MethodError, match="holds only the student"):
        METHOD.margin(student, AprRdParams(part="teacher"))
    assert METHOD.margin(teacher, AprRdParams(part="student")) == teacher.reach("teacher", 1)
    with pytest.raises(MethodError, match="networks of its own only"):
        METHOD.margin(build({"network": "dncnn"}), AprRdParams())


# What the stages draw


def test_all_72_pairs_of_different_neighbours_are_alike():
    noisy = torch.zeros(1, 1, 400, 400)
    first, second = (places.view(400, 400) for places in apr_rd.draw_replacements(noisy, torch.Generator()))
    here = torch.arange(160_000).view(400, 400)
    inner = (slice(1, -1), slice(1, -1))

    def offset(places):
        # Rows and columns apart, from -1 to 1, as a number from 0 to 8.
        return ((places // 400 - here // 400 + 1) * 3 + places % 400 - here % 400 + 1)[inner]

    one, other = offset(first), offset(second)
    assert one.min() == other.min() == 0
    assert one.max() == other.max() == 8
    counts = torch.bincount((9 * one + other).flatten(), minlength=81).view(9, 9)
    assert (counts.diagonal() == 0).all()
    expected = one.numel() / 72
    pairs = counts[~torch.eye(9, dtype=torch.bool)]
    assert ((pairs - expected).abs() < 5 * math.sqrt(expected)).all()
    centre = ((one == 4) | (other == 4)).float().mean()
    assert float(centre) == pytest.approx(2 / 9, abs=0.005)


def test_beyond_the_border_lies_the_border():
    noisy = torch.arange(12.0).view(1, 1, 3, 4)
    for places in apr_rd.draw_replacements(noisy, torch.Generator().manual_seed(3)):
        taken = apr_rd.replace(noisy, places)
        apart = (taken - noisy).abs()
        assert apart.max() <= 5
        assert taken.min() >= 0
        assert taken.max() <= 11


def test_channels_are_replaced_together_and_pictures_apart():
    noisy = torch.rand(2, 3, 16, 16)
    noisy[1] = noisy[0]
    first, _ = apr_rd.draw_replacements(noisy, torch.Generator().manual_seed(0))
    taken = apr_rd.replace(noisy, first)
    known = {tuple(pixel) for pixel in noisy[0].flatten(1).T.tolist()}
    assert {tuple(pixel) for pixel in taken.transpose(0, 1).flatten(1).T.tolist()} <= known
    assert not torch.equal(taken[0], taken[1])


def test_each_target_is_noisy_at_a_sixth_of_the_pixels_and_no_two_at_the_same():
    noisy = torch.zeros(2, 3, 300, 300)
    drawn = apr_rd.draw_recharge(noisy, 6, 1.0, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 1, 300, 300)
    shares = [float((drawn == number).float().mean()) for number in range(7)]
    assert shares[:6] == pytest.approx([1 / 6] * 6, abs=0.005)
    assert shares[6] == 0
    half = apr_rd.draw_recharge(noisy, 6, 0.5, torch.Generator().manual_seed(0))
    assert float((half == 6).float().mean()) == pytest.approx(0.5, abs=0.005)
    assert (apr_rd.draw_recharge(noisy, 6, 0.0, torch.Generator()) == 6).all()


def test_the_student_is_asked_for_each_target_where_it_is_noisy_and_where_not(monkeypatch):
    made, noisy = network(), torch.rand(1, 3, 64, 64)
    # A student that gives the noisy picture is at fault nowhere but where a target is not noisy.
    monkeypatch.setattr(made, "by_student", lambda x: x)
    given = {shift: torch.full_like(noisy, 2.0 + shift) for shift in range(6)}
    monkeypatch.setattr(made, "by_teachers", lambda x, shifts: iter([given[shift] for shift in shifts]))
    everywhere = loss_of(apr_rd.distil, made, noisy, recharge=0.0)
    assert everywhere == pytest.approx(float(np.mean([(given[s] - noisy).abs().mean() for s in range(6)])), rel=1e-5)
    charged = loss_of(apr_rd.distil, made, noisy)
    assert float(charged / everywhere) == pytest.approx(5 / 6, abs=0.02)
    only = loss_of(apr_rd.distil, made, noisy, recharge=0.0, first_shift=2, last_shift=2)
    assert only == pytest.approx(float((given[2] - noisy).abs().mean()), rel=1e-5)


def test_the_first_loss_is_the_distance_to_the_other_neighbour_and_its_regulariser(monkeypatch):
    made, noisy = network(), torch.rand(1, 3, 32, 32)
    # The identity as f: f(h1 y) - h2 y is also h1 f(y) - h2 f(y), so the regulariser vanishes.
    monkeypatch.setattr(made, "by_teachers", lambda x, shifts, mirrored: iter([x]))
    first, second = apr_rd.draw_replacements(noisy, torch.Generator().manual_seed(0))
    apart = (apr_rd.replace(noisy, first) - apr_rd.replace(noisy, second)).abs().mean()
    for weight in (0.0, 4.0):
        assert torch.isclose(loss_of(apr_rd.teach, made, noisy, regulariser=weight), apart)
    # A constant as f: the regulariser is the first term again.
    monkeypatch.setattr(made, "by_teachers", lambda x, shifts, mirrored: iter([torch.full_like(x, 0.5)]))
    values = [float(loss_of(apr_rd.teach, made, noisy, regulariser=weight)) for weight in (0.0, 4.0)]
    assert values[1] == pytest.approx(5 * values[0])


@pytest.mark.parametrize(("gradient", "passes"), [("stopped", 0), ("flowing", 1)])
def test_the_gradient_of_the_regulariser_stops_before_the_denoised_picture_as_in_the_paper(
    gradient, passes, monkeypatch
):
    made, results = network(), []
    really = made.by_teachers

    def watched(x, shifts, mirrored=True):
        results.append(next(really(x, shifts, mirrored)))
        return iter(results[-1:])

    monkeypatch.setattr(made, "by_teachers", watched)
    loss_of(apr_rd.teach, made, torch.rand(1, 3, 32, 32), gradient=gradient).backward()
    assert [result.requires_grad for result in results].count(True) == 1 + passes
    assert results[0].requires_grad


def test_the_teacher_learns_with_the_hole_that_was_asked_for(monkeypatch):
    made, asked = network(), []
    really = made.by_teachers
    monkeypatch.setattr(
        made, "by_teachers", lambda x, shifts, mirrored=True: asked.append((*shifts, mirrored)) or really(x, shifts)
    )
    loss_of(apr_rd.teach, made, torch.rand(1, 3, 32, 32), hole=3)
    assert asked == [(3, False)] * 2


@pytest.mark.parametrize("hole", ["square", "diamond"])
def test_each_stage_moves_its_own_part_and_leaves_the_other(hole):
    stages = METHOD.stages(AprRdTraining())
    assert [stage.trains for stage in stages] == ["teacher.", "student."]
    for stage in stages:
        made = network(hole=hole)
        before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(name.startswith(stage.trains))
        loss_of(stage.loss, made, torch.rand(2, 3, 32, 32)).backward()
        torch.optim.SGD([p for p in made.parameters() if p.grad is not None], lr=0.1).step()
        moved = {name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])}
        assert moved == {name for name in before if name.startswith(stage.trains)}


def test_the_student_learns_nothing_into_the_teacher_even_if_it_is_not_frozen():
    made = network()
    loss_of(apr_rd.distil, made, torch.rand(1, 3, 32, 32)).backward()
    assert all(parameter.grad is None for parameter in made.teacher.parameters())


def test_training_that_cannot_work_says_why():
    with pytest.raises(MethodError, match="must not be the smaller one"):
        METHOD.stages(AprRdTraining(first_shift=3, last_shift=2))
    for stage in (apr_rd.teach, apr_rd.distil):
        with pytest.raises(MethodError, match="a multiple of 4, not 30"):
            loss_of(stage, network(), torch.rand(1, 3, 30, 30))
    assert not METHOD.fits({"network": "apr-rd", "parts": "student"})
    assert all(METHOD.fits(arch) for arch in METHOD.networks.values())


# Files of the authors


def authors_file(prefixes=None, **arch) -> dict[str, torch.Tensor]:
    """The tensors of a network under the names of its authors."""
    prefixes = prefixes or {"teacher.": "", "student.": ""}
    renamed = {}
    for name, tensor in build({"network": "apr-rd", **arch}).state_dict().items():
        part = next(prefix for prefix in prefixes if name.startswith(prefix))
        renamed[prefixes[part] + name.removeprefix(part)] = tensor
    return renamed


@pytest.mark.parametrize(
    ("arch", "asks"),
    [
        ({"parts": "student", "student": "1.02"}, False),
        ({"parts": "student", "student": "1.00"}, True),
        ({"parts": "teacher"}, True),
        ({"parts": "teacher", "hole": "diamond"}, False),
        ({"parts": "student", "student": "1.00", "channels": 1}, True),
    ],
)
def test_files_of_the_authors_are_recognised_and_asked_for_their_white(arch, asks):
    weights = authors_file(**arch)
    if arch.get("hole"):
        weights |= {name.replace("weight", "mask"): t for name, t in weights.items() if name.startswith("unet.")}
        weights = {name: tensor for name, tensor in weights.items() if not name.endswith("bias.mask")}
    (layout,) = METHOD.recognise(weights)
    assert layout.asks == (("value_range",) if asks else ())
    settled = layout.settle(SimpleNamespace(value_range=255)) if asks else layout.arch
    assert settled["value_range"] == (255 if asks else 1)
    made = build(settled)
    made.load_state_dict(dict(layout.weights))
    assert METHOD.margin(made, params.make(AprRdParams, layout.params)) > 0
    assert layout.params == ({"part": "teacher"} if arch["parts"] == "teacher" else {})


@pytest.mark.parametrize(("student", "layer"), [("0.13", "enc1.conv.conv"), ("0.86", "enc1.conv1.conv")])
@pytest.mark.parametrize("parts", ["student", "both"])
def test_the_small_students_of_at_bsn_are_recognised(student, layer, parts):
    prefixes = {"teacher.": "bsn.", "student.": "nbsn." if parts == "both" else ""}
    weights = authors_file(prefixes, parts=parts, student=student)
    if student == "0.13":  # its authors do not number what there is one of
        weights = {
            name if "unet" in name else name.replace(".conv1.conv.", ".conv.conv."): tensor
            for name, tensor in weights.items()
        }
    assert f"{prefixes['student.']}{layer}.weight" in weights
    (layout,) = METHOD.recognise(weights)
    assert (layout.arch["student"], layout.arch["parts"], layout.arch["value_range"]) == (student, parts, 255)
    build(layout.arch).load_state_dict(dict(layout.weights))


def test_both_parts_in_one_file_are_recognised():
    weights = authors_file({"teacher.": "bsn.", "student.": "nbsn."}, student="1.00")
    (layout,) = METHOD.recognise(weights)
    assert layout.asks == ("value_range",)
    build(layout.settle(SimpleNamespace(value_range=1))).load_state_dict(dict(layout.weights))


def test_a_file_of_the_authors_is_read_as_it_lies_on_their_disk(tmp_path):
    torch.manual_seed(0)
    made = build({"network": "apr-rd", "student": "1.00", "parts": "student"})
    path = tmp_path / "NBSN.pth"
    weights = {f"module.{name}": tensor for name, tensor in made.student.state_dict().items()}
    torch.save({"model_state_dict": weights}, path)
    with pytest.raises(ConventionNeeded, match=r"--range 1\|255"):
        read_foreign(path)
    read = read_foreign(path, Convention(value_range=1))
    assert read.method == "apr-rd"
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(read.build()(x), made(x))


def test_other_tensors_are_not_taken_for_the_authors():
    weights = authors_file(parts="student", student="1.02")
    assert METHOD.recognise({**weights, "more.weight": torch.zeros(1)}) == ()
    assert METHOD.recognise({name: t for name, t in weights.items() if name != "dec1_1.bias"}) == ()
    assert METHOD.recognise({**weights, "enc1.conv.weight": torch.zeros(48)}) == ()
    assert METHOD.recognise({**weights, "enc1.conv.weight": torch.zeros(96, 3, 3, 3)}) == ()
    assert METHOD.recognise({"dncnn.0.weight": torch.zeros(64, 3, 3, 3)}) == ()


# What it learns


@pytest.mark.slow
def test_a_small_pair_learns_to_denoise_from_noisy_pictures_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(AprRd.networks, "apr-rd-tiny", {"network": "apr-rd", "width": 12, "levels": 2})
    clean = [picture(96 + 8 * index, 104).astype(np.float32) for index in range(3)]
    data = tmp_path / "pictures"
    data.mkdir()
    for index, pixels in enumerate(clean):
        save_image(Image(pixels), data / f"{index}.png")
    # White noise needs no wider hole than one pixel.
    job = TrainJob(
        data=str(data), method="apr-rd", network="apr-rd-tiny", noise="gaussian:25", validate=str(data), steps=400,
        batch=2, patch=64, learning_rate=1e-2, device="cpu", seed=1,
        params={"hole": 1, "last_shift": 1, "teacher_share": 0.4},
    )  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    events = list(train(job, run))
    assert [event.stage for event in events if isinstance(event, Staged)] == [
        "adjacent pixels replaced",
        "recharged distillation",
    ]
    psnr = [event.psnr_db for event in events if isinstance(event, Validated)][-1]
    blurred = []
    for index, pixels in enumerate(clean):
        noise = 25 / 255 * np.random.default_rng(index).standard_normal(pixels.shape)
        noisy = (pixels + noise).astype(np.float32)
        results = [cv2.GaussianBlur(noisy, (0, 0), sigma) for sigma in (0.5, 0.7, 0.9, 1.1, 1.3, 1.6)]
        blurred.append(max(-10 * math.log10(np.mean((r.clip(0, 1) - pixels) ** 2)) for r in results))
    assert psnr > 20.2 + 3  # sigma 25 alone is 20.2 dB
    assert psnr > np.mean(blurred) + 0.5
    saved = load_checkpoint(run / CHECKPOINT)
    assert saved.method == "apr-rd"
    assert replace(saved, name="x").build()(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
