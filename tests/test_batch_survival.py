"""A batch in a process of its own survives what happens to computers, and several processes share one list."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from batches import install, pictures

from conftest import ROOT
from engine import paths
from engine.image import load_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of files are those of POSIX")

NEST = """
import json, os, resource, signal, sys
from app.__main__ import main
import app.cli, engine.methods.r2r

for line in sys.stdin:
    given = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(given["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(os.open(given["said"] + ".err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        if given["limit"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (given["limit"],) * 2)
        os._exit(main(given["arguments"]))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Runs commands, one at a time, that need not load torch again: forks itself before anything was computed."""


class Nest:
    """Commands in processes of their own."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NEST],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PELLUCID_HOME": str(home)},
        )

    def start(self, said: Path, *arguments: object, limit: int = 0) -> int:
        """Begin a command; no file may grow beyond `limit` bytes. The process's number."""
        given = {"said": str(said), "limit": limit, "arguments": list(map(str, arguments))}
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def status(self) -> int:
        """Wait for the end; the exit status."""
        line = self._process.stdout.readline()
        assert line, "the nest is gone"
        return int(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def nest(home):
    install()
    made = Nest(home)
    yield made
    made.close()


def told(said: Path) -> list[dict]:
    """What was said so far; the last line may be cut off by a kill."""
    records = []
    for line in said.read_text().splitlines() if said.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


GIVEN = ("--model", "color", "--method", "r2r", "--sigma", 15, "--passes", 2, "--device", "cpu", "--json")


@pytest.mark.slow
def test_a_batch_of_300_with_20_bad_ones_killed_five_times_does_every_good_file_exactly_once(nest, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for below, start in (("", 0), ("deep", 100), ("deep/er", 200)):
        pictures(folder / below, 100, start=start)
    every = sorted(folder.rglob("*.png"))
    bad = set(every[3::15])
    for number, path in enumerate(sorted(bad)):
        whole = path.read_bytes()
        path.write_bytes([b"", b"no picture", whole[: len(whole) // 2], bytes(len(whole))][number % 4])
    command = ("denoise", folder, "-o", out, "--recursive", "--resume", *GIVEN)
    rng, made = random.Random(0), {}
    for kill in range(5):
        said = tmp_path / f"said{kill}"
        process = nest.start(said, *command)
        while sum(1 for record in told(said) if record.get("output")) < 20:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        assert nest.status() == -signal.SIGKILL
        for path in out.rglob("*_denoised.png"):
            # What has its name is whole and is never written again.
            assert made.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
            load_image(path)
    assert 100 <= len(made) < 280
    nest.start(tmp_path / "said5", *command)
    assert nest.status() == 1
    *records, summary = told(tmp_path / "said5")
    results = {path.relative_to(out).as_posix() for path in out.rglob("*_denoised.png")}
    wanted = {path.relative_to(folder).with_name(f"{path.stem}_denoised.png").as_posix() for path in set(every) - bad}
    assert results == wanted
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in made.items())
    assert {record["input"] for record in records if "error" in record} == set(map(str, bad))
    assert (summary["done"], summary["failed"], summary["skipped"]) == (280 - len(made), 20, len(made))
    # Each of them told as done by one run at most: by none where the kill came between the file and the word.
    outputs = Counter(r["output"] for kill in range(6) for r in told(tmp_path / f"said{kill}") if r.get("output"))
    assert set(outputs.values()) == {1}
    # And what a killed run left half-written is gone, once it is certain that nobody writes it any more.
    for path in out.rglob(".*.tmp"):
        os.utime(path, (1, 1))
    nest.start(tmp_path / "said6", *command)
    assert nest.status() == 1
    assert told(tmp_path / "said6")[-1]["skipped"] == 280
    assert not list(out.rglob(".*.tmp"))


def test_a_full_disk_fails_each_picture_by_one_sentence_and_leaves_nothing_half_written(nest, tmp_path):
    pictures(tmp_path / "in", 4, side=64)
    pictures(tmp_path / "in", 1, side=8, start=4)
    nest.start(tmp_path / "said", "denoise", tmp_path / "in", "-o", tmp_path / "out", *GIVEN, limit=4000)
    assert nest.status() == 1
    *records, summary = told(tmp_path / "said")
    assert (summary["done"], summary["failed"]) == (1, 4)
    assert all("cannot be saved: File too large" in r["error"] for r in records if "error" in r)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == ["004_denoised.png"]


def test_a_batch_that_is_interrupted_says_so_and_goes_on(nest, tmp_path):
    pictures(tmp_path / "in", 60)
    command = ("denoise", tmp_path / "in", "-o", tmp_path / "out", "--resume", *GIVEN)
    process = nest.start(tmp_path / "said", *command)
    while not told(tmp_path / "said"):
        time.sleep(0.01)
    os.kill(process, signal.SIGINT)
    assert nest.status() == 1
    assert "Traceback" not in (tmp_path / "said.err").read_text()
    done = len(list((tmp_path / "out").glob("*.png")))
    assert 0 < done < 60
    nest.start(tmp_path / "again", *command)
    assert nest.status() == 0
    assert told(tmp_path / "again")[-1]["skipped"] == done
    assert len(list((tmp_path / "out").glob("*.png"))) == 60


@pytest.mark.slow
def test_several_processes_share_one_list_each_file_done_once(home, tmp_path):
    install()
    pictures(tmp_path / "in", 11)
    (tmp_path / "in/005.png").write_bytes(b"bad")
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "3", "--master-port", "29613", "-m", "app", "denoise"]
    given = [*map(str, (tmp_path / "in", "-o", tmp_path / "out", "--resume", *GIVEN))]
    environment = {**os.environ, "PELLUCID_HOME": str(paths.models().parents[1])}
    outputs: list[str] = []
    for expected in ({"done": 10, "failed": 1, "skipped": 0}, {"done": 0, "failed": 1, "skipped": 10}):
        ran = subprocess.run(
            [sys.executable, *command, *given], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110
        )
        assert ran.returncode == 1
        records = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        (summary,) = (record for record in records if "summary" in record)
        assert {name: summary[name] for name in expected} == expected, ran.stderr
        outputs += [record["output"] for record in records if record.get("output")]
    assert len(outputs) == len(set(outputs)) == 10
    assert len(list((tmp_path / "out/.pellucid-batch").glob("done-*.jsonl"))) == 3


FLAT = """
import json, sys
import psutil
from pathlib import Path
sys.path[:0] = ["tests"]
from app.batch.plan import Filter, Naming, Planner, find
from app.batch.run import Batch
from app.single import Machine, Models
from batches import VALUES

folder, out = map(Path, sys.argv[1:])
items = Planner(Naming(out)).plan(find([folder], Filter()), VALUES)
process, curve = psutil.Process(), []
for step in Batch(Models(Machine(device="cpu"))).run(items):
    if step is not None and step.state == "done":
        curve.append(process.memory_info().rss)
print(json.dumps(curve))
"""


def memory_curve(folder: Path, out: Path) -> list[int]:
    ran = subprocess.run(
        [sys.executable, "-c", FLAT, folder, out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=1700,
    )
    return json.loads(ran.stdout)


@pytest.mark.skipif("PELLUCID_BATCH" not in os.environ, reason="takes minutes; PELLUCID_BATCH=1000 measures so many")
@pytest.mark.timeout(1800)
def test_memory_stays_flat_over_a_thousand_pictures(home, tmp_path, capsys):
    install()
    count = int(os.environ["PELLUCID_BATCH"])
    for path in pictures(tmp_path / "in", 10, side=256):
        for copy in range(1, count // 10):
            (tmp_path / "in" / f"{copy}-{path.name}").write_bytes(path.read_bytes())
    curve = memory_curve(tmp_path / "in", tmp_path / "out")
    assert len(curve) == count
    with capsys.disabled():
        sys.stdout.write(f"\nMB: {[round(value / 2**20) for value in curve[:: count // 20]]}\n")
    # The C library keeps some of what threads give back: it grows over the first 400 pictures.
    assert max(curve[count // 2 :]) < max(curve[: count // 2]) + 64 * 2**20
