"""What all commands share: options, and errors in one line."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pet_driver.errors import PetDriverError

GRID_HELP = (
    "rotations to average over: 0 (none), 2i, lebedev9i, O_h, random, 2i+random@SEED, ..., or "
    "ecse: exact; an unknown name lists all"
)
GridOption = Annotated[str | None, typer.Option(help=GRID_HELP + "; default: the archive's")]
MODEL_HELP = "archive or shipped name; several as an ensemble: a.pt+b.pt"
SPREAD_HELP = "force standard deviation of an ensemble, eV/A, above which "
UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: try again
MaxEdgesOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="edges times rotations in one pass, which bounds memory; default: by device"
    ),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto")]


def clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a :class:`PetDriverError` into one line and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PetDriverError as error:
            message = str(error)
        except OSError as error:  # of what is written: reading has its own words
            if error.strerror is None:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            message = f"{where}{error.strerror}; choose another place, or make room"
        except RuntimeError as error:  # TorchScript turns Ctrl-C into one of its own
            if "KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from None
            raise
        print(f"pet-driver: error: {message}", file=sys.stderr)
        raise typer.Exit(1) from None

    return wrapped


def check_folder(output: Path | None) -> None:
    """Refuse a file where a folder is to be written, and a folder that cannot be written."""
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise PetDriverError(f"{output} is a file; --output names a folder")
    output.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=output).close()


def progress(description: str) -> Callable[..., Any]:
    """What goes around a loop for a bar that is gone at its end; none outside a terminal."""
    from rich.progress import track

    console = Console(stderr=True)
    return functools.partial(
        track,
        description=description,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
