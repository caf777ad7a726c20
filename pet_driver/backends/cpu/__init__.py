"""C++ kernels that evaluate the network on CPUs, several times faster than TorchScript.

A transformer with few features spends most of its time in torch on moving small tables between
memory and processor. The kernels process a block of atoms through a whole layer while its data stay
in the cache, and compute the gradient with explicit code, so that they store only what it needs.
They also compute edges from positions and forces from gradients
(:mod:`pet_driver.backends.cpu.edges`). The C++ code needs a compiler with OpenMP and nothing else.
It is compiled for all instruction sets that the processors of a cluster may have: when the wheel is
built, or else once, on first use.

Set ``$PET_DRIVER_KERNELS`` to ``off`` to evaluate the network in TorchScript, or to ``on`` to make
it an error if the kernels cannot be used. This module does not import torch;
:mod:`pet_driver.backends.cpu.binding` does.
"""

import os

from pet_driver.backends.cpu.build import SOURCES, build, library
from pet_driver.errors import PetDriverError

MODE = "PET_DRIVER_KERNELS"  # environment variable

__all__ = ["MODE", "SOURCES", "build", "library", "mode"]


def mode() -> str:
    """Return the value of ``$PET_DRIVER_KERNELS``: ``"auto"`` (the default), ``"on"`` or ``"off"``.

    Raises:
        PetDriverError: the variable has another value.
    """
    found = os.environ.get(MODE, "auto")
    if found not in ("auto", "on", "off"):
        raise PetDriverError(f"${MODE} is {found!r}; set it to auto, on or off")
    return found
