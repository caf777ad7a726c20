"""Errors of a contender against the same network in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed.bench import Bench
from benchmarks.speed.contenders import OURS, Answer, Frame
from benchmarks.speed.process import Process

# A contender with larger errors does not compute the same function and is not timed. The energy
# tolerance is relative to the total, because float32 sums lose digits in large systems; that error
# is reported.
ENERGY = 1e-4  # relative to the total energy
FORCE = 1e-3  # relative to the largest force
VIRIAL = 1e-3  # relative to the largest component


def reference_answer(bench: Bench, network: str, frame: Frame, grid: str = "0") -> Answer:
    """Evaluate the network in float64."""
    with Process(OURS, threads=2) as process:
        process.call("prepare", bench.reference(network), {"grid": grid})
        return process.call("time", frame)[2]


def errors(answer: Answer, reference: Answer) -> dict[str, Any]:
    """Return the largest errors, and whether they are within the tolerances.

    The energy is in meV/atom, forces in meV/A, the virial in meV.
    """
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
