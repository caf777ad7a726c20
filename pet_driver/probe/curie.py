"""Curie's test: the forces on a symmetric structure must be symmetric.

The symmetry of causes must be found in their effects (P. Curie, 1894). The operations of a
structure's own point group permute its atoms, so that they must permute its forces too. The part of
the forces that does not follow is a symmetry error that is known without a reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from pet_driver.errors import PetDriverError
from pet_driver.probe.molecules import isolated_molecule

# Largest distance (A) of an atom from the image of another one. The structure is made exactly
# symmetric before the test.
TOLERANCE = 0.01
EXACT = 1e-9  # A, for molecules that are linear to rounding


@dataclass(frozen=True)
class Group:
    """G symmetry operations of a structure, the identity among them.

    Attributes:
        matrices: [G, 3, 3], acting on columns.
        permutations: [G, N]; operation g maps atom i onto atom ``permutations[g, i]``.
    """

    matrices: np.ndarray
    permutations: np.ndarray

    def __len__(self) -> int:
        return len(self.matrices)

    def symmetrize(self, vectors: np.ndarray) -> np.ndarray:
        """Return the mean over the group of vectors on atoms [N, 3]."""
        mean = np.zeros_like(vectors)
        for matrix, permutation in zip(self.matrices, self.permutations, strict=True):
            mean[permutation] += vectors @ matrix.T
        return mean / len(self)


@dataclass(frozen=True)
class CurieTest:
    """Forces that break the symmetry of one structure.

    Attributes:
        order: order of the group; 1 means that there is nothing to test.
        displacement: largest displacement (A) that made the structure exactly symmetric.
        residual: [N] modulus of the forces minus their symmetric part, eV/A.
    """

    order: int
    displacement: float
    residual: np.ndarray

    @property
    def rms(self) -> float:
        """Root mean square over the atoms, eV/A."""
        return float(np.sqrt((self.residual**2).mean()))


def curie_test(
    atoms: Atoms, forces: Callable[[Atoms], np.ndarray], tolerance: float = TOLERANCE
) -> CurieTest | None:
    """Test the forces of one structure; return ``None`` if its symmetry cannot be searched.

    Structures without periodicity, and isolated molecules in wide cells, are searched here;
    crystals (periodic in three directions) by spglib if it is installed. Others are not searched.

    Args:
        atoms: the structure.
        forces: function that returns the forces [N, 3] (eV/A) of a structure; it is called with
            the structure made exactly symmetric.
        tolerance: tolerance of the search, A.
    """
    found = symmetric_structure(atoms, tolerance)
    if found is None:
        return None
    symmetric, group, displacement = found
    if len(group) == 1:
        return CurieTest(1, displacement, np.zeros(len(atoms)))
    found_forces = forces(symmetric)
    residual = np.linalg.norm(found_forces - group.symmetrize(found_forces), axis=1)
    return CurieTest(len(group), displacement, residual)


def symmetric_structure(
    atoms: Atoms, tolerance: float = TOLERANCE
) -> tuple[Atoms, Group, float] | None:
    """Return the structure made exactly symmetric, its group, and the largest displacement (A).

    An isolated molecule in a wide cell is taken out of the cell, whose axes it need not share.
    """
    if atoms.pbc.any() and (isolated := isolated_molecule(atoms)) is not None:
        atoms = isolated
    if atoms.pbc.all():
        return _symmetric_crystal(atoms, tolerance) if find_spec("spglib") else None
    if atoms.pbc.any():
        return None
    centre = atoms.positions.mean(axis=0)
    positions, group = molecular_group(atoms.numbers, atoms.positions - centre, tolerance)
    symmetric = atoms.copy()
    symmetric.positions = positions + centre
    return symmetric, group, _largest_displacement(symmetric.positions - atoms.positions)


def molecular_group(
    numbers: np.ndarray, positions: np.ndarray, tolerance: float
) -> tuple[np.ndarray, Group]:
    """Return positions [N, 3] about their centroid made exactly symmetric, and their point group.

    Single atoms and linear molecules have infinite groups, of which as many operations are taken
    as allow the same forces as the whole group. If the operations are not closed, or if they make
    a bent molecule linear, the tolerance was too wide: the search is repeated with half of it.
    """
    while not _is_linear(positions, tolerance):
        group = _find_operations(numbers, positions, tolerance)
        if _is_closed(group):
            symmetric, group = _make_exact(positions, group)
            if not _is_linear(symmetric, EXACT):
                return symmetric, group
        tolerance *= 0.5
    group = _linear_group(numbers, positions, tolerance)
    return group.symmetrize(positions), group


def _is_linear(positions: np.ndarray, tolerance: float) -> bool:
    """Return whether all atoms are on one axis through the centroid, within the tolerance."""
    axis = _principal_axis(positions)
    return bool(_largest_displacement(positions - np.outer(positions @ axis, axis)) <= tolerance)


def _principal_axis(positions: np.ndarray) -> np.ndarray:
    """Return the direction [3] of the largest extent."""
    return np.linalg.svd(positions, full_matrices=False)[2][0]


def _is_closed(group: Group) -> bool:
    """Return whether the product of any two operations is one of them.

    Permutation and handedness together identify an operation of a molecule that is not linear; in
    a planar one each permutation belongs to two operations.
    """
    signs = np.sign(np.linalg.det(group.matrices))
    operations = list(zip(signs.tolist(), group.permutations, strict=True))
    members = {(sign, tuple(permutation)) for sign, permutation in operations}
    return all((a * b, tuple(p[q])) in members for a, p in operations for b, q in operations)


def _make_exact(positions: np.ndarray, group: Group) -> tuple[np.ndarray, Group]:
    """Return positions that are exactly symmetric, and the group with matrices fitted to them."""
    for _ in range(100):
        symmetric = group.symmetrize(positions)
        matrices = [
            _best_map(symmetric, symmetric[permutation], np.linalg.det(matrix))
            for matrix, permutation in zip(group.matrices, group.permutations, strict=True)
        ]
        shift = np.abs(np.array(matrices) - group.matrices).max()
        positions, group = symmetric, Group(np.array(matrices), group.permutations)
        if shift < 1e-15:
            break
    return symmetric, group


def _find_operations(numbers: np.ndarray, positions: np.ndarray, tolerance: float) -> Group:
    """Find the operations: try every map of two anchor atoms onto two atoms of the same kind."""
    distances = np.linalg.norm(positions, axis=1)
    first, second = _anchors(numbers, positions, tolerance)
    span = np.linalg.norm(positions[first] - positions[second])
    frame = _frame(positions[first], positions[second])
    tree = cKDTree(positions)
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def alike(atom: int) -> np.ndarray:
        near = np.abs(distances - distances[atom]) < 2.0 * tolerance
        return np.flatnonzero(near & (numbers == numbers[atom]))

    for image_first in alike(first):
        for image_second in alike(second):
            between = np.linalg.norm(positions[image_first] - positions[image_second])
            if image_first == image_second or abs(between - span) > 2.0 * tolerance:
                continue
            target = _frame(positions[image_first], positions[image_second])
            for handedness in (1.0, -1.0):
                matrix = (target * [1.0, 1.0, handedness]) @ frame.T
                permutation = _permutation(tree, numbers, positions @ matrix.T, 4.0 * tolerance)
                if permutation is None:
                    continue
                matrix = _best_map(positions, positions[permutation], np.linalg.det(matrix))
                images = positions @ matrix.T
                if _largest_displacement(images - positions[permutation]) <= tolerance:
                    found.append((matrix, permutation))
    return Group(np.array([m for m, _ in found]), np.array([p for _, p in found]))


def _anchors(numbers: np.ndarray, positions: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Return two atoms that fix the orientation, from the smallest sets of equivalent atoms.

    The first is far from the centroid, the second far from the axis through centroid and first, so
    that their errors displace other atoms by at most twice as much.
    """
    distances = np.linalg.norm(positions, axis=1)
    like = (np.abs(distances[:, None] - distances) < 2.0 * tolerance) & (
        numbers[:, None] == numbers
    )
    rarity = like.sum(axis=1)

    def rarest(lengths: np.ndarray) -> int:
        far = np.flatnonzero(lengths >= 0.5 * lengths.max())
        return int(far[np.argmin(rarity[far])])

    first = rarest(distances)
    axis = positions[first] / distances[first]
    return first, rarest(np.linalg.norm(np.cross(axis, positions), axis=1))


