"""Compile the C++ sources of the package, once, into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from pet_driver.errors import PetDriverError

OLDEST_GCC = 11  # C++20, in torch's headers and in the kernels
LINES_SHOWN = 20


@contextmanager
def _print_notice(notice: str) -> Iterator[None]:
    print(f"pet-driver: {notice}", file=sys.stderr, flush=True)
    start = time.monotonic()
    yield
    print(f"pet-driver: compiled in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


# Surrounds every compilation; the command line replaces it by a progress display.
announce: Callable[[str], AbstractContextManager[None]] = _print_notice


def cache_folder() -> Path:
    """Return the folder of compiled code: ``$PET_DRIVER_CACHE``, or ``~/.cache/pet-driver``.

    Raises:
        PetDriverError: the variable is not set, and the user has no home folder.
    """
    folder = os.environ.get("PET_DRIVER_CACHE")
    if folder:
        return Path(folder)
    try:
        return Path.home() / ".cache" / "pet-driver"
    except RuntimeError as error:  # no HOME, and a user that the system does not know
        raise PetDriverError(
            f"there is no place for compiled code ({error}): set PET_DRIVER_CACHE to a folder that "
            "you may write"
        ) from None


def compile_once(
    target: Path,
    compile: Callable[[str, Path], Path],
    force: bool = False,
    what: str = "a library",
) -> Path:
    """Compile ``target`` unless it exists.

    Several processes may call this at the same time: one compiles, the others wait. Processes that
    have loaded an older binary are not affected.

    Args:
        target: the binary, in a folder of its own.
        compile: function of the compiler and an empty folder that returns the path of the binary
            in that folder.
        force: compile even if the binary exists.
        what: name of what is compiled, and the expected time, for the notice of :data:`announce`.

    Raises:
        PetDriverError: there is no compiler, it fails, or the folder cannot be written.
    """
    try:
        if target.is_file() and not force:
            return target
        compiler = find_compiler()
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / "lock"):
            if force or not target.is_file():
                notice = f"compiling {what}, once for this machine; kept in {target.parent}"
                with (
                    announce(notice),
                    tempfile.TemporaryDirectory(dir=target.parent) as folder,
                ):
                    os.replace(compile(compiler, Path(folder)), target)
    except OSError as error:  # the folder belongs to another user, is read-only, or is full
        raise PetDriverError(
            f"cannot use the cache folder {target.parent} ({error.strerror}): "
            "set PET_DRIVER_CACHE to a folder that you may write"
        ) from None
    return target


def find_compiler() -> str:
    """Return the path of the compiler: ``$CXX``, or the first of g++, clang++ and c++ on the path.

    Raises:
        PetDriverError: there is none, or it is too old.
    """
    wish = os.environ.get("CXX")
    names = [wish] if wish else ["g++", "clang++", "c++"]
    compiler = next(filter(None, (shutil.which(name) for name in names)), None)
    if compiler is None:
        raise PetDriverError(
            f"no C++ compiler found (looked for {', '.join(names)}): install g++ "
            f"{OLDEST_GCC} or later, or set CXX to the path of one"
        )
    banner = _output(compiler, "--version")
    version = _output(compiler, "-dumpversion").split(".")[0]
    if "clang" not in banner and version.isdigit() and int(version) < OLDEST_GCC:
        raise PetDriverError(
            f"{compiler} is version {version}, C++20 needs g++ {OLDEST_GCC} or later: "
            "install a newer one, or set CXX to the path of one"
        )
    return compiler


def run_compiler(command: list[str], what: str, verbose: bool = False) -> None:
    """Run one command of the compiler.

    Args:
        command: the command line.
        what: name of what is compiled, for messages.
        verbose: print the command line.

    Raises:
        PetDriverError: it fails; the message has its last lines.
    """
    if verbose:
        print(" ".join(command), flush=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        last = "\n".join(result.stderr.strip().splitlines()[-LINES_SHOWN:])
        raise PetDriverError(f"compiling {what} failed:\n{last}")


def _output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file."""
    with path.open("w") as file:
        # The system releases the lock with the process. Some shared file systems have no locks:
        # then two processes may compile the same, and the last one replaces the binary.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
