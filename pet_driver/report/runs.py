"""What a finished run says of itself: ``run.json`` in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pet_driver.errors import PetDriverError

FILE = "run.json"
KINDS = ("molecule-nve", "liquid-nvt", "liquid-pimd")


@dataclass(frozen=True)
class Run:
    """One run, with its files relative to its folder.

    Attributes:
        name: how figures call it.
        kind: one of ``KINDS``; the report picks its figures by it.
        grid: rotations averaged over.
        engine: i-PI or LAMMPS, with version.
        n_atoms: of the system, or of one bead.
        timestep: fs.
        steps: how many were run.
        positions: trajectories, one by bead.
        velocities: of the positions, where they are in a file of their own.
        properties: i-PI's property file or LAMMPS' log.
        wall_time: s.
        command: that made it, to be repeated in the folder.
        provenance: checksums and versions.
    """

    name: str
    kind: str
    grid: str
    engine: str
    n_atoms: int
    timestep: float
    steps: int
    positions: list[str]
    properties: str
    wall_time: float
    command: str
    velocities: str | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def write(self) -> None:
        entries = {key: value for key, value in asdict(self).items() if key != "folder"}
        (self.folder / FILE).write_text(json.dumps(entries, indent=1) + "\n")

    def path(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise PetDriverError(f"{self.folder / FILE} names {name}, which is not there")
        return path

    @property
    def duration(self) -> float:
        """ps."""
        return 1e-3 * self.timestep * self.steps


def find_runs(folder: Path) -> list[Run]:
    """All runs below ``folder``, in the order of their names.

    Raises:
        PetDriverError: there is none, or a ``run.json`` is not one.
    """
    runs = []
    for path in sorted(folder.glob(f"**/{FILE}")):
        try:
            run = Run(**json.loads(path.read_text()), folder=path.parent)
        except (json.JSONDecodeError, TypeError) as error:
            raise PetDriverError(f"{path} does not describe a run: {error}") from None
        if run.kind not in KINDS:
            raise PetDriverError(f"{path}: kind {run.kind!r} is not one of {', '.join(KINDS)}")
        runs.append(run)
    if not runs:
        raise PetDriverError(f"there is no {FILE} below {folder}; run something first: make run")
    return runs
