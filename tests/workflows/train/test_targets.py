"""Training on two functionals: separate heads, and all other weights shared."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import pytest
import torch
import train
import typer
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from training.options import options
from training.settings import DataSet, Stage
from training.stages import read_checkpoint
from training.targets import file_name, targets

import pet_driver
from tests.workflows.train.conftest import TRAIN, labelled, molecules, settings

pytest.importorskip("metatrain", reason="needs the extra `metatrain`")
pytestmark = pytest.mark.xdist_group("two functionals")  # one worker trains

OTHER = DataSet("other.xyz", 4, 2, shift=True)


def two_functionals(**stages: Stage):
    data = {"liquid": DataSet("a.xyz", 4, 2), "molecule": DataSet("b.xyz", 4), "other": OTHER}
    return settings(data=data, stages=stages)


def test_targets_of_a_stage() -> None:
    alone, both = Stage(1, 1e-3, data=("other",)), Stage(1, 1e-3, data=("liquid", "other"))
    own = Stage(1, 1e-3)
    found = two_functionals(pretraining=alone, both=both, own=own)
    assert targets(found, alone) == {"energy": ("other",)}
    assert targets(found, both) == {"energy": ("liquid",), "energy/other": ("other",)}
    assert targets(found, own) == {"energy": ("liquid", "molecule")}
    files = [file_name("held_out", target) for target in targets(found, both)]
    assert files == ["held-out.xyz", "held-out-other.xyz"]


@pytest.mark.parametrize(
    "known, inherited", [({"energy"}, True), ({"energy", "energy/other"}, False)]
)
def test_new_heads_are_copied_from_the_energy(known: set[str], inherited: bool) -> None:
    stage = Stage(1, 1e-3, data=("liquid", "other"))
    chosen = options(
        two_functionals(one=stage), stage, 1, {8: -1.0}, [8], "cpu", Path("last.ckpt"), known
    )
    begun = chosen["architecture"]["training"]["finetune"]
    assert begun.get("inherit_heads") == ({"energy/other": "energy"} if inherited else None)


@pytest.fixture(scope="module")
def two_scales(made_data: Path, model_f32: pet_driver.Model, tmp_path_factory) -> Path:
    """Data folder with a second set: forces times 0.8, energies shifted by 500 eV."""
    folder = tmp_path_factory.mktemp("two")
    for path in made_data.iterdir():
        (folder / path.name).symlink_to(path)
    frames = labelled(model_f32, molecules(8))
    for atoms in frames:
        energy, forces = atoms.get_potential_energy() + 500.0, 0.8 * atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    ase.io.write(folder / OTHER.file, frames, format="extxyz")
    return folder


def test_each_target_needs_held_out_frames(two_scales: Path, tmp_path: Path, capsys) -> None:
    """The error comes before the first stage, not at the stage concerned."""
    entries = {
        "base": str(TRAIN / "quick.yaml"),
        "data": {"other": {"file": OTHER.file, "train": 6, "shift": True}},
        "stages": {"two": {"data": ["liquid", "other"]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(entries))
    with pytest.raises(typer.Exit):
        train.train(tmp_path / "mine.yaml", two_scales, tmp_path, device="cpu")
    assert "stages: two: it needs frames of other under 'held_out'" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


@pytest.fixture(scope="module")
def trained(two_scales: Path, tmp_path_factory) -> Path:
    """Training with a stage on both functionals, one on the first, and one on both."""
    folder = tmp_path_factory.mktemp("trained")
    both = {"data": ["liquid", "molecule", "other"], "batch_atoms": 30, "epochs": 1}
    last = {**both, "learning_rate": 1e-4, "training": {"num_workers": 0}}
    entries = {
        "base": str(TRAIN / "quick.yaml"),
        "name": "both",
        "data": {"other": {"file": OTHER.file, "train": 6, "held_out": 2, "shift": True}},
        "stages": {"one": both, "two": {"epochs": 1}, "three": last},
    }
    (folder / "both.yaml").write_text(yaml.safe_dump(entries))
    with pytest.MonkeyPatch.context() as patch:
        # the model card takes longer than the training, and test_training.py checks it
        patch.setattr(train, "write_card", lambda *_, **__: "")
        train.train(folder / "both.yaml", two_scales, folder, device="cpu")
    return folder / "both"


def heads(checkpoint: Path, target: str) -> dict[str, torch.Tensor]:
    state = read_checkpoint(checkpoint)["model_state_dict"]
    return {name: weights for name, weights in state.items() if f"heads.{target}." in name}


@pytest.mark.timeout(300)
def test_stages_on_two_functionals(trained: Path) -> None:
    """A stage has heads for its targets; the archive has those of the first functional."""
    numbers = [
        tuple(len(heads(stage / "last.ckpt", name)) for name in ("energy", "energy/other"))
        for stage in sorted(trained.glob("?-*"))
    ]
    n = numbers[0][0]
    assert n > 0 and numbers == [(n, n), (n, 0), (n, n)]
    record = json.loads((trained / "both.json").read_text())
    # 4 + 8 + 6 frames, and for each functional 2 isolated atoms of each of two elements.
    assert record["stages"]["one"]["train_frames"] == 26
    assert record["stages"]["one"]["history"][-1]["held_out_force_mae"] > 0.0
    assert list(record["errors"]) == ["liquid", "molecule", "ice"]
    model = pet_driver.load(trained / "both.pt")
    assert model.metadata["provenance"]["target"] == "energy"


@pytest.mark.timeout(300)
def test_both_targets_train_the_shared_weights(trained: Path) -> None:
    """New heads are close to those they were copied from; all heads have changed."""
    own, other = (heads(trained / "3-three" / "last.ckpt", t) for t in ("energy", "energy/other"))
    before = heads(trained / "2-two" / "last.ckpt", "energy")
    for name, weights in own.items():
        mate = other[name.replace("heads.energy.", "heads.energy/other.")]
        moved = [(one - before[name]).abs().max() for one in (weights, mate)]
        assert min(moved) > 0 and max(moved) < 0.05
        assert not torch.equal(weights, mate)
