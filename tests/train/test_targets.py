"""Sets of another functional beside the model's own: heads for each, the rest in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest
import torch
import train
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from training.options import options
from training.settings import DataSet, Stage
from training.stages import read_checkpoint
from training.targets import file_name, targets

import pet_driver
from tests.train.conftest import TRAIN, labelled, molecules, settings

pytest.importorskip("metatrain", reason="needs the extra `metatrain`")

OTHER = DataSet("other.xyz", 4, 2, shift=True)


def two_functionals(**stages: Stage):
    data = {"liquid": DataSet("a.xyz", 4, 2), "molecule": DataSet("b.xyz", 4), "other": OTHER}
    return settings(data=data, stages=stages)


def test_what_a_stage_teaches() -> None:
    alone, both = Stage(1, 1e-3, data=("other",)), Stage(1, 1e-3, data=("liquid", "other"))
    own = Stage(1, 1e-3)
    found = two_functionals(pretraining=alone, both=both, own=own)
    assert targets(found, alone) == {"energy": ("other",)}
    assert targets(found, both) == {"energy": ("liquid",), "energy/other": ("other",)}
    assert targets(found, own) == {"energy": ("liquid", "molecule")}
    assert [file_name("train", target) for target in targets(found, both)] == [
        "train.xyz",
        "train-other.xyz",
    ]


@pytest.mark.parametrize(
    "known, inherited", [({"energy"}, True), ({"energy", "energy/other"}, False)]
)
def test_new_heads_begin_with_those_of_the_energy(known: set[str], inherited: bool) -> None:
    stage = Stage(1, 1e-3, data=("liquid", "other"))
    chosen = options(
        two_functionals(one=stage), stage, 1, {8: -1.0}, [8], "cpu", Path("last.ckpt"), known
    )
    begun = chosen["architecture"]["training"]["finetune"]
    assert begun.get("inherit_heads") == ({"energy/other": "energy"} if inherited else None)


@pytest.fixture(scope="module")
def two_scales(made_data: Path, model_f32: pet_driver.Model, tmp_path_factory) -> Path:
    """A folder where the other set has four fifths of the forces, at energies far off."""
    folder = tmp_path_factory.mktemp("two")
    for path in made_data.iterdir():
        (folder / path.name).symlink_to(path)
    frames = labelled(model_f32, molecules(8))
    for atoms in frames:
        energy, forces = atoms.get_potential_energy() + 500.0, 0.8 * atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    ase.io.write(folder / OTHER.file, frames, format="extxyz")
    return folder


@pytest.fixture(scope="module")
def trained(two_scales: Path, tmp_path_factory) -> Path:
    """One stage on both, and one on the model's own."""
    folder = tmp_path_factory.mktemp("trained")
    entries = {
        "base": str(TRAIN / "quick.yaml"),
        "name": "both",
        "data": {"other": {"file": OTHER.file, "train": 6, "held_out": 2, "shift": True}},
        "stages": {"one": {"data": ["liquid", "molecule", "other"], "batch_atoms": 30}},
    }
    (folder / "both.yaml").write_text(yaml.safe_dump(entries))
    train.train(folder / "both.yaml", two_scales, folder, device="cpu")
    return folder / "both"


def heads(checkpoint: Path) -> Callable[[str], list[torch.Tensor]]:
    state = read_checkpoint(checkpoint)["model_state_dict"]
    return lambda target: [weights for name, weights in state.items() if f"heads.{target}." in name]


@pytest.mark.timeout(300)
def test_one_stage_on_two_functionals(trained: Path) -> None:
    """Each has heads, the model keeps its own, and the record counts the frames of both."""
    both, last = heads(trained / "1-one" / "last.ckpt"), heads(trained / "2-two" / "last.ckpt")
    assert len(both("energy")) == len(both("energy/other")) > 0
    assert len(last("energy")) == len(both("energy")) and not last("energy/other")
    record = json.loads((trained / "both.json").read_text())
    # 4 + 8 + 6 frames, and for each functional 2 isolated atoms of each of two elements.
    assert record["stages"]["one"]["train_frames"] == 26
    assert record["stages"]["one"]["history"][-1]["held_out_force_mae"] > 0.0
    assert list(record["errors"]) == ["liquid", "molecule", "ice"]
    assert pet_driver.load(trained / "both.pt").symbols == ["H", "O"]
