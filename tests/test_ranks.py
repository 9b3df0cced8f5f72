"""Processes that share a training agree, and none of them outlives another."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from torch import nn

from training.events import Ended, Event, Saved, Warned
from training.job import TrainError
from training.processes import spread
from training.ranks import ALONE, RankLost, Ranks, join, leave

HERE = Path(__file__)
PATIENCE_S = 60.0


def network(seed: int) -> nn.Sequential:
    """Two layers whose weights follow from the seed; the first layer is in the fast order of axes."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return made.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def gradients(rank: int) -> nn.Sequential:
    """The same network on each rank with gradients that differ; one parameter has none."""
    made = network(0)
    for number, parameter in enumerate(made.parameters()):
        parameter.grad = torch.full_like(parameter, 10.0 * number + rank)
    next(made.parameters()).grad = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last) + rank
    made[1].bias.grad = None
    return made


def measure(folder: Path, should_stop: Callable[[], bool], ranks: Ranks) -> Iterator[Event]:
    """All that ranks can do once; what came out lies in a file for each."""
    yield Saved(ranks.number)
    found = {
        "none": ranks.any(False),
        "one": ranks.any(ranks.number == 1),
        "all": ranks.any(True),
        "agreed": ranks.agree({"steps": 100 + ranks.number}),
    }
    averaged = gradients(ranks.number)
    ranks.average(averaged)
    found["gradients"] = [parameter.grad for parameter in averaged.parameters()]
    shared = network(ranks.number)
    shared[1].num_batches_tracked.fill_(5 + ranks.number)
    ranks.share(shared)
    found["shared"] = shared.state_dict()
    seen = network(0)
    seen[1].running_mean.fill_(ranks.number)
    seen[1].num_batches_tracked.fill_(7)
    ranks.mean_buffers(seen)
    found["buffers"] = dict(seen[1].named_buffers())
    torch.save(found, folder / f"{ranks.number}.pt")
    yield Warned(ranks.number, "measured")


def fail(kind: type[Exception], should_stop: Callable[[], bool], ranks: Ranks) -> Iterator[Event]:
    """Let the last rank fail at its third step while the others wait for it."""
    for step in range(1_000_000):
        if ranks.number == ranks.count - 1 and step == 3:
            raise kind("There is no room for patches of 4096 pixels")
        ranks.any(False)
        yield Saved(step)


def wait(folder: Path, should_stop: Callable[[], bool], ranks: Ranks) -> Iterator[Event]:
    """Say who works here, and work until asked to stop."""
    step = 0
    (folder / f"{ranks.number}.pid").write_text(str(os.getpid()))
    while not ranks.any(ranks.is_first and should_stop()):
        step += 1
        yield Saved(step)
        time.sleep(0.01)
    yield Ended(step, "stopped")


def two(work, folder: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    return spread(work, 2, folder, should_stop, on_gpu=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[list[Event], list[dict]]:
    folder = tmp_path_factory.mktemp("ranks")
    events = list(two(functools.partial(measure, folder), folder))
    return events, [torch.load(folder / f"{number}.pt", weights_only=True) for number in (0, 1)]  # noqa: TID251


def test_alone_is_everything_done_at_once_and_no_group_is_made():
    assert [ALONE.any(True), ALONE.any(False), ALONE.agree("x")] == [True, False, "x"]
    assert ALONE.is_first
    before = gradients(1)
    after = copy.deepcopy(before)
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        new.grad = None if old.grad is None else old.grad.clone()
    for call in (ALONE.average, ALONE.share, ALONE.mean_buffers):
        call(after)
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(old, new)
        assert old.grad is new.grad is None or torch.equal(old.grad, new.grad)
    assert not dist.is_initialized()


def test_events_are_those_of_the_first_rank(measured):
    assert measured[0] == [Saved(0), Warned(0, "measured")]


def test_all_ranks_learn_what_any_of_them_says(measured):
    for found in measured[1]:
        assert (found["none"], found["one"], found["all"]) == (False, True, True)


def test_all_ranks_agree_with_the_first(measured):
    assert [found["agreed"] for found in measured[1]] == [{"steps": 100}] * 2


def test_gradients_are_the_mean_over_the_ranks_and_those_that_are_missing_stay_so(measured):
    made = [[parameter.grad for parameter in gradients(rank).parameters()] for rank in (0, 1)]
    for found in measured[1]:
        for first, second, mean in zip(*made, found["gradients"], strict=True):
            if first is None:
                assert mean is None
            else:
                assert torch.allclose(mean, (first + second) / 2)


def test_sharing_gives_every_rank_the_weights_and_buffers_of_the_first(measured):
    wanted = network(0).state_dict()
    wanted["1.num_batches_tracked"] += 5
    for found in measured[1]:
        assert found["shared"].keys() == wanted.keys()
        assert all(torch.equal(found["shared"][name], wanted[name]) for name in wanted)


def test_buffers_are_the_mean_of_what_each_rank_saw(measured):
    for found in measured[1]:
        assert found["buffers"]["running_mean"].tolist() == [0.5] * 4
        assert found["buffers"]["num_batches_tracked"] == 7


def test_nothing_is_left_of_ranks_that_are_done(measured, tmp_path):
    assert multiprocessing.active_children() == []


def test_no_rank_waits_for_one_that_failed_and_its_reason_is_told(tmp_path):
    (tmp_path / "ranks").write_bytes(b"left by a run that was killed")
    events = two(functools.partial(fail, ValueError), tmp_path)
    next(events)
    began = time.monotonic()
    with pytest.raises(TrainError, match=r"^There is no room for patches of 4096 pixels$"):
        list(events)
    assert time.monotonic() - began < 10
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "ranks").exists()


def test_a_defect_in_a_rank_shows_where_it_happened(tmp_path):
    with pytest.raises(RuntimeError, match=r"^There is no room") as raised:
        list(spread(functools.partial(fail, RuntimeError), 1, tmp_path, lambda: False, on_gpu=False))
    assert any("in fail" in note for note in raised.value.__notes__)


def test_ranks_end_with_whoever_watches_them(tmp_path):
    events = two(functools.partial(wait, tmp_path), tmp_path)
    next(events)
    events.close()
    assert multiprocessing.active_children() == []


def test_ranks_end_when_the_process_that_started_them_is_killed(tmp_path):
    code = (
        "import functools, pathlib, test_ranks as t\n"
        "if __name__ == '__main__':\n"
        f"    folder = pathlib.Path({str(tmp_path)!r})\n"
        "    for _ in t.two(functools.partial(t.wait, folder), folder): (folder / 'works').touch()\n"
    )
    (tmp_path / "parent.py").write_text(code)
    places = os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], env={**os.environ, "PYTHONPATH": places}) as parent:
        until(lambda: (tmp_path / "works").exists())
        family = [psutil.Process(int((tmp_path / f"{number}.pid").read_text())) for number in (0, 1)]
        assert all(member.is_running() for member in family)
        parent.kill()
    until(lambda: not any(is_alive(member) for member in family))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_group_of_one_is_left_again(tmp_path):
    ranks = join(0, 1, tmp_path / "ranks", None)
    assert dist.is_initialized()
    assert ranks == ALONE
    leave()
    assert not dist.is_initialized()
    leave()


def test_a_rank_that_nobody_meets_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("training.ranks._PATIENCE", timedelta(seconds=0.2))
    with pytest.raises(RankLost):
        join(0, 2, tmp_path / "ranks", None)
