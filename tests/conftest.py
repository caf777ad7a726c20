"""Shared inputs: the shipped model, tiny random networks, water structures, training data."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import pet_driver
from pet_driver.checkpoints import Source
from pet_driver.model.archive import save
from pet_driver.network import PET, Hypers

warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
torch.set_num_threads(1)  # pytest-xdist already runs a process on each core

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PET_DRIVER_DATA", ROOT.parent / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the physical validation (`-m physical`)."""
    group = parser.getgroup("physical", "physical validation of a model, with -m physical")
    default = os.environ.get("PET_DRIVER_PHYSICAL_MODEL", "water-small")
    group.addoption("--model", default=default, help="a shipped model, or the path of an archive")
    group.addoption("--model-device", default="cpu", help="cpu or cuda")
    group.addoption("--runs", help="folder for its runs, which are resumed if they exist")
    group.addoption("--length", type=float, default=1.0, help="factor on the length of all runs")


@pytest.fixture(scope="session")
def archive_f32() -> Path:
    """Path of the shipped model, which is in float32."""
    return ROOT / "pet_driver" / "model" / "weights" / "water-small.pt"


@pytest.fixture(scope="session")
def model_f32(archive_f32: Path) -> pet_driver.Model:
    """The shipped model."""
    return pet_driver.load(archive_f32)


@pytest.fixture(scope="session")
def shipped_f64(tmp_path_factory: pytest.TempPathFactory) -> pet_driver.Model:
    """The shipped model, exported again in float64."""
    path = tmp_path_factory.mktemp("archives") / "water64.pt"
    pet_driver.export("water-small", path, dtype="float64")
    return pet_driver.load(path)


def tiny_source() -> Source:
    """Return a tiny random network for H and O whose energy depends on the orientation.

    Forces on water near its density are a few eV/A, as those of a trained model; an average over
    rotations changes the energy of one molecule by about 0.01 eV.
    """
    hypers = Hypers(
        cutoff=4.0,
        d_pet=16,
        d_head=16,
        d_node=32,
        d_feedforward=32,
        num_heads=2,
        num_attention_layers=1,
        num_gnn_layers=2,
    )
    torch.manual_seed(0)
    weights = PET(hypers, 2).to(torch.float64).state_dict()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        # torch's initial weights are so small that forces within a molecule nearly vanish
        tensor += 0.2 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        if name.endswith("edge_embedder.weight") and tensor.shape[1] == 4:
            tensor[:, :3] *= 0.2  # distances count more than directions
    return Source(hypers, weights, [1, 8], scale=0.3, composition=[-13.0, -430.0])


@pytest.fixture(scope="session")
def archive_f64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random network in float64; see :func:`tiny_source`."""
    path = tmp_path_factory.mktemp("archives") / "tiny64.pt"
    save(tiny_source(), path, dtype="float64")
    return path


@pytest.fixture(scope="session")
def model_f64(archive_f64: Path) -> pet_driver.Model:
    """The model of ``archive_f64``."""
    return pet_driver.load(archive_f64)


@pytest.fixture(scope="session")
def archive_deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network in float64 with three message-passing layers and an adaptive cutoff."""
    torch.manual_seed(5)
    hypers = Hypers(
        cutoff=3.5,
        num_neighbors_adaptive=8,
        d_pet=16,
        d_head=16,
        d_node=24,
        d_feedforward=16,
        num_heads=2,
        num_attention_layers=1,
        num_gnn_layers=3,
    )
    weights = PET(hypers, 2).to(torch.float64).state_dict()
    path = tmp_path_factory.mktemp("archives") / "deep.pt"
    save(
        Source(hypers, weights, [1, 8], scale=3.0, composition=[-13.0, -430.0]),
        path,
        dtype="float64",
    )
    return path


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three members of an ensemble in float64: the tiny network, its weights changed by 1 %."""
    folder = tmp_path_factory.mktemp("members")
    return [write_perturbed(folder / f"{name}.pt", seed) for seed, name in enumerate("abc")]


def write_perturbed(path: Path, seed: int, grid: str = "0", dtype: str = "float64") -> Path:
    """Write the tiny network with random changes of 1 % to its weights; return ``path``."""
    source = tiny_source()
    generator = torch.Generator().manual_seed(seed)
    for weights in source.weights.values():
        weights *= 1 + 0.01 * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    save(source, path, grid, dtype)
    return path


@pytest.fixture
def water() -> Atoms:
    """One distorted molecule without mirror planes, in a large periodic box."""
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.positions += np.random.default_rng(1).normal(0, 0.03, (3, 3))
    atoms.set_cell([30.0] * 3)
    atoms.set_pbc(True)
    atoms.center()
    return atoms


def lattice_water(n_side: int, spacing: float = 3.1, seed: int = 0) -> Atoms:
    """Return ``n_side**3`` randomly oriented molecules (O, H, H) on a cubic lattice."""
    rng = np.random.default_rng(seed)
    box = Atoms(cell=[n_side * spacing] * 3, pbc=True)
    for site in np.ndindex(n_side, n_side, n_side):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3), center=one.positions[0])
        one.positions += spacing * np.array(site) - one.positions[0]
        box += one
    box.positions += rng.normal(0, 0.02, box.positions.shape)
    return box


@pytest.fixture
def small_box() -> Atoms:
    """8 molecules in a cell smaller than twice the cutoff."""
    return lattice_water(2)


@pytest.fixture
def liquid() -> Atoms:
    """64 molecules at about the density of water."""
    return lattice_water(4)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the training data, which is not part of the repository."""
    if not DATA.is_dir():
        pytest.skip(f"training data not found at {DATA}; set PET_DRIVER_DATA to its folder")
    return DATA
