"""Ensembles in Python, ASE and the command line, against their members one by one."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from typer.testing import CliRunner

import pet_driver
from pet_driver.cli import app
from pet_driver.engines.thresholds import Thresholds
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive, save
from pet_driver.model.cost import predict_cost
from pet_driver.model.ensemble import unite
from pet_driver.model.shipped import resolve, resolve_all, shipped_ensembles
from pet_driver.probe import probe
from tests.conftest import write_perturbed

TOLERANCE = 1e-10  # eV, eV/A
SIGNAL = 1e-3  # eV, eV/A: the least standard deviation with which a test is meaningful


def name_of(members: list[Path]) -> str:
    return "+".join(map(str, members))


@pytest.fixture(scope="module")
def models(members: list[Path]) -> list[pet_driver.Model]:
    return [pet_driver.load(member) for member in members]


@pytest.fixture
def ensemble(models: list[pet_driver.Model]) -> pet_driver.Ensemble:
    """An ensemble with a counter of its own, of members that are loaded once."""
    return unite(models)


def assert_mean(
    found: pet_driver.Results, members: list[pet_driver.Results], weights: np.ndarray
) -> None:
    """Check mean and standard deviations of the results of the members against NumPy."""
    for name in ("energy", "raw_energy", "forces", "virial", "energies", "rotation_energies"):
        expected = np.mean([getattr(one, name) for one in members], axis=0)
        np.testing.assert_allclose(getattr(found, name), expected, atol=TOLERANCE, rtol=0)
    energies = np.mean([one.rotation_energies for one in members], axis=0)
    mean = np.average(energies, weights=weights)
    std = np.sqrt(np.average((energies - mean) ** 2, weights=weights))
    assert found.rotation_std == pytest.approx(std, abs=TOLERANCE)
    assert found.ensemble_std == pytest.approx(np.std([o.energy for o in members]), abs=TOLERANCE)
    forces = np.array([one.forces for one in members])
    square = ((forces - forces.mean(axis=0)) ** 2).sum(axis=-1)
    expected = np.sqrt(square.mean(axis=0))
    np.testing.assert_allclose(found.force_std, expected, atol=TOLERANCE, rtol=0)
    assert found.ensemble_std > SIGNAL
    assert found.force_std.min() > 1e-2 * found.force_std.max() > 1e-2 * SIGNAL


@pytest.mark.parametrize("grid", ["i", "i+random@7", "random3-each"])
def test_results_are_the_mean_over_the_members(
    ensemble: pet_driver.Ensemble, models: list[pet_driver.Model], grid: str, water: Atoms
) -> None:
    other = water.copy()
    other.rattle(0.05, seed=3)
    for counter in (0, 2 if grid.endswith("each") else 1):  # the draws of two calls
        assert ensemble.counter == (counter if "random" in grid else 0)
        found = ensemble.evaluate([water, other], grid)
        separate = [model.evaluate([water, other], grid, counter) for model in models]
        weights = models[0].rotations(grid, counter)[1].numpy()
        for one, results in zip(found, zip(*separate, strict=True), strict=True):
            assert_mean(one, results, weights)


def test_refused_structures_do_not_advance_the_counter(ensemble: pet_driver.Ensemble) -> None:
    before = ensemble.counter
    with pytest.raises(pet_driver.PetDriverError, match="does not know the element He"):
        ensemble.evaluate(Atoms("He"), "random")
    assert ensemble.counter == before


def test_members_may_differ_in_cutoff_and_precision(
    archive_deep: Path, archive_f32: Path, small_box: Atoms
) -> None:
    paths = [archive_deep, archive_f32]
    ensemble, members = pet_driver.load(paths), [pet_driver.load(path) for path in paths]
    assert members[0].cutoff != members[1].cutoff
    assert ensemble.cutoff == max(model.cutoff for model in members)
    assert ensemble.interaction_range == max(model.interaction_range for model in members)
    found = ensemble.evaluate(small_box)
    expected = [model.evaluate(small_box) for model in members]
    np.testing.assert_allclose(
        found.forces, np.mean([one.forces for one in expected], axis=0), atol=1e-5, rtol=0
    )


def test_virial_is_that_of_the_mean_energy(
    ensemble: pet_driver.Ensemble, models: list[pet_driver.Model], small_box: Atoms
) -> None:
    """The antisymmetric part of the mean is smaller than the mean of the antisymmetric parts."""
    found = ensemble.evaluate(small_box)
    separate = [model.evaluate(small_box).antisymmetric_virial for model in models]
    assert SIGNAL < found.antisymmetric_virial < np.mean(separate)
    full = np.mean([model.evaluate(small_box).full_virial for model in models], axis=0)
    dropped = np.linalg.norm(full - found.virial)
    assert found.antisymmetric_virial == pytest.approx(dropped, abs=TOLERANCE)


def test_single_model_has_zero_ensemble_std(models: list[pet_driver.Model], water: Atoms) -> None:
    found = models[0].evaluate(water)
    assert found.ensemble_std == 0.0
    assert found.force_std.shape == (3,) and not found.force_std.any()
    assert isinstance(pet_driver.load([models[0].path]), pet_driver.Model)


def test_names_of_members_are_resolved(
    members: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c++").mkdir()
    for name in ("a.pt", "b.pt", "c++/d.pt"):
        Path(name).write_bytes(b"")
    assert resolve_all("a.pt+b.pt") == [Path("a.pt"), Path("b.pt")]
    assert resolve_all("c++/d.pt+a.pt+c++/d.pt") == [Path(p) for p in ("c++/d.pt", "a.pt") * 2][:3]
    assert [path.stem for path in resolve_all("water-small+a.pt")] == ["water-small", "a"]
    Path("a.pt+b.pt").write_bytes(members[0].read_bytes())
    assert resolve_all("a.pt+b.pt") == [Path("a.pt+b.pt")]
    assert isinstance(pet_driver.load("a.pt+b.pt"), pet_driver.Model)


def test_thresholds_refuse_nan(ensemble: pet_driver.Ensemble) -> None:
    with pytest.raises(PetDriverError, match="force standard deviation of nan eV/A at atom 1"):
        Thresholds(ensemble, stop=5.0).check(np.array([0.1, np.nan, 0.2]), print)


def test_shipped_ensembles_are_loaded_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, members in shipped_ensembles().items():
        paths = resolve_all(name)
        assert [path.stem for path in paths] == members.split("+")
        loaded = pet_driver.load(name)
        assert isinstance(loaded, pet_driver.Ensemble) and len(loaded.members) == len(paths)
        assert len({one.metadata["weights_sha256"] for one in loaded.members}) == len(paths)
        Path("a.pt").write_bytes(b"")
        assert resolve_all(f"a.pt+{name}") == [Path("a.pt"), *paths]
        with pytest.raises(PetDriverError, match=rf"{name} is an ensemble, water-small\+"):
            resolve(name)
        Path(name).write_bytes(b"")  # a file comes before what is shipped
        assert resolve_all(name) == [Path(name)]
    assert "water-small-ensemble" in shipped_ensembles()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pt+absent.pt", "a.pt+absent.pt: absent.pt is neither a file nor a shipped model"),
        ("a.pt+", "a name that is empty is neither"),
        ([], "an ensemble of no models"),
        ("a.pt+averaged.pt", "the default grid of a.pt is 0, that of averaged.pt is 2i: choose"),
        ("a.pt+again.pt", "members a.pt and again.pt of an ensemble are one and the same model"),
        ("a.pt+other.pt", "same elements: a.pt knows H, O, but other.pt H, F"),
    ],
)
def test_members_that_cannot_be_combined_are_refused(
    name: str | list[str],
    message: str,
    members: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pt").symlink_to(members[0])
    if "averaged.pt" in name:
        write_perturbed(Path("averaged.pt"), 5, grid="2i")
    if "again.pt" in name:
        Path("again.pt").write_bytes(members[0].read_bytes())
    if "other.pt" in name:
        save(replace(Archive.load("a.pt").source(), atomic_numbers=[1, 9]), Path("other.pt"))
    with pytest.raises(PetDriverError) as error:
        pet_driver.load(name)
    assert message in str(error.value)
    if "averaged.pt" in name:
        assert pet_driver.load(name, grid="i").default_grid == "i"


def test_ase_calculator_has_ensemble_results(ensemble: pet_driver.Ensemble, water: Atoms) -> None:
    expected = ensemble.evaluate(water, "i")
    largest, atom = expected.force_std.max(), expected.force_std.argmax()
    atoms = water.copy()
    atoms.calc = pet_driver.PETCalculator(ensemble, "i", stop=1.001 * largest)
    assert atoms.get_potential_energy() == expected.energy
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces)
    assert atoms.calc.extras["ensemble_std"] == expected.ensemble_std
    np.testing.assert_array_equal(atoms.calc.extras["force_std"], expected.force_std)

    atoms.calc = pet_driver.PETCalculator(ensemble, "i", stop=0.999 * largest)
    with pytest.raises(PetDriverError, match=rf"at atom {atom} .* is above stop"):
        atoms.get_forces()
    assert not atoms.calc.results


def test_warnings_repeat_when_the_force_std_doubles(
    ensemble: pet_driver.Ensemble, water: Atoms
) -> None:
    """While a bond is stretched, there is one warning for each doubling, with its value."""
    frames = []
    for stretch in np.linspace(-0.6, 3.2, 16):
        frames.append(water.copy())
        frames[-1].positions[1] += stretch * (water.positions[1] - water.positions[0])
    stds = np.array([found.force_std.max() for found in ensemble.evaluate(frames)])
    # Up to the largest value, and through all values once more, without a new warning.
    upwards = np.argsort(stds)
    order = [*upwards, *upwards[::-1], *upwards]
    frames, stds = [frames[index] for index in order], stds[order]
    threshold = 1.05 * stds[0]
    expected, bound = [], threshold
    for std in stds:
        if std > bound:
            expected.append(std)
            bound = 2 * std
    assert 2 <= len(expected) < 8
    calculator = pet_driver.PETCalculator(ensemble, warn=threshold)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for frame in frames:
            calculator.calculate(frame)
    texts = [str(one.message) for one in caught if "force standard deviation" in str(one.message)]
    found = [float(re.search(r"force standard deviation of (\S+) eV/A", text)[1]) for text in texts]
    assert found == pytest.approx(expected, rel=1e-3)
    assert all(f"above warn {threshold:g}" in text for text in texts)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"warn": 0.0}, "warn 0.0: give a force standard deviation in eV/A, above zero"),
        ({"stop": -1.0}, "stop -1.0: give"),
        ({"stop": float("nan")}, "stop nan: give"),
        ({"stop": "much"}, "stop 'much': give"),
        ({"warn": True}, "warn True: give"),
        ({"warn": 2.0, "stop": 1.0}, "warn 2 is above stop 1"),
    ],
)
def test_wrong_thresholds_are_refused(
    thresholds: dict, message: str, ensemble: pet_driver.Ensemble
) -> None:
    with pytest.raises(PetDriverError, match=re.escape(message)):
        pet_driver.PETCalculator(ensemble, **thresholds)


def test_thresholds_need_an_ensemble(models: list[pet_driver.Model]) -> None:
    with pytest.raises(
        PetDriverError, match="is a single model and has no force standard deviation"
    ):
        pet_driver.PETCalculator(models[0], warn=1.0)


def test_cost_and_probe_of_an_ensemble(
    ensemble: pet_driver.Ensemble, models: list[pet_driver.Model], water: Atoms
) -> None:
    cost = predict_cost(ensemble, water, "2i")
    assert cost.raw_evaluations == 3 * predict_cost(models[0], water, "2i").raw_evaluations
    assert "of each of 3 models" in str(cost)
    found = probe(ensemble, water, grids=["0", "i"], reference="2i", resolution=0)
    raw = ensemble.evaluate(water, "0").energy - ensemble.evaluate(water, "2i").energy
    assert found.deviations[0].energy == pytest.approx(abs(raw), rel=1e-6)


def test_command_line_prints_ensemble_results(
    ensemble: pet_driver.Ensemble,
    members: list[Path],
    tmp_path: Path,
    water: Atoms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "water.xyz", water, format="extxyz")
    name = name_of(members)
    done = CliRunner().invoke(app, ["evaluate", name, str(tmp_path / "water.xyz")])
    assert done.exit_code == 0, done.stderr
    expected = ensemble.evaluate(water)
    last = [word.strip() for word in done.stdout.splitlines()[-2].split("│")]
    assert "ensemble standard deviation (meV)" in done.stdout
    assert float(last[6]) == pytest.approx(1e3 * expected.ensemble_std, rel=1e-3)
    assert float(last[7]) == pytest.approx(1e3 * expected.force_std.max(), rel=1e-3)

    alone = CliRunner().invoke(app, ["evaluate", str(members[0]), str(tmp_path / "water.xyz")])
    assert "ensemble" not in alone.stdout
    inspected = CliRunner().invoke(app, ["inspect", name])
    assert inspected.exit_code == 0
    assert inspected.stdout.count("weights_sha256") == 3
