"""The HTML page, one self-contained file: figures, numbers, structures and provenance."""

from __future__ import annotations

import base64
import html
import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path

from pet_driver.report.comparison import grid_label, state_note
from pet_driver.report.contents import Missing
from pet_driver.report.drawing import Drawing
from pet_driver.runs.record import Run

CSS_DPI = 110  # pixels of the page per inch of a figure


@dataclass(frozen=True)
class Page:
    """Content of the page.

    Attributes:
        runs: all runs.
        drawings: figures in order, each with its section.
        missing: figures that could not be drawn.
        view: HTML of the interactive view.
        folder: folder with the figures as PNG.
    """

    runs: Sequence[Run]
    drawings: Sequence[tuple[str, Drawing]]
    missing: Sequence[Missing]
    view: str
    folder: Path


def render(page: Page) -> str:
    """Return the HTML of the page."""
    style = (resources.files(__package__) / "style.css").read_text()
    sections = "\n".join(
        f"<h2>{html.escape(section)}</h2>\n"
        + "\n".join(_drawing(drawing, page.folder) for _, drawing in drawings)
        for section, drawings in groupby(page.drawings, key=lambda entry: entry[0])
    )
    view = f"<h2>Structures</h2>\n{page.view}" if page.view else ""
    version = importlib.metadata.version("pet-driver")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pet-driver: report</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<style>{style}</style></head><body>
<h1>Water with a PET potential</h1>
{_runs(page.runs)}
<p class="note">Figures compare runs that differ only in the grid of rotations. The folder of this
page contains each figure as PDF, SVG and PNG, and all numbers in numbers.json. Written by
pet-driver {version}.</p>
{view}
{sections}
{_missing(page.missing)}
<h2>Provenance</h2>
{_provenance(page.runs)}
</body></html>
"""


def _runs(runs: Sequence[Run]) -> str:
    header = (
        "run", "engine", "motion", "potential", "atoms", "beads", "steps", "time", "wall time",
        "per step",
    )  # fmt: skip
    rows = [
        (
            r.name + state_note(r), r.engine, r.motion, grid_label(r), r.n_atoms, r.n_beads,
            f"{r.steps} x {r.timestep:g} fs" if r.timestep else r.steps,
            f"{r.duration:.3g} ps" if r.timestep else "-",
            f"{r.wall_time:.0f} s" if r.wall_time else "-",
            f"{1e3 * r.wall_time / r.steps:.1f} ms" if r.wall_time else "-",
        )
        for r in runs
    ]  # fmt: skip
    return _table(header, rows)


def _drawing(drawing: Drawing, folder: Path) -> str:
    parts = [f"<h3>{html.escape(drawing.title)}</h3>"]
    caption = f"<figcaption>{html.escape(drawing.caption)}</figcaption>"
    parts.append(f"<figure>{_image(drawing, folder)}{caption}</figure>")
    if drawing.rows:
        parts.append(_table(drawing.header, drawing.rows))
    if drawing.numbers:
        parts.append(_table(None, [(number.what, number.text) for number in drawing.numbers]))
    parts += [f'<p class="note">{html.escape(note)}.</p>' for note in drawing.notes]
    return "\n".join(parts)


def _image(drawing: Drawing, folder: Path) -> str:
    """Return the HTML of a figure, with its PNG embedded."""
    image = base64.b64encode((folder / f"{drawing.name}.png").read_bytes()).decode()
    # in the size of the printed figure: a high-resolution screen shows more pixels of the PNG
    width = round(CSS_DPI * drawing.figure.get_figwidth())
    title = html.escape(drawing.title)
    return f'<img alt="{title}" width="{width}" src="data:image/png;base64,{image}">'


def _missing(missing: Sequence[Missing]) -> str:
    if not missing:
        return ""
    rows = [(entry.what, entry.reason or "no suitable run", entry.remedy) for entry in missing]
    return "<h2>Missing figures</h2>\n" + _table(("figure", "reason", "what is needed"), rows)


def _provenance(runs: Sequence[Run]) -> str:
    parts = []
    for run in runs:
        rows = [("folder", run.folder), ("command", run.command), *run.provenance.items()]
        name = html.escape(run.name)
        parts.append(f"<details><summary>{name}</summary>{_table(None, rows)}</details>")
    return "\n".join(parts)


def _table(header: Iterable[object] | None, rows: Iterable[Iterable[object]]) -> str:
    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    head = line(header, "th") if header else ""
    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>{head}{body}</table></div>'
