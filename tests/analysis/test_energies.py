"""Quantum kinetic energies, files of extras, and the equivariance error along a run."""

import warnings

import numpy as np
import pytest
from scipy.signal import lfilter

from pet_driver.analysis import (
    EquivarianceError,
    ExtrasFile,
    LAMMPSLog,
    PropertyFile,
    TrajectoryFile,
    equivariance_error,
    power_spectrum,
    quantum_kinetic_energy,
    water_universe,
)
from pet_driver.analysis.units import BOLTZMANN_EV, EV_TO_KJ_MOL
from pet_driver.errors import PetDriverError

FRAMES = 400
TIME = np.arange(FRAMES) * 2e-3  # ps


def properties(folder, columns: dict[str, np.ndarray], name="run.out"):
    """Write a property file like i-PI's, a row every 4 steps of 0.5 fs."""
    columns = {"step": np.arange(FRAMES) * 4.0, "time{picosecond}": TIME} | columns
    head = "".join(
        f"# column   {k + 1}     --> {what} : words.\n" for k, what in enumerate(columns)
    )
    rows = np.column_stack(list(columns.values()))
    body = "".join(" ".join(f"{v:16.8e}" for v in row) + "\n" for row in rows)
    (folder / name).write_text(head + body)
    return folder / name


def extras(folder, bead: int, raw, rotation_std, steps=None):
    """Write a file of extras like i-PI's."""
    steps = np.arange(FRAMES) * 4 if steps is None else steps
    text = "".join(
        f" #EXTRAS(raw_energy_ev,rotation_std_ev)# Step:  {step:10d} \n {a:.12e}   {b:.12e}\n"
        for step, a, b in zip(steps, raw, rotation_std, strict=True)
    )
    (folder / f"run.rotations_{bead}").write_text(text)
    return folder / f"run.rotations_{bead}"


def noise(seed: int, length: float = 20.0) -> np.ndarray:
    """Return a series with unit variance whose correlation decays within ``length`` samples."""
    decay = np.exp(-1.0 / length)
    white = np.random.default_rng(seed).normal(size=FRAMES)
    white[1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], white)


def test_kinetic_energy_by_element(tmp_path):
    """The errors of correlated series agree with the deviations of many runs."""
    scaled = []
    for seed in range(40):
        h, o = (0.15 + 0.01 * noise(seed)) * 128, (0.06 + 0.002 * noise(seed + 99)) * 64
        path = properties(
            tmp_path,
            {"kinetic_cv{electronvolt}": h + o, "kinetic_cv(H)": h / 27.211386245988,
             "kinetic_cv(O){kelvin}": o / BOLTZMANN_EV},
        )  # fmt: skip
        found = quantum_kinetic_energy(path, {"H": 128, "O": 64})
        assert list(found) == ["all", "H", "O"]
        total = found["H"].mean * 128 + found["O"].mean * 64
        assert found["all"].mean * 192 == pytest.approx(total, rel=1e-6)
        assert 3 < found["H"].n_independent < 60
        scaled += [(found["H"].mean - 0.15) / found["H"].error,
                   (found["O"].mean - 0.06) / found["O"].error]  # fmt: skip
    assert 0.6 < np.std(scaled) < 1.7
    assert found["O"].temperature == pytest.approx(found["O"].mean / (1.5 * BOLTZMANN_EV))
    assert found["O"].excess(found["O"].temperature) == pytest.approx(0.0, abs=1e-12)
    later = quantum_kinetic_energy(path, {"H": 128, "O": 64}, start=0.4)
    assert later["H"].n_samples == FRAMES // 2


def test_kinetic_energy_is_the_centroid_virial(ipi_run):
    """The column of a real run agrees with the positions and forces of the beads."""
    u = water_universe(ipi_run / "run.bpos_0.bin", centroid=True)
    beads = [TrajectoryFile(ipi_run / f"run.bpos_{k}.bin") for k in (0, 1)]
    forces = [TrajectoryFile(ipi_run / f"run.fatomic_{k}.xyz") for k in (0, 1)]
    estimates = []
    for k in range(len(u.trajectory)):
        x = np.array([bead[k][0][0] for bead in beads])
        f = np.array([force[k][0][0] for force in forces]) / EV_TO_KJ_MOL
        virial = ((x - x.mean(axis=0)) * f).sum() / 2
        estimates.append(1.5 * BOLTZMANN_EV * 300.0 - 0.5 * virial)
    found = quantum_kinetic_energy(ipi_run / "run.out", u)
    assert found["O"].mean == pytest.approx(np.mean(estimates), rel=1e-4)
    assert abs(found["O"].excess(300.0)) > 1e-5


