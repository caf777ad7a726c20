"""Property files of i-PI, logs of LAMMPS, and the drift of the conserved quantity."""

import numpy as np
import pytest
from ipi.engine.properties import getall

from pet_driver.analysis import (
    LAMMPSLog,
    PropertyFile,
    conserved_drift,
    equivariance_error,
    linear_drift,
    quantum_kinetic_energy,
    water_universe,
)
from pet_driver.analysis.properties import find_timestep, property_names, restart_mask
from pet_driver.errors import PetDriverError


def test_columns_and_units(ipi_run):
    table = PropertyFile(ipi_run / "run.out")
    assert list(table) == ["step", "time", "conserved", "potential", "kinetic_cv(O)", "cell_abcABC"]
    assert table.units["potential"] == "" and table.units["kinetic_cv(O)"] == "kelvin"
    np.testing.assert_array_equal(table["step"], np.arange(0, 21, 2))
    np.testing.assert_allclose(table.time(), np.arange(0, 21, 2) * 0.5e-3)
    assert table["cell_abcABC"].shape == (11, 6)
    np.testing.assert_allclose(table.energy("potential"), table["potential"] * 27.211386, rtol=1e-7)
    raw = np.loadtxt(ipi_run / "run.out")
    np.testing.assert_array_equal(table["conserved"], raw[:, 2])
    with pytest.raises(PetDriverError, match="no column 'temperature'; it has step, time"):
        table["temperature"]


def test_repeated_rows_of_a_restart_count_once(ipi_run, restarted_run):
    complete, again = PropertyFile(ipi_run / "run.out"), PropertyFile(restarted_run / "run.out")
    assert len(PropertyFile(restarted_run / "run.out", duplicates="keep")) > len(again) == 11
    np.testing.assert_allclose(again["conserved"], complete["conserved"], rtol=1e-7)


def test_restart_mask():
    mask = restart_mask(np.array([0, 1, 2, 3, 2, 3, 1, 2, 5]))
    np.testing.assert_array_equal(np.flatnonzero(mask), [0, 6, 7, 8])


def test_damaged_property_files(ipi_run, tmp_path):
    text = (ipi_run / "run.out").read_text()
    path = tmp_path / "run.out"
    path.write_text(text[:-30])
    with pytest.warns(UserWarning, match="last row is incomplete"):
        assert len(PropertyFile(path)) == 10
    for content, message in (
        ("", "empty"),
        ("1 2 3\n", "no header"),
        (text[: text.index("\n   ")], "no complete row"),
        (text.replace("4.00000000e+00", "4.x"), "data row 3"),
    ):
        path.write_text(content)
        with pytest.raises(PetDriverError, match=message):
            PropertyFile(path)
    with pytest.raises(PetDriverError, match="no such file"):
        PropertyFile(tmp_path / "absent.out")


def test_incomplete_row_before_a_restart(ipi_run, tmp_path):
    """The run is killed within row 7, and i-PI continues from a checkpoint at row 5 or 7."""
    complete = PropertyFile(ipi_run / "run.out")
    lines = (ipi_run / "run.out").read_text().splitlines(keepends=True)
    first = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    path = tmp_path / "run.out"
    # the incomplete row and the first row after the restart are on one line
    for restart, lost in ((5, []), (7, [7])):
        path.write_text(
            "".join([*lines[: first + 7], lines[first + 7][:40]] + lines[first + restart :])
        )
        with pytest.warns(UserWarning, match="where the run was restarted"):
            found = PropertyFile(path)
        kept = np.delete(np.arange(len(complete)), lost)
        if restart == 5:  # row 5 was written before the restart as well
            np.testing.assert_array_equal(found["step"], complete["step"])
        np.testing.assert_array_equal(found["conserved"], complete["conserved"][kept])


@pytest.mark.parametrize("cut", [2, 12, 30])
def test_incomplete_last_row_is_left_out(ipi_run, lammps_run, tmp_path, cut):
    """Also if only its last number is incomplete: 3.0005 is not 3.00051."""
    for read, path in (
        (PropertyFile, ipi_run / "run.out"),
        (LAMMPSLog, lammps_run[0] / "log.lammps"),
    ):
        text = path.read_text()
        end = text.index("Loop time") if read is LAMMPSLog else len(text)
        copy = tmp_path / path.name
        copy.write_text(text[: end - cut])
        with pytest.warns(UserWarning, match="last row is incomplete"):
            found = read(copy)
        complete = read(path)
        assert len(found) == len(complete) - 1
        for name in found:
            np.testing.assert_array_equal(found[name], complete[name][:-1])


