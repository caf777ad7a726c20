"""An ensemble gives the same numbers in every engine, and its thresholds stop every engine."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.driver import PETDriver
from pet_driver.engines.ipi.potential import HARTREE_PER_EV
from tests.conftest import write_perturbed
from tests.engines.ipi_tools import (
    command_line_client,
    ffdirect,
    finish,
    new_server,
    run_ipi,
    running,
    write_input,
)
from tests.engines.lammps_input import (
    KCAL_PER_EV,
    Outcome,
    evaluate,
    launch,
    write_structure,
)
from tests.engines.structures import centered_molecule, triclinic_box

ENERGY_TOLERANCE = 1e-9  # eV, of totals near 4e3 eV
FORCE_TOLERANCE = 1e-10  # eV/A
IPI_TOLERANCE = 2e-6  # eV, eV/A: i-PI writes eight decimals, its constants differ from ASE's
SIGNAL = 1e-3  # eV, eV/A: a smaller standard deviation would be near the tolerances

N_STEPS = 24  # more than one vibration of O-H

FIX = "fix force_std all pair 1 pet force_std 0"
DUMP = "write_dump all custom std.dump id f_force_std modify sort id format float %.16e"


@pytest.fixture(scope="module")
def ensemble(members: list[Path]) -> pet_driver.Ensemble:
    return pet_driver.load(members)


def assert_same(outcome: Outcome, force_std: np.ndarray, expected: pet_driver.Results) -> None:
    """Compare a run of LAMMPS, and its force standard deviations [N], with the evaluator."""
    for name in ("energy", "raw_energy", "rotation_std", "ensemble_std"):
        value = getattr(outcome, name)
        assert value == pytest.approx(getattr(expected, name), abs=ENERGY_TOLERANCE), name
    for name in ("energies", "virial"):
        found, wanted = getattr(outcome, name), getattr(expected, name)
        np.testing.assert_allclose(found, wanted, atol=ENERGY_TOLERANCE, rtol=0)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(force_std, expected.force_std, atol=FORCE_TOLERANCE, rtol=0)
    assert outcome.largest_force_std == pytest.approx(force_std.max(), abs=FORCE_TOLERANCE)
    assert min(expected.ensemble_std, expected.force_std.max()) > SIGNAL


CASES = {
    "box, 1 rank": (triclinic_box, 1, {}),
    "box, 2 ranks, real units": (triclinic_box, 2, {"units": "real"}),
    "box, 4 ranks, averaged": (triclinic_box, 4, {"grid": "i"}),
    "molecule split over 4 ranks": (centered_molecule, 4, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_lammps(
    case: str, ensemble: pet_driver.Ensemble, members: list[Path], tmp_path: Path
) -> None:
    make, ranks, options = CASES[case]
    atoms, options = make(), dict(options)
    grid = options.pop("grid", "0")
    outcome = evaluate(
        tmp_path,
        atoms,
        "+".join(map(str, members)),
        ranks=ranks,
        keywords=f"grid {grid}",
        after=FIX,
        end=DUMP,
        **options,
    )
    unit = KCAL_PER_EV if options.get("units") == "real" else 1.0
    force_std = np.loadtxt(tmp_path / "std.dump", skiprows=9)[:, 1] / unit
    assert_same(outcome, force_std, ensemble.evaluate(atoms, grid))


def test_lammps_with_a_shipped_ensemble(tmp_path: Path, archive_f64: Path) -> None:
    """The name stands for three models, alone and joined with another model."""
    one = pet_driver.load("water-small-ensemble")
    two = pet_driver.load(f"water-small-ensemble+{archive_f64}")
    assert (len(one.members), len(two.members)) == (3, 4)
    for name, model in (
        ("water-small-ensemble", one),
        (f"water-small-ensemble+{archive_f64}", two),
    ):
        found, expected = evaluate(tmp_path, triclinic_box(), name), model.evaluate(triclinic_box())
        # networks in float32
        assert found.ensemble_std == pytest.approx(expected.ensemble_std, abs=1e-5)
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5, rtol=0)
        assert expected.ensemble_std > SIGNAL


def test_lammps_hybrid_with_members_of_different_cutoff(
    members: list[Path], archive_deep: Path, tmp_path: Path
) -> None:
    """The edges reach to the longest cutoff of the members; another pair style has a longer one."""
    paths = [archive_deep, members[0]]
    ensemble = pet_driver.load(paths)
    assert len({model.cutoff for model in ensemble.members}) == 2
    parts = {
        "pair_style": f"hybrid/overlay zero 7.0 pet {paths[0]}+{paths[1]} device cpu",
        "pair_coeff": "pair_coeff * * zero\npair_coeff * * pet O H",
    }
    atoms = triclinic_box()
    outcome = evaluate(tmp_path, atoms, paths[0], ranks=2, after=FIX, end=DUMP, **parts)
    force_std = np.loadtxt(tmp_path / "std.dump", skiprows=9)[:, 1]
    assert_same(outcome, force_std, ensemble.evaluate(atoms))


def test_lammps_single_model_has_zero_standard_deviations(
    members: list[Path], tmp_path: Path
) -> None:
    outcome = evaluate(tmp_path, centered_molecule(), members[0], ranks=2, after=FIX, end=DUMP)
    assert outcome.ensemble_std == outcome.largest_force_std == 0.0
    assert not np.loadtxt(tmp_path / "std.dump", skiprows=9)[:, 1].any()


DYNAMICS = """
units metal
boundary p p p
read_data structure.data
pair_style pet {arguments}
pair_coeff * * O H
velocity all create 2000 3 loop geom
timestep 0.0005
fix ensemble all nve
compute std all pair pet
thermo_style custom step pe c_std[4]
thermo 1
run 8
"""


def run_lammps(folder: Path, arguments: str, ranks: int = 1) -> subprocess.CompletedProcess:
    write_structure(folder / "structure.data", centered_molecule())
    return launch(folder, DYNAMICS.format(arguments=arguments), ranks)


@pytest.fixture(scope="module")
def lammps_force_std(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Largest force standard deviation in each step of a run without thresholds."""
    name = "+".join(map(str, members))
    free = run_lammps(tmp_path_factory.mktemp("free"), f"{name} device cpu")
    assert free.returncode == 0, free.stdout + free.stderr
    table = re.findall(r"^ +(\d+) +-\S+ +(\S+) *$", free.stdout, re.MULTILINE)
    assert len(table) == 9
    return [float(force_std) for _, force_std in table]


