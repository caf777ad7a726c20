"""Starting structures: ice rules, density of the liquid, structure files."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

import pet_driver
from pet_driver import building
from pet_driver.building.liquid import place_on_lattice
from pet_driver.neighbors.neighbor_list import Edges, find_edges
from pet_driver.neighbors.structure import Structure


def molecular_axes(atoms: Atoms) -> np.ndarray:
    """Return the unit vectors [M, 3] from each oxygen to the midpoint of its hydrogens."""
    x = atoms.positions.reshape(-1, 3, 3)
    axes = x[:, 1:].mean(axis=1) - x[:, 0]
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (3, 2, 2), (2, 1, 3)])
def test_ice_obeys_the_ice_rules(repeats: tuple[int, int, int]) -> None:
    ice = building.ice_ih(repeats, seed=4)
    assert len(ice) == 24 * np.prod(repeats)
    assert ice.get_chemical_symbols()[:4] == ["O", "H", "H", "O"]
    building.check_ice_rules(ice)
    oxygens = ice[ice.numbers == 8]
    lengths = np.linalg.norm(find_edges(Structure.from_ase(oxygens), 3.2).vectors, axis=1)
    assert len(lengths) == 4 * len(oxygens)
    assert lengths.min() > 2.74 and lengths.max() < 2.77
    # The two kinds of bonds differ in length by 1 %, hence not quite zero.
    assert np.abs(molecular_axes(ice).sum(axis=0)).max() < 0.05, (
        "the cell must have no dipole moment"
    )
    density = len(oxygens) * 18.015 / 0.602214 / ice.get_volume()
    assert density == pytest.approx(0.920, abs=0.002)


def test_protons_of_ice_are_disordered() -> None:
    """Seeds give different arrangements, with all orientations that the lattice allows."""
    one, two, again = (molecular_axes(building.ice_ih((3, 2, 2), seed)) for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    same = (np.abs(one - two).max(axis=1) < 1e-6).mean()
    assert 0.05 < same < 0.4  # a sixth by chance
    # Four kinds of oxygen in the cell, each with six choices of two donated bonds out of four.
    orientations, counts = np.unique(one.round(2) + 0.0, axis=0, return_counts=True)
    assert len(orientations) == 24
    assert counts.max() < 0.15 * len(one)


def test_check_reports_oxygen_with_one_hydrogen() -> None:
    ice = building.ice_ih((2, 1, 1))
    ice.positions[1] += 0.8 * (ice.positions[1] - ice.positions[0])  # to the neighbour
    with pytest.raises(pet_driver.PetDriverError, match="the ice rules are broken: oxygen 0 has 1"):
        building.check_ice_rules(ice)


def test_check_reports_bonds_with_two_hydrogens_or_none() -> None:
    """Every oxygen donates and accepts two hydrogens, but a ring has bonds with two and none."""
    ice = building.ice_ih((1, 1, 1), seed=2)
    edges = find_edges(Structure.from_ase(ice), 3.0)
    oxygens = ice.numbers == 8
    bonds = oxygens[edges.centers] & oxygens[edges.neighbors]
    hydrogen = {}  # directed bond -> the hydrogen of its centre that lies on it
    for edge in np.flatnonzero(bonds):
        center = edges.centers[edge]
        own = np.flatnonzero((edges.centers == center) & (ice.numbers[edges.neighbors] == 1))
        own = own[np.linalg.norm(edges.vectors[own], axis=1) < 1.2]
        along = edges.vectors[own] @ edges.vectors[edge]
        if along.max() > 0.95 * 2.6:
            hydrogen[edge] = edges.neighbors[own[along.argmax()]]
    ring = closed_path(edges, bonds, hydrogen)
    for number, edge in enumerate(ring):
        if number % 2:  # move this hydrogen to the bond before its oxygen
            back = edges.reverse[ring[number - 1]]
            center = ice.positions[edges.centers[edge]]
            unit = edges.vectors[back] / np.linalg.norm(edges.vectors[back])
            ice.positions[hydrogen[edge]] = center + 0.97 * unit
    with pytest.raises(pet_driver.PetDriverError, match=r"[02] hydrogens lie between oxygens"):
        building.check_ice_rules(ice)


def closed_path(edges: Edges, bonds: np.ndarray, hydrogen: dict[int, int]) -> list[int]:
    """Return an even number of bonds that form a ring along which the hydrogens point."""
    for start in hydrogen:
        path = [int(start)]
        seen = {int(edges.centers[start])}
        while True:
            place = int(edges.neighbors[path[-1]])
            if place == edges.centers[start] and len(path) % 2 == 0:
                return path
            if place in seen:
                break
            seen.add(place)
            path.append(next(e for e in hydrogen if edges.centers[e] == place))
    raise AssertionError("found no such ring")


@pytest.mark.parametrize("n_molecules", [1, 27, 64, 100])
def test_liquid_has_requested_density(n_molecules: int) -> None:
    box = building.liquid(n_molecules, 0.95, seed=3)
    assert n_molecules * 18.015 / 0.602214 / box.get_volume() == pytest.approx(0.95, abs=1e-3)
    molecules = box.positions.reshape(-1, 3, 3)
    assert np.allclose(
        np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2), 0.9686, atol=2e-3
    )
    edges = find_edges(Structure.from_ase(box), 1.2)
    assert len(edges.centers) == 4 * n_molecules, "molecules must not touch"


def test_lattice_needs_no_packmol() -> None:
    box = place_on_lattice(64, 12.42, seed=1)
    assert len(box) == 192
    assert len(find_edges(Structure.from_ase(box), 1.2).centers) == 4 * 64
    assert np.linalg.norm(molecular_axes(box).mean(axis=0)) < 0.4


def test_relax_reduces_forces_below_fmax(model_f64: pet_driver.Model) -> None:
    box = building.liquid(8, seed=2)
    relaxed = building.relax(box, pet_driver.PETCalculator(model_f64), fmax=1.0)
    before, after = (np.abs(model_f64.evaluate(a).forces).max() for a in (box, relaxed))
    assert after < 1.0 < before
    assert relaxed.calc is None


@pytest.mark.parametrize("name", ["ice.xyz", "ice.data"])
def test_written_structure_files_are_read_back(tmp_path: Path, name: str) -> None:
    ice = building.ice_ih((2, 1, 1))
    building.write_structure(tmp_path / name, ice)
    options = {"format": "lammps-data", "atom_style": "atomic"} if name.endswith("data") else {}
    again = read(tmp_path / name, **options)
    assert np.abs(again.positions - ice.positions).max() < 1e-6
    assert np.abs(again.cell.lengths() - ice.cell.lengths()).max() < 1e-6
    assert (again.numbers == ice.numbers).all()
    with pytest.raises(pet_driver.PetDriverError, match=r"must be one of \.xyz, \.extxyz, \.data"):
        building.write_structure(tmp_path / "ice.pdb", ice)


def test_box_of_inputs_has_no_order_of_its_initial_lattice() -> None:
    """It was made from a cubic 4 x 4 x 4 lattice, whose order survives for some picoseconds."""
    box = read(Path(__file__).parents[2] / "inputs" / "structures" / "water-64.xyz")
    oxygens = box.positions[box.numbers == 8]
    waves = np.exp(2j * np.pi * 4 * oxygens / box.cell.lengths()).sum(axis=0)
    # The structure factor |rho_k|^2/N of a liquid is about 1 here, at |k| = 2.02/A on each axis.
    assert (np.abs(waves) ** 2 / len(oxygens)).sum() < 12.0
