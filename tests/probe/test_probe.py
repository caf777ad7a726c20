"""The probe finds no error in invariant potentials, and known errors with their size."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

import pet_driver
from pet_driver.errors import PetDriverError
from pet_driver.probe import GridDeviation, probe, recommend
from pet_driver.probe.molecules import torques, unwrapped_molecules
from pet_driver.symmetry import rotation_grid
from tests.probe.conftest import DefectiveLennardJones

ROUNDING = 1e-12  # eV, eV/A
POWER = 1e-10  # relative error of a power: the quadrature is exact, energies have rounding errors


def distorted(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.positions += np.random.default_rng(3).normal(0, 0.03, copy.positions.shape)
    return copy


def test_invariant_potential_has_no_error(one_water: Atoms, invariant: LennardJones) -> None:
    found = probe(invariant, [one_water, distorted(one_water)])
    for d in found.deviations:
        values = [d.energy, d.forces, d.forces_rms, d.virial_per_atom, d.torque, d.molecular_torque]
        assert max(values) < ROUNDING, d
        assert found.curie_rms(d.grid) < ROUNDING
    assert np.sqrt(found.components.power).max() < ROUNDING
    assert found.recommendation.grid == "0"


def test_invariant_crystal_has_no_error() -> None:
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.05, seed=1)
    found = probe(EMT(), crystal, grids=["0", "i"], reference="2", resolution=2)
    assert found.deviations[0].torque is None, (
        "forces do not give the torque of a periodic structure"
    )
    assert found.deviations[0].molecular_torque is None, "a metal has no molecules"
    for d in found.deviations:
        assert max(d.energy, d.forces, d.virial_per_atom) < 1e-11
    assert np.sqrt(found.components.power).max() < 1e-11


@pytest.mark.parametrize("momentum", [1, 2, 3])
def test_known_error_is_found_with_its_size(momentum: int, one_water: Atoms) -> None:
    atoms = distorted(one_water)
    defective = DefectiveLennardJones(momentum, amplitude=0.01)
    found = probe(defective, atoms)
    expected = defective.power(atoms)
    assert expected > 1e-7
    power = found.components.power.copy()
    assert power[momentum, momentum % 2] == pytest.approx(expected, rel=POWER)
    assert found.components.variance == pytest.approx(expected, rel=POWER)
    power[momentum, momentum % 2] = 0.0
    assert np.sqrt(power).max() < ROUNDING, "and nothing else"
    assert found.components.beyond < POWER * expected


def test_grids_remove_their_components(one_water: Atoms) -> None:
    """l = 3 is odd: i is exact, 2 (l up to 2) is not, 3 (l up to 4) is."""
    rotated = [distorted(one_water) for _ in range(3)]
    for angle, atoms in enumerate(rotated):
        atoms.rotate(70 * angle, (3, 1, -2))
    found = probe(DefectiveLennardJones(3, 0.01), rotated, resolution=0)
    error = {d.grid: d.energy for d in found.deviations}
    assert error["0"] > 1e-4 and error["2"] > 1e-5
    assert max(error["i"], error["2i"], error["3"]) < ROUNDING
    assert found.recommendation.grid == "i"


def test_torque_is_the_derivative_by_a_rotation(one_water: Atoms) -> None:
    """The torque from forces equals finite differences of the energy."""
    atoms = distorted(one_water)
    defective = DefectiveLennardJones(3, 0.01)
    torque = np.zeros(3)
    for axis in range(3):
        energies = []
        for angle in (-0.01, 0.01):
            copy = atoms.copy()
            copy.rotate(angle, np.eye(3)[axis])
            copy.calc = defective
            energies.append(copy.get_potential_energy())
        torque[axis] = -(energies[1] - energies[0]) / np.radians(0.02)
    found = probe(defective, atoms, resolution=0).deviations[0]
    assert np.linalg.norm(torque) > 1e-3
    assert found.torque == pytest.approx(np.linalg.norm(torque), rel=1e-6)
    assert found.molecular_torque == pytest.approx(found.torque, rel=1e-9)


def test_constraints_of_a_structure_are_ignored(one_water: Atoms) -> None:
    """ASE sets the forces on fixed atoms to zero."""
    atoms = distorted(one_water)
    free = probe(DefectiveLennardJones(3, 0.01), atoms, resolution=0).deviations[0]
    atoms.set_constraint(FixAtoms([0]))
    fixed = probe(DefectiveLennardJones(3, 0.01), atoms, resolution=0).deviations[0]
    assert fixed.forces == free.forces > 1e-4


def test_torque_of_a_model_equals_that_of_its_forces(
    one_water: Atoms, model_f64: pet_driver.Model
) -> None:
    """The probe computes it from the antisymmetric virial."""
    found = probe(model_f64, one_water, grids=["0"], reference="2", resolution=0).deviations[0]
    forces = model_f64.evaluate(one_water, "0").forces
    torque = np.cross(one_water.positions - one_water.positions.mean(axis=0), forces).sum(axis=0)
    assert found.torque > 1e-4
    assert found.torque == pytest.approx(np.linalg.norm(torque), rel=1e-9)


def test_torque_on_molecules_across_a_cell(small_box: Atoms) -> None:
    """Molecules that cross a face of the cell are unwrapped."""
    forces = np.random.default_rng(0).normal(size=(len(small_box), 3))
    forces -= np.repeat(forces.reshape(-1, 3, 3).mean(axis=1), 3, axis=0)
    expected = [
        np.cross(small_box.positions[m], forces[m]).sum(axis=0)
        for m in np.arange(len(small_box)).reshape(-1, 3)
    ]
    wrapped = small_box.copy()
    wrapped.wrap()
    assert np.abs(wrapped.positions - small_box.positions).max() > 1.0
    molecules = unwrapped_molecules(wrapped)
    assert [len(indices) for indices, _ in molecules] == [3] * 8
    assert np.allclose(torques(molecules, forces), expected, atol=1e-10)


def test_model_and_calculator_agree(one_water: Atoms, model_f64: pet_driver.Model) -> None:
    """One batch of rotations, and the same model with rotated structures one by one."""
    one = probe(model_f64, one_water, grids=["0"], reference="i", resolution=2)
    calculator = pet_driver.PETCalculator(model_f64, grid="0")
    two = probe(calculator, one_water, grids=["0"], reference="i", resolution=2)
    for a, b in zip(one.deviations, two.deviations, strict=True):
        for name in ("energy", "forces", "virial_per_atom", "torque", "molecular_torque"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-9), name
        assert one.curie_rms(a.grid) == pytest.approx(two.curie_rms(a.grid), abs=1e-9)
    assert np.allclose(one.components.power, two.components.power, rtol=1e-6, atol=1e-12)
    assert one.components.variance > 1e-9


def test_powers_add_up_to_the_variance(small_box: Atoms, model_f64: pet_driver.Model) -> None:
    found = probe(model_f64, small_box[:6], grids=["0"], reference="i", resolution=4).components
    rotations, weights = rotation_grid("4i")
    energies = model_f64.evaluate(small_box[:6], "4i").rotation_energies[1:]
    variance = weights @ (energies - weights @ energies) ** 2
    assert len(rotations) == len(energies)
    assert found.variance == pytest.approx(variance, rel=1e-9)
    assert found.power.sum() + found.beyond == pytest.approx(variance, rel=1e-9)
    assert found.beyond < 0.05 * variance, "a smooth network has little above l = 3"
    assert found.power[0, 1] > 0.0, "the mirror image of a chiral cluster has another energy"


def test_recommendation_is_the_cheapest_within_both_tolerances() -> None:
    def grid(name: str, evaluations: int, energy: float, force: float) -> GridDeviation:
        return GridDeviation(name, evaluations, 3 * energy, energy, force, force, None, None, None)

    measured = [
        grid("3", 75, 1e-8, 1e-8),
        grid("2i", 36, 1e-7, 1e-6),
        grid("2", 18, 2e-6, 1e-4),
        grid("0", 1, 1e-3, 1e-2),
    ]
    assert recommend(measured, 1e-5, 1e-3).grid == "2"
    assert recommend(measured, 1e-6, 1e-3).grid == "2i", "the energy decides"
    assert recommend(measured, 1e-5, 1e-5).grid == "2i", "the force decides"
    assert recommend(measured, 1e-2, 1e-1).grid == "0"
    assert recommend(measured, 1e-9, 1.0).grid is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structures": []}, "nothing to probe"),
        ({"grids": ["0", "9i"]}, "unknown grid '9i'"),
        ({"grids": ["0", "3"], "reference": "2"}, "reference 2 has 18 rotations and grid 3 has 75"),
        ({"grids": []}, "no grids"),
        ({"resolution": 9}, "resolution 9"),
        ({"force_tolerance": 0.0}, "must be positive"),
        ({"potential": 3.0}, "cannot be probed"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict, message: str, one_water: Atoms, invariant: LennardJones
) -> None:
    arguments = {"potential": invariant, "structures": one_water} | options
    with pytest.raises(PetDriverError, match=message):
        probe(**arguments)
