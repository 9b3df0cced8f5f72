"""Tuning a model: judged on held-out pictures, kept only if better, and nothing lost on the way."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import torch.distributed as dist

import training.loop
import training.setup
from conftest import picture
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.encode import save_image
from engine.image import Image, load_image
from engine.method import method_of
from models import checkpoint
from training.events import Ended, Judged, Paused, Previewed, Saved, Started, Step, Validated, Verdict, Warned
from training.job import Preview, TrainError, TrainJob, read_job, write_job
from training.launch import follow
from training.loop import train
from training.run import CHECKPOINT, PAUSE, PREVIEWS, STATE, STOP, begin
from training.setup import Setup, steps_a_minute

SIGMA = 0.1


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six noisy pictures of white noise."""
    return noisy_ones(tmp_path / "pictures", *[(picture(96, 112), SIGMA)] * 6)


def noisy_ones(where: Path, *clean_ones: tuple[np.ndarray, float]) -> Path:
    """A folder of these pictures, each moved a little more, with white noise of that deviation."""
    where.mkdir()
    rng = np.random.default_rng(0)
    for index, (clean, sigma) in enumerate(clean_ones):
        noisy = np.roll(clean, 13 * index, axis=1) + sigma * rng.standard_normal(clean.shape)
        save_image(Image(noisy.astype(np.float32), bits=32, is_float=True), where / f"{index}.tif")
    return where


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> str:
    """A model that has learned such pictures, of all noise levels."""
    run = tmp_path_factory.mktemp("good")
    data = noisy_ones(run / "pictures", *[(picture(96, 112), sigma) for sigma in (0.03, 0.06, 0.1, 0.1, 0.15, 0.2)])
    job = TrainJob(str(data), network="unet-tiny", batch=4, patch=32, device="cpu", steps=300, learning_rate=5e-3)
    list(train(job, run))
    return str(run / CHECKPOINT)


@pytest.fixture
def start(tmp_path) -> str:
    """A model to begin with, of random weights."""
    path = tmp_path / "start.safetensors"
    save_checkpoint(checkpoint(), path)
    return str(path)


@pytest.fixture
def job(folder) -> TrainJob:
    held_out = ("4.tif", "5.tif")
    return TrainJob(
        str(folder),
        network="unet-tiny",
        steps=8,
        batch=4,
        patch=32,
        held_out=held_out,
        device="cpu",
        learning_rate=1e-3,
    )


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def weights(run: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in load_checkpoint(run / CHECKPOINT).weights.values()])


def test_a_run_tells_what_is_held_out_and_judges_it(job, tmp_path):
    events = list(train(replace(job, judge_every=4), tmp_path))
    started = of(Started, events)[0]
    assert (started.pictures, started.held_out, started.steps) == (4, 2, 8)
    judged = of(Judged, events)
    assert [event.step for event in judged] == [0, 4, 8]
    verdict = of(Verdict, events)[0]
    assert verdict.gain_db == judged[-1].gain_db
    assert verdict.against == ""
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == "finished"


def test_minutes_become_steps_that_stand_in_the_job(job, tmp_path):
    asked = replace(job, steps=None, minutes=0.02)
    write_job(asked, tmp_path)
    events = list(train(asked, tmp_path))
    settled = read_job(tmp_path)
    assert settled.minutes == 0.02
    assert settled.steps == of(Started, events)[0].steps == events[-1].step
    assert settled.judge_every >= 1
    # The job as it then stands gives the same network, whatever time that takes.
    again = tmp_path / "again"
    again.mkdir()
    list(train(settled, again))
    assert torch.equal(weights(tmp_path), weights(again))


def test_the_same_job_and_seed_give_the_same_network(job, tmp_path):
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        list(train(job, tmp_path / name))
        found.append(weights(tmp_path / name))
    assert torch.equal(*found)


def test_steps_a_minute_is_about_what_a_run_makes(job):
    assert 60 < steps_a_minute(job) < 60_000


def test_a_start_that_was_made_worse_is_kept(job, start, good, tmp_path):
    assert of(Verdict, list(_again(job, good, tmp_path / "spoiled", 0.5)))[0].is_better is False
    verdict = of(Verdict, list(_again(job, start, tmp_path / "fine", 5e-3, steps=250)))[0]
    assert verdict.is_better
    assert verdict.gain_db > 0


