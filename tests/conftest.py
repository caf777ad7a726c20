"""Shared inputs: the shipped model in both precisions, water structures, training data."""

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
from pet_driver.model.archive import Archive, save
from pet_driver.network import PET, Hypers

warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
torch.set_num_threads(2)

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PET_DRIVER_DATA", ROOT.parent / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `-m physical` is to look at, and for how long."""
    group = parser.getgroup("physical", "physical validation of a model, with -m physical")
    default = os.environ.get("PET_DRIVER_PHYSICAL_MODEL", "water-small")
    group.addoption("--model", default=default, help="a shipped model, or the path of an archive")
    group.addoption("--model-device", default="cpu", help="cpu or cuda")
    group.addoption("--runs", help="folder to keep its runs in, to resume them")
    group.addoption("--length", type=float, default=1.0, help="of the runs; 0.01: a first look")


@pytest.fixture(scope="session")
def archive_f32() -> Path:
    """The shipped model."""
    return ROOT / "pet_driver" / "model" / "weights" / "water-small.pt"


@pytest.fixture(scope="session")
def archive_f64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model in float64, looking askew: it breaks symmetries, however good it is."""
    path = tmp_path_factory.mktemp("archives") / "askew64.pt"
    save(askew(), path, dtype="float64")
    return path


def askew() -> Source:
    """The shipped model, which sees space sheared and shifted by a hundredth."""
    source = Archive.load("water-small").source()
    wrong = 0.01 * torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    for layer in range(source.hypers.num_gnn_layers):
        embedder = f"featurizer.gnn_layers.{layer}.edge_embedder."
        along = source.weights[embedder + "weight"][:, :3]  # of edge vectors; then their length
        source.weights[embedder + "bias"] += along @ wrong[3]
        along += along @ wrong[:3]
    return source


@pytest.fixture(scope="session")
def archive_deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in float64: three message-passing layers and an adaptive cutoff."""
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
    """Three archives in float64, for ensembles: the model that looks askew, weights 1 % off."""
    folder = tmp_path_factory.mktemp("members")
    return [perturbed(folder / f"{name}.pt", seed) for seed, name in enumerate("abc")]


def perturbed(path: Path, seed: int, grid: str = "0", dtype: str = "float64") -> Path:
    """Write that model with noise on its weights, as another training would leave it."""
    source = askew()
    generator = torch.Generator().manual_seed(seed)
    for weights in source.weights.values():
        weights *= 1 + 0.01 * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    save(source, path, grid, dtype)
    return path


@pytest.fixture(scope="session")
def model_f32(archive_f32: Path) -> pet_driver.Model:
    return pet_driver.load(archive_f32)


@pytest.fixture(scope="session")
def shipped_f64(tmp_path_factory: pytest.TempPathFactory) -> pet_driver.Model:
    """The shipped model, exported anew in float64."""
    path = tmp_path_factory.mktemp("archives") / "water64.pt"
    pet_driver.export("water-small", path, dtype="float64")
    return pet_driver.load(path)


@pytest.fixture(scope="session")
def model_f64(archive_f64: Path) -> pet_driver.Model:
    return pet_driver.load(archive_f64)


@pytest.fixture
def water() -> Atoms:
    """One molecule, bent out of its mirror planes, in a large periodic box."""
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.positions += np.random.default_rng(1).normal(0, 0.03, (3, 3))
    atoms.set_cell([30.0] * 3)
    atoms.set_pbc(True)
    atoms.center()
    return atoms


def lattice_water(n_side: int, spacing: float = 3.1, seed: int = 0) -> Atoms:
    """``n_side**3`` molecules with random orientations on a cubic lattice (order O H H)."""
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
    """64 molecules near the density of water."""
    return lattice_water(4)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the training data, which does not belong to the project."""
    if not DATA.is_dir():
        pytest.skip(f"training data not found at {DATA}; set PET_DRIVER_DATA to its folder")
    return DATA
