"""The end of i-PI after an evaluation that failed inside it: RESTART written, exit code 1.

An exception that rises in a worker thread of i-PI leaves its other threads waiting for ever, and
i-PI's own soft exit hides the failure behind exit code 0.
"""

import os
import sys
import threading
import time
import traceback

from ipi.utils.softexit import softexit

from pet_driver.errors import PetDriverError

PATIENCE = 60.0  # seconds for a soft exit that is under way already
_ending = threading.Lock()  # taken by the thread that ends the program, and never given back


def end_program(error: Exception) -> None:
    """End i-PI, and return only to a thread that i-PI waits for while another one ends it."""
    if not _ending.acquire(blocking=False):
        if not _is_awaited():
            time.sleep(PATIENCE)
        return
    try:
        _clean_up(str(error))
    finally:
        if not isinstance(error, PetDriverError):
            traceback.print_exception(error)
        print(f"pet-driver: {error}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _is_awaited() -> bool:
    """Whether a soft exit joins this thread."""
    return any(thread is threading.current_thread() for thread, _ in softexit.tlist)


def _clean_up(message: str) -> None:
    """Have RESTART written and outputs closed, by this thread or the one that is at it."""
    softexit.cleanup(status="bad", message=message)
    deadline = time.monotonic() + PATIENCE
    while softexit.exiting and time.monotonic() < deadline:
        time.sleep(0.01)
    if softexit.flist and softexit.lock.locked():
        # Held while outputs are written: one of them asked for this evaluation and waits for it.
        softexit.lock.release()
        softexit.cleanup(status="bad", message=message)
