"""Contenders: one module for each code that is compared, with the functions

    versions() -> dict[str, str]          return the versions of its packages
    convert(checkpoint, folder) -> Path   convert a metatrain checkpoint to its own format
    prepare(model, device) -> Evaluate    load a model, ready to be timed
    prepare_batch(model, device)          the same for batches of structures (optional)
    environment() -> dict[str, str]       return variables for its process (optional)

They are called in a separate process for each contender, so that each imports only what it needs.
If one raises ``ImportError``, the contender is not installed; it is reported and left out.
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
    """Structure as arrays (A), independent of the contenders."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: bool


@dataclass(frozen=True)
class Answer:
    """Energy (eV), forces (eV/A) and virial (eV; minus the derivative by a symmetric strain)."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray


# If only a part of an evaluation is timed, the function has an attribute ``timer``, an object with
# the ``seconds`` and ``processor_seconds`` of that part.
Evaluate = Callable[[Frame], Answer]
EvaluateBatch = Callable[[Sequence[Frame]], list[Answer]]


def find(name: str) -> ModuleType:
    """Return the module of a contender."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages; raise ImportError if one is missing."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}