@pytest.mark.xdist_group("ensembles-lammps")
@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_warns_and_stops_above_thresholds(
    members: list[Path], lammps_force_std: list[float], tmp_path: Path, ranks: int
) -> None:
    name = "+".join(map(str, members))
    assert lammps_force_std[0] < max(lammps_force_std)
    stop = 0.5 * (lammps_force_std[0] + max(lammps_force_std))
    last = next(step for step, force_std in enumerate(lammps_force_std) if force_std > stop)

    ended = run_lammps(tmp_path, f"{name} device cpu warn 1e-6 stop {stop}", ranks)
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert output.count("WARNING: pair_style pet: force standard deviation") == 1, output
    (found,) = re.findall(
        r"ERROR: .*force standard deviation of (\S+) eV/A at atom [123] in step (\d+)", output
    )
    assert float(found[0]) == pytest.approx(lammps_force_std[last], rel=1e-3)
    assert int(found[1]) == last
    assert f"is above stop {stop}:" in output
    steps = re.findall(r"^ +(\d+) +-\S+ +\S+ *$", ended.stdout, re.MULTILINE)
    assert [int(step) for step in steps] == list(range(last)), "no step may use the forces"


LAMMPS_ERRORS = {
    "one model": ("a.pt warn 1", "warn and stop need an ensemble"),
    "zero": ("a.pt+b.pt warn 0", "warn needs a force standard deviation above zero, not '0'"),
    "no number": (
        "a.pt+b.pt stop much",
        "stop needs a force standard deviation above zero, not 'much'",
    ),
    "order": ("a.pt+b.pt warn 2 stop 1", "warn is above stop"),
    "absent": ("a.pt+absent.pt", "'absent.pt' is neither a file nor a shipped model"),
    "grids": ("a.pt+averaged.pt", "the default grid of a.pt is 0, that of averaged.pt is i"),
}


@pytest.mark.parametrize("case", LAMMPS_ERRORS)
def test_lammps_refuses_invalid_arguments(case: str, members: list[Path], tmp_path: Path) -> None:
    arguments, message = LAMMPS_ERRORS[case]
    for name, member in zip(("a.pt", "b.pt"), members, strict=False):
        (tmp_path / name).symlink_to(member)
    if "averaged" in arguments:
        write_perturbed(tmp_path / "averaged.pt", 9, grid="i")
    process = run_lammps(tmp_path, arguments, ranks=2 if case == "grids" else 1)
    assert process.returncode != 0
    assert (process.stdout + process.stderr).count(f"ERROR: pair_style pet: {message}") == 1


def test_lammps_reads_a_file_with_a_plus_sign_in_its_name(
    members: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "a+b.pt").symlink_to(members[0])
    (tmp_path / "c.pt").symlink_to(members[1])
    outcome = evaluate(tmp_path, centered_molecule(), "a+b.pt+c.pt")
    expected = pet_driver.load(members[:2]).evaluate(centered_molecule())
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    assert outcome.ensemble_std == pytest.approx(expected.ensemble_std, abs=ENERGY_TOLERANCE)


OUTPUTS = """<trajectory filename="std" extra_type="raw_energy_ev,ensemble_std_ev,\
max_force_std_ev_ang"> extras </trajectory>
    <trajectory filename="forces" format="ase"> forces{ase} </trajectory>
    <properties filename="energies"> [ step, potential{electronvolt} ] </properties>
  </output>"""


def write_run(folder: Path, forcefield: str) -> None:
    path = write_input(folder, forcefield, steps=N_STEPS)
    path.write_text(path.read_text().replace("</output>", OUTPUTS))


