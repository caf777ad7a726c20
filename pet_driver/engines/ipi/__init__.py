"""i-PI: a socket client and a potential inside i-PI's process.

The client is ``client.serve``; the potential is ``driver.PETDriver``, reached through the file that
:func:`shim_path` names.
"""

from pathlib import Path

__all__ = ["PARAMETERS", "shim_path"]

# What i-PI's <parameters> may hold.
PARAMETERS = (
    *("model", "template", "grid", "device", "periodic", "counter"),
    *("warn", "stop", "max_edges"),
)


def shim_path() -> Path:
    """The file to name as ``<pes_path>`` of an ``<ffdirect>`` or as ``-P`` of i-pi-py_driver."""
    return Path(__file__).with_name("pet_driver_ipi_shim.py")
