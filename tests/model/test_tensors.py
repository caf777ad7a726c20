"""Model.compute_tensors and Ensemble.compute_tensors against evaluate."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from torch import Tensor

import pet_driver
from pet_driver.errors import PetDriverError

GRIDS = ["0", "2i", "i+random@7", "random3-each", "ecse"]


def as_tensors(frames: list[Atoms], device: str = "cpu") -> dict[str, Tensor]:
    """Return the arguments of compute_tensors."""
    sizes = torch.tensor([len(atoms) for atoms in frames])
    arguments = {
        "positions": torch.tensor(np.concatenate([atoms.positions for atoms in frames])),
        "cells": torch.tensor(np.array([atoms.cell.array for atoms in frames])),
        "atomic_numbers": torch.tensor(np.concatenate([atoms.numbers for atoms in frames])),
        "batch": torch.arange(len(frames)).repeat_interleave(sizes),
        "pbc": torch.tensor(np.array([atoms.pbc for atoms in frames])),
    }
    return {name: tensor.to(device) for name, tensor in arguments.items()}


def assert_equal(
    found: pet_driver.TensorResults, expected: list[pet_driver.Results], batch: Tensor
) -> None:
    """Check that the tensors have the numbers of the arrays, to the last bit."""
    for k, one in enumerate(expected):
        mine = batch == k
        pairs = {
            "energy": found.energies[k],
            "raw_energy": found.raw_energies[k],
            "forces": found.forces[mine],
            "full_virial": found.full_virials[k],
            "virial": found.virials[k],
            "energies": found.atomic_energies[mine],
            "rotation_energies": found.rotation_energies[:, k],
            "rotation_std": found.rotation_std[k],
            "ensemble_std": found.ensemble_std[k],
            "force_std": found.force_std[mine],
        }
        for name, tensor in pairs.items():
            assert tensor.dtype == torch.float64 and not tensor.requires_grad, name
            np.testing.assert_array_equal(tensor.numpy(), getattr(one, name), err_msg=name)


@pytest.fixture
def frames(water: Atoms, small_box: Atoms) -> list[Atoms]:
    """Structures of different sizes: periodic, not periodic, periodic in two directions."""
    slab = small_box[:9]
    slab.pbc = (True, False, True)
    alone = water.copy()
    alone.pbc = False
    return [water, slab, Atoms("O"), alone]


@pytest.mark.parametrize("grid", GRIDS)
def test_tensors_equal_the_arrays_of_evaluate(
    grid: str, frames: list[Atoms], model_f64: pet_driver.Model
) -> None:
    arguments = as_tensors(frames)
    found = model_f64.compute_tensors(**arguments, grid=grid, counter=3)
    assert_equal(found, model_f64.evaluate(frames, grid, counter=3), arguments["batch"])


def test_tensors_of_an_ensemble(frames: list[Atoms], members: list[Path]) -> None:
    ensemble = pet_driver.load(members)
    arguments = as_tensors(frames)
    found = ensemble.compute_tensors(**arguments, grid="i")
    assert (found.ensemble_std[:3] > 0).all() and found.force_std.max() > 0
    assert_equal(found, ensemble.evaluate(frames, "i"), arguments["batch"])


def test_passes_of_bounded_size_are_joined(frames: list[Atoms], archive_f64: Path) -> None:
    arguments = as_tensors(frames)
    model = pet_driver.load(archive_f64, max_edges=1)
    found = model.compute_tensors(**arguments)
    assert_equal(found, model.evaluate(frames), arguments["batch"])


def test_trajectory_moved_in_place_keeps_its_list(
    small_box: Atoms, archive_f64: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An integrator may overwrite the tensors: a kept list must not follow them."""
    model = pet_driver.load(archive_f64)
    searches = []
    search = model._lists.search
    monkeypatch.setattr(model._lists, "search", lambda a: searches.append(1) or search(a))
    arguments = as_tensors([small_box])
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        noise = torch.randn(arguments["positions"].shape, generator=generator).double()
        arguments["positions"] += 0.02 * noise
        arguments["cells"] *= 1.0002
        found = model.compute_tensors(**arguments)
        small_box.positions[:] = arguments["positions"].numpy()
        small_box.cell[:] = arguments["cells"][0].numpy()
        expected = pet_driver.Model(model.archive).evaluate(small_box)
        np.testing.assert_allclose(found.forces.numpy(), expected.forces, atol=1e-10, rtol=0)
    assert 2 < len(searches) < 20


