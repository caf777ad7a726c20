"""Search of point groups, and test of forces that break them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from pet_driver.probe.curie import curie_test, symmetric_structure


def moved(atoms: Atoms, seed: int = 0) -> Atoms:
    rng = np.random.default_rng(seed)
    copy = atoms.copy()
    copy.rotate(rng.uniform(0, 360), rng.normal(size=3))
    copy.positions += rng.normal(size=3)
    return copy


def lennard_jones(atoms: Atoms) -> np.ndarray:
    copy = atoms.copy()
    copy.calc = LennardJones(sigma=1.0, epsilon=0.1, rc=12.0)
    return copy.get_forces()


@pytest.mark.parametrize(
    ("name", "order"),
    [("H2O", 4), ("NH3", 6), ("CH4", 24), ("C6H6", 24), ("C2H6", 12), ("H2O2", 2), ("C60", 120)],
)
def test_point_groups_of_molecules(name: str, order: int) -> None:
    atoms = moved(molecule(name))
    symmetric, group, displacement = symmetric_structure(atoms)
    assert len(group) == order
    assert displacement < 0.01
    for matrix, permutation in zip(group.matrices, group.permutations, strict=True):
        assert np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-12
        centred = symmetric.positions - symmetric.positions.mean(axis=0)
        assert np.abs(centred @ matrix.T - centred[permutation]).max() < 1e-11


@pytest.mark.parametrize("name", ["CO2", "HF", "H", "CH4", "H2O"])
def test_residual_is_the_asymmetric_part_of_the_forces(name: str) -> None:
    atoms = moved(molecule(name)) if name != "H" else Atoms("H")
    assert curie_test(atoms, lennard_jones).rms < 1e-12
    spoil = 0.01 * np.random.default_rng(1).normal(size=(len(atoms), 3))
    spoiled = curie_test(atoms, lambda a: lennard_jones(a) + spoil)
    _, group, _ = symmetric_structure(atoms)
    expected = np.linalg.norm(spoil - group.symmetrize(spoil), axis=1)
    assert spoiled.rms > 1e-3
    assert np.allclose(spoiled.residual, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["CO2", "HF"])
def test_linear_molecules_have_no_perpendicular_forces(name: str) -> None:
    atoms = molecule(name)
    across = np.zeros((len(atoms), 3))
    across[0, 0] = 0.01
    found = curie_test(atoms, lambda a: across)
    assert found.residual[0] == pytest.approx(0.01, rel=1e-9)


def test_nearly_symmetric_molecule_is_made_symmetric() -> None:
    atoms = molecule("CH4")
    atoms.rattle(1e-3, seed=2)
    found = curie_test(atoms, lennard_jones)
    assert found.order == 24
    assert 1e-4 < found.displacement < 1e-2
    assert found.rms < 1e-12, "forces of the repaired structure, not of the rattled one"


@pytest.mark.parametrize("degrees", [165.0, 172.0, 178.0])
def test_slightly_bent_molecule_is_not_linear(degrees: float) -> None:
    """The atoms are further from a line than the tolerance, although the angle is small."""
    half = np.radians(degrees / 2)
    arm = 1.5 * np.array([np.cos(half), np.sin(half), 0.0])
    bent = moved(Atoms("OHH", [[0.0, 0.0, 0.0], arm, arm * [1, -1, 1]]))
    found = curie_test(bent, lennard_jones)
    assert (found.order, found.displacement < 1e-10) == (4, True)
    assert found.rms < 1e-12


@pytest.mark.parametrize(("name", "order"), [("H2CO", 4), ("C2H4", 8), ("C6H6", 24), ("H2O", 4)])
def test_operations_of_rattled_molecules_are_a_group(name: str, order: int) -> None:
    """In planar molecules two operations have the same permutation."""
    for seed in range(20):
        atoms = moved(molecule(name), seed)
        atoms.rattle(5e-3, seed=seed)
        _, group, _ = symmetric_structure(atoms)
        assert order % len(group) == 0, "Lagrange"
        products = np.einsum("aij,bjk->abik", group.matrices, group.matrices)
        distances = np.abs(products[:, :, None] - group.matrices).max(axis=(3, 4)).min(axis=2)
        assert distances.max() < 1e-9, "closed"


def test_molecule_without_symmetry() -> None:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=2)
    found = curie_test(atoms, lennard_jones)
    assert (found.order, found.rms) == (1, 0.0)


@pytest.mark.parametrize(("width", "order"), [(100.0, 6), (15.0, 1)])
def test_molecule_in_a_periodic_cell(width: float, order: int) -> None:
    """Isolated and wrapped in a wide cell; in a narrow one it may interact with its images."""
    pytest.importorskip("spglib")
    atoms = moved(molecule("NH3"))
    atoms.set_cell([width] * 3)
    atoms.pbc = True
    atoms.positions -= atoms.positions[0] + 0.1
    atoms.wrap()
    found = curie_test(atoms, lambda a: np.zeros((4, 3)))
    assert (found.order, found.displacement < 0.01) == (order, True)


def test_crystal() -> None:
    pytest.importorskip("spglib")
    crystal = bulk("Cu", cubic=True)

    def forces(atoms: Atoms) -> np.ndarray:
        copy = atoms.copy()
        copy.calc = EMT()
        return copy.get_forces()

    found = curie_test(crystal, forces)
    assert found.order == 192, "48 operations times 4 translations"
    assert found.rms < 1e-10
    spoil = np.full((4, 3), 0.01)
    assert curie_test(crystal, lambda a: spoil).rms == pytest.approx(0.01 * np.sqrt(3))


def test_fixed_atoms_are_made_symmetric_too() -> None:
    pytest.importorskip("spglib")
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(1e-3, seed=1)
    crystal.set_constraint(FixAtoms([0, 1]))
    found = curie_test(crystal, lambda a: np.zeros((4, 3)))
    assert found.order == 192
    assert 1e-4 < found.displacement < 1e-2


def test_slabs_are_not_searched() -> None:
    slab = Atoms("Cu", cell=[3, 3, 10], pbc=(True, True, False))
    assert curie_test(slab, lennard_jones) is None
