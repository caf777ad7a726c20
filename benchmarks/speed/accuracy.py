"""How far a contender is from the same network in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed.bench import Bench
from benchmarks.speed.contenders import OURS, Answer, Frame
from benchmarks.speed.process import Process

# Above these a contender does not compute the same thing, and its time says nothing. Float32 sums
# of total energies lose digits with the size of the system: that error is reported, not refused.
ENERGY = 1e-4  # of the total energy
FORCE = 1e-3  # of the largest force
VIRIAL = 1e-3  # of the largest component


def exact(bench: Bench, network: str, frame: Frame, grid: str = "0") -> Answer:
    """The answer in float64."""
    with Process(OURS, threads=2) as process:
        process.call("prepare", bench.reference(network), {"grid": grid})
        return process.call("time", frame)[2]


def errors(answer: Answer, reference: Answer) -> dict[str, Any]:
    """Largest errors: energy in meV/atom, forces in meV/A, virial in meV; and whether it is the
    same network."""
    energy = abs(answer.energy - reference.energy)
    force = np.abs(answer.forces - reference.forces).max()
    virial = np.abs(answer.virial - reference.virial).max()
    agrees = (
        energy < ENERGY * abs(reference.energy)
        and force < FORCE * np.abs(reference.forces).max()
        and virial < VIRIAL * np.abs(reference.virial).max()
    )
    return {
        "energy_error": 1e3 * float(energy) / len(reference.forces),
        "force_error": 1e3 * float(force),
        "virial_error": 1e3 * float(virial),
        "agrees": bool(agrees),
    }
