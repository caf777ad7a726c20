"""A PET model for a fixed set of atoms, in i-PI's units: what both ways into i-PI share."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pet_driver.engines.ipi.protocol import Forces
from pet_driver.engines.thresholds import Thresholds
from pet_driver.errors import PetDriverError
from pet_driver.model.cost import predict_cost
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.model.results import Results
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import NO_FRAMES, draws, parse_grid_name

# i-PI's own conversion factors (ipi.utils.units), so that a length in A makes the round trip
BOHR_PER_ANGSTROM = 1.8897261
HARTREE_PER_EV = 0.036749326


class Potential:
    """Energies, forces and virials of batches of structures that share their atoms.

    Args:
        model: the evaluator, of one model or an ensemble.
        numbers: atomic numbers [N], in the order of i-PI's positions.
        grid: rotations to average over (``"0"``, ``"2i"``, ...); ``None`` means the archive's
            default.
        periodic: whether the cell that i-PI sends repeats in space.
        counter: the first draw of a random grid. Every call takes the next one (with ``-each``,
            every structure) and names it in the extras: i-PI does not say which step it is at, so
            that a run resumes with the same rotations only if it is given the counter of the
            evaluation it broke off at.
        warn: force standard deviation of an ensemble (eV/A) above which there is a warning.
        stop: force standard deviation of an ensemble (eV/A) above which :meth:`compute` raises.
        report: receives warnings; ``None`` means they go to standard error.

    Raises:
        PetDriverError: an element the model does not know, an unknown grid, or thresholds that
            cannot be used.
    """

    def __init__(
        self,
        model: Model | Ensemble,
        numbers: Sequence[int],
        grid: str | None = None,
        periodic: bool = True,
        counter: int = 0,
        warn: float | None = None,
        stop: float | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.model = model
        self.numbers = np.asarray(numbers, dtype=np.int64)
        self.grid = model.default_grid if grid is None else grid
        self.counter = counter
        self.pbc = (periodic, periodic, periodic)
        # Frames may cost hundreds of raw evaluations: say so before the first one.
        self._cost_is_due = parse_grid_name(self.grid).frames != NO_FRAMES
        self.thresholds = Thresholds(model, warn, stop)
        self.report = report or (lambda line: print(line, file=sys.stderr, flush=True))
        model.check_species(self.numbers)
        model.rotations(self.grid)  # raises for an unknown grid, before i-PI has started a step

    def compute(self, cells: Sequence[np.ndarray], positions: Sequence[np.ndarray]) -> list[Forces]:
        """Evaluate B structures in one call of the model.

        Args:
            cells: [B, 3, 3] in bohr, vectors in columns.
            positions: [B, N, 3] in bohr.

        Raises:
            PetDriverError: a wrong number of atoms, input or results that are not finite, or a
                force standard deviation above ``stop``.
        """
        structures = [self._structure(h, x) for h, x in zip(cells, positions, strict=True)]
        if self._cost_is_due:
            self._cost_is_due = False
            self.report(f"pet-driver: {predict_cost(self.model, structures[0], self.grid)}")
        results = self.model.compute(structures, self.grid, self.counter)
        used = self._counters(len(structures))
        united = len(self.model.members) > 1
        answers = [_to_ipi(*pair, united) for pair in zip(results, used, strict=True)]
        for result in results:
            self.thresholds.check(
                result.force_std, lambda text: self.report(f"pet-driver: warning: {text}")
            )
        return answers

    def _counters(self, n_structures: int) -> list[int | None]:
        """Which draw each structure had (None without random rotations), moving the counter on."""
        drawn = draws(self.grid, n_structures)
        if drawn == 0:
            return [None] * n_structures
        first, self.counter = self.counter, self.counter + drawn
        return [min(first + k, self.counter - 1) for k in range(n_structures)]

    def _structure(self, cell: np.ndarray, positions: np.ndarray) -> Structure:
        if len(positions) != len(self.numbers):
            raise PetDriverError(
                f"i-PI sent {len(positions)} atoms, but the template has {len(self.numbers)}: "
                "give as template the structure that i-PI starts from"
            )
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            raise PetDriverError(
                "i-PI sent positions or a cell that are not finite (NaN): the simulation has blown "
                "up; reduce the time step, or look at the last frames of the trajectory"
            )
        return Structure(
            numbers=self.numbers,
            positions=np.array(positions, np.float64) / BOHR_PER_ANGSTROM,
            cell=np.array(cell, np.float64).T / BOHR_PER_ANGSTROM,
            pbc=self.pbc,
        )


def read_numbers(template: str | Path) -> np.ndarray:
    """Atomic numbers [N] of a structure file: any format of ASE, and i-PI's own xyz.

    Only the elements and their order are used.

    Raises:
        PetDriverError: naming the file.
    """
    if not Path(template).is_file():
        raise PetDriverError(
            f"{template}: no such template; give the structure that i-PI starts from (its elements "
            f"and their order are needed; paths are relative to {Path.cwd()})"
        )
    try:
        atoms = _read_first_frame(template)
    except Exception as error:  # ASE's readers raise whatever their format made them stumble on
        raise PetDriverError(f"{template}: cannot be read as a structure: {error}") from error
    if len(atoms) == 0:
        raise PetDriverError(f"{template}: holds no atoms")
    return atoms.numbers


def _read_first_frame(template):
    import ase.io

    try:
        return ase.io.read(template, index=0)
    except Exception:
        if Path(template).suffix != ".xyz":
            raise
        # i-PI's comment line is no extended XYZ
        return ase.io.read(template, index=0, format="xyz")


def _to_ipi(result: Results, counter: int | None, united: bool) -> Forces:
    try:
        result.check_finite()
    except PetDriverError as error:
        raise PetDriverError(f"{error}; look at the last frames of the trajectory") from None
    extras = {
        "raw_energy_ev": float(result.raw_energy),
        "rotation_std_ev": float(result.rotation_std),
    }
    if united:
        extras["ensemble_std_ev"] = float(result.ensemble_std)
        extras["max_force_std_ev_ang"] = float(result.force_std.max(initial=0.0))
    if counter is not None:
        extras["rotation_counter"] = counter
    return Forces(
        energy=float(result.energy) * HARTREE_PER_EV,
        forces=np.asarray(result.forces, np.float64) * (HARTREE_PER_EV / BOHR_PER_ANGSTROM),
        virial=np.asarray(result.virial, np.float64) * HARTREE_PER_EV,
        extras=json.dumps(extras),
    )
