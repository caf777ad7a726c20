"""The command line and the variables with which LAMMPS runs, and finds libmpi and the plugin."""

import os
from collections.abc import Sequence

from pet_driver.backends.threads import wait_briefly
from pet_driver.engines.lammps.environment import Environment
from pet_driver.errors import PetDriverError


def command(environment: Environment, args: Sequence[str], ranks: int) -> list[str]:
    """``lmp`` with its arguments, by mpiexec where there are several ranks."""
    if ranks < 1:
        raise PetDriverError(f"{ranks} MPI ranks were asked for: ask for one or more")
    launcher = [str(environment.mpiexec), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, str(environment.lammps / "lmp"), *args]


def variables(environment: Environment) -> dict[str, str]:
    """The environment of that process."""
    variables = dict(os.environ)
    wait_briefly(variables)
    plugin = str(environment.plugin.parent)
    for name, folder in (
        ("LD_LIBRARY_PATH", str(environment.mpi_library)),
        ("LAMMPS_PLUGIN_PATH", plugin),
    ):
        others = [word for word in variables.get(name, "").split(":") if word not in ("", folder)]
        variables[name] = ":".join([folder, *others])
    return variables
