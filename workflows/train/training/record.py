"""Read and write the record of a training, from which the model card is made."""

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

from pet_driver.common.files import write_atomically
from pet_driver.errors import PetDriverError
from training.settings import Settings

PACKAGES = ("pet-driver", "metatrain", "torch")
HISTORY_ROWS = 60  # largest number of rows kept of each stage


@dataclass
class Record:
    """Record of one training.

    Attributes:
        name: of the model.
        settings: the complete configuration.
        seed: for initial weights, rotations and batches; ``None``: not recorded.
        start: SHA-256 of the initial weights; empty: random weights.
        start_on_record: whether the frames that the initial weights were trained on are known.
        seen_before: indices of these frames, by the SHA-256 of their file.
        split: by set, the file, its checksum, and the indices of training and held-out frames.
        baselines: energies in eV by atomic number.
        stages: by name, the frames, atoms, seconds, device and history.
        errors: by set, errors of the raw network on the held-out frames.
        curve: errors of trainings on fewer frames, by number of training frames of the first set.
        versions: versions of packages.
        machine: architecture, cores and operating system of the machine.
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
        """Write the record as JSON, atomically."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_atomically(path, text.encode())

    @property
    def frames(self) -> int:
        """Number of training frames of the first set."""
        return len(self.split[self.first]["train"])

    @property
    def first(self) -> str:
        """Name of the first set, which the model is mainly for."""
        return next(iter(self.settings["data"]))

    def is_comparable(self, other: Record) -> bool:
        """Return whether two trainings differ only in the number of frames of the first set."""
        return self._in_common() == other._in_common()

    def _in_common(self) -> dict[str, Any]:
        """Return the settings that all trainings of a learning curve must share."""
        settings = {k: v for k, v in self.settings.items() if k not in ("name", "frames", "start")}
        split = {name: dict(one) for name, one in self.split.items()}
        split[self.first].pop("train")
        return {"settings": settings, "split": split, "seed": self.seed, "start": self.start}


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        PetDriverError: the file is missing or is not a record.
    """
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise PetDriverError(
            f"there is no record of a training at {path}; train.py writes it to the folder of the "
            "archive"
        ) from None
    except (json.JSONDecodeError, TypeError) as error:
        raise PetDriverError(f"{path} is not a record of a training: {error}") from None


def new_record(settings: Settings, name: str, seed: int, split: Mapping[str, Any]) -> Record:
    """Return the record of a training that is about to begin."""
    return Record(
        name=name,
        settings=settings.as_dict(),
        seed=seed,
        split=dict(split),
        versions={package: importlib.metadata.version(package) for package in PACKAGES},
        machine=f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    )


def thinned(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return at most about ``HISTORY_ROWS`` rows, including the first and the last."""
    step = max(1, -(-len(history) // HISTORY_ROWS))
    return history[::step] + (history[-1:] if (len(history) - 1) % step else [])


def device_name(device: str) -> str:
    """Return the name of the GPU, or ``CPU``."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return "CPU"
