"""Running a deck to its end, over as many legs as it takes."""

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
from pet_driver.runs import ipi_deck, lammps_deck
from pet_driver.runs.ipi_resume import beyond
from pet_driver.runs.leg_files import LOCK
from pet_driver.runs.legs import IPILeg, LAMMPSLeg, Leg
from pet_driver.runs.record import FILE, Run, read_run
from pet_driver.runs.settings import IDENTITY, Settings
from pet_driver.runs.supervise import SCREEN, Outcome, supervise

RECORD_INTERVAL = 5.0  # s between updates of run.json


def execute(
    deck: Path,
    folder: Path,
    settings: Settings | None = None,
    advance: Callable[[int, int], None] = lambda step, total: None,
) -> Run:
    """Run a deck in a folder of its own, or resume it where it stopped.

    Args:
        deck: an input of i-PI with PET in an ``<ffdirect>``, or one of LAMMPS with `pair_style
            pet`. It is copied with its paths made absolute.
        folder: made if it is not there. One that holds the same run, stopped, is resumed; one
            that holds it finished is left as it is.
        settings: what to change in the deck.
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
    leg = read_leg(deck, folder, settings)
    if folder.exists() and not folder.is_dir():
        raise PetDriverError(f"{folder} is a file; a run needs a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        previous = find_previous(folder, leg)
        if previous is not None and is_done(previous, leg.total):
            return previous
        if previous is not None and leg.is_complete():
            if (step := leg.last_step()) > leg.total:
                raise beyond(folder, step, leg.total)
            # Its supervisor was killed; the engine came to its end all the same.
            run = replace(
                leg.describe(),
                state="finished",
                steps=leg.total,
                asked=leg.total,
                wall_time=previous.wall_time,
                command=previous.command,
            )
            run.write()
            return run
        return _execute(leg, previous, advance)


def read_leg(deck: Path, folder: Path, settings: Settings) -> Leg:
    """A deck of either engine, ready to be run in ``folder``."""
    if not deck.is_file():
        raise PetDriverError(f"there is no deck at {deck}")
    if "<simulation" in deck.read_text(errors="replace"):
        return IPILeg(ipi_deck.read_deck(deck), folder, settings)
    return LAMMPSLeg(lammps_deck.read_deck(deck), folder, settings)


def is_done(run: Run, total: int) -> bool:
    """Whether nothing is left to do."""
    came_to_its_end = run.ends_itself and not run.ran_out
    return run.state == "finished" and (came_to_its_end or run.steps >= total)


def _execute(leg: Leg, previous: Run | None, advance: Callable[[int, int], None]) -> Run:
    folder = leg.folder
    before = previous.wall_time if previous else 0.0
    described = leg.describe()  # what is wrong with the deck comes to light before there is a file
    run = replace(described, state="running", wall_time=before)
    begins = not (folder / FILE).is_file()
    if previous is None:
        run.write()  # first of all, or a disk that is full leaves files that are no run's
    try:
        commands = leg.start(fresh=previous is None)
    except PetDriverError:
        if begins:
            (folder / FILE).unlink()
        raise
    run = replace(run, command=" ".join(leg.shown))
    run.write()
    first = leg.last_step()
    start = recorded = time.monotonic()

    def watch() -> int:
        nonlocal recorded
        step = leg.last_step()
        advance(step, leg.total)
        if time.monotonic() - recorded > RECORD_INTERVAL:
            recorded = time.monotonic()
            replace(run, steps=step, wall_time=before + recorded - start).write()
        return step

    outcome = supervise(commands, folder, watch, leg.deadline, leg.environment())
    failed = outcome is Outcome.FAILED
    finished = not failed and leg.is_finished(outcome)
    described = leg.describe()
    step = leg.total if finished and not described.ends_itself else leg.last_step()
    advance(step, leg.total)
    run = replace(
        described,
        state="finished" if finished else "stopped",
        steps=step,
        asked=leg.total,
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


def find_previous(folder: Path, leg: Leg) -> Run | None:
    """The record of an earlier leg of the same run; none where it failed before its first step.

    Raises:
        PetDriverError: the folder holds another run, or files that are no run's.
    """
    path = folder / FILE
    if not path.is_file():
        if any(entry.name != LOCK for entry in folder.iterdir()):
            raise PetDriverError(f"{folder} holds files that are no run's; name another folder")
        return None
    previous, new = read_run(path), leg.describe()
    # an archive's default grid is in neither deck, weights nor settings
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
