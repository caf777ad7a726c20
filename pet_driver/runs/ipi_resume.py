"""Taking up a run of i-PI where it stopped, with the counters of its random rotations."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.runs.ipi_input import (
    DEFAULT_PREFIX,
    IPIInput,
    child,
    grid,
    parameters,
    set_parameters,
    structures_of,
    write,
)
from pet_driver.symmetry.grid_names import draws, parse_grid_name

RESUMED = "resumed.xml"


def resume(input_file: IPIInput, folder: Path, total_steps: int) -> int | None:
    """Write an input that resumes from the latest whole checkpoint in ``folder``.

    Returns:
        The step it resumes from, or None if there is no checkpoint with steps left to do.

    Raises:
        PetDriverError: more steps are done than are asked for.
    """
    found = []
    for path in [folder / "RESTART", *folder.glob(input_file.file("chk*"))]:
        try:
            root = ElementTree.parse(path).getroot()
        except (FileNotFoundError, ElementTree.ParseError):
            continue
        output = root.find("output")
        if output is None or output.get("prefix", DEFAULT_PREFIX).strip() != input_file.prefix:
            continue  # of another run
        step = int(root.findtext("step", "0"))
        if step > total_steps:
            raise beyond(folder, step, total_steps)
        # One of the last step without a RESTART may be ahead of the other files.
        if step < total_steps:
            found.append((step, root))
    if not found:
        return None
    step, root = max(found, key=lambda entry: entry[0])
    # A checkpoint leaves out whatever is i-PI's default.
    child(root, "total_steps").text = str(total_steps)
    for planned in input_file.force_fields:
        # The checkpoint has a socket instead if the last run segment had clients.
        name = planned.get("name")
        place, old = next((k, e) for k, e in enumerate(root) if e.get("name") == name)
        field = copy.deepcopy(planned)
        root.remove(old)
        root.insert(place, field)
        found = parameters(field)
        # i-PI does not keep the counter of random rotations: it follows from the step.
        name_of_grid = grid(found)
        if parse_grid_name(name_of_grid).random:
            drawn = draws_an_evaluation(root, field, name_of_grid)
            counts = evaluations_until(root, name, step) * drawn
            found["counter"] = str(int(found.get("counter", "0")) + counts)
            set_parameters(field, found)
    write(root, folder / RESUMED)
    return step


def beyond(folder: Path, step: int, total_steps: int) -> PetDriverError:
    """What to say of fewer steps than are done: nobody's frames are thrown away for it."""
    return PetDriverError(
        f"{folder} holds the run at step {step}, beyond the {total_steps} that are asked for; ask "
        "for more steps, or name another folder"
    )


def evaluations_until(root: ElementTree.Element, name: str, step: int) -> int:
    """How many evaluations a force field had made before the step that the run resumes with."""
    if name in idle(root):
        stride = looked_at(root)
        return 0 if stride is None else step // stride + 1  # that of the step itself is on record
    return step * evaluations_a_step(root, name)


def idle(root: ElementTree.Element) -> set[str]:
    """The force fields of weight 0, which are there for an output alone."""
    forces = root.findall("system/forces/force")
    return {f.get("forcefield") for f in forces if float(f.get("weight", "1")) == 0}


def looked_at(root: ElementTree.Element) -> int | None:
    """The stride at which the outputs ask for single forces; None: never."""
    strides = [
        int(table.get("stride", "1"))
        for table in root.findall("output/properties")
        if "pot_component" in (table.text or "")
    ]
    return min(strides, default=None)


def evaluations_a_step(root: ElementTree.Element, name: str) -> int:
    """How often a force field is asked in one step: more than once where time steps are nested."""
    nested = [int(n) for n in re.findall(r"\d+", root.findtext(".//dynamics/nmts", "1"))]
    weights = next(
        (
            [float(w) for w in re.findall(r"[-+.\deE]+", force.findtext("mts_weights", ""))]
            for force in root.findall("system/forces/force")
            if force.get("forcefield") == name
        ),
        [],
    )
    deepest = max((level for level, weight in enumerate(weights) if weight), default=0)
    count = 1
    for n in nested[: deepest + 1]:
        count *= n
    return count


def draws_an_evaluation(root: ElementTree.Element, field: ElementTree.Element, name: str) -> int:
    """By how much the counter of random rotations moves when all beads are evaluated once."""
    asked = structures_of(root, field.get("name"))
    size = int(field.findtext("batch_size", "1"))
    return -(-asked // size) * draws(name, size)
