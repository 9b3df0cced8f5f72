"""What the two workers run for the window: generators without Qt, which load torch when the first of them needs it."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app import screen
from app.display import Display, render
from app.pyramid import Pyramid
from app.screen import to_screen
from app.values import Values
from engine import params, scratch
from engine.blend import Blend
from engine.color import conversion
from engine.decode import peek
from engine.develop import Develop
from engine.encode import AS_INPUT, Encoding, save_image
from engine.image import Image, ImageError, find_images, input_hash, load_image
from engine.language import tr
from engine.metrics import Estimate, check_reference, decibels, psnr, shift_of, squared_error, ssim
from engine.noise import NoiseError, NoiseReport
from engine.pairs import find_reference, is_reference
from engine.provenance import Provenance, write_sidecar
from engine.reading import TooLarge
from engine.stabilisation import channels, on_mosaic
from engine.tiles import Rect, grid

if TYPE_CHECKING:
    from engine.checkpoint import Entry as CheckpointEntry
    from engine.denoise import Denoising, Model
    from engine.mosaic_denoising import MosaicDenoising

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 192

_MOST_FOR_THUMBNAIL = 1 << 27
"""Pixels that are decoded only for a thumbnail; cameras have up to 102 million."""

_READ_IN_PIECES = {".tif", ".tiff", ".npy", ".fits", ".fit", ".fts", ".pfm"}

_MEANS = 3
"""Arrays as large as the picture that denoising it by four passes makes."""

_ARRAYS = 7
"""The most that are held of a denoised picture: the running mean, those kept at T = 1, 2, 4, 8, 16, and the spread."""

_CELL = 256
"""Side of the pieces in which a result is brought to the screen."""

_SLICE_S = 0.03
"""Time spent on such pieces between two reports: 30 a second."""

_BAND = 512
"""Rows measured between two chances to stop."""

NOTHING_FOUND = tr(
    "No noise worth removing was found; the picture is left as it is. Set sigma by hand to denoise anyway."
)

SEEMS_CLEAN = tr("No noise worth removing was found. {} has no noise level to set: it denoises every picture.")


@dataclass(frozen=True)
class MethodInfo:
    """A method as far as the window shows it.

    Attributes:
        runs: names of the checkpoints that it can run.
        trains: whether a model for it can be trained here.
    """

    id: str
    label: str
    source: str
    specs: tuple[params.Spec, ...]
    runs: frozenset[str] = frozenset()
    trains: bool = False

    @property
    def no_model(self) -> str:
        """What to do where it has no model; "" where it has one."""
        if self.runs:
            return ""
        said = (
            tr(
                "No model for {method} is installed. Train one on noisy pictures with the command train, or bring one "
                "in: File, Import model."
            )
            if self.trains
            else tr("No model for {method} is installed. Bring one in: File, Import model.")
        )
        return said.format(method=self.label)


@dataclass(frozen=True)
class Catalog:
    """What can be chosen, and where it runs."""

    methods: tuple[MethodInfo, ...] = ()
    models: tuple[CheckpointEntry, ...] = ()
    devices: tuple[str, ...] = ("cpu",)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was read.

    Attributes:
        shown: its pixels for the screen, at any zoom.
        levels: what they show as black and white, in the picture's units; None for those of its type.
    """

    image: Image
    shown: Pyramid
    levels: tuple[float, float] | None = None


@dataclass(frozen=True)
class Oversize:
    """A picture that is opened only after asking.

    Attributes:
        width, height: in pixels.
        opened, denoised: bytes of the disk that it takes while it is open, and those that denoising adds, about.
        decoded: bytes of memory that reading it takes; 0 where it is read piece by piece.
        free: bytes of that disk.
    """

    width: int
    height: int
    opened: int
    denoised: int
    decoded: int
    free: int


@dataclass(frozen=True, eq=False)
class Reference:
    """A clean twin: its picture, and what the noisy picture reaches against it.

    Attributes:
        noisy_shift_free_db: the same once the difference in brightness is taken out.
    """

    image: Image
    name: str
    noisy_psnr_db: float
    noisy_shift_free_db: float


@dataclass(frozen=True)
class Stage:
    """A sentence on what is going on while no progress can be counted."""

    text: str