def test_time_step_of_a_prefix_with_dots(ipi_run, tmp_path):
    """Two runs in one folder have names that are equal up to the first dot."""
    for name, factor in (("nvt.250K", 2.0), ("nvt.300K", 1.0)):
        table = np.loadtxt(ipi_run / "run.out")
        table[:, 1] *= factor
        text = (ipi_run / "run.out").read_text()
        header = [line for line in text.splitlines() if line.startswith("#")]
        rows = [" ".join(f"{value:.8e}" for value in row) for row in table]
        (tmp_path / f"{name}.out").write_text("\n".join([*header, *rows]) + "\n")
    (tmp_path / "nvt.out").write_text((tmp_path / "nvt.300K.out").read_text())
    assert find_timestep(tmp_path / "nvt.pos_0.xyz") == pytest.approx(0.5)  # not that of 250 K
    assert find_timestep(tmp_path / "nvt.300K.pos_0.xyz") == pytest.approx(0.5)
    assert find_timestep(tmp_path / "nvt.250K.pos_0.xyz") == pytest.approx(1.0)


def test_lammps_log(lammps_run):
    folder, _ = lammps_run
    log = LAMMPSLog(folder / "log.lammps")
    np.testing.assert_array_equal(log["step"], [0, 5, 10, 15, 20])
    np.testing.assert_allclose(log.time(), np.arange(0, 25, 5) * 1e-3)
    # 300 K for 24 atoms minus the center of mass
    expected = 1.5 * 8.617333e-5 * 300 * 23
    np.testing.assert_allclose(log.energy("KinEng"), expected, rtol=1e-4)
    drift = conserved_drift(folder / "log.lammps", 24)
    assert abs(drift.slope) < 1e-10


def test_log_without_units(lammps_run, tmp_path):
    """As after the commands log or read_restart: no units are assumed."""
    folder, units = lammps_run
    text = (folder / "log.lammps").read_text()
    complete, path = LAMMPSLog(folder / "log.lammps"), tmp_path / "log.lammps"
    path.write_text(text[text.index("Step") :])
    with pytest.raises(PetDriverError, match="does not give its units"):
        LAMMPSLog(path)
    with pytest.raises(PetDriverError, match="does not give its time step"):
        LAMMPSLog(path, units=units)
    found = LAMMPSLog(path, units=units, timestep={"metal": 0.001, "real": 1.0}[units])
    np.testing.assert_array_equal(found.time(), complete.time())
    np.testing.assert_array_equal(found.energy("KinEng"), complete.energy("KinEng"))
    path.write_text("timestep 0.002\n" + text)
    with pytest.raises(PetDriverError, match="changes its time step"):
        LAMMPSLog(path)


def test_drift_and_error_of_correlated_noise():
    rng = np.random.default_rng(3)
    time = np.arange(4000) * 0.01
    slopes, errors = [], []
    for _ in range(60):
        noise = np.convolve(rng.normal(size=4100), np.ones(20) / 20, "valid")[:4000]
        drift = linear_drift(time, 2e-4 * time + 1e-3 * noise)
        slopes.append(drift.slope)
        errors.append(drift.error)
    assert np.mean(slopes) == pytest.approx(2e-4, abs=4 * np.std(slopes) / np.sqrt(60))
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.35)


def test_drift_of_a_run(ipi_run):
    drift = conserved_drift(ipi_run / "run.out", 3)
    table = PropertyFile(ipi_run / "run.out")
    slope = np.polyfit(table.time(), table["conserved"] / 3, 1)[0]
    assert drift.slope == pytest.approx(slope, rel=1e-6)
    assert drift.duration == pytest.approx(0.01) and "eV/(atom ps)" in str(drift)
    with pytest.raises(PetDriverError, match="too few"):
        conserved_drift(table, 3, start=0.009)


