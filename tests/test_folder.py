"""The pre-flight: every picture is described, scenes stay whole, and what would fail later is said before."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from opened import noisy_file, noisy_pixels
from reports import correlated, report

from conftest import picture
from engine.encode import save_image
from engine.image import Image, load_image
from training import folder as preflight
from training.folder import TWIN, Finding, Found, check, grouped, hold_out, look, scenes
from training.job import TrainError

EXIF, ISO, TAKEN, ORIENTATION = 34665, 34855, 36867, 274


def exif_block(make: str = "Canon", model: str = "Canon EOS R6", orientation: int = 1, **tags) -> bytes:
    """An EXIF block; `iso` and `taken` as they are, `thumbnail` the bytes of a JPEG."""
    exif = PIL.Image.Exif()
    exif[271], exif[272], exif[ORIENTATION] = make, model, orientation
    inner = exif.get_ifd(EXIF)
    inner[ISO], inner[TAKEN] = tags.get("iso", 3200), tags.get("taken", "2024:05:01 10:20:30")
    inner |= tags.get("more", {})
    block = exif.tobytes()
    if "thumbnail" not in tags:
        return block
    # Pillow writes no thumbnail: a second directory behind it all, which the first one leads to.
    data = bytearray(block[6:])
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    struct.pack_into(order + "I", data, start + 2 + 12 * count, len(data))
    offset, length = len(data) + 30, len(tags["thumbnail"])
    data += struct.pack(order + "HHHIIHHIII", 2, 0x201, 4, 1, offset, 0x202, 4, 1, length, 0) + tags["thumbnail"]
    return b"Exif\0\0" + bytes(data)


def photo(path: Path, height: int = 96, width: int = 128, sigma: float = 0.1, seed: int = 0, **tags) -> Path:
    """A noisy JPEG as a camera writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(noisy_pixels(height, width, sigma, seed), 0, 1)
    PIL.Image.fromarray(np.uint8(pixels * 255)).save(path, "JPEG", quality=95, exif=exif_block(**tags))
    return path


def jpeg(colour: str, size: tuple[int, int], bars: int = 0) -> bytes:
    """The bytes of a plain JPEG with black bars of that height above and below."""
    made = PIL.Image.new("RGB", size)
    made.paste(PIL.Image.new("RGB", (size[0], size[1] - 2 * bars), colour), (0, bars))
    stream = io.BytesIO()
    made.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def seen(folder: Path, recursive: bool = True) -> dict[str, Found]:
    """What is known of each file in the end."""
    return {found.name: found for found in look(folder, recursive)}


