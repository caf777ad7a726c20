"""Networks compiled by AOTInductor: same numbers, used only where they were compiled for."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from typer.testing import CliRunner

import pet_driver
from pet_driver.backends.inductor import PACKAGE_FILE
from pet_driver.checkpoints import Source
from pet_driver.cli import app
from pet_driver.model.archive import METADATA_FILE, read_metadata, save
from pet_driver.network import PET, Hypers
from tests.engines.lammps_input import Outcome, water_box
from tests.engines.lammps_input import evaluate as evaluate_in_lammps

ENERGY_TOLERANCE = 1e-9  # eV
FORCE_TOLERANCE = 1e-10  # eV/A
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
on_a_cpu = pytest.mark.skipif(DEVICE == "cuda", reason="there is a GPU")

pytestmark = pytest.mark.xdist_group("compiled")  # one process compiles


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with random weights in float64, of one layer, which compiles fast."""
    torch.manual_seed(2)
    hypers = Hypers(
        cutoff=3.5, d_pet=8, d_head=8, d_node=12, d_feedforward=8, num_heads=2,
        num_attention_layers=1, num_gnn_layers=1,
    )  # fmt: skip
    weights = PET(hypers, 2).to(torch.float64).state_dict()
    path = tmp_path_factory.mktemp("plain") / "plain.pt"
    save(Source(hypers, weights, [1, 8], 3.0, [-13.0, -430.0]), path, dtype="float64")
    return path


@pytest.fixture(scope="module")
def compiled(plain: Path) -> Path:
    """Return the same model, compiled for this machine."""
    path = plain.with_name("compiled.pt")
    arguments = ["export", str(plain), "-o", str(path), "--dtype", "float64"]
    arguments += ["--format", "pt2", "--device", DEVICE]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return path


def without_edges() -> Atoms:
    return Atoms("O", positions=[[1, 1, 1]], cell=[30.0] * 3, pbc=True)


def pair() -> Atoms:
    return Atoms("OH", positions=[[0, 0, 0], [0.9, 0.2, 0.1]])


CASES = {
    "box": (lambda: water_box(2, 6.2), "0"),
    "cell smaller than the cutoff": (lambda: water_box(1, 3.1), "0"),
    "rotations in one batch": (lambda: water_box(1, 3.1), "2i"),
    "exactly symmetrized": (pair, "ecse"),
    "two atoms": (pair, "i"),
    "one atom": (without_edges, "i"),
}


