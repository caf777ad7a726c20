"""Time several contenders on the same structures in turn, until their medians are precise."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WARM = 4  # evaluations that are not counted: contenders may compile code in the first ones


@dataclass(frozen=True)
class Plan:
    """Limits on the length of one comparison.

    Attributes:
        seconds: time after which no new round starts.
        fewest: number of rounds that are made even if they take longer.
        least: number of rounds before the medians can count as precise.
        most: largest number of rounds.
        precision: the comparison ends when the relative uncertainty of every median is below this.
    """

    seconds: float = 120.0
    fewest: int = 3
    least: int = 7
    most: int = 41
    precision: float = 0.02


@dataclass
class Timing:
    """Times of all counted evaluations of one contender.

    Attributes:
        seconds: wall-clock times.
        processor_seconds: processor times, summed over all threads. With one thread, this is what
            the wall clock would show on a machine without other load.
    """

    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the wall-clock times, s."""
        return statistics.median(self.seconds)

    @property
    def half_interquartile_range(self) -> float:
        """Half the interquartile range of the wall-clock times, relative to the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(0.5 * (high - low) / self.median)

    @property
    def uncertainty(self) -> float:
        """Half the 95 % confidence interval of the median (order statistics), relative to it."""
        ordered, n = sorted(self.seconds), len(self.seconds)
        reach = 0.98 * n**0.5
        low, high = int(n / 2 - reach), int(np.ceil(n / 2 + reach))
        return 0.5 * (ordered[min(n - 1, high)] - ordered[max(0, low)]) / self.median

    def record(self) -> dict[str, Any]:
        """Return the entries for the file of results: times in s, the others relative."""
        return {
            "seconds": self.median,
            "half_interquartile_range": self.half_interquartile_range,
            "uncertainty": self.uncertainty,
            "processor_seconds": statistics.median(self.processor_seconds),
            "rounds": len(self.seconds),
        }


@dataclass
class Comparison:
    """Times of several contenders that were measured in turn.

    Attributes:
        timings: by contender.
        load: load average of the machine at the start.
    """

    timings: dict[str, Timing]
    load: float


def measure_in_turn(
    functions: dict[str, Callable[[int], tuple[float, float]]], plan: Plan
) -> Comparison:
    """Let every contender evaluate structure 0, then structure 1, and so on.

    Args:
        functions: by contender, a function of the index of a structure that evaluates it and
            returns the seconds and processor seconds taken.
        plan: when to stop.
    """
    comparison = Comparison({name: Timing() for name in functions}, os.getloadavg()[0])
    started = time.perf_counter()
    warm = 0
    while warm < WARM and (warm < 2 or time.perf_counter() - started < plan.seconds / 4):
        for run in functions.values():
            run(warm)
        warm += 1
    timings = comparison.timings
    for done in range(1, plan.most + 1):
        for name, run in functions.items():
            seconds, processor_seconds = run(warm + done - 1)
            timings[name].seconds.append(seconds)
            timings[name].processor_seconds.append(processor_seconds)
        late = time.perf_counter() - started > plan.seconds
        precise = all(timing.uncertainty < plan.precision for timing in timings.values())
        if (late and done >= plan.fewest) or (precise and done >= plan.least):
            break
    return comparison