def _again(job, start, run, rate, steps=30):
    run.mkdir()
    yield from train(replace(job, steps=steps, learning_rate=rate, start=start, network=None), run)


def test_the_card_says_what_it_was_tuned_from_and_what_it_gained(job, start, tmp_path):
    list(train(replace(job, start=start, network=None), tmp_path))
    card = load_checkpoint(tmp_path / CHECKPOINT).card
    assert card.start_sha256 == load_checkpoint(Path(start)).sha256
    assert any("2 held-out pictures" in name for name in card.results)
    assert "4 colour pictures" in card.trained_on
    assert " of 255)" in card.trained_on


def test_clean_pictures_leave_nothing_to_judge_and_the_start_is_kept(job, start, tmp_path):
    for path in Path(job.data).iterdir():
        path.unlink()
    for index in range(3):
        # Smooth, so that nothing in them could be taken for noise.
        ramp = np.broadcast_to(np.linspace(0.2, 0.8, 96, dtype=np.float32)[:, None, None], (96, 96, 3))
        save_image(Image(ramp), Path(job.data) / f"{index}.png")
    tuned = replace(job, start=start, network=None, held_out=("0.png",))
    events = list(train(tuned, tmp_path))
    assert not of(Verdict, events)[0].is_better
    assert "no noise was found" in of(Warned, events)[0].message


@pytest.mark.parametrize(
    ("against", "said"),
    [("", "looks less like noise: details go"), ("r2r", "looks less like noise than what r2r takes")],
)
def test_a_result_that_takes_structure_away_is_not_taken(job, tmp_path, monkeypatch, against, said):
    judge = training.setup.Judge.judge

    def harsh(self, model, suggested):
        judged = judge(self, model, suggested)
        return replace(judged, structure=0.2, errors=judged.errors - 0.9)

    setup = training.setup.Setup._take_judge

    def named(self):
        setup(self)
        self.against = against

    monkeypatch.setattr(training.setup.Judge, "judge", harsh)
    monkeypatch.setattr(training.setup.Setup, "_take_judge", named)
    verdict = of(Verdict, list(train(job, tmp_path)))[0]
    assert verdict.gain > verdict.gain_band
    assert not verdict.is_better
    assert said in verdict.reason


def test_three_tiny_pictures_do_not_take_the_place_of_the_start(job, good, tmp_path):
    smooth = np.broadcast_to(np.linspace(0.2, 0.8, 40)[:, None, None], (40, 40, 3))
    held_out = picture(40, 40)
    tiny = noisy_ones(tmp_path / "tiny", (smooth, SIGMA), (1 - smooth, SIGMA), (held_out, SIGMA))
    assert hurt(replace(job, data=str(tiny), held_out=("2.tif",), steps=80), good, held_out, SIGMA, tmp_path)


def test_a_mixture_of_isos_does_not_take_the_place_of_the_start(job, good, tmp_path):
    loud, quiet = (picture(96, 112), 0.3), (picture(96, 112), 0.02)
    mixed = noisy_ones(tmp_path / "mixed", loud, loud, loud, quiet, loud, quiet)
    job = replace(job, data=str(mixed), held_out=("3.tif", "4.tif", "5.tif"), steps=60)
    assert hurt(job, good, quiet[0], quiet[1], tmp_path)


def hurt(job, good: str, clean: np.ndarray, sigma: float, tmp_path) -> bool:
    """Whether tuning made it worse in truth, and the verdict is to keep the start."""
    twins, run = tmp_path / "clean", tmp_path / "run"
    twins.mkdir()
    run.mkdir()
    save_image(Image(clean.astype(np.float32)), twins / "0.png")
    truth = {"validate": str(twins), "validate_noise": f"gaussian:{255 * sigma:g}"}
    events = list(train(replace(job, start=good, network=None, learning_rate=5e-3, **truth), run))
    first, *_, last = of(Validated, events)
    return last.psnr_db < first.psnr_db and not of(Verdict, events)[0].is_better


def test_a_shuffled_estimate_does_not_get_past_the_judge(job, good, tmp_path, monkeypatch):
    """Every second picture's noise is taken for five times what it is, the others' for a fifth."""
    sampler = training.setup.Sampler.batch

    def shuffled(self, rng):
        batch = sampler(self, rng)
        factors = torch.tensor([5.0, 0.2]).repeat(len(batch.sigma))[: len(batch.sigma)].view(-1, 1, 1, 1)
        return replace(batch, sigma=batch.sigma * factors)

    monkeypatch.setattr(training.setup.Sampler, "batch", shuffled)
    run = tmp_path / "run"
    run.mkdir()
    events = list(train(replace(job, steps=60, start=good, network=None), run))
    verdict = of(Verdict, events)[0]
    assert not verdict.is_better
    assert verdict.gain_db < 0


