"""Energies, forces and virials of a model, in all kinds of cells."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import pet_driver
from pet_driver.engines.ipi.potential import BOHR_PER_ANGSTROM, Potential
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure

RELATIVE = 1e-6  # of finite differences, float64


def central_difference(function, step: float) -> float:
    """Return the fourth-order central difference at zero."""
    one = function(step) - function(-step)
    two = function(2 * step) - function(-2 * step)
    return (8 * one - two) / (12 * step)


@pytest.mark.parametrize("grid", ["0", "i"])
def test_forces_are_the_gradient(grid: str, small_box: Atoms, model_f64: pet_driver.Model) -> None:
    forces = model_f64.evaluate(small_box, grid).forces
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=forces.shape)

        def energy(step: float, direction: np.ndarray = direction) -> float:
            moved = small_box.copy()
            moved.positions += step * direction
            return model_f64.evaluate(moved, grid).energy

        slope = -central_difference(energy, 2e-4)
        assert abs(slope) > 0.1
        assert abs((forces * direction).sum() - slope) < RELATIVE * abs(slope)


@pytest.mark.parametrize("grid", ["0", "i"])
def test_virial_is_the_gradient_by_strain(
    grid: str, small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    small_box.set_cell(small_box.cell + np.array([[0, 0, 0], [0.9, 0, 0], [0.2, -0.5, 0]]))
    found = model_f64.evaluate(small_box, grid)
    assert np.array_equal(found.virial, found.virial.T)
    for a, b in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)]:
        strain = np.zeros((3, 3))
        strain[a, b] = strain[b, a] = 1.0 if a == b else 0.5

        def energy(step: float, strain: np.ndarray = strain) -> float:
            deformed = small_box.copy()
            deformed.set_cell(small_box.cell @ (np.eye(3) + step * strain), scale_atoms=True)
            return model_f64.evaluate(deformed, grid).energy

        slope = -central_difference(energy, 2e-4)
        assert abs(found.virial[a, b] - slope) < RELATIVE * max(1.0, abs(slope))


def test_batch_equals_separate_evaluations(water: Atoms, small_box: Atoms, archive_f64) -> None:
    structures = [water, small_box, Atoms("O"), water, small_box[:10]]
    for max_edges in (1, 500, 10**6):
        model = pet_driver.load(archive_f64, max_edges=max_edges)
        batch = model.evaluate(structures)
        for structure, found in zip(structures, batch, strict=True):
            alone = model.evaluate(structure)
            assert abs(found.energy - alone.energy) < 1e-10
            assert np.abs(found.forces - alone.forces).max() < 1e-10
            assert np.abs(found.virial - alone.virial).max() < 1e-10
            assert abs(found.energies.sum() - found.energy) < 1e-10


def test_small_cell_equals_its_supercell(model_f64: pet_driver.Model) -> None:
    """A cell of 3.1 A is shorter than the cutoff: atoms have several images of each other."""
    unit = molecule("H2O")
    unit.set_cell([[3.1, 0, 0], [0.6, 3.3, 0], [-0.4, 0.5, 3.2]])
    unit.set_pbc(True)
    one, eight = model_f64.evaluate([unit, unit.repeat((2, 2, 2))])
    assert abs(8 * one.energy - eight.energy) < 1e-9
    assert np.abs(np.tile(one.forces, (8, 1)) - eight.forces).max() < 1e-9
    assert np.abs(8 * one.virial - eight.virial).max() < 1e-8


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, False, False), (True, True, False)])
def test_partial_periodicity_equals_a_wide_cell(
    pbc: tuple[bool, ...], small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    small_box.pbc = pbc
    wide = small_box.copy()
    wide.pbc = True
    wide.cell[[i for i in range(3) if not pbc[i]]] *= 20
    first, second = model_f64.evaluate([small_box, wide])
    assert abs(first.energy - second.energy) < 1e-10
    assert np.abs(first.forces - second.forces).max() < 1e-10


@pytest.mark.parametrize("kind", ["one", "several", "compute", "ensemble"])
def test_coinciding_atoms_are_an_error_in_python(
    kind: str, water: Atoms, small_box: Atoms, model_f64: pet_driver.Model, members: list[Path]
) -> None:
    small_box.positions[3] = small_box.positions[0] + small_box.cell[1]  # an image of atom 0
    model = pet_driver.load(members) if kind == "ensemble" else model_f64
    words = r"NaN or infinite .* for H16O8: atoms 0 and 3 \(counted from 0\)"
    where = "" if kind == "one" else "structure 1: "
    with pytest.raises(pet_driver.PetDriverError, match=f"^{where}the model returned {words}"):
        if kind == "one":
            model.evaluate(small_box)
        elif kind == "compute":
            model.compute([Structure.from_ase(atoms) for atoms in (water, small_box)])
        else:
            model.evaluate([water, small_box])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (
            "water.xyz",
            r"not str 'water.xyz'; read the file first: .*ase.io.read\('water.xyz', ':'\)",
        ),
        (Path("water.xyz"), r"'water.xyz'; read the file first"),
        (["a.xyz", "b.xyz"], r"not str 'a.xyz'; read"),
        (None, r"takes an ase.Atoms object or a sequence of them, not NoneType"),
        ([Structure(np.ones(1), np.zeros((1, 3)), np.eye(3), (False,) * 3)], "not Structure"),
    ],
)
def test_arguments_of_evaluate_that_are_no_structures(
    argument: object, words: str, model_f64: pet_driver.Model
) -> None:
    with pytest.raises(pet_driver.PetDriverError, match=words):
        model_f64.evaluate(argument)


def test_coinciding_atoms_are_an_error_in_ase(
    small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    small_box.positions[3] = small_box.positions[0]
    small_box.calc = pet_driver.PETCalculator(model_f64)
    with pytest.raises(pet_driver.PetDriverError, match=r"NaN or infinite .* on top of each other"):
        small_box.get_forces()


def test_coinciding_atoms_are_an_error_in_ipi(
    small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    small_box.positions[3] = small_box.positions[0]
    potential = Potential(model_f64, small_box.numbers)
    cell, positions = np.asarray(small_box.cell).T, small_box.positions
    with pytest.raises(pet_driver.PetDriverError, match="returned NaN or infinite"):
        potential.compute([cell * BOHR_PER_ANGSTROM], [positions * BOHR_PER_ANGSTROM])


def test_results_are_invariant_under_translation_and_wrapping(
    small_box: Atoms, model_f64: pet_driver.Model
) -> None:
    moved = small_box.copy()
    moved.positions += [17.0, -31.0, 5.5]
    moved.wrap()
    first, second = model_f64.evaluate([small_box, moved])
    assert abs(first.energy - second.energy) < 1e-9
    assert np.abs(first.forces - second.forces).max() < 1e-9


def test_edges_are_sorted_and_paired(small_box: Atoms) -> None:
    structure = Structure.from_ase(small_box)
    edges = find_edges(structure, 4.0)
    assert (np.diff(edges.centers) >= 0).all()
    assert np.array_equal(edges.reverse[edges.reverse], np.arange(len(edges.reverse)))
    assert np.array_equal(edges.centers[edges.reverse], edges.neighbors)
    assert np.abs(edges.vectors + edges.vectors[edges.reverse]).max() < 1e-12
    assert np.linalg.norm(edges.vectors, axis=1).max() <= 4.0


@pytest.mark.parametrize("pbc", [(False, False, False), (True, True, False)])
def test_all_edges_are_found(pbc: tuple[bool, bool, bool]) -> None:
    """Compare with all pairs and images, far from the origin and in a rotated slab."""
    rng = np.random.default_rng(4)
    cell = 14.0 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    positions = rng.uniform(-40, -12, (400, 3)) if pbc[0] is False else None
    if positions is None:
        positions = rng.uniform(-1, 1, (400, 3)) @ cell - 60.0
    structure = Structure(np.full(400, 8), positions, cell, pbc)
    edges = find_edges(structure, 4.0)
    count = 0
    images = range(-1, 2)
    for shift in ((a, b, 0) for a in images for b in images) if pbc[0] else ((0, 0, 0),):
        inside = positions if not pbc[0] else wrapped(positions, cell)
        vectors = inside[None] + np.array(shift) @ cell - inside[:, None]
        count += int(((vectors**2).sum(axis=2) < 16.0).sum()) - (400 if shift == (0, 0, 0) else 0)
    assert len(edges.centers) == count > 1000


def wrapped(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return positions wrapped into the cell along its first two vectors."""
    fractional = positions @ np.linalg.inv(cell)
    fractional[:, :2] -= np.floor(fractional[:, :2])
    return fractional @ cell