def _linear_group(numbers: np.ndarray, positions: np.ndarray, tolerance: float) -> Group:
    """Return operations of an atom or a linear molecule: twofold axis, inversion if it applies."""
    axis = _principal_axis(positions)
    along = np.outer(positions @ axis, axis)
    matrices, permutations = [np.eye(3)], [np.arange(len(numbers))]
    if _largest_displacement(along) > tolerance:
        matrices.append(2.0 * np.outer(axis, axis) - np.eye(3))
        permutations.append(np.arange(len(numbers)))
    flipped = _permutation(cKDTree(along), numbers, -along, tolerance)
    if flipped is not None:
        matrices += [-matrix for matrix in matrices]
        permutations += [flipped for _ in permutations]
    return Group(np.array(matrices), np.array(permutations))


def _symmetric_crystal(atoms: Atoms, tolerance: float) -> tuple[Atoms, Group, float]:
    """Return the results of :func:`symmetric_structure` for a crystal, by spglib."""
    import spglib
    from ase.spacegroup.symmetrize import refine_symmetry

    symmetric = atoms.copy()
    symmetric.calc = None
    symmetric.set_constraint()  # otherwise fixed atoms would not be made symmetric
    refine_symmetry(symmetric, tolerance)
    lattice = np.array(symmetric.cell)
    fractional = symmetric.get_scaled_positions(wrap=False)
    cell = (lattice.tolist(), fractional.tolist(), symmetric.numbers.tolist())
    found = spglib.get_symmetry(cell, symprec=1e-5)
    if found is None:
        raise PetDriverError(
            f"spglib finds no symmetry operations of the crystal {symmetric.symbols}; are there "
            "atoms on top of each other?"
        )
    matrices, permutations = [], []
    tree = _periodic_tree(fractional)
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        images = fractional @ rotation.T + translation
        permutations.append(tree.query((images - np.floor(images)) % 1.0)[1])
        matrices.append(lattice.T @ rotation @ np.linalg.inv(lattice.T))
    moves = (fractional - atoms.get_scaled_positions(wrap=False)) @ lattice
    group = Group(np.array(matrices), np.array(permutations))
    return symmetric, group, _largest_displacement(moves - moves.mean(axis=0))


def _periodic_tree(fractional: np.ndarray) -> cKDTree:
    """Return a periodic search tree of fractional positions."""
    return cKDTree((fractional - np.floor(fractional)) % 1.0, boxsize=1.0)


def _permutation(
    tree: cKDTree, numbers: np.ndarray, images: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """Return the atom onto which each image falls; None unless it permutes equal elements."""
    gaps, permutation = tree.query(images)
    if gaps.max() > tolerance or len(set(permutation.tolist())) < len(images):
        return None
    return permutation if (numbers[permutation] == numbers).all() else None


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return right-handed orthonormal axes [3, 3] in columns, the first along ``first``."""
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _best_map(points: np.ndarray, images: np.ndarray, determinant: float) -> np.ndarray:
    """Return the orthogonal matrix (on columns) that fits points to images (Kabsch)."""
    u, _, vt = np.linalg.svd(images.T @ points)
    return (u * [1.0, 1.0, np.sign(determinant * np.linalg.det(u @ vt))]) @ vt


def _largest_displacement(displacements: np.ndarray) -> float:
    """Return the length (A) of the longest of displacements [N, 3]."""
    return float(np.linalg.norm(displacements, axis=1).max())
