"""Commands about what is there: report, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from pet_driver.cli.common import check_folder, clear_errors, progress


@clear_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="folders, searched for runs all the way down")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder to write; default: the first of RUNS"),
    ] = None,
) -> None:
    """Analyse runs, and write the figures and one page about them."""
    from pet_driver.report import write_report

    check_folder(output)
    page = write_report(
        runs,
        output,
        track=progress("figures"),
    )
    print(page)


@clear_errors
def doctor() -> None:
    """Say what is installed here, what is missing, and the remedy."""
    from pet_driver.cli.doctor import examine

    healthy = True
    table = Table("part", Column("state", overflow="fold"), Column("remedy", overflow="fold"))
    for finding in examine():
        healthy &= finding.healthy
        table.add_row(finding.part, finding.state, finding.remedy)
    Console().print(table)
    raise typer.Exit(0 if healthy else 1)
