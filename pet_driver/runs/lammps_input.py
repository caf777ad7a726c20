"""LAMMPS' inputs: reading them, changing them, and taking them up where a run stopped."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from pet_driver.errors import PetDriverError
from pet_driver.model import shipped
from pet_driver.runs.settings import Settings

LOG = "log.lammps"
_MAGIC = b"LammpS RestartT"  # begins and ends a restart file that was written to its end
_FILE = re.compile(r"(?<![^\s\"'])[\w./-]+\.\w+(?![^\s\"'])")
# Commands whose files are written, not read.
_WRITERS = re.compile(
    r"(dump|dump_modify|write_\w+|restart|log|print|shell)\b|fix\s+\S+\s+\S+\s+(ave/|print\b)"
)
_VARIABLE = re.compile(r"^variable\s+(\w+)\s+index\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class LAMMPSInput:
    """An input of LAMMPS with `pair_style pet`.

    Attributes:
        path: where it was read from.
        text: of the file.
        defaults: its index variables, which ``-var`` changes.
    """

    path: Path
    text: str
    defaults: dict[str, str]

    @property
    def model(self) -> str:
        """The model that `pair_style pet` names, or a variable has for it."""
        known = self.defaults
        return re.sub(r"\$\{(\w+)\}", lambda m: known.get(m[1], m[0]), self.model_word)

    @property
    def model_word(self) -> str:
        """What follows `pair_style pet`."""
        return re.search(r"^pair_style.*?\bpet\s+(\S+)", self.text, re.MULTILINE)[1]


def read_input(path: Path) -> LAMMPSInput:
    """Read an input of LAMMPS.

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
    if not re.search(r"^pair_style.*\bpet\s+\S", text, re.MULTILINE):
        raise PetDriverError(
            f"{path} is an input neither of i-PI nor of LAMMPS with pair_style pet"
        )
    return LAMMPSInput(path, text, dict(_VARIABLE.findall(text)))


def prepare(input_file: LAMMPSInput, folder: Path, settings: Settings) -> list[str]:
    """Write the input file into ``folder``, with paths made absolute and its log kept over restarts.

    Returns:
        The arguments of ``lmp`` but for the restart file.

    Raises:
        PetDriverError: the input file has no variable for one of the settings.
    """
    if settings.clients:
        raise PetDriverError(f"{input_file.path} is an input file of LAMMPS: clients are for i-PI")
    text = with_absolute_paths(input_file, folder)
    head = f"log {LOG} append\n"
    if settings.time_limit is not None:
        head += f"timer timeout {clock(settings.time_limit)} every 10\n"
    arguments = ["-in", input_file.path.name, "-log", "none"]
    for name, value in variables(input_file, settings).items():
        arguments += ["-var", name, _one_word(input_file, folder, value)]
    (folder / input_file.path.name).write_text(head + text)
    return arguments


def with_absolute_paths(input_file: LAMMPSInput, folder: Path) -> str:
    """The input file's text with files that it reads named from the root; it will run in ``folder``.

    Files of the same names that it writes lie beside the input file if it was run there by hand.
    """
    here = input_file.path.parent
    commands = re.split(r"(?<!&)\n", input_file.text)  # with the lines that they go on in
    written = "".join(command for command in commands if _WRITERS.match(command.lstrip()))

    def absolute(match: re.Match) -> str:
        found = here / match[0]
        return _one_word(input_file, folder, str(found.resolve())) if found.is_file() else match[0]

    def model(match: re.Match) -> str:
        return match[1] + _one_word(input_file, folder, shipped.resolve_relative_to(match[2], here))

    def changed(command: str) -> str:
        if _WRITERS.match(command.lstrip()):
            return command
        variable = _VARIABLE.match(command)
        if variable and f"${{{variable[1]}}}" in written:
            return command
        if variable and input_file.model_word == f"${{{variable[1]}}}":
            return re.sub(r"^(variable\s+\w+\s+index\s+)(\S+)", model, command)
        command = re.sub(r"^(pair_style.*?\bpet\s+)(\S+)", model, command)
        words, mark, comment = command.partition("#")
        return _FILE.sub(absolute, words) + mark + comment

    return "\n".join(changed(command) for command in commands)


def variables(input_file: LAMMPSInput, settings: Settings) -> dict[str, str]:
    """The settings as values of the input file's variables."""
    wanted = {
        "model": settings.absolute_model,
        "data": None if settings.structure is None else str(settings.structure.resolve()),
        "device": settings.device,
        "grid": settings.grid,
        "seed": None if settings.seed is None else str(settings.seed),
        "steps": None if settings.steps is None else str(settings.steps),
        **{
            name: _absolute(value, input_file.path.parent)
            for name, value in settings.variables.items()
        },
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    for name, value in wanted.items():
        if name not in input_file.defaults:
            known = ", ".join(input_file.defaults)
            raise PetDriverError(
                f"{input_file.path}: no variable {name} (for {value}); it has {known}"
            )
    return wanted


def _absolute(value: str, here: Path) -> str:
    """A file's path from the root, whether it is named from where we are or from the input file."""
    found = next((p for p in (Path(value), here / value) if value and p.is_file()), None)
    return value if found is None else str(found.resolve())


def _one_word(input_file: LAMMPSInput, folder: Path, value: str) -> str:
    """LAMMPS splits its input at spaces, and a variable's value once more where it is used: a file
    with a space in its path gets a link in ``folder``."""
    if len(value.split()) <= 1:
        return value
    path = Path(value)
    link = folder / "_".join(path.name.split())
    if not path.is_file() or (link.exists() and not link.is_symlink()):
        raise PetDriverError(
            f"{input_file.path}: {value!r} has a space in it, at which LAMMPS would split it; move what "
            "it names to a path without one"
        )
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link.name


def clock(seconds: float) -> str:
    """As `timer timeout` wants it; LAMMPS takes hours beyond 24."""
    minutes, second = divmod(max(1, math.floor(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def model_path(input_file: LAMMPSInput, settings: Settings) -> str:
    """The model that a run will use, as `shipped.resolve_all` takes it."""
    name = settings.absolute_model or settings.variables.get("model") or input_file.model
    return shipped.resolve_relative_to(name, input_file.path.parent)


def restart_file(folder: Path) -> Path | None:
    """The latest whole restart file in a folder."""
    found = [path for path in folder.glob("*restart*") if _is_whole(path)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _is_whole(path: Path) -> bool:
    with open(path, "rb") as handle:
        if handle.read(len(_MAGIC)) != _MAGIC:
            return False
        handle.seek(0, 2)
        handle.seek(max(0, handle.tell() - 2 * len(_MAGIC)))
        return _MAGIC in handle.read()
