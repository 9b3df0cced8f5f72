"""The worker runs jobs in order, stops them at a yield, and turns failures into events."""

import os
import sys
import threading

import pytest

from engine.worker import Kind, Worker


class Recorder:
    def __init__(self):
        self.events, self.changed = [], threading.Condition()

    def __call__(self, job, kind, value):
        with self.changed:
            self.events.append((job.id, kind, value, threading.current_thread()))
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.events) >= count, 5)

    def kinds(self):
        return [kind for _, kind, _, _ in self.events]


def test_jobs_report_progress_and_their_result_on_the_worker_thread():
    record, worker = Recorder(), Worker("test")

    def work():
        yield 1
        yield 2
        return "end"

    worker.submit(work, record)
    record.wait(3)
    worker.close()
    assert record.kinds() == [Kind.PROGRESS, Kind.PROGRESS, Kind.DONE]
    assert [value for _, _, value, _ in record.events] == [1, 2, "end"]
    assert all(thread is not threading.main_thread() for *_, thread in record.events)


def test_cancelled_job_reports_cancelled_not_failed_and_closes_its_generator():
    record, worker = Recorder(), Worker("test")
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield None
        finally:
            closed.set()

    job = worker.submit(endless, record)
    record.wait(1)
    job.cancel()
    assert closed.wait(5)
    worker.close()
    assert record.kinds()[-1] is Kind.CANCELLED
    assert Kind.FAILED not in record.kinds()


def test_a_failing_job_does_not_end_the_worker():
    record, worker = Recorder(), Worker("test")

    def broken():
        yield 1
        raise ValueError("no")

    def fine():
        yield 2

    worker.submit(broken, record)
    worker.submit(fine, record)
    record.wait(4)
    worker.close()
    assert record.kinds() == [Kind.PROGRESS, Kind.FAILED, Kind.PROGRESS, Kind.DONE]


def test_closing_cancels_what_runs_and_what_waits_and_joins_the_thread():
    record, worker = Recorder(), Worker("test")

    def endless():
        while True:
            yield None

    worker.submit(endless, record)
    worker.submit(endless, record)
    record.wait(1)
    worker.close()
    assert record.kinds().count(Kind.CANCELLED) == 2
    assert "test" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.skipif(sys.platform != "linux", reason="only there has each thread a niceness of its own")
def test_work_and_the_threads_it_starts_give_way_to_the_window():
    record, worker = Recorder(), Worker("test")
    found = []

    def look():
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work():
        look()
        inner = threading.Thread(target=look)
        inner.start()
        inner.join()
        yield

    worker.submit(work, record)
    record.wait(2)
    worker.close()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert len(found) == 2
    assert all(niceness > own or own == 19 for niceness in found)
