"""One HTML page that stands by itself: figures, numbers and provenance."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

from pet_driver.report.figures import Drawing
from pet_driver.report.runs import Run

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
h1, h2 { line-height: 1.2; }
figure { margin: 2rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: #555; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; }
code { font-size: .85em; overflow-wrap: anywhere; }
"""


def render(runs: Sequence[Run], drawings: Sequence[Drawing]) -> str:
    """The whole page."""
    figures = "\n".join(_figure(drawing) for drawing in drawings)
    rows = [
        (r.name, r.engine, r.grid, f"{r.n_atoms}", f"{r.steps} x {r.timestep:g} fs",
         f"{r.wall_time:.0f} s", f"{1e3 * r.wall_time / r.steps:.1f} ms")
        for r in runs
    ]  # fmt: skip
    header = ("run", "engine", "grid", "atoms", "steps", "wall time", "per step")
    provenance = [(r.name, key, value) for r in runs for key, value in r.provenance.items()]
    commands = [(r.name, r.command) for r in runs]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pet-driver: report</title>
<style>{STYLE}</style></head><body>
<h1>Water with a PET potential</h1>
{_table(header, rows)}
{figures}
<h2>How it was made</h2>
{_table(("run", "command"), commands)}
{_table(("run", "what", "value"), provenance)}
</body></html>
"""


def _figure(drawing: Drawing) -> str:
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", dpi=160)
    image = base64.b64encode(buffer.getvalue()).decode()
    caption = html.escape(drawing.caption)
    return (
        f'<figure><img alt="{html.escape(drawing.name)}" src="data:image/png;base64,{image}">'
        f"<figcaption>{caption}</figcaption></figure>\n" + _table(None, drawing.numbers)
    )


def _table(header: Iterable[str] | None, rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    head = line(header, "th") if header else ""
    return f"<table>{head}{''.join(line(row, 'td') for row in rows)}</table>"
