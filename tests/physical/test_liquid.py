"""Liquid water, 64 molecules: intact molecules, structure, diffusion, density, conservation."""

from collections.abc import Callable

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.runs import Run
from tests.physical.conftest import Execute, check

INPUT = "water-liquid-nvt/in.water"
# First maxima (r in A, g) of revPBE0-D3 water, classical: B. Cheng et al., PNAS 116 (2019) 1110.
REFERENCE = {"OO": (2.83, 2.74), "OH": (1.87, 1.30), "HH": (2.38, 1.49)}
FIRST_SHELL = {"OO": 3.4, "OH": 2.4, "HH": 2.9}  # A, upper end
BIN = 0.064  # A, that of the reference
LONGEST = {300: 1.4, 600: 1.6}  # A, O-H bound of an intact molecule, by temperature in K
VISCOSITY = 0.85  # mPa s, experiment, for the finite-size correction of diffusion
DRIFT = 1e-5  # eV/(atom ps)
OSCILLATION = 0.05  # g/cm^3, amplitude of the first oscillation of the barostat
BAROSTAT = 0.5  # ps, its time constant


@pytest.fixture(scope="module")
def liquid(run_input: Execute, steps: Callable[[float], int]) -> Run:
    """100 ps at 300 K and 0.999 g/cm^3."""
    return run_input(INPUT, steps=steps(100))


def longest_bond(run: Run) -> float:
    """Return the longest covalent O-H bond (A) of all trajectory frames."""
    universe = analysis.water_universe(run.path(run.positions[0]))
    return max(float(universe.atoms.bonds.bonds().max()) for _ in universe.trajectory)


def test_molecules_are_intact_at_300_K(liquid: Run) -> None:
    check("longest O-H", longest_bond(liquid), 0.9, LONGEST[300], "A")


@pytest.mark.parametrize("pair", list(REFERENCE))
def test_structure(liquid: Run, pair: str) -> None:
    universe = analysis.water_universe(liquid.path(liquid.positions[0]))
    found = analysis.RadialDistribution(universe.atoms, pair, bin_width=BIN)
    results = found.run(start=len(universe.trajectory) // 5).results
    at = int(np.where(results.r < FIRST_SHELL[pair], results.g, 0.0).argmax())
    r, height = REFERENCE[pair]
    wide = 2 * float(results.error[at])  # wide in a short run
    check(f"g_{pair}: first maximum at", results.r[at], r - 0.05, r + 0.05, "A")
    check(f"g_{pair}: first maximum", results.g[at], height - 0.25 - wide, height + 0.25 + wide)


def test_diffusion(liquid: Run) -> None:
    """Figure 3a of arXiv 2406.17747: 16.3 A^2 in 10 ps, of 512 molecules."""
    path = liquid.path(liquid.positions[0])
    universe = analysis.water_universe(path, timestep=liquid.timestep)
    oxygen = universe.select_atoms("element O")
    found = analysis.MeanSquareDisplacement(oxygen).run(start=len(universe.trajectory) // 5)
    diffusion = found.results.diffusion
    side = float(universe.trajectory[0].dimensions[0])
    value = diffusion.coefficient + diffusion.finite_size_correction(300, VISCOSITY, side)
    wide = 2 * diffusion.error  # wide in a short run
    check("diffusion", value, 0.17 - wide, 0.38 + wide, "A^2/ps")


def test_density(run_input: Execute, steps: Callable[[float], int]) -> None:
    """50 ps at 300 K and 1 bar: 0.940 g/cm^3 for revPBE0-D3 with classical nuclei."""
    run = run_input("water-liquid-npt/in.water", steps=steps(50))
    density = analysis.LAMMPSLog(run.path(run.properties))["Density"]
    wide = OSCILLATION if run.duration < 10 * BAROSTAT else 0.0
    check("density", density[len(density) // 3 :].mean(), 0.89 - wide, 0.99 + wide, "g/cm^3")


def test_molecules_are_intact_at_600_K(run_input: Execute, steps: Callable[[float], int]) -> None:
    """20 ps."""
    run = run_input(INPUT, steps=steps(20), variables={"temperature": "600"})
    check("longest O-H", longest_bond(run), 0.9, LONGEST[600], "A")


def test_energy_is_conserved(run_input: Execute, steps: Callable[[float], int]) -> None:
    """20 ps at constant energy."""
    run = run_input(INPUT, steps=steps(20), variables={"ensemble": "nve"})
    drift = analysis.conserved_drift(run.path(run.properties), n_atoms=run.n_atoms)
    print(f"liquid: {drift}")
    bar = max(DRIFT, 3 * drift.error)
    check("drift", drift.slope, -bar, bar, "eV/(atom ps)")
