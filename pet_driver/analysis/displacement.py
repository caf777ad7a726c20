"""Mean-square displacement and the diffusion coefficient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pet_driver.analysis.base import atoms_of
from pet_driver.analysis.time_correlation import TimeCorrelation
from pet_driver.errors import PetDriverError

A2_PS_TO_CM2_S = 1.0e-4
_XI = 2.837297  # of a cubic cell
_MAX_STEP = 0.45  # of the cell, between two frames


@dataclass(frozen=True)
class Diffusion:
    """D from the slope of the mean-square displacement, in A^2/ps and in cm^2/s, with its error."""

    coefficient: float
    error: float
    start: float  # ps, the range of the fit
    stop: float

    @property
    def cm2_s(self) -> float:
        """D in cm^2/s."""
        return self.coefficient * A2_PS_TO_CM2_S

    def finite_size_correction(self, temperature: float, viscosity: float, length: float) -> float:
        """What a cubic cell takes off D: kT xi / (6 pi eta L), in A^2/ps.

        Add it to ``coefficient``; Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004).

        Args:
            temperature: K.
            viscosity: mPa s, of the model itself where it is known (experiment: 0.85 at 300 K).
            length: of the cell, A.
        """
        # k in J/K, eta in Pa s, L in m; m^2/s = 1e8 A^2/ps
        si = 1.380649e-23 * temperature * _XI / (6 * np.pi * viscosity * 1e-3 * length * 1e-10)
        return si * 1.0e8


class MeanSquareDisplacement(TimeCorrelation):
    """<|r(t) - r(0)|^2> over atoms and origins, of unwrapped positions.

    Figure 3a of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    A finite periodic cell slows diffusion down by some 10 to 20 per cent for hundreds of molecules:
    see :meth:`Diffusion.finite_size_correction`.

    Args:
        group: atoms; a Universe of water means its oxygens.
        max_lag: ps; ``None`` means a quarter of the run, 2000 frames at most.
        unwrap: follow atoms across the cell: between two frames each takes the shortest way (right
            for wrapped and unwrapped files alike, if no atom moves half a cell in between).
        remove_drift: take off the motion of the centre of the group.
        n_blocks: blocks of origins for the error.

    Attributes:
        results.time: [L] in ps.
        results.msd: [L] in A^2.
        results.error: [L] in A^2.
        results.diffusion: a :class:`Diffusion`, from the second half of the window.
    """

    def __init__(
        self,
        group,
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
        # the motion of the centre of one atom is all there is
        self.remove_drift = remove_drift and len(atoms) > 1

    def _prepare(self) -> None:
        super()._prepare()
        self._last = self._path = None

    def _observe(self) -> np.ndarray:
        ts = self._ts
        x = ts.positions[self._indices].astype(np.float64)
        if self._path is None:
            self._path = self._origin = x
        elif not self.unwrap or ts.dimensions is None:
            self._path = x
        else:
            self._path = self._path + self._shortest_step(x)
        if self.unwrap and ts.dimensions is not None:
            self._last = x @ np.linalg.inv(ts.triclinic_dimensions.astype(np.float64))
        path = self._path - self._origin  # small numbers: their products keep their digits
        if self.remove_drift:
            path -= path.mean(axis=0)
        return path.ravel()

    def _pair(self, past: np.ndarray, now: np.ndarray) -> np.ndarray:
        squares = np.einsum("la,la->l", past, past)[:, None] + np.einsum("ba,ba->b", now, now)
        squares -= 2.0 * (past @ now.T)
        return squares[:, :, None] / len(self._indices)

    def _shortest_step(self, x: np.ndarray) -> np.ndarray:
        """From the last frame, in fractions of each one's cell: breathing is no motion."""
        cell = self._ts.triclinic_dimensions.astype(np.float64)
        step = x @ np.linalg.inv(cell) - self._last
        step -= np.round(step)
        if np.abs(step).max() > _MAX_STEP:
            raise PetDriverError(
                f"frame {self._ts.frame}: an atom moved by half the cell since the last frame, so "
                "that it cannot be followed; write frames more often, or give unwrap=False where "
                "the file holds unwrapped positions"
            )
        return step @ cell

    def _conclude(self) -> None:
        lags, mean, error = self._averages()
        self.results.time, self.results.msd = lags, mean[:, 0]
        self.results.error = error[:, 0]
        self.results.diffusion = self._diffusion(lags)

    def _diffusion(self, lags: np.ndarray) -> Diffusion:
        half = slice(len(lags) // 2, None)
        if len(lags[half]) < 2:
            return Diffusion(np.nan, np.nan, lags[0], lags[-1])
        slope = np.polyfit(lags[half], self.results.msd[half], 1)[0]
        whole = (self._counts > 0).all(axis=1)
        blocks = self._sums[whole, :, 0] / self._counts[whole]
        slopes = [np.polyfit(lags[half], block[half], 1)[0] for block in blocks]
        error = np.std(slopes, ddof=1) / np.sqrt(len(slopes)) if len(slopes) > 1 else np.nan
        return Diffusion(slope / 6, float(error) / 6, lags[half][0], lags[-1])
