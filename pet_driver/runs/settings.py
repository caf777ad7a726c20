"""Settings that change an input file without editing it, and the provenance of a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.model.archive import read_metadata
from pet_driver.symmetry.grids import RotationGrids

# Entries of the provenance that must not change when a run is resumed; the number of steps may.
IDENTITY = ("input file (SHA-256)", "weights (SHA-256)", "settings")


@dataclass(frozen=True)
class Settings:
    """Changes to an input file; None keeps the value of the input file.

    Attributes:
        steps: total number of steps, from the start of the run.
        model: exported model or shipped name; several names joined by plus signs are an ensemble.
        structure: starting structure: a file that ASE reads for i-PI, a data file for LAMMPS.
        grid: rotations to average over. In an input file with several force fields, it replaces
            the grid of the averaged ones.
        device: torch device; ``cuda`` gives each of several clients or ranks its own GPU.
        seed: seed of velocities and thermostats.
        variables: further variables of a LAMMPS input file, by name.
        ranks: number of MPI ranks of LAMMPS.
        clients: number of socket clients of i-PI; 0 evaluates in i-PI's process.
        time_limit: time in s after which the run stops with a restart file; None: no limit.
    """

    steps: int | None = None
    model: str | None = None
    structure: Path | None = None
    grid: str | None = None
    device: str | None = None
    seed: int | None = None
    variables: dict[str, str] = field(default_factory=dict)
    ranks: int = 1
    clients: int = 0
    time_limit: float | None = None

    def check(self) -> None:
        """Raise PetDriverError if a setting is invalid for every input file.

        Raises:
            PetDriverError: unknown model or grid, missing structure, or a number out of range.
        """
        if self.model is not None:
            shipped.resolve_all(self.model)
        if self.structure is not None and not self.structure.is_file():
            raise PetDriverError(f"there is no structure at {self.structure}")
        if self.grid is not None:
            try:
                RotationGrids()(self.grid)
            except ValueError as error:
                raise PetDriverError(str(error)) from None
        for name, value, least in (
            ("steps", self.steps, 1),
            ("seed", self.seed, 1),
            ("ranks", self.ranks, 1),
            ("clients", self.clients, 0),
            ("time limit", self.time_limit, 1),
        ):
            if value is not None and value < least:
                raise PetDriverError(f"{name} {value}: must be at least {least}")

    @property
    def absolute_model(self) -> str | None:
        """The model with absolute paths, valid in every folder."""
        if self.model is None or shipped.is_shipped(self.model):
            return self.model
        return "+".join(str(path.resolve()) for path in shipped.resolve_all(self.model))

    def identity(self) -> str:
        """Return the settings that change the trajectory, as text."""
        pairs: dict[str, object] = {"grid": self.grid, "seed": self.seed, **self.variables}
        if self.structure is not None:
            checksum = hashlib.sha256(self.structure.read_bytes()).hexdigest()[:16]
            pairs["structure"] = f"{self.structure.name} ({checksum})"
        return " ".join(f"{key}={value}" for key, value in pairs.items() if value is not None)


def provenance(input_file: Path, names: Sequence[str], settings: Settings) -> dict[str, str]:
    """Return input file, weights, settings, versions and machine of a run, for its record.

    Args:
        input_file: the input file, before settings are applied.
        names: models of the run; an input file with several force fields may use several.
        settings: settings of the run.
    """
    paths = [shipped.resolve_all(name) for name in names]
    sums = [[read_metadata(path)["weights_sha256"] for path in ensemble] for ensemble in paths]
    return {
        "input file": "/".join(input_file.resolve().parts[-2:]),
        "input file (SHA-256)": hashlib.sha256(input_file.read_bytes()).hexdigest(),
        "archive": ", ".join("+".join(path.name for path in ensemble) for ensemble in paths),
        "weights (SHA-256)": ", ".join("+".join(ensemble) for ensemble in sums),
        "settings": settings.identity(),
        "pet-driver": importlib.metadata.version("pet-driver"),
        "torch": importlib.metadata.version("torch"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }


def default_grid(model: str) -> str:
    """Return the grid that an exported model averages over by default."""
    return read_metadata(shipped.resolve_all(model)[0])["default_grid"]


def check_models(input_file: Path, names: Sequence[str]) -> None:
    """Check that the models of an input file exist.

    Raises:
        PetDriverError: one of them does not; the message names the input file.
    """
    for name in names:
        try:
            shipped.resolve_all(name)
        except PetDriverError as error:
            raise PetDriverError(
                f"the model of {input_file}: {error}; choose another one with --model"
            ) from None


def parse_duration(text: str) -> float:
    """Return the seconds of ``90`` (seconds), ``30:00``, ``23:30:00`` or SLURM's ``1-12:00:00``.

    Raises:
        PetDriverError: the text has none of these forms.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?", text.strip())
    if match is None or (match[1] and not match[3]):
        raise PetDriverError(
            f"{text!r} is not a duration; write 3600, 30:00, 23:30:00 or 1-12:00:00"
        )
    days, *rest = match.groups()
    seconds = 0
    for word in (word for word in rest if word is not None):
        seconds = 60 * seconds + int(word)
    if days and rest[2] is None:  # days-hours:minutes
        seconds *= 60
    return float(86400 * int(days or 0) + seconds)