@pytest.fixture
def headers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are handled as large ones are: by their header first."""
    monkeypatch.setattr(preflight, "_SMALL", 0)


def one(name: str, **known) -> Found:
    """A usable colour picture of 24 megapixels, but for what is known."""
    made = Found(name, "", 6000, 4000, 3, 8, "Canon EOS R6", 3200, report=report(sigma=0.02))
    return dataclasses.replace(made, **known)


def many(count: int, **known) -> list[Found]:
    return [one(f"IMG_{1000 + number}.JPG", **known) for number in range(count)]


def view(seed: int, moved: float = 0.0) -> np.ndarray:
    """The thumbnail of a scene; by the share `moved` another comes into it."""
    coarse, other = (np.random.default_rng(number).uniform(20, 230, (8, 12)) for number in (seed, seed + 1000))
    grey = np.kron((1 - moved) * coarse + moved * other, np.ones((8, 8)))
    return np.repeat(np.uint8(grey)[..., None], 3, axis=2)


def checked(found: Sequence[Found], held_out: Sequence[str] = (), tmp: Path | None = None, **changes) -> list[Finding]:
    """Findings for a run in a folder that can be written."""
    return check(found, held_out, run_folder=tmp or Path.cwd(), **changes)


def about(findings: list[Finding], words: str) -> Finding:
    """The one finding with these words."""
    (finding,) = (finding for finding in findings if words in finding.sentence)
    return finding


# ---- Looking ----


def test_every_picture_comes_at_once_and_again_with_its_noise(tmp_path):
    for number in (1, 2, 10):
        noisy_file(tmp_path / f"{number}.png", seed=number)
    steps = list(look(tmp_path))
    assert [found.name for found in steps[:3]] == ["1.png", "2.png", "10.png"]
    assert all(found.report is None and found.thumbnail is not None for found in steps[:3])
    assert sorted(found.name for found in steps[3:]) == ["1.png", "10.png", "2.png"]
    for found in steps[3:]:
        assert found.report is not None
        assert found.report.sigma == pytest.approx(25 / 255, rel=0.1)
        assert (found.width, found.height, found.channels, found.bits) == (160, 120, 3, 8)


def written(path: Path) -> Path:
    """One picture in the type that the name asks for."""
    kind = path.name.partition(".")[0]
    if path.suffix == ".heic":
        heif = pytest.importorskip("pillow_heif")
        try:
            made = PIL.Image.fromarray(np.uint8(picture(96, 128) * 255))
            heif.from_pillow(made).save(path, quality=90, exif=exif_block())
        except RuntimeError:
            pytest.skip("this build of libheif cannot write")
        return path
    bits = 32 if "float" in kind else 16 if "deep" in kind else 8
    source = load_image(photo(path.with_name("source.jpg"), orientation=6))
    path.with_name("source.jpg").unlink()
    pixels = source.pixels[..., :1] if "grey" in kind else source.pixels
    save_image(dataclasses.replace(source, pixels=pixels, bits=bits, is_float=bits == 32), path)
    return path


KINDS = ["a.jpg", "grey.jpg", "a.png", "deep.png", "grey-deep.png", "a.webp", "a.tif", "deep.tif", "float.tif"]


@pytest.mark.parametrize("name", [*KINDS, "grey.tif", "a.heic"])
def test_the_header_tells_what_the_whole_picture_tells(tmp_path, monkeypatch, name):
    written(tmp_path / name)
    whole = next(look(tmp_path))
    monkeypatch.setattr(preflight, "_SMALL", 0)
    header = next(look(tmp_path))
    assert header.thumbnail is None
    for field in ("problem", "width", "height", "channels", "bits", "camera", "iso", "taken"):
        assert getattr(header, field) == getattr(whole, field), field
    assert (header.camera, header.iso, header.taken) == ("Canon EOS R6", 3200, 1714558830.0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_and_thumbnails_stand_upright(tmp_path, monkeypatch, orientation):
    photo(tmp_path / "a.jpg", 160, 320, orientation=orientation)
    whole = next(look(tmp_path))
    monkeypatch.setattr(preflight, "_SMALL", 0)
    first, *_, last = look(tmp_path)
    assert (first.width, first.height) == (whole.width, whole.height)
    assert last.thumbnail is not None
    assert last.thumbnail.shape == whole.thumbnail.shape
    assert max(last.thumbnail.shape) == 96
    assert np.abs(last.thumbnail.astype(float) - whole.thumbnail).mean() < 6


@pytest.mark.usefixtures("headers_only")
def test_the_thumbnail_of_the_camera_spares_decoding_and_loses_its_bars(tmp_path, monkeypatch):
    photo(tmp_path / "a.jpg", 96, 144, orientation=8, thumbnail=jpeg("red", (160, 120), bars=7))
    monkeypatch.setattr(preflight, "load_image", lambda path: pytest.fail("it was decoded"))
    found = next(look(tmp_path))
    assert found.thumbnail is not None
    assert found.thumbnail.shape[0] == 96
    assert 60 <= found.thumbnail.shape[1] <= 64
    assert (found.thumbnail[..., 0] > 240).all()


@pytest.mark.usefixtures("headers_only")
def test_a_damaged_thumbnail_is_made_anew(tmp_path):
    photo(tmp_path / "a.jpg", thumbnail=b"no picture")
    found = seen(tmp_path)["a.jpg"]
    assert found.thumbnail is not None
    assert not found.problem


@pytest.mark.usefixtures("headers_only")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic"])
def test_a_cut_off_file_is_named_with_its_problem_whatever_its_header_says(tmp_path, name):
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = next(look(tmp_path))
    assert name in found.problem
    assert found.width == 0


@pytest.mark.usefixtures("headers_only")
def test_a_film_behind_a_photo_is_no_damage(tmp_path):
    path = photo(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(200_000))
    found = next(look(tmp_path))
    assert not found.problem
    assert found.thumbnail is None  # so far only the header was read


def test_files_that_are_no_pictures_are_named_and_renamed_ones_are_read(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    noisy_file(tmp_path / "was.png").rename(tmp_path / "renamed.jpg")
    found = seen(tmp_path)
    assert set(found) == {"empty.jpg", "text.png", "renamed.jpg"}
    assert "0 bytes" in found["empty.jpg"].problem
    assert "text.png" in found["text.png"].problem
    assert found["renamed.jpg"].report is not None


def test_clean_twins_are_told_by_name_and_left_alone(tmp_path):
    for name in ("a_real.png", "a_mean.png", "b_clean.png"):
        noisy_file(tmp_path / name)
    found = seen(tmp_path)
    assert {name for name in found if found[name].problem == TWIN} == {"a_mean.png", "b_clean.png"}
    assert [group.names for group in grouped(list(found.values()))] == [("a_real.png",)]


def test_folders_inside_and_any_names_are_found(tmp_path):
    names = ["Åland – été.png", "写真/夜 1.png", "a b/c#d%.png", ".hidden/a.png"]
    for name in names:
        noisy_file(tmp_path / name)
    assert set(seen(tmp_path)) == set(names[:3])
    assert set(seen(tmp_path, recursive=False)) == {names[0]}


def test_links_that_lead_in_a_circle_end(tmp_path):
    noisy_file(tmp_path / "a.png")
    (tmp_path / "around").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    found = seen(tmp_path)
    assert set(found) == {"a.png", "self.png"}
    assert found["self.png"].problem


def test_what_is_no_folder_is_said_in_a_sentence(tmp_path):
    with pytest.raises(TrainError, match="is not a folder"):
        next(look(noisy_file(tmp_path / "a.png")))
    with pytest.raises(TrainError, match="is not a folder"):
        next(look(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert list(look(tmp_path / "empty")) == []


def test_folders_that_may_not_be_read_are_said(tmp_path, monkeypatch):
    noisy_file(tmp_path / "a.png")
    closed, hidden = tmp_path / "closed", tmp_path / ".trash"
    closed.mkdir()
    hidden.mkdir()
    scan = os.scandir

    def refusing(path):
        if Path(path) in (closed, hidden):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = seen(tmp_path)
    assert set(found) == {"a.png", "closed"}
    assert "cannot be opened" in found["closed"].problem
    with pytest.raises(TrainError, match="Permission denied"):
        next(look(closed))


def test_a_file_that_goes_away_is_a_problem_and_a_folder_that_does_ends_it(tmp_path):
    for number in range(3):
        noisy_file(tmp_path / "in" / f"{number}.png")
    looking = look(tmp_path / "in")
    assert not next(looking).problem
    (tmp_path / "in/1.png").unlink()
    assert "does not exist" in next(looking).problem
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(TrainError, match="is gone"):
        next(looking)


def test_looking_can_end_after_any_picture(tmp_path, monkeypatch):
    for number in range(3):
        noisy_file(tmp_path / f"{number}.png")
    read = []
    monkeypatch.setattr(preflight, "load_image", lambda path: read.append(path.name) or load_image(path))
    looking = look(tmp_path)
    next(looking)
    looking.close()
    assert read == ["0.png"]


def test_of_each_group_only_a_spread_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "_MEASURED_SMALL", 3)
    for number in range(7):
        photo(tmp_path / f"a{number}.jpg", iso=800)
    for number in range(2):
        photo(tmp_path / f"b{number}.jpg", iso=6400)
    found = seen(tmp_path)
    measured = sorted(name for name in found if found[name].report is not None)
    assert measured == ["a0.jpg", "a3.jpg", "a6.jpg", "b0.jpg", "b1.jpg"]
    monkeypatch.setattr(preflight, "_MEASURED_IN_ALL", 2)
    found = seen(tmp_path)
    assert {name[0] for name in found if found[name].report is not None} == {"a", "b"}


@pytest.mark.parametrize(
    ("iso", "more", "expected"),
    [
        (1016, {}, 1016),
        ((3200, 0), {}, 3200),
        ((0, 400), {}, 400),
        (65535, {34866: 102400}, 102400),
        (0, {34867: 25600}, 25600),
        (65535, {}, None),
        (0, {}, None),
    ],
)
def test_iso_is_read_as_cameras_write_it(tmp_path, iso, more, expected):
    photo(tmp_path / "a.jpg", iso=iso, more=more)
    assert next(look(tmp_path)).iso == expected


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D Mark II", "Canon EOS 5D Mark II"),
        ("NIKON CORPORATION", "NIKON D800", "NIKON D800"),
        ("SONY", "ILCE-7M2 ", "SONY ILCE-7M2"),
        ("", "Scanner", "Scanner"),
        ("Phase One", "", "Phase One"),
    ],
)
def test_a_camera_is_named_once(tmp_path, make, model, camera):
    photo(tmp_path / "a.jpg", make=make, model=model)
    assert next(look(tmp_path)).camera == camera


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:45 99:00:00", ""])
def test_a_clock_that_was_never_set_tells_no_time(tmp_path, taken):
    photo(tmp_path / "a.jpg", taken=taken)
    found = next(look(tmp_path))
    assert found.taken is None
    assert found.iso == 3200


# ---- Groups and scenes ----


def test_groups_are_by_camera_and_a_third_of_a_stop_the_largest_first():
    found = [
        one("a.jpg", iso=1000),
        one("b.jpg", iso=987),
        one("c.jpg", iso=987),
        one("d.jpg", iso=1250),
        one("e.jpg", camera="", iso=None),
        one("f.jpg", camera="", iso=None),
        one("g.jpg", camera="NIKON D800", iso=64),
        one("h.jpg", problem="unreadable"),
    ]
    groups = grouped(found)
    assert [(group.camera, group.iso, group.names) for group in groups] == [
        ("Canon EOS R6", 987, ("a.jpg", "b.jpg", "c.jpg")),
        ("", None, ("e.jpg", "f.jpg")),
        ("Canon EOS R6", 1250, ("d.jpg",)),
        ("NIKON D800", 64, ("g.jpg",)),
    ]
    assert [group.label for group in groups][1:3] == ["unknown camera, ISO unknown", "Canon EOS R6, ISO 1250"]


def test_crops_and_versions_of_a_photograph_are_one_scene_and_counted_shots_are_not():
    together = [
        ["Canon5D2_5_160_3200_chair_11_real.JPG", "Canon5D2_5_160_3200_chair_5_real.JPG"],
        ["NikonD800_6-3_125_5000_plant_1_real.JPG", "NikonD800_6-3_125_5000_plant__4_real.JPG"],
        ["Canon5D2_5_160_6400_circuit_3_real.JPG"],
        ["IMG_1234 (2).JPG", "IMG_1234-Edit-2.tif", "IMG_1234-Edit.tif", "IMG_1234.JPG", "IMG_1234.tif"],
        ["IMG_1235.JPG"],
        ["other/IMG_1234.JPG"],
        ["sample_01_noisy.png"],
        ["sample_02_noisy.png"],
        ["0001_S6/0001_NOISY_SRGB_010.PNG", "0001_S6/0001_NOISY_SRGB_011.PNG"],
        ["0002_S6/0002_NOISY_SRGB_010.PNG"],
    ]
    found = [one(name) for scene in together for name in reversed(scene)]
    assert scenes(found) == sorted(together)


def test_shots_within_seconds_that_look_alike_are_one_scene():
    found = [
        one("1.jpg", taken=100.0, thumbnail=view(1)),
        one("2.jpg", taken=101.0, thumbnail=np.uint8(view(1, 0.05) * 0.5)),  # underexposed
        one("3.jpg", taken=102.0, thumbnail=view(2)),
        one("4.jpg", taken=900.0, thumbnail=view(1, 0.3)),  # came back
    ]
    assert scenes(found) == [["1.jpg", "2.jpg"], ["3.jpg"], ["4.jpg"]]


def test_copies_and_a_camera_that_never_moved_are_one_scene():
    found = [
        one("copy.jpg", thumbnail=view(1)),
        one("another.jpg", thumbnail=view(1)),
        one("else.jpg", thumbnail=view(2)),
        *(one(f"stars{hour}.jpg", taken=3600.0 * hour, thumbnail=view(3, 0.01 * hour)) for hour in range(4)),
        one("flat1.jpg", thumbnail=np.full((64, 96, 3), 9, np.uint8)),
        one("flat2.jpg", thumbnail=np.full((64, 96, 3), 9, np.uint8)),
    ]
    stars = [f"stars{hour}.jpg" for hour in range(4)]
    assert scenes(found) == sorted([["another.jpg", "copy.jpg"], ["else.jpg"], stars, ["flat1.jpg"], ["flat2.jpg"]])


def is_whole(found: Sequence[Found], held: Sequence[str]) -> bool:
    return all(set(scene) <= set(held) or not set(scene) & set(held) for scene in scenes(found))


def test_whole_scenes_are_held_out_of_each_group_in_proportion():
    found = [*many(60), *(one(f"N{number}.JPG", camera="NIKON D800") for number in range(20))]
    held = hold_out(found)
    assert len(held) == 12
    assert sum(name.startswith("N") for name in held) == 3
    bursts = [one(f"Canon5D2_5_160_3200_scene{n % 9}_{n}_real.JPG") for n in range(60)]
    held = hold_out(bursts)
    assert 0 < len(held) <= 9
    assert is_whole(bursts, held)


def test_the_same_seed_holds_the_same_out_in_whatever_order_they_were_found():
    found = many(40)
    assert hold_out(found) == hold_out(found[::-1]) == hold_out(found, seed=0)
    assert hold_out(found) != hold_out(found, seed=1)
    assert len(hold_out(found, share=0.5)) == 16


def test_something_is_held_out_and_something_left_wherever_there_are_two_scenes():
    assert hold_out([]) == []
    assert hold_out(many(1)) == []
    assert hold_out([one("IMG_1234.jpg"), one("IMG_1234.tif")]) == []
    assert len(hold_out(many(2))) == 1
    assert len(hold_out(many(2), share=1.0)) == 1
    large = [one(f"Canon5D2_5_160_3200_{name}_{n}_real.JPG") for name in "ab" for n in range(20 + (name == "b"))]
    held = hold_out(large)
    assert held == sorted(found.name for found in large if "_a_" in found.name)


def test_the_last_scene_of_a_group_and_what_has_no_noise_are_held_out_last():
    alone = [one(f"alone{iso}.jpg", iso=iso) for iso in (100, 400)]
    assert {"alone100.jpg", "alone400.jpg"}.isdisjoint(hold_out([*alone, *many(10)], share=0.75))
    found = [one("alone.jpg", camera="NIKON D800"), *many(5)]
    found[1:3] = [dataclasses.replace(item, report=report(is_clean=True, sigma=0.0)) for item in found[1:3]]
    expected = {item.name for item in found[3:]}
    assert all(set(hold_out(found, seed=seed)) <= expected for seed in range(20))


def test_pictures_that_cannot_be_used_are_not_held_out():
    found = [*many(3), *(one(f"broken{number}.jpg", problem="broken") for number in range(50))]
    assert len(hold_out(found)) == 1
    assert not hold_out(found)[0].startswith("broken")


# ---- What would go wrong ----


def test_a_good_folder_has_nothing_to_say_against_it(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 << 30}))
    found = many(10)
    assert [said.sentence for said in checked(found, hold_out(found), tmp_path)] == [preflight.EXPERIENCE["white"]]


def test_findings_come_worst_first_and_name_three_files():
    broken = [one(f"broken{number}.jpg", problem="it is damaged") for number in range(5)]
    findings = checked([*many(10), *broken, one("a_mean.jpg", problem=TWIN)], ["IMG_1000.JPG"])
    kinds = [finding.kind for finding in findings]
    assert kinds == sorted(kinds, key=["stop", "warn", "note"].index)
    unread = about(findings, "cannot be read")
    assert "5 files" in unread.sentence
    assert "broken0.jpg, broken1.jpg, broken2.jpg and 2 more" in unread.sentence
    assert unread.names == tuple(f"broken{number}.jpg" for number in range(5))
    assert not unread.can_leave_out
    assert about(findings, "clean twin").names == ("a_mean.jpg",)


def test_a_folder_without_a_usable_picture_stops():
    assert about(checked([]), "no picture in this folder").kind == "stop"
    assert about(checked([one("a_mean.jpg", problem=TWIN)]), "clean ones by their names").kind == "stop"
    finding = about(checked([one("a.jpg", problem="a.jpg is damaged."), one("b.jpg", problem="?")]), "can be used")
    assert finding.kind == "stop"
    assert finding.sentence.endswith("a.jpg is damaged.")


def test_pictures_smaller_than_a_patch_are_to_be_left_out():
    tiny = one("tiny.jpg", width=40)
    finding = about(checked([*many(9), tiny]), "smaller than 64")
    assert (finding.kind, finding.names, finding.can_leave_out) == ("warn", ("tiny.jpg",), True)
    assert not any("smaller than" in finding.sentence for finding in checked([*many(9), tiny], patch=32))
    assert about(checked([tiny]), "All pictures are smaller").kind == "stop"


def test_too_little_to_learn_from_is_said_and_nothing_at_all_stops():
    small = [one(f"{number}.png", width=512, height=512) for number in range(9)]
    assert about(checked(small, ["0.png", "1.png"]), "1.8 megapixels").kind == "warn"
    assert not any("megapixels" in finding.sentence for finding in checked(small, ["0.png"]))
    assert about(checked(small, [item.name for item in small]), "Nothing is left").kind == "stop"
    clean = [dataclasses.replace(item, report=report(sigma=0.0, is_clean=True)) for item in small[:2]]
    assert about(checked([*clean, *small[2:]], ["8.png"]), "1.6 megapixels")


def test_nothing_to_judge_by_says_that_the_start_is_kept():
    for found, advice in (
        (many(1), "add pictures."),
        (many(2), "hold some out"),
        ([one("IMG_1234.jpg"), one("IMG_1234.tif")], "another scene"),
    ):
        finding = about(checked(found, []), "No picture is held out")
        assert finding.kind == "warn"
        assert "start would be kept" in finding.sentence
        assert advice in finding.sentence


def test_a_scene_on_both_sides_is_found():
    found = [*many(5), one("IMG_1001.tif")]
    finding = about(checked(found, ["IMG_1001.JPG"]), "The same scenes")
    assert finding.names == ("IMG_1001.tif",)
    assert not any("same scenes" in finding.sentence for finding in checked(found, ["IMG_1001.JPG", "IMG_1001.tif"]))


def test_copies_are_to_be_left_out(tmp_path):
    noisy_file(tmp_path / "a.png")
    noisy_file(tmp_path / "b.png", seed=1)
    shutil.copy(tmp_path / "a.png", tmp_path / "renamed.png")
    found = list(seen(tmp_path).values())
    assert about(checked(found, ["b.png"]), "copy of another").names == ("renamed.png",)


def test_of_several_isos_or_cameras_the_most_that_go_together_are_kept():
    found = [
        *(one(f"a{number}.jpg", iso=1600) for number in range(4)),
        *(one(f"b{number}.jpg", iso=2500) for number in range(4)),
        *(one(f"c{number}.jpg", iso=12800) for number in range(5)),
        one("d.jpg", camera="NIKON D800", iso=1600),
        one("e.jpg", iso=None),
    ]
    finding = about(checked(found), "are mixed")
    assert finding.kind == "warn"
    assert set(finding.names) == {"c0.jpg", "c1.jpg", "c2.jpg", "c3.jpg", "c4.jpg", "d.jpg", "e.jpg"}
    assert "Canon EOS R6, ISO 1600 to 2500 (8)" in finding.sentence
    assert not any("mixed" in finding.sentence for finding in checked(found[:8]))


def test_levels_that_differ_too_much_are_mixed_where_no_camera_is_named():
    def with_levels(*levels: float, of: Callable = report) -> list[Found]:
        return [one(f"{n}.png", camera="", iso=None, report=of(sigma=s)) for n, s in enumerate(levels)]

    def uncertain(sigma: float):
        return dataclasses.replace(correlated(sigma=sigma), uncertainty=0.35)

    finding = about(checked(with_levels(*[0.02] * 6, 0.07, 0.08)), "Noise levels from 5.1 to 20.4")
    assert (finding.names, finding.can_leave_out) == (("6.png", "7.png"), True)
    for levels, of, is_mixed in (
        ((0.02, 0.02, 0.025, 0.03), report, False),
        ((0.02, 0.02, 0.04, 0.04), report, True),
        ((0.02, 0.02, 0.04, 0.04), uncertain, False),
        ((0.02, 0.02, 0.08, 0.08), uncertain, True),
    ):
        findings = checked(with_levels(*levels, of=of))
        assert any("Noise levels" in finding.sentence for finding in findings) == is_mixed
    unmeasured = many(3, camera="", iso=None, report=None)
    finding = about(checked([*with_levels(0.02, 0.02, 0.08), *unmeasured]), "Noise levels")
    assert "only 3 of 6" in finding.sentence


def test_leaving_out_what_a_warning_names_settles_it():
    levels = np.geomspace(0.01, 0.2, 24)
    found = [one(f"{n}.png", camera="", iso=None, report=report(sigma=s)) for n, s in enumerate(levels)]
    finding = about(checked(found), "Noise levels")
    kept = [item for item in found if item.name not in finding.names]
    assert kept
    assert not any("Noise levels" in finding.sentence for finding in checked(kept))


def test_file_types_whose_noise_differs_are_mixed():
    found = [*many(5, report=correlated()), *(one(f"{n}.tif", bits=16) for n in range(3))]
    assert about(checked(found), "8 and 16 bits").names == ("0.tif", "1.tif", "2.tif")
    alike = [dataclasses.replace(item, report=report()) for item in found]
    assert not any("bits" in finding.sentence for finding in checked(alike))


def test_clean_and_denoised_pictures_are_to_be_left_out_and_teach_nothing_alone():
    clean = report(sigma=0.0, is_clean=True)
    found = [*many(5), one("smooth.jpg", report=clean), one("IMG_1000_denoised.JPG", report=None)]
    finding = about(checked(found), "clean or already denoised")
    assert set(finding.names) == {"smooth.jpg", "IMG_1000_denoised.JPG"}
    assert (finding.kind, finding.can_leave_out) == ("warn", True)
    assert about(checked(many(5, report=clean)), "nothing to learn").kind == "stop"
    assert not any("nothing to learn" in finding.sentence for finding in checked(many(5, report=None)))


def test_clean_pictures_on_the_disk_stop(tmp_path):
    for number in range(2):
        path = tmp_path / f"{number}.png"
        save_image(Image(np.float32(picture(120, 160 + number))), path)
    assert about(checked(list(seen(tmp_path).values())), "nothing to learn").kind == "stop"


def test_correlated_noise_tells_which_methods_fit(tmp_path):
    assert about(checked(many(5, report=correlated())), "correlates").kind == "note"
    assert not any("correlates" in finding.sentence for finding in checked(many(5)))


def test_what_tuning_was_measured_to_give_is_said_once_it_is_known(monkeypatch):
    monkeypatch.setattr(preflight, "EXPERIENCE", {"white": "", "correlated": "It gave nothing."})
    assert about(checked(many(5, report=correlated())), "It gave nothing.").kind == "note"
    assert not any("gave" in finding.sentence for finding in checked(many(5)))


def test_clipped_and_grey_pictures_among_others_are_told():
    found = [*many(5), one("night.jpg", report=report(clipped=0.3)), one("grey.jpg", channels=1)]
    findings = checked(found)
    assert about(findings, "pure black or white").names == ("night.jpg",)
    assert about(findings, "1 grey and 6 colour pictures").names == ("grey.jpg",)


def test_a_disk_that_is_full_or_closed_stops(tmp_path, monkeypatch):
    run_folder = tmp_path / "not/yet/there"
    assert not any("disk" in finding.sentence for finding in checked(many(5), tmp=run_folder))
    needs = about(checked(many(5), tmp=run_folder, checkpoint_mb=1e9), "are free on the disk")
    assert needs.kind == "stop"

    def refusing(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(preflight.tempfile, "TemporaryFile", refusing)
    assert about(checked(many(5), tmp=run_folder), "Nothing can be written").kind == "stop"
    assert not run_folder.exists()


def test_the_memory_that_is_used_is_told_where_it_is_scarce(monkeypatch):
    monkeypatch.setattr(preflight.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 3 << 30}))
    finding = about(checked(many(100), budget_mb=4096), "3.0 GB of memory")
    assert (finding.kind, "5.0 will be used" in finding.sentence) == ("warn", True)
    assert not any("memory" in finding.sentence for finding in checked(many(100), budget_mb=1024))
    assert about(checked(many(100)), "changing part").kind == "note"


def test_every_sentence_ends_and_is_one():
    found = [
        *many(5, report=correlated()),
        one("a.tif", bits=16, report=report(clipped=0.5)),
        one("b.jpg", problem="b.jpg is damaged"),
        one("c.jpg", width=20, channels=1, iso=100),
        one("d_denoised.jpg"),
    ]
    for finding in [*checked(found, []), *checked(many(1), [], checkpoint_mb=1e9), *checked([])]:
        assert finding.sentence.endswith(".")
        assert ". " not in finding.sentence
        assert finding.sentence[0].isupper() or finding.sentence[0].isdecimal()


# ---- Photographs ----


def test_no_scene_of_polyu_is_split(data):
    with (data / "real/polyu_index.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [one(row["noisy"], camera=row["camera"], iso=int(row["iso"])) for row in rows]
    true = {row["noisy"]: (row["camera"], row["iso"], row["scene"].strip("_")) for row in rows}
    for seed in range(5):
        held = hold_out(found, seed=seed)
        assert 7 <= len(held) <= 16
        assert not {true[name] for name in held} & {true[name] for name in true if name not in held}
    # As found on the disk, without their cameras and with thumbnails.
    items = [item for item in _first_looks(data / "real/polyu") if not item.problem]
    assert len(items) == len(rows)
    held = hold_out(items)
    assert not {true[name] for name in held} & {true[name] for name in true if name not in held}


def _first_looks(folder: Path) -> list[Found]:
    found: dict[str, Found] = {}
    for item in look(folder):
        if item.name in found:
            break
        found[item.name] = item
    return list(found.values())


def test_cameras_and_isos_of_photographs_are_read(data):
    with (data / "real/highiso_full_index.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {item.name: item for item in _first_looks(data / "real/highiso_full")}
    for row in rows:
        item = found[row["noisy"]]
        assert row["camera"] in item.camera
        assert (item.iso, item.width, item.height) == (int(row["iso"]), int(row["w"]), int(row["h"]))
        assert found[row["mean_reference"]].problem == TWIN


def test_phone_pictures_are_noisy_correlated_and_scenes_of_their_own(data):
    found = [item for item in seen(data / "real/sidd_small").values() if not item.problem]
    assert len(scenes(found)) == len(found) == 11
    findings = checked(found, hold_out(found))
    assert about(findings, "correlates").kind == "note"
    assert about(findings, "Noise levels").kind == "warn"
    assert not any(finding.kind == "stop" for finding in findings)
