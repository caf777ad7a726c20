"""Ice Ih: binding energy, proton order, relaxation, and stability at 200 K."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import BFGS
from MDAnalysis.lib.distances import distance_array

import pet_driver
from pet_driver import analysis, building
from tests.physical.conftest import GRID, Execute, check

# The data: -469.5768 eV/molecule for unrelaxed cells, -468.8232 eV for an isolated molecule.
BINDING = -0.754  # eV/molecule
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def energies(model: pet_driver.Model) -> np.ndarray:
    """Energies (eV/molecule) of three unrelaxed proton arrangements, averaged over rotations."""
    cells = [building.ice_ih((2, 1, 1), seed=seed) for seed in SEEDS]
    return np.array([model.evaluate(c, GRID).energy / (len(c) / 3) for c in cells])


def test_proton_order(energies) -> None:
    """In the data, with larger cells, the energies differ by 0.3 meV/molecule."""
    check("range of the energies", 1e3 * np.ptp(energies), 0.0, 5.0, "meV/molecule")


def test_binding(energies, water_energy: float) -> None:
    found = energies.mean() - water_energy
    check("binding energy", found, BINDING - 0.05, BINDING + 0.05, "eV/molecule")


@pytest.fixture(scope="module")
def water_energy(model: pet_driver.Model) -> float:
    """Energy of the relaxed molecule, eV."""
    water = molecule("H2O")
    water.calc = pet_driver.PETCalculator(model, GRID)
    BFGS(water, logfile=None).run(fmax=1e-3, steps=300)
    return water.get_potential_energy()


def test_relaxes(run_input: Execute) -> None:
    """In relaxed ice of 96 molecules every oxygen has four neighbours."""
    run = run_input("ice-relaxation/in.ice", variables={"force": "0.02"})
    universe = analysis.water_universe(run.path(run.positions[0]))
    universe.trajectory[-1]
    oxygens = universe.select_atoms("element O")
    positions = oxygens.positions
    distances = distance_array(positions, positions, box=universe.dimensions)
    four = np.sort(distances, axis=1)[:, 1:5]  # the first distance is that to the atom itself
    check("nearest O-O", four.min(), 2.55, 2.85, "A")
    check("fourth O-O", four.max(), 2.6, 3.0, "A")


def test_stays_solid(run_input: Execute, steps: Callable[[float], int], tmp_path: Path) -> None:
    """10 ps at 200 K."""
    data = tmp_path / "ice.data"
    building.write_structure(data, building.ice_ih((3, 2, 2), seed=1))
    run = run_input(
        "water-liquid-nvt/in.water",
        steps=steps(10),
        structure=data,
        variables={"temperature": "200"},
    )
    universe = analysis.water_universe(run.path(run.positions[0]))
    oxygens = universe.select_atoms("element O")
    start = oxygens.positions.copy()
    universe.trajectory[-1]
    moved = oxygens.positions - start
    moved -= moved.mean(axis=0)
    check("displacement of O", np.sqrt((moved**2).sum(1).mean()), 0.0, 0.8, "A")
    check("longest O-H", universe.atoms.bonds.bonds().max(), 0.9, 1.4, "A")