@pytest.mark.parametrize("labels", ["OHD", "ODD"])
def test_kinetic_energy_of_isotopes(tmp_path, labels):
    """i-PI uses the same names in its properties and its trajectories."""
    rows = zip(labels, ([0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]), strict=True)
    atoms = "".join(f"{name} {x} {y} {z}\n" for name, (x, y, z) in rows)
    head = "3\n# CELL(abcABC): 9.0 9.0 9.0 90.0 90.0 90.0 Step: 0 Bead: 0 positions{angstrom} "
    trajectory = tmp_path / "run.pos_0.xyz"
    trajectory.write_text(head + "cell{angstrom}\n" + atoms)
    universe = water_universe(trajectory, timestep=0.5)
    assert universe.atoms.elements.tolist() == ["O", "H", "H"]
    total = 0.11 * labels.count("D")
    path = properties(
        tmp_path, {"kinetic_cv(D){electronvolt}": total + 0.001 * noise(1)}, "other.out"
    )
    assert quantum_kinetic_energy(path, universe)["D"].mean == pytest.approx(0.11, abs=2e-3)


def test_errors_of_kinetic_energy(tmp_path):
    path = properties(tmp_path, {"potential{electronvolt}": np.zeros(FRAMES)})
    with pytest.raises(PetDriverError, match="no column kinetic_cv"):
        quantum_kinetic_energy(path, {"H": 2})
    path = properties(tmp_path, {"kinetic_cv(H){electronvolt}": np.ones(FRAMES)})
    with pytest.raises(PetDriverError, match="no atom of H"):
        quantum_kinetic_energy(path, {"O": 2})
    with pytest.raises(PetDriverError, match="too few"):
        quantum_kinetic_energy(path, {"H": 2}, start=0.797)
    path = properties(tmp_path, {"kinetic_cv(H){furlong}": np.ones(FRAMES)})
    with pytest.raises(PetDriverError, match="furlong"):
        quantum_kinetic_energy(path, {"H": 2})
    path = properties(tmp_path, {"kinetic_cv(H){electronvolt}": np.full(FRAMES, np.nan)})
    with pytest.raises(PetDriverError, match="not finite"):
        quantum_kinetic_energy(path, {"H": 2})


def run_with_known_error(folder, beads=1):
    """Write a run with a symmetry error of a sine of 300 cm^-1 and a constant."""
    averaged = -468.0 + 0.05 * noise(1)
    error = 2e-3 + 8e-3 * np.sin(2 * np.pi * 300.0 / 33.35640951981521 * TIME)
    path = properties(folder, {"potential{electronvolt}": averaged}, "run.out")
    averaged = PropertyFile(path)["potential"]  # with nine digits
    for bead in range(beads):
        shift = 0.01 * (bead - (beads - 1) / 2)
        extras(folder, bead, averaged + error + shift, np.full(FRAMES, 0.014))
    return folder / "run.rotations_0", error


@pytest.mark.parametrize("beads", [1, 4])
def test_equivariance_error(tmp_path, beads):
    path, error = run_with_known_error(tmp_path, beads)
    found = equivariance_error(path)
    np.testing.assert_allclose(found.error, error, atol=1e-9)
    np.testing.assert_allclose(found.time, TIME, atol=1e-9)
    np.testing.assert_array_equal(found.step, np.arange(FRAMES) * 4)
    assert found.rms == pytest.approx(np.sqrt(2e-3**2 + 8e-3**2 / 2), rel=0.01)
    assert found.mean == pytest.approx(2e-3, abs=2e-4) and found.rms_rotation_std == 0.014
    spectrum = power_spectrum(found.error, found.time[1] - found.time[0], segment=0.4)
    assert spectrum.frequency[np.argmax(spectrum.power)] == pytest.approx(300, abs=45)
    assert len(equivariance_error(path, start=0.4).error) == FRAMES // 2
    named = equivariance_error([path], tmp_path / "run.out")
    if beads == 1:
        np.testing.assert_array_equal(named.error, found.error)


def test_error_of_the_mean_equals_deviation_of_means():
    runs = [
        EquivarianceError(TIME, TIME, 1e-3 * noise(seed), np.zeros(FRAMES)) for seed in range(60)
    ]
    deviation = np.std([run.mean for run in runs])
    assert np.mean([run.mean_error for run in runs]) == pytest.approx(deviation, rel=0.4)