def test_float32_energy_differences(
    liquid: Atoms, model_f32: pet_driver.Model, shipped_f64: pet_driver.Model
) -> None:
    """Energy differences of a box of -30,000 eV agree with float64."""
    displaced = liquid.copy()
    displaced.positions += 1e-4 * np.sign(shipped_f64.evaluate(liquid).forces)
    single, double = (
        np.diff([r.energy for r in model.evaluate([liquid, displaced])])[0]
        for model in (model_f32, shipped_f64)
    )
    assert abs(shipped_f64.evaluate(liquid).energy) > 25_000
    assert double < -1e-2
    assert abs(single - double) < 1e-4


def test_ase_calculator(small_box: Atoms, model_f64: pet_driver.Model) -> None:
    small_box.calc = pet_driver.PETCalculator(model_f64, grid="i")
    found = model_f64.evaluate(small_box, "i")
    assert small_box.get_potential_energy() == pytest.approx(found.energy, abs=1e-12)
    assert np.allclose(small_box.get_forces(), found.forces, atol=1e-12)
    stress = small_box.get_stress(voigt=False)
    assert np.allclose(stress, -found.virial / small_box.get_volume(), atol=1e-14)
    assert small_box.calc.extras["raw_energy"] == pytest.approx(found.raw_energy, abs=1e-12)
    assert small_box.calc.extras["rotation_std"] > 0
    kept = SinglePointCalculator(small_box, **small_box.calc.results)
    assert kept.results["energy"] == small_box.get_potential_energy()


