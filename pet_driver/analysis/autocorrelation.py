"""Rotational and dipole autocorrelation functions of water."""

from __future__ import annotations

import numpy as np

from pet_driver.analysis.base import Atoms, atoms_of, dipole_directions, water_indices
from pet_driver.analysis.time_correlation import TimeCorrelation


class RotationalAutocorrelation(TimeCorrelation):
    """Autocorrelation functions of the dipole directions of molecules and of their sum.

    Computes ``C1(t) = <u(0).u(t)>`` and ``C2(t) = <P2(u(0).u(t))>``, where the unit vector u points
    from O to the midpoint of the two H and P2 is the second Legendre polynomial. C1 is figure 3b of
    Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    Args:
        group: water with molecules as residues (``water_universe``).
        max_lag: the longest lag in ps; ``None`` means a quarter of the run, at most 2000 frames.
        n_blocks: number of blocks of time origins for the error.

    Attributes:
        results.time: lags [L] in ps.
        results.c1: [L].
        results.c2: [L].
        results.dipole: [L], autocorrelation of the sum U of all u, divided by its value at t = 0.
        results.c1_error: [L], standard error.
        results.c2_error: [L], standard error.
        results.dipole_error: [L], standard error.
        results.kirkwood: ``<U^2>/M``, for M molecules.

    Raises:
        PetDriverError: the residues are not water molecules, or (in ``run``) there are fewer than
            two frames or they are not evenly spaced in time.
    """

    def __init__(self, group: Atoms, max_lag: float | None = None, n_blocks: int = 5, **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, max_lag, n_blocks, **kwargs)
        self._water = water_indices(group)

    def _observe(self) -> np.ndarray:
        """Return u [3M], the products that make up (u.u')^2 [6M], and the sum of all u [3]."""
        u = dipole_directions(self._ts, self._water).T
        mixed = np.sqrt(2.0) * u * np.roll(u, 1, axis=0)
        return np.concatenate([u.ravel(), (u * u).ravel(), mixed.ravel(), u.sum(axis=1)])

    def _correlate(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
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
