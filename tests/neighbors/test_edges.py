"""Edges, forces and virials by the C++ kernels against torch, on one thread and on several."""

from collections.abc import Iterator

import pytest
import torch
from ase import Atoms

from pet_driver.neighbors.batches import AtomBatch, EdgeBatch
from pet_driver.neighbors.edges import forces_and_virials
from pet_driver.neighbors.structure import Structure
from pet_driver.neighbors.verlet_list import SKIN, VerletList
from tests.conftest import lattice_water

CUTOFF = 4.0


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def edges(frames: list[Atoms], use_kernels: bool) -> EdgeBatch:
    atoms = AtomBatch.from_structures([Structure.from_ase(frame) for frame in frames])
    found = VerletList(atoms, CUTOFF, SKIN, torch.device("cpu"), use_kernels).edges(atoms)
    assert found is not None
    return found


def batch(number: int) -> list[Atoms]:
    """Return structures of different sizes, with single atoms before, between and after them."""
    alone = Atoms("O")
    frames = [lattice_water(2 + k % 2, seed=k) for k in range(number)]
    return [alone, *frames[:1], alone, *frames[1:], alone]


@pytest.mark.parametrize("number", [1, 24])
def test_kernels_select_the_same_edges(threads: int, number: int) -> None:
    one, two = (edges(batch(number), use_kernels) for use_kernels in (False, True))
    # The larger batch is above the size from which the kernels use several threads.
    assert (len(one.centers) > 3 * 8192) == (number == 24)
    assert list(one.counts) == list(two.counts)
    for name in ("centers", "neighbors", "reverse", "vectors"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


@pytest.mark.parametrize("number", [1, 24])
def test_kernels_give_the_same_forces_and_virials(threads: int, number: int) -> None:
    found = edges(batch(number), False)
    generator = torch.Generator().manual_seed(1)
    gradients = torch.randn(found.vectors.shape, generator=generator, dtype=torch.float64)
    arguments = (found.pairs, found.vectors, gradients, found.structures, found.counts)
    exact, fast = (forces_and_virials(*arguments, use_kernels) for use_kernels in (False, True))
    for one, two in zip(exact, fast, strict=True):
        assert one.shape == two.shape
        assert (one - two).abs().max() < 1e-12 * one.abs().max()
    again = forces_and_virials(*arguments, True)
    assert all(torch.equal(one, two) for one, two in zip(fast, again, strict=True))


def test_atoms_without_edges(threads: int) -> None:
    found = edges([Atoms("O"), Atoms("H")], True)
    assert len(found.centers) == 0 and list(found.counts) == [0, 0]
    forces, virials = forces_and_virials(
        found.pairs, found.vectors, found.vectors, found.structures, found.counts, True
    )
    assert torch.equal(forces, torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(virials, torch.zeros(2, 3, 3, dtype=torch.float64))


def test_single_structure_has_the_same_forces_and_virials(threads: int) -> None:
    found = edges([lattice_water(2)], False)
    arguments = (found.pairs, found.vectors, found.vectors, found.structures, found.counts)
    exact, fast = (forces_and_virials(*arguments, use_kernels) for use_kernels in (False, True))
    assert exact[1].shape == (1, 3, 3)
    for one, two in zip(exact, fast, strict=True):
        assert one.shape == two.shape
        assert (one - two).abs().max() < 1e-12 * one.abs().max().clamp(min=1.0)