LOG = """LAMMPS
units {units}
timestep {timestep}
Step Time PotEng c_rotations[1] c_rotations[2]
0 0 {a} {b} {c}
10 {t} {a} {a} {c}
Loop time of 1 on 1 procs
"""


@pytest.mark.parametrize(("units", "ev"), [("metal", 1.0), ("real", 23.060548)])
def test_equivariance_error_of_lammps(tmp_path, units, ev):
    path = tmp_path / "log.lammps"
    step = {"metal": 0.0005, "real": 0.5}[units]
    path.write_text(
        LOG.format(units=units, timestep=step, t=10 * step, a=-30038.0 * ev,
                   b=(-30038.0 + 0.01) * ev, c=0.02 * ev)
    )  # fmt: skip
    found = equivariance_error(path)
    np.testing.assert_allclose(found.error, [0.01, 0.0], atol=1e-6)
    np.testing.assert_allclose(found.rotation_std, 0.02, rtol=1e-6)
    np.testing.assert_allclose(found.time, [0.0, 0.005], atol=1e-12)
    np.testing.assert_allclose(LAMMPSLog(path).energy("c_rotations[2]"), 0.02, rtol=1e-6)
    with pytest.raises(PetDriverError, match=r"c_pet\[1\]"):
        equivariance_error(path, compute="pet")


def test_extras_of_restarted_and_killed_runs(tmp_path):
    path, _ = run_with_known_error(tmp_path)
    text = path.read_text()
    complete = ExtrasFile(path)
    assert list(complete) == ["step", "raw_energy_ev", "rotation_std_ev"]
    assert complete.units["raw_energy_ev"] == "electronvolt"
    again = text.index("#EXTRAS(raw_energy_ev,rotation_std_ev)# Step:         800") - 1
    path.write_text(text + text[again:])
    np.testing.assert_array_equal(ExtrasFile(path)["raw_energy_ev"], complete["raw_energy_ev"])
    assert len(ExtrasFile(path, duplicates="keep")) == FRAMES + 200
    path.write_text(text[:-25])
    with pytest.warns(UserWarning, match="last row is incomplete"):
        assert len(ExtrasFile(path)) == FRAMES - 1
    with pytest.warns(UserWarning, match="last row is incomplete"):
        assert len(equivariance_error(path).error) == FRAMES - 1
    # killed in the middle of a row or of a header, and restarted
    for end in (text.index("Step:         820") + 30, text.index("Step:         820") - 20):
        path.write_text(text[:end] + text[again:])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*a row is incomplete where the run was restarted")
            energies = ExtrasFile(path)["raw_energy_ev"]
        np.testing.assert_array_equal(energies, complete["raw_energy_ev"])


def test_damaged_extras(tmp_path):
    path, _ = run_with_known_error(tmp_path)
    text = path.read_text()
    row = text.splitlines()[3]
    for content, message in (
        ("", "empty"),
        (text.replace(row + "\n", ""), "step 4: 0 numbers"),
        (text.replace(row, row + "\n" + row), "not a header"),
        (text.replace(row, row + " 1.0"), "step 4: 3 numbers for 2 names"),
        (text.replace(row, row[:-6] + "0.0.0"), "step 4"),
        (text.replace(row, " nan 0.0"), "not finite"),
        (text.replace("(raw_energy_ev,rotation_std_ev)# Step:           4", "(a,b)# Step: 4"),
         "extras change"),
    ):  # fmt: skip
        path.write_text(content)
        with pytest.raises(PetDriverError, match=message):
            ExtrasFile(path)
    with pytest.raises(PetDriverError, match="no such file"):
        equivariance_error(tmp_path / "absent.rotations_0")


def test_extras_must_match_the_properties(tmp_path):
    path, _ = run_with_known_error(tmp_path)
    zero = np.zeros(FRAMES)
    with pytest.raises(PetDriverError, match="none of the steps"):
        equivariance_error(extras(tmp_path, 0, zero, zero, np.arange(FRAMES) * 4 + 1))
    extras(tmp_path, 0, zero, zero)
    extras(tmp_path, 1, zero, zero, np.arange(FRAMES) * 4 + 4)
    with pytest.raises(PetDriverError, match="its steps differ"):
        equivariance_error(path)
    (tmp_path / "run.out").unlink()
    with pytest.raises(PetDriverError, match="give properties="):
        equivariance_error(path)
