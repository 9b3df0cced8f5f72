from __future__ import annotations

import csv
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from batches import VALUES, install, pictures
from hypothesis import given
from hypothesis import strategies as st

from app.batch import report
from app.batch import saved as batches
from app.batch.journal import Journal
from app.batch.plan import BatchError, Filter, Item, Naming, Planner, find
from app.batch.queue import Queue
from app.batch.report import Row
from app.batch.saved import BATCH, BatchJob, SavedBatch, Watch
from app.jobs import Target
from app.settings import Settings
from app.values import Values
from app.workspace import Workspace
from engine.encode import Encoding
from engine.image import load_image

PATIENCE_MS = 60_000


@pytest.fixture
def make_queue(qtbot):
    install()
    made = []

    def make() -> Queue:
        queue = Queue(Workspace(Settings(denoise_on_open=False)))
        made.append(queue)
        return queue

    yield make
    for queue in made:
        queue.close()
        queue.workspace.close()


@pytest.fixture
def queue(make_queue):
    return make_queue()


@pytest.fixture
def tiles(monkeypatch):
    """The tiles computed so far; each waits for `gate`, where it is closed, and lasts `pause`."""
    from engine.denoise import Denoising

    class Tiles(list):
        pause = 0.0
        gate = threading.Event()

    made, original = Tiles(), Denoising._advance
    made.gate.set()

    def counted(self, tile, passes):
        made.append(time.monotonic())
        made.gate.wait(30)
        time.sleep(made.pause)
        return original(self, tile, passes)

    monkeypatch.setattr(Denoising, "_advance", counted)
    monkeypatch.setattr("engine.denoise.tile_side", lambda model, margin: 16)
    yield made
    made.gate.set()


def job_for(given: list[Path], out: Path, values: Values = VALUES, conflict: str = "skip", **details) -> BatchJob:
    items = Planner(Naming(out), conflict=conflict).plan(find(given, Filter(recursive=True)), values)
    return BatchJob(tuple(items), device="cpu", **details)


KILLED = """
import sys, time
from pathlib import Path

sys.path.insert(0, "..")
from PySide6.QtWidgets import QApplication

from app.batch.queue import Queue
from app.workspace import Workspace
from engine.denoise import Denoising
from test_batch_queue import job_for

application, folder, advance = QApplication([]), Path(sys.argv[1]), Denoising._advance
Denoising._advance = lambda self, tile, passes: (time.sleep(0.1), advance(self, tile, passes))
Queue(Workspace()).start(job_for(sorted((folder / "in").iterdir()), folder / "out"))
application.exec()
"""


def ended(queue: Queue, qtbot) -> None:
    qtbot.waitUntil(lambda: not queue.is_live, timeout=PATIENCE_MS)


def states(queue: Queue) -> list[str]:
    return [row.state for row in queue.rows]


def left_over(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.tmp") if path.is_file()]


def test_a_batch_saves_all_and_one_failure_does_not_stop_the_rest(queue, qtbot, tmp_path):
    paths = pictures(tmp_path / "in", 3)
    queue.workspace.open([tmp_path / "in"])
    qtbot.waitUntil(lambda: sum(e.thumbnail is not None for e in queue.workspace.entries) == 3, timeout=PATIENCE_MS)
    paths[1].write_bytes(b"gone bad")
    queue.start(job_for(paths, tmp_path / "out"))
    assert states(queue) == ["waiting"] * 3
    assert [entry.state for entry in queue.workspace.entries] == ["queued"] * 3
    ended(queue, qtbot)
    assert queue.state == "finished"
    assert states(queue) == ["done", "failed", "done"]
    assert queue.counts == {"done": 2, "failed": 1, "waiting": 0, "running": 0}
    assert "001.png" in queue.rows[1].text
    assert [entry.state for entry in queue.workspace.entries] == ["done", "failed", "done"]
    assert queue.workspace.entries[1].note == queue.rows[1].text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"000_denoised.png", "002_denoised.png"}
    assert queue.tally.share == pytest.approx(1)


def test_a_batch_writes_what_the_window_writes(queue, qtbot, tmp_path):
    paths = pictures(tmp_path / "in", 2, side=96)
    workspace = queue.workspace
    workspace.open(paths)
    qtbot.waitUntil(lambda: workspace.can_save, timeout=PATIENCE_MS)
    alone = tmp_path / "alone.png"
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(alone))
    queue.start(job_for(paths, tmp_path / "out", Values()))
    ended(queue, qtbot)
    assert states(queue) == ["done", "done"]
    assert np.array_equal(load_image(alone).pixels, load_image(tmp_path / "out/000_denoised.png").pixels)


