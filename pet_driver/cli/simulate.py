"""Commands for simulations: ``build-water``, ``ipi``, ``lammps``, ``run``, ``examples``."""

from __future__ import annotations

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pet_driver.cli.common import (
    FORCE_STD_HELP,
    GRID_HELP,
    MODEL_HELP,
    UNFINISHED,
    DeviceOption,
    GridOption,
    MaxEdgesOption,
    report_errors,
)
from pet_driver.cli.terminal import compilation_progress
from pet_driver.errors import PetDriverError


class Kind(StrEnum):
    """Kind of structure that ``build-water`` builds."""

    molecule = "molecule"
    liquid = "liquid"
    ice = "ice"


@report_errors
def build_water(
    kind: Annotated[Kind, typer.Argument(help="structure to build")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="file to write: .xyz (i-PI) or .data (LAMMPS)")
    ],
    molecules: Annotated[
        int, typer.Option("--molecules", "-n", help="number of molecules of the liquid")
    ] = 64,
    density: Annotated[float, typer.Option(help="density of the liquid, g/cm^3")] = 0.997,
    repeats: Annotated[
        tuple[int, int, int],
        typer.Option(help="copies of the 8-molecule cell of ice along a, b and c"),
    ] = (3, 2, 2),
    vacuum: Annotated[float, typer.Option(help="edge of the molecule's cell, A")] = 100.0,
    seed: Annotated[int, typer.Option(min=0, help="seed of all random numbers")] = 0,
    relax: Annotated[
        str | None, typer.Option(help="relax with this model until forces are below 0.5 eV/A")
    ] = None,
) -> None:
    """Build a starting structure: a molecule, a box of liquid, or proton-disordered ice Ih."""
    from pet_driver import building

    building.check_output(output)
    calculator = None
    if relax is not None:  # before building: an unknown model is an error
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


@report_errors
def examples(
    name: Annotated[str | None, typer.Argument(help="example to copy; default: list all")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder to create; default: NAME, here"),
    ] = None,
) -> None:
    """List the example input files, or copy one example with all files it needs."""
    from pet_driver.cli.examples import copy_example, list_examples

    if name is None:
        if output is not None:
            raise PetDriverError("--output needs the NAME of the example to copy")
        for example in list_examples():
            print(example)
        return
    target = Path(name) if output is None else output
    for path in copy_example(name, target):
        print(path)


@report_errors
def ipi(
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
    address: Annotated[
        str, typer.Option("--address", "-a", help="address in i-PI's <ffsocket>")
    ] = "",
    unix: Annotated[bool, typer.Option("--unix", "-u", help="use a unix socket")] = False,
    shared_memory: Annotated[bool, typer.Option("--shm", help="use shared memory")] = False,
    port: Annotated[int | None, typer.Option("--port", "-p", help="port of an inet socket")] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            "-t",
            help="structure file that gives the elements, in i-PI's order of atoms",
        ),
    ] = None,
    grid: GridOption = None,
    device: DeviceOption = "cpu",
    max_edges: MaxEdgesOption = None,
    non_periodic: Annotated[bool, typer.Option(help="ignore the cell: no periodic images")] = False,
    timeout: Annotated[float, typer.Option(help="seconds to wait for i-PI")] = 60.0,
    prefix: Annotated[
        str, typer.Option(help="prefix of the path of the unix socket")
    ] = "/tmp/ipi_",
    counter: Annotated[
        int, typer.Option(min=0, help="number of the first random rotation, for a random grid")
    ] = 0,
    warn: Annotated[float | None, typer.Option(help=FORCE_STD_HELP + "warn")] = None,
    stop: Annotated[float | None, typer.Option(help=FORCE_STD_HELP + "stop the run")] = None,
    shim: Annotated[
        bool, typer.Option("--shim", help="print the path to name as <pes_path> of an <ffdirect>")
    ] = False,
) -> None:
    """Send forces to i-PI through a socket, or print the path of the <ffdirect> potential."""
    from pet_driver.engines.ipi import shim_path

    if shim:
        print(shim_path())
        return
    if model is None or template is None:
        raise PetDriverError(
            "a client needs a model, and a --template structure with the elements of the "
            "simulation in the same order: pet-driver ipi MODEL -t init.xyz -a ADDRESS -u"
        )
    if unix and shared_memory:
        raise PetDriverError("--unix and --shm exclude each other")
    from pet_driver.engines.ipi.client import serve

    mode = "unix" if unix else "shm" if shared_memory else "inet"
    # An exception closes the connection in order; after a reset i-PI would wait forever.
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


@report_errors
def lammps_build(
    force: Annotated[bool, typer.Option(help="compile even if the plugin exists")] = False,
    verbose: Annotated[bool, typer.Option(help="show the compiler's commands")] = False,
) -> None:
    """Compile the plugin for the installed torch and LAMMPS; needed once."""
    from pet_driver.engines.lammps import build

    with compilation_progress():
        plugin = build(force=force, verbose=verbose)
    print(plugin)


@report_errors
def lammps_run(
    context: typer.Context,
    ranks: Annotated[int, typer.Option("--ranks", help="number of MPI ranks")] = 1,
) -> None:
    """Run LAMMPS with the plugin; other options are passed to lmp, such as -in in.water."""
    from pet_driver.engines.lammps import run

    raise typer.Exit(run(context.args, ranks=ranks))


@report_errors
def run_input(
    input_file: Annotated[
        Path, typer.Argument(help="input file of i-PI (with <ffdirect>) or LAMMPS")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder of the run")],
    steps: Annotated[
        int | None, typer.Option(help="total number of steps, from the start of the run")
    ] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    structure: Annotated[Path | None, typer.Option(help="structure to start from")] = None,
    grid: Annotated[
        str | None, typer.Option(help=GRID_HELP + "; default: that of the input file")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="torch device: cpu, cuda, cuda:N or auto")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of velocities and thermostats")] = None,
    var: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: set a variable of a LAMMPS input file; may be repeated"),
    ] = None,
    ranks: Annotated[int, typer.Option(help="number of MPI ranks of LAMMPS")] = 1,
    clients: Annotated[
        int,
        typer.Option(
            help="number of socket clients of i-PI, one GPU each; 0: evaluate in i-PI's process"
        ),
    ] = 0,
    time_limit: Annotated[
        str | None,
        typer.Option(help="stop after this wall time, such as 23:30:00; the same command resumes"),
    ] = None,
) -> None:
    """Run an input file in its own folder, or resume it; exit code 75: stopped, not finished."""
    from pet_driver.runs import Settings, execute, parse_duration
    from pet_driver.runs.progress import progress

    invalid = [word for word in var or [] if "=" not in word]
    if invalid:
        raise PetDriverError(f"--var {invalid[0]}: write NAME=VALUE")
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
