"""MDAnalysis reader and topology parser for the trajectories of i-PI.

Importing this module registers the formats "IPI" and "EXTXYZ"::

    import pet_driver.analysis
    u = MDAnalysis.Universe("run.pos_0.xyz", format="IPI", velocities="run.vel_0.xyz")
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.core.topology import Topology
from MDAnalysis.core.topologyattrs import (
    Atomids,
    Atomnames,
    Atomtypes,
    Elements,
    Masses,
    Resids,
    Resnums,
    Segids,
)
from MDAnalysis.lib.util import store_init_arguments
from MDAnalysis.topology.base import TopologyReaderBase

from pet_driver.analysis.ipi_file import TrajectoryFile
from pet_driver.analysis.properties import find_timestep
from pet_driver.analysis.run_files import bead_files, check_timestep
from pet_driver.common.labels import element_of, mass_of
from pet_driver.errors import PetDriverError

PathLike = str | os.PathLike


class IPIReader(ReaderBase):
    """MDAnalysis reader of i-PI's trajectories in the formats xyz, ase (extxyz), pdb and bin.

    The time step is read from the run's ``.out`` file if it has the columns step and time and is in
    the same folder. LAMMPS' ``dump extxyz`` has the times in its comments; their unit, ps or fs, is
    the one that gives a time step of some fs.

    Positions are in A, cells in A and degrees, times in ps; ``ts.data["step"]`` is the step.
    MDAnalysis stores 32-bit floats. i-PI does not wrap positions by default; centroids are averages
    of the positions in the files.

    Args:
        filename: file with the positions (``positions`` or ``x_centroid``) of one bead.
        timestep: time step of the run in fs, for time = step x timestep. It must agree with the
            ``.out`` file if there is one.
        dt: time between the first two frames in ps, used if neither ``timestep`` nor a ``.out``
            file is given.
        velocities: file with the velocities; they are converted to A/ps.
        forces: file with the forces; they are converted to kJ/(mol A), MDAnalysis' unit.
        centroid: ``True`` averages over the files of all beads in the folder of ``filename`` (also
            for velocities and forces); a list gives the position files of all beads. The beads are
            stored in ``ts.data["beads"]`` [P, N, 3] in A.
        duplicates: ``"drop"`` (default) counts frames that a restarted run wrote again once, with
            their later values; ``"keep"`` returns all frames.
        units: unit of the positions and the cell in files without marks of units, see
            :class:`TrajectoryFile`.

    Raises:
        PetDriverError: missing, empty or damaged files, unknown units, a contradictory time step,
            or files of velocities, forces or beads whose steps do not match.
    """

    format = ("IPI", "EXTXYZ")
    units: ClassVar = {"time": "ps", "length": "Angstrom", "velocity": "Angstrom/ps"}

    @store_init_arguments
    def __init__(
        self,
        filename: PathLike,
        timestep: float | None = None,
        velocities: PathLike | None = None,
        forces: PathLike | None = None,
        centroid: bool | Sequence[PathLike] = False,
        duplicates: str = "drop",
        units: str | None = None,
        **kwargs,
    ):
        super().__init__(filename, **kwargs)
        self._beads = _open_beads(self.filename, centroid, "length", duplicates, units)
        self._found_beads = centroid is True  # by their names, not given one by one
        several = len(self._beads) > 1 or bool(centroid)
        self._additional = {
            name: _open_beads(path, several, dimension, duplicates)
            for name, path, dimension in (
                ("velocities", velocities, "velocity"),
                ("forces", forces, "force"),
            )
            if path is not None
        }
        self._keep_beads = several
        self.n_atoms = self._beads[0].n_atoms
        self._match_frames()
        self._set_times(timestep, kwargs.get("dt"))
        self.ts = self._Timestep(
            self.n_atoms,
            velocities="velocities" in self._additional,
            forces="forces" in self._additional,
            **self._ts_kwargs,
        )
        self._read_frame(0)

    def _match_frames(self) -> None:
        """Find the frame of each file that belongs to each frame of the trajectory, by step."""
        main = self._beads[0]
        files = [f for group in (self._beads, *self._additional.values()) for f in group]
        n_frames = len(main)
        if self._found_beads:
            _check_lengths(self._beads)
        for other in files[1:]:
            if other.n_atoms != self.n_atoms:
                raise PetDriverError(
                    f"{other.path}: {other.n_atoms} atoms where {main.path} has {self.n_atoms}"
                )
            n_frames = min(n_frames, _common_frames(main, other))
        if n_frames < len(main):
            warnings.warn(
                f"{main.path}: the last {len(main) - n_frames} frames are left out, because a file "
                "of velocities, forces or beads ends before them",
                stacklevel=5,
            )
        self.n_frames = n_frames
        self.steps = main.steps[:n_frames]
        self._frame_of = {f.path: _frames_at(f, self.steps) for f in files}

    def _set_times(self, timestep: float | None, dt: float | None) -> None:
        self._times: np.ndarray | None = None
        known = self.steps[0] >= 0
        found = find_timestep(self.filename) if known else None
        if timestep is not None and found is not None and abs(timestep / found - 1) > 1e-3:
            raise PetDriverError(
                f"{self.filename}: timestep={timestep:g} fs, but the run's .out file in its folder "
                f"says {found:g} fs; leave timestep out"
            )
        if found is not None:
            check_timestep(self.filename, found)
        times = self._beads[0].times
        if times is not None and timestep is None and dt is None:
            self._set_times_of_lammps(times)
            return
        if times is not None and timestep is not None:
            self._check_times(times, timestep)
        if timestep is None and dt is None and known:
            if found is None:
                warnings.warn(
                    f"{self.filename}: no .out file with step and time in its folder; "
                    "times count frames as 1 ps. Give timestep= (fs)",
                    stacklevel=5,
                )
            timestep = found
        if timestep is not None and not known:
            raise PetDriverError(
                f"{self.filename}: has no steps; give dt= (ps) instead of timestep"
            )
        if timestep is not None and timestep <= 0:
            raise PetDriverError(f"timestep must be positive, not {timestep} fs")
        gap = int(self.steps[1] - self.steps[0]) if self.n_frames > 1 else 1
        if timestep is None and known and gap > 0:
            # a time step rather than a constant dt, so that missing frames leave a gap in time
            timestep = (1.0 if dt is None else dt) * 1.0e3 / gap
        self.timestep = timestep
        if timestep is not None:
            self._ts_kwargs["dt"] = float(gap * timestep * 1.0e-3)

    def _check_times(self, times: np.ndarray, timestep: float) -> None:
        """Raise PetDriverError if the times of LAMMPS are not those of a time step in fs."""
        expected = self.steps * timestep * 1.0e-3
        if np.abs(times[: self.n_frames] - expected).max() > 1e-3 * expected.max():
            raise PetDriverError(
                f"{self.filename}: timestep={timestep:g} fs, but its comments say other times, up "
                f"to {times[self.n_frames - 1]:g} ps; leave timestep out"
            )

    def _set_times_of_lammps(self, times: np.ndarray) -> None:
        """Use the times of a ``dump extxyz`` of LAMMPS, whose time step may change."""
        self.timestep, self._times = None, times
        if self.n_frames > 1:
            self._ts_kwargs["dt"] = float(times[1] - times[0])

    @classmethod
    def parse_n_atoms(cls, filename: PathLike, **kwargs) -> int:
        """Return the number of atoms of the first frame."""
        return TrajectoryFile(filename, units="automatic").n_atoms

    def _read_frame(self, frame: int):
        ts = self.ts
        step = int(self.steps[frame])
        positions, cell = self._average(self._beads, frame, beads=self._keep_beads)
        ts.positions, ts.dimensions = positions, cell
        for name, group in self._additional.items():
            setattr(ts, name, self._average(group, frame)[0])
        ts.frame = frame
        if step >= 0:
            ts.data["step"] = step
        if self._times is not None:
            ts.data["time"] = float(self._times[frame])
        elif self.timestep is not None:
            ts.data["time"] = step * self.timestep * 1.0e-3
        return ts

    def _average(self, group: list[TrajectoryFile], frame: int, beads: bool = False):
        read = [f[int(self._frame_of[f.path][frame])] for f in group]
        if len(read) == 1 and not beads:
            return read[0]
        values = np.array([values for values, _ in read])
        if beads:
            self.ts.data["beads"] = values
        return values.mean(axis=0), read[0][1]

    def _read_next_timestep(self, ts=None):
        following = self.ts.frame + 1
        if following >= self.n_frames:
            raise EOFError
        return self._read_frame(following)

    def _reopen(self) -> None:
        self.ts.frame = -1

    def close(self) -> None:
        """Close the files; the next access opens them again."""
        for group in (getattr(self, "_beads", []), *getattr(self, "_additional", {}).values()):
            for file in group:
                file.close()


def _open_beads(
    path, centroid, dimension: str, duplicates: str, units: str | None = None
) -> list[TrajectoryFile]:
    if isinstance(centroid, bool):
        paths = bead_files(path) if centroid else [path]
    else:
        paths = [os.fspath(p) for p in centroid]
    files = [TrajectoryFile(p, duplicates, units) for p in paths]
    for file in files:
        if file.dimension != dimension:
            raise PetDriverError(
                f"{file.path}: contains {file.quantity}, not {_QUANTITY[dimension]}; give the "
                "positions as the trajectory, and the other files as velocities= and forces="
            )
    return files


_QUANTITY = {"length": "positions", "velocity": "velocities", "force": "forces"}


def _check_lengths(beads: list[TrajectoryFile]) -> None:
    """Raise PetDriverError if some beads have many more frames, as those of an earlier run."""
    shortest, longest = (choose(beads, key=len) for choose in (min, max))
    if len(longest) > len(shortest) + 1:  # a killed run may write one frame of some beads only
        raise PetDriverError(
            f"{longest.path}: {len(longest)} frames, where {shortest.path} has {len(shortest)}: "
            "one of them is left from another run; remove it, or give centroid=[files of all beads]"
        )


def _common_frames(main: TrajectoryFile, other: TrajectoryFile) -> int:
    """Return how many frames of ``main``, from the first one on, ``other`` has too."""
    if main.steps[0] < 0 or other.steps[0] < 0:
        return min(len(main), len(other))
    there = np.isin(main.steps, other.steps)
    n = len(main) if there.all() else int(np.argmin(there))
    # a file that only ends earlier has no later step
    if n == 0 or (n < len(main) and other.steps.max() > main.steps[n]):
        raise PetDriverError(
            f"{other.path}: lacks step {main.steps[n]} of {main.path}; "
            "write both with the same stride"
        )
    return n


def _frames_at(file: TrajectoryFile, steps: np.ndarray) -> np.ndarray:
    if steps[0] < 0 or file.steps[0] < 0:
        return np.arange(len(steps))
    # duplicates="keep" leaves steps out of order; then frames are matched by number
    if (np.diff(file.steps) <= 0).any():
        return np.arange(len(steps))
    return np.searchsorted(file.steps, steps)


class IPIParser(TopologyReaderBase):
    """MDAnalysis topology parser: names, elements and masses of the first frame.

    Elements and masses are those of i-PI, with its labels of isotopes: D is an H of 2.0141 amu. All
    atoms are one residue; see :func:`pet_driver.analysis.water_universe` for molecules as residues.
    """

    format = ("IPI", "EXTXYZ")

    def parse(self, **kwargs) -> Topology:
        """Return the topology; keywords of the reader are ignored."""
        with warnings.catch_warnings():  # the reader gives the same warning
            warnings.simplefilter("ignore")
            file = TrajectoryFile(Path(self.filename), units="automatic")
        names = np.array(file.names, dtype=object)
        n_atoms = file.n_atoms
        attributes = [
            Atomnames(names),
            Atomtypes(names.copy()),
            Elements(np.array([element_of(name) for name in names], dtype=object)),
            Masses(np.array([mass_of(name) for name in names])),
            Atomids(np.arange(n_atoms) + 1),
            Resids(np.array([1])),
            Resnums(np.array([1])),
            Segids(np.array(["SYSTEM"], dtype=object)),
        ]
        return Topology(n_atoms, 1, 1, attrs=attributes)