def test_a_picture_can_be_denoised_and_saved_while_a_batch_runs(queue, qtbot, tmp_path, tiles):
    paths = pictures(tmp_path / "in", 4)
    workspace = queue.workspace
    workspace.open([pictures(tmp_path / "other", 1)[0], *paths])
    qtbot.waitUntil(lambda: workspace.can_save, timeout=PATIENCE_MS)
    tiles.pause = 0.02
    queue.start(job_for(paths, tmp_path / "out"))
    qtbot.waitUntil(lambda: queue.counts["running"] > 0, timeout=PATIENCE_MS)
    with qtbot.waitSignal(workspace.saved, timeout=PATIENCE_MS):
        workspace.save(Target(tmp_path / "alone.png"))
    assert queue.is_live
    # A look at a picture that waits does not make it look denoised.
    workspace.select(workspace.entries[4])
    assert workspace.entries[4].state == "queued"
    ended(queue, qtbot)
    assert states(queue) == ["done"] * 4


def test_failed_pictures_are_tried_again_and_only_these(queue, qtbot, tmp_path):
    paths = pictures(tmp_path / "in", 3)
    good = paths[1].read_bytes()
    paths[1].write_bytes(b"gone bad")
    queue.start(job_for(paths, tmp_path / "out"))
    ended(queue, qtbot)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    paths[1].write_bytes(good)
    queue.retry(queue.rows)
    assert states(queue) == ["done", "waiting", "done"]
    ended(queue, qtbot)
    assert states(queue) == ["done"] * 3
    assert queue.tally.total == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (tmp_path / "out/001_denoised.png").exists()


def test_pause_stops_progress_and_resume_goes_on(queue, qtbot, tmp_path, tiles):
    queue.start(job_for(pictures(tmp_path / "in", 3), tmp_path / "out"))
    tiles.pause = 0.02
    qtbot.waitUntil(lambda: len(tiles) > 2, timeout=PATIENCE_MS)
    queue.pause()
    assert queue.state == "paused"
    qtbot.wait(150)  # the tile in work ends
    made, seconds = len(tiles), queue.tally.seconds
    qtbot.wait(200)
    assert len(tiles) == made
    assert queue.tally.seconds == seconds
    queue.unpause()
    tiles.pause = 0.0
    ended(queue, qtbot)
    assert states(queue) == ["done"] * 3


def test_a_cancelled_batch_leaves_nothing_half_written_and_can_be_gone_on_with(queue, qtbot, tmp_path, tiles):
    tiles.pause = 0.03
    queue.start(job_for(pictures(tmp_path / "in", 4), tmp_path / "out"))
    qtbot.waitUntil(lambda: queue.counts["done"] == 1 and queue.rows[1].share > 0, timeout=PATIENCE_MS)
    made = len(tiles)
    queue.cancel()
    assert queue.state == "stopping"
    ended(queue, qtbot)
    assert queue.state == "cancelled"
    assert len(tiles) <= made + 2
    assert set(states(queue)) == {"done", "waiting"}
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [row.item.target.name for row in queue.rows if row.state == "done"]
    assert left_over(tmp_path) == []
    for path in written:
        load_image(path)
    # It was the user's wish: nothing is offered at the next start.
    assert batches.interrupted() is None
    tiles.pause = 0.0
    queue.go_on()
    ended(queue, qtbot)
    assert states(queue) == ["done"] * 4


def test_pictures_can_be_left_out_also_the_one_in_work(queue, qtbot, tmp_path, tiles):
    tiles.pause = 0.03
    queue.start(job_for(pictures(tmp_path / "in", 4), tmp_path / "out"))
    qtbot.waitUntil(lambda: queue.rows[0].state == "running" and len(tiles) > 1, timeout=PATIENCE_MS)
    queue.skip([0, 3])
    assert queue.tally.ended == 2
    tiles.pause = 0.0
    ended(queue, qtbot)
    assert states(queue) == ["skipped", "done", "done", "skipped"]
    assert queue.tally.ended == 4
    assert queue.rows[3].text == "Skipped by hand"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001_denoised.png", "002_denoised.png"]
    queue.retry([queue.rows[3]])
    ended(queue, qtbot)
    assert states(queue) == ["skipped", "done", "done", "done"]


def test_an_interrupted_batch_is_finished_and_nothing_is_done_twice(make_queue, qtbot, tmp_path, tiles):
    first = make_queue()
    tiles.pause = 0.01
    paths = pictures(tmp_path / "in", 5)
    first.start(job_for(paths, tmp_path / "out"))
    qtbot.waitUntil(lambda: first.counts["done"] >= 2, timeout=PATIENCE_MS)
    assert batches.interrupted() is None  # it is at work, not interrupted
    first.close()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    saved = batches.interrupted()
    assert saved is not None
    assert 2 <= saved.count_done() == len(kept) < 5
    tiles.clear()
    tiles.pause = 0.0
    second = make_queue()
    second.resume(saved)
    ended(second, qtbot)
    assert states(second) == ["done"] * 5
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "out").iterdir())) == 5
    per_picture = len(tiles) / (5 - len(kept))
    assert per_picture == int(per_picture)
    assert batches.interrupted() is None


