"""Configurations: errors name the file, the value and the remedy."""

from pathlib import Path

import pytest
import torch
import yaml
from training.options import options
from training.settings import Stage, read_settings

from pet_driver.errors import PetDriverError
from tests.workflows.train.conftest import TRAIN, settings

CONFIGURATIONS = sorted(TRAIN.glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_shipped_configurations(path: Path) -> None:
    settings = read_settings(path)
    # water-small-cpu trains the model of the same name on a CPU
    assert settings.name == path.stem.removesuffix("-cpu")
    assert settings.data[settings.first].held_out > 0


def test_a_base_is_changed_in_parts() -> None:
    small, alone = (read_settings(TRAIN / f"water-{n}.yaml") for n in ("small", "liquid-only"))
    assert alone.network == small.network and alone.data["liquid"] == small.data["liquid"]
    assert alone.of_stage(alone.stages["one"]) == ("liquid",)
    assert "pbe0-ts" not in alone.data
    assert alone.of_stage(alone.stages["pretraining"]) == ("liquid",)
    assert small.of_stage(small.stages["pretraining"]) == ("pbe0-ts",)
    stage_one = ("liquid", "molecule", "ice", "clusters", "pairs")
    assert small.of_stage(small.stages["one"]) == stage_one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 1}, "unknown sed; known are"),
        ({"data": {}}, "'data' is missing or empty"),
        ({"data": {"liquid": {"train": 3}}}, "data: liquid: file must be given"),
        ({"data": {"liquid": {"file": "a.xyz", "train": 3.5}}}, "is 3.5; write a whole number"),
        ({"data": {"liquid": {"file": "a.xyz"}}}, "give 'held_out'"),
        ({"data": {"pbe.ts": {"file": "a.xyz", "train": 3}}}, "data: pbe.ts: files and heads"),
        ({"network": {"d_pot": 8}}, "d_pot is not a hyper-parameter of pet-driver's network"),
        ({"network": {"zbl": 1}}, "network: zbl is 1; write true or false"),
        ({"network": {"d_pet": 9}}, "d_pet = 9 is not divisible by num_heads"),
        ({"stages": {"one": {"epochs": 2}}}, "stages: one: learning_rate must be given"),
        ({"stages": {"one": {"epochs": 0, "learning_rate": 1}}}, "epochs is 0; it must be at"),
        ({"stages": {"one": {"epochs": 2, "learning_rate": "x"}}}, "is 'x'; write a number"),
        ({"stages": {"one": {"epochs": 2, "learning_rate": 1, "data": ["gas"]}}}, "names gas"),
        (
            {"stages": {"one": {"epochs": 2, "learning_rate": 1, "optimizer": "sgd"}}},
            "optimizer is 'sgd'; write adam or soap",
        ),
        (
            {"stages": {"one": {"epochs": 2, "learning_rate": 1, "huber_delta": -0.1}}},
            "huber_delta is -0.1; write eV/A, or 0",
        ),
        (
            {
                "stages": {
                    "one": {
                        "epochs": 2,
                        "learning_rate": 1,
                        "optimizer": "soap",
                        "training": {"weight_decay": 0.1},
                    }
                }
            },
            "weight_decay is metatrain's AdamW; write optimizer: adam",
        ),
        ({"atomic_energies": {"Q": 1.0}}, "atomic_energies: Q"),
        ({"atomic_energies": {}}, "isolated_atoms needs atomic_energies"),
    ],
)
def test_wrong_configurations(tmp_path: Path, change: dict, message: str) -> None:
    entries = yaml.safe_load((TRAIN / "quick.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**entries, **change}))
    with pytest.raises(PetDriverError) as error:
        read_settings(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(PetDriverError, match="there is no configuration"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(PetDriverError, match="is not YAML"):
        read_settings(tmp_path / "bad.yaml")
    (tmp_path / "circle.yaml").write_text("base: circle.yaml")
    with pytest.raises(PetDriverError, match="circle"):
        read_settings(tmp_path / "circle.yaml")


def test_options_of_a_later_stage(tmp_path: Path) -> None:
    chosen = settings()
    stage = Stage(5, 1e-4, energy_weight=10.0, training={"grad_clip_norm": 2.0})
    found = options(chosen, stage, 3, {1: -13.6}, [1, 8], "cuda", tmp_path / "last.ckpt")
    training = found["architecture"]["training"]
    assert training["finetune"] == {"method": "full", "read_from": str(tmp_path / "last.ckpt")}
    assert training["loss"]["energy"]["weight"] == 10.0 and training["grad_clip_norm"] == 2.0
    assert found["seed"] == 3 and found["device"] == "cuda"


def test_large_errors_of_forces_count_linearly() -> None:
    stage = Stage(5, 1e-4, forces_weight=3.0, huber_delta=0.1)
    found = options(settings(), stage, 3, {1: -13.6}, [1, 8], "cpu", None)
    loss = found["architecture"]["training"]["loss"]["energy"]["gradients"]["positions"]
    losses = pytest.importorskip("metatrain.utils.loss", reason="needs the extra `metatrain`")
    kind = losses.create_loss(
        loss.pop("type"), name="energy", gradient="positions", reduction="mean", **loss
    )
    zero = torch.zeros(1)
    at = [kind.weight * float(kind.torch_loss(zero + error, zero)) for error in (0.05, 0.5)]
    assert at == pytest.approx([3.0 * 0.05**2, 3.0 * (2 * 0.1 * 0.5 - 0.1**2)])
