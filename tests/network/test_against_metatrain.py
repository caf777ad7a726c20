"""The network agrees with metatrain's PET in every variant, to float64 rounding."""

import numpy as np
import pytest
import torch
from ase import Atoms

from pet_driver.checkpoints.metatrain import source_of_model
from pet_driver.model.archive import Archive, save
from pet_driver.model.evaluator import Model
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from tests import metatrain_peer as peer

ENERGY = 1e-9  # eV
FORCE = 1e-8  # eV/A

SMALL = {"d_pet": 32, "d_head": 16, "d_node": 48, "d_feedforward": 24, "num_heads": 4}
OLD = {
    "featurizer_type": "residual",
    "transformer_type": "PostLN",
    "normalization": "LayerNorm",
    "activation": "SiLU",
    "cutoff_function": "Cosine",
}
VARIANTS = {
    "default": {},
    "adaptive solver": SMALL | {"num_neighbors_adaptive": 12},
    "adaptive grid": SMALL | {"num_neighbors_adaptive": 12, "adaptive_cutoff_method": "grid"},
    "residual, same width": SMALL | OLD | {"d_node": 32},
    "residual, expanded": SMALL | OLD,
    "feedforward, same width": SMALL | {"d_node": 32, "attention_temperature": 0.7},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_energy_and_forces_equal_metatrain(variant: str, liquid: Atoms, tmp_path) -> None:
    peer_model = peer.random_model([1, 8], **VARIANTS[variant])
    path = tmp_path / "archive.pt"
    save(source_of_model(peer_model, "energy"), path, dtype="float64")
    ours = Model(Archive.load(path)).evaluate(liquid)
    energy, forces = peer.energy_and_forces(peer_model, liquid)
    assert np.abs(forces).max() > 1e-3, "the reference must not be trivial"
    assert abs(ours.energy - energy) < ENERGY
    assert np.abs(ours.forces - forces).max() < FORCE


def test_isolated_atoms_equal_metatrain(tmp_path) -> None:
    peer_model = peer.random_model([1, 8], **SMALL)
    path = tmp_path / "archive.pt"
    save(source_of_model(peer_model, "energy"), path, dtype="float64")
    model = Model(Archive.load(path))
    for atoms in (Atoms("O"), Atoms("OH", [[0, 0, 0], [0, 0, 50.0]])):
        energy, _ = peer.energy_and_forces(peer_model, atoms)
        ours = model.evaluate(atoms, grid="2i")
        assert abs(ours.energy - energy) < ENERGY
        assert np.array_equal(ours.forces, np.zeros((len(atoms), 3)))


@pytest.mark.parametrize("featurizer", ["feedforward", "residual"])
@pytest.mark.parametrize("adaptive", [None, 3])
def test_interaction_range_is_reached_and_not_exceeded(featurizer: str, adaptive, tmp_path) -> None:
    """In a chain, only atoms within the range change the energy of the first one."""
    peer_model = peer.random_model(
        [1, 8], **SMALL, cutoff=2.0, featurizer_type=featurizer, num_neighbors_adaptive=adaptive
    )
    path = tmp_path / "archive.pt"
    save(source_of_model(peer_model, "energy"), path, dtype="float64")
    module, reach = Archive.load(path).module, Archive.load(path).metadata["interaction_range"]
    spacing = 0.7
    n_atoms = int(reach / spacing) + 4
    atoms = Atoms(
        f"O{n_atoms}", [[spacing * i, 0.1 * (i % 2), 0.05 * (i % 3)] for i in range(n_atoms)]
    )
    only_first = torch.arange(n_atoms) == 0
    gradient = position_gradient(module, atoms, only_first)
    distances = np.linalg.norm(atoms.positions - atoms.positions[0], axis=1)
    assert np.array_equal(gradient[distances > reach], np.zeros_like(gradient[distances > reach]))
    furthest = distances[np.abs(gradient).max(axis=1) > 0].max()
    # Adaptive radii are shorter than the cutoff, so that the range is an upper bound.
    assert furthest > reach - (2.0 if adaptive is None else 4.0)


def position_gradient(module, atoms: Atoms, owned: torch.Tensor) -> np.ndarray:
    """Return the gradient of the owned atoms' energy by the positions of all atoms [N, 3]."""
    edges = find_edges(Structure.from_ase(atoms), module.cutoff)
    raw = module.grid("0")
    numbers = torch.as_tensor(atoms.numbers, dtype=torch.int64)
    arrays = (edges.vectors, edges.centers, edges.neighbors, edges.reverse)
    arrays = [torch.as_tensor(a) for a in arrays]
    _, _, by_edge, _ = module(numbers, *arrays, torch.zeros_like(numbers), owned, 1, *raw, 10_000)
    gradient = np.zeros((len(atoms), 3))
    np.add.at(gradient, edges.neighbors, by_edge.numpy())
    np.subtract.at(gradient, edges.centers, by_edge.numpy())
    return gradient
