"""The network of this package alone: the archive, without the search for neighbours and without
what turns structures into tensors and edge gradients into forces."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders import Answer, Evaluate, Frame, pet_driver

versions = pet_driver.versions
convert = pet_driver.convert


class Clock:
    """Stands in for the module of an archive and measures its calls.

    Attributes:
        seconds: of all calls since :meth:`reset`, by the clock on the wall.
        used: processor seconds of the same.
        calls: how many they were.
    """

    def __init__(self, module: Any, device: str) -> None:
        self.module, self.device = module, device
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.seconds, self.used, self.calls = 0.0, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def __call__(self, *arguments: Any) -> Any:
        self._synchronize()
        started, used = time.perf_counter(), time.process_time()
        result = self.module(*arguments)
        self._synchronize()
        self.seconds += time.perf_counter() - started
        self.used += time.process_time() - used
        self.calls += 1
        return result

    def _synchronize(self) -> None:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()


def install(model: Any, device: str) -> Clock:
    """Put a clock before the archive of a ``pet_driver.Model``."""
    clock = Clock(model.archive.module, device)
    object.__setattr__(model.archive, "module", clock)  # the dataclass is frozen
    return clock


def prepare(model: Path, device: str) -> Evaluate:
    import pet_driver as package
    from pet_driver.neighbors.structure import Structure

    loaded = package.load(model, device=device, grid="0")
    clock = install(loaded, device)

    def evaluate(frame: Frame) -> Answer:
        clock.reset()
        periodic = (frame.periodic,) * 3
        structure = Structure(frame.numbers, frame.positions, frame.cell, periodic)
        result = loaded.compute([structure])[0]
        if not clock.calls:
            raise RuntimeError("a structure was evaluated without the clock noticing")
        return Answer(result.energy, result.forces, result.virial)

    evaluate.clock = clock
    return evaluate
