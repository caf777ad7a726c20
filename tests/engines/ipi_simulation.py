"""Runs an i-PI input for some steps and keeps what it saw in full precision.

    python ipi_simulation.py input.xml STEPS output.npz

Arrays, with a first axis over steps (the start included), in hartree and bohr: positions, forces
[F, beads, 3 N], energies [F, beads], virials [F, beads, 3, 3], cells
[F, 3, 3] with vectors in columns.
"""

import sys

import numpy as np
from ipi.scripting import InteractiveSimulation
from ipi.utils.depend import dstrip

path, steps, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(path) as file:
    simulation = InteractiveSimulation(file)
frames = {name: [] for name in ("positions", "forces", "energies", "virials", "cells")}
for step in range(steps + 1):
    if step > 0:
        simulation.run(1, write_outputs=False)
    system = simulation.syslist[0]
    frames["positions"].append(dstrip(system.beads.q).copy())
    frames["forces"].append(dstrip(system.forces.f).copy())
    frames["energies"].append(dstrip(system.forces.pots).copy())
    frames["cells"].append(dstrip(system.cell.h).copy())
    frames["virials"].append(np.array(dstrip(system.forces.virs)))
simulation.stop()
np.savez(output, **frames)
