"""What is saved beside the pixels is true of the result, and says no place where none is wanted."""

import dataclasses
import io
import struct
import time

import numpy as np
import pytest
import tifffile

from engine.boxes import box, jpegxl_with
from engine.encode import TYPES, Encoding, save_image
from engine.image import Image, load_image
from engine.metadata import Field, Metadata, as_saved, boxes, pack_exif, read_directories, without_place


def packet(attributes: bytes = b"", inside: bytes = b"") -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:exif="e" xmlns:photoshop="p" dc:format="image/jpeg"' + attributes + b">"
        b"<dc:title>Paris</dc:title>" + inside + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def data_set(record: int, number: int, value: bytes, extended: bool = False) -> bytes:
    length = b"\x80\x04" + struct.pack(">I", len(value)) if extended else struct.pack(">H", len(value))
    return bytes([0x1C, record, number]) + length + value


CAPTION, VERSION = data_set(2, 120, b"A bird"), data_set(1, 90, b"\x1b%G")
PLACES = [data_set(2, number, b"Somewhere", number == 92) for number in (26, 27, 90, 92, 95, 100, 101)]
LONG = data_set(2, 202, b"\0" * 70000, extended=True)


def test_without_its_place_no_name_of_one_is_left_either():
    attributes = b' exif:GPSVersionID="2.3.0.0" photoshop:City=">Wien" Iptc4xmpCore:CountryCode = \'AT\''
    inside = (
        b"<photoshop:State/><photoshop:Country>Austria</photoshop:Country>"
        b"<Iptc4xmpExt:LocationCreated><rdf:Bag><rdf:li Iptc4xmpExt:City='Wien'/></rdf:Bag>"
        b"</Iptc4xmpExt:LocationCreated>"
        b'<Iptc4xmpCore:Location xml:lang="de">Prater</Iptc4xmpCore:Location>'
    )
    iptc = VERSION + PLACES[0] + CAPTION + b"".join(PLACES[1:]) + LONG
    without = without_place(Metadata(xmp=packet(attributes, inside), iptc=iptc))
    assert without.xmp == packet()
    assert without.iptc == VERSION + CAPTION + LONG
    assert without_place(Metadata(iptc=b"".join(PLACES))).iptc is None
    assert without_place(Metadata(iptc=CAPTION + PLACES[0][:-3])).iptc == CAPTION


@pytest.mark.parametrize(
    "padding",
    [b" " * 1_000_000, b"<photoshop:City " * 60_000, b"<photoshop:City>" * 60_000, b" photoshop:City=" * 60_000],
)
def test_no_packet_takes_long_to_be_searched_for_places(padding):
    began = time.process_time()
    without_place(Metadata(xmp=packet(inside=padding)))
    assert time.process_time() - began < 2


def test_a_map_without_its_place_keeps_what_else_it_says():
    doubles = struct.pack("<6d", 0, 0, 0, 447000.25, 5411000.5, 0)
    first = {271: Field(2, 6, b"Maker\0"), 33922: Field(12, 6, doubles), 34735: Field(3, 4, bytes(range(8)))}
    block = pack_exif(first, {34855: Field(3, 1, b"\0\x19")}, {1: Field(2, 2, b"N\0")})
    without = without_place(Metadata(exif=block)).exif
    parts = read_directories(io.BytesIO(without))
    assert sorted(parts.first) == [271, 274]
    assert parts.exif[34855].numbers() == [6400]
    assert parts.gps == {}
    assert struct.pack("<d", 5411000.5) not in without
    assert len(without) == len(block)


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        (b' xmpNote:HasExtendedXMP="0123"', b""),
        (b' hdrgm:Version="1.0"', b"<Container:Directory><rdf:Seq><rdf:li/></rdf:Seq></Container:Directory>"),
        (b' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MicroVideoOffset="123"', b""),
        (
            b"",
            b"<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_a_result_claims_nothing_that_lay_behind_the_original_and_shows_no_old_preview(
    tmp_path, suffix, attributes, inside
):
    image = Image(np.full((8, 9, 3), 0.5, np.float32), metadata=Metadata(xmp=packet(attributes, inside)))
    save_image(image, tmp_path / f"a{suffix}")
    assert load_image(tmp_path / f"a{suffix}").metadata.xmp == packet()


def test_what_is_true_of_the_result_stays_byte_for_byte():
    metadata = Metadata(xmp=packet(b' photoshop:City="Wien" xmp:Rating="5"'), iptc=VERSION + PLACES[1] + CAPTION)
    assert as_saved(metadata) == metadata
    other = Metadata(xmp=packet(b' xmp:Rating="5"'), iptc=VERSION + CAPTION)
    assert as_saved(other, keep_place=False) == other


def test_a_photograph_saved_without_its_place_names_none(tmp_path):
    metadata = Metadata(xmp=packet(b' photoshop:City="Wien"'), iptc=PLACES[2] + CAPTION)
    image = Image(np.full((8, 9, 3), 0.5, np.float32), metadata=metadata)
    save_image(image, tmp_path / "a.jpg", Encoding(keep_place=False))
    found = load_image(tmp_path / "a.jpg").metadata
    assert (found.xmp, found.iptc) == (packet(), CAPTION)
    assert dataclasses.replace(found, xmp=None, iptc=None, format="") == Metadata()


def test_a_jpeg_xl_in_pieces_gets_its_metadata_once_before_the_first():
    pieces = box(b"jxlp", b"\0\0\0\0first"), box(b"jxlp", b"\x80\0\0\1last")
    whole = jpegxl_with(box(b"JXL ", b"\r\n\x87\n") + b"".join(pieces), Metadata(xmp=packet()))
    assert [name for name, *_ in boxes(io.BytesIO(whole))] == [b"JXL ", b"xml ", b"jxlp", b"jxlp"]
    assert packet() in whole


@pytest.mark.parametrize("per_inch", [1e-9, 0.3, 2.54e7, 2.54e8])
@pytest.mark.parametrize("suffix", [kind.suffixes[0] for kind in TYPES])
def test_no_resolution_keeps_a_picture_from_being_saved(tmp_path, suffix, per_inch):
    image = Image(np.full((8, 9, 3), 0.5, np.float32), metadata=Metadata(dpi=(per_inch, per_inch)))
    save_image(image, tmp_path / f"a{suffix}")
    found = load_image(tmp_path / f"a{suffix}").metadata.dpi
    if suffix in (".tif", ".webp", ".avif", ".jxl") and per_inch > 0.1:
        assert found == pytest.approx((per_inch, per_inch), rel=1e-4)


def test_a_resolution_finer_than_atoms_is_not_believed(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.uint8), resolution=(4e9, 4e9), resolutionunit="centimeter")
    image = load_image(tmp_path / "a.tif")
    assert image.metadata.dpi is None
    save_image(image, tmp_path / "b.tif")
