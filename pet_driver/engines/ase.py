"""ASE calculator: energy, forces and stress of a PET archive, averaged over rotations or not."""

from __future__ import annotations

import os
import warnings
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from pet_driver.engines.thresholds import Thresholds
from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble, load
from pet_driver.model.evaluator import Model
from pet_driver.symmetry.grid_names import draws


class PETCalculator(Calculator):
    """``atoms.calc = PETCalculator(model, grid="2i")``.

    Beside ASE's own properties in ``results``, ``extras`` holds ``raw_energy`` and ``rotation_std`` (eV):
    the energy without the average, and its standard deviation over the grid; ``ensemble_std``
    (eV) and ``force_std`` ([N] in eV/A): how far the members of an ensemble are apart; zero for
    one model.

    Args:
        model: from :func:`pet_driver.load`, one model or an ensemble; or the name or path to load.
        grid: rotations to average over; ``None`` means the model's default.
        counter: the first draw of a random grid. Every calculation takes the next one and leaves
            its own in ``extras["counter"]``; a calculator that continues a run needs the value
            with which the run broke off.
        warn: force standard deviation of an ensemble (eV/A) above which there is a warning.
        stop: force standard deviation of an ensemble (eV/A) above which a calculation is an error.
        device, max_edges: as for :func:`pet_driver.load`, where ``model`` is yet to be loaded.

    Raises:
        PetDriverError: an unknown grid, thresholds that cannot be used, or a device for a model
            that is on one already.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "energies", "forces", "stress"]

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
        model.rotations(self.grid)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        found = self.model.evaluate(self.atoms, self.grid, self.counter)
        found.check_finite()
        self.thresholds.check(found.force_std, warnings.warn)
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "energies": found.energies,
            "forces": found.forces,
        }
        self.extras = {
            "raw_energy": found.raw_energy,
            "rotation_std": found.rotation_std,
            "ensemble_std": found.ensemble_std,
            "force_std": found.force_std,
        }
        if draws(self.grid, 1):
            self.extras["counter"] = self.counter
            self.counter += 1
        if self.atoms.cell.rank == 3:
            stress = -found.virial / self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
