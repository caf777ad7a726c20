"""What the benchmarks predict: operations against torch's own count, halos against atoms."""

import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from vesin import NeighborList

from benchmarks.ranks import ghost_factor, shared_edges
from benchmarks.speed import flops, structures
from benchmarks.speed.contenders import Frame
from pet_driver.neighbors import Structure, find_edges
from pet_driver.network import PET, Hypers

SMALL = {
    "cutoff": 4.0,
    "d_pet": 16,
    "d_node": 24,
    "d_head": 12,
    "d_feedforward": 20,
    "num_heads": 2,
    "num_attention_layers": 2,
    "num_gnn_layers": 2,
}


@pytest.mark.parametrize("changes", [{}, {"d_node": 16, "num_gnn_layers": 1}])
def test_operations(changes: dict) -> None:
    hypers, atoms = SMALL | changes, structures.water(192)
    found = find_edges(Structure.from_ase(atoms), hypers["cutoff"])
    tensors = [torch.as_tensor(x) for x in (found.centers, found.neighbors, found.reverse)]
    vectors = torch.as_tensor(found.vectors, dtype=torch.float32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        species = torch.as_tensor((atoms.numbers == 8).astype(int))
        PET(Hypers(**hypers), 2)(species, vectors, torch.ones(len(vectors)), *tensors)
    counted = counter.get_flop_counts()["Global"]
    linear = sum(n for operator, n in counted.items() if str(operator) in ("aten.mm", "aten.addmm"))
    frame = Frame(atoms.numbers, atoms.positions, np.array(atoms.cell), True)
    expected = flops.count(hypers, frame)
    assert expected.edges == len(vectors)
    assert linear == pytest.approx(expected.linear, rel=1e-9)


def test_ghosts() -> None:
    """A domain in a box many times as large, against the atoms that lie around it."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 60, (200_000, 3))
    lengths, reach = np.array([14.0, 20.0, 9.0]), 11.0
    low, high = 30 - lengths / 2, 30 + lengths / 2
    outside = np.maximum(0, np.maximum(low - points, points - high))
    near = (np.linalg.norm(outside, axis=1) < reach).sum()
    own = (outside == 0).all(axis=1).sum()
    assert ghost_factor(lengths, reach, 10**6) == pytest.approx(near / own, rel=0.05)
    assert ghost_factor(lengths, reach, 8) == 8


def test_shared_edges() -> None:
    """Two halves of a periodic box of liquid, against its edges."""
    atoms, cutoff = structures.water(648), 5.0
    length = atoms.cell.lengths()
    centers, neighbors = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=atoms.positions, box=np.array(atoms.cell), periodic=True, quantities="ij"
    )
    side = (atoms.positions[:, 0] % length[0]) < length[0] / 2
    found = (side[centers] != side[neighbors]).mean()
    density = len(atoms) / math.prod(length)
    predicted = shared_edges(length / (2, 1, 1), (0,), density, cutoff)
    assert predicted == pytest.approx(found, rel=0.1)
