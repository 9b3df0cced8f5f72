from __future__ import annotations

import ast
import os
import runpy
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import bootstrap

ROOT = Path(__file__).resolve().parents[1]
SOURCE = (ROOT / "bootstrap.py").read_text(encoding="utf-8")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of one's own: nothing is installed, started or loaded; what would have been is in its lists."""
    calls = SimpleNamespace(pip=[], started=[], fails=lambda arguments: "", driver=None, qt_misses="", checks=0)
    venv = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "STAMP", venv / "stamp.json")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    def make_venv():
        bootstrap.venv_python().parent.mkdir(parents=True, exist_ok=True)
        bootstrap.venv_python().touch()

    def pip(*arguments):
        calls.pip.append(arguments)
        said = calls.fails(arguments)
        return not said, said

    def start(*arguments, cwd=None):
        calls.started.append(arguments)
        return 0

    def missing_for_qt():
        calls.checks += 1
        return calls.qt_misses

    monkeypatch.setattr(bootstrap, "make_venv", make_venv)
    monkeypatch.setattr(bootstrap, "pip", pip)
    monkeypatch.setattr(bootstrap, "start", start)
    monkeypatch.setattr(bootstrap, "missing_for_qt", missing_for_qt)
    monkeypatch.setattr(bootstrap, "apt_install", lambda groups: False)
    monkeypatch.setattr(bootstrap, "nvidia_driver", lambda: calls.driver)
    monkeypatch.setattr(bootstrap, "card_generation", lambda: (8, 0))
    return calls


