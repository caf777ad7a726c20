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

from pet_driver.errors import PetDriverError

# Of mallopt, in malloc.h of the GNU C library: what to set to which value.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
# Smaller buffers come from the heap, which stays. Older libraries take no more than 32 MB.
LARGEST_MMAP_THRESHOLDS = (2**31 - 1, 32 << 20)
SETTINGS = (
    (TRIM_THRESHOLD, -1),  # the heap does not shrink
    (ARENA_MAX, 1),  # further heaps, of other threads, could not hold large buffers
)


# Of torch's messages for GPUs and for CPUs, of the kernels', and of cuBLAS, whose handle needs
# memory too. That of a compiled network names no reason, which stands before it on the screen.
NOT_ENOUGH = (
    *("out of memory", "can't allocate memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
)


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
        if not any(text in str(error) for text in NOT_ENOUGH):
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
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or not any(
        mallopt(MMAP_THRESHOLD, size) for size in LARGEST_MMAP_THRESHOLDS
    ):
        return False
    return all(mallopt(*setting) for setting in SETTINGS)
