"""What lies in wait in folders: each bad file is one line and a status, nothing half-written, and the rest is done."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from batches import VALUES, install, pictures
from hypothesis import given
from hypothesis import strategies as st
from test_batch_survival import GIVEN, Nest, told
from test_fuzz import whole_files

from app.__main__ import main
from app.batch.plan import Filter, Naming, Planner, find
from app.batch.watch import watched
from engine.image import ImageError, load_image

MODEL = ("--model", "color", "--method", "r2r", "--sigma", "15", "--passes", "2", "--device", "cpu")


@dataclass(frozen=True)
class Said:
    """What a command ended with and printed."""

    status: int
    lines: list[str]
    records: list[dict]

    @property
    def failures(self) -> dict[str, str]:
        """The reason for each input that failed; one that is named twice fails the test."""
        reasons: dict[str, str] = {}
        for record in self.records:
            if "error" in record:
                name = Path(record["input"]).name
                assert name not in reasons, f"{name} is named twice"
                reasons[name] = record["error"]
        return reasons

    @property
    def done(self) -> list[Path]:
        return [Path(record["output"]) for record in self.records if record.get("output")]


@pytest.fixture
def denoise(capsys):
    """Run `pellucid denoise ... --json`."""
    install()

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        status = main(["denoise", *map(str, arguments), *MODEL, "--json"])
        out, err = capsys.readouterr()
        return Said(status, err.splitlines(), [json.loads(line) for line in out.splitlines()])

    return run


def files_in(folder: Path) -> list[str]:
    """All below a folder but the journal of a batch."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and ".pellucid-batch" not in path.parts
    )


def link(path: Path, target: Path | str, **options: bool) -> None:
    try:
        path.symlink_to(target, **options)
    except OSError:
        pytest.skip("links cannot be made here")


# --- files ---


