"""Two molecules: bound as they should be, repelled when close, nothing when far."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import pet_driver
from tests.physical.conftest import GRID, check

# revPBE0-D3 as good as any hybrid with dispersion: CCSD(T) has 0.217 eV at 2.91 A.
DEPTH, DISTANCE = 0.217, 2.91
NOISE = 2e-3  # eV; a bump this small is no hole
FAR = 9.0  # A


def dimer(distance: float) -> Atoms:
    """The hydrogen-bonded dimer at an O-O distance (A), molecules rigid."""
    donor = Atoms("OHH", [[0, 0, 0], [0.9566, 0, 0], [-0.2661, 0.9189, 0]])
    acceptor = molecule("H2O")
    acceptor.positions -= acceptor.positions[0]
    # Its hydrogens point away from the donor, 57 degrees out of the line of the oxygens.
    acceptor.rotate(acceptor.positions[1:].sum(axis=0), (0.54, 0, 0.84))
    acceptor.positions += (distance, 0, 0)
    return donor + acceptor


@pytest.fixture(scope="module")
def curve(model: pet_driver.Model) -> tuple[np.ndarray, np.ndarray]:
    """Distances (A), and energies (eV) against the dimer taken apart."""
    r = np.arange(1.8, FAR + 0.01, 0.1)
    energies = [found.energy for found in model.evaluate([dimer(d) for d in [*r, 30.0]], GRID)]
    return r, np.array(energies[:-1]) - energies[-1]


def test_minimum(curve) -> None:
    r, energy = curve
    at = int(np.argmin(energy))
    check("O-O distance of the minimum", r[at], DISTANCE - 0.15, DISTANCE + 0.15, "A")
    check("binding energy", -energy[at], DEPTH - 0.05, DEPTH + 0.05, "eV")


def test_no_holes(curve) -> None:
    """Down to the minimum, up after it, and nothing beside."""
    r, energy = curve
    at = int(np.argmin(energy))
    inward = np.diff(energy[: at + 1])
    outward = np.diff(energy[at:])
    print("binding curve:", *(f"{a:.1f}:{e:.3f}" for a, e in zip(r[::4], energy[::4], strict=True)))
    check("largest rise on the way in to the minimum", inward.max(initial=0), -9, NOISE, "eV")
    check("largest fall beyond the minimum", -outward.min(initial=0), -9, NOISE, "eV")
    check("wall at 1.8 A", energy[0], 0.5, np.inf, "eV")


def test_nothing_far_away(curve) -> None:
    check("energy at 9 A", curve[1][-1], -0.01, 0.01, "eV")
