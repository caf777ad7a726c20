"""Resume a run of i-PI from its checkpoint, with the counters of its random rotations."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.runs.ipi_input import (
    DEFAULT_PREFIX,
    IPIInput,
    batch_size,
    count_structures,
    get_or_add,
    grid_of,
    name_of,
    parameters,
    set_parameters,
    write_input,
)
from pet_driver.symmetry.grid_names import draws, parse_grid_name

RESUMED = "resumed.xml"


def resume(simulation_input: IPIInput, folder: Path, total_steps: int) -> int | None:
    """Write an input file that resumes from the latest complete checkpoint in ``folder``.

    Returns:
        The step of the checkpoint, or None if there is no checkpoint with steps left to do.

    Raises:
        PetDriverError: more steps are completed than ``total_steps``.
    """
    checkpoints = []
    for path in [folder / "RESTART", *folder.glob(simulation_input.output_name("chk*"))]:
        try:
            root = ElementTree.parse(path).getroot()
        except (FileNotFoundError, ElementTree.ParseError):
            continue
        output = root.find("output")
        if (
            output is None
            or output.get("prefix", DEFAULT_PREFIX).strip() != simulation_input.prefix
        ):
            continue  # checkpoint of another run
        step = int(root.findtext("step", "0"))
        if step > total_steps:
            raise too_few_steps(folder, step, total_steps)
        # A checkpoint of the last step without a RESTART may be ahead of the other files.
        if step < total_steps:
            checkpoints.append((step, root))
    if not checkpoints:
        return None
    step, root = max(checkpoints, key=lambda checkpoint: checkpoint[0])
    # A checkpoint leaves out values that are i-PI's defaults.
    get_or_add(root, "total_steps").text = str(total_steps)
    for field in simulation_input.force_fields:
        _replace_force_field(root, copy.deepcopy(field), step)
    write_input(root, folder / RESUMED)
    return step


def _replace_force_field(root: ElementTree.Element, field: ElementTree.Element, step: int) -> None:
    """Replace a force field of a checkpoint, which has a socket if the last segment had clients.

    i-PI does not store the counter of random rotations; it follows from the step.
    """
    name = name_of(field)
    index, old = next((k, e) for k, e in enumerate(root) if e.get("name") == name)
    root.remove(old)
    root.insert(index, field)
    values = parameters(field)
    grid = grid_of(values)
    if parse_grid_name(grid).random:
        drawn = evaluations_until(root, name, step) * draws_per_evaluation(root, field, grid)
        values["counter"] = str(int(values.get("counter", "0")) + drawn)
        set_parameters(field, values)


def too_few_steps(folder: Path, step: int, total_steps: int) -> PetDriverError:
    """Return the error for a request of fewer steps than are completed: no frame is deleted."""
    return PetDriverError(
        f"{folder} holds the run at step {step}, beyond the {total_steps} that are asked for; ask "
        "for more steps, or name another folder"
    )


def evaluations_until(root: ElementTree.Element, name: str, step: int) -> int:
    """Return the number of evaluations by a force field before the run resumes at ``step``."""
    if name in force_fields_of_weight_zero(root):
        stride = component_stride(root)
        # The evaluation at the step itself was made before the checkpoint was written.
        return 0 if stride is None else step // stride + 1
    return step * evaluations_per_step(root, name)


def force_fields_of_weight_zero(root: ElementTree.Element) -> set[str]:
    """Return the names of force fields of weight 0, which i-PI evaluates only for outputs."""
    forces = root.findall("system/forces/force")
    return {f.get("forcefield", "") for f in forces if float(f.get("weight", "1")) == 0}


def component_stride(root: ElementTree.Element) -> int | None:
    """Return the stride at which outputs contain single force components; None: never."""
    strides = [
        int(table.get("stride", "1"))
        for table in root.findall("output/properties")
        if "pot_component" in (table.text or "")
    ]
    return min(strides, default=None)


def evaluations_per_step(root: ElementTree.Element, name: str) -> int:
    """Return how often a force field is evaluated per step: several times on an inner MTS level."""
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


def draws_per_evaluation(root: ElementTree.Element, field: ElementTree.Element, grid: str) -> int:
    """Return by how much the counter of random rotations grows per evaluation of all beads."""
    size = batch_size(field)
    n_batches = -(-count_structures(root, name_of(field)) // size)
    return n_batches * draws(grid, size)
