"""Damaged files of every type: none crashes, hangs or fills the memory, and each that fails says one clear sentence.

They are opened in a process of their own, so that the crash of a decoder is seen as one. PELLUCID_FUZZ says how many.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile

from engine.encode import Encoding, save_image
from engine.image import Image, ImageError, load_image
from engine.metadata import Metadata
from engine.reading import RAW
from tests.dng import write_dng

ROOT = Path(__file__).resolve().parents[1]
COUNT = int(os.environ.get("PELLUCID_FUZZ", "2000"))
LONGEST_S, MOST_BYTES = 10, 2 << 30


def whole_files(folder: Path) -> dict[str, bytes]:
    """Small sound files of every type and layout that anything here can write."""
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (24, 31), np.uint8), rng.integers(0, 256, (24, 31, 3), np.uint8)
    deep = colour.astype(np.uint16) * 257
    picture = PIL.Image.fromarray(colour)
    exif = PIL.Image.Exif()
    exif[271], exif[274] = "Maker", 6
    exif.get_ifd(0x8769)[34855] = 6400
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 15.5)})
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    metadata = Metadata(block, b"<x:xmpmeta/>", None, (300.0, 200.0), iptc=b"\x1c\x02\x78\0\x01A")
    files: dict[str, bytes] = {}

    for name, bits in ((".jpg", 8), (".png", 8), (".png", 16), (".tif", 8), (".tif", 32), (".webp", 8), (".bmp", 8)):
        for samples in (grey[..., None], colour):
            image = Image(samples / np.float32(255), opacity=grey, metadata=metadata)
            save_image(image, folder / f"a{name}", Encoding(bits=bits))
            files[f"saved {bits} {samples.shape[2]}{name}"] = (folder / f"a{name}").read_bytes()

    def pillow(kind: str, shown: PIL.Image.Image = picture, **options) -> None:
        stream = io.BytesIO()
        shown.save(stream, kind, **options)
        files[f"{kind} {shown.mode} {sorted(options)}"] = stream.getvalue()

    pillow("JPEG", progressive=True, exif=exif)
    pillow("JPEG", picture.convert("CMYK"))
    pillow("PNG", picture.convert("P"))
    pillow("PNG", picture.convert("1"))
    pillow("PNG", save_all=True, append_images=[picture.rotate(90)])
    pillow("GIF", picture.convert("P"), save_all=True, append_images=[picture.convert("P").rotate(90)])
    pillow("WEBP", quality=60)
    pillow("WEBP", save_all=True, append_images=[picture.rotate(90)])
    pillow("AVIF", exif=exif)
    pillow("PPM")
    pillow("PPM", picture.convert("1"))
    pillow("JPEG2000", quality_mode="rates", quality_layers=[4])
    pillow("BMP", picture.convert("P"))

    for options in (
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"compression": "jpeg", "tile": (16, 16)},
        {"compression": "zstd"},
        {"compression": "packbits", "bigtiff": True},
        {"compression": "jpegxl"},
        {"compression": "jpeg2000"},
        {"compression": "webp"},
        {"planarconfig": "separate"},
        {"rowsperstrip": 2, "byteorder": ">"},
    ):
        stream = io.BytesIO()
        samples = np.moveaxis(colour, -1, 0) if "planarconfig" in options else colour
        tifffile.imwrite(stream, samples, photometric="rgb", **options)
        files[f"TIFF {options}"] = stream.getvalue()
    for options in (
        {"imagej": True},
        {"ome": True},
        {"truncate": True},
        {"volumetric": True, "tile": (2, 16, 16), "compression": "zlib"},
        {"planarconfig": "separate", "compression": "zlib"},
        {"planarconfig": "contig", "compression": "png", "rowsperstrip": 1},
    ):
        stream = io.BytesIO()
        stack = np.stack([grey] * 3, axis=-1 if options.get("planarconfig") == "contig" else 0)
        tifffile.imwrite(stream, stack, photometric="minisblack", **options)
        files[f"TIFF {options}"] = stream.getvalue()

    files["JPEG 12"] = imagecodecs.jpeg8_encode(deep // 16, bitspersample=12)
    files["JP2 16"] = imagecodecs.jpeg2k_encode(deep, level=0, codecformat="jp2")
    files["J2K 8"] = imagecodecs.jpeg2k_encode(grey, level=0, codecformat="j2k")
    files["JXL 8"] = imagecodecs.jpegxl_encode(colour, lossless=True)
    files["JXL lossy"] = imagecodecs.jpegxl_encode(np.dstack([colour, grey]), level=80)
    files["JXL 16"] = imagecodecs.jpegxl_encode(deep, lossless=True)
    files["AVIF 10"] = imagecodecs.avif_encode(deep // 64, bitspersample=10)
    clear = np.dstack([deep, deep[..., :1]])
    files["AVIF 12 opacity"] = imagecodecs.avif_encode(clear // 16, bitspersample=12)
    files["JP2 12 opacity"] = imagecodecs.jpeg2k_encode(clear // 16, level=0, bitspersample=12, codecformat="jp2")
    files["JXL 12 opacity"] = imagecodecs.jpegxl_encode(clear // 16, lossless=True, bitspersample=12)
    floats = colour.astype(np.float32)
    files["PFM"] = cv2.imencode(".pfm", floats)[1].tobytes()
    files["PGM 16"] = b"P5\n31 24\n65535\n" + deep[..., 0].astype(">u2").tobytes()
    files["PGM text"] = b"P2\n31 24\n4095\n" + " ".join(map(str, (deep[..., 0] // 16).ravel())).encode()
    stream = io.BytesIO()
    np.save(stream, floats)
    files["NPY"] = stream.getvalue()
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(np.stack([deep] * 4)))
    files["NPY stack"] = stream.getvalue()
    cards = {"SIMPLE": "T", "BITPIX": -32, "NAXIS": 2, "NAXIS1": 31, "NAXIS2": 24}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    files["FITS"] = head.ljust(2880).encode() + floats[..., 0].astype(">f4").tobytes().ljust(5760, b"\0")
    try:
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(picture.resize((64, 64))).save(stream, quality=90, exif=b"Exif\0\0" + block)
        files["HEIC"] = stream.getvalue()
    except (ImportError, RuntimeError):
        pass
    files["RAW"] = write_dng(folder / "a.dng", rng.integers(200, 4096, (64, 48))).read_bytes()
    return files


BIG = 60000


def resized(data: bytes, after: bytes, skip: int, form: str, *sides: int) -> bytes:
    """The data with other numbers behind the place where `after` ends and `skip` bytes more."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(after) + len(after) + skip, *(sides or (BIG, BIG)))
    return bytes(changed)


