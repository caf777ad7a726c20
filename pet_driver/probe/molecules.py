"""Molecules as sets of bonded atoms, and the torque on each of them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

# Bonds reach this much further than the sum of covalent radii: O-H up to 1.2 A, far from the
# shortest hydrogen bonds.
BOND_STRETCH = 1.25
APART = 20.0  # A, further than a network looks


def whole_molecules(atoms: Atoms) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every molecule as (indices [n], positions [n, 3] in A about its centroid, made whole).

    Networks of bonds that reach from one side of a periodic cell to the other have no torque and
    are left out.
    """
    radii = natural_cutoffs(atoms, mult=BOND_STRETCH)
    first, second, vectors = neighbor_list("ijD", atoms, radii)
    n_atoms = len(atoms)
    bonds = coo_matrix((np.ones(len(first)), (first, second)), shape=(n_atoms, n_atoms)).tocsr()
    bond_of = dict(zip(zip(first.tolist(), second.tolist(), strict=True), vectors, strict=True))
    positions = atoms.positions.copy()
    n_molecules, labels = connected_components(bonds, directed=False)
    for start in np.unique(labels, return_index=True)[1]:
        order, parents = breadth_first_order(bonds, start, directed=False)
        for atom in order[1:]:
            parent = parents[atom]
            positions[atom] = positions[parent] + bond_of[int(parent), int(atom)]
    torn = np.abs(positions[second] - positions[first] - vectors).max(axis=1, initial=0.0) > 1e-6
    percolating = set(labels[first[torn]].tolist())
    found = []
    for label in range(n_molecules):
        if label not in percolating:
            indices = np.flatnonzero(labels == label)
            found.append((indices, positions[indices] - positions[indices].mean(axis=0)))
    return found


def lone_molecule(atoms: Atoms) -> Atoms | None:
    """The molecule that is all there is in a cell, whole and without periodicity.

    ``None`` where there are more, or where its images are within ``APART`` of it.
    """
    found = whole_molecules(atoms)
    if len(found) != 1 or len(found[0][0]) != len(atoms):
        return None
    alone = Atoms(atoms.numbers, found[0][1])
    diameter = 2.0 * np.linalg.norm(alone.positions, axis=1).max()
    heights = 1.0 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    return alone if np.all(heights[atoms.pbc] > diameter + APART) else None


def torques(molecules: list[tuple[np.ndarray, np.ndarray]], forces: np.ndarray) -> np.ndarray:
    """Torque on each molecule about its centroid [M, 3] in eV."""
    if not molecules:
        return np.zeros((0, 3))
    return np.array([np.cross(r, forces[indices]).sum(axis=0) for indices, r in molecules])
