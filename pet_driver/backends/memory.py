"""Allocator settings, and a message for evaluations that run out of memory.

By default the C library returns large buffers to the system when they are freed, and the system
hands out new ones page by page, filled with zeros. A network that uses hundreds of megabytes at
every step would spend half of its time on this, as soon as one buffer exceeds 32 MB.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pet_driver.backends.shared_rules import (
    ALLOCATOR_VARIABLES,
    LARGEST_MMAP_THRESHOLDS,
    MALLOPT_MMAP_THRESHOLD,
    MALLOPT_SETTINGS,
    OUT_OF_MEMORY_TEXTS,
)
from pet_driver.errors import PetDriverError


@contextmanager
def explained_shortage(max_edges: int) -> Iterator[None]:
    """Convert out-of-memory errors of an evaluation to a PetDriverError with a remedy.

    Args:
        max_edges: bound of the evaluation on edges times rotations in one pass.

    Raises:
        PetDriverError: the evaluation ran out of memory.
    """
    try:
        yield
    except RuntimeError as error:  # TorchScript converts all errors of its operators to this
        if not any(text in str(error) for text in OUT_OF_MEMORY_TEXTS):
            raise
        raise PetDriverError(
            f"out of memory with passes of {max_edges} edges times rotations: ask for fewer by "
            "max_edges (--max-edges of commands); a structure that has more is one pass without "
            "rotations, and needs a device with more memory"
        ) from None


def keep_freed_memory() -> bool:
    """Set the C library of this process to keep freed memory; return whether it was set.

    Nothing is changed if the environment has settings of the GNU C library (``MALLOC_...``,
    ``GLIBC_TUNABLES``), or if the C library is another one.
    """
    if any(name.startswith(ALLOCATOR_VARIABLES) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or not any(
        mallopt(MALLOPT_MMAP_THRESHOLD, size) for size in LARGEST_MMAP_THRESHOLDS
    ):
        return False
    return all(mallopt(*setting) for setting in MALLOPT_SETTINGS)