def test_counter_of_random_grids_advances(frames: list[Atoms], archive_f64: Path) -> None:
    arguments = as_tensors(frames)
    model = pet_driver.load(archive_f64, grid="random@3")
    first, second = (model.compute_tensors(**arguments) for _ in range(2))
    assert model.counter == 2
    assert not torch.equal(first.energies, second.energies)
    again = model.compute_tensors(**arguments, counter=0)
    assert model.counter == 2
    assert torch.equal(again.energies, first.energies)
    model.compute_tensors(**arguments, grid="random-each@3")
    assert model.counter == 2 + len(frames)


def test_pbc_of_all_structures_at_once(small_box: Atoms, model_f64: pet_driver.Model) -> None:
    arguments = as_tensors([small_box, small_box])
    found = model_f64.compute_tensors(**arguments | {"pbc": torch.tensor([True, True, True])})
    assert_equal(found, model_f64.evaluate([small_box, small_box]), arguments["batch"])


WRONG = {
    "precision": ("positions", lambda x: x.float(), r"positions is torch.float32; convert it"),
    "integers": ("atomic_numbers", lambda z: z.int(), r"atomic_numbers is torch.int32; convert"),
    "flags": ("pbc", lambda p: p.long(), r"pbc is torch.int64; convert it with .to\(torch.bool\)"),
    "columns": (
        "positions",
        lambda x: x[:, :2],
        r"has the shape \[6, 2\] where \[6, 3\]",
    ),
    "one cell": ("cells", lambda c: c[0], r"cells has the shape \[3, 3\] where \[3, 3, 3\]"),
    "too few": ("batch", lambda b: b[1:], r"batch has the shape \[5\] where \[6\] is needed"),
    "order": ("batch", lambda b: b.flip(0), "batch must give the structure of each atom as 0, 0"),
    "a gap": ("batch", lambda b: 2 * b, "with at least one atom in each of the 2 structures"),
    "below": ("batch", lambda b: b - 1, "batch must give the structure of each atom"),
    "nothing": ("cells", lambda c: c[:0], "pbc has the shape"),
    "an element": ("atomic_numbers", lambda z: z + 1, "does not know the element He, F"),
    "not finite": ("positions", lambda x: x * torch.inf, "position of atom 0 is"),
    "device": ("cells", lambda c: c.to("meta"), r"cells is on meta and the positions are on cpu"),
    "all devices": ("positions", lambda x: x.to("meta"), r"move them with .to\('cpu'\), or load"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tensors_are_refused(case: str, water: Atoms, model_f64: pet_driver.Model) -> None:
    name, change, message = WRONG[case]
    arguments = as_tensors([water, water])
    arguments[name] = change(arguments[name])
    before = model_f64.counter
    with pytest.raises(PetDriverError, match=message):
        model_f64.compute_tensors(**arguments, grid="random")
    assert model_f64.counter == before


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_tensors_stay_on_the_gpu(frames: list[Atoms], archive_f64: Path) -> None:
    model = pet_driver.load(archive_f64, "cuda")
    arguments = as_tensors(frames, "cuda")
    for grid in ("0", "2i"):
        expected = pet_driver.load(archive_f64).evaluate(frames, grid)
        for _ in range(3):  # new lists, without and with a skin, and a kept one
            arguments["positions"] = arguments["positions"] + 0.0
            found = model.compute_tensors(**arguments, grid=grid)
            assert found.energies.device == found.forces.device == arguments["positions"].device
            energies = [one.energy for one in expected]
            np.testing.assert_allclose(found.energies.cpu(), energies, atol=1e-8, rtol=0)
            forces = np.concatenate([one.forces for one in expected])
            np.testing.assert_allclose(found.forces.cpu(), forces, atol=1e-8, rtol=0)
        from_host = model.evaluate(frames, grid)
        assert [one.energy for one in from_host] == found.energies.tolist()


def test_coinciding_atoms_are_not_finite(water: Atoms, model_f64: pet_driver.Model) -> None:
    broken = water.copy()
    broken.positions[2] = broken.positions[1]
    found = model_f64.compute_tensors(**as_tensors([water, broken]))
    assert not found.is_finite and torch.isfinite(found.forces[:3]).all()
    assert model_f64.compute_tensors(**as_tensors([water])).is_finite
