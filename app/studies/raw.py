"""The study of RAW pictures: denoised on the sensor's mosaic, or after developing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from app.studies.report import Choices, Report, StudyError, score
from engine import params
from engine.blend import Blend
from engine.checkpoint import list_checkpoints
from engine.corruption import rng_for
from engine.denoise import Denoising, Model, load_model
from engine.develop import XYZ_TO_SRGB, Develop, from_srgb, settle
from engine.image import Image, find_images, load_image
from engine.mosaic import Mosaic, pack, sites, unpack
from engine.mosaic_denoising import MosaicDenoising, begin
from engine.noise import NoiseReport
from engine.proposal import propose, settled_sigma
from engine.stabilisation import channels, measure, stabiliser

NOISES = {"weak": (0.0005, 0.001), "middle": (0.002, 0.003), "strong": (0.008, 0.008)}
"""Of the mosaics made here: variance of photons over light, and deviation in the dark; 1 is the sensor's white."""

NEUTRAL = np.array([0.5, 1.0, 0.65])
"""What their camera records of white."""

SHARES = (0.35, 0.5, 0.7)
"""Of the measured level, which the developed picture is also denoised with: it is too much there."""


def raw(choices: Choices) -> None:
    """RAW: the mosaic denoised and then developed, against the developed picture denoised; three noises of a sensor."""
    report = Report("raw", "RAW: before or after developing", choices, f"white balance {NEUTRAL.tolist()}")
    scores = report.scores
    for name, noise, clean, image in cases(choices):
        truth = settle(clean, image.develop).develop(clean.pixels)
        for what, made in ways(image):
            scores.append(score(name, made, truth, noise=noise, what=what))
        found = {s.settings["what"]: s.psnr_db for s in scores if s.name == name and s.settings["noise"] == noise}
        choices.say(f"{name}, {noise}: " + ", ".join(f"{what} {db:.2f}" for what, db in found.items()))
    noises = list(dict.fromkeys(s.settings["noise"] for s in scores))
    report.text(
        "Mean PSNR in dB / mean SSIM of the developed pictures, sRGB, against their clean twins developed alike. "
        "*automatic* is what this program does by itself, the mosaic's noise fitted to the noisy mosaic alone. Made "
        "noise: photons and electronics, rounded to 12 bits and clipped by the sensor; "
        + "; ".join(f"{name} {a:g} x light + {s:g}^2" for name, (a, s) in NOISES.items())
        + ". *file* is that of DNG files X_noisy and X_clean."
    )
    kinds = list(dict.fromkeys(s.settings["what"] for s in scores))
    rows = [[what, *(scores.cell(what=what, noise=noise) for noise in noises)] for what in kinds]
    report.table(["", *noises], rows)
    report.write()


def cases(choices: Choices) -> Iterator[tuple[str, str, Mosaic, Image]]:
    """Name, noise, clean mosaic and noisy developed picture, for each file and noise."""
    paths = [path for path in find_images(choices.data) if not path.stem.endswith("_clean")][: choices.limit]
    if not paths:
        raise StudyError("The study raw needs clean pictures, or DNG pairs X_noisy and X_clean, in --data")
    for path in paths:
        image = load_image(path)
        if image.is_raw:
            twin = path.with_name(path.name.replace("_noisy", "_clean"))
            if image.mosaic is not None and twin != path and twin.is_file():
                clean = load_image(twin).mosaic
                assert clean is not None
                # Exactly as the noisy one: what is measured in each file may differ.
                yield path.stem, "file", replace(clean, neutral=image.mosaic.neutral), image
            continue
        clean = mosaic_of(image.pixels)
        for noise, (slope, deviation) in NOISES.items():
            rng = rng_for(choices.seed, f"{path.stem} {noise}")
            noisy = rng.poisson(clean.pixels / slope) * slope + deviation * rng.standard_normal(clean.pixels.shape)
            recorded = np.clip(np.rint(noisy * 3839) / 3839, -256 / 3839, 1).astype(np.float32)
            mosaic, how = replace(clean, pixels=recorded), Develop()
            yield path.stem, noise, clean, Image(settle(mosaic, how).develop(recorded), None, 16, mosaic=mosaic)


def mosaic_of(pixels: np.ndarray) -> Mosaic:
    """What a camera with sRGB's primaries records of an sRGB picture (H, W, C)."""
    linear = from_srgb(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    linear = linear[: linear.shape[0] // 2 * 2, : linear.shape[1] // 2 * 2]
    out = np.empty(linear.shape[:2], np.float32)
    for (row, column), colour in sites("RGGB"):
        out[row::2, column::2] = linear[row::2, column::2, colour] * NEUTRAL[colour]
    return Mosaic(out, "RGGB", NEUTRAL, XYZ_TO_SRGB)


def ways(image: Image) -> Iterator[tuple[str, np.ndarray]]:
    """Each way of denoising it, and what that gives, developed."""
    mosaic = image.mosaic
    assert mosaic is not None
    yield "noisy", image.pixels
    developed = replace(image, develop=replace(image.develop, domain="picture"))
    report = measure(developed)
    yield "developed, automatic", denoised(developed, report)
    for share in SHARES:
        yield f"developed, {share:g} of the measured level", denoised(developed, report, share * report.level)
    yield "mosaic, automatic", denoised(image, measure(image))
    found = stabiliser(mosaic)
    planes = found.forward(pack(mosaic.pixels, mosaic.pattern))
    pipeline = settle(mosaic, image.develop)

    def develop(light: np.ndarray) -> np.ndarray:
        return pipeline.develop(unpack(found.inverse(light), mosaic.pattern))

    yield "mosaic, each colour alone, grey model", develop(_run(load_model(channels=1), planes, found.sigma))
    colour = load_model(channels=3)
    if colour.checkpoint.channels == 3:
        # Both greens with the same red and blue: two pictures of half the size.
        first, second = (_run(colour, planes[..., [0, green, 3]], found.sigma) for green in (1, 2))
        red, blue = (first[..., 0] + second[..., 0]) / 2, (first[..., 2] + second[..., 2]) / 2
        yield (
            "mosaic, two RGB pictures, colour model",
            develop(np.stack([red, first[..., 1], second[..., 1], blue], -1)),
        )


def denoised(image: Image, report: NoiseReport, level: float | None = None) -> np.ndarray:
    """What the program makes of a picture by itself; of that level where one is given."""
    proposal = propose(report, list_checkpoints(), channels(image))
    if proposal is None:
        raise StudyError("No model is installed")
    model = load_model(proposal.model, method=proposal.method)
    values = _values(model, proposal.params)
    own = getattr(values, "sigma", None) if level is None else level
    sigma = settled_sigma(report, params.specs(model.method.Params), own)
    assert sigma is not None
    return _result(begin(model, image, values, sigma=sigma, keep=False, report=report), model.method.count(values))


def _run(model: Model, planes: np.ndarray, sigma: float) -> np.ndarray:
    values = _values(model, {})
    made = Denoising(model, Image(np.ascontiguousarray(planes)), values, sigma=sigma, keep=False)
    return _result(made, model.method.count(values))


def _values(model: Model, proposed: Any) -> Any:
    return params.make(model.method.Params, proposed, model.checkpoint.params)


def _result(denoising: Denoising | MosaicDenoising, passes: int) -> np.ndarray:
    for _ in denoising.run(passes):
        pass
    return denoising.finish(passes, Blend())
