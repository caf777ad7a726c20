"""Build, find and run the LAMMPS plugin that adds ``pair_style pet``.

The plugin works with exactly one version of torch, LAMMPS and MPI. Therefore the package contains
its C++ sources, which are compiled once, into a cache folder, for the versions that the user has.

    pet_driver.engines.lammps.build()                        # about half a minute, once
    pet_driver.engines.lammps.run(["-in", "in.water"], ranks=2)

Nothing here imports torch or LAMMPS before :func:`build` compiles.
"""

from pet_driver.engines.lammps.build import build
from pet_driver.engines.lammps.environment import plugin_folder
from pet_driver.engines.lammps.run import run

__all__ = ["build", "plugin_folder", "run"]
