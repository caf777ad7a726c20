"""Models in other processes: pickles hold the path of the archive."""

import copy
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import pet_driver
from tests.conftest import write_perturbed


def energy(model: pet_driver.Model, atoms: Atoms) -> float:
    """Return the energy of one structure (in another process)."""
    return model.evaluate(atoms).energy


@pytest.mark.parametrize("kind", ["model", "ensemble"])
def test_pickle_keeps_options_and_results(kind: str, water: Atoms, members: list[Path]) -> None:
    names = members[0] if kind == "model" else members
    model = pet_driver.load(names, grid="i+random@3", max_edges=5000)
    model.evaluate(water)
    content = pickle.dumps(model)
    assert len(content) < 2000, "a pickle holds no weights"
    found = pickle.loads(content)
    assert type(found) is type(model)
    assert (found.default_grid, found.counter) == ("i+random@3", 1)
    assert [one.max_edges for one in found.members] == [5000] * len(model.members)
    assert found.device == model.device
    expected, results = model.evaluate(water), found.evaluate(water)
    assert results.energy == expected.energy
    assert np.array_equal(results.forces, expected.forces)
    assert found.counter == model.counter == 2


def test_pickle_of_a_calculator(water: Atoms, model_f64: pet_driver.Model) -> None:
    water.calc = pet_driver.PETCalculator(model_f64, grid="2")
    again = pickle.loads(pickle.dumps(water.calc))
    assert again.get_potential_energy(water) == water.get_potential_energy()


def test_deep_copies_share_the_archive(model_f64: pet_driver.Model) -> None:
    assert copy.deepcopy(model_f64).archive is model_f64.archive


def test_other_process(water: Atoms, model_f64: pet_driver.Model) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(energy, (model_f64, water))
    assert found == pytest.approx(energy(model_f64, water), abs=1e-10)


def test_other_weights_under_the_same_path(tmp_path: Path) -> None:
    content = pickle.dumps(pet_driver.load(write_perturbed(tmp_path / "a.pt", 1)))
    write_perturbed(tmp_path / "a.pt", 2)
    with pytest.raises(pet_driver.PetDriverError, match=r"a\.pt holds another model"):
        pickle.loads(content)
    (tmp_path / "a.pt").unlink()
    with pytest.raises(pet_driver.PetDriverError, match=r"a\.pt"):
        pickle.loads(content)