def test_a_killed_run_goes_on_with_the_same_patches(job, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    list(train(job, whole))
    monkeypatch.setattr(training.loop, "_SAVE_EVERY_S", 0.0)
    for event in train(job, parts):
        if event.step == 5 and isinstance(event, Saved):
            break  # closed as by kill -9, but for what a generator does at its end: nothing
    events = list(train(job, parts))
    assert of(Started, events)[0].step == 5
    assert torch.equal(weights(whole), weights(parts))


@pytest.mark.parametrize("left", ["the beginning", "garbage", "nothing", "the state of another network"])
def test_a_state_that_is_not_whole_is_never_loaded(job, tmp_path, left):
    other = job if left != "the state of another network" else replace(job, network="dncnn17")
    list(train(replace(other, steps=1, held_out=()), tmp_path))
    state = tmp_path / STATE
    whole = state.read_bytes()
    left_over = {"the beginning": whole[:-2000], "garbage": bytes(range(256)) * 9, "nothing": b""}
    state.write_bytes(left_over.get(left, whole))
    with pytest.raises(TrainError, match="cannot be read"):
        list(train(job, tmp_path))


def test_what_was_saved_last_is_never_older_than_a_minute(job, tmp_path, monkeypatch):
    """By a clock that only steps and judgements move."""
    now = [0.0]
    monkeypatch.setattr(training.loop, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=None))
    judge = training.setup.Judge.judge

    def slow(self, *given):
        now[0] += 30.0
        return judge(self, *given)

    class Slow(type(method_of("r2r"))):
        def stages(self, training):
            stage = super().stages(training)[0]

            def loss(network, *given):
                now[0] += 3.0 if network.training else 0.0
                return stage.loss(network, *given)

            return (replace(stage, loss=loss),)

    monkeypatch.setattr(training.setup.Judge, "judge", slow)
    learned_since, ages = None, []
    for event in train(replace(job, steps=60, judge_every=15, report_every=1), tmp_path, method=Slow()):
        if isinstance(event, Step):
            learned_since = now[0] - 3.0 if learned_since is None else learned_since
        elif isinstance(event, Saved):
            ages.append(now[0] - learned_since)
            learned_since = None
    assert len(ages) > 3
    assert max(ages) <= 60


def test_the_checkpoint_has_the_averaged_weights(job, tmp_path):
    seen = []

    class Noting(type(method_of("r2r"))):
        def stages(self, training):
            stage = super().stages(training)[0]

            def loss(network, *given):
                seen.append({name: parameter.detach().clone() for name, parameter in network.named_parameters()})
                return stage.loss(network, *given)

            return (replace(stage, loss=loss),)

    list(train(replace(job, held_out=(), learning_rate=0.02), tmp_path, method=Noting()))
    state = torch.load(tmp_path / STATE, weights_only=True)  # noqa: TID251
    average = seen[0]
    for step, now in enumerate([*seen[1:], state["network"]], 1):
        kept = min(0.999, (1 + step) / (10 + step))
        average = {name: kept * old + (1 - kept) * now[name] for name, old in average.items()}
    found = load_checkpoint(tmp_path / CHECKPOINT).weights
    assert all(torch.allclose(found[name], mean, atol=1e-6) for name, mean in average.items())
    assert not all(torch.allclose(found[name], last, atol=1e-3) for name, last in state["network"].items())


def test_a_full_disk_is_told_and_what_was_saved_stays(job, tmp_path, monkeypatch):
    list(train(replace(job, steps=4), tmp_path))
    kept = (tmp_path / STATE).read_bytes()
    monkeypatch.setattr(training.loop, "_SAVE_EVERY_S", 0.0)

    def full(*given, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training.loop.torch, "save", full)
    events = list(train(job, tmp_path))
    assert len(of(Warned, events)) == 1
    assert "No space left" in of(Warned, events)[0].message
    assert events[-1].reason == "failed"
    assert "what was saved before is kept" in events[-1].message
    assert (tmp_path / STATE).read_bytes() == kept
    monkeypatch.undo()
    assert list(train(job, tmp_path))[-1].reason == "finished"


