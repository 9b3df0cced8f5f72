"""A batch: every picture gets a file of its own, what is done stays done, and one that fails stops nothing."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import os
import shutil
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from batches import VALUES, install, pictures
from hypothesis import given
from hypothesis import strategies as st

import app.batch.run
from app.batch import plan as planning
from app.batch.journal import Journal, settings_hash
from app.batch.plan import AUTOMATIC, BatchError, Filter, Found, Item, Naming, Planner, estimate_bytes, find
from app.batch.progress import Control, Step, Tally
from app.batch.run import Batch
from app.batch.watch import watched
from app.single import Machine, Models, Single
from engine.encode import AS_INPUT, Encoding, denoised_path
from engine.image import load_image

ALL = Filter()


@pytest.fixture
def models() -> Models:
    install()
    return Models(Machine(device="cpu"))


def planned(folder: Path, out: Path, which: Filter = ALL, conflict: str = "", known=None) -> list[Item]:
    return Planner(Naming(out), conflict=conflict, known=known).plan(find([folder], which, out), VALUES)


def run(models: Models, items, journal: Journal | None = None, **options) -> list[Step]:
    steps = Batch(models, AS_INPUT, journal=journal, **options).run(items)
    return [step for step in steps if step is not None and step.state != "running"]


def states(steps: list[Step]) -> dict[str, str]:
    return {step.item.path.name: step.state for step in steps}


# ---- What becomes of which picture ----


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_folders_are_mirrored_and_results_are_no_inputs(tmp_path):
    for name in ("a.jpg", "deep/er/b.png", "out/c.jpg", ".hidden/d.jpg"):
        touch(tmp_path / name)
    out = tmp_path / "out"
    assert [item.target for item in planned(tmp_path, out)] == [out / "a_denoised.jpg"]
    targets = [item.target for item in planned(tmp_path, out, Filter(recursive=True))]
    assert targets == [out / "a_denoised.jpg", out / "deep/er/b_denoised.png"]


def test_patterns_say_which_files_are_taken(tmp_path):
    for name in ("a.jpg", "B.JPG", "c.png", "2024/d.jpg", "2025/e.jpg"):
        touch(tmp_path / name)

    def taken(*include: str, exclude: tuple[str, ...] = ()) -> set[str]:
        return {one.path.name for one in find([tmp_path], Filter(True, include, exclude))}

    assert taken("*.jpg") == {"a.jpg", "B.JPG", "d.jpg", "e.jpg"}
    assert taken("2024/*") == {"d.jpg"}
    assert taken("*.jpg", exclude=("2025/*", "b.*")) == {"a.jpg", "d.jpg"}
    assert taken("*.tif") == set()


def test_a_file_that_is_given_is_taken_once_whatever_the_patterns(tmp_path):
    path = touch(tmp_path / "a.xyz")
    assert [one.path for one in find([path, path], Filter(include=("*.jpg",)))] == [path]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{name}", "IMG_1.jpg"),
        ("{folder}-{number}", "holiday-007.jpg"),
        ("{name} (denoised)", "IMG_1 (denoised).jpg"),
        ("x", "x.jpg"),
    ],
)
def test_a_name_pattern_makes_names(tmp_path, pattern, name):
    path = tmp_path / "holiday" / "IMG_1.jpg"
    assert Naming(pattern=pattern).target(path, path.parent, 7, 300) == path.with_name(name)


@pytest.mark.parametrize("conflict", ["", "number"])
def test_the_two_suffixes_of_an_ome_file_stay_together(tmp_path, conflict):
    path = touch(tmp_path / "in/cells.ome.tif")
    (item,) = planned(tmp_path / "in", tmp_path / "out", conflict=conflict)
    assert item.target.name == "cells_denoised.ome.tif"
    assert denoised_path(path).name == "cells_denoised.ome.tif"
    touch(item.target)
    (again,) = planned(tmp_path / "in", tmp_path / "out", known={path: item.target})
    assert again.target == item.target
    (other,) = planned(tmp_path / "in", tmp_path / "out", conflict="number")
    assert other.target.name == "cells_denoised-2.ome.tif"
    assert Naming(tmp_path).target(path, path.parent, 1, 1, Encoding(".jpg")).name == "cells_denoised.jpg"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{size}", "has {size}; it may have {name}, {number}"),
        ("{name.__class__}", "has {name.__class__}"),
        ("a/b", "has /"),
        ("{name", "has {"),
        ("a\\b", "has \\"),
        (" ", "is empty"),
    ],
)
def test_a_name_pattern_that_makes_no_name_is_one_clear_error(pattern, said):
    with pytest.raises(BatchError, match="The name pattern") as error:
        Naming(pattern=pattern)
    assert said in str(error.value)


@given(
    st.lists(st.tuples(st.sampled_from("aAbB"), st.sampled_from([".jpg", ".png", ".cr2", ".tif"])), max_size=12),
    st.sampled_from(["", "skip", "number", "replace"]),
    st.sampled_from(["", ".tif", ".jpg"]),
    st.sampled_from(["{name}_denoised", "same", "{name}"]),
)
def test_no_two_pictures_share_a_file_and_none_takes_that_of_an_input(
    tmp_path_factory, names, conflict, suffix, pattern
):
    folder = tmp_path_factory.mktemp("plan")
    found = [Found(folder / str(index) / (stem + end), folder) for index, (stem, end) in enumerate(names)]
    naming = Naming(folder / "out", pattern, mirrors=False)
    items = Planner(naming, Encoding(suffix), conflict).plan(found)
    targets = [str(item.target).casefold() for item in items if not item.problem]
    assert len(items) == len(found)
    assert len(set(targets)) == len(targets)
    beside = Planner(Naming(pattern=pattern), Encoding(suffix), conflict).plan(found)
    inputs = {str(one.path).casefold() for one in found}
    assert not [item for item in beside if not item.problem and str(item.target).casefold() in inputs]


@pytest.mark.parametrize(
    ("conflict", "name", "problem", "replaces"),
    [
        ("", "a_denoised.jpg", "exists already; give another name", False),
        ("skip", "a_denoised.jpg", "exists already", False),
        ("number", "a_denoised-2.jpg", "", False),
        ("replace", "a_denoised.jpg", "", True),
    ],
)
def test_what_is_there_is_left_numbered_or_replaced_as_asked(tmp_path, conflict, name, problem, replaces):
    touch(tmp_path / "in/a.jpg")
    touch(tmp_path / "out/a_denoised.jpg")
    (item,) = planned(tmp_path / "in", tmp_path / "out", conflict=conflict)
    assert (item.target.name, item.replaces, item.is_wanted) == (name, replaces, conflict == "skip")
    assert problem in item.problem
    assert bool(problem) == bool(item.problem)


def test_the_disk_estimate_is_near_what_is_written(tmp_path, models):
    pictures(tmp_path / "in", 8, side=120)
    items = planned(tmp_path / "in", tmp_path / "out")
    run(models, items)
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert 0.5 < estimate_bytes(items, AS_INPUT) / written < 2.5
    assert estimate_bytes([dataclasses.replace(item, problem="no") for item in items], AS_INPUT) == 0
    assert planning.free_bytes(items) > 0


# ---- Running ----


def test_every_picture_becomes_a_file_and_the_bad_ones_are_named(tmp_path, models):
    pictures(tmp_path / "in", 5)
    (tmp_path / "in/002.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "in/004.png").unlink()
    items = planned(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in/003.png").unlink()  # vanished since
    steps = run(models, items)
    assert states(steps) == {"000.png": "done", "001.png": "done", "002.png": "failed", "003.png": "failed"}
    assert all("\n" not in step.text for step in steps)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000_denoised.png", "001_denoised.png"]


def test_a_batch_gives_the_pixels_that_one_picture_gives_alone(tmp_path, models):
    paths = pictures(tmp_path / "in", 3, side=70)
    run(models, planned(tmp_path / "in", tmp_path / "out"))
    run(models, [Item(1, paths[1], tmp_path / "alone.png", VALUES)])
    np.testing.assert_array_equal(
        load_image(tmp_path / "out/001_denoised.png").pixels, load_image(tmp_path / "alone.png").pixels
    )


def test_a_defect_in_one_picture_does_not_stop_the_rest(tmp_path, models, monkeypatch):
    pictures(tmp_path / "in", 3)
    settle = Models.settle

    count = itertools.count()
    monkeypatch.setattr(Models, "settle", lambda *a: settle(*a) if next(count) != 1 else {}["oops"])
    steps = run(models, planned(tmp_path / "in", tmp_path / "out"))
    assert states(steps) == {"000.png": "done", "001.png": "failed", "002.png": "done"}
    (failed,) = (step for step in steps if step.state == "failed")
    assert "Something went wrong that should not: KeyError" in failed.text


def test_what_every_picture_would_meet_ends_the_batch(tmp_path, models):
    pictures(tmp_path / "in", 3)
    other = dataclasses.replace(VALUES, model="none")
    items = [dataclasses.replace(item, values=other) for item in planned(tmp_path / "in", tmp_path / "out")]
    with pytest.raises(ValueError, match="There is no model 'none'"):
        run(models, items, fatal=(ValueError,))
    assert len(run(models, items)) == 3


def test_the_sidecar_names_the_result_and_the_hash_of_its_input(tmp_path, models):
    pictures(tmp_path / "in", 1)
    run(models, planned(tmp_path / "in", tmp_path / "out"), sidecar=True)
    sidecar = json.loads((tmp_path / "out/000_denoised.png.json").read_text())
    assert sidecar["output"] == "000_denoised.png"
    assert len(sidecar["input_sha256"]) == 64


def test_a_file_that_came_to_the_name_meanwhile_is_left(tmp_path, models):
    pictures(tmp_path / "in", 2)
    items = planned(tmp_path / "in", tmp_path / "out")
    touch(items[1].target).write_text("a user's")
    steps = run(models, items)
    assert [step.state for step in steps] == ["done", "failed"]
    assert items[1].target.read_text() == "a user's"


def test_pause_stops_and_resume_goes_on(tmp_path, models):
    pictures(tmp_path / "in", 2)
    control = Control()
    control.paused.set()
    steps = Batch(models, control=control).run(planned(tmp_path / "in", tmp_path / "out"))
    seen = [next(steps) for _ in range(8)]
    assert not [step for step in seen if step is not None and step.state == "done"]
    control.paused.clear()
    assert [step.state for step in steps if step is not None and step.state != "running"] == ["done", "done"]


def test_a_picture_can_be_left_out_while_it_is_in_work(tmp_path, models):
    pictures(tmp_path / "in", 3)
    control = Control()
    ended = []
    for step in Batch(models, control=control).run(planned(tmp_path / "in", tmp_path / "out")):
        if step is not None and step.state == "running" and step.item.number == 1:
            control.skip(1)
            control.skip(3)
        elif step is not None and step.state != "running":
            ended.append((step.item.number, step.state))
    assert sorted(ended) == [(1, "skipped"), (2, "done"), (3, "skipped")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["001_denoised.png"]


def test_closing_stops_within_a_tile_and_leaves_no_thread_and_nothing_half_written(tmp_path, models):
    pictures(tmp_path / "in", 6, side=200)
    steps = Batch(models).run(planned(tmp_path / "in", tmp_path / "out"))
    while (step := next(steps)) is None or step.share == 0:
        pass
    began = time.monotonic()
    steps.close()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]
    left = list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else []
    assert not [path for path in left if path.suffix == ".tmp"]


def test_what_a_type_has_no_room_for_is_said_with_the_result(tmp_path, models):
    pictures(tmp_path / "in", 1)
    opaque = PIL.Image.open(tmp_path / "in/000.png").convert("RGBA")
    opaque.save(tmp_path / "in/000.png")
    (item,) = planned(tmp_path / "in", tmp_path / "out")
    (step,) = run(models, [dataclasses.replace(item, target=tmp_path / "out/a.jpg")])
    assert "a.jpg cannot hold the opacity of the picture; left out" in step.record["warnings"]


def test_what_was_special_in_opening_a_picture_is_said_with_the_result(tmp_path, models):
    pictures(tmp_path / "in", 1)
    shown = PIL.Image.open(tmp_path / "in/000.png").convert("L")
    shown.save(tmp_path / "in/film.gif", save_all=True, append_images=[shown.transpose(PIL.Image.Transpose.ROTATE_180)])
    (tmp_path / "in/000.png").unlink()
    (step,) = run(models, planned(tmp_path / "in", tmp_path / "out"))
    assert step.record["warnings"][0] == "film.gif holds 2 pictures; only the first is used"


def test_only_a_few_pictures_are_in_memory_at_once_and_none_afterwards(tmp_path, models, monkeypatch):
    kept: list[weakref.ref] = []
    most = 0

    def watched_load(*given, **named):
        nonlocal most
        image = load_image(*given, **named)
        kept.append(weakref.ref(image))
        most = max(most, sum(ref() is not None for ref in kept))
        return image

    monkeypatch.setattr("app.batch.run.load_image", watched_load)
    pictures(tmp_path / "in", 12)
    assert len(run(models, planned(tmp_path / "in", tmp_path / "out"))) == 12
    assert most <= 5
    gc.collect()
    assert not [ref for ref in kept if ref() is not None]


@pytest.mark.parametrize(("device", "most"), [("cuda", 0.35), ("cpu", 1.0)])
def test_for_an_accelerator_several_threads_read_and_write(tmp_path, models, monkeypatch, device, most):
    """Reading takes three times as long as denoising, and so does writing: the network hardly waits all the same."""
    pause = 0.03

    def slow(call, seconds):
        return lambda *given, **named: (time.sleep(seconds), call(*given, **named))[1]

    for name in ("load_image", "save_image"):
        monkeypatch.setattr(f"app.batch.run.{name}", slow(getattr(app.batch.run, name), 3 * pause))
    monkeypatch.setattr(Single, "finish", slow(Single.finish, pause))
    monkeypatch.setattr(Models, "device", device)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    pictures(tmp_path / "in", 24, side=24)
    tally = Tally(items := planned(tmp_path / "in", tmp_path / "out"))
    for step in Batch(models).run(items):
        if step is not None:
            tally.add(step)
    assert tally.counts == {"done": 24}
    assert tally.waited_s / tally.seconds < most
    if device == "cpu":
        assert tally.waited_s / tally.seconds > 0.5  # or the test could not fail


def test_the_pages_of_a_stack_are_denoised_into_one_stack(tmp_path, models):
    rng = np.random.default_rng(0)
    stack = np.clip(rng.normal(128, 20, (5, 40, 48, 3)), 0, 255).astype(np.uint8)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/stack.tif", stack, photometric="rgb")
    steps = run(models, planned(tmp_path / "in", tmp_path / "out"))
    assert [(step.state, step.text) for step in steps] == [("done", str(tmp_path / "out/stack_denoised.tif"))]
    with tifffile.TiffFile(tmp_path / "out/stack_denoised.tif") as opened:
        made = opened.asarray()
    assert (made.shape, made.dtype) == (stack.shape, stack.dtype)
    for page in (0, 3):
        alone = tmp_path / f"{page}.tif"
        tifffile.imwrite(alone, stack[page], photometric="rgb")
        run(models, [Item(1, alone, tmp_path / f"{page}-alone.tif", VALUES)])
        np.testing.assert_array_equal(made[page], tifffile.imread(tmp_path / f"{page}-alone.tif"))
        assert (made[page] != stack[page]).any()


def test_what_is_said_of_a_stack_is_about_all_of_its_pages(tmp_path, models):
    stack = np.random.default_rng(0).normal(0.5, 0.06, (3, 64, 80, 3)).astype(np.float32)
    stack[0] += np.roll(stack[0], 1, axis=1) - 0.5  # its noise alone correlates
    stack[2] = 0.7 + (stack[2] - 0.5) / 3
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/stack.tif", stack, photometric="rgb")
    (step,) = run(models, planned(tmp_path / "in", tmp_path / "out"))
    record = step.record
    assert record["mean_before"] == pytest.approx(stack.mean(dtype=float), rel=1e-6)
    made = tifffile.imread(tmp_path / "out/stack_denoised.tif")
    assert record["mean_after"] == pytest.approx(made.mean(dtype=float), rel=1e-6)
    assert record["estimated_psnr_db"] is None
    assert sum("correlates" in warning for warning in record["warnings"]) == 1


def test_a_stack_with_a_bad_page_leaves_nothing(tmp_path, models):
    stack = np.random.default_rng(0).integers(0, 255, (3, 40, 48, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/stack.tif"
    tifffile.imwrite(path, stack, photometric="rgb")
    path.write_bytes(path.read_bytes()[: -40 * 48 * 2])
    (step,) = run(models, planned(tmp_path / "in", tmp_path / "out"))
    assert step.state == "failed"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


# ---- What is done stays done ----


def test_nothing_is_done_twice_and_what_is_missing_is_done(tmp_path, models):
    pictures(tmp_path / "in", 4)
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    with journal.locked():
        run(models, planned(tmp_path / "in", out), journal)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "001_denoised.png").unlink()
    (out / "002_denoised.png").write_bytes(b"cut off")
    pictures(tmp_path / "in", 1, start=4)
    again = Journal(out / "journal")
    again.load()
    items = planned(tmp_path / "in", out, conflict="replace", known=again.targets())
    assert states(run(models, items, again)) == {
        "000.png": "skipped",
        "001.png": "done",
        "002.png": "done",
        "003.png": "skipped",
        "004.png": "done",
    }
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert {name: stamps[name] for name in ("000_denoised.png", "003_denoised.png")}.items() <= kept.items()


def test_another_picture_or_other_settings_are_not_taken_for_done(tmp_path, models):
    paths = pictures(tmp_path / "in", 2)
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    with journal.locked():
        run(models, planned(tmp_path / "in", out), journal)
    items = planned(tmp_path / "in", out, known=journal.targets())
    assert states(run(models, items, journal)) == {"000.png": "skipped", "001.png": "skipped"}
    stronger = dataclasses.replace(VALUES, strength=0.5)
    others = [dataclasses.replace(item, values=stronger) for item in items]
    assert states(run(models, others, journal)) == {"000.png": "done", "001.png": "done"}
    pictures(tmp_path / "in", 1, side=60)  # another 000.png
    os.utime(paths[0], ns=(1, 1))
    assert states(run(models, others, journal)) == {"000.png": "done", "001.png": "skipped"}


def test_a_result_that_a_user_changed_is_not_replaced(tmp_path, models):
    pictures(tmp_path / "in", 1)
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    with journal.locked():
        run(models, planned(tmp_path / "in", out), journal)
    (out / "000_denoised.png").write_text("a user's")
    (step,) = run(models, planned(tmp_path / "in", out, known=journal.targets()), journal)
    assert (step.state, (out / "000_denoised.png").read_text()) == ("failed", "a user's")


def test_a_moved_folder_is_still_done(tmp_path, models):
    pictures(tmp_path / "all/in", 2)
    journal = Journal(tmp_path / "all/journal")
    with journal.locked():
        run(models, planned(tmp_path / "all/in", tmp_path / "all/out"), journal)
    shutil.copytree(tmp_path / "all", tmp_path / "moved", copy_function=shutil.copy2)
    moved = Journal(tmp_path / "moved/journal")
    moved.load()
    items = planned(tmp_path / "moved/in", tmp_path / "moved/out", known=moved.targets())
    assert set(states(run(models, items, moved)).values()) == {"skipped"}


def test_a_line_that_was_cut_off_costs_only_its_picture(tmp_path, models):
    pictures(tmp_path / "in", 3)
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    with journal.locked():
        run(models, planned(tmp_path / "in", out), journal)
    lines = out / "journal" / "done-0.jsonl"
    lines.write_bytes(lines.read_bytes()[:-9])
    (out / "002_denoised.png").unlink()
    for expected in ("done", "skipped"):
        again = Journal(out / "journal")
        again.load()
        items = planned(tmp_path / "in", out, known=again.targets())
        assert list(states(run(models, items, again)).values()) == ["skipped", "skipped", expected]


def test_two_batches_do_not_write_to_one_folder(tmp_path):
    first, second = Journal(tmp_path / "out/journal"), Journal(tmp_path / "out/journal")
    with first.locked(), pytest.raises(BatchError, match="Another batch is writing"), second.locked():
        pass
    with second.locked():
        pass


def test_only_what_killed_runs_left_is_tidied_away(tmp_path):
    old, new, users = (touch(tmp_path / name) for name in (".0123456789abcdef.tmp", ".fedcba9876543210.tmp", "a.tmp"))
    os.utime(old, (1, 1))
    Journal(tmp_path / "journal").tidy([Item(1, tmp_path / "a", tmp_path / "b.png")], time.time() - 60)
    assert [path.exists() for path in (old, new, users)] == [False, True, True]


def test_settings_are_told_apart_whatever_they_are():
    kinds = [
        settings_hash(AUTOMATIC, AS_INPUT, {"seed": 0}),
        settings_hash(VALUES, AS_INPUT, {"seed": 0}),
        settings_hash(AUTOMATIC, Encoding(quality=90), {"seed": 0}),
        settings_hash(AUTOMATIC, AS_INPUT, {"seed": 1}),
    ]
    assert len(set(kinds)) == 4
    assert kinds[0] == settings_hash(AUTOMATIC, AS_INPUT, {"seed": 0})


# ---- What arrives ----


def test_what_arrives_is_taken_when_it_is_whole_and_results_are_not(tmp_path):
    pictures(tmp_path, 1)
    out = tmp_path / "out"
    planner = Planner(Naming(out))
    there = planner.plan(find([tmp_path], Filter(True), out), VALUES)
    arriving = watched([tmp_path], Filter(recursive=True), planner, VALUES, out, there, every_s=0.01)
    assert next(arriving).path.name == "000.png"

    def look(times: int = 30) -> list[str]:
        return [item.path.name for item in itertools.islice(arriving, times) if item is not None]

    assert look() == []
    (slow,) = pictures(tmp_path, 1, start=1)
    whole = slow.read_bytes()
    for cut in (0, 10, 20, 30):
        slow.write_bytes(whole[:cut])
        assert next(arriving) is None  # it grows from look to look
    pictures(out, 1, start=7)
    (tmp_path / "new").mkdir()
    shutil.copy(slow, tmp_path / "new" / "b.png")
    slow.write_bytes(whole)
    assert sorted(look()) == ["001.png", "b.png"]
    assert look() == []


# ---- How far it is ----


def test_the_tally_counts_each_picture_once_and_goes_from_0_to_1(tmp_path, models):
    pictures(tmp_path / "in", 4)
    (tmp_path / "in/001.png").write_bytes(b"")
    items = planned(tmp_path / "in", tmp_path / "out")
    tally, shares = Tally(items), []
    for step in Batch(models).run(items):
        if step is not None:
            tally.add(step)
            shares.append(tally.share)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert (tally.counts["done"], tally.counts["failed"], tally.ended, tally.total) == (3, 1, 4, 4)
    assert [step.item.path.name for step in tally.failures] == ["001.png"]
    assert tally.seconds_left == pytest.approx(0)


def test_time_left_is_that_of_the_bytes_left_and_pauses_do_not_count(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for name, size in (("a", 100), ("b", 300)):
        (tmp_path / name).write_bytes(bytes(size))
    items = [Item(i, tmp_path / name, tmp_path / "x") for i, name in enumerate("ab", 1)]
    tally = Tally(items)
    assert tally.seconds_left is None
    now = 10.0
    tally.add(Step(items[0], "done"))
    assert tally.seconds_left == pytest.approx(30)
    tally.pause(True)
    now = 1000.0
    tally.pause(False)
    assert tally.seconds_left == pytest.approx(30)
