"""Run an i-PI input for some steps and save its trajectory in full precision.

    python ipi_simulation.py input.xml STEPS output.npz

The arrays of system k are named ``k.positions``, ``k.forces`` [F, beads, 3 N], ``k.energies``
[F, beads], ``k.virials`` [F, beads, 3, 3] and ``k.cells`` [F, 3, 3] (vectors in columns), in
hartree and bohr. F counts the steps and the start.
"""

import sys
from collections import defaultdict

import numpy as np
from ipi.scripting import InteractiveSimulation
from ipi.utils.depend import dstrip

path, steps, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(path) as file:
    simulation = InteractiveSimulation(file)
frames = defaultdict(list)
for step in range(steps + 1):
    if step > 0:
        simulation.run(1, write_outputs=False)
    for k, system in enumerate(simulation.syslist):
        frames[f"{k}.positions"].append(dstrip(system.beads.q).copy())
        frames[f"{k}.forces"].append(dstrip(system.forces.f).copy())
        frames[f"{k}.energies"].append(dstrip(system.forces.pots).copy())
        frames[f"{k}.cells"].append(dstrip(system.cell.h).copy())
        frames[f"{k}.virials"].append(np.array(dstrip(system.forces.virs)))
simulation.stop()
np.savez(output, **frames)
