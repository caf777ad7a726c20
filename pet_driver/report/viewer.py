"""The interactive view: chemiscope, put into the page with the frames it shows.

Chemiscope (BSD 3-clause) is looked for among the installed packages, extra ``report``. Its Python
code is not needed: what runs in the page is one file of JavaScript.
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
    "This is a picture. For a view that can be turned and played, install the extra "
    "`report` (pip install 'pet-driver[report]') and write the page again."
)
PICTURED = 3000  # atoms; more are a blot


def find_bundle() -> Path | None:
    """Chemiscope's JavaScript, or None where it is not installed."""
    found = importlib.util.find_spec("chemiscope")  # without importing it
    folders = found.submodule_search_locations if found else None
    path = Path(folders[0]) / BUNDLE if folders else None
    return path if path is not None and path.is_file() else None


def render_view(excerpts: Sequence[Excerpt], bundle: Path | None) -> str:
    """HTML of the view: frames and all the code that shows them, or else pictures."""
    if not excerpts:
        return ""
    if bundle is None:
        return f"{picture(excerpts)}\n<p class='note'>{html.escape(REMEDY)}</p>"
    options = "".join(
        f"<option value='{k}'>{html.escape(one.title)}</option>" for k, one in enumerate(excerpts)
    )
    script = (resources.files(__package__) / "viewer.js").read_text()
    datasets = json.dumps([dataset(one) for one in excerpts], separators=(",", ":"))
    datasets = datasets.replace("<", "\\u003c")  # nothing in it may end the element
    return f"""<p><label>Structure: <select id="view-choice">{options}</select></label></p>
<div id="view" class="view">{picture(excerpts[:1])}</div>
<p id="view-error" class="note" hidden></p>
<p class="note">Drag to turn, press the arrow to play, or pick a point of the curve. The view is
chemiscope (BSD 3-clause licence; G. Fraux, R. K. Cersonsky, M. Ceriotti, J. Open Source Softw. 5
(2020) 2117).</p>
<script type="application/json" id="view-data">{datasets}</script>
<script>{_inline(bundle.read_text(encoding="utf-8"))}</script>
<script>{_inline(script)}</script>"""


def _inline(script: str) -> str:
    """JavaScript that may stand in HTML: no end of the element, no comment, within its strings."""
    script = re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE)
    return script.replace("<!--", "\\x3c!--")


def dataset(one: Excerpt) -> dict[str, Any]:
    """An excerpt in the JSON format of chemiscope."""
    names = one.names
    structures = []
    for index, frame in enumerate(np.round(one.positions, 3)):
        x, y, z = frame.T.tolist()
        structures.append({"size": len(names), "names": names, "x": x, "y": y, "z": z})
        if one.cells is not None:
            structures[-1]["cell"] = np.round(one.cells[index], 4).ravel().tolist()
    what, unit = ("time", "ps") if one.moves else ("step", "")
    properties = {what: _property(one.time, unit)}
    axes = {"x": {"property": what}, "y": {"property": what}}
    if one.energy is not None:
        # The total is large and its changes are small.
        change = 1e3 * (one.energy - one.energy.mean())
        properties["potential energy"] = _property(change, "meV")
        axes["y"] = {"property": "potential energy"}
    view = {
        "keepOrientation": True,
        "playbackDelay": 100,
        "unitCell": one.cells is not None,
        "bonds": True,
        "axes": "xyz" if one.cells is None else "off",
    }
    return {
        "meta": {"name": one.title},
        "structures": structures,
        "properties": properties,
        "settings": {"map": {**axes, "joinPoints": True}, "structure": [view]},
    }


def _property(values: np.ndarray, unit: str) -> dict[str, Any]:
    rounded = [float(f"{value:.6g}") for value in values]
    return {"target": "structure", "values": rounded, "units": unit}


def picture(excerpts: Sequence[Excerpt]) -> str:
    """The first frame of each excerpt, as an image."""
    shown = [one for one in excerpts if len(one.names) <= PICTURED]
    if not shown:
        return ""
    figure = Figure(figsize=(4.0 * len(shown), 4.0), layout="constrained")
    for axis, one in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        cell = None if one.cells is None else one.cells[0]
        atoms = Atoms(one.names, one.positions[0], cell=cell, pbc=cell is not None)
        plot_atoms(atoms, axis, radii=0.35, rotation="10x,-15y", show_unit_cell=2)
        axis.set_axis_off()
        axis.set_title(one.title, fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    text = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="structures" src="data:image/png;base64,{text}">'
