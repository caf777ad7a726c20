"""Orientational density and free energy of water: uniform in an isotropic system."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import (
    Atoms,
    BlockAnalysis,
    atoms_of,
    block_error,
    dipole_directions,
    water_indices,
)
from pet_driver.analysis.smoothing import smooth
from pet_driver.errors import PetDriverError


class OrientationalFreeEnergy(BlockAnalysis):
    """Orientational free energy F(cos theta, phi) = -ln p of the dipoles of water, in kT.

    p is the density of the directions from O to the midpoint of the two H in the laboratory frame,
    normalized to 1 for uniform orientations. It is a Gaussian kernel density estimate in
    (cos theta, phi), reflected at cos theta = -1 and 1 and periodic in phi. Figures 1d, 1e, 2a and
    2b of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    Args:
        group: water with molecules as residues (``water_universe``).
        width: standard deviation of the kernel, in cos theta and in phi (radian).
        bins: numbers of bins (C, P) in cos theta and phi; a bin must be narrower than the kernel.
        n_blocks: number of blocks of frames for the error.

    Attributes:
        results.cos_theta: centers of the bins [C].
        results.phi: centers of the bins [P] in radian, from -pi to pi.
        results.density: [C, P].
        results.density_error: standard error [C, P].
        results.free_energy: [C, P] in kT, infinite where no molecule was found.
        results.error: standard error of ``free_energy`` [C, P] in kT.
        results.rms: root mean square of F about its mean, weighted by p, in kT.

    Raises:
        PetDriverError: the residues are not water molecules, or the kernel is narrower than a bin.
    """

    def __init__(
        self,
        group: Atoms,
        width: float = 0.1,
        bins: tuple[int, int] = (100, 200),
        n_blocks: int = 5,
        **kwargs,
    ):
        super().__init__(atoms_of(group).universe.trajectory, n_blocks=n_blocks, **kwargs)
        self._water = water_indices(group)
        self.width, self.bins = width, bins
        spacing = max(2.0 / bins[0], 2 * np.pi / bins[1])
        if width < spacing:
            raise PetDriverError(
                f"the kernel {width} is narrower than a grid spacing of {spacing:.3g}: raise bins"
            )

    def _prepare(self) -> None:
        self.results.count = np.zeros((self.n_blocks, *self.bins))

    def _single_frame(self) -> None:
        u = dipole_directions(self._ts, self._water)
        rows, columns = self.bins
        row = ((np.clip(u[:, 2], -1, 1) + 1) * 0.5 * rows).astype(int)
        column = ((np.arctan2(u[:, 1], u[:, 0]) / (2 * np.pi) + 0.5) * columns).astype(int)
        cell = np.minimum(row, rows - 1) * columns + column % columns
        counts = np.bincount(cell, minlength=rows * columns)
        self.results.count[self._block] += counts.reshape(rows, columns)

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"count": ResultsGroup.ndarray_sum})

    def _conclude(self) -> None:
        results, (rows, columns) = self.results, self.bins
        results.cos_theta = -1 + (np.arange(rows) + 0.5) * 2 / rows
        results.phi = -np.pi + (np.arange(columns) + 0.5) * 2 * np.pi / columns
        results.density = self._density(results.count.sum(0))
        used = results.count[results.count.sum(axis=(1, 2)) > 0]
        results.density_error = block_error(np.array([self._density(c) for c in used]))
        with np.errstate(divide="ignore", invalid="ignore"):
            results.free_energy = -np.log(results.density)
            results.error = results.density_error / results.density
        seen = results.density > 0
        f, p = results.free_energy[seen], results.density[seen]
        results.rms = float(np.sqrt(np.average((f - np.average(f, weights=p)) ** 2, weights=p)))

    def _density(self, count: np.ndarray) -> np.ndarray:
        rows, columns = self.bins
        density = smooth(count, self.width * rows / 2, axis=0, mode="reflect")
        density = smooth(density, self.width * columns / (2 * np.pi), axis=1, mode="wrap")
        return density * (rows * columns / count.sum())
