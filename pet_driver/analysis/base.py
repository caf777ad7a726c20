"""Base classes of the observables, block errors, water molecules and centers of mass."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.core.groups import AtomGroup
from MDAnalysis.core.universe import Universe

from pet_driver.analysis.vectors import minimum_image_vectors
from pet_driver.errors import PetDriverError

Atoms: TypeAlias = AtomGroup | Universe
Water: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # O, first H and second H


class FrameAnalysis(AnalysisBase):
    """Base of observables that treat each frame independently of the others.

    They run with the backends "serial", "multiprocessing" and "dask".
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Return the backends of ``run(backend=..., n_workers=...)``."""
        return ("serial", "multiprocessing", "dask")


class BlockAnalysis(FrameAnalysis):
    """Base of averages over frames with a standard error from block averages.

    The frames of a run are divided into blocks of consecutive frames. ``self._block`` is the block
    of the current frame; each worker adds to the blocks of its own frames, so that the results do
    not depend on the backend. MDAnalysis has no block averages.

    Args:
        trajectory: the trajectory to analyze.
        n_blocks: number of blocks, at least 2; fewer are used if the run has fewer frames. A block
            should be longer than the correlation time.

    Raises:
        PetDriverError: fewer than two blocks, or (in ``run``) no frames.
    """

    def __init__(self, trajectory: ReaderBase, n_blocks: int = 5, **kwargs):
        super().__init__(trajectory, **kwargs)
        self.n_blocks = checked_n_blocks(n_blocks)

    def _setup_frames(self, *args, **kwargs) -> None:
        super()._setup_frames(*args, **kwargs)
        if self.n_frames == 0:
            raise PetDriverError("no frames to analyze; widen start, stop and step")
        self._n_run = self.n_frames

    def _compute(self, indexed_frames, *args, **kwargs):
        self._run_index = indexed_frames[:, 0]
        return super()._compute(indexed_frames, *args, **kwargs)

    @property
    def _block(self) -> int:
        return int(self._run_index[self._frame_index]) * self.n_blocks // self._n_run


def checked_n_blocks(n_blocks: int) -> int:
    """Return ``n_blocks``.

    Raises:
        PetDriverError: it is below 2.
    """
    if n_blocks < 2:
        raise PetDriverError(f"n_blocks must be at least 2, not {n_blocks}")
    return n_blocks


def check_velocities(trajectory: ReaderBase) -> None:
    """Raise PetDriverError if a trajectory has no velocities."""
    if not trajectory.ts.has_velocities:
        raise PetDriverError(
            f"{trajectory.filename}: has no velocities; give velocities= the file that holds them"
        )


def check_spacing(ts: Timestep, expected: float, interval: float) -> None:
    """Raise PetDriverError if frames are not evenly spaced in time.

    Args:
        ts: the current frame.
        expected: the time it must have, in ps.
        interval: the time between two frames, in ps.
    """
    if abs(ts.time - expected) > 0.01 * interval:
        raise PetDriverError(
            f"frame {ts.frame} is at {ts.time} ps, not at {expected:.6g} ps: the frames are not "
            "evenly spaced in time, as correlations and spectra need; choose evenly spaced ones "
            "with start, stop and step"
        )


def block_error(blocks: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean [...] of block averages [B, ...].

    It is NaN for fewer than two blocks.
    """
    blocks = np.asarray(blocks)
    if len(blocks) < 2:
        return np.full(blocks.shape[1:], np.nan)
    return blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))


def atoms_of(group: Atoms) -> AtomGroup:
    """Return the atoms of a group or of a Universe."""
    return group.atoms


def water_indices(group: Atoms) -> Water:
    """Return the indices of O, first H and second H of each molecule: three arrays [M].

    The indices are those of the atoms in the Universe of ``group``.

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


def dipole_directions(ts: Timestep, water: Water) -> np.ndarray:
    """Return the dipole direction of each molecule [M, 3].

    It is the unit vector from O to the midpoint of the two H, taken in the periodic images nearest
    to the O.

    Args:
        ts: the current frame.
        water: the result of :func:`water_indices`.
    """
    oxygen, first, second = water
    x = ts.positions
    bonds = minimum_image_vectors(x[oxygen], x[first], ts.dimensions)
    bonds = bonds + minimum_image_vectors(x[oxygen], x[second], ts.dimensions)
    return bonds / np.linalg.norm(bonds, axis=1, keepdims=True)


_MAX_EXTENT = 0.45  # of the cell; from 0.5 on the nearest image is not unique


class Compounds:
    """Groups of atoms with a center of mass: the residues, or all atoms as one compound.

    Args:
        group: atoms with masses.
        by: ``"residues"`` (each residue is a compound) or ``"all"`` (all atoms are one).

    Attributes:
        n: number of compounds, M.
        index: compound of each atom [N].
        indices: index of each atom in the Universe [N].
        masses: [N] in amu.

    Raises:
        PetDriverError: an unknown ``by``, or an atom without a mass.
    """

    def __init__(self, group: Atoms, by: str = "residues"):
        atoms = atoms_of(group)
        if by == "residues":
            _, self.index = np.unique(atoms.resindices, return_inverse=True)
        elif by == "all":
            self.index = np.zeros(len(atoms), int)
        else:
            raise PetDriverError(f"by must be 'residues' or 'all', not {by!r}")
        self.indices = atoms.indices
        self.masses = np.asarray(atoms.masses, np.float64)
        if (self.masses <= 0).any():
            raise PetDriverError("an atom has no mass; give masses= to water_universe")
        self.n = int(self.index.max()) + 1
        self._by = by
        _, self._first = np.unique(self.index, return_index=True)
        self._total = self.sum(self.masses[:, None])

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sums [M, k] of per-atom values [N, k] over each compound."""
        columns = [np.bincount(self.index, column, self.n) for column in values.T]
        return np.stack(columns, axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mass-weighted means [M, 3] of per-atom values [N, 3] over each compound."""
        return self.sum(values * self.masses[:, None]) / self._total

    def centered_positions(self, ts: Timestep) -> np.ndarray:
        """Return the unwrapped position of each atom relative to the center of mass.

        Each atom is taken in the periodic image nearest to the first atom of its compound, so a
        compound must be smaller than half the cell.

        Args:
            ts: the current frame.

        Returns:
            Positions [N, 3] in A.

        Raises:
            PetDriverError: all atoms are one compound that extends through the cell, so that its
                center of mass is not defined.
        """
        x = ts.positions[self.indices]
        arms = minimum_image_vectors(x[self._first][self.index], x, ts.dimensions)
        if self._by == "all" and ts.dimensions is not None:
            extent = np.abs(arms @ np.linalg.inv(ts.triclinic_dimensions.astype(np.float64))).max()
            if extent > _MAX_EXTENT:
                raise PetDriverError(
                    f"frame {ts.frame}: the atoms extend through the periodic cell, so that the "
                    "center of mass of all of them is not defined; use by='residues'"
                )
        return arms - self.mean(arms)[self.index]
