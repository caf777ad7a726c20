"""One segment of a run of i-PI or LAMMPS: prepare its folder, read its progress, judge its end."""

from __future__ import annotations

import os
import re
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
from pet_driver.runs.ipi_clients import replace_by_clients
from pet_driver.runs.ipi_input import IPIInput
from pet_driver.runs.ipi_resume import RESUMED, resume
from pet_driver.runs.lammps_input import LAMMPSInput
from pet_driver.runs.record import Run
from pet_driver.runs.segment_files import cut_incomplete_frames, last_step, set_aside, tail
from pet_driver.runs.settings import Settings
from pet_driver.runs.supervise import SCREEN, Commands, Outcome

EXIT = "EXIT"  # i-PI ends when it finds this file, and writes a RESTART


class Segment(Protocol):
    """What :func:`pet_driver.runs.execute` needs from an engine.

    Attributes:
        folder: folder of the run.
        total: total number of steps, from the start of the run.
        shown: the command for the record, known after ``start``.
        deadline: time in s after which the engine is asked to end; None: no limit, or the engine
            keeps to the limit itself.
    """

    folder: Path
    total: int
    shown: list[str]
    deadline: float | None

    def start(self, fresh: bool) -> Commands:
        """Prepare the folder and return the command lines to start there.

        Args:
            fresh: start a new run; otherwise resume from a checkpoint if there is one.

        Raises:
            PetDriverError: a program is missing; the folder is then unchanged.
        """

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the engine."""

    def describe(self) -> Run:
        """Return the record of the run, without what is known only at its end."""

    def last_step(self) -> int:
        """Return the last step in the files of the folder; 0 if there is none."""

    def counts_steps(self) -> bool:
        """Return whether ``last_step`` counts towards ``total``, unlike an equilibration."""

    def is_complete(self) -> bool:
        """Return whether the files in the folder show that all steps are completed."""

    def is_finished(self, outcome: Outcome) -> bool:
        """Return whether the run is finished, given how the engine ended."""


# Messages of the engines when they stop early with exit code 0.
IPI_STOPPED = (
    *("EXIT file detected", "Wall clock time expired", "Maximum wallclock time elapsed"),
    "Kill signal received",
)
LAMMPS_STOPPED = ("Wall time limit reached", "Fix halt condition")


class IPISegment:
    """A segment of a run of i-PI; see :class:`Segment`."""

    def __init__(self, simulation_input: IPIInput, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.simulation_input = ipi_input.apply_settings(simulation_input, settings)
        self.total = self.simulation_input.total_steps
        self.deadline = settings.time_limit
        self.shown: list[str] = []
        self._printed = 0  # bytes of the screen output of earlier segments

    def start(self, fresh: bool) -> Commands:
        program = ipi_command()
        step = None if fresh else resume(self.simulation_input, self.folder, self.total)
        name = RESUMED
        if step is None:
            name = self.simulation_input.path.name
            set_aside(self.folder, warns=not fresh and self.last_step() > 0)
            ipi_input.write_input(self.simulation_input.root, self.folder / name)
        for pattern in self.simulation_input.outputs:
            cut_incomplete_frames(self.folder, pattern)
        screen = self.folder / SCREEN
        self._printed = screen.stat().st_size if screen.is_file() else 0
        self.shown = ["i-pi", name]
        (self.folder / EXIT).unlink(missing_ok=True)
        commands = Commands([*program, name], exit_file=EXIT)
        if clients := self.settings.clients:
            commands.clients += replace_by_clients(self.folder / name, self.folder, clients)
        return commands

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def describe(self) -> Run:
        return describe_ipi(self.simulation_input, self.folder, self.settings)

    def last_step(self) -> int:
        return last_step(self.folder / self.simulation_input.properties)

    def counts_steps(self) -> bool:
        return True

    def is_complete(self) -> bool:
        """Return whether RESTART, which i-PI writes last, is of the last step."""
        try:
            root = ElementTree.parse(self.folder / "RESTART").getroot()
        except (FileNotFoundError, ElementTree.ParseError):
            return False
        return int(root.findtext("step", "0")) >= self.total

    def is_finished(self, outcome: Outcome) -> bool:
        """Return whether the run is finished: i-PI's exit code is 0 also if it was stopped."""
        ends_itself = outcome is Outcome.ENDED and self.describe().ends_itself
        return (ends_itself and not self._was_stopped()) or self.is_complete()

    def _was_stopped(self) -> bool:
        """Return whether the screen output shows a stop by an EXIT file or a <total_time>."""
        with open(self.folder / SCREEN, errors="replace") as handle:
            handle.seek(self._printed)
            return any(words in line for line in handle for words in IPI_STOPPED)


