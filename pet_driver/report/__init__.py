"""Report about runs: figures, numbers and an HTML page.

Modules with figures:

- ``molecule``: angular momentum and energy spectra of one molecule
- ``orientation``: orientational free energies
- ``liquid``, ``dynamics``: structure and dynamics of liquid water
- ``symmetry``: torque and symmetry errors for different grids
- ``ice``: relaxations
- ``conservation``: conserved quantities

Other modules:

- ``contents``: list of all figures, and what is needed for each
- ``comparison``: which runs are compared, their labels and colors
- ``run_output``, ``trajectory_analysis``: reading and analyzing the files of a run
- ``drawing``: style and helper functions of the figures
- ``excerpt``, ``viewer``, ``page``: selected frames, the interactive view, and the page
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
MAX_VIEWS = 6  # structures in the interactive view


def write_report(
    folders: Path | Iterable[Path],
    output: Path | None = None,
    track: Callable[[Sequence[Plan]], Iterable[Plan]] = iter,
) -> Path:
    """Write a report about all runs in and below some folders.

    Writes each figure as PNG, SVG and PDF, its numbers into ``numbers.json``, and ``report.html``
    with all figures. A figure for which there is no suitable run is left out, and the page says
    what is needed for it.

    Args:
        folders: where to search for runs and for ``symmetry-probe.json`` files.
        output: folder to write to, by default the first of ``folders``.
        track: wraps the loop over the figures, for a progress bar.

    Returns:
        The path of the page.

    Raises:
        PetDriverError: there are neither runs nor probes, a ``run.json`` is damaged, or a file of
            a finished run is missing.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    output = output or folders[0]
    probes = find_probes(folders)
    runs, missing = _complete_runs(find_runs(folders, may_be_none=bool(probes)))
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


def _complete_runs(runs: Sequence[Run]) -> tuple[list[Run], list[Missing]]:
    """Return the runs that have all their files, and entries for the others.

    An unfinished run may not have written its first frame yet; it is left out. This is checked
    before any figure is made.

    Raises:
        PetDriverError: a file of a finished run is missing.
    """
    complete, missing = [], []
    for run in runs:
        try:
            _check_files(run)
            complete.append(run)
        except PetDriverError as error:
            if run.state == "finished":
                raise
            remedy = f"the same command again, which resumes it ({run.steps} steps are done)"
            missing.append(Missing(f"all figures of the run {run.name}", str(error), remedy))
    return complete, missing


def _check_files(run: Run) -> None:
    names = [*run.positions, *run.velocities, *run.forces, *run.rotations]
    for name in [run.properties, *names]:
        run.path(name)


def _save(drawing: Drawing, output: Path) -> None:
    with matplotlib.rc_context(STYLE):
        for suffix in FORMATS:
            drawing.figure.savefig(output / f"{drawing.name}.{suffix}")


def _entries(numbers: Sequence[Number]) -> dict[str, dict[str, Any]]:
    """Return the numbers by name, with null for NaN and infinity, which JSON does not have."""

    def plain(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    entries: dict[str, dict[str, Any]] = {}
    for number in numbers:
        name, count = number.what, 1
        while name in entries:  # keep all numbers of one name
            count += 1
            name = f"{number.what} ({count})"
        entries[name] = {"text": number.text, **{k: plain(v) for k, v in number.values.items()}}
    return entries


def _excerpts(runs: Sequence[Run]) -> list[Excerpt]:
    """Return frames of the first runs that can be shown."""
    excerpts: list[Excerpt] = []
    for run in runs:
        if len(excerpts) == MAX_VIEWS:
            break
        try:
            excerpts.append(excerpt(run))
        except PetDriverError:
            continue  # the notes of the figures say what is wrong with the run
    return excerpts
