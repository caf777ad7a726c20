"""MDAnalysis' reader of LAMMPS dumps, for runs that were restarted or cut short."""

from __future__ import annotations

import os
import re
import warnings

import numpy as np
from MDAnalysis.coordinates.LAMMPS import DumpReader

from pet_driver.analysis.memory_map import mapped
from pet_driver.errors import PetDriverError

_HEAD = re.compile(rb"ITEM: TIMESTEP\s+(\d+)\s+ITEM: NUMBER OF ATOMS\s+(\d+)\s")


class RestartedDumpReader(DumpReader):
    """``LAMMPSDUMP`` with frames that a restarted run wrote again counted once, the later ones.

    A frame that breaks off is left out with a warning. Format "RESTARTEDDUMP"; the keywords are
    those of MDAnalysis' ``DumpReader``.

    Raises:
        PetDriverError: an empty file, or one without a whole frame.
    """

    format = "RESTARTEDDUMP"

    @property
    def n_frames(self) -> int:
        """The number of frames that count."""
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
                    f"{self.filename}: frame {following} holds {name} that are not finite; "
                    "the run went wrong there"
                )
        return ts


def scan_dump(path: str | os.PathLike) -> np.ndarray:
    """Byte offsets [F] of the frames of a dump that count.

    Raises:
        PetDriverError: an empty file, or one without a whole frame.
    """
    name = os.fspath(path)
    with mapped(path) as data:
        heads = list(_HEAD.finditer(data))
        kept: list[tuple[int, int]] = []
        broken = 0
        for k, head in enumerate(heads):
            step, n_atoms = int(head[1]), int(head[2])
            stop = heads[k + 1].start() if k + 1 < len(heads) else len(data)
            while kept and kept[-1][0] >= step:
                kept.pop()
            if _whole(data[head.start() : stop], n_atoms):
                kept.append((step, head.start()))
            else:
                broken += 1
    if not kept:
        raise PetDriverError(f"{name}: holds no whole frame; is this a text dump of LAMMPS?")
    if broken:
        warnings.warn(f"{name}: {broken} frame breaks off; it is left out", stacklevel=3)
    return np.array([offset for _, offset in kept])


def _whole(block: bytes, n_atoms: int) -> bool:
    atoms = block.find(b"ITEM: ATOMS")
    body = block.find(b"\n", atoms) + 1
    if atoms < 0 or body == 0 or not block.endswith(b"\n"):
        return False
    return block.count(b"\n", body) == n_atoms
