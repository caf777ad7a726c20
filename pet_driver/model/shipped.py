"""Models that ship with the package, by name.

A shipped ensemble is a file ``NAME.members``: one line, its members with plus signs between.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pet_driver.errors import PetDriverError

FOLDER = Path(__file__).with_name("weights")


def shipped_models() -> list[str]:
    """Names of the shipped models, each an archive."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def shipped_ensembles() -> dict[str, str]:
    """The shipped ensembles: names of their members, with plus signs between, by name."""
    return {path.stem: path.read_text().strip() for path in sorted(FOLDER.glob("*.members"))}


def is_shipped(name: str) -> bool:
    """Whether a shipped model or ensemble has that name."""
    return name in shipped_models() or name in shipped_ensembles()


def resolve(name_or_path: str | os.PathLike) -> Path:
    """Path of an archive: a file if there is one, else a shipped model of that name.

    Raises:
        PetDriverError: it is neither.
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


def beside(names: str, folder: Path) -> str:
    """Names of a model or an ensemble, with those of files in ``folder`` as absolute paths."""
    found = []
    for name in _members(names, folder):
        path = folder / name
        found.append(str(path.resolve()) if path.is_file() and not is_shipped(name) else name)
    return "+".join(found)


def resolve_all(names: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    """Paths of the members of an ensemble, or the one path of a single model.

    Args:
        names: a name or path, several with plus signs between (``"a.pt+b.pt"``), or a sequence.
            A file whose own name has a plus sign in it is that file.

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
            return [resolve(names)]  # which says that it is nothing
        else:
            raise PetDriverError(
                f"{names}: {name or 'a name that is empty'} is neither a file nor a shipped "
                f"model; {_all_shipped()}"
            )
    return paths


def _members(names: str, folder: Path) -> Iterator[str]:
    """What stands between the plus signs that join members: names of files may have some too.

    The longest name that is a file, seen from ``folder``, or a shipped model; else up to the next
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
    return f"shipped are: {', '.join([*shipped_models(), *shipped_ensembles()])}"