def test_a_batch_whose_program_was_killed_is_finished_and_nothing_is_done_twice(make_queue, qtbot, tmp_path):
    """The whole program, by a signal that it cannot catch."""
    out = tmp_path / "out"
    pictures(tmp_path / "in", 12)
    install()
    program = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=Path(__file__).parent)
    try:
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.png"))) < 3 and program.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        program.kill()
        program.wait()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 3 <= len(kept) < 12
    saved = batches.interrupted()
    assert saved.count_done() >= len(kept)
    queue = make_queue()
    queue.resume(saved)
    ended(queue, qtbot)
    assert states(queue) == ["done"] * 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(out.glob("*.png"))) == 12


def test_a_batch_killed_before_its_last_line_was_whole_does_that_picture_again(make_queue, qtbot, tmp_path, caplog):
    queue = make_queue()
    queue.start(job_for(pictures(tmp_path / "in", 3), tmp_path / "out"))
    ended(queue, qtbot)
    saved = queue.saved
    saved.reopen()
    (journal,) = saved.folder.glob("done-*.jsonl")
    text = journal.read_text()
    journal.write_text(text[: len(text) - 20])
    (tmp_path / "out/002_denoised.png").unlink()
    second = make_queue()
    with caplog.at_level(logging.CRITICAL):
        second.resume(batches.interrupted())
        ended(second, qtbot)
    assert states(second) == ["done"] * 3
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_one_batch_is_not_gone_on_with_by_two_windows(make_queue, qtbot, tmp_path, tiles):
    first, second = make_queue(), make_queue()
    tiles.gate.clear()
    first.start(job_for(pictures(tmp_path / "in", 2), tmp_path / "out"))
    qtbot.waitUntil(lambda: len(tiles) > 0, timeout=PATIENCE_MS)
    second.resume(first.saved)
    ended(second, qtbot)
    assert second.state == "failed"
    assert "Another batch" in second.message
    with pytest.raises(BatchError, match="at work"):
        first.start(job_for([], tmp_path))
    tiles.gate.set()
    ended(first, qtbot)
    assert states(first) == ["done"] * 2


def test_a_picture_whose_method_has_no_model_is_named(queue, qtbot, tmp_path):
    queue.start(job_for(pictures(tmp_path / "in", 1), tmp_path / "out", Values("n2n")))
    ended(queue, qtbot)
    assert states(queue) == ["failed"]
    assert "No model for method 'n2n' is installed" in queue.rows[0].text


def test_what_arrives_in_a_watched_folder_is_denoised_until_it_is_stopped(make_queue, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("app.batch.watch.watched.__defaults__", ((), 0.05))
    queue = make_queue()
    inside, out = tmp_path / "in", tmp_path / "out"
    watch = Watch((inside,), Filter(), Naming(out), "skip", VALUES)
    queue.start(job_for(pictures(inside, 1), out, watch=watch))
    qtbot.waitUntil(lambda: queue.counts["done"] == 1, timeout=PATIENCE_MS)
    assert queue.is_watching
    pictures(inside, 1, start=1)
    qtbot.waitUntil(lambda: queue.counts["done"] == 2, timeout=PATIENCE_MS)
    assert [row.item.path.name for row in queue.rows] == ["000.png", "001.png"]
    queue.close()
    # It is found again, also what arrived meanwhile, and nothing is done twice.
    kept = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    second = make_queue()
    second.resume(batches.interrupted())
    qtbot.waitUntil(lambda: second.counts["done"] == 2, timeout=PATIENCE_MS)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == kept
    second.cancel()
    ended(second, qtbot)
    assert batches.interrupted() is None


def test_huge_pictures_are_opened_only_where_that_is_wanted(queue, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.reading._LARGEST", 1000)
    paths = pictures(tmp_path / "in", 1)
    for huge, state in ((False, "failed"), (True, "done")):
        queue.start(job_for(paths, tmp_path / "out", huge=huge))
        ended(queue, qtbot)
        assert states(queue) == [state]


# ---- Files ----

names = st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=12)
values = st.builds(
    Values,
    method=st.sampled_from(["", "r2r", "plain"]),
    params=st.dictionaries(
        st.sampled_from(["r2r", "dbsn"]), st.dictionaries(st.sampled_from(["sigma", "passes"]), st.floats(0, 1))
    ),
    strength=st.floats(0, 1.2),
    guard=st.sampled_from([0.0, 1.5]),
)
items = st.builds(
    Item,
    number=st.integers(1, 99),
    path=names.map(lambda name: Path("/in", name)),
    target=names.map(lambda name: Path("/out", name)),
    values=values,
    problem=names,
    is_wanted=st.booleans(),
    replaces=st.booleans(),
)
watches = st.builds(
    Watch,
    folders=st.lists(names.map(Path), max_size=2).map(tuple),
    which=st.builds(
        Filter, st.booleans(), st.lists(names, max_size=2).map(tuple), st.lists(names, max_size=2).map(tuple)
    ),
    naming=st.builds(Naming, st.none() | names.map(Path), st.just("{name}-{number}"), st.booleans()),
    conflict=st.sampled_from(["skip", "number"]),
    values=values,
)
encodings = st.builds(Encoding, bits=st.sampled_from([None, 8, 16]), quality=st.integers(1, 100))


@given(
    st.builds(
        BatchJob,
        items=st.lists(items, max_size=4).map(tuple),
        how=encodings,
        sidecar=st.booleans(),
        seed=st.integers(0, 2**31 - 1),
        huge=st.booleans(),
        watch=st.none() | watches,
    )
)
def test_a_job_is_read_as_it_was_written(job):
    assert BatchJob.from_json(json.loads(json.dumps(job.as_json()))) == job


def test_settings_that_many_pictures_share_are_written_once(tmp_path):
    job = BatchJob(tuple(Item(n, tmp_path / f"{n}", tmp_path / f"{n}.png", VALUES) for n in range(10_000)))
    assert len(job.as_json()["values"]) == 1
    saved = batches.new()
    saved.begin(job)
    began = time.monotonic()
    assert saved.job() == job
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"kind": "batch", "version": 2}', '{"kind": "other", "version": 1}'],
)
def test_a_batch_that_cannot_be_read_says_so(tmp_path, text):
    (tmp_path / BATCH).write_text(text)
    with pytest.raises(BatchError, match="holds no batch that this version can go on with"):
        SavedBatch(tmp_path).job()


