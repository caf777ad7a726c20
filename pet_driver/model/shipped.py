"""Names of shipped models, and paths of models and ensembles.

A shipped ensemble is a file ``NAME.members`` with one line: the names of its members, joined by
plus signs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pet_driver.errors import PetDriverError

FOLDER = Path(__file__).with_name("weights")


def shipped_models() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def shipped_ensembles() -> dict[str, str]:
    """Return the members of each shipped ensemble, joined by plus signs, by its name."""
    return {path.stem: path.read_text().strip() for path in sorted(FOLDER.glob("*.members"))}


def is_shipped(name: str) -> bool:
    """Return whether a shipped model or ensemble has this name."""
    return name in shipped_models() or name in shipped_ensembles()


def resolve(name_or_path: str | os.PathLike) -> Path:
    """Return the path of an archive: an existing file, or a shipped model of this name.

    Raises:
        PetDriverError: there is neither, or it is the name of a shipped ensemble.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    name = str(name_or_path)
    if name in shipped_models():
        return FOLDER / f"{name}.pt"
    if members := shipped_ensembles().get(name):
        raise PetDriverError(f"{name} is an ensemble, {members}; name one of these here")
    raise PetDriverError(f"{name} is neither a file nor a shipped model; {_all_shipped()}")


def resolve_relative_to(names: str, folder: Path) -> str:
    """Return the names of a model or ensemble, with files in ``folder`` as absolute paths."""
    found = []
    for name in _members(names, folder):
        path = folder / name
        found.append(str(path.resolve()) if path.is_file() and not is_shipped(name) else name)
    return "+".join(found)


def resolve_all(names: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """Return the paths of the members of an ensemble, or the path of a single model.

    Args:
        names: a name or path, several joined by plus signs (``"a.pt+b.pt"``), or a sequence. The
            name of an existing file may contain plus signs.

    Raises:
        PetDriverError: one of them is neither a file nor a shipped model.
    """
    if not isinstance(names, str | os.PathLike):
        if not names:
            raise PetDriverError("an ensemble of no models; name one or more")
        return [resolve(name) for name in names]
    paths = []
    for name in _members(os.fspath(names), Path()):
        if Path(name).expanduser().is_file() or name in shipped_models():
            paths.append(resolve(name))
        elif name in (ensembles := shipped_ensembles()):
            paths += [resolve(member) for member in ensembles[name].split("+")]
        elif name == os.fspath(names):
            return [resolve(names)]  # raises, with a message for a single name
        else:
            raise PetDriverError(
                f"{names}: {name or 'a name that is empty'} is neither a file nor a shipped "
                f"model; {_all_shipped()}"
            )
    return paths


def _members(names: str, folder: Path) -> Iterator[str]:
    """Yield the names that are joined by plus signs; names of files may contain plus signs too.

    Each is the longest name of a file in ``folder`` or of a shipped model, or else ends at the next
    plus sign.
    """
    words = names.split("+")
    while words:
        for length in range(len(words), 0, -1):
            name = "+".join(words[:length])
            if is_shipped(name) or (folder / Path(name).expanduser()).is_file():
                break
        yield name
        words = words[length:]


def _all_shipped() -> str:
    """Return the names of all shipped models and ensembles, for messages."""
    return f"shipped are: {', '.join([*shipped_models(), *shipped_ensembles()])}"
