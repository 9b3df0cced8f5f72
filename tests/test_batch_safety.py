"""No batch takes an original's place, does anything twice or counts as done what it has not done."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import random
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from batches import VALUES, install, pictures
from test_hostile import denoise, files_in, link  # noqa: F401

import app.batch.run
from app.__main__ import main
from app.batch import report
from app.batch.journal import Journal, settings_hash
from app.batch.plan import Filter, Found, Item, Naming, Planner, find
from app.batch.progress import Control, Step, Tally
from app.batch.run import Batch
from app.batch.watch import watched
from app.single import Machine, Models, Single
from engine import files
from engine.encode import AS_INPUT, Encoding
from engine.method import MethodError


@pytest.fixture
def models() -> Models:
    install()
    return Models(Machine(device="cpu"))


def ended(models: Models, items, journal: Journal | None = None, **options) -> list[Step]:
    steps = Batch(models, AS_INPUT, journal=journal, **options).run(items)
    return [step for step in steps if step is not None and step.state != "running"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- One place, whatever its spelling ----


@pytest.mark.parametrize(("given", "out"), [("in", "out"), ("in", "link"), ("again", "out"), ("in/../in", "./out")])
def test_nothing_is_done_twice_however_the_folders_are_spelt(tmp_path, denoise, monkeypatch, given, out):  # noqa: F811
    pictures(tmp_path / "in", 3)
    (tmp_path / "out").mkdir()
    link(tmp_path / "link", tmp_path / "out", target_is_directory=True)
    link(tmp_path / "again", tmp_path / "in", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert denoise(tmp_path / "in", "-o", tmp_path / "out").records[-1]["done"] == 3
    said = denoise(given, "-o", out, "--resume")
    assert (said.status, said.records[-1]["done"], said.records[-1]["skipped"]) == (0, 0, 3)
    assert len(files_in(tmp_path / "out")) == 3


@pytest.mark.parametrize("out", ["link", ".", "../in"])
def test_no_original_is_replaced_however_the_folder_of_the_results_is_spelt(tmp_path, denoise, monkeypatch, out):  # noqa: F811
    pictures(tmp_path / "in", 2)
    link(tmp_path / "in/link", tmp_path / "in", target_is_directory=True)
    before = contents(tmp_path / "in")
    monkeypatch.chdir(tmp_path / "in")
    said = denoise(tmp_path / "in", "-o", out, "--name", "{name}", "--overwrite")
    assert contents(tmp_path / "in") == before
    assert said.failures.keys() == before.keys()
    assert all("is the input itself" in reason for reason in said.failures.values())


def test_no_original_is_replaced_that_a_link_was_given_for(tmp_path, denoise):  # noqa: F811
    pictures(tmp_path / "photos", 2)
    before = contents(tmp_path / "photos")
    (tmp_path / "chosen").mkdir()
    for name in before:
        link(tmp_path / "chosen" / name, tmp_path / "photos" / name)
    said = denoise(tmp_path / "chosen", "-o", tmp_path / "photos", "--name", "{name}", "--overwrite")
    assert contents(tmp_path / "photos") == before
    assert said.failures.keys() == before.keys()


def test_names_that_some_disk_takes_for_one_are_kept_apart(tmp_path):
    found = [Found(tmp_path / str(index) / name, tmp_path) for index, name in enumerate(("e\u0301.png", "\xe9.png"))]
    first, second = Planner(Naming(tmp_path / "out", mirrors=False)).plan(found)
    assert (first.target.name, second.target.name) == ("e\u0301_denoised.png", "\xe9_denoised-2.png")


@pytest.mark.parametrize("spelt", [".", "link"])
def test_a_watched_folder_does_not_feed_itself_however_it_is_spelt(tmp_path, monkeypatch, spelt):
    (original,) = pictures(tmp_path / "in", 1)
    link(tmp_path / "in/link", tmp_path / "in", target_is_directory=True)
    monkeypatch.chdir(tmp_path / "in")
    out = Path(spelt)
    planner = Planner(Naming(out))
    there = planner.plan(find([tmp_path / "in"], Filter(), out), VALUES)
    arriving = watched([tmp_path / "in"], Filter(), planner, VALUES, out, there, every_s=0.01)
    item = next(arriving)
    assert item is not None
    shutil.copy(original, item.target)
    assert [item for item in itertools.islice(arriving, 12) if item is not None] == []


def test_results_of_an_earlier_batch_are_no_pictures_to_a_new_one(tmp_path, denoise):  # noqa: F811
    pictures(folder := tmp_path / "in", 2)
    denoise(folder, "-o", folder)
    denoise(folder, "-o", folder, "--overwrite")
    assert files_in(folder) == ["000.png", "000_denoised.png", "001.png", "001_denoised.png"]


def test_another_type_of_file_is_written_as_such_also_by_a_batch_that_goes_on(tmp_path, denoise):  # noqa: F811
    pictures(tmp_path / "in", 1)
    denoise(tmp_path / "in", "-o", tmp_path / "out")
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--resume", "--format", "tif")
    assert [path.name for path in said.done] == ["000_denoised.tif"]
    assert files_in(tmp_path / "out") == ["000_denoised.png", "000_denoised.tif"]


def test_pictures_of_one_name_and_two_types_are_done_once(tmp_path, denoise):  # noqa: F811
    pictures(tmp_path / "in", 1)
    pictures(tmp_path / "in", 1, suffix=".jpg")
    for done in (2, 0):
        said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--format", "tif", "--conflict", "skip", "--no-journal")
        assert (said.status, len(said.done)) == (0, done)


def test_ten_thousand_pictures_of_one_name_are_planned_at_once(tmp_path):
    found = [Found(tmp_path / "in" / f"{index}.png", tmp_path / "in") for index in range(10_000)]
    began = time.monotonic()
    items = Planner(Naming(tmp_path / "out", "same")).plan(found)
    assert items[-1].target.name == "same-10000.png"
    assert time.monotonic() - began < 10


# ---- What is done ----


def test_a_batch_killed_before_a_result_took_the_place_of_its_older_self_goes_on(tmp_path, models, monkeypatch):
    pictures(tmp_path / "in", 1)
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    with journal.locked():
        ended(models, Planner(Naming(out)).plan(find([tmp_path / "in"], Filter()), VALUES), journal)
    stronger = dataclasses.replace(VALUES, strength=0.5)

    def again() -> list[Step]:
        journal = Journal(out / "journal")
        journal.load()
        planner = Planner(Naming(out), known=journal.targets())
        return ended(models, planner.plan(find([tmp_path / "in"], Filter()), stronger), journal)

    def killed(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", killed)
        assert [step.state for step in again()] == ["failed"]
    assert [(step.state, step.text) for step in again()] == [("done", str(out / "000_denoised.png"))]
    assert [step.state for step in again()] == ["skipped"]


def test_lines_of_several_threads_do_not_run_into_one_another(tmp_path):
    journal = Journal(tmp_path / "journal")
    items = [Item(number, tmp_path / f"{number}.png", tmp_path / f"{number}-out.png") for number in range(40)]
    for item in items:
        item.target.touch()
    start = threading.Barrier(8)

    def write(some: list[Item]) -> None:
        start.wait()
        for item in some:
            journal.write(item, "", item.target.stat(), item.target)

    with journal.locked():
        threads = [threading.Thread(target=write, args=(items[index::8],)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    again = Journal(tmp_path / "journal")
    again.load()
    assert len(again.targets()) == len(items)


@pytest.mark.parametrize("sidecar", [False, True])
def test_a_picture_that_changes_after_it_was_read_is_not_done(tmp_path, models, monkeypatch, sidecar):
    (path,) = pictures(tmp_path / "in", 1)
    old = path.read_bytes()
    out = tmp_path / "out"
    journal = Journal(out / "journal")
    journal.folder.mkdir(parents=True)
    batch = Batch(models, journal=journal, sidecar=sidecar)
    items = Planner(Naming(out)).plan(find([tmp_path / "in"], Filter()), VALUES)
    for step in batch.run(items):
        if step is not None and step.state == "running":
            pictures(tmp_path / "in", 1, side=64)
    if sidecar:
        said = json.loads((out / "000_denoised.png.json").read_text())
        assert said["input_sha256"] == hashlib.sha256(old).hexdigest()
    assert not journal.is_done(items[0], settings_hash(VALUES, AS_INPUT, models.key))
    assert journal.owns(items[0])


def test_a_picture_that_changes_while_it_is_read_is_named(tmp_path, models, monkeypatch):
    pictures(tmp_path / "in", 2)
    load = app.batch.run.load_image

    def changing(path, *given, **named):
        image = load(path, *given, **named)
        if path.name == "000.png":
            os.utime(path, ns=(1, 1))
        return image

    monkeypatch.setattr(app.batch.run, "load_image", changing)
    steps = ended(models, Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), VALUES))
    assert [(step.state, step.text.partition(";")[0]) for step in steps] == [
        ("failed", "000.png changed while it was read"),
        ("done", str(tmp_path / "out/001_denoised.png")),
    ]


def test_a_file_that_comes_to_the_name_while_the_result_is_written_is_left(tmp_path, models, monkeypatch):
    pictures(tmp_path / "in", 1)
    (item,) = Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), VALUES)
    save = app.batch.run.save_image

    def slow(image, path, *given):
        path.write_text("a user's")
        save(image, path, *given)

    monkeypatch.setattr(app.batch.run, "save_image", slow)
    (step,) = ended(models, [item])
    assert (step.state, item.target.read_text()) == ("failed", "a user's")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [item.target.name]


def test_a_picture_that_was_cut_off_when_it_arrived_is_denoised_when_it_is_whole(tmp_path):
    (path,) = pictures(tmp_path / "in", 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    out = tmp_path / "out"
    planner = Planner(Naming(out))
    there = planner.plan(find([tmp_path / "in"], Filter()), VALUES)
    arriving = watched([tmp_path / "in"], Filter(), planner, VALUES, out, there, every_s=0.01)

    def look() -> list[Item]:
        return [item for item in itertools.islice(arriving, 12) if item is not None]

    assert [item.target for item in look()] == [out / "000_denoised.png"]
    path.write_bytes(whole)
    assert [(item.number, item.target) for item in look()] == [(2, out / "000_denoised.png")]
    assert look() == []


# ---- Steering ----


def test_pause_holds_pictures_without_noise_too(tmp_path, models):
    pictures(tmp_path / "in", 3)
    clean = dataclasses.replace(VALUES, params={"r2r": {"sigma": 0.0}})
    items = Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), clean)
    control = Control()
    control.paused.set()
    steps = Batch(models, control=control).run(items)
    seen = [next(steps) for _ in range(12)]
    assert not [step for step in seen if step is not None and step.state == "done"]
    control.paused.clear()
    assert len([step for step in steps if step is not None and step.state == "done"]) == 3


@pytest.mark.parametrize(("owner", "call"), [(Models, "settle"), (Single, "run")])
def test_a_mistake_that_only_one_picture_meets_does_not_end_the_batch(tmp_path, models, monkeypatch, owner, call):
    pictures(tmp_path / "in", 3)
    method, count = getattr(owner, call), itertools.count()

    def picky(*given):
        if next(count) == 1:
            raise MethodError("This method cannot do this picture")
        return method(*given)

    monkeypatch.setattr(owner, call, picky)
    items = Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), VALUES)
    steps = ended(models, items, fatal=(MethodError,))
    assert sorted((step.item.number, step.state) for step in steps) == [(1, "done"), (2, "failed"), (3, "done")]


def test_a_defect_while_it_is_asked_what_is_done_is_told(tmp_path, models, monkeypatch):
    pictures(tmp_path / "in", 2)
    items = Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), VALUES)
    journal = Journal(tmp_path / "out/journal")
    journal.folder.mkdir(parents=True)
    asked = Journal.is_done
    monkeypatch.setattr(
        Journal, "is_done", lambda self, item, how: {}["x"] if item.number == 1 else asked(self, item, how)
    )
    assert [step.state for step in ended(models, items, journal)] == ["failed", "done"]


def test_the_type_of_file_does_not_change_which_pictures_there_are(tmp_path):
    pictures(tmp_path, 2)
    (tmp_path / "000_denoised.png").write_bytes(b"")
    items = Planner(Naming(tmp_path), Encoding(".tif")).plan(find([tmp_path], Filter(), tmp_path), VALUES)
    assert len(items) == 3


@pytest.mark.parametrize("seed", range(6))
def test_each_picture_ends_once_whatever_fails_is_slow_paused_skipped_or_closed(tmp_path, models, monkeypatch, seed):
    rng = random.Random(seed)
    pictures(tmp_path / "in", 8, side=24)
    stack = np.clip(np.random.default_rng(0).normal(128, 20, (4, 24, 24, 3)), 0, 255).astype(np.uint8)
    for index in range(3):
        tifffile.imwrite(tmp_path / "in" / f"stack{index}.tif", stack, photometric="rgb")

    def flaky(call):
        def made(*given, **named):
            time.sleep(rng.choice([0, 0.01 * rng.random()]))
            if rng.random() < 0.05 * (seed % 3):
                raise rng.choice([OSError, ValueError, MemoryError])("said")
            return call(*given, **named)

        return made

    for owner, name in ((app.batch.run, "load_image"), (app.batch.run, "save_image"), (Single, "finish")):
        monkeypatch.setattr(owner, name, flaky(getattr(owner, name)))
    monkeypatch.setattr(app.batch.run.StackWriter, "add", flaky(app.batch.run.StackWriter.add))
    monkeypatch.setattr(app.batch.run, "_AHEAD", rng.choice([1, 10_000, 1 << 30]))
    monkeypatch.setattr(Models, "device", ("cpu", "cuda")[seed % 2])
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for is_closed in (False, True):
        out = tmp_path / f"out{is_closed}"
        journal = Journal(out / "journal")
        items = Planner(Naming(out)).plan(find([tmp_path / "in"], Filter()), VALUES)
        control, ends = Control(), {}
        with journal.locked():
            steps = Batch(models, journal=journal, control=control).run(items)
            for count, step in enumerate(steps):
                if step is not None and step.state != "running":
                    assert step.item.number not in ends
                    ends[step.item.number] = step.state
                if rng.random() < 0.02:
                    control.skip(rng.choice(items).number)
                (control.paused.set if rng.random() < 0.02 else control.paused.clear)()
                if is_closed and count == 10 + 5 * seed:
                    steps.close()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("batch")]
        assert not list(out.glob("*.tmp"))
        assert is_closed or len(ends) == len(items)
        again = Journal(out / "journal")
        again.load()
        for item in items:
            assert item.target.exists() == again.owns(item)
            assert ends.get(item.number) != "done" or again.owns(item)


# ---- What is said ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "There is no picture in {} itself; --recursive looks into the folders in it"),
        (("--recursive", "--include", "*.jpg"), "No picture in {} is one that --include and --exclude leave"),
        (("--include", "*.jpg"), "There is no picture in {} itself; --recursive looks into the folders in it"),
    ],
)
def test_it_is_said_why_nothing_is_found(tmp_path, denoise, options, said):  # noqa: F811
    pictures(tmp_path / "in/deep", 1)
    (line,) = denoise(tmp_path / "in", "-o", tmp_path / "out", *options).lines
    assert line == f"pellucid: {said.format(tmp_path / 'in')}"
    shutil.rmtree(tmp_path / "in/deep")
    (line,) = denoise(tmp_path / "in", "-o", tmp_path / "out", *options).lines
    assert line == f"pellucid: There is no picture in {tmp_path / 'in'}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--overwrite", "--conflict", "skip"), "Either --overwrite or --conflict skip"),
        (("--resume", "--no-journal"), "leave out --no-journal"),
        (("--format", "png", "--bits", "12"), "A .png file cannot hold 12 bits a sample; it holds 8, 16"),
        (("-o", "all.tif"), "all.tif is the name of a picture; several pictures need a folder"),
        (("-o", "in/000.png"), "in/000.png is a file; several pictures need a folder"),
    ],
)
def test_what_contradicts_itself_is_one_sentence_and_nothing_is_written(tmp_path, denoise, monkeypatch, options, said):  # noqa: F811
    pictures(tmp_path / "all/in", 2)
    monkeypatch.chdir(tmp_path / "all")
    ran = denoise("in", "-o", "out", *options)
    (line,) = ran.lines
    assert (ran.status, said in line, files_in(tmp_path / "all")) == (2, True, ["in/000.png", "in/001.png"])


def test_a_conflict_is_for_folders(tmp_path, denoise):  # noqa: F811
    (path,) = pictures(tmp_path / "in", 1)
    ran = denoise(path, "-o", tmp_path / "in/a.png", "--conflict", "number")
    assert (ran.status, len(ran.lines), files_in(tmp_path / "in")) == (2, 1, ["000.png"])


def test_waiting_for_what_has_not_arrived_is_no_waiting_for_the_disk(tmp_path, models):
    pictures(tmp_path / "in", 2)
    items = Planner(Naming(tmp_path / "out")).plan(find([tmp_path / "in"], Filter()), VALUES)

    def arriving():
        for item in items:
            until = time.monotonic() + 0.6
            while time.monotonic() < until:
                yield None
                time.sleep(0.02)
            yield item

    assert sum(step.waited_s for step in ended(models, arriving())) < 0.5


def test_how_far_ten_thousand_pictures_are_is_known_at_once(tmp_path):
    tally = Tally([Item(number, tmp_path / f"{number}.png", tmp_path) for number in range(10_000)])
    began = time.monotonic()
    for number in range(2000):
        tally.add(Step(Item(number, tmp_path, tmp_path), "running", share=0.5))
        assert 0 <= tally.share < 1
        assert tally.seconds_left is not None
    assert tally.share == pytest.approx(0.1)
    assert time.monotonic() - began < 1


def test_the_help_begins_with_what_everybody_needs(capsys):
    with pytest.raises(SystemExit) as ended_with:
        main(["denoise", "--help"])
    text = capsys.readouterr().out
    assert ended_with.value.code == 0
    assert text.startswith("usage: pellucid denoise IN... -o OUT [option ...]\n")
    order = [text.index(name) for name in ("-o OUT", "--recursive", "--format", "of the methods:", "--bn-eps")]
    assert order == sorted(order)


@pytest.mark.parametrize("name", ["half\udcff.png", "two\nlines.png"])
def test_a_report_names_pictures_of_any_name_in_a_line(tmp_path, name):
    rows = [report.Row(Item(1, tmp_path / name, tmp_path / "out.png"), "failed", "why")]
    (line,) = report.failures(rows).splitlines()
    assert line.encode().endswith(b": why")
    report.write(rows, tmp_path / "report.txt")
    assert (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()[-1].strip() == line
    report.write(rows, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["why"] == "why"
