"""Commands about models: ``export``, ``inspect``, ``evaluate``, ``grids``, ``probe``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from pet_driver.cli.common import (
    GRID_HELP,
    DeviceOption,
    GridOption,
    MaxEdgesOption,
    ModelArgument,
    StructuresArgument,
    UnitsOption,
    check_folder,
    report_errors,
)
from pet_driver.cli.terminal import compilation_progress, console, progress
from pet_driver.errors import PetDriverError

if TYPE_CHECKING:
    from ase import Atoms

    from pet_driver.model.results import Results


class ArchiveFormat(StrEnum):
    """File format of an exported model."""

    torchscript = "torchscript"
    pt2 = "pt2"


@report_errors
def export(
    checkpoint: Annotated[
        str,
        typer.Argument(help="metatrain checkpoint, 2023 directory, exported model or shipped name"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="file to write")],
    grid: Annotated[
        str | None, typer.Option(help=GRID_HELP + "; default: that of an exported model, else 0")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32 or float64; default: that of an exported model, else float32"),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="name of the energy, if a metatrain checkpoint has several")
    ] = None,
    format: Annotated[
        ArchiveFormat,
        typer.Option(help="torchscript, or pt2: also the network compiled for this machine"),
    ] = ArchiveFormat.torchscript,
    device: Annotated[
        str | None,
        typer.Option(help="device to compile for, with --format pt2: cpu (default) or cuda"),
    ] = None,
) -> None:
    """Export a trained checkpoint to one file, and check the file against its source."""
    from pet_driver.model.archive import read_metadata
    from pet_driver.model.export import export as write

    if device is not None and format is not ArchiveFormat.pt2:
        raise PetDriverError(
            f"--device {device} is for --format pt2; files in other formats run on every device"
        )
    compile_for = (device or "cpu") if format is ArchiveFormat.pt2 else None
    check = write(checkpoint, output, grid, dtype, target, compile_for)
    metadata = read_metadata(output)
    origin = metadata["provenance"].get("file", checkpoint)
    if (energy := metadata["provenance"].get("target", "energy")) != "energy":
        origin += f", target {energy}"
    print(
        f"{output}: {metadata['dtype']}, grid {metadata['default_grid']}, from {origin}; "
        f"{check.error:.1e} eV from {check.by}, on a structure of {check.archive:.3f} eV"
    )


@report_errors
def inspect(model: ModelArgument) -> None:
    """Show the metadata of an exported model, or of each member of an ensemble."""
    from pet_driver.model import shipped
    from pet_driver.model.archive import read_metadata

    for path in shipped.resolve_all(model):
        table = Table(title=str(path), show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for key, value in read_metadata(path).items():
            if isinstance(value, dict):
                value = "\n".join(f"{name}: {entry}" for name, entry in value.items())
            table.add_row(key, str(value))
        console().print(table)


@report_errors
def evaluate(
    model: ModelArgument,
    structures: StructuresArgument,
    grid: GridOption = None,
    device: DeviceOption = "cpu",
    max_edges: MaxEdgesOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="extended xyz file to write, with energies, forces and stresses"
        ),
    ] = None,
    units: UnitsOption = None,
) -> None:
    """Print energies of structures, and their standard deviations over rotations and ensemble."""
    from pet_driver.building.structures import check_frames, read_structures
    from pet_driver.model.cost import predict_cost
    from pet_driver.model.ensemble import load
    from pet_driver.neighbors.structure import Structure

    if output is not None and output.suffix not in (".xyz", ".extxyz"):
        raise PetDriverError(f"{output}: --output writes extended xyz; name it .xyz or .extxyz")
    with compilation_progress():
        loaded = load(model, device, grid, max_edges)
    frames = read_structures(structures, units)
    check_frames(frames, structures, loaded)
    print(predict_cost(loaded, frames[0]), flush=True)
    if loaded.default_grid in ("ecse", "ecsei"):
        pooled = predict_cost(loaded, frames[0], f"{loaded.default_grid}-pooled")
        print(f"the alternative: {pooled}", flush=True)
    try:
        results = loaded.compute([Structure.from_ase(frame) for frame in frames])
    except PetDriverError as error:
        raise PetDriverError(f"{structures}: {error}") from None
    is_ensemble = len(loaded.members) > 1
    console().print(_energy_table(frames, results, is_ensemble))
    if output is not None:
        _write_results(output, frames, results, is_ensemble)
        print(f"written: {output}")


def _write_results(
    path: Path, frames: list[Atoms], results: list[Results], is_ensemble: bool
) -> None:
    """Write structures with energy (eV), forces (eV/A) and, in a cell, stress (eV/A^3).

    The energy of the raw network and the standard deviations are written, too.
    """
    from io import StringIO

    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    from pet_driver.common.files import write_atomically
    from pet_driver.engines.ase import ase_results

    written = []
    for frame, result in zip(frames, results, strict=True):
        atoms = frame.copy()
        found = ase_results(atoms, result)
        names = ("energy", "forces", "stress")
        atoms.calc = SinglePointCalculator(atoms, **{n: found[n] for n in names if n in found})
        atoms.info["raw_energy"] = result.raw_energy
        atoms.info["rotation_std"] = result.rotation_std
        if is_ensemble:
            atoms.info["ensemble_std"] = result.ensemble_std
            atoms.arrays["force_std"] = result.force_std
        written.append(atoms)
    text = StringIO()
    ase.io.write(text, written, format="extxyz")
    write_atomically(path, text.getvalue().encode())


@report_errors
def grids() -> None:
    """List the grids of rotations: their cost, and what an average over each of them removes."""
    from pet_driver.symmetry.removed import summarize_grids

    table = Table("grid", Column("evaluations", justify="right"), "removes")
    for grid in summarize_grids():
        table.add_row(grid.name, str(grid.evaluations or "by structure"), grid.removes)
    console().print(table)
    print(
        "l: angular momentum of the components of the energy as a function of the orientation; "
        "odd, even: under inversion.\n"
        "GRID+random rotates a whole grid at random, randomN takes N random rotations; -each and "
        "@SEED may follow.\n"
        "ecse, ecsei: exact, in local reference frames; pet-driver evaluate prints their cost."
    )


def _energy_table(frames: list[Atoms], results: list[Results], is_ensemble: bool) -> Table:
    """Return one row per frame."""
    # A narrow terminal wraps the headers, but not the energies.
    table = Table("frame", "atoms", Column("energy (eV)", no_wrap=True), "raw - averaged (meV)")
    table.add_column("rotation standard deviation (meV)")
    if is_ensemble:
        table.add_column("ensemble standard deviation (meV)")
        table.add_column("largest force standard deviation (meV/A)")
    for index, (frame, result) in enumerate(zip(frames, results, strict=True)):
        cells = [str(index), str(len(frame)), f"{result.energy:.6f}"]
        cells.append(f"{1e3 * (result.raw_energy - result.energy):.3f}")
        cells.append(f"{1e3 * result.rotation_std:.3f}")
        if is_ensemble:
            cells.append(f"{1e3 * result.ensemble_std:.3f}")
            cells.append(f"{1e3 * result.force_std.max(initial=0.0):.3f}")
        table.add_row(*cells)
    return table


@report_errors
def probe(
    model: ModelArgument,
    structures: StructuresArgument,
    grids: Annotated[
        str, typer.Option(help="grids to compare, separated by commas")
    ] = "0,i,2,2i,3",
    reference: Annotated[str, typer.Option(help="fine grid to compare with")] = "3i",
    resolution: Annotated[
        int,
        typer.Option(
            help="order N of the grid Ni that resolves angular momenta l up to N - 1; 0: skip"
        ),
    ] = 4,
    frames: Annotated[
        int | None, typer.Option(help="number of evenly spaced frames to use; default: all")
    ] = None,
    tolerance_energy: Annotated[float, typer.Option(help="accepted error, meV/atom")] = 0.1,
    tolerance_force: Annotated[float, typer.Option(help="accepted error, meV/A")] = 1.0,
    device: DeviceOption = "cpu",
    max_edges: MaxEdgesOption = None,
    units: UnitsOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="output folder")] = Path("."),
) -> None:
    """Measure how energies and forces depend on the orientation, and recommend a grid."""
    from pet_driver.building.structures import check_frames, read_structures, select_evenly
    from pet_driver.model.ensemble import load
    from pet_driver.probe import output as outputs
    from pet_driver.probe import probe as run_probe

    check_folder(output)
    with compilation_progress():
        loaded = load(model, device, max_edges=max_edges)
    chosen = select_evenly(read_structures(structures, units), frames)
    check_frames(chosen, structures, loaded)
    results = run_probe(
        loaded,
        chosen,
        grids=[name.strip() for name in grids.split(",") if name.strip()],
        reference=reference,
        resolution=resolution,
        energy_tolerance=1e-3 * tolerance_energy,
        force_tolerance=1e-3 * tolerance_force,
        track=progress("structures"),
    )
    console().print(outputs.deviation_table(results))
    if results.components is not None:
        console().print(outputs.component_table(results))
    print(outputs.advice(results))
    outputs.write_probe(results, output)
    print(f"written: {output / outputs.NAME}.json, .png, .svg, .pdf")
