"""Times of several contenders on the same structures, in turn, until the medians stand still."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WARM = 4  # evaluations before any counts: code that is compiled on the fly has settled by then


@dataclass(frozen=True)
class Plan:
    """How long to repeat one comparison.

    Attributes:
        seconds: begin no new round after so long.
        fewest: rounds, whatever the time.
        least: rounds before a median can be said to stand still.
        most: rounds.
        precision: a median stands still when half the width of its 95 % interval is below this
            part of it.
    """

    seconds: float = 120.0
    fewest: int = 3
    least: int = 7
    most: int = 41
    precision: float = 0.02


@dataclass
class Timing:
    """Every counted evaluation of one contender, in the order of the rounds.

    Attributes:
        seconds: by the clock on the wall.
        used: of processor time, all threads together. For one thread it tells what the wall clock
            would have shown if the machine had had nothing else to do.
    """

    seconds: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as part of the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(0.5 * (high - low) / self.median)

    @property
    def uncertainty(self) -> float:
        """Half the 95 % interval of the median by its order statistics, as part of the median."""
        ordered, n = sorted(self.seconds), len(self.seconds)
        reach = 0.98 * n**0.5
        low, high = int(n / 2 - reach), int(np.ceil(n / 2 + reach))
        return 0.5 * (ordered[min(n - 1, high)] - ordered[max(0, low)]) / self.median

    def record(self) -> dict[str, Any]:
        """For the file of results: seconds, and parts of the median."""
        return {
            "seconds": self.median,
            "spread": self.spread,
            "uncertainty": self.uncertainty,
            "processor_seconds": statistics.median(self.used),
            "rounds": len(self.seconds),
        }


@dataclass
class Race:
    """What came of one comparison.

    Attributes:
        timings: by contender.
        load: load average of the machine when it began.
    """

    timings: dict[str, Timing]
    load: float


def in_turn(contenders: dict[str, Callable[[int], tuple[float, float]]], plan: Plan) -> Race:
    """Let every contender evaluate structure 0, then structure 1, and so on.

    Args:
        contenders: by name, a function that evaluates a structure and returns the seconds and the
            processor seconds that it took.
        plan: how long.
    """
    race = Race({name: Timing() for name in contenders}, os.getloadavg()[0])
    started = time.perf_counter()
    warm = 0
    while warm < WARM and (warm < 2 or time.perf_counter() - started < plan.seconds / 4):
        for run in contenders.values():
            run(warm)
        warm += 1
    for done in range(1, plan.most + 1):
        for name, run in contenders.items():
            seconds, used = run(warm + done - 1)
            race.timings[name].seconds.append(seconds)
            race.timings[name].used.append(used)
        late = time.perf_counter() - started > plan.seconds
        still = all(timing.uncertainty < plan.precision for timing in race.timings.values())
        if (late and done >= plan.fewest) or (still and done >= plan.least):
            break
    return race
