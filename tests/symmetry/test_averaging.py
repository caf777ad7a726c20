"""Averages over grids equal the mean of separate evaluations, and are nearly invariant."""

import numpy as np
import pytest
from ase import Atoms

import pet_driver
from pet_driver.probe.potentials import rotate
from pet_driver.symmetry import rotation_grid

ENERGY = 1e-10  # eV
FORCE = 1e-10  # eV/A


@pytest.mark.parametrize("grid", ["i", "2i"])
def test_average_equals_mean_of_rotated_evaluations(
    grid: str, small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    small_box.set_cell(np.array(small_box.cell) + [[0, 0, 0], [0.7, 0, 0], [0.3, -0.4, 0]])
    average = model_f64.evaluate(small_box, grid)
    rotations, weights = rotation_grid(grid)
    separate = [model_f64.evaluate(rotate(small_box, r), "0") for r in rotations]
    energies = np.array([s.energy for s in separate])
    energy = weights @ energies
    forces = sum(w * s.forces @ r.T for w, s, r in zip(weights, separate, rotations, strict=True))
    virial = sum(
        w * r @ s.virial @ r.T for w, s, r in zip(weights, separate, rotations, strict=True)
    )
    assert energies.std() > 1e-4, "the raw model must depend on the orientation"
    assert abs(average.energy - energy) < ENERGY
    assert np.abs(average.forces - forces).max() < FORCE
    assert np.abs(average.virial - virial).max() < ENERGY
    assert abs(average.rotation_std - np.sqrt(weights @ (energies - energy) ** 2)) < ENERGY
    assert abs(average.raw_energy - model_f64.evaluate(small_box, "0").energy) < ENERGY


def test_results_do_not_depend_on_max_edges(small_box: Atoms, archive_f64) -> None:
    wide = pet_driver.load(archive_f64, grid="2i", max_edges=10**7).evaluate(small_box)
    narrow = pet_driver.load(archive_f64, grid="2i", max_edges=1).evaluate(small_box)
    assert abs(wide.energy - narrow.energy) < ENERGY
    assert np.abs(wide.forces - narrow.forces).max() < FORCE


def test_finer_grids_are_closer_to_invariant(water: Atoms, model_f64: pet_driver.Model) -> None:
    rng = np.random.default_rng(4)
    rotated = []
    for _ in range(8):
        copy = water.copy()
        copy.rotate(rng.uniform(0, 360), rng.normal(size=3), rotate_cell=True)
        rotated.append(copy)
    std = {
        grid: np.std([r.energy for r in model_f64.evaluate(rotated, grid)])
        for grid in ("0", "2i", "3i")
    }
    assert std["0"] > 1e-5
    assert std["2i"] < 0.1 * std["0"]
    assert std["3i"] < std["2i"]


def test_grids_with_inversion_are_exactly_invariant_under_it(
    water: Atoms, model_f64: pet_driver.Model
) -> None:
    energies = [
        model_f64.evaluate(atoms, grid).energy
        for grid in ("2i", "0")
        for atoms in (water, rotate(water, -np.eye(3)))
    ]
    assert abs(energies[0] - energies[1]) < ENERGY
    assert abs(energies[2] - energies[3]) > 1e-4
