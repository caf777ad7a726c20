"""Angular momentum and torque of rigid bodies; radius of gyration compared with i-PI."""

import numpy as np
import pytest

from pet_driver.analysis import (
    AngularMomentum,
    RingPolymerGyration,
    Torque,
    TrajectoryFile,
    water_universe,
)
from pet_driver.analysis.units import AMU_A2_PS_TO_EV_FS, EV_TO_KJ_MOL
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import lattice_water, memory_water

MASSES = np.array([15.9994, 1.00794, 1.00794])


def free_rotor(omega=(3.0, -2.0, 5.0), drift=(4.0, 0.0, -7.0), frames=40, box=8.0):
    """Simulate a free rigid rotor (Euler's equations), wrapped into the cell.

    Returns:
        The Universe, and the conserved angular momentum about the center of mass in amu A^2/ps.
    """
    x = lattice_water(1, 1.0)
    x = x - MASSES @ x / MASSES.sum()
    omega = np.array(omega)
    momentum = sum(m * np.cross(r, np.cross(omega, r)) for m, r in zip(MASSES, x, strict=True))
    dt, positions, velocities = 0.001, [], []
    for k in range(frames * 10):
        inertia = sum(
            m * (r @ r * np.eye(3) - np.outer(r, r)) for m, r in zip(MASSES, x, strict=True)
        )
        omega = np.linalg.solve(inertia, momentum)
        if k % 10 == 0:
            positions.append((x + np.array(drift) * k * dt) % box)
            velocities.append(np.cross(omega, x) + drift)
        # midpoint method; exact rotations keep the body rigid
        middle = rotation(omega * dt / 2) @ x.T
        inertia = sum(
            m * (r @ r * np.eye(3) - np.outer(r, r)) for m, r in zip(MASSES, middle.T, strict=True)
        )
        x = (rotation(np.linalg.solve(inertia, momentum) * dt) @ x.T).T
    u = memory_water(np.array(positions), box, velocities=np.array(velocities, np.float32))
    return u, momentum


def rotation(vector):
    angle = np.linalg.norm(vector)
    k = np.cross(np.eye(3), vector / angle)
    return np.eye(3) - np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


@pytest.mark.parametrize("by", ["residues", "all"])
def test_angular_momentum_of_a_free_rotor(by):
    u, momentum = free_rotor()
    run = AngularMomentum(u, by=by).run()
    expected = np.broadcast_to(momentum * AMU_A2_PS_TO_EV_FS, (40, 1, 3))
    scale = np.linalg.norm(expected[0, 0])
    np.testing.assert_allclose(run.results.angular_momentum, expected, atol=1e-5 * scale)
    np.testing.assert_allclose(run.results.modulus, scale, rtol=1e-5)
    np.testing.assert_allclose(run.results.modulus_amu, np.linalg.norm(momentum) * 1e-3, rtol=1e-5)
    np.testing.assert_allclose(run.times, np.arange(40) * 0.01, atol=1e-12)


def test_units_of_angular_momentum():
    """The factor is 1 amu A^2/ps in kg m^2/s, divided by 1 eV fs in J s."""
    si = 1.66053906660e-27 * 1e-20 / 1e-12
    assert pytest.approx(si / (1.602176634e-19 * 1e-15), rel=1e-12) == AMU_A2_PS_TO_EV_FS


def test_torque_of_a_known_force():
    x = lattice_water(1, 1.0)[None]
    force = np.array([[[0.1, 0, 0], [0, 0.2, 0], [0, 0, -0.3]]])
    u = memory_water(x, 8.0, forces=(force * EV_TO_KJ_MOL).astype(np.float32))
    arms = x[0] - MASSES @ x[0] / MASSES.sum()
    expected = np.cross(arms, force[0]).sum(axis=0)
    result = Torque(u).run().results
    np.testing.assert_allclose(result.torque[0, 0], expected, atol=1e-6)
    assert result.rms == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_torque_of_a_real_run(ipi_run):
    u = water_universe(ipi_run / "run.bpos_0.bin", forces=ipi_run / "run.fatomic_0.xyz")
    run = Torque(u).run()
    ts = u.trajectory[3]
    x, f = ts.positions.astype(float), ts.forces.astype(float) / EV_TO_KJ_MOL
    center = u.atoms.masses @ x / u.atoms.masses.sum()
    np.testing.assert_allclose(
        run.results.torque[3, 0], np.cross(x - center, f).sum(axis=0), atol=1e-5
    )


def test_missing_velocities_forces_or_beads(ipi_run):
    u = water_universe(ipi_run / "run.pos_0.xyz")
    for analysis in (AngularMomentum, Torque):
        with pytest.raises(PetDriverError, match=r"give (velocities|forces)="):
            analysis(u)
    with pytest.raises(PetDriverError, match="centroid=True"):
        RingPolymerGyration(u)


def test_gyration_equals_that_of_ipi(ipi_run):
    u = water_universe(ipi_run / "run.bpos_0.bin", centroid=True)
    run = RingPolymerGyration(u).run()
    written = TrajectoryFile(ipi_run / "run.gyration.xyz")
    squares = np.mean([(written[k][0] ** 2).sum(axis=1) for k in range(len(written))], axis=0)
    np.testing.assert_allclose(run.results.by_atom, np.sqrt(squares), rtol=1e-5)
    assert run.results.elements == ["H", "O"]
    np.testing.assert_allclose(run.results.radius**2, [squares[1:].mean(), squares[0]], rtol=1e-5)
    assert squares.min() > 1e-6
