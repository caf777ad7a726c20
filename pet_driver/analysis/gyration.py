"""Radius of gyration of ring polymers."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import BlockAnalysis, atoms_of, block_error
from pet_driver.errors import PetDriverError


class RingPolymerGyration(BlockAnalysis):
    """Rg^2 = <1/P sum_k |r_k - r_c|^2> of the beads about their centroid, by element.

    Args:
        group: atoms of a Universe read with ``centroid=``.
        n_blocks: blocks of frames for the error.

    Attributes:
        results.elements: list of E names.
        results.radius: [E] in A, the root of the mean square.
        results.error: [E] in A, of ``radius``.
        results.by_atom: [N] in A.
    """

    def __init__(self, group, n_blocks: int = 5, **kwargs):
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
