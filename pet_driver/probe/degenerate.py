"""Pairs of structures that a network of distances cannot distinguish.

Put atoms at both ends of lines through one point, +p_i and -p_i. An atom of line i sees of line j
one atom at each of the distances

    d^2 = |p_i|^2 + |p_j|^2 -+ 2 p_i.p_j,

a set that does not depend on the sign of p_i.p_j. The same holds for the atoms of all lines and,
because both ends of a line are equivalent, for all messages along distances, for any number of
layers and any cutoff. The signs matter, however: reversing a line changes all signs of its
products, so that the sign of p_1.p_2 p_2.p_3 p_3.p_1 is a property of the structure. Changing this
sign gives another structure whose distance graph is the same, locally. Three lines with equal
lengths and angles give a stretched and a flattened octahedron: in one the short edges form two
triangles, in the other a hexagon, the standard pair for the Weisfeiler-Lehman test.

Such degeneracies are the subject of S. N. Pozdnyakov and M. Ceriotti, "Incompleteness of graph
neural networks for points clouds in three dimensions", Mach. Learn.: Sci. Technol. 3 (2022) 045020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from pet_driver.errors import PetDriverError


def degenerate_pair(
    symbols: Sequence[str], radii: Sequence[float], cosines: tuple[float, float, float]
) -> tuple[Atoms, Atoms]:
    """Return two structures of six atoms with the same distance graph.

    Args:
        symbols: elements of the three lines.
        radii: |p_i| of the three lines in A.
        cosines: cosines of the angles between lines 1 and 2, 2 and 3, 3 and 1; none is zero.

    Returns:
        the structure with these cosines, and the one in which the cosine between lines 2 and 3 has
        the opposite sign; atoms in the same order, +p_i and then -p_i of every line.

    Raises:
        PetDriverError: there are no such vectors, or the two structures are the same.
    """
    if len(symbols) != 3 or len(radii) != 3 or min(radii) <= 0.0:
        raise PetDriverError(f"three elements and three positive radii, not {symbols}, {radii}")
    if 0.0 in cosines:
        raise PetDriverError(f"cosines {cosines}: with a zero among them both structures are one")
    pair = []
    for sign in (1.0, -1.0):
        xy, yz, zx = cosines[0], sign * cosines[1], cosines[2]
        gram = np.array([[1.0, xy, zx], [xy, 1.0, yz], [zx, yz, 1.0]])
        if np.linalg.eigvalsh(gram)[0] < 1e-6:
            raise PetDriverError(f"no three lines have the cosines {(xy, yz, zx)}; take smaller")
        ends = np.array(radii)[:, None] * np.linalg.cholesky(gram)
        positions = np.stack([ends, -ends], axis=1).reshape(6, 3)
        pair.append(Atoms([s for s in symbols for _ in range(2)], positions))
    return pair[0], pair[1]


def distances_coincide(
    first: Atoms, second: Atoms, cutoff: float = np.inf, tolerance: float = 1e-12
) -> bool:
    """Return whether two structures are equal by the Weisfeiler-Lehman test over distances.

    Atoms start in classes by element. In each round two atoms stay in one class if the distances
    of their neighbours, sorted by class, agree. When no class is split any more, the structures
    differ if they have different numbers of atoms in a class.

    Args:
        first, second: without periodicity.
        cutoff: longest distance that is compared, A.
        tolerance: largest difference between equal distances, A.
    """
    atoms = [(k, i) for k, structure in enumerate((first, second)) for i in range(len(structure))]
    classes = np.concatenate([first.numbers, second.numbers])
    counts = (len(first), len(second))
    tables = [np.linalg.norm(a.positions[:, None] - a.positions, axis=2) for a in (first, second)]
    while True:
        halves = np.split(classes, [counts[0]])
        views = []
        for structure, atom in atoms:
            distances, seen = tables[structure][atom], halves[structure]
            order = np.lexsort((distances, seen))
            order = order[(order != atom) & (distances[order] <= cutoff)]
            views.append((halves[structure][atom], seen[order], distances[order]))
        refined = _classify(views, tolerance)
        if len(set(refined)) == len(set(classes)):
            return sorted(refined[: counts[0]]) == sorted(refined[counts[0] :])
        classes = np.array(refined)


def _classify(views: list[tuple[int, np.ndarray, np.ndarray]], tolerance: float) -> list[int]:
    """Return a class for each atom: equal if own class, neighbours' classes and distances are."""
    kinds: list[tuple[int, np.ndarray, np.ndarray]] = []
    numbers = []
    for own, classes, distances in views:
        for number, (kind_own, kind_classes, kind_distances) in enumerate(kinds):
            same = own == kind_own and np.array_equal(classes, kind_classes)
            if same and np.abs(distances - kind_distances).max(initial=0.0) <= tolerance:
                numbers.append(number)
                break
        else:
            numbers.append(len(kinds))
            kinds.append((own, classes, distances))
    return numbers
