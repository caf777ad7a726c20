"""Relaxations from distorted structures: no unphysical minima far below the ground state."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.optimize import FIRE

import pet_driver
from pet_driver import building
from tests.physical.conftest import check

STARTS = 50
MOLECULES = 8
STEPS = 200
SLACK = 0.2  # eV/molecule below ice, which is the ground state of these atoms


def start(seed: int) -> Atoms:
    """Return eight molecules in a periodic box: compressed, stretched, or at random positions."""
    rng = np.random.default_rng(seed)
    kind = ("compressed", "stretched", "random")[seed % 3]
    side = 3.1 * rng.uniform(*{"compressed": (0.6, 0.85)}.get(kind, (1.0, 1.3)))
    box = Atoms(cell=[2 * side] * 3, pbc=True, info={"kind": kind})
    for site in np.ndindex(2, 2, 2):
        one = molecule("H2O")
        if kind == "stretched":
            one.positions *= rng.uniform(1.1, 2.0, (3, 1))
        one.rotate(rng.uniform(0, 360), rng.normal(size=3), center=one.positions[0])
        one.positions += side * np.array(site) - one.positions[0]
        box += one
    if kind == "random":
        box.positions = rng.uniform(0, 2 * side, box.positions.shape)
    return box


@pytest.fixture(scope="module")
def floor(model: pet_driver.Model) -> float:
    """Energy per molecule (eV) of ice by the same model, minus the tolerance ``SLACK``."""
    ice = building.ice_ih((2, 1, 1), seed=1)
    return model.evaluate(ice, "0").energy / (len(ice) / 3) - SLACK


@pytest.mark.parametrize("seed", range(STARTS))
def test_no_unphysical_minimum(model: pet_driver.Model, floor: float, seed: int) -> None:
    atoms = start(seed)
    atoms.calc = pet_driver.PETCalculator(model, "0")
    FIRE(atoms, logfile=None, maxstep=0.1).run(fmax=0.05, steps=STEPS)
    energy = atoms.get_potential_energy() / MOLECULES
    what = f"{atoms.info['kind']} start {seed}: energy above the floor"
    check(what, energy - floor, 0.0, np.inf, "eV/molecule")


@pytest.mark.parametrize("symbol", ["H", "O"])
def test_pairs_repel(model: pet_driver.Model, symbol: str) -> None:
    """The energy of two equal atoms rises at all distances below the bond length."""
    r = np.arange(0.3, {"H": 0.7, "O": 1.15}[symbol], 0.05)
    pairs = [Atoms([symbol] * 2, [[0, 0, 0], [d, 0, 0]]) for d in r]
    energies = np.array([found.energy for found in model.evaluate(pairs, "2i")])
    print(symbol, *(f"{a:.2f}:{e - energies[-1]:.2f}" for a, e in zip(r, energies, strict=True)))
    check(f"largest rise of {symbol}-{symbol} outward", np.diff(energies).max(), -np.inf, 0.0, "eV")
