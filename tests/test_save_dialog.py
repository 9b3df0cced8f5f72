"""Saving asks where and how: what the type lets choose, and no more, and what it cannot hold is said beforehand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app.jobs import Target
from app.save_dialog import SaveDialog, last_choice, remembered
from engine.encode import TYPES, Encoding, save_image
from engine.image import Image, load_image
from engine.metadata import Metadata


def picture(bits: int = 8, channels: int = 3, **details) -> Image:
    return Image(np.zeros((8, 8, channels), np.float32), bits=bits, is_float=bits == 32, **details)


@pytest.fixture
def ask(qtbot, tmp_path):
    def make(image: Image, name: str = "a.png", **options) -> SaveDialog:
        dialog = SaveDialog(image, tmp_path / name, sidecar=False, **options)
        qtbot.addWidget(dialog)
        return dialog

    return make


def shown(dialog: SaveDialog) -> set[str]:
    rows = {"compression": dialog.compression, "lossless": dialog.lossless, "quality": dialog.quality.parentWidget()}
    return {name for name, widget in rows.items() if dialog.form.isRowVisible(widget)}


def test_the_save_dialog_keeps_gps_unless_told_and_says_what_a_type_has_no_room_for(ask):
    dialog = ask(picture(metadata=Metadata(exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0")))
    assert dialog.target().how.keep_place
    dialog.gps.setChecked(False)
    assert not dialog.target().how.keep_place
    assert "EXIF" not in dialog.note.text()
    dialog.kind.setCurrentText("BMP")
    assert "cannot hold the picture's EXIF data" in dialog.note.text()


def test_the_save_dialog_follows_the_suffix_and_keeps_the_depth(qtbot, tmp_path):
    image = picture(16, path=tmp_path / "a.png")
    dialog = SaveDialog(image, tmp_path / "a_denoised.png", sidecar=True)
    qtbot.addWidget(dialog)
    assert dialog.target().how.bits is None
    assert dialog.target().sidecar
    dialog.kind.setCurrentText("JPEG")
    assert dialog.target().path == tmp_path / "a_denoised.jpg"
    assert shown(dialog) == {"quality"}
    assert "8 are written" in dialog.note.text()
    dialog.path.setText(str(tmp_path / "b.tif"))
    assert dialog.kind.currentText() == "TIFF"
    dialog.bits.setCurrentIndex(dialog.bits.findData(32))
    assert dialog.target().how.bits == 32


def test_the_save_dialog_asks_in_other_words_before_the_original_is_replaced(qtbot, tmp_path, monkeypatch):
    questions = []

    def answer(parent, title, question, yes):
        questions.append(title)
        return len(questions) > 1

    monkeypatch.setattr("app.save_dialog.confirmed", answer)
    original = tmp_path / "a.png"
    save_image(picture(), original)
    dialog = SaveDialog(load_image(original), original, sidecar=False)
    qtbot.addWidget(dialog)
    dialog.accept()
    assert dialog.result() == 0
    assert questions == ["Replace the original?"]
    dialog.accept()
    assert dialog.result() == 1
    assert dialog.over_original


@pytest.mark.parametrize("name", ["a.xyz", "nowhere/a.png", ""])
def test_the_save_dialog_does_not_accept_what_cannot_be_written(ask, tmp_path, name):
    dialog = ask(picture())
    dialog.path.setText(str(tmp_path / name) if name else "")
    dialog.accept()
    assert dialog.result() == 0
    assert dialog.note.text()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_what_is_shown_is_what_the_type_lets_choose(ask, kind):
    dialog = ask(picture())
    dialog.kind.setCurrentIndex(TYPES.index(kind))
    expected = {"compression"} if kind.compressions else set()
    expected |= {"lossless"} if kind.lossless is None else set()
    expected |= {"quality"} if not kind.is_lossless(Encoding(), 8, picture()) else set()
    assert shown(dialog) == expected
    assert dialog.bits.isEnabled() == (len(kind.bits) > 1)
    assert dialog.target().path.suffix == kind.suffixes[0]


def test_lossless_hides_the_quality_and_is_written(ask):
    dialog = ask(picture(), "a.jxl")
    assert dialog.lossless.isChecked()
    assert dialog.target().how.lossless is None
    dialog.lossless.click()
    assert shown(dialog) == {"lossless", "quality"}
    dialog.slider.setValue(60)
    assert dialog.target().how == Encoding(quality=60, lossless=False)
    dialog.kind.setCurrentText("AVIF")
    assert not dialog.lossless.isChecked()
    dialog.lossless.click()
    assert dialog.target().how.lossless


@pytest.mark.parametrize(("image", "name"), [(picture(32), "a.jxl"), (picture(8, 1), "a.avif")])
def test_what_is_lossless_in_any_case_cannot_be_chosen(ask, image, name):
    dialog = ask(image, name, how=Encoding(lossless=False))
    assert dialog.lossless.isChecked()
    assert not dialog.lossless.isEnabled()
    assert "quality" not in shown(dialog)


def test_a_type_passed_on_the_way_changes_nothing_that_was_chosen(ask):
    dialog = ask(picture(), "a.tif", how=Encoding(compression="zstd", quality=70))
    assert dialog.compression.currentData() == "zstd"
    for kind in (*TYPES, TYPES[0]):
        dialog.kind.setCurrentIndex(TYPES.index(kind))
    assert dialog.compression.currentData() == "zstd"
    assert dialog.target().how == Encoding(compression="zstd", quality=70)


def test_a_grey_picture_becomes_a_pgm(ask):
    dialog = ask(picture(8, 1))
    dialog.kind.setCurrentText("PNM")
    assert dialog.target().path.suffix == ".pgm"


def test_a_heic_is_proposed_as_a_tiff_of_16_bits_with_the_reason(ask, tmp_path):
    image = picture(metadata=Metadata(format="HEIF"))
    dialog = ask(image, "a.tif")
    assert dialog.target().how.bits == 16
    assert "HEIC cannot be written without a GPL encoder; a 16-bit TIFF is proposed." in dialog.note.text()
    dialog.kind.setCurrentText("JPEG")
    assert "HEIC" not in dialog.note.text()
    dialog.path.setText(str(tmp_path / "a.heic"))
    dialog.accept()
    assert dialog.result() == 0
    assert "save a 16-bit .tif or a .jpg instead" in dialog.note.text()


def test_values_beyond_the_depth_are_refused_before_anything_is_computed(ask, tmp_path):
    image = dataclasses.replace(picture(32), pixels=np.full((8, 8, 3), 900, np.float32), levels=(0.0, 1024.0))
    dialog = ask(image, "a.png")
    dialog.accept()
    assert dialog.result() == 0
    assert "32-bit .tif" in dialog.note.text()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_whatever_is_accepted_can_be_saved(ask, kind, bits):
    image = picture(bits)
    dialog = ask(image, f"a{kind.suffixes[0]}")
    for index in range(dialog.bits.count()):
        dialog.bits.setCurrentIndex(index)
        target = dialog.target()
        save_image(image, target.path, target.how)
        assert load_image(target.path).bits in (8, 16, 32)


def test_the_last_choice_is_proposed_again_but_its_type_only_where_it_was_chosen():
    own, other = Path("a_denoised.png"), Path("a_denoised.avif")
    how = Encoding(bits=10, quality=70, lossless=True, compression="small", keep_place=False)
    again = last_choice(remembered(Target(other, how), own), keep_place=True)
    assert again == Encoding(".avif", None, 70, True, "small", True)
    assert last_choice(remembered(Target(own, how), own), True).suffix == ""
    assert last_choice(remembered(Target(Path("a.pgm"), how), own), True).suffix == ".ppm"  # which holds grey, too


@pytest.mark.parametrize("kept", [{}, {"quality": 0}, {"compression": 7}, {"quality": "much"}, {"other": 1}])
def test_a_choice_that_makes_no_sense_is_the_usual_one(kept):
    assert last_choice(kept, True) == Encoding()