def test_space_that_comes_back_is_used(job, tmp_path, monkeypatch):
    monkeypatch.setattr(training.loop, "_SAVE_EVERY_S", 0.0)
    save, fails = torch.save, iter([True, True])

    def full_at_first(*given, **named):
        if next(fails, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*given, **named)

    monkeypatch.setattr(training.loop.torch, "save", full_at_first)
    events = list(train(job, tmp_path))
    assert [event.message for event in of(Warned, events)][1] == "Saving works again"
    assert events[-1].reason == "finished"


def test_space_that_comes_back_for_the_result_itself_is_enough(job, tmp_path, monkeypatch):
    monkeypatch.setattr(training.loop, "_SAVE_EVERY_S", 0.0)
    save, calls = torch.save, []

    def full_until_the_last(*given, **named):
        calls.append(1)
        if len(calls) < job.steps + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*given, **named)

    monkeypatch.setattr(training.loop.torch, "save", full_until_the_last)
    events = list(train(job, tmp_path))
    assert of(Warned, events)[-1].message == "Saving works again"
    assert events[-1].reason == "finished"


class Failing(type(method_of("r2r"))):
    """A method whose loss is not what it should be at certain calls."""

    def __init__(self, calls: set[int], wrong) -> None:
        self.calls, self.wrong, self.count = calls, wrong, 0

    def stages(self, training):
        stage = super().stages(training)[0]

        def loss(*given):
            self.count += 1
            if self.count in self.calls:
                return self.wrong(stage.loss(*given))
            return stage.loss(*given)

        return (replace(stage, loss=loss),)


def not_finite(loss):
    return loss * float("nan")


def test_a_loss_that_is_not_finite_goes_on_once_with_half_the_rate(job, tmp_path):
    job = replace(job, held_out=(), report_every=1, schedule="milestones", milestones=(0.99,))
    events = list(train(job, tmp_path, method=Failing({5}, not_finite)))
    assert "half the learning rate" in of(Warned, events)[0].message
    assert events[-1].reason == "finished"
    assert [event.learning_rate for event in of(Step, events)][-1] == pytest.approx(5e-4)
    assert torch.isfinite(weights(tmp_path)).all()


def test_a_loss_that_is_not_finite_twice_ends_the_run_as_failed(job, tmp_path):
    events = list(train(replace(job, held_out=()), tmp_path, method=Failing({5, 7}, not_finite)))
    assert events[-1].reason == "failed"
    assert "not finite" in events[-1].message


def test_out_of_memory_halves_the_batch_and_changes_nothing_else(job, tmp_path):
    def no_room(loss):
        raise torch.OutOfMemoryError("CUDA out of memory")

    job = replace(job, held_out=(), params={"alpha": 0.5})
    events = list(train(job, tmp_path, method=Failing({3}, no_room)))
    assert "in 2 parts" in of(Warned, events)[0].message
    assert events[-1].reason == "finished"


def test_a_budget_of_minutes_is_measured_with_the_memory_there_is(job, tmp_path):
    def no_room(loss):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes")

    begin(replace(job, steps=None, minutes=0.01), tmp_path)
    events = list(train(read_job(tmp_path), tmp_path, method=Failing({1, 3}, no_room)))
    assert events[-1].reason == "finished"
    assert read_job(tmp_path).steps == events[-1].step


def test_memory_that_is_not_enough_for_one_patch_ends_the_run(job, tmp_path):
    def no_room(loss):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainError, match="not enough memory"):
        list(train(replace(job, held_out=()), tmp_path, method=Failing(set(range(99)), no_room)))


def test_a_batch_in_parts_has_the_gradient_of_the_whole(job):
    supervised = {"method": "plain", "target": "clean", "noise": "gaussian:25"}
    setup = Setup(replace(job, held_out=(), batch=13, replay=0.6, **supervised))
    setup.half = None
    batches = setup.batches(np.random.default_rng(0))
    assert [len(batch.noisy) for batch in batches] == [5, 8]
    found, losses = [], []
    # Four parts of five patches are three, of eight they are four.
    for count in (1, 3, 4):
        setup.network.zero_grad()
        losses.append(setup.learn(setup.stages[0], batches, torch.Generator(), 0.0, count))
        found.append(torch.cat([p.grad.flatten() for p in setup.network.parameters()]))
    assert losses == pytest.approx([losses[0]] * 3)
    for other in found[1:]:
        assert torch.allclose(found[0], other, rtol=1e-3, atol=1e-6)
    setup.pool.close()


