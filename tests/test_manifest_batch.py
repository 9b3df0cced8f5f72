"""All collected files through one batch: each done or named once, nothing left behind, within bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from test_formats import REFUSED

from conftest import ROOT
from engine import paths
from engine.checkpoint import save_checkpoint
from engine.image import Image, find_images, load_image
from models import checkpoint

MOST_BYTES = 2 << 30
TOO_SMALL = ["p3.png", "orientation_rectangle.jpg", "size_1x1.png", "size_1x300.png", "size_7x11.png"]

CHILD = """
import sys, time
sys.path[:0] = ["tests"]
from app.__main__ import main
from engine import paths
from test_fuzz import peak_bytes

paths.bundled_models = lambda: paths.models() / "none"
began = time.monotonic()
status = main(sys.argv[1:])
sys.stderr.write(f"\\n{peak_bytes()} {time.monotonic() - began}\\n")
sys.exit(status)
"""


@dataclass(frozen=True)
class Ran:
    """A batch over all collected files.

    Attributes:
        inputs: the pictures in the folders that were given.
        out: where the results are.
        status: that it ended with.
        records: what it said, one for each picture, and the summary.
        complaints: the lines on stderr.
        peak: bytes of memory.
        seconds: without the start of Python.
    """

    inputs: list[Path]
    out: Path
    status: int
    records: list[dict]
    complaints: list[str]
    peak: int
    seconds: float

    @property
    def failures(self) -> dict[str, str]:
        return {record["input"]: record["error"] for record in self.records if "error" in record}

    @property
    def results(self) -> dict[Path, Path]:
        return {Path(r["input"]): Path(r["output"]) for r in self.records if r.get("output")}


@pytest.fixture(scope="module")
def ran(data, tmp_path_factory) -> Ran:
    folder = tmp_path_factory.mktemp("manifest")
    environment = {**os.environ, "PELLUCID_HOME": str(folder / "home")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_HOME", environment["PELLUCID_HOME"])
        for channels, name in ((1, "grey"), (3, "color")):
            save_checkpoint(replace(checkpoint(channels), name=name), paths.models() / f"{name}.safetensors")
    with tarfile.open(data / "formats/odd_names.tar") as names:
        names.extractall(folder / "odd", filter="data")
    given = [data / "formats", folder / "odd"]
    command = ["denoise", *map(str, given), "-o", str(folder / "out"), "--recursive", "--json", "--passes", "2"]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *command, "--method", "r2r", "--device", "cpu"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    *complaints, last = child.stderr.strip().splitlines()
    peak, seconds = last.split()
    return Ran(
        find_images(given, recursive=True),
        folder / "out",
        child.returncode,
        [json.loads(line) for line in child.stdout.splitlines()],
        [line for line in complaints if line],
        int(peak),
        float(seconds),
    )


pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_each_collected_file_is_done_or_named_once_with_its_reason(ran):
    assert ran.status == 1
    told = [record["input"] for record in ran.records if "summary" not in record]
    assert sorted(told) == sorted(map(str, ran.inputs))
    # Of the 85 are two no pictures by their name, and one is a folder.
    assert len(told) == 82
    reasons = {**REFUSED, **dict.fromkeys(TOO_SMALL, "Noise can be measured from")}
    wrong = {path: said for path, said in ran.failures.items() if reasons.get(Path(path).name, "?") not in said}
    assert wrong == {}
    refused = {path.name for path in ran.inputs} & reasons.keys()
    assert {Path(path).name for path in ran.failures} == refused
    summary = ran.records[-1]
    assert (summary["done"], summary["failed"], summary["skipped"]) == (len(told) - len(refused), len(refused), 0)


def test_each_failure_is_one_line(ran):
    for path, said in ran.failures.items():
        assert "\n" not in said
        assert "Something went wrong" not in said
        assert len([line for line in ran.complaints if Path(path).name in line]) == 1
    assert len(ran.complaints) == len(ran.failures)


def test_nothing_but_results_is_left(ran):
    files = {path for path in ran.out.rglob("*") if path.is_file() and ".pellucid-batch" not in path.parts}
    assert files == set(ran.results.values())
    assert len(files) == len(ran.results)


def lost(image: Image, again: Image) -> list[str]:
    """What a picture lost while it was denoised."""
    named = ["width", "height", "bits", "is_float", "dtype", "pages"]
    wrong = [name for name in named if getattr(image, name) != getattr(again, name)]
    if again.metadata.format != "WEBP" and image.channels != again.channels:
        wrong.append("channels")
    if image.opacity is not None and not np.array_equal(image.opacity, again.opacity):
        wrong.append("opacity")
    wrong += [name for name in ("icc", "xmp", "iptc") if getattr(image.metadata, name) != getattr(again.metadata, name)]
    if (image.metadata.exif is None) != (again.metadata.exif is None):
        wrong.append("exif")
    if image.metadata.dpi and again.metadata.dpi != pytest.approx(image.metadata.dpi, abs=0.5):
        wrong.append(f"resolution {image.metadata.dpi} {again.metadata.dpi}")
    if abs(image.pixels.mean(dtype=np.float64) - again.pixels.mean(dtype=np.float64)) > 0.1 * image.peak:
        wrong.append("brightness")
    return wrong


def test_each_result_opens_again_and_is_what_its_original_was(ran):
    wrong: dict[str, list[str]] = {}
    for source, target in ran.results.items():
        image = load_image(source)
        again = load_image(target)
        if found := lost(image, again):
            wrong[source.name] = found
        for page in range(1, image.pages if image.pages == again.pages else 0):
            if found := lost(load_image(source, page), load_image(target, page)):
                wrong[f"{source.name}, page {page + 1}"] = found
    assert wrong == {}


def test_pictures_without_noise_are_left_as_they_are(ran):
    constant = {source: target for source, target in ran.results.items() if source.name.startswith("const_")}
    assert len(constant) == 2
    for source, target in constant.items():
        assert np.abs(load_image(source).pixels - load_image(target).pixels).max() < 1.01 / 255


def test_memory_stays_bounded(ran, capsys):
    with capsys.disabled():
        sys.stdout.write(f"\n{len(ran.inputs)} files: {ran.peak >> 20} MB at most, {ran.seconds:.1f} s\n")
    assert ran.peak < MOST_BYTES
