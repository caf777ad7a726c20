"""Structures with the same distances: a network of distances cannot distinguish them, PET can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

import pet_driver
from pet_driver.checkpoints import Source
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import save
from pet_driver.network import PET, Hypers
from pet_driver.probe import degenerate_pair, distances_coincide

DISTANCES = 1e-12  # A
DIFFERENT = 1e-5  # eV, ten thousand times the rounding error

PAIRS = {
    # An octahedron of one element, stretched and flattened along a threefold axis.
    "octahedra": (("O", "O", "O"), (1.6, 1.6, 1.6), (0.3, 0.3, 0.3)),
    "general": (("H", "O", "H"), (1.6, 1.1, 1.9), (0.35, -0.25, 0.4)),
    "another": (("O", "H", "H"), (1.4, 1.6, 1.5), (0.4, 0.3, 0.5)),
}


class DistanceNetwork(torch.nn.Module):
    """Message passing over distances and elements, with random weights, in float64."""

    def __init__(self, cutoff: float = 4.5, width: int = 16, layers: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def weights(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5

        self.cutoff = cutoff
        self.centers = torch.linspace(0.5, cutoff, width, dtype=torch.float64)
        self.embedding = weights(100, width)
        self.messages = [weights(3 * width, width) for _ in range(layers)]
        self.updates = [weights(2 * width, width) for _ in range(layers)]
        self.readout = weights(width, 1)

    def forward(self, atoms: Atoms) -> float:
        positions = torch.as_tensor(atoms.positions)
        i, j = torch.nonzero(~torch.eye(len(atoms), dtype=torch.bool), as_tuple=True)
        distances = (positions[j] - positions[i]).norm(dim=1)
        smooth = torch.where(
            distances < self.cutoff, (torch.pi * distances / (2 * self.cutoff)).cos() ** 2, 0.0
        )
        radial = torch.exp(-4.0 * (distances[:, None] - self.centers) ** 2)
        features = self.embedding[torch.as_tensor(atoms.numbers)]
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = torch.tanh(torch.cat([features[i], features[j], radial], dim=1) @ message)
            received = torch.zeros_like(features).index_add(0, i, smooth[:, None] * sent)
            features = features + torch.tanh(torch.cat([features, received], dim=1) @ update)
        return float((features @ self.readout).sum())


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> tuple[Atoms, Atoms]:
    return degenerate_pair(*PAIRS[request.param])


@pytest.fixture(scope="module")
def random_pet(tmp_path_factory: pytest.TempPathFactory) -> pet_driver.Model:
    """Return a small PET with random weights, in float64."""
    torch.manual_seed(7)
    hypers = Hypers(
        d_pet=16, d_head=16, d_node=16, d_feedforward=16, num_heads=1, num_attention_layers=1
    )
    weights = {k: v.detach().double() for k, v in PET(hypers, 2).state_dict().items()}
    # Untrained energies hardly vary; with the scale they are as large as those of molecules.
    source = Source(hypers, weights, [1, 8], scale=1000.0, composition=[0.0, 0.0])
    path = tmp_path_factory.mktemp("random") / "random.pt"
    save(source, path, dtype="float64")
    return pet_driver.load(path)


def test_distance_graphs_are_equal(pair: tuple[Atoms, Atoms]) -> None:
    for cutoff in (np.inf, 3.0, 2.5, 2.0):
        assert distances_coincide(*pair, cutoff=cutoff, tolerance=DISTANCES)
    nudged = pair[0].copy()
    nudged.positions[0] += (1e-6, 0.0, 0.0)
    assert not distances_coincide(nudged, pair[1], tolerance=DISTANCES)


def test_refinement_distinguishes_chains_by_their_ends() -> None:
    """A chain of six atoms, and chains of three, or of four and two, with one bond length."""
    chain = Atoms("H6", [(i, 0, 0) for i in range(6)])
    two = Atoms("H6", [(i, 10 * k, 0) for k in range(2) for i in range(3)])
    four = Atoms("H6", [(i, 0, 0) for i in range(4)] + [(i, 10, 0) for i in range(2)])
    assert distances_coincide(chain, chain[::-1], cutoff=1.1)
    assert not distances_coincide(chain, two, cutoff=1.1), "four ends, not two"
    assert not distances_coincide(two, four, cutoff=1.1), "as many ends, but not their neighbours"


def test_structures_are_not_congruent(pair: tuple[Atoms, Atoms]) -> None:
    """Congruent structures have triangles of the same perimeters."""
    first, second = (triangles(atoms) for atoms in pair)
    assert np.abs(first - second).max() > 0.05


def triangles(atoms: Atoms) -> np.ndarray:
    """Return the sorted perimeters of all triangles (A)."""
    distances = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=2)
    n = range(len(atoms))
    perimeters = [
        distances[a, b] + distances[b, c] + distances[c, a]
        for a in n
        for b in n
        for c in n
        if a < b < c
    ]
    return np.sort(perimeters)


def test_network_of_distances_gives_equal_energies(pair: tuple[Atoms, Atoms]) -> None:
    network = DistanceNetwork()
    first, second = network(pair[0]), network(pair[1])
    assert abs(first - second) < 1e-12
    stretched = pair[0].copy()
    stretched.positions *= 1.01
    assert abs(network(stretched) - first) > DIFFERENT, "it depends on distances"


@pytest.mark.parametrize("weights", ["random", "shipped"])
def test_pet_gives_different_energies(
    weights: str,
    pair: tuple[Atoms, Atoms],
    random_pet: pet_driver.Model,
    shipped_f64: pet_driver.Model,
) -> None:
    """Averaged over rotations, so that the difference is not one of orientation."""
    model, grid = (random_pet, "4i") if weights == "random" else (shipped_f64, "3i")
    first, second = model.evaluate(pair, grid)
    rotated = [atoms.copy() for atoms in pair]
    for atoms in rotated:
        atoms.rotate(50, (1, 2, 3))
    residue = max(
        abs(one.energy - other.energy)
        for one, other in zip((first, second), model.evaluate(rotated, grid), strict=True)
    )
    difference = abs(first.energy - second.energy)
    assert difference > DIFFERENT
    assert difference > 20.0 * residue, "far more than the remaining dependence on orientation"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("H", "H"), (1.0, 1.0), (0.3, 0.3, 0.3)), "three elements"),
        ((("H",) * 3, (1.0, -1.0, 1.0), (0.3, 0.3, 0.3)), "positive radii"),
        ((("H",) * 3, (1.0, 1.0, 1.0), (0.3, 0.0, 0.3)), "both structures are one"),
        ((("H",) * 3, (1.0, 1.0, 1.0), (0.9, 0.9, 0.9)), "take smaller"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(PetDriverError, match=message):
        degenerate_pair(*arguments)


def test_example_script(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "inputs" / "degenerate-pairs" / "make_pairs.py"
    command = [sys.executable, str(script), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("same distances: True") == 2
    assert (tmp_path / "octahedra.xyz").is_file()
