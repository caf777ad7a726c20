"""The layout of the package: every module in a room, imports downward only, no cycles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pet_driver

PACKAGE = Path(pet_driver.__file__).parent
AT_THE_TOP = {"__init__", "__main__", "errors"}
SHARED = {"errors", "common"}  # every room may import them
# Rooms from the bottom upward. A room may import from those before it.
ORDER = (
    {"network", "analysis"},
    {"symmetry"},
    {"backends"},
    {"neighbors"},
    {"checkpoints"},
    {"model"},
    {"engines", "building", "probe"},
    {"runs"},
    {"report"},
    {"cli"},
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def module_name(path: Path) -> str:
    """Return the dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(name: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports, anywhere in its code."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            while target not in MODULES and "." in target:
                target = target.rpartition(".")[0]
            if target in MODULES and target != name:
                yield target


def room(name: str) -> str:
    """Return the room of a module; for a module in none, its own name."""
    return name.split(".")[1] if "." in name else "__init__"


IMPORTS = {name: set(imported(name)) for name in MODULES}


def test_modules_directly_in_the_package() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == AT_THE_TOP
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    folders -= {"lammps_plugin_src", "common"}
    assert folders == set(RANKS), "every room has a place in ORDER"


@pytest.mark.parametrize("name", sorted(RANKS))
def test_a_room_imports_only_from_rooms_below(name: str) -> None:
    for module, targets in IMPORTS.items():
        if room(module) != name:
            continue
        for target in targets - {"pet_driver"}:  # the version, and names that are imported late
            other = room(target)
            allowed = other in {*SHARED, name} or RANKS.get(other, 99) < RANKS[name]
            if name == "analysis":
                allowed = other in {*SHARED, name}
            assert allowed, f"{module} imports {target}"


def test_shared_modules_import_nothing_from_the_rooms() -> None:
    for module, targets in IMPORTS.items():
        if room(module) in SHARED:
            assert {room(target) for target in targets} <= SHARED, module


def test_no_cycles_between_modules() -> None:
    # The package's own __init__ names modules for its lazy imports, and imports none of them.
    graph = {name: targets - {"pet_driver"} for name, targets in IMPORTS.items()}
    TopologicalSorter({k: v for k, v in graph.items() if k != "pet_driver"}).prepare()
