"""The study of real noise: pairs of PolyU (Xu et al., Real-world noisy image denoising: a new benchmark, 2018)."""

from __future__ import annotations

import re
import shutil
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.studies.bench import PAIRS, Bench, FixedAlpha, train
from app.studies.report import NOT_PRINTED, Choices, Report, StudyError, score
from engine.corruption import rng_for
from engine.image import find_images, load_image
from engine.methods.r2r import R2R
from engine.noise import chen_as_published, measure_noise
from engine.pairs import find_reference

ALPHA = 20.0
SIDES = (8, 32)
"""Of Chen's patches."""
TEST_SHARE = 0.3


def polyu(choices: Choices) -> None:
    """Real noise: Chen's estimate with patches of 8 and 32, alpha 20, and a split by scene."""
    twins = [(path, find_reference(path)) for path in find_images(choices.data)]
    pairs = dict([(noisy, clean) for noisy, clean in twins if clean is not None][: choices.limit])
    learned, measured = split_by_scene(list(pairs))
    if not learned:
        raise StudyError("The study polyu needs pairs X_real and X_mean of at least two scenes in --data")
    bench = Bench(choices, channels=3)
    trained = _train(choices, learned) if choices.steps != 0 else None
    report = Report("polyu", "PolyU: real camera noise", choices, bench.about)
    scores, noise = report.scores, []
    estimates: dict[int, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for path in measured:
        image, clean, given = load_image(path), load_image(pairs[path]).pixels, {"scene": scene_of(path)}
        noisy = image.pixels
        noise.append(float(np.std(noisy - clean)) * 255)
        for side in SIDES:
            began = time.monotonic()
            estimates[side].append((chen_as_published(noisy, side) * 255, time.monotonic() - began))
        first, last = (estimates[side][-1][0] for side in (SIDES[0], SIDES[-1]))
        scores.append(score(path.stem, noisy, clean, **given, what="noisy", protocol="right", sigma=""))
        # One array is input, target and test picture: y + 20 sigma z, less sigma z / 20, one z for all channels.
        z = rng_for(choices.seed, path.stem).standard_normal((*noisy.shape[:2], 1)).astype(np.float32)
        overwritten = noisy + np.float32((ALPHA - 1 / ALPHA) * last / 255) * z
        scores.append(
            score(path.stem, overwritten, clean, **given, what="noisy", protocol="reported", sigma=f"{last:.4f}")
        )
        if trained is not None:
            made = trained.denoise(R2R(), noisy, first, PAIRS, alpha=ALPHA).mean(PAIRS)
            scores.append(
                score(path.stem, made, clean, **given, what="alpha 20", protocol="right", sigma=f"{first:.4f}")
            )
        level = measure_noise(image).level * 255
        made = bench.denoise(R2R(), noisy, level, PAIRS).mean(PAIRS)
        scores.append(score(path.stem, made, clean, **given, what="default", protocol="right", sigma=f"{level:.4f}"))
        choices.say(f"{path.stem}: {scores[-1].psnr_db:.2f} dB by default")

    overwritten = scores.cell(what="noisy", protocol="reported")
    report.text(
        f"{len(learned)} pictures to learn from and {len(measured)} that are measured, no scene in both; the report "
        "measures those it learned from, too. Mean PSNR in dB / mean SSIM."
    )
    default = scores.cell(what="default")
    report.table(
        ["", "paper, printed", "report, printed", "reported", "right"],
        [
            ["noisy input", NOT_PRINTED, NOT_PRINTED, overwritten, scores.cell(what="noisy", protocol="right")],
            [
                "R2R, alpha 20, Chen's sigma",
                "35.60 / 0.964",
                "32.32 / 0.909",
                overwritten,
                scores.cell(what="alpha 20"),
            ],
            ["this program's default", NOT_PRINTED, NOT_PRINTED, NOT_PRINTED, default],
        ],
    )
    report.text(
        "Reported: input, target and test picture are one array that is changed in place, so the network learns to "
        "return what it is given, and that has (20 - 1/20) sigma z more noise than the camera left. Its result is "
        "that picture, worse than the untouched one. Its SSIM has a data range of 2.",
        f"Right: the same recipe without the mistake, {choices.budget}: input y + 20 sigma z, target y - sigma z / "
        "20, z for each channel, and the pictures as they are. Chen's sigma is far too low here, so the target keeps "
        "all of the noise it shares with the input, and hardly any is learned to be removed. The default measures "
        "correlated noise and treats it as stronger white noise, with a network that learned from white noise alone.",
        "Chen's estimate of the measured pictures, all channels together, beside the deviation from the mean pictures:",
    )
    rows = []
    for side, found in estimates.items():
        values = [value for value, _ in found]
        mean, seconds = np.mean(found, axis=0)
        rows.append(
            [str(side), f"{side**2}", f"{3 * side**2}", f"{mean:.3f}", f"{min(values):.3f} to {max(values):.3f}"]
        )
        rows[-1] += [f"{np.mean(noise):.2f}", f"{seconds:.2f}"]
    header = ["patch", "eigenvalues, reported", "right", "mean, of 255", "range", "noise, of 255", "seconds a picture"]
    report.table(header, rows)
    report.text(
        "A patch of d x d has 3 d^2 values and so r = 3 d^2 eigenvalues; the report counts d^2. It calls patches of 32 "
        "the most efficient. The estimate takes the noise for white and independent in the channels, which a camera's "
        "is not."
    )
    report.write()


def scene_of(path: Path) -> str:
    """The name of a noisy picture without its ending and the number of the crop."""
    return re.sub(r"_\d+$", "", re.sub(r"_(real|noisy)$", "", path.stem, flags=re.IGNORECASE))


def split_by_scene(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures to learn from and pictures to measure, 70 to 30 as near as whole scenes allow, always the same.

    Crops of a scene overlap, so they stay together. Both are empty where there are not two scenes.
    """
    scenes: dict[str, int] = {}
    for path in paths:
        scenes[scene_of(path)] = scenes.get(scene_of(path), 0) + 1
    if len(scenes) < 2:
        return [], []
    # For each number of pictures that some scenes make up, the first such scenes in an order of no meaning.
    sums: dict[int, frozenset[str]] = {0: frozenset()}
    for scene in sorted(scenes, key=lambda name: (zlib.crc32(name.encode()), name)):
        for total, chosen in list(sums.items()):
            sums.setdefault(total + scenes[scene], chosen | {scene})
    possible = [total for total in sums if 0 < total < len(paths)]
    chosen = sums[min(possible, key=lambda total: (abs(total - TEST_SHARE * len(paths)), total))]
    return [p for p in paths if scene_of(p) not in chosen], [p for p in paths if scene_of(p) in chosen]


def _train(choices: Choices, learned: Sequence[Path]) -> Bench:
    run = choices.out / "runs" / "polyu"
    pictures = run / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for path in learned:
        shutil.copyfile(path, pictures / path.name)
    return train(choices, run, FixedAlpha(ALPHA, by_chen=True), "dncnn17-bias", data=str(pictures), batch=16)
