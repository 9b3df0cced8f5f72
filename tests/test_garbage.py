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


def test_python_s_own_collector_comes_back(qtbot):
    assert gc.isenabled()
    made = Garbage()
    assert not gc.isenabled()
    made.spare()
    made.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
