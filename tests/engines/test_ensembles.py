"""One ensemble gives the same numbers through every engine; its thresholds stop each of them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

import pet_driver
from pet_driver.engines.ipi.driver import PETDriver
from pet_driver.engines.ipi.potential import HARTREE_PER_EV
from tests.conftest import perturbed
from tests.engines.ipi_tools import (
    direct,
    finish,
    new_server,
    running,
    write_input,
)
from tests.engines.lammps_input import (
    KCAL_PER_EV,
    Outcome,
    evaluate,
    launch,
    water_box,
    write_structure,
)

ENERGY_TOLERANCE = 1e-9  # eV, of totals near 4e3 eV
FORCE_TOLERANCE = 1e-10  # eV/A
IPI_TOLERANCE = 2e-6  # eV, eV/A: i-PI writes eight decimals, its constants differ from ASE's
SIGNAL = 1e-3  # eV, eV/A: a spread of less, near the tolerances, would prove nothing

N_STEPS = 24  # more than one vibration of O-H

FIX = "fix spread all pair 1 pet force_std 0"
DUMP = "write_dump all custom spread.dump id f_spread modify sort id format float %.16e"


@pytest.fixture(scope="module")
def ensemble(members: list[Path]) -> pet_driver.Ensemble:
    return pet_driver.load(members)


def skewed() -> Atoms:
    """8 molecules in a cell smaller than twice the cutoff."""
    box = water_box(2, 6.5)
    box.set_cell([[6.5, 0, 0], [2.1, 6.2, 0], [-1.7, 1.1, 7.0]], scale_atoms=True)
    return box


def lone_molecule() -> Atoms:
    """In the middle of its box: two and four ranks split it."""
    one = water_box(1, 3.1)
    one.set_cell([30.0] * 3)
    one.center()
    return one


def assert_same(outcome: Outcome, spreads: np.ndarray, expected: pet_driver.Results) -> None:
    for name in ("energy", "raw_energy", "rotation_std", "ensemble_std"):
        value = getattr(outcome, name)
        assert value == pytest.approx(getattr(expected, name), abs=ENERGY_TOLERANCE), name
    for name in ("energies", "virial"):
        found, wanted = getattr(outcome, name), getattr(expected, name)
        np.testing.assert_allclose(found, wanted, atol=ENERGY_TOLERANCE, rtol=0)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(spreads, expected.force_std, atol=FORCE_TOLERANCE, rtol=0)
    assert outcome.largest_force_std == pytest.approx(spreads.max(), abs=FORCE_TOLERANCE)
    assert min(expected.ensemble_std, expected.force_std.max()) > SIGNAL


CASES = {
    "box, 1": (skewed, 1, {}),
    "box, 2, real units": (skewed, 2, {"units": "real"}),
    "box, 4, averaged": (skewed, 4, {"grid": "i"}),
    "molecule split over 4": (lone_molecule, 4, {}),
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
    spreads = np.loadtxt(tmp_path / "spread.dump", skiprows=9)[:, 1] / unit
    assert_same(outcome, spreads, ensemble.evaluate(atoms, grid))


def test_lammps_with_a_shipped_ensemble(tmp_path: Path, archive_f64: Path) -> None:
    """By its name, alone and beside another model."""
    one = pet_driver.load("water-small-ensemble")
    two = pet_driver.load(f"water-small-ensemble+{archive_f64}")
    assert (len(one.members), len(two.members)) == (3, 4)
    for name, model in (
        ("water-small-ensemble", one),
        (f"water-small-ensemble+{archive_f64}", two),
    ):
        found, expected = evaluate(tmp_path, skewed(), name), model.evaluate(skewed())
        # networks in float32
        assert found.ensemble_std == pytest.approx(expected.ensemble_std, abs=1e-5)
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5, rtol=0)
        assert expected.ensemble_std > SIGNAL


def test_lammps_hybrid_with_members_of_different_cutoff(
    members: list[Path], archive_deep: Path, tmp_path: Path
) -> None:
    """The graph is that of the longest cutoff; another style of a hybrid has a longer one."""
    paths = [archive_deep, members[0]]
    ensemble = pet_driver.load(paths)
    assert len({model.cutoff for model in ensemble.members}) == 2
    parts = {
        "pair_style": f"hybrid/overlay zero 7.0 pet {paths[0]}+{paths[1]} device cpu",
        "pair_coeff": "pair_coeff * * zero\npair_coeff * * pet O H",
    }
    atoms = skewed()
    outcome = evaluate(tmp_path, atoms, paths[0], ranks=2, after=FIX, end=DUMP, **parts)
    spreads = np.loadtxt(tmp_path / "spread.dump", skiprows=9)[:, 1]
    assert_same(outcome, spreads, ensemble.evaluate(atoms))


def test_lammps_single_model_has_no_spread(members: list[Path], tmp_path: Path) -> None:
    outcome = evaluate(tmp_path, lone_molecule(), members[0], ranks=2, after=FIX, end=DUMP)
    assert outcome.ensemble_std == outcome.largest_force_std == 0.0
    assert not np.loadtxt(tmp_path / "spread.dump", skiprows=9)[:, 1].any()


DYNAMICS = """
units metal
boundary p p p
read_data structure.data
pair_style pet {arguments}
pair_coeff * * O H
velocity all create 2000 5 loop geom
timestep 0.0005
fix ensemble all nve
compute spread all pair pet
thermo_style custom step pe c_spread[4]
thermo 1
run 8
"""


def run_lammps(folder: Path, arguments: str, ranks: int = 1) -> subprocess.CompletedProcess:
    write_structure(folder / "structure.data", lone_molecule())
    return launch(folder, DYNAMICS.format(arguments=arguments), ranks)


@pytest.fixture(scope="module")
def spreads(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The largest force standard deviation in each step of a run without thresholds."""
    name = "+".join(map(str, members))
    free = run_lammps(tmp_path_factory.mktemp("free"), f"{name} device cpu")
    assert free.returncode == 0, free.stdout + free.stderr
    table = re.findall(r"^ +(\d+) +-\S+ +(\S+) *$", free.stdout, re.MULTILINE)
    assert len(table) == 9
    return [float(spread) for _, spread in table]


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_warns_and_stops(
    members: list[Path], spreads: list[float], tmp_path: Path, ranks: int
) -> None:
    name = "+".join(map(str, members))
    assert spreads[0] < max(spreads)
    stop = 0.5 * (spreads[0] + max(spreads))
    last = next(step for step, spread in enumerate(spreads) if spread > stop)

    ended = run_lammps(tmp_path, f"{name} device cpu warn 1e-6 stop {stop}", ranks)
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert output.count("WARNING: pair_style pet: force standard deviation") == 1, output
    (found,) = re.findall(
        r"ERROR: .*force standard deviation of (\S+) eV/A at atom [123] in step (\d+)", output
    )
    assert float(found[0]) == pytest.approx(spreads[last], rel=1e-3)
    assert int(found[1]) == last
    assert f"is above stop {stop}:" in output
    steps = re.findall(r"^ +(\d+) +-\S+ +\S+ *$", ended.stdout, re.MULTILINE)
    assert [int(step) for step in steps] == list(range(last)), "the forces were used"


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
def test_lammps_errors(case: str, members: list[Path], tmp_path: Path) -> None:
    arguments, message = LAMMPS_ERRORS[case]
    for name, member in zip(("a.pt", "b.pt"), members, strict=False):
        (tmp_path / name).symlink_to(member)
    if "averaged" in arguments:
        perturbed(tmp_path / "averaged.pt", 9, grid="i")
    process = run_lammps(tmp_path, arguments, ranks=2 if case == "grids" else 1)
    assert process.returncode != 0
    assert (process.stdout + process.stderr).count(f"ERROR: pair_style pet: {message}") == 1


