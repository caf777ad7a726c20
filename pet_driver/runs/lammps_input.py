"""Read LAMMPS input files, apply settings to them, and find restart files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.runs.settings import Settings

LOG = "log.lammps"
_MAGIC = b"LammpS RestartT"  # at the beginning and at the end of a complete restart file
_FILE = re.compile(r"(?<![^\s\"'])[\w./-]+\.\w+(?![^\s\"'])")
# Commands that write the files they name.
_WRITERS = re.compile(
    r"(dump|dump_modify|write_\w+|restart|log|print|shell)\b|fix\s+\S+\s+\S+\s+(ave/|print\b)"
)
_VARIABLE = re.compile(r"^variable\s+(\w+)\s+index\s+(\S+)", re.MULTILINE)
_PAIR_STYLE = re.compile(r"^pair_style.*?\bpet\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class LAMMPSInput:
    """A LAMMPS input file with `pair_style pet`.

    Attributes:
        path: path of the input file.
        text: its text.
        defaults: values of its index variables, which ``-var`` changes.
        model_argument: first argument of `pair_style pet`, which may be a variable.
    """

    path: Path
    text: str
    defaults: dict[str, str]
    model_argument: str

    @property
    def model(self) -> str:
        """The model of `pair_style pet`, with the default values of variables."""
        known = self.defaults
        return re.sub(r"\$\{(\w+)\}", lambda m: known.get(m[1], m[0]), self.model_argument)


def read_input(path: Path) -> LAMMPSInput:
    """Read an input file of LAMMPS.

    Raises:
        PetDriverError: the file is missing, or has no `pair_style pet`.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise PetDriverError(f"there is no input file at {path}") from None
    except UnicodeDecodeError:
        raise PetDriverError(
            f"{path} is not a text file: give an input file of i-PI or LAMMPS"
        ) from None
    pair_style = _PAIR_STYLE.search(text)
    if pair_style is None:
        raise PetDriverError(
            f"{path} is an input neither of i-PI nor of LAMMPS with pair_style pet"
        )
    return LAMMPSInput(path, text, dict(_VARIABLE.findall(text)), pair_style[1])


def write_input(simulation_input: LAMMPSInput, folder: Path, settings: Settings) -> list[str]:
    """Write the input file into ``folder``, with absolute paths and a log that is appended to.

    Returns:
        The arguments of ``lmp``, without the restart file.

    Raises:
        PetDriverError: the input file has no variable for one of the settings.
    """
    path = simulation_input.path
    if settings.clients:
        raise PetDriverError(f"{path} is an input file of LAMMPS: clients are for i-PI")
    text = with_absolute_paths(simulation_input, folder)
    head = f"log {LOG} append\n"
    if settings.time_limit is not None:
        head += f"timer timeout {format_time(settings.time_limit)} every 10\n"
    arguments = ["-in", path.name, "-log", "none"]
    for name, value in variable_values(simulation_input, settings).items():
        arguments += ["-var", name, _without_spaces(simulation_input, folder, value)]
    (folder / path.name).write_text(head + text)
    return arguments


def with_absolute_paths(simulation_input: LAMMPSInput, folder: Path) -> str:
    """Return the text of the input file with absolute paths of all files that it reads.

    Names of files that it writes stay relative, even if files of these names exist next to the
    input file, so that they are written to ``folder``.
    """
    here = simulation_input.path.parent
    commands = re.split(r"(?<!&)\n", simulation_input.text)  # & continues a command
    written = "".join(command for command in commands if _WRITERS.match(command.lstrip()))

    def absolute(match: re.Match[str]) -> str:
        path = here / match[0]
        if not path.is_file():
            return match[0]
        return _without_spaces(simulation_input, folder, str(path.resolve()))

    def absolute_model(match: re.Match[str]) -> str:
        return match[1] + _without_spaces(
            simulation_input, folder, shipped.resolve_relative_to(match[2], here)
        )

    def convert(command: str) -> str:
        if _WRITERS.match(command.lstrip()):
            return command
        variable = _VARIABLE.match(command)
        if variable and f"${{{variable[1]}}}" in written:
            return command
        if variable and simulation_input.model_argument == f"${{{variable[1]}}}":
            return re.sub(r"^(variable\s+\w+\s+index\s+)(\S+)", absolute_model, command)
        command = re.sub(r"^(pair_style.*?\bpet\s+)(\S+)", absolute_model, command)
        words, mark, comment = command.partition("#")
        return _FILE.sub(absolute, words) + mark + comment

    return "\n".join(convert(command) for command in commands)


def variable_values(simulation_input: LAMMPSInput, settings: Settings) -> dict[str, str]:
    """Return the settings as values of the input file's variables.

    Raises:
        PetDriverError: the input file has no variable for one of the settings.
    """
    wanted = {
        "model": settings.absolute_model,
        "data": None if settings.structure is None else str(settings.structure.resolve()),
        "device": settings.device,
        "grid": settings.grid,
        "seed": None if settings.seed is None else str(settings.seed),
        "steps": None if settings.steps is None else str(settings.steps),
        **{
            name: _absolute_path(value, simulation_input.path.parent)
            for name, value in settings.variables.items()
        },
    }
    values = {name: value for name, value in wanted.items() if value is not None}
    for name, value in values.items():
        if name not in simulation_input.defaults:
            known = ", ".join(simulation_input.defaults)
            raise PetDriverError(
                f"{simulation_input.path}: no variable {name} (for {value}); it has {known}"
            )
    return values


def _absolute_path(value: str, here: Path) -> str:
    """Return the absolute path of a file in the working folder or in that of the input file."""
    path = next((p for p in (Path(value), here / value) if value and p.is_file()), None)
    return value if path is None else str(path.resolve())


def _without_spaces(simulation_input: LAMMPSInput, folder: Path, value: str) -> str:
    """Return the name of a link in ``folder`` for a path with spaces; other values unchanged.

    LAMMPS splits its input at spaces, and the value of a variable again where it is used.

    Raises:
        PetDriverError: the value is not a file, or a file of the name of the link exists.
    """
    if len(value.split()) <= 1:
        return value
    path = Path(value)
    link = folder / "_".join(path.name.split())
    if not path.is_file() or (link.exists() and not link.is_symlink()):
        raise PetDriverError(
            f"{simulation_input.path}: {value!r} has a space in it, at which LAMMPS would split "
            "it; move what it names to a path without one"
        )
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link.name


def format_time(seconds: float) -> str:
    """Return a time as `timer timeout` takes it, in hours (also above 24), minutes, seconds."""
    minutes, second = divmod(max(1, math.floor(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def model_path(simulation_input: LAMMPSInput, settings: Settings) -> str:
    """Return the model that a run will use, with absolute paths."""
    name = settings.absolute_model or settings.variables.get("model") or simulation_input.model
    return shipped.resolve_relative_to(name, simulation_input.path.parent)


def latest_restart(folder: Path) -> Path | None:
    """Return the latest complete restart file in a folder; None if there is none."""
    complete = [path for path in folder.glob("*restart*") if _is_complete(path)]
    return max(complete, key=lambda path: path.stat().st_mtime_ns, default=None)


def _is_complete(path: Path) -> bool:
    with open(path, "rb") as handle:
        if handle.read(len(_MAGIC)) != _MAGIC:
            return False
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - 2 * len(_MAGIC)))
        return _MAGIC in handle.read()
