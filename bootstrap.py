"""Set up Pellucid in this folder and start it; needs nothing but Python 3.11 or newer.

python3 bootstrap.py run [FILES...]            install what is missing, then open the window;
                                               without a display: denoise the sample picture
python3 bootstrap.py test [PYTEST OPTIONS...]  the same with the development packages, then the tests

Everything is installed into the folder .venv beside this file. To start afresh, delete that folder.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - the one place where an older Python gets this far
    sys.exit(
        "Pellucid needs Python 3.11 or newer and this is Python {}.{}: install a newer one from https://www.python.org "
        "and start bootstrap.py with it.".format(*sys.version_info[:2])
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "pellucid-setup.json"
CONSTRAINTS = ROOT / "constraints.txt"
TORCH_INDEX = "https://download.pytorch.org/whl/"

# What Qt's wheel expects of a Linux system; each by its names, the newer Debian's first.
QT_PACKAGES = (
    ("libglib2.0-0t64", "libglib2.0-0"),
    ("libgl1",),
    ("libegl1",),
    ("libxkbcommon0",),
    ("libfontconfig1",),
    ("libdbus-1-3",),
)
XCB_PACKAGES = (
    ("libxcb-cursor0",),
    ("libxcb-icccm4",),
    ("libxcb-keysyms1",),
    ("libxcb-shape0",),
    ("libxkbcommon-x11-0",),
)

VENV_PACKAGES = ("python{}.{}-venv".format(*sys.version_info[:2]), "python3-venv")

# Run inside .venv: says which system library Qt misses. The platform plugin is loaded by hand, since Qt itself
# names the wrong library when one is missing, and ends the process.
QT_CHECK = """
import ctypes, os, pathlib, sys
try:
    from PySide6 import QtWidgets
    plugin = pathlib.Path(QtWidgets.__file__).parent / "Qt/plugins/platforms/libqxcb.so"
    if os.environ.get("DISPLAY") and plugin.exists():
        ctypes.CDLL(str(plugin))
except (ImportError, OSError) as error:
    sys.exit(str(error))
"""


class SetupError(Exception):
    """The set-up cannot go on; the message is a sentence for the user."""


def say(text: str) -> None:
    """One line of what is going on, at once also through a pipe."""
    print("Pellucid: " + text, flush=True)


def venv_python() -> Path:
    """The interpreter inside .venv, whether it exists yet or not."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has_display() -> bool:
    """Whether a window can be shown."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def nvidia_driver() -> tuple[int, int] | None:
    """The CUDA version that the NVIDIA driver can run, or None without a driver."""
    if sys.platform == "darwin":
        return None
    kernel = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
    if sys.platform != "win32" and not any(map(os.path.exists, kernel)):
        return None  # libcuda alone, without the kernel's driver, comes with some containers
    version = ctypes.c_int()
    try:
        if cuda_library().cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def cuda_library() -> ctypes.CDLL:
    """The driver's own library; OSError where there is none."""
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def card_generation() -> tuple[int, int] | None:
    """Compute capability of the first NVIDIA card; None where the driver does not say."""
    major, minor, card = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    library = cuda_library()
    asked = (
        library.cuInit(0),
        library.cuDeviceGet(ctypes.byref(card), 0),
        library.cuDeviceGetAttribute(ctypes.byref(major), 75, card),
        library.cuDeviceGetAttribute(ctypes.byref(minor), 76, card),
    )
    return None if any(asked) else (major.value, minor.value)


def choose_build(system: str, driver: tuple[int, int] | None, card: tuple[int, int] | None) -> str:
    """The build of torch for this machine.

    Args:
        system: "linux", "win32" or "darwin".
        driver: CUDA version that the NVIDIA driver can run, None without one.
        card: compute capability of the card, None where unknown.

    Returns:
        "" for the standard build, "cpu", or "cu" and a CUDA version: of those that torch 2.13 is built for, 12.6 runs
        on every driver of the 12 series, and cards before Turing (7.5) run nothing newer.
    """
    if system == "darwin":
        return ""
    if driver is None or driver < (12, 0):
        return "cpu"
    old_card = card is not None and card < (7, 5)
    return "cu126" if driver < (13, 0) or old_card else "cu130"


def tested_torch() -> str:
    """The torch version that constraints.txt names."""
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if name.strip() == "torch":
            return version.strip()
    raise SetupError(f"{CONSTRAINTS.name} names no version of torch: add a line such as torch==2.13.0.")


