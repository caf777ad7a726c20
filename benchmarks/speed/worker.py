"""The process of one contender: reads requests from its standard input, answers on its output.

A request is a method's name and its arguments, pickled; the answer is what it returns, or the text
of an exception. What libraries print goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders import Answer, Frame, find


class Worker:
    """What a contender is told to do."""

    def __init__(self, name: str, device: str) -> None:
        self.module = find(name)
        self.device = device

    def versions(self) -> dict[str, str]:
        return self.module.versions()

    def convert(self, checkpoint: Path, folder: Path, options: dict[str, Any]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return self.module.convert(checkpoint, folder, **options)

    def prepare(self, model: Path, options: dict[str, Any]) -> float:
        """Load the model; the peak memory (MB) of a process that has done no more."""
        self.evaluate = self.module.prepare(model, self.device, **options)
        return self.memory()

    def prepare_batch(self, model: Path) -> None:
        """As ``prepare``, for lists of structures."""
        if not hasattr(self.module, "prepare_batch"):
            raise NotImplementedError("has no call for several structures")
        self.evaluate = self.module.prepare_batch(model, self.device)

    def time(self, what: Frame | list[Frame]) -> tuple[float, float, Answer | list[Answer]]:
        """Seconds, processor seconds of all threads together, and answer of one evaluation."""
        self._synchronize()
        started, used = time.perf_counter(), time.process_time()
        answer = self.evaluate(what)
        self._synchronize()
        clock = getattr(self.evaluate, "clock", None)
        if clock is not None:
            return clock.seconds, clock.used, answer
        return time.perf_counter() - started, time.process_time() - used, answer

    def time_one_by_one(self, frames: list[Frame]) -> tuple[float, float, list[Answer]]:
        """The same for a batch, in a call for each structure."""
        answers = [self.time([frame]) for frame in frames]
        seconds, used = (sum(answer[k] for answer in answers) for k in (0, 1))
        return seconds, used, [answer[2][0] for answer in answers]

    def memory(self) -> float:
        """Peak memory (MB): resident, or of the device."""
        if self.device == "cpu" or "torch" not in sys.modules:
            return peak_memory()
        return sys.modules["torch"].cuda.max_memory_allocated() / 2**20

    def _synchronize(self) -> None:
        if self.device != "cpu" and "torch" in sys.modules:
            sys.modules["torch"].cuda.synchronize()


def peak_memory() -> float:
    """The most memory that this process ever had resident, MB.

    Linux hands the peak of ``getrusage`` on to whatever a process starts, so that a small child of
    a large parent looks large; its own record begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Serve until the input ends."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    name, device = sys.argv[1:]
    try:
        worker = Worker(name, device)
    except ImportError:
        worker = None
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            reply = (True, getattr(worker, method)(*arguments))
        except Exception as error:
            missing = isinstance(error, ImportError)
            reply = (False, (missing, f"{type(error).__name__}: {error}", traceback.format_exc()))
        pickle.dump(reply, answers)
        answers.flush()


if __name__ == "__main__":
    main()
