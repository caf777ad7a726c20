"""What a run will cost: its evaluations, timed one by one on the machine at hand."""

from __future__ import annotations

import time
from collections import Counter
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
IPI_OVERHEAD = 5e-4  # s a step and bead: i-PI's own work, a few thousand atoms or less


@dataclass(frozen=True)
class Plan:
    """The cost of a run.

    Attributes:
        atoms: of the system, or of one bead.
        beads: of the ring polymer.
        steps: of the engine.
        timestep: fs; 0 for a relaxation.
        evaluations: (grid, structures that are evaluated as one batch, how often a step), of which
            the time of a step is the sum.
        step_time: s.
    """

    atoms: int
    beads: int
    steps: int
    timestep: float
    evaluations: tuple[tuple[str, int, float], ...]
    step_time: float

    @property
    def hours(self) -> float:
        """Wall time of the run."""
        return self.step_time * self.steps / 3600

    @property
    def ns_per_day(self) -> float:
        """How fast the simulated time passes."""
        return 86400 / self.step_time * self.timestep * 1e-6


def plan(input_file: Path, settings: Settings | None = None) -> Plan:
    """Time the evaluations that a step of an input file asks for.

    The model of the cost: a step takes the sum of its evaluations, each of all beads that a force
    asks for in one batch, and i-PI's own 0.5 ms a bead. Ranks and clients are not in it: divide by
    what they gain.

    Raises:
        PetDriverError: as :func:`pet_driver.runs.execute`.
    """
    settings = settings or Settings()
    settings.check()
    segment = read_segment(input_file, Path("plan"), settings)
    found = segment.describe()
    demand = (
        _demand_of_ipi(segment) if isinstance(segment, IPISegment) else _demand_of_lammps(segment)
    )
    model, atoms, counts = load(demand.model, demand.device), demand.atoms, demand.evaluations
    times = [n * evaluation_time(model, atoms, *batch) for batch, n in counts.items()]
    return Plan(
        atoms=len(atoms),
        beads=found.n_beads,
        steps=segment.total,
        timestep=found.timestep,
        evaluations=tuple((*batch, n) for batch, n in counts.items()),
        step_time=sum(times) + demand.overhead,
    )


def evaluation_time(model: Model | Ensemble, atoms: Atoms, grid: str, beads: int) -> float:
    """Median time in s of one evaluation of a batch of ``beads`` copies, after a first one."""
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        model.evaluate([atoms] * beads, grid=grid)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[1:])


class _Demand(NamedTuple):
    """What an input file asks for."""

    model: str
    device: str
    atoms: Atoms  # that it begins with
    evaluations: Counter[tuple[str, int]]  # (grid, structures in a batch) -> how often a step
    overhead: float  # s a step, of the engine itself


def _demand_of_ipi(segment: IPISegment) -> _Demand:
    root = segment.input_file.root
    counts: Counter[tuple[str, int]] = Counter()
    for field in segment.input_file.force_fields:
        name = field.get("name")
        often = float(ipi_resume.evaluations_a_step(root, name))
        if name in ipi_resume.idle(root):
            stride = ipi_resume.looked_at(root)
            often = 0.0 if stride is None else 1.0 / stride
        if often:
            grid = ipi_input.grid(ipi_input.parameters(field))
            counts[grid, ipi_input.structures_of(root, name)] += often
    atoms = read_structures(segment.input_file.start)[0]
    device = ipi_input.parameters(segment.input_file.force_fields[0]).get("device", "cpu")
    own = IPI_OVERHEAD * segment.describe().n_beads
    return _Demand(segment.input_file.models[0], device, atoms, counts, own)


def _demand_of_lammps(segment: LAMMPSSegment) -> _Demand:
    if "data" not in segment.values:
        raise PetDriverError(
            f"{segment.input_file.path}: no 'variable data index ...': which atoms does it begin with?"
        )
    atoms = read_structures(segment.input_file.path.parent / segment.values["data"])[0]
    atoms = atoms.repeat(int(segment.values.get("replicate", "1")))
    model = lammps_input.model_path(segment.input_file, segment.settings)
    device = segment.values.get("device", "auto")
    return _Demand(model, device, atoms, Counter({(segment.describe().grid, 1): 1.0}), 0.0)
