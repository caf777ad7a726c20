"""Processes of the contenders, as seen by the benchmark; see :mod:`benchmarks.speed.worker`."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders import find

ROOT = Path(__file__).parents[2]


class ContenderError(Exception):
    """A request to a contender failed.

    Attributes:
        missing: whether the contender, or a package that it needs, is not installed.
    """

    def __init__(self, message: str, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Process:
    """Process in which one contender runs.

    Args:
        name: name of the contender.
        threads: number of threads of the contender.
        device: ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, name: str, threads: int, device: str = "cpu") -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.worker", name, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCH_VERBOSE") else None,
            cwd=ROOT,
            env=environment(threads) | getattr(find(name), "environment", dict)(),
            preexec_fn=(lambda: pin(threads)) if name == "pet-jax" and device == "cpu" else None,
        )

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker and return its result.

        Raises:
            ContenderError: the method failed, or the process has ended.
        """
        try:
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()
            done, reply = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError):
            code = self.process.wait()
            raise ContenderError(f"{self.name} ended with exit code {code}") from None
        if done:
            return reply
        missing, message, _ = reply
        raise ContenderError(f"{self.name}: {message}", missing)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def environment(threads: int) -> dict[str, str]:
    """Return an environment that fixes the number of threads of the usual libraries."""
    pools = ("OMP", "MKL", "OPENBLAS")
    return os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in pools}


def pin(threads: int) -> None:
    """Restrict this process to as many cores as threads.

    XLA starts one thread per available core and has no option for their number.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-threads:])
