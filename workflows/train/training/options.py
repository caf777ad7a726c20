"""Make the options of metatrain for one stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from training.settings import Settings, Stage
from training.targets import TARGET, file_name, targets


def options(
    settings: Settings,
    stage: Stage,
    seed: int,
    atomic_baseline: Mapping[int, float],
    species: list[int],
    device: str,
    start: Path | None,
    known: Collection[str] = (TARGET,),
) -> dict[str, Any]:
    """Return the content of ``options.yaml``.

    metatrain by default applies a random proper or improper rotation to every training frame, and
    fits baselines in float64. Targets are not scaled: energies per atom after the baseline and
    forces are of the order of 1 in eV and A, and the loss weights then have the same meaning for
    all data sets.

    Args:
        settings: the configuration.
        stage: one of its stages.
        seed: for initial weights, rotations and batches.
        atomic_baseline: eV by atomic number.
        species: atomic numbers, ascending.
        device: ``cpu`` or ``cuda``.
        start: checkpoint with the initial weights of this stage.
        known: targets of that checkpoint; heads of new targets are copied from the first one.
    """
    learned = list(targets(settings, stage))
    training: dict[str, Any] = {
        "num_epochs": stage.epochs,
        "learning_rate": stage.learning_rate,
        "warmup_fraction": stage.warmup,
        "max_atoms_per_batch": stage.batch_atoms,
        "checkpoint_interval": stage.checkpoint_epochs,
        "scale_targets": False,
        "atomic_baseline": {target: dict(atomic_baseline) for target in learned},
        "loss": {target: _loss(stage) for target in learned},
    }
    if start is not None:
        training["finetune"] = {"method": "full", "read_from": str(start.resolve())}
        if new := [target for target in learned if target not in known]:
            training["finetune"]["inherit_heads"] = dict.fromkeys(new, TARGET)
    training |= stage.training
    return {
        "seed": seed,
        "device": device,
        "base_precision": 32,
        "final_eval": False,
        "architecture": {
            "name": "pet",
            "atomic_types": species,
            "model": dict(settings.network),
            "training": training,
        },
        "training_set": [_set("train", target) for target in learned],
        "validation_set": [_set("held_out", target) for target in learned],
    }


def _loss(stage: Stage) -> dict[str, Any]:
    """Return the loss of energies and forces."""
    return {
        "type": "mse",
        "weight": stage.energy_weight,
        "gradients": {"positions": _forces_loss(stage)},
    }


def _forces_loss(stage: Stage) -> dict[str, Any]:
    if not stage.huber_delta:
        return {"type": "mse", "weight": stage.forces_weight}
    weight = 2 * stage.forces_weight  # torch's Huber loss is half the squared error near zero
    return {"type": "huber", "weight": weight, "delta": stage.huber_delta}


def _set(part: str, target: str) -> dict[str, Any]:
    entry = {"key": "energy", "unit": "eV", "forces": {"key": "forces"}, "stress": False}
    return {
        "systems": {"read_from": file_name(part, target), "length_unit": "angstrom"},
        "targets": {target: entry},
    }
