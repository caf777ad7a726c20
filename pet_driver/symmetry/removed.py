"""List of grids, and what each of them removes from an energy, from the grids themselves.

A component of angular momentum l of natural parity, (-1)^l, vanishes from the average over a grid
if the sum of w P_l(u . x R) over its rotations R with weights w vanishes for all unit vectors u and
x, where P_l is a Legendre polynomial; one of the other parity, if that of w det(R) P_l(u . x R)
does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pet_driver.symmetry import tables
from pet_driver.symmetry.grids import rotation_grid

LARGEST_L = 30  # above that of all components that a grid removes, but what is odd
_TOLERANCE = 1e-9


class GridSummary(NamedTuple):
    """Cost and effect of one grid.

    Attributes:
        name: name of the grid.
        evaluations: number of rotations; 0 where it depends on the structure.
        removes: components that vanish from the average, in words.
    """

    name: str
    evaluations: int
    removes: str


def summarize_grids() -> list[GridSummary]:
    """Return all fixed grids by number of rotations, then those that are random or exact."""
    orders = [str(order) for order in range(2, tables.LARGEST_EULER_ORDER + 1)]
    products = [*orders, *(f"lebedev{degree}" for degree in tables.LEBEDEV_DEGREES)]
    names = ["0", "i", *products, *(f"{name}i" for name in products), *tables.POINT_GROUPS]
    fixed = [GridSummary(name, *_examine(name)) for name in names]
    return [
        *sorted(fixed, key=lambda grid: grid.evaluations),
        GridSummary("random", 1, "everything, on average over the steps"),
        GridSummary("ecse", 0, "everything but what is odd"),
        GridSummary("ecsei", 0, "everything"),
    ]


def _examine(name: str) -> tuple[int, str]:
    """Return the number of rotations of a grid, and what it removes."""
    rotations, weights = rotation_grid(name)
    even, odd = removed_components(rotations, weights)
    removes_odd = odd.all()
    largest_even = _largest(even)
    largest = largest_even if removes_odd else min(largest_even, _largest(odd))
    words = [f"l <= {largest}"] if largest else []
    if removes_odd:
        words.append("what is odd")
    elif largest_even > largest:
        words.append(f"even l <= {largest_even}")
    return len(weights), ", ".join(words) or "nothing"


def _largest(removed: np.ndarray) -> int:
    """Return the largest l up to which all components from l = 1 on are removed."""
    return int(np.argmin(np.append(removed[1:], False)))


def removed_components(rotations: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which components of each l vanish from an average over rotations.

    Args:
        rotations: [R, 3, 3], proper or improper.
        weights: [R].

    Returns:
        Whether the components that are even under inversion vanish, and whether the odd ones do,
        both for l = 0 to ``LARGEST_L``.
    """
    rng = np.random.default_rng(0)
    u, x = rng.normal(size=(2, 6, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = np.einsum("pa,rab,pb->pr", x, rotations, u)
    determinants = np.sign(np.linalg.det(rotations))
    natural, other = [], []
    previous, current = np.zeros_like(cosines), np.ones_like(cosines)
    for order in range(LARGEST_L + 1):
        natural.append(np.abs(current @ weights).max() < _TOLERANCE)
        other.append(np.abs(current @ (weights * determinants)).max() < _TOLERANCE)
        following = ((2 * order + 1) * cosines * current - order * previous) / (order + 1)
        previous, current = current, following
    is_even = np.arange(LARGEST_L + 1) % 2 == 0
    return np.where(is_even, natural, other), np.where(is_even, other, natural)
