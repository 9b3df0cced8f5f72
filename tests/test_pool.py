"""Of a large folder a changing part is in memory: within the budget, the same at the same step, whatever goes wrong."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from conftest import picture
from engine.encode import save_image
from engine.image import Image, load_image
from engine.noise import estimate_noise
from training import patches
from training.job import TrainError, TrainJob
from training.patches import Pool, Sampler

EVERY = 3
NAMES = [f"{number:02d}.png" for number in range(14)]


def noisy(height=64, width=72, seed=0):
    clean = picture(height, width)
    return (clean + 15 / 255 * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Fourteen noisy pictures."""
    data = tmp_path_factory.mktemp("fourteen")
    for seed, name in enumerate(NAMES):
        save_image(Image(noisy(seed=seed)), data / name)
    return data


@pytest.fixture
def folder(files, tmp_path):
    """Files of its own, which a test may damage."""
    data = tmp_path / "pictures"
    data.mkdir()
    for name in NAMES:
        (data / name).write_bytes((files / name).read_bytes())
    return data


@pytest.fixture
def job(folder):
    return TrainJob(data=str(folder), steps=100, batch=4, patch=32)


@pytest.fixture
def part(monkeypatch):
    """Six pictures can be in memory, those that are held out counted; every third step another one comes."""
    monkeypatch.setattr(patches, "_START_S", 6.5 * patches._cost(64 * 72 / 1e6, TrainJob(data="", steps=1)))
    monkeypatch.setattr(Pool, "every", EVERY)
    report = estimate_noise(noisy())
    monkeypatch.setattr(patches, "estimate_noise", lambda pixels, _: replace(report, sigma=float(pixels.std())))


@pytest.fixture
def pool_of():
    """Makes pools, and closes them."""
    made = []

    def make(*args):
        made.append(Pool(*args))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def names(pool):
    return [held.name for held in pool]


def at(pool, step):
    """Names and pixels that are in memory at a step."""
    pool.turn(step)
    return [(held.name, held.pixels.tobytes()) for held in pool]


# All of it


def test_a_small_folder_is_in_memory_for_good(job, pool_of):
    pool = pool_of(job)
    assert names(pool) == NAMES
    assert pool.count == 14
    before = [id(held) for held in pool]
    for step in (1, 2, 10**6, 0):
        pool.turn(step)
        assert [id(held) for held in pool] == before
    assert pool.held_out == []
    assert pool.warnings == []
    assert not [thread for thread in threading.enumerate() if thread.name == "picture reader" and thread.is_alive()]


def test_for_a_grid_all_pictures_are_in_memory(job, part, pool_of):
    assert names(pool_of(replace(job, stride=16))) == NAMES


# A part


def test_a_large_folder_begins_with_a_part_and_all_of_it_comes(job, part, pool_of):
    pool = pool_of(job)
    first = names(pool)
    assert len(first) == 6
    assert first != NAMES[:6]
    assert pool.count == 14
    seen = set(first)
    for step in range(8 * EVERY + 1):
        before = names(pool)
        pool.turn(step)
        assert (names(pool) == before) == (step % EVERY != 0 or step == 0)
        if step % EVERY == 0 and step:
            assert names(pool)[:-1] == before[1:]
        seen |= set(names(pool))
    assert seen == set(NAMES)


def test_memory_fills_up_after_the_start(job, part, pool_of):
    pool = pool_of(replace(job, held_out=("01.png", "05.png")))
    sizes = [len(at(pool, step)) for step in range(0, 5 * EVERY, EVERY)]
    assert sizes == [4, 5, 6, 6, 6]


def test_where_memory_has_room_for_all_nothing_changes_once_all_are_there(job, part, folder, pool_of):
    for name in NAMES[8:]:
        (folder / name).unlink()
    pool = pool_of(replace(job, held_out=("01.png", "02.png")))
    assert [len(at(pool, step)) for step in range(0, 4 * EVERY, EVERY)] == [4, 5, 6, 6]
    assert sorted(names(pool)) == ["00.png", *NAMES[3:8]]
    before = at(pool, 2 * EVERY)
    assert at(pool, 20 * EVERY) == before
    resumed = pool_of(replace(job, held_out=("01.png", "02.png")))
    assert at(resumed, 20 * EVERY) == before