class LAMMPSSegment:
    """A segment of a run of LAMMPS; see :class:`Segment`.

    LAMMPS itself stops at the time limit, after it has written a restart file.
    """

    def __init__(self, simulation_input: LAMMPSInput, folder: Path, settings: Settings) -> None:
        self.folder, self.settings, self.simulation_input = folder, settings, simulation_input
        self.values = {
            **simulation_input.defaults,
            **lammps_input.variable_values(simulation_input, settings),
        }
        path = simulation_input.path
        if "steps" not in self.values:
            raise PetDriverError(
                f"{path}: no 'variable steps index ...' that sets the number of steps"
            )
        try:
            self.total = int(self.values["steps"])
        except ValueError:
            raise PetDriverError(
                f"{path}: variable steps is {self.values['steps']!r}; give a whole number"
            ) from None
        self.deadline: float | None = None
        self.shown: list[str] = []
        self._counts = True

    def start(self, fresh: bool) -> Commands:
        lammps.build()
        can_resume = not fresh and "restart" in self.simulation_input.defaults
        restart = lammps_input.latest_restart(self.folder) if can_resume else None
        if restart is None:
            set_aside(self.folder, warns=not fresh and self.last_step() > 0)
        arguments = lammps_input.write_input(self.simulation_input, self.folder, self.settings)
        self._counts = restart is not None or not _is_reset(self.simulation_input.text)
        if restart is not None:
            arguments += ["-var", "restart", restart.name]
        for pattern in ("*.lammpstrj", lammps_input.LOG):
            cut_incomplete_frames(self.folder, pattern)
        ranks = self.settings.ranks
        self.shown = ["pet-driver", "lammps", "run", "--ranks", str(ranks), *arguments]
        return Commands(command(find_environment(), arguments, ranks))

    def environment(self) -> dict[str, str]:
        return variables(find_environment())

    def describe(self) -> Run:
        return describe_lammps(self.simulation_input, self.folder, self.settings)

    def last_step(self) -> int:
        return last_step(self.folder / lammps_input.LOG)

    def counts_steps(self) -> bool:
        """Return whether LAMMPS has passed the first `reset_timestep` of the input file, if any.

        The log holds the commands, too. A resumed run skips the equilibration.
        """
        if not self._counts:
            log = self.folder / lammps_input.LOG
            self._counts = log.is_file() and _is_reset(log.read_text(errors="replace"))
        return self._counts

    def is_complete(self) -> bool:
        """Return False: the files do not show it; a completed run resumes for 0 steps and ends."""
        return False

    def is_finished(self, outcome: Outcome) -> bool:
        """Return whether the run is finished: the exit code is 0 also at a limit or fix halt."""
        return outcome is Outcome.ENDED and not self._was_stopped()

    def _was_stopped(self) -> bool:
        last_segment = tail(self.folder / SCREEN).rpartition("LAMMPS (")[2]
        return any(words in last_segment for words in LAMMPS_STOPPED)


def _is_reset(text: str) -> bool:
    """Return whether an input or a log of LAMMPS sets the number of steps back."""
    return re.search(r"^[ \t]*reset_timestep\b", text, re.MULTILINE) is not None


def ipi_command() -> list[str]:
    """Return the command that starts i-PI: of this Python's environment, or from the path.

    Python runs the script directly, because the first line of a script cannot name a Python whose
    path has a space in it.

    Raises:
        PetDriverError: i-PI is not installed.
    """
    script = Path(sys.executable).with_name("i-pi")
    if script.is_file():
        return [sys.executable, str(script)]
    if (program := shutil.which("i-pi")) is None:
        raise PetDriverError("i-PI is missing: pip install 'pet-driver[ipi]'")
    return [program]
