"""i-PI: a socket client, and a potential that runs inside the i-PI process.

    pet-driver ipi water-small -t init.xyz -a ADDRESS -u      # the client of an <ffsocket>
    pet-driver ipi --shim                                     # the <pes_path> of an <ffdirect>

The client is :func:`pet_driver.engines.ipi.client.serve`. The potential is
:class:`pet_driver.engines.ipi.driver.PETDriver`; i-PI loads it through the file that
:func:`shim_path` returns.
"""

from pathlib import Path

__all__ = ["PARAMETERS", "shim_path"]

# The keys that PETDriver accepts in i-PI's <parameters>.
PARAMETERS = (
    *("model", "template", "grid", "device", "periodic", "counter"),
    *("warn", "stop", "max_edges"),
)


def shim_path() -> Path:
    """Return the file for ``<pes_path>`` of an ``<ffdirect>``, or ``-P`` of i-pi-py_driver."""
    return Path(__file__).with_name("pet_driver_ipi_shim.py")
