"""The command line: ``pet-driver export | inspect | evaluate | probe | ipi | lammps | ...``.

Heavy imports stand inside the commands, so that ``--help`` and the LAMMPS commands answer at once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pet_driver.errors import PetDriverError

app = typer.Typer(
    help="PET potentials in i-PI and LAMMPS, raw or averaged over rotations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
lammps = typer.Typer(help="Build the LAMMPS plugin, or run LAMMPS with it.", no_args_is_help=True)
app.add_typer(lammps, name="lammps")

GRID_HELP = (
    "rotations to average over: 0 (none), 2i, lebedev9i, O_h, random, 2i+random@SEED, ..., or "
    "ecse: exact; an unknown name lists all"
)
GridOption = Annotated[str | None, typer.Option(help=GRID_HELP + "; default: the archive's")]
MODEL_HELP = "archive or shipped name; several as an ensemble: a.pt+b.pt"
SPREAD_HELP = "force spread of an ensemble, eV/A, above which "
UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: try again
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N")]


class Kind(StrEnum):
    """What ``build-water`` builds."""

    molecule = "molecule"
    liquid = "liquid"
    ice = "ice"


def clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a :class:`PetDriverError` into one line and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PetDriverError as error:
            print(f"pet-driver: error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None

    return wrapped


@app.command()
@clear_errors
def export(
    checkpoint: Annotated[
        str, typer.Argument(help="metatrain checkpoint, 2023 directory, archive or shipped name")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the archive to write")],
    grid: Annotated[str, typer.Option(help=GRID_HELP)] = "0",
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = "float32",
    target: Annotated[str | None, typer.Option(help="the energy, if there are several")] = None,
) -> None:
    """Write an archive from a trained checkpoint, and check it against its source."""
    from pet_driver.exporting import export as write

    check = write(checkpoint, output, grid, dtype, target)
    print(
        f"{output}: {check.error:.1e} eV from {check.by}, on a structure of {check.archive:.3f} eV"
    )


@app.command()
@clear_errors
def inspect(model: Annotated[str, typer.Argument(help=MODEL_HELP)]) -> None:
    """Show what an archive says of itself, or each archive of an ensemble."""
    from pet_driver import models
    from pet_driver.archive import read_metadata

    for path in models.resolve_all(model):
        table = Table(title=str(path), show_header=False)
        for key, value in read_metadata(path).items():
            if isinstance(value, dict):
                value = "\n".join(f"{name}: {entry}" for name, entry in value.items())
            table.add_row(key, str(value))
        Console().print(table)


@app.command()
@clear_errors
def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    structures: Annotated[Path, typer.Argument(help="any file that ASE reads")],
    grid: GridOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Energies of structures: averaged, raw, and the spreads over the grid and an ensemble."""
    from pet_driver.cost import predict_cost
    from pet_driver.ensemble import load
    from pet_driver.structures import read_structures

    loaded = load(model, device, grid)
    frames = read_structures(structures)
    print(predict_cost(loaded, frames[0]))
    if loaded.default_grid in ("ecse", "ecsei"):
        pooled = predict_cost(loaded, frames[0], f"{loaded.default_grid}-pooled")
        print(f"the alternative: {pooled}")
    table = Table("frame", "atoms", "energy (eV)", "raw - averaged (meV)", "spread (meV)")
    united = len(loaded.members) > 1
    if united:
        table.add_column("ensemble spread (meV)")
        table.add_column("largest force spread (meV/A)")
        table.columns[2].no_wrap = True  # in a narrow terminal the headers give way
    for index, (frame, found) in enumerate(zip(frames, loaded.evaluate(frames), strict=True)):
        difference = 1e3 * (found.raw_energy - found.energy)
        table.add_row(
            str(index),
            str(len(frame)),
            f"{found.energy:.6f}",
            f"{difference:.3f}",
            f"{1e3 * found.spread:.3f}",
            *([f"{1e3 * found.ensemble_spread:.3f}"] if united else []),
            *([f"{1e3 * found.force_spread.max(initial=0.0):.3f}"] if united else []),
        )
    Console().print(table)


@app.command()
@clear_errors
def probe(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    structures: Annotated[Path, typer.Argument(help="any file that ASE reads")],
    grids: Annotated[str, typer.Option(help="to compare, with commas between")] = "0,i,2,2i,3",
    reference: Annotated[str, typer.Option(help="the fine grid to compare with")] = "3i",
    resolution: Annotated[
        int, typer.Option(help="order N of the grid Ni that resolves l up to N - 1; 0: none")
    ] = 4,
    frames: Annotated[
        int | None, typer.Option(help="take so many, evenly spaced; default: all")
    ] = None,
    tolerance_energy: Annotated[float, typer.Option(help="meV/atom")] = 0.1,
    tolerance_force: Annotated[float, typer.Option(help="meV/A")] = 1.0,
    device: DeviceOption = "cpu",
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write")] = Path("."),
) -> None:
    """Measure how the energy depends on orientation, and say which grid is enough."""
    from rich.progress import track

    from pet_driver.ensemble import load
    from pet_driver.probe import output as outputs
    from pet_driver.probe import probe as run
    from pet_driver.structures import read_structures, spaced

    if output.exists() and not output.is_dir():
        raise PetDriverError(f"{output} is a file; --output names a folder")
    loaded = load(model, device)
    console, progress = Console(), Console(stderr=True)
    found = run(
        loaded,
        spaced(read_structures(structures), frames),
        grids=[name.strip() for name in grids.split(",") if name.strip()],
        reference=reference,
        resolution=resolution,
        energy_tolerance=1e-3 * tolerance_energy,
        force_tolerance=1e-3 * tolerance_force,
        track=functools.partial(
            track,
            description="structures",
            console=progress,
            transient=True,
            disable=not progress.is_terminal,
        ),
    )
    console.print(outputs.deviation_table(found))
    if found.components is not None:
        console.print(outputs.component_table(found))
    print(outputs.advice(found))
    outputs.write_probe(found, output)
    print(f"written: {output / outputs.NAME}.json, .png, .svg, .pdf")