def torch_sources(system: str, build: str, version: str) -> list[tuple[str, list[str]]]:
    """Where torch may come from, best first.

    A version pin does not choose a build, but a local version does: "+cpu" and "+cu126" exist only where such a build
    is offered. So pip as it is configured is asked first: it costs a second, and finds a mirror or a folder of wheels.

    Args:
        system: "linux", "win32" or "darwin".
        build: from `choose_build`.
        version: torch's version without a build.

    Returns:
        Pairs of what is said and what pip is asked for.
    """
    standard = [f"torch=={version}"]
    if not build:
        return [(f"torch {version}", standard)]
    name = f"torch {version} " + ("for the processor" if build == "cpu" else f"for CUDA {build[2:4]}.{build[4:]}")
    pinned = f"torch=={version}+{build}"
    # Few retries: where this index is closed off, the wait for it must stay bearable.
    index = [pinned, "--extra-index-url", TORCH_INDEX + build, "--retries", "2", "--timeout", "30"]
    sources = [(f"{name} from where pip is set up to look", [pinned]), (f"{name} from {TORCH_INDEX + build}", index)]
    if build == "cu130" and system == "linux":
        # PyPI's wheel for Linux is this very build; "===" keeps pip from preferring a "+cpu" wheel.
        sources.insert(1, (f"{name} from PyPI", [f"torch==={version}"]))
    return [*sources, (f"torch {version} as pip finds it, whatever it is built for", standard)]


def pip(*arguments: str) -> tuple[bool, str]:
    """Run pip inside .venv, showing what it downloads and installs.

    Returns:
        Whether it went well, and all it said.
    """
    command = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    said = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.strip().startswith("Downloading "):
                print("    " + line.strip(), flush=True)
            elif line.startswith("Installing collected"):
                print("    Unpacking ...", flush=True)
    return process.returncode == 0, "".join(said)


def last_lines(text: str) -> str:
    """The end of what a program said, indented, for below a sentence."""
    return "\n".join("    " + line for line in text.strip().splitlines()[-6:])


def install_torch(driver: tuple[int, int] | None) -> None:
    """Install the build of torch that fits this machine, from the first place that has it."""
    if sys.platform != "darwin":
        if driver is None:
            say("No NVIDIA driver found: torch will use the processor.")
        elif driver < (12, 0):
            say("The NVIDIA driver is too old for CUDA 12: torch will use the processor.")
        else:
            say(f"Found an NVIDIA driver for CUDA {driver[0]}.{driver[1]}.")
    build = choose_build(sys.platform, driver, card_generation() if driver else None)
    version = tested_torch()
    said = ""
    for number, (name, arguments) in enumerate(torch_sources(sys.platform, build, version)):
        say(f"Not found there. Trying {name} ..." if number else f"Installing {name} ...")
        done, said = pip(*arguments)
        if done:
            return
        if "No matching distribution" not in said:
            break  # a full disk is no reason to try a bigger build
    raise SetupError(
        f"torch {version} could not be installed for Python {platform.python_version()}; pip's last lines:\n"
        + last_lines(said)
    )


def make_venv() -> None:
    """Make .venv, unless there is one that works."""
    if venv_python().exists():
        works = subprocess.run([venv_python(), "-m", "pip", "--version"], capture_output=True, check=False)
        if works.returncode == 0:
            return
        say("The folder .venv does not work any more; making it anew ...")
    else:
        say("Making a Python environment in the folder .venv ...")
    if importlib.util.find_spec("ensurepip") is None and not apt_install((VENV_PACKAGES,)):
        raise SetupError("Python's venv module is missing: install it with  sudo apt-get install python3-venv")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if made.returncode != 0:
        raise SetupError("The folder .venv could not be made; Python said:\n" + last_lines(made.stdout))


def apt_names(groups: tuple[tuple[str, ...], ...]) -> list[str]:
    """For each package the name that this system's package list knows, the last one where it knows none."""
    names = []
    for group in groups:
        known = [
            name
            for name in group
            if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0
        ]
        names.append((known or [group[-1]])[0])
    return names


def apt_install(groups: tuple[tuple[str, ...], ...]) -> bool:
    """Install system packages where that is possible: as root, on a Debian-like system."""
    if sys.platform != "linux" or shutil.which("apt-get") is None or os.geteuid() != 0:
        return False
    options = {
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "errors": "replace",
        "check": False,
    }
    subprocess.run(["apt-get", "update", "-qq"], **options)
    names = apt_names(groups)
    say("Installing system packages: " + " ".join(names) + " ...")
    done = subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names], **options)
    if done.returncode != 0:
        say("They could not be installed; apt-get's last lines:\n" + last_lines(done.stdout))
    return done.returncode == 0


