"""LAMMPS: building, finding and running the plugin that adds ``pair_style pet``.

The plugin fits one torch, one LAMMPS and one MPI, which only the user's environment knows, so its
C++ sources travel with the package and are compiled once into a cache folder.

    pet_driver.engines.lammps.build()                        # about half a minute, once
    pet_driver.engines.lammps.run(["-in", "in.water"], ranks=2)

Nothing here imports torch or LAMMPS before :func:`build` compiles.
"""

from pet_driver.engines.lammps.build import build
from pet_driver.engines.lammps.environment import plugin_folder
from pet_driver.engines.lammps.run import run

__all__ = ["build", "plugin_folder", "run"]
