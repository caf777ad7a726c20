"""ASE calculator with the energy, forces and stress of a PET model.

from pet_driver import PETCalculator

atoms.calc = PETCalculator("water-small", grid="2i")
atoms.get_potential_energy()          # eV, averaged over the rotations of the grid
atoms.calc.extras["rotation_std"]     # eV
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from pet_driver.engines.thresholds import Thresholds
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, load
from pet_driver.model.evaluator import Model
from pet_driver.model.results import Results
from pet_driver.neighbors.structure import Structure
from pet_driver.symmetry.grid_names import draws


class PETCalculator(Calculator):
    """ASE calculator of one PET model or an ensemble.

    ``results`` holds the properties of ASE. ``extras`` holds what ASE has no name for:
    ``raw_energy`` (eV), the energy without rotational averaging; ``rotation_std`` (eV), the
    standard deviation of the energy over the rotations of the grid; ``ensemble_std`` (eV), the
    standard deviation of the energy over the members of an ensemble; ``force_std`` ([N], eV/A),
    the standard deviation of each atom's force over the members. The last two are zero for a
    single model.

    Args:
        model: model or ensemble from :func:`pet_driver.load`, or the name or path to load.
        grid: rotations to average over; ``None`` means the model's default.
        counter: index of the first draw of a random grid. Every calculation uses the next draw and
            stores its index in ``extras["counter"]``. To resume a run with the same rotations,
            give the counter of the calculation at which it stopped.
        warn: force standard deviation of an ensemble (eV/A) above which a warning is issued.
        stop: force standard deviation of an ensemble (eV/A) above which a calculation raises.
        device: as for :func:`pet_driver.load`; only if ``model`` is a name or path.
        max_edges: as for :func:`pet_driver.load`; only if ``model`` is a name or path.

    Raises:
        PetDriverError: the grid is unknown, the thresholds are invalid, or ``device`` or
            ``max_edges`` is given for a model that is loaded already.
    """

    implemented_properties = ["energy", "energies", "forces", "stress"]  # noqa: RUF012 (as in ASE)

    def __init__(
        self,
        model: Model | Ensemble | str | os.PathLike,
        grid: str | None = None,
        counter: int = 0,
        warn: float | None = None,
        stop: float | None = None,
        device: str | None = None,
        max_edges: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, Model | Ensemble):
            model = load(model, device or "cpu", max_edges=max_edges)
        elif device is not None or max_edges is not None:
            raise PetDriverError(
                "the model is loaded already: give device and max_edges to pet_driver.load"
            )
        self.extras: dict[str, Any] = {}
        self.model = model
        self.counter = counter
        self.grid = model.default_grid if grid is None else str(grid)
        self.thresholds = Thresholds(model, warn, stop)
        model.rotations(self.grid)  # raises for an unknown grid

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate the model and fill ``results`` and ``extras``.

        All properties are calculated, whichever are asked for. ``stress`` is set only if the
        structure has three cell vectors.

        Raises:
            PetDriverError: an energy or force is not finite, or the force standard deviation is
                above ``stop``.
        """
        super().calculate(atoms, properties or ["energy"], system_changes)
        structure = Structure.from_ase(self.atoms)
        result = self.model.compute([structure], self.grid, self.counter)[0]
        self.thresholds.check(result.force_std, warnings.warn)
        self.results = ase_results(self.atoms, result)
        self.extras = {
            "raw_energy": result.raw_energy,
            "rotation_std": result.rotation_std,
            "ensemble_std": result.ensemble_std,
            "force_std": result.force_std,
        }
        if draws(self.grid, 1):
            self.extras["counter"] = self.counter
            self.counter += 1


def ase_results(atoms: Atoms, result: Results) -> dict[str, Any]:
    """Return results under ASE's names, with the stress if there are three cell vectors."""
    found = {
        "energy": result.energy,
        "free_energy": result.energy,
        "energies": result.energies,
        "forces": result.forces,
    }
    if atoms.cell.rank == 3:
        stress = -result.virial / atoms.get_volume()
        found["stress"] = full_3x3_to_voigt_6_stress(stress)
    return found
