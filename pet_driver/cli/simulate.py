"""Commands that simulate: build-water, ipi, lammps, run."""

from __future__ import annotations

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pet_driver.cli.common import (
    GRID_HELP,
    MODEL_HELP,
    SPREAD_HELP,
    UNFINISHED,
    DeviceOption,
    GridOption,
    MaxEdgesOption,
    clear_errors,
)
from pet_driver.errors import PetDriverError


class Kind(StrEnum):
    """What ``build-water`` builds."""

    molecule = "molecule"
    liquid = "liquid"
    ice = "ice"


@clear_errors
def build_water(
    kind: Annotated[Kind, typer.Argument(help="what to build")],
    output: Annotated[Path, typer.Option("--output", "-o", help=".xyz (i-PI) or .data (LAMMPS)")],
    molecules: Annotated[int, typer.Option("--molecules", "-n", help="of the liquid")] = 64,
    density: Annotated[float, typer.Option(help="of the liquid, g/cm^3")] = 0.997,
    repeats: Annotated[tuple[int, int, int], typer.Option(help="of the 8-molecule cell of ice")] = (
        3,
        2,
        2,
    ),
    vacuum: Annotated[float, typer.Option(help="edge of the molecule's cell, A")] = 100.0,
    seed: Annotated[int, typer.Option(min=0, help="of all that is random")] = 0,
    relax: Annotated[
        str | None, typer.Option(help="relax with this model until forces are below 0.5 eV/A")
    ] = None,
) -> None:
    """Make a molecule, a box of liquid, or ice Ih with disordered protons to start from."""
    from pet_driver import building

    building.check_output(output)
    calculator = None
    if relax is not None:  # an unknown model is refused before anything is built
        from pet_driver.engines.ase import PETCalculator

        calculator = PETCalculator(relax)
    if kind is Kind.molecule:
        atoms = building.water_molecule(vacuum)
    elif kind is Kind.liquid:
        atoms = building.liquid(molecules, density, seed)
    else:
        atoms = building.ice_ih(repeats, seed)
    if calculator is not None:
        atoms = building.relax(atoms, calculator)
    building.write_structure(output, atoms)
    lengths = ", ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    print(f"{output}: {len(atoms) // 3} molecules, cell of {lengths} A")


@clear_errors
def ipi(
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
    address: Annotated[str, typer.Option("--address", "-a", help="of i-PI's <ffsocket>")] = "",
    unix: Annotated[bool, typer.Option("--unix", "-u", help="a unix socket")] = False,
    shared_memory: Annotated[bool, typer.Option("--shm", help="shared memory")] = False,
    port: Annotated[int | None, typer.Option("--port", "-p", help="of an inet socket")] = None,
    template: Annotated[
        Path | None,
        typer.Option("--template", "-t", help="structure file that names the elements"),
    ] = None,
    grid: GridOption = None,
    device: DeviceOption = "cpu",
    max_edges: MaxEdgesOption = None,
    non_periodic: Annotated[bool, typer.Option(help="ignore the cell: no periodicity")] = False,
    timeout: Annotated[float, typer.Option(help="seconds to wait for the server")] = 60.0,
    prefix: Annotated[str, typer.Option(help="of the unix socket's path")] = "/tmp/ipi_",
    counter: Annotated[int, typer.Option(min=0, help="first draw of a random grid")] = 0,
    warn: Annotated[float | None, typer.Option(help=SPREAD_HELP + "to warn")] = None,
    stop: Annotated[float | None, typer.Option(help=SPREAD_HELP + "to end")] = None,
    shim: Annotated[
        bool, typer.Option("--shim", help="print the path of the in-process shim")
    ] = False,
) -> None:
    """Serve forces to an i-PI server through a socket, or print the shim for <ffdirect>."""
    from pet_driver.engines.ipi import shim_path

    if shim:
        print(shim_path())
        return
    if model is None or template is None:
        raise PetDriverError(
            "a client needs a model and a --template structure whose elements and order are those "
            "of the simulation: pet-driver ipi MODEL -t init.xyz -a ADDRESS -u"
        )
    if unix and shared_memory:
        raise PetDriverError("--unix and --shm exclude each other")
    from pet_driver.engines.ipi.client import serve

    mode = "unix" if unix else "shm" if shared_memory else "inet"
    # An end by exception closes the connection in order; after a reset i-PI would wait for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    serve(
        model,
        template,
        address,
        port,
        mode,
        grid=grid,
        device=device,
        periodic=not non_periodic,
        timeout=timeout,
        prefix=prefix,
        counter=counter,
        warn=warn,
        stop=stop,
        max_edges=max_edges,
    )


@clear_errors
def lammps_build(
    force: Annotated[bool, typer.Option(help="compile even if the plugin is there")] = False,
    verbose: Annotated[bool, typer.Option(help="show the compiler's commands")] = False,
) -> None:
    """Compile the plugin once for the torch and LAMMPS that are installed here."""
    from pet_driver.engines.lammps import build

    print(build(force=force, verbose=verbose))


@clear_errors
def lammps_run(
    context: typer.Context,
    ranks: Annotated[int, typer.Option("--ranks", help="MPI ranks")] = 1,
) -> None:
    """Run LAMMPS with the plugin; everything else goes to lmp, such as -in in.water."""
    from pet_driver.engines.lammps import run

    raise typer.Exit(run(context.args, ranks=ranks))


@clear_errors
def run_input(
    input_file: Annotated[Path, typer.Argument(help="of i-PI (with <ffdirect>) or LAMMPS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder of the run")],
    steps: Annotated[int | None, typer.Option(help="in total, from the very start")] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    structure: Annotated[Path | None, typer.Option(help="to start from")] = None,
    grid: Annotated[
        str | None, typer.Option(help=GRID_HELP + "; default: the input file's")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or auto")] = None,
    seed: Annotated[int | None, typer.Option(help="of velocities and thermostats")] = None,
    var: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, of a LAMMPS input file; several times")
    ] = None,
    ranks: Annotated[int, typer.Option(help="MPI ranks of LAMMPS")] = 1,
    clients: Annotated[
        int, typer.Option(help="socket clients of i-PI, each with a GPU; 0: in its process")
    ] = 0,
    time_limit: Annotated[
        str | None, typer.Option(help="stop in time, such as 23:30:00; the same command resumes")
    ] = None,
) -> None:
    """Run an input file in a folder of its own, or resume it; exit code 75: stopped before the end."""
    from pet_driver.runs import Settings, execute, parse_duration
    from pet_driver.runs.progress import progress

    unnamed = [word for word in var or [] if "=" not in word]
    if unnamed:
        raise PetDriverError(f"--var {unnamed[0]}: write NAME=VALUE")
    settings = Settings(
        steps=steps,
        model=model,
        structure=structure,
        grid=grid,
        device=device,
        seed=seed,
        variables=dict(word.split("=", 1) for word in var or []),
        ranks=ranks,
        clients=clients,
        time_limit=None if time_limit is None else parse_duration(time_limit),
    )
    with progress(output.resolve().name) as advance:
        run = execute(input_file, output, settings, advance)
    print(f"{output}: {run.state}, {run.steps} steps, {run.wall_time:.0f} s")
    if run.state != "finished":
        print("run the same command again to resume", file=sys.stderr)
        raise typer.Exit(UNFINISHED)
