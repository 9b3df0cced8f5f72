"""While the window lives cycles are collected on its thread alone, and never those that were loaded at the start."""

import gc
import threading

import pytest

from app.garbage import Garbage


class Loop:
    """A cycle that tells on which thread it went."""

    def __init__(self, gone: list[str]) -> None:
        self.me, self.gone = self, gone

    def __del__(self) -> None:
        self.gone.append(threading.current_thread().name)


@pytest.fixture
def garbage(qtbot):
    made = Garbage()
    yield made
    made.end()


def test_cycles_made_on_another_thread_go_on_the_window_s(garbage, qtbot):
    gone: list[str] = []
    kept = []

    def work() -> None:
        for _ in range(5):
            Loop(gone)
        kept.extend([[] for _ in range(5000)])  # many times what sets Python's own collector off

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()
    assert not gone
    qtbot.waitUntil(lambda: len(gone) == 5, timeout=5000)
    assert set(gone) == {"MainThread"}


def test_what_is_loaded_is_not_walked_over_again(garbage):
    before = len(gc.get_objects())
    garbage.spare()
    assert len(gc.get_objects()) < before / 10


def test_old_objects_are_looked_through_only_once_all_is_loaded(garbage, qtbot):
    gone: list[str] = []
    Loop(gone)
    gc.collect(0)
    assert gone  # a young one at once
    held = Loop(gone)
    gc.collect(1)  # old now
    del held
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        qtbot.wait(1200)
        assert len(gone) == 1
        garbage._is_loaded = True
        qtbot.waitUntil(lambda: len(gone) == 2, timeout=10_000)
    finally:
        gc.set_threshold(*thresholds)


def test_python_s_own_collector_comes_back(qtbot):
    assert gc.isenabled()
    made = Garbage()
    assert not gc.isenabled()
    made.spare()
    made.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
