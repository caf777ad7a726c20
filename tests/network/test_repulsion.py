"""ZBL repulsion: formula, derivatives, and the same contribution with every grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import covalent_radii

import pet_driver
from pet_driver.model.archive import Archive, read_metadata, save
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.network import Repulsion
from tests.conftest import lattice_water

NUMBERS = [1, 8, 26, 55, 92]
RADII = [float(covalent_radii[z]) for z in NUMBERS]
WATER_RADII = RADII[:2]  # A, of H and O
REPULSIVE = 1.0  # eV or eV/A, the least contribution with which a test is meaningful


def pair(lengths: np.ndarray, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (eV) and slopes (eV/A) of a pair of species at lengths (A)."""
    repulsion = Repulsion(NUMBERS, RADII)
    n = len(lengths)
    species = torch.tensor([i, j] * n)
    first, second = torch.arange(0, 2 * n, 2), torch.arange(1, 2 * n, 2)
    vectors = torch.zeros(2 * n, 3, dtype=torch.float64)
    vectors[first, 2], vectors[second, 2] = torch.tensor(lengths), -torch.tensor(lengths)
    centers = torch.arange(2 * n)
    neighbors = torch.stack([second, first], dim=1).reshape(-1)
    owned = torch.ones(2 * n, dtype=torch.bool)
    by_atom, gradients = repulsion(species, vectors, centers, neighbors, owned)
    return by_atom.view(n, 2).sum(1).numpy(), (gradients[first] - gradients[second])[:, 2].numpy()


@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 1), (1, 1), (2, 3), (4, 4)])
def test_energy_follows_the_formula(i: int, j: int) -> None:
    """Compare with NumPy, where the polynomial follows from the conditions at the cutoff."""
    z, other, cutoff = NUMBERS[i], NUMBERS[j], RADII[i] + RADII[j]
    rates = np.array([0.20162, 0.40290, 0.94229, 3.19980]) * (z**0.23 + other**0.23) / 0.46850
    weights = np.array([0.02817, 0.28022, 0.50986, 0.18175])

    def coulomb(r: float) -> float:
        return 14.399645478425668 * z * other / r * (weights * np.exp(-rates * r)).sum()

    h = 1e-3 * cutoff
    values = [coulomb(cutoff + k * h) for k in (-2, -1, 0, 1, 2)]
    slope = np.dot(values, [1, -8, 0, 8, -1]) / (12 * h)
    curvature = np.dot(values, [-1, 16, -30, 16, -1]) / (12 * h**2)
    a, b = np.linalg.solve(
        [[cutoff**2, cutoff**3], [2 * cutoff, 3 * cutoff**2]], [-slope, -curvature]
    )
    constant = -values[2] - a * cutoff**3 / 3 - b * cutoff**4 / 4
    lengths = np.linspace(0.1, cutoff, 20)
    expected = [coulomb(r) + a / 3 * r**3 + b / 4 * r**4 + constant for r in lengths]
    found, _ = pair(lengths, i, j)
    # The reference has derivatives by finite differences.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7 * values[0])
    assert found[0] > 10 * REPULSIVE


@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 1), (1, 1), (2, 3)])
def test_repulsion_vanishes_smoothly_at_its_cutoff(i: int, j: int) -> None:
    """Slopes are derivatives of the energy, which vanishes as (cutoff - r)^3."""
    cutoff, h = RADII[i] + RADII[j], 1e-5
    lengths = np.linspace(0.3, cutoff + 0.1, 57)
    energies, slopes = pair(lengths, i, j)
    numerical = (pair(lengths + h, i, j)[0] - pair(lengths - h, i, j)[0]) / (2 * h)
    np.testing.assert_allclose(slopes, numerical, rtol=1e-6, atol=1e-6)
    assert (energies[lengths < cutoff] > 0).all() and (slopes[lengths < cutoff] < 0).all()
    assert not energies[lengths > cutoff].any() and not slopes[lengths > cutoff].any()
    near, nearer = pair(np.array([cutoff - 2e-2, cutoff - 1e-2]), i, j)[0]
    assert near / nearer == pytest.approx(8.0, rel=0.05)


def test_energies_of_owned_atoms_add_up() -> None:
    """The results with all atoms owned are the sum over two disjoint sets of owned atoms."""
    box = squeezed()
    edges = find_edges(Structure.from_ase(box), 4.0)
    arrays = [torch.as_tensor(a) for a in (edges.vectors, edges.centers, edges.neighbors)]
    species = torch.as_tensor(np.searchsorted(NUMBERS, box.numbers))
    repulsion = Repulsion(NUMBERS, RADII)
    everything = torch.ones(len(box), dtype=torch.bool)
    half = torch.arange(len(box)) % 2 == 0
    whole, *parts = [repulsion(species, *arrays, owned) for owned in (everything, half, ~half)]
    assert whole[0].sum() > REPULSIVE
    assert not parts[0][0][~half].any()
    for k in range(2):
        torch.testing.assert_close(parts[0][k] + parts[1][k], whole[k], atol=1e-12, rtol=0)


def squeezed() -> Atoms:
    """Return 8 molecules in a cell so small that atoms overlap."""
    box = lattice_water(2, seed=4)
    box.set_cell(0.6 * np.array(box.cell), scale_atoms=True)
    return box


