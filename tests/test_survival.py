"""A training in a process of its own survives what happens to computers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT, picture
from engine.checkpoint import load_checkpoint
from engine.encode import save_image
from engine.image import Image
from training.events import Judged, Reader, Saved, Started, Step, Warned
from training.job import TrainError, TrainJob, write_job
from training.run import CHECKPOINT, STATE, Run, begin

NEST = """
import os, resource, signal, sys, time
import training.loop, app.cli
from app.__main__ import main

training.loop._SAVE_EVERY_S, training.loop._REPORT_EVERY_S = 0.3, 0.05
follow = training.loop._follow
# However fast the machine, no training may be over before something has happened to it.
training.loop._follow = lambda *given: (time.sleep(0.005), follow(*given))
for line in sys.stdin:
    folder, limit = line.split()
    child = os.fork()
    if not child:
        os.dup2(os.open(folder + ".said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        if limit != "0":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        os._exit(main(["train", "--resume", folder]))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Starts trainings, one at a time, that need not load torch again: forks itself before anything was computed."""


class Nest:
    """Trainings in processes of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NEST], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, run: Run, limit: int = 0) -> int:
        """Begin or go on; no file may grow beyond `limit` bytes. The process's number."""
        self._process.stdin.write(f"{run.folder} {limit}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def status(self) -> int:
        """Wait for the end; the exit status."""
        while not (line := self._process.stdout.readline()).strip().lstrip("-").isdigit():
            assert line, "the nest is gone"
        return int(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def nest():
    made = Nest()
    yield made
    made.close()


def wait_for(kind: type, reader: Reader) -> None:
    while not any(isinstance(event, kind) for event in reader.read()):
        time.sleep(0.02)


def said(run: Run) -> str:
    return Path(f"{run.folder}.said").read_text()


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of files are those of POSIX")


@pytest.fixture
def folder(tmp_path) -> Path:
    where = tmp_path / "pictures"
    where.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        noisy = np.roll(picture(80, 96), 13 * index, axis=1) + 0.1 * rng.standard_normal((80, 96, 3))
        save_image(Image(noisy.astype(np.float32), bits=32, is_float=True), where / f"{index}.tif")
    return where


@pytest.fixture
def job(folder) -> TrainJob:
    settings = {"network": "unet-tiny", "batch": 4, "patch": 32, "device": "cpu", "threads": 1}
    return TrainJob(str(folder), steps=300, held_out=("3.tif",), judge_every=100, **settings)


def weights(run: Path) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in load_checkpoint(run / CHECKPOINT).weights.values()])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_killed_ten_times_ends_as_one_that_was_not(job, nest, tmp_path):
    whole, killed = begin(job, tmp_path / "whole"), begin(job, tmp_path / "killed")
    nest.start(whole)
    assert nest.status() == 0
    chance = random.Random(1)
    for _ in range(10):
        kept = max((event.step for event in killed.events() if isinstance(event, Saved)), default=0)
        reader = Reader(killed.folder)
        list(reader.read())
        process = nest.start(killed)
        wait_for(Started, reader)
        # In the middle of whatever it does.
        time.sleep(chance.uniform(0.0, 0.5))
        os.kill(process, signal.SIGKILL)
        assert nest.status() == -signal.SIGKILL
        started = [event for event in killed.events() if isinstance(event, Started)]
        assert started[-1].step >= kept, "what was saved is not made again"
        assert not killed.is_running
    nest.start(killed)
    assert nest.status() == 0
    assert torch.equal(weights(whole.folder), weights(killed.folder))
    # One curve, without gaps, repeats or steps back.
    events = killed.events()
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == sorted(set(steps))
    assert steps[-1] > 0.8 * job.steps
    judged = [(event.step, event.psnr_db) for event in events if isinstance(event, Judged)]
    assert judged == [(event.step, event.psnr_db) for event in whole.events() if isinstance(event, Judged)]


def test_a_disk_that_is_full_loses_nothing_that_was_saved(job, nest, tmp_path):
    run = begin(replace(job, steps=40), tmp_path / "run")
    nest.start(run)
    assert nest.status() == 0
    kept = (run.folder / STATE).read_bytes()
    write_job(replace(job, steps=120), run.folder)
    # A state is larger than that, the events are not.
    nest.start(run, limit=40_000)
    assert nest.status() == 1
    ended = run.events()[-1]
    assert ended.reason == "failed"
    assert "could not be saved" in ended.message
    assert any("Nothing can be saved" in event.message for event in run.events() if isinstance(event, Warned))
    assert (run.folder / STATE).read_bytes() == kept
    assert not list(run.folder.glob(".*.tmp"))
    nest.start(run)
    assert nest.status() == 0
    assert run.events()[-1].step == 120


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_says_so(job, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(TrainError, match=r"cannot be written in \(Permission denied"):
        begin(job, locked / "run")


def test_pictures_that_vanish_while_it_learns_do_not_end_it(job, nest, tmp_path):
    run = begin(job, tmp_path / "run")
    nest.start(run)
    wait_for(Step, Reader(run.folder))
    shutil.rmtree(job.data)
    assert nest.status() == 0
    assert run.events()[-1].reason == "finished"


def test_a_run_folder_that_vanishes_ends_it_with_a_sentence(job, nest, tmp_path):
    run = begin(replace(job, steps=100_000), tmp_path / "run")
    nest.start(run)
    wait_for(Step, Reader(run.folder))
    # What is written meanwhile keeps it from being empty.
    for _ in range(3):
        shutil.rmtree(run.folder, ignore_errors=True)
    assert nest.status() in (1, 2)
    assert said(run).splitlines()[-1].startswith("pellucid: ")


def test_a_process_that_was_suspended_goes_on(job, nest, tmp_path):
    run = begin(job, tmp_path / "run")
    process = nest.start(run)
    wait_for(Step, Reader(run.folder))
    os.kill(process, signal.SIGSTOP)
    time.sleep(1.0)
    assert run.is_running
    os.kill(process, signal.SIGCONT)
    assert nest.status() == 0
    assert run.events()[-1].reason == "finished"
