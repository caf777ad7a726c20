"""The matrices of the coloured-noise thermostats have the predicted effect on an oscillator.

A harmonic oscillator of frequency omega with momenta p and s obeys dx = -M x dt + noise for
x = (omega q, p, s); M holds the drift matrix A and the harmonic motion of (omega q, p). Covariances
and correlation times follow from Lyapunov equations: Ceriotti, Bussi and Parrinello, J. Chem.
Theory Comput. 6 (2010) 1170.
"""

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from ase import units
from scipy.linalg import solve_continuous_lyapunov

INPUTS = Path(__file__).parents[2] / "inputs"
PIMD = INPUTS / "water-liquid-pimd"
BEADS, TEMPERATURE = 8, 300.0
PER_CM = units.invcm / units.Hartree  # of an angular frequency, in inverse atomic time
PER_K = units.kB / units.Hartree


def motion(drift: np.ndarray, omega: float) -> np.ndarray:
    """Return the matrix M of (omega q, p, s)."""
    n = len(drift) + 1
    matrix = np.zeros((n, n))
    matrix[1:, 1:] = drift
    matrix[0, 1], matrix[1, 0] = -omega, omega
    return matrix


def efficiency(drift: np.ndarray, omega: float) -> float:
    """Return kappa = 1 / (omega tau) for C = kT.

    tau is the correlation time of the potential energy.
    """
    start = np.zeros(len(drift) + 1)
    start[0] = 1.0
    integral = solve_continuous_lyapunov(motion(drift, omega), np.outer(start, start))
    return 1.0 / (omega * integral[0, 0])


def stationary(drift: np.ndarray, covariance: np.ndarray, omega: float) -> np.ndarray:
    """Return the covariance [n, n] of (omega q, p, s), in the unit of ``covariance``."""
    noise = np.zeros((len(drift) + 1,) * 2)
    noise[1:, 1:] = drift @ covariance + covariance @ drift.T
    return solve_continuous_lyapunov(motion(drift, omega), noise)


def molecule_drift() -> np.ndarray:
    tree = ElementTree.parse(INPUTS / "water-molecule-nvt" / "ipi-gle.xml")
    text = tree.find(".//thermostat[@mode='gle']/A").text
    return np.array(text.strip(" []\n").split(","), float).reshape(5, 5)


def piglet() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.loadtxt(PIMD / f"piglet-8.{name}").reshape(8, 9, 9) for name in "ac")


def test_efficiency_of_white_noise_equals_theory():
    """tau = 1 / 2 gamma + gamma / 2 omega^2; kappa is 1 at gamma = omega."""
    for gamma in (0.3, 1.0, 5.0):
        tau = 0.5 / gamma + 0.5 * gamma / 0.7**2
        assert efficiency(np.array([[gamma]]), 0.7) == pytest.approx(1 / (0.7 * tau))
    assert efficiency(np.array([[0.7]]), 0.7) == pytest.approx(1.0)


def test_optimal_sampling_is_efficient_for_all_modes():
    """It is stable, canonical, and within a factor of three of the optimum of each mode."""
    drift = molecule_drift()
    assert np.linalg.eigvals(drift).real.min() > 0
    assert np.linalg.eigvalsh(drift + drift.T).min() > 0  # noise of C = kT
    frequencies = np.geomspace(0.4, 4000.0, 60) * PER_CM
    kappa = [efficiency(drift, omega) for omega in frequencies]
    assert 0.35 < min(kappa) < max(kappa) < 0.45
    # the white noise of ipi.xml, in the same folder, reaches a tenth of that at both ends
    langevin = np.array([[1.0 / (100.0e-15 / units._aut)]])
    assert max(efficiency(langevin, omega) for omega in frequencies[[0, -1]]) < 0.05
    free = stationary(drift, np.eye(5), 500 * PER_CM)
    np.testing.assert_allclose(free, np.eye(6), atol=1e-10)


def test_piglet_is_stable():
    drift, covariance = piglet()
    assert np.linalg.eigvals(drift).real.min() > 0
    np.testing.assert_allclose(covariance, covariance.transpose(0, 2, 1), rtol=1e-11)
    assert np.linalg.eigvalsh(covariance).min() > 0
    for a, c in zip(drift, covariance, strict=True):
        noise = a @ c + c @ a.T
        # the published digits are rounded
        assert np.linalg.eigvalsh(noise).min() > -1e-10 * np.linalg.eigvalsh(noise).max()
    np.testing.assert_allclose(covariance[0], BEADS * TEMPERATURE * np.eye(9), rtol=1e-12)


@pytest.mark.parametrize("wavenumber", [10, 100, 300, 600, 1000, 1600, 2500, 3600, 4000])
def test_piglet_gives_quantum_oscillator(wavenumber):
    """<q^2> and kinetic energy are exact to 0.05 %; 8 beads without it are wrong by up to 36 %."""
    omega, thermal = wavenumber * PER_CM, PER_K * TEMPERATURE
    springs = 2 * BEADS * thermal * np.sin(np.arange(BEADS) * np.pi / BEADS)
    modes = np.sqrt(omega**2 + springs**2)
    squares = [
        PER_K * stationary(a, c, mode)[0, 0] / mode**2
        for a, c, mode in zip(*piglet(), modes, strict=True)
    ]
    exact = 0.5 / omega / np.tanh(0.5 * omega / thermal)
    assert np.mean(squares) == pytest.approx(exact, rel=5e-4)
    variance = np.mean(squares) - squares[0] / BEADS  # of the beads about their centroid
    kinetic = 0.5 * thermal + 0.5 * omega**2 * variance
    assert kinetic == pytest.approx(0.5 * omega**2 * exact, rel=5e-4)
    if wavenumber == 4000:
        plain = np.mean(BEADS * thermal / modes**2)
        assert plain < 0.65 * exact


def test_piglet_files_equal_output_of_their_script():
    written = runpy.run_path(str(PIMD / "make_thermostat.py"))["piglet"](TEMPERATURE)
    for stored, fresh in zip(piglet(), written, strict=True):
        np.testing.assert_allclose(stored, fresh, rtol=1e-12)
