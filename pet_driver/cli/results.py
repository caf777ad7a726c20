"""Commands about what is there: report, doctor."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pet_driver.cli.common import clear_errors
from pet_driver.errors import PetDriverError


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