def bombs() -> dict[str, bytes]:
    """Files of a few kilobytes that claim a size of gigabytes, by their own header or by one inside."""
    small = np.zeros((64, 64, 3), np.uint8)
    made: dict[str, bytes] = {}

    def pillow(kind: str, **options) -> bytes:
        stream = io.BytesIO()
        PIL.Image.fromarray(small).save(stream, kind, **options)
        return stream.getvalue()

    def tiff(compression: str | None) -> bytes:
        stream = io.BytesIO()
        tifffile.imwrite(stream, small, photometric="rgb", compression=compression)
        return stream.getvalue()

    def codestream(data: bytes) -> bytes:  # the size of JPEG 2000, and that of its tiles
        data = resized(data, b"\xff\x4f\xff\x51", 4, ">II")
        return resized(data, b"\xff\x4f\xff\x51", 20, ">II")

    # All is as usual, and both sides have 30 bits.
    jxl = f"{BIG - 1:030b}", f"{BIG - 1:030b}"
    bits = "0" + "11" + jxl[0][::-1] + "000" + "11" + jxl[1][::-1] + "1" + "0" * 400
    made["JXL"] = jxl_bytes = b"\xff\x0a" + np.packbits([int(bit) for bit in bits], bitorder="little").tobytes()
    made["PNG"] = resized(pillow("PNG"), b"IHDR", 0, ">II")
    image = bytearray(made["PNG"])
    mend_checksums(image)
    made["PNG"] = bytes(image)
    made["JPEG"] = resized(pillow("JPEG"), b"\xff\xc0", 3, ">HH")
    made["JPEG 12"] = resized(
        imagecodecs.jpeg8_encode(small.astype(np.uint16), bitspersample=12), b"\xff\xc1", 3, ">HH"
    )
    made["GIF"] = resized(pillow("GIF"), b"GIF87a", 0, "<HH")
    made["GIF inside"] = resized(pillow("GIF"), b"\x2c", 4, "<HH")
    made["BMP"] = resized(pillow("BMP"), b"BM", 16, "<ii")
    # The largest that WebP can claim.
    made["WEBP lossless"] = resized(pillow("WEBP", lossless=True), b"VP8L", 5, "<I", 16382 | 16382 << 14)
    made["WEBP"] = resized(pillow("WEBP"), b"\x9d\x01\x2a", 0, "<HH", 16383, 16383)
    several = pillow("WEBP", save_all=True, append_images=[PIL.Image.new("RGB", (64, 64), "red")])
    made["WEBP canvas"] = resized(several, b"VP8X", 8, "<HHH", 0xFFFF, 0xFF00, 0xFFFF)
    made["AVIF"] = resized(pillow("AVIF"), b"ispe", 4, ">II", 16000, 16000)
    for kind in ("jp2", "j2k"):
        made[kind] = codestream(imagecodecs.jpeg2k_encode(small, level=0, codecformat=kind))
    made["jp2 16"] = codestream(imagecodecs.jpeg2k_encode(small.astype(np.uint16), level=0, codecformat="jp2"))
    made["jp2 box"] = resized(imagecodecs.jpeg2k_encode(small, level=0, codecformat="jp2"), b"ihdr", 0, ">II")
    for letter in ("P2", "P3", "P5", "P6", "Pf", "PF"):
        last = "-1.0" if letter in ("Pf", "PF") else "65535"
        made[letter] = f"{letter}\n{BIG} {BIG}\n{last}\n".encode() + bytes(3000)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (BIG, BIG)})
    made["NPY"] = stream.getvalue() + bytes(3000)
    cards = {"SIMPLE": "T", "BITPIX": -32, "NAXIS": 2, "NAXIS1": BIG, "NAXIS2": BIG}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END"
    made["FITS"] = head.ljust(2880).encode() + bytes(2880)
    for compression in (None, "zlib", "zstd", "lzw", "packbits"):
        data = bytearray(tiff(compression))
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
            for tag in (256, 257, 278):
                field = opened.pages.first.tags[tag]
                struct.pack_into("<H" if field.dtype == 3 else "<I", data, field.valueoffset, BIG)
        made[f"TIFF {compression}"] = bytes(data)
    made["TIFF of JPEG"] = resized(tiff("jpeg"), b"\xff\xc0", 3, ">HH")
    made["TIFF of JPEG 2000"] = codestream(tiff("jpeg2000"))
    made["TIFF of JPEG XL"] = tiff("jpegxl")
    at = made["TIFF of JPEG XL"].index(b"\xff\x0a")
    made["TIFF of JPEG XL"] = made["TIFF of JPEG XL"][:at] + jxl_bytes + bytes(300)
    made["TIFF of WEBP"] = resized(tiff("webp"), b"VP8L", 5, "<I", 16382 | 16382 << 14)
    try:
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(PIL.Image.fromarray(small)).save(stream, quality=90)
        made["HEIC"] = resized(stream.getvalue(), b"ispe", 4, ">II")
    except (ImportError, RuntimeError):
        pass
    return made


