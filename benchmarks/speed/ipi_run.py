"""Run some steps of i-PI in a process of its own and time them.

The arguments of :func:`run` are read from the standard input, pickled; its result is written to the
standard output, pickled.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import units


class DriverTimer:
    """Timer of all calls of an i-PI driver class.

    Attributes:
        seconds: sum over the calls; the caller resets it.
    """

    def __init__(self, kind: type) -> None:
        self.seconds = 0.0
        kind.compute = self._timed(kind.compute)

    def _timed(self, compute: Callable) -> Callable:
        @functools.wraps(compute)
        def measured(driver: Any, cell: Any, positions: Any) -> Any:
            started = time.perf_counter()
            result = compute(driver, cell, positions)
            self.seconds += time.perf_counter() - started
            return result

        return measured


class NetworkTimer:
    """Timer of all calls of the networks that this package has loaded."""

    def __init__(self, device: str) -> None:
        from benchmarks.speed.contenders import archive
        from pet_driver.engines.ipi import driver

        self.timers = [archive.install_timer(model, device) for model in driver._models.values()]

    def take(self) -> float:
        """Return the seconds since the last call of this method."""
        seconds = sum(timer.seconds for timer in self.timers)
        if not any(timer.calls for timer in self.timers):
            raise RuntimeError("i-PI made a step without a call of the timed network")
        for timer in self.timers:
            timer.reset()
        return seconds


def run(text: str, ours: bool, warm: int, steps: int, device: str) -> dict[str, Any]:
    """Run i-PI in the current folder.

    All steps are one run, as in the program i-pi: every separate run would start threads and write
    a RESTART.

    Args:
        text: the input.
        ours: whether the driver is that of this package, or i-PI's metatomic driver.
        warm: number of steps that are not counted.
        steps: number of steps that are counted.
        device: of the model.

    Returns:
        Lists by step of the wall-clock time ("step"), the processor time ("processor") and the
        wall-clock times in the driver and in the network, all in s; the energy (eV) and forces
        (eV/A) of the first structure.
    """
    from ipi.pes.metatomic import MetatomicDriver
    from ipi.scripting import InteractiveSimulation
    from ipi.utils.depend import dstrip

    from pet_driver.engines.ipi.driver import PETDriver

    driver = DriverTimer(PETDriver if ours else MetatomicDriver)
    simulation = InteractiveSimulation(text)
    forces = simulation.syslist[0].forces
    energy = float(dstrip(forces.pots)[0]) * units.Hartree
    first = np.array(dstrip(forces.f)[0]).reshape(-1, 3) * units.Hartree / units.Bohr
    network = NetworkTimer(device) if ours else None
    found: dict[str, list[float]] = {"step": [], "processor": [], "driver": [], "network": []}
    step = simulation.run_step

    def timed_step(number: int) -> None:
        driver.seconds, started, processor = 0.0, time.perf_counter(), time.process_time()
        step(number)
        found["step"].append(time.perf_counter() - started)
        found["processor"].append(time.process_time() - processor)
        found["driver"].append(driver.seconds)
        found["network"].append(network.take() if network else float("nan"))

    simulation.run_step = timed_step
    simulation.run(warm + steps, write_outputs=False)
    counted = {name: values[warm:] for name, values in found.items()}
    return counted | {"energy": energy, "forces": first}


def main() -> None:
    """Answer one request."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    folder, arguments = pickle.load(sys.stdin.buffer)
    os.chdir(folder)
    pickle.dump(run(**arguments), output)
    output.flush()
    os._exit(0)  # the threads of i-PI never end


if __name__ == "__main__":
    main()
