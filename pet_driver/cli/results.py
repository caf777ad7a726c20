"""Commands about results and the installation: ``report``, ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pet_driver.cli.common import check_folder, report_errors
from pet_driver.cli.terminal import compilation_progress, progress


@report_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="folders, searched for runs at all depths")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="output folder; default: the first of RUNS"),
    ] = None,
) -> None:
    """Analyse runs, and write figures and one page about them."""
    from pet_driver.report import write_report

    check_folder(output)
    print(write_report(runs, output, track=progress("figures")))


@report_errors
def doctor() -> None:
    """Check the installation: what is there, what is missing, and how to install it."""
    from pet_driver.cli.doctor import examine

    healthy = True
    with compilation_progress():
        for finding in examine():
            healthy &= finding.healthy
            print(finding, flush=True)
    raise typer.Exit(0 if healthy else 1)
