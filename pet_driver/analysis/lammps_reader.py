"""MDAnalysis reader of LAMMPS dumps that restarted or interrupted runs have written."""

from __future__ import annotations

import os
import re
import warnings

import numpy as np
from MDAnalysis.coordinates.LAMMPS import DumpReader

from pet_driver.analysis.memory_map import open_memory_map
from pet_driver.errors import PetDriverError

_HEADER = re.compile(rb"ITEM: TIMESTEP\s+(\d+)\s+ITEM: NUMBER OF ATOMS\s+(\d+)\s")


class RestartedDumpReader(DumpReader):
    """Reader of LAMMPS dumps that counts repeated frames once.

    MDAnalysis' ``DumpReader`` returns a frame that a restarted run wrote again twice, and fails on
    an incomplete one. This reader keeps the later of two frames of one step, and leaves incomplete
    frames out with a warning. Its format is "RESTARTEDDUMP"; the keywords are those of
    ``DumpReader``.

    Raises:
        PetDriverError: an empty file, one without a complete frame, or a frame that cannot be read
            or is not finite.
    """

    format = "RESTARTEDDUMP"

    @property
    def n_frames(self) -> int:
        """Number of frames, repeated ones counted once."""
        if "offsets" not in self._cache:
            self._cache["offsets"] = scan_dump(self.filename)
        return len(self._cache["offsets"])

    @property
    def _offsets(self) -> np.ndarray:
        return self._cache["offsets"]

    def _read_next_timestep(self):
        following = self.ts.frame + 1
        if following >= self.n_frames:
            raise EOFError
        self._file.seek(int(self._offsets[following]))
        try:
            ts = super()._read_next_timestep()
        except (ValueError, IndexError) as error:
            raise PetDriverError(
                f"{self.filename}: frame {following} cannot be read: {error}"
            ) from None
        for name in ("positions", "velocities", "forces"):
            if getattr(ts, f"has_{name}") and not np.isfinite(getattr(ts, name)).all():
                raise PetDriverError(
                    f"{self.filename}: frame {following} contains {name} that are not finite; "
                    "the run failed there"
                )
        return ts


def scan_dump(path: str | os.PathLike) -> np.ndarray:
    """Return the byte offsets [F] of the complete frames of a dump, repeated ones once.

    Raises:
        PetDriverError: an empty file, or one without a complete frame.
    """
    name = os.fspath(path)
    with open_memory_map(path) as data:
        headers = list(_HEADER.finditer(data))
        kept: list[tuple[int, int]] = []
        incomplete = 0
        for k, header in enumerate(headers):
            step, n_atoms = int(header[1]), int(header[2])
            stop = headers[k + 1].start() if k + 1 < len(headers) else len(data)
            while kept and kept[-1][0] >= step:
                kept.pop()
            if _is_complete(data[header.start() : stop], n_atoms):
                kept.append((step, header.start()))
            else:
                incomplete += 1
    if not kept:
        raise PetDriverError(f"{name}: contains no complete frame; is this a text dump of LAMMPS?")
    if incomplete:
        warnings.warn(
            f"{name}: incomplete frames are left out (number: {incomplete})", stacklevel=3
        )
    return np.array([offset for _, offset in kept])


def _is_complete(block: bytes, n_atoms: int) -> bool:
    atoms = block.find(b"ITEM: ATOMS")
    body = block.find(b"\n", atoms) + 1
    if atoms < 0 or body == 0 or not block.endswith(b"\n"):
        return False
    return block.count(b"\n", body) == n_atoms
