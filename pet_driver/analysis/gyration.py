"""Radius of gyration of ring polymers.

i-PI writes it per atom (``r_gyration``) if it is asked for before the run; this computes it from
the trajectories of the beads, averaged by element and with an error.
"""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import Atoms, BlockAnalysis, atoms_of, block_error
from pet_driver.errors import PetDriverError


class RingPolymerGyration(BlockAnalysis):
    """Radius of gyration of ring polymers, by element.

    ``Rg^2 = <1/P sum_k (r_k - r_c)^2>`` over the P beads at ``r_k`` about their centroid ``r_c``.

    Args:
        group: atoms of a Universe read with ``centroid=``.
        n_blocks: number of blocks of frames for the error.

    Attributes:
        results.elements: names of the elements, a list of length E.
        results.radius: root mean square over the atoms of an element [E] in A.
        results.error: standard error of ``radius`` [E] in A.
        results.by_atom: [N] in A.

    Raises:
        PetDriverError: the Universe was read without beads.
    """

    def __init__(self, group: Atoms, n_blocks: int = 5, **kwargs):
        atoms = atoms_of(group)
        super().__init__(atoms.universe.trajectory, n_blocks=n_blocks, **kwargs)
        if "beads" not in self._trajectory.ts.data:
            raise PetDriverError(
                f"{self._trajectory.filename}: read without beads; give centroid=True"
            )
        self._indices = atoms.indices
        self._elements = atoms.elements.astype(str)

    def _prepare(self) -> None:
        self.results.squares = np.zeros((self.n_blocks, len(self._indices)))
        self.results.n_frames = np.zeros(self.n_blocks)

    def _single_frame(self) -> None:
        beads = self._ts.data["beads"][:, self._indices]
        deviation = beads - beads.mean(axis=0)
        self.results.squares[self._block] += (deviation**2).sum(axis=2).mean(axis=0)
        self.results.n_frames[self._block] += 1

    def _get_aggregator(self) -> ResultsGroup:
        add = ResultsGroup.ndarray_sum
        return ResultsGroup({"squares": add, "n_frames": add})

    def _conclude(self) -> None:
        results = self.results
        used = results.n_frames > 0
        blocks = results.squares[used] / results.n_frames[used, None]
        mean = results.squares.sum(0) / results.n_frames.sum()
        results.by_atom = np.sqrt(mean)
        results.elements = sorted(set(self._elements))
        chosen = [self._elements == element for element in results.elements]
        squares = np.array([mean[c].mean() for c in chosen])
        errors = block_error(np.array([[b[c].mean() for c in chosen] for b in blocks]))
        results.radius = np.sqrt(squares)
        results.error = 0.5 * errors / np.maximum(results.radius, 1e-300)