@pytest.mark.parametrize("case", CASES)
def test_compiled_equals_plain(case: str, plain: Path, compiled: Path) -> None:
    make, grid = CASES[case]
    found, expected = (
        pet_driver.load(path, DEVICE).evaluate(make(), grid) for path in (compiled, plain)
    )
    assert found.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    assert found.raw_energy == pytest.approx(expected.raw_energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(found.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(found.virial, expected.virial, atol=ENERGY_TOLERANCE, rtol=0)


def test_batches_equal_plain(plain: Path, compiled: Path) -> None:
    """A batch of structures of different sizes, one without edges."""
    frames = [water_box(2, 6.2), without_edges(), pair()]
    found, expected = (pet_driver.load(path, DEVICE).evaluate(frames) for path in (compiled, plain))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.energy == pytest.approx(theirs.energy, abs=ENERGY_TOLERANCE)
        np.testing.assert_allclose(ours.forces, theirs.forces, atol=FORCE_TOLERANCE, rtol=0)


def test_metadata_names_the_conditions(plain: Path, compiled: Path) -> None:
    model = pet_driver.load(compiled, DEVICE)
    assert model.archive.module.network.original_name == "CompiledNetwork"
    conditions = read_metadata(compiled)["compiled"]
    assert conditions["device"] == DEVICE
    assert conditions["torch"] == torch.__version__.split("+")[0]
    assert "compiled" not in read_metadata(plain)
    again = plain.with_name("again.pt")
    pet_driver.export(compiled, again, dtype="float64")
    assert "compiled" not in read_metadata(again)


def compiled_elsewhere(compiled: Path, path: Path, **conditions: str) -> Path:
    """Return a copy whose metadata name other conditions."""
    with zipfile.ZipFile(compiled) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith(METADATA_FILE):
                metadata = json.loads(content)
                metadata["compiled"] |= conditions
                content = json.dumps(metadata).encode()
            new.writestr(entry.filename, content)
    return path


@pytest.mark.parametrize("conditions", [{"target": "SVE"}, {"torch": "2.1.0"}])
def test_other_conditions_fall_back_to_plain(
    conditions: dict[str, str], plain: Path, compiled: Path, tmp_path: Path
) -> None:
    path = compiled_elsewhere(compiled, tmp_path / "elsewhere.pt", **conditions)
    [[key, value]] = conditions.items()
    with pytest.warns(UserWarning, match=f"compiled for {key} {value}.* --format pt2"):
        model = pet_driver.load(path, DEVICE)
    box = water_box(1, 3.1)
    expected = pet_driver.load(plain, DEVICE).evaluate(box).energy
    assert model.evaluate(box).energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)


def test_package_that_cannot_be_loaded_falls_back_to_plain(
    plain: Path, compiled: Path, tmp_path: Path
) -> None:
    """As with an older C library or driver; here the package is cut in half."""
    path = tmp_path / "half.pt"
    with zipfile.ZipFile(compiled) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            is_package = entry.filename.endswith(PACKAGE_FILE)
            new.writestr(entry.filename, content[: len(content) // 2] if is_package else content)
    with pytest.warns(UserWarning, match="cannot be loaded here.* --format pt2"):
        model = pet_driver.load(path, DEVICE)
    box = water_box(1, 3.1)
    expected = pet_driver.load(plain, DEVICE).evaluate(box).energy
    assert model.evaluate(box).energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)


@on_a_cpu
def test_archive_for_a_gpu_runs_on_a_cpu_without_a_warning(
    compiled: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = compiled_elsewhere(compiled, tmp_path / "gpu.pt", device="cuda", target="sm_90")
    model = pet_driver.load(path)
    assert model.archive.module.network.original_name != "CompiledNetwork"
    assert not [str(one.message) for one in recwarn if "compiled" in str(one.message)]


@on_a_cpu
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "torch finds no CUDA device here"),
        ("gpu", "not a device"),
        ("mps", "not supported"),
    ],
)
def test_export_for_missing_devices_is_refused(
    device: str, message: str, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gpu.pt"
    arguments = ["export", str(plain), "-o", str(out), "--format", "pt2", "--device", device]
    failed = CliRunner().invoke(app, arguments)
    assert failed.exit_code == 1
    assert message in failed.output
    assert not list(tmp_path.iterdir())


def in_lammps(folder: Path, atoms: Atoms, archive: Path, ranks: int = 1) -> Outcome:
    style = f"pet {archive} device {DEVICE}"
    return evaluate_in_lammps(folder, atoms, archive, ranks=ranks, pair_style=style)


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_equals_python(ranks: int, compiled: Path, plain: Path, tmp_path: Path) -> None:
    atoms = water_box(2, 6.2)
    outcome = in_lammps(tmp_path, atoms, compiled, ranks)
    expected = pet_driver.load(plain, DEVICE).evaluate(atoms)
    assert f"(float64, compiled) on {DEVICE}" in outcome.output
    assert outcome.energy == pytest.approx(expected.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(outcome.forces, expected.forces, atol=FORCE_TOLERANCE, rtol=0)
    np.testing.assert_allclose(outcome.virial, expected.virial, atol=ENERGY_TOLERANCE, rtol=0)


def test_lammps_with_one_atom(compiled: Path, plain: Path, tmp_path: Path) -> None:
    outcome = in_lammps(tmp_path, without_edges(), compiled)
    expected = pet_driver.load(plain, DEVICE).evaluate(without_edges()).energy
    assert outcome.energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)


def test_lammps_falls_back_to_plain(compiled: Path, plain: Path, tmp_path: Path) -> None:
    """C++ reads the conditions from an attribute of the module."""
    folder = tmp_path / "input file"
    folder.mkdir()
    path = tmp_path / "elsewhere.pt"
    module = torch.jit.load(str(compiled))
    module.compiled_for = [DEVICE, "SVE", "2.1.0"]
    module.save(str(path), _extra_files={METADATA_FILE: "{}", "network.pt2": "none"})
    outcome = in_lammps(folder, water_box(1, 5.0), path)
    assert "compiled for SVE and torch 2.1.0" in outcome.output
    expected = pet_driver.load(plain, DEVICE).evaluate(water_box(1, 5.0)).energy
    assert outcome.energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)
