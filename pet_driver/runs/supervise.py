"""Start an engine and its clients, watch them, and end them together."""

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
GRACE = 60.0  # s to end after SIGTERM: the engine writes a restart file, clients end after it
GRACE_AFTER_CLIENTS = 15.0  # s for the engine to end after its clients, which end when it does
# An engine counts as stalled after STALL_SECONDS without a step, or after STALL_FACTOR times its
# longest step if that is longer; before its first step, after the product of both.
STALL_SECONDS, STALL_FACTOR = 60.0, 10.0
_PR_SET_PDEATHSIG = 1  # of prctl(2)


class Outcome(Enum):
    """How an engine ended."""

    ENDED = "with exit code 0"
    STOPPED = "after a request to stop"
    FAILED = "with another exit code, or stalled after a client had died"


@dataclass
class Commands:
    """Command lines of an engine and its clients.

    Attributes:
        engine: command line of the engine.
        clients: command lines of its clients, by force field; each force field needs at least one
            running client.
        exit_file: file whose existence asks the engine to end; None: send SIGTERM. i-PI needs the
            file: batch systems send a signal to all processes of a job, and at a second signal
            i-PI ends at once, without a restart file.
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
    """Run an engine and its clients until the engine ends.

    Ctrl-C and SIGTERM ask the engine to end.

    Args:
        commands: command lines of the engine and its clients.
        folder: working folder; the output of all processes is appended to ``screen.txt`` there.
        watch: called twice a second; returns the last step.
        deadline: time in s after which the engine is asked to end; None: no limit.
        environment: environment variables of the processes.

    Returns:
        How the engine ended.
    """
    start = time.monotonic()
    is_asked = False
    with open(folder / SCREEN, "ab") as output, _requests() as requested:
        start_one = functools.partial(_start, folder=folder, output=output, environment=environment)
        engine = start_one(commands.engine)
        clients = [[start_one(command) for command in group] for group in commands.clients]
        stall = StallDetector()
        try:
            while engine.poll() is None:
                late = deadline is not None and time.monotonic() - start > deadline
                if (late or requested.is_set()) and not is_asked:
                    is_asked = True
                    _ask_to_end(engine, folder, commands.exit_file)
                if any(all(one.poll() is not None for one in group) for group in clients):
                    if not _ends_within(engine, GRACE_AFTER_CLIENTS):
                        return Outcome.FAILED
                    break
                stall.record(watch())
                # A killed client can leave i-PI waiting forever, even if other clients run.
                if stall.is_stalled and any(one.poll() for group in clients for one in group):
                    _write_to_screen(output, "no step since a client died")
                    return Outcome.FAILED
                # React to the first request at once; once the event is set, wait() returns at once.
                time.sleep(POLL) if is_asked else requested.wait(POLL)
        finally:
            _end([engine, *itertools.chain(*clients)])
            if commands.exit_file is not None:
                (folder / commands.exit_file).unlink(missing_ok=True)
    if is_asked:
        return Outcome.STOPPED
    return Outcome.ENDED if engine.returncode == 0 else Outcome.FAILED


class StallDetector:
    """Detector of an engine that makes no more steps."""

    def __init__(self) -> None:
        self._step, self._since, self._longest = -1, time.monotonic(), 0.0

    def record(self, step: int) -> None:
        """Record the last step at this time."""
        now = time.monotonic()
        if step != self._step:
            if self._step >= 0:
                self._longest = max(self._longest, now - self._since)
            self._step, self._since = step, now

    @property
    def is_stalled(self) -> bool:
        """Whether the last step is much longer ago than the longest time between two steps."""
        if self._longest:
            limit = max(STALL_SECONDS, STALL_FACTOR * self._longest)
        else:
            limit = STALL_FACTOR * STALL_SECONDS
        return time.monotonic() - self._since > limit


def _ask_to_end(engine: subprocess.Popen, folder: Path, exit_file: str | None) -> None:
    if exit_file is None:
        engine.terminate()
    else:
        (folder / exit_file).touch()


def _write_to_screen(output: BinaryIO, text: str) -> None:
    output.write(f"pet-driver: {text}\n".encode())
    output.flush()


def _ends_within(process: subprocess.Popen, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _start(
    command: Sequence[str], folder: Path, output: BinaryIO, environment: dict[str, str]
) -> subprocess.Popen:
    return subprocess.Popen(
        list(command),
        cwd=folder,
        stdout=output,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        close_fds=False,  # the processes inherit the lock on the folder
        start_new_session=True,  # the terminal sends Ctrl-C to this process only
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the supervisor dies (Linux).

    An engine that outlives its supervisor would write into the folder of the next run segment.
    """
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
    """Yield an event that Ctrl-C and SIGTERM set instead of ending this process."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread can handle signals
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: event.set()) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
