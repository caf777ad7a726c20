"""One molecule averaged over rotations: geometry, frequencies, energy conservation."""

from collections.abc import Callable

import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Vibrations

import pet_driver
from pet_driver import analysis
from tests.physical.conftest import GRID, Execute, check

# Minimum of the revPBE0-D3 surface, and harmonic frequencies (cm^-1) of the polynomial through the
# energies of 600 molecules: bend, symmetric and asymmetric stretch.
LENGTH, ANGLE = 0.9566, 106.15
FREQUENCIES = (1656.3, 3928.0, 4026.4)
LONGEST = 1.3  # A, upper bound of O-H in an intact molecule at 300 K
DRIFT = 1e-5  # eV/(atom ps)


@pytest.fixture(scope="module")
def relaxed(model: pet_driver.Model):
    water = molecule("H2O")
    water.calc = pet_driver.PETCalculator(model, GRID)
    BFGS(water, logfile=None).run(fmax=1e-3, steps=300)
    return water


def test_geometry(relaxed) -> None:
    check("r_OH", relaxed.get_distance(0, 1), LENGTH - 0.003, LENGTH + 0.003, "A")
    check("angle", relaxed.get_angle(1, 0, 2), ANGLE - 0.5, ANGLE + 0.5, "degrees")


def test_harmonic_frequencies(relaxed, tmp_path) -> None:
    vibrations = Vibrations(relaxed, name=str(tmp_path / "modes"), delta=0.01)
    vibrations.run()
    found = np.sort(vibrations.get_frequencies().real)[-3:]
    print("harmonic frequencies (cm^-1):", np.round(found, 1), "reference:", FREQUENCIES)
    for value, reference in zip(found, FREQUENCIES, strict=True):
        check("frequency", value, 0.97 * reference, 1.03 * reference, "cm^-1")


@pytest.mark.parametrize("input_file", ["ipi-raw.xml", "ipi-2i.xml"])
def test_energy_is_conserved(
    run_input: Execute, steps: Callable[[float], int], input_file: str
) -> None:
    """100 ps at constant energy."""
    run = run_input(f"water-molecule-nve/{input_file}", steps=steps(100))
    drift = analysis.conserved_drift(run.path(run.properties), n_atoms=3)
    print(f"{input_file}: {drift}")
    universe = analysis.water_universe(run.path(run.positions[0]))
    longest = max(float(universe.atoms.bonds.bonds().max()) for _ in universe.trajectory)
    check("longest O-H", longest, 0.7, LONGEST, "A")
    bar = max(DRIFT, 3 * drift.error)  # the error of the drift is large in a short run
    check("drift", drift.slope, -bar, bar, "eV/(atom ps)")