def test_batches_that_ended_long_ago_are_removed_and_no_others(tmp_path):
    old, recent, forgotten, open_ = made = [batches.new() for _ in range(4)]
    for saved in made:
        saved.begin(BatchJob())
    for saved in (old, recent):
        saved.end({"done": 1})
    long_ago = time.time() - 30 * 86400
    for name in (BATCH, batches.ENDED):
        os.utime(old.folder / name, (long_ago, long_ago))
    os.utime(open_.folder / BATCH, (long_ago, long_ago))
    os.utime(forgotten.folder / BATCH, (0, 0))
    batches.tidy()
    assert [saved.folder.exists() for saved in made] == [False, True, False, True]
    assert batches.interrupted() == open_


def test_the_journal_of_a_saved_batch_lies_in_its_folder(tmp_path):
    saved = batches.new()
    assert isinstance(saved.journal, Journal)
    assert saved.journal.folder == saved.folder
    assert saved.count_done() == 0


# ---- The report ----


@pytest.fixture
def rows(tmp_path) -> list[Row]:
    item = Item(1, tmp_path / "a, b.jpg", tmp_path / "out/a.jpg")
    return [
        Row(item, "done", str(item.target), 1.0, {"model": "tiny", "sigma": 0, "warnings": ["No noise."]}),
        Row(dataclasses.replace(item, path=tmp_path / "ü.jpg"), "failed", "ü.jpg is empty"),
        Row(dataclasses.replace(item, path=tmp_path / "c.jpg"), "skipped", "Left out"),
        Row(dataclasses.replace(item, path=tmp_path / "d.jpg")),
    ]


def test_a_report_as_a_table_names_every_picture_with_what_became_of_it(tmp_path, rows):
    report.write(rows, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [line["picture"] for line in read] == [str(row.item.path) for row in rows]
    assert [line["state"] for line in read] == ["done", "failed", "skipped", "waiting"]
    assert [line["why"] for line in read] == ["No noise.", "ü.jpg is empty", "Left out", ""]
    assert [line["result"] for line in read] == [str(rows[0].item.target), "", "", ""]
    assert read[0]["model"] == "tiny"


def test_a_report_as_a_text_counts_and_names_every_picture(tmp_path, rows):
    report.write(rows, tmp_path / "report.txt")
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert text.startswith("4 pictures: 1 done, 1 failed, 1 left out, 1 not begun")
    assert all(str(row.item.path) in text for row in rows)
    assert "ü.jpg is empty" in text


def test_what_is_copied_names_the_pictures_without_a_result_with_the_reason(rows):
    assert report.failures(rows).splitlines() == [
        f"{rows[1].item.path}: ü.jpg is empty",
        f"{rows[2].item.path}: Left out",
    ]
    assert [row.note for row in rows] == ["No noise was found: saved as it is", "Is empty", "Left out", ""]
