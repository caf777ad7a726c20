"""The interactive view of structures, with chemiscope embedded in the page.

Chemiscope (BSD 3-clause) is installed with the extra ``report``. Only its JavaScript, a single
file, is needed, not its Python code.
"""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.visualize.plot import plot_atoms
from matplotlib.figure import Figure

from pet_driver.report.excerpt import Excerpt

BUNDLE = Path("sphinx", "static", "chemiscope.min.js")
REMEDY = (
    "This is a static picture. For an interactive view, install the extra `report` "
    "(pip install 'pet-driver[report]') and write the page again."
)
MAX_PICTURE_ATOMS = 3000  # a picture of more atoms shows nothing


def find_bundle() -> Path | None:
    """Return the path of chemiscope's JavaScript, or None if it is not installed."""
    spec = importlib.util.find_spec("chemiscope")  # does not import it
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / BUNDLE if folders else None
    return path if path is not None and path.is_file() else None


def render_view(excerpts: Sequence[Excerpt], bundle: Path | None) -> str:
    """Return the HTML of the view: the frames with chemiscope, or pictures without it."""
    if not excerpts:
        return ""
    if bundle is None:
        return f"{picture(excerpts)}\n<p class='note'>{html.escape(REMEDY)}</p>"
    options = "".join(
        f"<option value='{k}'>{html.escape(excerpt.title)}</option>"
        for k, excerpt in enumerate(excerpts)
    )
    script = (resources.files(__package__) / "viewer.js").read_text()
    datasets = json.dumps([dataset(excerpt) for excerpt in excerpts], separators=(",", ":"))
    datasets = datasets.replace("<", "\\u003c")  # no text in it may end the script element
    return f"""<p><label>Structure: <select id="view-choice">{options}</select></label></p>
<div id="view" class="view">{picture(excerpts[:1])}</div>
<p id="view-error" class="note" hidden></p>
<p class="note">Drag to rotate, press the arrow to play, or select a point of the curve. The view
uses chemiscope (BSD 3-clause licence; G. Fraux, R. K. Cersonsky, M. Ceriotti, J. Open Source Softw.
5 (2020) 2117).</p>
<script type="application/json" id="view-data">{datasets}</script>
<script>{_inline(bundle.read_text(encoding="utf-8"))}</script>
<script>{_inline(script)}</script>"""


def _inline(script: str) -> str:
    """Escape JavaScript for a script element: its strings may contain neither ``</script`` nor
    ``<!--``."""
    script = re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE)
    return script.replace("<!--", "\\x3c!--")


def dataset(excerpt: Excerpt) -> dict[str, Any]:
    """Return an excerpt in the JSON format of chemiscope."""
    names = excerpt.names
    structures = []
    for index, frame in enumerate(np.round(excerpt.positions, 3)):
        x, y, z = frame.T.tolist()
        structures.append({"size": len(names), "names": names, "x": x, "y": y, "z": z})
        if excerpt.cells is not None:
            structures[-1]["cell"] = np.round(excerpt.cells[index], 4).ravel().tolist()
    what, unit = ("time", "ps") if excerpt.has_time else ("step", "")
    properties = {what: _property(excerpt.time, unit)}
    axes = {"x": {"property": what}, "y": {"property": what}}
    if excerpt.energy is not None:
        # relative to the mean, because the total energy is large and its changes are small
        change = 1e3 * (excerpt.energy - excerpt.energy.mean())
        properties["potential energy"] = _property(change, "meV")
        axes["y"] = {"property": "potential energy"}
    view = {
        "keepOrientation": True,
        "playbackDelay": 100,
        "unitCell": excerpt.cells is not None,
        "bonds": True,
        "axes": "xyz" if excerpt.cells is None else "off",
    }
    return {
        "meta": {"name": excerpt.title},
        "structures": structures,
        "properties": properties,
        "settings": {"map": {**axes, "joinPoints": True}, "structure": [view]},
    }


def _property(values: np.ndarray, unit: str) -> dict[str, Any]:
    rounded = [float(f"{value:.6g}") for value in values]
    return {"target": "structure", "values": rounded, "units": unit}


def picture(excerpts: Sequence[Excerpt]) -> str:
    """Return an HTML image of the first frame of each excerpt."""
    shown = [excerpt for excerpt in excerpts if len(excerpt.names) <= MAX_PICTURE_ATOMS]
    if not shown:
        return ""
    figure = Figure(figsize=(4.0 * len(shown), 4.0), layout="constrained")
    for axis, excerpt in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        cell = None if excerpt.cells is None else excerpt.cells[0]
        atoms = Atoms(excerpt.names, excerpt.positions[0], cell=cell, pbc=cell is not None)
        plot_atoms(atoms, axis, radii=0.35, rotation="10x,-15y", show_unit_cell=2)
        axis.set_axis_off()
        axis.set_title(excerpt.title, fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    text = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="structures" src="data:image/png;base64,{text}">'