def test_the_same_job_learns_from_the_same_batches(job, part, pool_of):
    def batches(seed):
        pool, rng = pool_of(replace(job, seed=seed)), np.random.default_rng(0)
        sampler = Sampler(pool, job)
        found = []
        for step in range(4 * EVERY):
            pool.turn(step)
            found.append(sampler.batch(rng).noisy.numpy().tobytes())
        return found

    first = batches(0)
    assert first == batches(0)
    assert first != batches(1)
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("damaged", [(), (1, 4, 9, 10), tuple(range(11))])
def test_a_resumed_run_has_the_pictures_of_one_that_went_through(job, part, folder, pool_of, damaged):
    for number in damaged:
        (folder / NAMES[number]).write_bytes(b"no picture")
    whole = pool_of(job)
    steps = [0, 1, EVERY, 4 * EVERY + 1, 9 * EVERY, 15 * EVERY, 40 * EVERY]
    expected = {step: at(whole, step) for step in range(40 * EVERY + 1)}
    for step in steps:
        assert at(pool_of(job), step) == expected[step]
    # A run that goes back to its last good state has the pictures of then.
    for step in reversed(steps):
        assert at(whole, step) == expected[step]


def test_of_pictures_too_large_for_their_share_another_window_is_there_each_time(job, part, monkeypatch, pool_of):
    monkeypatch.setattr(patches, "_WINDOW", 32)
    made = replace(job, patch=16)
    whole = {held.name: held for held in pool_of(replace(made, stride=8))}
    pool = pool_of(made)
    pool._share = 40 * 40 * 3
    seen = {}
    for step in range(0, 30 * EVERY, EVERY):
        for name, pixels in at(pool, step):
            seen.setdefault(name, set()).add(pixels)
    assert all(held.is_window and held.pixels.nbytes <= 40 * 40 * 3 for held in pool)
    # Fourteen pictures, and each came back at least once.
    assert {len(found) for found in seen.values()} <= {2, 3}
    assert all(held.report == whole[held.name].report for held in pool)
    assert at(pool_of(made), 0) != at(pool, 0)
    assert at(pool, 30 * EVERY) == at(pool, 30 * EVERY)


def test_the_noise_of_a_picture_is_measured_once(job, part, monkeypatch, pool_of):
    measured, estimate = [], patches.estimate_noise

    def counting(*args):
        measured.append(1)
        return estimate(*args)

    monkeypatch.setattr(patches, "estimate_noise", counting)
    pool = pool_of(job)
    for step in range(30 * EVERY):
        pool.turn(step)
    assert len(measured) == 14
    sigmas = [held.sigma for held in pool]
    least, most = pool.noise_levels
    assert 0 < least <= min(sigmas) <= max(sigmas) <= most


def test_how_often_it_changes_follows_the_speed_of_the_run_not_the_clock(job, pool_of):
    pool = pool_of(job)

    def every(**change):
        pool.job = replace(job, **change)
        return pool.every

    assert every(steps=60_000, minutes=1) == pytest.approx(10 * every(steps=6000, minutes=1), rel=0.15)
    assert every(steps=60_000, minutes=10) == every(steps=6000, minutes=1)
    assert every(batch=1) > every(batch=32) >= 1


# Memory


def test_it_never_holds_more_than_its_budget(tmp_path, monkeypatch, pool_of):
    report = estimate_noise(noisy(256, 256))
    monkeypatch.setattr(patches, "estimate_noise", lambda *args: report)
    monkeypatch.setattr(patches, "_START_S", 8.0)
    monkeypatch.setattr(Pool, "every", 1)
    data = tmp_path / "forty"
    data.mkdir()
    save_image(Image(noisy(1400, 1500)), data / "0.jpg")
    for number in range(1, 40):
        os.link(data / "0.jpg", data / f"{number}.jpg")
    # The pictures take 252 MB.
    job = TrainJob(data=str(data), steps=100, batch=4, budget_mb=64, hold_out=0.1)
    process = psutil.Process()
    before, most, held = process.memory_info().rss, 0, []
    pool = pool_of(job)
    sampler = Sampler(pool, job)
    for step in range(40):
        pool.turn(step)
        assert sampler.batch(np.random.default_rng(step)).noisy.shape == (4, 3, 64, 64)
        while not all(future.done() for future in pool._ahead.values()):
            time.sleep(0.001)
        held.append(pool.nbytes)
        most = max(most, process.memory_info().rss - before)
    assert len(pool) > 10
    assert 16 * 2**20 < max(held) <= 64 * 2**20
    # Decoding is counted in; what the allocator and the libraries keep is not.
    assert most < 128 * 2**20


