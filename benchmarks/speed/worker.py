"""Process of one contender: reads requests from its standard input, writes the results.

    python -m benchmarks.speed.worker NAME DEVICE

A request is the name of a method of :class:`Worker` and its arguments, pickled. The reply is its
result, or the text of an exception. The output of libraries goes to standard error.
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
    """Methods that the benchmark can call in the process of a contender."""

    def __init__(self, name: str, device: str) -> None:
        self.module = find(name)
        self.device = device

    def versions(self) -> dict[str, str]:
        return self.module.versions()

    def convert(self, checkpoint: Path, folder: Path, options: dict[str, Any]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return self.module.convert(checkpoint, folder, **options)

    def prepare(self, model: Path, options: dict[str, Any]) -> float:
        """Load the model, and return the peak memory (MB) so far."""
        self.evaluate = self.module.prepare(model, self.device, **options)
        return self.memory()

    def prepare_batch(self, model: Path) -> None:
        """Load the model to evaluate lists of structures."""
        if not hasattr(self.module, "prepare_batch"):
            raise NotImplementedError("has no call for several structures")
        self.evaluate = self.module.prepare_batch(model, self.device)

    def time(self, frames: Frame | list[Frame]) -> tuple[float, float, Answer | list[Answer]]:
        """Evaluate once; return seconds, processor seconds of all threads, and the answer."""
        self._synchronize()
        started, processor = time.perf_counter(), time.process_time()
        answer = self.evaluate(frames)
        self._synchronize()
        timer = getattr(self.evaluate, "timer", None)
        if timer is not None:
            return timer.seconds, timer.processor_seconds, answer
        return time.perf_counter() - started, time.process_time() - processor, answer

    def time_separately(self, frames: list[Frame]) -> tuple[float, float, list[Answer]]:
        """Evaluate the structures of a batch in separate calls; return as :meth:`time`."""
        answers = [self.time([frame]) for frame in frames]
        seconds, processor = (sum(answer[k] for answer in answers) for k in (0, 1))
        return seconds, processor, [answer[2][0] for answer in answers]

    def memory(self) -> float:
        """Return the peak memory (MB): resident memory, or memory of the device."""
        if self.device == "cpu" or "torch" not in sys.modules:
            return peak_memory()
        return sys.modules["torch"].cuda.max_memory_allocated() / 2**20

    def _synchronize(self) -> None:
        if self.device != "cpu" and "torch" in sys.modules:
            sys.modules["torch"].cuda.synchronize()


def peak_memory() -> float:
    """Return the peak resident memory of this process, MB.

    On Linux, a child process inherits the peak of ``getrusage`` from its parent, but not VmHWM.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Answer requests until the input ends."""
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
