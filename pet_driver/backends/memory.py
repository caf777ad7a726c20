"""Memory that one evaluation frees serves the next; where there is too little, an error says so.

The C library gives large buffers back to the system as soon as they are freed, and the system
hands them out again page by page, filled with zeros. A network that works through hundreds of
megabytes at every step would spend half of its time there, as soon as a buffer exceeds 32 MB.
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
    """Say what helps where an evaluation asks for more memory than there is.

    Args:
        max_edges: its bound on edges times rotations in one pass.

    Raises:
        PetDriverError: it did; the message says what to lower.
    """
    try:
        yield
    except RuntimeError as error:  # TorchScript makes it of whatever its operators raise
        if not any(text in str(error) for text in OUT_OF_MEMORY_TEXTS):
            raise
        raise PetDriverError(
            f"out of memory with passes of {max_edges} edges times rotations: ask for fewer by "
            "max_edges (--max-edges of commands); a structure that has more is one pass without "
            "rotations, and needs a device with more memory"
        ) from None


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, for the whole process; whether that was done.

    Environment variables of the GNU C library that say otherwise (``MALLOC_...``,
    ``GLIBC_TUNABLES``) are obeyed; other C libraries are left as they are.
    """
    if any(name.startswith(ALLOCATOR_VARIABLES) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or not any(
        mallopt(MALLOPT_MMAP_THRESHOLD, size) for size in LARGEST_MMAP_THRESHOLDS
    ):
        return False
    return all(mallopt(*setting) for setting in MALLOPT_SETTINGS)