# What goes wrong


def test_a_picture_that_is_corrupt_or_goes_away_is_passed_over_and_told_once(job, part, folder, pool_of):
    (folder / "03.png").write_bytes((folder / "03.png").read_bytes()[:2000])
    pool = pool_of(job)
    pool.turn(0)
    (folder / "07.png").unlink()
    pool.turn(30 * EVERY)
    for step in range(60 * EVERY):
        pool.turn(step)
        assert len(pool) in (5, 6)
    told = sorted(pool.warnings)
    assert [sentence.split(" is left out: ")[0] for sentence in told] == ["03.png", "07.png"]
    assert "ends too early" in told[0]
    assert "does not exist" in told[1]
    assert not {"03.png", "07.png"} & set(names(pool))
    assert pool.count == 12


def test_a_folder_that_goes_away_leaves_what_is_in_memory(job, part, folder, pool_of):
    pool = pool_of(job)
    for step in range(2 * EVERY):
        pool.turn(step)
    folder.rename(folder.with_name("away"))
    for step in range(2 * EVERY, 20 * EVERY):
        pool.turn(step)
    assert len(pool) == 6
    assert Sampler(pool, job).batch(np.random.default_rng(0)).noisy.shape == (4, 3, 32, 32)
    folder.with_name("away").rename(folder)
    for step in range(20 * EVERY, 27 * EVERY):
        pool.turn(step)
    assert at(pool, 27 * EVERY) == at(pool_of(job), 27 * EVERY)


def test_without_a_usable_picture_it_says_why(job, folder, part, pool_of):
    for name in NAMES:
        (folder / name).write_bytes(b"")
    with pytest.raises(TrainError, match=r"None of the 14 pictures .* can be used; the first: 0?\d*.png is empty"):
        pool_of(job).turn(0)
    with pytest.raises(TrainError, match=r"None of the 14 pictures .* can be used"):
        pool_of(replace(job, stride=8))


def test_a_drive_that_hangs_is_waited_for_once_and_then_learning_goes_on(job, part, monkeypatch, pool_of):
    answers = threading.Event()
    answers.set()

    def slow(path):
        answers.wait()
        return load_image(path)

    monkeypatch.setattr(patches, "load_image", slow)
    monkeypatch.setattr(patches, "_PATIENCE_S", 0.3)
    pool = pool_of(job)
    expected = pool_of(job)
    before = at(pool, EVERY - 1)
    # The next was read ahead, those after it are not there.
    pool.turn(EVERY)
    for future in pool._ahead.values():
        future.exception()
    answers.clear()
    held = at(pool, 2 * EVERY)
    assert held != before
    pool.turn(3 * EVERY)
    assert at(pool, 3 * EVERY) == held
    (sentence,) = pool.warnings
    assert "has not answered for" in sentence
    began = time.monotonic()
    for step in range(3 * EVERY, 6 * EVERY):
        pool.turn(step)
    assert time.monotonic() - began < 0.3
    answers.set()
    end = time.monotonic() + 10
    while at(pool, 7 * EVERY) != (wanted := at(expected, 7 * EVERY)):
        assert time.monotonic() < end
    assert at(pool, 7 * EVERY) == wanted
    assert len(pool.warnings) == 1


def test_waiting_for_a_drive_ends_at_once_when_the_run_is_stopped(job, part, monkeypatch, pool_of):
    answers = threading.Event()
    pool = pool_of(job)
    held = at(pool, 0)
    for future in pool._ahead.values():
        future.exception()
    monkeypatch.setattr(patches, "load_image", lambda path: answers.wait() and load_image(path))
    began = time.monotonic()
    pool.turn(3 * EVERY, lambda: True)
    assert time.monotonic() - began < 5
    assert len(pool) == len(held)
    answers.set()


def test_a_drive_that_never_answers_is_a_sentence(job, part, monkeypatch, pool_of):
    answers = threading.Event()
    monkeypatch.setattr(patches, "load_image", lambda path: answers.wait() and load_image(path))
    monkeypatch.setattr(patches, "_PATIENCE_S", 0.1)
    with pytest.raises(TrainError, match=r"has not answered for .* connect it again"):
        pool_of(job).turn(0)
    with pytest.raises(TrainError, match=r"has not answered for .* connect it again"):
        pool_of(replace(job, hold_out=0.2))
    answers.set()


