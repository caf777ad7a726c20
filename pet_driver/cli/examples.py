"""Find, list and copy the example input files that the package ships."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pet_driver
from pet_driver.engines.ipi import shim_path
from pet_driver.errors import PetDriverError

# A file of another example, as the input files and texts name it: ../structures/water-64.xyz.
_NEIGHBOR = re.compile(r"\.\./([\w.-]+/[\w.-]+\w)")
_SHIM = re.compile(rf"[\w./-]*/{re.escape(shim_path().name)}")
_IGNORED = ("__pycache__",)


@dataclass(frozen=True)
class Example:
    """One folder of input files.

    Attributes:
        name: name of the folder.
        title: first line of its README.
        inputs: its input files by engine: "i-PI", "LAMMPS" or "Python".
    """

    name: str
    title: str
    inputs: dict[str, list[str]]

    def __str__(self) -> str:
        """Return name, title and input files in one line."""
        files = "; ".join(f"{engine}: {', '.join(names)}" for engine, names in self.inputs.items())
        return f"{self.name:22s} {self.title} ({files})"


def examples_folder() -> Path:
    """Return the folder of the examples: packed into the wheel, or that of a clone.

    Raises:
        PetDriverError: neither exists.
    """
    package = Path(pet_driver.__file__).parent
    for folder in (package / "inputs", package.parent / "inputs"):
        if folder.is_dir():
            return folder
    raise PetDriverError("this installation has no examples: install pet-driver again")


def list_examples() -> list[Example]:
    """Return all examples, sorted by name."""
    readmes = sorted(examples_folder().glob("*/README.md"))
    return [_read_example(readme.parent) for readme in readmes]


def copy_example(name: str, target: Path) -> list[Path]:
    """Copy an example, with all files it needs, into a new folder.

    Files of other examples that it refers to are copied too, and the references are changed, so
    that the copy runs wherever it is.

    Args:
        name: name of the example.
        target: folder to create; it may exist if it is empty.

    Returns:
        The files in ``target``.

    Raises:
        PetDriverError: there is no such example, or ``target`` exists and is not empty.
    """
    examples = examples_folder()
    names = [example.name for example in list_examples()]
    if name not in names:
        raise PetDriverError(f"there is no example {name}; the examples are {', '.join(names)}")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise PetDriverError(f"{target} exists already; choose another folder with --output")
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted((examples / name).iterdir()):
        if source.is_file() and source.name not in _IGNORED:
            _copy(source, target)
    return sorted(target.iterdir())


def _read_example(folder: Path) -> Example:
    title = (folder / "README.md").read_text().splitlines()[0].lstrip("# ")
    patterns = {"i-PI": "*.xml", "LAMMPS": "in.*"}
    inputs = {engine: sorted(p.name for p in folder.glob(g)) for engine, g in patterns.items()}
    found = {engine: names for engine, names in inputs.items() if names}
    return Example(
        folder.name, title, found or {"Python": sorted(p.name for p in folder.glob("*.py"))}
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file, and the files of other examples that its text names."""
    shutil.copyfile(source, target / source.name)
    text = source.read_text()

    def localize(match: re.Match[str]) -> str:
        neighbor = source.parent.parent / match[1]
        if not neighbor.is_file():
            return match[0]
        shutil.copyfile(neighbor, target / neighbor.name)
        return neighbor.name

    changed = _NEIGHBOR.sub(localize, text)
    if source.suffix == ".xml":
        changed = _SHIM.sub(lambda _: str(shim_path()), changed)
    if changed != text:
        (target / source.name).write_text(changed)
