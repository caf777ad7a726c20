"""Running an input file to its end, over as many run segments as it takes."""

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
from pet_driver.runs.ipi_resume import beyond
from pet_driver.runs.record import FILE, Run, read_run
from pet_driver.runs.segment_files import LOCK
from pet_driver.runs.segments import IPISegment, LAMMPSSegment, Segment
from pet_driver.runs.settings import IDENTITY, Settings
from pet_driver.runs.supervise import SCREEN, Outcome, supervise

RECORD_INTERVAL = 5.0  # s between updates of run.json


def execute(
    input_file: Path,
    folder: Path,
    settings: Settings | None = None,
    advance: Callable[[int, int], None] = lambda step, total: None,
) -> Run:
    """Run an input file in a folder of its own, or resume it where it stopped.

    Args:
        input file: an input of i-PI with PET in an ``<ffdirect>``, or one of LAMMPS with `pair_style
            pet`. It is copied with its paths made absolute.
        folder: made if it is not there. One that holds the same run, stopped, is resumed; one
            that holds it finished is left as it is.
        settings: what to change in the input file.
        advance: called twice a second with the last step and the total.

    Returns:
        The record of the run, which is in the folder as ``run.json`` too. Its state is
        "finished", or "stopped" after the time limit, Ctrl-C or SIGTERM: the same call resumes.

    Raises:
        PetDriverError: bad input, a folder of something else or in use, or the engine failed; then
            the message ends with its last lines.
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
                raise beyond(folder, step, segment.total)
            # Its supervisor was killed; the engine came to its end all the same.
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
    """An input file of either engine, ready to be run in ``folder``."""
    if not input_file.is_file():
        raise PetDriverError(f"there is no input file at {input_file}")
    if "<simulation" in input_file.read_text(errors="replace"):
        return IPISegment(ipi_input.read_input(input_file), folder, settings)
    return LAMMPSSegment(lammps_input.read_input(input_file), folder, settings)


def is_done(run: Run, total: int) -> bool:
    """Whether nothing is left to do."""
    came_to_its_end = run.ends_itself and not run.ran_out
    return run.state == "finished" and (came_to_its_end or run.steps >= total)


def _execute(segment: Segment, previous: Run | None, advance: Callable[[int, int], None]) -> Run:
    folder = segment.folder
    before = previous.wall_time if previous else 0.0
    described = (
        segment.describe()
    )  # what is wrong with the input file comes to light before there is a file
    run = replace(described, state="running", wall_time=before)
    begins = not (folder / FILE).is_file()
    if previous is None:
        run.write()  # first of all, or a disk that is full leaves files that are no run's
    try:
        commands = segment.start(fresh=previous is None)
    except PetDriverError:
        if begins:
            (folder / FILE).unlink()
        raise
    run = replace(run, command=" ".join(segment.shown))
    run.write()
    first = segment.last_step()
    start = recorded = time.monotonic()

    def watch() -> int:
        nonlocal recorded
        step = segment.last_step()
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
    stuck = not finished and outcome is Outcome.ENDED and step <= first
    if failed or stuck:
        words = last_words((folder / SCREEN).read_text(errors="replace"))
        raise PetDriverError(f"the run in {folder} failed at step {step} ({run.command}):\n{words}")
    return run


def last_words(screen: str) -> str:
    """What an engine said at its end; what this package says in it stands for itself."""
    lines = screen.splitlines()[-15:]
    ours = f"{PetDriverError.__module__}.{PetDriverError.__qualname__}: "
    found = next((k for k, line in enumerate(lines) if line.startswith(ours)), None)
    return "\n".join(lines) if found is None else "\n".join(lines[found:]).removeprefix(ours)


def find_previous(folder: Path, segment: Segment) -> Run | None:
    """The record of an earlier run segment of the same run; none where it failed before its first step.

    Raises:
        PetDriverError: the folder holds another run, or files that are no run's.
    """
    path = folder / FILE
    if not path.is_file():
        if any(entry.name != LOCK for entry in folder.iterdir()):
            raise PetDriverError(f"{folder} holds files that are no run's; name another folder")
        return None
    previous, new = read_run(path), segment.describe()
    # an archive's default grid is in neither input file, weights nor settings
    pairs = [(key, previous.provenance.get(key), new.provenance[key]) for key in IDENTITY]
    for key, before, now in [*pairs, ("grid", previous.grid, new.grid)]:
        if before != now and previous.steps == 0:
            return None  # it failed before its first step: its files are set aside
        if before != now:
            raise PetDriverError(
                f"{folder} holds another run ({key}: {before!r}, now {now!r}); name another "
                "folder, or remove this one"
            )
    return previous


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; the engine, which inherits the lock, holds it too."""
    with open(folder / LOCK, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PetDriverError(f"a run is under way in {folder}; wait for it or end it") from None
        except OSError as error:  # some shared file systems have no locks
            print(
                f"pet-driver: warning: {folder} cannot be locked ({error.strerror}): see to it "
                "that no other run is under way there",
                file=sys.stderr,
            )
        os.set_inheritable(handle.fileno(), True)
        yield
