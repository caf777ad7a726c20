"""Curie's test: a symmetric structure must get symmetric forces.

"When causes show a symmetry, it must be found in the effects" (P. Curie, 1894). The operations of
a structure's own point group only permute its atoms, so that they must permute its forces too. The
part of the forces that does not is an error of symmetry that needs no reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

from pet_driver.probe.molecules import lone_molecule

# Atoms whose images are this close (A) count as the same; they are put right before the test.
TOLERANCE = 0.01
EXACT = 1e-9  # A: straight to rounding


@dataclass(frozen=True)
class Group:
    """G operations that leave a structure as it is; the identity among them.

    Attributes:
        matrices: [G, 3, 3], acting on columns.
        permutations: [G, N]; atom i goes to the place of atom ``permutations[g, i]``.
    """

    matrices: np.ndarray
    permutations: np.ndarray

    def __len__(self) -> int:
        return len(self.matrices)

    def symmetrize(self, vectors: np.ndarray) -> np.ndarray:
        """Mean of vectors on atoms [N, 3] over the group."""
        mean = np.zeros_like(vectors)
        for matrix, permutation in zip(self.matrices, self.permutations, strict=True):
            mean[permutation] += vectors @ matrix.T
        return mean / len(self)


@dataclass(frozen=True)
class CurieTest:
    """Forces that break the symmetry of one structure.

    Attributes:
        order: of the group that was found; 1 means that there is nothing to test.
        moved: how far (A) the atoms were from exact symmetry before they were put right.
        residual: [N] modulus of the forces less their symmetric part, eV/A.
    """

    order: int
    moved: float
    residual: np.ndarray

    @property
    def rms(self) -> float:
        """Root mean square over the atoms, eV/A."""
        return float(np.sqrt((self.residual**2).mean()))


def curie_test(
    atoms: Atoms, forces: Callable[[Atoms], np.ndarray], tolerance: float = TOLERANCE
) -> CurieTest | None:
    """Test the forces of one structure; ``None`` where its symmetry cannot be searched.

    Structures without periodicity, and molecules by themselves in wide cells, are searched here;
    crystals, periodic in three directions, by spglib if it is installed. Others are not searched.

    Args:
        atoms: the structure.
        forces: gives the forces [N, 3] (eV/A) of a structure; asked for the structure after it
            was made exactly symmetric.
        tolerance: A, for the search.
    """
    found = symmetric_structure(atoms, tolerance)
    if found is None:
        return None
    symmetric, group, moved = found
    if len(group) == 1:
        return CurieTest(1, moved, np.zeros(len(atoms)))
    answer = forces(symmetric)
    residual = np.linalg.norm(answer - group.symmetrize(answer), axis=1)
    return CurieTest(len(group), moved, residual)


def symmetric_structure(
    atoms: Atoms, tolerance: float = TOLERANCE
) -> tuple[Atoms, Group, float] | None:
    """The structure made exactly symmetric, its group, and the largest move of an atom (A).

    A molecule by itself in a wide cell is taken out of it: its axes need not be those of the cell.
    """
    if atoms.pbc.any() and (alone := lone_molecule(atoms)) is not None:
        atoms = alone
    if atoms.pbc.all():
        return _symmetric_crystal(atoms, tolerance) if find_spec("spglib") else None
    if atoms.pbc.any():
        return None
    centre = atoms.positions.mean(axis=0)
    positions, group = molecular_group(atoms.numbers, atoms.positions - centre, tolerance)
    symmetric = atoms.copy()
    symmetric.positions = positions + centre
    return symmetric, group, _largest_move(symmetric.positions - atoms.positions)


def molecular_group(
    numbers: np.ndarray, positions: np.ndarray, tolerance: float
) -> tuple[np.ndarray, Group]:
    """Positions [N, 3] about their centroid made exactly symmetric, and their point group.

    Of the infinite groups of atoms and of straight molecules, as many operations are taken as
    leave no other forces than the whole group does. A set of operations that is not closed comes
    from a tolerance that is too wide for the structure, and so do those that make a bent molecule
    straight: it is searched again with half of it.
    """
    while not _is_straight(positions, tolerance):
        group = _find_operations(numbers, positions, tolerance)
        if _is_closed(group):
            symmetric, group = _made_exact(positions, group)
            if not _is_straight(symmetric, EXACT):
                return symmetric, group
        tolerance *= 0.5
    group = _straight_group(numbers, positions, tolerance)
    return group.symmetrize(positions), group


def _is_straight(positions: np.ndarray, tolerance: float) -> bool:
    """Whether all atoms lie on one axis through the centroid, or at it."""
    axis = _principal_axis(positions)
    return bool(_largest_move(positions - np.outer(positions @ axis, axis)) <= tolerance)


def _principal_axis(positions: np.ndarray) -> np.ndarray:
    return np.linalg.svd(positions, full_matrices=False)[2][0]


def _is_closed(group: Group) -> bool:
    """Whether the product of any two operations is one of them.

    Permutation and handedness together tell the operations of any molecule apart that is not
    straight; in a planar one each permutation belongs to two.
    """
    signs = np.sign(np.linalg.det(group.matrices))
    operations = list(zip(signs.tolist(), group.permutations, strict=True))
    members = {(sign, tuple(permutation)) for sign, permutation in operations}
    return all((a * b, tuple(p[q])) in members for a, p in operations for b, q in operations)


def _made_exact(positions: np.ndarray, group: Group) -> tuple[np.ndarray, Group]:
    """Positions that the group leaves as they are, and its matrices about them."""
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
    """Try every map of two atoms, out of line with the centre, onto two of the same kind."""
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
                if _largest_move(images - positions[permutation]) <= tolerance:
                    found.append((matrix, permutation))
    return Group(np.array([m for m, _ in found]), np.array([p for _, p in found]))


def _anchors(numbers: np.ndarray, positions: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Two atoms that fix the orientation, from the smallest sets of like atoms.

    The first is far from the centroid, the second far from the axis through it and the first, so
    that what they are off by turns the others by no more than twice that.
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


def _straight_group(numbers: np.ndarray, positions: np.ndarray, tolerance: float) -> Group:
    """All atoms on one axis, or at the centre: half turns, and the inversion if it applies."""
    axis = _principal_axis(positions)
    along = np.outer(positions @ axis, axis)
    matrices, permutations = [np.eye(3)], [np.arange(len(numbers))]
    if _largest_move(along) > tolerance:
        matrices.append(2.0 * np.outer(axis, axis) - np.eye(3))
        permutations.append(np.arange(len(numbers)))
    flipped = _permutation(cKDTree(along), numbers, -along, tolerance)
    if flipped is not None:
        matrices += [-matrix for matrix in matrices]
        permutations += [flipped for _ in permutations]
    return Group(np.array(matrices), np.array(permutations))


def _symmetric_crystal(atoms: Atoms, tolerance: float) -> tuple[Atoms, Group, float]:
    import spglib
    from ase.spacegroup.symmetrize import refine_symmetry

    symmetric = atoms.copy()
    symmetric.calc = None
    symmetric.set_constraint()  # or the atoms held fixed would not be put right
    refine_symmetry(symmetric, tolerance)
    lattice = np.array(symmetric.cell)
    fractional = symmetric.get_scaled_positions(wrap=False)
    found = spglib.get_symmetry((lattice, fractional, symmetric.numbers), symprec=1e-5)
    matrices, permutations = [], []
    tree = _periodic_tree(fractional)
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        images = fractional @ rotation.T + translation
        permutations.append(tree.query((images - np.floor(images)) % 1.0)[1])
        matrices.append(lattice.T @ rotation @ np.linalg.inv(lattice.T))
    moves = (fractional - atoms.get_scaled_positions(wrap=False)) @ lattice
    group = Group(np.array(matrices), np.array(permutations))
    return symmetric, group, _largest_move(moves - moves.mean(axis=0))


def _periodic_tree(fractional: np.ndarray) -> cKDTree:
    """Of positions in fractions of the cell's vectors: two atoms never share a place."""
    return cKDTree((fractional - np.floor(fractional)) % 1.0, boxsize=1.0)


def _permutation(
    tree: cKDTree, numbers: np.ndarray, images: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """Which atom each image falls on; None unless it is a one-to-one map of like atoms."""
    gaps, permutation = tree.query(images)
    if gaps.max() > tolerance or len(set(permutation.tolist())) < len(images):
        return None
    return permutation if (numbers[permutation] == numbers).all() else None


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal axes [3, 3] in columns, the first along ``first``."""
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _best_map(points: np.ndarray, images: np.ndarray, determinant: float) -> np.ndarray:
    """Orthogonal matrix (on columns) that brings points closest to images (Kabsch)."""
    u, _, vt = np.linalg.svd(images.T @ points)
    return (u * [1.0, 1.0, np.sign(determinant * np.linalg.det(u @ vt))]) @ vt


def _largest_move(moves: np.ndarray) -> float:
    return float(np.linalg.norm(moves, axis=1).max())