def missing_for_qt() -> str:
    """What Qt says it misses; empty when a window can be made."""
    check = subprocess.run([venv_python(), "-c", QT_CHECK], capture_output=True, text=True, check=False)
    return check.stderr.strip().splitlines()[-1] if check.returncode else ""


def ensure_qt() -> bool:
    """Whether Qt loads, after installing the system libraries it misses where that is possible."""
    problem = missing_for_qt()
    if not problem:
        return True
    groups = QT_PACKAGES + (XCB_PACKAGES if os.environ.get("DISPLAY") else ())
    if "cannot open shared object" in problem and apt_install(groups):
        problem = missing_for_qt()
        if not problem:
            return True
    packages = " ".join(group[-1] for group in groups)
    say(f"The window cannot open ({problem}); the command line works. On Debian or Ubuntu: apt-get install {packages}")
    return False


def fingerprint(driver: tuple[int, int] | None) -> str:
    """Changes when what has to be installed does."""
    series = str(driver[0] if driver else 0)
    parts = [str(ROOT).encode(), series.encode(), platform.machine().encode()]
    parts += [path.read_bytes() for path in (ROOT / "pyproject.toml", CONSTRAINTS)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> dict:
    """What the last complete set-up left; empty where there was none."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and venv_python().exists() else {}


def write_stamp(stamp: dict) -> None:
    """Note a complete set-up, so that the next start finds nothing to do."""
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(temporary, STAMP)


def set_up(development: bool) -> bool:
    """Install what is missing; at once where nothing is.

    Args:
        development: whether to install what the tests need, too.

    Returns:
        Whether Qt can open a window.
    """
    driver = nvidia_driver()
    wanted = fingerprint(driver)
    stamp = read_stamp()
    # Packages once asked for stay asked for: `run` between two `test` must not make the second install again.
    development = development or stamp.get("development") is True
    if (stamp.get("fingerprint"), stamp.get("development")) != (wanted, development):
        STAMP.unlink(missing_ok=True)
        make_venv()
        install_torch(driver)
        say("Installing the other packages" + (", with those for development ..." if development else " ..."))
        done, said = pip("-c", str(CONSTRAINTS), "-e", ".[dev]" if development else ".")
        if not done:
            raise SetupError("The packages could not be installed; pip's last lines:\n" + last_lines(said))
        say("Everything is installed.")
        stamp = {"fingerprint": wanted, "development": development}
        write_stamp(stamp)
    display = os.environ.get("DISPLAY", "")
    if stamp.get("qt_loads_on") == display:
        return True
    if not ensure_qt():  # not noted: looked at again next time
        return False
    write_stamp({**stamp, "qt_loads_on": display})
    return True


def start(*arguments: str, cwd: Path | None = None) -> int:
    """Run Python inside .venv and give its exit code.

    -P keeps the current folder off the import path: a stranger's app.py there must not be taken for ours.
    """
    command = [str(venv_python()), "-P", *arguments]
    if os.name == "posix":
        # In the place of this process: signals and exit status are the program's own.
        if cwd is not None:
            os.chdir(cwd)
        sys.stdout.flush()
        os.execv(command[0], command)
    with subprocess.Popen(command, cwd=cwd) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # Windows told the program, too, which may have something to ask or to finish


def run(files: list[str]) -> int:
    """Open the window on the files; without a window, denoise the sample picture."""
    window = set_up(development=False)
    if window and has_display():
        say("Starting.")
        return start("-m", "app", *files)
    if files:
        say(f"There is no display for a window. On the command line: {venv_python()} -m app denoise FILES -o FOLDER")
        return 1
    folder = Path.cwd() / "pellucid-sample"
    say(f"There is no display for a window: denoising the sample picture into {folder} ...")
    return start("-m", "app.sample", str(folder))


def test(options: list[str]) -> int:
    """Run the tests."""
    set_up(development=True)
    say("Running the tests.")
    return start("-m", "pytest", *options, cwd=ROOT)


def main(arguments: list[str]) -> int:
    """Do what the command line says and give the exit code: 2 for a wrong command, else that of what was started."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    commands = {"run": run, "test": test}
    if command not in commands:
        print((__doc__ or "").strip())
        return 0 if command in ("-h", "--help") else 2
    try:
        return commands[command](rest)
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from here.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
