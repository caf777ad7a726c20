"""The orientation-dependent part of an energy, resolved by angular momentum and parity.

The energy of one structure under all rotations and inversions is a function on O(3),

    E(s R) = sum_l,p sum_mm' c(l, p, m, m') D^l_mm'(R) s^p,     s = +-1,  p = 0 (even), 1 (odd).

Its component of angular momentum l is a convolution with the character of l,

    E_l(R) = (2 l + 1) sum_j w_j chi_l(R^T R_j) E(R_j),

and the mean square of that component is its power, which does not depend on the axes of D^l. The
powers add up to the variance of the energy over O(3). On a product grid of order N all of this is
exact for energies without components above l = N - 1. Components above add to ``beyond``; those
from 2 N - 1 - l upwards also contaminate component l.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pet_driver.errors import PetDriverError

PARITIES = ("even", "odd")


@dataclass(frozen=True)
class Components:
    """Powers of rotational components in eV^2, averaged over structures.

    Attributes:
        power: [L + 1, 2] by angular momentum 0 to L and parity (even, odd) under inversion. The
            entry of l = 0, even is zero: that is the invariant part. The odd one of l = 0
            distinguishes a structure from its mirror image.
        variance: of the energy over O(3).
    """

    power: np.ndarray
    variance: float

    @property
    def beyond(self) -> float:
        """Power (eV^2) above the largest resolved angular momentum."""
        return max(0.0, self.variance - float(self.power.sum()))

    @classmethod
    def mean(cls, several: list[Components]) -> Components:
        """Return the mean over several structures."""
        power = np.mean([one.power for one in several], axis=0)
        return cls(power, float(np.mean([one.variance for one in several])))


def rotational_components(
    rotations: np.ndarray, weights: np.ndarray, energies: np.ndarray, l_max: int
) -> Components:
    """Return the components of the energies of one structure on a grid with inversion.

    Args:
        rotations: [R, 3, 3], proper rotations and then minus each of them, as in grid ``4i``.
        weights: [R], adding up to 1.
        energies: [R] in eV.
        l_max: largest angular momentum, at most N - 1 on a grid of order N.

    Raises:
        PetDriverError: the second half of the grid is not the inverse of the first.
    """
    half = len(rotations) // 2
    if len(rotations) % 2 or not np.allclose(rotations[half:], -rotations[:half]):
        raise PetDriverError("components need a grid with inversion, such as 4i")
    weights = 2.0 * weights[:half]
    energies = energies - weights @ (energies[:half] + energies[half:]) / 2.0
    by_parity = 0.5 * np.stack(
        [energies[:half] + energies[half:], energies[:half] - energies[half:]], axis=1
    )
    flat = rotations[:half].reshape(half, 9)
    kernels = characters(np.clip(0.5 * (flat @ flat.T - 1.0), -1.0, 1.0), l_max)
    power = np.zeros((l_max + 1, 2))
    for momentum, kernel in enumerate(kernels):
        projected = (2 * momentum + 1) * kernel @ (weights[:, None] * by_parity)
        power[momentum] = weights @ projected**2
    power[0, 0] = 0.0
    return Components(power, float(weights @ (by_parity**2).sum(axis=1)))


def characters(cosines: np.ndarray, l_max: int) -> list[np.ndarray]:
    """Return chi_l = 1 + 2 sum_m cos(m omega), m = 1 to l, for l = 0 to ``l_max``.

    Args:
        cosines: cos omega of the angles of rotation, of any shape.
        l_max: largest angular momentum.
    """
    before, current = np.ones_like(cosines), cosines
    found = [np.ones_like(cosines)]
    for _ in range(l_max):
        found.append(found[-1] + 2.0 * current)
        before, current = current, 2.0 * cosines * current - before
    return found
