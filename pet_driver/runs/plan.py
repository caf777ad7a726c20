"""Predict the cost of a run by timing its evaluations on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from ase import Atoms

from pet_driver.building.structures import read_structures
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, load
from pet_driver.model.evaluator import Model
from pet_driver.runs import ipi_input, ipi_resume, lammps_input
from pet_driver.runs.execute import read_segment
from pet_driver.runs.segments import IPISegment, LAMMPSSegment
from pet_driver.runs.settings import Settings

REPEATS = 3
IPI_OVERHEAD = 5e-4  # s per step and bead in i-PI itself, up to a few thousand atoms


@dataclass(frozen=True)
class Plan:
    """Predicted cost of a run.

    Attributes:
        atoms: number of atoms, of one bead if there are several.
        beads: number of beads.
        steps: number of steps.
        timestep: fs; 0 for a relaxation.
        evaluations: (grid, number of structures in one batch, evaluations per step).
        step_time: wall time in s of one step: the sum over its evaluations.
    """

    atoms: int
    beads: int
    steps: int
    timestep: float
    evaluations: tuple[tuple[str, int, float], ...]
    step_time: float

    @property
    def hours(self) -> float:
        """Wall time of the run in hours."""
        return self.step_time * self.steps / 3600

    @property
    def ns_per_day(self) -> float:
        """Simulated time in ns per day of wall time."""
        return 86400 / self.step_time * self.timestep * 1e-6


def plan(input_file: Path, settings: Settings | None = None) -> Plan:
    """Time the evaluations of one step of an input file, and predict the cost of its run.

    Model of the cost: a step takes the sum of its evaluations, each of one batch of beads, and
    0.5 ms per bead in i-PI itself. Several ranks and clients are not included.

    Raises:
        PetDriverError: as :func:`pet_driver.runs.execute`.
    """
    settings = settings or Settings()
    settings.check()
    segment = read_segment(input_file, Path("plan"), settings)
    run = segment.describe()
    if isinstance(segment, IPISegment):
        workload = _ipi_workload(segment)
    else:
        assert isinstance(segment, LAMMPSSegment)
        workload = _lammps_workload(segment)
    model, atoms = load(workload.model, workload.device), workload.atoms
    counts = workload.evaluations
    times = [n * evaluation_time(model, atoms, *batch) for batch, n in counts.items()]
    return Plan(
        atoms=len(atoms),
        beads=run.n_beads,
        steps=segment.total,
        timestep=run.timestep,
        evaluations=tuple((*batch, n) for batch, n in counts.items()),
        step_time=sum(times) + workload.overhead,
    )


def evaluation_time(model: Model | Ensemble, atoms: Atoms, grid: str, beads: int) -> float:
    """Return the median time in s to evaluate a batch of ``beads`` copies, after a warm-up."""
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        model.evaluate([atoms] * beads, grid=grid)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[1:])


class _Workload(NamedTuple):
    """Evaluations that an input file needs.

    Attributes:
        model: exported model or shipped name.
        device: torch device.
        atoms: starting structure.
        evaluations: evaluations per step, by (grid, number of structures in one batch).
        overhead: time in s per step of the engine itself.
    """

    model: str
    device: str
    atoms: Atoms
    evaluations: dict[tuple[str, int], float]
    overhead: float


def _ipi_workload(segment: IPISegment) -> _Workload:
    simulation_input = segment.simulation_input
    root = simulation_input.root
    counts: dict[tuple[str, int], float] = {}
    for field in simulation_input.force_fields:
        name = ipi_input.name_of(field)
        per_step = float(ipi_resume.evaluations_per_step(root, name))
        if name in ipi_resume.force_fields_of_weight_zero(root):
            stride = ipi_resume.component_stride(root)
            per_step = 0.0 if stride is None else 1.0 / stride
        if per_step:
            grid = ipi_input.grid_of(ipi_input.parameters(field))
            batch = grid, ipi_input.count_structures(root, name)
            counts[batch] = counts.get(batch, 0.0) + per_step
    atoms = read_structures(simulation_input.start, *simulation_input.start_units)[0]
    device = ipi_input.parameters(simulation_input.force_fields[0]).get("device", "cpu")
    overhead = IPI_OVERHEAD * segment.describe().n_beads
    return _Workload(simulation_input.models[0], device, atoms, counts, overhead)


def _lammps_workload(segment: LAMMPSSegment) -> _Workload:
    path = segment.simulation_input.path
    if "data" not in segment.values:
        raise PetDriverError(
            f"{path}: no 'variable data index ...' that names the starting structure"
        )
    atoms = read_structures(path.parent / segment.values["data"])[0]
    atoms = atoms.repeat(int(segment.values.get("replicate", "1")))
    model = lammps_input.model_path(segment.simulation_input, segment.settings)
    device = segment.values.get("device", "auto")
    return _Workload(model, device, atoms, {(segment.describe().grid, 1): 1.0}, 0.0)
