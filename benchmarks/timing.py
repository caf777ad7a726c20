"""How the benchmarks compare: in turn, so that a busy machine slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turn(
    ours: Callable[[], object], other: Callable[[], object], repeats: int, warm: bool = True
) -> tuple[float, float]:
    """Median times (s) of two functions that run one after the other, again and again."""
    for function in (ours, other) * 2 * warm:
        function()
    times: dict[Callable, list[float]] = {ours: [], other: []}
    for _ in range(repeats):
        for function, taken in times.items():
            started = time.perf_counter()
            function()
            taken.append(time.perf_counter() - started)
    return statistics.median(times[ours]), statistics.median(times[other])
