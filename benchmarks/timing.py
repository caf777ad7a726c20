"""Time two functions in alternation, so that other load on the machine affects both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def alternate(
    first: Callable[[], object], second: Callable[[], object], repeats: int, warm: bool = True
) -> tuple[float, float]:
    """Return the median times (s) of two functions that are called alternately.

    Args:
        first: a function.
        second: another function.
        repeats: number of timed calls of each.
        warm: whether both are called twice before, without timing.
    """
    for function in (first, second) * 2 * warm:
        function()
    times: dict[Callable, list[float]] = {first: [], second: []}
    for _ in range(repeats):
        for function, seconds in times.items():
            started = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - started)
    return statistics.median(times[first]), statistics.median(times[second])