def cluster() -> Atoms:
    """Return two overlapping molecules."""
    atoms = squeezed()[[0, 1, 2, 3, 4, 5]]
    atoms.pbc = False
    return atoms


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, archive_f64: Path
) -> tuple[pet_driver.Model, pet_driver.Model]:
    """Return a model in float64 without and with the repulsion."""
    folder = tmp_path_factory.mktemp("repulsion")
    source = Archive.load(archive_f64).source()
    for name, radii in (("without", None), ("with", WATER_RADII)):
        save(replace(source, zbl_radii=radii), folder / f"{name}.pt", dtype="float64")
    return pet_driver.load(folder / "without.pt"), pet_driver.load(folder / "with.pt")


@pytest.mark.parametrize(
    ("grid", "make"),
    [
        *[(grid, squeezed) for grid in ("0", "i", "2i", "2i+random", "random3-each")],
        *[(grid, cluster) for grid in ("ecse", "ecsei", "ecse-pooled")],
    ],
)
def test_repulsion_is_added_once_with_every_grid(models: tuple, grid: str, make) -> None:
    """Energy, forces, virial, energies of atoms and of rotations have the same contribution."""
    atoms = make()
    without, repelled = (model.evaluate([atoms, atoms], grid, counter=3)[1] for model in models)
    edges = find_edges(Structure.from_ase(atoms), 4.0)
    by_atom, gradients = Repulsion([1, 8], WATER_RADII)(
        torch.as_tensor((atoms.numbers == 8).astype(int)),
        *(torch.as_tensor(a) for a in (edges.vectors, edges.centers, edges.neighbors)),
        torch.ones(len(atoms), dtype=torch.bool),
    )
    by_atom, gradients = by_atom.numpy(), gradients.numpy()
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, edges.centers, gradients)
    np.subtract.at(forces, edges.neighbors, gradients)
    energy = by_atom.sum()
    assert energy > REPULSIVE and np.abs(forces).max() > REPULSIVE
    differences = {
        "energy": energy,
        "raw_energy": energy,
        "rotation_energies": energy,
        "rotation_std": 0.0,
        "energies": by_atom,
        "forces": forces,
        "full_virial": -edges.vectors.T @ gradients,
    }
    for name, expected in differences.items():
        found = getattr(repelled, name) - getattr(without, name)
        np.testing.assert_allclose(found, expected, atol=2e-9, rtol=0, err_msg=name)


@pytest.mark.parametrize("grid", ["0", "2i", "ecse"])
def test_forces_are_derivatives(models: tuple, grid: str) -> None:
    model, atoms, h = models[1], cluster(), 1e-4
    forces = model.evaluate(atoms, grid).forces
    atom, axis = np.unravel_index(np.abs(forces).argmax(), forces.shape)
    displaced = []
    for step in (-2, -1, 1, 2):
        copy = atoms.copy()
        copy.positions[atom, axis] += step * h
        displaced.append(copy)
    energies = [found.energy for found in model.evaluate(displaced, grid)]
    numerical = -np.dot(energies, [1, -8, 8, -1]) / (12 * h)
    assert forces[atom, axis] == pytest.approx(numerical, rel=1e-6)
    assert abs(forces[atom, axis]) > REPULSIVE


def test_repulsion_is_float64_with_a_float32_network(models: tuple, tmp_path: Path) -> None:
    changes = []
    for model, name in zip(models, "ab", strict=True):
        pet_driver.export(model.path, tmp_path / f"{name}.pt", dtype="float32")
        changes.append(pet_driver.load(tmp_path / f"{name}.pt").evaluate(squeezed()).energy)
    exact = [model.evaluate(squeezed()).energy for model in models]
    assert changes[1] - changes[0] == pytest.approx(exact[1] - exact[0], abs=1e-9)


def test_metadata_keeps_the_radii_through_another_export(models: tuple, tmp_path: Path) -> None:
    pet_driver.export(models[1].path, tmp_path / "again.pt", grid="i")
    assert read_metadata(tmp_path / "again.pt")["zbl_radii"] == {"H": 0.31, "O": 0.66}
    assert "zbl_radii" not in models[0].metadata
    assert models[0].archive.module.repulsion is None
    assert models[1].interaction_range == models[0].interaction_range


def test_repulsion_in_an_ensemble(models: tuple) -> None:
    ensemble = pet_driver.load([model.path for model in models])
    atoms = squeezed()
    each = [model.evaluate(atoms) for model in models]
    found = ensemble.evaluate(atoms)
    assert found.energy == pytest.approx(np.mean([one.energy for one in each]), abs=1e-9)
    assert found.ensemble_std == pytest.approx(0.5 * (each[1].energy - each[0].energy))
    assert found.ensemble_std > REPULSIVE


def test_repulsion_beyond_the_cutoff_of_the_network_is_refused(archive_f64: Path) -> None:
    source = Archive.load(archive_f64).source()
    cutoff = source.hypers.cutoff
    reach = cutoff + 0.88
    message = rf"reaches {reach:.2f} A.*cutoff of {cutoff:.2f} A"
    with pytest.raises(pet_driver.PetDriverError, match=message):
        replace(source, zbl_radii=[0.31, reach / 2])
