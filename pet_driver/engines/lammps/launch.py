"""Command line and environment variables to run LAMMPS with libmpi and the plugin."""

import os
from collections.abc import Sequence

from pet_driver.backends.threads import wait_briefly
from pet_driver.engines.lammps.environment import Environment
from pet_driver.errors import PetDriverError


def command(environment: Environment, args: Sequence[str], ranks: int) -> list[str]:
    """Return the command line of ``lmp``, with ``mpiexec`` for several ranks.

    Raises:
        PetDriverError: ``ranks`` is not positive.
    """
    if ranks < 1:
        raise PetDriverError(f"{ranks} MPI ranks were asked for: ask for one or more")
    launcher = [str(environment.mpiexec), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, str(environment.lammps / "lmp"), *args]


def variables(environment: Environment) -> dict[str, str]:
    """Return the environment variables of that process."""
    result = dict(os.environ)
    wait_briefly(result)
    plugin = str(environment.plugin.parent)
    for name, folder in (
        ("LD_LIBRARY_PATH", str(environment.mpi_library)),
        ("LAMMPS_PLUGIN_PATH", plugin),
    ):
        others = [word for word in result.get(name, "").split(":") if word not in ("", folder)]
        result[name] = ":".join([folder, *others])
    return result
