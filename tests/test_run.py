"""A run folder: its events are read whole, its lock tells who works in it, and it says where it stands."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from engine import paths
from training.events import (
    EVENTS,
    Ended,
    Event,
    Judged,
    Paused,
    Reader,
    Saved,
    Started,
    Step,
    Verdict,
    Warned,
    append,
    last_event,
    parse,
)
from training.job import TrainError, TrainJob
from training.run import JOB, LOCK, STATE, Run, begin, runs, without_repeats

STARTED = Started(0, 3, "cpu", "float32")


def stepped(step: int, loss: float = 0.5) -> Step:
    return Step(step, loss, 1e-3, 10.0, step / 100)


def job(**details) -> TrainJob:
    return TrainJob(**{"data": "pictures", "steps": 5, **details})


@pytest.fixture
def run(tmp_path) -> Run:
    return begin(job(), tmp_path / "run")


def write(run: Run, *events: Event) -> None:
    for event in events:
        append(event, run.folder)


@pytest.mark.parametrize("kind", typing.get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_is_read_as_it_was_written(run, kind):
    values = {"int": 3, "str": "ü 日", "float": 0.25, "bool": True}
    event = kind(**{field.name: values[field.type.split(" ")[0]] for field in dataclasses.fields(kind)})
    write(run, event)
    assert list(Reader(run.folder).read()) == [event]
    assert last_event(run.folder) == event


def test_a_line_is_read_once_it_is_whole_wherever_it_was_cut(run):
    append(Warned(3, "Zürich is away"), run.folder)
    line = json.dumps({"event": "warned", "step": 3, "message": "Zürich is away"}, ensure_ascii=False).encode() + b"\n"
    for cut in range(len(line)):
        path = run.folder / EVENTS
        path.write_bytes(line[:cut])
        reader = Reader(run.folder)
        assert list(reader.read()) == []
        with path.open("ab") as file:
            file.write(line[cut:])
        assert list(reader.read()) == [Warned(3, "Zürich is away")]
        assert list(reader.read()) == []


def test_a_reader_is_there_before_the_first_event(run):
    reader = Reader(run.folder)
    assert list(reader.read()) == []
    write(run, STARTED)
    assert list(reader.read()) == [STARTED]
    write(run, stepped(1), stepped(2))
    assert list(reader.read()) == [stepped(1), stepped(2)]


def test_a_line_that_was_cut_off_takes_no_other_with_it(run):
    write(run, STARTED, stepped(1))
    path = run.folder / EVENTS
    path.write_bytes(path.read_bytes()[:-9])
    write(run, stepped(2), Ended(2, "stopped"))
    assert run.events() == [STARTED, stepped(2), Ended(2, "stopped")]


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "[]", "null", "3", '"started"', '{"event": "danced", "step": 3}', '{"event": ["saved"]}',
        '{"step": 3}', '{"event": "saved"}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_known_event_is_passed_over(line):
    assert parse(line) is None


def test_fields_of_a_newer_version_are_passed_over():
    assert parse('{"event": "saved", "step": 3, "cloud": true}') == Saved(3)


def test_fields_that_an_older_version_did_not_write_have_their_defaults():
    line = '{"event": "started", "time": 1.5, "step": 0, "pictures": 3, "device": "cpu", "precision": "float32"}'
    assert parse(line) == STARTED


def test_all_but_steps_are_on_the_disk_when_they_are_written(run, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write(run, stepped(1), stepped(2))
    assert not synced
    write(run, Saved(2))
    assert len(synced) == 1


def test_what_a_resumed_run_did_again_counts_once(run):
    judged = Judged(20, 30.0, 0.1, 0.5, 0.1)
    write(run, STARTED, stepped(10), Saved(10), stepped(20, 0.4), judged, stepped(30, 0.3))
    resumed = dataclasses.replace(STARTED, step=10)
    write(run, resumed, stepped(20, 0.39))
    assert run.events() == [STARTED, stepped(10), Saved(10), resumed, stepped(20, 0.39)]


def test_a_run_that_is_resumed_after_its_end_has_not_ended():
    ends = [Saved(10), Verdict(10, False, None, None, "", "It is not better"), Ended(10, "stopped")]
    resumed = dataclasses.replace(STARTED, step=10)
    events = [STARTED, Paused(5), stepped(10), *ends, resumed, stepped(20)]
    assert without_repeats(iter(events)) == [STARTED, stepped(10), Saved(10), resumed, stepped(20)]


def test_what_a_run_fell_back_behind_counts_once():
    fell = Warned(10, "The loss was not finite at step 30: it goes on from step 10")
    events = [STARTED, stepped(10), stepped(20), stepped(30, 9.0), fell, stepped(20, 0.4)]
    assert without_repeats(iter(events)) == [STARTED, stepped(10), fell, stepped(20, 0.4)]


def test_only_one_process_works_in_a_folder(run):
    assert not run.is_running
    with run.working():
        assert run.is_running
        with pytest.raises(TrainError, match="Another process is working in"), run.working():
            pass
        assert run.is_running
    assert not run.is_running
    with run.working():
        pass


def test_a_process_that_was_killed_no_longer_works_in_its_folder(run):
    code = (
        "import sys, time, pathlib; from training.run import Run\n"
        "with Run(pathlib.Path(sys.argv[1])).working(): print('holds', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.folder)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds" + os.linesep.encode()
        assert run.is_running
        process.kill()
    assert not run.is_running
    assert run.state == "new"


def test_a_folder_that_cannot_be_written_in_is_one_sentence_and_nobody_works_in_it(run):
    (run.folder / LOCK).mkdir()  # whoever runs the tests: nobody can lock a folder
    with pytest.raises(TrainError, match="cannot be written in"), run.working():
        pass
    assert not run.is_running


def test_nobody_works_in_a_folder_that_is_gone(run):
    run.delete()
    assert not run.is_running
    assert run.state == "new"


@pytest.mark.parametrize(
    ("events", "alone", "in_work"),
    [
        ([], "new", "running"),
        ([STARTED], "interrupted", "running"),
        ([STARTED, stepped(5), Saved(5)], "interrupted", "running"),
        ([STARTED, Saved(5), Paused(5)], "interrupted", "paused"),
        ([STARTED, Saved(5), Paused(5), stepped(6)], "interrupted", "running"),
        ([STARTED, Ended(5, "finished")], "finished", "running"),
        ([STARTED, Ended(5, "stopped")], "stopped", "running"),
        ([STARTED, Ended(5, "failed", "There is no room")], "failed", "running"),
        ([STARTED, Ended(5, "stopped"), dataclasses.replace(STARTED, step=5)], "interrupted", "running"),
    ],
)
def test_a_run_says_where_it_stands(run, events, alone, in_work):
    write(run, *events)
    assert run.state == alone
    with run.working():
        assert run.state == in_work


def test_a_run_with_a_state_and_no_event_was_interrupted(run):
    (run.folder / STATE).touch()
    assert run.state == "interrupted"


def test_a_half_written_end_is_none(run):
    write(run, STARTED, Ended(5, "finished"))
    path = run.folder / EVENTS
    path.write_bytes(path.read_bytes()[:-5])
    assert run.state == "interrupted"


def test_where_it_stands_is_read_from_the_end_of_a_long_file(run, monkeypatch):
    append(STARTED, run.folder)
    with (run.folder / EVENTS).open("ab") as file:
        file.write(b'{"event": "step", "step": 1, "loss": 1, "learning_rate": 1, "patches_per_s": 1}\n' * 100_000)
    append(Ended(7, "finished"), run.folder)
    parsed = []
    monkeypatch.setattr("training.events.parse", lambda line: (parsed.append(line), parse(line))[1])
    assert run.state == "finished"
    assert len(parsed) <= 2


def test_a_run_that_cannot_be_made_is_one_sentence(run):
    (run.folder / "file").touch()
    with pytest.raises(TrainError, match=r"file cannot be written in \(File exists\); choose another"):
        begin(TrainJob("x", steps=1), run.folder / "file")


def test_a_folder_with_a_state_is_not_begun_again(run):
    begin(job(steps=6), run.folder)  # nothing was learned yet
    assert run.job().steps == 6
    (run.folder / STATE).touch()
    with pytest.raises(TrainError, match="holds a run already"):
        begin(job(), run.folder)


def test_runs_are_listed_by_what_happened_last():
    assert runs() == []
    made = {name: begin(job(), paths.runs() / name) for name in ("a", "b", "c")}
    (paths.runs() / "no-run").mkdir()
    for second, name in enumerate(("b", "c", "a")):
        os.utime(made[name].folder / JOB, (second, second))
    assert [run.folder.name for run in runs()] == ["a", "c", "b"]
    write(made["b"], STARTED)
    assert [run.folder.name for run in runs()] == ["b", "a", "c"]


def test_a_run_that_is_deleted_while_runs_are_listed_does_no_harm(monkeypatch):
    made = {name: begin(job(), paths.runs() / name) for name in ("a", "b")}
    found = Path.glob

    def glob(path: Path, pattern: str):
        listed = list(found(path, pattern))
        made["a"].delete()
        return listed

    monkeypatch.setattr(Path, "glob", glob)
    assert "b" in [run.folder.name for run in runs()]
