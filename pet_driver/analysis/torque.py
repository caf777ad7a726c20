"""Torque on molecules: zero for an isolated molecule where the energy is invariant."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import FrameAnalysis, Molecules, atoms_of
from pet_driver.analysis.units import EV_TO_KJ_MOL
from pet_driver.errors import PetDriverError


class Torque(FrameAnalysis):
    """tau = sum_i (r_i - R) x F_i on each molecule about its centre of mass R.

    Figure 1b of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    Args:
        group: atoms with masses and forces (``water_universe(..., forces=...)``).
        by: ``"residues"``: on each molecule; ``"all"``: on the whole group as one body.

    Attributes:
        results.torque: [F, M, 3] in eV, for F frames and M bodies.
        results.modulus: [F, M] in eV.
        results.rms: eV, root mean square of the modulus over frames and bodies.
    """

    def __init__(self, group, by: str = "residues", **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, **kwargs)
        if not self._trajectory.ts.has_forces:
            raise PetDriverError(
                f"{self._trajectory.filename}: has no forces; give forces= the file that holds them"
            )
        self._molecules = Molecules(group, by)

    def _prepare(self) -> None:
        self.results.torque = np.empty((self.n_frames, self._molecules.n, 3))

    def _single_frame(self) -> None:
        bodies, ts = self._molecules, self._ts
        forces = ts.forces[bodies.indices].astype(np.float64) / EV_TO_KJ_MOL
        self.results.torque[self._frame_index] = bodies.sum(np.cross(bodies.whole(ts), forces))

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"torque": np.concatenate})

    def _conclude(self) -> None:
        self.results.modulus = np.linalg.norm(self.results.torque, axis=2)
        self.results.rms = float(np.sqrt((self.results.modulus**2).mean()))