def test_it_imports_nothing_but_the_standard_library():
    nodes = list(ast.walk(ast.parse(SOURCE)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_an_older_python_gets_one_sentence_and_no_traceback(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer and this is Python 3\.9"):
        runpy.run_path(str(ROOT / "bootstrap.py"))


def test_an_older_python_can_read_the_file_to_its_end():
    ast.parse(SOURCE, feature_version=(3, 7))


@pytest.mark.parametrize(
    ("system", "driver", "card", "build"),
    [
        ("linux", None, None, "cpu"),
        ("win32", None, None, "cpu"),
        ("linux", (11, 8), (7, 0), "cpu"),
        ("linux", (12, 4), (8, 6), "cu126"),
        ("linux", (13, 0), (9, 0), "cu130"),
        ("linux", (13, 0), (6, 1), "cu126"),
        ("win32", (13, 2), None, "cu130"),
        ("darwin", None, None, ""),
    ],
)
def test_the_build_of_torch_fits_driver_and_card(system, driver, card, build):
    assert bootstrap.choose_build(system, driver, card) == build


def asked_for(system, build):
    return [arguments for _, arguments in bootstrap.torch_sources(system, build, "2.13.0")]


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_a_cpu_build_is_sought_where_pip_looks_and_then_on_pytorchs_index(system):
    first, second, last = asked_for(system, "cpu")
    assert first == ["torch==2.13.0+cpu"]
    assert second[:3] == ["torch==2.13.0+cpu", "--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    assert last == ["torch==2.13.0"]


def test_on_windows_a_cuda_build_comes_from_its_index_since_the_default_has_none():
    assert "https://download.pytorch.org/whl/cu130" in asked_for("win32", "cu130")[1]


def test_on_linux_a_cuda_build_is_not_mistaken_for_a_cpu_wheel_of_the_same_version():
    assert ["torch===2.13.0"] in asked_for("linux", "cu130")


def test_the_tested_torch_is_the_one_in_the_constraints():
    assert f"torch=={bootstrap.tested_torch()}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_every_direct_dependency_is_held_at_the_tested_version():
    def bare(requirement):
        return requirement.partition("==")[0].partition(">")[0].strip().lower()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {bare(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {bare(line) for line in lines if not line.startswith("#")} == wanted


def test_a_second_set_up_installs_and_checks_nothing(machine):
    assert bootstrap.main(["test"]) == 0
    installed, checked = len(machine.pip), machine.checks
    assert installed == 2
    assert bootstrap.main(["test"]) == 0
    assert (len(machine.pip), machine.checks) == (installed, checked)


def test_running_after_testing_needs_nothing_and_testing_after_running_the_development_packages(machine):
    bootstrap.main(["run"])
    assert machine.pip[-1][-1] == "."
    bootstrap.main(["test"])
    assert machine.pip[-1][-1] == ".[dev]"
    done = len(machine.pip)
    bootstrap.main(["run"])
    bootstrap.main(["test"])
    assert len(machine.pip) == done


def test_a_driver_that_appears_makes_the_set_up_run_again(machine):
    bootstrap.main(["run"])
    done = len(machine.pip)
    machine.driver = (13, 0)
    bootstrap.main(["run"])
    assert machine.pip[done][0] == f"torch=={bootstrap.tested_torch()}+cu130"


def test_what_cannot_be_found_is_sought_in_the_next_place(machine):
    machine.fails = lambda arguments: "ERROR: No matching distribution found" if arguments[0].endswith("+cpu") else ""
    assert bootstrap.main(["run"]) == 0
    version = bootstrap.tested_torch()
    assert [arguments[0] for arguments in machine.pip[:3]] == [f"torch=={version}+cpu"] * 2 + [f"torch=={version}"]


def test_another_failure_ends_the_set_up_with_pips_reason_and_is_not_noted_as_done(machine, capsys):
    machine.fails = lambda arguments: "ERROR: No space left on device"
    assert bootstrap.main(["run"]) == 1
    assert len(machine.pip) == 1
    assert "No space left on device" in capsys.readouterr().out
    assert not bootstrap.STAMP.exists()
    assert not machine.started


def test_without_a_display_the_sample_is_denoised(machine):
    bootstrap.main(["run"])
    assert machine.started[0][:2] == ("-m", "app.sample")


def test_with_a_display_the_window_opens_on_the_files(machine, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    bootstrap.main(["run", "a.png", "b c.tif"])
    assert machine.started == [("-m", "app", "a.png", "b c.tif")]


def test_missing_system_libraries_are_named_in_one_line_and_looked_for_again(machine, monkeypatch, capsys):
    monkeypatch.setenv("DISPLAY", ":0")
    machine.qt_misses = "libGL.so.1: cannot open shared object file"
    bootstrap.main(["run"])
    assert machine.started[0][:2] == ("-m", "app.sample")
    line = next(line for line in capsys.readouterr().out.splitlines() if "apt-get install" in line)
    assert "libGL.so.1" in line
    assert {"libgl1", "libegl1", "libxcb-cursor0"} <= set(line.split())
    machine.qt_misses = ""
    bootstrap.main(["run"])
    assert machine.started[1] == ("-m", "app")
    assert len(machine.pip) == 2


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["install"], 2), (["--help"], 0)])
def test_a_wrong_command_shows_the_two_that_there_are(arguments, code, capsys):
    assert bootstrap.main(arguments) == code
    said = capsys.readouterr().out
    assert "bootstrap.py run" in said
    assert "bootstrap.py test" in said


START = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import bootstrap
bootstrap.venv_python = lambda: Path(sys.executable)
sys.exit(bootstrap.start("-c", {program!r}, cwd=Path({folder!r})))
"""

PATIENT = """
import signal, sys, time
def end(*_):
    time.sleep(1)
    print("finished", flush=True)
    sys.exit(5)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""


def starting(program: str, folder: Path) -> list[str]:
    """A command that starts a program as `bootstrap.start` does."""
    return [sys.executable, "-c", START.format(root=str(ROOT), program=program, folder=str(folder))]


def test_a_foreign_app_in_the_current_folder_is_not_taken_for_ours(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # as installed
    assert subprocess.call([sys.executable, "-m", "app"], cwd=tmp_path) == 7
    assert subprocess.call(starting("import app; assert app.__path__", tmp_path)) == 0


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_what_is_interrupted_ends_in_its_own_time(tmp_path):
    command = starting(PATIENT, tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        assert process.stdout.read() == "finished\n"
    assert process.returncode == 5
