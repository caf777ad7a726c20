"""One file a contender. Each has the same three functions:

    versions() -> dict[str, str]                      the packages behind it
    convert(checkpoint, folder) -> Path               a metatrain checkpoint -> what it evaluates
    prepare(model, device) -> Evaluate                load it, ready to be timed

They run in a process of the contender's own, so each imports what it needs. An ``ImportError`` means
that the contender is not installed: it is reported and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np

NAMES = ("pet-driver", "metatomic", "pet-kokkos", "pet-jax")
PEERS = NAMES[1:]


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


Evaluate = Callable[[Frame], Answer]


def find(name: str) -> ModuleType:
    """The module of a contender."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def versions_of(*packages: str) -> dict[str, str]:
    """Installed versions; a package that is missing is an ``ImportError``."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}
