"""Rotational and dipole autocorrelations of water."""

from __future__ import annotations

import numpy as np

from pet_driver.analysis.base import atoms_of, dipole_directions, water_indices
from pet_driver.analysis.time_correlation import TimeCorrelation


class RotationalAutocorrelation(TimeCorrelation):
    """Autocorrelations of the directions u of single molecules, and of the sum of all u.

    C1(t) = <u(0).u(t)> and C2(t) = <P2(u(0).u(t))>; u points from O to the midpoint of the two H.
    C1 is figure 3b of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    Args:
        group: water with molecules as residues (``water_universe``).
        max_lag: ps; ``None`` means a quarter of the run, 2000 frames at most.
        n_blocks: blocks of origins for the error.

    Attributes:
        results.time: [L] in ps.
        results.c1, results.c2: [L].
        results.dipole: [L], of U = sum u, divided by its value at 0.
        results.c1_error, results.c2_error, results.dipole_error: [L].
        results.kirkwood: <U^2>/M, for M molecules.
    """

    def __init__(self, group, max_lag: float | None = None, n_blocks: int = 5, **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, max_lag, n_blocks, **kwargs)
        self._water = water_indices(group)

    def _observe(self) -> np.ndarray:
        """u [3M], the products that make up (u.u')^2 [6M], and the sum of all u [3]."""
        u = dipole_directions(self._ts, self._water).T
        mixed = np.sqrt(2.0) * u * np.roll(u, 1, axis=0)
        return np.concatenate([u.ravel(), (u * u).ravel(), mixed.ravel(), u.sum(axis=1)])

    def _pair(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        n = len(self._water[0])
        cosines = past[:, : 3 * n] @ now[:, : 3 * n].T / n
        squares = past[:, 3 * n : 9 * n] @ now[:, 3 * n : 9 * n].T / n
        total = past[:, 9 * n :] @ now[:, 9 * n :].T / n
        return np.stack([cosines, 1.5 * squares - 0.5, total], axis=2)

    def _conclude(self) -> None:
        results = self.results
        results.time, mean, error = self._averages()
        results.c1, results.c2 = mean[:, 0], mean[:, 1]
        results.c1_error, results.c2_error = error[:, 0], error[:, 1]
        results.kirkwood = float(mean[0, 2])
        results.dipole = mean[:, 2] / mean[0, 2]
        results.dipole_error = error[:, 2] / mean[0, 2]