def test_lammps_file_with_a_plus_sign(members: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a+b.pt").symlink_to(members[0])
    (tmp_path / "c.pt").symlink_to(members[1])
    outcome = evaluate(tmp_path, lone_molecule(), "a+b.pt+c.pt")
    expected = pet_driver.load(members[:2]).evaluate(lone_molecule())
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    assert outcome.ensemble_std == pytest.approx(expected.ensemble_std, abs=ENERGY_TOLERANCE)


OUTPUTS = """<trajectory filename="spreads" extra_type="raw_energy_ev,ensemble_std_ev,\
max_force_std_ev_ang"> extras </trajectory>
    <trajectory filename="forces" format="ase"> forces{ase} </trajectory>
    <properties filename="energies"> [ step, potential{electronvolt} ] </properties>
  </output>"""


def write_run(folder: Path, forcefield: str, steps: int = 1) -> None:
    path = write_input(folder, forcefield, steps=steps)
    path.write_text(path.read_text().replace("</output>", OUTPUTS))


def client(name: str, address: str, folder: Path, *more: str):
    command = [sys.executable, "-m", "pet_driver", "ipi", name, "-t", "start.xyz", "-u"]
    return running(*command, "-a", address, *more, folder=folder)


@pytest.mark.parametrize("way", ["in process", "socket"])
def test_ipi_and_ase(
    way: str, ensemble: pet_driver.Ensemble, members: list[Path], tmp_path: Path
) -> None:
    name = "+".join(map(str, members))
    if way == "in process":
        write_run(tmp_path, direct(name))
        with running("i-pi", "input.xml", folder=tmp_path) as process:
            output = finish(process)
    else:
        with new_server("unix") as server:
            write_run(tmp_path, server.forcefield())
            with (
                running("i-pi", "input.xml", folder=tmp_path) as process,
                client(name, server.address, tmp_path) as served,
            ):
                output = finish(process)
                assert served.wait(60) == 0
    assert process.returncode == 0, output
    atoms = read(tmp_path / "start.xyz")
    atoms.calc = pet_driver.PETCalculator(ensemble)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    results = atoms.calc.extras
    raw, spread, largest = np.loadtxt(tmp_path / "run.spreads_0")[0]
    assert min(spread, largest) > SIGNAL
    assert raw == pytest.approx(energy, abs=1e-5)
    assert spread == pytest.approx(results["ensemble_std"], abs=IPI_TOLERANCE)
    assert largest == pytest.approx(results["force_std"].max(), abs=IPI_TOLERANCE)
    assert np.loadtxt(tmp_path / "run.energies")[0, 1] == pytest.approx(energy, abs=1e-5)
    found = read(tmp_path / "run.forces_0.extxyz", 0).get_forces()
    np.testing.assert_allclose(found, forces, atol=IPI_TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def largest(members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The largest force standard deviation in each step of a run without thresholds."""
    folder = tmp_path_factory.mktemp("free")
    write_run(folder, direct("+".join(map(str, members))), steps=N_STEPS)
    with running("i-pi", "input.xml", folder=folder) as process:
        assert "force standard deviation" not in finish(process)
    return np.loadtxt(folder / "run.spreads_0")[:, 2]


@pytest.mark.parametrize("way", ["in process", "socket"])
def test_ipi_warns_and_stops(
    way: str, members: list[Path], largest: np.ndarray, tmp_path: Path
) -> None:
    """The first step is within the threshold, a later one is not."""
    name, folder = "+".join(map(str, members)), tmp_path
    assert largest[0] < largest.max()
    stop = 0.5 * (largest[0] + largest.max())
    if way == "in process":
        write_run(folder, direct(name, more=f", warn: 0.001, stop: {stop}"), steps=N_STEPS)
        with running("i-pi", "input.xml", folder=folder) as process:
            output = finish(process)
        ended = process
        assert (folder / "RESTART").is_file()
    else:
        with new_server("unix") as server:
            end = "<exit_on_disconnect> True </exit_on_disconnect>"
            write_run(folder, server.forcefield(more=end), steps=N_STEPS)
            with (
                running("i-pi", "input.xml", folder=folder) as process,
                client(
                    name, server.address, folder, "--warn", "0.001", "--stop", f"{stop}"
                ) as ended,
            ):
                output = finish(ended)
                finish(process)
    assert ended.returncode == 1, output
    assert output.count("pet-driver: warning: force standard deviation") == 1
    assert f"is above stop {stop:g}:" in output
    assert "Traceback" not in output
    seen = np.loadtxt(folder / "run.spreads_0", ndmin=2)[:, 2]
    n_within = int(np.argmax(largest > stop))
    np.testing.assert_allclose(seen, largest[:n_within], rtol=1e-6)


IPI_ERRORS = {
    "one model": ({"model": "water-small", "warn": 1.0}, "is a single model"),
    "zero": ({"stop": 0}, "stop 0: give a force standard deviation in eV/A, above zero"),
    "no number": ({"stop": "much"}, "stop 'much': give a force standard deviation"),
    "order": ({"warn": 2, "stop": 1}, "warn 2 is above stop 1"),
    "no bound": ({"max_edges": 0}, "max_edges: 0 is no whole number above zero"),
    "absent": ({"model": "water-small+absent.pt"}, "absent.pt is neither a file nor a shipped"),
}


@pytest.mark.parametrize("case", IPI_ERRORS)
def test_ipi_errors(case: str, members: list[Path], tmp_path: Path) -> None:
    parameters, message = IPI_ERRORS[case]
    lone_molecule().write(tmp_path / "start.xyz")
    model = "+".join(map(str, members))
    with pytest.raises(pet_driver.PetDriverError, match=re.escape(message)):
        PETDriver(**({"model": model, "template": tmp_path / "start.xyz"} | parameters))


def test_extras_of_a_single_model_stay_as_they_are(members: list[Path], tmp_path: Path) -> None:
    lone_molecule().write(tmp_path / "start.xyz")
    driver = PETDriver(model=members[0], template=tmp_path / "start.xyz")
    cell, positions = np.eye(3) * 56.0, lone_molecule().positions / 0.529177
    energy, _, _, extras = driver.compute(cell, positions)
    assert np.isfinite(energy / HARTREE_PER_EV)
    assert "ensemble" not in extras and "force_std" not in extras
