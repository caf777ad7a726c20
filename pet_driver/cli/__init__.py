"""The command line: ``pet-driver export | inspect | evaluate | probe | run | report | ...``.

Heavy imports stand inside the commands, so that ``--help`` and the LAMMPS commands answer at once.
"""

from __future__ import annotations

import os

import typer

from pet_driver.backends.threads import wait_briefly
from pet_driver.cli import models, results, simulate

wait_briefly(os.environ)  # torch is imported by commands; engines inherit it

app = typer.Typer(
    help="PET potentials in i-PI and LAMMPS, raw or averaged over rotations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
lammps = typer.Typer(help="Build the LAMMPS plugin, or run LAMMPS with it.", no_args_is_help=True)
app.add_typer(lammps, name="lammps")

for command in (models.export, models.inspect, models.evaluate, models.probe):
    app.command()(command)
app.command("build-water")(simulate.build_water)
app.command()(simulate.ipi)
lammps.command("build")(simulate.lammps_build)
lammps.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    simulate.lammps_run
)
app.command("run")(simulate.run_input)
for command in (results.report, results.doctor):
    app.command()(command)
