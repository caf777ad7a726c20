"""Quantum nuclei in the liquid at 300 K: eight beads with PIGLET, compared with classical."""

from collections.abc import Callable

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.runs import Run
from tests.physical.conftest import Execute, check

BIN = 0.064  # A, that of the reference
# The covalent peak of g_OH falls from 28.4 to 14.0: B. Cheng et al., PNAS 116 (2019) 1110.
HEIGHT = (0.35, 0.65)
# eV/atom: 0.143 to 0.150 and 0.054 to 0.057 in experiments and path integrals; classically
# 0.039.
KINETIC = {"H": (0.130, 0.165), "O": (0.046, 0.066)}


@pytest.fixture(scope="module")
def quantum(run_input: Execute, steps: Callable[[float], int]) -> Run:
    """10 ps."""
    return run_input("water-liquid-pimd/ipi-piglet.xml", steps=steps(10))


@pytest.fixture(scope="module")
def classical(run_input: Execute, steps: Callable[[float], int]) -> Run:
    """10 ps."""
    return run_input("water-liquid-nvt/in.water", steps=steps(10))


def bond_lengths(run: Run) -> np.ndarray:
    """Return the covalent O-H bonds (A) of all beads in the second half of a run."""
    lengths = []
    for file in run.positions:
        universe = analysis.water_universe(run.path(file))
        for _ in universe.trajectory[len(universe.trajectory) // 2 :]:
            lengths.append(universe.atoms.bonds.bonds())
    return np.concatenate(lengths)


@pytest.mark.parametrize("element", list(KINETIC))
def test_kinetic_energy(quantum: Run, element: str) -> None:
    """By the centroid-virial estimator."""
    table = analysis.PropertyFile(quantum.path(quantum.properties))
    start = float(table.time()[-1] - table.time()[0]) / 3
    found = analysis.quantum_kinetic_energy(table, {"H": 128, "O": 64}, start=start)[element]
    wide = 2 * found.error  # wide in a short run
    low, high = KINETIC[element]
    check(f"kinetic energy of {element}", found.mean, low - wide, high + wide, "eV")


def test_broadening(quantum: Run, classical: Run) -> None:
    bins = np.arange(0.6, 1.6, BIN)
    heights = [
        np.histogram(bond_lengths(run), bins, density=True)[0].max() for run in (quantum, classical)
    ]
    check("covalent peak, quantum to classical", heights[0] / heights[1], *HEIGHT)
