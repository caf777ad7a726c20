"""Training data made with the shipped model, so that the tests need no data folder."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import pet_driver
from pet_driver.building import ice_ih
from tests.conftest import ROOT, lattice_water

TRAIN = ROOT / "workflows" / "train"
sys.path.insert(0, str(TRAIN))  # its modules are scripts, not a part of the package

from training.settings import DataSet, Settings, Stage  # noqa: E402


def labelled(model: pet_driver.Model, frames: list[Atoms]) -> list[Atoms]:
    """Return the frames with energies and forces of a model."""
    for atoms, found in zip(frames, model.evaluate(frames, "0"), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=found.energy, forces=found.forces)
    return frames


def molecules(number: int) -> list[Atoms]:
    """Return randomly distorted water molecules with the atoms in the order O, H, H."""
    rng = np.random.default_rng(0)
    frames = [molecule("H2O") for _ in range(number)]
    for atoms in frames:
        atoms.positions += rng.normal(0, 0.03, (3, 3))
    return frames


def settings(**changes) -> Settings:
    """Return the settings of a training on four frames of the liquid, with changes."""
    one = DataSet("water-revpbe0-d3-150.xyz", 4, 2)
    entries = {
        "name": "a",
        "data": {"liquid": one},
        "network": {},
        "stages": {"one": Stage(2, 1e-3)},
    }
    return Settings(**{**entries, **changes})


@pytest.fixture(scope="session")
def made_data(tmp_path_factory: pytest.TempPathFactory, model_f32: pet_driver.Model) -> Path:
    """Folder with small versions of the three data files of quick.yaml."""
    folder = tmp_path_factory.mktemp("data")
    sets = {
        "water-revpbe0-d3-150.xyz": [lattice_water(2, seed=seed) for seed in range(8)],
        "water-monomer-600.xyz": molecules(12),
        "ice-ih-6.xyz": [ice_ih((1, 1, 1), seed=seed) for seed in (1, 2)],
    }
    for name, frames in sets.items():
        ase.io.write(folder / name, labelled(model_f32, frames), format="extxyz")
    return folder
