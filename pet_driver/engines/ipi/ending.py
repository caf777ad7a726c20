"""End i-PI with a RESTART and exit code 1 after a failed evaluation inside its process.

This module is needed because i-PI 3.3 does not handle such a failure: an exception in one of its
worker threads leaves the other threads waiting for ever, and its own soft exit ends with exit
code 0.
"""

import os
import sys
import threading
import time
import traceback

from ipi.utils.softexit import softexit

from pet_driver.errors import PetDriverError

SOFT_EXIT_TIMEOUT = 60.0  # seconds to wait for a soft exit that another thread has started
_ending = threading.Lock()  # acquired once, by the thread that ends the program


def end_program(error: Exception) -> None:
    """End i-PI with exit code 1, after it has written RESTART and closed its outputs.

    Returns only if another thread is ending i-PI already and waits for the calling thread.
    """
    if not _ending.acquire(blocking=False):
        if not _soft_exit_joins_this_thread():
            time.sleep(SOFT_EXIT_TIMEOUT)
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


def _soft_exit_joins_this_thread() -> bool:
    return any(thread is threading.current_thread() for thread, _ in softexit.tlist)


def _clean_up(message: str) -> None:
    """Write RESTART and close the outputs, here or in the thread that does so already."""
    softexit.cleanup(status="bad", message=message)
    deadline = time.monotonic() + SOFT_EXIT_TIMEOUT
    while softexit.exiting and time.monotonic() < deadline:
        time.sleep(0.01)
    if softexit.flist and softexit.lock.locked():
        # i-PI holds this lock while it writes outputs. One of them asked for this evaluation and
        # waits for it, so that the lock would never be released.
        softexit.lock.release()
        softexit.cleanup(status="bad", message=message)
