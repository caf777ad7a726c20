"""The network of this package alone.

Not timed: the neighbour list, the conversion of structures to tensors, and the sums of edge
gradients to forces.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders import Answer, Evaluate, Frame, pet_driver

versions = pet_driver.versions
convert = pet_driver.convert


class Timer:
    """Wrapper of the module of an archive that times its calls.

    Attributes:
        seconds: wall-clock time of all calls since :meth:`reset`.
        processor_seconds: processor time of these calls.
        calls: number of these calls.
    """

    def __init__(self, module: Any, device: str) -> None:
        self.module, self.device = module, device
        self.reset()

    def reset(self) -> None:
        """Set the times and the number of calls to zero."""
        self.seconds, self.processor_seconds, self.calls = 0.0, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def __call__(self, *arguments: Any) -> Any:
        self._synchronize()
        started, processor = time.perf_counter(), time.process_time()
        result = self.module(*arguments)
        self._synchronize()
        self.seconds += time.perf_counter() - started
        self.processor_seconds += time.process_time() - processor
        self.calls += 1
        return result

    def _synchronize(self) -> None:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()


def install_timer(model: Any, device: str) -> Timer:
    """Wrap the network of a ``pet_driver.Model`` in a timer, and return the timer."""
    timer = Timer(model.archive.module, device)
    object.__setattr__(model.archive, "module", timer)  # the dataclass is frozen
    return timer


def prepare(model: Path, device: str) -> Evaluate:
    import pet_driver as package
    from pet_driver.neighbors.structure import Structure

    loaded = package.load(model, device=device, grid="0")
    timer = install_timer(loaded, device)

    def evaluate(frame: Frame) -> Answer:
        timer.reset()
        periodic = (frame.periodic,) * 3
        structure = Structure(frame.numbers, frame.positions, frame.cell, periodic)
        result = loaded.compute([structure])[0]
        if not timer.calls:
            raise RuntimeError("a structure was evaluated without a call of the timed network")
        return Answer(result.energy, result.forces, result.virial)

    evaluate.timer = timer
    return evaluate
