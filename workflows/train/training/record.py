"""What a training was: written beside the archive, and the source of its card."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pet_driver.errors import PetDriverError
from pet_driver.files import write_atomically
from training.settings import Settings

PACKAGES = ("pet-driver", "metatrain", "torch")
HISTORY_ROWS = 60  # of each stage; a card draws no more


@dataclass
class Record:
    """One training.

    Attributes:
        name: of the model.
        settings: the configuration, complete.
        seed: of initial weights, rotations and batches; ``None``: not on record.
        start: SHA-256 of the weights that it began with; empty: random ones.
        start_on_record: whether it is known which frames those had seen.
        seen_before: these frames: indices by the SHA-256 of their file.
        split: by set: file, checksum, indices to train on and held out.
        baselines: eV by atomic number.
        stages: by name: frames, atoms, seconds, device and history.
        errors: by set: errors of the raw network on the frames held out.
        curve: by number of training frames of the first set: the same, of other trainings.
        versions: of packages.
        machine: where it was trained.
    """

    name: str
    settings: dict[str, Any]
    seed: int | None
    split: dict[str, Any]
    start: str = ""
    start_on_record: bool = True
    seen_before: dict[str, list[int]] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)
    curve: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    def write(self, path: Path) -> None:
        """Write as JSON, at once or not at all."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_atomically(path, text.encode())

    @property
    def frames(self) -> int:
        """Training frames of the first set."""
        return len(self.split[self.first]["train"])

    @property
    def first(self) -> str:
        """The set that the model is mainly for."""
        return next(iter(self.settings["data"]))

    def is_comparable(self, other: Record) -> bool:
        """Whether two trainings differ in the number of frames of the first set alone."""
        return self._in_common() == other._in_common()

    def _in_common(self) -> dict[str, Any]:
        """What trainings that make up a learning curve share."""
        settings = {k: v for k, v in self.settings.items() if k not in ("name", "frames", "start")}
        split = {name: dict(one) for name, one in self.split.items()}
        split[self.first].pop("train")
        return {"settings": settings, "split": split, "seed": self.seed, "start": self.start}


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        PetDriverError: there is none, or it is not one.
    """
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise PetDriverError(
            f"there is no record of a training at {path}; train.py writes it beside the archive"
        ) from None
    except (json.JSONDecodeError, TypeError) as error:
        raise PetDriverError(f"{path} is not a record of a training: {error}") from None


def new_record(settings: Settings, name: str, seed: int, split: Mapping[str, Any]) -> Record:
    """The record of a training that is about to begin."""
    return Record(
        name=name,
        settings=settings.as_dict(),
        seed=seed,
        split=dict(split),
        versions={package: importlib.metadata.version(package) for package in PACKAGES},
        machine=f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    )


def thinned(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Some rows of a long history, the first and the last among them."""
    step = max(1, -(-len(history) // HISTORY_ROWS))
    return history[::step] + (history[-1:] if (len(history) - 1) % step else [])


def device_name(device: str) -> str:
    """What ``cuda`` or ``cpu`` is on this machine."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return "CPU"