@dataclass(frozen=True)
class Running:
    """What was settled when a job began.

    Attributes:
        model: name of the checkpoint.
        device, precision: where and how it runs.
        suggested: the parameters that the checkpoint sets in place of the method's defaults.
        settled: all parameters, also those that follow from others.
    """

    model: str
    device: str
    precision: str
    suggested: Mapping[str, Any]
    settled: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Numbers:
    """How good the result is; None where that is not known.

    Attributes:
        psnr_db, ssim: against the reference, over the part that has been denoised.
        estimate: without a reference.
        is_whole: whether the numbers hold for the whole picture.
        keeps_mean: whether the result has the mean intensity of the noisy picture.
        passes: that the result and its numbers are of; where some parts have fewer, of those that have the most.
        shift: what was added to each channel of the result before it was compared with the reference; None where
            nothing was, see `Look.shift_free`. Until all is denoised, what those parts lack that are.
    """

    psnr_db: float | None = None
    ssim: float | None = None
    estimate: Estimate | None = None
    is_whole: bool = False
    keeps_mean: bool = False
    passes: int = 0
    shift: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Update:
    """A step of a job.

    Attributes:
        regions: (x, y, pixels (h, w, C) uint8) to be shown.
        done, total: groups of passes over all tiles.
        seconds_left: None where that is not known yet.
        numbers: as far as they are known.
        visible_pass_s: how long the first pass over the visible region took; None before its end.
    """

    regions: tuple[tuple[int, int, np.ndarray], ...]
    done: int
    total: int
    seconds_left: float | None
    numbers: Numbers
    visible_pass_s: float | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """What needs network passes: everything but T and how its result is mixed.

    Attributes:
        picture: id of the picture in the list.
        sigma: in the trained range, settled.
        values: the method's parameters set by hand or proposed, without passes and sigma.
        report: the noise that was measured in the picture; None where that failed.
    """

    picture: int
    image: Image
    method: str
    model: str
    values: Mapping[str, Any]
    sigma: float
    seed: int
    device: str
    report: NoiseReport | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal keys give equal passes."""
        image, values = self.image, tuple(sorted(self.values.items()))
        how = self.method, self.model, values, self.sigma, self.seed, self.device
        return self.picture, image.develop, image.page, *how


@dataclass(frozen=True, eq=False)
class Look:
    """What can change while a job runs; replaced as a whole by the window, read by the job at each tile.

    Attributes:
        passes: T; None for what the checkpoint or the method suggests.
        display: what of it is shown, and how.
        viewport: the visible part of the picture.
        shift_free: whether the difference in brightness from the reference, the mean of each channel over the whole
            picture, is taken out before PSNR and SSIM.
        may_run: whether passes are made, or only what is there is shown.
        serial: grows with every change but that of the viewport.
    """

    passes: int | None = None
    blend: Blend = Blend()
    display: Display = Display()
    viewport: Rect | None = None
    reference: Reference | None = None
    shift_free: bool = False
    report: NoiseReport | None = None
    may_run: bool = True
    serial: int = 0


@dataclass(frozen=True)
class Target:
    """Where and how a result is saved.

    Attributes:
        sidecar: whether how it was made is written beside it.
        all_pages: of a stack, each denoised with the same values; else only the one that is shown.
    """

    path: Path
    how: Encoding = AS_INPUT
    sidecar: bool = False
    all_pages: bool = False


@dataclass(frozen=True)
class Paging:
    """How far the pages of a stack are.

    Attributes:
        page: in work, from 1.
        share: 0 to 1, of all of them.
        seconds_left: None where that is not known yet.
    """

    page: int
    share: float
    seconds_left: float | None = None


@dataclass(frozen=True, eq=False)
class Finished:
    """A whole result, ready to be saved."""

    image: Image
    provenance: Provenance | None


# ---- Reading and saving ----


def find(paths: Sequence[Path]) -> Iterator[Any]:
    """Return (pictures, missing): folders expanded, clean twins of other pictures left out, files as given."""
    missing = [path for path in paths if not path.exists()]
    there = [path for path in paths if path.exists()]
    yield Stage(tr("Looking for pictures"))
    given = {path for path in there if not path.is_dir()}
    found = find_images(there, recursive=True)
    twins = {find_reference(path) for path in found if not is_reference(path)}
    return [path for path in found if path in given or path not in twins], missing


def read_thumbnail(path: Path) -> Iterator[Any]:
    """Return (h, w, 3) uint8; None of a picture so large that it is decoded only to be shown itself."""
    yield Stage(tr("Reading {name}").format(name=path.name))
    with contextlib.suppress(ImageError):  # it says nothing, or is RAW
        header = peek(path)
        if header.width * header.height > _MOST_FOR_THUMBNAIL:
            return None
    return screen.thumbnail(load_image(path), THUMBNAIL_SIDE)


def read(
    path: Path | None,
    image: Image | None,
    reference: Path | None,
    find_twin: bool,
    develop: Develop = Develop(),
    page: int = 0,
    huge: bool = False,
    levels: tuple[float, float] | None = None,
) -> Iterator[Any]:
    """Yield the `Picture`, its thumbnail, then its `Reference` if there is one, or why there is none.

    Of the pages of a stack the first gives the thumbnail. A picture that is opened only after asking is `Oversize`.

    Args:
        path: of the file, None for a picture without one.
        image: where it is in memory already.
        reference: its clean twin.
        find_twin: look for a twin by name.
        develop: how, where it is RAW.
        page: of a stack.
        huge: whether it was asked.
        levels: what is shown as black and white; None for those of its type.
    """
    if image is None:
        assert path is not None
        said = tr("Reading {name}, page {page}") if page else tr("Reading {name}")
        yield Stage(said.format(name=path.name, page=page + 1))
        try:
            image = load_image(path, page, huge, develop=develop)
        except TooLarge as error:
            yield _oversize(path, error)
            return
    elif image.is_raw and image.develop != develop:
        from engine.raw import redeveloped

        yield Stage(tr("Developing"))
        image = redeveloped(image, develop)
    yield _shown(image, levels)
    if not page:
        yield screen.thumbnail(image, THUMBNAIL_SIDE)
    if reference is None and find_twin and path is not None:
        reference = find_reference(path)
    if reference is not None:
        try:
            yield (yield from read_reference(reference, image))
        except (ValueError, OSError) as error:
            yield error


def _oversize(path: Path, error: TooLarge) -> Oversize:
    header = peek(path)
    samples = error.width * error.height * header.channels
    stored, is_read_in_pieces = samples * header.bits // 8, path.suffix.lower() in _READ_IN_PIECES
    # As float32; noisy and denoised for the screen, with a third for the smaller sizes.
    opened = 4 * samples + 2 * samples * 4 // 3 + (stored if is_read_in_pieces else 0)
    decoded = 0 if is_read_in_pieces else stored
    # With the spread of the passes, one number for each pixel.
    denoised = 4 * (_MEANS * samples + error.width * error.height)
    return Oversize(error.width, error.height, opened, denoised, decoded, scratch.free_bytes())


def show(image: Image, levels: tuple[float, float] | None = None) -> Iterator[Any]:
    """Return the `Picture` of an image for the screen as it is now, with these as black and white."""
    yield Stage(tr("Bringing the colours to the screen"))
    return _shown(image, levels)


def _shown(image: Image, levels: tuple[float, float] | None) -> Picture:
    shown = Pyramid(screen.to_screen(image.pixels, levels or image.levels, screen.conversion_of(image)))
    shown.make_all()
    return Picture(image, shown, levels)


def measure(image: Image) -> Iterator[Any]:
    """Return the `NoiseReport`, or the `NoiseError` that says why there is none."""
    yield Stage(tr("Measuring the noise"))
    from engine.stabilisation import measure

    try:
        return measure(image)
    except NoiseError as error:
        return error


def read_reference(path: Path, image: Image) -> Iterator[Any]:
    """Return the `Reference` of a picture; ReferenceMismatch or ImageError if it cannot be one.

    A page is compared with the same one of a stack with as many, else with the first.
    """
    yield Stage(tr("Reading {name}").format(name=path.name))
    page = image.page if image.page and peek(path).pages == image.pages else 0
    # As large as the picture, if it is its twin: for that it was asked.
    reference = load_image(path, page, image.pixels.size > scratch.IN_MEMORY, develop=image.develop)
    check_reference(image.pixels.shape, reference.pixels.shape, path.name)
    noisy, clean, peak = image.pixels, reference.pixels, reference.peak
    shift_free_db = psnr(noisy, clean, peak, shift=shift_of(noisy, clean))
    return Reference(reference, path.name, psnr(noisy, clean, peak), shift_free_db)


def write(finished: Finished, target: Target) -> Iterator[Any]:
    """Save a result and its sidecar; return the path."""
    yield Stage(tr("Saving {name}").format(name=target.path.name))
    _save(finished, target)
    return target.path


def save_pages(
    image: Image, values: Values, target: Target, seed: int, device: str, huge: bool = False
) -> Iterator[Any]:
    """Denoise and save every page of a stack; yield how far it is (`Paging`) and return the path.

    As the batch does it: no more than a few pages are in memory. ImageError if one page cannot be done; no file appears
    then.

    Args:
        image: any page of it.
        values: for all pages; the noise of each is measured.
        target: of a type that holds pages.
        seed: of the recorruptions.
        device: auto, cpu, cuda or mps.
        huge: whether it was asked before a page was opened that is so large.
    """
    yield Stage(tr("Loading the model"))
    from app.batch.plan import Item
    from app.batch.run import Batch
    from app.single import Machine, Models

    assert image.path is not None
    item = Item(1, image.path, target.path, values, replaces=True)
    batch = Batch(Models(Machine(seed, device)), target.how, sidecar=target.sidecar, huge=huge)
    began = time.monotonic()
    with contextlib.closing(batch.run([item])) as steps:
        said: Any = Stage(tr("Denoising page 1 of {pages}").format(pages=image.pages))
        for step in steps:
            if step is not None and step.state == "failed":
                raise ImageError(step.text)
            if step is not None:
                page = min(image.pages, math.floor(step.share * image.pages + 1e-6) + 1)
                left = (time.monotonic() - began) * (1 / step.share - 1) if step.share else None
                said = Paging(page, step.share, left)
            yield said
    return target.path


def export(model: Path, name: str, target: Path) -> Iterator[Any]:
    """Write a model with its card as one file, in place of one that is there; return the path."""
    yield Stage(tr("Exporting {name}").format(name=name))
    from engine.checkpoint import export_checkpoint

    return export_checkpoint(model, target, name=name, overwrite=True)


def _save(finished: Finished, target: Target) -> None:
    save_image(finished.image, target.path, target.how)
    if target.sidecar and finished.provenance is not None:
        path = finished.image.path
        sha256 = input_hash(path) if path is not None and path.is_file() else ""
        made = replace(finished.provenance, input_sha256=sha256, output=target.path.name)
        write_sidecar(made, target.path)


# ---- Computing ----


class Live:
    """One denoising and what of it is on the screen.

    The screen is kept in cells; a cell is stale when what it shows is not what T, the blend and the passes made say.
    """

    def __init__(self, denoising: Denoising | MosaicDenoising) -> None:
        self.denoising = denoising
        image = denoising.image
        self.cells = grid(Rect(0, 0, image.width, image.height), _CELL)
        self._columns = -(-image.width // _CELL)
        self._passes = dict.fromkeys(range(len(self.cells)), 0)
        self._stale: set[int] = set()
        self._took: dict[tuple[Rect, int], float] = {}
        # Of each cell the sum of squared errors, and what each channel of it lacks of the reference's sum.
        self._errors: dict[int, tuple[float, np.ndarray]] = {}
        self._compared: _Compared | None = None
        self._look: tuple[Any, ...] = ()
        self._display, self._shift_free = Display(), False
        if denoising.sigma == 0:
            self._passes = dict.fromkeys(self._passes, 1)
        self.show_all()

    @property
    def passes(self) -> int:
        """T that is shown."""
        look = self._look  # which the worker may replace meanwhile
        return look[0] if look else 0

    def twin(self) -> Live:
        """The same for another screen, which shows nothing of it yet; both share what is known of the passes."""
        other = copy.copy(self)
        other._errors, other._compared, other._look = {}, None, ()
        other.show_all()
        return other

    def seconds(self, area: Rect, passes: int, group: int) -> float:
        """How long T passes over the tiles in `area` took."""
        return sum(took for (tile, made), took in self._took.items() if made - group < passes and tile.meets(area))

    def redevelop(self, denoising: MosaicDenoising) -> None:
        """Go on with the same passes of a picture that is developed otherwise."""
        self.denoising, self._look = denoising, ()
        self.show_all()

    def show_all(self) -> None:
        """Bring everything to the screen again: another picture was there."""
        self._stale = {cell for cell, passes in self._passes.items() if passes}

    def look_at(
        self,
        passes: int,
        blend: Blend,
        reference: Reference | None,
        display: Display,
        shift_free: bool = False,
    ) -> None:
        """Take over T, the blend, the reference, how all that is shown, and how it is compared."""
        if shift_free != self._shift_free:
            self._shift_free, self._compared = shift_free, None
        if display != self._display:
            self._display = display
            self.show_all()
        look = (passes, blend, id(reference))
        if look == self._look:
            return
        self._look, self._reference, self._compared = look, reference, None
        self._errors.clear()
        self.show_all()

    def advanced(self, tile: Rect, passes: int, seconds: float) -> None:
        """A tile has gone further, by a group of passes that took some time."""
        self._took[tile, passes] = seconds
        for cell in self._cells_in(tile):
            self._passes[cell] = passes
            self._stale.add(cell)
        self._compared = None
        wanted, blend, _ = self._look
        if self.denoising.has(wanted) and (blend.guard or self.denoising.conserves_mean):
            # What is usual in the picture, by which the guard goes, is known only now, and so is its mean intensity.
            self.show_all()

    def _cells_in(self, area: Rect) -> list[int]:
        rows = range(area.top // _CELL, -(-area.bottom // _CELL))
        columns = range(area.left // _CELL, -(-area.right // _CELL))
        found = [row * self._columns + column for row in rows for column in columns if column < self._columns]
        return [cell for cell in found if cell < len(self.cells)]

    def is_stale(self, area: Rect | None = None) -> bool:
        """Whether something (in `area`) is not on the screen as it should be."""
        return bool(self._stale if area is None else self._stale.intersection(self._cells_in(area)))

    def has_passes(self, area: Rect) -> bool:
        """Whether every cell in `area` has been denoised at least once."""
        return all(self._passes[cell] for cell in self._cells_in(area))

    def paint(self, area: Rect | None, until: float) -> list[tuple[int, int, np.ndarray]]:
        """Bring stale cells (in `area`) to the screen until the time is over; at least one."""
        cells = sorted(self._stale if area is None else self._stale.intersection(self._cells_in(area)))
        regions = []
        while cells:
            # Neighbours in a row together: each call looks at every tile.
            count = 1
            while count < min(8, len(cells)) and cells[count] == cells[0] + count and cells[count] % self._columns:
                count += 1
            regions.append(self._paint(cells[:count]))
            cells = cells[count:]
            if time.monotonic() > until:
                break
        return regions

    def _paint(self, cells: list[int]) -> tuple[int, int, np.ndarray]:
        first, last = self.cells[cells[0]], self.cells[cells[-1]]
        area = Rect(first.left, first.top, last.right, last.bottom)
        passes, blend, _ = self._look
        pixels = self.denoising.blended(passes, blend, area)
        if self._reference is not None:
            twin = self._reference.image
            for cell in cells:
                rect = self.cells[cell]
                inside = pixels[rect.moved(-area.left, -area.top).slices]
                clean = twin.pixels[rect.slices]
                lacking = (clean - inside).sum((0, 1), dtype=np.float64)
                self._errors[cell] = squared_error(inside, clean, twin.peak), lacking
        self._stale.difference_update(cells)
        return area.left, area.top, self._render(area, pixels)

    def _render(self, area: Rect, result: np.ndarray) -> np.ndarray:
        image, layer = self.denoising.image, self._display.layer
        spread = self.denoising.spread(area) if layer == "spread" else None
        clean = self._reference.image.pixels[area.slices] if self._reference is not None else None
        return render(self._display, image, image.pixels[area.slices], result, spread, clean)

    def numbers(self, report: NoiseReport | None) -> Numbers:
        """How good it is, as far as that is known."""
        passes, blend, _ = self._look
        db, shift = self._psnr()
        found = self._compared
        if found is not None and self._shift_free:
            db = found.psnr_db
        whole = self.denoising.has(passes) and not self._stale
        # While no tile has T passes yet, what is shown has fewer, and the estimate is of that.
        made = min(passes, max(self._passes.values()))
        is_known = made or not self.denoising.sigma
        estimate = self.denoising.estimate(made, blend, report) if is_known else None
        keeps_mean = whole and blend.conserves_mean and self.denoising.conserves_mean
        ssim_ = None if found is None else found.ssim
        told = None if shift is None else tuple(shift.tolist())
        return Numbers(db, ssim_, estimate, whole, keeps_mean, made if self.denoising.sigma else 0, told)

    def _psnr(self) -> tuple[float | None, np.ndarray | None]:
        """Of the cells that are on the screen, and the shift that was taken out.

        With a shift as if nothing were clipped after it: all cells would have to be compared anew with each that comes.
        `measure` does so in the end.
        """
        if self._reference is None or not self._errors:
            return None, None
        pixels = sum(self.cells[cell].width * self.cells[cell].height for cell in self._errors)
        error = math.fsum(squares for squares, _ in self._errors.values())
        shift = None
        if self._shift_free:
            lacking = np.sum([lacking for _, lacking in self._errors.values()], axis=0)
            error = max(0.0, error - float(np.square(lacking).sum()) / pixels)
            shift = (lacking / pixels).astype(np.float32)
        return decibels(error / (pixels * self.denoising.image.channels), self._reference.image.peak), shift

    def measure(self) -> Iterator[None]:
        """Compare the whole result with the reference, in bands with a chance to stop after each.

        That is SSIM, and PSNR where a shift is taken out, which is known only now.
        """
        if self._reference is None or self._compared is not None:
            return
        passes, blend, _ = self._look
        image, twin = self.denoising.image, self._reference.image
        _, shift = self._psnr()
        has_ssim = min(image.height, image.width) >= 11
        if not has_ssim and shift is None:
            return
        similarity = error = 0.0
        for top in range(0, image.height, _BAND):
            bottom = min(top + _BAND, image.height)
            # SSIM leaves out 5 rows at each edge: the bands' inner rows are those of the whole picture.
            area = Rect(0, max(0, top - 5), image.width, min(bottom + 5, image.height))
            pixels, clean = self.denoising.blended(passes, blend, area), twin.pixels[area.slices]
            if has_ssim and area.height > 10:
                similarity += ssim(pixels, clean, twin.peak, shift=shift) * (area.height - 10)
            if shift is not None:
                rows = slice(top - area.top, bottom - area.top)
                error += squared_error(pixels[rows], clean[rows], twin.peak, shift=shift)
            yield
        self._compared = _Compared(
            decibels(error / image.pixels.size, twin.peak) if shift is not None else None,
            similarity / (image.height - 10) if has_ssim else None,
        )


@dataclass(frozen=True)
class _Compared:
    """A whole result and the reference; the PSNR only where a shift was taken out."""

    psnr_db: float | None
    ssim: float | None


class Computing:
    """Models and denoisings; everything in here happens on the compute worker's thread.

    Attributes:
        budget: bytes of memory for results.
        runs: how often a denoising was run for the screen or to be saved.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._models: OrderedDict[tuple[Any, ...], Model] = OrderedDict()
        self._lives: OrderedDict[tuple[Any, ...], Live] = OrderedDict()
        self._on_screen: Live | None = None
        self._held: frozenset[tuple[Any, ...]] = frozenset()
        self.runs = 0

    def catalog(self) -> Iterator[Any]:
        """Return the `Catalog`; the first job of all, because it loads torch."""
        yield Stage(tr("Starting the engine"))
        from engine.loading import load_torch

        load_torch()
        from engine.checkpoint import list_checkpoints
        from engine.device import available_devices
        from engine.method import methods

        self._models.clear()
        models = tuple(list_checkpoints())
        known = []
        for method in methods().values():
            runs = frozenset(entry.name for entry in models if method.accepts(entry.method))
            trains = not method.needs_pairs and bool(method.stages(params.make(method.Training, {})))
            specs = params.specs(method.Params)
            known.append(MethodInfo(method.id, method.label, method.source, specs, runs, trains))
        # What can run leads, and of that what has parameters: there is something to choose.
        known.sort(key=lambda method: (not method.runs, not method.specs, method.label))
        return Catalog(tuple(known), models, available_devices())

    def bring_in(self, file: Path, convention: Mapping[str, Any]) -> Iterator[Any]:
        """Import a checkpoint of others; return its name, or the `ConventionNeeded` that says what is to be asked."""
        yield Stage(tr("Importing {name}").format(name=file.name))
        from engine.foreign import Convention, ConventionNeeded, import_checkpoint

        try:
            return import_checkpoint(file, Convention(**convention)).stem
        except ConventionNeeded as needed:
            return needed

    def _model(self, name: str, method: str, channels: int, device: str) -> Model:
        from engine.denoise import load_model

        key = (name, method, channels, device)
        model = self._models.get(key)
        if model is None:
            model = load_model(name or None, channels=channels, method=method or None, device=device)
            # The last two: going back and forth between them is how people compare.
            while len(self._models) >= max(2, len(self._held)):
                self._models.popitem(last=False)
            self._models[key] = model
        self._models.move_to_end(key)
        return model

    def _live(self, request: Request, model: Model) -> Live:
        from engine.mosaic_denoising import begin

        key = request.key
        live = self._lives.get(key)
        if live is None or live.denoising.image is not request.image:
            live = self._redeveloped(request)
        if live is None:
            values = params.make(model.method.Params, request.values, model.checkpoint.params)
            self._make_room(request.image.pixels.nbytes)
            denoising = begin(
                model,
                request.image,
                values,
                sigma=request.sigma,
                seed=request.seed,
                budget=self._share(),
                report=request.report,
            )
            live = self._lives[key] = Live(denoising)
        self._lives.move_to_end(key)
        return live

    def _redeveloped(self, request: Request) -> Live | None:
        """What was computed on the same mosaic when it was developed otherwise: its passes are this one's too."""
        from engine.mosaic_denoising import MosaicDenoising

        for key, live in self._lives.items():
            known, is_same = live.denoising, key[:1] + key[2:] == request.key[:1] + request.key[2:]
            if not isinstance(known, MosaicDenoising) or known.image.mosaic is not request.image.mosaic:
                continue
            if is_same and on_mosaic(request.image):
                del self._lives[key]
                live.redevelop(known.developed(request.image))
                self._lives[request.key] = live
                return live
        return None

    def hold(self, keys: frozenset[tuple[Any, ...]]) -> None:
        """Drop no denoising of these requests (`Request.key`): they are on the screen side by side."""
        self._held = keys

    def release(self, kept: tuple[Any, ...] | None) -> Iterator[Any]:
        """Hold none any more, and give back what exceeds the memory for results; that of the key `kept` stays."""
        yield Stage(tr("Tidying up"))
        self._held = frozenset() if kept is None else frozenset({kept})
        self._make_room(0)
        self._held = frozenset()

    def _share(self) -> int:
        """Bytes of means that the next denoising may have in memory; the rest goes to a file."""
        if not self._held:
            return max(self.budget // 2, 1 << 28)
        budgets = [live.denoising.budget for key, live in self._lives.items() if key in self._held]
        return max(0, self.budget - sum(budgets)) // max(1, len(self._held) - len(budgets))

    def _make_room(self, size: int) -> None:
        """Drop the denoisings not seen for longest until one of a picture of `size` bytes fits in."""
        room = self.budget - _ARRAYS * size
        for key in list(self._lives):
            if sum(_ARRAYS * live.denoising.image.pixels.nbytes for live in self._lives.values()) <= room:
                return
            if key not in self._held:
                del self._lives[key]

    @property
    def on_screen(self) -> Live | None:
        """What was painted last, or of several results that one which counts; may be asked for in any thread."""
        return self._on_screen

    def show(self, live: Live | None) -> None:
        """Let this one count of several results that are shown; None while that one is not there."""
        self._on_screen = live

    def forget(self, picture: int) -> Iterator[Any]:
        """Give back the memory of a picture that was closed."""
        yield Stage(tr("Tidying up"))
        for key in [key for key in self._lives if key[0] == picture]:
            gone = self._lives.pop(key)
            if self._on_screen is not None and self._on_screen.denoising is gone.denoising:
                self._on_screen = None

    def open(self, request: Request) -> tuple[Model, Live]:
        """The model of a request and what is computed of it, begun where nothing is."""
        model = self._model(request.model, request.method, channels(request.image), request.device)
        return model, self._live(request, model)

    def run(self, request: Request, look: Callable[[], Look], repaint: bool = False) -> Iterator[Any]:
        """Bring the screen up to date with `look`, making the passes that takes; return the serial that was reached.

        Args:
            request: what is computed.
            look: called at each step, for what may change meanwhile.
            repaint: whether the screen may show something else than was last reported.
        """
        yield Stage(tr("Loading the model"))
        self.runs += 1
        model, live = self.open(request)
        if repaint or live is not self._on_screen:
            live.show_all()
        self._on_screen = live
        name = model.checkpoint.name
        settled = asdict(live.denoising.params)
        yield Running(name, str(model.device), model.precision, dict(model.checkpoint.params), settled)
        return (yield from _advance(live, model, request, look))

    def finish(
        self, request: Request, look: Callable[[], Look], sigma_automatic: bool, repaint: bool = False
    ) -> Iterator[Any]:
        """Make all passes and return what is to be saved; `look` does not change but for its viewport."""
        yield from self.run(request, look, repaint)
        model, live = self.open(request)
        denoising, now = live.denoising, look()
        passes = settled_passes(model, request, now.passes)
        pixels = yield from _whole(denoising, passes, now)
        made = denoising.provenance(passes, now.blend, sigma_automatic)
        return Finished(replace(request.image, pixels=pixels), made)

    def copy(self, request: Request, look: Look) -> Iterator[Any]:
        """Return the whole result as it is, (H, W, C) uint8 in sRGB, which is what others take from a clipboard."""
        yield Stage(tr("Copying"))
        model, live = self.open(request)
        denoising = live.denoising
        pixels = yield from _whole(denoising, settled_passes(model, request, look.passes), look)
        image = request.image
        return to_screen(pixels, image.levels, conversion(image.metadata.icc, image.channels))


def _whole(denoising: Denoising | MosaicDenoising, passes: int, look: Look) -> Generator[Stage, None, np.ndarray]:
    """The whole result; of a picture that lies in a file made in bands, into a file, too."""
    image = denoising.image
    if image.pixels.size <= scratch.IN_MEMORY:
        return denoising.blended(passes, look.blend)
    out = scratch.array(image.pixels.shape, np.float32)
    for top in range(0, image.height, _BAND):
        yield Stage(tr("Putting the result together"))
        area = Rect(0, top, image.width, min(top + _BAND, image.height))
        out[area.slices] = denoising.blended(passes, look.blend, area)
    return out


def settled_passes(model: Model, request: Request, passes: int | None) -> int:
    """T by hand or proposed, or where that is None what the checkpoint or the method suggests."""
    chosen = {} if passes is None else {"passes": passes}
    known = {spec.name for spec in params.specs(model.method.Params)}
    chosen = {name: value for name, value in chosen.items() if name in known}
    values = params.make(model.method.Params, {**request.values, **chosen}, model.checkpoint.params)
    return model.method.count(values)


def _advance(live: Live, model: Model, request: Request, look: Callable[[], Look]) -> Iterator[Any]:
    """Show and compute by turns: what is visible and stale, then passes, then what is stale elsewhere."""
    run, target = None, None
    began, first, is_first_sight = time.monotonic(), -1, False
    left, visible_pass_s = None, None
    done = total = 1
    if look().may_run and not live.denoising.has(settled_passes(model, request, look().passes)):
        done = 0
    while True:
        now = look()
        passes = settled_passes(model, request, now.passes)
        live.look_at(passes, now.blend, now.reference, now.display, now.shift_free)
        is_finished = not now.may_run or live.denoising.has(passes)
        regions: list[tuple[int, int, np.ndarray]] = []
        if live.is_stale(now.viewport):
            regions = live.paint(now.viewport, time.monotonic() + _SLICE_S)
        elif not is_finished:
            if run is None or target != passes:
                run, target = live.denoising.run(passes, lambda: look().viewport), passes
                began, first = time.monotonic(), -1
                is_first_sight = now.viewport is not None and not live.has_passes(now.viewport)
            before = time.monotonic()
            step = next(run, None)
            if step is None:
                run = None
                continue
            if not step.passes:
                # The picture is looked over: nothing is made yet that could be shown, and nothing tells how long it is.
                began = time.monotonic()
                yield Stage(tr("Looking over the whole picture"))
                continue
            live.advanced(step.tile, step.passes, time.monotonic() - before)
            done, total = step.done, step.total
            first = done - 1 if first < 0 else first
            left = (time.monotonic() - began) / (done - first) * (total - done)
            if is_first_sight and visible_pass_s is None and now.viewport and live.has_passes(now.viewport):
                visible_pass_s = time.monotonic() - began
            if not live.is_stale(now.viewport):
                # Out of sight: shown in one go at the end, or when it comes into view.
                yield Update((), done, total, left, live.numbers(now.report), visible_pass_s)
                continue
            regions = live.paint(now.viewport, time.monotonic() + _SLICE_S)
        elif live.is_stale():
            regions = live.paint(None, time.monotonic() + _SLICE_S)
        else:
            done = total if live.denoising.has(passes) else done
            if live.denoising.has(passes):
                for _ in live.measure():
                    yield Stage(tr("Comparing with the reference"))
                    if look().serial != now.serial:
                        break
            yield Update((), done, total, 0.0, live.numbers(now.report), visible_pass_s)
            if look().serial == now.serial:
                return now.serial
            continue
        yield Update(tuple(regions), done, total, left, live.numbers(now.report), visible_pass_s)
