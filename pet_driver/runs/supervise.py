"""Processes that belong together: started, watched, and ended together."""

from __future__ import annotations

import ctypes
import functools
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO

SCREEN = "screen.txt"
POLL = 0.5  # s
GRACE = 60.0  # s to write a restart file after SIGTERM, and for clients to end after the server
LAST_WORDS = 15.0  # s for the engine to end after its clients, which leave when it is done
# An engine is stuck after so many s without a step, or after so many times its longest step if that
# is longer; before its first step, after the product of both.
STALL_SECONDS, STALL_FACTOR = 60.0, 10.0
_PR_SET_PDEATHSIG = 1


class Outcome(Enum):
    """How the first process came to its end."""

    ENDED = "by itself, with exit code 0"
    STOPPED = "because it was asked to"
    FAILED = "with another exit code, or because clients had died and it came to a halt"


@dataclass
class Commands:
    """What belongs together.

    Attributes:
        engine: its command line.
        clients: those of its clients, by force field; each field needs one of its own.
        exit_file: a file that asks the engine to end, where that is better than a signal: a batch
            system sends one to all processes of a job, and i-PI ends at once at its second.
    """

    engine: Sequence[str]
    clients: list[list[list[str]]] = field(default_factory=list)
    exit_file: str | None = None


def supervise(
    commands: Commands,
    folder: Path,
    watch: Callable[[], int],
    deadline: float | None,
    environment: dict[str, str],
) -> Outcome:
    """Run an engine, and its clients if it has any, until the engine ends.

    Args:
        commands: of the engine and its clients.
        folder: where they run; all that they print is added to ``screen.txt`` there.
        watch: called twice a second; gives the last step.
        deadline: s until the engine is asked to end; None: never.
        environment: of the processes.

    Returns:
        How it ended. Ctrl-C and SIGTERM ask the engine to end, once.
    """
    start = time.monotonic()
    asked = False
    with open(folder / SCREEN, "ab") as output, _requests() as requested:
        start_one = functools.partial(_start, folder=folder, output=output, environment=environment)
        engine = start_one(commands.engine)
        clients = [[start_one(command) for command in group] for group in commands.clients]
        pace = Pace()
        try:
            while engine.poll() is None:
                late = deadline is not None and time.monotonic() - start > deadline
                if (late or requested.is_set()) and not asked:
                    asked = True
                    _ask_to_end(engine, folder, commands.exit_file)
                if any(all(one.poll() is not None for one in group) for group in clients):
                    if not _ends_within(engine, LAST_WORDS):
                        return Outcome.FAILED
                    break
                pace.note(watch())
                # A client that was killed may leave i-PI waiting for ever, whoever else is there.
                if pace.is_stalled and any(one.poll() for group in clients for one in group):
                    _tell(output, "no step since a client died")
                    return Outcome.FAILED
                # A request is passed on at once; later ones must not make this loop spin.
                time.sleep(POLL) if asked else requested.wait(POLL)
        finally:
            _end([engine, *itertools.chain(*clients)])
            if commands.exit_file is not None:
                (folder / commands.exit_file).unlink(missing_ok=True)
    if asked:
        return Outcome.STOPPED
    return Outcome.ENDED if engine.returncode == 0 else Outcome.FAILED


class Pace:
    """How an engine gets on."""

    def __init__(self) -> None:
        self._step, self._since, self._longest = -1, time.monotonic(), 0.0

    def note(self, step: int) -> None:
        """The last step, now."""
        now = time.monotonic()
        if step != self._step:
            if self._step >= 0:
                self._longest = max(self._longest, now - self._since)
            self._step, self._since = step, now

    @property
    def is_stalled(self) -> bool:
        """Whether there was none for much longer than ever before."""
        least, times = STALL_SECONDS, STALL_FACTOR
        patience = max(least, times * self._longest) if self._longest else times * least
        return time.monotonic() - self._since > patience


def _ask_to_end(engine: subprocess.Popen, folder: Path, exit_file: str | None) -> None:
    if exit_file is None:
        engine.terminate()
    else:
        (folder / exit_file).touch()


def _tell(output: BinaryIO, text: str) -> None:
    output.write(f"pet-driver: {text}\n".encode())
    output.flush()


def _ends_within(process: subprocess.Popen, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _start(command, folder: Path, output, environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        list(command),
        cwd=folder,
        stdout=output,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        close_fds=False,  # the lock on the folder stays with them
        start_new_session=True,  # Ctrl-C comes here alone, and is passed on once
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    """An engine that outlives its supervisor would write into the folder of the next run segment."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set instead of ending this process."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals are not for this thread to handle
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: event.set()) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
