"""One segment of a run in either engine: how it starts, how far it is, whether it came to its end."""

from __future__ import annotations

import os
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Protocol

from pet_driver.engines import lammps
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables
from pet_driver.errors import PetDriverError
from pet_driver.runs import ipi_input, lammps_input
from pet_driver.runs.describe import describe_ipi, describe_lammps
from pet_driver.runs.ipi_clients import with_clients
from pet_driver.runs.ipi_input import IPIInput
from pet_driver.runs.ipi_resume import RESUMED, resume
from pet_driver.runs.lammps_input import LAMMPSInput
from pet_driver.runs.record import Run
from pet_driver.runs.segment_files import cut_partial_frames, last_step, set_aside, tail
from pet_driver.runs.settings import Settings
from pet_driver.runs.supervise import SCREEN, Commands, Outcome

EXIT = "EXIT"  # i-PI ends where it finds this file, with a RESTART


class Segment(Protocol):
    """What `execute` asks of an engine.

    Attributes:
        folder: of the run.
        total: steps, from the very start.
        shown: the command as the record shows it, known after ``start``.
        deadline: s until the engine is to be sent SIGTERM, or None.
    """

    folder: Path
    total: int
    shown: list[str]
    deadline: float | None

    def start(self, fresh: bool) -> Commands:
        """Make the folder ready; what is to be started there.

        Raises:
            PetDriverError: a program is missing; the folder is then as it was.
        """

    def environment(self) -> dict[str, str]:
        """The environment variables of the engine."""

    def describe(self) -> Run:
        """The record of the run, but for what only its end can tell."""

    def last_step(self) -> int:
        """The last step in the files of the folder; 0 where there is none."""

    def is_complete(self) -> bool:
        """Whether the files in the folder tell that all steps are done."""

    def is_finished(self, outcome: Outcome) -> bool:
        """Whether all steps are done, given how the engine came to its end."""


# What the engines print when they stop before their end, with exit code 0.
IPI_STOPPED = (
    *("EXIT file detected", "Wall clock time expired", "Maximum wallclock time elapsed"),
    "Kill signal received",
)
LAMMPS_STOPPED = ("Wall time limit reached", "Fix halt condition")


class IPISegment:
    """A run of i-PI."""

    def __init__(self, input_file: IPIInput, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.input_file = ipi_input.changed(input_file, settings)
        self.total = self.input_file.total_steps
        self.deadline = settings.time_limit
        self.shown: list[str] = []
        self._printed = 0  # bytes, by the run segments before

    def start(self, fresh: bool) -> Commands:
        program = find_ipi()
        step = None if fresh else resume(self.input_file, self.folder, self.total)
        name = RESUMED
        if step is None:
            name = self.input_file.path.name
            set_aside(self.folder, warns=not fresh and self.last_step() > 0)
            ipi_input.write(self.input_file.root, self.folder / name)
        for pattern in self.input_file.outputs:
            cut_partial_frames(self.folder, pattern)
        screen = self.folder / SCREEN
        self._printed = screen.stat().st_size if screen.is_file() else 0
        clients = self.settings.clients
        self.shown = ["i-pi", name]
        (self.folder / EXIT).unlink(missing_ok=True)
        commands = Commands([*program, name], exit_file=EXIT)
        if clients:
            commands.clients += with_clients(self.folder / name, self.folder, clients)
        return commands

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def describe(self) -> Run:
        return describe_ipi(self.input_file, self.folder, self.settings)

    def last_step(self) -> int:
        return last_step(self.folder / self.input_file.properties)

    def is_complete(self) -> bool:
        """i-PI writes RESTART when it ends, after everything else."""
        try:
            root = ElementTree.parse(self.folder / "RESTART").getroot()
        except (FileNotFoundError, ElementTree.ParseError):
            return False
        return int(root.findtext("step", "0")) >= self.total

    def is_finished(self, outcome: Outcome) -> bool:
        """i-PI ends with 0 also when it was stopped half-way."""
        ends_itself = outcome is Outcome.ENDED and self.describe().ends_itself
        return (ends_itself and not self._was_stopped()) or self.is_complete()

    def _was_stopped(self) -> bool:
        """By an EXIT file or a <total_time>, of which only the screen tells."""
        with open(self.folder / SCREEN, errors="replace") as handle:
            handle.seek(self._printed)
            return any(words in line for line in handle for words in IPI_STOPPED)


class LAMMPSSegment:
    """A run of LAMMPS, which stops itself at the time limit, with its restart file written."""

    def __init__(self, input_file: LAMMPSInput, folder: Path, settings: Settings) -> None:
        self.folder, self.settings, self.input_file = folder, settings, input_file
        self.values = {**input_file.defaults, **lammps_input.variables(input_file, settings)}
        if "steps" not in self.values:
            raise PetDriverError(
                f"{input_file.path}: no 'variable steps index ...': how long does it run?"
            )
        try:
            self.total = int(self.values["steps"])
        except ValueError:
            raise PetDriverError(
                f"{input_file.path}: variable steps is {self.values['steps']!r}; give a whole number"
            ) from None
        self.deadline = None
        self.shown: list[str] = []

    def start(self, fresh: bool) -> Commands:
        lammps.build()
        can_go_on = not fresh and "restart" in self.input_file.defaults
        restart = lammps_input.restart_file(self.folder) if can_go_on else None
        if restart is None:
            set_aside(self.folder, warns=not fresh and self.last_step() > 0)
        arguments = lammps_input.prepare(self.input_file, self.folder, self.settings)
        if restart is not None:
            arguments += ["-var", "restart", restart.name]
        for pattern in ("*.lammpstrj", lammps_input.LOG):
            cut_partial_frames(self.folder, pattern)
        ranks = self.settings.ranks
        self.shown = ["pet-driver", "lammps", "run", "--ranks", str(ranks), *arguments]
        return Commands(command(find_environment(), arguments, ranks))

    def environment(self) -> dict[str, str]:
        return variables(find_environment())

    def describe(self) -> Run:
        return describe_lammps(self.input_file, self.folder, self.settings)

    def last_step(self) -> int:
        return last_step(self.folder / lammps_input.LOG)

    def is_complete(self) -> bool:
        """Not for its files to tell: one that was done goes on for no steps, and ends."""
        return False

    def is_finished(self, outcome: Outcome) -> bool:
        """LAMMPS ends with 0 also at its time limit or at a fix halt, wherever in the input file."""
        return outcome is Outcome.ENDED and not self._was_stopped()

    def _was_stopped(self) -> bool:
        last_segment = tail(self.folder / SCREEN).rpartition("LAMMPS (")[2]
        return any(words in last_segment for words in LAMMPS_STOPPED)


def find_ipi() -> list[str]:
    """How to start i-PI: beside this Python, or from the path.

    The program is a script, whose first line cannot name a Python with a space in its path.

    Raises:
        PetDriverError: it is not installed.
    """
    beside = Path(sys.executable).with_name("i-pi")
    if beside.is_file():
        return [sys.executable, str(beside)]
    if (found := shutil.which("i-pi")) is None:
        raise PetDriverError("i-PI is missing: pip install 'pet-driver[ipi]'")
    return [found]
