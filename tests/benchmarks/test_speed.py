"""Predictions of the benchmarks equal counts, and their pages of results equal the data."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from vesin import NeighborList

from benchmarks import ipi_input
from benchmarks.drift import compare
from benchmarks.precision import RoundedProducts, rounded_to
from benchmarks.ranks import ghost_factor, render, shared_edges
from benchmarks.speed import flops, report, structures
from benchmarks.speed.contenders import Frame
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.network import PET, Hypers

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
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
def test_operations_equal_the_count_of_torch(changes: dict) -> None:
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


def test_matrix_products_are_rounded_forward_and_backward() -> None:
    """Values are rounded to the nearest, ties to even."""
    step = 2.0**-10
    values = torch.tensor([1.0, 1 + step, 1 + 0.4 * step, 1 + 0.5 * step, 1 + 1.5 * step, -0.1])
    expected = torch.tensor([1.0, 1 + step, 1.0, 1.0, 1 + 2 * step])
    assert torch.equal(rounded_to(values, 10)[:5], expected)
    assert torch.equal(rounded_to(values, 7), values.to(torch.bfloat16).to(torch.float32))
    a, b = (torch.randn(3, 4, 4, requires_grad=True) for _ in range(2))
    with RoundedProducts(7) as rounding:
        product = a @ b
        product.sum().backward()
    halves = [x.detach().to(torch.bfloat16).to(torch.float32) for x in (a, b)]
    assert torch.equal(product.detach(), halves[0] @ halves[1])
    assert rounding.count == 3


def test_drift_is_measured_for_every_backend() -> None:
    box = Path(__file__).parents[2] / "inputs" / "water-molecule-nve" / "water.xyz"
    rows = compare("water-small", box, 0.03).splitlines()[4:]
    assert [row.split("|")[1].strip() for row in rows] == [
        "C++, float64", "C++, float32", "TorchScript, float32"
    ]  # fmt: skip
    differences = [float(row.split("|")[4]) for row in rows]
    assert differences[0] == 0.0 and 0.0 < max(differences) < 1e-4


def test_ghost_factor_equals_the_count_of_atoms() -> None:
    """Atoms near a domain are counted in a box many times as large."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 60, (200_000, 3))
    lengths, reach = np.array([14.0, 20.0, 9.0]), 11.0
    low, high = 30 - lengths / 2, 30 + lengths / 2
    outside = np.maximum(0, np.maximum(low - points, points - high))
    near = (np.linalg.norm(outside, axis=1) < reach).sum()
    own = (outside == 0).all(axis=1).sum()
    assert ghost_factor(lengths, reach, 10**6) == pytest.approx(near / own, rel=0.05)
    assert ghost_factor(lengths, reach, 8) == 8


def test_shared_edges_equal_the_count_of_edges() -> None:
    """Edges between the halves of a periodic box of liquid are counted."""
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


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_page_of_results_equals_its_data(path: Path) -> None:
    values = json.loads(path.read_text())
    if "cases" in values:
        page = render(values["cases"], values["predicted"], values["machine"])
    else:
        page = report.tables(values)
    assert page == path.with_suffix(".md").read_text()


@pytest.mark.parametrize("beads", [1, 8])
def test_ipi_inputs_are_well_formed(beads: int) -> None:
    inner = ipi_input.pet_ffdirect("model: water-small, grid: 0", name="inner", batch=36)
    for forcefield in (ipi_input.metatomic_ffdirect("model: a.pt"), ipi_input.ffrotations(inner)):
        root = ElementTree.fromstring(ipi_input.simulation(forcefield, beads))
        (field,) = (child for child in root if child.tag.startswith("ff"))
        assert field.get("name") == root.find(".//force").get("forcefield")
        assert root.find(".//initialize").get("nbeads") == str(beads)
    ElementTree.fromstring(ipi_input.simulation(inner, beads, attributes=' threading="false"'))