def test_ase_calculator_refuses_wrong_arguments(model_f64: pet_driver.Model) -> None:
    with pytest.raises(TypeError, match="grids"):
        pet_driver.PETCalculator(model_f64, grids="2i")
    with pytest.raises(pet_driver.PetDriverError, match="the model is loaded already"):
        pet_driver.PETCalculator(model_f64, device="cpu")
    calculator = pet_driver.PETCalculator("water-small", grid=2, device="cpu", max_edges=50)
    assert (calculator.grid, calculator.model.max_edges) == ("2", 50)


def test_grids_may_be_integers(water: Atoms, model_f64: pet_driver.Model) -> None:
    assert model_f64.evaluate(water, 2).energy == model_f64.evaluate(water, "2").energy
    with pytest.raises(pet_driver.PetDriverError, match="unknown grid '-1'"):
        model_f64.evaluate(water, -1)
    with pytest.raises(pet_driver.PetDriverError, match="max_edges is 0; it must be at least 1"):
        pet_driver.load("water-small", max_edges=0)


def test_device_auto_uses_cuda_if_available(archive_f64: Path) -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pet_driver.load(archive_f64, device="auto").device.type == expected


def test_wrong_structures_are_refused(water: Atoms, model_f32: pet_driver.Model) -> None:
    with pytest.raises(pet_driver.PetDriverError, match=r"element He.*H, O"):
        model_f32.evaluate(Atoms("He"))
    water.positions[1, 2] = np.nan
    with pytest.raises(pet_driver.PetDriverError, match="position of atom 1"):
        model_f32.evaluate(water)
    with pytest.raises(pet_driver.PetDriverError, match="cell vector is zero"):
        model_f32.evaluate(Atoms("O", pbc=True))


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        ([[9, 0, 0], [18, 0, 0], [0, 0, 9]], (1, 1, 0)),
        ([[9, 0, 0], [0, 9, 0], [4, 5, 0]], (1, 1, 1)),
    ],
)
def test_degenerate_cells_are_refused(cell: list, pbc: tuple, model_f32: pet_driver.Model) -> None:
    with pytest.raises(pet_driver.PetDriverError, match="are parallel, or lie in one plane"):
        model_f32.evaluate(Atoms("O", cell=cell, pbc=pbc))


@pytest.mark.parametrize("grid", ["0", "random@3", "random-each@3"])
def test_many_structures_are_evaluated_in_portions(
    grid: str, small_box: Atoms, archive_f64: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours are searched portion by portion; rotations are drawn for the whole call."""
    structures = [small_box[:k].copy() for k in (3, 9, 12, 6, 3)]
    model = pet_driver.load(archive_f64)
    whole = model.evaluate(structures, grid)
    monkeypatch.setattr("pet_driver.model.evaluator.MAX_ATOMS", 12)
    other = pet_driver.load(archive_f64)
    parts = other.evaluate(structures, grid)
    for one, two in zip(whole, parts, strict=True):
        assert abs(one.energy - two.energy) < 1e-10
    assert model.counter == other.counter
    with pytest.raises(pet_driver.PetDriverError, match="element He"):
        other.evaluate([*structures, Atoms("He")], grid)
    assert model.counter == other.counter