NUMBERS = [0, 1, 255, 256, 32767, 32768, 60000, 65535, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def damaged(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """One to six changes, half of them among the first bytes, where the headers are."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 7)):
        if not changed:
            break
        reach = min(len(changed), 300) if rng.random() < 0.5 else len(changed)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 40))
        match int(rng.integers(8)):
            case 0:
                changed[at] = rng.integers(256)
            case 1:
                changed[at] ^= 1 << int(rng.integers(8))
            case 2:
                number = NUMBERS[rng.integers(len(NUMBERS))]
                changed[at : at + 4] = struct.pack("<I" if rng.random() < 0.5 else ">I", number)
            case 3:
                number = NUMBERS[rng.integers(8)]
                changed[at : at + 2] = struct.pack("<H" if rng.random() < 0.5 else ">H", number)
            case 4:
                del changed[at : at + length]
            case 5:
                changed[at:at] = changed[at : at + length]
            case 6:
                changed[at : at + length] = rng.bytes(length)
            case 7:
                if rng.random() < 0.5:
                    del changed[at:]
                else:
                    other = others[rng.integers(len(others))]
                    changed[at:] = other[int(rng.integers(len(other))) :]
    if changed[:4] == b"\x89PNG" and rng.random() < 0.7:
        mend_checksums(changed)
    return bytes(changed)


def mend_checksums(data: bytearray) -> None:
    """Make the chunks of a PNG agree with their checksums, or no change would get beyond them."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


def peak_bytes() -> int:
    """The most memory that this process has held."""
    if sys.platform == "linux":
        # Not what getrusage says: there a child begins with what its parent held when it was started.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def open_bombs(folder: Path) -> None:
    """Open all bombs, and print as JSON what was said, and how many bytes each took."""
    path, found = folder / "a.bin", {}
    made = bombs()
    path.write_bytes(b"no picture")
    with contextlib.suppress(ImageError):
        load_image(path)
    for name, data in made.items():
        path.write_bytes(data)
        before = peak_bytes()
        try:
            load_image(path)
            said = "opened"
        except ImageError as error:
            said = str(error)
        found[name] = said, peak_bytes() - before, len(data)
    sys.stdout.write(json.dumps(found))


def camera_files(folder: Path, largest: int) -> dict[str, bytes]:
    """The files of cameras below a folder up to a size, sound and broken ones."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in RAW]
    return {path.name: path.read_bytes() for path in found if path.stat().st_size <= largest}


def open_damaged(folder: Path, first: int, count: int, cameras: str = "") -> None:
    """Open so many damaged files and print what became of them as JSON; the one at work lies in the folder.

    Args:
        folder: for it.
        first: number of the damage.
        count: of files.
        cameras: the folder of those that are damaged; "" for small files of every type.
    """
    if sys.platform == "linux":
        import resource

        # A file that would take all memory shall not take that of others; what it then says is found by its words.
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + (6 << 30),) * 2)
    whole = camera_files(Path(cameras), 1 << 20 if count < 500 else 1 << 25) if cameras else whole_files(folder)
    names, contents = list(whole), list(whole.values())
    path = folder / "a.bin"
    opened, wrong, slowest = 0, [], (0.0, "")
    peak = peak_bytes()
    for content in contents:
        path.write_bytes(content)
        with contextlib.suppress(ImageError) if cameras else contextlib.nullcontext():
            load_image(path)
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        which = int(rng.integers(len(names)))
        if cameras:
            path = folder / f"a.bin{Path(names[which]).suffix}"
        path.write_bytes(damaged(contents[which], contents, rng))
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        start = time.perf_counter()
        said = ""
        try:
            load_image(path)
            opened += 1
        except ImageError as error:
            said = str(error)
            if "\n" in said or "a.bin" not in said or len(said) > 400 or "more memory" in said:
                wrong.append(f"{index} {names[which]}: {said!r}")
        except Exception as error:  # noqa: BLE001  # exactly what must not happen is looked for
            wrong.append(f"{index} {names[which]}: {error!r}")
        faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, (time.perf_counter() - start, f"{index} {names[which]}"))
        if peak_bytes() > peak + (256 << 20):
            peak = peak_bytes()
            sys.stderr.write(f"{index} {names[which]}: {peak >> 20} MB {said}\n")
    sys.stdout.write(json.dumps({"opened": opened, "wrong": wrong, "slowest": slowest, "peak": peak_bytes()}))


def in_a_child(folder: Path, *arguments: str) -> tuple[dict, str]:
    """What a process of its own printed, and what it said on the way."""
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", "-m", "tests.test_fuzz", str(folder), *arguments]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, f"the file is {folder / 'a.bin'}: {child.stderr[-3000:]}"
    return json.loads(child.stdout), child.stderr[-3000:]


@pytest.mark.timeout(0 if COUNT > 5000 else 120)
def test_no_damaged_file_crashes_hangs_or_fills_the_memory(tmp_path):
    found, said = in_a_child(tmp_path, "0", str(COUNT))
    assert found["wrong"] == []
    assert found["slowest"][0] < LONGEST_S
    assert found["peak"] < MOST_BYTES, said
    # Most must fail, or the damage does not reach what it is meant to; some must not, or it is too coarse.
    assert 0.1 * COUNT < found["opened"] < 0.5 * COUNT


@pytest.mark.slow
@pytest.mark.timeout(0 if COUNT > 5000 else 120)
def test_no_damaged_file_of_a_camera_crashes_hangs_or_fills_the_memory(data, tmp_path):
    found, said = in_a_child(tmp_path, "0", str(COUNT // 20), str(data / "raw"))
    assert found["wrong"] == []
    assert found["slowest"][0] < LONGEST_S
    assert found["peak"] < MOST_BYTES, said
    assert found["opened"] < 0.8 * (COUNT // 20)


def test_a_few_kilobytes_that_claim_gigabytes_are_refused_before_memory_is_touched(tmp_path):
    found, _ = in_a_child(tmp_path)
    assert len(found) >= 30
    # Not left to the decoder, which may take memory by either.
    assert "contradict" in found["jp2 16"][0]
    for name, (said, taken, size) in found.items():
        assert said.startswith("a.bin "), (name, said)
        assert "more memory" not in said, (name, said)
        assert taken < 64 << 20, (name, said, taken)
        assert size < 20_000, name


@pytest.mark.parametrize("kind", ["WEBP", "WEBP lossless", "WEBP canvas"])
def test_pillow_which_takes_memory_when_it_opens_a_webp_never_sees_a_bomb(tmp_path, monkeypatch, kind):
    (tmp_path / "a.webp").write_bytes(bombs()[kind])
    monkeypatch.setattr("engine.photos.open_pillow", lambda _: pytest.fail("it was opened"))
    with pytest.raises(ImageError, match="pixels"):
        load_image(tmp_path / "a.webp")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        open_bombs(Path(sys.argv[1]))
    else:
        open_damaged(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
