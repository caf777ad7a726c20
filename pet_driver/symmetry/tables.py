"""The numbers that grids of rotations are made of, worked out once in numpy.

Nodes and weights of the quadratures are normalised so that the weights of a rule sum to 1.
"""

from __future__ import annotations

import numpy as np

LARGEST_EULER_ORDER = 6
LEBEDEV_DEGREES = tuple(range(3, 31, 2))
POINT_GROUPS = ("T", "T_d", "O", "O_h", "I", "I_h")

GOLDEN_RATIO = (1.0 + 5.0**0.5) / 2.0
# Every entry of a rotation of these groups, with a twofold axis along each of x, y and z.
ENTRIES = np.array([0.0, 0.5, 0.5 / GOLDEN_RATIO, 0.5 * GOLDEN_RATIO, 1.0])


def gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the rules with n points, in row n of two arrays [n_max + 1, n_max]."""
    nodes = np.zeros((LARGEST_EULER_ORDER + 1, LARGEST_EULER_ORDER))
    weights = np.zeros_like(nodes)
    for order in range(1, LARGEST_EULER_ORDER + 1):
        x, w = np.polynomial.legendre.leggauss(order)
        nodes[order, :order] = x
        weights[order, :order] = w / w.sum()
    return nodes, weights


def lebedev() -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Lebedev's rules on the sphere, one after the other in the order of LEBEDEV_DEGREES.

    Returns:
        unit vectors [P, 3], weights [P], and where each rule starts and the last one ends.
    """
    # Here, because it takes 45 MB and only an export needs it: archives hold the tables.
    from scipy.integrate import lebedev_rule

    rules = [lebedev_rule(degree) for degree in LEBEDEV_DEGREES]
    points = np.concatenate([x.T for x, _ in rules])
    weights = np.concatenate([w / w.sum() for _, w in rules])
    return points, weights, [0, *np.cumsum([len(w) for _, w in rules]).tolist()]


def point_groups() -> tuple[np.ndarray, list[int]]:
    """The point groups of POINT_GROUPS, one after the other.

    Returns:
        matrices [M, 3, 3], and where each group starts and the last one ends.
    """
    groups = [point_group(name) for name in POINT_GROUPS]
    return np.concatenate(groups), [0, *np.cumsum([len(g) for g in groups]).tolist()]


def point_group(name: str) -> np.ndarray:
    """The matrices [M, 3, 3] of one point group, the identity first."""
    half_turn = np.diag([-1.0, -1.0, 1.0])
    diagonal = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # a third of a turn
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    inversion = -np.eye(3)
    g = GOLDEN_RATIO
    fifth_turn = 0.5 * np.array([[g - 1, -g, 1.0], [g, 1.0, g - 1], [-1.0, g - 1, g]])
    generators = {
        "T": [half_turn, diagonal],
        "T_d": [half_turn, diagonal, -quarter_turn],
        "O": [quarter_turn, diagonal],
        "O_h": [quarter_turn, diagonal, inversion],
        "I": [half_turn, diagonal, fifth_turn],
        "I_h": [half_turn, diagonal, fifth_turn, inversion],
    }
    return closure(generators[name])


def closure(generators: list[np.ndarray]) -> np.ndarray:
    """All products [M, 3, 3] of the generators, the identity first.

    Each product is snapped to the exact entries, so that errors do not grow with its length.
    """
    found = [np.eye(3)]
    for element in found:  # grows while it is walked through
        for generator in generators:
            product = snapped(generator @ element)
            if not any(np.array_equal(product, known) for known in found):
                found.append(product)
    return np.array(found)


def snapped(matrix: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] with each entry replaced by the nearest of ENTRIES, its sign kept."""
    nearest = ENTRIES[np.abs(np.abs(matrix)[..., None] - ENTRIES).argmin(axis=-1)]
    if np.abs(np.abs(matrix) - nearest).max() > 1e-12:
        raise ValueError("not a rotation of a cubic or icosahedral group")
    return np.where(matrix < 0, -nearest, nearest) + 0.0  # no negative zeros
