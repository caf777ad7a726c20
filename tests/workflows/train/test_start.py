"""Trainings that start with the weights of an archive."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from training.frames import Split
from training.settings import read_settings
from training.start import begin_with, weights_to_start_with

import pet_driver
from pet_driver.checkpoints.metatrain import source_of_model
from pet_driver.errors import PetDriverError
from pet_driver.model.archive import Archive, save
from tests.metatrain_peer import energy_and_forces, random_model, scale_energies
from tests.workflows.train.conftest import TRAIN

NETWORK = yaml.safe_load((TRAIN / "quick.yaml").read_text())["network"] | {"zbl": False}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Archive with the network of quick.yaml, without repulsion."""
    save(source_of_model(random_model([1, 8], **NETWORK), "energy"), tmp_path / "start.pt")
    return tmp_path / "start.pt"


def configuration(archive: Path, **changes: object) -> Path:
    path = archive.with_name("mine.yaml")
    entries = {"base": str(TRAIN / "quick.yaml"), "start": archive.name, "network": {"zbl": False}}
    path.write_text(yaml.safe_dump(entries | changes))
    return path


def test_scale_is_included_in_the_last_layers(small_box: Atoms) -> None:
    model, other = random_model([1, 8], **NETWORK), random_model([1, 8], **NETWORK)
    scale_energies(model, 2.5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.1
    source = source_of_model(model, "energy")
    assert source.scale == 2.5
    energy, forces = energy_and_forces(model, small_box)
    assert abs(energy - energy_and_forces(other, small_box)[0]) > 1e-3
    begin_with(source, other)
    found = energy_and_forces(other, small_box)
    assert found[0] == pytest.approx(energy, rel=1e-12)
    assert np.abs(found[1] - forces).max() < 1e-12


def test_heads_of_all_targets_start_with_the_same_weights(small_box: Atoms) -> None:
    model = random_model([1, 8], **NETWORK)
    two = random_model([1, 8], {"energy": "energy", "energy/other": "energy"}, **NETWORK)
    begin_with(source_of_model(model, "energy"), two)
    energy, forces = energy_and_forces(model, small_box)
    for target in ("energy", "energy/other"):
        found = energy_and_forces(two, small_box, target)
        assert found[0] == pytest.approx(energy, rel=1e-12)
        assert np.abs(found[1] - forces).max() < 1e-12


def test_resumed_training_keeps_its_weights(start: Path) -> None:
    from training.launch import prepared

    source = Archive.load(start).source()
    train = prepared(lambda self, model: None, source)
    for state, begun in ((None, True), ({"state": {}}, False)):
        model = random_model([1, 8], **NETWORK)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        train(SimpleNamespace(optimizer_state_dict=state), model)
        assert any(parameter.any() for parameter in model.parameters()) == begun


def test_resumed_schedule_has_its_learning_rate() -> None:
    from training.launch import Schedule

    def new_schedule() -> Schedule:
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=1e-2)
        return Schedule(optimizer, lambda step: 1.0 / (1.0 + step))

    before = new_schedule()
    for _ in range(9):
        before.optimizer.step()
        before.step()
    after = new_schedule()
    after.load_state_dict(before.state_dict())
    assert after.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_first_stage_starts_with_the_weights(start: Path, made_data: Path) -> None:
    """With a vanishing learning rate the weights are unchanged; the path is relative."""
    one = {"epochs": 1, "learning_rate": 1e-12, "optimizer": "adam"}
    mine = configuration(start, stages={"one": one, "two": None})
    command = [sys.executable, str(TRAIN / "train.py"), str(mine), "--data", str(made_data)]
    command += ["-o", str(start.parent), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (Archive.load(path) for path in (start, start.parent / "mine" / "mine.pt"))
    assert before.weights.keys() == after.weights.keys()
    for name, weights in before.weights.items():
        assert torch.allclose(weights, after.weights[name], atol=1e-6), name
    card = (start.parent / "mine" / "mine.md").read_text()
    assert "Which frames the weights that it began with had seen is not on record." in card
    assert f"Begun with the weights of start ({before.metadata['weights_sha256'][:16]})" in card


@pytest.mark.parametrize(
    ("change", "species", "message"),
    [
        ({}, [1, 6], r"start.pt knows H, O, and the data have H, C; leave 'start' out"),
        ({"network": {"d_head": 16, "zbl": False}}, [1, 8], r"network: d_head: 8"),
        ({"network": {"zbl": True}}, [1, 8], r"without the repulsion of nuclei; .* zbl: false"),
        ({"start": "none.pt"}, [1, 8], r"none.pt is neither a file nor a shipped model"),
    ],
)
def test_unusable_archives_are_refused(
    start: Path, change: dict, species: list, message: str
) -> None:
    settings = read_settings(configuration(start, **change))
    with pytest.raises(PetDriverError, match=message):
        weights_to_start_with(settings, species, {})


def split_like(entry: dict, held_out: list[int]) -> Split:
    return Split("mine.xyz", entry["sha256"], [], [], held_out)


def split_of(shipped: str) -> dict:
    return json.loads(Archive.load(shipped).path.with_suffix(".json").read_text())["split"]


def test_start_with_a_shipped_model(tmp_path: Path) -> None:
    """Its training frames cannot be held out, in any set."""
    further = tmp_path / "further.yaml"
    further.write_text(f"base: {TRAIN / 'water-small-cpu.yaml'}\nname: mine\nstart: water-small\n")
    settings = read_settings(further)
    model = pet_driver.load("water-small")
    liquid = split_of("water-small")["liquid"]
    splits = {"mine": split_like(liquid, liquid["held_out"])}
    start = weights_to_start_with(settings, [1, 8], splits)
    assert start.archive == model.path and start.on_record
    assert start.checksum == model.metadata["weights_sha256"]
    splits = {"mine": split_like(liquid, liquid["train"][:3])}
    with pytest.raises(PetDriverError, match=r"trained on 3 of the frames of mine .* held out"):
        weights_to_start_with(settings, [1, 8], splits)


def test_frames_of_earlier_trainings_cannot_be_held_out(start: Path) -> None:
    """The initial weights of the archive were trained on further frames and another file."""
    own = {"mine": {"sha256": "1", "train": [3, 5], "held_out": []}}
    record = {"name": "start", "settings": {}, "seed": 1, "split": own}
    record |= {"start": "abc", "seen_before": {"1": [3, 4], "2": [0]}}
    start.with_suffix(".json").write_text(json.dumps(record))
    settings = read_settings(configuration(start))
    found = weights_to_start_with(settings, [1, 8], {"new": split_like({"sha256": "1"}, [6])})
    assert found.on_record and found.seen == {"1": [3, 4, 5], "2": [0]}
    for checksum, held_out in (("1", [4, 6]), ("2", [0, 1])):
        splits = {"new": split_like({"sha256": checksum}, held_out)}
        with pytest.raises(PetDriverError, match="trained on 1 of the frames of new"):
            weights_to_start_with(settings, [1, 8], splits)


@pytest.mark.parametrize("change", [{"start": "abc"}, {"start_on_record": False}])
def test_unknown_frames_of_earlier_trainings(start: Path, change: dict) -> None:
    """The archive has a record, which does not tell the frames of its initial weights."""
    record = {"name": "start", "settings": {}, "seed": 1, "split": {}, **change}
    start.with_suffix(".json").write_text(json.dumps(record))
    found = weights_to_start_with(read_settings(configuration(start)), [1, 8], {})
    assert not found.on_record and not found.seen


def test_archive_without_a_record(start: Path) -> None:
    found = weights_to_start_with(read_settings(configuration(start)), [1, 8], {})
    assert found.archive == start and not found.on_record