class Uneven(Failing):
    """In the second of two processes memory runs out at its second call, and its fifth loss is not finite."""

    def __init__(self, folder: Path) -> None:
        super().__init__({2, 5}, self.fail)
        self.folder = folder

    def stages(self, training):
        stage = super().stages(training)[0]

        def loss(network, *given):
            total = sum(float(parameter.detach().double().abs().sum()) for parameter in network.parameters())
            (self.folder / f"weights{dist.get_rank()}.txt").write_text(repr(total))
            return stage.loss(network, *given)

        return (replace(stage, loss=loss),)

    def fail(self, loss):
        if dist.get_rank() == 0:
            return loss
        if self.count == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return not_finite(loss)


def test_what_goes_wrong_in_one_of_two_processes_both_do_again(job, tmp_path):
    run = begin(replace(job, held_out=(), processes=2, steps=6), tmp_path / "run")
    events = list(follow(run.folder, method=Uneven(tmp_path)))
    messages = [event.message for event in of(Warned, events)]
    assert len(messages) == 2
    assert "in 2 parts" in messages[0]
    assert "half the learning rate" in messages[1]
    assert events[-1] == Ended(6, "finished")
    first, second = ((tmp_path / f"weights{rank}.txt").read_text() for rank in (0, 1))
    assert first == second


def test_a_paused_run_waits_with_its_state_saved_and_goes_on(job, tmp_path, monkeypatch):
    (tmp_path / PAUSE).touch()
    events = []
    for event in train(job, tmp_path):
        events.append(event)
        if isinstance(event, Paused):
            assert (tmp_path / STATE).exists()
            (tmp_path / PAUSE).unlink()
    assert len(of(Paused, events)) == 1
    assert events[-1].reason == "finished"


def test_a_paused_run_can_be_stopped(job, tmp_path):
    (tmp_path / PAUSE).touch()
    events = []
    for event in train(job, tmp_path):
        events.append(event)
        if isinstance(event, Paused):
            (tmp_path / STOP).touch()
    assert events[-1].reason == "stopped"


def test_the_preview_moves_and_shows_before_and_start(job, start, tmp_path):
    job = replace(job, start=start, network=None, preview=Preview("4.tif", 8, 8, 64), learning_rate=0.02)
    run = tmp_path / "run"
    run.mkdir()
    shown = []
    for event in train(job, run):
        if isinstance(event, Previewed):
            shown.append(load_image(run / PREVIEWS[2]).pixels)
    assert len(shown) >= 2
    assert shown[0].shape == (64, 64, 3)
    assert not np.array_equal(shown[0], shown[-1])
    before, at_start = (load_image(run / name).pixels for name in PREVIEWS[:2])
    assert np.array_equal(at_start, shown[0])
    assert not np.array_equal(before, at_start)


def test_a_corrupt_picture_in_the_middle_is_told_and_passed_over(job, tmp_path):
    broken = Path(job.data) / "2.tif"
    broken.write_bytes(broken.read_bytes()[:3000])
    events = list(train(replace(job, report_every=1), tmp_path))
    assert events[0].pictures == 3
    assert [event.message.partition(" is left out")[0] for event in of(Warned, events)] == ["2.tif"]
    assert events[-1] == Ended(8, "finished")
    assert all(event.memory_mb > 10 for event in of(Step, events))


def test_the_smallest_pictures_there_are_can_be_learned_from(job, tmp_path):
    data = noisy_ones(tmp_path / "small", *[(picture(24, 24), SIGMA)] * 3, (picture(17, 17), SIGMA))
    small = replace(job, data=str(data), held_out=("0.tif",), patch=16, steps=2)
    events = list(train(small, tmp_path))
    assert ["from 24x24 pixels on" in event.message for event in of(Warned, events)] == [True]
    assert events[-1].reason == "finished"
    with pytest.raises(TrainError, match=r"0\.tif is smaller than a patch of 32 pixels"):
        list(train(replace(small, patch=32), tmp_path))


