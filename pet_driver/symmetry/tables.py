"""Tables of quadratures and point groups for grids of rotations, computed with NumPy.

Nodes and weights of the quadratures are normalised so that the weights of a rule sum to 1.
"""

from __future__ import annotations

import numpy as np

LARGEST_EULER_ORDER = 6
LEBEDEV_DEGREES = tuple(range(3, 31, 2))
POINT_GROUPS = ("T", "T_d", "O", "O_h", "I", "I_h")

GOLDEN_RATIO = (1.0 + 5.0**0.5) / 2.0
# Absolute values of the entries of all matrices of these groups, with twofold axes along x, y, z.
ENTRIES = np.array([0.0, 0.5, 0.5 / GOLDEN_RATIO, 0.5 * GOLDEN_RATIO, 1.0])


def gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the n-point rules, in row n of arrays [n_max + 1, n_max]."""
    nodes = np.zeros((LARGEST_EULER_ORDER + 1, LARGEST_EULER_ORDER))
    weights = np.zeros_like(nodes)
    for order in range(1, LARGEST_EULER_ORDER + 1):
        x, w = np.polynomial.legendre.leggauss(order)
        nodes[order, :order] = x
        weights[order, :order] = w / w.sum()
    return nodes, weights


def lebedev() -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return Lebedev's rules on the sphere, in the order of LEBEDEV_DEGREES.

    Returns:
        unit vectors [P, 3]; weights [P]; index of the first point of each rule, and P.
    """
    # Imported here because it needs 45 MB, and only an export uses it: archives hold the tables.
    from scipy.integrate import lebedev_rule

    rules = [lebedev_rule(degree) for degree in LEBEDEV_DEGREES]
    points = np.concatenate([x.T for x, _ in rules])
    weights = np.concatenate([w / w.sum() for _, w in rules])
    return points, weights, [0, *np.cumsum([len(w) for _, w in rules]).tolist()]


def point_groups() -> tuple[np.ndarray, list[int]]:
    """Return the matrices of all POINT_GROUPS.

    Returns:
        matrices [M, 3, 3]; index of the first matrix of each group, and M.
    """
    groups = [point_group(name) for name in POINT_GROUPS]
    return np.concatenate(groups), [0, *np.cumsum([len(g) for g in groups]).tolist()]


def point_group(name: str) -> np.ndarray:
    """Return the matrices [M, 3, 3] of one point group, the identity first."""
    twofold = np.diag([-1.0, -1.0, 1.0])
    diagonal = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # threefold
    fourfold = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    inversion = -np.eye(3)
    g = GOLDEN_RATIO
    fivefold = 0.5 * np.array([[g - 1, -g, 1.0], [g, 1.0, g - 1], [-1.0, g - 1, g]])
    generators = {
        "T": [twofold, diagonal],
        "T_d": [twofold, diagonal, -fourfold],
        "O": [fourfold, diagonal],
        "O_h": [fourfold, diagonal, inversion],
        "I": [twofold, diagonal, fivefold],
        "I_h": [twofold, diagonal, fivefold, inversion],
    }
    return closure(generators[name])


def closure(generators: list[np.ndarray]) -> np.ndarray:
    """Return all products [M, 3, 3] of the generators, the identity first.

    Every product is rounded to exact entries, so that errors do not accumulate.
    """
    found = [np.eye(3)]
    for element in found:  # the list grows during the loop
        for generator in generators:
            product = rounded(generator @ element)
            if not any(np.array_equal(product, known) for known in found):
                found.append(product)
    return np.array(found)


def rounded(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix [3, 3] with each absolute value replaced by the nearest of ENTRIES."""
    nearest = ENTRIES[np.abs(np.abs(matrix)[..., None] - ENTRIES).argmin(axis=-1)]
    if np.abs(np.abs(matrix) - nearest).max() > 1e-12:
        raise ValueError("not a rotation of a cubic or icosahedral group")
    return np.where(matrix < 0, -nearest, nearest) + 0.0  # no negative zeros
