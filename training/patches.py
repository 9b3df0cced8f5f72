"""Pictures of a folder in memory, all or a changing part, and patches of them: at random, or of a published grid."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import math
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import torch
from torch import Tensor

from engine.color import to_grey, to_rgb
from engine.corruption import Corruption, rng_for
from engine.image import ImageError, find_images, load_image
from engine.language import tr
from engine.method import Batch
from engine.noise import Line, NoiseError, NoiseReport, estimate_noise, on_line
from engine.pairs import is_reference
from engine.photos import open_pillow
from engine.reading import foreign_errors
from training.job import TrainError, TrainJob

_WINDOW = 256
_HELD_OUT, _HELD_OUT_SIDE = 16, 512
_MEASURED = 2_000_000  # pixels; sigma of whole camera pictures is within 3 % of that from twice as many
# Seconds of one core that reading takes: constants, so that the same job has the same pictures on any machine.
_DECODING, _ADDING = 0.025, 0.1  # a megapixel; adding noise
_MEASURING = (0.1, 0.2)  # its noise; and a megapixel that is looked at
_START_S = 24.0  # of reading before the first step
_READERS = 2  # at the start, where there is memory for it
_READING = 0.25  # of a core while it learns
_FASTEST = 6400  # patches a second, where nothing tells how fast the run is
_DECODED = 24  # bytes a pixel that decoding needs for a while
_SIZED = 200  # pictures whose size is looked up to tell that of all
_PATIENCE_S = 60.0
_HELD = -1  # in place of how often a picture was read before, for the part that is judged on


@dataclass(frozen=True, eq=False)
class Picture:
    """One training picture, or a window of one.

    Attributes:
        name: of its file below the job's folder; a picture's windows and its smaller versions share it.
        pixels: (H, W, c), c = 1 or 3: as the file holds them, or float32 with noise put on.
        sigma: its noise level in the trained range.
        report: how that was measured.
        levels: what maps to the trained range [0, 1], in units of `pixels`.
        channels: of its patches, 1 or 3; None for as many as the pixels have.
        is_window: whether there is more of it in the file.
        bits: of the file's samples, where they are integers and `pixels` are not yet; see `_packed`.
    """

    name: str
    pixels: np.ndarray
    sigma: float
    report: NoiseReport | None = None
    levels: tuple[float, float] = (0.0, 1.0)
    channels: int | None = None
    bits: int | None = None
    is_window: bool = False

    @property
    def unit_levels(self) -> tuple[float, float]:
        """The levels where 1 is the file type's white, whatever `pixels` are kept as."""
        white = np.iinfo(self.pixels.dtype).max if self.pixels.dtype.kind == "u" else 1
        return self.levels[0] / white, self.levels[1] / white

    def cut(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A part, (height, width, C) float32 in the trained range; it may be a view."""
        part = self.pixels[top : top + height, left : left + width]
        black, white = self.levels
        if part.dtype != np.float32 or self.levels != (0, 1):
            part = (part.astype(np.float32) - black) / (white - black)
        return part if self.channels is None else to_grey(part) if self.channels == 1 else to_rgb(part)


class Pool(Sequence[Picture]):
    """The pictures of a job that are in memory: all of a small folder, of a larger one a part that changes.

    It never holds more than the job's budget, and reads no longer before the first step than is bearable. The part is
    settled by job, seed and step alone, so it is the same in a run that was resumed. Where the noise is the pictures'
    own, those whose names say that they are clean twins (`pairs.is_reference`) are left out. TrainError if no picture
    can be used; one of many is passed over with a warning, also while it learns. Close it at the end: it reads ahead.

    Args:
        job: the run.
        part: number and count of the processes that share the work; each takes its part of a folder that is large.

    Attributes:
        job: its `minutes` and `steps` tell how fast the run is, so how often the part can change: set it once they are
            settled.
        kept_out: names of all pictures that are not learned from but judged on.
        held_out: pictures to judge on, or windows of them, which are never learned from.
        warnings: sentences for the user; whoever reads them clears them.
    """

    def __init__(self, job: TrainJob, part: tuple[int, int] = (0, 1)) -> None:
        number, count = part
        self.job = job
        self.warnings: list[str] = []
        self._paths = _usable(job)
        self._unusable: dict[str, str] = {}
        self._reports: dict[str, NoiseReport] = {}
        self._ahead: dict[tuple[str, int], Future[list[Picture]]] = {}
        self._threads: list[threading.Thread] = []
        self._is_late = False
        sizes = _megapixels([self._paths[name] for name in _shuffled(self._paths, job.seed)[:_SIZED]])
        self._cost = statistics.mean(_cost(size, job) for size in sizes)
        budget = (job.budget_mb << 20) // count // (2 if job.clean else 1)
        # What decoding needs beside the pixels that are kept.
        decoding = int(_DECODED * 1e6 * max(sizes))
        self._readers = _READERS if _READERS * decoding <= budget // 2 else 1
        budget -= min(budget // 2, self._readers * decoding)
        self.kept_out = kept_out = _kept_out(self._paths, job)
        self.held_out = self._hold_out(kept_out)
        budget -= _nbytes(self.held_out)
        self._names = [name for name in self._paths if name not in kept_out]
        self._order = self._names
        window = 12 * _least_side(job) ** 2 * len(job.scales)
        most, at_start = (
            len(self._names) if job.stride else max(1, min(budget // window - 1, max(4, int(seconds / self._cost))))
            for seconds in (_START_S / count, _START_S / count - self._cost * len(self.held_out))
        )
        if len(self._names) > at_start:
            self._order = _shuffled(self._names, job.seed)[number::count]
        self._first, self._size = min(at_start, len(self._order)), min(most, len(self._order))
        self._share = budget // (self._size + 1)
        self._present: dict[int, list[Picture]] = {}  # by position, the oldest first
        self._next = 0  # position that is read next: number in the order, which is gone through over and over
        self._pictures: list[Picture] = []
        if self._first == len(self._order):
            self.turn(0)

    def __len__(self) -> int:
        return len(self._in_memory())

    def __getitem__(self, index: Any) -> Any:
        return self._in_memory()[index]

    def _in_memory(self) -> list[Picture]:
        if not self._pictures:
            self.turn(0)
        return self._pictures

    @property
    def count(self) -> int:
        """Pictures to learn from, in memory or not, without those that are known to be unusable."""
        return len([name for name in self._names if name not in self._unusable])

    @property
    def is_whole(self) -> bool:
        """Whether all pictures are in memory from the beginning, and stay there."""
        return self._first >= len(self._order) and len(self) > 0 and not self._goes_on

    @property
    def noise_levels(self) -> tuple[float, float] | None:
        """Least and greatest deviation of the pictures that were measured so far; None where none was."""
        levels = [report.sigma for report in self._reports.values()]
        return (min(levels), max(levels)) if levels else None

    @property
    def nbytes(self) -> int:
        """Of all pixels that it holds, those that were read ahead too."""
        ahead = [future.result() for future in self._ahead.values() if future.done() and not future.exception()]
        return _nbytes(self.held_out) + sum(_nbytes(pictures) for pictures in [*self._present.values(), *ahead])

    @property
    def every(self) -> int:
        """Steps from one change to the next, so many that reading does not hold up the learning."""
        job = self.job
        if job.steps and job.minutes:
            return max(1, math.ceil(self._cost * job.steps / (60 * job.minutes) / _READING))
        return max(1, math.ceil(self._cost * _FASTEST / job.batch))

    def turn(self, step: int, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Have the pictures of that step in memory, and begin to read the next; steps may come in any order.

        Where they cannot be had within a minute, or `should_stop` says so, those that are in memory stay.
        """
        target = self._first + step // self.every
        if not self._goes_on:
            self._have(min(target, len(self._order)), should_stop)
        if self._goes_on:
            self._have(target, should_stop)

    @property
    def _goes_on(self) -> bool:
        """Whether there is more to learn from than can be in memory, as far as is known."""
        is_part = self._size < len(self._order) or any(picture.is_window for picture in self._pictures)
        return is_part and not self.job.stride

    def _have(self, target: int, should_stop: Callable[[], bool]) -> None:
        """Have the newest pictures before a position in memory, and begin to read the one that is there."""
        if self._present and target == self._next:
            return
        if not self._present or not self._next < target <= self._next + self._size:
            self._begin_anew(target, should_stop)
        while self._next < target:
            pictures = self._read(self._key(self._next), should_stop)
            if pictures is None:
                return
            if pictures:
                self._put(self._next, pictures)
            self._next += 1
        following = self._key(self._next)
        self._ahead = {key: future for key, future in self._ahead.items() if key == following}
        if self._goes_on or self._next < len(self._order):
            self._begin(following)

    def close(self) -> None:
        """End the reading; a thread that hangs on a drive that is gone is left behind after some seconds."""
        self._ahead.clear()
        end = time.monotonic() + 5
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _hold_out(self, names: Sequence[str]) -> list[Picture]:
        """The pictures to judge on: the first that can be used, the middle of those that are large."""
        found: list[Picture] = []
        taken = 0
        for index, name in enumerate(names):
            for other in names[index : index + self._readers]:
                self._begin((other, _HELD))
            pictures = self._read((name, _HELD))
            found += pictures or []
            taken += bool(pictures)
            if taken == _HELD_OUT:
                break
        self._ahead.clear()
        if names and not found:
            raise self._failure(names)
        return found

    def _key(self, position: int) -> tuple[str, int]:
        """The picture at a position, and how often all have been read before."""
        times, index = divmod(position, len(self._order))
        return self._order[index], times

    def _put(self, position: int, pictures: list[Picture]) -> None:
        """Take the newest picture, and let go of an older copy of it or of the oldest of all."""
        kept = {key: old for key, old in self._present.items() if old[0].name != pictures[0].name}
        while len(kept) >= self._size:
            del kept[next(iter(kept))]
        self._present = kept | {position: pictures}
        self._pictures = [picture for present in self._present.values() for picture in present]

    def _begin_anew(self, target: int, should_stop: Callable[[], bool]) -> None:
        """Have the newest usable pictures before a position, as if all had been read in turn up to there."""
        before = [*range(target - 1, max(-1, target - 1 - len(self._order)), -1)]
        # Only where none of the first can be used, those after them.
        wanted = [*before, *range(target, len(self._order))]
        self._present = {key: old for key, old in self._present.items() if key in before[: self._size]}
        self._pictures = []
        found: dict[int, list[Picture]] = {}
        for index, position in enumerate(wanted):
            if len(found) == self._size or (found and position >= target):
                break
            for other in wanted[index : index + self._readers]:
                if other not in self._present:
                    self._begin(self._key(other))
            pictures = self._present.get(position)
            if pictures is None:
                pictures = self._read(self._key(position), should_stop if found else lambda: False)
            if pictures is None:
                break
            if pictures:
                found[position] = pictures
        if not found:
            raise self._failure(self._paths)
        self._present, self._next = dict(sorted(found.items())), target
        self._pictures = [picture for position in self._present for picture in found[position]]

    def _failure(self, names: Collection[str]) -> TrainError:
        """Why none of these pictures is there."""
        if self._is_late:
            return TrainError(
                tr("{data} has not answered for {seconds:.0f} s; connect it again").format(
                    data=self.job.data, seconds=_PATIENCE_S
                )
            )
        return _none_usable(self.job, len(names), [self._unusable[name] for name in names if name in self._unusable])

    def _begin(self, key: tuple[str, int]) -> None:
        """Read that picture on a thread, if that has not begun yet."""
        if key in self._ahead:
            return
        future: Future[list[Picture]] = Future()
        self._ahead[key] = future

        def read() -> None:
            try:
                future.set_result(self._loaded(*key))
            except Exception as error:  # noqa: BLE001 - it is raised where the picture is waited for
                future.set_exception(error)

        # A daemon: what hangs on a drive that is gone must not keep the process.
        thread = threading.Thread(target=read, name="picture reader", daemon=True)
        self._threads = [*(thread for thread in self._threads if thread.is_alive()), thread]
        thread.start()

    def _read(self, key: tuple[str, int], should_stop: Callable[[], bool] = lambda: False) -> list[Picture] | None:
        """The picture when it is there; [] where it cannot be used, None where it does not come."""
        self._begin(key)
        future = self._ahead[key]
        # Who did not answer once is not waited for again.
        end = time.monotonic() + (0 if self._is_late else _PATIENCE_S)
        while not future.done():
            if should_stop():
                return None
            if time.monotonic() > end:
                if not self._is_late:
                    self.warnings.append(
                        tr(
                            "{data} has not answered for {seconds:.0f} s; what is in memory is learned from meanwhile"
                        ).format(data=self.job.data, seconds=_PATIENCE_S)
                    )
                self._is_late = True
                return None
            concurrent.futures.wait([future], 0.2)
        self._is_late = False
        del self._ahead[key]
        name = key[0]
        try:
            pictures = future.result()
        except (ImageError, NoiseError, MemoryError) as error:
            if name not in self._unusable:
                self.warnings.append(tr("{name} is left out: {error}").format(name=name, error=error))
            self._unusable[name] = str(error)
            return []
        self._unusable.pop(name, None)
        if pictures[0].report is not None:
            self._reports[name] = pictures[0].report
        return pictures

    def _loaded(self, name: str, times: int) -> list[Picture]:
        """The pictures of one file as they are kept, on whichever thread."""
        pictures = _load(self._paths[name], name, self.job, self._reports.get(name))
        if times == _HELD:
            return [_packed(_middle(picture, max(_HELD_OUT_SIDE, self.job.patch))) for picture in pictures]
        share = self._share // len(pictures)
        return [_packed(_within(picture, share, self.job, times)) for picture in pictures]


def load_pictures(job: TrainJob) -> list[Picture]:
    """All usable pictures of the job's folder at once; TrainError says why there are none.

    With `job.noise` and not `job.fresh`, the noise is added here, once: no later step can reach a clean pixel. Of
    `job.scales` each makes a picture of its own, with noise of its own. Of a folder larger than the budget a window of
    each picture is given, the same for the same seed.
    """
    pictures, refused = [], []
    paths = _usable(job)
    for name, path in paths.items():
        try:
            share = (job.budget_mb << 20) // len(paths) // len(job.scales)
            pictures += [_packed(_within(picture, share, job)) for picture in _load(path, name, job)]
        except (ImageError, NoiseError) as error:
            refused.append(str(error))
    if not pictures:
        raise _none_usable(job, len(paths), refused)
    return pictures


def load_clean(job: TrainJob) -> list[Picture]:
    """The unpaired clean pictures of the job, if it has any."""
    if job.clean is None:
        return []
    job = replace(job, data=job.clean, noise="gaussian:0", fresh=True, target=None, clean=None, leave_out=())
    return load_pictures(replace(job, budget_mb=max(64, job.budget_mb // 2)))


def _usable(job: TrainJob) -> dict[str, Path]:
    """The pictures of the job's folder that are to be used, by their names below it; cameras repeat file names."""
    paths = find_images([Path(job.data)], recursive=job.recursive)
    if job.noise is None and paths:
        paths = [path for path in paths if not is_reference(path)]
        if not paths:
            raise TrainError(
                tr("All pictures in {data} are clean ones by their names; give the noisy ones").format(data=job.data)
            )
    names = {path.relative_to(job.data).as_posix(): path for path in paths}
    used = {name: path for name, path in names.items() if name not in set(job.leave_out)}
    if not used:
        raise _none_usable(job, len(names), [tr("it is left out")] if names else [])
    return used


def _none_usable(job: TrainJob, count: int, refused: Sequence[str]) -> TrainError:
    return TrainError(
        (
            tr("None of the {count} pictures in {folder} can be used; the first: {reason}")
            if refused
            else tr("None of the {count} pictures in {folder} can be used; expected pictures such as PNG, JPEG or TIFF")
        ).format(count=count, folder=job.data, reason=next(iter(refused), ""))
    )


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """In an order of the seed's, which stays where a name is missing."""
    return sorted(names, key=lambda name: hashlib.blake2b(f"{seed}/{name}".encode()).digest())


def _kept_out(names: Collection[str], job: TrainJob) -> list[str]:
    """The names that are not learned from, shuffled: those of the job, or its share of all."""
    if job.held_out:
        chosen = sorted(set(job.held_out) & set(names))
        if not chosen:
            raise TrainError(tr("None of the pictures to hold out is in {data}").format(data=job.data))
    elif job.hold_out:
        chosen = sorted(names)
    else:
        return []
    if len(names) < 2:
        raise TrainError(tr("To hold some pictures out, there must be two at least"))
    if job.held_out and len(chosen) == len(names):
        raise TrainError(tr("All pictures are held out: nothing is left to learn from; hold fewer out"))
    if not job.held_out:
        count = min(max(1, round(job.hold_out * len(names))), len(names) - 1)
        chosen = [chosen[index] for index in rng_for(job.seed, "held out").permutation(len(chosen))[:count]]
    return _shuffled(chosen, job.seed)


def _megapixels(paths: Sequence[Path]) -> list[float]:
    """Of those of the pictures whose first bytes tell; else of a usual one."""
    found = []
    for path in paths:
        with contextlib.suppress(ImageError), foreign_errors(path, ""), path.open("rb") as file:
            if path.suffix.lower() in (".tif", ".tiff"):
                page: Any = tifffile.TiffFile(file, name=path.name).pages.first
                found.append(page.imagewidth * page.imagelength / 1e6)
            else:
                with open_pillow(file) as picture:
                    found.append(picture.width * picture.height / 1e6)
    return found or [24.0]


def _cost(megapixels: float, job: TrainJob) -> float:
    """Seconds that reading one picture takes, about."""
    seconds = _DECODING * megapixels
    if not job.noise:
        return seconds + _MEASURING[0] + _MEASURING[1] * min(megapixels, _MEASURED / 1e6)
    return seconds + _ADDING * megapixels * sum(scale**2 for scale in job.scales)


def _load(path: Path, name: str, job: TrainJob, report: NoiseReport | None = None) -> list[Picture]:
    """A picture at each of the job's scales, not `_packed` yet; ImageError or NoiseError if it cannot be used.

    The report is measured where it is not given.
    """
    image = load_image(path)
    if int(min(image.height, image.width) * min(job.scales)) < job.patch:
        raise ImageError(tr("{name} is smaller than a patch of {patch} pixels").format(name=path.name, patch=job.patch))
    if job.sides and not all(job.sides[0] <= side <= job.sides[1] for side in (image.height, image.width)):
        raise ImageError(
            tr("{name} has a side that is not {least} to {most} pixels").format(
                name=path.name, least=job.sides[0], most=job.sides[1]
            )
        )
    whole = Picture(
        name, image.pixels, 0.0, None, image.levels, 1 if job.grey else 3, None if image.is_float else image.bits
    )
    if not job.noise:
        if report is None:
            report = estimate_noise(whole.cut(0, 0, image.height, image.width), _MEASURED)
        return [replace(whole, sigma=report.sigma, report=report)]
    corruption = Corruption.parse(job.noise)
    pixels = whole.cut(0, 0, image.height, image.width)
    pictures = []
    for scale in job.scales:
        version, sigma = _rescaled(pixels, scale), 0.0
        if not (job.fresh or job.target):
            own = path.stem if scale == 1 else f"{path.stem}@{scale:g}"
            version, sigma = corruption.apply(version, rng_for(job.seed, own))
        pictures.append(Picture(name, version, sigma))
    return pictures


def load_noisy(job: TrainJob, name: str) -> tuple[np.ndarray, float | None]:
    """One picture of the job's folder as it is learned from, (H, W, C) in the trained range, whole.

    And its noise level where the job put the noise on it, else None; ImageError if it cannot be read.
    """
    image = load_image(Path(job.data) / name)
    black, white = image.levels
    pixels = in_channels((image.pixels - black) / (white - black), job)
    if not job.noise:
        return pixels, None
    return Corruption.parse(job.noise).apply(pixels, rng_for(job.seed, Path(name).stem))


def _packed(picture: Picture) -> Picture:
    """With the samples of its file where those are integers: a quarter or half of the memory."""
    if picture.bits is None:
        return picture
    white = (1 << picture.bits) - 1
    pixels = np.multiply(picture.pixels, np.float32(white), out=picture.pixels)
    samples = np.rint(pixels, out=pixels).astype(np.uint8 if picture.bits == 8 else np.uint16)
    black, top = picture.levels
    return replace(picture, pixels=samples, levels=(black * white, top * white), bits=None)


def _within(picture: Picture, share: int, job: TrainJob, times: int = 0) -> Picture:
    """The picture, or a window of it that fits into `share` bytes, another one each time."""
    height, width, channels = picture.pixels.shape
    area = share * 8 // (channels * (picture.bits or 32))
    if height * width <= area:
        return picture
    least = _least_side(job)
    high = min(height, max(least, math.isqrt(area)))
    wide = min(width, max(least, area // high))
    high = min(height, max(least, area // wide))
    rng = rng_for(job.seed, f"{picture.name} {times}" if times else picture.name)
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    return _window(picture, top, left, high, wide)


def _least_side(job: TrainJob) -> int:
    """Of a window, or there would be little choice of patches in it."""
    return max(_WINDOW, 2 * job.patch)


def _middle(picture: Picture, side: int) -> Picture:
    """The picture, or a square of its middle."""
    height, width = picture.pixels.shape[:2]
    high, wide = min(side, height), min(side, width)
    if (high, wide) == (height, width):
        return picture
    return _window(picture, (height - high) // 2, (width - wide) // 2, high, wide)


def _window(picture: Picture, top: int, left: int, height: int, width: int) -> Picture:
    # A copy, or the whole picture would stay in memory behind it.
    pixels = picture.pixels[top : top + height, left : left + width].copy()
    return replace(picture, pixels=pixels, is_window=True)


def _nbytes(pictures: Iterable[Picture]) -> int:
    return sum(picture.pixels.nbytes for picture in pictures)


def in_channels(pixels: np.ndarray, job: TrainJob) -> np.ndarray:
    """(H, W, C) as the job's network takes it: luminance or RGB."""
    return to_grey(pixels) if job.grey else to_rgb(pixels)


def _rescaled(pixels: np.ndarray, scale: float) -> np.ndarray:
    """The picture in a smaller size, bicubic without smoothing, sides rounded down, as the published sets are made."""
    if scale == 1:
        return pixels
    height, width = (int(side * scale) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, -1)


class Sampler:
    """Draws batches; with the same generator state it draws the same ones.

    Args:
        pictures: the job's, or its pool.
        job: the run.
        clean: unpaired clean pictures, for stages that learn from them.

    Attributes:
        line: how the noise of all pictures grows with brightness; None for each picture's own.
        places: (n, 3) number of the picture, top and left of each patch of the grid; None where there is no grid.
    """

    def __init__(self, pictures: Sequence[Picture], job: TrainJob, clean: Sequence[Picture] = ()) -> None:
        self.pictures, self.job, self.clean = pictures, job, clean
        self.line: Line | None = None
        self.corruption = Corruption.parse(job.noise) if job.noise and (job.fresh or job.target) else None
        self.places = _places(pictures, job.patch, job.stride) if job.stride else None
        self._order = rng_for(job.seed, "batches").permutation(0 if self.places is None else len(self.places))

    def batch(self, rng: np.random.Generator) -> Batch:
        """Patches (B, C, h, w) and their sigma (B, 1, 1, 1), flipped and turned at random unless they are of a grid.

        White noise has no direction, so all eight orientations are fair.
        """
        noisy, targets, sigmas, reports = [], [], [], []
        for index, place in self._chosen(rng):
            picture = self.pictures[index]
            patch, sigma, target = self._cut(picture, rng, place), picture.sigma, None
            if self.corruption is not None:
                clean, corruption = patch, self.corruption.drawn(rng)
                patch, sigma = corruption.apply(clean, rng)
                if self.job.target:
                    target = clean if self.job.target == "clean" else corruption.apply(clean, rng)[0]
            noisy.append(patch)
            targets.append(target)
            sigmas.append(sigma)
            if picture.report is not None:
                reports.append(on_line(picture.report, self.line, picture.unit_levels))
        clean = (
            [self._cut(self.clean[i], rng) for i in rng.integers(len(self.clean), size=self.job.batch)]
            if self.clean
            else None
        )
        return Batch(
            planes(noisy),
            torch.tensor(sigmas, dtype=torch.float32).view(-1, 1, 1, 1),
            planes(targets) if self.job.target else None,
            planes(clean) if clean else None,
            reports,
        )

    def _chosen(self, rng: np.random.Generator) -> list[tuple[int, tuple[int, int] | None]]:
        """Picture and place of each patch of a batch; the place is None where it is drawn with the turn."""
        size = self.job.batch
        if self.places is None:
            return [(index, None) for index in rng.integers(len(self.pictures), size=size)]
        if self.job.draws == "fixed":
            # The same patches always meet, so that the draws of a whole batch can be repeated.
            first = size * rng.integers(-(-len(self.places) // size))
            chosen = self._order.take(range(first, first + size), mode="wrap")
        else:
            chosen = rng.integers(len(self.places), size=size)
        return [(index, (top, left)) for index, top, left in self.places[chosen]]

    def _cut(self, picture: Picture, rng: np.random.Generator, place: tuple[int, int] | None = None) -> np.ndarray:
        side = self.job.patch
        if place is not None:
            top, left = place
            return picture.cut(top, left, side, side)
        height, width = picture.pixels.shape[:2]
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        patch = np.rot90(picture.cut(top, left, side, side), int(rng.integers(4)))
        return patch[:, ::-1] if rng.integers(2) else patch


def _places(pictures: Sequence[Picture], side: int, stride: int) -> np.ndarray:
    """Number of the picture, top and left of every patch that fits, (n, 3)."""
    return np.array(
        [
            (index, top, left)
            for index, picture in enumerate(pictures)
            for top in range(0, picture.pixels.shape[0] - side + 1, stride)
            for left in range(0, picture.pixels.shape[1] - side + 1, stride)
        ]
    )


def planes(patches: Sequence[np.ndarray]) -> Tensor:
    """Patches (h, w, C) as (B, C, h, w) float32."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(patches).transpose(0, 3, 1, 2), dtype=np.float32))
