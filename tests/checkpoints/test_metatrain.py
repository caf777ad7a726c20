"""Every checkpoint that ships with metatrain loads and agrees with it, or is refused by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read

import pet_driver
from pet_driver.archive import Archive, save
from pet_driver.checkpoints import read_checkpoint
from pet_driver.checkpoints.metatrain import source_of_model
from pet_driver.evaluator import Model
from pet_driver.exporting import check_structure
from tests import metatrain_peer as peer

FOLDER = Path(peer.metatrain.__file__).parent / "pet" / "tests" / "checkpoints"
CHECKPOINTS = sorted(path.name for path in FOLDER.glob("*.ckpt.gz"))
REFUSED = {"model-v15-conditioning_trainer-v13.ckpt.gz": "system_conditioning"}
ENERGY = 1e-9  # eV
FORCE = 1e-8  # eV/A


def unpack(name: str, folder: Path) -> Path:
    path = folder / name.removesuffix(".gz")
    path.write_bytes(gzip.decompress((FOLDER / name).read_bytes()))
    return path


def test_metatrain_still_ships_all_of_them() -> None:
    assert len(CHECKPOINTS) >= 33
    assert set(REFUSED) <= set(CHECKPOINTS)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint(name: str, tmp_path: Path) -> None:
    checkpoint = unpack(name, tmp_path)
    if name in REFUSED:
        with pytest.raises(pet_driver.PetDriverError, match=REFUSED[name]):
            read_checkpoint(checkpoint)
        return
    archive = tmp_path / "archive.pt"
    pet_driver.export(checkpoint, archive, dtype="float64")
    source = read_checkpoint(checkpoint)
    structure = check_structure(source.atomic_numbers)
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    ours = Model(Archive.load(archive)).evaluate(atoms)
    theirs = peer.metatrain.utils.io.load_model(str(checkpoint))
    energy, forces = peer.energy_and_forces(theirs, atoms, source.provenance["target"])
    assert np.abs(forces).max() > 1e-5, "the reference must not be trivial"
    assert abs(ours.energy - energy) < ENERGY
    assert np.abs(ours.forces - forces).max() < FORCE


@pytest.mark.parametrize("part", ["long_range", "zbl"])
def test_parts_that_the_network_lacks_are_refused_by_name(part: str, tmp_path: Path) -> None:
    model = peer.random_model([1, 8])
    model.hypers[part] = {"enable": True} if part == "long_range" else True
    from pet_driver.checkpoints.metatrain import _refuse_unknown_parts

    with pytest.raises(pet_driver.PetDriverError, match=part):
        _refuse_unknown_parts(tmp_path / "model.ckpt", model)


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "notes.ckpt"
    path.write_text("not weights")
    with pytest.raises(pet_driver.PetDriverError, match=r"notes\.ckpt"):
        read_checkpoint(path)
    with pytest.raises(pet_driver.PetDriverError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.ckpt")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = source_of_model(peer.random_model([1, 8]), "energy", "model.ckpt")
    name = next(iter(source.weights))
    source.weights[name] = torch.zeros(3)
    with pytest.raises(pet_driver.PetDriverError, match=r"weights of model\.ckpt do not fit"):
        save(source, tmp_path / "archive.pt")
    assert not list(tmp_path.iterdir())


def test_a_trained_checkpoint_on_training_frames(data: Path, tmp_path: Path) -> None:
    """The checkpoint that the shipped model was made from, on frames of its reference."""
    checkpoint = data / "starter-small.ckpt"
    archive = tmp_path / "archive.pt"
    check = pet_driver.export(checkpoint, archive, dtype="float64")
    assert check.by == "the code that trained it"
    frames = read(data / "water-revpbe0-d3-150.xyz", "::75")
    theirs = peer.metatrain.utils.io.load_model(str(checkpoint))
    shipped = pet_driver.load("water-small")
    for frame, ours in zip(frames, Model(Archive.load(archive)).evaluate(frames), strict=True):
        energy, forces = peer.energy_and_forces(theirs, frame)
        assert abs(ours.energy - energy) < ENERGY
        assert np.abs(ours.forces - forces).max() < FORCE
        single = shipped.evaluate(frame)
        assert np.abs(single.forces - forces).max() < 2e-3
        assert np.abs(single.forces - frame.get_forces()).mean() < 0.25
