"""The network in C++ for CPUs: the same numbers as TorchScript's, several times faster.

A transformer of a few dozen features spends most of its time in torch on moving small tables
between memory and processor. Here a block of atoms goes through a whole layer while it stays in the
cache, and the gradient is written out, so that nothing is kept that it does not need. Edges out of
positions and forces out of gradients come from here too (:mod:`pet_driver.backends.cpu.edges`). The C++
asks for a compiler and OpenMP and nothing else; it is compiled once, on first use, for all
instruction sets that the processors of a cluster may have.

``$PET_DRIVER_KERNELS`` set to ``off`` leaves the network to TorchScript, and to ``on`` makes it an
error if the kernels cannot be used. Nothing here imports torch; see
:mod:`pet_driver.backends.cpu.binding` for what does.
"""

import os

from pet_driver.backends.cpu.build import SOURCES, build, library
from pet_driver.errors import PetDriverError

MODE = "PET_DRIVER_KERNELS"  # variable of the environment

__all__ = ["MODE", "SOURCES", "build", "library", "mode"]


def mode() -> str:
    """``"auto"``, ``"on"`` or ``"off"``, as the environment says.

    Raises:
        PetDriverError: it says something else.
    """
    found = os.environ.get(MODE, "auto")
    if found not in ("auto", "on", "off"):
        raise PetDriverError(f"${MODE} is {found!r}; set it to auto, on or off")
    return found
