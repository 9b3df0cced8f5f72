"""The study that trains the report's networks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.studies.bench import ALPHA, JITTER, PAIRS, FixedAlpha, Independent, clean_pictures, train
from app.studies.report import HOW_REPORTED, NOT_PRINTED, PAPER, REPORT, Choices, Report, Scores, StudyError, score
from engine.color import to_grey
from engine.image import load_image
from engine.method import build
from engine.methods.r2r import R2R

NETWORKS = {"plain5": "5 layers", "dncnn17-bias": "DnCNN-17"}
CROP = 40
BATCH = 128

Curves = Mapping[tuple[str, float], list[dict[str, Any]]]
"""The events of each network and sigma."""


def networks(choices: Choices) -> None:
    """The report's 5-layer network and its DnCNN-17, trained with R2R: curves of the loss, and what they reach."""
    if choices.train is None:
        raise StudyError("The study networks trains: give a folder of clean pictures with --train")
    pictures = clean_pictures(choices)
    scores, curves = Scores(), {}
    for name, sigma in itertools.product(NETWORKS, choices.sigmas):
        if choices.steps != 0:
            run = choices.out / "runs" / f"{name}-{sigma:g}"
            crops = {"patch": CROP, "stride": 35, "draws": choices.draws, "batch": BATCH}
            details = {"data": str(choices.train), "noise": f"gaussian:{sigma:g}", "grey": True, **crops}
            bench = train(choices, run, FixedAlpha(ALPHA), name, **details)
            curves[name, sigma] = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
            for path in pictures:
                pixels = load_image(path).pixels
                clean, given = to_grey(pixels), {"network": name, "sigma": sigma}
                noisy = bench.noisy(clean, sigma, path.stem)
                made = bench.denoise(R2R(), noisy, sigma, PAIRS).mean(PAIRS)
                scores.append(score(path.stem, made, clean, **given, passes=PAIRS, protocol="right"))
                choices.say(f"{run.name}, {path.stem}: {scores[-1].psnr_db:.2f} dB")
                weaker = bench.noisy_as_reported(pixels, sigma, path.stem)
                made = bench.denoise(Independent(JITTER), weaker, sigma, choices.passes).mean(choices.passes)
                scores.append(score(path.stem, made, clean, **given, passes=choices.passes, protocol="reported"))
        # After each network: a study that is stopped leaves a report of what it reached.
        _write(choices, scores, curves)


def _write(choices: Choices, scores: Scores, curves: Curves) -> None:
    from training.job import NETWORKS as KNOWN

    learned = f"learned from {choices.train.name if choices.train else ''}"
    report = Report("networks", "The report's networks, trained with R2R", choices, learned, f"{choices.budget} each")
    report.scores = scores
    sizes = {name: sum(p.numel() for p in build({**KNOWN[name], "channels": 1}).parameters()) for name in NETWORKS}
    rows = []
    for (name, label), sigma in itertools.product(NETWORKS.items(), choices.sigmas):
        printed = [table.get(sigma, NOT_PRINTED) if label == "DnCNN-17" else NOT_PRINTED for table in (PAPER, REPORT)]
        made = [scores.cell(network=name, sigma=sigma, protocol=protocol) for protocol in ("reported", "right")]
        rows.append([label, f"{sizes[name]:,}", f"{sigma:g}", *printed, *made])
    report.text(
        f"Mean PSNR in dB / mean SSIM. Right: {PAIRS} passes in pairs; reported: {choices.passes} independent ones."
    )
    report.table(["network", "parameters", "sigma", "paper, printed", "report, printed", "reported", "right"], rows)
    drawn = "once for each crop, as in the report" if choices.draws == "fixed" else "anew at each step"
    report.text(
        "Training as in the report: grey crops of 40x40 at a step of 35, 25 of a picture of 180x180, in batches of "
        f"{choices.batch or BATCH}, alpha {ALPHA:g}, Adam at 0.001; here z is drawn {drawn}. From 60 % of the budget "
        "on the rate is a tenth, as in the paper's code; the report sets a schedule up and never steps it. Here one "
        "picture in five is held out; the report holds out a fifth of the crops, whose pictures it learns from. It "
        "trains 50 epochs of 8000 crops, 3150 steps.",
        "By its log for sigma 50 the report's DnCNN-17 learns z by heart: the training loss ends at 306.98, below the "
        "307.57 that the noise of the target alone leaves, and the validation loss rises from 316.56 at epoch 29 to "
        "319.43.",
        "What the 5-layer network gives is not said in the report; here it is the noise, as DnCNN's.",
        HOW_REPORTED,
    )
    kinds = {"step": "training", "heldout": "held out"}
    points = [
        (name, sigma, kinds[event["event"]], event["step"], event["loss"] * CROP**2, event.get("learning_rate", ""))
        for (name, sigma), events in curves.items()
        for event in events
        if event["event"] in kinds
    ]

    def draw(figure: Any) -> None:
        grid = figure.subplots(1, len(choices.sigmas), squeeze=False)
        for axes, sigma in zip(grid.flat, choices.sigmas, strict=True):
            for (name, label), kind in itertools.product(NETWORKS.items(), kinds.values()):
                line = np.array([point[3:5] for point in points if point[:3] == (name, sigma, kind)]).reshape(-1, 2)
                axes.plot(line[:, 0], line[:, 1], "-" if kind == "training" else "--", label=f"{label}, {kind}")
            floor = CROP**2 * (sigma / 255) ** 2 * (1 + ALPHA**-2)
            axes.axhline(floor, color="grey", linewidth=0.8, label="noise of the target")
            axes.set(title=f"sigma {sigma:g}", xlabel="step", ylabel="squared error of a crop", yscale="log")
        grid[0, 0].legend(fontsize="small")

    if points:
        report.csv("curves.csv", ["network", "sigma", "pictures", "step", "loss", "learning_rate"], points)
        report.plot("curves.png", "Loss as the report sums it, over the pixels of a crop.", draw)
    report.write()
