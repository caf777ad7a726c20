"""Angular momentum of molecules: conserved where forces are equivariant."""

from __future__ import annotations

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup

from pet_driver.analysis.base import FrameAnalysis, Molecules, atoms_of
from pet_driver.analysis.units import AMU_A2_PS_TO_EV_FS
from pet_driver.errors import PetDriverError


class AngularMomentum(FrameAnalysis):
    """L = sum_i m_i (r_i - R) x (v_i - V) of each molecule about its centre of mass.

    Figure 1a of Langer, Pozdnyakov, Ceriotti, Mach. Learn.: Sci. Technol. 5 (2024) 04LT01. What is
    kept grows with F M, for F frames and M bodies; no other memory grows with the run.

    Args:
        group: atoms with masses and velocities (``water_universe(..., velocities=...)``).
        by: ``"residues"``: each molecule; ``"all"``: the whole group as one body.

    Attributes:
        times: [F] in ps.
        results.angular_momentum: [F, M, 3] in eV fs.
        results.modulus: [F, M] in eV fs.
        results.angular_momentum_amu: [F, M, 3] in amu A^2/fs.
        results.modulus_amu: [F, M] in amu A^2/fs.
    """

    def __init__(self, group, by: str = "residues", **kwargs):
        super().__init__(atoms_of(group).universe.trajectory, **kwargs)
        if not self._trajectory.ts.has_velocities:
            raise PetDriverError(
                f"{self._trajectory.filename}: has no velocities; "
                "give velocities= the file that holds them"
            )
        self._molecules = Molecules(group, by)

    def _prepare(self) -> None:
        self.results.angular_momentum = np.empty((self.n_frames, self._molecules.n, 3))

    def _single_frame(self) -> None:
        bodies, ts = self._molecules, self._ts
        arms = bodies.whole(ts)
        v = ts.velocities[bodies.indices].astype(np.float64)
        v -= bodies.mean(v)[bodies.body]
        moments = np.cross(arms, v) * bodies.masses[:, None]
        self.results.angular_momentum[self._frame_index] = bodies.sum(moments)

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"angular_momentum": np.concatenate})

    def _conclude(self) -> None:
        in_ps = self.results.angular_momentum  # amu A^2/ps
        self.results.angular_momentum_amu = in_ps * 1.0e-3
        self.results.angular_momentum = in_ps * AMU_A2_PS_TO_EV_FS
        self.results.modulus = np.linalg.norm(self.results.angular_momentum, axis=2)
        self.results.modulus_amu = np.linalg.norm(self.results.angular_momentum_amu, axis=2)
