"""Hydrogen bonds of water.

``MDAnalysis.analysis.hydrogenbonds.HydrogenBondAnalysis`` finds the same bonds, but keeps a list of
every bond of every frame in memory; here only averages are kept.
"""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup
from MDAnalysis.lib.distances import calc_angles

from pet_driver.analysis.base import Atoms, BlockAnalysis, atoms_of, block_error, water_indices
from pet_driver.analysis.pairs import Pairs

_MAX_BONDS = 8  # of one molecule; molecules with more are counted as having this many


class HydrogenBonds(BlockAnalysis):
    """Number and geometry of the hydrogen bonds of water.

    A bond D-H...A has a D-A distance of at most ``distance`` and a D-H-A angle of at least
    ``angle``, as in MDAnalysis' ``HydrogenBondAnalysis``.

    Args:
        group: water with molecules as residues (``water_universe``).
        distance: largest O-O distance in A.
        angle: smallest O-H...O angle in degrees.
        n_blocks: number of blocks of frames for the error.

    Attributes:
        results.per_molecule: number of bonds that a molecule donates or accepts.
        results.error: standard error of ``per_molecule``.
        results.coordination: [9], fractions of molecules with 0, 1, ... bonds.
        results.mean_distance: mean O-O distance of the bonds in A.
        results.mean_angle: mean O-H...O angle of the bonds in degrees.
        results.counts: [F], number of bonds in each frame.

    Raises:
        PetDriverError: the residues are not water molecules.
    """

    def __init__(
        self,
        group: Atoms,
        distance: float = 3.5,
        angle: float = 150.0,
        n_blocks: int = 5,
        **kwargs,
    ):
        super().__init__(atoms_of(group).universe.trajectory, n_blocks=n_blocks, **kwargs)
        self._water = water_indices(group)
        self._pairs = Pairs(np.arange(len(self._water[0])))
        self.distance, self.angle = distance, angle

    def _prepare(self) -> None:
        self.results.counts = np.zeros(self.n_frames, int)
        self.results.coordination = np.zeros(_MAX_BONDS + 1)
        self.results.sums = np.zeros((self.n_blocks, 2))  # frames, bonds per molecule
        self.results.geometry = np.zeros(3)  # bonds, distances, angles

    def _single_frame(self) -> None:
        ts, (oxygen, first, second) = self._ts, self._water
        x, n = ts.positions, len(oxygen)
        i, j, near = self._pairs.near(x[oxygen], x[oxygen], self.distance, ts.dimensions)
        # both molecules of a pair may donate, each with either of its H
        donor, acceptor = np.concatenate([i, i, j, j]), np.concatenate([j, j, i, i])
        lengths = np.tile(near, 4)
        hydrogen = np.concatenate([first[i], second[i], first[j], second[j]])
        angles = np.rad2deg(
            calc_angles(x[oxygen[donor]], x[hydrogen], x[oxygen[acceptor]], box=ts.dimensions)
        )
        bonded = angles > self.angle
        participants = np.concatenate([donor[bonded], acceptor[bonded]])
        number = np.minimum(np.bincount(participants, minlength=n), _MAX_BONDS)
        self.results.counts[self._frame_index] = bonded.sum()
        self.results.coordination += np.bincount(number, minlength=_MAX_BONDS + 1)
        self.results.sums[self._block] += (1, len(participants) / n)
        self.results.geometry += (bonded.sum(), lengths[bonded].sum(), angles[bonded].sum())

    def _get_aggregator(self) -> ResultsGroup:
        add = ResultsGroup.ndarray_sum
        return ResultsGroup(
            {"counts": np.concatenate, "coordination": add, "sums": add, "geometry": add}
        )

    def _conclude(self) -> None:
        results = self.results
        used = results.sums[results.sums[:, 0] > 0]
        results.per_molecule = float(results.sums[:, 1].sum() / results.sums[:, 0].sum())
        results.error = float(block_error(used[:, 1] / used[:, 0]))
        results.coordination = results.coordination / results.coordination.sum()
        bonds, distances, angles = results.geometry
        results.mean_distance = distances / bonds if bonds else np.nan
        results.mean_angle = angles / bonds if bonds else np.nan
