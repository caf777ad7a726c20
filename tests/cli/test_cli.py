"""The commands of ``pet-driver``, run as a user types them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from typer.testing import CliRunner

from pet_driver.backends.threads import SPINS
from pet_driver.building.structures import read_structures
from pet_driver.cli import app
from pet_driver.cli.common import report_errors
from pet_driver.model.ensemble import load


class Done(NamedTuple):
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def pet_driver(*arguments: str | Path) -> Done:
    """Run a command of ``pet-driver`` in this process, which has imported torch already."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def test_package_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "pet_driver", "inspect", "absent"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.startswith("pet-driver: error: absent is neither")


def test_exported_model_is_inspected_and_evaluated(tmp_path: Path, water: Atoms) -> None:
    archive = tmp_path / "averaged.pt"
    exported = pet_driver("export", "water-small", "-o", archive, "--grid", "2i")
    assert exported.returncode == 0, exported.stderr
    assert "eV from the network in float64" in exported.stdout

    inspected = pet_driver("inspect", archive)
    assert inspected.returncode == 0, inspected.stderr
    assert "2i" in inspected.stdout and "float32" in inspected.stdout

    write(tmp_path / "water.xyz", [water, water])
    evaluated = pet_driver("evaluate", archive, tmp_path / "water.xyz")
    assert evaluated.returncode == 0, evaluated.stderr
    assert evaluated.stdout.count("-468.") == 2
    assert "36 rotations for 3 atoms" in evaluated.stdout
    exact = pet_driver("evaluate", archive, tmp_path / "water.xyz", "--grid", "ecse")
    assert exact.stdout.count("-468.") == 2
    assert "6 frames for 3 atoms, as many edges as in 7.0 raw evaluations" in exact.stdout
    assert "the alternative: ecse-pooled: 2 frames" in exact.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "absent.ckpt", "-o", "model.pt"), "no checkpoint at absent.ckpt"),
        (("inspect", "absent"), "shipped are: water-small"),
        (("export", "water-small", "-o", "model.pt", "--device", "cuda"), "is for --format pt2"),
        (("evaluate", "water-small", "absent.xyz"), "no structure file at absent.xyz"),
        (("evaluate", "water-small", "helium.xyz"), "does not know the element He"),
        (("evaluate", "water-small", "water.xyz", "--grid", "9"), "unknown grid '9'"),
        (("ipi", "water-small", "-a", "x", "-u"), "--template"),
        (("ipi", "water-small", "-a", "x", "-u", "--shm", "-t", "water.xyz"), "exclude"),
        (("report", "."), "no run.json in or below"),
    ],
)
def test_errors_are_one_line_with_the_reason(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch, water: Atoms
) -> None:
    monkeypatch.chdir(tmp_path)
    write("helium.xyz", Atoms("He"))
    write("water.xyz", water)
    failed = pet_driver(*arguments)
    assert failed.returncode == 1
    assert message in failed.stderr
    assert failed.stderr.startswith("pet-driver: error: ") and failed.stderr.count("\n") == 1
    assert not Path("model.pt").exists()


def test_doctor_finds_a_healthy_installation() -> None:
    done = pet_driver("doctor")
    assert done.returncode == 0, done.stdout
    assert "water-small" in done.stdout
    assert all(line.split()[0] in ("ok", "note") for line in done.stdout.splitlines())


def test_doctor_checks_the_compiler_named_by_cxx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-compiler")
    assert "looked for no-compiler" in pet_driver("doctor").stdout


def test_doctor_reports_invalid_mode_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PET_DRIVER_KERNELS", "yes")
    done = pet_driver("doctor")
    assert done.returncode != 0
    assert "is 'yes'; set it to auto, on or off" in done.stdout


