"""Mean-square displacement and diffusion coefficient.

``MDAnalysis.analysis.msd.EinsteinMSD`` needs unwrapped positions and the whole trajectory in
memory, and gives no error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase.geometry import minkowski_reduce

from pet_driver.analysis.base import Atoms, atoms_of
from pet_driver.analysis.time_correlation import TimeCorrelation
from pet_driver.errors import PetDriverError

A2_PS_TO_CM2_S = 1.0e-4
DIFFUSIVE = 1.0  # ps; at shorter lags the motion of molecules in a liquid is not diffusive
_XI = 2.837297  # of a cubic cell, Yeh and Hummer
_MAX_STEP = 0.45  # of the cell, between two frames
_MAX_TILT = 0.6  # of an edge; LAMMPS flips its box at one half


@dataclass(frozen=True)
class Diffusion:
    """Diffusion coefficient from the slope of the mean-square displacement.

    Attributes:
        coefficient: D in A^2/ps.
        error: standard error of D in A^2/ps; NaN if there are fewer than two blocks.
        start: shortest lag of the linear fit, in ps.
        stop: longest lag of the linear fit, in ps.
    """

    coefficient: float
    error: float
    start: float
    stop: float

    @property
    def is_diffusive(self) -> bool:
        """Whether the fit is to lags of diffusive motion, of 1 ps and longer."""
        return bool(np.isfinite(self.coefficient)) and self.start >= DIFFUSIVE

    @property
    def cm2_s(self) -> float:
        """D in cm^2/s."""
        return self.coefficient * A2_PS_TO_CM2_S

    def finite_size_correction(self, temperature: float, viscosity: float, length: float) -> float:
        """Return the correction of D for the size of a cubic periodic cell, in A^2/ps.

        The correction kT xi / (6 pi eta L) is to be added to ``coefficient``. Yeh and Hummer,
        J. Phys. Chem. B 108, 15873 (2004).

        Args:
            temperature: in K.
            viscosity: in mPa s, that of the model itself where it is known (experiment: 0.85 at
                300 K).
            length: edge of the cell in A.
        """
        # k in J/K, eta in Pa s, L in m; m^2/s = 1e8 A^2/ps
        si = 1.380649e-23 * temperature * _XI / (6 * np.pi * viscosity * 1e-3 * length * 1e-10)
        return si * 1.0e8


class MeanSquareDisplacement(TimeCorrelation):
    """Mean-square displacement of atoms.

    Averages ``(r(t) - r(0))^2`` over atoms and time origins, with unwrapped positions. Figure 3a of
    Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    A periodic cell slows diffusion down, by 10 to 20 percent for some hundreds of molecules; see
    :meth:`Diffusion.finite_size_correction`.

    Args:
        group: atoms; of a Universe of water the oxygens are taken.
        max_lag: the longest lag in ps; ``None`` means a quarter of the run, at most 2000 frames.
        unwrap: unwrap the positions by assuming that each atom moves by less than half the cell
            between two frames. It has no effect on positions that are unwrapped already.
        remove_drift: subtract the motion of the center of the group.
        n_blocks: number of blocks of time origins for the error.

    Attributes:
        results.time: lags [L] in ps.
        results.msd: [L] in A^2.
        results.error: standard error [L] in A^2.
        results.diffusion: a :class:`Diffusion`, fitted to the second half of the lags; a warning
            is given if they begin below 1 ps.

    Raises:
        PetDriverError: the group is empty, or (in ``run``) there are fewer than two frames, the
            frames are not evenly spaced in time, or an atom moves by half the cell between two.
    """

    def __init__(
        self,
        group: Atoms,
        max_lag: float | None = None,
        unwrap: bool = True,
        remove_drift: bool = True,
        n_blocks: int = 5,
        **kwargs,
    ):
        atoms = atoms_of(group)
        if group is atoms.universe:
            atoms = atoms[atoms.elements.astype(str) == "O"]
        if len(atoms) == 0:
            raise PetDriverError("the group has no atoms to follow")
        super().__init__(atoms.universe.trajectory, max_lag, n_blocks, **kwargs)
        self._indices = atoms.indices
        self.unwrap = unwrap
        # without its drift, a single atom does not move at all
        self.remove_drift = remove_drift and len(atoms) > 1

    def _prepare(self) -> None:
        super()._prepare()
        self._last: np.ndarray | None = None  # fractional coordinates of the last frame
        self._basis = np.eye(3)  # the vectors to which they refer
        self._path: np.ndarray | None = None  # unwrapped positions

    def _observe(self) -> np.ndarray:
        ts = self._ts
        x = ts.positions[self._indices].astype(np.float64)
        if self._path is None:
            self._path = self._origin = x
        elif not self.unwrap or ts.dimensions is None or self._last is None:
            self._path = x
        else:
            self._path = self._path + self._shortest_step(x, self._last)
        if self.unwrap and ts.dimensions is not None:
            self._basis = _compact_basis(ts.triclinic_dimensions.astype(np.float64))
            self._last = x @ np.linalg.inv(self._basis)
        path = self._path - self._origin  # keeps the products in _correlate precise
        if self.remove_drift:
            path -= path.mean(axis=0)
        return path.ravel()

    def _correlate(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        squares = np.einsum("la,la->l", past, past)[:, None] + np.einsum("ba,ba->b", now, now)
        squares -= 2.0 * (past @ now.T)
        return squares[:, :, None] / len(self._indices)

    def _shortest_step(self, x: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the displacements since the last frame.

        They are taken in fractional coordinates, so that a change of the cell alone is no motion.
        """
        cell = _continued_basis(self._ts.triclinic_dimensions.astype(np.float64), self._basis)
        if cell is None:
            raise PetDriverError(
                f"frame {self._ts.frame}: the cell changed too much since the last frame to follow "
                "the atoms; write frames more often, or give unwrap=False if the file contains "
                "unwrapped positions"
            )
        step = x @ np.linalg.inv(cell) - last
        step -= np.round(step)
        if np.abs(step).max() > _MAX_STEP:
            raise PetDriverError(
                f"frame {self._ts.frame}: an atom moved by half the cell since the last frame, so "
                "that it cannot be followed; write frames more often, or give unwrap=False if "
                "the file contains unwrapped positions"
            )
        return step @ cell

    def _conclude(self) -> None:
        lags, mean, error = self._averages()
        self.results.time, self.results.msd = lags, mean[:, 0]
        self.results.error = error[:, 0]
        self.results.diffusion = diffusion = self._diffusion(lags)
        if not diffusion.is_diffusive:
            warnings.warn(
                f"the diffusion coefficient is fitted to lags of {diffusion.start:.3g} to "
                f"{diffusion.stop:.3g} ps, but motion is not diffusive below {DIFFUSIVE:g} ps; run "
                "for longer, or give a longer max_lag",
                stacklevel=3,
            )

    def _diffusion(self, lags: np.ndarray) -> Diffusion:
        half = slice(len(lags) // 2, None)
        if len(lags[half]) < 2:
            return Diffusion(np.nan, np.nan, lags[0], lags[-1])
        slope = np.polyfit(lags[half], self.results.msd[half], 1)[0]
        complete = (self._counts > 0).all(axis=1)
        blocks = self._sums[complete, :, 0] / self._counts[complete]
        slopes = [np.polyfit(lags[half], block[half], 1)[0] for block in blocks]
        error = np.std(slopes, ddof=1) / np.sqrt(len(slopes)) if len(slopes) > 1 else np.nan
        return Diffusion(slope / 6, float(error) / 6, lags[half][0], lags[-1])


def _compact_basis(cell: np.ndarray) -> np.ndarray:
    """Return short vectors of the lattice of a cell [3, 3].

    In the basis of a very tilted cell, a short displacement may have fractional coordinates above
    one half.
    """
    tilts = np.abs(cell[[1, 2, 2], [0, 0, 1]]) / cell.diagonal()[[0, 0, 1]]
    return cell if (tilts <= _MAX_TILT).all() else minkowski_reduce(cell)[0]


def _continued_basis(cell: np.ndarray, basis: np.ndarray) -> np.ndarray | None:
    """Return the vectors of the lattice of a cell that continue the basis of an earlier frame.

    They are not those of the cell where LAMMPS flips a tilted box: ``fix deform`` and ``fix npt``
    then describe the same lattice by other vectors.

    Args:
        cell: vectors of the new frame [3, 3].
        basis: vectors of the earlier frame [3, 3].

    Returns:
        Vectors [3, 3], or ``None`` if the cell changed too much to tell.
    """
    change = np.round(basis @ np.linalg.inv(cell))
    return change @ cell if abs(round(np.linalg.det(change))) == 1 else None
