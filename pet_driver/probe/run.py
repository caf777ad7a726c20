"""The probe: measure how a potential depends on the orientation of structures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model
from pet_driver.probe.components import Components, rotational_components
from pet_driver.probe.curie import CurieTest, curie_test
from pet_driver.probe.deviations import (
    GridDeviation,
    Recommendation,
    deviation,
    recommend,
    torque_rms,
)
from pet_driver.probe.potentials import GridAverage, Potential, as_potential
from pet_driver.symmetry.grid_names import parse_grid_name
from pet_driver.symmetry.tables import LARGEST_EULER_ORDER

GRIDS = ("0", "i", "2", "2i", "3")
REFERENCE = "3i"
# The grid 4i resolves angular momenta up to 3: what is left after the popular 2i begins there.
RESOLUTION = 4
ENERGY_TOLERANCE = 1e-4  # eV/atom
FORCE_TOLERANCE = 1e-3  # eV/A


@dataclass(frozen=True)
class Probe:
    """Results of the probe.

    Attributes:
        potential: name of the potential.
        n_atoms: number of atoms of each structure.
        reference: name of the reference grid, and its number of evaluations.
        reference_torque: root mean square of the torque with the reference grid, eV; ``None`` if
            not known.
        deviations: deviations of each grid from the reference, cheapest first.
        components: orientation-dependent part of the raw energy, averaged over structures;
            ``None`` if not computed.
        resolution: name of the grid that resolves the components.
        curie: Curie's test of each structure by grid; ``None`` for structures whose symmetry
            cannot be searched.
        recommendation: the cheapest grid within the tolerances.
    """

    potential: str
    n_atoms: list[int]
    reference: tuple[str, int]
    reference_torque: float | None
    deviations: list[GridDeviation]
    components: Components | None
    resolution: str
    curie: dict[str, list[CurieTest | None]]
    recommendation: Recommendation

    def curie_rms(self, grid: str) -> float | None:
        """Return the rms of forces that break symmetry (eV/A); None if nothing is symmetric."""
        tested = [test for test in self.curie[grid] if test is not None and test.order > 1]
        if not tested:
            return None
        return float(np.sqrt(np.mean(np.concatenate([test.residual for test in tested]) ** 2)))


def probe(
    potential: Model | Ensemble | BaseCalculator | str | os.PathLike,
    structures: Atoms | Sequence[Atoms],
    grids: Sequence[str] = GRIDS,
    reference: str = REFERENCE,
    resolution: int = RESOLUTION,
    energy_tolerance: float = ENERGY_TOLERANCE,
    force_tolerance: float = FORCE_TOLERANCE,
    track: Callable[[Iterable[Atoms]], Iterable[Atoms]] = iter,
) -> Probe:
    """Measure how a potential depends on the orientation of structures.

    Each structure costs as many evaluations as all grids have rotations; an ASE calculator makes
    them one after another. An exactly equivariant potential serves as a control: it must show
    nothing above rounding, which for networks in float32 is about 1e-6 of the energy of an atom.

    Args:
        potential: a model, an ensemble, the name or path of an exported model, or any ASE
            calculator.
        structures: one structure or several.
        grids: grids to compare with the reference; see :mod:`pet_driver.symmetry.grids`.
        reference: a grid finer than all of them.
        resolution: order N of the grid Ni that resolves angular momenta up to N - 1; with 0 the
            components are not computed.
        energy_tolerance: for the recommendation, eV/atom.
        force_tolerance: for the recommendation, eV/A, mean absolute error of a component.
        track: wraps the loop over structures, for a progress bar.

    Raises:
        PetDriverError: an unknown grid, a reference that is not the finest, no structures,
            a tolerance that is not positive, energies or forces that are not finite, or a
            structure that the potential cannot evaluate.
    """
    probed = as_potential(potential)
    structures = [structures] if isinstance(structures, Atoms) else list(structures)
    _check_tolerances(energy_tolerance, force_tolerance)
    sizes = _check(probed, structures, grids, reference, resolution)
    fine = f"{resolution}i"
    wanted = dict.fromkeys([*grids, reference, *([fine] if resolution else [])])
    averages: dict[str, list[GridAverage]] = {name: [] for name in wanted}
    curie: dict[str, list[CurieTest | None]] = {name: [] for name in grids}
    for number, atoms in enumerate(track(structures)):
        for name in wanted:
            averages[name].append(_average(probed, atoms, name, number))
        for name in grids:
            curie[name].append(curie_test(atoms, partial(_forces, probed, name)))
    references = averages[reference]
    deviations = [
        deviation(name, sizes[name], structures, averages[name], references)
        for name in sorted(grids, key=sizes.__getitem__)
    ]
    return Probe(
        potential=probed.name,
        n_atoms=[len(atoms) for atoms in structures],
        reference=(reference, sizes[reference]),
        reference_torque=torque_rms(references),
        deviations=deviations,
        components=_components(probed, averages[fine], resolution) if resolution else None,
        resolution=fine if resolution else "",
        curie=curie,
        recommendation=recommend(deviations, energy_tolerance, force_tolerance),
    )


def _forces(probed: Potential, grid: str, atoms: Atoms) -> np.ndarray:
    """Return forces [N, 3] (eV/A) averaged over a grid."""
    return probed.average(atoms, grid).forces


def _average(probed: Potential, atoms: Atoms, grid: str, number: int) -> GridAverage:
    """Evaluate a structure; raise PetDriverError if the results are not finite."""
    try:
        found = probed.average(atoms, grid)
    except PetDriverError as error:
        raise PetDriverError(f"structure {number}: {error}") from None
    if not np.isfinite(found.energy + found.forces.sum()):
        raise PetDriverError(
            f"structure {number}: the potential returned NaN or infinite energies or forces: leave "
            "out structures far outside its training data"
        )
    return found


def _components(potential: Potential, averages: Sequence[GridAverage], order: int) -> Components:
    """Return the mean components of several structures, from their energies on a grid."""
    rotations, weights = potential.grid(f"{order}i")
    return Components.mean(
        [
            rotational_components(rotations, weights, average.rotation_energies, order - 1)
            for average in averages
        ]
    )


def _check(
    potential: Potential,
    structures: list[Atoms],
    grids: Sequence[str],
    reference: str,
    resolution: int,
) -> dict[str, int]:
    """Return the number of evaluations of each grid; raise PetDriverError for wrong arguments."""
    if not structures or any(len(atoms) == 0 for atoms in structures):
        raise PetDriverError("there is nothing to probe: no structures, or one without atoms")
    if not grids:
        raise PetDriverError("no grids to compare; name some, such as 0,i,2,2i,3")
    if not 0 <= resolution <= LARGEST_EULER_ORDER:
        raise PetDriverError(
            f"resolution {resolution} is not known; it is the order of a grid, 1 to "
            f"{LARGEST_EULER_ORDER}, or 0 for no resolution by angular momentum"
        )
    for name in [*grids, reference]:
        parsed = parse_grid_name(name)
        if parsed.random:
            raise PetDriverError(f"grid {name} is random; the probe compares fixed grids")
        if parsed.frames:
            raise PetDriverError(
                f"{name} is invariant by construction, and another energy than the average over "
                "all rotations; the probe compares grids"
            )
    sizes = {name: len(potential.grid(name)[1]) for name in [*grids, reference]}
    largest = max(grids, key=sizes.__getitem__)
    if sizes[largest] >= sizes[reference]:
        raise PetDriverError(
            f"the reference {reference} has {sizes[reference]} rotations and grid {largest} has "
            f"{sizes[largest]}; take a reference finer than every grid"
        )
    return sizes


def _check_tolerances(energy: float, force: float) -> None:
    """Raise PetDriverError unless both tolerances are positive."""
    if not (energy > 0.0 and force > 0.0):
        raise PetDriverError(
            f"tolerances are {energy} eV/atom and {force} eV/A; both must be positive"
        )