@pytest.fixture(scope="module")
def ipi_force_std(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Largest force standard deviation in each step of a run without thresholds."""
    folder = tmp_path_factory.mktemp("free")
    write_run(folder, ffdirect("+".join(map(str, members))))
    assert "force standard deviation" not in run_ipi(folder)
    return np.loadtxt(folder / "run.std_0")[:, 2]


def stop_in_process(name: str, folder: Path, stop: float) -> str:
    """Run i-PI to the threshold of the potential in its process, and return its output."""
    write_run(folder, ffdirect(name, more=f", warn: 0.001, stop: {stop}"))
    output = run_ipi(folder, status=1)
    assert (folder / "RESTART").is_file()
    return output


def stop_client(name: str, folder: Path, stop: float) -> str:
    """Run i-PI to the threshold of a client, and return the output of the client."""
    with new_server("unix") as server:
        end = "<exit_on_disconnect> True </exit_on_disconnect>"
        write_run(folder, server.ffsocket(more=end))
        thresholds = ["--warn", "0.001", "--stop", f"{stop}"]
        with (
            running("i-pi", "input.xml", folder=folder) as process,
            command_line_client(name, server, folder, *thresholds) as client,
        ):
            output = finish(client)
            finish(process)
    assert client.returncode == 1, output
    return output


@pytest.mark.xdist_group("ensembles-ipi")
@pytest.mark.parametrize("run_to_threshold", [stop_in_process, stop_client])
def test_ipi_and_ase_agree_and_ipi_stops_above_the_threshold(
    run_to_threshold: Callable[[str, Path, float], str],
    ensemble: pet_driver.Ensemble,
    members: list[Path],
    ipi_force_std: np.ndarray,
    tmp_path: Path,
) -> None:
    """The first step is below the threshold, and equals ASE; a later one is above it."""
    assert ipi_force_std[0] < ipi_force_std.max()
    stop = 0.5 * (ipi_force_std[0] + ipi_force_std.max())
    output = run_to_threshold("+".join(map(str, members)), tmp_path, stop)
    assert output.count("pet-driver: warning: force standard deviation") == 1
    assert f"is above stop {stop:g}:" in output
    assert "Traceback" not in output
    extras = np.loadtxt(tmp_path / "run.std_0", ndmin=2)
    n_below = int(np.argmax(ipi_force_std > stop))
    np.testing.assert_allclose(extras[:, 2], ipi_force_std[:n_below], rtol=1e-6)

    atoms = read(tmp_path / "start.xyz")
    atoms.calc = pet_driver.PETCalculator(ensemble)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    raw_energy, ensemble_std, largest_force_std = extras[0]
    assert min(ensemble_std, largest_force_std) > SIGNAL
    assert raw_energy == pytest.approx(energy, abs=1e-5)
    expected = atoms.calc.extras
    assert ensemble_std == pytest.approx(expected["ensemble_std"], abs=IPI_TOLERANCE)
    assert largest_force_std == pytest.approx(expected["force_std"].max(), abs=IPI_TOLERANCE)
    energies = np.loadtxt(tmp_path / "run.energies", ndmin=2)[:, 1]
    assert energies[0] == pytest.approx(energy, abs=1e-5)
    found = read(tmp_path / "run.forces_0.extxyz", 0).get_forces()
    np.testing.assert_allclose(found, forces, atol=IPI_TOLERANCE, rtol=0)


IPI_ERRORS = {
    "one model": ({"model": "water-small", "warn": 1.0}, "is a single model"),
    "zero": ({"stop": 0}, "stop 0: give a force standard deviation in eV/A, above zero"),
    "no number": ({"stop": "much"}, "stop 'much': give a force standard deviation"),
    "order": ({"warn": 2, "stop": 1}, "warn 2 is above stop 1"),
    "no bound": ({"max_edges": 0}, "max_edges: 0 is not valid; give an integer above 0"),
    "absent": ({"model": "water-small+absent.pt"}, "absent.pt is neither a file nor a shipped"),
}


@pytest.mark.parametrize("case", IPI_ERRORS)
def test_ipi_refuses_invalid_parameters(case: str, members: list[Path], tmp_path: Path) -> None:
    parameters, message = IPI_ERRORS[case]
    centered_molecule().write(tmp_path / "start.xyz")
    model = "+".join(map(str, members))
    with pytest.raises(pet_driver.PetDriverError, match=re.escape(message)):
        PETDriver(**({"model": model, "template": tmp_path / "start.xyz"} | parameters))


def test_extras_of_a_single_model_hold_nothing_of_ensembles(
    members: list[Path], tmp_path: Path
) -> None:
    centered_molecule().write(tmp_path / "start.xyz")
    driver = PETDriver(model=members[0], template=tmp_path / "start.xyz")
    cell, positions = np.eye(3) * 56.0, centered_molecule().positions / 0.529177
    energy, _, _, extras = driver.compute(cell, positions)
    assert np.isfinite(energy / HARTREE_PER_EV)
    assert "ensemble" not in extras and "force_std" not in extras
