"""What the observables share: blocks of frames for errors, water molecules, molecular frames."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.core.groups import AtomGroup
from MDAnalysis.core.universe import Universe

from pet_driver.analysis.vectors import separation
from pet_driver.errors import PetDriverError


class FrameAnalysis(AnalysisBase):
    """Base of observables whose frames are independent: serial, multiprocessing and dask."""

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """The backends of ``run(backend=..., n_workers=...)``."""
        return ("serial", "multiprocessing", "dask")


class BlockAnalysis(FrameAnalysis):
    """Base of averages over frames with the error of the mean from blocks of consecutive frames.

    ``self._block`` is the block of the current frame; each worker adds to the blocks that its
    frames belong to, so that all backends agree.

    Args:
        n_blocks: number of blocks, at least 2 (fewer where the run has fewer frames); they should
            be longer than the correlation time.
    """

    def __init__(self, trajectory, n_blocks: int = 5, **kwargs):
        super().__init__(trajectory, **kwargs)
        if n_blocks < 2:
            raise PetDriverError(f"n_blocks must be at least 2, not {n_blocks}")
        self.n_blocks = n_blocks

    def _setup_frames(self, *args, **kwargs) -> None:
        super()._setup_frames(*args, **kwargs)
        if self.n_frames == 0:
            raise PetDriverError("no frames to analyse; widen start, stop and step")
        self._n_run = self.n_frames

    def _compute(self, indexed_frames, *args, **kwargs):
        self._run_index = indexed_frames[:, 0]
        return super()._compute(indexed_frames, *args, **kwargs)

    @property
    def _block(self) -> int:
        return int(self._run_index[self._frame_index]) * self.n_blocks // self._n_run


def check_spacing(ts: Timestep, expected: float, interval: float) -> None:
    """Refuse a frame that is not at the ``expected`` time, ``interval`` after the last one (ps)."""
    if abs(ts.time - expected) > 0.01 * interval:
        raise PetDriverError(
            f"frame {ts.frame} is at {ts.time} ps, not at {expected:.6g} ps: the frames are not "
            "evenly spaced in time, as correlations and spectra need; choose evenly spaced ones "
            "with start, stop and step"
        )


def block_error(blocks: np.ndarray) -> np.ndarray:
    """The standard error of the mean from block averages [B, ...]; NaN for fewer than two."""
    blocks = np.asarray(blocks)
    if len(blocks) < 2:
        return np.full(blocks.shape[1:], np.nan)
    return blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))


def atoms_of(group: AtomGroup | Universe) -> AtomGroup:
    """The atoms of a group or a Universe."""
    return group.atoms


def water_indices(group: AtomGroup | Universe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of O, first H and second H of each molecule [M] in the Universe of ``group``.

    Raises:
        PetDriverError: the residues are not water molecules.
    """
    atoms = atoms_of(group)
    if not hasattr(atoms, "elements"):
        raise PetDriverError("the Universe has no elements; build it with water_universe")
    elements, residues = atoms.elements.astype(str), atoms.resindices
    oxygens, hydrogens = atoms.indices[elements == "O"], atoms.indices[elements == "H"]
    by_oxygen = np.argsort(residues[elements == "O"], kind="stable")
    by_hydrogen = np.argsort(residues[elements == "H"], kind="stable")
    o_residues = residues[elements == "O"][by_oxygen]
    h_residues = residues[elements == "H"][by_hydrogen]
    if (
        len(o_residues) == 0
        or not np.array_equal(np.repeat(o_residues, 2), h_residues)
        or (np.diff(o_residues) <= 0).any()
    ):
        raise PetDriverError(
            "the residues are not water molecules (one O and two H each); "
            "build the Universe with water_universe"
        )
    hydrogens = hydrogens[by_hydrogen]
    return oxygens[by_oxygen], hydrogens[::2], hydrogens[1::2]


def dipole_directions(ts, water: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """u [M, 3]: unit vectors from O to the midpoint of its two H, whole across the cell."""
    oxygen, first, second = water
    x = ts.positions
    arms = separation(x[oxygen], x[first], ts.dimensions)
    arms = arms + separation(x[oxygen], x[second], ts.dimensions)
    return arms / np.linalg.norm(arms, axis=1, keepdims=True)


_MAX_REACH = 0.45  # of the cell, between two atoms of a body; from a half on images are mixed up


class Molecules:
    """Groups of atoms whose moments are taken: each residue, or all atoms as one body.

    ``whole(ts)`` gives positions relative to each body's centre of mass [N, 3], made whole by
    the nearest image of each atom to the first of its body. A body must be smaller than half the
    cell; all atoms of a box of liquid are none, and are refused.
    """

    def __init__(self, group: AtomGroup | Universe, by: str = "residues"):
        atoms = atoms_of(group)
        if by == "residues":
            _, self.body = np.unique(atoms.resindices, return_inverse=True)
        elif by == "all":
            self.body = np.zeros(len(atoms), int)
        else:
            raise PetDriverError(f"by must be 'residues' or 'all', not {by!r}")
        self.indices = atoms.indices
        self.masses = np.asarray(atoms.masses, np.float64)
        if (self.masses <= 0).any():
            raise PetDriverError("an atom has no mass; give masses= to water_universe")
        self.n = int(self.body.max()) + 1
        self._by = by
        _, self.first = np.unique(self.body, return_index=True)
        self.total = self.sum(self.masses[:, None])

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sums of per-atom values [N, k] over each body [M, k]."""
        columns = [np.bincount(self.body, column, self.n) for column in values.T]
        return np.stack(columns, axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mass-weighted means of per-atom values [N, 3] over each body [M, 3]."""
        return self.sum(values * self.masses[:, None]) / self.total

    def whole(self, ts) -> np.ndarray:
        """Positions relative to the centre of mass of the body of each atom [N, 3] (A)."""
        x = ts.positions[self.indices]
        arms = separation(x[self.first][self.body], x, ts.dimensions)
        if self._by == "all" and ts.dimensions is not None:
            reach = np.abs(arms @ np.linalg.inv(ts.triclinic_dimensions.astype(np.float64))).max()
            if reach > _MAX_REACH:
                raise PetDriverError(
                    f"frame {ts.frame}: the atoms reach through the periodic cell, so that as one "
                    "body they have no centre; use by='residues'"
                )
        return arms - self.mean(arms)[self.body]
