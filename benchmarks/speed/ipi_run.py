"""A few steps of i-PI in a process of its own, its clock in hand.

Reads from its standard input, pickled: the text of the input, numbers of steps and the device.
Writes to its standard output, pickled: seconds and processor seconds of the steps, how much of the
seconds the driver and the network took, energy (eV) and forces (eV/A) of the first structure.
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


class Driver:
    """Measures every call of a driver of i-PI."""

    def __init__(self, kind: type) -> None:
        self.seconds = 0.0
        kind.compute = self.around(kind.compute)

    def around(self, compute: Callable) -> Callable:
        @functools.wraps(compute)
        def measured(driver: Any, cell: Any, positions: Any) -> Any:
            started = time.perf_counter()
            result = compute(driver, cell, positions)
            self.seconds += time.perf_counter() - started
            return result

        return measured


class Network:
    """Measures every call of this package's archives that are loaded now."""

    def __init__(self, device: str) -> None:
        from benchmarks.speed.contenders import archive
        from pet_driver.engines.ipi import driver

        self.clocks = [archive.install(model, device) for model in driver._models.values()]

    def take(self) -> float:
        """Seconds of the calls since the last question."""
        seconds = sum(clock.seconds for clock in self.clocks)
        if not any(clock.calls for clock in self.clocks):
            raise RuntimeError("i-PI made a step without the network's clock noticing")
        for clock in self.clocks:
            clock.reset()
        return seconds


def run(input_file: str, ours: bool, warm: int, steps: int, device: str) -> dict[str, Any]:
    """Run i-PI on ``input file`` in the present folder.

    All steps are one run, as in the program i-pi: every run of its own would start threads anew
    and write a RESTART.
    """
    from ipi.pes.metatomic import MetatomicDriver
    from ipi.scripting import InteractiveSimulation
    from ipi.utils.depend import dstrip

    from pet_driver.engines.ipi.driver import PETDriver

    driver = Driver(PETDriver if ours else MetatomicDriver)
    simulation = InteractiveSimulation(input_file)
    forces = simulation.syslist[0].forces
    energy = float(dstrip(forces.pots)[0]) * units.Hartree
    first = np.array(dstrip(forces.f)[0]).reshape(-1, 3) * units.Hartree / units.Bohr
    network = Network(device) if ours else None
    found: dict[str, list[float]] = {"step": [], "used": [], "driver": [], "network": []}
    step = simulation.run_step

    def timed_step(number: int) -> None:
        driver.seconds, started, used = 0.0, time.perf_counter(), time.process_time()
        step(number)
        found["step"].append(time.perf_counter() - started)
        found["used"].append(time.process_time() - used)
        found["driver"].append(driver.seconds)
        found["network"].append(network.take() if network else float("nan"))

    simulation.run_step = timed_step
    simulation.run(warm + steps, write_outputs=False)
    counted = {name: values[warm:] for name, values in found.items()}
    return counted | {"energy": energy, "forces": first}


def main() -> None:
    """Answer one request and end."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    folder, arguments = pickle.load(sys.stdin.buffer)
    os.chdir(folder)
    pickle.dump(run(**arguments), output)
    output.flush()
    os._exit(0)  # i-PI's threads do not end by themselves


if __name__ == "__main__":
    main()
