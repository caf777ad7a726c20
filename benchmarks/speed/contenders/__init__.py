"""One file a contender. Each has the same functions:

    versions() -> dict[str, str]          the packages behind it
    convert(checkpoint, folder) -> Path   a metatrain checkpoint -> what it evaluates
    prepare(model, device) -> Evaluate    load it, ready to be timed
    prepare_batch(model, device)          the same for several structures in one call, if it can
    environment() -> dict[str, str]       variables that its process needs, if any

They run in a process of the contender's own, so each imports what it needs. An ``ImportError``
means that the contender is not installed: it is reported and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np

OURS = "pet-driver"
COMPILED = "pet-driver-pt2"
OWN = (OURS, COMPILED)
PEERS = ("metatomic", "pet-kokkos", "pet-jax")
NAMES = (*OWN, *PEERS)


@dataclass(frozen=True)
class Frame:
    """A structure as plain arrays (A): nothing in it belongs to one of the contenders."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: bool


@dataclass(frozen=True)
class Answer:
    """eV, eV/A, eV; the virial is minus the derivative by a strain, symmetric."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray


# Where only a part of an evaluation is to be timed, the function has an attribute ``clock``: an
# object with the ``seconds`` and the ``used`` processor seconds of that part.
Evaluate = Callable[[Frame], Answer]
EvaluateBatch = Callable[[Sequence[Frame]], list[Answer]]


def find(name: str) -> ModuleType:
    """The module of a contender."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def versions_of(*packages: str) -> dict[str, str]:
    """Installed versions; a package that is missing is an ``ImportError``."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}
