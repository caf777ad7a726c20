"""What an input file, with its settings, will leave in its folder: the record of its run."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from pet_driver.analysis.units import factor
from pet_driver.building.structures import read_structures
from pet_driver.errors import PetDriverError
from pet_driver.runs import ipi_input, lammps_input
from pet_driver.runs.ipi_input import IPIInput
from pet_driver.runs.lammps_input import LAMMPSInput
from pet_driver.runs.record import Run
from pet_driver.runs.settings import Settings, default_grid, provenance

_SUFFIX = {"ase": ".extxyz", "xyz": ".xyz", "pdb": ".pdb", "bin": ".bin"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_CONSTANT = re.compile(
    rf"^variable\s+(\w+)\s+equal\s+({_NUMBER.pattern.replace('(', '(?:')})\s*(?:#.*)?$", re.M
)
_IPI_MOTIONS = {"minimize": "relaxation", "replay": "replay"}


def describe_ipi(input_file: IPIInput, folder: Path, settings: Settings) -> Run:
    """The record of a run of i-PI, whose input file has its settings already."""
    frames = read_structures(input_file.start)
    atoms = frames[0]
    n_beads = int(input_file.root.find(".//initialize").get("nbeads", "1"))
    motion = _ipi_motion(input_file)
    if motion != "replay" and len(frames) not in (1, n_beads):
        raise PetDriverError(
            f"{input_file.start} has {len(frames)} frames, which i-PI takes for beads, and starts from "
            f"their mean; give a file of one frame, such as the last, or of {n_beads}"
        )
    centroid = _ipi_files(input_file, "x_centroid", 0)
    positions = _ipi_files(input_file, "positions", n_beads)
    if centroid and len(positions) < n_beads:
        positions = centroid
    return Run(
        name=folder.resolve().name,
        system="molecule" if len(atoms) == 3 else "bulk",
        motion=motion,
        grid=_ipi_grid(input_file),
        engine=f"i-PI {importlib.metadata.version('ipi')}",
        n_atoms=len(atoms),
        n_beads=n_beads,
        timestep=_ipi_timestep(input_file),
        steps=0,
        positions=positions,
        centroid=bool(centroid) and positions is centroid,
        temperature=_ipi_temperature(input_file) if motion in ("nvt", "npt") else None,
        velocities=_ipi_files(input_file, "velocities", n_beads),
        forces=_ipi_files(input_file, "forces", n_beads),
        rotations=_ipi_files(input_file, "extras", n_beads, has="raw_energy_ev"),
        properties=input_file.properties,
        provenance=provenance(input_file.path, input_file.models, settings),
        folder=folder,
    )


def _ipi_motion(input_file: IPIInput) -> str:
    motion = input_file.root.find(".//motion")
    mode = motion.get("mode", "dynamics").strip()
    if mode == "dynamics":
        mode = motion.find("dynamics").get("mode", "nve").strip()
    mode = _IPI_MOTIONS.get(mode, mode)
    if mode not in ("nve", "nvt", "npt", "relaxation", "replay"):
        raise PetDriverError(
            f"{input_file.path}: motion {mode}: only nve, nvt, npt, minimize and replay"
        )
    return mode


def _ipi_timestep(input_file: IPIInput) -> float:
    """fs."""
    element = input_file.root.find(".//dynamics/timestep")
    if element is None:
        return 0.0
    unit = element.get("units", "atomic_unit").strip()
    return float(element.text) * 1e3 * factor("time", unit, str(input_file.path))


def _ipi_temperature(input_file: IPIInput) -> float | None:
    """K."""
    element = input_file.root.find(".//ensemble/temperature")
    if element is None or not element.text or not _NUMBER.fullmatch(element.text.strip()):
        return None
    unit = element.get("units", "atomic_unit").strip()
    return float(element.text) * factor("temperature", unit, str(input_file.path))


def _ipi_grid(input_file: IPIInput) -> str:
    """The grid of the sum of all forces: raw forces that are added and taken away cancel."""
    weights: dict[str, float] = {}
    fields = {field.get("name"): field for field in input_file.force_fields}
    for force in input_file.root.findall(".//forces/force"):
        field = fields.get(force.get("forcefield"))
        if field is None:
            continue
        found = ipi_input.parameters(field)
        grid = ipi_input.grid(found)
        steps = force.findtext("mts_weights", "1")
        total = sum(float(word) for word in re.findall(r"[-+.\deE]+", steps))
        weights[grid] = weights.get(grid, 0.0) + float(force.get("weight", "1")) * total
    if not weights:
        asked = [force.get("forcefield") for force in input_file.root.findall(".//forces/force")]
        raise PetDriverError(
            f"{input_file.path}: its forces name {', '.join(map(str, asked)) or 'no forcefield'}; the "
            f"force fields are {', '.join(map(str, fields))}; let both agree"
        )
    return max(weights, key=weights.get)


def _ipi_files(input_file: IPIInput, quantity: str, n_beads: int, has: str = "") -> list[str]:
    """The files of a trajectory, named as i-PI does: one by bead, or for 0 beads the only one."""
    for trajectory in input_file.root.findall("output/trajectory"):
        text = (trajectory.text or "").strip()
        if re.match(rf"{quantity}\b", text) and has in trajectory.get("extra_type", ""):
            width = len(str(n_beads))
            suffix = "" if quantity == "extras" else _SUFFIX[trajectory.get("format", "xyz")]
            name = input_file.file(trajectory.get("filename", "traj"))
            if n_beads == 0:
                return [f"{name}{suffix}"]
            bead = int(trajectory.get("bead", "-1"))  # -n: every n-th one
            beads = range(0, n_beads, -bead) if bead < 0 else [bead]
            return [f"{name}_{bead:0{width}d}{suffix}" for bead in beads]
    return []


def describe_lammps(input_file: LAMMPSInput, folder: Path, settings: Settings) -> Run:
    """The record of a run of LAMMPS; the number of atoms comes from its log."""
    values = {**dict(_CONSTANT.findall(input_file.text)), **input_file.defaults}
    values |= lammps_input.variables(input_file, settings)
    text = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], match[0]), input_file.text)
    model = lammps_input.model_path(input_file, settings)
    grid = re.search(r"^pair_style.*\bgrid\s+(\S+)", text, re.MULTILINE)
    timestep = re.search(r"^timestep\s+(\S+)", text, re.MULTILINE)
    dump = re.search(r"^dump\s+\S+\s+\S+\s+\S+\s+\S+\s+(\S+)", text, re.MULTILINE)
    if timestep and not _NUMBER.fullmatch(timestep[1]):
        raise PetDriverError(
            f"{input_file.path}: timestep {timestep[1]}: write a number, or a variable of style index"
        )
    units = re.search(r"^units\s+(\S+)", text, re.MULTILINE)
    is_real = units is not None and units[1] == "real"
    n_atoms = _lammps_atoms(folder / lammps_input.LOG)
    motion = _lammps_motion(text, values)
    return Run(
        name=folder.resolve().name,
        system="molecule" if n_atoms == 3 else "bulk",
        motion=motion,
        grid=grid[1] if grid else default_grid(model),
        engine=f"LAMMPS {importlib.metadata.version('lammps')}",
        n_atoms=n_atoms,
        n_beads=1,
        timestep=float(timestep[1]) * (1 if is_real else 1e3)
        if timestep and motion != "relaxation"
        else 0.0,
        steps=0,
        positions=[dump[1]] if dump else [],
        units=units[1] if units else "",
        temperature=_lammps_temperature(text, motion),
        properties=lammps_input.LOG,
        provenance=provenance(input_file.path, [model], settings),
        folder=folder,
    )


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
    """K, at which the last thermostat ends; styles differ in where they name it."""
    if motion not in ("nvt", "npt"):
        return None
    number = _NUMBER.pattern.replace("(", "(?:")
    style = rf"\bfix\s+\S+\s+\S+\s+(?:\S+\s+temp|langevin|temp/\w+)\s+{number}\s+({number})\s"
    found = re.findall(rf"^[^#\n]*{style}", text, re.MULTILINE)
    return float(found[-1]) if found else None


def _lammps_atoms(log: Path) -> int:
    if not log.is_file():
        return 0
    with open(log, errors="replace") as handle:
        found = re.findall(r"^\s+(\d+) atoms\s*$", handle.read(200_000), re.MULTILINE)
    return int(found[-1]) if found else 0
