"""The inference loop: passes over tiles, running means that can grow, and the estimate they allow."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine import scratch
from engine.blend import Blend
from engine.checkpoint import Checkpoint, CheckpointError, Entry, find_checkpoint, list_checkpoints
from engine.device import DeviceError, autocast_dtype, is_out_of_memory, memory_format, pick_device
from engine.field import NoiseField
from engine.foreign import Convention, read_any
from engine.guard import REACH, Usual, give_back, survey
from engine.image import Image
from engine.language import tr
from engine.method import Method, MethodError, Task, method_of
from engine.metrics import Estimate, Sums, estimate_psnr
from engine.networks import fold_batch_norm
from engine.noise import NoiseReport
from engine.proposal import leading
from engine.provenance import Provenance
from engine.tiles import Rect, crop, grid, reach

MEMORY_BUDGET = 2**30
"""Bytes of sums and means kept in memory for one picture; more goes to a file that disappears with it."""

_SMALLEST_CPU_TILE = 128
_CPU_OPERATIONS = 100e9
"""For one group of passes on one tile: 0.6 s in float32 on two cores of a server."""

_SMALLEST_TILE = 32

BLOCK = 32
"""Side in pixels of the blocks, on a grid over the picture, in which the sums for the estimate are kept."""

_CLIPPED = 0.001
"""Share of a channel's samples at its darkest or brightest value from which it counts as clipped."""


class DenoiseError(ValueError):
    """A picture cannot be denoised with these choices; the message is meant for the user."""


@dataclass(frozen=True, eq=False)
class Model:
    """A checkpoint loaded on a device, ready to run.

    Attributes:
        dtype: of the weights and features; the picture itself stays float32.
    """

    checkpoint: Checkpoint
    method: Method
    network: nn.Module
    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        """For people: float32, bfloat16 or float16."""
        return str(self.dtype).removeprefix("torch.")


@functools.lru_cache(maxsize=4)
def _read(path: Path, modified: float, convention: Convention) -> Checkpoint:
    return read_any(path, convention)


def load_model(
    name: str | Path | None = None,
    *,
    channels: int = 3,
    method: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    convention: Convention = Convention(),
) -> Model:
    """Load a checkpoint for pictures of `channels` channels.

    Args:
        name: of an installed checkpoint, or the path of a file; None for the one that leads.
        method: run it by this method, None for the checkpoint's own.
        device: auto, cpu, cuda or mps.
        precision: auto or float32.
        convention: what cannot be read off a file of others.

    Raises:
        CheckpointError, MethodError, DeviceError: with one sentence for the user.
    """
    path = Path(find_checkpoint(str(name))) if name else default_checkpoint(channels, method).path
    checkpoint = _read(path, path.stat().st_mtime, convention)
    return load_model_from(checkpoint, method=method, device=device, precision=precision)


def default_checkpoint(channels: int, method: str | None = None) -> Entry:
    """The checkpoint that leads for a picture, see `proposal.leading`: of this method or of any."""
    accepts = method_of(method).accepts if method else lambda trained_for: True
    entries = [
        entry
        for entry in list_checkpoints()
        if accepts(entry.method) and (entry.channels <= 3 or entry.channels == channels)
    ]
    found = leading(entries, channels, (method,)) if method else leading(entries, channels)
    if found is None:
        said = (
            tr("No model for method {method!r} is installed; train one with `train` or bring one in with `import`")
            if method
            else tr("No model is installed; train one with `train` or bring one in with `import`")
        )
        raise CheckpointError(said.format(method=method))
    return found


def load_model_from(
    checkpoint: Checkpoint, *, method: str | None = None, device: str = "auto", precision: str = "auto"
) -> Model:
    """Put a checkpoint that is already read on a device; raises as `load_model`."""
    chosen = method_of(method or checkpoint.method)
    if not chosen.accepts(checkpoint.method):
        raise MethodError(
            tr("{name} was trained for method {method}, not {wanted}; run it by its own or plain").format(
                name=checkpoint.name, method=checkpoint.method, wanted=chosen.id
            )
        )
    where = pick_device(device)
    network = fold_batch_norm(checkpoint.build()).requires_grad_(False)
    kept = getattr(network, "foreign", False) or getattr(network, "full_precision", False)
    shortened = precision == "auto" and not kept
    dtype = (autocast_dtype(where) if shortened else None) or torch.float32
    if where.type != "cpu":
        _compare_with_cpu(checkpoint, where, dtype)
    network = network.to(where, dtype).to(memory_format=memory_format(where))  # pyright: ignore[reportCallIssue]
    return Model(checkpoint, chosen, network, where, dtype)


_trusted: set[tuple[str, str]] = set()