@app.command("build-water")
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

    if kind is Kind.molecule:
        atoms = building.water_molecule(vacuum)
    elif kind is Kind.liquid:
        atoms = building.liquid(molecules, density, seed)
    else:
        atoms = building.ice_ih(repeats, seed)
    building.check_output(output)
    if relax is not None:
        from pet_driver.engines.ase import PETCalculator
        from pet_driver.ensemble import load

        atoms = building.relax(atoms, PETCalculator(load(relax)))
    building.write_structure(output, atoms)
    lengths = ", ".join(f"{length:.3f}" for length in atoms.cell.lengths())
    print(f"{output}: {len(atoms) // 3} molecules, cell of {lengths} A")


@app.command()
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
    serve(
        model,
        template,
        address,
        port,
        mode,
        grid,
        device,
        not non_periodic,
        timeout,
        prefix,
        report=functools.partial(print, file=sys.stderr),
        counter=counter,
        warn=warn,
        stop=stop,
    )


@lammps.command("build")
@clear_errors
def lammps_build(
    force: Annotated[bool, typer.Option(help="compile even if the plugin is there")] = False,
    verbose: Annotated[bool, typer.Option(help="show the compiler's commands")] = False,
) -> None:
    """Compile the plugin once for the torch and LAMMPS that are installed here."""
    from pet_driver.engines.lammps import build

    print(build(force=force, verbose=verbose))


@lammps.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@clear_errors
def lammps_run(
    context: typer.Context,
    ranks: Annotated[int, typer.Option("--ranks", help="MPI ranks")] = 1,
) -> None:
    """Run LAMMPS with the plugin; everything else goes to lmp, such as -in in.water."""
    from pet_driver.engines.lammps import run

    raise typer.Exit(run(context.args, ranks=ranks))


@app.command("run")
@clear_errors
def run_deck(
    deck: Annotated[Path, typer.Argument(help="of i-PI (with <ffdirect>) or LAMMPS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder of the run")],
    steps: Annotated[int | None, typer.Option(help="in total, from the very start")] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    structure: Annotated[Path | None, typer.Option(help="to start from")] = None,
    grid: Annotated[str | None, typer.Option(help=GRID_HELP + "; default: the deck's")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N")] = None,
    seed: Annotated[int | None, typer.Option(help="of velocities and thermostats")] = None,
    var: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, of a LAMMPS deck; several times")
    ] = None,
    ranks: Annotated[int, typer.Option(help="MPI ranks of LAMMPS")] = 1,
    clients: Annotated[
        int, typer.Option(help="socket clients of i-PI, each with a GPU; 0: in its process")
    ] = 0,
    time_limit: Annotated[
        str | None, typer.Option(help="stop in time, such as 23:30:00; the same command goes on")
    ] = None,
) -> None:
    """Run a deck in a folder of its own, or go on with it; exit code 75: stopped before the end."""
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
    with progress(output.name) as advance:
        run = execute(deck, output, settings, advance)
    print(f"{output}: {run.state}, {run.steps} steps, {run.wall_time:.0f} s")
    if run.state != "finished":
        print("the same command goes on", file=sys.stderr)
        raise typer.Exit(UNFINISHED)


@app.command()
@clear_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="folders, searched for runs all the way down")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder to write; default: the first of RUNS"),
    ] = None,
) -> None:
    """Analyse runs, and write the figures and one page about them."""
    from rich.progress import track

    from pet_driver.report import write_report

    if output is not None and output.exists() and not output.is_dir():
        raise PetDriverError(f"{output} is a file; --output names a folder")
    progress = Console(stderr=True)
    page = write_report(
        runs,
        output,
        track=functools.partial(
            track,
            description="figures",
            console=progress,
            transient=True,
            disable=not progress.is_terminal,
        ),
    )
    print(page)


@app.command()
@clear_errors
def doctor() -> None:
    """Say what is installed here, what is missing, and the remedy."""
    from pet_driver.doctor import examine

    healthy = True
    table = Table("part", "state", "remedy")
    for finding in examine():
        healthy &= finding.healthy
        table.add_row(finding.part, finding.state, finding.remedy)
    Console().print(table)
    raise typer.Exit(0 if healthy else 1)
