"""Molecules as sets of bonded atoms, and the torque on each of them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

# Longest bond as a multiple of the sum of covalent radii: O-H up to 1.2 A, far below the shortest
# hydrogen bonds.
BOND_STRETCH = 1.25
ISOLATED = 20.0  # A between periodic images, more than the interaction range of networks


def unwrapped_molecules(atoms: Atoms) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (indices [n], unwrapped positions [n, 3] in A about the centroid) of every molecule.

    Networks of bonds that connect a periodic cell with its own images have no torque and are left
    out.
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
    broken = np.abs(positions[second] - positions[first] - vectors).max(axis=1, initial=0.0) > 1e-6
    percolating = set(labels[first[broken]].tolist())
    found = []
    for label in range(n_molecules):
        if label not in percolating:
            indices = np.flatnonzero(labels == label)
            found.append((indices, positions[indices] - positions[indices].mean(axis=0)))
    return found


def isolated_molecule(atoms: Atoms) -> Atoms | None:
    """Return the only molecule of a cell, unwrapped and without periodicity.

    ``None`` if there are several, or if its images are closer than ``ISOLATED``.
    """
    found = unwrapped_molecules(atoms)
    if len(found) != 1 or len(found[0][0]) != len(atoms):
        return None
    isolated = Atoms(atoms.numbers, found[0][1])
    diameter = 2.0 * np.linalg.norm(isolated.positions, axis=1).max()
    heights = 1.0 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    return isolated if np.all(heights[atoms.pbc] > diameter + ISOLATED) else None


def torques(molecules: list[tuple[np.ndarray, np.ndarray]], forces: np.ndarray) -> np.ndarray:
    """Return the torque on each molecule about its centroid [M, 3] in eV.

    Args:
        molecules: from :func:`unwrapped_molecules`.
        forces: on all atoms [N, 3] in eV/A.
    """
    if not molecules:
        return np.zeros((0, 3))
    return np.array([np.cross(r, forces[indices]).sum(axis=0) for indices, r in molecules])