# column as i-PI writes it, name, unit, value in the file, value in eV (None: no energy)
PROPERTIES = [
    ("potential", "potential", "", -17.228, -468.798),
    ("potential{electronvolt}", "potential", "electronvolt", -468.8, -468.8),
    ("potential{electronvolt}(bead=0)", "potential(bead=0)", "electronvolt", -468.8, -468.8),
    ("potential(bead=0){electronvolt}", "potential(bead=0)", "electronvolt", -468.8, -468.8),
    ("potential(bead=0)", "potential(bead=0)", "", -17.228, -468.798),
    ("kinetic_cv{electronvolt}(H)", "kinetic_cv(H)", "electronvolt", 0.3, 0.3),
    ("kinetic_cv {millielectronvolt} ( H )", "kinetic_cv(H)", "millielectronvolt", 300.0, 0.3),
    ("kinetic_md(O){kelvin}", "kinetic_md(O)", "kelvin", 300.0, 0.02585),
    ("kinetic_td{kilocal/mol}(0)", "kinetic_td(0)", "kilocal/mol", 23.06, 1.0),
    ("pot_component_raw{electronvolt}(1)", "pot_component_raw(1)", "electronvolt", 2.0, 2.0),
    ("pot_component{ase}(index=0;bead=1)", "pot_component(index=0; bead=1)", "ase", 2.0, 2.0),
    ("temperature{kelvin}(H)", "temperature(H)", "kelvin", 300.0, None),
    ("temperature(nm=0){kelvin}", "temperature(nm=0)", "kelvin", 300.0, None),
    ("cell_h{angstrom}", "cell_h", "angstrom", 12.0, None),
    ("dipole{debye}(0)", "dipole(0)", "debye", 1.85, None),
    ("isotope_scfep(alpha=2.0; atom=H)", "isotope_scfep(alpha=2.0; atom=H)", "", 1.0, None),
]


@pytest.mark.parametrize(("written", "name", "unit", "value", "ev"), PROPERTIES)
def test_unit_and_arguments_in_either_order(tmp_path, written, name, unit, value, ev):
    """The rule is i-PI's own."""
    path = tmp_path / "run.out"
    rows = "".join(f"  {k:.8e}   {value:.8e}   \n" for k in range(3))
    path.write_text(f"# column   1     --> step : the step\n# column   2     --> {written}\n{rows}")
    key, ipi_unit, arguments, keywords = getall(written)
    words = [*arguments, *(f"{key}={value}" for key, value in keywords.items())]
    assert name == (f"{key}({'; '.join(words)})" if words else key) and unit == ipi_unit
    assert property_names(path) == ["step", name]
    table = PropertyFile(path)
    assert table.units[name] == unit
    np.testing.assert_array_equal(table[name], value)
    if ev is not None:
        np.testing.assert_allclose(table.energy(name), ev, rtol=1e-4)


def test_kinetic_energy_by_element_in_the_documented_order(tmp_path):
    path = tmp_path / "run.out"
    columns = ["step", "kinetic_cv{electronvolt}(H)", "kinetic_cv{kelvin}(atom=O)", "kinetic_cv(2)"]
    head = "".join(f"# column {k + 1} --> {name} : help\n" for k, name in enumerate(columns))
    path.write_text(head + "".join(f"{k} 0.30 {300 + k % 2} 0.01\n" for k in range(10)))
    found = quantum_kinetic_energy(path, {"H": 2, "O": 1})
    assert list(found) == ["H", "O", "2"]
    assert found["H"].mean == pytest.approx(0.15)
    assert found["O"].mean == pytest.approx(300.5 * 8.617333e-5)
    assert found["2"].mean == pytest.approx(0.01 * 27.211386)


def test_property_file_with_identification_of_the_run(ipi_run, tmp_path):
    """``<properties verbosity="high">`` writes version, host and folder in front of the header."""
    head = "### Unable to retrieve Git information.\n###\n### Simulation information:\n###\n"
    text = head + (ipi_run / "run.out").read_text()
    (tmp_path / "run.out").write_text(text)
    (tmp_path / "run.pos_0.xyz").write_bytes((ipi_run / "run.pos_0.xyz").read_bytes())
    assert find_timestep(tmp_path / "run.pos_0.xyz") == pytest.approx(0.5)
    u = water_universe(tmp_path / "run.pos_0.xyz")
    assert u.trajectory[10].time == pytest.approx(0.01)
    rows = "".join(
        f"#EXTRAS(raw_energy_ev,rotation_std_ev)# Step: {2 * k} Bead: 0\n  1.0 0.5\n"
        for k in range(11)
    )
    (tmp_path / "run.rotations_0").write_text(rows)
    found = equivariance_error(tmp_path / "run.rotations_0")
    energy = PropertyFile(ipi_run / "run.out").energy("potential")
    np.testing.assert_allclose(found.error, 1.0 - energy)