def _compare_with_cpu(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse an accelerator that computes another picture than the CPU; drivers that do are on record."""
    key = (str(device), checkpoint.sha256)
    if key in _trusted:
        return
    generator = torch.Generator().manual_seed(0)
    channels = checkpoint.channels
    ramp = torch.linspace(0, 1, 64).expand(1, channels, 64, 64)
    noisy = (ramp + 0.1 * torch.randn(ramp.shape, generator=generator)).contiguous()
    level = torch.full((1, 1, 1, 1), 0.1)
    with torch.inference_mode():
        expected = fold_batch_norm(checkpoint.build())(noisy, level)
        network = fold_batch_norm(checkpoint.build()).to(device, dtype)
        network = network.to(memory_format=memory_format(device))  # pyright: ignore[reportCallIssue]
        got = network(noisy.to(device), level.to(device)).float().cpu()
    error = float((got - expected).square().mean().sqrt())
    # bf16 features leave about 0.0005 here; a wrong kernel leaves tens of times that.
    if not error < 0.005:
        raise DeviceError(
            tr(
                "{device} was refused: a test tile differs from the CPU's by {error:.1f} of 255; use --device cpu"
            ).format(device=device, error=error * 255)
        )
    _trusted.add(key)


@dataclass(frozen=True)
class Progress:
    """One tile has gone one group of passes further.

    Attributes:
        tile: where.
        passes: that this tile now has.
        done, total: groups of passes over all tiles.
        seconds: since the run began.
    """

    tile: Rect
    passes: int
    done: int
    total: int
    seconds: float


Viewport = Callable[[], Rect | None]


@dataclass(eq=False)
class _Tile:
    """A tile and how far it is.

    Attributes:
        done: passes in whole groups, their mean is in the running array.
        kept: the T whose means are in the arrays of kept means.
        sums: for each T that was reached.
        blocks: for each T whose mean is at hand the same by block, (4, rows, columns) float64: the blocks that the tile
            meets, and of each what lies in the tile.
        measured: passes that the spread is over; more than `done` after going back.
    """

    rect: Rect
    done: int = 0
    kept: set[int] = field(default_factory=set)
    sums: dict[int, Sums] = field(default_factory=dict)
    blocks: dict[int, np.ndarray] = field(default_factory=dict)
    measured: int = 0

    def has(self, passes: int) -> bool:
        return passes == self.done or passes in self.kept

    def best(self, passes: int) -> int:
        """The most passes up to T whose mean is at hand; 0 where there is none."""
        return passes if self.has(passes) else max((t for t in {*self.kept, self.done} if t <= passes), default=0)


class Denoising:
    """One picture under one set of values: its running mean, which can grow.

    `run` raises T as far as asked and may be closed at any yield; calling it again goes on from there. Means at
    T = 1, 2, 4, 8, ... are kept, so lowering T costs nothing.

    While `run` goes on in one thread, others may ask for `mean`, `blended`, `spread`, `estimate` and how far it is: of
    each tile they get whole groups of passes. `finish` is for the thread that runs.

    Args:
        model: what runs.
        image: the picture; never changed.
        params: the method's parameters; their sigma is ignored in favour of `sigma`.
        sigma: noise standard deviation in the trained range; 0 leaves the picture as it is.
        seed: of the recorruptions.
        tile: side in pixels, None for what suits the device.
        keep: whether the means at smaller T are kept, and the spread.
        budget: bytes of means in memory, the rest goes to a temporary file.
        report: the noise that was measured, for methods that want to know more of it than `sigma`.
    """

    def __init__(
        self,
        model: Model,
        image: Image,
        params: Any,
        *,
        sigma: float,
        seed: int = 0,
        tile: int | None = None,
        keep: bool = True,
        budget: int = MEMORY_BUDGET,
        report: NoiseReport | None = None,
    ) -> None:
        if model.checkpoint.channels == 3 and image.channels == 1:
            raise DenoiseError(
                tr("{name} is for colour and this picture is grey; choose a grey model").format(
                    name=model.checkpoint.name
                )
            )
        if model.checkpoint.channels not in (1, image.channels):
            raise DenoiseError(
                tr(
                    "{name} takes {channels} channels, as packed from a camera's mosaic, and this picture has {given}"
                ).format(name=model.checkpoint.name, channels=model.checkpoint.channels, given=image.channels)
            )
        self.model, self.image, self.sigma, self.seed = model, image, sigma, seed
        self.params = model.method.settled(params)
        self.budget = budget
        self._keep, self._used, self._asked = keep, 0, set[int]()
        black, white = image.levels
        self._black, self._span = np.float32(black), np.float32(white - black)
        self._multiple: int = model.network.multiple_of  # pyright: ignore[reportAttributeAccessIssue]
        self._margin = model.method.margin(model.network, params)
        self._side = -(-(tile or tile_side(model, self._margin)) // self._multiple) * self._multiple
        self._report = report
        self._surveyed: dict[Rect, tuple[Tensor, int]] = {}
        self._statistics: Tensor | None = None
        self._surveyed_for_guard: tuple[int, int, Usual] | None = None
        # A grey network takes the channels of a colour picture as pictures of their own.
        self._alone = model.checkpoint.channels == 1 and image.channels > 1
        self._noise = NoiseField(seed, image.channels)
        # Held while results are put in place or read, tile by tile; not while the network computes.
        self._lock = threading.RLock()
        self._running = self._array(image.pixels.shape) if sigma else None
        self._squares = self._array((image.height, image.width)) if sigma and keep else None
        self._offsets: dict[int, np.ndarray] = {}
        self._noisy_mean: np.ndarray | None = None
        self._conserves: bool | None = None
        self._kept: dict[int, np.ndarray] = {}
        self._tiles = [_Tile(rect) for rect in grid(self._whole, self._side)]

    @property
    def _whole(self) -> Rect:
        return Rect(0, 0, self.image.width, self.image.height)

    # What has been computed

    @property
    def tile_side(self) -> int:
        """Side of the tiles now in use, smaller than asked for after running out of memory."""
        return self._side

    def has(self, passes: int, area: Rect | None = None) -> bool:
        """Whether the mean of T passes is at hand everywhere (in `area`)."""
        return self.sigma == 0 or all(tile.has(passes) for tile in self._tiles if area is None or tile.rect.meets(area))

    def keep(self, passes: int) -> None:
        """Keep the mean of T passes, too, when more are made."""
        self._asked.add(passes)

    def mean(self, passes: int, area: Rect | None = None) -> np.ndarray:
        """The mean of T passes in the picture's units, (h, w, C) float32; where a tile is not there yet, of fewer.

        A tile without any pass shows the noisy picture. Once all have T passes the mean intensity is that of the noisy
        picture where `conserves_mean` says so.
        """
        area = area or self._whole
        was_whole = self.has(passes)
        out = np.empty((area.height, area.width, self.image.channels), np.float32)

        def read(tile: _Tile, part: Rect) -> None:
            out[part.moved(-area.left, -area.top).slices] = self._mean_of(tile, passes, part)

        self._read_tiles(area, read)
        if was_whole and self.has(passes) and self.conserves_mean:
            out += self._offset(passes)
        return out

    def is_begun(self, area: Rect | None = None) -> bool:
        """Whether some pass has been made everywhere (in `area`), or none is needed."""
        return self.sigma == 0 or all(tile.done or tile.kept for tile in self._tiles_in(area))

    def passes_made(self, passes: int, area: Rect | None = None) -> int:
        """Of how many passes up to T the mean is: where (in `area`) it is of the fewest."""
        with self._lock:
            return min(tile.best(passes) for tile in self._tiles_in(area))

    # The spread

    def spread(self, area: Rect | None = None) -> np.ndarray | None:
        """Standard deviation over the passes made, (h, w, 1) float32 in the picture's units; no error of the result.

        The root of the variance's mean over the channels, with T - 1 in its denominator. Passes come in antithetic
        pairs, whose recorruptions are opposite: it is over all passes, so it says nothing of the mean's own deviation,
        in which what is opposite cancels.

        Returns:
            None before two passes everywhere in the area, for methods that make but one, and without kept means.
        """
        area = area or self._whole
        squares = self._squares
        if squares is None or self.spread_passes(area) < 2:
            return None
        out = np.empty((area.height, area.width, 1), np.float32)

        def read(tile: _Tile, part: Rect) -> None:
            variance = squares[part.slices][..., None] / np.float32(tile.measured - 1)
            out[part.moved(-area.left, -area.top).slices] = self._span * np.sqrt(variance)

        self._read_tiles(area, read)
        return out

    def spread_passes(self, area: Rect | None = None) -> int:
        """Of how many passes the spread is: where (in `area`) it is of the fewest; all that were ever made."""
        return min(tile.measured for tile in self._tiles_in(area))

    def _tiles_in(self, area: Rect | None) -> list[_Tile]:
        return self._tiles if area is None else [tile for tile in self._tiles if tile.rect.meets(area)]

    def _read_tiles(self, area: Rect, read: Callable[[_Tile, Rect], None]) -> None:
        """Call `read` for what each tile has of an area, while nothing is put in its place."""
        pending = [area]
        while pending:
            region, tiles = pending.pop(), self._tiles
            for tile in tiles:
                if not tile.rect.meets(region):
                    continue
                part = tile.rect.shared(region)
                with self._lock:
                    if self._tiles is tiles:
                        read(tile, part)
                    else:
                        # It ran out of memory meanwhile, and this tile has been cut into smaller ones.
                        pending.append(part)

    def blended(self, passes: int, blend: Blend, area: Rect | None = None) -> np.ndarray:
        """The result as `Blend.mix` makes it of the mean, in the picture's units.

        The detail guard gives structure back to the mean first. While T passes are missing somewhere, what is usual in
        the picture is provisional, and with it what is given back.

        Args:
            passes: T.
            blend: what is done with the mean.
            area: only that part.
        """
        area = area or self._whole
        if not blend.guard or not self.sigma:
            return blend.mix(self.mean(passes, area), self.image.pixels[area.slices], area)
        wide = area.grown(REACH).shared(self._whole)
        mean = self.mean(passes, wide)
        give_back(mean, self.image.pixels[wide.slices], self._usual(passes), blend.guard)
        return blend.mix(mean[area.moved(-wide.left, -wide.top).slices], self.image.pixels[area.slices], area)

    def finish(self, passes: int, blend: Blend) -> np.ndarray:
        """`blended` of the whole picture, to be read only; without kept means made in place, which uses this up."""
        if self.sigma == 0:
            return self.image.pixels
        means = self._running if all(tile.done == passes for tile in self._tiles) else self._kept.get(passes)
        if self._keep or means is None or not self.has(passes):
            return self.blended(passes, blend)
        offset = self._offset(passes) if self.conserves_mean else None
        usual = self._usual(passes) if blend.guard else None
        out, self._running = means, None
        self._kept.clear()
        for rect in (tile.rect for tile in self._tiles):
            out[rect.slices] = out[rect.slices] * self._span + self._black
            if offset is not None:
                out[rect.slices] += offset
        if usual:
            give_back(out, self.image.pixels, usual, blend.guard)
        for rect in (tile.rect for tile in self._tiles):
            blend.mix(out[rect.slices], self.image.pixels[rect.slices], rect)
        return out

    # The mean intensity

    @property
    def conserves_mean(self) -> bool:
        """Whether the result is given the mean intensity of the noisy picture, channel by channel.

        So it is for float and 16-bit pictures that are not clipped: noise that nothing cuts off is zero on average, and
        the noisy picture's mean is what was measured. Clipping shifts that mean, and the network does not.
        """
        if self._conserves is None:
            self._conserves = bool(self.sigma) and (self.image.is_float or self.image.bits == 16) and not self._clips()
        return self._conserves

    def _clips(self) -> bool:
        """Whether samples pile up at an end of a channel's range: more than twice as many as at the next."""
        parts = [self.image.pixels[tile.rect.slices] for tile in self._tiles]
        least = max(1.0, _CLIPPED * self.image.width * self.image.height)
        for channel in range(self.image.channels):
            planes = [part[..., channel] for part in parts]
            for end, beyond in ((np.min, np.greater), (np.max, np.less)):
                last = end([end(plane) for plane in planes])
                held = sum(np.count_nonzero(plane == last) for plane in planes)
                if held <= least:
                    continue
                inner = [end(plane[beyond(plane, last)]) for plane in planes if (plane != last).any()]
                # Few photons are counted as no, one or two, each often; what is cut off has no such neighbour.
                beside = sum(np.count_nonzero(plane == end(inner)) for plane in planes) if inner else 0
                if held > 2 * beside:
                    return True
        return False

    def _offset(self, passes: int) -> np.ndarray:
        """(C,) what the mean of T passes, all of which are made, lacks of the noisy picture's mean intensity."""
        if passes not in self._offsets:
            pixels = self.image.width * self.image.height
            if self._noisy_mean is None:
                rects = [tile.rect for tile in self._tiles]
                self._noisy_mean = _added([_total(self.image.pixels[rect.slices]) for rect in rects]) / pixels
            totals: list[np.ndarray] = []
            self._read_tiles(self._whole, lambda tile, part: totals.append(_total(self._mean_of(tile, passes, part))))
            offset = (self._noisy_mean - _added(totals) / pixels).astype(np.float32)
            if not self.has(passes):  # another T was asked for meanwhile
                return offset
            self._offsets[passes] = offset
        return self._offsets[passes]

    def _usual(self, passes: int) -> Usual:
        """What the guard must know of the whole picture; until all passes are made anew whenever they have doubled."""
        made = -1 if self.has(passes) else sum(tile.done for tile in self._tiles).bit_length()
        found = self._surveyed_for_guard
        if found is None or found[:2] != (passes, made):

            def read(area: Rect) -> tuple[np.ndarray, np.ndarray]:
                return self.image.pixels[area.slices], self.mean(passes, area)

            usual = survey(read, self.image.height, self.image.width)
            self._surveyed_for_guard = found = passes, made, usual
        return found[2]

    # The estimate

    def sums(self, passes: int, area: Rect | None = None) -> Sums:
        """What the estimate needs, over the tiles that have T passes.

        Args:
            passes: T.
            area: only that part, of whole blocks, see `in_blocks`. There it is over what `mean` gives, also where that
                is of fewer passes.
        """
        with self._lock:
            if area is None:
                sums = sum((tile.sums[passes] for tile in self._tiles if passes in tile.sums), Sums())
            else:
                sums = sum((_in_area(tile, tile.best(passes), area) for tile in self._tiles_in(area)), Sums())
        if not sums.samples or not self.has(passes) or not self.conserves_mean:
            return sums
        offset = (self._offset(passes) / self._span).astype(np.float64)
        if area is None:
            # A constant that makes the mean residual zero takes its square away from the residual, and adds to the
            # divergence one sample in all of them.
            added = -float(np.square(offset).sum()) * self.image.width * self.image.height
        else:
            residuals: list[np.ndarray] = []

            def read(tile: _Tile, part: Rect) -> None:
                difference = self._mean_of(tile, passes, part) - self.image.pixels[part.slices]
                residuals.append(_total(difference / self._span))

            self._read_tiles(area, read)
            added = float((offset * (2 * _added(residuals) + offset * area.width * area.height)).sum())
        return replace(sums, residual=sums.residual + added)

    def in_blocks(self, area: Rect) -> Rect:
        """The area rounded out to the blocks in which sums are kept."""
        left, top = area.left // BLOCK * BLOCK, area.top // BLOCK * BLOCK
        return Rect(left, top, -(-area.right // BLOCK) * BLOCK, -(-area.bottom // BLOCK) * BLOCK).shared(self._whole)

    def estimate(
        self, passes: int, blend: Blend = Blend(), report: NoiseReport | None = None, area: Rect | None = None
    ) -> Estimate:
        """The PSNR estimated without a reference, or why there is none.

        Args:
            passes: T.
            blend: what is done with the mean.
            report: the noise that was measured; with it the assumptions are checked, and its uncertainty widens the
                band where sigma was taken from it, or where no one sigma can say that noise.
            area: only that part, rounded out to blocks of 32 pixels; the estimate says which pixels it is of. Of what
                `mean` gives there, also where that is of fewer passes.
        """
        if self.sigma == 0:
            return Estimate(None, None, tr("nothing was removed"))
        channels, region = self.image.channels, self._whole if area is None else self.in_blocks(area)
        if doubt := blend.doubt(channels, region):
            return Estimate(None, None, doubt)
        factor, even = blend.factor(channels), blend.areas.even(region)
        assert factor is not None
        assert even is not None
        reason = self.model.method.doubt(self.params, report) if report is not None else ""
        if reason:
            return Estimate(None, None, reason)
        # A whole picture that has not all T passes yet is judged by the tiles that have.
        is_part = area is not None and not (region == self._whole and self.has(passes))
        made = self.passes_made(passes, region) if is_part else passes
        if not made:
            return Estimate(None, None, tr("no pass has been made yet"))
        sums = self.sums(passes, region if is_part else None)
        if not sums.samples:
            return Estimate(None, None, tr("this method leaves nothing to estimate from"))
        measured = report is not None and math.isclose(report.level, self.sigma, rel_tol=1e-6)
        peak = self.image.peak / float(self._span)
        uncertainty = 0.0
        if report is not None and measured:
            uncertainty = report.uncertainty
        elif report is not None and not self.model.method.allows_growth(self.params):
            uncertainty = report.growth
        estimate = estimate_psnr(
            sums,
            strength=factor * even,
            uncertainty=uncertainty,
            pairs=-(-made // self.model.method.group),
            peak=peak,
            dependence=report.dependence if report else 1.0,
        )
        return replace(estimate, area=None if area is None else region)

    def provenance(self, passes: int, blend: Blend, sigma_automatic: bool) -> Provenance:
        """How the blended mean of T passes is made; the hash of the input and the name of the output are not known."""
        made = {name: value for name, value in asdict(self.params).items() if name != "sigma"}
        if "passes" in made:
            made["passes"] = passes
        if self.image.is_raw:
            made["develop"] = asdict(self.image.develop)
        return Provenance(
            input=self.image.path.name if self.image.path else "",
            input_sha256="",
            output="",
            method=self.model.method.id,
            model=self.model.checkpoint.name,
            model_sha256=self.model.checkpoint.sha256,
            sigma=self.sigma * 255,
            sigma_automatic=sigma_automatic,
            params=made,
            strength=blend.strength,
            luminance=blend.luminance,
            chroma=blend.chroma,
            areas=blend.areas,
            guard=blend.guard,
            seed=self.seed,
            device=str(self.model.device),
            precision=self.model.precision,
            tile=self._side,
        )

    # Computing

    def run(self, passes: int, viewport: Viewport = lambda: None) -> Iterator[Progress]:
        """Raise every tile to T passes: those in the viewport first, each group of passes over all of them in turn.

        Odd T finish their last group and leave its end out of the mean.
        """
        if self.sigma == 0:
            return
        group = self.model.method.group
        rounds = -(-passes // group)
        for tile in self._tiles:
            if tile.done > passes and not tile.has(passes):
                self._rewind(tile, passes)
        began = time.monotonic()
        yield from self._survey(began)
        while unfinished := [tile for tile in self._tiles if not tile.has(passes)]:
            tile = _next(unfinished, viewport())
            try:
                self._advance(tile, passes)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve()
                continue
            done = sum(rounds if tile.has(passes) else tile.done // group for tile in self._tiles)
            yield Progress(tile.rect, tile.done, done, rounds * len(self._tiles), time.monotonic() - began)

    @torch.inference_mode()
    def _advance(self, tile: _Tile, passes: int) -> None:
        """Run the next group of passes on one tile, then put its means in place: all of it or nothing."""
        assert self._running is not None
        group, rect = self.model.method.group, tile.rect
        task, core = self._task(rect, tile.done)
        noisy = task.noisy[:, :, *core]
        total = self._upload(self._running[rect.slices]) * tile.done
        run = self.model.method.passes(self.model.network, task)
        mean = total / max(tile.done, 1)
        products, power, means = [], None, {}
        squares = None if self._squares is None else torch.from_numpy(self._squares[rect.slices]).to(noisy.device)
        complete = True
        for index in range(tile.done, tile.done + group):
            estimate, bz, variance, divergence = next(run)
            inside = estimate[:, :, *core].float()
            before, total = mean, total + inside
            means[index + 1] = mean = total / (index + 1)
            if squares is not None and index >= tile.measured:
                squares = squares + ((inside - before) * (inside - mean)).mean((0, 1))
            if bz is not None:
                # The noisy picture as a baseline: its product with Bz is zero on average, in opposite pairs exactly.
                products.append(_by_block((inside - noisy) * bz[:, :, *core], rect))
            elif divergence is not None:
                products.append(_by_block(divergence[:, :, *core], rect))
            else:
                complete = False
            power = None if variance is None else _by_block(variance[:, :, *core], rect)
        ready = {t: self._download(mean) for t, mean in means.items()}
        done, blocks = tile.done + group, {}
        if complete:
            samples = _samples(rect, self.image.channels)
            known = tile.blocks[tile.done][2] * tile.done if tile.done else np.zeros_like(samples)
            # The divergence comes from whole groups, also at T = 1: the second half of the pair is there anyway.
            product = sum((_doubles(part) for part in products), known) / done
            powers = self.sigma**2 * samples if power is None else _doubles(power)
            for t, pixels in means.items():
                residual = _doubles(_by_block((pixels - noisy) ** 2, rect))
                blocks[t] = np.stack((samples, residual, product, powers))
        spread = None if squares is None else squares.cpu().numpy()

        with self._lock:
            if self._keeps(tile.done):
                self._put(tile, tile.done, self._running[rect.slices])
            for t, pixels in ready.items():
                if t == done:
                    self._running[rect.slices] = pixels
                elif t == passes or self._keeps(t):
                    self._put(tile, t, pixels)
            if self._squares is not None and done > tile.measured:
                self._squares[rect.slices], tile.measured = spread, done
            tile.done = done
            tile.sums |= {t: _sums(found) for t, found in blocks.items()}
            tile.blocks = {t: found for t, found in (tile.blocks | blocks).items() if tile.has(t)}

    def _task(self, rect: Rect, first: int) -> tuple[Task, tuple[slice, slice]]:
        """What the method is given of a tile, and where the tile lies in it."""
        wide = reach(rect, self.image.height, self.image.width, self._margin, self._multiple)
        noisy = self._upload((crop(self.image.pixels, wide) - self._black) / self._span)
        noisy = noisy.contiguous(memory_format=memory_format(self.model.device))
        field = _TileField(self._noise, wide, self._alone, self.model.device)
        task = Task(noisy, self.sigma, self.params, first, field, self._report, self._statistics)
        return task, rect.moved(-wide.left, -wide.top).slices

    def _upload(self, pixels: np.ndarray) -> Tensor:
        """(h, w, C) as (1, C, h, w), or (C, 1, h, w) where the channels go alone."""
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
        return torch.from_numpy(planes[:, None] if self._alone else planes[None]).to(self.model.device)

    def _download(self, planes: Tensor) -> np.ndarray:
        planes = planes[:, 0] if self._alone else planes[0]
        return planes.permute(1, 2, 0).cpu().numpy()

    def _survey(self, began: float) -> Iterator[Progress]:
        """Find what the method must know of the whole picture; nothing for most."""
        if self._statistics is not None:
            return
        while rects := [tile.rect for tile in self._tiles if tile.rect not in self._surveyed]:
            try:
                found = self._look_over(rects[0])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve()
                self._surveyed.clear()
                continue
            if found is None:
                return
            self._surveyed[rects[0]] = found
            # Before any pass: the tile has none yet, but the run can be stopped here.
            yield Progress(rects[0], 0, 0, len(self._tiles), time.monotonic() - began)
        # In double precision, so that the order of the tiles leaves no trace.
        total = torch.stack([sums for sums, _ in self._surveyed.values()]).sum(0)
        pixels = sum(count for _, count in self._surveyed.values())
        self._statistics = (total / pixels).float().to(self.model.device)

    @torch.inference_mode()
    def _look_over(self, rect: Rect) -> tuple[Tensor, int] | None:
        task, core = self._task(rect, 0)
        found = self.model.method.survey(self.model.network, task)
        if found is None:
            return None
        inside = found[:, :, *core].cpu().double()
        return inside.sum((2, 3), keepdim=True), rect.width * rect.height

    def _halve(self) -> None:
        """Go on in tiles of half the side; what is computed stays."""
        side = self._side // 2 // self._multiple * self._multiple
        if side < max(_SMALLEST_TILE, self._multiple):
            raise DenoiseError(
                tr("There is not enough memory on {device} for a tile of {side} pixels").format(
                    device=self.model.device, side=self._side
                )
            )
        smaller = []
        for tile in self._tiles:
            parts = [_Tile(rect, tile.done, set(tile.kept), measured=tile.measured) for rect in grid(tile.rect, side)]
            _share(tile, parts)
            smaller += parts
        with self._lock:
            self._side, self._tiles = side, smaller
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    # Where means are kept

    def _keeps(self, passes: int) -> bool:
        return self._keep and passes > 0 and (passes & (passes - 1) == 0 or passes in self._asked)

    def _put(self, tile: _Tile, passes: int, pixels: np.ndarray) -> None:
        if passes not in self._kept:
            self._kept[passes] = self._array(self.image.pixels.shape)
        self._kept[passes][tile.rect.slices] = pixels
        tile.kept.add(passes)

    def _mean_of(self, tile: _Tile, passes: int, part: Rect) -> np.ndarray:
        best = tile.best(passes)
        if best == 0:
            return self.image.pixels[part.slices]
        source = self._running if best == tile.done else self._kept[best]
        assert source is not None
        return source[part.slices] * self._span + self._black

    def _rewind(self, tile: _Tile, passes: int) -> None:
        """Take a tile that is past T, without that mean, back to the nearest state from which T can be reached."""
        assert self._running is not None
        group = self.model.method.group
        with self._lock:
            if self._keeps(tile.done):
                self._put(tile, tile.done, self._running[tile.rect.slices])
            tile.done = max((t for t in tile.kept if t < passes and t % group == 0), default=0)
            self._running[tile.rect.slices] = self._kept[tile.done][tile.rect.slices] if tile.done else 0
            tile.blocks = {t: found for t, found in tile.blocks.items() if tile.has(t)}

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * 4
        if self._used + size <= self.budget:
            self._used += size
            return np.zeros(shape, np.float32)
        try:
            return scratch.filed(shape, np.float32)
        except scratch.NoRoom as error:
            raise DenoiseError(
                tr("There is not enough room to denoise this picture: {error}").format(error=error)
            ) from error


@dataclass(frozen=True, eq=False)
class _TileField:
    """`method.Field` of one tile with its margin."""

    noise: NoiseField
    rect: Rect
    alone: bool
    device: torch.device

    def unit(self, index: int, around: int = 0) -> Tensor:
        planes = self.noise.unit(
            index,
            self.rect.top - around,
            self.rect.left - around,
            self.rect.height + 2 * around,
            self.rect.width + 2 * around,
        )
        return torch.from_numpy(planes[:, None] if self.alone else planes[None]).to(self.device)


def _by_block(values: Tensor, rect: Rect) -> Tensor:
    """(B, C, h, w) of a tile to the sums in each block that it meets, (rows, columns)."""
    left, top = rect.left % BLOCK, rect.top % BLOCK
    padding = (left, -(left + rect.width) % BLOCK, top, -(top + rect.height) % BLOCK)
    if any(padding):
        values = nn.functional.pad(values, padding)
    rows, columns = values.shape[2] // BLOCK, values.shape[3] // BLOCK
    blocks = values.reshape(-1, rows, BLOCK, columns, BLOCK)
    # Apple's GPUs know no double precision.
    return blocks.sum((0, 2, 4), dtype=None if values.device.type == "mps" else torch.float64)


def _samples(rect: Rect, channels: int) -> np.ndarray:
    """How many samples of each block that a tile meets lie in it, (rows, columns) float64."""

    def lengths(first: int, last: int) -> np.ndarray:
        ends = np.arange(first // BLOCK, -(-last // BLOCK) + 1) * BLOCK
        return np.diff(np.clip(ends, first, last)).astype(np.float64)

    return np.outer(lengths(rect.top, rect.bottom), lengths(rect.left, rect.right)) * channels


def _doubles(sums: Tensor) -> np.ndarray:
    return sums.cpu().double().numpy()


def _sums(blocks: np.ndarray) -> Sums:
    """(4, rows, columns) in one."""
    samples, residual, divergence, power = blocks.sum((1, 2)).tolist()
    return Sums(round(samples), residual, divergence, power)


def _in_area(tile: _Tile, passes: int, area: Rect) -> Sums:
    """What a tile's blocks in an area, which is of whole blocks, hold at T."""
    if passes not in tile.blocks:
        return Sums()
    top, left = tile.rect.top // BLOCK, tile.rect.left // BLOCK
    rows = slice(max(0, area.top // BLOCK - top), -(-area.bottom // BLOCK) - top)
    columns = slice(max(0, area.left // BLOCK - left), -(-area.right // BLOCK) - left)
    return _sums(tile.blocks[passes][:, rows, columns])


def _share(tile: _Tile, parts: list[_Tile]) -> None:
    """Give the sums of a tile to the parts that it is cut into; a block that several meet to the first of these."""
    top, left = tile.rect.top // BLOCK, tile.rect.left // BLOCK
    # What is not known by block the first part answers for.
    parts[0].sums |= {t: sums for t, sums in tile.sums.items() if t not in tile.blocks}
    for part in parts[1:]:
        part.sums |= {t: Sums() for t in parts[0].sums}
    for t, blocks in tile.blocks.items():
        left_over = blocks.copy()
        for part in parts:
            rows = slice(part.rect.top // BLOCK - top, -(-part.rect.bottom // BLOCK) - top)
            columns = slice(part.rect.left // BLOCK - left, -(-part.rect.right // BLOCK) - left)
            part.blocks[t] = left_over[:, rows, columns].copy()
            left_over[:, rows, columns] = 0
            part.sums[t] = _sums(part.blocks[t])


def _total(pixels: np.ndarray) -> np.ndarray:
    """(h, w, C) to (C,) float64 sums."""
    return pixels.sum((0, 1), dtype=np.float64)


def _added(totals: list[np.ndarray]) -> np.ndarray:
    """The sum of (C,) float64, the same in whatever order they come."""
    return np.array([math.fsum(channel) for channel in zip(*totals, strict=True)])


def _next(tiles: list[_Tile], visible: Rect | None) -> _Tile:
    """The tile to work on: visible before hidden, fewest passes first, nearest to the middle of the view first."""
    tiles = [tile for tile in tiles if visible is not None and tile.rect.meets(visible)] or tiles
    fewest = min(tile.done for tile in tiles)
    tiles = [tile for tile in tiles if tile.done == fewest]
    if visible is None:
        return tiles[0]
    x, y = visible.left + visible.right, visible.top + visible.bottom

    def distance(tile: _Tile) -> int:
        return (tile.rect.left + tile.rect.right - x) ** 2 + (tile.rect.top + tile.rect.bottom - y) ** 2

    return min(tiles, key=distance)


def tile_side(model: Model, margin: int) -> int:
    """Side of a tile: small enough on a CPU to stop within a second, by free memory on a GPU.

    Larger tiles waste less on their margins. Nothing but model and device decides, so that the window and the command
    line cut alike.
    """
    group = model.method.group
    if model.device.type != "cuda":
        cost = _operations(model.checkpoint)
        sides = [side for side in (512, 384, 256, 128) if group * (side + 2 * margin) ** 2 * cost <= _CPU_OPERATIONS]
        return max(sides, default=_SMALLEST_CPU_TILE)
    free, _ = torch.cuda.mem_get_info(model.device)
    side = 2048
    # About six feature maps of the finest level live at once.
    features = 6 * int(model.checkpoint.arch.get("width", 64)) * model.dtype.itemsize
    while side > 256 and group * (side + 2 * margin) ** 2 * features > free // 2:
        side //= 2
    return side


@functools.lru_cache(maxsize=4)
def _operations(checkpoint: Checkpoint) -> float:
    """Multiplications of one pass for each pixel, counted on a small picture.

    On the CPU, not on torch's meta device: that one loads the compiler, which takes seconds.
    """
    side, counted = 32, 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal counted
        weight: Tensor = layer.weight  # pyright: ignore[reportAssignmentType]
        # A transposed convolution spreads each sample that it is given, another gathers each one that it gives.
        samples = given[0] if isinstance(layer, nn.ConvTranspose2d) else result
        counted += samples.numel() * weight[0].numel()

    network = checkpoint.build()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, checkpoint.channels, side, side), torch.zeros(1, 1, 1, 1))
    return counted / side**2