def lay_out(folder: Path) -> dict[str, str]:
    """Three good pictures and many bad files; a word of the reason that is to be given, by name."""
    whole = pictures(folder, 3)[0].read_bytes()
    made = {
        "empty.png": (b"", "empty"),
        "cut.png": (whole[: len(whole) // 2], "ends too early"),
        "zeros.tif": (bytes(5000), "not a picture of a known type"),
        "text.jpg": (b"no picture\n", "not a picture of a known type"),
        "page.jpg": (b"<!DOCTYPE html><html></html>", "not a picture of a known type"),
        "document.png": (b"%PDF-1.4\n", "PDF"),
        "head.jpg": (b"\xff\xd8\xff\xe0", "not a picture of a known type"),
        "changed.png": (whole[:60] + b"\0" + whole[61:], "checksum"),
    }
    for name, (data, _) in made.items():
        (folder / name).write_bytes(data)
    reasons = {name: reason for name, (_, reason) in made.items()}
    (folder / "renamed.jpg").write_bytes(whole)
    (folder / "folder.jpg").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        reasons["pipe.png"] = "not an ordinary file"
    with contextlib.suppress(OSError):
        (folder / "itself.png").symlink_to("itself.png")
        (folder / "nowhere.png").symlink_to("gone.png")
        reasons |= dict.fromkeys(("itself.png", "nowhere.png"), "leads nowhere or back to itself")
        (folder / "around").symlink_to(folder, target_is_directory=True)
        if Path("/dev/zero").exists():
            (folder / "device.png").symlink_to("/dev/zero")
            reasons["device.png"] = "not an ordinary file"
    return reasons


def test_each_bad_file_is_named_once_with_its_reason_and_all_others_are_done(tmp_path, denoise):
    reasons = lay_out(tmp_path / "in")
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--recursive")
    assert said.status == 1
    assert said.failures.keys() == reasons.keys()
    assert {name: said.failures[name] for name, word in reasons.items() if word not in said.failures[name]} == {}
    assert len(said.lines) == len(reasons)
    assert all(line.startswith("pellucid: ") and "Traceback" not in line for line in said.lines)
    names = ["000_denoised.png", "001_denoised.png", "002_denoised.png", "renamed_denoised.jpg"]
    assert files_in(tmp_path / "out") == names
    assert said.records[-1]["summary"]
    assert (said.records[-1]["done"], said.records[-1]["failed"]) == (4, len(reasons))


def test_a_bad_file_alone_is_one_line_and_a_status_and_makes_no_file(tmp_path, denoise):
    for name, reason in lay_out(tmp_path / "in").items():
        said = denoise(tmp_path / "in" / name, "-o", tmp_path / "out.png")
        assert said.status == 1, name
        assert len(said.lines) == 1, said.lines
        assert name in said.lines[0]
        assert reason in said.lines[0]
        assert list(said.failures) == [name]
        assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["gone.png", "n" * 300 + ".png", "a\0b.png"])
def test_what_is_not_there_is_one_line_and_the_rest_is_done(tmp_path, denoise, name):
    good = pictures(tmp_path / "in", 2)
    said = denoise(tmp_path / "in" / name, *good, "-o", tmp_path / "out")
    assert said.status == 1
    (line,) = said.lines
    assert "There is no file or folder" in line
    assert len(said.done) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    return whole_files(tmp_path_factory.mktemp("whole"))


def test_what_is_left_of_a_file_is_refused_or_whole(tmp_path, whole):
    path, rng = tmp_path / "a.bin", np.random.default_rng(0)
    half, opened = [], 0
    for name, data in whole.items():
        path.write_bytes(data)
        expected = load_image(path)
        # Of a number in words the last digits are missed by nobody, nor by LibRaw the last byte.
        least = {"PGM text": 5, "RAW": 2}.get(name, 1)
        for cut in {least, least + 3, len(data) // 2, *rng.integers(least, len(data), 6).tolist()}:
            path.write_bytes(data[:-cut])
            try:
                found = load_image(path)
            except ImageError as error:
                half += [name] * ("\n" in str(error))
                continue
            opened += 1
            is_same = found.pixels.shape == expected.pixels.shape and (found.pixels == expected.pixels).all()
            if not is_same or found.pages != expected.pages:
                half.append(f"{name}: {cut} of {len(data)}")
    assert half == [], half
    assert opened  # what comes behind the pixels may be gone


STACKS = {
    "pages": {"metadata": None},
    "described": {},
    "once": {"truncate": True},
    "imagej": {"imagej": True},
    "ome": {"ome": True},
    "big": {"bigtiff": True},
    "packed": {"compression": "zlib"},
    "big-endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_that_is_cut_off_is_refused_at_its_first_page_or_at_the_one_that_is_cut(tmp_path, kind):
    stack = np.random.default_rng(0).integers(0, 255, (4, 30, 40), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", **STACKS[kind])
    data = path.read_bytes()
    assert load_image(path).pages == 4
    for cut in range(1, len(data) - 40, 97):
        path.write_bytes(data[:-cut])
        pages = []
        with contextlib.suppress(ImageError):
            for number in range(4):
                image = load_image(path, number)
                assert image.pages == 4
                pages.append(np.rint(image.pixels[..., 0] * 255))
        assert all((found == page).all() for found, page in zip(pages, stack, strict=False))
        assert len(pages) < 4 or cut < 30 * 40


def test_a_page_that_kept_the_description_of_its_stack_is_no_cut_off_stack(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((30, 40), np.uint8), description='{"shape": [5, 30, 40]}', metadata=None
    )
    assert load_image(tmp_path / "a.tif").pages == 1


def test_what_vanishes_or_is_cut_while_it_is_read_fails_alone(tmp_path, denoise, monkeypatch):
    pictures(tmp_path / "in", 4)
    open_file = Path.open

    def opened(self, *arguments, **options):
        if self.name == "001.png":
            self.unlink(missing_ok=True)
        file = open_file(self, *arguments, **options)
        if self.name == "002.png":
            os.truncate(self, 100)
        return file

    monkeypatch.setattr(Path, "open", opened)
    said = denoise(tmp_path / "in", "-o", tmp_path / "out")
    assert said.status == 1
    assert said.failures.keys() == {"001.png", "002.png"}
    assert "No such file" in said.failures["001.png"]
    assert files_in(tmp_path / "out") == ["000_denoised.png", "003_denoised.png"]


def test_what_must_not_be_read_fails_alone(tmp_path, denoise, monkeypatch):
    pictures(tmp_path / "in", 2)
    pictures(tmp_path / "in/closed", 1)
    open_file, look = Path.open, os.scandir

    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def opened(self, *arguments, **options):
        return refuse(self) if self.name == "001.png" else open_file(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path) if str(path).endswith("closed") else look(path))
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--recursive", "--include", "*.png")
    assert said.status == 1
    assert said.failures == {
        "001.png": "001.png cannot be opened: Permission denied",
        "closed": "closed cannot be opened: Permission denied",
    }
    assert files_in(tmp_path / "out") == ["000_denoised.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nobody is denied anything here")
def test_rights_are_respected_and_told(tmp_path, denoise):
    good, closed = pictures(tmp_path / "in", 2)
    closed.chmod(0)
    pictures(tmp_path / "in/closed", 1)
    (tmp_path / "in/closed").chmod(0)
    (tmp_path / "out").mkdir(mode=0o500)
    try:
        said = denoise(tmp_path / "in", "-o", tmp_path / "written", "--recursive")
        assert said.failures.keys() == {"001.png", "closed"}
        for target in (tmp_path / "out", tmp_path / "out/deeper", tmp_path / "out/a.png"):
            said = denoise(good, "-o", target)
            assert said.status
            assert "Permission denied" in said.lines[0]
        assert files_in(tmp_path / "out") == []
    finally:
        (tmp_path / "in/closed").chmod(0o700)


# --- places ---


def test_a_folder_that_cannot_be_written_to_is_one_line_for_each(tmp_path, denoise, monkeypatch):
    pictures(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    open_file = Path.open

    def opened(self, mode="r", *arguments, **options):
        if self.parent == tmp_path / "out" and "r" not in mode:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return open_file(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    said = denoise(tmp_path / "in", "-o", tmp_path / "out")
    assert said.status == 1
    assert said.failures == {
        name: f"{name[:3]}_denoised.png cannot be saved: Read-only file system" for name in ("000.png", "001.png")
    }
    assert files_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("given", "target", "reason"),
    [
        (["in"], "file", "is a file; several pictures need a folder"),
        (["in"], "file/deeper", "Nothing can be written to"),
        (["in/000.png"], "file/a.png", "cannot be made: File exists"),
        (["in/000.png"], "file", "cannot be made: File exists"),
        (["in"], "n" * 300, "File name too long"),
        (["in/000.png"], "n" * 300 + ".png", "cannot be saved: File name too long"),
        (["in/000.png"], "in/000.png", "is the input itself"),
        (["in/000.png"], "a.xyz", "cannot be saved as .xyz"),
        (["empty"], "out", "There is no picture"),
    ],
)
def test_a_place_where_nothing_can_be_is_one_line(tmp_path, denoise, given, target, reason):
    if sys.platform == "win32":
        pytest.skip("the reasons are those of POSIX")
    pictures(tmp_path / "in", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a user's")
    before = files_in(tmp_path)
    said = denoise(*(tmp_path / name for name in given), "-o", tmp_path / target)
    assert said.status in (1, 2)
    (line,) = said.lines
    assert reason in line
    assert "Errno" not in line
    assert files_in(tmp_path) == before


def test_a_folder_with_the_name_of_the_result_fails_alone(tmp_path, denoise):
    pictures(tmp_path / "in", 2)
    (tmp_path / "out/000_denoised.png").mkdir(parents=True)
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--overwrite")
    assert said.failures.keys() == {"000.png"}
    assert "there is a folder of this name" in said.failures["000.png"]
    assert files_in(tmp_path / "out") == ["001_denoised.png"]


def test_results_among_the_originals_are_never_taken_for_them(tmp_path, denoise):
    pictures(tmp_path / "in", 2)
    names = ["000.png", "000_denoised.png", "001.png", "001_denoised.png"]
    for status in ({"done": 2, "skipped": 0}, {"done": 0, "skipped": 2}):
        said = denoise(tmp_path / "in", "-o", tmp_path / "in", "--resume")
        assert said.status == 0
        assert {name: said.records[-1][name] for name in status} == status
        assert files_in(tmp_path / "in") == names


@pytest.mark.parametrize("spelt", ["in/out", "in/../in/out", "link/out"])
def test_results_below_the_originals_are_never_taken_for_them(tmp_path, denoise, spelt):
    pictures(tmp_path / "in", 2)
    link(tmp_path / "link", tmp_path / "in", target_is_directory=True)
    for done in (2, 0):
        said = denoise(tmp_path / "in", "-o", tmp_path / spelt, "--recursive", "--resume")
        assert (said.status, said.records[-1]["done"]) == (0, done)
    assert files_in(tmp_path / "in") == ["000.png", "001.png", "out/000_denoised.png", "out/001_denoised.png"]


def test_originals_below_the_folder_of_the_results_are_denoised(tmp_path, denoise):
    pictures(tmp_path / "in", 2)
    said = denoise(tmp_path / "in", "-o", tmp_path, "--no-journal")
    assert (said.status, len(said.done)) == (0, 2)


def test_a_picture_that_is_given_several_times_is_denoised_once(tmp_path, denoise, monkeypatch):
    (good,) = pictures(tmp_path / "in", 1)
    monkeypatch.chdir(tmp_path)
    said = denoise(good, good, "in/000.png", "in/../in/000.png", "in", tmp_path / "in", "-o", tmp_path / "out")
    assert said.status == 0
    assert files_in(tmp_path / "out") == ["000_denoised.png"]


def test_folders_that_hold_themselves_are_gone_through_once(tmp_path, denoise):
    pictures(tmp_path / "in/deep", 1)
    link(tmp_path / "in/deep/up", "..", target_is_directory=True)
    link(tmp_path / "in/again", tmp_path / "in", target_is_directory=True)
    link(tmp_path / "in/here", ".", target_is_directory=True)
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--recursive")
    assert (said.status, files_in(tmp_path / "out")) == (0, ["deep/000_denoised.png"])


def test_a_watched_folder_that_its_results_go_to_does_not_feed_itself(tmp_path):
    (original,) = pictures(tmp_path, 1)
    planner = Planner(Naming(tmp_path))
    there = planner.plan(find([tmp_path], Filter(), tmp_path), VALUES)
    arriving = watched([tmp_path], Filter(), planner, VALUES, tmp_path, there, every_s=0.01)
    item = next(arriving)
    assert item is not None
    shutil.copy(original, item.target)
    pictures(tmp_path, 1, start=1)
    arrived = [item.path.name for item in itertools.islice(arriving, 12) if item is not None]
    assert arrived == ["001.png"]


# --- names ---

NAMES = [
    "new\nline.png",
    "صورة.png",
    "\u202egnp.exe.png",
    "🌌 🔭.png",
    "👩‍🚀.png",
    "図像.png",
    "e\u0301te\u0301.png",
    "tab\t.png",
    "-o.png",
    "%(x)s {0} {name} $HOME *?.png",
    "a.b.c.PNG",
]


@pytest.fixture
def named(tmp_path) -> Path:
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    (good,) = pictures(tmp_path / "one", 1)
    (tmp_path / "in").mkdir()
    for name in NAMES:
        shutil.copy(good, tmp_path / "in" / name)
    return tmp_path / "in"


def test_names_of_any_characters_get_results_of_the_same_names(tmp_path, named, denoise):
    (named / "bad\n\u202e.png").write_bytes(b"")
    said = denoise(named, "-o", tmp_path / "out", "--sidecar")
    assert said.status == 1
    stems = [(Path(name).stem, Path(name).suffix) for name in NAMES]
    expected = [f"{stem}_denoised{suffix}{end}" for stem, suffix in stems for end in ("", ".json")]
    assert files_in(tmp_path / "out") == sorted(expected)
    assert [line.count("bad\\n\\u202e.png") for line in said.lines] == [1]
    assert set(said.failures) == {"bad\n\u202e.png"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("as_json", [False, True])
def test_any_name_can_be_said_wherever_the_words_go(tmp_path, named, monkeypatch, encoding, as_json):
    install()
    good = next(named.iterdir())
    odd = Path(os.fsdecode(os.fsencode(named) + b"/caf\xe9 \xff.png"))
    shutil.copy(good, odd)
    shutil.copy(good, named / "\udcff.png")
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding, newline="\n"))
    status = main(["denoise", str(named), "-o", str(tmp_path / "out"), *MODEL, *(["--json"] if as_json else [])])
    sys.stdout.flush()
    assert status == 0
    lines = said.getvalue().decode(encoding).removesuffix("\n").split("\n")
    if as_json:
        made = {json.loads(line).get("output") for line in lines} - {None}
        assert {Path(path).name for path in made} == set(files_in(tmp_path / "out"))
        assert len(made) == len(NAMES) + 2
    else:
        assert len([line for line in lines if not line.startswith("  ")]) == len(NAMES) + 2


@pytest.mark.parametrize("letter", ["n", "é", "図", "🌌"])
@pytest.mark.parametrize("more", [(), ("--sidecar",), ("--name", "{number} {name} and so on")])
def test_the_longest_names_get_shorter_results_each_its_own(tmp_path, denoise, letter, more):
    (good,) = pictures(tmp_path / "one", 1)
    long = letter * (249 // len(letter.encode()))
    (tmp_path / "in").mkdir()
    for last in "ab":
        shutil.copy(good, tmp_path / "in" / f"{long}{last}.png")
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", *more)
    assert (said.status, said.failures) == (0, {})
    assert len({*said.done}) == 2
    for path in said.done:
        assert letter * 20 in path.name
        assert ("_denoised" in path.name) != ("--name" in more)
        assert path.is_file()
    again = denoise(tmp_path / "in", "-o", tmp_path / "out", "--resume", *more)
    assert again.records[-1]["skipped"] == 2


@given(st.text(st.characters(exclude_characters="/\0\\", exclude_categories=["Cs"]), min_size=1, max_size=120))
def test_no_name_makes_a_longer_one_than_systems_take(stem):
    name = Naming().target(Path(f"/in/{stem}.tif"), Path("/in"), 1, 1).name
    assert len(name.encode()) <= 255 - len("-99999.json")
    assert name.endswith("_denoised.tif")
    if len(stem.encode()) < 200:
        assert name == f"{stem}_denoised.tif"


def test_a_name_pattern_that_is_too_long_is_one_line_for_each(tmp_path, denoise):
    pictures(tmp_path / "in", 2)
    said = denoise(tmp_path / "in", "-o", tmp_path / "out", "--name", "n" * 300)
    assert said.status == 1
    assert said.failures == {name: f"{name} cannot be saved: File name too long" for name in ("000.png", "001.png")}


def test_the_collected_names_are_denoised(data, tmp_path, denoise):
    with tarfile.open(data / "formats/odd_names.tar") as names:
        names.extractall(tmp_path / "in", filter="data")
    said = denoise(tmp_path / "in", "-o", tmp_path / "out")
    count = sum(path.is_file() for path in (tmp_path / "in").iterdir())
    assert (said.status, len(said.done)) == (0, count)


# --- a process of its own ---


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are those of POSIX")
@pytest.mark.timeout(60)
def test_a_disk_that_fills_within_a_stack_or_beside_a_sidecar_leaves_nothing(home, tmp_path):
    install()
    stack = np.random.default_rng(0).integers(0, 255, (4, 60, 60, 3), np.uint8)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/stack.tif", stack, photometric="rgb")
    pictures(tmp_path / "in", 1, side=8)
    pictures(tmp_path / "in", 1, side=64, suffix=".tif", start=1)
    nest = Nest(home)
    try:
        command = ("denoise", tmp_path / "in", "-o", tmp_path / "out", "--sidecar", *GIVEN)
        nest.start(tmp_path / "said", *command, limit=9000)
        assert nest.status() == 1
    finally:
        nest.close()
    *records, summary = told(tmp_path / "said")
    assert (summary["done"], summary["failed"]) == (1, 2)
    assert all("cannot be saved: File too large" in record["error"] for record in records if "error" in record)
    assert [name for name in files_in(tmp_path / "out") if not name.endswith(".json")] == ["000_denoised.png"]
    assert not [name for name in files_in(tmp_path / "out") if name.endswith(".tmp")]
