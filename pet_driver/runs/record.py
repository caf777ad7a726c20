"""What a run says of itself: ``run.json`` in its folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.files import write_atomically

FILE = "run.json"
SYSTEMS = ("molecule", "bulk")
MOTIONS = ("nve", "nvt", "npt", "relaxation", "replay")


@dataclass(frozen=True)
class Run:
    """One run, with its files relative to its folder.

    Attributes:
        name: how figures call it.
        system: "molecule" (one water molecule) or "bulk".
        motion: one of ``MOTIONS``.
        grid: rotations that the sampled potential is averaged over; with two time steps that of
            the sum of all forces.
        engine: i-PI or LAMMPS, with version.
        n_atoms: of the system, or of one bead.
        n_beads: 1 for classical nuclei.
        timestep: fs, of one step as the engine counts them; 0 for a relaxation.
        steps: how many are done.
        asked: how many were to be done at most; 0: not on record.
        positions: trajectories, one by bead, or that of the centroid.
        properties: i-PI's property file or LAMMPS' log.
        velocities: files beside ``positions``; empty where there are none.
        forces: the same.
        rotations: i-PI's extras with the raw energy and the spread over rotations, one by bead.
        centroid: whether ``positions`` are those of the centroid of all beads.
        units: LAMMPS' style of units; "" for i-PI, whose files name theirs.
        temperature: K, of the ensemble; None where the input file does not say it plainly.
        state: "running", "stopped" (to be continued) or "finished".
        wall_time: s, all run segments of the run together; 0 where nobody measured it.
        command: that made it, to be repeated in the folder.
        provenance: checksums and versions.
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
        """Write ``run.json``; whoever reads at the same time sees the old one or the new one."""
        entries = {key: value for key, value in asdict(self).items() if key != "folder"}
        text = json.dumps(entries, indent=1) + "\n"
        write_atomically(self.folder / FILE, text.encode())

    def path(self, name: str) -> Path:
        """The path of one of the run's files.

        Raises:
            PetDriverError: it is gone.
        """
        path = self.folder / name
        if not path.is_file():
            raise PetDriverError(f"{self.folder / FILE} names {name}, which is not there")
        return path

    @property
    def ends_itself(self) -> bool:
        """Whether the engine knows the end, whatever number of steps was asked for."""
        return self.motion in ("relaxation", "replay")

    @property
    def ran_out(self) -> bool:
        """Whether steps came to their end before what the engine was to do."""
        return self.ends_itself and 0 < self.asked <= self.steps

    @property
    def duration(self) -> float:
        """ps."""
        return 1e-3 * self.timestep * self.steps


def read_run(path: Path) -> Run:
    """The run of a ``run.json``.

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


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """All runs in and below some folders that have a first frame, in the order of their names.

    Where names occur twice, the folders above are put before them.

    Raises:
        PetDriverError: there is none, or a ``run.json`` is not one.
    """
    folders = list(folders)
    paths = {path.resolve() for folder in folders for path in folder.glob(f"**/{FILE}")}
    runs = [run for path in sorted(paths) if (run := read_run(path)).steps > 0]
    if not runs:
        where = ", ".join(map(str, folders))
        raise PetDriverError(
            f"no {FILE} in or below {where}: run an input file with `pet-driver run`"
        )
    return _with_names_of_their_own(runs)


def _with_names_of_their_own(runs: list[Run]) -> list[Run]:
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
