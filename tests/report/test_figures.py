"""Numbers of each figure, for synthetic runs with known results."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pet_driver import analysis
from pet_driver.errors import PetDriverError
from pet_driver.report import (
    conservation,
    dynamics,
    ice,
    liquid,
    molecule,
    orientation,
    symmetry,
    trajectory_analysis,
    write_report,
)
from pet_driver.report.drawing import NothingToDraw, binned
from pet_driver.report.excerpt import excerpt
from pet_driver.report.run_output import (
    frame_interval,
    open_positions,
    symmetry_error_series,
    temperature,
)
from tests.report import synthetic_runs


@pytest.fixture(scope="module")
def liquids(tmp_path_factory):
    """Three runs: raw with i-PI, averaged with LAMMPS, and raw with two beads."""
    folder = tmp_path_factory.mktemp("liquids")
    return [
        synthetic_runs.diffusing_liquid(folder / "raw", "0", 0.004),
        synthetic_runs.diffusing_liquid(folder / "averaged", "2i", 0.004, lammps=True),
        synthetic_runs.diffusing_liquid(folder / "beads", "0", 0.004, n_beads=2, frames=40),
    ]


def values(drawing, start):
    """Return the values of the numbers whose description begins with ``start``."""
    return [n.values for n in drawing.numbers if n.what.startswith(start)]


def test_angular_momentum(tmp_path):
    runs = [
        synthetic_runs.spinning_molecule(tmp_path / "a", "0", drift=1.5),
        synthetic_runs.spinning_molecule(tmp_path / "b", "2i", drift=0.0),
    ]
    drawing = molecule.angular_momentum(runs)
    raw, averaged = values(drawing, "largest change of L")
    assert raw["relative"] == pytest.approx(1.5 * 0.2, rel=1e-3)
    assert averaged["relative"] < 1e-3
    # m r^2 about the centre of mass, times 20/ps
    arms = synthetic_runs.molecules(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    masses = np.array([15.9994, 1.00794, 1.00794])
    arms -= masses @ arms / masses.sum()
    modulus = (masses @ (arms**2).sum(axis=1)) * 20.0 * 1.66053906660e-23 / 1.602176634e-19 * 1e3
    (z,) = (line.get_ydata() for line in drawing.figure.axes[1].lines if "z" in line.get_label())
    np.testing.assert_allclose(np.abs(z), modulus, rtol=1e-3)
    assert [axis.get_title() for axis in drawing.figure.axes] == ["raw", "averaged over 2i"]


@pytest.mark.parametrize("delta", [False, True])
def test_spectrum_of_the_symmetry_error(tmp_path, delta):
    run = synthetic_runs.oscillating_energies(tmp_path / "run", 120.0, 1600.0, delta)
    drawing = molecule.potential_spectrum([run])
    (found,) = values(drawing, "root mean square")
    assert found["symmetry_error_mev"] == pytest.approx(3 / np.sqrt(2), rel=0.01)
    assert found["potential_mev"] == pytest.approx(200 / np.sqrt(2), rel=0.01)
    total, error = drawing.figure.axes[0].lines
    for line, frequency in ((total, 1600.0), (error, 120.0)):
        peak = line.get_xdata()[np.argmax(line.get_ydata())]
        assert peak == pytest.approx(frequency, abs=17.0)


def test_symmetry_error_in_a_log_of_lammps(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "2i", 0.1, frames=5, lammps=True)
    found = symmetry_error_series(run)
    np.testing.assert_allclose(found.symmetry_error, 1e-3, atol=1e-7)
    assert found.steps.tolist() == [0, 10, 20, 30, 40]


def test_spectrum_needs_both_energies(tmp_path):
    run = synthetic_runs.spinning_molecule(tmp_path / "a", "2i", drift=0.0)
    with pytest.raises(NothingToDraw):
        molecule.potential_spectrum([run])


def test_orientational_free_energy(tmp_path):
    bias = 0.8
    runs = [
        synthetic_runs.tumbling_molecule(tmp_path / "raw", "0", bias),
        synthetic_runs.tumbling_molecule(tmp_path / "averaged", "2i", 0.0),
    ]
    raw, averaged = values(orientation.molecule_orientation(runs), "root mean square")
    z = np.linspace(-1, 1, 2001)
    p = 1 + bias * z
    f = -np.log(p)
    expected = np.sqrt(np.average((f - np.average(f, weights=p)) ** 2, weights=p))
    assert raw["rms_kt"] == pytest.approx(expected, rel=0.1)
    assert 0.5 < averaged["rms_kt"] / averaged["error_kt"] < 2.0
    assert averaged["rms_kt"] < 0.5 * raw["rms_kt"]


def test_radial_distributions(liquids):
    drawing = liquid.radial_distribution(liquids)
    raw, averaged, beads = values(drawing, "first maximum of g_OO")
    for found in (raw, averaged, beads):
        assert found["position_ang"] == pytest.approx(3.0, abs=trajectory_analysis.BIN)
        assert found["height"] > found["height_kernel"] > 1.0
    # equal except for pairs that change their bin, because the dump has one digit less
    assert raw["height"] == pytest.approx(averaged["height"], rel=0.01)
    titles = [axis.get_title() for axis in drawing.figure.axes]
    assert titles == ["27 molecules, NVT, classical", "27 molecules, NVT, 2 beads"]
    assert "averaged over 2i, LAMMPS" in drawing.numbers[1].what
    hydrogen = liquid.hydrogen_distribution(liquids[:1])
    assert len(values(hydrogen, "first maximum of g_OH")) == 1
    assert len(values(hydrogen, "first maximum of g_HH")) == 1


def test_structure_of_short_runs(tmp_path, liquids):
    """The starting structure is not compared with a reference without a word."""
    short = synthetic_runs.diffusing_liquid(tmp_path / "short", "0", 0.004, frames=40)
    beads = synthetic_runs.diffusing_liquid(tmp_path / "beads", "0", 0.004, n_beads=2, frames=5)
    for draw in (
        liquid.radial_distribution,
        liquid.hydrogen_distribution,
        liquid.dipole_correlation,
    ):
        (note,) = [n for n in draw([short]).notes if "too short" in n]
        assert "0.78 ps" in note
        assert not any("too short" in n for n in draw(liquids[:1]).notes)
        with pytest.raises(NothingToDraw, match="too short for 2 beads"):
            draw([beads])


def test_dipole_correlation(liquids):
    drawing = liquid.dipole_correlation(liquids)
    raw, averaged, _ = values(drawing, "dipole correlation")
    universe = analysis.water_universe(liquids[0].path("made.pos_0.xyz"), timestep=2.0)
    direct = analysis.DipoleCorrelation(universe).run(start=50).results
    at = np.argmin(np.abs(direct.r - 2.8))
    assert raw["longitudinal"] == pytest.approx(direct.longitudinal[at])
    assert raw["transverse_error"] == pytest.approx(direct.transverse_error[at])
    assert averaged["transverse"] == pytest.approx(raw["transverse"], abs=1e-3)


def test_orientation_of_liquids(liquids):
    drawing = orientation.liquid_orientation(liquids)
    assert len(drawing.numbers) == 3
    assert len(drawing.figure.axes) == 4, "three maps and the color bar"


def test_beads_with_different_numbers_of_frames(tmp_path):
    """As in a run that was killed between the frames of two beads."""
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.004, n_beads=2, frames=40)
    complete = trajectory_analysis.structure(
        synthetic_runs.record(
            run.folder, n_beads=2, n_atoms=81, steps=390, positions=run.positions
        ),
        "OO",
    )
    lines = (tmp_path / "run/made.pos_1.xyz").read_text().splitlines(keepends=True)
    (tmp_path / "run/made.pos_1.xyz").write_text("".join(lines[:-83]))
    found = trajectory_analysis.structure(run, "OO")
    assert [len(complete), len(found)] == [2, 2]
    assert found[0].g.shape == found[1].g.shape
    np.testing.assert_array_equal(found[0].g, found[1].g)  # the beads are equal
    assert not np.array_equal(found[0].g, complete[0].g)
    liquid.radial_distribution([run])


def test_all_figures_read_a_trajectory_once(tmp_path, monkeypatch):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.004, frames=40)
    read, block = [], analysis.TrajectoryFile._block
    monkeypatch.setattr(
        analysis.TrajectoryFile, "_block", lambda file, k: (read.append(k), block(file, k))[1]
    )
    for draw in (
        orientation.liquid_orientation, liquid.radial_distribution, liquid.dipole_correlation,
        liquid.hydrogen_distribution, dynamics.mean_square_displacement,
        dynamics.dipole_autocorrelation,
    ):  # fmt: skip
        draw([run])
    assert read.count(30) == 2  # once for structure, once for dynamics


def test_failure_of_one_observable_leaves_the_others(tmp_path):
    """Without a cell there is no radial distribution, but an orientational free energy."""
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.004, frames=40)
    path = tmp_path / "run/made.pos_0.xyz"
    path.write_text(path.read_text().replace("9.0 9.0 9.0 90.0", "0.0 0.0 0.0 90.0"))
    with pytest.raises(NothingToDraw, match="cell"):
        liquid.radial_distribution([run])
    assert orientation.liquid_orientation([run]).numbers


def test_centroids_give_dynamics_but_no_structure(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.1, frames=20)
    centroids = synthetic_runs.record(
        run.folder, n_atoms=81, n_beads=8, steps=run.steps, centroid=True
    )
    with pytest.raises(NothingToDraw, match="write the positions of all beads"):
        liquid.radial_distribution([centroids])
    (found,) = dynamics.dipole_autocorrelation([centroids]).numbers
    assert "8 beads" in found.what
    one_of_them = synthetic_runs.record(run.folder, n_atoms=81, n_beads=8, steps=run.steps)
    with pytest.raises(NothingToDraw):
        dynamics.dipole_autocorrelation([one_of_them])
    beads = synthetic_runs.diffusing_liquid(tmp_path / "beads", "0", 0.1, n_beads=2, frames=20)
    with pytest.raises(NothingToDraw):
        dynamics.dipole_autocorrelation([beads])


def test_diffusion(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.2, frames=800)
    drawing = dynamics.mean_square_displacement([run])
    (found,) = values(drawing, "diffusion")
    assert found["ang2_ps"] == pytest.approx(0.2 * 26 / 27, rel=0.15)
    # kT xi / (6 pi eta L)
    expected = 1.380649e-23 * 300 * 2.837297 / (6 * np.pi * 0.85e-3 * 9e-10) * 1e8
    assert found["finite_size_ang2_ps"] == pytest.approx(expected, rel=1e-6)


def test_rotation(liquids):
    drawing = dynamics.dipole_autocorrelation(liquids)
    (raw, averaged) = values(drawing, "c_uu")
    first = analysis.water_universe(liquids[0].path("made.pos_0.xyz"), timestep=2.0)
    x = first.trajectory[0].positions.reshape(-1, 3, 3)
    u = x[:, 1] + x[:, 2] - 2 * x[:, 0]
    along = np.mean(u[:, 2] ** 2 / (u**2).sum(axis=1))
    time = raw["time_ps"]
    assert time == pytest.approx(1.0)  # a quarter of four fifths of 5 ps
    expected = along + (1 - along) * np.cos(2 * np.pi * time / 4.0)
    assert raw["c"] == pytest.approx(expected, abs=1e-3)
    assert averaged["c"] == pytest.approx(raw["c"], abs=1e-3)


@pytest.mark.parametrize("frames", [1, 3])
def test_runs_with_few_frames(tmp_path, frames):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.1, frames=frames)
    for draw in (
        liquid.radial_distribution,
        liquid.dipole_correlation,
        orientation.liquid_orientation,
        conservation.conserved_quantity,
    ):
        assert draw([run]).numbers
    assert len(excerpt(run).positions) == frames
    for draw in (dynamics.mean_square_displacement, dynamics.dipole_autocorrelation):
        if frames == 1:
            with pytest.raises(NothingToDraw, match="too few"):
                draw([run])
        else:
            assert draw([run]).numbers
    if frames == 3:
        (found,) = dynamics.mean_square_displacement([run]).numbers
        assert found.text.startswith("the run is too short")


def test_number_of_lags_of_long_runs_is_limited():
    class Frame:
        def __init__(self, index):
            self.time = 0.01 * index

    class Trajectory:
        def __len__(self):
            return 100_000

        def __getitem__(self, index):
            return Frame(index)

    class Universe:
        trajectory = Trajectory()

    start, step, window = trajectory_analysis._window(Universe())
    assert (start, step, window) == (20_000, 3, 10.0)


@pytest.mark.parametrize("lammps", [False, True])
def test_frame_interval(tmp_path, lammps):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.1, frames=3, lammps=lammps)
    assert frame_interval(open_positions(run).trajectory) == pytest.approx(0.02)


def test_relaxation(tmp_path):
    runs = [
        synthetic_runs.relaxed(tmp_path / "raw", "0", (-100.0, -100.5), 0.03),
        synthetic_runs.relaxed(tmp_path / "averaged", "2i", (-100.1, -100.62), 0.0),
    ]
    drawing = ice.relaxation(runs)
    assert values(drawing, "difference of the unrelaxed")[0]["ev_atom"] == pytest.approx(0.1 / 81)
    assert values(drawing, "difference of the relaxed")[0]["ev_atom"] == pytest.approx(0.12 / 81)
    assert values(drawing, "difference of the relaxation")[0]["ev_atom"] == pytest.approx(0.02 / 81)
    (moved,) = values(drawing, "largest displacement")
    assert moved["ang"] == pytest.approx(0.03 * 80 / 81, rel=1e-4)
    (error,) = values(drawing, "mean symmetry error")
    assert error["ev_atom"] == pytest.approx(1e-3 / 81)
    raw, averaged = drawing.rows
    assert raw[2:6] == ("-3.70370", "-3.72222", "-18.52", "-")
    assert averaged[5] == "1.2e-05"


def test_relaxations_of_different_structures_are_not_compared(tmp_path):
    runs = [
        synthetic_runs.relaxed(tmp_path / name, grid, (-1.0, -2.0), 0.0)
        for name, grid in (("0", "0"), ("1", "2i"))
    ]
    path = runs[0].path("made.pos_0.xyz")
    rows = path.read_text().splitlines()
    name, x, y, z = rows[2].split()
    rows[2] = f"{name} {float(x) + 0.1} {y} {z}"
    path.write_text("\n".join(rows) + "\n")
    drawing = ice.relaxation(runs)
    assert not values(drawing, "difference")
    assert "1: no raw run starts from the same structure" in drawing.notes


def test_trajectory_that_ends_before_the_minimum(tmp_path):
    """The energies of the minima are compared, but not their structures."""
    runs = [
        synthetic_runs.relaxed(tmp_path / "raw", "0", (-100.0, -100.5), 0.03),
        synthetic_runs.relaxed(tmp_path / "averaged", "2i", (-100.1, -100.62), 0.0),
    ]
    path = runs[1].path("made.pos_0.xyz")
    path.write_text(path.read_text().replace("Step: 20 ", "Step: 10 "))
    drawing = ice.relaxation(runs)
    assert values(drawing, "difference of the relaxed")[0]["ev_atom"] == pytest.approx(0.12 / 81)
    (moved,) = [n for n in drawing.numbers if n.what.startswith("largest displacement")]
    assert "ends before the minimum" in moved.text and not moved.values


def test_intervals_cover_the_whole_series():
    x = np.arange(749.0)
    times, means, deviations = binned(x, 2 * x)
    assert len(times) == len(means) == len(deviations) == 150
    assert times[-1] > 745.0 and means[-1] == pytest.approx(2 * times[-1])
    assert (np.diff(times) < 6.0).all()


def test_temperature_is_converted_from_the_unit_of_its_column(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.1, frames=20)
    assert temperature(run) == pytest.approx(300.0)
    path = run.path("made.out")
    text = path.read_text().replace("temperature{kelvin}", "temperature")
    path.write_text(text.replace("3.0000000000e+02", f"{300 / 315775.02480407:.10e}"))
    assert temperature(run) == pytest.approx(300.0, rel=1e-6)


def test_drift(tmp_path):
    run = synthetic_runs.spinning_molecule(tmp_path / "a", "0", drift=0.0)
    (found,) = values(conservation.conserved_quantity([run]), "drift, a")
    assert found["ev_atom_ps"] == pytest.approx(1e-4 / 3)


def test_total_energy_is_not_conserved_under_a_thermostat(tmp_path):
    run = synthetic_runs.diffusing_liquid(tmp_path / "run", "0", 0.1, frames=40, lammps=True)
    conservation.conserved_quantity([run])
    log = run.path("log.lammps")
    log.write_text(log.read_text().replace("Econserve", "TotEng"))
    with pytest.raises(NothingToDraw, match="add econserve to thermo_style"):
        conservation.conserved_quantity([run])
    conservation.conserved_quantity([replace(run, motion="nve")])


def write_probe(folder, atoms, scale=1.0):
    grids = [
        {
            "grid": grid,
            "evaluations": n,
            "torque_rms_mev": 5.0 / n * scale,
            "energy_mae_mev": 3.0 / n * scale,
            "force_mae_mev_per_ang": 10.0 / n,
        }
        for grid, n in (("0", 1), ("i", 2), ("2", 18), ("2i", 36))
    ]
    content = {
        "potential": "/some/where/water-small.pt",
        "structures": 4,
        "atoms": [atoms] * 4,
        "reference": {"grid": "3i", "evaluations": 150, "torque_rms_mev": 0.01},
        "grids": grids,
    }
    folder.mkdir()
    (folder / symmetry.FILE).write_text(json.dumps(content))


def test_report_about_a_probe_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("pet_driver.report.FORMATS", ("png",))
    write_probe(tmp_path / "molecule", 3)
    page = write_report(tmp_path)
    assert (tmp_path / "torque.png").is_file() and (tmp_path / "symmetry-error.png").is_file()
    assert "torque.png" in page.read_text() or "data:image" in page.read_text()


def test_probes(tmp_path):
    write_probe(tmp_path / "molecule", 3)
    write_probe(tmp_path / "bulk", 192, scale=7.0)
    probes = symmetry.find_probes([tmp_path, tmp_path / "bulk"])
    assert len(probes) == 2
    torque = symmetry.torque(probes)
    assert [n.values["rms_mev"] for n in torque.numbers] == [5.0, 2.5, 5 / 18, 5 / 36, 0.01]
    errors = symmetry.errors(probes)
    assert len(errors.numbers) == 8
    with pytest.raises(NothingToDraw):
        symmetry.torque([probe for probe in probes if not probe.molecule])
    (tmp_path / "bulk" / symmetry.FILE).write_text('{"atoms": []}')
    with pytest.raises(PetDriverError, match="was not written by `pet-driver probe`"):
        symmetry.find_probes([tmp_path])
