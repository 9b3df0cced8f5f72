"""Studies: the report of a published reproduction of R2R repeated, and what "Train on my folder" gives.

The reproduction is Bayya, Patwardhan, Kazmi, Kumar: Recorrupted-to-Recorrupted Image Denoising, Georgia Institute of
Technology, 2021; the paper Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.studies.learning import networks
from app.studies.raw import raw
from app.studies.real import polyu
from app.studies.report import Choices, StudyError, figure_class
from app.studies.synthetic import alpha, passes, sigma, tiles
from app.studies.tuning import tuning

STUDIES: Mapping[str, Callable[[Choices], None]] = {
    study.__name__: study for study in (passes, alpha, sigma, networks, tiles, polyu, raw, tuning)
}
"""By name; the first line of the docstring says what each is about."""


def make(name: str, choices: Choices) -> None:
    """Make a study and write it to its folder; StudyError names what is missing."""
    if name not in STUDIES:
        raise StudyError(f"There is no study {name!r}; choose from {', '.join(STUDIES)}")
    if not choices.data:
        raise StudyError("A study needs pictures to measure: give their folders with --data")
    if figure_class() is None:
        choices.say("matplotlib is not installed: tables without plots; pip install 'pellucid[study]' brings it")
    STUDIES[name](choices)
