"""Read and write the record of a run: ``run.json`` in its folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pet_driver.common.files import write_atomically
from pet_driver.errors import PetDriverError

FILE = "run.json"
SYSTEMS = ("molecule", "bulk")
MOTIONS = ("nve", "nvt", "npt", "relaxation", "replay")


@dataclass(frozen=True)
class Run:
    """Record of one run; paths of files are relative to its folder.

    Attributes:
        name: name in figures.
        system: "molecule" (one water molecule) or "bulk".
        motion: one of ``MOTIONS``.
        grid: rotations that the sampled potential is averaged over; with multiple time steps, the
            grid of the sum of all forces.
        engine: i-PI or LAMMPS, with version.
        n_atoms: number of atoms, of one bead if there are several.
        n_beads: number of beads; 1 for classical nuclei.
        timestep: fs, of one step as the engine counts steps; 0 for a relaxation.
        steps: number of completed steps.
        positions: trajectory files, one per bead, or the one of the centroid.
        properties: i-PI's property file or LAMMPS' log.
        velocities: velocity files, as ``positions``; empty if there are none.
        forces: force files, as ``positions``; empty if there are none.
        rotations: i-PI's extras files, one per bead, with the raw energy and the standard
            deviation of the energy over the rotations.
        asked: requested number of steps; 0: unknown.
        centroid: whether ``positions`` is the trajectory of the centroid.
        units: LAMMPS' units style; "" for i-PI, whose files name their units.
        temperature: temperature of the ensemble in K; None if it cannot be read from the input
            file.
        state: "running", "stopped" (can be resumed) or "finished".
        wall_time: wall time in s of all run segments; 0 if it was not measured.
        command: command that repeats the run in its folder.
        provenance: checksums and versions.
        folder: folder of the run; not stored in ``run.json``.
    """

    name: str
    system: str
    motion: str
    grid: str
    engine: str
    n_atoms: int
    n_beads: int
    timestep: float
    steps: int
    positions: list[str]
    properties: str
    velocities: list[str] = field(default_factory=list)
    forces: list[str] = field(default_factory=list)
    rotations: list[str] = field(default_factory=list)
    asked: int = 0
    centroid: bool = False
    units: str = ""
    temperature: float | None = None
    state: str = "finished"
    wall_time: float = 0.0
    command: str = ""
    provenance: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def write(self) -> None:
        """Write ``run.json`` atomically."""
        entries = {key: value for key, value in asdict(self).items() if key != "folder"}
        text = json.dumps(entries, indent=1) + "\n"
        write_atomically(self.folder / FILE, text.encode())

    def path(self, name: str) -> Path:
        """Return the path of one of the run's files.

        Raises:
            PetDriverError: the file is missing.
        """
        path = self.folder / name
        if not path.is_file():
            raise PetDriverError(f"{self.folder / FILE} names {name}, which is not there")
        return path

    @property
    def ends_itself(self) -> bool:
        """Whether the run may finish before the requested number of steps."""
        return self.motion in ("relaxation", "replay")

    @property
    def ran_out(self) -> bool:
        """Whether the requested steps were used up before the run finished by itself."""
        return self.ends_itself and 0 < self.asked <= self.steps

    @property
    def duration(self) -> float:
        """Simulated time in ps."""
        return 1e-3 * self.timestep * self.steps


def read_run(path: Path) -> Run:
    """Read the run of a ``run.json``.

    Raises:
        PetDriverError: the file does not describe a run.
    """
    try:
        run = Run(**json.loads(path.read_text()), folder=path.parent)
    except (json.JSONDecodeError, TypeError) as error:
        raise PetDriverError(f"{path} does not describe a run: {error}") from None
    for value, known in ((run.system, SYSTEMS), (run.motion, MOTIONS)):
        if value not in known:
            raise PetDriverError(f"{path}: {value!r} is not one of {', '.join(known)}")
    return run


def find_runs(folders: Iterable[Path], may_be_none: bool = False) -> list[Run]:
    """Return all runs in and below some folders that have completed a step, sorted by path.

    If two runs have the same name, the names of their parent folders are prepended.

    Args:
        folders: where to search.
        may_be_none: return an empty list if there is no run.

    Raises:
        PetDriverError: there is no run, or a ``run.json`` is invalid.
    """
    folders = list(folders)
    paths = {path.resolve() for folder in folders for path in folder.glob(f"**/{FILE}")}
    runs = [run for path in sorted(paths) if (run := read_run(path)).steps > 0]
    if not runs and may_be_none:
        return []
    if not runs:
        where = ", ".join(map(str, folders))
        raise PetDriverError(
            f"no {FILE} in or below {where}: run an input file with `pet-driver run`"
        )
    return _with_unique_names(runs)


def _with_unique_names(runs: list[Run]) -> list[Run]:
    for depth in range(1, max(len(run.folder.parts) for run in runs)):
        count = Counter(run.name for run in runs)
        if len(count) == len(runs):
            break
        runs = [
            replace(run, name="/".join(run.folder.parts[-depth - 1 :]))
            if count[run.name] > 1
            else run
            for run in runs
        ]
    return runs
