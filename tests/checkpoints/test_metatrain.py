"""All checkpoints in metatrain's tests agree with metatrain, or are refused by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read

import pet_driver
from pet_driver.checkpoints import read_checkpoint
from pet_driver.checkpoints.metatrain import _refuse_unknown_parts, source_of_model
from pet_driver.model.archive import Archive, save
from pet_driver.model.evaluator import Model
from pet_driver.model.export import check_structure
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
def test_checkpoint_equals_metatrain(name: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("part", ["long_range", "additive"])
def test_parts_that_the_network_lacks_are_refused_by_name(part: str, tmp_path: Path) -> None:
    model = peer.random_model([1, 8])
    if part == "long_range":
        model.hypers[part] = {"enable": True}
    else:
        model.additive_models.append(torch.nn.Identity())
    with pytest.raises(pet_driver.PetDriverError, match=part):
        _refuse_unknown_parts(tmp_path / "model.ckpt", model)


TINY = {"d_pet": 8, "d_head": 8, "d_node": 8, "d_feedforward": 8, "num_heads": 2}
REPULSIVE = 1.0  # eV or eV/A that ZBL must be worth


def dense(numbers: list[int]) -> Atoms:
    """Return three atoms of each element at distances where ZBL is large."""
    structure = check_structure(numbers, 3 * len(numbers))
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.set_cell(0.6 * atoms.cell, scale_atoms=True)
    return atoms


@pytest.mark.parametrize("numbers", [[1, 8], [1, 6, 7, 8, 14, 26, 79]], ids=["water", "many"])
@pytest.mark.parametrize("stored", [torch.float64, torch.float32], ids=str)
def test_zbl_equals_metatrain(numbers: list[int], stored: torch.dtype, tmp_path: Path) -> None:
    """Checkpoints in both precisions; the scale does not apply to the repulsion."""
    model = peer.random_model(numbers, zbl=True, **TINY).to(stored)
    peer.scale_energies(model, 3.0)
    checkpoint, archive = tmp_path / "model.ckpt", tmp_path / "model.pt"
    torch.save(model.get_checkpoint(), checkpoint)
    assert pet_driver.export(checkpoint, archive, dtype="float64").error < ENERGY
    source = read_checkpoint(checkpoint)
    assert source.scale == 3.0 and len(source.zbl_radii) == len(numbers)

    atoms = dense(numbers)
    theirs = peer.metatrain.utils.io.load_model(str(checkpoint))
    energy, forces = peer.energy_and_forces(theirs, atoms)
    ours = Model(Archive.load(archive)).evaluate(atoms)
    assert abs(ours.energy - energy) < ENERGY
    assert np.abs(ours.forces - forces).max() < FORCE
    theirs.additive_models = theirs.additive_models[:1]
    without, bare = peer.energy_and_forces(theirs, atoms)
    assert energy - without > REPULSIVE and np.abs(forces - bare).max() > REPULSIVE


def test_zbl_beyond_the_cutoff_is_refused(tmp_path: Path) -> None:
    model = peer.random_model([1, 55], zbl=True, cutoff=4.0, **TINY)
    torch.save(model.get_checkpoint(), tmp_path / "model.ckpt")
    with pytest.raises(pet_driver.PetDriverError, match=r"ZBL repulsion of model.ckpt reaches"):
        read_checkpoint(tmp_path / "model.ckpt")


def checkpoint_with_targets(folder: Path, **quantities: str) -> Path:
    """Write a checkpoint with targets of these quantities; return its path."""
    model = peer.random_model([1, 8], quantities, **TINY)
    torch.save(model.get_checkpoint(), folder / "model.ckpt")
    return folder / "model.ckpt"


def test_one_of_several_energies_must_be_named(tmp_path: Path) -> None:
    """A fine-tuned model also has the energy of the model that it started from."""
    checkpoint = checkpoint_with_targets(tmp_path, **{"energy": "energy", "energy/fine": "energy"})
    with pytest.raises(
        pet_driver.PetDriverError, match=r"2 energies \(energy, energy/fine\); name"
    ):
        read_checkpoint(checkpoint)
    found = {name: read_checkpoint(checkpoint, name) for name in ("energy", "energy/fine")}
    name = next(n for n in found["energy"].weights if "node_last" in n and "weight" in n)
    assert not torch.equal(*(one.weights[name] for one in found.values()))
    with pytest.raises(pet_driver.PetDriverError, match="no energy called 'gap'"):
        read_checkpoint(checkpoint, "gap")


def test_targets_of_other_quantities_are_no_energies(tmp_path: Path) -> None:
    checkpoint = checkpoint_with_targets(tmp_path, gap="")
    with pytest.raises(pet_driver.PetDriverError, match=r"no target of the quantity energy.* gap"):
        read_checkpoint(checkpoint)


def test_low_rank_adaptation_is_merged(tmp_path: Path) -> None:
    from metatrain.pet.modules.finetuning import apply_finetuning_strategy

    model = peer.random_model([1, 8], **TINY)
    atoms = dense([1, 8])
    before, _ = peer.energy_and_forces(model, atoms)
    strategy = {"method": "lora", "config": {"rank": 2, "alpha": 4}, "inherit_heads": {}}
    model = apply_finetuning_strategy(model, {"read_from": None, **strategy})
    energy, forces = peer.energy_and_forces(model, atoms)
    assert abs(energy - before) > 1e-3
    checkpoint = model.get_checkpoint()
    checkpoint["best_model_state_dict"] = dict(checkpoint["model_state_dict"])
    torch.save(checkpoint, tmp_path / "model.ckpt")
    pet_driver.export(tmp_path / "model.ckpt", tmp_path / "model.pt", dtype="float64")
    ours = pet_driver.load(tmp_path / "model.pt").evaluate(atoms)
    assert abs(ours.energy - energy) < ENERGY
    assert np.abs(ours.forces - forces).max() < FORCE


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    """The packages of the other architecture need not be installed."""
    torch.save({"architecture_name": "soap_bpnn"}, tmp_path / "model.ckpt")
    with pytest.raises(pet_driver.PetDriverError, match=r"model of type soap_bpnn, not a PET"):
        read_checkpoint(tmp_path / "model.ckpt")


def test_files_that_are_not_checkpoints_are_refused(tmp_path: Path) -> None:
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


def test_trained_checkpoint_on_training_structures(data: Path, tmp_path: Path) -> None:
    """Trained weights, in both precisions."""
    checkpoint = data / "starter-small.ckpt"
    archive = tmp_path / "archive.pt"
    check = pet_driver.export(checkpoint, archive, dtype="float64")
    assert check.by == "the code that trained it"
    frames = read(data / "water-revpbe0-d3-150.xyz", "::75")
    theirs = peer.metatrain.utils.io.load_model(str(checkpoint))
    pet_driver.export(checkpoint, tmp_path / "single.pt")
    single_precision = pet_driver.load(tmp_path / "single.pt")
    for frame, ours in zip(frames, Model(Archive.load(archive)).evaluate(frames), strict=True):
        energy, forces = peer.energy_and_forces(theirs, frame)
        assert abs(ours.energy - energy) < ENERGY
        assert np.abs(ours.forces - forces).max() < FORCE
        single = single_precision.evaluate(frame)
        assert np.abs(single.forces - forces).max() < 2e-3
        assert np.abs(single.forces - frame.get_forces()).mean() < 0.25
