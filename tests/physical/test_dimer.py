"""The water dimer: binding energy, repulsion at short and no interaction at long distance."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import pet_driver
from tests.physical.conftest import GRID, check

# CCSD(T): 0.217 eV at 2.91 A; revPBE0-D3 agrees well with it.
DEPTH, DISTANCE = 0.217, 2.91
NOISE = 2e-3  # eV, size of a maximum that is tolerated
FAR = 9.0  # A


def dimer(distance: float) -> Atoms:
    """Return the hydrogen-bonded dimer of rigid molecules at an O-O distance (A)."""
    donor = Atoms("OHH", [[0, 0, 0], [0.9566, 0, 0], [-0.2661, 0.9189, 0]])
    acceptor = molecule("H2O")
    acceptor.positions -= acceptor.positions[0]
    # The hydrogens point away from the donor, at 57 degrees to the O-O axis.
    acceptor.rotate(acceptor.positions[1:].sum(axis=0), (0.54, 0, 0.84))
    acceptor.positions += (distance, 0, 0)
    return donor + acceptor


@pytest.fixture(scope="module")
def curve(model: pet_driver.Model) -> tuple[np.ndarray, np.ndarray]:
    """Distances (A), and energies (eV) relative to separated molecules."""
    r = np.arange(1.8, FAR + 0.01, 0.1)
    energies = [found.energy for found in model.evaluate([dimer(d) for d in [*r, 30.0]], GRID)]
    return r, np.array(energies[:-1]) - energies[-1]


def test_minimum(curve) -> None:
    r, energy = curve
    at = int(np.argmin(energy))
    check("O-O distance of the minimum", r[at], DISTANCE - 0.15, DISTANCE + 0.15, "A")
    check("binding energy", -energy[at], DEPTH - 0.05, DEPTH + 0.05, "eV")


def test_single_minimum(curve) -> None:
    """The curve falls to the minimum and rises after it, without other minima."""
    r, energy = curve
    at = int(np.argmin(energy))
    inward = np.diff(energy[: at + 1])
    outward = np.diff(energy[at:])
    print("binding curve:", *(f"{a:.1f}:{e:.3f}" for a, e in zip(r[::4], energy[::4], strict=True)))
    check("largest rise on the way in to the minimum", inward.max(initial=0), -9, NOISE, "eV")
    check("largest fall beyond the minimum", -outward.min(initial=0), -9, NOISE, "eV")
    check("wall at 1.8 A", energy[0], 0.5, np.inf, "eV")


def test_no_interaction_at_long_distance(curve) -> None:
    check("energy at 9 A", curve[1][-1], -0.01, 0.01, "eV")
