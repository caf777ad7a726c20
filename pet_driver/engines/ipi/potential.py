"""PET model for a fixed list of atoms, in the units of i-PI.

The socket client and the in-process driver both use it:

    potential = Potential(pet_driver.load("water-small"), read_numbers("init.xyz"), grid="2i")
    (forces,) = potential.compute([cell], [positions])      # hartree, bohr
"""

import json
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import cast

import ase.io
import numpy as np
from ase import Atoms

from pet_driver.common.labels import isotopes_to_elements
from pet_driver.engines.ipi.protocol import Forces
from pet_driver.engines.thresholds import Thresholds
from pet_driver.errors import PetDriverError
from pet_driver.model.cost import predict_cost
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.model.results import Results
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import NO_FRAMES, draws, parse_grid_name

# the factors of ipi.utils.units: i-PI converts the input to bohr with them
BOHR_PER_ANGSTROM = 1.8897261
HARTREE_PER_EV = 0.036749326


class Potential:
    """Energies, forces and virials of structures with the same atoms, in the units of i-PI.

    Args:
        model: one model or an ensemble.
        numbers: atomic numbers [N], in the order of the positions from i-PI.
        grid: rotations to average over (``"0"``, ``"2i"``, ...); ``None`` means the archive's
            default.
        periodic: whether the cell from i-PI is periodic.
        counter: index of the first draw of a random grid. Every call (with ``-each``, every
            structure) uses the next draw; the extras hold its index. i-PI does not send the number
            of the step, therefore a run resumes with the same rotations only if it is given the
            counter of the evaluation at which it stopped.
        warn: force standard deviation of an ensemble (eV/A) above which a warning is reported.
        stop: force standard deviation of an ensemble (eV/A) above which :meth:`compute` raises.
        report: called with each warning; ``None`` prints them to standard error.

    Raises:
        PetDriverError: the model does not know an element, the grid is unknown, or the thresholds
            are invalid.
    """

    def __init__(
        self,
        model: Model | Ensemble,
        numbers: Sequence[int] | np.ndarray,
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
        # Exact symmetrization may cost hundreds of raw evaluations: report it before the first one.
        self._reports_cost = parse_grid_name(self.grid).frames != NO_FRAMES
        self.thresholds = Thresholds(model, warn, stop)
        self.report = report or (lambda line: print(line, file=sys.stderr, flush=True))
        model.check_species(self.numbers)
        model.rotations(self.grid)  # raises for an unknown grid, before i-PI has started a step

    def compute(
        self,
        cells: Sequence[np.ndarray] | np.ndarray,
        positions: Sequence[np.ndarray] | np.ndarray,
    ) -> list[Forces]:
        """Evaluate B structures in one call of the model.

        Args:
            cells: [B, 3, 3] in bohr, vectors in columns.
            positions: [B, N, 3] in bohr.

        Returns:
            Energy, forces, virial (hartree, bohr) and extras of each structure.

        Raises:
            PetDriverError: the number of atoms is wrong, the input or the results are not finite,
                or a force standard deviation is above ``stop``.
        """
        structures = [self._structure(h, x) for h, x in zip(cells, positions, strict=True)]
        if self._reports_cost:
            self._reports_cost = False
            self.report(f"pet-driver: {predict_cost(self.model, structures[0], self.grid)}")
        results = self.model.compute(structures, self.grid, self.counter)
        counters = self._advance_counter(len(structures))
        is_ensemble = len(self.model.members) > 1
        converted = [_to_ipi(*pair, is_ensemble) for pair in zip(results, counters, strict=True)]
        for result in results:
            self.thresholds.check(
                result.force_std, lambda text: self.report(f"pet-driver: warning: {text}")
            )
        return converted

    def _advance_counter(self, n_structures: int) -> list[int | None]:
        """Return the draw that each structure used (None if the grid is not random)."""
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
    """Read the atomic numbers [N] of a structure file: any format of ASE, or the xyz of i-PI.

    Isotopes such as D are their elements; i-PI reads their masses itself.

    Raises:
        PetDriverError: the file is missing, cannot be read, or has no atoms.
    """
    if not Path(template).is_file():
        raise PetDriverError(
            f"{template}: no such template; give the structure that i-PI starts from (its elements "
            f"and their order are needed; paths are relative to {Path.cwd()})"
        )
    if Path(template).suffix == ".data":
        raise PetDriverError(
            f"{template}: is a data file of LAMMPS, which i-PI does not read: give the .xyz file "
            "that i-PI starts from; pet-driver build-water writes both formats, ASE converts"
        )
    try:
        atoms = _read_first_frame(template)
    except Exception as error:  # the readers of ASE raise exceptions of many types
        raise PetDriverError(
            f"{template}: cannot be read as a structure: {_explain(error)}"
        ) from error
    if len(atoms) == 0:
        raise PetDriverError(f"{template}: has no atoms; give the structure that i-PI starts from")
    return atoms.numbers


def _read_first_frame(template: str | Path) -> Atoms:
    path = Path(template)
    if path.suffix not in (".xyz", ".extxyz"):
        return cast(Atoms, ase.io.read(path, index=0))
    with open(path, errors="replace") as handle:
        count = handle.readline()
        if not count.strip().isdigit():
            raise ValueError("its first line is not the number of atoms")
        text = isotopes_to_elements(count + "".join(islice(handle, int(count) + 1)))
    try:
        return cast(Atoms, ase.io.read(StringIO(text), index=0, format="extxyz"))
    except Exception:
        # the comment line of i-PI is not that of extended XYZ
        return cast(Atoms, ase.io.read(StringIO(text), index=0, format="xyz"))


def _explain(error: Exception) -> str:
    """Return the message of an error of ASE's readers; its bare KeyError is a strange element."""
    if isinstance(error, KeyError):
        return f"{error} is no element; write symbols of elements, such as O and H for OW and HW"
    return str(error) or f"{type(error).__name__}; give an .xyz file"


def _to_ipi(result: Results, counter: int | None, is_ensemble: bool) -> Forces:
    extras: dict[str, float] = {
        "raw_energy_ev": float(result.raw_energy),
        "rotation_std_ev": float(result.rotation_std),
    }
    if is_ensemble:
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