def test_grey_and_colour_pictures_and_one_that_is_not_finite(job, tmp_path):
    pixels = load_image(Path(job.data) / "0.tif").pixels
    save_image(Image(pixels[..., :1].copy(), bits=32, is_float=True), Path(job.data) / "0.tif")
    tifffile.imwrite(Path(job.data) / "1.tif", np.where(pixels > 0.5, np.nan, pixels), photometric="rgb")
    events = list(train(replace(job, steps=2), tmp_path))
    assert events[-1].reason == "finished"
    assert torch.isfinite(weights(tmp_path)).all()


def test_grey_is_judged_and_practised_in_grey(job, tmp_path):
    rival = tmp_path / "rival.safetensors"
    save_checkpoint(checkpoint(1), rival)
    grey = replace(job, steps=2, grey=True, against=str(rival), replay=0.5, preview=Preview("0.tif", 0, 0, 32))
    events = list(train(grey, tmp_path))
    assert of(Verdict, events)[0].against == "tiny"
    assert not of(Warned, events)
    # Each of three channels by itself.
    other = tmp_path / "other"
    other.mkdir()
    assert of(Verdict, list(train(replace(grey, grey=False), other)))[0].against == "tiny"


def test_all_pictures_held_out_leave_nothing_to_learn_from(job, tmp_path):
    with pytest.raises(TrainError, match="nothing is left to learn from"):
        list(train(replace(job, held_out=tuple(f"{index}.tif" for index in range(6))), tmp_path))


def test_a_preview_that_is_not_there_does_not_stop_the_run(job, tmp_path):
    events = list(train(replace(job, preview=Preview("gone.tif", 0, 0, 64)), tmp_path))
    assert "no preview" in of(Warned, events)[0].message
    assert events[-1].reason == "finished"


def test_a_run_that_does_not_improve_ends_early(job, tmp_path):
    job = replace(job, steps=400, learning_rate=1e-9, judge_every=1, patience=3)
    events = list(train(job, tmp_path))
    assert events[-1].reason == "finished"
    assert events[-1].step < 30


def test_a_plateau_lowers_the_rate_and_the_third_ends_the_run(job, tmp_path):
    job = replace(job, steps=400, learning_rate=1e-9, judge_every=1, report_every=1, patience=2, schedule="plateau")
    events = list(train(job, tmp_path))
    assert events[-1].step < 60
    rates = {float(f"{event.learning_rate / min(1, event.step / 40):.3g}") for event in of(Step, events)}
    assert len(rates) == 3


def test_generated_pictures_are_a_share_of_each_step(job, tmp_path):
    setup = Setup(replace(job, replay=0.25, batch=8))
    batch, generic = setup.batches(np.random.default_rng(0))
    assert (len(batch.noisy), len(generic.noisy)) == (6, 2)
    assert not generic.reports
    setup.pool.close()
    assert list(train(replace(job, replay=0.25, batch=2), tmp_path))[-1].reason == "finished"


def test_a_batch_that_fits_in_no_memory_is_a_sentence(job, tmp_path, monkeypatch):
    def too_large(patches):
        raise MemoryError("Unable to allocate 458. GiB")

    monkeypatch.setattr("training.patches.planes", too_large)
    with pytest.raises(TrainError, match="choose a smaller batch"):
        list(train(replace(job, held_out=()), tmp_path))


def test_generated_pictures_are_refused_where_noise_is_not_white(job, tmp_path):
    with pytest.raises(TrainError, match="leave --replay out"):
        list(train(replace(job, replay=0.25, params={"noise_model": "correlated"}), tmp_path))


def test_validation_pictures_are_reported_from_the_start_and_never_choose(job, folder, tmp_path):
    clean = tmp_path / "clean"
    clean.mkdir()
    save_image(Image(picture(64, 64).astype(np.float32)), clean / "a.png")
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    other.mkdir()
    events = list(train(replace(job, validate=str(clean), judge_every=4), run))
    assert [event.step for event in of(Validated, events)] == [0, 4, 8]
    list(train(replace(job, judge_every=4), other))
    assert torch.equal(weights(run), weights(other))


def test_the_start_is_judged_once_also_where_a_judgement_is_timed(job, tmp_path, monkeypatch):
    judged = []
    told = training.loop._Training._judged
    monkeypatch.setattr(
        training.loop._Training, "_judged", lambda run, stage: judged.append(run.step) or told(run, stage)
    )
    events = list(train(replace(job, steps=None, minutes=0.02), tmp_path))
    assert judged.count(0) == 1
    assert [event.step for event in of(Judged, events)] == judged
