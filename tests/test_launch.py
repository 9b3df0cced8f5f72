"""A run is followed to its end, whatever happens, in one process or in several."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist

from conftest import picture
from engine.encode import save_image
from engine.image import Image
from engine.method import Stage
from engine.methods.r2r import R2R, loss
from training import events
from training.events import EVENTS, Ended, Event, Reader, Saved, Started, Step, Verdict
from training.job import TrainError, TrainJob, write_job
from training.launch import follow
from training.ranks import ALONE, Ranks
from training.run import PAUSE, STOP, Run, begin

HERE = Path(__file__)
PATIENCE_S = 60.0
STARTED = Started(0, 3, "cpu", "float32")


@pytest.fixture
def job(tmp_path) -> TrainJob:
    data = tmp_path / "pictures"
    data.mkdir()
    for index in range(3):
        save_image(Image(picture(64 + index, 72).astype(np.float32)), data / f"{index}.png")
    return TrainJob(
        data=str(data), noise="gaussian:25", network="unet-tiny", steps=100_000, batch=2, patch=16, device="cpu",
        report_every=1,
    )  # fmt: skip


@pytest.fixture
def run(job, tmp_path) -> Run:
    return begin(job, tmp_path / "run")


class Watched(R2R):
    """Writes down for each rank what the weights and the patches are at each step; the second rank may fail."""

    def __init__(self, folder: Path, fails: bool = False) -> None:
        self.folder, self.fails = folder, fails

    def stages(self, training):
        return (Stage("watched", 1.0, self.loss),)

    def loss(self, network, batch, training, generator, progress):
        rank = dist.get_rank()
        if not network.training:
            return loss(network, batch, training, generator, progress)  # on pictures that were held out
        with (self.folder / f"rank{rank}.txt").open("a") as file:
            weights = sum(float(parameter.detach().double().abs().sum()) for parameter in network.parameters())
            file.write(f"{os.getpid()} {weights!r} {float(batch.noisy.double().sum())!r}\n")
        if self.fails and rank == 1 and progress > 0:
            raise TrainError("There is no room for patches of 4096 pixels")
        return loss(network, batch, training, generator, progress)


def watched(folder: Path) -> list[list[tuple[str, ...]]]:
    """For each rank: its process, the sum of its weights and of its patches, step by step."""
    texts = [(folder / f"rank{rank}.txt").read_text() for rank in (0, 1)]
    return [list(zip(*(line.split() for line in text.splitlines()), strict=True)) for text in texts]


def two_processes(run: Run, **details) -> Run:
    """The same run in two processes."""
    write_job(dataclasses.replace(run.job(), processes=2, **details), run.folder)
    return run


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_learn_the_same_from_different_patches_and_stop_at_the_same_step(run, tmp_path):
    # The judgement gets worse at once, so that the rate falls.
    judged = {"held_out": ("2.png",), "judge_every": 1, "patience": 1, "schedule": "plateau", "learning_rate": 0.1}
    two_processes(run, **judged)
    seen: list[Event] = []

    def has_fallen() -> bool:
        rates = [event.learning_rate for event in seen if isinstance(event, Step)]
        return any(before > after for before, after in itertools.pairwise(rates[:-1]))

    for event in follow(run.folder, has_fallen, Watched(tmp_path)):
        seen.append(event)
    assert isinstance(seen[0], Started)
    assert seen[0].processes == 2
    assert seen == run.events()
    assert has_fallen()
    assert seen[-1] == Ended(seen[-1].step, "stopped")
    (first, weights, patches), (second, same, others) = watched(tmp_path)
    assert len({os.getpid(), *first, *second}) == 3
    assert weights == same
    assert len(set(weights)) == len(weights) == seen[-1].step
    assert not set(patches) & set(others)
    assert run.checkpoint.exists()
    assert run.state == "stopped"
    assert not list(run.folder.glob("rank*"))


def test_a_rank_that_is_killed_ends_the_run_as_failed(run, tmp_path):
    two_processes(run)
    followed = follow(run.folder, method=Watched(tmp_path))
    while next(followed).step < 3:
        pass
    psutil.Process(int(watched(tmp_path)[1][0][0])).kill()
    began = time.monotonic()
    with pytest.raises(TrainError, match=r"A process of the training \(rank 1\) (was ended by signal 9|ended with)"):
        list(followed)
    assert time.monotonic() - began < 10
    assert run.state == "failed"
    assert "rank 1" in run.events()[-1].message


def started_as_ranks(run: Run, *command: object) -> list[subprocess.Popen[str]]:
    """Two processes with what torchrun says in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit status and what was printed, of each."""
    try:
        texts = [process.communicate(timeout=PATIENCE_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, texts, strict=True)]


def test_as_ranks_of_a_cluster_the_first_tells_and_all_stop(run):
    processes = started_as_ranks(run, "-m", "app", "train", "--resume", run.folder)
    until(lambda: any(event.step > 3 for event in run.events()) or processes[0].poll() is not None)
    assert run.state == "running"
    run.ask_stop()
    (status, said), (other_status, other_said) = ended(processes)
    assert (status, other_status) == (0, 0), said + other_said
    found = run.events()
    assert [type(event) for event in found].count(Ended) == 1
    assert found[-1] == Ended(found[-1].step, "stopped")
    assert isinstance(found[0], Started)
    assert found[0].processes == 2
    assert "step" in said
    assert "step" not in other_said


def test_as_ranks_of_a_cluster_the_first_tells_why_another_failed(run, tmp_path):
    (run.folder / "rank3.failed").write_text("It was something else, long ago")
    code = (
        "import pathlib, sys; from test_launch import Watched, follow\n"
        "run, folder = map(pathlib.Path, sys.argv[1:])\n"
        "for _ in follow(run, method=Watched(folder, fails=True)): pass"
    )
    found = ended(started_as_ranks(run, "-c", code, run.folder, tmp_path))
    assert all(status for status, _ in found), found
    assert run.events()[-1].message == "There is no room for patches of 4096 pixels"
    assert run.state == "failed"


def told(monkeypatch, *happening: Event | Callable[[], object]) -> None:
    """Let a training in this process do and tell these things."""

    def train(job, run, should_stop, method, ranks=ALONE):
        for one in happening:
            if callable(one):
                one()
            else:
                yield one

    monkeypatch.setattr("training.launch.train", train)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # its thread complains where a folder is gone


def stepped(step: int) -> Step:
    return Step(step, 0.5, 1e-3, 10.0, step / 100)


def test_what_an_earlier_process_was_asked_and_left_half_written_is_forgotten(run, monkeypatch):
    names = (STOP, PAUSE, "rank1.failed", ".0123456789abcdef.tmp")
    for name in names:
        (run.folder / name).touch()
    left = []
    told(monkeypatch, lambda: left.extend(path.name for path in run.folder.iterdir() if path.name in names))
    list(follow(run.folder))
    assert left == []


def test_the_folder_is_held_while_a_run_is_followed(run, monkeypatch):
    told(monkeypatch, STARTED, stepped(1))
    followed = follow(run.folder)
    next(followed)
    assert run.is_running
    with pytest.raises(TrainError, match="Another process is working in"):
        list(follow(run.folder))
    followed.close()
    assert not run.is_running
    assert [type(event) for event in run.events()] == [Started]


def test_a_failure_is_the_last_event_and_raised(run, monkeypatch):
    def fail():
        raise TrainError("There is no room")

    told(monkeypatch, STARTED, stepped(4), fail)
    with pytest.raises(TrainError, match="There is no room"):
        list(follow(run.folder))
    assert run.events()[-1] == Ended(4, "failed", "There is no room")


def test_a_full_disk_ends_no_run_and_takes_nothing_but_steps(run, monkeypatch):
    full = [False]

    def append(event: Event, folder: Path) -> None:
        if full[0]:
            with (folder / EVENTS).open("a") as file:
                file.write('{"event": "st')
            raise OSError(errno.ENOSPC, "No space left on device")
        events.append(event, folder)

    monkeypatch.setattr("training.launch.append", append)
    verdict = Verdict(4, True, 0.5, 0.1, "", "It is better")
    happened = [STARTED, stepped(1), stepped(2), Saved(2), stepped(3), verdict, stepped(4), Ended(4, "finished")]
    when = {2: lambda: full.__setitem__(0, True), 6: lambda: full.__setitem__(0, False)}
    doing = [
        one for number, event in enumerate(happened) for one in ([when[number]] if number in when else []) + [event]
    ]
    told(monkeypatch, *doing)
    assert list(follow(run.folder)) == happened
    assert list(Reader(run.folder).read()) == [STARTED, stepped(1), Saved(2), verdict, stepped(4), happened[-1]]


def test_a_folder_that_is_gone_ends_the_run_with_one_sentence(run, monkeypatch):
    told(monkeypatch, STARTED, stepped(1), run.delete, stepped(2), stepped(3))
    followed = follow(run.folder)
    assert [next(followed), next(followed)] == [STARTED, stepped(1)]
    with pytest.raises(TrainError, match="The folder of the run is gone"):
        next(followed)
    assert not run.folder.exists()


@pytest.mark.parametrize(
    ("device", "gpus", "wanted", "made"),
    [
        ("cpu", 8, None, 1), ("cpu", 8, 2, 2), ("cuda", 1, None, 1), ("cuda", 2, None, 2), ("cuda", 4, 2, 2),
        ("cuda:1", 2, None, 1), ("mps", 0, None, 1),
    ],
)  # fmt: skip
def test_every_gpu_of_the_machine_gets_a_process_if_nothing_else_is_said(run, monkeypatch, device, gpus, wanted, made):
    monkeypatch.setattr("training.launch.pick_device", lambda name: torch.device(device))
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("training.launch.read_job", lambda folder: TrainJob("x", steps=1, processes=wanted))
    counts = []
    told(monkeypatch, lambda: counts.append((1, device.startswith("cuda"))))

    def spread(work, count, run, should_stop, *, on_gpu):
        counts.append((count, on_gpu))
        return iter(())

    monkeypatch.setattr("training.launch.spread", spread)
    list(follow(run.folder))
    assert counts == [(made, device.startswith("cuda"))]


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 2), ("cuda:1", 4), ("mps", 0)])
def test_more_processes_than_gpus_are_refused(run, monkeypatch, device, gpus):
    monkeypatch.setattr("training.launch.pick_device", lambda name: torch.device(device))
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("training.launch.read_job", lambda folder: TrainJob("x", steps=1, processes=3))
    with pytest.raises(TrainError, match="3 processes need a GPU each"):
        list(follow(run.folder))
    assert run.events()[-1].reason == "failed"


def test_one_process_of_a_cluster_needs_no_others(run, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    told(monkeypatch, STARTED)
    assert list(follow(run.folder)) == run.events() == [STARTED]


def test_a_cluster_that_does_not_say_where_to_meet_is_told_so(run, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(TrainError, match="MASTER_PORT is not"):
        list(follow(run.folder))


def test_no_rank_of_a_cluster_begins_where_another_process_works(run, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    heard = []

    class Heard(Ranks):
        def agree(self, value):
            heard.append(value[0])
            return value

    monkeypatch.setattr("training.launch.join", lambda *_: Heard())
    with run.working(), pytest.raises(TrainError, match="Another process is working in"):
        list(follow(run.folder))
    assert "Another process" in heard[0]


def test_a_run_that_cannot_go_on_stays_at_its_step(run):
    events.append(STARTED, run.folder)
    events.append(Saved(40), run.folder)
    shutil.rmtree(run.job().data)
    with pytest.raises(TrainError):
        list(follow(run.folder))
    last = run.events()
    assert [type(event) for event in last] == [Started, Saved, Ended]
    assert (last[-1].step, last[-1].reason) == (40, "failed")


def test_judging_does_not_count_in_the_speed(job, tmp_path, monkeypatch):
    def judged(*_) -> Iterator[Event]:
        time.sleep(1.5)
        return iter(())

    monkeypatch.setattr("training.loop._Training._judged", judged)
    run = begin(dataclasses.replace(job, steps=4, hold_out=0.4, judge_every=2), tmp_path / "run")
    speeds = [event.patches_per_s for event in follow(run.folder) if isinstance(event, Step)]
    assert len(speeds) == 4
    assert speeds[2] > job.batch / 1.5
