"""Figures and a page about runs.

| module | what |
|---|---|
| ``contents`` | what a report holds, and what would give that which is missing |
| ``molecule`` | angular momentum, spectra of one molecule |
| ``orientation`` | orientational free energies |
| ``liquid``, ``dynamics`` | structure of the liquid, motion in it |
| ``symmetry`` | torque and errors against the grid |
| ``ice``, ``conservation`` | relaxations, conserved quantities |
| ``comparison``, ``observe``, ``drawing`` | which runs stand side by side; reading them; looks |
| ``excerpt``, ``viewer``, ``page`` | frames, the interactive view, the page |
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from pet_driver.errors import PetDriverError
from pet_driver.report.contents import PLANS, Missing, Plan, draw
from pet_driver.report.drawing import STYLE, Drawing, Number
from pet_driver.report.excerpt import Excerpt, excerpt
from pet_driver.report.page import Page, render
from pet_driver.report.symmetry import find_probes
from pet_driver.report.viewer import find_bundle, render_view
from pet_driver.runs.record import Run, find_runs

__all__ = ["write_report"]

FORMATS = ("png", "svg", "pdf")
VIEWS = 6  # structures on the page at most


def write_report(
    folders: Path | Iterable[Path],
    output: Path | None = None,
    track: Callable[[Sequence[Plan]], Iterable[Plan]] = iter,
) -> Path:
    """Analyse all runs in and below some folders.

    Writes each figure as PNG, SVG and PDF, the numbers they show as ``numbers.json``, and
    ``report.html`` with everything in it. A figure that no run serves is left out, and the page
    says what would give it.

    Args:
        folders: where to search; symmetry-probe.json files are found there as well.
        output: where to write, by default into the first folder.
        track: wraps the loop over figures, for a progress bar.

    Returns:
        The path of the page.

    Raises:
        PetDriverError: there are no runs, a run.json is not one, or that of a finished run names
            a file that is gone.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    output = output or folders[0]
    probes = find_probes(folders)
    runs, missing = _whole(find_runs(folders))
    drawings: list[tuple[str, Drawing]] = []
    for plan in track(PLANS):
        found = draw(plan, runs, probes)
        if isinstance(found, Missing):
            missing.append(found)
        else:
            drawings.append((plan.section, found))
    output.mkdir(parents=True, exist_ok=True)
    for _, drawing in drawings:
        _save(drawing, output)
    numbers = {drawing.name: _entries(drawing.numbers) for _, drawing in drawings}
    (output / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    page = output / "report.html"
    view = render_view(_excerpts(runs), find_bundle())
    page.write_text(render(Page(runs, drawings, missing, view, output)), encoding="utf-8")
    return page


def _whole(runs: Sequence[Run]) -> tuple[list[Run], list[Missing]]:
    """The runs whose files are all there, before any time goes into figures, and the others.

    One that is under way may not have come to its first frame. One that is done has lost it.

    Raises:
        PetDriverError: a finished run names a file that is gone.
    """
    whole, missing = [], []
    for run in runs:
        try:
            _check_files(run)
            whole.append(run)
        except PetDriverError as error:
            if run.state == "finished":
                raise
            remedy = f"the same command again, which resumes it ({run.steps} steps are done)"
            missing.append(Missing(f"all of the run {run.name}", str(error), remedy))
    return whole, missing


def _check_files(run: Run) -> None:
    names = [*run.positions, *run.velocities, *run.forces, *run.rotations]
    for name in [run.properties, *names]:
        run.path(name)


def _save(drawing: Drawing, output: Path) -> None:
    with matplotlib.rc_context(STYLE):
        for suffix in FORMATS:
            drawing.figure.savefig(output / f"{drawing.name}.{suffix}")


def _entries(numbers: Sequence[Number]) -> dict[str, dict[str, Any]]:
    """Numbers for JSON, which has no NaN."""

    def plain(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    found: dict[str, dict[str, Any]] = {}
    for number in numbers:
        what, again = number.what, 1
        while what in found:  # nothing is lost
            again += 1
            what = f"{number.what} ({again})"
        found[what] = {"text": number.text, **{k: plain(v) for k, v in number.values.items()}}
    return found


def _excerpts(runs: Sequence[Run]) -> list[Excerpt]:
    """Frames of the first runs that can be shown."""
    found: list[Excerpt] = []
    for run in runs:
        if len(found) == VIEWS:
            break
        try:
            found.append(excerpt(run))
        except PetDriverError:
            continue  # the figures say what is wrong with it
    return found
