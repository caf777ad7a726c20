"""What one may change in an input file without editing it."""

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

# What must be the same for a run to be continued by another run segment; steps may grow.
IDENTITY = ("input file (SHA-256)", "weights (SHA-256)", "settings")


@dataclass(frozen=True)
class Settings:
    """Changes to an input file; None leaves what the input file says.

    Attributes:
        steps: total number of steps, from the very start.
        model: archive or shipped name; several joined with plus signs.
        structure: to start from: any file of ASE's for i-PI, a data file for LAMMPS.
        grid: rotations to average over; in an input file with several force fields, those of its averaged
            ones.
        device: torch device; with several clients or ranks ``cuda`` gives each its own.
        seed: of velocities and thermostats.
        variables: of a LAMMPS input file, beside those above.
        ranks: MPI ranks of LAMMPS.
        clients: socket clients of i-PI; 0 evaluates inside i-PI's process.
        time_limit: s after which the run stops with a restart file; None: never.
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
        """Refuse what no input file could mean.

        Raises:
            PetDriverError: an unknown model or grid, or a number out of its range.
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
        """The model as every folder understands it."""
        if self.model is None or shipped.is_shipped(self.model):
            return self.model
        return "+".join(str(path.resolve()) for path in shipped.resolve_all(self.model))

    def identity(self) -> str:
        """The settings that decide on the trajectory, as text."""
        pairs = {"grid": self.grid, "seed": self.seed, **self.variables}
        if self.structure is not None:
            checksum = hashlib.sha256(self.structure.read_bytes()).hexdigest()[:16]
            pairs["structure"] = f"{self.structure.name} ({checksum})"
        return " ".join(f"{key}={value}" for key, value in pairs.items() if value is not None)


def provenance(input_file: Path, names: Sequence[str], settings: Settings) -> dict[str, str]:
    """What a run was made of: input file, weights, versions, machine.

    Args:
        names: of its models, of which an input file with several forces may have more than one.
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
    """What an archive averages over by itself."""
    return read_metadata(shipped.resolve_all(model)[0])["default_grid"]


def parse_duration(text: str) -> float:
    """Seconds of ``90`` (seconds), ``30:00``, ``23:30:00`` or SLURM's ``1-12:00:00``.

    Raises:
        PetDriverError: it is none of these.
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
