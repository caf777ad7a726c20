"""Commands about models: export, inspect, evaluate, probe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pet_driver.cli.common import (
    GRID_HELP,
    MODEL_HELP,
    DeviceOption,
    GridOption,
    MaxEdgesOption,
    check_folder,
    clear_errors,
    progress,
)
from pet_driver.errors import PetDriverError


class ArchiveFormat(StrEnum):
    """What `export` can write."""

    torchscript = "torchscript"
    pt2 = "pt2"


@clear_errors
def export(
    checkpoint: Annotated[
        str, typer.Argument(help="metatrain checkpoint, 2023 directory, archive or shipped name")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the archive to write")],
    grid: Annotated[
        str | None, typer.Option(help=GRID_HELP + "; default: 0, or what an archive has")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32 or float64; default: float32, or what an archive has"),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="the energy, if a metatrain checkpoint has several")
    ] = None,
    format: Annotated[
        ArchiveFormat,
        typer.Option(help="torchscript, or pt2: that and the network compiled for this machine"),
    ] = ArchiveFormat.torchscript,
    device: Annotated[
        str | None, typer.Option(help="to compile for, with --format pt2: cpu (by default) or cuda")
    ] = None,
) -> None:
    """Write an archive from a trained checkpoint, and check it against its source."""
    from pet_driver.model.archive import read_metadata
    from pet_driver.model.export import export as write

    if device is not None and format is not ArchiveFormat.pt2:
        raise PetDriverError(
            f"--device {device} is for --format pt2; other archives run on every device"
        )
    compile_for = (device or "cpu") if format is ArchiveFormat.pt2 else None
    check = write(checkpoint, output, grid, dtype, target, compile_for)
    metadata = read_metadata(output)
    origin = metadata["provenance"].get("file", checkpoint)
    if (of := metadata["provenance"].get("target", "energy")) != "energy":
        origin += f", its target {of}"
    print(
        f"{output}: {metadata['dtype']}, grid {metadata['default_grid']}, from {origin}; "
        f"{check.error:.1e} eV from {check.by}, on a structure of {check.archive:.3f} eV"
    )


@clear_errors
def inspect(model: Annotated[str, typer.Argument(help=MODEL_HELP)]) -> None:
    """Show what an archive says of itself, or each archive of an ensemble."""
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
        Console().print(table)


@clear_errors
def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    structures: Annotated[Path, typer.Argument(help="any file that ASE reads")],
    grid: GridOption = None,
    device: DeviceOption = "cpu",
    max_edges: MaxEdgesOption = None,
) -> None:
    """Energies of structures: averaged, raw, and the spreads over the grid and an ensemble."""
    from pet_driver.building.structures import check_finite, check_frames, read_structures
    from pet_driver.model.cost import predict_cost
    from pet_driver.model.ensemble import load

    loaded = load(model, device, grid, max_edges)
    frames = read_structures(structures)
    check_frames(frames, structures, loaded)
    print(predict_cost(loaded, frames[0]), flush=True)
    if loaded.default_grid in ("ecse", "ecsei"):
        pooled = predict_cost(loaded, frames[0], f"{loaded.default_grid}-pooled")
        print(f"the alternative: {pooled}", flush=True)
    table = Table("frame", "atoms", "energy (eV)", "raw - averaged (meV)", "spread (meV)")
    united = len(loaded.members) > 1
    if united:
        table.add_column("ensemble standard deviation (meV)")
        table.add_column("largest force standard deviation (meV/A)")
        table.columns[2].no_wrap = True  # in a narrow terminal the headers give way
    for index, (frame, found) in enumerate(zip(frames, loaded.evaluate(frames), strict=True)):
        check_finite(found, structures, index)
        difference = 1e3 * (found.raw_energy - found.energy)
        table.add_row(
            str(index),
            str(len(frame)),
            f"{found.energy:.6f}",
            f"{difference:.3f}",
            f"{1e3 * found.rotation_std:.3f}",
            *([f"{1e3 * found.ensemble_std:.3f}"] if united else []),
            *([f"{1e3 * found.force_std.max(initial=0.0):.3f}"] if united else []),
        )
    Console().print(table)


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
    max_edges: MaxEdgesOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write")] = Path("."),
) -> None:
    """Measure how the energy depends on orientation, and say which grid is enough."""
    from pet_driver.building.structures import check_frames, read_structures, spaced
    from pet_driver.model.ensemble import load
    from pet_driver.probe import output as outputs
    from pet_driver.probe import probe as run

    check_folder(output)
    loaded = load(model, device, max_edges=max_edges)
    chosen = spaced(read_structures(structures), frames)
    check_frames(chosen, structures, loaded)
    console = Console()
    found = run(
        loaded,
        chosen,
        grids=[name.strip() for name in grids.split(",") if name.strip()],
        reference=reference,
        resolution=resolution,
        energy_tolerance=1e-3 * tolerance_energy,
        force_tolerance=1e-3 * tolerance_force,
        track=progress("structures"),
    )
    console.print(outputs.deviation_table(found))
    if found.components is not None:
        console.print(outputs.component_table(found))
    print(outputs.advice(found))
    outputs.write_probe(found, output)
    print(f"written: {output / outputs.NAME}.json, .png, .svg, .pdf")
