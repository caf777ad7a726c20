"""The command line: ``pet-driver export | inspect | evaluate | probe | run | report | ...``.

Slow imports are inside the commands, so that ``--help`` and the LAMMPS commands start at once.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pet_driver import __version__
from pet_driver.backends.threads import wait_briefly
from pet_driver.backends.torchscript_warnings import ignore_torchscript_warnings
from pet_driver.cli import models, results, simulate

wait_briefly(os.environ)  # before the commands import torch; engines inherit it
ignore_torchscript_warnings()

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
lammps = typer.Typer(help="Build the LAMMPS plugin, or run LAMMPS with it.", no_args_is_help=True)
app.add_typer(lammps, name="lammps")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pet-driver {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    """PET potentials in i-PI and LAMMPS, raw or averaged over rotations."""


for command in (models.export, models.inspect, models.evaluate, models.grids, models.probe):
    app.command()(command)
app.command("build-water")(simulate.build_water)
app.command()(simulate.examples)
app.command()(simulate.ipi)
lammps.command("build")(simulate.lammps_build)
lammps.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    simulate.lammps_run
)
app.command("run")(simulate.run_input)
for command in (results.report, results.doctor):
    app.command()(command)
