"""The studies of white noise that is put on clean pictures."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from app.studies.bench import ALPHA, JITTER, PAIRS, Bench, Independent, clean_pictures
from app.studies.report import HOW_REPORTED, NOT_PRINTED, PAPER, REPORT, Choices, Report, score
from engine.image import load_image
from engine.methods.r2r import R2R, R2RParams

RATIOS = (0.8, 0.9, 1.0, 1.1, 1.2)
ALPHAS = (1.0, 0.5, 0.3, 0.1)
TILES = (32, 64, 128, 256)
REPORT_BY_ALPHA = {
    (25.0, 1.0): "27.39 / 0.848",
    (25.0, 0.5): "28.18 / 0.867",
    (25.0, 0.3): "26.64 / 0.821",
    (25.0, 0.1): "19.20 / 0.428",
    (50.0, 1.0): "23.83 / 0.720",
    (50.0, 0.5): "23.68 / 0.696",
    (50.0, 0.3): "21.43 / 0.523",
    (50.0, 0.1): "11.46 / 0.091",
}


def passes(choices: Choices) -> None:
    """T = 1, T = 50 and 4 passes in antithetic pairs: distributions, and the lowest, median and highest picture."""
    bench, pictures, most = Bench(choices), clean_pictures(choices), choices.passes
    report = Report("passes", "Passes: one, many, and antithetic pairs", choices, bench.about)
    scores, looks, noise = report.scores, {}, {}
    counts = sorted({1, most})
    for sigma, path in itertools.product(choices.sigmas, pictures):
        pixels, name = load_image(path).pixels, path.stem
        clean = bench.like(pixels)
        noisy = bench.noisy(clean, sigma, name)
        weaker = bench.noisy_as_reported(pixels, sigma, name)
        for protocol, given, method in (("right", noisy, Independent()), ("reported", weaker, Independent(JITTER))):
            work = bench.denoise(method, given, sigma, most)
            for count in counts:
                made = {"sigma": sigma, "draws": "independent", "passes": count, "protocol": protocol}
                scores.append(score(name, work.mean(count), clean, **made))
            noise.setdefault((sigma, protocol), []).append(float(np.std(given - clean)) * 255)
            if protocol == "right":
                looks[sigma, name] = (noisy, work.mean(most), clean)
        made = {"sigma": sigma, "draws": "pairs", "passes": PAIRS, "protocol": "right"}
        scores.append(score(name, bench.denoise(R2R(), noisy, sigma, PAIRS).mean(PAIRS), clean, **made))
        choices.say(f"sigma {sigma:g}, {name}: {scores[-1].psnr_db:.2f} dB by {PAIRS} passes in pairs")

    settings = [{"draws": "independent", "passes": count} for count in counts] + [{"draws": "pairs", "passes": PAIRS}]
    rows = []
    for sigma, kind in itertools.product(choices.sigmas, settings):
        printed = kind == {"draws": "independent", "passes": 50}
        rows.append(
            [f"{sigma:g}", str(kind["passes"]), str(kind["draws"])]
            + [table.get(sigma, NOT_PRINTED) if printed else NOT_PRINTED for table in (PAPER, REPORT)]
            + [scores.cell(sigma=sigma, **kind, protocol="reported") or NOT_PRINTED]
            + [scores.cell(sigma=sigma, **kind, protocol="right")]
        )
    report.text("Mean PSNR in dB / mean SSIM over the pictures.")
    report.table(["sigma", "passes", "draws", "paper, printed", "report, printed", "reported", "right"], rows)
    report.text(HOW_REPORTED, "The deviation of the noise that is in the pictures:")
    report.table(
        ["sigma", "reported", "right"],
        [[f"{s:g}", *(f"{np.mean(noise[s, kind]):.1f}" for kind in ("reported", "right"))] for s in choices.sigmas],
    )
    report.text(
        "Paper and report run DnCNN-17 trained for the one sigma; this model may be another. Pairs cancel the part of "
        "the error that is odd in z, nearly all of it, so that few passes do what many independent ones do."
    )

    def histograms(figure: Any) -> None:
        units = {"psnr_db": "PSNR in dB", "ssim": "SSIM"}
        grid = figure.subplots(len(choices.sigmas), 2, squeeze=False)
        for (sigma, unit), axes in zip(itertools.product(choices.sigmas, units), grid.flat, strict=True):
            found = [scores.where(sigma=sigma, **kind, protocol="right") for kind in settings]
            labels = [f"{k['passes']} {'in ' * (k['draws'] == 'pairs')}{k['draws']}" for k in settings]
            axes.hist([[getattr(s, unit) for s in group] for group in found], label=labels)
            axes.set(title=f"sigma {sigma:g}", xlabel=units[unit], ylabel="pictures")
        grid[0, 0].legend(fontsize="small")

    report.plot("histograms.png", "Pictures by PSNR and by SSIM, measured rightly.", histograms)
    for sigma in choices.sigmas:
        ranked = scores.where(sigma=sigma, draws="independent", passes=most, protocol="right")
        ranked.sort(key=lambda s: s.psnr_db)
        for place, s in (("lowest", ranked[0]), ("median", ranked[len(ranked) // 2]), ("highest", ranked[-1])):
            about = f"Sigma {sigma:g}, {place}: {s.name}, {s.psnr_db:.2f} dB. Noisy, {most} independent passes, clean."
            report.strip(f"sigma{sigma:g}-{place}.png", about, looks[sigma, s.name])
    report.write()


def alpha(choices: Choices) -> None:
    """The strength of the recorruption: alpha 1, 0.5, 0.3 and 0.1."""
    bench, pictures, most = Bench(choices), clean_pictures(choices), choices.passes
    report = Report("alpha", "Recorruption strength alpha", choices, bench.about)
    scores = report.scores
    for sigma, path in itertools.product(choices.sigmas, pictures):
        pixels, name = load_image(path).pixels, path.stem
        clean = bench.like(pixels)
        noisy = bench.noisy(clean, sigma, name)
        weaker = bench.noisy_as_reported(pixels, sigma, name)
        for strength in ALPHAS:
            given = {"sigma": sigma, "alpha": strength}
            made = bench.denoise(R2R(), noisy, sigma, PAIRS, alpha=strength).mean(PAIRS)
            scores.append(score(name, made, clean, **given, passes=PAIRS, protocol="right"))
            made = bench.denoise(Independent(JITTER), weaker, sigma, most, alpha=strength).mean(most)
            scores.append(score(name, made, clean, **given, passes=most, protocol="reported"))
        choices.say(f"sigma {sigma:g}, {name}: done")
    report.text(f"Mean PSNR in dB / mean SSIM. Right: {PAIRS} passes in pairs; reported: {most} independent ones.")
    report.table(
        ["sigma", "alpha", "report, printed", "reported", "right"],
        [
            [f"{sigma:g}", f"{strength:g}", REPORT_BY_ALPHA.get((sigma, strength), NOT_PRINTED)]
            + [scores.cell(sigma=sigma, alpha=strength, protocol=protocol) for protocol in ("reported", "right")]
            for sigma, strength in itertools.product(choices.sigmas, ALPHAS)
        ],
    )
    report.text(
        "The report trains a network for each alpha; here one network is run with each. That the printed numbers fall "
        "towards small alpha is no property of R2R: z is drawn once for each crop there, and the target's noise, "
        "sigma z / alpha, learned by heart. Nor is 1 a limit of alpha.",
        HOW_REPORTED,
    )
    lines = {
        f"sigma {sigma:g}": [scores.db(sigma=sigma, alpha=strength, protocol="right") for strength in ALPHAS]
        for sigma in choices.sigmas
    }
    report.lines("alpha.png", "PSNR by alpha, measured rightly.", ALPHAS, lines, "alpha")
    report.write()


def sigma(choices: Choices) -> None:
    """What a wrong sigma costs: ratios of 0.8 to 1.2, and a jitter of up to 10 % in each pass."""
    bench, pictures, most = Bench(choices), clean_pictures(choices), choices.passes
    report = Report("sigma", "A wrong noise level", choices, bench.about)
    scores = report.scores
    for level, path in itertools.product(choices.sigmas, pictures):
        name, clean = path.stem, bench.like(load_image(path).pixels)
        noisy = bench.noisy(clean, level, name)
        for ratio in RATIOS:
            given = {"sigma": level, "draws": "pairs", "passes": PAIRS, "ratio": ratio, "jitter": 0.0}
            scores.append(score(name, bench.denoise(R2R(), noisy, ratio * level, PAIRS).mean(PAIRS), clean, **given))
        for jitter in (JITTER, 0.0):
            given = {"sigma": level, "draws": "independent", "passes": most, "ratio": 1.0, "jitter": jitter}
            scores.append(
                score(name, bench.denoise(Independent(jitter), noisy, level, most).mean(most), clean, **given)
            )
        choices.say(f"sigma {level:g}, {name}: done")
    rows = []
    for level, ratio in itertools.product(choices.sigmas, RATIOS):
        cost = scores.db(sigma=level, draws="pairs", ratio=ratio) - scores.db(sigma=level, draws="pairs", ratio=1.0)
        rows.append(
            [f"{level:g}", f"{ratio:g}", scores.cell(sigma=level, draws="pairs", ratio=ratio), f"{cost:+.2f} dB"]
        )
    report.text(f"Mean PSNR in dB / mean SSIM of {PAIRS} passes in pairs where sigma is wrong by a ratio.")
    report.table(["sigma", "told / true", "PSNR / SSIM", "against the true sigma"], rows)
    rows = []
    for level in choices.sigmas:
        given = {"sigma": level, "draws": "independent"}
        cost = scores.db(**given, jitter=JITTER) - scores.db(**given, jitter=0.0)
        rows.append([f"{level:g}", *(scores.cell(**given, jitter=j) for j in (JITTER, 0.0)), f"{cost:+.3f} dB"])
    report.text(
        f"The report's test of robustness draws sigma within 10 % for each of T = {most} passes. That jitter is in all "
        "its results, which are called unjittered, so it compares the jitter with itself. Here the unjittered passes "
        "are the reference:"
    )
    report.table(["sigma", "reported: jittered", "right: not jittered", "difference"], rows)
    report.text("A jitter averages out over the passes; a sigma that is wrong in all of them does not.")
    lines = {
        f"sigma {s:g}": [scores.db(sigma=s, draws="pairs", ratio=ratio) for ratio in RATIOS] for s in choices.sigmas
    }
    report.lines("ratio.png", "PSNR by the sigma that is told.", RATIOS, lines, "sigma told / true sigma")
    report.write()


def tiles(choices: Choices) -> None:
    """Prediction in tiles against the whole picture at once: the largest difference, and the time."""
    bench, pictures, sigma = Bench(choices), clean_pictures(choices), choices.sigmas[0]
    report = Report("tiles", "Tiles against the whole picture", choices, bench.about)
    found: dict[tuple[int, bool], list[tuple[float, float]]] = {}
    wholes = []
    for path in pictures:
        name, clean = path.stem, bench.like(load_image(path).pixels)
        noisy = bench.noisy(clean, sigma, name)
        longest = max(clean.shape[:2])
        began = time.monotonic()
        whole = bench.denoise(Independent(), noisy, sigma, 1, tile=longest).mean(1)
        wholes.append(time.monotonic() - began)
        report.scores.append(score(name, whole, clean, tile="whole", seconds=f"{wholes[-1]:.3f}"))
        for side, overlap in itertools.product([side for side in TILES if side < longest], (False, True)):
            began = time.monotonic()
            made = bench.denoise(Independent(overlap=overlap), noisy, sigma, 1, tile=side).mean(1)
            seconds, difference = time.monotonic() - began, float(np.abs(made - whole).max()) * 255
            given = {"overlap": overlap, "difference": f"{difference:.6f}", "seconds": f"{seconds:.3f}"}
            report.scores.append(score(name, made, clean, tile=side, **given))
            found.setdefault((side, overlap), []).append((difference, seconds))
        choices.say(f"{name}: done")
    rows = [
        [str(side)]
        + [f"{max(difference for difference, _ in found[side, overlap]):.5f}" for overlap in (False, True)]
        + [f"{report.scores.db(tile=side, overlap=overlap):.2f} dB" for overlap in (False, True)]
        + [f"{np.mean([seconds for _, seconds in found[side, overlap]]):.2f} s" for overlap in (False, True)]
        for side in sorted({side for side, _ in found})
    ]
    report.text(
        f"One pass at sigma {sigma:g}, alpha {ALPHA:g}: the largest difference from the whole picture in any pixel, of "
        f"255, the mean PSNR, and the mean time of a picture. At once: {report.scores.db(tile='whole'):.2f} dB, "
        f"{np.mean(wholes):.2f} s."
    )
    report.table(
        [
            "tile",
            "reported",
            "right",
            *(f"{what}, {how}" for what in ("PSNR", "time") for how in ("reported", "right")),
        ],
        rows,
    )
    margin = R2R().margin(bench.model.network, R2RParams())
    report.text(
        "The report's kernel goes over the picture in tiles that know nothing of one another (as printed it stops with "
        "an error, since it calls a function without its arguments). The network then sees zeros beyond each tile, and "
        f"seams appear. Right is a margin as wide as the receptive field, {margin} pixels here: it changes the time "
        "alone."
    )
    report.write()