def test_importing_the_package_does_not_import_torch() -> None:
    """LAMMPS imports the package at every start to find the plugin."""
    code = (
        "import sys; from pet_driver.engines.lammps import plugin_folder; plugin_folder(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lammps_data_and_xyz_give_the_same_energy(tmp_path: Path) -> None:
    for name in ("ice.xyz", "ice.data"):
        done = pet_driver("build-water", "ice", "--repeats", "1", "1", "1", "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
    [ours], [theirs] = (read_structures(tmp_path / f"ice.{end}") for end in ("data", "xyz"))
    assert ours.symbols.get_chemical_formula() == theirs.symbols.get_chemical_formula()
    assert ours.pbc.all()
    model = load("water-small")
    assert model.evaluate(ours).energy == pytest.approx(model.evaluate(theirs).energy, abs=1e-3)


@pytest.mark.parametrize("name", ["water-small", "water-small-ensemble"])
def test_results_are_written(tmp_path: Path, water: Atoms, name: str) -> None:
    isolated = water.copy()
    isolated.cell, isolated.pbc = None, False
    write(tmp_path / "in.xyz", [water, isolated])
    out = tmp_path / "out.xyz"
    done = pet_driver("evaluate", name, tmp_path / "in.xyz", "--grid", "i", "-o", out)
    assert done.returncode == 0 and f"written: {out}" in done.stdout.replace("\n", "")
    in_box, alone = read(out, ":")
    [expected, _] = load(name, grid="i").evaluate([water, isolated])
    assert in_box.get_potential_energy() == pytest.approx(expected.energy, abs=1e-6)
    assert np.abs(in_box.get_forces() - expected.forces).max() < 1e-6
    stress = -expected.virial / water.get_volume()
    assert np.abs(in_box.get_stress(voigt=False) - stress).max() < 1e-8
    assert in_box.info["raw_energy"] == pytest.approx(expected.raw_energy, abs=1e-6)
    assert "stress" not in alone.calc.results and "forces" in alone.calc.results
    assert ("force_std" in in_box.arrays) == name.endswith("ensemble")
    refused = pet_driver("evaluate", name, tmp_path / "in.xyz", "-o", tmp_path / "out.pdb")
    assert refused.returncode == 1 and "name it .xyz or .extxyz" in refused.stderr


def test_grids_are_listed() -> None:
    done = pet_driver("grids")
    rows = [re.split(r"\s*[│┃]\s*", line.strip())[1:-1] for line in done.stdout.splitlines()]
    assert ["2i", "36", "l <= 2, what is odd"] in rows
    assert ["ecsei", "by structure", "everything"] in rows


@pytest.mark.parametrize("command", ["evaluate", "probe"])
def test_energies_that_are_nan_are_an_error(tmp_path: Path, water: Atoms, command: str) -> None:
    broken, path = water.copy(), tmp_path / "frames.extxyz"
    broken.positions[2] = broken.positions[1]
    write(path, [water, broken])
    where = ["-o", tmp_path / "probe"] if command == "probe" else []
    done = pet_driver(command, "water-small", path, *where)
    assert done.returncode == 1 and not done.stdout.count("nan")
    assert re.search(r"(frame|structure) 1: the (model|potential) returned NaN", done.stderr)


@pytest.mark.parametrize("command", ["evaluate", "probe"])
def test_error_names_frame_with_unknown_element(tmp_path: Path, water: Atoms, command: str) -> None:
    strange, path = water.copy(), tmp_path / "frames.extxyz"
    strange.symbols[1] = "Na"
    write(path, [water, water, strange])
    where = ["-o", tmp_path / "probe"] if command == "probe" else []
    done = pet_driver(command, "water-small", path, *where)
    assert done.returncode == 1
    assert f"{path}, frame 2: " in done.stderr and "element Na" in done.stderr


def test_unwritable_output_folder_is_an_error_before_any_work(tmp_path: Path, water: Atoms) -> None:
    path = tmp_path / "water.extxyz"
    write(path, water)
    done = pet_driver("probe", "water-small", path, "-o", "/proc/probe")
    assert done.returncode == 1 and "/proc/probe" in done.stderr
    assert not done.stdout


def test_full_disk_is_an_error_without_traceback(tmp_path: Path) -> None:
    """A limit on the size of files raises the same kind of error as a full disk."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, 2**18));"
        "from pet_driver.cli import app; app()"
    )
    command = [sys.executable, "-c", code, "export", "water-small", "-o", str(tmp_path / "x.pt")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PET_DRIVER_KERNELS": "off"}
    )
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_within_torchscript_is_a_keyboard_interrupt() -> None:
    @report_errors
    def stopped() -> None:
        raise RuntimeError("The following operation failed.\nRuntimeError: KeyboardInterrupt: <>")

    with pytest.raises(KeyboardInterrupt):
        stopped()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, SPINS),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
@pytest.mark.parametrize("entry", ["pet_driver.cli", "pet_driver.engines.ipi.pet_driver_ipi_shim"])
def test_spin_count_is_set_before_torch_is_imported(
    entry: str, chosen: dict[str, str], expected: str
) -> None:
    """The setting of a user is kept."""
    code = (
        "import os, sys; from importlib.abc import MetaPathFinder\n"
        "class Watch(MetaPathFinder):\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch': print(os.environ.get('GOMP_SPINCOUNT'))\n"
        f"sys.meta_path.insert(0, Watch()); import {entry}, torch"
    )
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | chosen
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [expected], done.stderr