def test_a_defect_while_reading_ahead_is_not_hidden(job, part, monkeypatch, pool_of):
    pool = pool_of(job)
    pool.turn(0)
    monkeypatch.setattr(patches, "load_image", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pool.turn(3 * EVERY)


def test_closing_ends_the_reading(job, part):
    pool = Pool(job)
    pool.turn(0)
    pool.turn(EVERY)
    pool.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "picture reader"]


# Held out


def test_what_is_held_out_is_never_learned_from(job, part, pool_of):
    pool = pool_of(replace(job, hold_out=0.3))
    held = {picture.name for picture in pool.held_out}
    assert len(held) == 4
    seen = set()
    for step in range(0, 30 * EVERY, EVERY):
        pool.turn(step)
        seen |= set(names(pool))
    assert seen == set(NAMES) - held
    assert pool.count == 10
    # Those of a share are the same whether all fits or not.
    assert {p.name for p in pool_of(replace(job, hold_out=0.3, stride=8)).held_out} == held


def test_the_pictures_somebody_held_out_are_those(job, pool_of):
    pool = pool_of(replace(job, held_out=("02.png", "11.png", "gone.png"), leave_out=("03.png",)))
    assert {picture.name for picture in pool.held_out} == {"02.png", "11.png"}
    assert names(pool) == [name for name in NAMES if name not in ("02.png", "03.png", "11.png")]
    with pytest.raises(TrainError, match="None of the pictures to hold out"):
        pool_of(replace(job, held_out=("gone.png",)))
    with pytest.raises(TrainError, match="nothing is left to learn from"):
        pool_of(replace(job, held_out=tuple(NAMES)))


def test_a_share_that_was_written_down_by_name_is_the_same(job, pool_of):
    drawn = pool_of(replace(job, hold_out=0.5))
    named = pool_of(replace(job, hold_out=0.5, held_out=tuple(sorted(drawn.kept_out))))
    assert [picture.name for picture in named.held_out] == [picture.name for picture in drawn.held_out]
    assert len(named.held_out) == 7


def test_at_most_sixteen_are_judged_on_the_middle_of_large_ones(tmp_path, pool_of, monkeypatch):
    report = estimate_noise(noisy(64, 64))
    monkeypatch.setattr(patches, "estimate_noise", lambda *args: report)
    for number in range(20):
        save_image(Image(noisy(40, 40, number)), tmp_path / f"{number:02d}.png")
    job = TrainJob(data=str(tmp_path), steps=1, patch=32)
    chosen = tuple(f"{number:02d}.png" for number in range(18))
    pool = pool_of(replace(job, held_out=chosen))
    assert len({picture.name for picture in pool.held_out}) == 16
    assert names(pool) == ["18.png", "19.png"]
    save_image(Image(noisy(600, 40)), tmp_path / "large.png")
    (held,) = pool_of(replace(job, held_out=("large.png",))).held_out
    assert held.pixels.shape == (512, 40, 3)
    assert held.report == report
    middle = load_image(tmp_path / "large.png").pixels[44:556]
    assert np.array_equal(held.cut(0, 0, 512, 40), middle)


def test_held_out_pictures_that_cannot_be_used_are_told(job, folder, pool_of):
    (folder / "02.png").write_bytes(b"")
    pool = pool_of(replace(job, held_out=("02.png", "03.png")))
    assert [picture.name for picture in pool.held_out] == ["03.png"]
    assert len(pool.warnings) == 1
    with pytest.raises(TrainError, match=r"None of the 1 pictures .* 02.png is empty"):
        pool_of(replace(job, held_out=("02.png",)))


# Several processes


def test_a_folder_that_is_too_large_is_divided_among_the_processes(job, part, pool_of):
    job = replace(job, hold_out=0.15)
    first, second = pool_of(job, (0, 2)), pool_of(job, (1, 2))
    seen = [set(), set()]
    for step in range(0, 20 * EVERY, EVERY):
        for pool, found in zip((first, second), seen, strict=True):
            pool.turn(step)
            found |= set(names(pool))
    assert not seen[0] & seen[1]
    held = [[picture.name for picture in pool.held_out] for pool in (first, second)]
    assert held[0] == held[1]
    assert seen[0] | seen[1] == set(NAMES) - set(held[0])
    assert first.count == second.count == 12


def test_of_a_small_folder_every_process_has_all(job, pool_of):
    assert names(pool_of(job, (0, 2))) == names(pool_of(job, (1, 2))) == NAMES
