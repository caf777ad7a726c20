"""Run an input file to its end, in one or several run segments."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.runs import ipi_input, lammps_input
from pet_driver.runs.ipi_resume import too_few_steps
from pet_driver.runs.record import FILE, Run, read_run
from pet_driver.runs.segment_files import LOCK
from pet_driver.runs.segments import IPISegment, LAMMPSSegment, Segment
from pet_driver.runs.settings import IDENTITY, Settings
from pet_driver.runs.supervise import SCREEN, Commands, Outcome, supervise

RECORD_INTERVAL = 5.0  # s between updates of run.json


def execute(
    input_file: Path,
    folder: Path,
    settings: Settings | None = None,
    advance: Callable[[int, int], None] = lambda step, total: None,
) -> Run:
    """Run an input file in its own folder, or resume it from its last checkpoint.

    Args:
        input_file: input file of i-PI with PET in an ``<ffdirect>``, or of LAMMPS with `pair_style
            pet`. It is copied to the folder with absolute paths.
        folder: folder of the run; created if it is missing. If it holds the same run, a stopped
            one is resumed, and a finished one is left unchanged.
        settings: changes to the input file.
        advance: called twice a second with the last step and the total number of steps, but not
            during an equilibration that a LAMMPS input file does not count.

    Returns:
        The record of the run, which is also written to ``run.json`` in the folder. Its state is
        "finished", or "stopped" after the time limit, Ctrl-C or SIGTERM; the same call resumes it.

    Raises:
        PetDriverError: invalid input, the folder holds something else or is in use, or the engine
            failed; then the message ends with the last lines that it printed.
    """
    settings = settings or Settings()
    settings.check()
    segment = read_segment(input_file, folder, settings)
    if folder.exists() and not folder.is_dir():
        raise PetDriverError(f"{folder} is a file; a run needs a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        previous = find_previous(folder, segment)
        if previous is not None and is_done(previous, segment.total):
            return previous
        if previous is not None and segment.is_complete():
            if (step := segment.last_step()) > segment.total:
                raise too_few_steps(folder, step, segment.total)
            # The supervisor was killed, but the engine ended regularly.
            run = replace(
                segment.describe(),
                state="finished",
                steps=segment.total,
                asked=segment.total,
                wall_time=previous.wall_time,
                command=previous.command,
            )
            run.write()
            return run
        return _execute(segment, previous, advance)


def read_segment(input_file: Path, folder: Path, settings: Settings) -> Segment:
    """Read an input file of i-PI or LAMMPS for a run in ``folder``.

    Raises:
        PetDriverError: there is no such file, or it is invalid.
    """
    if not input_file.is_file():
        raise PetDriverError(f"there is no input file at {input_file}")
    if "<simulation" in input_file.read_text(errors="replace"):
        return IPISegment(ipi_input.read_input(input_file), folder, settings)
    return LAMMPSSegment(lammps_input.read_input(input_file), folder, settings)


def is_done(run: Run, total: int) -> bool:
    """Return whether a run is finished and has completed ``total`` steps, or needs no more."""
    has_converged = run.ends_itself and not run.ran_out
    return run.state == "finished" and (has_converged or run.steps >= total)


def _execute(segment: Segment, previous: Run | None, advance: Callable[[int, int], None]) -> Run:
    """Run one segment and return the record of the run after it."""
    folder = segment.folder
    run, commands = _prepare(segment, previous)
    before = run.wall_time
    first = segment.last_step()
    start = recorded = time.monotonic()

    def watch() -> int:
        nonlocal recorded
        step = segment.last_step()
        if segment.counts_steps():
            advance(step, segment.total)
        if time.monotonic() - recorded > RECORD_INTERVAL:
            recorded = time.monotonic()
            replace(run, steps=step, wall_time=before + recorded - start).write()
        return step

    outcome = supervise(commands, folder, watch, segment.deadline, segment.environment())
    failed = outcome is Outcome.FAILED
    finished = not failed and segment.is_finished(outcome)
    described = segment.describe()
    step = segment.total if finished and not described.ends_itself else segment.last_step()
    advance(step, segment.total)
    run = replace(
        described,
        state="finished" if finished else "stopped",
        steps=step,
        asked=segment.total,
        wall_time=before + time.monotonic() - start,
        command=run.command,
    )
    run.write()
    made_no_step = not finished and outcome is Outcome.ENDED and step <= first
    if failed or made_no_step:
        lines = last_lines((folder / SCREEN).read_text(errors="replace"))
        raise PetDriverError(f"the run in {folder} failed at step {step} ({run.command}):\n{lines}")
    return run


def _prepare(segment: Segment, previous: Run | None) -> tuple[Run, Commands]:
    """Write the record of a running run, and prepare the folder for its engine."""
    # Describe first: an invalid input file must leave no files in the folder.
    wall_time = previous.wall_time if previous else 0.0
    run = replace(segment.describe(), state="running", wall_time=wall_time)
    record = segment.folder / FILE
    is_new = not record.is_file()
    if previous is None:
        run.write()  # before all other files, which without a record would be refused next time
    try:
        commands = segment.start(fresh=previous is None)
    except PetDriverError:
        if is_new:
            record.unlink()
        raise
    run = replace(run, command=" ".join(segment.shown))
    run.write()
    return run, commands


def last_lines(screen: str) -> str:
    """Return the last lines that an engine printed; only the message of a PetDriverError, if any.

    A traceback would hide the message.
    """
    lines = screen.splitlines()[-15:]
    prefix = f"{PetDriverError.__module__}.{PetDriverError.__qualname__}: "
    index = next((k for k, line in enumerate(lines) if line.startswith(prefix)), None)
    return "\n".join(lines) if index is None else "\n".join(lines[index:]).removeprefix(prefix)


def find_previous(folder: Path, segment: Segment) -> Run | None:
    """Return the record of the earlier segments of a run; None for a new run.

    Another run that failed before its first step does not count; its files are set aside.

    Raises:
        PetDriverError: the folder holds another run, or files that belong to no run.
    """
    path = folder / FILE
    if not path.is_file():
        if any(entry.name != LOCK for entry in folder.iterdir()):
            raise PetDriverError(
                f"{folder} holds files but no {FILE}: they belong to no run; name another folder"
            )
        return None
    previous, new = read_run(path), segment.describe()
    # The grid may be the default of the exported model, which the other entries do not contain.
    pairs = [(key, previous.provenance.get(key), new.provenance[key]) for key in IDENTITY]
    for key, before, now in [*pairs, ("grid", previous.grid, new.grid)]:
        if before != now and previous.steps == 0:
            return None
        if before != now:
            raise PetDriverError(
                f"{folder} holds another run ({key}: {before!r}, now {now!r}); name another "
                "folder, or remove this one"
            )
    return previous


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for one run; the engine inherits the lock.

    Raises:
        PetDriverError: another run holds the lock.
    """
    with open(folder / LOCK, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PetDriverError(f"a run is under way in {folder}; wait for it or end it") from None
        except OSError as error:  # some shared file systems have no locks
            print(
                f"pet-driver: warning: {folder} cannot be locked ({error.strerror}): make sure "
                "that no other run is under way there",
                file=sys.stderr,
            )
        os.set_inheritable(handle.fileno(), True)
        yield
