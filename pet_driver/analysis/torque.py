"""Torque on molecules: zero for an isolated molecule if the energy is rotationally invariant."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import Atoms, Compounds, FrameAnalysis, atoms_of
from pet_driver.analysis.units import EV_TO_KJ_MOL
from pet_driver.errors import PetDriverError


class Torque(FrameAnalysis):
    """Torque on each molecule about its center of mass.

    Computes ``tau = sum_i (r_i - R) x F_i`` with the center of mass ``R``. Figure 1b of Langer,
    Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01.

    Args:
        group: atoms with masses and forces (``water_universe(..., forces=...)``).
        by: ``"residues"`` for the torque on each molecule, ``"all"`` for the torque on the whole
            group.

    Attributes:
        results.torque: [F, M, 3] in eV, for F frames and M molecules.
        results.modulus: [F, M] in eV.
        results.rms: root mean square of the modulus over frames and molecules, in eV.

    Raises:
        PetDriverError: the trajectory has no forces, or an atom has no mass.
    """

    def __init__(self, group: Atoms, by: str = "residues", **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, **kwargs)
        if not self._trajectory.ts.has_forces:
            raise PetDriverError(
                f"{self._trajectory.filename}: has no forces; give forces= the file that holds them"
            )
        self._compounds = Compounds(group, by)

    def _prepare(self) -> None:
        self.results.torque = np.empty((self.n_frames, self._compounds.n, 3))

    def _single_frame(self) -> None:
        compounds, ts = self._compounds, self._ts
        forces = ts.forces[compounds.indices].astype(np.float64) / EV_TO_KJ_MOL
        moments = np.cross(compounds.centered_positions(ts), forces)
        self.results.torque[self._frame_index] = compounds.sum(moments)

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"torque": np.concatenate})

    def _conclude(self) -> None:
        self.results.modulus = np.linalg.norm(self.results.torque, axis=2)
        self.results.rms = float(np.sqrt((self.results.modulus**2).mean()))
