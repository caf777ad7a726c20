"""How threads wait for one another."""

from __future__ import annotations

from collections.abc import MutableMapping

# Rounds of waiting; by itself the library does thirty times as many.
SPINS = "10000"


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let OpenMP's threads give up their core soon when they wait for others.

    To be called before torch is imported, on ``os.environ`` or that of a process to be started.
    Left to itself, GNU's OpenMP keeps cores busy while its threads wait. If another process needs
    one of these cores, or a second team of threads in the same process as in i-PI, the threads that
    are waited for cannot run: a step of one molecule took 60 ms instead of 3. Where cores are free,
    the change costs about 2 %. If ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` is set, nothing is
    changed.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
