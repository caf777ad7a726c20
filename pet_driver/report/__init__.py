"""Figures and a page about runs."""

from __future__ import annotations

import json
from pathlib import Path

from pet_driver.report import figures
from pet_driver.report.page import render
from pet_driver.report.runs import Run, find_runs

__all__ = ["Run", "find_runs", "write_report"]

FORMATS = ("png", "svg", "pdf")


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Analyse all runs below ``folder``.

    Writes each figure as PNG, SVG and PDF, the numbers they show as ``numbers.json``, and
    ``report.html`` with everything in it.

    Returns:
        The path of the page.
    """
    output = output or folder
    runs = find_runs(folder)
    drawings = []
    if molecules := [run for run in runs if run.kind == "molecule-nve"]:
        drawings.append(figures.angular_momentum(molecules))
    if liquids := [run for run in runs if run.kind.startswith("liquid")]:
        drawings.append(figures.radial_distribution(liquids))
    drawings.append(figures.conserved_quantity(runs))
    output.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        for suffix in FORMATS:
            drawing.figure.savefig(output / f"{drawing.name}.{suffix}", dpi=160)
    numbers = {drawing.name: dict(drawing.numbers) for drawing in drawings}
    (output / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    page = output / "report.html"
    page.write_text(render(runs, drawings))
    return page
