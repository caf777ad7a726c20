"""Angular momentum of molecules: conserved if the forces are rotationally equivariant."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import (
    Atoms,
    Compounds,
    FrameAnalysis,
    atoms_of,
    check_velocities,
)
from pet_driver.analysis.units import AMU_A2_PS_TO_EV_FS


class AngularMomentum(FrameAnalysis):
    """Angular momentum of each molecule about its center of mass.

    Computes ``L = sum_i m_i (r_i - R) x (v_i - V)`` with the position ``R`` and the velocity ``V``
    of the center of mass. Figure 1a of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5
    (2024) 04LT01. No memory but that of the results grows with the run.

    Args:
        group: atoms with masses and velocities (``water_universe(..., velocities=...)``).
        by: ``"residues"`` for the angular momentum of each molecule, ``"all"`` for that of the
            whole group.

    Attributes:
        times: [F] in ps.
        results.angular_momentum: [F, M, 3] in eV fs, for F frames and M molecules.
        results.modulus: [F, M] in eV fs.
        results.angular_momentum_amu: [F, M, 3] in amu A^2/fs.
        results.modulus_amu: [F, M] in amu A^2/fs.

    Raises:
        PetDriverError: the trajectory has no velocities, or an atom has no mass.
    """

    def __init__(self, group: Atoms, by: str = "residues", **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, **kwargs)
        check_velocities(self._trajectory)
        self._compounds = Compounds(group, by)

    def _prepare(self) -> None:
        self.results.angular_momentum = np.empty((self.n_frames, self._compounds.n, 3))

    def _single_frame(self) -> None:
        compounds, ts = self._compounds, self._ts
        v = ts.velocities[compounds.indices].astype(np.float64)
        v -= compounds.mean(v)[compounds.index]
        moments = np.cross(compounds.centered_positions(ts), v) * compounds.masses[:, None]
        self.results.angular_momentum[self._frame_index] = compounds.sum(moments)

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"angular_momentum": np.concatenate})

    def _conclude(self) -> None:
        in_ps = self.results.angular_momentum  # amu A^2/ps
        self.results.angular_momentum_amu = in_ps * 1.0e-3
        self.results.angular_momentum = in_ps * AMU_A2_PS_TO_EV_FS
        self.results.modulus = np.linalg.norm(self.results.angular_momentum, axis=2)
        self.results.modulus_amu = np.linalg.norm(self.results.angular_momentum_amu, axis=2)
