"""Run one water molecule and a box of water with the shipped model, in i-PI and LAMMPS.

    python workflows/first_run.py [--output results] [--fraction 1.0]

Each run is an input file of inputs/ with fewer steps; --fraction reduces them further. Finished
runs are kept and stopped ones are resumed. At the end the report is written: results/report.html.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pet_driver.engines import lammps
from pet_driver.errors import PetDriverError
from pet_driver.report import write_report
from pet_driver.runs import Settings, execute
from pet_driver.runs.progress import progress

INPUTS = Path(__file__).parents[1] / "inputs"
# name of the run: (input file, number of steps)
RUNS = {
    "molecule-raw": ("water-molecule-nve/ipi-raw.xml", 2500),
    "molecule-2i": ("water-molecule-nve/ipi-2i.xml", 2500),
    "molecule-ecse": ("water-molecule-nve/ipi-ecse.xml", 2500),
    "liquid-classical": ("water-liquid-nvt/in.water", 1000),
    "liquid-8-beads": ("water-liquid-pimd/ipi-in-process.xml", 160),
}
EQUILIBRATE = "200"  # steps, for all fractions: another number would make it another run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--fraction", type=float, default=1.0, help="of the steps of each run")
    arguments = parser.parse_args()
    print("LAMMPS plugin:", lammps.build(), flush=True)
    for name, (input_file, steps) in RUNS.items():
        steps = max(20, round(steps * arguments.fraction / 20) * 20)
        variables = {"equilibrate": EQUILIBRATE} if input_file.endswith("in.water") else {}
        print(f"{name}: {steps} steps", flush=True)
        with progress(name) as advance:
            settings = Settings(steps=steps, variables=variables)
            run = execute(INPUTS / input_file, arguments.output / name, settings, advance)
        if run.state != "finished":
            sys.exit(
                f"{name} was stopped at step {run.steps}; run the same command again to resume"
            )
        print(f"{name}: done in {run.wall_time:.0f} s", flush=True)
    print("report:", write_report(arguments.output))


if __name__ == "__main__":
    try:
        main()
    except PetDriverError as error:
        sys.exit(f"pet-driver: error: {error}")
