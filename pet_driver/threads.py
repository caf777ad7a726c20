"""How threads wait for one another."""

from __future__ import annotations

from collections.abc import MutableMapping

# Rounds of waiting; by itself the library does thirty times as many.
SPINS = "10000"


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let OpenMP's threads give up their core soon when they wait for others.

    To be called before torch is imported, on ``os.environ`` or that of a process to be started. By
    itself GNU's OpenMP keeps cores busy with waiting. Where another process needs one of them, or
    a second team of threads in the same process as in i-PI, those that are waited for do not get
    on: a step of one molecule that takes 3 ms took 60. Where the cores are free it costs some 2 %.
    Whoever sets ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` has it that way.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
