"""The instrument that finds what blocks the event loop, and the command that uses the window with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app import cli
from app.responsiveness import Delay, Recorder, _places, blocks, distribution, quantile, summary
from app.window_bench import markdown, verdict, write_picture
from engine.image import load_image

ROOT = Path(__file__).resolve().parents[1]

LOOP = """
import json, sys, time
from pathlib import Path
from PySide6.QtCore import QCoreApplication, QEventLoop, QTimer
from app.responsiveness import blocks, recorded

# What is found are functions of the program.
known = {"time": time}
program = '''
def sleep(seconds):
    time.sleep(seconds)
def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
'''
exec(compile(program, str(Path("app/slow.py").absolute()), "exec"), known)

def dialog():
    loop = QEventLoop()
    QTimer.singleShot(300, loop.quit)
    loop.exec()

app = QCoreApplication([])
with recorded() as recorder:
    recorder.stage, recorder.action = "load", "nothing"
    QTimer.singleShot(100, lambda: setattr(recorder, "action", "sleep"))
    QTimer.singleShot(120, lambda: known["sleep"](0.15))
    QTimer.singleShot(350, lambda: setattr(recorder, "action", "work"))
    QTimer.singleShot(370, lambda: known["work"](0.15))
    QTimer.singleShot(600, lambda: setattr(recorder, "action", "dialog"))
    QTimer.singleShot(620, dialog)
    QTimer.singleShot(1000, app.quit)
    app.exec()
print(json.dumps(blocks(recorder.delays)))
"""


def delay(wall: float, own: float = 0.0, queued: float | None = 0.0, action: str = "pan", where: str = "") -> Delay:
    return Delay("load", action, wall, own, queued, Counter({where: 3} if where else {}))


def test_a_block_is_found_with_its_function_and_with_what_it_was_made_of():
    done = subprocess.run(
        [sys.executable, "-c", LOOP], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    by_function = {row["where"]: row for row in found}
    sleep, work = by_function["app/slow.py sleep"], by_function["app/slow.py work"]
    assert sleep["during"] == ["load: sleep"]
    assert sleep["max_ms"] >= 140
    assert sleep["own_ms"] < 75 < sleep["waited_ms"]
    assert work["during"] == ["load: work"]
    assert work["own_ms"] >= 140
    # A dialog that is open for 300 ms blocks nothing: its own loop goes on.
    assert not [row for row in found if row["during"] == ["load: dialog"] and row["max_ms"] > 200]


def test_time_that_was_neither_work_nor_a_queue_was_waited_for_something_else():
    assert delay(0.1, 0.02, 0.03).waited_s == pytest.approx(0.05)
    assert delay(0.1, 0.02, None).waited_s == pytest.approx(0.08)
    assert delay(0.01, 0.02, 0.0).waited_s == 0


def test_blocks_are_gathered_by_function_the_worst_first():
    delays = [
        delay(0.06, where="a"),
        delay(0.2, 0.1, where="a", action="zoom"),
        delay(0.3, where="b"),
        delay(0.04, where="c"),
    ]
    rows = blocks(delays)
    assert [(row["where"], row["count"], row["max_ms"]) for row in rows] == [("b", 1, 300.0), ("a", 2, 200.0)]
    assert rows[1]["during"] == ["load: pan", "load: zoom"]
    assert rows[1]["own_max_ms"] == 100.0


def test_functions_of_the_program_are_found_in_the_stacks_of_all_threads():
    app = ROOT / "app"
    stacks = (
        f'Thread 0x000000000000000a (most recent call first):\n  File "/usr/lib/time.py", line 3 in sleep\n'
        f'  File "{app / "window.py"}", line 10 in save\n  File "{app / "jobs.py"}", line 4 in run\n\n'
        f'Current thread 0x000000000000000b (most recent call first):\n  File "/usr/lib/x.py", line 3 in f\n'
    )
    assert _places(stacks) == {10: "app/window.py save", 11: ""}


def test_garbage_that_took_most_of_a_delay_is_named_as_its_cause():
    assert Delay("load", "pan", 0.1, 0.1, 0.0, Counter({"a": 1}), Counter(), 0.09).where == "garbage collection"
    assert Delay("load", "pan", 0.1, 0.1, 0.0, Counter({"a": 1}), Counter(), 0.01).where == "a"


def test_the_distribution_is_in_milliseconds():
    assert distribution([number / 1000 for number in range(1, 101)]) == {
        "p50_ms": 51.0,
        "p95_ms": 96.0,
        "p99_ms": 100.0,
        "max_ms": 100.0,
    }
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
    counted = summary([delay(0.06, 0.01), delay(0.07, 0.055), delay(0.001)])
    assert (counted["beats"], counted["blocks"], counted["own_blocks"]) == (3, 2, 1)


def test_the_first_beat_is_not_late():
    recorder = Recorder()
    recorder.beat()
    assert recorder.delays == []
    recorder.beat()
    assert [one.wall_s for one in recorder.delays] == [0.0]
    recorder.close()


def test_the_picture_to_measure_with_is_noisy_and_of_the_size_asked_for(tmp_path):
    write_picture(tmp_path / "a.tif", 0.02)
    image = load_image(tmp_path / "a.tif")
    assert image.width * image.height == pytest.approx(20_000, rel=0.02)
    assert image.channels == 3
    # Neighbours differ by noise, but for the edges.
    assert 0.04 < float((image.pixels[:, 1:] - image.pixels[:, :-1]).std()) / 2**0.5 < 0.1
    with pytest.raises(ValueError, match="megapixels"):
        write_picture(tmp_path / "b.tif", 0)


FOUND = {
    "machine": {"system": "Linux", "cores": 2, "threads": 1, "python": "3.11", "load": None},
    "delays": [{"megapixels": 1, "load": "opening", "action": "all", **summary([delay(0.06)])}],
    "blocks": [{"megapixels": 1, **row} for row in blocks([delay(0.06, where="app/a.py f", queued=None)])],
    "frames": [
        {"megapixels": 1, "load": "denoising", "movement": name, "frames": 60, "median_fps": fps, "p5_fps": fps / 2}
        | {"own_median_fps": fps, "own_p5_fps": fps}
        for name, fps in (("pan", 90.0), ("wipe", 70.0))
    ],
}


def test_what_was_found_is_told_in_tables_and_in_short():
    text = markdown(FOUND)
    assert "| 1 | app/a.py f | 1 | 60.0 | 0.0 | – | 60.0 | load: pan |" in text
    assert verdict(FOUND).splitlines() == [
        "1 megapixels, app/a.py f: 1 block, the longest 60 ms, its own work 0 ms, during load: pan",
        "The slowest movement, wipe with load denoising: 35 frames a second (5th percentile)",
    ]
    assert verdict({**FOUND, "blocks": []}).startswith("Nothing blocked the event loop for more than 50 ms.")


def test_a_size_that_makes_no_sense_is_a_wrong_usage(capsys):
    assert cli.main(["bench", "window", "--megapixels", "0"]) == 2
    assert "--megapixels must be from 0.01 to 10000" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_command_uses_the_whole_window(tmp_path):
    command = [sys.executable, "-m", "app", "bench", "window", "--megapixels", "0.1", "--seconds", "1", "--markdown"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "found.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {row["load"] for row in found["delays"]} == {"opening", "denoising", "batch"}
    actions = {row["action"] for row in found["delays"]}
    assert {"drag the wipe line", "zoom about the cursor", "drag Strength", "undo", "open save", "resize"} <= actions
    assert len(found["frames"]) == 10
    assert done.stdout == markdown(found)
