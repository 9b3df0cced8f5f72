from __future__ import annotations

import multiprocessing
import time

import pytest

from training.job import TrainError, TrainJob
from training.timing import speed

TINY = TrainJob(data="", network="unet-tiny", steps=1, batch=1, patch=16, device="cpu", threads=1)


def result(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_speed_of_a_job_is_measured():
    assert 60 < result(speed(TINY)) < 100_000
    assert not multiprocessing.active_children()


def test_a_job_that_cannot_run_says_why():
    with pytest.raises(TrainError, match="no-such-model"):
        result(speed(TrainJob(data="", start="no-such-model", steps=1)))


def test_a_measurement_that_is_closed_ends_at_once():
    steps = speed(TINY)
    next(steps)
    (process,) = multiprocessing.active_children()
    began = time.monotonic()
    steps.close()
    assert time.monotonic() - began < 2
    assert process not in multiprocessing.active_children()
