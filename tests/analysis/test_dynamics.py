"""Time correlations and spectra of processes with known results."""

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_box

from pet_driver.analysis import (
    Diffusion,
    MeanSquareDisplacement,
    RotationalAutocorrelation,
    VibrationalDensityOfStates,
    power_spectrum,
)
from pet_driver.errors import PetDriverError
from tests.analysis.conftest import lattice_water, memory_water

BOX = 12.0


def walk(frames=600, step=0.1, seed=0):
    """Return a Universe of randomly moving molecules, wrapped, and the unwrapped oxygens."""
    rng = np.random.default_rng(seed)
    x = lattice_water(4, 3.0).reshape(64, 3, 3)
    path = np.cumsum(rng.normal(0, step, (frames, 64, 1, 3)), axis=0)
    positions = x + path
    return memory_water(positions.reshape(frames, -1, 3) % BOX, BOX), positions[:, :, 0]


def test_diffusion_of_a_random_walk():
    u, _ = walk()
    run = MeanSquareDisplacement(u, max_lag=1.0, remove_drift=False).run()
    expected = 3 * 0.1**2 * np.arange(101)
    assert run.results.time[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(run.results.msd, expected, rtol=0.12, atol=1e-6)
    diffusion = run.results.diffusion
    assert diffusion.coefficient == pytest.approx(0.1**2 / 0.01 / 2, rel=0.1)
    assert abs(diffusion.coefficient - 0.5) < 5 * diffusion.error
    assert diffusion.cm2_s == pytest.approx(diffusion.coefficient * 1e-4)


@pytest.mark.parametrize("drift", [False, True])
def test_msd_equals_average_over_all_pairs_of_frames(drift):
    u, path = walk(frames=60)
    if drift:
        path = path - path.mean(axis=1, keepdims=True)
    run = MeanSquareDisplacement(u, max_lag=0.2, remove_drift=drift).run()
    expected = [((path[k:] - path[: 60 - k]) ** 2).sum(-1).mean() for k in range(21)]
    np.testing.assert_allclose(run.results.msd, expected, atol=1e-5)
    assert np.isfinite(run.results.error).all()


@pytest.mark.parametrize("image", [0, 3])
def test_change_of_the_cell_alone_is_no_displacement(image):
    """With atoms at constant fractional coordinates, wrapped or in other images."""
    boxes = BOX * (1 + 0.01 * np.sin(np.arange(40)))
    fractional = lattice_water(4, 3.0).reshape(1, -1, 3) / BOX
    fractional[:, ::3] += image * np.random.default_rng(1).integers(-1, 2, (64, 3))
    u = memory_water(fractional * boxes[:, None, None], boxes)
    run = MeanSquareDisplacement(u, max_lag=0.1, remove_drift=False).run()
    assert run.results.msd.max() < 1e-8


def test_finite_size_correction():
    """About 0.03 A^2/ps for water at 298 K, 0.85 mPa s, 24.86 A."""
    correction = Diffusion(0.2, 0.01, 0, 1).finite_size_correction(298.0, 0.85, 24.86)
    assert correction == pytest.approx(1.380649e-23 * 298 * 2.837297
                                       / (6 * np.pi * 0.85e-3 * 24.86e-10) * 1e8)  # fmt: skip
    assert 0.02 < correction < 0.04


def rotors(frames=400, omega=20.0, dt=0.01):
    """Return a Universe of molecules that rotate about z, their directions u, and the speed."""
    x = lattice_water(4, 3.0).reshape(64, 3, 3)
    arms = x - x[:, :1]
    angle = omega * dt * np.arange(frames)
    c, s, zero = np.cos(angle), np.sin(angle), np.zeros(frames)
    rotation = np.array([[c, -s, zero], [s, c, zero], [zero, zero, zero + 1]]).transpose(2, 0, 1)
    positions = x[:, :1] + np.einsum("fab,mkb->fmka", rotation, arms)
    u0 = arms[:, 1] + arms[:, 2]
    u0 /= np.linalg.norm(u0, axis=1, keepdims=True)
    return memory_water(positions.reshape(frames, -1, 3) % BOX, BOX, dt=dt), u0, omega


def test_autocorrelation_of_rotors():
    u, u0, omega = rotors()
    result = RotationalAutocorrelation(u, max_lag=1.0).run().results
    z = u0[:, 2, None] ** 2
    cosine = z + (1 - z) * np.cos(omega * result.time)
    np.testing.assert_allclose(result.c1, cosine.mean(0), atol=1e-5)
    np.testing.assert_allclose(result.c2, (1.5 * cosine**2 - 0.5).mean(0), atol=2e-5)
    total = u0.sum(0)
    z = total[2] ** 2 / (total @ total)
    np.testing.assert_allclose(result.dipole, z + (1 - z) * np.cos(omega * result.time), atol=1e-4)
    assert result.kirkwood == pytest.approx(total @ total / 64, rel=1e-4)
    assert result.c1_error.max() < 1e-5  # stationary


def test_correlation_needs_evenly_spaced_frames():
    u, _, _ = rotors(frames=30)
    with pytest.raises(PetDriverError, match="evenly spaced"):
        RotationalAutocorrelation(u).run(frames=[0, 1, 2, 4, 5, 6])
    with pytest.raises(PetDriverError, match="too few"):
        RotationalAutocorrelation(u).run(stop=1)
    skipped = RotationalAutocorrelation(u, max_lag=0.1).run(step=2)
    np.testing.assert_allclose(np.diff(skipped.results.time), 0.02, atol=1e-9)


def test_spectrum_needs_evenly_spaced_frames():
    rng = np.random.default_rng(0)
    u = memory_water(rng.normal(size=(40, 6, 3)), 12.0, velocities=rng.normal(size=(40, 6, 3)))
    VibrationalDensityOfStates(u, segment=0.1).run(step=2)
    with pytest.raises(PetDriverError, match=r"frame 12 is at .* not evenly spaced"):
        VibrationalDensityOfStates(u, segment=0.1).run(frames=[*range(11), *range(12, 40, 2)])


def test_spectrum_of_a_sine():
    dt, frequency, amplitude = 0.0005, 1000.0, 0.7  # ps, cm^-1
    time = np.arange(20000) * dt
    rng = np.random.default_rng(0)
    series = 5.0 + amplitude * np.sin(2 * np.pi * frequency / 33.35640951981521 * time)
    spectrum = power_spectrum(series + rng.normal(0, 0.1, len(time)), dt, segment=2.0)
    assert spectrum.frequency[np.argmax(spectrum.power)] == pytest.approx(frequency, abs=17)
    width = spectrum.frequency[1]
    assert spectrum.power.sum() * width == pytest.approx(amplitude**2 / 2 + 0.01, rel=0.02)
    noise = spectrum.power[spectrum.frequency > 5000]
    nyquist = spectrum.frequency[-1]
    assert noise.mean() == pytest.approx(0.01 / nyquist, rel=0.05)
    with pytest.raises(PetDriverError, match="segment"):
        power_spectrum(series[:100], dt, segment=2.0)


def test_error_of_the_spectrum_of_white_noise():
    noise = np.random.default_rng(1).normal(size=50000)
    spectrum = power_spectrum(noise, 1.0, segment=500)
    inner = slice(2, -2)
    deviation = spectrum.power[inner].std()
    assert 0.5 < deviation / spectrum.error[inner].mean() < 1.6


def test_density_of_states_of_harmonic_oscillators():
    """O and H at one frequency each: two peaks with the areas of their kinetic energies."""
    frames, dt = 4000, 0.001
    kelvin = 1.66053906660e-23 / 1.380649e-23  # amu A^2/ps^2
    rng = np.random.default_rng(2)
    masses = np.tile([15.9994, 1.00794, 1.00794], 8)[:, None]
    omega = np.tile([300.0, 3400.0, 3400.0], 8)[:, None] * 2 * np.pi / 33.35640951981521
    phase = rng.uniform(0, 2 * np.pi, (24, 3))
    peak = np.sqrt(2 * 300.0 / kelvin / masses)
    time = np.arange(frames)[:, None, None] * dt
    v = peak * np.cos(omega * time + phase)
    x = lattice_water(2, 4.0) + peak / omega * np.sin(omega * time + phase)
    u = memory_water(x, 8.0, dt=dt, velocities=v.astype(np.float32))
    result = VibrationalDensityOfStates(u, segment=1.0).run().results
    step = result.frequency[1]
    assert result.power.sum() * step == pytest.approx(300.0, rel=0.01)
    low = result.frequency < 1500
    assert result.power[low].sum() * step == pytest.approx(100.0, rel=0.02)
    assert result.frequency[low][np.argmax(result.power[low])] == pytest.approx(300, abs=step)
    high = result.frequency[~low][np.argmax(result.power[~low])]
    assert high == pytest.approx(3400, abs=step)


@pytest.mark.parametrize(
    ("shear", "flips"), [(0.0, True), (0.02, True), (0.02, False), (-0.03, True), (0.15, False)]
)
def test_displacement_in_a_box_that_flips(shear, flips):
    """LAMMPS describes a sheared lattice by other vectors where its tilt exceeds half an edge."""
    random = np.random.default_rng(5)
    n_frames, n_atoms = 60, 40
    steps = random.normal(0, 0.1, (n_frames, n_atoms, 3))
    fractional = random.uniform(0, 1, (n_atoms, 3))
    path, total, frames, boxes = np.zeros((n_frames, n_atoms, 3)), 0.0, [], []
    for k in range(n_frames):
        lattice = np.array([[9.0, 0, 0], [9.0 * shear * k, 10.0, 0], [2.0 + k * 0.1, 3.0, 11.0]])
        if k > 0:
            fractional = fractional + steps[k] @ np.linalg.inv(lattice)
            total = total + steps[k]
        path[k] = total
        cell = lattice.copy()
        if flips:
            cell[1] -= np.round(cell[1, 0] / 9.0) * cell[0]
            cell[2] -= np.round(cell[2, 1] / 10.0) * cell[1]
            cell[2] -= np.round(cell[2, 0] / 9.0) * cell[0]
        inside = fractional @ lattice @ np.linalg.inv(cell)
        frames.append((inside - np.floor(inside)) @ cell)
        boxes.append(triclinic_box(*cell))
    u = mda.Universe.empty(n_atoms, trajectory=True)
    u.load_new(np.array(frames, np.float32), order="fac", dimensions=np.array(boxes), dt=0.01)
    run = MeanSquareDisplacement(u.atoms, max_lag=0.2, remove_drift=False).run()
    expected = [
        np.mean(np.sum((path[lag:] - path[: n_frames - lag]) ** 2, axis=-1)) for lag in range(21)
    ]
    np.testing.assert_allclose(run.results.msd, expected, rtol=2e-3, atol=1e-4)


def test_cell_that_changes_too_much_is_refused():
    u = mda.Universe.empty(2, trajectory=True)
    boxes = np.array([[9, 9, 9, 90, 90, 90], [9, 9, 20, 90, 90, 90]])
    u.load_new(np.zeros((2, 2, 3), np.float32), order="fac", dimensions=boxes, dt=0.01)
    with pytest.raises(PetDriverError, match="cell changed too much"):
        MeanSquareDisplacement(u.atoms).run()


@pytest.mark.parametrize(("frames", "short"), [(20, True), (400, True), (1000, False)])
def test_diffusion_of_a_short_run_is_said_to_be_wrong(frames, short):
    """The fit begins at one eighth of the run; motion is diffusive from about 1 ps on."""
    x = np.cumsum(np.random.default_rng(2).normal(0, 0.1, (frames, 24, 3)), axis=0)
    u = memory_water(x, 100.0, dt=0.01)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = MeanSquareDisplacement(u).run().results.diffusion
    assert any("not diffusive below 1 ps" in str(w.message) for w in caught) == short
    assert found.is_diffusive != short
