"""The sample picture denoised without a window, for a machine that has no display.

`python -m app.sample FOLDER` writes three pictures into FOLDER and says what was reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from engine import paths
from engine.encode import save_image
from engine.image import Image, load_image

# Width in pixels of the white line between the two halves of the comparison.
_GAP = 8


class SampleError(RuntimeError):
    """The sample picture could not be denoised; the message ends with what the command line said."""


def denoise_sample(folder: Path) -> dict:
    """Write the sample picture as noisy.png, denoised.png and comparison.png (noisy left, denoised right).

    The denoising itself is the command line's, so that what is shown here is what a user gets.

    Args:
        folder: made where it is missing; earlier pictures of these names are replaced.

    Returns:
        The one JSON object that `denoise --json` printed; its PSNR is against the clean twin.

    Raises:
        SampleError: the command failed.
    """
    sample = paths.resources() / "sample"
    noisy_path, denoised_path = sample / "coffee_noisy.tif", folder.resolve() / "denoised.png"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app", "denoise", str(noisy_path), "-o", str(denoised_path)]
    command += ["--reference", str(sample / "coffee_clean.png"), "--overwrite", "--json"]
    # Started where this program's own packages lie, so that -m finds them and no other `app`. The error output is let
    # through: warnings and progress are for whoever watches.
    home = sample.parents[1]
    done = subprocess.run(command, cwd=home, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise SampleError(f"The sample picture could not be denoised (exit code {done.returncode}): see above.")
    noisy, denoised = load_image(noisy_path).pixels, load_image(denoised_path).pixels
    gap = np.ones((noisy.shape[0], _GAP, noisy.shape[2]), np.float32)
    save_image(Image(noisy), folder / "noisy.png")
    save_image(Image(np.concatenate([noisy, gap, denoised], axis=1)), folder / "comparison.png")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Denoise the sample picture into the folder named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else Path("pellucid-sample")
    try:
        result = denoise_sample(folder)
    except SampleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in ("noisy.png", "denoised.png", "comparison.png"):
        sys.stdout.write(f"wrote {folder / name}\n")
    sys.stdout.write(f"PSNR {result['noisy_psnr_db']:.2f} dB noisy, {result['psnr_db']:.2f} dB denoised\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
