"""Sets of another functional beside the model's own: heads for each, the rest in common."""

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
    files = [file_name("held_out", target) for target in targets(found, both)]
    assert files == ["held-out.xyz", "held-out-other.xyz"]


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


def test_each_needs_frames_to_watch(two_scales: Path, tmp_path: Path, capsys) -> None:
    """Said before the first stage, not when its turn comes."""
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
    """A stage on both, one on the model's own, and one on both again."""
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
    train.train(folder / "both.yaml", two_scales, folder, device="cpu")
    return folder / "both"


def heads(checkpoint: Path, target: str) -> dict[str, torch.Tensor]:
    state = read_checkpoint(checkpoint)["model_state_dict"]
    return {name: weights for name, weights in state.items() if f"heads.{target}." in name}


@pytest.mark.timeout(300)
def test_stages_on_two_functionals(trained: Path) -> None:
    """Each has heads where it is taught, and the archive those of the model's own."""
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
def test_both_teach_what_is_in_common(trained: Path) -> None:
    """New heads are near those they began with; all heads have moved."""
    own, other = (heads(trained / "3-three" / "last.ckpt", t) for t in ("energy", "energy/other"))
    before = heads(trained / "2-two" / "last.ckpt", "energy")
    for name, weights in own.items():
        mate = other[name.replace("heads.energy.", "heads.energy/other.")]
        moved = [(one - before[name]).abs().max() for one in (weights, mate)]
        assert min(moved) > 0 and max(moved) < 0.05
        assert not torch.equal(weights, mate)
