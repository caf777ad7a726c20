"""Options and error messages that the commands share."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pet_driver.errors import PetDriverError

GRID_HELP = (
    "rotations to average over: 0 (none), 2i, lebedev9i, O_h, random, 2i+random@SEED, ..., or "
    "ecse (exact symmetrization); an unknown name lists all"
)
GridOption = Annotated[str | None, typer.Option(help=GRID_HELP + "; default: that of the model")]
MODEL_HELP = "exported model or name of a shipped model; a.pt+b.pt is an ensemble"
ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP)]
StructuresArgument = Annotated[
    Path, typer.Argument(help="file with structures, in any format that ASE reads")
]
UnitsOption = Annotated[
    str | None,
    typer.Option(
        help="unit of positions and cell in a file of i-PI that does not mark it: angstrom or "
        "atomic_unit"
    ),
]
FORCE_STD_HELP = "force standard deviation (eV/A) over an ensemble, above which to "
UNFINISHED = 75  # exit code EX_TEMPFAIL of sysexits.h: try again
MaxEdgesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="largest number of edges times rotations in one pass, which limits the memory; "
        "default: by device",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="torch device: cpu, cuda, cuda:N or auto")]


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: print errors of input and of files in one line, with exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PetDriverError as error:
            message = str(error)
        except OSError as error:  # of writing files; readers raise PetDriverError
            if error.strerror is None:
                raise
            where = "" if error.filename is None else f"{error.filename}: "
            message = f"{where}{error.strerror}; choose another folder, or free disk space"
        except RuntimeError as error:  # TorchScript turns Ctrl-C into a RuntimeError
            if "KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from None
            raise
        print(f"pet-driver: error: {message}", file=sys.stderr)
        raise typer.Exit(1) from None

    return wrapped


def check_folder(output: Path | None) -> None:
    """Create an output folder, and raise an error if it cannot be written.

    Raises:
        PetDriverError: ``output`` is a file.
        OSError: the folder cannot be created or written.
    """
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise PetDriverError(f"{output} is a file; --output names a folder")
    output.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=output).close()
